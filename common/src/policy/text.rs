//! Bytes that somebody else chose, made fit for a message or a log line.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;

use memchr::memchr_iter;

use super::id::decimal;
use crate::os::places_of;

/// Shows bytes with everything but printable ASCII escaped (`\n`, `\x1b`), and cut after 64: a name must not move
/// the reader's cursor, forge a second log line, or fill the screen.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

const LONGEST: usize = 64;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(LONGEST).flat_map(|byte| std::ascii::escape_default(*byte)) {
            f.write_char(char::from(byte))?;
        }
        if self.0.len() > LONGEST { f.write_str("...") } else { Ok(()) }
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

/// Shows to `see` where the lines of a text end: at each newline, and at the end of the text if there is none. For short lines,
/// of which there may be a million.
#[inline]
pub(crate) fn for_line_ends(text: &[u8], mut see: impl FnMut(usize)) {
    let parts = text.chunks_exact(PART);
    let mut last = [0; PART];
    let open = text.last().is_some_and(|last| *last != b'\n');
    // What is left, and the newline that a last line may lack.
    let rest = parts.remainder().iter().chain(open.then_some(&b'\n'));
    last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
    let mut here = 0_usize;
    for part in parts.filter_map(|part| part.first_chunk()).chain(std::iter::once(&last)) {
        let mut newlines = places_of(b'\n', part);
        while newlines != 0 {
            see(here.wrapping_add(usize::try_from(newlines.trailing_zeros()).unwrap_or(0)));
            newlines &= newlines.wrapping_sub(1);
        }
        here = here.wrapping_add(PART);
    }
}

const PART: usize = 32;

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
    use proptest::prelude::*;

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
        fn lines_end_where_their_newlines_are(text in "[a\n]{0,200}") {
            let text = text.as_bytes();
            let mut ends: Vec<_> = (0..text.len()).filter(|place| text[*place] == b'\n').collect();
            if text.last().is_some_and(|last| *last != b'\n') {
                ends.push(text.len());
            }
            let mut seen = Vec::new();
            for_line_ends(text, |end| seen.push(end));
            prop_assert_eq!(seen, ends);
        }

        #[test]
        fn places_are_those_of_the_byte(bytes: [u8; 32], byte in 0_usize..32) {
            let byte = bytes[byte];
            let is_it = |place: &u32| bytes[usize::try_from(*place).unwrap()] == byte;
            prop_assert_eq!(places_of(byte, &bytes), (0..32).filter(is_it).map(|place| 1 << place).sum::<u32>());
        }
    }

    #[test]
    fn a_last_line_needs_no_newline() {
        assert_eq!(lines(b"a\nb").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(lines(b"a\nb\n").collect::<Vec<_>>(), [b"a", b"b"]);
    }
}
