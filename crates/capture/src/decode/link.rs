//! From a link type to the network layer: Ethernet and the rest, VLAN tags, MPLS, PPP. What has more to
//! it than a header of fixed length is in `wireless` and `nflog`.

use super::layer::{Layer, Stop};
use super::scope::{Tag, TagKind};
use super::{Next, Walk, nflog, wireless};
use crate::container::LinkType;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// What a packet of this link type begins with.
pub(super) fn begin(link: LinkType, packet: Layer<'_>) -> Result<Next<'_>, Stop> {
    match link.0 {
        1 => Ok(Next::Ethernet(packet)),
        // BSD loopback: the address family in the byte order of the machine, or that of the network.
        0 | 108 => loopback(packet),
        9 | 50 => Ok(Next::Ppp(packet)),
        // 12 and 14 stand for raw IP on some systems and for others in their captures.
        12 | 14 | 101 => Ok(Next::Ip(packet)),
        // Linux "cooked", versions 1 and 2: of any interface.
        113 => Ok(Next::EtherType(packet.u16(14)?, packet.skip(16)?)),
        276 => Ok(Next::EtherType(packet.u16(0)?, packet.skip(20)?)),
        // HDLC of Cisco.
        104 => Ok(Next::EtherType(packet.u16(2)?, packet.skip(4)?)),
        // InfiniBand, behind the addresses that the capturing host puts before it.
        242 => Ok(Next::EtherType(packet.u16(40)?, packet.skip(44)?)),
        // FDDI: frame control and two addresses.
        10 => llc(packet.skip(13)?),
        // ARCNET as BSD captures it, and as Linux does, with an offset.
        7 => arcnet(packet.skip(2)?),
        129 => arcnet(packet.skip(4)?),
        105 => wireless::frame(packet, wireless::Padding::None),
        127 => wireless::radiotap(packet),
        239 => nflog::packet(packet),
        // PPP with a direction.
        166 => Ok(Next::Ppp(packet.skip(1)?)),
        51 => pppoe(packet),
        228 => Ok(Next::Ipv4(packet)),
        229 => Ok(Next::Ipv6(packet)),
        _ => Err(Stop::Link),
    }
}

pub(super) fn ethernet(frame: Layer<'_>) -> Result<Next<'_>, Stop> {
    Ok(Next::EtherType(frame.u16(12)?, frame.skip(14)?))
}

/// What follows an `EtherType`, or the length that stands in its place.
pub(super) fn ether_type<'a>(
    walk: &mut Walk,
    ether_type: u16,
    body: Layer<'a>,
) -> Result<Next<'a>, Stop> {
    match ether_type {
        IPV4 => Ok(Next::Ipv4(body)),
        IPV6 => Ok(Next::Ipv6(body)),
        0x8100 | 0x88a8 | 0x9100 => {
            let vlan = body.u16(0)? & 0x0fff;
            // VLAN 0 is a priority and no VLAN.
            if vlan != 0 {
                walk.path.push(Tag { kind: TagKind::Vlan, id: vlan.into() });
            }
            Ok(Next::EtherType(body.u16(2)?, body.skip(4)?))
        }
        // 802.1ah: the service that the customer's frame belongs to.
        0x88e7 => {
            walk.path.push(Tag { kind: TagKind::Service, id: body.u24(1)? });
            Ok(Next::Ethernet(body.skip(4)?))
        }
        // VN-Tag and 802.1BR: the ports of a switch, which differ by direction.
        0x8926 => Ok(Next::EtherType(body.u16(4)?, body.skip(6)?)),
        0x893f => Ok(Next::EtherType(body.u16(6)?, body.skip(8)?)),
        // FabricPath, of Cisco.
        0x8903 => Ok(Next::Ethernet(body.skip(2)?)),
        0x8847 | 0x8848 => mpls(body),
        0x8864 => pppoe(body),
        // Transparent Ethernet bridging: GRE and Geneve carry Ethernet so.
        0x6558 => Ok(Next::Ethernet(body)),
        0x880b => Ok(Next::Ppp(body)),
        // Of Linux "cooked" captures: an 802.2 frame without its length.
        0x0004 => llc(body),
        length @ ..1536 => llc(body.trim(usize::from(length).min(body.wire))),
        _ => Err(Stop::Other),
    }
}

/// 802.2, with SNAP or without.
pub(super) fn llc(frame: Layer<'_>) -> Result<Next<'_>, Stop> {
    match *frame.array::<3>(0)? {
        [0xaa, 0xaa, 0x03] => match *frame.array::<3>(3)? {
            [0, 0, 0 | 0xf8] => match frame.u16(6)? {
                // Not a length here, so nothing that is known.
                ..1536 => Err(Stop::Other),
                ether_type => Ok(Next::EtherType(ether_type, frame.skip(8)?)),
            },
            _ => Err(Stop::Other),
        },
        [0x06, 0x06, 0x03] => Ok(Next::Ipv4(frame.skip(3)?)),
        _ => Err(Stop::Other),
    }
}

/// Protocols by RFC 1201, whose header says how a packet was split, and IPv4 by RFC 1051.
fn arcnet(packet: Layer<'_>) -> Result<Next<'_>, Stop> {
    const OLD_IPV4: u8 = 240;
    let kind = packet.u8(0)?;
    if kind == OLD_IPV4 {
        return Ok(Next::Ipv4(packet.skip(1)?));
    }
    let split = packet.u8(1)?;
    match (kind, split) {
        (212, 0) => Ok(Next::Ipv4(packet.skip(4)?)),
        (196, 0) => Ok(Next::Ipv6(packet.skip(4)?)),
        _ => Err(Stop::Other),
    }
}

fn loopback(packet: Layer<'_>) -> Result<Next<'_>, Stop> {
    let family = packet.u32(0)?;
    // Families are small numbers: one of the two orders has them.
    let family = if family > 0xffff { family.swap_bytes() } else { family };
    let body = packet.skip(4)?;
    match family {
        2 => Ok(Next::Ipv4(body)),
        // Linux, NetBSD and OpenBSD, FreeBSD, Darwin.
        10 | 24 | 28 | 30 => Ok(Next::Ipv6(body)),
        _ => Err(Stop::Other),
    }
}

/// Labels down to the last, under which the first four bits tell IP from Ethernet behind a control word
/// (RFC 4385). Ethernet without one is not recognized.
fn mpls(mut body: Layer<'_>) -> Result<Next<'_>, Stop> {
    // The bottom is found soon or never: each turn takes four bytes.
    while body.u8(2)? & 1 == 0 {
        body = body.skip(4)?;
    }
    let body = body.skip(4)?;
    match body.u8(0)? >> 4 {
        0 => Ok(Next::Ethernet(body.skip(4)?)),
        4 | 6 => Ok(Next::Ip(body)),
        _ => Err(Stop::Other),
    }
}

/// A session's frame; nothing but version 1, type 1, code 0 carries data.
fn pppoe(body: Layer<'_>) -> Result<Next<'_>, Stop> {
    if *body.array::<2>(0)? != [0x11, 0] {
        return Err(Stop::Other);
    }
    let length = usize::from(body.u16(4)?);
    let inner = body.skip(6)?;
    Ok(Next::Ppp(if length > 0 { inner.trim(length) } else { inner }))
}

/// The protocol, of one byte or two, behind an address and control field that may be left out.
pub(super) fn ppp(frame: Layer<'_>) -> Result<Next<'_>, Stop> {
    let frame = match frame.u16(0)? {
        0xff03 => frame.skip(2)?,
        _ => frame,
    };
    let first = frame.u8(0)?;
    let (protocol, body) = if first & 1 == 1 {
        (u16::from(first), frame.skip(1)?)
    } else {
        (frame.u16(0)?, frame.skip(2)?)
    };
    match protocol {
        0x0021 => Ok(Next::Ipv4(body)),
        0x0057 => Ok(Next::Ipv6(body)),
        0x0281 | 0x0283 => mpls(body),
        _ => Err(Stop::Other),
    }
}
