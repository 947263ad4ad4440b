//! Listening endpoints: the sockets behind one address and port, and the two queues of each.

use std::net::{IpAddr, SocketAddr};

use halfopen_model::{AcceptQueue, TcpState};
use serde::{Deserialize, Serialize};

use crate::destination::saturating_sum;
use crate::{Cookie, Inode, Pid, Reading};

/// An address and port that at least one socket listens on.
///
/// More than one socket makes it a SO_REUSEPORT group: each SYN is hashed to one of them, and only
/// that one's queues count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address, port and device.
    pub key: EndpointKey,
    /// The listening sockets, by cookie.
    pub listeners: Vec<Listener>,
    /// Its SYN queues, all sockets together: the kernel does not say which of them a request is for.
    pub syn_recv: SynRecv,
    /// Connections that wait in its accept queues.
    pub never_accepted: NeverAccepted,
}

/// What a listening endpoint is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointKey {
    /// Address and port.
    pub local: SocketAddr,
    /// Interface index of SO_BINDTODEVICE; 0 for any.
    pub device: u32,
    /// Whether an IPv6 wildcard refuses IPv4 connections.
    pub v6_only: bool,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The kernel's cookie.
    pub cookie: Cookie,
    /// Its inode.
    pub inode: Inode,
    /// The user who made it.
    pub uid: u32,
    /// Connections in the accept queue.
    pub depth: u32,
    /// Limit of the accept queue. It holds one more.
    pub limit: u32,
    /// Segments dropped at this socket since it was made (`sk_drops`).
    pub drops: Reading<u32>,
    /// Its SYN queue as the kernel counts it, which no dump shows.
    #[serde(default)]
    pub syn_queue: Reading<SynQueueState>,
    /// Processes that hold it open.
    pub holders: Reading<Holders>,
}

/// The SYN queue of one listening socket (`request_sock_queue`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SynQueueState {
    /// Requests in it (`qlen`).
    pub length: u32,
    /// Those whose SYN-ACK was sent only once (`young`).
    pub young: u32,
    /// SYN-ACK time-outs for which TCP_DEFER_ACCEPT waits for data; 0 if it is off
    /// (`rskq_defer_accept`).
    pub defer_accept: u8,
}

/// Processes that hold a socket, and how far they were looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holders {
    /// Those found, by pid and descriptor.
    pub found: Vec<Holder>,
    /// Where they were looked for.
    pub search: HolderSearch,
}

/// How far holders were looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "extent", rename_all = "kebab-case")]
pub enum HolderSearch {
    /// Every descriptor of every process.
    Everywhere,
    /// Every descriptor of every process but those that could not be read.
    Permitted {
        /// Processes whose descriptors could not be read.
        unreadable: u32,
    },
    /// The first descriptors of each process, until a holder was found: a healthy listener.
    FirstDescriptors,
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: Pid,
    /// Its descriptor for the socket.
    pub fd: u32,
    /// Its name (`comm` of the thread group leader).
    pub comm: String,
    /// When it was started, in clock ticks since boot; with the pid it names one process.
    pub start_ticks: u64,
}

/// Requests that were answered by a SYN-ACK and wait for the third ACK.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SynRecv {
    /// How many.
    pub count: u32,
    /// How many by retransmissions of their SYN-ACK: none, one, two … the last entry is seven or
    /// more.
    pub by_retransmits: [u32; 8],
    /// Different client addresses among them.
    pub sources: u32,
    /// Whether there are more addresses than were counted.
    pub sources_capped: bool,
    /// Some of them, the most retransmitted first.
    pub sample: Vec<RequestSample>,
    /// Whether their third ACKs have arrived, which no dump shows.
    #[serde(default)]
    pub third_acks: Reading<ThirdAcks>,
}

/// Requests by what has become of their third ACK.
///
/// The kernel marks a request whose ACK it has dropped (`acked` of `struct inet_request_sock`, set in
/// net/ipv4/tcp_minisocks.c `tcp_check_req`), either because the accept queue was full or because
/// TCP_DEFER_ACCEPT waits for data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThirdAcks {
    /// It has not arrived, and the SYN-ACK was sent once.
    pub awaited: u32,
    /// It has not arrived although the SYN-ACK was sent again.
    pub overdue: u32,
    /// It arrived and was dropped, since the accept queue was full.
    pub dropped: u32,
    /// It arrived and TCP_DEFER_ACCEPT waits for data.
    pub deferred: u32,
}

/// One request in a SYN queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestSample {
    /// The address it came to.
    pub local: SocketAddr,
    /// The client.
    pub peer: SocketAddr,
    /// How often its SYN-ACK was sent again.
    pub retransmits: u8,
    /// Milliseconds to the next retransmission, or to its end.
    pub timer_ms: u32,
    /// State of the client's end, where that end is on this host too.
    #[serde(with = "tcp_state")]
    pub client: Reading<TcpState>,
}

/// Connections whose handshake is complete and that no process has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeverAccepted {
    /// In ESTABLISHED: the client waits. Counted only where an accept queue was not empty.
    pub established: u32,
    /// In CLOSE_WAIT: the client has given up.
    pub close_wait: u32,
    /// Some or all of them.
    pub waiting: Vec<Waiting>,
    /// Connections left out of `waiting`.
    pub omitted: u32,
}

/// One connection in an accept queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The kernel's cookie.
    pub cookie: Cookie,
    /// The address it came to.
    pub local: SocketAddr,
    /// The client.
    pub peer: SocketAddr,
    /// Whether the client has closed its end.
    pub client_closed: bool,
    /// Bytes that the client has sent and nobody has read.
    pub unread: u32,
    /// Milliseconds since the handshake was complete.
    pub age_ms: Reading<u64>,
}

impl Listener {
    /// Its accept queue.
    #[must_use]
    pub const fn accept_queue(&self) -> AcceptQueue {
        AcceptQueue { depth: self.depth, limit: self.limit }
    }
}

impl Endpoint {
    /// Connections in the accept queues of all its sockets.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.listeners.iter().map(|listener| u64::from(listener.depth)).sum()
    }

    /// Slots of the accept queues that are held by connections which are no longer there: reset by
    /// the client while they waited. Not exact while connections come and go, since depth and
    /// connections are read one after the other.
    #[must_use]
    pub fn dead_slots(&self) -> u64 {
        self.depth().saturating_sub(self.never_accepted.total())
    }
}

impl NeverAccepted {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        u64::from(self.established) + u64::from(self.close_wait)
    }
}

impl ThirdAcks {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            awaited: self.awaited.saturating_add(other.awaited),
            overdue: self.overdue.saturating_add(other.overdue),
            dropped: self.dropped.saturating_add(other.dropped),
            deferred: self.deferred.saturating_add(other.deferred),
        }
    }
}

impl SynRecv {
    /// Requests whose SYN-ACK was sent again at least so often.
    #[must_use]
    pub fn retransmitted(&self, at_least: usize) -> u32 {
        saturating_sum(self.by_retransmits.iter().skip(at_least))
    }
}

impl EndpointKey {
    /// Whether a connection to this local address (canonical: no IPv4 in IPv6) can belong to the
    /// endpoint.
    #[must_use]
    pub fn covers(&self, local: SocketAddr) -> bool {
        if self.local.port() != local.port() {
            return false;
        }
        let bound = self.local.ip().to_canonical();
        match (bound, local.ip().to_canonical()) {
            (IpAddr::V6(any), IpAddr::V4(_)) if any.is_unspecified() => !self.v6_only,
            (IpAddr::V4(any), IpAddr::V4(_)) if any.is_unspecified() => true,
            (IpAddr::V6(any), IpAddr::V6(_)) if any.is_unspecified() => true,
            (bound, local) => bound == local,
        }
    }

    /// How closely the endpoint is bound; the kernel prefers the closest.
    #[must_use]
    pub fn closeness(&self) -> u8 {
        let address = match self.local.ip().to_canonical() {
            ip if !ip.is_unspecified() => 4,
            IpAddr::V4(_) => 2,
            IpAddr::V6(_) => 0,
        };
        address + u8::from(self.device != 0)
    }
}

/// A TCP state as its kernel number.
mod tcp_state {
    use halfopen_model::TcpState;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use crate::Reading;

    pub(super) fn serialize<S: Serializer>(
        state: &Reading<TcpState>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        state.as_ref().map(|&state| state as u8).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Reading<TcpState>, D::Error> {
        match Reading::<u8>::deserialize(deserializer)? {
            Reading::Missing(why) => Ok(Reading::Missing(why)),
            Reading::Known(number) => TcpState::from_number(number)
                .map(Reading::Known)
                .ok_or_else(|| de::Error::custom(format_args!("{number} is no TCP state"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(local: &str, v6_only: bool) -> EndpointKey {
        EndpointKey { local: local.parse().expect("an address"), device: 0, v6_only }
    }

    fn covers(endpoint: EndpointKey, local: &str) -> bool {
        endpoint.covers(local.parse().expect("an address"))
    }

    #[test]
    fn wildcard_endpoints_cover_what_the_kernel_lets_them() {
        assert!(covers(key("0.0.0.0:80", false), "10.0.0.1:80"));
        assert!(!covers(key("0.0.0.0:80", false), "10.0.0.1:81"));
        assert!(!covers(key("0.0.0.0:80", false), "[fd00::1]:80"));
        assert!(covers(key("[::]:80", false), "10.0.0.1:80"));
        assert!(covers(key("[::]:80", false), "[::ffff:10.0.0.1]:80"));
        assert!(!covers(key("[::]:80", true), "10.0.0.1:80"));
        assert!(covers(key("[::]:80", true), "[fd00::1]:80"));
        assert!(!covers(key("10.0.0.2:80", false), "10.0.0.1:80"));
    }
}
