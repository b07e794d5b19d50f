//! Section F of the attack list: newgidmap, and when it must deny setgroups first. A process that may drop a group can
//! *gain* access by it where the group is there to keep it out, so nobody gets to call setgroups(2) by mapping nothing
//! but his own group (CVE-2018-7169).

use std::fs;

use world::{ALICE, Answer, CAROL, ROOT, Target, User, World, theirs};

/// A helper that stops when it has written a file of this process.
fn stopped_after(target: &Target, file: &str) -> [String; 4] {
    let path = format!("/proc/{}/{file}", target.pid());
    ["-P".to_owned(), path, "-e".to_owned(), "inject=write,pwrite64,writev:signal=STOP".to_owned()]
}

/// newgidmap for this user's own group alone, with these faults.
fn own_group(world: &World, user: User, target: &Target, options: &[&str]) -> Answer {
    let mut options = options.to_vec();
    options.extend(["-o", "/dev/null"]);
    let id = user.id.to_string();
    world.run(world.strace(user, &options, "/usr/bin/newgidmap").args([&*target.pid(), "0", &id, "1"]))
}

/// newgidmap has gone this far and no further.
#[track_caller]
fn assert_left(target: &Target, gid_map: &str, setgroups: &str) {
    assert_eq!((&*target.gid_map(), &*target.setgroups()), (gid_map, setgroups));
}

/// F01: with nothing but the own group in the map, setgroups is denied, and that before the map is there.
#[test]
fn own_group_alone_denies_setgroups_before_the_map_is_written() {
    World::enter(|world| {
        for user in [CAROL, ALICE] {
            let target = world.target(user);
            let options = stopped_after(&target, "setgroups");
            let (pid, id) = (target.pid(), user.id.to_string());
            let command: (_, &[&str], _, &[&str]) = (
                user,
                &options.each_ref().map(|option| &**option),
                "/usr/bin/newgidmap",
                &[&pid, "0", &id, "1"],
            );
            let answer =
                world.look_after_write(command, (&target, "setgroups"), |_| assert_left(&target, "", "deny"));
            answer.succeeds();
            assert_left(&target, &format!("0 {id} 1"), "deny");
        }
    });
}

/// F01: newuidmap has no business with setgroups.
#[test]
fn newuidmap_leaves_setgroups_alone() {
    World::enter(|world| {
        let target = world.target(CAROL);
        world.newuidmap(CAROL, &[&target.pid(), "0", "52003", "1"]).succeeds();
        assert_eq!((target.uid_map(), target.setgroups()), ("0 52003 1".to_owned(), "allow".to_owned()));
    });
}

/// F02: who has denied setgroups himself gets his map, and setgroups stays as it is.
#[test]
fn setgroups_denied_already_stays_so() {
    World::enter(|world| {
        for (user, host, count) in [(CAROL, "52003", "1"), (ALICE, "600000", "65536")] {
            let target = world.target(user);
            fs::write(format!("/proc/{}/setgroups", target.pid()), "deny").expect("deny");
            world.newgidmap(user, &[&target.pid(), "0", host, count]).succeeds();
            assert_left(&target, &format!("0 {host} {count}"), "deny");
        }
    });
}

/// F02: once somebody else has written the map it is too late to deny, and there is nothing left to write.
#[test]
fn a_namespace_that_has_a_gid_map_is_refused_and_keeps_its_setgroups() {
    World::enter(|world| {
        for (user, host, phrase) in [
            (CAROL, "52003", if theirs() { "failed to setgroups deny" } else { "write to gid_map failed" }),
            (ALICE, "600000", "write to gid_map failed"),
        ] {
            let target = world.target(user);
            let map = format!("0 {host} 1");
            fs::write(format!("/proc/{}/gid_map", target.pid()), &map).expect("map");
            let answer = world.newgidmap(user, &[&target.pid(), "0", host, "1"]);
            answer.refuses(phrase).refuses("Operation not permitted");
            if !theirs() {
                answer.refuses(
                    "the target's user namespace already has a gid_map, which can be written once only",
                );
            }
            assert_left(&target, &map, "allow");
        }
    });
}

/// F03: a single id out of /etc/subgid, and setgroups is left as it was: root has said that this user may have groups.
/// podman and all its kin need it. The own group listed there counts as well.
#[test]
fn a_granted_group_leaves_setgroups_allowed() {
    World::enter(|world| {
        world.append("/etc/subgid", "carol:52003:1\n");
        for (user, ask) in [
            (ALICE, "0 52001 1 1 600000 1"),
            (ALICE, "0 600000 65536 65536 52001 1"),
            (ALICE, "0 600000 1"),
            (CAROL, "0 52003 1"),
        ] {
            let target = world.target(user);
            let mut args = vec![target.pid()];
            args.extend(ask.split(' ').map(str::to_owned));
            world.newgidmap(user, &args.iter().map(|arg| &**arg).collect::<Vec<_>>()).succeeds();
            let written = target.gid_map().replace('\n', " ");
            assert_eq!((&*written, &*target.setgroups()), (ask, "allow"));
        }
    });
}

/// F04: Differs: a `setgroups` that is not there is refused (C: goes on without, as on a kernel before 3.19).
/// So is every other failure to open it, by both. Whatever the failure, nothing has been written.
#[test]
fn setgroups_that_cannot_be_opened_refuses() {
    World::enter(|world| {
        let target = world.target(CAROL);
        for (error, text) in [
            ("EPERM", "Operation not permitted"),
            ("EROFS", "Read-only file system"),
            ("EMFILE", "Too many open files"),
        ] {
            let inject = format!("inject=open,openat:error={error}");
            own_group(world, CAROL, &target, &["-P", "setgroups", "-e", &inject])
                .refuses(&format!("couldn't open process setgroups: {text}"));
            target.assert_untouched();
        }

        let missing =
            own_group(world, CAROL, &target, &["-P", "setgroups", "-e", "inject=open,openat:error=ENOENT"]);
        if theirs() {
            assert_eq!(missing.status, Some(0), "{missing:?}");
            assert!(missing.stderr.contains("kernel doesn't support setgroups restrictions"), "{missing:?}");
            return;
        }
        missing.refuses("couldn't open process setgroups: No such file or directory");
        target.assert_untouched();
    });
}

/// F05: of the caller's groups only the current one, his real gid, is his to map.
#[test]
fn a_supplementary_group_is_refused() {
    World::enter(|world| {
        let target = world.target(ALICE);
        let ask = |gid: &str| {
            let mut command = world.command(ROOT, "/usr/bin/setpriv");
            command.args(["--reuid=52001", "--regid=52001", "--groups=52001,52002,52003"]);
            world.run(command.args(["/usr/bin/newgidmap", &target.pid(), "0", gid, "1"]))
        };
        for gid in ["52002", "52003"] {
            ask(gid).refuses(&format!("gid range [0-1) -> [{gid}-"));
            target.assert_untouched();
        }
        ask("52001").succeeds();
        assert_left(&target, "0 52001 1", "deny");
    });
}

/// F06: a caller whose current group is not his login group, as after newgrp(1) into a group without a password, is
/// refused; with GRANT_AUX_GROUP_SUBIDS yes he is served, and his own group is then the current one alone.
#[test]
fn a_borrowed_group_is_refused_unless_login_defs_allows_it() {
    World::enter(|world| {
        world.append("/etc/group", "open::52050:\n");
        // What newgrp leaves behind: the real and the effective gid are another group's.
        let borrowed = || {
            let mut command = world.command_as(ALICE.id, 52050, "/usr/bin/unshare");
            world.target_of(command.args(["-U", "sleep", "1000"]))
        };
        let ask = |target: &Target, helper: &str, host: &str, count: &str| {
            world.run(world.command_as(ALICE.id, 52050, helper).args([&target.pid(), "0", host, count]))
        };
        let settings = fs::read_to_string("/etc/login.defs").expect("login.defs");

        for no in [
            "",
            "GRANT_AUX_GROUP_SUBIDS no\n",
            "GRANT_AUX_GROUP_SUBIDS true\n",
            "#GRANT_AUX_GROUP_SUBIDS yes\n",
        ] {
            world.write("/etc/login.defs", format!("{settings}\n{no}"));
            let target = borrowed();
            for helper in ["/usr/bin/newgidmap", "/usr/bin/newuidmap"] {
                for (host, count) in [("52050", "1"), ("52001", "1"), ("600000", "65536")] {
                    ask(&target, helper, host, count)
                        .refuses("uid:52001 pw_uid:52001 st_uid:52001, gid:52050 pw_gid:52001 st_gid:52050");
                }
            }
            target.assert_untouched();
        }

        world.write("/etc/login.defs", format!("{settings}\nGRANT_AUX_GROUP_SUBIDS yes\n"));
        let target = borrowed();
        ask(&target, "/usr/bin/newgidmap", "52001", "1")
            .refuses("gid range [0-1) -> [52001-52002) not allowed");
        target.assert_untouched();
        ask(&target, "/usr/bin/newgidmap", "52050", "1").succeeds();
        ask(&target, "/usr/bin/newuidmap", "52001", "1").succeeds();
        assert_left(&target, "0 52050 1", "deny");
        assert_eq!(target.uid_map(), "0 52001 1");
        let target = borrowed();
        ask(&target, "/usr/bin/newgidmap", "600000", "65536").succeeds();
        assert_left(&target, "0 600000 65536", "allow");
    });
}

/// F06: also a caller who became a member's group by sg(1) itself.
#[test]
fn a_group_entered_by_sg_is_refused_unless_login_defs_allows_it() {
    World::enter(|world| {
        world.append("/etc/group", "crew:x:52050:alice\n");
        world.append("/etc/gshadow", "crew:!::alice\n");
        let mut command = world.command_as(ALICE.id, 52050, "/usr/bin/unshare");
        let target = world.target_of(command.args(["-U", "sleep", "1000"]));
        let ask = |line: &str| {
            let line = format!("exec /usr/bin/newgidmap {} {line}", target.pid());
            world.run(world.command(ALICE, "/usr/bin/sg").args(["crew", "-c", &line]))
        };
        ask("0 52050 1").refuses("gid:52050 pw_gid:52001 st_gid:52050");
        target.assert_untouched();
        world.append("/etc/login.defs", "\nGRANT_AUX_GROUP_SUBIDS yes\n");
        ask("0 52050 1").succeeds();
        assert_left(&target, "0 52050 1", "deny");
    });
}

/// F07: the owner of a line in /etc/subgid is a *user*. A group of that name, or number, grants its members nothing.
#[test]
fn a_line_named_after_a_group_grants_nothing() {
    World::enter(|world| {
        world.append("/etc/group", "crew:x:52050:alice\nworkers:x:52051:alice\n");
        for owner in ["crew", "52050", "@crew", "%crew", "workers", "bob"] {
            world.write("/etc/subgid", format!("{owner}:800000:10\n"));
            let mut command = world.command(ROOT, "/usr/bin/setpriv");
            command.args(["--reuid=52001", "--regid=52001", "--groups=52001,52002,52050,52051"]);
            let target = world.target(ALICE);
            world
                .run(command.args(["/usr/bin/newgidmap", &target.pid(), "0", "800000", "10"]))
                .refuses("gid range [0-10) -> [800000-800010) not allowed");
            target.assert_untouched();
        }
        // Her login group has a name of its own, which is not hers.
        let passwd = fs::read_to_string("/etc/passwd").expect("passwd");
        world.write("/etc/passwd", passwd.replace("alice:x:52001:52001:", "alice:x:52001:52050:"));
        world.write("/etc/subgid", "crew:800000:10\n52050:800000:10\n");
        let mut command = world.command_as(ALICE.id, 52050, "/usr/bin/unshare");
        let target = world.target_of(command.args(["-U", "sleep", "1000"]));
        world
            .run(world.command_as(ALICE.id, 52050, "/usr/bin/newgidmap").args([
                &target.pid(),
                "0",
                "800000",
                "1",
            ]))
            .refuses("gid range [0-1) -> [800000-800001) not allowed");
        target.assert_untouched();
    });
}

/// F09: whatever becomes of the write to `setgroups`, or of reading it, the map is written only after a whole one.
#[test]
fn a_setgroups_write_that_is_cut_short_refuses_and_leaves_no_map() {
    World::enter(|world| {
        let target = world.target(CAROL);
        let path = format!("/proc/{}/setgroups", target.pid());
        for fault in [
            "inject=write,pwrite64,writev:error=EINTR",
            "inject=write,pwrite64,writev:error=EINTR:when=1",
            "inject=write,pwrite64,writev:error=EPERM:when=1",
            "inject=write,pwrite64,writev:retval=0:when=1",
            "inject=write,pwrite64,writev:retval=1:when=1",
            "inject=write,pwrite64,writev:retval=3:when=1",
        ] {
            if theirs() && fault.contains("retval") {
                // A short count is something the kernel never answers here; C's stdio has its own ideas about it.
                continue;
            }
            let answer = own_group(world, CAROL, &target, &["-P", &path, "-e", fault]);
            println!("{fault}: {answer:?}");
            answer.refuses("failed to setgroups deny");
            assert_left(&target, "", "allow");
        }
        for (error, text) in [("EINTR", "Interrupted system call"), ("EIO", "Input/output error")] {
            let fault = format!("inject=read,pread64:error={error}:when=1");
            let answer = own_group(world, CAROL, &target, &["-P", &path, "-e", &fault]);
            println!("{fault}: {answer:?}");
            answer.refuses("failed to read setgroups: ");
            if theirs() {
                answer.refuses(text);
            }
            assert_left(&target, "", "allow");
        }
    });
}

/// F09: a map that the kernel did not take is not half there; as setgroups is denied by then, ours says so.
#[test]
fn a_map_write_that_fails_after_the_denial_leaves_no_map_and_says_what_it_left() {
    World::enter(|world| {
        let short = if theirs() { None } else { Some("retval=1") };
        for fault in ["error=EINTR", "error=EPERM"].into_iter().chain(short) {
            let target = world.target(CAROL);
            let path = format!("/proc/{}/gid_map", target.pid());
            let inject = format!("inject=write,pwrite64,writev:{fault}");
            let answer = own_group(world, CAROL, &target, &["-P", &path, "-e", &inject]);
            println!("{fault}: {answer:?}");
            answer.refuses("write to gid_map failed");
            if !theirs() {
                answer.refuses("setgroups is now deny in the target's namespace");
            }
            assert_left(&target, "", "deny");
        }
    });
}
