//! Another program of root's, run by a helper that has become root.

use std::io;
use std::process::{Child, Command};

use super::sys;

/// Starts it, with every signal as it is by default, and so that it dies with us: whoever kills the helper must not
/// leave something at work that nobody waits for.
///
/// # Errors
/// It cannot be started.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    sys::die_with_us(command);
    command.spawn()
}
