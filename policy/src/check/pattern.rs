//! Names of bridges with `%u` in them: which names they can become, and whether two of them can become the same.

use std::collections::BTreeSet;

use common::policy::id::{Id, decimal};

/// A part of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Byte(u8),
    Uid,
}

/// A name with `%u` in it, or without.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(Vec<Part>);

/// No name is longer.
const LONGEST: usize = 15;

/// How far a name has got: before a part, or within the digits of one.
type State = (usize, bool);

impl Pattern {
    /// Reads the bridge column.
    #[must_use]
    pub fn of(mut name: &[u8]) -> Self {
        let mut parts = Vec::new();
        while let Some((first, rest)) = name.split_first() {
            (name, _) = match rest.split_first() {
                Some((b'u', behind)) if *first == b'%' => (behind, parts.push(Part::Uid)),
                _ => (rest, parts.push(Part::Byte(*first))),
            };
        }
        Self(parts)
    }

    /// Does it have `%u`?
    #[must_use]
    pub fn has_uid(&self) -> bool {
        self.0.contains(&Part::Uid)
    }

    /// The name with these digits in place of `%u`.
    #[must_use]
    pub fn with(&self, uid: &str) -> Vec<u8> {
        let mut name = Vec::new();
        for part in &self.0 {
            match part {
                Part::Byte(byte) => name.push(*byte),
                Part::Uid => name.extend_from_slice(uid.as_bytes()),
            }
        }
        name
    }

    /// Is this name it, for some uid?
    #[must_use]
    pub fn becomes(&self, name: &[u8]) -> bool {
        let at = |part| self.0.iter().position(|known| *known == part);
        let Some(first) = at(Part::Uid) else { return self.with("") == name };
        let Some(rest) = name.get(first..) else { return false };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count().min(10);
        // What follows may begin with digits too, so each length is tried.
        (1..=digits).filter_map(|length| rest.get(..length)).any(|digits| {
            let uid = decimal(digits).ok().and_then(Id::new);
            uid.is_some_and(|uid| self.with(&uid.to_string()) == name)
        })
    }

    /// Can the two become the same, for two uids? Where a name has `%u` more than once, it is taken as if each were a uid by
    /// itself.
    #[must_use]
    pub fn can_meet(&self, other: &Self) -> bool {
        let bytes = |pattern: &Self| {
            let byte = |part: &Part| match part {
                Part::Byte(byte) => Some(*byte),
                Part::Uid => None,
            };
            pattern.0.iter().filter_map(byte).collect::<BTreeSet<u8>>()
        };
        let alphabet: BTreeSet<u8> = bytes(self).into_iter().chain(bytes(other)).chain(b'0'..=b'9').collect();
        let mut reached = BTreeSet::from([((0, false), (0, false))]);
        for _ in 0..LONGEST {
            let mut next = BTreeSet::new();
            for (mine, its) in reached {
                for byte in &alphabet {
                    for mine in self.step(mine, *byte) {
                        next.extend(other.step(its, *byte).into_iter().map(|its| (mine, its)));
                    }
                }
            }
            if next.iter().any(|(mine, its)| self.is_end(*mine) && other.is_end(*its)) {
                return true;
            }
            reached = next;
        }
        false
    }

    fn step(&self, (place, within): State, byte: u8) -> Vec<State> {
        let mut states = Vec::new();
        let behind = place.saturating_add(1);
        let place = if within {
            if byte.is_ascii_digit() {
                states.push((place, true));
            }
            behind
        } else {
            place
        };
        let behind = place.saturating_add(1);
        match self.0.get(place) {
            Some(Part::Byte(known)) if *known == byte => states.push((behind, false)),
            Some(Part::Uid) if byte == b'0' => states.push((behind, false)),
            Some(Part::Uid) if byte.is_ascii_digit() => states.push((place, true)),
            _ => {}
        }
        states
    }

    fn is_end(&self, (place, within): State) -> bool {
        place.saturating_add(usize::from(within)) == self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meet(one: &str, other: &str) -> bool {
        let (one, other) = (Pattern::of(one.as_bytes()), Pattern::of(other.as_bytes()));
        assert_eq!(one.can_meet(&other), other.can_meet(&one));
        one.can_meet(&other)
    }

    #[test]
    fn names_that_can_be_the_same_for_two_uids_are_found() {
        for (one, other) in [
            ("br%u", "br1%u"),
            ("br%u", "br%u0"),
            ("br%u", "br1000"),
            ("b%ux", "b1%u2x"),
            ("%u", "7"),
            ("a1%u", "a%u3"),
        ] {
            assert!(meet(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("br%u", "br0%u"),
            ("br%u", "br01"),
            ("nsbr-%u", "lxcbr0"),
            ("a%u", "b%u"),
            ("a%ux", "a%uy"),
            ("br%u", "br"),
            ("a-%u", "a%u"),
            ("averylongname%u", "averylongname1234"),
        ] {
            assert!(!meet(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_name_becomes_what_the_helper_makes_of_it() {
        let becomes = |pattern: &str, name: &str| Pattern::of(pattern.as_bytes()).becomes(name.as_bytes());
        assert!(becomes("nsbr-%u", "nsbr-1000") && becomes("a%u0", "a10") && becomes("a%u-%u", "a7-7"));
        assert!(
            !becomes("nsbr-%u", "nsbr-01000") && !becomes("nsbr-%u", "nsbr-") && !becomes("a%u-%u", "a7-8")
        );
        assert!(!becomes("a%u", "a4294967295") && becomes("a%u", "a4294967294") && becomes("br0", "br0"));
    }

    proptest! {
        #[test]
        fn two_names_meet_if_two_uids_make_them_one(
            one in "[a1]{0,2}%u[a1]{0,2}", other in "[a1]{0,2}(%u)?[a1]{0,2}", uid in 0..2000_u32, v in 0..2000_u32
        ) {
            let (one, other) = (Pattern::of(one.as_bytes()), Pattern::of(other.as_bytes()));
            let name = other.with(&v.to_string());
            if !name.is_empty() && one.with(&uid.to_string()) == name {
                prop_assert!(one.can_meet(&other));
            }
            prop_assert!(one.becomes(&one.with(&uid.to_string())));
        }
    }
}
