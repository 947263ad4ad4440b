//! What a step of the stack leads to: segments to send, and what programs notice.

use super::{ListenerId, Segment, SocketId};

/// Filled by the stack, emptied by whoever carries segments and runs programs. Kept between steps so
/// that nothing is allocated for each.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Segments that leave, in order.
    pub segments: Vec<Segment>,
    /// What programs notice, in order.
    pub events: Vec<Event>,
}

/// Something that a program waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection entered the accept queue.
    Acceptable(ListenerId),
    /// connect() is done.
    Connected {
        /// The socket.
        socket: SocketId,
        /// What its program called it.
        tag: u32,
    },
    /// connect() has failed.
    ConnectFailed {
        /// What the program called the socket, which is gone.
        tag: u32,
        /// Why.
        error: ConnectError,
    },
    /// Data has come, or the peer has closed.
    Readable {
        /// The socket.
        socket: SocketId,
        /// What its program called it.
        tag: u32,
        /// Whether the peer has closed.
        closed: bool,
    },
    /// The connection was reset, or given up after too many retransmissions.
    Broken {
        /// The socket, now in CLOSE.
        socket: SocketId,
        /// What its program called it.
        tag: u32,
    },
}

/// Why connect() failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// ECONNREFUSED: an RST came, or an ICMP error for the port.
    Refused,
    /// EHOSTUNREACH or ENETUNREACH: another ICMP error came.
    Unreachable,
    /// ETIMEDOUT: no SYN was answered.
    TimedOut,
    /// EADDRNOTAVAIL: no local port was left. No packet is sent, no counter moves.
    NoPort,
}
