//! What the rules look at: bytes and facts, gathered by somebody else. A fact that is not known is None, and then no rule
//! speaks that needs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::accounts::{Group, User};
use crate::cli::PolicyFile;

use super::command::shown;
use super::status::{LINK, OTHERS_WRITE, TYPE};

/// A machine, or as much of one as is known.
#[derive(Debug, Default)]
pub struct Machine {
    /// The policy files, each kind once at most.
    pub files: Vec<Policy>,
    /// Its users, and its groups.
    pub people: Option<People>,
    /// `/etc/nsswitch.conf`.
    pub nsswitch: Option<Found>,
    /// The bytes of `/etc/login.defs`; an absent one is empty.
    pub login_defs: Option<Vec<u8>>,
    /// The network interfaces there are, if it runs.
    pub interfaces: Option<BTreeMap<Vec<u8>, Interface>>,
    /// Do containers of systemd's run on it?
    pub nspawn: bool,
    /// Does incus or LXD keep containers on it?
    pub incus: bool,
    /// Files of the machine that should have been read and could not be: which, and why.
    pub unread: Vec<(String, String)>,
    /// For commands: the directory of the image. None: the machine we run on.
    pub root: Option<Vec<u8>>,
}

/// Accounts and groups.
#[derive(Debug, Default)]
pub struct People {
    /// Those of `/etc/passwd`, and behind them those that were asked for elsewhere.
    pub users: Vec<User>,
    /// Those of `/etc/group`, and behind them those that were asked for elsewhere.
    pub groups: Vec<Group>,
    /// Were the name services asked about every owner that the files do not know? If there are any.
    pub all_asked: bool,
}

/// A policy file.
#[derive(Debug)]
pub struct Policy {
    /// Which.
    pub file: PolicyFile,
    /// What a person calls it, without anything in it that a terminal would take for a command.
    pub name: Arc<str>,
    /// A file of that kind that is not in its place.
    pub draft: bool,
    /// Is it to be looked at, or is it only here for comparison?
    pub wanted: bool,
    /// Itself.
    pub found: Found,
}

/// A file, as it is found by its path.
#[derive(Debug)]
pub struct Found {
    /// The path, for commands.
    pub path: Vec<u8>,
    /// What is in it.
    pub content: Content,
    /// The way to it, directories, links and itself; empty if that does not matter.
    pub way: Vec<Step>,
    /// Who is root there: 0, but in an image whose ids are shifted.
    pub root_uid: u32,
}

impl Found {
    /// Is every step on the way root's alone, and none of them a link?
    #[must_use]
    pub fn is_roots_alone(&self) -> bool {
        let plain = |step: &Step| step.uid == 0 && step.mode & OTHERS_WRITE == 0 && step.mode & TYPE != LINK;
        self.way.iter().all(plain)
    }
}

/// What is in a file.
#[derive(Debug)]
pub enum Content {
    /// This.
    Bytes(Vec<u8>),
    /// There is no such file.
    Absent,
    /// It cannot be read, for this reason.
    Unread(String),
    /// It is no file: "is a directory".
    NotAFile(String),
}

/// A directory, link or file on the way to a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Its path.
    pub path: String,
    /// Its owner.
    pub uid: u32,
    /// Type and permissions, as in `st_mode`.
    pub mode: u32,
    /// The number of its file system.
    pub device: u64,
}

/// A network interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Is it a bridge? None: it may be one of Open vSwitch's.
    pub bridge: Option<bool>,
    /// `net.ipv6.conf.NAME.accept_ra`, if there is IPv6.
    pub accept_ra: Option<i64>,
}

impl Machine {
    /// The file of this kind, if there is something of it.
    #[must_use]
    pub fn policy(&self, file: PolicyFile) -> Option<&Policy> {
        self.files.iter().find(|policy| policy.file == file)
    }

    /// What is in the file of this kind; nothing, if there is none.
    #[must_use]
    pub fn bytes(&self, file: PolicyFile) -> Option<&[u8]> {
        self.policy(file)?.found.bytes()
    }

    /// What is in `/etc/nsswitch.conf`, if that is known.
    #[must_use]
    pub fn nsswitch(&self) -> Option<&[u8]> {
        self.nsswitch.as_ref()?.bytes()
    }
}

impl Policy {
    /// A file by itself, as it would be in its place.
    #[must_use]
    pub fn of(file: PolicyFile, content: Content) -> Self {
        Self {
            file,
            name: shown(file.path().as_bytes()).into(),
            draft: false,
            wanted: true,
            found: Found::of(file.path(), content),
        }
    }
}

impl Found {
    /// One in its place, whoever may have written it.
    #[must_use]
    pub fn of(path: &str, content: Content) -> Self {
        Self { path: path.as_bytes().to_vec(), content, way: Vec::new(), root_uid: 0 }
    }

    /// The bytes, if that is known: an absent file has none.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Bytes(bytes) => Some(bytes),
            Content::Absent => Some(b""),
            Content::Unread(_) | Content::NotAFile(_) => None,
        }
    }
}
