//! A filter as a tree, and what it says of a segment.

use std::net::{IpAddr, SocketAddr};

use crate::decode::Scopes;

/// A filter that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    Ends(Side, Test),
    /// Over IPv4, else over IPv6.
    Ip {
        v4: bool,
    },
    /// Any segment.
    Tcp,
    Vlan(Option<u16>),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

/// Which end a test is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
    Either,
    Both,
}

/// A question about one end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Net(Net),
    Ports { first: u16, last: u16 },
}

/// Addresses that begin alike; a host is one with all of its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Net {
    pub(super) address: IpAddr,
    pub(super) bits: u8,
}

/// What is asked.
pub(super) struct Subject<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) scope: u32,
    pub(super) scopes: &'a Scopes,
}

impl Expr {
    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Ends(side, test) => match side {
                Side::Source => test.matches(subject.from),
                Side::Destination => test.matches(subject.to),
                Side::Either => test.matches(subject.from) || test.matches(subject.to),
                Side::Both => test.matches(subject.from) && test.matches(subject.to),
            },
            Self::Ip { v4 } => subject.from.is_ipv4() == *v4,
            Self::Tcp => true,
            Self::Vlan(vlan) => subject.scopes.is_in_vlan(subject.scope, *vlan),
            Self::Not(expr) => !expr.matches(subject),
            Self::And(all) => all.iter().all(|expr| expr.matches(subject)),
            Self::Or(any) => any.iter().any(|expr| expr.matches(subject)),
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        match self {
            Self::And(mut all) => {
                all.push(other);
                Self::And(all)
            }
            first => Self::And(vec![first, other]),
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        match self {
            Self::Or(mut any) => {
                any.push(other);
                Self::Or(any)
            }
            first => Self::Or(vec![first, other]),
        }
    }
}

impl Test {
    fn matches(self, end: SocketAddr) -> bool {
        match self {
            Self::Net(net) => net.contains(end.ip()),
            Self::Ports { first, last } => (first..=last).contains(&end.port()),
        }
    }
}

impl Net {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let apart = (a.to_bits() ^ b.to_bits()).leading_zeros();
                apart >= u32::from(self.bits)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let apart = (a.to_bits() ^ b.to_bits()).leading_zeros();
                apart >= u32::from(self.bits)
            }
            _ => false,
        }
    }

    /// Whether no bit is set beyond the prefix.
    pub(super) fn is_clean(self) -> bool {
        match self.address {
            IpAddr::V4(a) => a.to_bits().checked_shl(self.bits.into()).unwrap_or(0) == 0,
            IpAddr::V6(a) => a.to_bits().checked_shl(self.bits.into()).unwrap_or(0) == 0,
        }
    }
}
