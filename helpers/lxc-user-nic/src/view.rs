//! `/run/lxc/nics`: a list of all interfaces, kept for scripts that read it, as LXC has it. A line is `OWNER TYPE BRIDGE
//! NAME`. Nothing is decided by it: what counts is the ledger.
//!
//! It is one file for all owners, so no owner may hold up another at it: whoever does not get its lock soon adds his line
//! without, and leaves the rest to the next. What can be wrong then is a line in a list.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use common::Error;
use common::os::trusted::{roots_file, size_of};
use common::policy::ledger::Record;
use common::policy::nic::InterfaceName;
use common::policy::text::lines;
use common::policy::usernet::VETH;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, fcntl, openat, renameat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, fstatat};

use crate::ledger::Table;

const NAME: &str = "nics";
const PATH: &str = "/run/lxc/nics";
/// Made and renamed by whoever has the lock: there is one at most, and one that was left behind is written over.
const NEXT: &str = "nics.new";

const PATIENCE: Duration = Duration::from_millis(100);

/// A list of more bytes is not added to.
const LARGEST: u64 = 4 << 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// The list, as seen from one quota.
pub(crate) struct View<'a> {
    /// The directory that it is in.
    pub(crate) lxc: &'a OwnedFd,
    /// The interfaces of this quota that there are.
    pub(crate) table: &'a Table,
    pub(crate) owner: Vec<u8>,
    pub(crate) bridge: &'a str,
    /// Has this run waited for the list in vain before? Then it does not again.
    pub(crate) hurried: &'a Cell<bool>,
}

impl View<'_> {
    /// Adds the line of an interface, which must be in the table: all of it or nothing.
    pub(crate) fn add(&self, name: &InterfaceName) -> Result<(), Error> {
        let line = [&self.start_of_line(), name.as_str().as_bytes(), b"\n"].concat();
        let (mut list, size, locked) = self.open_in_time()?;
        // As nobody is made to wait for it, nobody may make it grow for ever.
        if size > LARGEST { Ok(()) } else { append(&mut list, size, &line, locked) }
    }

    /// Takes out the lines of interfaces that are gone, if the lock can be had. If not, whoever does so next takes them out
    /// too, as they will not be in the table.
    pub(crate) fn forget(&self, gone: &[Record]) -> Result<(), Error> {
        match self.open_in_time()? {
            (list, _, true) => self.replace(&list, gone),
            (_, _, false) => Ok(()),
        }
    }

    fn start_of_line(&self) -> Vec<u8> {
        [self.owner.as_slice(), b" ", VETH.as_bytes(), b" ", self.bridge.as_bytes(), b" "].concat()
    }

    /// The list, its size, and whether the lock on it is ours.
    fn open_in_time(&self) -> Result<(File, u64, bool), Error> {
        let start = Instant::now();
        loop {
            let list = open(self.lxc)?;
            let locked = lock(&list)?;
            let status = roots_file(&list, PATH)?;
            // Whoever had the lock may have put another file in its place; then that one has to be locked.
            let locked = locked && is_in_place(self.lxc, &status)?;
            if locked || self.hurried.get() || start.elapsed() > PATIENCE {
                self.hurried.set(!locked);
                return Ok((list, size_of(&status), locked));
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Puts a new list in the place of the old one, without the lines of what is gone. The lock is ours.
    fn replace(&self, mut old: &File, gone: &[Record]) -> Result<(), Error> {
        let mut text = Vec::new();
        old.read_to_end(&mut text).map_err(|error| cannot("read", &error))?;
        // After that, as an interface is in the table before it is in the list.
        let known = self.table.names()?;
        let kept = without(&text, gone, &self.start_of_line(), &known);

        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        // As soon as it is in its place, others may add to it.
        let new = openat(self.lxc, NEXT, flags | OFlag::O_APPEND, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(Error::when(format!("make a new {PATH}")))?;
        let mut new = File::from(new);
        new.write_all(&kept).map_err(|error| cannot("write", &error))?;
        renameat(self.lxc, NEXT, self.lxc, NAME).map_err(Error::when(format!("replace {PATH}")))?;

        // Somebody who did not wait for the lock may have added to the old one meanwhile.
        let mut late = Vec::new();
        old.read_to_end(&mut late).map_err(|error| cannot("read", &error))?;
        if late.is_empty() { Ok(()) } else { new.write_all(&late).map_err(|error| cannot("write", &error)) }
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

fn is_in_place(lxc: &OwnedFd, ours: &FileStat) -> Result<bool, Error> {
    match fstatat(lxc, NAME, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(status) => Ok((status.st_dev, status.st_ino) == (ours.st_dev, ours.st_ino)),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(Error::when(format!("cannot look at {PATH}"))(errno)),
    }
}

/// A line that could not be written whole is taken back; one that somebody else has left without an end gets one.
fn append(list: &mut File, size: u64, added: &[u8], locked: bool) -> Result<(), Error> {
    let mut last = *b"\n";
    if let Some(place) = size.checked_sub(1) {
        list.read_exact_at(&mut last, place).map_err(|error| cannot("read", &error))?;
    }
    let newline: &[u8] = if last == *b"\n" { b"" } else { b"\n" };
    list.write_all(&[newline, added].concat()).map_err(|error| {
        if locked {
            list.set_len(size).unwrap_or_default();
        }
        cannot("write", &error)
    })
}

/// The text without the lines of interfaces that are gone: those named, and those of one quota that are not known.
fn without(text: &[u8], gone: &[Record], quota: &[u8], known: &BTreeSet<InterfaceName>) -> Vec<u8> {
    let gone: BTreeSet<&[u8]> = gone.iter().map(|record| record.name.as_str().as_bytes()).collect();
    let known: BTreeSet<&[u8]> = known.iter().map(|name| name.as_str().as_bytes()).collect();
    let stays = |line: &&[u8]| {
        let name = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        let of_quota = line.strip_prefix(quota) == Some(name);
        !line.is_empty() && !gone.contains(name) && (!of_quota || known.contains(name))
    };
    let mut kept = Vec::with_capacity(text.len().saturating_add(1));
    for line in lines(text).filter(stays) {
        kept.extend_from_slice(line);
        kept.push(b'\n');
    }
    kept
}

fn cannot(what: &str, error: &std::io::Error) -> Error {
    let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    Error::when(format!("cannot {what} {PATH}"))(errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::policy::id::Id;
    use common::policy::ledger::{Port, State};
    use common::policy::nic::Mac;

    #[test]
    fn lines_of_others_stay_as_they_are() {
        let name = |name: &str| InterfaceName::parse(name.as_bytes()).unwrap();
        let gone = |of: &str| Record {
            state: State::Unfinished { index: None },
            name: name(of),
            uid: Id::new(1).unwrap(),
            mac: Mac::of_host_end(1),
            port: Port::Kernel,
        };
        let text = b"alice veth br0 veth1_a\nbob veth br0 veth2_a\n@lab veth br0 veth1_b\nodd\n\nalice veth br0 veth1_c\n\
                     alice veth br1 veth1_d\nalice veth br0 veth1_e";
        let kept =
            without(text, &[gone("veth1_a"), gone("veth1_b")], b"alice veth br0 ", &[name("veth1_c")].into());
        assert_eq!(
            String::from_utf8(kept).unwrap(),
            "bob veth br0 veth2_a\nodd\nalice veth br0 veth1_c\nalice veth br1 veth1_d\n"
        );
        assert_eq!(without(b"", &[], b"x ", &BTreeSet::new()), b"");
        assert_eq!(without(b"a b c d", &[], b"a b c ", &[name("d")].into()), b"a b c d\n");
    }
}
