//! The rules about `/etc/lxc/lxc-usernet`.

use std::collections::{HashMap, HashSet};

use common::policy::id::Id;
use common::policy::nic::Attachment;
use common::policy::text::{Quoted, lines};
use common::policy::usernet::{Entry, entry};

use crate::cli::PolicyFile;

use super::command::{edit, filter_or_edit, make_bridge, word};
use super::findings::Findings;
use super::junk;
use super::known::{Known, uid_of_digits};
use super::machine::{Interface, Machine, Policy};
use super::pattern::Pattern;
use super::rule::{
    ACCEPT_RA, BRIDGE_NAME, BRIDGE_PATTERN, LONG_BRIDGE_NAME, MISSING_BRIDGE, NOT_A_BRIDGE, REPEATED_QUOTA,
    UNKNOWN_OWNER,
};

/// The bridges that the file names.
#[derive(Debug, Default)]
pub(super) struct Bridges<'a> {
    names: HashSet<&'a [u8]>,
    /// By name, as in the file: the first line that names it.
    plain: Vec<(&'a [u8], u32)>,
    patterns: Vec<(&'a [u8], Pattern, u32)>,
}

/// So many names with `%u` are compared with each other. Nobody has as many.
const COMPARED: usize = 64;

impl Bridges<'_> {
    /// May somebody have an interface on the bridge of this name?
    #[must_use]
    pub(super) fn has(&self, name: &str) -> bool {
        let name = name.as_bytes();
        self.names.contains(name) || self.patterns.iter().any(|(_, pattern, _)| pattern.becomes(name))
    }

    /// Is there a name with `%u` in it?
    #[must_use]
    pub(super) fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }
}

/// Looks at the file. Its bridges; None: what is in it is not known.
pub(super) fn look<'a>(
    machine: &'a Machine,
    known: &Known<'_>,
    findings: &mut Findings,
) -> Option<Bridges<'a>> {
    let policy = machine.policy(PolicyFile::LxcUsernet)?;
    let mut bridges = Bridges::default();
    let mut quotas: HashMap<(Who<'_>, &[u8]), (u32, u32)> = HashMap::new();
    for (line, number) in lines(policy.found.bytes()?).zip(1_u32..) {
        if junk::says_nothing(line) {
            continue;
        }
        let fix = || Some(edit(machine, policy, number));
        let Some(Entry { owner, bridge, count }) = entry(line) else {
            let fault = junk::in_usernet(line, number);
            let fix = Some(filter_or_edit(machine, policy, number, fault.script));
            findings.add(fault.rule, policy, Some(number), || (fault.message, fix));
            continue;
        };
        if let Some(fault) = junk::odd_bytes(line, number) {
            let fix = Some(filter_or_edit(machine, policy, number, fault.script));
            findings.add(fault.rule, policy, Some(number), || (fault.message, fix));
        }
        let who = owner_of(machine, policy, known, (owner, number), findings);
        match quotas.entry((who, bridge)) {
            std::collections::hash_map::Entry::Vacant(none) => {
                none.insert((count, number));
            }
            std::collections::hash_map::Entry::Occupied(mut first) => {
                let (most, at) = *first.get();
                findings.add(REPEATED_QUOTA, policy, Some(number), || {
                    let (owner, bridge) = (Quoted(owner), Quoted(bridge));
                    let message = format!(
                        "\"{owner}\" may have {most} on \"{bridge}\" by line {at} and {count} here: the larger number holds"
                    );
                    (message, fix())
                });
                if count > most {
                    first.insert((count, number));
                }
            }
        }
        let pattern = Pattern::of(bridge);
        own_name(machine, policy, (who, owner, number), (bridge, &pattern), findings);
        if bridges.names.insert(bridge) {
            if let Some(why) = impossible(&pattern) {
                findings.add(BRIDGE_NAME, policy, Some(number), || {
                    (format!("no bridge is called \"{}\": the name {why}", Quoted(bridge)), fix())
                });
            } else if pattern.has_uid() {
                bridges.patterns.push((bridge, pattern, number));
            } else {
                bridges.plain.push((bridge, number));
            }
        }
    }
    among_bridges(machine, policy, &bridges, findings);
    on_this_machine(machine, policy, &bridges, findings);
    Some(bridges)
}

/// Whose quota it is. Two names may be one's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Who<'a> {
    User(Id),
    Group(Id),
    Unknown(&'a [u8]),
}

fn owner_of<'a>(
    machine: &Machine,
    policy: &Policy,
    known: &Known<'_>,
    (owner, line): (&'a [u8], u32),
    findings: &mut Findings,
) -> Who<'a> {
    let group = owner.strip_prefix(b"@");
    let who = match group {
        Some(group) => known.group(group).map(Who::Group),
        None => known.user(owner).map(|user| Who::User(user.uid)),
    };
    let Some(people) = known.people.filter(|_| who.is_none()) else {
        return who.unwrap_or(Who::Unknown(owner));
    };
    findings.add(UNKNOWN_OWNER, policy, Some(line), || {
        let (what, name, file) = match group {
            Some(group) => ("group", Quoted(group), "/etc/group"),
            None => ("user", Quoted(owner), "/etc/passwd"),
        };
        let meant = match group {
            Some(_) => None,
            None if known.group(owner).is_some() => Some(format!("; for the group write \"@{name}\"")),
            None => known.nearly(owner).map(|name| format!("; there is a \"{}\"", Quoted(name))),
        };
        let by_number = uid_of_digits(owner).and_then(|uid| known.user_with(uid));
        let by_number =
            by_number.map(|user| format!("; numbers mean nothing here, write \"{}\"", Quoted(&user.name)));
        let message = if people.all_asked {
            format!("no {what} of this machine is called \"{name}\"")
        } else {
            format!("\"{name}\" is not in {file}; name services were not asked about so many owners")
        };
        (message + &by_number.or(meant).unwrap_or_default(), Some(edit(machine, policy, line)))
    });
    Who::Unknown(owner)
}

/// Why no bridge can have a name, whatever the uid.
fn impossible(pattern: &Pattern) -> Option<&'static str> {
    match Attachment::parse(&pattern.with("0")) {
        Ok(_) => None,
        Err(why) if why.contains('%') && pattern.has_uid() => Some("has a % in it besides %u"),
        Err(why) if why.contains('%') => Some("has a % in it, and only %u means something, the caller's uid"),
        Err(why) => Some(why),
    }
}

/// A name that gets too long with the uid in it: of the line's user, or of somebody.
fn own_name(
    machine: &Machine,
    policy: &Policy,
    (who, owner, line): (Who<'_>, &[u8], u32),
    (bridge, pattern): (&[u8], &Pattern),
    findings: &mut Findings,
) {
    if !pattern.has_uid() || impossible(pattern).is_some() {
        return;
    }
    let fix = || Some(edit(machine, policy, line));
    let longest = |uid: &str| Attachment::parse(&pattern.with(uid)).is_err();
    let bridge = Quoted(bridge);
    match who {
        Who::User(uid) if longest(&uid.to_string()) => findings.add(BRIDGE_NAME, policy, Some(line), || {
            let (owner, name) = (Quoted(owner), pattern.with(&uid.to_string()));
            (
                format!("\"{bridge}\" is \"{}\" for {owner}: no name has more than 15 bytes", Quoted(&name)),
                fix(),
            )
        }),
        Who::User(_) => {}
        Who::Group(_) | Who::Unknown(_) => {
            let too_long = (1..=10_usize).find(|digits| longest(&"9".repeat(*digits)[..]));
            // 9999999999 is no uid, but it is as long as one.
            if let Some(digits) = too_long {
                findings.add(LONG_BRIDGE_NAME, policy, Some(line), || {
                    let digits_are = if digits == 10 {
                        "10 digits".to_owned()
                    } else {
                        format!("{digits} digits or more")
                    };
                    (
                        format!(
                            "\"{bridge}\" has more than 15 bytes with a uid of {digits_are}: that user is refused"
                        ),
                        fix(),
                    )
                });
            }
        }
    }
}

/// Names of different users' bridges that can be one.
fn among_bridges(machine: &Machine, policy: &Policy, bridges: &Bridges<'_>, findings: &mut Findings) {
    let compared = bridges.patterns.get(..COMPARED).unwrap_or(&bridges.patterns);
    for (place, (name, pattern, line)) in compared.iter().enumerate() {
        let above = compared.iter().take(place);
        if let Some((other, _, at)) = above.into_iter().find(|(_, other, _)| other.can_meet(pattern)) {
            findings.add(BRIDGE_PATTERN, policy, Some(*line), || {
                let (name, other) = (Quoted(name), Quoted(other));
                let message =
                    format!("\"{name}\" and \"{other}\" (line {at}) can be one bridge, for two users");
                (message, Some(edit(machine, policy, *line)))
            });
        }
    }
    if let Some((_, _, line)) = bridges.patterns.get(COMPARED) {
        findings.add(BRIDGE_PATTERN, policy, Some(*line), || {
            let number = bridges.patterns.len();
            let message =
                format!("{number} names with %u are too many to compare; this one and those below are not");
            (message, Some(edit(machine, policy, *line)))
        });
    }
    for (name, line) in &bridges.plain {
        if let Some((pattern, _, at)) = compared.iter().find(|(_, pattern, _)| pattern.becomes(name)) {
            findings.add(BRIDGE_PATTERN, policy, Some(*line), || {
                let (name, pattern) = (Quoted(name), Quoted(pattern));
                let message = format!("\"{name}\" is also what \"{pattern}\" (line {at}) is for one user");
                (message, Some(edit(machine, policy, *line)))
            });
        }
    }
}

/// What is there of the bridges just now.
fn on_this_machine(machine: &Machine, policy: &Policy, bridges: &Bridges<'_>, findings: &mut Findings) {
    let Some(interfaces) = &machine.interfaces else { return };
    for (name, line) in bridges.plain.iter().filter(|(name, _)| *name != b"none") {
        let shown = Quoted(name);
        match interfaces.get(*name) {
            None => findings.add(MISSING_BRIDGE, policy, Some(*line), || {
                let make = make_bridge(name).unwrap_or_else(|| edit(machine, policy, *line));
                (format!("there is no bridge \"{shown}\" on this machine"), Some(make))
            }),
            Some(Interface { bridge: Some(false), .. }) => {
                findings.add(NOT_A_BRIDGE, policy, Some(*line), || {
                    (format!("\"{shown}\" is an interface and no bridge"), Some(edit(machine, policy, *line)))
                })
            }
            Some(interface) => accept_ra(policy, (name, *line), interface, findings),
        }
    }
    for (name, interface) in interfaces.iter().filter(|(_, interface)| interface.bridge == Some(true)) {
        let own = bridges.patterns.iter().take(COMPARED).find(|(_, pattern, _)| pattern.becomes(name));
        if let Some((_, _, line)) = own.filter(|_| !bridges.names.contains(name.as_slice())) {
            accept_ra(policy, (name, *line), interface, findings);
        }
    }
}

fn accept_ra(policy: &Policy, (name, line): (&[u8], u32), interface: &Interface, findings: &mut Findings) {
    let Some(accept_ra) = interface.accept_ra.filter(|accept_ra| *accept_ra != 0) else { return };
    findings.add(ACCEPT_RA, policy, Some(line), || {
        let message = format!(
            "accept_ra of \"{}\" is {accept_ra}: a container on it can make itself this host's IPv6 router",
            Quoted(name)
        );
        // With slashes, as a name may have a dot in it.
        (message, Some(format!("sysctl -w {}", word(&[b"net/ipv6/conf/", name, b"/accept_ra=0"].concat()))))
    });
}
