//! `lxc-user-nic create` against Debian's and a floor (`floor_nic.c`) that shows what the kernel alone costs:
//! two messages, no questions. They are run by spawners (`spawner.c`), one a user.
//!
//! Every run begins in the same state: the policy, the NICs that are there and each side's own ledger of them
//! are those of the case. What a run makes is removed again off the clock.
//!
//! A kernel bridge takes 1023 ports. So the thousand NICs that exist, the caller's own or another user's, are
//! on the very bridge that the new one goes to, and the kernel's own cost of so many ports is in all sides'.
//! Their other ends are in one container, as containers are dear to make; were it a thousand, Debian's, which
//! asks for all links, would be slower.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use world::{ALICE, BOB, Container, LXC_USER_NIC, User, World};

use super::{
    PLACE, Run, Runs, gcc, gcc_floor, install_debians, quartiles, seed, system_calls, write_sources,
};

/// What is compared, in the order of the columns.
const SIDES: [&str; 3] = ["Debian", "ours", "floor"];
const DEBIAN: usize = 0;
const OURS: usize = 1;
const FLOOR: usize = 2;

const BRIDGE: &str = "lxcbr0";

/// Who work side by side.
const TEAM: [User; 8] = [
    User { name: "worker1", id: 53001 },
    User { name: "worker2", id: 53002 },
    User { name: "worker3", id: 53003 },
    User { name: "worker4", id: 53004 },
    User { name: "worker5", id: 53005 },
    User { name: "worker6", id: 53006 },
    User { name: "worker7", id: 53007 },
    User { name: "worker8", id: 53008 },
];

/// One NIC is made by Alice.
struct Case {
    what: &'static str,
    /// Of lxc-usernet, the caller's being the last.
    lines: usize,
    before: Before,
    rounds: u32,
    goals: Goals,
}

/// What is there already.
struct Before {
    /// So many NICs. None: not even a ledger, as after a boot.
    nics: usize,
    /// Of this user's.
    owner: User,
    /// And one more, of the caller's, was made and is gone, which nobody has told the ledger. That is how
    /// every container ends.
    one_gone: bool,
}

const NONE: Before = Before { nics: 0, owner: ALICE, one_gone: false };

const fn nics(nics: usize, owner: User) -> Before {
    Before { nics, owner, one_gone: false }
}

const fn and_one_gone(before: Before) -> Before {
    Before { one_gone: true, ..before }
}

/// A number of NICs is made by several at once, each in a container of its own.
struct Rush {
    what: &'static str,
    workers: usize,
    /// The workers take turns to be of these.
    users: &'static [User],
    goals: Goals,
}

/// For the time of ours over another side's.
#[derive(Clone, Copy)]
struct Goals {
    debian: Option<f64>,
    floor: Option<f64>,
}

const fn goals(debian: f64, floor: f64) -> Goals {
    Goals { debian: Some(debian), floor: Some(floor) }
}

const NO_GOALS: Goals = Goals { debian: None, floor: None };

/// A quick run has so many times fewer NICs than its table says.
const QUICKER: usize = 5;

// The cases that more is said about.
const NOTHING: &str = "nothing there yet, 10 lines";
const OF_CALLER: &str = "1 000 NICs of the caller's";
const OF_OTHERS: &str = "1 000 NICs of another user's";

const CASES: [Case; 9] = [
    case(NOTHING, 10, NONE, 200, goals(0.50, 2.0)),
    case("the same, 10 000 lines", 10_000, NONE, 150, goals(0.25, 2.2)),
    case("one was there, and is gone", 10, and_one_gone(NONE), 150, NO_GOALS),
    case("100 NICs of the caller's", 10, nics(100, ALICE), 150, goals(0.35, 1.8)),
    case("500 NICs of the caller's", 10, nics(500, ALICE), 100, goals(0.22, 1.7)),
    case(OF_CALLER, 10, nics(1000, ALICE), 100, goals(0.16, 1.7)),
    case("the same, and one is gone", 10, and_one_gone(nics(1000, ALICE)), 100, NO_GOALS),
    case(OF_OTHERS, 10, nics(1000, BOB), 150, NO_GOALS),
    case("the same, the caller's one is gone", 10, and_one_gone(nics(1000, BOB)), 100, NO_GOALS),
];

const fn case(what: &'static str, lines: usize, before: Before, rounds: u32, goals: Goals) -> Case {
    Case { what, lines, before, rounds, goals }
}

const RUSHES: [Rush; 3] = [
    Rush { what: "200 NICs by 1 worker", workers: 1, users: &[ALICE], goals: goals(0.35, 2.0) },
    Rush { what: "200 by 8 workers of 8 users", workers: 8, users: &TEAM, goals: goals(0.40, 1.5) },
    Rush { what: "200 by 32 workers of 8 users", workers: 32, users: &TEAM, goals: NO_GOALS },
];

/// Prints the table.
pub(crate) fn compare(quick: bool) {
    // In the world, ours hides Debian's.
    let debian =
        fs::read(LXC_USER_NIC).unwrap_or_else(|error| panic!("{LXC_USER_NIC}: {error}; apt-get install lxc"));
    super::enter(true, |world| Bench::set_up(world, quick, &debian).compare());
}

/// The world with the programs to be compared in it.
struct Bench<'a> {
    world: &'a World,
    quick: bool,
    programs: [String; 3],
}

impl<'a> Bench<'a> {
    fn set_up(world: &'a World, quick: bool, debian: &[u8]) -> Self {
        write_sources();
        gcc(&[], "spawner.c", "spawner");
        let programs = [
            install_debians("lxc-user-nic", debian),
            LXC_USER_NIC.to_owned(),
            gcc_floor(&[], "floor_nic.c", "floor_nic"),
        ];
        for user in TEAM {
            world.append("/etc/passwd", &format!("{0}:x:{1}:{1}::/:/bin/sh\n", user.name, user.id));
            world.append("/etc/group", &format!("{0}:x:{1}:\n", user.name, user.id));
        }
        world.bridge(BRIDGE);
        // As lxc-net does. A bridge without an address of its own takes the least of its ports'.
        world.ip(&["link", "set", BRIDGE, "address", "00:16:3e:00:00:00"]);
        Self { world, quick, programs }
    }

    fn compare(&self) {
        println!("\n{}", Row::head());
        if self.quick {
            println!("(quick: all numbers of NICs are divided by {QUICKER})");
        }
        let (mut runs, mut calls) = (BTreeMap::new(), BTreeMap::new());
        let mut crowd = None;
        for case in &CASES {
            self.prepare(case, &mut crowd);
            let measured = self.measure(case);
            println!("{}", Row { what: case.what, goals: case.goals, runs: &measured });
            runs.insert(case.what, measured);
            calls.insert(case.what, self.system_calls());
        }
        self.disperse(&mut crowd);
        let (nics, rounds) = (self.scaled(200), if self.quick { 1 } else { 15 });
        let mut containers: Vec<(User, Container)> = vec![];
        for rush in &RUSHES {
            if containers.first().is_none_or(|(user, _)| *user != rush.users[0]) {
                let users = rush.users.iter().cycle().take(nics);
                containers = users.map(|user| (*user, self.world.container(*user))).collect();
            }
            let runs = self.measure_rush(rush, &containers, rounds);
            println!("{}", Row { what: rush.what, goals: rush.goals, runs: &runs });
        }
        drop(containers);

        let [none, of_others] = [NOTHING, OF_OTHERS].map(|what| over_floor(&runs[what]));
        let [debian, ours] = [DEBIAN, OURS].map(|side| of_others[side] / none[side]);
        let missed = if ours > 1.1 { "*" } else { " " };
        let what = "another user's 1 000 over nothing";
        println!(
            "{what:<34}{debian:>12.2}{ours:>12.2}{missed}              goal <= 1.1; without the kernel's part"
        );
        let row = |what: &str, values: [f64; 3], unit: &str, goal: &str| {
            let values = values.map(|value| format!("{value:>9.0}{unit}")).concat();
            println!("{what:<34}{values}    {goal}");
        };
        for (what, case) in [("nothing there yet", NOTHING), ("1 000 NICs", OF_CALLER)] {
            row(&format!("peak memory, {what}"), runs[case].medians(|run| run.peak), " kB", "");
            row(&format!("page faults, {what}"), runs[case].medians(|run| run.faults), "   ", "");
            let goal = if case == NOTHING { "goal <= 130" } else { "" };
            row(&format!("system calls, {what}"), calls[case], "   ", goal);
        }
    }

    /// Brings the private host into the state of the case. The cases go from few NICs to many, so that those
    /// of the last one, the crowd, can stay.
    fn prepare(&self, case: &Case, crowd: &mut Option<Crowd>) {
        self.usernet(case.lines, &[BOB, ALICE]);
        let Before { nics, owner, one_gone } = case.before;
        let nics = self.scaled(nics);
        if crowd.as_ref().is_none_or(|crowd| crowd.owner != owner) {
            self.disperse(crowd);
        }
        let crowd = crowd.get_or_insert_with(|| Crowd {
            owner,
            container: self.world.container(owner),
            host_names: vec![],
        });
        if crowd.host_names.len() < nics {
            self.enlarge(crowd, nics);
        }
        if one_gone {
            let container = self.world.container(ALICE);
            let mut spawner = Spawner::start(self.world, ALICE);
            for side in [DEBIAN, OURS] {
                self.make_and_delete(side, &mut spawner, &container);
                save_ledger(side);
            }
        }
    }

    /// Ours makes the NICs, for both: Debian's ledger is easily written by hand.
    fn enlarge(&self, crowd: &mut Crowd, nics: usize) {
        restore_ledger(OURS);
        let pids = vec![crowd.container.pid(); nics - crowd.host_names.len()];
        let made = Spawner::start(self.world, crowd.owner).run(&self.programs[OURS], &pids);
        save_ledger(OURS);
        crowd.host_names.extend(made.host_names);
        let line = |name: &String| format!("{} veth {BRIDGE} {name}\n", crowd.owner.name);
        drop(fs::remove_dir_all(LEDGER));
        fs::create_dir(LEDGER).expect("create");
        let nics = format!("{LEDGER}/nics");
        fs::write(&nics, crowd.host_names.iter().map(line).collect::<String>()).expect("write");
        fs::set_permissions(&nics, Permissions::from_mode(0o600)).expect("chmod");
        save_ledger(DEBIAN);
    }

    /// Nothing is there any more.
    fn disperse(&self, crowd: &mut Option<Crowd>) {
        if let Some(crowd) = crowd.take() {
            drop(crowd.container);
            crowd.host_names.iter().for_each(|name| self.world.wait_until_gone(name));
        }
        [DEBIAN, OURS].into_iter().for_each(forget_ledger);
    }

    /// Writes lxc-usernet: lines of other people, then those of these.
    fn usernet(&self, lines: usize, users: &[User]) {
        let others = (1..=lines - users.len()).map(|other| format!("user{other:07} veth {BRIDGE} 10\n"));
        let users = users.iter().map(|user| format!("{} veth {BRIDGE} 2000\n", user.name));
        self.world.usernet(others.chain(users).collect::<String>());
    }

    fn scaled(&self, nics: usize) -> usize {
        if self.quick { nics / QUICKER } else { nics }
    }

    fn measure(&self, case: &Case) -> Runs<3> {
        let container = self.world.container(ALICE);
        let mut spawner = Spawner::start(self.world, ALICE);
        let rounds = if self.quick { case.rounds.div_ceil(50) } else { case.rounds };
        measure(rounds, |side| self.make_and_delete(side, &mut spawner, &container))
    }

    fn make_and_delete(&self, side: usize, spawner: &mut Spawner, container: &Container) -> Run {
        restore_ledger(side);
        let made = spawner.run(&self.programs[side], &[container.pid()]);
        let [name] = &made.host_names[..] else { panic!("one NIC was to be made") };
        self.world.ip(&["link", "delete", name]);
        made.cost()
    }

    fn measure_rush(&self, rush: &Rush, containers: &[(User, Container)], rounds: u32) -> Runs<3> {
        self.usernet(10, rush.users);
        // As the number of workers is a multiple of that of users, each gets containers of one user's.
        let mut workers: Vec<(Spawner, Vec<String>)> = (0..rush.workers)
            .map(|worker| {
                let pids = containers.iter().skip(worker).step_by(rush.workers).map(|(_, own)| own.pid());
                (Spawner::start(self.world, containers[worker].0), pids.collect())
            })
            .collect();
        measure(rounds, |side| {
            restore_ledger(side);
            for (spawner, pids) in &mut workers {
                spawner.ask(&self.programs[side], pids);
            }
            let made = workers.iter_mut().map(|(spawner, _)| spawner.answer());
            let made = made.reduce(Made::together).expect("workers");
            assert_eq!(made.host_names.len(), containers.len(), "{}: {}", rush.what, SIDES[side]);
            self.delete_all(&made.host_names);
            made.cost()
        })
    }

    /// Deletes these links of the host at once.
    fn delete_all(&self, names: &[String]) {
        let batch = format!("{PLACE}/batch");
        let group = names.iter().map(|name| format!("link set dev {name} group 7\n")).collect::<String>();
        fs::write(&batch, group + "link delete group 7\n").expect("write");
        self.world.ip(&["-batch", &batch]);
    }

    fn system_calls(&self) -> [f64; 3] {
        [DEBIAN, OURS, FLOOR].map(|side| {
            restore_ledger(side);
            let container = self.world.container(ALICE);
            let args = ["create", "/dev/null", "bench", &container.pid(), "veth", BRIDGE].map(str::to_owned);
            let calls = system_calls(self.world, &self.programs[side], &args);
            container.delete_link("eth0");
            calls
        })
    }
}

/// Measures all sides once a round, in an order drawn anew.
fn measure(rounds: u32, mut run: impl FnMut(usize) -> Run) -> Runs<3> {
    let mut runs = Runs(Default::default());
    let mut drawn = seed();
    let mut draw = |below: u64| {
        drawn ^= drawn << 13;
        drawn ^= drawn >> 7;
        drawn ^= drawn << 17;
        drawn % below
    };
    for _ in 0..rounds {
        let mut order = [DEBIAN, OURS, FLOOR];
        order.sort_by_cached_key(|_| draw(1 << 32));
        for side in order {
            runs.0[side].push(run(side));
        }
    }
    runs
}

/// What each side adds to the cost of the kernel's work: medians over the rounds.
fn over_floor(runs: &Runs<3>) -> [f64; 3] {
    runs.0.each_ref().map(|side| {
        let rounds = side.iter().zip(&runs.0[FLOOR]);
        quartiles(rounds.map(|(side, floor)| side.milliseconds - floor.milliseconds))[1]
    })
}

/// NICs that are there.
struct Crowd {
    owner: User,
    container: Container,
    host_names: Vec<String>,
}

/// Both sides keep their books below this directory. Each run of a side finds there what that side had at the
/// end of [`Bench::prepare`].
const LEDGER: &str = "/run/lxc";

fn saved_ledger(side: usize) -> String {
    format!("{PLACE}/ledger-{}", SIDES[side])
}

fn save_ledger(side: usize) {
    forget_ledger(side);
    copy(Path::new(LEDGER), Path::new(&saved_ledger(side)));
}

fn forget_ledger(side: usize) {
    drop(fs::remove_dir_all(saved_ledger(side)));
}

fn restore_ledger(side: usize) {
    drop(fs::remove_dir_all(LEDGER));
    if Path::new(&saved_ledger(side)).exists() {
        copy(Path::new(&saved_ledger(side)), Path::new(LEDGER));
    }
}

/// Copies a directory, with modes.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("create");
    fs::set_permissions(to, fs::metadata(from).expect("stat").permissions()).expect("chmod");
    for entry in fs::read_dir(from).expect("read") {
        let entry = entry.expect("read");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("stat").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copy");
        }
    }
}

/// A process of a user that runs programs for us: `spawner.c`. It ends with the value.
struct Spawner {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Spawner {
    fn start(world: &World, user: User) -> Self {
        let mut command = world.command(user, &format!("{PLACE}/spawner"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("spawner");
        let requests = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, requests, answers }
    }

    /// Makes a NIC in each of these containers, one after the other.
    fn run(&mut self, program: &str, pids: &[String]) -> Made {
        self.ask(program, pids);
        self.answer()
    }

    fn ask(&mut self, program: &str, pids: &[String]) {
        let request = format!("{program} {BRIDGE} {}\n", pids.join(" "));
        self.requests.write_all(request.as_bytes()).expect("spawner");
    }

    fn answer(&mut self) -> Made {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("spawner");
        let words: Vec<&str> = answer.split_whitespace().collect();
        let [start, end, peak, faults, nics @ ..] = &words[..] else { panic!("spawner said {answer:?}") };
        let number = |word: &str| word.parse().expect("a number");
        let host_names = nics.iter().map(|nic| {
            let [_, _, name, _] = nic.split(':').collect::<Vec<_>>()[..] else { panic!("not a NIC: {nic}") };
            let port = format!("/sys/class/net/{BRIDGE}/brif/{name}");
            assert!(Path::new(&port).exists(), "{name} is not on the bridge");
            name.to_owned()
        });
        Made {
            start: number(start),
            end: number(end),
            peak: number(peak),
            faults: number(faults),
            host_names: host_names.collect(),
        }
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a spawner did.
struct Made {
    /// In nanoseconds, by one clock.
    start: f64,
    end: f64,
    peak: f64,
    faults: f64,
    host_names: Vec<String>,
}

impl Made {
    /// What two did at the same time.
    fn together(mut self, mut other: Self) -> Self {
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.host_names.append(&mut other.host_names);
        self
    }

    fn cost(&self) -> Run {
        Run { milliseconds: (self.end - self.start) / 1e6, peak: self.peak, faults: self.faults }
    }
}

/// One line of the table of times.
struct Row<'a> {
    what: &'a str,
    goals: Goals,
    runs: &'a Runs<3>,
}

impl Row<'_> {
    fn head() -> String {
        let sides = SIDES.map(|name| format!("{name:>9} ms")).join("");
        let against = ["ours/Debian", "ours/floor"].map(|what| format!("    {what:<21}   goal"));
        format!("{:<34}{sides}{}", "lxc-user-nic create", against.concat())
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<34}", self.what)?;
        for milliseconds in self.runs.medians(|run| run.milliseconds) {
            write!(f, "{milliseconds:>12.3}")?;
        }
        for (side, goal) in [(DEBIAN, self.goals.debian), (FLOOR, self.goals.floor)] {
            let [low, middle, high] = self.runs.ratios(OURS, side);
            let missed = if goal.is_some_and(|goal| middle > goal) { "*" } else { " " };
            let goal = goal.map(|goal| format!("<= {goal}")).unwrap_or_default();
            let ratio = format!("{middle:.3}{missed} [{low:.3}-{high:.3}]");
            write!(f, "    {ratio:<20}  {goal:<7}")?;
        }
        Ok(())
    }
}
