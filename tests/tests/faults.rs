//! Every system call that the helpers make, failing in turn: with ENOMEM, EIO, EPERM, EINTR, and by SIGKILL. Whatever
//! breaks, and wherever, the map is whole or it is not there; it is there only if the helper has said so or was killed;
//! and a map that needs setgroups to be denied is not there without. Ours alone: it is our calls that are counted.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use nix::errno::Errno;
use world::{ALICE, Answer, CAROL, Fake, LSM_GET_SELF_ATTR, Target, UNKNOWN_TO_STRACE, User, World, theirs};

/// A request to break.
#[derive(Clone, Copy, Debug)]
struct Case {
    helper: &'static str,
    user: User,
    ask: &'static str,
    /// What is written when nothing breaks.
    uid_map: &'static str,
    gid_map: &'static str,
    setgroups: &'static str,
}

const CASES: [Case; 6] = [
    Case {
        helper: "newuidmap",
        user: ALICE,
        ask: "0 52001 1 1 600000 65536",
        uid_map: "0 52001 1\n1 600000 65536",
        ..NEWUIDMAP_SELF
    },
    NEWUIDMAP_SELF,
    Case { ask: "0 700000 1", uid_map: "", ..NEWUIDMAP_SELF },
    Case {
        user: ALICE,
        ask: "0 52001 1 1 600000 65536",
        gid_map: "0 52001 1\n1 600000 65536",
        setgroups: "allow",
        ..NEWGIDMAP_SELF
    },
    NEWGIDMAP_SELF,
    Case { ask: "0 700000 1", gid_map: "", setgroups: "allow", ..NEWGIDMAP_SELF },
];
const NEWUIDMAP_SELF: Case = Case {
    helper: "newuidmap",
    user: CAROL,
    ask: "0 52003 1",
    uid_map: "0 52003 1",
    gid_map: "",
    setgroups: "allow",
};
const NEWGIDMAP_SELF: Case = Case {
    helper: "newgidmap",
    user: CAROL,
    ask: "0 52003 1",
    uid_map: "",
    gid_map: "0 52003 1",
    setgroups: "deny",
};

/// How a call fails: `strace` has a name for it. The kernel's brk(2) alone tells no error but where the break is, and
/// the C library takes any address for one; so its failure is the lowest.
fn failures(call: &str) -> &'static [&'static str] {
    match call {
        "brk" => &["retval=0"],
        _ => &["error=ENOMEM", "error=EIO", "error=EPERM", "error=EINTR"],
    }
}

/// Nothing can fail here but by a bug of the kernel, and nobody is left to handle it.
const LAST: &str = "exit_group";

/// How long a helper may take under `strace` before it hangs.
const LIMIT: Duration = Duration::from_secs(5);

/// The nth call of that name since the program was started.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Call {
    name: String,
    nth: usize,
}

/// Which calls a helper makes: before its `main`, and from its first own one.
struct Calls {
    start_up: Vec<Call>,
    own: Vec<Call>,
}

/// A case, and a target that is made anew when it has been written to.
struct Bench<'a> {
    world: &'a World,
    case: Case,
    target: Target,
    /// How many runs wrote the map, and how many did not.
    written: u32,
    unwritten: u32,
}

impl<'a> Bench<'a> {
    fn new(world: &'a World, case: Case) -> Self {
        Self { world, case, target: world.target(case.user), written: 0, unwritten: 0 }
    }

    fn state(&self) -> (String, String, String) {
        (self.target.uid_map(), self.target.gid_map(), self.target.setgroups())
    }

    fn run(&self, options: &[&str]) -> Answer {
        let mut command =
            self.world.strace(self.case.user, options, &format!("/usr/bin/{}", self.case.helper));
        command.arg(self.target.pid()).args(self.case.ask.split(' '));
        self.world.run_within(LIMIT, &mut command)
    }

    /// The calls of an undisturbed run.
    fn record(&mut self) -> Calls {
        let trace = format!("/run/world/{}.trace", self.case.helper);
        let answer = self.run(&["-o", &trace]);
        let Case { uid_map, gid_map, setgroups, .. } = self.case;
        assert_eq!(
            self.state(),
            (uid_map.to_owned(), gid_map.to_owned(), setgroups.to_owned()),
            "{answer:?}"
        );
        let refused = uid_map.is_empty() && gid_map.is_empty();
        assert_eq!(answer.status, Some(i32::from(refused)), "{answer:?}");
        self.target = self.world.target(self.case.user);

        let trace = fs::read_to_string(&trace).expect("trace");
        let mut calls = Calls { start_up: Vec::new(), own: Vec::new() };
        let mut begun = false;
        for line in trace.lines() {
            let Some((name, rest)) = line.split_once('(') else { continue };
            if name == UNKNOWN_TO_STRACE {
                continue;
            }
            begun |= name == "prctl" && rest.starts_with("PR_SET_DUMPABLE");
            let before = calls.start_up.iter().chain(&calls.own).filter(|call| call.name == name).count();
            let call = Call { name: name.to_owned(), nth: before + 1 };
            if begun { &mut calls.own } else { &mut calls.start_up }.push(call);
        }
        assert!(calls.own.len() > 25, "only {:?}", calls.own);
        calls
    }

    /// Breaks one run, by one fault or several with blanks between, and looks at what is left.
    fn break_with(&mut self, fault: &str, strict: bool) {
        let mut options = vec!["-o".to_owned(), "/dev/null".to_owned()];
        for fault in fault.split(' ') {
            options.extend(["-e".to_owned(), format!("inject={fault}")]);
        }
        let options: Vec<&str> = options.iter().map(|option| &**option).collect();
        let answer = self.run(&options);
        let context = format!("{fault} on {:?}: {answer:?}", self.case);
        let state = self.state();
        let (uid_map, gid_map, setgroups) = (&*state.0, &*state.1, &*state.2);

        let written = (uid_map, gid_map) != ("", "");
        let whole = (uid_map, gid_map) == (self.case.uid_map, self.case.gid_map) && written;
        assert!(whole || !written, "half a map: {state:?}, {context}");
        assert!(["allow", self.case.setgroups].contains(&setgroups), "{setgroups}: {context}");
        assert!(!whole || setgroups == self.case.setgroups, "a map with setgroups {setgroups}: {context}");

        let killed = fault.contains("signal=KILL");
        match (answer.status, answer.signal) {
            (Some(0), None) => assert!(whole && answer.stderr.is_empty(), "not the truth: {context}"),
            (Some(1), None) => {
                assert!(!whole, "not the truth: {context}");
                // If it is the line itself that cannot be written, or nobody takes it in time, there is none.
                let line = format!("{}: ", self.case.helper);
                let said = answer.stderr.starts_with(&line) && answer.stderr.lines().count() == 1;
                let unheard = fault.starts_with("write:") || fault.starts_with("poll:retval=0");
                assert!(said || unheard && answer.stderr.is_empty(), "{context}");
            }
            (None, Some(9)) if killed => {}
            // The C library's start-up has its own ways to give up.
            _ if !strict => assert!(!written, "{context}"),
            _ => panic!("a death of its own: {context}"),
        }
        for word in ["panicked", "RUST_BACKTRACE", "memory allocation", "overflow", ".rs:"] {
            assert!(!answer.stderr.contains(word), "{context}");
        }
        assert_eq!(answer.stdout, "", "{context}");
        if written {
            self.written += 1;
        } else {
            self.unwritten += 1;
        }
        if written || setgroups != "allow" {
            self.target = self.world.target(self.case.user);
        }
    }

    /// Faults that change nothing, or all of them everything, would be no faults.
    fn assert_some_broke_it(&self) {
        let Self { case, written, unwritten, .. } = self;
        println!("{case:?}: {written} written, {unwritten} not");
        let grants = (case.uid_map, case.gid_map) != ("", "");
        assert!(*unwritten > 5 && (*written > 0) == grants, "{case:?}: {written} written, {unwritten} not");
    }
}

/// Runs a test on every case: three cases a thread, each thread in a machine of its own.
fn each_case(test: impl Fn(&mut Bench<'_>, &Calls) + Sync) {
    if theirs() {
        return;
    }
    std::thread::scope(|scope| {
        for cases in CASES.chunks(3) {
            let test = &test;
            scope.spawn(move || {
                World::enter(|world| {
                    // Long enough to be read in several pieces, and to ask for memory, which may fail too.
                    let many: String =
                        (0..6000).map(|n| format!("alice:{}:1\n", 1_000_000 + 2 * n)).collect();
                    for file in ["/etc/subuid", "/etc/subgid"] {
                        world.append(file, &many);
                    }
                    for case in cases {
                        let mut bench = Bench::new(world, *case);
                        let calls = bench.record();
                        test(&mut bench, &calls);
                    }
                });
            });
        }
    });
}

/// Each call fails once.
#[test]
fn one_failed_call_leaves_a_whole_map_or_none() {
    each_case(|bench, calls| {
        for Call { name, nth } in calls.own.iter().filter(|call| call.name != LAST) {
            for failure in failures(name) {
                bench.break_with(&format!("{name}:{failure}:when={nth}"), true);
            }
        }
        bench.assert_some_broke_it();
    });
}

/// `lsm_get_self_attr(2)`, which is asked for words of explanation alone, fails too. Debian's strace can do nothing to it.
#[test]
fn a_label_that_is_not_told_changes_nothing() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        for errno in [Errno::EPERM, Errno::ENOSYS, Errno::ENOMEM, Errno::EFAULT, Errno::EINTR, Errno::E2BIG] {
            for (helper, uid_map, gid_map) in [("newuidmap", GRANT, ""), ("newgidmap", "", GRANT)] {
                let target = world.target(ALICE);
                let pid = target.pid();
                let args: Vec<&str> = std::iter::once(&*pid).chain(GRANT.split(' ')).collect();
                let fake = Fake {
                    call: LSM_GET_SELF_ATTR,
                    number: 1,
                    answer: -i64::from(errno as i32),
                    text: vec![],
                    is_made: false,
                };
                world.answered(ALICE, &format!("/usr/bin/{helper}"), &args, &[fake]).succeeds();
                assert_eq!((&*target.uid_map(), &*target.gid_map()), (uid_map, gid_map), "{errno}");
            }
        }
    });
}

const GRANT: &str = "0 600000 65536";

/// The caller may kill the helper at any moment: its real uid is his.
#[test]
fn death_at_any_call_leaves_a_whole_map_or_none() {
    each_case(|bench, calls| {
        for Call { name, nth } in &calls.own {
            bench.break_with(&format!("{name}:signal=KILL:when={nth}"), true);
        }
        bench.assert_some_broke_it();
    });
}

/// Each kind of call fails, and goes on failing. Among them is the write of the refusal itself.
#[test]
fn a_call_that_fails_from_now_on_ends_in_a_whole_map_or_none() {
    each_case(|bench, calls| {
        let mut seen = BTreeSet::new();
        for Call { name, nth } in calls.own.iter().filter(|call| call.name != LAST) {
            // From the first call of its name, not counting those of the C library's start-up.
            if seen.insert(name) {
                for failure in failures(name) {
                    bench.break_with(&format!("{name}:{failure}:when={nth}+"), true);
                }
            }
        }
        bench.assert_some_broke_it();
    });
}

/// The caller limits his memory (RLIMIT_DATA, RLIMIT_AS, a cgroup): that is one more way to be refused.
#[test]
fn memory_that_is_no_longer_given_is_a_refusal() {
    if theirs() {
        return; // whose dynamic linker has its own words for it
    }
    World::enter(|world| {
        // Lines of his own have to be kept until all are known.
        let lines: String = (0..60_000).map(|n| format!("alice:{}:1\n", 1_000_000 + 2 * n)).collect();
        world.write("/etc/subuid", format!("alice:600000:65536\n{lines}"));
        let (mut written, mut refused) = (0, 0);
        for kilobytes in (200..4000).step_by(100) {
            let target = world.target(ALICE);
            let mut command = world.command(ALICE, "/usr/bin/prlimit");
            command.args([&format!("--data={}", kilobytes * 1024), "/usr/bin/newuidmap", &target.pid()]);
            let answer = world.run(command.args(["0", "600000", "10"]));
            if answer.status == Some(0) {
                answer.succeeds();
                assert_eq!(target.uid_map(), "0 600000 10");
                written += 1;
            } else {
                answer.refuses("out of memory: a resource limit of the caller's");
                target.assert_untouched();
                refused += 1;
            }
        }
        assert!(written > 0 && refused > 0, "{written} written, {refused} refused: the test cannot fail");
    });
}

/// Also of the C library's start-up: a loop that tries again for ever would show here.
#[test]
fn a_call_that_is_always_interrupted_ends() {
    each_case(|bench, calls| {
        let names: BTreeSet<&str> = calls.start_up.iter().chain(&calls.own).map(|call| &*call.name).collect();
        for name in names.into_iter().filter(|name| ![LAST, "execve"].contains(name)) {
            bench.break_with(&format!("{name}:error=EINTR"), false);
        }
        bench.assert_some_broke_it();
    });
}

/// A call that says it has done its work and has not: the read that finds nothing, the write that has written nothing.
#[test]
fn a_call_that_only_seems_to_succeed_leaves_a_whole_map_or_none() {
    each_case(|bench, calls| {
        for Call { name, nth } in &calls.own {
            match &**name {
                "read" | "lseek" | "ioctl" | "poll" | "fstatfs" | "getresuid" | "getresgid" | "capget" => {
                    bench.break_with(&format!("{name}:retval=0:when={nth}"), true);
                }
                // The kernel takes these files whole or not at all, and has never answered so.
                "write" => {
                    bench.break_with(&format!("{name}:retval=0:when={nth}"), true);
                    bench.break_with(&format!("{name}:retval=1:when={nth}"), true);
                }
                _ => {}
            }
        }
        bench.assert_some_broke_it();
    });
}
