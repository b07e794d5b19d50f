//! Section A of the attack list for `lxc-user-nic`: what a hostile caller can do to the process that it starts in
//! (arguments, environment, descriptors, limits, signals) and to the process while it runs. What must hold of the
//! helpers for id maps, `attacks_process.rs` has; here there is more to lose: files of root's, and interfaces.
//!
//! Differs, for all of these: C leaves behind what it has made if it
//! is cut short, so its part is in what is not about that.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::Duration;

use world::{
    ALICE, Answer, BOB, Container, Install, LXC_USER_NIC, NicAnswer, Place, ROOT, State, User, World, theirs,
};

const TWIN: &str = "/usr/libexec/nsgate/lxc-user-nic-nss";

/// The program, and the twin that it hands over to, which is a set-id program too.
fn programs() -> &'static [&'static str] {
    if theirs() { &[LXC_USER_NIC] } else { &[LXC_USER_NIC, TWIN] }
}

/// A machine with the bridge lxcbr0, on which Alice may have many, and two containers of hers. In the first she has a NIC.
fn with_containers(test: impl FnOnce(&World, &Container, &NicAnswer) + Send) {
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.usernet("alice veth lxcbr0 1000\nbob veth lxcbr0 1000\n");
        let first = world.container(ALICE);
        let nic = world.create(ALICE, &first, "veth", "lxcbr0", &["eth0"]).nic();
        test(world, &world.container(ALICE), &nic);
    });
}

/// Arguments of `create` for eth0 of this container.
fn create<'a>(pid: &'a str, bridge: &'a str) -> [&'a str; 7] {
    ["create", "/dev/null", "dummy", pid, "veth", bridge, "eth0"]
}

/// Words of a refusal because of policy.
fn not_allowed() -> &'static str {
    if theirs() { "Quota reached" } else { "is not allowed" }
}

/// In these circumstances, made by Alice's `command`, the helper does what it always does.
#[track_caller]
fn unaffected(world: &World, container: &Container, command: impl Fn(&str) -> Command) {
    for program in programs() {
        let before = world.state();
        let mut strange = command(program);
        println!("{strange:?}");
        world.run(strange.args(create(&container.pid(), "other"))).refuses(not_allowed());
        assert_eq!((world.state(), container.names()), (before, vec![]));
        let nic = world.run(command(program).args(create(&container.pid(), "lxcbr0"))).nic();
        assert_eq!(container.link("eth0").index, nic.container_index);
        assert_eq!(world.host_link(&nic.host_name).index, nic.host_index);
        assert_eq!(world.nics().last(), Some(&format!("alice veth lxcbr0 {}", nic.host_name)));
        if theirs() {
            container.delete_link("eth0");
            continue;
        }
        let mut delete = command(program);
        delete.args(["delete", "/dev/null", "dummy", &container.netns(), "veth", "lxcbr0", &nic.host_name]);
        world.run(&mut delete).succeeds();
        assert_eq!(container.names(), Vec::<String>::new());
    }
}

/// It was done whole, which is undone here, or not at all. Was it done?
#[track_caller]
fn whole_or_nothing(world: &World, container: &Container, answer: &Answer, before: &State) -> bool {
    if answer.status == Some(0) {
        let nic = answer.nic();
        assert_eq!(container.names(), ["eth0"]);
        assert_eq!(world.nics().len(), before.nics.len() + 1);
        assert_eq!(world.ledger().len(), before.ledger.len() + 1);
        world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
    }
    assert_eq!((&world.state(), container.names()), (before, vec![]), "{answer:?}");
    answer.status == Some(0)
}

/// The same, where a helper may lack what it needs to take a record back: one without an interface is left for the next
/// run, which clears it away.
#[track_caller]
fn whole_or_nothing_but_a_record(
    world: &World,
    container: &Container,
    answer: &Answer,
    before: &State,
) -> bool {
    if answer.status != Some(0) && world.ledger() != before.ledger {
        let now = world.state();
        assert_eq!(
            (&now.links, &now.nics, container.names()),
            (&before.links, &before.nics, vec![]),
            "{answer:?}"
        );
        let left = now.ledger.iter().filter(|record| !before.ledger.contains(record)).collect::<Vec<_>>();
        assert!(left.len() == 1 && left[0].fields[0] == "?", "{left:?} after {answer:?}");
        let nic = world.create(ALICE, container, "veth", "lxcbr0", &["eth0"]).nic();
        world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
    }
    whole_or_nothing(world, container, answer, before)
}

/// Takes every interface away that was not there before, and its record.
#[track_caller]
fn undo(world: &World, container: &Container, before: &State) {
    for name in world.host_veths() {
        if !before.links.iter().any(|link| link.ends_with(&format!(" {name}"))) {
            world.delete(ALICE, &container.netns(), "lxcbr0", &name).succeeds();
        }
    }
    assert_eq!((&world.state(), container.names()), (before, vec![]));
}

/// Alice's shell does this before it becomes `program`.
fn shell(world: &World, before: &str, program: &str) -> Command {
    let mut command = world.command(ALICE, "/bin/sh");
    command.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), program]);
    command
}

/// A01. Differs: our messages begin with the program's own name.
#[test]
fn no_argument_at_all_is_a_usage_error() {
    with_containers(|world, container, _| {
        let before = world.state();
        // What lies behind the arguments is the environment, and it is no argument.
        let args = create(&container.pid(), "lxcbr0").map(|arg| format!("rawenv:{arg}"));
        let mut oddities = vec!["argc0"];
        oddities.extend(args.iter().map(String::as_str));
        for program in programs() {
            let answer = world.run(&mut world.launch(ALICE, &oddities, program));
            answer.refuses(if theirs() { "" } else { "usage: lxc-user-nic " });
        }
        assert_eq!((world.state(), container.names()), (before, vec![]));
    });
}

/// A01. Differs: the same, for names that are there and lie.
#[test]
fn the_program_name_is_a_constant() {
    with_containers(|world, container, _| {
        let long = "A".repeat(100_000);
        for name in ["", "%s%n", "\u{1b}[2J", "a\nb", "/etc/passwd", "newuidmap", "sudo", &long] {
            unaffected(world, container, |program| {
                let mut command = world.command(ALICE, program);
                command.arg0(name);
                command
            });
        }
    });
}

/// A03: bytes that are no text, in every place. H02 says what the first two are worth.
#[test]
fn arguments_that_are_no_text_are_refused_like_any_other() {
    with_containers(|world, container, _| {
        let before = world.state();
        for bytes in [
            &b"\xff"[..],
            b"\xc0\x80",
            b"\xed\xa0\x80",
            b"\xf0\x9f\x92",
            b"1\xff",
            b"\x80\x81\x82\x83",
            b"eth\xff",
        ] {
            for place in [0, 3, 4, 5, 6] {
                if theirs() && place == 6 {
                    continue; // which takes any name that the kernel takes
                }
                let mut args = create(&container.pid(), "lxcbr0").map(OsString::from);
                args[place] = OsStr::from_bytes(bytes).to_os_string();
                world.run(world.command(ALICE, LXC_USER_NIC).args(&args)).refuses("");
                args[0] = OsString::from("delete");
                world.run(world.command(ALICE, LXC_USER_NIC).args(&args)).refuses("");
                assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
            }
        }
    });
}

/// A04
#[test]
fn a_command_line_of_megabytes_is_refused_in_little_memory() {
    with_containers(|world, container, _| {
        let before = world.state();
        // 300 000 words, as many as fit; each may cost no more than its copy does (24 bytes and 32 of the heap).
        let oddities: &[&str] = &["repeat:100000", "rlimit:STACK=inf", "rlimit:DATA=25000000"];
        let mut command = world.launch(ALICE, oddities, LXC_USER_NIC);
        let answer = world.run(command.args(create(&container.pid(), "lxcbr0")));
        answer.refuses(if theirs() { "" } else { "usage: " });
        let large = "x".repeat(130_000);
        for place in [3, 4, 5, 6] {
            let mut args = create("1", "lxcbr0");
            args[place] = &large;
            let answer = world.nic(ALICE, &args);
            answer.refuses("");
            assert!(theirs() || answer.stderr.len() < 1000, "{} bytes", answer.stderr.len());
        }
        assert_eq!((world.state(), container.names()), (before, vec![]));
    });
}

/// A05: environments that no shell makes.
#[test]
fn an_odd_environment_changes_nothing() {
    with_containers(|world, container, _| {
        for oddities in [
            &["noenv"][..],
            &["rawenv:NOT_AN_ASSIGNMENT", "rawenv:=", "rawenv:=x", "rawenv:"],
            &["rawenv:PATH=/home/alice", "rawenv:PATH=", "rawenv:PATH"],
        ] {
            unaffected(world, container, |program| world.launch(ALICE, oddities, program));
        }
        // The kernel's limit on one is 128 KiB.
        let large = "x".repeat(130_000);
        unaffected(world, container, |program| {
            let mut command = world.command(ALICE, program);
            command.envs((0..8).map(|number| (format!("LARGE{number}"), &large)));
            command
        });
    });
}

/// Runs a command of Alice's under strace. Returns, with its answer, the system calls of these classes that it made
/// after it had become `program`.
fn traced(
    world: &World,
    classes: &str,
    options: &[&str],
    program: &str,
    command: &[&str],
) -> (Answer, Vec<String>) {
    let classes = format!("trace=execve,{classes}");
    let mut all = vec!["-f", "-qq", "-o", "/run/trace", "-e", "signal=none", "-e", &classes];
    all.extend(options);
    let (first, rest) = command.split_first().expect("a command");
    let answer = world.run(world.strace(ALICE, &all, first).args(rest));
    let trace = fs::read_to_string("/run/trace").expect("trace");
    // Each line begins with a pid.
    let calls: Vec<&str> =
        trace.lines().map(|line| line.split_once(' ').expect("a line").1.trim_start()).collect();
    let start = format!("execve(\"{program}\", ");
    let started = calls.iter().rposition(|call| call.starts_with(&start) && call.contains(") = 0"));
    let started = started.unwrap_or_else(|| panic!("{program} was not started: {trace}"));
    (answer, calls[started + 1..].iter().map(|call| (*call).to_owned()).collect())
}

/// A06, A07: no variable makes it open, load or look for anything, nor say another word.
#[test]
fn nothing_is_opened_because_of_the_environment() {
    with_containers(|world, container, _| {
        const EVIL: &str = "/home/alice/evil";
        let paths = [
            "LD_PRELOAD",
            "LD_AUDIT",
            "LD_LIBRARY_PATH",
            "LD_DEBUG_OUTPUT",
            "LD_PROFILE_OUTPUT",
            "LD_ORIGIN_PATH",
            "GCONV_PATH",
            "LOCPATH",
            "NLSPATH",
            "MALLOC_TRACE",
            "RESOLV_HOST_CONF",
            "HOSTALIASES",
            "LOCALDOMAIN",
            "TMPDIR",
            "TZDIR",
            "TZ",
            "HOME",
            "PYTHONPATH",
            "LXC_CONFIG",
            "LXC_CONFIG_FILE",
            "LXC_ROOTFS_PATH",
            "LXC_ROOTFS_MOUNT",
            "LXC_USERNIC_PATH",
            "LXC_USERNIC_DB",
            "LXC_USERNIC_CONF",
            "OVS_RUNDIR",
            "OVS_DBDIR",
            "OVS_SYSCONFDIR",
            "OVS_PKGDATADIR",
            "OVS_BINDIR",
            "OVS_LOGDIR",
            "NIS_PATH",
            "OPENSSL_CONF",
            "XDG_CONFIG_HOME",
            "ICONV_PATH",
        ];
        let others = [
            "LD_DEBUG=all",
            "LD_BIND_NOW=1",
            "LD_SHOW_AUXV=1",
            "LD_WARN=1",
            "MALLOC_CHECK_=3",
            "MALLOC_PERTURB_=85",
            "MALLOC_ARENA_MAX=-1",
            "RES_OPTIONS=debug",
            "LANG=../../home/alice/evil",
            "LC_ALL=tr_TR",
            "POSIXLY_CORRECT=1",
            "PATH=/home/alice",
            "IFS=/",
            "UID=0",
            "USER=bob",
            "LOGNAME=bob",
            "LXC_NAME=x",
            "LXC_PID=1",
            "RUST_BACKTRACE=full",
            "RUST_LIB_BACKTRACE=1",
            "RUST_LOG=trace",
            "RUST_MIN_STACK=1",
            "TOKIO_WORKER_THREADS=64",
            "GLIBC_TUNABLES=glibc.malloc.mxfast=glibc.malloc.mxfast=x",
        ];
        let mut environment = paths.map(|name| format!("{name}={EVIL}")).to_vec();
        environment.extend(others.map(str::to_owned));
        let options: Vec<&str> = environment.iter().flat_map(|variable| ["-E", variable]).collect();
        let pid = container.pid();
        for program in programs() {
            for bridge in ["lxcbr0", "other"] {
                let mut request = vec![*program];
                request.extend(create(&pid, bridge));
                let run = |options: &[&str]| {
                    let (answer, calls) = traced(world, "%file,socket,connect", options, program, &request);
                    if answer.status == Some(0) {
                        container.delete_link("eth0");
                    }
                    (answer, calls)
                };
                // The first makes what the others find.
                run(&[]);
                let (answer, calls) = run(&[]);
                let (answer_then, calls_then) = run(&options);
                assert_eq!((answer.status, answer.stderr), (answer_then.status, answer_then.stderr));
                // The names in them, without what is random and pids that change from run to run.
                let names = |calls: &[String]| -> Vec<String> {
                    let name = |call: &String| {
                        let names = call.rsplit_once('"').map_or(&**call, |(names, _)| names);
                        names.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
                    };
                    calls
                        .iter()
                        .map(name)
                        .filter(|name| {
                            !name.contains("veth52001_")
                                && !name.contains("/ns/net")
                                && !name.starts_with("renameat")
                        })
                        .collect()
                };
                assert!(names(&calls).iter().any(|call| call.contains("lxc-usernet")), "{calls:?}");
                assert_eq!(names(&calls), names(&calls_then));
                assert!(!calls_then.iter().any(|call| call.contains("evil") || call.contains("/maps\"")));
            }
        }
        // So that this can fail: a program without privilege does look.
        let (_, calls) = traced(world, "%file", &options, "/usr/bin/id", &["/usr/bin/id"]);
        assert!(calls.iter().any(|call| call.contains(EVIL)), "{calls:?}");
    });
}

/// A09: standard descriptors that were closed are not given to a file that matters, and no message goes elsewhere.
#[test]
fn closed_standard_descriptors_are_not_reused() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let pid = container.pid();
        for program in programs() {
            for closed in 0_u8..8 {
                let is_closed = |number: u8| closed & (1 << number) != 0;
                let redirections: String = (0..3)
                    .filter(|number| is_closed(*number))
                    .map(|number| format!(" {number}<&-"))
                    .collect();
                let become_it = format!("exec{redirections}; exec \"$0\" \"$@\"");
                for bridge in ["lxcbr0", "other"] {
                    let before = world.state();
                    let mut command = vec!["/bin/sh", "-c", &become_it, program];
                    command.extend(create(&pid, bridge));
                    let classes = "open,openat,openat2,socket,socketpair,epoll_create1,eventfd2,dup,dup2,dup3,fcntl,accept4";
                    let (answer, calls) = traced(world, classes, &[], program, &command);
                    let wanted = if bridge == "lxcbr0" { 0 } else { 1 };
                    // The next test is about an answer that nobody can read.
                    let unread = bridge == "lxcbr0" && is_closed(1);
                    assert!(answer.status == Some(wanted) || unread, "{closed:03b} {bridge}: {answer:?}");
                    if answer.status == Some(1) && !is_closed(2) {
                        answer.refuses("");
                    } else {
                        assert_eq!(answer.stderr, "");
                    }
                    if answer.status == Some(0) {
                        assert_eq!(container.names(), ["eth0"]);
                    }
                    undo(world, container, &before);
                    let about_one = ["F_GETFD", "F_SETFD", "F_OFD_SETLK"];
                    for call in calls.iter().filter(|call| !about_one.iter().any(|what| call.contains(what)))
                    {
                        let opened = call.rsplit_once(" = ").map_or("", |(_, result)| result);
                        if ["0", "1", "2"].contains(&opened) {
                            let harmless = ["\"/dev/null\"", "\"/dev/full\""];
                            assert!(harmless.iter().any(|name| call.contains(name)), "{call}");
                        }
                    }
                    assert!(calls.iter().any(|call| call.starts_with("openat(")), "{calls:?}");
                }
            }
        }
    });
}

/// A09: the C library opens `/dev/null` in the place of a standard output that was closed, before any code of ours. glibc opens
/// it so that nothing can be written to it, which is seen; musl does not. Either way the status says what was done.
#[test]
fn a_closed_standard_output_gets_a_true_status() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        for program in programs() {
            for (become_it, statuses) in [("exec >&-", &[0, 1][..]), ("exec >/dev/null", &[0])] {
                let mut command = shell(world, become_it, program);
                let answer = world.run(command.args(create(&container.pid(), "lxcbr0")));
                let made = answer.status == Some(0);
                assert!(answer.status.is_some_and(|status| statuses.contains(&status)), "{answer:?}");
                if !made {
                    answer.refuses("standard output");
                }
                let more = usize::from(made);
                assert_eq!(
                    (world.ledger().len(), container.names().len()),
                    (before.ledger.len() + more, more),
                    "{program}"
                );
                undo(world, container, &before);
            }
        }
    });
}

/// A10, A12, A13: an answer that reaches nobody is none: the interface goes, the record goes, and the status says so.
#[test]
fn an_answer_that_reaches_nobody_undoes_what_was_made() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        let pid = container.pid();
        fs::write("/home/alice/file", "").expect("write");
        chown("/home/alice/file", Some(ALICE.id), Some(ALICE.id)).expect("chown");
        let undone = |mut command: Command, has_stderr: bool| {
            println!("{command:?}");
            let answer = world.run(command.args(create(&pid, "lxcbr0")));
            if has_stderr {
                answer.refuses("");
            } else {
                assert_eq!((answer.status, &*answer.stdout, &*answer.stderr), (Some(1), "", ""));
            }
            assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
        };
        let map = format!("/proc/{pid}/uid_map");
        for streams in [
            ">/dev/full",
            "</dev/full >&0",
            // For reading only.
            ">&0 </dev/null 1<&0",
            "1</home/alice/file",
            &format!("1<>{map}"),
            &format!(">{map}"),
            "1</home/alice",
        ] {
            undone(shell(world, &format!("exec {streams}"), LXC_USER_NIC), true);
            undone(shell(world, &format!("exec {streams} 2>&1"), LXC_USER_NIC), false);
        }
        for sigpipe in ["noenv", "ignore:SIGPIPE", "block:SIGPIPE", "block:all"] {
            undone(world.launch(ALICE, &["pipe:1", sigpipe], LXC_USER_NIC), true);
            undone(world.launch(ALICE, &["pipe:1", "pipe:2", sigpipe], LXC_USER_NIC), false);
        }
        undone(world.launch(ALICE, &["socket:1"], LXC_USER_NIC), true);
        undone(world.launch(ALICE, &["open:1=p:/home/alice/file"], LXC_USER_NIC), true);
        // The place in the quota is free again.
        world.usernet("alice veth lxcbr0 2\n");
        let answer = world.nic(ALICE, &create(&pid, "lxcbr0"));
        assert!(whole_or_nothing(world, container, &answer, &before));
    });
}

/// A12, A13: what is wrong with standard error alone is nobody's business but a message's.
#[test]
fn a_standard_error_that_takes_nothing_changes_nothing() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        let pid = container.pid();
        let commands: [&dyn Fn() -> Command; 5] = [
            &|| shell(world, "exec 2>&-", LXC_USER_NIC),
            &|| shell(world, "exec 2>/dev/full", LXC_USER_NIC),
            &|| shell(world, &format!("exec 2>/proc/{pid}/uid_map"), LXC_USER_NIC),
            &|| world.launch(ALICE, &["pipe:2"], LXC_USER_NIC),
            &|| world.launch(ALICE, &["pipe:2", "ignore:SIGPIPE"], LXC_USER_NIC),
        ];
        for command in commands {
            let answer = world.run(command().args(create(&pid, "lxcbr0")));
            assert!(whole_or_nothing(world, container, &answer, &before));
            let answer = world.run(command().args(create(&pid, "other")));
            assert_eq!((answer.status, &*answer.stderr), (Some(1), ""));
            assert!(!whole_or_nothing(world, container, &answer, &before));
        }
    });
}

/// Becomes a program whose standard output is a pipe that is full, and that somebody holds open and does not read.
const FULL_PIPE: &str = r#"
import fcntl, os, sys
reader, writer = os.pipe()
os.set_blocking(writer, False)
try:
    while True:
        os.write(writer, b"x" * 4096)
except BlockingIOError:
    pass
try:
    while True:
        os.write(writer, b"x")
except BlockingIOError:
    pass
os.set_blocking(writer, sys.argv[1] == "blocking")
os.dup2(writer, 1)
os.set_inheritable(reader, True)
os.execv(sys.argv[2], sys.argv[2:])
"#;

/// A13: a reader who does not read does not hold it for ever.
#[test]
fn a_reader_who_does_not_read_gets_nothing() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        for blocking in ["blocking", "not"] {
            let mut command = world.command(ALICE, "/usr/bin/python3");
            command.args(["-I", "-c", FULL_PIPE, blocking, LXC_USER_NIC]);
            let answer = world.run(command.args(create(&container.pid(), "lxcbr0")));
            answer.refuses("");
            assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
        }
    });
}

/// Becomes a program on a terminal whose output is stopped (Ctrl-S). Prints its exit status.
const STOPPED_TERMINAL: &str = r#"
import os, pty, sys, termios
pid, master = pty.fork()
if pid == 0:
    os.setgroups([])
    os.setgid(52001)
    os.setuid(52001)
    termios.tcflow(0, termios.TCOOFF)
    os.execv(sys.argv[1], sys.argv[1:])
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// A13: nor does a terminal that takes no more, neither with the answer nor with a refusal. (One of policy may wait: there
/// the caller can still end the helper.)
#[test]
fn a_terminal_that_is_stopped_does_not_hold_it_for_ever() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        world.append("/etc/lxc/lxc-usernet", "alice veth missing 1\n");
        let before = world.state();
        for bridge in ["lxcbr0", "missing"] {
            let mut python = world.command(ROOT, "/usr/bin/python3");
            python.args(["-I", "-c", STOPPED_TERMINAL, LXC_USER_NIC]).args(create(&container.pid(), bridge));
            let answer = world.run(&mut python);
            assert_eq!((answer.status, &*answer.stdout), (Some(0), "1\n"), "{bridge}: {answer:?}");
            assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
        }
    });
}

/// Becomes a program in the background of a terminal that stops whoever writes to it from there (`stty tostop`). Prints its wait
/// status, or that it was stopped.
const BACKGROUND: &str = r#"
import os, pty, sys, termios
answer, told = os.pipe()
pid, master = pty.fork()
if pid == 0:
    settings = termios.tcgetattr(1)
    settings[3] |= termios.TOSTOP
    termios.tcsetattr(1, termios.TCSANOW, settings)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.setgroups([])
        os.setgid(52001)
        os.setuid(52001)
        os.execv(sys.argv[1], sys.argv[1:])
    status = os.waitpid(child, os.WUNTRACED)[1]
    stopped = os.WIFSTOPPED(status)
    os.write(told, b"stopped" if stopped else str(os.waitstatus_to_exitcode(status)).encode())
    if stopped:
        os.kill(child, 9)
    os._exit(0)
print(os.read(answer, 100).decode())
os.waitpid(pid, 0)
"#;

/// A13: nor is it stopped by a terminal when it has made something, or is about to take it back. (Before that its caller can stop
/// it anyhow.)
#[test]
fn a_terminal_that_stops_its_background_does_not_stop_it_half_way() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        world.append("/etc/lxc/lxc-usernet", "alice veth missing 1\n");
        let before = world.state();
        for (bridge, status) in [("lxcbr0", "0\n"), ("missing", "1\n")] {
            let mut python = world.command(ROOT, "/usr/bin/python3");
            python.args(["-I", "-c", BACKGROUND, LXC_USER_NIC]).args(create(&container.pid(), bridge));
            let answer = world.run(&mut python);
            assert_eq!((answer.status, &*answer.stdout), (Some(0), status), "{bridge}: {answer:?}");
            assert_eq!(container.names().len(), usize::from(status == "0\n"));
            undo(world, container, &before);
        }
    });
}

/// A file system of the caller's with one file, `/home/alice/fuse/file`, that can be opened, and takes nothing: a write does
/// not come back. Says so when it gets one. Ends with its standard input.
const GREEDY_FILE_SYSTEM: &str = r#"
import ctypes, os, select, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=52001,group_id=52001".encode()
assert libc.mount(b"greedy", b"/home/alice/fuse", b"fuse", 0, options) == 0, os.strerror(ctypes.get_errno())
print("mounted", flush=True)
LOOKUP, FORGET, GETATTR, OPEN, WRITE, RELEASE, FLUSH, INIT, POLL = 1, 2, 3, 14, 16, 18, 25, 26, 40

def attr(node):
    mode, size = (0o40755, 0) if node == 1 else (0o100666, 0)
    return struct.pack("<6Q3I7I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 52001, 52001, 0, 4096, 0)

while True:
    ready = select.select([fd, 0], [], [], 30)[0]
    if not ready or 0 in ready and not os.read(0, 1):
        break
    if fd not in ready:
        continue
    request = os.read(fd, 1 << 20)
    length, opcode, unique, node = struct.unpack_from("<IIQQ", request)
    error, body = 0, b""
    if opcode == INIT:
        body = struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, *[0] * 8)
    elif opcode == LOOKUP:
        body = struct.pack("<4Q2I", 2, 0, 1, 1, 0, 0) + attr(2)
    elif opcode == GETATTR:
        body = struct.pack("<QII", 1, 0, 0) + attr(node)
    elif opcode == OPEN:
        body = struct.pack("<QII", 0, 1, 0)
    elif opcode == FORGET:
        continue
    elif opcode == WRITE:
        print("write", flush=True)
        continue
    elif opcode not in (FLUSH, RELEASE):
        error = -38
    os.write(fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
"#;

/// A13: what the kernel itself waits for without an end cannot be given one; but nobody else waits with it, and when that
/// ends, so does the interface that nobody has heard of.
#[test]
fn a_write_that_does_not_come_back_holds_up_nobody_else() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        fs::create_dir("/home/alice/fuse").expect("mkdir");
        let mut server = world.command(ROOT, "/usr/bin/python3");
        server.args(["-I", "-c", GREEDY_FILE_SYSTEM]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = server.spawn().expect("start python");
        let mut said = BufReader::new(server.stdout.take().expect("a pipe")).lines();
        assert_eq!(said.next().expect("a line").expect("a line"), "mounted");

        let mut hanging = shell(world, "exec 1<>/home/alice/fuse/file", LXC_USER_NIC);
        hanging.args(create(&container.pid(), "lxcbr0")).stderr(Stdio::piped());
        let hanging = hanging.spawn().expect("start");
        assert_eq!(said.next().expect("a line").expect("a line"), "write");
        let second = world.container(ALICE);
        for user in [BOB, ALICE] {
            let theirs = world.container(user);
            let container = if user == ALICE { &second } else { &theirs };
            let nic = world.create(user, container, "veth", "lxcbr0", &["eth0"]).nic();
            world.delete(user, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
        }
        drop(server.stdin.take());
        drop(server.wait());
        let output = hanging.wait_with_output().expect("wait");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!((world.state(), container.names()), (before, vec![]));
    });
}

/// A15: too few descriptors, at every step: all or nothing, and said so.
#[test]
fn too_few_descriptors_are_a_refusal_with_nothing_half_done() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        for program in programs() {
            let mut worked = vec![];
            for limit in 0..=20 {
                let mut command = shell(world, &format!("ulimit -n {limit}"), program);
                let answer = world.run(command.args(create(&container.pid(), "lxcbr0")));
                if whole_or_nothing_but_a_record(world, container, &answer, &before) {
                    worked.push(limit);
                } else if answer.signal.is_some() || answer.status == Some(127) {
                    // Not ours to refuse: musl ends a set-id program that it cannot assure of descriptors 0 to 2 before
                    // main, and the dynamic linker has its own words for it.
                    assert!(limit < 4, "{limit}: {answer:?}");
                } else {
                    println!("{limit}: {answer:?}");
                    answer.refuses("");
                    assert!(
                        !answer.stderr.contains("Quota") && !answer.stderr.contains("allowed"),
                        "{answer:?}"
                    );
                }
            }
            let least = worked.first().copied().expect("20 descriptors are enough");
            assert_eq!(worked, (least..=20).collect::<Vec<_>>(), "more descriptors must not be worse");
        }
    });
}

/// What is in the files that the helper keeps.
fn kept(world: &World) -> Vec<Vec<u8>> {
    let mut files = vec!["/run/lxc/nics".to_owned()];
    for file in fs::read_dir(world.tables()).expect("a ledger") {
        files.push(file.expect("a file").path().display().to_string());
    }
    files.sort();
    files.iter().map(|file| fs::read(file).expect("read")).collect()
}

/// A16: no file may grow by more than so much, and the signal for it is at its default, ignored or blocked: all or nothing.
/// What was in the files before is there after.
#[test]
fn a_file_size_limit_costs_nothing_that_was_there() {
    if theirs() {
        return;
    }
    with_containers(|world, container, nic| {
        let before = world.state();
        // With the place of a record free, and without.
        let answer = world.nic(ALICE, &create(&container.pid(), "lxcbr0"));
        assert!(whole_or_nothing(world, container, &answer, &before));
        for bytes in [0, 1, 20, 40, 63, 64, 65, 100, 127, 128, 1000] {
            // The soft limit alone, which everybody may raise again, or both.
            for (limit, trap) in [(":", ""), (":", "trap '' XFSZ; "), ("", ""), ("", "trap '' XFSZ; ")] {
                let shell = format!("{trap}exec /usr/bin/prlimit --fsize={bytes}{limit} \"$0\" \"$@\"");
                let mut command = world.command(ALICE, "/bin/sh");
                command.args(["-c", &shell, LXC_USER_NIC]).args(create(&container.pid(), "lxcbr0"));
                let files = kept(world);
                let answer = world.run(&mut command);
                assert_eq!(answer.signal, None, "{bytes}{limit} {trap}");
                if answer.status == Some(1) {
                    answer.refuses("");
                    assert_eq!(kept(world), files);
                }
                let done = whole_or_nothing(world, container, &answer, &before);
                assert!(done || limit.is_empty(), "{bytes} {trap}: {answer:?}");
                let mut records = world.ledger();
                records.retain(|record| record.fields.contains(&nic.host_name));
                assert_eq!(records.len(), 1);
            }
        }
    });
}

/// A18: limits that hurt others.
#[test]
fn resource_limits_change_nothing() {
    with_containers(|world, container, _| {
        for limits in [
            &["--nproc=0"][..],
            &["--cpu=1"],
            &["--sigpending=0"],
            &["--memlock=0"],
            &["--core=0", "--locks=0", "--msgqueue=0", "--nice=0", "--rtprio=0", "--rttime=0", "--rss=0"],
            &["--nproc=0", "--cpu=1", "--sigpending=0", "--memlock=0", "--stack=300000:300000"],
        ] {
            unaffected(world, container, |program| {
                let mut command = world.command(ALICE, "/usr/bin/prlimit");
                command.args(limits).arg(program);
                command
            });
        }
    });
}

/// A25: whoever lets the kernel be late to end a sleep, by centuries, gets his answer all the same: nothing of root's hangs.
#[test]
fn a_wait_ends_in_time_whatever_the_timer_slack() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        // She has one, and so is waited with for a moment: it may be about to go.
        world.usernet("alice veth lxcbr0 1\n");
        let before = world.state();
        for program in programs() {
            let mut command = world.launch(ALICE, &["slack:9223372036854775807"], program);
            world.run(command.args(create(&container.pid(), "lxcbr0"))).refuses("Quota reached");
            assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
        }
    });
}

/// A18: a stack that is too small for what comes when it is root would end it there, where its caller wants: how far it
/// reaches depends on the length of the arguments, and a little on chance. It is given more; where that cannot be, it does
/// not begin.
#[test]
fn a_small_stack_does_not_end_it_half_way() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        let limited = |program: &str, soft: u32, hard: u32, length: usize| {
            let (pid, limit) = (container.pid(), format!("--stack={}:{}", soft << 10, hard << 10));
            let (path, mut args) = ("x".repeat(length), create(&pid, "lxcbr0"));
            args[1] = &path;
            let mut command = world.command(ALICE, "/usr/bin/prlimit");
            let answer = world.run(command.arg(limit).arg(program).args(args));
            if !whole_or_nothing(world, container, &answer, &before) && answer.signal.is_none() {
                // Whoever runs the tests may lack CAP_SYS_RESOURCE.
                answer.refuses("lift the limit on the stack (RLIMIT_STACK)");
            }
            answer
        };
        for program in programs() {
            for stack in [24, 28, 40] {
                for length in (0..4000).step_by(800) {
                    let answer = limited(program, stack, 8192, length);
                    assert_eq!(answer.status, Some(0), "{answer:?}");
                    // It ends before it is anything, or not at all.
                    limited(program, stack, stack, length);
                }
            }
            assert_eq!(limited(program, 128, 128, 0).status, Some(0));
        }
    });
}

/// A18: so little memory that it ends somewhere: all or nothing.
#[test]
fn too_little_memory_leaves_nothing_half_done() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        let (mut done, mut not_done) = (0, 0);
        for kilobytes in (0..40).map(|step| step * 25).chain([2000, 4000, 8000, 16000, 32000]) {
            for what in ["data", "as"] {
                let mut command = world.command(ALICE, "/usr/bin/prlimit");
                command.args([&format!("--{what}={}", kilobytes * 1000), LXC_USER_NIC]);
                // Which then cannot always be started, or say more than that it ends.
                let answer = world.run(command.args(create(&container.pid(), "lxcbr0")));
                if whole_or_nothing_but_a_record(world, container, &answer, &before) {
                    done += 1;
                } else {
                    not_done += 1;
                }
            }
        }
        assert!(done > 2 && not_done > 2, "{done} done, {not_done} not: nowhere in between");
    });
}

/// What a process may try with another of the same user. Prints `NAME ok`, or `NAME` and why not.
const PROBE: &str = r#"
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
proc = f"/proc/{pid}/"

def attempt(name, action):
    ctypes.set_errno(0)
    try:
        print(name, "ok" if action() != -1 else errno.errorcode[ctypes.get_errno()])
    except OSError as error:
        print(name, errno.errorcode[error.errno])

def opening(name, flags):
    return lambda: os.close(os.open(proc + name, flags))

class iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

def peek(call):
    buffer = ctypes.create_string_buffer(8)
    here, there = iovec(ctypes.addressof(buffer), 8), iovec(0x10000, 8)
    if call(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) == -1:
        return -1 if ctypes.get_errno() != errno.EFAULT else 0

def traced(request):
    if libc.ptrace(request, pid, None, None) == -1:
        return -1
    if request != 16:
        libc.ptrace(0x4207, pid, None, None)
    os.waitpid(pid, 0x40000000)
    return libc.ptrace(17, pid, None, None)

for name in ["mem", "environ", "maps", "auxv", "syscall", "stat_", "pagemap", "io"]:
    if name != "stat_":
        attempt(name, opening(name, os.O_RDONLY) if name != "syscall" else lambda: open(proc + "syscall").read() and None)
for name in ["fd", "fdinfo", "map_files"]:
    attempt(name, lambda: os.listdir(proc + name) and None)
for name in ["cwd", "root", "exe", "ns/net"]:
    attempt(name, lambda: os.readlink(proc + name) and None)
for name in ["mem", "clear_refs", "coredump_filter", "oom_score_adj"]:
    attempt("write " + name, opening(name, os.O_WRONLY))
attempt("process_vm_readv", lambda: peek(libc.process_vm_readv))
attempt("process_vm_writev", lambda: peek(libc.process_vm_writev))
attempt("pidfd_getfd", lambda: libc.syscall(438, os.pidfd_open(pid), 0, 0))
attempt("attach", lambda: traced(16))
attempt("seize", lambda: traced(0x4206))
"#;

fn probe(world: &World, pid: &str) -> String {
    let mut python = world.command(ALICE, "/usr/bin/python3");
    let answer = world.run(python.args(["-I", "-c", PROBE, pid]));
    assert_eq!((answer.status, &*answer.stderr), (Some(0), ""));
    answer.stdout
}

/// A19, A20: from its first moment to its last the caller can neither look into it nor trace it.
#[test]
fn the_caller_cannot_look_into_the_helper_at_any_point() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let own = world.plain_process(ALICE);
        let result = probe(world, &own.pid());
        let attempts = result.lines().count();
        assert!(attempts > 20 && result.lines().all(|line| line.ends_with(" ok")), "{result}");
        let pid = container.pid();
        let args = create(&pid, "lxcbr0");
        let places = world.places(ALICE, &args);
        container.delete_link("eth0");
        for place in places.iter().step_by(4) {
            let Ok(held) = world.held(ALICE, place, &args) else { continue };
            let result = probe(world, &held.pid());
            assert_eq!(result.lines().count(), attempts, "{result}");
            for line in result.lines() {
                assert!(line.ends_with(" EPERM") || line.ends_with(" EACCES"), "{place:?}: {line}");
            }
            if held.go_on().status == Some(0) {
                container.delete_link("eth0");
            }
        }
    });
}

/// A20: also where the kernel hides no set-id program (`fs.suid_dumpable`).
#[test]
fn the_helper_hides_itself_before_all_else_and_after_each_change_of_its_user() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let pid = container.pid();
        let mut strace = world.strace(ALICE, &["-qq", "-o", "/run/world/trace"], LXC_USER_NIC);
        let _nic = world.run(strace.args(create(&pid, "lxcbr0"))).nic();
        world.assert_hides_itself(&fs::read_to_string("/run/world/trace").expect("trace"));
    });
}

/// A20: what it could do if something went wrong in it: nothing as long as it acts for its caller, and for him with his own
/// name; as root, change interfaces and no more.
#[test]
fn the_helper_has_no_capability_in_effect_for_its_caller_and_one_as_root() {
    const NET_ADMIN: u64 = 1 << 12;
    const BECOME_ROOT: u64 = 1 << 7 | 1 << 6;
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let pid = container.pid();
        let args = create(&pid, "lxcbr0");
        let before = world.state();
        let places = world.places(ALICE, &args);
        undo(world, container, &before);
        let mut seen = [0; 6];
        for place in places.iter().filter(|place| !place.is_dull()).step_by(4) {
            let Ok(held) = world.held(ALICE, place, &args) else {
                undo(world, container, &before);
                continue;
            };
            let set = |key| u64::from_str_radix(&held.status(key), 16).expect("a set");
            let (permitted, effective) = (set("CapPrm:"), set("CapEff:"));
            let ids = |key| held.status(key).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let (root, alice) = ("0".to_owned(), ALICE.id.to_string());
            let trace = fs::read_to_string("/run/world/held").expect("trace");
            let stage = trace.matches("capset(").count();
            seen[stage] += 1;
            let at = format!("stage {stage}, {place:?}");
            assert!(stage == 0 || permitted & !(NET_ADMIN | BECOME_ROOT) == 0, "{at}: {permitted:x}");
            assert_eq!((set("CapInh:"), set("CapAmb:")), (0, 0), "{at}");
            match stage {
                0 => {}
                // With root's name, for files of root's.
                1 | 3 => assert_eq!(effective, 0, "{at}"),
                // For whatever the caller names. The kernel puts into effect what is permitted on the way back to root's name.
                2 if ids("Uid:")[1] == alice => assert_eq!(effective, 0, "{at}"),
                2 => assert!(trace.matches("setresuid(").count() > 1, "{at}: root's name\n{trace}"),
                4 => assert_eq!(effective, BECOME_ROOT, "{at}"),
                _ => {
                    assert_eq!((permitted, effective), (NET_ADMIN, NET_ADMIN), "{at}");
                    assert_eq!((ids("Uid:"), ids("Gid:")), (vec![root.clone(); 4], vec![root; 4]), "{at}");
                    assert_eq!(ids("Groups:"), Vec::<String>::new(), "{at}");
                }
            }
            let _nic = held.go_on().nic();
            undo(world, container, &before);
        }
        assert!(seen[1] > 0 && seen[2] > 1 && seen[4] > 0 && seen[5] > 5, "{seen:?}");
    });
}

/// A20: a step on the way to root with one capability that only seems to have worked is found out.
#[test]
fn a_faked_step_on_the_way_to_root_is_never_built_upon() {
    const READ_BACK: &str = "the kernel did not reduce this process's privileges as asked; not going on";
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let pid = container.pid();
        let before = world.state();
        for (fake, phrase) in [
            ("setgroups:retval=0", READ_BACK),
            ("setresgid:retval=0", READ_BACK),
            // The first two go to the caller's name and back.
            ("setresuid:retval=0:when=3", READ_BACK),
            ("capset:retval=0:when=5", READ_BACK),
            ("capset:retval=0:when=4", "Operation not permitted"),
            ("rt_sigprocmask:error=EPERM:when=2+", "block signals: Operation not permitted"),
        ] {
            println!("{fake}");
            let fault = format!("inject={fake}");
            let mut strace = world.strace(ALICE, &["-o", "/dev/null", "-e", &fault], LXC_USER_NIC);
            world.run(strace.args(create(&pid, "lxcbr0"))).refuses(phrase);
            assert_eq!((world.state(), container.names()), (before.clone(), vec![]), "{fake}");
        }
    });
}

/// The caller sends a helper this signal. May he?
fn sent(world: &World, pid: &str, signal: &str) -> bool {
    let kill = format!("kill -{signal} {pid} 2>/dev/null");
    world.run(world.command(ALICE, "/bin/sh").args(["-c", &kill])).status == Some(0)
}

/// A19, A21: wherever its caller can still signal it, it has not begun to act: a helper that he kills leaves nothing, and
/// one that he can no longer kill finishes. No core file is left of any.
#[test]
fn what_the_caller_can_still_signal_has_made_nothing() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let pid = container.pid();
        let args = create(&pid, "lxcbr0");
        let before = world.state();
        // So that this can fail: a program without privilege does leave a core file.
        let mut crash = world.command(ROOT, "/usr/bin/prlimit");
        crash.args(["--core=unlimited:unlimited", "/usr/bin/setpriv", "--reuid=52001", "--regid=52001"]);
        crash.args(["--clear-groups", "/bin/sh", "-c", "kill -SEGV $$"]).current_dir("/tmp");
        let status = crash.status().expect("start");
        assert!(status.core_dumped(), "core files do not work here: {status}");
        let litter = || {
            let entries = fs::read_dir("/tmp").expect("read");
            entries.map(|entry| entry.expect("an entry").path()).collect::<std::collections::BTreeSet<_>>()
        };
        let litter_before = litter();
        let places = world.places(ALICE, &args);
        undo(world, container, &before);
        let (mut killed, mut finished) = (0, 0);
        let signals =
            ["KILL", "TERM", "HUP", "INT", "QUIT", "ALRM", "SEGV", "ABRT", "PIPE", "USR1", "XCPU", "PROF"];
        for (place, signal) in places.iter().zip(signals.iter().cycle()) {
            let Ok(held) = world.held(ALICE, place, &args) else {
                undo(world, container, &before);
                continue;
            };
            let may = sent(world, &held.pid(), signal);
            if may {
                // As the caller would find it: nothing made so far.
                assert_eq!((world.state(), container.names()), (before.clone(), vec![]), "{place:?}");
            } else {
                for other in signals {
                    assert!(!sent(world, &held.pid(), other), "{other} after {place:?}");
                }
            }
            let answer = held.go_on();
            if may && answer.signal.is_some() {
                killed += 1;
                assert_eq!((&*answer.stdout, &*answer.stderr), ("", ""));
                assert_eq!(
                    (world.state(), container.names()),
                    (before.clone(), vec![]),
                    "{signal} after {place:?}"
                );
                continue;
            }
            // What came while signals were blocked came too late.
            let _nic = answer.nic();
            finished += 1;
            undo(world, container, &before);
        }
        assert!(killed > 10 && finished > 10, "{killed} killed, {finished} finished");
        assert_eq!(litter(), litter_before, "a core file");
    });
}

/// A21: and so it is of `delete`.
#[test]
fn what_the_caller_can_still_signal_has_removed_nothing() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let netns = container.netns();
        let made = |pid: &str| world.nic(ALICE, &create(pid, "lxcbr0")).nic().host_name;
        let mut name = made(&container.pid());
        let delete =
            |name: &str| ["delete", "/dev/null", "dummy", &netns, "veth", "lxcbr0", name].map(str::to_owned);
        let args = delete(&name);
        let places = world.places(ALICE, &args.each_ref().map(String::as_str));
        name = made(&container.pid());
        let (mut killed, mut finished) = (0, 0);
        for place in &places {
            let before = world.state();
            let args = delete(&name);
            let answer = match world.held(ALICE, place, &args.each_ref().map(String::as_str)) {
                Ok(held) => {
                    let may = sent(world, &held.pid(), "KILL");
                    let answer = if may { held.end() } else { held.go_on() };
                    assert_eq!(answer.signal.is_some(), may, "{place:?}");
                    answer
                }
                Err(answer) => answer,
            };
            if answer.signal.is_some() {
                killed += 1;
                assert_eq!(
                    (world.state(), container.names()),
                    (before, vec!["eth0".to_owned()]),
                    "{place:?}"
                );
                continue;
            }
            finished += 1;
            answer.succeeds();
            assert_eq!(
                (world.nics().len(), world.ledger().len(), container.names()),
                (1, 1, vec![]),
                "{place:?}"
            );
            name = made(&container.pid());
        }
        assert!(killed > 10 && finished > 10, "{killed} killed, {finished} finished");
    });
}

/// A21: stopped where its caller can still stop it, it holds up nobody.
#[test]
fn a_helper_that_is_stopped_by_its_caller_holds_up_nobody() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let pid = container.pid();
        let args = create(&pid, "lxcbr0");
        let places = world.places(ALICE, &args);
        container.delete_link("eth0");
        let bobs = world.container(BOB);
        let second = world.container(ALICE);
        let mut stopped = 0;
        for place in places.iter().step_by(3) {
            let Ok(held) = world.held(ALICE, place, &args) else {
                container.delete_link("eth0");
                continue;
            };
            for (user, container) in [(BOB, &bobs), (ALICE, &second)] {
                let nic = world.create(user, container, "veth", "lxcbr0", &[]).nic();
                world.delete(user, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
            }
            stopped += 1;
            let _nic = held.go_on().nic();
            container.delete_link("eth0");
        }
        assert!(stopped > 10);
    });
}

/// A21: a timer of the caller's that is still running, or his processor time that is up.
#[test]
fn an_inherited_timer_leaves_all_or_nothing() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        for step in 1_u32..=30 {
            let oddity = format!("alarm:{}", f64::from(step) * 0.0003);
            for more in [&[][..], &["ignore:SIGALRM"], &["block:SIGALRM"], &["block:all"]] {
                let oddities = [&[&*oddity], more].concat();
                let mut command = world.launch(ALICE, &oddities, LXC_USER_NIC);
                let answer = world.run(command.args(create(&container.pid(), "lxcbr0")));
                if !whole_or_nothing(world, container, &answer, &before) {
                    assert_eq!((answer.signal, &*answer.stderr), (Some(14), ""), "{answer:?}");
                }
            }
        }
    });
}

/// Runs a program as the user with this uid on a terminal of its own, types something, waits as long as is asked,
/// hangs up, and prints the exit status.
const TERMINAL: &str = r#"
import os, pty, sys
uid, spin, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
ready, go = os.pipe()
pid, master = pty.fork()
if pid == 0:
    os.close(ready)
    os.write(go, b".")
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    os.execv(command[0], command)
os.write(master, b"typed\n")
os.read(ready, 1)
if spin >= 0:
    for _ in range(spin):
        pass
    os.close(master)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

fn on_a_terminal(world: &World, user: User, spin: i32, command: &[&str]) -> i32 {
    let mut python = world.command(ROOT, "/usr/bin/python3");
    python.args(["-I", "-c", TERMINAL, &user.id.to_string(), &spin.to_string()]).args(command);
    let answer = world.run(&mut python);
    assert_eq!((answer.status, &*answer.stderr), (Some(0), ""));
    answer.stdout.trim().parse().expect("an exit status")
}

/// A21: the caller hangs up: the helper ends of it, has nobody to answer to, or was faster.
#[test]
fn a_terminal_that_is_closed_leaves_all_or_nothing() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        let pid = container.pid();
        let mut command = vec![LXC_USER_NIC];
        command.extend(create(&pid, "lxcbr0"));
        for spin in [0, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 150_000, 200_000, 300_000, 600_000] {
            let status = on_a_terminal(world, ALICE, spin, &command);
            if status == 0 {
                assert_eq!(container.names(), ["eth0"]);
                container.delete_link("eth0");
                continue;
            }
            assert!([1, -1].contains(&status), "{status}");
            assert_eq!((world.state().links, container.names()), (before.links.clone(), vec![]), "{status}");
        }
    });
}

/// A31: the caller's terminal is not read, nor asked anything, nor opened.
#[test]
fn the_terminal_is_left_alone() {
    with_containers(|world, container, _| {
        let pid = container.pid();
        for (bridge, status) in [("other", 1), ("lxcbr0", 0)] {
            let mut command = vec![
                "/usr/bin/strace",
                "-qq",
                "-o",
                "/run/trace",
                "-e",
                "signal=none",
                "-u",
                ALICE.name,
                LXC_USER_NIC,
            ];
            command.extend(create(&pid, bridge));
            assert_eq!(on_a_terminal(world, ROOT, -1, &command), status);
            let trace = fs::read_to_string("/run/trace").expect("trace");
            assert!(trace.contains("exit_group"), "not a whole trace: {trace}");
            for call in trace.lines() {
                let asked = ["TIOC", "TCGET", "TCSET"].iter().any(|name| call.contains(name));
                // The C library of C's asks who is logged in on it.
                assert!(!(call.starts_with("ioctl(") && asked) || theirs(), "{call}");
                let read =
                    ["read(0,", "read(1,", "read(2,", "readv(0,"].iter().any(|read| call.starts_with(read));
                assert!(!read, "{call}");
                let opens =
                    call.starts_with("open") && (call.contains("/dev/tty") || call.contains("/dev/pts/"));
                assert!(!opens, "{call}");
            }
        }
    });
}

/// A23. Differs: C's files get the caller's group and what his umask leaves of their mode.
#[test]
fn what_is_created_has_the_same_modes_whatever_the_umask() {
    if theirs() {
        return;
    }
    for umask in ["0000", "0022", "0777"] {
        World::enter_with_nic(|world| {
            world.bridge("lxcbr0");
            world.usernet("alice veth lxcbr0 5\n");
            let container = world.container(ALICE);
            unaffected(world, &container, |program| shell(world, &format!("umask {umask}"), program));
            let tables = world.tables();
            for (path, mode) in [
                ("/run/lxc", 0o755),
                ("/run/lxc/nics", 0o600),
                ("/run/lxc/nsgate", 0o700),
                (&tables, 0o700),
                (&format!("{tables}/u52001.veth.lxcbr0"), 0o600),
            ] {
                let file = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{path}: {error}"));
                assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (mode, 0, 0), "{path} {umask}");
            }
            let in_lxc = fs::read_dir("/run/lxc").expect("a directory").count();
            let in_ledger = fs::read_dir(world.tables()).expect("a directory").count();
            assert_eq!((in_lxc, in_ledger), (2, 1), "something else was left");
        });
    }
}

/// A24: a working directory that is gone, or that the caller may not enter.
#[test]
fn a_working_directory_of_any_kind_changes_nothing() {
    with_containers(|world, container, _| {
        unaffected(world, container, |program| {
            shell(world, "mkdir -p /tmp/gone && cd /tmp/gone && rmdir /tmp/gone", program)
        });
        fs::create_dir("/run/locked").expect("create");
        fs::set_permissions("/run/locked", fs::Permissions::from_mode(0o700)).expect("chmod");
        unaffected(world, container, |program| {
            let mut command = world.command(ROOT, "/usr/bin/setpriv");
            command
                .args(["--reuid=52001", "--regid=52001", "--clear-groups", program])
                .current_dir("/run/locked");
            command
        });
    });
}

/// A24: nor one that hangs: no system call looks at it.
#[test]
fn the_working_directory_is_never_looked_at() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let pid = container.pid();
        for program in programs() {
            for bridge in ["other", "lxcbr0"] {
                let mut command = vec![*program];
                command.extend(create(&pid, bridge));
                let (answer, calls) = traced(world, "%file,getcwd,chdir,fchdir", &[], program, &command);
                for call in &calls {
                    let (name, arguments) = call.split_once('(').expect("a call");
                    assert!(!["getcwd", "chdir", "fchdir"].contains(&name), "{call}");
                    let path = arguments.strip_prefix("AT_FDCWD, ").unwrap_or(arguments);
                    // Relative to a descriptor of its own, or from the root.
                    let away =
                        path.starts_with("\"/") || path.starts_with(|first: char| first.is_ascii_digit());
                    assert!(away, "{call}");
                }
                assert!(!calls.is_empty());
                if answer.status == Some(0) {
                    container.delete_link("eth0");
                }
            }
        }
    });
}

/// A25: a helper that gets hardly any time is slower and nothing else.
#[test]
fn scheduling_changes_nothing() {
    with_containers(|world, container, _| {
        for prefix in
            [&["/usr/bin/nice", "-n", "19"][..], &["/usr/bin/chrt", "-i", "0"], &["/usr/bin/chrt", "-b", "0"]]
        {
            unaffected(world, container, |program| {
                let mut command = world.command(ALICE, prefix[0]);
                command.args(&prefix[1..]).arg(program);
                command
            });
        }
    });
}

/// A29: a caller with an odd execution domain.
#[test]
fn a_caller_of_another_personality_changes_nothing() {
    with_containers(|world, container, _| {
        for args in [
            &["x86_64", "-X"][..],
            &["x86_64", "-R"],
            &["x86_64", "-R", "-X", "-Z", "-L", "-3", "-B", "-I", "-S", "-T", "-F"],
            &["linux32", "--uname-2.6"],
        ] {
            unaffected(world, container, |program| {
                let mut command = world.command(ALICE, "/usr/bin/setarch");
                command.args(args).arg(program);
                command
            });
        }
    });
}

/// A26. Differs: no_new_privs is named as the cause.
#[test]
fn no_new_privs_is_named_as_the_cause() {
    with_containers(|world, container, _| {
        let before = world.state();
        for program in programs() {
            let mut command = world.command(ALICE, "/usr/bin/setpriv");
            command.args(["--no-new-privs", program]).args(create(&container.pid(), "lxcbr0"));
            world.run(&mut command).refuses(if theirs() { "" } else { "no_new_privs is set" });
            assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
        }
    });
}

/// A27. Differs: a helper without privilege says why, before anything else.
#[test]
fn a_helper_without_privilege_names_the_cause() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        fs::create_dir("/run/nosuid").expect("create");
        let mut mount = world.command(ROOT, "/usr/bin/mount");
        world.run(mount.args(["-t", "tmpfs", "-o", "nosuid,mode=755", "tmpfs", "/run/nosuid"])).succeeds();
        for (place, owner, mode, reason) in [
            ("/run/nosuid", ROOT, 0o4755, "nosuid"),
            ("/run", ROOT, 0o755, "is not installed set-user-ID root"),
            ("/run", ROOT, 0o2755, "is not installed set-user-ID root"),
            ("/run", BOB, 0o4755, "is not installed set-user-ID root"),
        ] {
            let path = format!("{place}/lxc-user-nic");
            // Not in this process: another thread's child would inherit the descriptor, and the kernel runs no program
            // that somebody can still write.
            let mut install = world.command(ROOT, "/usr/bin/install");
            world.run(install.args(["-m", "755", LXC_USER_NIC, &path])).succeeds();
            chown(&path, Some(owner.id), Some(0)).expect("chown");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            let answer = world.run(world.command(ALICE, &path).args(create(&container.pid(), "lxcbr0")));
            answer.refuses(reason);
            // A caller's own file may be called so: no command that would make it root's.
            if reason.starts_with("is not") {
                answer.refuses("root can mend that: install it from its package");
                assert!(!answer.stderr.contains("chmod"), "{answer:?}");
            }
            assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
        }
        // Where its package has it there is no such doubt.
        let may = |mode| fs::set_permissions(LXC_USER_NIC, fs::Permissions::from_mode(mode)).expect("chmod");
        may(0o755);
        let answer = world.run(world.command(ALICE, LXC_USER_NIC).args(create(&container.pid(), "lxcbr0")));
        answer.refuses("root can mend that: chmod u+s /usr/libexec/lxc/lxc-user-nic");
        // Unless it is not root's alone there.
        for (owner, mode) in [(BOB, 0o755), (ROOT, 0o775)] {
            chown(LXC_USER_NIC, Some(owner.id), Some(0)).expect("chown");
            may(mode);
            let answer =
                world.run(world.command(ALICE, LXC_USER_NIC).args(create(&container.pid(), "lxcbr0")));
            answer.refuses("root can mend that: install it from its package");
        }
        may(0o4755);
        // Which does not depend on how the others are installed.
        world.install(Install::Plain);
        let _nic = world.nic(ALICE, &create(&container.pid(), "lxcbr0")).nic();
    });
}

/// Gives the machine a `/dev` of its own, with little in it: the real one is the host's.
fn private_dev(world: &World) {
    fs::create_dir("/run/dev").expect("create");
    for (name, minor) in [("null", "3"), ("zero", "5"), ("full", "7")] {
        let mut mknod = world.command(ROOT, "/usr/bin/mknod");
        world.run(mknod.args(["-m", "666", &format!("/run/dev/{name}"), "c", "1", minor])).succeeds();
    }
    world.run(world.command(ROOT, "/usr/bin/mount").args(["--bind", "/run/dev", "/dev"])).succeeds();
}

/// Takes what is sent to `/dev/log`, for whoever sends it.
fn listen() -> UnixDatagram {
    let log = UnixDatagram::bind("/dev/log").expect("bind");
    fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).expect("chmod");
    log.set_read_timeout(Some(Duration::from_secs(5))).expect("time-out");
    log
}

/// A32: whatever is or is not behind `/dev/log`, it holds nothing up.
#[test]
fn a_log_that_does_not_take_the_record_changes_nothing() {
    with_containers(|world, container, _| {
        private_dev(world);
        let clear = || drop(fs::remove_file("/dev/log"));
        let usual = |what: &str| {
            println!("{what}");
            unaffected(world, container, |program| world.command(ALICE, program));
        };
        usual("absent");
        fs::write("/dev/log", "").expect("write");
        usual("a file");
        clear();
        let stream = UnixListener::bind("/dev/log").expect("bind");
        fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).expect("chmod");
        usual("a stream that nobody accepts");
        drop(stream);
        clear();
        let full = listen();
        let filler = UnixDatagram::unbound().expect("socket");
        filler.set_nonblocking(true).expect("not blocking");
        let filled = (0..100_000).take_while(|_| filler.send_to(b"x", "/dev/log").is_ok()).count();
        assert!((1..100_000).contains(&filled), "it does not get full");
        usual("a queue that is full");
        drop(full);
        usual("a queue that is gone");
    });
}

/// A32: a syslog daemon that was started anew since the helper began gets the record.
#[test]
fn a_log_that_has_been_replaced_meanwhile_gets_the_record() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        private_dev(world);
        let pid = container.pid();
        let first = listen();
        // The one that makes a table of the quota's, or finds it: the grant is decided by then, and not logged yet.
        let places = world.places(ALICE, &create(&pid, "lxcbr0"));
        container.delete_link("eth0");
        let place = places.iter().rfind(|place| place.call == "fallocate").expect("a place is taken");
        let held = world.held(ALICE, place, &create(&pid, "lxcbr0")).expect("held");
        // Whether the first one has ended or not.
        fs::remove_file("/dev/log").expect("remove");
        let second = listen();
        let _nic = held.go_on().nic();
        first.set_nonblocking(true).expect("not blocking");
        let at_first = std::iter::from_fn(|| first.recv(&mut [0; 4096]).ok()).count();
        assert_eq!(at_first, 1, "but for the first run's record");
        let mut bytes = vec![0; 1 << 16];
        let length = second.recv(&mut bytes).expect("a record");
        assert!(String::from_utf8_lossy(&bytes[..length]).contains("]: granted: uid 52001 "));
    });
}

/// A32. Differs: C logs nothing. Every request is one record (authpriv) with its verdict: granted before the deed.
#[test]
fn a_request_is_recorded_with_its_verdict() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        private_dev(world);
        let log = listen();
        let record = || {
            let mut bytes = vec![0; 1 << 16];
            let length = log.recv(&mut bytes).expect("a record");
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        };
        let pid = container.pid();
        let has = |record: &str, words: &[&str]| {
            for word in words {
                assert!(record.contains(word), "{word:?} is not in {record}");
            }
        };
        // LOG_AUTHPRIV is 10; notice is 5 and info 6.
        world.nic(ALICE, &create(&pid, "other")).refuses("is not allowed");
        has(&record(), &["<85>lxc-user-nic[", "]: refused: uid 52001 ", &pid, "other", "is not allowed"]);

        let places = world.places(ALICE, &create(&pid, "lxcbr0"));
        has(&record(), &["<86>lxc-user-nic[", "]: granted: uid 52001 ", &pid, "lxcbr0"]);
        container.delete_link("eth0");
        // Killed after any call: whatever was made has been granted in the log before.
        for place in places.iter().rev().step_by(5) {
            if let Ok(held) = world.held(ALICE, place, &create(&pid, "lxcbr0")) {
                let made = !container.names().is_empty();
                log.set_nonblocking(true).expect("not blocking");
                let logged = log.recv(&mut [0; 4096]).is_ok();
                log.set_nonblocking(false).expect("blocking");
                assert!(logged || !made, "made before it was logged, {place:?}");
                let _nic = held.go_on().nic();
                if !logged {
                    has(&record(), &["]: granted: "]);
                }
            } else {
                has(&record(), &["]: granted: "]);
            }
            container.delete_link("eth0");
        }
        let nic = world.nic(ALICE, &create(&pid, "lxcbr0")).nic();
        has(&record(), &["]: granted: "]);
        world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
        has(&record(), &["<86>lxc-user-nic[", "]: removed: uid 52001 ", &nic.host_name]);
    });
}

/// A callers' group of his own making is nobody's: see the groups of a process in `nic_story.rs`. Here: who has no account
/// is refused, with the static program and with the twin.
#[test]
fn a_caller_without_an_account_is_refused() {
    with_containers(|world, _, _| {
        let stranger = world::NOBODY_AT_ALL;
        let container = world.container(stranger);
        for policy in ["52999 veth lxcbr0 5\n", "alice veth lxcbr0 5\n", " veth lxcbr0 5\n"] {
            world.usernet(policy);
            let before = world.state();
            for program in programs() {
                let mut command = world.command(stranger, program);
                command.stdin(Stdio::null());
                world.run(command.args(create(&container.pid(), "lxcbr0"))).refuses("");
                assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
            }
        }
    });
}

/// A15: descriptors that the caller has left open are his affair, as long as there are some left.
#[test]
fn many_inherited_descriptors_are_no_obstacle() {
    with_containers(|world, container, _| {
        let before = world.state();
        let many = "import os, sys\nfor _ in range(400): os.set_inheritable(os.open('/dev/null', 0), True)\n\
            os.execv(sys.argv[1], sys.argv[1:])";
        let mut command = world.command(ALICE, "/usr/bin/python3");
        command.args(["-I", "-c", many, LXC_USER_NIC]).args(create(&container.pid(), "lxcbr0"));
        drop(world.run(&mut command).nic());
        if !theirs() {
            undo(world, container, &before);
        }
    });
}

/// A21, A25: whoever stops his helper when it has read policy, and has it go on when something was taken from him, gets what
/// he may have now.
#[test]
fn policy_that_changed_while_the_helper_stood_still_is_not_obeyed_any_more() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        let pid = container.pid();
        let rules = "[bridge \"*\"]\nisolate = yes\n";
        let changes: [&dyn Fn(); 4] = [
            &|| world.usernet("bob veth lxcbr0 1000\n"),
            &|| fs::write("/etc/lxc/lxc-usernet", "bob veth lxcbr0 1000\n").expect("write"),
            &|| fs::remove_file("/etc/lxc/lxc-usernet").expect("remove"),
            &|| world.write("/etc/nsgate.ini", rules),
        ];
        // Policy has been judged, and the caller can still stop it; or his cgroup can, when it has taken a place.
        let calls = ["setgroups", "fallocate"];
        for (change, call) in changes.iter().flat_map(|change| calls.map(|call| (change, call))) {
            world.usernet("alice veth lxcbr0 1000\n");
            world.write("/etc/nsgate.ini", "; nothing\n");
            let place = Place { call: call.to_owned(), number: 1 };
            let held = world.held(ALICE, &place, &create(&pid, "lxcbr0")).expect("held");
            change();
            held.go_on().refuses("policy has been changed just now; call again");
            assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
        }
        // The first rules that there are.
        world.usernet("alice veth lxcbr0 1000\n");
        fs::remove_file("/etc/nsgate.ini").expect("remove");
        let place = Place { call: "setgroups".to_owned(), number: 1 };
        let held = world.held(ALICE, &place, &create(&pid, "lxcbr0")).expect("held");
        world.write("/etc/nsgate.ini", rules);
        held.go_on().refuses("policy has been changed just now; call again");
        assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
        // Bridges that may no longer be made.
        world.write("/etc/nsgate.ini", "[per-user-bridge]\ncreate = yes\n");
        world.usernet("alice veth nsbr-%u 1\n");
        let held = world.held(ALICE, &place, &create(&pid, "nsbr-52001")).expect("held");
        world.write("/etc/nsgate.ini", "[per-user-bridge]\ncreate = no\n");
        held.go_on().refuses("policy has been changed just now; call again");
        assert_eq!((world.state(), container.names()), (before, vec![]));
    });
}

/// A21, A25: the same whenever his cgroup is frozen in the wiring, until the interface is UP: what is in place then is as any other
/// from before the change.
#[test]
fn policy_that_changed_while_an_interface_was_being_made_takes_it_back() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        let pid = container.pid();
        let allow = || {
            world.usernet("alice veth lxcbr0 1000\n");
            world.write("/etc/nsgate.ini", "; nothing\n");
        };
        allow();
        let places = world.places(ALICE, &create(&pid, "lxcbr0"));
        undo(world, container, &before);
        let first = places.iter().rposition(|place| place.call == "seccomp").expect("the last filter");
        let up = places.iter().rposition(|place| place.call == "sendto").expect("it is brought up");
        let (mut tried, mut is_up) = (0, false);
        for place in places[first..=up].iter().filter(|place| !place.is_dull()) {
            allow();
            let held = world.held(ALICE, place, &create(&pid, "lxcbr0")).expect("held");
            is_up = world.host_veths().iter().any(|name| world.host_link(name).is_up());
            if tried % 2 == 0 {
                world.usernet("bob veth lxcbr0 1000\n");
            } else {
                world.write("/etc/nsgate.ini", "[bridge \"*\"]\nisolate = yes\n");
            }
            held.go_on().refuses("policy has been changed just now; call again");
            assert_eq!((world.state(), container.names()), (before.clone(), vec![]), "{place:?}");
            tried += 1;
        }
        assert!(is_up && tried > 10, "{tried}");
        // Killed then, it is as what she has from before. The next request in that quota would take it away, but there is none.
        allow();
        let held = world.held(ALICE, &places[up], &create(&pid, "lxcbr0")).expect("held");
        let unfinished = world.ledger().into_iter().find(|record| record.fields[0] == "?");
        let left = unfinished.expect("a record").fields[1].clone();
        let dry = ["revoke", "nic", "alice", "lxcbr0", "--dry-run"];
        let said = world.run(world.nsgate(ROOT).args(dry)).stdout;
        assert!(
            said.contains(&format!(
                "just being made, or left so by a helper that was killed: {left}; what stays so: nsgate gc"
            )),
            "{said}"
        );
        world.usernet("bob veth lxcbr0 1000\n");
        held.kill();
        assert!(world.host_link(&left).is_up());
        let said = world.run(world.nsgate(ROOT).arg("gc")).stdout;
        assert!(said.contains(&format!("removed the record of {left} ")), "{said}");
        assert_eq!((world.state(), container.names()), (before, vec![]));
    });
}

/// A21, A25: the same where the file stays as it is and its name leads to another one.
#[test]
fn policy_that_is_another_file_by_now_is_not_obeyed_any_more() {
    if theirs() {
        return;
    }
    with_containers(|world, container, _| {
        let before = world.state();
        let (pid, policy) = (container.pid(), "/etc/lxc/lxc-usernet");
        for (number, grants) in [("1", "alice"), ("2", "bob")] {
            fs::create_dir(format!("/etc/generation-{number}")).expect("mkdir");
            let text = format!("{grants} veth lxcbr0 1000\n");
            world.write(&format!("/etc/generation-{number}/lxc-usernet"), text);
            let isolate = if number == "1" { "no" } else { "yes" };
            let rules = format!("[bridge \"*\"]\nisolate = {isolate}\n");
            world.write(&format!("/etc/generation-{number}/nsgate.ini"), rules);
        }
        let link = |path: &str, target: &str| {
            let new = format!("{path}.new");
            std::os::unix::fs::symlink(target, &new).expect("symlink");
            fs::rename(&new, path).expect("rename");
        };
        let place = Place { call: "setgroups".to_owned(), number: 1 };
        let held = || world.held(ALICE, &place, &create(&pid, "lxcbr0")).expect("held");

        link(policy, "/etc/generation-1/lxc-usernet");
        link("/etc/nsgate.ini", "generation-1/nsgate.ini");
        drop(held().go_on().nic());
        undo(world, container, &before);
        for (path, name) in [(policy, "lxc-usernet"), ("/etc/nsgate.ini", "nsgate.ini")] {
            let helper = held();
            link(path, &format!("/etc/generation-2/{name}"));
            helper.go_on().refuses("policy has been changed just now; call again");
            link(path, &format!("/etc/generation-1/{name}"));
        }
        // A directory on the way.
        fs::remove_file(policy).expect("remove");
        fs::rename("/etc/generation-1/lxc-usernet", policy).expect("rename");
        let helper = held();
        fs::rename("/etc/lxc", "/etc/lxc.old").expect("rename");
        fs::rename("/etc/generation-2", "/etc/lxc").expect("rename");
        helper.go_on().refuses("policy has been changed just now; call again");
        assert_eq!((world.state(), container.names()), (before, vec![]));
    });
}
