//! Who the caller is to this host: the account names of his uid.
//!
//! There are two ways to ask, and a program links one. [`in_files`] reads `/etc/passwd` and loads nothing: it is for
//! the static programs. What it cannot answer it hands over, with every privilege given up, to a dynamic twin of the
//! same program, which is installed set-id itself and uses [`from_name_services`]. So the hand-over gives nothing
//! that the caller could not have by running the twin himself.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use super::sys;
use super::trusted::Etc;
use crate::Error;
use crate::policy::id::Id;
use crate::policy::nsswitch::Nsswitch;
use crate::policy::passwd::Account;

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

/// The caller's account from `/etc/passwd`. If he is not there, or `/etc/passwd` is not what `nsswitch.conf` says
/// to ask first, the process becomes `twin` and this does not return.
///
/// Ok(None): this host has no such account.
///
/// # Errors
/// `/etc/passwd` cannot be read, or the twin is needed and cannot be run.
pub fn in_files(question: &Question<'_>, twin: &'static CStr) -> Result<Option<Account>, Error> {
    let &Question { uid, etc, nsswitch, args } = question;
    let found = named_in_files(uid, etc)?;
    if nsswitch.accounts_are_in_files() && (found.is_some() || !nsswitch.accounts_are_elsewhere_too()) {
        return Ok(found);
    }
    let words = args.iter().map(|word| CString::new(word.as_bytes()));
    let command: Vec<CString> =
        std::iter::once(Ok(twin.to_owned())).chain(words).collect::<Result<_, _>>().unwrap_or_default();
    let no_environment: [&CStr; 0] = [];
    let Err(errno) = nix::unistd::execve(twin, &command, &no_environment);
    Err(Error::NoTwin { uid: uid.raw(), in_files: found.is_some(), twin, errno })
}

/// The caller's account from whatever `nsswitch.conf` names, and his further names in `/etc/passwd`.
///
/// Ok(None): this host has no such account.
///
/// # Errors
/// The name services could not answer, or not in time.
pub fn from_name_services(question: &Question<'_>) -> Result<Option<Account>, Error> {
    let &Question { uid, etc, nsswitch, .. } = question;
    sys::end_in_time().map_err(Error::when("limit the time of the account lookup"))?;
    let answer = sys::account_by_uid(uid.raw()).map_err(Error::when("look up the caller's account"))?;
    sys::ended_in_time().map_err(Error::when("end the limit of the account lookup"))?;
    let Some(named) = answer else { return Ok(None) };
    let mut account = Account::default();
    account.add(&named.name, named.gid);
    if !nsswitch.accounts_are_in_files_too() {
        return Ok(Some(account));
    }
    let mut in_files = named_in_files(uid, etc)?.unwrap_or_default();
    for (name, gid) in in_files.names.drain(..).zip(in_files.gids) {
        account.add(&name, gid);
    }
    Ok(Some(account))
}

fn named_in_files(uid: Id, etc: &Etc) -> Result<Option<Account>, Error> {
    let mut account = Account::default();
    if let Some(mut passwd) = etc.database("passwd")? {
        passwd.blocks("/etc/passwd", |_, block| account.collect(uid, block))?;
    }
    Ok((!account.names.is_empty()).then_some(account))
}
