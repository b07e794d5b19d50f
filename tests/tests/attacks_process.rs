//! Section A of the attack list: what a hostile caller can do to the process that a helper starts in (arguments,
//! environment, descriptors, limits, signals) and to the process while it runs.
//!
//! A16 is about files that these helpers do not write, so only its signal matters here.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use world::{ALICE, Answer, BOB, CAROL, Install, ROOT, Target, UNKNOWN_TO_STRACE, User, World, theirs};

#[derive(Clone, Copy, Debug)]
struct Helper {
    name: &'static str,
    /// What it calls an id.
    word: &'static str,
}

const HELPERS: [Helper; 2] =
    [Helper { name: "newuidmap", word: "uid" }, Helper { name: "newgidmap", word: "gid" }];

impl Helper {
    fn path(self) -> String {
        format!("/usr/bin/{}", self.name)
    }

    fn map(self, target: &Target) -> String {
        if self.word == "uid" { target.uid_map() } else { target.gid_map() }
    }

    /// What it says to `STRANGE`.
    fn refusal(self) -> String {
        format!("{} range [0-10) -> [700000-700010) not allowed", self.word)
    }
}

/// Alice's.
const GRANTED: [&str; 3] = ["0", "600000", "10"];
/// Bob's.
const STRANGE: [&str; 3] = ["0", "700000", "10"];
/// What only a new call can tell.
const CALL_AGAIN: &str = "policy has been changed just now; call again";
/// `GRANTED`, written.
const MAP: &str = "0 600000 10";

/// In these circumstances, made by Alice's `command`, both helpers do what they always do.
#[track_caller]
fn unaffected(world: &World, command: impl Fn(&str) -> Command) {
    for helper in HELPERS {
        let target = world.target(ALICE);
        let mut strange = command(&helper.path());
        println!("{strange:?}");
        world.run(strange.arg(target.pid()).args(STRANGE)).refuses(&helper.refusal());
        target.assert_untouched();
        world.run(command(&helper.path()).arg(target.pid()).args(GRANTED)).succeeds();
        assert_eq!((helper.map(&target), &*target.setgroups()), (MAP.to_owned(), "allow"));
    }
}

/// Alice's shell does this before it becomes `program`.
fn shell(world: &World, before: &str, program: &str) -> Command {
    let mut command = world.command(ALICE, "/bin/sh");
    command.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), program]);
    command
}

/// A01. Differs: our messages begin with the program's own name; those of 4.13 with whatever it was called.
#[test]
fn no_argument_at_all_is_a_usage_error() {
    World::enter(|world| {
        let target = world.target(ALICE);
        let pid = format!("rawenv:{}", target.pid());
        for (helper, program) in programs() {
            // What lies behind the arguments is the environment, and it is no argument.
            let oddities = ["argc0", &pid, "rawenv:0", "rawenv:600000", "rawenv:10"];
            let answer = world.run(&mut world.launch(ALICE, &oddities, &program));
            let usage = format!("{0}: no target given; usage: {0} [", helper.name);
            answer.refuses(if theirs() { "usage: " } else { &usage });
        }
        target.assert_untouched();
    });
}

/// A01. Differs: the same, for names that are there and lie.
#[test]
fn the_program_name_is_a_constant() {
    World::enter(|world| {
        let long = "A".repeat(100_000);
        for (helper, program) in programs() {
            for name in ["", "%s%n", "\u{1b}[2J", "a\nb", "/etc/passwd", "sudo", &long] {
                let target = world.target(ALICE);
                let call = |triple| {
                    let mut command = world.command(ALICE, &program);
                    world.run(command.arg0(name).arg(target.pid()).args(triple))
                };
                call(STRANGE).refuses(&if theirs() {
                    helper.refusal()
                } else {
                    format!("{}: {}", helper.name, helper.refusal())
                });
                call(GRANTED).succeeds();
                assert_eq!(helper.map(&target), MAP);
            }
        }
    });
}

/// A03: bytes that are no text, in every place.
#[test]
fn arguments_that_are_no_text_are_refused_like_any_other() {
    World::enter(|world| {
        let target = world.target(ALICE);
        for (_, program) in programs() {
            for bytes in [
                &b"\xff"[..],
                b"\xc0\x80",
                b"\xed\xa0\x80",
                b"\xf0\x9f\x92",
                b"1\xff",
                b"\x80\x81\x82\x83",
                b"fd:\xff",
            ] {
                for place in 0..4 {
                    let mut args = vec![OsString::from(target.pid())];
                    args.extend(GRANTED.map(OsString::from));
                    args[place] = OsStr::from_bytes(bytes).to_os_string();
                    let mut command = world.command(ALICE, &program);
                    let answer = world.run(command.arg0(OsStr::from_bytes(bytes)).args(&args));
                    let shown = bytes.escape_ascii();
                    let reason = match place {
                        0 => format!("target \"{shown}\" is neither a pid nor fd:N"),
                        _ => format!("\"{shown}\" in \""),
                    };
                    answer.refuses(if theirs() { "usage: " } else { &reason });
                }
            }
        }
        target.assert_untouched();
    });
}

/// A04. Differs: more triples than the kernel takes are refused before one is looked at; C stores them all and asks
/// the kernel.
#[test]
fn a_command_line_of_megabytes_is_refused_in_little_memory() {
    World::enter(|world| {
        let target = world.target(ALICE);
        for (helper, program) in programs() {
            // 300 000 words, as many as fit; each may cost no more than its copy does (24 bytes and 32 of the heap).
            let oddities: &[&str] = &["repeat:100000", "rlimit:STACK=inf", "rlimit:DATA=25000000"];
            let mut command = world.launch(ALICE, oddities, &program);
            let answer = world.run(command.arg(target.pid()).args(["0", "600000", "1"]));
            if theirs() {
                answer.refuses(&format!("write to {}_map failed: Invalid argument", helper.word));
            } else {
                answer.refuses("100000 ranges; the kernel takes at most 340; usage: ");
            }
        }
        target.assert_untouched();
    });
}

/// A05: environments that no shell makes.
#[test]
fn an_odd_environment_changes_nothing() {
    World::enter(|world| {
        for oddities in [
            &["noenv"][..],
            &["rawenv:NOT_AN_ASSIGNMENT", "rawenv:=", "rawenv:=x", "rawenv:"],
            &["rawenv:PATH=/home/alice", "rawenv:PATH=", "rawenv:PATH"],
        ] {
            unaffected(world, |path| world.launch(ALICE, oddities, path));
        }
        // The kernel's limit on one is 128 KiB.
        let large = "x".repeat(130_000);
        unaffected(world, |path| {
            let mut command = world.command(ALICE, path);
            command.envs((0..8).map(|number| (format!("LARGE{number}"), &large)));
            command
        });
    });
}

/// Both helpers, and the twins that ours hand over to, which are set-id programs too.
fn programs() -> Vec<(Helper, String)> {
    let twin = |helper: Helper| (helper, format!("/usr/libexec/nsgate/{}-nss", helper.name));
    let twins = if theirs() { None } else { Some(HELPERS.map(twin)) };
    HELPERS.into_iter().map(|helper| (helper, helper.path())).chain(twins.into_iter().flatten()).collect()
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

/// A06: no variable makes a helper open, load or look for anything.
#[test]
fn nothing_is_opened_because_of_the_environment() {
    const EVIL: &str = "/home/alice/evil";
    World::enter(|world| {
        let target = world.target(ALICE);
        let (pid, huge) = (target.pid(), "x".repeat(100_000));
        let tunables = format!("glibc.malloc.mxfast=glibc.malloc.mxfast={huge}");
        let mut environment: Vec<String> = [
            "LD_PRELOAD",
            "LD_AUDIT",
            "LD_LIBRARY_PATH",
            "LD_DEBUG_OUTPUT",
            "LD_PROFILE_OUTPUT",
            "LD_ORIGIN_PATH",
            "GCONV_PATH",
            "GETCONF_DIR",
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
            "LXC_USERNIC_PATH",
            "NIS_PATH",
            "LIBRARY_PATH",
            "OPENSSL_CONF",
            "SYSTEMD_NSS_BYPASS",
            "XDG_CONFIG_HOME",
            "ICONV_PATH",
        ]
        .map(|name| format!("{name}={EVIL}"))
        .into();
        environment.extend(
            [
                "LD_DEBUG=all",
                "LD_BIND_NOW=1",
                "LD_SHOW_AUXV=1",
                "LD_USE_LOAD_BIAS=1",
                "LD_WARN=1",
                "MALLOC_CHECK_=3",
                "MALLOC_PERTURB_=85",
                "MALLOC_ARENA_MAX=-1",
                "MALLOC_TOP_PAD_=18446744073709551615",
                "RES_OPTIONS=debug",
                "LANG=../../home/alice/evil",
                "LC_ALL=tr_TR",
                "POSIXLY_CORRECT=1",
                "PATH=/home/alice",
                "IFS=/",
                "UID=0",
                "USER=bob",
                "LOGNAME=bob",
            ]
            .map(str::to_owned),
        );
        environment.push(format!("GLIBC_TUNABLES={tunables}"));
        let options: Vec<&str> = environment.iter().flat_map(|variable| ["-E", variable]).collect();

        for (helper, program) in programs() {
            let request = [&*program, &pid, STRANGE[0], STRANGE[1], STRANGE[2]];
            let (answer, calls) = traced(world, "%file,%network", &[], &program, &request);
            let mut options = options.clone();
            if !theirs() && program == helper.path() {
                // The C library's own linker still obeys these two in a set-id program: it ends, or opens a file in
                // /var/profile. A static program has none.
                options.extend(["-E", "LD_TRACE_LOADED_OBJECTS=1", "-E", "LD_PROFILE=libc.so.6"]);
            }
            let (answer_then, calls_then) = traced(world, "%file,%network", &options, &program, &request);
            answer.refuses(&helper.refusal());
            assert_eq!(answer, answer_then);
            // The calls and the names in them, without numbers that change from run to run.
            let names = |calls: &[String]| -> Vec<String> {
                let steady = calls.iter().filter(|call| !call.starts_with("sendto("));
                steady
                    .map(|call| call.rsplit_once('"').map_or(&**call, |(names, _)| names).to_owned())
                    .collect()
            };
            assert!(names(&calls).iter().any(|call| call.contains("subuid") || call.contains("subgid")));
            assert_eq!(names(&calls), names(&calls_then));
        }
        target.assert_untouched();

        // So that this can fail: a program without privilege does look.
        let (_, calls) = traced(world, "%file", &options, "/usr/bin/id", &["/usr/bin/id"]);
        assert!(calls.iter().any(|call| call.contains(EVIL)), "{calls:?}");
    });
}

/// A07: nothing of Rust's own variables, not even where there is an error to be shown.
#[test]
fn rust_variables_change_nothing_and_no_debug_information_is_read() {
    World::enter(|world| {
        let target = world.target(ALICE);
        let pid = target.pid();
        for (_, program) in programs() {
            for args in [&["no-number"][..], &[&pid, "0", "700000", "10"], &["fd:99", "0", "600000", "1"]] {
                let mut command = vec![&*program];
                command.extend(args);
                let (plain, _) = traced(world, "%file", &[], &program, &command);
                for stack in ["RUST_MIN_STACK=1", "RUST_MIN_STACK=99999999999999", "RUST_MIN_STACK=x"] {
                    let variables = ["RUST_BACKTRACE=full", "RUST_LIB_BACKTRACE=1", "RUST_LOG=trace", stack];
                    let options = variables.map(|variable| ["-E", variable]).concat();
                    let (answer, calls) = traced(world, "%file", &options, &program, &command);
                    assert_eq!((answer.status, &answer), (Some(1), &plain));
                    let forbidden = ["/maps\"", ".dwp\"", ".debug\"", "/usr/lib/debug", "debuginfo"];
                    let read = calls.iter().find(|call| forbidden.iter().any(|name| call.contains(name)));
                    assert_eq!(read, None);
                }
            }
        }
        target.assert_untouched();
    });
}

/// A09: standard descriptors that were closed are not given to a file that matters, and no message goes elsewhere.
#[test]
fn closed_standard_descriptors_are_not_reused() {
    World::enter(|world| {
        for helper in HELPERS {
            for closed in 0_u8..8 {
                let is_closed = |number: u8| closed & (1 << number) != 0;
                let redirections: String = (0..3)
                    .filter(|number| is_closed(*number))
                    .map(|number| format!(" {number}<&-"))
                    .collect();
                let before = format!("exec{redirections}; exec \"$0\" \"$@\"");
                let target = world.target(ALICE);
                for (triple, status) in [(STRANGE, 1), (GRANTED, 0)] {
                    let (path, pid) = (helper.path(), target.pid());
                    let command = ["/bin/sh", "-c", &before, &path, &pid, triple[0], triple[1], triple[2]];
                    let classes = "open,openat,openat2,socket,dup,dup2,dup3,fcntl";
                    let (answer, calls) = traced(world, classes, &[], &path, &command);
                    assert_eq!((answer.status, &*answer.stdout), (Some(status), ""), "{answer:?}");
                    if status == 1 && !is_closed(2) {
                        answer.refuses(&helper.refusal());
                    } else {
                        assert_eq!(answer.stderr, "");
                    }
                    assert_eq!(helper.map(&target), if status == 0 { MAP } else { "" });
                    for call in
                        calls.iter().filter(|call| !call.contains("F_GETFD") && !call.contains("F_SETFD"))
                    {
                        let opened = call.rsplit_once(" = ").map_or("", |(_, result)| result);
                        if ["0", "1", "2"].contains(&opened) {
                            assert!(
                                call.contains("\"/dev/null\"") || call.contains("\"/dev/full\""),
                                "{call}"
                            );
                        }
                    }
                    assert!(calls.iter().any(|call| call.starts_with("openat(")), "{calls:?}");
                }
            }
        }
    });
}

/// A10: a message written where the caller has put the target's own files does nothing to them.
#[test]
fn a_message_into_the_targets_files_changes_nothing() {
    World::enter(|world| {
        for helper in HELPERS {
            for file in ["uid_map", "gid_map", "setgroups"] {
                let target = world.target(ALICE);
                let onto = |streams: &str| {
                    let file = format!("/proc/{}/{file}", target.pid());
                    shell(world, &format!("exec {}", streams.replace("FILE", &file)), &helper.path())
                };
                for streams in ["2>FILE", "2>FILE 1>&2", "2<>FILE", "2>>FILE"] {
                    let answer = world.run(onto(streams).arg(target.pid()).args(STRANGE));
                    assert_eq!((answer.status, &*answer.stderr), (Some(1), ""), "{streams} {file}");
                    target.assert_untouched();
                }
                // What goes to standard output, where anything does.
                for option in ["--help", "--version"] {
                    let answer = world.run(onto("1>FILE").arg(option));
                    assert_eq!((answer.status, &*answer.stdout), (Some(1), ""), "{option} {answer:?}");
                    target.assert_untouched();
                }
                let answer = world.run(onto("1>FILE 2>&1").arg(target.pid()).args(GRANTED));
                answer.succeeds();
                let other = if helper.word == "uid" { target.gid_map() } else { target.uid_map() };
                assert_eq!(
                    (helper.map(&target), other, target.setgroups()),
                    (MAP.to_owned(), String::new(), "allow".to_owned())
                );
            }
        }
    });
}

/// A10: what `--help` says goes where the caller wants, and so does what is wrong with his words; so by then every privilege is gone.
#[test]
fn words_are_written_without_privilege() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let place = Place { call: "write".to_owned(), number: 1 };
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for helper in HELPERS {
                for (option, status) in [("--help", 0), ("--version", 0), ("--halp", 1)] {
                    let held = Held::at(world, &place, &helper.path(), &[option]);
                    assert_eq!(held.status("Uid:"), "52001\t52001\t52001\t52001");
                    assert_eq!(held.status("Gid:"), "52001\t52001\t52001\t52001");
                    for set in ["CapPrm:", "CapEff:", "CapInh:", "CapAmb:"] {
                        assert_eq!(held.status(set), "0000000000000000", "{set}");
                    }
                    held.signal(world, &["CONT"]);
                    assert_eq!(held.end().0.code(), Some(status));
                }
            }
        }
    });
}

/// A12: a full disk behind the standard descriptors is nobody's business but the message's.
#[test]
fn a_full_device_takes_the_message_and_nothing_else() {
    World::enter(|world| {
        for helper in HELPERS {
            let target = world.target(ALICE);
            let full = |streams: &str| shell(world, &format!("exec {streams}"), &helper.path());
            let answer = world.run(full(">/dev/full").arg(target.pid()).args(STRANGE));
            answer.refuses(&helper.refusal());
            let answer = world.run(full(">/dev/full 2>&1").arg(target.pid()).args(STRANGE));
            assert_eq!((answer.status, &*answer.stderr), (Some(1), ""));
            for option in ["--help", "--version"] {
                let answer = world.run(full(">/dev/full").arg(option));
                assert_eq!((answer.status, &*answer.stdout), (Some(1), ""), "{answer:?}");
            }
            target.assert_untouched();
            world.run(full(">/dev/full 2>&1").arg(target.pid()).args(GRANTED)).succeeds();
            assert_eq!(helper.map(&target), MAP);
        }
    });
}

/// A13. Differs: a reader that has gone away costs the message and nothing else; C dies of SIGPIPE.
#[test]
fn a_reader_that_has_gone_away_costs_the_message_and_nothing_else() {
    World::enter(|world| {
        for helper in HELPERS {
            for sigpipe in ["noenv", "ignore:SIGPIPE", "block:SIGPIPE"] {
                let target = world.target(ALICE);
                let gone = |args: &[&str]| {
                    let mut command = world.launch(ALICE, &["pipe:1", "pipe:2", sigpipe], &helper.path());
                    world.run(command.args(args))
                };
                let pid = target.pid();
                for args in [&[&*pid, "0", "700000", "10"][..], &["--help"], &[]] {
                    let answer = gone(args);
                    let dies = theirs() && sigpipe == "noenv";
                    let expected = if dies { (None, Some(13)) } else { (Some(1), None) };
                    assert_eq!((answer.status, answer.signal), expected, "{sigpipe} {args:?}");
                }
                target.assert_untouched();
                gone(&[&pid, "0", "600000", "10"]).succeeds();
                assert_eq!(helper.map(&target), MAP);
            }
        }
    });
}

/// A15: nor do the twins do half a job. What the dynamic linker says when it cannot open a library is not ours.
#[test]
fn too_few_descriptors_for_a_twin_leave_nothing_half_done() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        for (helper, program) in programs().into_iter().filter(|(helper, program)| *program != helper.path())
        {
            for (user, triple, map) in [(ALICE, GRANTED, MAP), (CAROL, ["0", "52003", "1"], "0 52003 1")] {
                let setgroups_after = if user == CAROL && helper.word == "gid" { "deny" } else { "allow" };
                let (mut worked, mut refused) = (Vec::new(), 0);
                for limit in 0..=16 {
                    let target = world.target(user);
                    let mut command = world.command(user, "/bin/sh");
                    command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\""), &program]);
                    let answer = world.run(command.arg(target.pid()).args(triple));
                    if answer.status == Some(0) {
                        answer.succeeds();
                        assert_eq!((&*helper.map(&target), &*target.setgroups()), (map, setgroups_after));
                        worked.push(limit);
                        continue;
                    }
                    target.assert_untouched();
                    if answer.status == Some(1) {
                        answer.refuses("Too many open files");
                        refused += 1;
                    } else {
                        assert!(limit < 5, "{limit}: {answer:?}");
                    }
                }
                let least = worked.first().copied().expect("16 descriptors are enough");
                assert_eq!(worked, (least..=16).collect::<Vec<_>>(), "more descriptors must not be worse");
                assert!(refused > 0, "the test cannot fail");
            }
        }
    });
}

/// A15: too few descriptors, at every step: all or nothing, and said so.
#[test]
fn too_few_descriptors_are_a_refusal_with_nothing_half_done() {
    World::enter(|world| {
        for helper in HELPERS {
            for (user, triple, map) in [(ALICE, GRANTED, MAP), (CAROL, ["0", "52003", "1"], "0 52003 1")] {
                let setgroups_after = if user == CAROL && helper.word == "gid" { "deny" } else { "allow" };
                let mut worked = Vec::new();
                for limit in 0..=12 {
                    let target = world.target(user);
                    let mut command = world.command(user, "/bin/sh");
                    command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\""), &helper.path()]);
                    let answer = world.run(command.arg(target.pid()).args(triple));
                    if answer.status == Some(0) {
                        answer.succeeds();
                        assert_eq!((&*helper.map(&target), &*target.setgroups()), (map, setgroups_after));
                        worked.push(limit);
                        continue;
                    }
                    target.assert_untouched();
                    if theirs() {
                        continue; // the dynamic linker has its own words for it
                    }
                    if limit < 3 && answer.signal.is_some() {
                        // Not ours to refuse: musl ends a set-id program that it cannot assure of descriptors 0 to 2
                        // before main.
                        assert_eq!((answer.signal, &*answer.stderr), (Some(11), ""), "{answer:?}");
                        continue;
                    }
                    answer.refuses(if limit < 3 { "Invalid argument" } else { "Too many open files" });
                }
                let least = worked.first().copied().expect("12 descriptors are enough");
                assert_eq!(worked, (least..=12).collect::<Vec<_>>(), "more descriptors must not be worse");
                assert!(least > 3, "the test cannot fail");
            }
        }
    });
}

/// A16. Differs: a message that may not grow its file is lost and the answer stays a refusal; C dies of SIGXFSZ. A
/// map is no file in that sense.
#[test]
fn a_file_size_limit_costs_at_most_the_message() {
    World::enter(|world| {
        for trap in ["", "trap '' XFSZ; "] {
            unaffected(world, |path| shell(world, &format!("{trap}ulimit -f 0"), path));
            for helper in HELPERS {
                let target = world.target(ALICE);
                let before = format!("{trap}exec 2>/home/alice/message; ulimit -f 0");
                let answer = world.run(shell(world, &before, &helper.path()).arg(target.pid()).args(STRANGE));
                let dies = theirs() && trap.is_empty();
                let expected = if dies { (None, Some(25)) } else { (Some(1), None) };
                assert_eq!((answer.status, answer.signal), expected, "{trap:?} {helper:?} {answer:?}");
                assert_eq!(fs::metadata("/home/alice/message").expect("message").len(), 0);
                target.assert_untouched();
            }
        }
    });
}

/// A18: limits that hurt others.
#[test]
fn resource_limits_change_nothing() {
    World::enter(|world| {
        for limits in [
            &["--nproc=0"][..],
            &["--cpu=1"],
            &["--sigpending=0"],
            &["--memlock=0"],
            &["--core=0", "--locks=0", "--msgqueue=0", "--nice=0", "--rtprio=0", "--rttime=0", "--rss=0"],
            &["--nproc=0", "--cpu=1", "--sigpending=0", "--memlock=0", "--stack=200000:200000"],
        ] {
            unaffected(world, |path| {
                let mut command = world.command(ALICE, "/usr/bin/prlimit");
                command.args(limits).arg(path);
                command
            });
        }
    });
}

/// A18: the hand-over to the twin is an exec by somebody who is over his number of processes, and the twin needs one more.
#[test]
fn a_process_limit_at_the_hand_over_is_a_clean_refusal() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        world.write("/etc/nsswitch.conf", "passwd: systemd files\n");
        let target = world.target(ALICE);
        for helper in HELPERS {
            let mut command = world.command(ALICE, "/usr/bin/prlimit");
            let answer = world.run(command.args(["--nproc=0", &helper.path(), &target.pid()]).args(GRANTED));
            if answer.status == Some(0) {
                answer.succeeds();
                assert_eq!(helper.map(&target), MAP);
            } else {
                let exec = answer.stderr.contains("cannot be run: ");
                answer.refuses(if exec { ": Try again" } else { "(RLIMIT_NPROC): Try again" });
                target.assert_untouched();
            }
        }
    });
}

/// A place in a helper's run: the first, second... call of a system call.
#[derive(Clone, Debug)]
struct Place {
    call: String,
    number: usize,
}

impl Place {
    /// The option of strace that sends the signal there.
    fn inject(&self, signal: &str) -> String {
        format!("inject={}:signal={signal}:when={}", self.call, self.number)
    }
}

/// So many places of a helper's run for this request, evenly spread. The first is its first system call, the
/// last is the one before its exit.
fn places(world: &World, count: usize, user: User, path: &str, args: &[&str]) -> Vec<Place> {
    let mut command = world.strace(user, &["-qq", "-o", "/run/trace", "-e", "signal=none"], path);
    world.run(command.args(args));
    let trace = fs::read_to_string("/run/trace").expect("trace");
    let calls = trace.lines().filter_map(|line| Some(line.split_once('(')?.0));
    let calls: Vec<&str> = calls.filter(|call| *call != UNKNOWN_TO_STRACE).collect();
    assert_eq!((calls.first(), calls.last()), (Some(&"execve"), Some(&"exit_group")), "{trace}");
    let nth = |index: usize| {
        let number = calls[..=index].iter().filter(|call| **call == calls[index]).count();
        Place { call: calls[index].to_owned(), number }
    };
    // The exec itself is strace's, which does not count it.
    let last = calls.len() - 2;
    (0..count).map(|number| nth(1 + number * (last - 1) / (count - 1))).collect()
}

/// A helper of Alice's that stands still in the middle of its work: stopped, and traced by nobody.
struct Held(Child);

impl Held {
    fn at(world: &World, place: &Place, path: &str, args: &[&str]) -> Self {
        // Root's, as its hard limit may have been lowered.
        let mut command = world.command(ROOT, "/usr/bin/prlimit");
        command.args([
            "--core=unlimited:unlimited",
            "/usr/bin/env",
            "--default-signal",
            "/usr/bin/strace",
            "-D",
            "-o",
            "/run/held",
        ]);
        command.args(["-e", &place.inject("STOP"), "-u", ALICE.name, path]).args(args);
        command.current_dir("/home/alice").stdout(Stdio::null()).stderr(Stdio::piped());
        drop(fs::remove_file("/run/held"));
        // -D: the helper is our child, and its tracer a stranger.
        let mut held = Self(command.spawn().expect("start strace"));
        held.wait_until(|_| {
            fs::read_to_string("/run/held").is_ok_and(|trace| trace.contains("--- stopped by SIGSTOP ---"))
        });
        // A tracee that is stopped when its tracer dies stays stopped.
        let tracer = held.status("TracerPid:").parse().expect("a pid");
        let tracer = nix::unistd::Pid::from_raw(tracer);
        nix::sys::signal::kill(tracer, nix::sys::signal::Signal::SIGKILL).expect("end the tracer");
        held.wait_until(|held| held.status("TracerPid:") == "0" && held.status("State:").starts_with('T'));
        let program = fs::read_link(format!("/proc/{}/exe", held.pid())).expect("exe");
        assert_eq!(program.file_name(), std::path::Path::new(path).file_name());
        held
    }

    /// A helper that has read policy and put its capability into effect, for this triple.
    fn with_its_capability(world: &World, helper: Helper, target: &Target, triple: [&str; 3]) -> Self {
        let place = Place { call: "capset".to_owned(), number: 2 };
        Self::at(world, &place, &helper.path(), &[&target.pid(), triple[0], triple[1], triple[2]])
    }

    /// Goes on to its end. It maps `GRANTED`, or refuses with these words and has changed nothing.
    #[track_caller]
    fn goes_on(self, world: &World, helper: Helper, target: &Target, expected: Result<(), &str>) {
        self.signal(world, &["CONT"]);
        let (status, said) = self.end();
        println!("{}: {status} {said}", helper.name);
        match expected {
            Ok(()) => {
                assert_eq!((status.code(), &*said, &*helper.map(target)), (Some(0), "", MAP));
            }
            Err(words) => {
                assert_eq!(status.code(), Some(1), "{said}");
                assert!(said.contains(words) && said.lines().count() == 1, "{words:?} is not in {said}");
                target.assert_untouched();
            }
        }
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    #[track_caller]
    fn wait_until(&mut self, there: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !there(self) {
            let ended = self.0.try_wait().expect("wait");
            assert!(
                ended.is_none() && start.elapsed() < Duration::from_secs(10),
                "not getting there: {ended:?}"
            );
            std::thread::sleep(Duration::from_micros(300));
        }
    }

    /// A line of its `/proc/PID/status`.
    fn status(&self, key: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("status");
        status.lines().find_map(|line| line.strip_prefix(key)).expect("a line of it").trim().to_owned()
    }

    /// Is this file among those that it has open?
    fn has_open(&self, path: &str) -> bool {
        let mut open = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("fd");
        open.any(|file| {
            fs::read_link(file.expect("an entry").path()).is_ok_and(|link| link == std::path::Path::new(path))
        })
    }

    /// The caller sends it these signals, which he may.
    fn signal(&self, world: &World, signals: &[&str]) {
        let kill = signals.iter().map(|signal| format!("kill -{signal} {}", self.pid()));
        let mut command = world.command(ALICE, "/bin/sh");
        world.run(command.args(["-c", &kill.collect::<Vec<_>>().join(" && ")])).succeeds();
    }

    fn end(self) -> (ExitStatus, String) {
        let output = self.0.wait_with_output().expect("wait");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }
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

def reading(name):
    def action():
        fd = os.open(proc + name, os.O_RDONLY)
        try:
            os.read(fd, 1)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EINVAL):  # a read that makes no sense: it is open all the same
                raise
        finally:
            os.close(fd)
    return action

class iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

def peek(call, address):
    buffer = ctypes.create_string_buffer(8)
    here, there = iovec(ctypes.addressof(buffer), 8), iovec(address, 8)
    return call(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)

def stack():
    for line in open(proc + "maps"):
        if "[stack]" in line:
            return int(line.split("-")[0], 16)

def traced(request):
    if libc.ptrace(request, pid, None, None) == -1:
        return -1
    if request == 16:
        os.waitpid(pid, 0x40000000)
    else:
        libc.ptrace(0x4207, pid, None, None)
        os.waitpid(pid, 0x40000000)
    return libc.ptrace(17, pid, None, None)

for name in ["mem", "environ", "maps", "smaps", "auxv", "syscall", "personality", "pagemap", "io", "numa_maps"]:
    attempt(name, reading(name))
for name in ["fd", "fdinfo", "map_files"]:
    attempt(name, lambda: os.listdir(proc + name) and None)
for name in ["cwd", "root", "exe", "ns/user"]:
    attempt(name, lambda: os.readlink(proc + name) and None)
for name in ["mem", "clear_refs", "coredump_filter", "oom_score_adj"]:
    attempt("write " + name, lambda: os.close(os.open(proc + name, os.O_WRONLY)))
try:
    address = stack()
except OSError:
    address = 0x10000
attempt("process_vm_readv", lambda: peek(libc.process_vm_readv, address))
attempt("process_vm_writev", lambda: peek(libc.process_vm_writev, address))
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

/// A19, A20: from its first moment to its last the caller can neither look into a helper nor trace it.
#[test]
fn the_caller_cannot_look_into_a_helper_at_any_point() {
    World::enter(|world| {
        let own = world.plain_process(ALICE);
        let result = probe(world, &own.pid());
        assert!(result.lines().count() == 26 && result.lines().all(|line| line.ends_with(" ok")), "{result}");

        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for (_, program) in programs() {
                let target = world.target(ALICE);
                let args = [&*target.pid(), STRANGE[0], STRANGE[1], STRANGE[2]];
                for place in places(world, 6, ALICE, &program, &args) {
                    let held = Held::at(world, &place, &program, &args);
                    let result = probe(world, &held.pid());
                    assert_eq!(result.lines().count(), 26, "{result}");
                    for line in result.lines() {
                        assert!(
                            line.ends_with(" EPERM") || line.ends_with(" EACCES"),
                            "{how:?} {place:?}: {line}"
                        );
                    }
                    held.signal(world, &["KILL"]);
                    assert_eq!(held.end().0.signal(), Some(9));
                }
                target.assert_untouched();
            }
        }
    });
}

/// A20: also where the kernel hides no set-id program (`fs.suid_dumpable`).
#[test]
fn a_helper_hides_itself_before_all_else_and_after_each_change_of_its_user() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for helper in HELPERS {
                let target = world.target(ALICE);
                let mut strace = world.strace(ALICE, &["-qq", "-o", "/run/trace"], &helper.path());
                world.run(strace.arg(target.pid()).args(GRANTED)).succeeds();
                world.assert_hides_itself(&fs::read_to_string("/run/trace").expect("trace"));
            }
        }
    });
}

/// A20, G01: what it could do if something went wrong in it: from its first steps on no more than to map ids, and nothing
/// of that before it has decided. Ours alone: Debian's, set-user-ID root, read policy with every capability in effect.
#[test]
fn a_helper_holds_one_capability_and_has_it_in_effect_for_the_deed_alone() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for (helper, capability) in [(HELPERS[0], 1_u64 << 7), (HELPERS[1], 1 << 6)] {
                // For host id 0, which is in no request here.
                let set_file_capabilities = if helper.word == "uid" { 1_u64 << 31 } else { 0 };
                let (mut idle, mut at_work) = (0, 0);
                let mut target = world.target(ALICE);
                let args =
                    |target: &Target| [&*target.pid(), GRANTED[0], GRANTED[1], GRANTED[2]].map(str::to_owned);
                let in_all = args(&target);
                let in_all = in_all.each_ref().map(|word| &**word);
                for place in places(world, 16, ALICE, &helper.path(), &in_all) {
                    target = world.target(ALICE);
                    let args = args(&target);
                    let held = Held::at(world, &place, &helper.path(), &args.each_ref().map(|word| &**word));
                    let set = |key| u64::from_str_radix(&held.status(key), 16).expect("a set");
                    let (permitted, effective) = (set("CapPrm:"), set("CapEff:"));
                    let trace = fs::read_to_string("/run/held").expect("trace");
                    // The first step gives up what is not needed, the second puts into effect what is.
                    match trace.matches("capset(").count() {
                        0 => {}
                        1 => {
                            let held_back = permitted & !set_file_capabilities;
                            assert_eq!((held_back, effective), (capability, 0), "{how:?} {place:?}");
                            idle += 1;
                        }
                        _ => {
                            assert_eq!((permitted, effective), (capability, capability), "{how:?} {place:?}");
                            at_work += 1;
                        }
                    }
                    assert_eq!((set("CapInh:"), set("CapAmb:")), (0, 0), "{how:?} {place:?}");
                    held.signal(world, &["KILL"]);
                    assert_eq!(held.end().0.signal(), Some(9));
                }
                assert!(idle > 3 && at_work > 0, "{idle} idle, {at_work} at work");
            }
        }
    });
}

/// A19: a signal that means a crash leaves no core file, whatever the limit says, and nothing half done.
#[test]
fn a_crash_leaves_no_core_file() {
    World::enter(|world| {
        // So that this can fail: a program without privilege does leave one.
        let mut crash = world.command(ROOT, "/usr/bin/prlimit");
        crash.args(["--core=unlimited:unlimited", "/usr/bin/setpriv", "--reuid=52001", "--regid=52001"]);
        crash.args(["--clear-groups", "/bin/sh", "-c", "kill -SEGV $$"]).current_dir("/home/alice");
        let status = crash.status().expect("start");
        assert!(status.core_dumped(), "core files do not work here: {status}");
        let litter = || fs::read_dir("/home/alice").expect("home").count();
        let before = litter();

        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            for (helper, program) in programs() {
                let mut target = world.target(ALICE);
                let args = [&*target.pid(), GRANTED[0], GRANTED[1], GRANTED[2]];
                let signals = ["SEGV", "ABRT", "QUIT", "BUS", "ILL", "FPE", "SYS", "TRAP", "XCPU"];
                let places = places(world, signals.len(), ALICE, &program, &args);
                for (place, signal) in places.iter().zip(signals) {
                    if !helper.map(&target).is_empty() {
                        target = world.target(ALICE);
                    }
                    let args = [&*target.pid(), GRANTED[0], GRANTED[1], GRANTED[2]];
                    let held = Held::at(world, place, &program, &args);
                    held.signal(world, &[signal, "CONT"]);
                    let (status, said) = held.end();
                    assert!(
                        status.signal().is_some() && !status.core_dumped(),
                        "{signal} at {place:?}: {status}"
                    );
                    assert_eq!(said, "");
                    assert!(["", MAP].contains(&&*helper.map(&target)));
                }
            }
        }
        assert_eq!(litter(), before, "a core file");
    });
}

/// What a newgidmap that was cut short may leave: nothing, setgroups denied, or that and the map.
fn assert_whole_or_nothing(helper: Helper, target: &Target, map: &str) {
    let state = (helper.map(target), target.setgroups());
    let state = (&*state.0, &*state.1);
    let whole = if helper.word == "gid" { "deny" } else { "allow" };
    assert!([("", "allow"), ("", whole), (map, whole)].contains(&state), "{helper:?} left {state:?}");
}

/// A21: death at any point, or a request to stop, leaves a whole map or none, and the next run finishes the job.
#[test]
fn a_helper_that_is_killed_leaves_a_whole_map_or_none() {
    World::enter(|world| {
        for (helper, path) in programs() {
            // Nothing but her own id: newgidmap has two things to write.
            let (triple, map) = (["0", "52003", "1"], "0 52003 1");
            let traced = world.target(CAROL);
            let places = places(world, 50, CAROL, &path, &[&*traced.pid(), "0", "52003", "1"]);
            let mut target = world.target(CAROL);
            let signals = ["KILL", "TERM", "ALRM", "HUP", "INT", "KILL", "VTALRM", "PROF", "USR1", "IO"];
            for (number, (place, signal)) in places.iter().zip(signals.iter().cycle()).enumerate() {
                let inject = place.inject(signal);
                let mut command = world.strace(CAROL, &["-qq", "-o", "/dev/null", "-e", &inject], &path);
                let answer = world.run(command.arg(target.pid()).args(triple));
                // To a twin, that one is the end of its patience with a name service, whoever sent it; or nothing any more.
                if answer.signal.is_some() {
                    assert_eq!(answer.stderr, "");
                } else {
                    assert!(*signal == "ALRM" && path != helper.path(), "{signal} at {place:?}: {answer:?}");
                    let given_up = answer.stderr.contains("did not answer in 25 seconds");
                    assert_eq!(given_up, helper.map(&target).is_empty(), "{signal} at {place:?}: {answer:?}");
                }
                assert_whole_or_nothing(helper, &target, map);
                if helper.map(&target).is_empty() && number % 5 == 0 {
                    world.run(world.command(CAROL, &path).arg(target.pid()).args(triple)).succeeds();
                    assert_eq!(helper.map(&target), map);
                    assert_whole_or_nothing(helper, &target, map);
                }
                if helper.map(&target).is_empty() && target.setgroups() == "allow" {
                    continue; // the next one tries again
                }
                target = world.target(CAROL);
            }
        }
    });
}

/// A21: a timer of the caller's that is still running.
#[test]
fn an_inherited_timer_leaves_a_whole_map_or_none() {
    World::enter(|world| {
        for helper in HELPERS {
            for delay in ["0.0003", "0.0006", "0.0009", "0.0012", "0.0015", "0.002", "0.003", "0.01"] {
                let target = world.target(CAROL);
                let oddity = format!("alarm:{delay}");
                for ignored in [&[&*oddity][..], &[&oddity, "ignore:SIGALRM"], &[&oddity, "block:SIGALRM"]] {
                    let mut command = world.launch(CAROL, ignored, &helper.path());
                    let answer = world.run(command.args([&target.pid(), "0", "52003", "1"]));
                    assert_whole_or_nothing(helper, &target, "0 52003 1");
                    if !helper.map(&target).is_empty() {
                        break;
                    }
                    assert_eq!((answer.signal, &*answer.stderr), (Some(14), ""));
                }
            }
        }
    });
}

/// A21: stopped and continued, at any point, nothing changes.
#[test]
fn a_helper_that_is_stopped_and_continued_finishes() {
    World::enter(|world| {
        for (helper, program) in programs() {
            let target = world.target(ALICE);
            let args = [&*target.pid(), GRANTED[0], GRANTED[1], GRANTED[2]];
            for place in places(world, 8, ALICE, &program, &args) {
                let target = world.target(ALICE);
                let args = [&*target.pid(), GRANTED[0], GRANTED[1], GRANTED[2]];
                let held = Held::at(world, &place, &program, &args);
                assert!(["", MAP].contains(&&*helper.map(&target)));
                held.signal(world, &["CONT"]);
                let (status, said) = held.end();
                assert_eq!((status.code(), &*said), (Some(0), ""), "stopped at {place:?}");
                assert_eq!(helper.map(&target), MAP);
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

fn on_a_terminal(world: &World, uid: u32, spin: i32, command: &[&str]) -> i32 {
    let mut python = world.command(ROOT, "/usr/bin/python3");
    python.args(["-I", "-c", TERMINAL, &uid.to_string(), &spin.to_string()]).args(command);
    let answer = world.run(&mut python);
    assert_eq!((answer.status, &*answer.stderr), (Some(0), ""));
    answer.stdout.trim().parse().expect("an exit status")
}

/// A21: the caller hangs up.
#[test]
fn a_terminal_that_is_closed_leaves_a_whole_map_or_none() {
    World::enter(|world| {
        for helper in HELPERS {
            let mut target = world.target(CAROL);
            for spin in [0, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000] {
                let status =
                    on_a_terminal(world, CAROL.id, spin, &[&helper.path(), &target.pid(), "0", "52003", "1"]);
                assert_whole_or_nothing(helper, &target, "0 52003 1");
                if !helper.map(&target).is_empty() {
                    target = world.target(CAROL);
                } else {
                    assert_eq!(status, -1, "of SIGHUP");
                }
            }
        }
    });
}

/// A23: whatever the umask, nothing is created that could have the wrong mode.
#[test]
fn umask_changes_nothing_and_nothing_is_created() {
    World::enter(|world| {
        for umask in ["0000", "0777"] {
            unaffected(world, |path| shell(world, &format!("umask {umask}"), path));
        }
        let target = world.target(ALICE);
        for (_, program) in programs() {
            for triple in [STRANGE, GRANTED] {
                let command = [&*program, &target.pid(), triple[0], triple[1], triple[2]];
                let (_, calls) = traced(world, "%file,creat,mknod,mkdir,bind", &[], &program, &command);
                let creates =
                    ["O_CREAT", "O_TRUNC", "creat(", "mknod", "mkdir", "symlink", "link(", "rename", "bind("];
                let created = |call: &&String| {
                    creates.iter().any(|word| call.contains(word)) && !call.starts_with("readlink")
                };
                assert_eq!(calls.iter().find(created), None);
                assert!(calls.iter().any(|call| call.contains("O_RDONLY")), "{calls:?}");
            }
        }
    });
}

/// A24: a working directory that is gone, or that the caller may not enter.
#[test]
fn a_working_directory_of_any_kind_changes_nothing() {
    World::enter(|world| {
        unaffected(world, |path| shell(world, "mkdir /tmp/gone && cd /tmp/gone && rmdir /tmp/gone", path));
        fs::create_dir("/run/locked").expect("create");
        fs::set_permissions("/run/locked", fs::Permissions::from_mode(0o700)).expect("chmod");
        unaffected(world, |path| {
            let mut command = world.command(ROOT, "/usr/bin/setpriv");
            command
                .args(["--reuid=52001", "--regid=52001", "--clear-groups", path])
                .current_dir("/run/locked");
            command
        });
    });
}

/// A24: nor one that hangs: no system call looks at it.
#[test]
fn the_working_directory_is_never_looked_at() {
    World::enter(|world| {
        let target = world.target(ALICE);
        for (_, program) in programs() {
            for triple in [STRANGE, GRANTED] {
                let command = [&*program, &target.pid(), triple[0], triple[1], triple[2]];
                let (_, calls) = traced(world, "%file,getcwd,chdir,fchdir", &[], &program, &command);
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
            }
        }
    });
}

/// A25: a helper that gets hardly any time is slower and nothing else.
#[test]
fn scheduling_changes_nothing() {
    World::enter(|world| {
        for prefix in
            [&["/usr/bin/nice", "-n", "19"][..], &["/usr/bin/chrt", "-i", "0"], &["/usr/bin/chrt", "-b", "0"]]
        {
            unaffected(world, |path| {
                let mut command = world.command(ALICE, prefix[0]);
                command.args(&prefix[1..]).arg(path);
                command
            });
        }
    });
}

/// A21, A25: rules of the host's that come or change while the helper stands still are not got round.
#[test]
fn host_policy_that_changed_while_the_helper_stood_still_is_not_obeyed_any_more() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let ini = "/etc/nsgate.ini";
        for helper in HELPERS {
            for before in [None, Some("[idmap]\n")] {
                drop(fs::remove_file(ini));
                if let Some(text) = before {
                    world.write(ini, text);
                }
                let target = world.target(ALICE);
                let held = Held::with_its_capability(world, helper, &target, GRANTED);
                world.write(ini, "[idmap]\nprotect = 600000\n");
                held.goes_on(world, helper, &target, Err("/etc/nsgate.ini:2 protect"));
            }
        }
    });
}

/// A21, A25: ids that were taken away while the helper stood still are not mapped; those that are granted as before, or by
/// another line, are.
#[test]
fn ids_taken_away_while_the_helper_stood_still_are_not_mapped() {
    if theirs() {
        return;
    }
    let write_in_place = |path: &str, text: &str| fs::write(path, text).expect("write");
    let set_mode =
        |path: &str, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    World::enter(|world| {
        let not_allowed = "range [0-10) -> [600000-600010) not allowed: ";
        type Change<'a> = &'a dyn Fn(&str);
        let changes: [(Change, Result<(), &str>); 9] = [
            (&|file| world.write(file, "bob:600000:65536\n"), Err(not_allowed)),
            (&|file| write_in_place(file, "bob:600000:65536\n"), Err(not_allowed)),
            (&|file| world.write(file, "alice:600000:9\n"), Err(not_allowed)),
            (&|file| fs::remove_file(file).expect("remove"), Err(not_allowed)),
            // Only root may read this one, and there is nobody left who could.
            (&|file| set_mode(file, 0o600), Err(CALL_AGAIN)),
            // Anybody may have written this one.
            (&|file| set_mode(file, 0o666), Err(CALL_AGAIN)),
            (&|file| world.write(file, format!("alice:600005:5\n{}:600000:5\n", ALICE.id)), Ok(())),
            (&|file| write_in_place(file, "alice:600000:10\n"), Ok(())),
            (&|file| world.append(file, "carol:900000:10\n"), Ok(())),
        ];
        for helper in HELPERS {
            let file = format!("/etc/sub{}", helper.word);
            for (number, (change, expected)) in changes.iter().enumerate() {
                println!("change {number}");
                world.write(&file, "alice:600000:65536\n");
                let target = world.target(ALICE);
                let held = Held::with_its_capability(world, helper, &target, GRANTED);
                change(&file);
                held.goes_on(world, helper, &target, *expected);
            }
        }
    });
}

/// A25: what only root may read does not have to be read again if it is what it was.
#[test]
fn what_has_not_changed_while_the_helper_stood_still_need_not_be_readable_for_the_caller() {
    if theirs() {
        return;
    }
    let hide = |path: &str| fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod");
    World::enter(|world| {
        for helper in HELPERS {
            let (ini, file) = ("/etc/nsgate.ini", &*format!("/etc/sub{}", helper.word));
            let run = |hidden: &str, (changed, text): (&str, &str), expected: Result<(), &str>| {
                world.write(file, "alice:600000:65536\n");
                world.write(ini, "[idmap]\nmax-ids = 1000\n");
                hide(hidden);
                let target = world.target(ALICE);
                let held = Held::with_its_capability(world, helper, &target, GRANTED);
                world.write(changed, text);
                held.goes_on(world, helper, &target, expected);
            };
            run(ini, (file, "carol:1:1\nalice:600000:65536\n"), Ok(()));
            run(ini, (file, "carol:1:1\n"), Err("not allowed: "));
            run(file, (ini, "[idmap]\nmax-ids = 10\n"), Ok(()));
            run(file, (ini, "[idmap]\nmax-ids = 9\n"), Err("/etc/nsgate.ini:2 max-ids"));
            run(file, (ini, "[idmap]\noverlap = refuse\n"), Ok(()));
            fs::remove_file(ini).expect("remove");
        }
    });
}

/// A25: whether a source besides the files grants what they have ceased to grant only a new call can ask.
#[test]
fn ids_taken_away_while_the_helper_stood_still_are_not_looked_for_elsewhere() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        world.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nsubid: files elsewhere\n");
        for helper in HELPERS {
            let file = format!("/etc/sub{}", helper.word);
            for (text, expected) in
                [("bob:1:1\nalice:600000:65536\n", Ok(())), ("bob:600000:65536\n", Err(CALL_AGAIN))]
            {
                world.write(&file, "alice:600000:65536\n");
                let target = world.target(ALICE);
                let held = Held::with_its_capability(world, helper, &target, GRANTED);
                world.write(&file, text);
                held.goes_on(world, helper, &target, expected);
            }
        }
    });
}

/// A25: a link that leads where the caller may not go is one that has changed when it is another link, or when there was none.
#[test]
fn policy_behind_links_that_the_caller_may_not_follow() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        fs::create_dir("/etc/private").expect("mkdir");
        fs::set_permissions("/etc/private", fs::Permissions::from_mode(0o700)).expect("chmod");
        world.write("/etc/private/one", "alice:600000:65536\n");
        world.write("/etc/private/two", "bob:600000:65536\n");
        world.write("/etc/private/rules", "[idmap]\nmax-ids = 1\n");
        let link = |to: &str, file: &str| {
            symlink(format!("private/{to}"), "/etc/link").expect("link");
            fs::rename("/etc/link", file).expect("rename");
        };
        for helper in HELPERS {
            let file = &*format!("/etc/sub{}", helper.word);
            link("one", file);
            let target = world.target(ALICE);
            world.run(world.command(ALICE, &helper.path()).arg(target.pid()).args(GRANTED)).succeeds();

            let target = world.target(ALICE);
            let held = Held::with_its_capability(world, helper, &target, GRANTED);
            link("two", file);
            held.goes_on(world, helper, &target, Err(CALL_AGAIN));

            link("one", file);
            let target = world.target(ALICE);
            let held = Held::with_its_capability(world, helper, &target, GRANTED);
            link("rules", "/etc/nsgate.ini");
            held.goes_on(world, helper, &target, Err(CALL_AGAIN));
            let target = world.target(ALICE);
            world
                .run(world.command(ALICE, &helper.path()).arg(target.pid()).args(GRANTED))
                .refuses("a rule of the host's forbids it (/etc/nsgate.ini)");
            target.assert_untouched();
            fs::remove_file("/etc/nsgate.ini").expect("remove");
        }
    });
}

/// A25: wherever it stands still, up to its last look at the file.
#[test]
fn ids_taken_away_before_the_last_look_at_policy_are_not_mapped() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        for helper in HELPERS {
            let file = format!("/etc/sub{}", helper.word);
            let target = world.target(ALICE);
            let args = [&*target.pid(), GRANTED[0], GRANTED[1], GRANTED[2]];
            let (mut refused, mut written) = (0, 0);
            for place in places(world, 30, ALICE, &helper.path(), &args) {
                world.write(&file, "alice:600000:65536\n");
                let target = world.target(ALICE);
                let args = [&*target.pid(), GRANTED[0], GRANTED[1], GRANTED[2]];
                let held = Held::at(world, &place, &helper.path(), &args);
                let trace = fs::read_to_string("/run/held").expect("trace");
                let looked =
                    trace.lines().any(|call| call.starts_with("newfstatat") && call.contains("\"sub"));
                world.write(&file, "bob:600000:65536\n");
                // Later, he could as well have had it written a moment sooner.
                held.goes_on(world, helper, &target, if looked { Ok(()) } else { Err("not allowed: ") });
                written += u32::from(looked);
                refused += u32::from(!looked);
            }
            assert!(refused > 15 && written > 1, "{refused} {written}");
        }
    });
}

/// A25: whether setgroups has to be denied is a matter of policy too.
#[test]
fn a_group_taken_away_while_the_helper_stood_still_is_not_mapped_with_setgroups_allowed() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let newgidmap = HELPERS[1];
        let own = ALICE.id.to_string();
        for (before, after) in [(true, false), (false, true)] {
            let text = |granted| if granted { format!("alice:{own}:1\n") } else { "bob:1:2\n".to_owned() };
            world.write("/etc/subgid", text(before));
            let target = world.target(ALICE);
            let held = Held::with_its_capability(world, newgidmap, &target, ["0", &own, "1"]);
            world.write("/etc/subgid", text(after));
            held.goes_on(world, newgidmap, &target, Err(CALL_AGAIN));

            world.newgidmap(ALICE, &[&target.pid(), "0", &own, "1"]).succeeds();
            assert_eq!(target.setgroups(), if after { "allow" } else { "deny" });
        }
    });
}

/// A25: frozen anywhere on its way, while the target ends: it has written the map or refuses, and does not hang.
#[test]
fn a_target_that_ends_while_the_helper_stands_still_is_refused() {
    World::enter(|world| {
        for helper in HELPERS {
            let target = world.target(ALICE);
            let args = [&*target.pid(), GRANTED[0], GRANTED[1], GRANTED[2]];
            let mut refusals = 0;
            for place in places(world, 12, ALICE, &helper.path(), &args) {
                let mut target = world.target(ALICE);
                let args = [&*target.pid(), GRANTED[0], GRANTED[1], GRANTED[2]];
                let held = Held::at(world, &place, &helper.path(), &args);
                let written = !helper.map(&target).is_empty();
                // Then it is written to a namespace that nobody is in any more.
                let open_already =
                    !theirs() && held.has_open(&format!("/proc/{}/{}_map", target.pid(), helper.word));
                target.end();
                held.signal(world, &["CONT"]);
                let (status, said) = held.end();
                println!("{place:?}: {status} {said}");
                let expected = Some(if written || open_already { 0 } else { 1 });
                assert_eq!(status.code(), expected, "stopped at {place:?}: {said}");
                if !written && !open_already && !theirs() {
                    assert!(said.starts_with(helper.name) && said.lines().count() == 1, "{said:?}");
                }
                refusals += usize::from(!written);
            }
            assert!(refusals > 5, "it was not stopped on its way");
        }
    });
}

/// A26. Differs: no_new_privs is named as the cause; C has only the kernel's EPERM. It is not taken for policy, nor
/// policy for it.
#[test]
fn no_new_privs_is_named_as_the_cause() {
    World::enter(|world| {
        for how in [Install::SetUid, Install::FileCapabilities, Install::Both] {
            world.install(how);
            for helper in HELPERS {
                let target = world.target(ALICE);
                let call = |triple: [&str; 3]| {
                    let mut command = world.command(ALICE, "/usr/bin/setpriv");
                    command.args(["--no-new-privs", &helper.path(), &target.pid()]);
                    world.run(command.args(triple))
                };
                let answer = call(GRANTED);
                answer.refuses(&format!("write to {}_map failed: Operation not permitted", helper.word));
                if !theirs() {
                    answer.refuses("no_new_privs is set for the calling process");
                }
                target.assert_untouched();
                call(STRANGE).refuses(&helper.refusal());
                target.assert_untouched();
                // Which nobody needs privilege for.
                call(["0", "52001", "1"]).succeeds();
                assert_eq!(helper.map(&target), "0 52001 1");
            }
        }
    });
}

/// Copies a program. Not in this process: another thread's child would inherit the descriptor, and the kernel runs no
/// program that somebody can still write.
fn install_copy(world: &World, from: &str, to: &str) {
    world.run(world.command(ROOT, "/usr/bin/install").args(["-m", "755", from, to])).succeeds();
}

/// A27. Differs: a helper without privilege says why, in the line that everybody searches for; C has only that line.
#[test]
fn a_helper_without_privilege_names_the_cause() {
    World::enter(|world| {
        fs::create_dir("/run/nosuid").expect("create");
        let mut mount = world.command(ROOT, "/usr/bin/mount");
        world.run(mount.args(["-t", "tmpfs", "-o", "nosuid,mode=755", "tmpfs", "/run/nosuid"])).succeeds();
        for helper in HELPERS {
            let (own, other) = if helper.word == "uid" { ("setuid", "setgid") } else { ("setgid", "setuid") };
            let lacks = format!("is not installed set-user-ID root nor with cap_{own}=ep");
            let nosuid = "is on a file system mounted nosuid".to_owned();
            for (place, owner, mode, capability, reason) in [
                ("/run/nosuid", ROOT, 0o4755, None, &nosuid),
                ("/run/nosuid", ROOT, 0o755, Some(own), &nosuid),
                ("/run", ROOT, 0o755, None, &lacks),
                ("/run", ROOT, 0o2755, None, &lacks),
                ("/run", ALICE, 0o4755, None, &lacks),
                ("/run", ROOT, 0o755, Some(other), &lacks),
            ] {
                let path = format!("{place}/{}", helper.name);
                install_copy(world, &helper.path(), &path);
                chown(&path, Some(owner.id), Some(0)).expect("chown");
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
                if let Some(capability) = capability {
                    let mut setcap = world.command(ROOT, "/usr/sbin/setcap");
                    world.run(setcap.args([&format!("cap_{capability}=ep"), &path])).succeeds();
                }
                println!("{path} of {} {mode:o} {capability:?}", owner.name);
                let target = world.target(ALICE);
                let call = |triple| world.run(world.command(ALICE, &path).arg(target.pid()).args(triple));
                let answer = call(GRANTED);
                answer.refuses(&format!("write to {}_map failed: Operation not permitted", helper.word));
                if !theirs() {
                    answer.refuses(reason);
                }
                target.assert_untouched();
                if theirs() && mode == 0o2755 {
                    continue; // it stays in the wrong group
                }
                // Which nobody needs privilege for.
                call(["0", "52001", "1"]).succeeds();
                assert_eq!(helper.map(&target), "0 52001 1");
            }
        }
    });
}

/// A27: so it does where it cannot read a policy file that only root can.
#[test]
fn a_helper_without_privilege_names_the_cause_where_policy_is_roots_alone() {
    World::enter(|world| {
        world.install(Install::Plain);
        let target = world.target(ALICE);
        for helper in HELPERS {
            let file = format!("/etc/sub{}", helper.word);
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("chmod");
            let answer = world.run(world.command(ALICE, &helper.path()).arg(target.pid()).args(GRANTED));
            if theirs() {
                assert_eq!(answer.status, Some(1));
            } else {
                answer.refuses("is not installed set-user-ID root nor with cap_");
            }
            target.assert_untouched();
        }
    });
}

/// A 32-bit program that becomes the program that its arguments name: the ELF header, one segment, and
/// `execve(argv[1], argv + 1, environ)`.
fn compat_program() -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let code: &[u8] = &[
        0x58, // pop eax: argc
        0x59, // pop ecx: argv[0]
        0x8b, 0x1c, 0x24, // mov ebx, [esp]
        0x89, 0xe1, // mov ecx, esp
        0x8d, 0x14, 0x84, // lea edx, [esp + 4 * eax]: behind the null after the last argument
        0xb8, 11, 0, 0, 0, // mov eax, execve
        0xcd, 0x80, // int 0x80
        0xbb, 126, 0, 0, 0, // mov ebx, 126
        0xb8, 1, 0, 0, 0, // mov eax, exit
        0xcd, 0x80,
    ];
    let size = HEADERS + u32::try_from(code.len()).expect("short");
    // 32 bits, little endian, version 1; an executable for the 386.
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0".to_vec();
    // Version, entry, program headers, section headers, flags.
    elf.extend([1, BASE + HEADERS, 52, 0, 0].map(u32::to_le_bytes).concat());
    // Sizes and numbers of the headers.
    elf.extend([52_u16, 32, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    // Load all of it: offset, addresses, sizes, readable and executable, alignment.
    elf.extend([1, 0, BASE, BASE, size, size, 5, 0x1000].map(u32::to_le_bytes).concat());
    elf.extend(code);
    elf
}

/// A29: a caller with an odd execution domain, or of 32 bits.
#[test]
fn a_caller_of_another_personality_changes_nothing() {
    World::enter(|world| {
        // READ_IMPLIES_EXEC, ADDR_NO_RANDOMIZE, MMAP_PAGE_ZERO, ADDR_COMPAT_LAYOUT, and all there are.
        for flags in [
            &["-X"][..],
            &["-R"],
            &["-Z"],
            &["-L"],
            &["-R", "-X", "-Z", "-L", "-3", "-B", "-I", "-S", "-T", "-F"],
        ] {
            unaffected(world, |path| {
                let mut command = world.command(ALICE, "/usr/bin/setarch");
                command.arg("x86_64").args(flags).arg(path);
                command
            });
        }
        unaffected(world, |path| {
            let mut command = world.command(ALICE, "/usr/bin/setarch");
            command.args(["linux32", "--uname-2.6", path]);
            command
        });
        fs::write("/run/compat", compat_program()).expect("write");
        install_copy(world, "/run/compat", "/home/alice/compat");
        unaffected(world, |path| {
            let mut command = world.command(ALICE, "/home/alice/compat");
            command.arg(path);
            command
        });
    });
}

/// A31: the caller's terminal is not read, nor asked anything, nor opened.
#[test]
fn the_terminal_is_left_alone() {
    World::enter(|world| {
        let target = world.target(ALICE);
        for helper in HELPERS {
            for (triple, status) in [(STRANGE, 1), (GRANTED, 0)] {
                let (path, pid) = (helper.path(), target.pid());
                let strace =
                    ["/usr/bin/strace", "-qq", "-o", "/run/trace", "-e", "signal=none", "-u", ALICE.name];
                let mut command = strace.to_vec();
                command.extend([&*path, &pid, triple[0], triple[1], triple[2]]);
                assert_eq!(on_a_terminal(world, 0, -1, &command), status);
                let trace = fs::read_to_string("/run/trace").expect("trace");
                assert!(trace.contains("exit_group"), "not a whole trace: {trace}");
                for call in trace.lines() {
                    let ioctl = call.starts_with("ioctl(")
                        && ["TIOC", "TCGET", "TCSET"].iter().any(|t| call.contains(t));
                    // The C library of C's asks who is logged in on it.
                    assert!(!ioctl || (theirs() && call.contains("TCGETS")), "{call}");
                    assert!(
                        !["read(0,", "read(1,", "read(2,", "readv(0,"]
                            .iter()
                            .any(|read| call.starts_with(read)),
                        "{call}"
                    );
                    let opens =
                        call.starts_with("open") && (call.contains("/dev/tty") || call.contains("/dev/pts/"));
                    assert!(!opens, "{call}");
                }
            }
        }
    });
}

/// Gives the machine a `/dev` of its own, with little in it: the real one is the host's.
fn private_dev(world: &World) {
    let root = |program: &str, args: &[&str]| {
        world.run(world.command(ROOT, program).args(args)).succeeds();
    };
    fs::create_dir("/run/dev").expect("create");
    for (name, minor) in [("null", "3"), ("zero", "5"), ("full", "7")] {
        root("/usr/bin/mknod", &["-m", "666", &format!("/run/dev/{name}"), "c", "1", minor]);
    }
    root("/usr/bin/mount", &["--bind", "/run/dev", "/dev"]);
}

fn log_of(world: &World) -> UnixDatagram {
    private_dev(world);
    let log = UnixDatagram::bind("/dev/log").expect("bind");
    fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).expect("chmod");
    log.set_read_timeout(Some(Duration::from_secs(5))).expect("time-out");
    log
}

fn record(log: &UnixDatagram) -> String {
    let mut bytes = vec![0; 1 << 16];
    let length = log.recv(&mut bytes).expect("a record");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// A record that may have come in several parts, put together again.
fn whole_record(log: &UnixDatagram) -> String {
    let first = record(log);
    let Some((head, rest)) = first.split_once("part 1 of ") else { return first };
    let (count, text) = rest.split_once(": ").expect("a part");
    let count: u32 = count.parse().expect("a number");
    let mut whole = format!("{head}{text}");
    for number in 2..=count {
        let part = record(log);
        assert!(part.len() <= 2048, "{} bytes", part.len());
        whole += part.strip_prefix(&format!("{head}part {number} of {count}: ")).expect("the next part");
    }
    whole
}

/// A32: whatever is or is not behind `/dev/log`, it holds nothing up.
#[test]
fn a_log_that_does_not_take_the_record_changes_nothing() {
    World::enter(|world| {
        private_dev(world);
        let clear = || {
            if fs::symlink_metadata("/dev/log").is_ok() {
                let _ = fs::remove_file("/dev/log").or_else(|_| fs::remove_dir("/dev/log"));
            }
        };
        let usual = || unaffected(world, |path| world.command(ALICE, path));

        println!("absent");
        usual();
        println!("a file");
        fs::write("/dev/log", "").expect("write");
        usual();
        assert_eq!(fs::read("/dev/log").expect("read"), b"");
        clear();
        println!("a directory, and a link to nowhere");
        fs::create_dir("/dev/log").expect("create");
        usual();
        clear();
        std::os::unix::fs::symlink("/dev/log", "/dev/log").expect("link");
        usual();
        clear();
        println!("a pipe that nobody reads");
        nix::unistd::mkfifo("/dev/log", nix::sys::stat::Mode::from_bits_truncate(0o666)).expect("mkfifo");
        usual();
        clear();
        println!("a stream that nobody accepts");
        let stream = UnixListener::bind("/dev/log").expect("bind");
        fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).expect("chmod");
        usual();
        drop(stream);
        println!("a stream that is gone");
        usual();
        clear();
        println!("a queue that is full");
        let full = UnixDatagram::bind("/dev/log").expect("bind");
        fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).expect("chmod");
        let filler = UnixDatagram::unbound().expect("socket");
        filler.set_nonblocking(true).expect("not blocking");
        let filled = (0..100_000).take_while(|_| filler.send_to(b"x", "/dev/log").is_ok()).count();
        assert!((1..100_000).contains(&filled), "it does not get full");
        usual();
        println!("a queue that is gone");
        drop(full);
        usual();
        clear();
        println!("not for the caller to write to");
        let closed = UnixDatagram::bind("/dev/log").expect("bind");
        fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o600)).expect("chmod");
        usual();
        drop(closed);
    });
}

/// A32. Differs: every request is recorded in one line (authpriv): who, whose, what, and why it came out so; C logs
/// none.
#[test]
fn a_request_is_recorded_with_its_verdict() {
    if theirs() {
        return; // which log nothing
    }
    World::enter(|world| {
        let log = log_of(world);
        for helper in HELPERS {
            let target = world.target(ALICE);
            let call =
                |triple| world.run(world.command(ALICE, &helper.path()).arg(target.pid()).args(triple));
            let stat = target.file("stat");
            let started =
                stat.rsplit_once(") ").expect("stat").1.split(' ').nth(19).expect("a start time").to_owned();
            let of_whom = format!("uid 52001 target pid {} started {started} asked", target.pid());

            // LOG_AUTHPRIV is 10; notice is 5 and info 6.
            call(STRANGE).refuses("not allowed");
            let refused = record(&log);
            assert!(refused.starts_with(&format!("<85>{}[", helper.name)), "{refused}");
            assert!(refused.contains("]: refused: "), "{refused}");
            assert!(refused.contains(&format!("{of_whom} 0 700000 10: {}", helper.refusal())), "{refused}");

            call(GRANTED).succeeds();
            let granted = record(&log);
            assert!(granted.starts_with(&format!("<86>{}[", helper.name)), "{granted}");
            assert!(granted.contains("]: granted: "), "{granted}");
            let ids = format!("host {}s 600000-600009", helper.word);
            let grounds = format!("{of_whom} 0 600000 10: {ids} by /etc/sub{}:1", helper.word);
            assert!(granted.ends_with(&grounds), "{granted}");
        }
    });
}

/// A32, F09: what was granted and did not come to be is recorded once more, as refused: the kernel has the last word.
#[test]
fn a_grant_that_the_kernel_does_not_carry_out_is_recorded_as_refused() {
    if theirs() {
        return; // which log nothing
    }
    World::enter(|world| {
        let log = log_of(world);
        for helper in HELPERS {
            let target = world.target(ALICE);
            let path = format!("/proc/{}/{}_map", target.pid(), helper.word);
            let inject = "inject=write,pwrite64,writev:error=EPERM";
            let mut command =
                world.strace(ALICE, &["-o", "/dev/null", "-P", &path, "-e", inject], &helper.path());
            world
                .run(command.arg(target.pid()).args(GRANTED))
                .refuses("_map failed: Operation not permitted");
            target.assert_untouched();
            let granted = record(&log);
            assert!(granted.starts_with("<86>") && granted.contains("]: granted: "), "{granted}");
            let refused = record(&log);
            assert!(refused.starts_with("<85>") && refused.contains("]: refused: "), "{refused}");
            assert!(refused.contains("asked 0 600000 10: write to "), "{refused}");
        }
    });
}

/// A32: also of a request that does not get as far as policy, the caller is named.
#[test]
fn every_refusal_names_its_caller_in_the_record() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let log = log_of(world);
        let bobs = world.target(BOB);
        for helper in HELPERS {
            for args in [
                &[][..],
                &["x"],
                &["x", "0", "600000", "1"],
                &["fd:99", "0", "600000", "1"],
                &[&*bobs.pid(), "0", "600000", "1"],
            ] {
                world.run(world.command(ALICE, &helper.path()).args(args)).refuses("");
                let refused = record(&log);
                assert!(refused.starts_with(&format!("<85>{}[", helper.name)), "{refused}");
                assert!(refused.contains("]: refused: uid 52001 "), "{args:?}: {refused}");
            }
        }
    });
}

/// A32: what the caller says cannot make a second record, nor move the reader's cursor; and it can be told from
/// what it is not.
#[test]
fn what_the_caller_says_is_escaped_in_the_record() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let log = log_of(world);
        let target = world.target(ALICE);
        for helper in HELPERS {
            let evil = b"7\n<2>kernel: \x1b[2Jpanic\r\xff\x9b\t";
            for place in 0..4 {
                let mut args =
                    [target.pid(), "0".to_owned(), "600000".to_owned(), "10".to_owned()].map(OsString::from);
                args[place] = OsStr::from_bytes(evil).to_os_string();
                world.run(world.command(ALICE, &helper.path()).args(&args)).refuses("");
                let refused = record(&log);
                assert!(refused.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{refused:?}");
                assert!(refused.contains(r"7\n<2>kernel: \x1b[2Jpanic\r\xff\x9b\t"), "{refused:?}");
            }
            log.set_nonblocking(true).expect("not blocking");
            assert!(log.recv(&mut [0]).is_err(), "one record a request");
            log.set_nonblocking(false).expect("blocking");
        }
    });
}

/// A32: a long request makes one record of bounded length, which still has its verdict.
#[test]
fn a_long_request_is_recorded_whole_in_bounded_parts() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let log = log_of(world);
        for helper in HELPERS {
            let target = world.target(ALICE);
            let triples = (0..150).flat_map(|id: u32| [id, 600_000 + id, 1]).map(|number| number.to_string());
            let triples: Vec<String> = triples.collect();
            world.run(world.command(ALICE, &helper.path()).arg(target.pid()).args(&triples)).succeeds();
            let granted = whole_record(&log);
            assert!(granted.contains("]: granted: uid 52001 target pid "), "{granted}");
            assert!(granted.contains(&format!(" asked {}: host ", triples.join(" "))), "{granted}");
        }
    });
}

/// A15, A32: whoever leaves the helper no descriptor for the log gets no map either.
#[test]
fn nobody_gets_a_map_that_the_log_cannot_know_of() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let log = log_of(world);
        let (mut written, mut refused) = (0, 0);
        for helper in HELPERS {
            for limit in 3..20 {
                let target = world.target(ALICE);
                let oddity = format!("rlimit:NOFILE={limit}");
                let mut command = world.launch(ALICE, &[&oddity], &helper.path());
                let answer = world.run(command.args([&*target.pid(), "0", "600000", "10"]));
                if answer.status == Some(0) {
                    let granted = record(&log);
                    assert!(granted.contains("]: granted: "), "{limit}: {granted}");
                    written += 1;
                } else {
                    answer.refuses("");
                    target.assert_untouched();
                    refused += 1;
                }
                log.set_nonblocking(true).expect("non-blocking");
                while log.recv(&mut [0; 4096]).is_ok() {}
                log.set_nonblocking(false).expect("blocking");
            }
        }
        assert!(written > 5 && refused > 3, "{written} written, {refused} refused");
    });
}

/// A32: what is his own is not said to be granted by a line.
#[test]
fn the_log_tells_the_callers_own_id_from_what_policy_grants() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let log = log_of(world);
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, "bob:1:1\nalice:52002:10\n");
        }
        for helper in HELPERS {
            let target = world.target(ALICE);
            let args = [&*target.pid(), "0", "52001", "1", "1", "52002", "10"];
            world.run(world.command(ALICE, &helper.path()).args(args)).succeeds();
            let (granted, word) = (record(&log), helper.word);
            let file = format!("/etc/sub{word}:2");
            let grounds = format!(": host {word}s 52002-52011 by {file}; host {word} 52001, his own");
            assert!(granted.ends_with(&grounds), "{granted}");
        }
    });
}

/// A32: the log knows of a grant before it is written, as the caller may kill the helper right after. Of a long request it
/// has all host ids, and what the caller wrote is in quotes unless it is a number.
#[test]
fn a_grant_is_in_the_log_before_it_is_in_the_kernel() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let log = log_of(world);
        for helper in HELPERS {
            let target = world.target(ALICE);
            let options = ["-o", "/dev/null", "-e", "inject=write:signal=KILL"];
            let triples = (0..300).flat_map(|id: u32| [id, 600_000 + id, 1]).map(|number| number.to_string());
            let answer =
                world.run(world.strace(ALICE, &options, &helper.path()).arg(target.pid()).args(triples));
            assert_ne!(answer.status, Some(0), "{answer:?}");
            let granted = whole_record(&log);
            assert!(granted.contains(&format!("host {}s 600000-600299 by /etc/", helper.word)), "{granted}");
            assert_eq!(helper.map(&target), "", "written before it was logged");

            let forged = "7 started 9: granted";
            world
                .run(world.command(ALICE, &helper.path()).args([forged, "0", "1", "2"]))
                .refuses("neither a pid");
            let refused = record(&log);
            assert!(refused.contains(&format!("target \"{forged}\" asked 0 1 2: ")), "{refused}");
        }
    });
}
