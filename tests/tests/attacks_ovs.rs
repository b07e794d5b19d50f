//! Section K of the attack list: `lxc-user-nic` on a bridge of Open vSwitch, which is real here (user-space
//! datapath), and with an `ovs-vsctl` that hangs, lies or kills. Whatever that program does, nothing is left
//! that no quota counts, and nobody else waits for it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use world::ovs::{Call, Does, OVS_VSCTL, Ovs};
use world::{
    ALICE, Answer, BOB, CAROL, Container, LXC_USER_NIC, NOBODY_AT_ALL, NicAnswer, ROOT, User, World, theirs,
};

/// A switch with one bridge, where Alice and Bob may have ten ports each.
fn enter(test: impl FnOnce(&World, &Ovs) + Send) {
    World::enter_with_nic(|world| {
        let ovs = Ovs::start(world);
        ovs.bridge("ovsbr0");
        world.usernet("alice veth ovsbr0 10\nbob veth ovsbr0 10\n");
        test(world, &ovs);
    });
}

/// The same, where Alice may have one port and Bob none: what is left behind shows at once.
fn enter_with_one_place(test: impl FnOnce(&World, &Ovs) + Send) {
    enter(|world, ovs| {
        world.usernet("alice veth ovsbr0 1\n");
        test(world, ovs);
    });
}

/// Alice's `create` on `ovsbr0`.
fn create(world: &World, container: &Container) -> Answer {
    world.create(ALICE, container, "veth", "ovsbr0", &[])
}

/// Alice's `delete` on `ovsbr0`.
fn delete(world: &World, container: &Container, nic: &NicAnswer) -> Answer {
    world.delete(ALICE, &container.netns(), "ovsbr0", &nic.host_name)
}

/// Neither interface, nor port, nor record.
#[track_caller]
fn assert_nothing_left(world: &World, ovs: &Ovs) {
    assert_eq!(world.host_veths(), [""; 0]);
    assert_eq!(ovs.ports("ovsbr0"), [""; 0]);
    assert_eq!((world.nics(), world.ledger()), (vec![], vec![]));
}

/// This interface and nothing else.
#[track_caller]
fn assert_only(world: &World, ovs: &Ovs, nic: &NicAnswer) {
    assert_eq!(world.host_veths(), [&*nic.host_name]);
    assert_eq!(ovs.ports("ovsbr0"), [&*nic.host_name]);
    assert!(ovs.ofport(&nic.host_name).is_some());
    assert_eq!(world.nics(), [format!("alice veth ovsbr0 {}", nic.host_name)]);
    if !theirs() {
        let names = world.ledger().into_iter().map(|record| record.fields[1].clone()).collect::<Vec<_>>();
        assert_eq!(names, [&*nic.host_name]);
    }
}

/// Refused, for another reason than the quota. Differs: C calls every failure a quota that is reached.
#[track_caller]
fn assert_refused(answer: &Answer) {
    answer.refuses("");
    assert!(theirs() || !answer.stderr.contains("Quota reached"), "{answer:?}");
}

/// Differs: C's `delete` removes the port alone, and neither the interface nor the record.
#[test]
fn a_port_is_made_and_removed() {
    enter(|world, ovs| {
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "ovsbr0", &["net0"]).nic();
        assert_eq!(nic.container_name, "net0");
        assert_only(world, ovs, &nic);
        let (inner, outer) = (container.link("net0"), world.host_link(&nic.host_name));
        assert_eq!((inner.index, outer.index), (nic.container_index, nic.host_index));
        assert_eq!((inner.is_up(), outer.is_up()), (false, true));
        assert_eq!((inner.mtu, outer.mtu), (1500, 1500));
        assert!(outer.mac.starts_with("fe:"), "{outer:?}");
        assert!(nic.host_name.starts_with("veth52001_"), "{nic:?}");
        if !theirs() {
            let record = &world.ledger()[0];
            assert_eq!(record.quota, "u52001.veth.ovsbr0");
            let index = nic.host_index.to_string();
            assert_eq!(record.fields[..4], ["+", &*nic.host_name, &*index, "52001"]);
        }

        delete(world, &container, &nic).succeeds();
        assert_eq!(ovs.ports("ovsbr0"), [""; 0]);
        if !theirs() {
            assert_nothing_left(world, ovs);
            assert_eq!(container.names(), [""; 0]);
        }
    });
}

/// The host end has no address of its own and tells whose it is, as on any other bridge. Differs: C's is as
/// the kernel makes it.
#[test]
fn a_port_is_labelled_and_has_no_ipv6() {
    if theirs() {
        return;
    }
    enter(|world, _| {
        let container = world.container(ALICE);
        let nic = create(world, &container).nic();
        let link = world.host_link(&nic.host_name);
        assert_eq!(link.alias, "nsgate:uid=52001,owner=u52001");
        assert!(link.detail.contains(" addrgenmode none "), "{link:?}");
        for (name, value) in [("disable_ipv6", "1"), ("accept_ra", "0")] {
            let path = format!("/proc/sys/net/ipv6/conf/{}/{name}", nic.host_name);
            assert_eq!(fs::read_to_string(path).expect(name).trim(), value, "{name}");
        }
        assert_eq!(world.ip(&["-6", "addr", "show", "dev", &nic.host_name]), "");
    });
}

#[test]
fn packets_pass_between_containers_and_to_the_host() {
    enter(|world, _| {
        world.ip(&["address", "add", "10.52.0.1/24", "dev", "ovsbr0"]);
        let containers = [(ALICE, "10.52.0.2"), (BOB, "10.52.0.3")].map(|(user, address)| {
            let container = world.container(user);
            drop(world.create(user, &container, "veth", "ovsbr0", &["eth0"]).nic());
            container.ip(&["address", "add", &format!("{address}/24"), "dev", "eth0"]);
            container.ip(&["link", "set", "eth0", "up"]);
            container
        });
        for (from, to) in [(0, "10.52.0.1"), (0, "10.52.0.3"), (1, "10.52.0.2")] {
            let mut ping = containers[from].command("/usr/bin/busybox");
            let answer = world.run(ping.args(["ping", "-c", "1", "-W", "10", to]));
            assert_eq!(answer.status, Some(0), "{answer:?}");
        }
    });
}

#[test]
fn both_ends_have_the_mtu_of_the_bridge() {
    enter(|world, ovs| {
        ovs.vsctl(&["set", "interface", "ovsbr0", "mtu_request=1400"]);
        assert_eq!(world.host_link("ovsbr0").mtu, 1400);
        let container = world.container(ALICE);
        let nic = create(world, &container).nic();
        assert_eq!((container.link("eth0").mtu, world.host_link(&nic.host_name).mtu), (1400, 1400));
    });
}

/// A fake bridge is a VLAN of a real one. It is how an admin can give users a VLAN without a word of ours.
#[test]
fn a_fake_bridge_gives_its_ports_its_vlan() {
    enter(|world, ovs| {
        ovs.vsctl(&["add-br", "vlan10", "ovsbr0", "10"]);
        world.usernet("alice veth vlan10 1\n");
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "vlan10", &[]).nic();
        assert_eq!(ovs.ports("vlan10"), [&*nic.host_name]);
        assert_eq!(ovs.vsctl(&["get", "port", &nic.host_name, "tag"]).trim(), "10");
        world.delete(ALICE, &container.netns(), "vlan10", &nic.host_name).succeeds();
        assert_eq!(ovs.ports("vlan10"), [""; 0]);
    });
}

/// Open vSwitch keeps the port of an interface that is gone, and makes it work again if one of that name
/// comes. Differs: C leaves them all.
#[test]
fn ports_of_dead_containers_are_removed_when_their_place_is_taken_again() {
    if theirs() {
        return;
    }
    enter_with_one_place(|world, ovs| {
        world.ip(&["tuntap", "add", "dev", "uplink0", "mode", "tap"]);
        ovs.vsctl(&["add-port", "ovsbr0", "uplink0"]);
        for _ in 0..3 {
            let mut container = world.container(ALICE);
            let nic = create(world, &container).nic();
            let ports = ovs.ports("ovsbr0").into_iter().collect::<BTreeSet<_>>();
            assert_eq!(ports, BTreeSet::from(["uplink0".to_owned(), nic.host_name.clone()]));
            container.end();
            world.wait_until_gone(&nic.host_name);
        }
    });
}

/// A record is believed only by who has its lock: its port is not removed in somebody else's hands, though its interface is gone.
#[test]
fn what_somebody_is_at_work_on_is_not_tidied_away() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        let container = world.container(ALICE);
        let gone = create(world, &container).nic();
        container.delete_link(&gone.container_name);
        let table = format!("{}/u52001.veth.ovsbr0", world.tables());
        let script = "import fcntl, sys, time\nf = open(sys.argv[1], 'r+b')\nfcntl.lockf(f, fcntl.LOCK_EX, 64)\n\
                      print(flush=True)\ntime.sleep(99)";
        let mut holder = world.command(ROOT, "/usr/bin/python3");
        holder.args(["-I", "-c", script, &table]).stdout(Stdio::piped());
        let mut holder = holder.spawn().expect("python3");
        holder.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("locked");
        let second = create(world, &container).nic();
        let ports = |names: [&NicAnswer; 2]| BTreeSet::from(names.map(|nic| nic.host_name.clone()));
        assert_eq!(BTreeSet::from_iter(ovs.ports("ovsbr0")), ports([&gone, &second]));
        holder.kill().expect("kill");
        holder.wait().expect("wait");
        let third = create(world, &container).nic();
        assert_eq!(BTreeSet::from_iter(ovs.ports("ovsbr0")), ports([&second, &third]));
    });
}

/// The same of a container that lives on without its interface. Differs: C frees the place, and leaves the
/// port.
#[test]
fn an_interface_deleted_from_inside_frees_its_place_and_its_port() {
    if theirs() {
        return;
    }
    enter_with_one_place(|world, ovs| {
        let container = world.container(ALICE);
        drop(create(world, &container).nic());
        container.delete_link("eth0");
        let nic = create(world, &container).nic();
        assert_only(world, ovs, &nic);

        // And delete, if that comes first.
        container.delete_link("eth0");
        delete(world, &container, &nic).succeeds();
        assert_nothing_left(world, ovs);
    });
}

/// Differs: with C, a port that was deleted counts until its container ends.
#[test]
fn a_quota_counts_ports() {
    enter(|world, ovs| {
        world.usernet("alice veth ovsbr0 2\n");
        let container = world.container(ALICE);
        let first = create(world, &container).nic();
        drop(create(world, &container).nic());
        let before = (world.state(), ovs.ports("ovsbr0"));
        create(world, &container).refuses("Quota reached");
        assert_eq!((world.state(), ovs.ports("ovsbr0")), before);

        delete(world, &container, &first).succeeds();
        if !theirs() {
            drop(create(world, &container).nic());
            create(world, &container).refuses("Quota reached");
            assert_eq!(ovs.ports("ovsbr0").len(), 2);
        }
    });
}

/// J10, for ports.
#[test]
fn of_many_at_once_as_many_succeed_as_the_quota_allows() {
    enter(|world, ovs| {
        world.usernet("alice veth ovsbr0 5\n");
        let container = world.container(ALICE);
        let answers = std::thread::scope(|scope| {
            let calls = [(); 15].map(|()| scope.spawn(|| create(world, &container)));
            calls.map(|call| call.join().expect("join"))
        });
        let (made, refused) = answers.iter().partition::<Vec<_>, _>(|answer| answer.status == Some(0));
        for answer in &refused {
            answer.refuses("Quota reached");
        }
        let mut names = made.iter().map(|answer| answer.nic().host_name).collect::<Vec<_>>();
        assert_eq!(names.len(), 5, "{answers:?}");
        names.sort();
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        assert_eq!(sorted(world.host_veths()), names);
        assert_eq!(sorted(ovs.ports("ovsbr0")), names);
        assert_eq!(world.nics().len(), 5);
    });
}

/// J08, for bridges of Open vSwitch. Differs: C counts the ports of all bridges.
#[test]
fn a_quota_is_for_one_bridge() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        ovs.bridge("ovsbr1");
        world.bridge("lxcbr0");
        world.usernet("alice veth ovsbr0 1\nalice veth ovsbr1 1\nalice veth lxcbr0 1\n");
        let container = world.container(ALICE);
        for bridge in ["ovsbr0", "ovsbr1", "lxcbr0"] {
            let nic = world.create(ALICE, &container, "veth", bridge, &[]).nic();
            world.create(ALICE, &container, "veth", bridge, &[]).refuses("Quota reached");
            match bridge {
                "lxcbr0" => assert_eq!(world.host_link(&nic.host_name).master, bridge),
                ovs_bridge => assert_eq!(ovs.ports(ovs_bridge), [nic.host_name]),
            }
        }
    });
}

/// K06: the kernel decides what a bridge is.
#[test]
fn a_kernel_bridge_is_never_taken_for_one_of_open_vswitch() {
    World::enter_with_nic(|world| {
        let ovs = Ovs::start(world);
        world.bridge("br0");
        // It says that it could not open the device, and has the bridge all the same.
        ovs.vsctl(&["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]);
        assert!(ovs.try_vsctl(&["br-exists", "br0"]));
        ovs.stand_in(&[]);
        world.usernet("alice veth br0 1\n");
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "br0", &[]).nic();
        assert_eq!(world.host_link(&nic.host_name).master, "br0");
        let answer = world.delete(ALICE, &container.netns(), "br0", &nic.host_name);
        if theirs() {
            answer.refuses("not implemented");
        } else {
            answer.succeeds();
            assert_eq!((world.host_veths(), world.ledger()), (vec![], vec![]));
        }
        assert_eq!((ovs.ports("br0"), ovs.calls()), (vec![], vec![]));
    });
}

/// K06: `ovs-system`, which is called `ovs-netdev` here, is a device and no bridge. Nor is a port one.
#[test]
fn neither_a_port_nor_the_datapaths_own_device_is_a_bridge() {
    enter(|world, ovs| {
        world.ip(&["tuntap", "add", "dev", "uplink0", "mode", "tap"]);
        ovs.vsctl(&["add-port", "ovsbr0", "uplink0"]);
        world.ip(&["tuntap", "add", "dev", "tap0", "mode", "tap"]);
        let container = world.container(ALICE);
        for name in ["ovs-netdev", "uplink0", "tap0", "lo"] {
            world.usernet(format!("alice veth {name} 1\n"));
            let before = (world.state(), ovs.ports("ovsbr0"));
            let answer = world.create(ALICE, &container, "veth", name, &[]);
            assert_refused(&answer);
            if !theirs() {
                answer.refuses("not a bridge");
            }
            assert_eq!((world.state(), ovs.ports("ovsbr0")), before);
        }
    });
}

/// K06. What became of the bridge does not matter to who has an interface on it: that goes, and so does its
/// record. Differs: C deletes from Open vSwitch alone.
#[test]
fn an_interface_can_be_deleted_when_the_bridge_is_of_another_kind_now() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        let container = world.container(ALICE);
        let nic = create(world, &container).nic();
        ovs.vsctl(&["del-br", "ovsbr0"]);
        world.bridge("ovsbr0");
        delete(world, &container, &nic).succeeds();
        assert_eq!((world.host_veths(), world.nics(), world.ledger()), (vec![], vec![], vec![]));

        let nic = create(world, &container).nic();
        assert_eq!(world.host_link(&nic.host_name).master, "ovsbr0");
        world.ip(&["link", "del", "ovsbr0"]);
        ovs.bridge("ovsbr0");
        delete(world, &container, &nic).succeeds();
        assert_nothing_left(world, ovs);
    });
}

/// K06. The same of what a dead container has left, even where there is no Open vSwitch any more. Differs: as
/// above.
#[test]
fn a_bridge_of_another_kind_can_be_used_at_once() {
    if theirs() {
        return;
    }
    for removed in [false, true] {
        enter_with_one_place(|world, ovs| {
            let mut container = world.container(ALICE);
            let nic = create(world, &container).nic();
            container.end();
            world.wait_until_gone(&nic.host_name);
            ovs.vsctl(&["del-br", "ovsbr0"]);
            world.bridge("ovsbr0");
            if removed {
                ovs.remove_vsctl();
            }
            let container = world.container(ALICE);
            let nic = create(world, &container).nic();
            assert_eq!(world.host_link(&nic.host_name).master, "ovsbr0");
        });
    }
}

#[test]
fn a_bridge_that_nobody_knows_is_refused() {
    enter(|world, _| {
        world.usernet("alice veth ovsbr7 1\n");
        let container = world.container(ALICE);
        let before = world.state();
        let answer = world.create(ALICE, &container, "veth", "ovsbr7", &[]);
        assert_refused(&answer);
        if !theirs() {
            answer.refuses("no such bridge");
        }
        assert_eq!(world.state(), before);
    });
}

#[test]
fn a_bridge_of_the_kernel_needs_no_ovs_vsctl() {
    World::enter_with_nic(|world| {
        let ovs = Ovs::start(world);
        ovs.remove_vsctl();
        world.bridge("lxcbr0");
        world.usernet("alice veth lxcbr0 1\n");
        let nic = world.create(ALICE, &world.container(ALICE), "veth", "lxcbr0", &[]).nic();
        assert!(nic.host_name.starts_with("veth52001_"));
    });
}

#[test]
fn without_a_line_ovs_vsctl_is_not_even_asked() {
    enter(|world, ovs| {
        ovs.stand_in(&[]);
        let container = world.container(CAROL);
        let before = world.state();
        assert_refused(&world.create(CAROL, &container, "veth", "ovsbr0", &[]));
        // Nor without power over the network namespace, nor when the quota is full.
        let stranger = world.container(BOB);
        assert_refused(&create(world, &stranger));
        assert_eq!(world.state().links, before.links);
        world.usernet("alice veth ovsbr0 0\n");
        world.create(ALICE, &world.container(ALICE), "veth", "ovsbr0", &[]).refuses("");
        assert_eq!(ovs.calls(), []);
    });
}

/// K01. Differs: C has its own PATH and that in the environment, and no `--`.
#[test]
fn ovs_vsctl_is_called_by_its_path_with_an_empty_environment() {
    enter(|world, ovs| {
        ovs.stand_in(&[]);
        symlink("/usr/bin/false", "/home/alice/ovs-vsctl").expect("symlink");
        let container = world.container(ALICE);
        let oddities = [
            "cwd:/home/alice",
            "rawenv:PATH=/home/alice:.",
            "env:LD_PRELOAD=/home/alice/evil.so",
            "env:LD_AUDIT=/home/alice/evil.so",
            "env:OVS_RUNDIR=/home/alice",
            "env:OVS_DBDIR=/home/alice",
            "env:GCONV_PATH=/home/alice",
        ];
        let mut command = world.launch(ALICE, &oddities, LXC_USER_NIC);
        command.args(["create", "/dev/null", "dummy", &container.pid(), "veth", "ovsbr0"]);
        let nic = world.run(&mut command).nic();
        assert_eq!(ovs.ports("ovsbr0"), [&*nic.host_name]);
        delete(world, &container, &nic).succeeds();

        let calls = ovs.calls();
        assert!(calls.iter().any(|call| call.args.contains(&"add-port".to_owned())), "{calls:?}");
        assert!(calls.iter().any(|call| call.args.contains(&"del-port".to_owned())), "{calls:?}");
        for call in calls {
            assert_eq!(call.path, OVS_VSCTL);
            if theirs() {
                continue;
            }
            assert_eq!(call.environment, [""; 0]);
            // It ends by itself, should its helper be killed.
            assert_eq!(call.args[0], "--timeout=6");
            // No option can come from a name, whatever that is.
            let place = |word: &str| call.args.iter().position(|arg| arg == word);
            let name = place("ovsbr0").into_iter().chain(place(&nic.host_name)).min();
            let options_end = place("--").expect("--");
            assert!(name.is_none_or(|name| options_end < name), "{call:?}");
        }
    });
}

/// Calls by Alice in a process with everything that a caller can give it, and somebody else's stdout.
fn calls_of_a_hostile_caller(world: &World, ovs: &Ovs) -> Vec<Call> {
    ovs.stand_in(&[]);
    let container = world.container(ALICE);
    let oddities = [
        "open:0=rw:/home/alice/in",
        "open:7=r:/etc/passwd",
        "open:9=rw:/home/alice/in",
        "open:200=r:/etc/group",
        "umask:0777",
        "block:all",
        "ignore:SIGCHLD",
        "ignore:SIGALRM",
        "ignore:SIGTERM",
        "cwd:/home/alice",
        "rlimit:CORE=inf",
        "rlimit:NOFILE=300",
        "rlimit:FSIZE=100000:inf",
        "rlimit:CPU=7:inf",
    ];
    fs::write("/home/alice/in", "").expect("write");
    chown("/home/alice/in", Some(ALICE.id), Some(ALICE.id)).expect("chown");
    let run = |args: &[&str]| world.run(world.launch(ALICE, &oddities, LXC_USER_NIC).args(args));
    let nic = run(&["create", "/dev/null", "dummy", &container.pid(), "veth", "ovsbr0"]).nic();
    let netns = container.netns();
    run(&["delete", "/dev/null", "dummy", &netns, "veth", "ovsbr0", &nic.host_name]).succeeds();
    let calls = ovs.calls();
    assert!(calls.len() > 1, "{calls:?}");
    calls
}

/// K04. Differs: of C's, `ovs-vsctl` inherits the caller's descriptors and that of the database. Of ours, what changes a port
/// inherits the lock on the place of that port, and nothing else.
#[test]
fn ovs_vsctl_inherits_no_descriptor_but_the_lock() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        for call in calls_of_a_hostile_caller(world, ovs) {
            let more: Vec<&String> =
                call.descriptors.iter().filter(|(number, _)| **number > 2).map(|(_, what)| what).collect();
            let changes_a_port =
                ["add-port", "del-port"].iter().any(|word| call.args.iter().any(|arg| arg == word));
            assert_eq!(more.len(), usize::from(changes_a_port), "{call:?}");
            assert!(more.iter().all(|what| what.ends_with("/u52001.veth.ovsbr0")), "{call:?}");
            assert_eq!(call.descriptors[&0], "/dev/null", "{call:?}");
        }
    });
}

/// K01: nor anything else. With the caller's signal mask its own timeout would not work; with his user ids he
/// could stop it. Differs: C hands on all but the environment.
#[test]
fn ovs_vsctl_inherits_nothing_else_of_the_callers() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        for call in calls_of_a_hostile_caller(world, ovs) {
            let status = |name: &str| &*call.status[name];
            assert_eq!(status("Uid"), "0 0 0 0");
            assert_eq!(status("SigBlk"), "0000000000000000");
            // The helper itself ignores SIGPIPE and SIGXFSZ; and its C library has a use for signal 32.
            let ignored = u64::from_str_radix(status("SigIgn"), 16).expect("a mask");
            assert_eq!(ignored & !(1 << 12 | 1 << 24 | 1 << 31), 0, "{ignored:x}");
            assert_ne!(status("Umask"), "0777");
            assert_eq!(call.limits["Max core file size"], "0");
            assert_ne!(call.limits["Max cpu time"], "7");
            assert_ne!(call.limits["Max file size"], "100000");
        }
    });
}

/// On Fedora the switch is a user of its own, and its socket is that user's: root reaches it by a capability,
/// which the helper has given up and `ovs-vsctl` must have.
#[test]
fn a_switch_of_another_users_is_reached() {
    enter(|world, ovs| {
        for path in ["/run/openvswitch", "/run/openvswitch/db.sock"] {
            chown(path, Some(NOBODY_AT_ALL.id), Some(NOBODY_AT_ALL.id)).expect("chown");
            fs::set_permissions(path, fs::Permissions::from_mode(0o750)).expect("chmod");
        }
        let container = world.container(ALICE);
        let nic = create(world, &container).nic();
        assert_only(world, ovs, &nic);
        delete(world, &container, &nic).succeeds();
        assert_eq!(ovs.ports("ovsbr0"), [""; 0]);
    });
}

/// K01. A name is one argument, whatever it means to a shell.
#[test]
fn no_shell_sees_a_name() {
    enter(|world, ovs| {
        for name in ["a;b$c", "`id>x`", "$(id)", "*?[a]", "a|b&c", "a'b", "brücke"] {
            world.usernet(format!("alice veth {name} 1\n"));
            let mut container = world.container(ALICE);
            assert_refused(&world.create(ALICE, &container, "veth", name, &[]));
            ovs.bridge(name);
            let nic = world.create(ALICE, &container, "veth", name, &[]).nic();
            assert_eq!(ovs.ports(name), [&*nic.host_name]);
            world.delete(ALICE, &container.netns(), name, &nic.host_name).succeeds();
            assert_eq!(ovs.ports(name), [""; 0]);
            // C's counts until then.
            container.end();
            world.wait_until_gone(&nic.host_name);
        }
    });
}

/// K01. Differs: of C, this is not asked.
#[test]
fn a_leading_dash_never_reaches_ovs_vsctl() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        let container = world.container(ALICE);
        let nic = create(world, &container).nic();
        let before = (world.state(), ovs.ports("ovsbr0"));
        ovs.stand_in(&[]);
        for name in ["-", "--", "-ovsbr0", "--no-wait", "--db=tcp:1.2.3.4"] {
            world.usernet(format!("alice veth {name} 5\nalice veth ovsbr0 10\n"));
            assert_refused(&world.create(ALICE, &container, "veth", name, &[]));
            assert_refused(&world.delete(ALICE, &container.netns(), name, &nic.host_name));
            assert_refused(&world.delete(ALICE, &container.netns(), "ovsbr0", name));
        }
        assert_eq!(ovs.calls(), []);
        assert_eq!((world.state(), ovs.ports("ovsbr0")), before);
    });
}

/// J19. What is refused is the name, the bridge and the user that do not fit the record.
#[test]
fn only_the_owner_deletes_and_only_by_the_exact_names() {
    enter(|world, ovs| {
        ovs.bridge("ovsbr1");
        world.usernet("alice veth ovsbr0 10\nalice veth ovsbr1 10\nbob veth ovsbr0 10\nbob veth ovsbr1 10\n");
        world.ip(&["link", "add", "uplink0", "type", "veth", "peer", "name", "uplink1"]);
        ovs.vsctl(&["add-port", "ovsbr0", "uplink0"]);
        let [alice, bob] = [ALICE, BOB].map(|user| world.container(user));
        let nic = create(world, &alice).nic();
        let other = world.create(BOB, &bob, "veth", "ovsbr1", &[]).nic();
        world.ip(&["link", "property", "add", "dev", &nic.host_name, "altname", "veth52001_other"]);
        let before = (world.state(), ovs.ports("ovsbr0"), ovs.ports("ovsbr1"));
        let name = &*nic.host_name;
        let (prefix, longer) = (&name[..name.len() - 1], format!("{name}x"));
        let (blank, line) = (format!("{name} "), format!("{name}\n"));
        let attempts = [
            (BOB, &bob, "ovsbr0", name),
            (BOB, &bob, "ovsbr1", name),
            (CAROL, &alice, "ovsbr0", name),
            (ROOT, &alice, "ovsbr0", name),
            (ALICE, &bob, "ovsbr0", name),
            (ALICE, &alice, "ovsbr1", name),
            (ALICE, &alice, "none", name),
            (ALICE, &alice, "ovsbr0", "uplink0"),
            (ALICE, &alice, "ovsbr0", "ovsbr0"),
            (ALICE, &alice, "ovsbr1", &*other.host_name),
            (ALICE, &alice, "ovsbr0", "veth52001_other"),
            (ALICE, &alice, "ovsbr0", "veth52001_"),
            (ALICE, &alice, "ovsbr0", ""),
            (ALICE, &alice, "ovsbr0", prefix),
            (ALICE, &alice, "ovsbr0", &*longer),
            (ALICE, &alice, "ovsbr0", &*blank),
            (ALICE, &alice, "ovsbr0", &*line),
        ];
        for (user, container, bridge, name) in attempts {
            println!("{} {bridge} {name:?}", user.name);
            world.delete(user, &container.netns(), bridge, name).refuses("");
        }
        assert_eq!((world.state(), ovs.ports("ovsbr0"), ovs.ports("ovsbr1")), before);
        delete(world, &alice, &nic).succeeds();
    });
}

/// Differs: C lets every member of a group delete what is charged to the group.
#[test]
fn a_pool_is_shared_and_its_ports_are_not() {
    enter(|world, ovs| {
        world.group("staff52", 53000);
        world.usernet("@staff52 veth ovsbr0 2\n");
        let [alice, bob] = [ALICE, BOB].map(|user| world.container(user));
        let call =
            |user, args: &[&str]| world.run(world.command_in_groups(user, &[53000], LXC_USER_NIC).args(args));
        let create = |user, pid: &str| call(user, &["create", "/dev/null", "dummy", pid, "veth", "ovsbr0"]);
        let nic = create(ALICE, &alice.pid()).nic();
        drop(create(BOB, &bob.pid()).nic());
        create(ALICE, &alice.pid()).refuses("Quota reached");
        assert!(world.nics().contains(&format!("@staff52 veth ovsbr0 {}", nic.host_name)));
        assert_eq!(ovs.ports("ovsbr0").len(), 2);

        let delete = |user, netns: &str| {
            call(user, &["delete", "/dev/null", "dummy", netns, "veth", "ovsbr0", &nic.host_name])
        };
        if !theirs() {
            assert_refused(&delete(BOB, &bob.netns()));
            assert_eq!(ovs.ports("ovsbr0").len(), 2);
        }
        delete(ALICE, &alice.netns()).succeeds();
        assert_eq!(ovs.ports("ovsbr0").len(), 1);
    });
}

/// Differs: with C the second attempt succeeds, as its record stays.
#[test]
fn deleting_again_is_refused() {
    enter(|world, ovs| {
        let container = world.container(ALICE);
        let nic = create(world, &container).nic();
        delete(world, &container, &nic).succeeds();
        if !theirs() {
            let before = world.state();
            assert_refused(&delete(world, &container, &nic));
            assert_eq!(world.state(), before);
        }
        assert_eq!(ovs.ports("ovsbr0"), [""; 0]);
    });
}

/// What somebody made he may remove. Differs: C asks for a line.
#[test]
fn the_owner_may_delete_when_his_line_has_been_revoked() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        let container = world.container(ALICE);
        for revoked in ["", "alice veth ovsbr0 0\n", "bob veth ovsbr0 10\n"] {
            world.usernet("alice veth ovsbr0 10\n");
            let nic = create(world, &container).nic();
            world.usernet(revoked);
            delete(world, &container, &nic).succeeds();
            assert_nothing_left(world, ovs);
        }
        world.usernet("alice veth ovsbr0 10\n");
        let nic = create(world, &container).nic();
        fs::remove_file("/etc/lxc/lxc-usernet").expect("remove");
        delete(world, &container, &nic).succeeds();
        assert_nothing_left(world, ovs);
    });
}

/// As LXC calls it: the container is dead, and its monitor holds the network namespace.
#[test]
fn a_port_is_deleted_by_a_descriptor_of_the_network_namespace() {
    enter(|world, ovs| {
        let mut container = world.container(ALICE);
        let nic = create(world, &container).nic();
        let script = r#"
            exec 5<"$1"
            echo ready
            read go
            "$0" delete /dev/null dummy /proc/$$/fd/5 veth ovsbr0 "$2""#;
        let mut monitor = world.command(ALICE, "/bin/sh");
        monitor.args(["-c", script, LXC_USER_NIC, &container.netns(), &nic.host_name]);
        monitor.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut monitor = monitor.spawn().expect("start a monitor");
        let mut ready = [0; 6];
        monitor.stdout.as_mut().expect("a pipe").read_exact(&mut ready).expect("read");
        container.end();
        monitor.stdin.as_mut().expect("a pipe").write_all(b"go\n").expect("write");
        let output = monitor.wait_with_output().expect("wait");
        let said = (output.status.code(), output.stdout, output.stderr);
        assert_eq!(said, (Some(0), vec![], vec![]));
        assert_eq!(ovs.ports("ovsbr0"), [""; 0]);
        if !theirs() {
            assert_nothing_left(world, ovs);
        }
    });
}

/// Neither the bridge nor the port need to be there still. Differs: C fails, and keeps its record.
#[test]
fn a_port_that_the_admin_removed_can_be_deleted() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        let container = world.container(ALICE);
        let nic = create(world, &container).nic();
        ovs.vsctl(&["del-port", "ovsbr0", &nic.host_name]);
        delete(world, &container, &nic).succeeds();
        assert_nothing_left(world, ovs);

        let nic = create(world, &container).nic();
        ovs.bridge("ovsbr1");
        ovs.vsctl(&["del-port", &nic.host_name, "--", "add-port", "ovsbr1", &nic.host_name]);
        delete(world, &container, &nic).succeeds();
        assert_eq!(ovs.ports("ovsbr1"), [""; 0]);
        assert_nothing_left(world, ovs);

        let nic = create(world, &container).nic();
        ovs.vsctl(&["del-br", "ovsbr0"]);
        delete(world, &container, &nic).succeeds();
        assert_eq!((world.host_veths(), world.nics(), world.ledger()), (vec![], vec![], vec![]));
    });
}

/// Differs: C reads a part of what it prints, and goes on. So do we, but nothing of it gets to our caller.
#[test]
fn what_ovs_vsctl_prints_does_not_reach_the_caller() {
    enter(|world, ovs| {
        // To questions we read the answer, so only what changes something may talk.
        ovs.stand_in(&[("add-port", Does::SayThenDo("talk")), ("del-port", Does::SayThenDo("talk"))]);
        let container = world.container(ALICE);
        let nic = create(world, &container).nic();
        assert_only(world, ovs, &nic);
        delete(world, &container, &nic).succeeds();
    });
}

/// A12, A13. Who cannot be told of his interface does not get one. Differs: C leaves all in place, and says
/// 0.
#[test]
fn a_port_that_cannot_be_reported_is_removed() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        let container = world.container(ALICE);
        for oddities in [&["open:1=w:/dev/full"][..], &["pipe:1"], &["pipe:1", "ignore:SIGPIPE"]] {
            let mut command = world.launch(ALICE, oddities, LXC_USER_NIC);
            command.args(["create", "/dev/null", "dummy", &container.pid(), "veth", "ovsbr0"]);
            println!("{oddities:?}");
            assert_refused(&world.run(&mut command));
            assert_nothing_left(world, ovs);
        }
        assert_eq!(container.names(), [""; 0]);
    });
}

/// K02.
#[test]
fn without_ovs_vsctl_nothing_is_made() {
    enter(|world, ovs| {
        let container = world.container(ALICE);
        ovs.remove_vsctl();
        assert_refused(&create(world, &container));
        assert_nothing_left(world, ovs);
        assert_eq!(container.names(), [""; 0]);
    });
}

/// K02. A program that fails, as far as it tells.
#[test]
fn when_ovs_vsctl_fails_nothing_is_left() {
    let failures = [("add-port", Does::Fail), ("add-port", Does::Crash), ("add-port", Does::DoThenFail)];
    let asked = [("br-exists", Does::Fail), ("br-exists", Does::Crash)];
    enter_with_one_place(|world, ovs| {
        for rule in asked.into_iter().chain(failures) {
            if theirs() && (rule.0 == "br-exists" || rule.1 == Does::DoThenFail) {
                // C does not ask, and does not remove a port.
                continue;
            }
            println!("{rule:?}");
            refuses_and_leaves_nothing(world, ovs, &[rule]);
        }
    });
}

/// K02. A program that succeeds, and has done nothing or something else. Differs: C believes it.
#[test]
fn when_ovs_vsctl_lies_nothing_is_left() {
    if theirs() {
        return;
    }
    enter_with_one_place(|world, ovs| {
        ovs.bridge("ovsbr1");
        for rule in [
            ("add-port", Does::Nothing),
            ("add-port", Does::LeaveChild),
            ("add-port", Does::Say("ovsbr0")),
            ("port-to-br", Does::Nothing),
            ("port-to-br", Does::Fail),
            ("port-to-br", Does::Crash),
            ("port-to-br", Does::DoThenFail),
            ("port-to-br", Does::Say("ovsbr1")),
            ("port-to-br", Does::Say("ovsbr1\n1")),
            ("port-to-br", Does::Say("ovsbr\n1")),
            ("port-to-br", Does::Say("\novsbr0\n1")),
            ("port-to-br", Does::SayThenDo("ovsbr1")),
            ("ofport", Does::Nothing),
            ("ofport", Does::Fail),
            // Asked for the number alone, or for bridge and number.
            ("ofport", Does::Say("-1")),
            ("ofport", Does::Say("ovsbr0\n-1")),
            ("ofport", Does::Say("ovsbr0\n0")),
            ("ofport", Does::Say("ovsbr0\n[]")),
            ("ofport", Does::Say("ovsbr0\n1x")),
            ("ofport", Does::Say("ovsbr0\n99999999999")),
            ("ofport", Does::SayThenDo("error")),
        ] {
            println!("{rule:?}");
            refuses_and_leaves_nothing(world, ovs, &[rule]);
        }
    });
}

/// With this `ovs-vsctl` Alice's `create` is refused and leaves nothing; without it she has her one place
/// still.
#[track_caller]
fn refuses_and_leaves_nothing(world: &World, ovs: &Ovs, rules: &[(&str, Does)]) {
    let container = world.container(ALICE);
    ovs.stand_in(rules);
    assert_refused(&create(world, &container));
    assert_nothing_left_of(world, ovs, &container);
}

/// Neither interface nor port; and if there is still a record, because `ovs-vsctl` would not say that there
/// is no port, it is not in the way of the next `create`.
#[track_caller]
fn assert_nothing_left_of(world: &World, ovs: &Ovs, container: &Container) {
    assert_eq!((world.host_veths(), ovs.ports("ovsbr0")), (vec![], vec![]));
    assert_eq!(container.names(), [""; 0]);
    ovs.stand_in(&[]);
    let mut container = world.container(ALICE);
    let nic = create(world, &container).nic();
    assert_only(world, ovs, &nic);
    delete(world, &container, &nic).succeeds();
    if theirs() {
        // For the next to find nothing.
        container.end();
        world.wait_until_gone(&nic.host_name);
        fs::write("/run/lxc/nics", "").expect("write");
    }
    assert_nothing_left(world, ovs);
}

/// K02. Nobody waits for the end of its output, or keeps it in memory. Differs: C reads 4 KiB, and waits.
#[test]
fn a_gigabyte_of_output_costs_neither_memory_nor_the_port() {
    if theirs() {
        return;
    }
    let measure = "import os, resource, sys\n\
        status = os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:])\n\
        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n\
        sys.exit(used > 64_000 and 99 or status)";
    enter_with_one_place(|world, ovs| {
        for word in ["add-port", "port-to-br", "ofport", "br-exists"] {
            println!("{word}");
            ovs.stand_in(&[(word, Does::Gigabyte)]);
            let container = world.container(ALICE);
            let mut command = world.command(ALICE, "/usr/bin/python3");
            command.args(["-I", "-c", measure, LXC_USER_NIC, "create", "/dev/null", "dummy"]);
            command.args([&container.pid(), "veth", "ovsbr0"]);
            let answer = world.run_within(Duration::from_secs(60), &mut command);
            // It may have been in time; it may have been refused. It must not have been half made.
            ovs.stand_in(&[]);
            if answer.status == Some(0) {
                let nic = answer.nic();
                assert_only(world, ovs, &nic);
                delete(world, &container, &nic).succeeds();
            } else {
                assert_refused(&answer);
            }
            assert_nothing_left_of(world, ovs, &container);
        }
    });
}

/// K02. Differs: C waits as long as it takes, and everybody waits for C.
#[test]
fn a_hanging_ovs_vsctl_is_given_up_and_nothing_is_left() {
    if theirs() {
        return;
    }
    enter_with_one_place(|world, ovs| {
        for word in ["br-exists", "add-port", "port-to-br", "ofport"] {
            println!("{word}");
            let container = world.container(ALICE);
            ovs.stand_in(&[(word, Does::Hang)]);
            let answer = world.run_within(
                Duration::from_secs(60),
                world.command(ALICE, LXC_USER_NIC).args([
                    "create",
                    "/dev/null",
                    "dummy",
                    &container.pid(),
                    "veth",
                    "ovsbr0",
                ]),
            );
            assert_refused(&answer);
            answer.refuses("did not end in 5 seconds; does ovs-vswitchd run?");
            assert_eq!(ovs.still_there(), [0; 0], "it was left hanging");
            assert_nothing_left_of(world, ovs, &container);
        }
    });
}

/// K02. Stopped and dead daemons, as they are in life: here it is the real `ovs-vsctl` that waits. Differs: C
/// waits, too.
#[test]
fn without_its_daemons_nothing_is_left() {
    if theirs() {
        return;
    }
    enter_with_one_place(|world, ovs| {
        let refused = |container: &Container| {
            let mut command = world.command(ALICE, LXC_USER_NIC);
            command.args(["create", "/dev/null", "dummy", &container.pid(), "veth", "ovsbr0"]);
            let answer = world.run_within(Duration::from_secs(60), &mut command);
            assert_refused(&answer);
            assert_eq!((world.host_veths(), container.names()), (vec![], vec![]));
            // A bridge of the kernel's would be in the way of the one that comes back.
            assert!(!answer.stderr.contains("ip link add"), "{answer:?}");
            answer
        };
        let container = world.container(ALICE);
        ovs.signal_switch(Signal::SIGSTOP);
        drop(refused(&container));
        assert_eq!(ovs.ports("ovsbr0"), [""; 0]);
        ovs.signal_switch(Signal::SIGCONT);
        let nic = create(world, &container).nic();
        assert_only(world, ovs, &nic);
        delete(world, &container, &nic).succeeds();

        ovs.signal_database(Signal::SIGSTOP);
        let silent = "lxc-user-nic: Open vSwitch does not answer (is ovsdb-server running?)";
        refused(&container).refuses(silent);
        ovs.signal_database(Signal::SIGCONT);
        assert_nothing_left_of(world, ovs, &container);

        ovs.signal_database(Signal::SIGKILL);
        refused(&container).refuses(silent);
        world.usernet("alice veth lo 1\nalice veth nowhere 1\n");
        for (bridge, known) in
            [("lo", "is not a bridge of the kernel's"), ("nowhere", "the kernel does not know")]
        {
            let answer = world.create(ALICE, &container, "veth", bridge, &[]);
            answer
                .refuses(silent)
                .refuses(&format!("whether it has a bridge {bridge}, which {known}: /usr/bin/ovs-vsctl"));
        }
    });
}

/// The heart of it. While one user's `ovs-vsctl` hangs, everybody else gets his interface within a second: on
/// a bridge of the kernel, on another of the switch, on the same one, and from a pool shared with him.
/// Differs: with C they wait.
#[test]
fn nobody_else_waits_for_a_hanging_ovs_vsctl() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        ovs.bridge("ovsbr1");
        world.bridge("lxcbr0");
        world.group("staff52", 53000);
        let rest = "bob veth ovsbr1 5\nbob veth lxcbr0 5\nbob veth ovsbr0 5\n\
            carol veth none 5\nalice veth lxcbr0 5\n";
        for alices in ["alice veth ovsbr0 1\n", "@staff52 veth ovsbr0 3\n"] {
            world.usernet(format!("{alices}{rest}"));
            for word in ["br-exists", "add-port", "port-to-br"] {
                println!("{alices:?} {word}");
                // A new stand-in, whose first caller is Alice.
                drop(fs::remove_dir("/run/stand-in/once"));
                ovs.stand_in(&[(word, Does::HangOnce)]);
                let containers = [ALICE, BOB, CAROL].map(|user| world.container(user));
                let [alice, bob, carol] = &containers;
                let made_after_all = std::thread::scope(|scope| {
                    let hung = scope.spawn(|| create_in_group(world, alice));
                    wait_until(|| Path::new("/run/stand-in/once").exists());
                    let others = [
                        (BOB, bob, "ovsbr1"),
                        (BOB, bob, "lxcbr0"),
                        (BOB, bob, "ovsbr0"),
                        (CAROL, carol, "none"),
                        (ALICE, alice, "lxcbr0"),
                    ];
                    let mut times = vec![];
                    for (user, container, bridge) in others {
                        let start = Instant::now();
                        drop(world.create(user, container, "veth", bridge, &[]).nic());
                        times.push((user.name, bridge, start.elapsed()));
                    }
                    if alices.starts_with('@') {
                        let start = Instant::now();
                        drop(create_in_group_by(world, CAROL, carol).nic());
                        times.push(("carol", "the pool", start.elapsed()));
                    }
                    println!("{times:?}");
                    assert!(times.iter().all(|time| time.2 < Duration::from_secs(1)), "{times:?}");
                    assert!(!hung.is_finished(), "nothing hung meanwhile");
                    let hung = hung.join().expect("join");
                    // What hung may have been the removal of a leftover, which then counts.
                    let made = hung.status == Some(0);
                    if !made {
                        assert_refused(&hung);
                    }
                    usize::from(made)
                });
                assert_eq!(alice.names().len(), 1 + made_after_all, "{:?}", alice.names());
                for mut container in containers {
                    container.end();
                }
                wait_until(|| world.host_veths().is_empty());
            }
        }
    });
}

/// The same of a `delete`, and of the removal of what a dead container left.
#[test]
fn nobody_else_waits_for_a_hanging_removal() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        world.bridge("lxcbr0");
        world.group("staff52", 53000);
        world.usernet("@staff52 veth ovsbr0 3\nbob veth ovsbr0 5\nbob veth lxcbr0 5\n");
        for dead in [false, true] {
            let mut alice = world.container(ALICE);
            let nic = create_in_group(world, &alice).nic();
            if dead {
                alice.end();
                world.wait_until_gone(&nic.host_name);
                alice = world.container(ALICE);
            }
            drop(fs::remove_dir("/run/stand-in/once"));
            ovs.stand_in(&[("del-port", Does::HangOnce)]);
            let [bob, carol] = [BOB, CAROL].map(|user| world.container(user));
            std::thread::scope(|scope| {
                let hung = scope.spawn(|| {
                    if dead {
                        create_in_group(world, &alice)
                    } else {
                        let mut command = world.command_in_groups(ALICE, &[53000], LXC_USER_NIC);
                        let netns = alice.netns();
                        command.args(["delete", "/dev/null", "dummy", &netns, "veth", "ovsbr0"]);
                        world.run_within(Duration::from_secs(60), command.arg(&nic.host_name))
                    }
                });
                wait_until(|| Path::new("/run/stand-in/once").exists());
                for bridge in ["ovsbr0", "lxcbr0"] {
                    let start = Instant::now();
                    drop(world.create(BOB, &bob, "veth", bridge, &[]).nic());
                    assert!(
                        start.elapsed() < Duration::from_secs(1),
                        "{dead} {bridge} {:?}",
                        start.elapsed()
                    );
                }
                let start = Instant::now();
                drop(create_in_group_by(world, CAROL, &carol).nic());
                assert!(start.elapsed() < Duration::from_secs(1), "{dead} {:?}", start.elapsed());
                assert!(!hung.is_finished(), "nothing hung meanwhile");
                println!("{dead}: {:?}", hung.join().expect("join"));
            });
            for mut container in [alice, bob, carol] {
                container.end();
            }
            wait_until(|| world.host_veths().is_empty());
        }
    });
}

/// While the one place of a user hangs, it is taken. Differs: C hangs then, too.
#[test]
fn a_hanging_create_is_counted() {
    if theirs() {
        return;
    }
    enter_with_one_place(|world, ovs| {
        ovs.stand_in(&[("add-port", Does::HangOnce)]);
        let containers = [ALICE, ALICE].map(|user| world.container(user));
        std::thread::scope(|scope| {
            let hung = scope.spawn(|| create_in_group(world, &containers[0]));
            wait_until(|| Path::new("/run/stand-in/once").exists());
            create(world, &containers[1]).refuses("Quota reached");
            assert!(!hung.is_finished(), "nothing hung meanwhile");
            assert_refused(&hung.join().expect("join"));
        });
        assert_nothing_left_of(world, ovs, &containers[0]);
    });
}

/// Alice's, who is in the group 53000. It may take its time.
fn create_in_group(world: &World, container: &Container) -> Answer {
    create_in_group_by(world, ALICE, container)
}

fn create_in_group_by(world: &World, user: User, container: &Container) -> Answer {
    let mut command = world.command_in_groups(user, &[53000], LXC_USER_NIC);
    command.args(["create", "/dev/null", "dummy", &container.pid(), "veth", "ovsbr0"]);
    world.run_within(Duration::from_secs(60), &mut command)
}

/// What cannot be removed now is remembered, counts, and is removed by the next to come. Differs: C removes
/// no port.
#[test]
fn a_port_that_cannot_be_removed_now_is_removed_by_the_next_create() {
    if theirs() {
        return;
    }
    enter_with_one_place(|world, ovs| {
        for del_port in [Does::Fail, Does::Hang, Does::Crash, Does::Nothing] {
            println!("{del_port:?}");
            let container = world.container(ALICE);
            ovs.stand_in(&[("add-port", Does::DoThenFail), ("del-port", del_port)]);
            assert_refused(&create_in_group(world, &container));
            assert_eq!((world.host_veths(), container.names()), (vec![], vec![]));
            ovs.stand_in(&[]);
            let nic = create(world, &container).nic();
            assert_only(world, ovs, &nic);
            delete(world, &container, &nic).succeeds();
            assert_nothing_left(world, ovs);
        }
    });
}

/// A `delete` that fails can be repeated, and what it left is removed by the next `create`. Differs: C's says
/// nothing of a failure.
#[test]
fn a_delete_that_failed_leaves_nothing_that_is_not_counted() {
    if theirs() {
        return;
    }
    enter_with_one_place(|world, ovs| {
        for del_port in [Does::Fail, Does::Hang, Does::Crash, Does::Nothing, Does::DoThenFail] {
            for again in [true, false] {
                println!("{del_port:?} {again}");
                let container = world.container(ALICE);
                let nic = create(world, &container).nic();
                ovs.stand_in(&[("del-port", del_port)]);
                let netns = container.netns();
                let mut command = world.command(ALICE, LXC_USER_NIC);
                command.args(["delete", "/dev/null", "dummy", &netns, "veth", "ovsbr0", &nic.host_name]);
                let answer = world.run_within(Duration::from_secs(60), &mut command);
                assert_eq!(ovs.still_there(), [0; 0], "it was left hanging");
                ovs.stand_in(&[]);
                assert_refused(&answer);
                answer.refuses("the interface is gone, and its port counts until delete, or the next create, can remove it");
                assert_eq!((world.host_veths(), world.ledger().len(), world.nics().len()), (vec![], 1, 1));
                if again {
                    delete(world, &container, &nic).succeeds();
                    assert_nothing_left(world, ovs);
                } else {
                    drop(container);
                    wait_until(|| world.host_veths().is_empty());
                    let container = world.container(ALICE);
                    let nic = create(world, &container).nic();
                    assert_only(world, ovs, &nic);
                    delete(world, &container, &nic).succeeds();
                }
            }
        }
    });
}

/// J15, K02. SIGKILL while `ovs-vsctl` runs, before and after it has done its work: at most one interface
/// meanwhile, and none but the new one after the next `create`. Differs: C does not look for what it left.
#[test]
fn a_killed_create_is_cleaned_up_by_the_next() {
    if theirs() {
        return;
    }
    enter_with_one_place(|world, ovs| {
        for word in ["br-exists", "add-port", "port-to-br", "ofport"] {
            for does in [Does::KillParent, Does::DoThenKillParent] {
                println!("{word} {does:?}");
                let container = world.container(ALICE);
                ovs.stand_in(&[(word, does)]);
                let answer = create(world, &container);
                assert_eq!((answer.signal, &*answer.stdout), (Some(9), ""), "{answer:?}");
                assert!(world.host_veths().len() <= 1 && ovs.ports("ovsbr0").len() <= 1);
                ovs.stand_in(&[]);
                let nic = create(world, &container).nic();
                // A program that outlived its parent must not add a port now.
                wait_until(|| ovs.still_there().is_empty());
                assert_only(world, ovs, &nic);
                assert_eq!(container.names(), [&*nic.container_name]);
                delete(world, &container, &nic).succeeds();
                assert_nothing_left(world, ovs);
            }
        }
    });
}

/// What is left of Alice's `create` that was killed while its call with this word in it hung.
fn killed_while_it_hangs(world: &World, ovs: &Ovs, container: &Container, word: &'static str) -> Vec<i32> {
    ovs.stand_in(&[(word, Does::Hang)]);
    let mut helper = world.command(ALICE, LXC_USER_NIC);
    helper.args(["create", "/dev/null", "dummy", &container.pid(), "veth", "ovsbr0"]);
    let mut helper = helper.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start");
    ovs.wait_for_calls(word, 1);
    let left = ovs.still_there();
    helper.kill().expect("kill");
    helper.wait().expect("wait");
    left
}

/// They must have been there until now.
#[track_caller]
fn end(ovs: &Ovs, left: &[i32]) {
    assert!(!left.is_empty() && ovs.still_there() == left, "it had ended meanwhile: {left:?}");
    for pid in left {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), Signal::SIGKILL).expect("kill");
    }
    wait_until(|| ovs.still_there().is_empty());
    ovs.stand_in(&[]);
}

/// J15, K02. An `ovs-vsctl` that has outlived its helper may still add the port, and as long as it may, its place is taken.
#[test]
fn a_place_is_taken_as_long_as_somebody_may_add_its_port() {
    if theirs() {
        return;
    }
    enter_with_one_place(|world, ovs| {
        let container = world.container(ALICE);
        let left = killed_while_it_hangs(world, ovs, &container, "add-port");
        // Whatever becomes of his right to it until then, nothing goes through that port.
        assert!(world.host_veths().iter().all(|name| !world.host_link(name).is_up()));
        // Its own patience is five seconds, as of one that has been frozen for so long there is none.
        create(world, &container).refuses("Quota reached");
        end(ovs, &left);
        let nic = create(world, &container).nic();
        assert_only(world, ovs, &nic);
    });
}

/// J13, K02. And as long as it may remove one of somebody else's, from the table of all owners, who has started it has a place less.
#[test]
fn a_place_in_everybodys_table_that_a_command_holds_costs_whoever_has_started_it_one() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        world.usernet("alice veth ovsbr0 1\nbob veth ovsbr0 1\n");
        world.write("/etc/nsgate.ini", "[bridge \"*\"]\nmax-nics = 5\n");
        let bobs = world.container(BOB);
        drop(world.create(BOB, &bobs, "veth", "ovsbr0", &[]).nic());
        drop(bobs);
        wait_until(|| world.host_veths().is_empty());

        let container = world.container(ALICE);
        let left = killed_while_it_hangs(world, ovs, &container, "del-port");
        create(world, &container).refuses("Quota reached");
        end(ovs, &left);
        let nic = create(world, &container).nic();
        assert_eq!(
            (world.host_veths(), ovs.ports("ovsbr0")),
            (vec![nic.host_name.clone()], vec![nic.host_name])
        );
    });
}

/// K06. Where Open vSwitch is gone, what is left of its ports counts, and is in nobody's way.
#[test]
fn a_port_that_cannot_be_removed_counts_and_no_more() {
    if theirs() {
        return;
    }
    enter(|world, ovs| {
        world.usernet("alice veth ovsbr0 2\n");
        let container = world.container(ALICE);
        drop(create(world, &container).nic());
        drop(container);
        wait_until(|| world.host_veths().is_empty());
        ovs.stand_in(&[("del-port", Does::Fail)]);
        let container = world.container(ALICE);
        let nic = create(world, &container).nic();
        assert_eq!((world.host_veths(), world.ledger().len()), (vec![nic.host_name], 2));
        let answer = create(world, &container);
        answer.refuses("remove the Open vSwitch port");
        ovs.stand_in(&[]);
        drop(create(world, &container).nic());
        assert_eq!(world.host_veths().len(), 2);
    });
}

/// J15, K02. The same of `delete`. Differs: as above.
#[test]
fn a_killed_delete_is_cleaned_up_by_the_next() {
    if theirs() {
        return;
    }
    enter_with_one_place(|world, ovs| {
        for does in [Does::KillParent, Does::DoThenKillParent] {
            for again in [true, false] {
                println!("{does:?} {again}");
                let container = world.container(ALICE);
                let nic = create(world, &container).nic();
                ovs.stand_in(&[("del-port", does)]);
                let answer = delete(world, &container, &nic);
                assert_eq!(answer.signal, Some(9), "{answer:?}");
                ovs.stand_in(&[]);
                if again {
                    delete(world, &container, &nic).succeeds();
                    assert_nothing_left(world, ovs);
                }
                drop(container);
                wait_until(|| world.host_veths().is_empty());
                let container = world.container(ALICE);
                let nic = create(world, &container).nic();
                assert_only(world, ovs, &nic);
                delete(world, &container, &nic).succeeds();
                assert_nothing_left(world, ovs);
            }
        }
    });
}

/// A21. Nobody but root can stop the helper where it has an interface half made, nor its `ovs-vsctl`.
/// Differs: C's real uid remains the caller's.
#[test]
fn the_caller_cannot_signal_what_runs_for_him() {
    if theirs() {
        return;
    }
    enter_with_one_place(|world, ovs| {
        let container = world.container(ALICE);
        ovs.stand_in(&[("add-port", Does::Hang)]);
        let mut helper = world.command(ALICE, LXC_USER_NIC);
        helper.args(["create", "/dev/null", "dummy", &container.pid(), "veth", "ovsbr0"]);
        let helper = helper.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
        ovs.wait_for_calls("add-port", 1);
        let pids = ovs.still_there().into_iter().map(|pid| pid.to_string());
        for pid in pids.chain([helper.id().to_string()]) {
            for signal in ["KILL", "STOP", "TERM", "INT", "ALRM"] {
                let mut kill = world.command(ALICE, "/bin/sh");
                let answer = world.run(kill.args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid]));
                assert!(answer.status != Some(0) && answer.stderr.contains("not permitted"), "{answer:?}");
            }
        }
        let output = helper.wait_with_output().expect("wait");
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{output:?}");
        assert_nothing_left_of(world, ovs, &container);
    });
}

fn wait_until(mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}
