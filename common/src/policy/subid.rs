//! `/etc/subuid` and `/etc/subgid`: which host ids an owner was granted. `subuid(5)`, `subgid(5)`.
//!
//! A line is `owner:first:count`: exactly three fields, strict decimal numbers, at most [`LONGEST_LINE`] bytes. Any
//! other line grants nothing and does no harm to the others. Both files are keyed by *user*: in `subgid` too a group
//! name means nothing. Of other owners' lines nothing is kept, and no name is looked up: the first bytes of lines are looked at, in
//! 64 bytes at once.

use memchr::{memchr, memrchr};

use super::id::{self, Id, Range};
use super::subid_source::SourceName;
use super::text::{FirstBytes, lines_that_begin};

/// A longer line is no line, as in the C helpers.
pub const LONGEST_LINE: usize = 1023;

/// Whose lines count: those that begin with the uid in decimal, or with any account name of that uid.
#[derive(Debug)]
pub struct Owner {
    /// What the lines begin with: a name and a colon.
    starts: Vec<Start>,
    first_bytes: FirstBytes,
}

/// What a line may begin with.
#[derive(Debug)]
struct Start {
    text: Vec<u8>,
    /// The first eight bytes of it, and which bits of eight they are: that much is compared at once.
    word: u64,
    bits: u64,
}

impl Start {
    fn new(text: Vec<u8>) -> Self {
        let (mut word, mut bits) = ([0; 8], [0; 8]);
        for ((word, bits), byte) in word.iter_mut().zip(&mut bits).zip(&text) {
            (*word, *bits) = (*byte, u8::MAX);
        }
        Self { text, word: u64::from_ne_bytes(word), bits: u64::from_ne_bytes(bits) }
    }
}

impl Owner {
    /// Does this line, which may go on behind its end, begin with the uid or one of the names? A name has no newline in it.
    #[inline]
    #[must_use]
    pub fn has(&self, line: &[u8]) -> bool {
        let begins = |start: &Start| match line.first_chunk() {
            Some(word) if u64::from_ne_bytes(*word) & start.bits != start.word => false,
            _ => line.starts_with(&start.text),
        };
        self.starts.iter().any(begins)
    }

    /// The owner with this uid and these names.
    ///
    /// A name of digits alone is left out: such a line means the uid of that number, and nobody else. Names that
    /// begin like a comment or a NIS marker are left out too.
    #[must_use]
    pub fn new<'a>(uid: Id, names: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let usable = |name: &&[u8]| {
            can_be_a_name(name)
                && !name.iter().all(u8::is_ascii_digit)
                && !name.contains(&b':')
                && !name.contains(&b'\n')
        };
        let start = |name: &[u8]| Start::new([name, b":"].concat());
        let names = names.into_iter().filter(usable).map(start);
        let starts: Vec<_> = std::iter::once(start(uid.to_string().as_bytes())).chain(names).collect();
        let first_bytes = FirstBytes::of(starts.iter().filter_map(|start| start.text.first().copied()));
        Self { starts, first_bytes }
    }
}

/// One line that grants something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Grant {
    /// The host ids.
    pub range: Range,
    /// Where it stands, counted from 1.
    pub line: u32,
}

/// Everything one owner was granted in one file, and by other sources that were asked.
#[derive(Clone, Default, Debug)]
pub struct Grants {
    by_first: Vec<Grant>,
    by_source: Vec<(SourceName, Vec<Range>)>,
    merged: Vec<Range>,
    void: Option<u32>,
}

/// Collects an owner's grants from a file that comes in blocks of whole lines.
#[derive(Debug)]
pub struct Search<'a> {
    owner: &'a Owner,
    found: Vec<Grant>,
    void: Option<u32>,
}

impl<'a> Search<'a> {
    /// A search for this owner's lines.
    #[must_use]
    pub const fn new(owner: &'a Owner) -> Self {
        Self { owner, found: Vec::new(), void: None }
    }

    /// Looks at a block of whole lines, the first of which is number `first_line` of the file.
    pub fn look_at(&mut self, first_line: u32, block: &[u8]) {
        let Self { owner, found, void } = self;
        let has = |rest: &[u8]| owner.has(rest);
        lines_that_begin(first_line, block, &owner.first_bytes, has, |number, line| match granted_by(line) {
            Some(range) => found.push(Grant { range, line: number }),
            None => *void = void.or(Some(number)),
        });
    }

    /// All that was found.
    #[must_use]
    pub fn finish(self) -> Grants {
        Grants { void: self.void, ..Grants::new(self.found) }
    }
}

/// Nobody is called like nothing, a comment or a NIS marker.
fn can_be_a_name(owner: &[u8]) -> bool {
    !owner.first().is_none_or(|first| b"#+-".contains(first))
}

/// The owner of a line that can grant something, a name or a uid in decimal, and what it grants him.
#[must_use]
pub fn entry(line: &[u8]) -> Option<(&[u8], Range)> {
    let owner = line.split(|byte| *byte == b':').next().filter(|owner| can_be_a_name(owner))?;
    Some((owner, granted_by(line)?))
}

/// What a line grants to the owner that it begins with.
pub(super) fn granted_by(line: &[u8]) -> Option<Range> {
    if line.len() > LONGEST_LINE {
        return None;
    }
    let (owner_and_first, count) = line.split_at_checked(memrchr(b':', line)?)?;
    let (owner, first) = owner_and_first.split_at_checked(memrchr(b':', owner_and_first)?)?;
    let (first, count) = (first.get(1..)?, count.get(1..)?);
    if memchr(b':', owner).is_some() {
        return None;
    }
    Range::new(Id::new(id::decimal(first).ok()?)?, id::decimal(count).ok()?)
}

impl Grants {
    /// The union of these grants, in any order, overlapping or not.
    #[must_use]
    pub fn new(mut found: Vec<Grant>) -> Self {
        found.sort_unstable();
        let merged = id::merged(found.iter().map(|grant| grant.range).collect());
        Self { by_first: found, by_source: Vec::new(), merged, void: None }
    }

    /// Adds what a source grants.
    pub fn add(&mut self, source: &SourceName, ranges: Vec<Range>) {
        self.merged = id::merged(self.merged.iter().chain(&ranges).copied().collect());
        self.by_source.push((source.clone(), ranges));
    }

    /// The lowest id of `wanted` that nothing grants. None: all of it is granted, by one line or by several that
    /// adjoin or overlap.
    #[must_use]
    pub fn first_missing(&self, wanted: Range) -> Option<Id> {
        let after = self.merged.partition_point(|range| range.first() <= wanted.first());
        match after.checked_sub(1).and_then(|index| self.merged.get(index)) {
            Some(range) if range.contains(wanted.first()) => {
                if range.contains(wanted.last()) {
                    None
                } else {
                    range.last().next()
                }
            }
            _ => Some(wanted.first()),
        }
    }

    /// The ids of `wanted` that nothing grants, in runs as long as can be, lowest first.
    #[must_use]
    pub fn missing(&self, wanted: Range) -> Vec<Range> {
        let (mut missing, mut rest) = (Vec::new(), Some(wanted));
        while let Some(first) = rest.and_then(|rest| self.first_missing(rest)) {
            let above = self.merged.partition_point(|range| range.first() <= first);
            let granted = self.merged.get(above).and_then(|range| range.intersection(wanted));
            let before = granted.and_then(|granted| Id::new(granted.first().raw().checked_sub(1)?));
            missing.extend(Range::between(first, before.unwrap_or(wanted.last())));
            rest = granted.and_then(|granted| Range::between(granted.first(), wanted.last()));
        }
        missing
    }

    /// The other sources that have a part in granting `wanted`, in the order in which they were asked.
    pub fn sources_behind(&self, wanted: Range) -> impl Iterator<Item = &SourceName> {
        let has_part =
            move |ranges: &[Range]| ranges.iter().any(|range| range.intersection(wanted).is_some());
        self.by_source.iter().filter(move |(_, ranges)| has_part(ranges)).map(|(source, _)| source)
    }

    /// The lines that have a part in granting `wanted`, lowest ids first.
    pub fn behind(&self, wanted: Range) -> impl Iterator<Item = &Grant> {
        let below_end = self.by_first.partition_point(|grant| grant.range.first() <= wanted.last());
        let candidates = self.by_first.get(..below_end).unwrap_or_default();
        candidates.iter().filter(move |grant| grant.range.intersection(wanted).is_some())
    }

    /// The line whose range is nearest to an id: the one worth telling a person who was refused it.
    #[must_use]
    pub fn nearest(&self, id: Id) -> Option<&Grant> {
        let distance = |grant: &&Grant| {
            let (first, last) = (grant.range.first().raw(), grant.range.last().raw());
            first.saturating_sub(id.raw()).max(id.raw().saturating_sub(last))
        };
        self.by_first.iter().min_by_key(distance)
    }

    /// The first line that begins as his do and is none: `alice:100000:65536 `, with a blank at its end. For whoever wonders.
    #[must_use]
    pub const fn void(&self) -> Option<u32> {
        self.void
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(first: u32, count: u32) -> Range {
        Range::new(Id::new(first).unwrap(), count).unwrap()
    }

    fn found(file: &str, uid: u32, names: &[&str]) -> Vec<(u32, u32, u32)> {
        let owner = Owner::new(Id::new(uid).unwrap(), names.iter().map(|name| name.as_bytes()));
        let mut search = Search::new(&owner);
        search.look_at(1, file.as_bytes());
        search.finish().by_first.iter().map(|g| (g.range.first().raw(), g.range.count(), g.line)).collect()
    }

    #[test]
    fn lines_of_every_name_and_of_the_uid_are_found_with_their_numbers() {
        let file = "bob:1:1\nalice:100:10\n\n# note\n1000:200:10\nlass:300:10\nalice:400:10";
        assert_eq!(
            found(file, 1000, &["alice", "lass"]),
            [(100, 10, 2), (200, 10, 5), (300, 10, 6), (400, 10, 7)]
        );
    }

    #[test]
    fn an_owner_is_matched_whole_and_byte_for_byte() {
        for line in [
            "alicex:1:1",
            "xalice:1:1",
            "Alice:1:1",
            " alice:1:1",
            "\talice:1:1",
            "alice :1:1",
            "#alice:1:1",
            "+alice:1:1",
            "@alice:1:1",
            "%alice:1:1",
            "*:1:1",
            "ALL:1:1",
            "#1000:1:1",
            "01000:1:1",
            "+1000:1:1",
            " 1000:1:1",
            "1000 :1:1",
            ":1:1",
            "\u{feff}alice:1:1",
            "bob:alice:1:1",
            "x\0alice:1:1",
        ] {
            assert_eq!(found(line, 1000, &["alice"]), [], "{line:?}");
        }
        let odd = "DOM\\user:1:1\nuser@dom:2:1\nj\u{fc}rgen:3:1\n";
        assert_eq!(found(odd, 9, &["DOM\\user"]), [(1, 1, 1)]);
        assert_eq!(found(odd, 9, &["user@dom"]), [(2, 1, 2)]);
        assert_eq!(found(odd, 9, &["j\u{fc}rgen"]), [(3, 1, 3)]);
    }

    #[test]
    fn a_number_as_owner_is_a_uid_and_nobody_elses_name() {
        assert_eq!(found("1001:5:5\n", 1002, &["1001"]), []);
        assert_eq!(found("1001:5:5\n", 1001, &["alice"]), [(5, 5, 1)]);
        assert_eq!(found("+x:5:5\n-x:5:5\n", 7, &["+x", "-x"]), []);
    }

    #[test]
    fn a_malformed_line_grants_nothing_and_harms_no_other() {
        let long = format!("alice:1:{}1", "0".repeat(1100));
        for bad in [
            "alice",
            "alice:",
            "alice:1",
            "alice:1:",
            "alice::1",
            "alice:1:1:",
            "alice:1:1:1",
            "alice:1:1 ",
            "alice:1:1 # note",
            "alice:1:1\r",
            "alice: 1:1",
            "alice:+1:1",
            "alice:0x10:1",
            "alice:010:1",
            "alice:1:0",
            "alice:0:0",
            "alice:1:-1",
            "alice:0:-1",
            "alice:-1:1",
            "alice:4294967295:1",
            "alice:4294967294:2",
            "alice:1:4294967295",
            "alice:0:4294967296",
            "alice:18446744073709551616:1",
            "alice:1:1\0",
            &long,
        ] {
            let file = format!("alice:7:1\n{bad}\nalice:9:1\n");
            assert_eq!(found(&file, 1000, &["alice"]), [(7, 1, 1), (9, 1, 3)], "{bad:?}");
        }
        assert_eq!(found("alice:0:4294967295\n", 1, &["alice"]), [(0, u32::MAX, 1)]);
    }

    #[test]
    fn the_first_of_his_lines_that_grants_nothing_is_remembered() {
        let void = |file: &str| {
            let owner = Owner::new(Id::new(1000).unwrap(), [&b"alice"[..]]);
            let mut search = Search::new(&owner);
            search.look_at(5, file.as_bytes());
            search.finish().void()
        };
        assert_eq!(void("alice:7:1\nbob:1:1 \n#alice:1:1 \nalicex:1:1 \n"), None);
        assert_eq!(void("alice:7:1\nalice:9:1 \n1000:x:1\n"), Some(6));
        assert_eq!(void("bob:1:1\n\n1000:x:1"), Some(7));
    }

    #[test]
    fn a_line_of_1023_bytes_counts_and_one_of_1024_does_not() {
        for (length, grants) in [(LONGEST_LINE - 1, true), (LONGEST_LINE, true), (LONGEST_LINE + 1, false)] {
            let line = format!("{}:1:1", "a".repeat(length - 4));
            assert_eq!(granted_by(line.as_bytes()).is_some(), grants, "{length}");
        }
    }

    #[test]
    fn an_entry_has_somebody_who_can_be_called_so_and_what_he_gets() {
        assert_eq!(entry(b"alice:5:6"), Some((&b"alice"[..], range(5, 6))));
        assert_eq!(entry(b"1000:5:6"), Some((&b"1000"[..], range(5, 6))));
        for line in [":5:6", "#alice:5:6", "+alice:5:6", "-alice:5:6", "alice:5", "alice:5:0", "a:b:5:6", ""]
        {
            assert_eq!(entry(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn cr_only_and_utf16_files_grant_nothing() {
        assert_eq!(found("alice:1:1\ralice:2:1\r", 1000, &["alice"]), []);
        let utf16: String = "alice:1:1\n".chars().flat_map(|c| [c, '\0']).collect();
        assert_eq!(found(&utf16, 1000, &["alice"]), []);
    }

    #[test]
    fn adjoining_and_overlapping_lines_are_one_and_a_gap_is_a_gap() {
        let grants = Grants::new(
            [(20, 10), (10, 10), (25, 10), (25, 10), (40, 10), (22, 2)]
                .map(|(first, count)| Grant { range: range(first, count), line: 1 })
                .into(),
        );
        assert_eq!(grants.merged, [range(10, 25), range(40, 10)]);
        assert_eq!(grants.first_missing(range(10, 25)), None);
        assert_eq!(grants.first_missing(range(10, 26)), Id::new(35));
        assert_eq!(grants.first_missing(range(9, 2)), Id::new(9));
        assert_eq!(grants.first_missing(range(49, 2)), Id::new(50));
        let top = Grants::new(vec![Grant { range: range(u32::MAX - 5, 5), line: 1 }]);
        assert_eq!(top.first_missing(range(u32::MAX - 5, 5)), None);
    }

    proptest! {
        #[test]
        fn coverage_is_what_a_set_of_numbers_says(
            lines in prop::collection::vec((0_u32..60, 1_u32..12), 0..8), first in 0_u32..70, count in 1_u32..30,
        ) {
            let set: std::collections::BTreeSet<u32> = lines.iter().flat_map(|(f, c)| *f..f + c).collect();
            let grants = Grants::new(lines.iter().map(|(f, c)| Grant { range: range(*f, *c), line: 1 }).collect());
            let missing = (first..first + count).find(|id| !set.contains(id));
            prop_assert_eq!(grants.first_missing(range(first, count)).map(Id::raw), missing);
            let missing: Vec<u32> = (first..first + count).filter(|id| !set.contains(id)).collect();
            let runs: Vec<Range> = missing
                .chunk_by(|a, b| a + 1 == *b)
                .map(|run| range(run[0], u32::try_from(run.len()).unwrap()))
                .collect();
            prop_assert_eq!(grants.missing(range(first, count)), runs);
        }

        #[test]
        fn a_search_in_blocks_finds_what_a_naive_reader_finds(
            lines in prop::collection::vec("(alice|bob|7|al|x{60}|)(:[0-9]{0,3}){0,4}", 0..40), cut in 0_usize..40,
        ) {
            let naive: Vec<Grant> = (1_u32..).zip(&lines).filter_map(|(number, line)| {
                let fields: Vec<&str> = line.split(':').collect();
                let [owner, first, count] = fields[..] else { return None };
                let plain = |text: &str| text.parse::<u32>().ok().filter(|n| n.to_string() == text);
                (owner == "alice" || owner == "7").then_some(())?;
                Some(Grant { range: Range::new(Id::new(plain(first)?)?, plain(count)?)?, line: number })
            }).collect();
            let cut = cut.min(lines.len());
            let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            let owner = Owner::new(Id::new(7).unwrap(), [&b"alice"[..]]);
            let mut search = Search::new(&owner);
            search.look_at(1, text(&lines[..cut]).as_bytes());
            search.look_at(u32::try_from(cut).unwrap() + 1, text(&lines[cut..]).as_bytes());
            let mut expected = naive;
            expected.sort_unstable();
            prop_assert_eq!(search.finish().by_first, expected);
        }
    }
}
