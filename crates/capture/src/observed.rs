//! What a packet shows of TCP: the interface between decoding and tracking.

use std::net::{IpAddr, SocketAddr};

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
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
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
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
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
