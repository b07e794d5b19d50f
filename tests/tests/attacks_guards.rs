//! Section L of the attack list: what a container cannot do to the host and to its bridge by what it sends,
//! and that an interface is not UP a moment before that is so.
//!
//! L02, L03, L04 and L06 are about guards that the host's own policy asks for: `isolation.rs` and `host_policy_nic.rs`.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use world::{ALICE, BOB, Container, LXC_USER_NIC, Link, NicAnswer, Place, ROOT, World, theirs};

/// A machine with the bridge lxcbr0, where Alice and Bob may have interfaces on it and on no bridge.
fn with_bridge(test: impl FnOnce(&World) + Send) {
    World::enter_with_nic(|world| {
        world.bridge("lxcbr0");
        world.usernet("alice veth lxcbr0 100\nalice veth none 100\nbob veth lxcbr0 100\n");
        test(world);
    });
}

/// The arguments of `create` of eth0 in this container.
fn create_in<'a>(pid: &'a str, bridge: &'a str) -> [&'a str; 7] {
    ["create", "/dev/null", "dummy", pid, "veth", bridge, "eth0"]
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "not in 10 seconds: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A setting in `/proc/sys/net`, of the host.
fn setting(name: &str) -> String {
    fs::read_to_string(format!("/proc/sys/net/{name}")).expect(name).trim().to_owned()
}

fn set(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{name}"), value).expect(name);
}

/// The words in which `ip` has the guards of a port of a bridge.
const PORT_GUARDS: [&str; 3] = [" guard on ", " root_block on ", " mcast_router 0 "];

/// It is as a host end of Alice's has to be.
#[track_caller]
fn assert_guarded(link: &Link, bridge: &str) {
    assert_eq!(link.master, bridge, "{link:?}");
    assert!(link.is_up() && link.detail.contains(" addrgenmode none "), "{link:?}");
    assert!(bridge.is_empty() || PORT_GUARDS.iter().all(|guard| link.detail.contains(guard)), "{link:?}");
    assert_eq!(link.alias, "nsgate:uid=52001,owner=u52001");
    assert_eq!(setting(&format!("ipv6/conf/{}/disable_ipv6", link.name)), "1");
    assert_eq!(setting(&format!("ipv6/conf/{}/accept_ra", link.name)), "0");
    if bridge.is_empty() {
        assert_ne!(setting(&format!("ipv4/conf/{}/rp_filter", link.name)), "0");
    }
    let arp_ignore = if bridge.is_empty() { "1" } else { "0" };
    assert_eq!(setting(&format!("ipv4/conf/{}/arp_ignore", link.name)), arp_ignore);
}

/// `ip monitor` of the host's links. It ends with the value.
struct Monitor(Child);

const MONITORED: &str = "/run/monitored";

impl Monitor {
    fn start(world: &World) -> Self {
        let file = fs::File::create(MONITORED).expect("create");
        let mut ip = world.command(ROOT, "/usr/sbin/ip");
        ip.args(["-d", "-o", "monitor", "link"]).stdout(file);
        let monitor = Self(ip.spawn().expect("start ip"));
        until("the monitor sees something", || {
            mark(world);
            fs::metadata(MONITORED).expect("monitored").len() != 0
        });
        monitor
    }

    /// What it has seen of links whose name begins so.
    fn seen(&self, world: &World, name: &str) -> Vec<String> {
        let marks = || fs::read_to_string(MONITORED).expect("monitored").matches("Deleted").count();
        let before = marks();
        until("the monitor has seen all", || {
            mark(world);
            marks() > before + 1
        });
        let text = fs::read_to_string(MONITORED).expect("monitored");
        let of_it = text
            .lines()
            .filter(|line| line.split_whitespace().nth(1).is_some_and(|word| word.starts_with(name)));
        of_it.map(str::to_owned).collect()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn mark(world: &World) {
    world.ip(&["link", "add", "mark", "type", "bridge"]);
    world.ip(&["link", "del", "mark"]);
}

/// L01: as everybody on the host sees it.
#[test]
fn no_interface_is_up_that_is_not_guarded() {
    if theirs() {
        return; // our rule
    }
    with_bridge(|world| {
        let container = world.container(ALICE);
        for (number, bridge) in ["lxcbr0", "none"].into_iter().enumerate() {
            let monitor = Monitor::start(world);
            let nic = world.create(ALICE, &container, "veth", bridge, &[&format!("eth{number}")]).nic();
            let master = if bridge == "none" { "" } else { bridge };
            // What is told of an interface as a port alone has less in it.
            let seen = monitor.seen(world, &nic.host_name);
            let up = seen.iter().filter(|line| line.contains(",UP") && line.contains(" minmtu "));
            let up = up.collect::<Vec<_>>();
            assert!(!up.is_empty() && seen.iter().any(|line| !line.contains(",UP")), "{seen:#?}");
            let alias = format!("alias {}", world.host_link(&nic.host_name).alias);
            for line in up {
                assert!(line.contains(&alias), "{line}");
                assert!(master.is_empty() || PORT_GUARDS.iter().all(|guard| line.contains(guard)), "{line}");
            }
            assert_guarded(&world.host_link(&nic.host_name), master);
        }
    });
}

/// L01: the order of the messages.
#[test]
fn guards_are_set_and_read_back_before_the_interface_is_brought_up() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        for (bridge, guard) in
            [("lxcbr0", "IFLA_BRPORT_GUARD}, 1]"), ("none", "arp_ignore"), ("none", "rp_filter")]
        {
            let container = world.container(ALICE);
            let trace = trace_of(world, &create_in(&container.pid(), bridge));
            let place = |what: &str| {
                let found = |line: &&str| line.contains(what) && !line.starts_with("recvfrom(");
                let lines = trace.lines().enumerate().filter(|(_, line)| found(line)).collect::<Vec<_>>();
                assert_eq!(lines.len(), 1, "{what}: {lines:#?}");
                lines[0].0
            };
            // The kernel's answer to the message that makes it.
            let made =
                trace.lines().position(|line| line.contains("IFLA_IFNAME}, \"veth52001_")).expect("made");
            let up = place("IFF_UP");
            for set in [guard, "IFLA_IFALIAS", "IN6_ADDR_GEN_MODE_NONE", "/disable_ipv6", "/accept_ra"] {
                let set = place(set);
                assert!(made < set && set < up, "{made} {set} {up}");
                let read = trace.lines().take(up).skip(set).any(|line| line.contains("RTM_GETLINK"));
                assert!(read, "{trace}");
            }
            // And nobody is told of it earlier.
            assert!(up < place("\"eth0:2:veth52001_"), "{trace}");
        }
    });
}

/// The system calls of a run with these arguments, which succeeds.
fn trace_of(world: &World, args: &[&str]) -> String {
    const TRACE: &str = "/run/trace";
    let options = ["-qq", "-v", "-s", "300", "-o", TRACE, "-e", "signal=none"];
    let _nic = world.run(world.strace(ALICE, &options, LXC_USER_NIC).args(args)).nic();
    fs::read_to_string(TRACE).expect("trace")
}

/// Right after this setting has been written.
fn after_setting(trace: &str, setting: &str) -> Place {
    let lines = trace.lines().collect::<Vec<_>>();
    let opened = lines.iter().position(|line| line.contains(&format!("/{setting}\""))).expect(setting);
    // How often there is a `write` before depends on when the kernel answers.
    let closed = opened + lines[opened..].iter().position(|line| line.starts_with("close(")).expect("closed");
    assert!(lines[opened..closed].iter().any(|line| line.starts_with("write(")), "{trace}");
    let number = lines[..=closed].iter().filter(|line| line.starts_with("close(")).count();
    Place { call: "close".to_owned(), number }
}

/// Stops helpers that have made an interface for this bridge and set all its guards. What root then does with
/// `$NIC`, which no container could, makes it a refusal, and nothing stays.
fn assert_refused_after(bridge: &str, deeds: &[&str]) {
    with_bridge(|world| {
        world.bridge("other");
        let first = world.container(ALICE);
        let last_setting = if bridge == "none" { "rp_filter" } else { "accept_ra" };
        let place = after_setting(&trace_of(world, &create_in(&first.pid(), bridge)), last_setting);
        let stopped = |container: &Container| {
            let pid = container.pid();
            world.held(ALICE, &place, &create_in(&pid, bridge)).expect("it gets there")
        };
        for deed in deeds {
            println!("{deed}");
            let container = world.container(ALICE);
            let before = world.state();
            let helper = stopped(&container);
            let links = world.host_links();
            let new = |link: &&Link| !before.links.contains(&format!("{}: {}", link.index, link.name));
            let nic = links.iter().find(new).expect("an interface");
            assert!(!nic.is_up(), "{nic:?}");
            let status =
                Command::new("/bin/sh").args(["-ec", deed]).env("NIC", &nic.name).status().expect("sh");
            assert!(status.success(), "{deed}");
            helper.go_on().refuses(&format!("the kernel did not give {} ", nic.name));
            assert_eq!((world.state(), container.names()), (before, vec![]), "{deed}");
        }
        // Left alone it goes on; also where systemd has its own way of checking where packets come from.
        let container = world.container(ALICE);
        let helper = stopped(&container);
        if bridge == "none" {
            world.host_veths().iter().for_each(|name| set(&format!("ipv4/conf/{name}/rp_filter"), "2"));
        }
        let nic = helper.go_on().nic();
        assert_guarded(&world.host_link(&nic.host_name), if bridge == "none" { "" } else { bridge });
    });
}

/// L01: whoever or whatever it is that undoes a guard before the interface is UP.
#[test]
fn an_interface_whose_guards_are_not_all_there_is_removed() {
    if theirs() {
        return;
    }
    let of_any = [
        "echo 0 >/proc/sys/net/ipv6/conf/$NIC/disable_ipv6",
        "echo 1 >/proc/sys/net/ipv6/conf/$NIC/accept_ra",
        "echo 2 >/proc/sys/net/ipv6/conf/$NIC/accept_ra",
        "ip link set dev $NIC addrgenmode eui64",
        "ip link set dev $NIC alias nsgate:uid=0,owner=u0",
        "ip link set dev $NIC up",
    ];
    let of_a_port = [
        "bridge link set dev $NIC guard off",
        "bridge link set dev $NIC root_block off",
        "bridge link set dev $NIC mcast_router 1",
        "bridge link set dev $NIC mcast_router 2",
    ];
    assert_refused_after("lxcbr0", &[&of_any[..], &of_a_port].concat());
    assert_refused_after(
        "none",
        &[
            &of_any[..],
            &["arp_ignore", "rp_filter"]
                .map(|key| format!("echo 0 >/proc/sys/net/ipv4/conf/$NIC/{key}"))
                .each_ref()
                .map(String::as_str),
        ]
        .concat(),
    );
}

/// L01: or takes its address out of the bridge's table, where `lock-mac` has it entered.
#[test]
fn an_interface_whose_address_is_not_in_the_bridges_table_is_removed() {
    if theirs() {
        return;
    }
    const ADDRESS: &str = "mac=$(bridge fdb show dev $NIC | awk '/ static/ { print $1; exit }')";
    let undone = [
        format!("{ADDRESS}; bridge fdb del $mac dev $NIC master"),
        // Or gives it to another port.
        format!(
            "{ADDRESS}; bridge fdb del $mac dev $NIC master; bridge fdb add $mac dev $OTHER master static"
        ),
    ];
    with_bridge(|world| {
        world.write("/etc/nsgate.ini", "[bridge \"*\"]\nlock-mac = yes\n");
        let first = world.container(ALICE);
        let trace = trace_of(world, &create_in(&first.pid(), "lxcbr0"));
        let lines: Vec<_> = trace.lines().collect();
        let entered = lines.iter().position(|line| line.contains("RTM_NEWNEIGH")).expect("it is entered");
        let call = lines[entered].split('(').next().expect("a call");
        let number = lines[..=entered].iter().filter(|line| line.starts_with(&format!("{call}("))).count();
        let place = Place { call: call.to_owned(), number };

        let other = world.host_veths().pop().expect("the first one's");
        for deed in undone.iter().map(Some).chain([None]) {
            let container = world.container(ALICE);
            let before = world.state();
            let pid = container.pid();
            let helper = world.held(ALICE, &place, &create_in(&pid, "lxcbr0")).expect("it gets there");
            let Some(deed) = deed else {
                let _nic = helper.go_on().nic();
                continue;
            };
            let links = world.host_links();
            let new = |link: &&Link| !before.links.contains(&format!("{}: {}", link.index, link.name));
            let nic = links.iter().find(new).expect("an interface");
            let mut sh = Command::new("/bin/sh");
            let status =
                sh.args(["-ec", deed]).env("NIC", &nic.name).env("OTHER", &other).status().expect("sh");
            assert!(status.success(), "{deed}");
            let what = format!("the kernel did not give {} a place in the bridge's table", nic.name);
            helper.go_on().refuses(&what);
            assert_eq!((world.state(), container.names()), (before, vec![]), "{deed}");
        }
    });
}

/// L01: or attaches it elsewhere.
#[test]
fn an_interface_that_is_not_where_it_should_be_is_removed() {
    if theirs() {
        return;
    }
    let of_any = ["ip link set dev $NIC mtu 1400", "ip link set dev $NIC master other"];
    assert_refused_after("lxcbr0", &[&of_any[..], &["ip link set dev $NIC nomaster"]].concat());
    assert_refused_after("none", &of_any);
}

/// L01: or calls it something else: it is the one with that number that was made, and is removed.
#[test]
fn an_interface_that_is_called_something_else_is_removed() {
    if theirs() {
        return;
    }
    let deeds = ["ip link set dev $NIC address 02:00:00:00:00:01", "ip link set dev $NIC name another"];
    assert_refused_after("lxcbr0", &deeds);
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().expect(program);
    assert!(status.success(), "{program} {args:?}");
}

/// Sends frames from an interface, without asking anybody's leave, and tells what comes.
///
/// `packets.py INTERFACE FRAME...` sends each, and if the last is `arp:ADDRESS`, prints all answers up to that
/// to it. The frames go through one processor, one after the other: then the earlier ones have been dealt with.
///
/// `packets.py INTERFACE hear` says `ready`, and then prints what comes, up to the frame `end`.
const PACKETS: &str = r#"
import os, socket, struct, sys

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
interface, *words = sys.argv[1:]
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
link.bind((interface, 0))
link.settimeout(10)
mac = link.getsockname()[4]
END = 0x88b5
ALL_NODES, OWN = "ff02::1", socket.inet_pton(socket.AF_INET6, "fe80::c0:ffee")

def frame(to, kind, payload):
    return bytes.fromhex(to.replace(":", "")) + mac + struct.pack("!H", kind) + payload

def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack("!H", ~total & 0xffff)

def arp(address):
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + socket.inet_aton("10.9.9.2") + bytes(6)
    return frame("ff" * 6, 0x0806, body + socket.inet_aton(address))

def bpdu():
    "The best bridge there can be."
    bridge = struct.pack("!H", 0) + mac
    body = b"\x42\x42\x03" + bytes(5) + bridge + bytes(4) + bridge
    body += struct.pack("!HHHHH", 0x8001, 0, 20 << 8, 2 << 8, 15 << 8)
    return frame("01:80:c2:00:00:00", len(body), body)

def icmp6(to, body):
    to = socket.inet_pton(socket.AF_INET6, to)
    sum_of = checksum(OWN + to + struct.pack("!II", len(body), 58) + body)
    header = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + OWN + to
    return frame("3333" + to[12:].hex(), 0x86dd, header + body[:2] + sum_of + body[4:])

def ra():
    "A default router, a prefix for addresses, and a small MTU."
    prefix = socket.inet_pton(socket.AF_INET6, "2001:db8:77::")
    options = b"\x01\x01" + mac + struct.pack("!BBHI", 5, 1, 0, 1280)
    options += struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 3600, 3600, 0) + prefix
    return icmp6(ALL_NODES, struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + options)

def ns(address):
    target = socket.inet_pton(socket.AF_INET6, address)
    solicited = "ff02::1:ff" + target.hex()[26:28] + ":" + target.hex()[28:]
    return icmp6(solicited, struct.pack("!BBHI", 135, 0, 0, 0) + target + b"\x01\x01" + mac)

def ip(to, protocol, body):
    octets = socket.inet_aton(to)
    ends = socket.inet_aton("10.9.9.2") + octets
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 1, protocol, 0)
    header = header[:10] + checksum(header + ends) + ends
    group = "01005e" + bytes([octets[1] & 127, octets[2], octets[3]]).hex()
    return frame(group, 0x0800, header + body)

def igmp(to, kind, group):
    body = struct.pack("!BBH", kind, 1, 0) + socket.inet_aton(group)
    return ip(to, 2, body[:2] + checksum(body) + body[4:])

FRAMES = {
    "arp": arp, "bpdu": bpdu, "ra": ra, "ns": ns,
    "query": lambda: igmp("224.0.0.1", 0x11, "0.0.0.0"),
    "join": lambda group: igmp(group, 0x16, group),
    "udp": lambda group: ip(group, 17, struct.pack("!HHHH", 9, 9, 8, 0)),
    "end": lambda: frame("ff" * 6, END, bytes(46)),
}

def hear():
    while True:
        got, source = link.recvfrom(2048)
        if source[2] == socket.PACKET_OUTGOING:
            continue
        kind = struct.unpack("!H", got[12:14])[0]
        if kind == END:
            yield "end"
        elif kind == 0x0806 and got[21] == 2:
            yield "arp:" + socket.inet_ntoa(got[28:32])
        elif kind == 0x86dd and got[20] == 58 and got[54] == 136:
            yield "na:" + socket.inet_ntop(socket.AF_INET6, got[62:78])
        elif kind == 0x0800 and got[23] == 17:
            yield "udp:" + socket.inet_ntoa(got[30:34])
        elif kind < 0x600 and got[:6].hex() == "0180c2000000":
            yield "bpdu"

if words == ["hear"]:
    print("ready", flush=True)
    last = "end"
else:
    last = words[-1]
    for word in words:
        name, _, argument = word.partition(":")
        link.send(FRAMES[name](argument) if argument else FRAMES[name]())
    if not last.startswith("arp:"):
        sys.exit()
for heard in hear():
    print(heard, flush=True)
    if heard == last:
        break
"#;

/// See [`PACKETS`].
fn packets(container: &Container, words: &[&str]) -> Command {
    fs::write("/run/packets.py", PACKETS).expect("write");
    let mut command = container.command("/usr/bin/python3");
    command.args(["-I", "/run/packets.py", "eth0"]).args(words);
    command
}

/// Sends these frames from eth0. What comes back until the last is answered.
#[track_caller]
fn send(container: &Container, words: &[&str]) -> Vec<String> {
    let output = packets(container, words).output().expect("python3");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    assert!(output.status.success(), "{words:?}: {}", text(output.stderr));
    text(output.stdout).lines().map(str::to_owned).collect()
}

/// The container's end is UP, and both ends have noticed.
fn connect(world: &World, container: &Container, nic: &NicAnswer) {
    container.ip(&["link", "set", "eth0", "up"]);
    until("both ends are connected", || {
        let host = world.host_link(&nic.host_name);
        let port_is_open = host.master.is_empty() || !host.detail.contains(" bridge_slave state disabled ");
        port_is_open && [host, container.link("eth0")].iter().all(|end| end.detail.contains(" state UP "))
    });
}

/// All addresses, routes and neighbours of the host that have to do with this link.
fn of_the_host(world: &World, link: &str) -> String {
    let asked =
        [["-4", "addr"], ["-6", "addr"], ["-4", "neigh"], ["-6", "neigh"], ["-4", "route"], ["-6", "route"]];
    let answers = asked.map(|[family, what]| {
        let table: &[&str] = if what == "route" { &["table", "all"] } else { &[] };
        world.ip(&[&[family, what, "show", "dev", link], table].concat())
    });
    answers.concat()
}

/// L07. Differs: in C, the host has an IPv6 address on each host end, and listens to routers there.
#[test]
fn the_host_has_no_address_and_learns_no_route_on_a_host_end() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        for (bridge, master) in [("lxcbr0", "lxcbr0"), ("none", "")] {
            let container = world.container(ALICE);
            let nic = world.create(ALICE, &container, "veth", bridge, &["eth0"]).nic();
            let name = &nic.host_name;
            connect(world, &container, &nic);
            assert_eq!(of_the_host(world, name), "");
            send(&container, &["ra"]);
            // By now what was sent has been dealt with: see below.
            assert_eq!(of_the_host(world, name), "");
            // Nor does it begin later on.
            world.ip(&["link", "set", name, "down"]);
            world.ip(&["link", "set", name, "up"]);
            connect(world, &container, &nic);
            send(&container, &["ra"]);
            assert_eq!(of_the_host(world, name), "");
            assert_guarded(&world.host_link(name), master);
        }
    });
}

/// L07. Differs: the C helper leaves the host end as the kernel makes it.
#[test]
fn on_a_host_end_without_a_bridge_the_host_answers_for_no_address_of_its_own() {
    if theirs() {
        return;
    }
    with_bridge(|world| {
        world.ip(&["addr", "add", "10.1.2.3/24", "dev", "lxcbr0"]);
        world.ip(&["addr", "add", "2001:db8::5/64", "dev", "lxcbr0", "nodad"]);
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "none", &["eth0"]).nic();
        let name = &nic.host_name;
        connect(world, &container, &nic);
        // An address on this link is one that root has given it, and is answered for.
        world.ip(&["addr", "add", "10.9.9.1/24", "dev", name]);
        let given = of_the_host(world, name);
        let attack =
            ["arp:10.1.2.3", "ns:2001:db8::5", "ra", "arp:127.0.0.1", "arp:10.1.2.3", "arp:10.9.9.1"];
        assert_eq!(send(&container, &attack), ["arp:10.9.9.1"]);
        // But for the one who has asked for that, nothing is new.
        let neighbours = world.ip(&["neigh", "show", "dev", name]);
        assert!(neighbours.lines().all(|line| line.starts_with("10.9.9.2 ")), "{neighbours}");
        world.ip(&["neigh", "flush", "dev", name]);
        assert_eq!(of_the_host(world, name), given);
        assert_eq!(setting(&format!("ipv6/conf/{name}/mtu")), "1500");

        // So that this can fail: as the kernel has it.
        set(&format!("ipv4/conf/{name}/arp_ignore"), "0");
        set(&format!("ipv6/conf/{name}/disable_ipv6"), "0");
        set(&format!("ipv6/conf/{name}/accept_ra"), "2");
        let heard = send(&container, &attack);
        assert_eq!(heard.iter().filter(|heard| *heard == "arp:10.1.2.3").count(), 2, "{heard:?}");
        assert!(of_the_host(world, name).contains("default via fe80::c0:ffee"));
        assert_eq!(setting(&format!("ipv6/conf/{name}/mtu")), "1280");
    });
}

/// The bridge that lxcbr0 takes for the root of the spanning tree.
fn root() -> String {
    fs::read_to_string("/sys/class/net/lxcbr0/bridge/root_id").expect("root_id")
}

/// Adds a port to lxcbr0 that is as a network card is.
fn add_card(world: &World, mac: &str, mtu: &str) {
    world.ip(&["link", "add", "card", "address", mac, "mtu", mtu, "type", "veth", "peer", "name", "wire"]);
    world.ip(&["link", "set", "wire", "up"]);
    world.ip(&["link", "set", "card", "master", "lxcbr0", "up"]);
    until("the bridge has the card's", || {
        let bridge = world.host_link("lxcbr0");
        (&*bridge.mac, &*bridge.mtu.to_string()) == (mac, mtu)
    });
}

/// L01. Differs: the C helper leaves a port as the kernel makes it. The bridge takes part in the spanning tree
/// protocol here; if it does not, the kernel looks at no BPDU, and passes them on whatever the guards are.
#[test]
fn a_container_cannot_become_the_root_of_the_spanning_tree() {
    with_bridge(|world| {
        world.ip(&["link", "set", "lxcbr0", "type", "bridge", "stp_state", "1"]);
        // The bridge's address and with it its identity stay.
        // The bridge's address, and with it its identity, stay.
        add_card(world, "02:00:00:00:00:01", "1500");
        let own = root();
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).nic();
        connect(world, &container, &nic);
        let is = |what: &str| world.host_link(&nic.host_name).detail.contains(what);
        let again = || {
            world.ip(&["link", "set", &nic.host_name, "down"]);
            world.ip(&["link", "set", &nic.host_name, "up"]);
            connect(world, &container, &nic);
        };
        if !theirs() {
            // The guard: the port is closed, until root opens it.
            send(&container, &["bpdu"]);
            until("the port is closed", || is(" bridge_slave state disabled "));
            assert_eq!(root(), own);

            // Without it, the block: what is sent is heard, and not followed. By the last of them the first
            // has been heard.
            run("/usr/sbin/bridge", &["link", "set", "dev", &nic.host_name, "guard", "off"]);
            again();
            send(&container, &["bpdu"; 20]);
            assert!(!is(" bridge_slave state disabled "));
            assert_eq!(root(), own);
            run("/usr/sbin/bridge", &["link", "set", "dev", &nic.host_name, "root_block", "off"]);
            again();
        }
        // As the kernel, and the C helper, leave it.
        send(&container, &["bpdu"]);
        until("the container is the root", || root() != own);
    });
}

/// L01. Differs: as above. A multicast router gets what is sent to any group.
#[test]
fn a_container_that_claims_to_be_a_multicast_router_is_none() {
    with_bridge(|world| {
        // For so long after a question the bridge sends everything to everybody: a tenth of a second.
        let bridge = ["link", "set", "lxcbr0", "type", "bridge"];
        world.ip(&[&bridge[..], &["mcast_query_response_interval", "10"]].concat());
        world.ip(&[&bridge[..], &["mcast_snooping", "1", "mcast_querier", "1"]].concat());
        let containers = [ALICE, BOB, BOB].map(|user| world.container(user));
        let [attacker, member, sender] = &containers;
        let nic = world.create(ALICE, attacker, "veth", "lxcbr0", &["eth0"]).nic();
        connect(world, attacker, &nic);
        for other in [member, sender] {
            connect(world, other, &world.create(BOB, other, "veth", "lxcbr0", &["eth0"]).nic());
        }
        let routers = || {
            let output =
                Command::new("/usr/sbin/bridge").args(["-d", "mdb", "show", "dev", "lxcbr0"]).output();
            let text = String::from_utf8(output.expect("bridge").stdout).expect("text");
            text.lines()
                .filter(|line| line.contains("router ports"))
                .any(|line| line.contains(&nic.host_name))
        };
        let hears = |group: &str| {
            let mut ear =
                packets(attacker, &["hear"]).stdout(std::process::Stdio::piped()).spawn().expect("python3");
            let mut lines =
                std::io::BufRead::lines(std::io::BufReader::new(ear.stdout.take().expect("stdout")));
            assert_eq!(lines.next().expect("a line").expect("read"), "ready");
            send(sender, &[&format!("udp:{group}"), "end"]);
            let heard = lines.map(|line| line.expect("read")).collect::<Vec<_>>();
            assert!(ear.wait().expect("wait").success() && heard.last().is_some_and(|last| last == "end"));
            heard.contains(&format!("udp:{group}"))
        };
        until("the bridge has heard who wants what", || {
            send(member, &["join:239.1.1.1"]);
            !hears("239.1.1.1")
        });
        send(attacker, &["query"]);
        if !theirs() {
            assert!(!routers());
            until("the bridge has heard who wants what again", || !hears("239.1.1.1"));
            run("/usr/sbin/bridge", &["link", "set", "dev", &nic.host_name, "mcast_router", "1"]);
            send(attacker, &["query"]);
        }
        assert!(routers() && hears("239.1.1.1"));
    });
}

/// L08
#[test]
fn a_bridge_keeps_its_address_and_its_mtu() {
    with_bridge(|world| {
        add_card(world, "fc:ff:ff:ff:ff:ff", "9000");
        let bridge = || {
            let link = world.host_link("lxcbr0");
            (link.mac, link.mtu)
        };
        for _ in 0..3 {
            let container = world.container(ALICE);
            let nic = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).nic();
            connect(world, &container, &nic);
            let host = world.host_link(&nic.host_name);
            assert!(host.mac.starts_with("fe:"), "{host:?}");
            assert_eq!((host.mtu, container.link("eth0").mtu), (9000, 9000));
            // What the container makes of its own end is its own affair.
            container.ip(&["link", "set", "eth0", "mtu", "68"]);
            container.ip(&["link", "set", "eth0", "address", "02:00:00:00:00:01"]);
            send(&container, &["arp:10.9.9.2", "end"]);
            assert_eq!(container.link("eth0").mtu, 68);
            assert_eq!(
                (world.host_link(&nic.host_name).mtu, bridge()),
                (9000, ("fc:ff:ff:ff:ff:ff".to_owned(), 9000))
            );
            assert_eq!(world.host_link(&nic.host_name).mac, host.mac);
        }
        // On no bridge it is Ethernet's.
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "none", &["eth0"]).nic();
        let host = world.host_link(&nic.host_name);
        assert!(host.mac.starts_with("fe:") && host.mtu == 1500 && host.is_up(), "{host:?}");
        assert_eq!(container.link("eth0").mtu, 1500);
    });
}
