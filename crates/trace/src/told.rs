//! What an assembler tells.

use std::net::SocketAddr;

use halfopen_evidence::{
    Dropped, Handshake, Inode, NetnsId, Phase, ProcessName, Reset, SocketCall,
};

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A handshake.
    Handshake(Box<Assembled>),
    /// A call that failed before any segment was sent.
    CallFailed(FailedCall),
    /// A socket listens.
    Listens(Listens),
}

/// A handshake, as far as the kernel has told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// Where.
    pub netns: NetnsId,
    /// Whether it is over.
    pub phase: Phase,
    /// What happened; its number is [`Handshake::first_record`].
    pub handshake: Handshake,
    /// The client's socket, if it is in this namespace.
    pub client: Option<Inode>,
    /// Who has called connect(), if the kernel named it.
    pub connected_by: Option<ProcessName>,
    /// Who took the connection from the accept queue.
    pub accepted_by: Option<ProcessName>,
    /// Nanoseconds from its entry into the accept queue until accept() returned it.
    pub accept_queue_ns: Option<u64>,
    /// Segments that were dropped.
    pub drops: Vec<Dropped>,
    /// Why it was reset.
    pub reset: Option<Reset>,
}

/// A call that failed before any segment was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCall {
    /// Where.
    pub netns: NetnsId,
    /// When, in nanoseconds since 1970, UTC.
    pub at_ns: i64,
    /// Which call.
    pub call: SocketCall,
    /// The local address that bind() was called with, or the peer's that connect() was.
    pub address: SocketAddr,
    /// Who called it.
    pub caller: Option<ProcessName>,
    /// Its errno.
    pub errno: i32,
}

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listens {
    /// Where.
    pub netns: NetnsId,
    /// When, in nanoseconds since 1970, UTC.
    pub at_ns: i64,
    /// What it is bound to.
    pub local: SocketAddr,
    /// Who called listen().
    pub caller: Option<ProcessName>,
    /// The backlog that it was called with.
    pub backlog: i32,
    /// The limit of the accept queue, after `net.core.somaxconn`.
    pub limit: u32,
}

impl Listens {
    /// Whether the limit is less than was asked for. A negative backlog asks for all there is.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        u32::try_from(self.backlog).is_ok_and(|backlog| self.limit < backlog)
    }
}
