//! Whose lines a change is about, and what the owner is called in them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use common::policy::id::{Id, Range};
use common::policy::nic::{Attachment, InterfaceName};
use common::policy::subid::{self, Owner, Search};
use common::policy::text::Quoted;
use common::policy::usernet;

use super::lines::{subid_line, usernet_line};
use super::taken::odd_entry;
use crate::accounts::{Accounts, User};
use crate::failure::Failure;

/// Whoever holds ids.
#[derive(Debug)]
pub enum Holder {
    /// An account, under any of its names and its uid.
    Account(User, Box<Owner>),
    /// A word that is no account's any more: after `userdel`, lines may be left.
    Word(Vec<u8>),
}

impl Holder {
    /// Of an account that is there.
    #[must_use]
    pub fn of(accounts: &Accounts, user: User) -> Self {
        let names = accounts.names_of(user.uid);
        let owner = Owner::new(user.uid, names.iter().chain(Some(&user.name)).map(Vec::as_slice));
        Self::Account(user, Box::new(owner))
    }

    /// Whom a word on the command line means: an account, or else whoever is called so in the files.
    ///
    /// # Errors
    /// It may be either of two accounts.
    pub fn meant_by(accounts: &Accounts, word: &OsStr) -> Result<Self, Failure> {
        let user = accounts.user_if_any(word)?;
        Ok(user.map_or_else(|| Self::Word(word.as_bytes().to_vec()), |user| Self::of(accounts, user)))
    }

    /// Is this line his?
    #[must_use]
    pub fn has(&self, line: &[u8]) -> bool {
        match self {
            Self::Account(_, owner) => owner.has(line),
            Self::Word(word) => subid::entry(line).is_some_and(|(owner, _)| owner == word),
        }
    }

    /// Is it his, and a line to other programs only?
    #[must_use]
    pub fn has_odd(&self, line: &[u8]) -> bool {
        let is_his = |(owner, _): &(&[u8], Range)| match self {
            Self::Account(_, his) => his.has(&[owner, b":".as_slice()].concat()),
            Self::Word(word) => owner == word,
        };
        subid::entry(line).is_none() && odd_entry(line).first().is_some_and(is_his)
    }

    /// The name to speak of.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Account(user, _) => &user.name,
            Self::Word(word) => word,
        }
    }

    /// The uid, of an account.
    #[must_use]
    pub fn uid(&self) -> Option<u32> {
        match self {
            Self::Account(user, _) => Some(user.uid.raw()),
            Self::Word(_) => None,
        }
    }

    /// What a new line has to call him: his name, unless the helpers would read the line as nobody's or somebody else's too. Then
    /// his uid, which always does.
    #[must_use]
    pub fn word(&self, accounts: &Accounts, range: Range) -> Vec<u8> {
        let is_read = |word: &[u8]| match self {
            Self::Account(_, owner) => {
                let line = subid_line(word, range);
                let mut search = Search::new(owner);
                search.look_at(1, &line);
                // One line, and it grants all of it.
                !line.contains(&b'\n') && !line.contains(&0) && search.finish().first_missing(range).is_none()
            }
            Self::Word(_) => false,
        };
        match self {
            Self::Account(user, _) if accounts.has_namesake(user) || !is_read(&user.name) => {
                user.uid.to_string().into_bytes()
            }
            Self::Account(..) | Self::Word(_) => self.name().to_vec(),
        }
    }
}

/// The owner and the bridge of a line in lxc-usernet: the format can express them, and the helper reads them so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NicLine {
    /// A user's name, or `@` and a group's.
    pub owner: Vec<u8>,
    /// A bridge's name, `none`, or a pattern with `%u` in it.
    pub bridge: Vec<u8>,
}

impl NicLine {
    /// Of these words.
    ///
    /// # Errors
    /// The format cannot express one of them: why.
    pub fn parse(owner: &OsStr, bridge: &OsStr) -> Result<Self, Failure> {
        let (owner, bridge) = (owner.as_bytes(), bridge.as_bytes());
        let refuse = |what: &str, word: &[u8], why: &str| {
            Err(Failure::new(format!("{what} \"{}\" cannot be in /etc/lxc/lxc-usernet: {why}", Quoted(word))))
        };
        let name = owner.strip_prefix(b"@");
        let (what, name) = name.map_or(("user", owner), |name| ("group", name));
        let why = match name {
            [] => Some("it is empty"),
            _ if name.iter().any(u8::is_ascii_whitespace) => Some("a blank ends the column"),
            _ if name.contains(&b':') => {
                Some("no name on Linux has a colon in it: it ends the column of /etc/passwd")
            }
            _ if name.iter().any(u8::is_ascii_control) => Some("it has a control byte in it"),
            [b'@', ..] => Some("@ in front is a group"),
            [b'#', ..] => Some("# in front is a remark"),
            _ => None,
        };
        if let Some(why) = why {
            return refuse(what, owner, why);
        }
        // The longest uid for a group's members is not known: one digit is the least that has to fit.
        let example = String::from_utf8_lossy(bridge).replace("%u", "0");
        let attachment = if bridge.is_ascii() || std::str::from_utf8(bridge).is_ok() {
            Attachment::parse(example.as_bytes())
        } else {
            Err("is not text")
        };
        match attachment {
            Err(why) if example.contains('%') => {
                let why =
                    if why.contains('%') { "the only % in it can be %u, the caller's uid" } else { why };
                return refuse("bridge", bridge, why);
            }
            Err(why) => return refuse("bridge", bridge, &format!("it {why}")),
            Ok(_) => {}
        }
        let line = usernet_line(owner, bridge, 1);
        let wanted = usernet::Entry { owner, bridge, count: 1 };
        if usernet::entry(&line) != Some(wanted) {
            return refuse(what, owner, "the helper would not read the line so");
        }
        Ok(Self { owner: owner.to_vec(), bridge: bridge.to_vec() })
    }

    /// The group's name, if it is one's.
    #[must_use]
    pub fn group(&self) -> Option<&[u8]> {
        self.owner.strip_prefix(b"@")
    }

    /// The bridge of a user with this uid. None: with so many digits it is no name.
    #[must_use]
    pub fn bridge_of(&self, uid: Id) -> Option<InterfaceName> {
        let name = String::from_utf8_lossy(&self.bridge).replace("%u", &uid.to_string());
        InterfaceName::parse(name.as_bytes()).ok()
    }

    /// Is there one for each user?
    #[must_use]
    pub fn is_per_user(&self) -> bool {
        self.bridge.windows(2).any(|two| two == b"%u")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, count: u32) -> Range {
        Range::new(Id::new(first).unwrap(), count).unwrap()
    }

    #[test]
    fn a_user_whose_name_would_be_read_as_somebody_else_is_called_by_his_uid() {
        let long = "x".repeat(1100);
        let passwd = format!(
            "alice:x:1000:1::/:\n7:x:1001:1::/:\na b:x:1002:1::/:\n{long}:x:1003:1::/:\n\
             twin:x:1004:1::/:\ntwin:x:1005:1::/:\nonce:x:1006:1::/:\nonce:x:1006:1::/:\n"
        );
        let accounts = Accounts::of(passwd.as_bytes(), b"", false);
        let word = |uid: u32| {
            let user = accounts.user_with(Id::new(uid).unwrap()).unwrap();
            String::from_utf8(Holder::of(&accounts, user).word(&accounts, range(100_000, 65_536))).unwrap()
        };
        assert_eq!([1000, 1001, 1002, 1003].map(word), ["alice", "1001", "a b", "1003"]);
        // A line by this name is for both.
        assert_eq!([1004, 1005, 1006].map(word), ["1004", "1005", "once"]);
    }

    #[test]
    fn a_word_that_may_be_either_of_two_means_neither() {
        let accounts = Accounts::of(b"lp:x:7:7::/:\n7:x:1001:1::/:\n", b"", false);
        let meant = |word: &str| Holder::meant_by(&accounts, OsStr::new(word));
        assert!(meant("7").is_err());
        assert!(matches!(meant("lp"), Ok(Holder::Account(..))) && matches!(meant("8"), Ok(Holder::Word(_))));
    }

    /// M18
    #[test]
    fn what_lxc_usernet_cannot_express_is_refused_with_the_reason() {
        let parse = |owner: &str, bridge: &str| {
            NicLine::parse(OsStr::new(owner), OsStr::new(bridge)).map_err(|failure| failure.to_string())
        };
        for (owner, bridge, why) in [
            ("", "br0", "empty"),
            ("@", "br0", "empty"),
            ("a b", "br0", "blank"),
            ("a\tb", "br0", "blank"),
            ("@a b", "br0", "blank"),
            ("a\nroot veth br0 9", "br0", "blank"),
            ("a:b", "br0", "colon"),
            ("a\x1b[2J", "br0", "control"),
            ("a\0b", "br0", "control"),
            ("@@a", "br0", "group"),
            ("#a", "br0", "remark"),
            ("a", "", "empty"),
            ("a", "br 0", "character"),
            ("a", "br0\nroot", "character"),
            ("a", "1234567890123456", "15"),
            ("a", "br%d", "%u"),
            ("a", "-br", "dash"),
            ("a", "a/b", "character"),
            ("a", "all", "kernel"),
        ] {
            let refused = parse(owner, bridge).expect_err(owner);
            assert!(refused.contains(why), "{owner:?} {bridge:?}: {refused}");
            assert!(refused.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{refused:?}");
        }
        for (owner, bridge) in
            [("alice", "br0"), ("@lab", "none"), ("a.b-c$", "nsbr-%u"), ("\u{e9}", "br-lan")]
        {
            assert!(parse(owner, bridge).is_ok(), "{owner} {bridge}");
        }
        let line = parse("@lab", "nsbridge-%u").unwrap();
        assert!(line.is_per_user());
        assert_eq!(line.bridge_of(Id::new(1000).unwrap()).unwrap().as_str(), "nsbridge-1000");
        assert_eq!(line.bridge_of(Id::new(10_000_000).unwrap()), None);
    }
}
