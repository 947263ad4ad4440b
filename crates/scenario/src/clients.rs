//! Clients: how they reach the server, how their handshakes go, how long they stay.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Remote;

/// A group of clients that connect to one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// The group's name, by which later steps speak of it.
    pub name: String,
    /// The server's port.
    pub port: u16,
    /// How many there are.
    pub count: u32,
    /// Over which path they come.
    pub way: Way,
    /// How their handshakes go.
    pub handshakes: Handshakes,
    /// How many bytes each sends once it is connected.
    pub sends: u32,
    /// What remote clients do besides; none for others.
    pub remote: Option<Remote>,
}

/// Clients that keep arriving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals {
    /// Who arrives; `count` of them at once.
    pub clients: Clients,
    /// The time from one arrival to the next.
    pub every: Duration,
    /// Whether that time is only the mean of a Poisson process. For a simulator.
    pub at_random: bool,
    /// The number of clients after which no more come.
    pub at_most: u32,
    /// How long a client waits for its connection before it gives up; none for as long as its
    /// kernel tries.
    pub patience: Option<Duration>,
    /// How long a connected client stays; none for until the server closes.
    pub stays: Option<Duration>,
}

/// The path between clients and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// The loopback interface: nothing is lost, and each handshake is over before the next begins
    /// unless the clients delay their ACKs.
    Loopback,
    /// A wire, on which `path` steps can lose packets.
    Wire,
    /// A network, from hosts of their own. For a simulator.
    Network,
}

/// How the handshakes of a group of clients go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handshakes {
    /// One client after another: each is connected, or has been refused a place, before the next
    /// begins.
    InTurn,
    /// All SYNs reach the server before the first third ACK does.
    Overlapping,
    /// The server answers the SYN, and the client never sends the third ACK. Needs the wire.
    HalfOpen {
        /// An address to come from to which the server has no route; none for a neighbour.
        unroutable: bool,
    },
}
