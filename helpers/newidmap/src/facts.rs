//! What the host's own rules need to know, found out for those that are in force.

use common::Error;
use common::os::limits::{Limited, not_finite, not_limited};
use common::os::live;
use common::os::target::{Target, read_own};
use common::os::trusted::Etc;
use common::policy::host::{self, Facts, OtherOwner, asks_for_any};
use common::policy::id::{Id, Range};
use common::policy::idmap::{Granted, Kind};
use common::policy::passwd::Numbers;
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
    let account = in_force(rules.protect_accounts).map(|_| account(kind, own, etc, &wanted)).transpose()?;
    let live = in_force(rules.exclusive).map(|_| live::user_of(&wanted, kind)).transpose()?;
    let (mut no_limit, mut no_ulimit) = (None, None);
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
        no_limit = limits.map(|limits| not_limited(&limits.value, &processes)).transpose()?;
        no_ulimit = ulimits.map(|ulimits| not_finite(&ulimits.value, &processes));
    }
    Ok(Facts { other_owner, account, live, no_limit, no_ulimit })
}

fn account(kind: Kind, own: Id, etc: &Etc, wanted: &[Range]) -> Result<Option<host::Account>, Error> {
    let mut numbers = Numbers::new(own, wanted);
    let (name, path) = match kind {
        Kind::Uid => ("passwd", "/etc/passwd"),
        Kind::Gid => ("group", "/etc/group"),
    };
    if let Some(mut file) = etc.database(name)? {
        file.blocks(path, |_, block| numbers.look_at(block))?;
    }
    Ok(numbers.finish())
}
