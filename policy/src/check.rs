//! `nsgate check`

use crate::cli::Check;
use crate::failure::Failure;
use crate::output::Output;
use crate::root::Root;

/// The answer, and the exit status.
///
/// # Errors
/// It cannot be answered.
pub fn run(_root: &Root, _args: &Check, _out: &mut Output) -> Result<u8, Failure> {
    Err(Failure::new("not there yet"))
}
