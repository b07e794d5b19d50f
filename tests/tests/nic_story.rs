//! The main job of `lxc-user-nic`, as its clients do it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use world::{ALICE, Answer, BOB, CAROL, Container, LXC_USER_NIC, NicAnswer, ROOT, User, World, theirs};

/// A machine with the bridge lxcbr0 and this policy.
fn with_policy(policy: &str, test: impl FnOnce(&World) + Send) {
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.usernet(policy);
        test(world);
    });
}

/// `create` on lxcbr0 by a process with these groups.
fn create_in_groups(world: &World, user: User, groups: &[u32], container: &Container) -> Answer {
    let mut command = world.command_in_groups(user, groups, LXC_USER_NIC);
    world.run(command.args(["create", "/dev/null", "dummy", &container.pid(), "veth", "lxcbr0"]))
}

/// It is allowed, and there is no room.
#[track_caller]
fn refused_as_full(answer: &Answer) {
    answer.refuses("Quota reached");
}

/// The bridge's MTU on both ends, host end UP, container end DOWN, nothing more anywhere.
#[test]
fn a_pair_is_made_on_the_bridge() {
    with_policy("alice veth lxcbr0 10\n", |world| {
        world.ip(&["link", "set", "lxcbr0", "mtu", "1400"]);
        let container = world.container(ALICE);
        let before = world.state().links;
        let answer = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]);
        let nic = answer.nic();

        let inside = container.link("eth0");
        let host = world.host_link(&nic.host_name);
        assert_eq!(answer.stdout, format!("eth0:{}:{}:{}\n", inside.index, host.name, host.index));
        assert!(!inside.is_up() && host.is_up(), "{inside:?} {host:?}");
        assert_eq!((inside.mtu, host.mtu), (1400, 1400));
        assert_eq!((&*inside.master, &*host.master), ("", "lxcbr0"));
        assert!(host.mac.starts_with("fe:"), "{host:?}");
        // Locally administered, for one receiver.
        let first = u8::from_str_radix(&inside.mac[..2], 16).expect("hex");
        assert!(first & 3 == 2 && inside.mac[2..] != host.mac[2..], "{inside:?}");
        let random = host.name.strip_prefix("veth52001_").expect("the uid in its name");
        assert!(random.len() == 4 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{random}");

        assert_eq!(container.names(), ["eth0"]);
        assert_eq!(container.ip(&["-o", "address", "show", "dev", "eth0"]), "");
        assert_eq!(container.ip(&["-o", "route"]), "");
        let after = world.state();
        assert_eq!(after.links, [before, vec![format!("{}: {}", host.index, host.name)]].concat());
        assert_eq!(after.nics, [format!("alice veth lxcbr0 {}", host.name)]);
        let view = fs::metadata("/run/lxc/nics").expect("a view");
        assert_eq!((view.mode() & 0o7777, view.uid()), (0o600, 0));
    });
}

/// Differs: the host end says whose it is, and each NIC has a record in a ledger of ours; C has `/run/lxc/nics` alone.
#[test]
fn the_host_end_and_the_ledger_say_whose_it_is() {
    if theirs() {
        return;
    }
    with_policy("alice veth lxcbr0 10\n", |world| {
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).nic();
        let host = world.host_link(&nic.host_name);
        assert_eq!(host.alias, "nsgate:uid=52001,owner=u52001");
        let ledger = world.ledger();
        assert_eq!(ledger.len(), 1, "{ledger:?}");
        assert_eq!(ledger[0].quota, "u52001.veth.lxcbr0");
        let record =
            ["+", &*nic.host_name, &nic.host_index.to_string(), "52001", &host.mac].map(str::to_owned);
        assert_eq!(ledger[0].fields[..5], record);
        let tables = world.tables();
        let table = format!("{tables}/u52001.veth.lxcbr0");
        for (path, mode) in [("/run/lxc/nsgate", 0o700), (&*tables, 0o700), (&*table, 0o600)] {
            let file = fs::metadata(path).expect("a ledger");
            assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (mode, 0, 0), "{path}");
        }
        let view = fs::metadata("/run/lxc/nics").expect("a view");
        assert_eq!(view.gid(), 0);
    });
}

#[test]
fn packets_pass_between_container_and_bridge() {
    with_policy("alice veth lxcbr0 10\n", |world| {
        world.ip(&["address", "add", "10.8.0.1/24", "dev", "lxcbr0"]);
        let container = world.container(ALICE);
        let _nic = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).nic();
        container.ip(&["address", "add", "10.8.0.2/24", "dev", "eth0"]);
        container.ip(&["link", "set", "eth0", "up"]);
        let ping =
            world.run(container.command("/bin/busybox").args(["ping", "-c", "1", "-W", "5", "10.8.0.1"]));
        assert_eq!(ping.status, Some(0), "{ping:?}");
    });
}

#[test]
fn the_bridge_called_none_is_no_bridge() {
    with_policy("alice veth none 10\n", |world| {
        world.ip(&["link", "set", "lxcbr0", "mtu", "1400"]);
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "none", &["eth0"]).nic();
        let (inside, host) = (container.link("eth0"), world.host_link(&nic.host_name));
        assert_eq!((inside.index, host.index), (nic.container_index, nic.host_index));
        assert_eq!((inside.mtu, host.mtu, &*host.master), (1500, 1500, ""));
        assert!(!inside.is_up() && host.is_up() && host.mac.starts_with("fe:"), "{inside:?} {host:?}");
        assert_eq!(world.nics(), [format!("alice veth none {}", nic.host_name)]);
    });
}

#[test]
fn without_a_name_it_is_the_next_free_ethernet() {
    with_policy("alice veth lxcbr0 10\n", |world| {
        let container = world.container(ALICE);
        let create = |name: &[&str]| world.create(ALICE, &container, "veth", "lxcbr0", name).nic();
        assert_eq!(create(&[]).container_name, "eth0");
        assert_eq!(create(&[]).container_name, "eth1");
        assert_eq!(create(&["eth3"]).container_name, "eth3");
        assert_eq!(create(&[]).container_name, "eth2");
        assert_eq!(create(&[]).container_name, "eth4");
        container.delete_link("eth0");
        let nic = create(&[]);
        assert_eq!((&*nic.container_name, container.link("eth0").index), ("eth0", nic.container_index));
    });
}

/// Differs: an empty name is no name; C leaves its own temporary one.
#[test]
fn an_empty_name_is_no_name() {
    if theirs() {
        return;
    }
    with_policy("alice veth lxcbr0 10\n", |world| {
        let container = world.container(ALICE);
        assert_eq!(world.create(ALICE, &container, "veth", "lxcbr0", &[""]).nic().container_name, "eth0");
        assert_eq!(container.names(), ["eth0"]);
    });
}

#[test]
fn two_nics_in_one_container_are_two_lines_of_the_view() {
    with_policy("alice veth lxcbr0 10\nalice veth lxcbr1 10\n", |world| {
        world.bridge("lxcbr1");
        let container = world.container(ALICE);
        let first = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).nic();
        let second = world.create(ALICE, &container, "veth", "lxcbr1", &["wan"]).nic();
        assert_eq!(container.names(), ["eth0", "wan"]);
        assert_eq!(world.host_link(&first.host_name).master, "lxcbr0");
        assert_eq!(world.host_link(&second.host_name).master, "lxcbr1");
        let line = |bridge: &str, nic: &NicAnswer| format!("alice veth {bridge} {}", nic.host_name);
        assert_eq!(world.nics(), [line("lxcbr0", &first), line("lxcbr1", &second)]);
    });
}

#[test]
fn a_container_that_ends_takes_its_nic_along_and_the_view_forgets_it_at_the_next_create() {
    with_policy("alice veth lxcbr0 1\n", |world| {
        let mut container = world.container(ALICE);
        let first = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).nic();
        container.end();
        world.wait_until_gone(&first.host_name);
        let container = world.container(ALICE);
        let second = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).nic();
        assert_eq!(world.nics(), [format!("alice veth lxcbr0 {}", second.host_name)]);
        assert_eq!(world.host_veths(), [second.host_name]);
    });
}

#[test]
fn each_user_has_a_quota_of_his_own() {
    with_policy("alice veth lxcbr0 1\nbob veth lxcbr0 1\n", |world| {
        let (alices, bobs, carols) = (world.container(ALICE), world.container(BOB), world.container(CAROL));
        let first = world.create(ALICE, &alices, "veth", "lxcbr0", &[]).nic();
        let second = world.create(BOB, &bobs, "veth", "lxcbr0", &[]).nic();
        let before = world.state();
        refused_as_full(&world.create(ALICE, &alices, "veth", "lxcbr0", &[]));
        let stranger = world.create(CAROL, &carols, "veth", "lxcbr0", &[]);
        if theirs() {
            stranger.refuses("Quota reached"); // its only words
        } else {
            stranger.refuses("is not allowed");
        }
        assert_eq!(world.state(), before);
        assert_eq!((alices.names().len(), bobs.names().len(), carols.names().len()), (1, 1, 0));
        let owners = [("alice", first), ("bob", second)];
        assert_eq!(world.nics(), owners.map(|(user, nic)| format!("{user} veth lxcbr0 {}", nic.host_name)));
    });
}

/// Its uid is not the caller's; the user namespace is.
#[test]
fn the_target_may_run_as_a_subordinate_id() {
    with_policy("alice veth lxcbr0 10\n", |world| {
        let container = world.container_of_a_subordinate();
        let nic = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).nic();
        assert_eq!(container.link("eth0").index, nic.container_index);
        assert_eq!(world.host_link(&nic.host_name).master, "lxcbr0");
        assert_eq!(world.nics(), [format!("alice veth lxcbr0 {}", nic.host_name)]);
    });
}

/// liblxc blocks nearly all signals, and reads both streams from one pipe with one read.
#[test]
fn a_caller_may_block_all_signals_and_have_one_pipe_for_both_streams() {
    with_policy("alice veth lxcbr0 10\n", |world| {
        let container = world.container(ALICE);
        let pid = container.pid();
        let call = |name: &str, bridge: &str| {
            let mut command = world.launch(ALICE, &["block:all"], "/bin/sh");
            command.args(["-c", "exec \"$@\" 2>&1", "-", LXC_USER_NIC]);
            world.run(command.args(["create", "/dev/null", "dummy", &pid, "veth", bridge, name]))
        };
        let nic = call("eth0", "lxcbr0").nic();
        assert_eq!((&*nic.container_name, container.link("eth0").index), ("eth0", nic.container_index));
        let refused = call("eth1", "other");
        assert_eq!(refused.status, Some(1), "{refused:?}");
        assert!(!refused.stdout.is_empty());
        if !theirs() {
            assert_eq!(refused.stdout.lines().count(), 1, "{refused:?}");
        }
    });
}

/// Differs: C deletes ports of Open vSwitch only. The container is gone, its network namespace held by a descriptor
/// of the caller's, as liblxc does it.
#[test]
fn a_nic_is_deleted_by_a_descriptor_of_its_network_namespace() {
    with_policy("alice veth lxcbr0 10\n", |world| {
        let mut container = world.container(ALICE);
        let keep = format!("exec 9<{}; exec sleep 1000", container.netns());
        let monitor = world.plain_process_of(world.command(ALICE, "/bin/sh").args(["-c", &keep]));
        let kept = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).nic();
        let nic = world.create(ALICE, &container, "veth", "lxcbr0", &["eth1"]).nic();
        container.end();
        let netns = format!("/proc/{}/fd/9", monitor.pid());
        let before = world.state();
        let answer = world.delete(ALICE, &netns, "lxcbr0", &nic.host_name);
        if theirs() {
            answer.refuses("not implemented");
            assert_eq!(world.state(), before);
            return;
        }
        answer.succeeds();
        assert_eq!(world.host_veths(), [&*kept.host_name]);
        assert_eq!(world.nics(), [format!("alice veth lxcbr0 {}", kept.host_name)]);
        assert_eq!(world.ledger().len(), 1);
        // It is not there any more.
        let before = world.state();
        world.delete(ALICE, &netns, "lxcbr0", &nic.host_name).refuses("");
        assert_eq!(world.state(), before);
    });
}

/// Differs: see above. The place is free again at once.
#[test]
fn a_deleted_nic_counts_no_more() {
    if theirs() {
        return;
    }
    with_policy("alice veth lxcbr0 1\nalice veth none 1\n", |world| {
        let container = world.container(ALICE);
        for bridge in ["lxcbr0", "none"] {
            for _ in 0..3 {
                let nic = world.create(ALICE, &container, "veth", bridge, &["eth0"]).nic();
                refused_as_full(&world.create(ALICE, &container, "veth", bridge, &["eth1"]));
                world.delete(ALICE, &container.netns(), bridge, &nic.host_name).succeeds();
                assert_eq!((container.names().len(), world.host_veths().len()), (0, 0));
            }
        }
        assert_eq!((world.nics(), world.ledger()), (vec![], vec![]));
    });
}

/// More than are looked at where there is room: what is gone is found before anybody is refused.
#[test]
fn what_is_gone_takes_no_room_however_much_it_is() {
    const MANY: usize = 150;
    with_policy(&format!("alice veth lxcbr0 {MANY}\n"), |world| {
        for _ in 0..2 {
            let mut container = world.container(ALICE);
            let create = || world.create(ALICE, &container, "veth", "lxcbr0", &[]);
            let names = (0..MANY).map(|_| create().nic().host_name).collect::<Vec<_>>();
            refused_as_full(&create());
            assert_eq!(world.host_veths().len(), MANY);
            if !theirs() {
                assert_eq!(world.ledger().len(), MANY);
            }
            container.end();
            names.iter().for_each(|name| world.wait_until_gone(name));
        }
    });
}

/// So much of what is gone may stay in the ledger and the list, however many come and go.
#[test]
fn what_is_gone_leaves_the_ledger_and_the_list_in_time() {
    if theirs() {
        return;
    }
    with_policy("alice veth lxcbr0 2000\n", |world| {
        let mut container = world.container(ALICE);
        let create = |container: &Container| world.create(ALICE, container, "veth", "lxcbr0", &[]).nic();
        let names = (0..100).map(|_| create(&container).host_name).collect::<Vec<_>>();
        container.end();
        names.iter().for_each(|name| world.wait_until_gone(name));
        let container = world.container(ALICE);
        // Each looks at 64 of the 100 places, from one on that is drawn by lot: that one is left out by all of them happens once in
        // 10^11 times.
        let there = (0..30).map(|_| format!("alice veth lxcbr0 {}", create(&container).host_name));
        let mut there = there.collect::<Vec<_>>();
        let mut nics = world.nics();
        there.sort();
        nics.sort();
        assert_eq!((nics, world.ledger().len()), (there, 30));
    });
}

/// Differs: what C makes has room for as many as the host has processors, of which one is in use.
#[test]
fn each_end_has_one_queue() {
    if theirs() {
        return;
    }
    with_policy("alice veth lxcbr0 1\n", |world| {
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).nic();
        let ends = [
            world.ip(&["-d", "link", "show", &nic.host_name]),
            container.ip(&["-d", "link", "show", "eth0"]),
        ];
        for end in ends {
            assert!(end.contains(" numtxqueues 1 numrxqueues 1 "), "{end}");
        }
    });
}

/// Root's containers, with a user namespace and without, by a line of root's. Differs: C leaves the uid 0 out of the name
/// of the host end.
#[test]
fn root_is_a_caller_like_others() {
    with_policy("root veth lxcbr0 2\n", |world| {
        let without =
            world.container_of(world.command(ROOT, "/usr/bin/unshare").args(["-n", "sleep", "1000"]));
        let containers = [world.container(ROOT), without];
        for container in &containers {
            let nic = world.create(ROOT, container, "veth", "lxcbr0", &["eth0"]).nic();
            let host = world.host_link(&nic.host_name);
            assert_eq!((container.link("eth0").index, &*host.master), (nic.container_index, "lxcbr0"));
            if !theirs() {
                assert!(host.name.starts_with("veth0_") && host.name.len() == 10, "{host:?}");
                assert_eq!(host.alias, "nsgate:uid=0,owner=u0");
            }
            assert!(world.nics().contains(&format!("root veth lxcbr0 {}", host.name)), "{:?}", world.nics());
        }
        // Nor is he exempt.
        let before = world.state();
        let container = world.container(ROOT);
        refused_as_full(&world.create(ROOT, &container, "veth", "lxcbr0", &["eth0"]));
        world.usernet("alice veth lxcbr0 5\n");
        world.create(ROOT, &container, "veth", "lxcbr0", &["eth0"]).refuses(if theirs() {
            "Quota reached"
        } else {
            "is not allowed"
        });
        assert_eq!(world.state(), before);
    });
}

/// A group's line is one pool for all who are in it.
#[test]
fn a_group_line_is_a_pool_of_its_members() {
    with_policy("@builders veth lxcbr0 2\n", |world| {
        world.group("builders", 53000);
        let (alices, bobs) = (world.container(ALICE), world.container(BOB));
        let first = create_in_groups(world, ALICE, &[53000], &alices).nic();
        let second = create_in_groups(world, BOB, &[53000], &bobs).nic();
        assert!(first.host_name.starts_with("veth52001_") && second.host_name.starts_with("veth52002_"));
        let lines = [&first, &second].map(|nic| format!("@builders veth lxcbr0 {}", nic.host_name));
        assert_eq!(world.nics(), lines);
        let before = world.state();
        for (user, container) in [(ALICE, &alices), (BOB, &bobs)] {
            refused_as_full(&create_in_groups(world, user, &[53000], container));
        }
        assert_eq!(world.state(), before);
        if theirs() {
            return;
        }
        for (nic, uid) in [(&first, 52001), (&second, 52002)] {
            let alias = format!("nsgate:uid={uid},owner=g53000");
            assert_eq!(world.host_link(&nic.host_name).alias, alias);
        }
        let none = "uid 52001 has made none of that name on lxcbr0 in a quota of his or of a group that this process is in";
        world.delete(ALICE, &alices.netns(), "lxcbr0", &first.host_name).refuses(none);
        assert!(world.ledger().iter().all(|record| record.quota == "g53000.veth.lxcbr0"));
    });
}

/// His own line first, then his groups'.
#[test]
fn a_user_whose_line_is_full_goes_on_with_his_groups() {
    with_policy("alice veth lxcbr0 1\n@builders veth lxcbr0 1\n@testers veth lxcbr0 1\n", |world| {
        world.group("builders", 53000);
        world.group("testers", 53001);
        let container = world.container(ALICE);
        for owner in ["alice", "@builders", "@testers"] {
            let nic = create_in_groups(world, ALICE, &[53000, 53001], &container).nic();
            assert_eq!(world.nics().last(), Some(&format!("{owner} veth lxcbr0 {}", nic.host_name)));
        }
        refused_as_full(&create_in_groups(world, ALICE, &[53000, 53001], &container));
        assert_eq!(container.names().len(), 3);
    });
}

/// Differs: Debian's C helper crashes at any group line that the caller is not in; and for C the group that a user logs in
/// with is none of his groups.
#[test]
fn groups_that_the_caller_is_not_in_are_nothing_to_him() {
    if theirs() {
        return;
    }
    with_policy("@builders veth lxcbr0 5\n@nogroup veth lxcbr0 5\n@nowhere veth lxcbr0 5\n", |world| {
        world.group("builders", 53000);
        let container = world.container(ALICE);
        let before = world.state();
        // 53999 has no name.
        for groups in [&[][..], &[53001], &[53999, 53998]] {
            create_in_groups(world, ALICE, groups, &container).refuses("is not allowed");
        }
        assert_eq!(world.state(), before);
        assert!(create_in_groups(world, ALICE, &[53999, 53000], &container).status == Some(0));
        world.append("/etc/lxc/lxc-usernet", "alice veth lxcbr0 1\n");
        let nic = create_in_groups(world, ALICE, &[], &container).nic();
        assert_eq!(world.nics().last(), Some(&format!("alice veth lxcbr0 {}", nic.host_name)));
    });
}

/// Differs: see above.
#[test]
fn the_group_that_a_user_logs_in_with_is_one_of_his() {
    if theirs() {
        return;
    }
    with_policy("@alice veth lxcbr0 1\n", |world| {
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "lxcbr0", &[]).nic();
        assert_eq!(world.nics(), [format!("@alice veth lxcbr0 {}", nic.host_name)]);
        refused_as_full(&world.create(ALICE, &container, "veth", "lxcbr0", &[]));
        let before = world.state();
        let bobs = world.container(BOB);
        world.create(BOB, &bobs, "veth", "lxcbr0", &[]).refuses("is not allowed");
        assert_eq!(world.state(), before);
    });
}

/// Differs: C goes by the order of the file alone. The user's own line comes first, wherever it stands.
#[test]
fn the_users_own_line_is_charged_before_his_groups() {
    if theirs() {
        return;
    }
    with_policy("@builders veth lxcbr0 1\nalice veth lxcbr0 1\n", |world| {
        world.group("builders", 53000);
        let container = world.container(ALICE);
        for owner in ["alice", "@builders"] {
            let nic = create_in_groups(world, ALICE, &[53000], &container).nic();
            assert!(world.nics().contains(&format!("{owner} veth lxcbr0 {}", nic.host_name)), "{owner}");
        }
    });
}

/// Nothing but the refusal is left of a call that is refused.
#[test]
fn a_refusal_changes_nothing() {
    with_policy("alice veth lxcbr0 10\nalice veth nosuchbr 10\nalice veth plain0 10\n", |world| {
        world.ip(&["link", "add", "plain0", "type", "veth", "peer", "plain1"]);
        let (alices, bobs) = (world.container(ALICE), world.container(BOB));
        let before = world.state();
        world.create(ALICE, &alices, "veth", "nosuchbr", &[]).refuses("");
        world.create(ALICE, &alices, "veth", "plain0", &[]).refuses("");
        world.create(ALICE, &alices, "veth", "other", &[]).refuses("");
        world.create(ALICE, &bobs, "veth", "lxcbr0", &[]).refuses("");
        world.create(BOB, &alices, "veth", "lxcbr0", &[]).refuses("");
        assert_eq!(world.state(), before);
        assert_eq!((alices.names().len(), bobs.names().len()), (0, 0));
    });
}

/// rootlesskit's call.
#[test]
fn the_container_may_be_any_process_in_it() {
    with_policy("alice veth lxcbr0 10\n", |world| {
        let container = world.container(ALICE);
        let mut enter = world.command(ALICE, "/usr/bin/nsenter");
        enter.args(["-t", &container.pid(), "-U", "-n", "--preserve-credentials", "sleep", "1000"]);
        let second = world.container_of(&mut enter);
        let nic = world.create(ALICE, &second, "veth", "lxcbr0", &["eth0"]).nic();
        assert_eq!(container.link("eth0").index, nic.container_index);
    });
}

/// Runs `create` as this user, on a kernel that does not show what it has made: the `nth` message that asks for that no longer
/// does. Which one that is, and how long, is known by what somebody else has asked for.
fn create_unseen(
    world: &World,
    user: User,
    container: &Container,
    bridge: &str,
    (trace, nth): (&str, usize),
) -> Answer {
    let (place, message) = trace
        .lines()
        .enumerate()
        .filter(|(_, call)| call.contains("NLM_F_ECHO"))
        .nth(nth)
        .unwrap_or_else(|| panic!("{trace}"));
    let length =
        message.split("nlmsg_len=").nth(1).and_then(|rest| rest.split(',').next()).expect("a length");
    let length: u32 = length.parse().expect("a number");
    // Length, RTM_NEWLINK, and all flags but that one: NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE.
    let header = format!("{:08x}10000506", length.swap_bytes());
    let inject = format!("inject=sendto:poke_enter=@arg2={header}:when={}", place + 1);
    traced(world, user, container, bridge, &["-e", &inject]).0
}

/// `create` as this user, and its messages.
fn traced(
    world: &World,
    user: User,
    container: &Container,
    bridge: &str,
    options: &[&str],
) -> (Answer, String) {
    let options = [&["-qq", "-o", "/run/trace", "-e", "trace=sendto"], options].concat();
    let args = ["create", "/dev/null", "dummy", &container.pid(), "veth", bridge];
    let answer = world.run(world.strace(user, &options, LXC_USER_NIC).args(args));
    (answer, fs::read_to_string("/run/trace").expect("trace"))
}

/// Before 6.2 the kernel does not show what it has made: then it is asked for it by name.
#[test]
fn what_an_older_kernel_has_made_is_asked_for() {
    if theirs() {
        return;
    }
    let ini = "[per-user-bridge]\ncreate = yes\n";
    // Of the messages that ask to be shown something, the pair's; the bridge's, before it.
    for (policy, ini, nth) in
        [("{} veth lxcbr0 1\n", "", 0), ("{} veth nsbr-%u 1\n", ini, 0), ("{} veth nsbr-%u 1\n", ini, 1)]
    {
        let policy = ["alice", "bob"].map(|name| policy.replace("{}", name)).concat();
        with_policy(&policy, |world| {
            world.write("/etc/nsgate.ini", ini);
            let bridge =
                |user: User| if ini.is_empty() { "lxcbr0".to_owned() } else { format!("nsbr-{}", user.id) };
            let (bobs, container) = (world.container(BOB), world.container(ALICE));
            let (answer, trace) = traced(world, BOB, &bobs, &bridge(BOB), &[]);
            let bobs_nic = answer.nic();

            let nic = create_unseen(world, ALICE, &container, &bridge(ALICE), (&trace, nth)).nic();
            let now = fs::read_to_string("/run/trace").expect("trace");
            assert_eq!(now.matches("NLM_F_ECHO").count() + 1, trace.matches("NLM_F_ECHO").count(), "{now}");
            let host = world.host_link(&nic.host_name);
            assert_eq!((container.link("eth0").index, host.index), (nic.container_index, nic.host_index));
            assert_eq!((&*host.alias, host.is_up()), ("nsgate:uid=52001,owner=u52001", true));
            assert_eq!(host.master, bridge(ALICE));
            assert_eq!(world.nics()[1..], [format!("alice veth {} {}", bridge(ALICE), nic.host_name)]);
            let veths = [bobs_nic.host_name, nic.host_name.clone()];
            assert!(
                world.host_veths().iter().all(|veth| veths.contains(veth)) && container.names() == ["eth0"]
            );
            let quota = format!("u52001.veth.{}", bridge(ALICE));
            let record = world.ledger().into_iter().find(|record| record.quota == quota).expect("a record");
            assert_eq!(record.fields[..3], ["+", &*nic.host_name, &*nic.host_index.to_string()]);
            if !ini.is_empty() {
                let made = world.host_link(&bridge(ALICE));
                assert_eq!((&*made.alias, made.is_up()), ("nsgate:bridge,uid=52001", true));
                let records = world.ledger().into_iter().filter(|record| record.quota == "bridges");
                let counted = records.map(|record| (record.fields[1].clone(), record.fields[2].clone()));
                assert!(counted.into_iter().any(|it| it == (made.name.clone(), made.index.to_string())));
            }
            refused_as_full(&world.create(ALICE, &container, "veth", &bridge(ALICE), &[]));
        });
    }
}

/// A quota is free as soon as its container is: the kernel takes a moment to remove its interface, and the next `create` waits
/// for that. Differs: C refuses it.
#[test]
fn a_container_that_has_just_ended_leaves_room_for_the_next() {
    if theirs() {
        return;
    }
    with_policy("alice veth none 1\n", |world| {
        for _ in 0..5 {
            let mut container = world.container(ALICE);
            let _nic = world.create(ALICE, &container, "veth", "none", &[]).nic();
            let next = world.container(ALICE);
            container.end();
            let _nic = world.create(ALICE, &next, "veth", "none", &[]).nic();
            next.delete_link("eth0");
        }
    });
}
