//! What the process may still do: the system calls and files of each stage, and no others. `tests/tests/confinement.rs` compares
//! them with those that are made.
//!
//! It becomes root, and root's files are all files: so here Landlock counts as much as the calls do.
//!
//! - [`Confinement::to_policy`], when the network namespace is held, and neither the twin nor a child that asks somebody is
//!   needed any more: nothing is run, no other process looked into, and nothing written but beneath `/run/lxc` and `/proc/sys/net`.
//!   (Beneath `/run`, where that has yet to be made.)
//! - [`Confinement::to_the_wiring`], when there is a place in the ledger and the grant is in the log: no id or
//!   capability is changed; and no file is read either but beneath those two. Nobody is sent anything but the kernel and the log.
//!
//! `ovs-vsctl` does not go with that: it has to have root's full power and may do what it likes. On a host that has it, the first
//! of these waits until it is known that a call has nothing to do with Open vSwitch; a call that has is not confined.

use std::cell::{Cell, OnceCell};
use std::os::fd::{AsFd, OwnedFd};

use common::Error;
use common::calls;
use common::os::audit::Log;
use common::os::calls::{F_GETFD, F_GETFL, F_OFD_SETLK, F_SETFD};
use common::os::calls::{at_last, by_path, fcntl, ioctl, prctl, sendto, socket, status};
use common::os::confine::{Call, Libc, List, Only, Program, enter};
use common::os::landlock::{self, Access};
use common::os::sysctl;
use nix::errno::Errno;

use crate::ovs;

/// How far the process has confined itself.
pub(crate) struct Confinement {
    /// May `ovs-vsctl` have to be run?
    open_vswitch: bool,
    in_policy: Cell<bool>,
    settings: OnceCell<OwnedFd>,
}

/// Where the ledger and the list are.
const LEDGER: &str = "/run/lxc";
const ABOVE_THE_LEDGER: &str = "/run";

impl Confinement {
    /// Nothing is confined yet.
    pub(crate) fn none_yet() -> Self {
        Self { open_vswitch: ovs::is_here(), in_policy: Cell::new(false), settings: OnceCell::new() }
    }

    /// The first stage: once, and not where Open vSwitch may have to be asked.
    pub(crate) fn to_policy(&self) -> Result<(), Error> {
        if self.open_vswitch || self.in_policy.replace(true) {
            return Ok(());
        }
        // It is there from boot on. If not, it is about to be made, and only the second stage can be narrower.
        let ledger = match landlock::directory(LEDGER) {
            Err(Errno::ENOENT) => landlock::directory(ABOVE_THE_LEDGER),
            opened => opened,
        };
        // The caller may have left no descriptor.
        let ledger = ledger.map_err(Error::when(format!("open {LEDGER}")))?;
        landlock::enter(Access::ALL.without(Access::READ), &given(&ledger, self.settings()?))?;
        static POLICY: Program = Program::of(&policy(Libc::OURS));
        enter(&POLICY)
    }

    /// The directory of the settings of interfaces.
    pub(crate) fn settings(&self) -> Result<&OwnedFd, Error> {
        if let Some(settings) = self.settings.get() {
            return Ok(settings);
        }
        let settings = sysctl::directory()?;
        Ok(self.settings.get_or_init(|| settings))
    }

    /// The second stage, for what has nothing to do with Open vSwitch. `ledger` is [`LEDGER`].
    pub(crate) fn to_the_wiring(&self, log: &Log, ledger: &OwnedFd) -> Result<(), Error> {
        log.look_no_further();
        landlock::enter(Access::ALL, &given(ledger, self.settings()?))?;
        static WIRING: Program = Program::of(&wiring(Libc::OURS));
        enter(&WIRING)
    }
}

fn given<'a>(ledger: &'a OwnedFd, settings: &'a OwnedFd) -> [(&'a dyn AsFd, Access); 2] {
    [(ledger, Access::READ.and(Access::WRITE).and(Access::CHANGE)), (settings, Access::WRITE)]
}

/// Calls from the policy files on: becoming root, a bridge, a place, and all that follows.
#[must_use]
pub const fn policy(libc: Libc) -> List {
    // For the log and for questions about interfaces, besides the kernel's own.
    const SOCKETS: Call = socket(&[Only::OneOf(0, &[AF_UNIX, AF_NETLINK]), Only::OneOf(2, &[NETLINK_ROUTE])]);
    // A syslog daemon that was started anew has to be looked for.
    const SENDING: Call = sendto(&[]);
    // The process stays as it is: nobody is to look into it.
    const HIDING: Call = prctl(&[Only::OneOf(0, &[PR_SET_DUMPABLE]), Only::OneOf(1, &[0])]);
    let own = calls![
        SYS_capget,
        SYS_capset,
        SYS_fallocate,
        SYS_fstatfs,
        SYS_getdents64,
        SYS_getgid,
        SYS_getgroups,
        SYS_getresgid,
        SYS_getresuid,
        SYS_landlock_add_rule,
        SYS_landlock_create_ruleset,
        SYS_landlock_restrict_self,
        SYS_mkdirat,
        SYS_readlinkat,
        SYS_seccomp,
        SYS_setgroups,
        SYS_setresgid,
        SYS_setresuid,
        SYS_umask,
    ];
    wiring(libc).with(SOCKETS).with(SENDING).and(own).and(by_path(libc)).and(random(libc)).and(&[HIDING])
}

/// Calls of the wiring. A connection to the kernel that has broken is replaced by a new one, to take back what was made.
#[must_use]
pub const fn wiring(libc: Libc) -> List {
    const REQUESTS: Call = ioctl(&[Only::OneOf(1, &[SIOCGIFNAME, SIOCGIFHWADDR])]);
    const SOCKETS: Call = socket(&[Only::OneOf(0, &[AF_NETLINK]), Only::OneOf(2, &[NETLINK_ROUTE])]);
    // To whom the socket is connected, or the kernel: there is no address.
    const SENDING: Call = sendto(&[Only::OneOf(5, &[0])]);
    const DESCRIPTORS: Call = fcntl(&[Only::OneOf(1, &[F_GETFD, F_SETFD, F_GETFL, F_OFD_SETLK])]);
    let own = calls![
        // Where the processor's clock is no good, only the kernel can tell the time: vdso(7).
        SYS_clock_gettime,
        SYS_clock_nanosleep,
        SYS_ftruncate,
        SYS_lseek,
        SYS_openat,
        SYS_pread64,
        SYS_pwrite64,
        SYS_read,
        SYS_recvfrom,
        SYS_renameat,
    ];
    at_last(libc).with(SENDING).and(own).and(&[REQUESTS, SOCKETS, DESCRIPTORS]).and(status(libc))
}

/// getrandom(2), which with glibc is among what every program does.
const fn random(libc: Libc) -> &'static [Call] {
    match libc {
        Libc::Gnu => &[],
        Libc::Musl => calls![SYS_getrandom],
    }
}

// netdevice(7)
const SIOCGIFNAME: u32 = 0x8910;
const SIOCGIFHWADDR: u32 = 0x8927;

// prctl(2)
const PR_SET_DUMPABLE: u32 = 4;

// socket(2)
const AF_UNIX: u32 = 1;
const AF_NETLINK: u32 = 16;
/// rtnetlink(7), and no other: udev(7) believes what root says on another one. Of a unix socket, too, it is 0.
const NETLINK_ROUTE: u32 = 0;
