//! Another program of root's, run by a helper that has become root.

use std::io;
use std::process::{Child, Command};

use super::sys;

/// Starts it, with every signal as it is by default and no descriptor but the standard ones: whatever the caller has left
/// open or ignored is nothing to it.
///
/// # Errors
/// It cannot be started.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    sys::inherit_nothing(command);
    command.spawn()
}
