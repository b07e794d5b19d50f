//! Which host ids are mapped just now: by the id maps of all processes that can be seen.
//!
//! This costs a look at every process of the host. It sees user namespaces that have a process in them; and it is what is so
//! at that moment: two requests at the same time may both be granted.

use std::fs::File;
use std::os::fd::AsFd;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat, stat};

use super::netns::is;
use super::sys;
use super::target::{contents, own_mountinfo, read_own};
use crate::Error;
use crate::policy::host::{self, Live};
use crate::policy::id::{self, Range};
use crate::policy::idmap::{Kind, host_ids_of_map};
use crate::policy::limits::proc_hides_processes;

/// The first process in another user namespace than ours that maps an id which is wanted.
///
/// # Errors
/// It cannot be known: `/proc` hides processes, or cannot be read.
pub fn user_of(wanted: &[Range], kind: Kind) -> Result<Option<Live>, Error> {
    if wanted.is_empty() {
        return Ok(None);
    }
    let mountinfo = own_mountinfo().map_err(Error::when("look for user namespaces that map these ids"))?;
    if proc_hides_processes(&mountinfo) != Some(false) {
        return Err(Error::when(
            "look for user namespaces that map these ids: /proc hides processes of others (hidepid)",
        )(Errno::EACCES));
    }
    // A map of all there is, as we have it ourselves, is no claim to any of it.
    let ours = read_own(kind.map_file()).unwrap_or_default();
    let when = || Error::when("look for user namespaces that map these ids");
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut proc = Dir::open("/proc", flags, Mode::empty()).map_err(when())?;
    let mut pids = Vec::new();
    for entry in proc.iter() {
        let entry = entry.map_err(when())?;
        let pid = id::decimal(entry.file_name().to_bytes()).ok().and_then(|pid| i32::try_from(pid).ok());
        pids.extend(pid);
    }
    for pid in pids {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let map = openat(&proc, format!("{pid}/{}", kind.map_file()).as_str(), flags, Mode::empty());
        let map = match map.and_then(|map| contents(File::from(map))) {
            Ok(map) => map,
            // It has ended; EINVAL, just now (`proc_id_map_open()`).
            Err(Errno::ENOENT | Errno::ESRCH | Errno::EINVAL) => continue,
            Err(errno) => return Err(when()(errno)),
        };
        if map == ours {
            continue;
        }
        let found = host_ids_of_map(&map).into_iter().find_map(|range| host::first_wanted(wanted, range));
        if let Some(id) = found {
            return Ok(Some(Live { id, pid }));
        }
    }
    Ok(None)
}

/// A user namespace that is alive: somebody is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserNamespace {
    /// The kernel's number for it.
    pub number: u64,
    /// A process in it.
    pub pid: i32,
    /// The uid of whoever made it.
    pub owner: u32,
    /// Was it made in ours, and not in one below?
    pub is_child: bool,
    /// The ids of ours that are in it.
    pub ids: Vec<Range>,
}

/// All user namespaces but our own that a process is in which can be looked into; and how many processes cannot.
///
/// For `nsgate` alone; here, since who made a namespace only an ioctl says that neither nix nor rustix has a safe call for.
///
/// # Errors
/// There is no `/proc`.
pub fn user_namespaces(kind: Kind) -> nix::Result<(Vec<UserNamespace>, usize)> {
    let ours = stat("/proc/self/ns/user")?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut proc = Dir::open("/proc", flags, Mode::empty())?;
    let entries: Vec<_> = proc.iter().collect::<nix::Result<_>>()?;
    let pids = entries.iter().filter_map(|entry| id::decimal(entry.file_name().to_bytes()).ok());
    let (mut found, mut hidden): (Vec<UserNamespace>, usize) = (Vec::new(), 0);
    for pid in pids.filter_map(|pid| i32::try_from(pid).ok()) {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let namespace = match openat(&proc, format!("{pid}/ns/user").as_str(), flags, Mode::empty()) {
            Ok(namespace) => namespace,
            Err(Errno::ENOENT | Errno::ESRCH) => continue,
            Err(_) => {
                hidden = hidden.saturating_add(1);
                continue;
            }
        };
        let Ok(status) = fstat(&namespace) else { continue };
        if is(&namespace, &ours) || found.iter().any(|known| known.number == status.st_ino) {
            continue;
        }
        let is_child = sys::namespace_parent(namespace.as_fd()).is_ok_and(|parent| is(&parent, &ours));
        let Ok(owner) = sys::namespace_owner(namespace.as_fd()) else { continue };
        let map = openat(&proc, format!("{pid}/{}", kind.map_file()).as_str(), flags, Mode::empty());
        let ids = map.and_then(|map| contents(File::from(map))).unwrap_or_default();
        let ids = id::merged(host_ids_of_map(&ids));
        found.push(UserNamespace { number: status.st_ino, pid, owner, is_child, ids });
    }
    Ok((found, hidden))
}
