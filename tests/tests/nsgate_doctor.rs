//! `nsgate doctor`: each thing that we break is found, and nothing on a machine that is well. Ours alone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use world::{
    ALICE, Answer, BOB, Install, NOBODY_AT_ALL, ROOT, User, World, kernel_limits_groups, limit_of_groups,
    theirs,
};

/// The processes of one test are seen by the others: who makes ids overlap has to be alone.
static ALONE: RwLock<()> = RwLock::new(());

/// A machine that is well: everybody has ids, the bridge of the policy is there and deaf to routers.
fn enter(test: impl FnOnce(&World) + Send) {
    let _with_others = ALONE.read().unwrap_or_else(PoisonError::into_inner);
    enter_a_machine(test);
}

/// The same, while no other test is in one.
fn enter_alone(test: impl FnOnce(&World) + Send) {
    let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    enter_a_machine(test);
}

fn enter_a_machine(test: impl FnOnce(&World) + Send) {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.append(file, "carol:800000:65536\n");
        }
        // What else there is on the real machine is none of ours.
        let passwd = fs::read_to_string("/etc/passwd").expect("read");
        let is_ours = |line: &&str| {
            let uid: u32 = line.split(':').nth(2).and_then(|uid| uid.parse().ok()).unwrap_or(0);
            !(1000..=60000).contains(&uid) || (52001..=52003).contains(&uid)
        };
        world.write(
            "/etc/passwd",
            passwd.lines().filter(is_ours).map(|line| format!("{line}\n")).collect::<String>(),
        );
        world.bridge("lxcbr0");
        fs::write("/proc/sys/net/ipv6/conf/lxcbr0/accept_ra", "0").expect("accept_ra");
        world.usernet("alice veth lxcbr0 5\nbob veth none 5\n@containers veth nsbr-%u 5\n");
        for path in ["/proc/sys/user/max_user_namespaces", "/proc/self/status"] {
            assert!(fs::metadata(path).is_ok(), "{path}");
        }
        test(world);
    });
}

fn doctor(world: &World, user: User, args: &[&str]) -> Answer {
    world.run_within(Duration::from_secs(60), world.nsgate(user).args(["--json", "doctor"]).args(args))
}

/// `probe: state: what` and the command of all that is not well, but for what the machine that the tests run on is like.
fn found(answer: &Answer) -> Vec<String> {
    let script = "import json, sys\n\
                  for f in json.load(sys.stdin)['findings']:\n\
                  \x20   if f['state'] != 'ok' and f['probe'] != 'lsm':\n\
                  \x20       print(f['probe'], f['state'], f['what'], '#', f['command'])";
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    child.stdin.take().expect("stdin").write_all(answer.stdout.as_bytes()).expect("write");
    let output = child.wait_with_output().expect("wait");
    assert!(output.status.success(), "{answer:?}");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// What root finds has all these words in one line, and nothing else is found.
#[track_caller]
fn finds(world: &World, words: &[&str]) -> Answer {
    let answer = doctor(world, ROOT, &[]);
    let found = found(&answer);
    assert!(found.iter().any(|line| words.iter().all(|word| line.contains(word))), "{words:?}: {found:#?}");
    answer
}

#[track_caller]
fn finds_alone(world: &World, words: &[&str]) {
    let answer = finds(world, words);
    assert_eq!(found(&answer).len(), 1, "{:#?}", found(&answer));
    assert_eq!(answer.status, Some(if words.contains(&"warning") { 1 } else { 2 }), "{answer:?}");
}

fn bind(from: &str, to: &str) {
    let status = Command::new("mount").args(["-n", "--bind", from, to]).status().expect("mount");
    assert!(status.success(), "{to}");
}

/// Has the kernel seem to have another value here, for this machine alone.
fn pretend(world: &World, path: &str, value: &str) {
    world.write("/run/pretended", value);
    bind("/run/pretended", path);
}

#[test]
fn nothing_is_found_on_a_machine_that_is_well() {
    enter(|world| {
        let answer = doctor(world, ROOT, &[]);
        assert_eq!(found(&answer), Vec::<String>::new(), "{answer:?}");
        let text = world.run(world.nsgate(ROOT).arg("doctor"));
        assert!(
            text.stdout.contains("ok       a map of alice's ids was made, looked at, and thrown away"),
            "{text:?}"
        );
        assert!(text.stdout.lines().filter(|line| line.starts_with("ok  ")).count() >= 13, "{text:?}");
    });
}

/// M16
#[test]
fn m16_a_user_gets_the_same_answer_about_himself_and_no_fix() {
    enter(|world| {
        let answer = doctor(world, ALICE, &[]);
        assert_eq!(found(&answer), Vec::<String>::new(), "{answer:?}");
        let refused = world.run(world.nsgate(ALICE).args(["doctor", "--fix", "--yes"]));
        assert_eq!((refused.status, &*refused.stdout), (Some(1), ""));
        assert!(refused.stderr.contains("--fix needs root; run: sudo nsgate doctor --fix"), "{refused:?}");
        let nobody = doctor(world, NOBODY_AT_ALL, &[]);
        assert!(
            found(&nobody).iter().any(|line| line.contains("your uid 52999 has no account")),
            "{nobody:?}"
        );
    });
}

/// N03
#[test]
fn a_lost_set_user_id_bit_is_found_and_mended() {
    enter(|world| {
        for helper in
            ["/usr/bin/newuidmap", "/usr/libexec/nsgate/newgidmap-nss", "/usr/libexec/lxc/lxc-user-nic"]
        {
            fs::set_permissions(helper, fs::Permissions::from_mode(0o755)).expect("chmod");
            finds(world, &["helpers problem", helper, "not set-user-ID", &format!("# chmod 4755 {helper}")]);
            let mended = world.run(world.nsgate(ROOT).args(["doctor", "--fix", "--yes"]));
            assert!(mended.stdout.contains(&format!("done: chmod 4755 {helper}")), "{mended:?}");
            assert!(mended.stdout.contains("now: "), "{mended:?}");
            assert_eq!(fs::metadata(helper).expect("look").permissions().mode() & 0o7777, 0o4755);
            assert_eq!(found(&doctor(world, ROOT, &[])), Vec::<String>::new());
        }
    });
}

/// N03: through tar(1), as backups go, once without the capabilities and once by somebody who may not give the bit.
#[test]
fn what_a_backup_did_not_bring_back_is_found() {
    let finds_after = |how, helper: &str, unpack: &str, problem: &str, command: &str| {
        enter(|world| {
            world.install(how);
            let place = "/run/restored";
            fs::create_dir(place).expect("create");
            let script = format!("umask 022; tar -C /usr/bin -cf - {helper} | tar -C {place} {unpack} -xf -");
            let done = Command::new("sh").args(["-c", &script]).status().expect("sh");
            assert!(done.success());
            bind(&format!("{place}/{helper}"), &format!("/usr/bin/{helper}"));
            finds(world, &["helpers problem", problem, command]);
        });
    };
    finds_after(
        Install::SetUid,
        "newuidmap",
        "--no-same-permissions",
        "/usr/bin/newuidmap is not set-user-ID",
        "# chmod 4755 /usr/bin/newuidmap",
    );
    finds_after(
        Install::FileCapabilities,
        "newgidmap",
        "--same-permissions",
        "newgidmap has lost cap_setgid",
        "# setcap cap_setgid=ep /usr/bin/newgidmap",
    );
}

/// As where Debian's uidmap has taken the place of ours again. It answers to `--version` as to any wrong command line.
#[test]
fn a_helper_that_does_not_read_the_rules_is_found_where_there_are_rules() {
    enter(|world| {
        for (helper, rules, others) in [
            ("/usr/bin/newuidmap", "[idmap]\nprotect = 0\n", "[nic]\nrequire-limits = pids\n"),
            (
                "/usr/libexec/lxc/lxc-user-nic",
                "[bridge \"*\"]\nmax-nics = 9\n",
                "[idmap]\nmax-ids = 9999999\n",
            ),
        ] {
            let script = format!("/tmp/{}", helper.rsplit('/').next().expect("a name"));
            world.write(&script, "#!/bin/sh\n[ $(id -u) = 0 ] && touch /run/asked-as-root\nexit 1\n");
            fs::set_permissions(&script, fs::Permissions::from_mode(0o4755)).expect("chmod");
            let helpers = || {
                let found = found(&doctor(world, ROOT, &[]));
                found.into_iter().filter(|line| line.starts_with("helpers")).collect::<Vec<_>>()
            };
            world.write("/etc/nsgate.ini", rules);
            assert_eq!(helpers(), Vec::<String>::new());
            bind(&script, helper);
            let problem = helpers();
            let what = format!("helpers problem {helper} does not go by the rules in [");
            assert!(problem.len() == 1 && problem[0].starts_with(&what), "{problem:#?}");
            world.write("/etc/nsgate.ini", others);
            assert_eq!(helpers(), Vec::<String>::new());
            assert!(Command::new("umount").args(["-n", helper]).status().expect("umount").success());
        }
        assert!(fs::metadata("/run/asked-as-root").is_err());
        // Where a group alone may run it, nobody is told how to open it to all.
        world.write("/etc/nsgate.ini", "[idmap]\nprotect = 0\n");
        fs::set_permissions("/tmp/newuidmap", fs::Permissions::from_mode(0o4750)).expect("chmod");
        bind("/tmp/newuidmap", "/usr/bin/newuidmap");
        let found = found(&doctor(world, ROOT, &[]));
        assert!(
            found.iter().any(|line| line.contains("newuidmap does not go by the rules"))
                && !found.iter().any(|line| line.contains("chmod")),
            "{found:#?}"
        );
    });
}

#[test]
fn interfaces_that_are_allotted_and_no_program_that_makes_them_are_found() {
    enter(|world| {
        for mounted_on in ["/usr/libexec", "/run/world/libexec"] {
            let place = format!("{mounted_on}/lxc/lxc-user-nic");
            assert!(Command::new("umount").args(["-n", &place]).status().expect("umount").success());
        }
        fs::remove_file("/usr/libexec/lxc/lxc-user-nic").expect("remove");
        let words =
            ["helpers warning", "lxc-user-nic is not installed", "install nsgate-lxc-user-nic", "warning"];
        finds_alone(world, &words);
        world.usernet("#alice veth lxcbr0 5\n");
        assert_eq!(found(&doctor(world, ROOT, &[])), Vec::<String>::new());
    });
}

/// N03
#[test]
fn lost_capabilities_are_found_and_mended() {
    enter(|world| {
        world.install(Install::FileCapabilities);
        assert_eq!(found(&doctor(world, ROOT, &[])), Vec::<String>::new());
        let status =
            Command::new("setcap").args(["-q", "-r", "/usr/bin/newgidmap"]).status().expect("setcap");
        assert!(status.success());
        finds(
            world,
            &[
                "helpers problem",
                "newgidmap has lost cap_setgid",
                "# setcap cap_setgid=ep /usr/bin/newgidmap",
            ],
        );
        let mended = doctor(world, ROOT, &["--fix", "--yes"]);
        assert!(
            mended.stdout.contains("\"what\": \"setcap cap_setgid=ep /usr/bin/newgidmap\""),
            "{mended:?}"
        );
        assert_eq!(found(&mended), Vec::<String>::new());
        // Ours puts it into effect itself. No other does.
        let give = |path: &str| Command::new("setcap").args(["-q", "cap_setuid=p", path]).status();
        assert!(give("/usr/bin/newuidmap").expect("setcap").success());
        assert_eq!(found(&doctor(world, ROOT, &[])), Vec::<String>::new());
        world.write("/run/other", "#!/bin/sh\nexit 1\n");
        fs::set_permissions("/run/other", fs::Permissions::from_mode(0o755)).expect("chmod");
        assert!(give("/run/other").expect("setcap").success());
        bind("/run/other", "/usr/bin/newuidmap");
        finds(world, &["helpers problem /usr/bin/newuidmap has lost cap_setuid", "# setcap cap_setuid=ep "]);
    });
}

#[test]
fn an_answer_other_than_yes_changes_nothing() {
    enter(|world| {
        fs::set_permissions("/usr/bin/newuidmap", fs::Permissions::from_mode(0o755)).expect("chmod");
        for (word, mode) in [("", 0o755), ("n\n", 0o755), ("yesterday\n", 0o755), ("y\n", 0o4755)] {
            world.write("/tmp/word", word);
            let mut command = world.nsgate(ROOT);
            command.args(["doctor", "--fix"]).stdin(fs::File::open("/tmp/word").expect("open"));
            let answer = world.run(&mut command);
            assert!(answer.stdout.contains("  chmod 4755 /usr/bin/newuidmap\nDo it? [y/N]\n"), "{answer:?}");
            assert_eq!(fs::metadata("/usr/bin/newuidmap").expect("look").permissions().mode() & 0o7777, mode);
        }
    });
}

/// An admin has said so: `--fix` knows better than to know better.
#[test]
fn what_a_statoverride_takes_away_is_not_given_back() {
    enter(|world| {
        fs::set_permissions("/usr/bin/newuidmap", fs::Permissions::from_mode(0o755)).expect("chmod");
        fs::create_dir("/run/dpkg").expect("create");
        let copied = Command::new("cp").args(["-a", "/var/lib/dpkg/.", "/run/dpkg"]).status().expect("cp");
        assert!(copied.success());
        world.append("/run/dpkg/statoverride", "root root 0755 /usr/bin/newuidmap\n");
        bind("/run/dpkg", "/var/lib/dpkg");
        finds(
            world,
            &[
                "newuidmap is not set-user-ID",
                "# dpkg-statoverride --remove /usr/bin/newuidmap && chmod 4755",
            ],
        );
        let kept = world.run(world.nsgate(ROOT).args(["doctor", "--fix", "--yes"]));
        assert!(kept.stdout.contains("nothing of this can be mended safely"), "{kept:?}");
        assert_eq!(fs::metadata("/usr/bin/newuidmap").expect("look").permissions().mode() & 0o7777, 0o755);
    });
}

#[test]
fn a_helper_of_somebody_elses_or_writable_is_found_and_not_mended() {
    enter(|world| {
        chown("/usr/bin/newuidmap", Some(ALICE.id), None).expect("chown");
        // Of what may be another's program, no command makes it root's.
        let finds = |what: &str| {
            finds(world, &["helpers problem /usr/bin/newuidmap ", what, "# None"]);
            let text = world.run(world.nsgate(ROOT).arg("doctor")).stdout;
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains("install it again from its package"), "{text}");
            assert!(!text.contains("chmod") && !text.contains("chown"), "{text}");
        };
        finds("belongs to uid 52001");
        chown("/usr/bin/newuidmap", Some(0), None).expect("chown");
        fs::set_permissions("/usr/bin/newuidmap", fs::Permissions::from_mode(0o4757)).expect("chmod");
        finds("can be written by others than root");
        world.run(world.nsgate(ROOT).args(["doctor", "--fix", "--yes"]));
        assert_eq!(fs::metadata("/usr/bin/newuidmap").expect("look").permissions().mode() & 0o7777, 0o4757);
    });
}

#[test]
fn a_nosuid_mount_is_found() {
    enter(|world| {
        let mut remount = Command::new("mount");
        remount.args(["-n", "-o", "remount,bind,nosuid", "/usr/bin/newuidmap"]);
        assert!(remount.status().expect("mount").success());
        finds(
            world,
            &[
                "helpers problem /usr/bin/newuidmap is on a file system mounted nosuid",
                "# mount -o remount,bind,suid",
            ],
        );
        // And the trial, too, says so in the helper's own words.
        finds(world, &["trial problem newuidmap refuses alice"]);
        let command = "mount -o remount,bind,suid \"$(findmnt -n -o TARGET -T /usr/bin/newuidmap)\"";
        assert!(Command::new("sh").args(["-c", command]).status().expect("sh").success());
        assert_eq!(found(&doctor(world, ROOT, &[])), Vec::<String>::new());
    });
}

#[test]
fn no_new_privs_is_found() {
    enter(|world| {
        let mut command = world.command(ALICE, "/usr/bin/setpriv");
        command.args(["--no-new-privs", "/run/world/bin/nsgate", "--json", "doctor"]);
        let answer = world.run_within(Duration::from_secs(60), &mut command);
        let found = found(&answer);
        assert!(found.iter().any(|line| line.starts_with("no-new-privs problem")), "{found:#?}");
        assert!(
            found.iter().any(|line| line.starts_with("trial problem newuidmap refuses alice")),
            "{found:#?}"
        );
    });
}

#[test]
fn sysctls_that_forbid_user_namespaces_are_found() {
    enter(|world| {
        pretend(world, "/proc/sys/user/max_user_namespaces", "0\n");
        finds_alone(
            world,
            &[
                "user-namespaces problem user.max_user_namespaces is 0",
                "# sysctl -w user.max_user_namespaces=",
            ],
        );
    });
}

#[test]
fn hidden_processes_are_found() {
    enter(|world| {
        // A new one: to mount that of the machine again would change it for everybody.
        let mut mount = Command::new("mount");
        mount.args(["-n", "-t", "proc", "-o", "hidepid=2", "proc", "/proc"]);
        assert!(mount.status().expect("mount").success());
        finds_alone(
            world,
            &[
                "proc warning /proc hides processes (hidepid)",
                "# mount -o remount,hidepid=0 /proc",
                "warning",
            ],
        );
        world.write("/etc/nsgate.ini", "[idmap]\nexclusive = yes\n");
        finds(world, &["proc problem /proc hides processes"]);
    });
}

#[test]
fn users_without_accounts_and_accounts_without_ids_are_found() {
    enter(|world| {
        world.append("/etc/subuid", "ghost:900000:10\n");
        finds_alone(world, &["users warning /etc/subuid: ghost has no account", "# nsgate check", "warning"]);
        world.write("/etc/subuid", "alice:600000:65536\ncarol:800000:65536\n");
        // He has them in the other file still: then both are to say the same.
        let command = "nsgate grant ids bob --start 700000 --count 65536";
        finds_alone(world, &["users warning bob holds no ids", &format!("# {command}"), "warning"]);
        let granted = world.run(world.nsgate(ROOT).args(command.split(' ').skip(1)));
        assert_eq!(granted.status, Some(0), "{granted:?}");
        assert_eq!(found(&doctor(world, ROOT, &[])), Vec::<String>::new());
        assert!(fs::read("/etc/subuid").expect("read").ends_with(b"bob:700000:65536\n"));
        // Of ids that are somebody else's, or this host's, no command makes his own.
        for taken in ["bob:600000:10", "bob:0:2"] {
            world.write("/etc/subuid", "alice:600000:65536\ncarol:800000:65536\n");
            world.write("/etc/subgid", format!("alice:600000:65536\ncarol:800000:65536\n{taken}\n"));
            finds(world, &["users warning bob holds no ids", "# nsgate check"]);
        }
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, "alice:600000:65536\n");
        }
        let both = finds(world, &["users warning bob, carol hold no ids", "# nsgate grant ids bob"]);
        assert!(both.stdout.contains("; the command is for the first of them"), "{both:?}");
        let bob = doctor(world, BOB, &[]);
        assert!(found(&bob).iter().any(|line| line.starts_with("users problem bob holds no ids")), "{bob:?}");
    });
}

#[test]
fn a_source_without_its_plugin_is_found() {
    enter(|world| {
        world.append("/etc/nsswitch.conf", "subid: files nosuch\n");
        finds_alone(world, &["subid-source problem", "no libsubid_nosuch.so", "# sed -i"]);
        let mended =
            Command::new("sed").args(["-i", "s/^subid:.*/subid: files/I", "/etc/nsswitch.conf"]).status();
        assert!(mended.expect("sed").success());
        assert_eq!(found(&doctor(world, ROOT, &[])), Vec::<String>::new());
        world.append("/etc/nsswitch.conf", "subid: [x]\n");
        world.write("/etc/nsswitch.conf", "subid: a/../b\n");
        finds(world, &["subid-source problem", "a/../b", "is no source"]);
    });
}

/// Then there is nothing to be granted in them, nor to be tried.
#[test]
fn who_holds_ids_is_not_asked_of_files_that_do_not_count() {
    enter(|world| {
        world.append("/etc/nsswitch.conf", "subid: nosuch\n");
        world.write("/etc/subuid", "alice:600000:65536\nghost:900000:10\n");
        let answer = doctor(world, ROOT, &[]);
        let found = found(&answer);
        assert!(found.len() == 1 && found[0].starts_with("subid-source problem"), "{found:#?}");
        assert!(answer.stdout.contains("subid: in /etc/nsswitch.conf does not name files"), "{answer:?}");
        world.write("/etc/nsswitch.conf", "passwd: files\nsubid: files [NOTFOUND=return] sss\n");
        finds(world, &["users unknown who holds ids is not known"]);
    });
}

#[test]
fn a_policy_file_that_others_can_write_is_found() {
    enter(|world| {
        for path in ["/etc/subuid", "/etc/subgid", "/etc/lxc/lxc-usernet", "/etc/lxc", "/etc/nsswitch.conf"] {
            let mode = fs::metadata(path).expect("look").permissions().mode() & 0o777;
            fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o002)).expect("chmod");
            finds(
                world,
                &[
                    "policy-files problem",
                    path,
                    "can be written by everybody",
                    &format!("# chmod o-w {path}"),
                ],
            );
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
        }
        chown("/etc/subuid", Some(ALICE.id), None).expect("chown");
        finds(world, &["policy-files problem /etc/subuid: belongs to uid 52001", "# chown 0 /etc/subuid"]);
        chown("/etc/subuid", Some(0), None).expect("chown");
        world.write("/etc/nsgate.ini", "[idmap]\nprotekt = 0\n");
        finds(world, &["policy-files problem /etc/nsgate.ini:2:", "protekt", "# nsgate edit nsgate.ini"]);
        world.write("/etc/nsgate.ini", "; more than is read\n".repeat(60_000));
        finds(world, &["policy-files problem /etc/nsgate.ini: has 1200000 bytes"]);
    });
}

/// As `nsgate check` says it, which judges as the helpers do.
#[test]
fn a_policy_file_that_is_elsewhere_or_no_file_is_found() {
    enter(|world| {
        fs::copy("/etc/subuid", "/home/alice/subuid").expect("copy");
        fs::remove_file("/etc/subuid").expect("remove");
        std::os::unix::fs::symlink("/home/alice/subuid", "/etc/subuid").expect("symlink");
        finds(
            world,
            &[
                "policy-files problem /etc/subuid: /home/alice, on the way to it, belongs to uid 52001",
                "# ls -l /etc/subuid",
            ],
        );
        fs::remove_file("/etc/subuid").expect("remove");
        for path in ["/etc/subuid", "/etc/nsgate.ini"] {
            fs::create_dir(path).expect("mkdir");
            finds(
                world,
                &["policy-files problem", &format!("{path}: is a directory"), &format!("# ls -ld {path}")],
            );
        }
    });
}

#[test]
fn a_bridge_that_is_missing_or_is_none_is_found() {
    enter(|world| {
        world.usernet("alice veth lxcbr0 5\nalice veth lxcbr7 5\n");
        finds_alone(
            world,
            &[
                "bridges problem there is no bridge lxcbr7",
                "# ip link add name lxcbr7 type bridge && ip link set dev lxcbr7 up",
            ],
        );
        // As the file of defaults has them: a remark names none.
        world.usernet("#alice veth lxcbr7 10\n");
        assert_eq!(found(&doctor(world, ROOT, &[])), Vec::<String>::new());
        world.usernet("alice veth lo 5\n");
        finds_alone(world, &["bridges problem lo", "is no bridge"]);
    });
}

#[test]
fn a_bridge_that_accepts_router_advertisements_is_found_and_mended_for_good() {
    enter(|world| {
        fs::write("/proc/sys/net/ipv6/conf/lxcbr0/accept_ra", "1").expect("accept_ra");
        finds_alone(
            world,
            &["accept-ra problem the bridge lxcbr0 accepts", "# sysctl -w net/ipv6/conf/lxcbr0/accept_ra=0"],
        );
        let mended = world.run(world.nsgate(ROOT).args(["doctor", "--fix", "--yes"]));
        assert!(
            mended.stdout.contains(
                "done: set accept_ra of lxcbr0 to 0, now and in /etc/sysctl.d/60-nsgate-lxcbr0.conf"
            )
        );
        assert!(
            mended.stdout.ends_with("now: all well\n") || mended.stdout.contains("now: 0 problems"),
            "{mended:?}"
        );
        assert_eq!(fs::read_to_string("/proc/sys/net/ipv6/conf/lxcbr0/accept_ra").expect("read"), "0\n");
        let kept = fs::read_to_string("/etc/sysctl.d/60-nsgate-lxcbr0.conf").expect("the file");
        assert!(kept.ends_with("\nnet/ipv6/conf/lxcbr0/accept_ra = 0\n"), "{kept}");
        // What is there already is not changed; it does, or it does not.
        for (text, error) in [
            ("net.ipv6.conf.lxcbr0.accept_ra=0\n", "\"error\": null"),
            (
                "net.ipv6.conf.lxcbr0.accept_ra=1\n",
                "\"error\": \"set for now, but /etc/sysctl.d/60-nsgate-lxcbr0.conf is there and does not say so\"",
            ),
        ] {
            world.write("/etc/sysctl.d/60-nsgate-lxcbr0.conf", text);
            fs::write("/proc/sys/net/ipv6/conf/lxcbr0/accept_ra", "1").expect("accept_ra");
            let mended = doctor(world, ROOT, &["--fix", "--yes"]);
            assert!(mended.stdout.contains(error), "{mended:?}");
            assert_eq!(fs::read_to_string("/proc/sys/net/ipv6/conf/lxcbr0/accept_ra").expect("read"), "0\n");
            assert_eq!(fs::read_to_string("/etc/sysctl.d/60-nsgate-lxcbr0.conf").expect("read"), text);
        }
    });
}

#[test]
fn an_interface_that_forwards_and_listens_to_routers_is_found_and_left_alone() {
    enter(|world| {
        world.ip(&["link", "add", "up0", "type", "bridge"]);
        fs::write("/proc/sys/net/ipv6/conf/up0/forwarding", "1").expect("forwarding");
        fs::write("/proc/sys/net/ipv6/conf/up0/accept_ra", "2").expect("accept_ra");
        finds_alone(world, &["accept-ra warning up0 forwards, and has accept_ra 2", "warning"]);
        world.run(world.nsgate(ROOT).args(["doctor", "--fix", "--yes"]));
        assert_eq!(fs::read_to_string("/proc/sys/net/ipv6/conf/up0/accept_ra").expect("read"), "2\n");
    });
}

/// Each by itself: none stands for another.
#[test]
fn a_port_without_one_of_its_guards_is_found() {
    enter(|world| {
        let rules = |most: u32| {
            let groups = limit_of_groups(most);
            let rules = format!("[bridge \"lxcbr0\"]\nisolate = yes\nlock-mac = yes\n{groups}");
            world.write("/etc/nsgate.ini", rules);
        };
        rules(8);
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "lxcbr0", &[]).nic().host_name;
        let ports = || {
            let found = found(&doctor(world, ROOT, &[]));
            found.into_iter().filter(|line| line.starts_with("ports")).collect::<Vec<_>>()
        };
        let lost = |key: &str, words: &str| {
            let what = format!("the port {nic} on lxcbr0 is without a guard: {key}");
            vec![format!("ports problem {what} # bridge link set dev {nic} {words}")]
        };
        assert_eq!(ports(), Vec::<String>::new());
        for (key, off, on) in [
            ("bpdu_guard", "guard off", "guard on"),
            ("root_block", "root_block off", "root_block on"),
            ("multicast_router", "mcast_router 1", "mcast_router 0"),
            ("isolated", "isolated off", "isolated on"),
            ("learning", "learning on", "learning off"),
            ("locked", "locked off", "locked on"),
        ] {
            let set = |words: &str| {
                let words = words.split(' ');
                let set = Command::new("bridge").args(["link", "set", "dev", &nic]).args(words).status();
                assert!(set.expect("bridge").success(), "{key}");
            };
            set(off);
            assert_eq!(ports(), lost(key, on));
            set(on);
            assert_eq!(ports(), Vec::<String>::new());
        }
        if !kernel_limits_groups() {
            return;
        }
        // A lower limit is one, and a higher one is not what was asked for.
        rules(9);
        assert_eq!(ports(), Vec::<String>::new());
        rules(7);
        assert_eq!(ports(), lost("mcast_max_groups", "mcast_max_groups 7"));
    });
}

/// That the kernel does not answer about one port hides nothing of another.
#[test]
fn a_port_that_cannot_be_looked_at_hides_no_other() {
    enter(|world| {
        let containers = [ALICE, BOB].map(|user| {
            world.usernet("alice veth lxcbr0 5\nbob veth lxcbr0 5\n");
            let container = world.container(user);
            let nic = world.create(user, &container, "veth", "lxcbr0", &[]).nic().host_name;
            world.run(Command::new("bridge").args(["link", "set", "dev", &nic, "guard", "off"]));
            (container, nic)
        });
        let mut seen = [false; 2];
        for nth in 1..=4 {
            let inject = format!("inject=sendto,sendmsg:error=EIO:when={nth}");
            let options = ["-f", "-qq", "-o", "/dev/null", "-e", &inject];
            let mut command = world.strace(ROOT, &options, "/run/world/bin/nsgate");
            let answer = world.run_within(Duration::from_secs(60), command.args(["--json", "doctor"]));
            let found = found(&answer);
            for ((_, nic), seen) in containers.iter().zip(&mut seen) {
                let unknown = format!("ports unknown which guards the port {nic} has is not known");
                if found.iter().any(|line| line.starts_with(&unknown)) {
                    *seen = true;
                    let problems = found.iter().filter(|line| line.contains("without a guard: bpdu_guard"));
                    assert_eq!(problems.count(), 1, "{found:#?}");
                }
            }
        }
        assert_eq!(seen, [true; 2]);
    });
}

#[test]
fn two_users_who_map_the_same_ids_are_found() {
    enter_alone(|world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, "alice:600000:65536\nbob:665000:65536\ncarol:800000:65536\n");
        }
        let (alice, bob) = (world.target(ALICE), world.target(BOB));
        world.newuidmap(ALICE, &[&alice.pid(), "0", "600000", "65536"]).succeeds();
        let maps = |answer: &Answer| {
            found(answer).into_iter().filter(|line| line.starts_with("live-maps")).collect::<Vec<_>>()
        };
        assert_eq!(maps(&doctor(world, ROOT, &[])), Vec::<String>::new());
        world.newuidmap(BOB, &[&bob.pid(), "0", "665000", "65536"]).succeeds();
        finds(
            world,
            &["live-maps problem uids 665000-665535 are mapped by process", "of uid 52001", "of uid 52002"],
        );
    });
}

#[test]
fn a_user_who_holds_ids_and_has_no_limits_is_found() {
    enter(|world| {
        let _process = world.plain_process(ALICE);
        for section in ["idmap", "nic"] {
            world.write("/etc/nsgate.ini", format!("[{section}]\nrequire-limits = cpu\n"));
            finds(world, &["limits problem processes of alice: cpu is not limited", "# None"]);
        }
        fs::create_dir_all("/run/systemd/system").expect("mkdir");
        let command = "# systemctl set-property user-52001.slice CPUQuota=100%";
        finds(world, &["limits problem processes of alice: cpu is not limited", command]);
        // Who may have no interface is not asked for by that rule.
        world.usernet("bob veth none 5\n");
        let answer = doctor(world, ROOT, &[]);
        assert!(!found(&answer).iter().any(|line| line.contains("cpu is not limited")), "{answer:?}");
        world.write("/etc/nsgate.ini", "[idmap]\nulimits = as\n");
        finds(world, &["limits problem processes of alice have no hard limit (ulimit) of as", "# None"]);
        // What cannot be read says nothing of limits.
        fs::set_permissions("/etc/subuid", fs::Permissions::from_mode(0o600)).expect("chmod");
        let answer = doctor(world, BOB, &[]);
        assert!(
            found(&answer).iter().any(|line| line.starts_with("limits unknown which limits users have")),
            "{answer:?}"
        );
    });
}

#[test]
fn a_helper_that_lies_is_found_by_the_trial() {
    enter(|world| {
        world.write("/tmp/liar", "#!/bin/sh\nexit 0\n");
        fs::set_permissions("/tmp/liar", fs::Permissions::from_mode(0o4755)).expect("chmod");
        bind("/tmp/liar", "/usr/bin/newuidmap");
        finds(
            world,
            &[
                "trial problem newuidmap said that it made the map of alice",
                "# nsgate explain map alice u 0 600000 65536",
            ],
        );
    });
}

/// M17
#[test]
fn m17_what_hangs_is_given_up_and_the_rest_is_reported() {
    enter(|world| {
        // A helper that never ends.
        world.write("/tmp/hangs", "#!/bin/sh\nsleep 1000\n");
        fs::set_permissions("/tmp/hangs", fs::Permissions::from_mode(0o4755)).expect("chmod");
        bind("/tmp/hangs", "/usr/bin/newuidmap");
        let start = Instant::now();
        let answer = doctor(world, ROOT, &[]);
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        assert!(found(&answer).iter().any(|line| line.starts_with("trial unknown")), "{answer:?}");
        assert!(
            answer.stdout.contains("the policy files, and the way to them, are root's alone"),
            "{answer:?}"
        );
        // Policy files that nobody writes to.
        for file in ["/etc/subgid", "/etc/lxc/lxc-usernet", "/etc/nsgate.ini"] {
            drop(fs::remove_file(file));
            nix::unistd::mkfifo(file, nix::sys::stat::Mode::from_bits_truncate(0o644)).expect("mkfifo");
        }
        let start = Instant::now();
        let answer = doctor(world, ROOT, &[]);
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        for file in ["/etc/subgid", "/etc/lxc/lxc-usernet", "/etc/nsgate.ini"] {
            let words = format!("{file}: is a device, pipe or socket, and no file");
            assert!(answer.stdout.contains(&words), "{answer:?}");
        }
        assert!(answer.stdout.contains("users can make user namespaces"), "{answer:?}");
    });
}

/// M17: a file system in /etc whose server does not answer. (One in place of /etc hangs every program that is linked to a library: the
/// loader looks for `/etc/ld.so.cache`.)
#[test]
fn m17_an_etc_that_hangs_gives_a_partial_report() {
    enter(|world| {
        // The kernel waits for the answer to FUSE_INIT, which never comes.
        let script = "import ctypes, os, time\n\
                      fd = os.open('/dev/fuse', os.O_RDWR)\n\
                      libc = ctypes.CDLL(None, use_errno=True)\n\
                      options = f'fd={fd},rootmode=40000,user_id=0,group_id=0'.encode()\n\
                      if libc.mount(b'hangs', b'/etc/lxc', b'fuse', 0, options):\n\
                      \x20   raise OSError(ctypes.get_errno(), 'mount')\n\
                      print('ready', flush=True)\n\
                      time.sleep(60)";
        let mut server = Command::new("/usr/bin/python3")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut line = [0; 6];
        std::io::Read::read_exact(server.stdout.as_mut().expect("stdout"), &mut line).expect("a FUSE mount");
        let answer = world.run_within(Duration::from_secs(40), world.nsgate(ROOT).arg("doctor"));
        drop(server.kill());
        drop(server.wait());
        assert_eq!(answer.status, Some(1), "{answer:?}");
        assert!(answer.stdout.contains("no answer in 10 seconds"), "{answer:?}");
        assert!(answer.stdout.contains("users can make user namespaces"), "{answer:?}");
    });
}

/// M17: where `/proc` shows a user his own processes alone.
#[test]
fn m17_a_proc_that_hides_processes_is_no_obstacle() {
    enter(|world| {
        let mount = Command::new("mount")
            .args(["-n", "-t", "proc", "-o", "hidepid=invisible", "proc", "/proc"])
            .status();
        assert!(mount.expect("mount").success());
        for user in [ROOT, ALICE] {
            let answer = doctor(world, user, &[]);
            let hides = "proc warning /proc hides processes (hidepid) # mount -o remount,hidepid=0 /proc";
            assert_eq!(found(&answer), [hides], "{answer:?}");
        }
        assert!(Command::new("umount").args(["-n", "/proc"]).status().expect("umount").success());
    });
}

/// M17
#[test]
fn m17_without_proc_there_is_a_partial_report() {
    enter(|world| {
        let script = "mount -n -t tmpfs tmpfs /proc && exec /run/world/bin/nsgate doctor";
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["-m", "sh", "-c", script]);
        let answer = world.run_within(Duration::from_secs(60), &mut command);
        assert_eq!(answer.status, Some(2), "{answer:?}");
        assert!(
            answer.stdout.contains("there is no /proc") && answer.stdout.contains("installed, root's, and"),
            "{answer:?}"
        );
    });
}

/// M15
#[test]
fn m15_what_is_printed_is_harmless_and_the_json_is_by_its_schema() {
    enter(|world| {
        world.append("/etc/subuid", "e\x1b[31mvil:900000:10\n");
        world.usernet("alice veth b\x1br 5\nalice veth \u{202e} 5\n");
        let unknown = doctor(world, ROOT, &[]);
        assert!(unknown.stdout.contains("vil has no account here"), "{unknown:?}");
        world.append("/etc/nsswitch.conf", "subid: a\x1bb\n");
        let json = doctor(world, ROOT, &[]);
        let text = world.run(world.nsgate(ROOT).arg("doctor"));
        for answer in [&unknown, &json, &text] {
            let harmless = |byte: u8| byte == b'\n' || (b' '..=b'~').contains(&byte);
            assert!(answer.stdout.bytes().all(harmless), "{answer:?}");
        }
        world.write("/tmp/document.json", &json.stdout);
        fs::copy(world::tree().join("policy/schema/doctor.json"), "/tmp/schema.json").expect("the schema");
        let script = "import json, jsonschema\n\
                      jsonschema.validate(json.load(open('/tmp/document.json')), json.load(open('/tmp/schema.json')))";
        let checked = world.run(Command::new("/usr/bin/python3").args(["-c", script]));
        assert_eq!(checked.status, Some(0), "{checked:?}");
    });
}

fn doctor_of_image(world: &World, path: &str) -> Answer {
    world.run(world.nsgate(ROOT).args(["--root", path, "doctor"]))
}

#[test]
fn an_image_is_judged_by_its_files_alone() {
    enter(|world| {
        fs::create_dir_all("/tmp/image/etc").expect("create");
        world.write("/tmp/image/etc/passwd", "zoe:x:1000:7::/:\n");
        for file in ["/tmp/image/etc/subuid", "/tmp/image/etc/subgid"] {
            world.write(file, "zoe:5000000:65536\n");
        }
        let well = doctor_of_image(world, "/tmp/image");
        assert_eq!((well.status, well.stdout.lines().count()), (Some(0), 5), "{well:?}");
        // One whose ids are shifted has another root.
        let own = |uid: u32| {
            let owner = format!("{uid}:{uid}");
            assert!(
                Command::new("chown").args(["-R", &owner, "/tmp/image"]).status().expect("chown").success()
            );
        };
        own(600_000);
        let shifted = doctor_of_image(world, "/tmp/image");
        assert_eq!((shifted.status, &shifted.stdout), (Some(0), &well.stdout), "{shifted:?}");
        // Who owns it could put a link in its place before root has copied a command that changes it.
        chown("/tmp/image/etc/subuid", Some(600_001), None).expect("chown");
        let not_his = doctor_of_image(world, "/tmp/image");
        assert!(
            not_his.stdout.contains("# ls -ld /tmp/image/etc/subuid\n") && !not_his.stdout.contains("# ch"),
            "{not_his:?}"
        );
        own(0);
        fs::set_permissions("/tmp/image", fs::Permissions::from_mode(0o777)).expect("chmod");
        let open = doctor_of_image(world, "/tmp/image");
        assert_eq!(open.status, Some(2), "{open:?}");
        assert_eq!(open.stdout.matches("# ls -ld /tmp/image/\n").count(), 1, "{open:?}");
        fs::set_permissions("/tmp/image", fs::Permissions::from_mode(0o755)).expect("chmod");
        let none = doctor_of_image(world, "/home/alice");
        assert_eq!((none.status, &*none.stdout), (Some(1), ""), "{none:?}");
        assert!(none.stderr.starts_with("nsgate: cannot open /home/alice/etc: "), "{none:?}");
        fs::set_permissions("/tmp/image/etc/subuid", fs::Permissions::from_mode(0o666)).expect("chmod");
        let bad = doctor_of_image(world, "/tmp/image");
        assert_eq!(bad.status, Some(2), "{bad:?}");
        let fix = world.run(world.nsgate(ROOT).args(["--root", "/tmp/image", "doctor", "--fix", "--yes"]));
        assert!(
            fix.stderr.contains("--fix mends the machine that it runs on") && fix.status == Some(1),
            "{fix:?}"
        );
    });
}

/// The trial runs a program as a user, who may trace it (ptrace(2)) and have it do what he likes: root's terminal, and what root's shell
/// has left open, must not be within its reach.
#[test]
fn what_runs_as_a_user_has_neither_the_terminal_of_root_nor_what_he_has_left_open() {
    enter(|world| {
        fs::copy("/usr/bin/unshare", "/tmp/unshare.real").expect("copy");
        let spy = "#!/bin/bash\n\
                   {\n\
                   id -u\n\
                   (: </dev/tty) 2>/dev/null && echo terminal\n\
                   [ -e /proc/$$/fd/9 ] && echo open\n\
                   } >/tmp/seen/it\n\
                   exec /tmp/unshare.real \"$@\"\n";
        world.write("/tmp/spy", spy);
        for program in ["/tmp/spy", "/tmp/unshare.real"] {
            fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("chmod");
        }
        fs::create_dir("/tmp/seen").expect("mkdir");
        fs::set_permissions("/tmp/seen", fs::Permissions::from_mode(0o777)).expect("chmod");
        bind("/tmp/spy", "/usr/bin/unshare");
        let mut script = world.command(ROOT, "/usr/bin/script");
        script.args(["-qec", "/run/world/bin/nsgate doctor 9</etc/shadow", "/dev/null"]);
        let answer = world.run_within(Duration::from_secs(60), &mut script);
        assert!(answer.stdout.contains("a map of alice's ids was made"), "{answer:?}");
        assert_eq!(fs::read_to_string("/tmp/seen/it").expect("read"), "52001\n");
    });
}

/// The other probes would take the process that the trial makes for one of the user's, and its user namespace for a container's.
#[test]
fn the_trial_begins_when_all_others_have_answered() {
    enter(|world| {
        // Only helpers with capabilities are asked about: here the answer takes its time.
        world.install(Install::FileCapabilities);
        let scripts = [
            (
                "getcap",
                "/usr/sbin/getcap",
                "#!/bin/sh\nsleep 0.3\n/tmp/getcap \"$@\"\nstatus=$?\necho asked >>/tmp/seen/getcap\nexit $status\n",
            ),
            (
                "unshare",
                "/usr/bin/unshare",
                "#!/bin/sh\ncat /tmp/seen/getcap >/tmp/seen/before\nexec /tmp/unshare \"$@\"\n",
            ),
        ];
        fs::create_dir("/tmp/seen").expect("mkdir");
        fs::set_permissions("/tmp/seen", fs::Permissions::from_mode(0o777)).expect("chmod");
        for (name, path, script) in scripts {
            fs::copy(path, format!("/tmp/{name}")).expect("copy");
            let place = format!("/tmp/{name}.script");
            world.write(&place, script);
            for program in [&place, &format!("/tmp/{name}")] {
                fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("chmod");
            }
            bind(&place, path);
        }
        assert_eq!(found(&doctor(world, ROOT, &[])), Vec::<String>::new());
        let seen = |file| fs::read_to_string(format!("/tmp/seen/{file}")).expect("read");
        assert!(!seen("getcap").is_empty());
        assert_eq!(seen("before"), seen("getcap"));
    });
}

/// Files in a directory of this machine alone, with what was there.
fn overlay(world: &World, path: &str, name: &str) {
    let place = format!("/run/overlay-{name}");
    for part in ["upper", "work"] {
        fs::create_dir_all(format!("{place}/{part}")).expect("create");
    }
    fs::set_permissions(format!("{place}/upper"), fs::Permissions::from_mode(0o755)).expect("chmod");
    let options = format!("lowerdir={path},upperdir={place}/upper,workdir={place}/work");
    let mount =
        world.run(Command::new("mount").args(["-n", "-t", "overlay", "-o", &options, "overlay", path]));
    assert_eq!(mount.status, Some(0), "{mount:?}");
}

/// As in `packaging/`.
#[test]
fn a_helper_where_a_package_of_ours_has_it_is_looked_at() {
    enter(|world| {
        overlay(world, "/usr/lib", "lib");
        let mut helpers =
            vec!["/usr/libexec/nsgate/lxc-user-nic".to_owned(), "/usr/lib/lxc/lxc-user-nic".to_owned()];
        helpers.extend(["newuidmap", "newgidmap"].map(|name| format!("/usr/libexec/nsgate/bin/{name}")));
        helpers.extend(
            [
                "bin/newuidmap",
                "bin/newgidmap",
                "newuidmap-nss",
                "newgidmap-nss",
                "lxc-user-nic",
                "lxc-user-nic-nss",
            ]
            .map(|name| format!("/usr/lib/nsgate/{name}")),
        );
        for helper in &helpers {
            fs::create_dir_all(helper.rsplit_once('/').expect("a path").0).expect("mkdir");
            fs::write(helper, "").expect("write");
            fs::set_permissions(helper, fs::Permissions::from_mode(0o755)).expect("chmod");
            let (command, mode) = match helper.rsplit_once("/new") {
                None => (format!("chmod 4755 {helper}"), 0o4755),
                Some((_, name)) => (format!("setcap cap_set{}=ep {helper}", &name[..3]), 0o755),
            };
            finds_alone(world, &["helpers problem", &format!(" {helper} "), &format!("# {command}")]);
            let mended = world.run(world.nsgate(ROOT).args(["doctor", "--fix", "--yes"]));
            if !helper.contains("/nsgate/") {
                // LXC's: no package here has it so.
                assert!(!mended.stdout.contains("done: "), "{mended:?}");
                fs::set_permissions(helper, fs::Permissions::from_mode(0o4755)).expect("chmod");
                continue;
            }
            assert!(mended.stdout.contains(&format!("done: {command}\n")), "{mended:?}");
            assert_eq!(fs::metadata(helper).expect("look").permissions().mode() & 0o7777, mode, "{helper}");
        }
        assert_eq!(found(&doctor(world, ROOT, &[])), Vec::<String>::new());
    });
}

/// openSUSE's way to say so.
#[test]
fn what_permissions_local_takes_away_is_not_given_back() {
    enter(|world| {
        fs::create_dir_all("/usr/libexec/nsgate/bin").expect("mkdir");
        let helpers = ["newuidmap", "newgidmap"].map(|name| format!("/usr/libexec/nsgate/bin/{name}"));
        let mut lines = "# of ours\n".to_owned();
        for helper in &helpers {
            fs::write(helper, "").expect("write");
            fs::set_permissions(helper, fs::Permissions::from_mode(0o755)).expect("chmod");
            lines += &format!("{helper}\troot:root 0755\n");
        }
        world.write("/etc/permissions.local", lines);
        finds(
            world,
            &[
                "bin/newuidmap has lost cap_setuid",
                "# setcap cap_setuid=ep /usr/libexec/nsgate/bin/newuidmap",
            ],
        );
        let kept = world.run(world.nsgate(ROOT).args(["doctor", "--fix", "--yes"]));
        assert!(kept.stdout.contains("/etc/permissions.local says how it is to be"), "{kept:?}");
        assert!(kept.stdout.contains("nothing of this can be mended safely"), "{kept:?}");
        assert_eq!(found(&doctor(world, ROOT, &[])).len(), 2);
    });
}

/// What RPM has in its database comes before what is likely.
#[test]
fn a_helper_of_rpms_gets_what_its_package_has() {
    enter(|world| {
        overlay(world, "/usr/sbin", "sbin");
        let rpm = |says: &str| {
            world.write("/usr/sbin/rpm", format!("#!/bin/sh\necho \"$4 {says}\"\n"));
            fs::set_permissions("/usr/sbin/rpm", fs::Permissions::from_mode(0o755)).expect("chmod");
        };
        let helpers = ["newuidmap", "newgidmap"].map(|name| format!("/usr/bin/{name}"));
        let twins = ["newuidmap", "newgidmap"].map(|name| format!("/usr/libexec/nsgate/{name}-nss"));
        let all = || helpers.iter().chain(&twins);
        let lose = || {
            all().for_each(|path| {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
            });
        };
        lose();
        rpm("-rwsr-xr-x ");
        all().for_each(|path| drop(finds(world, &["helpers problem", &format!("# chmod 4755 {path}")])));
        rpm("-rwxr-xr-x ");
        let kept = world.run(world.nsgate(ROOT).args(["doctor", "--fix", "--yes"]));
        assert!(kept.stdout.contains("nothing of this can be mended safely"), "{kept:?}");
        for mode in [0o4750, 0o755] {
            rpm("-rwxr-xr-x cap_setuid=ep");
            all().for_each(|path| {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
                let capability = if path.contains("uid") { "cap_setuid" } else { "cap_setgid" };
                let chmod = if mode == 0o755 { String::new() } else { format!("chmod 755 {path} && ") };
                finds(world, &["helpers ", &format!("# {chmod}setcap {capability}=ep {path}")]);
            });
        }
        world.run(world.nsgate(ROOT).args(["doctor", "--fix", "--yes"]));
        assert_eq!(found(&doctor(world, ROOT, &[])), Vec::<String>::new());
        all().for_each(|path| {
            assert_eq!(fs::metadata(path).expect("look").permissions().mode() & 0o7777, 0o755, "{path}");
        });
    });
}

/// An admin has linked LXC's name to ours: there is one to mend, and by its own name.
#[test]
fn a_helper_with_two_names_is_found_once() {
    enter(|world| {
        let (ours, theirs) = ("/usr/libexec/nsgate/lxc-user-nic", "/usr/libexec/lxc/lxc-user-nic");
        fs::write(ours, "").expect("write");
        fs::set_permissions(ours, fs::Permissions::from_mode(0o755)).expect("chmod");
        bind(ours, theirs);
        finds_alone(world, &["helpers problem", &format!(" {ours} "), &format!("# chmod 4755 {ours}")]);
    });
}

/// Packages are called otherwise there.
#[test]
fn where_there_is_no_apt_none_is_advised() {
    enter(|world| {
        let without = |names: &[&str]| {
            overlay(world, "/usr/bin", &names.join("-"));
            for name in names {
                fs::remove_file(format!("/usr/bin/{name}")).expect("remove");
            }
            let answer = doctor(world, ROOT, &[]);
            found(&answer).into_iter().filter(|line| line.starts_with("helpers")).collect::<Vec<_>>()
        };
        let missing = |command: &str| {
            ["newuidmap", "newgidmap"]
                .map(|name| format!("helpers problem /usr/bin/{name} is not installed # {command}"))
        };
        assert_eq!(without(&["newuidmap", "newgidmap"]), missing("apt-get install uidmap"));
        assert_eq!(without(&["apt-get"]), missing("None"));
    });
}

/// An image may be somebody's who hopes that root copies a command.
#[test]
fn a_command_for_an_image_means_the_image_and_nothing_in_it_is_for_a_shell() {
    enter(|world| {
        fs::create_dir_all("/tmp/image/etc").expect("mkdir");
        world.write(
            "/tmp/image/etc/passwd",
            "root:x:0:0::/:/bin/sh\n$(touch${IFS}/tmp/a):x:1000:1000::/:/bin/sh\n",
        );
        world.write("/tmp/image/etc/group", "");
        for file in ["subuid", "subgid"] {
            world.write(&format!("/tmp/image/etc/{file}"), "`touch${IFS}/tmp/b`:100000:65536\n");
        }
        fs::set_permissions("/tmp/image/etc/subuid", fs::Permissions::from_mode(0o666)).expect("chmod");
        let answer = world.run(world.nsgate(ROOT).args(["--root", "/tmp/image", "doctor"]));
        let commands: Vec<_> =
            answer.stdout.lines().filter_map(|line| line.trim().strip_prefix("# ")).collect();
        assert_eq!(
            commands,
            [
                "ls -ld /tmp/image/etc/subuid",
                "nsgate --root /tmp/image check",
                "nsgate --root /tmp/image check",
                "nsgate --root /tmp/image grant ids 1000",
            ],
            "{answer:?}"
        );
    });
}

#[test]
fn a_name_of_an_interface_is_one_word_of_a_command() {
    enter(|world| {
        let status =
            Command::new("ip").args(["link", "add", "x;reboot", "type", "bridge"]).status().expect("ip");
        assert!(status.success());
        for (key, value) in [("accept_ra", "1"), ("forwarding", "1")] {
            fs::write(format!("/proc/sys/net/ipv6/conf/x;reboot/{key}"), value).expect("sysctl");
        }
        finds(world, &["x;reboot forwards", "# sysctl -w $'net/ipv6/conf/x;reboot/accept_ra=0'"]);
    });
}

/// Who may run a set-user-ID program is for an admin to say: `--fix` does not open it to everybody.
#[test]
fn a_helper_for_a_group_alone_is_found_and_stays_so() {
    enter(|world| {
        for mode in [0o4750, 0o0750] {
            fs::set_permissions("/usr/bin/newuidmap", fs::Permissions::from_mode(mode)).expect("chmod");
            let words = [
                "helpers warning /usr/bin/newuidmap can be run by its owner and its group alone",
                "# chmod 4755 ",
            ];
            finds(world, &words);
            world.run(world.nsgate(ROOT).args(["doctor", "--fix", "--yes"]));
            assert_eq!(fs::metadata("/usr/bin/newuidmap").expect("look").permissions().mode() & 0o7777, mode);
        }
    });
}
