//! The scale of the picture: all ids from 0 up, in order, not in proportion. What somebody holds is drawn by the logarithm of its
//! size, so that ten ids and a thousand million have room in one picture; what nobody holds is squeezed.

use common::policy::id::{Range, merged};

/// From ids to places.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Axis {
    /// An id, and how far it is from the left; lowest first.
    points: Vec<(u64, u64)>,
    /// What nobody holds.
    gaps: Vec<(u64, u64)>,
    length: u64,
}

impl Axis {
    /// A scale on which these begin and end at points of their own.
    #[must_use]
    pub fn of(held: &[Range]) -> Self {
        let mut bounds: Vec<u64> = vec![0];
        bounds.extend(held.iter().flat_map(|range| [u64::from(range.first().raw()), u64::from(range.end())]));
        bounds.sort_unstable();
        bounds.dedup();
        let taken = merged(held.to_vec());
        let is_held = |id: u64| {
            let after = taken.partition_point(|range| u64::from(range.first().raw()) <= id);
            let before = after.checked_sub(1).and_then(|place| taken.get(place));
            before.is_some_and(|range| id < u64::from(range.end()))
        };
        let (mut points, mut gaps, mut length) = (vec![(0, 0)], Vec::new(), 0_u64);
        for (from, to) in bounds.iter().zip(bounds.iter().skip(1)) {
            let size = weight(to.saturating_sub(*from));
            if is_held(*from) {
                length = length.saturating_add(size);
            } else {
                gaps.push((*from, *to));
                length = length.saturating_add(size.div_euclid(SQUEEZED).max(1));
            }
            points.push((*to, length));
        }
        Self { points, gaps, length }
    }

    /// Where an id begins, if the whole scale is so wide.
    #[must_use]
    pub fn place(&self, id: u64, width: u64) -> u64 {
        let after = self.points.partition_point(|(point, _)| *point <= id);
        let before = after.checked_sub(1).and_then(|place| self.points.get(place)).copied().unwrap_or((0, 0));
        let next = self.points.get(after).copied().unwrap_or((before.0.saturating_add(1), before.1));
        let part = u128::from(id.saturating_sub(before.0))
            .saturating_mul(next.1.saturating_sub(before.1).into())
            .checked_div(next.0.saturating_sub(before.0).into())
            .unwrap_or(0);
        let far = u128::from(before.1).saturating_add(part);
        let half = u128::from(self.length).div_euclid(2);
        let place = far.saturating_mul(width.into()).saturating_add(half).checked_div(self.length.into());
        place.and_then(|place| u64::try_from(place).ok()).unwrap_or(0).min(width)
    }

    /// The places of a range: the first, and the one after the last. There is always one.
    #[must_use]
    pub fn span(&self, range: Range, width: u64) -> (u64, u64) {
        let start = self.place(range.first().raw().into(), width).min(width.saturating_sub(1));
        let end = self.place(range.end().into(), width).max(start.saturating_add(1));
        (start, end)
    }

    /// What nobody holds, from one id up to before another one.
    #[must_use]
    pub fn gaps(&self) -> &[(u64, u64)] {
        &self.gaps
    }

    /// Where something begins or ends.
    pub fn bounds(&self) -> impl Iterator<Item = u64> {
        self.points.iter().map(|(id, _)| *id)
    }

    /// The first id that is beyond the scale.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.points.last().map_or(0, |(id, _)| *id)
    }
}

/// So much less room has what nobody holds.
const SQUEEZED: u64 = 6;

/// Sixteen times the logarithm of base 2, and 16, in whole numbers: between two powers it is a straight line.
fn weight(count: u64) -> u64 {
    let power = u64::from(count.checked_ilog2().unwrap_or(0));
    let sixteenths = u32::try_from(power).ok().and_then(|power| count.saturating_mul(16).checked_shr(power));
    power.saturating_mul(16).saturating_add(sixteenths.unwrap_or(16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::policy::id::Id;
    use proptest::prelude::*;

    fn range(first: u32, count: u32) -> Range {
        Range::new(Id::new(first).unwrap(), count).unwrap()
    }

    #[test]
    fn equal_neighbours_are_equally_wide_and_what_nobody_has_is_narrow() {
        let held = [range(100_000, 65536), range(165_536, 65536), range(4_000_000, 65536)];
        let axis = Axis::of(&held);
        let spans: Vec<_> = held.iter().map(|range| axis.span(*range, 600)).collect();
        let widths: Vec<_> = spans.iter().map(|(start, end)| end - start).collect();
        assert_eq!((widths[0], widths[1], widths[2]), (widths[0], widths[0], widths[0]));
        assert_eq!((spans[0].1, spans[2].1), (spans[1].0, 600));
        assert!(spans[2].0 - spans[1].1 < widths[0] / 3, "{spans:?}");
        assert_eq!(axis.gaps(), [(0, 100_000), (231_072, 4_000_000)]);
    }

    #[test]
    fn the_whole_of_all_ids_fits() {
        let axis = Axis::of(&[range(0, u32::MAX), range(5, 1)]);
        assert_eq!((axis.place(0, 50), axis.place(u32::MAX.into(), 50)), (0, 50));
        assert_eq!(Axis::of(&[]).span(range(7, 7), 10), (0, 1));
    }

    proptest! {
        #[test]
        fn order_is_kept_and_nothing_is_off_the_scale(
            held in prop::collection::vec((0..u32::MAX - 1, 1_u32..1 << 20), 0..20), width in 1_u64..300,
        ) {
            let held: Vec<_> =
                held.into_iter().filter_map(|(first, count)| Range::new(Id::new(first)?, count)).collect();
            let axis = Axis::of(&held);
            let mut places: Vec<_> =
                held.iter().map(|range| (range.first().raw(), axis.span(*range, width))).collect();
            places.sort_unstable();
            for (_, (start, end)) in &places {
                prop_assert!(start < end && *end <= width);
            }
            prop_assert!(places.is_sorted_by_key(|(_, (start, _))| *start));
        }
    }
}
