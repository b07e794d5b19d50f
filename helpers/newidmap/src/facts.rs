//! What the host's own rules need to know, found out for those that are in force.

use common::Error;
use common::os::limits::{Limited, not_finite, not_limited};
use common::os::live;
use common::os::target::{Target, read_own};
use common::os::trusted::Etc;
use common::policy::host::{self, Facts, OtherOwner, asks_for_any};
use common::policy::id::{Id, Range};
use common::policy::idmap::{Granted, Kind};
use common::policy::passwd::{Field, Numbers};
use common::policy::settings::{Idmap, in_force};

use crate::Caller;

/// Finds it out. Of a rule that is not in force nothing is asked.
pub(crate) fn find(
    kind: Kind,
    caller: &Caller,
    target: &Target,
    etc: &Etc,
    rules: &Idmap,
    granted: &Granted,
    other_owner: Option<Option<OtherOwner>>,
) -> Result<Facts, Error> {
    let own = caller.own(kind);
    let wanted = host::wanted(own, granted.triples());
    let mut facts = Facts { other_owner, ..Facts::default() };
    if in_force(rules.protect_accounts).is_some() {
        facts.account = account(kind, own, etc, &wanted)?;
    }
    if in_force(rules.exclusive).is_some() {
        facts.live = or_why_not(live::user_of(&wanted, kind), &mut facts.unknown);
    }
    let (limits, ulimits) = (rules.require_limits.as_ref(), rules.ulimits.as_ref());
    if asks_for_any(limits).or(asks_for_any(ulimits)).is_some() {
        // Both: who calls could call from a place that is limited, for a target that is not.
        let read = |name| (read_own(name), target.read(name));
        let ((own_cgroup, cgroup), (own_limits, target_limits)) = (read("cgroup"), read("limits"));
        let processes = [
            Limited { who: "the caller", cgroup: own_cgroup.as_deref(), limits: own_limits.as_deref() },
            Limited {
                who: "the target process",
                cgroup: cgroup.as_deref(),
                limits: target_limits.as_deref(),
            },
        ];
        facts.no_limit =
            limits.and_then(|limits| or_why_not(not_limited(&limits.value, &processes), &mut facts.unknown));
        facts.no_ulimit = ulimits.map(|ulimits| not_finite(&ulimits.value, &processes));
    }
    Ok(facts)
}

/// A fact; or why it is none.
fn or_why_not<T>(fact: Result<T, Error>, unknown: &mut Option<String>) -> Option<T> {
    fact.map_err(|error| *unknown = Some(error.to_string())).ok()
}

/// Some(None): no account, or group, has one of these ids. None: it is not known, as there is no list of them.
fn account(kind: Kind, own: Id, etc: &Etc, wanted: &[Range]) -> Result<Option<Option<host::Account>>, Error> {
    let mut numbers = Numbers::new(own, wanted);
    let files = match kind {
        Kind::Uid => &[("passwd", Field::Own)][..],
        Kind::Gid => &[("group", Field::Own), ("passwd", Field::LoginGroup)],
    };
    for (name, field) in files {
        let Some(mut file) = etc.database(name)? else { return Ok(None) };
        file.beginnings(&format!("/etc/{name}"), |block| numbers.look_at(block, *field))?;
    }
    Ok(Some(numbers.finish()))
}
