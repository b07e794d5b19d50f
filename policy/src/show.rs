//! `nsgate show`: who holds which host ids, as a picture; or which interfaces there are.

pub mod axis;
pub mod holders;
pub mod ids;
pub mod nics;
pub mod one;
pub mod picture;
pub mod svg;
pub mod terminal;

use crate::cli::Show;
use crate::failure::Failure;
use crate::output::Output;
use crate::root::Root;

/// The answer, and the exit status.
///
/// # Errors
/// It cannot be answered.
pub fn run(root: &Root, args: &Show, out: &mut Output) -> Result<u8, Failure> {
    if args.what.as_deref().is_some_and(|what| what == "nics") {
        return nics::run(root, args.svg.is_some(), out);
    }
    ids::run(root, args.what.as_deref(), args.svg.as_deref(), out)
}
