//! Eight users at once, who have maps written and interfaces made and removed, while their helpers and containers are
//! killed, stopped and continued at random: is anything left, or ever too much?
//!
//! ```sh
//! cargo build --release
//! cargo run --release -p nsgate-tests --bin soak                     # as root; an hour or so
//! cargo run --release -p nsgate-tests --bin soak -- --quick          # half a minute
//! cargo run --release -p nsgate-tests --bin soak -- --seed 7         # the choices of another run again
//! ```
//!
//! What each user does, and when his helpers are killed, is drawn from the seed, which is printed. When exactly a signal
//! meets a helper, the scheduler decides.
//!
//! It ends with status 0 only if all of this holds:
//! - Every map is empty or whole, and `setgroups` is what goes with it ([`maps`]).
//! - No quota is ever exceeded, as far as a look at the kernel's lists all the time can see ([`sampler`]); a user whose quota
//!   has room gets his interface; in the end each quota gives what it says, and not one more ([`nics`]).
//! - Then nothing is left: no interface, record, line, file, process, zombie or descriptor ([`census`]).

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use world::{Dice, World, theirs};

mod census;
mod helper;
mod maps;
mod nics;
mod nursery;
mod sampler;

use census::Census;
use helper::Helpers;
use nursery::Nursery;

/// So many at once.
const USERS: usize = 8;

/// The first user's uid.
const FIRST_UID: u32 = 53201;

/// The login group of all of them.
const CREW: u32 = 53200;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (mut goal, mut seed) = (Goal { maps: 100_000, cycles: 20_000 }, None);
    let mut words = args.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--quick" => goal = Goal { maps: 2_400, cycles: 480 },
            "--seed" => seed = words.next().and_then(|number| number.parse().ok()),
            _ => panic!("usage: soak [--quick] [--seed NUMBER]"),
        }
    }
    assert!(!theirs(), "UNDER_TEST means nothing here: the C helpers do not promise any of it");
    let seed = seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
        u64::from(now.subsec_nanos())
    });
    println!(
        "{USERS} users, {} maps and {} interfaces, {} processors, seed {seed}",
        goal.maps,
        goal.cycles,
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    let mut failures = vec![];
    World::enter_with_nic(|world| failures = soak(world, goal, seed));
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    if !failures.is_empty() {
        println!("again: cargo run --release -p nsgate-tests --bin soak -- --seed {seed}");
        std::process::exit(1);
    }
}

/// How much is to be done before it is over.
#[derive(Clone, Copy)]
struct Goal {
    /// Maps that have been written.
    maps: u64,
    /// Interfaces that have been made and are gone.
    cycles: u64,
}

/// What all that run at once have in common.
struct Soak<'a> {
    world: &'a World,
    tables: String,
    goal: Goal,
    counts: Counts,
    over: AtomicBool,
    failures: Mutex<Vec<String>>,
    /// User and network namespaces that the kernel had at first.
    first_slabs: OnceLock<(u64, u64)>,
}

/// What was done.
#[derive(Default)]
struct Counts {
    maps: AtomicU64,
    cycles: AtomicU64,
    runs: AtomicU64,
    killed: AtomicU64,
    stopped: AtomicU64,
    targets_killed: AtomicU64,
    refused: AtomicU64,
    full: AtomicU64,
    /// Killed helpers that had made an interface which counts.
    adopted: AtomicU64,
    looks: AtomicU64,
}

impl Soak<'_> {
    /// Something is not as it should be. It goes on until everybody has seen that.
    fn fail(&self, what: String) {
        let mut failures = self.failures.lock().expect("failures");
        if failures.len() < 20 {
            failures.push(what);
        }
        self.over.store(true, Ordering::Relaxed);
    }

    fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(what());
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

fn count(what: &AtomicU64) -> u64 {
    what.fetch_add(1, Ordering::Relaxed) + 1
}

/// What there is before, all of it at once, what is left. Returns what was wrong.
fn soak(world: &World, goal: Goal, seed: u64) -> Vec<String> {
    nursery::compile();
    accounts(world);
    nics::prepare(world);
    let soak = Soak {
        world,
        tables: world.tables(),
        goal,
        counts: Counts::default(),
        over: AtomicBool::new(false),
        failures: Mutex::default(),
        first_slabs: OnceLock::new(),
    };
    let (before, start) = (Census::take(&soak), Instant::now());

    // The sampler looks until the users have all done.
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sampler = scope.spawn(|| sampler::watch(&soak, &done));
        let users: Vec<_> = (0..USERS)
            .map(|user| {
                let soak = &soak;
                scope.spawn(move || User::new(soak, user, seed).live())
            })
            .collect();
        for user in users {
            if user.join().is_err() {
                soak.fail("a user's thread has panicked".to_owned());
            }
        }
        done.store(true, Ordering::Relaxed);
        soak.check(sampler.join().is_ok(), || "the sampler has panicked".to_owned());
    });
    let ran = start.elapsed();
    nics::settle(&soak);
    if !soak.is_over() {
        nics::fill_and_empty(&soak);
    }
    nics::settle(&soak);
    let after = Census::take(&soak);
    print(&soak, &before, &after, ran);
    let mut failures = soak.failures.into_inner().expect("failures");
    failures.extend(before.what_is_left(&after));
    failures
}

fn print(soak: &Soak<'_>, before: &Census, after: &Census, ran: Duration) {
    let counts = &soak.counts;
    for (what, number) in [
        ("maps written", &counts.maps),
        ("interfaces made and removed", &counts.cycles),
        ("runs of a helper", &counts.runs),
        ("  killed", &counts.killed),
        ("  stopped and continued", &counts.stopped),
        ("  whose target or container was killed", &counts.targets_killed),
        ("  refused by policy, as they should be", &counts.refused),
        ("  refused as the quota was full", &counts.full),
        ("interfaces that a killed helper had finished", &counts.adopted),
        ("looks at all interfaces meanwhile", &counts.looks),
    ] {
        println!("{what:<46}{:>10}", number.load(Ordering::Relaxed));
    }
    println!("{:<46}{:>10}", "seconds", ran.as_secs());
    print!("\n{}", before.beside(after));
}

/// Eight accounts, of one login group, with subordinate ids of their own.
fn accounts(world: &World) {
    let of_all = |line: fn(u32) -> String| (0..8).map(line).collect::<String>();
    world.append("/etc/passwd", &of_all(|n| format!("soak{n}:x:{}:{CREW}::/:/bin/sh\n", FIRST_UID + n)));
    world.append("/etc/group", &format!("crew:x:{CREW}:\n"));
    for file in ["/etc/subuid", "/etc/subgid"] {
        world.append(file, &of_all(|n| format!("soak{n}:{}:65536\n", maps::first_id(n))));
    }
}

/// One of the users: all that he does, he does one thing after the other.
struct User<'a> {
    soak: &'a Soak<'a>,
    number: u32,
    dice: Dice,
    nursery: Nursery,
    helpers: Helpers<'a>,
}

impl<'a> User<'a> {
    fn new(soak: &'a Soak<'a>, number: usize, seed: u64) -> Self {
        let number = u32::try_from(number).expect("eight");
        let uid = FIRST_UID + number;
        Self {
            soak,
            number,
            dice: Dice(seed.wrapping_mul(1_000_003).wrapping_add(number.into())),
            nursery: Nursery::of(soak.world, uid),
            helpers: Helpers::of(soak, uid),
        }
    }

    fn live(mut self) {
        let mut nics = nics::Nics::default();
        let (Goal { maps, cycles }, counts) = (self.soak.goal, &self.soak.counts);
        while !self.soak.is_over() {
            let done = [&counts.maps, &counts.cycles].map(|count| count.load(Ordering::Relaxed));
            let left = [maps.saturating_sub(done[0]), cycles.saturating_sub(done[1])];
            // Two maps at a time.
            match (left[0].div_ceil(2), left[1]) {
                (0, 0) => break,
                (maps, cycles) if self.dice.below(maps + cycles) < maps => maps::round(&mut self),
                _ => nics::round(&mut self, &mut nics),
            }
        }
    }
}

/// A command of one of the users, in the group of all.
fn command(world: &World, uid: u32, program: &str) -> Command {
    let mut command = world.command_as(uid, CREW, program);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    command
}
