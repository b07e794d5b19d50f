//! Standard output: text for a person or one JSON document for a program, and colour only where a person sees it.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// When to use colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb
    #[default]
    Auto,
    /// Also into a pipe
    Always,
    /// Not at all
    Never,
}

/// Where a verb writes. Nothing is on stdout until [`Output::finish`], so what fails has not said half of it.
#[derive(Debug)]
pub struct Output {
    json: bool,
    color: bool,
    text: String,
}

/// What a piece of text is, for a person's eye.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Good.
    Good,
    /// Look at this.
    Warning,
    /// Wrong.
    Error,
    /// What the eye is to find first.
    Strong,
    /// What it may skip.
    Faint,
    /// One of six colours that tell owners apart: 0 to 5, and round again.
    Owner(usize),
}

impl Output {
    /// For the options `--json` and `--color`.
    #[must_use]
    pub fn new(json: bool, color: Color) -> Self {
        let wanted = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
            }
        };
        Self { json, color: wanted && !json, text: String::new() }
    }

    /// Is it to be one JSON document? Then [`Output::document`] is called once, and nothing else.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Does a person see it on a terminal? Then a line may be as wide as that.
    #[must_use]
    pub fn width(&self) -> usize {
        let terminal = io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
        terminal.map_or(80, |(width, _)| usize::from(width.0)).clamp(20, 200)
    }

    /// A piece of text in the colour of what it is, if there is to be colour.
    #[must_use]
    pub fn paint(&self, style: Style, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match style {
            Style::Good => "32",
            Style::Warning => "33",
            Style::Error => "31;1",
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Owner(number) => match number.checked_rem(6) {
                Some(0) => "36",
                Some(1) => "35",
                Some(2) => "34",
                Some(3) => "32",
                Some(4) => "33",
                _ => "96",
            },
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A line of text.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    /// The whole answer as one JSON document. Control bytes in strings are escaped, by JSON's own rules.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn document(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(document)
            .map_err(|error| Failure::new(format!("write JSON: {error}")))?;
        // It may be a hundred megabytes, which are not copied without need.
        self.text = if text.contains(is_command) { escaped(&text) } else { text };
        self.text.push('\n');
        Ok(())
    }

    /// Writes what has been said so far: before a question is asked, or something is done that may take long.
    ///
    /// # Errors
    /// As [`Output::finish`].
    pub fn flush(&mut self) -> Result<(), Failure> {
        let text = std::mem::take(&mut self.text);
        let written = io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
        match written {
            // Whoever reads has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(Failure::when("standard output")),
        }
    }

    /// Writes it all.
    ///
    /// # Errors
    /// Standard output does not take it. That nobody reads on is none.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }
}

/// JSON lets these stand as they are; a terminal takes them for commands.
fn is_command(letter: char) -> bool {
    letter == '\x7f' || ('\u{80}'..='\u{9f}').contains(&letter)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_command(letter) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// What more than one has at its end.
#[must_use]
pub fn plural<N: PartialEq + From<u8>>(number: N) -> &'static str {
    if number == N::from(1) { "" } else { "s" }
}

/// A line on stderr. If nobody can read it, the exit status still says no.
pub fn complain(line: &str) {
    io::stderr().write_all(line.as_bytes()).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_nothing_in_it_that_a_terminal_obeys() {
        let said = |text: &str| {
            let mut out = Output::new(true, Color::Never);
            out.document(&text).unwrap();
            out.text
        };
        assert_eq!(said("plain \u{e9}"), "\"plain \u{e9}\"\n");
        assert_eq!(said("\x1b[2J\x7f\u{9b}2J"), "\"\\u001b[2J\\u007f\\u009b2J\"\n");
    }
}
