//! Who there is on the machine: `/etc/passwd` and `/etc/group`, and on the machine that we run on the name services too.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use common::policy::id::{self, Id};
use common::policy::text::{Quoted, is_tame, lines};
use common::policy::{group, passwd};

use crate::failure::Failure;
use crate::root::Root;

/// An account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// Login name.
    pub name: Vec<u8>,
    /// Its uid.
    pub uid: Id,
    /// Its login group.
    pub gid: u32,
}

/// A group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its name.
    pub name: Vec<u8>,
    /// Its gid.
    pub gid: Id,
    /// Names of users who are in it beside those whose login group it is.
    pub members: Vec<Vec<u8>>,
}

/// Those that the files have; and on the live machine, asked by name or number, those that only a name service has.
#[derive(Debug)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
    live: bool,
}

impl Accounts {
    /// Reads the files of a machine.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn read(root: &Root) -> Result<Self, Failure> {
        let bytes = |path| root.read(path).map(|file| file.map(|file| file.bytes).unwrap_or_default());
        Ok(Self::of(&bytes("/etc/passwd")?, &bytes("/etc/group")?, root.is_live()))
    }

    /// Those of these files. `live`: what they lack may be asked of the name services of this machine.
    #[must_use]
    pub fn of(passwd: &[u8], group: &[u8], live: bool) -> Self {
        let user = |(name, uid, gid): (&[u8], Id, u32)| User { name: name.to_vec(), uid, gid };
        let group_of = |line| {
            let (name, gid) = group::entry(line)?;
            let members = line.split(|byte| *byte == b':').nth(3).unwrap_or_default();
            let members = members.split(|byte| *byte == b',').filter(|member| !member.is_empty());
            Some(Group { name: name.to_vec(), gid, members: members.map(<[u8]>::to_vec).collect() })
        };
        let users = lines(passwd).filter_map(passwd::entry).map(user).collect();
        Self { users, groups: lines(group).filter_map(group_of).collect(), live }
    }

    /// All accounts of the file, in its order.
    #[must_use]
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// All groups of the file, in its order.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The account of this name: the file's first, as in the C library.
    #[must_use]
    pub fn user_named(&self, name: &[u8]) -> Option<User> {
        let known = self.users.iter().find(|user| user.name == name).cloned();
        known.or_else(|| {
            self.ask(|| uzers::get_user_by_name(OsStr::from_bytes(name)).and_then(|user| user_of(&user)))
        })
    }

    /// The first account with this uid.
    #[must_use]
    pub fn user_with(&self, uid: Id) -> Option<User> {
        let known = self.users.iter().find(|user| user.uid == uid).cloned();
        known.or_else(|| self.ask(|| uzers::get_user_by_uid(uid.raw()).and_then(|user| user_of(&user))))
    }

    /// The account that somebody means by a word on the command line: by name, or by uid in decimal.
    ///
    /// # Errors
    /// There is none, or it may be either of two.
    pub fn user(&self, word: &OsStr) -> Result<User, Failure> {
        self.user_if_any(word)?.ok_or_else(|| self.nobody(word))
    }

    /// There is no such user.
    #[must_use]
    pub fn nobody(&self, word: &OsStr) -> Failure {
        Failure::new(format!("there is no user \"{}\" {}", Quoted(word.as_bytes()), self.place("passwd")))
    }

    /// The same. Ok(None): there is none.
    ///
    /// # Errors
    /// It may be either of two.
    pub fn user_if_any(&self, word: &OsStr) -> Result<Option<User>, Failure> {
        let uid = id::decimal(word.as_bytes()).ok().and_then(Id::new);
        match (self.user_named(word.as_bytes()), uid.and_then(|uid| self.user_with(uid))) {
            (Some(named), Some(other)) if named.uid != other.uid => Err(Failure::new(format!(
                "{} is the name of uid {}, and the uid of \"{}\": say {} for the one, or the name of the other",
                Quoted(word.as_bytes()),
                named.uid,
                Quoted(&other.name),
                named.uid
            ))),
            (named, other) => Ok(named.or(other)),
        }
    }

    /// How to call a user on a command line: by a name that is his alone and that no shell takes for something else, or by number.
    #[must_use]
    pub fn word_for(&self, user: &User) -> String {
        let is_number = user.name.iter().all(u8::is_ascii_digit);
        match std::str::from_utf8(&user.name) {
            Ok(name) if is_tame(&user.name) && !is_number && !self.has_namesake(user) => name.to_owned(),
            _ => user.uid.to_string(),
        }
    }

    /// Where somebody was looked for in vain, for a message about him: `passwd` or `group`.
    #[must_use]
    pub fn place(&self, database: &str) -> String {
        if self.live {
            format!("on this machine; see getent {database}")
        } else {
            format!("in the image's /etc/{database}")
        }
    }

    /// Does another account have his name? Then a line by name is also that one's.
    #[must_use]
    pub fn has_namesake(&self, user: &User) -> bool {
        self.users.iter().any(|other| other.name == user.name && other.uid != user.uid)
    }

    /// All names of this uid, the one to speak of first: whose lines count.
    #[must_use]
    pub fn names_of(&self, uid: Id) -> Vec<Vec<u8>> {
        let mut known = BTreeSet::new();
        let users = self.users.iter().filter(|user| user.uid == uid).cloned().chain(self.user_with(uid));
        users.map(|user| user.name).filter(|name| known.insert(name.clone())).collect()
    }

    /// The group of this name: the file's first, as in the C library.
    #[must_use]
    pub fn group_named(&self, name: &[u8]) -> Option<Group> {
        let known = self.groups.iter().find(|group| group.name == name).cloned();
        known.or_else(|| {
            self.ask(|| {
                let group = uzers::get_group_by_name(OsStr::from_bytes(name))?;
                let gid = Id::new(group.gid())?;
                Some(Group { name: group.name().as_bytes().to_vec(), gid, members: Vec::new() })
            })
        })
    }

    /// The gids of all groups of a user: what getgroups(2) and getgid(2) will say after he has logged in.
    #[must_use]
    pub fn groups_of(&self, user: &User) -> Vec<Id> {
        let is_in = |group: &&Group| group.members.contains(&user.name);
        let mut gids: Vec<Id> = Id::new(user.gid).into_iter().collect();
        gids.extend(self.groups.iter().filter(is_in).map(|group| group.gid));
        let others = self.ask(|| uzers::get_user_groups(OsStr::from_bytes(&user.name), user.gid));
        gids.extend(others.unwrap_or_default().iter().filter_map(|group| Id::new(group.gid())));
        gids.sort_unstable();
        gids.dedup();
        gids
    }

    fn ask<T>(&self, of_the_name_services: impl FnOnce() -> Option<T>) -> Option<T> {
        if self.live { of_the_name_services() } else { None }
    }
}

fn user_of(user: &uzers::User) -> Option<User> {
    let (name, gid) = (user.name().as_bytes().to_vec(), user.primary_group_id());
    Some(User { name, uid: Id::new(user.uid())?, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Held against each other in pairs, these would take minutes.
    #[test]
    fn as_many_names_as_one_likes_may_be_the_same_account() {
        let passwd: String =
            (0..400_000).map(|number| format!("alias{}:x:1000:1::/:\n", number / 2)).collect();
        let names = Accounts::of(passwd.as_bytes(), b"", false).names_of(Id::new(1000).unwrap());
        assert_eq!((names.len(), names.last().map(Vec::as_slice)), (200_000, Some(&b"alias199999"[..])));
        let mut account = passwd::Account::default();
        account.collect(Id::new(1000).unwrap(), passwd.as_bytes());
        assert_eq!(account.names, names);
    }

    #[test]
    fn an_account_is_found_by_every_name_and_by_number() {
        let passwd = b"root:x:0:0::/:/bin/sh\nalice:x:1000:100::/:\nlass:x:1000:101::/:\n#x:x:5:5::/:\n7:x:1001:5::/:\n";
        let accounts = Accounts::of(passwd, b"staff:x:50:alice,bob\nusers:x:100:\n", false);
        let uid = |word: &str| accounts.user(OsStr::new(word)).map(|user| user.uid.raw()).ok();
        assert_eq!(
            ["alice", "1000", "0", "7", "#x", "nobody"].map(uid),
            [Some(1000), Some(1000), Some(0), Some(1001), None, None]
        );
        // What one is called may be the number of another.
        let both = Accounts::of(&[&passwd[..], b"lp:x:7:7::/:\n"].concat(), b"", false);
        let uid = |word: &str| both.user(OsStr::new(word)).map(|user| user.uid.raw()).ok();
        assert_eq!(["7", "lp", "1001"].map(uid), [None, Some(7), Some(1001)]);
        assert_eq!(accounts.names_of(Id::new(1000).unwrap()), [b"alice".to_vec(), b"lass".to_vec()]);
        assert_eq!(accounts.names_of(Id::new(7).unwrap()), Vec::<Vec<u8>>::new());
        let alice = accounts.user_named(b"alice").unwrap();
        assert_eq!(accounts.groups_of(&alice).iter().map(|gid| gid.raw()).collect::<Vec<_>>(), [50, 100]);
    }
}
