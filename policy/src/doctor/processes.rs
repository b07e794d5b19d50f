//! What runs just now: user namespaces that share ids, and users who hold ids and have no limits.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use common::os::limits::{Limited, not_limited};
use common::os::live::{UserNamespace, user_namespaces};
use common::policy::id::{Id, decimal};
use common::policy::idmap::Kind;
use common::policy::limits::is_finite;
use common::policy::settings::{Controller, Ulimit};

use super::files::settings;
use super::probe::{Finding, State};
use super::quoted;
use crate::accounts::Accounts;
use crate::output::plural;
use crate::root::Root;
use crate::show::holders::{Holders, Identity, Names, common_ids};

/// A person reads so many.
const MOST: usize = 8;

/// Do two user namespaces of different users map the same ids of the host?
pub(super) fn live_maps(_: &Root) -> Vec<Finding> {
    let mut found = Vec::new();
    let (mut number, mut hidden) = (0, 0);
    for (kind, word) in [(Kind::Uid, "uids"), (Kind::Gid, "gids")] {
        let namespaces = match user_namespaces(kind) {
            Ok((namespaces, unseen)) => {
                hidden = unseen;
                namespaces
            }
            Err(errno) => return vec![Finding::unknown("which ids are mapped is not known", errno.desc())],
        };
        number = namespaces.len();
        found.extend(sharing(&namespaces).into_iter().take(MOST).map(|(one, other, shared)| {
            let what = format!(
                "{word} {shared} are mapped by process {} of uid {} and process {} of uid {}",
                one.pid, one.owner, other.pid, other.owner
            );
            let cause = "each of the two can do with the other's files and processes as he likes";
            Finding::bad(State::Problem, what, cause, "nsgate show")
        }));
    }
    let unseen = match hidden {
        0 => String::new(),
        1 => "; 1 process cannot be looked into".to_owned(),
        hidden => format!("; {hidden} processes cannot be looked into"),
    };
    if found.is_empty() {
        found.push(Finding::ok(format!(
            "no two users map the same ids just now ({number} user namespace{}{unseen})",
            plural(number)
        )));
    }
    found
}

/// Pairs of namespaces of different owners with an id in common, each of which was made in ours: what is in one that was made in
/// another one is that one's too, as it should be.
fn sharing(namespaces: &[UserNamespace]) -> Vec<(&UserNamespace, &UserNamespace, String)> {
    let mut ranges: Vec<_> = namespaces
        .iter()
        .filter(|namespace| namespace.is_child)
        .flat_map(|namespace| namespace.ids.iter().map(move |range| (*range, namespace)))
        .collect();
    ranges.sort_by_key(|(range, _)| *range);
    // Of all before, those that reach farthest, of two owners: whoever overlaps one before overlaps one of these, or an own one.
    let mut farthest: Vec<(common::policy::id::Range, &UserNamespace)> = Vec::new();
    let mut pairs = Vec::new();
    for (range, namespace) in ranges {
        let other = farthest
            .iter()
            .find(|(before, of)| of.owner != namespace.owner && before.last() >= range.first());
        if let Some((before, other)) = other {
            let shared = common_ids(&[range], &[*before]);
            pairs.extend(shared.first().map(|shared| (*other, namespace, shared.to_string())));
        }
        farthest.push((range, namespace));
        farthest.sort_by_key(|(range, _)| std::cmp::Reverse(range.last()));
        let mut owners = Vec::new();
        farthest.retain(|(_, of)| {
            let is_new = !owners.contains(&of.owner) && owners.len() < 2;
            owners.push(of.owner);
            is_new
        });
    }
    pairs
}

const NPROC: Ulimit = Ulimit { word: "nproc", title: "Max processes" };

/// Is there anything that keeps a user who holds ids from taking the whole machine?
pub(super) fn limits(root: &Root) -> Vec<Finding> {
    let Ok(accounts) = Accounts::read(root) else {
        return vec![Finding::unknown(
            "who there is on this machine is not known",
            "/etc/passwd cannot be read",
        )];
    };
    let text = root.read("/etc/subuid").ok().flatten().map(|text| text.bytes).unwrap_or_default();
    let holders = Holders::of(&text, &Names::of(&accounts));
    let mut waiting: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for holder in &holders.all {
        if let Identity::Uid(uid) = holder.identity {
            waiting.insert(uid.raw(), holder.name.clone());
        }
    }
    waiting.remove(&0);
    let required = settings(root).idmap.require_limits.map(|rule| rule.value).unwrap_or_default();
    let (state, controllers) = if required.is_empty() {
        (State::Warning, vec![Controller::Pids, Controller::Memory])
    } else {
        (State::Problem, required)
    };
    let (mut found, mut seen) = (Vec::new(), 0_usize);
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return vec![Finding::unknown("what users run is not known", "there is no /proc")];
    };
    for process in processes.flatten() {
        let path = process.path();
        if decimal(process.file_name().as_encoded_bytes()).is_err() {
            continue;
        }
        let owner = process.metadata().ok().map(|status| status.uid()).and_then(Id::new);
        let Some(name) = owner.and_then(|uid| waiting.get(&uid.raw())).cloned() else { continue };
        let read = |file: &str| std::fs::read(path.join(file)).ok();
        let (Some(cgroup), limits) = (read("cgroup"), read("limits")) else { continue };
        // One process says it for all of his: they begin in the same place.
        waiting.remove(&owner.map_or(0, Id::raw));
        seen = seen.saturating_add(1);
        let (uid, shown) = (owner.map_or(0, Id::raw), quoted(&name));
        let process = Limited { who: "them", cgroup: Some(&cgroup), limits: None };
        let finite = limits.is_none_or(|limits| is_finite(&limits, NPROC));
        match not_limited(&controllers, &[process]) {
            Ok(None) => {}
            Ok(Some(why)) => {
                let pids_by_ulimit = why.starts_with("pids") && finite && state == State::Warning;
                if !pids_by_ulimit {
                    let what = format!("processes of {shown}: {why}");
                    let cause = "his containers can take all there is of it";
                    let command =
                        format!("systemctl set-property user-{uid}.slice TasksMax=10% MemoryMax=50%");
                    found.push(Finding::bad(state, what, cause, command));
                }
            }
            Err(error) => {
                found.push(Finding::unknown(format!("limits of {shown} are not known"), error.to_string()))
            }
        }
    }
    found.truncate(MOST);
    if found.is_empty() {
        found.push(Finding::ok(match seen {
            1 => "1 user who holds ids runs something, within limits".to_owned(),
            seen => format!("{seen} users who hold ids run something, within limits"),
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::policy::id::Range;

    fn namespace(pid: i32, owner: u32, is_child: bool, ids: &[(u32, u32)]) -> UserNamespace {
        let range = |(first, count): &(u32, u32)| Range::new(Id::new(*first).unwrap(), *count).unwrap();
        UserNamespace { number: 1, pid, owner, is_child, ids: ids.iter().map(range).collect() }
    }

    fn pairs(namespaces: &[UserNamespace]) -> Vec<(i32, i32, String)> {
        sharing(namespaces).into_iter().map(|(one, other, shared)| (one.pid, other.pid, shared)).collect()
    }

    #[test]
    fn two_owners_with_an_id_in_common_are_found_and_one_owner_or_a_nested_namespace_is_not() {
        let alice = namespace(1, 1000, true, &[(1000, 1), (100_000, 65536)]);
        let again = namespace(2, 1000, true, &[(100_000, 65536)]);
        let nested = namespace(3, 100_000, false, &[(100_000, 1000)]);
        let bob = namespace(4, 1001, true, &[(165_000, 10), (300_000, 5)]);
        assert_eq!(pairs(&[alice.clone(), again.clone(), nested.clone()]), []);
        let found = pairs(&[alice, again, nested, bob]);
        assert_eq!((found.len(), &found[0].2[..], found[0].1), (1, "165000-165009", 4));
    }

    #[test]
    fn a_long_range_of_a_third_is_not_hidden_by_ones_own() {
        let found = pairs(&[
            namespace(1, 1, true, &[(10, 1000)]),
            namespace(2, 2, true, &[(2000, 5)]),
            namespace(3, 2, true, &[(100, 2000)]),
            namespace(4, 1, true, &[(1500, 1)]),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
