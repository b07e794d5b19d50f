//! The caller's editor.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use common::policy::text::Quoted;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::failure::Failure;

/// A program and its arguments; with several, the first one that is there.
#[derive(Debug)]
pub(super) struct Editor {
    candidates: Vec<Vec<OsString>>,
    /// The command that has called for it, to be given again.
    again: String,
}

impl Editor {
    /// `VISUAL`, `EDITOR`, or what the machine has: words with blanks between them, and no shell.
    pub(super) fn of_the_environment(again: String) -> Result<Self, Failure> {
        for variable in ["VISUAL", "EDITOR"] {
            let value = std::env::var_os(variable).unwrap_or_default();
            let words = value.as_bytes().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let words: Vec<OsString> = words.map(|word| OsStr::from_bytes(word).to_owned()).collect();
            if words.is_empty() {
                continue;
            }
            // Behind it would be files that this is not about.
            if words.iter().any(|word| word == "--") {
                return Err(Failure::new(format!(
                    "{variable} is \"{}\": with -- in it, it names files of its own to edit",
                    Quoted(value.as_bytes())
                )));
            }
            return Ok(Self { candidates: vec![words], again });
        }
        let candidates = ["editor", "vi", "nano"].map(|name| vec![OsString::from(name)]).to_vec();
        Ok(Self { candidates, again })
    }

    /// Runs it on a file. Ok(Err): it ended, but not well.
    pub(super) fn edit(&self, path: &Path) -> Result<Result<(), String>, Failure> {
        for words in &self.candidates {
            let Some((program, args)) = words.split_first() else { continue };
            let shown = Quoted(program.as_bytes());
            let spawned = Command::new(program).args(args).arg(path).spawn();
            let mut child = match spawned {
                Ok(child) => child,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.candidates.len() > 1 => {
                    continue;
                }
                Err(error) => {
                    // VISUAL comes first, whichever it was.
                    return Err(Failure::new(format!(
                        "cannot start the editor \"{shown}\": {error}; to choose another: VISUAL=vi {}",
                        self.again
                    )));
                }
            };
            // What the terminal's keys say is for the editor to hear.
            let keys = Keys::are_not_for_us();
            let status = child.wait();
            drop(keys);
            let status = status.map_err(Failure::when("cannot wait for the editor"))?;
            return Ok(match (status.success(), status.signal()) {
                (true, _) => Ok(()),
                (false, Some(signal)) => Err(format!("the editor \"{shown}\" was ended by signal {signal}")),
                (false, None) => Err(format!(
                    "the editor \"{shown}\" ended with status {}",
                    status.code().unwrap_or_default()
                )),
            });
        }
        Err(Failure::new(format!(
            "there is no editor on this machine; to name one: VISUAL=PROGRAM {}",
            self.again
        )))
    }
}

/// While this lives, an interrupt from the terminal is not for us; nor is it afterwards.
struct Keys(SigSet);

impl Keys {
    fn are_not_for_us() -> Self {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGQUIT);
        // If they cannot be kept from us, they end us: nothing is installed then.
        signals.thread_block().unwrap_or_default();
        Self(signals)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Ok(waiting) = SignalFd::with_flags(&self.0, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC) {
            while let Ok(Some(_)) = waiting.read_signal() {}
        }
        self.0.thread_unblock().unwrap_or_default();
    }
}
