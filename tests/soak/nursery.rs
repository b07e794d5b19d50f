//! Processes in fresh namespaces, which cost little: `nursery.c` forks them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use world::World;

const PROGRAM: &str = "/run/soak/nursery";

/// Compiles it, in the world.
pub(crate) fn compile() {
    fs::create_dir("/run/soak").expect("create");
    fs::write("/run/soak/nursery.c", include_str!("nursery.c")).expect("write");
    let mut command = Command::new("gcc");
    command.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static"]);
    let status = command.args(["-o", PROGRAM, "/run/soak/nursery.c"]).status();
    let status = status.unwrap_or_else(|error| panic!("gcc: {error}; apt-get install gcc"));
    assert!(status.success(), "{command:?}: {status}");
}

/// One user's. Everything that it has made ends with it.
pub(crate) struct Nursery {
    process: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// A process of that user's in namespaces of its own. It ends with the value.
pub(crate) struct Cell {
    pid: i32,
    ended: bool,
}

impl Nursery {
    pub(crate) fn of(world: &World, uid: u32) -> Self {
        let mut command = super::command(world, uid, PROGRAM);
        let mut process = command.stdin(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("nursery");
        let asks = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, asks, answers }
    }

    /// In a user namespace that is not mapped.
    pub(crate) fn unmapped(&mut self) -> Cell {
        self.make("u")
    }

    /// In a network namespace.
    pub(crate) fn container(&mut self) -> Cell {
        self.make("n")
    }

    fn make(&mut self, letter: &str) -> Cell {
        let mut line = String::new();
        self.asks.as_mut().expect("piped").write_all(letter.as_bytes()).expect("ask the nursery");
        self.answers.read_line(&mut line).expect("hear the nursery");
        Cell { pid: line.trim().parse().expect("a pid"), ended: false }
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        self.asks = None;
        drop(self.process.wait());
    }
}

impl Cell {
    pub(crate) fn pid(&self) -> String {
        self.pid.to_string()
    }

    pub(crate) fn netns(&self) -> String {
        format!("/proc/{}/ns/net", self.pid)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// What one of its `/proc` files says, one blank between words.
    pub(crate) fn file(&self, name: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/{name}", self.pid));
        let text = text.unwrap_or_else(|error| panic!("{name} of {}: {error}", self.pid));
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Only once: then its number may be somebody else's.
    pub(crate) fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.end();
    }
}
