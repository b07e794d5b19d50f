//! Open vSwitch, by its own command `ovs-vsctl(8)`: a root's program that may be absent, hang, or not do what it says.

use std::io::Read;
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::Error;
use common::os::child;
use common::policy::nic::InterfaceName;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::stat;

const COMMAND: &str = "/usr/bin/ovs-vsctl";

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// So that it does not wait for ever if we are killed: it gains capabilities when it starts, which takes back a signal to
/// die with us.
const ITS_OWN_PATIENCE: &str = "--timeout=6";
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// More than the two short lines that are asked for, and less than a pipe holds.
const LONGEST_ANSWER: u64 = 1024;

/// Does this host have it? If that cannot be told, it is taken for one that has.
pub(crate) fn is_here() -> bool {
    !matches!(stat(COMMAND), Err(Errno::ENOENT | Errno::ENOTDIR))
}

/// Is there a bridge of this name? No, where there is no Open vSwitch. `otherwise` is for the message: what is known of it.
pub(crate) fn has_bridge(bridge: &InterfaceName, otherwise: &str) -> Result<bool, Error> {
    let doing = || {
        format!(
            "Open vSwitch does not answer (is ovsdb-server running?) whether it has a bridge {bridge}, which {otherwise}"
        )
    };
    match call(&["--", "br-exists", bridge.as_str()], &[]) {
        Err(Failure::Absent) => Ok(false),
        Ok((status, _)) if status.success() => Ok(true),
        // ovs-vsctl(8): 2 is no.
        Ok((status, _)) if status.code() == Some(2) => Ok(false),
        Ok((status, _)) => Err(Failure::Status(status).when(doing())),
        Err(failure) => Err(failure.when(doing())),
    }
}

/// Adds a port, and makes sure that it is there. Its places stay locked as long as the command lives: it may outlive us, and
/// add the port when nobody reckons with it any more.
pub(crate) fn add_port(
    bridge: &InterfaceName,
    port: &InterfaceName,
    locks: &[BorrowedFd<'_>],
) -> Result<(), Error> {
    let (bridge_name, name) = (bridge.as_str(), port.as_str());
    let doing = || format!("add a port to the Open vSwitch bridge {bridge}");
    succeed(&["--", "add-port", bridge_name, name], locks).map_err(|failure| failure.when(doing()))?;
    // The second line is the number that the switch has given to the port: -1, or none, if it could not.
    let seen = succeed(&["--", "port-to-br", name, "--", "get", "Interface", name, "ofport"], &[])
        .map_err(|failure| failure.when(doing()))?;
    let mut lines = seen.lines();
    let is_there = lines.next() == Some(bridge_name)
        && lines.next().and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| number > 0);
    if is_there { Ok(()) } else { Err(Failure::NotDone.when(doing())) }
}

/// Removes a port, from whatever bridge it is on now, and makes sure that it is gone. It is no error if it was, or if
/// there is no Open vSwitch any more.
pub(crate) fn remove_port(port: &InterfaceName, locks: &[BorrowedFd<'_>]) -> Result<(), Error> {
    let doing = || format!("remove the Open vSwitch port {port}");
    // The switch itself may take its time: the port is gone when the database says so.
    match succeed(&["--no-wait", "--", "--if-exists", "del-port", port.as_str()], locks) {
        Ok(_) => {}
        Err(Failure::Absent) => return Ok(()),
        Err(failure) => return Err(failure.when(doing())),
    }
    match call(&["--", "port-to-br", port.as_str()], &[]) {
        Ok((status, _)) if status.success() => Err(Failure::NotRemoved.when(doing())),
        Ok(_) => Ok(()),
        Err(failure) => Err(failure.when(doing())),
    }
}

/// How a call can fail.
enum Failure {
    Absent,
    NotStarted(std::io::Error),
    Slow,
    Status(ExitStatus),
    NotDone,
    NotRemoved,
}

impl Failure {
    fn when(self, doing: String) -> Error {
        let why = match self {
            Self::Absent => format!("{COMMAND} is not there"),
            Self::NotStarted(error) => format!("{COMMAND} cannot be run: {error}"),
            Self::Slow => {
                format!("{COMMAND} did not end in {} seconds; does ovs-vswitchd run?", PATIENCE.as_secs())
            }
            Self::Status(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("{COMMAND} ended with status {code}"),
                (None, signal) => format!("{COMMAND} was ended by signal {}", signal.unwrap_or(0)),
            },
            Self::NotDone => format!("{COMMAND} succeeded, but there is no such port"),
            Self::NotRemoved => format!("{COMMAND} succeeded, but the port is still there"),
        };
        Error::OpenVswitch { doing, why }
    }
}

fn succeed(args: &[&str], locks: &[BorrowedFd<'_>]) -> Result<String, Failure> {
    match call(args, locks)? {
        (status, answer) if status.success() => Ok(answer),
        (status, _) => Err(Failure::Status(status)),
    }
}

/// Runs it, with nothing of the caller's, and returns the beginning of what it prints.
fn call(args: &[&str], locks: &[BorrowedFd<'_>]) -> Result<(ExitStatus, String), Failure> {
    // Where it is not, nothing may be run.
    if !is_here() {
        return Err(Failure::Absent);
    }
    let mut command = Command::new(COMMAND);
    command.arg(ITS_OWN_PATIENCE).args(args).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = child::spawn(&mut command, locks);
    let mut child = child.map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Failure::Absent
        } else {
            Failure::NotStarted(error)
        }
    })?;
    let ended = wait(&mut child);
    if !matches!(ended, Ok(Some(_))) {
        child.kill().unwrap_or_default();
        child.wait().map(drop).unwrap_or_default();
    }
    match ended {
        Ok(Some(status)) => Ok((status, answer(&mut child))),
        Ok(None) => Err(Failure::Slow),
        Err(error) => Err(Failure::NotStarted(error)),
    }
}

fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        let ended = child.try_wait()?;
        if ended.is_some() || start.elapsed() > PATIENCE {
            return Ok(ended);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// What is in the pipe: without waiting, as somebody may still have its other end.
fn answer(child: &mut Child) -> String {
    let mut text = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        let read = fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(std::io::Error::from)
            .and_then(|_| pipe.take(LONGEST_ANSWER).read_to_end(&mut text));
        // What could not be read is missing in the answer, which is then not the one that was hoped for.
        read.map(drop).unwrap_or_default();
    }
    String::from_utf8_lossy(&text).into_owned()
}
