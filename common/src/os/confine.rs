//! What a helper can still do to the machine, whatever it should come to think: a seccomp filter (seccomp(2)) of exactly the
//! system calls that its remaining stages make, and for files Landlock (`landlock.rs`).
//!
//! [`Program::of`] is pure: a list of calls in, a program for the kernel's packet filter out. The compiler runs it, so that a list that
//! makes no sense does not compile. Which calls is the helpers' own business: each has a `confine.rs`, which names them stage by
//! stage. A filter is never taken back, and a later one can only take more away.
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

/// The calls of a stage, each once.
#[derive(Clone, Copy, Debug)]
pub struct List {
    calls: [Call; List::LONGEST],
    count: usize,
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "run by the compiler: a mistake does not compile"
)]
impl List {
    const LONGEST: usize = 80;

    /// No call.
    #[must_use]
    pub const fn new() -> Self {
        Self { calls: [Call { name: "", number: -1, only: &[] }; Self::LONGEST], count: 0 }
    }

    /// These too.
    ///
    /// # Panics
    /// One of them is in it already, or there are too many: the program does not compile.
    #[must_use]
    pub const fn and(mut self, mut more: &[Call]) -> Self {
        while let [call, rest @ ..] = more {
            let mut place = 0;
            while place < self.count {
                assert!(self.calls[place].number != call.number, "a call is in the list twice");
                place += 1;
            }
            self.calls[place] = *call;
            self.count += 1;
            more = rest;
        }
        self
    }

    /// The same, but for this call, which may do more or less in it.
    ///
    /// # Panics
    /// It is not in it: the program does not compile.
    #[must_use]
    pub const fn with(mut self, call: Call) -> Self {
        let mut place = 0;
        while self.calls[place].number != call.number {
            place += 1;
        }
        self.calls[place] = call;
        self
    }

    /// All of them.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        self.calls.get(..self.count).unwrap_or_default()
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
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

/// Enters a filter: from here on nothing but its calls.
///
/// A kernel that has no seccomp at all has no filter to enter: then the helper is as safe as it is by itself. One that has it
/// and refuses does so for a reason that we do not know, and the helper must not go on.
///
/// # Errors
/// The kernel refuses the filter.
pub fn enter(filter: &'static Program) -> Result<(), Error> {
    gain_nothing_by_exec()?;
    match sys::enter_filter(filter.steps()) {
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

/// Has the process begun to confine itself?
#[must_use]
pub fn has_begun() -> bool {
    CALLERS_OWN.get().is_some()
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

/// A program that allows the calls of a list and nothing else.
///
/// It is short rather than quick, as the kernel takes longer to install it than to run it for the few calls that are left. For
/// the same reason it begins with a look at an argument, which nothing comes of: without that, kernels from 5.11 on run it
/// for every number that there is first, to remember the calls that are always allowed.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    steps: [sock_filter; Program::LONGEST],
    length: usize,
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "run by the compiler: a mistake does not compile"
)]
impl Program {
    const LONGEST: usize = 160;

    /// The program for this list.
    ///
    /// # Panics
    /// It would be too long, or the list makes no sense: it does not compile.
    #[must_use]
    pub const fn of(list: &List) -> Self {
        let nothing = sock_filter { code: RETURN, jt: 0, jf: 0, k: KILL };
        let mut program = Self { steps: [nothing; Self::LONGEST], length: 0 };
        // Behind the list come what is asked about arguments, and three ends.
        let ends = HEAD + list.count + 1 + lengths(list, list.count);
        let (allow, refuse, kill) = (ends, ends + 1, ends + 2);
        program.load(ARGUMENTS_AT);
        program.load(MACHINE_AT);
        program.jump(IF_EQUAL, MACHINE, program.length + 1, kill);
        program.load(NUMBER_AT);

        let mut place = 0;
        while place < list.count {
            let Call { number, only, .. } = list.calls[place];
            let asked = HEAD + list.count + 1 + lengths(list, place);
            let yes = if only.is_empty() { allow } else { asked };
            program.jump(IF_EQUAL, number_of_call(number), yes, program.length + 1);
            place += 1;
        }
        program.end(REFUSE);

        place = 0;
        while place < list.count {
            let mut asked = list.calls[place].only;
            while let [only, rest @ ..] = asked {
                let next = program.length + length(only);
                let yes = if rest.is_empty() { allow } else { next };
                match *only {
                    Only::OneOf(argument, mut values) => {
                        program.load(argument_at(argument));
                        while let [value, others @ ..] = values {
                            let no = if others.is_empty() { refuse } else { program.length + 1 };
                            program.jump(IF_EQUAL, *value, yes, no);
                            values = others;
                        }
                    }
                    Only::Without(argument, bits) => {
                        program.load(argument_at(argument));
                        program.jump(IF_ANY_BIT, bits, refuse, yes);
                    }
                }
                asked = rest;
            }
            place += 1;
        }
        assert!(program.length == ends, "the program is not as long as it was to be");
        program.end(ALLOW);
        program.end(REFUSE);
        program.end(KILL);
        program
    }

    fn steps(&self) -> &[sock_filter] {
        self.steps.get(..self.length).unwrap_or_default()
    }

    const fn step(&mut self, code: u16, value: u32, yes: u8, no: u8) {
        self.steps[self.length] = sock_filter { code, jt: yes, jf: no, k: value };
        self.length += 1;
    }

    const fn load(&mut self, place: u32) {
        self.step(LOAD, place, 0, 0);
    }

    const fn end(&mut self, answer: u32) {
        self.step(RETURN, answer, 0, 0);
    }

    /// Goes on at one place in the program or another.
    const fn jump(&mut self, code: u16, value: u32, yes: usize, no: usize) {
        let next = self.length + 1;
        self.step(code, value, distance(next, yes), distance(next, no));
    }
}

/// Steps before the list.
const HEAD: usize = 4;

/// Steps that it takes to ask about the arguments of the first calls of a list.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "as above")]
const fn lengths(list: &List, calls: usize) -> usize {
    let (mut sum, mut place) = (0, 0);
    while place < calls {
        let mut asked = list.calls[place].only;
        while let [only, rest @ ..] = asked {
            sum += length(only);
            asked = rest;
        }
        place += 1;
    }
    sum
}

#[expect(clippy::arithmetic_side_effects, reason = "as above")]
const fn length(only: &Only) -> usize {
    match only {
        Only::OneOf(_, values) => {
            assert!(!values.is_empty(), "nothing that an argument may be");
            1 + values.len()
        }
        Only::Without(..) => 2,
    }
}

/// The kernel's jumps go forward, by so much at most.
#[expect(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "as above")]
const fn distance(from: usize, to: usize) -> u8 {
    assert!(to >= from && to - from <= 255, "too far for a jump");
    (to - from) as u8
}

#[expect(clippy::as_conversions, reason = "as above")]
const fn number_of_call(number: c_long) -> u32 {
    assert!(number >= 0 && number <= 0xffff, "no number of a call");
    number as u32
}

/// Where the lower half of an argument is. These machines have it first.
#[expect(clippy::arithmetic_side_effects, reason = "as above")]
const fn argument_at(argument: u32) -> u32 {
    const {
        assert!(cfg!(target_endian = "little"), "the lower half of an argument comes second");
    }
    assert!(argument < 6, "no call has so many arguments");
    ARGUMENTS_AT + 8 * argument
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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

    fn program(calls: &[Call]) -> Vec<sock_filter> {
        Program::of(&List::new().and(calls)).steps().to_vec()
    }

    #[test]
    fn what_is_in_the_list_is_allowed_and_nothing_else() {
        for count in 0..60_i64 {
            let numbers: BTreeSet<c_long> = (0..count).map(|n| n * n * 7 % 463).collect();
            let numbers: Vec<c_long> = numbers.into_iter().rev().collect();
            let program = program(&list(&numbers));
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
        let program = program(&calls);
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
        let makes = |calls: &[Call]| std::panic::catch_unwind(|| program(calls)).is_ok();
        let longest = i64::try_from(List::LONGEST).unwrap();
        assert!(makes(&list(&(0..longest).collect::<Vec<_>>())));
        assert!(!makes(&list(&(0..=longest).collect::<Vec<_>>())));
        assert!(!makes(&list(&[-1])) && !makes(&list(&[0x4000_0000])) && !makes(&list(&[1, 2, 1])));
        let odd = |only| makes(&[Call { name: "x", number: 1, only }]);
        assert!(odd(&[Only::Without(5, 1)]) && !odd(&[Only::Without(6, 1)]));
        assert!(!odd(&[Only::OneOf(0, &[])]));
        let many: &[u32] = &[7; 300];
        assert!(!odd(Box::leak(Box::new([Only::OneOf(0, many)]))));
    }

    #[test]
    fn another_call_of_the_same_number_takes_its_place() {
        let calls = List::new().and(&list(&[3, 4, 5]));
        let other = Call { name: "x", number: 4, only: &[Only::OneOf(0, &[1])] };
        assert_eq!(calls.with(other).calls(), [calls.calls()[0], other, calls.calls()[2]]);
    }
}
