//! What the kernel lets users do with user namespaces.

use common::policy::limits::proc_hides_processes;
use common::policy::settings::in_force;
use nix::sys::prctl;

use super::files::settings;
use super::probe::{Finding, State};
use super::quoted;
use crate::root::Root;

/// A short file of the kernel's.
pub(super) fn read(path: &str) -> Option<String> {
    let text = std::fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

/// Has the caller given up getting privilege from files? Then so have all that he starts.
pub(super) fn no_new_privs(_: &Root) -> Vec<Finding> {
    vec![match prctl::get_no_new_privs() {
        Ok(false) => Finding::ok("programs that the caller starts can get privilege from their files"),
        Ok(true) => Finding::bad(
            State::Problem,
            "no_new_privs is set for the caller",
            "what it starts gets no privilege, so no helper works from here: a service with NoNewPrivileges=yes, a \
             container or a sandbox is around it; start containers from outside of that",
            "grep -s NoNewPrivs /proc/[0-9]*/status",
        ),
        Err(errno) => Finding::unknown("no_new_privs could not be asked for", errno.desc()),
    }]
}

/// May users make them, by the kernel's settings?
pub(super) fn user_namespaces(_: &Root) -> Vec<Finding> {
    let mut found = Vec::new();
    match read("/proc/sys/user/max_user_namespaces").as_deref() {
        Some("0") => found.push(Finding::bad(
            State::Problem,
            "user.max_user_namespaces is 0",
            "nobody can make a user namespace",
            "sysctl -w user.max_user_namespaces=15000",
        )),
        Some(_) => {}
        None => found.push(Finding::unknown(
            "user.max_user_namespaces cannot be read",
            "a kernel without CONFIG_USER_NS, or no /proc/sys",
        )),
    }
    if read("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        found.push(Finding::bad(
            State::Problem,
            "kernel.unprivileged_userns_clone is 0",
            "only root can make a user namespace",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ));
    }
    if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").is_some_and(|value| value != "0") {
        found.push(Finding::bad(
            State::Warning,
            "kernel.apparmor_restrict_unprivileged_userns is set",
            "a program without an AppArmor profile that says userns has no power in the namespace that it makes",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ));
    }
    if found.is_empty() {
        found.push(Finding::ok("users can make user namespaces"));
    }
    found
}

/// Does AppArmor, SELinux or another one confine the caller?
pub(super) fn security_modules(_: &Root) -> Vec<Finding> {
    let mut found = Vec::new();
    let label = read("/proc/self/attr/apparmor/current").or_else(|| read("/proc/self/attr/current"));
    if let Some(label) = &label {
        let label = label.trim_end_matches('\0');
        let free = label.is_empty() || label.starts_with("unconfined") || label.contains("unconfined_");
        if !free {
            found.push(Finding::bad(
                State::Warning,
                format!("the caller is confined: {}", quoted(label.as_bytes())),
                "its profile or domain may forbid user namespaces or the helpers",
                "aa-status || ausearch -m avc -ts recent",
            ));
        }
    }
    if read("/proc/self/status").is_some_and(|status| status.contains("Seccomp:\t2")) {
        found.push(Finding::bad(
            State::Warning,
            "the caller is under a seccomp filter",
            "it may forbid unshare(2) and clone(2) with CLONE_NEWUSER, as in a container or a service with a filter",
            "grep -s Seccomp: /proc/[0-9]*/status",
        ));
    }
    if found.is_empty() {
        let modules =
            read("/sys/kernel/security/lsm").map(|modules| format!(" ({})", quoted(modules.as_bytes())));
        found.push(Finding::ok(format!("nothing confines the caller{}", modules.unwrap_or_default())));
    }
    found
}

/// Is `/proc` there, and does it show processes?
pub(super) fn proc(root: &Root) -> Vec<Finding> {
    let hides = common::os::target::own_mountinfo().ok().map(|text| proc_hides_processes(&text));
    vec![match hides.flatten() {
        None => Finding::bad(
            State::Problem,
            "there is no /proc",
            "the helpers write maps through it",
            "mount -t proc proc /proc",
        ),
        Some(false) => Finding::ok("/proc shows the processes of all users"),
        Some(true) => {
            let exclusive = in_force(settings(root).unwrap_or_default().idmap.exclusive).is_some();
            let (state, cause) = if exclusive {
                (
                    State::Problem,
                    "with exclusive = yes in /etc/nsgate.ini no map is made, as others' cannot be seen",
                )
            } else {
                (State::Warning, "tools of containers that look at processes of other users see none")
            };
            Finding::bad(state, "/proc hides processes (hidepid)", cause, "mount -o remount,hidepid=0 /proc")
        }
    }]
}
