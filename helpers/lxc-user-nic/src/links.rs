//! Interfaces of the host, made and changed by rtnetlink(7) messages.
//!
//! One message makes a whole pair: the host end under its final name on its bridge, and the container end, under *its*
//! final name, inside a network namespace that is named by descriptor. So there is no moment in which the container end
//! is on the host, and nothing has to enter the namespace.
#![allow(clippy::wildcard_enum_match_arm, reason = "the kernel says far more than is asked")]

use std::future::{Future, poll_fn};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::task::Poll;

use common::Error;
use common::policy::nic::{InterfaceName, Mac};
use futures_util::StreamExt;
use nix::errno::Errno;
use rtnetlink::Handle;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE,
    NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, BridgeStpState, In6AddrGenMode, InfoBridge, InfoBridgePort,
    InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags,
    LinkInfo, LinkMessage,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::nsid::{NsidAttribute, NsidMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::proto::Connection;
use tokio::runtime::Runtime;

use crate::line::Line;

/// A way to talk to the kernel. It is not taken apart: it goes with the process.
pub(crate) struct Links {
    runtime: ManuallyDrop<Runtime>,
    handle: Handle,
    connection: ManuallyDrop<Connection<RouteNetlinkMessage, Line>>,
    is_broken: bool,
}

/// What is to be made.
pub(crate) struct Pair<'a> {
    pub(crate) name: &'a InterfaceName,
    pub(crate) mac: Mac,
    /// The bridge, by ifindex.
    pub(crate) bridge: Option<u32>,
    /// Bytes, for both ends.
    pub(crate) mtu: u32,
    /// None: the next free ethN.
    pub(crate) peer_name: Option<&'a InterfaceName>,
    /// None: the kernel draws one by lot.
    pub(crate) peer_mac: Option<Mac>,
    pub(crate) peer_netns: BorrowedFd<'a>,
}

/// What the kernel says of one interface.
#[derive(Debug, Default)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: Option<InfoKind>,
    pub(crate) mac: Vec<u8>,
    pub(crate) mtu: u32,
    pub(crate) alias: String,
    pub(crate) group: u32,
    pub(crate) up: bool,
    /// The bridge it is a port of.
    pub(crate) bridge: Option<u32>,
    /// As a port of a bridge.
    pub(crate) port: Vec<InfoBridgePort>,
    /// Of a pair: the other end's ifindex in its network namespace.
    pub(crate) peer: Option<u32>,
    /// Of a pair: by what number we know the other end's network namespace.
    pub(crate) peer_netns: Option<i32>,
    /// Does it leave ARP alone but for addresses of its own?
    pub(crate) answers_own_arp_only: bool,
    /// Does it take IPv4 only from where the way back leads to it?
    pub(crate) checks_ipv4_sources: bool,
    /// None: the kernel has no IPv6.
    pub(crate) ipv6: Option<Ipv6>,
}

/// How far an interface takes part in IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ipv6 {
    pub(crate) disabled: bool,
    pub(crate) accepts_router_advertisements: bool,
    pub(crate) makes_addresses: bool,
}

impl Ipv6 {
    /// As a host end should be.
    pub(crate) const OFF: Self =
        Self { disabled: true, accepts_router_advertisements: false, makes_addresses: false };
}

/// An interface that belongs to this group (`IFLA_GROUP`) is a bridge that we have made. It is born with it, so it says so
/// also if its maker dies before it has an alias.
pub(crate) const OUR_BRIDGES: u32 = 0x6e73_6762;

/// So often the kernel is asked for a list, if interfaces come and go while it makes it.
const MOST_LISTS: u32 = 100;

/// The same where others wait for it.
const FEW_LISTS: u32 = 3;

impl Links {
    pub(crate) fn open() -> Result<Self, Error> {
        let failed = |error: std::io::Error| {
            let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
            Error::when("open a netlink socket")(errno)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(failed)?;
        let (mut connection, handle, _unasked) =
            rtnetlink::new_connection_with_socket::<Line>().map_err(failed)?;
        // A list that ends with an error says so at its end.
        connection.set_forward_done(true);
        let (runtime, connection) = (ManuallyDrop::new(runtime), ManuallyDrop::new(connection));
        Ok(Self { runtime, handle, connection, is_broken: false })
    }

    /// The interface of this name. Ok(None): there is none. An alternative name is not a name.
    pub(crate) fn named(&mut self, name: &InterfaceName) -> Result<Option<Link>, Error> {
        Ok(self.known_as(name)?.filter(|link| link.name == name.as_str()))
    }

    /// Can no other interface have this name? Not if it is another one's alternative name either.
    pub(crate) fn is_taken(&mut self, name: &InterfaceName) -> Result<bool, Error> {
        Ok(self.known_as(name)?.is_some())
    }

    /// The interface that has this name, if only as an alternative one.
    pub(crate) fn known_as(&mut self, name: &InterfaceName) -> Result<Option<Link>, Error> {
        self.get(vec![LinkAttribute::IfName(name.as_str().to_owned())], 0)
    }

    /// The interface with this ifindex. Ok(None): there is none.
    pub(crate) fn numbered(&mut self, index: u32) -> Result<Option<Link>, Error> {
        self.get(vec![], index)
    }

    /// The interface with this ifindex in another network namespace.
    pub(crate) fn in_netns(&mut self, netns: i32, index: u32) -> Result<Option<Link>, Error> {
        self.get(vec![LinkAttribute::IfNetnsId(netns)], index)
    }

    /// How many ports a bridge has: at least so many, and none if there are none.
    pub(crate) fn ports_of(&mut self, bridge: u32) -> Result<usize, Error> {
        let doing = "look at the ports of a bridge";
        for _ in 0..MOST_LISTS {
            let answer = self.list(LinkAttribute::Controller(bridge), doing)?;
            let ports = answer.links.iter().filter(|link| link.bridge == Some(bridge)).count();
            // As below.
            if ports > 0 || !answer.has_changed {
                return Ok(ports);
            }
        }
        Err(Error::when(doing)(Errno::EAGAIN))
    }

    /// The interface of this kind that was made with this name and this address, of which no number is known: root's rules for new
    /// interfaces may have called it something else. Ok(None): there is none.
    pub(crate) fn made_as(
        &mut self,
        kind: &InfoKind,
        name: &InterfaceName,
        mac: Mac,
    ) -> Result<Option<Link>, Error> {
        let doing = "look for an interface by its address";
        let is_it = |link: &Link| link.kind.as_ref() == Some(kind) && link.mac == mac.0;
        let named = self.named(name)?.filter(is_it);
        if named.is_some() {
            return Ok(named);
        }
        for _ in 0..FEW_LISTS {
            let answer = self.list(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind.clone())]), doing)?;
            // What is in the list is there, and only what is not in it may all the same be there.
            if let Some(link) = answer.links.iter().find(|link| is_it(link)) {
                return Ok(self.numbered(link.index)?.filter(is_it));
            }
            if !answer.has_changed {
                return Ok(None);
            }
        }
        Err(Error::when(doing)(Errno::EAGAIN))
    }

    /// All links, of which a kernel that knows the question leaves out others than these. What they are called is not in it.
    fn list(&mut self, which: LinkAttribute, doing: &'static str) -> Result<Answer, Error> {
        let mut message = LinkMessage::default();
        message.attributes = vec![which, LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
        self.ask(RouteNetlinkMessage::GetLink(message), NLM_F_DUMP).map_err(Error::when(doing))
    }

    /// By what number we know the network namespace of a process. Ok(None): by none, or the process has ended.
    pub(crate) fn netns_of(&mut self, pid: u32) -> Result<Option<i32>, Error> {
        let mut message = NsidMessage::default();
        message.attributes = vec![NsidAttribute::Pid(pid)];
        match self.ask(RouteNetlinkMessage::GetNsId(message), 0) {
            Ok(answer) => Ok(answer.netns.filter(|number| *number >= 0)),
            Err(Errno::ESRCH | Errno::EINVAL | Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::when("ask for a network namespace")(errno)),
        }
    }

    fn get(&mut self, which: Vec<LinkAttribute>, index: u32) -> Result<Option<Link>, Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = which;
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        match self.ask(RouteNetlinkMessage::GetLink(message), 0) {
            // An answer that cannot be read is not one that says no.
            Ok(mut answer) => answer
                .links
                .pop()
                .map(Some)
                .ok_or_else(|| Error::when("look at an interface")(Errno::EBADMSG)),
            Err(Errno::ENODEV) => Ok(None),
            Err(errno) => Err(Error::when("look at an interface")(errno)),
        }
    }

    /// Makes a pair, DOWN at both ends: all of it or nothing.
    ///
    /// Ok(None): the host end's name is taken.
    pub(crate) fn create(&mut self, pair: &Pair<'_>) -> Result<Option<Link>, Error> {
        // Without being told, the kernel makes a queue for each processor there could be, takes all but one away again, and
        // twice waits until every processor has taken note.
        let one_queue = [LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)];
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(pair.peer_name.map_or("eth%d", InterfaceName::as_str).to_owned()),
            LinkAttribute::Mtu(pair.mtu),
            LinkAttribute::NetNsFd(pair.peer_netns.as_raw_fd()),
        ];
        peer.attributes.extend(one_queue.clone());
        peer.attributes.extend(pair.peer_mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(pair.name.as_str().to_owned()),
            LinkAttribute::Address(pair.mac.0.to_vec()),
            LinkAttribute::Mtu(pair.mtu),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        message.attributes.extend(one_queue);
        message.attributes.extend(pair.bridge.map(LinkAttribute::Controller));
        let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO;
        match self.ask(RouteNetlinkMessage::NewLink(message), flags) {
            Ok(mut answer) => answer
                .links
                .pop()
                .map_or_else(|| self.just_made(&InfoKind::Veth, pair.name, pair.mac), Ok)
                .map(Some),
            Err(Errno::EEXIST) => Ok(None),
            Err(errno) => Err(Error::when(explained(errno))(errno)),
        }
    }

    /// Before 6.2 the kernel does not show what it has made.
    fn just_made(&mut self, kind: &InfoKind, name: &InterfaceName, mac: Mac) -> Result<Link, Error> {
        let made = self.made_as(kind, name, mac)?;
        made.ok_or_else(|| Error::when("look at the interface that was made")(Errno::ENODEV))
    }

    /// Sets what has to be so before the interface is UP: what it is called for people, that it makes no IPv6
    /// addresses, and as a port of a bridge, its guards. The kernel may ignore some of it: look.
    pub(crate) fn prepare(
        &mut self,
        link: &Link,
        alias: &str,
        guards: Vec<InfoBridgePort>,
    ) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.attributes = vec![LinkAttribute::IfAlias(alias.to_owned())];
        if link.ipv6.is_some() {
            let none = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
            message.attributes.push(LinkAttribute::AfSpecUnspec(vec![none]));
        }
        if !guards.is_empty() {
            message.attributes.push(LinkAttribute::LinkInfo(vec![
                LinkInfo::PortKind(InfoPortKind::Bridge),
                LinkInfo::PortData(InfoPortData::BridgePort(guards)),
            ]));
        }
        self.ask(RouteNetlinkMessage::NewLink(message), 0)
            .map(drop)
            .map_err(Error::when("guard the interface's host end"))
    }

    /// Lets it send and receive.
    pub(crate) fn up(&mut self, index: u32) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.ask(RouteNetlinkMessage::SetLink(message), 0)
            .map(drop)
            .map_err(Error::when("bring the interface's host end up"))
    }

    /// Makes a bridge, DOWN, without the spanning tree protocol, with an address of its own that stays whatever its ports
    /// have.
    ///
    /// Ok(None): there is an interface of that name.
    pub(crate) fn create_bridge(&mut self, name: &InterfaceName, mac: Mac) -> Result<Option<Link>, Error> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.as_str().to_owned()),
            LinkAttribute::Address(mac.0.to_vec()),
            LinkAttribute::Group(OUR_BRIDGES),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Bridge),
                LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::StpState(BridgeStpState::Disabled)])),
            ]),
        ];
        match self.ask(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO) {
            Ok(mut answer) => {
                answer.links.pop().map_or_else(|| self.just_made(&InfoKind::Bridge, name, mac), Ok).map(Some)
            }
            Err(Errno::EEXIST) => Ok(None),
            Err(errno) => Err(Error::when("make a bridge")(errno)),
        }
    }

    /// Sets what an interface is called for people.
    pub(crate) fn call(&mut self, index: u32, alias: &str) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::IfAlias(alias.to_owned())];
        self.ask(RouteNetlinkMessage::NewLink(message), 0).map(drop).map_err(Error::when("mark a bridge"))
    }

    /// Lets a port of a bridge send from this address: enters it in the bridge's table, for good.
    ///
    /// Ok(false): another port has it.
    pub(crate) fn lock_to(&mut self, index: u32, mac: Mac) -> Result<bool, Error> {
        let failed = || Error::when("enter an address in the bridge's table");
        let enter = |flags| {
            let mut wanted = entry(index, mac);
            wanted.header.state = NeighbourState::Noarp;
            (RouteNetlinkMessage::NewNeighbour(wanted), NLM_F_CREATE | flags)
        };
        let (message, flags) = enter(NLM_F_EXCL);
        match self.ask(message, flags) {
            Ok(_) => return Ok(true),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed()(errno)),
        }
        // Whatever the bridge has only learnt, from frames that anybody can send, is no claim.
        if self.entry_of(index, mac)?.is_none_or(|there| is_static(&there)) {
            return Ok(false);
        }
        let (message, flags) = enter(NLM_F_REPLACE);
        self.ask(message, flags).map(|_| true).map_err(failed())
    }

    /// Does the bridge's table have this address at this port, for good?
    pub(crate) fn is_locked_to(&mut self, index: u32, mac: Mac) -> Result<bool, Error> {
        let there = self.entry_of(index, mac)?;
        Ok(there.is_some_and(|there| is_static(&there) && there.header.ifindex == index))
    }

    /// Of the table of the bridge that this interface is a port of, the entry of this address, at whatever port.
    fn entry_of(&mut self, index: u32, mac: Mac) -> Result<Option<NeighbourMessage>, Error> {
        // The kernel takes no question with more in it.
        let mut question = entry(index, mac);
        question.header.flags = NeighbourFlags::Controller;
        match self.ask(RouteNetlinkMessage::GetNeighbour(question), 0) {
            Ok(answer) => Ok(answer.entry),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::when("look at the bridge's table")(errno)),
        }
    }

    /// Removes a pair. It is no error if it is gone.
    pub(crate) fn delete(&mut self, index: u32) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        match self.ask(RouteNetlinkMessage::DelLink(message), 0) {
            Ok(_) | Err(Errno::ENODEV) => Ok(()),
            Err(errno) => Err(Error::when("remove an interface")(errno)),
        }
    }

    /// Sends one message; the answer is what the kernel showed, and its acknowledgement.
    ///
    /// A connection that has broken is of no use any more, but what is half made has to be removed all the same: then there
    /// is a new one.
    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> nix::Result<Answer> {
        if self.is_broken {
            *self = Self::open().map_err(|_| Errno::ECONNABORTED)?;
        }
        let mut message = NetlinkMessage::from(message);
        // The acknowledgement ends the answer, also where a part of it could not be read.
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut replies = self.handle.request(message).map_err(|_| Errno::ENOBUFS)?;
        let answer = pin!(async {
            let mut shown = Answer::default();
            while let Some(reply) = replies.next().await {
                shown.has_changed |= reply.header.flags & NLM_F_DUMP_INTR != 0;
                match reply.payload {
                    NetlinkPayload::Done(end) if end.code != 0 => {
                        return Err(Errno::from_raw(end.code.saturating_neg()));
                    }
                    NetlinkPayload::Error(answer) => {
                        // The acknowledgement is an error of number 0.
                        let errno = answer.code.map(|code| Errno::from_raw(code.get().saturating_neg()));
                        errno.map_or(Ok(()), Err)?;
                    }
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                        shown.links.push(Link::of(link));
                    }
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(entry)) => {
                        shown.entry = Some(entry);
                    }
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(message)) => {
                        shown.netns = message.attributes.into_iter().find_map(|attribute| match attribute {
                            NsidAttribute::Id(number) => Some(number),
                            _ => None,
                        });
                    }
                    _ => {}
                }
            }
            Ok(shown)
        });
        // Not as a task of its own, which the runtime would have to look for events in between.
        let connection = &mut *self.connection;
        let mut answer = answer;
        let exchange = poll_fn(|context| {
            loop {
                if Pin::new(&mut *connection).poll(context).is_ready() {
                    return Poll::Ready(None);
                }
                if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                    return Poll::Ready(Some(answer));
                }
                connection.socket_mut().listen();
            }
        });
        self.runtime.block_on(exchange).unwrap_or_else(|| {
            self.is_broken = true;
            Err(Errno::ECONNABORTED)
        })
    }
}

/// What the kernel showed.
#[derive(Default)]
struct Answer {
    links: Vec<Link>,
    /// Did interfaces come or go while the kernel listed them? Then some may be missing.
    has_changed: bool,
    entry: Option<NeighbourMessage>,
    netns: Option<i32>,
}

/// An address in the table of the bridge that this interface is a port of. Its state is not in it: the kernel answers no
/// question that has one.
fn entry(index: u32, mac: Mac) -> NeighbourMessage {
    let mut entry = NeighbourMessage::default();
    entry.header.family = AddressFamily::Bridge;
    entry.header.ifindex = index;
    // Without that, a frame from this address at a port that is not locked moves even a static entry there.
    entry.header.flags = NeighbourFlags::Controller | NeighbourFlags::Sticky;
    entry.attributes = vec![NeighbourAttribute::LinkLayerAddress(mac.0.to_vec())];
    entry
}

fn is_static(entry: &NeighbourMessage) -> bool {
    [NeighbourState::Noarp, NeighbourState::Permanent].contains(&entry.header.state)
}

/// What it means when a pair cannot be made.
fn explained(errno: Errno) -> &'static str {
    const MAKING: &str = "make the interface";
    if errno == Errno::EXFULL {
        "make the interface: the bridge has as many ports as it can have"
    } else {
        MAKING
    }
}

impl Link {
    fn of(message: LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            up: message.header.flags.contains(LinkFlags::Up),
            ..Self::default()
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Address(mac) => link.mac = mac,
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::IfAlias(alias) => link.alias = alias,
                LinkAttribute::Group(group) => link.group = group,
                LinkAttribute::Controller(bridge) => link.bridge = Some(bridge),
                LinkAttribute::Link(peer) => link.peer = Some(peer),
                LinkAttribute::LinkNetNsId(netns) => link.peer_netns = Some(netns),
                LinkAttribute::LinkInfo(infos) => link.read_infos(infos),
                LinkAttribute::AfSpecUnspec(families) => link.read_families(families),
                _ => {}
            }
        }
        link
    }

    fn read_infos(&mut self, infos: Vec<LinkInfo>) {
        for info in infos {
            match info {
                LinkInfo::Kind(kind) => self.kind = Some(kind),
                LinkInfo::PortData(InfoPortData::BridgePort(port)) => self.port = port,
                _ => {}
            }
        }
    }

    fn read_families(&mut self, families: Vec<AfSpecUnspec>) {
        for family in families {
            match family {
                AfSpecUnspec::Inet(facts) => self.read_ipv4(&facts),
                AfSpecUnspec::Inet6(facts) => self.read_ipv6(&facts),
                _ => {}
            }
        }
    }

    fn read_ipv4(&mut self, facts: &[AfSpecInet]) {
        for fact in facts {
            if let AfSpecInet::DevConf(settings) = fact {
                self.answers_own_arp_only = settings.arp_ignore == 1;
                // systemd's own rule for new interfaces may have made it 2: without an address that is the same.
                self.checks_ipv4_sources = settings.rp_filter != 0;
            }
        }
    }

    fn read_ipv6(&mut self, facts: &[AfSpecInet6]) {
        let ipv6 = self.ipv6.get_or_insert_default();
        for fact in facts {
            match fact {
                AfSpecInet6::DevConf(settings) => {
                    ipv6.disabled = settings.disable_ipv6 != 0;
                    ipv6.accepts_router_advertisements = settings.accept_ra != 0;
                }
                AfSpecInet6::AddrGenMode(mode) => ipv6.makes_addresses = *mode != In6AddrGenMode::None,
                _ => {}
            }
        }
    }

    pub(crate) fn is_bridge(&self) -> bool {
        self.kind == Some(InfoKind::Bridge)
    }

    pub(crate) fn is_veth(&self) -> bool {
        self.kind == Some(InfoKind::Veth)
    }
}
