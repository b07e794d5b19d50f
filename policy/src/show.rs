//! `nsgate show`

use crate::cli::Show;
use crate::failure::Failure;
use crate::output::Output;
use crate::root::Root;

/// The answer, and the exit status.
///
/// # Errors
/// It cannot be answered.
pub fn run(_root: &Root, _args: &Show, _out: &mut Output) -> Result<u8, Failure> {
    Err(Failure::new("not there yet"))
}
