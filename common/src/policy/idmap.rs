//! May this caller have this id map? And if so, what exactly does the kernel get to read?
//!
//! The road has one lane: [`Triple::parse`] → [`decide`] → [`Granted`] → [`host::allow`](super::host::allow) → [`Approved`] →
//! [`Approved::for_parent`] → [`Map`]. Only a [`Map`] can be written, only [`decide`] makes a [`Granted`], only the host's
//! own rules make an [`Approved`] of it, and each step refuses what the next could not hold.

use std::fmt;

use super::id::{self, Id, NotDecimal, Range, push_decimal};
use super::subid::{Grant, Grants};
use super::subid_source::SourceName;

/// Which ids: the two programs differ in this alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `newuidmap`
    Uid,
    /// `newgidmap`
    Gid,
}

impl Kind {
    /// The word for one id.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Uid => "uid",
            Self::Gid => "gid",
        }
    }

    /// The file of `/proc/PID` that takes the map.
    #[must_use]
    pub const fn map_file(self) -> &'static str {
        match self {
            Self::Uid => "uid_map",
            Self::Gid => "gid_map",
        }
    }

    /// The policy file in `/etc`.
    #[must_use]
    pub const fn policy_file(self) -> &'static str {
        match self {
            Self::Uid => "subuid",
            Self::Gid => "subgid",
        }
    }
}

/// So many ids inside the new namespace, and as many outside that they stand for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Triple {
    inside: Range,
    host: Range,
}

/// Why three words are no triple.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotATriple {
    /// The word at this place (0 to 2) is not a plain decimal number.
    Malformed(usize),
    /// A number, or a range, goes below 0 or above 4294967294.
    Overflow,
    /// The count is 0.
    Empty,
}

impl Triple {
    /// Reads `ID LOWERID COUNT`.
    ///
    /// # Errors
    /// See [`NotATriple`].
    pub fn parse(words: [&[u8]; 3]) -> Result<Self, NotATriple> {
        let mut numbers = [0; 3];
        for (place, (number, word)) in numbers.iter_mut().zip(words).enumerate() {
            *number = id::decimal(word).map_err(|why| match why {
                NotDecimal::Malformed => NotATriple::Malformed(place),
                NotDecimal::OutOfRange => NotATriple::Overflow,
            })?;
        }
        let [inside, host, count] = numbers;
        if count == 0 {
            return Err(NotATriple::Empty);
        }
        let range = |first| Range::new(Id::new(first)?, count);
        let (inside, host) = (range(inside), range(host));
        Ok(Self { inside: inside.ok_or(NotATriple::Overflow)?, host: host.ok_or(NotATriple::Overflow)? })
    }

    /// The ids inside the new namespace.
    #[must_use]
    pub const fn inside(&self) -> Range {
        self.inside
    }

    /// The ids outside that it asks for.
    #[must_use]
    pub const fn host(&self) -> Range {
        self.host
    }

    /// The part of it whose host ids are these, which must be among its own.
    fn part(&self, host: Range) -> Option<Self> {
        let offset = host.first().raw().checked_sub(self.host.first().raw())?;
        let first = self.inside.first().raw().checked_add(offset)?;
        Some(Self { inside: Range::new(Id::new(first)?, host.count())?, host })
    }
}

/// `[0-1000) -> [100000-101000)`: the form every FAQ quotes.
impl fmt::Display for Triple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inside, host) = (self.inside, self.host);
        write!(f, "[{}-{}) -> [{}-{})", inside.first(), inside.end(), host.first(), host.end())
    }
}

/// A request that the policy files grant to the caller. There is no other way to get one than [`decide`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Granted {
    triples: Vec<Triple>,
    by_policy: Vec<Range>,
    policy_lines: Vec<u32>,
    policy_sources: Vec<SourceName>,
    own: Option<Id>,
}

/// A request that the caller may make: granted, and nothing of the host's own rules against it. There is no other way to get
/// one than [`host::allow`](super::host::allow).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approved {
    granted: Granted,
    strict_setgroups: bool,
}

/// The first triple that is not allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotGranted {
    /// What was asked.
    pub triple: Triple,
    /// The lowest host id in it that no line grants.
    pub missing: Id,
    /// The owner's line that comes nearest.
    pub nearest: Option<Grant>,
}

/// As many lines as are kept for the log of each triple; a hundred thousand may have a part in it.
const MOST_LINES: usize = 64;

/// The whole of the rule. A triple is allowed if all its host ids are granted by the caller's lines, or if it is the
/// caller's own id and nothing else. All triples are allowed or none is. Nobody is exempt, root included.
///
/// `own` is the real uid for newuidmap and the real gid for newgidmap: `newuidmap(1)`, `newgidmap(1)`.
///
/// # Errors
/// [`NotGranted`]: the first triple that is not allowed.
pub fn decide(own: Id, triples: Vec<Triple>, grants: &Grants) -> Result<Granted, NotGranted> {
    let (mut by_policy, mut policy_lines, mut as_own) = (Vec::new(), Vec::new(), None);
    let mut policy_sources = Vec::new();
    for triple in &triples {
        let host = triple.host;
        match grants.first_missing(host) {
            None => {
                by_policy.push(host);
                policy_lines.extend(grants.behind(host).take(MOST_LINES).map(|grant| grant.line));
                policy_sources.extend(grants.sources_behind(host).cloned());
            }
            Some(_) if host.first() == own && host.count() == 1 => as_own = Some(own),
            Some(missing) => {
                return Err(NotGranted {
                    triple: *triple,
                    missing,
                    nearest: grants.nearest(missing).copied(),
                });
            }
        }
    }
    policy_lines.sort_unstable();
    policy_lines.dedup();
    policy_sources.sort_unstable();
    policy_sources.dedup();
    Ok(Granted { triples, by_policy: id::merged(by_policy), policy_lines, policy_sources, own: as_own })
}

/// The host ids that sources besides the files have to be asked for, as far as these do not grant them.
///
/// The caller's own id is his in any case, so a source is asked for it only if its answer decides something: whether
/// newgidmap has to deny setgroups, where nothing else is to be mapped.
#[must_use]
pub fn wanted(kind: Kind, own: Id, triples: &[Triple]) -> Vec<Range> {
    let is_own = |host: &Range| host.first() == own && host.count() == 1;
    let hosts = || triples.iter().map(Triple::host);
    if kind == Kind::Gid && hosts().all(|host| is_own(&host)) {
        hosts().collect()
    } else {
        hosts().filter(|host| !is_own(host)).collect()
    }
}

/// A map that fits the kernel: `user_namespaces(7)`, "Defining user and group ID mappings".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Map {
    text: String,
    extents: usize,
    first: Triple,
    maps_host_root: bool,
}

/// Why the kernel would not take the map (it would say `EINVAL` or `EPERM`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// Two triples share ids inside the namespace.
    OverlapInside(Triple, Triple),
    /// Two triples share host ids.
    OverlapOutside(Triple, Triple),
    /// So many extents, after splitting at the parent's; the kernel takes [`MOST_EXTENTS`].
    TooMany(usize),
    /// So many bytes; the kernel takes [`LONGEST_MAP`].
    TooLong(usize),
    /// A host id that the caller's own user namespace does not have.
    NotInParent(Id),
    /// Nothing to map.
    Nothing,
}

/// The kernel's limit on extents since 4.15: `UID_GID_MAP_MAX_EXTENTS`.
pub const MOST_EXTENTS: usize = 340;

/// The kernel's limit on the text: it has to be shorter than a page of 4096 bytes.
pub const LONGEST_MAP: usize = 4095;

impl Granted {
    /// What was asked for.
    #[must_use]
    pub fn triples(&self) -> &[Triple] {
        &self.triples
    }
}

impl Approved {
    /// For [`host::allow`](super::host::allow) alone.
    pub(super) const fn allowed(granted: Granted, strict_setgroups: bool) -> Self {
        Self { granted, strict_setgroups }
    }

    /// Does newgidmap have to deny setgroups first (CVE-2018-7169: dropping a group can *gain* access)? Yes, if no part of it
    /// was granted by policy, rather than by being the caller's own id; strictly, if any part was not.
    #[must_use]
    pub fn denies_setgroups(&self) -> bool {
        self.granted.by_policy.is_empty() || self.strict_setgroups && self.granted.own.is_some()
    }

    /// The host ids that policy grants, in order; those that adjoin or overlap are one range.
    #[must_use]
    pub fn by_policy(&self) -> &[Range] {
        &self.granted.by_policy
    }

    /// The caller's own id, if it is in it without being granted by policy.
    #[must_use]
    pub const fn own(&self) -> Option<Id> {
        self.granted.own
    }

    /// The lines of the policy file that grant it, in order.
    #[must_use]
    pub fn policy_lines(&self) -> &[u32] {
        &self.granted.policy_lines
    }

    /// The other sources that grant a part of it, by name.
    #[must_use]
    pub fn policy_sources(&self) -> &[SourceName] {
        &self.granted.policy_sources
    }

    /// The map for a namespace whose parent has these ids. A triple that crosses from one of the parent's extents to
    /// the next becomes two extents, as the kernel wants each inside one of the parent's.
    ///
    /// # Errors
    /// [`Unfit`]: the kernel would refuse it.
    pub fn for_parent(&self, parent: &[Range]) -> Result<Map, Unfit> {
        if let Some((a, b)) = overlap(&self.granted.triples, |triple| triple.inside) {
            return Err(Unfit::OverlapInside(a, b));
        }
        if let Some((a, b)) = overlap(&self.granted.triples, |triple| triple.host) {
            return Err(Unfit::OverlapOutside(a, b));
        }
        let mut extents = Vec::new();
        for triple in &self.granted.triples {
            split(triple, parent, &mut extents)?;
        }
        if extents.len() > MOST_EXTENTS {
            return Err(Unfit::TooMany(extents.len()));
        }
        let mut text = String::new();
        for Triple { inside, host } in &extents {
            for (number, then) in
                [(inside.first().raw(), ' '), (host.first().raw(), ' '), (host.count(), '\n')]
            {
                push_decimal(&mut text, number);
                text.push(then);
            }
        }
        if text.len() > LONGEST_MAP {
            return Err(Unfit::TooLong(text.len()));
        }
        let maps_host_root = extents.iter().any(|extent| extent.host.first().raw() == 0);
        let first = *extents.first().ok_or(Unfit::Nothing)?;
        Ok(Map { text, extents: extents.len(), first, maps_host_root })
    }
}

fn split(triple: &Triple, parent: &[Range], extents: &mut Vec<Triple>) -> Result<(), Unfit> {
    let mut rest = triple.host;
    loop {
        let home = parent.iter().find(|extent| extent.contains(rest.first()));
        let piece =
            home.and_then(|extent| extent.intersection(rest)).ok_or(Unfit::NotInParent(rest.first()))?;
        extents.push(triple.part(piece).ok_or(Unfit::NotInParent(rest.first()))?);
        if extents.len() > MOST_EXTENTS {
            return Err(Unfit::TooMany(extents.len()));
        }
        match piece.last().next().and_then(|next| Range::between(next, triple.host.last())) {
            Some(beyond) => rest = beyond,
            None => return Ok(()),
        }
    }
}

/// Two triples whose ranges meet, if there are any.
fn overlap(triples: &[Triple], range: impl Fn(&Triple) -> Range) -> Option<(Triple, Triple)> {
    let mut sorted = triples.to_vec();
    sorted.sort_unstable_by_key(&range);
    sorted.windows(2).find_map(|pair| match pair {
        [a, b] if range(b).first() <= range(a).last() => Some((*a, *b)),
        _ => None,
    })
}

impl Map {
    /// What goes to the kernel, in one write.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Does host id 0 get mapped? The kernel then asks for CAP_SETFCAP (since 5.12).
    #[must_use]
    pub const fn maps_host_root(&self) -> bool {
        self.maps_host_root
    }

    /// Is it the one map that the kernel allows without privilege: a single extent, of the caller's own id alone?
    #[must_use]
    pub fn needs_no_privilege(&self, own: Id) -> bool {
        self.extents == 1 && self.first.host.first() == own && self.first.host.count() == 1
    }
}

/// The ids that a user namespace has, as its own `/proc/self/uid_map` or `gid_map` lists them.
#[must_use]
pub fn ids_of_namespace(map: &[u8]) -> Vec<Range> {
    let extent = |line: &[u8]| {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (first, _host, count) = (words.next()?, words.next()?, words.next()?);
        Range::new(Id::new(id::decimal(first).ok()?)?, id::decimal(count).ok()?)
    };
    super::text::lines(map).filter_map(extent).collect()
}

/// The ids of ours that a user namespace maps, as its `uid_map` or `gid_map` lists them to us. Those that are none here are
/// left out.
#[must_use]
pub fn host_ids_of_map(map: &[u8]) -> Vec<Range> {
    let extent = |line: &[u8]| {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (_first, host, count) = (words.next()?, words.next()?, words.next()?);
        Range::new(Id::new(id::decimal(host).ok()?)?, id::decimal(count).ok()?)
    };
    super::text::lines(map).filter_map(extent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(raw: u32) -> Id {
        Id::new(raw).unwrap()
    }

    fn range(first: u32, count: u32) -> Range {
        Range::new(id(first), count).unwrap()
    }

    fn triple(inside: u32, host: u32, count: u32) -> Triple {
        Triple { inside: range(inside, count), host: range(host, count) }
    }

    fn grants(lines: &[(u32, u32)]) -> Grants {
        let grant = |(line, (first, count)): (u32, &(u32, u32))| Grant { range: range(*first, *count), line };
        Grants::new((1..).zip(lines).map(grant).collect())
    }

    /// On a host without rules of its own.
    fn approved(own: Id, triples: &[Triple], grants: &Grants) -> Approved {
        Approved::allowed(decide(own, triples.to_vec(), grants).unwrap(), false)
    }

    fn whole() -> Vec<Range> {
        ids_of_namespace(b"         0          0 4294967295\n")
    }

    fn map(triples: &[Triple], parent: &[Range]) -> Result<String, Unfit> {
        let everything = grants(&[(0, u32::MAX)]);
        approved(id(7), triples, &everything).for_parent(parent).map(|map| map.text().to_owned())
    }

    #[test]
    fn numbers_that_are_none_or_too_large_make_no_triple() {
        let parse = |a: &str, b: &str, c: &str| Triple::parse([a.as_bytes(), b.as_bytes(), c.as_bytes()]);
        assert_eq!(parse("0", "4294967294", "1"), Ok(triple(0, u32::MAX - 1, 1)));
        assert_eq!(parse("0", "0", "4294967295"), Ok(triple(0, 0, u32::MAX)));
        for (a, b, c) in [
            ("4294967295", "0", "1"),
            ("0", "4294967295", "1"),
            ("0", "4294967294", "2"),
            ("5", "0", "4294967295"),
            ("0", "5", "4294967295"),
            ("0", "0", "4294967296"),
            ("-1", "0", "1"),
            ("0", "-5", "1"),
            ("0", "0", "-1"),
            ("18446744073709551616", "0", "1"),
        ] {
            assert_eq!(parse(a, b, c), Err(NotATriple::Overflow), "{a} {b} {c}");
        }
        assert_eq!(parse("0", "0", "0"), Err(NotATriple::Empty));
        assert_eq!(parse("0", "010", "1"), Err(NotATriple::Malformed(1)));
    }

    #[test]
    fn own_id_is_allowed_alone_and_never_as_part_of_more() {
        let none = grants(&[]);
        assert!(approved(id(1000), &[triple(0, 1000, 1)], &none).denies_setgroups());
        assert!(decide(id(1000), vec![triple(0, 1000, 1), triple(5, 1000, 1)], &none).is_ok());
        assert!(decide(id(1000), vec![triple(0, 1000, 2)], &none).is_err());
        assert!(decide(id(1000), vec![triple(0, 1000, 2)], &grants(&[(1001, 10)])).is_err());
        assert!(decide(id(1000), vec![triple(0, 1001, 1)], &none).is_err());
    }

    #[test]
    fn own_id_that_policy_lists_rests_on_policy() {
        let approved = approved(id(1000), &[triple(0, 1000, 1)], &grants(&[(900, 5), (1000, 1)]));
        assert_eq!(approved.policy_lines(), [2]);
    }

    #[test]
    fn a_source_is_asked_for_the_own_id_only_where_that_decides_about_setgroups() {
        let (own, other) = (triple(0, 1000, 1), triple(1, 5000, 10));
        for (kind, triples, expected) in [
            (Kind::Uid, vec![own], vec![]),
            (Kind::Gid, vec![own, own], vec![range(1000, 1), range(1000, 1)]),
            (Kind::Uid, vec![own, other], vec![range(5000, 10)]),
            (Kind::Gid, vec![own, other], vec![range(5000, 10)]),
            (Kind::Gid, vec![triple(0, 1000, 2)], vec![range(1000, 2)]),
            (Kind::Uid, vec![triple(0, 1000, 2)], vec![range(1000, 2)]),
            (Kind::Uid, vec![triple(0, 1001, 1)], vec![range(1001, 1)]),
            (Kind::Gid, vec![triple(0, 1001, 1)], vec![range(1001, 1)]),
        ] {
            assert_eq!(wanted(kind, id(1000), &triples), expected, "{kind:?} {triples:?}");
        }
    }

    #[test]
    fn what_a_source_grants_rests_on_policy_and_the_source_is_named() {
        let mut both = grants(&[(100, 10)]);
        both.add(&SourceName::new(b"sss").unwrap(), vec![range(110, 10), range(1000, 1)]);
        let approved = |triples: &[Triple]| approved(id(1000), triples, &both);
        let named = |approved: &Approved| {
            approved.policy_sources().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let half = approved(&[triple(0, 105, 10)]);
        assert_eq!((half.policy_lines(), named(&half)), (&[1][..], vec!["sss".to_owned()]));
        let own = approved(&[triple(0, 1000, 1)]);
        assert_eq!((own.denies_setgroups(), own.own(), named(&own)), (false, None, vec!["sss".to_owned()]));
        assert_eq!(named(&approved(&[triple(0, 100, 10)])), Vec::<String>::new());
        assert!(decide(id(7), vec![triple(0, 105, 16)], &both).is_err());
    }

    #[test]
    fn what_rests_on_policy_and_what_on_being_oneself_is_told_apart() {
        let lines = grants(&[(100, 10), (110, 10)]);
        let triples = [triple(20, 112, 2), triple(0, 1000, 1), triple(1, 100, 12), triple(40, 119, 1)];
        let approved = approved(id(1000), &triples, &lines);
        assert_eq!(approved.by_policy(), [range(100, 14), range(119, 1)]);
        assert_eq!((approved.own(), approved.policy_lines()), (Some(id(1000)), &[1, 2][..]));
    }

    #[test]
    fn the_first_triple_refused_is_named_with_the_nearest_line() {
        let lines = grants(&[(100, 10), (500, 10)]);
        let refused = decide(id(7), vec![triple(0, 100, 10), triple(10, 105, 6), triple(30, 3, 1)], &lines)
            .unwrap_err();
        assert_eq!((refused.missing, refused.nearest.unwrap().line), (id(110), 1));
        assert_eq!(refused.triple.to_string(), "[10-16) -> [105-111)");
    }

    #[test]
    fn overlap_is_refused_on_either_side() {
        let outside = map(&[triple(0, 10, 5), triple(20, 14, 5)], &whole());
        assert_eq!(outside, Err(Unfit::OverlapOutside(triple(0, 10, 5), triple(20, 14, 5))));
        let inside = map(&[triple(4, 10, 5), triple(0, 20, 5)], &whole());
        assert_eq!(inside, Err(Unfit::OverlapInside(triple(0, 20, 5), triple(4, 10, 5))));
    }

    #[test]
    fn adjoining_triples_keep_their_order() {
        let text = map(&[triple(5, 15, 5), triple(0, 10, 5), triple(10, 20, 1)], &whole());
        assert_eq!(text.unwrap(), "5 15 5\n0 10 5\n10 20 1\n");
    }

    #[test]
    fn the_kernels_limits_are_kept() {
        let short: Vec<Triple> = (0..341).map(|n| triple(n, n, 1)).collect();
        assert!(map(&short[..340], &whole()).is_ok());
        assert_eq!(map(&short, &whole()), Err(Unfit::TooMany(341)));
        let long: Vec<Triple> = (0..200).map(|n| triple(4_000_000_000 + n, 3_000_000_000 + n, 1)).collect();
        assert_eq!(map(&long, &whole()), Err(Unfit::TooLong(200 * 24)));
        assert_eq!(map(&[], &whole()), Err(Unfit::Nothing));
        // 170 lines of 24 bytes are 4080, so one of 15 is the last that fits.
        let full = [&long[..170], &[triple(0, 1_000_000, 9999)]].concat();
        assert_eq!(map(&full, &whole()).unwrap().len(), LONGEST_MAP);
        let too_full = [&long[..170], &[triple(0, 1_000_000, 10000)]].concat();
        assert_eq!(map(&too_full, &whole()), Err(Unfit::TooLong(LONGEST_MAP + 1)));
    }

    #[test]
    fn a_triple_is_split_where_the_parents_extents_meet() {
        let parent = ids_of_namespace(b"0 70000 1\n1 100000 65536\n");
        assert_eq!(map(&[triple(5, 0, 100)], &parent).unwrap(), "5 0 1\n6 1 99\n");
        assert_eq!(map(&[triple(0, 65530, 10)], &parent), Err(Unfit::NotInParent(id(65537))));
    }

    #[test]
    fn a_map_of_proc_is_read_on_either_side_and_a_line_that_is_none_is_no_range() {
        let map = b"         0     100000      65536\n     70000       1000          1\n junk\n5 6\n\n5 4294967295 1\n";
        assert_eq!(ids_of_namespace(map), [range(0, 65536), range(70000, 1), range(5, 1)]);
        assert_eq!(host_ids_of_map(map), [range(100_000, 65536), range(1000, 1)]);
        assert_eq!((ids_of_namespace(b""), host_ids_of_map(b"")), (vec![], vec![]));
    }

    #[test]
    fn host_root_and_the_unprivileged_map_are_recognised() {
        let approve =
            |triples: &[Triple]| approved(id(7), triples, &grants(&[(0, 10)])).for_parent(&whole()).unwrap();
        assert!(approve(&[triple(9, 0, 1)]).maps_host_root());
        assert!(!approve(&[triple(0, 1, 1)]).maps_host_root());
        assert!(approve(&[triple(0, 7, 1)]).needs_no_privilege(id(7)));
        assert!(!approve(&[triple(0, 7, 2)]).needs_no_privilege(id(7)));
        assert!(!approve(&[triple(0, 7, 1), triple(1, 8, 1)]).needs_no_privilege(id(7)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_verdict_is_what_sets_of_numbers_say(
            own in 0_u32..40,
            lines in prop::collection::vec((0_u32..40, 1_u32..12), 0..6),
            asked in prop::collection::vec((0_u32..40, 0_u32..40, 1_u32..10), 1..5),
        ) {
            let granted: std::collections::BTreeSet<u64> =
                lines.iter().flat_map(|(f, c)| u64::from(*f)..u64::from(f + c)).collect();
            let allowed = asked.iter().all(|(_, host, count)| {
                (u64::from(*host)..u64::from(host + count)).all(|id| granted.contains(&id)) || (*host == own && *count == 1)
            });
            let triples = asked.iter().map(|(i, h, c)| triple(*i, *h, *c)).collect();
            prop_assert_eq!(decide(id(own), triples, &grants(&lines)).is_ok(), allowed);
        }

        #[test]
        fn splitting_maps_the_same_ids_and_stays_inside_the_parents_extents(
            inside in 0_u32..50, host in 0_u32..50, count in 1_u32..50,
            cuts in prop::collection::btree_set(1_u32..120, 0..6),
        ) {
            let edges: Vec<u32> = std::iter::once(0).chain(cuts).chain([120]).collect();
            let parent: Vec<Range> = edges.windows(2).map(|e| range(e[0], e[1] - e[0])).collect();
            let text = map(&[triple(inside, host, count)], &parent).unwrap();
            let mut pairs = Vec::new();
            for line in text.lines() {
                let n: Vec<u32> = line.split(' ').map(|word| word.parse().unwrap()).collect();
                prop_assert!(parent.iter().any(|extent| extent.intersection(range(n[1], n[2])) == Some(range(n[1], n[2]))));
                pairs.extend((0..n[2]).map(|k| (n[0] + k, n[1] + k)));
            }
            prop_assert_eq!(pairs, (0..count).map(|k| (inside + k, host + k)).collect::<Vec<_>>());
        }
    }
}
