//! What only a simulator can bring about: hosts of their own for servers and clients, with a network
//! between them, and clients that live longer than one connection.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What remote clients do besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// The servers' hosts that they connect to, in turn; none for the first one.
    pub to: Vec<String>,
    /// SO_KEEPALIVE: how long a connection is idle before its client's kernel probes it.
    pub keepalive: Option<Duration>,
    /// How often a client looks after its connection, at times of its own: when its attempt has failed
    /// or its connection has ended, it connects again the next time. None for never.
    pub reconnects: Option<Duration>,
    /// How often a connected client sends its bytes again, as over the connections of a pool; none
    /// for once.
    pub talks: Option<Duration>,
}

/// The network between remote clients and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The time that a packet takes, one way.
    pub delay: Duration,
    /// At most so much more, evenly spread. Packets that follow closely overtake each other.
    pub jitter: Duration,
    /// Packets lost, of a thousand.
    pub lost_per_thousand: u32,
    /// Packets held back for one more delay, of a thousand, so that others overtake them.
    pub late_per_thousand: u32,
}
