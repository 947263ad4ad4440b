//! ICMP errors: a router or a firewall says that a segment did not arrive (net/ipv4/tcp_ipv4.c
//! `tcp_v4_err`).
//!
//! What it leaves out, with the consequence: the errno that an established connection keeps
//! (`sk_err_soft`: a program that asks for SO_ERROR right after its connect() gets it and takes the
//! connect() for failed, and a connection that is given up breaks with it instead of ETIMEDOUT), and the
//! shorter wait that follows while data is sent again (`tcp_ld_RTO_revert`, RFC 6069).

use super::table::Entry;
use super::{ConnectError, Effects, Segment, SocketId, Stack};
use crate::{DropReason, IcmpErrorOfRequest, TcpState};

/// Why a segment did not arrive: ICMP destination unreachable, by its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// `ICMP_NET_UNREACH`.
    Network,
    /// `ICMP_HOST_UNREACH`.
    Host,
    /// `ICMP_PORT_UNREACH`: what a REJECT rule of iptables says if it is not told otherwise.
    Port,
    /// `ICMP_PKT_FILTERED`, "communication administratively prohibited" (RFC 1812, 5.2.7.1).
    Prohibited,
}

impl Unreachable {
    /// The code of the ICMP message, whose type is 3 (include/uapi/linux/icmp.h).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Network => 0,
            Self::Host => 1,
            Self::Port => 3,
            Self::Prohibited => 13,
        }
    }

    /// What connect() fails with (net/ipv4/icmp.c `icmp_err_convert`).
    #[must_use]
    pub const fn error(self) -> ConnectError {
        match self {
            Self::Port => ConnectError::Refused,
            Self::Network | Self::Host | Self::Prohibited => ConnectError::Unreachable,
        }
    }

    /// Whether it says that there is no way, and not that somebody does not want it.
    const fn is_no_way(self) -> bool {
        matches!(self, Self::Network | Self::Host)
    }
}

impl Stack {
    /// Takes an ICMP error from the network, about a segment that this namespace has sent. A connect()
    /// fails by it at once; a request may be given up, which is what is returned; a connection goes on.
    pub fn on_unreachable(
        &mut self,
        what: Unreachable,
        about: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        match self.find(about.from, about.to)? {
            Entry::Socket(index) => {
                let socket = self.sockets.get(index)?;
                if socket.state == TcpState::SynSent && about.seq == socket.unacknowledged {
                    self.fail_connect(SocketId(index), what.error(), effects);
                }
                None
            }
            Entry::Request(index) => {
                let request = self.requests.get(index)?;
                let rule = self.semantics.queues.icmp_error_of_request;
                let ends = rule == IcmpErrorOfRequest::AnyEndsIt || what.is_no_way();
                if about.seq != request.isn || !ends {
                    return None;
                }
                let listener = request.listener;
                self.remove_request(index);
                let reason = self.refused_at(listener, DropReason::RequestUnreachable);
                self.count_drop(reason);
                Some(reason)
            }
        }
    }
}
