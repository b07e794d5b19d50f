//! What two users' containers can do to each other, and to the host, with each guard of `/etc/nsgate.ini`: two real
//! containers, packets really sent. `docs/isolation.md` has what passes and what does not, and is held to it.

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use world::packets::{
    EVERYBODY, From, Lan, Mac, SERVICE, Station, arp_reply, arp_request, bpdu, group_mac, igmp_report,
    is_among, mac, neighbour_advertisement, neighbour_solicitation, plain, router_advertisement, tagged, udp,
};
use world::{ALICE, BOB, Container, User, World, kernel_limits_groups, theirs, tree};

/// What root has asked for: a column of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Guards {
    None,
    Isolate,
    LockMac,
    IsolateAndLockMac,
    MulticastGroups,
    BridgePerUser,
}

use Guards::{BridgePerUser, Isolate, IsolateAndLockMac, LockMac, MulticastGroups};

const COLUMNS: [(Guards, &str); 6] = [
    (Guards::None, "no rule"),
    (Isolate, "`isolate`"),
    (LockMac, "`lock-mac`"),
    (IsolateAndLockMac, "both"),
    (MulticastGroups, "`max-multicast-groups`"),
    (BridgePerUser, "bridge per user"),
];

/// How many groups [`MulticastGroups`] allows.
const GROUPS: usize = 8;

impl Guards {
    fn configure(self, world: &World) {
        let rules = match self {
            Self::None => return drop(fs::remove_file("/etc/nsgate.ini")),
            Isolate => "[bridge \"lxcbr0\"]\nisolate = yes\n".to_owned(),
            LockMac => "[bridge \"lxcbr0\"]\nlock-mac = yes\n".to_owned(),
            IsolateAndLockMac => "[bridge \"lxcbr0\"]\nisolate = yes\nlock-mac = yes\n".to_owned(),
            MulticastGroups => format!("[bridge \"lxcbr0\"]\nmax-multicast-groups = {GROUPS}\n"),
            BridgePerUser => "[per-user-bridge]\ncreate = yes\n".to_owned(),
        };
        world.write("/etc/nsgate.ini", rules);
    }

    /// The bridge of this user.
    fn bridge_of(self, user: User) -> String {
        if self == BridgePerUser { format!("nsbr-{}", user.id) } else { "lxcbr0".to_owned() }
    }
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "not in 10 seconds: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The kernel's own settings for what is made from now on, whatever this machine's are; but addresses are not tentative
/// for a second first, as part of what the host has.
fn settle_on_defaults() {
    for (name, value) in [("accept_ra", "1"), ("accept_dad", "0"), ("forwarding", "0")] {
        for of in ["all", "default"] {
            set(&format!("ipv6/conf/{of}/{name}"), value);
        }
    }
    set("ipv4/ip_forward", "0");
}

fn set(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{name}"), value).expect(name);
}

/// The same in a container.
fn set_in(container: &Container, name: &str, value: &str) {
    let write = format!("echo {value} >/proc/sys/net/{name}");
    let status = container.command("/bin/sh").args(["-ec", &write]).status().expect("sh");
    assert!(status.success(), "{name}");
}

fn bridge(args: &[&str]) -> String {
    let output = Command::new("/usr/sbin/bridge").args(args).output().expect("bridge");
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// An interface and its addresses.
#[derive(Clone, Debug)]
struct Place {
    link: String,
    mac: Mac,
    four: Ipv4Addr,
    six: Ipv6Addr,
}

impl Place {
    fn new(link: &str, address: &str, (net, number): (u8, u8)) -> Self {
        let six = Ipv6Addr::new(0xfd77, 0, 0, net.into(), 0, 0, 0, number.into());
        Self { link: link.to_owned(), mac: mac(address), four: Ipv4Addr::new(10, 77, net, number), six }
    }

    fn addresses(&self, prefixes: [u8; 2]) -> [String; 2] {
        [format!("{}/{}", self.four, prefixes[0]), format!("{}/{}", self.six, prefixes[1])]
    }
}

/// A user's container with eth0 on his bridge, and addresses.
struct Member {
    container: Container,
    /// eth0.
    place: Place,
    /// The host's end of it.
    port: String,
    /// The host, on the bridge.
    host: Place,
}

impl Member {
    /// The host has an address on the bridge.
    fn join(world: &World, guards: Guards, user: User, net: u8, number: u8) -> Self {
        let container = world.container(user);
        let bridge = guards.bridge_of(user);
        let nic = world.create(user, &container, "veth", &bridge, &["eth0"]).nic();
        // No packets but the tests', as far as that goes.
        for (name, value) in [("accept_dad", "0"), ("router_solicitations", "0"), ("accept_ra", "1")] {
            set_in(&container, &format!("ipv6/conf/eth0/{name}"), value);
        }
        // An ARP question is given up after three times as long as this, in milliseconds.
        set_in(&container, "ipv4/neigh/eth0/retrans_time_ms", "100");
        for link in ["lo", "eth0"] {
            container.ip(&["link", "set", link, "up"]);
        }
        wait_for_port(world, &nic.host_name);
        // All of it is on the link: a container asks for its neighbour there, whether or not it is.
        let place = Place::new("eth0", &container.link("eth0").mac, (net, number));
        for address in place.addresses([16, 32]) {
            container.ip(&["address", "add", &address, "dev", "eth0", "nodad"]);
        }
        let host = Place::new(&bridge, &world.host_link(&bridge).mac, (net, 1));
        for address in host.addresses([24, 64]) {
            world.ip(&["address", "replace", &address, "dev", &bridge, "nodad"]);
        }
        Self { container, place, port: nic.host_name, host }
    }

    fn connects_after(&self, world: &World, lan: &mut Lan, deed: &[&str]) -> bool {
        self.container.ip(deed);
        wait_for_port(world, &self.port);
        self.container.ip(&["neigh", "flush", "dev", "eth0"]);
        lan.alice.connects(self.host.four)
    }
}

fn wait_for_port(world: &World, port: &str) {
    until("the port is open", || {
        let link = world.host_link(port);
        let is_open = link.master.is_empty() || link.detail.contains(" bridge_slave state forwarding ");
        is_open && link.detail.contains(" state UP ")
    });
}

/// A machine with this policy, Alice's container and Bob's.
fn with_two(guards: Guards, test: impl FnOnce(&World, &Member, &Member, &mut Lan) + Send) {
    World::enter_with_nic(|world| {
        settle_on_defaults();
        if guards == BridgePerUser {
            world.usernet("alice veth nsbr-%u 2\nbob veth nsbr-%u 2\n");
        } else {
            make_bridge(world);
            world.usernet("alice veth lxcbr0 10\nbob veth lxcbr0 10\n");
        }
        guards.configure(world);
        let nets = if guards == BridgePerUser { [0, 1] } else { [0, 0] };
        let alice = Member::join(world, guards, ALICE, nets[0], 11);
        let bob = Member::join(world, guards, BOB, nets[1], 12);
        test(world, &alice, &bob, &mut lan_of(world, &alice, &bob));
    });
}

fn lan_of(world: &World, alice: &Member, bob: &Member) -> Lan {
    let mut lan = Lan {
        alice: Station::in_container(&alice.container),
        bob: Some(Station::in_container(&bob.container)),
        host: Station::on_host(world, &alice.host.link),
        at_bobs: (alice.host.link != bob.host.link).then(|| Station::on_host(world, &bob.host.link)),
        alices_mac: alice.place.mac,
        markers: 0,
    };
    lan.settle();
    lan
}

/// As lxc-net makes it: with an address of its own.
fn make_bridge(world: &World) {
    world.ip(&["link", "add", "lxcbr0", "address", "00:16:3e:00:00:00", "type", "bridge"]);
    world.ip(&["link", "set", "lxcbr0", "up"]);
}

/// A line of the table: what is done, what is seen, and whether it is so, if that could be tried.
type Finding = (&'static str, &'static str, Option<bool>);

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, deed: &'static str, effect: &'static str, is_so: bool) {
        self.0.push((deed, effect, Some(is_so)));
    }

    fn not_tried(&mut self, deed: &'static str, effect: &'static str) {
        self.0.push((deed, effect, None));
    }
}

/// Everything that Alice's container tries.
fn findings(guards: Guards) -> Vec<Finding> {
    let mut found = Findings::default();
    with_two(guards, |world, alice, bob, lan| {
        main_job(alice, lan, &mut found);
        between_neighbours(alice, bob, lan, &mut found);
        other_macs(world, alice, bob, lan, &mut found);
        other_addresses(world, alice, bob, lan, &mut found);
        routers(world, alice, bob, lan, &mut found);
        tables_of_the_bridge(alice, bob, lan, &mut found);
        vlans(world, alice, bob, lan, &mut found);
        spanning_tree(world, alice, bob, lan, &mut found);
    });
    found.0
}

const BOB_HEARS: &str = "Bob's container hears it";
const CONNECTED: &str = "is connected";
const HOST_HEARS: &str = "the host hears it";

fn main_job(alice: &Member, lan: &mut Lan, found: &mut Findings) {
    let (own, host) = (&alice.place, &alice.host);
    found.add("TCP to the host, on its bridge", CONNECTED, lan.alice.connects(host.four));
    let heard = lan.send(From::Alice, &arp_request((own.mac, own.four), host.four));
    let answer = arp_reply((host.mac, host.four), (own.mac, own.four));
    found.add("ARP question for the host's address", "is answered", is_among(&heard.alice, &answer));
    let heard = lan.send(From::Alice, &neighbour_solicitation((own.mac, own.six), host.six));
    found.add("IPv6 question for the host's address", "is answered", is_told(&heard.alice, host.six));
}

/// Is there a neighbour advertisement of this address?
fn is_told(heard: &[Vec<u8>], address: Ipv6Addr) -> bool {
    let is_so = |frame: &Vec<u8>| frame.len() >= 78 && frame[12..14] == [0x86, 0xdd] && frame[54] == 136;
    heard.iter().any(|frame| is_so(frame) && frame[62..78] == address.octets())
}

fn between_neighbours(alice: &Member, bob: &Member, lan: &mut Lan, found: &mut Findings) {
    let (own, his) = (&alice.place, &bob.place);
    found.add("TCP to Bob's container", CONNECTED, lan.alice.connects(his.four));
    let heard = lan.send(From::Alice, &arp_request((own.mac, own.four), his.four));
    let answer = arp_reply((his.mac, his.four), (own.mac, own.four));
    found.add("ARP question for Bob's address", "is answered", is_among(&heard.alice, &answer));
    let heard = lan.send(From::Alice, &neighbour_solicitation((own.mac, own.six), his.six));
    found.add("IPv6 question for Bob's address", "is answered", is_told(&heard.alice, his.six));

    let frame = plain(his.mac, own.mac, "to Bob");
    let heard = lan.send(From::Alice, &frame);
    found.add("frame to Bob's MAC", BOB_HEARS, is_among(&heard.bob, &frame));
    both_hear("frame to everybody", &plain(EVERYBODY, own.mac, "to everybody"), lan, found);
    let group = Ipv4Addr::new(239, 7, 7, 7);
    let packet = udp((group_mac(group), group), (own.mac, own.four), "to a group");
    both_hear("multicast packet", &packet, lan, found);
}

/// Alice sends this: do Bob, and the host?
fn both_hear(what: &'static str, frame: &[u8], lan: &mut Lan, found: &mut Findings) {
    let heard = lan.send(From::Alice, frame);
    found.add(what, BOB_HEARS, is_among(&heard.bob, frame));
    found.add(what, HOST_HEARS, is_among(&heard.host, frame));
}

fn other_macs(world: &World, alice: &Member, bob: &Member, lan: &mut Lan, found: &mut Findings) {
    let (his, host) = (&bob.place, &alice.host);
    let made_up = [0x02, 0, 0, 0, 0, 0x66];
    both_hear("frame from a MAC that is made up", &plain(EVERYBODY, made_up, "made up"), lan, found);
    both_hear("frame from Bob's MAC", &plain(EVERYBODY, his.mac, "as Bob"), lan, found);
    // Whatever Bob sends in between puts it right again.
    let mut is_stolen = |to| {
        let stolen = (0..5).any(|_| {
            lan.send(From::Alice, &plain(to, his.mac, "here is Bob"));
            alice_hears_what_is_bobs(bob, lan)
        });
        bob_is_here(bob, lan);
        stolen
    };
    let effect = "what the host then sends to Bob goes to Alice";
    found.add("frame from Bob's MAC", effect, is_stolen(EVERYBODY));
    // A bridge passes it on to nobody, but learns from it on a way of its own.
    let neighbour_bridge = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
    found.add("frame from Bob's MAC, to the bridge alone (as of LLDP)", effect, is_stolen(neighbour_bridge));
    both_hear("frame from the bridge's own MAC", &plain(EVERYBODY, host.mac, "as the host"), lan, found);

    let set_mac = |mac: &str| ["link", "set", "eth0", "address", mac].map(str::to_owned);
    let deed = set_mac("02:00:00:00:00:67");
    let connects = alice.connects_after(world, lan, &deed.each_ref().map(|word| &**word));
    found.add("its own MAC changed", "TCP to the host is connected", connects);
    let born = alice.place.mac.map(|byte| format!("{byte:02x}")).join(":");
    let deed = set_mac(&born);
    let connects = alice.connects_after(world, lan, &deed.each_ref().map(|word| &**word));
    found.add("its own MAC changed back", "TCP to the host is connected", connects);
}

/// The bridge knows again where Bob is, if it is one that learns.
fn bob_is_here(bob: &Member, lan: &mut Lan) {
    lan.bob.as_mut().expect("Bob").send(&plain(EVERYBODY, bob.place.mac, "Bob is here"));
    lan.settle();
}

/// The host sends something to Bob's MAC.
fn alice_hears_what_is_bobs(bob: &Member, lan: &mut Lan) -> bool {
    let frame = plain(bob.place.mac, bob.host.mac, "for Bob alone");
    is_among(&lan.send(From::Host, &frame).alice, &frame)
}

fn other_addresses(world: &World, alice: &Member, bob: &Member, lan: &mut Lan, found: &mut Findings) {
    let (own, his, host) = (&alice.place, &bob.place, &alice.host);
    let on_host = |args: &[&str]| world.ip(args);
    let at_bobs = |args: &[&str]| bob.container.ip(args);
    let text = |mac: Mac| mac.map(|byte| format!("{byte:02x}")).join(":");
    // What is known already is replaced later than that at the soonest: no time at all, and by default a second.
    set(&format!("ipv4/neigh/{}/locktime", bob.host.link), "0");
    set_in(&bob.container, "ipv4/neigh/eth0/locktime", "0");
    let mut is_believed =
        |ip: &dyn Fn(&[&str]) -> String, link: &str, (mac, address): (Mac, &str), lie: &[u8]| {
            let restore =
                || ip(&["neigh", "replace", address, "lladdr", &text(mac), "dev", link, "nud", "stale"]);
            restore();
            let is_believed = (0..10).any(|_| {
                lan.send(From::Alice, lie);
                std::thread::sleep(Duration::from_millis(5));
                ip(&["neigh", "show", address, "dev", link]).contains(&text(own.mac))
            });
            restore();
            is_believed
        };
    let (bobs_link, four, six) = (&bob.host.link, his.four.to_string(), his.six.to_string());
    let lie = arp_reply((own.mac, his.four), (host.mac, host.four));
    let believed = is_believed(&on_host, bobs_link, (his.mac, &four), &lie);
    found.add("ARP answer: Bob's address is at Alice's MAC", "the host believes it", believed);
    let lie = neighbour_advertisement((own.mac, his.six), (host.mac, host.six));
    let believed = is_believed(&on_host, bobs_link, (his.mac, &six), &lie);
    found.add("IPv6 answer: Bob's address is at Alice's MAC", "the host believes it", believed);
    let lie = arp_reply((own.mac, bob.host.four), (his.mac, his.four));
    let gateway = bob.host.four.to_string();
    let believed = is_believed(&at_bobs, "eth0", (bob.host.mac, &gateway), &lie);
    found.add("ARP answer: the host's address is at Alice's MAC", "Bob's container believes it", believed);

    let service = UdpSocket::bind((host.four, SERVICE)).expect("bind");
    service.set_nonblocking(true).expect("a socket");
    let packet = udp((host.mac, host.four), (own.mac, his.four), "from Bob's address");
    let mut is_served = |filter: &str| {
        set("ipv4/conf/all/rp_filter", "0");
        set(&format!("ipv4/conf/{}/rp_filter", host.link), filter);
        lan.send(From::Alice, &packet);
        let mut served = false;
        while let Ok((_, from)) = service.recv_from(&mut [0; 100]) {
            served |= from.ip() == his.four;
        }
        served
    };
    let what = "IPv4 packet from Bob's address";
    found.add(what, "a service of the host takes it (`rp_filter` 2 or 0)", is_served("2") && is_served("0"));
    found.add(what, "a service of the host takes it (`rp_filter` 1)", is_served("1"));
    let packet = udp((his.mac, his.four), (own.mac, host.four), "from the host's address");
    let heard = lan.send(From::Alice, &packet);
    found.add("IPv4 packet from the host's address", BOB_HEARS, is_among(&heard.bob, &packet));

    let content = "by way of the host";
    let packet = udp((host.mac, his.four), (own.mac, own.four), content);
    let mut is_forwarded = |value| {
        set("ipv4/ip_forward", value);
        let heard = lan.send(From::Alice, &packet);
        heard.bob.iter().any(|frame| frame.ends_with(content.as_bytes()))
    };
    let what = "IPv4 packet to Bob's address, by way of the host";
    found.add(what, "reaches Bob's container if the host forwards (`ip_forward` 1)", is_forwarded("1"));
    let rule = ["iif", &host.link, "to", "10.77.0.0/16", "prohibit"];
    world.ip(&[&["rule", "add"], &rule[..]].concat());
    found.add(
        what,
        "reaches Bob's container if the host forwards, and has the rule below",
        is_forwarded("1"),
    );
    world.ip(&[&["rule", "del"], &rule[..]].concat());
    found.add(what, "reaches Bob's container if the host does not forward", is_forwarded("0"));
}

/// Routes and addresses.
fn ipv6_of(ip: impl Fn(&[&str]) -> String) -> String {
    let routes = ip(&["-6", "route", "show", "table", "all"]);
    [routes, ip(&["-6", "address"])].concat()
}

/// The default route that is advertised, and that to the prefix.
fn has_the_routes(text: &str) -> bool {
    ["default via fe80::c0:ffee ", "2001:db8:77::/64 "].iter().all(|part| text.contains(part))
}

fn routers(world: &World, alice: &Member, bob: &Member, lan: &mut Lan, found: &mut Findings) {
    const WHAT: &str = "router advertisement";
    let advertisement = router_advertisement(alice.place.mac);
    let bridge = &alice.host.link;
    let host = || ipv6_of(|args| world.ip(args));
    let mut taken = |accept: &str| {
        set(&format!("ipv6/conf/{bridge}/accept_ra"), accept);
        let before = host();
        lan.send(From::Alice, &advertisement);
        let after = host();
        if after == before {
            return false;
        }
        assert!(has_the_routes(&after), "{after}");
        true
    };
    found.add(WHAT, "the host takes routes (bridge's `accept_ra` 0)", taken("0"));
    found.add(WHAT, "the host takes routes (bridge's `accept_ra` 1)", taken("1"));
    let bobs = ipv6_of(|args| bob.container.ip(args));
    let has_an_address = bobs.contains("inet6 2001:db8:77:");
    found.add(WHAT, "Bob's container takes routes and an address", has_the_routes(&bobs) && has_an_address);
    // As it was.
    set(&format!("ipv6/conf/{bridge}/accept_ra"), "0");
    world.ip(&["-6", "route", "flush", "proto", "ra"]);
}

fn tables_of_the_bridge(alice: &Member, bob: &Member, lan: &mut Lan, found: &mut Findings) {
    let (own, link) = (&alice.place, &alice.host.link);
    for number in 1..=20 {
        lan.alice.send(&igmp_report((own.mac, own.four), Ipv4Addr::new(239, 1, 1, number)));
    }
    lan.settle();
    let database = bridge(&["mdb", "show", "dev", link]);
    let of_alice = database
        .lines()
        .filter(|line| line.contains(&format!("port {} ", alice.port)) && line.contains(" grp 239.1.1."));
    let joined = of_alice.count();
    assert!(joined == 20 || joined <= GROUPS, "{database}");
    found.add("20 multicast groups joined", "the bridge keeps them all", joined == 20);

    let is_overheard = (0..5).any(|_| {
        fs::write(format!("/sys/class/net/{}/bridge/flush", bob.host.link), "1").expect("flush");
        alice_hears_what_is_bobs(bob, lan)
    });
    let what = "nothing, and Bob's container has been silent";
    found.add(what, "Alice hears what the host sends to Bob", is_overheard);

    let flood = "frames from 2000 MACs";
    lan.alice.flood([0x02, 0, 0, 1, 0, 0], 2000);
    lan.settle();
    let database = bridge(&["fdb", "show", "br", link, "brport", &alice.port]);
    let learned = database.lines().filter(|line| line.starts_with("02:00:00:01:")).count();
    assert!(learned == 0 || learned > 1500, "{learned}");
    found.add(flood, "the bridge learns them", learned != 0);
    let is_overheard = (0..5).all(|_| {
        bob_is_here(bob, lan);
        alice_hears_what_is_bobs(bob, lan)
    });
    found.add(flood, "Alice hears what the host sends to Bob", is_overheard);
}

fn vlans(world: &World, alice: &Member, bob: &Member, lan: &mut Lan, found: &mut Findings) {
    let frame = tagged(5, &plain(EVERYBODY, alice.place.mac, "in a VLAN"));
    both_hear("frame tagged for VLAN 5, the bridge does not filter VLANs", &frame, lan, found);
    let (filtered, job) =
        ("frame tagged for VLAN 5, the bridge filters VLANs", "TCP to the host, the bridge filters VLANs");
    let links = [&alice.host.link, &bob.host.link];
    let file = |link: &String| format!("/sys/class/net/{link}/bridge/vlan_filtering");
    if !fs::exists(file(links[0])).expect("look") {
        // A kernel without CONFIG_BRIDGE_VLAN_FILTERING.
        for (deed, effect) in [(filtered, BOB_HEARS), (filtered, HOST_HEARS), (job, CONNECTED)] {
            found.not_tried(deed, effect);
        }
        return;
    }
    let filter = |value: &str| links.iter().for_each(|link| fs::write(file(link), value).expect("filter"));
    filter("1");
    both_hear(filtered, &frame, lan, found);
    found.add(job, CONNECTED, alice.connects_after(world, lan, &["link", "set", "eth0", "up"]));
    filter("0");
}

/// The last: it closes Alice's port.
fn spanning_tree(world: &World, alice: &Member, bob: &Member, lan: &mut Lan, found: &mut Findings) {
    let frame = bpdu(alice.place.mac);
    let heard = lan.send(From::Alice, &frame);
    found.add("BPDU, the bridge is in no spanning tree", BOB_HEARS, is_among(&heard.bob, &frame));

    let link = &alice.host.link;
    for link in [link, &bob.host.link] {
        world.ip(&["link", "set", link, "type", "bridge", "stp_state", "1"]);
    }
    let root = || fs::read_to_string(format!("/sys/class/net/{link}/bridge/root_id")).expect("root_id");
    let own = root();
    let is_closed = || world.host_link(&alice.port).detail.contains(" bridge_slave state disabled ");
    lan.alice.send(&frame);
    until("the bridge has done something about it", || is_closed() || root() != own);
    let what = "BPDU, the bridge is in a spanning tree";
    found.add(what, "Alice's container becomes the root of the tree", root() != own);
    found.add(what, "her own port is closed, until root opens it", is_closed());
    lan.alice.send(&frame);
    let heard = lan.settle_without_alice();
    found.add(what, BOB_HEARS, is_among(&heard.bob, &frame));
}

/// L03, L04, L06: the page is held to what has been measured.
#[test]
fn what_passes_between_containers_is_what_the_page_says() {
    if theirs() {
        return; // our rules
    }
    let mut measured = std::thread::scope(|scope| {
        let can_be_tried = |guards| guards != MulticastGroups || kernel_limits_groups();
        let columns = COLUMNS.map(|(guards, _)| {
            scope.spawn(move || if can_be_tried(guards) { findings(guards) } else { vec![] })
        });
        columns.map(|column| column.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let not_tried = measured[0].iter().map(|(deed, effect, _)| (*deed, *effect, None)).collect::<Vec<_>>();
    for column in measured.iter_mut().filter(|column| column.is_empty()) {
        column.clone_from(&not_tried);
    }
    let mut table = String::from("| Alice's container | then |");
    for (_, name) in COLUMNS {
        write!(table, " {name} |").expect("write");
    }
    write!(table, "\n|{}\n", " --- |".repeat(2 + COLUMNS.len())).expect("write");
    for (number, (deed, effect, _)) in measured[0].iter().enumerate() {
        write!(table, "| {deed} | {effect} |").expect("write");
        for column in &measured {
            assert_eq!((column[number].0, column[number].1), (*deed, *effect));
            let cell = column[number].2.map_or(NOT_TRIED, |is_so| if is_so { "yes" } else { "no" });
            write!(table, " {cell} |").expect("write");
        }
        table.push('\n');
    }
    let page = fs::read_to_string(tree().join("docs/isolation.md")).expect("docs/isolation.md");
    let rest = page.split_once("<!-- measured -->\n").expect("a mark").1;
    let on_page = rest.split_once("<!-- end -->").expect("a mark at the end").0;
    assert!(is_same(on_page, &table), "docs/isolation.md is not what was measured:\n{table}");
}

/// What this kernel cannot do, the page may have from another one.
const NOT_TRIED: &str = "not tried";

fn is_same(on_page: &str, measured: &str) -> bool {
    let (on_page, measured) = (cells(on_page), cells(measured));
    let same = |(there, here): (&String, &String)| there == here || here == NOT_TRIED;
    let same_row = |(there, here): (&Vec<String>, &Vec<String>)| {
        there.len() == here.len() && there.iter().zip(here).all(same)
    };
    on_page.len() == measured.len() && on_page.iter().zip(&measured).all(same_row)
}

fn cells(table: &str) -> Vec<Vec<String>> {
    table.lines().map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// L04
#[test]
fn a_locked_mac_is_still_locked_after_the_container_has_taken_its_interface_down_and_up() {
    if theirs() {
        return;
    }
    with_two(LockMac, |world, alice, _bob, lan| {
        let mut spoofed_is_heard = || {
            let frame = plain(EVERYBODY, [0x02, 0, 0, 0, 0, 0x66], "made up");
            let heard = lan.send(From::Alice, &frame);
            is_among(&heard.bob, &frame) || is_among(&heard.host, &frame)
        };
        assert!(!spoofed_is_heard());
        for _ in 0..3 {
            alice.container.ip(&["link", "set", "eth0", "down"]);
            until("the port is closed", || {
                world.host_link(&alice.port).detail.contains(" bridge_slave state disabled ")
            });
            alice.container.ip(&["link", "set", "eth0", "up"]);
            wait_for_port(world, &alice.port);
            assert!(!spoofed_is_heard());
        }
        assert!(alice.connects_after(world, lan, &["link", "set", "eth0", "up"]));
        // Nor does a time with another MAC unlock it.
        assert!(!alice.connects_after(world, lan, &["link", "set", "eth0", "address", "02:00:00:00:00:67"]));
        alice.container.ip(&["link", "set", "eth0", "down"]);
        assert!(!alice.connects_after(world, lan, &["link", "set", "eth0", "up"]));
    });
}

/// L04. Ports that are not locked, such as that of an interface from before the rule, can neither have what is for a
/// locked one, nor cut it off.
#[test]
fn a_locked_mac_is_not_taken_by_a_port_that_is_not_locked() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        settle_on_defaults();
        make_bridge(world);
        world.usernet("alice veth lxcbr0 10\nbob veth lxcbr0 10\n");
        Guards::None.configure(world);
        let alice = Member::join(world, Guards::None, ALICE, 0, 11);
        LockMac.configure(world);
        let bob = Member::join(world, LockMac, BOB, 0, 12);
        let mut lan = lan_of(world, &alice, &bob);
        assert!(!alice_hears_what_is_bobs(&bob, &mut lan));
        for to in [EVERYBODY, [0x01, 0x80, 0xc2, 0, 0, 0x0e]] {
            for _ in 0..5 {
                lan.send(From::Alice, &plain(to, bob.place.mac, "here is Bob"));
                assert!(!alice_hears_what_is_bobs(&bob, &mut lan));
            }
        }
        bob.container.ip(&["neigh", "flush", "dev", "eth0"]);
        assert!(lan.bob.as_mut().expect("Bob").connects(bob.host.four));
    });
}

/// The limit is the port's, and what the container needs itself counts.
#[test]
fn what_goes_to_a_group_beyond_the_limit_does_not_reach_a_container_where_somebody_asks_for_groups() {
    if theirs() {
        return;
    }
    if !kernel_limits_groups() {
        return World::enter_with_nic(|world| {
            make_bridge(world);
            world.usernet("alice veth lxcbr0 10\n");
            MulticastGroups.configure(world);
            let container = world.container(ALICE);
            world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).refuses("");
            assert_eq!(world.host_veths(), [""; 0]);
        });
    }
    with_two(MulticastGroups, |world, alice, _bob, lan| {
        let group = |number| Ipv4Addr::new(239, 1, 1, number);
        // For so long after a question, in hundredths of a second, the bridge sends everything to everybody.
        for (setting, value) in [("mcast_query_response_interval", "10"), ("mcast_querier", "1")] {
            world.ip(&["link", "set", "lxcbr0", "type", "bridge", setting, value]);
        }
        let mut hears = |number| {
            for group in (1..=20).map(group) {
                lan.alice.send(&igmp_report((alice.place.mac, alice.place.four), group));
            }
            let to = (group_mac(group(number)), group(number));
            let packet = udp(to, (alice.host.mac, alice.host.four), "to a group");
            is_among(&lan.send(From::Host, &packet).alice, &packet)
        };
        until("the bridge knows who wants what", || !hears(20));
        assert!(hears(1));
    });
}

/// The rules are asked for when an interface is made: what was there before stays as it is, and reaches all others.
#[test]
fn an_interface_from_before_a_rule_is_not_under_it() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        settle_on_defaults();
        make_bridge(world);
        world.usernet("alice veth lxcbr0 10\nbob veth lxcbr0 10\n");
        Guards::None.configure(world);
        let bob = Member::join(world, Guards::None, BOB, 0, 12);
        IsolateAndLockMac.configure(world);
        let alice = Member::join(world, IsolateAndLockMac, ALICE, 0, 11);
        let later = Member::join(world, IsolateAndLockMac, BOB, 0, 13);
        let _answering = [&bob, &later].map(|member| Station::in_container(&member.container));
        let mut station = Station::in_container(&alice.container);
        assert!(station.connects(bob.place.four));
        assert!(!station.connects(later.place.four));
    });
}

/// A container of Alice's with an interface on no bridge, and its host end.
fn on_no_bridge(world: &World) -> (Container, String) {
    settle_on_defaults();
    world.usernet("alice veth none 10\n");
    let container = world.container(ALICE);
    let nic = world.create(ALICE, &container, "veth", "none", &["eth0"]).nic();
    container.ip(&["link", "set", "eth0", "up"]);
    (container, nic.host_name)
}

/// L07: an interface on no bridge. The host end is a link of the host's own, where its services are, and its routes.
#[test]
fn what_passes_on_no_bridge_is_what_the_page_says() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        let (container, port) = on_no_bridge(world);
        wait_for_port(world, &port);
        let (own, host) = (mac(&container.link("eth0").mac), mac(&world.host_link(&port).mac));
        // What the host has elsewhere: an address, and a link that it could forward to.
        let (address, beyond) = (Ipv4Addr::new(10, 77, 1, 1), Ipv4Addr::new(10, 77, 2, 5));
        make_bridge(world);
        world.ip(&["address", "add", "10.77.1.1/24", "dev", "lxcbr0"]);
        world.ip(&["route", "add", "10.77.2.0/24", "via", "10.77.1.2", "dev", "lxcbr0"]);
        let service = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SERVICE)).expect("bind");
        service.set_nonblocking(true).expect("a socket");
        let mut lan = Lan {
            alice: Station::in_container(&container),
            bob: None,
            host: Station::on_host(world, &port),
            at_bobs: None,
            alices_mac: own,
            markers: 0,
        };
        lan.settle();
        let alices = Ipv4Addr::new(10, 88, 0, 5);
        let mut table = String::from("| Alice's container | then | `none` |\n| --- | --- | --- |\n");
        let mut add = |deed: &str, effect: &str, is_so: bool| {
            let cell = if is_so { "yes" } else { "no" };
            writeln!(table, "| {deed} | {effect} | {cell} |").expect("write");
        };

        let heard = lan.send(From::Alice, &arp_request((own, alices), address));
        let answer = arp_reply((host, address), (own, alices));
        add("ARP question for the host's address", "is answered", is_among(&heard.alice, &answer));
        let takes = |lan: &mut Lan, to: (Mac, Ipv4Addr), sender: Ipv4Addr| {
            lan.send(From::Alice, &udp(to, (own, sender), "to the host"));
            let mut taken = false;
            while let Ok((_, from)) = service.recv_from(&mut [0; 100]) {
                taken |= from.ip() == sender;
            }
            taken
        };
        let is_served = |lan: &mut Lan| takes(lan, (host, address), alices);
        let is_forwarded = |lan: &mut Lan| {
            let before = forwarded();
            set("ipv4/ip_forward", "1");
            lan.send(From::Alice, &udp((host, beyond), (own, alices), "to others"));
            set("ipv4/ip_forward", "0");
            forwarded() > before
        };
        let served = "a service of the host takes it";
        let passed_on = "the host forwards it (`ip_forward` 1)";
        let filter = format!("ipv4/conf/{port}/rp_filter");
        for all in ["2", "0"] {
            set("ipv4/conf/all/rp_filter", all);
            let what = format!("IPv4 packet from any address (`rp_filter` of `all` is {all})");
            add(&what, served, is_served(&mut lan));
            add(&what, passed_on, is_forwarded(&mut lan));
        }
        let broadcast = takes(&mut lan, (EVERYBODY, Ipv4Addr::BROADCAST), Ipv4Addr::UNSPECIFIED);
        add("IPv4 broadcast from 0.0.0.0 (as of DHCP)", served, broadcast);
        set(&filter, "0");
        let what =
            "IPv4 packet from any address, if root takes the guard away (`rp_filter` of the host end 0)";
        add(what, served, is_served(&mut lan));
        add(what, passed_on, is_forwarded(&mut lan));
        set(&filter, "1");
        world.ip(&["route", "add", "10.88.0.5/32", "dev", &port]);
        let what = "IPv4 packet from an address that root has routed to the host end";
        add(what, served, is_served(&mut lan));
        add(what, passed_on, is_forwarded(&mut lan));

        let page = fs::read_to_string(tree().join("docs/isolation.md")).expect("docs/isolation.md");
        let rest = page.split_once("<!-- measured on none -->\n").expect("a mark").1;
        let on_page = rest.split_once("<!-- end -->").expect("a mark at the end").0;
        assert_eq!(cells(on_page), cells(&table), "docs/isolation.md is not what was measured:\n{table}");
    });
}

/// How many IPv4 packets the host has forwarded.
fn forwarded() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/snmp").expect("snmp");
    let mut ip = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, numbers) = (ip.next().expect("names"), ip.next().expect("numbers"));
    let place = names.split(' ').position(|name| name == "ForwDatagrams").expect("a column");
    numbers.split(' ').nth(place).and_then(|number| number.parse().ok()).expect("a number")
}

/// The attack of the seed: Alice's container says that it is a router. Nothing on the host may change.
#[track_caller]
fn assert_no_router(world: &World, container: &Container, (host, port): (&str, &str)) {
    wait_for_port(world, port);
    let mac = mac(&container.link("eth0").mac);
    let mut lan = Lan {
        alice: Station::in_container(container),
        bob: None,
        host: Station::on_host(world, host),
        at_bobs: None,
        alices_mac: mac,
        markers: 0,
    };
    lan.settle();
    let of_host = || {
        let mtu = fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{host}/mtu")).expect("mtu");
        [ipv6_of(|args| world.ip(args)), mtu].concat()
    };
    let before = of_host();
    let advertisement = router_advertisement(mac);
    let heard = lan.send(From::Alice, &advertisement);
    assert!(is_among(&heard.host, &advertisement), "it is heard, and not followed");
    assert_eq!(of_host(), before);

    // So that this can fail: as the kernel has it.
    for (name, value) in [("disable_ipv6", "0"), ("accept_ra", "1")] {
        set(&format!("ipv6/conf/{host}/{name}"), value);
    }
    lan.send(From::Alice, &advertisement);
    let after = of_host();
    assert!(after.contains("default via fe80::c0:ffee ") && after.ends_with("1280\n"), "{after}");
}

#[test]
fn a_router_advertisement_on_a_shared_bridge_changes_nothing_on_the_host() {
    World::enter_with_nic(|world| {
        settle_on_defaults();
        make_bridge(world);
        // Ours by packaging/: the helper makes no shared bridge.
        set("ipv6/conf/lxcbr0/accept_ra", "0");
        world.usernet("alice veth lxcbr0 10\n");
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "lxcbr0", &["eth0"]).nic();
        container.ip(&["link", "set", "eth0", "up"]);
        assert_no_router(world, &container, ("lxcbr0", &nic.host_name));
    });
}

#[test]
fn a_router_advertisement_on_a_users_own_bridge_changes_nothing_on_the_host() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        settle_on_defaults();
        world.usernet("alice veth nsbr-%u 2\n");
        BridgePerUser.configure(world);
        let container = world.container(ALICE);
        let nic = world.create(ALICE, &container, "veth", "nsbr-52001", &["eth0"]).nic();
        assert_eq!(world.host_link(&nic.host_name).master, "nsbr-52001");
        let accept = fs::read_to_string("/proc/sys/net/ipv6/conf/nsbr-52001/accept_ra").expect("accept_ra");
        assert_eq!(accept, "0\n");
        container.ip(&["link", "set", "eth0", "up"]);
        assert_no_router(world, &container, ("nsbr-52001", &nic.host_name));
    });
}

/// L07
#[test]
fn a_router_advertisement_on_no_bridge_changes_nothing_on_the_host() {
    if theirs() {
        return;
    }
    World::enter_with_nic(|world| {
        let (container, port) = on_no_bridge(world);
        assert_no_router(world, &container, (&port, &port));
    });
}
