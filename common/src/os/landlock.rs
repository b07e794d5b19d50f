//! Which files a process can still reach, by any path and with any right it may come to have: `landlock(7)`, where the kernel
//! has it (5.13, if it is switched on).
//!
//! A rule set takes some kinds of access away, and gives them back beneath some directories. It is never taken back, and a
//! later one can only take more away.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::confine::gain_nothing_by_exec;
use super::sys;
use super::trusted::open;
use crate::Error;

/// Kinds of access: `LANDLOCK_ACCESS_FS_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access(u64);

impl Access {
    /// Running a program.
    pub const EXECUTE: Self = Self(1);
    /// Writing into a file that there is.
    pub const WRITE: Self = Self(1 << 1);
    /// Reading a file, or looking into a directory.
    pub const READ: Self = Self(1 << 2 | 1 << 3);
    /// Files and directories that are made, emptied, put in the place of others, or removed. (Version 3; a device, a
    /// socket and the like are in [`Access::ALL`] alone.)
    pub const CHANGE: Self = Self(1 << 5 | 1 << 7 | 1 << 8 | 1 << 14);
    /// All that the kernels know that were there when this was written (version 7).
    pub const ALL: Self = Self((1 << 16) - 1);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All of it but the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// As far as the kernel knows it. It refuses what it does not.
    const fn known_to(self, version: u32) -> Self {
        let known = match version {
            0 => 0,
            1 => (1 << 13) - 1,
            2 => (1 << 14) - 1,
            3 | 4 => (1 << 15) - 1,
            _ => (1 << 16) - 1,
        };
        Self(self.0 & known)
    }
}

/// A directory, to give some access back beneath it. The caller's own credentials are enough: it is not opened for reading.
///
/// # Errors
/// It cannot be opened.
pub fn directory(path: &str) -> nix::Result<OwnedFd> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

/// From here on nothing of this access but beneath these directories, each with its own.
///
/// # Errors
/// The kernel has Landlock, and refuses.
pub fn enter(taken: Access, given: &[(&dyn AsFd, Access)]) -> Result<(), Error> {
    let when = || Error::when("enter a Landlock rule set");
    let version = match sys::landlock_version() {
        Ok(version) => version,
        // Not built in; or built in, and switched off.
        Err(Errno::ENOSYS | Errno::EOPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(when()(errno)),
    };
    gain_nothing_by_exec()?;
    let taken = taken.known_to(version);
    let rules = sys::landlock_rules(taken.0).map_err(when())?;
    for (directory, access) in given {
        let Access(access) = access.known_to(version);
        sys::landlock_allow(&rules, directory.as_fd(), access & taken.0).map_err(when())?;
    }
    sys::landlock_enter(&rules).map_err(when())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_asked_for_no_more_than_it_knows() {
        let known = |version| Access::ALL.known_to(version).0;
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 7, 99].map(known),
            [0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff, 0xffff, 0xffff]
        );
        assert_eq!(Access::CHANGE.known_to(1).0, 1 << 5 | 1 << 7 | 1 << 8);
        assert_eq!(Access::ALL.without(Access::READ).0, 0xffff & !0xc);
        assert_eq!(Access::READ.and(Access::WRITE).0, 0xe);
    }
}
