//! getsubids(1): which ids a user holds, as shadow's program prints them. rootlesskit calls it.

use std::process::ExitCode;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
