//! A host: its kernel, and what is on its way to it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use halfopen_model::tcp::{Segment, Stack, TimerQueue, Unreachable};
use halfopen_model::{ConntrackTable, KernelVersion, Time};
use halfopen_scenario::Interface;

/// The address of the first server's host on the wire, as in the lab.
pub(crate) const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// The address at which the two ends of the wire see each other, as in the lab.
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// A host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) kernel: KernelVersion,
    pub(crate) address: Ipv4Addr,
    pub(crate) stack: Stack,
    /// Segments that will reach it.
    pub(crate) arriving: TimerQueue<Arriving>,
    /// Its connection-tracking table, if it has one.
    pub(crate) conntrack: Option<ConntrackTable>,
    /// Ports on which a program listens or has listened.
    pub(crate) served: BTreeSet<u16>,
}

/// A segment on its way to a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arriving {
    pub(crate) segment: Segment,
    pub(crate) over: Option<Interface>,
    /// If so, what arrives is an ICMP error about this segment, which the host has sent.
    pub(crate) unreachable: Option<Unreachable>,
}

impl Host {
    /// Whether connection tracking lets a segment pass, as it comes in or goes out.
    pub(crate) fn tracks(&mut self, now: Time, segment: &Segment) -> bool {
        self.conntrack.as_mut().is_none_or(|table| table.on_segment(now, segment))
    }

    pub(crate) fn next_at(&mut self) -> Time {
        let arriving = self.arriving.next_at().unwrap_or(Time::NEVER);
        arriving.min(self.stack.next_deadline().unwrap_or(Time::NEVER))
    }
}

/// What comes out at the other end of the wire: the two ends see each other under one address.
pub(crate) fn swapped(segment: &Segment) -> Segment {
    let swap = |at: SocketAddrV4, address: &Ipv4Addr| SocketAddrV4::new(*address, at.port());
    Segment {
        from: swap(segment.from, segment.to.ip()),
        to: swap(segment.to, segment.from.ip()),
        ..*segment
    }
}
