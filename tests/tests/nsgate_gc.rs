//! `nsgate gc` and `nsgate show nics`: what is left behind goes, what is in use or being made stays. Ours alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use world::{ALICE, Answer, BOB, Fake, ROOT, User, World, theirs};

const OWN: &str = "nsbr-52001";

fn enter(test: impl FnOnce(&World) + Send) {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.usernet("alice veth lxcbr0 5\nbob veth lxcbr0 2\nalice veth none 5\nalice veth nsbr-%u 5\n");
        world.write("/etc/nsgate.ini", "[per-user-bridge]\ncreate = yes\n");
        test(world);
    });
}

fn nsgate(world: &World, user: User, args: &[&str]) -> Answer {
    world.run(world.nsgate(user).args(args))
}

#[track_caller]
fn gc(world: &World) -> String {
    let answer = nsgate(world, ROOT, &["gc"]);
    assert_eq!((answer.status, &*answer.stderr), (Some(0), ""), "{answer:?}");
    answer.stdout
}

#[track_caller]
fn fits_schema(world: &World, name: &str, document: &Answer) {
    assert_eq!((document.status, &*document.stderr), (Some(0), ""), "{document:?}");
    world.write("/tmp/document.json", &document.stdout);
    fs::copy(world::tree().join("policy/schema").join(name), "/tmp/schema.json").expect("the schema");
    let script = "import json, jsonschema\n\
                  jsonschema.validate(json.load(open('/tmp/document.json')), json.load(open('/tmp/schema.json')))";
    let answer = world.run(Command::new("/usr/bin/python3").args(["-c", script]));
    assert_eq!(answer.status, Some(0), "{document:?}\n{answer:?}");
}

#[test]
fn where_nothing_was_ever_made_there_is_nothing_to_show_or_remove_and_nothing_is_made() {
    enter(|world| {
        assert_eq!(gc(world), "nothing to remove\n");
        assert_eq!(nsgate(world, ROOT, &["show", "nics"]).stdout, "no interface of lxc-user-nic is there\n");
        assert!(!Path::new("/run/lxc").exists());
    });
}

#[test]
fn every_interface_is_shown_with_owner_bridge_guards_process_and_quota() {
    enter(|world| {
        let (alice, bob) = (world.container(ALICE), world.container(BOB));
        let on_bridge = world.create(ALICE, &alice, "veth", "lxcbr0", &[]).nic().host_name;
        let alone = world.create(ALICE, &alice, "veth", "none", &[]).nic().host_name;
        let (one, two) = (
            world.create(BOB, &bob, "veth", "lxcbr0", &[]).nic().host_name,
            world.create(BOB, &bob, "veth", "lxcbr0", &[]).nic().host_name,
        );
        let shown = nsgate(world, ROOT, &["show", "nics"]).stdout;
        let line = |name: &str| {
            shown.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{shown}"))
        };
        let words = |name: &str| line(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&on_bridge)[1..], ["alice", "alice", "lxcbr0", "up", &alice.pid()]);
        assert_eq!(words(&alone)[1..], ["alice", "alice", "-", "up", &alice.pid()]);
        for name in [&one, &two] {
            assert_eq!(words(name)[1..], ["bob", "bob", "lxcbr0", "up", &bob.pid()]);
        }
        assert!(shown.contains("guards: bpdu-guard, root-block, no-multicast-router"), "{shown}");
        assert!(shown.contains("\nalice on lxcbr0: 1 of 5\n"), "{shown}");
        assert!(shown.contains("\nbob on lxcbr0: 2 of 2, full\n"), "{shown}");
        fits_schema(world, "show.json", &nsgate(world, ROOT, &["--json", "show", "nics"]));

        // M16: others see what the kernel shows to everybody.
        let others = nsgate(world, ALICE, &["show", "nics"]).stdout;
        assert!(
            others.contains(&on_bridge) && others.contains(&two) && others.contains("the ledger is root's"),
            "{others}"
        );
        assert!(others.contains(&alice.pid()), "{others}");
        fits_schema(world, "show.json", &nsgate(world, ALICE, &["--json", "show", "nics"]));
    });
}

#[test]
fn records_of_interfaces_that_are_gone_go_and_those_of_others_stay() {
    enter(|world| {
        let (mut alice, bob) = (world.container(ALICE), world.container(BOB));
        let gone = world.create(ALICE, &alice, "veth", "lxcbr0", &[]).nic().host_name;
        let stays = world.create(BOB, &bob, "veth", "lxcbr0", &[]).nic().host_name;
        alice.end();
        world.wait_until_gone(&gone);
        let before = world.state();
        let dry = nsgate(world, ROOT, &["gc", "--dry-run"]).stdout;
        assert_eq!(
            dry,
            format!(
                "would remove the record of {gone} of uid 52001 from u52001.veth.lxcbr0: the interface is gone\n"
            )
        );
        fits_schema(world, "gc.json", &nsgate(world, ROOT, &["--json", "gc", "--dry-run"]));
        assert_eq!(world.state(), before, "a trial changes nothing");
        assert_eq!(gc(world), dry.replace("would remove", "removed"));
        let names: Vec<_> = world.ledger().into_iter().map(|record| record.fields[1].clone()).collect();
        assert_eq!(names, std::slice::from_ref(&stays));
        assert_eq!(world.nics(), [format!("bob veth lxcbr0 {stays}")]);
        assert_eq!(gc(world), "nothing to remove\n");
    });
}

/// M10
#[test]
fn revoking_interfaces_names_those_that_stay() {
    enter(|world| {
        let (alice, bob) = (world.container(ALICE), world.container(BOB));
        let mut names = Vec::new();
        world.bridge("br\u{e4}");
        world.append("/etc/lxc/lxc-usernet", "alice veth br\u{e4} 5\n");
        for bridge in ["lxcbr0", "none", OWN, "br\u{e4}"] {
            names.push(world.create(ALICE, &alice, "veth", bridge, &[]).nic().host_name);
        }
        let bobs = world.create(BOB, &bob, "veth", "lxcbr0", &[]).nic().host_name;
        for (bridge, name) in ["lxcbr0", "none", "nsbr-%u", "br\u{e4}"].into_iter().zip(&names) {
            let dry = ["revoke", "nic", "alice", bridge, "--dry-run"];
            // What everybody may see of them is enough; but whose one without a bridge is.
            let live =
                format!("and stay until their container ends:\n  {name}: alice, processes {}", alice.pid());
            for user in [ROOT, ALICE] {
                let said = nsgate(world, user, &dry).stdout;
                assert!(said.contains(&live) && !said.contains(&bobs), "{said}");
            }
            let answer = nsgate(world, ROOT, &["--json", "revoke", "nic", "alice", bridge]);
            assert!(answer.stdout.contains(&format!("\"name\": \"{name}\"")), "{answer:?}");
            assert_eq!(answer.stdout.matches("\"pids\"").count(), 1, "{answer:?}");
            fits_schema(world, "revoke.json", &answer);
        }
        let none = nsgate(world, ROOT, &["grant", "nic", "alice", "lxcbr1", "1"]);
        assert_eq!(none.status, Some(0), "{none:?}");
        assert!(!nsgate(world, ROOT, &["revoke", "nic", "alice", "lxcbr1"]).stdout.contains("stay"));
    });
}

/// As the helpers do.
#[test]
fn rules_that_others_may_have_written_are_not_gone_by() {
    use std::os::unix::fs::PermissionsExt;
    enter(|world| {
        let mut container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", OWN, &[]).nic().host_name;
        container.end();
        world.wait_until_gone(&nic);
        fs::set_permissions("/etc/nsgate.ini", fs::Permissions::from_mode(0o666)).expect("chmod");
        let answer = nsgate(world, ROOT, &["gc"]);
        assert_eq!((answer.status, &*answer.stdout), (Some(1), ""), "{answer:?}");
        assert!(answer.stderr.starts_with("nsgate: /etc/nsgate.ini is not trusted: "), "{answer:?}");
        assert!(world.host_links().iter().any(|link| link.name == OWN));
    });
}

/// A16: under a limit on the size of files, whatever its signal does: what could not be done is done the next time, and nothing
/// that counts is lost.
#[test]
fn a_limit_on_the_size_of_files_costs_no_record() {
    enter(|world| {
        let (mut alice, bob) = (world.container(ALICE), world.container(BOB));
        let stays = world.create(BOB, &bob, "veth", "lxcbr0", &[]).nic().host_name;
        for signal in ["--default-signal=XFSZ", "--ignore-signal=XFSZ", "--block-signal=XFSZ"] {
            for size in [0, 1, 20, 63] {
                let gone = world.create(ALICE, &alice, "veth", "lxcbr0", &[]).nic().host_name;
                alice.end();
                world.wait_until_gone(&gone);
                let mut limited = world.command(ROOT, "/usr/bin/env");
                limited.args([
                    signal,
                    "/usr/bin/prlimit",
                    &format!("--fsize={size}"),
                    "/run/world/bin/nsgate",
                    "gc",
                ]);
                let answer = world.run(&mut limited);
                let context = format!("{signal} {size}: {answer:?}");
                assert_eq!(answer.signal, None, "{context}");
                let bobs = format!("bob veth lxcbr0 {stays}");
                assert!(world.nics().contains(&bobs), "{context}");
                assert!(world.ledger().iter().any(|record| record.fields[1] == stays), "{context}");
                gc(world);
                assert_eq!(world.nics(), [bobs], "{context}");
                assert_eq!(world.ledger().len(), 1, "{context}");
                alice = world.container(ALICE);
            }
        }
    });
}

/// M16
#[test]
fn m16_gc_is_for_root_on_the_live_machine() {
    enter(|world| {
        for (user, args, why) in [
            (ALICE, &["gc"][..], "gc needs root"),
            (ALICE, &["gc", "--dry-run"], "run: sudo nsgate gc --dry-run\n"),
            (ROOT, &["--root", "/tmp", "gc"], "gc has no --root"),
            (ROOT, &["--root", "/tmp", "show", "nics"], "show nics has no --root"),
            (ROOT, &["show", "nics", "--svg", "/tmp/x"], "--svg draws ids"),
        ] {
            let answer = nsgate(world, user, args);
            assert_eq!((answer.status, &*answer.stdout), (Some(1), ""), "{answer:?}");
            assert!(answer.stderr.contains(why), "{answer:?}");
        }
        assert!(!Path::new("/run/lxc").exists());
    });
}

#[test]
fn an_empty_bridge_of_a_users_own_goes_and_is_made_again() {
    enter(|world| {
        let mut container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", OWN, &[]).nic().host_name;
        assert!(gc(world).contains(&format!("left the bridge {OWN}: there are interfaces on it")));
        container.end();
        world.wait_until_gone(&nic);
        // Root's own bridges are none of ours, whatever they are called.
        world.bridge("nsbr-52002");
        let dry = nsgate(world, ROOT, &["--json", "gc", "--dry-run"]);
        fits_schema(world, "gc.json", &dry);
        // Nothing is changed, also where a table has never been made.
        let table = format!("{}/bridges.{OWN}", world.tables());
        fs::remove_file(&table).expect("remove");
        let before = dry.stdout.clone();
        assert_eq!(nsgate(world, ROOT, &["--json", "gc", "--dry-run"]).stdout, before);
        assert!(before.contains("\"removed\": true") && !Path::new(&table).exists(), "{before}");
        assert!(world.host_links().iter().any(|link| link.name == OWN), "{dry:?}");
        assert!(gc(world).contains(&format!("removed the bridge {OWN}: nothing is on it")));
        assert!(!world.host_links().iter().any(|link| link.name == OWN));
        assert!(world.host_links().iter().any(|link| link.name == "nsbr-52002"));
        assert_eq!(world.ledger(), vec![]);
        let again = world.container(ALICE);
        assert_eq!(
            world.host_link(&world.create(ALICE, &again, "veth", OWN, &[]).nic().host_name).master,
            OWN
        );
    });
}

/// The kernel's list of a bridge's ports that ends with an error is no list, and one during which interfaces came or went is made
/// anew: neither is a bridge without ports.
#[test]
fn a_list_of_ports_that_is_not_whole_is_not_taken_for_an_empty_one() {
    const DUMP_INTERRUPTED: u16 = 0x12;
    enter(|world| {
        let container = world.container(ALICE);
        drop(world.create(ALICE, &container, "veth", OWN, &[]).nic());
        let program = world.nsgate(ROOT).get_program().to_str().expect("a path").to_owned();

        let options = ["-e", "trace=sendto,recvfrom", "-e", "signal=none", "-o", "/tmp/trace"];
        world.run(world.strace(ROOT, &options, &program).arg("gc"));
        let trace = fs::read_to_string("/tmp/trace").expect("trace");
        let (before, question) = trace.split_once("NLM_F_DUMP, nlmsg_seq=").expect("a list is asked for");
        let sequence: u32 = question.split(',').next().expect("a number").parse().expect("a number");
        let number = u32::try_from(before.matches("recvfrom(").count()).expect("a few") + 1;

        // netlink(7): NLMSG_DONE, with an error or none in it.
        let done = |flags: u16, error: i32| {
            let words = [sequence, 0].map(u32::to_ne_bytes).concat();
            let text = [
                &20_u32.to_ne_bytes()[..],
                &3_u16.to_ne_bytes(),
                &flags.to_ne_bytes(),
                &words,
                &error.to_ne_bytes(),
            ];
            // The kernel makes one list at a time, and has to be done with this one.
            let is_made = true;
            let fake = Fake { call: libc::SYS_recvfrom, number, answer: 20, text: text.concat(), is_made };
            let answer = world.answered(ROOT, &program, &["gc"], &[fake]);
            assert!(world.host_links().iter().any(|link| link.name == OWN), "{answer:?}");
            answer
        };
        let failed = done(2, -(Errno::ENOMEM as i32));
        assert_eq!((failed.status, &*failed.stdout), (Some(1), ""), "{failed:?}");
        assert!(failed.stderr.contains("look at the ports of a bridge: "), "{failed:?}");
        let again = done(DUMP_INTERRUPTED, 0);
        assert_eq!((again.status, &*again.stderr), (Some(0), ""), "{again:?}");
        assert!(
            again.stdout.contains(&format!("left the bridge {OWN}: there are interfaces on it")),
            "{again:?}"
        );
    });
}

#[test]
fn a_bridge_that_nobody_could_make_again_stays() {
    enter(|world| {
        let mut container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", OWN, &[]).nic().host_name;
        container.end();
        world.wait_until_gone(&nic);
        fs::remove_file("/etc/nsgate.ini").expect("remove");
        assert!(gc(world).contains(&format!("left the bridge {OWN}: create is not yes")));
        assert!(world.host_links().iter().any(|link| link.name == OWN));
    });
}

/// A helper that is stopped after any of its system calls, on the way to a bridge that is there and empty: gc takes it or leaves it, and
/// the helper ends with its interface on a bridge.
#[test]
fn a_bridge_that_a_helper_is_about_to_use_stays_or_is_made_again() {
    enter(|world| {
        let empty_bridge = || {
            let container = world.container(ALICE);
            let nic = world.create(ALICE, &container, "veth", OWN, &[]).nic().host_name;
            drop(container);
            world.wait_until_gone(&nic);
        };
        empty_bridge();
        let container = world.container(ALICE);
        let places = world.places(ALICE, &["create", "/dev/null", "dummy", &container.pid(), "veth", OWN]);
        drop(container);
        let (mut kept, mut removed) = (0, 0);
        for place in places.iter().filter(|place| !place.is_dull()) {
            empty_bridge();
            let container = world.container(ALICE);
            let args = ["create", "/dev/null", "dummy", &container.pid(), "veth", OWN];
            let answer = match world.held(ALICE, place, &args) {
                Err(answer) => answer,
                Ok(held) => {
                    let said = gc(world);
                    removed += usize::from(said.contains("removed the bridge"));
                    kept += usize::from(said.contains("left the bridge"));
                    held.go_on()
                }
            };
            let host = answer.nic().host_name;
            assert_eq!(world.host_link(&host).master, OWN, "{place:?}");
            drop(container);
            world.wait_until_gone(&host);
        }
        assert!(kept > 5 && removed > 5, "{kept} {removed}");
    });
}

/// gc is killed at each of its writes and netlink messages: the ledger stays true, and the next one does the rest.
#[test]
fn gc_that_is_killed_leaves_a_ledger_that_is_true() {
    enter(|world| {
        for (call, most) in [("pwrite64", 12), ("sendto", 24), ("fcntl", 60)] {
            let mut finished = false;
            for number in (1..most).step_by(if call == "fcntl" { 5 } else { 1 }) {
                let (mut alice, bob) = (world.container(ALICE), world.container(BOB));
                let gone = world.create(ALICE, &alice, "veth", OWN, &[]).nic().host_name;
                let stays = world.create(BOB, &bob, "veth", "lxcbr0", &[]).nic().host_name;
                alice.end();
                world.wait_until_gone(&gone);
                let inject = format!("inject={call}:signal=KILL:when={number}");
                let trace = format!("trace={call}");
                let mut command = world.strace(
                    ROOT,
                    &["-f", "-o", "/dev/null", "-e", &trace, "-e", &inject],
                    "/run/world/bin/nsgate",
                );
                let killed = world.run(command.arg("gc"));
                assert!(world.host_links().iter().any(|link| link.name == stays), "{killed:?}");
                gc(world);
                let names: Vec<_> =
                    world.ledger().into_iter().map(|record| record.fields[1].clone()).collect();
                assert_eq!(names, std::slice::from_ref(&stays), "{call} {number}: {killed:?}");
                assert_eq!(world.nics(), [format!("bob veth lxcbr0 {stays}")], "{call} {number}");
                assert!(!world.host_links().iter().any(|link| link.name == OWN), "{call} {number}");
                drop(bob);
                world.wait_until_gone(&stays);
                gc(world);
                if killed.signal.is_none() && killed.status == Some(0) {
                    finished = true;
                    break;
                }
            }
            assert!(finished || call == "fcntl", "{call}: there are more of them");
        }
    });
}

/// One table that is damaged, and what cannot be removed, are no reason to leave the rest; and what was removed is said.
#[test]
fn what_cannot_be_removed_keeps_nothing_else() {
    enter(|world| {
        let make = |world: &World| {
            let (mut alice, mut bob) = (world.container(ALICE), world.container(BOB));
            for (user, container, bridge) in
                [(ALICE, &alice, OWN), (ALICE, &alice, "none"), (BOB, &bob, "lxcbr0")]
            {
                drop(world.create(user, container, "veth", bridge, &[]).nic());
            }
            alice.end();
            bob.end();
            while !world.host_veths().is_empty() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        };
        let refused = |args: &[&str], why: &str| {
            let answer = nsgate(world, ROOT, args);
            assert_eq!((answer.status, answer.stderr.lines().count()), (Some(1), 1), "{answer:?}");
            assert!(answer.stderr.contains(why), "{answer:?}");
            answer
        };
        make(world);
        let table = format!("{}/u52001.veth.none", world.tables());
        let whole = fs::read(&table).expect("read");
        fs::write(&table, "junk").expect("write");
        let dry = refused(&["gc", "--dry-run"], "u52001.veth.none");
        assert_eq!(dry.stdout.matches("would remove the record of ").count(), 2, "{dry:?}");
        let json = refused(&["--json", "gc", "--dry-run"], "u52001.veth.none");
        assert_eq!(json.stdout.matches("\"table\"").count(), 2, "{json:?}");
        let done = refused(&["gc"], "u52001.veth.none");
        assert_eq!(done.stdout, dry.stdout.replace("would remove", "removed"));
        assert!(done.stdout.contains(&format!("removed the bridge {OWN}: ")), "{done:?}");
        let nothing = refused(&["gc"], "u52001.veth.none");
        assert_eq!(nothing.stdout, "");
        fs::write(&table, whole).expect("write");
        assert!(gc(world).contains("u52001.veth.none"));
        assert_eq!(world.ledger(), vec![]);
    });
}

/// Many at once: nobody's interface is lost, and no bridge under one.
#[test]
fn gc_beside_helpers_takes_nothing_from_them() {
    enter(|world| {
        std::thread::scope(|scope| {
            // Threads inherit the namespaces of this one.
            let makers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..15 {
                            let container = world.container(ALICE);
                            let name = world.create(ALICE, &container, "veth", OWN, &[]).nic().host_name;
                            assert_eq!(world.host_link(&name).master, OWN);
                            drop(container);
                            world.wait_until_gone(&name);
                        }
                    })
                })
                .collect();
            while makers.iter().any(|maker| !maker.is_finished()) {
                gc(world);
            }
            makers.into_iter().for_each(|maker| maker.join().expect("a maker"));
        });
        gc(world);
        assert_eq!(world.ledger(), vec![]);
    });
}

#[test]
fn a_damaged_table_is_said_and_left() {
    enter(|world| {
        let container = world.container(ALICE);
        let _nic = world.create(ALICE, &container, "veth", "lxcbr0", &[]).nic();
        let table = format!("{}/u52001.veth.lxcbr0", world.tables());
        fs::write(&table, "junk").expect("write");
        for args in [&["gc"][..], &["show", "nics"]] {
            let answer = nsgate(world, ROOT, args);
            assert_eq!(answer.status, Some(1), "{answer:?}");
            assert!(answer.stderr.contains("u52001.veth.lxcbr0"), "{answer:?}");
        }
        assert_eq!(fs::read_to_string(&table).expect("read"), "junk");
    });
}
