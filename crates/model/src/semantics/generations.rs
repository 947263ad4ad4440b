//! The kernels whose rules differ, oldest first.

use crate::{KernelVersion, Vendor};

/// A kernel that begins a generation: it differs from the one before in at least one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// A release that belongs to it.
    pub kernel: KernelVersion,
    /// What people call it: `3.10.4`, `RHEL 7`.
    pub name: &'static str,
}

/// One release per generation, kernel.org's in order, each vendor's behind the release that it is
/// built from.
pub const GENERATIONS: &[Generation] = &[
    vanilla(2, 6, 32, "2.6.32"),
    rhel(6, (2, 6, 32)),
    vanilla(3, 0, 0, "3.0"),
    vanilla(3, 1, 0, "3.1"),
    vanilla(3, 6, 0, "3.6"),
    vanilla(3, 10, 4, "3.10.4"),
    vanilla(3, 10, 65, "3.10.65"),
    rhel(7, (3, 10, 0)),
    vanilla(3, 13, 0, "3.13"),
    vanilla(3, 16, 0, "3.16"),
    vanilla(4, 0, 0, "4.0"),
    vanilla(4, 1, 0, "4.1"),
    vanilla(4, 2, 0, "4.2"),
    vanilla(4, 4, 0, "4.4"),
    vanilla(4, 9, 0, "4.9"),
    vanilla(4, 10, 0, "4.10"),
    vanilla(4, 12, 0, "4.12"),
    vanilla(4, 15, 0, "4.15"),
    vanilla(4, 18, 0, "4.18"),
    rhel(8, (4, 18, 0)),
    vanilla(4, 20, 0, "4.20"),
    vanilla(5, 4, 0, "5.4"),
    vanilla(5, 10, 198, "5.10"),
    vanilla(5, 10, 262, "5.10.262"),
    vanilla(5, 12, 0, "5.12"),
    vanilla(5, 14, 0, "5.14"),
    vanilla(5, 15, 135, "5.15"),
    vanilla(5, 18, 0, "5.18"),
    vanilla(6, 1, 192, "6.1.192"),
    vanilla(6, 5, 0, "6.5"),
    vanilla(6, 11, 0, "6.11"),
    vanilla(6, 12, 117, "6.12.117"),
    vanilla(6, 13, 0, "6.13"),
    vanilla(6, 14, 0, "6.14"),
    vanilla(6, 15, 0, "6.15"),
    vanilla(6, 19, 0, "6.19"),
];

const fn vanilla(major: u16, minor: u16, patch: u16, name: &'static str) -> Generation {
    Generation { kernel: KernelVersion { major, minor, patch, vendor: Vendor::Vanilla }, name }
}

const fn rhel(release: u8, (major, minor, patch): (u16, u16, u16)) -> Generation {
    let name = match release {
        6 => "RHEL 6",
        7 => "RHEL 7",
        _ => "RHEL 8",
    };
    Generation {
        kernel: KernelVersion { major, minor, patch, vendor: Vendor::Rhel(release) },
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Semantics;

    #[test]
    fn each_generation_differs_from_the_one_before() {
        for pair in GENERATIONS.windows(2) {
            let [before, after] = [pair[0].kernel, pair[1].kernel].map(Semantics::of);
            // RHEL 8 follows 4.18 in everything that the handshake needs.
            if pair[1].name != "RHEL 8" {
                assert_ne!(before, after, "{} and {}", pair[0].name, pair[1].name);
            }
        }
    }

    #[test]
    fn generations_stand_in_the_order_of_their_releases() {
        let number = |g: &Generation| (g.kernel.major, g.kernel.minor);
        assert!(GENERATIONS.is_sorted_by_key(number));
    }
}
