//! The locks that shadow's programs take before they change a file: `useradd`, `usermod`, `vipw` and libsubid wait for us, and we
//! for them.
//!
//! There are two, in this order. `/etc/.pwd.lock` has a record lock of the kernel's on it, which ends with its process (lckpwdf(3)).
//! `FILE.lock` has the pid of its process in it and comes to be by link(2), so it comes to be once; it is stale when there is no
//! such process. As whoever makes or removes one has the first lock, two never take over one stale lock. `lxc-usernet` and
//! `nsgate.ini`, which nobody else locks, are treated alike.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::policy::id;
use common::policy::text::Quoted;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, fcntl, openat};
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};
use nix::unistd::{Pid, UnlinkatFlags, linkat, unlinkat};

use super::place::{Place, remount, removal};
use super::replace::{Temporary, prefix};
use crate::failure::Failure;
use crate::output::complain;
use crate::root::Root;

/// As long as shadow's programs wait, and lckpwdf(3).
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);
/// Whoever sits before it is told after so long why nothing happens.
const SILENCE: Duration = Duration::from_secs(1);

/// The locks of some files. They are gone with the value.
#[derive(Debug)]
pub struct Lock<'a> {
    /// Last in, first out: the files' own locks first.
    files: Vec<Held<'a>>,
    passwords: Option<OwnedFd>,
}

#[derive(Debug)]
struct Held<'a> {
    place: &'a Place,
    name: String,
    inode: u64,
    /// While this is so, it takes SIGKILL to leave it behind.
    interruptions: Option<Later>,
}

impl<'a> Lock<'a> {
    /// Takes the locks of these files, in this order: shadow's is subuid, subgid. Removes what a killed predecessor has left.
    ///
    /// # Errors
    /// Somebody has them and keeps them, or they cannot be made.
    pub fn take(root: &Root, places: impl IntoIterator<Item = &'a Place>) -> Result<Self, Failure> {
        let mut lock = Self { files: Vec::new(), passwords: Some(lock_passwords(root)?) };
        for place in places {
            let held = Held::take(place)?;
            lock.files.push(held);
            remove_leftovers(place);
        }
        Ok(lock)
    }

    /// Lets other programs at `/etc/passwd` and the rest while somebody thinks in front of an editor. The file's own lock stays:
    /// another nsgate waits for that, and shadow's programs say who has it and write nothing. To hold both for so long, as vipw does,
    /// would keep everybody from a new password.
    pub fn keep_the_files_only(&mut self) {
        self.passwords = None;
        for held in self.files.iter_mut().rev() {
            held.interruptions = None;
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        while self.files.pop().is_some() {}
        self.passwords = None;
    }
}

/// Signals that ask us to end are heard when this has gone.
#[derive(Debug)]
struct Later(Option<SigSet>);

impl Later {
    fn begin() -> Self {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT]);
        // If they come through, they leave what a kill leaves.
        Self(signals.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok())
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        if let Some(before) = self.0 {
            before.thread_set_mask().unwrap_or_default();
        }
    }
}

/// A wait with an end.
struct Wait {
    since: Instant,
    told: bool,
}

impl Wait {
    fn begin() -> Self {
        Self { since: Instant::now(), told: false }
    }

    /// Waits a little. False: that was long enough.
    fn on(&mut self, what: &str, holder: Option<i32>) -> bool {
        let waited = self.since.elapsed();
        if waited >= PATIENCE {
            return false;
        }
        if waited >= SILENCE && !self.told {
            complain(&format!("nsgate: waiting for {what}, which {} has\n", process(holder)));
            self.told = true;
        }
        sleep(PAUSE);
        true
    }
}

/// A process, as a person knows it.
fn process(pid: Option<i32>) -> String {
    let Some(pid) = pid else { return "another process".to_owned() };
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    match name.trim_ascii_end() {
        [] => format!("process {pid}"),
        name => format!("process {pid} ({})", Quoted(name)),
    }
}

fn lock_passwords(root: &Root) -> Result<OwnedFd, Failure> {
    const PATH: &str = "/etc/.pwd.lock";
    let remove = removal(root.is_live(), PATH);
    let cannot = |errno: Errno| match errno {
        Errno::ELOOP => Failure::new(format!("{PATH} is a symbolic link, which no lock file is: {remove}")),
        Errno::EROFS => Failure::new(format!(
            "/etc is on a file system that is mounted read-only; where it is meant to be written: {}",
            remount(root.is_live(), "/etc")
        )),
        errno => Failure::new(format!("cannot lock {PATH}: {}", errno.desc())),
    };
    let etc = root.open_at("/etc", OFlag::O_RDONLY | OFlag::O_DIRECTORY);
    let etc = etc.map_err(|errno| Failure::new(format!("cannot open /etc: {}", errno.desc())))?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(&etc, ".pwd.lock", flags, Mode::from_bits_truncate(0o600)).map_err(cannot)?;
    let status = fstat(&file).map_err(cannot)?;
    if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(Failure::new(format!("{PATH} is not a regular file: {remove}")));
    }
    let mut wait = Wait::begin();
    loop {
        match fcntl(&file, FcntlArg::F_SETLK(&whole(libc::F_WRLCK))) {
            Ok(_) => return Ok(file),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => {
                let mut holder = whole(libc::F_WRLCK);
                let found = fcntl(&file, FcntlArg::F_GETLK(&mut holder));
                let pid = found.ok().and(Some(holder.l_pid)).filter(|pid| *pid > 0);
                if !wait.on(PATH, pid) {
                    return Err(Failure::new(format!(
                        "{PATH} is locked by {}: somebody changes accounts or ids just now; try again when that has ended",
                        process(pid)
                    )));
                }
            }
            Err(errno) => return Err(cannot(errno)),
        }
    }
}

fn whole(kind: i32) -> libc::flock {
    let short = |number: i32| libc::c_short::try_from(number).unwrap_or_default();
    libc::flock { l_type: short(kind), l_whence: short(libc::SEEK_SET), l_start: 0, l_len: 0, l_pid: 0 }
}

impl<'a> Held<'a> {
    fn take(place: &'a Place) -> Result<Self, Failure> {
        let name = format!("{}.lock", place.name);
        let path = format!("{}.lock", place.path);
        let cannot = |errno: Errno| place.cannot_make(&name, errno);
        let pid = std::process::id();
        let mut mine = Temporary::make(place)?;
        // The NUL is shadow's, and some of its readers want it.
        mine.file
            .write_all(format!("{pid}\0").as_bytes())
            .map_err(Failure::when(format!("cannot make {path}")))?;
        let inode = fstat(&mine.file).map_err(cannot)?.st_ino;
        let mut wait = Wait::begin();
        loop {
            let interruptions = Some(Later::begin());
            match linkat(place.directory(), mine.name(), place.directory(), name.as_str(), AtFlags::empty()) {
                Ok(()) => return Ok(Self { place, name, inode, interruptions }),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(cannot(errno)),
            }
            drop(interruptions);
            let holder = match holder(place, &name, &path)? {
                Holder::Gone => continue,
                Holder::Dead => {
                    match unlinkat(place.directory(), name.as_str(), UnlinkatFlags::NoRemoveDir) {
                        Ok(()) | Err(Errno::ENOENT) => continue,
                        Err(errno) => {
                            return Err(Failure::new(format!(
                                "cannot remove the stale {path}: {}",
                                errno.desc()
                            )));
                        }
                    }
                }
                Holder::Alive(pid) => pid,
                // What comes to be by link(2) is never without it for a moment: this one stays as it is.
                Holder::Unknown => {
                    let edits = place.path;
                    return Err(Failure::new(format!(
                        "{path} is there and does not say whose it is, as after a crash of the machine; if nobody edits {edits}: {}",
                        place.remove_lock()
                    )));
                }
            };
            if !wait.on(&path, Some(holder)) {
                return Err(Failure::new(format!(
                    "{path} is held by {}; try again when that has ended, or if it is no program that edits {}: {}",
                    process(Some(holder)),
                    place.path,
                    place.remove_lock()
                )));
            }
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Whoever took it for stale and removed it has his own there now.
        let there = fstatat(self.place.directory(), self.name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        if there.is_ok_and(|there| there.st_ino == self.inode) {
            unlinkat(self.place.directory(), self.name.as_str(), UnlinkatFlags::NoRemoveDir)
                .unwrap_or_default();
        }
    }
}

enum Holder {
    /// Just now the lock file went away.
    Gone,
    /// Its process did.
    Dead,
    Alive(i32),
    /// It has no pid in it: after a crash of the machine it may be empty. Shadow's programs do not touch it either.
    Unknown,
}

fn holder(place: &Place, name: &str, path: &str) -> Result<Holder, Failure> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = match openat(place.directory(), name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::ENOENT) => return Ok(Holder::Gone),
        Err(Errno::ELOOP) => {
            return Err(Failure::new(format!(
                "{path} is a symbolic link, which no lock file is: {}",
                place.remove_lock()
            )));
        }
        Err(errno) => return Err(Failure::new(format!("cannot open {path}: {}", errno.desc()))),
    };
    let status = fstat(&file).map_err(Failure::when(format!("cannot look at {path}")))?;
    if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(Failure::new(format!(
            "{path} is not a regular file, which every lock file is: remove it"
        )));
    }
    let mut text = Vec::new();
    file.take(32).read_to_end(&mut text).map_err(Failure::when(format!("cannot read {path}")))?;
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let pid = id::decimal(text.get(..end).unwrap_or_default().trim_ascii()).ok();
    let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0) else {
        return Ok(Holder::Unknown);
    };
    let is_own = u32::try_from(pid).is_ok_and(|pid| pid == std::process::id());
    match kill(Pid::from_raw(pid), None) {
        // We do not have it: a predecessor had our pid.
        _ if is_own => Ok(Holder::Dead),
        Err(Errno::ESRCH) => Ok(Holder::Dead),
        Ok(()) | Err(_) => Ok(Holder::Alive(pid)),
    }
}

/// Whoever had the lock before and was killed has left files of ours. Now nobody else writes any.
fn remove_leftovers(place: &Place) {
    let prefix = prefix(place.name);
    let Ok(mut directory) = rustix::fs::Dir::read_from(place.directory()) else { return };
    let mut names = Vec::new();
    while let Some(Ok(entry)) = directory.read() {
        let name = entry.file_name().to_bytes();
        if name.starts_with(prefix.as_bytes()) {
            names.push(name.to_vec());
        }
    }
    for name in names {
        unlinkat(place.directory(), OsStr::from_bytes(&name), UnlinkatFlags::NoRemoveDir).unwrap_or_default();
    }
}
