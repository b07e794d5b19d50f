//! Theory of operation: how much power the process has, and when.
//!
//! An installed helper starts with too much: set-user-ID root gives every capability, file capabilities give one.
//! Power only ever shrinks, in three stages, each a type that the next one needs:
//!
//! 1. [`Cut`]: permitted capabilities are cut to the one the helper is for (CAP_SETUID or CAP_SETGID), and
//!    CAP_SETFCAP if it was there; none is in effect. The effective user is still root in a set-user-ID install, but
//!    a root without capabilities. In this stage, and only in it, the policy files are opened: they are root's and
//!    may be 0600.
//! 2. [`Lowered`]: real, effective and saved ids are the caller's real ids, for good. Whatever the caller names (a
//!    pid, a descriptor) is opened now, so with nothing but the caller's own rights.
//! 3. [`Raised`]: the capability is put into effect, alone; CAP_SETFCAP with it only if host id 0 is to be mapped
//!    (the kernel asks for it since 5.12). The sets and ids are read back from the kernel and compared. The map is
//!    opened and written now. The caller's effective uid is what makes the kernel see the owner of the target
//!    namespace, so CAP_SYS_ADMIN is not needed anywhere (`user_namespaces(7)`).
//!
//! A helper installed without privilege goes through the same stages with nothing in its hands, and can still write
//! the one map the kernel allows everybody: a single extent of one's own id.

use nix::sys::prctl;
use nix::unistd::{Gid, ResGid, ResUid, Uid, getgid, getresgid, getresuid, getuid, setresgid, setresuid};

use super::sys::{self, CapabilitySets};
use crate::Error;

/// A capability that a helper may hold: `capabilities(7)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Capability {
    /// `CAP_SETGID`
    SetGid,
    /// `CAP_SETUID`
    SetUid,
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
            Self::SetFcap => "CAP_SETFCAP",
        }
    }

    /// Its place in a set: the kernel's `linux/capability.h` numbers them.
    const fn bit(self) -> u64 {
        match self {
            Self::SetGid => 1 << 6,
            Self::SetUid => 1 << 7,
            Self::SetFcap => 1 << 31,
        }
    }
}

/// Stage 1: at most two capabilities, none in effect.
#[derive(Debug)]
pub struct Cut {
    main: Capability,
    permitted: u64,
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

/// Enters stage 1.
///
/// # Errors
/// The kernel refused: the program must not go on.
pub fn cut_to(main: Capability) -> Result<Cut, Error> {
    let had = sys::capabilities().map_err(Error::when("read capabilities"))?;
    let permitted = had.permitted & (main.bit() | Capability::SetFcap.bit());
    set(CapabilitySets { permitted, ..CapabilitySets::default() })?;
    Ok(Cut { main, permitted })
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
        // A change of user sets this anew, to fs.suid_dumpable.
        prctl::set_dumpable(false).map_err(Error::when("make the process undumpable"))?;
        Ok(Lowered { main: self.main, permitted: self.permitted, uid, gid })
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

        let (uid, gid) = (self.uid, self.gid);
        let now = sys::capabilities().map_err(Error::when("read back capabilities"))?;
        let users = getresuid().map_err(Error::when("read back user ids"))?;
        let groups = getresgid().map_err(Error::when("read back group ids"))?;
        if now != sets
            || users != (ResUid { real: uid, effective: uid, saved: uid })
            || groups != (ResGid { real: gid, effective: gid, saved: gid })
        {
            return Err(Error::NotReduced);
        }
        let in_effect = |capability: Capability| held & capability.bit() != 0;
        Ok(Raised { privileged: in_effect(self.main), may_map_host_root: in_effect(Capability::SetFcap) })
    }
}

fn set(sets: CapabilitySets) -> Result<(), Error> {
    sys::set_capabilities(sets).map_err(Error::when("reduce capabilities"))
}
