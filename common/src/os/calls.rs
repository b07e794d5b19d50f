//! The system calls behind what every helper does: the C libraries, and machines, differ in which.
//!
//! Kernels do not: what is listed here was there before Linux 5.10, with one exception that says so. A newer kernel, or C library,
//! may have another call for the same; until it is in a list it fails, and so does the helper.

use nix::libc;

use super::confine::{Call, Libc, List, Only};
use super::sys::LSM_GET_SELF_ATTR;
use crate::calls;

/// From anywhere to the end: memory, the log, a line on standard output or error that waits for nobody for long, and exit.
#[must_use]
pub const fn at_last(libc: Libc) -> List {
    const MEMORY: Call = anything("SYS_mmap", libc::SYS_mmap).only(&[Only::Without(2, PROT_EXEC)]);
    let all = calls![
        SYS_brk,
        SYS_close,
        SYS_exit_group,
        SYS_getpid,
        SYS_mremap,
        SYS_munmap,
        // The kernel's own, where a wait goes on after SIGSTOP and SIGCONT.
        SYS_restart_syscall,
        SYS_rt_sigaction,
        SYS_rt_sigprocmask,
        SYS_sendto,
        SYS_write,
    ];
    List::new().and(all).and(&[MEMORY]).and(waiting()).and(alarm(libc)).and(allocator(libc))
}

/// `mman.h`: memory that can be run. None is needed any more.
const PROT_EXEC: u32 = 4;

/// glibc's allocator draws a number by lot when it is first asked: which may be late, as ours comes first. musl's, where the kernel
/// gives it nothing by `brk`, sets an area aside, and makes it writable in parts.
const fn allocator(libc: Libc) -> &'static [Call] {
    const WRITABLE: Call = anything("SYS_mprotect", libc::SYS_mprotect).only(&[Only::Without(2, PROT_EXEC)]);
    match libc {
        Libc::Gnu => calls![SYS_getrandom],
        Libc::Musl => &[WRITABLE],
    }
}

/// Looking at a file that is open, or not to be.
#[must_use]
pub const fn status(libc: Libc) -> &'static [Call] {
    match libc {
        // std asks for a file's metadata in its own way. glibc has used one and the other for fstat(3).
        Libc::Gnu => calls![SYS_fstat, SYS_newfstatat, SYS_statx],
        Libc::Musl => calls![SYS_fstat, SYS_newfstatat],
    }
}

/// ioctl(2), for these requests.
#[must_use]
pub const fn ioctl(only: &'static [Only]) -> Call {
    anything("SYS_ioctl", libc::SYS_ioctl).only(only)
}

/// `lsm_get_self_attr(2)`: the one call that not every kernel has.
pub const LABELS: Call = anything("SYS_lsm_get_self_attr", LSM_GET_SELF_ATTR);

/// sendto(2), to these.
#[must_use]
pub const fn sendto(only: &'static [Only]) -> Call {
    anything("SYS_sendto", libc::SYS_sendto).only(only)
}

/// socket(2), for these kinds.
#[must_use]
pub const fn socket(only: &'static [Only]) -> Call {
    anything("SYS_socket", libc::SYS_socket).only(only)
}

/// fcntl(2), for these requests. Among the others are such as have the kernel send a signal in the process's name (`F_SETOWN`,
/// `F_SETSIG`): from root's, to anybody.
#[must_use]
pub const fn fcntl(only: &'static [Only]) -> Call {
    anything("SYS_fcntl", libc::SYS_fcntl).only(only)
}

/// Is it closed on exec?
pub const F_GETFD: u32 = 1;
/// Let it be.
pub const F_SETFD: u32 = 2;
/// How it was opened.
pub const F_GETFL: u32 = 3;
/// A lock that belongs to the open file.
pub const F_OFD_SETLK: u32 = 37;
/// A copy that is closed on exec.
pub const F_DUPFD_CLOEXEC: u32 = 1030;

/// prctl(2), for these requests.
#[must_use]
pub const fn prctl(only: &'static [Only]) -> Call {
    anything("SYS_prctl", libc::SYS_prctl).only(only)
}

const fn anything(name: &'static str, number: libc::c_long) -> Call {
    Call { name, number, only: &[] }
}

/// poll(2)
#[cfg(target_arch = "x86_64")]
const fn waiting() -> &'static [Call] {
    calls![SYS_poll]
}

#[cfg(not(target_arch = "x86_64"))]
const fn waiting() -> &'static [Call] {
    calls![SYS_ppoll]
}

/// alarm(2). Only glibc, and only on x86_64, asks the kernel for it by that name.
#[cfg(target_arch = "x86_64")]
const fn alarm(libc: Libc) -> &'static [Call] {
    match libc {
        Libc::Gnu => calls![SYS_alarm],
        Libc::Musl => calls![SYS_setitimer],
    }
}

#[cfg(not(target_arch = "x86_64"))]
const fn alarm(_: Libc) -> &'static [Call] {
    calls![SYS_setitimer]
}

/// open(2) and stat(2), where they are calls of their own.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub const fn by_path(libc: Libc) -> &'static [Call] {
    match libc {
        Libc::Gnu => &[],
        Libc::Musl => calls![SYS_open, SYS_stat],
    }
}

/// The same.
#[cfg(not(target_arch = "x86_64"))]
#[must_use]
pub const fn by_path(_: Libc) -> &'static [Call] {
    &[]
}
