//! Is a process limited? By control group, and by `setrlimit(2)`: what the kernel says of it just now.
//!
//! A limit of a control group counts if its file is root's: one that the user can lift is none.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs};

use super::target::{contents, own_mountinfo};
use super::trusted::roots_alone;
use crate::Error;
use crate::policy::host::{Fact, Facts};
use crate::policy::limits::{Place, Version, file, is_finite, is_limit, place};
use crate::policy::settings::{Controller, Idmap, Ulimit};

/// A process, and what its `/proc/PID/cgroup` and `/proc/PID/limits` say. None: they cannot be read.
#[derive(Debug)]
pub struct Limited<'a> {
    /// What to call it.
    pub who: &'static str,
    /// `cgroup`
    pub cgroup: Option<&'a [u8]>,
    /// `limits`
    pub limits: Option<&'a [u8]>,
}

/// For the rules that ask for limits: is there something that has none?
pub fn find(rules: &Idmap, processes: &[Limited<'_>], facts: &mut Facts) {
    facts.no_limit = match &rules.require_limits {
        Some(limits) => facts.or_why_not(not_limited(&limits.value, processes)),
        None => Fact::Nothing,
    };
    facts.no_ulimit = rules.ulimits.as_ref().and_then(|ulimits| not_finite(&ulimits.value, processes)).into();
}

/// The first of these that is not limited for one of these processes, in words. None: all are.
///
/// # Errors
/// The kernel does not say.
pub fn not_limited(controllers: &[Controller], processes: &[Limited<'_>]) -> Result<Option<String>, Error> {
    if controllers.is_empty() {
        return Ok(None);
    }
    let mountinfo = own_mountinfo().map_err(Error::when("look for control groups"))?;
    for controller in controllers {
        for Limited { who, cgroup, .. } in processes {
            let place = place(*controller, cgroup.unwrap_or_default(), &mountinfo);
            let limited = place.map(|place| has_limit(*controller, &place)).transpose()?.unwrap_or(false);
            if !limited {
                return Ok(Some(format!(
                    "{} is not limited for {who}, by its control group or one above it",
                    controller.word()
                )));
            }
        }
    }
    Ok(None)
}

/// The same of these limits.
#[must_use]
fn not_finite(ulimits: &[Ulimit], processes: &[Limited<'_>]) -> Option<String> {
    ulimits.iter().find_map(|ulimit| {
        let has_none = |process: &&Limited<'_>| !is_finite(process.limits.unwrap_or_default(), *ulimit);
        let who = processes.iter().find(has_none)?.who;
        Some(format!("{} has no limit (ulimit, RLIMIT_{})", who, ulimit.word.to_ascii_uppercase()))
    })
}

/// Is there a limit in this group or one above it?
fn has_limit(controller: Controller, place: &Place) -> Result<bool, Error> {
    let when = || Error::when("look at a control group");
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let top = std::ffi::OsStr::from_bytes(&place.mounted_on);
    let mut group = open(top, flags, Mode::empty()).map_err(when())?;
    let magic = match place.version {
        Version::V1 => CGROUP_SUPER_MAGIC,
        Version::V2 => CGROUP2_SUPER_MAGIC,
    };
    if fstatfs(&group).map_err(when())?.filesystem_type() != magic {
        return Ok(false);
    }
    let mut names = place.path.iter();
    loop {
        if limited_here(controller, place.version, &group)? {
            return Ok(true);
        }
        let Some(name) = names.next() else { return Ok(false) };
        group = match openat(&group, name.as_slice(), flags, Mode::empty()) {
            Ok(below) => below,
            // It has been removed since.
            Err(Errno::ENOENT) => return Ok(false),
            Err(errno) => return Err(when()(errno)),
        };
    }
}

fn limited_here(controller: Controller, version: Version, group: &OwnedFd) -> Result<bool, Error> {
    let when = || Error::when("look at a control group");
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let limit = match openat(group, file(version, controller), flags, Mode::empty()) {
        Ok(limit) => limit,
        // The root of version 2 has none, nor has a group where the controller is not enabled.
        Err(Errno::ENOENT | Errno::EACCES) => return Ok(false),
        Err(errno) => return Err(when()(errno)),
    };
    let status = fstat(&limit).map_err(when())?;
    if roots_alone("", &status).is_err() {
        return Ok(false);
    }
    match contents(File::from(limit)) {
        Ok(text) => Ok(is_limit(version, controller, &text)),
        Err(Errno::ENODEV) => Ok(false),
        Err(errno) => Err(when()(errno)),
    }
}
