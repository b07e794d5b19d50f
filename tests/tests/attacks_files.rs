//! Section D of the attack list: what may stand in `/etc/subuid` and `/etc/subgid`, and around them, and what of it
//! counts. Each file is asked about through both helpers, and the kernel is asked what came of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use world::{ALICE, Answer, BOB, CAROL, Install, NOBODY_AT_ALL, ROOT, Target, User, World, theirs};

const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// What the C helpers make of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Theirs {
    Same,
    /// It grants 800000 to 800009.
    Grants,
    /// Not to be asked: they get lost in a way that this file does not need to show.
    Unasked,
}
use Theirs::{Grants, Same, Unasked};

/// The same text in both policy files.
fn policy(world: &World, text: impl AsRef<[u8]>) {
    for file in FILES {
        world.write(file, text.as_ref());
    }
}

/// A line between two good ones, which give alice 600000 to 600019.
fn among(line: impl AsRef<[u8]>) -> Vec<u8> {
    [b"alice:600000:10\n", line.as_ref(), b"\nalice:600010:10\n"].concat()
}

/// Asks both helpers for the same ids.
fn ask(world: &World, user: User, target: &Target, host: u64, count: u64) -> [Answer; 2] {
    let (pid, host, count) = (target.pid(), host.to_string(), count.to_string());
    let args = [&*pid, "0", &*host, &*count];
    [world.newuidmap(user, &args), world.newgidmap(user, &args)]
}

/// Policy gives the user these ids: the kernel has the maps.
#[track_caller]
fn granted(world: &World, user: User, host: u64, count: u64) {
    let target = world.target(user);
    for answer in ask(world, user, &target, host, count) {
        assert_eq!((answer.status, &*answer.stdout), (Some(0), ""), "{answer:?}");
        assert!(theirs() || answer.stderr.is_empty(), "{answer:?}");
    }
    let map = format!("0 {host} {count}");
    assert_eq!(
        (target.uid_map(), target.gid_map(), target.setgroups()),
        (map.clone(), map, "allow".to_owned())
    );
}

/// Policy does not give them: the kernel has nothing. In the reason that ours gives, `XID` is uid or gid.
#[track_caller]
fn refused(world: &World, user: User, host: u64, count: u64, reason: &str) {
    let target = world.target(user);
    for (answer, kind) in ask(world, user, &target, host, count).iter().zip(["uid", "gid"]) {
        let end = host + count;
        let range = format!("{kind} range [0-{count}) -> [{host}-{end}) not allowed");
        let reason = reason.replace("XID", kind);
        answer.refuses(&if theirs() { range } else { format!("{range}: {reason}") });
    }
    target.assert_untouched();
}

/// The files cannot be used: ours says so, for each kind. The C helpers end without a word.
#[track_caller]
fn unusable(world: &World, user: User, host: u64, count: u64, reason: &str) {
    let target = world.target(user);
    for (answer, kind) in ask(world, user, &target, host, count).iter().zip(["uid", "gid"]) {
        answer.refuses(&if theirs() { String::new() } else { reason.replace("XID", kind) });
    }
    target.assert_untouched();
}

/// One's own uid and gid can be mapped without any grant, and setgroups is denied then.
#[track_caller]
fn own_ids_work(world: &World, user: User) {
    let target = world.target(user);
    for answer in ask(world, user, &target, user.id.into(), 1) {
        assert_eq!((answer.status, &*answer.stdout), (Some(0), ""), "{answer:?}");
    }
    let map = format!("0 {} 1", user.id);
    assert_eq!(
        (target.uid_map(), target.gid_map(), target.setgroups()),
        (map.clone(), map, "deny".to_owned())
    );
}

/// None of these lines gives alice anything, and none takes anything from the lines around it.
#[track_caller]
fn lines_that_grant_nothing(lines: &[(&[u8], Theirs)]) {
    World::enter(|world| {
        for (line, theirs_make_of_it) in lines {
            eprintln!("line: {:?}", String::from_utf8_lossy(line)); // shown if the test fails
            policy(world, among(line));
            match (theirs(), *theirs_make_of_it) {
                (true, Unasked) => continue,
                (true, Grants) => granted(world, ALICE, 800_000, 10),
                (true | false, _) => {
                    refused(world, ALICE, 800_000, 10, "XID 800000 is not granted to alice");
                }
            }
            granted(world, ALICE, 600_000, 20);
        }
    });
}

/// Puts something else in the place of both policy files.
fn replace_both(what: impl Fn(&str)) {
    for file in FILES {
        match fs::symlink_metadata(file) {
            Ok(status) if status.is_dir() => fs::remove_dir(file).expect("remove"),
            Ok(_) => fs::remove_file(file).expect("remove"),
            Err(_) => {}
        }
        what(file);
    }
}

fn run(program: &str, args: &[&str]) {
    let status =
        Command::new(program).args(args).status().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {args:?}: {status}");
}

/// D01: Differs: with a missing policy file the C helpers refuse even the caller's own id.
#[test]
fn a_missing_or_empty_policy_file_grants_nothing_and_leaves_ones_own_id() {
    World::enter(|world| {
        policy(world, "");
        refused(world, ALICE, 600_000, 10, "/etc/subXID has no line for alice");
        own_ids_work(world, ALICE);

        replace_both(|_| ());
        if theirs() {
            unusable(world, ALICE, 52001, 1, "");
        } else {
            refused(world, ALICE, 600_000, 10, "/etc/subXID does not exist, so it grants nothing to alice");
            own_ids_work(world, ALICE);
        }
        // One file's absence is not the other's.
        world.write("/etc/subuid", "alice:600000:10\n");
        let target = world.target(ALICE);
        let [uid, gid] = ask(world, ALICE, &target, 600_000, 10);
        uid.succeeds();
        gid.refuses(if theirs() { "" } else { "/etc/subgid does not exist" });
        assert_eq!(
            (&*target.uid_map(), &*target.gid_map(), &*target.setgroups()),
            ("0 600000 10", "", "allow")
        );
    });
}

/// D01: Differs: the C helpers take a FIFO for an empty file, and do not say what is wrong with the others.
#[test]
fn what_is_no_regular_file_is_refused_and_never_waited_for() {
    World::enter(|world| {
        let mknod = |kind: &'static [&'static str]| {
            move |file: &str| run("mknod", &[&[file, "-m", "644"], kind].concat())
        };
        type Make = Box<dyn Fn(&str)>;
        let kinds: [(&str, Make, &str); 5] = [
            ("directory", Box::new(|file| fs::create_dir(file).expect("mkdir")), " is not a regular file"),
            ("FIFO", Box::new(mknod(&["p"])), " is not a regular file"),
            (
                "socket",
                Box::new(|file| drop(UnixListener::bind(file).expect("bind"))),
                ": No such device or address",
            ),
            ("/dev/null", Box::new(mknod(&["c", "1", "3"])), " is not a regular file"),
            ("/dev/zero", Box::new(mknod(&["c", "1", "5"])), " is not a regular file"),
        ];
        for (name, make, reason) in kinds {
            eprintln!("{name}");
            replace_both(make);
            // This one they would read to its end, which it has not.
            if !theirs() || name != "/dev/zero" {
                unusable(world, ALICE, 600_000, 10, &format!("/etc/subXID{reason}"));
            }
        }
    });
}

/// D01: Differs: the C helpers follow no symbolic link, whoever made it.
#[test]
fn a_symbolic_link_is_followed_where_every_step_is_roots() {
    World::enter(|world| {
        for (directory, mode) in [("/run/deep", 0o755), ("/run/deep/er", 0o755), ("/run/sticky", 0o1777)] {
            fs::create_dir(directory).expect("mkdir");
            fs::set_permissions(directory, fs::Permissions::from_mode(mode)).expect("chmod");
        }
        // As in NixOS' store: in a sticky directory, a directory of root's.
        fs::create_dir("/run/sticky/store").expect("mkdir");
        for policy in ["/run/deep/er/policy", "/run/sticky/policy", "/run/sticky/store/policy"] {
            world.write(policy, "alice:800000:10\n");
        }
        symlink("store/policy", "/run/sticky/link").expect("symlink");
        symlink("er/../er/./policy", "/run/deep/relative").expect("symlink");
        symlink("/run/deep", "/run/by").expect("symlink");
        for to in [
            "/run/deep/er/policy",
            "../run/deep/er/policy",
            "../../../..//run/by/relative",
            "/run/sticky/store/policy",
        ] {
            eprintln!("{to}");
            replace_both(|file| symlink(to, file).expect("symlink"));
            if theirs() {
                unusable(world, ALICE, 800_000, 10, "");
            } else {
                granted(world, ALICE, 800_000, 10);
                refused(
                    world,
                    ALICE,
                    800_000,
                    11,
                    "XID 800010 is not granted to alice (/etc/subXID:1 grants",
                );
            }
        }
        if theirs() {
            return;
        }
        // A file or link of root's could have been moved into a sticky directory by anybody in whose own directory it
        // was; and a link in /proc leads where the caller has something open.
        // And the top of a file system is whose its maker says, who may be anybody (FUSE).
        let other = "/run/sticky/other";
        fs::create_dir(other).expect("mkdir");
        let mount = world
            .command(ROOT, "/usr/bin/mount")
            .args(["-t", "tmpfs", "-o", "mode=755", "none", other])
            .status();
        assert!(mount.expect("mount").success());
        world.write("/run/sticky/other/policy", "alice:800000:10\n");
        let shared = "/etc/subXID is not trusted: it is reached through a directory that others can write";
        let proc = "/etc/subXID is not trusted: it is reached through /proc";
        for (to, reason) in [
            ("/run/sticky/policy", shared),
            ("/run/sticky/link", shared),
            ("/run/sticky/other/policy", shared),
            ("/proc/self/fd/0", proc),
            ("/proc/self/root/run/deep/er/policy", proc),
        ] {
            replace_both(|file| symlink(to, file).expect("symlink"));
            unusable(world, ALICE, 800_000, 10, reason);
        }
        // Nor may /etc itself be sticky and open to all.
        replace_both(|file| fs::write(file, "alice:800000:10\n").expect("write"));
        fs::set_permissions("/etc", fs::Permissions::from_mode(0o1777)).expect("chmod");
        unusable(world, ALICE, 800_000, 10, "/etc is not trusted: it can be written by others than root");
    });
}

/// D01: dangling, looping, or with a step that is not root's
#[test]
fn a_symbolic_link_that_root_alone_did_not_make_is_refused() {
    World::enter(|world| {
        for (directory, owner, mode) in [
            ("/run/alices", ALICE.id, 0o755),
            ("/run/open", 0, 0o777),
            ("/run/group", 0, 0o775),
            ("/run/hers", 0, 0o755),
        ] {
            fs::create_dir(directory).expect("mkdir");
            chown(directory, Some(owner), Some(0)).expect("chown");
            fs::set_permissions(directory, fs::Permissions::from_mode(mode)).expect("chmod");
            world.write(&format!("{directory}/policy"), "alice:800000:10\n");
        }
        chown("/run/hers/policy", Some(ALICE.id), None).expect("chown");
        symlink("/run/hers/link", "/run/hers/link").expect("symlink");
        symlink("/run/world/etc/passwd", "/run/hers/link2").expect("symlink");
        lchown("/run/hers/link2", Some(ALICE.id), None).expect("chown");

        let not_roots = "belongs to uid 52001; chown root";
        let writable = "can be written by others than root; chmod go-w";
        for (to, reason) in [
            ("/run/alices/policy", not_roots),
            ("/run/open/policy", writable),
            ("/run/group/policy", writable),
            ("/run/hers/policy", not_roots),
            ("/run/hers/link2", not_roots),
            ("/run/hers/link", "cannot open /etc/subXID: Too many"),
            ("/run/hers", "cannot open /etc/subXID: Is a directory"),
        ] {
            eprintln!("{to}");
            replace_both(|file| symlink(to, file).expect("symlink"));
            unusable(world, ALICE, 800_000, 10, reason);
        }

        // The link itself is hers, what it leads to is root's.
        world.write("/run/hers/policy", "alice:800000:10\n");
        replace_both(|file| {
            symlink("/run/hers/policy", file).expect("symlink");
            lchown(file, Some(ALICE.id), Some(ALICE.id)).expect("chown");
        });
        unusable(world, ALICE, 800_000, 10, not_roots);

        // Through /proc, to what the caller has opened.
        world.write("/tmp/mine", "alice:800000:10\n");
        chown("/tmp/mine", Some(ALICE.id), None).expect("chown");
        replace_both(|file| symlink("/proc/self/fd/0", file).expect("symlink"));
        let target = world.target(ALICE);
        for helper in ["newuidmap", "newgidmap"] {
            let mut command = world.launch(ALICE, &["open:0=r:/tmp/mine"], &format!("/usr/bin/{helper}"));
            let answer = world.run(command.args([&target.pid(), "0", "800000", "10"]));
            answer.refuses(if theirs() { "" } else { "/etc/sub" });
        }
        target.assert_untouched();

        // Not the same as no file, which would grant nothing, or set no rules.
        let nowhere = "is not trusted: it is a symbolic link that leads nowhere; mend or remove it";
        replace_both(|file| symlink("/run/nowhere", file).expect("symlink"));
        unusable(world, ALICE, 800_000, 10, &format!("/etc/subXID {nowhere}"));
        if theirs() {
            return;
        }
        policy(world, "alice:800000:10\n");
        for name in ["/etc/nsgate.ini", "/etc/nsswitch.conf"] {
            drop(fs::remove_file(name));
            granted(world, ALICE, 800_000, 10);
            symlink("/run/nowhere", name).expect("symlink");
            unusable(world, ALICE, 800_000, 10, &format!("{name} {nowhere}"));
            unusable(world, ALICE, ALICE.id.into(), 1, &format!("{name} {nowhere}"));
            fs::remove_file(name).expect("remove");
        }
    });
}

/// D01: unreadable (0600 root) is read by a set-user-ID helper alone
#[test]
fn a_private_policy_file_serves_setuid_helpers_and_is_refused_with_file_capabilities() {
    World::enter(|world| {
        for file in FILES {
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("chmod");
        }
        granted(world, ALICE, 600_000, 10);
        world.install(Install::FileCapabilities);
        unusable(
            world,
            ALICE,
            600_000,
            10,
            if theirs() {
                "cannot open /etc/subXID: Permission denied"
            } else {
                "cannot open /etc/subXID, which everybody has to be able to read where this program is not set-user-ID root: \
             Permission denied"
            },
        );
    });
}

/// D01: nor what is in a directory that he may not enter, though the file itself would let him
#[test]
fn a_refusal_does_not_tell_what_a_policy_file_out_of_reach_says() {
    if theirs() {
        return; // who follow no link
    }
    World::enter(|world| {
        fs::create_dir("/etc/secret").expect("create");
        for file in FILES {
            let place = format!("/etc/secret/{}", file.rsplit('/').next().expect("a name"));
            world.write(&place, "alice:900000:10\n");
            fs::remove_file(file).expect("remove");
            std::os::unix::fs::symlink(&place, file).expect("link");
        }
        for (mode, tells) in [(0o755, true), (0o711, true), (0o700, false), (0o750, false)] {
            fs::set_permissions("/etc/secret", fs::Permissions::from_mode(mode)).expect("chmod");
            let target = world.target(ALICE);
            for answer in ask(world, ALICE, &target, 800_000, 10) {
                answer.refuses(") not allowed");
                assert_eq!(answer.stderr.contains("900000"), tells, "{mode:o}: {answer:?}");
            }
            target.assert_untouched();
            granted(world, ALICE, 900_000, 10);
        }
    });
}

/// D01: what a caller may not read, no refusal tells him
#[test]
fn a_refusal_does_not_tell_what_a_private_policy_file_says() {
    if theirs() {
        return; // their refusals give no reason
    }
    World::enter(|world| {
        let refusals =
            ["", "bob:800005:10\n", "alice:800001:9\n", "alice:900000:1\nalice:5:5\n", "52001:800000:9\n"]
                .map(|text| {
                    for file in FILES {
                        world.write(file, text);
                        fs::set_permissions(file, fs::Permissions::from_mode(0o640)).expect("chmod");
                    }
                    let target = world.target(ALICE);
                    let said = ask(world, ALICE, &target, 800_000, 10).map(|answer| answer.stderr);
                    target.assert_untouched();
                    said
                });
        for said in &refusals {
            assert!(
                said[0].contains("[800000-800010) not allowed: /etc/subuid does not grant it to alice"),
                "{said:?}"
            );
            assert_eq!(said, &refusals[0], "the hidden text shows");
        }
    });
}

/// D02: Differs: the C helpers read a policy file whoever owns it and may write it.
#[test]
fn a_policy_file_that_others_can_write_is_refused_and_named() {
    World::enter(|world| {
        let cases: [(u32, u32, u32, Option<&str>); 14] = [
            (0, 0, 0o644, None),
            (0, 0, 0o444, None),
            (0, 0, 0o600, None),
            (0, ALICE.id, 0o640, None),
            (0, ALICE.id, 0o7755, None),
            (ALICE.id, 0, 0o644, Some("it belongs to uid 52001; chown root")),
            (BOB.id, BOB.id, 0o444, Some("it belongs to uid 52002; chown root")),
            (65534, 65534, 0o604, Some("it belongs to uid 65534; chown root")),
            (0, 0, 0o664, Some("it can be written by others than root; chmod go-w")),
            (0, ALICE.id, 0o660, Some("it can be written by others than root; chmod go-w")),
            (0, 0, 0o646, Some("it can be written by others than root; chmod go-w")),
            (0, 0, 0o602, Some("it can be written by others than root; chmod go-w")),
            (0, 0, 0o1666, Some("it can be written by others than root; chmod go-w")),
            (0, 0, 0o777, Some("it can be written by others than root; chmod go-w")),
        ];
        for (uid, gid, mode, wrong) in cases {
            eprintln!("{uid} {gid} {mode:o}");
            policy(world, "alice:800000:10\n");
            for file in FILES {
                chown(file, Some(uid), Some(gid)).expect("chown");
                fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("chmod");
            }
            match wrong {
                Some(wrong) if !theirs() => {
                    unusable(world, ALICE, 800_000, 10, &format!("/etc/subXID is not trusted: {wrong}"));
                    // Nor is anything else asked of it.
                    unusable(world, ALICE, 52001, 1, &format!("/etc/subXID is not trusted: {wrong}"));
                }
                _ => granted(world, ALICE, 800_000, 10),
            }
        }
    });
}

/// D02: an access control list is a permission too
#[test]
fn a_policy_file_that_an_acl_lets_others_write_is_refused() {
    if theirs() {
        return; // they read it whoever may write it
    }
    World::enter(|world| {
        // acl(5), linux/posix_acl_xattr.h: owner rw, alice w, group r, mask rw, other r.
        let give_alice = "import os, struct, sys\n\
            acl = [(1, 6, -1), (2, 2, 52001), (4, 4, -1), (16, 6, -1), (32, 4, -1)]\n\
            acl = b''.join(struct.pack('<HHi', *entry) for entry in acl)\n\
            os.setxattr(sys.argv[1], 'system.posix_acl_access', struct.pack('<I', 2) + acl)\n";
        for file in FILES {
            run("/usr/bin/python3", &["-I", "-c", give_alice, file]);
        }
        let proof =
            world.run(world.command(ALICE, "/bin/sh").args(["-c", "echo alice:800000:10 >> /etc/subuid"]));
        proof.succeeds();
        for host in [600_000, 800_000] {
            unusable(
                world,
                ALICE,
                host,
                10,
                "/etc/subXID is not trusted: it can be written by others than root",
            );
        }
    });
}

/// D02: Differs: the C helpers do not look at the directories above the policy file.
#[test]
fn a_directory_above_the_policy_file_that_is_not_roots_alone_is_refused() {
    World::enter(|world| {
        let trusted = |world: &World, wrong: &str| {
            if theirs() {
                granted(world, ALICE, 600_000, 10);
            } else {
                unusable(world, ALICE, 600_000, 10, &format!("/etc is not trusted: {wrong}"));
            }
        };
        for mode in [0o775, 0o757, 0o777] {
            fs::set_permissions("/etc", fs::Permissions::from_mode(mode)).expect("chmod");
            trusted(
                world,
                "it or a directory on the way to it can be written by others than root; chmod go-w",
            );
        }
        fs::set_permissions("/etc", fs::Permissions::from_mode(0o755)).expect("chmod");
        chown("/etc", Some(ALICE.id), None).expect("chown");
        trusted(world, "it or a directory on the way to it belongs to uid 52001; chown root");
        chown("/etc", Some(0), None).expect("chown");
        granted(world, ALICE, 600_000, 10);

        if theirs() {
            return;
        }
        // The root directory itself: one of our own, as the host's stays as it is.
        for directory in ["/run/jail", "/run/jail/etc", "/run/jail/proc"] {
            fs::create_dir(directory).expect("mkdir");
        }
        run("mount", &["-n", "--bind", "/proc", "/run/jail/proc"]);
        run("cp", &["-a", "/run/world/bin/newuidmap", "/run/world/bin/newgidmap", "/run/jail"]);
        run("cp", &["-a", "/etc/passwd", "/etc/subuid", "/etc/subgid", "/run/jail/etc"]);
        let in_jail = |answer: &dyn Fn(&Answer)| {
            let target = world.target(ALICE);
            for helper in ["/newuidmap", "/newgidmap"] {
                let mut chroot = world.command(ROOT, "/usr/sbin/chroot");
                chroot.args(["--userspec=52001:52001", "--groups=", "/run/jail", helper]);
                answer(&world.run(chroot.args([&target.pid(), "0", "600000", "10"])));
            }
            target
        };
        for (owner, mode, wrong) in [
            (ALICE.id, 0o755, "belongs to uid 52001; chown root"),
            (0, 0o777, "can be written by others than root; chmod go-w"),
            (0, 0o775, "can be written by others than root; chmod go-w"),
        ] {
            chown("/run/jail", Some(owner), None).expect("chown");
            fs::set_permissions("/run/jail", fs::Permissions::from_mode(mode)).expect("chmod");
            let wrong = format!("/ is not trusted: it or a directory on the way to it {wrong}");
            in_jail(&|answer| drop(answer.refuses(&wrong).clone())).assert_untouched();
        }
        fs::set_permissions("/run/jail", fs::Permissions::from_mode(0o755)).expect("chmod");
        let target = in_jail(&|answer| drop(answer.succeeds().clone()));
        assert_eq!(
            (target.uid_map(), target.gid_map()),
            ("0 600000 10".to_owned(), "0 600000 10".to_owned())
        );
    });
}

/// D02: nsswitch.conf decides which sources count, so it is policy as well
#[test]
fn an_nsswitch_conf_that_others_can_write_is_refused() {
    if theirs() {
        return; // they read it whoever may write it
    }
    World::enter(|world| {
        fs::set_permissions("/etc/nsswitch.conf", fs::Permissions::from_mode(0o666)).expect("chmod");
        unusable(
            world,
            ALICE,
            600_000,
            10,
            "/etc/nsswitch.conf is not trusted: it can be written by others than root",
        );
    });
}

/// D02: Differs: with file capabilities, one that is root's alone to read; C takes the files then.
#[test]
fn an_nsswitch_conf_that_only_root_can_read_is_refused_with_file_capabilities() {
    World::enter(|world| {
        fs::set_permissions("/etc/nsswitch.conf", fs::Permissions::from_mode(0o600)).expect("chmod");
        granted(world, ALICE, 600_000, 10);
        world.install(Install::FileCapabilities);
        if theirs() {
            granted(world, ALICE, 600_000, 10);
        } else {
            unusable(world, ALICE, 600_000, 10, "cannot open /etc/nsswitch.conf, which everybody has to");
        }
    });
}

/// Runs newuidmap with 32 MiB of address space and one second of processor time: the kernel ends what takes more.
fn within_bounds(world: &World, target: &Target, host: &str) -> Answer {
    let bounds: &[&str] = if theirs() { &[] } else { &["rlimit:AS=33554432", "rlimit:CPU=1"] };
    world.run(world.launch(ALICE, bounds, "/usr/bin/newuidmap").args([&target.pid(), "0", host, "10"]))
}

/// D03: 100 000 lines, 100 MB, and one line of 10 MB (the large ones ours only: the C helpers keep the file in memory)
#[test]
fn a_huge_policy_file_costs_little_memory_and_time() {
    World::enter(|world| {
        let others = |lines: usize| b"someone:700000:65536\n".repeat(lines);
        let endless = [b"alice:800000:10".repeat(10_000_000 / 15), b":10".to_vec()].concat();
        let files: [(&str, Vec<u8>, bool); 3] = [
            ("100 000 lines", [others(100_000), b"alice:600000:10\n".to_vec()].concat(), true),
            ("100 MB", [others(5_000_000), b"alice:600000:10".to_vec()].concat(), false),
            ("a line of 10 MB", [b"alice:600000:10\n".to_vec(), endless].concat(), false),
        ];
        for (name, text, ask_theirs) in files {
            eprintln!("{name}");
            if theirs() && !ask_theirs {
                continue;
            }
            world.write("/etc/subuid", text);
            let target = world.target(ALICE);
            within_bounds(world, &target, "800000")
                .refuses("uid range [0-10) -> [800000-800010) not allowed");
            target.assert_untouched();
            within_bounds(world, &target, "600000").succeeds();
            assert_eq!(target.uid_map(), "0 600000 10");
        }
    });
}

/// D03: wherever a reader's buffer may end, what follows is no line of its own
#[test]
fn an_over_long_line_is_skipped_whole_and_never_cut_into_two() {
    World::enter(|world| {
        let mut text = b"alice:600000:10\n".to_vec();
        for boundary in [1024, 4096, 8192, 65_536, 131_072, 196_608] {
            for length in boundary - 3..=boundary + 3 {
                text.extend(b"x".repeat(length));
                text.extend(b"alice:800000:10\n");
            }
        }
        // The same where a boundary of the whole file falls into the line.
        for boundary in [65_536, 131_072, 1_048_576] {
            text.extend(b"x".repeat(boundary - text.len() % boundary));
            text.extend(b"alice:800000:10\n");
        }
        text.extend(b"alice:600010:10\n");
        text.extend(b"x".repeat(70_000));
        text.extend(b"alice:800000:10"); // and the last, without its newline
        policy(world, text);
        refused(world, ALICE, 800_000, 10, "XID 800000 is not granted to alice");
        granted(world, ALICE, 600_000, 20);
    });
}

/// D03: the longest line that counts has 1023 bytes
#[test]
fn a_line_of_1023_bytes_counts_and_one_of_1024_does_not() {
    World::enter(|world| {
        let rest = ":800000:10";
        for (uid, length, counts) in [(52050, 1023, true), (52051, 1024, false)] {
            let owner = "n".repeat(length - rest.len() - usize::from(counts)) + if counts { "a" } else { "" };
            world.append("/etc/passwd", &format!("{owner}:x:{uid}:{uid}::/:/bin/sh\n"));
            policy(world, format!("bob:1:1\n{owner}{rest}\nbob:2:1\n"));
            let user = User { name: "", id: uid };
            if counts {
                granted(world, user, 800_000, 10);
            } else {
                refused(world, user, 800_000, 10, "/etc/subXID:2 grants nothing to nnn");
            }
        }
    });
}

/// D04: no final newline
#[test]
fn a_last_line_without_newline_counts() {
    World::enter(|world| {
        policy(world, "bob:700000:10\nalice:800000:10");
        granted(world, ALICE, 800_000, 10);
        granted(world, BOB, 700_000, 10);
    });
}

/// D04: CRLF, a byte-order mark, NUL and junk. Differs: a NUL makes the C helpers refuse the whole file.
#[test]
fn a_line_with_foreign_bytes_grants_nothing_and_the_others_stand() {
    lines_that_grant_nothing(&[
        (b"alice:800000:10\r", Same),
        (b"alice:800000:1\r0", Same),
        (b"\xef\xbb\xbfalice:800000:10", Same),
        (b"alice:800000:10\0", Unasked),
        (b"alice\0:800000:10", Unasked),
        (b"\0alice:800000:10", Unasked),
        (b"x\0alice:800000:10", Unasked),
        (b"alice:800000:1\x000", Unasked),
        (b"\xff\xfe\x80alice:800000:10", Same),
        (b"alice:800000:10\xff", Same),
        ("alice:８０００００:10".as_bytes(), Same),
        ("alic\u{435}:800000:10".as_bytes(), Same), // a Cyrillic letter
    ]);
}

/// D04: Differs: the C helpers refuse a UTF-16 file without a word.
#[test]
fn a_file_in_another_encoding_grants_nothing() {
    World::enter(|world| {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let line = "alice:800000:10\n";
        for (name, text, theirs_are_silent) in [
            ("CR only", line.repeat(2).replace('\n', "\r").into_bytes(), false),
            ("byte-order mark", format!("\u{feff}{line}").into_bytes(), false),
            ("UTF-16", utf16(line), true),
            ("UTF-16 with mark", utf16(&format!("\u{feff}{line}")), true),
        ] {
            eprintln!("{name}");
            policy(world, text);
            if theirs() && theirs_are_silent {
                unusable(world, ALICE, 800_000, 10, "");
            } else {
                // Only what begins with her name looks like a line of hers.
                let why = if name == "CR only" { ":1 grants nothing to" } else { " has no line for" };
                refused(world, ALICE, 800_000, 10, &format!("/etc/subXID{why} alice"));
            }
        }
        policy(world, format!("\u{feff}bob:1:1\r\n{line}"));
        granted(world, ALICE, 800_000, 10);
    });
}

/// D06: Differs: a fourth field is overlooked by C helpers before 4.18.
#[test]
fn a_line_of_other_than_three_full_fields_grants_nothing() {
    lines_that_grant_nothing(&[
        (b"", Same),
        (b":", Same),
        (b"::", Same),
        (b":::", Same),
        (b"alice", Same),
        (b"alice:", Same),
        (b"alice::", Same),
        (b"alice:800000", Same),
        (b"alice:800000:", Same),
        (b"alice::10", Same),
        (b":800000:10", Same),
        (b"::800000:10", Same),
        (b":alice:800000:10", Same),
        (b"bob:alice:800000:10", Same),
        (b"bob:1:1:alice:800000:10", Same),
        (b"alice:800000:10:", Grants),
        (b"alice:800000:10:1", Grants),
        (b"alice:800000:10:1:1", Grants),
    ]);
}

/// D07: Differs: C skips blanks, and a `+`, before a number.
#[test]
fn blanks_are_not_trimmed() {
    lines_that_grant_nothing(&[
        (b" alice:800000:10", Same),
        (b"\talice:800000:10", Same),
        (b"alice :800000:10", Same),
        (b"alice\t:800000:10", Same),
        (b"alice: 800000:10", Grants),
        (b"alice:\t800000:10", Grants),
        (b"alice:800000 :10", Same),
        (b"alice:800000: 10", Grants),
        (b"alice:800000:10 ", Same),
        (b"alice:800000:10\t", Same),
        (b"alice:800000:\x0b10", Grants),
        (b"alice:+800000:10", Grants),
        (b"alice:800000:+10", Grants),
    ]);
}

/// D07: numbers that readers of this file disagree about. Differs: C reads hexadecimal and octal.
#[test]
fn a_number_that_is_not_plain_decimal_grants_nothing() {
    lines_that_grant_nothing(&[
        (b"alice:0xC3500:10", Grants),
        (b"alice:800000:0xa", Grants),
        (b"alice:03032400:10", Grants),
        (b"alice:800000:012", Grants),
        (b"alice:0800000:10", Same),
        (b"alice:800000:0b1010", Same),
        (b"alice:8e5:10", Same),
        (b"alice:800_000:10", Same),
        (b"alice:800,000:10", Same),
        (b"alice:800000.0:10", Same),
        (b"alice:800000-800009:10", Same),
    ]);
}

/// D09: a count of 0 never wraps round to everything (shadow 9463d57b)
#[test]
fn a_count_of_zero_grants_nothing() {
    lines_that_grant_nothing(&[
        (b"alice:800000:0", Same),
        (b"alice:799999:0", Same),
        (b"alice:0:0", Unasked),
        (b"alice:1:0", Same),
        (b"alice:800000:-0", Unasked),
        (b"alice:1:-1", Unasked),
        (b"alice:0:-1", Unasked),
        (b"alice:-1:0", Unasked),
        (b"alice:4294967295:0", Unasked),
    ]);
}

/// D10: a range that leaves the ids grants nothing, and never wraps (shadow db3ca9f9). Ours only.
#[test]
fn a_line_that_leaves_the_ids_grants_nothing() {
    if theirs() {
        return; // before 4.20 they compute with such numbers
    }
    lines_that_grant_nothing(&[
        (b"alice:4294967295:1", Unasked),
        (b"alice:4294967294:2", Unasked),
        (b"alice:4294967295:800011", Unasked),
        (b"alice:800000:4294167296", Unasked),
        (b"alice:1:4294967295", Unasked),
        (b"alice:0:4294967296", Unasked),
        (b"alice:4294967296:4294967296", Unasked),
        (b"alice:4295767296:10", Unasked), // 800000 + 2^32
        (b"alice:800000:4294967306", Unasked),
        (b"alice:18446744073709551615:18446744073709551615", Unasked),
        (b"alice:18446744073710351616:10", Unasked), // 800000 + 2^64
        (b"alice:800000:18446744073709551626", Unasked),
        (b"alice:-4294167296:10", Unasked),
        (b"alice:9999999999999999999999999999999999999999:10", Unasked),
    ]);
}

/// D10: the last id there is can be granted
#[test]
fn a_grant_may_end_at_4294967294() {
    World::enter(|world| {
        policy(world, "alice:4294967290:5\n");
        granted(world, ALICE, 4_294_967_290, 5);
        refused(world, ALICE, 4_294_967_289, 5, "XID 4294967289 is not granted to alice");
        if !theirs() {
            policy(world, "bob:0:4294967295\n");
            granted(world, BOB, 1, 4_294_967_294);
        }
    });
}

/// D11: identical, overlapping, nested, unordered
#[test]
fn lines_of_one_owner_are_a_union() {
    World::enter(|world| {
        let text = "alice:800000:10\nalice:800000:10\n52001:800005:10\nbob:800017:2\nalice:800014:1\n\
                    alice:800030:20\nalice:800035:2\nalice:800015:2\n52001:800049:2\n";
        policy(world, text);
        granted(world, ALICE, 800_000, 17);
        granted(world, ALICE, 800_030, 21);
        granted(world, ALICE, 800_036, 1);
        // Two times ten lines of the same ids are ten ids.
        refused(world, ALICE, 800_000, 18, "XID 800017 is not granted to alice");
        refused(world, ALICE, 800_000, 20, "XID 800017 is not granted to alice");
        refused(world, ALICE, 800_030, 22, "XID 800051 is not granted to alice");
    });
}

/// D12: overlap is for `nsgate check` to flag
#[test]
fn two_users_may_hold_the_same_ids() {
    World::enter(|world| {
        policy(world, "alice:800000:10\nbob:800005:10\n52003:800000:100\n");
        granted(world, ALICE, 800_000, 10);
        granted(world, BOB, 800_005, 10);
        granted(world, CAROL, 800_000, 100);
        refused(world, ALICE, 800_000, 15, "XID 800010 is not granted to alice");
        refused(world, BOB, 800_000, 15, "XID 800000 is not granted to bob");
    });
}

/// D13: prefix, suffix, case
#[test]
fn an_owner_is_matched_whole_and_by_case() {
    lines_that_grant_nothing(&[
        (b"al:800000:10", Same),
        (b"alic:800000:10", Same),
        (b"lice:800000:10", Same),
        (b"alicee:800000:10", Same),
        (b"malice:800000:10", Same),
        (b"Alice:800000:10", Same),
        (b"ALICE:800000:10", Same),
        (b"alice.:800000:10", Same),
        (b"alice\\:800000:10", Same),
        (b"\"alice\":800000:10", Same),
        (b"alice,bob:800000:10", Same),
        (b"bob:800000:10", Same),
        (b"bob;alice:800000:10", Same),
        (b"5200:800000:10", Same),
        (b"520010:800000:10", Same),
        (b"152001:800000:10", Same),
    ]);
}

/// D15: no wildcard, no group, no root for everybody
#[test]
fn an_owner_has_no_meaning_but_a_name_or_a_uid() {
    lines_that_grant_nothing(&[
        (b"0:800000:10", Same),
        (b"root:800000:10", Same),
        (b"*:800000:10", Same),
        (b"**:800000:10", Same),
        (b"?????:800000:10", Same),
        (b"a*:800000:10", Same),
        (b"ALL:800000:10", Same),
        (b"all:800000:10", Same),
        (b"@alice:800000:10", Same),
        (b"@users:800000:10", Same),
        (b"%alice:800000:10", Same),
        (b"%users:800000:10", Same),
        (b"#52001:800000:10", Same),
        (b"+alice:800000:10", Same),
        (b"-alice:800000:10", Same),
        (b"+:800000:10", Same),
        (b"+@alice:800000:10", Same),
        (b"!bob:800000:10", Same),
        (b"$USER:800000:10", Same),
        (b"users:800000:10", Same),
        (b"-1:800000:10", Same),
        (b"4294967295:800000:10", Same),
    ]);
}

/// D15: `0` and `root` are root's own
#[test]
fn a_line_of_root_is_roots_alone() {
    World::enter(|world| {
        for owner in ["root", "0"] {
            policy(world, format!("{owner}:800000:10\n"));
            granted(world, ROOT, 800_000, 10);
        }
        refused(world, ROOT, 600_000, 10, "XID 600000 is not granted to root");
    });
}

/// D16: Active Directory spellings, UTF-8, 256 characters
#[test]
fn a_name_of_any_bytes_is_matched_byte_for_byte() {
    World::enter(|world| {
        let long = "a".repeat(256);
        let names: [&[u8]; 9] = [
            b"DOMAIN\\user",
            b"user@dom.example",
            b"DOM+user",
            b"two words",
            "j\u{fc}rgen".as_bytes(),
            b"j\xfcrgen", // the same in Latin-1
            b"%n\x1b[2J$(id)",
            b"machine$",
            long.as_bytes(),
        ];
        let mut passwd = fs::read("/etc/passwd").expect("passwd");
        for (uid, name) in (52060..).zip(names) {
            passwd.extend_from_slice(&[name, format!(":x:{uid}:{uid}::/:/bin/sh\n").as_bytes()].concat());
        }
        world.write("/etc/passwd", passwd);
        for (uid, name) in (52060..).zip(names) {
            eprintln!("{:?}", String::from_utf8_lossy(name));
            let user = User { name: "", id: uid };
            policy(world, [b"bob:1:1\n", name, b":800000:10\n"].concat());
            granted(world, user, 800_000, 10);
            refused(world, user, 800_010, 10, "XID 800010 is not granted to ");
        }
        // Whoever is spelled otherwise is somebody else.
        let others: [(u32, &[u8]); 12] = [
            (52060, b"domain\\user"),
            (52060, b"user"),
            (52060, b"DOMAIN\\\\user"),
            (52060, b"DOMAIN/user"),
            (52060, b"user@DOMAIN"),
            (52061, b"user"),
            (52061, b"user@dom"),
            (52061, b"DOM\\user"),
            (52063, b"two"),
            (52063, b"two\\ words"),
            (52064, "ju\u{308}rgen".as_bytes()),
            (52068, &long.as_bytes()[..255]),
        ];
        for (uid, owner) in others {
            eprintln!("{:?}", String::from_utf8_lossy(owner));
            policy(world, [owner, b":800000:10\n"].concat());
            refused(world, User { name: "", id: uid }, 800_000, 10, "/etc/subXID has no line for ");
        }
    });
}

/// D17: leading zero, sign, blank
#[test]
fn a_numeric_owner_is_plain_decimal() {
    lines_that_grant_nothing(&[
        (b"052001:800000:10", Same),
        (b"0052001:800000:10", Same),
        (b"+52001:800000:10", Same),
        (b" 52001:800000:10", Same),
        (b"52001 :800000:10", Same),
        (b"0xcb21:800000:10", Same),
        (b"0145441:800000:10", Same),
        (b"52001.0:800000:10", Same),
        (b"4295019297:800000:10", Same), // 52001 + 2^32
        (b"-52001:800000:10", Same),
        (b"uid:52001:800000:10", Same),
    ]);
    World::enter(|world| {
        policy(world, "52001:800000:10\n");
        granted(world, ALICE, 800_000, 10);
    });
}

/// D17: Differs: in C an owner of digits is also the login of that name.
#[test]
fn a_numeric_owner_is_the_uid_and_never_a_user_named_so() {
    World::enter(|world| {
        world.append("/etc/passwd", "52071:x:52070:52070::/:/bin/sh\nnum:x:52071:52071::/:/bin/sh\n");
        policy(world, "52071:800000:10\n");
        granted(world, User { name: "num", id: 52071 }, 800_000, 10);
        let named_so = User { name: "52071", id: 52070 };
        if theirs() {
            granted(world, named_so, 800_000, 10);
        } else {
            refused(world, named_so, 800_000, 10, "/etc/subXID has no line for 52071");
        }
        policy(world, "52070:800000:10\n");
        granted(world, named_so, 800_000, 10);
    });
}

/// D19: host id 0 is granted as the file says; a helper with file capabilities has not the power for uid 0
#[test]
fn a_range_with_host_id_0_is_the_admins_to_give() {
    World::enter(|world| {
        refused(world, ALICE, 0, 1, "XID 0 is not granted to alice");
        policy(world, "alice:0:65536\n");
        granted(world, ALICE, 0, 1);
        granted(world, ALICE, 0, 65536);
        granted(world, ALICE, 1, 65535);

        world.install(Install::FileCapabilities);
        let target = world.target(ALICE);
        let [uid, gid] = ask(world, ALICE, &target, 0, 65536);
        uid.refuses("write to uid_map failed: Operation not permitted");
        if !theirs() {
            uid.refuses("host uid 0 can be mapped only with CAP_SETFCAP");
        }
        gid.succeeds();
        assert_eq!((&*target.uid_map(), &*target.gid_map()), ("", "0 0 65536"));
        granted(world, ALICE, 1, 65535);
    });
}

/// D20: the caller's own uid, or another login's, inside a granted range
#[test]
fn a_range_with_login_ids_is_granted_as_the_file_says() {
    World::enter(|world| {
        policy(world, "alice:52000:10\n");
        granted(world, ALICE, 52000, 10);
        granted(world, ALICE, 52001, 1); // so this rests on policy, and setgroups stays
        granted(world, ALICE, 52002, 1);
        refused(world, BOB, 52001, 1, "/etc/subXID has no line for bob");
    });
}

/// D21: comments are no syntax
#[test]
fn a_comment_is_not_read_as_a_grant() {
    lines_that_grant_nothing(&[
        (b"#alice:800000:10", Same),
        (b"# alice:800000:10", Same),
        (b"#", Same),
        (b"//alice:800000:10", Same),
        (b";alice:800000:10", Same),
        (b"alice:800000:10 # note", Same),
        (b"alice:800000:10#note", Same),
        (b"alice:800000#:10", Same),
        (b"alice#:800000:10", Same),
        (b"bob:1:1 # \\", Same),
        (b"# \\", Same),
    ]);
}

/// The private machine's nsswitch.conf with this `subid:` line.
fn subid_sources(world: &World, line: &str) {
    world.write("/etc/nsswitch.conf", format!("passwd: files\ngroup: files\n{line}"));
}

/// D23: Differs: the C helpers use the files where the named source cannot be loaded.
#[test]
fn a_source_that_cannot_be_asked_refuses_what_the_files_do_not_grant() {
    World::enter(|world| {
        let absent =
            "the subid source \"nosuch\" of /etc/nsswitch.conf cannot be loaded: no libsubid_nosuch.so in ";
        let action =
            "/etc/nsswitch.conf (subid:) names the source \"[NOTFOUND=return]\", which cannot be a source's";
        for (line, files_count, reason) in [
            ("subid: nosuch\n", false, absent),
            ("SUBID:\tnosuch\n", false, absent),
            ("subid:nosuch", false, absent),
            ("subid: nosuch files\n", true, absent),
            ("subid: files nosuch\n", true, absent),
            ("subid: nosuch [NOTFOUND=return] files\n", false, action),
            ("subid: files [NOTFOUND=return] nosuch\n", false, action),
            ("# subid: files\nsubid:\nsubid: nosuch\nsubid: files\n", false, absent),
        ] {
            eprintln!("{line:?}");
            subid_sources(world, line);
            if files_count || theirs() {
                granted(world, ALICE, 600_000, 10);
            } else {
                refused(world, ALICE, 600_000, 10, reason);
            }
            refused(world, ALICE, 800_000, 10, reason);
            refused(world, CAROL, 600_000, 10, reason);
            own_ids_work(world, CAROL);
        }
        for line in
            ["", "subid: files", "subid: files # sss\n", "#subid: sss\n", " subid: sss\n", "subids: sss\n"]
        {
            eprintln!("{line:?}");
            subid_sources(world, line);
            granted(world, ALICE, 600_000, 10);
            refused(world, ALICE, 800_000, 10, "XID 800000 is not granted to alice (/etc/subXID:1");
        }
    });
}

/// D23: a source that is not files is not asked in files
#[test]
fn a_foreign_source_alone_does_not_need_the_files() {
    if theirs() {
        return; // they fall back to them
    }
    World::enter(|world| {
        subid_sources(world, "subid: nosuch\n");
        for file in FILES {
            fs::set_permissions(file, fs::Permissions::from_mode(0o666)).expect("chmod");
        }
        own_ids_work(world, ALICE);
        refused(
            world,
            ALICE,
            600_000,
            10,
            "the subid source \"nosuch\" of /etc/nsswitch.conf cannot be loaded",
        );
    });
}

/// D24: paths, long names, junk: refused, and nothing is looked for on disk. Ours only.
#[test]
fn a_source_is_never_loaded_from_a_path_of_its_naming() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let long = "s".repeat(60);
        let endless = "../".repeat(2000) + "tmp/x";
        let sources: [(&str, &str); 9] = [
            ("../../tmp/x", "../../tmp/x"),
            ("/tmp/x", "/tmp/x"),
            ("x.so", "x.so"),
            (&long, &long),
            (&endless, "../../"),
            ("%s%n", "%s%n"),
            ("\x1b[2Jx", "\\x1b[2Jx"),
            ("[NOTFOUND=return] files", "[NOTFOUND=return]"),
            ("files ../../tmp/x # files", "../../tmp/x"),
        ];
        for twin in [false, true] {
            for (written, shown) in sources {
                for end in ["", "\n"] {
                    let passwd = if twin { "systemd files" } else { "files" };
                    world.write("/etc/nsswitch.conf", format!("passwd: {passwd}\nsubid: {written}{end}"));
                    let reason = format!("/etc/nsswitch.conf (subid:) names the source \"{shown}");
                    refused(world, ALICE, 800_000, 10, &reason);
                }
            }
            // And by the kernel's account: which files are asked for.
            let passwd = if twin { "systemd files" } else { "files" };
            world.write("/etc/nsswitch.conf", format!("passwd: {passwd}\nsubid: ../../tmp/x x files"));
            let target = world.target(ALICE);
            let mut strace = world.command(ROOT, "/usr/bin/strace");
            strace.args([
                "-f",
                "-u",
                "alice",
                "-e",
                "trace=%file",
                "-o",
                "/run/strace",
                "/usr/bin/newuidmap",
            ]);
            world
                .run(strace.args([&target.pid(), "0", "800000", "1"]))
                .refuses("names the source \"../../tmp/x\"");
            let trace = fs::read_to_string("/run/strace").expect("trace");
            assert!(trace.contains("nsswitch.conf") && trace.contains("newuidmap-nss") == twin, "{trace}");
            for line in trace.lines() {
                assert!(!line.contains("tmp/x") && !line.contains("libsubid"), "{line}");
            }
        }
    });
}

/// A name service that never answers, and one that answers oddly, by uid, and keeps a log of what it was asked.
const NAME_SERVICE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum nss_status _nss_hang_getpwuid_r(uid_t uid, struct passwd *pw, char *buffer, size_t size, int *error)
{ for (;;) pause(); }

enum nss_status _nss_hang_getpwnam_r(const char *name, struct passwd *pw, char *buffer, size_t size, int *error)
{ for (;;) pause(); }

static void asked(const char *what, const char *name, unsigned uid)
{
    char line[200];
    int fd = open("/tmp/asked", O_WRONLY | O_APPEND), length = snprintf(line, sizeof line, "%s %.100s %u\n", what, name, uid);
    if (fd >= 0) { if (write(fd, line, length) != length) _exit(99); close(fd); }
}

static enum nss_status again(int *error, int why) { *error = why; return NSS_STATUS_TRYAGAIN; }

static enum nss_status account(uid_t uid, struct passwd *pw, char *buffer, size_t size, int *error)
{
    static char name[32];
    size_t comment = uid == 52102 ? 500000 : uid == 52103 ? 3000000 : 10;
    if (uid < 52101 || uid > 52106) return NSS_STATUS_NOTFOUND;
    if (uid == 52104) return again(error, ERANGE);
    if (uid == 52105) return again(error, EAGAIN);
    if (uid == 52106) { *error = ECONNREFUSED; return NSS_STATUS_UNAVAIL; }
    if (size < comment + 1) return again(error, ERANGE);
    memset(buffer, 'x', comment);
    buffer[comment] = 0;
    snprintf(name, sizeof name, "ned%u", (unsigned) uid);
    *pw = (struct passwd) { name, "x", uid, uid, buffer, "/", "/bin/sh" };
    return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_odd_getpwuid_r(uid_t uid, struct passwd *pw, char *buffer, size_t size, int *error)
{ asked("uid", "-", uid); return account(uid, pw, buffer, size, error); }

enum nss_status _nss_odd_getpwnam_r(const char *name, struct passwd *pw, char *buffer, size_t size, int *error)
{
    unsigned uid = 0;
    asked("name", name, 0);
    return sscanf(name, "ned%u", &uid) == 1 ? account(uid, pw, buffer, size, error) : NSS_STATUS_NOTFOUND;
}
"#;

/// In the account that [`NAME_SERVICE`] knows by the name `ned52101`.
const NED: User = User { name: "ned52101", id: 52101 };

/// Makes the name services `hang` and `odd` known to the dynamic loader of the private machine.
fn install_name_services(world: &World) {
    fs::create_dir("/run/nss").expect("mkdir");
    fs::write("/run/nss/module.c", NAME_SERVICE).expect("write");
    run("gcc", &["-shared", "-fPIC", "-w", "-o", "/run/nss/libnss_hang.so.2", "/run/nss/module.c"]);
    fs::copy("/run/nss/libnss_hang.so.2", "/run/nss/libnss_odd.so.2").expect("copy");
    world.append("/etc/ld.so.conf", "/run/nss\n");
    // ldconfig keeps a cache of its own beside /etc/ld.so.cache: the host's is not to be touched.
    fs::create_dir_all("/var/cache/ldconfig").expect("mkdir");
    run("mount", &["-n", "-t", "tmpfs", "tmpfs", "/var/cache/ldconfig"]);
    run("ldconfig", &["-X"]);
    fs::write("/tmp/asked", "").expect("write");
    fs::set_permissions("/tmp/asked", fs::Permissions::from_mode(0o666)).expect("chmod");
}

fn accounts_from(world: &World, sources: &str) {
    world.write("/etc/nsswitch.conf", format!("passwd: {sources}\ngroup: files\n"));
    fs::write("/tmp/asked", "").expect("write");
}

fn asked() -> String {
    fs::read_to_string("/tmp/asked").expect("read")
}

/// D25: Differs: the C helpers wait for their name service for ever.
#[test]
fn a_name_service_that_hangs_is_given_up_after_25_seconds() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        install_name_services(world);
        accounts_from(world, "hang files");
        let target = world.target(ALICE);
        // A timer of the caller's own, and signals that he blocks or ignores, make it neither shorter nor endless.
        let oddities = ["block:all", "ignore:SIGALRM", "env:LD_BIND_NOW=1"];
        let answers = std::thread::scope(|scope| {
            ["newuidmap", "newgidmap"]
                .map(|helper| {
                    let mut command = world.launch(ALICE, &oddities, &format!("/usr/bin/{helper}"));
                    // Without HOME, Python would ask the name service itself.
                    command.env("HOME", "/").args([&target.pid(), "0", "600000", "10"]);
                    scope.spawn(move || world.run_within(Duration::from_secs(60), &mut command))
                })
                .map(|run| run.join().expect("run"))
        });
        target.assert_untouched();
        for answer in answers {
            assert_eq!((answer.status, &*answer.stdout), (Some(1), ""), "{answer:?}");
            assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
            assert!(answer.stderr.contains("did not answer in 25 seconds"), "{answer:?}");
            answer.refuses(
                "the name services of /etc/nsswitch.conf (passwd:, group:) did not answer in 25 seconds",
            );
        }
    });
}

/// D25: who is in /etc/passwd needs nobody else
#[test]
fn a_name_service_that_hangs_is_not_asked_for_a_local_user() {
    World::enter(|world| {
        install_name_services(world);
        accounts_from(world, "files hang");
        granted(world, ALICE, 600_000, 10);
        refused(world, ALICE, 800_000, 10, "XID 800000 is not granted to alice");
        own_ids_work(world, CAROL);
    });
}

/// D25: a user in LDAP or the like, by name and by uid
#[test]
fn a_user_whom_only_a_name_service_knows_gets_his_ids() {
    World::enter(|world| {
        install_name_services(world);
        accounts_from(world, "files odd");
        for how in [Install::SetUid, Install::FileCapabilities] {
            world.install(how);
            policy(world, "alice:1:1\nned52101:800000:10\n52101:800010:10\n");
            granted(world, NED, 800_000, 20);
            refused(world, NED, 800_000, 21, "XID 800020 is not granted to ned52101");
            own_ids_work(world, NED);
        }
        // Found in both: every name of the uid counts.
        world.append("/etc/passwd", "neddy:x:52101:52101::/:/bin/sh\n");
        accounts_from(world, "odd files");
        policy(world, "neddy:800000:10\nned52101:800010:10\n");
        granted(world, NED, 800_000, 20);
    });
}

/// D25: the caller's uid is looked up once, and nobody else's name
#[test]
fn a_name_service_is_asked_once_and_about_the_caller_alone() {
    if theirs() {
        return; // they ask for every owner of a line that has the ids
    }
    World::enter(|world| {
        install_name_services(world);
        let strangers: String = (0..500).map(|n| format!("stranger{n}:800000:10\n")).collect();
        policy(world, format!("{strangers}ned52101:800000:10\n{strangers}"));
        for sources in ["files odd", "odd files", "odd"] {
            accounts_from(world, sources);
            let target = world.target(NED);
            world.newuidmap(NED, &[&target.pid(), "0", "800000", "10"]).succeeds();
            assert_eq!(asked(), "uid - 52101\n", "{sources}");
            accounts_from(world, sources);
            world.newgidmap(NED, &[&target.pid(), "0", "800000", "11"]).refuses("gid 800010 is not granted");
            assert_eq!(asked(), "uid - 52101\n", "{sources}");
        }
        accounts_from(world, "files odd");
        refused(world, ALICE, 800_000, 10, "/etc/subXID has no line for alice");
        assert_eq!(asked(), "", "alice is in /etc/passwd");
    });
}

/// D25: huge answers and errors, again and again. Ours only: how much C takes is the C library's business.
#[test]
fn an_odd_answer_of_a_name_service_is_bounded_and_no_account_is_made_of_an_error() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        install_name_services(world);
        accounts_from(world, "files odd");
        policy(
            world,
            (52102..=52106).map(|uid| format!("{uid}:800000:10\nned{uid}:800000:10\n")).collect::<String>(),
        );
        granted(world, User { name: "", id: 52102 }, 800_000, 10);
        for (uid, reason) in [
            (52103, "look up the caller's account: Math result not representable"),
            (52104, "look up the caller's account: Math result not representable"),
            (52105, "look up the caller's account: Try again"),
            (52106, "look up the caller's account: Connection refused"),
        ] {
            eprintln!("{uid}");
            accounts_from(world, "files odd");
            unusable(world, User { name: "", id: uid }, 800_000, 10, reason);
            let questions = asked().lines().count();
            assert!(questions < 50, "{questions} questions");
        }
        // An error is not "there is no such account".
        accounts_from(world, "files odd");
        unusable(
            world,
            NOBODY_AT_ALL,
            800_000,
            10,
            "Cannot determine your user name: uid 52999 has no account",
        );
    });
}

/// D25: without the twins a name service cannot be asked. Ours only.
#[test]
fn without_the_twins_the_refusal_says_what_is_missing() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        install_name_services(world);
        world.remove_twins();
        policy(world, "ned52101:800000:10\nalice:600000:10\n");
        accounts_from(world, "files odd");
        unusable(
            world,
            NED,
            800_000,
            10,
            "Cannot determine your user name: uid 52101 is not in /etc/passwd, and /usr/libexec/nsgate/newXIDmap-nss, \
             which asks the other sources of /etc/nsswitch.conf, cannot be run: No such file or directory",
        );
        granted(world, ALICE, 600_000, 10);
        accounts_from(world, "files");
        unusable(
            world,
            NED,
            800_000,
            10,
            "Cannot determine your user name: uid 52101 has no account on this host",
        );
        assert!(!Path::new("/usr/libexec/nsgate/newuidmap-nss").exists());
    });
}
