//! Questions about sockets, answered in the network namespace that they are in: what listens there, and
//! whose end of a connection is there.
//!
//! A netlink socket is kept in each namespace, so an answer takes no walk over namespaces.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use halfopen_evidence::{EndpointKey, Inode, Missing, NetnsId, NetnsLabel, Reading};
use halfopen_model::{AcceptQueue, TcpState};

use crate::look::listeners;
use crate::namespaces::{Discovery, Found, discover, visit};
use crate::netlink::decode::socket_row;
use crate::netlink::request::FindRequest;
use crate::netlink::{DiagSocket, DumpBuffer};
use crate::proc::ProcRoot;
use crate::{CollectError, NetnsScope};

/// How soon namespaces are looked for again because one was not among them.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A namespace that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedNetns {
    /// Its number.
    pub id: NetnsId,
    /// What it is called.
    pub label: String,
    /// Whether it is the collector's own.
    pub is_own: bool,
}

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
    proc: PathBuf,
    root: ProcRoot,
    scope: NetnsScope,
    open: HashMap<NetnsId, Open>,
    closed: Vec<(String, Missing)>,
    looked: Instant,
    buffer: DumpBuffer,
}

#[derive(Debug)]
struct Open {
    netns: WatchedNetns,
    /// None if the kernel has no such interface.
    diag: Option<DiagSocket>,
}

impl SocketLookups {
    /// Opens a socket in each namespace of the scope.
    ///
    /// # Errors
    /// If `/proc` cannot be read, or no namespace is called what the scope names.
    pub fn open(scope: NetnsScope) -> Result<Self, CollectError> {
        let proc = PathBuf::from("/proc");
        let mut lookups = Self {
            root: ProcRoot::new(&proc),
            proc,
            scope,
            open: HashMap::new(),
            closed: Vec::new(),
            looked: Instant::now(),
            buffer: DumpBuffer::new(),
        };
        lookups.look()?;
        Ok(lookups)
    }

    /// The namespaces that can be asked, by number.
    #[must_use]
    pub fn namespaces(&self) -> Vec<&WatchedNetns> {
        let mut all: Vec<&WatchedNetns> = self.open.values().map(|open| &open.netns).collect();
        all.sort_by_key(|netns| (!netns.is_own, netns.id));
        all
    }

    /// The namespaces that could not be entered, and why.
    #[must_use]
    pub fn closed(&self) -> &[(String, Missing)] {
        &self.closed
    }

    /// A namespace of the scope. One that is not known yet is looked for; where every namespace is in
    /// scope, one that is gone already goes by its number.
    pub fn netns(&mut self, id: NetnsId) -> Option<WatchedNetns> {
        if !self.open.contains_key(&id) && self.looked.elapsed() >= LOOK_AGAIN {
            // Without /proc what is known stays.
            let _ = self.look();
        }
        let known = self.open.get(&id).map(|open| open.netns.clone());
        let by_number = || WatchedNetns { id, label: format!("netns {id}"), is_own: false };
        known.or_else(|| (self.scope == NetnsScope::All).then(by_number))
    }

    /// Looks for namespaces again: opens those that are new, and leaves those that nobody is in any
    /// more, which the sockets here would keep alive.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn look(&mut self) -> Result<(), CollectError> {
        self.looked = Instant::now();
        let found = match discover(&self.root, &self.proc, &self.scope) {
            Ok(Discovery { found, .. }) => found,
            // The one that was named is gone.
            Err(CollectError::NoSuchNetns { .. } | CollectError::NetnsOfProcess { .. })
                if !self.open.is_empty() =>
            {
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let there: BTreeSet<NetnsId> = found.iter().map(|found| found.id).collect();
        self.open.retain(|id, _| there.contains(id));
        let new: Vec<&Found> =
            found.iter().filter(|found| !self.open.contains_key(&found.id)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let opened = visit(&new, &self.proc, |found, entered| {
            let label = NetnsLabel::best(&found.labels, found.id);
            let netns = WatchedNetns { id: found.id, label, is_own: found.is_own };
            (netns, entered.map(|_| DiagSocket::open().ok()))
        })?;
        for (netns, opened) in opened {
            match opened {
                Ok(diag) => {
                    self.open.insert(netns.id, Open { netns, diag });
                }
                // It is gone; nobody misses it.
                Err(Missing::Vanished) => {}
                Err(why) => {
                    let closed = (netns.label, why);
                    if !self.closed.contains(&closed) {
                        self.closed.push(closed);
                    }
                }
            }
        }
        Ok(())
    }

    /// The listening sockets of a namespace.
    pub fn listening(&mut self, netns: NetnsId) -> Reading<Vec<ListeningSocket>> {
        let diag = match diag(&mut self.open, netns) {
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
        let diag = match diag(&mut self.open, netns) {
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

fn diag(open: &mut HashMap<NetnsId, Open>, netns: NetnsId) -> Result<&mut DiagSocket, Missing> {
    let open = open.get_mut(&netns).ok_or(Missing::Vanished)?;
    open.diag.as_mut().ok_or(Missing::NotOnThisKernel)
}
