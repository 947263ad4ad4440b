//! The version of IP that a scenario is played over, and the lab's addresses in it.
//!
//! Hosts on the wire have numbers: `10.77.0.N` is `fd77::N` over IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::AddressFamily;
use serde::{Deserialize, Serialize};

/// The version of IP that a scenario is played over.
///
/// The kernel's rules for handshakes are the same for both, but for what an ICMP error does to a request
/// (net/ipv4/tcp_ipv4.c `tcp_v4_err`, net/ipv6/tcp_ipv6.c `tcp_v6_err`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpVersion {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

impl IpVersion {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The name of it: `IPv4`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The address that has the same place in a lab over IPv4: `127.0.0.1` for `::1`. None if the lab has
    /// no such address.
    #[must_use]
    pub fn in_ipv4(self, address: IpAddr) -> Option<IpAddr> {
        let ipv4 = Self::V4;
        if let Some(host) = self.host(address) {
            return Some(ipv4.on_wire(host));
        }
        let others: [fn(Self) -> IpAddr; 2] = [Self::loopback, Self::unroutable];
        others.into_iter().find(|of| of(self) == address).map(|of| of(ipv4))
    }

    /// Its sockets.
    pub(crate) const fn family(self) -> AddressFamily {
        match self {
            Self::V4 => AddressFamily::INET,
            Self::V6 => AddressFamily::INET6,
        }
    }

    /// The address that listeners are bound to.
    pub(crate) const fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }

    pub(crate) const fn loopback(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Self::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        }
    }

    /// The address of this host on the wire.
    pub(crate) const fn near(self) -> IpAddr {
        self.on_wire(1)
    }

    /// A port of this host, as peers beyond the wire reach it.
    pub(crate) const fn server(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.near(), port)
    }

    /// The address at which the two ends of the wire see each other.
    pub(crate) const fn far(self) -> IpAddr {
        self.on_wire(2)
    }

    /// The address of a host on the wire.
    pub(crate) const fn on_wire(self, host: u8) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::new(10, 77, 0, host)),
            Self::V6 => IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host as u16)),
        }
    }

    /// The host on the wire that has an address.
    pub(crate) fn host(self, address: IpAddr) -> Option<u8> {
        let [.., host] = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        (self.on_wire(host) == address).then_some(host)
    }

    /// An address to which there is no route: of the networks of the documentation (RFC 5737,
    /// RFC 3849).
    pub(crate) const fn unroutable(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
            Self::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_its_address_and_nobody_else_has_it() {
        for ip in IpVersion::ALL {
            assert_eq!(ip.host(ip.on_wire(200)), Some(200));
            assert_eq!(ip.host(ip.unroutable()), None);
            assert_eq!(ip.host(ip.loopback()), None);
        }
        assert_eq!(IpVersion::V6.host(IpVersion::V4.near()), None);
        assert_eq!(IpVersion::V6.in_ipv4(IpVersion::V6.loopback()), Some(IpVersion::V4.loopback()));
        assert_eq!(IpVersion::V6.in_ipv4(IpVersion::V6.far()), Some(IpVersion::V4.far()));
        assert_eq!(IpVersion::V6.in_ipv4(IpVersion::V4.far()), None);
        // The address that MLD reports are sent to.
        let reports = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16));
        assert_eq!(IpVersion::V6.host(reports), None);
    }
}
