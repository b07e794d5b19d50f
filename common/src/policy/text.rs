//! Bytes that somebody else chose, made fit for a message or a log line.

use std::fmt::{self, Write};

/// Shows bytes with everything but printable ASCII escaped (`\n`, `\x1b`), and cut after 64: a name must not move
/// the reader's cursor, forge a second log line, or fill the screen.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

const LONGEST: usize = 64;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(LONGEST).flat_map(|byte| std::ascii::escape_default(*byte)) {
            f.write_char(char::from(byte))?;
        }
        if self.0.len() > LONGEST { f.write_str("...") } else { Ok(()) }
    }
}

/// The lines of a text, without their newlines. A last line that has none counts.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_and_long_names_are_defused() {
        assert_eq!(Quoted(b"al\x1b[2J\nice\xff").to_string(), r"al\x1b[2J\nice\xff");
        assert_eq!(Quoted(&[b'x'; 1000]).to_string().len(), 67);
    }

    #[test]
    fn a_last_line_needs_no_newline() {
        assert_eq!(lines(b"a\nb").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(lines(b"a\nb\n").collect::<Vec<_>>(), [b"a", b"b"]);
    }
}
