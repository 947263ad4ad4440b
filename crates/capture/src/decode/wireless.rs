//! 802.11 frames with data that is not encrypted, with the radio's header or without.

use super::layer::{Layer, Stop};
use super::{Next, link};

/// Bits of a frame's second byte.
mod flag {
    pub(super) const BOTH_WAYS: u8 = 0x03;
    pub(super) const MORE_FRAGMENTS: u8 = 0x04;
    pub(super) const PROTECTED: u8 = 0x40;
    /// There is an HT control field behind the one for quality of service.
    pub(super) const ORDER: u8 = 0x80;
}

/// Whether there is padding between the header and what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    None,
    /// To a multiple of four bytes.
    ToFour,
}

/// The radio's header (radiotap.org), whose numbers are little-endian, and a frame.
pub(super) fn radiotap(packet: Layer<'_>) -> Result<Next<'_>, Stop> {
    const PADDED: u8 = 0x20;
    let &[version, _, low, high] = packet.array(0)?;
    if version != 0 {
        return Err(Stop::Other);
    }
    let is_padded = flags(packet)?.is_some_and(|flags| flags & PADDED != 0);
    let padding = if is_padded { Padding::ToFour } else { Padding::None };
    frame(packet.skip(u16::from_le_bytes([low, high]).into())?, padding)
}

/// The second field, which lies behind the bitmaps that say which fields there are, and behind the first
/// field, a time stamp.
fn flags(packet: Layer<'_>) -> Result<Option<u8>, Stop> {
    let bitmap = |at: usize| packet.array(at).map(|&bytes| u32::from_le_bytes(bytes));
    let first = bitmap(4)?;
    let mut at = 8;
    let mut last = first;
    while last >> 31 == 1 {
        last = bitmap(at)?;
        at += 4;
    }
    if first & 1 != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    if first & 2 != 0 { packet.u8(at).map(Some) } else { Ok(None) }
}

/// A frame (IEEE 802.11, 9.3.2). Other frames than those with data are of no interest, and neither are
/// those that carry several packets at once or parts of one.
pub(super) fn frame(frame: Layer<'_>, padding: Padding) -> Result<Next<'_>, Stop> {
    let &[control, flags] = frame.array(0)?;
    let (version, kind, subtype) = (control & 3, control >> 2 & 3, control >> 4);
    let (has_qos, has_no_data) = (subtype & 8 != 0, subtype & 4 != 0);
    if version != 0 || kind != 2 || has_no_data || flags & flag::PROTECTED != 0 {
        return Err(Stop::Other);
    }
    if flags & flag::MORE_FRAGMENTS != 0 || frame.u8(22)? & 0x0f != 0 {
        return Err(Stop::Fragment);
    }
    let mut length = 24;
    if flags & flag::BOTH_WAYS == flag::BOTH_WAYS {
        length += 6;
    }
    if has_qos {
        let has_several = frame.u8(length)? & 0x80 != 0;
        if has_several {
            return Err(Stop::Other);
        }
        length += if flags & flag::ORDER != 0 { 6 } else { 2 };
    }
    if padding == Padding::ToFour {
        length = length.next_multiple_of(4);
    }
    link::llc(frame.skip(length)?)
}
