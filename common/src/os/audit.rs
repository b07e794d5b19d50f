//! One line for the host's log (facility authpriv) about every request: who asked for what, and the verdict.
//!
//! The log must never hold up the deed: one datagram to `/dev/log`, sent without waiting. If nobody takes it, it is
//! lost, as with `syslog(3)` when the daemon is down.

use std::os::unix::net::UnixDatagram;

/// How it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Allowed, and about to be done: priority info. If the kernel then refuses, a second record says so.
    Granted,
    /// Taken away again, which was asked for or had to be: priority info.
    Removed,
    /// Refused or failed: priority notice.
    Refused,
}

/// `LOG_AUTHPRIV`, shifted as `syslog(3)` has it.
const AUTHPRIV: u32 = 10 << 3;

/// More than this is cut: a datagram socket may have little room.
const LONGEST: usize = 2000;

/// Sends the line. `what` may hold anything: what is not printable ASCII is shown as `?`.
pub fn record(program: &'static str, verdict: Verdict, what: &str) {
    let (priority, word) = match verdict {
        Verdict::Granted => (AUTHPRIV | 6, "granted"),
        Verdict::Removed => (AUTHPRIV | 6, "removed"),
        Verdict::Refused => (AUTHPRIV | 5, "refused"),
    };
    let pid = std::process::id();
    // What others chose comes quoted already; this is for what nobody thought of.
    let plain = what.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
    let head = format!("<{priority}>{program}[{pid}]: {word}: ");
    let line: Vec<u8> = head.bytes().chain(plain.collect::<String>().into_bytes()).take(LONGEST).collect();
    if let Ok(log) = UnixDatagram::unbound() {
        let sent = log.set_nonblocking(true).and_then(|()| log.send_to(&line, "/dev/log"));
        // Nobody listens, or too many talk: not our caller's trouble.
        sent.unwrap_or_default();
    }
}
