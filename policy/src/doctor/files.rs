//! What can be seen by files alone, also in an image.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use common::policy::id::{Id, Range};
use common::policy::nsswitch::Nsswitch;
use common::policy::settings::Settings;
use nix::fcntl::OFlag;

use super::probe::{Finding, State};
use super::{install, quoted};
use crate::accounts::{Accounts, User};
use crate::check::rule::{NOT_A_FILE, SETTINGS, TOO_LARGE, UNREAD, WRITABLE};
use crate::check::{self, Findings, Rule, gather};
use crate::failure::Failure;
use crate::root::Root;
use crate::show::holders::{Holder, Holders, Identity, Names};
use crate::show::one::commands_for_the_same;

/// The rules of `nsgate check` by which a helper takes a file or refuses it, and what follows where one is broken.
const OF_FILES: [(&Rule, State, &str); 5] = [
    (WRITABLE, State::Problem, "the helpers do not believe a word of it, and refuse"),
    (NOT_A_FILE, State::Problem, "the helpers read regular files alone"),
    (TOO_LARGE, State::Problem, "the helpers do not read it, and refuse"),
    (SETTINGS, State::Problem, "every helper refuses everything until it is mended"),
    (UNREAD, State::Unknown, "root can say more, if anybody can"),
];

/// Of nobody but root, and readable as what they should be: by the judgement of `nsgate check`.
pub(super) fn policy(root: &Root) -> Vec<Finding> {
    let machine = match gather::policy_files(root, true) {
        Ok(machine) => machine,
        Err(failure) => {
            return vec![Finding::unknown("the policy files were not looked at", failure.to_string())];
        }
    };
    let mut findings = Findings::new(SOME);
    check::look(&machine, &mut findings);
    let (mut found, mut said) = (Vec::new(), BTreeSet::new());
    for check::Finding { rule, place, message, fix } in findings.into_vec() {
        let Some((_, state, cause)) = OF_FILES.iter().find(|(known, ..)| *known == rule) else { continue };
        // One directory is on the way to several files.
        if rule == WRITABLE && !said.insert(fix.clone()) {
            continue;
        }
        let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
        let what = format!("{}{line}: {message}", place.file);
        found.push(Finding { state: *state, command: fix, ..Finding::unknown(what, *cause) });
    }
    if found.is_empty() {
        found.push(Finding::ok("the policy files, and the way to them, are root's alone"));
    }
    found
}

/// Are the plugins there that `subid:` names?
pub(super) fn subid_source(root: &Root) -> Vec<Finding> {
    let text = match root.read("/etc/nsswitch.conf") {
        Ok(text) => text.map(|text| text.bytes).unwrap_or_default(),
        Err(failure) => {
            return vec![Finding::unknown("where ids come from is not known", failure.to_string())];
        }
    };
    // Whoever owns an image may have put a link there before root has run the command.
    let with_files_alone = |finding: Finding| Finding {
        state: State::Problem,
        command: root
            .is_live()
            .then(|| "sed -i --follow-symlinks 's/^subid:.*/subid: files/I' /etc/nsswitch.conf".to_owned()),
        ..finding
    };
    let nsswitch = Nsswitch::parse(&text);
    let sources = match nsswitch.subid_sources() {
        Ok(sources) => sources,
        Err(word) => {
            let what = format!("/etc/nsswitch.conf: \"{}\" on the subid: line is no source", quoted(word));
            return vec![with_files_alone(Finding::unknown(
                what,
                "so the line names nobody, as \"subid: files\" would",
            ))];
        }
    };
    let native = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let places = [native.as_str(), "/usr/lib64", "/usr/lib"];
    let mut found = Vec::new();
    for source in &sources.plugins {
        let is_there =
            |place: &&str| root.open_at(&format!("{place}/libsubid_{source}.so"), OFlag::O_PATH).is_ok();
        if !places.iter().any(is_there) {
            let what =
                format!("/etc/nsswitch.conf: subid: names {source}, but there is no libsubid_{source}.so");
            let cause = format!("looked for in {}; nobody gets ids from it", places.join(", "));
            found.push(match (source.as_str(), install("sssd-common")) {
                ("sss", Some(command)) if root.is_live() => {
                    Finding::bad(State::Problem, what, cause, command)
                }
                ("sss", _) => {
                    let cause = format!("{cause}; a package of SSSD's has it");
                    Finding { state: State::Problem, ..Finding::unknown(what, cause) }
                }
                _ => with_files_alone(Finding::unknown(what, cause)),
            });
        }
    }
    if found.is_empty() {
        let names: Vec<String> = sources.plugins.iter().map(ToString::to_string).collect();
        let files = sources.files.then(|| "files".to_owned());
        let names: Vec<String> = files.into_iter().chain(names).collect();
        found.push(Finding::ok(format!("subordinate ids come from: {}", names.join(", "))));
    }
    found
}

/// Login uids of people, as Debian and Fedora have it.
const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=60000;
/// So many names are told.
const SOME: usize = 6;

/// Do `/etc/subuid` and `/etc/subgid` count? Not where the host names other sources in their place. None: nobody can say.
pub(super) fn files_count(root: &Root) -> Option<bool> {
    let text = root.read("/etc/nsswitch.conf").ok()?.map(|text| text.bytes).unwrap_or_default();
    Nsswitch::parse(&text).subid_sources().ok().map(|sources| sources.files)
}

pub(super) const NOBODY_CAN_SAY: &str =
    "the subid: line of /etc/nsswitch.conf cannot be read, or nobody understands it";

/// Has everybody an account who holds ids, and holds ids who has an account?
pub(super) fn users(root: &Root) -> Vec<Finding> {
    let accounts = match Accounts::read(root) {
        Ok(accounts) => accounts,
        Err(failure) => {
            return vec![Finding::unknown("who there is on this machine is not known", failure.to_string())];
        }
    };
    let own = if root.is_live() { nix::unistd::getuid().as_raw() } else { 0 };
    let mut found = Vec::new();
    if own != 0 && Id::new(own).and_then(|uid| accounts.user_with(uid)).is_none() {
        let what = format!("your uid {own} has no account");
        let cause = "the helpers need a login name to look for";
        found.push(Finding::bad(State::Problem, what, cause, format!("getent passwd {own}")));
    }
    match files_count(root) {
        Some(true) => found.extend(holders(root, &accounts, own)),
        Some(false) if found.is_empty() => found.push(Finding::ok(
            "who holds ids is not for /etc/subuid and /etc/subgid to say: subid: in /etc/nsswitch.conf does not name files",
        )),
        Some(false) => {}
        None => found.push(Finding::unknown("who holds ids is not known", NOBODY_CAN_SAY)),
    }
    found
}

/// The same, by the files. Of him alone who asks, if that is not root.
fn holders(root: &Root, accounts: &Accounts, own: u32) -> Vec<Finding> {
    let names = Names::of(accounts);
    let (mut found, mut of_files) = (Vec::new(), Vec::new());
    for path in ["/etc/subuid", "/etc/subgid"] {
        match root.read(path) {
            Ok(text) => {
                let text = text.map(|text| text.bytes).unwrap_or_default();
                of_files.push((path, Holders::of(&text, &names)));
            }
            Err(failure) => {
                found.push(Finding::unknown(format!("who is in {path} is not known"), failure.to_string()));
            }
        }
    }
    for (path, holders) in &of_files {
        let unknown: Vec<&[u8]> =
            holders.all.iter().filter(|holder| !holder.known).map(|holder| &*holder.name).collect();
        if !unknown.is_empty() {
            let has = if unknown.len() == 1 { "has" } else { "have" };
            let what = format!("{path}: {} {has} no account here", some(&unknown));
            let cause = "if they are nobody's, whoever gets such an account gets these ids; if other sources of accounts know them, all is well";
            let command = format!("{} check", root.nsgate());
            found.push(Finding::bad(State::Warning, what, cause, command));
        }
    }
    let held: Vec<BTreeMap<Id, &[Range]>> = of_files.iter().map(|(_, holders)| by_uid(holders)).collect();
    let is_asked_about = |user: &&User| {
        let uid = user.uid.raw();
        if own == 0 { PEOPLE.contains(&uid) } else { uid == own }
    };
    let holds_in_all = |user: &User| held.iter().all(|held| held.contains_key(&user.uid));
    let people = accounts.users().iter().filter(is_asked_about);
    let mut without: Vec<&User> = people.filter(|user| !holds_in_all(user)).collect();
    without.dedup_by_key(|user| &user.name);
    if let Some(first) = without.first().filter(|_| !held.is_empty()) {
        let state = if own == 0 { State::Warning } else { State::Problem };
        let names: Vec<&[u8]> = without.iter().map(|user| &*user.name).collect();
        let mut cause = "containers of such a user have one id; most do not start so".to_owned();
        let mut holds = "holds";
        if names.len() > 1 {
            holds = "hold";
            cause.push_str("; the command is for the first of them");
        }
        let what = format!("{} {holds} no ids in /etc/subuid and /etc/subgid both", some(&names));
        let has = held.iter().find_map(|held| held.get(&first.uid)).copied().unwrap_or_default();
        let commands = commands_for_the_same(root, (first, &accounts.word_for(first)), has);
        found.push(Finding::bad(state, what, cause, commands.join(" && ")));
    }
    if found.is_empty() {
        let number = of_files.first().map_or(0, |(_, holders)| holders.all.len());
        found.push(Finding::ok(match number {
            0 => "nobody holds ids".to_owned(),
            1 => "1 user holds ids, and has an account".to_owned(),
            number => format!("{number} users hold ids, and have accounts"),
        }));
    }
    found
}

fn by_uid(holders: &Holders) -> BTreeMap<Id, &[Range]> {
    let ids = |holder: &'_ Holder| match holder.identity {
        Identity::Uid(uid) => Some(uid),
        Identity::Unknown(_) => None,
    };
    holders.all.iter().filter_map(|holder| Some((ids(holder)?, &*holder.ids))).collect()
}

fn some(names: &[&[u8]]) -> String {
    let more = names.len().saturating_sub(SOME);
    let some = names.iter().take(SOME).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{some} and {more} more") } else { some }
}

/// The host's own rules; none if the file makes no sense, which the helpers refuse.
pub(super) fn settings(root: &Root) -> Result<Settings, Failure> {
    let text = root.read("/etc/nsgate.ini")?.map(|text| text.bytes).unwrap_or_default();
    Ok(Settings::parse(&text).unwrap_or_default())
}

/// A name as part of a shell command: left as it is if it needs no quotes, and else not given.
pub(super) fn is_plain(name: &OsStr) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.@".contains(byte);
    name.as_encoded_bytes().iter().all(plain)
}
