//! What the programs have counted.

use std::net::SocketAddr;

use halfopen_evidence::NetnsId;

/// Numbers in `struct counts`: one for each kind of event, from 1 on, and four more.
pub(super) const COUNTS: usize = KINDS + 4;

const KINDS: usize = 16;

/// Buckets of [`AcceptWaits`].
pub(super) const BUCKETS: usize = 128;

/// How often things happened while the programs ran, told or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Clients' ends that were connected.
    pub connected: u64,
    /// Clients' ends that failed.
    pub failed: u64,
    /// Connections that came into an accept queue.
    pub queued: u64,
    /// Connections that accept() returned.
    pub accepted: u64,
    /// Events that the rate limit held back.
    pub held_back: u64,
    /// Events that found no room in the buffer.
    pub lost: u64,
}

/// How long the connections of one listener waited for accept().
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptWaits {
    /// Where.
    pub netns: NetnsId,
    /// The local end of the connections.
    pub local: SocketAddr,
    /// Connections by bucket of time: four to each power of two nanoseconds, from 2^10 to 2^38.
    pub buckets: Vec<u64>,
}

impl Counts {
    /// Handshakes that were complete, at either end.
    #[must_use]
    pub fn handshakes(&self) -> u64 {
        self.connected.max(self.queued)
    }

    /// From `struct counts` of bpf/trace/event.h.
    pub(super) const fn new(all: &[u64; COUNTS]) -> Self {
        Self {
            connected: all[1],
            failed: all[2],
            queued: all[5],
            accepted: all[6],
            held_back: all[KINDS],
            lost: all[KINDS + 1],
        }
    }
}
