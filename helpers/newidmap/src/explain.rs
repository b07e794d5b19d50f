//! Why not, and what would help: the second half of a refusal.
//!
//! Everything here runs after the verdict and cannot change it.

use common::Error;
use common::os::installed;
use common::os::label::Label;
use common::os::namespace::Relation;
use common::os::privilege::Raised;
use common::os::target::WriteOnce;
use common::policy::id::Range;
use common::policy::idmap::{Approved, Kind};
use common::policy::text::Quoted;
use nix::errno::Errno;

use crate::write::Attempt;
use crate::{Caller, Program};

/// Why a namespace is not the caller's to map. None: it is, or the kernel would not say.
pub(crate) fn foreign_namespace(caller: &Caller, relation: Relation) -> Option<String> {
    let uid = caller.own(Kind::Uid);
    match relation {
        Relation::Child { owner, .. } if owner == uid.raw() => None,
        Relation::Child { owner, .. } => {
            Some(format!("the target's user namespace was made by uid {owner}, not by the caller, uid {uid}"))
        }
        Relation::Same => Some(
            "the target is in the caller's own user namespace; it has to enter a new one first (unshare -U)".to_owned(),
        ),
        Relation::Elsewhere => Some(
            "the target's user namespace was not made in the caller's own; only its parent namespace can map it"
                .to_owned(),
        ),
        Relation::Unknown => None,
    }
}

/// Already written: the kernel takes a map once.
pub(crate) fn already_mapped(kind: Kind) -> String {
    format!("the target's user namespace already has a {}, which can be written once only", kind.map_file())
}

/// A file that root's name would open, and the caller's does not: the program has file capabilities and is not set-user-ID.
pub(crate) fn out_of_reach(error: Error) -> Error {
    if let Error::System { doing, errno: Errno::EACCES } = error {
        let why = "which everybody has to be able to read where this program is not set-user-ID root";
        Error::when(format!("{doing}, {why}"))(Errno::EACCES)
    } else {
        error
    }
}

/// A request that only privilege could have fulfilled.
pub(crate) fn without_privilege(program: &Program) -> Error {
    let doing = format!("write to {}", program.kind.map_file());
    Error::Map { doing, errno: Errno::EPERM, cause: unprivileged(program) }
}

/// Why the helper has not the capability it is for.
fn unprivileged(program: &Program) -> String {
    let capability = program.capability.name();
    let with = format!("{}=ep", capability.to_ascii_lowercase());
    installed::why_without(program.name, capability, Some(&with))
}

/// Why the kernel would not let a privileged helper open or write the map.
pub(crate) fn kernel_refusal(
    attempt: &Attempt<'_>,
    held: Option<(&Held, &WriteOnce)>,
    errno: Errno,
) -> String {
    let Attempt { program, target, relation, maps_host_root, raised } = attempt;
    // The latter of an open, at the very moment (`proc_id_map_open()`).
    if errno == Errno::ESRCH || (errno == Errno::EINVAL && held.is_none()) {
        return "the target process has ended".to_owned();
    }
    if errno == Errno::ENOENT {
        return "the target is not a process, or this kernel has no user namespaces".to_owned();
    }
    if errno == Errno::EINVAL {
        // Everything else that is no map to the kernel has been refused before.
        return "the kernel does not take this map; before Linux 4.15 it takes at most 5 ranges".to_owned();
    }
    if errno == Errno::EOPNOTSUPP {
        return "it is not the kernel's own file: something is mounted over it".to_owned();
    }
    let file = program.kind.map_file();
    if target.is_undumpable(file) {
        return "the target is not dumpable (prctl PR_SET_DUMPABLE, or a program it cannot read), or has just ended, so \
                its /proc files are root's; it has to stay dumpable until it is mapped"
            .to_owned();
    }
    let map = held.map_or_else(|| target.read(file), |(_, map)| map.read_again().ok());
    if map.is_some_and(|map| !map.is_empty()) {
        return already_mapped(program.kind);
    }
    if *maps_host_root && !raised.may_map_host_root {
        return "host uid 0 can be mapped only with CAP_SETFCAP (Linux 5.12), which a helper installed with \
                cap_setuid=ep, or called with a bounding set that lacks it, does not have"
            .to_owned();
    }
    if !raised.privileged {
        return held.map_or_else(|| unprivileged(program), |(held, _)| held.unprivileged.clone());
    }
    match held.map_or_else(|| Label::own().of_confined(), |(held, _)| held.label.of_confined()) {
        Some(label) => {
            format!(
                "a security module may forbid it: this process is confined as \"{}\"; see the audit log",
                Quoted(&label)
            )
        }
        None if *relation == Relation::Unknown => {
            "the kernel will not say whose user namespace the target is in: probably another user made it"
                .to_owned()
        }
        None => "the kernel gives no reason; its log (dmesg) or a security module's may".to_owned(),
    }
}

/// What an explanation needs when nothing can be opened any more, nor looked at by a path.
pub(crate) struct Held {
    label: Label,
    /// Why there is no privilege; empty if there is.
    unprivileged: String,
}

impl Held {
    pub(crate) fn with(program: &Program, raised: &Raised) -> Self {
        let unprivileged = if raised.privileged { String::new() } else { unprivileged(program) };
        Self { label: Label::own(), unprivileged }
    }
}

/// What is granted, and what grants it, for the log. Host ids that adjoin are one range here, however they were asked for.
pub(crate) fn grounds(program: &Program, approved: &Approved) -> String {
    let list = |items: Vec<String>| {
        let more = if items.len() > MOST_IN_THE_LOG { ",..." } else { "" };
        items.into_iter().take(MOST_IN_THE_LOG).collect::<Vec<_>>().join(",") + more
    };
    let word = program.kind.word();
    let ids = list(approved.by_policy().iter().map(Range::to_string).collect());
    let lines = list(approved.policy_lines().iter().map(u32::to_string).collect());
    let lines = (!lines.is_empty()).then(|| format!("/etc/{}:{lines}", program.kind.policy_file()));
    let sources = list(approved.policy_sources().iter().map(ToString::to_string).collect());
    let sources = (!sources.is_empty()).then(|| format!("subid source {sources}"));
    let grounds = lines.into_iter().chain(sources).collect::<Vec<_>>().join(" and ");
    let by_policy = (!approved.by_policy().is_empty()).then(|| format!("host {word}s {ids} by {grounds}"));
    let own = approved.own().map(|own| format!("host {word} {own}, his own"));
    by_policy.into_iter().chain(own).collect::<Vec<_>>().join("; ")
}

/// Room for this many ranges, and as many line numbers. What was asked for is in the record whole.
const MOST_IN_THE_LOG: usize = 30;
