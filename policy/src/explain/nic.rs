//! `nsgate explain nic`: may somebody have an interface on a bridge, by which line, and what would become of it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::Error;
use common::os::host_policy::HostPolicy;
use common::os::limits::{Limited, not_limited};
use common::os::target::read_own;
use common::policy::host::asks_for_any;
use common::policy::nic::Attachment;
use common::policy::refusal::{all_used, not_allotted};
use common::policy::settings::{Bridge, MOST_BRIDGES, in_force, limit};
use common::policy::text::{Quoted, lines};
use common::policy::usernet::{Quota, Search, entry};
use serde::Serialize;
use usernic::census::{Census, Quota as Table};

use super::remedy::{Remedy, of_error};
use super::{ALLOWED, Person, REFUSED, Reason, say_remedies, title};
use crate::accounts::{Accounts, User};
use crate::check::command::{make_bridge, plain_word};
use crate::check::pattern::Pattern;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::output::{Output, Style};
use crate::root::Root;
use crate::write::owner::NicLine;

const USERNET: &str = "/etc/lxc/lxc-usernet";

/// What was found out.
#[derive(Default)]
struct Answer {
    refused: Option<Error>,
    names: Vec<Vec<u8>>,
    quotas: Vec<Quota>,
    bridge: Option<Exists>,
    rules: Vec<Rule>,
    /// What counts on the bridge just now. Err: why that is not known. None: nobody asked.
    tables: Option<Result<Vec<Table>, String>>,
    /// Lines that name the bridge by `%u`, for some user.
    own_names: Vec<OwnName>,
    /// Does lxc-user-nic make bridges of users' own?
    makes_bridges: bool,
}

/// A name with `%u` in it that is the bridge in question.
struct OwnName {
    name: String,
    line: u32,
    /// For this user?
    is_his: bool,
}

/// Is the bridge there?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Exists {
    /// None is needed.
    Nothing,
    /// It is.
    Bridge,
    /// Open vSwitch may have it, and is asked at the call.
    PerhapsOpenVswitch,
    /// lxc-user-nic makes it at the call.
    WillBeMade,
    /// There is none of that name.
    No,
    /// That is no bridge.
    SomethingElse,
    /// That is for the machine to know which this is an image of.
    NotAsked,
}

/// A rule of nsgate.ini that is about it.
struct Rule {
    section: String,
    line: u32,
    key: &'static str,
    value: String,
    says: String,
    forbids: bool,
}

/// The answer, and the exit status.
pub(super) fn run(root: &Root, user: &OsStr, bridge: &OsStr, out: &mut Output) -> Result<u8, Failure> {
    let machine = Machine::of(root)?;
    let accounts = Accounts::read(root)?;
    let user = accounts.user(user)?;
    let found = answer(&machine, &accounts, &user, bridge)?;
    let remedies: Vec<Remedy> =
        remedies(&user, bridge.as_bytes(), &found).into_iter().map(|remedy| remedy.on(root)).collect();
    if out.is_json() {
        out.document(&document(&user, bridge, &found, &remedies))?;
    } else {
        say(&user, bridge, &found, &remedies, out);
    }
    Ok(if found.refused.is_none() { ALLOWED } else { REFUSED })
}

/// In the helper's order.
fn answer(
    machine: &Machine<'_>,
    accounts: &Accounts,
    user: &User,
    bridge: &OsStr,
) -> Result<Answer, Failure> {
    let mut answer = Answer::default();
    let attachment = match Attachment::parse(bridge.as_bytes()) {
        Ok(attachment) => attachment,
        Err(why) => {
            let name = bridge.as_bytes().to_vec();
            answer.refuse(Error::BadName { what: "bridge name", name, why });
            return Ok(answer);
        }
    };
    let policy = machine.policy("lxc/lxc-usernet")?;
    let nsswitch = match machine.nsswitch()? {
        Ok(nsswitch) => nsswitch,
        Err(error) => {
            answer.refuse(error);
            return Ok(answer);
        }
    };
    match machine.account(user.uid, &nsswitch)? {
        Ok(Some(account)) => answer.names = account.names,
        Ok(None) => answer.refuse(Error::NoAccount { uid: user.uid.raw() }),
        Err(error) => answer.refuse(error),
    }
    let host_policy = machine.host_policy()?.unwrap_or_else(|error| {
        answer.refuse(error);
        HostPolicy::default()
    });

    let word = attachment.word();
    let mut may_be_repeated = false;
    let exists = match policy {
        Err(error) => {
            answer.refuse(error);
            None
        }
        Ok(None) => Some(false),
        Ok(Some(mut file)) => {
            let names = answer.names.clone();
            let mut search = Search::new(user.uid, &names, word);
            let mut own_names = Vec::new();
            let readable_by_all = file.readable_by_all();
            match file.blocks(USERNET, |line, block| {
                search.look_at(line, block);
                own_names.extend(names_by_uid(user, word, line, block));
            }) {
                Ok(()) => {
                    let his = accounts.groups_of(user);
                    let is_in = |name: &[u8]| {
                        let group = accounts.group_named(name).filter(|group| his.contains(&group.gid));
                        group.map(|group| group.gid)
                    };
                    answer.quotas = search.finish().quotas(user.uid, is_in);
                }
                Err(error) => answer.refuse(error),
            }
            answer.own_names = own_names;
            may_be_repeated = readable_by_all;
            Some(true)
        }
    };
    if let Some(exists) = exists.filter(|_| answer.quotas.is_empty()) {
        let name = answer.names.first().cloned().unwrap_or_else(|| user.name.clone());
        let why = not_allotted(&name, word, exists);
        answer.refuse(Error::NotAllotted { user: name, bridge: word.to_owned(), why });
    }
    let of_all = limit(host_policy.settings.bridge(word).max_nics).is_some();
    let owners: Vec<String> = answer.quotas.iter().map(|quota| quota.owner.key()).collect();
    let counts = |owner: &str| of_all || owners.iter().any(|his| his == owner);
    let (tables, damaged) = match tables(machine, &attachment, counts) {
        Ok(Ok(tables)) => (Ok(tables), None),
        Ok(Err(error)) => (Err(error.to_string()), Some(error)),
        Err(why) => (Err(why), None),
    };
    answer.tables = Some(tables);
    answer.look_at_rules(machine, user, &attachment, &host_policy);
    answer.look_for(machine, &attachment, &host_policy);
    if let Some(error) = damaged {
        answer.refuse(error);
    }
    answer.look_for_room(word, &host_policy, may_be_repeated);
    Ok(answer)
}

/// Lines of the file that name this bridge by `%u`.
fn names_by_uid(user: &User, bridge: &str, first_line: u32, block: &[u8]) -> Vec<OwnName> {
    let own_name = |(line, number): (&[u8], u32)| {
        let name = std::str::from_utf8(entry(line)?.bridge).ok().filter(|name| name.contains("%u"))?;
        let is_his = name.replace("%u", &user.uid.to_string()) == bridge;
        let is_it = is_his || Pattern::of(name.as_bytes()).becomes(bridge.as_bytes());
        is_it.then(|| OwnName { name: name.to_owned(), line: number, is_his })
    };
    lines(block).zip(first_line..).filter_map(own_name).collect()
}

/// The tables of the ledger that are about this bridge and count, or what the helper has against them; or why they are not known.
fn tables(
    machine: &Machine<'_>,
    attachment: &Attachment,
    counts: impl Fn(&str) -> bool,
) -> Result<Result<Vec<Table>, Error>, String> {
    if !machine.is_live() {
        return Err("the machine of this image will know".to_owned());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("the ledger is root's; ask as root".to_owned());
    }
    Ok(Census::open().and_then(|census| census.counting(attachment, counts)))
}

/// How many interfaces of these tables count.
fn number_of<'a>(tables: impl Iterator<Item = &'a Table>) -> usize {
    let counting = tables.flat_map(|table| &table.records).filter(|(_, counts)| *counts);
    counting.map(|(record, _)| &record.name).collect::<BTreeSet<_>>().len()
}

fn is_reached(limit: u32, used: usize) -> bool {
    usize::try_from(limit).is_ok_and(|limit| used >= limit)
}

impl Answer {
    /// What comes first is what the helper says.
    fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }

    /// How many interfaces there are of a quota. None: it is not known.
    fn used(&self, quota: &Quota) -> Option<usize> {
        let tables = self.tables.as_ref()?.as_ref().ok()?;
        Some(number_of(tables.iter().filter(|table| table.owner == quota.owner.key())))
    }

    /// The same of all owners together.
    fn used_by_all(&self) -> Option<usize> {
        Some(number_of(self.tables.as_ref()?.as_ref().ok()?.iter()))
    }

    /// As the helper, who looks for room when all else is well.
    fn look_for_room(&mut self, bridge: &str, host_policy: &HostPolicy, may_be_repeated: bool) {
        let used: Vec<usize> = self.quotas.iter().filter_map(|quota| self.used(quota)).collect();
        if used.is_empty() {
            return;
        }
        let most = limit(host_policy.settings.bridge(bridge).max_nics).zip(self.used_by_all());
        let most = most.filter(|(most, used)| is_reached(most.value, *used));
        if most.is_some() {
            self.rules.iter_mut().for_each(|rule| rule.forbids |= rule.key == "max-nics");
        }
        let used: Vec<(&Quota, usize)> = self.quotas.iter().zip(used).collect();
        if used.iter().all(|(quota, used)| is_reached(quota.limit, *used)) {
            let used = all_used(&used, may_be_repeated);
            let user = self.names.first().cloned().unwrap_or_default();
            return self.refuse(Error::QuotaReached { user, bridge: bridge.to_owned(), used });
        }
        if let Some((most, used)) = most {
            let why = format!("{used} of {} interfaces of all users are there", most.value);
            self.refuse(host_policy.forbids_veth(bridge, ("max-nics", most.line), why));
        }
    }

    /// What nsgate.ini has in force for it.
    fn look_at_rules(
        &mut self,
        machine: &Machine<'_>,
        user: &User,
        attachment: &Attachment,
        host_policy: &HostPolicy,
    ) {
        let settings = &host_policy.settings;
        let word = attachment.word();
        let limits = settings.nic.require_limits.as_ref();
        if let (Some(line), Some(rule)) = (asks_for_any(limits), limits) {
            let value = rule.value.iter().map(|controller| controller.word()).collect::<Vec<_>>().join(", ");
            let is_caller = machine.is_live() && nix::unistd::getuid().as_raw() == user.uid.raw();
            let mut says = format!(
                "it will want that control groups limit {value} for the caller and for the container"
            );
            let mut forbids = false;
            if is_caller {
                let cgroup = read_own("cgroup");
                let caller = [Limited { who: "the caller", cgroup: cgroup.as_deref(), limits: None }];
                match not_limited(&rule.value, &caller) {
                    Ok(None) => says.push_str("; called from here, the caller's is"),
                    Ok(Some(why)) => {
                        forbids = true;
                        says = why.clone();
                        self.refuse(host_policy.forbids_veth(word, ("require-limits", line), why));
                    }
                    Err(error) => {
                        forbids = true;
                        says = error.to_string();
                        self.refuse(error);
                    }
                }
            }
            let section = "nic".to_owned();
            self.rules.push(Rule { section, line, key: "require-limits", value, says, forbids });
        }
        let (bridge, used) = (settings.bridge(word), self.used_by_all());
        // Of these two, a line stands in one.
        let of_all = lines_of(&settings.bridge("*"));
        let section = |line| {
            let name = if of_all.contains(&line) { "*" } else { word };
            format!("bridge \"{}\"", Quoted(name.as_bytes()))
        };
        let mut add = |section: &str, line, key, value: &str, says: &str| {
            let (section, value, says) = (section.to_owned(), value.to_owned(), says.to_owned());
            self.rules.push(Rule { section, line, key, value, says, forbids: false });
        };
        // Where there is no bridge there is no port of one, and nothing to guard.
        let has_port = matches!(attachment, Attachment::Bridge(_));
        if let Some(line) = in_force(bridge.isolate).filter(|_| has_port) {
            let says = "the port reaches the bridge and its uplink, no other such port";
            add(&section(line), line, "isolate", "yes", says);
        }
        if let Some(line) = in_force(bridge.lock_mac).filter(|_| has_port) {
            let says = "the port sends from the address it is born with, and no other";
            add(&section(line), line, "lock-mac", "yes", says);
        }
        if let Some(rule) = limit(bridge.max_nics) {
            let says = used
                .map_or("it will want that all users together have fewer here".to_owned(), |used| {
                    format!("all users together have {used} here")
                });
            add(&section(rule.line), rule.line, "max-nics", &rule.value.to_string(), &says);
        }
        if let Some(line) = in_force(bridge.stable_mac) {
            let says = "the container's address stays the same for the same container and interface";
            add(&section(line), line, "mac", "stable", says);
        }
        if let Some(rule) = limit(bridge.max_multicast_groups).filter(|_| has_port) {
            let says = "the port joins no more multicast groups";
            add(&section(rule.line), rule.line, "max-multicast-groups", &rule.value.to_string(), says);
        }
        if let Some(line) = in_force(settings.nic.leave_out_missing).filter(|_| has_port) {
            let says = "a guard that the kernel does not know is left out";
            add("nic", line, "on-missing-kernel", "warn", says);
        }
        let own_bridge = self.quotas.iter().any(|quota| quota.per_user);
        if let Some(line) = in_force(settings.per_user_bridge.create).filter(|_| own_bridge) {
            let most = settings.per_user_bridge.max_bridges.map_or(MOST_BRIDGES, |most| most.value);
            let mut says = "the bridge is made if it is not there".to_owned();
            // 0 is no limit.
            if most > 0 {
                says.push_str(&format!(", unless there are {most} such already"));
            }
            add("per-user-bridge", line, "create", "yes", &says);
        }
    }

    /// Is there such a bridge?
    fn look_for(&mut self, machine: &Machine<'_>, attachment: &Attachment, host_policy: &HostPolicy) {
        let Attachment::Bridge(name) = attachment else {
            self.bridge = Some(Exists::Nothing);
            return;
        };
        if !machine.is_live() {
            self.bridge = Some(Exists::NotAsked);
            return;
        }
        let link = Path::new("/sys/class/net").join(name.as_str());
        self.makes_bridges = in_force(host_policy.settings.per_user_bridge.create).is_some();
        let makes = self.makes_bridges && self.quotas.iter().any(|quota| quota.per_user);
        let open_vswitch = Path::new("/run/openvswitch/db.sock").exists();
        let exists = match (link.exists(), link.join("bridge").is_dir()) {
            (_, true) => Exists::Bridge,
            (false, _) if makes => Exists::WillBeMade,
            _ if open_vswitch => Exists::PerhapsOpenVswitch,
            (true, _) => Exists::SomethingElse,
            (false, _) => Exists::No,
        };
        let why = match exists {
            Exists::SomethingElse => Some("is not a bridge; lxc-usernet should name one, or none"),
            Exists::No => Some("does not exist: there is no such bridge on this host"),
            _ => None,
        };
        if let Some(why) = why {
            self.refuse(Error::NoBridge { bridge: name.as_str().to_owned(), why: why.to_owned() });
        }
        self.bridge = Some(exists);
    }
}

/// Where the rules of a section stand.
fn lines_of(section: &Bridge) -> Vec<u32> {
    let yes = [section.isolate, section.lock_mac, section.stable_mac];
    let numbers = [section.max_nics, section.max_multicast_groups];
    let yes = yes.into_iter().flatten().map(|rule| rule.line);
    yes.chain(numbers.into_iter().flatten().map(|rule| rule.line)).collect()
}

impl Exists {
    const fn says(self) -> &'static str {
        match self {
            Self::Nothing => "none is needed: the host's end is attached to nothing",
            Self::Bridge => "it is there",
            Self::PerhapsOpenVswitch => {
                "the kernel has none of that name; Open vSwitch will be asked for one"
            }
            Self::WillBeMade => "it is not there, and will be made",
            Self::No => "there is none of that name on this host",
            Self::SomethingElse => "what has that name is no bridge",
            Self::NotAsked => "whether it is there, the machine of this image will know",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Bridge => "bridge",
            Self::PerhapsOpenVswitch => "perhaps openvswitch",
            Self::WillBeMade => "will be made",
            Self::No => "missing",
            Self::SomethingElse => "not a bridge",
            Self::NotAsked => "unknown",
        }
    }
}

fn remedies(user: &User, bridge: &[u8], found: &Answer) -> Vec<Remedy> {
    match &found.refused {
        Some(Error::NotAllotted { bridge, .. }) => of_no_line(user, bridge, found),
        Some(Error::NoBridge { .. }) if found.bridge == Some(Exists::No) => {
            of_no_bridge(bridge, found.quotas.iter().any(|quota| quota.per_user))
        }
        Some(Error::QuotaReached { .. }) => {
            let line = found.quotas.first().map_or(0, |quota| quota.line);
            let advice = format!("a larger number in {USERNET}:{line} allows more at once");
            vec![Remedy { advice: Some(advice), command: Some("nsgate edit lxc-usernet".to_owned()) }]
        }
        Some(error) => of_error(error),
        None => Vec::new(),
    }
}

/// A line that would be a mistake is not advised.
fn of_no_line(user: &User, bridge: &str, found: &Answer) -> Vec<Remedy> {
    let shown = Quoted(bridge.as_bytes());
    if found.bridge == Some(Exists::SomethingElse) {
        return vec![Remedy::advice(format!("nothing does: {shown} is an interface and no bridge"))];
    }
    if let Some(OwnName { name, line, .. }) = found.own_names.iter().find(|own| !own.is_his) {
        let (name, his) = (Quoted(name.as_bytes()), name.replace("%u", &user.uid.to_string()));
        let his = Quoted(his.as_bytes());
        return vec![Remedy::advice(format!(
            "{shown} is a bridge of another user's own by {USERNET}:{line} ({name}), and of nobody else; this user's would be {his}"
        ))];
    }
    let own = found.own_names.first().map(|own| own.name.as_str());
    let column = own.unwrap_or(bridge);
    // The format knows users by name only, and has no word for some names.
    let line = NicLine::parse(OsStr::from_bytes(&user.name), OsStr::new(column));
    // To a shell, %u is as plain as the digits.
    let on = plain_word(bridge.as_bytes()).map(|word| word.replace(bridge, column));
    let mut remedies = vec![match (line, plain_word(&user.name), on) {
        (Ok(_), Some(name), Some(on)) => Remedy::command(format!("nsgate grant nic {name} {on} 10")),
        (Err(why), _, Some(on)) => {
            let group = format!("a group that the user is in can: nsgate grant nic @GROUP {on} 10");
            Remedy::advice(format!("{why}; {group}"))
        }
        _ => Remedy {
            advice: Some("not all shells would take these names as they are; with an editor:".to_owned()),
            command: Some("nsgate edit lxc-usernet".to_owned()),
        },
    }];
    let is_made = own.is_some() && found.makes_bridges;
    if found.bridge == Some(Exists::No) && !is_made {
        remedies.extend(of_no_bridge(bridge.as_bytes(), own.is_some()));
    }
    remedies
}

fn of_no_bridge(bridge: &[u8], is_own: bool) -> Vec<Remedy> {
    let make = make_bridge(bridge).map(Remedy::command);
    let mut remedies = Vec::new();
    if is_own {
        let advice = "create = yes in [per-user-bridge] of /etc/nsgate.ini has it made when it is needed:";
        remedies.push(Remedy {
            advice: Some(advice.to_owned()),
            command: Some("nsgate edit nsgate.ini".to_owned()),
        });
        remedies.extend(make.is_some().then(|| Remedy::advice("or, this one alone:")));
    }
    remedies.extend(make);
    remedies
}

fn say(user: &User, bridge: &OsStr, found: &Answer, remedies: &[Remedy], out: &mut Output) {
    let (name, shown) = (Quoted(&user.name), Quoted(bridge.as_bytes()));
    let unknown = found.tables.as_ref().and_then(|tables| tables.as_ref().err());
    match &found.refused {
        None => {
            let verdict = format!("{name} may have a veth on {shown}");
            let verdict = out.paint(Style::Good, &verdict);
            out.line(if unknown.is_some() { format!("{verdict}, unless all are used") } else { verdict });
        }
        Some(error) => {
            let refuses = out.paint(Style::Error, "lxc-user-nic would refuse:");
            out.line(format!("{refuses} {}", Reason::of(error).message));
        }
    }
    if !found.quotas.is_empty() {
        title(out, "allotted");
    }
    for quota in &found.quotas {
        let (owner, limit, line) = (quota.owner.word(), quota.limit, quota.line);
        let per_user = if quota.per_user { ", a bridge of the user's own (%u)" } else { "" };
        let used = found.used(quota).map_or(String::new(), |used| format!("; used: {used}"));
        out.line(format!("  {limit} at once by {USERNET}:{line} ({}){per_user}{used}", Quoted(&owner)));
    }
    if let Some(why) = unknown.filter(|_| !found.quotas.is_empty()) {
        out.line(format!("  how many are used is not known here: {why}"));
    }
    if let Some(exists) = found.bridge {
        title(out, &format!("the bridge {shown}"));
        out.line(format!("  {}", exists.says()));
    }
    if !found.rules.is_empty() {
        title(out, "rules of /etc/nsgate.ini");
    }
    for rule in &found.rules {
        out.line(format!("  :{} [{}] {} = {}", rule.line, rule.section, rule.key, rule.value));
        let forbids = if rule.forbids { out.paint(Style::Error, "forbids it: ") } else { String::new() };
        out.line(format!("      {forbids}{}", rule.says));
    }
    if found.refused.is_none() {
        title(out, "what it will want of the container");
        out.line(format!("  a network namespace that belongs to a user namespace of uid {}'s", user.uid));
    }
    say_remedies(out, remedies);
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    verb: &'static str,
    user: Person,
    bridge: String,
    allowed: bool,
    reason: Option<Reason>,
    quotas: Vec<QuotaDocument>,
    exists: Option<&'static str>,
    rules: Vec<RuleDocument<'a>>,
    commands: Vec<&'a str>,
    advice: Vec<&'a str>,
}

#[derive(Serialize)]
struct QuotaDocument {
    owner: String,
    limit: u32,
    file: &'static str,
    line: u32,
    per_user: bool,
    used: Option<usize>,
}

#[derive(Serialize)]
struct RuleDocument<'a> {
    section: &'a str,
    line: u32,
    key: &'static str,
    value: &'a str,
    forbids: bool,
    says: &'a str,
}

fn document<'a>(user: &User, bridge: &OsStr, found: &'a Answer, remedies: &'a [Remedy]) -> Document<'a> {
    let quota = |quota: &Quota| QuotaDocument {
        owner: Quoted(&quota.owner.word()).to_string(),
        limit: quota.limit,
        file: USERNET,
        line: quota.line,
        per_user: quota.per_user,
        used: found.used(quota),
    };
    let rule = |rule: &'a Rule| RuleDocument {
        section: &rule.section,
        line: rule.line,
        key: rule.key,
        value: &rule.value,
        forbids: rule.forbids,
        says: &rule.says,
    };
    Document {
        schema: "nsgate/1",
        verb: "explain nic",
        user: Person::of(user),
        bridge: Quoted(bridge.as_bytes()).to_string(),
        allowed: found.refused.is_none(),
        reason: found.refused.as_ref().map(Reason::of),
        quotas: found.quotas.iter().map(quota).collect(),
        exists: found.bridge.map(Exists::word),
        rules: found.rules.iter().map(rule).collect(),
        commands: remedies.iter().filter_map(|remedy| remedy.command.as_deref()).collect(),
        advice: remedies.iter().filter_map(|remedy| remedy.advice.as_deref()).collect(),
    }
}
