//! `/etc/nsgate.ini`, as `lxc-user-nic` follows it: what it takes away, what it hardens, and that it is read whole or not at
//! all. Ours alone: C knows no such file.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use world::ovs::Ovs;
use world::{
    ALICE, Answer, BOB, CAROL, Cgroup, Container, Held, LXC_USER_NIC, NicAnswer, Place, ROOT, User, World,
    kernel_limits_groups, limit_of_groups, theirs,
};

const INI: &str = "/etc/nsgate.ini";

/// A group of Bob's and Carol's.
const CREW: u32 = 53001;

/// A machine with the bridges lxcbr0 and lxcbr1, where everybody may have a hundred interfaces on each and on no bridge.
fn enter(test: impl FnOnce(&World) + Send) {
    if theirs() {
        return; // our file
    }
    World::enter_with_nic(|world| {
        let mut policy = String::new();
        for bridge in ["lxcbr0", "lxcbr1", "none"] {
            for user in [ALICE, BOB, CAROL] {
                policy.push_str(&format!("{} veth {bridge} 100\n", user.name));
            }
        }
        world.usernet(policy);
        world.group("crew", CREW);
        for (bridge, mac) in [("lxcbr0", "02:00:00:00:00:10"), ("lxcbr1", "02:00:00:00:00:11")] {
            world.bridge(bridge);
            // One that stays whatever its ports have.
            world.ip(&["link", "set", bridge, "address", mac]);
        }
        test(world);
    });
}

/// `create` on lxcbr0.
fn create(world: &World, user: User, container: &Container, name: &[&str]) -> Answer {
    world.create(user, container, "veth", "lxcbr0", name)
}

/// `create` by a member of the crew.
fn create_in_crew(world: &World, user: User, container: &Container, bridge: &str) -> Answer {
    let mut command = world.command_in_groups(user, &[CREW], LXC_USER_NIC);
    world.run(command.args(["create", "/dev/null", "dummy", &container.pid(), "veth", bridge]))
}

/// Refused by a rule of the file: the key and its line are there.
#[track_caller]
fn forbidden(answer: &Answer, line: u32, key: &str) {
    answer.refuses(&format!("({INI}:{line} {key})"));
    assert!(answer.stderr.contains("not allowed") && !answer.stderr.contains("Quota reached"), "{answer:?}");
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "not in 10 seconds: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs `bridge` of iproute2 on the host.
fn bridge(args: &[&str]) -> String {
    let output = Command::new("/usr/sbin/bridge").args(args).output().expect("bridge");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What `bridge` says of a port, with one blank between words.
fn port(name: &str) -> String {
    let text = bridge(&["-d", "link", "show", "dev", name]);
    format!("{} ", text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The addresses that a bridge has for good at this port, but the port's own.
fn locked_to(name: &str, own: &str) -> Vec<String> {
    let text = bridge(&["fdb", "show", "brport", name]);
    let lines = text.lines().filter(|line| line.contains(" static") || line.contains(" permanent"));
    // Once for the table of the bridge, and once for a VLAN if it has them.
    let macs = lines.filter_map(|line| line.split_whitespace().next()).filter(|mac| *mac != own);
    let macs: BTreeSet<&str> =
        macs.filter(|mac| !mac.starts_with("33:33:") && !mac.starts_with("01:")).collect();
    macs.into_iter().map(str::to_owned).collect()
}

/// One `ping` from a container.
fn reaches(world: &World, container: &Container, address: &str) -> bool {
    let mut ping = container.command("/bin/busybox");
    world.run(ping.args(["ping", "-c", "1", "-W", "1", address])).status == Some(0)
}

/// Its eth0 is UP and has this address, and its port is open.
fn connect(world: &World, container: &Container, nic: &NicAnswer, address: &str) {
    container.ip(&["address", "add", &format!("{address}/24"), "dev", "eth0"]);
    container.ip(&["link", "set", "eth0", "up"]);
    until("the port is open", || {
        world.host_link(&nic.host_name).detail.contains(" bridge_slave state forwarding ")
    });
}

/// The host end as `ip` has it, but for its name and its address.
fn detail(world: &World, nic: &NicAnswer) -> String {
    let link = world.host_link(&nic.host_name);
    // The kernel takes a moment to say so.
    let state = link.detail.replace(" state LOWERLAYERDOWN ", " state DOWN ");
    state.replace(&link.mac, "MAC").replace(&link.name, "NAME")
}

/// The files of the ledger.
fn tables(world: &World) -> Vec<String> {
    let files = fs::read_dir(world.tables()).expect("tables");
    let mut files: Vec<String> =
        files.map(|entry| entry.expect("read").file_name().into_string().expect("text")).collect();
    files.sort();
    files
}

/// Whatever says nothing changes nothing: neither the interfaces nor what is written down of them.
#[test]
fn absent_empty_and_all_defaults_are_the_same() {
    enter(|world| {
        let defaults = "; nothing\n[idmap]\noverlap = allow\n[nic]\nrequire-limits =\non-missing-kernel = refuse\n\
            [bridge \"*\"]\nisolate = no\nlock-mac = no\nmax-nics = 0\nmac = random\nmax-multicast-groups = 0\n\
            [bridge \"lxcbr0\"] # none\n[per-user-bridge]\ncreate = no\nmax-bridges = 1000\n";
        let container = world.container(ALICE);
        let (mut seen, mut macs) = (vec![], BTreeSet::new());
        for text in [None, Some(""), Some("\n; isolate = yes\n  # [nonsense]\n"), Some(defaults)] {
            drop(fs::remove_file(INI));
            text.iter().for_each(|text| world.write(INI, text));
            let mut details = vec![];
            for on in ["lxcbr0", "none"] {
                let nic = world.create(ALICE, &container, "veth", on, &["eth0"]).nic();
                details.push(detail(world, &nic));
                macs.insert(container.link("eth0").mac);
                assert_eq!(locked_to(&nic.host_name, &world.host_link(&nic.host_name).mac), [""; 0]);
                world.delete(ALICE, &container.netns(), on, &nic.host_name).succeeds();
            }
            assert!(
                details[0].contains(" guard on ") && details[0].contains(" isolated off "),
                "{details:?}"
            );
            world.create(ALICE, &container, "veth", "nsbr-52001", &[]).refuses("is not allowed");
            seen.push((details, tables(world)));
        }
        assert_eq!(seen[0].1, ["u52001.veth.lxcbr0", "u52001.veth.none"]);
        assert!(seen.iter().all(|now| *now == seen[0]), "{seen:#?}");
        assert_eq!(macs.len(), 8, "drawn by lot");
    });
}

/// One line that is wrong, whatever it is about, is the end of `create` and `delete`.
#[test]
fn a_file_that_is_wrong_anywhere_refuses_everything_and_says_where() {
    enter(|world| {
        let container = world.container(ALICE);
        let nic = create(world, ALICE, &container, &["eth0"]).nic();
        let before = world.state();
        let refused = |place: &str, what: &str| {
            for answer in [
                create(world, ALICE, &container, &["eth1"]),
                world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name),
            ] {
                answer.refuses(place);
                assert!(!answer.stderr.contains("Quota reached"), "{answer:?}");
                assert_eq!(
                    (world.state(), container.names()),
                    (before.clone(), vec!["eth0".into()]),
                    "{what}"
                );
            }
        };
        let wrong: [(&[u8], u32); 14] = [
            (b"[nics]\n", 1),
            (b"[bridge lxcbr0]\n", 1),
            (b"[bridge \"a/b\"]\n", 1),
            (b"; fine\n[nic]\nrequire-limit = pids\n", 3),
            (b"[idmap]\nisolate = yes\n", 2),
            (b"[bridge \"lxcbr0\"]\nisolate = no\nisolate = no\n", 3),
            (b"[bridge \"*\"]\nmax-nics = 1\n\n[bridge \"*\"]\nmax-nics = 1\n", 5),
            (b"[bridge \"*\"]\nisolate = true\n", 2),
            // Of other bridges, and of the other helpers.
            (b"[bridge \"other\"]\nmax-nics = -1\n", 2),
            (b"[idmap]\nmax-ids = 0x10\n", 2),
            (b"isolate = yes\n", 1),
            (b"[nic]\njunk\n", 2),
            (b"[nic]\n; \xff\n", 2),
            (b"[nic]\n\0\n", 2),
        ];
        for (text, line) in wrong {
            world.write(INI, text);
            refused(&format!(": {INI}:{line}: "), &String::from_utf8_lossy(text));
        }
        // What it repeats of the file does nothing to a terminal.
        world.write(INI, "[nic]\n\x1b[2J = yes\n");
        refused("\\x1b[2J", "escaped");

        // In the hands of somebody else; and what is no file.
        let fine = "[bridge \"*\"]\nisolate = yes\n";
        world.write(INI, fine);
        chown(INI, Some(ALICE.id), Some(0)).expect("chown");
        refused(INI, "Alice's");
        for mode in [0o664, 0o646] {
            world.write(INI, fine);
            chown(INI, Some(0), Some(ALICE.id)).expect("chown");
            fs::set_permissions(INI, fs::Permissions::from_mode(mode)).expect("chmod");
            refused(INI, "others may write");
        }
        let clear = || fs::remove_file(INI).or_else(|_| fs::remove_dir(INI)).expect("remove");
        clear();
        fs::create_dir(INI).expect("create");
        refused(INI, "a directory");
        clear();
        mkfifo(INI, Mode::from_bits_truncate(0o644)).expect("mkfifo");
        refused(INI, "a FIFO");
        clear();
        fs::write("/home/alice/ini", fine).expect("write");
        symlink("/home/alice/ini", INI).expect("symlink");
        refused("nsgate.ini", "a link to what is hers");

        // So that this can fail.
        clear();
        world.write(INI, fine);
        let other = create(world, ALICE, &container, &["eth1"]).nic();
        assert!(port(&other.host_name).contains(" isolated on "));
        world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name).succeeds();
    });
}

/// The caller could not read it: he is not told what is in it.
#[test]
fn a_secret_file_is_followed_and_not_repeated() {
    enter(|world| {
        let secret = |text: &str| {
            world.write(INI, text);
            fs::set_permissions(INI, fs::Permissions::from_mode(0o600)).expect("chmod");
        };
        let container = world.container(ALICE);
        secret("[bridge \"lxcbr0\"]\nisolate = yes\nmax-nics = 1\n");
        let nic = create(world, ALICE, &container, &[]).nic();
        assert!(port(&nic.host_name).contains(" isolated on "));

        let before = world.state();
        let silent = |answer: &Answer| {
            answer.refuses(INI);
            for told in [
                "ini:1", "ini:2", "ini:3", "max-nics", "isolate", "frotz", "1 of 1", "key", "section", "line",
            ] {
                assert!(!answer.stderr.contains(told), "{told}: {answer:?}");
            }
            assert_eq!(world.state(), before);
        };
        silent(&create(world, ALICE, &container, &[]));
        for wrong in ["[frotz]\n", "[nic]\nfrotz = 1\n", "[nic]\non-missing-kernel = frotz\n", "frotz\n"] {
            secret(wrong);
            silent(&create(world, ALICE, &container, &[]));
            silent(&world.delete(ALICE, &container.netns(), "lxcbr0", &nic.host_name));
        }
    });
}

/// The defaults of all bridges, and what one has for itself, key by key.
#[test]
fn a_port_has_the_guards_that_its_bridge_asks_for() {
    enter(|world| {
        let policy = format!(
            "[bridge \"*\"]\nisolate = yes\nlock-mac = yes\n{}[bridge \"lxcbr1\"]\nlock-mac = no\n{}",
            limit_of_groups(2),
            limit_of_groups(0)
        );
        let container = world.container(ALICE);
        let plain = create(world, ALICE, &container, &["plain"]).nic();
        world.write(INI, policy);
        let made = |on: &str, name: &str| {
            let nic = world.create(ALICE, &container, "veth", on, &[name]).nic();
            let host = world.host_link(&nic.host_name);
            assert!(host.is_up());
            let locked = locked_to(&host.name, &host.mac);
            (host.name, locked, container.link(name).mac)
        };
        let (one, locked, mac) = made("lxcbr0", "one");
        for guard in
            ["guard on", "root_block on", "mcast_router 0", "isolated on", "locked on", "learning off"]
        {
            assert!(port(&one).contains(&format!(" {guard} ")), "{guard}: {}", port(&one));
        }
        assert_eq!(locked, [mac]);
        // Whichever name the container's end has.
        let nic = create(world, ALICE, &container, &[]).nic();
        let host = world.host_link(&nic.host_name);
        assert_eq!(locked_to(&host.name, &host.mac), [container.link("eth0").mac]);

        let (other, locked, _) = made("lxcbr1", "two");
        for guard in ["isolated on", "locked off", "learning on"] {
            assert!(port(&other).contains(&format!(" {guard} ")), "{guard}: {}", port(&other));
        }
        assert_eq!(locked, [""; 0]);
        for guard in ["isolated off", "locked off", "learning on"] {
            assert!(port(&plain.host_name).contains(&format!(" {guard} ")), "what was made before stays");
        }

        // By what the kernel lets a port join.
        let most_of_one = if kernel_limits_groups() { 2 } else { 5 };
        for (name, on, most) in
            [(&one, "lxcbr0", most_of_one), (&other, "lxcbr1", 5), (&plain.host_name, "lxcbr0", 5)]
        {
            let joined = (1..=5).take_while(|group| {
                let group = format!("239.1.1.{group}");
                let args = ["mdb", "add", "dev", on, "port", name, "grp", &group, "permanent"];
                let output = Command::new("/usr/sbin/bridge").args(args).output().expect("bridge");
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success() || errors.contains("mcast_max_groups=2"), "{errors}");
                output.status.success()
            });
            assert_eq!(joined.count(), most, "{name}");
        }

        // Where there is no bridge there is no port: made as ever, by a rule for all and by one of its own.
        let (host, _, _) = made("none", "three");
        assert_eq!(world.host_link(&host).master, "");
        world.write(INI, format!("[bridge \"none\"]\nisolate = yes\nlock-mac = yes\n{}", limit_of_groups(2)));
        made("none", "four");
    });
}

/// L03 and L04: what the guards are for.
#[test]
fn isolated_containers_reach_the_bridge_alone_and_a_locked_one_only_by_its_own_address() {
    enter(|world| {
        world.ip(&["address", "add", "10.8.0.1/24", "dev", "lxcbr0"]);
        let containers = [ALICE, BOB].map(|user| world.container(user));
        let [alices, bobs] = &containers;
        let neighbour = create(world, BOB, bobs, &["eth0"]).nic();
        connect(world, bobs, &neighbour, "10.8.0.3");
        let nic = create(world, ALICE, alices, &["eth0"]).nic();
        connect(world, alices, &nic, "10.8.0.2");
        // So that this can fail.
        assert!(reaches(world, alices, "10.8.0.3"));
        alices.delete_link("eth0");
        bobs.delete_link("eth0");

        world.write(INI, "[bridge \"lxcbr0\"]\nisolate = yes\nlock-mac = yes\n");
        let nic = create(world, ALICE, alices, &["eth0"]).nic();
        connect(world, alices, &nic, "10.8.0.2");
        let neighbour = create(world, BOB, bobs, &["eth0"]).nic();
        connect(world, bobs, &neighbour, "10.8.0.3");
        assert!(reaches(world, alices, "10.8.0.1") && reaches(world, bobs, "10.8.0.1"));
        assert!(!reaches(world, alices, "10.8.0.3"));
        let own = alices.link("eth0").mac;
        for mac in ["02:00:00:00:99:99", &bobs.link("eth0").mac] {
            alices.ip(&["link", "set", "eth0", "address", mac]);
            assert!(!reaches(world, alices, "10.8.0.1"), "{mac}");
        }
        alices.ip(&["link", "set", "eth0", "address", &own]);
        assert!(reaches(world, alices, "10.8.0.1"));
    });
}

/// Nobody takes over an address that another port has: neither he nor the other would have it for sure.
#[test]
fn an_address_that_another_port_has_is_refused_and_goes_with_its_port() {
    enter(|world| {
        world.write(INI, "[bridge \"*\"]\nmac = stable\nlock-mac = yes\n");
        let (mut first, second) = (world.container(ALICE), world.container(ALICE));
        let nic = create(world, ALICE, &first, &["eth0"]).nic();
        let (mac, host) = (first.link("eth0").mac, world.host_link(&nic.host_name));
        assert_eq!(locked_to(&host.name, &host.mac), [&*mac]);
        let before = world.state();
        create(world, ALICE, &second, &["eth0"]).refuses("another port of the bridge has");
        assert_eq!((world.state(), second.names()), (before, vec![]));
        assert_eq!(locked_to(&host.name, &host.mac), [&*mac]);
        // On another bridge it is nobody's.
        let other = world.create(ALICE, &second, "veth", "lxcbr1", &["eth0"]).nic();
        assert_eq!(second.link("eth0").mac, mac);
        world.delete(ALICE, &second.netns(), "lxcbr1", &other.host_name).succeeds();

        let in_table = || bridge(&["fdb", "show", "br", "lxcbr0"]).contains(&mac);
        assert!(in_table());
        first.end();
        world.wait_until_gone(&nic.host_name);
        assert!(!in_table());
        let nic = create(world, ALICE, &second, &["eth0"]).nic();
        assert!(in_table());
        world.delete(ALICE, &second.netns(), "lxcbr0", &nic.host_name).succeeds();
        assert!(!in_table());
        let _nic = create(world, ALICE, &second, &["eth0"]).nic();
        second.delete_link("eth0");
        assert!(!in_table());
    });
}

/// What a bridge has only learnt, from a frame that anybody can send from a port that is not locked, keeps nobody out.
#[test]
fn an_address_that_the_bridge_has_only_learnt_is_no_claim() {
    enter(|world| {
        let (bobs, alices) = (world.container(BOB), world.container(ALICE));
        let thief = create(world, BOB, &bobs, &["eth0"]).nic();
        // A port learns when it forwards.
        bobs.ip(&["link", "set", "eth0", "up"]);
        let start = Instant::now();
        while !world.ip(&["-d", "link", "show", &thief.host_name]).contains("state forwarding") {
            assert!(start.elapsed() < Duration::from_secs(20), "it does not forward");
            std::thread::sleep(Duration::from_millis(5));
        }
        world.write(INI, "[bridge \"*\"]\nmac = stable\nlock-mac = yes\n");
        let nic = create(world, ALICE, &alices, &["eth0"]).nic();
        let mac = alices.link("eth0").mac;
        world.delete(ALICE, &alices.netns(), "lxcbr0", &nic.host_name).succeeds();
        bridge(&["fdb", "add", &mac, "dev", &thief.host_name, "master", "dynamic"]);
        let nic = create(world, ALICE, &alices, &["eth0"]).nic();
        let host = world.host_link(&nic.host_name);
        assert_eq!((alices.link("eth0").mac, locked_to(&host.name, &host.mac)), (mac.clone(), vec![mac]));
    });
}

/// Also if the kernel has not yet removed what its last start has left.
#[test]
fn a_container_that_starts_again_at_once_has_its_address_again() {
    enter(|world| {
        world.write(INI, "[bridge \"*\"]\nmac = stable\nlock-mac = yes\n");
        let mut macs = BTreeSet::new();
        for _ in 0..8 {
            let mut container = world.container(ALICE);
            let nic = create(world, ALICE, &container, &["eth0"]).nic();
            let (mac, host) = (container.link("eth0").mac, world.host_link(&nic.host_name));
            assert_eq!(locked_to(&host.name, &host.mac), [&*mac]);
            macs.insert(mac);
            container.end();
        }
        assert_eq!(macs.len(), 1);
    });
}

/// A `/dev` with a log that the test reads.
fn log_of(world: &World) -> UnixDatagram {
    fs::create_dir("/run/dev").expect("create");
    for (name, minor) in [("null", "3"), ("zero", "5"), ("full", "7"), ("urandom", "9")] {
        let mut mknod = world.command(ROOT, "/usr/bin/mknod");
        world.run(mknod.args(["-m", "666", &format!("/run/dev/{name}"), "c", "1", minor])).succeeds();
    }
    world.run(world.command(ROOT, "/usr/bin/mount").args(["--bind", "/run/dev", "/dev"])).succeeds();
    // Programs of Open vSwitch wait for a log that is full, and say a lot.
    fs::write("/proc/sys/net/unix/max_dgram_qlen", "100000").expect("room in the log");
    let log = UnixDatagram::bind("/dev/log").expect("bind");
    fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).expect("chmod");
    log.set_nonblocking(true).expect("not blocking");
    log
}

/// The records that have come until now.
fn records(log: &UnixDatagram) -> Vec<String> {
    let mut bytes = vec![0; 1 << 16];
    let next = std::iter::from_fn(|| log.recv(&mut bytes).ok().map(|length| bytes[..length].to_vec()));
    next.map(|record| String::from_utf8_lossy(&record).into_owned()).collect()
}

/// L02: a port of Open vSwitch cannot be guarded so.
#[test]
fn a_guard_that_cannot_be_set_is_a_refusal_or_if_root_says_so_a_line_in_the_log() {
    enter(|world| {
        let ovs = Ovs::start(world);
        ovs.bridge("ovsbr0");
        ovs.stand_in(&[]);
        world.usernet("alice veth ovsbr0 10\n");
        let container = world.container(ALICE);
        let log = log_of(world);
        let before = world.state();
        for (key, value) in [("isolate", "yes"), ("lock-mac", "yes"), ("max-multicast-groups", "4")] {
            for extra in ["", "[nic]\non-missing-kernel = refuse\n"] {
                world.write(INI, format!("[bridge \"*\"]\n{key} = {value}\n{extra}"));
                forbidden(&world.create(ALICE, &container, "veth", "ovsbr0", &[]), 2, key);
                assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
            }
        }
        let added = |word: &str| ovs.calls().iter().any(|call| call.args.iter().any(|arg| arg == word));
        assert!(!added("add-port"), "{:?}", ovs.calls());
        assert_eq!(ovs.ports("ovsbr0"), [""; 0]);

        world.write(
            INI,
            "[nic]\non-missing-kernel = warn\n[bridge \"*\"]\nisolate = yes\nlock-mac = yes\nmac = stable\n",
        );
        records(&log);
        let nic = world.create(ALICE, &container, "veth", "ovsbr0", &["eth0"]).nic();
        assert!(added("add-port"));
        assert_eq!(ovs.ports("ovsbr0"), [&*nic.host_name]);
        let said = records(&log);
        let left_out =
            |line: &String| line.contains(&nic.host_name) && line.contains("without isolate, lock-mac,");
        assert!(said.iter().any(left_out), "{said:?}");
        // What does not need the kernel's bridge is as it was asked for.
        let mac = container.link("eth0").mac;
        container.delete_link("eth0");
        let _nic = world.create(ALICE, &container, "veth", "ovsbr0", &["eth0"]).nic();
        assert_eq!(container.link("eth0").mac, mac);

        // On a bridge of the kernel's nothing is left out, and nothing said.
        world.usernet("alice veth lxcbr0 10\n");
        records(&log);
        let nic = create(world, ALICE, &container, &["eth1"]).nic();
        assert!(port(&nic.host_name).contains(" isolated on "));
        let said = records(&log);
        assert!(said.len() == 1 && !said[0].contains("without"), "{said:?}");
    });
}

const MAX_2: &str = "[bridge \"lxcbr0\"]\nmax-nics = 2\n";

/// Users' own lines and a group's; each way in which an interface goes frees its place.
#[test]
fn all_owners_together_have_no_more_than_max_nics() {
    enter(|world| {
        world.usernet(
            "alice veth lxcbr0 9\nbob veth lxcbr0 9\n@crew veth lxcbr0 9\nalice veth lxcbr1 9\nalice veth none 9\n",
        );
        world.write(INI, "; all\n[bridge \"lxcbr0\"]\nmax-nics = 3\n[bridge \"none\"]\nmax-nics = 1\n");
        let mut containers = [ALICE, BOB, CAROL].map(|user| world.container(user));
        let alices = create(world, ALICE, &containers[0], &["eth0"]).nic();
        let bobs = create(world, BOB, &containers[1], &["eth0"]).nic();
        let carols = create_in_crew(world, CAROL, &containers[2], "lxcbr0").nic();
        let full = |containers: &[Container; 3]| {
            // The ledger forgets what is gone also if nothing new is made.
            let there = || (world.host_veths(), containers.each_ref().map(Container::names));
            let before = there();
            let answer = create(world, ALICE, &containers[0], &["eth1"]);
            forbidden(&answer, 3, "max-nics");
            answer.refuses("3 of 3 interfaces of all users are there");
            forbidden(&create(world, BOB, &containers[1], &["eth1"]), 3, "max-nics");
            forbidden(&create_in_crew(world, CAROL, &containers[2], "lxcbr0"), 3, "max-nics");
            assert_eq!(there(), before);
        };
        full(&containers);

        world.delete(ALICE, &containers[0].netns(), "lxcbr0", &alices.host_name).succeeds();
        let second = create(world, BOB, &containers[1], &["eth1"]).nic();
        full(&containers);
        containers[1].delete_link("eth1");
        let third = create_in_crew(world, CAROL, &containers[2], "lxcbr0").nic();
        full(&containers);
        // Of three interfaces the container that ends has two.
        containers[2].end();
        for nic in [&carols, &third] {
            world.wait_until_gone(&nic.host_name);
        }
        containers[2] = world.container(CAROL);
        for name in ["eth1", "eth2"] {
            let _nic = create(world, ALICE, &containers[0], &[name]).nic();
        }
        full(&containers);
        assert!(![&second, &third].iter().any(|nic| world.host_veths().contains(&nic.host_name)));
        assert!(world.host_veths().contains(&bobs.host_name));

        // Other bridges have their own number, or none.
        for name in ["a", "b", "c", "d"] {
            let _nic = world.create(ALICE, &containers[0], "veth", "lxcbr1", &[name]).nic();
        }
        let _nic = world.create(ALICE, &containers[0], "veth", "none", &["e"]).nic();
        forbidden(&world.create(ALICE, &containers[0], "veth", "none", &["f"]), 5, "max-nics");
    });
}

/// A rule is for what there is, whenever it was made.
#[test]
fn interfaces_that_were_there_before_the_rule_count_too() {
    enter(|world| {
        world.usernet("alice veth lxcbr0 9\nbob veth lxcbr0 9\n@crew veth lxcbr0 9\n");
        let (alices, bobs, carols) = (world.container(ALICE), world.container(BOB), world.container(CAROL));
        let _nic = create(world, ALICE, &alices, &["eth0"]).nic();
        let first = create_in_crew(world, CAROL, &carols, "lxcbr0").nic();
        world.write(INI, MAX_2);
        let before = world.state();
        forbidden(&create(world, BOB, &bobs, &["eth0"]), 2, "max-nics");
        assert_eq!(world.state(), before);
        // One more of each kind, and one goes.
        world.write(INI, "[bridge \"lxcbr0\"]\nmax-nics = 3\n");
        let _nic = create(world, BOB, &bobs, &["eth0"]).nic();
        forbidden(&create(world, ALICE, &alices, &["eth1"]), 2, "max-nics");
        world
            .run(world.command_in_groups(CAROL, &[CREW], LXC_USER_NIC).args([
                "delete",
                "/dev/null",
                "dummy",
                &carols.netns(),
                "veth",
                "lxcbr0",
                &first.host_name,
            ]))
            .succeeds();
        let _nic = create(world, ALICE, &alices, &["eth1"]).nic();
        forbidden(&create(world, BOB, &bobs, &["eth1"]), 2, "max-nics");
        // It is lifted for a while: one more, and two of those that had a place in the table of all owners go.
        fs::remove_file(INI).expect("remove");
        let _nic = create(world, BOB, &bobs, &["eth1"]).nic();
        world.write(INI, "[bridge \"lxcbr0\"]\nmax-nics = 3\n");
        forbidden(&create(world, ALICE, &alices, &["eth2"]), 2, "max-nics");
        alices.delete_link("eth1");
        forbidden(&create(world, ALICE, &alices, &["eth2"]), 2, "max-nics");
        bobs.delete_link("eth0");
        let _nic = create(world, ALICE, &alices, &["eth2"]).nic();
    });
}

/// Its maker may be frozen just before he says that it is made.
#[test]
fn an_interface_that_is_being_made_when_the_rule_comes_counts_too() {
    enter(|world| {
        let (alices, bobs) = (world.container(ALICE), world.container(BOB));
        let pid = alices.pid();
        // Then its number is in the ledger.
        let place = Place { call: "pwrite64".to_owned(), number: 2 };
        let args = ["create", "/dev/null", "dummy", &pid, "veth", "lxcbr0"];
        let held = world.held(ALICE, &place, &args).expect("held");
        assert_eq!(world.host_veths().len(), 1);
        world.write(INI, "[bridge \"lxcbr0\"]\nmax-nics = 1\n");
        forbidden(&create(world, BOB, &bobs, &[]), 2, "max-nics");
        held.go_on().refuses("policy has been changed just now; call again");
        let _nic = create(world, BOB, &bobs, &[]).nic();
    });
}

#[test]
fn an_owner_who_has_used_up_his_own_is_told_so() {
    enter(|world| {
        world.usernet("alice veth lxcbr0 1\nbob veth lxcbr0 1\n");
        let (alices, bobs) = (world.container(ALICE), world.container(BOB));
        world.write(INI, MAX_2);
        let _nic = create(world, ALICE, &alices, &[]).nic();
        let full = || {
            let answer = create(world, ALICE, &alices, &[]);
            answer.refuses("Quota reached").refuses("/etc/lxc/lxc-usernet:1");
            assert!(!answer.stderr.contains("nsgate.ini"), "{answer:?}");
        };
        full();
        let _nic = create(world, BOB, &bobs, &[]).nic();
        full();
    });
}

/// J10, of all owners.
#[test]
fn of_twenty_at_once_exactly_max_nics_are_made() {
    enter(|world| {
        world.usernet("alice veth lxcbr0 20\nbob veth lxcbr0 20\n@crew veth lxcbr0 20\n");
        world.write(INI, "[bridge \"*\"]\nmax-nics = 5\n");
        for _ in 0..3 {
            let containers = [ALICE, BOB, CAROL].map(|user| (user, world.container(user)));
            let answers = std::thread::scope(|scope| {
                let started = (0..20).map(|number| {
                    let (user, container) = &containers[number % 3];
                    scope.spawn(move || {
                        if *user == CAROL {
                            create_in_crew(world, *user, container, "lxcbr0")
                        } else {
                            create(world, *user, container, &[])
                        }
                    })
                });
                let started = started.collect::<Vec<_>>();
                started.into_iter().map(|one| one.join().expect("an answer")).collect::<Vec<_>>()
            });
            let (made, refused): (Vec<_>, Vec<_>) =
                answers.iter().partition(|answer| answer.status == Some(0));
            refused.iter().for_each(|answer| forbidden(answer, 2, "max-nics"));
            let names: BTreeSet<String> = made.iter().map(|answer| answer.nic().host_name).collect();
            assert_eq!((names.len(), world.host_veths().into_iter().collect()), (5, names.clone()));
            for quota in ["all.", ""] {
                let records = world.ledger().into_iter().filter(|record| {
                    record.quota.starts_with("all.") != quota.is_empty() && names.contains(&record.fields[1])
                });
                assert_eq!(records.count(), 5, "{:?}", world.ledger());
            }
            // Of the next round's five places none is taken.
            drop(containers);
            names.iter().for_each(|name| world.wait_until_gone(name));
        }
    });
}

/// J13: whoever can freeze his own helper holds up nobody with it, though they share a table.
#[test]
fn a_helper_that_stands_still_has_its_own_place_and_nobody_elses() {
    enter(|world| {
        world.write(INI, MAX_2);
        let (alices, bobs) = (world.container(ALICE), world.container(BOB));
        let args = ["create", "/dev/null", "dummy", &bobs.pid(), "veth", "lxcbr0", "eth0"];
        let places = world.places(BOB, &args);
        bobs.delete_link("eth0");
        let as_root = places.iter().position(|place| place.call == "setgroups").expect("it becomes root");
        let mut held_a_place = 0;
        for place in places[as_root..].iter().filter(|place| !place.is_dull()).step_by(5) {
            let Ok(held) = world.held(BOB, place, &args) else {
                // No two runs are quite the same: this one has come to its end.
                bobs.names().iter().for_each(|name| bobs.delete_link(name));
                continue;
            };
            let start = Instant::now();
            let nic = create(world, ALICE, &alices, &["eth0"]).nic();
            assert!(start.elapsed() < Duration::from_millis(900), "{:?} at {place:?}", start.elapsed());
            let recorded = world.ledger().into_iter().filter(|record| record.quota.starts_with("all."));
            if recorded.count() == 2 && held_a_place < 3 {
                held_a_place += 1;
                // His place counts, whatever becomes of it.
                let start = Instant::now();
                forbidden(&create(world, ALICE, &alices, &["eth1"]), 2, "max-nics");
                assert!(start.elapsed() < Duration::from_millis(1800), "{:?} at {place:?}", start.elapsed());
            }
            let start = Instant::now();
            world.delete(ALICE, &alices.netns(), "lxcbr0", &nic.host_name).succeeds();
            assert!(start.elapsed() < Duration::from_millis(900), "{:?} at {place:?}", start.elapsed());
            if place.number % 2 == 0 {
                held.kill();
                // One that was made counts, though nobody was told.
                if world.ledger().iter().any(|record| record.fields[0] == "+") {
                    bobs.names().iter().for_each(|name| bobs.delete_link(name));
                }
                let nics: Vec<_> = ["eth0", "eth1"]
                    .iter()
                    .map(|name| create(world, ALICE, &alices, &[name]).nic())
                    .collect();
                for nic in nics {
                    world.delete(ALICE, &alices.netns(), "lxcbr0", &nic.host_name).succeeds();
                }
            } else {
                let nic = held.go_on().nic();
                world.delete(BOB, &bobs.netns(), "lxcbr0", &nic.host_name).succeeds();
            }
            bobs.names().iter().for_each(|name| bobs.delete_link(name));
        }
        assert!(held_a_place > 0);
    });
}

/// The address stays, so a DHCP lease does.
#[test]
fn a_stable_address_is_the_same_for_the_same_user_container_and_interface() {
    enter(|world| {
        world.write(INI, "[bridge \"lxcbr0\"]\nmac = stable\n");
        let make = |user: User, container: &Container, name: &str, interface: &[&str]| {
            let pid = container.pid();
            let nic = world
                .nic(user, &[&["create", "/dev/null", name, &pid, "veth", "lxcbr0"], interface].concat())
                .nic();
            (nic.container_name.clone(), container.link(&nic.container_name).mac, nic.host_name)
        };
        let mut container = world.container(ALICE);
        let (_, mac, host) = make(ALICE, &container, "web", &["eth0"]);
        let first = u8::from_str_radix(&mac[..2], 16).expect("hex");
        assert_eq!(first & 0b11, 0b10, "{mac} is locally administered, of one interface");
        container.end();
        world.wait_until_gone(&host);
        // Another container, with another pid, and again in the same one.
        let container = world.container(ALICE);
        for _ in 0..2 {
            let (_, again, host) = make(ALICE, &container, "web", &["eth0"]);
            assert_eq!(again, mac);
            world.delete(ALICE, &container.netns(), "lxcbr0", &host).succeeds();
        }
        // Without a name it is the next one that is free, with the address that belongs to that.
        let (name, unnamed, _) = make(ALICE, &container, "web", &[]);
        assert_eq!((&*name, &unnamed), ("eth0", &mac));
        let (name, second, _) = make(ALICE, &container, "web", &[]);
        assert_eq!(name, "eth1");
        let (_, third, _) = make(ALICE, &container, "web", &["eth3"]);
        let (name, fourth, _) = make(ALICE, &container, "web", &[]);
        assert_eq!(name, "eth2");
        let (name, fifth, _) = make(ALICE, &container, "web", &[]);
        assert_eq!(name, "eth4");
        container.delete_link("eth1");
        assert_eq!(make(ALICE, &container, "web", &[]).1, second);
        container.delete_link("eth1");
        assert_eq!(make(ALICE, &container, "web", &["eth1"]).1, second);
        let taken =
            world.nic(ALICE, &["create", "/dev/null", "web", &container.pid(), "veth", "lxcbr0", "eth1"]);
        taken.refuses("is taken in the container");

        let others = world.container(ALICE);
        let (_, of_db, _) = make(ALICE, &others, "db", &["eth0"]);
        let bobs = world.container(BOB);
        let (_, of_bob, _) = make(BOB, &bobs, "web", &["eth0"]);
        let all = BTreeSet::from([mac, second, third, fourth, fifth, of_db, of_bob]);
        assert_eq!(all.len(), 7, "{all:?}");

        // On other bridges it is drawn by lot.
        let _nic = world.create(ALICE, &others, "veth", "lxcbr1", &["eth1"]).nic();
        let before = others.link("eth1").mac;
        others.delete_link("eth1");
        let _nic = world.create(ALICE, &others, "veth", "lxcbr1", &["eth1"]).nic();
        assert_ne!(others.link("eth1").mac, before);
    });
}

/// J13, J15: wherever a helper is killed while it clears away, makes or removes. Else a user could fill that table, one place of his own
/// after the other.
#[test]
fn a_place_in_everybodys_table_is_never_without_one_in_its_owners() {
    enter(|world| {
        world.usernet("alice veth lxcbr0 3\n");
        world.write(INI, "[bridge \"*\"]\nmax-nics = 5\n");
        let names = |table: &str| -> BTreeSet<String> {
            let records = world.ledger().into_iter().filter(|record| record.quota == table);
            records.map(|record| record.fields[1].clone()).collect()
        };
        let killed_at = |number: usize, args: &[&str]| {
            let inject = format!("inject=pwrite64:signal=KILL:when={number}");
            let options = ["-o", "/run/world/trace", "-e", "signal=none", "-e", &inject];
            let answer = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args));
            let (all, own) = (names("all.veth.lxcbr0"), names("u52001.veth.lxcbr0"));
            assert!(all.is_subset(&own), "{number} {args:?}: {all:?} {own:?}");
            answer.signal.is_some()
        };
        let clear = |container: Container| {
            drop(container);
            while !world.host_veths().is_empty() {
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        let mut number = 1;
        loop {
            let container = world.container(ALICE);
            drop(world.create(ALICE, &container, "veth", "lxcbr0", &[]).nic());
            clear(container);
            let container = world.container(ALICE);
            let is_killed =
                killed_at(number, &["create", "/dev/null", "dummy", &container.pid(), "veth", "lxcbr0"]);
            clear(container);
            drop(world.run(world.nsgate(ROOT).arg("gc")));
            if !is_killed {
                break;
            }
            number += 1;
        }
        assert!(number > 6, "{number}");
        for number in 1.. {
            let container = world.container(ALICE);
            let nic = world.create(ALICE, &container, "veth", "lxcbr0", &[]).nic();
            let netns = container.netns();
            let args = ["delete", "/dev/null", "dummy", &netns, "veth", "lxcbr0", &nic.host_name];
            let is_killed = killed_at(number, &args);
            clear(container);
            drop(world.run(world.nsgate(ROOT).arg("gc")));
            if !is_killed {
                assert!(number > 2, "{number}");
                break;
            }
        }
    });
}

const CREATES: &str = "[per-user-bridge]\ncreate = yes\n";

/// Alice has a line of her own, Bob and Carol their group's.
fn enter_with_own_bridges(ini: &str, test: impl FnOnce(&World) + Send) {
    enter(|world| {
        world.usernet("@crew veth nsbr-%u 2\nalice veth nsbr-%u 2\n");
        world.write(INI, ini);
        test(world);
    });
}

fn own_bridge(user: User) -> String {
    format!("nsbr-{}", user.id)
}

/// `create` on this user's own bridge.
fn create_on_own(world: &World, user: User, container: &Container) -> Answer {
    if user == ALICE {
        world.create(user, container, "veth", &own_bridge(user), &[])
    } else {
        create_in_crew(world, user, container, &own_bridge(user))
    }
}

fn exists(link: &str) -> bool {
    Path::new("/sys/class/net").join(link).exists()
}

fn ipv6(link: &str, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{link}/{key}")).expect("a setting");
    text.trim().to_owned()
}

/// How often a bridge is in the table of users' bridges.
fn counted(world: &World, bridge: &str) -> usize {
    let records = world.ledger().into_iter().filter(|record| record.quota == "bridges");
    records.filter(|record| record.fields[1] == bridge).count()
}

/// It is as a bridge of this user's own has to be, and is in the table.
#[track_caller]
fn assert_complete(world: &World, bridge: &str, user: User) {
    let link = world.host_link(bridge);
    assert!(
        link.is_up() && link.detail.contains(" bridge ") && link.detail.contains(" stp_state 0 "),
        "{link:?}"
    );
    assert_eq!(link.alias, format!("nsgate:bridge,uid={}", user.id));
    assert_eq!((&*ipv6(bridge, "accept_ra"), &*ipv6(bridge, "autoconf")), ("0", "0"));
    assert_eq!(counted(world, bridge), 1, "{:?}", world.ledger());
}

/// Nobody can send anything to the host's IPv6 by it.
#[track_caller]
fn assert_never_open(world: &World, bridge: &str, context: &str) {
    if exists(bridge) && world.host_link(bridge).is_up() {
        assert_eq!((&*ipv6(bridge, "accept_ra"), &*ipv6(bridge, "autoconf")), ("0", "0"), "{context}");
    }
}

/// By default the kernel listens to routers, so that this can fail.
#[test]
fn a_bridge_of_ones_own_is_made_at_the_first_request_and_kept() {
    for ini in ["", "[per-user-bridge]\ncreate = no\nmax-bridges = 5\n"] {
        enter_with_own_bridges(ini, |world| {
            let _ovs = Ovs::start(world);
            let container = world.container(ALICE);
            let before = world.state();
            let answer = create_on_own(world, ALICE, &container);
            answer.refuses("nsbr-52001 does not exist: there is no such bridge on this host");
            answer.refuses("create = yes in /etc/nsgate.ini, [per-user-bridge]");
            answer.refuses("ip link add name nsbr-52001 type bridge && ip link set dev nsbr-52001 up");
            assert_eq!((world.state(), exists("nsbr-52001")), (before, false));
        });
    }
    enter_with_own_bridges(CREATES, |world| {
        assert_eq!(ipv6("default", "accept_ra"), "1");
        assert_eq!(ipv6("lxcbr0", "accept_ra"), "1");
        let (mut alices, bobs) = (world.container(ALICE), world.container(BOB));
        let first = create_on_own(world, ALICE, &alices).nic();
        assert_complete(world, "nsbr-52001", ALICE);
        let made = world.host_link("nsbr-52001");
        let second = create_on_own(world, ALICE, &alices).nic();
        for nic in [&first, &second] {
            assert_eq!(world.host_link(&nic.host_name).master, "nsbr-52001");
        }
        create_on_own(world, ALICE, &alices).refuses("Quota reached");
        let bobs_nic = create_on_own(world, BOB, &bobs).nic();
        assert_complete(world, "nsbr-52002", BOB);
        assert_eq!(world.host_link(&bobs_nic.host_name).master, "nsbr-52002");
        // It stays when it is empty, as it is, its address too.
        alices.end();
        [first, second].iter().for_each(|nic| world.wait_until_gone(&nic.host_name));
        let alices = world.container(ALICE);
        let _nic = create_on_own(world, ALICE, &alices).nic();
        let now = world.host_link("nsbr-52001");
        assert_eq!((now.index, now.mac), (made.index, made.mac));
        assert_complete(world, "nsbr-52001", ALICE);
        // If root has removed it, there is a new one.
        world.ip(&["link", "del", "nsbr-52001"]);
        let _nic = create_on_own(world, ALICE, &alices).nic();
        assert_complete(world, "nsbr-52001", ALICE);
    });
}

#[test]
fn nobody_gets_anothers_bridge_or_one_that_no_line_names() {
    enter_with_own_bridges(CREATES, |world| {
        world.append("/etc/lxc/lxc-usernet", "alice veth fixed0 5\nbob veth bob%u 0\n");
        let containers = [ALICE, BOB].map(|user| world.container(user));
        let before = world.state();
        for (user, container) in [ALICE, BOB].into_iter().zip(&containers) {
            let other = if user == ALICE { BOB } else { ALICE };
            for bridge in [
                &*own_bridge(other),
                "nsbr-5200",
                "nsbr-520011",
                "nsbr-0",
                "nsbr-",
                "bob52002",
                "nsbr-052001",
            ] {
                create_in_crew(world, user, container, bridge).refuses("is not allowed");
                assert!(!exists(bridge));
            }
            let answer = create_in_crew(world, user, container, "nsbr-%u");
            answer.refuses("");
            // A line that names one without %u has none made.
            create_in_crew(world, user, container, "fixed0").refuses("");
            assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
        }
        // Carol is in the group, and asks outside of it.
        let container = world.container(CAROL);
        world.create(CAROL, &container, "veth", "nsbr-52003", &[]).refuses("is not allowed");
        assert!(!exists("nsbr-52003"));
        // A container that is not the caller's gets none either, nor a request that names no process.
        create_on_own(world, BOB, &container).refuses("");
        let mut nobody = world.command_in_groups(BOB, &[CREW], LXC_USER_NIC);
        world.run(nobody.args(["create", "/dev/null", "x", "999999999", "veth", "nsbr-52002"])).refuses("");
        assert_eq!((world.state(), exists("nsbr-52002")), (before, false));
    });
}

#[test]
fn what_root_has_under_that_name_stays_as_it_is() {
    enter_with_own_bridges(CREATES, |world| {
        let (alices, bobs) = (world.container(ALICE), world.container(BOB));
        world.ip(&["link", "add", "nsbr-52001", "type", "veth", "peer", "name", "wire"]);
        world.ip(&["link", "add", "nsbr-52002", "address", "02:00:00:00:00:77", "type", "bridge"]);
        let before = (world.host_link("nsbr-52001"), world.host_link("nsbr-52002"));
        let state = world.state();
        create_on_own(world, ALICE, &alices).refuses("is not a bridge");
        assert_eq!(world.state(), state);
        let nic = create_on_own(world, BOB, &bobs).nic();
        assert_eq!(world.host_link(&nic.host_name).master, "nsbr-52002");
        let after = (world.host_link("nsbr-52001"), world.host_link("nsbr-52002"));
        assert_eq!((&after.0, &*after.1.alias, &*after.1.mac), (&before.0, "", "02:00:00:00:00:77"));
        // Root has not brought it up, and wants to hear of routers there.
        assert!(!after.1.is_up() && ipv6("nsbr-52002", "accept_ra") == "1", "{after:?}");
        assert_eq!(counted(world, "nsbr-52001") + counted(world, "nsbr-52002"), 0);
        // An alternative name is one that no other interface can have.
        world.ip(&["link", "del", "nsbr-52001"]);
        world.ip(&["link", "property", "add", "dev", "lxcbr1", "altname", "nsbr-52001"]);
        create_on_own(world, ALICE, &alices).refuses("");
        assert!(world.host_links().iter().all(|link| link.name != "nsbr-52001" && link.master != "lxcbr1"));
    });
}

/// What is refused after that leaves his bridge, whole and counted: for the next request, or for `nsgate gc`.
#[test]
fn a_bridge_stays_if_the_request_that_made_it_is_refused() {
    enter_with_own_bridges(CREATES, |world| {
        let container = world.container(ALICE);
        let answer = world.create(ALICE, &container, "veth", "nsbr-52001", &["lo"]);
        answer.refuses("interface name \"lo\" is taken in the container");
        assert_complete(world, "nsbr-52001", ALICE);
        assert_eq!((world.host_veths(), world.nics()), (vec![], vec![]));
        let made = world.host_link("nsbr-52001").index;
        let _nic = create_on_own(world, ALICE, &container).nic();
        assert_eq!(world.host_link("nsbr-52001").index, made);
    });
}

#[test]
fn ten_requests_at_once_make_one_bridge() {
    enter_with_own_bridges(CREATES, |world| {
        world.usernet("alice veth nsbr-%u 10\n");
        for round in 0..3 {
            let container = world.container(ALICE);
            let answers = std::thread::scope(|scope| {
                let started = [(); 10].map(|()| scope.spawn(|| create_on_own(world, ALICE, &container)));
                started.map(|one| one.join().expect("an answer"))
            });
            let names: BTreeSet<String> = answers.iter().map(|answer| answer.nic().host_name).collect();
            assert_eq!(names.len(), 10);
            assert!(names.iter().all(|name| world.host_link(name).master == "nsbr-52001"));
            assert_complete(world, "nsbr-52001", ALICE);
            let bridges = world.ledger().into_iter().filter(|record| record.quota == "bridges");
            assert_eq!(bridges.count(), 1, "round {round}");
            drop(container);
            names.iter().for_each(|name| world.wait_until_gone(name));
            world.ip(&["link", "del", "nsbr-52001"]);
        }
    });
}

#[test]
fn one_user_more_than_max_bridges_gets_none() {
    enter_with_own_bridges("[per-user-bridge]\nmax-bridges = 2\ncreate = yes\n", |world| {
        let containers = [ALICE, BOB, CAROL].map(|user| (user, world.container(user)));
        for (user, container) in &containers[..2] {
            let _nic = create_on_own(world, *user, container).nic();
        }
        let (carol, carols) = &containers[2];
        let before = world.state();
        forbidden(&create_on_own(world, *carol, carols), 2, "max-bridges");
        assert_eq!((world.state(), exists("nsbr-52003")), (before, false));
        // The others go on.
        let _nic = create_on_own(world, ALICE, &containers[0].1).nic();
        // Root's own do not count, and one that root has removed does no more.
        world.ip(&["link", "add", "nsbr-52003", "type", "bridge"]);
        let _nic = create_on_own(world, *carol, carols).nic();
        world.ip(&["link", "del", "nsbr-52003"]);
        world.ip(&["link", "del", "nsbr-52001"]);
        let _nic = create_on_own(world, *carol, carols).nic();
        assert_complete(world, "nsbr-52003", CAROL);
        forbidden(&create_on_own(world, ALICE, &containers[0].1), 2, "max-bridges");
    });
}

/// M15: no port is left out because of what somebody has written about it: then the bridge would be empty, and go.
#[test]
fn a_bridge_whose_ports_have_odd_names_is_not_removed() {
    enter_with_own_bridges(CREATES, |world| {
        let alices = world.container(ALICE);
        let nic = create_on_own(world, ALICE, &alices).nic();
        let odd = OsStr::from_bytes(b"\xe9");
        let set = |port: &OsStr, what: &str, value: &OsStr| {
            let mut ip = world.command(ROOT, "/usr/sbin/ip");
            world.run(ip.args(["link", "set", "dev"]).arg(port).arg(what).arg(value)).succeeds();
        };
        let stays = |what: &str| {
            let swept = world.run(world.nsgate(ROOT).arg("gc"));
            assert!(exists("nsbr-52001"), "{what}: {swept:?}");
        };
        let name: &OsStr = nic.host_name.as_ref();
        set(name, "alias", odd);
        stays("alias");
        set(name, "alias", "of the lab".as_ref());
        world.ip(&["link", "set", "dev", &nic.host_name, "down"]);
        set(name, "name", odd);
        stays("name");
    });
}

/// J13: one helper after another that stands still, wherever: its user has one place of all users' at most.
#[test]
fn a_user_who_freezes_his_helpers_has_no_more_places_than_bridges() {
    enter_with_own_bridges("[per-user-bridge]\ncreate = yes\nmax-bridges = 2\n", |world| {
        let (alices, bobs) = (world.container(ALICE), world.container(BOB));
        // The ledger is there: the first of all makes more calls.
        let bobs_bridge = own_bridge(BOB);
        let _nic = create_on_own(world, BOB, &bobs).nic();
        bobs.delete_link("eth0");
        world.ip(&["link", "del", &bobs_bridge]);
        let pid = alices.pid();
        let args = ["create", "/dev/null", "dummy", &pid, "veth", "nsbr-52001"];
        let places = world.places(ALICE, &args);
        let as_root = places.iter().position(|place| place.call == "setgroups").expect("it becomes root");
        let locks =
            places[as_root..].iter().filter(|place| place.call == "fcntl" || place.call == "pwrite64");
        let mut places_held = 0;
        for place in locks.take(8) {
            alices.names().iter().for_each(|name| alices.delete_link(name));
            if exists("nsbr-52001") {
                world.ip(&["link", "del", "nsbr-52001"]);
            }
            let held: Vec<_> = (0..3).filter_map(|_| world.held(ALICE, place, &args).ok()).collect();
            places_held = places_held.max(counted(world, "nsbr-52001"));
            let start = Instant::now();
            let _nic = create_on_own(world, BOB, &bobs).nic();
            assert!(start.elapsed() < Duration::from_millis(900), "{:?} at {place:?}", start.elapsed());
            assert_complete(world, &bobs_bridge, BOB);
            bobs.delete_link("eth0");
            world.ip(&["link", "del", &bobs_bridge]);
            held.into_iter().for_each(Held::kill);
            let start = Instant::now();
            let _nic = world.nic(ALICE, &args).nic();
            assert!(start.elapsed() < Duration::from_millis(900), "{:?} at {place:?}", start.elapsed());
            assert_complete(world, "nsbr-52001", ALICE);
        }
        assert_eq!(places_held, 1);
    });
}

/// The names of as many bridges as a test needs, each new to the host. Alice may have two interfaces on each.
fn fresh_bridges(world: &World) -> impl Iterator<Item = String> {
    let lines: String = (0..400).map(|number| format!("alice veth b{number}-%u 2\n")).collect();
    world.usernet(lines);
    (0..400).map(|number| format!("b{number}-{}", ALICE.id))
}

/// A container of Alice's, new bridges for it, and where a run that makes one of them can be stopped.
fn makings(world: &World) -> (Container, impl Iterator<Item = String>, Vec<Place>) {
    let (container, mut bridges) = (world.container(ALICE), fresh_bridges(world));
    let mut fresh = || bridges.next().expect("a bridge");
    // The ledger is there: the first of all makes more calls.
    let _nic = world.create(ALICE, &container, "veth", &fresh(), &[]).nic();
    let places = world.places(ALICE, &["create", "/dev/null", "dummy", &container.pid(), "veth", &fresh()]);
    clear(&container);
    (container, bridges, places)
}

fn clear(container: &Container) {
    container.names().iter().for_each(|name| container.delete_link(name));
}

/// J15, of bridges. Killed after any call of its work as root, until the bridge is complete: then the rest is the story of
/// an interface (`nic_faults.rs`).
#[test]
fn whenever_the_maker_of_a_bridge_is_killed_the_next_request_completes_it() {
    enter_with_own_bridges(CREATES, |world| {
        let log = log_of(world);
        let (container, mut bridges, places) = makings(world);
        let pid = container.pid();
        let as_root = places.iter().position(|place| place.call == "setgroups").expect("it becomes root");
        let (mut complete, mut half, mut tried) = (0, 0, 0);
        for place in places[as_root..].iter().filter(|place| !place.is_dull()) {
            let bridge = bridges.next().expect("a bridge");
            let args = ["create", "/dev/null", "dummy", &pid, "veth", &bridge];
            records(&log);
            let Ok(held) = world.held(ALICE, place, &args) else { panic!("it does not get to {place:?}") };
            let there = exists(&bridge);
            let is_complete = there && !world.host_link(&bridge).alias.is_empty();
            let said = records(&log);
            assert!(
                !there || said.iter().any(|line| line.contains("granted: ")),
                "made before it was logged: {place:?}"
            );
            assert_never_open(world, &bridge, &format!("{place:?}"));
            held.kill();
            assert_eq!(exists(&bridge), there);
            half += usize::from(there && !is_complete);
            let start = Instant::now();
            let _nic = world.nic(ALICE, &args).nic();
            assert!(start.elapsed() < Duration::from_secs(2), "{:?} after {place:?}", start.elapsed());
            assert_complete(world, &bridge, ALICE);
            let ours = world.host_links().into_iter().filter(|link| link.name == bridge);
            assert_eq!(ours.count(), 1);
            clear(&container);
            tried += 1;
            complete = if is_complete { complete + 1 } else { 0 };
            if complete == 2 {
                break;
            }
        }
        assert!(complete == 2 && half >= 5 && tried >= 20, "{complete} {half} {tried}");
        let bridges: BTreeSet<String> = world
            .ledger()
            .into_iter()
            .filter(|record| record.quota == "bridges")
            .map(|record| record.fields[1].clone())
            .collect();
        assert_eq!(bridges.len(), tried + 2);
    });
}

/// J15, of bridges: whatever root's rules for new interfaces (udev's) have called it meanwhile, it is removed or counts.
#[test]
fn a_bridge_whose_maker_was_killed_is_found_by_another_name() {
    enter_with_own_bridges(CREATES, |world| {
        let (container, mut bridges, places) = makings(world);
        let pid = container.pid();
        let (mut removed, mut without_number, mut counts) = (0, 0, 0);
        for place in places.iter().filter(|place| ["sendto", "pwrite64", "openat"].contains(&&*place.call)) {
            clear(&container);
            let bridge = bridges.next().expect("a bridge");
            let args = ["create", "/dev/null", "dummy", &pid, "veth", &bridge];
            let Ok(held) = world.held(ALICE, place, &args) else { panic!("it does not get to {place:?}") };
            held.kill();
            if !exists(&bridge) {
                let _nic = world.nic(ALICE, &args).nic();
                continue;
            }
            if !world.host_link(&bridge).alias.is_empty() {
                break;
            }
            let ledger = world.ledger();
            let half = ledger.iter().find(|record| record.quota == "bridges" && record.fields[1] == bridge);
            let half = half.expect("it is in no table");
            without_number += usize::from(half.fields[2] == "0");
            world.ip(&["link", "set", "dev", &bridge, "down"]);
            world.ip(&["link", "set", "dev", &bridge, "name", "renamed"]);
            let _nic = world.nic(ALICE, &args).nic();
            assert_eq!(counted(world, &bridge), 1 + usize::from(exists("renamed")), "{place:?} {half:?}");
            if exists("renamed") {
                assert_eq!(half.fields[0], "+", "{place:?} {half:?}");
                world.ip(&["link", "del", "renamed"]);
                counts += 1;
            } else {
                removed += 1;
            }
        }
        assert!(removed >= 3 && without_number >= 1 && counts >= 1, "{removed} {without_number} {counts}");
    });
}

/// Whatever fails while a bridge is made: it is not there, or complete, and the next request has one.
#[test]
fn a_request_that_fails_leaves_no_bridge_that_is_half_made() {
    enter_with_own_bridges(CREATES, |world| {
        let (container, mut bridges, places) = makings(world);
        let pid = container.pid();
        let as_root = places.iter().position(|place| place.call == "setgroups").expect("it becomes root");
        let own = |place: &&Place| {
            ["openat", "write", "pwrite64", "fallocate", "sendto", "fcntl"].contains(&&*place.call)
        };
        let (mut failed, mut went_on) = (0, 0);
        for place in places[as_root..].iter().filter(own) {
            let bridge = bridges.next().expect("a bridge");
            // With a write tokio wakes itself up: EAGAIN is what can become of that.
            let error = if place.call == "write" { "EAGAIN" } else { "EPERM" };
            let inject = format!("inject={}:error={error}:when={}", place.call, place.number);
            let options = ["-o", "/run/world/trace", "-e", "signal=none", "-e", &inject];
            let mut command = world.strace(ALICE, &options, LXC_USER_NIC);
            let answer = world.run(command.args(["create", "/dev/null", "dummy", &pid, "veth", &bridge]));
            if exists(&bridge) {
                assert_complete(world, &bridge, ALICE);
            } else {
                answer.refuses("");
                assert_eq!(counted(world, &bridge), 0, "{place:?}: {answer:?}");
                failed += 1;
            }
            went_on = if exists(&bridge) { went_on + 1 } else { 0 };
            clear(&container);
            let _nic = world.nic(ALICE, &["create", "/dev/null", "dummy", &pid, "veth", &bridge]).nic();
            assert_complete(world, &bridge, ALICE);
            clear(&container);
            if went_on == 4 {
                break;
            }
        }
        assert!(failed > 8, "{failed}");
    });
}

/// `create` on lxcbr0 by a caller in this control group.
fn create_from(world: &World, group: Option<&Cgroup>, container: &Container) -> Answer {
    let mut command = world.command(ROOT, "/bin/sh");
    let file = group.map_or("/dev/null".into(), Cgroup::processes);
    command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(file);
    command.args(["/usr/bin/setpriv", "--reuid=52001", "--regid=52001", "--clear-groups", LXC_USER_NIC]);
    world.run(command.args(["create", "/dev/null", "dummy", &container.pid(), "veth", "lxcbr0"]))
}

#[test]
fn caller_and_container_have_to_be_limited_if_root_says_so() {
    enter(|world| {
        let top = Cgroup::new("nic");
        let (limited, open) = (top.below("limited"), top.below("open"));
        let below = limited.below("below");
        limited.limit("500");
        let container = world.container(ALICE);
        let made = |answer: &Answer| {
            let nic = answer.nic();
            container.delete_link(&nic.container_name);
        };
        let refused = |answer: &Answer, who: &str| {
            forbidden(answer, 2, "require-limits");
            assert!(answer.stderr.contains(&format!("pids is not limited for {who}")), "{answer:?}");
            assert_eq!(container.names(), [""; 0]);
        };
        world.write(INI, "[nic]\nrequire-limits = pids\n");
        refused(&create_from(world, None, &container), "the caller");
        for caller in [&limited, &below] {
            // The container is in no group that is limited yet: whoever could call from one would gain nothing.
            open.take(&container.pid());
            refused(&create_from(world, Some(caller), &container), "the container");
            for group in [&limited, &below] {
                group.take(&container.pid());
                made(&create_from(world, Some(caller), &container));
                refused(&create_from(world, None, &container), "the caller");
                refused(&create_from(world, Some(&open), &container), "the caller");
            }
        }
        // An empty list asks for nothing.
        world.write(INI, "[nic]\nrequire-limits =\n");
        made(&create_from(world, None, &container));
        // All of a list are asked for. (The memory of the machine that this runs on may be limited, or may not.)
        world.write(INI, "[nic]\nrequire-limits = pids, cpu\n");
        let answer = create_from(world, Some(&below), &container);
        forbidden(&answer, 2, "require-limits");
        assert!(answer.stderr.contains("cpu is not limited"), "{answer:?}");

        // What the user can lift is no limit.
        world.write(INI, "[nic]\nrequire-limits = pids\n");
        let file = limited.limit_file();
        chown(&file, Some(ALICE.id), None).expect("chown");
        refused(&create_from(world, Some(&below), &container), "the caller");
        chown(&file, Some(0), None).expect("chown");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("chmod");
        refused(&create_from(world, Some(&below), &container), "the caller");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("chmod");
        made(&create_from(world, Some(&below), &container));
        // One that is the user's, below one that is not.
        let own = below.limit_file();
        below.limit("100");
        chown(&own, Some(ALICE.id), None).expect("chown");
        made(&create_from(world, Some(&below), &container));
        limited.limit("max");
        refused(&create_from(world, Some(&below), &container), "the caller");
        // A request that is refused for it has no bridge made.
        world.write(INI, format!("[nic]\nrequire-limits = pids\n{CREATES}"));
        world.usernet("alice veth lxcbr0 5\nalice veth nsbr-%u 5\n");
        forbidden(&world.create(ALICE, &container, "veth", "nsbr-52001", &[]), 2, "require-limits");
        assert!(!exists("nsbr-52001"));
        drop(container);
        drop(below);
    });
}

/// Its pid alone does not make a process the container: it may have gone to another network namespace since the helper
/// opened the one that gets the interface, or it may be another process by now.
#[test]
fn limits_are_looked_for_where_the_interface_goes_and_not_where_its_pid_is_meanwhile() {
    const MOVES: &str = "import ctypes, signal\n\
        move = lambda *_: ctypes.CDLL(None).unshare(0x40000000)\n\
        signal.signal(signal.SIGUSR1, move)\n\
        while True: signal.pause()";
    enter(|world| {
        world.write(INI, "[nic]\nrequire-limits = pids\n");
        let start = || {
            let mut command = world.command(ALICE, "/usr/bin/unshare");
            world.container_of(command.args(["-r", "-n", "/usr/bin/python3", "-I", "-c", MOVES]))
        };
        let args =
            |pid: &str| ["create", "/dev/null", "dummy", pid, "veth", "lxcbr0", "eth0"].map(str::to_owned);
        let container = start();
        let words = args(&container.pid());
        let mut strace = world.strace(ALICE, &["-o", "/run/world/opens", "-e", "trace=openat"], LXC_USER_NIC);
        world.run(strace.args(&words)).refuses("pids");
        let opens = fs::read_to_string("/run/world/opens").expect("trace");
        let is_it = |line: &str| line.contains("/ns/net\"");
        let number = opens.lines().filter(|line| line.starts_with("openat(")).position(is_it);
        let opened = Place { call: "openat".to_owned(), number: number.expect("it opens ns/net") + 1 };

        for moves in [false, true] {
            let container = start();
            let words = args(&container.pid());
            let held =
                world.held(ALICE, &opened, &words.each_ref().map(|word| &**word)).expect("it stops there");
            if moves {
                // When it has said what the signal is to do.
                let status =
                    || fs::read_to_string(format!("/proc/{}/status", container.pid())).expect("status");
                let start = Instant::now();
                let caught = |line: &str| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok();
                while status().lines().find_map(caught).is_none_or(|caught| caught & 1 << 9 == 0) {
                    assert!(start.elapsed() < Duration::from_secs(10), "{}", status());
                    std::thread::sleep(Duration::from_millis(2));
                }
                let before = fs::read_link(container.netns()).expect("ns/net");
                let pid = nix::unistd::Pid::from_raw(container.pid().parse().expect("a pid"));
                nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR1).expect("kill");
                let start = Instant::now();
                while fs::read_link(container.netns()).expect("ns/net") == before {
                    assert!(start.elapsed() < Duration::from_secs(10), "it does not move");
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            let answer = held.go_on();
            answer.refuses(if moves { "look at the control group of process" } else { "pids" });
        }
    });
}

/// A bridge that lxc-user-nic has begun and nobody has completed is nobody's: not by another line, and not without the rule.
#[test]
fn a_bridge_that_is_not_complete_is_not_used() {
    enter(|world| {
        world.ip(&["link", "add", "nsbr-52001", "group", "1853056866", "type", "bridge"]);
        world.usernet("alice veth nsbr-%u 5\nbob veth nsbr-52001 5\n");
        let (alices, bobs) = (world.container(ALICE), world.container(BOB));
        let before = world.state();
        for (user, container) in [(ALICE, &alices), (BOB, &bobs)] {
            world.create(user, container, "veth", "nsbr-52001", &[]).refuses("has not completed");
            assert_eq!((world.state(), container.names()), (before.clone(), vec![]));
        }
        // It is hers to have made anew.
        world.write(INI, "[per-user-bridge]\ncreate = yes\n");
        let nic = world.create(ALICE, &alices, "veth", "nsbr-52001", &[]).nic();
        assert_eq!(world.host_link(&nic.host_name).master, "nsbr-52001");
        assert!(world.host_link("nsbr-52001").is_up());
        let accept_ra = "/proc/sys/net/ipv6/conf/nsbr-52001/accept_ra";
        assert_eq!(fs::read_to_string(accept_ra).expect("read").trim(), "0");
    });
}
