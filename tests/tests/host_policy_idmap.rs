//! `/etc/nsgate.ini` and newuidmap and newgidmap: what the host's own rules take away, and that they take away nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use world::{ALICE, Answer, BOB, CAROL, Cgroup, Install, ROOT, Target, User, World, theirs};

const INI: &str = "/etc/nsgate.ini";

fn with_rules(rules: &str, test: impl FnOnce(&World) + Send) {
    if theirs() {
        return;
    }
    World::enter(|world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, "alice:910000:1000\nbob:911000:1000\n");
        }
        world.write(INI, rules);
        test(world);
    });
}

/// Both helpers, of the same ids.
fn ask(world: &World, user: User, target: &Target, triples: &[&str]) -> [Answer; 2] {
    let pid = target.pid();
    let args = [&[&*pid], triples].concat();
    [world.newuidmap(user, &args), world.newgidmap(user, &args)]
}

#[track_caller]
fn granted(world: &World, user: User, triples: &[&str]) -> Target {
    let target = world.target(user);
    for answer in ask(world, user, &target, triples) {
        answer.succeeds();
    }
    assert_eq!(target.uid_map(), triples.join(" "));
    assert_eq!(target.gid_map(), triples.join(" "));
    target
}

/// Refused by both, with these words, where `WORD` is uid or gid; and nothing is changed.
#[track_caller]
fn refused(world: &World, user: User, triples: &[&str], says: &str) {
    let target = world.target(user);
    for (answer, word) in ask(world, user, &target, triples).iter().zip(["uid", "gid"]) {
        answer.refuses(&says.replace("WORD", word));
    }
    target.assert_untouched();
}

const SOME: [&str; 3] = ["0", "910000", "10"];
const OWN: [&str; 3] = ["0", "52001", "1"];

#[test]
fn no_file_and_a_file_without_rules_change_nothing() {
    let all_off = "[idmap]\noverlap = allow\nprotect =\nprotect-accounts = no\nstrict-setgroups = no\nmax-ids = 0\n\
        exclusive = no\nrequire-limits =\nulimits =\n[nic]\n[bridge \"*\"]\nisolate = no\n[per-user-bridge]\n";
    for rules in ["", "; nothing\n", all_off] {
        with_rules(rules, |world| {
            // Bob's too, an account's, and twice.
            world.append("/etc/subuid", "bob:910000:10\n");
            world.append("/etc/passwd", "svc:x:910003:910003::/:/bin/sh\n");
            let _first = granted(world, ALICE, &SOME);
            let _second = granted(world, ALICE, &SOME);
            let target = world.target(ALICE);
            world.newgidmap(ALICE, &[&*target.pid(), "0", "52001", "1", "1", "910000", "1"]).succeeds();
            assert_eq!(target.setgroups(), "allow");
        });
    }
}

#[test]
fn a_file_that_is_not_as_it_should_be_ends_every_request_with_its_line() {
    with_rules("", |world| {
        for (text, says) in [
            ("[idmap]\noverlaps = refuse\n", "/etc/nsgate.ini:2: \"overlaps\" is not a key of [idmap]"),
            ("\n[id-map]\n", "/etc/nsgate.ini:2: [id-map] is not a section"),
            ("[idmap]\nmax-ids = 5\nmax-ids = 5\n", "/etc/nsgate.ini:3: max-ids is set a second time"),
            ("[idmap]\nexclusive = maybe\n", "/etc/nsgate.ini:2: exclusive = \"maybe\" is not a value"),
            ("junk\n", "/etc/nsgate.ini:1: \"junk\" is"),
            ("[bridge \"*\"]\nisolate = si\n", "/etc/nsgate.ini:2: "),
        ] {
            world.write(INI, text);
            for triples in [SOME, OWN] {
                refused(world, ALICE, &triples, says);
            }
            refused(world, ROOT, &["0", "0", "1"], says);
        }
        world.write(INI, b"[idmap]\n\xff\n");
        refused(world, ALICE, &SOME, "/etc/nsgate.ini:2: is not text");
    });
}

#[test]
fn a_file_that_is_not_roots_alone_is_refused() {
    with_rules("", |world| {
        chown(INI, Some(ALICE.id), None).expect("chown");
        refused(world, ALICE, &SOME, "/etc/nsgate.ini is not trusted: it belongs to uid 52001");
        chown(INI, Some(0), None).expect("chown");
        fs::set_permissions(INI, fs::Permissions::from_mode(0o664)).expect("chmod");
        refused(world, ALICE, &OWN, "/etc/nsgate.ini is not trusted: it can be written by others");
        fs::remove_file(INI).expect("remove");
        fs::create_dir(INI).expect("create");
        refused(world, ALICE, &SOME, "/etc/nsgate.ini is not a regular file");
        fs::remove_dir(INI).expect("remove");
        let fifo = Command::new("mkfifo").arg(INI).status().expect("mkfifo");
        assert!(fifo.success());
        refused(world, ALICE, &SOME, "/etc/nsgate.ini is not a regular file");
    });
}

/// Who cannot read the rules is not told what they say.
#[test]
fn a_private_file_is_obeyed_and_not_repeated() {
    with_rules("", |world| {
        for (text, triples) in [
            ("[idmap]\nprotect = 910005\n", SOME),
            ("[idmap]\nmax-ids = 9\n", SOME),
            ("[idmap]\nsecret = 9\n", SOME),
        ] {
            world.write(INI, text);
            fs::set_permissions(INI, fs::Permissions::from_mode(0o600)).expect("chmod");
            let target = world.target(ALICE);
            for answer in ask(world, ALICE, &target, &triples) {
                answer.refuses("/etc/nsgate.ini");
                for word in [":2", "910005", "protect", "max-ids", "secret"] {
                    let said = answer.stderr.replace("[910000-", "").replace("910010)", "");
                    assert!(!said.contains(word), "{word}: {answer:?}");
                }
            }
            target.assert_untouched();
        }
        world.install(Install::FileCapabilities);
        refused(
            world,
            ALICE,
            &SOME,
            "cannot open /etc/nsgate.ini, which everybody has to be able to read where",
        );
    });
}

#[test]
fn an_id_that_another_owner_holds_too_is_not_mapped() {
    with_rules("[idmap]\n\noverlap = refuse", |world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            // Her own lines, by uid too, and those that grant nothing, are no other owner's.
            world.append(file, "52001:910000:10\nbob:910100:0\nbob:910100:10:\nbob:0910100:10\nbob:910500:1\ncarol:52001:1\n");
        }
        let _target = granted(world, ALICE, &["0", "910000", "500"]);
        let _own = granted(world, ALICE, &OWN);
        let says = "WORD range [7-9) -> [910499-910501) not allowed: WORD 910500 is granted to another owner too, by line 7 \
                    of /etc/subWORD (/etc/nsgate.ini:3 overlap)";
        refused(world, ALICE, &["0", "910000", "7", "7", "910499", "2"], says);
        refused(
            world,
            BOB,
            &["0", "910500", "1"],
            "WORD 910500 is granted to another owner too, by line 1 of",
        );
    });
}

/// With this rule only lines are looked at that reach what is asked for. Whether setgroups is denied, and what a refusal says of
/// the caller's other lines, is as without it; also where the file takes several reads, and is read a second time.
#[test]
fn a_rule_about_others_changes_nothing_of_what_is_his_own() {
    let rule = "[idmap]\noverlap = refuse\n";
    for rules in ["", rule] {
        with_rules(rules, |world| {
            let many: String =
                (0..3000).map(|n| format!("user{n:05}:{}:65536\n", 2_000_000 + n * 65_536)).collect();
            for file in ["/etc/subuid", "/etc/subgid"] {
                world.write(file, format!("{many}alice:300000000:7\n{many}alice:910000:500\n"));
            }
            // Line 3001 is not his for what he asks, 6002 is. bob's ids are in nobody's way.
            assert_eq!(granted(world, ALICE, &["0", "910000", "500"]).setgroups(), "allow");
            assert_eq!(granted(world, ALICE, &OWN).setgroups(), "deny");
            for (triples, line) in [
                (["0", "910000", "501"], "WORD 910500 is not granted to alice (/etc/subWORD:6002 grants"),
                (["0", "299999999", "1"], "WORD 299999999 is not granted to alice (/etc/subWORD:3001 grants"),
            ] {
                refused(world, ALICE, &triples, line);
            }

            for file in ["/etc/subuid", "/etc/subgid"] {
                world.append(file, "alice:52001:1\nalice:910500:1 \n");
            }
            assert_eq!(granted(world, ALICE, &OWN).setgroups(), "allow");
            refused(
                world,
                ALICE,
                &["0", "910500", "1"],
                "6002 grants 910000-910499; line 6004 grants nothing",
            );
        });
    }
}

#[test]
fn a_protected_id_is_mapped_for_nobody() {
    with_rules("[idmap]\nprotect = 0, 910020-910029, 52001 ; not for containers\n", |world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.append(file, "alice:0:10\n");
        }
        let _target = granted(world, ALICE, &["0", "910000", "20"]);
        let _own = granted(world, ALICE, &OWN);
        let _root = granted(world, ROOT, &["0", "0", "1"]);
        let by = "(/etc/nsgate.ini:2 protect)";
        refused(
            world,
            ALICE,
            &["0", "910000", "21"],
            &format!("not allowed: WORD 910020 is protected on this host {by}"),
        );
        refused(world, ALICE, &["0", "910029", "5"], &format!("WORD 910029 is protected on this host {by}"));
        refused(world, ALICE, &["0", "0", "1"], &format!("WORD 0 is protected on this host {by}"));
    });
}

#[test]
fn an_id_that_is_an_account_or_a_group_is_mapped_for_itself_alone() {
    with_rules("[idmap]\nprotect-accounts = yes\n", |world| {
        world.append("/etc/passwd", "svc:x:910020:5::/:/bin/sh\n");
        world.append("/etc/group", "lab:x:910020:\n");
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.append(file, "alice:52001:2\n");
        }
        let _target = granted(world, ALICE, &["0", "910000", "20"]);
        let _own = granted(world, ALICE, &OWN);
        let by = "(/etc/nsgate.ini:2 protect-accounts)";
        let target = world.target(ALICE);
        let [uid, gid] = ask(world, ALICE, &target, &["0", "910000", "21"]);
        uid.refuses(&format!("not allowed: uid 910020 is the account svc of this host {by}"));
        gid.refuses(&format!("not allowed: gid 910020 is the group lab of this host {by}"));
        // Hers and Bob's.
        let [uid, gid] = ask(world, ALICE, &target, &["0", "52001", "2"]);
        uid.refuses("uid 52002 is the account bob of this host");
        gid.refuses("gid 52002 is the group bob of this host");
        target.assert_untouched();
    });
}

#[test]
fn a_map_has_at_most_so_many_ids() {
    with_rules("[idmap]\nmax-ids = 20\n", |world| {
        let _target = granted(world, ALICE, &["0", "910000", "20"]);
        let says = "this WORD_map is not allowed: 21 WORDs in all; at most 20 can be mapped at once (/etc/nsgate.ini:2 max-ids)";
        refused(world, ALICE, &["0", "910000", "20", "20", "52001", "1"], says);
    });
}

/// F03, strictly: an own group in the map is enough.
#[test]
fn strictly_one_own_group_denies_setgroups() {
    with_rules("[idmap]\nstrict-setgroups = yes\n", |world| {
        for (triples, setgroups) in
            [(&["0", "910000", "10"][..], "allow"), (&["0", "910000", "10", "10", "52001", "1"], "deny")]
        {
            let target = world.target(ALICE);
            world.newgidmap(ALICE, &[&[&*target.pid()], triples].concat()).succeeds();
            assert_eq!(target.setgroups(), setgroups);
        }
    });
}

/// A map that the kernel is going to refuse costs the namespace nothing: neither where the helper has no privilege.
#[test]
fn a_helper_without_privilege_that_would_deny_setgroups_changes_nothing() {
    with_rules("[idmap]\nstrict-setgroups = yes\n", |world| {
        world.install(Install::Plain);
        let target = world.target(ALICE);
        let answer = world.newgidmap(ALICE, &[&target.pid(), "0", "910000", "10", "10", "52001", "1"]);
        answer.refuses("newgidmap is not installed set-user-ID root nor with cap_setgid=ep");
        target.assert_untouched();
        assert_eq!(target.setgroups(), "allow");
    });
}

/// These ids are of this test alone: others may run at the same time, and the kernel knows of all of them.
#[test]
fn host_ids_that_a_live_namespace_maps_are_not_mapped_again() {
    with_rules("[idmap]\nexclusive = yes\n", |world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, "alice:920000:1000\n");
        }
        let mut first = granted(world, ALICE, &["0", "920000", "100"]);
        let _beside = granted(world, ALICE, &["0", "920100", "100"]);
        let _own = granted(world, ALICE, &OWN);
        let _own_again = granted(world, ALICE, &OWN);
        let says = format!(
            "not allowed: WORD 920099 is in use: the user namespace of process {} maps it (/etc/nsgate.ini:2 exclusive)",
            first.pid()
        );
        refused(world, ALICE, &["0", "920099", "1"], &says);
        refused(world, ALICE, &["0", "52001", "1", "1", "920099", "1"], &says);
        first.end();
        let _second = granted(world, ALICE, &["0", "920000", "100"]);

        // Whoever cannot see all processes does not know.
        let mut mount = world.command(ROOT, "/usr/bin/mount");
        world.run(mount.args(["-t", "proc", "-o", "hidepid=invisible", "proc", "/proc"])).succeeds();
        refused(world, ALICE, &["0", "920300", "1"], "/proc hides processes of others (hidepid)");
        let _own_still = granted(world, ALICE, &OWN);
    });
}

/// Whoever can mount by FUSE can have the kernel's list of mounts as long as he likes.
#[test]
fn many_mounts_with_long_names_are_in_nobodys_way() {
    with_rules("[idmap]\nexclusive = yes\n", |world| {
        let deep = format!("/run/m/{}", vec![" ".repeat(250); 15].join("/"));
        let script = format!(
            "mkdir -p '{deep}'\nfor i in $(seq 45); do mount -n --bind '{deep}' '{deep}' || exit 1; done"
        );
        world.run(world.command(ROOT, "/bin/sh").args(["-c", &script])).succeeds();
        let mountinfo = || fs::read("/proc/thread-self/mountinfo").expect("read");
        assert!(mountinfo().len() > 1 << 20);
        let _target = granted(world, ALICE, &["0", "910500", "10"]);
        // A directory above a mount can be moved to where no path leads any more.
        let script = "import os, subprocess\n\
            os.makedirs('/run/deep/a/m')\n\
            subprocess.check_call(['mount', '-n', '--bind', '/run/deep/a/m', '/run/deep/a/m'])\n\
            top = below = os.open('/run/deep', os.O_DIRECTORY)\n\
            for _ in range(1100):\n\
            \x20   os.mkdir(' ' * 250, dir_fd=below)\n\
            \x20   below = os.open(' ' * 250, os.O_DIRECTORY, dir_fd=below)\n\
            os.rename('a', 'a', src_dir_fd=top, dst_dir_fd=below)\n";
        let mut python = world.command(ROOT, "/bin/sh");
        python.args(["-c", &format!("ulimit -n 4096; exec python3 -I -c \"{script}\"")]);
        world.run(&mut python).succeeds();
        assert!(mountinfo().split(|byte| *byte == b'\n').any(|line| line.len() > 1 << 20));
        let _target = granted(world, ALICE, &["0", "910600", "10"]);
    });
}

/// A command of Alice's that is in this group.
fn command_in(group: &Cgroup, world: &World, helper: &str) -> Command {
    let mut command = world.command(ROOT, "/bin/sh");
    let enter = "echo 0 >\"$0\" && exec setpriv --clear-groups --reuid=52001 --regid=52001 \"$@\"";
    command.args(["-c", enter]).arg(group.processes()).arg(helper);
    command
}

/// The caller and the target: who is limited could call for who is not.
#[test]
fn limits_of_a_control_group_are_required_of_the_caller_and_the_target() {
    with_rules("[idmap]\nrequire-limits = pids\n", |world| {
        let (free, limited) = (Cgroup::new("free"), Cgroup::new("limited"));
        limited.limit("1000");
        let below = limited.below("below");
        let run = |caller: &Cgroup, of_target: &Cgroup| {
            let target = world.target(ALICE);
            of_target.take(&target.pid());
            let answers = ["newuidmap", "newgidmap"].map(|helper| {
                let mut command = command_in(caller, world, &format!("/usr/bin/{helper}"));
                world.run(command.args([&target.pid(), "0", "910000", "10"]))
            });
            (answers, target)
        };
        for (caller, of_target) in
            [(&limited, &limited), (&below, &limited), (&limited, &below), (&below, &below)]
        {
            let (answers, _target) = run(caller, of_target);
            for answer in answers {
                answer.succeeds();
            }
        }
        for (caller, of_target, who) in [
            (&free, &free, "the caller"),
            (&free, &limited, "the caller"),
            (&limited, &free, "the target process"),
        ] {
            let (answers, target) = run(caller, of_target);
            for answer in answers {
                answer.refuses(&format!(
                    "not allowed: pids is not limited for {who}, by its control group or one above it (/etc/nsgate.ini:2 \
                     require-limits)"
                ));
            }
            target.assert_untouched();
        }
        // A limit that she can lift is none.
        let hers = Cgroup::new("hers");
        hers.limit("1000");
        chown(hers.limit_file(), Some(ALICE.id), None).expect("chown");
        let (answers, target) = run(&hers, &hers);
        for answer in answers {
            answer.refuses("pids is not limited");
        }
        target.assert_untouched();
    });
}

#[test]
fn ulimits_are_required_of_the_caller_and_the_target() {
    with_rules("[idmap]\nulimits = cpu, nofile\n", |world| {
        let limited = |command: &str| {
            let mut limited = world.command(ALICE, "/usr/bin/prlimit");
            limited.args(["--cpu=500:600", "--nofile=100:200", command]);
            limited
        };
        let unlimited = |command: &str| {
            // The soft limit is one that she can lift herself.
            let mut unlimited = world.command(ALICE, "/usr/bin/prlimit");
            unlimited.args(["--cpu=500:", "--nofile=100:200", command]);
            unlimited
        };
        let limited_target = || world.target_of(limited("/usr/bin/unshare").args(["-U", "sleep", "1000"]));
        let unlimited_target =
            || world.target_of(unlimited("/usr/bin/unshare").args(["-U", "sleep", "1000"]));
        let target = limited_target();
        for helper in ["/usr/bin/newuidmap", "/usr/bin/newgidmap"] {
            world.run(limited(helper).args([&*target.pid(), "0", "910000", "10"])).succeeds();
        }
        let by = "has no limit (ulimit, RLIMIT_CPU) (/etc/nsgate.ini:2 ulimits)";
        let (one, other) = (limited_target(), unlimited_target());
        for helper in ["/usr/bin/newuidmap", "/usr/bin/newgidmap"] {
            world
                .run(unlimited(helper).args([&*one.pid(), "0", "910000", "10"]))
                .refuses(&format!("the caller {by}"));
            let answer = world.run(limited(helper).args([&*other.pid(), "0", "910000", "10"]));
            answer.refuses(&format!("the target process {by}"));
        }
        one.assert_untouched();
        other.assert_untouched();
    });
}

/// Each rule alone, over some requests: what is refused without it is refused with it.
#[test]
fn no_rule_turns_a_refusal_into_a_grant() {
    let rules = [
        "overlap = refuse",
        "protect = 5",
        "protect-accounts = yes",
        "strict-setgroups = yes",
        "max-ids = 100000",
        "exclusive = yes",
        "overlap = allow\nprotect =\nmax-ids = 0",
    ];
    for rule in rules {
        with_rules(&format!("[idmap]\n{rule}\n"), |world| {
            for triples in [
                ["0", "909999", "2"],
                ["0", "910999", "2"],
                ["0", "911000", "1"],
                ["0", "0", "1"],
                ["0", "52001", "2"],
            ] {
                refused(world, ALICE, &triples, ") not allowed");
            }
            refused(world, CAROL, &SOME, ") not allowed");
            refused(world, ROOT, &SOME, ") not allowed");
        });
    }
}

/// A line of any length is one: it has a rule in it that is not to get lost.
#[test]
fn a_long_line_is_a_line_like_any_other() {
    with_rules("", |world| {
        let many: String = (0..3000).map(|number| format!("{}, ", 910_000 + 2 * number)).collect();
        world.write(INI, format!("[idmap]\nprotect = {many}5\n"));
        refused(world, ALICE, &SOME, "WORD 910000 is protected on this host (/etc/nsgate.ini:2 protect)");
        world.write(INI, format!("[idmap]\nmax-ids = 5 ;{}\n", "x".repeat(100_000)));
        refused(world, ALICE, &SOME, "(/etc/nsgate.ini:2 max-ids)");
        world.write(INI, format!("[idmap]\n;{}\nmax-ids = 5", "x".repeat(16 * 1024 - 1)));
        refused(world, ALICE, &SOME, "(/etc/nsgate.ini:3 max-ids)");
        world.write(INI, "x".repeat(2 << 20));
        refused(world, ALICE, &SOME, "cannot read /etc/nsgate.ini: File too large");
        fs::remove_file(INI).expect("remove");
        world.write("/etc/nsswitch.conf", format!("subid: nosuch #{}\n", "x".repeat(20_000)));
        refused(world, ALICE, &SOME, "nosuch");
    });
}

/// The largest groups, odd numbers, login groups that have no line: whoever has an id, it is his.
#[test]
fn no_account_and_no_group_is_overlooked() {
    with_rules("[idmap]\nprotect-accounts = yes\n", |world| {
        let (passwd, group) = ("/etc/passwd", "/etc/group");
        let (usual_passwd, usual_group) = [passwd, group].map(|file| fs::read(file).expect("read")).into();
        let members: String = (0..4000).map(|number| format!("user{number},")).collect();
        for (file, line, is_uid) in [
            (group, format!("big:x:910005:{members}last\n"), false),
            (group, "zeros:x:000910005:\n".to_owned(), false),
            (passwd, "zeros:x:000910005:5::/:\n".to_owned(), true),
            (passwd, format!("long:x:910005:5:{members}:/:\n"), true),
            (passwd, "login:x:5:910005::/:\n".to_owned(), false),
        ] {
            world.append(file, &line);
            let target = world.target(ALICE);
            let [uid, gid] = ask(world, ALICE, &target, &SOME);
            let (one, other) = if is_uid { (uid, gid) } else { (gid, uid) };
            one.refuses("910005 is the ");
            other.succeeds();
            world.write(passwd, &usual_passwd);
            world.write(group, &usual_group);
        }
        fs::remove_file(group).expect("remove");
        let target = world.target(ALICE);
        let [uid, gid] = ask(world, ALICE, &target, &SOME);
        uid.succeeds();
        gid.refuses("what this rule is about cannot be found out (/etc/nsgate.ini:2 protect-accounts)");
        // It is not about the own id.
        fs::remove_file(passwd).expect("remove");
        world.write(passwd, "alice:x:52001:52001::/:\n");
        granted(world, ALICE, &OWN);
    });
}

/// However many mounts there are, or how long the words for them: it is seen that processes are hidden.
#[test]
fn a_long_list_of_mounts_hides_nothing() {
    with_rules("[idmap]\nexclusive = yes\n", |world| {
        let mount =
            |args: &[&str]| world.run(world.command(ROOT, "/usr/bin/mount").args(args)).succeeds().status;
        fs::create_dir("/run/many").expect("create");
        for number in 0..400 {
            let place = format!("/run/many/{number}");
            fs::create_dir(&place).expect("create");
            mount(&["-n", "-t", "tmpfs", &"s".repeat(100), &place]);
        }
        fs::create_dir("/run/long").expect("create");
        mount(&["-n", "-t", "tmpfs", &"s".repeat(3000), "/run/long"]);
        mount(&["-n", "-t", "proc", "-o", "hidepid=invisible", "proc", "/proc"]);
        refused(world, ALICE, &["0", "910300", "1"], "/proc hides processes of others (hidepid)");
    });
}

/// Whoever cannot read a policy file is not told by another rule what it says.
#[test]
fn what_other_owners_hold_in_a_private_file_is_not_told() {
    with_rules("[idmap]\noverlap = refuse\n", |world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.append(file, "bob:910003:1\n");
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("chmod");
        }
        let target = world.target(ALICE);
        for answer in ask(world, ALICE, &target, &SOME) {
            answer.refuses("grants some of it to another owner too (/etc/nsgate.ini:2 overlap)");
            assert!(!answer.stderr.contains("910003") && !answer.stderr.contains(":3"), "{answer:?}");
        }
        target.assert_untouched();
    });
}

/// Also where the file itself grants nothing, as `subid:` does not name it.
#[test]
fn other_owners_count_whatever_grants() {
    with_rules("[idmap]\noverlap = refuse\n", |world| {
        world.write("/etc/nsswitch.conf", "subid: nosuch\n");
        for file in ["/etc/subuid", "/etc/subgid"] {
            chown(file, Some(ALICE.id), None).expect("chown");
        }
        // It is looked at, so it has to be root's.
        refused(world, ALICE, &SOME, "/etc/subWORD is not trusted");
    });
}
