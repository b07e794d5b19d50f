//! What the host's own policy (`[idmap]` of `/etc/nsgate.ini`) makes of a map that the policy files grant: the same, or a
//! refusal.
//!
//! A rule needs to know something of the host. What that is has to be found out before, for the rules that are in force
//! ([`Facts`]); a rule that is in force and whose fact is missing refuses.

use std::fmt::Display;

use super::id::{Id, Range};
use super::idmap::{Approved, Granted, Triple};
use super::settings::{Idmap, Set, in_force, limit};

/// What is known of something that a rule is about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Fact<T> {
    /// Nobody asked, or nobody could say. A rule that is in force refuses.
    #[default]
    Unknown,
    /// There is nothing of the kind.
    Nothing,
    /// There is this.
    Found(T),
}

/// By somebody who has looked.
impl<T> From<Option<T>> for Fact<T> {
    fn from(found: Option<T>) -> Self {
        found.map_or(Self::Nothing, Self::Found)
    }
}

impl<T> Fact<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Unknown => Fact::Unknown,
            Self::Nothing => Fact::Nothing,
            Self::Found(found) => Fact::Found(change(found)),
        }
    }
}

/// What was found out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// For `overlap`: the first line of another owner that has one of the host ids.
    pub other_owner: Fact<OtherOwner>,
    /// For `protect-accounts`: the first account or group that is one of the host ids.
    pub account: Fact<Account>,
    /// For `exclusive`: the first process in another user namespace that maps one of the host ids.
    pub live: Fact<Live>,
    /// For `require-limits`: what is not limited, and for whom.
    pub no_limit: Fact<String>,
    /// For `ulimits`: the same.
    pub no_ulimit: Fact<String>,
    /// Why something could not be found out.
    pub unknown: Option<String>,
}

impl Facts {
    /// What somebody has found; or it is kept why nobody could say.
    pub fn or_why_not<T>(&mut self, found: Result<Option<T>, impl Display>) -> Fact<T> {
        found.map_or_else(
            |error| {
                self.unknown = Some(error.to_string());
                Fact::Unknown
            },
            Fact::from,
        )
    }
}

/// A line of another owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherOwner {
    /// An id that is wanted, and that this line grants too.
    pub id: Id,
    /// Counted from 1. None: the caller may not know.
    pub line: Option<u32>,
}

/// An account or group of the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its number, which is wanted.
    pub id: Id,
    /// Its name.
    pub name: Vec<u8>,
}

/// A user namespace that is alive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Live {
    /// An id that is wanted, and that it maps.
    pub id: Id,
    /// A process in it.
    pub pid: i32,
}

/// A rule that is in the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forbidden {
    /// Which part of the request.
    pub triple: Option<Triple>,
    /// What the rule says to it.
    pub why: Why,
    /// The rule's key.
    pub key: &'static str,
    /// Its line in the file.
    pub line: u32,
}

/// What a rule says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// The policy file grants this id to somebody else too.
    OtherOwner(OtherOwner),
    /// This id is not for containers.
    Protected(Id),
    /// This id is somebody's on this host.
    Account(Account),
    /// So many ids; the limit is so many.
    TooMany(u64, u32),
    /// This id is in use.
    Live(Live),
    /// Something is not limited.
    NoLimit(String),
    /// What the rule is about is not known, and why.
    Unknown(Option<String>),
}

/// The host ids of a request for which the rules hold: all but the caller's own id by itself, which he is anyhow.
#[must_use]
pub fn wanted(own: Id, triples: &[Triple]) -> Vec<Range> {
    let not_own = |host: &Range| !(host.first() == own && host.count() == 1);
    super::id::merged(triples.iter().map(Triple::host).filter(not_own).collect())
}

/// The lowest id of a range that is wanted.
#[must_use]
pub fn first_wanted(wanted: &[Range], range: Range) -> Option<Id> {
    wanted.iter().find_map(|wanted| wanted.intersection(range)).map(Range::first)
}

/// The whole of the host's rules.
///
/// # Errors
/// The first rule that is in the way.
pub fn allow(own: Id, granted: Granted, rules: &Idmap, facts: &Facts) -> Result<Approved, Forbidden> {
    let triples = granted.triples();
    let wanted = wanted(own, triples);
    let about = |id: Id| triples.iter().find(|triple| triple.host().contains(id)).copied();

    if let Some(Set { value: protected, line }) = &rules.protect {
        if let Some(id) = protected.iter().find_map(|range| first_wanted(&wanted, *range)) {
            let (key, line) = ("protect", *line);
            return Err(Forbidden { triple: about(id), why: Why::Protected(id), key, line });
        }
    }
    if let Some(Set { value: most, line }) = limit(rules.max_ids) {
        let ids = triples.iter().map(|triple| u64::from(triple.host().count())).sum();
        if ids > u64::from(most) {
            return Err(Forbidden { triple: None, why: Why::TooMany(ids, most), key: "max-ids", line });
        }
    }
    // What a fact says against the request, and the id it is about.
    let other_owner = facts.other_owner.clone().map(|it| (Some(it.id), Why::OtherOwner(it)));
    let account = facts.account.clone().map(|it| (Some(it.id), Why::Account(it)));
    let live = facts.live.clone().map(|it| (Some(it.id), Why::Live(it)));
    let no_limit = facts.no_limit.clone().map(|it| (None, Why::NoLimit(it)));
    let no_ulimit = facts.no_ulimit.clone().map(|it| (None, Why::NoLimit(it)));
    let lines = [
        ("overlap", in_force(rules.refuse_overlap), other_owner),
        ("protect-accounts", in_force(rules.protect_accounts), account),
        ("exclusive", in_force(rules.exclusive), live),
        ("require-limits", asks_for_any(rules.require_limits.as_ref()), no_limit),
        ("ulimits", asks_for_any(rules.ulimits.as_ref()), no_ulimit),
    ];
    for (key, line, fact) in lines {
        let Some(line) = line else { continue };
        let (id, why) = match fact {
            Fact::Nothing => continue,
            Fact::Found((id, why)) => (id, why),
            Fact::Unknown => (None, Why::Unknown(facts.unknown.clone())),
        };
        return Err(Forbidden { triple: id.and_then(about), why, key, line });
    }
    let strict = in_force(rules.strict_setgroups).is_some();
    Ok(Approved::allowed(granted, strict))
}

/// Is there a rule in force that wants something limited?
#[must_use]
pub fn asks_for_limits(rules: &Idmap) -> bool {
    asks_for_any(rules.require_limits.as_ref()).or(asks_for_any(rules.ulimits.as_ref())).is_some()
}

/// The line of a list that has something in it.
#[must_use]
pub fn asks_for_any<T>(rule: Option<&Set<Vec<T>>>) -> Option<u32> {
    rule.filter(|rule| !rule.value.is_empty()).map(|rule| rule.line)
}

#[cfg(test)]
mod tests {
    use super::super::idmap::decide;
    use super::super::settings::Settings;
    use super::super::subid::{Grant, Grants};
    use super::*;
    use proptest::prelude::*;

    fn id(raw: u32) -> Id {
        Id::new(raw).unwrap()
    }

    fn triples(asked: &[(u32, u32)]) -> Vec<Triple> {
        let mut inside = 0;
        let mut triple = |(host, count): &(u32, u32)| {
            let words = [inside, *host, *count].map(|number| number.to_string());
            inside += count;
            Triple::parse(words.each_ref().map(|word| word.as_bytes())).unwrap()
        };
        asked.iter().map(&mut triple).collect()
    }

    /// Of uid 1000, who holds 100 to 199.
    fn granted(asked: &[(u32, u32)]) -> Granted {
        let grants = Grants::new(vec![Grant { range: Range::new(id(100), 100).unwrap(), line: 1 }]);
        decide(id(1000), triples(asked), &grants).unwrap()
    }

    fn rules(text: &str) -> Idmap {
        Settings::parse(format!("[idmap]\n{text}").as_bytes()).unwrap().idmap
    }

    fn refused(asked: &[(u32, u32)], text: &str, facts: &Facts) -> Option<(&'static str, u32, Why)> {
        let refused = allow(id(1000), granted(asked), &rules(text), facts).err()?;
        Some((refused.key, refused.line, refused.why))
    }

    #[test]
    fn without_rules_everything_is_as_it_was() {
        for text in
            ["", "overlap = allow\nprotect =\nmax-ids = 0\nexclusive = no\nrequire-limits =\nulimits ="]
        {
            let facts = Facts { no_limit: Fact::Found(String::new()), ..Facts::default() };
            assert_eq!(refused(&[(100, 100), (1000, 1)], text, &facts), None);
        }
    }

    #[test]
    fn a_protected_id_is_mapped_for_nobody_but_the_caller_by_himself() {
        let facts = Facts::default();
        assert_eq!(
            refused(&[(100, 9), (150, 9)], "\nprotect = 0, 155", &facts),
            Some(("protect", 3, Why::Protected(id(155))))
        );
        assert_eq!(refused(&[(100, 50), (1000, 1)], "protect = 0, 155, 1000", &facts), None);
        // A single id of the grant is not his own for being single; nor is his own, in a longer range.
        let protected = |id: Id| Some(("protect", 2, Why::Protected(id)));
        assert_eq!(refused(&[(155, 1)], "protect = 155", &facts), protected(id(155)));
        assert_eq!(
            wanted(id(1000), &triples(&[(1000, 2), (155, 1), (1000, 1)])),
            [Range::new(id(155), 1).unwrap(), Range::new(id(1000), 2).unwrap()]
        );
    }

    #[test]
    fn all_ids_of_a_map_count_together() {
        let facts = Facts::default();
        assert_eq!(refused(&[(100, 50), (1000, 1)], "max-ids = 51", &facts), None);
        let why = Why::TooMany(51, 50);
        assert_eq!(refused(&[(100, 50), (1000, 1)], "max-ids = 50", &facts), Some(("max-ids", 2, why)));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (key, text) in [
            ("overlap", "overlap = refuse"),
            ("protect-accounts", "protect-accounts = yes"),
            ("exclusive", "exclusive = yes"),
            ("require-limits", "require-limits = pids"),
            ("ulimits", "ulimits = nproc"),
        ] {
            assert_eq!(refused(&[(100, 1)], text, &Facts::default()), Some((key, 2, Why::Unknown(None))));
            let all_well = Facts {
                other_owner: Fact::Nothing,
                account: Fact::Nothing,
                live: Fact::Nothing,
                no_limit: Fact::Nothing,
                no_ulimit: Fact::Nothing,
                unknown: None,
            };
            assert_eq!(refused(&[(100, 1)], text, &all_well), None);
        }
    }

    #[test]
    fn strictly_one_own_id_is_enough_to_deny_setgroups() {
        let denies = |asked: &[(u32, u32)], text: &str| {
            let allowed = allow(id(1000), granted(asked), &rules(text), &Facts::default());
            allowed.unwrap().denies_setgroups()
        };
        for (asked, usual, strict) in [
            (&[(100, 1)][..], false, false),
            (&[(1000, 1)], true, true),
            (&[(100, 1), (1000, 1)], false, true),
        ] {
            assert_eq!(denies(asked, ""), usual);
            assert_eq!(denies(asked, "strict-setgroups = yes"), strict);
        }
    }

    proptest! {
        /// Whatever the rules and the facts are, they make no map that would not be made without.
        #[test]
        fn a_rule_only_ever_takes_away(
            asked in prop::collection::vec((100_u32..190, 1_u32..10), 1..4),
            text in prop::collection::vec(prop::sample::select(vec![
                "overlap = refuse", "protect = 120-130", "protect-accounts = yes", "max-ids = 20", "exclusive = yes",
                "strict-setgroups = yes", "ulimits = nproc", "require-limits = cpu",
            ]), 0..4),
            known: [bool; 5],
        ) {
            let text: std::collections::BTreeSet<_> = text.into_iter().collect();
            let rules = rules(&text.into_iter().collect::<Vec<_>>().join("\n"));
            let [a, b, c, d, e] = known;
            fn looked<T>(has: bool) -> Fact<T> {
                if has { Fact::Nothing } else { Fact::Unknown }
            }
            let facts = Facts {
                other_owner: looked(a),
                account: looked(b),
                live: looked(c),
                no_limit: looked(d),
                no_ulimit: looked(e),
                unknown: None,
            };
            let granted = granted(&asked);
            let usual = allow(id(1000), granted.clone(), &Idmap::default(), &Facts::default()).unwrap();
            if let Ok(allowed) = allow(id(1000), granted, &rules, &facts) {
                let parent = [Range::new(id(0), u32::MAX).unwrap()];
                prop_assert_eq!(allowed.for_parent(&parent), usual.for_parent(&parent));
                prop_assert!(allowed.denies_setgroups() || !usual.denies_setgroups());
            }
        }
    }
}
