//! IPv4 and IPv6 headers, with options and extension headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Malformed;
use super::layer::{Layer, Stop};

pub(super) const ICMP: u8 = 1;
pub(super) const IPV4: u8 = 4;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const IPV6: u8 = 41;
pub(super) const GRE: u8 = 47;
pub(super) const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;

/// Extension headers that are followed; RFC 8200 knows seven, each of them once or twice.
const MAX_EXTENSIONS: usize = 16;

/// An IP packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ip<'a> {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) ttl: u8,
    pub(super) id: u16,
    pub(super) protocol: u8,
    /// It is the first fragment of a larger packet.
    pub(super) fragment: bool,
    /// What follows the headers.
    pub(super) body: Layer<'a>,
}

/// Whether a packet stands here itself, or the beginning of one that an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    Quoted,
}

impl<'a> Ip<'a> {
    /// A packet of either version.
    pub(super) fn of(packet: Layer<'a>) -> Result<Self, Stop> {
        match packet.u8(0)? >> 4 {
            4 => Self::v4(packet, Form::Whole),
            6 => Self::v6(packet, Form::Whole),
            _ => Err(Stop::Malformed(Malformed::IpVersion)),
        }
    }

    pub(super) fn v4(packet: Layer<'a>, form: Form) -> Result<Self, Stop> {
        let first = packet.u8(0)?;
        let header = usize::from(first & 0x0f) * 4;
        if first >> 4 != 4 {
            return Err(Stop::Malformed(Malformed::IpVersion));
        }
        let head = packet.array::<20>(0)?;
        let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let packet = match (form, total) {
            // The kernel writes 0 where the network card is to cut the packet up (TSO), and in packets
            // that do not fit (BIG TCP).
            (Form::Quoted, _) | (Form::Whole, 0) => packet,
            (Form::Whole, total) => packet.trim(total),
        };
        if header < 20 || header > packet.wire {
            return Err(Stop::Malformed(Malformed::Ipv4Header));
        }
        let fragment = u16::from_be_bytes([head[6], head[7]]);
        if fragment & 0x1fff != 0 {
            return Err(Stop::Fragment);
        }
        let ip = Self {
            from: IpAddr::V4(Ipv4Addr::new(head[12], head[13], head[14], head[15])),
            to: IpAddr::V4(Ipv4Addr::new(head[16], head[17], head[18], head[19])),
            ttl: head[8],
            id: u16::from_be_bytes([head[4], head[5]]),
            protocol: head[9],
            fragment: fragment & 0x2000 != 0,
            body: packet.skip(header)?,
        };
        ip.past_extensions()
    }

    pub(super) fn v6(packet: Layer<'a>, form: Form) -> Result<Self, Stop> {
        let head = packet.array::<40>(0)?;
        if head[0] >> 4 != 6 {
            return Err(Stop::Malformed(Malformed::IpVersion));
        }
        let body = packet.skip(40)?;
        let body = match (form, u16::from_be_bytes([head[4], head[5]])) {
            // As above, and jumbograms.
            (Form::Quoted, _) | (Form::Whole, 0) => body,
            (Form::Whole, length) => body.trim(length.into()),
        };
        let address = |at| packet.array::<16>(at).map(|&bytes| IpAddr::V6(Ipv6Addr::from(bytes)));
        let (from, to) = (address(8)?, address(24)?);
        let (ttl, protocol) = (head[7], head[6]);
        Self { from, to, ttl, id: 0, protocol, fragment: false, body }.past_extensions()
    }

    fn past_extensions(mut self) -> Result<Self, Stop> {
        for _ in 0..MAX_EXTENSIONS {
            let length = match self.protocol {
                HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY if self.from.is_ipv6() => {
                    (usize::from(self.body.u8(1)?) + 1) * 8
                }
                AUTHENTICATION => (usize::from(self.body.u8(1)?) + 2) * 4,
                FRAGMENT if self.from.is_ipv6() => {
                    let place = self.body.u16(2)?;
                    if place & 0xfff8 != 0 {
                        return Err(Stop::Fragment);
                    }
                    self.fragment = place & 1 != 0;
                    8
                }
                _ => return Ok(self),
            };
            self.protocol = self.body.u8(0)?;
            self.body = self.body.skip(length)?;
        }
        Err(Stop::Malformed(Malformed::Nesting))
    }
}
