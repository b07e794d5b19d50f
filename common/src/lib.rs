//! What every privileged program of nsgate is made of.
//!
//! - [`policy`]: bytes in, decision out. No I/O, no clock, no environment; fuzzed and property-tested.
//! - [`os`]: the operating system, narrowed to what the helpers do. All `unsafe` is in `os/sys.rs`.
//! - [`error`]: every way to be refused, one sentence each.
//!
//! [`main`] is the frame around each helper's story.

#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")
)]

pub mod error;
pub mod os;
pub mod policy;

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};

pub use error::Error;

/// What a story that succeeded has to say.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing: the deed is the answer.
    Done,
    /// This text, on standard output.
    Say(String),
}

impl Outcome {
    /// Words, and nothing done: they go to a file of the caller's choice, so every privilege goes first.
    ///
    /// # Errors
    /// The kernel refused to take it.
    pub fn words(text: String) -> Result<Self, Error> {
        os::privilege::give_up()?;
        Ok(Self::Say(text))
    }
}

/// Says something on standard output.
///
/// # Errors
/// Nobody can read it.
pub fn say(text: &str) -> Result<(), Errno> {
    tell(std::io::stdout(), text)
}

/// Writes a text in one write, unless there is no room for it in time: the other end may be a pipe that nobody reads, or
/// a terminal that was stopped. Others may take the room that there seemed to be, and a file of the caller's own making may
/// never answer: then the process ends.
fn tell(stream: impl AsFd, text: &str) -> Result<(), Errno> {
    const PATIENCE: u16 = 5000;
    const END: u32 = 10;
    // If the alarm cannot be set, there is still what poll says.
    os::die_in(END).unwrap_or_default();
    let mut polled = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut polled, PATIENCE) == Ok(0) {
        os::live_on();
        return Err(Errno::ETIMEDOUT);
    }
    let written = nix::unistd::write(&stream, text.as_bytes());
    os::live_on();
    match written {
        Ok(written) if written == text.len() => Ok(()),
        Ok(_) => Err(Errno::ENOSPC),
        Err(errno) => Err(errno),
    }
}

/// Runs one helper: makes the process safe to think in, tells the story, reports a refusal in one line. The answer is
/// the exit status, 0 or 1.
///
/// `program` is a constant: what the caller put in `argv[0]` is never used.
pub fn main(program: &'static str, story: impl FnOnce() -> Result<Outcome, Error>) -> i32 {
    let said = match os::startup::begin().and_then(|()| story()) {
        Ok(Outcome::Done) => true,
        Ok(Outcome::Say(text)) => say(&text).is_ok(),
        Err(error) => {
            // Where it is written is the caller's to say, so it is written with his rights. Once the process is confined, the calls
            // for that may be none of those that are left to it.
            if !os::confine::has_begun() {
                os::privilege::give_up().unwrap_or_default();
            }
            // One write, so that the line stays whole beside what other programs write. If nobody can read it, the
            // exit status still says no.
            tell(std::io::stderr(), &format!("{program}: {error}\n")).is_ok_and(|()| false)
        }
    };
    i32::from(!said)
}
