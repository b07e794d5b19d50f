//! What can be seen by files alone, also in an image.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use common::policy::id::Id;
use common::policy::nsswitch::Nsswitch;
use common::policy::settings::Settings;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use super::probe::{Finding, State};
use super::{install, quoted};
use crate::accounts::Accounts;
use crate::check::command::word;
use crate::cli::PolicyFile;
use crate::root::Root;
use crate::show::holders::{Holder, Holders, Identity, Names};

/// Of nobody but root, and readable as what they should be.
pub(super) fn policy(root: &Root) -> Vec<Finding> {
    let mut found = Vec::new();
    let files = PolicyFile::ALL.map(PolicyFile::path);
    for path in ["/", "/etc", "/etc/lxc"].into_iter().chain(files) {
        let place = match root.open_at(path, OFlag::O_PATH) {
            Ok(place) => place,
            Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) => continue,
            Err(errno) => {
                found.push(Finding::unknown(format!("{path} cannot be looked at"), errno.desc()));
                continue;
            }
        };
        if let Ok(status) = fstat(&place) {
            found.extend(distrusted(path, &root.for_shell(path), &status));
        }
    }
    match root.read("/etc/nsgate.ini") {
        Ok(Some(text)) => {
            if let Err(malformed) = Settings::parse(&text.bytes) {
                let what = format!("/etc/nsgate.ini:{}: {}", malformed.line, malformed.why);
                let cause = "every helper refuses everything until it is mended";
                let command = format!("{} edit nsgate.ini", root.nsgate());
                found.push(Finding::bad(State::Problem, what, cause, command));
            }
        }
        Ok(None) => {}
        Err(failure) => {
            found.push(Finding::unknown("/etc/nsgate.ini was not looked into", failure.to_string()));
        }
    }
    if found.is_empty() {
        found.push(Finding::ok("the policy files, and the way to them, are root's alone"));
    }
    found
}

fn distrusted(path: &str, word: &str, status: &FileStat) -> Option<Finding> {
    let kind = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT;
    let cause = "the helpers do not believe a word of it, and refuse";
    let bad = |what: String, command: String| Some(Finding::bad(State::Problem, what, cause, command));
    if kind != SFlag::S_IFREG && kind != SFlag::S_IFDIR {
        return bad(format!("{path} is not a regular file"), format!("ls -l {word}"));
    }
    if status.st_uid != 0 {
        return bad(format!("{path} belongs to uid {}", status.st_uid), format!("chown root {word}"));
    }
    if status.st_mode & (Mode::S_IWGRP | Mode::S_IWOTH).bits() != 0 {
        return bad(format!("{path} can be written by others than root"), format!("chmod go-w {word}"));
    }
    None
}

/// Are the plugins there that `subid:` names?
pub(super) fn subid_source(root: &Root) -> Vec<Finding> {
    let text = match root.read("/etc/nsswitch.conf") {
        Ok(text) => text.map(|text| text.bytes).unwrap_or_default(),
        Err(failure) => {
            return vec![Finding::unknown("where ids come from is not known", failure.to_string())];
        }
    };
    let files_alone =
        || format!("sed -i 's/^subid:.*/subid: files/I' {}", root.for_shell("/etc/nsswitch.conf"));
    let nsswitch = Nsswitch::parse(&text);
    let sources = match nsswitch.subid_sources() {
        Ok(sources) => sources,
        Err(word) => {
            let what = format!("/etc/nsswitch.conf: \"{}\" on the subid: line is no source", quoted(word));
            return vec![Finding::bad(State::Problem, what, "so the line names nobody", files_alone())];
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
                ("sss", Some(command)) => Finding::bad(State::Problem, what, cause, command),
                ("sss", None) => {
                    let cause = format!("{cause}; a package of SSSD's has it");
                    Finding { state: State::Problem, ..Finding::unknown(what, cause) }
                }
                _ => Finding::bad(State::Problem, what, cause, files_alone()),
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

/// Has everybody an account who holds ids, and holds ids who has an account?
pub(super) fn users(root: &Root) -> Vec<Finding> {
    let cannot = |failure: crate::failure::Failure| {
        vec![Finding::unknown("who there is on this machine is not known", failure.to_string())]
    };
    let accounts = match Accounts::read(root) {
        Ok(accounts) => accounts,
        Err(failure) => return cannot(failure),
    };
    let names = Names::of(&accounts);
    let mut found = Vec::new();
    let (mut of_files, mut own) = (Vec::new(), nix::unistd::getuid().as_raw());
    if !root.is_live() {
        own = 0;
    }
    for path in ["/etc/subuid", "/etc/subgid"] {
        match root.read(path) {
            Ok(text) => {
                let text = text.map(|text| text.bytes).unwrap_or_default();
                of_files.push((path, Holders::of(&text, &names)));
            }
            Err(failure) => {
                found.push(Finding::unknown(format!("who is in {path} is not known"), failure.to_string()))
            }
        }
    }
    for (path, holders) in &of_files {
        let unknown: Vec<&[u8]> =
            holders.all.iter().filter(|holder| !holder.known).map(|holder| &*holder.name).collect();
        if !unknown.is_empty() {
            let what = format!("{path}: {} has no account here", some(&unknown));
            let cause = "if they are nobody's, whoever gets such an account gets these ids; if other sources of accounts know them, all is well";
            let command = format!("{} check", root.nsgate());
            found.push(Finding::bad(State::Warning, what, cause, command));
        }
    }
    if own != 0 && Id::new(own).and_then(|uid| accounts.user_with(uid)).is_none() {
        let what = format!("your uid {own} has no account");
        let cause = "the helpers need a login name to look for";
        found.push(Finding::bad(State::Problem, what, cause, format!("getent passwd {own}")));
    }
    let uids = |(_, holders): &(&str, Holders)| -> BTreeSet<u32> {
        let uid = |holder: &Holder| match holder.identity {
            Identity::Uid(uid) => Some(uid.raw()),
            Identity::Unknown(_) => None,
        };
        holders.all.iter().filter_map(uid).collect()
    };
    let uids: Vec<BTreeSet<u32>> = of_files.iter().map(uids).collect();
    let holds = |uid: Id| uids.iter().all(|uids| uids.contains(&uid.raw()));
    let people = accounts
        .users()
        .iter()
        .filter(|user| if own != 0 { user.uid.raw() == own } else { PEOPLE.contains(&user.uid.raw()) });
    let mut without: Vec<&[u8]> = people.filter(|user| !holds(user.uid)).map(|user| &*user.name).collect();
    without.dedup();
    if let Some(first) = without.first().filter(|_| !of_files.is_empty()) {
        let (state, verb) = if own == 0 { (State::Warning, "hold") } else { (State::Problem, "holds") };
        let what = format!("{} {verb} no ids in /etc/subuid and /etc/subgid both", some(&without));
        let cause = "containers of such a user have one id; most do not start so";
        let command = format!("{} grant ids {}", root.nsgate(), word(first));
        found.push(Finding::bad(state, what, cause, command));
    }
    if found.is_empty() {
        let number = of_files.first().map_or(0, |(_, holders)| holders.all.len());
        found.push(Finding::ok(match number {
            1 => "1 user holds ids, and has an account".to_owned(),
            number => format!("{number} users hold ids, and have accounts"),
        }));
    }
    found
}

fn some(names: &[&[u8]]) -> String {
    let more = names.len().saturating_sub(SOME);
    let some = names.iter().take(SOME).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{some} and {more} more") } else { some }
}

/// The host's own rules; none if there are none that can be read.
pub(super) fn settings(root: &Root) -> Settings {
    let text = root.read("/etc/nsgate.ini").ok().flatten().map(|text| text.bytes).unwrap_or_default();
    Settings::parse(&text).unwrap_or_default()
}

/// A name as part of a shell command: left as it is if it needs no quotes, and else not given.
pub(super) fn is_plain(name: &OsStr) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.@".contains(byte);
    name.as_encoded_bytes().iter().all(plain)
}
