//! `nsgate check`: the real program, on a machine and on images of one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::{Command, Stdio};
use std::time::Duration;

use world::{ALICE, Answer, ROOT, World, tree};

const IMAGE: &str = "/tmp/image";
const GOOD: &str = "alice:100000:65536\nbob:165536:65536\n";

/// The directory of an image that has these files.
fn image(world: &World, files: &[(&str, &str)]) {
    fs::create_dir_all(format!("{IMAGE}/etc/lxc")).expect("create");
    let usual = [
        ("passwd", "root:x:0:0:::\nalice:x:1000:1000:::\nbob:x:1001:1001:::\n"),
        ("group", "root:x:0:\nalice:x:1000:\nbob:x:1001:\nlab:x:3000:\n"),
        ("subuid", GOOD),
        ("subgid", GOOD),
    ];
    for (name, text) in usual.iter().chain(files) {
        world.write(&format!("{IMAGE}/etc/{name}"), text);
    }
}

fn check(world: &World, args: &[&str]) -> Answer {
    world.run(world.nsgate(ROOT).arg("check").args(args))
}

fn check_image(world: &World, args: &[&str]) -> Answer {
    world.run(world.nsgate(ROOT).args(["--root", IMAGE, "check"]).args(args))
}

#[track_caller]
fn has(answer: &Answer, lines: &[&str]) {
    for line in lines {
        assert!(answer.stdout.lines().any(|said| said == *line), "no {line:?} in {answer:?}");
    }
}

#[test]
fn where_nothing_is_wrong_one_line_says_so() {
    World::enter(|world| {
        let said =
            "no findings in /etc/subuid, /etc/subgid; not there: /etc/lxc/lxc-usernet, /etc/nsgate.ini\n";
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, GOOD);
        }
        let answer = check(world, &[]);
        assert_eq!((answer.status, &*answer.stdout, &*answer.stderr), (Some(0), said, ""));
        image(world, &[]);
        let answer = check_image(world, &["--strict"]);
        assert_eq!((answer.status, &*answer.stdout, &*answer.stderr), (Some(0), said, ""));
    });
}

#[test]
fn the_exit_status_is_that_of_the_worst_finding() {
    World::enter(|world| {
        let status = |text, args: &[&str]| {
            image(world, &[("subuid", text), ("subgid", text)]);
            check_image(world, args).status
        };
        assert_eq!(status("alice:600000:65536\n", &["--strict"]), Some(0), "infos do not count");
        assert_eq!(status("alice:100000:65535\n", &[]), Some(1));
        assert_eq!(status("alice:100000:65535\n", &["--strict"]), Some(2));
        assert_eq!(status("alice:0:65536\n", &[]), Some(2));
    });
}

/// D12
#[test]
fn a_finding_has_its_place_its_rule_and_the_command_that_mends_it() {
    World::enter(|world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.write(file, "# ids\nalice:100000:65536\nbob:165535:65536\n");
        }
        let answer = check(world, &[]);
        has(
            &answer,
            &[
                "/etc/subuid:3: error: \"bob\" holds 165535-231070, and \"alice\" (line 2) holds 165535 of it too [overlap]",
                "    nsgate revoke ids bob --start 165535 --count 65536 && nsgate grant ids bob --count 65536",
                "2 errors in /etc/subuid, /etc/subgid; not there: /etc/lxc/lxc-usernet, /etc/nsgate.ini",
                "why, and what follows: nsgate check --help-rule overlap",
            ],
        );
        let help = check(world, &["--help-rule", "overlap"]);
        assert!(help.stdout.starts_with("overlap (error): two owners of the same ids\n\n"), "{help:?}");
        let unknown = check(world, &["--help-rule", "over\x1blap"]);
        assert_eq!(unknown.status, Some(2));
        assert!(unknown.stderr.starts_with("nsgate: there is no rule \"over\\x1blap\"; there are syntax,"));
        let painted = world.run(world.nsgate(ROOT).args(["--color", "always", "check"]));
        assert!(painted.stdout.contains("\x1b[31;1merror\x1b[0m"), "{painted:?}");
    });
}

/// What somebody copies mends it, and nothing else breaks.
#[test]
fn the_commands_for_ids_that_are_in_one_file_or_protected_mend_that() {
    World::enter(|world| {
        let (alice, ini) = ("alice:300000:65536\n", "[idmap]\nprotect = 165536-165540\n");
        for (files, id) in [
            ([("subuid", alice), ("subgid", "")], "out-of-step"),
            ([("subuid", ""), ("subgid", alice)], "out-of-step"),
            (
                [("subuid", "alice:300000:10\nalice:400000:65526\n"), ("subgid", "alice:300000:10\n")],
                "out-of-step",
            ),
            ([("nsgate.ini", ini), ("lxc/lxc-usernet", "")], "protected-grant"),
        ] {
            image(world, &files);
            let answer = check_image(world, &[]);
            let mut lines =
                answer.stdout.lines().skip_while(|line| !line.ends_with(&format!("[{id}]"))).skip(1);
            let command = lines.next().and_then(|line| line.strip_prefix("    nsgate ")).expect("a command");
            let mended = world.run(world.nsgate(ROOT).args(command.split(' ')));
            assert_eq!(mended.status, Some(0), "{command}: {mended:?}");
            let after = check_image(world, &[]);
            assert!(!after.stdout.contains(id) && after.status != Some(2), "{command}: {after:?}");
        }
    });
}

#[test]
fn a_file_by_its_path_is_a_draft_and_the_machine_is_what_it_is_compared_with() {
    World::enter(|world| {
        let (draft, odd) = ("/tmp/subuid.new", "/tmp/a b;subgid");
        world.write(draft, "carol:100000:65536\nalice:5\n");
        world.write(odd, "bob:700000:5 \n");
        fs::set_permissions(draft, fs::Permissions::from_mode(0o666)).expect("chmod");
        let answer = check(world, &[draft]);
        has(
            &answer,
            &[
                "/tmp/subuid.new:2: error: \"alice:5\" has 2 fields where owner:first:count has 3 [syntax]",
                "    ${EDITOR:-vi} +2 /tmp/subuid.new",
                "/tmp/subuid.new:1: warning: \"carol\" holds 100000-165535 in /tmp/subuid.new and not in /etc/subgid [out-of-step]",
            ],
        );
        assert!(!answer.stdout.contains("writable"), "{answer:?}");
        assert_eq!(answer.status, Some(2));
        has(&check(world, &[odd]), &["    ${EDITOR:-vi} +1 $'/tmp/a b;subgid'"]);
        for (args, why) in [
            (&["/tmp/other"][..], "cannot tell what /tmp/other is"),
            (&[draft, draft], "are both /etc/subuid"),
            (&["/tmp/none/subuid"], "cannot open /tmp/none/subuid"),
            (&["/etc/nsgate.ini"], "cannot open /etc/nsgate.ini: No such file or directory"),
        ] {
            let answer = check(world, args);
            assert!(answer.stderr.contains(why) && answer.stdout.is_empty(), "{answer:?}");
            assert_eq!(answer.status, Some(2), "1 is for warnings");
        }
        // What is not mounted is there, and empty.
        fs::create_dir("/tmp/empty").expect("create");
        for (root, cannot) in
            [("/tmp/none", "cannot open /tmp/none: "), ("/tmp/empty", "cannot open /tmp/empty/etc: ")]
        {
            let nowhere = world.run(world.nsgate(ROOT).args(["--root", root, "check", "--strict"]));
            assert!(nowhere.status == Some(2) && nowhere.stderr.contains(cannot), "{nowhere:?}");
        }
        let own = check(world, &["/etc/subuid"]);
        assert!(
            own.stdout.ends_with(
                "in /etc/subuid\nwhy, and what follows: nsgate check --help-rule container-pool\n"
            ),
            "{own:?}"
        );
    });
}

#[test]
fn what_the_helpers_would_not_trust_or_cannot_read_is_found() {
    World::enter(|world| {
        world.write("/etc/subuid", GOOD);
        world.write("/etc/subgid", GOOD);
        fs::set_permissions("/etc/subuid", fs::Permissions::from_mode(0o664)).expect("chmod");
        has(
            &check(world, &[]),
            &[
                "/etc/subuid: error: can be written by its group (mode 0664) [writable]",
                "    chmod g-w /etc/subuid",
            ],
        );
        fs::set_permissions("/etc/subuid", fs::Permissions::from_mode(0o644)).expect("chmod");
        chown("/etc/subuid", Some(ALICE.id), None).expect("chown");
        has(&check(world, &[]), &["    chown 0 /etc/subuid"]);
        chown("/etc/subuid", Some(0), None).expect("chown");
        fs::set_permissions("/etc", fs::Permissions::from_mode(0o777)).expect("chmod");
        has(
            &check(world, &["/etc/subuid"]),
            &[
                "/etc/subuid: error: /etc, on the way to it, can be written by its group and everybody (mode 0777) [writable]",
            ],
        );
        fs::set_permissions("/etc", fs::Permissions::from_mode(0o755)).expect("chmod");
        let mode = |mode| {
            fs::set_permissions("/etc/nsswitch.conf", fs::Permissions::from_mode(mode)).expect("chmod")
        };
        world.write("/etc/nsswitch.conf", "passwd: files\n");
        mode(0o666);
        has(
            &check(world, &[]),
            &[
                "/etc/nsswitch.conf: error: can be written by its group and everybody (mode 0666) [writable]",
                "    chmod go-w /etc/nsswitch.conf",
            ],
        );
        mode(0o644);
        assert_eq!(check(world, &[]).status, Some(0));
        for make in
            ["mkfifo /etc/subuid", "mkdir /etc/subuid", "ln -s none /etc/subuid", "ln -s subuid /etc/subuid"]
        {
            fs::remove_file("/etc/subuid").or_else(|_| fs::remove_dir("/etc/subuid")).expect("remove");
            let made = Command::new("sh").args(["-c", make]).status().expect("sh");
            assert!(made.success());
            let answer = check(world, &["/etc/subuid"]);
            assert!(answer.stdout.contains("[not-a-file]") && answer.status == Some(2), "{make}: {answer:?}");
        }
        fs::remove_file("/etc/subuid").expect("remove");
        has(
            &check(world, &[]),
            &[
                "/etc/subuid: info: there is no such file, so no line in it grants anybody ids [missing-file]",
                "    install -m 644 /dev/null /etc/subuid",
            ],
        );
        symlink("/run/policy", "/etc/subuid").expect("link");
        fs::write("/run/policy", GOOD).expect("write");
        assert_eq!(check(world, &[]).status, Some(0));

        // A link that leads nowhere is no file, and a linked directory without the file has none.
        drop(fs::remove_dir_all("/etc/lxc"));
        fs::create_dir("/run/elsewhere").expect("mkdir");
        symlink("/run/elsewhere", "/etc/lxc").expect("link");
        assert_eq!(check(world, &[]).status, Some(0));
        symlink("/run/nowhere", "/run/elsewhere/lxc-usernet").expect("link");
        let answer = check(world, &[]);
        assert!(answer.stdout.contains("[not-a-file]") && answer.status == Some(2), "{answer:?}");
        fs::remove_file("/run/elsewhere/lxc-usernet").expect("remove");
        // Whoever owns a directory may have put a link in the place of what is in it: one step at a time.
        fs::remove_file("/etc/lxc").expect("remove");
        fs::create_dir("/etc/lxc").expect("mkdir");
        world.write("/etc/lxc/lxc-usernet", "");
        for path in ["/etc/lxc", "/etc/lxc/lxc-usernet"] {
            chown(path, Some(ALICE.id), None).expect("chown");
        }
        let answer = check(world, &[]);
        has(&answer, &["    chown 0 /etc/lxc", "    ls -l /etc/lxc/lxc-usernet"]);
        assert!(!answer.stdout.contains("chown 0 /etc/lxc/"), "{answer:?}");
    });
}

#[test]
fn an_image_is_looked_at_and_nothing_outside_of_it() {
    World::enter(|world| {
        image(world, &[("lxc/lxc-usernet", "alice veth nobridge 5\n")]);
        let answer = check_image(world, &[]);
        assert_eq!(answer.status, Some(0), "of an image's bridges nothing is known: {answer:?}");
        fs::write("/run/policy", "alice:1:1:1\n").expect("write");
        fs::create_dir_all(format!("{IMAGE}/run")).expect("create");
        fs::write(format!("{IMAGE}/run/policy"), "alice:2:2:2\n").expect("write");
        fs::remove_file(format!("{IMAGE}/etc/subuid")).expect("remove");
        symlink("../../../run/policy", format!("{IMAGE}/etc/subuid")).expect("link");
        let answer = check_image(world, &[]);
        has(
            &answer,
            &[
                "/etc/subuid:1: error: \"alice:2:2:2\" has 4 fields where owner:first:count has 3 [syntax]",
                "    nsgate --root /tmp/image edit subuid",
            ],
        );
        // By its path on the image's own machine, or here.
        for path in ["/etc/subuid", "/tmp/image/etc/subuid"] {
            let answer = check_image(world, &[path]);
            has(&answer, &["    nsgate --root /tmp/image edit subuid"]);
            assert!(answer.stdout.contains(" in /etc/subuid\n"), "{answer:?}");
        }
        let missing = check_image(world, &["/etc/nsgate.ini"]);
        assert!(
            missing.status == Some(2) && missing.stderr.contains("cannot open /tmp/image/etc/nsgate.ini: "),
            "{missing:?}"
        );
        // Ids of an image may be shifted: what is its root's is its root's.
        for entry in ["", "/etc", "/etc/lxc", "/etc/subgid"] {
            chown(format!("{IMAGE}{entry}"), Some(700_000), None).expect("chown");
        }
        let answer = check_image(world, &[]);
        assert!(!answer.stdout.contains("/etc/subgid: error"), "{answer:?}");
    });
}

#[test]
fn bridges_are_looked_for_on_the_machine_itself() {
    World::enter_with_nic(|world| {
        world.write("/etc/subuid", GOOD);
        world.write("/etc/subgid", GOOD);
        world.bridge("br0");
        world.ip(&["link", "add", "eth7", "type", "veth", "peer", "name", "eth8"]);
        fs::write("/proc/sys/net/ipv6/conf/br0/accept_ra", "2").expect("accept_ra");
        world.usernet("alice veth br0 5\nalice veth br7 5\nalice veth eth7 5\nbob veth none 5\n");
        let answer = check(world, &[]);
        has(
            &answer,
            &[
                "/etc/lxc/lxc-usernet:1: warning: accept_ra of \"br0\" is 2: a container on it can make itself this host's IPv6 router [accept-ra]",
                "    sysctl -w net/ipv6/conf/br0/accept_ra=0",
                "/etc/lxc/lxc-usernet:2: warning: there is no bridge \"br7\" on this machine [missing-bridge]",
                "    ip link add name br7 type bridge && ip link set dev br7 up",
                "/etc/lxc/lxc-usernet:3: error: \"eth7\" is an interface and no bridge [not-a-bridge]",
            ],
        );
        let mend = world
            .run(Command::new("sysctl").args(["-w", "net/ipv6/conf/br0/accept_ra=0"]).stdin(Stdio::null()));
        assert_eq!(mend.status, Some(0), "{mend:?}");
        assert!(!check(world, &[]).stdout.contains("accept-ra"));
    });
}

/// As `grant` and useradd go by them.
#[test]
fn where_accounts_and_containers_get_their_ids_is_known() {
    World::enter(|world| {
        let ids = "alice:150000:65536\nbob:1000000:65536\n";
        image(world, &[("subuid", ids), ("subgid", ids)]);
        let found = |id: &str| check_image(world, &[]).stdout.contains(id);
        assert!(!found("[future-accounts]") && !found("[incus-ids]"));
        fs::create_dir_all(format!("{IMAGE}/var/lib/incus/containers")).expect("create");
        assert!(found(
            "/etc/subuid:2: warning: \"bob\" holds 1000000-1065535, and 1000000-1000999999 is for the containers"
        ));
        // What the system comes with, where the host has none: openSUSE.
        fs::create_dir_all(format!("{IMAGE}/usr/etc")).expect("create");
        let defs = "UID_MAX 0x30d40\nSUB_UID_MIN 0454041\nSUB_UID_MAX 300000\n";
        world.write(&format!("{IMAGE}/usr/etc/login.defs"), defs);
        assert!(found(
            "/etc/subuid:1: warning: \"alice\" holds 150000-215535, and new accounts get their uids there (100-200000 "
        ));
        let shown = world.run(world.nsgate(ROOT).args(["--root", IMAGE, "show"])).stdout;
        assert!(shown.contains("(153633-300000)"), "{shown}");
        world.write(&format!("{IMAGE}/etc/login.defs"), "");
        assert!(!found("[future-accounts]"));
    });
}

/// M14
#[test]
fn m14_a_hundred_thousand_lines_take_little_time_and_memory_and_stay_readable() {
    World::enter(|world| {
        let good: String = (0..100_000).map(|n| format!("u{n}:{}:65536\n", 100_000 + n * 5)).collect();
        let bad = "alice:1:2:3\n".repeat(100_000);
        for text in [good, bad] {
            world.write("/etc/subuid", &text);
            // The kernel ends what takes more than a second of processor time.
            let bounds: [&str; 2] = [&format!("rlimit:AS={}", 64 << 20), "rlimit:CPU=1"];
            let program = "/run/world/bin/nsgate";
            let answer =
                world.run_within(Duration::from_secs(20), world.launch(ROOT, &bounds, program).arg("check"));
            assert_eq!(answer.status, Some(2), "{answer:?}");
            assert!(answer.stdout.lines().count() < 150, "{}", answer.stdout.lines().count());
            assert!(answer.stdout.contains("\n    ... and 99 9"), "{}", answer.stdout);
        }
        let json = world
            .run_within(Duration::from_secs(20), world.nsgate(ROOT).args(["--json", "check", "/etc/subuid"]));
        assert_eq!(json.stdout.matches("\"rule\": \"syntax\"").count(), 100_000);
    });
}

/// M14: a file of as many lines as fit into anybody's patience.
#[test]
fn m14_millions_of_overlapping_lines_are_no_matter_of_pairs() {
    World::enter(|world| {
        let names = ["alice", "bob", "carol"];
        let text: String = (0..2_000_000_usize)
            .map(|n| format!("{}:{}:4000000000\n", names[n % 3], 100_000 + n % 1000))
            .collect();
        world.write("/etc/subuid", text);
        let answer =
            world.run_within(Duration::from_secs(120), world.nsgate(ROOT).args(["check", "/etc/subuid"]));
        assert!(answer.stdout.contains(" more like it [overlap]"), "{}", answer.stdout);
    });
}

/// M16
#[test]
fn m16_anybody_may_check_and_is_told_what_he_could_not_read() {
    World::enter(|world| {
        world.write("/etc/subuid", GOOD);
        world.write("/etc/subgid", GOOD);
        let as_alice = || world.run(world.nsgate(ALICE).arg("check"));
        assert_eq!(as_alice().status, Some(0));
        fs::set_permissions("/etc/subuid", fs::Permissions::from_mode(0o600)).expect("chmod");
        let answer = as_alice();
        assert_eq!(answer.status, Some(1), "{answer:?}");
        has(
            &answer,
            &[
                "/etc/subuid: warning: cannot be read: Permission denied; what is in it was not looked at [unread]",
                "    sudo nsgate check",
            ],
        );
        let answer = check(world, &[]);
        assert_eq!(answer.status, Some(0), "that others cannot read it is no mistake: {answer:?}");
        assert!(answer.stdout.contains("[not-readable-by-all]"));
    });
}

/// M18
#[test]
fn m18_a_name_with_a_blank_in_it_cannot_be_written_and_the_finding_says_so() {
    World::enter(|world| {
        image(world, &[("lxc/lxc-usernet", "domain users veth br0 5\n@domain users veth br0 5\n")]);
        let why = "error: the type is \"users\", and veth is the only one; a name with a blank in it cannot be written in this \
                   file, use a group [nic-type]";
        has(
            &check_image(world, &[]),
            &[&format!("/etc/lxc/lxc-usernet:1: {why}"), &format!("/etc/lxc/lxc-usernet:2: {why}")],
        );
    });
}

/// M20
#[test]
fn m20_locale_time_zone_and_width_change_nothing() {
    World::enter(|world| {
        image(world, &[("subuid", "ALICE:100000:65536\nI\u{131}:1:1\nbob:165536:65536 \n")]);
        let run = |environment: &[(&str, &str)]| {
            let answer = world
                .run(world.nsgate(ROOT).args(["--root", IMAGE, "check"]).envs(environment.iter().copied()));
            (answer.status, answer.stdout, answer.stderr)
        };
        let plain = run(&[]);
        assert_eq!(plain.0, Some(2));
        for environment in [
            [("LC_ALL", "tr_TR.UTF-8"), ("LANG", "tr_TR")],
            [("TZ", "Asia/Tokyo"), ("COLUMNS", "7")],
            [("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")],
            [("TERM", "dumb"), ("LINES", "1")],
        ] {
            assert_eq!(run(&environment), plain, "{environment:?}");
        }
    });
}

/// M15
#[test]
fn the_json_document_is_what_its_schema_says() {
    World::enter(|world| {
        image(
            world,
            &[
                ("subuid", "alice:0:65536\n\u{9b}2J\u{7f}$(id):100000:5\nbob:1\n\"q\":5:5\n"),
                ("lxc/lxc-usernet", " x\n@l\u{fc}b veth br%u 5\n"),
                ("nsgate.ini", "[idm\x1bap]\n"),
            ],
        );
        let schema = tree().join("policy/schema/check.json");
        let valid = |args: &[&str]| {
            let answer = world.run(world.nsgate(ROOT).args(["--root", IMAGE, "--json", "check"]).args(args));
            assert!(
                answer.stdout.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)),
                "{answer:?}"
            );
            fs::write("/tmp/document.json", &answer.stdout).expect("write");
            let validate = "import json, jsonschema, sys; \
                            jsonschema.Draft202012Validator(json.load(open(sys.argv[1]))).validate(json.load(open('/tmp/document.json')))";
            world.run(Command::new("python3").args(["-I", "-c", validate]).arg(&schema)).succeeds();
            answer
        };
        let answer = valid(&[]);
        assert_eq!(answer.status, Some(2));
        assert!(
            answer.stdout.starts_with("{\n  \"schema\": \"nsgate/1\",\n  \"verb\": \"check\",\n"),
            "{answer:?}"
        );
        assert_eq!(valid(&["--help-rule", "syntax"]).status, Some(0));
        image(world, &[("subuid", GOOD), ("lxc/lxc-usernet", ""), ("nsgate.ini", "")]);
        assert!(valid(&[]).stdout.contains("\"findings\": []"));
    });
}
