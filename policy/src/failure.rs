//! What ends the command: said in one line on stderr, with the exit status that scripts go by.

use std::fmt;

/// Why it did not get done.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

/// Could not be done, or would be refused.
pub const FAILED: u8 = 1;
/// A command line that is none (as clap has it), or, of `check`, errors.
pub const USAGE: u8 = 2;
/// Of `grant`: there is no room, or it would overlap somebody.
pub const NO_ROOM: u8 = 3;

impl Failure {
    /// One that ends with status 1. The message says what, why, and what would help; what others chose is quoted in it.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: FAILED }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// The exit status.
    #[must_use]
    pub const fn code(&self) -> u8 {
        self.code
    }

    /// For `map_err` of a system call: what was being done.
    pub fn when<E: fmt::Display>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |error| Self::new(format!("{}: {error}", doing.into()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
