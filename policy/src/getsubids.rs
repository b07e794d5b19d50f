//! getsubids(1): which ids a user holds, as shadow's program prints them. rootlesskit calls it.
//!
//! What is printed is what newuidmap and newgidmap go by: their own parser finds the lines, in files that they would trust.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use common::os::subid_source;
use common::policy::id::{Id, Range};
use common::policy::idmap::Kind;
use common::policy::subid::{Owner, Search};
use common::policy::text::Quoted;

use crate::accounts::Accounts;
use crate::failure::Failure;
use crate::machine::{Machine, Source, said};
use crate::output::complain;
use crate::root::Root;

const USAGE: &str =
    "Usage: getsubids [-g] user\n    list subuid ranges for user\n    pass -g to list subgid ranges\n";

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let args: Vec<&OsStr> = args.iter().map(OsString::as_os_str).collect();
    // As shadow's: -g counts before a user alone, and what follows a user is overlooked.
    let (kind, word) = match *args {
        [] => return usage(),
        [option] if option == "-h" => return usage(),
        [option, user] if option == "-g" => (Kind::Gid, user),
        [user, ..] => (Kind::Uid, user),
    };
    match ranges_of(kind, word) {
        Ok(ranges) => print(word, &ranges),
        Err(failure) => {
            // The phrase that callers know, and then why.
            complain(&format!("Error fetching ranges: {failure}\n"));
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    complain(USAGE);
    ExitCode::FAILURE
}

/// `0: alice 100000 65536`, with the user as he was called.
fn print(word: &OsStr, ranges: &[Range]) -> ExitCode {
    let mut text = Vec::new();
    for (range, number) in ranges.iter().zip(0_u32..) {
        text.extend_from_slice(format!("{number}: ").as_bytes());
        text.extend_from_slice(word.as_bytes());
        text.extend_from_slice(format!(" {} {}\n", range.first(), range.count()).as_bytes());
    }
    let mut out = std::io::stdout().lock();
    if out.write_all(&text).and_then(|()| out.flush()).is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Of every source that grants him any.
fn ranges_of(kind: Kind, word: &OsStr) -> Result<Vec<Range>, Failure> {
    let root = Root::open(None)?;
    let machine = Machine::of(&root)?;
    let accounts = Accounts::read(&root)?;
    let (user, by_number) = (accounts.user(word)?, accounts.user_named(word.as_bytes()).is_none());
    let nsswitch = machine.nsswitch()?.map_err(said)?;
    let account = machine.account(user.uid, &nsswitch)?.map_err(said)?;
    let names = account.map(|account| account.names).unwrap_or_default();
    let sources = nsswitch.subid_sources().map_err(|named| {
        Failure::new(format!(
            "/etc/nsswitch.conf (subid:) names the source \"{}\", which is no name",
            Quoted(named)
        ))
    })?;
    let (file, quoted) = (kind.policy_file(), Quoted(word.as_bytes()));
    let mut ranges = Vec::new();
    let mut found_no = String::new();
    if sources.files {
        match machine.policy(file)?.map_err(said)? {
            Some(source) => {
                // By number, the lines with the number alone: rootlesskit asks for both, and maps all that it gets.
                let names = names.iter().map(Vec::as_slice).filter(|_| !by_number);
                ranges = of_lines(source, kind, &Owner::new(user.uid, names))?;
                found_no = format!("/etc/{file} has no line for {quoted}");
            }
            None => found_no = format!("/etc/{file} does not exist, so it grants nothing to {quoted}"),
        }
    }
    // They know him by name.
    for plugin in sources.plugins.iter().filter(|_| !by_number) {
        let name = names.first().map_or(b"?".as_slice(), Vec::as_slice);
        let listed = subid_source::list(plugin, kind, name).map_err(|what| {
            Failure::new(format!("the subid source \"{plugin}\" of /etc/nsswitch.conf {what}"))
        })?;
        // What two sources grant is one grant.
        let new = listed.into_iter().filter(|range| !ranges.contains(range)).collect::<Vec<_>>();
        ranges.extend(new);
        if found_no.is_empty() {
            found_no = format!("no source of /etc/nsswitch.conf (subid:) has ids for {quoted}");
        }
    }
    if ranges.is_empty() {
        let help = if by_number {
            format!("; those of {} are asked for by that name", Quoted(&user.name))
        } else if sources.files && found_no.contains("no line") {
            format!("; nsgate grant ids {quoted} adds one")
        } else {
            String::new()
        };
        return Err(Failure::new(found_no + &help));
    }
    Ok(ranges)
}

/// Of every line of his, in the order of the file.
fn of_lines(mut source: Source, kind: Kind, owner: &Owner) -> Result<Vec<Range>, Failure> {
    let mut search = Search::new(owner);
    let path = format!("/etc/{}", kind.policy_file());
    source.blocks(&path, |line, block| search.look_at(line, block)).map_err(said)?;
    let grants = search.finish();
    let everything = Id::new(0).and_then(|first| Range::new(first, u32::MAX));
    let mut lines: Vec<_> = everything.into_iter().flat_map(|all| grants.behind(all)).collect();
    lines.sort_unstable_by_key(|grant| grant.line);
    Ok(lines.into_iter().map(|grant| grant.range).collect())
}
