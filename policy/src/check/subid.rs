//! The rules about `/etc/subuid` and `/etc/subgid`.
//!
//! Whatever is in them, it takes a sort and a sweep: a line is compared with what reaches furthest among the lines before it, and
//! not with every other line.

use std::collections::HashMap;

use common::policy::id::{Id, Range, merged};
use common::policy::settings::{Set, Settings};
use common::policy::subid::entry;
use common::policy::text::{Quoted, lines};

use crate::accounts::User;
use crate::cli::PolicyFile;

use super::command::{edit, filter_or_edit, grant, grant_these, move_away, revoke};
use super::findings::Findings;
use super::junk;
use super::known::{Known, uid_of_digits};
use super::machine::{Content, Machine, Policy};
use super::reserved::{self, RESERVED, Reserved, When};
use super::rule::{
    ACCOUNT_OVERLAP, AMBIGUOUS_OWNER, CONTAINER_POOL, CONTAINER_POOL_IN_USE, FEW_IDS, FUTURE_ACCOUNTS,
    INCUS_IDS, IPA_IDS, MISSING_FILE, OUT_OF_STEP, OVERLAP, OWN_ID, OWN_OVERLAP, PROTECTED_GRANT,
    RESERVED_IDS, ROOT_ID, Rule, UNKNOWN_OWNER,
};
use super::sources;

/// A line that grants something.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Whose, by number: of those that are somebody's, one number each.
    who: u32,
    range: Range,
    line: u32,
    /// The word in front, by number.
    word: u32,
}

/// The owners of both files, each with a number. Several words may mean one owner.
#[derive(Default)]
struct Owners<'a> {
    words: Vec<Word<'a>>,
    by_word: HashMap<&'a [u8], u32>,
    by_uid: HashMap<Id, u32>,
}

/// What stands before the first colon, and whom it means.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a [u8],
    who: u32,
    uid: Option<Id>,
    user: Option<&'a User>,
    is: Is,
}

/// What an owner is. `grant` wants an account; and nobody's line goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    /// An account, or accounts are not known.
    Somebody,
    Nobody,
    /// No account that is known, but there may be more.
    Unclear,
}

/// How many ids a container wants.
const ENOUGH: u64 = 65536;

/// What all lines are held against.
struct Against<'a> {
    machine: &'a Machine,
    known: &'a Known<'a>,
    protect: Option<Set<Vec<Range>>>,
    new_accounts: [Option<Range>; 2],
    ipa: bool,
    incus: bool,
}

/// Looks at both files.
pub(super) fn look(machine: &Machine, known: &Known<'_>, settings: &Settings, findings: &mut Findings) {
    let protect = settings.idmap.protect.clone();
    let protect = protect.map(|protect| Set { value: merged(protect.value), ..protect });
    let new_accounts = ["UID", "GID"].map(|kind| sources::new_accounts(machine.login_defs.as_deref()?, kind));
    let ipa = sources::asks(machine, "sss");
    let incus = machine.incus && !root_has_a_line(machine);
    let against = Against { machine, known, protect, new_accounts, ipa, incus };
    let mut owners = Owners::default();
    let mut both = [PolicyFile::Subuid, PolicyFile::Subgid].map(|file| {
        let policy = machine.policy(file)?;
        Some((policy, against.lines_of(policy, &mut owners, findings)?))
    });
    for (policy, entries) in both.iter_mut().flatten() {
        among_owners(machine, policy, &owners, entries, findings);
        of_each_owner(machine, policy, &owners, entries, findings);
    }
    if let [Some((subuid, of_subuid)), Some((subgid, of_subgid))] = &both {
        against.in_step(&owners, [(*subuid, of_subuid), (*subgid, of_subgid)], findings);
    }
}

/// Then it is that one by which incus and LXD go.
fn root_has_a_line(machine: &Machine) -> bool {
    [PolicyFile::Subuid, PolicyFile::Subgid].into_iter().any(|file| {
        let owners = lines(machine.bytes(file).unwrap_or_default()).filter_map(entry);
        owners.map(|(owner, _)| owner).any(|owner| [&b"root"[..], b"0"].contains(&owner))
    })
}

impl<'a> Against<'a> {
    /// Looks at each line by itself. Those that grant something; None: that is not known.
    fn lines_of(
        &self,
        policy: &'a Policy,
        owners: &mut Owners<'a>,
        findings: &mut Findings,
    ) -> Option<Vec<Entry>> {
        let bytes = policy.found.bytes()?;
        if matches!(policy.found.content, Content::Absent) {
            findings.add(MISSING_FILE, policy, None, || {
                let install = if policy.draft || self.machine.root.is_some() {
                    None
                } else {
                    Some(format!("install -m 644 /dev/null {}", policy.file.path()))
                };
                ("there is no such file, so no line in it grants anybody ids".to_owned(), install)
            });
        }
        let (mut entries, mut in_pool) = (Vec::new(), Vec::new());
        for (line, number) in lines(bytes).zip(1_u32..) {
            if junk::says_nothing(line) {
                continue;
            }
            let granted = entry(line);
            let fault = match granted {
                Some(_) => junk::odd_bytes(line, number),
                None => Some(junk::in_subid(line, number)),
            };
            if let Some(fault) = fault {
                let fix = filter_or_edit(self.machine, policy, number, fault.script);
                findings.add(fault.rule, policy, Some(number), || (fault.message, Some(fix)));
            }
            let Some((text, range)) = granted else { continue };
            let word = owners.number_of(text, self.known);
            let Some(owner) = owners.word(word) else { continue };
            self.owner(policy, owner, (range, number), findings);
            self.range(policy, owner, (range, number), findings);
            entries.push(Entry { who: owner.who, range, line: number, word });
            if RESERVED.iter().any(|known| known.when == When::Nspawn && meets(known.range(), range)) {
                in_pool.push((text, range, number));
            }
        }
        self.pool(policy, &in_pool, findings);
        Some(entries)
    }

    fn owner(&self, policy: &Policy, owner: Word<'_>, (range, line): (Range, u32), findings: &mut Findings) {
        let Some(people) = self.known.people else { return };
        let fix = || Some(edit(self.machine, policy, line));
        let Word { text, uid, user, .. } = owner;
        let shown = Quoted(text);
        let namesake = uid_of_digits(text).and_then(|_| self.known.user(text));
        match (user, namesake) {
            (_, Some(namesake)) if Some(namesake.uid) != uid => {
                findings.add(AMBIGUOUS_OWNER, policy, Some(line), || {
                    let real = namesake.uid;
                    (format!("\"{shown}\" is uid {shown} here, and also the name of a user with uid {real}"), fix())
                });
            }
            (None, _) => findings.add(UNKNOWN_OWNER, policy, Some(line), || {
                let unknown = match (uid, text) {
                    (Some(uid), _) => format!("no user of this machine has uid {uid}"),
                    (None, [b'@' | b'%', ..]) => format!("\"{shown}\" is no user: both files are for users, not for groups"),
                    (None, _) if !people.all_asked => {
                        format!("\"{shown}\" is not in /etc/passwd; name services were not asked about so many owners")
                    }
                    (None, _) if text.iter().any(u8::is_ascii_whitespace) => {
                        format!("no user of this machine is called \"{shown}\": blanks count")
                    }
                    (None, _) => format!("no user of this machine is called \"{shown}\""),
                };
                let meant = self.known.nearly(text).filter(|_| uid.is_none());
                let meant = meant.map_or(String::new(), |name| format!("; there is a \"{}\"", Quoted(name)));
                let edit = || edit(self.machine, policy, line);
                (unknown + &meant, Some(mend(self.machine, policy, owner, (range, line), edit)))
            }),
            (Some(_), _) => {}
        }
    }

    fn range(&self, policy: &Policy, owner: Word<'_>, (range, line): (Range, u32), findings: &mut Findings) {
        let gids = policy.file == PolicyFile::Subgid;
        let (kind, shown) = (if gids { "gid" } else { "uid" }, Quoted(owner.text));
        let fix = || Some(other_ids(self.machine, policy, owner, (range, line)));
        let is_root = owner.uid.is_some_and(|uid| uid.raw() == 0);
        let holds = format!("\"{shown}\" holds {range}");
        if range.first().raw() == 0 {
            findings.add(ROOT_ID, policy, Some(line), || {
                (format!("{holds}, and {kind} 0 is root: he can be root on this host"), fix())
            });
        }
        let own = if gids { owner.user.and_then(|user| Id::new(user.gid)) } else { owner.uid };
        let own = own.filter(|own| range.contains(*own));
        if let Some(own) = own.filter(|own| own.raw() != 0) {
            findings.add(OWN_ID, policy, Some(line), || {
                (format!("{holds}, and his own {kind} {own} is in it"), fix())
            });
        }
        // What LXD and incus have root say of one user by design.
        let by_design = is_root && range.count() == 1;
        let mut others = self.known.within(gids, range).iter().filter(|(id, _)| Some(*id) != own);
        let other = others.next().filter(|_| !by_design);
        if let Some((id, name)) = other {
            findings.add(ACCOUNT_OVERLAP, policy, Some(line), || {
                let (what, name) = (if gids { "group" } else { "account" }, Quoted(name));
                let more = match others.count() {
                    0 => "is".to_owned(),
                    1 => "and 1 more are".to_owned(),
                    more => format!("and {more} more are"),
                };
                (format!("{holds}, and the {what} \"{name}\" ({kind} {id}) {more} in it"), fix())
            });
        }
        let [for_users, for_groups] = self.new_accounts;
        let new = if gids { for_groups } else { for_users };
        if let Some(new) = new.filter(|new| meets(Some(*new), range) && other.is_none() && !by_design) {
            findings.add(FUTURE_ACCOUNTS, policy, Some(line), || {
                let message =
                    format!("{holds}, and new accounts get their {kind}s there ({new} by /etc/login.defs)");
                (message, fix())
            });
        }
        self.reserved(policy, &holds, (owner, range, line), findings);
        let Some(protect) = &self.protect else { return };
        let above = protect.value.partition_point(|protected| protected.last() < range.first());
        let common = protect.value.get(above).and_then(|protected| protected.intersection(range));
        let Some(common) = common else { return };
        findings.add(PROTECTED_GRANT, policy, Some(line), || {
            let at = protect.line;
            let message = format!(
                "{holds}, of which /etc/nsgate.ini:{at} protects {common}: a map that has it is refused"
            );
            let take_out = || revoke(self.machine, policy, owner.text, (common, line));
            (message, Some(mend(self.machine, policy, owner, (range, line), take_out)))
        });
    }

    /// Ids that are somebody's by convention: one word for each rule.
    fn reserved(
        &self,
        policy: &Policy,
        holds: &str,
        (owner, range, line): (Word<'_>, Range, u32),
        findings: &mut Findings,
    ) {
        let touched = |rule: &'static Rule| {
            let is_of = move |reserved: &&Reserved| match reserved.when {
                When::Always => rule == RESERVED_IDS && reserved.first > 0,
                When::FreeIpa => rule == IPA_IDS && self.ipa,
                When::Nspawn => rule == CONTAINER_POOL_IN_USE && self.machine.nspawn,
                When::Incus => rule == INCUS_IDS && self.incus,
            };
            reserved::touched(range).filter(is_of)
        };
        for rule in [RESERVED_IDS, IPA_IDS, CONTAINER_POOL_IN_USE, INCUS_IDS] {
            let Some(first) = touched(rule).next() else { continue };
            findings.add(rule, policy, Some(line), || {
                let ids = first.range().map(|ids| ids.to_string()).unwrap_or_default();
                let more: Vec<String> = touched(rule)
                    .skip(1)
                    .map(|more| {
                        format!(
                            "{} for {}",
                            more.range().map(|ids| ids.to_string()).unwrap_or_default(),
                            more.whose
                        )
                    })
                    .collect();
                let more = if more.is_empty() { String::new() } else { format!("; and {}", more.join(", ")) };
                let message = format!("{holds}, and {ids} is for {}: {}{more}", first.whose, first.why);
                (message, Some(other_ids(self.machine, policy, owner, (range, line))))
            });
        }
    }

    /// One word about the pool of systemd, where it is not in use.
    fn pool(&self, policy: &Policy, in_pool: &[(&[u8], Range, u32)], findings: &mut Findings) {
        let Some((owner, range, line)) = in_pool.first().filter(|_| !self.machine.nspawn) else { return };
        findings.add(CONTAINER_POOL, policy, Some(*line), || {
            let shown = Quoted(owner);
            let more = in_pool.len().saturating_sub(1);
            let more = match more {
                0 => String::new(),
                1 => " (and 1 more line like it does)".to_owned(),
                more => format!(" (and {more} more lines like it do)"),
            };
            let message = format!(
                "\"{shown}\" holds {range}{more}, where systemd-nspawn -U takes ids for containers; none of them is seen here"
            );
            (message, None)
        });
    }

    /// Owners who have other ids in one file than in the other. Both are sorted by owner.
    fn in_step(
        &self,
        owners: &Owners<'_>,
        [(subuid, of_subuid), (subgid, of_subgid)]: [(&Policy, &Vec<Entry>); 2],
        findings: &mut Findings,
    ) {
        let machine = self.machine;
        let contested = contested(of_subuid, of_subgid);
        let by_owner = of_subgid.chunk_by(|one, other| one.who == other.who);
        let by_owner = by_owner.filter_map(|gids| Some((gids.first()?.who, gids)));
        let mut by_owner: HashMap<u32, &[Entry]> = by_owner.collect();
        let mut compare = |uids: &[Entry], gids: &[Entry]| {
            let ids = |entries: &[Entry]| merged(entries.iter().map(|entry| entry.range).collect());
            let (by_uid, by_gid) = (ids(uids), ids(gids));
            if by_uid == by_gid {
                return;
            }
            let top = |entries: &[Entry]| entries.iter().copied().min_by_key(|entry| entry.line);
            let here = top(uids).filter(|_| subuid.wanted).map(|top| (subuid, top));
            let Some((policy, top)) = here.or(top(gids).map(|top| (subgid, top))) else { return };
            let Some(owner) = owners.word(top.word) else { return };
            findings.add(OUT_OF_STEP, policy, Some(top.line), || {
                let (only_uid, only_gid) = (without(&by_uid, &by_gid), without(&by_gid, &by_uid));
                let said = |ids: &[Range]| match ids {
                    [] => "nothing".to_owned(),
                    [one] => one.to_string(),
                    [one, two] => format!("{one} and {two}"),
                    [one, rest @ ..] => format!("{one} and {} more ranges", rest.len()),
                };
                let (shown, name, other) = (Quoted(owner.text), &subuid.name, &subgid.name);
                let message = match (only_uid.is_empty(), only_gid.is_empty()) {
                    (false, true) => {
                        format!("\"{shown}\" holds {} in {name} and not in {other}", said(&only_uid))
                    }
                    (true, false) => {
                        format!("\"{shown}\" holds {} in {other} and not in {name}", said(&only_gid))
                    }
                    _ => format!(
                        "\"{shown}\" holds {} in {name} alone, and {} in {other} alone",
                        said(&only_uid),
                        said(&only_gid)
                    ),
                };
                let missing = match (only_uid.as_slice(), only_gid.as_slice()) {
                    ([first, ..], []) | ([], [first, ..]) if self.may_be_granted(*first, &contested) => {
                        Some(*first)
                    }
                    _ => None,
                };
                let add = || match missing {
                    Some(ids) => grant_these(machine, policy, owner.text, (ids, top.line)),
                    None => edit(machine, policy, top.line),
                };
                (message, Some(mend(machine, policy, owner, (top.range, top.line), add)))
            });
        };
        for uids in of_subuid.chunk_by(|one, other| one.who == other.who) {
            let gids = uids.first().and_then(|entry| by_owner.remove(&entry.who));
            compare(uids, gids.unwrap_or_default());
        }
        for gids in by_owner.into_values() {
            compare(&[], gids);
        }
    }

    /// Would `grant` give somebody these ids, as far as can be seen here? `write::taken` has what is in the way.
    fn may_be_granted(&self, range: Range, contested: &[Range]) -> bool {
        let has = |ranges: &[Range]| {
            let above = ranges.partition_point(|other| other.last() < range.first());
            meets(ranges.get(above).copied(), range)
        };
        let is_reserved = |reserved: &Reserved| match reserved.when {
            When::Always | When::FreeIpa => true,
            When::Nspawn => self.machine.nspawn,
            When::Incus => self.machine.incus,
        };
        let is_for_accounts = self.new_accounts.iter().flatten().any(|new| range.first() <= new.last());
        let is_of_account = [false, true].iter().any(|gids| !self.known.within(*gids, range).is_empty());
        let is_protected = self.protect.as_ref().is_some_and(|protect| has(&protect.value));
        !(is_for_accounts
            || is_of_account
            || is_protected
            || has(contested)
            || reserved::touched(range).any(is_reserved))
    }
}

/// What mends a line whose ids its owner should not have: others in their place, if he is somebody.
fn other_ids(machine: &Machine, policy: &Policy, owner: Word<'_>, place: (Range, u32)) -> String {
    mend(machine, policy, owner, place, || move_away(machine, policy, owner.text, place))
}

/// What mends a line, if this does of somebody's. Where that is not clear, a person has to say.
fn mend(
    machine: &Machine,
    policy: &Policy,
    owner: Word<'_>,
    (range, line): (Range, u32),
    of_somebody: impl FnOnce() -> String,
) -> String {
    match owner.is {
        Is::Somebody => of_somebody(),
        Is::Nobody => revoke(machine, policy, owner.text, (range, line)),
        Is::Unclear => edit(machine, policy, line),
    }
}

fn meets(one: Option<Range>, other: Range) -> bool {
    one.is_some_and(|one| one.intersection(other).is_some())
}

impl<'a> Owners<'a> {
    fn number_of(&mut self, text: &'a [u8], known: &Known<'a>) -> u32 {
        let next = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        let number = *self.by_word.entry(text).or_insert(next);
        if number == next {
            let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
            let user = if digits { None } else { known.user(text) };
            let uid = user.map(|user| user.uid).or_else(|| uid_of_digits(text));
            let who = uid.map_or(next, |uid| *self.by_uid.entry(uid).or_insert(next));
            let user = user.or_else(|| known.user_with(uid?));
            let is = match known.people {
                Some(_) if user.is_none() && known.is_nobody(text) => Is::Nobody,
                Some(_) if user.is_none() => Is::Unclear,
                _ => Is::Somebody,
            };
            self.words.push(Word { text, who, uid, user, is });
        }
        number
    }

    fn word(&self, number: u32) -> Option<Word<'a>> {
        self.words.get(usize::try_from(number).ok()?).copied()
    }

    fn text(&self, number: u32) -> &'a [u8] {
        self.word(number).map_or(&[], |word| word.text)
    }
}

/// Ids that two owners have.
fn among_owners(
    machine: &Machine,
    policy: &Policy,
    owners: &Owners<'_>,
    entries: &mut [Entry],
    findings: &mut Findings,
) {
    each_meeting(entries, |entry, other| {
        let (above, below) = if other.line < entry.line { (other, entry) } else { (entry, other) };
        findings.add(OVERLAP, policy, Some(below.line), || {
            let (one, two) = (owners.text(below.word), owners.text(above.word));
            let common = below.range.intersection(above.range).unwrap_or(below.range);
            let message = format!(
                "\"{}\" holds {}, and \"{}\" (line {}) holds {} too",
                Quoted(one),
                below.range,
                Quoted(two),
                above.line,
                if common == below.range { "all of it".to_owned() } else { format!("{common} of it") },
            );
            // Nobody needs his; else whoever came later moves.
            let is_nobodys =
                |entry: &Entry| owners.word(entry.word).is_some_and(|owner| owner.is == Is::Nobody);
            let moves = if is_nobodys(&above) && !is_nobodys(&below) { above } else { below };
            let fix = owners
                .word(moves.word)
                .map(|owner| other_ids(machine, policy, owner, (moves.range, moves.line)));
            (message, fix)
        });
    });
}

/// The ids that two owners have, be it one in the one file and one in the other.
fn contested(of_subuid: &[Entry], of_subgid: &[Entry]) -> Vec<Range> {
    let mut ranges = Vec::new();
    each_meeting(&mut [of_subuid, of_subgid].concat(), |entry, other| {
        ranges.extend(entry.range.intersection(other.range));
    });
    merged(ranges)
}

/// Each entry that has ids of another owner's, with that one of the entries below it which has most of them. Sorts them by their ids.
fn each_meeting(entries: &mut [Entry], mut meet: impl FnMut(Entry, Entry)) {
    entries.sort_unstable_by_key(|entry| (entry.range, entry.line));
    // Of the lines so far: the one that reaches furthest, and the one of another owner that does.
    let (mut furthest, mut second): (Option<Entry>, Option<Entry>) = (None, None);
    for entry in entries.iter().copied() {
        let other = if furthest.is_some_and(|known| known.who != entry.who) { furthest } else { second };
        if let Some(other) = other.filter(|other| entry.range.first() <= other.range.last()) {
            meet(entry, other);
        }
        let reaches =
            |known: Option<Entry>| known.is_none_or(|known| known.range.last() < entry.range.last());
        let is_same = furthest.is_some_and(|known| known.who == entry.who);
        if reaches(furthest) {
            if !is_same {
                second = furthest;
            }
            furthest = Some(entry);
        } else if !is_same && reaches(second) {
            second = Some(entry);
        }
    }
}

/// Ids that one owner has twice, and owners who have few. Leaves the entries sorted by owner and id.
fn of_each_owner(
    machine: &Machine,
    policy: &Policy,
    owners: &Owners<'_>,
    entries: &mut [Entry],
    findings: &mut Findings,
) {
    entries.sort_unstable_by_key(|entry| (entry.who, entry.range, entry.line));
    for of_one in entries.chunk_by(|one, other| one.who == other.who) {
        let mut furthest: Option<Entry> = None;
        let mut number = 0_u64;
        let Some(mut top) = of_one.first().copied() else { continue };
        for entry in of_one.iter().copied() {
            if entry.line < top.line {
                top = entry;
            }
            let twice = furthest.filter(|known| entry.range.first() <= known.range.last());
            if let Some(other) = twice {
                let (above, below) = if other.line < entry.line { (other, entry) } else { (entry, other) };
                findings.add(OWN_OVERLAP, policy, Some(below.line), || {
                    let (shown, range, at) = (Quoted(owners.text(below.word)), below.range, above.line);
                    let common = below.range.intersection(above.range).unwrap_or(below.range);
                    let message = if below.range == above.range {
                        format!("\"{shown}\" holds {range} twice: line {at} says so, too")
                    } else if common == range {
                        format!(
                            "\"{shown}\" holds {range} twice: it is a part of {}, in line {at}",
                            above.range
                        )
                    } else {
                        format!("\"{shown}\" holds {range}, and {common} of it by line {at} too")
                    };
                    (message, Some(edit(machine, policy, below.line)))
                });
            }
            let from = furthest.map_or(0, |known| u64::from(known.range.end()));
            let (first, end) = (u64::from(entry.range.first().raw()), u64::from(entry.range.end()));
            number = number.saturating_add(end.saturating_sub(first.max(from)));
            if furthest.is_none_or(|known| known.range.last() < entry.range.last()) {
                furthest = Some(entry);
            }
        }
        if let Some(owner) = owners.word(top.word).filter(|_| number < ENOUGH) {
            findings.add(FEW_IDS, policy, Some(top.line), || {
                let ids = if number == 1 { "id" } else { "ids" };
                let message = format!(
                    "\"{}\" holds {number} {ids} in all, and a container wants {ENOUGH}",
                    Quoted(owner.text)
                );
                let more = || grant(machine, policy, owner.text, top.line);
                (message, Some(mend(machine, policy, owner, (top.range, top.line), more)))
            });
        }
    }
}

/// The ids of `all` that are not in `taken`. Both are merged.
fn without(all: &[Range], taken: &[Range]) -> Vec<Range> {
    let mut left = Vec::new();
    for range in all {
        let mut from = Some(range.first());
        let next = taken.partition_point(|taken| taken.last() < range.first());
        let next = taken.iter().skip(next).take_while(|taken| taken.first() <= range.last());
        for taken in next {
            let before = Id::new(taken.first().raw().saturating_sub(1));
            // Id 0 has none before it, and then `from` is not below it either.
            let gap = from.zip(before).filter(|(from, _)| *from < taken.first());
            left.extend(gap.and_then(|(from, before)| Range::between(from, before)));
            from = taken.last().next();
        }
        left.extend(from.and_then(|from| Range::between(from, range.last())));
    }
    left
}
