//! A child process without power, for code that is root's but not ours: name services, and plugins for subordinate ids.
//!
//! Such code may hang, crash, print, look for what it should not have at hand, or be made to misbehave by what it reads from a
//! network. So it never gets into the helper's own process. The child gives up every capability for good, every id but the
//! caller's, every descriptor but a pipe, and the caller's working directory; then it asks. What comes back is bytes, which the
//! helper reads as it would read a stranger's, and for no longer than it has patience.
//!
//! The caller may signal that child, as it runs with his ids: so he can keep it from answering. He cannot trace it, nor get at
//! the pipe: neither the child nor the helper is dumpable.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{
    Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, getgid, getuid, pipe2, setresgid, setresuid,
};

use super::sys::{self, CapabilitySets};
use super::trusted;

/// For so many seconds it may think.
pub(super) const PATIENCE: u32 = 25;

/// What such a child has done instead of answering.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Instead {
    /// There is none, or it cannot be heard.
    Cannot(Errno),
    /// Something of its own: a part of a sentence.
    Did(String),
}

/// All that a child says before it ends, up to so many bytes. It gets its end of the pipe as the only descriptor but the standard
/// ones, and whether it could give up everything; if not, it must not ask.
pub(super) fn hear_child(
    most: usize,
    speak: impl FnOnce(nix::Result<()>, File) -> std::io::Result<()>,
) -> Result<Vec<u8>, Instead> {
    let (child, pipe, deadline) = begin(speak).map_err(Instead::Cannot)?;
    let heard = hear_all(pipe, most, deadline);
    let ended = if heard.is_ok() { how_it_ended(child, deadline) } else { None };
    if ended.is_none() {
        end(child);
    }
    match (heard, ended) {
        (Ok(bytes), _) if !bytes.is_empty() => Ok(bytes),
        (Ok(_), Some(how)) => Err(Instead::Did(how)),
        (Ok(_), None) | (Err(Silence::Closed), _) => Err(closed()),
        (Err(Silence::Late), _) => Err(late()),
        (Err(Silence::Deaf(errno)), _) => Err(Instead::Cannot(errno)),
    }
}

/// What comes from a child that says, as its first byte, that it is going to say so much, or else `otherwise` bytes: as soon as it has.
pub(super) fn hear_so_much(
    (if_first, all, otherwise): (u8, usize, usize),
    speak: impl FnOnce(nix::Result<()>, File) -> std::io::Result<()>,
) -> Result<Vec<u8>, Instead> {
    let (child, pipe, deadline) = begin(speak).map_err(Instead::Cannot)?;
    let heard = hear(pipe, (if_first, all, otherwise), deadline);
    let ended = if heard == Err(Silence::Closed) { how_it_ended(child, deadline) } else { None };
    if ended.is_none() {
        end(child);
    }
    match (heard, ended) {
        (Ok(bytes), _) => Ok(bytes),
        (Err(Silence::Closed), Some(how)) => Err(Instead::Did(how)),
        (Err(Silence::Closed), None) => Err(closed()),
        (Err(Silence::Late), _) => Err(late()),
        (Err(Silence::Deaf(errno)), _) => Err(Instead::Cannot(errno)),
    }
}

fn closed() -> Instead {
    Instead::Did("closed what it should answer on".to_owned())
}

fn late() -> Instead {
    Instead::Did(format!("did not answer in {PATIENCE} seconds"))
}

/// The child, what to hear it by, and until when.
fn begin(
    speak: impl FnOnce(nix::Result<()>, File) -> std::io::Result<()>,
) -> nix::Result<(Pid, OwnedFd, Instant)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    sys::heed_children()?;
    let now = Instant::now();
    let deadline = now.checked_add(Duration::from_secs(PATIENCE.into())).unwrap_or(now);
    let child = sys::in_child(|| {
        // Before the ids are the caller's: what is open now is not for him.
        let pipe = sys::keep_only(writer)?;
        speak(forgo_everything(), File::from(pipe))
    })?;
    Ok((child, reader, deadline))
}

/// It has not been waited for, so the number is still its own.
fn end(child: Pid) {
    kill(child, Signal::SIGKILL).unwrap_or_default();
    while waitpid(child, None) == Err(Errno::EINTR) {}
}

/// Leaves the child nothing of the helper's power, now or by any program that such code might start, and nothing of the
/// caller's streams and working directory. It ends with the helper.
fn forgo_everything() -> nix::Result<()> {
    sys::set_capabilities(CapabilitySets::default())?;
    let (uid, gid) = (getuid(), getgid());
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    prctl::set_no_new_privs()?;
    // After the change of ids, which takes this and the next one back.
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

/// All that comes, or a little more than so many bytes of it.
fn hear_all(pipe: OwnedFd, most: usize, deadline: Instant) -> Result<Vec<u8>, Silence> {
    let mut pipe = File::from(pipe);
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

/// All of one length, or all of another, by the first byte.
fn hear(
    pipe: OwnedFd,
    (if_first, all, otherwise): (u8, usize, usize),
    deadline: Instant,
) -> Result<Vec<u8>, Silence> {
    let mut pipe = File::from(pipe);
    let mut heard = vec![0; all.max(otherwise)];
    let mut filled = 0_usize;
    loop {
        let length = if heard.first() == Some(&if_first) || filled == 0 { all } else { otherwise };
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
