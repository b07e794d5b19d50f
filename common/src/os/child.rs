//! Another program of root's, run by a helper that has become root.

use std::io;
use std::os::fd::BorrowedFd;
use std::process::{Child, Command};

use super::sys;

/// Starts it, with every signal as it is by default and no descriptor but the standard ones and `locks`: whatever the caller
/// has left open or ignored is nothing to it. What the locks are on stays locked as long as it lives, also if we die before
/// it does.
///
/// # Errors
/// It cannot be started.
pub fn spawn(command: &mut Command, locks: &[BorrowedFd<'_>]) -> io::Result<Child> {
    sys::inherit_nothing_but(command, locks);
    command.spawn()
}

/// Starts it in a session of its own, with no descriptor but the standard ones and every signal as it is by default. For a program
/// that is run as somebody with fewer rights: he can have that process do what he likes (ptrace(2)), also open `/dev/tty`. So it must
/// have nothing of the caller's: neither his terminal nor what he has left open.
///
/// For `nsgate` alone; here, since what happens between fork and exec takes `unsafe`.
///
/// # Errors
/// It cannot be started.
pub fn spawn_apart(command: &mut Command) -> io::Result<Child> {
    sys::leave_the_session(command);
    spawn(command, &[])
}
