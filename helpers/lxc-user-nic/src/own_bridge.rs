//! Bridges of users' own: lxc-usernet names one with `%u`, and `[per-user-bridge] create` has it made when its user asks for
//! it. Addresses and the like are for the host's network manager.
//!
//! It is born DOWN and in the group of our bridges; it is complete when it has an alias, which it gets last. Nobody uses one
//! that is not complete. Like an interface, it has a place in a table before it exists; the place says "made" when all that
//! is left to do can be done by anybody.
//!
//! That table is everybody's. So that nobody takes more of its places than he gets bridges by starting many helpers and
//! freezing them, one at a time works on a bridge: the one who has the only place in a table of that bridge alone.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use common::Error;
use common::os::audit::Verdict;
use common::os::host_policy::HostPolicy;
use common::os::netns::Interfaces;
use common::os::sysctl;
use common::policy::id::Id;
use common::policy::ledger::{Port, Record, State};
use common::policy::nic::{InterfaceName, Mac};
use common::policy::settings::{MOST_BRIDGES, Set};

use rtnetlink::packet_route::link::InfoKind;

use crate::Asked;
use crate::ledger::{ALL, BETWEEN_LOOKS, Claim, Ledger, PATIENCE, Place, Seen, Table, Tidied};
use crate::links::{Link, Links, OUR_BRIDGES};
use crate::wire::random;

/// Whoever is making it gets so long before somebody else does the rest.
const PATIENCE_WITH_A_MAKER: Duration = Duration::from_millis(500);

/// The table of all users' bridges.
pub(crate) const TABLE: &str = "bridges";

/// As whose the place is taken while a bridge is removed.
const ROOT: Option<Id> = Id::new(0);

/// Who wants which bridge.
pub(crate) struct OwnBridge<'a> {
    /// Where the settings of interfaces are.
    pub(crate) settings: &'a OwnedFd,
    pub(crate) asked: &'a Asked<'a>,
    pub(crate) host_policy: &'a HostPolicy,
    pub(crate) uid: Id,
    pub(crate) name: &'a InterfaceName,
}

impl OwnBridge<'_> {
    /// Makes it, if there is no interface of that name; or completes it.
    pub(crate) fn provide(
        &self,
        links: &mut Links,
        ledger: &Ledger,
        interfaces: &Interfaces,
    ) -> Result<(), Error> {
        let (all, own) = (ledger.make_table(TABLE)?, ledger.make_table(&format!("{TABLE}.{}", self.name))?);
        let start = Instant::now();
        loop {
            // If it is another one's alternative name, no bridge can have it.
            let link = links.known_as(self.name)?;
            let is_left_alone = |link: &Link| !is_ours(link) || link.name != self.name.as_str();
            if link.as_ref().is_some_and(|link| is_left_alone(link) || is_complete(link)) {
                return Ok(());
            }
            let record = self.intent();
            let mut seen = own.look(interfaces, ALL)?;
            // What is to become of a bridge that is half made, the other table knows.
            own.tidy(&mut seen, Duration::MAX, |_, _| Ok(()), |_| Ok(()))?.wholly()?;
            match own.claim(&seen, 1, &record)? {
                Claim::Placed(own) => {
                    let done = self.make_or_complete(links, &all, interfaces, (link, &record));
                    own.withdraw()?;
                    match done? {
                        Done::Yes => return Ok(()),
                        Done::Full { busy } if !busy || start.elapsed() > PATIENCE => {
                            return Err(self.too_many());
                        }
                        Done::Full { .. } | Done::No => {}
                    }
                }
                // The rest is the same whoever does it.
                Claim::Full { .. } => match link {
                    Some(link) if start.elapsed() > PATIENCE_WITH_A_MAKER && all.counts(link.index)? => {
                        return self.complete(links, &link);
                    }
                    _ => {}
                },
            }
            if start.elapsed() > PATIENCE {
                let why = "is being made by another lxc-user-nic, which does not get on".to_owned();
                return Err(Error::NoBridge { bridge: self.name.as_str().to_owned(), why });
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Nobody else is at work on it.
    fn make_or_complete(
        &self,
        links: &mut Links,
        all: &Table,
        interfaces: &Interfaces,
        (link, record): (Option<Link>, &Record),
    ) -> Result<Done, Error> {
        match link {
            // Its maker has died after it was counted.
            Some(link) if all.counts(link.index)? => self.complete(links, &link).map(|()| Done::Yes),
            // Or before: it is removed. Also if nobody knows of it any more: no interface can be on it.
            Some(link) => {
                let (_, tidied) = look(links, all, interfaces)?;
                if all.names()?.contains(self.name) {
                    return tidied.wholly().map(|()| Done::No);
                }
                links.delete(link.index)?;
                Ok(Done::No)
            }
            None => {
                let (seen, tidied) = look(links, all, interfaces)?;
                match all.claim(&seen, self.most().value, record)? {
                    Claim::Placed(place) => {
                        let made = self.make(links, record.clone(), place)?;
                        Ok(if made { Done::Yes } else { Done::No })
                    }
                    Claim::Full { busy, .. } => tidied.wholly().map(|()| Done::Full { busy }),
                }
            }
        }
    }

    /// Makes it, all of it or nothing. Ok(false): there is an interface of that name by now.
    fn make(&self, links: &mut Links, mut record: Record, place: Place<'_>) -> Result<bool, Error> {
        self.asked.log(Verdict::Granted, &format!("a bridge of his own, {}", self.name));
        let made = self.make_in(links, &mut record, &place);
        // Why it could not be made is what the caller hears, whatever comes of taking it back.
        match &made {
            Ok(true) => {}
            Ok(false) => place.withdraw()?,
            Err(_) => match self.undo(links, &record, place) {
                Ok(()) => {
                    self.asked.log(Verdict::Removed, &format!("{}, as it could not be made", self.name));
                }
                Err(error) => {
                    let what = format!("{} is left for the next run: {error}", self.name);
                    self.asked.log(Verdict::Refused, &what);
                }
            },
        }
        made
    }

    /// Takes back what there is of it: what the kernel has said may not tell.
    fn undo(&self, links: &mut Links, record: &Record, place: Place<'_>) -> Result<(), Error> {
        left_by(links, record)?.map_or(Ok(()), |link| links.delete(link.index))?;
        place.withdraw()
    }

    fn make_in(&self, links: &mut Links, record: &mut Record, place: &Place<'_>) -> Result<bool, Error> {
        let Some(made) = links.create_bridge(self.name, record.mac)? else { return Ok(false) };
        // Before anything else: whatever root's rules call it, it is found again.
        record.state = State::Unfinished { index: Some(made.index) };
        place.write(record)?;
        self.prepare(&made)?;
        record.state = State::Made { index: made.index };
        place.write(record)?;
        self.complete(links, &made)?;
        Ok(true)
    }

    fn intent(&self) -> Record {
        intent(self.name, self.uid)
    }

    /// Before anybody can send anything to it: what routers say is not for the host.
    fn prepare(&self, link: &Link) -> Result<(), Error> {
        if link.ipv6.is_some() {
            sysctl::set(self.settings, "ipv6", self.name, "accept_ra", "0")?;
            sysctl::set(self.settings, "ipv6", self.name, "autoconf", "0")?;
        }
        Ok(())
    }

    fn complete(&self, links: &mut Links, link: &Link) -> Result<(), Error> {
        self.prepare(link)?;
        let now = links.numbered(link.index)?.unwrap_or_default();
        if now.ipv6.is_some_and(|ipv6| ipv6.accepts_router_advertisements) {
            let what = "deafness to router advertisements";
            return Err(Error::NotAsAsked { interface: self.name.to_string(), what });
        }
        links.up(link.index)?;
        links.call(link.index, &format!("nsgate:bridge,uid={}", self.uid))
    }

    fn most(&self) -> Set<u32> {
        let set = self.host_policy.settings.per_user_bridge.max_bridges;
        match set {
            // As everywhere, 0 is no limit.
            Some(Set { value: 0, line }) => Set { value: u32::MAX, line },
            Some(set) => set,
            None => Set { value: MOST_BRIDGES, line: 0 },
        }
    }

    fn too_many(&self) -> Error {
        let most = self.most();
        let why = format!("there are {} bridges of users' own already", most.value);
        // Without a line of its own, the limit goes with the key that has bridges made.
        let create = self.host_policy.settings.per_user_bridge.create;
        let rule = match create {
            Some(create) if most.line == 0 => ("create", create.line),
            _ => ("max-bridges", most.line),
        };
        self.host_policy.forbids_veth(self.name.as_str(), rule, why)
    }
}

/// Has a bridge of ours stay as long as the answer is kept: whoever removes empty bridges ([`sweep`]) leaves it alone then. What is
/// there is to be looked at after that.
pub(crate) fn keep(ledger: &Ledger, name: &InterfaceName) -> Result<Table, Error> {
    let own = ledger.make_table(&format!("{TABLE}.{name}"))?;
    let start = Instant::now();
    while !own.share()? {
        if start.elapsed() > PATIENCE {
            let why = "is being removed by nsgate gc, which does not get on".to_owned();
            return Err(Error::NoBridge { bridge: name.as_str().to_owned(), why });
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    Ok(own)
}

/// What came of trying to remove a bridge of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Swept {
    /// It is gone; or, of a trial, it could go.
    Removed,
    /// There is none of that name, or it is not ours.
    NotOurs,
    /// There are interfaces on it.
    Used,
    /// Somebody is just making it, or about to use it.
    Busy,
}

/// Removes a bridge of ours if nothing is on it. Whoever is about to put something on it holds a lock ([`keep`]) from before he looks at
/// it until he is done; whoever makes or completes one has its place. We take both, and then look.
pub(crate) fn sweep(
    ledger: &Ledger,
    links: &mut Links,
    interfaces: &Interfaces,
    (name, is_trial): (&InterfaceName, bool),
) -> Result<Swept, Error> {
    let looks_empty = |links: &mut Links| match links.named(name)?.filter(is_ours) {
        None => Ok(Err(Swept::NotOurs)),
        Some(link) if links.ports_of(link.index)? > 0 => Ok(Err(Swept::Used)),
        Some(link) => Ok(Ok(link)),
    };
    if let Err(no) = looks_empty(links)? {
        return Ok(no);
    }
    let own = format!("{TABLE}.{name}");
    let own = if is_trial { ledger.table(&own)? } else { Some(ledger.make_table(&own)?) };
    // A trial makes no table. Where there is none, nobody has ever put anything on it.
    let Some(own) = own else { return Ok(Swept::Removed) };
    if !own.have_alone()? {
        return Ok(Swept::Busy);
    }
    let (mut seen, record) =
        (own.look(interfaces, ALL)?, intent(name, ROOT.ok_or(Error::NoAccount { uid: 0 })?));
    if is_trial {
        let is_busy = own.left(&seen)?.is_empty() && seen.iter().any(|seen| matches!(seen, Seen::Left(_)));
        return Ok(if is_busy { Swept::Busy } else { Swept::Removed });
    }
    own.tidy(&mut seen, Duration::MAX, |_, _| Ok(()), |_| Ok(()))?.wholly()?;
    let Claim::Placed(place) = own.claim(&seen, 1, &record)? else { return Ok(Swept::Busy) };
    let swept = match looks_empty(links)? {
        Err(no) => no,
        Ok(link) => {
            links.delete(link.index)?;
            // Whoever dies before this leaves a record that the next one sees; and so it is where that table cannot be read.
            let all = ledger.make_table(TABLE);
            all.and_then(|all| look(links, &all, interfaces)).map(drop).unwrap_or_default();
            Swept::Removed
        }
    };
    place.withdraw()?;
    Ok(swept)
}

/// Of which bridges the ledger has heard, as far as it can be read.
pub(crate) fn known(ledger: &Ledger) -> Result<BTreeSet<InterfaceName>, Error> {
    let tables = ledger.names()?;
    let names = tables.iter().filter_map(|table| table.strip_prefix(TABLE)?.strip_prefix('.'));
    let mut known: BTreeSet<_> =
        names.filter_map(|name| InterfaceName::parse(name.as_bytes()).ok()).collect();
    let all = ledger.table(TABLE).ok().flatten();
    known.extend(all.and_then(|all| all.names().ok()).unwrap_or_default());
    Ok(known)
}

/// What came of it.
enum Done {
    Yes,
    /// Look again.
    No,
    Full {
        busy: bool,
    },
}

/// What there is in the table of all bridges, after the places of what is gone have been emptied; and why some of them could not be, which
/// hinders nobody who finds room all the same.
pub(crate) fn look(
    links: &mut Links,
    table: &Table,
    interfaces: &Interfaces,
) -> Result<(Vec<Seen>, Tidied), Error> {
    let mut seen = table.look(interfaces, ALL)?;
    let tidied = table.tidy(&mut seen, Duration::MAX, |record, _| remove(links, record), |_| Ok(()))?;
    Ok((seen, tidied))
}

fn intent(name: &InterfaceName, uid: Id) -> Record {
    Record {
        state: State::Unfinished { index: None },
        name: name.clone(),
        uid,
        mac: Mac::of_container_end(random()),
        port: Port::Kernel,
    }
}

/// Has its maker died before he was done?
pub(crate) fn is_incomplete(link: &Link) -> bool {
    is_ours(link) && !is_complete(link)
}

pub(crate) fn is_ours(link: &Link) -> bool {
    link.is_bridge() && link.group == OUR_BRIDGES
}

fn is_complete(link: &Link) -> bool {
    !link.alias.is_empty()
}

/// What its maker has left before it was counted. One that is gone is gone.
fn remove(links: &mut Links, record: &Record) -> Result<(), Error> {
    if !record.is_unfinished() {
        return Ok(());
    }
    let left = left_by(links, record)?.filter(|link| !is_complete(link));
    left.map_or(Ok(()), |link| links.delete(link.index))
}

/// The bridge of this record, whatever it is called by now. Its address is nobody else's.
fn left_by(links: &mut Links, record: &Record) -> Result<Option<Link>, Error> {
    let there = match record.index() {
        Some(index) => links.numbered(index)?,
        None => links.made_as(&InfoKind::Bridge, &record.name, record.mac)?,
    };
    Ok(there.filter(|link| is_ours(link) && link.mac == record.mac.0))
}
