//! What was found, where, and what mends it.

use std::sync::Arc;

use super::rule::Rule;

/// A place in a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The file, as a person calls it.
    pub file: Arc<str>,
    /// The line, counted from 1. None: the file as a whole.
    pub line: Option<u32>,
}

/// One thing that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which rule says so.
    pub rule: &'static Rule,
    /// Where.
    pub place: Place,
    /// What is wrong, in one line. What others chose is quoted and escaped in it.
    pub message: String,
    /// The command that mends it, fit for a shell. None: there is nothing to be done.
    pub fix: Option<String>,
}
