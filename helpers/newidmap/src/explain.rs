//! Why not, and what would help: the second half of a refusal.
//!
//! Everything here runs after the verdict and cannot change it.

use common::Error;
use common::os::host_policy::HostPolicy;
use common::os::installed;
use common::os::namespace::Relation;
use common::os::privilege::Raised;
use common::os::target::{Target, read_own};
use common::policy::host::{Forbidden, Why};
use common::policy::id::Range;
use common::policy::idmap::{Approved, Kind, NotGranted};
use common::policy::text::Quoted;
use nix::errno::Errno;

use crate::{Caller, Policy, Program};

/// Why a range is not granted.
pub(crate) fn not_granted(
    program: &Program,
    caller: &Caller,
    policy: &Policy,
    refused: &NotGranted,
) -> String {
    let (word, file) = (program.kind.word(), program.kind.policy_file());
    let owner = Quoted(caller.name());
    let host = refused.triple.host();
    let in_file = || match (policy.exists, policy.may_be_repeated, refused.nearest) {
        (false, ..) => format!("/etc/{file} does not exist, so it grants nothing to {owner}"),
        (true, false, _) => format!("/etc/{file} does not grant it to {owner}"),
        (true, true, None) => format!("/etc/{file} has no line for {owner}"),
        (true, true, Some(near)) => format!(
            "{word} {} is not granted to {owner} (/etc/{file}:{} grants {})",
            refused.missing, near.line, near.range
        ),
    };
    let rule = match &policy.sources {
        Err(named) => format!(
            "/etc/nsswitch.conf (subid:) names the source \"{}\", which cannot be a source's name (a-z, 0-9 and _, \
             at most 50)",
            Quoted(named)
        ),
        Ok(_) if !policy.failed.is_empty() => {
            policy.failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
        Ok(sources) if sources.plugins.is_empty() => in_file(),
        Ok(sources) => {
            let quoted = sources.plugins.iter().map(|plugin| format!("\"{plugin}\""));
            let asked = quoted.collect::<Vec<_>>().join(", ");
            let by_plugins = format!("{word} {} is not granted to {owner} by {asked}", refused.missing);
            let by_plugins = by_plugins + " (subid: in /etc/nsswitch.conf)";
            if sources.files { by_plugins + "; " + &in_file() } else { by_plugins }
        }
    };
    let exempt = if caller.own(Kind::Uid).raw() == 0 { "; root is not exempt" } else { "" };
    let own = caller.own(program.kind);
    let files_decide = policy.failed.is_empty() && policy.sources.as_ref().is_ok_and(|sources| sources.files);
    let help = if policy.sources.is_err() {
        "; with \"subid: files\" the file decides".to_owned()
    } else if host.contains(own) && host.count() > 1 {
        format!("; the caller's own {word} {own} is allowed by itself only, with count 1")
    } else if refused.missing.raw() < FIRST_FREE {
        format!("; host {word}s below {FIRST_FREE} are for accounts of this host, not for containers")
    } else if !files_decide {
        String::new()
    } else {
        format!("; root can grant more: usermod --add-sub{word}s FIRST-LAST {owner}")
    };
    rule + exempt + &help
}

/// A rule of the host's own, and what it has against a request.
pub(crate) fn forbidden(program: &Program, host_policy: &HostPolicy, forbidden: &Forbidden) -> Error {
    let (word, file) = (program.kind.word(), program.kind.policy_file());
    let why = match &forbidden.why {
        Why::OtherOwner(other) => match other.line {
            Some(line) => {
                format!("{word} {} is granted to another owner too, by line {line} of /etc/{file}", other.id)
            }
            None => format!("/etc/{file} grants some of it to another owner too"),
        },
        Why::Protected(id) => format!("{word} {id} is protected on this host"),
        Why::Account(account) => {
            let kind = if program.kind == Kind::Uid { "account" } else { "group" };
            format!("{word} {} is the {kind} {} of this host", account.id, Quoted(&account.name))
        }
        Why::TooMany(ids, most) => format!("{ids} {word}s in all; at most {most} can be mapped at once"),
        Why::Live(live) => {
            format!("{word} {} is in use: the user namespace of process {} maps it", live.id, live.pid)
        }
        Why::NoLimit(what) => what.clone(),
        Why::Unknown(None) => "what this rule is about cannot be found out".to_owned(),
        Why::Unknown(Some(why)) => format!("what this rule is about cannot be found out: {why}"),
    };
    let what = forbidden.triple.map_or_else(
        || format!("this {} is", program.kind.map_file()),
        |triple| format!("{word} range {triple}"),
    );
    Error::Forbidden { what, rule: host_policy.rule(forbidden.key, forbidden.line, why) }
}

/// 16-bit ids are where hosts have their accounts; `useradd` grants subordinate ids from 100000 up: `login.defs(5)`.
const FIRST_FREE: u32 = 65536;

/// Why a namespace is not the caller's to map. None: it is, or the kernel would not say.
pub(crate) fn foreign_namespace(caller: &Caller, relation: Relation) -> Option<String> {
    let uid = caller.own(Kind::Uid);
    match relation {
        Relation::Child { owner } if owner == uid.raw() => None,
        Relation::Child { owner } => {
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
    program: &Program,
    target: &Target,
    raised: &Raised,
    maps_host_root: bool,
    errno: Errno,
) -> String {
    if errno == Errno::ESRCH {
        return "the target process has ended".to_owned();
    }
    if errno == Errno::ENOENT {
        return "the target is not a process, or this kernel has no user namespaces".to_owned();
    }
    if errno == Errno::EINVAL {
        // Everything else that is no map to the kernel has been refused before.
        return "the kernel does not take this map; before Linux 4.15 it takes at most 5 ranges".to_owned();
    }
    let file = program.kind.map_file();
    if target.is_undumpable(file) {
        return "the target is not dumpable (prctl PR_SET_DUMPABLE, or a program it cannot read), so its /proc files \
                are root's; it has to stay dumpable until it is mapped"
            .to_owned();
    }
    if target.read(file).is_some_and(|map| !map.is_empty()) {
        return already_mapped(program.kind);
    }
    if maps_host_root && !raised.may_map_host_root {
        return "host uid 0 can be mapped only with CAP_SETFCAP (Linux 5.12), which a helper installed with \
                cap_setuid=ep, or called with a bounding set that lacks it, does not have"
            .to_owned();
    }
    if !raised.privileged {
        return unprivileged(program);
    }
    match confinement() {
        Some(label) => {
            format!(
                "a security module may forbid it: this process is confined as \"{}\"; see the audit log",
                Quoted(&label)
            )
        }
        None if matches!(target.namespace(), Ok(Relation::Unknown)) => {
            "the kernel will not say whose user namespace the target is in: probably another user made it"
                .to_owned()
        }
        None => "the kernel gives no reason; its log (dmesg) or a security module's may".to_owned(),
    }
}

/// The label of an LSM (AppArmor, SELinux, Smack) that confines this process.
fn confinement() -> Option<Vec<u8>> {
    let label = read_own("attr/current")?;
    let label = label.split(|byte| *byte == b'\n' || *byte == 0).next()?.to_vec();
    (!label.is_empty() && !label.starts_with(b"unconfined")).then_some(label)
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
