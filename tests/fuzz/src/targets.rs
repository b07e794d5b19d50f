//! What is fuzzed: each target is a function that takes any bytes and panics if the code under test does anything
//! other than a slower, plainer way of doing the same.
//!
//! `tests/fuzz/run` feeds them with new inputs, `tests/tests/corpus.rs` with the committed ones on every `cargo test`.

use std::collections::BTreeSet;

use common::policy::host::{Facts, allow, first_wanted};
use common::policy::id::{Id, NotDecimal, Range, decimal, merged};
use common::policy::idmap::{Approved, Map, NotATriple, NotGranted, Triple, Unfit, decide, ids_of_namespace};
use common::policy::login_defs::grants_aux_group_subids;
use common::policy::nsswitch::Nsswitch;
use common::policy::overlap::Reaching;
use common::policy::passwd::Account;
use common::policy::settings::Idmap;
use common::policy::subid::{Grant, Grants, Owner, Search};
use common::policy::text::Quoted;

mod check;
mod nics;
mod rules;
mod story;

pub use check::check;
pub use nics::{group, ledger, nic_arguments, quota, usernet};
pub use rules::settings;
pub use story::ledger_story;

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 15] = [
    ("arguments", arguments),
    ("check", check),
    ("decision", decision),
    ("group", group),
    ("ledger", ledger),
    ("ledger_story", ledger_story),
    ("login_defs", login_defs),
    ("namespace", namespace),
    ("nic_arguments", nic_arguments),
    ("nsswitch", nsswitch),
    ("passwd", passwd),
    ("quota", quota),
    ("settings", settings),
    ("subid", subid),
    ("usernet", usernet),
];

/// Panics if something is wrong.
pub type Target = fn(&[u8]);

/// The first number that is no id.
const NO_ID: u64 = 4_294_967_295;

/// Three words of a command line, with a NUL after each, which no word can have in it.
pub fn arguments(data: &[u8]) {
    let mut words = data.split(|byte| *byte == 0);
    let mut word = || words.next().unwrap_or_default();
    let words = [word(), word(), word()];
    for word in words {
        assert_eq!(decimal(word).map(u64::from), number(word));
        let shown = Quoted(word).to_string();
        assert!(shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && shown.len() <= 64 * 4 + 3);
    }

    let numbers = words.map(number);
    let legal = |first: u64, count: u64| first + count <= NO_ID;
    let expected = match numbers {
        [Ok(_), Ok(_), Ok(0)] => Err(NotATriple::Empty),
        [Ok(inside), Ok(host), Ok(count)] if legal(inside, count) && legal(host, count) => {
            Ok(format!("[{inside}-{}) -> [{host}-{})", inside + count, host + count))
        }
        [Ok(_), Ok(_), Ok(_)] => Err(NotATriple::Overflow),
        [first, second, third] => Err(match (first, second, third) {
            (Err(NotDecimal::Malformed), _, _) => NotATriple::Malformed(0),
            (Ok(_), Err(NotDecimal::Malformed), _) => NotATriple::Malformed(1),
            (Ok(_), Ok(_), Err(NotDecimal::Malformed)) => NotATriple::Malformed(2),
            _ => NotATriple::Overflow,
        }),
    };
    let triple = Triple::parse(words);
    assert_eq!(triple.map(|triple| triple.to_string()), expected);
    if let (Ok(triple), [_, Ok(host), Ok(count)]) = (triple, numbers) {
        assert_eq!(range_of(triple.host()), (host, host + count));
    }
}

/// A number as [`decimal`] has to read it, one digit after the other.
fn number(word: &[u8]) -> Number {
    let (sign, digits) = match word {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let zero_in_front = !sign && digits.len() > 1 && digits.starts_with(b"0");
    if digits.is_empty() || zero_in_front || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NotDecimal::Malformed);
    }
    let value = digits.iter().fold(0_u64, |value, digit| (value * 10 + u64::from(digit - b'0')).min(1 << 40));
    if sign || value > u64::from(u32::MAX) { Err(NotDecimal::OutOfRange) } else { Ok(value) }
}

/// A policy file, searched for an owner, and for others, in one piece, in pieces, and line by line.
///
/// The first byte says who the owner is, the next two where the file is cut, the rest is the file.
pub fn subid(data: &[u8]) {
    let Some(([owner, cuts @ ..], file)) = data.split_first_chunk::<3>() else { return };
    let uid = u32::from(*owner % 4) * 1000;
    let first_field = file.split(|byte| *byte == b':' || *byte == b'\n').next().unwrap_or_default();
    let names: &[&[u8]] = match owner / 4 % 4 {
        0 => &[b"alice"],
        1 => &[b"alice", b"lass", b"1001", b"+alice", b"-alice", b""],
        2 => &[first_field],
        _ => &[],
    };

    let found_by = |pieces: &[(u32, &[u8])]| {
        let owner = Owner::new(id(uid), names.iter().copied());
        let mut search = Search::new(&owner);
        pieces.iter().for_each(|(line, piece)| search.look_at(*line, piece));
        search.finish()
    };
    let whole = found_by(&[(1, file)]);
    let grants = all_of(&whole);
    let pieces = pieces(file, u16::from_le_bytes(*cuts));
    assert_eq!(grants, all_of(&found_by(&pieces)));
    let (his, others): (Vec<_>, Vec<_>) =
        line_by_line(file).into_iter().partition(|(owner, _)| is_his(owner, uid, names));
    let mut expected: Vec<Grant> = his.into_iter().map(|(_, grant)| grant).collect();
    expected.sort_unstable();
    assert_eq!(grants, expected);
    let others: Vec<Grant> = others.into_iter().map(|(_, grant)| grant).collect();
    assert_reaching(&pieces, &Owner::new(id(uid), names.iter().copied()), &grants, &others);

    let spans: Vec<(u64, u64)> = grants.iter().map(|grant| range_of(grant.range)).collect();
    for wanted in around(&spans) {
        let (first, end) = range_of(wanted);
        assert_eq!(whole.first_missing(wanted).map(|id| u64::from(id.raw())), missing(&spans, first, end));
        let behind: Vec<Grant> = whole.behind(wanted).copied().collect();
        let meets = |grant: &&Grant| range_of(grant.range).0 < end && first < range_of(grant.range).1;
        assert_eq!(behind, grants.iter().filter(meets).copied().collect::<Vec<_>>());
        assert_nearest(&spans, first, whole.nearest(wanted.first()));
    }
}

/// The file in pieces that end where a line ends, if the bit for this line says so. Each with the number of its
/// first line.
fn pieces(file: &[u8], cuts: u16) -> Vec<(u32, &[u8])> {
    let (mut pieces, mut start, mut first_line, mut line) = (Vec::new(), 0, 1, 1);
    for (place, byte) in file.iter().enumerate() {
        if *byte == b'\n' {
            if cuts >> (line % 16) & 1 == 1 {
                pieces.push((first_line, &file[start..=place]));
                (start, first_line) = (place + 1, line + 1);
            }
            line += 1;
        }
    }
    pieces.push((first_line, &file[start..]));
    pieces
}

/// The lines that grant something, and to whom: `subuid(5)` and docs/differences.md.
fn line_by_line(file: &[u8]) -> Vec<(&[u8], Grant)> {
    let mut grants = Vec::new();
    for (line, number) in file.split(|byte| *byte == b'\n').zip(1..) {
        let [owner, first, count] = line.split(|byte| *byte == b':').collect::<Vec<_>>()[..] else {
            continue;
        };
        let (Ok(first), Ok(count)) = (self::number(first), self::number(count)) else { continue };
        let can_be_a_name = !matches!(owner, [] | [b'+' | b'-' | b'#', ..]);
        if can_be_a_name && line.len() < 1024 && count > 0 && first + count <= NO_ID {
            grants.push((owner, Grant { range: range(first, count), line: number }));
        }
    }
    grants
}

fn is_his(owner: &[u8], uid: u32, names: &[&[u8]]) -> bool {
    let is_name =
        !matches!(owner, [] | [b'+' | b'-' | b'#', ..]) && owner.iter().any(|byte| !byte.is_ascii_digit());
    owner == uid.to_string().as_bytes() || (is_name && names.contains(&owner))
}

/// Of ranges that begin or end where a line of somebody else's does, or beside it: the first such line is found, in one piece or
/// in pieces, and before it those of his that reach them, and those for his own id if that is looked for.
fn assert_reaching(pieces: &[(u32, &[u8])], owner: &Owner, his: &[Grant], others: &[Grant]) {
    let spans: Vec<(u64, u64)> = others.iter().map(|grant| range_of(grant.range)).collect();
    let around = around(&spans);
    for (one, another) in around.iter().zip(around.iter().rev()) {
        let own = another.last();
        for (wanted, own) in
            [(vec![*one], None), (merged(vec![*one, *another]), None), (vec![*one], Some(own))]
        {
            let mut search = Reaching::new(owner, &wanted, own);
            pieces.iter().for_each(|(line, piece)| search.look_at(*line, piece));
            let looks_for_own = search.looks_for_own();
            let (found_of_his, found) = search.finish();
            let meets = |grant: &Grant| Some((first_wanted(&wanted, grant.range)?, Some(grant.line)));
            let expected = others.iter().find_map(meets);
            assert_eq!(found.map(|found| (found.id, found.line)), expected, "{wanted:?}");

            let end = expected.and_then(|(_, line)| line).unwrap_or(u32::MAX);
            let is_own = |grant: &Grant| own.is_some_and(|own| grant.range.contains(own));
            let reaches = |grant: &&Grant| {
                grant.line < end && (meets(grant).is_some() || (looks_for_own && is_own(grant)))
            };
            let expected: Vec<Grant> = his.iter().filter(reaches).copied().collect();
            let found: Vec<Grant> = all_of(&found_of_his);
            let found = found.into_iter().filter(|grant| looks_for_own || meets(grant).is_some());
            assert_eq!(found.collect::<Vec<_>>(), expected, "{wanted:?} {own:?}");
        }
    }
}

fn all_of(grants: &Grants) -> Vec<Grant> {
    grants.behind(range(0, NO_ID)).copied().collect()
}

/// Requests that begin or end where something begins or ends, or beside it.
fn around(spans: &[(u64, u64)]) -> Vec<Range> {
    let edges: BTreeSet<u64> = spans
        .iter()
        .take(8)
        .flat_map(|(first, end)| [*first, *end].map(|edge| [edge.saturating_sub(1), edge, edge + 1]))
        .flatten()
        .chain([0, NO_ID])
        .collect();
    let pairs = edges.iter().flat_map(|first| edges.iter().map(move |end| (*first, *end)));
    pairs
        .filter(|(first, end)| first < end && *end <= NO_ID)
        .map(|(first, end)| range(first, end - first))
        .collect()
}

/// The lowest id from `first` up to `end` that is in no span. It would be `first` itself, or follow a span.
fn missing(spans: &[(u64, u64)], first: u64, end: u64) -> Option<u64> {
    let suspects = spans.iter().map(|(_, end)| *end).chain([first]).filter(|id| (first..end).contains(id));
    suspects.filter(|id| !spans.iter().any(|(first, end)| (first..end).contains(&id))).min()
}

fn assert_nearest(spans: &[(u64, u64)], id: u64, nearest: Option<&Grant>) {
    let distance = |(first, end): (u64, u64)| {
        if id < first { first - id } else { (id + 1).saturating_sub(end) }
    };
    let least = spans.iter().copied().map(distance).min();
    assert_eq!(nearest.map(|grant| distance(range_of(grant.range))), least);
}

/// Who asks, what the parent namespace has, what policy grants, what is asked: the verdict and the map.
pub fn decision(data: &[u8]) {
    let mut bytes = Bytes(data);
    let own = bytes.id();
    let parent = bytes.parent();
    let granted: Vec<(u64, u64)> = (0..bytes.next() % 12).map(|_| bytes.span()).collect();
    let asked = bytes.asked(&granted);

    let grants =
        granted.iter().zip(1..).map(|((first, end), line)| Grant { range: range(*first, end - first), line });
    let grants = Grants::new(grants.collect());
    let triples: Vec<Triple> = asked.iter().map(|asked| asked.triple()).collect();
    let covered = |asked: &&Asked| missing(&granted, asked.host, asked.host + asked.count).is_none();
    let allowed = |asked: &&Asked| covered(asked) || (asked.host == own && asked.count == 1);
    let refused = asked.iter().position(|asked| !allowed(&asked));

    match (decide(id(u32::try_from(own).unwrap()), triples.clone(), &grants), refused) {
        (Ok(it), None) => {
            // On a host without rules of its own.
            let approved = allow(id(u32::try_from(own).unwrap()), it, &Idmap::default(), &Facts::default());
            let approved = approved.unwrap();
            let (covered, lines) = (asked.iter().filter(covered), granted.iter().zip(1_u32..));
            let meets = |asked: &Asked, (first, end): (u64, u64)| {
                first < asked.host + asked.count && asked.host < end
            };
            let behind: BTreeSet<u32> = covered
                .flat_map(|asked| {
                    lines.clone().filter(|(span, _)| meets(asked, **span)).map(|(_, line)| line)
                })
                .collect();
            assert_eq!(approved.policy_lines(), Vec::from_iter(behind));
            assert_eq!(approved.denies_setgroups(), approved.policy_lines().is_empty());
            assert_map(&approved, &asked, &parent, own);
        }
        (Err(NotGranted { triple, missing: id, nearest }), Some(index)) => {
            let (first, end) = (asked[index].host, asked[index].host + asked[index].count);
            assert_eq!(triple, triples[index]);
            assert_eq!(Some(u64::from(id.raw())), missing(&granted, first, end));
            assert_nearest(&granted, u64::from(id.raw()), nearest.as_ref());
        }
        (verdict, refused) => panic!("{verdict:?}, but the first that is not allowed is {refused:?}"),
    }
}

/// The map says what was asked, and the kernel would take it.
fn assert_map(approved: &Approved, asked: &[Asked], parent: &[(u64, u64)], own: u64) {
    let parent_ids: Vec<Range> = parent.iter().map(|(first, end)| range(*first, end - first)).collect();
    let apart = |a: u64, b: u64, a_count: u64, b_count: u64| a + a_count <= b || b + b_count <= a;
    let pairs = || asked.iter().enumerate().flat_map(|(index, a)| asked[..index].iter().map(move |b| (a, b)));
    let overlap_inside = pairs().any(|(a, b)| !apart(a.inside, b.inside, a.count, b.count));
    let overlap_outside = pairs().any(|(a, b)| !apart(a.host, b.host, a.count, b.count));

    // One extent for each of the parent's that a triple has a part in.
    let mut extents: Vec<(u64, u64, u64)> = Vec::new();
    let mut outside = None;
    for Asked { inside, host, count } in asked {
        let (mut at, end) = (*host, host + count);
        while at < end && outside.is_none() {
            match parent.iter().find(|(first, end)| (first..end).contains(&&at)) {
                Some((_, home_end)) => {
                    let next = end.min(*home_end);
                    extents.push((inside + at - host, at, next - at));
                    at = next;
                }
                None => outside = Some(at),
            }
        }
    }
    let text: String =
        extents.iter().map(|(inside, host, count)| format!("{inside} {host} {count}\n")).collect();

    match approved.for_parent(&parent_ids) {
        Ok(map) => {
            assert!(!overlap_inside && !overlap_outside && outside.is_none() && !asked.is_empty());
            assert!(extents.len() <= 340 && text.len() < 4096);
            assert_eq!(Map::text(&map), text);
            assert_eq!(map.maps_host_root(), extents.iter().any(|(_, host, _)| *host == 0));
            let unprivileged = matches!(extents[..], [(_, host, 1)] if host == own);
            assert_eq!(map.needs_no_privilege(id(u32::try_from(own).unwrap())), unprivileged);
        }
        Err(Unfit::OverlapInside(..)) => assert!(overlap_inside),
        Err(Unfit::OverlapOutside(..)) => assert!(overlap_outside && !overlap_inside),
        Err(Unfit::NotInParent(id)) => assert_eq!(Some(u64::from(id.raw())), outside),
        Err(Unfit::TooMany(some)) => assert!(some > 340 && extents.len() > 340),
        Err(Unfit::TooLong(bytes)) => assert!(bytes == text.len() && bytes >= 4096),
        Err(Unfit::Nothing) => assert!(asked.is_empty()),
    }
}

#[derive(Clone, Copy)]
struct Asked {
    inside: u64,
    host: u64,
    count: u64,
}

impl Asked {
    fn triple(&self) -> Triple {
        let words = [self.inside, self.host, self.count].map(|number| number.to_string());
        Triple::parse(words.each_ref().map(String::as_bytes)).unwrap()
    }
}

/// Input read as small numbers, near where there is something to get wrong. It never ends: zeros follow.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn id(&mut self) -> u64 {
        let byte = self.next();
        let near = u64::from(byte & 63);
        match byte >> 6 {
            0 => near,
            1 => 52_000 + near,
            2 => NO_ID - 1 - near,
            _ => u64::from(u32::from_be_bytes([byte & 63, self.next(), self.next(), self.next()])) * 4,
        }
    }

    /// First and end, of one id at least.
    fn span(&mut self) -> (u64, u64) {
        let first = self.id();
        let count = match self.next() {
            255 => NO_ID,
            254 => u64::from(self.next()) << 16,
            byte => u64::from(byte % 32),
        };
        (first, (first + count).clamp(first + 1, NO_ID))
    }

    /// From where one of these begins to where one ends, or an id off.
    fn span_near(&mut self, known: &[(u64, u64)]) -> (u64, u64) {
        let byte = self.next();
        if known.is_empty() || byte >= 192 {
            return self.span();
        }
        let pick = |byte: u8| known[usize::from(byte) % known.len()];
        let ((first, _), (_, end), off) = (pick(byte), pick(self.next()), u64::from(self.next()));
        let first = (first + [0, 1, 2, 0][usize::from(byte >> 6)]).saturating_sub(off & 1).min(NO_ID - 1);
        (first, (end + (off >> 1 & 1)).saturating_sub(off >> 2 & 1).clamp(first + 1, NO_ID))
    }

    /// The parent's extents: all ids, in one or several pieces, or some that do not overlap, in any order.
    fn parent(&mut self) -> Vec<(u64, u64)> {
        let kind = self.next();
        let extents = kind % 8;
        if kind < 128 {
            return vec![(0, NO_ID)];
        }
        if kind < 192 {
            let cuts: BTreeSet<u64> = (0..extents).map(|_| self.id()).chain([0, NO_ID]).collect();
            let cuts = Vec::from_iter(cuts);
            return cuts.windows(2).map(|cut| (cut[0], cut[1])).collect();
        }
        let mut parent: Vec<(u64, u64)> = Vec::new();
        for _ in 0..extents {
            let (first, end) = self.span();
            if parent.iter().all(|(other, other_end)| end <= *other || *other_end <= first) {
                parent.push((first, end));
            }
        }
        parent
    }

    /// A few triples, or hundreds that follow each other.
    fn asked(&mut self, granted: &[(u64, u64)]) -> Vec<Asked> {
        let many = self.next();
        if many >= 250 {
            let (first, triples) = (self.id(), u64::from(self.next()) + 86);
            let fits = |number: &u64| first + number < NO_ID;
            return (0..triples)
                .filter(fits)
                .map(|number| Asked { inside: first + number, host: first + number, count: 1 })
                .collect();
        }
        let mut asked = Vec::new();
        for _ in 0..many % 5 {
            let (inside, (host, end)) = (self.id(), self.span_near(granted));
            asked.push(Asked { inside, host, count: (end - host).min(NO_ID - inside) });
        }
        asked
    }
}

/// `/proc/self/uid_map`.
pub fn namespace(data: &[u8]) {
    let mut expected = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        let words =
            line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\x0c')).filter(|word| !word.is_empty());
        let [first, _, count, ..] = words.collect::<Vec<_>>()[..] else { continue };
        if let (Ok(first), Ok(count @ 1..)) = (number(first), number(count)) {
            expected.extend((first + count <= NO_ID).then_some((first, first + count)));
        }
    }
    assert_eq!(ids_of_namespace(data).into_iter().map(range_of).collect::<Vec<_>>(), expected);
}

/// `/etc/nsswitch.conf`: accounts as the C library reads it, subids as shadow does.
pub fn nsswitch(data: &[u8]) {
    let answers = |file: &[u8]| {
        let read = Nsswitch::parse(file);
        let subids = read.subid_sources().map_err(<[u8]>::to_vec).map(|sources| {
            let plugins = sources.plugins.iter().map(ToString::to_string).collect::<Vec<_>>();
            (sources.files, plugins)
        });
        (
            read.accounts_are_in_files(),
            read.accounts_are_elsewhere_too(),
            read.accounts_are_in_files_too(),
            subids,
        )
    };
    let read = answers(data);
    let (accounts, subids) = (accounts(data), sources(data, "subid:"));
    let other = |source: &&String| *source != "files";
    assert_eq!(read.0, accounts.first().is_some_and(|source| source == "files"));
    assert_eq!(read.1, accounts.iter().any(|source| other(&source)));
    assert_eq!(read.2, accounts.iter().any(|source| ["files", "compat", "db"].contains(&&**source)));
    let is_name = |source: &&String| {
        let plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_');
        (1..=50).contains(&source.len()) && source.chars().all(plain)
    };
    match &read.3 {
        Err(odd) => assert_eq!(Some(&latin(odd)), subids.iter().find(|source| !is_name(source))),
        Ok((files, plugins)) => {
            assert!(subids.iter().all(|source| is_name(&source)));
            assert_eq!(*files, subids.iter().any(|source| source == "files"));
            let named: BTreeSet<&String> = subids.iter().filter(other).collect();
            assert_eq!(plugins.iter().collect::<BTreeSet<_>>(), named);
            assert_eq!(plugins.len(), named.len());
            assert_eq!(plugins.first(), subids.iter().find(other));
        }
    }

    // Other databases and comments change nothing.
    assert_eq!(answers(&[b"hosts: dns\n#subid: x\n#passwd: y\npasswds: x\n", data].concat()), read);
    // The first line of one, the last line of the other.
    assert_eq!(answers(&[b"subid: a\n", data].concat()).3, Ok((false, vec!["a".to_owned()])));
    let last = answers(&[data, b"\npasswd: b files\n"].concat());
    assert_eq!((last.0, last.1, last.2), (false, true, true));
    let twice = [data, b"\n", data].concat();
    assert_eq!(answers(&twice), read);
}

/// The words of the last `passwd` line, wherever its blanks are.
fn accounts(file: &[u8]) -> Vec<String> {
    let text = latin(file);
    let of_passwd = |line: &str| {
        let (name, words) = line.split_once(':')?;
        let blank = [' ', '\t', '\r', '\x0c'];
        (name.trim_matches(blank) == "passwd").then(|| {
            let words = words.split(blank).filter(|word| !word.is_empty());
            words.take_while(|word| !word.starts_with('#')).map(str::to_owned).collect()
        })
    };
    text.split('\n').filter_map(of_passwd).next_back().unwrap_or_else(|| vec!["files".to_owned()])
}

/// The words of the first line of this database that has any.
fn sources(file: &[u8], database: &str) -> Vec<String> {
    for line in latin(file).split('\n') {
        let Some((name, words)) = line.split_at_checked(database.len()) else { continue };
        let words: Vec<&str> =
            words.split([' ', '\t', '\r', '\x0c']).filter(|word| !word.is_empty()).collect();
        let comment = words.iter().position(|word| word.starts_with('#')).unwrap_or(words.len());
        if name.to_ascii_lowercase() == database && comment > 0 {
            return words[..comment].iter().map(|word| (*word).to_owned()).collect();
        }
    }
    vec!["files".to_owned()]
}

/// A character for each byte.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// `/etc/login.defs`: yes only if a line says so, and no later one says otherwise.
pub fn login_defs(data: &[u8]) {
    let yes = grants_aux_group_subids(data);
    let mut expected = false;
    for line in latin(data).split('\n') {
        let line = line.trim_end_matches([' ', '\t', '\r', '\x0c']).trim_start_matches([' ', '\t']);
        let Some(value) = line.strip_prefix("GRANT_AUX_GROUP_SUBIDS") else { continue };
        if value.starts_with([' ', '\t']) {
            let value = value.trim_start_matches([' ', '\t', '"']);
            expected = value.find('"').map_or(value, |end| &value[..end]).eq_ignore_ascii_case("yes");
        }
    }
    assert_eq!(yes, expected);
    let then = |more: &[u8]| grants_aux_group_subids(&[data, b"\n", more].concat());
    assert!(then(b"GRANT_AUX_GROUP_SUBIDS yes") && !then(b"GRANT_AUX_GROUP_SUBIDS no"));
    assert_eq!((then(b""), then(b"UMASK 022\n#GRANT_AUX_GROUP_SUBIDS no\n")), (yes, yes));
}

/// `/etc/passwd`: the accounts of a uid are all those on plain lines, and none that the C library would not find.
///
/// The first byte is the uid, the next two say where the file is cut, the rest is the file.
pub fn passwd(data: &[u8]) {
    let Some(([uid, cuts @ ..], file)) = data.split_first_chunk::<3>() else { return };
    let uid = u32::from(*uid % 4) * 1000;
    let mut whole = Account::default();
    whole.collect(id(uid), file);
    let mut cut = Account::default();
    for (_, piece) in pieces(file, u16::from_le_bytes(*cuts)) {
        cut.collect(id(uid), piece);
    }
    assert_eq!(whole, cut);
    assert_eq!(whole.names.len(), whole.gids.len());
    assert_eq!(whole.names.iter().collect::<BTreeSet<_>>().len(), whole.names.len());

    let (mut plain, mut known) = (Vec::new(), Vec::new());
    for line in file.split(|byte| *byte == b'\n') {
        let of_this_uid =
            account_on(as_the_c_library(line)).filter(|(_, this, _)| *this == Ok(u64::from(uid)));
        let Some((name, _, Ok(gid))) = of_this_uid else { continue };
        known.push((name, gid));
        if as_the_c_library(line) == line {
            plain.push(name);
        }
    }
    assert!(plain.iter().all(|name| whole.names.iter().any(|found| found == name)), "{whole:?}");
    let found = whole.names.iter().map(Vec::as_slice).zip(whole.gids.iter().copied().map(u64::from));
    assert!(found.into_iter().all(|found| known.contains(&found)), "{whole:?}");
}

/// What glibc's `nss_files` sees of a line: blanks in front do not count, and a NUL ends it.
fn as_the_c_library(line: &[u8]) -> &[u8] {
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    &line[blanks..]
}

type Number = Result<u64, NotDecimal>;

/// Name, uid and gid, unless it is a comment or a NIS marker.
fn account_on(line: &[u8]) -> Option<(&[u8], Number, Number)> {
    let [name, _, uid, gid, ..] = line.split(|byte| *byte == b':').collect::<Vec<_>>()[..] else {
        return None;
    };
    (!matches!(name, [] | [b'#' | b'+' | b'-', ..])).then(|| (name, number(uid), number(gid)))
}

fn id(raw: u32) -> Id {
    Id::new(raw).unwrap()
}

fn range(first: u64, count: u64) -> Range {
    let [first, count] = [first, count].map(|number| u32::try_from(number).unwrap());
    Range::new(id(first), count).unwrap()
}

/// First and end.
fn range_of(range: Range) -> (u64, u64) {
    (u64::from(range.first().raw()), u64::from(range.last().raw()) + 1)
}
