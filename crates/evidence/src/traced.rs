//! One handshake as a tracer tells it: what crossed the wire, and what the host knows of its ends.
//!
//! Tracers see more or less: a packet socket sees segments, programs in the kernel see queues and drops
//! too. What one cannot see is [`crate::Missing`] with the reason, so whoever prints or judges a
//! handshake need not know which of them saw it.

use serde::{Deserialize, Serialize};

use crate::{EndpointKey, Handshake, NetnsId, ProcessName, Reading};

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// Names the handshake in its trace: one in trouble is told twice.
    pub number: u64,
    /// Whether it is over.
    pub phase: Phase,
    /// What was seen of it; so far, while it is open.
    pub handshake: Handshake,
    /// The network namespace that it was seen in.
    pub netns: NetnsId,
    /// What that is called.
    pub netns_label: String,
    /// Whether it is the tracer's own.
    pub is_own_netns: bool,
    /// What the listener at the server's end is bound to; `None` if nothing listens there, or that end
    /// is not in this namespace.
    pub listener: Reading<Option<EndpointKey>>,
    /// The process that has accepted it, or else one that holds that listener; `None` if there is none.
    pub server_process: Reading<Option<ProcessName>>,
    /// The process at the client's end; `None` if that end is not in this namespace, or its socket is
    /// nobody's any more.
    pub client_process: Reading<Option<ProcessName>>,
    /// Nanoseconds from its entry into the accept queue until accept() returned it; `None` if it was
    /// not accepted.
    pub accept_queue_ns: Reading<Option<u64>>,
    /// Segments of it that the kernel dropped, by what and why.
    pub drops: Reading<Vec<Dropped>>,
    /// Why it was reset; `None` if it was not.
    pub reset: Reading<Option<Reset>>,
}

/// How far a handshake is that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It is in trouble and may still come out otherwise. Told once, when the trouble is recognised.
    Open,
    /// Nothing more is told of it.
    Ended,
}

/// Segments of one kind that the kernel dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// What they were.
    pub what: DroppedSegment,
    /// At which end.
    pub at: TracedEnd,
    /// The kernel's name of the reason (`enum skb_drop_reason`), without its prefix; words in kebab-case
    /// where the kernel has none.
    pub reason: String,
    /// How many.
    pub count: u32,
    /// Microseconds from the handshake's first segment to the first of them.
    pub first_us: u64,
}

/// A kind of segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DroppedSegment {
    /// A SYN.
    Syn,
    /// A SYN-ACK.
    SynAck,
    /// The ACK that completes the handshake.
    ThirdAck,
    /// Data.
    Data,
    /// Something else.
    Other,
}

/// An end of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TracedEnd {
    /// Who sent the SYN.
    Client,
    /// The other.
    Server,
}

/// A reset that the kernel sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// By which end.
    pub by: TracedEnd,
    /// The kernel's name of the reason (`enum sk_rst_reason`), without its prefix.
    pub reason: String,
    /// What really caused it, where the kernel's reason is another: the RST of a full accept queue
    /// reads INVALID_SYN (net/ipv4/tcp_minisocks.c `tcp_check_req`).
    pub cause: Option<String>,
}
