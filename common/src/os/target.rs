//! The process whose map is to be written: one `/proc/PID` directory, opened once with the caller's own rights and
//! held. Everything later goes through that descriptor, so a recycled pid cannot take the process's place.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag, fstat, stat};
use nix::sys::statfs::{FsType, PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{Whence, lseek, write};

use super::namespace::{self, Relation};
use super::sys;
use super::trusted::{errno, open};
use crate::Error;
use crate::policy::limits;
use crate::policy::text::lines;

/// How the caller names the target, its descriptor already in our own hands.
#[derive(Debug)]
pub enum Named {
    /// By number, 1 to 2147483647.
    Pid(i32),
    /// By a descriptor: an open `/proc/PID` directory, or a pidfd.
    Descriptor(i32, OwnedFd),
}

impl Named {
    /// Takes a copy of descriptor `number`, before we open anything that could be given the same number.
    ///
    /// # Errors
    /// It is not open.
    pub fn descriptor(number: i32) -> Result<Self, Error> {
        let copy = sys::duplicate(number).map_err(|errno| {
            if errno == Errno::EBADF {
                Error::NotAProcess { number, what: "not an open descriptor" }
            } else {
                Error::when(format!("copy fd:{number}"))(errno)
            }
        })?;
        Ok(Self::Descriptor(number, copy))
    }
}

/// Since 6.9 a pidfd is a file of this file system (`linux/magic.h`: `PID_FS_MAGIC`); before, an anonymous inode.
const PID_FS_MAGIC: FsType = FsType(0x5049_4446);
const ANON_INODE_FS_MAGIC: FsType = FsType(0x0904_1934);

/// Looked at when its directory has been opened by its pid: if it lives then, the pid was nobody else's, and the directory is its own.
const HAS_ENDED: &str = "of a process that has ended";

/// A live process's `/proc` directory, held: that of the `/proc` which is mounted here, so nobody but root has mounted anything in it.
#[derive(Debug)]
pub struct Target {
    directory: OwnedFd,
    device: u64,
    uid: u32,
    gid: u32,
}

impl Target {
    /// Opens it. The caller's own credentials must be in force.
    ///
    /// # Errors
    /// No such process, or the descriptor is not of a process of this `/proc`.
    pub fn open(named: &Named) -> Result<Self, Error> {
        match named {
            Named::Pid(pid) => Self::hold(open_process(*pid)?),
            Named::Descriptor(number, descriptor) => {
                let wrong = |what: &'static str| Error::NotAProcess { number: *number, what };
                let file_system = fstatfs(descriptor).map_err(Error::when(format!("use fd:{number}")))?;
                match file_system.filesystem_type() {
                    PROC_SUPER_MAGIC => {
                        let named = Self::hold(descriptor.try_clone().map_err(|_| wrong("lost"))?)?;
                        let our_proc = stat("/proc/self/").map_err(Error::when("look at /proc/self"))?;
                        if named.device != our_proc.st_dev {
                            return Err(wrong("of another /proc than the one mounted here"));
                        }
                        // It may come from a mount namespace of the caller's, where other files are mounted over this process's.
                        // So, as with a pidfd, it only finds the process.
                        let (pid, _) = named.identity()?;
                        let target = Self::hold(open_process(pid)?)?;
                        named.identity().map_err(|_| wrong(HAS_ENDED))?;
                        Ok(target)
                    }
                    ANON_INODE_FS_MAGIC | PID_FS_MAGIC => {
                        let pid = pid_behind(descriptor)
                            .ok_or(wrong("neither a pidfd of a process here nor /proc/PID"))?;
                        let target = Self::hold(open_process(pid)?)?;
                        if has_ended(descriptor) {
                            return Err(wrong(HAS_ENDED));
                        }
                        Ok(target)
                    }
                    _ => Err(wrong("neither a /proc/PID directory nor a pidfd")),
                }
            }
        }
    }

    fn hold(directory: OwnedFd) -> Result<Self, Error> {
        let not_a_process = |errno| Error::when("could not open proc directory for target")(errno);
        let status = fstat(&directory).map_err(not_a_process)?;
        if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFDIR {
            return Err(not_a_process(Errno::ENOTDIR));
        }
        let file_system = fstatfs(&directory).map_err(not_a_process)?;
        if file_system.filesystem_type() != PROC_SUPER_MAGIC {
            return Err(Error::Untrusted {
                path: "/proc".to_owned(),
                owner: status.st_uid,
                why: "is not procfs here".to_owned(),
            });
        }
        Ok(Self { directory, device: status.st_dev, uid: status.st_uid, gid: status.st_gid })
    }

    /// The process's effective uid.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.uid
    }

    /// The process's effective gid.
    #[must_use]
    pub const fn gid(&self) -> u32 {
        self.gid
    }

    /// How its user namespace stands to ours.
    ///
    /// # Errors
    /// It could not be asked for.
    pub fn namespace(&self) -> Result<Relation, Error> {
        namespace::relation(self.directory.as_fd())
    }

    /// Its pid, and when it started in clock ticks since boot: together these name a process for good. For the log.
    ///
    /// # Errors
    /// What the kernel said; or it is no process, but something else in `/proc`.
    pub fn identity(&self) -> Result<(i32, u64), Error> {
        let not_a_process =
            || Error::when("the target is not the /proc directory of a process")(Errno::ENOENT);
        let no_file = [Errno::ENOENT, Errno::EISDIR, Errno::ENOTDIR, Errno::EINVAL];
        let line = self.contents_of("stat").map_err(|errno| {
            if no_file.contains(&errno) {
                not_a_process()
            } else {
                Error::when("could not read who the target is")(errno)
            }
        })?;
        let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<u64>().ok();
        let fields = |text| <[u8]>::split(text, u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let pid = fields(&line).next().and_then(number).and_then(|pid| i32::try_from(pid).ok());
        // proc_pid_stat(5): the second field is a name in parentheses that may hold anything; the 22nd is wanted.
        let after_name = line.rsplit(|byte| *byte == b')').next();
        let start = after_name.and_then(|after| fields(after).nth(19)).and_then(number);
        pid.zip(start).ok_or_else(not_a_process)
    }

    /// What one of its files says. None: it cannot be read.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.contents_of(name).ok()
    }

    fn contents_of(&self, name: &str) -> nix::Result<Vec<u8>> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        contents(File::from(openat(&self.directory, name, flags, Mode::empty())?))
    }

    /// Does one of its files belong to root although the process does not? So it does when it is not dumpable.
    #[must_use]
    pub fn is_undumpable(&self, name: &str) -> bool {
        let status = nix::sys::stat::fstatat(&self.directory, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW);
        status.is_ok_and(|status| status.st_uid != self.uid)
    }

    /// Opens one of its files for reading and writing: a regular file, of this `/proc`, never through a link.
    ///
    /// # Errors
    /// The kernel refuses, or it is no such file.
    pub fn open_to_write(&self, name: &str) -> nix::Result<WriteOnce> {
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.directory, name, flags, Mode::empty())?;
        let status = fstat(&file)?;
        let regular = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
        if regular && status.st_dev == self.device {
            Ok(WriteOnce { file: File::from(file), moved: Cell::new(false) })
        } else {
            Err(Errno::ENOTSUP)
        }
    }
}

/// A file that the kernel takes whole, at offset 0, in one call: `uid_map`, `gid_map`, `setgroups`.
#[derive(Debug)]
pub struct WriteOnce {
    file: File,
    /// Has reading moved the offset?
    moved: Cell<bool>,
}

impl WriteOnce {
    /// What it says now.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn read(&self) -> nix::Result<Vec<u8>> {
        let text = contents(&self.file);
        // Who finds nothing has not moved it.
        self.moved.set(self.moved.get() || !text.as_ref().is_ok_and(Vec::is_empty));
        text
    }

    /// The same once more, from its beginning.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn read_again(&self) -> nix::Result<Vec<u8>> {
        self.rewind()?;
        self.read()
    }

    /// One write or none: a rest could never be written.
    ///
    /// # Errors
    /// What the kernel said; `EIO` if it took a part, which it never does.
    pub fn write(&self, text: &str) -> nix::Result<()> {
        self.rewind()?;
        match write(&self.file, text.as_bytes())? {
            written if written == text.len() => Ok(()),
            _ => Err(Errno::EIO),
        }
    }

    fn rewind(&self) -> nix::Result<()> {
        if self.moved.replace(false) { lseek(&self.file, 0, Whence::SeekSet).map(drop) } else { Ok(()) }
    }
}

fn open_process(pid: i32) -> Result<OwnedFd, Error> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(format!("/proc/{pid}").as_str(), flags, Mode::empty())
        .map_err(Error::when(format!("could not open proc directory for target {pid}")))
}

/// The pid behind a pidfd, from the kernel's description of our own descriptor: `pidfd_open(2)`. It only *finds* the
/// process; what the caller may do to it is asked of that process's `/proc` directory like any other's.
fn pid_behind(pidfd: &OwnedFd) -> Option<i32> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let info = open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let text = contents(File::from(info)).ok()?;
    let pid = lines(&text).find_map(|line| line.strip_prefix(b"Pid:"))?.trim_ascii();
    let pid = i32::try_from(crate::policy::id::decimal(pid).ok()?).ok()?;
    (pid > 0).then_some(pid)
}

/// A pidfd becomes readable when its process ends: `pidfd_open(2)`.
fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO) != Ok(0)
}

/// A full id map of 340 extents has 11220 bytes; nothing else that is read here is as long.
const LONGEST: usize = 16 * 1024;

/// All of a `/proc` file, or its first [`LONGEST`] bytes. The kernel hands out what fits in a page, in whole lines; none
/// of these files has a line as long as half a page, so less than that is the end.
///
/// # Errors
/// What the kernel said.
pub fn contents(mut file: impl Read) -> nix::Result<Vec<u8>> {
    let mut text = Vec::new();
    while text.len() < LONGEST {
        let mut page = [0_u8; 4096];
        let read = file.read(&mut page).map_err(|error| errno(&error))?;
        text.extend_from_slice(page.get(..read).unwrap_or_default());
        if read < page.len().div_ceil(2) {
            break;
        }
    }
    Ok(text)
}

/// Of `/proc/self/mountinfo`, the lines that matter here: [`limits::says_something`]. Of others there may be as many, and as long, as
/// somebody likes who can mount by FUSE; what is longer than any that matters is passed over.
///
/// # Errors
/// It cannot be read; or what matters has more than a megabyte.
pub fn own_mountinfo() -> nix::Result<Vec<u8>> {
    const LONGEST_LINE: usize = 64 * 1024;
    const MOST: usize = 1 << 20;
    let path = "/proc/self/mountinfo";
    let mut file = File::from(open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?);
    let (mut kept, mut line, mut is_long, mut page) = (Vec::new(), Vec::new(), false, [0_u8; 4096]);
    loop {
        let read = file.read(&mut page).map_err(|error| errno(&error))?;
        if read == 0 {
            return Ok(kept);
        }
        for piece in page.get(..read).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            if !is_long {
                line.extend_from_slice(piece);
                is_long = line.len() > LONGEST_LINE;
            }
            // The kernel ends every line.
            if let Some((b'\n', _)) = piece.split_last() {
                if !is_long && limits::says_something(line.strip_suffix(b"\n").unwrap_or(&line)) {
                    kept.extend_from_slice(&line);
                }
                line.clear();
                is_long = false;
            }
        }
        if kept.len() > MOST {
            return Err(Errno::EFBIG);
        }
    }
}

/// As std's, but for one thing: a read that is interrupted is a failure, and not tried again for ever.
pub(super) fn read_to_end(mut file: impl Read) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut page = [0_u8; 4096];
    loop {
        match file.read(&mut page)? {
            0 => return Ok(text),
            read => text.extend_from_slice(page.get(..read).unwrap_or_default()),
        }
    }
}

/// What `/proc/self/NAME` says; None if it cannot be read.
#[must_use]
pub fn read_own(name: &str) -> Option<Vec<u8>> {
    contents(open_own(name)?).ok()
}

/// Opens `/proc/self/NAME` for reading; None if it cannot be.
#[must_use]
pub(super) fn open_own(name: &str) -> Option<File> {
    let path = format!("/proc/self/{name}");
    open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map(File::from).ok()
}
