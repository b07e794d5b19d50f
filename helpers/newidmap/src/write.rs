//! The deed. Everything that can be known to fail is refused before anything is changed.

use common::Error;
use common::os::namespace::Relation;
use common::os::privilege::{Lowered, Raised};
use common::os::target::{Target, WriteOnce};
use common::policy::idmap::{Kind, Map};
use nix::errno::Errno;

use crate::explain::Held;
use crate::judge::Judged;
use crate::{Caller, Program, explain};

/// What is about to be done, with what power; for the explanation if the kernel refuses it.
pub(crate) struct Attempt<'a> {
    pub(crate) program: &'static Program,
    pub(crate) target: &'a Target,
    pub(crate) relation: Relation,
    pub(crate) maps_host_root: bool,
    pub(crate) raised: Raised,
}

/// What is to be written, open and not yet written.
pub(crate) struct Opened<'a> {
    attempt: Attempt<'a>,
    setgroups: Option<WriteOnce>,
    map: WriteOnce,
    held: Held,
}

/// Opens what is to be written, with the capability in effect.
///
/// The order is: all checks, then both files opened, then `setgroups` written, then the map. A failure up to the opening
/// leaves the namespace as it was. The kernel has no way to do the two writes in one, so a failure of the second
/// leaves setgroups denied, and says so.
pub(crate) fn open<'a>(
    program: &'static Program,
    caller: &Caller,
    target: &'a Target,
    judged: &Judged,
    stage: Lowered,
) -> Result<Opened<'a>, Error> {
    let (relation, map) = (judged.relation, &judged.map);
    if let Some(why) = explain::foreign_namespace(caller, relation) {
        return Err(Error::ForeignNamespace { kind: program.kind, why });
    }
    if !stage.may_raise(program.capability) && !map.needs_no_privilege(caller.own(program.kind)) {
        return Err(explain::without_privilege(program));
    }

    let maps_host_root = program.kind == Kind::Uid && map.maps_host_root();
    let raised = stage.raise(maps_host_root)?;
    let attempt = Attempt { program, target, relation, maps_host_root, raised };
    let because = |errno| explain::kernel_refusal(&attempt, None, errno);

    // Of the same namespace or of none: if the target enters another one between these two, that is not the caller's
    // namespace's child, and the map is refused.
    let setgroups = if judged.denies_setgroups(program.kind) {
        let setgroups = target.open_to_write("setgroups");
        Some(setgroups.map_err(|errno| Error::Setgroups { errno, cause: because(errno) })?)
    } else {
        None
    };
    let opened = target.open_to_write(program.kind.map_file());
    let map = opened.map_err(|errno| refuse(program, "open of", errno, because(errno)))?;
    let now = map.read().map_err(|errno| refuse(program, "read of", errno, because(errno)))?;
    if !now.is_empty() {
        return Err(refuse(program, "write to", Errno::EPERM, explain::already_mapped(program.kind)));
    }
    let held = Held::with(program, &attempt.raised);
    Ok(Opened { attempt, setgroups, map, held })
}

impl Opened<'_> {
    /// Denies setgroups, if it was opened, and writes the map. Opens nothing.
    pub(crate) fn write(self, map: &Map) -> Result<(), Error> {
        let left_behind = if let Some(setgroups) = &self.setgroups {
            deny(setgroups)?;
            "; setgroups is now deny in the target's namespace"
        } else {
            ""
        };
        self.map.write(map.text()).map_err(|errno| {
            let because = explain::kernel_refusal(&self.attempt, Some((&self.held, &self.map)), errno);
            refuse(self.attempt.program, "write to", errno, because + left_behind)
        })
    }
}

fn refuse(program: &Program, doing: &str, errno: Errno, cause: String) -> Error {
    Error::Map { doing: format!("{doing} {}", program.kind.map_file()), errno, cause }
}

fn deny(setgroups: &WriteOnce) -> Result<(), Error> {
    let now = setgroups.read().map_err(Error::when("failed to read setgroups"))?;
    if now.starts_with(b"deny") {
        return Ok(());
    }
    setgroups.write("deny").map_err(Error::when("failed to setgroups deny policy"))
}
