//! `nsgate revoke`

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use common::policy::id::{Id, Range, merged};
use common::policy::idmap::Kind;
use common::policy::text::{Quoted, is_tame, lines as lines_of};
use common::policy::usernet;
use serde::Serialize;

use super::grant::{SUBIDS, install, open, read, text_of};
use super::lines::{self, Edited};
use super::live::{self, Mapped};
use super::lock::Lock;
use super::owner::Holder;
use super::place::Found;
use super::quota::Whose;
use super::report::{self, Change, Ids, Live, LiveNic, MOST_LISTED, MOST_SHOWN, say_changes, say_notes};
use crate::accounts::Accounts;
use crate::cli::{PolicyFile, Revoke, RevokeWhat};
use crate::failure::Failure;
use crate::output::{Output, Style};
use crate::root::Root;
use crate::show::nics::Row;

/// The answer, and the exit status.
///
/// # Errors
/// It cannot be done: nothing has changed, or the message says what has.
pub fn run(root: &Root, args: &Revoke, out: &mut Output) -> Result<u8, Failure> {
    match &args.what {
        RevokeWhat::Ids { user, start, count, dry_run } => ids(root, user, (*start, *count), *dry_run, out),
        RevokeWhat::Nic { owner, bridge, dry_run } => nic(root, owner, bridge, *dry_run, out),
    }
}

/// The JSON document of `revoke ids`.
#[derive(Serialize)]
struct IdsAnswer {
    schema: &'static str,
    verb: &'static str,
    what: &'static str,
    user: String,
    uid: Option<u32>,
    dry_run: bool,
    ranges: Vec<Ids>,
    changes: Vec<Change>,
    live: Vec<Live>,
    notes: Vec<String>,
}

/// The JSON document of `revoke nic`.
#[derive(Serialize)]
struct NicAnswer {
    schema: &'static str,
    verb: &'static str,
    what: &'static str,
    owner: String,
    bridge: String,
    dry_run: bool,
    changes: Vec<Change>,
    live: Vec<LiveNic>,
    notes: Vec<String>,
}

fn ids(
    root: &Root,
    user: &OsStr,
    (start, count): (Option<u32>, Option<u32>),
    dry_run: bool,
    out: &mut Output,
) -> Result<u8, Failure> {
    let what = start.map(|start| wanted(start, count)).transpose()?;
    if !dry_run {
        super::may(root)?;
    }
    let places = open(root, &SUBIDS, dry_run)?;
    let _lock = if dry_run { None } else { Some(Lock::take(root, places.iter().flatten())?) };
    let accounts = Accounts::read(root)?;
    let holder = Holder::meant_by(&accounts, user)?;
    let found = places.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let (edited, gone): (Vec<Edited>, Vec<Vec<Range>>) =
        found.iter().map(|found| lines::take_out(text_of(found), |line| holder.has(line), what)).unzip();
    let gone_of = |kind: Kind| {
        let place = usize::from(kind == Kind::Gid);
        merged(gone.get(place).cloned().unwrap_or_default())
    };
    let all = merged(gone.concat());
    let name = Quoted(holder.name()).to_string();
    if all.is_empty() {
        let of_these = what.map_or(String::new(), |what| format!(" of {what}"));
        let unknown = match holder {
            Holder::Word(_) => ", and is no account",
            Holder::Account(..) => "",
        };
        let odd = odd_places(&holder, &found);
        let help = if odd.is_empty() {
            format!("who holds what: {} show", root.nsgate())
        } else {
            format!(
                "{} grant{} nothing to the helpers, but programs that read odd numbers, as shadow's do, may take it for ids; to take it \
                 out: {}",
                some_of(&odd),
                if odd.len() == 1 { "s" } else { "" },
                odd_files(root, &odd)
            )
        };
        return Err(Failure::new(format!(
            "{name} holds no ids{of_these} in /etc/subuid or /etc/subgid{unknown}; {help}"
        )));
    }
    if !dry_run {
        install(&places, &found, &edited)?;
    }

    let still = if root.is_live() { still_mapped(&gone_of) } else { Vec::new() };
    let mut notes = odd_lines(root, &holder, &found);
    if root.is_live() {
        notes.push(format!(
            "to find files that belong to these ids: {}",
            find(&gone_of(Kind::Uid), &gone_of(Kind::Gid), &mounts())
        ));
    }
    let changes: Vec<Change> =
        SUBIDS.iter().zip(&edited).flat_map(|(file, edited)| report::changes(file.path(), edited)).collect();
    if out.is_json() {
        out.document(&IdsAnswer {
            schema: "nsgate/1",
            verb: "revoke",
            what: "ids",
            user: name,
            uid: holder.uid(),
            dry_run,
            ranges: all.iter().map(|range| Ids::from(*range)).collect(),
            changes,
            live: report::live(&still),
            notes,
        })?;
        return Ok(0);
    }
    say_changes(out, &changes);
    if dry_run {
        out.line("nothing was changed");
    }
    if !still.is_empty() {
        say_live(out, &still, dry_run);
    }
    say_notes(out, &notes);
    Ok(0)
}

/// A few of these places, and how many more.
fn some_of(odd: &[(String, &str)]) -> String {
    const FEW: usize = 4;
    let mut places: Vec<String> = odd.iter().take(FEW).map(|(place, _)| place.clone()).collect();
    let more = odd.len().saturating_sub(FEW);
    if more > 0 {
        places.push(format!("{more} more"));
    }
    places.join(" and ")
}

/// Notes of lines of his that stay.
fn odd_lines(root: &Root, holder: &Holder, found: &[Option<Found>]) -> Vec<String> {
    let note = |(place, path): &(String, &str)| {
        format!(
            "{place} grants him nothing, but programs that read odd numbers, as shadow's do, may take it for more; to take it out: {} \
             edit {}",
            root.nsgate(),
            path_name(path)
        )
    };
    let odd = odd_places(holder, found);
    let more = odd.len().saturating_sub(MOST_SHOWN);
    let more = (more > 0).then(|| format!("and so do {more} more lines"));
    odd.iter().take(MOST_SHOWN).map(note).chain(more).collect()
}

/// Lines of his that are none to us: to other programs they may be some. Each with its file.
fn odd_places(holder: &Holder, found: &[Option<Found>]) -> Vec<(String, &'static str)> {
    let mut places = Vec::new();
    for (file, found) in SUBIDS.iter().zip(found) {
        let path = file.path();
        let lines = lines_of(text_of(found)).zip(1_usize..).filter(|(line, _)| holder.has_odd(line));
        places.extend(lines.map(|(_, number)| (format!("{path}:{number}"), path)));
    }
    places
}

/// The commands that open the files of these lines.
fn odd_files(root: &Root, odd: &[(String, &str)]) -> String {
    let mut commands: Vec<String> =
        odd.iter().map(|(_, path)| format!("{} edit {}", root.nsgate(), path_name(path))).collect();
    commands.dedup();
    commands.join(" && ")
}

fn path_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn wanted(start: u32, count: Option<u32>) -> Result<Range, Failure> {
    let first = Id::new(start);
    let range = match count {
        Some(count) => first.and_then(|first| Range::new(first, count)),
        None => first
            .zip(Id::new(u32::MAX.saturating_sub(1)))
            .and_then(|(first, last)| Range::between(first, last)),
    };
    range.ok_or_else(|| {
        let count = count.map_or(String::new(), |count| format!("{count} "));
        let last = u32::MAX.saturating_sub(1);
        Failure::new(format!("there are no {count}ids from {start} up: the last id there is is {last}"))
    })
}

/// Who maps what has just been taken away: he keeps it until he ends.
fn still_mapped(gone: &impl Fn(Kind) -> Vec<Range>) -> Vec<Mapped> {
    let (uids, gids) = (gone(Kind::Uid), gone(Kind::Gid));
    let part = |mapped: Mapped| {
        let gone = match mapped.kind {
            Kind::Uid => &uids,
            Kind::Gid => &gids,
        };
        let range = gone.iter().find_map(|gone| gone.intersection(mapped.range))?;
        Some(Mapped { range, ..mapped })
    };
    live::mapped(true).into_iter().filter_map(part).collect()
}

fn say_live(out: &mut Output, still: &[Mapped], dry_run: bool) {
    let keeps = if dry_run { "would go on using them" } else { "go on using them" };
    let warning = out.paint(Style::Warning, "warning");
    out.line(format!(
        "{warning}: these processes map such ids and {keeps} until they end; nsgate ends none:"
    ));
    let mut pids: Vec<(u32, Range)> = Vec::new();
    for mapped in still {
        if pids.iter().all(|(pid, _)| *pid != mapped.pid) {
            pids.push((mapped.pid, mapped.range));
        }
    }
    for (pid, range) in pids.iter().take(MOST_SHOWN) {
        out.line(format!("  {pid} ({}): {range}", Quoted(&live::name_of(*pid))));
    }
    let more = pids.len().saturating_sub(MOST_SHOWN);
    if more > 0 {
        out.line(format!("  and {more} more"));
    }
}

/// The file systems that are mounted. If they cannot be seen, none.
fn mounts() -> String {
    String::from_utf8_lossy(&std::fs::read("/proc/self/mounts").unwrap_or_default()).into_owned()
}

/// The command that finds files of these ids.
fn find(uids: &[Range], gids: &[Range], mounts: &str) -> String {
    let test = |word: &str, range: &Range| {
        let (first, last) = (range.first().raw(), range.last().raw());
        let from = first.checked_sub(1).map_or(String::new(), |before| format!("{word} +{before} "));
        let to = u64::from(last).saturating_add(1);
        format!("{from}{word} -{to}")
    };
    let tests =
        uids.iter().map(|range| test("-uid", range)).chain(gids.iter().map(|range| test("-gid", range)));
    // Containers are often on a file system of their own (/home, /var), so not -xdev. What is left out has no files, or another
    // machine's, or those that a user's program makes up (where fuse.conf lets him show them to root); what follows "fuse." is his choice, and with an
    // odd one find goes in. But the root itself has to be entered.
    let mounted: Vec<(&str, &str)> = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            fields.next().zip(fields.next())
        })
        .collect();
    let of_root = mounted.iter().rev().find(|(on, _)| *on == "/").map(|(_, kind)| *kind);
    let of_users: BTreeSet<&str> = mounted
        .iter()
        .map(|(_, kind)| *kind)
        .filter(|kind| kind.starts_with("fuse.") && is_tame(kind.as_bytes()))
        .collect();
    let elsewhere: Vec<String> =
        ["proc", "sysfs", "autofs", "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse"]
            .into_iter()
            .chain(of_users)
            .filter(|kind| Some(*kind) != of_root)
            .map(|kind| format!("-fstype {kind}"))
            .collect();
    let (elsewhere, tests) = (elsewhere.join(" -o "), tests.collect::<Vec<_>>().join(" -o "));
    format!("find / \\( {elsewhere} \\) -prune -o \\( {tests} \\) -ls")
}

fn nic(root: &Root, owner: &OsStr, bridge: &OsStr, dry_run: bool, out: &mut Output) -> Result<u8, Failure> {
    if !dry_run {
        super::may(root)?;
    }
    let file = PolicyFile::LxcUsernet.path();
    let (owner, bridge) = (owner.as_bytes(), bridge.as_bytes());
    let nothing = || {
        let (owner, bridge) = (Quoted(owner), Quoted(bridge));
        Failure::new(format!(
            "no line of {file} gives \"{owner}\" interfaces on \"{bridge}\"; who has what: cat -v {}",
            root.for_shell(file)
        ))
    };
    // Before anything is taken away: what has been done is no failure.
    let accounts = Accounts::read(root)?;
    let whose = Whose::of(&accounts, owner);
    // Nothing is made, not even a directory, to take something away.
    let places = open(root, &[PolicyFile::LxcUsernet], true)?;
    let place = places.first().and_then(Option::as_ref).ok_or_else(nothing)?;
    let lock = if dry_run { None } else { Some(Lock::take(root, [place])?) };
    let found = [place.read()?];
    let edited = [lines::strike(found.first().map(text_of).unwrap_or_default(), owner, bridge)];
    let changes: Vec<Change> = edited.iter().flat_map(|edited| report::changes(file, edited)).collect();
    if changes.is_empty() {
        return Err(nothing());
    }
    if !dry_run {
        install(&places, &found, &edited)?;
    }
    drop(lock);
    let text = edited.first().map(|edited| edited.bytes.as_slice()).unwrap_or_default();
    let mut notes = odd_nics(root, text, owner, bridge);
    notes.extend(whose.as_ref().map(|whose| whose.has_still(text, bridge)).unwrap_or_default());
    let mut live = Vec::new();
    match whose.map(|whose| whose.nics(bridge)) {
        _ if !root.is_live() => {}
        Some(Ok(nics)) => {
            let (unfinished, nics): (Vec<Row>, Vec<Row>) = nics.into_iter().partition(Row::is_unfinished);
            notes.extend(unfinished_note(&unfinished));
            live = nics
                .into_iter()
                .map(|Row { name, uid, user, pids, .. }| LiveNic { name, uid, user, pids })
                .collect();
        }
        // It has been done all the same.
        Some(Err(failure)) => notes.push(format!("which interfaces stay could not be seen: {failure}")),
        None => notes.push(
            "interfaces that are there stay until their container ends; to see them: nsgate show nics"
                .to_owned(),
        ),
    }
    let (owner, bridge) = (Quoted(owner).to_string(), Quoted(bridge).to_string());
    if out.is_json() {
        live.truncate(MOST_LISTED);
        let (schema, verb, what) = ("nsgate/1", "revoke", "nic");
        out.document(&NicAnswer { schema, verb, what, owner, bridge, dry_run, changes, live, notes })?;
        return Ok(0);
    }
    say_changes(out, &changes);
    if dry_run {
        out.line("nothing was changed");
    }
    say_live_nics(out, &live);
    say_notes(out, &notes);
    Ok(0)
}

/// Notes of lines of his that stay, as they are none to the helper.
fn odd_nics(root: &Root, text: &[u8], owner: &[u8], bridge: &[u8]) -> Vec<String> {
    let is_odd = |(line, _): &(&[u8], usize)| {
        // A blank in front makes a remark of it for LXC, too.
        let is_remark = line.first().is_none_or(u8::is_ascii_whitespace);
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let is_his = fields.by_ref().take(3).eq([owner, usernet::VETH.as_bytes(), bridge]);
        let has_number = fields.next().is_some_and(|count| count.first().is_some_and(u8::is_ascii_digit));
        !is_remark && usernet::entry(line).is_none() && is_his && has_number
    };
    let odd: Vec<usize> = lines_of(text).zip(1_usize..).filter(is_odd).map(|(_, number)| number).collect();
    let note = |number: &usize| {
        format!(
            "{}:{number} allots nothing to the helper, but LXC's may take it for more; to take it out: {} edit lxc-usernet",
            PolicyFile::LxcUsernet.path(),
            root.nsgate()
        )
    };
    let more = odd.len().saturating_sub(MOST_SHOWN);
    let more = (more > 0).then(|| format!("and so do {more} more lines"));
    odd.iter().take(MOST_SHOWN).map(note).chain(more).collect()
}

/// Nothing is made by a right that is gone: but what a killed helper had made already would have to wait for the next request.
fn unfinished_note(rows: &[Row]) -> Option<String> {
    let names: Vec<&str> = rows.iter().take(MOST_SHOWN).map(|row| &*row.name).collect();
    let more = rows.len().saturating_sub(names.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        format!(
            "just being made, or left so by a helper that was killed: {names}{more}; what stays so: nsgate gc"
        )
    })
}

fn say_live_nics(out: &mut Output, live: &[LiveNic]) {
    if live.is_empty() {
        return;
    }
    let warning = out.paint(Style::Warning, "warning");
    out.line(format!("{warning}: these interfaces are there and stay until their container ends:"));
    for LiveNic { name, uid, user, pids } in live.iter().take(MOST_SHOWN) {
        let user = user.clone().or(uid.map(|uid| uid.to_string())).unwrap_or_default();
        let pids: String = pids.iter().map(|pid| format!(" {pid}")).collect();
        let of = if pids.is_empty() { String::new() } else { format!(", processes{pids}") };
        out.line(format!("  {name}: {user}{of}"));
    }
    let more = live.len().saturating_sub(MOST_SHOWN);
    if more > 0 {
        out.line(format!("  and {more} more"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_interfaces_that_stay_are_told() {
        let text =
            b"alice veth br0 5x\nalice veth br0 5\r\n alice veth br0 5\nalice veth br0 5\nalice veth br0 x\n\
            bob veth br0 5x\nalice veth br1 5x\n#alice veth br0 5x\nalice\tveth br0 05\n";
        let told = odd_nics(&Root::open(None).unwrap(), text, b"alice", b"br0");
        let line = |number| {
            format!(
                "/etc/lxc/lxc-usernet:{number} allots nothing to the helper, but LXC's may take it for more; to take it out: \
                 nsgate edit lxc-usernet"
            )
        };
        assert_eq!(told, [1, 2, 9].map(line));
    }

    #[test]
    fn files_are_not_looked_for_where_a_users_program_makes_them_up() {
        let range = Id::new(5).and_then(|first| Range::new(first, 3)).unwrap();
        let left_out = |mounts: &str| {
            let command = find(&[range], &[], mounts);
            let (out, tests) = command.split_once(" \\) -prune -o ").unwrap();
            assert_eq!(tests, "\\( -uid +4 -uid -8 \\) -ls");
            out.strip_prefix("find / \\( ").unwrap().split(" -o ").map(str::to_owned).collect::<Vec<_>>()
        };
        let kinds = |kinds: &[&str]| kinds.iter().map(|kind| format!("-fstype {kind}")).collect::<Vec<_>>();
        let always = ["proc", "sysfs", "autofs", "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse"];
        assert_eq!(
            left_out("rootfs / rootfs rw 0 0\n/dev/vda / ext4 rw 0 0\nx /a fuseblk rw 0 0\n"),
            kinds(&always)
        );
        let mounts = "x /a fuse.$(id) rw 0 0\nx /b fuse.sshfs rw 0 0\nx /c fuse.sshfs rw 0 0\n";
        let more = [&always[..], &["fuse.sshfs"]].concat();
        assert_eq!(left_out(mounts), kinds(&more));
        assert_eq!(left_out("x / 9p rw 0 0\n"), kinds(&[&always[..7], &always[8..]].concat()));
    }
}
