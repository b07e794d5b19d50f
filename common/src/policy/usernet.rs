//! `/etc/lxc/lxc-usernet`: who may have how many interfaces on which bridge. `lxc-usernet(5)`.
//!
//! A line is `OWNER TYPE BRIDGE COUNT`, separated by blanks and tabs, where OWNER is a user or `@` and a group. What
//! follows the count is a remark. COUNT is a strict decimal number up to 2147483647. A line that is not so grants
//! nothing and does no harm to the others; nor does one that begins with a blank, as in LXC.
//!
//! `%u` in BRIDGE is the caller's uid, so one line can give each member of a group a bridge of his own. A name with any other
//! `%` in it is no bridge's.
//!
//! A quota belongs to an owner, a type and a bridge. Several lines for one quota do not add up: the largest holds.

use std::collections::BTreeMap;

use memchr::memchr;

use super::id::{self, Id};
use super::text::{FirstBytes, lines_that_begin};

/// The only type of interface there is.
pub const VETH: &str = "veth";

/// Whose quota it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A user's own. The name is for people: the uid is who he is.
    User {
        /// His uid.
        uid: Id,
        /// The name that the line has for him.
        name: Vec<u8>,
    },
    /// A group's, which its members share.
    Group {
        /// Its gid.
        gid: Id,
        /// The name that the line has for it, without `@`.
        name: Vec<u8>,
    },
}

impl Owner {
    /// `u` and the uid, or `g` and the gid: what the ledger calls it.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::User { uid, .. } => format!("u{uid}"),
            Self::Group { gid, .. } => format!("g{gid}"),
        }
    }

    /// As the first column of lxc-usernet has it.
    #[must_use]
    pub fn word(&self) -> Vec<u8> {
        match self {
            Self::User { name, .. } => name.clone(),
            Self::Group { name, .. } => [b"@", name.as_slice()].concat(),
        }
    }
}

/// A quota that the caller may use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Whose.
    pub owner: Owner,
    /// At most so many interfaces at once: 1 to 2147483647.
    pub limit: u32,
    /// The line that says so, counted from 1.
    pub line: u32,
    /// Is the bridge one of the caller's own, by `%u`?
    pub per_user: bool,
}

/// Collects the lines that may concern a caller who wants a [`VETH`] on one bridge, from a file that comes in blocks
/// of whole lines.
#[derive(Debug)]
pub struct Search<'a> {
    names: &'a [Vec<u8>],
    uid: String,
    bridge: &'a str,
    /// What a line that may concern him begins with.
    first_bytes: FirstBytes,
    found: Found,
}

/// The lines found: those of the user, and those of any group, as it is not known yet which of them he is in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    user: Option<Line>,
    groups: Vec<Line>,
    /// Where in `groups` a name is: there may be many.
    places: BTreeMap<Vec<u8>, usize>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    name: Vec<u8>,
    limit: u32,
    number: u32,
    per_user: bool,
}

impl<'a> Search<'a> {
    /// A search for the lines of a user with this uid and these names, or of a group, that are about this bridge (or
    /// `none`).
    #[must_use]
    pub fn new(uid: Id, names: &'a [Vec<u8>], bridge: &'a str) -> Self {
        let first_bytes = FirstBytes::of(names.iter().filter_map(|name| name.first().copied()).chain([b'@']));
        Self { names, uid: uid.to_string(), bridge, first_bytes, found: Found::default() }
    }

    /// Looks at a block of whole lines, the first of which is number `first_line` of the file.
    pub fn look_at(&mut self, first_line: u32, block: &[u8]) {
        let first_bytes = std::mem::take(&mut self.first_bytes);
        let names = self.names;
        // Nobody is called nothing.
        let begins = |line: &[u8], name: &Vec<u8>| !name.is_empty() && line.starts_with(name);
        let may_be_his = |line: &[u8]| line.starts_with(b"@") || names.iter().any(|name| begins(line, name));
        lines_that_begin(first_line, block, &first_bytes, may_be_his, |number, line| {
            self.look_at_line(number, line);
        });
        self.first_bytes = first_bytes;
    }

    fn look_at_line(&mut self, number: u32, line: &[u8]) {
        // Still, most are somebody else's: know it by their first field.
        let owner = line.get(..line.iter().position(is_blank).unwrap_or(line.len())).unwrap_or_default();
        let group = owner.strip_prefix(b"@");
        if group.is_none() && !self.names.iter().any(|name| name == owner) {
            return;
        }
        let Some(Entry { bridge, count: limit, .. }) = entry(line) else { return };
        let Some(per_user) = self.names_it(bridge) else { return };
        let line = Line { name: group.unwrap_or(owner).to_vec(), limit, number, per_user };
        match group {
            Some(name) => {
                let Found { groups, places, .. } = &mut self.found;
                match places.get(name).and_then(|place| groups.get_mut(*place)) {
                    Some(known) => known.keep_larger(line),
                    None => {
                        places.insert(name.to_vec(), groups.len());
                        groups.push(line);
                    }
                }
            }
            None => match &mut self.found.user {
                Some(known) => known.keep_larger(line),
                none => *none = Some(line),
            },
        }
    }

    /// Is this the bridge, and is it so by `%u`?
    fn names_it(&self, on: &[u8]) -> Option<bool> {
        if on == self.bridge.as_bytes() {
            return Some(false);
        }
        let on = std::str::from_utf8(on).ok().filter(|on| on.contains("%u"))?;
        (on.replace("%u", &self.uid) == self.bridge).then_some(true)
    }

    /// All that was found.
    #[must_use]
    pub fn finish(self) -> Found {
        self.found
    }
}

impl Line {
    fn keep_larger(&mut self, other: Self) {
        let per_user = self.per_user || other.per_user;
        if other.limit > self.limit {
            *self = other;
        }
        self.per_user = per_user;
    }
}

impl Found {
    /// The names of the groups that have a line, each once, in the order of the file.
    pub fn groups(&self) -> impl Iterator<Item = &[u8]> {
        self.groups.iter().map(|line| line.name.as_slice())
    }

    /// The quotas that a caller may use: his own first, then those of his groups in the order of the file.
    ///
    /// `is_in` tells the gid of a group of this name if the caller is in it.
    pub fn quotas(self, uid: Id, mut is_in: impl FnMut(&[u8]) -> Option<Id>) -> Vec<Quota> {
        let user = self.user.map(|line| Quota {
            owner: Owner::User { uid, name: line.name },
            limit: line.limit,
            line: line.number,
            per_user: line.per_user,
        });
        let mut quotas = Vec::from_iter(user);
        for line in self.groups {
            if let Some(gid) = is_in(&line.name) {
                let owner = Owner::Group { gid, name: line.name };
                let (limit, per_user) = (line.limit, line.per_user);
                let quota = Quota { owner, limit, line: line.number, per_user };
                // Two names of one group are one quota.
                match quotas.iter_mut().find(|known| known.owner.key() == quota.owner.key()) {
                    Some(known) => {
                        let per_user = known.per_user || quota.per_user;
                        if quota.limit > known.limit {
                            *known = quota;
                        }
                        known.per_user = per_user;
                    }
                    None => quotas.push(quota),
                }
            }
        }
        quotas
    }
}

const fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A line that allots something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// A user's name, or `@` and a group's.
    pub owner: &'a [u8],
    /// A bridge's name, `none`, or a pattern with `%u` in it.
    pub bridge: &'a [u8],
    /// How many interfaces: 1 to 2147483647.
    pub count: u32,
}

/// What a line allots, if it is one.
#[must_use]
pub fn entry(line: &[u8]) -> Option<Entry<'_>> {
    let mut fields = line.split(is_blank).filter(|field| !field.is_empty());
    let (owner, kind, bridge, count) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_one = !line.first().is_none_or(is_blank)
        && kind == VETH.as_bytes()
        && memchr(0, line).is_none()
        && memchr(b'\r', line).is_none();
    let count = id::decimal(count).ok().filter(|count| i32::try_from(*count).is_ok_and(|count| count > 0))?;
    is_one.then_some(Entry { owner, bridge, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(file: &str, groups: &[(&str, u32)]) -> Vec<(String, u32, u32)> {
        let names = [b"alice".to_vec(), b"lass".to_vec()];
        let mut search = Search::new(Id::new(1000).unwrap(), &names, "br0");
        search.look_at(1, file.as_bytes());
        let gid = |name: &[u8]| {
            groups.iter().find(|(group, _)| group.as_bytes() == name).and_then(|(_, gid)| Id::new(*gid))
        };
        let quotas = search.finish().quotas(Id::new(1000).unwrap(), gid);
        quotas.iter().map(|quota| (quota.owner.key(), quota.limit, quota.line)).collect()
    }

    fn u(limit: u32, line: u32) -> (String, u32, u32) {
        ("u1000".to_owned(), limit, line)
    }

    fn g(gid: u32, limit: u32, line: u32) -> (String, u32, u32) {
        (format!("g{gid}"), limit, line)
    }

    #[test]
    fn the_users_own_quota_comes_first_then_his_groups_in_the_order_of_the_file() {
        let file = "@b veth br0 3\nbob veth br0 9\nalice veth br0 2\n@c veth br0 8\n@a veth br0 4\n";
        assert_eq!(quotas(file, &[("a", 7), ("b", 8)]), [u(2, 3), g(8, 3, 1), g(7, 4, 5)]);
        assert_eq!(quotas(file, &[]), [u(2, 3)]);
    }

    #[test]
    fn of_several_lines_for_one_quota_the_largest_holds() {
        let file = "alice veth br0 1\nlass veth br0 3\nalice veth br0 2\n@a veth br0 1\n@a veth br0 5\n@a veth br1 9";
        assert_eq!(quotas(file, &[("a", 7)]), [u(3, 2), g(7, 5, 5)]);
        // Of two alike it is the first that is named.
        assert_eq!(quotas("lass veth br0 3\nalice veth br0 3", &[]), [u(3, 1)]);
    }

    #[test]
    fn an_owner_is_called_as_his_line_calls_him_and_kept_by_number() {
        let id = Id::new(7).unwrap();
        let user = Owner::User { uid: id, name: b"alice".to_vec() };
        let group = Owner::Group { gid: id, name: b"lab".to_vec() };
        assert_eq!((user.key(), user.word()), ("u7".to_owned(), b"alice".to_vec()));
        assert_eq!((group.key(), group.word()), ("g7".to_owned(), b"@lab".to_vec()));
    }

    #[test]
    fn each_group_with_a_line_for_the_bridge_is_asked_for_once() {
        let names = [b"alice".to_vec()];
        let mut search = Search::new(Id::new(1000).unwrap(), &names, "br0");
        search.look_at(1, b"@b veth br0 1\nalice veth br0 1\n@a veth br0 1\n@c veth br1 1\n@b veth br0 2\n");
        assert_eq!(search.finish().groups().collect::<Vec<_>>(), [b"b", b"a"]);
    }

    #[test]
    fn two_names_of_one_group_are_one_quota() {
        assert_eq!(quotas("@a veth br0 5\n@b veth br0 5", &[("a", 7), ("b", 7)]), [g(7, 5, 1)]);
        assert_eq!(quotas("@a veth br0 6\n@b veth br0 5", &[("a", 7), ("b", 7)]), [g(7, 6, 1)]);
        assert_eq!(quotas("@a veth br0 1\n@b veth br0 5", &[("a", 7), ("b", 7)]), [g(7, 5, 2)]);
    }

    #[test]
    fn a_line_with_the_callers_uid_in_it_is_about_his_bridge_and_nobody_elses() {
        let names = [b"alice".to_vec()];
        let found = |file: &str, uid: u32, bridge: &str| {
            let uid = Id::new(uid).unwrap();
            let mut search = Search::new(uid, &names, bridge);
            search.look_at(1, file.as_bytes());
            let quotas = search.finish().quotas(uid, |_| Id::new(7));
            quotas.iter().map(|quota| (quota.owner.key(), quota.limit, quota.per_user)).collect::<Vec<_>>()
        };
        let everybody = "@all veth nsbr-%u 3";
        assert_eq!(found(everybody, 1000, "nsbr-1000"), [("g7".to_owned(), 3, true)]);
        for (uid, bridge) in [(1001, "nsbr-1000"), (1000, "nsbr-100"), (1000, "nsbr-%u"), (10, "nsbr-1000")] {
            assert_eq!(
                found("@all veth nsbr-%u 3", uid, bridge),
                if bridge == "nsbr-%u" { vec![("g7".to_owned(), 3, false)] } else { vec![] }
            );
        }
        assert_eq!(found("alice veth %ubr%u 3", 10, "10br10"), [("u10".to_owned(), 3, true)]);
        for other in ["alice veth %Ubr 3", "alice veth %dbr 3", "alice veth %%ubr 3"] {
            assert_eq!(found(other, 10, "10br"), [], "{other}");
        }
        let both = found("alice veth a10 3\nalice veth a%u 2", 10, "a10");
        assert_eq!(both, [("u10".to_owned(), 3, true)]);
        // Nor does it get lost where two names are one group.
        for (own, other) in [(1, 5), (5, 1), (5, 5)] {
            let both = found(&format!("@a veth a%u {own}\n@b veth a10 {other}"), 10, "a10");
            assert_eq!(both, [("g7".to_owned(), own.max(other), true)]);
        }
    }

    #[test]
    fn blanks_and_tabs_separate_and_what_follows_the_count_is_a_remark() {
        assert_eq!(quotas("alice \t veth\tbr0   5 # of the lab", &[]), [u(5, 1)]);
        assert_eq!(quotas("alice veth br0 5\t", &[]), [u(5, 1)]);
    }

    #[test]
    fn a_line_that_is_not_one_grants_nothing_and_harms_no_other() {
        for line in [
            "",
            " ",
            "#",
            "# alice veth br0 5",
            "#alice veth br0 5",
            " alice veth br0 5",
            "\talice veth br0 5",
            "alice veth br0",
            "alice veth br0 ",
            "alice br0 5",
            "alice veth br00 5",
            "alice veth br 5",
            "alice Veth br0 5",
            "alice phys br0 5",
            "Alice veth br0 5",
            "alicex veth br0 5",
            "ali veth br0 5",
            "alice veth br0 5x",
            "alice veth br0 5#",
            "alice veth br0 0",
            "alice veth br0 -1",
            "alice veth br0 +5",
            "alice veth br0 05",
            "alice veth br0 0x5",
            "alice veth br0 2147483648",
            "alice veth br0 4294967297",
            "alice veth br0 5\r",
            "alice veth br0 5 \0",
            "al\0ice veth br0 5",
            "alice\u{b}veth br0 5",
            "\u{feff}alice veth br0 5",
            "* veth br0 5",
            "@ veth br0 5",
            "@@a veth br0 5",
            "1000 veth br0 5",
            "@7 veth br0 5",
            "@alice veth br0 5",
            "a veth br0 5",
        ] {
            assert_eq!(quotas(line, &[("a", 7)]), [], "{line:?}");
            assert_eq!(
                quotas(&format!("{line}\nalice veth br0 6\n{line}\n"), &[("a", 7)]),
                [u(6, 2)],
                "{line:?}"
            );
        }
        assert_eq!(quotas("alice veth br0 2147483647", &[]), [u(2_147_483_647, 1)]);
    }
}
