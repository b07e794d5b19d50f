//! Somebody who has got a helper to do what he likes, at one of its system calls: the real program, with whatever power it
//! has there. He is played by a tracer, which has the program make other calls before that one; so what keeps him from
//! anything is what the program has done to itself. Then it goes on as if nothing had been.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

use nix::errno::Errno;
use nix::libc::{self, c_long, c_void, user_regs_struct};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Answer, User, World};

/// See the module.
#[derive(Debug)]
pub struct Intruder {
    child: Child,
    pid: Pid,
    /// Just before the call.
    registers: user_regs_struct,
}

impl World {
    /// Runs a program of this user's as far as its `number`th call of this system call, from 1 on, which it is about to make.
    ///
    /// # Panics
    /// It ends before.
    #[must_use]
    #[allow(
        clippy::zombie_processes,
        reason = "Intruder::goes waits for it; a test that fails ends, and takes it along"
    )]
    pub fn intrude(
        &self,
        user: User,
        program: &str,
        args: &[&str],
        (call, number): (c_long, u32),
    ) -> Intruder {
        let (child, pid) = self.traced(user, program, args);
        let (mut is_program, mut seen) = (false, 0);
        loop {
            match waitpid(pid, None).expect("wait") {
                WaitStatus::PtraceSyscall(_) => {}
                WaitStatus::PtraceEvent(_, _, event) => {
                    is_program |= event == libc::PTRACE_EVENT_EXEC;
                    ptrace::syscall(pid, None).expect("go on");
                    continue;
                }
                WaitStatus::Stopped(_, _) => {
                    ptrace::syscall(pid, None).expect("go on");
                    continue;
                }
                other => panic!("{program} has ended before it made {call}: {other:?}"),
            }
            let registers = ptrace::getregs(pid).expect("registers");
            if is_program && begins(&registers) && number_of(&registers) == call {
                seen += 1;
                if seen == number {
                    return Intruder { child, pid, registers };
                }
            }
            ptrace::syscall(pid, None).expect("go on");
        }
    }

    /// Runs a program of this user's as on a machine whose clock only the kernel can read: it finds no vDSO (vdso(7)).
    ///
    /// # Panics
    /// It cannot be run.
    #[must_use]
    pub fn without_vdso(&self, user: User, program: &str, args: &[&str]) -> Answer {
        let (child, pid) = self.traced(user, program, args);
        loop {
            match waitpid(pid, None).expect("wait") {
                WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => break,
                WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..) => {
                    ptrace::cont(pid, None).expect("go on");
                }
                other => panic!("{program} has not been run: {other:?}"),
            }
        }
        // On the stack: how many arguments, these, the environment, and then pairs, each a kind and a value.
        let place = |address: u64| {
            std::ptr::without_provenance_mut::<c_void>(usize::try_from(address).expect("an address"))
        };
        let word = |address: u64| unsigned(ptrace::read(pid, place(address)).expect("read"));
        let mut next = ptrace::getregs(pid).expect("registers").rsp;
        next += 8 * (word(next) + 2);
        while word(next) != 0 {
            next += 8;
        }
        next += 8;
        while word(next) != libc::AT_SYSINFO_EHDR {
            assert_ne!(word(next), libc::AT_NULL, "no vDSO");
            next += 16;
        }
        ptrace::write(pid, place(next), signed(libc::AT_IGNORE)).expect("write");
        ptrace::detach(pid, None).expect("detach");
        Answer::of(&child.wait_with_output().expect("wait"))
    }

    /// Runs a program of this user's, where the kernel answers some of its calls in another way than it would.
    ///
    /// # Panics
    /// It ends before it has made them all.
    #[must_use]
    pub fn answered(&self, user: User, program: &str, args: &[&str], fakes: &[Fake]) -> Answer {
        let (child, pid) = self.traced(user, program, args);
        let (mut is_program, mut made, mut left) = (false, BTreeMap::new(), fakes.len());
        let mut faked: Option<&Fake> = None;
        while left > 0 {
            match waitpid(pid, None).expect("wait") {
                WaitStatus::PtraceSyscall(_) => {
                    let mut registers = ptrace::getregs(pid).expect("registers");
                    if let Some(fake) = faked.take() {
                        put(pid, registers.rsi, &fake.text);
                        registers.rax = unsigned(fake.answer);
                        left -= 1;
                    } else if is_program && begins(&registers) {
                        let number = made.entry(number_of(&registers)).or_insert(0);
                        *number += 1;
                        let this = (number_of(&registers), *number);
                        faked = fakes.iter().find(|fake| (fake.call, fake.number) == this);
                        if faked.is_some_and(|fake| !fake.is_made) {
                            // No call at all.
                            registers.orig_rax = u64::MAX;
                        }
                    }
                    ptrace::setregs(pid, registers).expect("registers");
                }
                WaitStatus::PtraceEvent(_, _, event) => is_program |= event == libc::PTRACE_EVENT_EXEC,
                WaitStatus::Stopped(_, _) => {}
                other => panic!("{program} has not made {left} of its calls: {other:?}"),
            }
            if left > 0 {
                ptrace::syscall(pid, None).expect("go on");
            }
        }
        ptrace::detach(pid, None).expect("detach");
        Answer::of(&child.wait_with_output().expect("wait"))
    }

    /// Starts a program of this user's, and traces it from before its first instruction.
    fn traced(&self, user: User, program: &str, args: &[&str]) -> (Child, Pid) {
        // It waits for its tracer, who is root: so the program's file gives it privilege all the same.
        let mut command = self.command(user, "/bin/sh");
        command.args(["-c", "kill -STOP $$; exec \"$0\" \"$@\"", program]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let child = command.spawn().expect("start");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        let stopped = || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
            status.contains(") T ")
        };
        while !stopped() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
            | ptrace::Options::PTRACE_O_TRACEEXEC
            | ptrace::Options::PTRACE_O_EXITKILL;
        ptrace::seize(pid, options).expect("seize");
        kill(pid, Signal::SIGCONT).expect("go on");
        (child, pid)
    }
}

impl Intruder {
    /// Has the program make this call. A text among the arguments is put into its memory.
    ///
    /// # Panics
    /// It has ended by that.
    pub fn tries(&mut self, call: c_long, arguments: &[Argument<'_>]) -> Result<c_long, Errno> {
        let mut registers = self.registers;
        registers.orig_rax = unsigned(call);
        // Below the stack and what a function may keep there.
        let mut room = (registers.rsp - 4096) & !7;
        let mut numbers = [0; 6];
        for (number, argument) in numbers.iter_mut().zip(arguments) {
            *number = match argument {
                Argument::Number(number) => unsigned(*number),
                Argument::Bytes(bytes) => {
                    room -= 512;
                    put(self.pid, room, bytes);
                    room
                }
            };
        }
        let [a, b, c, d, e, f] = numbers;
        (registers.rdi, registers.rsi, registers.rdx) = (a, b, c);
        (registers.r10, registers.r8, registers.r9) = (d, e, f);
        ptrace::setregs(self.pid, registers).expect("registers");
        self.to_the_next_stop();
        let answer = signed(ptrace::getregs(self.pid).expect("registers").rax);

        // Back before the instruction, which has two bytes.
        let mut registers = self.registers;
        registers.rip -= 2;
        registers.rax = registers.orig_rax;
        ptrace::setregs(self.pid, registers).expect("registers");
        self.to_the_next_stop();
        let again = ptrace::getregs(self.pid).expect("registers");
        assert!(begins(&again) && again.rip == self.registers.rip, "it is somewhere else");
        if (-4095..0).contains(&answer) {
            Err(Errno::from_raw(i32::try_from(-answer).expect("an error")))
        } else {
            Ok(answer)
        }
    }

    fn to_the_next_stop(&self) {
        ptrace::syscall(self.pid, None).expect("go on");
        loop {
            match waitpid(self.pid, None).expect("wait") {
                WaitStatus::PtraceSyscall(_) => return,
                WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(_, Signal::SIGALRM) => {
                    ptrace::syscall(self.pid, None).expect("go on");
                }
                other => panic!("it has ended: {other:?}"),
            }
        }
    }

    /// Lets the program go on to its end.
    ///
    /// # Panics
    /// It does not end.
    #[must_use]
    pub fn goes(self) -> Answer {
        ptrace::detach(self.pid, None).expect("detach");
        Answer::of(&self.child.wait_with_output().expect("wait"))
    }
}

/// `lsm_get_self_attr(2)`
pub const LSM_GET_SELF_ATTR: c_long = 459;

/// What Debian 12's strace calls it, which can neither stop a program there nor have it fail.
pub const UNKNOWN_TO_STRACE: &str = "syscall_0x1cb";

/// What the kernel is made to answer.
#[derive(Clone, Debug)]
pub struct Fake {
    /// To this system call
    pub call: c_long,
    /// when it is made for the so-manieth time, from 1 on:
    pub number: u32,
    /// this, or an error as the kernel has it, below 0,
    pub answer: i64,
    /// with this where the second argument points to.
    pub text: Vec<u8>,
    /// Is it made all the same, if for nothing?
    pub is_made: bool,
}

fn put(pid: Pid, place: u64, bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    for (word, place) in bytes.chunks(8).zip((place..).step_by(8)) {
        let place = std::ptr::without_provenance_mut::<c_void>(usize::try_from(place).expect("an address"));
        let word = c_long::from_ne_bytes(word.try_into().expect("eight bytes"));
        ptrace::write(pid, place, word).expect("write");
    }
}

/// Of a call that somebody tries.
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    /// As it is.
    Number(i64),
    /// Where these are.
    Bytes(&'a [u8]),
}

/// Is it about to be made? Then the kernel has put this where its answer is going to be.
fn begins(registers: &user_regs_struct) -> bool {
    signed(registers.rax) == -38
}

fn number_of(registers: &user_regs_struct) -> c_long {
    signed(registers.orig_rax)
}

/// A register holds either.
fn signed(register: u64) -> i64 {
    i64::from_ne_bytes(register.to_ne_bytes())
}

fn unsigned(number: i64) -> u64 {
    u64::from_ne_bytes(number.to_ne_bytes())
}
