//! A run of a helper, and what befalls it.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use world::Dice;

use super::nursery::Cell;
use super::{Soak, command, count};

/// What befalls a run, after some part of the time that such a run takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Nothing.
    Peace,
    /// SIGKILL.
    Killed,
    /// SIGSTOP, and SIGCONT after a while.
    Stopped,
    /// SIGSTOP, and SIGKILL after a while.
    StoppedAndKilled,
    /// The process that it works for gets SIGKILL.
    TargetKilled,
}

impl Fate {
    /// Half of them have peace.
    pub(crate) fn drawn(dice: &mut Dice) -> Self {
        match dice.below(100) {
            0..22 => Self::Killed,
            22..36 => Self::Stopped,
            36..42 => Self::StoppedAndKilled,
            42..50 => Self::TargetKilled,
            _ => Self::Peace,
        }
    }
}

/// How it ended, and what it said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// None: it was killed.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// One user's runs.
pub(crate) struct Helpers<'a> {
    soak: &'a Soak<'a>,
    uid: u32,
    /// How long the last ones have taken that nothing befell.
    takes: BTreeMap<String, Duration>,
}

impl<'a> Helpers<'a> {
    pub(crate) fn of(soak: &'a Soak<'a>, uid: u32) -> Self {
        Self { soak, uid, takes: BTreeMap::new() }
    }

    /// Runs it to its end, whatever that is.
    pub(crate) fn run(
        &mut self,
        dice: &mut Dice,
        fate: Fate,
        (program, args): (&str, &[&str]),
        target: &mut Cell,
    ) -> Answer {
        let key = format!("{program} {}", args[0].parse::<u32>().map_or(args[0], |_| ""));
        let usual = self.takes.get(&key).copied().unwrap_or(Duration::from_millis(2));
        // At its very beginning, or somewhere in it, or when it has just ended.
        let part = if dice.percent(30) { 0 } else { dice.below(900) };
        let after = usual.mul_f64(f64::from(u32::try_from(part).expect("small")) / 1000.0);
        let pause = Duration::from_micros(dice.below(8000));
        let counts = &self.soak.counts;
        count(&counts.runs);

        // It has been executed when this returns.
        let mut process = command(self.soak.world, self.uid, program).args(args).spawn().expect("a helper");
        let start = Instant::now();
        if fate != Fate::Peace {
            sleep(after);
        }
        match fate {
            Fate::Peace => {}
            Fate::Killed => process.kill().expect("kill"),
            Fate::Stopped | Fate::StoppedAndKilled => {
                signal(&process, Signal::SIGSTOP);
                sleep(pause);
                let then = if fate == Fate::Stopped { Signal::SIGCONT } else { Signal::SIGKILL };
                signal(&process, then);
            }
            Fate::TargetKilled => target.end(),
        }
        let output = process.wait_with_output().expect("wait");
        let took = start.elapsed();

        match fate {
            Fate::Peace => drop(self.takes.insert(key, (usual * 7 + took) / 8)),
            Fate::Stopped => drop(count(&counts.stopped)),
            Fate::TargetKilled => drop(count(&counts.targets_killed)),
            Fate::Killed | Fate::StoppedAndKilled => {
                counts
                    .killed
                    .fetch_add(u64::from(output.status.signal() == Some(9)), super::Ordering::Relaxed);
            }
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (status, signal) = (output.status.code(), output.status.signal());
        let answer = Answer { status, stdout: text(&output.stdout), stderr: text(&output.stderr) };
        // It ends by itself, or by our SIGKILL; and it says something on one of the two, or nothing.
        let may_die = matches!(fate, Fate::Killed | Fate::StoppedAndKilled);
        let sound = match (status, signal) {
            (Some(0), None) => answer.stderr.is_empty(),
            (Some(1), None) => answer.stdout.is_empty() && answer.stderr.lines().count() == 1,
            (None, Some(9)) => may_die,
            _ => false,
        };
        self.soak.check(sound, || format!("{program} {args:?}, {fate:?}: signal {signal:?}, {answer:?}"));
        self.soak.check(took < Duration::from_secs(60), || format!("{program} {args:?} took {took:?}"));
        answer
    }
}

fn signal(process: &Child, signal: Signal) {
    // It may have ended, but nobody has asked how yet: its number is nobody else's.
    let _ = kill(Pid::from_raw(i32::try_from(process.id()).expect("a pid")), signal);
}
