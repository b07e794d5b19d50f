//! `nsgate explain id`: who may use a host id, and who does.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsString;

use common::policy::id::{self, Id, Range};
use common::policy::idmap::Kind;
use common::policy::settings::{Idmap, in_force};
use common::policy::subid;
use common::policy::text::{Quoted, is_tame, lines};
use serde::Serialize;

use super::map::{Question, answer};
use super::namespaces::{Seen, that_map};
use super::{ALLOWED, Ids, Reason, helper, said, title};
use crate::accounts::{Accounts, User};
use crate::check::reserved::touched;
use crate::failure::Failure;
use crate::machine::{Machine, said as in_their_words};
use crate::output::{Output, Style, plural};
use crate::root::Root;

/// So many lines that grant an id are told of one by one.
const MOST_LINES: usize = 100;

/// What an id is as a uid, or as a gid.
struct AsKind {
    kind: Kind,
    /// Names of accounts, or of groups, that have it.
    names: Vec<Vec<u8>>,
    /// Of gids: accounts whose login group it is.
    login_group_of: Vec<Vec<u8>>,
    lines: Vec<Line>,
    more_lines: usize,
    /// Who may grant it besides the file.
    sources: Vec<String>,
    /// Rules of nsgate.ini against mapping it: line, key, and what it says.
    rules: Vec<(u32, &'static str, String)>,
    /// None: an image has no processes.
    seen: Option<Seen>,
    /// Why the policy file is not gone by.
    trouble: Option<String>,
}

/// A line that names it.
struct Line {
    number: u32,
    owner: Vec<u8>,
    /// Is that somebody?
    known: bool,
    /// What the helper has against that he maps it, in its own words.
    refused: Option<String>,
    range: Range,
}

/// The answer, and the exit status.
pub(super) fn run(root: &Root, raw: u32, out: &mut Output) -> Result<u8, Failure> {
    let Some(id) = Id::new(raw) else {
        return Err(Failure::new("4294967295 is no id: the kernel uses it for \"none\""));
    };
    let machine = Machine::of(root)?;
    let accounts = Accounts::read(root)?;
    let host_policy = machine.host_policy()?.map(|read| read.settings.idmap);
    let rules = host_policy.as_ref().cloned().unwrap_or_default();
    let trouble = host_policy.err().map(|error| error.to_string());
    let look = |kind| AsKind::of(&machine, &accounts, &rules, kind, id);
    let (uid, gid) = (look(Kind::Uid)?, look(Kind::Gid)?);
    if out.is_json() {
        out.document(&Document {
            schema: "nsgate/1",
            verb: "explain id",
            id: raw,
            reserved: reserved(id).collect(),
            uid: uid.document(),
            gid: gid.document(),
            trouble,
        })?;
    } else {
        out.line(out.paint(Style::Strong, &format!("host id {id}")));
        for whose in reserved(id) {
            out.line(format!("  by convention: {whose}"));
        }
        if let Some(trouble) = trouble {
            out.line(format!("  {} {trouble}", out.paint(Style::Error, "the helpers map nothing:")));
        }
        uid.say(out);
        gid.say(out);
    }
    Ok(ALLOWED)
}

impl AsKind {
    fn of(
        machine: &Machine<'_>,
        accounts: &Accounts,
        rules: &Idmap,
        kind: Kind,
        id: Id,
    ) -> Result<Self, Failure> {
        let (mut names, mut login_group_of) = (Vec::new(), Vec::new());
        match kind {
            Kind::Uid => names = accounts.names_of(id),
            Kind::Gid => {
                names
                    .extend(accounts.groups().iter().filter(|group| group.gid == id).map(|g| g.name.clone()));
                let users = accounts.users().iter().filter(|user| user.gid == id.raw());
                login_group_of.extend(users.map(|user| user.name.clone()));
            }
        }
        let (mut found, mut more_lines) = (Vec::new(), 0_usize);
        let (file, trouble) = match machine.policy(kind.policy_file())? {
            Ok(file) => (file, None),
            Err(error) => (None, Some(error.to_string())),
        };
        if let Some(mut file) = file {
            file.blocks(&format!("/etc/{}", kind.policy_file()), |first, block| {
                for (line, number) in lines(block).zip(first..) {
                    let Some((owner, range)) = subid::entry(line).filter(|(_, range)| range.contains(id))
                    else {
                        continue;
                    };
                    if found.len() < MOST_LINES {
                        found.push(Line {
                            number,
                            owner: owner.to_vec(),
                            known: false,
                            refused: None,
                            range,
                        });
                    } else {
                        more_lines = more_lines.saturating_add(1);
                    }
                }
            })
            .map_err(in_their_words)?;
        }
        let mut refused: BTreeMap<Id, Option<String>> = BTreeMap::new();
        for line in &mut found {
            let Some(user) = user_of(accounts, &line.owner) else { continue };
            line.known = true;
            let refused = match refused.entry(user.uid) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(refused_to(machine, kind, &user, id)?),
            };
            line.refused.clone_from(refused);
        }
        let seen = machine.is_live().then(|| that_map(kind, id)).transpose()?;
        let nsswitch = machine.nsswitch()?.unwrap_or_default();
        let sources = nsswitch.subid_sources().map(|sources| sources.plugins).unwrap_or_default();
        let sources = sources.iter().map(ToString::to_string).collect();
        let rules = against(rules, kind, id, !names.is_empty() || !login_group_of.is_empty());
        Ok(Self { kind, names, login_group_of, lines: found, more_lines, sources, rules, seen, trouble })
    }

    fn say(&self, out: &mut Output) {
        let (word, file) = (self.kind.word(), self.kind.policy_file());
        title(out, &format!("as a {word}"));
        let quoted = |names: &[Vec<u8>]| {
            let names = names.iter().take(10).map(|name| Quoted(name).to_string()).collect::<Vec<_>>();
            names.join(", ")
        };
        let (what, nobody) = match self.kind {
            Kind::Uid => ("the account", "no account has it"),
            Kind::Gid => ("the group", "no group has it"),
        };
        if self.names.is_empty() {
            out.line(format!("  {nobody}"));
        } else {
            let may = if self.kind == Kind::Uid { ", who may always map it by itself" } else { "" };
            out.line(format!("  {what} {}{may}", quoted(&self.names)));
        }
        if !self.login_group_of.is_empty() {
            let users = quoted(&self.login_group_of);
            out.line(format!("  the login group of {users}, who may always map it by itself"));
        }
        if let Some(trouble) = &self.trouble {
            let refused = out.paint(Style::Error, "the helpers do not go by the file:");
            out.line(format!("  {refused} {trouble}"));
        } else if self.lines.is_empty() {
            out.line(format!("  no line of /etc/{file} grants it"));
        }
        for line in &self.lines {
            // A blank in front or behind would not be seen.
            let owner = Quoted(&line.owner).to_string();
            let owner = if is_tame(&line.owner) { owner } else { format!("\"{owner}\"") };
            let of = format!("/etc/{file}:{} ({})", line.number, said(line.range));
            if !line.known {
                let nobody = out.paint(Style::Warning, "of whom there is none");
                out.line(format!("  granted to {owner}, {nobody}, by {of}"));
            } else if let Some(why) = &line.refused {
                let refuses = out.paint(Style::Error, &format!("{} would refuse it:", helper(self.kind)));
                out.line(format!("  {of} is for {owner}, but {refuses} {why}"));
            } else {
                out.line(format!("  granted to {} by {of}", out.paint(Style::Strong, &owner)));
            }
        }
        if self.more_lines > 0 {
            out.line(format!("  and by {} more line{}", self.more_lines, plural(self.more_lines)));
        }
        for source in &self.sources {
            out.line(format!(
                "  {source} (subid: in /etc/nsswitch.conf) may grant it too: nsgate explain map"
            ));
        }
        for (line, key, says) in &self.rules {
            let rule = out.paint(Style::Warning, &format!("/etc/nsgate.ini:{line} {key}"));
            out.line(format!("  {rule}: {says}"));
        }
        match &self.seen {
            None => {}
            Some(seen) => {
                if seen.mappings.is_empty() {
                    out.line("  no user namespace that can be seen maps it now");
                }
                for mapping in &seen.mappings {
                    let others = match mapping.processes {
                        0 | 1 => String::new(),
                        processes => format!(", one of {processes} processes"),
                    };
                    let command = Quoted(&mapping.command);
                    out.line(format!(
                        "  mapped now: {word} {} in the user namespace of process {} ({command}{others})",
                        mapping.inside, mapping.pid
                    ));
                }
                if seen.unreadable > 0 {
                    let processes = if seen.unreadable == 1 { "process" } else { "processes" };
                    out.line(format!("  {} {processes} could not be looked at", seen.unreadable));
                }
                if seen.hidden {
                    out.line("  /proc hides processes of others (hidepid): there may be more");
                }
            }
        }
    }

    fn document(&self) -> KindDocument {
        let quoted = |names: &[Vec<u8>]| names.iter().map(|name| Quoted(name).to_string()).collect();
        let line = |line: &Line| LineDocument {
            file: format!("/etc/{}", self.kind.policy_file()),
            line: line.number,
            owner: Quoted(&line.owner).to_string(),
            known: line.known,
            refused: line.refused.clone(),
            ids: line.range.into(),
        };
        let rule = |(line, key, says): &(u32, &'static str, String)| RuleDocument {
            line: *line,
            key,
            says: says.clone(),
        };
        let namespace = |mapping: &super::namespaces::Mapping| NamespaceDocument {
            pid: mapping.pid,
            command: Quoted(&mapping.command).to_string(),
            processes: mapping.processes,
            inside: mapping.inside,
        };
        KindDocument {
            names: quoted(&self.names),
            login_group_of: quoted(&self.login_group_of),
            lines: self.lines.iter().map(line).collect(),
            more_lines: self.more_lines,
            sources: self.sources.clone(),
            rules: self.rules.iter().map(rule).collect(),
            trouble: self.trouble.clone(),
            namespaces: self.seen.as_ref().map(|seen| NamespacesDocument {
                mapping: seen.mappings.iter().map(namespace).collect(),
                unreadable: seen.unreadable,
                hidden: seen.hidden,
            }),
        }
    }
}

/// Digits are a uid; anything else is a name.
fn user_of(accounts: &Accounts, owner: &[u8]) -> Option<User> {
    if owner.iter().all(u8::is_ascii_digit) {
        id::decimal(owner).ok().and_then(Id::new).and_then(|uid| accounts.user_with(uid))
    } else {
        accounts.user_named(owner)
    }
}

/// What the helper would say to him if he wanted this id alone: a line is not all that it goes by.
fn refused_to(machine: &Machine<'_>, kind: Kind, user: &User, id: Id) -> Result<Option<String>, Failure> {
    if kind == Kind::Gid && Id::new(user.gid).is_none() {
        return Ok(Some("his login group is no group's number".to_owned()));
    }
    let words = ["0".to_owned(), id.to_string(), "1".to_owned()].map(OsString::from);
    let found = answer(&Question { machine, kind, user, words: &words })?;
    Ok(found.refused.as_ref().map(|error| Reason::of(error).message))
}

fn against(rules: &Idmap, kind: Kind, id: Id, is_an_account: bool) -> Vec<(u32, &'static str, String)> {
    let mut against = Vec::new();
    let protect = rules.protect.as_ref();
    let protected = protect.filter(|rule| rule.value.iter().any(|range| range.contains(id)));
    if let Some(rule) = protected {
        against.push((rule.line, "protect", "mapped for nobody, but for the one whose own it is".to_owned()));
    }
    if let Some(line) = in_force(rules.protect_accounts).filter(|_| is_an_account) {
        let what = if kind == Kind::Uid { "an account" } else { "a group" };
        against.push((line, "protect-accounts", format!("{what} of this host, mapped for nobody else")));
    }
    against
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    verb: &'static str,
    id: u32,
    reserved: Vec<&'static str>,
    uid: KindDocument,
    gid: KindDocument,
    trouble: Option<String>,
}

#[derive(Serialize)]
struct KindDocument {
    names: Vec<String>,
    login_group_of: Vec<String>,
    lines: Vec<LineDocument>,
    more_lines: usize,
    sources: Vec<String>,
    rules: Vec<RuleDocument>,
    trouble: Option<String>,
    namespaces: Option<NamespacesDocument>,
}

#[derive(Serialize)]
struct LineDocument {
    file: String,
    line: u32,
    owner: String,
    known: bool,
    refused: Option<String>,
    ids: Ids,
}

#[derive(Serialize)]
struct RuleDocument {
    line: u32,
    key: &'static str,
    says: String,
}

#[derive(Serialize)]
struct NamespacesDocument {
    mapping: Vec<NamespaceDocument>,
    unreadable: usize,
    hidden: bool,
}

#[derive(Serialize)]
struct NamespaceDocument {
    pid: u32,
    command: String,
    processes: usize,
    inside: u32,
}
/// Whose an id is by convention.
fn reserved(id: Id) -> impl Iterator<Item = &'static str> {
    Range::between(id, id).into_iter().flat_map(touched).map(|reserved| reserved.whose)
}
