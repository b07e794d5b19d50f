//! Section B of the attack list: what a hostile command line can say. Every row is asked of both helpers.
//!
//! Numbers are plain decimal and nothing else: `010` is 8 to the C helpers and 10 to others, and a number that two
//! programs read differently is none here. Rows that a lax reader would take name ids that are granted, so that
//! reading them laxly would show.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::process::Child;
use std::time::{Duration, Instant};

use world::{ALICE, Answer, BOB, NOBODY_AT_ALL, ROOT, Target, World, theirs};

#[derive(Clone, Copy)]
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

    /// Alice calls it.
    fn call<A: AsRef<OsStr>>(self, world: &World, args: &[A]) -> Answer {
        println!("{} {:?}", self.name, args.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        world.run(world.command(ALICE, &self.path()).args(args))
    }

    /// Alice calls it, for the first id of her grant, with a descriptor as the shell's redirection (`3</etc`) or an
    /// oddity of `launch.py` makes it.
    fn call_with(self, world: &World, descriptor: &str, target: &str) -> Answer {
        println!("{descriptor} {} {target}", self.name);
        let mut command = if descriptor.starts_with(|first: char| first.is_ascii_digit()) {
            let mut shell = world.command(ALICE, "/bin/sh");
            shell.args(["-c", &format!("exec {descriptor}; exec \"$0\" \"$@\""), &self.path()]);
            shell
        } else {
            world.launch(ALICE, &[descriptor], &self.path())
        };
        world.run(command.args([target, "0", "600000", "1"]))
    }

    fn map(self, target: &Target) -> String {
        if self.word == "uid" { target.uid_map() } else { target.gid_map() }
    }
}

/// How our messages show a word of the caller's.
fn quoted(word: &str) -> String {
    word.as_bytes().escape_ascii().to_string()
}

/// B01: no argument, and triples that are not whole.
#[test]
fn a_command_line_of_the_wrong_length_is_a_usage_error() {
    World::enter(|world| {
        let target = world.target(ALICE);
        for helper in HELPERS {
            let usage = format!("usage: {} ", helper.name);
            helper.call::<&str>(world, &[]).refuses(&usage);
            for count in [1_usize, 2, 4, 5, 1021] {
                let mut args = vec![target.pid()];
                args.extend((0..count).map(|number| (600_000 + number).to_string()));
                let ranges = count.div_ceil(3);
                let answer = helper.call(world, &args);
                if theirs() {
                    answer.refuses(&format!("ranges: {ranges} argc: {count}\n")).refuses(&usage);
                } else {
                    answer.refuses(&format!("ranges: {ranges} is wrong for argc: {count}; {usage}"));
                }
            }
        }
        target.assert_untouched();
    });
}

/// B02. Differs: a target and no triples is refused before anything is opened; C tries to write an empty map, and
/// newgidmap of C has then denied setgroups already.
#[test]
fn a_target_without_triples_is_refused_before_anything_is_opened() {
    World::enter(|world| {
        for helper in HELPERS {
            let target = world.target(ALICE);
            let options = ["-o", "/run/trace", "-e", "trace=open,openat,openat2,connect"];
            let mut traced = world.strace(ALICE, &options, &helper.path());
            let answer = world.run(traced.arg(target.pid()));
            if theirs() {
                answer.refuses(&format!("write to {}_map failed: Invalid argument", helper.word));
                assert_eq!(target.setgroups(), if helper.word == "gid" { "deny" } else { "allow" });
                continue;
            }
            answer.refuses(&format!("no {} range given; usage: {} ", helper.word, helper.name));
            target.assert_untouched();
            let trace = fs::read_to_string("/run/trace").expect("trace");
            assert!(trace.contains("exited with 1"), "not a whole trace: {trace}");
            let opened: Vec<&str> = trace.lines().filter(|line| line.starts_with("open")).collect();
            assert!(opened.is_empty(), "{opened:?}");
        }
    });
}

/// B03: numbers that are no pid, among them those that a 32-bit reader would take for one.
#[test]
fn a_pid_out_of_range_is_refused() {
    World::enter(|world| {
        let target = world.target(ALICE);
        let pid: u64 = target.pid().parse().expect("a pid");
        let (wrapped, negative) = ((1_u64 << 32) + pid, format!("-{pid}"));
        let wrapped = [wrapped.to_string(), ((1_u128 << 64) + u128::from(pid)).to_string()];
        let words = ["0", "-1", "-0", "2147483648", "4294967297", "99999999999999999999", &negative];
        for helper in HELPERS {
            for word in words.into_iter().chain(wrapped.iter().map(String::as_str)) {
                let answer = helper.call(world, &[word, "0", "600000", "1"]);
                // 4.13 lets a pid of 0 or less through, to fail where it is opened.
                answer.refuses(&match word.parse::<i32>() {
                    Ok(_) if theirs() => "Could not open proc directory for target".to_owned(),
                    Err(_) if theirs() => "usage: ".to_owned(),
                    _ => format!("target \"{word}\" is neither a pid nor fd:N, in plain decimal; usage: "),
                });
            }
        }
        target.assert_untouched();
    });
}

/// B04. Differs: a pid is plain decimal; C takes blanks and a sign in front of it, and leading zeros.
#[test]
fn a_pid_in_any_other_spelling_is_refused() {
    World::enter(|world| {
        for helper in HELPERS {
            for front in [" ", "\t", "\n", "\u{b}\u{c}\r", "+", "0", "000", " +0"] {
                let target = world.target(ALICE);
                let word = format!("{front}{}", target.pid());
                let answer = helper.call(world, &[&word, "0", "600000", "1"]);
                if theirs() {
                    answer.succeeds();
                    assert_eq!(helper.map(&target), "0 600000 1");
                } else {
                    let reason = format!("target \"{}\" is neither a pid nor fd:N", quoted(&word));
                    answer.refuses(&format!("{reason}, in plain decimal; usage: "));
                    target.assert_untouched();
                }
            }

            let target = world.target(ALICE);
            let pid = target.pid();
            let number: u32 = pid.parse().expect("a pid");
            let full_width: String =
                pid.chars().filter_map(|digit| char::from_u32(u32::from(digit) + 0xfee0)).collect();
            for word in [
                format!("{number:#x}"),
                format!("0b{number:b}"),
                format!("0o{number:o}"),
                format!("{pid} "),
                format!("{pid}\n"),
                format!("{pid}x"),
                format!("{pid}.0"),
                format!("{pid}e0"),
                format!("{pid}/"),
                format!("{pid}/task/{pid}"),
                format!("/proc/{pid}"),
                format!("../proc/{pid}"),
                format!("pid:{pid}"),
                full_width,
                "self".to_owned(),
                "thread-self".to_owned(),
                "%d".to_owned(),
                "\u{1b}[2J".to_owned(),
                String::new(),
            ] {
                let answer = helper.call(world, &[&word, "0", "600000", "1"]);
                let reason = format!("target \"{}\" is neither a pid nor fd:N", quoted(&word));
                answer.refuses(if theirs() { "usage: " } else { &reason });
            }
            target.assert_untouched();
        }
    });
}

/// B06: `fd:N` in any other spelling, where a lax reader would find a descriptor that is the target's.
#[test]
fn a_descriptor_in_any_other_spelling_is_refused() {
    World::enter(|world| {
        let target = world.target(ALICE);
        let directory = format!("3</proc/{}", target.pid());
        let words = [
            "fd:",
            "fd:-1",
            "fd:+3",
            "fd: 3",
            "fd:3x",
            "fd:03",
            "fd:0x3",
            "fd:2147483648",
            "fd:4294967299",
            "FD:3",
            "Fd:3",
            " fd:3",
            "fd::3",
            "fd",
            "fd:fd:3",
            "fd=3",
            "pidfd:3",
        ];
        for helper in HELPERS {
            for word in words {
                let reason =
                    format!("target \"{word}\" is neither a pid nor fd:N, in plain decimal; usage: ");
                helper.call_with(world, &directory, word).refuses(if theirs() { "usage: " } else { &reason });
            }
            target.assert_untouched();
        }
    });
}

/// B07. Differs: 4.13 has no `fd:N`; from 4.14 it takes a /proc/PID directory, ours a pidfd too.
#[test]
fn a_descriptor_of_the_callers_process_is_taken() {
    World::enter(|world| {
        for helper in HELPERS {
            for (number, descriptor) in [
                ("3", "3</proc/PID"),
                ("3", "open:3=pd:/proc/PID"),
                ("3", "3</proc/PID/task/PID"),
                ("3", "pidfd:3=PID"),
                ("0", "0</proc/PID"),
                ("250", "open:250=rd:/proc/PID"),
                ("250", "pidfd:250=PID"),
            ] {
                let target = world.target(ALICE);
                let descriptor = descriptor.replace("PID", &target.pid());
                let answer = helper.call_with(world, &descriptor, &format!("fd:{number}"));
                if theirs() {
                    answer.refuses("usage: ");
                    target.assert_untouched();
                    continue;
                }
                answer.succeeds();
                assert_eq!(helper.map(&target), "0 600000 1", "{descriptor}");
            }
        }
    });
}

/// B07: a descriptor of anything else is refused, whoever owns it and whatever is in it.
#[test]
fn a_descriptor_of_anything_but_a_process_is_refused() {
    const NO_PROCESS: &str = "fd:3 is neither a /proc/PID directory nor a pidfd";
    const NO_MAP: &str = "the target is not the /proc directory of a process";
    World::enter(|world| {
        let target = world.target(ALICE);
        let bobs = world.target(BOB);
        for helper in HELPERS {
            for (descriptor, reason) in [
                ("3<&-", "fd:3 is not an open descriptor"),
                ("3</etc/passwd", NO_PROCESS),
                ("open:3=p:/etc/passwd", NO_PROCESS),
                ("3</home/alice", NO_PROCESS),
                ("3</dev/null", NO_PROCESS),
                ("3</sys/kernel", NO_PROCESS),
                ("3</proc/PID/root", NO_PROCESS),
                ("3</proc/PID/cwd", NO_PROCESS),
                ("3</proc/PID/ns/user", NO_PROCESS),
                ("socket:3", NO_PROCESS),
                ("pipe:3", NO_PROCESS),
                ("3</proc", NO_MAP),
                ("3</proc/sys", NO_MAP),
                ("3</proc/sys/fs", NO_MAP),
                ("3</proc/tty", NO_MAP),
                // Of root's, as far as the kernel says.
                ("3</proc/1", "st_uid:0"),
                ("pidfd:3=1", "st_uid:0"),
                ("3</proc/BOB", "st_uid:52002"),
                ("pidfd:3=BOB", "st_uid:52002"),
                // The caller's own, and no map in it.
                ("3</proc/PID/net", NO_MAP),
                ("3</proc/PID/task", NO_MAP),
                ("3</proc/PID/fd", NO_MAP),
                ("3</proc/PID/fdinfo", NO_MAP),
                ("3</proc/PID/ns", NO_MAP),
                ("3</proc/PID/attr", NO_MAP),
                ("3</proc/PID/map_files", NO_MAP),
                ("3</proc/self/fd", NO_MAP),
                // The helper's own process.
                ("3</proc/self", "in the caller's own user namespace"),
                ("3</proc/PID/uid_map", "Not a directory"),
                ("3<>/proc/PID/uid_map", "Not a directory"),
                ("open:3=p:/proc/PID/gid_map", "Not a directory"),
            ] {
                let descriptor = descriptor.replace("PID", &target.pid()).replace("BOB", &bobs.pid());
                let answer = helper.call_with(world, &descriptor, "fd:3");
                let reason = reason.replace("uid_map", &format!("{}_map", helper.word));
                answer.refuses(if theirs() { "usage: " } else { &reason });
                target.assert_untouched();
                bobs.assert_untouched();
            }
        }
    });
}

/// B07: the reason given for a file, not a directory, of the right process says so and nothing untrue.
#[test]
fn a_descriptor_of_the_map_itself_is_called_what_it_is() {
    World::enter(|world| {
        let target = world.target(ALICE);
        let answer = HELPERS[0].call_with(world, &format!("3<>/proc/{}/uid_map", target.pid()), "fd:3");
        answer.refuses(if theirs() { "usage: " } else { "Not a directory" });
        assert!(!answer.stderr.contains("/proc is not procfs"), "but it is: {answer:?}");
    });
}

/// It ends with the test, however that ends.
struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// B08: a process of another procfs, of this pid namespace or of one that the caller made.
#[test]
fn a_process_of_another_procfs_is_refused() {
    World::enter(|world| {
        let target = world.target(ALICE);
        fs::create_dir("/run/proc").expect("create");
        let mut mount = world.command(ROOT, "/usr/bin/mount");
        world.run(mount.args(["-t", "proc", "proc", "/run/proc"])).succeeds();
        // The caller's own pid namespace, with a procfs mounted by him: its pid 1 is his.
        let mut unshare = world.command(ALICE, "/usr/bin/unshare");
        unshare.args(["-Upf", "--mount-proc", "--kill-child", "sleep", "1000"]);
        let container = Container(unshare.spawn().expect("start a container"));
        let proc_of = |place: &str| format!("/proc/{}/{place}", container.0.id());
        let first_of_container = proc_of("root/proc/1");
        let started = Instant::now();
        while !fs::read_link(format!("{first_of_container}/exe")).is_ok_and(|exe| exe.ends_with("sleep")) {
            assert!(started.elapsed().as_secs() < 10, "the container is not getting ready");
            std::thread::sleep(Duration::from_millis(1));
        }

        for helper in HELPERS {
            for place in [&format!("/run/proc/{}", target.pid()), &first_of_container] {
                for descriptor in [format!("3<{place}"), format!("open:3=pd:{place}")] {
                    let answer = helper.call_with(world, &descriptor, "fd:3");
                    let reason = "fd:3 is of another /proc than the one mounted here";
                    answer.refuses(if theirs() { "usage: " } else { reason });
                    target.assert_untouched();
                    assert_eq!(fs::read_to_string(proc_of("uid_map")).expect("uid_map"), "");
                    assert_eq!(fs::read_to_string(proc_of("gid_map")).expect("gid_map"), "");
                }
            }
        }
    });
}

/// B09: a directory that looks like a process but is the caller's, with a link where the map should be.
#[test]
fn a_directory_made_to_look_like_a_process_is_refused() {
    World::enter(|world| {
        world.write("/run/victim", "root's\n");
        let fake = "/home/alice/proc";
        fs::create_dir(fake).expect("create");
        for name in ["uid_map", "gid_map", "setgroups"] {
            symlink("/run/victim", format!("{fake}/{name}")).expect("link");
        }
        chown(fake, Some(ALICE.id), Some(ALICE.id)).expect("chown");
        for directory in ["/run/upper", "/run/work", "/run/overlay"] {
            fs::create_dir(directory).expect("create");
        }
        let layers = format!("lowerdir={fake},upperdir=/run/upper,workdir=/run/work");
        let mut mount = world.command(ROOT, "/usr/bin/mount");
        world.run(mount.args(["-t", "overlay", "overlay", "-o", &layers, "/run/overlay"])).succeeds();
        chown("/run/overlay", Some(ALICE.id), Some(ALICE.id)).expect("chown");

        for helper in HELPERS {
            for place in [fake, "/run/overlay"] {
                for descriptor in [format!("3<{place}"), format!("open:3=pd:{place}")] {
                    let answer = helper.call_with(world, &descriptor, "fd:3");
                    let reason = "fd:3 is neither a /proc/PID directory nor a pidfd";
                    answer.refuses(if theirs() { "usage: " } else { reason });
                }
            }
        }
        assert_eq!(fs::read_to_string("/run/victim").expect("read"), "root's\n");
    });
}

/// B11: a descriptor that was closed when the helper started is never one that it has opened since.
#[test]
fn a_closed_descriptor_is_not_one_that_the_helper_opened() {
    World::enter(|world| {
        for helper in HELPERS {
            for number in 3..10 {
                // Whatever else the test has inherited.
                let closed = "3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-";
                let answer = helper.call_with(world, closed, &format!("fd:{number}"));
                let reason = format!("fd:{number} is not an open descriptor");
                answer.refuses(if theirs() { "usage: " } else { &reason });
            }
            // These three are opened, on nothing.
            for number in [0, 1] {
                let answer = helper.call_with(world, &format!("{number}<&-"), &format!("fd:{number}"));
                let reason = format!("fd:{number} is neither a /proc/PID directory nor a pidfd");
                answer.refuses(if theirs() { "usage: " } else { &reason });
            }
            let answer = helper.call_with(world, "2<&-", "fd:2");
            assert_eq!((answer.status, &*answer.stdout, &*answer.stderr), (Some(1), "", ""));
        }
    });
}

/// The triple `0 600000 1` with one of its words replaced.
fn with(word: &str, place: usize) -> [String; 3] {
    let mut triple = ["0", "600000", "1"].map(str::to_owned);
    word.clone_into(&mut triple[place]);
    triple
}

fn ask(helper: Helper, world: &World, target: &Target, triple: &[String]) -> Answer {
    let mut args = vec![target.pid()];
    args.extend(triple.iter().cloned());
    helper.call(world, &args)
}

/// B12. Differs: a number is plain decimal; C reads octal, hex, blanks and a sign in front.
#[test]
fn a_number_in_any_other_spelling_is_refused() {
    World::enter(|world| {
        let target = world.target(ALICE);
        let anywhere = [
            "010",
            "00",
            "01",
            "0x10",
            "0X10",
            "0b1",
            "0o7",
            " 5",
            "\t5",
            "+5",
            "5 ",
            "5\n",
            "5x",
            "5.",
            "5,0",
            "1e3",
            "1_000",
            "٣",
            "５",
            "",
            "-",
            "+",
            "--5",
            "0x",
            "5\u{1b}[2J",
            "%n",
            "+-5",
        ];
        // The start of the grant, so that policy has nothing against it.
        let granted = ["0600000", "+600000", " 600000", "0x927c0", "02223700", "600000 ", "6e5"];
        for helper in HELPERS {
            if theirs() {
                for (word, inside) in [("010", 8), ("0x10", 16), (" 5", 5), ("+5", 5)] {
                    let target = world.target(ALICE);
                    ask(helper, world, &target, &with(word, 0)).succeeds();
                    assert_eq!(helper.map(&target), format!("{inside} 600000 1"));
                }
                continue;
            }
            let everywhere = anywhere.iter().flat_map(|word| (0..3).map(move |place| (*word, place)));
            for (word, place) in everywhere.chain(granted.iter().map(|word| (*word, 1))) {
                let triple = with(word, place);
                let shown = quoted(&triple.join(" "));
                ask(helper, world, &target, &triple).refuses(&format!(
                    "\"{}\" in \"{shown}\" is not a plain decimal number; usage: ",
                    quoted(word)
                ));
            }
        }
        target.assert_untouched();
    });
}

/// B13: a negative number is out of range, not a large one.
#[test]
fn a_negative_number_overflows() {
    World::enter(|world| {
        let target = world.target(ALICE);
        // The last two are 600000 to who reads 32 or 64 bits and forgets the sign.
        for word in ["-1", "-5", "-0", "-4294367296", "-18446744073708951616"] {
            // 4.13 reads them so.
            if theirs() && word != "-1" && word != "-5" {
                continue;
            }
            for (helper, place) in
                HELPERS.into_iter().flat_map(|helper| (0..3).map(move |place| (helper, place)))
            {
                ask(helper, world, &target, &with(word, place)).refuses("overflow detected");
            }
        }
        target.assert_untouched();
    });
}

/// B14: (uid_t)-1 is no id.
#[test]
fn minus_one_as_unsigned_is_no_id() {
    World::enter(|world| {
        // Not even where the policy file says so.
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.append(file, "alice:4294967295:1\nalice:4294967290:6\n");
        }
        let target = world.target(ALICE);
        for helper in HELPERS {
            for place in [0, 1] {
                ask(helper, world, &target, &with("4294967295", place)).refuses("overflow detected");
            }
        }
        target.assert_untouched();
    });
}

/// B15: the last id there is has nothing against it in arithmetic; then policy decides.
#[test]
fn the_last_id_is_an_id() {
    World::enter(|world| {
        for helper in HELPERS {
            let target = world.target(ALICE);
            let word = helper.word;
            ask(helper, world, &target, &with("4294967294", 1))
                .refuses(&format!("{word} range [0-1) -> [4294967294-4294967295) not allowed"));
            target.assert_untouched();
            ask(helper, world, &target, &with("4294967294", 0)).succeeds();
            assert_eq!(helper.map(&target), "4294967294 600000 1");

            let target = world.target(ALICE);
            world.append(&format!("/etc/sub{word}"), "alice:4294967294:1\n");
            ask(helper, world, &target, &with("4294967294", 1)).succeeds();
            assert_eq!(helper.map(&target), "0 4294967294 1");
        }
    });
}

/// B16: a range past the last id, and numbers of 33 to 133 bits (CVE-2016-6252), are refused and not cut.
#[test]
fn a_number_or_range_past_the_last_id_is_refused_and_not_cut() {
    World::enter(|world| {
        let target = world.target(ALICE);
        let forty = "9".repeat(40);
        let long = format!("1{}", "0".repeat(100_000));
        // The first id of the grant, or 1, to who cuts to 32 or 64 bits.
        let cut: Vec<String> = [32, 33, 63, 64, 65]
            .into_iter()
            .flat_map(|bits| [1_u128, 600_000].map(|id| ((1_u128 << bits) + id).to_string()))
            .collect();
        let alone = [
            "4294967296",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            &forty,
            &long,
        ];
        let words = alone.into_iter().chain(cut.iter().map(String::as_str));
        let mut triples: Vec<[String; 3]> =
            words.flat_map(|word| (0..3).map(move |place| with(word, place))).collect();
        let ranges = [
            ["4294967294", "600000", "2"],
            ["0", "4294967294", "2"],
            ["5", "600000", "4294967295"],
            ["0", "5", "4294967295"],
            ["4294967290", "600000", "6"],
            ["600000", "600000", "4294967295"],
        ];
        triples.extend(ranges.map(|triple| triple.map(str::to_owned)));
        for helper in HELPERS {
            for triple in &triples {
                let answer = ask(helper, world, &target, triple);
                // Past 64 bits it is no number to C.
                let phrase = if theirs() && triple.iter().any(|word| word.parse::<u64>().is_err()) {
                    "usage: "
                } else {
                    "overflow detected"
                };
                answer.refuses(phrase);
            }
        }
        target.assert_untouched();
    });
}

/// B17: a range of no ids, first or last.
#[test]
fn a_count_of_nothing_is_refused() {
    World::enter(|world| {
        let target = world.target(ALICE);
        for helper in HELPERS {
            for triples in [
                "0 600000 0",
                "0 0 0",
                "0 52001 0",
                "0 600000 0 1 600000 10",
                "0 600000 10 10 600010 0",
                "0 600000 10 10 600010 0 10 600010 1",
            ] {
                let triples: Vec<String> = triples.split(' ').map(str::to_owned).collect();
                let answer = ask(helper, world, &target, &triples);
                answer.refuses("not allowed");
                answer.refuses(if theirs() { helper.word } else { "its count is 0; usage: " });
            }
        }
        target.assert_untouched();
    });
}

/// B19: triples that adjoin, in any order, are written as they came.
#[test]
fn adjoining_triples_are_written_in_the_callers_order() {
    const TRIPLES: [&str; 3] = ["0 600000 10", "10 600010 10", "20 600020 10"];
    World::enter(|world| {
        for helper in HELPERS {
            for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let target = world.target(ALICE);
                let rows = order.map(|index| TRIPLES[index]);
                let words: Vec<String> = rows.join(" ").split(' ').map(str::to_owned).collect();
                ask(helper, world, &target, &words).succeeds();
                assert_eq!(helper.map(&target), rows.join("\n"));
            }
        }
    });
}

/// So many triples of one id each, upwards from these.
fn singles(count: usize, inside: u32, host: u32) -> Vec<String> {
    (0..).take(count).flat_map(|offset| [inside + offset, host + offset, 1].map(|n| n.to_string())).collect()
}

/// B20. Differs: one triple more than the kernel takes is refused in words; C lets the kernel say EINVAL.
#[test]
fn as_many_triples_as_the_kernel_takes_and_not_one_more() {
    World::enter(|world| {
        for helper in HELPERS {
            world.append(&format!("/etc/sub{}", helper.word), "alice:100:1000\n");
            let target = world.target(ALICE);
            for count in [341, 342, 10_000] {
                let answer = ask(helper, world, &target, &singles(count, 0, 100));
                let kernels = format!("write to {}_map failed: Invalid argument", helper.word);
                if theirs() && count == 10_000 {
                    continue; // as many ids as are not granted
                }
                let ours = format!("{count} ranges; the kernel takes at most 340; usage: ");
                answer.refuses(if theirs() { &kernels } else { &ours });
                target.assert_untouched();
            }
            ask(helper, world, &target, &singles(340, 0, 100)).succeeds();
            let map = helper.map(&target);
            assert_eq!((map.lines().count(), map.lines().last()), (340, Some("339 439 1")));
        }
    });
}

/// B21. Differs: a map of 4096 bytes is refused in words before anything is opened for writing; C lets the kernel say
/// EINVAL. One byte less is written, in one piece.
#[test]
fn a_map_longer_than_the_kernel_takes_is_refused_and_never_split() {
    World::enter(|world| {
        for helper in HELPERS {
            world.append(&format!("/etc/sub{}", helper.word), "alice:4000000000:1000\n");
            // 169 lines of 24 bytes, one of 20, and one of 19 or 20.
            let mut longest = singles(169, 4_000_000_000, 4_000_000_000);
            longest.extend(["100000", "4000000500", "1", "10000", "4000000501", "9"].map(str::to_owned));
            let mut too_long = longest.clone();
            *too_long.last_mut().expect("a word") = "10".to_owned();
            let bytes = |words: &[String]| words.iter().map(|word| word.len() + 1).sum::<usize>();
            assert_eq!((bytes(&longest), bytes(&too_long)), (4095, 4096));

            let target = world.target(ALICE);
            for words in [too_long, singles(171, 4_000_000_000, 4_000_000_000)] {
                let answer = ask(helper, world, &target, &words);
                let word = helper.word;
                let kernels = format!("write to {word}_map failed: Invalid argument");
                let ours = format!(
                    "the {word}_map would have {} bytes; the kernel takes at most 4095; use fewer ranges",
                    bytes(&words)
                );
                answer.refuses(if theirs() { &kernels } else { &ours });
                target.assert_untouched();
            }

            let trace = ["-o", "/run/trace", "-e", "trace=write,writev,pwrite64"];
            let mut traced = world.strace(ALICE, &trace, &helper.path());
            world.run(traced.arg(target.pid()).args(&longest)).succeeds();
            assert_eq!(helper.map(&target).lines().count(), 171);
            let trace = fs::read_to_string("/run/trace").expect("trace");
            assert_eq!(trace.lines().filter(|line| line.contains("write")).count(), 1, "{trace}");
        }
    });
}

/// B22. Differs: `--help` and `--version` print to stdout and exit 0; C takes them for bad targets.
#[test]
fn help_and_version_are_the_only_options() {
    World::enter(|world| {
        for helper in HELPERS {
            for (option, text) in
                [("--help", "usage: NAME [<pid>|fd:<pidfd>]"), ("--version", "NAME (nsgate) ")]
            {
                // For everybody: also who has no account, or no right to anything.
                for user in [ALICE, ROOT, NOBODY_AT_ALL] {
                    let answer = world.run(world.command(user, &helper.path()).arg(option));
                    if theirs() {
                        answer.refuses("usage: ");
                        continue;
                    }
                    assert_eq!((answer.status, &*answer.stderr), (Some(0), ""), "{answer:?}");
                    assert!(answer.stdout.starts_with(&text.replace("NAME", helper.name)), "{answer:?}");
                    assert!(answer.stdout.ends_with('\n'), "{answer:?}");
                }
            }
        }
    });
}

/// B22: everything else that looks like an option is a bad target, `--` too.
#[test]
fn nothing_else_is_an_option() {
    World::enter(|world| {
        let target = world.target(ALICE);
        let pid = target.pid();
        for helper in HELPERS {
            for option in
                ["-h", "--", "-", "-V", "--hel", "--help=1", "--HELP", "--version=1", "help", "-help"]
            {
                let usage = format!("usage: {} ", helper.name);
                let answer = helper.call(world, &[option]);
                answer.refuses(if theirs() { &usage } else { "given; usage: " });
                let answer = helper.call(world, &[option, "0", "600000", "1"]);
                let reason =
                    format!("target \"{option}\" is neither a pid nor fd:N, in plain decimal; {usage}");
                answer.refuses(if theirs() { &usage } else { &reason });
            }
            // With anything beside them the two are bad targets too, before and after a good one.
            for args in [
                &["--help", &pid, "0", "600000", "1"],
                &["--", &pid, "0", "600000", "1"],
                &["--version", &pid, "0", "600000", "1"],
                &[&*pid, "0", "600000", "1", "--help"],
                &[&*pid, "0", "600000", "1", "--"],
            ] {
                helper.call(world, args).refuses(if theirs() {
                    "usage: "
                } else {
                    "ranges: 2 is wrong for argc: 4; usage: "
                });
            }
            helper.call(world, &["--help", "0", "600000", "1"]).refuses("usage: ");
        }
        target.assert_untouched();
    });
}

/// B24. Differs: which program it is was settled when it was built; C shows the name it was called by, and does the
/// same.
#[test]
fn the_name_it_is_called_by_means_nothing() {
    World::enter(|world| {
        for (helper, other) in [(HELPERS[0], HELPERS[1]), (HELPERS[1], HELPERS[0])] {
            let link = format!("/run/{}", other.name);
            symlink(helper.path(), &link).expect("link");
            let target = world.target(ALICE);
            let shown = if theirs() { other.name } else { helper.name };
            world.run(&mut world.command(ALICE, &link)).refuses(&format!("usage: {shown} "));

            world.run(world.command(ALICE, &link).args([&target.pid(), "0", "600000", "10"])).succeeds();
            assert_eq!(helper.map(&target), "0 600000 10");
            assert_eq!((other.map(&target), target.setgroups()), (String::new(), "allow".to_owned()));
        }
    });
}
