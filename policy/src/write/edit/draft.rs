//! The private copy that an editor works on.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{geteuid, mkdtemp};

use crate::failure::Failure;

/// Nobody writes a larger policy by hand.
const LARGEST: u64 = 1 << 28;

/// A copy in a directory of its own. It goes with the value, unless it is to be kept.
#[derive(Debug)]
pub(super) struct Draft {
    directory: PathBuf,
    path: PathBuf,
    keep: bool,
}

impl Draft {
    /// A copy of this text under this name.
    pub(super) fn make(name: &str, text: &[u8]) -> Result<Self, Failure> {
        // /run is root's alone; elsewhere mkdtemp(3) makes a directory that nobody else can enter, under a name nobody knows.
        let run = Path::new("/run");
        let above =
            if geteuid().is_root() && run.is_dir() { run.to_path_buf() } else { std::env::temp_dir() };
        let template = above.join("nsgate-edit.XXXXXX");
        let cannot = |what: &Path| format!("cannot make a private copy in {}", what.display());
        let directory = mkdtemp(&template).map_err(Failure::when(cannot(&above)))?;
        let draft = Self { path: directory.join(name), directory, keep: false };
        let mut file = File::options();
        let file = file.write(true).create_new(true).mode(0o600).open(&draft.path);
        let written = file.and_then(|mut file| file.write_all(text));
        written.map_err(Failure::when(cannot(&draft.directory)))?;
        Ok(draft)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// It stays when this ends.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    /// What the editor has left.
    pub(super) fn read(&self) -> Result<Vec<u8>, String> {
        let path = self.path.display();
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags.bits()).open(&self.path);
        let file = file.map_err(|error| match error.raw_os_error() {
            Some(nix::libc::ENOENT) => format!("the editor has removed {path}"),
            Some(nix::libc::ELOOP) => format!("the editor has made a symbolic link of {path}"),
            _ => format!("cannot open {path}: {error}"),
        })?;
        let status = file.metadata().map_err(|error| format!("cannot look at {path}: {error}"))?;
        if !status.is_file() {
            return Err(format!("{path} is no regular file any more"));
        }
        let mut text = Vec::new();
        let read = file.take(LARGEST.saturating_add(1)).read_to_end(&mut text);
        read.map_err(|error| format!("cannot read {path}: {error}"))?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > LARGEST {
            return Err(format!("{path} is larger than {} MiB", LARGEST >> 20));
        }
        Ok(text)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.keep {
            // With whatever the editor has left beside it. It is in /run or /tmp: the next start of the machine removes what stays.
            fs::remove_dir_all(&self.directory).unwrap_or_default();
        }
    }
}
