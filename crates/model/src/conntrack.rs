//! Connection tracking: the table that a stateful firewall or NAT keeps of connections, and what
//! becomes of packets when it is full.
//!
//! It stands before TCP: a packet that needs a new entry and gets none is dropped, and no TCP counter
//! moves (net/netfilter/nf_conntrack_core.c). The states are those of `tcp_conntracks`
//! (nf_conntrack_proto_tcp.c), with that file's time-outs.
//!
//! What it leaves out, with the consequence: an expired entry goes at once, where the kernel's collector
//! may take a minute; entries of closing connections are never taken before their time, as that
//! collector does since 4.12 once the table was full; NAT and races of equal packets, so that an
//! insertion never fails (`insert_failed` stays 0).

use std::collections::BTreeSet;
use std::net::SocketAddrV4;

use crate::tcp::hash::{mix, of_pair};
use crate::tcp::slab::Slab;
use crate::tcp::{Flags, Segment};
use crate::{Span, Time};

/// Buckets in which `early_drop` looks for an entry to drop (`NF_CT_EVICTION_RANGE`).
const EVICTION_RANGE: usize = 8;

/// Buckets at the most.
const BUCKETS_MOST: u32 = 65_536;

/// The table of one network namespace.
#[derive(Clone, Debug)]
pub struct ConntrackTable {
    max: u32,
    secret: u64,
    entries: Slab<Entry>,
    /// Entries by the hash of each of their two directions.
    buckets: Vec<Vec<u32>>,
    by_expiry: BTreeSet<(Time, u32)>,
    counts: ConntrackCounts,
}

/// What `/proc/net/stat/nf_conntrack` counts of a table that is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConntrackCounts {
    /// Packets dropped because no entry could be made (`drop`).
    pub drops: u64,
    /// Entries dropped to make room for others (`early_drop`).
    pub early_drops: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Who sent the first packet, and to whom.
    original: (SocketAddrV4, SocketAddrV4),
    state: State,
    replied: bool,
    /// It is not dropped to make room (`IPS_ASSURED`): both ends have shown that they mean it.
    assured: bool,
    expires: Time,
}

/// `enum tcp_conntrack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SynSent,
    SynRecv,
    Established,
    FinWait,
    CloseWait,
    LastAck,
    TimeWait,
    Close,
}

impl ConntrackTable {
    /// An empty table with room for so many entries (`nf_conntrack_max`; 0 means no limit), and as
    /// many buckets.
    #[must_use]
    pub fn new(max: u32, secret: u64) -> Self {
        Self {
            max,
            secret,
            entries: Slab::new(),
            buckets: vec![Vec::new(); max.clamp(1, BUCKETS_MOST) as usize],
            by_expiry: BTreeSet::new(),
            counts: ConntrackCounts::default(),
        }
    }

    /// Entries now (`nf_conntrack_count`).
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Entries that fit.
    #[must_use]
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// What was lost so far.
    #[must_use]
    pub const fn counts(&self) -> ConntrackCounts {
        self.counts
    }

    /// A segment passes, in either direction (`nf_conntrack_in`). False if it is dropped.
    #[must_use]
    pub fn on_segment(&mut self, now: Time, segment: &Segment) -> bool {
        self.expire(now);
        if let Some(entry) = self.find(segment) {
            self.follow(now, entry, segment);
            return true;
        }
        // The entry is allocated before the protocol says whether the packet can begin one.
        if !self.has_room_for(segment) {
            self.counts.drops += 1;
            return false;
        }
        if let Some(state) = State::first(segment.flags) {
            self.insert(now, segment, state);
        }
        true
    }

    fn find(&self, segment: &Segment) -> Option<u32> {
        let bucket = &self.buckets[self.bucket(segment.from, segment.to)];
        let is_its = |&entry: &u32| {
            let ends = self.entries.get(entry).map(|entry| entry.original);
            ends == Some((segment.from, segment.to)) || ends == Some((segment.to, segment.from))
        };
        bucket.iter().copied().find(is_its)
    }

    /// `__nf_conntrack_alloc`: above the maximum, another entry must go.
    fn has_room_for(&mut self, segment: &Segment) -> bool {
        let full = self.max > 0 && self.entries.len() >= self.max as usize;
        !full || self.early_drop(segment)
    }

    /// Drops the entries without assurance of the first bucket that has some (`early_drop`).
    fn early_drop(&mut self, segment: &Segment) -> bool {
        let first = self.bucket(segment.from, segment.to);
        for at in first..first + EVICTION_RANGE {
            let bucket = &self.buckets[at % self.buckets.len()];
            let loose = |&entry: &u32| self.entries.get(entry).is_some_and(|entry| !entry.assured);
            let victims: BTreeSet<u32> = bucket.iter().copied().filter(loose).collect();
            if !victims.is_empty() {
                self.counts.early_drops += victims.len() as u64;
                victims.into_iter().for_each(|victim| self.remove(victim));
                return true;
            }
        }
        false
    }

    fn insert(&mut self, now: Time, segment: &Segment, state: State) {
        let expires = now + state.timeout();
        let original = (segment.from, segment.to);
        let (replied, assured) = (false, false);
        let entry = self.entries.insert(Entry { original, state, replied, assured, expires });
        self.by_expiry.insert((expires, entry));
        for bucket in self.buckets_of(original) {
            self.buckets[bucket].push(entry);
        }
    }

    /// `nf_conntrack_tcp_packet`.
    fn follow(&mut self, now: Time, number: u32, segment: &Segment) {
        let Some(entry) = self.entries.get_mut(number) else { return };
        let is_reply = entry.original.0 != segment.from;
        if segment.flags.has(Flags::RST) && !entry.replied && !is_reply {
            return self.remove(number);
        }
        entry.replied |= is_reply;
        let Some(next) = entry.state.after(is_reply, segment.flags) else { return };
        let meant = matches!(entry.state, State::SynRecv | State::Established);
        entry.assured |= entry.replied && meant && next == State::Established;
        entry.state = next;
        let before = entry.expires;
        entry.expires = now + next.timeout();
        let after = entry.expires;
        self.by_expiry.remove(&(before, number));
        self.by_expiry.insert((after, number));
    }

    fn expire(&mut self, now: Time) {
        while let Some(&(at, entry)) = self.by_expiry.first()
            && at <= now
        {
            self.remove(entry);
        }
    }

    fn remove(&mut self, number: u32) {
        let Some(entry) = self.entries.remove(number) else { return };
        self.by_expiry.remove(&(entry.expires, number));
        for bucket in self.buckets_of(entry.original) {
            self.buckets[bucket].retain(|&other| other != number);
        }
    }

    fn buckets_of(&self, (from, to): (SocketAddrV4, SocketAddrV4)) -> BTreeSet<usize> {
        [self.bucket(from, to), self.bucket(to, from)].into()
    }

    fn bucket(&self, from: SocketAddrV4, to: SocketAddrV4) -> usize {
        let hash = mix(of_pair(self.secret, from, to));
        usize::try_from(hash % self.buckets.len() as u64).unwrap_or(0)
    }
}

impl State {
    /// What a packet of no known connection begins; none if it is invalid, and passes untracked. With
    /// `nf_conntrack_tcp_loose`, which is the default, an ACK takes up a connection in the middle.
    const fn first(flags: Flags) -> Option<Self> {
        if flags.has(Flags::RST) || flags.has(Flags::FIN) {
            None
        } else if flags.has(Flags::SYN) {
            if flags.has(Flags::ACK) { None } else { Some(Self::SynSent) }
        } else {
            Some(Self::Established)
        }
    }

    /// The next state (`tcp_conntracks`); none if the packet is invalid or ignored, and changes
    /// nothing.
    const fn after(self, is_reply: bool, flags: Flags) -> Option<Self> {
        if flags.has(Flags::RST) {
            return Some(Self::Close);
        }
        if flags.has(Flags::SYN) {
            return match (self, is_reply, flags.has(Flags::ACK)) {
                (Self::SynSent, true, true) => Some(Self::SynRecv),
                (Self::SynSent | Self::TimeWait | Self::Close, false, false) => Some(Self::SynSent),
                (Self::SynRecv, false, false) => Some(Self::SynRecv),
                _ => None,
            };
        }
        if flags.has(Flags::FIN) {
            return match self {
                Self::SynSent => None,
                Self::SynRecv | Self::Established => Some(Self::FinWait),
                Self::FinWait | Self::CloseWait | Self::LastAck => Some(Self::LastAck),
                Self::TimeWait | Self::Close => Some(self),
            };
        }
        match self {
            Self::SynSent => None,
            Self::SynRecv if is_reply => Some(Self::SynRecv),
            Self::SynRecv | Self::Established => Some(Self::Established),
            Self::FinWait | Self::CloseWait => Some(Self::CloseWait),
            Self::LastAck | Self::TimeWait => Some(Self::TimeWait),
            Self::Close => Some(Self::Close),
        }
    }

    /// `tcp_timeouts`, the defaults of `nf_conntrack_tcp_timeout_*`.
    const fn timeout(self) -> Span {
        Span::from_secs(match self {
            Self::SynSent | Self::FinWait | Self::TimeWait => 120,
            Self::SynRecv | Self::CloseWait => 60,
            Self::Established => 5 * 24 * 3600,
            Self::LastAck => 30,
            Self::Close => 10,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::Seq;

    const SYN: Flags = Flags::SYN;
    const ACK: Flags = Flags::ACK;

    fn end(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new([10, 0, 0, 1].into(), port)
    }

    /// A segment of the client with this port, or the answer to it.
    fn segment(port: u16, is_reply: bool, flags: Flags) -> Segment {
        let (client, server) = (end(port), end(80));
        let (from, to) = if is_reply { (server, client) } else { (client, server) };
        let (seq, ack) = (Seq(1), Seq(1));
        Segment { from, to, seq, ack, flags, payload: 0, timestamps: None }
    }

    fn table(max: u32) -> ConntrackTable {
        ConntrackTable::new(max, 7)
    }

    /// Lets segments pass one second after another; each as whether it is a reply, and its flags.
    fn pass(table: &mut ConntrackTable, port: u16, segments: &[(bool, Flags)]) -> Vec<bool> {
        let segments = (1..).zip(segments);
        segments
            .map(|(second, &(is_reply, flags))| {
                let now = Time::ZERO + Span::from_secs(second);
                table.on_segment(now, &segment(port, is_reply, flags))
            })
            .collect()
    }

    fn connect(table: &mut ConntrackTable, port: u16) -> bool {
        let handshake = [(false, SYN), (true, SYN | ACK), (false, ACK), (true, ACK)];
        pass(table, port, &handshake).iter().all(|&passed| passed)
    }

    fn states(table: &ConntrackTable) -> Vec<(State, bool)> {
        table.entries.iter().map(|(_, entry)| (entry.state, entry.assured)).collect()
    }

    #[test]
    fn connections_that_both_ends_mean_are_not_dropped_for_new_ones() {
        let mut full = table(4);
        assert!((1..=4).all(|port| connect(&mut full, port)));
        assert_eq!(pass(&mut full, 9, &[(false, SYN), (false, SYN)]), [false, false]);
        assert_eq!(full.counts(), ConntrackCounts { drops: 2, early_drops: 0 });
        assert_eq!(full.count(), 4);
        assert_eq!(pass(&mut full, 1, &[(false, ACK)]), [true], "the old ones go on");
    }

    #[test]
    fn handshakes_that_nobody_answered_make_room() {
        // All eight buckets are in reach.
        let mut full = table(8);
        assert!((1..=8).all(|port| pass(&mut full, port, &[(false, SYN)]) == [true]));
        assert!(connect(&mut full, 20));
        let ConntrackCounts { drops, early_drops } = full.counts();
        assert_eq!((drops, early_drops >= 1), (0, true));
        assert_eq!(full.count() as u64, 8 + 1 - early_drops);
    }

    #[test]
    fn a_packet_that_can_begin_nothing_passes_untracked_if_there_is_room() {
        for flags in [Flags::RST, Flags::FIN | ACK, SYN | ACK] {
            let mut empty = table(1);
            assert_eq!(pass(&mut empty, 1, &[(true, flags)]), [true]);
            assert_eq!(empty.count(), 0);
            assert!(connect(&mut empty, 2));
            assert_eq!(pass(&mut empty, 1, &[(true, flags)]), [false], "{flags}");
        }
    }

    #[test]
    fn states_follow_the_packets_of_both_directions() {
        let (to, back) = (false, true);
        let handshake = [(to, SYN), (back, SYN | ACK), (to, ACK)];
        let fin = Flags::FIN | ACK;
        for (rest, expected) in [
            (vec![], (State::Established, true)),
            (vec![(to, fin)], (State::FinWait, true)),
            (vec![(to, fin), (back, ACK)], (State::CloseWait, true)),
            (vec![(to, fin), (back, ACK), (back, fin)], (State::LastAck, true)),
            (vec![(to, fin), (back, fin), (to, ACK)], (State::TimeWait, true)),
            (vec![(back, Flags::RST)], (State::Close, true)),
        ] {
            let mut table = table(4);
            let packets = [&handshake[..], &rest].concat();
            assert!(pass(&mut table, 1, &packets).iter().all(|&passed| passed));
            assert_eq!(states(&table), [expected], "{rest:?}");
        }
    }

    #[test]
    fn an_entry_goes_with_its_time_and_a_reset_takes_one_that_was_never_answered() {
        let mut table = table(4);
        pass(&mut table, 1, &[(false, SYN)]);
        pass(&mut table, 2, &[(false, SYN), (false, Flags::RST)]);
        assert_eq!(states(&table), [(State::SynSent, false)]);
        let later = Time::ZERO + Span::from_secs(1 + 120);
        assert!(table.on_segment(later, &segment(3, true, Flags::RST)));
        assert_eq!(table.count(), 0);
    }

    #[test]
    fn zero_means_no_limit() {
        let mut unlimited = table(0);
        assert!((1..=50).all(|port| connect(&mut unlimited, port)));
        assert_eq!(unlimited.count(), 50);
    }
}
