//! Bytes that somebody else chose, made fit for a message or a log line.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;

use memchr::{memchr, memchr_iter};

use super::id::decimal;

/// Shows bytes with everything but printable ASCII escaped (`\n`, `\x1b`), and cut after 64: a name must not move
/// the reader's cursor, forge a second log line, or fill the screen.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

const LONGEST: usize = 64;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = self.0.split_at(self.0.len().min(LONGEST));
        match std::str::from_utf8(shown) {
            // Most are: whole, and at once.
            Ok(plain) if shown.iter().all(u8::is_ascii_alphanumeric) => f.write_str(plain)?,
            _ => {
                for byte in shown.iter().flat_map(|byte| std::ascii::escape_default(*byte)) {
                    f.write_char(char::from(byte))?;
                }
            }
        }
        if rest.is_empty() { Ok(()) } else { f.write_str("...") }
    }
}

/// Is it a name that may stand in a command which somebody copies into a shell? One that `usermod` takes, that is no option, and that
/// no shell makes anything of.
#[must_use]
pub fn is_tame(name: &[u8]) -> bool {
    let tame = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.iter().all(tame) && !name.starts_with(b"-")
}

/// Of an account: `useradd(8)`.
const LONGEST_NAME: usize = 32;

/// Words of a command line, as they came, for the log; what is no number in quotes, so that it cannot be taken for our
/// own words. At most [`LONGEST_WORDS`] bytes, so that what follows has room in the record.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(pub &'a [&'a OsStr]);

const LONGEST_WORDS: usize = 700;

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        for word in self.0.iter().map(|word| word.as_bytes()) {
            let blank = if line.is_empty() { "" } else { " " };
            let quotes = if decimal(word).is_ok() { "" } else { "\"" };
            let next = format!("{blank}{quotes}{}{quotes}", Quoted(word));
            if line.len().saturating_add(next.len()) > LONGEST_WORDS {
                line.push_str(" ...");
                break;
            }
            line.push_str(&next);
        }
        f.write_str(&line)
    }
}

/// How many newlines there are in a text. The compiler makes of it what the processor does for sixteen bytes at once; memchr's
/// count, without a newer processor's instructions, takes five times as long.
#[must_use]
pub fn newlines(text: &[u8]) -> usize {
    // Of so few bytes the number of newlines fits in one. It is a multiple of what is looked at together.
    const PART: usize = 224;
    let in_part =
        |part: &[u8]| part.iter().fold(0_u8, |number, byte| number.wrapping_add(u8::from(*byte == b'\n')));
    text.chunks(PART).map(in_part).fold(0, |sum, number| sum.saturating_add(number.into()))
}

/// So much of a text is looked at together.
pub(crate) const PART: usize = 64;

/// What a line begins with that may be somebody's: most lines of a policy file begin with something else.
#[derive(Default, Debug)]
pub(crate) struct FirstBytes {
    /// In pairs: nearly always there is one.
    pair: [u8; 2],
    more: Vec<[u8; 2]>,
}

impl FirstBytes {
    /// One of these, of which there is at least one.
    pub(crate) fn of(bytes: impl Iterator<Item = u8>) -> Self {
        let mut bytes: Vec<u8> = bytes.collect();
        bytes.sort_unstable();
        bytes.dedup();
        let mut pairs = bytes.chunks(2).filter_map(|pair| Some([*pair.first()?, *pair.last()?]));
        Self { pair: pairs.next().unwrap_or_default(), more: pairs.collect() }
    }
}

/// Shows to `see` the lines of a text that are wanted, without their newlines, each with its number. A line that is wanted begins with
/// one of these bytes; `is_wanted` sees it and all that follows. Other people's lines, of which there may be a million, cost a look
/// at 64 bytes at once.
pub(crate) fn lines_that_begin<'a>(
    first_line: u32,
    text: &'a [u8],
    with: &FirstBytes,
    is_wanted: impl Fn(&[u8]) -> bool,
    mut see: impl FnMut(u32, &'a [u8]),
) {
    let (mut number, mut counted) = (first_line, 0_usize);
    let mut look_at = |start: usize| {
        let rest = text.get(start..).unwrap_or_default();
        if is_wanted(rest) {
            let passed = newlines(text.get(counted..start).unwrap_or_default());
            number = number.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
            counted = start;
            see(number, rest.get(..memchr(b'\n', rest).unwrap_or(rest.len())).unwrap_or_default());
        }
    };
    look_at(0);
    let mut look_behind = |here: usize, newlines: &[u8]| {
        for newline in memchr_iter(b'\n', newlines) {
            look_at(here.saturating_add(newline).saturating_add(1));
        }
    };
    let (pair, mut here) = (with.pair, 0_usize);
    while let Some((part, behind)) = part_at(text, here) {
        let begins = |with| a_line_begins(part, behind, with);
        if begins(pair) || with.more.iter().copied().any(begins) {
            look_behind(here, part);
        }
        here = here.wrapping_add(PART);
    }
    look_behind(here, text.get(here..).unwrap_or_default());
}

/// A part of a text, and as much of it from one byte later on. None: there is not so much.
#[inline]
fn part_at(text: &[u8], here: usize) -> Option<(&[u8; PART], &[u8; PART])> {
    Some((text.get(here..)?.first_chunk()?, text.get(here.checked_add(1)?..)?.first_chunk()?))
}

/// Does a line begin in this part of a text with one of two bytes? `behind` is as much of the text, from one byte later on. As with
/// [`newlines`], the compiler makes something quick of it.
#[inline]
fn a_line_begins(part: &[u8; PART], behind: &[u8; PART], with: [u8; 2]) -> bool {
    let [one, other] = with;
    let pairs = part.iter().zip(behind);
    let any = pairs.fold(0, |any, (last, first)| {
        any | u8::from(*last == b'\n') & (u8::from(*first == one) | u8::from(*first == other))
    });
    any != 0
}

/// The lines of a text, without their newlines. A last line that has none counts.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let ends = memchr_iter(b'\n', text).chain(std::iter::once(text.len()));
    ends.scan(0_usize, |start, end| {
        let line = text.get(*start..end);
        *start = end.saturating_add(1);
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::places_of;
    use proptest::prelude::*;

    #[test]
    fn words_are_quoted_unless_they_are_numbers_and_stay_within_their_room() {
        let show = |words: &[&str]| Words(&words.iter().map(OsStr::new).collect::<Vec<_>>()).to_string();
        assert_eq!(show(&["17", "0", "al\nice", "", "017"]), "17 0 \"al\\nice\" \"\" \"017\"");
        assert_eq!(show(&[]), "");
        // A hundred words of 7 bytes and a blank, but for the first, are 799 bytes: 87 of them have room.
        let many = show(&["1000000"; 100]);
        assert_eq!(many, ["1000000"; 87].join(" ") + " ...");
        // To the last byte: 70 of 10 bytes, the first without a blank, and a longer first one.
        let full = [&["1000000000"][..], &["100000000"; 69]].concat();
        assert_eq!(show(&full).len(), LONGEST_WORDS);
        assert!(show(&[&full[..], &["1"]].concat()).ends_with("100000000 ..."));
    }

    #[test]
    fn a_name_of_64_bytes_is_shown_whole_and_a_longer_one_is_not() {
        assert_eq!(Quoted(&[b'x'; 64]).to_string(), "x".repeat(64));
        assert_eq!(Quoted(&[b'x'; 65]).to_string(), "x".repeat(64) + "...");
    }

    #[test]
    fn control_bytes_and_long_names_are_defused() {
        assert_eq!(Quoted(b"al\x1b[2J\nice\xff").to_string(), r"al\x1b[2J\nice\xff");
        assert_eq!(Quoted(&[b'x'; 1000]).to_string().len(), 67);
    }

    #[test]
    fn a_name_that_is_an_option_or_anything_to_a_shell_is_not_tame() {
        for tame in [&b"alice"[..], b"a.b_c-d", b"7", &[b'x'; 32]] {
            assert!(is_tame(tame), "{tame:?}");
        }
        for other in [&b""[..], b"-x", b"$(id)", b"a b", b"a;b", b"a\nb", b"DOM\\user", b"\xe9", &[b'x'; 33]]
        {
            assert!(!is_tame(other), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn lines_that_begin_with_a_byte_are_found_and_numbered(
            text in "[abc\n]{0,300}|[a-z]{0,9}(\n[a-z]{0,9}){0,60}\n?", one in "[abcz]", other in "[abcd]", third in "[abd]",
        ) {
            let [one, other, third] = [one, other, third].map(|byte| byte.as_bytes()[0]);
            for with in [vec![one, other], vec![one, other, third]] {
                let mut found = vec![];
                let begins = |line: &[u8]| line.first().is_some_and(|byte| with.contains(byte));
                let first_bytes = FirstBytes::of(with.iter().copied());
                lines_that_begin(7, text.as_bytes(), &first_bytes, begins, |number, line| found.push((number, line)));
                let expected: Vec<_> = (7..).zip(lines(text.as_bytes())).filter(|(_, line)| begins(line)).collect();
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn a_line_begins_where_a_newline_is_before_it(text in "[abc\n]{65}", one in "[abc]", other in "[abcd]") {
            let (one, other) = (one.as_bytes()[0], other.as_bytes()[0]);
            let expected = [one, other].iter().any(|first| text.contains(&format!("\n{}", char::from(*first))));
            let (part, behind) = (text.as_bytes().first_chunk().unwrap(), text.as_bytes().last_chunk().unwrap());
            prop_assert_eq!(a_line_begins(part, behind, [one, other]), expected);
        }

        #[test]
        fn newlines_are_counted_however_many_there_are(text in "[a\n]{0,700}", most: bool) {
            let text = if most { text.replace('a', "\n") } else { text };
            let text = text.as_bytes();
            prop_assert_eq!(newlines(text), text.iter().filter(|byte| **byte == b'\n').count());
        }

        #[test]
        fn places_are_those_of_the_byte(bytes: [[u8; 2]; 32], few: bool, byte in 0_usize..64) {
            let bytes = bytes.concat().into_iter().map(|byte| if few { byte % 4 } else { byte }).collect::<Vec<_>>();
            let byte = bytes[byte];
            let places = (0..).zip(&bytes).filter(|(_, it)| **it == byte).map(|(place, _)| 1 << place);
            prop_assert_eq!(places_of(byte, bytes.first_chunk().unwrap()), places.sum::<u64>());
        }
    }

    #[test]
    fn a_last_line_needs_no_newline() {
        assert_eq!(lines(b"a\nb").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(lines(b"a\nb\n").collect::<Vec<_>>(), [b"a", b"b"]);
    }
}
