//! Questions about sockets, answered in the network namespace that they are in: what listens there, and
//! whose end of a connection is there.
//!
//! A netlink socket is kept in each namespace, so an answer takes no walk over namespaces.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use halfopen_evidence::{EndpointKey, Inode, Missing, NetnsId, Reading};
use halfopen_model::{AcceptQueue, TcpState};

use crate::look::listeners;
use crate::namespaces::{Kept, WatchedNetns};
use crate::netlink::decode::socket_row;
use crate::netlink::request::FindRequest;
use crate::netlink::{DiagSocket, DumpBuffer};
use crate::{CollectError, NetnsScope};

/// How soon namespaces are looked for again because one was not among them.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListeningSocket {
    /// What it is bound to.
    pub key: EndpointKey,
    /// Its inode.
    pub inode: Inode,
    /// Its accept queue.
    pub queue: AcceptQueue,
    /// Segments dropped at it since it was made; `None` where the kernel does not say.
    pub drops: Option<u32>,
}

/// See the module's text.
#[derive(Debug)]
pub struct SocketLookups {
    /// None where the kernel has no such interface.
    sockets: Kept<Option<DiagSocket>>,
    looked: Instant,
    buffer: DumpBuffer,
}

impl SocketLookups {
    /// Opens a socket in each namespace of the scope.
    ///
    /// # Errors
    /// If `/proc` cannot be read, or no namespace is called what the scope names.
    pub fn open(scope: NetnsScope) -> Result<Self, CollectError> {
        let sockets = Kept::new(scope);
        let mut lookups = Self { sockets, looked: Instant::now(), buffer: DumpBuffer::new() };
        lookups.look()?;
        Ok(lookups)
    }

    /// The namespaces that can be asked.
    pub fn namespaces(&self) -> impl ExactSizeIterator<Item = &WatchedNetns> {
        self.sockets.all().iter().map(|(netns, _)| netns)
    }

    /// A namespace of the scope. One that is not known yet is looked for; where every namespace is in
    /// scope, one that is gone already goes by its number.
    pub fn netns(&mut self, id: NetnsId) -> Option<WatchedNetns> {
        let find = |lookups: &Self| lookups.namespaces().find(|netns| netns.id == id).cloned();
        let mut known = find(self);
        if known.is_none() && self.looked.elapsed() >= LOOK_AGAIN {
            // Without /proc what is known stays.
            let _ = self.look();
            known = find(self);
        }
        let by_number = || WatchedNetns { id, label: format!("netns {id}"), is_own: false };
        known.or_else(|| (*self.sockets.scope() == NetnsScope::All).then(by_number))
    }

    /// Looks for namespaces again if that is so long ago: opens those that are new, and leaves those that
    /// nobody is in any more.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn refresh(&mut self, after: Duration) -> Result<(), CollectError> {
        if self.looked.elapsed() < after { Ok(()) } else { self.look() }
    }

    fn look(&mut self) -> Result<(), CollectError> {
        self.looked = Instant::now();
        let open = |_| Ok::<_, Infallible>(DiagSocket::open().ok());
        // What cannot be entered cannot be asked.
        self.sockets.look(|_| {}, open).map(|_| ())
    }

    /// The listening sockets of a namespace.
    pub fn listening(&mut self, netns: NetnsId) -> Reading<Vec<ListeningSocket>> {
        let diag = match diag(&mut self.sockets, netns) {
            Ok(diag) => diag,
            Err(why) => return why.into(),
        };
        match listeners(diag, &mut self.buffer) {
            Ok(rows) => Reading::Known(
                rows.iter()
                    .map(|row| ListeningSocket {
                        key: EndpointKey {
                            local: row.local,
                            device: row.device,
                            v6_only: row.v6_only,
                        },
                        inode: Inode(row.inode),
                        queue: AcceptQueue { depth: row.rqueue, limit: row.wqueue },
                        drops: row.drops,
                    })
                    .collect(),
            ),
            Err(error) => Missing::unreadable(error).into(),
        }
    }

    /// The socket of a namespace that is connected, or connecting, from `local` to `peer`; `None` if
    /// there is none, or no process has it.
    pub fn connected(
        &mut self,
        netns: NetnsId,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Reading<Option<Inode>> {
        let diag = match diag(&mut self.sockets, netns) {
            Ok(diag) => diag,
            Err(why) => return why.into(),
        };
        let request = FindRequest { local, peer, device: 0, cookie: None };
        match diag.find(&request, &mut self.buffer, socket_row) {
            // Without a connection the kernel answers with the listening socket.
            Ok(row) => Reading::Known(
                row.filter(|row| row.state != TcpState::Listen && row.inode != 0)
                    .map(|row| Inode(row.inode)),
            ),
            Err(error) => Missing::unreadable(error).into(),
        }
    }
}

fn diag(
    sockets: &mut Kept<Option<DiagSocket>>,
    netns: NetnsId,
) -> Result<&mut DiagSocket, Missing> {
    let open = sockets.in_netns(netns).ok_or(Missing::Vanished)?;
    open.as_mut().ok_or(Missing::NotOnThisKernel)
}
