//! The interface itself: made, guarded, looked at again, brought up; or removed.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::AsFd;

use common::Error;
use common::os::audit::Verdict;
use common::os::netns::{Interfaces, OwnNetns};
use common::os::sysctl;
use common::policy::id::Id;
use common::policy::ledger::{Port, Record, State};
use common::policy::nic::{Attachment, InterfaceName, Mac};
use common::policy::usernet::Owner;
use nix::errno::Errno;
use rtnetlink::packet_route::link::InfoBridgePort;

use crate::Asked;
use crate::ledger::Place;
use crate::links::{Ipv6, Link, Links, PORT_GUARDS, Pair};
use crate::ovs;
use crate::view::View;

/// Without a bridge to ask.
const ETHERNET_MTU: u32 = 1500;

/// How many names to try. Each is one of 14 million of this user's.
const MOST_NAMES: u32 = 20;

/// What a host end is attached to, as found on this host.
#[derive(Debug)]
pub(crate) enum Bridge {
    /// Nothing.
    None,
    /// A bridge of the kernel's, with its ifindex and MTU.
    Kernel { name: InterfaceName, index: u32, mtu: u32 },
    /// A bridge of Open vSwitch's.
    OpenVswitch { name: InterfaceName, mtu: u32 },
}

impl Bridge {
    /// Finds it. What the kernel knows as a bridge is never taken for Open vSwitch's.
    pub(crate) fn find(links: &mut Links, attachment: &Attachment) -> Result<Self, Error> {
        let Attachment::Bridge(name) = attachment else { return Ok(Self::None) };
        let link = links.named(name)?;
        if let Some(Link { index, mtu, .. }) = link.as_ref().filter(|link| link.is_bridge()) {
            return Ok(Self::Kernel { name: name.clone(), index: *index, mtu: *mtu });
        }
        let what = if link.is_some() {
            "is not a bridge; lxc-usernet should name one, or none"
        } else {
            "does not exist: there is no such bridge on this host; root can make it: ip link add NAME type bridge"
        };
        let not_one = |why| Error::NoBridge { bridge: name.as_str().to_owned(), why };
        match ovs::has_bridge(name) {
            Ok(true) => {
                Ok(Self::OpenVswitch { name: name.clone(), mtu: link.map_or(ETHERNET_MTU, |link| link.mtu) })
            }
            Ok(false) => Err(not_one(what.to_owned())),
            Err(unknown) => Err(not_one(format!("{what}; and one of Open vSwitch's? {unknown}"))),
        }
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

    const fn guards(&self) -> &'static [InfoBridgePort] {
        match self {
            Self::Kernel { .. } => &PORT_GUARDS,
            Self::None | Self::OpenVswitch { .. } => &[],
        }
    }
}

/// The record of an interface that is to be made, under a name that nobody can foresee.
pub(crate) fn intent(uid: Id, bridge: &Bridge) -> Record {
    Record {
        state: State::Unfinished,
        name: InterfaceName::of_host_end(uid, random()),
        uid,
        mac: Mac::of_host_end(random()),
        port: bridge.port(),
    }
}

/// From the kernel's generator, by way of std's keys against hash flooding.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Removes whatever there is of an interface: the pair, and the port. It is no error if nothing is.
pub(crate) fn clear(links: &mut Links, record: &Record) -> Result<(), Error> {
    let link = match record.state {
        State::Made { index } => links.numbered(index)?,
        State::Unfinished => links.named(&record.name)?,
    };
    // Whatever else has its number or its name now is none of ours. Root may have changed one of these.
    let ours = |link: &Link| {
        let named = matches!(record.state, State::Made { .. }) && link.name == record.name.as_str();
        link.is_veth() && (named || link.mac == record.mac.0)
    };
    if let Some(link) = link.filter(ours) {
        links.delete(link.index)?;
    }
    // Last, because it may fail: then the record stays, and the port is all that is left to remove.
    match record.port {
        Port::Kernel => Ok(()),
        Port::OpenVswitch => ovs::remove_port(&record.name),
    }
}

/// What it takes to make an interface.
pub(crate) struct Making<'a> {
    pub(crate) asked: &'a Asked<'a>,
    pub(crate) links: &'a mut Links,
    pub(crate) interfaces: &'a Interfaces,
    pub(crate) view: &'a View<'a>,
    pub(crate) bridge: &'a Bridge,
    pub(crate) netns: &'a OwnNetns,
    /// None: the next free ethN.
    pub(crate) name: Option<&'a InterfaceName>,
    pub(crate) owner: &'a Owner,
    /// The host end's ifindex, as soon as there is one.
    pub(crate) made: Option<u32>,
}

impl Making<'_> {
    /// Makes it, and says what was made; or leaves nothing of it, neither an interface nor a record.
    pub(crate) fn make(mut self, record: &mut Record, place: Place<'_>) -> Result<(), Error> {
        let made = self.wire(record, &place).and_then(|(index, answer)| {
            // From here on it counts, also if we should die.
            let made = Record { state: State::Made { index }, ..record.clone() };
            place.write(&made)?;
            common::say(&answer).map_err(Error::Unreported)
        });
        // Why it could not be made is what the caller hears, whatever comes of taking it back.
        if made.is_err() {
            let name = record.name.clone();
            match self.undo(record, place) {
                Ok(()) => self.asked.log(Verdict::Removed, &format!("{name}, as it could not be made")),
                Err(error) => {
                    self.asked.log(Verdict::Refused, &format!("{name} is left for the next run: {error}"))
                }
            }
        }
        made
    }

    /// Makes the pair and attaches it, all before it is UP. The ifindex of its host end, and the answer.
    fn wire(&mut self, record: &mut Record, place: &Place<'_>) -> Result<(u32, String), Error> {
        let made = self.pair(record, place)?;
        self.made = Some(made.index);
        self.view.add(&record.name)?;

        let alias = format!("nsgate:uid={},owner={}", record.uid, self.owner.key());
        self.links.prepare(&made, &alias, self.bridge.guards())?;
        if made.ipv6.is_some() {
            sysctl::set("ipv6", &record.name, "disable_ipv6", "1")?;
            sysctl::set("ipv6", &record.name, "accept_ra", "0")?;
        }
        if self.bridge.index().is_none() {
            // The host would answer ARP for any address of its own there.
            sysctl::set("ipv4", &record.name, "arp_ignore", "1")?;
        }
        let link = self.links.numbered(made.index)?.unwrap_or_default();
        self.confirm(&link, record, &alias)?;
        self.links.up(link.index)?;
        if let Bridge::OpenVswitch { name, .. } = self.bridge {
            ovs::add_port(name, &record.name)?;
        }
        self.answer(&link, record)
    }

    /// The pair, DOWN. If the host end's name is taken, it gets another one, and the ledger has it first.
    fn pair(&mut self, record: &mut Record, place: &Place<'_>) -> Result<Link, Error> {
        for _ in 0..MOST_NAMES {
            let pair = Pair {
                name: &record.name,
                mac: record.mac,
                bridge: self.bridge.index(),
                mtu: self.bridge.mtu(),
                peer_name: self.name,
                peer_netns: self.netns.as_fd(),
            };
            if let Some(made) = self.links.create(&pair)? {
                return Ok(made);
            }
            // Which of the two names is taken, the kernel does not say.
            if !self.links.is_taken(&record.name)? {
                let taken = self.name.map_or("eth%d", InterfaceName::as_str).as_bytes().to_vec();
                return Err(Error::BadName {
                    what: "interface name",
                    name: taken,
                    why: "is taken in the container",
                });
            }
            *record = intent(record.uid, self.bridge);
            place.write(record)?;
        }
        Err(Error::when("find a name for the interface")(Errno::EEXIST))
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
            (
                self.bridge.guards().iter().all(|guard| link.port.contains(guard)),
                "the guards of a bridge port",
            ),
            (link.ipv6.is_none_or(|ipv6| ipv6 == Ipv6::OFF), "peace from IPv6"),
            (self.bridge.index().is_some() || link.answers_own_arp_only, "peace from ARP"),
        ];
        match wanted.into_iter().find(|(as_asked, _)| !as_asked) {
            None => Ok(()),
            Some((_, what)) => Err(Error::NotAsAsked { interface: record.name.to_string(), what }),
        }
    }

    /// `NAME:INDEX:HOST_NICNAME:HOST_INDEX`, where the first two are the container's.
    fn answer(&mut self, link: &Link, record: &Record) -> Result<(u32, String), Error> {
        let gone = || Error::NotAsAsked { interface: record.name.to_string(), what: "another end" };
        let (peer, netns) = (link.peer.ok_or_else(gone)?, link.peer_netns.ok_or_else(gone)?);
        let name = match self.name {
            Some(name) => name.as_str().to_owned(),
            None => self.links.in_netns(netns, peer)?.ok_or_else(gone)?.name,
        };
        Ok((link.index, format!("{name}:{peer}:{}:{}\n", record.name.as_str(), link.index)))
    }

    /// Takes back what there is of it. What cannot be taken back stays in the ledger, for the next run to try again.
    fn undo(&mut self, record: &Record, place: Place<'_>) -> Result<(), Error> {
        // If the ledger cannot be written, the interface goes all the same: a record without one does no harm.
        let marked = place.write(record);
        // By number, whatever somebody has called it meanwhile.
        self.made.map_or(Ok(()), |index| self.links.delete(index))?;
        clear(self.links, record)?;
        marked?;
        // First the list: whoever dies before the record is withdrawn leaves one that the next run sees.
        self.view.forget(std::slice::from_ref(record))?;
        place.withdraw()
    }
}
