//! The socket below the messages to the kernel. Routing netlink answers before the request's own system call is over: so nothing
//! is ever waited for, and the runtime needs no way to be told of events. A datagram is taken from the socket when there is an
//! answer still to come, and no call is made only to see that there is no more.

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use bytes::BufMut;
use nix::errno::Errno;
use nix::libc::MSG_DONTWAIT;
use nix::poll::{PollFd, PollFlags, poll};
use rtnetlink::sys::{AsyncSocket, Socket, SocketAddr};

/// A kernel that answers later than we think is given so many milliseconds. Not for ever: nobody could end the process.
const PATIENCE: u16 = 5000;

/// A socket that is listened to when it has been said so, for one datagram.
pub(crate) struct Line {
    socket: Socket,
    is_expecting: Cell<bool>,
}

impl Line {
    /// There is a datagram to come.
    pub(crate) fn listen(&mut self) {
        self.is_expecting.set(true);
    }

    /// One datagram, if there is one to come.
    fn hear<T>(&self, mut receive: impl FnMut(&Socket) -> io::Result<T>) -> Poll<io::Result<T>> {
        if !self.is_expecting.replace(false) {
            return Poll::Pending;
        }
        let heard = match receive(&self.socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                match poll(&mut polled, PATIENCE) {
                    Ok(0) => Err(Errno::ETIMEDOUT.into()),
                    Ok(_) => receive(&self.socket),
                    Err(errno) => Err(errno.into()),
                }
            }
            heard => heard,
        };
        Poll::Ready(heard)
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
        Ok(Self { socket: Socket::new(protocol)?, is_expecting: Cell::new(false) })
    }

    fn poll_send(&self, _: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.socket.send(message, 0))
    }

    fn poll_send_to(&self, _: &mut Context<'_>, message: &[u8], to: &SocketAddr) -> Poll<io::Result<usize>> {
        Poll::Ready(self.socket.send_to(message, to, 0))
    }

    fn poll_recv<B: BufMut>(&self, _: &mut Context<'_>, buffer: &mut B) -> Poll<io::Result<()>> {
        self.hear(|socket| socket.recv(buffer, MSG_DONTWAIT).map(drop))
    }

    fn poll_recv_from<B: BufMut>(
        &self,
        _: &mut Context<'_>,
        buffer: &mut B,
    ) -> Poll<io::Result<SocketAddr>> {
        self.hear(|socket| socket.recv_from(buffer, MSG_DONTWAIT).map(|(_, from)| from))
    }

    fn poll_recv_from_full(&self, _: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        self.hear(Socket::recv_from_full)
    }
}
