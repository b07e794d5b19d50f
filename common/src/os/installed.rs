//! How this program's own file is installed, asked only to explain why it has no privilege.

use nix::fcntl::{AT_FDCWD, readlinkat};
use nix::sys::stat::{Mode, stat};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::confine::no_new_privs_of_the_callers;

/// What the file gives, or what keeps it from giving.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Installed {
    /// The caller gave up getting privilege from any file: `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges,
    /// The file is on a file system mounted nosuid.
    Nosuid,
    /// Set-user-ID root, as far as can be told where root does not exist.
    SetUid,
    /// None of these.
    Plain,
}

/// As whose a file shows whose owner does not exist in this user namespace.
const OVERFLOW: u32 = 65534;

/// The kernel's link to the running program: not a path that the caller could have given.
const OWN_FILE: &str = "/proc/self/exe";

/// Looks.
#[must_use]
pub fn look() -> Installed {
    if no_new_privs_of_the_callers() {
        return Installed::NoNewPrivileges;
    }
    if statvfs(OWN_FILE).is_ok_and(|file_system| file_system.flags().contains(FsFlags::ST_NOSUID)) {
        return Installed::Nosuid;
    }
    match stat(OWN_FILE) {
        Ok(status)
            if [0, OVERFLOW].contains(&status.st_uid) && status.st_mode & Mode::S_ISUID.bits() != 0 =>
        {
            Installed::SetUid
        }
        Ok(_) | Err(_) => Installed::Plain,
    }
}

/// Why the program `name` has not the capability it is for, and what would help. `with` is another way than
/// set-user-ID root to install it, as setcap(8) has it.
#[must_use]
pub fn why_without(name: &str, capability: &str, with: Option<&str>) -> String {
    match look() {
        Installed::NoNewPrivileges => format!(
            "no_new_privs is set for the calling process, so {name} gets no privilege from its file; call it without \
             (systemd: NoNewPrivileges=no; setpriv: no --no-new-privs)"
        ),
        Installed::Nosuid => format!(
            "{name} is on a file system mounted nosuid, so it gets no privilege from its file; install it on one that \
             is not"
        ),
        Installed::SetUid => format!(
            "{name} is installed set-user-ID root but was started without {capability}; the caller's capability \
             bounding set lacks it, or it is being traced (strace, gdb), or root does not exist in this user namespace"
        ),
        Installed::Plain => {
            let or_with = with.map_or_else(String::new, |with| format!(" nor with {with}"));
            let mend = path_of(name).map_or_else(
                || "install it from its package".to_owned(),
                |path| {
                    let or = with.map_or_else(String::new, |with| format!(", or setcap {with} {path}"));
                    format!("chmod u+s {path}{or}")
                },
            );
            format!("{name} is not installed set-user-ID root{or_with}; root can mend that: {mend}")
        }
    }
}

/// Where it may be set-user-ID.
const PLACES: [&str; 7] = [
    "/usr/bin",
    "/usr/libexec/lxc",
    "/usr/libexec/nsgate",
    "/usr/libexec/nsgate/bin",
    "/usr/lib/lxc",
    "/usr/lib/nsgate",
    "/usr/lib/nsgate/bin",
];

/// Where the program is, if that may stand in a command for root to copy. A caller can have a file of his own called so, and, in a mount
/// namespace, make any file seem to be anywhere: in these places, what is root's alone is what it is called.
fn path_of(name: &str) -> Option<String> {
    let status = stat(OWN_FILE).ok()?;
    let is_roots = status.st_uid == 0 && status.st_mode & (Mode::S_IWGRP | Mode::S_IWOTH).bits() == 0;
    let path = readlinkat(AT_FDCWD, OWN_FILE).ok()?.into_string().ok()?;
    PLACES.iter().map(|place| format!("{place}/{name}")).find(|known| is_roots && *known == path)
}
