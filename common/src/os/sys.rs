//! The only `unsafe` in the project: system calls that neither `std` nor `nix` offers safely, and what the processor does for
//! sixteen bytes at once ([`places_of`]).
//!
//! Every function here is safe to call with any argument. Each `unsafe` block does one thing and says why it may.
#![allow(unsafe_code, reason = "this file is where it lives; everything else denies it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{CStr, OsStr, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::libc::{self, c_char, c_int, c_long, c_uint, c_ulong, gid_t, uid_t};
use nix::unistd::{ForkResult, Pid};

use crate::policy::idmap::Kind;

/// Gives a program its `main`, in place of the one that std makes: `common::program!("name", |args| ...)`, once, in a crate with
/// `#![no_main]`. The story gets the arguments after the program's name, and answers with the exit status.
///
/// std's own start-up would read `/proc/self/maps`, install signal handlers, and abort where it cannot open
/// `/dev/null`, all before the process has been made safe and with every privilege there is.
#[macro_export]
macro_rules! program {
    ($name:literal, $story:expr) => {
        /// Where the C library starts the program.
        ///
        /// # Safety
        /// For the C library alone.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn main(count: i32, words: *const *const std::ffi::c_char) -> i32 {
            // SAFETY: these are main's arguments, unchanged.
            unsafe { $crate::os::arguments($name, count, words, $story) }
        }
    };
}

/// For [`program`] alone: what the C library hands to `main` are `count` C strings, which stay as long as the process.
#[doc(hidden)]
///
/// # Safety
/// They must be main's arguments, unchanged.
pub unsafe fn arguments(
    program: &'static str,
    count: c_int,
    words: *const *const c_char,
    story: impl FnOnce(&[&'static OsStr]) -> c_int,
) -> c_int {
    PROGRAM.get_or_init(|| program);
    let count = usize::try_from(count).unwrap_or(0);
    let words: &[*const c_char] = if words.is_null() || count == 0 {
        &[]
    } else {
        // SAFETY: main's arguments, unchanged: an array of that many pointers, never written again.
        unsafe { std::slice::from_raw_parts(words, count) }
    };
    let word = |word: &*const c_char| {
        // SAFETY: each of main's arguments is a C string that stays as long as the process, never written again.
        let word = unsafe { CStr::from_ptr(*word) };
        OsStr::from_bytes(word.to_bytes())
    };
    let args: Vec<&'static OsStr> = words.iter().skip(1).map(word).collect();
    story(&args)
}

/// A write to a closed pipe, or past RLIMIT_FSIZE, fails, instead of ending the process.
///
/// # Errors
/// The kernel refused.
pub(super) fn ignore_failing_writes() -> nix::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    for failing_write in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe { signal(failing_write, SigHandler::SigIgn) }?;
    }
    Ok(())
}

/// The end of a child can be waited for, whatever the caller did with SIGCHLD.
///
/// # Errors
/// The kernel refused.
pub(super) fn heed_children() -> nix::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default runs no code of ours.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map(drop)
}

/// Makes a command start with every signal as it is by default, and no descriptor but the standard ones and these. It has to
/// be started while they are open.
pub(super) fn inherit_nothing_but(command: &mut std::process::Command, kept: &[BorrowedFd<'_>]) {
    use nix::sys::signal::{SigHandler, Signal, signal};
    use std::os::unix::process::CommandExt;

    let kept: Vec<c_int> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    let prepare = move || {
        // Two of these cannot be set, which is no harm: they are always as they are by default.
        for number in Signal::iterator() {
            // SAFETY: the default runs no code of ours; sigaction(2) is async-signal-safe.
            unsafe { signal(number, SigHandler::SigDfl) }.map(drop).unwrap_or_default();
        }
        // At exec, as std still needs one. Kernels before 5.11 cannot do all at once.
        let (first, all, at_exec) = (3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        // SAFETY: three numbers; nothing is read or written in memory, nothing is closed now.
        if unsafe { libc::syscall(libc::SYS_close_range, first, all, at_exec) } != 0 {
            for number in 3..MOST_DESCRIPTORS {
                // SAFETY: as above.
                unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
            }
        }
        for number in &kept {
            // SAFETY: as above.
            unsafe { libc::fcntl(*number, libc::F_SETFD, 0) };
        }
        Ok(())
    };
    // SAFETY: what runs between fork and exec makes system calls alone: it takes no lock and no memory.
    unsafe { command.pre_exec(prepare) };
}

/// Has a command begin a session of its own, which has no terminal.
pub(super) fn leave_the_session(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let leave = || nix::unistd::setsid().map(drop).map_err(std::io::Error::from);
    // SAFETY: what runs between fork and exec is one system call.
    unsafe { command.pre_exec(leave) };
}

/// The kernel's default of `fs.nr_open`, which no limit exceeds.
const MOST_DESCRIPTORS: c_int = 1 << 20;

/// Who speaks when there is no memory left to make a sentence.
static PROGRAM: OnceLock<&'static str> = OnceLock::new();

/// Ends the process with exit status 1 and a line that needs no memory and no lock.
fn end_with(last_words: &'static str) -> ! {
    for part in [PROGRAM.get().copied().unwrap_or("nsgate"), last_words] {
        // SAFETY: write(2) is async-signal-safe and gets a live text with its own length.
        unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
    // SAFETY: _exit(2) is async-signal-safe and does not return.
    unsafe { libc::_exit(1) }
}

/// Memory, in the order in which it is asked for, from one piece; what does not fit comes from the system's allocator.
/// Nothing is given back before the process ends, which is soon: so there are no system calls for it, and no bookkeeping
/// that a bug could break. And where std would abort because there is none left, which the caller can bring about by a
/// limit, it is a refusal like any other.
struct Memory {
    /// Null: not asked for yet.
    piece: AtomicPtr<u8>,
    used: AtomicUsize,
}

/// Costs nothing until it is written to. The kernel is asked for it when the program runs: if it were a part of the
/// program, a limit of the caller's could keep that from starting, where nothing can be said.
const PIECE: usize = 1 << 20;

#[global_allocator]
static MEMORY: Memory = Memory { piece: AtomicPtr::new(std::ptr::null_mut()), used: AtomicUsize::new(0) };

const NO_MEMORY: &str =
    ": out of memory: a resource limit of the caller's (RLIMIT_AS, RLIMIT_DATA) is too low\n";

impl Memory {
    /// The beginning of the piece. None: there is none to be had.
    fn piece(&self) -> Option<*mut u8> {
        let none = libc::MAP_FAILED.cast::<u8>();
        let mut piece = self.piece.load(Ordering::Acquire);
        if piece.is_null() {
            let (readable, private) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // SAFETY: new memory, of nobody else's, wherever the kernel has room.
            let mapped = unsafe { libc::mmap(std::ptr::null_mut(), PIECE, readable, private, -1, 0) }.cast();
            // If two threads are here at once, one piece is left unused.
            let set = self.piece.compare_exchange(piece, mapped, Ordering::AcqRel, Ordering::Acquire);
            piece = set.map_or_else(|other| other, |_| mapped);
        }
        (piece != none).then_some(piece)
    }

    /// Bytes of the piece that nobody has had: so they are zero.
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let start = self.piece()?;
        let place = |used: usize| {
            let unaligned = start.addr().checked_add(used)?;
            let first = unaligned.checked_next_multiple_of(layout.align())?.checked_sub(start.addr())?;
            Some((first, first.checked_add(layout.size()).filter(|end| *end <= PIECE)?))
        };
        let relaxed = Ordering::Relaxed;
        let before = self.used.fetch_update(relaxed, relaxed, |used| place(used).map(|(_, end)| end)).ok()?;
        place(before).map(|(first, _)| start.wrapping_add(first))
    }

    /// Makes what was given last larger where it is, if there is room.
    fn grow_last(&self, last: *mut u8, layout: Layout, size: usize) -> bool {
        let ends = || {
            let first = last.addr().checked_sub(self.piece()?.addr())?;
            Some((first.checked_add(layout.size())?, first.checked_add(size).filter(|end| *end <= PIECE)?))
        };
        // If that is where the used part ends, nobody has had what follows.
        ends().is_some_and(|(end, larger)| {
            self.used.compare_exchange(end, larger, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        })
    }

    fn has(&self, memory: *mut u8) -> bool {
        let Some(start) = self.piece().map(<*mut u8>::addr) else { return false };
        memory.addr().checked_sub(start).is_some_and(|offset| offset < PIECE)
    }
}

// SAFETY: what `take` gives is as large and as aligned as asked, and nobody else's; the rest is the system's allocator's
// business, which gets back only what it has given. Null is never handed on.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(memory) = self.take(layout) {
            return memory;
        }
        // SAFETY: as promised to us.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() { end_with(NO_MEMORY) } else { memory }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if let Some(memory) = self.take(layout) {
            return memory;
        }
        // SAFETY: as promised to us.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if memory.is_null() { end_with(NO_MEMORY) } else { memory }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.has(old) {
            // SAFETY: as promised to us; what is not of the piece came from the system.
            let memory = unsafe { System.realloc(old, layout, size) };
            return if memory.is_null() { end_with(NO_MEMORY) } else { memory };
        }
        if size <= layout.size() || self.grow_last(old, layout, size) {
            return old;
        }
        // SAFETY: the size is not 0 and, as promised to us, not too large for this alignment.
        let larger = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the size is not 0.
        let memory = unsafe { self.alloc(larger) };
        // SAFETY: the old one has layout.size() bytes, the new one more, and nobody else has had the new one.
        unsafe { std::ptr::copy_nonoverlapping(old, memory, layout.size()) };
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if !self.has(memory) {
            // SAFETY: as promised to us; what is not of the piece came from the system.
            unsafe { System.dealloc(memory, layout) }
        }
    }
}

/// Enters a seccomp filter, which adds to those that are in force: seccomp(2). Without the guards against speculation that some
/// kernels put on whoever does so: what runs here is no stranger's code.
///
/// # Errors
/// `ENOSYS`: the kernel has no seccomp. `EINVAL`: it is not a program that it takes.
pub(super) fn enter_filter(program: &[libc::sock_filter]) -> nix::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let (operation, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    // SAFETY: the kernel reads one sock_fprog and as many instructions as it says, which are there; it writes nothing.
    Errno::result(unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) }).map(drop)
}

/// `lsm_get_self_attr(2)`, since 6.8: on every machine the same number.
pub(super) const LSM_GET_SELF_ATTR: c_long = 459;

/// What security modules call this process, as `linux/lsm.h` lays it out (`struct lsm_ctx`), for each of them that calls it anything.
///
/// # Errors
/// `ENOSYS`: the kernel has no such call. `EOPNOTSUPP`: there is no such module. `E2BIG`: there is no room.
pub(super) fn own_labels(room: &mut [u64]) -> nix::Result<()> {
    const CURRENT: c_uint = 100;
    let mut size = u32::try_from(size_of_val(room)).map_err(|_| Errno::EINVAL)?;
    let (no_flags, room) = (0_u32, room.as_mut_ptr());
    // SAFETY: the kernel writes as many bytes as it is told that there are, and how many they were.
    Errno::result(unsafe { libc::syscall(LSM_GET_SELF_ATTR, CURRENT, room, &raw mut size, no_flags) })
        .map(drop)
}

/// Which Landlock the kernel has: landlock_create_ruleset(2).
///
/// # Errors
/// `ENOSYS`, `EOPNOTSUPP`: none.
pub(super) fn landlock_version() -> nix::Result<u32> {
    const VERSION: c_uint = 1;
    let (none, no_size) = (std::ptr::null::<c_void>(), 0_usize);
    // SAFETY: asked for its version, the kernel reads and writes nothing.
    let version =
        Errno::result(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, no_size, VERSION) })?;
    Ok(u32::try_from(version).unwrap_or(0))
}

/// A rule set that takes these kinds of access to files away, and gives none of it back yet.
///
/// # Errors
/// The kernel does not know one of them.
pub(super) fn landlock_rules(taken: u64) -> nix::Result<OwnedFd> {
    // The first member of struct landlock_ruleset_attr: what it is not told of the rest is 0.
    let (no_flags, size) = (0_u32, size_of::<u64>());
    // SAFETY: the kernel reads as many bytes as it is told, which is what `taken` has.
    let rules = Errno::result(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const taken, size, no_flags)
    })?;
    owned(c_int::try_from(rules).unwrap_or(-1))
}

/// Gives some of it back beneath this directory: landlock_add_rule(2).
///
/// # Errors
/// `EINVAL`: it is not of what is taken away.
pub(super) fn landlock_allow(rules: &OwnedFd, directory: BorrowedFd<'_>, access: u64) -> nix::Result<()> {
    /// `struct landlock_path_beneath_attr`
    #[repr(C, packed)]
    struct Beneath {
        allowed_access: u64,
        parent: c_int,
    }
    const BENEATH: c_int = 1;
    let beneath = Beneath { allowed_access: access, parent: directory.as_raw_fd() };
    let (rules, no_flags) = (rules.as_raw_fd(), 0_u32);
    // SAFETY: the descriptors are open while borrowed; the kernel reads one such structure.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, rules, BENEATH, &raw const beneath, no_flags)
    })
    .map(drop)
}

/// Enters a rule set, which adds to those that are in force: landlock_restrict_self(2).
///
/// # Errors
/// The kernel refused.
pub(super) fn landlock_enter(rules: &OwnedFd) -> nix::Result<()> {
    let (rules, no_flags) = (rules.as_raw_fd(), 0_u32);
    // SAFETY: the descriptor is open while borrowed; nothing is read or written in memory.
    Errno::result(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules, no_flags) }).map(drop)
}

/// Empties the environment, which is the caller's.
///
/// # Errors
/// The C library could not.
pub(super) fn clear_environment() -> nix::Result<()> {
    // SAFETY: no other thread exists yet, and no reference into the environment is held.
    match unsafe { libc::clearenv() } {
        0 => Ok(()),
        _ => Err(Errno::ENOMEM),
    }
}

#[cfg(not(all(target_env = "musl", target_feature = "crt-static", target_pointer_width = "64")))]
pub(super) use of_the_c_library::{leave_groups, seteuid, setresgid, setresuid};
#[cfg(all(target_env = "musl", target_feature = "crt-static", target_pointer_width = "64"))]
pub(super) use of_the_kernel::{leave_groups, seteuid, setresgid, setresuid};

/// Changes of ids for programs in which name services may have started threads: the C library changes all of them.
#[cfg(not(all(target_env = "musl", target_feature = "crt-static", target_pointer_width = "64")))]
mod of_the_c_library {
    pub(in crate::os) use nix::unistd::{seteuid, setresgid, setresuid};

    /// No supplementary groups.
    pub(in crate::os) fn leave_groups() -> nix::Result<()> {
        nix::unistd::setgroups(&[])
    }
}

/// The same for static programs, which have one thread. musl would block every signal and stop all threads for each of
/// them: three calls more, of four.
#[cfg(all(target_env = "musl", target_feature = "crt-static", target_pointer_width = "64"))]
mod of_the_kernel {
    use nix::errno::Errno;
    use nix::libc::{self, c_long};
    use nix::unistd::{Gid, Uid};

    /// Real, effective and saved.
    pub(in crate::os) fn setresuid(real: Uid, effective: Uid, saved: Uid) -> nix::Result<()> {
        change(libc::SYS_setresuid, [real, effective, saved].map(Uid::as_raw))
    }

    /// The effective one alone.
    pub(in crate::os) fn seteuid(effective: Uid) -> nix::Result<()> {
        const AS_IT_IS: u32 = u32::MAX;
        change(libc::SYS_setresuid, [AS_IT_IS, effective.as_raw(), AS_IT_IS])
    }

    /// Real, effective and saved.
    pub(in crate::os) fn setresgid(real: Gid, effective: Gid, saved: Gid) -> nix::Result<()> {
        change(libc::SYS_setresgid, [real, effective, saved].map(Gid::as_raw))
    }

    /// No supplementary groups.
    pub(in crate::os) fn leave_groups() -> nix::Result<()> {
        change(libc::SYS_setgroups, [0; 3])
    }

    /// Of `setgroups` the first number is how many there are; of none it reads no list.
    fn change(call: c_long, ids: [u32; 3]) -> nix::Result<()> {
        let [first, second, third] = ids.map(c_long::from);
        // SAFETY: three numbers; nothing is read or written in memory.
        Errno::result(unsafe { libc::syscall(call, first, second, third) }).map(drop)
    }
}

/// A copy, closed on exec and numbered 3 or more, of a descriptor that the caller names by number.
///
/// # Errors
/// `EBADF`: no such descriptor is open.
pub(super) fn duplicate(number: c_int) -> nix::Result<OwnedFd> {
    // SAFETY: numbers alone go in, whatever they are: the kernel answers EBADF if none is open by this one.
    owned(Errno::result(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) })?)
}

/// The capability sets of this process, bit n being capability n (`capabilities(7)`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct CapabilitySets {
    pub(super) effective: u64,
    pub(super) permitted: u64,
    pub(super) inheritable: u64,
}

// capget(2), version 3: two 32-bit halves of each set, the low one first.
const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapHalf {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Reads this process's capability sets: `capget(2)`.
///
/// # Errors
/// The kernel has none (`ENOSYS`), or a filter forbids to ask.
pub(super) fn capabilities() -> nix::Result<CapabilitySets> {
    let mut header = CapHeader { version: LINUX_CAPABILITY_VERSION_3, pid: 0 };
    let mut halves = [CapHalf::default(); 2];
    let (header, halves_out) = (&raw mut header, halves.as_mut_ptr());
    // SAFETY: version 3 writes one header and two halves, which is what these point to.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, header, halves_out) })?;
    let [low, high] = halves;
    let whole = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(CapabilitySets {
        effective: whole(low.effective, high.effective),
        permitted: whole(low.permitted, high.permitted),
        inheritable: whole(low.inheritable, high.inheritable),
    })
}

/// Sets this process's capability sets: `capset(2)`. Ambient capabilities that are no longer inheritable go too.
///
/// # Errors
/// `EPERM`: a capability asked for is not permitted.
pub(super) fn set_capabilities(sets: CapabilitySets) -> nix::Result<()> {
    let mut header = CapHeader { version: LINUX_CAPABILITY_VERSION_3, pid: 0 };
    let half = |shift: u32| {
        let cut = |set: u64| u32::try_from((set >> shift) & u64::from(u32::MAX)).unwrap_or(0);
        CapHalf {
            effective: cut(sets.effective),
            permitted: cut(sets.permitted),
            inheritable: cut(sets.inheritable),
        }
    };
    let halves = [half(0), half(32)];
    let (header, halves_in) = (&raw mut header, halves.as_ptr());
    // SAFETY: version 3 reads one header and two halves, which is what these point to.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, header, halves_in) }).map(drop)
}

// ioctl_ns(2)
nix::ioctl_none!(ns_get_userns, 0xb7, 0x1);
nix::ioctl_none!(ns_get_parent, 0xb7, 0x2);
nix::ioctl_read_bad!(ns_get_owner_uid, nix::request_code_none!(0xb7, 0x4), uid_t);

/// The user namespace that this namespace belongs to: `NS_GET_USERNS`.
///
/// # Errors
/// `EPERM`: it is outside the caller's own. `ENOTTY`: not a namespace.
pub(super) fn namespace_user(namespace: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    // SAFETY: the descriptor is open while borrowed; this ioctl takes no argument.
    owned(unsafe { ns_get_userns(namespace.as_raw_fd()) }?)
}

/// The user namespace that this user namespace was made in: `NS_GET_PARENT`.
///
/// # Errors
/// `EPERM`: it is outside the caller's own, or there is none.
pub(super) fn namespace_parent(namespace: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    // SAFETY: the descriptor is open while borrowed; this ioctl takes no argument.
    owned(unsafe { ns_get_parent(namespace.as_raw_fd()) }?)
}

/// Who made this user namespace, as the caller's own namespace numbers users: `NS_GET_OWNER_UID`.
///
/// # Errors
/// `EINVAL`: not a user namespace.
pub(super) fn namespace_owner(namespace: BorrowedFd<'_>) -> nix::Result<uid_t> {
    let mut owner: uid_t = uid_t::MAX;
    // SAFETY: the descriptor is open while borrowed; the kernel writes one uid_t, which is what `owner` is.
    unsafe { ns_get_owner_uid(namespace.as_raw_fd(), &raw mut owner) }?;
    Ok(owner)
}

// netdevice(7)
nix::ioctl_readwrite_bad!(siocgifname, libc::SIOCGIFNAME, libc::ifreq);

/// The name of the interface with this index, in the network namespace of this socket (of any kind): `SIOCGIFNAME`.
///
/// # Errors
/// `ENODEV`: there is none.
pub(super) fn interface_name(socket: BorrowedFd<'_>, index: c_int) -> nix::Result<Vec<u8>> {
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: index },
    };
    // SAFETY: the descriptor is open while borrowed; the kernel reads and writes one ifreq, which is what this is.
    unsafe { siocgifname(socket.as_raw_fd(), &raw mut request) }?;
    let name = request.ifr_name.iter().take_while(|letter| **letter != 0);
    Ok(name.map(|letter| letter.to_ne_bytes()).map(|[byte]| byte).collect())
}

nix::ioctl_readwrite_bad!(siocgifhwaddr, libc::SIOCGIFHWADDR, libc::ifreq);

/// The address of the interface with this name, in the network namespace of this socket: `SIOCGIFHWADDR`.
///
/// # Errors
/// `ENODEV`: there is none.
pub(super) fn interface_mac(socket: BorrowedFd<'_>, name: &[u8]) -> nix::Result<[u8; 6]> {
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (letter, byte) in ifr_name.iter_mut().zip(name).take(libc::IFNAMSIZ.saturating_sub(1)) {
        *letter = c_char::from_ne_bytes([*byte]);
    }
    let mut request = libc::ifreq { ifr_name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: 0 } };
    // SAFETY: the descriptor is open while borrowed; the kernel reads and writes one ifreq, which is what this is.
    unsafe { siocgifhwaddr(socket.as_raw_fd(), &raw mut request) }?;
    // SAFETY: the kernel has filled in this member of the union; any bytes are one.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    let mut mac = [0; 6];
    for (byte, letter) in mac.iter_mut().zip(address.sa_data) {
        [*byte] = letter.to_ne_bytes();
    }
    Ok(mac)
}

/// The gid of a group as the C library's name services tell it: `getgrnam_r(3)`. As [`account_by_uid`], for the
/// dynamic twins.
///
/// # Errors
/// The services could not answer, which is not the same as `Ok(None)`: there is no such group.
pub(super) fn group_by_name(name: &CStr) -> nix::Result<Option<gid_t>> {
    let mut strings: Vec<c_char> = vec![0; 4096];
    loop {
        let mut entry = std::mem::MaybeUninit::<libc::group>::uninit();
        let mut found: *mut libc::group = std::ptr::null_mut();
        let (entry_out, text, size) = (entry.as_mut_ptr(), strings.as_mut_ptr(), strings.len());
        // SAFETY: each pointer is to live memory of the size that the function is told.
        let status = unsafe { libc::getgrnam_r(name.as_ptr(), entry_out, text, size, &raw mut found) };
        match status {
            0 if found.is_null() => return Ok(None),
            // SAFETY: status 0 and a result that is not null: the entry has been filled in.
            0 => return Ok(Some(unsafe { entry.assume_init() }.gr_gid)),
            libc::ERANGE if size < LARGEST_GROUP => strings.resize(size.saturating_mul(4), 0),
            libc::EINTR => {}
            libc::ENOENT | libc::ESRCH => return Ok(None),
            error => return Err(Errno::from_raw(error)),
        }
    }
}

/// How much one group's strings may take: the names of all its members are among them.
const LARGEST_GROUP: usize = 1 << 24;

/// An account as the C library's name services tell it.
#[derive(Debug)]
pub(super) struct NamedAccount {
    pub(super) name: Vec<u8>,
    pub(super) gid: gid_t,
}

/// How much one account's strings may take: some sites keep whole biographies in the comment field.
const LARGEST_ACCOUNT: usize = 1 << 20;

/// Asks the name services (`nsswitch.conf`) for the account of a uid: `getpwuid_r(3)`. This may load modules of the
/// host into the process and wait for a network: only the dynamic twins call it.
///
/// # Errors
/// The services could not answer, which is not the same as `Ok(None)`: there is no such account.
pub(super) fn account_by_uid(uid: uid_t) -> nix::Result<Option<NamedAccount>> {
    let mut strings: Vec<c_char> = vec![0; 4096];
    loop {
        let mut entry = std::mem::MaybeUninit::<libc::passwd>::uninit();
        let mut found: *mut libc::passwd = std::ptr::null_mut();
        let (entry_out, text, size) = (entry.as_mut_ptr(), strings.as_mut_ptr(), strings.len());
        // SAFETY: each pointer is to live memory of the size that the function is told.
        let status = unsafe { libc::getpwuid_r(uid, entry_out, text, size, &raw mut found) };
        match status {
            0 if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: status 0 and a result that is not null: the entry has been filled in.
                let entry = unsafe { entry.assume_init() };
                if entry.pw_name.is_null() {
                    return Err(Errno::EBADMSG);
                }
                // SAFETY: pw_name of an entry that was filled in is a C string in `strings`, which is still alive. That is what
                // a name service promises; one that lies does so in the child that has no power, where this is called.
                let name = unsafe { CStr::from_ptr(entry.pw_name) };
                return Ok(Some(NamedAccount { name: name.to_bytes().to_vec(), gid: entry.pw_gid }));
            }
            libc::ERANGE if size < LARGEST_ACCOUNT => strings.resize(size.saturating_mul(4), 0),
            libc::EINTR => {}
            // POSIX: these mean "not found" with some name services.
            libc::ENOENT | libc::ESRCH => return Ok(None),
            error => return Err(Errno::from_raw(error)),
        }
    }
}

/// Where in 64 bytes this one is: the lowest bit is the first byte's. A policy file may have a million lines: this is what makes
/// looking at each of them cheap.
#[cfg(target_arch = "x86_64")]
#[allow(unused_unsafe, reason = "most of it is safe from Rust 1.87 on")]
#[inline]
pub(crate) fn places_of(byte: u8, bytes: &[u8; 64]) -> u64 {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    // SAFETY: every x86_64 has SSE2. So for all of these.
    let wanted = unsafe { _mm_set1_epi8(i8::from_ne_bytes([byte])) };
    let places_in = |sixteen: &[u8; 16]| {
        // SAFETY: it reads 16 bytes, wherever they are aligned, and there are 16.
        let sixteen = unsafe { _mm_loadu_si128(sixteen.as_ptr().cast::<__m128i>()) };
        // SAFETY: as above.
        let equal = unsafe { _mm_cmpeq_epi8(sixteen, wanted) };
        // SAFETY: as above.
        let places = unsafe { _mm_movemask_epi8(equal) };
        u64::from(u32::from_ne_bytes(places.to_ne_bytes()))
    };
    let sixteens = bytes.chunks_exact(16).filter_map(<[u8]>::first_chunk);
    sixteens.rev().fold(0, |places, sixteen| places << 16 | places_in(sixteen))
}

/// The same for other processors.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn places_of(byte: u8, bytes: &[u8; 64]) -> u64 {
    bytes.iter().rev().fold(0, |places, it| places << 1 | u64::from(*it == byte))
}

/// From now on the process dies when that many seconds have passed, whatever it waits for: also where nothing can be told any
/// more, and inside a file system of the caller's.
///
/// # Errors
/// The signal could not be set up.
pub(crate) fn die_in(seconds: u32) -> nix::Result<()> {
    use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
    // The caller may have left a timer running, or have sent the signal while it was blocked: that is not this alarm.
    nix::unistd::alarm::cancel();
    // SAFETY: ignoring a signal, which also discards it, runs no code of ours.
    unsafe { signal(Signal::SIGALRM, SigHandler::SigIgn) }?;
    // SAFETY: the default runs no code of ours.
    unsafe { signal(Signal::SIGALRM, SigHandler::SigDfl) }?;
    let mut alarm = SigSet::empty();
    alarm.add(Signal::SIGALRM);
    nix::unistd::alarm::set(seconds);
    alarm.thread_unblock()
}

/// Takes back [`die_in`].
pub(crate) fn live_on() {
    nix::unistd::alarm::cancel();
}

/// Does a deed in a child process, which ends with it. For programs that start no threads.
///
/// # Errors
/// The kernel has no process left for the caller, or no memory.
pub(super) fn in_child(deed: impl FnOnce() -> std::io::Result<()>) -> nix::Result<Pid> {
    // SAFETY: no thread of ours holds a lock; if a name service's module has started one, the C library keeps its own
    // locks free over a fork. So the child may do what its parent may.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let status = c_int::from(deed().is_err());
            // SAFETY: _exit(2) is async-signal-safe and does not return; nothing of the parent's is run at exit.
            unsafe { libc::_exit(status) }
        }
    }
}

/// Closes every descriptor but the standard ones and this one, which gets number 3. For a child process whose deed uses
/// none of the others any more.
///
/// # Errors
/// The kernel refused.
pub(super) fn keep_only(kept: OwnedFd) -> nix::Result<OwnedFd> {
    const PLACE: c_int = 3;
    let number = kept.into_raw_fd();
    if number != PLACE {
        // SAFETY: two numbers; nothing is read or written in memory. What had the second one is not used any more.
        Errno::result(unsafe { libc::dup3(number, PLACE, libc::O_CLOEXEC) })?;
    }
    let (first, all, now) = (4_u32, u32::MAX, 0_u32);
    // SAFETY: three numbers; nothing is read or written in memory, and what is closed is not used any more.
    if unsafe { libc::syscall(libc::SYS_close_range, first, all, now) } != 0 {
        // Before 5.9 the kernel cannot.
        for number in 4..descriptor_numbers() {
            // SAFETY: as above.
            unsafe { libc::close(number) };
        }
    }
    owned(PLACE)
}

/// No open descriptor has this number or a higher one: proc_pid_status(5), `FDSize`.
fn descriptor_numbers() -> c_int {
    let status = super::target::read_own("status").unwrap_or_default();
    let size = crate::policy::text::lines(&status).find_map(|line| line.strip_prefix(b"FDSize:"));
    let size = size.and_then(|size| crate::policy::id::decimal(size.trim_ascii()).ok());
    size.and_then(|size| c_int::try_from(size).ok()).unwrap_or(MOST_DESCRIPTORS)
}

/// A plugin of shadow's interface for subordinate ids, in this process.
#[derive(Debug)]
pub(super) struct SubidPlugin {
    has_range: HasRange,
}

/// `enum subid_status shadow_subid_has_range(const char *owner, unsigned long start, unsigned long count, enum subid_type,
/// bool *result)`.
type HasRange = unsafe extern "C" fn(*const c_char, c_ulong, c_ulong, c_int, *mut Verdict) -> c_int;

/// Room for a `bool`; some plugins write an `int`.
#[repr(C, align(16))]
struct Verdict([u8; 16]);

impl SubidPlugin {
    /// Loads it: `dlopen(3)`. What it runs then is up to whoever has made the file: only a process that has nothing to
    /// lose calls this, with a file that is root's alone.
    ///
    /// # Errors
    /// Why not, in the words of the loader.
    pub(super) fn load(path: &CStr) -> Result<Self, Vec<u8>> {
        let symbol = symbol_of(path, c"shadow_subid_has_range")?;
        // SAFETY: null is None, and a function by this name has this type: it is what plugins are made by.
        match unsafe { std::mem::transmute::<*mut c_void, Option<HasRange>>(symbol) } {
            Some(has_range) => Ok(Self { has_range }),
            None => Err(b"it has no shadow_subid_has_range".to_vec()),
        }
    }

    /// Asks it whether this owner has all of this range: the status, and the answer if that is 0.
    pub(super) fn has_range(&self, owner: &CStr, first: u32, count: u32, kind: Kind) -> (c_int, bool) {
        let kind = match kind {
            Kind::Uid => 1,
            Kind::Gid => 2,
        };
        let mut verdict = Verdict([0; 16]);
        let (first, count) = (c_ulong::from(first), c_ulong::from(count));
        // SAFETY: of the function's type; a live C string, and live room for more than the function has to write.
        let status = unsafe { (self.has_range)(owner.as_ptr(), first, count, kind, &raw mut verdict) };
        let Verdict([yes, ..]) = verdict;
        (status, yes != 0)
    }
}

/// The same plugin's other function, which `getsubids` needs.
#[derive(Debug)]
pub(super) struct SubidLister {
    list: ListRanges,
}

/// `enum subid_status shadow_subid_list_owner_ranges(const char *owner, enum subid_type, struct subid_range **ranges, int
/// *count)`.
type ListRanges = unsafe extern "C" fn(*const c_char, c_int, *mut *const RawRange, *mut c_int) -> c_int;

/// `struct subid_range`
#[repr(C)]
#[derive(Clone, Copy)]
struct RawRange {
    start: c_ulong,
    count: c_ulong,
}

impl SubidLister {
    /// As [`SubidPlugin::load`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn load(path: &CStr) -> Result<Self, Vec<u8>> {
        let symbol = symbol_of(path, c"shadow_subid_list_owner_ranges")?;
        // SAFETY: null is None, and a function by this name has this type: it is what plugins are made by.
        match unsafe { std::mem::transmute::<*mut c_void, Option<ListRanges>>(symbol) } {
            Some(list) => Ok(Self { list }),
            None => Err(b"it has no shadow_subid_list_owner_ranges".to_vec()),
        }
    }

    /// All ranges of this owner, first ids and counts, and up to `most` of them: the status, and the answer if that is 0. The
    /// plugin's memory is left to the end of the process.
    pub(super) fn ranges(&self, owner: &CStr, kind: Kind, most: usize) -> (c_int, Vec<(u64, u64)>) {
        let kind = match kind {
            Kind::Uid => 1,
            Kind::Gid => 2,
        };
        let (mut ranges, mut count) = (std::ptr::null(), 0);
        // SAFETY: of the function's type; a live C string, and live room for what the function has to write.
        let status = unsafe { (self.list)(owner.as_ptr(), kind, &raw mut ranges, &raw mut count) };
        let count = usize::try_from(count).unwrap_or(0).min(most);
        if status != 0 || ranges.is_null() || !ranges.is_aligned() {
            return (status, Vec::new());
        }
        // SAFETY: the plugin says that so many ranges are there. If that is a lie, a process that has nothing to lose crashes.
        let ranges = unsafe { std::slice::from_raw_parts(ranges, count) };
        (status, ranges.iter().map(|range| (range.start, range.count)).collect())
    }
}

/// Loads a library and looks for a function in it. Null: it has none of that name.
fn symbol_of(path: &CStr, name: &CStr) -> Result<*mut c_void, Vec<u8>> {
    // SAFETY: the path is a C string.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if library.is_null() {
        return Err(loader_says());
    }
    // SAFETY: the library is open, and stays so; the name is a C string.
    Ok(unsafe { libc::dlsym(library, name.as_ptr()) })
}

/// What went wrong in the last call of the loader's: `dlerror(3)`.
fn loader_says() -> Vec<u8> {
    // SAFETY: there is one thread, so nobody else's error is in the way.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return b"the loader does not say why".to_vec();
    }
    // SAFETY: not null, so a C string, which stays until the next call.
    unsafe { CStr::from_ptr(text) }.to_bytes().to_vec()
}

/// Takes charge of a descriptor that the kernel has just handed out.
fn owned(fresh: c_int) -> nix::Result<OwnedFd> {
    if fresh < 0 {
        // A seccomp filter can fake any answer.
        return Err(Errno::EBADF);
    }
    // SAFETY: the kernel has just opened it for us and nobody else has the number.
    Ok(unsafe { OwnedFd::from_raw_fd(fresh) })
}
