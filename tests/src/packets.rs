//! What a container sends, and who hears it: frames made here byte by byte, put on the wire as they are, so that nothing
//! in the sender's kernel stands between an attack and the bridge.
//!
//! Nobody waits for a frame that does not come. All is sent, forwarded and received on one processor, where a queue
//! keeps the order: what has not been heard before a later frame, which surely arrives, has been dropped.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{Container, World};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// To everybody on a link.
pub const EVERYBODY: Mac = [0xff; 6];

/// The address of no interface here.
pub const NOBODYS: Mac = [0x02, 0, 0, 0xba, 0xdb, 0xad];

/// The router that a container claims to be.
pub const ROGUE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xc0, 0xffee);

/// An address, as `ip` writes it.
///
/// # Panics
/// It is none.
#[must_use]
pub fn mac(text: &str) -> Mac {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("a MAC"));
    bytes.collect::<Vec<_>>().try_into().expect("six bytes")
}

/// A frame with any content.
#[must_use]
pub fn frame(to: Mac, from: Mac, kind: u16, content: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), content].concat()
}

/// A frame that means nothing to anybody.
#[must_use]
pub fn plain(to: Mac, from: Mac, content: &str) -> Vec<u8> {
    frame(to, from, 0x88b5, format!("{content:<46}").as_bytes())
}

/// The same frame in a VLAN.
///
/// # Panics
/// It is too short to be a frame.
#[must_use]
pub fn tagged(vlan: u16, frame: &[u8]) -> Vec<u8> {
    let (ends, rest) = frame.split_at(12);
    [ends, &[0x81, 0], &vlan.to_be_bytes(), rest].concat()
}

/// An ARP question to everybody.
#[must_use]
pub fn arp_request(from: (Mac, Ipv4Addr), asked: Ipv4Addr) -> Vec<u8> {
    frame(EVERYBODY, from.0, 0x0806, &arp(1, from, ([0; 6], asked)))
}

/// The answer that `claimed` has this MAC, to one who need not have asked.
#[must_use]
pub fn arp_reply(claimed: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr)) -> Vec<u8> {
    frame(to.0, claimed.0, 0x0806, &arp(2, claimed, to))
}

fn arp(operation: u8, from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr)) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    [&head[..], &from.0, &from.1.octets(), &to.0, &to.1.octets()].concat()
}

/// The port that UDP packets go to, and come from.
pub const SERVICE: u16 = 7778;

/// A UDP packet.
#[must_use]
pub fn udp(to: (Mac, Ipv4Addr), from: (Mac, Ipv4Addr), content: &str) -> Vec<u8> {
    let length = 8 + u16::try_from(content.len()).expect("a short one");
    // No checksum.
    let port = SERVICE.to_be_bytes();
    let head = [port, port, length.to_be_bytes(), [0, 0]].concat();
    ipv4(to, from, (64, 17), &[&head, content.as_bytes()].concat())
}

/// The wish to get what is sent to this group.
#[must_use]
pub fn igmp_report(from: (Mac, Ipv4Addr), group: Ipv4Addr) -> Vec<u8> {
    let report = |sum: [u8; 2]| [&[0x16, 0], &sum[..], &group.octets()].concat();
    let body = report(checksum(&report([0, 0])));
    ipv4((group_mac(group), group), from, (1, 2), &body)
}

/// Where frames to this group go.
#[must_use]
pub fn group_mac(group: Ipv4Addr) -> Mac {
    let [_, second, third, fourth] = group.octets();
    [1, 0, 0x5e, second & 0x7f, third, fourth]
}

fn ipv4(to: (Mac, Ipv4Addr), from: (Mac, Ipv4Addr), (hops, protocol): (u8, u8), content: &[u8]) -> Vec<u8> {
    let length = (20 + u16::try_from(content.len()).expect("a short one")).to_be_bytes();
    let header = |sum: [u8; 2]| {
        let start = [&[0x45, 0], &length[..], &[0, 0, 0, 0, hops, protocol], &sum].concat();
        [&start[..], &from.1.octets(), &to.1.octets()].concat()
    };
    frame(to.0, from.0, 0x0800, &[&header(checksum(&header([0, 0]))), content].concat())
}

/// The question who has this address.
#[must_use]
pub fn neighbour_solicitation(from: (Mac, Ipv6Addr), asked: Ipv6Addr) -> Vec<u8> {
    let last = asked.octets();
    let mut group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).octets();
    group[13..].copy_from_slice(&last[13..]);
    let to = [0x33, 0x33, 0xff, last[13], last[14], last[15]];
    let body = [&[0; 4], &last[..], &[1, 1], &from.0].concat();
    icmp6((to, Ipv6Addr::from(group)), from, 135, &body)
}

/// The claim that this address has this MAC, and whatever was known before has not.
#[must_use]
pub fn neighbour_advertisement(claimed: (Mac, Ipv6Addr), to: (Mac, Ipv6Addr)) -> Vec<u8> {
    let (solicited, overriding) = (0x40, 0x20);
    let flags = [solicited | overriding, 0, 0, 0];
    icmp6(to, claimed, 136, &[&flags, &claimed.1.octets()[..], &[2, 1], &claimed.0].concat())
}

/// "I am a router, for half an hour; these are your addresses, and your packets are small": to all nodes.
#[must_use]
pub fn router_advertisement(from: Mac) -> Vec<u8> {
    let router = [[64, 0], 1800_u16.to_be_bytes(), [0, 0], [0, 0], [0, 0], [0, 0]].concat();
    let source = [&[1, 1], &from[..]].concat();
    let mtu = [&[5, 1, 0, 0], &1280_u32.to_be_bytes()[..]].concat();
    let hour = 3600_u32.to_be_bytes();
    let (on_link, for_addresses) = (0x80, 0x40);
    let prefix: Ipv6Addr = "2001:db8:77::".parse().expect("a prefix");
    let prefix = [&[3, 4, 64, on_link | for_addresses], &hour[..], &hour, &[0; 4], &prefix.octets()].concat();
    let nodes = ([0x33, 0x33, 0, 0, 0, 1], Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    icmp6(nodes, (from, ROGUE), 134, &[router, source, mtu, prefix].concat())
}

fn icmp6(to: (Mac, Ipv6Addr), from: (Mac, Ipv6Addr), kind: u8, body: &[u8]) -> Vec<u8> {
    let (next, hops) = (58, 255);
    let message = |sum: [u8; 2]| [&[kind, 0], &sum[..], body].concat();
    let ends = [from.1.octets(), to.1.octets()].concat();
    let length = u32::try_from(body.len() + 4).expect("a short one").to_be_bytes();
    let sum = checksum(&[&ends[..], &length, &[0, 0, 0, next], &message([0, 0])].concat());
    let header = [&[0x60, 0, 0, 0], &length[2..], &[next, hops], &ends].concat();
    frame(to.0, from.0, 0x86dd, &[header, message(sum)].concat())
}

/// What the best bridge there can be says to others.
#[must_use]
pub fn bpdu(from: Mac) -> Vec<u8> {
    let bridge = [&[0, 0], &from[..]].concat();
    let timers = [[0x80, 1], [0, 0], [20, 0], [2, 0], [15, 0]].concat();
    let body = [&[0x42, 0x42, 3, 0, 0, 0, 0, 0], &bridge[..], &[0; 4], &bridge, &timers].concat();
    frame([1, 0x80, 0xc2, 0, 0, 0], from, u16::try_from(body.len()).expect("short"), &body)
}

fn checksum(data: &[u8]) -> [u8; 2] {
    let words = data.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (!u16::try_from(sum).expect("folded")).to_be_bytes()
}

/// Is this frame among those? The kernel takes a VLAN's tag off before anybody hears the frame.
#[must_use]
pub fn is_among(heard: &[Vec<u8>], sent: &[u8]) -> bool {
    let untagged =
        if sent[12..14] == [0x81, 0] { [&sent[..12], &sent[16..]].concat() } else { sent.to_vec() };
    heard.iter().any(|frame| *frame == sent || *frame == untagged)
}

/// An interface, and somebody at it who sends and hears: `tests/packets.py`.
#[derive(Debug)]
pub struct Station {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Station {
    /// At eth0 of a container, which is up.
    #[must_use]
    pub fn in_container(container: &Container) -> Self {
        Self::start(container.command("/usr/bin/python3"), "eth0")
    }

    /// At an interface of the host.
    #[must_use]
    pub fn on_host(world: &World, interface: &str) -> Self {
        Self::start(world.command(super::ROOT, "/usr/bin/python3"), interface)
    }

    fn start(mut python: Command, interface: &str) -> Self {
        python.args(["-I", "-c", include_str!("../packets.py"), interface]);
        let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start python3");
        let requests = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut station = Self { child, requests, answers };
        assert_eq!(station.line(), "ready", "{interface}");
        station
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("read");
        line.trim_end().to_owned()
    }

    fn ask(&mut self, request: &str) -> Vec<String> {
        writeln!(self.requests, "{request}").expect("ask");
        let mut lines = vec![];
        loop {
            match self.line() {
                end if end == "." => return lines,
                empty if empty.is_empty() => panic!("a station ended at: {request}"),
                line => lines.push(line),
            }
        }
    }

    /// Sends this frame.
    pub fn send(&mut self, frame: &[u8]) {
        assert_eq!(self.ask(&format!("send {}", hex(frame))), [""; 0]);
    }

    /// Sends so many frames to everybody, each from another MAC.
    pub fn flood(&mut self, first: Mac, count: u32) {
        assert_eq!(self.ask(&format!("flood {} {count}", hex(&first))), [""; 0]);
    }

    /// Opens a TCP connection to the station at this address. Is there one? If not, the kernel has found nobody there.
    ///
    /// # Panics
    /// The kernel has another reason.
    pub fn connects(&mut self, to: Ipv4Addr) -> bool {
        let answer = self.ask(&format!("connect {to}"));
        match &*answer[0] {
            "connected" => true,
            "EHOSTUNREACH" => false,
            other => panic!("{to}: {other}"),
        }
    }

    /// All that has come before this, which others send until it does.
    fn hear(&mut self, last: &[u8], mut send_last: impl FnMut()) -> Vec<Vec<u8>> {
        let mut heard = vec![];
        for _ in 0..10 {
            send_last();
            let mut lines = self.ask(&format!("hear {}", hex(last)));
            let is_deaf = lines.last().is_some_and(|line| line == "deaf");
            lines.retain(|line| line != "deaf");
            heard.extend(lines.iter().map(|line| bytes(line)));
            if !is_deaf {
                return heard;
            }
        }
        panic!("a station hears nothing");
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |place| u8::from_str_radix(&hex[place..place + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// Two containers' stations and the host's at their bridge, or at each one's.
#[derive(Debug)]
pub struct Lan {
    /// The attacker.
    pub alice: Station,
    /// Her neighbour; none if she is alone.
    pub bob: Option<Station>,
    /// The host, on Alice's bridge.
    pub host: Station,
    /// The host on Bob's bridge, if he has one of his own.
    pub at_bobs: Option<Station>,
    /// The MAC of Alice's interface, which it was born with.
    pub alices_mac: Mac,
    /// How many frames have been sent to keep the order.
    pub markers: u64,
}

/// Who has heard what.
#[derive(Default, Debug)]
pub struct Heard {
    /// Alice's container.
    pub alice: Vec<Vec<u8>>,
    /// Bob's container.
    pub bob: Vec<Vec<u8>>,
    /// The host, on Alice's bridge.
    pub host: Vec<Vec<u8>>,
}

/// Somebody to send something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    /// Alice's container.
    Alice,
    /// The host, on Bob's bridge.
    Host,
}

impl Lan {
    /// Sends this a few times, so that once lost is not lost. What is heard until all that it leads to is over.
    pub fn send(&mut self, from: From, sent: &[u8]) -> Heard {
        let sender = match from {
            From::Alice => &mut self.alice,
            From::Host => self.at_bobs.as_mut().unwrap_or(&mut self.host),
        };
        for _ in 0..3 {
            sender.send(sent);
        }
        self.settle()
    }

    /// What is heard until all that is under way has arrived. From one end of a pair to the other there is a queue: to
    /// a neighbour and back it is four, and a round of markers empties one at least.
    pub fn settle(&mut self) -> Heard {
        let mut heard = Heard::default();
        for _ in 0..4 {
            self.round(&mut heard, true);
        }
        heard
    }

    /// The same when nothing that Alice sends arrives any more.
    pub fn settle_without_alice(&mut self) -> Heard {
        let mut heard = Heard::default();
        for _ in 0..4 {
            self.round(&mut heard, false);
        }
        heard
    }

    fn round(&mut self, heard: &mut Heard, with_alice: bool) {
        let from_host = self.marker(NOBODYS);
        let host = &mut self.host;
        if with_alice {
            heard.alice.extend(self.alice.hear(&from_host[14..], || host.send(&from_host)));
        }
        if let Some(bob) = &mut self.bob {
            let host = self.at_bobs.as_mut().unwrap_or(host);
            heard.bob.extend(bob.hear(&from_host[14..], || host.send(&from_host)));
        }
        if with_alice {
            let from_alice = self.marker(self.alices_mac);
            let alice = &mut self.alice;
            heard.host.extend(self.host.hear(&from_alice[14..], || alice.send(&from_alice)));
        }
    }

    fn marker(&mut self, from: Mac) -> Vec<u8> {
        self.markers += 1;
        plain(EVERYBODY, from, &format!("this is number {}.", self.markers))
    }
}
