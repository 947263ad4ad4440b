//! One mixing function for everything that the kernel hashes with a secret: initial sequence numbers,
//! cookies, the choice within a SO_REUSEPORT group, where a port search begins. The same secret gives
//! the same model run.

use std::net::SocketAddrV4;

/// The finaliser of SplitMix64: every bit of the input reaches every bit of the output.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A cheap hash (Fibonacci hashing): only its high bits depend on the whole input, so they are it.
pub(crate) const fn scattered(value: u64) -> u32 {
    low(value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)
}

/// A hash of two addresses with their ports.
pub(crate) fn of_pair(secret: u64, local: SocketAddrV4, peer: SocketAddrV4) -> u64 {
    let address = |end: SocketAddrV4| u64::from(end.ip().to_bits()) << 16 | u64::from(end.port());
    mix(mix(secret ^ address(local)) ^ address(peer))
}

/// The low half, for 32-bit quantities.
pub(crate) const fn low(hash: u64) -> u32 {
    (hash & 0xffff_ffff) as u32
}
