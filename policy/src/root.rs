//! The machine that is looked at: this one, or an image of one under a directory (`--root`).
//!
//! Every file is opened below the root's descriptor with `RESOLVE_IN_ROOT`: a symbolic link in an image leads to where it
//! would on the image's own machine, and never out of it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use crate::check::command::{shown, word};
use crate::failure::Failure;

/// A machine's root directory.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    path: Option<PathBuf>,
    by_a_link: bool,
}

/// A file as it was read.
#[derive(Debug)]
pub struct Text {
    /// Its absolute path on its machine.
    pub path: String,
    /// All that is in it.
    pub bytes: Vec<u8>,
    /// Who may do what with it.
    pub status: FileStat,
}

/// No file of a machine is larger: one that is, in an image of somebody else's, is meant to use up our memory.
const LARGEST: u64 = 1 << 30;

/// All that is in a file.
pub(crate) fn all_of(file: OwnedFd) -> std::io::Result<Vec<u8>> {
    let too_large = || std::io::Error::other(format!("it is larger than {} MiB", LARGEST >> 20));
    let file = File::from(file);
    if file.metadata()?.len() > LARGEST {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= LARGEST) {
        Ok(bytes)
    } else {
        Err(too_large())
    }
}

/// Opens for reading what `O_PATH` has found, if it is a regular file, and nothing that may have come in its place meanwhile. A device
/// is not opened to see what it is: that rewinds a tape, or starts a watchdog.
pub(crate) fn open_regular(found: &OwnedFd, path: &str) -> Result<OwnedFd, Failure> {
    let status = fstat(found).map_err(Failure::when(format!("cannot look at {path}")))?;
    if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(Failure::new(format!("{path} is not a regular file")));
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let opened = open(format!("/proc/self/fd/{}", found.as_raw_fd()).as_str(), flags, Mode::empty());
    opened.map_err(Failure::when(format!("cannot open {path}")))
}

impl Root {
    /// This machine's, or that of the image in `path`.
    ///
    /// # Errors
    /// It is no directory that can be opened.
    pub fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let directory = path.unwrap_or(Path::new("/"));
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let (opened, by_a_link) = match openat2(AT_FDCWD, directory, how) {
            Err(Errno::ELOOP) => (open(directory, flags, Mode::empty()), true),
            opened => (opened, false),
        };
        let shown = shown(directory.as_os_str().as_bytes());
        let opened = opened.map_err(Failure::when(format!("cannot open {shown}")))?;
        let identity = |directory: &OwnedFd| fstat(directory).map(|status| (status.st_dev, status.st_ino));
        let is_it = |real: &PathBuf| {
            let real = openat2(AT_FDCWD, real, how).and_then(|real| identity(&real));
            real.is_ok() && real == identity(&opened)
        };
        // In a command the directory itself is named.
        let real = if by_a_link { directory.canonicalize().ok().filter(is_it) } else { None };
        let path = path.map(|path| real.unwrap_or_else(|| path.to_path_buf()));
        Ok(Self { directory: opened, path, by_a_link })
    }

    /// The same once more, for somebody who may outlive this one.
    ///
    /// # Errors
    /// There is no room for a descriptor.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self {
            directory: self.directory.try_clone()?,
            path: self.path.clone(),
            by_a_link: self.by_a_link,
        })
    }

    /// Is it the machine that we run on? Only of that one the kernel can be asked.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.path.is_none()
    }

    /// Has a link led to the directory that `--root` has named? Then it may lead elsewhere another time.
    #[must_use]
    pub const fn is_by_a_link(&self) -> bool {
        self.by_a_link
    }

    /// The directory that `--root` has named.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// For commands that somebody may copy: `nsgate` for this machine. Of an image, one that means the image and not the machine
    /// that it was looked at on.
    #[must_use]
    pub fn nsgate(&self) -> String {
        match &self.path {
            None => "nsgate".to_owned(),
            Some(path) => format!("nsgate --root {}", word(path.as_os_str().as_bytes())),
        }
    }

    /// For such commands: what has this absolute path on its machine.
    #[must_use]
    pub fn for_shell(&self, path: &str) -> String {
        let root = self.path.as_ref().map(|root| root.as_os_str().as_bytes()).unwrap_or_default();
        let root = root.strip_suffix(b"/").unwrap_or(root);
        word(&[root, path.as_bytes()].concat())
    }

    /// The directory itself, to act below it.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Opens what has this absolute path there.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn open_at(&self, path: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC);
        let how = how.resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(&self.directory, path.trim_start_matches('/'), how)
    }

    /// Reads the regular file of this absolute path. Ok(None): there is none.
    ///
    /// # Errors
    /// It is something else, or cannot be read.
    pub fn read(&self, path: &str) -> Result<Option<Text>, Failure> {
        let cannot = |what: &str| format!("cannot {what} {path}");
        let found = match self.open_at(path, OFlag::O_PATH) {
            Ok(found) => found,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(Failure::when(cannot("open"))(errno)),
        };
        let file = open_regular(&found, path)?;
        let status = fstat(&file).map_err(Failure::when(cannot("look at")))?;
        let bytes = all_of(file).map_err(Failure::when(cannot("read")))?;
        Ok(Some(Text { path: path.to_owned(), bytes, status }))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::mknod;

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_not_opened_to_see_that() {
        let directory = std::env::temp_dir().join(format!("nsgate-root-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        // Whoever opens this one is told that there is no such device; everybody may make it.
        mknod(&directory.join("device"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o644), 0).unwrap();
        mknod(&directory.join("pipe"), SFlag::S_IFIFO, Mode::from_bits_truncate(0o644), 0).unwrap();
        std::fs::write(directory.join("file"), "text").unwrap();
        symlink("/file", directory.join("link")).unwrap();
        let root = Root::open(Some(&directory)).unwrap();
        let read = |path: &str| {
            let text = root.read(path).map_err(|failure| failure.to_string())?;
            Ok(text.map(|text| String::from_utf8(text.bytes).unwrap()))
        };
        let said = ["/device", "/pipe", "/file", "/link", "/nothing"].map(read);
        std::fs::remove_dir_all(&directory).unwrap();
        let no_file = |path: &str| Err(format!("{path} is not a regular file"));
        let text = || Ok(Some("text".to_owned()));
        assert_eq!(said, [no_file("/device"), no_file("/pipe"), text(), text(), Ok(None)]);
    }
}
