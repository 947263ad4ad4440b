//! What was seen of handshakes on the way, folded per listener: what the rules see of a capture.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Located, Mark, Outcome};

/// Handshakes that were watched, in a capture or by a packet socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// The listeners, those with most handshakes first.
    pub listeners: Vec<WatchedListener>,
    /// By how many handshakes a listener's counts may be too low, because there were too many
    /// listeners to count each.
    pub undercount: u32,
}

/// The handshakes with one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedListener {
    /// Its address and port.
    pub server: SocketAddr,
    /// The VLANs and tunnels that its packets were in; empty for none.
    pub scope: String,
    /// Handshakes.
    pub handshakes: u32,
    /// By how they came out.
    pub outcomes: Vec<(Outcome, u32)>,
    /// By what was noticed of them.
    pub marks: Vec<(Mark, u32)>,
    /// Different client addresses; an estimate when there are many.
    pub clients: u64,
    /// Handshakes that were seen at two points on the way.
    #[serde(default)]
    pub joined: u32,
    /// Where those went wrong between the two, or what was done to them.
    #[serde(default)]
    pub located: Vec<(Located, u32)>,
    /// What connect() took, of those that came to a connection.
    pub connect: Option<ConnectTimes>,
    /// Where it was watched.
    pub side: WatchedSide,
    /// Many attempts at once.
    pub burst: Option<Burst>,
    /// When the first handshake began, in nanoseconds since 1970.
    pub first_ns: i64,
    /// When the last one began.
    pub last_ns: i64,
    /// Attempts that their clients ended because no answer came in time.
    #[serde(default)]
    pub gave_up: u32,
    /// The clients with most trouble, a few; of each at least half of its handshakes are in trouble.
    #[serde(default)]
    pub troubled: Vec<WatchedClient>,
    /// Whose handshakes these are, where one client was set apart from the others.
    #[serde(default)]
    pub only: Option<OneClient>,
}

/// The handshakes of one client with one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedClient {
    /// Its address.
    pub client: IpAddr,
    /// Handshakes.
    pub handshakes: u32,
    /// Attempts that it ended because no answer came in time.
    pub gave_up: u32,
    /// By how they came out.
    pub outcomes: Vec<(Outcome, u32)>,
    /// By what was noticed of them.
    pub marks: Vec<(Mark, u32)>,
    /// Handshakes that were seen at two points on the way.
    pub joined: u32,
    /// Where those went wrong between the two.
    pub located: Vec<(Located, u32)>,
    /// When the first one began, in nanoseconds since 1970.
    pub first_ns: i64,
    /// When the last one began.
    pub last_ns: i64,
}

/// A client that fares otherwise than the other clients of its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneClient {
    /// Its address.
    pub client: IpAddr,
    /// Other clients.
    pub others: u64,
    /// Their handshakes.
    pub others_handshakes: u32,
    /// Of these, those in trouble.
    pub others_troubled: u32,
}

/// What connect() took, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectTimes {
    /// Half of them took no longer.
    pub p50_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// 999 of 1000.
    pub p999_us: u64,
}

/// Nearer to which end handshakes were watched. The stage that takes longer holds the way to the end
/// that is farther.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchedSide {
    /// At the clients' end: a segment that was seen may have been lost behind it.
    Clients,
    /// At the server's end: what was seen reached its host.
    Server,
    /// It cannot be told.
    #[default]
    Unknown,
}

/// Many attempts at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    /// What it looks like.
    pub kind: BurstKind,
    /// When its busiest second began, in nanoseconds since 1970.
    pub second_ns: i64,
    /// Attempts in that second.
    pub attempts: u32,
    /// Of these, those with one SYN and no ACK.
    pub silent: u32,
    /// Of these, those that became connections.
    pub connected: u32,
    /// Of these, those whose SYN was sent again.
    pub retried: u32,
    /// Clients without any ACK, over the whole time.
    pub silent_clients: u64,
}

/// What many attempts at once look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BurstKind {
    /// Eight of ten sent one SYN, no ACK, and did not try again, from many addresses: nobody waits for
    /// the answers.
    SynFlood,
    /// Half of them or more got their connection or tried again, and there were four times as many as
    /// usual: clients that all came back at once.
    ReconnectStorm,
}

impl WatchedListener {
    /// Handshakes that came out so.
    pub fn count(&self, is_one: impl Fn(Outcome) -> bool) -> u32 {
        let counted = self.outcomes.iter().filter(|&&(outcome, _)| is_one(outcome));
        counted.fold(0, |sum, &(_, count)| sum.saturating_add(count))
    }

    /// Handshakes with this mark.
    #[must_use]
    pub fn mark(&self, mark: Mark) -> u32 {
        self.marks.iter().find(|&&(it, _)| it == mark).map_or(0, |&(_, count)| count)
    }

    /// Handshakes that went wrong there between two points.
    #[must_use]
    pub fn located(&self, located: Located) -> u32 {
        self.located.iter().find(|&&(it, _)| it == located).map_or(0, |&(_, count)| count)
    }
}
