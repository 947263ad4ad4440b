//! One attempt to make a TCP connection, as it was seen on the way: in a capture, by a live packet
//! socket, by a tracer.
//!
//! A handshake is told by what crossed the place where it was watched. What cannot be seen from there
//! is not said: [`Vantage`] says which directions were seen at all, and the outcome claims no more.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

/// One attempt to make a connection. A pair of addresses that is used again is another attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshake {
    /// The end that sent the SYN; of a connection whose SYN was not seen, the end with the higher port.
    pub client: SocketAddr,
    /// The other end.
    pub server: SocketAddr,
    /// What tells equal addresses apart: the VLANs and tunnels that the packets were in, as text such
    /// as `vlan 7`; empty for none.
    pub scope: String,
    /// When its first segment was seen, in nanoseconds since 1970, UTC.
    pub began_ns: i64,
    /// Nanoseconds from its first to its last segment.
    pub lasted_ns: u64,
    /// What of it was seen.
    pub vantage: Vantage,
    /// How it came out.
    pub outcome: Outcome,
    /// What else was noticed of it.
    pub marks: Vec<Mark>,
    /// Its SYNs.
    pub syns: Sends,
    /// Its SYN-ACKs.
    pub syn_acks: Sends,
    /// How long its stages took.
    pub stages: Stages,
    /// The record, counted from 1, that holds its first segment.
    pub first_record: u64,
}

/// Which directions of a handshake were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vantage {
    /// Segments of both ends.
    Both,
    /// Only what the client sent. Of a SYN that nobody answered there is no more to see.
    ClientOnly,
    /// Only what the server sent.
    ServerOnly,
}

/// How a handshake came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Outcome {
    /// SYN, SYN-ACK, ACK, and nothing says that the server did not take it.
    Established,
    /// The same, but only a SYN that was sent again was answered: the client waited whole seconds.
    EstablishedLate {
        /// Which SYN got through; 2 is the first that was sent again.
        answered_syn: u8,
    },
    /// No SYN was answered.
    SynUnanswered,
    /// The server answered the SYN by RST.
    Refused,
    /// An RST came that is not the peer's own: it came from another distance (TTL), or the peer went on
    /// and the IP ID is not one of its own, or the server went on later than packets overtake each other
    /// although the client has to obey the RST. Said only where other segments of the peer were seen, and
    /// only before the server's first data.
    ResetByMiddlebox,
    /// An ICMP error came back.
    Unreachable,
    /// The server sent its SYN-ACK again although the client's ACK is in the capture: it did not take
    /// the ACK, as a server whose accept queue is full.
    ThirdAckIgnored {
        /// How it ended.
        ended: IgnoredEnd,
    },
    /// The server reset the connection right after the ACK, as one that has
    /// `tcp_abort_on_overflow` and a full accept queue.
    ResetAfterAck,
    /// A SYN-ACK was seen and no ACK.
    ThirdAckMissing,
    /// As [`Self::ThirdAckIgnored`] at first, until the client sent data: TCP_DEFER_ACCEPT.
    Deferred,
    /// The client reset the handshake before it was complete.
    AbortedByClient,
    /// The answer to the SYN was an ACK of something else: the server still had an old connection
    /// with these addresses.
    Challenged,
    /// A connection whose beginning was not seen.
    MidStream,
    /// The capture ended, or the flow was put out of the table, before anything could be said.
    Undecided,
}

impl Outcome {
    /// Whether it is trouble that can be one client's, by its way or by what it does; a full queue is
    /// the listener's.
    #[must_use]
    pub const fn may_be_a_clients(self) -> bool {
        match self {
            Self::EstablishedLate { .. }
            | Self::SynUnanswered
            | Self::Refused
            | Self::ResetByMiddlebox
            | Self::Unreachable
            | Self::ThirdAckMissing
            | Self::AbortedByClient
            | Self::Challenged => true,
            Self::Established
            | Self::ThirdAckIgnored { .. }
            | Self::ResetAfterAck
            | Self::Deferred
            | Self::MidStream
            | Self::Undecided => false,
        }
    }
}

/// How a handshake ended whose third ACK the server ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IgnoredEnd {
    /// The server took a later segment: there was room again.
    Recovered,
    /// The client's data was answered by RST after the server had forgotten the request.
    ResetByData,
    /// A keep-alive probe, or another bare ACK, was answered by RST later.
    ResetByProbe,
    /// The client gave up.
    ClosedByClient,
    /// It was still so when it was seen last.
    Open,
}

/// Something noticed of a handshake that is no outcome of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The SYN-ACK looks like a SYN cookie's: it was never sent again although no ACK came, its options
    /// are those that a cookie can keep.
    CookieLikely,
    /// Data came before the server had taken the connection, and was ignored.
    DataIgnored,
    /// Both ends sent a SYN.
    SimultaneousOpen,
    /// The server answered a SYN by a SYN of its own.
    SplitHandshake,
    /// TCP Fast Open: a cookie or data in the SYN.
    FastOpen,
    /// A SYN-ACK acknowledged something that was not sent.
    WrongSynAck,
    /// A challenge ACK was sent.
    ChallengeAck,
    /// The addresses were those of a connection in TIME_WAIT.
    ReusedTimeWait,
    /// The SYN's timestamp was older than that of an earlier connection with these addresses: servers
    /// with tcp_tw_recycle, and some middleboxes, drop such a SYN silently.
    OlderTimestamp,
    /// After the connection had been idle, a keep-alive probe was answered by RST, or data by the bare
    /// RST of a host that knows no such connection.
    HalfOpenClosed,
    /// Packets were captured twice on their way.
    CapturedTwice,
    /// An ICMP error quoted it.
    IcmpError,
    /// Packets of it were cut so that options are missing.
    Truncated,
    /// Beside [`Outcome::ThirdAckIgnored`]: one SYN-ACK was sent again, at its first time-out, no data
    /// had come before it, and its ACK was taken. TCP_DEFER_ACCEPT of one second looks the same, and so
    /// does an ACK that was lost behind the place where it was captured.
    MaybeDeferred,
}

impl Mark {
    /// Every mark.
    pub const ALL: [Self; 14] = [
        Self::CookieLikely,
        Self::DataIgnored,
        Self::SimultaneousOpen,
        Self::SplitHandshake,
        Self::FastOpen,
        Self::WrongSynAck,
        Self::ChallengeAck,
        Self::ReusedTimeWait,
        Self::OlderTimestamp,
        Self::HalfOpenClosed,
        Self::CapturedTwice,
        Self::IcmpError,
        Self::Truncated,
        Self::MaybeDeferred,
    ];
}

/// Segments of one kind that were sent once or more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sends {
    /// How many were seen; copies of one packet count once.
    pub count: u32,
    /// Microseconds from the handshake's first segment to each of them; the first eight. Most
    /// handshakes have one, which takes no allocation.
    pub at_us: SmallVec<[u64; 2]>,
}

impl Sends {
    /// One segment, so many microseconds from the handshake's first.
    #[must_use]
    pub fn once(at_us: u64) -> Self {
        Self { count: 1, at_us: smallvec![at_us] }
    }
}

/// How long the stages of a handshake took where it was watched, in nanoseconds.
///
/// At the client's end the first one is the round trip and the server; at the server's end the first is
/// the server alone and the second the round trip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stages {
    /// From the SYN that was answered to its SYN-ACK.
    pub syn_ack_ns: Option<u64>,
    /// From the first SYN-ACK to the third ACK.
    pub ack_ns: Option<u64>,
    /// From the first SYN to the third ACK: what connect() took.
    pub connect_ns: Option<u64>,
    /// From the third ACK to the client's first data.
    pub request_ns: Option<u64>,
    /// From the client's first data to the server's first data: includes the time in the accept queue.
    pub response_ns: Option<u64>,
}
