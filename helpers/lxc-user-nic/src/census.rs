//! All that the ledger knows, for `nsgate show nics`; and the end of what is left behind, for `nsgate gc`. Here rather than there,
//! so that nobody reads or tidies the ledger in another way than `create` and `delete` do, and by other locks.
//!
//! Needs to be root for the ledger; what the kernel says of interfaces everybody may ask.

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use common::Error;
use common::os::netns::{Interfaces, own_netns};
use common::policy::ledger::Record;
use common::policy::nic::{Attachment, InterfaceName};
use common::policy::settings::{Settings, in_force};
use common::policy::usernet::VETH;
use rtnetlink::packet_route::link::{BridgeMulticastRouterType, InfoBridgePort};

use crate::guards::{Guards, words_of};
use crate::ledger::{ALL, Ledger, Seen, Table};
use crate::links::{Link, Links};
use crate::own_bridge::{self, TABLE};
use crate::view::View;
use crate::wire;

pub use crate::own_bridge::Swept;

/// A way to ask.
pub struct Census {
    ledger: Option<Ledger>,
    links: Links,
    interfaces: Interfaces,
}

/// A table: what counts for one quota.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quota {
    /// `u` and a uid, `g` and a gid, or `all`.
    pub owner: String,
    /// The bridge, or none.
    pub attachment: Attachment,
    /// The records in it, and whether the kernel has the interface of each.
    pub records: Vec<(Record, bool)>,
}

/// What the kernel says of an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nic {
    /// Its ifindex.
    pub index: u32,
    /// Is it up?
    pub is_up: bool,
    /// `nsgate:uid=UID,owner=KEY`, if it is one of ours.
    pub alias: String,
    /// The bridge that it is a port of.
    pub bridge: Option<String>,
    /// What the port is kept from.
    pub guards: Vec<&'static str>,
    /// By what number we know the network namespace that the other end is in.
    pub netns: Option<i32>,
}

/// A record that was, or would be, taken out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Left {
    /// The table it was in.
    pub table: String,
    /// The record.
    pub record: Record,
}

impl Census {
    /// With the ledger of this network namespace, if there is one.
    ///
    /// # Errors
    /// It may not be looked into, or is not root's alone.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { ledger: Ledger::existing(own_netns()?)?, ..Self::without_ledger()? })
    }

    /// Of the kernel alone.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub fn without_ledger() -> Result<Self, Error> {
        Ok(Self { ledger: None, links: Links::open()?, interfaces: Interfaces::open()? })
    }

    /// All tables of interfaces.
    ///
    /// # Errors
    /// One is damaged, or cannot be read.
    pub fn quotas(&self) -> Result<Vec<Quota>, Error> {
        let Some(ledger) = &self.ledger else { return Ok(Vec::new()) };
        let mut quotas = Vec::new();
        for name in ledger.names()? {
            let Some((owner, attachment)) = quota_of(&name) else { continue };
            let Some(table) = ledger.table(&name)? else { continue };
            quotas.push(Quota { owner, attachment, records: table.records(&self.interfaces)? });
        }
        Ok(quotas)
    }

    /// The tables of this bridge's owners that are asked for. Of each record, does it count for `create`? It does where there is an
    /// interface, and where somebody is at work on one; what was left behind is cleared away first.
    ///
    /// # Errors
    /// As [`Census::quotas`].
    pub fn counting(
        &self,
        attachment: &Attachment,
        is_asked_for: impl Fn(&str) -> bool,
    ) -> Result<Vec<Quota>, Error> {
        let Some(ledger) = &self.ledger else { return Ok(Vec::new()) };
        let mut quotas = Vec::new();
        for name in ledger.names()? {
            let quota = quota_of(&name).filter(|(owner, on)| on == attachment && is_asked_for(owner));
            let Some((owner, attachment)) = quota else { continue };
            let Some(table) = ledger.table(&name)? else { continue };
            let left = table.left(&table.look(&self.interfaces, ALL)?)?;
            let records = table.records(&self.interfaces)?;
            let counts = |(record, there): (Record, bool)| {
                let counts = there || !left.contains(&record);
                (record, counts)
            };
            let records = records.into_iter().map(counts).collect();
            quotas.push(Quota { owner, attachment, records });
        }
        Ok(quotas)
    }

    /// What the kernel says of this interface. Ok(None): there is none.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn nic(&mut self, name: &InterfaceName) -> Result<Option<Nic>, Error> {
        let Some(link) = self.links.named(name)? else { return Ok(None) };
        let bridge = link.bridge.map(|index| self.interfaces.name(index)).transpose()?.flatten();
        let bridge = bridge.map(|name| String::from_utf8_lossy(&name).into_owned());
        Ok(Some(Nic {
            index: link.index,
            is_up: link.up,
            bridge,
            guards: guards_of(&link),
            netns: link.peer_netns,
            alias: link.alias,
        }))
    }

    /// What a port of this bridge should be kept from and is not: what the kernel calls it, and the words with which bridge(8) sets it.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn lost_guards(
        &mut self,
        name: &InterfaceName,
        bridge: &str,
        settings: &Settings,
    ) -> Result<Vec<(&'static str, String)>, Error> {
        let Some(link) = self.links.named(name)? else { return Ok(Vec::new()) };
        let leave_out = in_force(settings.nic.leave_out_missing).is_some();
        let guards = Guards::of(&settings.bridge(bridge), leave_out);
        Ok(guards.lost(&link.port).into_iter().filter_map(words_of).collect())
    }

    /// By what number we know the network namespace of a process.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn netns_of(&mut self, pid: u32) -> Result<Option<i32>, Error> {
        self.links.netns_of(pid)
    }

    /// Empties the places of interfaces that are gone or were left unfinished, in all tables, as `create` does in its own before it
    /// counts. `word` says what lxc-usernet calls the owner of a table. What is in use or being made stays: its place is locked, or
    /// the kernel has it. A trial changes nothing.
    ///
    /// # Errors
    /// A table is damaged, or what is left of an interface cannot be removed.
    pub fn tidy(&mut self, is_trial: bool, word: impl Fn(&str) -> Vec<u8>) -> Result<Vec<Left>, Error> {
        let Some(ledger) = &self.ledger else { return Ok(Vec::new()) };
        let hurried = Cell::new(false);
        // What cannot be cleared in one table is no reason to leave the others.
        let (mut left, mut trouble) = (Vec::new(), Ok(()));
        for name in ledger.names()? {
            let quota = quota_of(&name);
            let of_bridges =
                name == TABLE || name.strip_prefix(TABLE).is_some_and(|rest| rest.starts_with('.'));
            if quota.is_none() && !of_bridges {
                continue;
            }
            let Some(table) = ledger.table(&name)? else { continue };
            let mut seen = table.look(&self.interfaces, ALL)?;
            let here = table.left(&seen)?;
            if here.is_empty() {
                continue;
            }
            if !is_trial {
                let links = &mut self.links;
                match &quota {
                    Some((owner, attachment)) => {
                        let owner = word(owner);
                        let bridge = attachment.word();
                        let view = View { lxc: &ledger.lxc, table: &table, owner, bridge, hurried: &hurried };
                        let clear =
                            |record: &Record, locks: &[BorrowedFd<'_>]| wire::clear(links, record, locks);
                        let tidied = table.tidy(&mut seen, Duration::MAX, clear, |gone| view.forget(gone))?;
                        trouble = trouble.and(tidied.wholly());
                    }
                    None if name == TABLE => {
                        trouble = trouble.and(own_bridge::look(links, &table, &self.interfaces).map(drop));
                    }
                    None => {
                        let tidied = table.tidy(&mut seen, Duration::MAX, |_, _| Ok(()), |_| Ok(()))?;
                        trouble = trouble.and(tidied.wholly());
                    }
                }
            }
            let still = if is_trial { Vec::new() } else { still_there(&table, &self.interfaces)? };
            let gone = here.into_iter().filter(|record| !still.contains(record));
            left.extend(gone.map(|record| Left { table: name.clone(), record }));
        }
        trouble.map(|()| left)
    }

    /// The bridges of users' own that the ledger has heard of.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn bridges(&self) -> Result<Vec<InterfaceName>, Error> {
        let known = self.ledger.as_ref().map(own_bridge::known).transpose()?.unwrap_or_default();
        Ok(known.into_iter().collect())
    }

    /// Removes a bridge of a user's own if it is empty and nobody is about to use it. A trial says whether it would.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn sweep(&mut self, bridge: &InterfaceName, is_trial: bool) -> Result<Swept, Error> {
        let Some(ledger) = &self.ledger else { return Ok(Swept::NotOurs) };
        own_bridge::sweep(ledger, &mut self.links, &self.interfaces, (bridge, is_trial))
    }
}

/// The owner and the bridge that a table of interfaces is called by.
fn quota_of(name: &str) -> Option<(String, Attachment)> {
    let (owner, rest) = name.split_once('.')?;
    let on = rest.strip_prefix(VETH)?.strip_prefix('.')?;
    Some((owner.to_owned(), Attachment::parse(on.as_bytes()).ok()?))
}

fn still_there(table: &Table, interfaces: &Interfaces) -> Result<Vec<Record>, Error> {
    let seen = table.look(interfaces, ALL)?.into_iter();
    Ok(seen.filter_map(|seen| if let Seen::Left(record) = seen { Some(*record) } else { None }).collect())
}

fn guards_of(link: &Link) -> Vec<&'static str> {
    let has = |setting: InfoBridgePort| link.port.contains(&setting);
    let groups =
        link.port.iter().any(|one| matches!(one, InfoBridgePort::MulticastMaxGroups(most) if *most > 0));
    let all = [
        (has(InfoBridgePort::Guard(true)), "bpdu-guard"),
        (has(InfoBridgePort::Protect(true)), "root-block"),
        (has(InfoBridgePort::MulticastRouter(BridgeMulticastRouterType::Disabled)), "no-multicast-router"),
        (has(InfoBridgePort::Isolated(true)), "isolated"),
        (has(InfoBridgePort::Locked(true)), "locked"),
        (groups, "max-multicast-groups"),
    ];
    all.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_interfaces_is_known_by_its_name() {
        let parts = |name| quota_of(name).map(|(owner, on)| (owner, on.word().to_owned()));
        assert_eq!(parts("u52001.veth.lxcbr0"), Some(("u52001".to_owned(), "lxcbr0".to_owned())));
        assert_eq!(parts("all.veth.br.7"), Some(("all".to_owned(), "br.7".to_owned())));
        assert_eq!(parts("g7.veth.none"), Some(("g7".to_owned(), "none".to_owned())));
        assert_eq!((parts("bridges"), parts("bridges.nsbr-1"), parts("u1.veth")), (None, None, None));
    }
}
