//! What ends the command: said in one line on stderr, with the exit status that scripts go by.

use std::{fmt, io};

use nix::errno::Errno;

/// Why it did not get done.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

/// Could not be done, or would be refused.
pub const FAILED: u8 = 1;
/// A command line that is none (as clap has it), or, of `check`, errors, or that it could not look.
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
    pub fn when<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |error| Self::new(format!("{}: {}", doing.into(), words(&error.into())))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What went wrong, as a person reads it: without the number of the error, and without its name in C.
pub(crate) fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_owned())
}
