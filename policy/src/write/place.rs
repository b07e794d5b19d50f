//! Where a policy file is: its directory, held open, and its name in there. And the file as it was found.
//!
//! The directory is found once, below the root; what follows is done in that very directory, by name, and follows no link.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use common::os::trusted::Etc;
use common::policy::text::Quoted;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::fsync;

use crate::cli::PolicyFile;
use crate::failure::Failure;
use crate::root::{Root, all_of, open_regular};

/// A policy file's place.
#[derive(Debug)]
pub struct Place {
    directory: OwnedFd,
    /// Its absolute path on its machine.
    pub path: &'static str,
    /// Its name in the directory.
    pub name: &'static str,
    /// Its path for a command that somebody may copy: of an image, not that of this machine.
    pub word: String,
    /// So, its directory's.
    pub directory_word: String,
    /// Is it this machine's?
    is_live: bool,
}

/// A file as it was found.
#[derive(Debug)]
pub struct Found {
    /// All that is in it.
    pub bytes: Vec<u8>,
    /// Whose it is, and who may what.
    pub status: FileStat,
    /// Its extended attributes: access control lists, SELinux label, and whatever else somebody put there.
    pub attributes: Vec<(CString, Vec<u8>)>,
}

/// The end of a sentence that says what would help: to remove a file. On this machine by a command; but whoever owns an image may have put
/// a link on the way before root has run one.
pub(super) fn removal(is_live: bool, word: &str) -> String {
    if is_live { format!("rm {word}") } else { "remove it from the image".to_owned() }
}

/// The same, to have the file system of a directory mounted to be written.
pub(super) fn remount(is_live: bool, directory: &str) -> String {
    if is_live {
        format!("mount -o remount,rw \"$(findmnt -n -o TARGET -T {directory})\"")
    } else {
        "mount it so".to_owned()
    }
}

/// An attribute's value has 64 KiB at most.
const LARGEST_ATTRIBUTE: usize = 65536;

impl Place {
    /// The directory of a policy file. Ok(None): there is none. With `make`, `/etc/lxc` is made if it is missing.
    ///
    /// # Errors
    /// It cannot be opened, or made.
    pub fn open(root: &Root, file: PolicyFile, make: bool) -> Result<Option<Self>, Failure> {
        let path = file.path();
        let (directory, name) = path.rsplit_once('/').unwrap_or(("/", path));
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let opened = match root.open_at(directory, flags) {
            Err(Errno::ENOENT) if make && directory == "/etc/lxc" => {
                let etc = root.open_at("/etc", flags).map_err(Failure::when("cannot open /etc"))?;
                let cannot = || Failure::when(format!("cannot make {directory}"));
                let made = mkdirat(&etc, "lxc", Mode::from_bits_truncate(0o755));
                let opened = root.open_at(directory, flags);
                let opened = opened.map_err(|errno| cannot()(made.err().unwrap_or(errno)))?;
                if made.is_ok() {
                    // Whatever the umask says.
                    fchmod(&opened, Mode::from_bits_truncate(0o755)).map_err(cannot())?;
                    fsync(&etc).map_err(cannot())?;
                }
                Ok(opened)
            }
            opened => opened,
        };
        match opened {
            Ok(opened) => {
                let (word, directory_word) = (root.for_shell(path), root.for_shell(directory));
                let is_live = root.is_live();
                Ok(Some(Self { directory: opened, path, name, word, directory_word, is_live }))
            }
            Err(Errno::ENOENT) if !make => Ok(None),
            Err(errno) => Err(Failure::new(format!("cannot open {directory}: {}", errno.desc()))),
        }
    }

    /// This command, or of an image these words: [`removal`].
    fn by(&self, command: String, words: &str) -> String {
        if self.is_live { command } else { words.to_owned() }
    }

    /// What to do about a lock file that is none.
    #[must_use]
    pub fn remove_lock(&self) -> String {
        removal(self.is_live, &format!("{}.lock", self.word))
    }

    /// The directory, to act in it.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Reads the file. Ok(None): there is none.
    ///
    /// # Errors
    /// It cannot be read, or could not be replaced by a rename: it is a link, has a mount of its own, or is no regular file.
    pub fn read(&self) -> Result<Option<Found>, Failure> {
        let path = self.path;
        // A link itself is what O_PATH and O_NOFOLLOW would find; it is to be an error.
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC);
        let how = how.resolve(ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let found = match openat2(&self.directory, self.name, how) {
            Ok(found) => found,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP) => return Err(self.is_a_link()),
            Err(Errno::EXDEV) => {
                return Err(Failure::new(format!(
                    "{path} is a mount of its own (a container's bind mount?), which cannot be replaced: change the file that is \
                     mounted there, or {} first",
                    self.by(format!("umount {}", self.word), "unmount it")
                )));
            }
            Err(errno) => return Err(Failure::new(format!("cannot open {path}: {}", errno.desc()))),
        };
        let cannot = |what: &str| format!("cannot {what} {path}");
        let file = open_regular(&found, path)?;
        let status = fstat(&file).map_err(Failure::when(cannot("look at")))?;
        let attributes =
            attributes(&file).map_err(Failure::when(cannot("read the extended attributes of")))?;
        let bytes = all_of(file).map_err(Failure::when(cannot("read")))?;
        Ok(Some(Found { bytes, status, attributes }))
    }

    fn is_a_link(&self) -> Failure {
        let Self { path, word, .. } = self;
        let target = readlinkat(&self.directory, self.name).unwrap_or_default();
        // In an image, it leads to where it would there, which no command that runs here can say. And what somebody else may have
        // written is not to become root's.
        let or = if self.is_live && self.leads_to_a_file_of_roots() {
            format!(", or make it a file first: cp --remove-destination \"$(readlink -f {word})\" {word}")
        } else {
            String::new()
        };
        Failure::new(format!(
            "{path} is a symbolic link to \"{}\": whatever made the link (NixOS, ostree, a mount of yours) decides what is in it, and \
             the helpers follow it only as far as it is root's; change it there{or}",
            Quoted(target.as_bytes())
        ))
    }

    /// As the helpers follow a link, on this machine.
    fn leads_to_a_file_of_roots(&self) -> bool {
        let name = self.path.strip_prefix("/etc/");
        name.is_some_and(|name| Etc::open().and_then(|etc| etc.policy(name)).is_ok_and(|file| file.is_some()))
    }

    /// Asks, without changing anything, whether the file could be replaced.
    ///
    /// # Errors
    /// It is on a file system that is read-only, or the file has the immutable attribute.
    pub fn may_change(&self) -> Result<(), Failure> {
        let Self { path, word, .. } = self;
        let flags =
            OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&self.directory, self.name, flags, Mode::empty()) {
            Err(Errno::EROFS) => Err(self.read_only()),
            Err(Errno::EPERM) => Err(Failure::new(format!(
                "{path} cannot be changed, not even by root: it has the immutable or append-only attribute; {}",
                self.by(
                    format!("see lsattr {word}; to take it off: chattr -i -a {word}"),
                    "chattr(1) takes it off"
                )
            ))),
            // What else may be wrong is told by what is really done.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// That nothing in this directory can be changed.
    #[must_use]
    pub fn read_only(&self) -> Failure {
        Failure::new(format!(
            "{} is on a file system that is mounted read-only; where it is meant to be written: {}",
            self.path,
            remount(self.is_live, &self.directory_word)
        ))
    }

    /// A file in this directory could not be made: what that means.
    #[must_use]
    pub fn cannot_make(&self, what: &str, errno: Errno) -> Failure {
        let directory = self.path.rsplit_once('/').map_or("/", |(directory, _)| directory);
        match errno {
            Errno::EROFS => self.read_only(),
            Errno::EPERM => Failure::new(format!(
                "cannot make {what} in {directory}: {}; if it has the immutable attribute: {}",
                errno.desc(),
                self.by(format!("chattr -i {}", self.directory_word), "chattr(1) takes it off")
            )),
            errno => Failure::new(format!("cannot make {what} in {directory}: {}", errno.desc())),
        }
    }

    /// Is the file still as it was found?
    ///
    /// # Errors
    /// It is not: somebody changed it without taking the lock.
    pub fn is_still(&self, found: Option<&FileStat>) -> Result<(), Failure> {
        let identity = |status: &FileStat| {
            let FileStat {
                st_dev, st_ino, st_size, st_mtime, st_mtime_nsec, st_ctime, st_ctime_nsec, ..
            } = *status;
            (st_dev, st_ino, st_size, (st_mtime, st_mtime_nsec), (st_ctime, st_ctime_nsec))
        };
        let now = match fstatat(&self.directory, self.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(now) => Some(now),
            Err(Errno::ENOENT) => None,
            Err(errno) => {
                return Err(Failure::new(format!("cannot look at {}: {}", self.path, errno.desc())));
            }
        };
        if now.as_ref().map(identity) == found.map(identity) {
            return Ok(());
        }
        Err(Failure::new(format!(
            "{} was changed meanwhile by a program that does not heed {}.lock: nothing was installed; try again",
            self.path, self.path
        )))
    }
}

/// All extended attributes but those that are bound to the very file by the kernel.
fn attributes(file: &OwnedFd) -> rustix::io::Result<Vec<(CString, Vec<u8>)>> {
    let mut names = vec![0; LARGEST_ATTRIBUTE];
    let length = match rustix::fs::flistxattr(file, names.as_mut_slice()) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => 0,
        Err(errno) => return Err(errno),
    };
    let names = names.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    let mut found = Vec::new();
    for name in
        names.filter(|name| !name.is_empty() && ![b"security.ima".as_slice(), b"security.evm"].contains(name))
    {
        let Ok(name) = CString::new(name) else { continue };
        let mut value = vec![0; LARGEST_ATTRIBUTE];
        match rustix::fs::fgetxattr(file, name.as_c_str(), value.as_mut_slice()) {
            Ok(length) => value.truncate(length),
            // Taken off just now, or not for us to see; then it is not for us to set either.
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => continue,
            Err(errno) => return Err(errno),
        }
        found.push((name, value));
    }
    Ok(found)
}
