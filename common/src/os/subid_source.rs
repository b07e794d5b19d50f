//! Asks sources of subordinate ids other than the files: plugins by the interface of shadow's `libsubid_NAME.so`.
//!
//! A plugin is code of root's, but not of ours: it may hang, crash, print, or look for what it should not have at hand.
//! So it never gets into the helper's own process. The dynamic twin makes a child, which gives up every capability for
//! good, every descriptor but a pipe, and the caller's working directory, and only then loads the plugin and asks it. All
//! that comes back is a few bytes of fixed size. What is odd about them, and what does not come in time, is no answer.
//!
//! The caller may signal that child, as it runs with his ids: so he can keep it from answering. He cannot trace it, nor
//! get at the pipe: neither the child nor the twin is dumpable.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, pipe2};

use super::account::{Files, Services};
use super::sys::{self, CapabilitySets, SubidLister, SubidPlugin};
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
        let cannot = |errno: Errno| format!("cannot be asked: {}", errno.desc());
        let library = find(source)?;
        let owner = CString::new(inquiry.owner).map_err(|_| cannot(Errno::EINVAL))?;
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(cannot)?;
        sys::heed_children().map_err(cannot)?;
        let now = Instant::now();
        let deadline = now.checked_add(Duration::from_secs(sys::PATIENCE.into())).unwrap_or(now);
        let child = sys::in_child(|| answer(writer, &library, &owner, inquiry)).map_err(cannot)?;
        let heard = hear(reader, inquiry.ranges, deadline);
        let ended = if heard == Err(Silence::Closed) { how_it_ended(child, deadline) } else { None };
        if ended.is_none() {
            // It has not been waited for, so the number is still its own.
            kill(child, Signal::SIGKILL).unwrap_or_default();
            while waitpid(child, None) == Err(Errno::EINTR) {}
        }
        match (heard, ended) {
            (Ok(bytes), _) => understand(&bytes, inquiry.ranges),
            (Err(Silence::Closed), Some(how)) => Err(how),
            (Err(Silence::Closed), None) => Err("closed what it should answer on".to_owned()),
            (Err(Silence::Late), _) => Err(format!("did not answer in {} seconds", sys::PATIENCE)),
            (Err(Silence::Deaf(errno)), _) => Err(cannot(errno)),
        }
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
    let cannot = |errno: Errno| format!("cannot be asked: {}", errno.desc());
    let library = find(source)?;
    let owner = CString::new(owner).map_err(|_| cannot(Errno::EINVAL))?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(cannot)?;
    sys::heed_children().map_err(cannot)?;
    let now = Instant::now();
    let deadline = now.checked_add(Duration::from_secs(sys::PATIENCE.into())).unwrap_or(now);
    let child = sys::in_child(|| enumerate(writer, &library, &owner, kind)).map_err(cannot)?;
    let heard = hear_all(reader, deadline);
    let ended = if heard.is_ok() { how_it_ended(child, deadline) } else { None };
    if ended.is_none() {
        // It has not been waited for, so the number is still its own.
        kill(child, Signal::SIGKILL).unwrap_or_default();
        while waitpid(child, None) == Err(Errno::EINTR) {}
    }
    match (heard, ended) {
        (Ok(bytes), _) if !bytes.is_empty() => understand_list(&bytes),
        (Ok(_), Some(how)) => Err(how),
        (Ok(_), None) | (Err(Silence::Closed), _) => Err("closed what it should answer on".to_owned()),
        (Err(Silence::Late), _) => Err(format!("did not answer in {} seconds", sys::PATIENCE)),
        (Err(Silence::Deaf(errno)), _) => Err(cannot(errno)),
    }
}

/// The child's part: a letter, the status, and the ranges; or another letter, and why there are none.
fn enumerate(pipe: OwnedFd, library: &CStr, owner: &CStr, kind: Kind) -> std::io::Result<()> {
    let forgone = forgo_everything();
    let mut pipe = File::from(sys::keep_only(pipe)?);
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

/// All that comes, up to what a list can have.
fn hear_all(pipe: OwnedFd, deadline: Instant) -> Result<Vec<u8>, Silence> {
    let mut pipe = File::from(pipe);
    let most = MOST_RANGES.saturating_mul(16).saturating_add(LONGEST_REASON);
    let mut heard = Vec::new();
    loop {
        wait_for(&pipe, deadline)?;
        let mut part = [0_u8; 4096];
        match pipe.read(&mut part) {
            Ok(0) => return Ok(heard),
            Ok(read) => heard.extend_from_slice(part.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Silence::Deaf(trusted::errno(&error))),
        }
        if heard.len() > most {
            return Ok(heard);
        }
    }
}

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
fn answer(pipe: OwnedFd, library: &CStr, owner: &CStr, inquiry: &Inquiry<'_>) -> std::io::Result<()> {
    let forgone = forgo_everything();
    let mut pipe = File::from(sys::keep_only(pipe)?);
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

/// Leaves the child nothing of the helper's power, now or by any program that the plugin might start, and nothing of the
/// caller's streams and working directory. It ends with the helper.
fn forgo_everything() -> nix::Result<()> {
    sys::set_capabilities(CapabilitySets::default())?;
    prctl::set_no_new_privs()?;
    prctl::set_dumpable(false)?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    chdir("/")?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)
}

/// Why less came through the pipe than should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Silence {
    /// Nobody has it open any more.
    Closed,
    /// Time is up.
    Late,
    /// It cannot be read.
    Deaf(Errno),
}

/// All that the child has to say, as bytes; if the plugin could not be loaded, that is less.
fn hear(pipe: OwnedFd, ranges: &[Range], deadline: Instant) -> Result<Vec<u8>, Silence> {
    let mut pipe = File::from(pipe);
    let records = ranges.len().saturating_mul(size_of::<Record>());
    let head = LONGEST_REASON.saturating_add(1);
    let mut heard = vec![0; head.saturating_add(records)];
    let mut filled = 0_usize;
    loop {
        let length = if heard.first() == Some(&LOADED) || filled == 0 { heard.len() } else { head };
        let room = heard.get_mut(filled..length).unwrap_or_default();
        if room.is_empty() {
            heard.truncate(length);
            return Ok(heard);
        }
        wait_for(&pipe, deadline)?;
        match pipe.read(room) {
            Ok(0) => return Err(Silence::Closed),
            Ok(read) => filled = filled.saturating_add(read),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Silence::Deaf(trusted::errno(&error))),
        }
    }
}

/// Waits until there is something to read, or nobody is left to write it.
fn wait_for(pipe: &File, deadline: Instant) -> Result<(), Silence> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = PollTimeout::try_from(left).map_err(|_| Silence::Late)?;
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], patience) {
            Ok(0) if left.is_zero() => return Err(Silence::Late),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(Silence::Deaf(errno)),
        }
    }
}

/// How the child has ended: then it has been waited for. None: it has not, and time is up.
fn how_it_ended(child: Pid, deadline: Instant) -> Option<String> {
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => {}
            Ok(WaitStatus::Signaled(_, signal, _)) => return Some(format!("crashed ({})", signal.as_str())),
            Ok(WaitStatus::Exited(_, status)) => {
                return Some(format!("ended instead of answering (exit status {status})"));
            }
            // A signal that has no name.
            Ok(_) | Err(_) => return Some("crashed".to_owned()),
        }
        if Instant::now() >= deadline {
            return None;
        }
        // A process closes what it has open a moment before it has ended.
        std::thread::sleep(Duration::from_millis(1));
    }
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
