//! `nsgate show nics`: the interfaces that lxc-user-nic has made, whose they are, and what is left of each quota.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;

use common::policy::id::{Id, decimal};
use common::policy::ledger::State;
use common::policy::nic::InterfaceName;
use common::policy::settings::{Settings, limit};
use common::policy::text::{Quoted, lines};
use common::policy::usernet;
use serde::Serialize;
use usernic::census::{Census, Nic, Quota};

use super::terminal::wrapped;
use crate::accounts::Accounts;
use crate::failure::Failure;
use crate::output::{Output, Style};
use crate::root::Root;

/// As `docs/json.md` has it.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    verb: &'static str,
    what: &'static str,
    complete: bool,
    nics: Vec<Row>,
    quotas: Vec<QuotaRow>,
}

/// An interface.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    index: Option<u32>,
    state: &'static str,
    pub(crate) uid: Option<u32>,
    pub(crate) user: Option<String>,
    owner: Option<String>,
    /// Whose quota it counts for, as the ledger has it.
    #[serde(skip)]
    key: String,
    bridge: Option<String>,
    /// The same as lxc-usernet has it, or `none`.
    #[serde(skip)]
    on: String,
    guards: Vec<&'static str>,
    pub(crate) pids: Vec<i32>,
}

impl Row {
    /// Is it just being made, or was left so?
    pub(crate) fn is_unfinished(&self) -> bool {
        self.state == MAKING
    }
}

#[derive(Debug, Serialize)]
struct QuotaRow {
    owner: String,
    bridge: String,
    used: usize,
    limit: Option<u32>,
}

/// The answer, and the exit status.
///
/// # Errors
/// It is not this machine that is asked of, or the ledger is damaged.
pub fn run(root: &Root, svg: bool, out: &mut Output) -> Result<u8, Failure> {
    if !root.is_live() {
        return Err(Failure::new("interfaces are of the machine that runs; show nics has no --root"));
    }
    if svg {
        return Err(Failure::new("--svg draws ids; show nics is a list"));
    }
    let accounts = Accounts::read(root)?;
    // The ledger is root's alone.
    let complete = nix::unistd::geteuid().is_root();
    let mut census = if complete { Census::open() } else { Census::without_ledger() }.map_err(failure)?;
    let quotas = census.quotas().map_err(failure)?;
    let words = Words { accounts: &accounts };
    let nics = rows(&mut census, &quotas, &words).map_err(failure)?;
    let policy = Policy::read(root, &accounts);
    let quotas: Vec<QuotaRow> = quotas.iter().map(|quota| policy.row(quota, &words)).collect();
    let document = Document { schema: "nsgate/1", verb: "show", what: "nics", complete, nics, quotas };
    if out.is_json() {
        out.document(&document)?;
    } else {
        write(&document, out);
    }
    Ok(0)
}

/// Those that count for the quota of this owner, by his key in the ledger, on a bridge, or on none, and are not gone.
///
/// # Errors
/// The ledger is damaged, or the kernel does not say.
pub(crate) fn of_quota(
    accounts: &Accounts,
    key: &str,
    is_on: impl Fn(&str) -> bool,
) -> Result<Vec<Row>, Failure> {
    let is_root = nix::unistd::geteuid().is_root();
    let mut census = if is_root { Census::open() } else { Census::without_ledger() }.map_err(failure)?;
    let quotas = census.quotas().map_err(failure)?;
    let mut rows = rows(&mut census, &quotas, &Words { accounts }).map_err(failure)?;
    rows.retain(|row| row.key == key && row.state != GONE && is_on(&row.on));
    Ok(rows)
}

/// All interfaces that there are, and all that the ledger still has.
fn rows(census: &mut Census, quotas: &[Quota], words: &Words<'_>) -> Result<Vec<Row>, common::Error> {
    let pids = pids_by_netns(census)?;
    let (mut nics, mut known) = (Vec::new(), BTreeSet::new());
    for quota in quotas.iter().filter(|quota| quota.owner != ALL) {
        for (record, there) in &quota.records {
            known.insert(record.name.clone());
            let nic = census.nic(&record.name)?;
            let state = match (record.state, there, &nic) {
                (State::Unfinished { .. }, ..) => MAKING,
                (State::Made { .. }, false, _) => GONE,
                (State::Made { .. }, true, Some(nic)) if nic.is_up => "up",
                (State::Made { .. }, true, _) => "down",
            };
            let mut row = row(&record.name, nic.as_ref(), &pids);
            row.index = row.index.or(match record.state {
                State::Made { index } if *there => Some(index),
                State::Made { .. } | State::Unfinished { .. } => None,
            });
            row.state = state;
            row.uid = Some(record.uid.raw());
            row.user = words.user(record.uid);
            row.owner = Some(words.owner(&quota.owner));
            row.key.clone_from(&quota.owner);
            let on = quota.attachment.word();
            row.bridge = (on != NONE).then(|| Quoted(on.as_bytes()).to_string());
            on.clone_into(&mut row.on);
            nics.push(row);
        }
    }
    // What the kernel has and the ledger has not, or may not be asked for.
    for name in interfaces().into_iter().filter(|name| !known.contains(name)) {
        let Some(nic) = census.nic(&name)? else { continue };
        let Some((uid, owner)) = marked(&nic.alias) else { continue };
        let mut row = row(&name, Some(&nic), &pids);
        row.uid = Some(uid.raw());
        row.user = words.user(uid);
        row.owner = Some(words.owner(owner));
        row.key = owner.to_owned();
        nics.push(row);
    }
    Ok(nics)
}

/// The state of an interface that is a record alone.
const GONE: &str = "gone";
/// Or was left so by a helper that was killed.
const MAKING: &str = "making";

/// The bridge of an interface that is on none.
const NONE: &str = "none";

/// In the ledger, the table of all owners.
const ALL: &str = "all";

fn failure(error: common::Error) -> Failure {
    Failure::new(error.to_string())
}

fn row(name: &InterfaceName, nic: Option<&Nic>, pids: &BTreeMap<i32, Vec<i32>>) -> Row {
    let of = nic.and_then(|nic| nic.netns).and_then(|netns| pids.get(&netns));
    let bridge = nic.and_then(|nic| nic.bridge.as_deref());
    Row {
        name: name.to_string(),
        index: nic.map(|nic| nic.index),
        state: if nic.is_some_and(|nic| nic.is_up) { "up" } else { "down" },
        uid: None,
        user: None,
        owner: None,
        key: String::new(),
        bridge: bridge.map(|bridge| Quoted(bridge.as_bytes()).to_string()),
        on: bridge.unwrap_or(NONE).to_owned(),
        guards: nic.map(|nic| nic.guards.clone()).unwrap_or_default(),
        pids: of.cloned().unwrap_or_default(),
    }
}

/// `nsgate:uid=UID,owner=KEY`
fn marked(alias: &str) -> Option<(Id, &str)> {
    let (uid, owner) = alias.strip_prefix("nsgate:uid=")?.split_once(",owner=")?;
    Some((Id::new(decimal(uid.as_bytes()).ok()?)?, owner))
}

/// All interfaces that are called as lxc-user-nic calls its host ends.
fn interfaces() -> Vec<InterfaceName> {
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| InterfaceName::parse(entry.file_name().as_encoded_bytes()).ok());
    let mut names: Vec<InterfaceName> = names.filter(|name| name.as_str().starts_with("veth")).collect();
    names.sort();
    names
}

/// So many processes of a container are named.
const MOST_PIDS: usize = 4;

/// Which processes are in which network namespace, by our number for it. One question a namespace.
fn pids_by_netns(census: &mut Census) -> Result<BTreeMap<i32, Vec<i32>>, common::Error> {
    let mut by_inode: BTreeMap<u64, Vec<i32>> = BTreeMap::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid =
            decimal(process.file_name().as_encoded_bytes()).ok().and_then(|pid| i32::try_from(pid).ok());
        let netns = std::fs::metadata(process.path().join("ns/net")).map(|status| status.ino());
        if let (Some(pid), Ok(netns)) = (pid, netns) {
            by_inode.entry(netns).or_default().push(pid);
        }
    }
    let mut by_number = BTreeMap::new();
    for (_, mut pids) in by_inode {
        pids.sort_unstable();
        let Some(pid) = pids.first().and_then(|pid| u32::try_from(*pid).ok()) else { continue };
        if let Some(number) = census.netns_of(pid)? {
            pids.truncate(MOST_PIDS);
            by_number.insert(number, pids);
        }
    }
    Ok(by_number)
}

/// What the ledger's keys are called.
pub(crate) struct Words<'a> {
    pub(crate) accounts: &'a Accounts,
}

impl Words<'_> {
    fn user(&self, uid: Id) -> Option<String> {
        self.accounts.user_with(uid).map(|user| Quoted(&user.name).to_string())
    }

    /// As lxc-usernet has it, or the key itself.
    fn owner(&self, key: &str) -> String {
        let word = self.word(key);
        Quoted(if word.is_empty() { key.as_bytes() } else { &word }).to_string()
    }

    /// As lxc-usernet has it; nothing if nobody is called so.
    pub(crate) fn word(&self, key: &str) -> Vec<u8> {
        let id = |number: &str| decimal(number.as_bytes()).ok().and_then(Id::new);
        let user = key.strip_prefix('u').and_then(id).and_then(|uid| self.accounts.user_with(uid));
        let group = key.strip_prefix('g').and_then(id);
        let group = group.and_then(|gid| self.accounts.groups().iter().find(|group| group.gid == gid));
        let group = group.map(|group| [b"@", group.name.as_slice()].concat());
        user.map(|user| user.name).or(group).unwrap_or_default()
    }
}

/// What allots interfaces now.
struct Policy<'a> {
    accounts: &'a Accounts,
    text: Vec<u8>,
    settings: Settings,
}

impl<'a> Policy<'a> {
    fn read(root: &Root, accounts: &'a Accounts) -> Self {
        let bytes = |path| root.read(path).ok().flatten().map(|text| text.bytes).unwrap_or_default();
        let settings = Settings::parse(&bytes("/etc/nsgate.ini")).unwrap_or_default();
        Self { accounts, text: bytes("/etc/lxc/lxc-usernet"), settings }
    }

    fn row(&self, quota: &Quota, words: &Words<'_>) -> QuotaRow {
        let used = quota.records.iter().filter(|(record, there)| *there || record.is_unfinished());
        let on = quota.attachment.word();
        QuotaRow {
            owner: words.owner(&quota.owner),
            bridge: Quoted(on.as_bytes()).to_string(),
            used: used.count(),
            limit: self.limit(&quota.owner, on),
        }
    }

    /// The largest of all lines for it, as the helper has it.
    fn limit(&self, key: &str, on: &str) -> Option<u32> {
        let id = |number: &str| decimal(number.as_bytes()).ok().and_then(Id::new);
        if key == ALL {
            return limit(self.settings.bridge(on).max_nics).map(|set| set.value);
        }
        if let Some(gid) = key.strip_prefix('g').and_then(id) {
            let is_it = |name: &[u8]| self.accounts.group_named(name).is_some_and(|group| group.gid == gid);
            let entries = lines(&self.text).filter_map(usernet::entry);
            let of_group = |entry: &usernet::Entry<'_>| {
                // Of whichever member's own it is.
                let pattern = std::str::from_utf8(entry.bridge).unwrap_or_default();
                let names_it = pattern == on
                    || pattern.split_once("%u").is_some_and(|(before, after)| {
                        let uid = on.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                        uid.is_some_and(|uid| id(uid).is_some())
                    });
                names_it && entry.owner.strip_prefix(b"@").is_some_and(is_it)
            };
            return entries.filter(of_group).map(|entry| entry.count).max();
        }
        let uid = key.strip_prefix('u').and_then(id)?;
        let names = self.accounts.names_of(uid);
        let mut search = usernet::Search::new(uid, &names, on);
        search.look_at(1, &self.text);
        search.finish().quotas(uid, |_| None).first().map(|quota| quota.limit)
    }
}

const HEAD: [&str; 6] = ["interface", "user", "for", "bridge", "state", "processes"];

fn write(document: &Document, out: &mut Output) {
    let width = out.width();
    let (nics, quotas) = (&document.nics, &document.quotas);
    if nics.is_empty() {
        out.line("no interface of lxc-user-nic is there");
    } else {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let pids = |row: &Row| row.pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let cells: Vec<[String; 6]> = nics
            .iter()
            .map(|row| {
                let user = row.user.clone().or(row.uid.map(|uid| uid.to_string()));
                [
                    row.name.clone(),
                    text(&user),
                    text(&row.owner),
                    text(&row.bridge),
                    row.state.to_owned(),
                    pids(row),
                ]
            })
            .collect();
        let longest = |column: usize| {
            let of = |row: &[String; 6]| row.get(column).map_or(0, String::len);
            cells.iter().map(of).chain(HEAD.get(column).map(|head| head.len())).max().unwrap_or(0)
        };
        let wide: Vec<usize> = (0..HEAD.len()).map(longest).collect();
        let line = |words: &[&str]| {
            let padded = words.iter().zip(&wide).map(|(word, wide)| format!("{word:<wide$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let total = wide.iter().sum::<usize>().saturating_add(HEAD.len().saturating_sub(1).saturating_mul(2));
        if total <= width {
            let head = line(&HEAD);
            out.line(out.paint(Style::Faint, &head));
        }
        for (row, cells) in nics.iter().zip(&cells) {
            let words: Vec<&str> = cells.iter().map(String::as_str).collect();
            if total <= width {
                out.line(line(&words));
            } else {
                for (head, word) in HEAD.iter().zip(&words) {
                    wrapped(&format!("{head}: {word}"), width).into_iter().for_each(|line| out.line(line));
                }
            }
            let guards = if row.bridge.is_none() {
                "no bridge, so no guards".to_owned()
            } else if row.guards.is_empty() {
                "no guards".to_owned()
            } else {
                format!("guards: {}", row.guards.join(", "))
            };
            for line in wrapped(&format!("    {guards}"), width) {
                out.line(out.paint(Style::Faint, &line));
            }
        }
    }
    if !quotas.is_empty() {
        out.line("");
    }
    for quota in quotas {
        let full =
            quota.limit.is_some_and(|limit| usize::try_from(limit).is_ok_and(|limit| quota.used >= limit));
        for line in wrapped(&said_of(quota), width) {
            out.line(if full { out.paint(Style::Warning, &format!("{line}, full")) } else { line });
        }
    }
    if !document.complete {
        out.line("");
        let text =
            "the ledger is root's: what is being made or has been left, and quotas, only root is shown";
        wrapped(text, width).into_iter().for_each(|line| out.line(line));
    }
}

/// How much of a quota is used.
fn said_of(QuotaRow { owner, bridge, used, limit }: &QuotaRow) -> String {
    match limit {
        Some(limit) if owner == ALL => format!("all users on {bridge}: {used} of {limit}"),
        None if owner == ALL => format!("all users on {bridge}: {used}, and there is no limit now"),
        Some(limit) => format!("{owner} on {bridge}: {used} of {limit}"),
        None => format!("{owner} on {bridge}: {used}, and no line allows any now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_without_a_line_is_not_one_without_a_limit() {
        let said = |owner: &str, limit| {
            said_of(&QuotaRow { owner: owner.to_owned(), bridge: "br0".to_owned(), used: 2, limit })
        };
        assert_eq!(said("alice", Some(5)), "alice on br0: 2 of 5");
        assert_eq!(said("alice", None), "alice on br0: 2, and no line allows any now");
        assert_eq!(said(ALL, Some(5)), "all users on br0: 2 of 5");
        assert_eq!(said(ALL, None), "all users on br0: 2, and there is no limit now");
    }

    #[test]
    fn an_alias_says_whose_an_interface_is() {
        let parts = |alias| marked(alias).map(|(uid, owner)| (uid.raw(), owner));
        assert_eq!(parts("nsgate:uid=1000,owner=g7"), Some((1000, "g7")));
        assert_eq!(
            (parts(""), parts("nsgate:bridge,uid=7"), parts("nsgate:uid=x,owner=u1")),
            (None, None, None)
        );
    }
}
