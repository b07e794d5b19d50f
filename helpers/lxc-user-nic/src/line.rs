//! The socket below the messages to the kernel. Routing netlink answers before the request's own system call is over: so nothing
//! is ever waited for, and the runtime needs no way to be told of events. A datagram is taken from the socket when there is an
//! answer still to come, and no call is made only to see that there is no more.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use bytes::BufMut;
use nix::errno::Errno;
use nix::libc::{self, MSG_DONTWAIT, MSG_TRUNC};
use nix::poll::{PollFd, PollFlags, poll};
use rtnetlink::sys::{AsyncSocket, Socket, SocketAddr};

use crate::sieve::sift;

/// A kernel that answers later than we think is given so many milliseconds. Not for ever: nobody could end the process.
const PATIENCE: u16 = 5000;

/// What is said of an interface with more than a few hundred names is longer. Then it is not read at all: a part of it would pass
/// for the whole.
const LONGEST: usize = 64 << 10;

/// A socket that is listened to when it has been said so, for one datagram.
pub(crate) struct Line {
    socket: Socket,
    is_expecting: Cell<bool>,
    /// A datagram, and what is kept of it.
    buffers: RefCell<(Vec<u8>, Vec<u8>)>,
}

impl Line {
    /// There is a datagram to come.
    pub(crate) fn listen(&mut self) {
        self.is_expecting.set(true);
    }

    /// The next datagram, in time, and who it is from.
    fn hear(&self, datagram: &mut Vec<u8>) -> io::Result<SocketAddr> {
        datagram.clear();
        let mut receive = || {
            let (length, from) = self.socket.recv_from(datagram, MSG_DONTWAIT | MSG_TRUNC)?;
            if length > datagram.len() { Err(io::Error::from(Errno::EMSGSIZE)) } else { Ok(from) }
        };
        match receive() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                if poll(&mut polled, PATIENCE)? == 0 {
                    return Err(Errno::ETIMEDOUT.into());
                }
                receive()
            }
            heard => heard,
        }
    }
}

impl AsyncSocket for Line {
    fn socket_ref(&self) -> &Socket {
        &self.socket
    }

    fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    fn new(protocol: isize) -> io::Result<Self> {
        // Of memory that is not written to there is none.
        let buffers = RefCell::new((Vec::with_capacity(LONGEST), Vec::with_capacity(LONGEST)));
        Ok(Self { socket: Socket::new(protocol)?, is_expecting: Cell::new(false), buffers })
    }

    // Without an address it goes to the kernel: netlink(7). Nobody else is sent anything.
    fn poll_send_to(&self, _: &mut Context<'_>, message: &[u8], _: &SocketAddr) -> Poll<io::Result<usize>> {
        Poll::Ready(self.socket.send(message, 0))
    }

    fn poll_recv_from<B: BufMut>(&self, _: &mut Context<'_>, buffer: &mut B) -> Poll<io::Result<SocketAddr>> {
        if !self.is_expecting.replace(false) {
            return Poll::Pending;
        }
        let (datagram, kept) = &mut *self.buffers.borrow_mut();
        let heard = self.hear(datagram).map_err(|error| match error.raw_os_error() {
            // The answer is lost. The connection would take this for news, and wait for what does not come.
            Some(libc::ENOBUFS) => Errno::ECONNABORTED.into(),
            _ => error,
        });
        if heard.is_ok() {
            sift(datagram, kept);
            buffer.put_slice(kept);
        }
        Poll::Ready(heard)
    }

    // The connection does neither of these.

    fn poll_send(&self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(Errno::ENOSYS.into()))
    }

    fn poll_recv<B: BufMut>(&self, _: &mut Context<'_>, _: &mut B) -> Poll<io::Result<()>> {
        Poll::Ready(Err(Errno::ENOSYS.into()))
    }

    fn poll_recv_from_full(&self, _: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        Poll::Ready(Err(Errno::ENOSYS.into()))
    }
}
