//! The host's log (facility authpriv): who asked for what, and the verdict, of every request.
//!
//! The log must never hold up the deed: datagrams to `/dev/log`, sent without waiting. If nobody takes them, they are
//! lost, as with `syslog(3)` when the daemon is down. But the caller has no say in that: what the log needs of the process
//! is there before the deed, or there is no deed.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::os::unix::net::UnixDatagram;

use super::trusted::errno;
use crate::Error;

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

/// Of one datagram, in bytes: a socket may have little room. What is longer is sent in numbered parts.
const LONGEST: usize = 1900;

/// More parts than this no record needs.
const MOST_PARTS: usize = 9;

/// A way to the log.
#[derive(Debug)]
pub struct Log {
    program: &'static str,
    socket: OnceCell<UnixDatagram>,
    /// May records only go to whom the socket is connected?
    by_connection: Cell<bool>,
}

const PLACE: &str = "/dev/log";

impl Log {
    /// Of this program. Opens nothing yet.
    #[must_use]
    pub const fn of(program: &'static str) -> Self {
        Self { program, socket: OnceCell::new(), by_connection: Cell::new(false) }
    }

    /// Opens what a record needs, so that it cannot be wanting later.
    ///
    /// # Errors
    /// The caller has left us no descriptor, or no memory.
    pub fn open(&self) -> Result<(), Error> {
        self.at_hand().map(drop)
    }

    /// The same, and connects it, for who will not be let send datagrams elsewhere in the end. If nobody listens, nobody does: that
    /// is no error.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn connect(&self) -> Result<(), Error> {
        self.at_hand()?.connect(PLACE).unwrap_or_default();
        Ok(())
    }

    fn at_hand(&self) -> Result<&UnixDatagram, Error> {
        self.socket().map_err(|error| Error::when("open a socket for the log")(errno(&error)))
    }

    /// From here on records go to whom [`Log::connect`] has found, or nowhere.
    pub fn look_no_further(&self) {
        self.by_connection.set(true);
    }

    fn socket(&self) -> std::io::Result<&UnixDatagram> {
        if let Some(socket) = self.socket.get() {
            return Ok(socket);
        }
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(self.socket.get_or_init(|| socket))
    }

    /// Sends a record. `what` may hold anything: what is not printable ASCII is shown as `?`.
    pub fn record(&self, verdict: Verdict, what: &str) {
        let Ok(socket) = self.socket() else { return };
        for line in lines(self.program, std::process::id(), verdict, what) {
            // Nobody listens, or too many talk: not our caller's trouble.
            let sent =
                if self.by_connection.get() { socket.send(&line) } else { socket.send_to(&line, PLACE) };
            sent.map(drop).unwrap_or_default();
        }
    }
}

fn lines(program: &str, pid: u32, verdict: Verdict, what: &str) -> Vec<Vec<u8>> {
    let (priority, word) = match verdict {
        Verdict::Granted => (AUTHPRIV | 6, "granted"),
        Verdict::Removed => (AUTHPRIV | 6, "removed"),
        Verdict::Refused => (AUTHPRIV | 5, "refused"),
    };
    // What others chose comes quoted already; this is for what nobody thought of.
    let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
    let plain = if what.bytes().all(|byte| is_plain(char::from(byte))) {
        Cow::Borrowed(what)
    } else {
        what.chars().map(|c| if is_plain(c) { c } else { '?' }).collect()
    };
    let plain = plain.as_bytes();
    let parts: Vec<&[u8]> = plain.chunks(LONGEST).take(MOST_PARTS).collect();
    let count = parts.len();
    let line = |(number, part): (usize, &&[u8])| {
        let which = if count > 1 { format!("part {number} of {count}: ") } else { String::new() };
        [format!("<{priority}>{program}[{pid}]: {word}: {which}").as_bytes(), part].concat()
    };
    (1..).zip(&parts).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_and_a_long_one_is_several_with_nothing_left_out() {
        let text = |what: &str| {
            let lines = lines("x", 7, Verdict::Refused, what);
            lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(text("a\nb\u{1b}\u{e9}"), ["<85>x[7]: refused: a?b??"]);
        let long: String = (b'a'..=b'z').cycle().take(5000).map(char::from).collect();
        let parts = text(&long);
        assert_eq!(parts.len(), 3);
        let rest = |(number, part): (usize, &String)| {
            part.strip_prefix(&format!("<85>x[7]: refused: part {number} of 3: ")).unwrap().to_owned()
        };
        assert_eq!((1..).zip(&parts).map(rest).collect::<String>(), long);
    }
}
