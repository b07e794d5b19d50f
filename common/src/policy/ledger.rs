//! The ledger of interfaces: the table behind one quota, and the record in each of its places.
//!
//! A table is a run of places of [`PLACE`] bytes, each empty or with one interface in it. The place is what makes the
//! quota hold: an interface needs one, and there are no more than the quota says ([`may_use`]). A record is a line of text, so
//! that an admin can read it.

use std::fmt;

use super::id::{self, Id};
use super::nic::{InterfaceName, Mac};

/// The size of a place. It divides the size of a page, so writing one is never left half done.
pub const PLACE: usize = 64;

/// One interface: what is known of it before it exists, and how far it has got.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// How far.
    pub state: State,
    /// The host end's name.
    pub name: InterfaceName,
    /// Who asked for it.
    pub uid: Id,
    /// The host end's address: who wants to remove an interface can tell it from another of its name.
    pub mac: Mac,
    /// Where it is attached.
    pub port: Port,
}

/// How far an interface has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It is being made or removed: it may exist, wholly or in part.
    Unfinished {
        /// The host end's, from the moment on that it is known: whatever becomes of the name, it is found by that.
        index: Option<u32>,
    },
    /// It has been made, with this ifindex.
    Made {
        /// The host end's, 1 to 2147483647.
        index: u32,
    },
}

/// Where an interface is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// To a bridge of the kernel's, or to nothing: the kernel forgets it with the interface.
    Kernel,
    /// To a bridge of Open vSwitch's, which has to be told when it is gone.
    OpenVswitch,
}

impl Record {
    /// Reads a place.
    ///
    /// Ok(None): it is empty.
    ///
    /// # Errors
    /// It has something else in it than what [`Record::to_place`] writes.
    pub fn parse(place: &[u8; PLACE]) -> Result<Option<Self>, Damaged> {
        if *place == [0; PLACE] || *place == EMPTY {
            return Ok(None);
        }
        std::str::from_utf8(place).ok().and_then(Self::read).map(Some).ok_or(Damaged)
    }

    /// There is one way to write a record, so there is one to read it: one blank between two fields, and what is in a field
    /// is not to be written in another way either.
    fn read(text: &str) -> Option<Self> {
        let mut fields = text.strip_suffix('\n')?.trim_end_matches(' ').split(' ');
        let mut field = || fields.next();
        let (state, name, index, uid, mac, port) =
            (field()?, field()?, field()?, field()?, field()?, field()?);
        let number = |text: &str| id::decimal(text.as_bytes()).ok();
        let is_one = |index: u32| i32::try_from(index).is_ok_and(|index| index > 0);
        let record = Self {
            state: match (state, number(index)?) {
                ("?", 0) => State::Unfinished { index: None },
                ("?", index) if is_one(index) => State::Unfinished { index: Some(index) },
                ("+", index) if is_one(index) => State::Made { index },
                _ => return None,
            },
            name: InterfaceName::parse(name.as_bytes()).ok()?,
            uid: number(uid).and_then(Id::new)?,
            mac: Mac::parse(mac)?,
            port: match port {
                "linux" => Port::Kernel,
                "ovs" => Port::OpenVswitch,
                _ => return None,
            },
        };
        field().is_none().then_some(record)
    }

    /// Has it not got beyond its beginning?
    #[must_use]
    pub const fn is_unfinished(&self) -> bool {
        matches!(self.state, State::Unfinished { .. })
    }

    /// The host end's ifindex, if it is known.
    #[must_use]
    pub const fn index(&self) -> Option<u32> {
        match self.state {
            State::Unfinished { index } => index,
            State::Made { index } => Some(index),
        }
    }

    /// The place with this record in it: the text, blanks, a newline.
    #[must_use]
    pub fn to_place(&self) -> [u8; PLACE] {
        let mut place = EMPTY;
        let text = self.to_string();
        // The longest record just fits.
        for (byte, letter) in place.iter_mut().zip(text.bytes()).take(PLACE.saturating_sub(1)) {
            *byte = letter;
        }
        place
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_unfinished() { '?' } else { '+' };
        let index = self.index().unwrap_or(0);
        let port = match self.port {
            Port::Kernel => "linux",
            Port::OpenVswitch => "ovs",
        };
        write!(f, "{state} {} {index} {} {} {port}", self.name.as_str(), self.uid, self.mac)
    }
}

/// Is there a record in this place that says "made", if there is one at all?
#[must_use]
pub fn says_made(place: &[u8; PLACE]) -> bool {
    place.starts_with(b"+")
}

/// An empty place, as it is written.
pub const EMPTY: [u8; PLACE] = {
    let mut place = [b' '; PLACE];
    if let Some(last) = place.last_mut() {
        *last = b'\n';
    }
    place
};

/// A place has something in it that is no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damaged;

/// May an interface be put in `place`, counted from 0, if all places below are taken and `taken_above` of those above?
///
/// Whoever wants one takes the lowest place that is free. So when two do at once, each has counted all that are below his
/// own place, and together they never exceed the limit, though neither waits for the other.
#[must_use]
pub fn may_use(place: usize, taken_above: usize, limit: u32) -> bool {
    let taken = place.saturating_add(taken_above);
    u32::try_from(taken).is_ok_and(|taken| taken < limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(made: Option<u32>, uid: u32, random: u64, port: Port) -> Record {
        let uid = Id::new(uid).unwrap();
        Record {
            state: made.map_or(State::Unfinished { index: None }, |index| State::Made { index }),
            name: InterfaceName::of_host_end(uid, random),
            uid,
            mac: Mac::of_host_end(random),
            port,
        }
    }

    #[test]
    fn the_longest_record_fits_and_is_a_line() {
        let place = record(Some(2_147_483_647), u32::MAX - 1, u64::MAX, Port::Kernel).to_place();
        assert_eq!(place.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!((place[PLACE - 2], place[PLACE - 1]), (b'x', b'\n'));
        let text =
            String::from_utf8(record(Some(7), 52001, 0, Port::OpenVswitch).to_place().to_vec()).unwrap();
        assert_eq!(text.trim_end(), "+ veth52001_0000 7 52001 fe:00:00:00:00:00 ovs");
    }

    #[test]
    fn an_empty_place_is_blank_or_was_never_written() {
        assert_eq!(Record::parse(&EMPTY), Ok(None));
        assert_eq!(Record::parse(&[0; PLACE]), Ok(None));
    }

    #[test]
    fn a_number_and_what_it_is_the_number_of_go_together() {
        let read = |text: &str| {
            let mut place = EMPTY;
            place[..text.len()].copy_from_slice(text.as_bytes());
            Record::parse(&place)
        };
        let rest = "52001 fe:00:00:00:00:00 linux";
        assert!(matches!(read(&format!("+ veth52001_0000 1 {rest}")), Ok(Some(_))));
        for index in [0, 1, 2_147_483_647] {
            let record = read(&format!("? veth52001_0000 {index} {rest}")).unwrap().unwrap();
            assert_eq!((record.is_unfinished(), record.index().unwrap_or(0)), (true, index));
        }
        for (state, index) in
            [("+", "0"), ("+", "2147483648"), ("?", "2147483648"), ("-", "0"), ("+", "01"), ("?", "00")]
        {
            assert_eq!(
                read(&format!("{state} veth52001_0000 {index} {rest}")),
                Err(Damaged),
                "{state} {index}"
            );
        }
    }

    #[test]
    fn what_is_taken_on_either_side_of_a_place_counts_against_the_limit() {
        for (place, taken_above, limit, may) in [
            (0, 0, 1, true),
            (0, 0, 0, false),
            (2, 0, 3, true),
            (3, 0, 3, false),
            (0, 2, 3, true),
            (0, 3, 3, false),
            (1, 1, 3, true),
            (1, 2, 3, false),
            (2, 2, 3, false),
            (usize::MAX, usize::MAX, u32::MAX, false),
        ] {
            assert_eq!(may_use(place, taken_above, limit), may, "{place} {taken_above} {limit}");
        }
    }

    #[test]
    fn made_is_said_by_a_record_of_what_was_made_alone() {
        assert!(says_made(&record(Some(7), 52001, 0, Port::Kernel).to_place()));
        assert!(!says_made(&record(None, 52001, 0, Port::Kernel).to_place()));
        assert!(!says_made(&EMPTY) && !says_made(&[0; PLACE]));
    }

    proptest! {
        #[test]
        fn a_record_reads_as_it_was_written(
            index in prop::option::of(1_u32..1 << 31), is_made: bool, uid in 0..u32::MAX, random: u64, ovs: bool,
        ) {
            let mut record = record(index, uid, random, if ovs { Port::OpenVswitch } else { Port::Kernel });
            if !is_made {
                record.state = State::Unfinished { index };
            }
            prop_assert_eq!(Record::parse(&record.to_place()), Ok(Some(record)));
        }

        #[test]
        fn a_record_with_a_byte_changed_is_another_record_or_damaged(random: u64, place in 0..PLACE, byte: u8) {
            let record = record(Some(1), 52001, random, Port::Kernel);
            let mut bytes = record.to_place();
            bytes[place] = byte;
            if let Ok(read) = Record::parse(&bytes) {
                prop_assert_eq!(read.map(|read| read.to_place()), Some(bytes));
            }
        }

        #[test]
        fn junk_is_damaged(bytes: [u8; PLACE]) {
            prop_assert!(bytes == [0; PLACE] || bytes == EMPTY || Record::parse(&bytes) == Err(Damaged));
        }

        /// Any number of helpers at once, each of which looks and then takes what it saw, in any order: never more
        /// than the limit. A place that is taken when somebody reaches for it makes him look again.
        #[test]
        fn the_limit_holds_however_looks_and_takes_are_interleaved(
            limit in 0_u32..6,
            steps in prop::collection::vec((0_usize..8, any::<bool>(), 0_usize..8), 0..200),
        ) {
            let mut table = [false; 16];
            let mut wants: [Option<usize>; 8] = [None; 8];
            for (who, releases, which) in steps {
                match wants[who].take() {
                    // It reaches for the place that it saw free, which only one can get.
                    Some(place) => table[place] = true,
                    None if releases => table[which] = false,
                    None => {
                        let place = table.iter().position(|taken| !taken).unwrap();
                        let above = table[place..].iter().filter(|taken| **taken).count();
                        if may_use(place, above, limit) {
                            wants[who] = Some(place);
                        }
                    }
                }
                prop_assert!(table.iter().filter(|taken| **taken).count() <= usize::try_from(limit).unwrap());
            }
        }
    }
}
