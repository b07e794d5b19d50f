//! Theory of operation: how much power the process has, and when.
//!
//! An installed helper starts with too much: set-user-ID root gives every capability, file capabilities give a few.
//! Power only ever shrinks, in stages, each a type that the next one needs. All begin alike:
//!
//! 1. [`Cut`]: permitted capabilities are cut to the one the helper is for and what getting there takes; none is in
//!    effect. The effective user is still root in a set-user-ID install, but a root without capabilities. In this stage,
//!    and only in it, the policy files are opened: they are root's and may be 0600.
//!
//! `newuidmap` and `newgidmap` (CAP_SETUID, CAP_SETGID; CAP_SETFCAP if it was there) then act as their caller:
//!
//! 2. [`Lowered`]: real, effective and saved ids are the caller's real ids, for good. Whatever the caller names (a
//!    pid, a descriptor) is opened now, so with nothing but the caller's own rights.
//! 3. [`Raised`]: the capability is put into effect, alone; CAP_SETFCAP with it only if host id 0 is to be mapped
//!    (the kernel asks for it since 5.12). The sets and ids are read back from the kernel and compared. The map is
//!    opened and written now. The caller's effective uid is what makes the kernel see the owner of the target
//!    namespace, so CAP_SYS_ADMIN is not needed anywhere (`user_namespaces(7)`).
//!
//! `lxc-user-nic` (CAP_NET_ADMIN; CAP_SETUID and CAP_SETGID to become root) changes things of the host's in several
//! steps, which its caller must not be able to stop between two of them:
//!
//! 2. [`Cut::as_caller`]: what the caller names is opened with his effective uid, for as long as that takes.
//! 3. [`Root`]: all ids are 0 and every signal is blocked, so that the caller can no longer end or stop the process;
//!    CAP_NET_ADMIN is in effect, and the only capability there is. The sets and ids are read back and compared.
//!
//! A helper installed without privilege goes through the same stages with nothing in its hands, and can still write
//! the one map the kernel allows everybody: a single extent of one's own id.

use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, ResGid, ResUid, Uid};
use nix::unistd::{geteuid, getgid, getgroups, getresgid, getresuid, getuid};

use super::sys::{self, CapabilitySets, leave_groups, seteuid, setresgid, setresuid};
use crate::Error;

/// A capability that a helper may hold: `capabilities(7)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Capability {
    /// `CAP_SETGID`
    SetGid,
    /// `CAP_SETUID`
    SetUid,
    /// `CAP_NET_ADMIN`
    NetAdmin,
    /// `CAP_SYS_PTRACE`
    SysPtrace,
    /// `CAP_SETFCAP`
    SetFcap,
}

impl Capability {
    /// The name as the kernel's documents spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SetGid => "CAP_SETGID",
            Self::SetUid => "CAP_SETUID",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SetFcap => "CAP_SETFCAP",
        }
    }

    /// Its place in a set: the kernel's `linux/capability.h` numbers them.
    const fn bit(self) -> u64 {
        match self {
            Self::SetGid => 1 << 6,
            Self::SetUid => 1 << 7,
            Self::NetAdmin => 1 << 12,
            Self::SysPtrace => 1 << 19,
            Self::SetFcap => 1 << 31,
        }
    }
}

/// Stage 1: a few capabilities, none in effect.
#[derive(Debug)]
pub struct Cut {
    main: Capability,
    permitted: u64,
}

/// Stage 3 of `lxc-user-nic`: root in every id, with one capability, out of the caller's reach.
#[derive(Debug)]
pub struct Root {
    _made_by_become_root: (),
}

/// Stage 2: the caller's own ids, no capability in effect.
#[derive(Debug)]
pub struct Lowered {
    main: Capability,
    permitted: u64,
    uid: Uid,
    gid: Gid,
}

/// Stage 3: the caller's own ids, and the capability in effect if the helper is installed with it.
#[derive(Debug)]
pub struct Raised {
    /// Is the helper's capability in effect?
    pub privileged: bool,
    /// Is CAP_SETFCAP in effect too?
    pub may_map_host_root: bool,
}

/// Enters stage 1, for a helper that is for `main` and needs `others` on the way.
///
/// # Errors
/// The kernel refused: the program must not go on.
pub fn cut_to(main: Capability, others: &[Capability]) -> Result<Cut, Error> {
    let had = sys::capabilities().map_err(Error::when("read capabilities"))?;
    let wanted = others.iter().fold(main.bit(), |bits, other| bits | other.bit());
    let permitted = had.permitted & wanted;
    set(CapabilitySets { permitted, ..CapabilitySets::default() })?;
    Ok(Cut { main, permitted })
}

/// No stage: the end of all privilege, for what needs none.
///
/// # Errors
/// The kernel refused.
pub fn give_up() -> Result<(), Error> {
    set(CapabilitySets::default())?;
    let (uid, gid) = (getuid(), getgid());
    setresgid(gid, gid, gid).map_err(Error::when("become the calling group"))?;
    setresuid(uid, uid, uid).map_err(Error::when("become the calling user"))?;
    stay_undumpable()?;
    confirm(CapabilitySets::default(), uid, gid)
}

impl Cut {
    /// Enters stage 2.
    ///
    /// # Errors
    /// The kernel refused: the program must not go on.
    pub fn lower(self) -> Result<Lowered, Error> {
        let (uid, gid) = (getuid(), getgid());
        // Without this, giving up uid 0 would take the permitted capabilities along.
        prctl::set_keepcaps(true).map_err(Error::when("keep the capability over the change of user"))?;
        setresgid(gid, gid, gid).map_err(Error::when("become the calling group"))?;
        setresuid(uid, uid, uid).map_err(Error::when("become the calling user"))?;
        stay_undumpable()?;
        Ok(Lowered { main: self.main, permitted: self.permitted, uid, gid })
    }
}

impl Cut {
    /// Is this capability there to be put into effect?
    #[must_use]
    pub const fn may_raise(&self, capability: Capability) -> bool {
        self.permitted & capability.bit() != 0
    }

    /// Does something with the caller's own rights, and comes back to this stage. His groups are in force anyhow, as
    /// the program is not set-group-ID.
    ///
    /// A root caller's rights include looking into any process, for which he would have a capability.
    ///
    /// # Errors
    /// What `deed` answers, or the kernel refused: the program must not go on.
    pub fn as_caller<T>(&self, deed: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let (user, caller) = (geteuid(), getuid());
        seteuid(caller).map_err(Error::when("act as the calling user"))?;
        let effective = if caller.is_root() { self.permitted & Capability::SysPtrace.bit() } else { 0 };
        set(CapabilitySets { permitted: self.permitted, effective, inheritable: 0 })?;
        stay_undumpable()?;
        let outcome = deed();
        seteuid(user).map_err(Error::when("stop acting as the calling user"))?;
        // With the effective uid 0 the kernel has put into effect what is permitted.
        set(CapabilitySets { permitted: self.permitted, ..CapabilitySets::default() })?;
        stay_undumpable()?;
        outcome
    }

    /// Enters stage 3 of `lxc-user-nic`.
    ///
    /// # Errors
    /// The kernel refused, or says something else when asked again: the program must not go on.
    pub fn become_root(self) -> Result<Root, Error> {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)
            .map_err(Error::when("block signals"))?;
        let becoming = self.permitted & (Capability::SetUid.bit() | Capability::SetGid.bit());
        set(CapabilitySets { permitted: self.permitted, effective: becoming, inheritable: 0 })?;
        let (root, roots) = (Uid::from_raw(0), Gid::from_raw(0));
        leave_groups().map_err(Error::when("leave the caller's groups"))?;
        setresgid(roots, roots, roots).map_err(Error::when("become root's group"))?;
        setresuid(root, root, root).map_err(Error::when("become root"))?;
        let held = self.permitted & self.main.bit();
        let sets = CapabilitySets { effective: held, permitted: held, inheritable: 0 };
        set(sets)?;
        stay_undumpable()?;
        // The modes that files are made with are those that stand in the calls.
        umask(Mode::from_bits_truncate(0o022));

        confirm(sets, root, roots)?;
        if getgroups().map_err(Error::when("read back groups"))?.is_empty() {
            Ok(Root { _made_by_become_root: () })
        } else {
            Err(Error::NotReduced)
        }
    }
}

impl Lowered {
    /// Is this capability there to be raised?
    #[must_use]
    pub const fn may_raise(&self, capability: Capability) -> bool {
        self.permitted & capability.bit() != 0
    }

    /// The caller: the real uid.
    #[must_use]
    pub const fn uid(&self) -> Uid {
        self.uid
    }

    /// The caller's real gid.
    #[must_use]
    pub const fn gid(&self) -> Gid {
        self.gid
    }

    /// Enters stage 3, with CAP_SETFCAP too if host id 0 is to be mapped. Reads back what the kernel made of it.
    ///
    /// # Errors
    /// The kernel refused, or says something else when asked again: the program must not go on.
    pub fn raise(self, maps_host_root: bool) -> Result<Raised, Error> {
        let wanted =
            if maps_host_root { self.main.bit() | Capability::SetFcap.bit() } else { self.main.bit() };
        let held = self.permitted & wanted;
        let sets = CapabilitySets { effective: held, permitted: held, inheritable: 0 };
        set(sets)?;

        confirm(sets, self.uid, self.gid)?;
        let in_effect = |capability: Capability| held & capability.bit() != 0;
        Ok(Raised { privileged: in_effect(self.main), may_map_host_root: in_effect(Capability::SetFcap) })
    }
}

/// Asks the kernel what it has made of it.
fn confirm(sets: CapabilitySets, user: Uid, group: Gid) -> Result<(), Error> {
    let now = sys::capabilities().map_err(Error::when("read back capabilities"))?;
    let users = getresuid().map_err(Error::when("read back user ids"))?;
    let groups = getresgid().map_err(Error::when("read back group ids"))?;
    let as_asked = now == sets
        && users == ResUid { real: user, effective: user, saved: user }
        && groups == ResGid { real: group, effective: group, saved: group };
    if as_asked { Ok(()) } else { Err(Error::NotReduced) }
}

/// A change of user sets this anew, to fs.suid_dumpable.
fn stay_undumpable() -> Result<(), Error> {
    prctl::set_dumpable(false).map_err(Error::when("make the process undumpable"))
}

fn set(sets: CapabilitySets) -> Result<(), Error> {
    sys::set_capabilities(sets).map_err(Error::when("reduce capabilities"))
}
