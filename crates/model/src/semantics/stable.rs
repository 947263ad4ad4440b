//! Late releases of stable branches, from the first one that was read on. What came to a branch between
//! two releases that were read came with one that is not known.

use crate::{KernelVersion, Vendor};

pub(super) const fn late_5_10(v: KernelVersion) -> bool {
    is_late(v, (5, 10, 262))
}

pub(super) const fn late_6_1(v: KernelVersion) -> bool {
    is_late(v, (6, 1, 192))
}

pub(super) const fn late_6_12(v: KernelVersion) -> bool {
    is_late(v, (6, 12, 117))
}

const fn is_late(v: KernelVersion, (major, minor, patch): (u16, u16, u16)) -> bool {
    matches!(v.vendor, Vendor::Vanilla) && v.major == major && v.minor == minor && v.patch >= patch
}
