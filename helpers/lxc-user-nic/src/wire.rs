//! The interface itself: made, guarded, looked at again, brought up; or removed.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use common::Error;
use common::os::audit::Verdict;
use common::os::netns::{Interfaces, OwnNetns};
use common::os::sysctl;
use common::policy::id::Id;
use common::policy::ledger::{Port, Record, State};
use common::policy::nic::{Attachment, InterfaceName, Mac};
use common::policy::text::is_tame;
use common::policy::usernet::Owner;
use nix::errno::Errno;
use rtnetlink::packet_route::link::InfoKind;

use crate::guards::Guards;
use crate::ledger::BETWEEN_LOOKS;
use crate::links::{Ipv6, Link, Links, Pair};
use crate::ovs;
use crate::own_bridge;
use crate::places::Places;
use crate::view::View;
use crate::{Asked, Policy, THE_KERNEL_CLEANS_UP};

/// Without a bridge to ask.
const ETHERNET_MTU: u32 = 1500;

/// How many names to try. Each is one of 14 million of this user's.
const MOST_NAMES: u32 = 20;

/// How many interfaces a container may have before the next one has to be named.
const MOST_ETH: u32 = 1000;

/// What a host end is attached to, as found on this host.
#[derive(Debug)]
pub(crate) enum Bridge {
    /// Nothing.
    None,
    /// A bridge of the kernel's, with its ifindex and MTU. Is it one that we have made?
    Kernel { name: InterfaceName, index: u32, mtu: u32, is_ours: bool },
    /// A bridge of Open vSwitch's.
    OpenVswitch { name: InterfaceName, mtu: u32 },
}

impl Bridge {
    /// Finds it. What the kernel knows as a bridge is never taken for Open vSwitch's. `is_own`: would it be made for the caller,
    /// if the host wanted that?
    pub(crate) fn find(links: &mut Links, attachment: &Attachment, is_own: bool) -> Result<Self, Error> {
        let Attachment::Bridge(name) = attachment else { return Ok(Self::None) };
        let link = links.named(name)?;
        if link.as_ref().is_some_and(own_bridge::is_incomplete) {
            let why = "is a bridge that lxc-user-nic has not completed; its user's next call does".to_owned();
            return Err(Error::NoBridge { bridge: name.as_str().to_owned(), why });
        }
        if let Some(bridge) = link.as_ref().filter(|link| link.is_bridge()) {
            let Link { index, mtu, .. } = *bridge;
            return Ok(Self::Kernel { name: name.clone(), index, mtu, is_ours: own_bridge::is_ours(bridge) });
        }
        let otherwise = match (&link, is_own) {
            (Some(_), _) => "is not a bridge of the kernel's",
            (None, false) => "the kernel does not know",
            (None, true) => {
                "is not there; create = yes in /etc/nsgate.ini, [per-user-bridge], would have it made"
            }
        };
        if ovs::has_bridge(name, otherwise)? {
            let mtu = link.map_or(ETHERNET_MTU, |link| link.mtu);
            return Ok(Self::OpenVswitch { name: name.clone(), mtu });
        }
        let why = if link.is_some() {
            "is not a bridge; lxc-usernet should name one, or none".to_owned()
        } else {
            missing(name, is_own)
        };
        Err(Error::NoBridge { bridge: name.as_str().to_owned(), why })
    }

    pub(crate) const fn port(&self) -> Port {
        match self {
            Self::None | Self::Kernel { .. } => Port::Kernel,
            Self::OpenVswitch { .. } => Port::OpenVswitch,
        }
    }

    const fn mtu(&self) -> u32 {
        match self {
            Self::None => ETHERNET_MTU,
            Self::Kernel { mtu, .. } | Self::OpenVswitch { mtu, .. } => *mtu,
        }
    }

    const fn index(&self) -> Option<u32> {
        match self {
            Self::Kernel { index, .. } => Some(*index),
            Self::None | Self::OpenVswitch { .. } => None,
        }
    }
}

/// There is no such bridge, and this would help.
fn missing(name: &InterfaceName, is_own: bool) -> String {
    let mut why = "does not exist: there is no such bridge on this host; root can ".to_owned();
    if is_own {
        why += "have it made for its user: create = yes in /etc/nsgate.ini, [per-user-bridge]; or ";
    }
    why += "make it";
    if is_tame(name.as_str().as_bytes()) {
        why += &format!(": ip link add name {name} type bridge && ip link set dev {name} up");
    }
    why
}

/// The record of an interface that is to be made, under a name that nobody can foresee.
pub(crate) fn intent(uid: Id, bridge: &Bridge) -> Record {
    Record {
        state: State::Unfinished { index: None },
        name: InterfaceName::of_host_end(uid, random()),
        uid,
        mac: Mac::of_host_end(random()),
        port: bridge.port(),
    }
}

/// From the kernel's generator, by way of std's keys against hash flooding.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Removes whatever there is of an interface: the pair, and the port. It is no error if nothing is.
pub(crate) fn clear(links: &mut Links, record: &Record, locks: &[BorrowedFd<'_>]) -> Result<(), Error> {
    // Whatever else has its number or its name now is none of ours. Root may have changed one of these.
    let has_mac = |link: &Link| link.is_veth() && link.mac == record.mac.0;
    let is_named = |link: &Link| link.is_veth() && link.name == record.name.as_str();
    let ours = match record.index() {
        Some(index) => links.numbered(index)?.filter(|link| is_named(link) || has_mac(link)),
        // Its maker died before he knew the number.
        None => links.made_as(&InfoKind::Veth, &record.name, record.mac)?,
    };
    if let Some(link) = ours {
        links.delete(link.index)?;
    }
    // Last, because it may fail: then the record stays, and the port is all that is left to remove.
    clear_port(record, locks)
}

/// Has those forget the port who do not do so with the interface.
pub(crate) fn clear_port(record: &Record, locks: &[BorrowedFd<'_>]) -> Result<(), Error> {
    match record.port {
        Port::Kernel => Ok(()),
        Port::OpenVswitch => ovs::remove_port(&record.name, locks),
    }
}

/// What is asked for, beyond the bridge.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// None: the next free ethN.
    pub(crate) name: Option<&'a InterfaceName>,
    /// LXC's name of the container, as the caller says: nothing but the address depends on it.
    pub(crate) container: &'a [u8],
    /// What the host has for this bridge.
    pub(crate) rules: &'a Rules,
}

/// What the host has for a bridge, made ready.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Of a port of the kernel's.
    pub(crate) guards: Guards,
    /// Has the container end always the same address?
    pub(crate) stable_mac: bool,
}

/// What it takes to make an interface.
pub(crate) struct Making<'a> {
    pub(crate) asked: &'a Asked<'a>,
    pub(crate) links: &'a mut Links,
    pub(crate) interfaces: &'a Interfaces,
    pub(crate) view: &'a View<'a>,
    pub(crate) bridge: &'a Bridge,
    pub(crate) netns: &'a OwnNetns,
    /// Where the settings of interfaces are.
    pub(crate) settings: &'a OwnedFd,
    pub(crate) wanted: &'a Wanted<'a>,
    pub(crate) policy: &'a Policy<'a>,
    pub(crate) owner: &'a Owner,
}

/// Both ends, as made.
struct Made {
    host_end: Link,
    /// None: the kernel has chosen it.
    name: Option<InterfaceName>,
    /// None: the same.
    mac: Option<Mac>,
}

impl Making<'_> {
    /// Makes it, and says what was made; or leaves nothing of it, neither an interface nor a record.
    pub(crate) fn make(mut self, record: &mut Record, places: Places<'_>) -> Result<(), Error> {
        let made = self.wire(record, &places).and_then(|(index, answer)| {
            // From here on it counts, also if we should die.
            let made = Record { state: State::Made { index }, ..record.clone() };
            places.write(&made)?;
            common::say(&answer).map_err(Error::Unreported)
        });
        let Err(why) = made else {
            // The locks go with the process, which ends now.
            std::mem::forget(places);
            return Ok(());
        };
        // Why it could not be made is what the caller hears, and what came of taking it back if that is not all.
        let name = &record.name;
        match self.undo(record, places) {
            Ok(()) => {
                self.asked.log(Verdict::Removed, &format!("{name}, as it could not be made"));
                Err(why)
            }
            Err(stays) => {
                self.asked.log(Verdict::Refused, &format!("{name} is left for the next run: {stays}"));
                let (why, stays) = (Box::new(why), Box::new(stays));
                Err(Error::LeftBehind { why, interface: name.to_string(), stays })
            }
        }
    }

    /// Makes the pair and attaches it, all before it is UP. The ifindex of its host end, and the answer.
    fn wire(&mut self, record: &mut Record, places: &Places<'_>) -> Result<(u32, String), Error> {
        let guards = &self.wanted.rules.guards;
        if matches!(self.bridge, Bridge::OpenVswitch { .. }) {
            // Whether any may be left out has been asked before.
            let left_out = guards.without_a_kernel_port().unwrap_or_default();
            self.log_left_out(record, &left_out);
        }
        let made = self.pair(record, places)?;
        let index = made.host_end.index;
        // From here on it is found whatever root's rules for new interfaces make of its name, also if we should die.
        record.state = State::Unfinished { index: Some(index) };
        places.write(record)?;

        let alias = format!("nsgate:uid={},owner={}", record.uid, self.owner.key());
        let port = self.bridge.index().map(|_| guards.settings()).unwrap_or_default();
        self.links.prepare(&made.host_end, &alias, port)?;
        if made.host_end.ipv6.is_some() {
            sysctl::set(self.settings, "ipv6", &record.name, "disable_ipv6", "1")?;
            sysctl::set(self.settings, "ipv6", &record.name, "accept_ra", "0")?;
        }
        if self.bridge.index().is_none() {
            // The host would answer ARP for any address of its own there, and take packets from whatever address they say.
            sysctl::set(self.settings, "ipv4", &record.name, "arp_ignore", "1")?;
            sysctl::set(self.settings, "ipv4", &record.name, "rp_filter", "1")?;
        }
        self.lock(&made)?;
        let link = self.links.numbered(index)?.unwrap_or_default();
        self.confirm(&link, record, &alias)?;
        // DOWN: the command may outlive us, and add the port when there is no right to it any more.
        if let Bridge::OpenVswitch { name, .. } = self.bridge {
            ovs::add_port(name, &record.name, &places.locks())?;
        }
        // The caller's cgroup may have been frozen anywhere on the way.
        self.policy.is_as_it_was()?;
        self.links.up(link.index)?;
        // Also between these. What was in place before policy changed is as any other that was made before.
        self.policy.is_as_it_was()?;
        self.view.add(&record.name)?;
        self.answer(&link, made.name, record)
    }

    /// The pair, DOWN. If the host end's name is taken, it gets another one, and the ledger has it first.
    fn pair(&mut self, record: &mut Record, places: &Places<'_>) -> Result<Made, Error> {
        let (mut tries, mut next_eth) = (0, 0);
        while tries < MOST_NAMES && next_eth < MOST_ETH {
            let name = self.name_of_peer(next_eth)?;
            let mac = self.mac_of_peer(record.uid, name.as_ref());
            let pair = Pair {
                name: &record.name,
                mac: record.mac,
                bridge: self.bridge.index(),
                mtu: self.bridge.mtu(),
                peer_name: name.as_ref(),
                peer_mac: mac,
                peer_netns: self.netns.as_fd(),
            };
            if let Some(host_end) = self.links.create(&pair)? {
                return Ok(Made { host_end, name, mac });
            }
            // Which of the two names is taken, the kernel does not say.
            if self.links.is_taken(&record.name)? {
                tries = tries.saturating_add(1);
                *record = intent(record.uid, self.bridge);
                places.write(record)?;
            } else if self.wanted.name.is_none() && name.is_some() {
                next_eth = next_eth.saturating_add(1);
            } else {
                let taken = name.as_ref().map_or("eth%d", InterfaceName::as_str).as_bytes().to_vec();
                return Err(Error::BadName {
                    what: "interface name",
                    name: taken,
                    why: "is taken in the container",
                });
            }
        }
        Err(Error::when("find a name for the interface")(Errno::EEXIST))
    }

    /// What the container end is to be called. None: the kernel knows what is free; but an address that depends on the name
    /// has to be there before. Nearly always it is the first of its container, and then it need not be asked what it has
    /// been called.
    fn name_of_peer(&self, next_eth: u32) -> Result<Option<InterfaceName>, Error> {
        match self.wanted.name {
            Some(name) => Ok(Some(name.clone())),
            None if next_eth == 0 || self.wanted.rules.stable_mac => {
                InterfaceName::parse(format!("eth{next_eth}").as_bytes())
                    .map(Some)
                    .map_err(|_| Error::when("find a name for the interface")(Errno::EINVAL))
            }
            None => Ok(None),
        }
    }

    /// What address the container end is to have, if that matters.
    fn mac_of_peer(&self, uid: Id, name: Option<&InterfaceName>) -> Option<Mac> {
        let rules = self.wanted.rules;
        match name {
            Some(name) if rules.stable_mac => Some(Mac::stable(uid, self.wanted.container, name)),
            _ if self.locks_mac() => Some(Mac::of_container_end(random())),
            _ => None,
        }
    }

    fn locks_mac(&self) -> bool {
        self.bridge.index().is_some() && self.wanted.rules.guards.locks_mac
    }

    /// Has the bridge know whose address is at this port. Nothing else could come from it then; and what is for that address
    /// goes nowhere else.
    fn lock(&mut self, made: &Made) -> Result<(), Error> {
        let (true, Some(mac)) = (self.locks_mac(), made.mac) else { return Ok(()) };
        let index = made.host_end.index;
        let refused = |what| Error::NotAsAsked { interface: made.host_end.name.clone(), what };
        // That of a container that has ended a moment ago goes with it; it may be the same one, which starts again.
        let start = Instant::now();
        while !self.links.lock_to(index, mac)? {
            if start.elapsed() > THE_KERNEL_CLEANS_UP {
                return Err(refused("its address, which another port of the bridge has"));
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        if self.links.is_locked_to(index, mac)? {
            Ok(())
        } else {
            Err(refused("a place in the bridge's table"))
        }
    }

    /// Is it what was asked for? The kernel ignores what it does not know.
    fn confirm(&self, link: &Link, record: &Record, alias: &str) -> Result<(), Error> {
        let bridge_is_the_same = match self.bridge {
            Bridge::Kernel { name, index, .. } => {
                self.interfaces.name(*index)?.is_some_and(|now| now == name.as_str().as_bytes())
            }
            Bridge::None | Bridge::OpenVswitch { .. } => true,
        };
        let wanted = [
            (link.name == record.name.as_str() && link.is_veth() && !link.up, "its name"),
            (link.mac == record.mac.0, "its address"),
            (link.mtu == self.bridge.mtu(), "the MTU of the bridge"),
            (link.bridge == self.bridge.index() && bridge_is_the_same, "its place on the bridge"),
            (link.alias == alias, "the mark of its owner"),
            (link.ipv6.is_none_or(|ipv6| ipv6 == Ipv6::OFF), "peace from IPv6"),
            (self.bridge.index().is_some() || link.answers_own_arp_only, "peace from ARP"),
            (self.bridge.index().is_some() || link.checks_ipv4_sources, "a check of where IPv4 comes from"),
        ];
        let not_as_asked = |what| Error::NotAsAsked { interface: record.name.to_string(), what };
        if let Some((_, what)) = wanted.into_iter().find(|(as_asked, _)| !as_asked) {
            return Err(not_as_asked(what));
        }
        let Bridge::Kernel { name, .. } = self.bridge else { return Ok(()) };
        match self.wanted.rules.guards.confirm(&link.port) {
            Ok(left_out) => self.log_left_out(record, &left_out),
            Err(None) => return Err(not_as_asked("the guards of a bridge port")),
            Err(Some(rule)) => {
                let why = "this kernel does not guard a port in this way".to_owned();
                return Err(self.policy.host_policy.forbids_veth(name.as_str(), rule, why));
            }
        }
        Ok(())
    }

    fn log_left_out(&self, record: &Record, left_out: &[&'static str]) {
        if !left_out.is_empty() {
            let what =
                format!("{} goes without {}, which cannot be set here", record.name, left_out.join(", "));
            self.asked.log(Verdict::Granted, &what);
        }
    }

    /// `NAME:INDEX:HOST_NICNAME:HOST_INDEX`, where the first two are the container's.
    fn answer(
        &mut self,
        link: &Link,
        name: Option<InterfaceName>,
        record: &Record,
    ) -> Result<(u32, String), Error> {
        let gone = || Error::NotAsAsked { interface: record.name.to_string(), what: "another end" };
        let (peer, netns) = (link.peer.ok_or_else(gone)?, link.peer_netns.ok_or_else(gone)?);
        let name = match name {
            Some(name) => name.as_str().to_owned(),
            None => self.links.in_netns(netns, peer)?.ok_or_else(gone)?.name,
        };
        Ok((link.index, format!("{name}:{peer}:{}:{}\n", record.name.as_str(), link.index)))
    }

    /// Takes back what there is of it. What cannot be taken back stays in the ledger, for the next run to try again.
    fn undo(&mut self, record: &Record, places: Places<'_>) -> Result<(), Error> {
        // If the ledger cannot be written, the interface goes all the same: a record without one does no harm.
        let marked = places.write(record);
        // By number, whatever somebody has made of it meanwhile.
        record.index().map_or(Ok(()), |index| self.links.delete(index))?;
        clear(self.links, record, &places.locks())?;
        marked?;
        // First the list: whoever dies before the record is withdrawn leaves one that the next run sees.
        self.view.forget(std::slice::from_ref(record))?;
        places.withdraw()
    }
}
