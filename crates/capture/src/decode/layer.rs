//! A view of a packet from one header on, which only checks lengths.

use super::Malformed;

/// What is left of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer<'a> {
    /// What was captured of it.
    pub(super) bytes: &'a [u8],
    /// Its length on the wire.
    pub(super) wire: usize,
}

/// Why there is no TCP to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is something else.
    Other,
    /// The capture cut the packet before it.
    Cut,
    /// It is in another fragment.
    Fragment,
    /// The link type is none that is read here.
    Link,
    Malformed(Malformed),
}

impl<'a> Layer<'a> {
    pub(super) fn array<const N: usize>(self, at: usize) -> Result<&'a [u8; N], Stop> {
        match self.bytes.get(at..).and_then(<[u8]>::first_chunk) {
            Some(array) => Ok(array),
            None => Err(self.lacks(at + N)),
        }
    }

    pub(super) fn u8(self, at: usize) -> Result<u8, Stop> {
        self.array::<1>(at).map(|&[byte]| byte)
    }

    pub(super) fn u16(self, at: usize) -> Result<u16, Stop> {
        self.array(at).map(|&bytes| u16::from_be_bytes(bytes))
    }

    pub(super) fn u32(self, at: usize) -> Result<u32, Stop> {
        self.array(at).map(|&bytes| u32::from_be_bytes(bytes))
    }

    /// The low three bytes of the four there.
    pub(super) fn u24(self, at: usize) -> Result<u32, Stop> {
        self.array(at).map(|&[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// What comes after so many bytes.
    pub(super) fn skip(self, bytes: usize) -> Result<Self, Stop> {
        match self.bytes.get(bytes..) {
            Some(rest) => Ok(Self { bytes: rest, wire: self.wire.saturating_sub(bytes) }),
            None => Err(self.lacks(bytes)),
        }
    }

    /// The first bytes of it, as many as a header says: what follows is padding. If the header says more
    /// than there was on the wire, it is believed.
    pub(super) fn trim(self, wire: usize) -> Self {
        Self { bytes: self.bytes.get(..wire).unwrap_or(self.bytes), wire }
    }

    /// So many bytes are not there: cut off, or were there never so many?
    pub(super) const fn lacks(self, bytes: usize) -> Stop {
        if bytes > self.wire { Stop::Malformed(Malformed::Short) } else { Stop::Cut }
    }
}
