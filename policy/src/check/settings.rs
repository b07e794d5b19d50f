//! The rules about `/etc/nsgate.ini`.

use std::collections::{BTreeMap, HashMap};

use common::os::trusted::SMALL;
use common::policy::settings::{Settings, in_force, limit};
use common::policy::text::{Quoted, lines};

use crate::cli::PolicyFile;

use super::command::edit;
use super::findings::Findings;
use super::machine::{Machine, Policy};
use super::rule::{CREATE_NOTHING, FEW_MULTICAST_GROUPS, SETTINGS, UNUSED_BRIDGE};
use super::usernet::Bridges;

/// What the file says; if nobody understands it, nothing.
pub(super) fn read(machine: &Machine, findings: &mut Findings) -> Settings {
    let Some(policy) = machine.policy(PolicyFile::NsgateIni) else { return Settings::default() };
    let bytes = policy.found.bytes();
    if let Some(bytes) = bytes.filter(|bytes| bytes.len() > SMALL) {
        findings.add(SETTINGS, policy, None, || {
            let message =
                format!("has {} bytes, and {SMALL} are read at most: every request is refused", bytes.len());
            (message, Some(edit(machine, policy, 1)))
        });
        return Settings::default();
    }
    match bytes.map(Settings::parse) {
        None => Settings::default(),
        Some(Ok(settings)) => settings,
        Some(Err(malformed)) => {
            findings.add(SETTINGS, policy, Some(malformed.line), || {
                let message = format!("{}: every request is refused", malformed.why);
                (message, Some(edit(machine, policy, malformed.line)))
            });
            Settings::default()
        }
    }
}

/// So many groups a container needs itself: those of its IPv6 addresses, and a few.
const FEWEST_GROUPS: u32 = 8;

/// What it says of bridges, next to what lxc-usernet does.
pub(super) fn look(
    machine: &Machine,
    settings: &Settings,
    bridges: Option<&Bridges<'_>>,
    findings: &mut Findings,
) {
    let (Some(policy), Some(bridges)) = (machine.policy(PolicyFile::NsgateIni), bridges) else { return };
    // Also what is for all others: no bridge is called so.
    let names = settings.bridge_names().chain(["*"]);
    let groups = names.filter_map(|name| limit(settings.bridge(name).max_multicast_groups));
    let groups: BTreeMap<u32, u32> = groups.map(|set| (set.line, set.value)).collect();
    for (line, most) in groups.into_iter().filter(|(_, most)| *most < FEWEST_GROUPS) {
        findings.add(FEW_MULTICAST_GROUPS, policy, Some(line), || {
            let message = format!(
                "max-multicast-groups = {most}: a container's own IPv6 addresses need up to {FEWEST_GROUPS}"
            );
            (message, Some(edit(machine, policy, line)))
        });
    }
    let sections = sections(policy);
    for name in settings.bridge_names().filter(|name| !bridges.has(name)) {
        let line = sections.get(name).copied();
        findings.add(UNUSED_BRIDGE, policy, line, || {
            let message = format!(
                "no line of lxc-usernet names \"{}\": the section does nothing",
                Quoted(name.as_bytes())
            );
            (message, Some(edit(machine, policy, line.unwrap_or(1))))
        });
    }
    if let Some(line) = in_force(settings.per_user_bridge.create).filter(|_| !bridges.has_patterns()) {
        findings.add(CREATE_NOTHING, policy, Some(line), || {
            let message = "create = yes, and no line of lxc-usernet has %u in its bridge: none is ever made";
            (message.to_owned(), Some(edit(machine, policy, line)))
        });
    }
}

/// The first line of each bridge's section.
fn sections(policy: &Policy) -> HashMap<String, u32> {
    let mut sections = HashMap::new();
    for (line, number) in lines(policy.found.bytes().unwrap_or_default()).zip(1_u32..) {
        let begins = line.trim_ascii_start().starts_with(b"[");
        let section = Some(line).filter(|_| begins).and_then(|line| Settings::parse(line).ok());
        for name in section.iter().flat_map(Settings::bridge_names) {
            sections.entry(name.to_owned()).or_insert(number);
        }
    }
    sections
}
