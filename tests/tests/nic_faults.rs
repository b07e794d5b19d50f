//! Every system call that `lxc-user-nic` makes, failing in turn; and the helper killed, stopped and frozen at
//! every one.
//!
//! Whatever breaks, and wherever: there are never more interfaces than the quota says, every one on the host
//! has a record, no other user waits, and the owner's own next `create` works. Ours alone: it is our calls
//! that are counted. J13, J15 and A21 of the attack list.
//!
//! A run costs little, and to remove an interface costs much. So each run has a bridge of its own, with
//! quotas of its own, and all interfaces go at once when the bridges are used up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use world::{ALICE, Answer, BOB, CAROL, Container, Held, LXC_USER_NIC, Place, ROOT, User, World, theirs};

/// Alice and Bob are in it.
const CREW: u32 = 53001;

/// How many runs there are between two great cleanings.
const BRIDGES: usize = 32;

/// How long a helper may take under `strace` before it hangs.
const LIMIT: Duration = Duration::from_secs(10);

/// Nothing can fail here but by a bug of the kernel, and nobody is left to handle it.
const LAST: &str = "exit_group";

/// What there is when Alice's helper starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scene {
    /// `create`: she has nothing on this bridge, and never had.
    Fresh,
    /// `create`: she had an interface there, which is gone.
    Gone,
    /// `create`: a helper of hers was killed half-way: its interface is there, and not finished.
    Half,
    /// `delete`: she has an interface there.
    Delete,
}

/// The nth call of that name since the program was started.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Call {
    name: String,
    nth: usize,
}

/// The calls of a run that nobody disturbs.
struct Calls {
    all: Vec<Call>,
    /// Its own ones begin here: the C library's start-up is over.
    own: usize,
    /// From here on it is root, and acts.
    acts: usize,
    /// From here on it depends on what there is.
    claims: usize,
}

/// A machine, and what is left in it of its bridges and quotas.
struct Ground<'a> {
    world: &'a World,
    /// Lines of policy, where `{}` stands for the bridge.
    policy: &'a str,
    containers: BTreeMap<&'static str, Container>,
    used: usize,
    /// The veths that were there when the last run began.
    known: BTreeSet<String>,
    /// What this test has removed itself. The view may have lines of it for some time.
    removed: BTreeSet<String>,
}

/// One run: its bridge, and the arguments.
struct Run {
    scene: Scene,
    bridge: String,
    args: Vec<String>,
}

impl<'a> Ground<'a> {
    fn new(world: &'a World, policy: &'a str) -> Self {
        world.append("/etc/group", &format!("crew:x:{CREW}:alice,bob\n"));
        let bridges: Vec<String> = (0..BRIDGES).map(|number| format!("br{number:02}")).collect();
        for bridge in &bridges {
            world.bridge(bridge);
        }
        world.usernet(bridges.iter().map(|bridge| policy.replace("{}", bridge)).collect::<String>());
        let mut ground = Self {
            world,
            policy,
            containers: BTreeMap::new(),
            used: BRIDGES,
            known: BTreeSet::new(),
            removed: BTreeSet::new(),
        };
        ground.clean();
        ground
    }

    /// Nothing is left of the runs until now, and nothing was left that should not be.
    fn clean(&mut self) {
        let veths = self.veths();
        let addresses = self.world.ip(&["-o", "address"]);
        for line in addresses.lines() {
            assert!(
                !line.contains("veth") && (line.contains(": lo ") || line.contains("inet6 fe80:")),
                "{addresses}"
            );
        }
        let listed = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("read").file_name().into_string().expect("text")
        };
        if let Ok(files) = fs::read_dir("/run/lxc") {
            let mut files: Vec<String> = files.map(listed).collect();
            files.sort();
            files.retain(|file| file != "nics.new");
            assert_eq!(files, ["nics", "nsgate"], "something piles up");
        }
        self.containers.clear();
        veths.iter().for_each(|veth| self.world.wait_until_gone(veth));
        for user in [ALICE, BOB, CAROL] {
            self.containers.insert(user.name, self.world.container(user));
        }
        drop(fs::remove_dir_all("/run/lxc"));
        fs::create_dir_all(self.world.tables()).expect("create");
        for directory in ["/run/lxc/nsgate", &self.world.tables()] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).expect("chmod");
        }
        private_file("/run/lxc/nics", b"zoe veth br zoes\n");
        self.used = 0;
        self.known.clear();
        self.removed.clear();
    }

    fn container(&self, user: User) -> &Container {
        &self.containers[user.name]
    }

    /// The veths of the host, and with them all that is neither `lo` nor one of the bridges.
    fn veths(&self) -> BTreeSet<String> {
        let names =
            fs::read_dir("/sys/class/net").expect("read").map(|entry| entry.expect("read").file_name());
        let names = names.map(|name| name.into_string().expect("text"));
        names
            .filter(|name| name != "lo" && !Path::new("/sys/class/net").join(name).join("bridge").exists())
            .collect()
    }

    /// The ports of a bridge.
    fn ports(&self, bridge: &str) -> BTreeSet<String> {
        let ports = fs::read_dir(format!("/sys/class/net/{bridge}/brif")).expect("read");
        ports.map(|entry| entry.expect("read").file_name().into_string().expect("text")).collect()
    }

    /// The names in the table of this quota whose state is one of these.
    fn recorded(&self, quota: &str, bridge: &str, states: &str) -> BTreeSet<String> {
        let table = fs::read(format!("{}/{quota}.veth.{bridge}", self.world.tables())).unwrap_or_default();
        assert_eq!(table.len() % 64, 0);
        let records = table.chunks(64).map(|record| String::from_utf8_lossy(record).into_owned());
        let records: Vec<Vec<String>> = records
            .map(|record| record.trim_matches(['\0', ' ', '\n']).split(' ').map(str::to_owned).collect())
            .collect();
        let records = records.into_iter().filter(|record| record.len() > 1);
        let named =
            records.filter(|record| states.contains(&*record[0])).map(|mut record| record.swap_remove(1));
        let names: Vec<String> = named.collect();
        let set: BTreeSet<String> = names.iter().cloned().collect();
        assert_eq!(names.len(), set.len(), "recorded twice: {names:?}");
        set
    }

    fn create(&self, user: User, bridge: &str) -> Answer {
        let groups: &[u32] = if self.policy.contains("@crew") && user != CAROL { &[CREW] } else { &[] };
        let mut command = if groups.is_empty() {
            self.world.command(user, LXC_USER_NIC)
        } else {
            self.world.command_in_groups(user, groups, LXC_USER_NIC)
        };
        let pid = self.container(user).pid();
        self.world.run(command.args(["create", "/dev/null", "dummy", &pid, "veth", bridge]))
    }

    /// Another user's, which nothing may hold up: done within a second. Whoever waits for a helper that
    /// stands still waits for it again; whoever waits for the kernel, which other tests keep busy, does not.
    #[track_caller]
    fn create_at_once(&mut self, user: User, bridge: &str, context: &str) -> String {
        let mut took = vec![];
        while took.len() < 3 {
            let start = Instant::now();
            let answer = self.create(user, bridge);
            took.push(start.elapsed());
            let made = answer.status == Some(0) && answer.stderr.is_empty();
            assert!(made, "{} has no room: {answer:?}: {context}", user.name);
            let name = answer.nic().host_name;
            if took.last().is_some_and(|took| *took < Duration::from_secs(1)) {
                return name;
            }
            self.world.ip(&["link", "del", &name]);
            self.removed.insert(name);
        }
        panic!("{} waits {took:?}: {context}", user.name);
    }

    /// Makes a scene on a bridge that was not used yet.
    fn stage(&mut self, scene: Scene) -> Run {
        if self.used == BRIDGES {
            self.clean();
        }
        let bridge = format!("br{:02}", self.used);
        let number = self.used;
        self.used += 1;
        let pid = self.container(ALICE).pid();
        let netns = self.container(ALICE).netns();
        let table = format!("{}/u52001.veth.{bridge}", self.world.tables());
        let record = |text: String| private_file(&table, format!("{text:<63}\n").as_bytes());
        let create = ["create", "/dev/null", "dummy", &pid, "veth", &bridge].map(str::to_owned).to_vec();
        let args = match scene {
            Scene::Fresh => create,
            Scene::Gone => {
                let (table, owner) = if self.policy.contains("@crew") {
                    (format!("{}/g{CREW}.veth.{bridge}", self.world.tables()), "@crew")
                } else {
                    (table, "alice")
                };
                // Two, if there is room for them.
                let (mut records, mut lines) = (String::new(), String::new());
                for place in 0..if self.policy == ONE { 1 } else { 2 } {
                    let name = format!("veth52001_g{place}{number:02}");
                    let record = format!("+ {name} {} 52001 fe:00:00:00:00:01 linux", 70_000 + place);
                    records.push_str(&format!("{record:<63}\n"));
                    lines.push_str(&format!("{owner} veth {bridge} {name}\n"));
                }
                private_file(&table, records.as_bytes());
                let mut view = OpenOptions::new().append(true).open("/run/lxc/nics").expect("open");
                view.write_all(lines.as_bytes()).expect("write");
                create
            }
            Scene::Half => {
                let (name, mac) = (format!("veth52001_ha{number:02}"), "fe:00:00:00:00:02");
                let peer = format!("half{number:02}");
                self.world.ip(&[
                    "link", "add", &name, "address", mac, "master", &bridge, "type", "veth", "peer", "name",
                    &peer, "netns", &pid,
                ]);
                record(format!("? {name} 0 52001 {mac} linux"));
                create
            }
            Scene::Delete => {
                let answer = self.create(ALICE, &bridge);
                let name = answer.nic().host_name;
                ["delete", "/dev/null", "dummy", &netns, "veth", &bridge, &name].map(str::to_owned).to_vec()
            }
        };
        self.known = self.veths();
        Run { scene, bridge, args }
    }

    /// The calls of runs that nobody disturbs: those that all of three have made.
    fn record(&mut self, scene: Scene) -> Calls {
        let mut runs = vec![];
        for _ in 0..3 {
            let run = self.stage(scene);
            let options = ["-qq", "-o", "/run/world/trace", "-e", "signal=none"];
            let mut command = self.world.strace(ALICE, &options, LXC_USER_NIC);
            let answer = self.world.run_within(LIMIT, command.args(&run.args));
            assert_eq!((answer.status, &*answer.stderr), (Some(0), ""), "{answer:?}");
            let trace = fs::read_to_string("/run/world/trace").expect("trace");
            let lines =
                trace.lines().filter(|line| !line.contains(RESTART)).filter_map(|line| line.split_once('('));
            runs.push(lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect::<Vec<_>>());
        }
        let count =
            |run: &Vec<(String, String)>, name: &str| run.iter().filter(|call| call.0 == name).count();
        let least = |name: &str| runs.iter().map(|run| count(run, name)).min().expect("three runs");
        let mut seen = BTreeMap::new();
        let mut calls = Calls { all: vec![], own: 0, acts: 0, claims: 0 };
        for (name, rest) in &runs[0] {
            let nth = seen.entry(name).and_modify(|nth| *nth += 1).or_insert(1_usize);
            if *nth > least(name) || name == "execve" || name == LAST {
                continue;
            }
            if calls.own == 0 && name == "prctl" && rest.starts_with("PR_SET_DUMPABLE") {
                calls.own = calls.all.len();
            }
            if calls.acts == 0 && name == "setgroups" {
                calls.acts = calls.all.len();
            }
            if calls.claims == 0 && name == "fcntl" && rest.contains("F_OFD_SETLK") {
                calls.claims = calls.all.len();
            }
            calls.all.push(Call { name: name.clone(), nth: *nth });
        }
        let Calls { own, acts, claims, .. } = calls;
        assert!(
            0 < own && own + 30 < acts && acts + 20 < claims && claims + 40 < calls.all.len(),
            "{:?}",
            runs[0]
        );
        // The runs differ in little.
        assert!(calls.all.len() + 10 > runs[0].len(), "{} of {}", calls.all.len(), runs[0].len());
        calls
    }

    /// Runs it with this fault (`error=EIO`, `signal=KILL`) at this call, or with `+` from this one on. Other
    /// runs may make other calls before, if the kernel is busy: then it is tried again, on another bridge.
    fn injected(&mut self, scene: Scene, call: &Call, fault: &str, on: &str) -> (Run, Answer) {
        for _ in 0..20 {
            let run = self.stage(scene);
            let (filter, inject) = (
                format!("trace={}", call.name),
                format!("inject={}:{fault}:when={}{on}", call.name, call.nth),
            );
            let options = ["-o", "/run/world/trace", "-e", "signal=none", "-e", &filter, "-e", &inject];
            let mut command = self.world.strace(ALICE, &options, LXC_USER_NIC);
            let answer = self.world.run_within(LIMIT, command.args(&run.args));
            let trace = fs::read_to_string("/run/world/trace").expect("trace");
            if hit(&trace, call, answer.signal == Some(libc::SIGKILL)) {
                return (run, answer);
            }
        }
        panic!(
            "{fault} does not hit {call:?} of {scene:?}: {}",
            fs::read_to_string("/run/world/trace").expect("trace")
        );
    }
}

/// The kernel starts such a call again by itself: a write to `/proc/sys/net` while it is busy with
/// interfaces.
const RESTART: &str = "ERESTART";

/// Did the fault hit that call, and not an earlier one that was started twice? One that is killed or stopped
/// has made its last.
fn hit(trace: &str, call: &Call, it_was_the_last: bool) -> bool {
    let start = format!("{}(", call.name);
    let calls: Vec<&str> = trace.lines().filter(|line| line.starts_with(&start)).collect();
    let injected = calls.iter().position(|line| line.contains("(INJECTED)"));
    let place = injected.or(if it_was_the_last { calls.len().checked_sub(1) } else { None });
    place.is_some_and(|place| {
        calls[..place].iter().filter(|line| !line.contains(RESTART)).count() == call.nth - 1
    })
}

fn private_file(path: &str, text: &[u8]) {
    fs::write(path, text).expect("write");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod");
}

/// How a call fails. Where one error alone is possible and others would end the C library, std or tokio, it
/// is that. The kernel's brk(2) tells no error but where the break is, and the C library takes any address
/// for one; so its failure is the lowest.
fn failures(call: &Call, acts: bool, number: usize) -> Vec<&'static str> {
    const ANY: [&str; 4] = ["error=EIO", "error=EINTR", "error=ENOMEM", "error=EPERM"];
    let own = match &*call.name {
        "umask" | "getrandom" => return vec![],
        "brk" => return vec!["retval=0"],
        "mmap" => return vec!["error=ENOMEM"],
        "fcntl" => &["error=EAGAIN"][..],
        "fallocate" | "pwrite64" | "write" | "openat" | "renameat" => &["error=ENOSPC"],
        "ioctl" => &["error=ENODEV"],
        "sendto" => &["error=ENOBUFS"],
        "recvfrom" => &["error=ENOBUFS", "error=EAGAIN"],
        _ => &[],
    };
    // Before it acts there is less to break.
    if acts { [&ANY, own].concat() } else { vec![ANY[number % 2], ANY[2 + number % 2]] }
}

/// What a fault has left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Left {
    /// Nothing, but perhaps a record.
    Nothing,
    /// An interface whose record says that it is not finished.
    Half,
    /// A finished one.
    Whole,
}

impl Ground<'_> {
    /// After a run that was disturbed: looks at what is left, then at what the next ones make of it. `quota`
    /// is the owner's on each bridge.
    fn judge(&mut self, run: &Run, answer: &Answer, context: &str, quota: usize) -> Left {
        let for_good = context.ends_with('+');
        let context = &*format!("{context}: {answer:?}");
        let Run { scene, bridge, .. } = run;
        let veths = self.veths();
        let ports = self.ports(bridge);
        let (whole, half) = (self.recorded("u52001", bridge, "+"), self.recorded("u52001", bridge, "?"));
        // Whatever is new is on the bridge, and has a record.
        let new: BTreeSet<String> = veths.difference(&self.known).cloned().collect();
        assert!(new.len() <= 1 && new.is_subset(&ports), "{new:?}: {context}");
        for port in &ports {
            assert!(whole.contains(port) || half.contains(port), "{port} has no record: {context}");
        }
        assert!(ports.len() <= quota, "{ports:?}: {context}");
        let left = match (whole.intersection(&ports).count(), half.intersection(&ports).count()) {
            (0, 0) => Left::Nothing,
            (0, 1) => Left::Half,
            // If the place of what is half made could not be locked, it counts.
            (1, _) => Left::Whole,
            more => panic!("{more:?}: {context}"),
        };

        // It has told the truth.
        let create = *scene != Scene::Delete;
        match (answer.status, answer.signal) {
            (Some(0), None) if create => {
                let nic = answer.nic();
                // What is half made and could not be removed stays, and counts.
                let made: BTreeSet<String> = ports.difference(&half).cloned().collect();
                assert_eq!((left, made), (Left::Whole, BTreeSet::from([nic.host_name.clone()])), "{context}");
                guarded(&nic.host_name, context);
            }
            (Some(0), None) => {
                answer.succeeds();
                assert_eq!(left, Left::Nothing, "{context}");
            }
            (Some(1), None) => {
                assert_eq!(answer.stdout, "", "{context}");
                // If it is the line itself that cannot be written there is none.
                let said = answer.stderr.starts_with("lxc-user-nic: ") && answer.stderr.lines().count() == 1;
                let mute = ["write:", "poll:"].iter().any(|call| context.contains(call));
                assert!(said || mute && answer.stderr.is_empty(), "{context}");
                assert!(!create || left != Left::Whole, "it is there, and nobody was told: {context}");
                // What fails once does not hinder it from taking back what it has made.
                assert!(new.is_empty() || for_good, "{new:?} is left: {context}");
            }
            (None, Some(libc::SIGKILL)) if context.contains("signal=KILL") => {}
            // Without memory std ends it so where no allocator of ours is asked. Who is confined sends no signal, also not
            // itself: then musl ends it in another way.
            (None, Some(libc::SIGABRT | libc::SIGSEGV)) if context.contains("mmap:error=ENOMEM") => {}
            _ => panic!("a death of its own: {context}"),
        }
        for word in ["panicked", "RUST_BACKTRACE", "memory allocation", "overflow", ".rs:"] {
            assert!(!answer.stderr.contains(word) || answer.status.is_none(), "{context}");
        }

        // Nobody else waits.
        let bobs = self.create_at_once(BOB, bridge, context);
        // The owner can delete what was not deleted, and gets what is left of the quota and no more.
        let finished = match (scene, left) {
            (Scene::Delete, Left::Whole) => {
                let args: Vec<&str> = run.args.iter().map(String::as_str).collect();
                let again = self.world.nic(ALICE, &args);
                assert_eq!((again.status, &*again.stderr), (Some(0), ""), "{again:?}: {context}");
                0
            }
            (_, Left::Whole) => 1,
            (_, Left::Nothing | Left::Half) => 0,
        };
        for more in finished..quota {
            let answer = self.create(ALICE, bridge);
            assert_eq!(
                (answer.status, &*answer.stderr),
                (Some(0), ""),
                "{more} of {quota}: {answer:?}: {context}"
            );
            let _nic = answer.nic();
        }
        if finished == quota || self.used % 16 == 0 {
            let full = self.create(ALICE, bridge);
            assert!(full.status == Some(1) && full.stderr.contains("Quota reached"), "{full:?}: {context}");
        }
        self.consistent(bridge, &[("u52001", quota)], &[bobs], context);
        left
    }

    /// On this bridge there is what is recorded of these quotas, just so many, and what belongs to others.
    /// All of it has a line in the view.
    #[track_caller]
    fn consistent(&mut self, bridge: &str, quotas: &[(&str, usize)], others: &[String], context: &str) {
        let mut wanted: BTreeSet<String> = others.iter().cloned().collect();
        for (quota, limit) in quotas {
            let finished = self.recorded(quota, bridge, "+");
            assert_eq!(finished.len(), *limit, "{finished:?}: {context}");
            assert_eq!(self.recorded(quota, bridge, "?"), BTreeSet::new(), "{context}");
            wanted.extend(finished);
        }
        let ports = self.ports(bridge);
        assert_eq!(ports, wanted, "{context}");
        let all: BTreeSet<String> = self.known.union(&ports).cloned().collect();
        let veths = self.veths();
        assert!(veths.is_subset(&all), "{:?}: {context}", veths.difference(&all));
        self.known = veths;

        let listed = format!(" veth {bridge} ");
        let view = fs::read_to_string("/run/lxc/nics").expect("a view");
        let lines = view.lines().filter_map(|line| Some(line.split_once(&listed)?.1.to_owned()));
        let lines: Vec<String> = lines.filter(|name| !self.removed.contains(name)).collect();
        let set: BTreeSet<String> = lines.iter().cloned().collect();
        assert!(ports.is_subset(&set) && set.len() == lines.len(), "{ports:?} {view}: {context}");
        assert!(view.starts_with("zoe veth br zoes\n"), "{view}: {context}");
        // What is gone has no line.
        assert_eq!(set, ports, "{context}");
    }
}

/// A host end that was reported is up, says whose it is, and makes no addresses.
fn guarded(name: &str, context: &str) {
    let file =
        |path: String| fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}: {context}"));
    let flags = file(format!("/sys/class/net/{name}/flags"));
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).expect("hexadecimal");
    let alias = file(format!("/sys/class/net/{name}/ifalias"));
    assert_eq!((flags & 1, &*alias), (1, "nsgate:uid=52001,owner=u52001\n"), "{context}");
    for (key, value) in [("disable_ipv6", "1\n"), ("accept_ra", "0\n")] {
        assert_eq!(file(format!("/proc/sys/net/ipv6/conf/{name}/{key}")), value, "{key}: {context}");
    }
}

/// How many machines share the calls of a sweep.
const PARTS: usize = 3;

/// Sweeps over the calls of a scene, each of which is looked at in one of the machines.
fn each_call(policy: &str, scene: Scene, test: impl Fn(&mut Ground<'_>, usize, &Call, &Calls) + Sync) {
    let (calls, next) = (OnceLock::new(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..PARTS {
            scope.spawn(|| {
                World::enter_with_nic(|world| {
                    world.without_open_vswitch();
                    let mut ground = Ground::new(world, policy);
                    let calls: &Calls = calls.get_or_init(|| ground.record(scene));
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(call) = calls.all.get(number) else { break };
                        test(&mut ground, number, call, calls);
                    }
                    ground.clean();
                });
            });
        }
    });
}

/// How often a sweep has ended how. A sweep whose faults change nothing, or everything, would be none.
#[derive(Default)]
struct Tally(Mutex<BTreeMap<(Option<i32>, Left), usize>>);

impl Tally {
    fn count(&self, answer: &Answer, left: Left) {
        *self.0.lock().expect("a tally").entry((answer.status, left)).or_insert(0) += 1;
    }

    #[track_caller]
    fn has(&self, what: &str, outcomes: &[(Option<i32>, Left)]) {
        let tally = self.0.lock().expect("a tally");
        println!("{what}: {tally:?}");
        for outcome in outcomes {
            assert!(
                tally.get(outcome).is_some_and(|count| *count >= 5),
                "{outcome:?} of {what} in {tally:?}"
            );
        }
    }
}

const TWO: &str = "alice veth {} 2\nbob veth {} 1\n";
const ONE: &str = "alice veth {} 1\nbob veth {} 1\n";
const POOL: &str = "@crew veth {} 3\ncarol veth {} 1\n";

/// Each call fails once. Where it begins like another scene only the rest is looked at.
fn one_failed_call(scene: Scene, outcomes: &[(Option<i32>, Left)]) {
    if theirs() {
        return;
    }
    let tally = Tally::default();
    each_call(TWO, scene, |ground, number, call, calls| {
        let like_another = matches!(scene, Scene::Gone | Scene::Half);
        if number < if like_another { calls.claims } else { calls.own } {
            return;
        }
        let mut faults = failures(call, number >= calls.acts && !like_another, number);
        if scene == Scene::Delete && number < calls.acts {
            faults.truncate(1); // as in create
        }
        for failure in faults {
            let (run, answer) = ground.injected(scene, call, failure, "");
            let context = format!("{scene:?} {}:{failure}:when={}", call.name, call.nth);
            tally.count(&answer, ground.judge(&run, &answer, &context, 2));
        }
    });
    tally.has("one failed call", outcomes);
}

#[test]
fn a_failed_call_of_create_leaves_all_or_nothing() {
    one_failed_call(Scene::Fresh, &[(Some(0), Left::Whole), (Some(1), Left::Nothing)]);
}

#[test]
fn a_failed_call_of_create_where_one_is_gone_leaves_all_or_nothing() {
    one_failed_call(Scene::Gone, &[(Some(0), Left::Whole), (Some(1), Left::Nothing)]);
}

#[test]
fn a_failed_call_of_create_where_one_is_half_made_leaves_all_or_nothing() {
    // A failure over what is half made already leaves it so, and is seldom an obstacle.
    one_failed_call(Scene::Half, &[(Some(0), Left::Whole), (Some(1), Left::Nothing)]);
}

#[test]
fn a_failed_call_of_delete_leaves_an_interface_that_counts_or_none() {
    one_failed_call(Scene::Delete, &[(Some(0), Left::Nothing), (Some(1), Left::Whole)]);
}

/// Each kind of call fails, and goes on failing: also while what was done is taken back.
fn calls_that_go_on_failing(scene: Scene) {
    if theirs() {
        return;
    }
    let tally = Tally::default();
    each_call(TWO, scene, |ground, number, call, calls| {
        // The first of its name that is its own, and the first when it acts.
        let first_from = |start: usize| calls.all[start..].iter().position(|other| other.name == call.name);
        let is_first = |start: usize| number >= start && first_from(start) == Some(number - start);
        if ![calls.own, calls.acts, calls.claims].into_iter().any(is_first) {
            return;
        }
        // The write of the refusal is among these. An answer that never comes could be waited for for ever.
        for failure in failures(call, call.name == "recvfrom", number) {
            // What only ever happens once, and is then tried again.
            let once = match &*call.name {
                "fallocate" | "pread64" | "pwrite64" | "read" | "write" => failure == "error=EINTR",
                _ => false,
            };
            if once {
                continue;
            }
            let (run, answer) = ground.injected(scene, call, failure, "+");
            let context = format!("{scene:?} {}:{failure}:when={}+", call.name, call.nth);
            tally.count(&answer, ground.judge(&run, &answer, &context, 2));
        }
    });
    tally.has("for good", &[]);
}

#[test]
fn calls_of_create_that_go_on_failing_leave_nothing_uncounted() {
    calls_that_go_on_failing(Scene::Fresh);
}

#[test]
fn calls_of_delete_that_go_on_failing_leave_nothing_uncounted() {
    calls_that_go_on_failing(Scene::Delete);
}

/// Killed at each call, by root, by a cgroup or for want of memory: its caller cannot, once it acts. With a
/// quota of 1 the owner's next `create` depends on what is done about what is half made.
fn death_at_any_call(scene: Scene, quota: usize, outcomes: &[(Option<i32>, Left)]) {
    if theirs() {
        return;
    }
    let tally = Tally::default();
    each_call(if quota == 1 { ONE } else { TWO }, scene, |ground, number, call, calls| {
        if (quota, scene) != (1, Scene::Fresh) && scene != Scene::Delete && number < calls.claims {
            return;
        }
        let (run, answer) = ground.injected(scene, call, "signal=KILL", "");
        let context = format!("{scene:?} {}:signal=KILL:when={}", call.name, call.nth);
        tally.count(&answer, ground.judge(&run, &answer, &context, quota));
    });
    tally.has("death", outcomes);
}

/// A21, J15
#[test]
fn a_create_that_is_killed_leaves_nothing_uncounted() {
    death_at_any_call(Scene::Fresh, 1, &[(None, Left::Nothing), (None, Left::Half), (None, Left::Whole)]);
}

/// A21, J15
#[test]
fn a_create_that_is_killed_with_room_in_the_quota_leaves_nothing_uncounted() {
    death_at_any_call(Scene::Fresh, 2, &[(None, Left::Nothing), (None, Left::Half), (None, Left::Whole)]);
}

/// A21, J15
#[test]
fn a_create_that_is_killed_where_one_is_gone_leaves_nothing_uncounted() {
    death_at_any_call(Scene::Gone, 1, &[(None, Left::Nothing), (None, Left::Half), (None, Left::Whole)]);
}

/// A21, J15: killed while it cleans up after one that was killed.
#[test]
fn a_create_that_is_killed_where_one_is_half_made_leaves_nothing_uncounted() {
    death_at_any_call(Scene::Half, 1, &[(None, Left::Nothing), (None, Left::Half), (None, Left::Whole)]);
}

/// A21, J15
#[test]
fn a_delete_that_is_killed_leaves_nothing_uncounted() {
    death_at_any_call(Scene::Delete, 1, &[(None, Left::Nothing), (None, Left::Whole)]);
}

/// A cgroup in which processes stand still: the second version's, or the first one's freezer, whichever this
/// machine has.
struct Freezer {
    directory: PathBuf,
    second_version: bool,
}

impl Freezer {
    /// # Panics
    /// There is none.
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("nsgate-test-{}-{number}", std::process::id());
        let second = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let second = second.into_iter().find(|path| Path::new(path).join("cgroup.procs").exists());
        let directory = Path::new(second.unwrap_or("/sys/fs/cgroup/freezer")).join(name);
        fs::create_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        Self { directory, second_version: second.is_some() }
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.directory.join(file);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Lets nothing happen any more in this process, which a signal has stopped until now.
    fn freeze(&self, pid: &str) {
        self.write("cgroup.procs", pid);
        let (file, order, state, frozen) = if self.second_version {
            ("cgroup.freeze", "1", "cgroup.events", "frozen 1")
        } else {
            ("freezer.state", "FROZEN", "freezer.state", "FROZEN")
        };
        self.write(file, order);
        kill(Pid::from_raw(pid.parse().expect("a pid")), Signal::SIGCONT).expect("continue");
        let start = Instant::now();
        let stopped =
            || fs::read_to_string(format!("/proc/{pid}/status")).expect("status").contains("(stopped)");
        while stopped() || !fs::read_to_string(self.directory.join(state)).expect("state").contains(frozen) {
            assert!(start.elapsed() < Duration::from_secs(10), "it does not freeze");
            thread::sleep(Duration::from_micros(300));
        }
    }

    fn thaw(&self) {
        if self.second_version {
            self.write("cgroup.freeze", "0");
        } else {
            self.write("freezer.state", "THAWED");
        }
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        let left = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        for pid in left.lines().filter_map(|pid| pid.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let start = Instant::now();
        // Those who have just ended are still there for a moment.
        while fs::remove_dir(&self.directory).is_err() && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Ground<'_> {
    /// As [`Ground::injected`], but it stands still after that call, stopped by a signal.
    fn held(&mut self, scene: Scene, call: &Call) -> (Run, Held) {
        for _ in 0..20 {
            let run = self.stage(scene);
            let args: Vec<&str> = run.args.iter().map(String::as_str).collect();
            let place = Place { call: call.name.clone(), number: call.nth };
            // One that has ended did not get there; one that stands elsewhere ends here.
            let Ok(held) = self.world.held(ALICE, &place, &args) else { continue };
            let trace = fs::read_to_string("/run/world/held").expect("trace");
            let trace = trace.split("--- ").next().unwrap_or_default();
            if hit(trace, call, true) {
                return (run, held);
            }
        }
        panic!("no run of {scene:?} can be held at {call:?}");
    }
}

/// A helper that stands still at any of its calls, first stopped, then frozen in a cgroup, has
/// one place of a pool, and nothing else that anybody could want. When it goes on, it ends well.
fn standing_still_at_any_call(scene: Scene) {
    if theirs() {
        return;
    }
    each_call(POOL, scene, |ground, _, call, _| {
        let (run, held) = ground.held(scene, call);
        let freezer = Freezer::new();
        let bridge = &*run.bridge;
        let context = &*format!("{scene:?} held at {} {}", call.name, call.nth);
        let bobs = ground.create_at_once(BOB, bridge, context);
        freezer.freeze(&held.pid());
        let carols = ground.create_at_once(CAROL, bridge, context);
        let hers = ground.create(ALICE, bridge);
        assert_eq!((hers.status, &*hers.stderr), (Some(0), ""), "{hers:?}: {context}");
        let hers = hers.nic().host_name;
        let ports = ground.ports(bridge);
        assert!([&bobs, &carols, &hers].into_iter().all(|name| ports.contains(name)), "{ports:?}: {context}");
        assert!(ports.len() <= 4, "{ports:?}: {context}");

        freezer.thaw();
        let answer = held.end();
        let context = &*format!("{context}: {answer:?}");
        let pool = if scene == Scene::Delete {
            answer.succeeds();
            2
        } else {
            assert!(ground.ports(bridge).contains(&answer.nic().host_name), "{context}");
            3
        };
        ground.consistent(bridge, &[("g53001", pool)], &[carols], context);
        if ground.used % 16 == 0 && pool == 3 {
            let full = ground.create(BOB, bridge);
            assert!(full.status == Some(1) && full.stderr.contains("Quota reached"), "{full:?}: {context}");
        }
    });
}

/// A21, A25, J13
#[test]
fn a_create_that_stands_still_holds_up_nobody() {
    standing_still_at_any_call(Scene::Gone);
}

/// A21, A25, J13
#[test]
fn a_delete_that_stands_still_holds_up_nobody() {
    standing_still_at_any_call(Scene::Delete);
}

/// The directories are made by whoever comes first. Whatever becomes of him, the next one has what he needs.
#[test]
fn a_first_run_that_is_cut_short_is_made_good_by_the_next() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.usernet("alice veth lxcbr0 1\n");
        let container = world.container(ALICE);
        let pid = container.pid();
        let args = ["create", "/dev/null", "dummy", &*pid, "veth", "lxcbr0"];
        for nth in 1..=3 {
            for fault in ["signal=KILL", "error=EIO", "error=ENOSPC", "error=EEXIST", "error=EINTR"] {
                let inject = format!("inject=mkdirat:{fault}:when={nth}");
                let options = ["-o", "/run/world/trace", "-e", "trace=mkdirat", "-e", &inject];
                let answer = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args));
                let context = format!("{inject}: {answer:?}");
                let trace = fs::read_to_string("/run/world/trace").expect("trace");
                let call = Call { name: "mkdirat".to_owned(), nth };
                assert!(hit(&trace, &call, answer.signal == Some(libc::SIGKILL)), "{trace}{context}");
                assert!([Some(1), None].contains(&answer.status), "{context}");
                assert_eq!((world.host_veths(), container.names()), (vec![], vec![]), "{context}");

                let nic = world.create(ALICE, &container, "veth", "lxcbr0", &[]).nic();
                for (path, mode) in
                    [("/run/lxc", 0o755), ("/run/lxc/nsgate", 0o700), (&world.tables(), 0o700)]
                {
                    let about = fs::metadata(path).expect("a directory");
                    assert_eq!(
                        (about.permissions().mode() & 0o7777, about.uid()),
                        (mode, 0),
                        "{path}: {context}"
                    );
                }
                assert_eq!((world.ledger().len(), world.nics().len()), (1, 1), "{context}");
                world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
                fs::remove_dir_all("/run/lxc").expect("remove");
            }
        }
    });
}

/// A21: who is stopped or frozen while room is made for his record is told so by the kernel (a tmpfs does so before
/// Linux 6.7), and asks again.
#[test]
fn room_for_a_record_is_asked_for_again_after_a_stop() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.usernet("alice veth lxcbr0 1\n");
        let container = world.container(ALICE);
        let pid = container.pid();
        let args = ["create", "/dev/null", "dummy", &*pid, "veth", "lxcbr0"];
        let options = ["-o", "/run/world/trace", "-e", "inject=fallocate:error=EINTR:when=1..3"];
        let nic = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args)).nic();
        let trace = fs::read_to_string("/run/world/trace").expect("trace");
        assert_eq!(trace.lines().filter(|line| line.starts_with("fallocate(")).count(), 4, "{trace}");
        assert_eq!((world.host_veths(), world.ledger().len()), (vec![nic.host_name], 1));
    });
}

/// The writing end of a pipe that is full, and somebody at its other end who does not read.
fn full_pipe(world: &World) -> (File, File) {
    world.run(world.command(ROOT, "/usr/bin/mkfifo").arg("/run/full")).succeeds();
    let open = |options: &mut OpenOptions| options.write(true).open("/run/full").expect("open");
    let mut other = open(OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK));
    while other.write(&[b'x'; 512]).is_ok() {}
    while other.write(b"x").is_ok() {}
    let end = open(&mut OpenOptions::new());
    fs::remove_file("/run/full").expect("remove");
    (end, other)
}

/// A12, A13, J14: an answer that nobody takes undoes what was made. What is wrong with standard error alone
/// does not matter. Closed descriptors are in `attacks_nic_process.rs`.
#[test]
fn an_answer_that_nobody_takes_undoes_what_was_made() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.usernet("alice veth lxcbr0 1\n");
        let container = world.container(ALICE);
        let pid = container.pid();
        let args = ["create", "/dev/null", "dummy", &*pid, "veth", "lxcbr0"];
        let nothing = |what: &str, answer: &Answer| {
            println!("{what}: {answer:?}");
            assert_eq!((answer.status, &*answer.stdout), (Some(1), ""), "{what}");
            assert_eq!((world.host_veths(), container.names()), (vec![], vec![]), "{what}");
            assert_eq!((world.ledger(), world.nics()), (vec![], vec![]), "{what}");
        };
        let there = || {
            let nic = world.create(ALICE, &container, "veth", "lxcbr0", &[]).nic();
            world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
        };
        for oddities in [
            &["open:1=w:/dev/full"][..],
            &["open:1=r:/dev/null"],
            &["pipe:1"],
            &["pipe:1", "ignore:SIGPIPE"],
            &["pipe:1", "block:SIGPIPE"],
            &["open:1=w:/dev/full", "open:2=w:/dev/full"],
            &["pipe:1", "pipe:2"],
            &["pipe:1", "open:2=w:/dev/full"],
            &["open:1=w:/dev/full", "close:2"],
        ] {
            let answer = world.run(world.launch(ALICE, oddities, LXC_USER_NIC).args(args));
            nothing(&format!("{oddities:?}"), &answer);
            let heard = !oddities.iter().any(|oddity| oddity.contains(":2"));
            assert_eq!(answer.stderr.lines().count(), usize::from(heard), "{oddities:?}: {answer:?}");
            there();
        }
        for oddities in [&["close:2"][..], &["open:2=w:/dev/full"], &["pipe:2"]] {
            let nic = world.run(world.launch(ALICE, oddities, LXC_USER_NIC).args(args)).nic();
            world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
        }
        // A pipe that is full, as it may be both, and nobody reads. Who waits for ever is ended by root.
        let (end, _other) = full_pipe(world);
        let mut command = world.command(ROOT, "/usr/bin/timeout");
        command.args(["--signal=KILL", "20", "/usr/bin/setpriv", "--clear-groups"]);
        command.args([&format!("--reuid={}", ALICE.id), &format!("--regid={}", ALICE.id)]);
        command.arg(LXC_USER_NIC).args(args).stdout(end.try_clone().expect("clone")).stderr(end);
        let status = command.status().expect("start");
        assert_eq!(status.code(), Some(1), "{status:?}");
        assert_eq!((world.host_veths(), container.names()), (vec![], vec![]));
        assert_eq!((world.ledger(), world.nics()), (vec![], vec![]));
        there();
    });
}
