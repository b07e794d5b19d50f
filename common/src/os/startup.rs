//! The first thing a set-id program does: make the process a safe place to think in.
//!
//! Everything here was chosen by a caller who may be hostile: descriptors, environment, limits, signals. After
//! [`begin`] nobody can look into or trace the process, nothing of the environment is left, descriptors 0 to 2 are
//! open, a crash leaves no core file, and a signal to end the process is heard.

use std::os::fd::{AsFd, IntoRawFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::Mode;

use super::sys;
use crate::Error;

/// Makes the process safe, before any input is looked at.
///
/// # Errors
/// A step did not work: the program must not go on.
pub fn begin() -> Result<(), Error> {
    // First: from here on the caller can neither trace us nor read our /proc files. The kernel has done so for a
    // set-id program unless fs.suid_dumpable says otherwise.
    prctl::set_dumpable(false).map_err(Error::when("make the process undumpable"))?;
    sys::clear_environment().map_err(Error::when("clear the environment"))?;
    occupy_standard_descriptors()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(Error::when("forbid core files"))?;
    sys::ignore_failing_writes().map_err(Error::when("ignore signals of failing writes"))?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(Error::when("unblock signals"))
}

/// Takes back the limits that could stop a program which becomes root half-way through a change of several steps, as
/// far as it may: for that it needs the privileges that it is started with.
///
/// # Errors
/// A limit on the size of files, or a low one on the stack, is left.
pub fn lift_limits() -> Result<(), Error> {
    use nix::sys::resource::RLIM_INFINITY as NONE;
    // Where we may not, as in a container, they were set by whoever is root there.
    let lift = |limit| setrlimit(limit, NONE, NONE);
    for limit in [Resource::RLIMIT_AS, Resource::RLIMIT_DATA, Resource::RLIMIT_CPU, Resource::RLIMIT_RTTIME] {
        lift(limit).unwrap_or_default();
    }
    // Not lowered: the caller may have left many files open. Nor lifted altogether, as another program of root's that is run
    // later would be laid out in memory in another way then.
    for (limit, enough) in [(Resource::RLIMIT_NOFILE, ENOUGH_FILES), (Resource::RLIMIT_STACK, ENOUGH_STACK)] {
        let (soft, hard) = getrlimit(limit).unwrap_or_default();
        if soft < enough {
            let raised = setrlimit(limit, enough, hard.max(enough));
            raised.or_else(|_| setrlimit(limit, enough.min(hard), hard)).unwrap_or_default();
        }
    }
    // Else he chooses how far it comes.
    if getrlimit(Resource::RLIMIT_STACK).is_ok_and(|(now, _)| now < LEAST_STACK) {
        return Err(Error::when("lift the limit on the stack (RLIMIT_STACK)")(Errno::EPERM));
    }
    // By so much the kernel may be late to end a sleep; the caller may have left it centuries.
    prctl::set_timerslack(USUAL_SLACK).map_err(Error::when("have waits end in time"))?;
    sys::heed_children().map_err(Error::when("heed the end of children"))?;
    // A file that is written in part would be damaged.
    let lifted = lift(Resource::RLIMIT_FSIZE);
    let enough = || getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(now, _)| now >= LARGEST_FILE);
    if lifted.is_ok() || enough() {
        Ok(())
    } else {
        lifted.map_err(Error::when("lift the limit on the size of files (RLIMIT_FSIZE)"))
    }
}

/// Takes back the limit on the number of the caller's processes, as far as that may be done: a program that is about to ask
/// something in a child is not to depend on how many others its caller runs. Needs the privileges of a set-user-ID root program.
pub fn allow_children() {
    use nix::sys::resource::RLIM_INFINITY as NONE;
    setrlimit(Resource::RLIMIT_NPROC, NONE, NONE).unwrap_or_default();
}

/// No file that a helper writes is as large, in bytes.
const LARGEST_FILE: u64 = 1 << 30;

/// How many descriptors are plenty.
const ENOUGH_FILES: u64 = 256;

/// The kernel's own default, in nanoseconds: `PR_SET_TIMERSLACK(2const)`.
const USUAL_SLACK: nix::libc::c_ulong = 50_000;

/// The kernel's own default, in bytes: `_STK_LIM`.
const ENOUGH_STACK: u64 = 8 << 20;

/// Several times what it takes, in bytes.
const LEAST_STACK: u64 = 128 << 10;

/// A descriptor that the caller left closed would be the next file we open; an error message would then be written
/// into it.
fn occupy_standard_descriptors() -> Result<(), Error> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut standard =
        [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].map(|fd| PollFd::new(fd, PollFlags::empty()));
    // The number of descriptors is checked against RLIMIT_NOFILE; poll then fails, and so do we.
    poll(&mut standard, PollTimeout::ZERO).map_err(Error::when("look at the standard descriptors"))?;
    for (number, descriptor) in (0..).zip(&standard) {
        if descriptor.revents().is_some_and(|events| events.contains(PollFlags::POLLNVAL)) {
            let null = open("/dev/null", OFlag::O_RDWR, Mode::empty())
                .map_err(Error::when("open /dev/null in place of a closed standard descriptor"))?;
            // The lowest free number is the closed one, as those below it are open by now.
            if null.into_raw_fd() != number {
                return Err(Error::when("occupy a closed standard descriptor")(Errno::EBADF));
            }
        }
    }
    Ok(())
}
