//! `newuidmap` and `newgidmap` against Debian's and two floors (`floor.c`, `scan.c`) that show what the
//! kernel and the policy file alone cost. All are run by one spawner (`stopwatch.c`), each time on a fresh
//! user namespace.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::fs;
use std::path::Path;
use std::process::Stdio;

use world::{ALICE, World};

use super::{PLACE, Run, Runs, gcc, gcc_floor, install_debians, seed, system_calls, write_sources};

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
    /// Before them, the caller's own id is asked for, as podman does.
    own_too: bool,
    /// What ours find in `/etc/nsgate.ini`. Nothing: there is none.
    rules: &'static str,
    rounds: u32,
    /// For the time of ours over Debian's.
    goal: f64,
    stretch: Option<f64>,
}

const CASES: [Case; 9] = [
    case("10 lines", 10, 0, 1, 1000, 0.55, Some(0.35)),
    case("1 000 lines", 1000, 0, 1, 1000, 0.42, Some(0.27)),
    case("100 000 lines", 100_000, 0, 1, 100, 0.04, None),
    case("1 000 000 lines", 1_000_000, 0, 1, 25, 0.03, None),
    case("1 000 lines, 300 triples", 1000, 0, 300, 400, 0.25, None),
    case("100 000 lines, 300 triples", 100_000, 0, 300, 21, 0.008, None),
    case("10 lines, passwd of 10 000", 10, 10_000, 1, 600, 0.35, None),
    Case { rules: RULES, ..case("100 000 owners, two rules", 100_000, 0, 1, 100, 0.04, None) },
    Case { rules: RULES, own_too: true, ..case("the same, own id first", 100_000, 0, 1, 100, 0.04, None) },
];

/// Each needs a look at every line, of the policy file and of the accounts.
const RULES: &str = "[idmap]\noverlap = refuse\nprotect-accounts = yes\n";

const fn case(
    what: &'static str,
    lines: u32,
    accounts: u32,
    triples: u32,
    rounds: u32,
    goal: f64,
    stretch: Option<f64>,
) -> Case {
    Case { what, lines, accounts, triples, own_too: false, rules: "", rounds, goal, stretch }
}

/// What is compared, in the order of the columns.
const PROGRAMS: [&str; 4] = ["Debian", "ours", "scan", "floor"];
const DEBIAN: usize = 0;
const OURS: usize = 1;
const SCAN: usize = 2;
const FLOOR: usize = 3;

/// Prints the tables of both helpers.
pub(crate) fn compare(quick: bool) {
    // In the world, ours hide Debian's.
    let debian = HELPERS.map(|helper| {
        let path = Path::new("/usr/bin").join(helper.name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; apt-get install uidmap", path.display()))
    });
    super::enter(false, |world| {
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

impl<'a> Bench<'a> {
    fn set_up(world: &'a World, quick: bool) -> Self {
        write_sources();
        gcc(&[], "stopwatch.c", "stopwatch");
        for helper in HELPERS {
            let told = [("MAP", helper.map), ("POLICY", helper.policy), ("OWNER", ALICE.name)];
            let told = told.map(|(name, value)| format!("-D{name}=\"{value}\""));
            for floor in [SCAN, FLOOR] {
                let program = format!("{}-{}", helper.name, PROGRAMS[floor]);
                gcc_floor(&told.each_ref().map(String::as_str), &format!("{}.c", PROGRAMS[floor]), &program);
            }
        }
        Self { world, quick }
    }

    /// Everything about one of the helpers.
    fn compare(&self, helper: &Helper, debian: &[u8]) -> String {
        let programs = [
            install_debians(helper.name, debian),
            format!("/usr/bin/{}", helper.name),
            format!("{PLACE}/{}-{}", helper.name, PROGRAMS[SCAN]),
            format!("{PLACE}/{}-{}", helper.name, PROGRAMS[FLOOR]),
        ];

        let mut text = format!("\n{}\n", Row::head(helper));
        let mut runs = BTreeMap::new();
        let mut calls = [0.0; 4];
        for case in &CASES {
            self.prepare(case, helper);
            let measured = self.measure(case, helper, &programs);
            writeln!(text, "{}", Row { case, runs: &measured }).expect("text");
            runs.insert(case.what, measured);
            if case.what == "1 000 lines" {
                calls = programs.each_ref().map(|program| {
                    let target = self.world.target(ALICE);
                    system_calls(self.world, program, &[vec![target.pid()], request(case)].concat())
                });
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
        row("system calls, 1 000 lines", calls, "   ", "goal <= 60");
        text
    }

    /// Brings the private host into the state of the case.
    fn prepare(&self, case: &Case, helper: &Helper) {
        if case.rules.is_empty() {
            drop(fs::remove_file("/etc/nsgate.ini"));
        } else {
            self.world.write("/etc/nsgate.ini", case.rules);
        }
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

    fn measure(&self, case: &Case, helper: &Helper, programs: &[String; 4]) -> Runs<4> {
        let rounds = if self.quick { case.rounds.div_ceil(50) } else { case.rounds };
        let mut command = self.world.command(ALICE, &format!("{PLACE}/stopwatch"));
        command.arg(helper.map).arg(seed().to_string()).arg(rounds.to_string());
        command.args(programs).arg("--").args(request(case)).stderr(Stdio::inherit());
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
}

/// As many triples, no two of which adjoin: none can be saved by merging.
fn request(case: &Case) -> Vec<String> {
    let own = case.own_too.then_some([1_000_000, ALICE.id, 1]);
    let granted = (0..case.triples).map(|n| [2 * n, 600_000 + 2 * n, 1]);
    own.into_iter().chain(granted).flatten().map(|number| number.to_string()).collect()
}

/// One line of the table of times.
struct Row<'a> {
    case: &'a Case,
    runs: &'a Runs<4>,
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
