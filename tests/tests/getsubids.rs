//! `getsubids`: on a terminal it is shadow's, in what it prints it is what our helpers go by. Side by side with Debian's.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use world::{ALICE, Answer, BOB, CAROL, ROOT, User, World, theirs};

const SHADOWS: &str = "/usr/bin/getsubids";

fn ours(world: &World, user: User, args: &[&str]) -> Answer {
    world.run(world.getsubids(user).args(args))
}

fn shadows(world: &World, user: User, args: &[&str]) -> Answer {
    world.run(world.command(user, SHADOWS).args(args))
}

/// Standard output and status are the same; standard error begins in the same way.
#[track_caller]
fn both_say_the_same(world: &World, user: User, args: &[&str], context: &str) {
    let (ours, shadows) = (ours(world, user, args), shadows(world, user, args));
    assert_eq!(
        (ours.status, &ours.stdout),
        (shadows.status, &shadows.stdout),
        "{args:?} {context} {ours:?} {shadows:?}"
    );
    assert!(ours.stderr.starts_with(shadows.stderr.trim_end()), "{args:?} {context} {ours:?} {shadows:?}");
}

fn policy(world: &World, text: &str) {
    for file in ["/etc/subuid", "/etc/subgid"] {
        world.write(file, text);
    }
}

#[test]
fn output_status_and_first_words_are_shadows() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let args: [&[&str]; 20] = [
            &[],
            &["-h"],
            &["alice"],
            &["-g", "alice"],
            &["bob"],
            &["-g", "bob"],
            &["carol"],
            &["-g", "carol"],
            &["ghost"],
            &["-g"],
            &["-g", "ghost"],
            &["-g", "alice", "x"],
            &["alice", "x"],
            &["alice", "-g"],
            &["-h", "alice"],
            &["--help"],
            &[""],
            &["al"],
            &["52001"],
            &["-g", "52001"],
        ];
        for text in [
            "alice:600000:65536\nbob:700000:65536\n",
            "bob:700000:10\nalice:600000:65536\nbob:600000:5\nalice:100:7\nbob:700005:10\n",
            "52001:900000:10\nalice:600000:65536\n52001:800000:10\n",
            "# note\n\nalice:0:1\nalice:4294967294:1\n",
            "alicex:1:1\nxalice:1:1\nalice:5:5\n",
            "alice:600000:65536\nalice:600000:65536\n",
            "alice:600000:65536",
            "",
        ] {
            policy(world, text);
            world.append("/etc/subgid", "carol:5:5\n");
            for args in args {
                both_say_the_same(world, CAROL, args, text);
            }
        }
        let alice = ours(world, BOB, &["alice"]);
        assert_eq!(alice.stdout, "");
        policy(world, "alice:100000:65536\n");
        assert_eq!(ours(world, BOB, &["alice"]).stdout, "0: alice 100000 65536\n");
        for file in ["/etc/subuid", "/etc/subgid"] {
            fs::remove_file(file).expect("remove");
        }
        for args in args {
            both_say_the_same(world, CAROL, args, "no file");
        }
    });
}

/// What shadow's prints and our helpers do not grant, and the other way round.
#[test]
fn what_is_printed_is_what_our_helpers_grant() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        world.append("/etc/passwd", "lass:x:52001:52001::/:/bin/sh\n");
        // The file, the user, what shadow's says of it, what ours does.
        for (text, user, shadow, our) in [
            ("alice:5:0\nalice:9:1\n", "alice", "0: alice 5 0\n1: alice 9 1\n", "0: alice 9 1\n"),
            ("alice:0x10:010\nalice:9:1\n", "alice", "0: alice 16 8\n1: alice 9 1\n", "0: alice 9 1\n"),
            ("ghost:5:5\n", "ghost", "0: ghost 5 5\n", ""),
            ("#alice:5:5\n", "#alice", "0: #alice 5 5\n", ""),
            ("lass:5:5\nalice:9:1\n", "alice", "0: alice 9 1\n", "0: alice 5 5\n1: alice 9 1\n"),
        ] {
            policy(world, text);
            let (shadows, ours) = (shadows(world, CAROL, &[user]), ours(world, CAROL, &[user]));
            assert_eq!((&*shadows.stdout, &*ours.stdout), (shadow, our), "{text:?} {ours:?}");
            // Every range that is printed is granted, whole.
            if our.is_empty() {
                assert!(
                    ours.status == Some(1) && ours.stderr.starts_with("Error fetching ranges: "),
                    "{ours:?}"
                );
            }
            for line in our.lines() {
                let fields: Vec<&str> = line.split(' ').collect();
                let target = world.target(ALICE);
                world.newuidmap(ALICE, &[&target.pid(), "0", fields[2], fields[3]]).succeeds();
            }
        }
    });
}

#[test]
fn why_there_is_nothing_to_print_is_said_in_one_line() {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let says = |args: &[&str], words: &str| {
            let answer = ours(world, ALICE, args);
            assert_eq!((answer.status, &*answer.stdout), (Some(1), ""), "{answer:?}");
            let expected = format!("Error fetching ranges: {words}\n");
            assert_eq!(answer.stderr, expected);
        };
        says(&["carol"], "/etc/subuid has no line for carol; nsgate grant ids carol adds one");
        says(&["-g", "carol"], "/etc/subgid has no line for carol; nsgate grant ids carol adds one");
        says(&["52001"], "/etc/subuid has no line for 52001; those of alice are asked for by that name");
        says(&["gh\x1bost"], "there is no user \"gh\\x1bost\" on this machine; see getent passwd");
        chown("/etc/subuid", Some(ALICE.id), None).expect("chown");
        says(&["alice"], "/etc/subuid is not trusted: it belongs to uid 52001; chown root");
        chown("/etc/subuid", Some(0), None).expect("chown");
        fs::set_permissions("/etc/subuid", fs::Permissions::from_mode(0o600)).expect("chmod");
        let denied =
            "cannot open /etc/subuid: Permission denied; the helpers may read it, you may not: ask as root";
        says(&["alice"], denied);
        assert_eq!(ours(world, ROOT, &["alice"]).stdout, "0: alice 600000 65536\n");
        fs::remove_file("/etc/subuid").expect("remove");
        says(&["alice"], "/etc/subuid does not exist, so it grants nothing to alice");
        world.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nsubid: ../x\n");
        says(&["alice"], "/etc/nsswitch.conf (subid:) names the source \"../x\", which is no name");
    });
}

/// All four functions of shadow's interface, as its own programs want them. Gives alice two runs of ids, and `has_range` says
/// so too.
const PLUGIN: &str = r#"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

struct subid_range { unsigned long start, count; };

int shadow_subid_has_range(const char *owner, unsigned long start, unsigned long count, int type, bool *result)
{
    if (strcmp(owner, "alice")) return 1;
    *result = start >= 800000 && start + count <= 810000;
    return 0;
}

int shadow_subid_find_subid_owners(unsigned long id, int type, uid_t **uids, int *count) { return 3; }

void shadow_subid_free(void *memory) { free(memory); }

int shadow_subid_list_owner_ranges(const char *owner, int type, struct subid_range **ranges, int *count)
"#;

/// With plugins, each with this body of its `list_owner_ranges`, in a library directory of the machine's own.
fn with_plugins(plugins: &[(&str, &str)], test: impl FnOnce(&World) + Send) {
    if theirs() {
        return;
    }
    World::enter(|world| {
        let libraries = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let place = "/run/world/overlay-libraries";
        for part in ["upper", "work"] {
            fs::create_dir_all(format!("{place}/{part}")).expect("create");
        }
        let options = format!("lowerdir={libraries},upperdir={place}/upper,workdir={place}/work");
        let run = |program: &str, args: &[&str]| {
            let answer = world.run(world.command(ROOT, program).args(args));
            assert_eq!(answer.status, Some(0), "{answer:?}");
        };
        run("/usr/bin/mount", &["-n", "-t", "overlay", "-o", &options, "overlay", &libraries]);
        for (name, body) in plugins {
            world.write("/tmp/plugin.c", format!("{PLUGIN}{body}\n"));
            let library = format!("{libraries}/libsubid_{name}.so");
            run("/usr/bin/gcc", &["-shared", "-fPIC", "-w", "-o", &library, "/tmp/plugin.c"]);
        }
        test(world);
    });
}

fn sources(world: &World, line: &str) {
    world.write("/etc/nsswitch.conf", format!("passwd: files\ngroup: files\nsubid: {line}\n"));
}

const TWO: &str = "{
    if (strcmp(owner, \"alice\")) return 1;
    *count = 2;
    *ranges = malloc(2 * sizeof **ranges);
    (*ranges)[0] = (struct subid_range){ 800000, 1000 };
    (*ranges)[1] = (struct subid_range){ 805000 + type, 10 };
    return 0;
}";

#[test]
fn a_plugin_is_asked_for_its_list_as_shadows_asks() {
    with_plugins(&[("two", TWO)], |world| {
        sources(world, "two");
        for args in [&["alice"][..], &["-g", "alice"], &["bob"], &["ghost"], &["52001"], &["-g", "carol"]] {
            both_say_the_same(world, CAROL, args, "a plugin");
        }
        assert_eq!(ours(world, CAROL, &["alice"]).stdout, "0: alice 800000 1000\n1: alice 805001 10\n");
        // What is in the list is granted, and explained.
        let target = world.target(ALICE);
        let explain = |first: &str| {
            world.run(world.nsgate(ALICE).args(["explain", "map", "alice", "u", "0", first, "1000"]))
        };
        let answer = explain("800000");
        assert!(answer.status == Some(0) && answer.stdout.contains("by the source two"), "{answer:?}");
        world.newuidmap(ALICE, &[&target.pid(), "0", "800000", "1000"]).succeeds();
        let answer = explain("900000");
        assert!(
            answer.status == Some(1) && answer.stdout.contains("whoever keeps two grants it"),
            "{answer:?}"
        );
    });
}

#[test]
fn several_sources_are_printed_together() {
    with_plugins(&[("two", TWO)], |world| {
        sources(world, "two files");
        let all = "0: alice 600000 65536\n1: alice 800000 1000\n2: alice 805001 10\n";
        assert_eq!(ours(world, CAROL, &["alice"]).stdout, all);
        assert_eq!(ours(world, CAROL, &["bob"]).stdout, "0: bob 700000 65536\n");
        assert_eq!(ours(world, CAROL, &["carol"]).status, Some(1));
    });
}

#[test]
fn a_plugin_that_does_not_answer_prints_nothing() {
    let bodies = [
        ("fails", "{ return 2; }", "answered: connection error"),
        ("crashes", "{ *(volatile int *)1 = 1; return 0; }", "crashed (SIGSEGV)"),
        ("ends", "{ _exit(7); }", "ended instead of answering (exit status 7)"),
        ("lies", "{ *ranges = 0; *count = 5; return 0; }", ""),
        ("negative", "{ *ranges = malloc(16); *count = -1; return 0; }", ""),
        (
            "prints",
            "{ write(1, \"0: alice 0 1\\n\", 13); write(3, \"0: alice 0 1\\n\", 13); return 0; }",
            "answered something else",
        ),
    ];
    let plugins = bodies.map(|(name, body, _)| (name, body));
    with_plugins(&plugins, |world| {
        for (name, _, says) in bodies {
            // Nor what other sources grant: half of the truth is none.
            sources(world, &format!("{name} files"));
            let answer = ours(world, CAROL, &["alice"]);
            if says.is_empty() {
                assert_eq!(answer.stdout, "0: alice 600000 65536\n", "{name} {answer:?}");
                continue;
            }
            assert_eq!((answer.status, &*answer.stdout), (Some(1), ""), "{name} {answer:?}");
            let begins =
                format!("Error fetching ranges: the subid source \"{name}\" of /etc/nsswitch.conf {says}");
            assert!(answer.stderr.starts_with(&begins), "{name} {answer:?}");
        }
        sources(world, "absent");
        let answer = ours(world, CAROL, &["alice"]);
        assert!(answer.stderr.contains("no libsubid_absent.so in"), "{answer:?}");
    });
}
