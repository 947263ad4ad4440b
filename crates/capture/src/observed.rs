//! What a packet shows of TCP: the interface between decoding and tracking.

use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// What was found in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// A TCP segment.
    Segment(TcpSegment),
    /// An ICMP error about a TCP segment.
    IcmpError(IcmpError),
    /// Something else, which is of no interest here.
    Other,
}

/// A TCP segment, as far as handshakes need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSegment {
    /// When it was captured, in nanoseconds since 1970, UTC.
    pub time_ns: i64,
    /// Its record in the capture, counted from 1.
    pub record: u64,
    /// The interface that it was captured on, counted over all sections.
    pub interface: u32,
    /// The number of the VLANs and tunnels that it was in; 0 for none. The decoder knows their names.
    pub scope: u32,
    /// Who sent it.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number, whether or not ACK is set.
    pub ack: u32,
    /// The flags byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
    /// The window field, not scaled.
    pub window: u16,
    /// Bytes of data, by the IP header; by what was captured where that is zero (segmentation offload).
    pub payload: u32,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// IP identification; 0 for IPv6.
    pub ip_id: u16,
    /// Its options.
    pub options: SegmentOptions,
    /// Whether the capture cut it before its options ended.
    pub truncated: bool,
}

/// An IP address and a port, as a packet has them: both versions in one shape, IPv4 as
/// `::ffff:a.b.c.d`, so that neither reading nor comparing one takes a branch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// As a u128 they would take eight bytes of padding.
    high: u64,
    low: u64,
    port: u16,
    is_ipv6: bool,
}

impl Address {
    /// Of IPv4.
    #[inline]
    pub(crate) fn v4(ip: [u8; 4], port: u16) -> Self {
        let low = 0xffff_0000_0000 | u64::from(u32::from_be_bytes(ip));
        Self { high: 0, low, port, is_ipv6: false }
    }

    /// Of IPv6.
    #[inline]
    pub(crate) fn v6(ip: [u8; 16], port: u16) -> Self {
        let [high, low] = halves(u128::from_be_bytes(ip));
        Self { high, low, port, is_ipv6: true }
    }

    /// Of either.
    #[must_use]
    pub fn new(ip: IpAddr, port: u16) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::v4(ip.octets(), port),
            IpAddr::V6(ip) => Self::v6(ip.octets(), port),
        }
    }

    /// The IP address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        if self.is_ipv6 {
            Ipv6Addr::from_bits(u128::from(self.high) << 64 | u128::from(self.low)).into()
        } else {
            let [.., a, b, c, d] = self.low.to_be_bytes();
            Ipv4Addr::new(a, b, c, d).into()
        }
    }

    /// The port.
    #[must_use]
    pub const fn port(self) -> u16 {
        self.port
    }

    /// Whether it is one of IPv4.
    #[must_use]
    pub const fn is_ipv4(self) -> bool {
        !self.is_ipv6
    }

    /// High and low half of the address, IPv4 as IPv6 writes it.
    #[inline]
    pub(crate) const fn halves(self) -> [u64; 2] {
        [self.high, self.low]
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip(), address.port())
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        Self::new(address.ip(), address.port())
    }
}

impl FromStr for Address {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        text.parse::<SocketAddr>().map(Self::from)
    }
}

impl PartialEq<SocketAddr> for Address {
    fn eq(&self, other: &SocketAddr) -> bool {
        SocketAddr::from(*self) == *other
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the halves are wanted")]
const fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

/// TCP options that say something about a handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentOptions {
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<TimestampOption>,
    /// TCP Fast Open.
    pub fast_open: Option<FastOpen>,
}

/// The timestamp option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOption {
    /// TSval.
    pub value: u32,
    /// TSecr.
    pub echo: u32,
}

/// The Fast Open option (RFC 7413).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastOpen {
    /// Without a cookie: the client asks for one.
    Request,
    /// With a cookie.
    Cookie,
}

/// An ICMP or ICMPv6 error that quotes a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// When it was captured, in nanoseconds since 1970, UTC.
    pub time_ns: i64,
    /// Its record, counted from 1.
    pub record: u64,
    /// The VLANs and tunnels that it was in.
    pub scope: u32,
    /// Who sent the error.
    pub reporter: IpAddr,
    /// What it says.
    pub kind: IcmpKind,
    /// Who had sent the segment that it is about.
    pub from: Address,
    /// To whom.
    pub to: Address,
    /// The segment's sequence number.
    pub seq: u32,
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpKind {
    /// No route to the network or host.
    HostUnreachable,
    /// The port is closed, or a firewall rejects with that message.
    PortUnreachable,
    /// A firewall says so.
    AdministrativelyProhibited,
    /// The packet was too large.
    TooBig,
    /// The packet's time to live ran out.
    TimeExceeded,
    /// Something else.
    Other,
}
