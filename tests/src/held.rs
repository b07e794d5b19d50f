//! `lxc-user-nic` stopped in the middle of its work, after any of its system calls.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Answer, LXC_USER_NIC, User, World};

/// A place in a run: the first, second... call of a system call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The system call.
    pub call: String,
    /// Counted from 1.
    pub number: usize,
}

impl Place {
    /// Is it a call that gets or gives back memory or a descriptor, and no more? Between these nothing can have changed
    /// that matters to a helper, and there are many.
    #[must_use]
    pub fn is_dull(&self) -> bool {
        let dull = [
            "mmap",
            "munmap",
            "mprotect",
            "mremap",
            "brk",
            "futex",
            "close",
            "rt_sigaction",
            "rt_sigprocmask",
        ];
        dull.contains(&&*self.call)
    }
}

impl World {
    /// Every system call of a run with these arguments but the first, which is the exec, and the last, which ends it.
    ///
    /// # Panics
    /// It does not end by itself.
    pub fn places(&self, user: User, args: &[&str]) -> Vec<Place> {
        let options = ["-qq", "-o", "/run/world/places", "-e", "signal=none"];
        self.run(self.strace(user, &options, LXC_USER_NIC).args(args));
        let trace = fs::read_to_string("/run/world/places").expect("trace");
        let calls = trace.lines().filter_map(|line| Some(line.split_once('(')?.0)).collect::<Vec<_>>();
        assert_eq!((calls.first(), calls.last()), (Some(&"execve"), Some(&"exit_group")), "{trace}");
        let place = |index: usize| Place {
            call: calls[index].to_owned(),
            number: calls[1..=index].iter().filter(|call| **call == calls[index]).count(),
        };
        (1..calls.len() - 1).map(place).collect()
    }

    /// Starts a run with these arguments, and stops it right after that system call, traced by nobody. If it has ended
    /// before it got there: its answer. It may write core files, and does not mind where it is, in /tmp.
    ///
    /// # Errors
    /// See above.
    ///
    /// # Panics
    /// Neither happens in 10 seconds.
    pub fn held(&self, user: User, place: &Place, args: &[&str]) -> Result<Held, Answer> {
        const TRACE: &str = "/run/world/held";
        drop(fs::remove_file(TRACE));
        let inject = format!("inject={}:signal=STOP:when={}", place.call, place.number);
        // -D: it is our child, and its tracer a stranger.
        let strace = self.strace(user, &["-D", "-o", TRACE, "-e", &inject], LXC_USER_NIC);
        let mut command = self.command(super::ROOT, "/usr/bin/prlimit");
        command
            .arg("--core=unlimited:unlimited")
            .arg(strace.get_program())
            .args(strace.get_args())
            .args(args);
        command.current_dir("/tmp").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start strace");
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < Duration::from_secs(10), "not getting to {place:?}");
            if fs::read_to_string(TRACE).is_ok_and(|trace| trace.contains("--- stopped by SIGSTOP ---")) {
                break;
            }
            if child.try_wait().expect("wait").is_some() {
                return Err(Answer::of(&child.wait_with_output().expect("wait")));
            }
            std::thread::sleep(Duration::from_micros(300));
        }
        let held = Held { child: Some(child) };
        // A tracee that is stopped when its tracer dies stays stopped.
        let tracer = held.status("TracerPid:").parse().expect("a pid");
        kill(Pid::from_raw(tracer), Signal::SIGKILL).expect("end the tracer");
        while held.status("TracerPid:") != "0" || !held.status("State:").starts_with('T') {
            assert!(start.elapsed() < Duration::from_secs(20), "the tracer does not end");
            std::thread::sleep(Duration::from_micros(300));
        }
        Ok(held)
    }
}

/// A helper that stands still. It goes on, or ends, with the value.
#[derive(Debug)]
pub struct Held {
    child: Option<Child>,
}

impl Held {
    /// Its pid, as an argument.
    #[must_use]
    pub fn pid(&self) -> String {
        self.child().id().to_string()
    }

    /// A line of its `/proc/PID/status`.
    ///
    /// # Panics
    /// It is gone.
    #[must_use]
    pub fn status(&self, key: &str) -> String {
        let status = fs::read_to_string(Path::new("/proc").join(self.pid()).join("status")).expect("status");
        status.lines().find_map(|line| line.strip_prefix(key)).expect("a line of it").trim().to_owned()
    }

    /// Root continues it. Its answer.
    ///
    /// # Panics
    /// It does not end in 20 seconds.
    #[must_use]
    pub fn go_on(self) -> Answer {
        self.signal(Signal::SIGCONT);
        self.end()
    }

    /// Root kills it.
    pub fn kill(self) {
        self.signal(Signal::SIGKILL);
        let answer = self.end();
        assert_eq!(answer.signal, Some(9), "{answer:?}");
    }

    /// The answer of one that is running again, or killed.
    ///
    /// # Panics
    /// It does not end in 20 seconds.
    #[must_use]
    pub fn end(mut self) -> Answer {
        let mut child = self.child.take().expect("a child");
        let start = Instant::now();
        while child.try_wait().expect("wait").is_none() {
            if start.elapsed() > Duration::from_secs(20) {
                drop(child.kill());
                panic!("a helper that was continued does not end: {:?}", child.wait_with_output());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Answer::of(&child.wait_with_output().expect("wait"))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child().id()).expect("a pid"));
        kill(pid, signal).expect("signal");
    }

    fn child(&self) -> &Child {
        self.child.as_ref().expect("a child")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
