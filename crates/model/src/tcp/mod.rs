//! TCP of one network namespace, from the SYN to the end of a connection, as a state machine.
//!
//! [`Stack`] is what a kernel does between its network devices and its programs: segments and system
//! calls go in with the time, [`Effects`] come out, and [`Stack::next_deadline`] says when it wants
//! to be called again. It follows the kernel's decisions, order of tests and counters for everything
//! about a handshake: both queues, SYN-ACK timers, cookies, deferral, overflow, the connecting side.
//!
//! What it leaves out, with the consequence: windows, congestion and segmentation (data is a number
//! of bytes that arrive at once), out-of-order data (it must be sent again), simultaneous open, Fast
//! Open and MPTCP (such handshakes do not occur), IPv6 (its rules are the same), slack of the
//! kernel's timers (real ones fire up to 2.5 % late), delayed ACKs of data (they come at once).
//!
//! Read `syn.rs` for what happens to a SYN, `third_ack.rs` for what happens to its ACK.

mod closing;
mod connect;
mod connected;
mod cookie;
mod effects;
pub(crate) mod hash;
mod listener;
mod listening;
mod poll_clock;
mod port_search;
mod request;
mod retransmit;
mod segment;
pub(crate) mod slab;
mod socket;
mod syn;
mod syn_ack_timer;
mod table;
mod third_ack;
mod timer_queue;
mod unreachable;
mod views;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

pub use connect::{Connect, ConnectOptions};
pub use effects::{ConnectError, Effects, Event};
pub use listener::{ListenOptions, ListenerView, secs_to_timeouts};
pub use listening::AddressInUse;
pub use request::{SynAckFate, SynAckTimeout, may_be_deferred};
pub use segment::{Flags, Segment, Seq, Timestamps};
pub use socket::SocketView;
pub use syn::{Admission, SynArrival};
pub use timer_queue::TimerQueue;
pub use unreachable::Unreachable;

use listener::Listener;
use port_search::Ports;
use request::Request;
use slab::Slab;
use socket::Socket;
use table::{ConnectionTable, Entry};

use crate::{Counter, CounterSet, DropReason, Semantics, Sysctls, Time};

/// A listening socket; its number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u32);

/// A full socket; its number is used again after it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u32);

/// TCP of one network namespace; see the module's text.
#[derive(Clone, Debug)]
pub struct Stack {
    semantics: Semantics,
    sysctls: Sysctls,
    counters: CounterSet,
    dropped: [u64; DropReason::ALL.len()],
    secret: u64,
    listeners: Vec<Option<Listener>>,
    /// The SO_REUSEPORT group of each listener that there ever was, by its address.
    groups: Vec<Option<SocketAddrV4>>,
    by_port: BTreeMap<u16, Vec<u32>>,
    requests: Slab<Request>,
    sockets: Slab<Socket>,
    /// Full sockets that there ever were.
    serials: u32,
    /// Sockets that count for `tcp_max_tw_buckets`.
    buckets: u32,
    table: ConnectionTable,
    timers: TimerQueue<Timer>,
    /// Timers of one moment, while they fire.
    due: Vec<Timer>,
    ports: Ports,
    /// Peers whose round trip is known (`tcp_metrics`).
    proven: BTreeSet<Ipv4Addr>,
    unroutable: BTreeSet<Ipv4Addr>,
    /// The second, and the challenge ACKs sent in it.
    challenges: (u64, u32),
}

/// Whose timer it is. It fires only if it is still the one that its owner waits for.
#[derive(Clone, Copy, Debug)]
enum Timer {
    Request(u32),
    Socket(u32),
}

impl Stack {
    /// A namespace of this kernel. Everything that a kernel chooses at random follows from `secret`.
    #[must_use]
    pub fn new(semantics: Semantics, sysctls: Sysctls, secret: u64) -> Self {
        Self {
            ports: Ports::new(semantics.ports.first_port, secret),
            semantics,
            sysctls,
            counters: CounterSet::default(),
            dropped: [0; DropReason::ALL.len()],
            secret,
            listeners: Vec::new(),
            groups: Vec::new(),
            by_port: BTreeMap::new(),
            requests: Slab::new(),
            sockets: Slab::new(),
            serials: 0,
            buckets: 0,
            table: ConnectionTable::new(secret),
            timers: TimerQueue::new(),
            due: Vec::new(),
            proven: BTreeSet::new(),
            unroutable: BTreeSet::new(),
            challenges: (0, 0),
        }
    }

    /// The kernel's rules.
    #[must_use]
    pub const fn semantics(&self) -> &Semantics {
        &self.semantics
    }

    /// The namespace's settings.
    #[must_use]
    pub const fn sysctls(&self) -> &Sysctls {
        &self.sysctls
    }

    /// The namespace's settings, to change them. Listeners keep what they were opened with.
    #[must_use]
    pub const fn sysctls_mut(&mut self) -> &mut Sysctls {
        &mut self.sysctls
    }

    /// The namespace's counters.
    #[must_use]
    pub const fn counters(&self) -> &CounterSet {
        &self.counters
    }

    /// How many segments came to nothing for this reason.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// From now on there is no route to this address.
    pub fn lose_route(&mut self, address: Ipv4Addr) {
        self.unroutable.insert(address);
    }

    /// Takes a segment from the network. Returns why it came to nothing, if it did.
    pub fn on_segment(
        &mut self,
        now: Time,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        self.counters.count(Counter::InSegs);
        let reason = self.deliver(now, segment, effects)?;
        self.count_drop(reason);
        Some(reason)
    }

    fn count_drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
        for counter in reason.counters(&self.semantics) {
            self.counters.count(counter);
        }
    }

    /// Fires every timer that is due.
    pub fn on_timer(&mut self, now: Time, effects: &mut Effects) {
        let mut due = std::mem::take(&mut self.due);
        while let Some((at, first)) = self.timers.take_due(now) {
            due.push(first);
            while let Some((_, timer)) = self.timers.take_due(at) {
                due.push(timer);
            }
            if self.semantics.timers.last_set_fires_first {
                due.reverse();
            }
            for timer in due.drain(..) {
                match timer {
                    Timer::Request(index) => self.on_request_timer(at, index, effects),
                    Timer::Socket(index) => self.on_socket_timer(at, SocketId(index), effects),
                }
            }
        }
        self.due = due;
    }

    /// When [`Self::on_timer`] is to be called next.
    #[must_use]
    pub fn next_deadline(&mut self) -> Option<Time> {
        let Self { timers, requests, sockets, .. } = self;
        timers.forget_while(|at, timer| match *timer {
            Timer::Request(index) => requests.get(index).is_none_or(|request| request.timer != at),
            Timer::Socket(index) => sockets.get(index).is_none_or(|socket| socket.timer != at),
        });
        timers.next_at()
    }

    fn deliver(
        &mut self,
        now: Time,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        match self.find(segment.to, segment.from) {
            Some(Entry::Socket(index)) => {
                self.on_socket_segment(now, SocketId(index), segment, effects)
            }
            Some(Entry::Request(index)) => self.on_request_segment(now, index, segment, effects),
            None => self.on_unknown(now, segment, None, effects),
        }
    }

    /// A segment that belongs to no connection: for a listener, or for nobody. `isn` is the first
    /// sequence number that follows a connection in TIME_WAIT.
    fn on_unknown(
        &mut self,
        now: Time,
        segment: &Segment,
        isn: Option<Seq>,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        match self.listener_for(segment) {
            Some(listener) if segment.is_syn() && !segment.flags.has(Flags::RST) => {
                self.on_syn(now, listener, segment, isn, effects)
            }
            Some(listener) if segment.flags.has(Flags::ACK) && !segment.flags.has(Flags::SYN) => {
                self.on_unasked_ack(now, listener, segment, effects)
            }
            _ if segment.flags.has(Flags::RST) => Some(DropReason::ResetNoSocket),
            _ => {
                self.refuse_with_reset(segment, effects);
                Some(DropReason::NoSocket)
            }
        }
    }

    fn find(&self, local: SocketAddrV4, peer: SocketAddrV4) -> Option<Entry> {
        self.table.find(local, peer, |entry| match entry {
            Entry::Request(index) => {
                let request = self.requests.get(index);
                request.is_some_and(|request| (request.local, request.peer) == (local, peer))
            }
            Entry::Socket(index) => {
                let socket = self.sockets.get(index);
                socket.is_some_and(|socket| (socket.local, socket.peer) == (local, peer))
            }
        })
    }

    const fn next_serial(&mut self) -> u32 {
        self.serials = self.serials.wrapping_add(1);
        self.serials
    }

    /// The kernel's timestamp clock, in milliseconds.
    const fn clock(now: Time) -> u32 {
        (now.as_millis() & 0xffff_ffff) as u32
    }

    /// Sends a segment that counts as sent.
    fn send(&mut self, segment: Segment, effects: &mut Effects) {
        self.counters.count(Counter::OutSegs);
        effects.segments.push(segment);
    }

    /// The RST that answers a segment for which there is no connection (`tcp_v4_send_reset`).
    fn refuse_with_reset(&mut self, segment: &Segment, effects: &mut Effects) {
        if let Some(reset) = segment.reset() {
            self.counters.count(Counter::OutRsts);
            self.send(reset, effects);
        }
    }
}
