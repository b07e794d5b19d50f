//! The targets of what lxc-user-nic decides by.

use std::collections::BTreeSet;

use common::policy::group::Groups;
use common::policy::id::{Id, decimal};
use common::policy::ledger::{EMPTY, PLACE, Port, Record, State, may_use};
use common::policy::nic::{Attachment, InterfaceName, Mac};
use common::policy::usernet::Search;

use super::{Bytes, NO_ID, id, latin, number, pieces};

/// The largest signed 32-bit number: pids, ifindexes and counts go so far.
const LAST: u64 = 2_147_483_647;

/// `/etc/lxc/lxc-usernet`, searched for a caller in one piece, in pieces, and line by line.
///
/// The first byte says who he is, which groups he is in and which bridge he wants, the next two where the
/// file is cut, the rest is the file.
pub fn usernet(data: &[u8]) {
    let Some(([who, cuts @ ..], file)) = data.split_first_chunk::<3>() else { return };
    let mut first_line = file.split(|byte| matches!(byte, b' ' | b'\n'));
    let [first, _, third] = [(); 3].map(|()| first_line.next().unwrap_or_default());
    let names: Vec<Vec<u8>> = match who % 4 {
        0 => vec![b"alice".to_vec()],
        1 => ["alice", "lass", "@a", "#", ""].map(|name| name.as_bytes().to_vec()).into(),
        2 => vec![first.to_vec()],
        _ => vec![],
    };
    let bridge = match who / 4 % 4 {
        0 | 1 => "br0",
        2 => "none",
        _ => std::str::from_utf8(third).unwrap_or("br0"),
    };
    let gid = |name: &[u8]| match (who / 16 % 4, name) {
        (1, b"a") | (2, b"a" | b"b") => Id::new(7),
        (1, b"b") => Id::new(8),
        (3, name) => Id::new(u32::try_from(name.len() % 3).unwrap()),
        _ => None,
    };

    let found_by = |pieces: &[(u32, &[u8])]| {
        let mut search = Search::new(id(1000), &names, bridge);
        pieces.iter().for_each(|(line, piece)| search.look_at(*line, piece));
        search.finish()
    };
    let found = found_by(&[(1, file)]);
    assert_eq!(found, found_by(&pieces(file, u16::from_le_bytes(*cuts))));

    let allotted = allotted(file, bridge);
    let largest = |is_it: &dyn Fn(&[u8]) -> bool| {
        // The first of equals.
        allotted.iter().rev().filter(|line| is_it(&line.owner)).max_by_key(|line| line.count).cloned()
    };
    let mut groups: Vec<&[u8]> = Vec::new();
    for name in allotted.iter().filter_map(|line| line.owner.strip_prefix(b"@")) {
        if !groups.contains(&name) {
            groups.push(name);
        }
    }
    assert!(found.groups().eq(groups.iter().copied()));

    let users = |owner: &[u8]| !owner.starts_with(b"@") && names.iter().any(|name| name == owner);
    let mut expected: Vec<(String, Allotted)> =
        largest(&users).map(|line| ("u1000".to_owned(), line)).into_iter().collect();
    for name in groups {
        let Some(key) = gid(name).map(|gid| format!("g{gid}")) else { continue };
        let line = largest(&|owner| owner.strip_prefix(b"@") == Some(name)).unwrap();
        // Two names of one group: the larger, and of equals the first.
        match expected.iter_mut().find(|(other, _)| *other == key) {
            Some((_, known)) if known.count >= line.count => {}
            Some((_, known)) => *known = line,
            None => expected.push((key, line)),
        }
    }
    let quotas = found.quotas(id(1000), gid).into_iter().map(|quota| {
        let line = Allotted { owner: quota.owner.word(), count: quota.limit.into(), number: quota.line };
        (quota.owner.key(), line)
    });
    assert_eq!(quotas.collect::<Vec<_>>(), expected);
}

/// A line that lets its owner have some.
#[derive(Clone, PartialEq, Debug)]
struct Allotted {
    owner: Vec<u8>,
    count: u64,
    number: u32,
}

/// What `lxc-usernet(5)` and docs/differences.md say of the lines about a bridge.
fn allotted(file: &[u8], bridge: &str) -> Vec<Allotted> {
    let mut allotted = Vec::new();
    for (line, number) in file.split(|byte| *byte == b'\n').zip(1..) {
        let line = latin(line);
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        let [owner, "veth", on, count, ..] = words[..] else { continue };
        let Ok(count @ 1..=LAST) = self::number(count.as_bytes()) else { continue };
        let bridge = latin(bridge.as_bytes());
        let is_it = on == bridge || on.contains("%u") && on.replace("%u", "1000") == bridge;
        if line.starts_with(owner) && is_it && !line.contains(['\0', '\r']) {
            let owner = owner.chars().map(|letter| u8::try_from(letter).unwrap()).collect();
            allotted.push(Allotted { owner, count, number });
        }
    }
    allotted
}

/// `/etc/group`, searched for some names in one piece, in pieces, and name by name.
///
/// The first byte says which names, the next two where the file is cut, the rest is the file.
pub fn group(data: &[u8]) {
    let Some(([which, cuts @ ..], file)) = data.split_first_chunk::<3>() else { return };
    let of_the_file = file.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b':').next());
    let wanted: Vec<&[u8]> = match which % 4 {
        0 => vec![b"lab"],
        1 => vec![b"lab", b"labs", b"x", b"70", b"", b"+lab", b"#lab"],
        2 => BTreeSet::from_iter(of_the_file.flatten()).into_iter().collect(),
        _ => vec![],
    };
    let mut whole = Groups::named(wanted.iter().copied());
    whole.collect(file);
    let mut cut = Groups::named(wanted.iter().copied());
    for (_, piece) in pieces(file, u16::from_le_bytes(*cuts)) {
        cut.collect(piece);
    }

    let expected: Vec<Option<u64>> = wanted.iter().map(|name| gid_in(file, name)).collect();
    let gids = |groups: &Groups<'_>| -> Vec<Option<u64>> {
        wanted.iter().map(|name| groups.gid(name).map(|gid| gid.raw().into())).collect()
    };
    assert_eq!(gids(&whole), expected);
    assert_eq!(gids(&cut), expected);
    assert_eq!(whole.some_missing(), expected.contains(&None));
    assert_eq!(whole.gid(b"no:name"), None, "nobody asked for it");

    // What is missing, and that alone, is named: each once, in their own order. What is learnt elsewhere goes to those.
    let missing: BTreeSet<&[u8]> =
        wanted.iter().zip(&expected).filter(|(_, gid)| gid.is_none()).map(|(name, _)| *name).collect();
    assert!(missing.iter().copied().eq(whole.missing()));
    whole.complete(missing.iter().map(|name| (name.len() > 3).then(|| id(99))).collect::<Vec<_>>());
    let learnt = |(name, gid): (&&[u8], &Option<u64>)| gid.or_else(|| (name.len() > 3).then_some(99));
    assert_eq!(gids(&whole), wanted.iter().zip(&expected).map(learnt).collect::<Vec<_>>());
}

/// The gid on the first line that `group(5)` has for this name.
fn gid_in(file: &[u8], name: &[u8]) -> Option<u64> {
    if name.is_empty() || b"#+- \t\x0b\x0c\r".contains(&name[0]) {
        return None;
    }
    let gid_on = |line: &[u8]| match line.split(|byte| *byte == b':').collect::<Vec<_>>()[..] {
        [this, _, gid, ..] if this == name && !line.contains(&0) => {
            self::number(gid).ok().filter(|gid| *gid < NO_ID)
        }
        _ => None,
    };
    file.split(|byte| *byte == b'\n').find_map(gid_on)
}

/// One place of a table: the input, cut or filled up. And what a record made of the input writes there.
pub fn ledger(data: &[u8]) {
    let mut place = EMPTY;
    for (byte, given) in place.iter_mut().zip(data) {
        *byte = *given;
    }
    let free = place == [0; PLACE] || place == EMPTY;
    match (Record::parse(&place), written(&place)) {
        (Ok(None), None) => assert!(free),
        (Err(_), None) => assert!(!free),
        (Ok(Some(record)), Some(fields)) => {
            assert_eq!(fields_of(&record), fields);
            assert_eq!(record.to_place(), place);
        }
        (read, written) => panic!("{read:?}, but it says {written:?}"),
    }

    let mut bytes = Bytes(data);
    let long = |bytes: &mut Bytes<'_>| u64::from_be_bytes([(); 8].map(|()| bytes.next()));
    let kind = bytes.next();
    let uid = id(u32::try_from(bytes.id()).unwrap());
    let index = u32::try_from(bytes.id().clamp(1, LAST)).unwrap();
    let any = InterfaceName::of_host_end(uid, long(&mut bytes));
    let mac = Mac(long(&mut bytes).to_be_bytes()[2..].try_into().unwrap());
    let record = Record {
        state: if kind & 1 == 1 {
            State::Made { index }
        } else {
            State::Unfinished { index: (kind & 4 == 4).then_some(index) }
        },
        name: InterfaceName::parse(&bytes.0[..bytes.0.len().min(15)]).unwrap_or(any),
        uid,
        mac,
        port: if kind & 2 == 2 { Port::OpenVswitch } else { Port::Kernel },
    };
    let place = record.to_place();
    assert_eq!(written(&place), Some(fields_of(&record)));
    assert_eq!(Record::parse(&place), Ok(Some(record)));
}

/// What a table's file says of an interface: `+` or `?`, name, ifindex, uid, address, kind of bridge.
type Fields = [String; 6];

fn fields_of(record: &Record) -> Fields {
    let (state, index) = match record.state {
        State::Unfinished { index } => ("?", index.unwrap_or(0)),
        State::Made { index } => ("+", index),
    };
    let port = match record.port {
        Port::Kernel => "linux",
        Port::OpenVswitch => "ovs",
    };
    let mac = record.mac.0.map(|octet| format!("{octet:02x}")).join(":");
    [state.into(), record.name.as_str().into(), index.to_string(), record.uid.to_string(), mac, port.into()]
}

/// The fields of a place with an interface in it: one blank between them, blanks behind them, a newline at
/// the end.
fn written(place: &[u8; PLACE]) -> Option<Fields> {
    let line = std::str::from_utf8(place).ok()?.strip_suffix('\n')?;
    let fields: Vec<&str> = line.trim_end_matches(' ').split(' ').collect();
    let [state, name, index, uid, mac, port] = fields[..] else { return None };
    let (index_number, uid_number) = (number(index.as_bytes()).ok()?, number(uid.as_bytes()).ok()?);
    let sound = match state {
        "?" => index_number <= LAST,
        "+" => (1..=LAST).contains(&index_number),
        _ => false,
    };
    let sound = sound
        && is_name(name.as_bytes())
        && uid_number < NO_ID
        && octets(mac).is_some()
        && mac == mac.to_lowercase()
        && matches!(port, "linux" | "ovs");
    sound.then(|| [state, name, index, uid, mac, port].map(str::to_owned))
}

/// Four words, with a NUL after each: a pid, a bridge, an interface, an address.
pub fn nic_arguments(data: &[u8]) {
    let mut words = data.split(|byte| *byte == 0);
    let [pid, bridge, name, mac] = [(); 4].map(|()| words.next().unwrap_or_default());

    assert_eq!(decimal(pid).map(u64::from), number(pid));

    for word in [bridge, name, pid] {
        let read = InterfaceName::parse(word);
        assert_eq!(read.is_ok(), is_name(word), "{read:?}");
        match &read {
            Ok(name) => {
                assert_eq!(name.as_str().as_bytes(), word);
                let shown = name.to_string();
                assert!(shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !shown.contains(' '));
            }
            Err(why) => assert!(!why.is_empty() && why.is_ascii()),
        }
        let attachment = Attachment::parse(word);
        match &attachment {
            Ok(Attachment::Nothing) => assert_eq!(word, b"none"),
            Ok(Attachment::Bridge(bridge)) => assert!(word != b"none" && Ok(bridge) == read.as_ref()),
            // What % is there for is something else in a bridge's name.
            Err(why) => {
                let of_a_name = read.expect_err("no name either");
                assert!(
                    *why == of_a_name || [*why, of_a_name].iter().all(|why| why.starts_with("has % in it; "))
                );
            }
        }
        assert!(
            attachment.is_err() || attachment.is_ok_and(|attachment| attachment.word().as_bytes() == word)
        );
    }

    let text = String::from_utf8_lossy(mac);
    let read = Mac::parse(&text);
    // There is one way to write an address.
    assert_eq!(read.map(|mac| mac.0), octets(&text).filter(|_| text == text.to_lowercase()));
    assert!(read.is_none_or(|mac| mac.to_string() == text));

    // What the helper calls its own end.
    let mut bytes = Bytes(data);
    let uids = [(); 2].map(|()| bytes.id());
    let random = [(); 2].map(|()| u64::from_be_bytes([(); 8].map(|()| bytes.next())));
    let ends =
        [0, 1].map(|end| InterfaceName::of_host_end(id(u32::try_from(uids[end]).unwrap()), random[end]));
    for (end, uid) in ends.iter().zip(uids) {
        assert!(is_name(end.as_str().as_bytes()));
        let owner = end.as_str().strip_prefix("veth").and_then(|rest| rest.split_once('_')).unwrap().0;
        assert!(if uid <= 65536 { owner == uid.to_string() } else { base_62(owner) == uid });
    }
    assert!(uids[0] == uids[1] || ends[0] != ends[1]);
    assert_eq!(Mac::of_host_end(random[0]).0[0], 0xfe);
}

fn base_62(digits: &str) -> u64 {
    let digit = |digit: char| match digit {
        '0'..='9' => u64::from(digit) - u64::from('0'),
        'a'..='z' => u64::from(digit) - u64::from('a') + 10,
        _ => u64::from(digit) - u64::from('A') + 36,
    };
    digits.chars().fold(0, |number, next| number * 62 + digit(next))
}

/// May somebody choose it for an interface or a bridge?
fn is_name(word: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(word) else { return false };
    (1..=15).contains(&word.len())
        && !["all", "default", ".", ".."].contains(&text)
        && !text.starts_with('-')
        && text
            .chars()
            .all(|letter| !"/:%".contains(letter) && !letter.is_whitespace() && !letter.is_control())
        && kernel_takes(word)
}

/// Would the kernel (`dev_valid_name` in `net/core/dev.c`) take it? To it 0xa0 is white space, also in the
/// middle of a letter.
fn kernel_takes(word: &[u8]) -> bool {
    let odd = |byte: &u8| matches!(byte, 0 | b'/' | b':' | b' ' | b'\t'..=b'\r' | 0xa0);
    !word.is_empty() && word.len() < 16 && word != b"." && word != b".." && !word.iter().any(odd)
}

/// Six pairs of hexadecimal digits with colons between them.
fn octets(text: &str) -> Option<[u8; 6]> {
    let pairs: Vec<&str> = text.split(':').collect();
    let pairs: [&str; 6] = pairs.try_into().ok()?;
    let octet = |pair: &str| match pair.as_bytes() {
        [high, low] => Some(16 * char::from(*high).to_digit(16)? + char::from(*low).to_digit(16)?),
        _ => None,
    };
    let octets: Option<Vec<u32>> = pairs.into_iter().map(octet).collect();
    octets?.into_iter().map(|octet| u8::try_from(octet).unwrap()).collect::<Vec<_>>().try_into().ok()
}

/// Helpers that want a place in one table, each with a limit of its own, as somebody may edit the policy
/// meanwhile. Each byte of the input is a step of one of them: it looks at the next place, takes the one that
/// it found, makes an interface, dies. Or an interface goes. Who it is has two bits, what he does three, and
/// a number for it three.
///
/// What counts are the interfaces that exist, whatever the table says of them.
pub fn quota(data: &[u8]) {
    let mut table = Table::default();
    let mut helpers = [const { Helper::Idle }; 4];
    for step in data {
        let (who, deed, number) = (usize::from(step % 4), step / 4 % 8, step / 32);
        let helper = std::mem::replace(&mut helpers[who], Helper::Idle);
        helpers[who] = match (helper, deed) {
            (helper, 6) => {
                table.places[usize::from(number)].interface = None;
                helper
            }
            // The kernel takes its locks back; what it has made stays.
            (_, 7) => {
                table.unlock_all_of(who);
                Helper::Idle
            }
            (Helper::Idle, _) => Helper::Looking(Look::begin(&table, number.into())),
            (Helper::Looking(look), _) => look.go_on(&mut table, who),
            (Helper::Taken { place, .. } | Helper::Made { place }, 5) => table.leave(place, Place::default()),
            (Helper::Taken { place, limit }, _) => {
                table.made += 1;
                table.places[place].interface = Some(Interface { limit, number: table.made });
                Helper::Made { place }
            }
            (Helper::Made { place }, _) => {
                table.leave(place, Place { written: Written::Made, ..table.places[place] })
            }
        };
        let limits: Vec<u32> = table.interfaces().map(|interface| interface.limit).collect();
        let most = limits.iter().max().copied().unwrap_or(0);
        assert!(limits.len() <= usize::try_from(most).unwrap(), "{limits:?}");
    }

    // In the end all of them die, and one comes who is alone.
    (0..helpers.len()).for_each(|who| table.unlock_all_of(who));
    let made = table.places.iter().filter(|place| place.made().is_some()).count();
    for limit in 0..8 {
        let mut table = table.clone();
        let mut helper = Helper::Looking(Look::begin(&table, limit));
        while let Helper::Looking(look) = helper {
            helper = look.go_on(&mut table, 0);
        }
        let room = made < usize::try_from(limit).unwrap();
        match helper {
            Helper::Taken { place, .. } => {
                let mut places = table.places.iter();
                assert!(room && places.position(|place| place.made().is_none()) == Some(place));
            }
            _ => assert!(!room),
        }
    }
}

/// It has more places than anybody's limit is.
#[derive(Clone, Default)]
struct Table {
    places: [Place; 10],
    /// How many times one has been taken.
    taken: usize,
    /// How many interfaces there have been.
    made: usize,
}

#[derive(Clone, Copy, Default)]
struct Place {
    written: Written,
    locked_by: Option<usize>,
    interface: Option<Interface>,
}

#[derive(Clone, Copy, PartialEq, Default)]
enum Written {
    #[default]
    Nothing,
    Unfinished,
    Made,
}

#[derive(Clone, Copy, PartialEq)]
struct Interface {
    /// By which it was made.
    limit: u32,
    /// No other has it.
    number: usize,
}

enum Helper {
    Idle,
    Looking(Look),
    Taken { place: usize, limit: u32 },
    Made { place: usize },
}

impl Table {
    fn interfaces(&self) -> impl Iterator<Item = Interface> {
        self.places.iter().filter_map(|place| place.interface)
    }

    fn unlock_all_of(&mut self, who: usize) {
        for place in self.places.iter_mut().filter(|place| place.locked_by == Some(who)) {
            place.locked_by = None;
        }
    }

    fn leave(&mut self, place: usize, as_it_is: Place) -> Helper {
        self.places[place] = Place { locked_by: None, ..as_it_is };
        Helper::Idle
    }
}

impl Place {
    /// The interface that is in it, whole.
    fn made(&self) -> Option<Interface> {
        self.interface.filter(|_| self.written == Written::Made)
    }
}

/// A look at one place after the other.
struct Look {
    limit: u32,
    /// The places, as they were read at its beginning.
    read: Vec<Place>,
    taken_before: usize,
    next: usize,
    free: Option<usize>,
    taken_below: usize,
    taken_above: usize,
    others_at_work: bool,
}

impl Look {
    fn begin(table: &Table, limit: u32) -> Self {
        let (read, taken_before) = (table.places.to_vec(), table.taken);
        let (next, free, taken_below, taken_above, others_at_work) = (0, None, 0, 0, false);
        Self { limit, read, taken_before, next, free, taken_below, taken_above, others_at_work }
    }

    /// Looks at the next place, or comes to an end.
    fn go_on(mut self, table: &mut Table, who: usize) -> Helper {
        let Some(read) = self.read.get(self.next) else { return self.end(table) };
        let place = &mut table.places[self.next];
        let is_there = read.made().is_some() && read.made() == place.interface;
        let looks_empty = self.free.is_some() && read.written == Written::Nothing;
        let taken = if is_there || looks_empty {
            is_there
        } else if place.locked_by.is_some() {
            self.others_at_work = true;
            true
        } else if place.made().is_some() {
            true
        } else {
            // What somebody who died has left half-way is cleared away.
            *place = Place::default();
            if self.free.is_none() {
                place.locked_by = Some(who);
                self.free = Some(self.next);
            }
            false
        };
        let side = if self.free.is_none() { &mut self.taken_below } else { &mut self.taken_above };
        *side += usize::from(taken);
        self.next += 1;
        Helper::Looking(self)
    }

    fn end(self, table: &mut Table) -> Helper {
        let limit = usize::try_from(self.limit).unwrap();
        // How many there have been all the time since it began, and how many at one time or another.
        let all_the_time = self.read.iter().filter_map(Place::made);
        let all_the_time = all_the_time.filter(|made| table.interfaces().any(|now| now == *made)).count();
        let before = self.read.iter().filter(|place| place.written != Written::Nothing).count();
        let at_some_time = before + table.taken - self.taken_before;
        match self.free {
            Some(place) if may_use(self.taken_below, self.taken_above, self.limit) => {
                assert!(all_the_time < limit);
                table.places[place].written = Written::Unfinished;
                table.taken += 1;
                Helper::Taken { place, limit: self.limit }
            }
            free => {
                assert!(at_some_time >= limit || self.others_at_work);
                free.into_iter().for_each(|place| table.places[place].locked_by = None);
                Helper::Idle
            }
        }
    }
}
