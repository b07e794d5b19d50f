//! The deed. Everything that can be known to fail is refused before anything is changed.

use common::Error;
use common::os::namespace::Relation;
use common::os::privilege::Lowered;
use common::os::target::{Target, WriteOnce};
use common::policy::idmap::{Approved, Kind, Map};
use nix::errno::Errno;

use crate::explain::Held;
use crate::{Caller, Program, confine, explain};

/// Writes the map, and denies setgroups before it if it must.
///
/// The order is: all checks, then both files opened, then `setgroups` written, then the map. A failure up to the opening
/// leaves the namespace as it was. The kernel has no way to do the two writes in one, so a failure of the second
/// leaves setgroups denied, and says so.
pub(crate) fn write(
    program: &Program,
    caller: &Caller,
    (target, relation): (&Target, Relation),
    approved: &Approved,
    map: &Map,
    stage: Lowered,
    before_the_deed: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let file = program.kind.map_file();
    let own = caller.own(program.kind);
    let refuse = |doing: &str, errno, cause| Error::Map { doing: format!("{doing} {file}"), errno, cause };

    if let Some(why) = explain::foreign_namespace(caller, relation) {
        return Err(Error::ForeignNamespace { kind: program.kind, why });
    }
    if !stage.may_raise(program.capability) && !map.needs_no_privilege(own) {
        return Err(explain::without_privilege(program));
    }

    let maps_host_root = program.kind == Kind::Uid && map.maps_host_root();
    let raised = stage.raise(maps_host_root)?;
    let because_with = |held: Option<&Held<'_>>, errno| {
        explain::kernel_refusal(program, target, (relation, held), &raised, maps_host_root, errno)
    };
    let because = |errno| because_with(None, errno);

    // Of the same namespace or of none: if the target enters another one between these two, that is not the caller's
    // namespace's child, and the map is refused.
    let setgroups = if program.kind == Kind::Gid && approved.denies_setgroups() {
        let setgroups = target.open_to_write("setgroups");
        Some(setgroups.map_err(|errno| Error::Setgroups { errno, cause: because(errno) })?)
    } else {
        None
    };
    let map_file = target.open_to_write(file).map_err(|errno| refuse("open of", errno, because(errno)))?;
    let now = map_file.read().map_err(|errno| refuse("read of", errno, because(errno)))?;
    if !now.is_empty() {
        return Err(refuse("write to", Errno::EPERM, explain::already_mapped(program.kind)));
    }

    // What an explanation may need cannot be opened any more when there is something to explain.
    let held = Held::with(program, &raised, &map_file);
    confine::to_the_deed()?;
    before_the_deed()?;
    let left_behind = if let Some(setgroups) = setgroups {
        deny(&setgroups)?;
        "; setgroups is now deny in the target's namespace"
    } else {
        ""
    };
    map_file
        .write(map.text())
        .map_err(|errno| refuse("write to", errno, because_with(Some(&held), errno) + left_behind))
}

fn deny(setgroups: &WriteOnce) -> Result<(), Error> {
    let now = setgroups.read().map_err(Error::when("failed to read setgroups"))?;
    if now.starts_with(b"deny") {
        return Ok(());
    }
    setgroups.write("deny").map_err(Error::when("failed to setgroups deny policy"))
}
