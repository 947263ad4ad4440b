//! A TCP segment, as far as the model goes: no window and no bytes, only their number.
//!
//! IPv4 only. The kernel's rules for handshakes are the same for IPv6 (its functions differ in name).

use std::fmt;
use std::net::SocketAddrV4;
use std::ops::{Add, AddAssign, BitOr};

/// A sequence number. Compared modulo 2^32 (RFC 9293, 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

/// The control bits of a segment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

/// The timestamp option (RFC 7323), in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the receiver's, echoed.
    pub echo: u32,
}

/// A segment between two addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who sends it.
    pub from: SocketAddrV4,
    /// To whom.
    pub to: SocketAddrV4,
    /// Sequence number of its first byte, or of its SYN.
    pub seq: Seq,
    /// The next sequence number that the sender expects; 0 without ACK.
    pub ack: Seq,
    /// Control bits.
    pub flags: Flags,
    /// Bytes of data.
    pub payload: u32,
    /// The timestamp option, if both ends use it.
    pub timestamps: Option<Timestamps>,
}

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push; the model sets it where the kernel does, on data.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x10);

    /// The byte of the header (RFC 9293, 3.1).
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// The bits of a header's byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// Whether all of these bits are set.
    #[must_use]
    pub const fn has(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }
}

impl Seq {
    /// Whether this number comes before another.
    #[must_use]
    pub const fn is_before(self, other: Self) -> bool {
        other.0.wrapping_sub(self.0).wrapping_sub(1) < 0x7fff_ffff
    }

    /// How far this number lies beyond an earlier one.
    #[must_use]
    pub const fn beyond(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

impl Segment {
    /// The sequence number behind its last byte, SYN and FIN counted.
    #[must_use]
    pub fn end(&self) -> Seq {
        let control = u32::from(self.flags.has(Flags::SYN)) + u32::from(self.flags.has(Flags::FIN));
        self.seq + self.payload + control
    }

    /// Whether it asks for a connection.
    #[must_use]
    pub const fn is_syn(&self) -> bool {
        self.flags.has(Flags::SYN) && !self.flags.has(Flags::ACK)
    }

    /// The RST that refuses it; none for an RST (RFC 9293, 3.10.7.1).
    #[must_use]
    pub fn reset(&self) -> Option<Self> {
        if self.flags.has(Flags::RST) {
            return None;
        }
        let (seq, ack, flags) = if self.flags.has(Flags::ACK) {
            (self.ack, Seq(0), Flags::RST)
        } else {
            (Seq(0), self.end(), Flags::RST | Flags::ACK)
        };
        let (from, to) = (self.to, self.from);
        Some(Self { from, to, seq, ack, flags, payload: 0, timestamps: None })
    }

    /// Whether it answers a SYN.
    #[must_use]
    pub const fn is_syn_ack(&self) -> bool {
        self.flags.has(Flags::SYN) && self.flags.has(Flags::ACK)
    }
}

impl Add<u32> for Seq {
    type Output = Self;

    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// As tcpdump prints them: `S.`, `.`, `P.`, `F.`, `R`.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [
            (Self::SYN, "S"),
            (Self::FIN, "F"),
            (Self::RST, "R"),
            (Self::PSH, "P"),
            (Self::ACK, "."),
        ] {
            if self.has(bit) {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, flags, seq, ack, payload, .. } = self;
        write!(f, "{from} > {to} [{flags}] seq {} ack {} length {payload}", seq.0, ack.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_are_compared_modulo_two_to_the_thirty_second() {
        assert!(Seq(u32::MAX).is_before(Seq(0)));
        assert!(!Seq(0).is_before(Seq(u32::MAX)));
        assert!(!Seq(5).is_before(Seq(5)));
        assert_eq!(Seq(3).beyond(Seq(u32::MAX)), 4);
    }

    #[test]
    fn control_bits_read_as_tcpdump_prints_them() {
        assert_eq!((Flags::SYN | Flags::ACK).to_string(), "S.");
        assert_eq!((Flags::PSH | Flags::ACK).to_string(), "P.");
        assert_eq!(Flags::RST.to_string(), "R");
    }
}
