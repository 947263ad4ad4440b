//! Connections whose peer has closed and whose process, having accepted or made them, has not.
//!
//! Those that no process ever accepted are counted with their listener, in
//! [`crate::NeverAccepted`]: the advice differs.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Cookie, EndpointKey, Inode, Pid, Reading};

/// CLOSE_WAIT connections that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseWaitGroup {
    /// Which.
    pub side: CloseWaitSide,
    /// How many.
    pub count: u32,
    /// Some of them.
    pub sample: Vec<(Cookie, Inode)>,
    /// Milliseconds since the oldest of the sample last received something.
    pub idle_ms: Reading<u64>,
    /// Which processes hold the sample.
    pub held: Reading<Vec<HeldCloseWait>>,
}

/// What the connections of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloseWaitSide {
    /// They came in through this listening endpoint.
    AcceptedAt(EndpointKey),
    /// They were made to this destination, or the listener that they came through is gone.
    To {
        /// The local address.
        source: IpAddr,
        /// The remote address and port.
        destination: SocketAddr,
    },
    /// They came in through this local port, which nobody listens on any more.
    LocalPort(u16),
}

/// One process's part of a sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCloseWait {
    /// The process.
    pub pid: Pid,
    /// Its name.
    pub comm: String,
    /// How many of the sample it holds.
    pub count: u32,
}
