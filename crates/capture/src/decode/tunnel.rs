//! Packets in packets: GRE with what it carries, and the tunnels over UDP.
//!
//! A UDP port is only a hint, so what stands there must look like the tunnel, or it is something else.

use super::layer::{Layer, Stop};
use super::scope::{Tag, TagKind};
use super::{Next, Walk, ip};

const ERSPAN_II: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;

/// GRE (RFC 2784, 2890) and the version of it that PPTP uses (RFC 2637).
pub(super) fn gre<'a>(walk: &mut Walk, packet: Layer<'a>) -> Result<Next<'a>, Stop> {
    let flags = packet.u16(0)?;
    let protocol = packet.u16(2)?;
    let (checksum, routing) = (flags & 0x8000 != 0, flags & 0x4000 != 0);
    let (key, sequence) = (flags & 0x2000 != 0, flags & 0x1000 != 0);
    let pptp = flags & 7 == 1;
    if routing || flags & 7 > 1 {
        return Err(Stop::Other);
    }
    let mut length = 4 + if checksum { 4 } else { 0 };
    if key && !pptp {
        walk.path.push(Tag { kind: TagKind::Gre, id: packet.u32(length)? });
    }
    length += if key { 4 } else { 0 };
    length += if sequence { 4 } else { 0 };
    // Its key is a length and the receiver's call number, so it differs by direction.
    length += if pptp && flags & 0x0080 != 0 { 4 } else { 0 };
    let body = packet.skip(length)?;
    match protocol {
        ERSPAN_II | ERSPAN_III if !walk.tunnels.erspan => Err(Stop::Other),
        // Without a sequence number it is type I, which has no header.
        ERSPAN_II if !sequence => Ok(Next::Ethernet(body)),
        ERSPAN_II => {
            walk.path.push(Tag { kind: TagKind::Erspan, id: (body.u16(2)? & 0x03ff).into() });
            Ok(Next::Ethernet(body.skip(8)?))
        }
        ERSPAN_III => {
            walk.path.push(Tag { kind: TagKind::Erspan, id: (body.u16(2)? & 0x03ff).into() });
            let last = body.u16(10)?;
            let inner = body.skip(if last & 1 == 1 { 20 } else { 12 })?;
            // The frame's type: Ethernet, or IP.
            match last >> 10 & 0x1f {
                0 => Ok(Next::Ethernet(inner)),
                2 => Ok(Next::Ip(inner)),
                _ => Err(Stop::Other),
            }
        }
        // Else it would be the length of an 802.3 frame.
        ..1536 => Err(Stop::Other),
        ether_type => Ok(Next::EtherType(ether_type, body)),
    }
}

/// A tunnel over UDP, by the port that it goes to or, where answers come from it, by either.
pub(super) fn udp<'a>(walk: &mut Walk, packet: Layer<'a>) -> Result<Next<'a>, Stop> {
    let (from, to) = (packet.u16(0)?, packet.u16(2)?);
    let length = usize::from(packet.u16(4)?);
    let body = packet.skip(8)?;
    let body = if length >= 8 { body.trim(length - 8) } else { body };
    let tunnels = walk.tunnels;
    match (from, to) {
        // The second is what Linux uses unless told otherwise.
        (_, 4789 | 8472) if tunnels.vxlan => vxlan(walk, body),
        (_, 6081) if tunnels.geneve => geneve(walk, body),
        // RFC 8086.
        (_, 4754) if tunnels.gre => gre(walk, body),
        (2152, _) | (_, 2152) if tunnels.gtp => gtp(walk, body),
        (3544, _) | (_, 3544) if tunnels.teredo => teredo(body),
        (5072, _) | (_, 5072) if tunnels.ip_in_ip => ayiya(body),
        _ => Err(Stop::Other),
    }
}

/// RFC 7348. The flag says that there is a network identifier.
fn vxlan<'a>(walk: &mut Walk, body: Layer<'a>) -> Result<Next<'a>, Stop> {
    if body.u8(0)? & 0x08 == 0 {
        return Err(Stop::Other);
    }
    walk.path.push(Tag { kind: TagKind::Vxlan, id: body.u24(4)? });
    Ok(Next::Ethernet(body.skip(8)?))
}

/// RFC 8926, version 0.
fn geneve<'a>(walk: &mut Walk, body: Layer<'a>) -> Result<Next<'a>, Stop> {
    let first = body.u8(0)?;
    if first >> 6 != 0 {
        return Err(Stop::Other);
    }
    let options = usize::from(first & 0x3f) * 4;
    walk.path.push(Tag { kind: TagKind::Geneve, id: body.u24(4)? });
    match body.u16(2)? {
        ..1536 => Err(Stop::Other),
        ether_type => Ok(Next::EtherType(ether_type, body.skip(8 + options)?)),
    }
}

/// GTP-U (3GPP TS 29.281), version 1, messages of type 255. Each direction has its own endpoint
/// identifier, so with it in the scope a SYN and its SYN-ACK would be of two connections.
fn gtp<'a>(walk: &mut Walk, body: Layer<'a>) -> Result<Next<'a>, Stop> {
    let (flags, kind, length) = (body.u8(0)?, body.u8(1)?, usize::from(body.u16(2)?));
    if flags & 0xf0 != 0x30 || kind != 255 || length + 8 > body.wire {
        return Err(Stop::Other);
    }
    let body = body.trim(length + 8);
    let mut at = 8;
    if flags & 0x07 != 0 {
        // Sequence number, N-PDU number, type of the first extension header.
        at += 4;
        let mut extension = if flags & 0x04 != 0 { body.u8(11)? } else { 0 };
        while extension != 0 {
            let words = usize::from(body.u8(at)?);
            if words == 0 {
                return Err(Stop::Other);
            }
            at += words * 4;
            extension = body.u8(at - 1)?;
        }
    }
    walk.path.push(Tag { kind: TagKind::Gtp, id: 0 });
    Ok(Next::Ip(body.skip(at)?))
}

/// RFC 4380: IPv6, perhaps behind an authentication header and an origin.
fn teredo(mut body: Layer<'_>) -> Result<Next<'_>, Stop> {
    if body.u16(0)? == 1 {
        let (id, value) = (usize::from(body.u8(2)?), usize::from(body.u8(3)?));
        body = body.skip(4 + id + value + 9)?;
    }
    if body.u16(0)? == 0 {
        body = body.skip(8)?;
    }
    // A DNS answer to that port, say, is no Teredo.
    let fits = usize::from(body.u16(4)?) + 40 == body.wire;
    if body.u8(0)? >> 4 == 6 && fits { Ok(Next::Ipv6(body)) } else { Err(Stop::Other) }
}

/// draft-massar-v6ops-ayiya: IP behind an identity and a signature, whose lengths are in the first bytes.
fn ayiya(body: Layer<'_>) -> Result<Next<'_>, Stop> {
    const FORWARD: u8 = 1;
    let &[identity, signature, operation, next] = body.array(0)?;
    if operation & 0x0f != FORWARD {
        return Err(Stop::Other);
    }
    let length = 8 + (1 << (identity >> 4)) + usize::from(signature >> 4) * 4;
    match next {
        ip::IPV4 if length < body.wire => Ok(Next::Ipv4(body.skip(length)?)),
        ip::IPV6 if length < body.wire => Ok(Next::Ipv6(body.skip(length)?)),
        _ => Err(Stop::Other),
    }
}
