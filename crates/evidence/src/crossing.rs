//! What captures at two points on the way say of a handshake together: which segment left the one side
//! and did not come by at the other.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A handshake between two points: the client's side is the one that its segments pass first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// Which point is the client's side, counted from 0.
    pub client_side: u8,
    /// The client and the server as they are called at the server's side, if other than at the client's.
    pub translated: Option<(SocketAddr, SocketAddr)>,
    /// Its SYNs on their way to the server.
    pub syn: Passage,
    /// Its SYN-ACKs on their way to the client.
    pub syn_ack: Passage,
    /// The client's ACKs, with or without data, on their way to the server.
    pub ack: Passage,
    /// What follows from it, and what was changed on the way.
    pub located: Vec<Located>,
}

/// Segments of one kind between two points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Seen at the side of their sender.
    pub sent: u32,
    /// Of these, seen at the other side.
    pub arrived: u32,
    /// Of these, not seen at the other side, where packets were being captured and none was dropped.
    pub lost: u32,
    /// Nanoseconds that the first of them took, by the clocks as they were estimated; negative if the
    /// estimate is off by more.
    pub took_ns: Option<i64>,
}

/// Where a handshake went wrong, or what was done to it, between two points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Located {
    /// A SYN left the client's side and did not reach the server's side.
    SynLost,
    /// A SYN left the client's side; at the server's side there is nothing of the listener at all, so a
    /// capture filter may have left it out.
    SynUnseen,
    /// A SYN reached the server's side, and no answer left it.
    SynIgnored,
    /// A SYN-ACK left the server's side and did not reach the client's side.
    SynAckLost,
    /// ACKs left the client's side, and none reached the server's side.
    AckLost,
    /// An ACK reached the server's side, and a SYN-ACK left it again later.
    AckIgnored,
    /// The ACK reached the server's side, and the client's first data did not.
    RequestLost,
    /// A reset in the server's name reached the client's side, and the server's side had not sent it.
    ResetNotByServer,
    /// A reset in the client's name reached the server's side, and the client's side had not sent it.
    ResetNotByClient,
    /// A reset left the server's side and did not reach the client's side.
    ResetLost,
    /// A SYN-ACK reached the client's side, and the server's side had not sent it.
    AnsweredBetween,
    /// Addresses or ports are rewritten between the two.
    Translated,
    /// Sequence numbers are rewritten between the two: what was lost is not said.
    Renumbered,
    /// The MSS option was changed or removed.
    MssChanged,
    /// The window-scale option was changed or removed.
    WindowScaleChanged,
    /// SACK-permitted was removed.
    SackRemoved,
    /// The timestamps option was removed.
    TimestampsRemoved,
}

impl Located {
    /// All of them, in order.
    pub const ALL: [Self; 17] = [
        Self::SynLost,
        Self::SynUnseen,
        Self::SynIgnored,
        Self::SynAckLost,
        Self::AckLost,
        Self::AckIgnored,
        Self::RequestLost,
        Self::ResetNotByServer,
        Self::ResetNotByClient,
        Self::ResetLost,
        Self::AnsweredBetween,
        Self::Translated,
        Self::Renumbered,
        Self::MssChanged,
        Self::WindowScaleChanged,
        Self::SackRemoved,
        Self::TimestampsRemoved,
    ];
}
