//! The two shapes that nearly all packets have: Ethernet, IPv4 without options or IPv6 without
//! extension headers, TCP with all of its header. What does not fit is left to the general way; both
//! come to the same value.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::ip::TCP;
use super::tcp;
use crate::Packet;
use crate::container::LinkType;
use crate::observed::TcpSegment;

const ETHERNET: LinkType = LinkType(1);

/// The segment, if the packet has one of the shapes.
#[inline]
pub(super) fn segment(packet: &Packet<'_>) -> Option<TcpSegment> {
    if packet.link != ETHERNET {
        return None;
    }
    let ethernet_and_ip = packet.captured.first_chunk::<34>()?;
    match *ethernet_and_ip {
        [.., 0x08, 0x00, 0x45, _, _, _, _, _, _, _, _, TCP, _, _, _, _, _, _, _, _, _, _] => {
            v4(packet, ethernet_and_ip)
        }
        [_, _, _, _, _, _, _, _, _, _, _, _, 0x86, 0xdd, 0x60..=0x6f, _, _, _, _, _, TCP, ..] => {
            v6(packet)
        }
        _ => None,
    }
}

#[inline]
fn v4(packet: &Packet<'_>, head: &[u8; 34]) -> Option<TcpSegment> {
    let total = usize::from(u16::from_be_bytes([head[16], head[17]]));
    let fragment = u16::from_be_bytes([head[20], head[21]]);
    if fragment & 0x3fff != 0 {
        return None;
    }
    let from = Ipv4Addr::new(head[26], head[27], head[28], head[29]);
    let to = Ipv4Addr::new(head[30], head[31], head[32], head[33]);
    let ip = FastIp {
        length: total.checked_sub(20)?,
        ttl: head[22],
        id: u16::from_be_bytes([head[18], head[19]]),
    };
    let ends = |from_port, to_port| {
        (SocketAddrV4::new(from, from_port).into(), SocketAddrV4::new(to, to_port).into())
    };
    ip.segment(packet, packet.captured.get(34..)?, ends)
}

#[inline]
fn v6(packet: &Packet<'_>) -> Option<TcpSegment> {
    let head = packet.captured.first_chunk::<54>()?;
    let address = |at: usize| head.get(at..)?.first_chunk::<16>().map(|&a| Ipv6Addr::from(a));
    let (from, to) = (address(22)?, address(38)?);
    let length = u16::from_be_bytes([head[18], head[19]]);
    let ip = FastIp { length: length.into(), ttl: head[21], id: 0 };
    let ends = |from_port, to_port| {
        (
            SocketAddrV6::new(from, from_port, 0, 0).into(),
            SocketAddrV6::new(to, to_port, 0, 0).into(),
        )
    };
    ip.segment(packet, packet.captured.get(54..)?, ends)
}

/// What is needed of an IP header.
struct FastIp {
    length: usize,
    ttl: u8,
    id: u16,
}

impl FastIp {
    #[inline(always)]
    fn segment(
        self,
        packet: &Packet<'_>,
        body: &[u8],
        ends: impl FnOnce(u16, u16) -> (SocketAddr, SocketAddr),
    ) -> Option<TcpSegment> {
        let head = body.first_chunk::<20>()?;
        let header = usize::from(head[12] >> 4) * 4;
        let options = body.get(20..header)?;
        let payload = self.length.checked_sub(header)?;
        let (from, to) =
            ends(u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
        Some(TcpSegment {
            time_ns: packet.time_ns,
            record: packet.record,
            interface: packet.interface,
            scope: 0,
            from,
            to,
            seq: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            ack: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
            flags: head[13],
            window: u16::from_be_bytes([head[14], head[15]]),
            payload: u32::try_from(payload).ok()?,
            ttl: self.ttl,
            ip_id: self.id,
            options: tcp::options(options),
            truncated: false,
        })
    }
}
