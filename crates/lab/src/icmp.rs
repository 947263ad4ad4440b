//! ICMP messages of both versions, as packets: errors about a packet, and echoes.

use std::net::IpAddr;

use halfopen_scenario::Reject;

use crate::ip::{self, Packet, array, checksum, protocol, pseudo_sum};

/// Bytes of a packet's contents that an error quotes: enough for the ports and the sequence number.
const QUOTED: usize = 8;

/// Types of messages (RFC 792; RFC 4443).
#[derive(Clone, Copy)]
enum Kind {
    Unreachable,
    EchoRequest,
    EchoReply,
}

impl Kind {
    const fn number(self, is_ipv4: bool) -> u8 {
        match (self, is_ipv4) {
            (Self::Unreachable, true) => 3,
            (Self::Unreachable, false) => 1,
            (Self::EchoRequest, true) => 8,
            (Self::EchoRequest, false) => 128,
            (Self::EchoReply, true) => 0,
            (Self::EchoReply, false) => 129,
        }
    }
}

/// The error "destination unreachable" by which a firewall rejects a packet, in the name of whom the
/// packet is for; none if that answer is no ICMP message, or the packet is cut.
pub(crate) fn rejection(about: &[u8], with: Reject) -> Option<Vec<u8>> {
    let packet = Packet::of(about)?;
    let code = if packet.to.is_ipv4() { with.icmp_code() } else { with.icmpv6_code() }?;
    let rest = about.get(..packet.header + QUOTED)?;
    Some(message(Kind::Unreachable, code, packet.to, packet.from, [0; 4], rest))
}

/// A request that is answered with the same number.
pub(crate) fn echo_request(number: u32, from: IpAddr, to: IpAddr) -> Vec<u8> {
    // Identifier and sequence number of the message are the halves of its number here.
    message(Kind::EchoRequest, 0, from, to, number.to_be_bytes(), &[])
}

/// The number of an echo that came back.
pub(crate) fn echo_reply(packet: &Packet<'_>) -> Option<u32> {
    let is_ipv4 = packet.to.is_ipv4();
    if packet.protocol != protocol_of(is_ipv4)
        || *packet.contents.first()? != Kind::EchoReply.number(is_ipv4)
    {
        return None;
    }
    array(packet.contents, 4).map(u32::from_be_bytes)
}

const fn protocol_of(is_ipv4: bool) -> u8 {
    if is_ipv4 { protocol::ICMP } else { protocol::ICMPV6 }
}

fn message(kind: Kind, code: u8, from: IpAddr, to: IpAddr, word: [u8; 4], rest: &[u8]) -> Vec<u8> {
    let is_ipv4 = to.is_ipv4();
    let mut icmp = vec![kind.number(is_ipv4), code, 0, 0];
    icmp.extend(word);
    icmp.extend(rest);
    let protocol = protocol_of(is_ipv4);
    // RFC 792 has no pseudo-header.
    let pseudo = if is_ipv4 { 0 } else { pseudo_sum(protocol, from, to, icmp.len()) };
    let sum = checksum(&icmp, pseudo);
    icmp[2..4].copy_from_slice(&sum);
    ip::packet(protocol, from, to, &icmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip_version::IpVersion;

    #[test]
    fn an_error_quotes_the_ports_and_its_checksum_is_right() {
        let codes = [(IpVersion::V4, (1, 3, 13)), (IpVersion::V6, (58, 1, 1))];
        for (ip, expected) in codes {
            let about = ip::packet(protocol::TCP, ip.on_wire(16), ip.near(), &[7; 20]);
            let error = rejection(&about, Reject::AdminProhibited).expect("an ICMP error");
            let read = Packet::of(&error).expect("a packet");
            assert_eq!((read.from, read.to), (ip.near(), ip.on_wire(16)));
            assert_eq!((read.protocol, read.contents[0], read.contents[1]), expected);
            assert_eq!(read.contents[8..], about[..about.len() - 12]);
            let pseudo = match ip {
                IpVersion::V4 => 0,
                IpVersion::V6 => pseudo_sum(58, read.from, read.to, read.contents.len()),
            };
            assert_eq!(checksum(read.contents, pseudo), [0, 0]);
            assert_eq!(rejection(&about, Reject::TcpReset), None);
            assert_eq!(rejection(&about[..24], Reject::AdminProhibited), None);
        }
    }

    #[test]
    fn a_request_is_no_reply() {
        for ip in IpVersion::ALL {
            let request = echo_request(7, ip.on_wire(3), ip.near());
            let reply = message(Kind::EchoReply, 0, ip.near(), ip.on_wire(3), [0, 0, 0, 7], &[]);
            let number = |bytes: &[u8]| echo_reply(&Packet::of(bytes).expect("a packet"));
            assert_eq!((number(&request), number(&reply)), (None, Some(7)));
        }
    }
}
