//! Handshakes on the wire: packet sockets in network namespaces, which need no BPF.
//!
//! [`PacketSockets`] has one socket in each namespace of its scope, opened inside it and read from here.
//! The kernel keeps what a [`PacketFilter`] wants of each packet in a ring (TPACKET_V3) in shared
//! memory, so a block of packets costs one system call at the most. What the ring had no room for is
//! counted.
//!
//! What a packet socket cannot see: why the kernel dropped something, when accept() returned, and
//! packets that netfilter dropped on their way out. What comes over loopback is seen once, as it comes
//! in; what crosses several interfaces (a bridge and its ports, a VLAN and what it is on) on each.
//!
//! - `program`, `filter`: the filter in the kernel.
//! - `block`: packets in a block of bytes.
//! - `socket`, `sys`: the socket and its ring.

mod block;
mod filter;
#[cfg(test)]
mod fixture;
mod program;
mod socket;
mod sys;

use std::io;
use std::time::Duration;

use halfopen_evidence::Missing;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::namespaces::{Closed, Kept};
use crate::{CollectError, NetnsScope, WatchedNetns, privilege};

use socket::PacketSocket;

pub use block::RingPacket;
pub use filter::{Flow, Network, PacketFilter};

/// Memory of all rings together.
const RINGS_BYTES: usize = 64 << 20;

/// Packet sockets in the network namespaces of a scope.
#[derive(Debug)]
pub struct PacketSockets {
    posts: Kept<Post>,
    closed: Vec<(String, Missing)>,
}

#[derive(Debug)]
struct Post {
    filter: PacketFilter,
    socket: PacketSocket,
}

impl PacketSockets {
    /// After so long packets are handed over, however few they are.
    pub const LATENCY: Duration = Duration::from_millis(sys::RETIRE_MS as u64);

    /// Opens a socket in each namespace of the scope.
    ///
    /// # Errors
    /// If not even one could be opened; [`CollectError::PacketSocket`] says why.
    pub fn open(scope: NetnsScope, filter: &PacketFilter) -> Result<Self, CollectError> {
        let mut sockets = Self { posts: Kept::new(scope), closed: Vec::new() };
        match sockets.look(filter, |_| {})? {
            Some(error) if sockets.posts.all().is_empty() => Err(error),
            _ => Ok(sockets),
        }
    }

    /// The namespaces that are watched; packets come with a place in this list.
    pub fn namespaces(&self) -> impl ExactSizeIterator<Item = &WatchedNetns> {
        self.posts.all().iter().map(|(netns, _)| netns)
    }

    /// The namespaces that could not be entered, and why.
    #[must_use]
    pub fn closed(&self) -> &[(String, Missing)] {
        &self.closed
    }

    /// Looks for namespaces again: opens those that are new, and leaves those that nobody is in any
    /// more, which the socket itself would keep alive. `gone` is told of each before it is left.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn refresh(
        &mut self,
        filter: &PacketFilter,
        gone: impl FnMut(usize),
    ) -> Result<(), CollectError> {
        self.look(filter, gone).map(|_| ())
    }

    /// Waits until a socket has packets, or so long.
    ///
    /// # Errors
    /// If waiting itself fails; an interrupted wait is none.
    pub fn wait(&self, most: Duration) -> io::Result<()> {
        let mut ready: Vec<PollFd<'_>> = self
            .posts
            .all()
            .iter()
            .map(|(_, post)| PollFd::new(post.socket.descriptor(), PollFlags::IN))
            .collect();
        let most = Timespec::try_from(most).unwrap_or_default();
        match poll(&mut ready, Some(&most)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Hands on the packets of the next block of one namespace; false if there is none.
    pub fn take_block(&mut self, place: usize, mut each: impl FnMut(RingPacket<'_>)) -> bool {
        self.posts.at(place).is_some_and(|post| post.socket.take_block(&mut each))
    }

    /// Packets of a namespace that its ring had no room for since this was asked last.
    pub fn dropped(&self, place: usize) -> u32 {
        self.posts.all().get(place).map_or(0, |(_, post)| post.socket.dropped())
    }

    /// Wants other packets of a namespace from now on. If the kernel refuses, it stays as it was.
    pub fn set_filter(&mut self, place: usize, filter: &PacketFilter) {
        if let Some(post) = self.posts.at(place)
            && post.filter != *filter
            && post.socket.set_filter(filter).is_ok()
        {
            post.filter.clone_from(filter);
        }
    }

    /// Looks for namespaces; the first error of opening a socket, if there was one.
    fn look(
        &mut self,
        filter: &PacketFilter,
        gone: impl FnMut(usize),
    ) -> Result<Option<CollectError>, CollectError> {
        let open = |in_all: usize| {
            let socket = PacketSocket::open(filter, RINGS_BYTES / in_all)?;
            Ok(Post { filter: filter.clone(), socket })
        };
        let mut first = None;
        for (netns, why) in self.posts.look::<io::Error>(gone, open)? {
            match why {
                Closed::NotEntered(why) => self.close(&netns.label, why),
                Closed::NotOpened(source) => {
                    let why = if is_refusal(&source) {
                        Missing::needs(privilege::SEE_PACKETS)
                    } else {
                        Missing::unreadable(&source)
                    };
                    self.close(&netns.label, why);
                    first.get_or_insert(CollectError::PacketSocket { netns: netns.label, source });
                }
            }
        }
        Ok(first)
    }

    /// Notes a namespace that cannot be watched, once: it is tried again at each refresh.
    fn close(&mut self, label: &str, why: Missing) {
        if !self.closed.iter().any(|(known, _)| known == label) {
            self.closed.push((label.to_owned(), why));
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}
