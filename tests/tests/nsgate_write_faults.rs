//! `nsgate grant` and `revoke`, broken at every system call that they make: by SIGKILL, by errors, by a full disk, by a limit. Each
//! file is the old one or the new one, byte for byte, and the next one goes on from there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use world::{Answer, ROOT, World};

const IMAGE: &str = "/run/image";

/// What is done, and what the files are afterwards.
struct Case {
    args: &'static [&'static str],
    /// Names below /etc of the image, and their text before and after. None: there is none.
    files: &'static [(&'static str, Option<&'static str>, &'static str)],
}

const CASES: [Case; 3] = [
    Case {
        args: &["grant", "ids", "carol", "--count", "10"],
        files: &[
            (
                "subuid",
                Some("# of old\nalice:600000:65536"),
                "# of old\nalice:600000:65536\ncarol:100000:10\n",
            ),
            ("subgid", Some("alice:600000:65536\r\n"), "alice:600000:65536\r\ncarol:100000:10\n"),
        ],
    },
    Case {
        args: &["revoke", "ids", "alice", "--start", "600000", "--count", "1"],
        files: &[
            ("subuid", Some("alice:600000:65536\n"), "alice:600001:65535\n"),
            ("subgid", Some("alice:600000:65536\n"), "alice:600001:65535\n"),
        ],
    },
    Case {
        args: &["grant", "nic", "carol", "br0", "3"],
        files: &[("lxc/lxc-usernet", None, "carol veth br0 3\n")],
    },
];

/// What has happened to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Is {
    Old,
    New,
}

impl Case {
    /// Makes the image as it is before.
    fn lay_out(&self) {
        drop(fs::remove_dir_all(format!("{IMAGE}/etc")));
        fs::create_dir_all(format!("{IMAGE}/etc")).expect("create");
        fs::write(format!("{IMAGE}/etc/passwd"), "alice:x:52001:52001::/:\ncarol:x:52003:52003::/:\n")
            .expect("write");
        for (name, before, _) in self.files {
            if let Some(before) = before {
                fs::write(format!("{IMAGE}/etc/{name}"), before).expect("write");
            }
        }
    }

    /// Which file each is now. It is one of the two, to the byte.
    fn state(&self, context: &str) -> Vec<Is> {
        let state = |(name, before, after): &(&str, Option<&str>, &str)| {
            let now = fs::read_to_string(format!("{IMAGE}/etc/{name}")).ok();
            match now.as_deref() {
                now if now == Some(*after) => Is::New,
                now if now == *before => Is::Old,
                other => panic!("{name} is neither the old nor the new one: {other:?}: {context}"),
            }
        };
        self.files.iter().map(state).collect()
    }

    fn run(&self, world: &World, strace: &[&str]) -> Answer {
        let mut command = world.strace(ROOT, strace, "/run/world/bin/nsgate");
        command.args(["--root", IMAGE]).args(self.args);
        world.run_within(Duration::from_secs(40), &mut command)
    }

    /// Whoever comes next does the rest, and cleans up.
    fn go_on(&self, world: &World, state: &[Is], context: &str) {
        let mut command = world.nsgate(ROOT);
        command.args(["--root", IMAGE]).args(self.args);
        if self.args.starts_with(&["grant", "ids"]) && state[0] == Is::New {
            command.args(["--start", "100000"]);
        }
        let answer = world.run_within(Duration::from_secs(40), &mut command);
        let nothing_left = self.args[0] == "revoke" && state.iter().all(|is| *is == Is::New);
        assert_eq!(answer.status, Some(i32::from(nothing_left)), "{context}, then {answer:?}");
        assert_eq!(self.state(context), vec![Is::New; self.files.len()], "{context}, then {answer:?}");
        assert_clean(context);
    }
}

fn assert_clean(context: &str) {
    for directory in ["etc", "etc/lxc"] {
        let Ok(entries) = fs::read_dir(format!("{IMAGE}/{directory}")) else { continue };
        for entry in entries {
            let name = entry.expect("entry").file_name().into_string().unwrap_or_default();
            let left = name.contains(".nsgate.") || name.ends_with(".lock") && name != ".pwd.lock";
            assert!(!left, "{directory}/{name} was left behind: {context}");
        }
    }
}

/// A call: its name, which of that name it is, and whether it is for the seed of the standard library's hash tables, which takes what
/// there is at once. We wait for random bytes.
struct Call {
    name: String,
    nth: usize,
    is_seed: bool,
}

/// The calls of an undisturbed run from its first own one on.
fn calls(world: &World, case: &Case) -> Vec<Call> {
    case.lay_out();
    let answer = case.run(world, &["-o", "/run/trace"]);
    assert_eq!(answer.status, Some(0), "{answer:?}");
    assert_eq!(case.state("undisturbed"), vec![Is::New; case.files.len()]);
    assert_clean("undisturbed");
    let (mut all, mut own, mut begun): (Vec<String>, Vec<Call>, bool) = Default::default();
    for line in fs::read_to_string("/run/trace").expect("trace").lines() {
        let Some((name, rest)) = line.split_once('(') else { continue };
        // The root of the image.
        begun |= name.starts_with("open") && rest.contains(IMAGE);
        all.push(name.to_owned());
        if begun {
            let nth = all.iter().filter(|known| *known == name).count();
            let is_seed = name == "getrandom" && rest.contains("GRND_");
            own.push(Call { name: name.to_owned(), nth, is_seed });
        }
    }
    assert!(own.len() > 40, "only {}", own.len());
    assert!(own.iter().any(|call| call.name == "getrandom" && !call.is_seed), "{:?}", case.args);
    own
}

/// M03: the order in which a file gets to the disk: itself before it has its name, its name before we say that it is done.
#[test]
fn a_new_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one() {
    World::enter(|world| {
        let case = &CASES[0];
        case.lay_out();
        let calls = "trace=openat,fsync,fdatasync,rename,renameat,renameat2,write";
        let answer = case.run(world, &["-y", "-o", "/run/trace", "-e", calls]);
        assert_eq!(answer.status, Some(0), "{answer:?}");
        let trace = fs::read_to_string("/run/trace").expect("trace");
        let calls: Vec<&str> =
            trace.lines().filter(|line| line.contains(" = 0") || !line.contains("sync")).collect();
        let at = |what: &dyn Fn(&str) -> bool| calls.iter().position(|call| what(call));
        let synced = |path: &str| {
            let path = format!("<{IMAGE}/etc{path}>)");
            at(&|call: &str| call.starts_with('f') && call.contains("sync(") && call.contains(&path))
        };
        let mut last = 0;
        for name in ["subuid-", "subuid", "subgid-", "subgid"] {
            let takes = format!(", \"{name}\"");
            let renamed = at(&|call: &str| call.starts_with("rename") && call.contains(&takes));
            let renamed = renamed.unwrap_or_else(|| panic!("{name} is not renamed: {trace}"));
            let temporary = calls[renamed].split('"').nth(1).expect("a name");
            assert!(temporary.contains(".nsgate."), "{}", calls[renamed]);
            let on_disk = synced(&format!("/{temporary}"));
            assert!(on_disk.is_some_and(|on_disk| on_disk < renamed), "{name}: {trace}");
            let written = calls
                .iter()
                .rposition(|call| call.starts_with("write(") && call.contains(&format!("/etc/{temporary}>")));
            assert!(written < on_disk, "{name}: {trace}");
            last = last.max(renamed);
        }
        let directory = calls.iter().rposition(|call| call.contains("sync(") && call.contains("/etc>)"));
        assert!(directory.is_some_and(|directory| directory > last), "{trace}");
        let said = calls.iter().position(|call| call.starts_with("write(1<"));
        assert!(said > directory, "{trace}");
    });
}

/// M01, M03
#[test]
fn death_at_any_call_leaves_the_old_file_or_the_new_one() {
    World::enter(|world| {
        for case in &CASES {
            let calls = calls(world, case);
            let (mut old, mut new) = (0, 0);
            for Call { name, nth, .. } in &calls {
                case.lay_out();
                let fault = format!("inject={name}:signal=KILL:when={nth}");
                let answer = case.run(world, &["-o", "/dev/null", "-e", &fault]);
                let context = format!("{fault} of {:?}: {answer:?}", case.args);
                let state = case.state(&context);
                assert_eq!(answer.signal, Some(9), "{context}");
                if state.contains(&Is::New) {
                    new += 1
                } else {
                    old += 1
                }
                case.go_on(world, &state, &context);
            }
            println!("{:?}: {old} old, {new} new", case.args);
            assert!(old > 5 && new > 1, "{:?}: {old} old, {new} new", case.args);
        }
    });
}

/// M03
#[test]
fn an_error_of_any_call_leaves_the_old_file_or_the_new_one_and_is_told() {
    World::enter(|world| {
        for case in &CASES {
            let calls = calls(world, case);
            for Call { name, nth, is_seed } in calls.iter().filter(|call| call.name != "exit_group") {
                // The allocator's own calls end in an abort, and so does the one for the seed, which is in nobody's hands and does
                // not fail; that is a death like any other.
                let may_die = *is_seed || ["brk", "mmap", "munmap", "mremap"].contains(&&**name);
                for error in ["EIO", "ENOSPC"] {
                    case.lay_out();
                    let fault = format!("inject={name}:error={error}:when={nth}");
                    let answer = case.run(world, &["-o", "/dev/null", "-e", &fault]);
                    let context = format!("{fault} of {:?}: {answer:?}", case.args);
                    let state = case.state(&context);
                    if answer.status == Some(0) {
                        assert_eq!(state, vec![Is::New; state.len()], "not the truth: {context}");
                    }
                    assert!(!answer.stderr.contains("panicked") || *is_seed, "{context}");
                    let telling =
                        answer.status == Some(0) || answer.stderr.starts_with("nsgate: ") || name == "write";
                    assert!(telling || may_die, "{context}");
                    case.go_on(world, &state, &context);
                }
            }
        }
    });
}

/// M03: a file system that is full.
#[test]
fn a_full_disk_leaves_the_old_files() {
    World::enter(|world| {
        let case = &CASES[0];
        let mut statuses = BTreeSet::new();
        for kilobytes in [44, 48, 52, 56, 60, 64, 80, 96, 120, 200] {
            fs::create_dir_all(format!("{IMAGE}/etc")).expect("create");
            let size = format!("size={kilobytes}k");
            let mount = Command::new("mount")
                .args(["-n", "-t", "tmpfs", "-o", &size, "tmpfs", "/run/image/etc"])
                .status();
            assert!(mount.expect("mount").success());
            let filler = "x\n".repeat(8000);
            fs::write(format!("{IMAGE}/etc/passwd"), "alice:x:52001:52001::/:\ncarol:x:52003:52003::/:\n")
                .expect("write");
            for name in ["subuid", "subgid"] {
                fs::write(format!("{IMAGE}/etc/{name}"), &filler).expect("write");
            }
            let mut command = world.nsgate(ROOT);
            let answer = world.run(command.args(["--root", IMAGE]).args(case.args));
            let now = ["subuid", "subgid"]
                .map(|name| fs::read_to_string(format!("{IMAGE}/etc/{name}")).expect("read"));
            if answer.status == Some(0) {
                assert!(now.iter().all(|now| *now == format!("{filler}carol:100000:10\n")));
            } else {
                assert!(answer.stderr.contains("No space left"), "{answer:?}");
                assert!(now.iter().all(|now| *now == filler), "{answer:?}");
            }
            statuses.insert(answer.status);
            assert_clean("a full disk");
            assert!(Command::new("umount").arg("/run/image/etc").status().expect("umount").success());
        }
        assert_eq!(statuses, BTreeSet::from([Some(0), Some(1)]));
    });
}

fn limited(world: &World, case: &Case, size: u32, signal: &str) {
    case.lay_out();
    let mut command = world.command(ROOT, "/usr/bin/env");
    command.args([
        signal,
        "/usr/bin/prlimit",
        &format!("--fsize={size}"),
        "/run/world/bin/nsgate",
        "--root",
        IMAGE,
    ]);
    let answer = world.run(command.args(case.args));
    let context = format!("{:?} {size} {signal}: {answer:?}", case.args);
    assert_eq!(answer.status, Some(1), "{context}");
    assert!(answer.stderr.contains("File too large"), "{context}");
    assert_eq!(case.state(&context), vec![Is::Old; case.files.len()], "{context}");
    assert_clean(&context);
    assert!(!Path::new("/run/image/etc/subuid-").exists(), "{context}");
}

/// A16, M03
#[test]
fn a_limit_on_the_size_of_files_leaves_the_old_ones() {
    World::enter(|world| {
        for signal in ["--default-signal=XFSZ", "--ignore-signal=XFSZ", "--block-signal=XFSZ"] {
            for (case, size) in CASES.iter().flat_map(|case| [0, 1, 5, 10].map(|size| (case, size))) {
                limited(world, case, size, signal);
            }
            for size in [20, 30, 39] {
                limited(world, &CASES[0], size, signal);
            }
        }
        let case = &CASES[0];
        case.lay_out();
        let mut command = world.command(ROOT, "/usr/bin/prlimit");
        command.args(["--fsize=60", "/run/world/bin/nsgate", "--root", IMAGE]).args(case.args);
        assert_eq!(world.run(&mut command).status, Some(0));
    });
}
