//! How many different clients there were, in memory that does not grow with them.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

/// So many are counted one by one.
const EXACT: usize = 64;

/// Registers of the estimate, a power of two: it is off by some 3 %.
const REGISTERS: usize = 1024;

/// Different addresses: the first ones are kept, many are estimated (HyperLogLog, Flajolet 2007).
#[derive(Clone, Debug)]
pub(super) enum Crowd {
    /// These.
    Few(BTreeSet<IpAddr>),
    /// For each share of the hashes, the most leading zeros seen in one, plus one.
    Many(Box<[u8; REGISTERS]>),
}

impl Default for Crowd {
    fn default() -> Self {
        Self::Few(BTreeSet::new())
    }
}

impl Crowd {
    /// Counts an address, once.
    pub(super) fn add(&mut self, address: IpAddr) {
        match self {
            Self::Few(addresses) => {
                addresses.insert(address);
                if addresses.len() > EXACT {
                    let mut registers = Box::new([0; REGISTERS]);
                    addresses.iter().for_each(|address| note(&mut registers, address));
                    *self = Self::Many(registers);
                }
            }
            Self::Many(registers) => note(registers, &address),
        }
    }

    /// How many there were, about.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Few(addresses) => addresses.len() as u64,
            Self::Many(registers) => estimate(registers),
        }
    }
}

fn note(registers: &mut [u8; REGISTERS], address: &IpAddr) {
    let mut hasher = DefaultHasher::new();
    address.hash(&mut hasher);
    let hash = hasher.finish();
    let register = usize::try_from(hash % REGISTERS as u64).unwrap_or(0);
    let rest = hash / REGISTERS as u64;
    // The ten bits above are zero now.
    let rank = u8::try_from(rest.leading_zeros() - REGISTERS.ilog2() + 1).unwrap_or(u8::MAX);
    registers[register] = registers[register].max(rank);
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate within 3 %, not negative"
)]
fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let m = REGISTERS as f64;
    let sum: f64 = registers.iter().map(|&rank| 0.5_f64.powi(i32::from(rank))).sum();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
    let empty = registers.iter().filter(|&&rank| rank == 0).count();
    // Where registers are still empty, their share says more.
    let count = if raw <= 2.5 * m && empty > 0 { m * (m / empty as f64).ln() } else { raw };
    count.round() as u64
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn few_are_counted_and_many_are_estimated() {
        for many in [0_u32, 1, 64, 65, 1_000, 10_000, 200_000] {
            let mut crowd = Crowd::default();
            for n in (0..many).chain(0..many) {
                crowd.add(Ipv4Addr::from(0x0a00_0000 + n).into());
            }
            let off = crowd.count().abs_diff(u64::from(many));
            assert!(off <= if many <= 64 { 0 } else { u64::from(many) / 10 }, "{many}: off by {off}");
        }
    }
}
