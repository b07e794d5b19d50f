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
use crate::ledger::{self, ALL, Ledger, Seen, Table};
use crate::links::{Link, Links};
use crate::own_bridge::{self, TABLE};
use crate::permit;
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

/// What came of tidying up.
#[derive(Debug, Default)]
pub struct Tidied {
    /// What was, or would be, taken out.
    pub gone: Vec<Left>,
    /// What could not be cleared, or read. It stays, and counts.
    pub trouble: Vec<Error>,
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
        self.quotas_of(|_, _| true, |table| table.records(&self.interfaces))
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
        self.quotas_of(
            |owner, on| on == attachment && is_asked_for(owner),
            |table| {
                let left = table.left(&table.look(&self.interfaces, ALL)?)?;
                let mut records = table.records(&self.interfaces)?;
                for (record, counts) in &mut records {
                    *counts = *counts || !left.contains(record);
                }
                Ok(records)
            },
        )
    }

    /// Those that are wanted, with what is to be known of the records of each.
    fn quotas_of(
        &self,
        is_wanted: impl Fn(&str, &Attachment) -> bool,
        records_of: impl Fn(&Table) -> Result<Vec<(Record, bool)>, Error>,
    ) -> Result<Vec<Quota>, Error> {
        let Some(ledger) = &self.ledger else { return Ok(Vec::new()) };
        let mut quotas = Vec::new();
        for name in ledger.names()? {
            let Some(What::Quota { owner, attachment }) = What::of(&name) else { continue };
            if !is_wanted(&owner, &attachment) {
                continue;
            }
            let Some(table) = ledger.table(&name)? else { continue };
            quotas.push(Quota { owner, attachment, records: records_of(&table)? });
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
    /// The ledger cannot be read. What is wrong with one table only is in the answer.
    pub fn tidy(&mut self, is_trial: bool, word: impl Fn(&str) -> Vec<u8>) -> Result<Tidied, Error> {
        let names = self.ledger.as_ref().map(Ledger::names).transpose()?.unwrap_or_default();
        let hurried = Cell::new(false);
        let mut tidied = Tidied::default();
        for name in names {
            // What is wrong with one table is no reason to leave the others.
            let (gone, trouble) = match self.tidy_table(&name, is_trial, &word, &hurried) {
                Ok((gone, cleared)) => (gone, cleared.err()),
                Err(error) => (Vec::new(), Some(error)),
            };
            tidied.gone.extend(gone.into_iter().map(|record| Left { table: name.clone(), record }));
            tidied.trouble.extend(trouble);
        }
        Ok(tidied)
    }

    /// What was taken out of it, and whether that is all there was to take.
    fn tidy_table(
        &mut self,
        name: &str,
        is_trial: bool,
        word: impl Fn(&str) -> Vec<u8>,
        hurried: &Cell<bool>,
    ) -> Result<(Vec<Record>, Result<(), Error>), Error> {
        let nothing = Ok((Vec::new(), Ok(())));
        let Self { ledger: Some(ledger), links, interfaces } = self else { return nothing };
        let Some(what) = What::of(name) else { return nothing };
        let Some(table) = ledger.table(name)? else { return nothing };
        let mut seen = table.look(interfaces, ALL)?;
        let left = table.left(&seen)?;
        if left.is_empty() || is_trial {
            return Ok((left, Ok(())));
        }
        let tidied = match &what {
            What::Quota { owner, attachment } => {
                let (owner, bridge) = (word(owner), attachment.word());
                let view = View { lxc: &ledger.lxc, table: &table, owner, bridge, hurried };
                // First there, as in `places.rs`. If it cannot be read, it is named in its own turn.
                let all = permit::table_of_all(attachment);
                let all = if name == all { None } else { ledger.table(&all).ok().flatten() };
                let clear = |record: &Record, locks: &[BorrowedFd<'_>]| {
                    wire::clear(links, record, locks)?;
                    all.as_ref().map_or(Ok(()), |all| all.forget(record))
                };
                table.tidy(&mut seen, Duration::MAX, clear, |gone| view.forget(gone))
            }
            What::Bridges => own_bridge::look(links, &table, interfaces).map(|(_, tidied)| tidied),
            What::Bridge => table.tidy(&mut seen, Duration::MAX, |_, _| Ok(()), |_| Ok(())),
        };
        let now = table.look(interfaces, ALL)?;
        let is_left =
            |record: &Record| now.iter().any(|seen| matches!(seen, Seen::Left(left) if **left == *record));
        let gone = left.into_iter().filter(|record| !is_left(record)).collect();
        Ok((gone, tidied.and_then(ledger::Tidied::wholly)))
    }

    /// The bridges of users' own that the ledger has heard of, as far as it can be read: of a table that cannot, [`Census::tidy`] says so.
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

/// What a table is for, by its name.
enum What {
    /// The interfaces of an owner on a bridge.
    Quota { owner: String, attachment: Attachment },
    /// All bridges of users' own.
    Bridges,
    /// Who is making one of them.
    Bridge,
}

impl What {
    fn of(name: &str) -> Option<Self> {
        if let Some(rest) = name.strip_prefix(TABLE) {
            return match rest {
                "" => Some(Self::Bridges),
                rest => rest.starts_with('.').then_some(Self::Bridge),
            };
        }
        let (owner, rest) = name.split_once('.')?;
        let on = rest.strip_prefix(VETH)?.strip_prefix('.')?;
        Some(Self::Quota { owner: owner.to_owned(), attachment: Attachment::parse(on.as_bytes()).ok()? })
    }
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
        let parts = |name| match What::of(name) {
            Some(What::Quota { owner, attachment }) => Some((owner, attachment.word().to_owned())),
            _ => None,
        };
        assert_eq!(parts("u52001.veth.lxcbr0"), Some(("u52001".to_owned(), "lxcbr0".to_owned())));
        assert_eq!(parts("all.veth.br.7"), Some(("all".to_owned(), "br.7".to_owned())));
        assert_eq!(parts("g7.veth.none"), Some(("g7".to_owned(), "none".to_owned())));
        assert_eq!((parts("bridges"), parts("bridges.nsbr-1"), parts("u1.veth")), (None, None, None));
        assert!(matches!(What::of("bridges"), Some(What::Bridges)));
        assert!(matches!(What::of("bridges.nsbr-1"), Some(What::Bridge)));
        assert!(matches!((What::of("bridges-1"), What::of("u1.veth")), (None, None)));
    }
}
