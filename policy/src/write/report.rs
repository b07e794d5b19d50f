//! What a change was, for a person and for a program.

use common::policy::id::Range;
use common::policy::text::Quoted;
use serde::Serialize;

use super::allocate::Taken;
use super::lines::Edited;
use super::live::{self, Mapped};
use super::taken::By;
use crate::check::command::shown;
use crate::output::{Output, Style};
use common::policy::idmap::Kind;

/// More than so many are counted only, for a person.
pub const MOST_SHOWN: usize = 20;
/// And for a program.
pub const MOST_LISTED: usize = 1000;

/// Some ids.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ids {
    /// The lowest.
    pub first: u32,
    /// The highest.
    pub last: u32,
    /// How many.
    pub count: u32,
}

impl From<Range> for Ids {
    fn from(range: Range) -> Self {
        Self { first: range.first().raw(), last: range.last().raw(), count: range.count() }
    }
}

/// A line that was put in or taken out, or would be.
#[derive(Debug, Serialize)]
pub struct Change {
    /// The file.
    pub file: &'static str,
    /// `added` or `removed`.
    pub action: &'static str,
    /// Its number: in the new text if added, in the old one if removed.
    pub line: usize,
    /// Itself.
    pub text: String,
}

/// Ids that were passed over, and why.
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// The lowest.
    pub first: u32,
    /// The highest.
    pub last: u32,
    /// Whose they are.
    pub why: String,
}

/// A process that maps ids.
#[derive(Debug, Serialize)]
pub struct Live {
    /// It.
    pub pid: u32,
    /// What it is called.
    pub command: String,
    /// `uid` or `gid`.
    pub kind: &'static str,
    /// The lowest of the ids.
    pub first: u32,
    /// The highest.
    pub last: u32,
}

/// An interface whose quota is gone.
#[derive(Debug, Serialize)]
pub struct LiveNic {
    /// It.
    pub name: String,
    /// Who asked for it.
    pub uid: Option<u32>,
    /// The same by name.
    pub user: Option<String>,
    /// Of its container, if they can be seen.
    pub pids: Vec<i32>,
}

/// The lines that differ.
#[must_use]
pub fn changes(file: &'static str, edited: &Edited) -> Vec<Change> {
    let change = |change: &super::lines::Change| Change {
        file,
        action: if change.added { "added" } else { "removed" },
        line: change.line,
        text: shown(&change.text),
    };
    edited.changes.iter().map(change).collect()
}

/// The same, as a person reads it: `+ /etc/subuid:3: alice:100000:65536`.
pub fn say_changes(out: &mut Output, changes: &[Change]) {
    for Change { file, action, line, text } in changes {
        let (sign, style) = if *action == "added" { ("+", Style::Good) } else { ("-", Style::Error) };
        let line = format!("{sign} {file}:{line}: {text}");
        out.line(out.paint(style, &line));
    }
}

/// What was passed over.
pub fn skipped(skipped: &[&Taken<By<'_>>]) -> Vec<Skipped> {
    let one = |taken: &&Taken<By<'_>>| Skipped {
        first: taken.range.first().raw(),
        last: taken.range.last().raw(),
        why: taken.by.to_string(),
    };
    skipped.iter().take(MOST_LISTED).map(one).collect()
}

/// The same, as a person reads it.
pub fn say_skipped(out: &mut Output, skipped: &[&Taken<By<'_>>]) {
    for taken in skipped.iter().take(MOST_SHOWN) {
        out.line(format!("  {}: {}", taken.range, taken.by));
    }
    let more = skipped.len().saturating_sub(MOST_SHOWN);
    if more > 0 {
        out.line(format!("  and {more} more; see nsgate show"));
    }
}

/// Processes, for a program.
pub fn live(mapped: &[Mapped]) -> Vec<Live> {
    let one = |mapped: &Mapped| Live {
        pid: mapped.pid,
        command: Quoted(&live::name_of(mapped.pid)).to_string(),
        kind: match mapped.kind {
            Kind::Uid => "uid",
            Kind::Gid => "gid",
        },
        first: mapped.range.first().raw(),
        last: mapped.range.last().raw(),
    };
    mapped.iter().take(MOST_LISTED).map(one).collect()
}

/// What a person should know.
pub fn say_notes(out: &mut Output, notes: &[String]) {
    for note in notes {
        out.line(format!("{}: {note}", out.paint(Style::Warning, "note")));
    }
}
