//! Packets that the Linux firewall logged: attributes, of which one is the packet.

use super::Next;
use super::layer::{Layer, Stop};

/// `NFULA_PAYLOAD` (include/uapi/linux/netfilter/nfnetlink_log.h).
const PAYLOAD: u16 = 9;

/// A header of four bytes, then attributes: length with header, type, value, padding to four bytes. Their
/// numbers are in the byte order of the capturing host, which types, being small, give away.
pub(super) fn packet(packet: Layer<'_>) -> Result<Next<'_>, Stop> {
    let mut rest = packet.skip(4)?;
    loop {
        let &[a, b, c, d] = rest.array(0)?;
        let (length, kind) = if d == 0 {
            (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
        } else {
            (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        };
        let length = usize::from(length);
        if length < 4 {
            return Err(Stop::Other);
        }
        if kind == PAYLOAD {
            return Ok(Next::Ip(rest.skip(4)?.trim(length - 4)));
        }
        rest = rest.skip(length.next_multiple_of(4))?;
    }
}
