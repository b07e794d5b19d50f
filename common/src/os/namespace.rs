//! Who a user namespace belongs to: asked of the kernel (`ioctl_ns(2)`), never inferred from a pid.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, stat};

use super::netns::is;
use super::sys;

/// How a process's user namespace stands to ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// It was made in ours, by this uid.
    Child {
        /// Whom the kernel calls its owner.
        owner: u32,
    },
    /// It is ours.
    Same,
    /// It is neither ours nor made in ours.
    Elsewhere,
    /// The kernel would not let us look (an LSM, a target that is not dumpable). It decides by itself at the write.
    Unknown,
}

/// How the user namespace of the process in this `/proc/PID` directory stands to ours.
#[must_use]
pub fn relation(process: BorrowedFd<'_>) -> Relation {
    let theirs = openat(process, "ns/user", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    let (Ok(theirs), Ok(ours)) = (theirs, stat("/proc/self/ns/user")) else {
        return Relation::Unknown;
    };
    match sys::namespace_parent(theirs.as_fd()) {
        Ok(parent) if is(&parent, &ours) => match sys::namespace_owner(theirs.as_fd()) {
            Ok(owner) => Relation::Child { owner },
            Err(_) => Relation::Unknown,
        },
        Ok(_) => Relation::Elsewhere,
        // Our own has its parent outside of what we may see; so has any that is not below our own.
        Err(Errno::EPERM) if is(&theirs, &ours) => Relation::Same,
        Err(Errno::EPERM) => Relation::Elsewhere,
        Err(_) => Relation::Unknown,
    }
}
