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

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use halfopen_evidence::{Missing, NetnsId, NetnsLabel};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::namespaces::{Discovery, Found, discover, visit};
use crate::proc::ProcRoot;
use crate::{CollectError, NetnsScope, WatchedNetns, privilege};

use socket::PacketSocket;

pub use block::RingPacket;
pub use filter::{Flow, Network, PacketFilter};

/// Memory of all rings together.
const RINGS_BYTES: usize = 64 << 20;

/// Packet sockets in the network namespaces of a scope.
#[derive(Debug)]
pub struct PacketSockets {
    proc: PathBuf,
    root: ProcRoot,
    scope: NetnsScope,
    posts: Vec<Post>,
    closed: Vec<(String, Missing)>,
}

#[derive(Debug)]
struct Post {
    netns: WatchedNetns,
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
        let proc = PathBuf::from("/proc");
        let mut sockets =
            Self { root: ProcRoot::new(&proc), proc, scope, posts: Vec::new(), closed: Vec::new() };
        let Discovery { found, .. } = sockets.discover()?;
        match sockets.add(&found.iter().collect::<Vec<_>>(), filter)? {
            Some(error) if sockets.posts.is_empty() => Err(error),
            _ => Ok(sockets),
        }
    }

    /// The namespaces that are watched; packets come with a place in this list.
    pub fn namespaces(&self) -> impl ExactSizeIterator<Item = &WatchedNetns> {
        self.posts.iter().map(|post| &post.netns)
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
        mut gone: impl FnMut(usize),
    ) -> Result<(), CollectError> {
        let found = match self.discover() {
            Ok(Discovery { found, .. }) => found,
            // The one that was named is gone.
            Err(CollectError::NoSuchNetns { .. } | CollectError::NetnsOfProcess { .. }) => {
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let there: BTreeSet<NetnsId> = found.iter().map(|found| found.id).collect();
        for place in (0..self.posts.len()).rev() {
            if !there.contains(&self.posts[place].netns.id) {
                gone(place);
                self.posts.remove(place);
            }
        }
        let known: BTreeSet<NetnsId> = self.namespaces().map(|netns| netns.id).collect();
        let new: Vec<&Found> = found.iter().filter(|found| !known.contains(&found.id)).collect();
        if !new.is_empty() {
            self.add(&new, filter)?;
        }
        Ok(())
    }

    /// Waits until a socket has packets, or so long.
    ///
    /// # Errors
    /// If waiting itself fails; an interrupted wait is none.
    pub fn wait(&self, most: Duration) -> io::Result<()> {
        let mut ready: Vec<PollFd<'_>> = self
            .posts
            .iter()
            .map(|post| PollFd::new(post.socket.descriptor(), PollFlags::IN))
            .collect();
        let most = Timespec::try_from(most).unwrap_or_default();
        match poll(&mut ready, Some(&most)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Hands on the packets of the next block of one namespace; false if there is none.
    pub fn take_block(&mut self, place: usize, mut each: impl FnMut(RingPacket<'_>)) -> bool {
        self.posts.get_mut(place).is_some_and(|post| post.socket.take_block(&mut each))
    }

    /// Packets of a namespace that its ring had no room for since this was asked last.
    pub fn dropped(&self, place: usize) -> u32 {
        self.posts.get(place).map_or(0, |post| post.socket.dropped())
    }

    /// Wants other packets of a namespace from now on. If the kernel refuses, it stays as it was.
    pub fn set_filter(&mut self, place: usize, filter: &PacketFilter) {
        if let Some(post) = self.posts.get_mut(place)
            && post.filter != *filter
            && post.socket.set_filter(filter).is_ok()
        {
            post.filter.clone_from(filter);
        }
    }

    fn discover(&self) -> Result<Discovery, CollectError> {
        discover(&self.root, &self.proc, &self.scope)
    }

    /// Opens sockets in these namespaces; the first error, if there was one.
    fn add(
        &mut self,
        found: &[&Found],
        filter: &PacketFilter,
    ) -> Result<Option<CollectError>, CollectError> {
        let ring_bytes = RINGS_BYTES / (self.posts.len() + found.len()).max(1);
        let opened = visit(found, &self.proc, |found, entered| {
            let label = NetnsLabel::best(&found.labels, found.id);
            let netns = WatchedNetns { id: found.id, label, is_own: found.is_own };
            (netns, entered.map(|_| PacketSocket::open(filter, ring_bytes)))
        })?;
        let mut first = None;
        for (netns, opened) in opened {
            match opened {
                Ok(Ok(socket)) => {
                    self.posts.push(Post { netns, filter: filter.clone(), socket });
                }
                Ok(Err(source)) => {
                    let why = if is_refusal(&source) {
                        Missing::needs(privilege::SEE_PACKETS)
                    } else {
                        Missing::unreadable(&source)
                    };
                    self.close(&netns.label, why);
                    first.get_or_insert(CollectError::PacketSocket { netns: netns.label, source });
                }
                // It is gone; nobody misses it.
                Err(Missing::Vanished) => {}
                Err(why) => self.close(&netns.label, why),
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
