//! Requests to `sock_diag`, as bytes.
//!
//! There are two ways to ask for a dump. The old message, TCPDIAG_GETSOCK with `struct
//! inet_diag_req`, carries a family that the kernel never looks at: it dumps with AF_UNSPEC
//! (net/ipv4/inet_diag.c `inet_diag_dump_compat`), so one walk of the hash tables gives IPv4 and IPv6
//! together. The newer SOCK_DIAG_BY_FAMILY walks once per family; it is the fallback, and the way to
//! ask for one socket.

use std::net::{IpAddr, SocketAddr};

use halfopen_model::TcpState;

use super::filter::PortFilter;
use super::uapi;

/// Which message carries a dump request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// TCPDIAG_GETSOCK: both families at once.
    BothFamilies,
    /// SOCK_DIAG_BY_FAMILY for IPv4.
    V4,
    /// SOCK_DIAG_BY_FAMILY for IPv6.
    V6,
}

/// A request for every socket in some states.
#[derive(Clone, Debug)]
pub struct DumpRequest {
    states: u32,
    extensions: u8,
    ports: Option<PortFilter>,
}

/// A request for one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindRequest {
    /// Its local address.
    pub local: SocketAddr,
    /// Its remote address.
    pub peer: SocketAddr,
    /// The interface that it is bound to; 0 for none.
    pub device: u32,
    /// Its cookie, if it must be that very socket. Without one the kernel may answer with the
    /// listening socket that would get the next segment of such a connection.
    pub cookie: Option<u64>,
}

impl DumpRequest {
    /// A request for sockets in these states.
    #[must_use]
    pub fn new(states: &[TcpState]) -> Self {
        let states = states.iter().fold(0, |mask, state| mask | state.bit());
        Self { states, extensions: 0, ports: None }
    }

    /// With INET_DIAG_SKMEMINFO.
    #[must_use]
    pub fn with_memory_figures(mut self) -> Self {
        self.extensions |= extension(uapi::INET_DIAG_SKMEMINFO);
        self
    }

    /// With INET_DIAG_INFO.
    #[must_use]
    pub fn with_times(mut self) -> Self {
        self.extensions |= extension(uapi::INET_DIAG_INFO);
        self
    }

    /// Only sockets whose local port passes.
    #[must_use]
    pub fn only_ports(mut self, ports: PortFilter) -> Self {
        self.ports = Some(ports);
        self
    }

    /// Whether no socket can pass.
    #[must_use]
    pub fn asks_for_nothing(&self) -> bool {
        self.states == 0 || self.ports.as_ref().is_some_and(PortFilter::is_empty)
    }

    /// The netlink message.
    #[must_use]
    pub fn bytes(&self, dialect: Dialect, sequence: u32) -> Vec<u8> {
        let mut body = Vec::with_capacity(128);
        let kind = match dialect {
            Dialect::BothFamilies => {
                // struct inet_diag_req: family, src_len, dst_len, ext, id, states, dbs.
                body.extend([uapi::AF_INET, 0, 0, self.extensions]);
                body.extend([0; 48]);
                body.extend(self.states.to_ne_bytes());
                body.extend([0; 4]);
                uapi::TCPDIAG_GETSOCK
            }
            Dialect::V4 | Dialect::V6 => {
                // struct inet_diag_req_v2: family, protocol, ext, pad, states, id.
                body.extend([dialect.family(), uapi::IPPROTO_TCP, self.extensions, 0]);
                body.extend(self.states.to_ne_bytes());
                body.extend([0; 48]);
                uapi::SOCK_DIAG_BY_FAMILY
            }
        };
        if let Some(ports) = &self.ports {
            append_attribute(&mut body, uapi::INET_DIAG_REQ_BYTECODE, &ports.program());
        }
        message(kind, uapi::NLM_F_REQUEST | uapi::NLM_F_DUMP, sequence, &body)
    }
}

impl FindRequest {
    /// The netlink message. Asks for INET_DIAG_INFO.
    #[must_use]
    pub fn bytes(&self, sequence: u32) -> Vec<u8> {
        let (local, peer) = (self.local.ip().to_canonical(), self.peer.ip().to_canonical());
        let family = if local.is_ipv4() && peer.is_ipv4() { uapi::AF_INET } else { uapi::AF_INET6 };
        let mut body = Vec::with_capacity(56);
        body.extend([family, uapi::IPPROTO_TCP, extension(uapi::INET_DIAG_INFO), 0]);
        body.extend(u32::MAX.to_ne_bytes());
        body.extend(self.local.port().to_be_bytes());
        body.extend(self.peer.port().to_be_bytes());
        for address in [local, peer] {
            body.extend(address_bytes(address, family));
        }
        let device = if self.device == 0 { scope_id(self.local) } else { self.device };
        body.extend(device.to_ne_bytes());
        let any = u64::from(uapi::INET_DIAG_NOCOOKIE);
        let cookie = self.cookie.unwrap_or(any | any << 32);
        for half in [cookie & any, cookie >> 32] {
            body.extend(u32::try_from(half).unwrap_or(u32::MAX).to_ne_bytes());
        }
        message(uapi::SOCK_DIAG_BY_FAMILY, uapi::NLM_F_REQUEST, sequence, &body)
    }
}

impl Dialect {
    const fn family(self) -> u8 {
        match self {
            Self::BothFamilies | Self::V4 => uapi::AF_INET,
            Self::V6 => uapi::AF_INET6,
        }
    }
}

const fn extension(attribute: u16) -> u8 {
    1 << (attribute - 1)
}

const fn scope_id(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

fn address_bytes(address: IpAddr, family: u8) -> [u8; 16] {
    match address {
        IpAddr::V4(ip) if family == uapi::AF_INET => {
            let mut bytes = [0; 16];
            for (byte, octet) in bytes.iter_mut().zip(ip.octets()) {
                *byte = octet;
            }
            bytes
        }
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn append_attribute(body: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let length = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(payload);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 16).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(body.len() + 16);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::view::Messages;

    fn payload(bytes: &[u8]) -> (u16, u16, Vec<u8>) {
        let messages: Vec<_> = Messages::new(bytes).collect();
        let [Ok(message)] = messages.as_slice() else {
            panic!("one message, not {messages:?}");
        };
        assert_eq!(message.sequence, 9);
        (message.kind, message.flags, message.payload.to_vec())
    }

    #[test]
    fn a_dump_of_both_families_is_the_old_message() {
        let request = DumpRequest::new(&[TcpState::Listen]).with_memory_figures();
        let (kind, flags, body) = payload(&request.bytes(Dialect::BothFamilies, 9));
        assert_eq!((kind, flags, body.len()), (18, 0x301, 60));
        assert_eq!((body[0], body[3]), (2, 1 << 6));
        assert_eq!(body[52..56], (1_u32 << 10).to_ne_bytes());
    }

    #[test]
    fn a_dump_of_one_family_is_the_new_message_and_a_filter_follows_it() {
        let request = DumpRequest::new(&[TcpState::Established, TcpState::TimeWait])
            .only_ports(PortFilter::new([], [80]));
        let (kind, _, body) = payload(&request.bytes(Dialect::V6, 9));
        assert_eq!((kind, body[0], body[1]), (20, 10, 6));
        assert_eq!(body[4..8], (1_u32 << 1 | 1 << 6).to_ne_bytes());
        assert_eq!(body[56..60], [20_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
        assert_eq!(body.len(), 56 + 20);
        assert!(!request.asks_for_nothing());
        assert!(request.only_ports(PortFilter::new([], [])).asks_for_nothing());
    }

    #[test]
    fn one_socket_is_asked_for_by_addresses_and_cookie() {
        let request = FindRequest {
            local: "[::ffff:10.0.0.1]:80".parse().expect("an address"),
            peer: "10.0.0.9:4000".parse().expect("an address"),
            device: 3,
            cookie: Some(0x22_0000_0011),
        };
        let (kind, flags, body) = payload(&request.bytes(9));
        assert_eq!((kind, flags, body.len(), body[0], body[2]), (20, 1, 56, 2, 2));
        assert_eq!(body[8..16], [0, 80, 0x0f, 0xa0, 10, 0, 0, 1]);
        assert_eq!(body[28..32], [10, 0, 0, 9]);
        let words = [3_u32, 0x11, 0x22].map(u32::to_ne_bytes).concat();
        assert_eq!(body[44..], words);
    }
}
