//! The ways in which a server thread waits for connections.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use halfopen_scenario::Waits;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::RecvFlags;

/// A thread's way to wait for connections of one listener.
pub(crate) enum Waiter<'l> {
    /// accept() itself waits, or orders are awaited elsewhere.
    Accept,
    Poll(BorrowedFd<'l>),
    Select(BorrowedFd<'l>),
    Epoll(Epoll),
}

/// An epoll set with a listener and the connections that were accepted from it.
pub(crate) struct Epoll {
    set: OwnedFd,
    connections: Vec<Option<OwnedFd>>,
}

/// The listener's key in the set; the others are indexes of `connections`.
const LISTENER: u64 = u64::MAX;

impl<'l> Waiter<'l> {
    pub(crate) fn new(waits: Waits, listener: BorrowedFd<'l>) -> io::Result<Self> {
        Ok(match waits {
            Waits::Accept | Waits::Told => Self::Accept,
            Waits::Poll => Self::Poll(listener),
            Waits::Select => Self::Select(listener),
            Waits::Epoll => Self::Epoll(Epoll::new(listener, EventFlags::IN)?),
            Waits::EpollEdge => Self::Epoll(Epoll::new(listener, EventFlags::IN | EventFlags::ET)?),
        })
    }

    /// Waits until there is something to accept, or accept() will wait.
    pub(crate) fn wait(&mut self) -> io::Result<()> {
        match self {
            Self::Accept => Ok(()),
            Self::Poll(listener) => {
                poll(&mut [PollFd::new(listener, PollFlags::IN)], None)?;
                Ok(())
            }
            Self::Select(listener) => crate::sys::select_readable(*listener),
            Self::Epoll(epoll) => epoll.wait(),
        }
    }
}

impl Epoll {
    fn new(listener: BorrowedFd<'_>, flags: EventFlags) -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&set, listener, EventData::new_u64(LISTENER), flags)?;
        Ok(Self { set, connections: Vec::new() })
    }

    /// Serves a connection from now on, until its client closes it.
    pub(crate) fn serve(&mut self, connection: OwnedFd) -> io::Result<()> {
        let free = self.connections.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let key = EventData::new_u64(u64::try_from(index).unwrap_or(LISTENER));
        epoll::add(&self.set, connection.as_fd(), key, EventFlags::IN)?;
        self.connections[index] = Some(connection);
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        loop {
            let mut events = Vec::with_capacity(64);
            match epoll::wait(&self.set, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let mut to_accept = false;
            for event in &events {
                let key = event.data.u64();
                if key == LISTENER {
                    to_accept = true;
                } else if let Ok(index) = usize::try_from(key) {
                    self.read(index);
                }
            }
            if to_accept {
                return Ok(());
            }
        }
    }

    fn read(&mut self, index: usize) {
        let Some(slot) = self.connections.get_mut(index) else { return };
        let Some(connection) = slot else { return };
        let mut buffer = [0; 4096];
        let over = match rustix::net::recv(connection, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((received, _)) => received == 0,
            Err(error) => error != Errno::AGAIN,
        };
        if over {
            *slot = None;
        }
    }
}
