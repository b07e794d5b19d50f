//! Files in `/etc` that only root can have written.
//!
//! Each file is reached from `/` one name at a time, by descriptor, so that what was checked is what is read. Every
//! directory, symbolic link and file on the way must be root's; directories and the file must not be writable by
//! anybody else. (A sticky directory may be, as NixOS' store is, if it only leads on to a directory of root's in the same file
//! system.) A policy file may so be a symbolic link, as on NixOS and ostree; one that leads nowhere is not the same as no file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use memchr::{memchr, memrchr};
use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{Whence, lseek};
use zeroize::Zeroize;

use super::target::read_to_end;
use crate::Error;
use crate::policy::text::newlines;

const PATH_ONLY: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Never waits (FIFO), never becomes the controlling terminal, never follows a link swapped in.
const READ: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC);

/// As many as the kernel follows: `path_resolution(7)`.
const MOST_LINKS: u32 = 40;

/// The directory `/etc`.
#[derive(Debug)]
pub struct Etc {
    etc: OwnedFd,
    /// Why it, or `/`, is not root's alone. Then there is no policy in it.
    distrust: Option<(&'static str, u32, String)>,
}

/// A file in `/etc`, open for reading.
#[derive(Debug)]
pub struct EtcFile {
    file: File,
    /// Under `/etc`.
    name: &'static str,
    size: usize,
    identity: Identity,
    /// The link of its name, if there is one.
    link: Option<Identity>,
    readable_by_all: bool,
    was_read: bool,
}

/// What there was by the name of a policy file when it was read: this file, or none.
#[derive(Debug)]
pub enum AsRead {
    /// It has been read.
    File(EtcFile),
    /// There was none of this name.
    Nothing(&'static str),
}

impl AsRead {
    /// Is it still so? It is not if there is something now, whatever it is, where nothing was.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn is_as_it_was(&self, etc: &Etc) -> Result<bool, Error> {
        match self {
            Self::File(file) => file.is_as_it_was(etc),
            Self::Nothing(name) => etc.has(name).map(|there| !there),
        }
    }

    /// The file, to be read once more. None: there was none.
    #[must_use]
    pub fn once_more(self) -> Option<EtcFile> {
        match self {
            Self::File(file) => Some(file),
            Self::Nothing(_) => None,
        }
    }
}

/// Which file it is, and in what state: another one, or another text, has another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity {
    device: u64,
    inode: u64,
    size: i64,
    /// The times are not enough by themselves: before 6.13 the kernel's clock for them stands still for milliseconds.
    written: (i64, i64),
    changed: (i64, i64),
}

const fn identity(status: &FileStat) -> Identity {
    Identity {
        device: status.st_dev,
        inode: status.st_ino,
        size: status.st_size,
        written: (status.st_mtime, status.st_mtime_nsec),
        changed: (status.st_ctime, status.st_ctime_nsec),
    }
}

/// Who may have written a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Writer {
    RootAlone,
    Anybody,
}

impl Etc {
    /// Opens `/etc`, whoever owns it: without root's trust it has no policy, but still an account database.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open() -> Result<Self, Error> {
        let root = fstatat(AT_FDCWD, "/", AtFlags::empty()).map_err(Error::when("look at /"))?;
        let etc =
            open("/etc", PATH_ONLY | OFlag::O_DIRECTORY, Mode::empty()).map_err(Error::when("open /etc"))?;
        let status = fstat(&etc).map_err(Error::when("look at /etc"))?;
        let directories = [("/", &root), ("/etc", &status)];
        let distrust =
            directories.into_iter().find_map(|(path, status)| Some((path, status.st_uid, distrust(status)?)));
        // No use for a sticky one here: what is not there yet could be put there.
        let sticky = directories.into_iter().find(|(_, status)| others_can_write(status));
        let distrust = distrust.or(sticky.map(|(path, status)| {
            (
                path,
                status.st_uid,
                "is not trusted: it can be written by others than root; chmod go-w".to_owned(),
            )
        }));
        Ok(Self { etc, distrust })
    }

    /// Opens a policy file. None: there is no such file.
    ///
    /// # Errors
    /// It cannot be read, is not a regular file, or somebody other than root could have written it.
    pub fn policy(&self, name: &'static str) -> Result<Option<EtcFile>, Error> {
        match &self.distrust {
            Some((path, owner, why)) => {
                Err(Error::Untrusted { path: (*path).to_owned(), owner: *owner, why: why.clone() })
            }
            None => self.find(name, Writer::RootAlone),
        }
    }

    /// Opens a file that is not nsgate's to judge, such as the account database: whoever may write that is already
    /// whom he likes. None: there is no such file.
    ///
    /// # Errors
    /// It cannot be read, or is not a regular file.
    pub fn database(&self, name: &'static str) -> Result<Option<EtcFile>, Error> {
        self.find(name, Writer::Anybody)
    }

    /// Is there something of this name, if only a link? Opens nothing, and follows no link but on the way to the name. What the
    /// process may not look at is not there for it.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn has(&self, name: &'static str) -> Result<bool, Error> {
        match fstatat(&self.etc, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) | Err(Errno::ELOOP) => Ok(true),
            Err(Errno::ENOENT | Errno::EACCES) => Ok(false),
            Err(errno) => Err(Error::when(format!("look at /etc/{name}"))(errno)),
        }
    }

    fn find(&self, name: &'static str, writer: Writer) -> Result<Option<EtcFile>, Error> {
        let path = format!("/etc/{name}");
        // Nearly always a plain file. If not, the way to it is walked.
        let plain =
            if name.contains('/') { Err(Errno::ELOOP) } else { openat(&self.etc, name, READ, Mode::empty()) };
        let opened = match plain {
            Err(Errno::ELOOP) => match walk(self.etc.as_fd(), name, &path, writer) {
                // Not the same as no file: somebody has put one there, which may come back (a file system that is not mounted yet).
                Err(Error::System { errno: Errno::ENOENT, .. })
                    if writer == Writer::RootAlone && self.has(name)? =>
                {
                    return Err(leads_nowhere(&path));
                }
                Err(Error::System { errno, .. }) => Err(errno),
                walked => Ok(walked?),
            },
            opened => opened.map(|file| (file, Way { within_reach: true, link: None })),
        };
        match opened {
            Ok((file, way)) => EtcFile::check(file, way, (name, &path), writer).map(Some),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::when(format!("cannot open {path}"))(errno)),
        }
    }
}

/// Is there a library by this absolute path, which only root can have written? Then whoever opens the path gets what was
/// looked at, or what root has put in its place since.
///
/// # Errors
/// It cannot be read, is not a regular file, or somebody other than root could have written or replaced it.
pub fn roots_library(path: &str) -> Result<bool, Error> {
    let root =
        open("/", PATH_ONLY | OFlag::O_DIRECTORY, Mode::empty()).map_err(Error::when("cannot open /"))?;
    let status = fstat(&root).map_err(Error::when("cannot look at /"))?;
    roots_alone(path, &status)?;
    match walk(root.as_fd(), path.trim_start_matches('/'), path, Writer::RootAlone) {
        Ok((file, way)) => EtcFile::check(file, way, ("", path), Writer::RootAlone).map(|_| true),
        Err(Error::System { errno: Errno::ENOENT, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A policy file is a link, and there is nothing at its end.
#[must_use]
pub fn leads_nowhere(path: &str) -> Error {
    let why = "is not trusted: it is a symbolic link that leads nowhere; mend or remove it".to_owned();
    Error::Untrusted { path: path.to_owned(), owner: 0, why }
}

/// How one gets to a file.
struct Way {
    /// May everybody?
    within_reach: bool,
    /// The link that it begins with, if it does.
    link: Option<Identity>,
}

/// Follows symbolic links by hand, to look at each of them and at every directory on the way.
fn walk(from: BorrowedFd<'_>, name: &str, path: &str, writer: Writer) -> Result<(OwnedFd, Way), Error> {
    let when = || Error::when(format!("cannot open {path}"));
    let mut names: VecDeque<Vec<u8>> = name.split('/').map(|part| part.as_bytes().to_vec()).collect();
    let untrusted = |why: &str| Error::Untrusted {
        path: path.to_owned(),
        owner: 0,
        why: format!("is not trusted: it {why}"),
    };
    // Of a directory that others can write: its file system.
    let (mut links, mut shared, mut reached) = (0_u32, None, None::<OwnedFd>);
    let mut way = Way { within_reach: true, link: None };
    while let Some(name) = names.pop_front() {
        let directory = reached.as_ref().map_or(from, AsFd::as_fd);
        let entry = openat(directory, name.as_slice(), PATH_ONLY, Mode::empty());
        let entry = entry.map_err(when())?;
        let status = fstat(&entry).map_err(when())?;
        if writer == Writer::RootAlone {
            roots_alone(path, &status)?;
            // Nor may it be the top of another file system, whose owner is what its maker says: anybody can mount one (FUSE).
            let is_theirs = kind(&status) != SFlag::S_IFDIR || shared != Some(status.st_dev);
            if shared.is_some() && is_theirs {
                return Err(untrusted("is reached through a directory that others can write"));
            }
            // Links in /proc lead where the caller has a file open, or is.
            let file_system = fstatfs(&entry).map_err(when())?;
            if file_system.filesystem_type() == PROC_SUPER_MAGIC {
                return Err(untrusted("is reached through /proc"));
            }
            shared = others_can_write(&status).then_some(status.st_dev);
        }
        match kind(&status) {
            SFlag::S_IFDIR => {
                way.within_reach &= status.st_mode & Mode::S_IXOTH.bits() != 0;
                reached = Some(entry);
            }
            SFlag::S_IFLNK => {
                if links == 0 && reached.is_none() {
                    way.link = Some(identity(&status));
                }
                links = links.saturating_add(1);
                if links > MOST_LINKS {
                    return Err(when()(Errno::ELOOP));
                }
                let target = readlinkat(&entry, "").map_err(when())?;
                if target.as_bytes().starts_with(b"/") {
                    let root = open("/", PATH_ONLY | OFlag::O_DIRECTORY, Mode::empty()).map_err(when())?;
                    reached = Some(root);
                }
                let parts = target.as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty());
                for part in parts.rev() {
                    names.push_front(part.to_vec());
                }
            }
            _ if names.is_empty() => {
                let file = openat(directory, name.as_slice(), READ, Mode::empty());
                return file.map(|file| (file, way)).map_err(when());
            }
            _ => return Err(when()(Errno::ENOTDIR)),
        }
    }
    Err(when()(Errno::EISDIR))
}

/// A directory of root's that others cannot write, by its `name` in another one, or by absolute path; made with this
/// mode if it is missing, where one is given. `path` is for messages.
///
/// # Errors
/// It is not there, is something else, a link, or not root's alone.
pub fn roots_directory(
    parent: Option<&OwnedFd>,
    name: &str,
    path: &str,
    make: Option<Mode>,
) -> Result<OwnedFd, Error> {
    let when = || Error::when(format!("cannot open {path}"));
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let look = || match parent {
        Some(parent) => openat(parent, name, flags, Mode::empty()),
        None => open(name, flags, Mode::empty()),
    };
    let opened = match (look(), parent, make) {
        (Err(Errno::ENOENT), Some(parent), Some(mode)) => {
            // If somebody else has made it meanwhile, what he made is looked at.
            match mkdirat(parent, name, mode) {
                Ok(()) | Err(Errno::EEXIST) => look(),
                Err(errno) => return Err(Error::when(format!("make {path}"))(errno)),
            }
        }
        (opened, _, _) => opened,
    };
    let directory = opened.map_err(when())?;
    let status = fstat(&directory).map_err(when())?;
    if status.st_uid == 0 && others_can_write(&status) {
        let why = "is not trusted: it can be written by others than root; chmod go-w".to_owned();
        return Err(Error::Untrusted { path: path.to_owned(), owner: 0, why });
    }
    roots_alone(path, &status)?;
    Ok(directory)
}

/// Makes sure of a file that only root may have written. A second name, which a user may give it on the same file system where
/// hard links are not protected, gives nobody a right to it.
///
/// # Errors
/// It is something else than a regular file, or not root's alone.
pub fn roots_file(file: &File, path: &str) -> Result<FileStat, Error> {
    let status = fstat(file).map_err(Error::when(format!("cannot look at {path}")))?;
    if kind(&status) != SFlag::S_IFREG {
        let why = "is not a regular file".to_owned();
        return Err(Error::Untrusted { path: path.to_owned(), owner: status.st_uid, why });
    }
    roots_alone(path, &status)?;
    Ok(status)
}

/// In bytes.
#[must_use]
pub fn size_of(status: &FileStat) -> u64 {
    u64::try_from(status.st_size).unwrap_or(0)
}

fn kind(status: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT
}

pub(super) fn roots_alone(path: &str, status: &FileStat) -> Result<(), Error> {
    distrust(status)
        .map_or(Ok(()), |why| Err(Error::Untrusted { path: path.to_owned(), owner: status.st_uid, why }))
}

/// Why a thing is not root's alone: it is another's, or others can write it or replace what root has in it.
fn distrust(status: &FileStat) -> Option<String> {
    let kind = kind(status);
    let sticky_directory = kind == SFlag::S_IFDIR && status.st_mode & Mode::S_ISVTX.bits() != 0;
    let (place, which) = match kind {
        SFlag::S_IFDIR => ("it or a directory on the way to it", " (nsgate check says which)"),
        SFlag::S_IFLNK => ("it or a symbolic link on the way to it", " (nsgate check says which)"),
        _ => ("it", ""),
    };
    if status.st_uid != 0 {
        Some(format!("is not trusted: {place} belongs to uid {}; chown root{which}", status.st_uid))
    } else if others_can_write(status) && !sticky_directory {
        Some(format!("is not trusted: {place} can be written by others than root; chmod go-w{which}"))
    } else {
        None
    }
}

fn others_can_write(status: &FileStat) -> bool {
    kind(status) != SFlag::S_IFLNK && status.st_mode & (Mode::S_IWGRP | Mode::S_IWOTH).bits() != 0
}

/// How much is read at once. A line that does not fit is nobody's line.
const BLOCK: usize = 32 * 1024;

/// What a small file (`nsgate.ini`, `login.defs`, `nsswitch.conf`) may have at most.
pub const SMALL: usize = 1 << 20;

impl EtcFile {
    fn check(
        file: OwnedFd,
        way: Way,
        (name, path): (&'static str, &str),
        writer: Writer,
    ) -> Result<Self, Error> {
        let status = fstat(&file).map_err(Error::when(format!("cannot look at {path}")))?;
        if kind(&status) != SFlag::S_IFREG {
            let why = "is not a regular file".to_owned();
            return Err(Error::Untrusted { path: path.to_owned(), owner: status.st_uid, why });
        }
        if writer == Writer::RootAlone {
            roots_alone(path, &status)?;
        }
        let size = usize::try_from(status.st_size).unwrap_or(0);
        let readable_by_all = way.within_reach && status.st_mode & Mode::S_IROTH.bits() != 0;
        let (file, identity) = (File::from(file), identity(&status));
        Ok(Self { file, name, size, identity, link: way.link, readable_by_all, was_read: false })
    }

    /// Is it still what it was when it was opened, and still the file by its name? The name is followed anew: of a link or a
    /// directory on the way that leads elsewhere now, the file itself would not know.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn is_as_it_was(&self, etc: &Etc) -> Result<bool, Error> {
        let when = || Error::when("look at a policy file again");
        match fstatat(&etc.etc, self.name, AtFlags::empty()) {
            Ok(status) => Ok(identity(&status) == self.identity),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(false),
            // Opened as root, on a way that the caller has not. The link in /etc he can see.
            Err(Errno::EACCES) => {
                let same_link = match fstatat(&etc.etc, self.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                    Ok(status) => self.link == Some(identity(&status)),
                    Err(errno) => errno == Errno::EACCES,
                };
                let status = fstat(&self.file).map_err(when())?;
                Ok(same_link && identity(&status) == self.identity)
            }
            Err(errno) => Err(when()(errno)),
        }
    }

    /// May everybody read it? Only then may a message repeat what it says.
    #[must_use]
    pub const fn readable_by_all(&self) -> bool {
        self.readable_by_all
    }

    /// Shows the file to `see` in blocks of whole lines, each with the number of its first line. The buffer, which
    /// has held other people's lines, is wiped afterwards.
    ///
    /// # Errors
    /// It could not be read to the end.
    pub fn blocks(&mut self, path: &str, see: impl FnMut(u32, &[u8])) -> Result<(), Error> {
        let size = self.size;
        blocks_of(self.rewound(path)?, size, see, |_| {}).map_err(cannot_read(path))
    }

    /// The same, for whom no line is to be missing: of one that does not fit, `see` gets the beginning.
    ///
    /// # Errors
    /// As [`EtcFile::blocks`].
    pub fn beginnings(&mut self, path: &str, see: impl FnMut(&[u8])) -> Result<(), Error> {
        let (see, size) = (std::cell::RefCell::new(see), self.size);
        blocks_of(
            self.rewound(path)?,
            size,
            |_, block| (see.borrow_mut())(block),
            |line| (see.borrow_mut())(line),
        )
        .map_err(cannot_read(path))
    }

    /// All of a small file: no line is too long for it.
    ///
    /// # Errors
    /// It could not be read to the end, or is not small.
    pub fn contents(&mut self, path: &str) -> Result<Vec<u8>, Error> {
        if self.size > SMALL {
            return Err(cannot_read(path)(std::io::Error::from(Errno::EFBIG)));
        }
        let size = u64::try_from(self.size).unwrap_or(0);
        read_to_end(self.rewound(path)?.take(size)).map_err(cannot_read(path))
    }

    /// As far as it went when it was opened, it may be read again.
    fn rewound(&mut self, path: &str) -> Result<&File, Error> {
        if std::mem::replace(&mut self.was_read, true) {
            lseek(&self.file, 0, Whence::SeekSet)
                .map_err(Error::when(format!("cannot read {path} again")))?;
        }
        Ok(&self.file)
    }
}

fn cannot_read(path: &str) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::when(format!("cannot read {path}"))(errno(&error))
}

/// Reads `size` bytes, or up to the end if that comes sooner: what the file held when it was opened. A line that is
/// still being added is none yet.
/// `see_long` gets the beginning of a line that does not fit.
fn blocks_of(
    mut file: impl Read,
    size: usize,
    mut see: impl FnMut(u32, &[u8]),
    mut see_long: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    // In every round there are less than BLOCK bytes kept, and there is room for as many as are to be read, up to a BLOCK: so a read
    // into no room at all is the end.
    //
    // The beginning of a line, and what follows it in the file: always as much of that, as the kernel copies whole pages faster.
    let mut buffer = vec![0_u8; BLOCK.min(size).saturating_add(BLOCK.min(size.saturating_sub(BLOCK)))];
    let (mut to_read, mut kept, mut dirty, mut line, mut in_long_line) =
        (size, 0_usize, 0_usize, 1_u32, false);
    let outcome = loop {
        let room = BLOCK.min(to_read);
        let room = buffer.get_mut(kept..kept.saturating_add(room)).unwrap_or_default();
        let read = if room.is_empty() { Ok(0) } else { file.read(room) };
        let filled = match read {
            Ok(0) => break Ok(()),
            Ok(read) => {
                to_read = to_read.saturating_sub(read);
                kept.saturating_add(read)
            }
            Err(error) => break Err(error),
        };
        dirty = dirty.max(filled);
        let text = buffer.get(..filled).unwrap_or_default();
        let first_ends = memchr(b'\n', text).unwrap_or(filled);
        if first_ends >= BLOCK && !in_long_line {
            in_long_line = true;
            see_long(text.get(..first_ends).unwrap_or_default());
        }
        let Some(last_newline) = memrchr(b'\n', text) else {
            kept = if in_long_line { 0 } else { filled };
            continue;
        };
        let whole = text.get(..=last_newline).unwrap_or_default();
        if in_long_line {
            let others = whole.get(first_ends.saturating_add(1)..).unwrap_or_default();
            see(line.saturating_add(1), others);
        } else {
            see(line, whole);
        }
        in_long_line = false;
        line = line.saturating_add(u32::try_from(newlines(whole)).unwrap_or(u32::MAX));
        buffer.copy_within(last_newline.saturating_add(1)..filled, 0);
        kept = filled.saturating_sub(last_newline).saturating_sub(1);
    };
    if outcome.is_ok() && kept > 0 && !in_long_line {
        see(line, buffer.get(..kept).unwrap_or_default());
    }
    buffer.get_mut(..dirty).unwrap_or_default().zeroize();
    outcome
}

/// `open(2)` in one system call: the C library's may follow it up with another, for kernels that do not know `O_CLOEXEC`.
pub(super) fn open<P: ?Sized + NixPath>(path: &P, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    openat(AT_FDCWD, path, flags, mode)
}

/// What the kernel said, in std's wrapping.
pub(super) fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hands out what it has in pieces of the sizes given.
    struct Pieces<'a>(&'a [u8], Vec<usize>);

    impl Read for Pieces<'_> {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            let size = self.1.pop().unwrap_or(usize::MAX).max(1).min(room.len()).min(self.0.len());
            let (now, later) = self.0.split_at(size);
            room[..size].copy_from_slice(now);
            self.0 = later;
            Ok(size)
        }
    }

    fn seen(text: &[u8], sizes: Vec<usize>) -> Vec<(u32, Vec<u8>)> {
        let mut lines = Vec::new();
        let see = |first, block: &[u8]| {
            lines.extend((first..).zip(crate::policy::text::lines(block).map(<[u8]>::to_vec)));
        };
        blocks_of(Pieces(text, sizes), text.len(), see, |_| {}).unwrap();
        lines
    }

    proptest! {
        #[test]
        fn lines_come_whole_and_numbered_however_they_are_read(
            text in "[ab\n]{0,200}", sizes in prop::collection::vec(1_usize..40, 0..60),
        ) {
            let expected: Vec<(u32, Vec<u8>)> = if text.is_empty() { vec![] } else {
                (1..).zip(crate::policy::text::lines(text.as_bytes()).map(<[u8]>::to_vec)).collect()
            };
            prop_assert_eq!(seen(text.as_bytes(), sizes), expected);
        }
    }

    #[test]
    fn whether_a_line_fits_does_not_depend_on_where_it_stands() {
        for before in [0, 1, 2, BLOCK / 2, BLOCK - 2, BLOCK - 1] {
            let head = if before == 0 { String::new() } else { "a".repeat(before - 1) + "\n" };
            for (length, fits) in [(BLOCK - 2, true), (BLOCK - 1, true), (BLOCK, false), (BLOCK + 1, false)] {
                for sizes in [vec![], vec![1000; 200], vec![BLOCK - 1; 9]] {
                    let text = format!("{head}{}\nend\n", "x".repeat(length));
                    let lines = seen(text.as_bytes(), sizes);
                    assert_eq!(lines.iter().any(|(_, line)| line.len() == length), fits, "{before} {length}");
                    assert_eq!(lines.last().unwrap(), &(if before == 0 { 2 } else { 3 }, b"end".to_vec()));
                }
            }
        }
    }

    #[test]
    fn the_beginning_of_a_line_longer_than_a_block_is_seen_once() {
        let text = format!("a\nbig{}\nb\nlast{}", "x".repeat(3 * BLOCK), "y".repeat(2 * BLOCK));
        for sizes in [vec![], vec![7; 20_000]] {
            let mut long = Vec::new();
            let see_long = |line: &[u8]| long.push(line.get(..4).unwrap().to_vec());
            blocks_of(Pieces(text.as_bytes(), sizes), text.len(), |_, _| {}, see_long).unwrap();
            assert_eq!(long, [b"bigx".to_vec(), b"last".to_vec()]);
        }
    }

    #[test]
    fn a_line_longer_than_a_block_is_left_out_and_still_counted() {
        let text = format!("a\n{}\nb\n{}", "x".repeat(3 * BLOCK), "y".repeat(BLOCK));
        let lines = seen(text.as_bytes(), vec![]);
        let short: Vec<_> = lines.iter().filter(|(_, line)| !line.is_empty()).collect();
        assert_eq!(short, [&(1, b"a".to_vec()), &(3, b"b".to_vec())]);
    }
}
