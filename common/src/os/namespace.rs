//! Who a user namespace belongs to: asked of the kernel (`ioctl_ns(2)`), never inferred from a pid.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat, stat};

use super::netns::is;
use super::sys;
use super::target::read_own;
use crate::Error;
use crate::policy::id::{Id, Range};
use crate::policy::idmap::{Kind, ids_of_namespace};

/// How a process's user namespace stands to ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// It was made in ours.
    Child {
        /// By this uid: whom the kernel calls its owner.
        owner: u32,
        /// Is ours the one that the machine has started with, in which there is every id?
        of_initial: bool,
    },
    /// It is ours.
    Same,
    /// It is neither ours nor made in ours.
    Elsewhere,
    /// The kernel would not let us look (an LSM, a target that is not dumpable). It decides by itself at the write.
    Unknown,
}

/// How the user namespace of the process in this `/proc/PID` directory stands to ours.
///
/// # Errors
/// It could not be asked for: the caller has left us no descriptor, or no memory. That is no answer.
pub fn relation(process: BorrowedFd<'_>) -> Result<Relation, Error> {
    let when = || Error::when("ask whose the target's user namespace is");
    let theirs = match openat(process, "ns/user", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(theirs) => theirs,
        Err(Errno::EACCES | Errno::EPERM | Errno::ENOENT | Errno::ESRCH) => return Ok(Relation::Unknown),
        Err(errno) => return Err(when()(errno)),
    };
    let parent = match sys::namespace_parent(theirs.as_fd()) {
        Ok(parent) => parent,
        // Our own has its parent outside of what we may see; so has any that is not below our own.
        Err(Errno::EPERM) => {
            let ours = stat("/proc/self/ns/user").map_err(when())?;
            return Ok(if is(&theirs, &ours) { Relation::Same } else { Relation::Elsewhere });
        }
        Err(errno) => return Err(when()(errno)),
    };
    let of_initial = is_initial(&parent);
    if of_initial || is_ours(&parent).map_err(when())? {
        Ok(Relation::Child { owner: sys::namespace_owner(theirs.as_fd()).map_err(when())?, of_initial })
    } else {
        Ok(Relation::Elsewhere)
    }
}

/// Is this user namespace, which the kernel has shown to us (`ioctl_ns(2)`), our own? It shows ours, and those below it, and no
/// other; so if it shows the one that the machine has started with, that is ours, and `/proc` need not be asked.
///
/// # Errors
/// `/proc` does not say.
pub(super) fn is_ours(shown: &OwnedFd) -> nix::Result<bool> {
    Ok(is_initial(shown) || is(shown, &stat("/proc/self/ns/user")?))
}

fn is_initial(namespace: &OwnedFd) -> bool {
    fstat(namespace).is_ok_and(|status| status.st_ino == INITIAL)
}

/// The number of the user namespace that the machine has started with: `linux/nsfs.h`, `USER_NS_INIT_INO`; the same since 3.8.
const INITIAL: u64 = 0xEFFF_FFFD;

impl Relation {
    /// The ids that exist in our own user namespace.
    #[must_use]
    pub fn ids_here(self, kind: Kind) -> Vec<Range> {
        if matches!(self, Self::Child { of_initial: true, .. }) { every_id() } else { ids_here(kind) }
    }
}

/// The ids that exist in our own user namespace. If `/proc` does not tell, all: the kernel checks again.
#[must_use]
pub fn ids_here(kind: Kind) -> Vec<Range> {
    let ids = read_own(kind.map_file()).map(|map| ids_of_namespace(&map)).unwrap_or_default();
    if ids.is_empty() { every_id() } else { ids }
}

fn every_id() -> Vec<Range> {
    Vec::from_iter(Id::new(0).and_then(|first| Range::new(first, u32::MAX)))
}

/// A file of a user whom our user namespace does not have shows as uid 65534's: `user_namespaces(7)`, overflowuid.
#[must_use]
pub fn is_of_an_owner_unknown_here(error: &Error) -> bool {
    const OVERFLOW: u32 = 65534;
    let exists = Id::new(OVERFLOW).is_some_and(|id| ids_here(Kind::Uid).iter().any(|ids| ids.contains(id)));
    matches!(error, Error::Untrusted { owner: OVERFLOW, .. }) && !exists
}
