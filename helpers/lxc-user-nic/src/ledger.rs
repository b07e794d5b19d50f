//! The ledger: which interfaces there are, in one table a quota, under `/run/lxc/nsgate`, in a directory for the network
//! namespace that their numbers belong to.
//!
//! An interface has a place in a table before it exists, and until it is gone. Whoever is making or removing one holds
//! a lock on its place, on those 64 bytes and nothing else, which the kernel takes back when he dies; nobody waits for
//! somebody else's lock. So a helper that was stopped or killed at any instruction leaves a place that counts, or
//! one that the next run sees to be free, and holds up nobody. What a record says is only believed while its place
//! is locked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use common::Error;
use common::os::netns::Interfaces;
use common::os::trusted::{self, roots_directory};
use common::policy::ledger::{EMPTY, PLACE, Record, State, may_use, says_made};
use common::policy::nic::InterfaceName;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, fallocate, fcntl, openat};
use nix::libc;
use nix::sys::stat::Mode;

use crate::wire::random;

/// The directory of the tables, and the one above it, which has the view.
pub(crate) struct Ledger {
    pub(crate) lxc: OwnedFd,
    tables: OwnedFd,
    path: String,
}

/// The table behind one quota.
pub(crate) struct Table {
    file: File,
    path: String,
}

/// A place in a table, locked until this value goes away. The lock is one against others, not against a second value of the same place
/// in this process; and a child has it, with all others of the table, that is given [`Place::lock`].
pub(crate) struct Place<'a> {
    table: &'a Table,
    number: usize,
}

/// What came of asking for a place.
pub(crate) enum Claim<'a> {
    /// It is locked, and has the record in it that was asked for.
    Placed(Place<'a>),
    /// There is none.
    Full {
        /// So many interfaces exist, or are being made.
        taken: usize,
        /// Some of these are being made or removed just now: they may leave room.
        busy: bool,
    },
}

/// What came of tidying up.
pub(crate) enum Tidied {
    /// There is nothing left behind but what somebody is at work on.
    Wholly,
    /// There was more than there was time for. It counts.
    InPart,
    /// Something cannot be cleared, and counts.
    NotThat(Error),
}

impl Tidied {
    /// Of one who has all the time there is.
    pub(crate) fn wholly(self) -> Result<(), Error> {
        match self {
            Self::Wholly | Self::InPart => Ok(()),
            Self::NotThat(error) => Err(error),
        }
    }
}

/// How long to wait for others who are making or removing interfaces of the same quota, when it depends on them.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
pub(crate) const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Every record, for [`Table::look`].
pub(crate) const ALL: usize = usize::MAX;

/// Enough records for a look where there is room anyhow: of what is gone, no more than a part in so many stays in a table.
pub(crate) const SOME: usize = 64;

/// Of so many helpers at most it is believed that they make a table grow at once.
const MOST_AT_ONCE: usize = 1024;

/// A table of more than this is not ours.
const MOST_BYTES: u64 = 64 << 20;

impl Ledger {
    /// Opens it, and makes what is missing of it. Needs to be root.
    pub(crate) fn open(netns: u64) -> Result<Self, Error> {
        const PATH: &str = "/run/lxc/nsgate";
        let run = roots_directory(None, "/run", "/run", None)?;
        let lxc = roots_directory(Some(&run), "lxc", "/run/lxc", Some(Mode::from_bits_truncate(0o755)))?;
        let all = roots_directory(Some(&lxc), "nsgate", PATH, Some(Mode::S_IRWXU))?;
        let (name, path) = (netns.to_string(), format!("{PATH}/{netns}"));
        let tables = roots_directory(Some(&all), &name, &path, Some(Mode::S_IRWXU))?;
        Ok(Self { lxc, tables, path })
    }

    /// Opens it, and makes nothing. Ok(None): there is none.
    pub(crate) fn existing(netns: u64) -> Result<Option<Self>, Error> {
        let run = roots_directory(None, "/run", "/run", None)?;
        let mut directories = vec![run];
        let mut path = "/run".to_owned();
        for name in ["lxc", "nsgate", &netns.to_string()] {
            path = format!("{path}/{name}");
            match roots_directory(directories.last(), name, &path, None) {
                Ok(directory) => directories.push(directory),
                Err(Error::System { errno: Errno::ENOENT, .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let (tables, _nsgate, lxc) = (directories.pop(), directories.pop(), directories.pop());
        Ok(tables.zip(lxc).map(|(tables, lxc)| Self { lxc, tables, path }))
    }

    /// The names of all tables, in order.
    pub(crate) fn names(&self) -> Result<BTreeSet<String>, Error> {
        let when = || Error::when(format!("look into {}", self.path));
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut names = BTreeSet::new();
        for entry in Dir::openat(&self.tables, ".", flags, Mode::empty()).map_err(when())?.iter() {
            let entry = entry.map_err(when())?;
            names.extend(
                entry.file_name().to_str().ok().filter(|name| !name.starts_with('.')).map(str::to_owned),
            );
        }
        Ok(names)
    }

    /// The table of this name, which is made if it is missing.
    pub(crate) fn make_table(&self, name: &str) -> Result<Table, Error> {
        self.open_table(name, OFlag::O_CREAT).map_err(Error::when(self.cannot_open(name)))?.check()
    }

    /// The table of this name. Ok(None): there is none.
    pub(crate) fn table(&self, name: &str) -> Result<Option<Table>, Error> {
        match self.open_table(name, OFlag::empty()) {
            Ok(table) => table.check().map(Some),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::when(self.cannot_open(name))(errno)),
        }
    }

    /// How many interfaces there are in the tables that are called by an owner, a dot, and this, but for those that `all` has too: what
    /// was made before there was a rule for all owners.
    pub(crate) fn older_than(&self, all: &Table, what: &str, interfaces: &Interfaces) -> Result<u32, Error> {
        let when = || Error::when(format!("look into {}", self.path));
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut there = BTreeSet::new();
        for entry in Dir::openat(&self.tables, ".", flags, Mode::empty()).map_err(when())?.iter() {
            let entry = entry.map_err(when())?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let is_owner = |word: &str| {
                let number = word.strip_prefix(['u', 'g']).unwrap_or_default();
                !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
            };
            if !name.split_once('.').is_some_and(|(owner, rest)| is_owner(owner) && rest == what) {
                continue;
            }
            let Some(table) = self.table(name)? else { continue };
            for place in table.read()? {
                // One that cannot be read is just being written: by somebody who has seen the rule.
                let Ok(Some(record)) = Record::parse(&place) else { continue };
                // Also of one who was frozen just before he could say that it is made.
                if is_there(&record, interfaces)? {
                    there.insert(record.name);
                }
            }
        }
        // After that, as an interface has its place in this table first.
        let known = all.names()?;
        Ok(u32::try_from(there.difference(&known).count()).unwrap_or(u32::MAX))
    }

    fn open_table(&self, name: &str, make: OFlag) -> nix::Result<Table> {
        let flags =
            OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = openat(&self.tables, name, flags | make, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(Table { file: File::from(file), path: format!("{}/{name}", self.path) })
    }

    fn cannot_open(&self, name: &str) -> String {
        format!("cannot open {}/{name}", self.path)
    }
}

impl Table {
    /// It must be root's alone, and whole.
    fn check(self) -> Result<Self, Error> {
        let size = trusted::size_of(&trusted::roots_file(&self.file, &self.path)?);
        if size % 64 == 0 && size <= MOST_BYTES { Ok(self) } else { Err(self.damaged()) }
    }

    /// What is in the places, as far as that can be seen without waiting for somebody.
    ///
    /// Of `most` of them at most, from one on that is drawn by lot, the kernel is asked whether there still is what they say was
    /// made: the others count as if there were.
    pub(crate) fn look(&self, interfaces: &Interfaces, most: usize) -> Result<Vec<Seen>, Error> {
        let places = self.read()?;
        let first = if most < places.len() { place_by_lot(places.len()) } else { 0 };
        let see = |number: usize, place: &[u8; PLACE]| {
            let from_first =
                number.checked_sub(first).or_else(|| number.checked_add(places.len())?.checked_sub(first));
            if says_made(place) && from_first.is_none_or(|distance| distance >= most) {
                return Ok(Seen::Taken);
            }
            Ok(match Record::parse(place) {
                Ok(None) => Seen::Empty,
                Ok(Some(record)) if exists(&record, interfaces)? => Seen::Taken,
                Ok(Some(record)) => Seen::Left(Box::new(record)),
                Err(_) => {
                    self.see_whole(number)?;
                    Seen::Unclear
                }
            })
        };
        // Of known size: `collect` would have to find it out.
        let mut seen = Vec::with_capacity(places.len());
        for (number, place) in places.iter().enumerate() {
            seen.push(see(number, place)?);
        }
        Ok(seen)
    }

    /// A place that seems to be damaged: somebody may just be writing it. Nobody is, if it can be locked.
    fn see_whole(&self, number: usize) -> Result<(), Error> {
        self.lock(number)?.map_or(Ok(()), |place| place.read().map(drop))
    }

    /// Takes the lowest free place for an interface that is to be made, if fewer than `limit` exist or are being made,
    /// and writes `record` into it. Waits for nobody.
    pub(crate) fn claim(&self, seen: &[Seen], limit: u32, record: &Record) -> Result<Claim<'_>, Error> {
        let (mut free, mut taken, mut taken_below, mut busy) = (None, 0_usize, 0_usize, false);
        // The table can grow: beyond its end is a place for everybody who is just about to make it grow.
        for number in 0..seen.len().saturating_add(MOST_AT_ONCE) {
            let full = u32::try_from(taken).is_ok_and(|taken| taken >= limit);
            match seen.get(number) {
                None if free.is_some() || full => break,
                Some(Seen::Taken) => {
                    taken = taken.saturating_add(1);
                    continue;
                }
                Some(Seen::Empty) if free.is_some() => continue,
                None | Some(Seen::Empty | Seen::Left(_) | Seen::Unclear) => {}
            }
            match self.lock(number)? {
                None => (taken, busy) = (taken.saturating_add(1), true),
                Some(place) if place.read()?.is_some() => taken = taken.saturating_add(1),
                Some(place) if free.is_none() => (free, taken_below) = (Some(place), taken),
                Some(_) => {}
            }
        }
        match free {
            Some(place) if may_use(taken_below, taken.saturating_sub(taken_below), limit) => {
                self.extend_to(place.number)?;
                place.write(record)?;
                Ok(Claim::Placed(place))
            }
            _ => Ok(Claim::Full { taken, busy }),
        }
    }

    /// Empties the places whose interface is gone, or was left unfinished by somebody who has died. Waits for nobody, and
    /// holds one place at a time.
    ///
    /// Before that, `clear` gets each of them, with what it is locked by, to remove what there is left; then `forget` gets all.
    /// Both may be asked to again by the next run. What cannot be cleared stays, and counts; and so does what there is no `time`
    /// for, but for one.
    pub(crate) fn tidy(
        &self,
        seen: &mut [Seen],
        time: Duration,
        mut clear: impl FnMut(&Record, &[BorrowedFd<'_>]) -> Result<(), Error>,
        forget: impl FnOnce(&[Record]) -> Result<(), Error>,
    ) -> Result<Tidied, Error> {
        let (start, mut cleared, mut trouble, mut is_late) = (Instant::now(), BTreeMap::new(), None, false);
        let is_left = |(number, seen): (usize, &'_ Seen)| {
            if let Seen::Left(record) = seen { Some((number, Record::clone(record))) } else { None }
        };
        let mut left: Vec<(usize, Record)> = seen.iter().enumerate().filter_map(is_left).collect();
        // Last come those of which no number is known: they take a list of interfaces. If the kernel cannot make one just now, it is
        // not asked for another.
        left.sort_by_key(|(_, record)| record.index().is_none());
        let mut has_lists = true;
        for (number, record) in left {
            is_late = !cleared.is_empty() && start.elapsed() > time;
            if is_late {
                break;
            }
            if !has_lists && record.index().is_none() {
                continue;
            }
            let Some(place) = self.locked_with(number, &record)? else { continue };
            match clear(&record, &[place.lock()]) {
                Ok(()) => drop(cleared.insert(number, record)),
                Err(error @ Error::System { .. }) => {
                    has_lists &= record.index().is_some();
                    trouble = Some(error);
                }
                // Open vSwitch may be gone, or take its time: enough for one run.
                Err(error @ Error::OpenVswitch { .. }) => {
                    trouble = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if !cleared.is_empty() {
            forget(&cleared.values().cloned().collect::<Vec<_>>())?;
        }
        for (number, record) in cleared {
            let Some(place) = self.locked_with(number, &record)? else { continue };
            place.withdraw()?;
            if let Some(seen) = seen.get_mut(number) {
                *seen = Seen::Empty;
            }
        }
        Ok(match trouble {
            Some(error) => Tidied::NotThat(error),
            None if is_late => Tidied::InPart,
            None => Tidied::Wholly,
        })
    }

    /// The place, locked, if nobody else has it and it still has this record in it.
    fn locked_with(&self, number: usize, record: &Record) -> Result<Option<Place<'_>>, Error> {
        let Some(place) = self.lock(number)? else { return Ok(None) };
        Ok(if place.read()?.as_ref() == Some(record) { Some(place) } else { None })
    }

    /// Empties the place of what this record is of, if there is one. Waits for nobody: where somebody is at work on it, it is his to see to,
    /// or theirs who come after him.
    pub(crate) fn forget(&self, record: &Record) -> Result<(), Error> {
        let is_it =
            |there: &Record| (&there.name, there.uid, there.mac) == (&record.name, record.uid, record.mac);
        for (number, place) in self.read()?.iter().enumerate() {
            let Some(there) = Record::parse(place).ok().flatten().filter(is_it) else { continue };
            if let Some(place) = self.locked_with(number, &there)? {
                place.withdraw()?;
            }
        }
        Ok(())
    }

    /// The names in the table, also those of interfaces that are not made yet.
    pub(crate) fn names(&self) -> Result<BTreeSet<InterfaceName>, Error> {
        let places = self.read()?;
        Ok(places
            .iter()
            .filter_map(|place| Record::parse(place).ok().flatten())
            .map(|record| record.name)
            .collect())
    }

    /// Is there a record of this interface that says "made"?
    pub(crate) fn counts(&self, index: u32) -> Result<bool, Error> {
        let is_it = |record: &Record| record.state == State::Made { index };
        Ok(self
            .read()?
            .iter()
            .any(|place| matches!(Record::parse(place), Ok(Some(record)) if is_it(&record))))
    }

    /// The place of an interface of this name, if `is_it` agrees, locked. Waits for others who are making or removing it.
    pub(crate) fn find(&self, is_it: impl Fn(&Record) -> bool) -> Result<Option<(Place<'_>, Record)>, Error> {
        for (number, place) in self.read()?.iter().enumerate() {
            match Record::parse(place) {
                Ok(Some(record)) if is_it(&record) => {}
                Ok(_) => continue,
                Err(_) => {
                    self.see_whole(number)?;
                    continue;
                }
            }
            let start = Instant::now();
            let place = loop {
                match self.lock(number)? {
                    Some(place) => break place,
                    None if start.elapsed() > PATIENCE => return Err(self.busy()),
                    None => std::thread::sleep(BETWEEN_LOOKS),
                }
            };
            if let Some(record) = place.read()?.filter(|record| is_it(record)) {
                return Ok(Some((place, record)));
            }
        }
        Ok(None)
    }

    /// All places, as they are just now.
    fn read(&self) -> Result<Vec<[u8; PLACE]>, Error> {
        let size = self.file.metadata().map_err(|error| self.cannot("look at", &error))?.len();
        let number = size.checked_div(u64::try_from(PLACE).unwrap_or(1)).unwrap_or(0);
        let mut places = vec![[0; PLACE]; usize::try_from(number).unwrap_or(usize::MAX)];
        self.file.read_exact_at(places.as_flattened_mut(), 0).map_err(|error| self.cannot("read", &error))?;
        Ok(places)
    }

    /// Makes room for a place, or changes nothing: the file never gets shorter or has part of a place.
    fn extend_to(&self, number: usize) -> Result<(), Error> {
        let (start, length) = (self.offset(number)?, i64::try_from(PLACE).unwrap_or(0));
        // Before Linux 6.7 a tmpfs gives up when the process is being stopped, frozen or traced.
        while let Err(errno) = fallocate(&self.file, FallocateFlags::empty(), start, length) {
            if errno != Errno::EINTR {
                return Err(Error::when(format!("make room in {}", self.path))(errno));
            }
        }
        Ok(())
    }

    /// Says, until the table is closed, that what the table is about is in use: many can. Ok(false): somebody has it for himself
    /// alone.
    pub(crate) fn share(&self) -> Result<bool, Error> {
        self.lock_use(libc::F_RDLCK)
    }

    /// Has what the table is about for oneself alone, until the table is closed. Ok(false): it is in use.
    pub(crate) fn have_alone(&self) -> Result<bool, Error> {
        self.lock_use(libc::F_WRLCK)
    }

    /// Beyond all places.
    fn lock_use(&self, kind: i32) -> Result<bool, Error> {
        let beyond = usize::try_from(MOST_BYTES).unwrap_or(usize::MAX);
        let lock = self.range(beyond, kind)?;
        match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(errno) => Err(Error::when(format!("lock {}", self.path))(errno)),
        }
    }

    /// The records that can be read just now, and whether the kernel has the interface of each.
    pub(crate) fn records(&self, interfaces: &Interfaces) -> Result<Vec<(Record, bool)>, Error> {
        let places = self.read()?;
        let records = places.iter().filter_map(|place| Record::parse(place).ok().flatten());
        records.map(|record| exists(&record, interfaces).map(|there| (record, there))).collect()
    }

    /// What [`Table::tidy`] would look at now, as nobody is at work on it.
    pub(crate) fn left(&self, seen: &[Seen]) -> Result<Vec<Record>, Error> {
        let mut left = Vec::new();
        for (number, seen) in seen.iter().enumerate() {
            if let Seen::Left(record) = seen {
                left.extend(self.locked_with(number, record)?.map(|_| Record::clone(record)));
            }
        }
        Ok(left)
    }

    /// None: somebody else has it.
    fn lock(&self, number: usize) -> Result<Option<Place<'_>>, Error> {
        let lock = self.range(number, libc::F_WRLCK)?;
        match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => Ok(Some(Place { table: self, number })),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(errno) => Err(Error::when(format!("lock a place in {}", self.path))(errno)),
        }
    }

    fn range(&self, number: usize, kind: i32) -> Result<libc::flock, Error> {
        Ok(libc::flock {
            l_type: i16::try_from(kind).unwrap_or(0),
            l_whence: i16::try_from(libc::SEEK_SET).unwrap_or(0),
            l_start: self.offset(number)?,
            l_len: i64::try_from(PLACE).unwrap_or(0),
            l_pid: 0,
        })
    }

    fn offset(&self, number: usize) -> Result<i64, Error> {
        number.checked_mul(PLACE).and_then(|offset| i64::try_from(offset).ok()).ok_or_else(|| self.damaged())
    }

    fn damaged(&self) -> Error {
        Error::Ledger {
            path: self.path.clone(),
            why: "is not as it was written; root can look what is in it, and remove it when no interface of this quota \
                  is left",
        }
    }

    fn busy(&self) -> Error {
        Error::Ledger {
            path: self.path.clone(),
            why: "is in use: another lxc-user-nic works on that interface",
        }
    }

    fn cannot(&self, what: &str, error: &std::io::Error) -> Error {
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        Error::when(format!("cannot {what} {}", self.path))(errno)
    }
}

fn place_by_lot(of: usize) -> usize {
    let drawn = u64::try_from(of).ok().and_then(|of| random().checked_rem(of));
    drawn.and_then(|drawn| usize::try_from(drawn).ok()).unwrap_or(0)
}

/// Does the kernel have the interface of this record? One that is unfinished does not count as one here.
///
/// Somebody may have renamed it. And where a network namespace has come to an end and another has got its number, some other
/// interface may have the number of one of that.
fn exists(record: &Record, interfaces: &Interfaces) -> Result<bool, Error> {
    Ok(!record.is_unfinished() && is_there(record, interfaces)?)
}

/// The same, finished or not. One of which no number is known is not there.
fn is_there(record: &Record, interfaces: &Interfaces) -> Result<bool, Error> {
    let Some(index) = record.index() else { return Ok(false) };
    let Some(name) = interfaces.name(index)? else { return Ok(false) };
    Ok(name == record.name.as_str().as_bytes() || interfaces.mac(&name)? == Some(record.mac))
}

/// What was seen of a place without locking it. By the time it is asked for, what was taken may be free, which only costs a refusal; what
/// was left or empty is looked at again, under its lock.
pub(crate) enum Seen {
    /// There is an interface, or may be.
    Taken,
    /// The record of one that is gone, or that is not finished.
    Left(Box<Record>),
    /// Nothing.
    Empty,
    /// Somebody was just writing it.
    Unclear,
}

impl Place<'_> {
    /// What it is locked by: as long as anybody has this open.
    pub(crate) fn lock(&self) -> BorrowedFd<'_> {
        self.table.file.as_fd()
    }

    /// Puts this record in its place.
    pub(crate) fn write(&self, record: &Record) -> Result<(), Error> {
        self.write_place(&record.to_place())
    }

    /// There is no interface, or no longer.
    pub(crate) fn withdraw(self) -> Result<(), Error> {
        self.write_place(&EMPTY)
    }

    fn read(&self) -> Result<Option<Record>, Error> {
        let mut place = [0; PLACE];
        let offset = u64::try_from(self.table.offset(self.number)?).unwrap_or(0);
        match self.table.file.read_exact_at(&mut place, offset) {
            Ok(()) => Record::parse(&place).map_err(|_| self.table.damaged()),
            // Beyond the end.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(self.table.cannot("read", &error)),
        }
    }

    /// The kernel writes so few bytes of a page in one go, if they come from one page too: else it may have taken a part of them
    /// when the process is killed.
    fn write_place(&self, place: &[u8; PLACE]) -> Result<(), Error> {
        #[repr(align(64))]
        struct OnOnePage([u8; PLACE]);
        let OnOnePage(place) = &OnOnePage(*place);
        let offset = u64::try_from(self.table.offset(self.number)?).unwrap_or(0);
        self.table.file.write_all_at(place, offset).map_err(|error| self.table.cannot("write", &error))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Ok(range) = self.table.range(self.number, libc::F_UNLCK) {
            // If it fails, the lock goes with the process.
            fcntl(&self.table.file, FcntlArg::F_OFD_SETLK(&range)).map(drop).unwrap_or_default();
        }
    }
}
