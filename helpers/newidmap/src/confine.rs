//! What the process may still do: the system calls of each stage, and no others. `tests/tests/confinement.rs` compares them with those
//! that are made.
//!
//! Files need no more than that. Until the last one is open, the process opens them with its caller's rights, so none that he
//! could not open himself (all of them, if he is root); from then on it opens nothing. So Landlock would take nothing from him.

use common::Error;
use common::calls;
use common::os::calls::{F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFD};
use common::os::calls::{LABELS, at_last, by_path, fcntl, ioctl, status};
use common::os::confine::{Call, Libc, List, Only, Program, enter};

/// As soon as nothing has to be run any more, neither the twin nor a child that asks somebody: from there to the end.
pub(crate) fn to_checks() -> Result<(), Error> {
    static CHECKS: Program = Program::of(&checks(Libc::OURS));
    enter(&CHECKS)
}

/// When the last file is open, and policy still says so: the log, two writes at most, and the end.
pub(crate) fn to_the_deed() -> Result<(), Error> {
    static DEED: Program = Program::of(&deed(Libc::OURS));
    enter(&DEED)
}

/// Calls of the checks and of all that follows. They open and read; they raise one capability.
#[must_use]
pub const fn checks(libc: Libc) -> List {
    const NAMESPACES: Call = ioctl(&[Only::OneOf(1, &[NS_GET_PARENT, NS_GET_OWNER_UID])]);
    const DESCRIPTORS: Call = fcntl(&[Only::OneOf(1, &[F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC])]);
    let own = calls![
        SYS_capget,
        SYS_capset,
        SYS_fstatfs,
        SYS_getdents64,
        SYS_getresgid,
        SYS_getresuid,
        SYS_lseek,
        SYS_openat,
        SYS_read,
        SYS_readlinkat,
        SYS_seccomp,
        SYS_statfs,
    ];
    at_last(libc).and(own).and(status(libc)).and(&[NAMESPACES, DESCRIPTORS, LABELS]).and(by_path(libc))
}

/// Calls of the deed.
#[must_use]
pub const fn deed(libc: Libc) -> List {
    at_last(libc).and(calls![SYS_lseek, SYS_newfstatat, SYS_read])
}

// ioctl_ns(2)
const NS_GET_PARENT: u32 = 0xb702;
const NS_GET_OWNER_UID: u32 = 0xb704;
