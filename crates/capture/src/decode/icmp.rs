//! ICMP errors, which quote the packet that they are about.

use std::net::IpAddr;

use super::ip::{self, Form, Ip};
use super::layer::Stop;
use crate::Packet;
use crate::observed::{Address, IcmpError, IcmpKind};

/// An error about a TCP segment; anything else is of no interest. RFC 792 asks for eight bytes of what
/// the IP header carried: ports and sequence number.
pub(super) fn error(packet: &Packet<'_>, scope: u32, ip: &Ip<'_>) -> Result<IcmpError, Stop> {
    let &[kind, code] = ip.body.array(0)?;
    let kind = match ip.from {
        IpAddr::V4(_) => v4_kind(kind, code),
        IpAddr::V6(_) => v6_kind(kind, code),
    };
    let kind = kind.ok_or(Stop::Other)?;
    let quoted = ip.body.skip(8)?;
    let quoted = match ip.from {
        IpAddr::V4(_) => Ip::v4(quoted, Form::Quoted)?,
        IpAddr::V6(_) => Ip::v6(quoted, Form::Quoted)?,
    };
    if quoted.protocol != ip::TCP {
        return Err(Stop::Other);
    }
    let tcp = quoted.body;
    Ok(IcmpError {
        time_ns: packet.time_ns,
        record: packet.record,
        scope,
        reporter: ip.from,
        kind,
        from: Address::new(quoted.from, tcp.u16(0)?),
        to: Address::new(quoted.to, tcp.u16(2)?),
        seq: tcp.u32(4)?,
    })
}

/// Numbers of RFC 792, 1122 and 1812; nothing if it is no error.
const fn v4_kind(kind: u8, code: u8) -> Option<IcmpKind> {
    match (kind, code) {
        (3, 0 | 1 | 6 | 7 | 8 | 11 | 12) => Some(IcmpKind::HostUnreachable),
        (3, 3) => Some(IcmpKind::PortUnreachable),
        (3, 4) => Some(IcmpKind::TooBig),
        (3, 9 | 10 | 13) => Some(IcmpKind::AdministrativelyProhibited),
        (11, _) => Some(IcmpKind::TimeExceeded),
        // Source quench, and a header that cannot be read.
        (3 | 4 | 12, _) => Some(IcmpKind::Other),
        _ => None,
    }
}

/// Numbers of RFC 4443; nothing if it is no error.
const fn v6_kind(kind: u8, code: u8) -> Option<IcmpKind> {
    match (kind, code) {
        (1, 0 | 3) => Some(IcmpKind::HostUnreachable),
        (1, 4) => Some(IcmpKind::PortUnreachable),
        // By a filter, by the rule for source addresses, by a route that says so.
        (1, 1 | 5 | 6) => Some(IcmpKind::AdministrativelyProhibited),
        (2, _) => Some(IcmpKind::TooBig),
        (3, _) => Some(IcmpKind::TimeExceeded),
        (1 | 4, _) => Some(IcmpKind::Other),
        _ => None,
    }
}
