//! `nsgate check`

use crate::cli::{Check, PolicyFile};
use crate::failure::Failure;
use crate::output::Output;
use crate::root::Root;

pub mod finding;
pub mod reserved;
pub mod rule;

pub use finding::{Finding, Place};
pub use reserved::{RESERVED, Reserved};
pub use rule::{RULES, Rule, Severity};

/// Checks one file by itself: what is wrong with it whatever else there is on the machine.
#[must_use]
pub fn text(_file: PolicyFile, _bytes: &[u8]) -> Vec<Finding> {
    Vec::new()
}

/// The answer, and the exit status.
///
/// # Errors
/// It cannot be answered.
pub fn run(_root: &Root, _args: &Check, _out: &mut Output) -> Result<u8, Failure> {
    Err(Failure::new("not there yet"))
}
