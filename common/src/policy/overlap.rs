//! Whose are the ids that are asked for: what `overlap = refuse` asks of `/etc/subuid` and `/etc/subgid`.
//!
//! The answer is in every line of the file, and there may be a million. So lines are not read one by one: a [`Filter`] knows, of
//! 64 bytes at once, where a line may grant what is asked for, and only that line is read.

use memchr::{memchr, memrchr};

use super::host::{self, OtherOwner};
use super::id::{Id, Range};
use super::subid::{Grant, Grants, Owner, entry};
use super::text::{PART, newlines};
use crate::os::places_of;

/// Looks for the lines that grant any of what is asked for: the owner's, and the first of another owner.
#[derive(Debug)]
pub struct Reaching<'a> {
    owner: &'a Owner,
    wanted: &'a [Range],
    own: Option<Id>,
    filter: Filter,
    his: Vec<Grant>,
    other: Option<OtherOwner>,
}

impl<'a> Reaching<'a> {
    /// A search for lines that reach what is asked for: [`host::wanted`], which nobody else is to have; and `own`, the owner's own
    /// id, if he asks for it by itself, which may stand in anybody's line.
    #[must_use]
    pub fn new(owner: &'a Owner, wanted: &'a [Range], own: Option<Id>) -> Self {
        Self { owner, wanted, own, filter: Filter::of(wanted), his: Vec::new(), other: None }
    }

    /// Does it find his lines for his own id too? The places where one would be are not looked at if there is nothing else of what
    /// he asks for to be found at them: it might be most lines.
    #[must_use]
    pub fn looks_for_own(&self) -> bool {
        let with_own = |own| self.wanted.iter().copied().chain(Range::new(own, 1)).collect::<Vec<_>>();
        self.own.is_none_or(|own| Filter::of(&with_own(own)) == self.filter)
    }

    /// Looks at a block of whole lines, the first of which is number `first_line` of the file.
    pub fn look_at(&mut self, first_line: u32, block: &[u8]) {
        let (mut colons, mut reader) = (0, Reader { block, next: 0, number: first_line, counted: 0 });
        for_windows(block, |start, window| {
            let mut places = self.filter.places(window, &mut colons);
            while places != 0 && self.other.is_none() {
                let place = usize::try_from(places.trailing_zeros()).unwrap_or(0);
                self.read_line_at(start.wrapping_add(place), &mut reader);
                places &= places.wrapping_sub(1);
            }
        });
    }

    #[cold]
    fn read_line_at(&mut self, place: usize, reader: &mut Reader<'_>) {
        let Some((start, line)) = reader.line_at(place) else { return };
        let Some((_, range)) = entry(line) else { return };
        let wanted = host::first_wanted(self.wanted, range);
        if self.owner.has(line) {
            if wanted.is_some() || self.own.is_some_and(|own| range.contains(own)) {
                self.his.push(Grant { range, line: reader.number_of(start) });
            }
        } else if let Some(id) = wanted {
            self.other = Some(OtherOwner { id, line: Some(reader.number_of(start)) });
        }
    }

    /// What the owner's lines grant of what was asked for, and the first line of another's: of those behind it nothing is known.
    #[must_use]
    pub fn finish(self) -> (Grants, Option<OtherOwner>) {
        (Grants::new(self.his), self.other)
    }
}

/// Reads lines of a block, from the first to the last.
struct Reader<'a> {
    block: &'a [u8],
    /// Where the line begins that follows the last one that was read.
    next: usize,
    /// Of the line that begins at `counted`.
    number: u32,
    counted: usize,
}

impl<'a> Reader<'a> {
    /// The line that a place is in or ends, and where it begins. None: it has been read.
    fn line_at(&mut self, place: usize) -> Option<(usize, &'a [u8])> {
        let before = self.block.get(self.next..place)?;
        let start =
            memrchr(b'\n', before).map_or(0, |newline| newline.saturating_add(1)).saturating_add(self.next);
        let rest = self.block.get(start..)?;
        let line = rest.get(..memchr(b'\n', rest).unwrap_or(rest.len()))?;
        self.next = start.saturating_add(line.len()).saturating_add(1);
        Some((start, line))
    }

    /// The number of the line that begins there.
    fn number_of(&mut self, start: usize) -> u32 {
        let passed = newlines(self.block.get(self.counted..start).unwrap_or_default());
        self.number = self.number.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        self.counted = start;
        self.number
    }
}

/// Knows of most lines, by a few bytes of their numbers alone, that they grant nothing of what is wanted.
#[derive(PartialEq, Eq, Debug)]
enum Filter {
    /// By how the first id of a line that does may begin, with the last seven digits left out.
    Beginnings {
        /// All places if it may have no more than those, and no place otherwise.
        none: u64,
        digits: Vec<Vec<u8>>,
    },
    /// There are too many ways in which it may begin.
    LineEnds,
}

/// So many digits at the end of a first id are not looked at.
const REST: usize = 7;
const SIZE_OF_REST: u32 = 10_000_000;

/// A usual count has at most six digits. Of larger ones a few thousand use up all the ids there are.
const MOST_OF_USUAL: u32 = 999_999;

/// What a caller maps is mostly of one piece, and begins in one or two ways.
const MOST_BEGINNINGS: usize = 4;

impl Filter {
    fn of(wanted: &[Range]) -> Self {
        let mut beginnings = Vec::new();
        for range in wanted {
            // From here on a usual count reaches what is wanted.
            let lowest = range.first().raw().saturating_sub(MOST_OF_USUAL);
            for beginning in lowest.wrapping_div(SIZE_OF_REST)..=range.last().raw().wrapping_div(SIZE_OF_REST)
            {
                if !beginnings.contains(&beginning) {
                    beginnings.push(beginning);
                }
                if beginnings.len() > MOST_BEGINNINGS {
                    return Self::LineEnds;
                }
            }
        }
        let none = if beginnings.contains(&0) { u64::MAX } else { 0 };
        let digits = beginnings.iter().filter(|beginning| **beginning != 0);
        let digits = digits.map(|beginning| beginning.to_string().into_bytes()).collect();
        Self::Beginnings { none, digits }
    }

    /// The places in a window where a line may grant an id that is wanted: each is in that line, or ends it. It may be a line
    /// that does not, even one that grants nothing, but none that does is left out: only [`entry`] knows. For a line that reaches what is
    /// wanted has a count of seven digits or more, so no colon is within seven bytes before its newline; or its first id is among the
    /// beginnings, be that 0 and the id so short that there is another colon within eight bytes before the one behind it.
    ///
    /// `colons` are those of the window before, and then those of this one.
    #[inline]
    fn places(&self, window: &Window, colons: &mut u64) -> u64 {
        let newlines = places_of(b'\n', seen_from(window, 0));
        let Self::Beginnings { none, digits } = self else { return newlines };
        let before = std::mem::replace(colons, places_of(b':', seen_from(window, 0)));
        let (within_seven, within_eight) = behind(*colons, before);
        // The count is no usual one, or the first id is short.
        let places = newlines & !within_seven | *colons & within_eight & none;
        digits.iter().fold(places, |places, digits| places | places_of_number(digits, window, *colons))
    }
}

/// The places one to seven bytes behind one of these, and one to eight; `before` are those of the 64 bytes before.
#[inline]
const fn behind(places: u64, before: u64) -> (u64, u64) {
    let two = places << 1 | places << 2;
    let four = two | two << 2;
    let seven = four | four << 3;
    // The last eight of those before reach as far as there are places from them to the end.
    let last = before >> 56;
    let last = last | last >> 1;
    let last = last | last >> 2;
    let last = last | last >> 4;
    (seven | last >> 1, seven | seven << 1 | last)
}

/// Where in a window with colons in these places one stands behind a number of these digits and as many as [`REST`] more.
#[inline]
fn places_of_number(digits: &[u8], window: &Window, colons: u64) -> u64 {
    let (mut places, mut back) = (colons, REST);
    for digit in digits.iter().rev() {
        back = back.saturating_add(1);
        places &= places_of(*digit, seen_from(window, back));
        // The last of them is not that of most lines.
        if places == 0 {
            return 0;
        }
    }
    places & places_of(b':', seen_from(window, back.saturating_add(1)))
}

/// Bytes of a text that are looked at together, and behind them those which it takes to know what they are.
type Window = [u8; CONTEXT + PART];

/// A number of ten digits and a colon, seen from the colon behind it.
const CONTEXT: usize = 11;

/// As many bytes as are looked at, but that many places before them.
#[inline]
fn seen_from(window: &Window, back: usize) -> &[u8; PART] {
    const NOTHING: &[u8; PART] = &[0; PART];
    CONTEXT.checked_sub(back).and_then(|start| window.get(start..)?.first_chunk()).unwrap_or(NOTHING)
}

/// Shows a text to `see` in windows, each with the place in the text of the bytes that are looked at. As the last line may have no
/// newline, one is added to the text.
#[inline]
fn for_windows(text: &[u8], mut see: impl FnMut(usize, &Window)) {
    let mut start = 0_usize;
    while start <= text.len() {
        let inside =
            start.checked_sub(CONTEXT).and_then(|first| text.get(first..)).and_then(<[u8]>::first_chunk);
        let at_an_end;
        let window = if let Some(window) = inside {
            window
        } else {
            at_an_end = window_at_an_end(text, start);
            &at_an_end
        };
        see(start, window);
        start = start.wrapping_add(PART);
    }
}

/// What there is of it, with nothing around it.
#[cold]
fn window_at_an_end(text: &[u8], start: usize) -> Window {
    let copy = |from: &[u8], to: &mut [u8]| to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    let (before, rest) = text.split_at(start.min(text.len()));
    let before = before.get(before.len().saturating_sub(CONTEXT)..).unwrap_or_default();
    let mut window = [0; CONTEXT + PART];
    let (context, seen) = window.split_at_mut(CONTEXT);
    copy(before, context.get_mut(CONTEXT.saturating_sub(before.len())..).unwrap_or_default());
    copy(rest, seen);
    copy(b"\n", seen.get_mut(rest.len()..).unwrap_or_default());
    window
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(first: u32, count: u32) -> Range {
        Range::new(Id::new(first).unwrap(), count).unwrap()
    }

    /// Of any number of digits, and with short ones as likely as long ones.
    fn number() -> impl Strategy<Value = u32> {
        (1_u32..=10)
            .prop_flat_map(|digits| 0..10_u64.pow(digits).min(u32::MAX.into()))
            .prop_map(|n| u32::try_from(n).unwrap())
    }

    /// Where in a text a filter has its places.
    fn places(filter: &Filter, text: &str) -> Vec<usize> {
        let (mut all, mut colons) = (Vec::new(), 0);
        for_windows(text.as_bytes(), |start, window| {
            let places = filter.places(window, &mut colons);
            let is_one = |bit: &usize| places >> bit & 1 == 1;
            all.extend((0..PART).filter(is_one).map(|bit| start + bit));
        });
        all
    }

    #[test]
    fn a_line_of_another_owner_is_found_by_what_it_grants() {
        let owner = Owner::new(Id::new(1000).unwrap(), [&b"alice"[..], b"lass"]);
        let other = |file: &str| {
            let wanted = [range(100, 50), range(200, 10)];
            let mut reaching = Reaching::new(&owner, &wanted, None);
            reaching.look_at(1, file.as_bytes());
            reaching.finish().1.map(|found| (found.id.raw(), found.line.unwrap()))
        };
        assert_eq!(other("alice:100:50\n1000:90:900\nlass:200:1\nbob:50:50\nbob:150:50\nbob:210:9"), None);
        assert_eq!(other("alice:100:50\nbob:149:1\ncarol:100:1"), Some((149, 2)));
        assert_eq!(other("\nalicex:0:100000"), Some((100, 2)));
        for nothing in [
            "bob:100:0",
            "bob:100:1:",
            "bob:0100:1",
            "bob:100:1 ",
            "bob:100",
            ":100:1",
            "b:b:100:1",
            "bob:4294967295:1",
            "#bob:100:1",
            "+bob:100:1",
            "-:100:1",
        ] {
            assert_eq!(other(nothing), None, "{nothing}");
        }
        assert_eq!(other("1001:205:1"), Some((205, 1)));
    }

    #[test]
    fn his_own_id_is_looked_for_where_that_adds_no_place() {
        let owner = Owner::new(Id::new(1000).unwrap(), [&b"alice"[..]]);
        for (wanted, own, looks) in [
            (range(35_000_000, 5), 35_000_100, true),
            (range(35_000_000, 5), 1000, false),
            // Four beginnings, and a fifth; and so many that every line is read.
            (range(32_000_000, 30_000_000), 45_000_000, true),
            (range(32_000_000, 30_000_000), 95_000_000, false),
            (range(32_000_000, 60_000_000), 500_000_000, true),
        ] {
            let wanted = [wanted];
            let mut reaching = Reaching::new(&owner, &wanted, Id::new(own));
            assert_eq!(reaching.looks_for_own(), looks, "{wanted:?} {own}");
            reaching.look_at(1, format!("bob:{own}:0\nalice:{own}:1\n").as_bytes());
            let found = reaching.finish().0.first_missing(range(own, 1)).is_none();
            assert!(found || !looks, "{wanted:?} {own}");
        }
    }

    proptest! {
        #[test]
        fn no_line_that_grants_what_is_wanted_is_left_out(
            before in "([a-z:0-9]{0,20}\n){0,5}", owner in "[a-z0-9]{1,70}", behind in "(\n[a-z:0-9]{0,20}){0,5}",
            first in number(), count in number(), part in number(), wanted_before in number(), wanted_behind in number(),
        ) {
            let Some(granted) = Range::new(Id::new(first).unwrap(), count) else { return Ok(()) };
            // Something that is granted, and something around it.
            let id = first + part % count;
            let (lowest, highest) = (id.saturating_sub(wanted_before), id.saturating_add(wanted_behind).min(u32::MAX - 1));
            let wanted = Range::between(Id::new(lowest).unwrap(), Id::new(highest).unwrap()).unwrap();
            let line = format!("{owner}:{first}:{count}");
            prop_assert_eq!(entry(line.as_bytes()), Some((owner.as_bytes(), granted)));
            let (start, end) = (before.len(), before.len() + line.len());
            let places = places(&Filter::of(&[wanted]), &format!("{before}{line}{behind}"));
            prop_assert!(places.iter().any(|place| (start..=end).contains(place)), "{places:?}");
        }

        #[test]
        fn a_usual_line_of_others_is_passed_over_if_it_is_far_away(
            first in number(), count in 1..MOST_OF_USUAL, wanted in number(), wanted_count in number(),
        ) {
            let Some(wanted) = Range::new(Id::new(wanted).unwrap(), wanted_count) else { return Ok(()) };
            let lines = format!("bob:{first}:{count}\ncarol:{first}:{count}");
            let distance = wanted.first().raw().saturating_sub(first).max(first.saturating_sub(wanted.last().raw()));
            // Farther than the last digits tell, if these are not too many.
            let far_away = distance > MOST_OF_USUAL + SIZE_OF_REST && wanted.count() < 3 * SIZE_OF_REST;
            prop_assert!(!far_away || places(&Filter::of(&[wanted]), &lines).is_empty());
        }

        #[test]
        fn what_is_behind_is_what_counting_says(places: u64, before: u64, few: u64, fewer: u64) {
            for (places, before) in [(places, before), (places & few, before & few), (places & few & fewer, before & fewer)] {
                let all = u128::from(places) << 64 | u128::from(before);
                let within = |most: u32| {
                    let is_behind = |bit: &u32| (1..=most).any(|back| all >> (64 + bit - back) & 1 == 1);
                    (0..64).filter(is_behind).map(|bit| 1_u64 << bit).sum::<u64>()
                };
                prop_assert_eq!(behind(places, before), (within(7), within(8)));
            }
        }

        #[test]
        fn windows_show_every_place_once_and_what_is_before_it(text in "[a-z]{0,300}") {
            let (mut seen, mut first) = (String::new(), 0);
            for_windows(text.as_bytes(), |new, window| {
                assert_eq!(new, first);
                let window = std::str::from_utf8(window).unwrap();
                let (context, shown) = window.split_at(CONTEXT);
                assert!(new == 0 || seen.ends_with(context));
                seen.push_str(shown);
                first += shown.len();
            });
            prop_assert_eq!(seen.trim_end_matches('\0'), format!("{text}\n"));
        }

        #[test]
        fn a_search_in_blocks_finds_what_a_naive_reader_finds(
            lines in prop::collection::vec(
                "(alice|bob|7|a:b|#c|-|\u{0}|)(:[0-9]{0,3}|:1[0-9]{7,10}){0,3}|(alice|bob|7):[1-9][0-9]{0,2}:[1-9][0-9]{0,2}",
                0..20,
            ),
            cuts in prop::collection::vec(any::<bool>(), 20),
            wanted in prop::collection::vec((0_u32..1000, 1_u32..50), 0..4), high: bool, own in prop::option::of(0_u32..1000),
            own_high: bool, newline: bool,
        ) {
            let up = |id: u32, high: bool| id + if high { 1_000_000_000 } else { 0 };
            let wanted = wanted.iter().map(|(first, count)| range(up(*first, high), *count));
            let wanted = super::super::id::merged(wanted.collect());
            let own = own.and_then(|own| Id::new(up(own, own_high)));
            let owner = Owner::new(Id::new(7).unwrap(), [&b"alice"[..]]);

            let (mut his, mut his_own, mut other) = (Vec::new(), Vec::new(), None);
            for (line, number) in lines.iter().zip(1..) {
                let Some((who, range)) = entry(line.as_bytes()) else { continue };
                let (found, grant) = (host::first_wanted(&wanted, range), Grant { range, line: number });
                match found {
                    Some(id) if ![&b"alice"[..], b"7"].contains(&who) => {
                        other = Some(OtherOwner { id, line: Some(number) });
                        break;
                    }
                    Some(_) => his.push(grant),
                    None if [&b"alice"[..], b"7"].contains(&who) && own.is_some_and(|own| range.contains(own)) => {
                        his_own.push(grant);
                    }
                    None => {}
                }
            }

            let mut reaching = Reaching::new(&owner, &wanted, own);
            let (mut block, mut first_line) = (String::new(), 1);
            for ((line, number), cut) in lines.iter().zip(1..).zip(&cuts) {
                block.push_str(line);
                if number < lines.len() || newline {
                    block.push('\n');
                }
                if *cut || number == lines.len() {
                    reaching.look_at(first_line, block.as_bytes());
                    first_line = u32::try_from(number).unwrap() + 1;
                    block.clear();
                }
            }
            let looks_for_own = reaching.looks_for_own();
            let (grants, found) = reaching.finish();
            prop_assert_eq!(found, other);
            let (found_own, found): (Vec<Grant>, Vec<Grant>) = grants
                .behind(range(0, u32::MAX))
                .partition(|grant| host::first_wanted(&wanted, grant.range).is_none());
            let in_order = |mut grants: Vec<Grant>| {
                grants.sort_unstable_by_key(|grant| grant.line);
                grants
            };
            prop_assert_eq!(in_order(found), his);
            if looks_for_own {
                prop_assert_eq!(in_order(found_own), his_own);
            } else {
                prop_assert!(found_own.iter().all(|grant| his_own.contains(grant)));
            }
        }
    }
}
