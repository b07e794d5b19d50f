//! The deed. Everything that can be known to fail is refused before anything is changed.

use std::os::fd::OwnedFd;

use common::Error;
use common::os::privilege::Lowered;
use common::os::target::Target;
use common::policy::idmap::{Approved, Kind, Map};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::{Caller, Program, explain};

/// Writes the map, and denies setgroups before it if it must.
///
/// The order is: all checks, then both files opened, then `setgroups`, then the map. A failure up to the opening
/// leaves the namespace as it was. The kernel has no way to do the two writes in one, so a failure of the second
/// leaves setgroups denied, and says so.
pub(crate) fn write(
    program: &Program,
    caller: &Caller,
    target: &Target,
    approved: &Approved,
    map: &Map,
    stage: Lowered,
) -> Result<(), Error> {
    let file = program.kind.map_file();
    let own = caller.own(program.kind);
    let refuse = |doing: &str, errno, cause| Error::Map { doing: format!("{doing} {file}"), errno, cause };

    if let Some(why) = explain::foreign_namespace(caller, target.namespace()) {
        return Err(Error::ForeignNamespace { kind: program.kind, why });
    }
    if target.read(file).is_some_and(|map| !map.is_empty()) {
        return Err(refuse("write to", Errno::EPERM, explain::already_mapped(program.kind)));
    }
    if !stage.may_raise(program.capability) && !map.needs_no_privilege(own) {
        return Err(refuse("write to", Errno::EPERM, explain::unprivileged(program)));
    }

    // The kernel asks for CAP_SETFCAP where uid 0 is mapped, not for gid 0: user_namespace.c, verify_root_map().
    let maps_host_root = program.kind == Kind::Uid && map.maps_host_root();
    let raised = stage.raise(maps_host_root)?;
    let because = || explain::kernel_refusal(program, target, &raised, maps_host_root);

    let map_file = target.file(file, OFlag::O_WRONLY).map_err(|errno| refuse("open of", errno, because()))?;
    let setgroups = match program.kind {
        Kind::Gid if !approved.rests_on_policy() => setgroups_to_deny(target)?,
        Kind::Gid | Kind::Uid => None,
    };

    let denied = setgroups.is_some();
    if let Some(setgroups) = setgroups {
        write_once(&setgroups, b"deny").map_err(Error::when("failed to setgroups deny policy"))?;
    }
    write_once(&map_file, map.text().as_bytes()).map_err(|errno| {
        let left = if denied { "; setgroups is now deny in the target's namespace" } else { "" };
        refuse("write to", errno, because() + left)
    })
}

/// The target's `setgroups` file, unless it says `deny` already.
fn setgroups_to_deny(target: &Target) -> Result<Option<OwnedFd>, Error> {
    let now = target.read("setgroups").ok_or_else(|| Error::when("failed to read setgroups")(Errno::EIO))?;
    if now.starts_with(b"deny") {
        return Ok(None);
    }
    target
        .file("setgroups", OFlag::O_WRONLY)
        .map(Some)
        .map_err(Error::when("couldn't open process setgroups"))
}

/// One write or none: the kernel takes these files whole, at offset 0, in one call. A rest could never be written.
fn write_once(file: &OwnedFd, text: &[u8]) -> Result<(), Errno> {
    match nix::unistd::write(file, text)? {
        written if written == text.len() => Ok(()),
        _ => Err(Errno::EIO),
    }
}
