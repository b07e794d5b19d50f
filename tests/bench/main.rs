//! What `newuidmap` and `newgidmap` cost, side by side: ours, the C ones of this host's `uidmap` package, and two
//! floors (`floor.c`, `scan.c`) that show what the kernel and the policy file alone cost.
//!
//! ```sh
//! apt-get install gcc libc6-dev strace uidmap
//! cargo build --release
//! cargo run --release -p nsgate-tests --bin bench              # as root; under three minutes
//! cargo run --release -p nsgate-tests --bin bench -- --quick   # a few rounds: does it still run?
//! ```
//!
//! Whole process, from spawn to exit, as an unprivileged user, on a machine of its own (`world`). All programs are run
//! by one spawner (`stopwatch.c`), once a round in an order drawn anew, each time on a fresh user namespace. Absolute
//! times drift with the machine, so the figures to quote are the medians of the ratios *within* a round; the brackets
//! hold the middle half of them. Nobody listens at `/dev/log`, nor does Debian's log there.
//!
//! It prints and judges nothing: "goal" is the ratio to reach, and a `*` says where it is not reached today.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use world::{ALICE, World, theirs};

/// The two helpers, and what their floors have to be told.
struct Helper {
    name: &'static str,
    map: &'static str,
    policy: &'static str,
}

const HELPERS: [Helper; 2] = [
    Helper { name: "newuidmap", map: "uid_map", policy: "/etc/subuid" },
    Helper { name: "newgidmap", map: "gid_map", policy: "/etc/subgid" },
];

/// One state of the host, and one request.
struct Case {
    what: &'static str,
    /// Of the policy file, the caller's being the last.
    lines: u32,
    /// Of `/etc/passwd`, besides this host's, the caller's being the last.
    accounts: u32,
    triples: u32,
    rounds: u32,
    /// For the time of ours over Debian's.
    goal: f64,
    stretch: Option<f64>,
}

const CASES: [Case; 7] = [
    case("10 lines", 10, 0, 1, 1000, 0.55, Some(0.35)),
    case("1 000 lines", 1000, 0, 1, 1000, 0.42, Some(0.27)),
    case("100 000 lines", 100_000, 0, 1, 100, 0.04, None),
    case("1 000 000 lines", 1_000_000, 0, 1, 25, 0.03, None),
    case("1 000 lines, 300 triples", 1000, 0, 300, 400, 0.25, None),
    case("100 000 lines, 300 triples", 100_000, 0, 300, 21, 0.008, None),
    case("10 lines, passwd of 10 000", 10, 10_000, 1, 600, 0.35, None),
];

const fn case(
    what: &'static str,
    lines: u32,
    accounts: u32,
    triples: u32,
    rounds: u32,
    goal: f64,
    stretch: Option<f64>,
) -> Case {
    Case { what, lines, accounts, triples, rounds, goal, stretch }
}

/// What is compared, in the order of the columns.
const PROGRAMS: [&str; 4] = ["Debian", "ours", "scan", "floor"];
const DEBIAN: usize = 0;
const OURS: usize = 1;
const SCAN: usize = 2;
const FLOOR: usize = 3;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let quick = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--quick"] => true,
        _ => panic!("usage: bench [--quick]"),
    };
    assert!(!theirs(), "UNDER_TEST means nothing here: both are run");
    // In the world, ours hide Debian's.
    let debian = HELPERS.map(|helper| {
        let path = Path::new("/usr/bin").join(helper.name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; apt-get install uidmap", path.display()))
    });
    World::enter(|world| {
        let bench = Bench::set_up(world, quick);
        for (helper, debian) in HELPERS.iter().zip(&debian) {
            print!("{}", bench.compare(helper, debian));
        }
    });
}

/// The world with the programs to be compared in it.
struct Bench<'a> {
    world: &'a World,
    quick: bool,
}

/// Not under a directory that the unprivileged user could write.
const PLACE: &str = "/run/bench";

/// Taken along, as the world hides the source tree where that is in /tmp or /home.
const SOURCES: [(&str, &str); 4] = [
    ("bare.h", include_str!("bare.h")),
    ("floor.c", include_str!("floor.c")),
    ("scan.c", include_str!("scan.c")),
    ("stopwatch.c", include_str!("stopwatch.c")),
];

impl<'a> Bench<'a> {
    fn set_up(world: &'a World, quick: bool) -> Self {
        fs::create_dir(PLACE).expect("create");
        for (name, text) in SOURCES {
            fs::write(format!("{PLACE}/{name}"), text).expect("write");
        }
        let gcc = |args: &[&str], source: &str, program: &str| {
            let mut command = Command::new("gcc");
            command.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static"]).args(args);
            command.arg("-o").arg(program).arg(source).current_dir(PLACE);
            let status = command.status().unwrap_or_else(|error| panic!("gcc: {error}; apt-get install gcc"));
            assert!(status.success(), "{command:?}: {status}");
        };
        gcc(&[], "stopwatch.c", "stopwatch");
        for helper in HELPERS {
            let (map, policy) = (helper.map, helper.policy);
            let bare = ["-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie"];
            let told = [("MAP", map), ("POLICY", policy), ("OWNER", ALICE.name)];
            let told = told.map(|(name, value)| format!("-D{name}=\"{value}\""));
            let args: Vec<&str> = bare.into_iter().chain(told.iter().map(String::as_str)).collect();
            for floor in [SCAN, FLOOR] {
                let program = format!("{}-{}", helper.name, PROGRAMS[floor]);
                gcc(&args, &format!("{}.c", PROGRAMS[floor]), &program);
                make_set_id(&format!("{PLACE}/{program}"));
            }
        }
        Self { world, quick }
    }

    /// Everything about one of the helpers.
    fn compare(&self, helper: &Helper, debian: &[u8]) -> String {
        let installed = format!("{PLACE}/debian/{}", helper.name);
        fs::create_dir_all(format!("{PLACE}/debian")).expect("create");
        fs::write(&installed, debian).expect("write");
        make_set_id(&installed);
        let programs = [
            installed,
            format!("/usr/bin/{}", helper.name),
            format!("{PLACE}/{}-{}", helper.name, PROGRAMS[SCAN]),
            format!("{PLACE}/{}-{}", helper.name, PROGRAMS[FLOOR]),
        ];

        let mut text = format!("\n{}\n", Row::head(helper));
        let mut runs = BTreeMap::new();
        let mut system_calls = [0.0; 4];
        for case in &CASES {
            self.prepare(case, helper);
            let measured = self.measure(case, helper, &programs);
            writeln!(text, "{}", Row { case, runs: &measured }).expect("text");
            runs.insert(case.what, measured);
            if case.what == "1 000 lines" {
                system_calls = programs.each_ref().map(|program| self.system_calls(case, program));
            }
        }
        let mut row = |what: &str, values: [f64; 4], unit: &str, goal: &str| {
            let values = values.map(|value| format!("{value:>9.0}{unit}")).concat();
            writeln!(text, "{what:<34}{values}    {goal}").expect("text");
        };
        let peak = runs["1 000 000 lines"].medians(|run| run.peak);
        row("peak memory, 1 000 000 lines", peak, " kB", "goal <= 4096 kB");
        row("page faults, 10 lines", runs["10 lines"].medians(|run| run.faults), "   ", "");
        row("page faults, 1 000 lines", runs["1 000 lines"].medians(|run| run.faults), "   ", "");
        row("system calls, 1 000 lines", system_calls, "   ", "goal <= 60");
        text
    }

    /// Brings the private host into the state of the case.
    fn prepare(&self, case: &Case, helper: &Helper) {
        let mut policy = String::new();
        for other in 1..case.lines {
            // Plausible lines of other people, all of one length as `useradd` would make them.
            let first = 1_000_000 + other % 60_000 * 65_536;
            writeln!(policy, "user{other:07}:{first}:65536").expect("text");
        }
        writeln!(policy, "{}:600000:65536", ALICE.name).expect("text");
        self.world.write(helper.policy, policy);

        let passwd = fs::read_to_string("/etc/passwd").expect("passwd");
        let is_ours = |line: &&str| line.starts_with("user0") || line.starts_with(ALICE.name);
        let mut accounts: Vec<String> =
            passwd.lines().filter(|line| !is_ours(line)).map(str::to_owned).collect();
        accounts.extend((1..=case.accounts).map(|other| {
            format!(
                "user{other:07}:x:{0}:{0}:User {other},,,:/home/user{other:07}:/bin/bash",
                100_000 + other
            )
        }));
        accounts.push(format!("{0}:x:{1}:{1}::/home/{0}:/bin/sh\n", ALICE.name, ALICE.id));
        self.world.write("/etc/passwd", accounts.join("\n"));
    }

    fn measure(&self, case: &Case, helper: &Helper, programs: &[String; 4]) -> Runs {
        let rounds = if self.quick { case.rounds.div_ceil(50) } else { case.rounds };
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
        let mut command = self.world.command(ALICE, &format!("{PLACE}/stopwatch"));
        command.arg(helper.map).arg(since_1970.as_nanos().to_string()).arg(rounds.to_string());
        command.args(programs).arg("--").args(request(case.triples)).stderr(Stdio::inherit());
        let output = command.output().expect("stopwatch");
        assert!(output.status.success(), "{}: {command:?}: {}", case.what, output.status);

        let text = String::from_utf8(output.stdout).expect("text");
        let mut by_program: [Vec<Run>; 4] = Default::default();
        for line in text.lines() {
            let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
            let [place, nanoseconds, peak, faults] = numbers[..] else { panic!("stopwatch said {line:?}") };
            let program = (0..4).find(|program| *program as f64 == place).expect("a program");
            by_program[program].push(Run { milliseconds: nanoseconds / 1e6, peak, faults });
        }
        Runs(by_program)
    }

    /// System calls of the program itself, from its `execve` to its end.
    fn system_calls(&self, case: &Case, program: &str) -> f64 {
        let log = format!("{PLACE}/trace");
        let target = self.world.target(ALICE);
        // Root may trace a set-id program without taking its privilege away.
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "signal=none", "-u", ALICE.name, "-o", &log, program, &target.pid()]);
        let status = strace.args(request(case.triples)).status();
        let status = status.unwrap_or_else(|error| panic!("strace: {error}; apt-get install strace"));
        assert!(status.success(), "{strace:?}: {status}");
        let log = fs::read_to_string(log).expect("trace");
        assert!(!log.contains("unfinished"), "more than one process: count again");
        log.lines().count() as f64
    }
}

fn make_set_id(program: &str) {
    fs::set_permissions(program, Permissions::from_mode(0o4755)).expect("chmod");
}

/// As many triples, no two of which adjoin: none can be saved by merging.
fn request(triples: u32) -> Vec<String> {
    (0..triples).flat_map(|n| [2 * n, 600_000 + 2 * n, 1]).map(|number| number.to_string()).collect()
}

struct Run {
    milliseconds: f64,
    /// In KiB. Never less than the spawner's own.
    peak: f64,
    faults: f64,
}

/// Of each program, one run a round.
struct Runs([Vec<Run>; 4]);

impl Runs {
    fn medians(&self, of: impl Fn(&Run) -> f64) -> [f64; 4] {
        self.0.each_ref().map(|runs| quartiles(runs.iter().map(&of))[1])
    }

    /// The quartiles of the ratios of time within a round.
    fn ratios(&self, this: usize, that: usize) -> [f64; 3] {
        let rounds = self.0[this].iter().zip(&self.0[that]);
        quartiles(rounds.map(|(this, that)| this.milliseconds / that.milliseconds))
    }
}

fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[values.len() * quarter / 4])
}

/// One line of the table of times.
struct Row<'a> {
    case: &'a Case,
    runs: &'a Runs,
}

impl Row<'_> {
    fn head(helper: &Helper) -> String {
        let what = format!("{}, caller's line last", helper.name);
        let programs = PROGRAMS.map(|name| format!("{name:>9} ms")).join("");
        format!("{what:<34}{programs}    ours/Debian           goal (stretch)   ours/scan  ours/floor")
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<34}", self.case.what)?;
        for milliseconds in self.runs.medians(|run| run.milliseconds) {
            write!(f, "{milliseconds:>12.3}")?;
        }
        let [low, middle, high] = self.runs.ratios(OURS, DEBIAN);
        let missed = if middle > self.case.goal { "*" } else { " " };
        let goal = match self.case.stretch {
            Some(stretch) => format!("<= {} ({stretch})", self.case.goal),
            None => format!("<= {}", self.case.goal),
        };
        let ratio = format!("{middle:.3}{missed} [{low:.3}-{high:.3}]");
        let [scan, floor] = [SCAN, FLOOR].map(|floor| self.runs.ratios(OURS, floor)[1]);
        write!(f, "    {ratio:<20}  {goal:<15}  {scan:>9.2}  {floor:>10.2}")
    }
}
