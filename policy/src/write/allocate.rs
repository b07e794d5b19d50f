//! Which ids are free: the first run that is long enough, and what stands in the way of the ones below it.

use common::policy::id::{Id, Range};

/// Ids that are somebody's, and whose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken<By> {
    /// The ids.
    pub range: Range,
    /// Whose.
    pub by: By,
}

/// What a search came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome<'a, By> {
    /// The first free run. None: there is no room.
    pub range: Option<Range>,
    /// What was in the way, lowest first.
    pub skipped: Vec<&'a Taken<By>>,
}

/// The lowest `count` ids of the window that nobody has. `taken` has to be in order of its first ids.
#[must_use]
pub fn first_fit<By>(window: Range, count: u32, taken: &[Taken<By>]) -> Outcome<'_, By> {
    let mut skipped = Vec::new();
    let mut first = window.first();
    let fits = |first: Id| Range::new(first, count).filter(|range| range.last() <= window.last());
    for other in taken.iter().filter(|other| other.range.last() >= window.first()) {
        let Some(range) = fits(first) else { break };
        if other.range.first() > range.last() {
            // So are all that follow.
            break;
        }
        if other.range.last() < first {
            continue;
        }
        skipped.push(other);
        match other.range.last().next() {
            Some(next) => first = next,
            None => return Outcome { range: None, skipped },
        }
    }
    Outcome { range: fits(first), skipped }
}

/// All that have an id of this range.
pub fn in_the_way<By>(range: Range, taken: &[Taken<By>]) -> Vec<&Taken<By>> {
    taken.iter().filter(|other| other.range.intersection(range).is_some()).collect()
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "the numbers of a test are small")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(first: u32, last: u32) -> Range {
        Range::between(Id::new(first).unwrap(), Id::new(last).unwrap()).unwrap()
    }

    fn taken(ranges: &[(u32, u32)]) -> Vec<Taken<()>> {
        let mut taken: Vec<_> = ranges.iter().map(|(a, b)| Taken { range: range(*a, *b), by: () }).collect();
        taken.sort_by_key(|taken| taken.range);
        taken
    }

    /// M06: shadow's search wraps there.
    #[test]
    fn at_the_end_of_all_ids_there_is_no_room_and_nothing_wraps() {
        let window = range(4_294_900_000, 4_294_967_294);
        assert_eq!(first_fit(window, 65_536, &taken(&[])).range, Some(range(4_294_900_000, 4_294_965_535)));
        assert_eq!(
            first_fit(window, 65_536, &taken(&[(4_294_900_000, 4_294_901_758)])).range.unwrap().last().raw(),
            u32::MAX - 1
        );
        assert_eq!(first_fit(window, 65_536, &taken(&[(4_294_900_000, 4_294_901_759)])).range, None);
        assert_eq!(first_fit(window, 65_536, &taken(&[(4_294_900_001, 4_294_967_294)])).range, None);
        assert_eq!(first_fit(window, u32::MAX, &taken(&[])).range, None);
        assert_eq!(
            first_fit(range(0, u32::MAX - 1), u32::MAX, &taken(&[])).range,
            Some(range(0, u32::MAX - 1))
        );
        assert_eq!(first_fit(range(9, 9), 1, &taken(&[(0, u32::MAX - 1)])).range, None);
    }

    proptest! {
        #[test]
        fn it_is_the_lowest_that_meets_nobody(
            ranges in proptest::collection::vec((0_u32..100, 1_u32..20), 0..8), from in 0_u32..50, size in 1_u32..80, count in 1_u32..30,
        ) {
            let ranges: Vec<_> = ranges.iter().map(|(first, count)| (*first, first + count)).collect();
            let (taken, window) = (taken(&ranges), range(from, from + size));
            let free = |first: u32| {
                (first..first + count).all(|id| !ranges.iter().any(|(a, b)| (*a..=*b).contains(&id)))
            };
            let model = (from..).take_while(|first| first + count - 1 <= from + size).find(|first| free(*first));
            let outcome = first_fit(window, count, &taken);
            prop_assert_eq!(outcome.range, model.map(|first| range(first, first + count - 1)));
            if let Some(found) = outcome.range {
                prop_assert!(in_the_way(found, &taken).is_empty());
                prop_assert!(outcome.skipped.iter().all(|other| other.range.first() < found.first()));
            }
        }
    }
}
