//! Replaces a policy file: the old one, or the new one, whatever happens in between.
//!
//! 1. The new text is written beside the old file, under a name that nobody can guess, with the old one's owner, mode and
//!    extended attributes, and is on the disk (fsync) before anything else happens.
//! 2. So is the backup `FILE-`, which shadow's programs keep too.
//! 3. The backup, then the file, is renamed to its name: for whoever opens it, one moment it is the old and the next the new one.
//! 4. The directory is on the disk.
//!
//! What is left by a kill in between has a name of ours and is removed by whoever has the lock next.

use std::fs::File;
use std::io::Write;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fsync, unlinkat};

use super::place::{Found, Place};
use crate::failure::Failure;

/// A file that is there for a while. It goes with the value, unless it was renamed.
#[derive(Debug)]
pub struct Temporary<'a> {
    place: &'a Place,
    name: String,
    /// To write to.
    pub file: File,
    is_there: bool,
}

/// Begins the name of every file of ours that is there for a while.
#[must_use]
pub fn prefix(name: &str) -> String {
    format!(".{name}.nsgate.")
}

/// With the limit on a file's size reached, a write is to fail and not to kill.
///
/// # Errors
/// The signal cannot be blocked.
pub fn writes_fail_at_the_limit() -> Result<(), Failure> {
    let mut too_large = SigSet::empty();
    too_large.add(Signal::SIGXFSZ);
    too_large.thread_block().map_err(Failure::when("cannot block a signal"))
}

impl<'a> Temporary<'a> {
    /// Makes one, for root's eyes alone.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(place: &'a Place) -> Result<Self, Failure> {
        writes_fail_at_the_limit()?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        for turn in 0..100 {
            let name = format!("{}{:016x}", prefix(place.name), random().wrapping_add(turn));
            match openat(place.directory(), name.as_str(), flags, Mode::from_bits_truncate(0o600)) {
                Ok(file) => return Ok(Self { place, name, file: File::from(file), is_there: true }),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(place.cannot_make("a file", errno)),
            }
        }
        Err(place.cannot_make("a file", Errno::EEXIST))
    }

    /// Its name in the directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives it this text, and what else the old file had; and waits until all of it is on the disk.
    fn fill(&mut self, bytes: &[u8], like: Option<&Found>, with_times: bool) -> Result<(), Failure> {
        let path = self.place.path;
        let (owner, group, mode) = match like {
            Some(Found { status, .. }) => {
                (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid), status.st_mode & 0o7777)
            }
            None => (nix::unistd::geteuid(), nix::unistd::getegid(), 0o644),
        };
        let cannot = |what: &str| format!("cannot {what} the new {path} (the old one is still there)");
        self.file.write_all(bytes).map_err(Failure::when(cannot("write")))?;
        let now = fstat(&self.file).map_err(Failure::when(cannot("look at")))?;
        if (now.st_uid, now.st_gid) != (owner.as_raw(), group.as_raw()) {
            fchown(&self.file, Some(owner), Some(group))
                .map_err(Failure::when(cannot("set the owner of")))?;
        }
        for (name, value) in like.map(|found| found.attributes.as_slice()).unwrap_or_default() {
            // In a container, an SELinux label may be seen and not set: it has it already.
            let mut now = vec![0; value.len().max(1)];
            let has = rustix::fs::fgetxattr(&self.file, name.as_c_str(), now.as_mut_slice());
            if has.is_ok_and(|length| now.get(..length) == Some(value.as_slice())) {
                continue;
            }
            let flags = rustix::fs::XattrFlags::empty();
            let what = format!("set the attribute {} of", name.to_string_lossy().escape_default());
            rustix::fs::fsetxattr(&self.file, name.as_c_str(), value, flags)
                .map_err(Failure::when(cannot(&what)))?;
        }
        fchmod(&self.file, Mode::from_bits_truncate(mode))
            .map_err(Failure::when(cannot("set the mode of")))?;
        if let Some(found) = like.filter(|_| with_times) {
            let (accessed, modified) = times(&found.status);
            futimens(&self.file, &accessed, &modified).map_err(Failure::when(cannot("set the times of")))?;
        }
        fsync(&self.file).map_err(Failure::when(cannot("write")))
    }

    /// It becomes the file of this name.
    fn rename(&mut self, to: &str) -> nix::Result<()> {
        let directory = self.place.directory();
        renameat(directory, self.name.as_str(), directory, to)?;
        self.is_there = false;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if self.is_there {
            // If it stays, the next one removes it.
            unlinkat(self.place.directory(), self.name.as_str(), UnlinkatFlags::NoRemoveDir)
                .unwrap_or_default();
        }
    }
}

/// Nothing that another process knows. If the kernel gives none: then what is there once; O_EXCL sees to the rest.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        Ok(_) | Err(_) => u64::from(std::process::id()),
    }
}

fn times(status: &FileStat) -> (TimeSpec, TimeSpec) {
    (
        TimeSpec::new(status.st_atime, status.st_atime_nsec),
        TimeSpec::new(status.st_mtime, status.st_mtime_nsec),
    )
}

/// A new text that is on the disk, beside the file that it is to replace.
#[derive(Debug)]
pub struct Prepared<'a> {
    place: &'a Place,
    found: Option<FileStat>,
    new: Temporary<'a>,
    backup: Option<Temporary<'a>>,
}

impl<'a> Prepared<'a> {
    /// Writes the new text, and the backup of the old one.
    ///
    /// # Errors
    /// It could not be written. Nothing has changed.
    pub fn write(place: &'a Place, found: Option<&Found>, bytes: &[u8]) -> Result<Self, Failure> {
        place.may_change()?;
        let mut new = Temporary::make(place)?;
        new.fill(bytes, found, false)?;
        let backup = match found {
            None => None,
            Some(found) => {
                let mut backup = Temporary::make(place)?;
                backup.fill(&found.bytes, Some(found), true)?;
                Some(backup)
            }
        };
        Ok(Self { place, found: found.map(|found| found.status), new, backup })
    }

    /// Puts it in the old one's place.
    ///
    /// # Errors
    /// The old one is still there; or, as the message says then, the new one is, but may not be on the disk.
    pub fn install(mut self) -> Result<(), Failure> {
        let Place { path, name, .. } = self.place;
        self.place.is_still(self.found.as_ref())?;
        if let Some(backup) = &mut self.backup {
            let to = format!("{name}-");
            backup.rename(&to).map_err(|errno| {
                Failure::new(format!(
                    "cannot keep the old {path} as {path}-: {}; nothing was changed",
                    errno.desc()
                ))
            })?;
        }
        self.new.rename(name).map_err(|errno| match errno {
            Errno::EBUSY => Failure::new(format!(
                "{path} is a mount of its own, which cannot be replaced: change the file that is mounted there"
            )),
            errno => Failure::new(format!("cannot replace {path}: {}; the old one is still there", errno.desc())),
        })?;
        fsync(self.place.directory()).map_err(|errno| {
            Failure::new(format!(
                "{path} is the new one, but it is not certain that it will be after a crash: {}",
                errno.desc()
            ))
        })
    }
}
