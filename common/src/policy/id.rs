//! User and group ids, and runs of them, in which an illegal value cannot be written down.
//!
//! An [`Id`] is never `(uid_t)-1`; a [`Range`] is never empty and never wraps. Everything later relies on that, so
//! there is exactly one way in: [`decimal`], then [`Range::new`].

use std::fmt;

/// A user or group id: 0 to 4294967294. 4294967295 is `(uid_t)-1`, which the kernel uses for "no id".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Id(u32);

impl Id {
    /// The id with this number, unless it is `(uid_t)-1`.
    #[must_use]
    pub const fn new(raw: u32) -> Option<Self> {
        if raw == u32::MAX { None } else { Some(Self(raw)) }
    }

    /// The number.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The next id up, if there is one.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(raw) => Self::new(raw),
            None => None,
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A run of ids, first to last, both included: never empty, never past 4294967294.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Range {
    first: Id,
    last: Id,
}

impl Range {
    /// `count` ids from `first` up. None if that is none at all, or goes past the last id there is.
    #[must_use]
    pub fn new(first: Id, count: u32) -> Option<Self> {
        let last = first.0.checked_add(count.checked_sub(1)?)?;
        Some(Self { first, last: Id::new(last)? })
    }

    /// The ids from `first` to `last`, both included. None if `last` is below `first`.
    #[must_use]
    pub fn between(first: Id, last: Id) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The lowest id.
    #[must_use]
    pub const fn first(self) -> Id {
        self.first
    }

    /// The highest id.
    #[must_use]
    pub const fn last(self) -> Id {
        self.last
    }

    /// How many ids: 1 to 4294967295.
    #[must_use]
    pub fn count(self) -> u32 {
        self.last.0.saturating_sub(self.first.0).saturating_add(1)
    }

    /// The number after the last id, as half-open notation wants it: at most 4294967295, so it may be no id.
    #[must_use]
    pub fn end(self) -> u32 {
        self.last.0.saturating_add(1)
    }

    /// Is this id one of the run?
    #[must_use]
    pub fn contains(self, id: Id) -> bool {
        self.first <= id && id <= self.last
    }

    /// The ids in both runs.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::between(self.first.max(other.first), self.last.min(other.last))
    }
}

/// The same ids in as few ranges as can be, lowest first.
#[must_use]
pub fn merged(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(before) if range.first.0 <= before.end() => before.last = before.last.max(range.last),
            _ => merged.push(range),
        }
    }
    merged
}

/// `100000-165535`, or `1000` for a single id.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// Why a text is not a number between 0 and 4294967295.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotDecimal {
    /// Empty, or has something that is no digit, or a zero in front: octal to C, decimal to others.
    Malformed,
    /// Below 0 or above 4294967295.
    OutOfRange,
}

/// Reads a number written as the digits 0 to 9 and nothing else: no sign, blank, hex, or leading zero.
///
/// The C helpers read base 0 (`010` is 8); other readers of `/etc/subuid` read base 10. A number that two programs
/// read differently is no number here.
///
/// # Errors
/// [`NotDecimal`] says whether it was no number or one too large.
pub fn decimal(text: &[u8]) -> Result<u32, NotDecimal> {
    match text {
        [] => return Err(NotDecimal::Malformed),
        [b'0', _, ..] => return Err(NotDecimal::Malformed),
        [b'-', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            return Err(NotDecimal::OutOfRange);
        }
        _ if !text.iter().all(u8::is_ascii_digit) => return Err(NotDecimal::Malformed),
        _ => {}
    }
    text.iter()
        .try_fold(0_u32, |number, digit| {
            number.checked_mul(10)?.checked_add(u32::from(digit.wrapping_sub(b'0')))
        })
        .ok_or(NotDecimal::OutOfRange)
}

/// Writes a number as [`decimal`] reads it, at the end of a text: the standard library's way is made for more than that, and a map may
/// have a thousand of them.
pub(super) fn push_decimal(text: &mut String, number: u32) {
    // From the last digit to the first.
    let mut digits = [b'0'; 10];
    let (mut rest, mut first) = (number, digits.len());
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = u8::try_from(rest % 10).unwrap_or(0).saturating_add(b'0');
        (rest, first) = (rest / 10, place);
        if rest == 0 {
            break;
        }
    }
    text.extend(digits.iter().skip(first).map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_decimal_is_a_number() {
        for text in [
            "", " 5", "5 ", "+5", "010", "0x10", "0b1", "0o7", "1e3", "1_000", "5\n", "٣", "1２3", "00",
            "--5", "-",
        ] {
            assert_eq!(decimal(text.as_bytes()), Err(NotDecimal::Malformed), "{text:?}");
        }
        assert_eq!(decimal(b"0"), Ok(0));
        assert_eq!(decimal(b"4294967295"), Ok(u32::MAX));
    }

    #[test]
    fn a_number_too_large_or_negative_is_out_of_range_whatever_its_length() {
        let forty = "9".repeat(40);
        for text in [
            "4294967296",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "-1",
            "-0",
            &forty,
        ] {
            assert_eq!(decimal(text.as_bytes()), Err(NotDecimal::OutOfRange), "{text:?}");
        }
    }

    #[test]
    fn minus_one_is_no_id_and_no_range_reaches_it() {
        assert_eq!(Id::new(u32::MAX), None);
        let last = Id::new(u32::MAX - 1).unwrap();
        assert_eq!(Range::new(last, 1).unwrap().last(), last);
        assert_eq!(Range::new(last, 2), None);
        assert_eq!(last.next(), None);
        let all = Range::new(Id::new(0).unwrap(), u32::MAX).unwrap();
        assert_eq!((all.last(), all.count(), all.end()), (last, u32::MAX, u32::MAX));
    }

    #[test]
    fn an_empty_range_is_no_range() {
        assert_eq!(Range::new(Id::new(5).unwrap(), 0), None);
    }

    proptest! {
        #[test]
        fn a_range_is_what_64_bit_arithmetic_says(first: u32, count: u32) {
            let end = u64::from(first) + u64::from(count);
            let legal = first != u32::MAX && count != 0 && end <= u64::from(u32::MAX);
            let range = Id::new(first).and_then(|first| Range::new(first, count));
            prop_assert_eq!(range.is_some(), legal);
            if let Some(range) = range {
                prop_assert_eq!(range.count(), count);
                prop_assert_eq!(u64::from(range.end()), end);
            }
        }

        #[test]
        fn decimal_reads_back_what_was_written(number: u32) {
            prop_assert_eq!(decimal(number.to_string().as_bytes()), Ok(number));
            for number in [number, number % 1000, 0, u32::MAX] {
                let mut text = "x".to_owned();
                push_decimal(&mut text, number);
                prop_assert_eq!(text, format!("x{number}"));
            }
        }

        #[test]
        fn decimal_agrees_with_the_standard_library(text in "[-+ 0-9a-fx]{0,12}") {
            let canonical = text.parse::<u32>().ok().filter(|number| number.to_string() == text);
            prop_assert_eq!(decimal(text.as_bytes()).ok(), canonical);
        }
    }
}
