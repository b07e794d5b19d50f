//! Section I of the attack list: whose network namespace it is that gets an interface, and whether it is still the same.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use world::{ALICE, Answer, BOB, Container, LXC_USER_NIC, NicAnswer, ROOT, Target, User, World, theirs};

/// A machine with the bridge lxcbr0, on which Alice, Bob and root may have so many that no quota is in the way.
fn with_bridge(test: impl FnOnce(&World) + Send) {
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.usernet("alice veth lxcbr0 1000\nbob veth lxcbr0 1000\nroot veth lxcbr0 1000\n");
        test(world);
    });
}

/// `create` on lxcbr0 for the process with this pid.
fn create(world: &World, user: User, pid: &str) -> Answer {
    world.nic(user, &["create", "/dev/null", "dummy", pid, "veth", "lxcbr0", "eth0"])
}

/// A process started by root's shell with this script, which ends in `exec sleep 1000`.
fn started_by_root(world: &World, script: &str) -> Target {
    world.plain_process_of(world.command(ROOT, "/bin/sh").args(["-c", script]))
}

/// What `setpriv` needs to make a process Alice's.
const AS_ALICE: &str = "setpriv --reuid=52001 --regid=52001 --clear-groups";

/// What is said of a process that the caller may not look into.
const CLOSED: &str = "which is not the caller's or not dumpable: Permission denied";

/// Names of the links in a process's network namespace but `lo`. Read as `/proc` has them: of any process.
fn links_of(pid: &str) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/dev")).expect("net/dev");
    let names = table.lines().skip(2).map(|line| line.split(':').next().expect("a name").trim().to_owned());
    names.filter(|name| name != "lo").collect()
}

/// Neither `create` for this process nor `delete` with its network namespace is done for Alice, who has a NIC
/// elsewhere that she could delete; and nothing changes anywhere.
#[track_caller]
fn not_hers(world: &World, what: &str, (pid, why): (&str, &str), hers: &NicAnswer) {
    println!("{what}");
    let before = (world.state(), links_of(pid));
    create(world, ALICE, pid).refuses(if theirs() { "" } else { why });
    assert_eq!((world.state(), links_of(pid)), before, "{what}");
    world.delete(ALICE, &format!("/proc/{pid}/ns/net"), "lxcbr0", &hers.host_name).refuses("");
    assert_eq!((world.state(), links_of(pid)), before, "{what}");
}

/// I01: other people's, be it a user's or root's.
#[test]
fn a_network_namespace_of_another_user_is_refused() {
    with_bridge(|world| {
        let own = world.container(ALICE);
        let hers = create(world, ALICE, &own.pid()).nic();
        not_hers(world, "Bob's", (&world.container(BOB).pid(), CLOSED), &hers);
        not_hers(world, "root's, with a user namespace", (&world.container(ROOT).pid(), CLOSED), &hers);
        let without =
            world.container_of(world.command(ROOT, "/usr/bin/unshare").args(["-n", "sleep", "1000"]));
        not_hers(world, "root's, without", (&without.pid(), CLOSED), &hers);
        not_hers(world, "init's", ("1", CLOSED), &hers);
        let nobodys = create(world, ALICE, "2147483647");
        nobodys.refuses(if theirs() { "" } else { "which does not exist or has ended: No such file" });
        // Nor is hers Bob's.
        let before = (world.state(), own.names());
        create(world, BOB, &own.pid()).refuses("");
        world.delete(BOB, &own.netns(), "lxcbr0", &hers.host_name).refuses("");
        assert_eq!((world.state(), own.names()), before);
    });
}

/// I01. Differs: C finds out that the namespace is not the caller's when the interface is there. It is whose it is
/// however the caller's process came to be in it.
#[test]
fn a_process_of_the_callers_own_in_a_network_namespace_that_is_not_his_is_refused() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        let own = world.container(ALICE);
        let hers = create(world, ALICE, &own.pid()).nic();
        let (bobs, roots) = (world.container(BOB), world.container(ROOT));
        let nobodys = "it does not belong to a user namespace that the caller made";
        let others = "it belongs to a user namespace that somebody else made";
        for (what, why, script) in [
            (
                "made by root, a network namespace alone",
                nobodys,
                format!("exec unshare -n {AS_ALICE} sleep 1000"),
            ),
            (
                "made by root, Alice's user namespace in it",
                nobodys,
                format!("exec unshare -n {AS_ALICE} unshare -r sleep 1000"),
            ),
            (
                "entered by root: Bob's",
                others,
                format!("exec nsenter -t {} -n {AS_ALICE} sleep 1000", bobs.pid()),
            ),
            (
                "entered by root: Bob's, Alice's user namespace in it",
                others,
                format!("exec nsenter -t {} -n {AS_ALICE} unshare -r sleep 1000", bobs.pid()),
            ),
            (
                "entered by root: root's",
                others,
                format!("exec nsenter -t {} -n {AS_ALICE} sleep 1000", roots.pid()),
            ),
        ] {
            let target = started_by_root(world, &script);
            not_hers(world, what, (&target.pid(), why), &hers);
        }
    });
}

/// I01: it is the real uid that asks. An effective one, which a set-id program may have lent him, is lost at this one.
#[test]
fn the_real_uid_of_the_caller_decides() {
    with_bridge(|world| {
        let (alices, bobs) = (world.container(ALICE), world.container(BOB));
        let ask = |ids: &[&str], container: &Container| {
            let mut command = world.command(ROOT, "/usr/bin/setpriv");
            command.args(ids).args(["--regid=52001", "--clear-groups", LXC_USER_NIC]);
            let pid = container.pid();
            world.run(command.args(["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0", "eth0"]))
        };
        for ids in [["--ruid=52002", "--euid=52001"], ["--ruid=52002", "--euid=0"]] {
            let before = (world.state(), alices.names());
            ask(&ids, &alices).refuses("");
            assert_eq!((world.state(), alices.names()), before, "{ids:?}");
        }
        let nic = ask(&["--ruid=52001", "--euid=52002"], &alices).nic();
        assert_eq!(world.nics(), [format!("alice veth lxcbr0 {}", nic.host_name)]);
        let before = (world.state(), bobs.names());
        ask(&["--ruid=52001", "--euid=52002"], &bobs).refuses("");
        assert_eq!((world.state(), bobs.names()), before);
    });
}

/// I04: root has power over what is below his namespace, whoever made it. His own line decides. C does so, too.
#[test]
fn root_may_wire_a_container_of_another_user_by_a_line_of_his_own() {
    with_bridge(|world| {
        let container = world.container(ALICE);
        let nic = create(world, ROOT, &container.pid()).nic();
        assert_eq!(container.link("eth0").index, nic.container_index);
        assert_eq!(world.nics(), [format!("root veth lxcbr0 {}", nic.host_name)]);
    });
}

/// I01: who has ended has no network namespace, though his parent has not yet asked.
#[test]
fn a_process_that_has_ended_is_refused() {
    with_bridge(|world| {
        let script = "sleep 0.3 & echo $! >/tmp/zombie; exec sleep 1000";
        let container = world.container_of(
            world.command(ALICE, "/usr/bin/unshare").args(["-r", "-n", "/bin/sh", "-c", script]),
        );
        let pid = fs::read_to_string("/tmp/zombie").expect("a pid").trim().to_owned();
        let start = Instant::now();
        while !fs::read_to_string(format!("/proc/{pid}/stat")).expect("a zombie").contains(") Z ") {
            assert!(start.elapsed() < Duration::from_secs(10), "it does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
        let before = world.state();
        create(world, ALICE, &pid).refuses("");
        assert_eq!((world.state(), container.names()), (before, vec![]));
        let _nic = create(world, ALICE, &container.pid()).nic();
    });
}

/// I04: on a host where users see their own processes only. Of the others' none tells more than that there is none.
#[test]
fn a_host_that_hides_processes_is_no_obstacle() {
    with_bridge(|world| {
        let mut mount = world.command(ROOT, "/usr/bin/mount");
        world.run(mount.args(["-t", "proc", "-o", "hidepid=invisible", "proc", "/proc"])).succeeds();
        let bobs = world.container(BOB);
        for container in [world.container(ALICE), world.container_of_a_subordinate()] {
            let nic = create(world, ALICE, &container.pid()).nic();
            assert_eq!(container.link("eth0").index, nic.container_index);
            if !theirs() {
                world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
            }
            let before = world.state();
            let said = |pid: &str| create(world, ALICE, pid).refuses("").stderr.replace(pid, "PID");
            for pid in [&*bobs.pid(), "1"] {
                assert!(said(pid) == said("2147483647") || theirs(), "{}", said(pid));
            }
            assert_eq!(world.state(), before);
            drop(container);
            world.wait_until_gone(&nic.host_name);
        }
    });
}

/// `ip monitor` of the host's links. See [`Monitor::seen`].
struct Monitor(Child);

const MONITORED: &str = "/run/monitored";

impl Monitor {
    fn of(world: &World) -> Self {
        let file = fs::File::create(MONITORED).expect("create");
        let mut ip = world.command(ROOT, "/usr/sbin/ip");
        ip.args(["-o", "monitor", "link", "address", "route"]).stdout(file);
        let monitor = Self(ip.spawn().expect("start ip"));
        // Until it sees.
        let start = Instant::now();
        while fs::metadata(MONITORED).expect("monitored").len() == 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "the monitor sees nothing");
            mark(world, "first");
        }
        monitor
    }

    /// Links that have come or gone so far, the marks excepted. What the kernel says about those that are there (a carrier
    /// that is found late) is none of it.
    fn seen(&self, world: &World) -> Vec<String> {
        mark(world, "last");
        let known = world.state().links;
        let start = Instant::now();
        loop {
            let text = fs::read_to_string(MONITORED).expect("monitored");
            let ended = text.lines().any(|line| line.starts_with("Deleted") && line.contains("marklast"));
            if ended && text.ends_with('\n') {
                let lines =
                    text.lines().filter(|line| !line.contains("markfirst") && !line.contains("marklast"));
                let is_known = |line: &str| known.iter().any(|link| line.starts_with(link));
                return lines.filter(|line| !is_known(line)).map(str::to_owned).collect();
            }
            assert!(start.elapsed() < Duration::from_secs(10), "the monitor sees nothing: {text}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn mark(world: &World, name: &str) {
    world.ip(&["link", "add", &format!("mark{name}"), "type", "bridge"]);
    world.ip(&["link", "del", &format!("mark{name}")]);
}

/// I02. Differs: see above. No link appears in the host's network namespace, not for a moment.
#[test]
fn the_hosts_own_network_namespace_is_never_touched() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        // Else the bridge has an address of its own in a second or two, which the monitor sees.
        fs::write("/proc/sys/net/ipv6/conf/lxcbr0/disable_ipv6", "1").expect("write");
        let own = world.container(ALICE);
        let hers = create(world, ALICE, &own.pid()).nic();
        let plain = world.plain_process(ALICE);
        let in_user_namespace =
            world.target_of(world.command(ALICE, "/usr/bin/unshare").args(["-r", "sleep", "1000"]));
        let monitor = Monitor::of(world);
        let hosts = "it is the host's own; a container has one of its own";
        not_hers(world, "a process of hers", (&plain.pid(), hosts), &hers);
        let its = in_user_namespace.pid();
        not_hers(world, "a process of hers in a user namespace of hers", (&its, hosts), &hers);
        not_hers(world, "this test's own", (&std::process::id().to_string(), CLOSED), &hers);
        // The helper's own is not root's to ask for either.
        for pid in [plain.pid(), in_user_namespace.pid()] {
            let before = world.state();
            create(world, ROOT, &pid).refuses("");
            assert_eq!(world.state(), before);
        }
        // The helper's own.
        for path in ["/proc/self/ns/net", "/proc/thread-self/ns/net", "/proc/self/task/../ns/net"] {
            for user in [ALICE, ROOT] {
                let before = world.state();
                world.delete(user, path, "lxcbr0", &hers.host_name).refuses("");
                assert_eq!(world.state(), before);
            }
        }
        assert_eq!(monitor.seen(world), Vec::<String>::new());
        drop(monitor);

        // So that this can fail.
        let monitor = Monitor::of(world);
        world.delete(ALICE, &own.netns(), "lxcbr0", &hers.host_name).succeeds();
        assert!(monitor.seen(world).iter().any(|line| line.contains(&hers.host_name)));
    });
}

/// Before it is clear that it is the caller's: also nothing is locked, made or written for a namespace that is not.
#[test]
fn nothing_is_created_for_a_namespace_that_is_not_the_callers() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        let bobs = world.container(BOB);
        create(world, ALICE, &bobs.pid()).refuses("");
        world.delete(ALICE, &bobs.netns(), "lxcbr0", "veth52001_0000").refuses("");
        assert!(fs::symlink_metadata("/run/lxc").is_err());
    });
}

/// I04: below a namespace of the caller's, everything is his, whoever made it there.
#[test]
fn a_network_namespace_below_the_callers_own_is_his() {
    with_bridge(|world| {
        let within = |args: &[&str]| world.container_of(world.command(ALICE, "/usr/bin/unshare").args(args));
        // Ends with the test.
        let init = world.container_of_a_subordinate();
        let enter = |args: &[&str]| {
            let mut command = world.command(ALICE, "/usr/bin/nsenter");
            command.args(["-t", &init.pid(), "-U", "-n", "-S", "0", "-G", "0", "--"]);
            world.container_of(command.args(args))
        };
        for (what, container) in [
            ("a namespace of hers in one of hers", within(&["-r", "unshare", "-r", "-n", "sleep", "1000"])),
            (
                "the fourth of a row",
                within(&["-r", "unshare", "-r", "unshare", "-r", "unshare", "-r", "-n", "sleep", "1000"]),
            ),
            (
                "the upper one's, a process of the lower",
                within(&["-r", "-n", "unshare", "-r", "sleep", "1000"]),
            ),
            ("made by a subordinate id", enter(&["unshare", "-n", "sleep", "1000"])),
            (
                "in a user namespace made by a subordinate id",
                enter(&["unshare", "-r", "-n", "sleep", "1000"]),
            ),
            (
                "in a user namespace made by another subordinate id",
                enter(&[
                    "setpriv",
                    "--reuid=7",
                    "--regid=7",
                    "--clear-groups",
                    "unshare",
                    "-r",
                    "-n",
                    "sleep",
                    "1000",
                ]),
            ),
        ] {
            println!("{what}");
            let nic = create(world, ALICE, &container.pid()).nic();
            assert_eq!(container.names(), ["eth0"]);
            assert_eq!(world.host_link(&nic.host_name).master, "lxcbr0");
            // Not Bob's.
            let before = world.state();
            create(world, BOB, &container.pid()).refuses("");
            assert_eq!(world.state(), before);
            if !theirs() {
                world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
                assert_eq!(container.names(), Vec::<String>::new());
            }
            drop(container);
            world.wait_until_gone(&nic.host_name);
        }
    });
}

/// I04: who is root in a namespace of his own is nobody here; and a set-id program gives him nothing.
#[test]
fn a_caller_in_a_namespace_of_his_own_has_no_power_here() {
    with_bridge(|world| {
        let container = world.container(ALICE);
        let subordinate = world.container_of_a_subordinate();
        let before = (world.state(), container.names(), subordinate.names());
        for (pid, ids) in [(container.pid(), &[][..]), (subordinate.pid(), &["-S", "0", "-G", "0"])] {
            for namespaces in [&["-U"][..], &["-U", "-n"]] {
                let mut command = world.command(ALICE, "/usr/bin/nsenter");
                command.args(["-t", &pid]).args(namespaces).args(ids);
                if ids.is_empty() {
                    command.arg("--preserve-credentials");
                }
                command.args([
                    "--",
                    LXC_USER_NIC,
                    "create",
                    "/dev/null",
                    "dummy",
                    &pid,
                    "veth",
                    "lxcbr0",
                    "eth0",
                ]);
                world.run(&mut command).refuses("");
                assert_eq!((world.state(), container.names(), subordinate.names()), before);
            }
        }
    });
}

/// One attempt for every system call of a `create`, in a pid namespace of its own: the helper is stopped after that
/// call, the container ends, its pid is given to a new container, and the helper goes on. Prints a line an attempt:
/// the call, how far the helper had got, its exit status, the new container's links, the host's that stay, what it
/// said.
const PASS_THE_PID_ON: &str = r#"
import ctypes, os, re, signal, subprocess, sys, time

successor, helper = int(sys.argv[1]), sys.argv[2]
ALICE, CLONE_NEWUSER_NEWNET, PR_SET_DUMPABLE = 52001, 0x50000000, 4
libc = ctypes.CDLL(None)

def spawn(uid, pid=None):
    if pid:
        with open("/proc/sys/kernel/ns_last_pid", "w") as last:
            last.write(str(pid - 1))
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
        if libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) or libc.unshare(CLONE_NEWUSER_NEWNET):
            os._exit(1)
        os.write(tell, b"x")
        signal.pause()
    os.close(tell)
    assert os.read(ready, 1) == b"x", "no process"
    os.close(ready)
    assert pid in (None, child), f"pid {child} instead of {pid}"
    return child

def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

def links(who):
    names = [line.split(":")[0].strip() for line in open(f"/proc/{who}/net/dev").readlines()[2:]]
    return [name for name in names if name not in ("lo", "lxcbr0")]

def host_links_that_stay(expected):
    for _ in range(2000):
        left = links("self")
        if len(left) <= expected:
            break
        time.sleep(0.005)
    return left

def read_trace():
    return open("/tmp/trace").read()

def attempt(stop):
    first = spawn(ALICE)
    inject = ["-e", f"inject={stop[0]}:signal=STOP:when={stop[1]}"] if stop else []
    open("/tmp/trace", "w").close()
    process = subprocess.Popen(
        ["strace", "-u", "alice", "-o", "/tmp/trace", *inject, helper, "create", "/dev/null", "dummy", str(first), "veth", "lxcbr0"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if stop:
        while "--- stopped by SIGSTOP" not in read_trace():
            if process.poll() is not None:
                print(*stop, "ended", process.returncode, "", "", process.communicate()[0].decode().strip(), sep="|")
                end(first)
                return
            time.sleep(0.0005)
        trace = read_trace()
        end(first)
        second = spawn(successor, first)
        os.kill(int(open(f"/proc/{process.pid}/task/{process.pid}/children").read()), signal.SIGCONT)
    said = process.communicate()[0].decode().replace("\n", " ")
    if stop:
        if re.search(r'(/proc/%d/|")ns/net", .* = \d' % first, trace):
            phase = "held"
        else:
            phase = "looked at" if f'"/proc/{first}' in trace else "named"
        has = links(second)
        print(*stop, phase, process.returncode, ",".join(has), ",".join(host_links_that_stay(len(has))), said, sep="|")
        end(second)
    else:
        assert process.returncode == 0, said
        assert links(first) == ["eth0"]
        end(first)
    assert not host_links_that_stay(0)
    return read_trace()

# Between these, nothing is asked of the system that could have become another answer.
DULL = "brk mmap munmap mprotect pread64 arch_prctl set_tid_address set_robust_list rseq getrandom exit_group".split()
count = {}
for line in attempt(None).splitlines()[1:]:
    call = line.split("(")[0]
    if "(" in line and call not in DULL:
        count[call] = count.get(call, 0) + 1
        attempt((call, count[call]))
"#;

/// What came of every attempt of [`PASS_THE_PID_ON`]: phase, exit status, links of the new container.
fn pass_the_pid_on(to: User, judge: impl Fn(&str, &str, &str) + Sync) {
    with_bridge(|world| {
        fs::write("/run/pass.py", PASS_THE_PID_ON).expect("write");
        let mut driver = world.command(ROOT, "/usr/bin/unshare");
        driver.args([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "/usr/bin/python3",
            "-I",
            "/run/pass.py",
        ]);
        driver.args([&to.id.to_string(), LXC_USER_NIC]);
        let answer = world.run_within(Duration::from_secs(180), &mut driver);
        assert_eq!((answer.status, &*answer.stderr), (Some(0), ""), "{answer:?}");
        let mut phases = BTreeSet::new();
        for line in answer.stdout.lines() {
            println!("{line}");
            let fields: [&str; 7] = line.splitn(7, '|').collect::<Vec<_>>().try_into().expect("seven fields");
            let [_call, _number, phase, status, links, stay, _said] = fields;
            phases.insert(phase.to_owned());
            if phase == "ended" {
                assert_eq!(status, "0");
                continue;
            }
            assert_eq!(
                stay.split(',').filter(|name| !name.is_empty()).count(),
                usize::from(!links.is_empty())
            );
            judge(phase, status, links);
        }
        assert!(phases.contains("named") && phases.contains("held"), "only {phases:?}: not understood");
    });
}

/// I05: to another user's container, after any system call
#[test]
fn a_pid_that_passes_to_another_users_container_gives_it_nothing() {
    if theirs() {
        return; // our rule
    }
    pass_the_pid_on(BOB, |phase, status, links| {
        assert_eq!(links, "");
        assert!(status == "1" || phase == "held" && status == "0", "{phase} {status}");
    });
}

/// I05: to another container of the same user: what was opened is held, and never looked up again
#[test]
fn once_the_network_namespace_is_held_its_pid_is_not_looked_up_again() {
    if theirs() {
        return;
    }
    pass_the_pid_on(ALICE, |phase, status, links| match phase {
        // It is what the pid names when it is asked for.
        "named" => assert_eq!((status, links), ("0", "eth0")),
        "looked at" => assert_eq!((status, links), ("1", "")),
        _ => assert_eq!(links, ""),
    });
}

/// I05: or to nobody.
#[test]
fn a_container_that_ends_meanwhile_leaves_nothing() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        let first = world.container(ALICE);
        let pid = first.pid();
        let places = world.places(ALICE, &["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0", "eth0"]);
        let mut refused = 0;
        for place in places.iter().filter(|place| !place.is_dull()) {
            let mut container = world.container(ALICE);
            let pid = container.pid();
            let held =
                world.held(ALICE, place, &["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0", "eth0"]);
            container.end();
            if let Ok(held) = held {
                let answer = held.go_on();
                if answer.status == Some(1) {
                    refused += 1;
                    answer.refuses("");
                } else {
                    let _nic = answer.nic();
                }
            }
            let start = Instant::now();
            while world.host_veths().len() > 1 {
                assert!(start.elapsed() < Duration::from_secs(20), "{place:?} leaves {:?}", world.state());
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        assert!(refused > 5, "it was not stopped on its way");
        // The next one finds the truth.
        let nic = create(world, ALICE, &world.container(ALICE).pid()).nic();
        assert!(world.nics().len() <= 2 && world.ledger().len() <= 2, "{:?} after {nic:?}", world.state());
    });
}

/// The calls of a trace of a set-user-ID program in which this text is, each with the effective uid it was made with.
fn calls_with<'a>(trace: &'a str, text: &str) -> Vec<(u32, &'a str)> {
    let mut euid = 0;
    let mut found = vec![];
    for line in trace.lines().filter(|line| !line.contains("execve(")) {
        let call = line.split_once(' ').map_or(line, |(pid, rest)| {
            if pid.bytes().all(|byte| byte.is_ascii_digit()) { rest.trim_start() } else { line }
        });
        if call.contains(text) {
            found.push((euid, call));
        }
        let Some((name, arguments)) = call.split_once('(') else { continue };
        let place = match name {
            "setresuid" | "setreuid" => 1,
            "setuid" | "setfsuid" => 0,
            _ => continue,
        };
        let Some((arguments, result)) = arguments.split_once(')') else { continue };
        let new = arguments.split(", ").nth(place).expect("a uid");
        if (result.trim() == "= 0" || name == "setfsuid") && new != "-1" {
            euid = new.parse().expect("a uid");
        }
    }
    found
}

/// I06, I07. Differs: C opens it as root. What the caller names is opened with his rights, so that it costs him nothing to
/// know what he knows anyway, and gives him nothing more: there is one answer for all of these.
#[test]
fn whatever_is_no_network_namespace_of_the_callers_gets_the_same_answer() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        let own = world.container(ALICE);
        let nic = create(world, ALICE, &own.pid()).nic();
        let (bobs, roots) = (world.container(BOB), world.container(ROOT));
        let in_roots = started_by_root(world, &format!("exec unshare -n {AS_ALICE} sleep 1000"));
        let home = "/home/alice";
        fs::write("/home/alice/file", "secret").expect("write");
        nix::unistd::mkfifo("/home/alice/fifo", nix::sys::stat::Mode::from_bits_truncate(0o666))
            .expect("mkfifo");
        let _socket = std::os::unix::net::UnixListener::bind("/home/alice/socket").expect("bind");
        symlink("/home/alice/loop", "/home/alice/loop").expect("symlink");
        symlink(bobs.netns(), "/home/alice/bobs").expect("symlink");
        symlink("/proc/self/ns/net", "/home/alice/helpers").expect("symlink");
        symlink("/run/secret/file", "/home/alice/secret").expect("symlink");
        fs::create_dir("/run/secret").expect("mkdir");
        fs::write("/run/secret/file", "secret").expect("write");
        fs::write("/run/secret/netns", "").expect("write");
        // Hers, where only root can reach it: bound there.
        for (netns, place) in
            [(own.netns(), "/run/secret/netns"), (roots.netns(), "/run/roots"), (bobs.netns(), "/run/bobs")]
        {
            fs::write(place, "").expect("write");
            world.run(world.command(ROOT, "/usr/bin/mount").args(["--bind", &netns, place])).succeeds();
        }
        fs::set_permissions("/run/secret", fs::Permissions::from_mode(0o700)).expect("chmod");
        for name in ["file", "fifo", "socket"] {
            chown(format!("{home}/{name}"), Some(ALICE.id), Some(ALICE.id)).expect("chown");
        }
        let long = format!("/{}", "x".repeat(5000));
        let deep = "/../".repeat(1300);
        let proc = format!("/proc/{}", own.pid());
        let of = |what: &str| format!("{proc}/{what}");
        let mut paths = [
            "",
            "/",
            ".",
            "..",
            "/nonexistent",
            "/nonexistent/x",
            "/run/secret",
            "/run/secret/file",
            "/run/secret/none",
            "/run/secret/netns",
            "/run/bobs",
            "/run/roots",
            "/home/alice",
            "/home/alice/file",
            "/home/alice/file/x",
            "/home/alice/fifo",
            "/home/alice/socket",
            "/home/alice/loop",
            "/home/alice/bobs",
            "/home/alice/helpers",
            "/home/alice/secret",
            "/dev/null",
            "/dev/full",
            "/dev/tty",
            "/dev/ptmx",
            "/dev/watchdog",
            "/dev/fuse",
            "/dev/kmsg",
            "/proc",
            "/proc/self",
            "/proc/self/ns/net",
            "/proc/thread-self/ns/net",
            "/proc/1/ns/net",
            "/proc/self/ns/user",
            "/proc/self/ns/mnt",
            "/proc/self/exe",
            "/proc/self/mem",
            "/proc/self/environ",
            "/proc/self/fd",
            "/proc/self/fd/0",
            "/proc/self/fd/1",
            "/proc/self/fd/2",
            "/proc/self/fd/3",
            "/proc/self/fd/4",
            "/proc/self/fd/5",
            "/proc/self/fd/6",
            "/proc/self/fd/99",
            "/proc/2147483647/ns/net",
            "/proc/sys/net",
            "ns/net",
            "fd:3",
            "x\n<2>y",
            "\u{1b}[2J",
            "/etc/lxc/lxc-usernet",
            "/etc/shadow",
            "/run/lxc/nics",
            "/run/lxc/nsgate",
            LXC_USER_NIC,
            &long,
            &deep,
        ]
        .map(str::to_owned)
        .to_vec();
        paths.extend(
            [
                "ns/user", "ns/mnt", "ns/pid", "ns/uts", "ns", "net", "net/dev", "root", "cwd", "ns/net/",
                "ns/net/x",
            ]
            .map(of),
        );
        paths.push(proc.clone());
        paths.extend([&bobs, &roots].map(Container::netns));
        paths.push(format!("/proc/{}/ns/net", in_roots.pid()));
        let keep = format!("exec 9<{}; exec sleep 1000", bobs.netns());
        let keeper = world.plain_process_of(world.command(BOB, "/bin/sh").args(["-c", &keep]));
        paths.push(format!("/proc/{}/fd/9", keeper.pid()));

        let before = (world.state(), own.names());
        let secret = fs::metadata("/run/secret/file").expect("secret").accessed().expect("a time");
        let mut said = BTreeSet::new();
        for path in &paths {
            println!("{}", &path[..path.len().min(100)]);
            let options = [
                "-f",
                "-qq",
                "-s",
                "10000",
                "-o",
                "/run/trace",
                "-e",
                "signal=none",
                "-e",
                "trace=%file,%creds",
            ];
            let args = ["delete", "/dev/null", "dummy", path, "veth", "lxcbr0", &nic.host_name];
            let answer = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args));
            answer.refuses("");
            assert_eq!((world.state(), own.names()), before, "{path}");
            // The text without what it quotes.
            let mut text = String::new();
            for (number, part) in answer.stderr.split('"').enumerate() {
                text += if number % 2 == 0 { part } else { "PATH" };
            }
            said.insert(text);
            let trace = fs::read_to_string("/run/trace").expect("trace");
            if path.len() > 8
                && path.starts_with('/')
                && !path.starts_with("/etc/lxc")
                && !path.starts_with("/run/lxc")
            {
                for (euid, call) in calls_with(&trace, &format!("\"{path}\"")) {
                    assert_eq!(euid, ALICE.id, "{call}");
                }
            }
        }
        // What he can open, and is one, he can also ask the kernel about himself.
        let (of_namespaces, of_others): (Vec<_>, Vec<_>) =
            said.into_iter().partition(|said| said.contains("may not modify that network namespace"));
        assert_eq!(
            (of_others.len(), of_namespaces.is_empty()),
            (1, false),
            "{of_others:#?} {of_namespaces:#?}"
        );
        let now = fs::metadata("/run/secret/file").expect("secret").accessed().expect("a time");
        assert_eq!(secret, now);
        // So that this can fail.
        world.delete(ALICE, &own.netns(), "lxcbr0", &nic.host_name).succeeds();
    });
}

/// I06. What does name a network namespace of the caller's is taken, however it is written. The call that opens it is made
/// with his effective uid, and there is only one.
#[test]
fn a_network_namespace_is_opened_once_with_the_callers_rights() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        let own = world.container(ALICE);
        let pid = own.pid();
        symlink(own.netns(), "/home/alice/mine").expect("symlink");
        fs::write("/run/bound", "").expect("write");
        world
            .run(world.command(ROOT, "/usr/bin/mount").args(["--bind", &own.netns(), "/run/bound"]))
            .succeeds();
        let keep = format!("exec 9<{}; exec sleep 1000", own.netns());
        let keeper = world.plain_process_of(world.command(ALICE, "/bin/sh").args(["-c", &keep]));
        for path in [
            own.netns(),
            format!("/proc/{pid}/task/{pid}/ns/net"),
            format!("//proc/./{pid}/ns/../ns/net"),
            format!("/proc/{}/fd/9", keeper.pid()),
            "/home/alice/mine".to_owned(),
            "/run/bound".to_owned(),
        ] {
            println!("{path}");
            let nic = create(world, ALICE, &pid).nic();
            let options = ["-f", "-qq", "-o", "/run/trace", "-e", "signal=none", "-e", "trace=%file,%creds"];
            let args = ["delete", "/dev/null", "dummy", &path, "veth", "lxcbr0", &nic.host_name];
            world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args)).succeeds();
            assert_eq!((own.names(), world.host_veths()), (vec![], vec![]));
            let trace = fs::read_to_string("/run/trace").expect("trace");
            let calls = calls_with(&trace, &format!("\"{path}\""));
            assert!(
                !calls.is_empty() && calls.iter().all(|(euid, _)| *euid == ALICE.id),
                "{calls:?} in {trace}"
            );
            assert_eq!(calls.iter().filter(|(_, call)| call.starts_with("open")).count(), 1, "{calls:?}");
        }
        // And so it is of `create`.
        let options = ["-f", "-qq", "-o", "/run/trace", "-e", "signal=none", "-e", "trace=%file,%creds"];
        let args = ["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0", "eth0"];
        let _nic = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args)).nic();
        let trace = fs::read_to_string("/run/trace").expect("trace");
        let calls = calls_with(&trace, &format!("/proc/{pid}"));
        assert!(!calls.is_empty() && calls.iter().all(|(euid, _)| *euid == ALICE.id), "{calls:?} in {trace}");
        let opens = calls_with(&trace, "ns/net\"").into_iter().filter(|(_, call)| call.starts_with("open"));
        let opens = opens.collect::<Vec<_>>();
        assert!(opens.len() == 1 && opens[0].0 == ALICE.id, "{opens:?} in {trace}");
    });
}

/// I06. The path's own rights count, those of groups included, and what the caller has no more than those is no way in.
#[test]
fn a_path_that_only_others_may_enter_is_refused() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        world.group("builders", 53000);
        let own = world.container(ALICE);
        let nic = create(world, ALICE, &own.pid()).nic();
        fs::create_dir("/run/builders").expect("mkdir");
        fs::write("/run/builders/netns", "").expect("write");
        world
            .run(world.command(ROOT, "/usr/bin/mount").args(["--bind", &own.netns(), "/run/builders/netns"]))
            .succeeds();
        chown("/run/builders", Some(0), Some(53000)).expect("chown");
        fs::set_permissions("/run/builders", fs::Permissions::from_mode(0o750)).expect("chmod");
        let before = world.state();
        let args = ["delete", "/dev/null", "dummy", "/run/builders/netns", "veth", "lxcbr0", &nic.host_name];
        world.nic(ALICE, &args).refuses("");
        world.run(world.command_in_groups(ALICE, &[53001], LXC_USER_NIC).args(args)).refuses("");
        assert_eq!(world.state(), before);
        world.run(world.command_in_groups(ALICE, &[53000], LXC_USER_NIC).args(args)).succeeds();
    });
}

/// I01, I06: `/proc` says no to who could not trace it: a process of the caller's own that is not dumpable.
#[test]
fn a_process_that_the_caller_may_not_look_into_is_refused() {
    with_bridge(|world| {
        fs::create_dir("/run/unreadable").expect("mkdir");
        fs::copy("/usr/bin/sleep", "/run/unreadable/sleep").expect("copy");
        fs::set_permissions("/run/unreadable/sleep", fs::Permissions::from_mode(0o711)).expect("chmod");
        let undumpable = "import ctypes, signal\n\
            libc = ctypes.CDLL(None)\n\
            assert libc.prctl(4, 0, 0, 0, 0) == 0\n\
            assert libc.unshare(0x50000000) == 0\n\
            signal.pause()\n";
        let by_prctl =
            world.container_of(world.command(ALICE, "/usr/bin/python3").args(["-I", "-c", undumpable]));
        let by_unreadable_program = world.container_of(world.command(ALICE, "/usr/bin/unshare").args([
            "-U",
            "-n",
            "/run/unreadable/sleep",
            "1000",
        ]));
        for container in [by_prctl, by_unreadable_program] {
            let before = world.state();
            create(world, ALICE, &container.pid()).refuses(if theirs() { "" } else { CLOSED });
            assert_eq!((world.state(), container.names()), (before, vec![]));
        }
    });
}

/// Mounts a file system whose other end never answers, and waits.
const SILENT_FILE_SYSTEM: &str = r#"
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=52001,group_id=52001".encode()
assert libc.mount(b"silent", b"/home/alice/silent", b"fuse", 0, options) == 0, os.strerror(ctypes.get_errno())
print("mounted", flush=True)
signal.pause()
"#;

/// I07: what hangs because the caller made it so hangs for him alone, and he can end it.
#[test]
fn a_path_that_hangs_holds_up_nobody_else() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        fs::create_dir("/home/alice/silent").expect("mkdir");
        let mut server = world.command(ROOT, "/usr/bin/python3");
        server.args(["-I", "-c", SILENT_FILE_SYSTEM]).stdout(Stdio::piped());
        let mut server = server.spawn().expect("start python");
        let mut word = [0; 8];
        std::io::Read::read_exact(server.stdout.as_mut().expect("a pipe"), &mut word).expect("mounted");

        let own = world.container(ALICE);
        let nic = create(world, ALICE, &own.pid()).nic();
        let mut hanging = world.command(ALICE, LXC_USER_NIC);
        hanging.args([
            "delete",
            "/dev/null",
            "dummy",
            "/home/alice/silent/netns",
            "veth",
            "lxcbr0",
            &nic.host_name,
        ]);
        hanging.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut hanging = hanging.spawn().expect("start");
        let waits = || {
            // Its own place in the kernel, or nothing if it has ended.
            fs::read_to_string(format!("/proc/{}/wchan", hanging.id())).unwrap_or_default()
        };
        let start = Instant::now();
        while !waits().contains("fuse") && start.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Alice, Bob and root go about their business.
        for user in [BOB, ALICE, ROOT] {
            let container = world.container(user);
            let other = create(world, user, &container.pid()).nic();
            world.delete(user, &container.netns(), "lxcbr0", &other.host_name).succeeds();
        }
        if hanging.try_wait().expect("wait").is_none() {
            let kill = format!("kill -KILL {}", hanging.id());
            world.run(world.command(ALICE, "/bin/sh").args(["-c", &kill])).succeeds();
        }
        let output = hanging.wait_with_output().expect("wait");
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert_eq!(world.host_veths(), [nic.host_name]);
        drop(server.kill());
        drop(server.wait());
    });
}

/// A directory of automounts, whose other end says each time that there is nothing there, and who asked.
const EMPTY_AUTOMOUNT: &str = r#"
import ctypes, fcntl, os, struct
libc = ctypes.CDLL(None, use_errno=True)
ready, told = os.pipe()
options = f"fd={told},pgrp={os.getpgrp()},minproto=5,maxproto=5,indirect".encode()
assert libc.mount(b"automount", b"/run/auto", b"autofs", 0, options) == 0, os.strerror(ctypes.get_errno())
os.close(told)
root = os.open("/run/auto", os.O_RDONLY | os.O_DIRECTORY)
print("mounted", flush=True)
while packet := os.read(ready, 4096):
    token, _device, _inode, uid = struct.unpack_from("<IIQI", packet, 8)
    print("asked by", uid, flush=True)
    fcntl.ioctl(root, 0x9361, token)
"#;

/// I07: nor is an automount asked for with other rights than his.
#[test]
fn an_automount_is_asked_for_with_the_callers_rights() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        fs::create_dir("/run/auto").expect("mkdir");
        let mut server = world.command(ROOT, "/usr/bin/python3");
        server.args(["-I", "-c", EMPTY_AUTOMOUNT]).stdout(Stdio::piped());
        // What its own process group asks for is not a request to it.
        std::os::unix::process::CommandExt::process_group(&mut server, 0);
        let mut server = server.spawn().expect("start python");
        let mut said =
            std::io::BufRead::lines(std::io::BufReader::new(server.stdout.take().expect("a pipe")));
        assert_eq!(said.next().expect("a line").expect("a line"), "mounted");

        let own = world.container(ALICE);
        let nic = create(world, ALICE, &own.pid()).nic();
        let before = world.state();
        let none = world.delete(ALICE, "/nonexistent", "lxcbr0", &nic.host_name);
        let answer = world.delete(ALICE, "/run/auto/netns", "lxcbr0", &nic.host_name);
        assert_eq!(answer.refuses("").stderr, none.refuses("").stderr);
        assert_eq!(said.next().expect("a line").expect("a line"), format!("asked by {}", ALICE.id));
        assert_eq!(world.state(), before);
        drop(server.kill());
        drop(server.wait());
    });
}

/// I06, I07: descriptors that the caller leaves open are his own files: `/proc/self/fd/N` names one of them or nothing, never
/// one of the helper's.
#[test]
fn the_helpers_own_descriptors_cannot_be_named() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        let own = world.container(ALICE);
        let nic = create(world, ALICE, &own.pid()).nic();
        let bobs = world.container(BOB);
        let before = world.state();
        for number in 0..16 {
            for opened in [None, Some("/dev/null".to_owned()), Some("/home/alice".to_owned())] {
                let path = format!("/proc/self/fd/{number}");
                let open = opened.map(|opened| format!("open:{number}=r:{opened}"));
                let oddities: Vec<&str> = open.as_deref().into_iter().collect();
                let mut command = world.launch(ALICE, &oddities, LXC_USER_NIC);
                command.args(["delete", "/dev/null", "dummy", &path, "veth", "lxcbr0", &nic.host_name]);
                let answer = world.run(&mut command);
                assert_eq!(answer.status, Some(1), "{path}: {answer:?}");
                assert_eq!(world.state(), before, "{path}");
            }
        }
        let _ = bobs;
    });
}

/// I09: what his process in the container may do there is not asked: whose namespace it is decides.
#[test]
fn a_container_without_capabilities_gets_its_interface_all_the_same() {
    with_bridge(|world| {
        for args in [
            // No map, so the exec dropped them all.
            &["-U", "-n", "sleep", "1000"][..],
            &[
                "-r",
                "-n",
                "setpriv",
                "--bounding-set=-all",
                "--inh-caps=-all",
                "--no-new-privs",
                "sleep",
                "1000",
            ],
            &["-r", "-n", "setpriv", "--securebits=+noroot,+noroot_locked", "sleep", "1000"],
        ] {
            let container = world.container_of(world.command(ALICE, "/usr/bin/unshare").args(args));
            let status = || container.target.file("status");
            let start = Instant::now();
            while !status().contains("CapEff:\t0000000000000000") {
                assert!(start.elapsed() < Duration::from_secs(10), "{}", status());
                std::thread::sleep(Duration::from_millis(2));
            }
            let nic = create(world, ALICE, &container.pid()).nic();
            assert_eq!(container.link("eth0").index, nic.container_index);
        }
    });
}

/// I11: the kernel has no room for a message or its answer, at any of them: nothing is left.
#[test]
fn a_kernel_without_memory_is_a_clean_refusal() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        let own = world.container(ALICE);
        let args = ["create", "/dev/null", "dummy", &*own.pid(), "veth", "lxcbr0", "eth0"];
        let before = (world.state().links, own.names());
        let calls = ["sendto", "sendmsg", "recvfrom", "recvmsg", "socket", "bind", "read", "ioctl"];
        let places = world.places(ALICE, &args);
        own.delete_link("eth0");
        let mut refused = 0;
        for place in places.iter().filter(|place| calls.contains(&&*place.call)) {
            for error in ["ENOMEM", "ENOBUFS"] {
                let inject = format!("inject={}:error={error}:when={}", place.call, place.number);
                let options = ["-qq", "-o", "/dev/null", "-e", &inject];
                let answer = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args));
                println!("{place:?} {error}: {answer:?}");
                if answer.status == Some(0) {
                    // The log, or what it asks to give a better reason.
                    let _nic = answer.nic();
                    own.delete_link("eth0");
                } else {
                    refused += 1;
                    answer.refuses("");
                    assert!(!answer.stderr.contains("Quota reached"), "{answer:?}");
                }
                assert_eq!((world.state().links, own.names()), before, "{place:?} {error}");
            }
        }
        assert!(refused > 10, "only {refused} were refused");
        // And nothing counts for ever.
        world.usernet("alice veth lxcbr0 1\n");
        let nic = create(world, ALICE, &own.pid()).nic();
        assert_eq!(world.nics(), [format!("alice veth lxcbr0 {}", nic.host_name)]);
        assert_eq!(world.ledger().len(), 1);
    });
}

/// I11: a bridge has 1024 ports.
#[test]
fn a_bridge_without_a_free_port_is_a_clean_refusal() {
    with_bridge(|world| {
        world.bridge("full");
        world.append("/etc/lxc/lxc-usernet", "alice veth full 5\n");
        // Ports that are the cheapest to have: both ends of 512 pairs.
        let mut batch = String::new();
        for number in 0..512 {
            batch += &format!("link add p{number} type veth peer q{number}\n");
            batch += &format!("link set p{number} master full\n");
            if number > 0 {
                batch += &format!("link set q{number} master full\n");
            }
        }
        fs::write("/run/batch", batch).expect("write");
        let mut ip = world.command(ROOT, "/usr/sbin/ip");
        world.run_within(Duration::from_secs(120), ip.args(["-batch", "/run/batch"])).succeeds();
        let own = world.container(ALICE);
        let mut last = None;
        for _ in 0..3 {
            let before = (world.state().links, own.names());
            let answer = world.create(ALICE, &own, "veth", "full", &[]);
            if answer.status == Some(0) {
                last = Some(answer.nic());
                continue;
            }
            // Of C the words are the same for everything.
            answer.refuses(if theirs() {
                "Quota reached"
            } else {
                "the bridge has as many ports as it can have: Exchange full"
            });
            assert_eq!((world.state().links, own.names()), before);
            let names =
                last.iter().map(|nic| format!("alice veth full {}", nic.host_name)).collect::<Vec<_>>();
            assert_eq!(world.nics(), names);
            // Elsewhere there is room.
            let _nic = create(world, ALICE, &own.pid()).nic();
            return;
        }
        panic!("the bridge does not get full");
    });
}

/// I12. Differs: C enters the container's network namespace. Ours stays where it is, and starts nobody else there.
#[test]
fn the_helper_never_leaves_its_network_namespace() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        let own = world.container(ALICE);
        let bobs = world.container(BOB);
        let trace = |args: &[&str]| {
            let options = ["-f", "-qq", "-o", "/run/trace", "-e", "signal=none"];
            let answer = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args));
            let trace = fs::read_to_string("/run/trace").expect("trace");
            for call in ["setns(", "unshare(", "fork(", "clone(", "clone3(", "chroot(", "mount("] {
                assert!(!trace.contains(call), "{call} in {trace}");
            }
            assert_eq!(trace.matches("execve(").count(), 1, "{trace}");
            answer
        };
        for pid in [own.pid(), bobs.pid(), "1".to_owned()] {
            let answer = trace(&["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0", "eth0"]);
            if pid == own.pid() {
                let nic = answer.nic();
                trace(&["delete", "/dev/null", "dummy", &own.netns(), "veth", "lxcbr0", &nic.host_name])
                    .succeeds();
            } else {
                answer.refuses("");
            }
        }
    });
}
