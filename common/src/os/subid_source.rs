//! Asks sources of subordinate ids other than the files: plugins by the interface of shadow's `libsubid_NAME.so`.
//!
//! A plugin is code of root's, but not of ours. So it never gets into the helper's own process: the dynamic twin makes a child
//! without power (`powerless.rs`), which loads the plugin and asks it. All that comes back is a few bytes of fixed size. What is
//! odd about them, and what does not come in time, is no answer.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::Write;

use nix::errno::Errno;

use super::account::{Files, Services};
use super::powerless::{Instead, hear_child, hear_so_much};
use super::sys::{SubidLister, SubidPlugin};
use super::trusted;
use crate::policy::id::{Id, Range};
use crate::policy::idmap::Kind;
use crate::policy::subid_source::{Answer, SourceName};
use crate::policy::text::Quoted;

/// What a source is asked.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    /// Which ids.
    pub kind: Kind,
    /// The caller's name.
    pub owner: &'a [u8],
    /// May he have all of this one? And of that one?
    pub ranges: &'a [Range],
    /// The command line after the program's name, should it have to be handed over.
    pub args: &'a [&'a OsStr],
}

/// How a program asks.
pub trait Plugins {
    /// An answer for each range.
    ///
    /// # Errors
    /// There is none. This is what the source did instead, as a part of a sentence.
    fn ask(&self, source: &SourceName, inquiry: &Inquiry<'_>) -> Result<Vec<Answer>, String>;
}

impl Plugins for Files {
    /// The process becomes the twin, and this does not return.
    fn ask(&self, _: &SourceName, inquiry: &Inquiry<'_>) -> Result<Vec<Answer>, String> {
        let errno = self.become_twin(inquiry.args);
        let twin = Quoted(self.twin.to_bytes());
        Err(format!("cannot be asked: {twin}, which would ask it, cannot be run: {}", errno.desc()))
    }
}

impl Plugins for Services {
    /// Not for longer than name services are given.
    fn ask(&self, source: &SourceName, inquiry: &Inquiry<'_>) -> Result<Vec<Answer>, String> {
        let library = find(source)?;
        let owner = CString::new(inquiry.owner).map_err(|_| cannot(Errno::EINVAL))?;
        let records = inquiry.ranges.len().saturating_mul(size_of::<Record>());
        let head = LONGEST_REASON.saturating_add(1);
        let expected = (LOADED, head.saturating_add(records), head);
        hear_so_much(expected, |forgone, pipe| answer(forgone, pipe, &library, &owner, inquiry))
            .map_err(in_words)
            .and_then(|bytes| understand(&bytes, inquiry.ranges))
    }
}

fn cannot(errno: Errno) -> String {
    format!("cannot be asked: {}", errno.desc())
}

fn in_words(instead: Instead) -> String {
    match instead {
        Instead::Cannot(errno) => cannot(errno),
        Instead::Did(what) => what,
    }
}

/// As many ranges of one owner's as are heard of.
const MOST_RANGES: usize = 4096;

/// All ranges that a source grants to an owner. For a program that has no privilege; the child gives up what its caller has,
/// all the same.
///
/// For `getsubids` alone; here, since it takes `unsafe` to load a plugin, which is found and kept apart in the same way as for the
/// helpers.
///
/// # Errors
/// There is no answer. This is what the source did instead, as a part of a sentence.
pub fn list(source: &SourceName, kind: Kind, owner: &[u8]) -> Result<Vec<Range>, String> {
    let library = find(source)?;
    let owner = CString::new(owner).map_err(|_| cannot(Errno::EINVAL))?;
    let most = MOST_RANGES.saturating_mul(16).saturating_add(LONGEST_REASON);
    hear_child(most, |forgone, pipe| enumerate(forgone, pipe, &library, &owner, kind))
        .map_err(in_words)
        .and_then(|bytes| understand_list(&bytes))
}

/// The child's part: a letter, the status, and the ranges; or another letter, and why there are none.
fn enumerate(
    forgone: nix::Result<()>,
    mut pipe: File,
    library: &CStr,
    owner: &CStr,
    kind: Kind,
) -> std::io::Result<()> {
    let lister = match forgone {
        Ok(()) => SubidLister::load(library),
        Err(errno) => Err(errno.desc().as_bytes().to_vec()),
    };
    let mut text = match lister {
        Ok(lister) => {
            let (status, ranges) = lister.ranges(owner, kind, MOST_RANGES);
            let mut text = vec![LOADED, u8::try_from(status).unwrap_or(u8::MAX)];
            text.extend(
                ranges.iter().flat_map(|(first, count)| [first.to_le_bytes(), count.to_le_bytes()]).flatten(),
            );
            text
        }
        Err(reason) => [&[NOT_LOADED], reason.get(..LONGEST_REASON).unwrap_or(&reason)].concat(),
    };
    // It is whole only with its end.
    text.push(WHOLE);
    pipe.write_all(&text)
}

/// What ends a list.
const WHOLE: u8 = b'.';

/// The ranges, as far as they are any.
fn understand_list(heard: &[u8]) -> Result<Vec<Range>, String> {
    let nonsense = || "answered something else than was asked".to_owned();
    let heard = heard.strip_suffix(&[WHOLE]).ok_or_else(nonsense)?;
    match heard.split_first() {
        Some((&LOADED, rest)) => {
            let (status, ranges) = rest.split_first().ok_or_else(nonsense)?;
            match Answer::of(i32::from(*status), true) {
                Answer::Yes => {}
                Answer::No => return Ok(Vec::new()),
                Answer::Trouble(trouble) => return Err(format!("answered: {trouble}")),
            }
            let numbers = ranges.chunks(8).map(|bytes| bytes.try_into().map(u64::from_le_bytes));
            let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().map_err(|_| nonsense())?;
            let range = |pair: &[u64]| {
                let [first, count] = *pair else { return None };
                Range::new(Id::new(u32::try_from(first).ok()?)?, u32::try_from(count).ok()?)
            };
            Ok(numbers.chunks(2).filter_map(range).collect())
        }
        Some((&NOT_LOADED, reason)) => {
            let parts = reason.chunks(QUOTABLE).map(|part| Quoted(part).to_string());
            Err(format!("cannot be loaded: {}", parts.collect::<String>()))
        }
        _ => Err(nonsense()),
    }
}

/// The plugin's file: by absolute path, in the directories where a C library looks, the first that has it. It and the
/// way to it must be root's alone.
fn find(source: &SourceName) -> Result<CString, String> {
    let architecture = std::env::consts::ARCH;
    let directories = [&*format!("/usr/lib/{architecture}-linux-gnu"), "/usr/lib64", "/usr/lib"];
    for directory in directories {
        let path = format!("{directory}/libsubid_{source}.so");
        if trusted::roots_library(&path).map_err(|error| format!("cannot be loaded: {error}"))? {
            return CString::new(path).map_err(|_| "cannot be loaded".to_owned());
        }
    }
    let [native, wide, plain] = directories;
    Err(format!("cannot be loaded: no libsubid_{source}.so in {native}, {wide} or {plain}"))
}

// What goes through the pipe: whether the plugin could be loaded, then a record for each range. All of fixed size.

/// Whether the plugin could be loaded, and up to so many bytes of why not.
const LONGEST_REASON: usize = 255;
const LOADED: u8 = b'y';
const NOT_LOADED: u8 = b'n';

/// The status (0 to 3, or anything else for one that is none), what was answered (0 or 1), and the range's first id: so
/// that what a plugin has written into the pipe by itself is not mistaken for an answer.
type Record = [u8; 6];

fn record(status: i32, yes: bool, range: Range) -> Record {
    let [a, b, c, d] = range.first().raw().to_le_bytes();
    [u8::try_from(status).unwrap_or(u8::MAX), u8::from(yes), a, b, c, d]
}

/// The child's part. Whoever reads does not believe a word of it.
fn answer(
    forgone: nix::Result<()>,
    mut pipe: File,
    library: &CStr,
    owner: &CStr,
    inquiry: &Inquiry<'_>,
) -> std::io::Result<()> {
    let plugin = match forgone {
        Ok(()) => SubidPlugin::load(library),
        Err(errno) => Err(errno.desc().as_bytes().to_vec()),
    };
    let (loaded, reason) = match &plugin {
        Ok(_) => (LOADED, &[][..]),
        Err(reason) => (NOT_LOADED, reason.as_slice()),
    };
    let padded = reason.iter().copied().chain(std::iter::repeat(0)).take(LONGEST_REASON);
    pipe.write_all(&std::iter::once(loaded).chain(padded).collect::<Vec<u8>>())?;
    let Ok(plugin) = plugin else { return Ok(()) };
    for range in inquiry.ranges {
        let (status, yes) = plugin.has_range(owner, range.first().raw(), range.count(), inquiry.kind);
        pipe.write_all(&record(status, yes, *range))?;
    }
    Ok(())
}

/// What the bytes mean.
fn understand(heard: &[u8], ranges: &[Range]) -> Result<Vec<Answer>, String> {
    let nonsense = || "answered something else than was asked".to_owned();
    let (head, records) = heard.split_at_checked(LONGEST_REASON.saturating_add(1)).ok_or_else(nonsense)?;
    match head.split_first() {
        Some((&LOADED, _)) => {}
        Some((&NOT_LOADED, reason)) => {
            let reason = reason.split(|byte| *byte == 0).next().unwrap_or_default();
            let parts = reason.chunks(QUOTABLE).map(|part| Quoted(part).to_string());
            return Err(format!("cannot be loaded: {}", parts.collect::<String>()));
        }
        _ => return Err(nonsense()),
    }
    if records.len() != ranges.len().saturating_mul(size_of::<Record>()) {
        return Err(nonsense());
    }
    let meant = records.chunks_exact(size_of::<Record>()).zip(ranges).map(|(heard, range)| {
        let (status, yes) = (i32::from(*heard.first()?), *heard.get(1)? == 1);
        (heard == record(status, yes, *range)).then_some(Answer::of(status, yes))
    });
    meant.collect::<Option<_>>().ok_or_else(nonsense)
}

/// So many bytes are quoted without being cut.
const QUOTABLE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::id::Id;
    use crate::policy::subid_source::Trouble;

    fn ranges() -> Vec<Range> {
        [(7, 3), (100_000, 65_536)]
            .map(|(first, count)| Range::new(Id::new(first).unwrap(), count).unwrap())
            .into()
    }

    fn head(loaded: u8, reason: &str) -> Vec<u8> {
        let mut head = [&[loaded], reason.as_bytes()].concat();
        head.resize(LONGEST_REASON + 1, 0);
        head
    }

    #[test]
    fn what_is_recorded_is_understood_and_nothing_else() {
        let ranges = ranges();
        let records =
            |first: Record, second: Record| [head(LOADED, ""), first.into(), second.into()].concat();
        let good = records(record(0, true, ranges[0]), record(2, false, ranges[1]));
        assert_eq!(understand(&good, &ranges), Ok(vec![Answer::Yes, Answer::Trouble(Trouble::Connection)]));
        for status in [4, 255, 256, 257, -1, i32::MAX, i32::MIN] {
            let odd = records(record(status, true, ranges[0]), record(1, true, ranges[1]));
            assert_eq!(
                understand(&odd, &ranges),
                Ok(vec![Answer::Trouble(Trouble::NoStatus), Answer::No]),
                "{status}"
            );
        }
        let nonsense = Err("answered something else than was asked".to_owned());
        // Answers to other questions, or in another order.
        let swapped = records(record(0, true, ranges[1]), record(0, true, ranges[0]));
        assert_eq!(understand(&swapped, &ranges), nonsense);
        for length in 0..good.len() {
            assert_eq!(understand(&good[..length], &ranges), nonsense, "{length}");
        }
        assert_eq!(understand(&[&*good, b"x"].concat(), &ranges), nonsense);
        for yes in 2..=255 {
            let mut odd = good.clone();
            odd[LONGEST_REASON + 2] = yes;
            assert_eq!(understand(&odd, &ranges), nonsense, "{yes}");
        }
        for loaded in (0..=255).filter(|loaded| ![LOADED, NOT_LOADED].contains(loaded)) {
            let mut odd = good.clone();
            odd[0] = loaded;
            assert_eq!(understand(&odd, &ranges), nonsense, "{loaded}");
        }
    }

    #[test]
    fn a_list_is_understood_whole_or_not_at_all() {
        let list = |status: u8, numbers: &[u64], end: &[u8]| {
            let numbers = numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
            understand_list(&[&[LOADED, status], &*numbers, end].concat())
        };
        let [first, second] = ranges()[..] else { panic!() };
        assert_eq!(list(0, &[7, 3, 100_000, 65536], b"."), Ok(vec![first, second]));
        // What is no range is none; unknown users have none.
        assert_eq!(list(0, &[7, 0, u64::MAX, 1, 1 << 32, 1, 4_294_967_295, 1, 7, 3], b"."), Ok(vec![first]));
        assert_eq!((list(0, &[], b"."), list(1, &[7, 3], b".")), (Ok(vec![]), Ok(vec![])));
        for (status, says) in [
            (2, "answered: connection error"),
            (3, "answered: error"),
            (9, "answered: a status that is none"),
        ] {
            assert_eq!(list(status, &[7, 3], b"."), Err(says.to_owned()));
        }
        let nonsense = Err("answered something else than was asked".to_owned());
        assert_eq!((list(0, &[7, 3], b""), list(0, &[7, 3], b"x.")), (nonsense.clone(), nonsense.clone()));
        assert_eq!((understand_list(b"."), understand_list(b"z.")), (nonsense.clone(), nonsense));
        let reason = Err("cannot be loaded: no\\x1b".to_owned());
        assert_eq!(understand_list(b"nno\x1b."), reason);
    }

    #[test]
    fn a_reason_is_shown_whole_and_harmless() {
        let reason = format!("{}\x1b", "r".repeat(100));
        let shown = format!("cannot be loaded: {}\\x1b", "r".repeat(100));
        assert_eq!(understand(&head(NOT_LOADED, &reason), &ranges()), Err(shown));
    }
}
