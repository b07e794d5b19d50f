//! `/run/lxc/nics`: a list of all interfaces, kept for scripts that read it, as LXC has it. A line is `OWNER TYPE BRIDGE
//! NAME`. Nothing is decided by it: what counts is the ledger.
//!
//! It is one file for all owners, so no owner may hold up another at it: a lock that is not given soon is done without.
//! What can be lost then is a line in a list.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use common::Error;
use common::os::trusted::roots_file;
use common::policy::nic::InterfaceName;
use common::policy::text::lines;
use common::policy::usernet::VETH;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, fcntl, openat, renameat};
use nix::libc;
use nix::sys::stat::{Mode, fstatat};

const NAME: &str = "nics";
const PATH: &str = "/run/lxc/nics";

const PATIENCE: Duration = Duration::from_millis(100);
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// A line to be added.
pub(crate) fn line(owner: &[u8], bridge: &str, name: &InterfaceName) -> Vec<u8> {
    [owner, b" ", VETH.as_bytes(), b" ", bridge.as_bytes(), b" ", name.as_str().as_bytes(), b"\n"].concat()
}

/// Takes out the lines of some interfaces, and adds one. All of it or nothing.
pub(crate) fn change(lxc: &OwnedFd, gone: &[InterfaceName], added: Option<&[u8]>) -> Result<(), Error> {
    if gone.is_empty() && added.is_none() {
        return Ok(());
    }
    let added = added.unwrap_or_default();
    let start = Instant::now();
    loop {
        let mut view = open(lxc)?;
        let size = roots_file(&view, PATH)?;
        let locked = lock(&view)?;
        let patient = start.elapsed() < PATIENCE;
        if !locked && patient {
            std::thread::sleep(BETWEEN_LOOKS);
            continue;
        }
        // Whoever had the lock may have put another file in its place; then that one has to be locked.
        if locked && patient && !is_in_place(lxc, &view)? {
            continue;
        }
        // The short way: others' lines cost nothing then.
        if locked && gone.is_empty() {
            return append(&mut view, size, added);
        }
        let mut text = Vec::new();
        view.read_to_end(&mut text).map_err(|error| cannot("read", &error))?;
        return replace(lxc, &without(&text, gone, added));
    }
}

fn open(lxc: &OwnedFd) -> Result<File, Error> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_APPEND | OFlag::O_NOFOLLOW;
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    openat(lxc, NAME, flags, Mode::S_IRUSR | Mode::S_IWUSR)
        .map(File::from)
        .map_err(Error::when(format!("cannot open {PATH}")))
}

fn lock(view: &File) -> Result<bool, Error> {
    let whole = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap_or(0),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or(0),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(view, FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(Error::when(format!("lock {PATH}"))(errno)),
    }
}

fn is_in_place(lxc: &OwnedFd, view: &File) -> Result<bool, Error> {
    let ours = view.metadata().map_err(|error| cannot("look at", &error))?;
    match fstatat(lxc, NAME, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(status) => Ok((status.st_dev, status.st_ino) == (ours.dev(), ours.ino())),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(Error::when(format!("cannot look at {PATH}"))(errno)),
    }
}

/// A line that could not be written whole is taken back.
fn append(view: &mut File, size: u64, added: &[u8]) -> Result<(), Error> {
    view.write_all(added).map_err(|error| {
        view.set_len(size).unwrap_or_default();
        cannot("write", &error)
    })
}

/// The text without the lines of these interfaces and without a line that has no end, and with what is added.
fn without(text: &[u8], gone: &[InterfaceName], added: &[u8]) -> Vec<u8> {
    let whole =
        text.get(..text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last.saturating_add(1)));
    let stays = |line: &&[u8]| {
        let name = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        !line.is_empty() && !gone.iter().any(|gone| gone.as_str().as_bytes() == name)
    };
    let kept = lines(whole.unwrap_or_default()).filter(stays).flat_map(|line| [line, b"\n"]);
    kept.chain([added]).collect::<Vec<_>>().concat()
}

/// Puts a new file in the place of the old one.
fn replace(lxc: &OwnedFd, text: &[u8]) -> Result<(), Error> {
    // No two processes that live have one pid; what a dead one has left is written over.
    let new = format!("{NAME}.{}", std::process::id());
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(lxc, new.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)
        .map_err(Error::when(format!("make a new {PATH}")))?;
    let written = File::from(file).write_all(text).map_err(|error| cannot("write", &error)).and_then(|()| {
        renameat(lxc, new.as_str(), lxc, NAME).map_err(Error::when(format!("replace {PATH}")))
    });
    if written.is_err() {
        nix::unistd::unlinkat(lxc, new.as_str(), nix::unistd::UnlinkatFlags::NoRemoveDir).unwrap_or_default();
    }
    written
}

fn cannot(what: &str, error: &std::io::Error) -> Error {
    let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    Error::when(format!("cannot {what} {PATH}"))(errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_others_stay_as_they_are() {
        let name = |text: &str| InterfaceName::parse(text.as_bytes()).unwrap();
        let text = b"alice veth br0 veth1_a\nbob veth br0 veth2_a\n@lab veth br0 veth1_b\nodd\n\nalice veth br0 veth1_c";
        let kept =
            without(text, &[name("veth1_a"), name("veth1_b")], &line(b"alice", "br0", &name("veth1_d")));
        assert_eq!(String::from_utf8(kept).unwrap(), "bob veth br0 veth2_a\nodd\nalice veth br0 veth1_d\n");
        assert_eq!(without(b"", &[], b"x\n"), b"x\n");
        assert_eq!(without(b"a b c d", &[], b""), b"");
    }
}
