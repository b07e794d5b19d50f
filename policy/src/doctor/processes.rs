//! What runs just now: user namespaces that share ids, and users who hold ids and have no limits.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;

use common::os::limits::{Limited, not_limited};
use common::os::live::{UserNamespace, user_namespaces};
use common::policy::id::{Id, decimal};
use common::policy::idmap::Kind;
use common::policy::limits::is_finite;
use common::policy::settings::{Controller, Set, Settings, Ulimit};

use super::files::settings;
use super::network;
use super::probe::{Finding, State};
use super::quoted;
use crate::accounts::Accounts;
use crate::failure::Failure;
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
        let of_these = if hidden == 0 { "" } else { "as far as can be seen, " };
        found.push(Finding::ok(format!(
            "{of_these}no two users map the same ids just now ({number} user namespace{}{unseen})",
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

/// Is there anything that keeps a user who holds ids from taking the whole machine? And have they the limits that the host's rules ask
/// for?
pub(super) fn limits(root: &Root) -> Vec<Finding> {
    look_for_limits(root).unwrap_or_else(|failure| {
        vec![Finding::unknown("which limits users have is not known", failure.to_string())]
    })
}

fn look_for_limits(root: &Root) -> Result<Vec<Finding>, Failure> {
    let accounts = Accounts::read(root)?;
    let text = root.read("/etc/subuid")?.map(|text| text.bytes).unwrap_or_default();
    let holders = Holders::of(&text, &Names::of(&accounts));
    let mut waiting: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for holder in &holders.all {
        if let Identity::Uid(uid) = holder.identity {
            waiting.insert(uid.raw(), holder.name.clone());
        }
    }
    waiting.remove(&0);
    let settings = settings(root)?;
    let with_nics =
        if settings.nic.require_limits.is_some() { network::owners(root)? } else { BTreeSet::new() };
    let rules = Rules { settings, accounts: &accounts, with_nics };
    let (mut found, mut seen) = (Vec::new(), 0_usize);
    for process in std::fs::read_dir("/proc").map_err(Failure::when("cannot look into /proc"))?.flatten() {
        let path = process.path();
        if decimal(process.file_name().as_encoded_bytes()).is_err() {
            continue;
        }
        let Some(uid) = process.metadata().ok().map(|status| status.uid()).and_then(Id::new) else {
            continue;
        };
        let Some(name) = waiting.get(&uid.raw()) else { continue };
        let read = |file: &str| std::fs::read(path.join(file)).ok();
        let (Some(cgroup), Some(limits)) = (read("cgroup"), read("limits")) else { continue };
        seen = seen.saturating_add(1);
        found.extend(rules.look_at(uid, &quoted(name), &cgroup, &limits));
        // One process says it for all of his: they begin in the same place.
        waiting.remove(&uid.raw());
    }
    found.truncate(MOST);
    if found.is_empty() {
        found.push(Finding::ok(match seen {
            0 => "nobody who holds ids runs anything just now".to_owned(),
            1 => "1 user who holds ids runs something, within limits".to_owned(),
            seen => format!("{seen} users who hold ids run something, within limits"),
        }));
    }
    Ok(found)
}

/// What has to be limited, and for whom.
struct Rules<'a> {
    settings: Settings,
    accounts: &'a Accounts,
    /// Users and groups of lxc-usernet, if there is a rule for them.
    with_nics: BTreeSet<Vec<u8>>,
}

impl Rules<'_> {
    /// What a process of his lacks.
    fn look_at(&self, uid: Id, name: &str, cgroup: &[u8], limits: &[u8]) -> Vec<Finding> {
        let mut found = Vec::new();
        let required = self.controllers(uid);
        let (state, wanted) = match required.as_slice() {
            [] => (State::Warning, vec![Controller::Memory, Controller::Pids]),
            _ => (State::Problem, required),
        };
        // Where nobody asks for more, a limit by ulimit is one.
        let is_enough = |missing: &[Controller]| {
            state == State::Warning && missing.contains(&Controller::Pids) && is_finite(limits, NPROC)
        };
        match unlimited(&wanted, cgroup) {
            Ok(missing) if missing.is_empty() || is_enough(&missing) => {}
            Ok(missing) => {
                let is = if missing.len() == 1 { "is" } else { "are" };
                let words = missing.iter().map(|controller| controller.word()).collect::<Vec<_>>();
                let words = words.join(" and ");
                let what = format!("processes of {name}: {words} {is} not limited by control group");
                let cause = if state == State::Problem {
                    "require-limits in /etc/nsgate.ini asks for it, so he is refused"
                } else {
                    "his containers can take all there is of it"
                };
                let command = has_systemd().then(|| set_limits(uid, &missing));
                found.push(Finding { state, command, ..Finding::unknown(what, cause) });
            }
            Err(error) => {
                found.push(Finding::unknown(format!("limits of {name} are not known"), error.to_string()));
            }
        }
        let ulimits = self.settings.idmap.ulimits.iter().flat_map(|rule| &rule.value);
        let missing = ulimits.filter(|ulimit| !is_finite(limits, **ulimit)).map(|ulimit| ulimit.word);
        let missing = missing.collect::<Vec<_>>().join(" and ");
        if !missing.is_empty() {
            let what = format!("processes of {name} have no hard limit (ulimit) of {missing}");
            let cause = "ulimits in /etc/nsgate.ini asks for it, so he is refused; limits.conf(5) has it, or of a service Limit...=";
            found.push(Finding { state: State::Problem, ..Finding::unknown(what, cause) });
        }
        found
    }

    /// What the rules want to be limited by his control group.
    fn controllers(&self, uid: Id) -> Vec<Controller> {
        let Settings { idmap, nic, .. } = &self.settings;
        let has = |rule: &Option<Set<Vec<Controller>>>, controller| {
            rule.as_ref().is_some_and(|rule| rule.value.contains(&controller))
        };
        let all = [Controller::Memory, Controller::Pids, Controller::Cpu];
        let of_nics = |controller| has(&nic.require_limits, controller) && self.may_have_nics(uid);
        let wanted = all.into_iter().filter(|one| has(&idmap.require_limits, *one) || of_nics(*one));
        wanted.collect()
    }

    /// Is there a line of lxc-usernet for him, or for a group of his?
    fn may_have_nics(&self, uid: Id) -> bool {
        if self.accounts.names_of(uid).iter().any(|name| self.with_nics.contains(name)) {
            return true;
        }
        let Some(user) = self.accounts.user_with(uid) else { return false };
        let his = self.accounts.groups_of(&user);
        let groups = self.with_nics.iter().filter_map(|owner| owner.strip_prefix(b"@"));
        groups.filter_map(|name| self.accounts.group_named(name)).any(|group| his.contains(&group.gid))
    }
}

/// Which of these nothing limits.
fn unlimited(controllers: &[Controller], cgroup: &[u8]) -> Result<Vec<Controller>, common::Error> {
    let mut missing = Vec::new();
    for controller in controllers {
        let process = Limited { who: "them", cgroup: Some(cgroup), limits: None };
        if not_limited(&[*controller], &[process])?.is_some() {
            missing.push(*controller);
        }
    }
    Ok(missing)
}

/// sd_booted(3)
fn has_systemd() -> bool {
    std::path::Path::new("/run/systemd/system").is_dir()
}

/// What has systemd limit all that a user runs.
fn set_limits(uid: Id, missing: &[Controller]) -> String {
    let property = |controller: &Controller| match controller {
        Controller::Memory => "MemoryMax=50%",
        Controller::Pids => "TasksMax=10%",
        Controller::Cpu => "CPUQuota=100%",
    };
    let properties: Vec<&str> = missing.iter().map(property).collect();
    format!("systemctl set-property user-{uid}.slice {}", properties.join(" "))
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

    #[test]
    fn the_command_for_limits_sets_those_that_are_missing() {
        use Controller::{Cpu, Memory, Pids};
        let uid = Id::new(1000).unwrap();
        let command = |missing: &[Controller]| set_limits(uid, missing);
        assert_eq!(command(&[Cpu]), "systemctl set-property user-1000.slice CPUQuota=100%");
        assert_eq!(
            command(&[Memory, Pids]),
            "systemctl set-property user-1000.slice MemoryMax=50% TasksMax=10%"
        );
    }

    #[test]
    fn a_rule_about_interfaces_is_for_those_who_may_have_them() {
        let passwd = b"a:x:1:10::/:\nb:x:2:20::/:\nc:x:3:30::/:\nd:x:4:40::/:\n";
        let accounts = Accounts::of(passwd, b"lab:x:7:c\nteam:x:40:\n", false);
        let settings = Settings::parse(
            b"[idmap]\nrequire-limits = pids\nulimits = as, nproc\n[nic]\nrequire-limits = cpu, pids\n",
        );
        let with_nics = [&b"a"[..], b"@lab", b"@team", b"b2"].map(<[u8]>::to_vec).into();
        let rules = Rules { settings: settings.unwrap(), accounts: &accounts, with_nics };
        let controllers = |uid| rules.controllers(Id::new(uid).unwrap());
        let all = [Controller::Pids, Controller::Cpu];
        assert_eq!([1, 3, 4].map(controllers), [all; 3].map(Vec::from));
        assert_eq!(controllers(2), [Controller::Pids]);
        let limits = b"Max processes             100                  200                  processes \n";
        let found = rules.look_at(Id::new(2).unwrap(), "b", b"", limits);
        let found: Vec<_> = found.iter().map(|finding| (finding.state, finding.what.as_str())).collect();
        let pids = "processes of b: pids is not limited by control group";
        let ulimits = "processes of b have no hard limit (ulimit) of as";
        assert_eq!(found, [(State::Problem, pids), (State::Problem, ulimits)]);
    }
}
