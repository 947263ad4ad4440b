//! The two shapes that nearly all packets have: Ethernet, IPv4 without options or IPv6 without
//! extension headers, TCP with all of its header. What does not fit is left to the general way; both
//! come to the same value.

use super::ip::TCP;
use super::tcp;
use crate::Packet;
use crate::container::LinkType;
use crate::observed::{Address, SegmentOptions, TcpSegment};

const ETHERNET: LinkType = LinkType(1);

/// The segment, if the packet has one of the shapes, and what is still to be read of its options.
#[inline(always)]
pub(super) fn segment<'a>(packet: &Packet<'a>) -> Option<(TcpSegment, &'a [u8])> {
    if packet.link != ETHERNET {
        return None;
    }
    let ethernet_and_ip = packet.captured.first_chunk::<34>()?;
    match *ethernet_and_ip {
        [.., 0x08, 0x00, 0x45, _, _, _, _, _, _, _, _, TCP, _, _, _, _, _, _, _, _, _, _] => {
            v4(packet, ethernet_and_ip)?
        }
        [_, _, _, _, _, _, _, _, _, _, _, _, 0x86, 0xdd, 0x60..=0x6f, _, _, _, _, _, TCP, ..] => {
            v6(packet)?
        }
        _ => return None,
    }
    .segment(packet)
}

/// What is needed of the headers before TCP, and the ports.
struct FastIp<'a> {
    from: Address,
    to: Address,
    length: usize,
    ttl: u8,
    id: u16,
    body: &'a [u8],
}

#[inline(always)]
fn v4<'a>(packet: &Packet<'a>, head: &[u8; 34]) -> Option<FastIp<'a>> {
    let total = usize::from(u16::from_be_bytes([head[16], head[17]]));
    let fragment = u16::from_be_bytes([head[20], head[21]]);
    if fragment & 0x3fff != 0 {
        return None;
    }
    let body = packet.captured.get(34..)?;
    let [from_port, to_port] = ports(body)?;
    Some(FastIp {
        from: Address::v4([head[26], head[27], head[28], head[29]], from_port),
        to: Address::v4([head[30], head[31], head[32], head[33]], to_port),
        length: total.checked_sub(20)?,
        ttl: head[22],
        id: u16::from_be_bytes([head[18], head[19]]),
        body,
    })
}

#[inline(always)]
fn v6<'a>(packet: &Packet<'a>) -> Option<FastIp<'a>> {
    let head = packet.captured.first_chunk::<54>()?;
    let address = |at: usize| head.get(at..)?.first_chunk::<16>().copied();
    let body = packet.captured.get(54..)?;
    let [from_port, to_port] = ports(body)?;
    Some(FastIp {
        from: Address::v6(address(22)?, from_port),
        to: Address::v6(address(38)?, to_port),
        length: u16::from_be_bytes([head[18], head[19]]).into(),
        ttl: head[21],
        id: 0,
        body,
    })
}

#[inline(always)]
fn ports(tcp: &[u8]) -> Option<[u16; 2]> {
    let &[a, b, c, d] = tcp.first_chunk()?;
    Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])])
}

impl<'a> FastIp<'a> {
    #[inline(always)]
    fn segment(self, packet: &Packet<'_>) -> Option<(TcpSegment, &'a [u8])> {
        let head = self.body.first_chunk::<20>()?;
        let header = usize::from(head[12] >> 4) * 4;
        let options = self.body.get(20..header)?;
        let payload = self.length.checked_sub(header)?;
        let (timestamps, options) = tcp::timestamps_alone(options);
        let segment = TcpSegment {
            time_ns: packet.time_ns,
            record: packet.record,
            interface: packet.interface,
            scope: 0,
            from: self.from,
            to: self.to,
            seq: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            ack: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
            flags: head[13],
            window: u16::from_be_bytes([head[14], head[15]]),
            payload: u32::try_from(payload).ok()?,
            ttl: self.ttl,
            ip_id: self.id,
            options: SegmentOptions { timestamps, ..SegmentOptions::default() },
            truncated: false,
        };
        Some((segment, options))
    }
}
