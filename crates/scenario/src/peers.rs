//! Raw peers: hosts on the wire that speak TCP segment by segment, with no kernel behind them.
//!
//! A peer does what a step says and nothing else: it repeats nothing, and it acknowledges nothing
//! that the server sends. So a scenario decides what arrives at the server, and when. It remembers
//! three numbers: its initial sequence number, the next byte that the server expects of it (raised
//! only by the server's acknowledgements), and what the first SYN-ACK said, which is what it
//! acknowledges from its third ACK on. Before that, a newer SYN-ACK takes the place of an older one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// New peers, each of which sends a SYN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// The group's name, by which later steps speak of it.
    pub name: String,
    /// The server's port.
    pub port: u16,
    /// How many there are.
    pub count: u32,
    /// Whether a peer that has sent its third ACK answers every further SYN-ACK with a bare ACK, as
    /// a client's kernel does that holds the connection for established.
    pub answers: bool,
}

/// Peers of a group send a segment each, in the order in which they came.
///
/// Those that have no SYN-ACK yet are waited for, up to [`PeersSend::PATIENCE`] in all; then those
/// that have none send nothing. A SYN is sent at once, and a RST is sent in any case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersSend {
    /// The group's name.
    pub peers: String,
    /// How many of them send: the first of the group.
    pub count: u32,
    /// What each sends.
    pub segment: PeerSegment,
}

/// A segment of a raw peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerSegment {
    /// The SYN again, with the same sequence number.
    Syn,
    /// A bare ACK: the third of the handshake.
    Ack,
    /// The same with an acknowledgement number that is too high by 1000.
    BadAck,
    /// An ACK with data. The sequence number rises only when the server acknowledges it, so data
    /// that follows data that was not acknowledged is a retransmission.
    Data {
        /// How many bytes.
        bytes: u32,
    },
    /// A RST without ACK, with the peer's next sequence number.
    Rst,
    /// A FIN with ACK.
    Fin,
}

impl PeersSend {
    /// How long a step waits for SYN-ACKs in all.
    pub const PATIENCE: Duration = Duration::from_secs(1);
}

impl PeerSegment {
    /// Whether it can be sent only by a peer that has a SYN-ACK to acknowledge.
    #[must_use]
    pub const fn acknowledges(self) -> bool {
        match self {
            Self::Ack | Self::BadAck | Self::Data { .. } | Self::Fin => true,
            Self::Syn | Self::Rst => false,
        }
    }
}
