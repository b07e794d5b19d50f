//! `nsgate grant` and `nsgate revoke`, with shadow's own programs beside them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use world::{ALICE, Answer, BOB, CAROL, ROOT, User, World, tree};

const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// Runs it. As root, where it sees no process but itself: user namespaces of other tests, and of this host, are none of ours.
fn nsgate(world: &World, user: User, args: &[&str]) -> Answer {
    if user != ROOT {
        return nsgate_among_all(world, user, args);
    }
    let mut command = world.command(ROOT, "/usr/bin/unshare");
    command.args(["--pid", "--fork", "--mount-proc", "/run/world/bin/nsgate"]);
    world.run_within(Duration::from_secs(60), command.args(args))
}

/// Runs it among all processes of this host.
fn nsgate_among_all(world: &World, user: User, args: &[&str]) -> Answer {
    world.run_within(Duration::from_secs(60), world.nsgate(user).args(args))
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// Success, and what was said.
#[track_caller]
fn says(answer: &Answer) -> &str {
    assert_eq!((answer.status, &*answer.stderr), (Some(0), ""), "{answer:?}");
    &answer.stdout
}

/// One line of refusal with this in it, and this status.
#[track_caller]
fn refused(answer: &Answer, status: i32, phrase: &str) {
    assert_eq!((answer.status, &*answer.stdout), (Some(status), ""), "{answer:?}");
    assert!(answer.stderr.starts_with("nsgate: ") && answer.stderr.lines().count() == 1, "{answer:?}");
    assert!(answer.stderr.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\n'), "{answer:?}");
    assert!(answer.stderr.contains(phrase), "{phrase:?} is not in {answer:?}");
}

/// Neither a lock nor a file that is there for a while has been left.
#[track_caller]
fn assert_clean(directory: &str) {
    for entry in fs::read_dir(directory).expect("read") {
        let name = entry.expect("entry").file_name().into_string().unwrap_or_default();
        let left = name.contains(".nsgate.") || name.ends_with(".lock") && name != ".pwd.lock";
        assert!(!left, "{directory}/{name} was left behind");
    }
}

fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start")
}

fn finish(child: Child) -> (bool, String) {
    let output = child.wait_with_output().expect("wait");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// What each owner has, in order of the ids.
fn ranges(file: &str) -> Vec<(u64, u64, String)> {
    let all = text(file);
    let mut ranges: Vec<_> = all
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            assert_eq!(fields.len(), 3, "{file}: {line:?}");
            let number = |field: &str| field.parse::<u64>().unwrap_or_else(|_| panic!("{file}: {line:?}"));
            (number(fields[1]), number(fields[2]), fields[0].to_owned())
        })
        .collect();
    ranges.sort();
    ranges
}

fn assert_nobody_overlaps(file: &str) {
    for pair in ranges(file).windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{file}: {pair:?}");
    }
}

/// M05, M09
#[test]
fn a_grant_is_the_same_in_both_files_and_backed_up() {
    World::enter(|world| {
        let before = FILES.map(text);
        let answer = nsgate(world, ROOT, &["grant", "ids", "carol"]);
        assert_eq!(
            says(&answer),
            "+ /etc/subuid:3: carol:100000:65536\n+ /etc/subgid:3: carol:100000:65536\n"
        );
        for (file, before) in FILES.iter().zip(before) {
            assert_eq!(text(file), format!("{before}carol:100000:65536\n"));
            assert_eq!(text(format!("{file}-")), before);
        }
        // Said again, it is so already.
        let again = nsgate(world, ROOT, &["grant", "ids", "carol", "--start", "100000"]);
        assert!(says(&again).contains("nothing to do"), "{again:?}");
        // The helper agrees.
        let target = world.target(CAROL);
        world.newuidmap(CAROL, &[&target.pid(), "0", "100000", "65536"]).succeeds();
        assert_clean("/etc");
    });
}

/// M01
#[test]
fn of_many_writers_at_once_none_loses_a_line() {
    World::enter(|world| {
        // Room for all of them, for useradd does not look where we do.
        world.append("/etc/login.defs", "\nSUB_UID_COUNT 1000\nSUB_GID_COUNT 1000\n");
        let mut children = Vec::new();
        for turn in 0..5 {
            let name = format!("new{turn}");
            children.push(start(world.command(ROOT, "/usr/sbin/useradd").args(["-M", &name])));
            for user in ["alice", "bob", "carol"] {
                children.push(start(world.nsgate(ROOT).args(["grant", "ids", user, "--count", "1000"])));
            }
            let range = format!("{0}-{0}", 50_000_000 + turn);
            let mut usermod = world.command(ROOT, "/usr/sbin/usermod");
            children.push(start(usermod.args(["--add-subuids", &range, "--add-subgids", &range, "carol"])));
        }
        // Shadow's programs do not wait for each other's file locks, only for the password lock; all the same all get through.
        let answers: Vec<_> = children.into_iter().map(finish).collect();
        for (succeeded, said) in &answers {
            assert!(succeeded, "{said}");
        }
        for file in FILES {
            assert_nobody_overlaps(file);
            let all = ranges(file);
            let of = |name: &str, count: u64| {
                all.iter().filter(|range| range.2 == name && range.1 == count).count()
            };
            for user in ["alice", "bob", "carol"] {
                assert_eq!(of(user, 1000), 5, "{user} in {file}: {all:?}");
            }
            assert_eq!(of("carol", 1), 5, "{file}: {all:?}");
            for turn in 0..5 {
                assert_eq!(of(&format!("new{turn}"), 1000), 1, "{file}: {all:?}");
            }
            assert_eq!(all.len(), 2 + 5 * 5, "{file}: {all:?}");
        }
        let ids = |file| {
            ranges(file).into_iter().filter(|range| !range.2.starts_with("new")).collect::<BTreeSet<_>>()
        };
        assert_eq!(ids(FILES[0]), ids(FILES[1]), "out of step");
        assert_clean("/etc");
    });
}

/// M01: vipw and lckpwdf(3) hold the lock for as long as somebody thinks.
#[test]
fn a_grant_waits_for_the_password_lock() {
    World::enter(|world| {
        let hold = "import fcntl, sys, time\nf = open('/etc/.pwd.lock', 'w')\nfcntl.lockf(f, fcntl.LOCK_EX)\n\
                    open('/run/held', 'w')\ntime.sleep(2)\nopen('/etc/subuid', 'a').write('zoe:100000:65536\\n')\n";
        let holder = start(world.command(ROOT, "/usr/bin/python3").args(["-I", "-c", hold]));
        while !Path::new("/run/held").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let answer = nsgate_among_all(world, ROOT, &["grant", "ids", "carol"]);
        assert_eq!(answer.status, Some(0), "{answer:?}");
        assert!(answer.stderr.contains("waiting for /etc/.pwd.lock, which process "), "{answer:?}");
        assert!(
            answer.stdout.contains("carol:") && !answer.stdout.contains("carol:100000:"),
            "what was written meanwhile is seen: {answer:?}"
        );
        assert!(finish(holder).0);
    });
}

/// M01
#[test]
fn a_stale_lock_is_taken_over_and_a_strange_one_is_not_touched() {
    World::enter(|world| {
        let mut gone = Command::new("/usr/bin/true").spawn().expect("start");
        let pid = gone.id();
        gone.wait().expect("wait");
        fs::write("/etc/subuid.lock", format!("{pid}\0")).expect("write");
        fs::write("/etc/.subgid.nsgate.0123", "half a fi").expect("write");
        says(&nsgate_among_all(world, ROOT, &["grant", "ids", "carol"]));
        assert_clean("/etc");

        let before = text(FILES[0]);
        fs::write("/run/precious", "1\n").expect("write");
        for link in ["/etc/subuid.lock", "/etc/subgid.lock"] {
            symlink("/run/precious", link).expect("symlink");
            refused(&nsgate_among_all(world, ROOT, &["grant", "ids", "carol"]), 1, "symbolic link");
            fs::remove_file(link).expect("it is still there");
        }
        fs::write("/etc/subgid.lock", "").expect("write");
        refused(&nsgate_among_all(world, ROOT, &["grant", "ids", "carol"]), 1, "rm /etc/subgid.lock");
        fs::remove_file("/etc/subgid.lock").expect("it is still there");
        fs::rename("/etc/.pwd.lock", "/etc/.pwd.lock.away").unwrap_or_default();
        symlink("/run/precious", "/etc/.pwd.lock").expect("symlink");
        refused(&nsgate_among_all(world, ROOT, &["grant", "ids", "carol"]), 1, "symbolic link");
        assert_eq!((text(FILES[0]), text("/run/precious")), (before, "1\n".to_owned()));
        fs::remove_file("/etc/.pwd.lock").expect("remove");
        assert_clean("/etc");
    });
}

/// M03
#[test]
fn what_cannot_be_replaced_is_refused_and_stays_as_it_is() {
    World::enter(|world| {
        let grant = || nsgate(world, ROOT, &["grant", "ids", "carol"]);
        let before = FILES.map(text);

        fs::rename("/etc/subgid", "/etc/real").expect("rename");
        symlink("real", "/etc/subgid").expect("symlink");
        refused(&grant(), 1, "/etc/subgid is a symbolic link to \"real\"");
        let hint = "cp --remove-destination \"$(readlink -f /etc/subgid)\" /etc/subgid";
        refused(&grant(), 1, hint);
        refused(&nsgate(world, ROOT, &["revoke", "ids", "alice"]), 1, "symbolic link");
        assert_eq!(fs::read_link("/etc/subgid").expect("still a link"), Path::new("real"));
        // What a user has written does not become the policy; and what is not there cannot be copied.
        fs::copy("/etc/real", "/tmp/his").expect("copy");
        chown("/tmp/his", Some(ALICE.id), None).expect("chown");
        for target in ["/tmp/his", "none"] {
            fs::remove_file("/etc/subgid").expect("remove");
            symlink(target, "/etc/subgid").expect("symlink");
            let answer = grant();
            refused(&answer, 1, "symbolic link");
            assert!(!answer.stderr.contains("cp "), "{answer:?}");
        }
        fs::remove_file("/etc/subgid").expect("remove");
        fs::rename("/etc/real", "/etc/subgid").expect("rename");

        let mount =
            |args: &[&str]| assert!(Command::new("mount").args(args).status().expect("mount").success());
        let umount = |on: &str| assert!(Command::new("umount").arg(on).status().expect("umount").success());
        mount(&["-n", "--bind", "/etc/subuid", "/etc/subuid"]);
        refused(&grant(), 1, "is a mount of its own");
        umount("/etc/subuid");

        mount(&["-n", "--bind", "/etc", "/etc"]);
        mount(&["-n", "-o", "remount,ro,bind", "/etc"]);
        refused(&grant(), 1, "mounted read-only");
        umount("/etc");

        fs::remove_file("/etc/subgid").expect("remove");
        nix::unistd::mkfifo("/etc/subgid", nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("mkfifo");
        refused(&grant(), 1, "not a regular file");
        fs::remove_file("/etc/subgid").expect("remove");
        fs::write("/etc/subgid", &before[1]).expect("write");
        assert_eq!(FILES.map(text), before);
        assert_clean("/etc");
    });
}

/// A directory beside the build, on a disk and not in memory: some things only a disk has.
struct OnDisk(PathBuf);

impl OnDisk {
    fn new(name: &str) -> Self {
        let path = tree().join("target/tmp").join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("etc")).expect("create");
        for file in ["passwd", "group", "login.defs"] {
            fs::copy(format!("/etc/{file}"), path.join("etc").join(file)).expect("copy");
        }
        for file in FILES {
            fs::write(path.join(file.trim_start_matches('/')), "alice:600000:65536\n").expect("write");
        }
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        drop(Command::new("chattr").args(["-R", "-i", "-a", self.path()]).status());
        drop(fs::remove_dir_all(&self.0));
    }
}

/// M03
#[test]
fn the_immutable_attribute_is_named() {
    World::enter(|world| {
        let image = OnDisk::new("immutable");
        let chattr = |what: &str, on: &str| {
            let done = Command::new("chattr").args([what, &format!("{}/{on}", image.path())]).status();
            assert!(done.expect("chattr").success(), "the tree is on a file system without attributes");
        };
        let grant = || nsgate(world, ROOT, &["--root", image.path(), "grant", "ids", "carol"]);
        for file in ["etc/subuid", "etc/subgid"] {
            chattr("+i", file);
            refused(&grant(), 1, "immutable or append-only attribute; chattr(1) takes it off");
            chattr("-i", file);
        }
        chattr("+i", "etc");
        refused(&grant(), 1, "immutable");
        chattr("-i", "etc");
        assert_eq!(text(image.0.join("etc/subuid")), "alice:600000:65536\n");
        says(&grant());
    });
}

/// M04, M05
#[test]
fn all_else_about_a_file_is_kept() {
    World::enter(|world| {
        let image = OnDisk::new("kept");
        let odd = "# remark\n\n\tx\r\nalice:600000:65536 \nbob:0x10:1\n+nis\nalice:700000:10\n\\u{e9}\nlast without end";
        for file in FILES {
            let path = image.0.join(file.trim_start_matches('/'));
            fs::write(&path, odd).expect("write");
            chown(&path, Some(7), Some(8)).expect("chown");
            let set = "import os, sys, struct\np = sys.argv[1]\nos.setxattr(p, 'user.mine', b'a\\0b')\n\
                       os.setxattr(p, 'trusted.mine', b'c')\n\
                       os.setxattr(p, 'security.selinux', b'system_u:object_r:etc_t:s0\\0')\n\
                       entries = [(1, 6, 0xffffffff), (2, 4, 1234), (4, 0, 0xffffffff), (0x10, 4, 0xffffffff), (0x20, 0, 0xffffffff)]\n\
                       os.setxattr(p, 'system.posix_acl_access', struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *e) for e in entries))\n";
            let done = Command::new("python3").args(["-I", "-c", set]).arg(&path).status().expect("python3");
            assert!(done.success(), "the tree is on a file system without extended attributes");
        }
        let attributes = |path: &Path| {
            let show = "import os, sys\np = sys.argv[1]\nprint(sorted((n, os.getxattr(p, n)) for n in os.listxattr(p)))\n";
            let shown = Command::new("python3").args(["-I", "-c", show]).arg(path).output().expect("python3");
            String::from_utf8(shown.stdout).expect("text")
        };
        let state = |path: &Path| {
            let status = fs::metadata(path).expect("metadata");
            (status.uid(), status.gid(), status.permissions().mode() & 0o7777, attributes(path))
        };
        let subuid = image.0.join("etc/subuid");
        let before = state(&subuid);
        assert!(before.3.contains("user.mine") && before.3.contains("posix_acl_access"), "{before:?}");
        assert!(before.3.contains("system_u:object_r:etc_t:s0"), "{before:?}");
        let modified = fs::metadata(&subuid).expect("metadata").modified().expect("time");
        says(&nsgate(world, ROOT, &["--root", image.path(), "grant", "ids", "carol"]));
        assert_eq!(text(&subuid), format!("{odd}\ncarol:100000:65536\n"));
        assert_eq!(state(&subuid), before);
        let backup = image.0.join("etc/subuid-");
        assert_eq!((text(&backup), state(&backup)), (odd.to_owned(), before));
        assert_eq!(fs::metadata(&backup).expect("metadata").modified().expect("time"), modified);
        // Taking it out again leaves the rest as it was.
        says(&nsgate(world, ROOT, &["--root", image.path(), "revoke", "ids", "carol"]));
        assert_eq!(text(&subuid), format!("{odd}\n"));
    });
}

/// M04
#[test]
fn files_that_are_missing_are_made() {
    World::enter(|world| {
        for file in FILES {
            fs::remove_file(file).expect("remove");
        }
        drop(fs::remove_dir_all("/etc/lxc"));
        let mut umask = world.command(ROOT, "/bin/sh");
        umask.args([
            "-c",
            "umask 077; /run/world/bin/nsgate grant ids carol && /run/world/bin/nsgate grant nic carol br0 3",
        ]);
        says(&world.run(&mut umask));
        for file in [FILES[0], FILES[1], "/etc/lxc/lxc-usernet"] {
            let status = fs::metadata(file).expect(file);
            assert_eq!(
                (status.uid(), status.gid(), status.permissions().mode() & 0o7777),
                (0, 0, 0o644),
                "{file}"
            );
        }
        assert_eq!(fs::metadata("/etc/lxc").expect("made").permissions().mode() & 0o7777, 0o755);
        assert_eq!(text("/etc/lxc/lxc-usernet"), "carol veth br0 3\n");
        assert_clean("/etc/lxc");
    });
}

/// M06
#[test]
fn where_there_is_no_room_nothing_is_granted_and_nothing_wraps() {
    World::enter(|world| {
        let defs = text("/etc/login.defs");
        world.append("/etc/login.defs", "\nSUB_UID_MIN 4294900000\nSUB_GID_MIN 4294900000\nSUB_UID_MAX 4294967295\nSUB_GID_MAX 99999999999\n");
        refused(&nsgate(world, ROOT, &["grant", "ids", "carol", "--count", "10"]), 3, "no room");
        for (start, count) in
            [("4294967290", "6"), ("4294967295", "1"), ("4294967294", "2"), ("1", "4294967295")]
        {
            let args = ["grant", "ids", "carol", "--start", start, "--count", count, "--force"];
            refused(&nsgate(world, ROOT, &args), 3, "the last id there is is 4294967294");
        }
        says(&nsgate(
            world,
            ROOT,
            &["grant", "ids", "carol", "--start", "4294967294", "--count", "1", "--force"],
        ));
        assert!(text(FILES[0]).ends_with("carol:4294967294:1\n"));

        world.write("/etc/login.defs", format!("{defs}\nSUB_UID_MIN 500000\nSUB_UID_MAX 100000\n"));
        refused(&nsgate(world, ROOT, &["grant", "ids", "carol"]), 3, "leaves no room");
        world.write("/etc/login.defs", format!("{defs}\nSUB_UID_MAX 200000\n"));
        says(&nsgate(world, ROOT, &["grant", "ids", "carol"]));
        refused(&nsgate(world, ROOT, &["grant", "ids", "bob"]), 3, "no room");
        says(&nsgate(world, ROOT, &["grant", "ids", "bob", "--count", "34465"]));
        refused(&nsgate(world, ROOT, &["grant", "ids", "bob", "--count", "1"]), 3, "no room");
    });
}

/// M08
#[test]
fn the_first_fit_meets_nobody_and_says_whom() {
    World::enter(|world| {
        world.append("/etc/passwd", "high:x:165536:250000::/:/bin/sh\n");
        world.append("/etc/group", "big:x:200000:\n");
        world.append("/etc/subgid", "bob:100000:1\n");
        // Among its own processes, and not those of other tests and of this host.
        let script = "setpriv --reuid 52001 --clear-groups unshare -U sleep 1000 & \
                      until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done; echo 0 305600 10 >/proc/$!/uid_map; \
                      /run/world/bin/nsgate grant ids carol --dry-run";
        let mut dry = world.command(ROOT, "/usr/bin/unshare");
        let dry = world.run(dry.args(["--pid", "--fork", "--mount-proc", "/bin/sh", "-c", script]));
        for why in [
            "100000: bob holds them (/etc/subgid:3)",
            "165536: it is the uid or login group of user high",
            "200000: it is the gid of group big",
            "250000: it is the uid or login group of user high",
            " (sleep) maps them just now",
            "  305600-305609: process ",
            "nothing was changed",
            "+ /etc/subuid:3: carol:305610:65536",
        ] {
            assert!(says(&dry).contains(why), "{why}: {dry:?}");
        }
        assert_eq!(text(FILES[0]), "alice:600000:65536\nbob:700000:65536\n");
        // Four have room below what systemd may take; the rest is given from there, around what others have.
        let granted: Vec<String> = (0..6)
            .map(|_| {
                let answer = nsgate(world, ROOT, &["grant", "ids", "carol", "--count", "65536"]);
                says(&answer).lines().next().expect("a line").rsplit(": ").next().expect("a range").to_owned()
            })
            .collect();
        let firsts = [250_001, 315_537, 381_073, 446_609, 512_145, 765_536];
        assert_eq!(granted, firsts.map(|first| format!("carol:{first}:65536")));
        for file in FILES {
            let all = ranges(file).into_iter().filter(|range| range.2 != "bob" || range.1 > 1);
            assert_eq!(all.filter(|range| range.2 == "carol").count(), 6);
        }
        // What root himself has, as Incus and LXD have it, is his.
        world.append("/etc/subuid", "root:1000000:1000000000\n");
        let answer = nsgate(world, ROOT, &["grant", "ids", "bob", "--start", "1500000", "--count", "10"]);
        refused(&answer, 3, "root holds them (/etc/subuid:");
        world.write("/etc/subuid", text(FILES[0]).replace("root:1000000:1000000000\n", ""));
        // Where systemd has containers, nothing of it is given.
        fs::create_dir_all("/run/systemd/machines").expect("create");
        fs::write("/run/systemd/machines/web", "").expect("write");
        let answer = nsgate(world, ROOT, &["grant", "ids", "bob"]);
        refused(&answer, 3, "no room");
        refused(
            &nsgate(world, ROOT, &["grant", "ids", "bob", "--start", "2000000"]),
            3,
            "the containers of systemd",
        );
    });
}

/// M08, M09
#[test]
fn ids_that_are_somebodys_are_granted_only_by_force() {
    World::enter(|world| {
        for (start, count, whose) in [
            ("600100", "10", "alice holds them (/etc/subuid:1)"),
            ("0", "1", "for root"),
            ("52001", "1", "UID_MAX"),
            ("60001", "1", "systemd-homed"),
            ("61184", "1", "dynamic users"),
            ("65534", "1", "nobody"),
            ("65535", "1", "(uid_t)-1"),
            ("2147483648", "65536", "FreeIPA"),
            ("2147352576", "65536", "foreign"),
        ] {
            let args = ["grant", "ids", "carol", "--start", start, "--count", count];
            let answer = nsgate(world, ROOT, &args);
            if start == "65535" {
                assert_eq!(answer.status, Some(3), "{answer:?}");
            } else {
                refused(&answer, 3, whose);
            }
        }
        assert!(!text(FILES[0]).contains("carol"));
        says(&nsgate(
            world,
            ROOT,
            &["grant", "ids", "carol", "--start", "600100", "--count", "10", "--force"],
        ));
        for file in FILES {
            assert!(text(file).ends_with("\ncarol:600100:10\n"));
        }
        // What only one file has is completed in the other.
        world.append("/etc/subgid", "carol:900000:5\n");
        let answer = nsgate(world, ROOT, &["grant", "ids", "carol", "--start", "900000", "--count", "10"]);
        assert!(
            says(&answer).contains("+ /etc/subuid:4: carol:900000:10\n+ /etc/subgid:5: carol:900005:5\n"),
            "{answer:?}"
        );
        // These were asked for: whether others are free is not why they are given.
        assert!(answer.stdout.contains("900000-900009 is within 524288-1879048191, where systemd takes ids"));
        assert!(!answer.stdout.contains("no others are free"));
        let answer = nsgate(world, ROOT, &["grant", "ids", "carol", "--start", "500000"]);
        let note = "note: 500000-565535 reaches into 524288-1879048191, where systemd takes ids";
        assert!(says(&answer).contains(note), "{answer:?}");
    });
}

/// No helper would map them.
#[test]
fn ids_that_the_hosts_rules_protect_are_not_granted() {
    World::enter(|world| {
        world.write("/etc/nsgate.ini", "[idmap]\nprotect = 0, 65534, 100000-100010\n");
        let grant = |more: &[&str]| nsgate(world, ROOT, &[&["grant", "ids", "carol"], more].concat());
        let why = "100000-100010: mapped for nobody (/etc/nsgate.ini:2 protect)";
        let answer = grant(&["--dry-run"]);
        assert!(says(&answer).contains(&format!("  {why}\n")), "{answer:?}");
        assert!(says(&grant(&[])).starts_with("+ /etc/subuid:3: carol:100011:65536\n"));
        let some = ["--start", "100005", "--count", "6"];
        refused(&grant(&some), 3, &format!("100005-100010 is not free: {why};"));
        let note = format!("note: what is granted of {why}\n").replace(": mapped", " is void: mapped");
        for _ in 0..2 {
            let answer = grant(&[&some[..], &["--force"]].concat());
            assert!(says(&answer).contains(&note), "{answer:?}");
        }
        let target = world.target(CAROL);
        assert_eq!(world.newuidmap(CAROL, &[&target.pid(), "0", "100005", "6"]).status, Some(1));
        world.newuidmap(CAROL, &[&target.pid(), "0", "100011", "65536"]).succeeds();
    });
}

/// M10
#[test]
fn revoking_names_those_who_go_on_and_ends_nobody() {
    World::enter(|world| {
        let target = world.target(ALICE);
        world.newuidmap(ALICE, &[&target.pid(), "0", "600100", "10"]).succeeds();
        let dry = nsgate_among_all(
            world,
            ROOT,
            &["revoke", "ids", "alice", "--start", "600105", "--count", "1", "--dry-run"],
        );
        assert!(says(&dry).contains("+ /etc/subuid:2: alice:600106:65430\n"), "{dry:?}");
        assert!(says(&dry).contains(&format!("  {} (sleep): 600105\n", target.pid())), "{dry:?}");
        assert_eq!(text(FILES[0]), "alice:600000:65536\nbob:700000:65536\n");

        let answer = nsgate_among_all(world, ROOT, &["revoke", "ids", "alice", "--json"]);
        let said = says(&answer);
        let live = format!("\"pid\": {}", target.pid());
        assert!(said.contains(&live) && said.contains("find / "), "{said}");
        for file in FILES {
            assert_eq!(text(file), "bob:700000:65536\n");
            assert_eq!(text(format!("{file}-")), "alice:600000:65536\nbob:700000:65536\n");
        }
        assert_eq!(target.uid_map(), "0 600100 10");
        refused(&nsgate_among_all(world, ROOT, &["revoke", "ids", "alice"]), 1, "holds no ids");
        // Of an account that is gone, lines are left.
        world.append("/etc/subuid", "gone:900000:10\n");
        says(&nsgate_among_all(world, ROOT, &["revoke", "ids", "gone"]));
        assert_eq!(text(FILES[0]), "bob:700000:65536\n");
    });
}

/// M16
#[test]
fn whoever_is_not_root_is_told_so_at_once() {
    World::enter(|world| {
        let before = FILES.map(text);
        for args in [
            &["grant", "ids", "alice"][..],
            &["grant", "nic", "alice", "br0", "5"],
            &["revoke", "ids", "bob"],
            &["revoke", "nic", "alice", "br0"],
            &["edit", "subuid"],
        ] {
            refused(&nsgate(world, ALICE, args), 1, "only root");
        }
        // To look costs nothing.
        assert!(
            says(&nsgate(world, ALICE, &["grant", "ids", "alice", "--dry-run"]))
                .contains("nothing was changed")
        );
        assert_eq!(FILES.map(text), before);
        assert_clean("/etc");
    });
}

/// M16: nobody else's image either.
#[test]
fn an_image_is_changed_by_its_owner_and_only_within() {
    World::enter(|world| {
        let image = "/home/alice/image";
        for directory in ["", "/real-etc", "/etc-of-others"] {
            fs::create_dir(format!("{image}{directory}")).expect("create");
            chown(format!("{image}{directory}"), Some(ALICE.id), Some(ALICE.id)).expect("chown");
        }
        // In the image, /etc is a link that leads to the image's own /real-etc, and not to the host's.
        symlink("/real-etc", format!("{image}/etc")).expect("symlink");
        fs::create_dir("/real-etc").unwrap_or_default();
        fs::write(format!("{image}/real-etc/passwd"), "ann:x:1000:1000::/:\n").expect("write");
        let grant = ["--root", image, "grant", "ids", "ann"];
        refused(&nsgate(world, BOB, &grant), 1, "belongs to uid 52001");
        says(&nsgate(world, ALICE, &grant));
        assert_eq!(text(format!("{image}/real-etc/subuid")), "ann:100000:65536\n");
        assert_eq!(fs::metadata(format!("{image}/real-etc/subgid")).expect("made").uid(), ALICE.id);
        // Accounts of this host are none there.
        for (what, missing) in [
            (&["ids", "alice"][..], "there is no user \"alice\" in the image's /etc/passwd\n"),
            (
                &["nic", "alice", "br0", "2"],
                "there is no user \"alice\" in the image's /etc/passwd, or for a group",
            ),
            (&["nic", "@root", "br0", "2"], "there is no group \"root\" in the image's /etc/group\n"),
        ] {
            let answer = nsgate(world, ALICE, &[&["--root", image, "grant"], what].concat());
            refused(&answer, 1, missing);
        }
        let show = format!("and is no account; who holds what: nsgate --root {image} show\n");
        refused(&nsgate(world, ALICE, &["--root", image, "revoke", "ids", "alice"]), 1, &show);
        says(&nsgate(world, ALICE, &["--root", image, "grant", "nic", "ann", "br0", "2"]));
        assert_eq!(text(format!("{image}/real-etc/lxc/lxc-usernet")), "ann veth br0 2\n");
        assert!(!Path::new("/real-etc/subuid").exists());
        fs::remove_dir("/real-etc").unwrap_or_default();
    });
}

/// M18
#[test]
fn names_that_no_line_can_hold_are_refused() {
    World::enter(|world| {
        fs::create_dir_all("/etc/lxc").expect("create");
        let usernet = "# by hand\nalice veth br0 2 # two\n@lab veth br0 1\n";
        world.write("/etc/lxc/lxc-usernet", usernet);
        world.append(
            "/etc/passwd",
            "a b:x:52010:52010::/:\nx$(reboot):x:52011:52011::/:\n123:x:52012:52012::/:\n",
        );
        for (owner, phrase) in [
            ("a b", "blank"),
            ("a\nroot veth br0 9", "blank"),
            ("a:b", "colon"),
            ("\x1b[2Jx", "control"),
            ("@", "empty"),
            ("#alice", "remark"),
            ("nobody-at-all", "no user"),
            ("@nobody-at-all", "no group"),
            ("52001", "nsgate grant nic alice br0 5"),
        ] {
            refused(&nsgate(world, ROOT, &["grant", "nic", owner, "br0", "5"]), 1, phrase);
        }
        for (bridge, phrase) in [
            ("br 0", "character"),
            ("averyveryverylongname", "15 bytes"),
            ("br%d", "%u"),
            ("", "empty"),
            ("nsbridge012-%u", "15 bytes"),
        ] {
            refused(&nsgate(world, ROOT, &["grant", "nic", "alice", bridge, "5"]), 1, phrase);
        }
        assert_eq!(text("/etc/lxc/lxc-usernet"), usernet);
        assert!(
            says(&nsgate(world, ROOT, &["grant", "nic", "alice", "br0", "7"]))
                .contains("+ /etc/lxc/lxc-usernet:2: alice veth br0 7 # two")
        );
        assert!(says(&nsgate(world, ROOT, &["grant", "nic", "alice", "br0", "7"])).contains("nothing to do"));
        says(&nsgate(world, ROOT, &["grant", "nic", "x$(reboot)", "none", "1"]));
        says(&nsgate(world, ROOT, &["grant", "nic", "alice", "nsbr-%u", "10"]));
        let after = "# by hand\nalice veth br0 7 # two\n@lab veth br0 1\nx$(reboot) veth none 1\nalice veth nsbr-%u 10\n";
        assert_eq!(text("/etc/lxc/lxc-usernet"), after);
        says(&nsgate(world, ROOT, &["revoke", "nic", "@lab", "br0"]));
        refused(&nsgate(world, ROOT, &["revoke", "nic", "@lab", "br0"]), 1, "no line");
        assert_eq!(text("/etc/lxc/lxc-usernet"), after.replace("@lab veth br0 1\n", ""));
        // In subuid, a name that would be read as somebody else's uid gives way to the uid.
        says(&nsgate(world, ROOT, &["grant", "ids", "123", "--count", "10"]));
        says(&nsgate(world, ROOT, &["grant", "ids", "a b", "--count", "10"]));
        assert!(text(FILES[0]).ends_with("52012:100000:10\na b:100010:10\n"), "{}", text(FILES[0]));
        assert_clean("/etc/lxc");
    });
}

/// M15
#[test]
fn json_is_as_its_schema_says() {
    World::enter(|world| {
        fs::create_dir_all("/etc/lxc").expect("create");
        let target = world.target(ALICE);
        world.newuidmap(ALICE, &[&target.pid(), "0", "600100", "10"]).succeeds();
        world.append("/etc/subuid", "ev\x1b[2J\u{e9}il:100000:65536\n");
        for args in [
            &["grant", "ids", "carol", "--dry-run"][..],
            &["grant", "ids", "carol"],
            &["grant", "ids", "carol", "--start", "165536"],
            &["grant", "nic", "alice", "br0", "5"],
            &["grant", "nic", "alice", "br0", "9"],
            &["revoke", "ids", "alice"],
            &["revoke", "ids", "ev\x1b[2J\u{e9}il"],
            &["revoke", "nic", "alice", "br0"],
        ] {
            let answer = nsgate_among_all(world, ROOT, &[args, &["--json"]].concat());
            let said = says(&answer);
            assert!(said.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\n'), "{said:?}");
            fs::write("/run/document", said).expect("write");
            let schema = tree().join(format!("policy/schema/{}.json", args[0]));
            let check = "import json, sys, jsonschema\nschema, document = (json.load(open(p)) for p in sys.argv[1:])\n\
                         jsonschema.Draft202012Validator.check_schema(schema)\njsonschema.validate(document, schema)\n";
            let mut validate = world.command(ROOT, "/usr/bin/python3");
            validate.args(["-I", "-c", check]).arg(schema).arg("/run/document");
            world.run(&mut validate).succeeds();
        }
        let two = ["grant", "ids", "carol", "--start", "600000", "--json", "--force"];
        says(&nsgate(world, ROOT, &two));
        refused(
            &nsgate(world, ROOT, &["grant", "ids", "bob", "--start", "600000", "--json"]),
            3,
            "carol holds them",
        );
    });
}

/// M08: LDAP's accounts, where it lists them; and where it does not answer, nobody waits for ever.
#[test]
fn accounts_of_name_services_are_asked_for_and_not_waited_for() {
    World::enter(|world| {
        world.write("/etc/nsswitch.conf", "passwd: files ldap\ngroup: files ldap\n");
        fs::create_dir("/run/world/fake").expect("create");
        let fake = |path: &str, script: &str| {
            fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("write");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
        };
        // What the caller's PATH has is not asked: after su(1) it may be a user's.
        fake("/run/world/fake/getent", "touch /run/world/fake/asked");
        fake("/run/world/getent", "exit 2");
        let mut bind = Command::new("mount");
        assert!(
            bind.args(["-n", "--bind", "/run/world/getent", "/usr/bin/getent"])
                .status()
                .expect("mount")
                .success()
        );
        let fake = |script: &str| fake("/run/world/getent", script);
        let dry = || {
            let mut command = world.command(ROOT, "/usr/bin/unshare");
            command.args(["--pid", "--fork", "--mount-proc", "/run/world/bin/nsgate"]);
            command.args(["grant", "ids", "carol", "--dry-run"]).env("PATH", "/run/world/fake:/usr/bin");
            world.run_within(Duration::from_secs(100), &mut command)
        };
        fake("case $1 in passwd) echo far:x:100007:100008::/:;; group) echo away:x:165544:;; esac");
        let answer = dry();
        assert!(says(&answer).contains("  100007: it is the uid or login group of user far"), "{answer:?}");
        assert!(answer.stdout.contains("  165544: it is the gid of group away"), "{answer:?}");
        assert!(
            answer.stdout.contains("carol:165545:65536")
                && answer.stdout.contains("accounts come from ldap too"),
            "{answer:?}"
        );
        fake("exec sleep 1000");
        let answer = dry();
        assert!(says(&answer).contains("no answer in 10 seconds"), "{answer:?}");
        assert!(answer.stdout.contains("carol:100000:65536"), "{answer:?}");
        fake("yes x | head -c 100000000; yes x | tr -d '\\n' | head -c 100000000");
        assert!(says(&dry()).contains("carol:100000:65536"));
        assert!(!Path::new("/run/world/fake/asked").exists());
    });
}

/// M09: what a kill between the two files leaves is said, with the command that mends it.
#[test]
fn what_only_one_file_has_is_said() {
    World::enter(|world| {
        world.append("/etc/subuid", "carol:900000:10\n");
        let answer = nsgate(world, ROOT, &["grant", "ids", "carol", "--count", "20"]);
        let mend = "nsgate grant ids carol --start 900000 --count 10";
        assert!(
            says(&answer).contains("carol holds 900000-900009 in /etc/subuid only")
                && answer.stdout.contains(mend),
            "{answer:?}"
        );
        let words: Vec<&str> = mend.split(' ').skip(1).collect();
        assert_eq!(
            says(&nsgate(world, ROOT, &words)).lines().next(),
            Some("+ /etc/subgid:4: carol:900000:10")
        );
    });
}

/// M14: many lines, junk among them, cost no more than reading them.
#[test]
fn a_file_of_a_million_lines_is_no_hindrance() {
    World::enter(|world| {
        let mut lines = String::new();
        for number in 0..500_000_u32 {
            lines.push_str(&format!("u{number}:{}:10\n# {number}\n", 100_000 + 20 * number));
        }
        for file in FILES {
            world.write(file, &lines);
        }
        let answer = nsgate(world, ROOT, &["grant", "ids", "carol", "--count", "11"]);
        let granted = format!("+ /etc/subuid:1000001: carol:{}:11", 100_000 + 20 * 499_999 + 10);
        assert!(says(&answer).starts_with(&granted), "{answer:?}");
        let answer = nsgate(world, ROOT, &["revoke", "ids", "carol"]);
        assert!(says(&answer).starts_with("- /etc/subuid:1000001: "), "{answer:?}");
        for file in FILES {
            assert!(text(file) == lines, "{file}");
        }
    });
}

/// M01: whoever interrupts it has either waited in vain or changed all of it; no lock is left for others to find.
#[test]
fn an_interrupt_leaves_nothing_behind() {
    World::enter(|world| {
        for turn in 0..40_u32 {
            let before = text(FILES[0]);
            let start_at = (3_000_000 + turn * 10).to_string();
            let mut command = world.nsgate(ROOT);
            let child = start(command.args(["grant", "ids", "carol", "--count", "10", "--start", &start_at]));
            std::thread::sleep(Duration::from_micros(u64::from(turn) * 500));
            let pid = child.id().to_string();
            drop(Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status());
            finish(child);
            let new = format!("{before}carol:{start_at}:10\n");
            for file in FILES {
                assert!([&before, &new].contains(&&text(file)), "{file}: {}", text(file));
            }
            assert_eq!(text(FILES[0]), text(FILES[1]), "out of step");
            assert!(!Path::new("/etc/subuid.lock").exists() && !Path::new("/etc/subgid.lock").exists());
        }
    });
}

/// Debian's newuidmap takes each of these for 200000-265535: whoever got them from us besides would share them with bob.
#[test]
fn ids_that_a_line_gives_to_somebody_for_shadow_alone_are_not_given_again() {
    World::enter(|world| {
        for line in [
            "bob:0x30d40:65536",
            "bob: 200000:65536",
            "bob:0606500:65536",
            "bob:200000:65536:x",
            "bob:+200000:65536",
            "bob:200000:0x10000",
        ] {
            for file in FILES {
                world.write(file, format!("carol:100000:100000\n{line}\n"));
            }
            let taken = nsgate(world, ROOT, &["grant", "ids", "alice", "--start", "265535", "--count", "1"]);
            refused(&taken, 3, "265535 is not free: 200000-265535: bob holds them for programs that");
            let answer = nsgate(world, ROOT, &["grant", "ids", "alice", "--count", "10"]);
            assert!(says(&answer).contains("/etc/subuid:3: alice:265536:10"), "{line}: {answer:?}");
            let answer = nsgate(world, ROOT, &["revoke", "ids", "carol"]);
            assert!(!says(&answer).contains("odd numbers"), "{line}: {answer:?}");
            world.append("/etc/subuid", "bob:900000:1\n");
            let answer = nsgate(world, ROOT, &["revoke", "ids", "bob"]);
            let left =
                says(&answer).matches("grants him nothing, but programs that read odd numbers").count();
            assert_eq!(left, 2, "{line}: {answer:?}");
            // There is nothing of his to take out for us; but something.
            let again = nsgate(world, ROOT, &["revoke", "ids", "bob"]);
            let places = "/etc/subuid:1 and /etc/subgid:1 grant nothing to the helpers, but programs that read odd numbers";
            refused(&again, 1, places);
            assert!(again.stderr.ends_with("nsgate edit subuid && nsgate edit subgid\n"), "{again:?}");
        }
    });
}

/// M10: where containers' files are is often a file system of its own.
#[test]
fn the_command_that_finds_files_of_revoked_ids_finds_them_on_every_local_file_system() {
    World::enter(|world| {
        let mount = |kind: &str, on: &str| {
            fs::create_dir_all(on).expect("create");
            let mounted = Command::new("mount").args(["-n", "-t", kind, kind, on]).status().expect("mount");
            assert!(mounted.success());
        };
        mount("tmpfs", "/run/there/home");
        mount("proc", "/run/there/proc");
        for (name, uid, gid) in [("his", 600_100, 0), ("hers", 0, 600_100), ("others", 599_999, 665_536)] {
            let path = format!("/run/there/home/{name}");
            fs::write(&path, "").expect("write");
            chown(path, Some(uid), Some(gid)).expect("chown");
        }
        let answer = nsgate(world, ROOT, &["revoke", "ids", "alice", "--dry-run"]);
        let command =
            says(&answer).lines().find_map(|line| line.split_once("these ids: ")).expect("a command").1;
        assert!(command.starts_with("find / "), "{command}");
        // All of this host would take long.
        let command = command.replacen("find /", "find /run/there", 1);
        let found = world.run(world.command(ROOT, "/bin/sh").args(["-c", &command]));
        let found: Vec<_> = says(&found).lines().filter_map(|line| line.rsplit('/').next()).collect();
        assert_eq!(BTreeSet::from_iter(found), BTreeSet::from(["his", "hers"]));
    });
}

/// M09: what is in the files is not always what holds.
#[test]
fn a_grant_that_the_helpers_do_not_go_by_says_so() {
    World::enter(|world| {
        fs::create_dir_all("/etc/lxc").expect("create");
        world.write("/etc/lxc/lxc-usernet", "");
        let ids = || nsgate(world, ROOT, &["grant", "ids", "carol", "--count", "1"]);
        let nic = |count: u32| nsgate(world, ROOT, &["grant", "nic", "carol", "none", &count.to_string()]);
        let void = "every request, this grant or not";
        assert!(!says(&ids()).contains("note: the helpers") && !says(&nic(1)).contains(void));
        let mode = |file: &str, mode| {
            fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("chmod");
        };
        for (file, helper) in
            [("subuid", "newuidmap"), ("subgid", "newgidmap"), ("lxc/lxc-usernet", "lxc-user-nic")]
        {
            let path = format!("/etc/{file}");
            mode(&path, 0o666);
            let answer = if helper == "lxc-user-nic" { nic(2) } else { ids() };
            let note = format!("note: {helper} refuses {void}: {path} is not trusted");
            assert!(says(&answer).contains(&note), "{note}: {answer:?}");
            mode(&path, 0o644);
        }
        world.write("/etc/nsgate.ini", "[idmap]\n");
        mode("/etc/nsgate.ini", 0o666);
        let note = format!("note: the helpers refuse {void}: /etc/nsgate.ini");
        for answer in [ids(), nic(3)] {
            assert!(says(&answer).contains(&format!("{note} is not trusted")), "{answer:?}");
        }
        world.write("/etc/nsgate.ini", "[idmap]\nbad = 1\n");
        for answer in [ids(), nic(4)] {
            assert!(says(&answer).contains(&format!("{note}:2: ")), "{answer:?}");
        }
        fs::remove_file("/etc/nsgate.ini").expect("remove");
        let nsswitch = text("/etc/nsswitch.conf");
        for (line, note) in [
            ("sss", "note: this grants nothing: the subid: line"),
            ("files [NOTFOUND=return] sss", "note: newuidmap and newgidmap refuse every request"),
            ("files sss", "so these files alone do not decide"),
        ] {
            world.write("/etc/nsswitch.conf", format!("subid: {line}\n{nsswitch}"));
            let answer = ids();
            assert!(says(&answer).contains(note), "{line}: {answer:?}");
        }
    });
}

/// M18: as nsgate check would say a moment later.
#[test]
fn what_is_odd_about_a_new_line_for_a_bridge_is_said_at_once() {
    World::enter_with_nic(|world| {
        world.append("/etc/passwd", "lass:x:52001:52001::/:/bin/sh\n");
        world.usernet("lass veth lxcbr0 3\n");
        world.bridge("lxcbr0");
        for (bridge, note) in [
            ("lo", "note: \"lo\" is an interface and no bridge [not-a-bridge]"),
            ("nobr", "note: there is no bridge \"nobr\" on this machine [missing-bridge]"),
            (
                "lxcbr0",
                "note: alice has 3 there, by /etc/lxc/lxc-usernet:1 (lass, the same uid): the larger number holds",
            ),
        ] {
            let answer = nsgate(world, ROOT, &["grant", "nic", "alice", bridge, "2"]);
            assert!(says(&answer).contains(note), "{answer:?}");
            assert_eq!(answer.stdout.matches("note: ").count(), 1, "{answer:?}");
        }
        let answer = nsgate(world, ROOT, &["revoke", "nic", "alice", "lxcbr0"]);
        let note = "note: alice may still have 3 there, by /etc/lxc/lxc-usernet:1 (lass)";
        assert!(says(&answer).contains(note), "{answer:?}");
        let again = nsgate(world, ROOT, &["revoke", "nic", "alice", "lxcbr0"]);
        refused(&again, 1, "who has what: cat -v /etc/lxc/lxc-usernet");
        // Of one who is gone it is not known which are his.
        world.append("/etc/lxc/lxc-usernet", "gone veth lxcbr0 1\n");
        let answer = nsgate(world, ROOT, &["revoke", "nic", "gone", "lxcbr0"]);
        assert!(says(&answer).contains("note: interfaces that are there stay until"), "{answer:?}");
        // What has been done is no failure, so nothing is.
        fs::rename("/etc/passwd", "/etc/passwd.old").expect("rename");
        fs::create_dir("/etc/passwd").expect("create");
        let before = text("/etc/lxc/lxc-usernet");
        let answer = nsgate(world, ROOT, &["revoke", "nic", "lass", "lxcbr0"]);
        refused(&answer, 1, "/etc/passwd is not a regular file");
        assert_eq!(text("/etc/lxc/lxc-usernet"), before);
    });
}

#[test]
fn of_many_odd_lines_a_few_are_named() {
    World::enter(|world| {
        world.write("/etc/subuid", "alice:0100:5\n".repeat(30));
        world.write("/etc/subgid", "");
        let places =
            "/etc/subuid:1 and /etc/subuid:2 and /etc/subuid:3 and /etc/subuid:4 and 26 more grant nothing";
        refused(&nsgate(world, ROOT, &["revoke", "ids", "alice"]), 1, places);
        world.append("/etc/subuid", "alice:100000:5\n");
        let answer = nsgate(world, ROOT, &["revoke", "ids", "alice"]);
        assert_eq!(says(&answer).matches("grants him nothing").count(), 20, "{answer:?}");
        assert!(answer.stdout.contains("note: and so do 10 more lines\n"), "{answer:?}");
    });
}

/// M15
#[test]
fn a_path_on_the_command_line_is_shown_without_its_control_bytes() {
    World::enter(|world| {
        let root = nsgate(world, ROOT, &["--root", "/x\x1b[31m", "show"]);
        refused(&root, 1, "cannot open /x\\x1b[31m: No such file or directory\n");
        let svg = nsgate(world, ROOT, &["show", "--svg", "/nodir\x1b/x.svg"]);
        refused(&svg, 1, "cannot write /nodir\\x1b/x.svg: No such file or directory\n");
    });
}

#[test]
fn a_file_without_end_in_an_image_is_refused_and_not_read() {
    World::enter(|world| {
        fs::create_dir_all("/tmp/image/etc").expect("mkdir");
        for file in ["passwd", "subuid"] {
            for name in ["passwd", "group", "subuid", "subgid"] {
                let text = if name == "passwd" { "root:x:0:0::/:/bin/sh\n" } else { "" };
                world.write(&format!("/tmp/image/etc/{name}"), text);
            }
            let large = fs::File::options().write(true).open(format!("/tmp/image/etc/{file}")).expect("open");
            large.set_len(1 << 31).expect("truncate");
            let answer = nsgate(world, ROOT, &["--root", "/tmp/image", "grant", "ids", "root"]);
            refused(&answer, 1, &format!("cannot read /etc/{file}: it is larger than 1024 MiB"));
        }
    });
}

/// Whoever made the image would like root to do something to the files of this machine: that command may find a link on its way.
#[test]
fn what_would_help_an_image_is_no_command_that_goes_by_path() {
    World::enter(|world| {
        fs::create_dir_all("/tmp/image/etc").expect("mkdir");
        world.write("/tmp/image/etc/passwd", "root:x:0:0::/:/bin/sh\n");
        let grant = ["--root", "/tmp/image", "grant", "ids", "root"];
        for (name, command) in [
            (".pwd.lock", "which no lock file is: remove it from the image\n"),
            ("subuid.lock", "which no lock file is: remove it from the image\n"),
            ("subgid", "change it there\n"),
        ] {
            let path = format!("/tmp/image/etc/{name}");
            symlink("/etc/shadow", &path).expect("symlink");
            refused(&nsgate(world, ROOT, &grant), 1, command);
            fs::remove_file(&path).expect("remove");
        }
        world.write("/tmp/image/etc/subuid.lock", "");
        refused(&nsgate(world, ROOT, &grant), 1, "if nobody edits /etc/subuid: remove it from the image\n");
        fs::remove_file("/tmp/image/etc/subuid.lock").expect("remove");
        world.write("/tmp/image/etc/subuid", "root:100000:65536\r\nroot:200000:10\x20\n");
        world.write("/tmp/image/etc/lxc-usernet", "");
        for nsswitch in ["subid: a/../b\n", "subid: nosuch\n", "subid: a/../b\nsubid: files\n"] {
            world.write("/tmp/image/etc/nsswitch.conf", nsswitch);
            fs::set_permissions("/tmp/image/etc/subuid", fs::Permissions::from_mode(0o666)).expect("chmod");
            for verb in ["check", "doctor"] {
                let said = nsgate(world, ROOT, &["--root", "/tmp/image", verb]).stdout;
                assert!(
                    said.contains("/etc/nsswitch.conf:") || said.contains("/etc/subuid:"),
                    "{verb}: {said}"
                );
                for by_path in ["sed -i", "EDITOR", "rm ", "chattr", "chown", "chmod", "mount"] {
                    assert!(!said.contains(by_path), "{verb}: {by_path} in {said}");
                }
            }
        }
    });
}

/// It may have been put there after root has looked at the image.
#[test]
fn nothing_is_written_where_a_link_leads_to_the_image() {
    World::enter(|world| {
        fs::create_dir_all("/tmp/image/etc").expect("mkdir");
        world.write("/tmp/image/etc/passwd", "root:x:0:0::/:/bin/sh\nalice:x:52001:52001::/:/bin/sh\n");
        symlink("/tmp/image", "/tmp/link").expect("symlink");
        for root in ["/tmp/link", "/tmp/link/.", "/proc/self/root/tmp/image"] {
            let grant = ["--root", root, "grant", "ids", "alice", "--dry-run"];
            says(&nsgate(world, ROOT, &grant));
            refused(&nsgate(world, ROOT, &grant[..5]), 1, "by way of a symbolic link");
            refused(
                &nsgate(world, ROOT, &["--root", root, "edit", "subuid"]),
                1,
                "by way of a symbolic link",
            );
        }
        assert!(!Path::new("/tmp/image/etc/subuid").exists());
        // What is suggested goes by the directory itself.
        let said = nsgate(world, ROOT, &["--root", "/tmp/link/.", "doctor"]).stdout;
        assert!(said.contains("# nsgate --root /tmp/image grant ids alice\n"), "{said}");
        says(&nsgate(world, ROOT, &["--root", "/tmp/image", "grant", "ids", "alice"]));
        for root in ["/tmp/link", "/tmp/link/.", "/proc/self/root/tmp/image"] {
            let revoke = ["--root", root, "revoke", "ids", "alice"];
            refused(&nsgate(world, ROOT, &revoke), 1, "by way of a symbolic link");
        }
        // Whoever is not root has his own rights alone.
        chown("/tmp/image", Some(ALICE.id), Some(ALICE.id)).expect("chown");
        chown("/tmp/image/etc", Some(ALICE.id), Some(ALICE.id)).expect("chown");
        for file in fs::read_dir("/tmp/image/etc").expect("read") {
            chown(file.expect("a file").path(), Some(ALICE.id), Some(ALICE.id)).expect("chown");
        }
        says(&nsgate(world, ALICE, &["--root", "/tmp/link", "revoke", "ids", "alice"]));
    });
}

/// The C library takes these for accounts: `getent passwd zed` says 200000.
#[test]
fn ids_of_accounts_whose_numbers_are_oddly_written_are_not_granted() {
    World::enter(|world| {
        world.append("/etc/passwd", "zed:x:0200000:0200001::/:/bin/sh\nyan:x: 200002:+200003::/:/bin/sh\n");
        world.append("/etc/group", "odd:x:00200004:\n");
        for id in 200_000..=200_004 {
            let grant = ["grant", "ids", "alice", "--start", &id.to_string(), "--count", "1"];
            refused(&nsgate(world, ROOT, &grant), 3, &format!("{id} is not free"));
        }
    });
}
