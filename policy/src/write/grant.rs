//! `nsgate grant`
//!
//! `grant ids` takes the lowest run of ids that is free in both files at once:
//!
//! 1. within `SUB_UID_MIN` to `SUB_UID_MAX` and `SUB_GID_MIN` to `SUB_GID_MAX` of login.defs, as useradd;
//! 2. of no account or group, in the files or listed by a name service, nor where useradd makes the next ones (up to `UID_MAX`);
//! 3. of no line of either file, not even his own;
//! 4. mapped by no user namespace that is alive (of this machine);
//! 5. not reserved by custom: `check::reserved`;
//! 6. not protected in nsgate.ini.
//!
//! The ids from 524288 to 1879048191 are a case of their own. systemd takes ids for containers there; useradd, whose default range
//! is from 100000 to 600100000, gives the same ones to users. Below it there is room for six users. So they are given when nothing
//! below is free, and not at all where systemd has containers: then there is something in `/var/lib/machines` or
//! `/run/systemd/machines`. A FreeIPA range is never given unasked.

use std::ffi::OsStr;

use common::policy::id::{Id, Range, merged};
use common::policy::subid;
use common::policy::text::{Quoted, lines as lines_of};
use serde::Serialize;

use super::allocate::{Outcome, Taken, first_fit, in_the_way};
use super::lines::{self, Edited};
use super::lock::Lock;
use super::owner::{Holder, NicLine};
use super::place::{Found, Place};
use super::quota::Whose;
use super::replace::Prepared;
use super::report::{self, Change, Ids, Skipped, say_changes, say_notes, say_skipped};
use super::taken::{self, By, Host, Listed};
use super::void;
use crate::accounts::{Accounts, User};
use crate::check::command::word as for_shell;
use crate::check::rule::REPEATED_QUOTA;
use crate::check::{self, Finding, Severity};
use crate::cli::{Grant, GrantWhat, PolicyFile};
use crate::failure::{Failure, NO_ROOM};
use crate::output::Output;
use crate::root::Root;

/// Both files of subordinate ids, in the order in which shadow locks them.
pub const SUBIDS: [PolicyFile; 2] = [PolicyFile::Subuid, PolicyFile::Subgid];

/// The answer, and the exit status.
///
/// # Errors
/// It cannot be done: nothing has changed, or the message says what has.
pub fn run(root: &Root, args: &Grant, out: &mut Output) -> Result<u8, Failure> {
    match &args.what {
        GrantWhat::Ids { user, count, start, force, dry_run } => {
            ids(root, user, &Wanted { count: *count, start: *start, force: *force, dry_run: *dry_run }, out)
        }
        GrantWhat::Nic { owner, bridge, count, dry_run } => nic(root, (owner, bridge), *count, *dry_run, out),
    }
}

struct Wanted {
    count: u32,
    start: Option<u32>,
    force: bool,
    dry_run: bool,
}

/// The JSON document of `grant ids`.
#[derive(Serialize)]
struct IdsAnswer {
    schema: &'static str,
    verb: &'static str,
    what: &'static str,
    user: String,
    uid: Option<u32>,
    dry_run: bool,
    range: Ids,
    changes: Vec<Change>,
    skipped: Vec<Skipped>,
    notes: Vec<String>,
}

/// The JSON document of `grant nic`.
#[derive(Serialize)]
struct NicAnswer {
    schema: &'static str,
    verb: &'static str,
    what: &'static str,
    owner: String,
    bridge: String,
    count: u32,
    dry_run: bool,
    changes: Vec<Change>,
    notes: Vec<String>,
}

fn ids(root: &Root, user: &OsStr, wanted: &Wanted, out: &mut Output) -> Result<u8, Failure> {
    if !wanted.dry_run {
        super::may(root)?;
    }
    // This may take long, so nobody waits for us meanwhile.
    let listed = Listed::ask(root)?;
    let places = open(root, &SUBIDS, wanted.dry_run)?;
    let _lock = if wanted.dry_run { None } else { Some(Lock::take(root, places.iter().flatten())?) };

    let accounts = Accounts::read(root)?;
    let holder = Holder::of(&accounts, accounts.user(user)?);
    let found = places.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<&[u8]> = found.iter().map(text_of).collect();
    let mut host = Host::ask(root, &accounts, &listed)?;
    let mut notes = std::mem::take(&mut host.notes);

    add_lines(&mut host, &holder, wanted.start.is_some(), &texts);
    let (range, skipped) = choose(root, &mut host, &holder, wanted, &texts, &mut notes)?;
    let edited: Vec<Edited> = texts
        .iter()
        .map(|text| {
            // What he has already is not said twice.
            let missing = held(&holder, text).missing(range);
            let new: Vec<Vec<u8>> = missing
                .iter()
                .map(|range| lines::subid_line(&holder.word(&accounts, *range), *range))
                .collect();
            lines::append(text, &new)
        })
        .collect();
    if wanted.start.is_none() {
        note_what_he_has(root, &holder, range, &texts, &mut notes);
    }
    if !wanted.dry_run {
        install(&places, &found, &edited)?;
    }
    notes.extend(void::notes(root, &SUBIDS));

    let changes: Vec<Change> =
        SUBIDS.iter().zip(&edited).flat_map(|(file, edited)| report::changes(file.path(), edited)).collect();
    let name = Quoted(holder.name()).to_string();
    if out.is_json() {
        out.document(&IdsAnswer {
            schema: "nsgate/1",
            verb: "grant",
            what: "ids",
            user: name,
            uid: holder.uid(),
            dry_run: wanted.dry_run,
            range: range.into(),
            changes,
            skipped: report::skipped(&skipped),
            notes,
        })?;
        return Ok(0);
    }
    say_changes(out, &changes);
    if changes.is_empty() {
        out.line(format!("{name} holds {range} in both files already: nothing to do"));
    } else if wanted.dry_run {
        out.line(format!("{name} would hold {range}; nothing was changed"));
        if !skipped.is_empty() {
            out.line(if wanted.start.is_some() { "against it:" } else { "lower ids are not free:" });
            say_skipped(out, &skipped);
        }
    }
    say_notes(out, &notes);
    Ok(0)
}

/// What the files say is in the way, too.
fn add_lines<'text>(host: &mut Host<'text>, holder: &Holder, has_start: bool, texts: &[&'text [u8]]) {
    for (file, text) in SUBIDS.iter().zip(texts) {
        // Of ids that he names himself, his own are no harm; to find new ones, they are as good as taken.
        let is_no_harm = |line: &[u8]| has_start && holder.has(line);
        host.taken.extend(taken::of_file(file.path(), text, is_no_harm));
    }
}

/// The ids to grant, and what was in the way of lower ones, or of these.
fn choose<'a, 'text>(
    root: &Root,
    host: &'a mut Host<'text>,
    holder: &Holder,
    wanted: &Wanted,
    texts: &[&'text [u8]],
    notes: &mut Vec<String>,
) -> Result<(Range, Vec<&'a Taken<By<'text>>>), Failure> {
    let no_room = |message: String| Failure::new(message).with_code(NO_ROOM);
    let name = for_shell(holder.name());
    let Host { window, taken, pool, .. } = host;

    if let Some(start) = wanted.start {
        taken.sort_by_key(|taken| taken.range);
        let range = Id::new(start).and_then(|first| Range::new(first, wanted.count));
        let range = range.ok_or_else(|| {
            no_room(format!(
                "there are no {} ids from {start} up: the last id there is is {}",
                wanted.count,
                u32::MAX.saturating_sub(1)
            ))
        })?;
        let is_void = |taken: &&Taken<By<'_>>| matches!(taken.by, By::Protected(_));
        notes.extend(
            in_the_way(range, taken)
                .into_iter()
                .filter(is_void)
                .map(|taken| format!("what is granted of {} is void: {}", taken.range, taken.by)),
        );
        // To say again what he has is to change nothing, whoever else may have it.
        if texts.iter().all(|text| held(holder, text).first_missing(range).is_none()) {
            return Ok((range, Vec::new()));
        }
        // What is his by both files already he may use while he is given more.
        let is_his = |ids: Range| texts.iter().all(|text| held(holder, text).first_missing(ids).is_none());
        let mut against = in_the_way(range, taken);
        against.retain(|taken| !(matches!(taken.by, By::Live(_)) && is_his(taken.range)));
        if let Some(first) = against.first().filter(|_| !wanted.force) {
            let more = match against.len().saturating_sub(1) {
                0 => String::new(),
                1 => ", and one more reason (--dry-run --force lists them)".to_owned(),
                more => format!(", and {more} more reasons (--dry-run --force lists them)"),
            };
            return Err(no_room(format!(
                "{range} is not free: {}: {}{more}; for the first free ids: {} grant ids {name} --count {}; to grant these all the \
                 same: --force",
                first.range,
                first.by,
                root.nsgate(),
                wanted.count
            )));
        }
        notes.extend(
            pool.iter()
                .filter(|pool| pool.range.intersection(range).is_some())
                .map(|pool| in_pool(range, pool, true)),
        );
        let outside = window.is_none_or(|window| window.intersection(range) != Some(range));
        if outside {
            notes.push(format!(
                "{range} is not within what /etc/login.defs has for subordinate ids ({})",
                shown(*window)
            ));
        }
        return Ok((range, against));
    }

    let Some(window) = *window else {
        return Err(no_room(
            "/etc/login.defs leaves no room for subordinate ids: SUB_UID_MIN and SUB_GID_MIN have to be below SUB_UID_MAX and \
             SUB_GID_MAX"
                .to_owned(),
        ));
    };
    // Ids that systemd might take for containers one day are given when no others are left.
    taken.extend(pool.iter().cloned());
    taken.sort_by_key(|taken| taken.range);
    if first_fit(window, wanted.count, taken).range.is_none() {
        taken.retain(|taken| !pool.contains(taken));
    }
    let Outcome { range, skipped } = first_fit(window, wanted.count, taken);
    let Some(range) = range else {
        return Err(no_room(format!(
            "no room: there are no {} free ids in a row within {window} (SUB_UID_MIN to SUB_UID_MAX in /etc/login.defs); see {} show, or \
             give a smaller --count",
            wanted.count,
            root.nsgate()
        )));
    };
    notes.extend(
        pool.iter()
            .filter(|pool| pool.range.intersection(range).is_some())
            .map(|pool| in_pool(range, pool, false)),
    );
    Ok((range, skipped))
}

/// The first of these ranges that he would not be given with `--start` and `--count`: which ids are in the way, and why.
///
/// # Errors
/// A file that is there cannot be read.
pub fn first_not_free(
    root: &Root,
    user: &User,
    ranges: &[Range],
) -> Result<Option<(Range, String)>, Failure> {
    if ranges.is_empty() {
        return Ok(None);
    }
    // Whom name services list is left out, which may take its time: `grant` asks again.
    let listed = Listed::default();
    let accounts = Accounts::read(root)?;
    let holder = Holder::of(&accounts, user.clone());
    let found = open(root, &SUBIDS, true)?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<&[u8]> = found.iter().map(text_of).collect();
    let mut host = Host::ask(root, &accounts, &listed)?;
    add_lines(&mut host, &holder, true, &texts);
    for range in ranges {
        // With force it says all that is in the way.
        let (count, start) = (range.count(), Some(range.first().raw()));
        let wanted = Wanted { count, start, force: true, dry_run: true };
        let (_, against) = choose(root, &mut host, &holder, &wanted, &texts, &mut Vec::new())?;
        if let Some(first) = against.first() {
            return Ok(Some((first.range, first.by.to_string())));
        }
    }
    Ok(None)
}

fn shown(window: Option<Range>) -> String {
    window.map_or("nothing".to_owned(), |window| window.to_string())
}

fn in_pool(range: Range, pool: &Taken<By<'_>>, is_asked_for: bool) -> String {
    let when = if is_asked_for { "" } else { ", so they are given when no others are free" };
    let is_within = if pool.range.intersection(range) == Some(range) { "is within" } else { "reaches into" };
    format!(
        "{range} {is_within} {}, where systemd takes ids for containers; it has none on this machine, and useradd gives these ids away \
         too{when}",
        pool.range
    )
}

/// All that he holds in a file.
fn held(holder: &Holder, text: &[u8]) -> subid::Grants {
    let his = lines_of(text).filter(|line| holder.has(line)).filter_map(subid::entry);
    subid::Grants::new(his.map(|(_, range)| subid::Grant { range, line: 0 }).collect())
}

/// The same in as few ranges as can be.
fn ranges_of(holder: &Holder, text: &[u8]) -> Vec<Range> {
    merged(
        lines_of(text)
            .filter(|line| holder.has(line))
            .filter_map(subid::entry)
            .map(|(_, range)| range)
            .collect(),
    )
}

/// He may have forgotten that he has enough; and what somebody was killed over, or wrote by hand, may be in one file only.
fn note_what_he_has(root: &Root, holder: &Holder, new: Range, texts: &[&[u8]], notes: &mut Vec<String>) {
    let nsgate = root.nsgate();
    let (name, word) = (Quoted(holder.name()), for_shell(holder.name()));
    let [uids, gids] = texts else { return };
    let (uid_ranges, gid_ranges) = (ranges_of(holder, uids), ranges_of(holder, gids));
    let sum = |ranges: &[Range]| ranges.iter().map(|range| u64::from(range.count())).sum::<u64>();
    let least = sum(&uid_ranges).min(sum(&gid_ranges));
    if let Some(first) = uid_ranges.first().filter(|_| least >= u64::from(new.count())) {
        let others = if least > u64::from(first.count()) { " and others" } else { "" };
        notes.push(format!(
            "{name} held {least} ids before ({first}{others}); if that was enough: {nsgate} revoke ids {word} --start {} --count {}",
            new.first(),
            new.count()
        ));
    }
    for (file, ranges, other) in [(SUBIDS[0], &uid_ranges, gids), (SUBIDS[1], &gid_ranges, uids)] {
        let other = held(holder, other);
        if let Some(alone) = ranges.iter().flat_map(|range| other.missing(*range)).next() {
            notes.push(format!(
                "{name} holds {alone} in {} only; to have it in both: {nsgate} grant ids {word} --start {} --count {}",
                file.path(),
                alone.first(),
                alone.count()
            ));
        }
    }
}

/// Opens the directories of some files. With `dry_run`, one that is missing is not made.
pub fn open(root: &Root, files: &[PolicyFile], dry_run: bool) -> Result<Vec<Option<Place>>, Failure> {
    files.iter().map(|file| Place::open(root, *file, !dry_run)).collect()
}

/// Reads a file, if it and its directory are there.
pub fn read(place: &Option<Place>) -> Result<Option<Found>, Failure> {
    place.as_ref().map_or(Ok(None), Place::read)
}

/// What is in it.
pub fn text_of(found: &Option<Found>) -> &[u8] {
    found.as_ref().map(|found| found.bytes.as_slice()).unwrap_or_default()
}

/// Writes all new texts to the disk, and only then puts them in their places.
pub fn install(places: &[Option<Place>], found: &[Option<Found>], edited: &[Edited]) -> Result<(), Failure> {
    let mut prepared = Vec::new();
    for ((place, found), edited) in
        places.iter().zip(found).zip(edited).filter(|(_, edited)| !edited.changes.is_empty())
    {
        if let Some(place) = place {
            prepared.push((place.path, Prepared::write(place, found.as_ref(), &edited.bytes)?));
        }
    }
    let mut done: Option<&str> = None;
    for (path, prepared) in prepared {
        prepared.install().map_err(|failure| match done {
            None => failure,
            Some(done) => Failure::new(format!(
                "{failure}; {done} has changed already: the same command again does the rest"
            )),
        })?;
        done = Some(path);
    }
    Ok(())
}

/// What `check` will say of the new line: better now than tomorrow.
fn about_the_line(root: &Root, edited: &Edited) -> Vec<String> {
    let Some(line) = edited.changes.iter().find(|change| change.added).map(|change| change.line) else {
        return Vec::new();
    };
    let is_of_it = |finding: &Finding| {
        let at = finding.place.line.and_then(|line| usize::try_from(line).ok());
        // That he has more by another line is told by name.
        at == Some(line) && finding.rule.severity > Severity::Info && finding.rule.id != REPEATED_QUOTA.id
    };
    // If the machine cannot be looked at, there is nothing to say of it.
    let findings = check::draft(root, PolicyFile::LxcUsernet, edited.bytes.clone()).unwrap_or_default();
    let of_it = findings.into_iter().filter(is_of_it);
    of_it.map(|finding| format!("{} [{}]", finding.message, finding.rule.id)).collect()
}

fn nic(
    root: &Root,
    (owner, bridge): (&OsStr, &OsStr),
    count: u32,
    dry_run: bool,
    out: &mut Output,
) -> Result<u8, Failure> {
    let line = NicLine::parse(owner, bridge)?;
    if !dry_run {
        super::may(root)?;
    }
    let places = open(root, &[PolicyFile::LxcUsernet], dry_run)?;
    let lock = if dry_run { None } else { Some(Lock::take(root, places.iter().flatten())?) };
    let accounts = Accounts::read(root)?;
    match line.group() {
        Some(group) => {
            if accounts.group_named(group).is_none() {
                return Err(Failure::new(format!(
                    "there is no group \"{}\" {}",
                    Quoted(group),
                    accounts.place("group")
                )));
            }
        }
        None => {
            let Some(user) = accounts.user_named(&line.owner) else {
                return Err(Failure::new(match accounts.user(owner) {
                    Ok(user) => format!(
                        "/etc/lxc/lxc-usernet knows users by name only: {} grant nic {} {} {count}",
                        root.nsgate(),
                        for_shell(&user.name),
                        for_shell(&line.bridge)
                    ),
                    Err(_) => format!(
                        "there is no user \"{0}\" {1}, or for a group: @{0}",
                        Quoted(&line.owner),
                        accounts.place("passwd")
                    ),
                }));
            };
            if line.is_per_user() && line.bridge_of(user.uid).is_none() {
                return Err(Failure::new(format!(
                    "with uid {} for %u, \"{}\" is longer than the 15 bytes of a bridge's name",
                    user.uid,
                    Quoted(&line.bridge)
                )));
            }
        }
    }
    let found = places.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let text = found.first().map(text_of).unwrap_or_default();
    let edited = lines::raise(text, &line.owner, &line.bridge, count);
    let had = lines::quota(text, &line.owner, &line.bridge);
    if !dry_run {
        install(&places, &found, std::slice::from_ref(&edited))?;
    }
    drop(lock);
    let changes = report::changes(PolicyFile::LxcUsernet.path(), &edited);
    let mut notes = void::notes(root, &[PolicyFile::LxcUsernet]);
    notes.extend(
        Whose::of(&accounts, &line.owner)
            .and_then(|whose| whose.has_more(&edited.bytes, &line.bridge, count)),
    );
    notes.extend(about_the_line(root, &edited));
    let (owner, bridge) = (Quoted(&line.owner).to_string(), Quoted(&line.bridge).to_string());
    if let Some((had, number)) = had.filter(|(had, _)| *had > count) {
        notes.push(format!(
            "{owner} has {had} there ({}:{number}), which is more than {count}; for less: {} revoke nic {} {}, then this again",
            PolicyFile::LxcUsernet.path(),
            root.nsgate(),
            for_shell(&line.owner),
            for_shell(&line.bridge)
        ));
    }
    if out.is_json() {
        let (schema, verb, what) = ("nsgate/1", "grant", "nic");
        out.document(&NicAnswer { schema, verb, what, owner, bridge, count, dry_run, changes, notes })?;
        return Ok(0);
    }
    say_changes(out, &changes);
    if changes.is_empty() {
        out.line(format!(
            "{owner} may have {} on {bridge} already: nothing to do",
            had.map_or(count, |(had, _)| had)
        ));
    } else if dry_run {
        out.line("nothing was changed");
    }
    say_notes(out, &notes);
    Ok(0)
}
