//! What was seen of a scenario: the same words for the lab, which asks a kernel, and for a
//! simulator, which asks itself. Two accounts of one scenario can be compared value by value.
//!
//! What a kernel decides by chance is left out or left as it is: ports that clients were given and
//! initial sequence numbers differ from one account to the next. Times are those of whoever ran it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::SeenSegment;

/// What was seen of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// One picture for each look step, and one at the end.
    pub looks: Vec<Picture>,
    /// What crossed the interfaces of the namespace, in order.
    pub segments: Vec<SeenSegment>,
    /// How many segments are missing there, because there were too many or they came too fast.
    pub segments_omitted: u64,
}

/// The state of the namespace at one moment, when it had come to rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The name of the look step; none at the end.
    pub name: Option<String>,
    /// The time since the first step began, in microseconds.
    pub at_us: u64,
    /// The listening sockets, in the order of their fields.
    pub listeners: Vec<ListenerPicture>,
    /// The other sockets of the connection table, in the order of their fields.
    pub sockets: Vec<SocketCount>,
    /// By how much the namespace's counters rose since the scenario's start, by table and name, such
    /// as `TcpExt.ListenDrops`: those of the tables `Tcp` and `TcpExt` that did rise. `Tcp.CurrEstab`
    /// is a number of connections and no counter; it is treated alike, since it starts at zero.
    pub counters: BTreeMap<String, u64>,
}

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListenerPicture {
    /// Its port.
    pub port: u16,
    /// The length of its accept queue that the kernel accepts as not full (`sk_max_ack_backlog`).
    pub limit: u32,
    /// How many connections are in its accept queue (`sk_ack_backlog`).
    pub depth: u32,
}

/// Sockets that look the same, and how many they are. Both ends of a connection over loopback or
/// over the wire are in the namespace, so both are counted, each as its own side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SocketCount {
    /// The server's port of the connection, whichever side this is.
    pub port: u16,
    /// Which end.
    pub side: Side,
    /// The state.
    pub state: TcpStateName,
    /// Whether a process has accepted it: only for a server's ESTABLISHED and CLOSE_WAIT sockets. In
    /// other states the kernel does not tell an orphan from one that was never accepted.
    pub accepted: Option<bool>,
    /// How many.
    pub count: u32,
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The local port is one that a server of the scenario has listened on.
    Server,
    /// Any other socket.
    Client,
}

/// The state of a connection, as `/proc/net/tcp` shows it: a request sock is SYN_RECV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TcpStateName {
    /// ESTABLISHED.
    Established,
    /// SYN_SENT.
    SynSent,
    /// SYN_RECV.
    SynRecv,
    /// FIN_WAIT1.
    #[serde(rename = "FIN_WAIT1")]
    FinWait1,
    /// FIN_WAIT2.
    #[serde(rename = "FIN_WAIT2")]
    FinWait2,
    /// TIME_WAIT.
    TimeWait,
    /// CLOSE.
    Close,
    /// CLOSE_WAIT.
    CloseWait,
    /// LAST_ACK.
    LastAck,
    /// CLOSING.
    Closing,
}
