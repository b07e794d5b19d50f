//! What a helper can still do to the machine, whatever it should come to think: a seccomp filter (seccomp(2)) of exactly the
//! system calls that its remaining stages make, and for files Landlock (`landlock.rs`).
//!
//! [`program`] is pure: a list of calls in, a program for the kernel's packet filter out. Which calls is the helpers' own
//! business: each has a `confine.rs`, which names them stage by stage. A filter is never taken back, and a later one can
//! only take more away.
//!
//! What is not in the list fails with `EPERM`, and does not kill: a helper is whole or not at all, says in one line why it
//! has failed, and takes back what it has begun. Where the C library makes another call than it did when the list was made,
//! that is a refusal, not a process that dies between two writes. To whoever has got the helper to do what he likes it is the
//! same: the call is not made. Only what no C library does in any version kills: a call in the way of another machine (a 32-bit
//! one on x86_64), whose numbers mean something else. (x32 is the same machine with other numbers, which are in no list.)

use std::sync::OnceLock;

use nix::errno::Errno;
use nix::libc::{self, c_long, sock_filter};
use nix::sys::prctl;

use super::sys;
use crate::Error;

/// One system call that a stage may make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// As `sys/syscall.h` has it: `SYS_read`.
    pub name: &'static str,
    /// On this machine.
    pub number: c_long,
    /// What its arguments have to be, all of it. Nothing: whatever they like.
    pub only: &'static [Only],
}

/// What a call's argument has to be. Of an argument the lower 32 bits are looked at: it is for those of which the kernel
/// looks at no more itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Only {
    /// The argument of this number, from 0 on, is one of these.
    OneOf(u32, &'static [u32]),
    /// The argument of this number has none of these bits.
    Without(u32, u32),
}

/// A list of calls, each with any arguments: `calls![SYS_close, SYS_read]`.
#[macro_export]
macro_rules! calls {
    ($($name:ident),* $(,)?) => {
        &[$($crate::os::confine::Call {
            name: stringify!($name),
            number: nix::libc::$name,
            only: &[],
        }),*]
    };
}

impl Call {
    /// The same call, with these arguments only.
    #[must_use]
    pub const fn only(self, only: &'static [Only]) -> Self {
        Self { only, ..self }
    }
}

/// Which C library a program is linked with: the same function may be another system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Libc {
    /// The GNU C library.
    Gnu,
    /// musl
    Musl,
}

impl Libc {
    /// This program's.
    pub const OURS: Self = if cfg!(target_env = "musl") { Self::Musl } else { Self::Gnu };
}

/// Enters a filter: from here on nothing but these calls.
///
/// A kernel that has no seccomp at all has no filter to enter: then the helper is as safe as it is by itself. One that has it
/// and refuses does so for a reason that we do not know, and the helper must not go on.
///
/// # Errors
/// The kernel refuses the filter.
pub fn enter(calls: &[Call]) -> Result<(), Error> {
    let filter = program(calls).ok_or(Errno::E2BIG).map_err(Error::when("make a seccomp filter"))?;
    gain_nothing_by_exec()?;
    match sys::enter_filter(&filter) {
        // No list has seccomp(2) missing that another one follows, so this is what the kernel says.
        Ok(()) | Err(Errno::ENOSYS) => Ok(()),
        Err(errno) => Err(Error::when("enter a seccomp filter")(errno)),
    }
}

/// From here on no program that this process runs has more power than the process itself. Without that, only root may confine
/// himself: he could make a set-id program fail where it does not expect it.
///
/// # Errors
/// The kernel refused.
pub fn gain_nothing_by_exec() -> Result<(), Error> {
    if CALLERS_OWN.get().is_some() {
        return Ok(());
    }
    let before = prctl::get_no_new_privs().map_err(Error::when("read no_new_privs"))?;
    CALLERS_OWN.get_or_init(|| before);
    prctl::set_no_new_privs().map_err(Error::when("set no_new_privs"))
}

/// Did the caller set `no_new_privs`, so that the program has got nothing from its file?
#[must_use]
pub fn no_new_privs_of_the_callers() -> bool {
    CALLERS_OWN.get().copied().unwrap_or_else(|| prctl::get_no_new_privs() == Ok(true))
}

/// Whether it was set before we have set it.
static CALLERS_OWN: OnceLock<bool> = OnceLock::new();

/// `linux/audit.h`: how the kernel names a machine and its way of calling. What is not here has not been thought about.
#[cfg(target_arch = "x86_64")]
pub const MACHINE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
#[allow(missing_docs, reason = "above")]
pub const MACHINE: u32 = 0xC000_00B7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("no list of system calls has been made for this architecture: common/src/os/confine.rs");

/// Where `struct seccomp_data` has what: seccomp(2).
const NUMBER_AT: u32 = 0;
const MACHINE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
/// `EPERM` is 1.
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | 1;

// linux/bpf_common.h, as far as it is used.
const LOAD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// A step of a program whose length is not known yet.
struct Step {
    code: u16,
    value: u32,
    yes: To,
    no: To,
}

/// Where it goes on.
#[derive(Clone, Copy)]
enum To {
    Next,
    /// A place in the program.
    Step(usize),
    /// What is asked about the arguments of this call of the list.
    Arguments(usize),
    Allow,
    Refuse,
    Kill,
}

/// The program that allows these calls and nothing else. None: there are too many of them for its short jumps.
///
/// It is short rather than quick, as the kernel takes longer to install it than to run it for the few calls that are left. For
/// the same reason it begins with a look at an argument, which nothing comes of: without that, kernels from 5.11 on run it
/// for every number that there is first, to remember the calls that are always allowed.
#[must_use]
pub fn program(calls: &[Call]) -> Option<Vec<sock_filter>> {
    let plain = |code, value| Step { code, value, yes: To::Next, no: To::Next };
    let mut steps = vec![
        plain(LOAD, ARGUMENTS_AT),
        plain(LOAD, MACHINE_AT),
        Step { code: IF_EQUAL, value: MACHINE, yes: To::Next, no: To::Kill },
        plain(LOAD, NUMBER_AT),
    ];
    for (place, call) in calls.iter().enumerate() {
        let number = u32::try_from(call.number).ok()?;
        let yes = if call.only.is_empty() { To::Allow } else { To::Arguments(place) };
        steps.push(Step { code: IF_EQUAL, value: number, yes, no: To::Next });
    }
    steps.push(plain(RETURN, REFUSE));

    let mut arguments = vec![0; calls.len()];
    for (call, begin) in calls.iter().zip(&mut arguments) {
        *begin = steps.len();
        for (number, only) in (1..).zip(call.only) {
            let is_last = number == call.only.len();
            match *only {
                Only::OneOf(argument, values) => {
                    steps.push(plain(LOAD, argument_at(argument)?));
                    let (last, others) = values.split_last()?;
                    let next = steps.len().checked_add(values.len())?;
                    let yes = if is_last { To::Allow } else { To::Step(next) };
                    let equal = |value: &u32, no| Step { code: IF_EQUAL, value: *value, yes, no };
                    steps.extend(others.iter().map(|value| equal(value, To::Next)));
                    steps.push(equal(last, To::Refuse));
                }
                Only::Without(argument, bits) => {
                    steps.push(plain(LOAD, argument_at(argument)?));
                    let no = if is_last { To::Allow } else { To::Next };
                    steps.push(Step { code: IF_ANY_BIT, value: bits, yes: To::Refuse, no });
                }
            }
        }
    }

    let ends = steps.len();
    let place = |to: To, next: usize| match to {
        To::Next => Some(next),
        To::Step(place) => Some(place),
        To::Arguments(call) => arguments.get(call).copied(),
        To::Allow => Some(ends),
        To::Refuse => ends.checked_add(1),
        To::Kill => ends.checked_add(2),
    };
    let mut program = Vec::with_capacity(ends.saturating_add(3));
    for (number, Step { code, value, yes, no }) in steps.into_iter().enumerate() {
        let next = number.checked_add(1)?;
        let jump = |to| u8::try_from(place(to, next)?.checked_sub(next)?).ok();
        program.push(sock_filter { code, jt: jump(yes)?, jf: jump(no)?, k: value });
    }
    program.extend([ALLOW, REFUSE, KILL].map(|k| sock_filter { code: RETURN, jt: 0, jf: 0, k }));
    Some(program)
}

/// Where the lower half of an argument is. These machines have it first.
fn argument_at(argument: u32) -> Option<u32> {
    const MOST: u32 = 5;
    const {
        assert!(cfg!(target_endian = "little"), "the lower half of an argument comes second");
    }
    (argument <= MOST).then(|| argument.checked_mul(8)?.checked_add(ARGUMENTS_AT)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer: its interpreter, as far as our programs use it.
    fn verdict(program: &[sock_filter], machine: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = [number.to_ne_bytes(), machine.to_ne_bytes(), [0; 4], [0; 4]].concat();
        data.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
        let (mut loaded, mut next) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[next];
            next += 1;
            let yes = match code {
                LOAD => {
                    let at = usize::try_from(k).unwrap();
                    loaded = u32::from_ne_bytes(data[at..at + 4].try_into().unwrap());
                    continue;
                }
                RETURN => return k,
                IF_EQUAL => loaded == k,
                IF_ANY_BIT => loaded & k != 0,
                other => panic!("{other}"),
            };
            next += usize::from(if yes { jt } else { jf });
        }
    }

    fn list(numbers: &[c_long]) -> Vec<Call> {
        numbers.iter().map(|number| Call { name: "x", number: *number, only: &[] }).collect()
    }

    #[test]
    fn what_is_in_the_list_is_allowed_and_nothing_else() {
        for count in 0..60_i64 {
            let numbers: Vec<c_long> = (0..count).map(|n| n * n * 7 % 463).collect();
            let program = program(&list(&numbers)).unwrap();
            for number in (0..2000).chain([0x3fff_ffff, 0x4000_0000, 0x4000_0001, u32::MAX]) {
                let expected = if numbers.contains(&i64::from(number)) { ALLOW } else { REFUSE };
                assert_eq!(verdict(&program, MACHINE, number, [0; 6]), expected, "{number} of {numbers:?}");
                // i386, and a machine that does not exist.
                for machine in [0x4000_0003, 0, u32::MAX, MACHINE ^ 1] {
                    assert_eq!(verdict(&program, machine, number, [0; 6]), KILL);
                }
            }
        }
    }

    #[test]
    fn an_argument_is_what_it_has_to_be() {
        let mut calls = list(&[0, 1, 2, 3, 4, 5, 6, 7]);
        calls[2] = calls[2].only(&[Only::OneOf(1, &[7, 0x8000_0000, 0])]);
        calls[5] = calls[5].only(&[Only::Without(5, 0x8000_0004)]);
        // All of several.
        calls[6] = calls[6].only(&[Only::OneOf(0, &[3, 4]), Only::Without(2, 1), Only::OneOf(1, &[9])]);
        let program = program(&calls).unwrap();
        let with = |number, place: usize, argument| {
            let mut arguments = [u64::MAX; 6];
            arguments[place] = argument;
            verdict(&program, MACHINE, number, arguments)
        };
        for (argument, expected) in [(7, ALLOW), (0x8000_0000, ALLOW), (0, ALLOW), (1, REFUSE), (8, REFUSE)] {
            assert_eq!(with(2, 1, argument), expected);
            // The kernel itself does not look at the upper half of these.
            assert_eq!(with(2, 1, argument | 1 << 40), expected);
        }
        for (argument, expected) in
            [(0, ALLOW), (3, ALLOW), (4, REFUSE), (0x8000_0000, REFUSE), (u64::MAX, REFUSE)]
        {
            assert_eq!(with(5, 5, argument), expected);
        }
        assert_eq!((with(1, 0, 0), with(8, 0, 0)), (ALLOW, REFUSE));
        for (arguments, expected) in [
            ([4, 9, 2], ALLOW),
            ([3, 9, 0], ALLOW),
            ([5, 9, 2], REFUSE),
            ([4, 8, 2], REFUSE),
            ([4, 9, 3], REFUSE),
        ] {
            let [a, b, c] = arguments;
            assert_eq!(verdict(&program, MACHINE, 6, [a, b, c, 0, 0, 0]), expected, "{arguments:?}");
        }
    }

    #[test]
    fn a_list_that_is_too_long_or_makes_no_sense_makes_no_program() {
        assert!(program(&list(&(0..100).collect::<Vec<_>>())).is_some());
        assert!(program(&list(&(0..2000).collect::<Vec<_>>())).is_none());
        assert!(program(&list(&[-1])).is_none());
        let odd = |only| program(&[Call { name: "x", number: 1, only }]);
        assert!(odd(&[Only::Without(6, 1)]).is_none());
        assert!(odd(&[Only::OneOf(0, &[])]).is_none());
    }
}
