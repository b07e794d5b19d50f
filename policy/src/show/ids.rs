//! `nsgate show [USER]`: who holds which host ids.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::policy::id::{Id, Range, merged};
use common::policy::nsswitch::Nsswitch;
use common::policy::text::Quoted;
use serde::Serialize;

use super::holders::{Holder, Holders, Identity, Names, common_ids, total};
use super::one;
use super::picture::{MOST_ROWS, Picture};
use super::svg::{self, Part};
use super::terminal::{self, Letters, wrapped};
use crate::accounts::Accounts;
use crate::check::reserved::{RESERVED, Reserved};
use crate::failure::{FAILED, Failure};
use crate::login_defs::{self, number_or};
use crate::output::{Output, Style};
use crate::root::Root;

/// One of the two files, and what is in it.
#[derive(Debug)]
pub struct File {
    /// Where.
    pub path: &'static str,
    /// Is there one?
    pub exists: bool,
    /// Why it cannot be read.
    pub unreadable: Option<String>,
    /// Who is in it.
    pub holders: Holders,
    /// Where new ranges go, by login.defs.
    pub bounds: Bounds,
    /// Ids of accounts, or of groups, of this machine, each once.
    accounts: Vec<(Id, Vec<u8>)>,
}

/// `SUB_UID_MIN` and `SUB_UID_MAX`, or the same for groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    keys: (&'static str, &'static str),
    range: Option<Range>,
}

/// What shadow takes if login.defs does not say.
const USUAL: (u32, u32) = (100_000, 600_100_000);

/// So many of a kind are told of; of the rest, how many.
pub(super) const MOST_TOLD: usize = 8;

/// The answer, and the exit status.
///
/// # Errors
/// There is no such user, or the SVG cannot be written.
pub fn run(root: &Root, who: Option<&OsStr>, svg: Option<&Path>, out: &mut Output) -> Result<u8, Failure> {
    let accounts = Accounts::read(root)?;
    let login_defs = login_defs::read(root).unwrap_or_default();
    let names = Names::of(&accounts);
    let uids = accounts.users().iter().map(|user| (user.uid, user.name.clone())).collect();
    let gids = accounts.groups().iter().map(|group| (group.gid, group.name.clone())).collect();
    let keys = [("SUB_UID_MIN", "SUB_UID_MAX"), ("SUB_GID_MIN", "SUB_GID_MAX")];
    let files = [("/etc/subuid", uids, keys[0]), ("/etc/subgid", gids, keys[1])];
    let files = files.map(|(path, accounts, keys)| {
        File::read(root, path, &names, accounts, Bounds::of(&login_defs, keys))
    });
    let who = who.map(|word| one::Who::find(word, &accounts, &files)).transpose()?;

    let pictures: Vec<Picture> = files.iter().map(|file| picture(file, who.as_ref())).collect();
    if let Some(path) = svg {
        let parts = parts(&files, &pictures, who.as_ref());
        let shown = Quoted(path.as_os_str().as_bytes()).to_string();
        std::fs::write(path, svg::document(&parts))
            .map_err(Failure::when(format!("cannot write {shown}")))?;
    }
    let others = other_sources(root);
    if out.is_json() {
        out.document(&Document::of(&files, who.as_ref(), &others))?;
    } else {
        write(root, &files, &pictures, who.as_ref(), &others, out);
        if let Some(path) = svg {
            out.line(format!("written: {}", Quoted(path.as_os_str().as_bytes())));
        }
    }
    let all_read = files.iter().all(|file| file.unreadable.is_none());
    Ok(if all_read { 0 } else { FAILED })
}

impl File {
    fn read(
        root: &Root,
        path: &'static str,
        names: &Names<'_>,
        mut accounts: Vec<(Id, Vec<u8>)>,
        bounds: Bounds,
    ) -> Self {
        accounts.sort();
        accounts.dedup_by_key(|(id, _)| *id);
        let (text, unreadable) = match root.read(path) {
            Ok(text) => (text, None),
            Err(failure) => (None, Some(failure.to_string())),
        };
        let exists = text.is_some();
        let holders = text.map(|text| Holders::of(&text.bytes, names)).unwrap_or_default();
        Self { path, exists, unreadable, holders, bounds, accounts }
    }

    /// Everything that is free where new ranges go.
    fn free(&self) -> Vec<Range> {
        let Some(bounds) = self.bounds.range else { return Vec::new() };
        let mut free = Vec::new();
        let mut from = Some(bounds.first());
        for taken in self.holders.taken().into_iter().filter_map(|taken| taken.intersection(bounds)) {
            let before = taken.first().raw().checked_sub(1).and_then(Id::new);
            free.extend(from.zip(before).and_then(|(first, last)| Range::between(first, last)));
            from = taken.last().next();
        }
        free.extend(from.and_then(|first| Range::between(first, bounds.last())));
        free
    }

    /// Accounts whose id somebody else holds: which, and by whom.
    fn accounts_inside(&self) -> Vec<(Id, &[u8], &Holder)> {
        let ids = merged(self.accounts.iter().filter_map(|(id, _)| Range::between(*id, *id)).collect());
        let inside = common_ids(&ids, &self.holders.taken());
        let is_inside = |id: Id| {
            let before = inside.partition_point(|range| range.last() < id);
            inside.get(before).is_some_and(|range| range.contains(id))
        };
        let inside = self.accounts.iter().filter(|(id, _)| is_inside(*id)).take(MOST_TOLD.saturating_mul(4));
        let mut found = Vec::new();
        for (id, name) in inside {
            let has_it = |holder: &&Holder| {
                let before = holder.ids.partition_point(|range| range.last() < *id);
                holder.ids.get(before).is_some_and(|range| range.contains(*id))
            };
            let others =
                |holder: &&Holder| self.path != "/etc/subuid" || holder.identity != Identity::Uid(*id);
            found.extend(
                self.holders
                    .all
                    .iter()
                    .find(|holder| has_it(holder) && others(holder))
                    .map(|holder| (*id, name.as_slice(), holder)),
            );
        }
        found
    }
}

impl Bounds {
    fn of(login_defs: &[u8], keys: (&'static str, &'static str)) -> Self {
        let (min, max) = (number_or(login_defs, keys.0, USUAL.0), number_or(login_defs, keys.1, USUAL.1));
        let range = Id::new(min).zip(Id::new(max)).and_then(|(min, max)| Range::between(min, max));
        Self { keys, range }
    }
}

fn picture(file: &File, who: Option<&one::Who>) -> Picture {
    let ids: Vec<Id> = file.accounts.iter().map(|(id, _)| *id).collect();
    match who {
        None => Picture::of(&file.holders.all, &file.holders, &ids, MOST_ROWS),
        Some(who) => Picture::of(who.company(&file.holders), &file.holders, &ids, MOST_ROWS),
    }
}

/// Do both files say the same, so that one of them is enough?
fn same(files: &[File; 2]) -> bool {
    let [subuid, subgid] = files;
    let well = |file: &File| file.exists && file.unreadable.is_none();
    well(subuid) && well(subgid) && subuid.holders.same_as(&subgid.holders)
}

fn title(file: &File, same: bool) -> String {
    let Holders { all, .. } = &file.holders;
    let ids = total(&file.holders.taken());
    let sum = format!("{} {}, {ids} ids", all.len(), if all.len() == 1 { "owner" } else { "owners" });
    if same {
        format!("/etc/subuid and /etc/subgid say the same: {sum}")
    } else {
        format!("{}: {sum}", file.path)
    }
}

fn parts<'a>(files: &[File; 2], pictures: &'a [Picture], who: Option<&one::Who>) -> Vec<Part<'a>> {
    let same = same(files);
    let shown = files.iter().zip(pictures).take(if same { 1 } else { 2 });
    let part = |(file, picture)| {
        let notes = notes(file, who)
            .into_iter()
            .map(|(style, note)| if style == Style::Error { format!("! {note}") } else { note });
        Part { title: title(file, same), picture, notes: notes.collect() }
    };
    shown.map(part).collect()
}

fn write(
    root: &Root,
    files: &[File; 2],
    pictures: &[Picture],
    who: Option<&one::Who>,
    others: &Result<Vec<String>, String>,
    out: &mut Output,
) {
    let (width, letters, same) = (out.width(), Letters::of_locale(), same(files));
    let say = |out: &mut Output, style: Option<Style>, text: &str| {
        for line in wrapped(text, width) {
            let line = style.map_or_else(|| line.clone(), |style| out.paint(style, &line));
            out.line(line);
        }
    };
    let pictured = files.iter().zip(files.iter().rev()).zip(pictures);
    for (number, ((file, other), picture)) in pictured.enumerate().take(if same { 1 } else { 2 }) {
        if number > 0 {
            out.line("");
        }
        if let Some(why) = &file.unreadable {
            say(out, Some(Style::Error), &format!("not read: {why}"));
            continue;
        }
        if !file.exists {
            say(out, None, &format!("there is no {}: nobody holds any of its ids", file.path));
            continue;
        }
        say(out, Some(Style::Strong), &title(file, same));
        if !picture.rows.is_empty() {
            out.line("");
            let lines = terminal::lines(picture, width, letters, &|style, text| out.paint(style, text));
            lines.into_iter().for_each(|line| out.line(line));
        }
        let together: usize = picture.rows.iter().filter(|row| row.owners > 1).map(|row| row.owners).sum();
        if together > 0 {
            let text = format!(
                "{together} owners are drawn together, with those next to them; one alone: nsgate show USER"
            );
            say(out, Some(Style::Faint), &text);
        }
        out.line("");
        if let Some(who) = who {
            who.details(file).into_iter().for_each(|line| say(out, None, &line));
            let commands = who.commands(root, file, other);
            if !commands.is_empty() {
                say(out, None, "what helps:");
            }
            // Never broken: somebody wants to copy it.
            commands.into_iter().for_each(|command| out.line(format!("    {command}")));
        }
        for (style, note) in notes(file, who) {
            let mark = match style {
                Style::Error => "! ",
                Style::Warning => "? ",
                Style::Good | Style::Strong | Style::Faint | Style::Owner(_) => "  ",
            };
            say(out, Some(style).filter(|style| *style != Style::Strong), &format!("{mark}{note}"));
        }
    }
    if !same && files.iter().all(|file| file.exists && file.unreadable.is_none()) {
        let [subuid, subgid] = files;
        out.line("");
        for difference in differences(&subuid.holders, &subgid.holders) {
            say(out, Some(Style::Warning), &format!("? {difference}"));
        }
    }
    match others {
        Ok(others) if others.is_empty() => {}
        Ok(others) => {
            let text = format!(
                "  /etc/nsswitch.conf names other sources too, which are not in the picture: {}",
                others.join(", ")
            );
            say(out, Some(Style::Warning), &text);
        }
        Err(why) => say(out, Some(Style::Warning), &format!("? {why}")),
    }
}

/// What there is to say under a picture.
fn notes(file: &File, who: Option<&one::Who>) -> Vec<(Style, String)> {
    let mut notes = Vec::new();
    let holders = &file.holders;
    let name = |holder: &Holder| Quoted(&holder.name).to_string();
    if who.is_none() {
        for overlap in holders.overlaps.iter().take(MOST_TOLD) {
            let mut names: Vec<String> =
                overlap.holders.iter().filter_map(|place| holders.all.get(*place)).map(name).collect();
            let more = overlap.number.saturating_sub(names.len());
            if more > 0 {
                names.push(format!("{more} more"));
            }
            let (range, count) = (overlap.range, overlap.range.count());
            let text =
                format!("{range} ({count} ids) shared by {}: they own each other's files", names.join(", "));
            notes.push((Style::Error, text));
        }
        if let Some(more) = holders.overlaps.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
            notes.push((Style::Error, format!("{more} more overlaps; nsgate check lists them")));
        }
    }
    let mine = |holder: &Holder| who.is_none_or(|who| who.is(holder));
    let inside = file.accounts_inside();
    let inside: Vec<_> = inside.into_iter().filter(|(.., holder)| mine(holder)).collect();
    for (id, account, holder) in inside.iter().take(MOST_TOLD) {
        let what = if file.path == "/etc/subuid" { "user" } else { "group" };
        let text = format!(
            "the {what} {} of this machine has id {id}, which {} holds",
            Quoted(account),
            name(holder)
        );
        notes.push((Style::Error, text));
    }
    if inside.len() > MOST_TOLD {
        notes.push((Style::Error, "more ids of accounts are held; nsgate check lists them".to_owned()));
    }
    let unknown: Vec<String> = holders.all.iter().filter(|one| !one.known && mine(one)).map(name).collect();
    if !unknown.is_empty() {
        notes.push((Style::Warning, format!("no such account here: {}", some_of(&unknown))));
    }
    if holders.idle_lines > 0 {
        let text = format!("{} lines grant nothing; nsgate check says why", holders.idle_lines);
        notes.push((Style::Warning, text));
    }
    if who.is_none() {
        notes.push((Style::Strong, free(file)));
    }
    notes
}

/// A few of these, and how many more.
pub(super) fn some_of(names: &[String]) -> String {
    let mut some: Vec<String> = names.iter().take(MOST_TOLD).cloned().collect();
    if let Some(more) = names.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
        some.push(format!("{more} more"));
    }
    some.join(", ")
}

fn free(file: &File) -> String {
    let (min, max) = file.bounds.keys;
    let Some(bounds) = file.bounds.range else {
        return format!("free: nothing, as {min} is above {max} in /etc/login.defs");
    };
    let free = file.free();
    match free.iter().max_by_key(|range| range.count()) {
        None => format!("free: nothing is left of {min} to {max} ({bounds})"),
        Some(largest) => format!(
            "free: {} ids of {min} to {max} ({bounds}); the largest run is {largest} ({} ids)",
            total(&free),
            largest.count()
        ),
    }
}

/// Who holds something in one file and not in the other.
fn differences(subuid: &Holders, subgid: &Holders) -> Vec<String> {
    let of = |holders: &Holders| -> std::collections::BTreeMap<Identity, (Vec<u8>, Vec<Range>)> {
        let entry = |one: &Holder| (one.identity.clone(), (one.name.clone(), one.ids.clone()));
        holders.all.iter().map(entry).collect()
    };
    let (uids, gids) = (of(subuid), of(subgid));
    let names = |found: &mut dyn Iterator<Item = &(Vec<u8>, Vec<Range>)>| -> Vec<String> {
        found.map(|(name, _)| Quoted(name).to_string()).collect()
    };
    let only_uids = names(&mut uids.iter().filter(|(who, _)| !gids.contains_key(who)).map(|(_, one)| one));
    let only_gids = names(&mut gids.iter().filter(|(who, _)| !uids.contains_key(who)).map(|(_, one)| one));
    let differ = |(who, one): &(&Identity, &(Vec<u8>, Vec<Range>))| {
        gids.get(who).is_some_and(|other| other.1 != one.1)
    };
    let differ = names(&mut uids.iter().filter(differ).map(|(_, one)| one));
    let told = [
        ("only in /etc/subuid", only_uids),
        ("only in /etc/subgid", only_gids),
        ("not the same in both files", differ),
    ];
    let told = told.into_iter().filter(|(_, who)| !who.is_empty());
    told.map(|(what, who)| format!("{what}: {}", some_of(&who))).collect()
}

/// What else `subid:` names.
fn other_sources(root: &Root) -> Result<Vec<String>, String> {
    let file = root.read("/etc/nsswitch.conf").map_err(|failure| failure.to_string())?;
    let text = file.map(|file| file.bytes).unwrap_or_default();
    match Nsswitch::parse(&text).subid_sources() {
        Ok(sources) => Ok(sources.plugins.iter().map(ToString::to_string).collect()),
        Err(word) => Err(format!(
            "/etc/nsswitch.conf: \"{}\" on the subid: line is no source, so the helpers grant nothing by it",
            Quoted(word)
        )),
    }
}

/// As `docs/json.md` has it.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    verb: &'static str,
    what: &'static str,
    user: Option<String>,
    same: bool,
    files: Vec<JsonFile>,
    reserved: Vec<JsonReserved>,
    other_sources: Vec<String>,
}

#[derive(Debug, Serialize)]
struct JsonFile {
    path: &'static str,
    exists: bool,
    unreadable: Option<String>,
    owners: Vec<JsonOwner>,
    overlaps: Vec<JsonOverlap>,
    accounts_inside: Vec<JsonAccount>,
    lines_without_effect: usize,
    free: JsonFree,
}

#[derive(Debug, Serialize)]
struct JsonOwner {
    name: String,
    uid: Option<u32>,
    account: bool,
    count: u64,
    shared: u64,
    ranges: Vec<JsonRange>,
}

#[derive(Debug, Serialize)]
struct JsonRange {
    first: u32,
    last: u32,
    count: u32,
    line: u32,
}

#[derive(Debug, Serialize)]
struct JsonIds {
    first: u32,
    last: u32,
    count: u32,
}

#[derive(Debug, Serialize)]
struct JsonOverlap {
    first: u32,
    last: u32,
    count: u32,
    owners: Vec<String>,
    owners_number: usize,
}

#[derive(Debug, Serialize)]
struct JsonAccount {
    id: u32,
    name: String,
    held_by: String,
}

#[derive(Debug, Serialize)]
struct JsonFree {
    min: Option<u32>,
    max: Option<u32>,
    count: u64,
    largest: Option<JsonIds>,
}

#[derive(Debug, Serialize)]
struct JsonReserved {
    name: &'static str,
    first: u32,
    last: u32,
}

impl Document {
    fn of(files: &[File; 2], who: Option<&one::Who>, others: &Result<Vec<String>, String>) -> Self {
        let reserved =
            |&Reserved { whose, first, last, .. }: &Reserved| JsonReserved { name: whose, first, last };
        Self {
            schema: "nsgate/1",
            verb: "show",
            what: "ids",
            user: who.map(|who| Quoted(&who.name).to_string()),
            same: same(files),
            files: files.iter().map(|file| JsonFile::of(file, who)).collect(),
            reserved: RESERVED.iter().map(reserved).collect(),
            other_sources: others.clone().unwrap_or_default(),
        }
    }
}

impl JsonFile {
    fn of(file: &File, who: Option<&one::Who>) -> Self {
        let holders = &file.holders;
        let shared = holders.shared();
        let name = |holder: &Holder| Quoted(&holder.name).to_string();
        let owner = |holder: &Holder| JsonOwner {
            name: name(holder),
            uid: match &holder.identity {
                Identity::Uid(uid) => Some(uid.raw()),
                Identity::Unknown(_) => None,
            },
            account: holder.known,
            count: holder.count(),
            shared: total(&common_ids(&holder.ids, &shared)),
            ranges: holder
                .lines
                .iter()
                .map(|line| JsonRange {
                    first: line.range.first().raw(),
                    last: line.range.last().raw(),
                    count: line.range.count(),
                    line: line.number,
                })
                .collect(),
        };
        let of_his = who.and_then(|who| holders.all.iter().find(|one| who.is(one)));
        let concerns = |range: Range| {
            who.is_none() || of_his.is_some_and(|one| !common_ids(&[range], &one.ids).is_empty())
        };
        let overlaps = holders.overlaps.iter().filter(|overlap| concerns(overlap.range));
        let free = file.free();
        Self {
            path: file.path,
            exists: file.exists,
            unreadable: file.unreadable.clone(),
            owners: holders.all.iter().filter(|one| who.is_none_or(|who| who.is(one))).map(owner).collect(),
            overlaps: overlaps
                .map(|overlap| JsonOverlap {
                    first: overlap.range.first().raw(),
                    last: overlap.range.last().raw(),
                    count: overlap.range.count(),
                    owners: overlap
                        .holders
                        .iter()
                        .filter_map(|place| holders.all.get(*place))
                        .map(name)
                        .collect(),
                    owners_number: overlap.number,
                })
                .collect(),
            accounts_inside: file
                .accounts_inside()
                .into_iter()
                .filter(|(.., holder)| who.is_none_or(|who| who.is(holder)))
                .map(|(id, account, holder)| JsonAccount {
                    id: id.raw(),
                    name: Quoted(account).to_string(),
                    held_by: name(holder),
                })
                .collect(),
            lines_without_effect: holders.idle_lines,
            free: JsonFree {
                min: file.bounds.range.map(|range| range.first().raw()),
                max: file.bounds.range.map(|range| range.last().raw()),
                count: total(&free),
                largest: free.iter().max_by_key(|range| range.count()).map(|range| JsonIds {
                    first: range.first().raw(),
                    last: range.last().raw(),
                    count: range.count(),
                }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_defs_says_where_new_ranges_go() {
        let keys = ("SUB_UID_MIN", "SUB_UID_MAX");
        let range = |text: &str| Bounds::of(text.as_bytes(), keys).range.map(|range| range.to_string());
        assert_eq!(range(""), Some("100000-600100000".to_owned()));
        assert_eq!(range("#SUB_UID_MIN 5\nSUB_UID_MIN\t\t 7\n SUB_UID_MAX 9\n"), Some("7-9".to_owned()));
        assert_eq!(range("SUB_UID_MIN 9\nSUB_UID_MAX 7\n"), None);
    }
}
