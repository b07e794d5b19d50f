//! What the process may still do: the system calls of each stage, and no others. `tests/tests/confinement.rs` compares them with those
//! that are made.
//!
//! Files need no more than that. Until the last one is open, the process opens them with its caller's rights, so none that he
//! could not open himself (all of them, if he is root); from then on it opens nothing. So Landlock would take nothing from him.

use common::Error;
use common::calls;
use common::os::calls::{F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFD};
use common::os::calls::{at_last, fcntl, files, ioctl, status};
use common::os::confine::{Call, Libc, Only, enter};

/// As soon as nothing has to be run any more, neither the twin nor a child that asks somebody: from there to the end.
pub(crate) fn to_checks() -> Result<(), Error> {
    enter(&checks(Libc::OURS))
}

/// When the last file is open: the log, two writes at most, and the end.
pub(crate) fn to_the_deed() -> Result<(), Error> {
    enter(&deed(Libc::OURS))
}

/// Calls of the checks and of all that follows. They open and read; they raise one capability.
#[must_use]
pub fn checks(libc: Libc) -> Vec<Call> {
    const NAMESPACES: Call = ioctl(&[Only::OneOf(1, &[NS_GET_PARENT, NS_GET_OWNER_UID])]);
    const DESCRIPTORS: Call = fcntl(&[Only::OneOf(1, &[F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC])]);
    let own = calls![
        SYS_capget,
        SYS_capset,
        SYS_fstatfs,
        SYS_getdents64,
        SYS_getresgid,
        SYS_getresuid,
        SYS_readlinkat,
        SYS_seccomp,
        SYS_statfs,
    ];
    let common: Vec<Call> = deed(libc).into_iter().filter(|call| !status(libc).contains(call)).collect();
    [common, own.to_vec(), vec![NAMESPACES, DESCRIPTORS], files(libc)].concat()
}

/// Calls of the deed.
#[must_use]
pub fn deed(libc: Libc) -> Vec<Call> {
    [&at_last(libc), status(libc), calls![SYS_lseek, SYS_read]].concat()
}

// ioctl_ns(2)
const NS_GET_PARENT: u32 = 0xb702;
const NS_GET_OWNER_UID: u32 = 0xb704;
