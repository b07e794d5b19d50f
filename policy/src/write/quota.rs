//! Whose quota of interfaces a line is, what else gives him one, and which interfaces count for it.

use common::policy::text::Quoted;
use common::policy::usernet::{Owner, Quota, Search};

use crate::accounts::{Accounts, Group, User};
use crate::check::pattern::Pattern;
use crate::cli::PolicyFile;
use crate::failure::Failure;
use crate::show::nics;

/// The owner of a line of lxc-usernet that is somebody.
#[derive(Debug)]
pub struct Whose<'a> {
    accounts: &'a Accounts,
    who: Who,
}

#[derive(Debug)]
enum Who {
    User(User),
    Group(Group),
}

impl<'a> Whose<'a> {
    /// Of this word: a user's name, or @ and a group's. None: it is nobody's.
    #[must_use]
    pub fn of(accounts: &'a Accounts, owner: &[u8]) -> Option<Self> {
        let who = match owner.strip_prefix(b"@") {
            Some(group) => Who::Group(accounts.group_named(group)?),
            None => Who::User(accounts.user_named(owner)?),
        };
        Some(Self { accounts, who })
    }

    /// What a user may still have on a bridge by this text, by another name of his or by a group.
    #[must_use]
    pub fn has_still(&self, text: &[u8], bridge: &[u8]) -> Vec<String> {
        let Who::User(user) = &self.who else { return Vec::new() };
        let groups = self.accounts.groups_of(user);
        let is_in = |name: &[u8]| {
            self.accounts.group_named(name).map(|group| group.gid).filter(|gid| groups.contains(gid))
        };
        let quotas = self.quotas(user, text, bridge, is_in);
        let note = |quota: &Quota| {
            let (name, file) = (Quoted(&user.name), PolicyFile::LxcUsernet.path());
            format!(
                "{name} may still have {} there, by {file}:{} ({})",
                quota.limit,
                quota.line,
                owner_of(quota)
            )
        };
        quotas.iter().map(note).collect()
    }

    /// That a user has more by another name of his, so that a line with so many has no effect.
    #[must_use]
    pub fn has_more(&self, text: &[u8], bridge: &[u8], count: u32) -> Option<String> {
        let Who::User(user) = &self.who else { return None };
        let quotas = self.quotas(user, text, bridge, |_| None);
        let quota = quotas.first().filter(|quota| quota.limit > count)?;
        let is_other = matches!(&quota.owner, Owner::User { name, .. } if *name != user.name);
        is_other.then(|| {
            format!(
                "{} has {} there, by {}:{} ({}, the same uid): the larger number holds",
                Quoted(&user.name),
                quota.limit,
                PolicyFile::LxcUsernet.path(),
                quota.line,
                owner_of(quota)
            )
        })
    }

    fn quotas(
        &self,
        user: &User,
        text: &[u8],
        bridge: &[u8],
        is_in: impl FnMut(&[u8]) -> Option<common::policy::id::Id>,
    ) -> Vec<Quota> {
        let names = self.accounts.names_of(user.uid);
        let bridge = own(bridge, user);
        let mut search = Search::new(user.uid, &names, &bridge);
        search.look_at(1, text);
        search.finish().quotas(user.uid, is_in)
    }

    /// The interfaces on a bridge that count for it: they stay until their containers end.
    ///
    /// # Errors
    /// They cannot be seen.
    pub(crate) fn nics(&self, bridge: &[u8]) -> Result<Vec<nics::Row>, Failure> {
        let (key, bridge) = match &self.who {
            Who::User(user) => (format!("u{}", user.uid), own(bridge, user).into_bytes()),
            Who::Group(group) => (format!("g{}", group.gid), bridge.to_vec()),
        };
        let pattern = Pattern::of(&bridge);
        nics::of_quota(self.accounts, &key, |on| pattern.becomes(on.as_bytes()))
    }
}

/// The bridge that a name in a line is for this user.
fn own(bridge: &[u8], user: &User) -> String {
    String::from_utf8_lossy(bridge).replace("%u", &user.uid.to_string())
}

fn owner_of(quota: &Quota) -> String {
    match &quota.owner {
        Owner::User { name, .. } => Quoted(name).to_string(),
        Owner::Group { name, .. } => format!("@{}", Quoted(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_for_the_same_user_are_told() {
        let passwd = b"alice:x:1000:100::/:\nlass:x:1000:100::/:\nbob:x:1001:100::/:\n";
        let accounts = Accounts::of(passwd, b"lab:x:7:alice\nart:x:8:bob\n", false);
        let alice = Whose::of(&accounts, b"alice").unwrap();
        let text = b"lass veth br0 3\n@lab veth br0 4\n@art veth br0 5\nbob veth br0 6\nalice veth br1 7\n";
        let file = "/etc/lxc/lxc-usernet";
        assert_eq!(
            alice.has_still(text, b"br0"),
            [
                format!("alice may still have 3 there, by {file}:1 (lass)"),
                format!("alice may still have 4 there, by {file}:2 (@lab)")
            ]
        );
        assert!(alice.has_still(text, b"br2").is_empty());
        assert_eq!(alice.has_still(b"@lab veth n%u 4\n", b"n1000").len(), 1);
        assert_eq!(alice.has_still(b"lass veth n1000 4\n", b"n%u").len(), 1);
        let more = |count| alice.has_more(text, b"br0", count);
        let said = format!("alice has 3 there, by {file}:1 (lass, the same uid): the larger number holds");
        assert_eq!((more(2), more(3), alice.has_more(text, b"br1", 2)), (Some(said), None, None));
        assert!(Whose::of(&accounts, b"@lab").unwrap().has_still(text, b"br0").is_empty());
        assert!(Whose::of(&accounts, b"zoe").is_none() && Whose::of(&accounts, b"@zoe").is_none());
    }
}
