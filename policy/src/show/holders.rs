//! Who holds which ids by one file: each owner with all that is his, and what two owners hold at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::policy::id::{self, Id, Range, merged};
use common::policy::subid;
use common::policy::text::lines;

use crate::accounts::Accounts;

/// Whom a line of the file means.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Identity {
    /// The account with this uid, by whatever name or number.
    Uid(Id),
    /// Nobody on this machine is called so.
    Unknown(Vec<u8>),
}

/// A line that grants something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: u32,
    /// What it grants.
    pub range: Range,
}

/// Somebody who holds ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Who.
    pub identity: Identity,
    /// What to call him: his account's name, or what the file has.
    pub name: Vec<u8>,
    /// Has this machine such an account? One that is only a number may be none.
    pub known: bool,
    /// His lines, in the order of the file.
    pub lines: Vec<Line>,
    /// The ids in them, each once, lowest first.
    pub ids: Vec<Range>,
}

/// Ids that several hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overlap {
    /// Which.
    pub range: Range,
    /// Places of holders, a few of them.
    pub holders: Vec<usize>,
    /// How many there are.
    pub number: usize,
}

/// All of one file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Holders {
    /// Everybody in it, by his lowest id.
    pub all: Vec<Holder>,
    /// What more than one of them holds, lowest first.
    pub overlaps: Vec<Overlap>,
    /// How many lines grant nothing, though they are neither empty nor a remark.
    pub idle_lines: usize,
}

/// So many of those who share an id are named.
const NAMED: usize = 4;

/// So many names are looked for in name services: each may take its time.
const MOST_ASKED: usize = 64;

/// Whose a word in the first field is.
#[derive(Debug)]
pub struct Names<'a> {
    by_name: HashMap<&'a [u8], Id>,
    by_uid: HashMap<Id2, &'a [u8]>,
    accounts: &'a Accounts,
}

/// An [`Id`], to be hashed.
type Id2 = u32;

impl<'a> Names<'a> {
    /// Of these accounts.
    #[must_use]
    pub fn of(accounts: &'a Accounts) -> Self {
        let (mut by_name, mut by_uid) = (HashMap::new(), HashMap::new());
        for user in accounts.users() {
            by_name.entry(user.name.as_slice()).or_insert(user.uid);
            by_uid.entry(user.uid.raw()).or_insert(user.name.as_slice());
        }
        Self { by_name, by_uid, accounts }
    }

    /// Whom this word means, as the helpers take it: digits are a uid, anything else is a name.
    fn identity(&self, word: &[u8], patience: &mut usize) -> (Identity, Vec<u8>, bool) {
        if let Some(uid) = id::decimal(word).ok().and_then(Id::new) {
            let name = self.by_uid.get(&uid.raw()).map(|name| name.to_vec());
            let name = name.or_else(|| {
                *patience = patience.checked_sub(1)?;
                self.accounts.user_with(uid).map(|user| user.name)
            });
            let known = name.is_some();
            return (Identity::Uid(uid), name.unwrap_or_else(|| word.to_vec()), known);
        }
        let digits = word.iter().all(u8::is_ascii_digit);
        let uid = self.by_name.get(word).copied().or_else(|| {
            *patience = patience.checked_sub(1)?;
            self.accounts.user_named(word).map(|user| user.uid)
        });
        match uid.filter(|_| !digits) {
            Some(uid) => {
                let name = self.by_uid.get(&uid.raw()).map_or_else(|| word.to_vec(), |name| name.to_vec());
                (Identity::Uid(uid), name, true)
            }
            None => (Identity::Unknown(word.to_vec()), word.to_vec(), false),
        }
    }
}

impl Holders {
    /// Reads the file.
    #[must_use]
    pub fn of(file: &[u8], names: &Names<'_>) -> Self {
        let (mut all, mut places, mut idle_lines) = (Vec::<Holder>::new(), BTreeMap::new(), 0_usize);
        let (mut words, mut patience) = (HashMap::<&[u8], usize>::new(), MOST_ASKED);
        for (line, number) in lines(file).zip(1_u32..) {
            let Some((word, range)) = subid::entry(line) else {
                let says_something = !line.trim_ascii().is_empty() && !line.starts_with(b"#");
                idle_lines = idle_lines.saturating_add(usize::from(says_something));
                continue;
            };
            let place = *words.entry(word).or_insert_with(|| {
                let (identity, name, known) = names.identity(word, &mut patience);
                *places.entry(identity.clone()).or_insert_with(|| {
                    all.push(Holder { identity, name, known, lines: Vec::new(), ids: Vec::new() });
                    all.len().saturating_sub(1)
                })
            });
            if let Some(holder) = all.get_mut(place) {
                holder.lines.push(Line { number, range });
            }
        }
        for holder in &mut all {
            holder.ids = merged(holder.lines.iter().map(|line| line.range).collect());
        }
        all.sort_by(|one, other| one.ids.cmp(&other.ids).then_with(|| one.name.cmp(&other.name)));
        let overlaps = overlaps(&all);
        Self { all, overlaps, idle_lines }
    }

    /// All ids that anybody holds.
    #[must_use]
    pub fn taken(&self) -> Vec<Range> {
        merged(self.all.iter().flat_map(|holder| holder.ids.iter().copied()).collect())
    }

    /// All ids that more than one holds.
    #[must_use]
    pub fn shared(&self) -> Vec<Range> {
        merged(self.overlaps.iter().map(|overlap| overlap.range).collect())
    }

    /// Do both say the same of the same people?
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let what = |holders: &Self| -> Vec<(Identity, Vec<Range>)> {
            holders.all.iter().map(|holder| (holder.identity.clone(), holder.ids.clone())).collect()
        };
        what(self) == what(other)
    }
}

impl Holder {
    /// How many ids he holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        total(&self.ids)
    }
}

/// How many ids are in these, which do not overlap.
#[must_use]
pub fn total(ranges: &[Range]) -> u64 {
    ranges.iter().map(|range| u64::from(range.count())).fold(0, u64::saturating_add)
}

/// What is in both of two lists, each of which is [`merged`].
#[must_use]
pub fn common_ids(one: &[Range], other: &[Range]) -> Vec<Range> {
    let mut both = Vec::new();
    for range in one {
        let start = other.partition_point(|before| before.last() < range.first());
        let rest = other.iter().skip(start).take_while(|other| other.first() <= range.last());
        both.extend(rest.filter_map(|other| range.intersection(*other)));
    }
    both
}

/// Walks over the ids once, and knows at each step who holds it.
fn overlaps(all: &[Holder]) -> Vec<Overlap> {
    // (where, does it begin there, whose)
    let mut steps: Vec<(u32, bool, usize)> = Vec::new();
    for (place, holder) in all.iter().enumerate() {
        for range in &holder.ids {
            steps.push((range.first().raw(), true, place));
            steps.push((range.end(), false, place));
        }
    }
    steps.sort_unstable();
    let (mut found, mut now, mut since) = (Vec::<Overlap>::new(), BTreeSet::new(), 0_u32);
    for (at, begins, place) in steps {
        if now.len() > 1 && at > since {
            let range = Id::new(since).zip(Id::new(at.saturating_sub(1)));
            let range = range.and_then(|(first, last)| Range::between(first, last));
            let holders: Vec<usize> = now.iter().take(NAMED).copied().collect();
            let next = range.map(|range| Overlap { range, holders, number: now.len() });
            found.extend(next);
        }
        since = at;
        if begins {
            now.insert(place);
        } else {
            now.remove(&place);
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holders(file: &str) -> Holders {
        let accounts = Accounts::of(b"alice:x:1000:1::/:\nbob:x:1001:1::/:\nally:x:1000:1::/:\n", b"", false);
        Holders::of(file.as_bytes(), &Names::of(&accounts))
    }

    fn shown(ranges: &[Range]) -> Vec<String> {
        ranges.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_lines_of_one_uid_are_one_holders() {
        let found =
            holders("alice:100:10\n1000:110:10\nally:300:1\nbob:200:5\n7:5:5\nnone:1:1\njunk\n#x\n\n");
        let names: Vec<_> =
            found.all.iter().map(|one| (String::from_utf8_lossy(&one.name), one.known)).collect();
        assert_eq!(
            names,
            [("none".into(), false), ("7".into(), false), ("alice".into(), true), ("bob".into(), true)]
        );
        assert_eq!(shown(&found.all[2].ids), ["100-119", "300"]);
        assert_eq!((found.all[2].count(), found.idle_lines, found.overlaps), (21, 1, vec![]));
    }

    #[test]
    fn what_one_owner_has_twice_is_no_overlap() {
        assert_eq!(holders("alice:100:10\nally:105:10\n").overlaps, []);
        let found = holders("alice:100:10\nbob:105:10\nx:109:1\n");
        let overlaps: Vec<_> = found.overlaps.iter().map(|one| (one.range.to_string(), one.number)).collect();
        assert_eq!(overlaps, [("105-108".to_owned(), 2), ("109".to_owned(), 3)]);
        assert_eq!(shown(&found.shared()), ["105-109"]);
    }

    proptest! {
        #[test]
        fn an_id_is_shared_if_two_hold_it(lines in prop::collection::vec((0_u32..4, 0_u32..40, 1_u32..12), 0..12)) {
            let file: String = lines.iter().map(|(who, first, count)| format!("{who}:{first}:{count}\n")).collect();
            let found = holders(&file);
            let shared = found.shared();
            for id in 0..60 {
                let owners: BTreeSet<_> = lines
                    .iter()
                    .filter(|(_, first, count)| (*first..first + count).contains(&id))
                    .map(|(who, ..)| who)
                    .collect();
                let id = Id::new(id).unwrap();
                prop_assert_eq!(shared.iter().any(|range| range.contains(id)), owners.len() > 1);
            }
        }
    }
}
