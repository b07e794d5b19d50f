//! What the host's own rules need to know, found out for those that are in force.

use common::Error;
use common::os::limits::{self, Limited};
use common::os::live;
use common::os::target::{Target, read_own};
use common::os::trusted::Etc;
use common::policy::host::{self, Fact, Facts, OtherOwner, asks_for_limits};
use common::policy::idmap::{Granted, Kind};
use common::policy::passwd::account_among;
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
    other_owner: Fact<OtherOwner>,
) -> Result<Facts, Error> {
    let own = caller.own(kind);
    let wanted = host::wanted(own, granted.triples());
    let mut facts = Facts { other_owner, ..Facts::default() };
    if in_force(rules.protect_accounts).is_some() && wanted.is_empty() {
        facts.account = Fact::Nothing;
    } else if in_force(rules.protect_accounts).is_some() {
        facts.account = account_among(kind, own, &wanted, |name, see| {
            let file = etc.database(name)?;
            file.map(|mut file| file.beginnings(&format!("/etc/{name}"), see)).transpose()
        })?;
    }
    if in_force(rules.exclusive).is_some() {
        facts.live = facts.or_why_not(live::user_of(&wanted, kind));
    }
    if asks_for_limits(rules) {
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
        limits::find(rules, &processes, &mut facts);
    }
    Ok(facts)
}
