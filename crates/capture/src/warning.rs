//! What was wrong with a capture: the first few places, and how many there were.
//!
//! A damaged capture still tells most of its story, so nothing here ends an analysis. The list has a
//! bound, because a file can be damaged in every record.

use std::fmt;

use crate::decode::Malformed;

/// Warnings that are kept; the rest are only counted.
const KEPT: usize = 32;

/// One place where a capture is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The record that it was found in or, for what lies between records, the one before; from 1.
    pub record: u64,
    /// Where, in bytes from the beginning of the capture (of what it decompresses to).
    pub offset: u64,
    /// What was found.
    pub what: Problem,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The capture ends inside a record.
    EndsInRecord {
        /// How much of it there is.
        bytes: u64,
    },
    /// No record could be read here; so many bytes were passed over until one could, or to the end.
    PassedOver {
        /// How many.
        bytes: u64,
    },
    /// A record is longer than the capture says that any would be.
    LongerThanSnapLength {
        /// Bytes of the packet that it holds.
        captured: u32,
        /// The snapshot length.
        limit: u32,
    },
    /// A record is said to hold more of a packet than it has room for.
    LongerThanRecord {
        /// Bytes of the packet, it says.
        captured: u32,
        /// Bytes that there are.
        room: u32,
    },
    /// A record holds more of a packet than there was.
    LongerThanPacket {
        /// Bytes of the packet that it holds.
        captured: u32,
        /// Bytes of the packet, it says.
        original: u32,
    },
    /// The fraction of a second is a second or more.
    Fraction {
        /// In units of the capture.
        value: u32,
    },
    /// The length at a block's end is not the one at its beginning.
    BlockLengths {
        /// At its beginning.
        first: u32,
        /// At its end.
        last: u32,
    },
    /// A block is too short for what must be in it.
    ShortBlock {
        /// Its type.
        kind: u32,
    },
    /// A packet's interface was not described.
    UnknownInterface {
        /// Its number in the section.
        number: u32,
    },
    /// More interfaces than are kept; the packets of the others are left out.
    TooManyInterfaces,
    /// An interface's description cannot be read; it is taken to be as usual.
    InterfaceDescription,
    /// Packets without a time; they are given that of the packet before.
    NoTime,
    /// A section of a version that is not known.
    Version {
        /// The version's first number.
        major: u16,
    },
    /// The compressed data is damaged or ends too early.
    Compression {
        /// What the decompressor says.
        message: String,
    },
    /// A packet's headers contradict themselves.
    Malformed(Malformed),
}

/// Warnings, the first of them kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    listed: Vec<Warning>,
    count: u64,
}

impl Warnings {
    /// The first of them, in order.
    #[must_use]
    pub fn listed(&self) -> &[Warning] {
        &self.listed
    }

    /// How many there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    #[cold]
    pub(crate) fn push(&mut self, record: u64, offset: u64, what: Problem) {
        self.count += 1;
        if self.listed.len() < KEPT {
            self.listed.push(Warning { record, offset, what });
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}, byte {}: {}", self.record, self.offset, self.what)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndsInRecord { bytes } => {
                write!(f, "the capture ends inside a record, of which it has {bytes} bytes")
            }
            Self::PassedOver { bytes } => {
                write!(f, "no record can be read here; {bytes} bytes passed over")
            }
            Self::LongerThanSnapLength { captured, limit } => {
                write!(f, "{captured} bytes captured with a snapshot length of {limit}")
            }
            Self::LongerThanRecord { captured, room } => {
                write!(f, "{captured} bytes captured in a record with room for {room}")
            }
            Self::LongerThanPacket { captured, original } => {
                write!(f, "{captured} bytes captured of a packet of {original}")
            }
            Self::Fraction { value } => {
                write!(f, "the fraction of a second, {value}, is a second or more")
            }
            Self::BlockLengths { first, last } => {
                write!(f, "a block says {first} bytes at its beginning and {last} at its end")
            }
            Self::ShortBlock { kind } => write!(f, "a block of type {kind:#x} is too short"),
            Self::UnknownInterface { number } => {
                write!(f, "a packet's interface {number} is not described; packet left out")
            }
            Self::TooManyInterfaces => {
                f.write_str("more interfaces than are kept; their packets are left out")
            }
            Self::InterfaceDescription => {
                f.write_str("an interface's options cannot be read; the usual values are taken")
            }
            Self::NoTime => {
                f.write_str("packets without a time; they get that of the packet before")
            }
            Self::Version { major } => {
                write!(f, "a section of version {major}, which is not known; read like version 1")
            }
            Self::Compression { message } => write!(f, "decompression stops here: {message}"),
            Self::Malformed(malformed) => malformed.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_warnings_are_kept_and_all_are_counted() {
        let mut warnings = Warnings::default();
        for record in 1..=1000 {
            warnings.push(record, record * 60, Problem::NoTime);
        }
        assert_eq!((warnings.count(), warnings.listed().len()), (1000, KEPT));
        assert_eq!(
            warnings.listed()[1].to_string(),
            "record 2, byte 120: packets without a time; they get that of the packet before"
        );
    }
}
