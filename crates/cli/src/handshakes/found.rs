//! A handshake as it was found in a capture, and its number there.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use halfopen_evidence::{Crossing, Handshake};

/// The number of a handshake: the record, as other programs count packets, that holds its first
/// segment, and the file that holds the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Number {
    /// The file, from 0 in the order in which they were named.
    pub(crate) file: usize,
    /// The record, from 1.
    pub(crate) record: u64,
}

/// Bits of a record's number that tell records apart; those above them tell files apart while a
/// tracker, which knows no files, follows a handshake.
const RECORD_BITS: u32 = 48;

impl Number {
    /// Of this record of this file.
    pub(crate) const fn new(file: usize, record: u64) -> Self {
        Self { file, record }
    }

    /// As one number.
    pub(crate) const fn packed(self) -> u64 {
        (self.file as u64) << RECORD_BITS | self.record & ((1 << RECORD_BITS) - 1)
    }

    /// From that one number.
    pub(crate) fn unpacked(number: u64) -> Self {
        let file = usize::try_from(number >> RECORD_BITS).unwrap_or(0);
        Self { file, record: number & ((1 << RECORD_BITS) - 1) }
    }
}

impl fmt::Display for Number {
    /// `4711`, or `2:4711` in the second file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.file {
            0 => self.record.to_string(),
            file => format!("{}:{}", file + 1, self.record),
        };
        f.pad(&text)
    }
}

impl FromStr for Number {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim_start_matches('#');
        let (file, record) = text.split_once(':').unwrap_or(("1", text));
        let number = |text: &str| text.parse::<u64>().ok().filter(|&n| n > 0).ok_or(());
        let file = usize::try_from(number(file)? - 1).map_err(|_| ())?;
        Ok(Self { file, record: number(record)? })
    }
}

/// A handshake that was told, with all that other forms of it need.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its number.
    pub(crate) number: Number,
    /// The handshake; its scope is named.
    pub(crate) handshake: Handshake,
    /// What two points say of it together.
    pub(crate) crossing: Option<Box<Crossing>>,
}

impl Borrow<Handshake> for Found {
    fn borrow(&self) -> &Handshake {
        &self.handshake
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for (number, text) in [(Number::new(0, 4711), "4711"), (Number::new(1, 9), "2:9")] {
            assert_eq!((number.to_string().as_str(), text.parse()), (text, Ok(number)));
            assert_eq!(Number::unpacked(number.packed()), number);
        }
        assert_eq!("#12".parse(), Ok(Number::new(0, 12)));
        for text in ["", "0", "0:1", "1:", "a", "10.0.0.1:80", "::1"] {
            assert_eq!(text.parse::<Number>(), Err(()), "{text}");
        }
    }
}
