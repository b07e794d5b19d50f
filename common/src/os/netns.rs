//! The network namespace that an interface is for: opened once with the caller's own rights, held, and proved to be in
//! his power before anything is done. What is done to it later goes through that descriptor, never by pid or path again. The
//! one other look at the process ([`OwnNetns::cgroup_of`]) counts only if it finds the same namespace there.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat, stat};
use nix::sys::statfs::{FsType, fstatfs};

use super::namespace::is_ours;
use super::sys;
use super::target::contents;
use super::trusted::open;
use crate::Error;
use crate::policy::nic::Mac;

/// `linux/magic.h`: `NSFS_MAGIC`.
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

/// As deep as user namespaces go: `user_namespaces(7)`. A kernel that answers beyond that is not asked for ever.
const DEEPEST: u32 = 32;

/// A network namespace that somebody named, held. Nothing is known yet of who may use it.
#[derive(Debug)]
pub struct Netns(OwnedFd);

/// A network namespace that the caller may do with as he likes.
#[derive(Debug)]
pub struct OwnNetns {
    theirs: OwnedFd,
    /// The kernel's number for the one that we are in.
    ours: u64,
}

impl Netns {
    /// Of a process. The caller's own credentials must be in force.
    ///
    /// # Errors
    /// There is no such process, or the caller may not look into it.
    pub fn of_process(pid: i32) -> Result<Self, Error> {
        open(format!("/proc/{pid}/ns/net").as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| {
                let why = if errno == Errno::EACCES {
                    ", which is not the caller's or not dumpable"
                } else if errno == Errno::ENOENT {
                    ", which does not exist or has ended"
                } else {
                    ""
                };
                Error::when(format!("cannot open the network namespace of process {pid}{why}"))(errno)
            })
            .and_then(Self::hold)
    }

    /// By a path that the caller has chosen. His own credentials must be in force. There is one error for every way in
    /// which the path can be wrong.
    ///
    /// # Errors
    /// It is no path to a network namespace that he can open.
    pub fn at_path(path: &std::path::Path) -> Result<Self, Error> {
        // Whatever it is, it is not opened before it is known to be a namespace: opening a FIFO waits, opening a device
        // may do anything.
        let place =
            open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(|_| Error::NotANetns)?;
        let file_system = fstatfs(&place).map_err(|_| Error::NotANetns)?;
        if file_system.filesystem_type() != NSFS_MAGIC {
            return Err(Error::NotANetns);
        }
        let itself = format!("/proc/self/fd/{}", place.as_raw_fd());
        open(itself.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|_| Error::NotANetns)
            .and_then(Self::hold)
    }

    fn hold(namespace: OwnedFd) -> Result<Self, Error> {
        let file_system = fstatfs(&namespace).map_err(|_| Error::NotANetns)?;
        if file_system.filesystem_type() == NSFS_MAGIC { Ok(Self(namespace)) } else { Err(Error::NotANetns) }
    }

    /// Proves that this user has power over it. The rule is the kernel's own (`user_namespaces(7)`): it belongs to a user
    /// namespace that he made below the one we are all in, or to one below that. Whether he has dropped capabilities in
    /// it does not matter.
    ///
    /// Root has power over whatever belongs to our own user namespace, or to any below. Only the network namespace that we are
    /// in is out of bounds for everybody: an interface put there would be the host's.
    ///
    /// # Errors
    /// He has not, or the kernel does not say so.
    pub fn prove_power_of(self, uid: u32) -> Result<OwnNetns, Error> {
        let foreign = |why| Error::ForeignNetns { uid, why };
        let ours = stat("/proc/self/ns/net").map_err(Error::when("look at /proc/self/ns"))?;
        if is(&self.0, &ours) {
            return Err(foreign("it is the host's own; a container has one of its own"));
        }
        let mut namespace = match sys::namespace_user(self.0.as_fd()) {
            Ok(namespace) => namespace,
            Err(Errno::EPERM) => return Err(foreign("it belongs to a user namespace outside of this one")),
            Err(Errno::ENOTTY | Errno::EINVAL) => return Err(Error::NotANetns),
            Err(errno) => return Err(Error::when("ask whose the network namespace is")(errno)),
        };
        let mut child = None;
        for _ in 0..=DEEPEST {
            match sys::namespace_parent(namespace.as_fd()) {
                Ok(parent) => child = Some(std::mem::replace(&mut namespace, parent)),
                // Nothing above it is shown to us.
                Err(Errno::EPERM) => {
                    let nobodys = "it does not belong to a user namespace that the caller made";
                    if !is_ours(&namespace).map_err(Error::when("look at /proc/self/ns"))? {
                        return Err(foreign(nobodys));
                    }
                    let made_by = child.map(|child| sys::namespace_owner(child.as_fd())).transpose();
                    return match made_by.map_err(Error::when("ask who made the user namespace"))? {
                        owner if uid == 0 || owner == Some(uid) => {
                            Ok(OwnNetns { theirs: self.0, ours: ours.st_ino })
                        }
                        Some(_) => Err(foreign("it belongs to a user namespace that somebody else made")),
                        None => Err(foreign(nobodys)),
                    };
                }
                Err(errno) => return Err(Error::when("ask where the user namespace was made")(errno)),
            }
        }
        Err(foreign("its user namespaces are nested deeper than there can be"))
    }
}

impl OwnNetns {
    /// The kernel's number for the network namespace that we are in, which stays as it is.
    #[must_use]
    pub const fn ours(&self) -> u64 {
        self.ours
    }

    /// What `/proc/PID/cgroup` says of this process, if it is the one that the namespace was opened by, or another in it. The
    /// caller's own credentials must be in force.
    ///
    /// # Errors
    /// It is not in it, or has ended.
    pub fn cgroup_of(&self, pid: i32) -> Result<Vec<u8>, Error> {
        let when = || Error::when(format!("look at the control group of process {pid}"));
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let process = open(format!("/proc/{pid}").as_str(), flags, Mode::empty()).map_err(when())?;
        let netns = fstatat(&process, "ns/net", AtFlags::empty()).map_err(when())?;
        if !is(&self.theirs, &netns) {
            return Err(when()(Errno::ESRCH));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&process, "cgroup", flags, Mode::empty()).map_err(when())?;
        contents(std::fs::File::from(file)).map_err(when())
    }
}

impl AsFd for OwnNetns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.theirs.as_fd()
    }
}

/// The kernel's number for the network namespace that we are in.
///
/// # Errors
/// `/proc` does not say.
pub fn own_netns() -> Result<u64, Error> {
    stat("/proc/self/ns/net").map(|status| status.st_ino).map_err(Error::when("look at /proc/self/ns/net"))
}

/// One namespace has one inode: `namespaces(7)`.
pub(super) fn is(namespace: &OwnedFd, other: &FileStat) -> bool {
    fstat(namespace).is_ok_and(|status| (status.st_dev, status.st_ino) == (other.st_dev, other.st_ino))
}

/// Answers which interfaces there are in the network namespace that we are in.
#[derive(Debug)]
pub struct Interfaces(std::os::unix::net::UnixDatagram);

impl Interfaces {
    /// A socket to ask by; of any kind.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn open() -> Result<Self, Error> {
        std::os::unix::net::UnixDatagram::unbound()
            .map(Self)
            .map_err(|error| Error::when("open a socket")(super::trusted::errno(&error)))
    }

    /// The name of the interface with this index. Ok(None): there is none.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn name(&self, index: u32) -> Result<Option<Vec<u8>>, Error> {
        let index = i32::try_from(index).map_err(|_| Error::when("look for an interface")(Errno::EINVAL))?;
        match sys::interface_name(self.0.as_fd(), index) {
            Ok(name) => Ok(Some(name)),
            Err(Errno::ENODEV) => Ok(None),
            Err(errno) => Err(Error::when("look for an interface")(errno)),
        }
    }

    /// Its address. Ok(None): there is none of this name.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn mac(&self, name: &[u8]) -> Result<Option<Mac>, Error> {
        match sys::interface_mac(self.0.as_fd(), name) {
            Ok(mac) => Ok(Some(Mac(mac))),
            Err(Errno::ENODEV) => Ok(None),
            Err(errno) => Err(Error::when("look for an interface")(errno)),
        }
    }
}
