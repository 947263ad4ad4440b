//! A TCP segment as it crossed an interface of the scenario's namespace.
//!
//! Over loopback a segment is seen once. On the wire, a segment between a client of the scenario and
//! its server is seen twice, once in each direction: the client's end of the wire is the same device
//! as the server's, and what comes back has its addresses swapped. One that the path loses is seen
//! once. What raw peers send and what is sent to them is seen once; what they send and the path loses
//! is not seen, since it never comes to the device.
//!
//! Segments come in the order in which the kernel treated them. Timers that are due at one moment,
//! and the sockets of a process that is killed, may come in any order among themselves.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenSegment {
    /// The time since the first step began, in microseconds.
    pub at_us: u64,
    /// Which interface.
    pub interface: Interface,
    /// Its source.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// The byte of flags: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
    /// The sequence number.
    pub seq: u32,
    /// The acknowledgement number, whether or not ACK is set.
    pub ack: u32,
    /// How many bytes of data.
    pub payload: u32,
}

/// An interface of the scenario's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    /// `lo`.
    Loopback,
    /// The wire.
    Wire,
}
