//! Other programs, asked with a time limit.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::os::child::spawn_apart;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::failure::words;

/// What one has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// How long it is waited for, and how much of what it says is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) patience: Duration,
    pub(crate) most: usize,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Silence {
    /// It is in none of the places for programs.
    NotThere,
    /// It could not be started, or listened to.
    Trouble(io::Error),
    /// It did not end in time.
    Late(Duration),
    /// It says more than anybody wants to hear.
    TooMuch,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere => f.write_str("it is not there"),
            Self::Trouble(error) => f.write_str(&words(error)),
            Self::Late(patience) => write!(f, "no answer in {} seconds", patience.as_secs()),
            Self::TooMuch => f.write_str("no end to its answer"),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
/// For programs that answer in a few lines.
const FEW_LINES: Limits = Limits { patience: PATIENCE, most: 64 << 10 };

/// Where root's own programs are. The caller's PATH is not asked for them: after su(1) it may be a user's.
pub(crate) fn find(name: &str) -> Option<String> {
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(|place| format!("{place}/{name}"));
    places.into_iter().find(|path| std::path::Path::new(path).exists())
}

/// Runs a program that answers in a few lines. None: it is not there, or did not.
pub(crate) fn ask(name: &str, args: &[&str]) -> Option<Said> {
    ask_within(FEW_LINES, name, args).ok()
}

/// Runs it, with nothing of the caller's: after su(1) his home and his environment may be a user's, too.
pub(crate) fn ask_within(limits: Limits, name: &str, args: &[&str]) -> Result<Said, Silence> {
    let mut command = Command::new(find(name).ok_or(Silence::NotThere)?);
    command.args(args).env_clear().current_dir("/");
    command.envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/"), ("LC_ALL", "C")]);
    run_within(limits, &mut command)
}

/// The same with a command that is made already. None: it did not answer.
pub(crate) fn run(command: &mut Command) -> Option<Said> {
    run_within(FEW_LINES, command).ok()
}

/// Nothing of ours is within its reach. Who does not end is ended, and so is what he has started.
fn run_within(limits: Limits, command: &mut Command) -> Result<Said, Silence> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn_apart(command).map_err(Silence::Trouble)?;
    let said = listen(limits, &mut child);
    if said.is_err() {
        end(&mut child);
    }
    said
}

/// Until it has ended: what it has started may hold the pipes open for longer.
fn listen(limits: Limits, child: &mut Child) -> Result<Said, Silence> {
    let mut stdout = child.stdout.take().map(without_waiting).transpose()?;
    let mut stderr = child.stderr.take().map(without_waiting).transpose()?;
    let mut said = Said { ok: false, stdout: Vec::new(), stderr: Vec::new() };
    let start = Instant::now();
    loop {
        // Asked before the pipes are looked at: then all that it has said is in them.
        let ended = child.try_wait().map_err(Silence::Trouble)?;
        let heard = take_in(stdout.as_mut(), &mut said.stdout, limits.most)?
            | take_in(stderr.as_mut(), &mut said.stderr, limits.most)?;
        if let Some(status) = ended {
            return Ok(Said { ok: status.success(), ..said });
        }
        if start.elapsed() > limits.patience {
            return Err(Silence::Late(limits.patience));
        }
        if !heard {
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }
}

/// Reading from our end does not wait.
fn without_waiting<P: AsFd>(pipe: P) -> Result<P, Silence> {
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|errno| Silence::Trouble(errno.into()))?;
    Ok(pipe)
}

/// Takes in what is in the pipe just now. Is it anything?
fn take_in(pipe: Option<&mut impl Read>, said: &mut Vec<u8>, most: usize) -> Result<bool, Silence> {
    let Some(pipe) = pipe else { return Ok(false) };
    let before = said.len();
    let mut part = [0; 16 << 10];
    while said.len() <= most {
        match pipe.read(&mut part) {
            Ok(0) => return Ok(said.len() > before),
            Ok(length) => said.extend_from_slice(part.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(said.len() > before),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Silence::Trouble(error)),
        }
    }
    Err(Silence::TooMuch)
}

/// Kills it, and what it has started: they have a session of their own, which has its number for as long as it is not waited for.
/// Whether it has gone is waited for only shortly: it may hang where signals do not reach.
pub(crate) fn end(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    let killed = group.is_ok_and(|group| killpg(group, Signal::SIGKILL).is_ok());
    if !killed && child.kill().is_err() {
        return;
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// Waits until something is so.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if is_so() {
            return true;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(limits: Limits, script: &str) -> Result<Said, Silence> {
        run_within(limits, Command::new("/bin/sh").args(["-c", script]))
    }

    #[test]
    fn all_that_is_said_is_heard_also_what_no_pipe_has_room_for() {
        let limits = Limits { patience: Duration::from_secs(60), most: 1 << 20 };
        let said = shell(limits, "head -c 300000 /dev/zero; head -c 200000 /dev/zero >&2; exit 3").unwrap();
        assert_eq!((said.ok, said.stdout.len(), said.stderr.len()), (false, 300_000, 200_000));
        assert!(shell(limits, "exit 0").unwrap().ok);
    }

    #[test]
    fn nothing_of_the_callers_reaches_it() {
        let said = |name: &str| String::from_utf8(ask(name, &[]).unwrap().stdout).unwrap();
        let env = said("env");
        let mut env: Vec<_> = env.lines().collect();
        env.sort_unstable();
        assert_eq!(env, ["HOME=/", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
        assert_eq!(said("pwd"), "/\n");
    }

    #[test]
    fn who_does_not_end_is_ended_and_who_has_ended_is_not_waited_for() {
        let limits = Limits { patience: Duration::from_millis(200), most: 10 };
        assert!(matches!(shell(limits, "echo x; sleep 1000"), Err(Silence::Late(_))));
        let patient = Limits { patience: Duration::from_secs(60), ..limits };
        assert!(matches!(shell(patient, "exec cat /dev/zero"), Err(Silence::TooMuch)));
        // What it leaves behind has the pipe still.
        assert_eq!(shell(patient, "sleep 3 & echo done").unwrap().stdout, b"done\n");
        assert!(matches!(ask_within(patient, "no-such-program", &[]), Err(Silence::NotThere)));
    }
}
