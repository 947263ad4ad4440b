//! Addresses that begin alike: `10.0.0.0/8`, or a single one.

use std::fmt;
use std::net::IpAddr;

/// Addresses whose first bits are those of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Prefix {
    /// One address. IPv4 in IPv6 form is taken as IPv4.
    pub(super) fn one(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: width(address) }
    }

    /// The addresses that share so many bits with this one; `None` if it has not so many.
    pub(super) fn new(address: IpAddr, bits: u8) -> Option<Self> {
        (bits <= width(address)).then_some(Self { address, bits })
    }

    /// An address, and how many of its bits the others share.
    pub(super) const fn parts(self) -> (IpAddr, u8) {
        (self.address, self.bits)
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let differ = aligned(self.address) ^ aligned(address);
        self.is_ipv4() == address.is_ipv4() && differ.leading_zeros() >= u32::from(self.bits)
    }

    /// Whether it is of IPv4 addresses.
    pub(super) const fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }
}

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The bits of an address with the first one at the top.
fn aligned(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        if self.bits < width(self.address) { write!(f, "/{}", self.bits) } else { Ok(()) }
    }
}
