//! A story of the whole ledger: helpers that make and remove interfaces, each at one step of its own at a time; helpers that
//! die; containers that end; a root who renames what is new; and a disk that forgets, or says what nobody has written.
//!
//! The tables are bytes, and what is in them is read, written and decided by the code under test (`common::policy::ledger`).
//! What that code cannot do, as it does no I/O, is done here by a kernel of a few lines: files, locks, interfaces. The helpers
//! follow `helpers/lxc-user-nic/src/ledger.rs` call by call.

use std::collections::BTreeMap;

use common::policy::ledger::{EMPTY, PLACE, Port, Record, State, may_use};
use common::policy::nic::{InterfaceName, Mac};

use super::{Bytes, id};

/// Users 0 to 2; and a group, which 0 and 1 are in.
const OWNERS: usize = 4;
const GROUP: usize = 3;
/// A table for each owner on each of two bridges.
const TABLES: usize = 2 * OWNERS;
const HELPERS: usize = 4;

/// The first two bytes are the quotas of the owners, the same on both bridges. After that each byte says what happens next,
/// and those that follow it to whom.
///
/// As long as nobody has damaged a table: there are never more interfaces than its quota, and none that it does not count.
/// Where somebody has, what it still counts is never more than the quota. In the end, when all is quiet, there is room where
/// there should be, whatever the dead have left; and what was made can be removed by whom it was made for.
pub fn ledger_story(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut host = Host::default();
    let numbers = [bytes.next(), bytes.next()];
    for owner in 0..OWNERS {
        host.quotas[owner] = usize::from(numbers[owner / 2] >> (4 * (owner % 2)) & 3);
    }
    while !bytes.0.is_empty() {
        let what = bytes.next();
        let who = usize::from(what) % HELPERS;
        match what {
            0..192 => host.step(who, &mut bytes),
            192..208 => host.end(who),
            208..224 => host.container_ends(bytes.next()),
            224..234 => host.run(who),
            234..236 => host.rename(bytes.next()),
            _ => host.damage(&mut bytes),
        }
        host.check();
    }
    // Everybody comes to an end, by himself.
    while !(0..HELPERS).all(|who| host.is_idle(who)) {
        (0..HELPERS).for_each(|who| host.go_on(who));
        host.check();
    }
    host.gives_room_where_there_is_some();
    host.removes_what_was_made();
}

/// A machine.
#[derive(Clone, Default)]
struct Host {
    /// Of each owner.
    quotas: [usize; OWNERS],
    tables: [Option<usize>; TABLES],
    files: Vec<File>,
    damaged: [bool; TABLES],
    interfaces: Vec<Interface>,
    helpers: [Helper; HELPERS],
    /// What each of them has come to.
    outcomes: [Option<Outcome>; HELPERS],
}

#[derive(Clone, Default)]
struct File {
    bytes: Vec<u8>,
    is_foreign: bool,
    locks: BTreeMap<usize, usize>,
}

#[derive(Clone)]
struct Interface {
    record: Record,
    table: usize,
    file: usize,
    is_there: bool,
    /// Root has given it another name.
    is_renamed: bool,
    /// Damage was done to its record: it does not count any more.
    is_lost: bool,
    /// Who still makes it.
    maker: Option<usize>,
}

/// For one user on one bridge.
#[derive(Clone, Copy, PartialEq)]
struct Errand {
    user: usize,
    bridge: usize,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    Made { table: usize },
    Full,
    Removed,
    NoRecord,
    Busy,
    Damaged,
}

#[derive(Clone, Default)]
enum Helper {
    #[default]
    Idle,
    Creates {
        errand: Errand,
        /// Of the quotas that the user has.
        choice: usize,
        work: Work,
    },
    Deletes {
        errand: Errand,
        name: InterfaceName,
        choice: usize,
        work: Removal,
    },
}

/// What a `create` does next.
#[derive(Clone)]
enum Work {
    Open,
    /// Asks the kernel about one place after the other.
    Look {
        file: usize,
        read: Vec<[u8; PLACE]>,
        seen: Vec<Seen>,
    },
    /// Locks the place, if it is left behind.
    Tidy {
        file: usize,
        seen: Vec<Seen>,
        next: usize,
    },
    /// Removes what there is, and lets go of it.
    Clear {
        file: usize,
        seen: Vec<Seen>,
        next: usize,
    },
    /// Empties the place.
    Withdraw {
        file: usize,
        seen: Vec<Seen>,
        next: usize,
    },
    Claim {
        file: usize,
        seen: Vec<Seen>,
        next: usize,
        free: Option<(usize, usize)>,
        taken: usize,
    },
    Write {
        file: usize,
        place: usize,
    },
    Make {
        file: usize,
        place: usize,
        record: Record,
    },
    /// Says in the record what number it has.
    Number {
        file: usize,
        place: usize,
        record: Record,
    },
    Finish {
        file: usize,
        place: usize,
        record: Record,
    },
}

/// What a `delete` does next.
#[derive(Clone)]
enum Removal {
    Open,
    Find { file: usize, read: Vec<[u8; PLACE]>, next: usize },
    Clear { file: usize, place: usize, record: Record },
    Withdraw { file: usize, place: usize },
}

#[derive(Clone)]
enum Seen {
    Taken,
    Left(Record),
    Empty,
    Unclear,
}

/// Somebody else has written it than a helper.
struct Damage;

impl Host {
    /// A helper that stands there takes a step; where there is none, one is started.
    fn step(&mut self, who: usize, bytes: &mut Bytes<'_>) {
        if !self.is_idle(who) {
            return self.go_on(who);
        }
        let what = usize::from(bytes.next());
        let errand = Errand { user: what % 4 % GROUP, bridge: what / 4 % 2 };
        let mine = |interface: &&Interface| interface.record.uid == uid(errand.user);
        let mut mine = self.interfaces.iter().rev().filter(mine).filter(|one| one.table % 2 == errand.bridge);
        self.helpers[who] = match mine.nth(what / 32).filter(|_| what / 8 % 2 == 1) {
            Some(Interface { record, .. }) => {
                Helper::Deletes { errand, name: record.name.clone(), choice: 0, work: Removal::Open }
            }
            None => Helper::Creates { errand, choice: 0, work: Work::Open },
        };
        self.outcomes[who] = None;
    }

    fn go_on(&mut self, who: usize) {
        let outcome = match std::mem::take(&mut self.helpers[who]) {
            Helper::Idle => return,
            Helper::Creates { errand, choice, work } => self.create(who, errand, choice, work),
            Helper::Deletes { errand, name, choice, work } => self.delete(who, errand, name, choice, work),
        };
        match outcome {
            Ok(helper) => self.helpers[who] = helper,
            Err(outcome) => {
                self.end(who);
                self.outcomes[who] = Some(outcome);
            }
        }
    }

    /// To its end: nobody waits for somebody else for ever.
    fn run(&mut self, who: usize) {
        while !self.is_idle(who) {
            self.go_on(who);
        }
    }

    fn is_idle(&self, who: usize) -> bool {
        matches!(self.helpers[who], Helper::Idle)
    }

    /// The kernel takes back the locks. What was made stays.
    fn end(&mut self, who: usize) {
        self.helpers[who] = Helper::Idle;
        self.files.iter_mut().for_each(|file| file.locks.retain(|_, holder| *holder != who));
        self.interfaces.iter_mut().filter(|one| one.maker == Some(who)).for_each(|one| one.maker = None);
    }

    fn container_ends(&mut self, number: u8) {
        let there = self.interfaces.iter_mut().filter(|interface| interface.is_there);
        let there: Vec<&mut Interface> = there.collect();
        let number = usize::from(number) % there.len().max(1);
        there.into_iter().skip(number).take(1).for_each(|interface| interface.is_there = false);
    }

    fn rename(&mut self, number: u8) {
        let number = usize::from(number) % self.interfaces.len().max(1);
        self.interfaces
            .iter_mut()
            .rev()
            .skip(number)
            .take(1)
            .for_each(|interface| interface.is_renamed = true);
    }

    /// Something is done to a table that no helper does.
    fn damage(&mut self, bytes: &mut Bytes<'_>) {
        let table = usize::from(bytes.next()) % TABLES;
        let (what, first, second) = (bytes.next(), usize::from(bytes.next()), usize::from(bytes.next()));
        self.damaged[table] = true;
        let copied = self.tables[second % TABLES].and_then(|file| self.place(file, second / TABLES));
        let Some(file) = self.tables[table].map(|file| &mut self.files[file]) else { return };
        let length = file.bytes.len();
        let place = first % (length / PLACE).max(1) * PLACE;
        match what % 8 {
            0 if length > 0 => file.bytes[(first * 7 + second) % length] ^= what | 1,
            1 if length > 0 => file.bytes[place..].iter_mut().take(PLACE).for_each(|byte| *byte = 0),
            2 if length > 0 => {
                file.bytes[place..].iter_mut().take(PLACE).for_each(|byte| *byte = bytes.next())
            }
            3 => file.bytes.truncate(first * 2),
            4 => self.tables[table] = None,
            5 if length > 0 => {
                let copied = copied.unwrap_or([0; PLACE]);
                file.bytes[place..].iter_mut().zip(copied).for_each(|(byte, copied)| *byte = copied);
            }
            6 => file.bytes.resize(length + first % 130, what),
            _ => file.is_foreign = !file.is_foreign,
        }
    }

    /// What must hold after every step.
    fn check(&mut self) {
        for number in 0..self.interfaces.len() {
            let interface = &self.interfaces[number];
            if !interface.is_there || interface.is_lost {
                continue;
            }
            let current = self.tables[interface.table] == Some(interface.file);
            let is_made = current
                && interface.maker.is_some_and(|maker| {
                    self.files[interface.file].locks.values().any(|holder| *holder == maker)
                });
            let counts = is_made || self.is_recorded(interface);
            assert!(counts || self.damaged[interface.table], "nobody counts it");
            self.interfaces[number].is_lost = !counts;
        }
        for table in 0..TABLES {
            let there =
                self.interfaces.iter().filter(|one| one.table == table && one.is_there && !one.is_lost);
            assert!(there.count() <= self.quotas[table / 2], "too many");
        }
    }

    fn is_recorded(&self, interface: &Interface) -> bool {
        let Some(file) = self.tables[interface.table] else { return false };
        let is_it =
            |record| self.of(&record).is_some_and(|one| self.interfaces[one].record == interface.record);
        self.records(file).any(is_it)
    }

    /// What can be read of a file's records.
    fn records(&self, file: usize) -> impl Iterator<Item = Record> {
        places(&self.files[file].bytes).into_iter().filter_map(|place| Record::parse(&place).ok().flatten())
    }

    /// Has the kernel what this record says was made?
    fn exists(&self, record: &Record) -> Option<&Interface> {
        if record.is_unfinished() { None } else { self.of(record).map(|one| &self.interfaces[one]) }
    }

    /// The interface that a record is about: the one of its number, if that has its name or its address; or by the address, as long
    /// as it has no number.
    fn of(&self, record: &Record) -> Option<usize> {
        let has_mac = |one: &Interface| one.record.mac == record.mac;
        let is_named = |one: &Interface| !one.is_renamed && one.record.name == record.name;
        match record.index() {
            Some(index) => {
                let place = usize::try_from(index).unwrap().checked_sub(1)?;
                let one = self.interfaces.get(place)?;
                (one.is_there && (is_named(one) || has_mac(one))).then_some(place)
            }
            None => self.interfaces.iter().position(|one| one.is_there && has_mac(one)),
        }
    }

    /// Removes what there is of an interface.
    fn clear(&mut self, record: &Record) {
        if let Some(one) = self.of(record) {
            self.interfaces[one].is_there = false;
        }
    }

    /// Opens it, and makes it if that is asked for. Ok(None): there is none.
    fn open(&mut self, table: usize, make: bool) -> Result<Option<usize>, Outcome> {
        if self.tables[table].is_none() && make {
            self.files.push(File::default());
            self.tables[table] = Some(self.files.len() - 1);
        }
        let Some(file) = self.tables[table] else { return Ok(None) };
        let sound = !self.files[file].is_foreign && self.files[file].bytes.len() % PLACE == 0;
        if sound { Ok(Some(file)) } else { Err(Outcome::Damaged) }
    }

    fn place(&self, file: usize, place: usize) -> Option<[u8; PLACE]> {
        let (start, end) = (place * PLACE, (place + 1) * PLACE);
        self.files[file].bytes.get(start..end).map(|bytes| bytes.try_into().unwrap())
    }

    /// A record; nothing also beyond the end.
    fn record(&self, file: usize, place: usize) -> Result<Option<Record>, Damage> {
        self.place(file, place).map_or(Ok(None), |place| Record::parse(&place).map_err(|_| Damage))
    }

    fn write(&mut self, file: usize, place: usize, bytes: [u8; PLACE]) {
        let (start, file) = (place * PLACE, &mut self.files[file].bytes);
        file.resize(file.len().max(start + PLACE), 0);
        file[start..].iter_mut().zip(bytes).for_each(|(byte, new)| *byte = new);
    }

    fn lock(&mut self, who: usize, file: usize, place: usize) -> bool {
        *self.files[file].locks.entry(place).or_insert(who) == who
    }

    fn unlock(&mut self, file: usize, place: usize) {
        self.files[file].locks.remove(&place);
    }

    /// Locks the place, if nobody else has it and it still has this record in it.
    fn locked_with(
        &mut self,
        who: usize,
        file: usize,
        place: usize,
        record: &Record,
    ) -> Result<bool, Damage> {
        if !self.lock(who, file, place) {
            return Ok(false);
        }
        let same = self.record(file, place)?.as_ref() == Some(record);
        if !same {
            self.unlock(file, place);
        }
        Ok(same)
    }

    /// A place that seems to be damaged: somebody may just be writing it. Nobody is, if it can be locked.
    fn see_whole(&mut self, who: usize, file: usize, place: usize) -> Result<(), Damage> {
        if self.lock(who, file, place) {
            self.record(file, place)?;
            self.unlock(file, place);
        }
        Ok(())
    }

    /// The tables of the quotas that a user has, his own first.
    fn quotas_of(&self, Errand { user, bridge }: Errand) -> Vec<usize> {
        let owners = [user].into_iter().chain((user < 2).then_some(GROUP));
        owners.filter(|owner| self.quotas[*owner] > 0).map(|owner| 2 * owner + bridge).collect()
    }

    fn create(&mut self, who: usize, errand: Errand, choice: usize, work: Work) -> Result<Helper, Outcome> {
        let Some(table) = self.quotas_of(errand).get(choice).copied() else { return Err(Outcome::Full) };
        let quota = self.quotas[table / 2];
        let work = match work {
            Work::Open => {
                let file = self.open(table, true)?.unwrap();
                Work::Look { file, read: places(&self.files[file].bytes), seen: vec![] }
            }
            Work::Look { file, read, mut seen } => match read.get(seen.len()) {
                None => Work::Tidy { file, seen, next: 0 },
                Some(place) => {
                    seen.push(match Record::parse(place) {
                        Ok(None) => Seen::Empty,
                        Ok(Some(record)) if self.exists(&record).is_some() => Seen::Taken,
                        Ok(Some(record)) => Seen::Left(record),
                        Err(_) => {
                            self.see_whole(who, file, seen.len())?;
                            Seen::Unclear
                        }
                    });
                    Work::Look { file, read, seen }
                }
            },
            Work::Tidy { file, seen, next } => match seen.get(next) {
                None => Work::Withdraw { file, seen, next: 0 },
                Some(Seen::Left(record)) => {
                    if self.locked_with(who, file, next, record)? {
                        Work::Clear { file, seen, next }
                    } else {
                        // Not to be emptied either: it is somebody else's by now.
                        let mut seen = seen;
                        seen[next] = Seen::Unclear;
                        Work::Tidy { file, seen, next: next + 1 }
                    }
                }
                Some(_) => Work::Tidy { file, seen, next: next + 1 },
            },
            Work::Clear { file, seen, next } => {
                if let Seen::Left(record) = &seen[next] {
                    self.clear(record);
                }
                self.unlock(file, next);
                Work::Tidy { file, seen, next: next + 1 }
            }
            Work::Withdraw { file, mut seen, next } => match seen.get(next) {
                None => Work::Claim { file, seen, next: 0, free: None, taken: 0 },
                Some(Seen::Left(record)) => {
                    if self.locked_with(who, file, next, record)? {
                        self.write(file, next, EMPTY);
                        self.unlock(file, next);
                        seen[next] = Seen::Empty;
                    }
                    Work::Withdraw { file, seen, next: next + 1 }
                }
                Some(_) => Work::Withdraw { file, seen, next: next + 1 },
            },
            Work::Claim { file, seen, next, mut free, mut taken } => {
                let step = match seen.get(next) {
                    None if free.is_some() || taken >= quota => None,
                    Some(Seen::Taken) => Some(true),
                    Some(Seen::Empty) if free.is_some() => Some(false),
                    None | Some(Seen::Empty | Seen::Left(_) | Seen::Unclear) => {
                        Some(if !self.lock(who, file, next) {
                            true
                        } else if self.record(file, next)?.is_some() {
                            self.unlock(file, next);
                            true
                        } else if free.is_none() {
                            free = Some((next, taken));
                            false
                        } else {
                            self.unlock(file, next);
                            false
                        })
                    }
                };
                match (step, free) {
                    (Some(is_taken), free) => {
                        taken += usize::from(is_taken);
                        Work::Claim { file, seen, next: next + 1, free, taken }
                    }
                    (None, Some((place, below)))
                        if may_use(below, taken - below, u32::try_from(quota).unwrap()) =>
                    {
                        Work::Write { file, place }
                    }
                    (None, free) => {
                        free.into_iter().for_each(|(place, _)| self.unlock(file, place));
                        return Ok(Helper::Creates { errand, choice: choice + 1, work: Work::Open });
                    }
                }
            }
            Work::Write { file, place } => {
                let record = self.intent(errand.user, who);
                self.write(file, place, record.to_place());
                Work::Make { file, place, record }
            }
            Work::Make { file, place, record } => {
                let (maker, is_there, is_renamed, is_lost) = (Some(who), true, false, false);
                let record_of = record.clone();
                self.interfaces.push(Interface {
                    record: record_of,
                    table,
                    file,
                    is_there,
                    is_renamed,
                    is_lost,
                    maker,
                });
                let index = Some(u32::try_from(self.interfaces.len()).unwrap());
                Work::Number { file, place, record: Record { state: State::Unfinished { index }, ..record } }
            }
            Work::Number { file, place, record } => {
                self.write(file, place, record.to_place());
                let index = record.index().unwrap();
                Work::Finish { file, place, record: Record { state: State::Made { index }, ..record } }
            }
            Work::Finish { file, place, record } => {
                self.write(file, place, record.to_place());
                return Err(Outcome::Made { table });
            }
        };
        Ok(Helper::Creates { errand, choice, work })
    }

    /// No other has this name, or this address.
    fn intent(&self, user: usize, who: usize) -> Record {
        let number = u64::try_from(self.interfaces.len() * HELPERS + who).unwrap();
        Record {
            state: State::Unfinished { index: None },
            name: InterfaceName::of_host_end(uid(user), number),
            uid: uid(user),
            mac: Mac::of_host_end(number),
            port: Port::Kernel,
        }
    }

    fn delete(
        &mut self,
        who: usize,
        errand: Errand,
        name: InterfaceName,
        choice: usize,
        work: Removal,
    ) -> Result<Helper, Outcome> {
        // Whatever policy says today.
        let owners = [errand.user].into_iter().chain((errand.user < 2).then_some(GROUP));
        let Some(owner) = owners.into_iter().nth(choice) else { return Err(Outcome::NoRecord) };
        let table = 2 * owner + errand.bridge;
        let is_it = |record: &Record| record.uid == uid(errand.user) && record.name == name;
        let mut choice = choice;
        let work = match work {
            Removal::Open => match self.open(table, false)? {
                Some(file) => Removal::Find { file, read: places(&self.files[file].bytes), next: 0 },
                None => {
                    choice += 1;
                    Removal::Open
                }
            },
            Removal::Find { file, read, next } => match read.get(next).map(Record::parse) {
                None => {
                    choice += 1;
                    Removal::Open
                }
                Some(Ok(Some(record))) if is_it(&record) => {
                    if !self.lock(who, file, next) {
                        // The real one waits for a second before it says so.
                        return Err(Outcome::Busy);
                    } else if let Some(record) = self.record(file, next)?.filter(is_it) {
                        Removal::Clear { file, place: next, record }
                    } else {
                        self.unlock(file, next);
                        Removal::Find { file, read, next: next + 1 }
                    }
                }
                Some(Ok(_)) => Removal::Find { file, read, next: next + 1 },
                Some(Err(_)) => {
                    self.see_whole(who, file, next)?;
                    Removal::Find { file, read, next: next + 1 }
                }
            },
            Removal::Clear { file, place, record } => {
                self.clear(&record);
                Removal::Withdraw { file, place }
            }
            Removal::Withdraw { file, place } => {
                self.write(file, place, EMPTY);
                return Err(Outcome::Removed);
            }
        };
        Ok(Helper::Deletes { errand, name, choice, work })
    }

    /// Nobody else is at work: what comes of a `create` depends on what there is, and on nothing that is gone.
    fn gives_room_where_there_is_some(&self) {
        for errand in errands() {
            let mut host = self.clone();
            host.helpers[0] = Helper::Creates { errand, choice: 0, work: Work::Open };
            let expected = host.expected(errand);
            host.run(0);
            host.check();
            assert_eq!(host.outcomes[0], Some(expected));
            if let Outcome::Made { table } = expected {
                let file = host.tables[table].unwrap();
                // A second record of an interface, which somebody has put there, may take it away from the first.
                let damaged = host.damaged[table];
                assert!(
                    damaged || host.records(file).all(|record| host.exists(&record).is_some()),
                    "the dead are left"
                );
            }
        }
    }

    fn expected(&self, errand: Errand) -> Outcome {
        for table in self.quotas_of(errand) {
            let Some(file) = self.tables[table] else { return Outcome::Made { table } };
            let bytes = &self.files[file].bytes;
            let damaged = places(bytes).iter().any(|place| Record::parse(place).is_err());
            if self.files[file].is_foreign || bytes.len() % PLACE != 0 || damaged {
                return Outcome::Damaged;
            }
            let there = self.records(file).filter(|record| self.exists(record).is_some()).count();
            if there < self.quotas[table / 2] {
                return Outcome::Made { table };
            }
        }
        Outcome::Full
    }

    fn removes_what_was_made(&self) {
        for interface in self.interfaces.iter().filter(|interface| interface.is_there && !interface.is_lost) {
            let user = (0..GROUP).find(|user| uid(*user) == interface.record.uid).unwrap();
            let errand = Errand { user, bridge: interface.table % 2 };
            let mut host = self.clone();
            let name = interface.record.name.clone();
            host.helpers[0] = Helper::Deletes { errand, name: name.clone(), choice: 0, work: Removal::Open };
            host.run(0);
            host.check();
            let still_there = host.interfaces.iter().any(|one| one.record.name == name && one.is_there);
            // Damage anywhere that he has to look at may be in the way.
            let undamaged =
                !self.damaged[2 * user + errand.bridge] && !self.damaged[2 * GROUP + errand.bridge];
            match host.outcomes[0] {
                Some(Outcome::Removed) => assert!(!still_there || !undamaged),
                other => assert!(!undamaged, "{other:?}"),
            }
        }
    }
}

impl From<Damage> for Outcome {
    fn from(_: Damage) -> Self {
        Self::Damaged
    }
}

fn places(bytes: &[u8]) -> Vec<[u8; PLACE]> {
    bytes.chunks_exact(PLACE).map(|place| place.try_into().unwrap()).collect()
}

fn uid(user: usize) -> common::policy::id::Id {
    id(u32::try_from(1000 + user).unwrap())
}

fn errands() -> impl Iterator<Item = Errand> {
    (0..GROUP).flat_map(|user| (0..2).map(move |bridge| Errand { user, bridge }))
}
