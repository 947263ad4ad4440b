//! What a pcapng time stamp counts: the option `if_tsresol`.

/// Units of a time stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// A unit is so many nanoseconds.
    Nanoseconds(u64),
    /// So many units are a nanosecond.
    PerNanosecond(u64),
    /// 2 to so many are a second.
    BinaryFraction(u8),
}

impl Resolution {
    /// The usual one.
    pub(super) const MICROSECONDS: Self = Self::Nanoseconds(1000);

    /// Of the option's byte; none if its unit is finer than can be counted in 64 bits.
    pub(super) fn of(byte: u8) -> Option<Self> {
        let exponent = byte & 0x7f;
        if byte & 0x80 != 0 {
            return (exponent < 64).then_some(Self::BinaryFraction(exponent));
        }
        match exponent {
            0..=9 => Some(Self::Nanoseconds(10_u64.pow(u32::from(9 - exponent)))),
            10..=19 => Some(Self::PerNanosecond(10_u64.pow(u32::from(exponent - 9)))),
            _ => None,
        }
    }

    /// Nanoseconds since 1970 of a time stamp; the farthest that can be told if it is farther.
    #[inline]
    pub(super) fn time_ns(self, stamp: u64, offset_s: i64) -> i64 {
        let ns = match self {
            Self::Nanoseconds(unit) => stamp.checked_mul(unit),
            Self::PerNanosecond(units) => Some(stamp / units),
            Self::BinaryFraction(exponent) => {
                u64::try_from((u128::from(stamp) * 1_000_000_000) >> exponent).ok()
            }
        };
        let ns = ns.and_then(|ns| i64::try_from(ns).ok()).unwrap_or(i64::MAX);
        ns.saturating_add(offset_s.saturating_mul(1_000_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_ten_or_of_two() {
        let cases = [
            (6, 1_700_000_000_000_001, 1_700_000_000_000_001_000),
            (9, 1_700_000_000_000_000_001, 1_700_000_000_000_000_001),
            (0, 1_700_000_000, 1_700_000_000_000_000_000),
            (3, 1_700_000_000_001, 1_700_000_000_001_000_000),
            (12, 1_700_000_000_999, 1_700_000_000),
            (0x80 | 1, 3, 1_500_000_000),
            (0x80 | 32, (7 << 32) | (1 << 31), 7_500_000_000),
            (9, u64::MAX, i64::MAX),
            (0, u64::MAX, i64::MAX),
        ];
        for (byte, stamp, expected) in cases {
            let resolution = Resolution::of(byte).expect("a resolution");
            assert_eq!(resolution.time_ns(stamp, 0), expected, "{resolution:?}");
        }
        assert_eq!((Resolution::of(20), Resolution::of(0x80 | 64)), (None, None));
        assert_eq!(Resolution::MICROSECONDS.time_ns(5, -1), 5_000 - 1_000_000_000);
    }
}
