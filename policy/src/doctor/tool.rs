//! Other programs, asked with a time limit.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::os::child::spawn_apart;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// What one has said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) ok: bool,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
/// So much of what it says is read.
const MOST: u64 = 64 << 10;

/// Where root's own programs are. The caller's PATH is not asked for them.
pub(crate) fn find(name: &str) -> Option<String> {
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(|place| format!("{place}/{name}"));
    places.into_iter().find(|path| std::path::Path::new(path).exists())
}

/// Runs it. None: it is not there, or did not end.
pub(super) fn ask(name: &str, args: &[&str]) -> Option<Said> {
    let mut command = Command::new(find(name)?);
    command.args(args).env("LC_ALL", "C");
    run(&mut command)
}

/// The same with a command that is made already. Nothing of ours is within its reach.
pub(super) fn run(command: &mut Command) -> Option<Said> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn_apart(command).ok()?;
    // Little is said by these programs: it fits into a pipe.
    let ok = wait(&mut child)?;
    let mut said = Said { ok, stdout: Vec::new(), stderr: Vec::new() };
    child.stdout.take()?.take(MOST).read_to_end(&mut said.stdout).ok()?;
    child.stderr.take()?.take(MOST).read_to_end(&mut said.stderr).ok()?;
    Some(said)
}

/// Has it ended well? None: it did not end, and was killed.
fn wait(child: &mut Child) -> Option<bool> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().ok()? {
            return Some(status.success());
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    end(child);
    None
}

/// Kills it, and what it has started: they have a session of their own, which has its number for as long as it is not waited for.
/// Whether it has gone is waited for only shortly: it may hang where signals do not reach.
pub(super) fn end(child: &mut Child) {
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
pub(super) fn until(mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if is_so() {
            return true;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    false
}
