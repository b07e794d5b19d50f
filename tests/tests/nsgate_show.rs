//! `nsgate show`: who holds which ids, and which interfaces there are. Ours alone: C has nothing like it.

use std::fs;
use std::process::Command;

use world::{ALICE, Answer, ROOT, User, World, theirs};

fn enter(test: impl FnOnce(&World) + Send) {
    if !theirs() {
        World::enter(test);
    }
}

fn show(world: &World, user: User, args: &[&str]) -> Answer {
    world.run(world.nsgate(user).arg("show").args(args))
}

/// Checks a document against `policy/schema/NAME.json`.
#[track_caller]
fn fits_schema(world: &World, name: &str, document: &str) {
    world.write("/tmp/document.json", document);
    let schema = world::tree().join("policy/schema").join(name);
    fs::copy(&schema, "/tmp/schema.json").expect("the schema");
    let script = "import json, jsonschema, sys\n\
                  schema = json.load(open('/tmp/schema.json'))\n\
                  jsonschema.Draft202012Validator.check_schema(schema)\n\
                  jsonschema.validate(json.load(open('/tmp/document.json')), schema)";
    let answer = world.run(Command::new("/usr/bin/python3").args(["-W", "ignore", "-c", script]));
    assert_eq!(answer.status, Some(0), "{document}\n{answer:?}");
}

#[test]
fn both_files_are_shown_once_if_they_say_the_same_and_both_if_not() {
    enter(|world| {
        let same = show(world, ALICE, &[]);
        assert_eq!((same.status, &*same.stderr), (Some(0), ""), "{same:?}");
        assert!(same.stdout.starts_with("/etc/subuid and /etc/subgid say the same: 2 owners, 131072 ids\n"));
        assert!(same.stdout.contains("alice  600000-665535  65536  ."), "{same:?}");
        world.append("/etc/subgid", "carol:900000:10\n");
        let both = show(world, ALICE, &[]).stdout;
        assert!(both.contains("/etc/subuid: 2 owners") && both.contains("/etc/subgid: 3 owners"), "{both}");
        assert!(both.contains("? only in /etc/subgid: carol"), "{both}");
        fs::remove_file("/etc/subgid").expect("remove");
        let one = show(world, ALICE, &[]);
        assert!(one.stdout.contains("there is no /etc/subgid") && one.status == Some(0), "{one:?}");
    });
}

#[test]
fn what_two_hold_is_marked_without_any_colour() {
    enter(|world| {
        for file in ["/etc/subuid", "/etc/subgid"] {
            world.append(file, "carol:650000:100000\nghost:52001:2\n");
        }
        let text = show(world, ALICE, &[]).stdout;
        assert!(!text.contains('\x1b'), "{text}");
        for name in ["alice", "bob", "carol"] {
            assert!(
                text.lines().any(|line| line.starts_with(&format!("! {name}")) && line.contains('X')),
                "{text}"
            );
        }
        assert!(text.contains("! 650000-665535 (15536 ids) shared by alice, carol"), "{text}");
        assert!(text.contains("! the user alice of this machine has id 52001, which ghost holds"), "{text}");
        assert!(text.contains("? no such account here: ghost"), "{text}");
        let alice = show(world, ALICE, &["alice"]).stdout;
        assert!(alice.contains("/etc/subuid:1: 600000-665535 (65536 ids)"), "{alice}");
        assert!(alice.contains("shares ids with carol (650000-665535, 15536 ids)"), "{alice}");
        let colored = world.run(world.nsgate(ALICE).args(["--color", "always", "show"])).stdout;
        assert!(colored.contains("\x1b[31;1mX"), "{colored:?}");
    });
}

#[test]
fn one_user_is_shown_by_name_by_uid_and_without_an_account_and_nobody_is_an_error() {
    enter(|world| {
        world.append("/etc/subuid", "ghost:900000:10\n");
        assert_eq!(show(world, ALICE, &["bob"]).stdout, show(world, ALICE, &["52002"]).stdout);
        assert!(show(world, ALICE, &["ghost"]).stdout.contains("/etc/subuid:3: 900000-900009"));
        let carol = show(world, ALICE, &["carol"]);
        assert!(
            carol
                .stdout
                .contains("carol holds nothing by /etc/subuid\nwhat helps:\n    nsgate grant ids carol\n"),
            "{carol:?}"
        );
        // What he has in one file is what he gets in the other, and not something else in both.
        world.append("/etc/subuid", "carol:950000:65536\ncarol:1100000:10\n");
        let carol = show(world, ALICE, &["carol"]).stdout;
        assert!(
            carol.contains(
                "carol holds nothing by /etc/subgid\nwhat helps:\n    \
                 nsgate grant ids carol --start 950000 --count 65536\n    \
                 nsgate grant ids carol --start 1100000 --count 10\n"
            ),
            "{carol}"
        );
        // Who has no account is given none.
        let ghost = show(world, ALICE, &["ghost"]).stdout;
        assert!(
            ghost.contains("ghost holds nothing by /etc/subgid\n") && !ghost.contains("grant"),
            "{ghost}"
        );
        let nobody = show(world, ALICE, &["no\x1bone"]);
        assert_eq!((nobody.status, &*nobody.stdout), (Some(1), ""));
        assert!(nobody.stderr.contains("there is no user \"no\\x1bone\""), "{nobody:?}");
    });
}

/// M15
#[test]
fn m15_json_and_text_have_no_control_bytes_and_json_is_by_its_schema() {
    enter(|world| {
        world.append("/etc/subuid", "e\x1b[31mv\u{9b}il:650000:10\ne\u{202e}:1:1\n52002:1:1\n");
        for args in [&[][..], &["alice"], &["carol"]] {
            let text = show(world, ALICE, args).stdout;
            assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text:?}");
            let json = show(world, ALICE, &[&["--json"], args].concat());
            assert_eq!(json.status, Some(0), "{json:?}");
            assert!(json.stdout.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
            fits_schema(world, "show.json", &json.stdout);
        }
        let json = show(world, ALICE, &["--json"]).stdout;
        assert!(json.contains(r#""name": "e\\x1b[31mv\\xc2\\x9bil""#), "{json}");
    });
}

/// M16
#[test]
fn m16_what_cannot_be_read_is_said_and_the_rest_is_shown() {
    enter(|world| {
        fs::set_permissions("/etc/subgid", std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("chmod");
        let answer = show(world, ALICE, &[]);
        assert_eq!(answer.status, Some(1));
        assert!(answer.stdout.contains("alice  600000-665535"), "{answer:?}");
        assert!(answer.stdout.contains("not read: cannot open /etc/subgid"), "{answer:?}");
        fs::remove_file("/etc/subgid").expect("remove");
        nix::unistd::mkfifo("/etc/subgid", nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
        assert!(show(world, ROOT, &[]).stdout.contains("not read: /etc/subgid is not a regular file"));
    });
}

/// M20
#[test]
fn m20_locale_width_and_time_zone_change_nothing_but_the_letters_of_bars() {
    enter(|world| {
        let with = |vars: &[(&str, &str)]| {
            let mut command = world.nsgate(ALICE);
            command.arg("show").envs(vars.iter().copied());
            world.run(&mut command).stdout
        };
        let plain = with(&[]);
        assert!(plain.is_ascii());
        let odd = [
            ("LC_ALL", "tr_TR"),
            ("TZ", "Asia/Tokyo"),
            ("COLUMNS", "7"),
            ("NO_COLOR", "1"),
            ("TERM", "dumb"),
        ];
        assert_eq!(with(&odd), plain);
        let unicode = with(&[("LC_ALL", "C.UTF-8")]);
        let back = unicode.replace('█', "#").replace('·', ".").replace('▒', "=").replace('╷', "|");
        assert_eq!(back, plain);
    });
}

#[test]
fn on_a_terminal_no_line_is_wider_than_it() {
    enter(|world| {
        world.append("/etc/subuid", "carol:650000:100000\n4294967290:4000000000:65536\n");
        for columns in [20, 24, 33, 40, 47, 60, 80, 131] {
            let program = "/run/world/bin/nsgate";
            let script = format!("stty rows 50 cols {columns}; {program} show; {program} show alice");
            let mut command = world.command(ALICE, "/usr/bin/script");
            command.args(["-qec", &script, "/dev/null"]).env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
            let answer = world.run(&mut command);
            assert_eq!(answer.status, Some(0), "{answer:?}");
            assert!(answer.stdout.contains("\x1b["), "no colour on a terminal: {answer:?}");
            let mut rest = answer.stdout.as_str();
            let mut text = String::new();
            while let Some((before, after)) = rest.split_once("\x1b[") {
                text.push_str(before);
                rest = after.split_once('m').expect("a colour").1;
            }
            text.push_str(rest);
            for line in text.lines() {
                assert!(line.trim_end_matches('\r').chars().count() <= columns, "{columns}: {line}\n{text}");
            }
            let joined = text.split_whitespace().collect::<Vec<_>>().join("");
            assert!(joined.contains("600000-665535") && joined.contains("4000000000-4000065535"), "{text}");
        }
    });
}

#[test]
fn ten_thousand_owners_are_few_lines_and_all_are_in_the_json() {
    enter(|world| {
        let file: String =
            (0..10_000_u32).map(|n| format!("u{n}:{}:65536\n", 1_000_000 + n * 65536)).collect();
        world.write("/etc/subuid", &file);
        world.write("/etc/subgid", &file);
        let text = show(world, ALICE, &[]).stdout;
        assert!(text.lines().count() < 70, "{text}");
        assert!(text.contains("10000 owners are drawn together"), "{text}");
        let json = show(world, ALICE, &["--json"]).stdout;
        assert_eq!(json.matches("\"account\"").count(), 20_000);
        let one = show(world, ALICE, &["u5000"]).stdout;
        assert!(one.contains("below: u4999") && one.contains("above: u5001"), "{one}");
    });
}

#[test]
fn the_svg_is_xml_without_scripts_that_needs_nothing_else() {
    enter(|world| {
        world.append("/etc/subuid", "<script>alert(1)</script>:650000:10\na&b\"':1:5\n");
        let answer = show(world, ALICE, &["--svg", "/tmp/ids.svg"]);
        assert!(answer.status == Some(0) && answer.stdout.contains("written: /tmp/ids.svg"), "{answer:?}");
        let script = "import xml.etree.ElementTree as tree\n\
                      root = tree.parse('/tmp/ids.svg').getroot()\n\
                      tags = {e.tag.split('}')[1] for e in root.iter()}\n\
                      assert tags <= {'svg','title','style','defs','pattern','rect','text','g','line'}, tags\n\
                      texts = ' '.join(e.text or '' for e in root.iter())\n\
                      assert '<script>alert(1' in texts and 'a&b' in texts, texts\n\
                      assert not any('http' in v or 'on' == k[:2] for e in root.iter() for k, v in e.attrib.items())";
        let parsed = world.run(Command::new("/usr/bin/python3").args(["-c", script]));
        assert_eq!(parsed.status, Some(0), "{parsed:?}");
        let refused = show(world, ALICE, &["--svg", "/etc/ids.svg"]);
        assert_eq!((refused.status, &*refused.stdout), (Some(1), ""));
        assert!(refused.stderr.contains("cannot write /etc/ids.svg"), "{refused:?}");
    });
}

#[test]
fn an_image_is_shown_by_its_own_files() {
    enter(|world| {
        fs::create_dir_all("/tmp/image/etc").expect("create");
        world.write("/tmp/image/etc/passwd", "zoe:x:7:7::/:\n");
        world.write("/tmp/image/etc/subuid", "zoe:5000000:65536\nalice:6000000:1\n");
        world.write("/tmp/image/etc/login.defs", "SUB_UID_MIN 5000000\nSUB_UID_MAX 5065537\n");
        let text = world.run(world.nsgate(ALICE).args(["--root", "/tmp/image", "show"])).stdout;
        assert!(text.contains("zoe    5000000-5065535"), "{text}");
        assert!(text.contains("? no such account here: alice"), "{text}");
        assert!(text.contains("free: 2 ids of SUB_UID_MIN to SUB_UID_MAX (5000000-5065537)"), "{text}");
    });
}
