//! What a kernel tells of handshakes while they happen.

use std::net::SocketAddr;

use halfopen_model::AcceptQueue;
use halfopen_model::tcp::Flags;

use crate::{Inode, NetnsId, ProcessName};

/// Something that happened to a handshake, as a program in the kernel saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelEvent {
    /// When, in nanoseconds of CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Where.
    pub netns: NetnsId,
    /// The end on this host; port 0 if it has none yet.
    pub local: SocketAddr,
    /// The other end; the unspecified address if there is none.
    pub peer: SocketAddr,
    /// The socket of the own end, or the listening socket; none if there was no socket, or no process
    /// has it open.
    pub inode: Option<Inode>,
    /// The process whose doing it is: who has called connect(), accept(), bind() or listen().
    pub process: Option<ProcessName>,
    /// What happened.
    pub what: KernelEventKind,
}

/// A call that names an address of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketCall {
    /// bind(), with a local address.
    Bind,
    /// connect(), with that of a peer.
    Connect,
}

/// What happened to a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelEventKind {
    /// The client's end got the SYN-ACK.
    Connected {
        /// SYNs that were sent again.
        repeats: u32,
        /// Microseconds from the SYN to its SYN-ACK.
        round_trip_us: u64,
    },
    /// A connection was not made.
    ConnectFailed {
        /// errno of the socket; 0 if the kernel set none.
        errno: i32,
        /// SYNs that were sent again.
        repeats: u32,
        /// Microseconds since the first SYN; 0 if that is not known.
        age_us: u64,
    },
    /// A SYN was sent again.
    SynRepeated {
        /// How many times so far.
        repeats: u32,
        /// Microseconds since the first SYN; 0 if that is not known.
        age_us: u64,
    },
    /// Data were sent again to a peer that has acknowledged nothing but the SYN.
    DataRepeated {
        /// Segments sent again so far.
        repeats: u32,
    },
    /// The third ACK has come: the connection is in the accept queue.
    Queued {
        /// SYN-ACKs that were sent again.
        repeats: u32,
        /// Microseconds from the SYN-ACK to its ACK; 0 if it was sent again.
        round_trip_us: u64,
    },
    /// accept() has returned the connection.
    Accepted {
        /// Microseconds since it was queued.
        waited_us: u64,
    },
    /// A SYN-ACK was sent again.
    SynAckRepeated {
        /// SYN-ACKs that were sent again.
        repeats: u32,
        /// Whether the third ACK has come and was dropped.
        acked: bool,
        /// SYN-ACK time-outs for which TCP_DEFER_ACCEPT waits for data; 0 if it is off.
        defer_accept: u8,
        /// SYN-ACK time-outs so far.
        timeouts: u8,
        /// The listener's accept queue.
        queue: AcceptQueue,
    },
    /// A segment from the peer was dropped.
    SegmentDropped {
        /// TCP's flags.
        flags: Flags,
        /// The kernel's reason, without its prefix, such as `TCP_LISTEN_OVERFLOW`.
        reason: String,
        /// The accept queue, if it was for a listener.
        queue: Option<AcceptQueue>,
    },
    /// A SYN was dropped at a listener whose accept queue is full.
    SynDropped {
        /// The accept queue.
        queue: AcceptQueue,
    },
    /// A segment from the peer was answered by a reset.
    ResetSent {
        /// TCP's flags of the segment.
        flags: Flags,
        /// The kernel's reason, without its prefix; none on kernels that have none.
        reason: Option<String>,
        /// The accept queue, if it was for a listener.
        queue: Option<AcceptQueue>,
    },
    /// The peer reset a connection on which no data of ours was acknowledged.
    ResetReceived {
        /// Microseconds since it was established.
        age_us: u64,
    },
    /// A connection that waited in an accept queue was reset because its listening socket was closed.
    ClosedUnaccepted {
        /// Microseconds since it was queued.
        waited_us: u64,
        /// The kernel's reason, without its prefix; none on kernels that have none.
        reason: Option<String>,
    },
    /// A call has failed before any segment was sent: there is no handshake.
    CallFailed {
        /// Which.
        call: SocketCall,
        /// Its errno.
        errno: i32,
    },
    /// A socket listens, or has got another backlog.
    Listening {
        /// The backlog that listen() was called with.
        backlog: i32,
        /// What is left of it.
        limit: u32,
    },
}
