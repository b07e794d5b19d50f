//! Section C of the attack list: whose process it is that gets the map, and whether it is still the same one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use world::{ALICE, Answer, BOB, CAROL, Install, NOBODY_AT_ALL, ROOT, Target, User, World, theirs};

const HELPERS: [(&str, &str); 2] = [("/usr/bin/newuidmap", "uid_map"), ("/usr/bin/newgidmap", "gid_map")];

/// Both helpers' answers to a request for the same ids.
fn ask(world: &World, user: User, target: &Target, host: u32, count: u32) -> [Answer; 2] {
    HELPERS.map(|(helper, _)| world.run(&mut request(world.command(user, helper), target, host, count)))
}

/// `HELPER TARGET 0 HOST COUNT`, added to a command that ends in the helper's name.
fn request(mut command: Command, target: &Target, host: u32, count: u32) -> Command {
    command.args([target.pid(), "0".to_owned(), host.to_string(), count.to_string()]);
    command
}

#[track_caller]
fn both_succeed(answers: &[Answer; 2]) {
    for answer in answers {
        answer.succeeds();
    }
}

#[track_caller]
fn both_refuse(answers: &[Answer; 2], reason: &str) {
    for answer in answers {
        answer.refuses(reason);
    }
}

/// Both maps are this one.
#[track_caller]
fn assert_mapped(target: &Target, map: &str) {
    assert_eq!((&*target.uid_map(), &*target.gid_map()), (map, map));
}

/// Both helpers refuse any request about this target, be it for granted ids or for the caller's own, for this reason;
/// `FILE` in it is the map's name. The target stays as it was.
#[track_caller]
fn refused(world: &World, user: User, target: &Target, host: u32, reason: &str) {
    for (host, count) in [(host, 10), (user.id, 1)] {
        for (answer, (_, file)) in ask(world, user, target, host, count).iter().zip(HELPERS) {
            answer.refuses(&reason.replace("FILE", file));
        }
        target.assert_untouched();
    }
}

/// Waits until a process that [`World::target_of`] has started has become this program.
fn become_of(target: &Target, program: &str) {
    let exe = format!("/proc/{}/exe", target.pid());
    let start = Instant::now();
    while !fs::read_link(&exe).is_ok_and(|exe| exe.ends_with(program)) {
        assert!(start.elapsed() < Duration::from_secs(10), "the target does not become {program}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn run(program: &str, args: &[&str]) {
    let status =
        Command::new(program).args(args).status().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {args:?}: {status}");
}

/// C01: another user, be his group the same or not
#[test]
fn another_users_process_is_refused_whatever_its_group() {
    World::enter(|world| {
        for gid in [BOB.id, ALICE.id] {
            let target = world
                .target_of(world.command_as(BOB.id, gid, "/usr/bin/unshare").args(["-U", "sleep", "1000"]));
            let ids = format!("uid:52001 pw_uid:52001 st_uid:52002, gid:52001 pw_gid:52001 st_gid:{gid}");
            refused(world, ALICE, &target, 600_000, &format!("is owned by a different user: {ids}"));
        }
        // Root's own process, and root asking about another's.
        let roots = world.target(ROOT);
        let ids = "uid:52001 pw_uid:52001 st_uid:0, gid:52001 pw_gid:52001 st_gid:0";
        refused(world, ALICE, &roots, 600_000, &format!("is owned by a different user: {ids}"));
        let alices = world.target(ALICE);
        let ids = "uid:0 pw_uid:0 st_uid:52001, gid:0 pw_gid:0 st_gid:52001";
        refused(world, ROOT, &alices, 600_000, &format!("is owned by a different user: {ids}"));
    });
}

/// C01: where `/proc` hides the processes of others, no word tells one that is there from none.
#[test]
fn a_process_that_proc_hides_is_as_good_as_none() {
    World::enter(|world| {
        for hidepid in ["noaccess", "invisible"] {
            run("mount", &["-n", "-t", "proc", "-o", &format!("hidepid={hidepid}"), "proc", "/proc"]);
            let (bobs, roots, mine) = (world.target(BOB), world.target(ROOT), world.target(ALICE));
            for how in [Install::SetUid, Install::FileCapabilities] {
                world.install(how);
                for (helper, _) in HELPERS {
                    let said = |pid: &str| {
                        let answer = world.run(world.command(ALICE, helper).args([pid, "0", "600000", "10"]));
                        answer.refuses("").stderr.replace(pid, "PID")
                    };
                    let nobodys = said("2147483647");
                    for pid in [&*bobs.pid(), &roots.pid(), "1"] {
                        // That it is there is no secret with `noaccess`, nor whose it is.
                        let same = said(pid) == nobodys;
                        assert!(same || theirs() || hidepid == "noaccess", "{how:?} {pid}: {}", said(pid));
                    }
                }
                bobs.assert_untouched();
                roots.assert_untouched();
            }
            both_succeed(&ask(world, ALICE, &mine, 600_000, 10));
            run("umount", &["-n", "/proc"]);
        }
    });
}

/// C02: the same user in another group
#[test]
fn a_process_in_another_group_than_the_callers_is_refused() {
    World::enter(|world| {
        let other = world
            .target_of(world.command_as(ALICE.id, BOB.id, "/usr/bin/unshare").args(["-U", "sleep", "1000"]));
        let ids = "uid:52001 pw_uid:52001 st_uid:52001, gid:52001 pw_gid:52001 st_gid:52002";
        for grant in ["no", "yes"] {
            world.append("/etc/login.defs", &format!("GRANT_AUX_GROUP_SUBIDS {grant}\n"));
            refused(world, ALICE, &other, 600_000, &format!("is owned by a different user: {ids}"));
        }
    });
}

/// Makes one attempt for every system call of a helper, in a pid namespace of its own: the helper is stopped after
/// that call, the target ends, its pid is given to a new process that waits to be mapped as well, and the helper goes
/// on. Prints a line an attempt: the call, what the helper had opened before, its exit status, the new process's
/// maps and setgroups, what the helper said.
const PASS_THE_PID_ON: &str = r#"
import ctypes, os, re, signal, subprocess, sys, time

form, successor, helper, *triple = sys.argv[1:]
ALICE, CLONE_NEWUSER, PR_SET_DUMPABLE = 52001, 0x10000000, 4
libc = ctypes.CDLL(None)

def spawn(uid, pid=None):
    if pid:
        with open("/proc/sys/kernel/ns_last_pid", "w") as last:
            last.write(str(pid - 1))
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
        if libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) or libc.unshare(CLONE_NEWUSER):
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

def state(pid):
    return ",".join(" ".join(open(f"/proc/{pid}/{name}").read().split()) for name in ("uid_map", "gid_map", "setgroups"))

def read_trace():
    return open("/tmp/trace").read()

def attempt(stop):
    first = spawn(ALICE)
    name, held = str(first), []
    if form != "pid":
        held = [os.open(f"/proc/{first}", os.O_DIRECTORY) if form == "directory" else os.pidfd_open(first)]
        name = f"fd:{held[0]}"
    inject = ["-e", f"inject={stop[0]}:signal=STOP:when={stop[1]}"] if stop else []
    open("/tmp/trace", "w").close()
    process = subprocess.Popen(["strace", "-u", "alice", "-o", "/tmp/trace", *inject, helper, name, *triple],
                               pass_fds=held, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if stop:
        while "--- stopped by SIGSTOP" not in read_trace():
            assert process.poll() is None, f"{stop}: not stopped"
            time.sleep(0.0005)
        trace = read_trace()
        end(first)
        second = spawn(int(successor), first)
        os.kill(int(open(f"/proc/{process.pid}/task/{process.pid}/children").read()), signal.SIGCONT)
    said = process.communicate()[0].decode().replace("\n", " ")
    if stop:
        phase = "map" if re.search('"[ug]id_map", O_(WRONLY|RDWR)', trace) else "held" if f'"/proc/{first}' in trace else "named"
        print(*stop, phase, process.returncode, state(second), said, sep="|")
        end(second)
    else:
        assert process.returncode == 0, said
        assert state(first) != ",,allow"
        end(first)
    for fd in held:
        os.close(fd)
    return read_trace()

# Between these, nothing is asked of the system that could have become another answer.
DULL = "brk mmap munmap mprotect pread64 arch_prctl set_tid_address set_robust_list rseq getrandom exit_group".split()
count = {}
for line in attempt(None).splitlines()[1:]:
    call = line.split("(")[0]
    # This strace cannot stop it at a call that it does not know (lsm_get_self_attr: it asks what we are called).
    if "(" in line and call not in DULL and call != "syscall_0x1cb":
        count[call] = count.get(call, 0) + 1
        attempt((call, count[call]))
"#;

/// What came of every attempt of [`PASS_THE_PID_ON`].
fn pass_the_pid_on(
    form: &str,
    to: User,
    helper: &str,
    triple: [&str; 3],
    judge: impl Fn(&str, &str, &str, &str) + Sync,
) {
    World::enter(|world| {
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
        driver.args([form, &to.id.to_string(), helper]).args(triple);
        let answer = world.run_within(Duration::from_secs(60), &mut driver);
        assert_eq!((answer.status, &*answer.stderr), (Some(0), ""), "{answer:?}");
        let mut phases = BTreeSet::new();
        for line in answer.stdout.lines() {
            eprintln!("{line}");
            let fields: [&str; 6] = line.splitn(6, '|').collect::<Vec<_>>().try_into().expect("six fields");
            let [_call, _number, phase, status, state, said] = fields;
            phases.insert(phase.to_owned());
            judge(phase, status, state, said);
        }
        assert!(phases.contains("map") && phases.len() > 1, "only {phases:?}: the trace was not understood");
    });
}

const UNTOUCHED: &str = ",,allow";

/// C03: to another user's process, after any system call
#[test]
fn a_pid_that_passes_to_another_user_is_refused_and_his_process_left_alone() {
    pass_the_pid_on("pid", BOB, "/usr/bin/newuidmap", ["0", "600000", "10"], |phase, status, state, said| {
        assert_eq!(state, UNTOUCHED);
        match phase {
            "named" => assert!(status == "1" && said.contains("is owned by a different user"), "{said}"),
            "held" => assert_eq!(status, "1", "{said}"),
            // What it has open still is the map of the namespace that nobody is in any more.
            _ => {}
        }
    });
}

/// C03: to a process that could be mapped as well: what was opened is held, and never looked up again
#[test]
fn once_the_process_is_held_its_pid_is_not_looked_up_again() {
    for (helper, triple, mapped) in [
        ("/usr/bin/newuidmap", ["0", "600000", "10"], "0 600000 10,,allow"),
        ("/usr/bin/newgidmap", ["0", "52001", "1"], ",0 52001 1,deny"),
    ] {
        pass_the_pid_on("pid", ALICE, helper, triple, |phase, status, state, said| match phase {
            // It is what the pid names when it is asked for.
            "named" => assert_eq!((status, state), ("0", mapped), "{said}"),
            "held" => assert_eq!((status, state), ("1", UNTOUCHED), "{said}"),
            _ => assert_eq!(state, UNTOUCHED),
        });
    }
}

/// C03: a process that has ended, and that its parent has not asked after, still has its pid, and no namespace any more.
#[test]
fn a_process_that_has_ended_is_refused() {
    World::enter(|world| {
        let zombie = "import ctypes, os, signal, subprocess, sys\n\
            libc = ctypes.CDLL(None)\n\
            ready, tell = os.pipe()\n\
            pid = os.fork()\n\
            if pid == 0:\n\
            \x20   assert libc.unshare(0x10000000) == 0\n\
            \x20   os.write(tell, b'x')\n\
            \x20   signal.pause()\n\
            os.read(ready, 1)\n\
            held = [os.open(f'/proc/{pid}', os.O_DIRECTORY), os.pidfd_open(pid)]\n\
            os.kill(pid, signal.SIGKILL)\n\
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n\
            for name in [str(pid)] + [f'fd:{fd}' for fd in held]:\n\
            \x20   subprocess.run([sys.argv[1], name, '0', sys.argv[2], '1'], pass_fds=held)\n";
        for (helper, file) in HELPERS {
            for host in ["600000", "52001"] {
                let mut command = world.command(ALICE, "/usr/bin/python3");
                let answer = world.run(command.args(["-I", "-c", zombie, helper, host]));
                assert_eq!((answer.status, &*answer.stdout), (Some(0), ""), "{answer:?}");
                let lines: Vec<&str> = answer.stderr.lines().collect();
                if theirs() {
                    assert!(!lines.is_empty(), "{answer:?}");
                    continue;
                }
                assert_eq!(lines.len(), 3, "{file} {host}: {answer:?}");
                assert!(lines.iter().all(|line| line.contains("ended")), "{file} {host}: {answer:?}");
            }
        }
    });
}

/// C04: with the caller's own descriptor there is no time at which the pid could pass on. Ours only (C: since 4.14).
#[test]
fn a_descriptor_names_the_process_it_was_opened_for_and_no_later_one() {
    if theirs() {
        return;
    }
    for form in ["directory", "pidfd"] {
        pass_the_pid_on(
            form,
            ALICE,
            "/usr/bin/newuidmap",
            ["0", "600000", "10"],
            |phase, status, state, said| {
                assert_eq!(state, UNTOUCHED, "{said}");
                assert!(phase == "map" || status == "1", "{said}");
            },
        );
    }
}

/// C06: Differs: Debian's set-user-ID helpers, which open the map as root, map a process that is not dumpable.
#[test]
fn a_target_that_is_not_dumpable_is_refused_and_the_cause_named() {
    World::enter(|world| {
        fs::create_dir("/run/secret").expect("mkdir");
        fs::copy("/usr/bin/sleep", "/run/secret/sleep").expect("copy");
        fs::set_permissions("/run/secret/sleep", fs::Permissions::from_mode(0o711)).expect("chmod");
        let undumpable = "import ctypes, signal\n\
            libc = ctypes.CDLL(None)\n\
            assert libc.prctl(4, 0, 0, 0, 0) == 0\n\
            assert libc.unshare(0x10000000) == 0\n\
            signal.pause()\n";
        let by_prctl =
            || world.target_of(world.command(ALICE, "/usr/bin/python3").args(["-I", "-c", undumpable]));
        let by_unreadable_program = || {
            world.target_of(world.command(ALICE, "/usr/bin/unshare").args([
                "-U",
                "/run/secret/sleep",
                "1000",
            ]))
        };
        let ways: [&dyn Fn() -> Target; 2] = [&by_prctl, &by_unreadable_program];
        for way in ways {
            let target = way();
            if theirs() {
                both_succeed(&ask(world, ALICE, &target, 600_000, 10));
                assert_mapped(&target, "0 600000 10");
                continue;
            }
            for how in [Install::SetUid, Install::FileCapabilities] {
                world.install(how);
                let reason = ": Permission denied: the target is not dumpable";
                refused(world, ALICE, &target, 600_000, reason);
            }
        }
    });
}

/// C07: the target has not left the caller's namespace
#[test]
fn a_target_in_the_callers_own_namespace_is_refused_and_the_cause_named() {
    World::enter(|world| {
        let target = world.plain_process(ALICE);
        let before = (target.uid_map(), target.gid_map(), target.setgroups());
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for (answer, (_, file)) in ask(world, ALICE, &target, 600_000, 10).iter().zip(HELPERS) {
                answer.refuses(&format!("write to {file} failed: Operation not permitted"));
                if !theirs() {
                    answer.refuses("the target is in the caller's own user namespace");
                }
            }
            assert_eq!(before, (target.uid_map(), target.gid_map(), target.setgroups()));
        }
    });
}

/// C08: a namespace made in a namespace
#[test]
fn a_grandchild_namespace_is_refused() {
    World::enter(|world| {
        let nested = ["-U", "-r", "unshare", "-U", "sleep", "1000"];
        let target = world.target_of(world.command(ALICE, "/usr/bin/unshare").args(nested));
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for (answer, (_, file)) in ask(world, ALICE, &target, 600_000, 10).iter().zip(HELPERS) {
                answer.refuses(&format!("write to {file} failed: Operation not permitted"));
                if !theirs() {
                    answer.refuses("the target's user namespace was not made in the caller's own");
                }
            }
        }
        // What `unshare -r` denied in the child, the grandchild inherits.
        assert_eq!((&*target.uid_map(), &*target.gid_map(), &*target.setgroups()), ("", "", "deny"));
    });
}

/// C08: nor is setgroups denied in one where it is allowed, as it is below a namespace that has granted groups.
#[test]
fn a_grandchild_namespace_keeps_its_setgroups() {
    World::enter(|world| {
        let child = world.target(ALICE);
        let pid = child.pid();
        let map = [&*pid, "0", "52001", "1", "1", "600000", "10"];
        world.newuidmap(ALICE, &map).succeeds();
        world.newgidmap(ALICE, &map).succeeds();
        let mut nested = world.command(ALICE, "/usr/bin/nsenter");
        nested.args(["-t", &pid, "-U", "--preserve-credentials", "unshare", "-U", "sleep", "1000"]);
        let grandchild = world.target_of(&mut nested);
        become_of(&grandchild, "sleep");
        let inner = fs::read_link(format!("/proc/{}/ns/user", grandchild.pid())).expect("ns/user");
        assert_ne!(inner, fs::read_link(format!("/proc/{pid}/ns/user")).expect("ns/user"));
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for (host, count) in [(600_000, 10), (ALICE.id, 1)] {
                for answer in ask(world, ALICE, &grandchild, host, count) {
                    answer.refuses("");
                    if !theirs() {
                        answer.refuses("the target's user namespace was not made in the caller's own");
                    }
                }
                if !theirs() {
                    grandchild.assert_untouched();
                }
            }
        }
    });
}

/// C09: a map is written once
#[test]
fn a_namespace_that_has_its_map_is_refused_and_keeps_it() {
    World::enter(|world| {
        let refused_as_mapped = |target: &Target, host, count| {
            let before = (target.uid_map(), target.gid_map(), target.setgroups());
            for (answer, (_, file)) in ask(world, ALICE, target, host, count).iter().zip(HELPERS) {
                answer.refuses(&format!("write to {file} failed: Operation not permitted"));
                if !theirs() {
                    answer.refuses(&format!("already has a {file}, which can be written once only"));
                }
            }
            assert_eq!(before, (target.uid_map(), target.gid_map(), target.setgroups()));
        };
        let by_itself =
            world.target_of(world.command(ALICE, "/usr/bin/unshare").args(["-U", "-r", "sleep", "1000"]));
        refused_as_mapped(&by_itself, 600_000, 10);
        assert_mapped(&by_itself, "0 52001 1");

        let by_us = world.target(ALICE);
        both_succeed(&ask(world, ALICE, &by_us, 600_000, 10));
        refused_as_mapped(&by_us, 600_000, 10);
        refused_as_mapped(&by_us, 600_010, 10);
        assert_mapped(&by_us, "0 600000 10");

        // One map is not the other.
        let half = world.target(ALICE);
        world.newuidmap(ALICE, &[&half.pid(), "0", "600000", "10"]).succeeds();
        world.newgidmap(ALICE, &[&half.pid(), "0", "600000", "10"]).succeeds();
        assert_mapped(&half, "0 600000 10");
    });
}

/// C11: a process with the caller's ids in a namespace that somebody else made. Ours only.
#[test]
fn a_namespace_made_by_another_user_is_refused_though_the_process_is_the_callers() {
    if theirs() {
        return; // root's power, in which they write, asks for no owner
    }
    World::enter(|world| {
        let bobs = world.target(BOB);
        // Only somebody with power over the namespace can put a process into it: root does, as alice.
        let enter = format!(
            "exec 9< /proc/{}/ns/user
             exec setpriv --reuid=52001 --regid=52001 --clear-groups --inh-caps=+sys_admin --ambient-caps=+sys_admin \
             nsenter --preserve-credentials --user=/proc/self/fd/9 sleep 1000",
            bobs.pid()
        );
        let target = world.target_of(world.command(ROOT, "/bin/sh").args(["-c", &enter]));
        become_of(&target, "sleep");
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for (helper, file) in HELPERS {
                for (host, count) in [(600_000, 10), (ALICE.id, 1)] {
                    let answer = world.run(&mut request(world.command(ALICE, helper), &target, host, count));
                    // Her own gid alone needs setgroups denied first, which is no more hers to do.
                    let setgroups_first = file == "gid_map" && count == 1;
                    answer.refuses(&if setgroups_first {
                        "couldn't open process setgroups: Permission denied".to_owned()
                    } else {
                        format!("write to {file} failed: Operation not permitted")
                    });
                    target.assert_untouched();
                }
            }
            bobs.assert_untouched();
        }
        // Bob may still map it: it is his.
        both_succeed(&ask(world, BOB, &bobs, 700_000, 10));
        assert_mapped(&bobs, "0 700000 10");
    });
}

/// A file system in user space that shows a directory of alice's with the files of a process in it, and prints a line
/// when one of them is written. The kernel's side of it: linux/fuse.h.
const FUSE: &str = r#"
import ctypes, os, struct, sys
place, ALICE = sys.argv[1], 52001
device = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={device},rootmode=40755,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"fuse", place.encode(), b"fuse", 0, options):
    sys.exit(os.strerror(ctypes.get_errno()))
print("mounted", flush=True)
def attributes(node):
    mode, size = (0o40755, 0) if node == 1 else (0o100666, 0)
    return struct.pack("<QQQQQQIIIIIIIIII", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, ALICE, ALICE, 0, 4096, 0)
while True:
    request = os.read(device, 1 << 20)
    length, opcode, unique, node = struct.unpack_from("<IIQQ", request)
    error, body = 0, b""
    if opcode == 26:  # INIT
        body = struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 0, 0, 0, 4096, 0, 0, 0, 0)
    elif opcode in (3, 4):  # GETATTR, SETATTR
        body = struct.pack("<QII", 0, 0, 0) + attributes(node)
    elif opcode == 1:  # LOOKUP
        body = struct.pack("<QQQQII", 2, 0, 0, 0, 0, 0) + attributes(2)
    elif opcode in (14, 27):  # OPEN, OPENDIR
        body = struct.pack("<QII", 0, 0, 0)
    elif opcode == 17:  # STATFS
        body = struct.pack("<QQQQQIIII24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
    elif opcode == 15:  # READ: nothing in it
        pass
    elif opcode == 16:  # WRITE
        print("written", flush=True)
        body = struct.pack("<II", struct.unpack_from("<QQI", request, 40)[2], 0)
    elif opcode in (2, 42):  # FORGET, BATCH_FORGET: not answered
        continue
    elif opcode not in (18, 25, 29, 34):  # what needs no more than a yes: RELEASE, FLUSH, RELEASEDIR, ACCESS
        error = -38
    os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
"#;

/// B09, C13: what stands at /proc/PID is not the kernel's word about a process, be it named by pid or by descriptor. Ours only.
#[test]
fn a_process_directory_that_is_not_on_procfs_is_refused_and_nothing_in_it_written() {
    if theirs() {
        return; // they take the directory for what its path says
    }
    World::enter(|world| {
        fs::write("/run/fuse.py", FUSE).expect("write");
        // A process directory of alice's own making, which root was made to put there: a container's root may be hers.
        fs::create_dir("/run/fake").expect("mkdir");
        for file in ["uid_map", "gid_map", "setgroups", "stat"] {
            let path = format!("/run/fake/{file}");
            fs::write(&path, if file == "setgroups" { "allow\n" } else { "" }).expect("write");
            chown(&path, Some(ALICE.id), Some(ALICE.id)).expect("chown");
        }
        fs::create_dir("/run/fake/ns").expect("mkdir");
        chown("/run/fake", Some(ALICE.id), Some(ALICE.id)).expect("chown");
        for directory in ["/run/up", "/run/work"] {
            fs::create_dir(directory).expect("mkdir");
        }

        let bobs = world.target(BOB);
        let not_procfs = "/proc is not procfs";
        let cases = [
            // As if it were not mounted, whatever is below it.
            (
                "no /proc",
                "mkdir -p /run/empty; mount --bind /run/empty /proc",
                "could not open proc directory for target",
            ),
            ("tmpfs", "mount -t tmpfs none /proc; cp -a /run/fake /proc/$P", not_procfs),
            (
                "link",
                "mount -t tmpfs none /proc; ln -s /run/fake /proc/$P",
                "could not open proc directory for target",
            ),
            ("bound directory", "mount --bind /run/fake /proc/$P", not_procfs),
            (
                "overlay",
                "mount -t overlay -o lowerdir=/run/fake,upperdir=/run/up,workdir=/run/work none /proc/$P",
                not_procfs,
            ),
            (
                "FUSE",
                "python3 -I /run/fuse.py /proc/$P >/run/said & while ! grep -q mounted /run/said; do :; done",
                not_procfs,
            ),
            (
                "bound map",
                "for f in uid_map gid_map; do mount --bind /run/fake/$f /proc/$P/$f; done",
                "open of FILE failed: Operation not supported on transport endpoint: it is not the kernel's own file",
            ),
            ("another's directory", "mount --bind /proc/$BOB /proc/$P", "is owned by a different user"),
        ];
        for (name, prepare, reason, by_descriptor) in cases.into_iter().flat_map(|(name, prepare, reason)| {
            [(name, prepare, reason, false), (name, prepare, reason, true)]
        }) {
            for (helper, file) in HELPERS {
                eprintln!("{name} {helper} {by_descriptor}");
                let (open, word, reason) = match (by_descriptor, name) {
                    (false, _) => ("", "$P", reason),
                    (true, "no /proc") => continue,
                    (true, "bound map" | "another's directory") => ("exec 3</proc/$P", "fd:3", reason),
                    (true, _) => {
                        ("exec 3</proc/$P", "fd:3", "fd:3 is neither a /proc/PID directory nor a pidfd")
                    }
                };
                let target = world.target(ALICE);
                fs::write("/run/said", "").expect("write");
                let script = format!(
                    "P={} BOB={}\n{prepare}\n{open}\n\
                     setpriv --reuid=52001 --regid=52001 --clear-groups {helper} {word} 0 600000 10; status=$?\n\
                     kill $! 2>/dev/null; exit $status",
                    target.pid(),
                    bobs.pid()
                );
                let mut shell = world.command(ROOT, "/usr/bin/unshare");
                let answer = world.run(shell.args(["-m", "sh", "-c", &script]));
                answer.refuses(&reason.replace("FILE", file));
                target.assert_untouched();
                bobs.assert_untouched();
                assert_eq!(fs::read_to_string(format!("/run/fake/{file}")).expect("read"), "");
                assert_eq!(fs::read_to_string("/run/fake/setgroups").expect("read"), "allow\n");
                let said = fs::read_to_string("/run/said").expect("read");
                assert_eq!(said, if name == "FUSE" { "mounted\n" } else { "" });
                assert_eq!(fs::read_dir("/run/up").expect("read").count(), 0, "copied up");
            }
        }
    });
}

/// B09: wherever it was opened. Ours only.
#[test]
fn a_descriptor_says_which_process_is_meant_and_no_more() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let from_there = |helper: &str, file: &str, (target, other): (&Target, &Target), ids: &str| {
            let (p, q) = (target.pid(), other.pid());
            let script = format!(
                "said=$(mktemp)\n\
                 unshare -Urm sh -c 'mount --bind /proc/{q}/{file} /proc/{p}/{file} && echo ready; exec sleep 1000' >$said & M=$!\n\
                 until grep -q ready $said || ! kill -0 $M; do sleep 0.01; done\n\
                 exec 3</proc/$M/root/proc/{p}\n\
                 cmp /proc/self/fd/3/{file} /proc/{q}/{file} && {helper} fd:3 0 {ids}; status=$?\n\
                 kill $M; exit $status"
            );
            let mut shell = world.command(ALICE, "/usr/bin/prlimit");
            world.run(shell.args(["--cpu=500:600", "sh", "-c", &script]))
        };
        let mapped =
            || world.target_of(world.command(ALICE, "/usr/bin/unshare").args(["-Ur", "sleep", "1000"]));

        // Else whoever maps her own group could leave it: user_namespaces(7).
        let (target, other) = (world.target(ALICE), mapped());
        assert_eq!(other.setgroups(), "deny");
        from_there("/usr/bin/newgidmap", "setgroups", (&target, &other), "52001 1").succeeds();
        assert_eq!((&*target.gid_map(), &*target.setgroups()), ("0 52001 1", "deny"));

        for (helper, file) in HELPERS {
            for shown in ["uid_map", "gid_map"] {
                let (target, other) = (world.target(ALICE), world.target(ALICE));
                from_there(helper, shown, (&target, &other), "600000 10").succeeds();
                other.assert_untouched();
                let maps = [("uid_map", target.uid_map()), ("gid_map", target.gid_map())];
                for (name, map) in maps {
                    assert_eq!(map, if name == file { "0 600000 10" } else { "" }, "{helper} {shown}");
                }
            }
            // Who is found is who is looked at, and who is mapped.
            let (target, other) = (world.target(ALICE), world.target(ALICE));
            from_there(helper, "stat", (&target, &other), "600000 10").succeeds();
            target.assert_untouched();
            let map = if file == "uid_map" { other.uid_map() } else { other.gid_map() };
            assert_eq!(map, "0 600000 10");
            let bobs = world.target(BOB);
            from_there(helper, "stat", (&target, &bobs), "600000 10").refuses("is owned by a different user");
            bobs.assert_untouched();

            world.write("/etc/nsgate.ini", "[idmap]\nulimits = cpu\n");
            let (target, mut limited) = (world.target(ALICE), world.command(ALICE, "/usr/bin/prlimit"));
            let other = world.target_of(limited.args(["--cpu=500:600", "unshare", "-U", "sleep", "1000"]));
            let answer = from_there(helper, "limits", (&target, &other), "600000 10");
            answer.refuses("the target process has no limit (ulimit, RLIMIT_CPU)");
            target.assert_untouched();
            fs::remove_file("/etc/nsgate.ini").expect("remove");
        }
    });
}

/// A namespace of alice's without the host's root in it, in which she is whoever `map` makes her.
struct WithoutHostRoot {
    outer: Target,
}

impl WithoutHostRoot {
    fn make(world: &World, map: &[&str]) -> Self {
        let mut unshare = world.command(ALICE, "/usr/bin/unshare");
        Self { outer: world.target_of(unshare.arg("-U").args(map).args(["sleep", "1000"])) }
    }

    /// A command of alice's in there.
    fn command(&self, world: &World, program: &str) -> Command {
        let mut command = world.command(ALICE, "/usr/bin/nsenter");
        command.args(["--preserve-credentials", "-U", "-t", &self.outer.pid(), program]);
        command
    }

    /// A process of hers in a fresh namespace made in there.
    fn target(&self, world: &World) -> Target {
        let target = world.target_of(self.command(world, "/usr/bin/unshare").args(["-U", "sleep", "1000"]));
        become_of(&target, "sleep");
        target
    }
}

const AS_HERSELF: [&str; 2] = ["--map-user=52001", "--map-group=52001"];

/// C14: in a namespace without the host's root the set-user-ID bit means nothing
#[test]
fn without_host_root_in_the_namespace_the_refusal_says_what_is_missing() {
    World::enter(|world| {
        let namespace = WithoutHostRoot::make(world, &AS_HERSELF);
        let target = namespace.target(world);
        for (helper, file) in HELPERS {
            let answer = world.run(&mut request(namespace.command(world, helper), &target, 600_000, 10));
            if theirs() {
                answer.refuses(&format!("{file} failed: "));
            } else {
                answer.refuses("root does not exist in this user namespace");
            }
        }
        assert_eq!((target.uid_map(), target.gid_map()), (String::new(), String::new()));
    });
}

/// C14: the one map that needs no privilege needs no host root either
#[test]
fn without_host_root_in_the_namespace_ones_own_id_can_still_be_mapped() {
    World::enter(|world| {
        for (map, own) in [(&AS_HERSELF[..], ALICE.id), (&["--map-root-user"], 0)] {
            let namespace = WithoutHostRoot::make(world, map);
            let target = namespace.target(world);
            for (helper, _) in HELPERS {
                world.run(&mut request(namespace.command(world, helper), &target, own, 1)).succeeds();
            }
            assert_mapped(&target, "0 52001 1");
        }
    });
}

/// A helper started with these real, effective and saved ids.
fn with_ids(world: &World, uids: [u32; 3], gids: [u32; 3], helper: &str) -> Command {
    let become_them = "import os, sys\n\
        ids = [int(word) for word in sys.argv[1:7]]\n\
        os.setgroups([])\n\
        os.setresgid(*ids[3:])\n\
        os.setresuid(*ids[:3])\n\
        os.execv(sys.argv[7], sys.argv[7:])\n";
    let mut command = world.command(ROOT, "/usr/bin/python3");
    command.args(["-I", "-c", become_them]).args(uids.iter().chain(&gids).map(u32::to_string)).arg(helper);
    command
}

/// C15, C16: run from another set-user-ID program, whoever that one is
#[test]
fn the_real_ids_alone_say_who_asks() {
    let (alice, bob) = (ALICE.id, BOB.id);
    World::enter(|world| {
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for (uids, gids) in [
                ([alice, bob, bob], [alice; 3]),
                ([alice, bob, alice], [alice, bob, bob]),
                ([alice, 0, 0], [alice; 3]),
                ([alice, bob, 0], [alice; 3]),
                ([alice, alice, 0], [alice, alice, 0]),
                ([alice, alice, bob], [alice, alice, bob]),
                ([alice; 3], [alice, bob, bob]),
                ([alice; 3], [alice, 0, 0]),
            ] {
                eprintln!("{how:?} {uids:?} {gids:?}");
                let (mine, bobs) = (world.target(ALICE), world.target(BOB));
                let ask = |helper: &str, target: &Target, host: u32| {
                    world.run(&mut request(with_ids(world, uids, gids, helper), target, host, 10))
                };
                for (helper, _) in HELPERS {
                    for host in [600_000, 700_000] {
                        let ids = "uid:52001 pw_uid:52001 st_uid:52002";
                        ask(helper, &bobs, host).refuses(&format!("is owned by a different user: {ids}"));
                    }
                    ask(helper, &mine, 700_000).refuses("id range [0-10) -> [700000-700010) not allowed");
                }
                bobs.assert_untouched();
                mine.assert_untouched();
                if theirs() && how == Install::FileCapabilities {
                    continue; // they open the map as whoever the effective uid is
                }
                for (helper, _) in HELPERS {
                    ask(helper, &mine, 600_000).succeeds();
                }
                assert_mapped(&mine, "0 600000 10");
            }
        }
    });
}

/// C15: real root is not exempt, and being alice in effect does not make him her
#[test]
fn an_effective_id_is_no_claim_to_anybodys_process_or_ids() {
    let (alice, bob) = (ALICE.id, BOB.id);
    World::enter(|world| {
        let target = world.target(ALICE);
        for (uids, gids, ids) in [
            (
                [0, alice, alice],
                [0, alice, alice],
                "uid:0 pw_uid:0 st_uid:52001, gid:0 pw_gid:0 st_gid:52001",
            ),
            ([0, alice, alice], [alice; 3], "uid:0 pw_uid:0 st_uid:52001, gid:52001 pw_gid:0 st_gid:52001"),
            ([bob, alice, alice], [bob, alice, alice], "uid:52002 pw_uid:52002 st_uid:52001, gid:52002"),
            ([bob, alice, 0], [alice; 3], "uid:52002 pw_uid:52002 st_uid:52001, gid:52001 pw_gid:52002"),
            (
                [alice; 3],
                [bob, alice, alice],
                "uid:52001 pw_uid:52001 st_uid:52001, gid:52002 pw_gid:52001 st_gid:52001",
            ),
            (
                [alice; 3],
                [0, alice, alice],
                "uid:52001 pw_uid:52001 st_uid:52001, gid:0 pw_gid:52001 st_gid:52001",
            ),
        ] {
            for how in [Install::SetUid, Install::FileCapabilities] {
                world.install(how);
                for (helper, _) in HELPERS {
                    for (host, count) in [(600_000, 10), (alice, 1)] {
                        let answer = world.run(&mut request(
                            with_ids(world, uids, gids, helper),
                            &target,
                            host,
                            count,
                        ));
                        answer.refuses(&format!("is owned by a different user: {ids}"));
                    }
                }
            }
        }
        target.assert_untouched();
    });
}

/// A group that alice is in, but which is not her login group.
const TEAM: u32 = 52077;

/// A process of alice's in this group, in a fresh user namespace.
fn target_in_group(world: &World, gid: u32) -> Target {
    world.target_of(world.command_as(ALICE.id, gid, "/usr/bin/unshare").args(["-U", "sleep", "1000"]))
}

/// C16: Differs: a login.defs that the caller cannot read, or that others can write, allows nothing; C reads it as root.
#[test]
fn another_group_than_ones_login_group_needs_grant_aux_group_subids() {
    World::enter(|world| {
        world.append("/etc/group", "team:x:52077:alice\n");
        let login_defs = fs::read_to_string("/etc/login.defs").expect("login.defs");
        let put = |setting: &str, mode: u32| {
            world.write("/etc/login.defs", format!("{login_defs}{setting}"));
            fs::set_permissions("/etc/login.defs", fs::Permissions::from_mode(mode)).expect("chmod");
        };
        let refusal = "is owned by a different user: uid:52001 pw_uid:52001 st_uid:52001, gid:52077 pw_gid:52001 st_gid:52077";
        let ask = |target: &Target, host: u32, count: u32| {
            HELPERS.map(|(helper, _)| {
                world.run(&mut request(world.command_as(ALICE.id, TEAM, helper), target, host, count))
            })
        };

        let refusing = [
            ("", 0o644),
            ("GRANT_AUX_GROUP_SUBIDS no\n", 0o644),
            ("GRANT_AUX_GROUP_SUBIDS true\n", 0o644),
            ("GRANT_AUX_GROUP_SUBIDS 1\n", 0o644),
            ("GRANT_AUX_GROUP_SUBIDS\n", 0o644),
            ("#GRANT_AUX_GROUP_SUBIDS yes\n", 0o644),
            ("GRANT_AUX_GROUP_SUBIDS yes\nGRANT_AUX_GROUP_SUBIDS no\n", 0o644),
            ("grant_aux_group_subids yes\n", 0o644),
        ];
        let target = target_in_group(world, TEAM);
        for (setting, mode) in refusing {
            put(setting, mode);
            for (host, count) in [(600_000, 10), (TEAM, 1), (ALICE.id, 1)] {
                for answer in ask(&target, host, count) {
                    answer.refuses(refusal);
                    assert!(theirs() || answer.stderr.contains("GRANT_AUX_GROUP_SUBIDS yes"), "{answer:?}");
                }
            }
        }
        // The target's group is not the login group either: it does not help.
        for answer in ask(&target_in_group(world, ALICE.id), 600_000, 10) {
            answer.refuses("gid:52077 pw_gid:52001 st_gid:52001");
        }
        target.assert_untouched();

        for (setting, mode, ours_grant) in [
            ("GRANT_AUX_GROUP_SUBIDS yes\n", 0o644, true),
            ("GRANT_AUX_GROUP_SUBIDS\tYES", 0o644, true),
            ("GRANT_AUX_GROUP_SUBIDS \"yes\"\n", 0o644, true),
            ("GRANT_AUX_GROUP_SUBIDS no\nGRANT_AUX_GROUP_SUBIDS yes\n", 0o644, true),
            ("GRANT_AUX_GROUP_SUBIDS yes\n", 0o600, false),
            ("GRANT_AUX_GROUP_SUBIDS yes\n", 0o666, false),
            ("GRANT_AUX_GROUP_SUBIDS yes\n", 0o664, false),
        ] {
            eprintln!("{setting:?} {mode:o}");
            put(setting, mode);
            let target = target_in_group(world, TEAM);
            if !theirs() && !ours_grant {
                both_refuse(&ask(&target, 600_000, 10), refusal);
                target.assert_untouched();
                continue;
            }
            both_succeed(&ask(&target, 600_000, 10));
            assert_mapped(&target, "0 600000 10");
            // The gid that can be mapped alone is the current one.
            let target = target_in_group(world, TEAM);
            let [_, gid] = ask(&target, ALICE.id, 1);
            gid.refuses("gid range [0-1) -> [52001-52002) not allowed");
            assert_eq!((&*target.gid_map(), &*target.setgroups()), ("", "allow"));
            let [_, gid] = ask(&target, TEAM, 1);
            gid.succeeds();
            assert_eq!((&*target.gid_map(), &*target.setgroups()), ("0 52077 1", "deny"));
            // And the target has to be in it.
            let elsewhere = target_in_group(world, ALICE.id);
            for answer in ask(&elsewhere, 600_000, 10) {
                answer.refuses("gid:52077 pw_gid:52001 st_gid:52001");
                // What would help is not what is there already.
                assert!(
                    theirs() || answer.stderr.contains("it must run as the caller, with the caller's group"),
                    "{answer:?}"
                );
            }
            elsewhere.assert_untouched();
        }

        // With file capabilities it is read as the caller: one that is root's alone is the default, no.
        put("GRANT_AUX_GROUP_SUBIDS yes\n", 0o600);
        world.install(Install::FileCapabilities);
        let target = target_in_group(world, TEAM);
        both_refuse(&ask(&target, 600_000, 10), if theirs() { "" } else { refusal });
        world.install(Install::SetUid);
        fs::remove_file("/etc/login.defs").expect("remove");
        both_refuse(&ask(&target, 600_000, 10), if theirs() { "" } else { refusal });
        target.assert_untouched();
    });
}

/// C01: of several things that are wrong the first is named, in the order of the C programs: whether there is such a process,
/// whether it is the caller's, what the numbers are, whether policy grants them. Differs: C looks for the policy file before the numbers.
#[test]
fn of_several_things_that_are_wrong_the_first_is_named() {
    World::enter(|world| {
        let (mine, bobs) = (world.target(ALICE), world.target(BOB));
        let ended = {
            let mut ended = Command::new("/bin/true").spawn().expect("true");
            ended.wait().expect("wait");
            ended.id().to_string()
        };
        let no_number = if theirs() { "usage: " } else { "\"x\" in \"0 x 1\" is not a plain decimal number" };
        for (pid, numbers, first) in [
            (&ended, "0 x 1", "ould not open proc directory for target"),
            (&ended, "0 700000 10", "ould not open proc directory for target"),
            (&bobs.pid(), "0 x 1", "is owned by a different user"),
            (&bobs.pid(), "0 700000 10", "is owned by a different user"),
            (&mine.pid(), "0 700000 10 0 x 1", no_number),
            (&mine.pid(), "0 x 1 0 700000 10", no_number),
        ] {
            for (helper, _) in HELPERS {
                eprintln!("{helper} {pid} {numbers}");
                world.run(world.command(ALICE, helper).arg(pid).args(numbers.split(' '))).refuses(first);
            }
        }
        for (helper, file) in [(HELPERS[0].0, "/etc/subuid"), (HELPERS[1].0, "/etc/subgid")] {
            fs::remove_file(file).expect("remove");
            let first = if theirs() { "" } else { no_number };
            eprintln!("{helper} without {file}");
            world.run(world.command(ALICE, helper).args([&mine.pid(), "0", "x", "1"])).refuses(first);
        }
        mine.assert_untouched();
        bobs.assert_untouched();
    });
}

/// C16: by newgrp itself
#[test]
fn a_shell_of_newgrp_is_told_about_grant_aux_group_subids() {
    World::enter(|world| {
        world.append("/etc/group", "team:x:52077:alice\n");
        let in_team = |target: &Target, helper: &str| {
            let line = format!("{helper} {} 0 600000 10", target.pid());
            world.run(world.command(ALICE, "/usr/bin/sg").args(["team", "-c", &line]))
        };
        let target = target_in_group(world, TEAM);
        for (helper, _) in HELPERS {
            in_team(&target, helper).refuses("gid:52077 pw_gid:52001 st_gid:52077");
        }
        target.assert_untouched();
        world.append("/etc/login.defs", "GRANT_AUX_GROUP_SUBIDS yes\n");
        for (helper, _) in HELPERS {
            in_team(&target, helper).succeeds();
        }
        assert_mapped(&target, "0 600000 10");
    });
}

/// C17: no account, though a line of the bare uid grants
#[test]
fn a_caller_without_an_account_is_refused() {
    World::enter(|world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, "52999:900000:10\n");
        }
        let target = world.target(NOBODY_AT_ALL);
        let nsswitch = fs::read_to_string("/etc/nsswitch.conf").expect("nsswitch.conf");
        for nsswitch in [&*nsswitch, "passwd: files\n", "passwd: systemd files\n", ""] {
            world.write("/etc/nsswitch.conf", nsswitch);
            refused(world, NOBODY_AT_ALL, &target, 900_000, "Cannot determine your user name");
        }
        if !theirs() {
            world.write("/etc/nsswitch.conf", "passwd: files\n");
            refused(world, NOBODY_AT_ALL, &target, 900_000, "uid 52999 has no account on this host");
        }
        // With an account the line counts.
        world.append("/etc/passwd", "late:x:52999:52999::/:/bin/sh\n");
        both_succeed(&ask(world, NOBODY_AT_ALL, &target, 900_000, 10));
        assert_mapped(&target, "0 900000 10");
    });
}

/// C18: an entry of either name counts for both
#[test]
fn two_names_of_one_uid_share_their_lines() {
    World::enter(|world| {
        world.append("/etc/passwd", "alias:x:52001:52001::/:/bin/sh\nlass:x:52001:52001::/:/bin/sh\n");
        for text in [
            "alice:800000:20\n",
            "alias:800000:20\n",
            "lass:800000:10\nalias:800010:5\nalice:800015:2\n52001:800017:3\n",
        ] {
            for file in ["/etc/subuid", "/etc/subgid"] {
                world.write(file, text);
            }
            let target = world.target(ALICE);
            both_succeed(&ask(world, ALICE, &target, 800_000, 20));
            assert_mapped(&target, "0 800000 20");
            let target = world.target(ALICE);
            for answer in ask(world, ALICE, &target, 800_000, 21) {
                answer.refuses("id range [0-21) -> [800000-800021) not allowed");
            }
            for answer in ask(world, CAROL, &world.target(CAROL), 800_000, 20) {
                answer.refuses("id range [0-20) -> [800000-800020) not allowed");
            }
            target.assert_untouched();
        }
    });
}

/// C18: Differs: C takes the login group of one of the names only.
#[test]
fn either_names_login_group_is_a_login_group() {
    World::enter(|world| {
        world.append("/etc/passwd", "alias:x:52001:52077::/:/bin/sh\n");
        let target = target_in_group(world, TEAM);
        for (helper, _) in HELPERS {
            let answer =
                world.run(&mut request(world.command_as(ALICE.id, TEAM, helper), &target, 600_000, 10));
            if theirs() {
                answer.refuses("gid:52077 pw_gid:52001 st_gid:52077");
            } else {
                answer.succeeds();
            }
        }
        if theirs() {
            target.assert_untouched();
        } else {
            assert_mapped(&target, "0 600000 10");
        }
    });
}

/// C20: a thousand processes are mapped while the admin's tools put one policy file after the other in place
#[test]
fn a_policy_file_that_is_replaced_meanwhile_is_seen_old_or_new_but_whole() {
    World::enter(|world| {
        let others = |seed: u32| {
            (0..6000).map(|n| format!("user{seed}x{n}:{}:10\n", 2_000_000 + n * 10)).collect::<String>()
        };
        // Both give alice 600000 to 600099, in lines far apart. Half of the one and half of the other would not.
        let old = format!("alice:600000:50\n{}alice:600050:50\nalice:900000:10\n{}", others(1), others(2));
        let new = format!("{}alice:900010:10\n{}alice:600070:30\nalice:600000:70\n", others(3), others(4));
        world.write("/etc/subuid", &old);

        let targets: Vec<Target> = (0..1000).map(|_| world.target(ALICE)).collect();
        let (next, done, replaced) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    world.write("/etc/subuid", &new);
                    world.write("/etc/subuid", &old);
                    replaced.fetch_add(2, Ordering::Relaxed);
                }
            });
            let askers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                            // Neither file has both halves of this one.
                            let both = world.newuidmap(ALICE, &[&target.pid(), "0", "900000", "20"]);
                            both.refuses("uid range [0-20) -> [900000-900020) not allowed");
                            target.assert_untouched();
                            world.newuidmap(ALICE, &[&target.pid(), "0", "600000", "100"]).succeeds();
                            assert_eq!(target.uid_map(), "0 600000 100");
                        }
                    })
                })
                .collect();
            let outcomes: Vec<_> = askers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            done.store(true, Ordering::Relaxed);
            outcomes.into_iter().for_each(|outcome| outcome.expect("an asker"));
        });
        assert!(replaced.load(Ordering::Relaxed) > 20, "the file was hardly replaced");
    });
}

/// C20: and while `nsgate` itself takes and gives.
#[test]
fn what_nsgate_takes_and_gives_meanwhile_is_seen_before_or_after_but_whole() {
    World::enter(|world| {
        let others: String = (0..6000).map(|n| format!("user{n}:{}:10\n", 2_000_000 + n * 10)).collect();
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, format!("alice:600000:50\n{others}alice:600050:50\n"));
        }
        let targets: Vec<Target> = (0..100).map(|_| world.target(ALICE)).collect();
        let (next, done, changed) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for verb in ["grant", "revoke"] {
                        let mut command = world.nsgate(ROOT);
                        command.args([verb, "ids", "carol", "--start", "900000", "--count", "10"]);
                        assert_eq!(world.run(&mut command).status, Some(0));
                        changed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            let askers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                            both_succeed(&ask(world, ALICE, target, 600_000, 100));
                            assert_mapped(target, "0 600000 100");
                        }
                    })
                })
                .collect();
            let outcomes: Vec<_> = askers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            done.store(true, Ordering::Relaxed);
            outcomes.into_iter().for_each(|outcome| outcome.expect("an asker"));
        });
        assert!(changed.load(Ordering::Relaxed) > 2, "it was hardly changed");
    });
}

/// A container with a root directory, an `/etc` and set-id helpers of its own, whose root is not the host's. Its ids:
/// 0 is the host's 70000, from 1 it is 100000 on, from 10000 it is 300000 on. Its user dev has uid and gid 1000.
struct Container {
    holder: Target,
}

const CONTAINER: &str = "/run/container";

impl Container {
    fn make(world: &World) -> Self {
        let within = |path: &str| format!("{CONTAINER}/{path}");
        fs::create_dir(CONTAINER).expect("mkdir");
        run("mount", &["-n", "-t", "tmpfs", "-o", "mode=755", "tmpfs", CONTAINER]);
        for directory in ["etc", "opt", "proc", "usr", "dev", "host"] {
            fs::create_dir(within(directory)).expect("mkdir");
        }
        for link in ["bin", "lib", "lib64", "sbin"] {
            symlink(format!("usr/{link}"), within(link)).expect("symlink");
        }
        fs::write(within("etc/passwd"), "root:x:0:0::/:/bin/sh\ndev:x:1000:1000::/:/bin/sh\n")
            .expect("write");
        fs::write(within("etc/group"), "root:x:0:\ndev:x:1000:\n").expect("write");
        for file in ["etc/subuid", "etc/subgid"] {
            fs::write(within(file), "dev:2000:20000\ndev:0:100\ndev:65530:10\n").expect("write");
        }
        for helper in ["newuidmap", "newgidmap"] {
            fs::copy(format!("/run/world/bin/{helper}"), within(&format!("opt/{helper}"))).expect("copy");
        }
        run("chown", &["-R", "-h", "70000:70000", CONTAINER]);
        for directory in ["/proc", "/usr", "/dev"] {
            run("mount", &["-n", "--rbind", directory, &within(directory.trim_start_matches('/'))]);
        }
        // Its root has to be the mount namespace's: in a chroot the kernel makes no user namespace.
        let enter = format!(
            "cd {CONTAINER} && pivot_root . host && cd / && umount -l host && exec unshare -U -m sleep 1000"
        );
        let holder =
            world.target_of(world.command(ROOT, "/usr/bin/unshare").args(["-m", "sh", "-c", &enter]));
        become_of(&holder, "sleep");
        for map in ["uid_map", "gid_map"] {
            fs::write(
                format!("/proc/{}/{map}", holder.pid()),
                "0 70000 1\n1 100000 9999\n10000 300000 55536\n",
            )
            .expect("map the container");
        }
        Self { holder }
    }

    /// A command in the container, by the container's user of this number.
    fn command(&self, world: &World, user: &str, program: &str) -> Command {
        let mut command = world.command(ROOT, "/usr/bin/nsenter");
        command.args(["-t", &self.holder.pid(), "-U", "-m", "-S", user, "-G", user, program]);
        command
    }

    /// A process of dev's in a fresh user namespace made in the container's.
    fn target(&self, world: &World) -> Target {
        let target =
            world.target_of(self.command(world, "1000", "/usr/bin/unshare").args(["-U", "sleep", "1000"]));
        become_of(&target, "sleep");
        target
    }

    /// dev asks both helpers.
    fn ask(&self, world: &World, target: &Target, triples: &[&str]) -> [Answer; 2] {
        ["/opt/newuidmap", "/opt/newgidmap"]
            .map(|helper| world.run(self.command(world, "1000", helper).arg(target.pid()).args(triples)))
    }

    fn install(&self, world: &World, how: Install) {
        for (helper, capability) in [("newuidmap", "cap_setuid=ep"), ("newgidmap", "cap_setgid=ep")] {
            let path = format!("{CONTAINER}/opt/{helper}");
            let mode = if how == Install::SetUid { 0o4755 } else { 0o755 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            if how == Install::FileCapabilities {
                // By the container's root, so that they are good in the container alone.
                let mut setcap = self.command(world, "0", "/usr/sbin/setcap");
                world.run(setcap.args([capability, &format!("/opt/{helper}")])).succeeds();
            }
        }
    }
}

/// In a container: Differs: C leaves a range that crosses the container's own extents to the kernel, which refuses.
#[test]
fn a_range_that_crosses_the_containers_own_extents_is_split_there() {
    World::enter(|world| {
        let container = Container::make(world);
        for how in [Install::SetUid, Install::FileCapabilities] {
            container.install(world, how);
            // The maps are shown as the host sees them.
            let cases: [(&[&str], &str, bool); 5] = [
                (&["0", "2000", "100"], "0 101999 100", false),
                (&["0", "1000", "1", "1", "2000", "100"], "0 100999 1\n1 101999 100", false),
                (&["0", "9990", "20"], "0 109989 10\n10 300000 10", true),
                (
                    &["5", "1000", "1", "100", "9000", "5000"],
                    "5 100999 1\n100 108999 1000\n1100 300000 4000",
                    true,
                ),
                (&["0", "0", "100"], "0 70000 1\n1 100000 99", true),
            ];
            for (triples, map, crosses) in cases {
                eprintln!("{how:?} {triples:?}");
                let target = container.target(world);
                let maps_root = map.contains("70000");
                let [uid, gid] = container.ask(world, &target, triples);
                if theirs() && crosses {
                    uid.refuses("write to uid_map failed: Operation not permitted");
                    gid.refuses("write to gid_map failed: Operation not permitted");
                    target.assert_untouched();
                } else if maps_root && how == Install::FileCapabilities {
                    uid.refuses("host uid 0 can be mapped only with CAP_SETFCAP");
                    gid.succeeds();
                    assert_eq!((&*target.uid_map(), &*target.gid_map()), ("", map));
                } else {
                    uid.succeeds();
                    gid.succeeds();
                    assert_mapped(&target, map);
                }
            }
        }
    });
}

/// In a container: its ids are all there are
#[test]
fn a_range_that_the_container_does_not_have_is_refused() {
    World::enter(|world| {
        let container = Container::make(world);
        container.install(world, Install::SetUid);
        let target = container.target(world);
        let [uid, gid] = container.ask(world, &target, &["0", "65530", "10"]);
        if theirs() {
            uid.refuses("write to uid_map failed: Operation not permitted");
            gid.refuses("write to gid_map failed: Operation not permitted");
        } else {
            uid.refuses("host uid 65536 does not exist in the caller's own user namespace");
            gid.refuses("host gid 65536 does not exist in the caller's own user namespace");
        }
        // The host's numbers mean nothing in there.
        for answer in container.ask(world, &target, &["0", "101999", "10"]) {
            answer.refuses("id range [0-10) -> [101999-102009) not allowed");
        }
        target.assert_untouched();
    });
}
