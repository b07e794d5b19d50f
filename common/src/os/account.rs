//! Who the caller is to this host: the account names of his uid, and the gids of groups that policy names.
//!
//! There are two ways to ask, and a program links one. [`Files`] reads `/etc/passwd` and `/etc/group` and loads
//! nothing: it is for the static programs. What it cannot answer it hands over, with every privilege given up, to a
//! dynamic twin of the same program, which is installed set-id itself and uses [`Services`]. So the hand-over gives
//! nothing that the caller could not have by running the twin himself. The twin does not run the host's name services in its own
//! process either, but in a child that has given up all power (`powerless.rs`).

use std::ffi::{CStr, CString, OsStr};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::powerless::{Instead, hear_so_much};
use super::trusted::{Etc, EtcFile};
use super::{startup, sys};
use crate::Error;
use crate::policy::group::Groups;
use crate::policy::id::Id;
use crate::policy::nsswitch::Nsswitch;
use crate::policy::passwd::Account;
use crate::policy::told;

/// Whose account is wanted, and what an answer needs.
#[derive(Debug)]
pub struct Question<'a> {
    /// The caller's real uid.
    pub uid: Id,
    /// The host's `/etc`.
    pub etc: &'a Etc,
    /// Where it says accounts are.
    pub nsswitch: &'a Nsswitch,
    /// The command line after the program's name, should it have to be handed over.
    pub args: &'a [&'a OsStr],
}

/// What `/etc/nsswitch.conf` says, if there is one.
///
/// # Errors
/// It cannot be read.
pub fn read_nsswitch(file: Option<EtcFile>) -> Result<Nsswitch, Error> {
    let Some(mut file) = file else { return Ok(Nsswitch::default()) };
    let nsswitch = Nsswitch::parse(&file.contents("/etc/nsswitch.conf")?);
    Ok(if file.readable_by_all() { nsswitch } else { nsswitch.in_private() })
}

/// Where the package has a twin: `common::twin!("newuidmap-nss")`. A constant, which the build is told: nobody who calls the
/// program has a say in it.
#[macro_export]
macro_rules! twin {
    ($name:literal) => {
        match std::ffi::CStr::from_bytes_with_nul(
            concat!(env!("NSGATE_LIBEXECDIR"), "/nsgate/", $name, "\0").as_bytes(),
        ) {
            Ok(path) => path,
            Err(_) => c"",
        }
    };
}

/// Where a program asks.
pub trait Names {
    /// Does what asking needs of the process while it still has all its privileges.
    fn make_room(&self) {}

    /// The caller's account. Ok(None): this host has no such account.
    ///
    /// # Errors
    /// It cannot be asked for.
    fn account(&self, question: &Question<'_>) -> Result<Option<Account>, Error>;

    /// The gids of these groups. What this host has no group for stays missing.
    ///
    /// # Errors
    /// They cannot be asked for.
    fn groups<'a>(
        &self,
        question: &Question<'_>,
        names: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Groups<'a>, Error>;
}

/// The files alone, and this program for whatever is not in them.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    /// By absolute path.
    pub twin: &'static CStr,
}

/// Whatever `nsswitch.conf` names.
#[derive(Clone, Copy, Debug)]
pub struct Services;

impl Names for Files {
    /// If he is not in `/etc/passwd`, or that is not what `nsswitch.conf` says to ask first, the process becomes the
    /// twin and this does not return.
    fn account(&self, question: &Question<'_>) -> Result<Option<Account>, Error> {
        match in_files(question)? {
            InFiles::Decides(account) => Ok(account),
            InFiles::AskElsewhere { found: in_files } => {
                let errno = self.become_twin(question.args);
                Err(Error::NoTwin { uid: question.uid.raw(), in_files, twin: self.twin, errno })
            }
        }
    }

    /// If one is not in `/etc/group` and may be elsewhere, the process becomes the twin. Without a twin it stays
    /// missing: a group that nobody knows gives nothing to anybody.
    fn groups<'a>(
        &self,
        question: &Question<'_>,
        names: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Groups<'a>, Error> {
        let groups = groups_in_files(question.etc, names)?;
        if groups.some_missing() && question.nsswitch.groups_are_elsewhere_too() {
            self.become_twin(question.args);
        }
        Ok(groups)
    }
}

/// What `/etc/passwd` says of somebody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InFiles {
    /// All that there is to say.
    Decides(Option<Account>),
    /// Other sources come first, or it does not have him.
    AskElsewhere {
        /// Does it have him?
        found: bool,
    },
}

/// Asks the files alone.
///
/// # Errors
/// They cannot be read.
pub fn in_files(question: &Question<'_>) -> Result<InFiles, Error> {
    let &Question { uid, etc, nsswitch, .. } = question;
    let found = named_in_files(uid, etc)?;
    if nsswitch.accounts_are_in_files() && (found.is_some() || !nsswitch.accounts_are_elsewhere_too()) {
        return Ok(InFiles::Decides(found));
    }
    Ok(InFiles::AskElsewhere { found: found.is_some() })
}

impl Files {
    /// Does not return, or says why it does.
    pub(super) fn become_twin(&self, args: &[&OsStr]) -> Errno {
        let words = args.iter().map(|word| CString::new(word.as_bytes()));
        let command: Vec<CString> = std::iter::once(Ok(self.twin.to_owned()))
            .chain(words)
            .collect::<Result<_, _>>()
            .unwrap_or_default();
        let no_environment: [&CStr; 0] = [];
        let Err(errno) = nix::unistd::execve(self.twin, &command, &no_environment);
        errno
    }
}

impl Names for Services {
    fn make_room(&self) {
        startup::allow_children();
    }

    /// With his further names in `/etc/passwd`. Who is not settled by that is asked for in a child without power.
    fn account(&self, question: &Question<'_>) -> Result<Option<Account>, Error> {
        let &Question { uid, etc, nsswitch, .. } = question;
        if let InFiles::Decides(account) = in_files(question)? {
            return Ok(account);
        }
        let bytes = ask(told::ACCOUNT, || {
            let found = sys::account_by_uid(uid.raw()).map_err(number_of);
            told::tell_account(found.map(|account| account.map(|account| (account.gid, account.name))))
        })?;
        let told = told::hear_account(&bytes).ok_or_else(nonsense)?;
        let found =
            told.map_err(|errno| Error::when("look up the caller's account")(Errno::from_raw(errno)))?;
        let Some((gid, name)) = found else { return Ok(None) };
        let mut account = Account::default();
        account.add(&name, gid);
        if !nsswitch.accounts_are_in_files_too() {
            return Ok(Some(account));
        }
        let mut in_files = named_in_files(uid, etc)?.unwrap_or_default();
        for (name, gid) in in_files.names.drain(..).zip(in_files.gids) {
            account.add(&name, gid);
        }
        Ok(Some(account))
    }

    /// Those that are not in `/etc/group` are asked for in a child without power.
    fn groups<'a>(
        &self,
        question: &Question<'_>,
        names: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Groups<'a>, Error> {
        let mut groups = groups_in_files(question.etc, names)?;
        if !groups.some_missing() || !question.nsswitch.groups_are_elsewhere_too() {
            return Ok(groups);
        }
        let missing: Vec<&[u8]> = groups.missing().collect();
        let bytes = ask(told::GROUP.saturating_mul(missing.len()), || {
            let gid = |name: &&[u8]| match CString::new(*name) {
                Ok(name) => sys::group_by_name(&name).map_err(number_of),
                Err(_) => Ok(None),
            };
            missing.iter().flat_map(|name| told::tell_group(gid(name))).collect()
        })?;
        let mut gids = Vec::with_capacity(missing.len());
        for answer in bytes.chunks(told::GROUP) {
            let gid = told::hear_group(answer).ok_or_else(nonsense)?;
            let when = Error::when("look up a group of the policy's");
            gids.push(gid.map_err(|errno| when(Errno::from_raw(errno)))?.and_then(Id::new));
        }
        groups.complete(gids);
        Ok(groups)
    }
}

/// Has the name services asked in a child without power, which answers in so many bytes.
fn ask(length: usize, answer: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, Error> {
    // Whatever the first byte is.
    let expected = (0, length, length);
    hear_so_much(expected, |forgone, mut pipe| {
        forgone?;
        pipe.write_all(&answer())
    })
    .map_err(|instead| match instead {
        Instead::Cannot(Errno::EAGAIN) => Error::when(
            "start a process to ask the name services in: too many of the caller's run (RLIMIT_NPROC)",
        )(Errno::EAGAIN),
        Instead::Cannot(errno) => Error::when("ask the name services")(errno),
        Instead::Did(instead) => Error::NameServices { instead },
    })
}

fn nonsense() -> Error {
    Error::NameServices { instead: "answered something else than was asked".to_owned() }
}

/// As a number, which is all that a pipe takes.
fn number_of(errno: Errno) -> i32 {
    std::io::Error::from(errno).raw_os_error().unwrap_or(0)
}

fn groups_in_files<'a>(etc: &Etc, names: impl Iterator<Item = &'a [u8]>) -> Result<Groups<'a>, Error> {
    let mut groups = Groups::named(names);
    if let Some(mut file) = etc.database("group")? {
        file.blocks("/etc/group", |_, block| groups.collect(block))?;
    }
    Ok(groups)
}

fn named_in_files(uid: Id, etc: &Etc) -> Result<Option<Account>, Error> {
    let mut account = Account::default();
    if let Some(mut passwd) = etc.database("passwd")? {
        passwd.blocks("/etc/passwd", |_, block| account.collect(uid, block))?;
    }
    Ok((!account.names.is_empty()).then_some(account))
}
