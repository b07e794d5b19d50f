//! Accounts and groups, found by name and by number however many there are.

use std::collections::HashMap;

use common::policy::id::{self, Id, Range};
use common::policy::nsswitch::Nsswitch;

use crate::accounts::User;

use super::machine::{Machine, People};

/// The users and groups of a machine.
#[derive(Debug, Default)]
pub struct Known<'a> {
    /// Is anything known of them?
    pub people: Option<&'a People>,
    users: HashMap<&'a [u8], &'a User>,
    by_uid: HashMap<Id, &'a User>,
    groups: HashMap<&'a [u8], Id>,
    uids: Vec<(Id, &'a [u8])>,
    gids: Vec<(Id, &'a [u8])>,
    folded: HashMap<Vec<u8>, &'a [u8]>,
    /// Are those all there are?
    all: bool,
}

/// Nobody's account, though it has a line in the files.
const NOBODY: u32 = 65534;

impl<'a> Known<'a> {
    /// Those of this machine.
    #[must_use]
    pub fn of(machine: &'a Machine) -> Self {
        let Some(people) = &machine.people else { return Self::default() };
        // A name service that is down says of everybody that it does not know him, and that of an image is not asked.
        let nsswitch = machine.nsswitch().map(Nsswitch::parse);
        let elsewhere = nsswitch.is_none_or(|nsswitch| nsswitch.accounts_are_elsewhere_too());
        let mut known = Self { people: Some(people), all: people.all_asked && !elsewhere, ..Self::default() };
        for user in &people.users {
            let name = user.name.as_slice();
            known.users.entry(name).or_insert(user);
            known.by_uid.entry(user.uid).or_insert(user);
            known.folded.entry(name.to_ascii_lowercase()).or_insert(name);
            known.uids.push((user.uid, name));
            known.gids.extend(Id::new(user.gid).map(|gid| (gid, name)));
        }
        for group in &people.groups {
            known.groups.entry(&group.name).or_insert(group.gid);
            known.gids.push((group.gid, &group.name));
        }
        for accounts in [&mut known.uids, &mut known.gids] {
            accounts.retain(|(id, _)| id.raw() != 0 && id.raw() != NOBODY);
            accounts.sort_by_key(|(id, _)| *id);
            accounts.dedup_by_key(|(id, _)| *id);
        }
        known
    }

    /// The user of this name.
    #[must_use]
    pub fn user(&self, name: &[u8]) -> Option<&'a User> {
        self.users.get(name).copied()
    }

    /// The first user with this uid.
    #[must_use]
    pub fn user_with(&self, uid: Id) -> Option<&'a User> {
        self.by_uid.get(&uid).copied()
    }

    /// The gid of the group of this name.
    #[must_use]
    pub fn group(&self, name: &[u8]) -> Option<Id> {
        self.groups.get(name).copied()
    }

    /// A user's name that differs in capitals alone.
    #[must_use]
    pub fn nearly(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.folded.get(&name.to_ascii_lowercase()).copied()
    }

    /// Is it certain that an owner who is no user here is nobody? Not if there is one who is nearly called so.
    #[must_use]
    pub fn is_nobody(&self, name: &[u8]) -> bool {
        self.all && self.nearly(name).is_none()
    }

    /// The uids, or gids, of accounts in a range, with a name each; but root's and nobody's.
    #[must_use]
    pub fn within(&self, gids: bool, range: Range) -> &[(Id, &'a [u8])] {
        let accounts = if gids { &self.gids } else { &self.uids };
        let from = accounts.partition_point(|(id, _)| *id < range.first());
        let to = accounts.partition_point(|(id, _)| *id <= range.last());
        accounts.get(from..to).unwrap_or_default()
    }
}

/// The uid that an owner of digits means.
#[must_use]
pub fn uid_of_digits(owner: &[u8]) -> Option<Id> {
    id::decimal(owner).ok().and_then(Id::new)
}
