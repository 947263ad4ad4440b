//! What is known of a flow: facts per end, in 128 bytes. No state machine: each segment adds its facts,
//! in whatever order segments were recorded, and what they mean is said at the end (`verdict`).

use crate::TcpSegment;

use super::key::{End, Key};
use super::lapse::Lapse;
use super::resends::{Resends, Times};
use super::store::{AllResends, NONE};

/// How far apart segments may be recorded in the wrong order.
pub(super) const REORDER_NS: i64 = 5_000_000;

/// A silence after which a segment counts as one that asks whether the other end is still there.
const IDLE_NS: i64 = 5_000_000_000;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 16;

/// Facts about one end. Bits of [`Flow::facts`], the higher end's eight places above the lower's.
pub(super) mod of_end {
    /// A segment of it was seen.
    pub(in super::super) const SEEN: u32 = 1;
    /// Its SYN, without ACK.
    pub(in super::super) const SYN: u32 = 1 << 1;
    /// Its SYN-ACK.
    pub(in super::super) const SYN_ACK: u32 = 1 << 2;
    /// An ACK after its SYN: it has got the other end's.
    pub(in super::super) const ACKED: u32 = 1 << 3;
    /// Data.
    pub(in super::super) const DATA: u32 = 1 << 4;
    /// A FIN.
    pub(in super::super) const FIN: u32 = 1 << 5;
    /// An RST that fits.
    pub(in super::super) const RST: u32 = 1 << 6;
    /// Its initial sequence number is known, or was told by another number.
    pub(in super::super) const ISN: u32 = 1 << 7;
}

/// Facts about the flow. Bits of [`Flow::facts`].
pub(super) mod of_flow {
    /// The higher end is the client.
    pub(in super::super) const CLIENT_IS_HIGHER: u32 = 1 << 16;
    /// The last segment of the client carried data.
    pub(in super::super) const CLIENT_SENT_DATA_LAST: u32 = 1 << 17;
    /// After a silence one end sent something that was not answered yet.
    pub(in super::super) const ASKED: u32 = 1 << 18;
    /// It was the higher end.
    pub(in super::super) const ASKED_BY_HIGHER: u32 = 1 << 19;
    /// It sent data, no probe.
    pub(in super::super) const ASKED_BY_DATA: u32 = 1 << 20;
    /// The first RST was the higher end's.
    pub(in super::super) const RESET_BY_HIGHER: u32 = 1 << 21;
    /// It had no ACK and the sequence number that the other end had acknowledged last: the answer of a
    /// host that has no such connection.
    pub(in super::super) const RESET_IS_BARE: u32 = 1 << 22;
    /// It came from another distance than its sender's other segments.
    pub(in super::super) const RESET_FROM_ELSEWHERE: u32 = 1 << 23;
    /// Its IP ID is far from those of its sender.
    pub(in super::super) const RESET_OF_OTHER_ID: u32 = 1 << 24;
    /// Its sender went on as if it had not sent it.
    pub(in super::super) const RESET_WAS_DISOWNED: u32 = 1 << 25;
    /// It came after data of the server.
    pub(in super::super) const RESET_AFTER_DATA: u32 = 1 << 26;
    /// The TTL of its sender is the RST's, for want of another segment.
    pub(in super::super) const TTL_OF_RESET: u32 = 1 << 27;
    /// The client's timestamp is known.
    pub(in super::super) const TIMESTAMP: u32 = 1 << 28;
    /// The SYN-ACK's options are such as a SYN cookie can keep.
    pub(in super::super) const COOKIE_OPTIONS: u32 = 1 << 29;
    /// An ICMP error said that a SYN did not arrive.
    pub(in super::super) const UNREACHABLE: u32 = 1 << 30;
    /// Its handshake was handed over.
    pub(in super::super) const TOLD: u32 = 1 << 31;
}

/// Bits of [`Flow::marks`].
pub(super) mod mark {
    pub(in super::super) const FAST_OPEN: u16 = 1;
    pub(in super::super) const WRONG_SYN_ACK: u16 = 1 << 1;
    pub(in super::super) const CHALLENGE_ACK: u16 = 1 << 2;
    pub(in super::super) const REUSED_TIME_WAIT: u16 = 1 << 3;
    pub(in super::super) const OLDER_TIMESTAMP: u16 = 1 << 4;
    pub(in super::super) const HALF_OPEN_CLOSED: u16 = 1 << 5;
    pub(in super::super) const CAPTURED_TWICE: u16 = 1 << 6;
    pub(in super::super) const ICMP_ERROR: u16 = 1 << 7;
    pub(in super::super) const TRUNCATED: u16 = 1 << 8;
    /// Above the marks: what the SYN offered. The client's window scale in four bits, 15 for none;
    /// above it whether SACK is permitted.
    pub(in super::super) const OFFER_SHIFT: u32 = 9;
    pub(in super::super) const OFFER: u16 = 0x1f;
    /// Above that: the first RST had exactly the number that its receiver waited for.
    pub(in super::super) const RESET_IS_EXACT: u16 = 1 << 14;
    /// No SYN came after that RST, and the server went on all the same.
    pub(in super::super) const RESET_WAS_IGNORED: u16 = 1 << 15;
}

/// One attempt. The first 64 bytes are all that data of an established connection touches.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Flow {
    pub(super) key: Key,
    /// Behind the last byte that each end has sent.
    pub(super) next: [u32; 2],
    /// When its last segment was seen.
    pub(super) last_ns: i64,
    /// Bits of [`of_end`] and [`of_flow`].
    pub(super) facts: u32,
    /// The client's last timestamp.
    pub(super) timestamp: u32,

    /// When its first segment was seen. All other times count from it.
    pub(super) began_ns: i64,
    pub(super) first_record: u64,
    /// Initial sequence numbers.
    pub(super) isn: [u32; 2],
    /// The first SYN-ACK.
    pub(super) syn_ack_at: Lapse,
    /// The first ACK of each end.
    pub(super) acked_at: [Lapse; 2],
    /// The first data of each end.
    pub(super) data_at: [Lapse; 2],
    /// The first RST.
    pub(super) reset_at: Lapse,
    pub(super) ttl: [u8; 2],
    /// IP IDs of the last SYN or SYN-ACK of each end.
    pub(super) ip_id: [u16; 2],
    /// Bits of [`mark`].
    pub(super) marks: u16,
    /// The number of its [`Resends`], or [`NONE`].
    pub(super) resends: u32,
}

const _: () = assert!(size_of::<Flow>() == 128);

/// What came of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It belongs to the attempt.
    Taken,
    /// It was captured before.
    Duplicate,
    /// Its numbers are not those of the attempt: of an older connection, or forged.
    Stray,
    /// It begins another attempt.
    Another,
}

impl Flow {
    /// A flow of which nothing was seen yet.
    pub(super) fn new(key: Key, segment: &TcpSegment) -> Self {
        Self {
            key,
            last_ns: segment.time_ns,
            began_ns: segment.time_ns,
            first_record: segment.record,
            resends: NONE,
            ..Self::default()
        }
    }

    /// Whether a fact of an end holds.
    #[inline]
    pub(super) const fn has(&self, fact: u32, end: End) -> bool {
        self.facts & fact << (8 * end) != 0
    }

    /// Whether a fact of either end holds.
    pub(super) const fn either(&self, fact: u32) -> bool {
        self.facts & (fact | fact << 8) != 0
    }

    /// Whether a fact of both ends holds.
    pub(super) const fn both(&self, fact: u32) -> bool {
        self.has(fact, 0) && self.has(fact, 1)
    }

    /// Whether a fact of the flow holds.
    pub(super) const fn is(&self, fact: u32) -> bool {
        self.facts & fact != 0
    }

    /// The end that began.
    pub(super) const fn client(&self) -> End {
        (self.facts & of_flow::CLIENT_IS_HIGHER != 0) as End
    }

    /// The other end.
    pub(super) const fn server(&self) -> End {
        1 - self.client()
    }

    /// Whether the beginning was seen.
    pub(super) const fn begun(&self) -> bool {
        self.either(of_end::SYN | of_end::SYN_ACK)
    }

    /// Whether both ends have the other's SYN, as far as both were seen at all.
    pub(super) const fn complete(&self) -> bool {
        self.either(of_end::ACKED)
            && (self.has(of_end::ACKED, 0) || !self.has(of_end::SEEN, 0))
            && (self.has(of_end::ACKED, 1) || !self.has(of_end::SEEN, 1))
    }

    /// Whether it is over.
    pub(super) const fn closed(&self) -> bool {
        self.either(of_end::RST) || self.both(of_end::FIN)
    }

    pub(super) const fn know(&mut self, fact: u32, end: End) {
        self.facts |= fact << (8 * end);
    }

    /// The short path: a segment that can only carry an established connection on. False if it needs
    /// a closer look.
    #[inline]
    pub(super) fn carry_on(&mut self, segment: &TcpSegment, end: End) -> bool {
        let is_plain = segment.flags & (FIN | SYN | RST) == 0;
        let needed = of_end::ACKED | if segment.payload > 0 { of_end::DATA } else { 0 };
        let needed = needed << (8 * end) | of_end::ACKED << (8 * (1 - end));
        let unwanted = (of_end::RST | of_end::RST << 8) | of_flow::ASKED;
        let silent_ns = segment.time_ns.saturating_sub(self.last_ns);
        let in_order = (0..=IDLE_NS).contains(&silent_ns);
        if !is_plain || !in_order || self.facts & (needed | unwanted) != needed {
            return false;
        }
        self.extend(segment, end);
        true
    }

    /// Takes the numbers and the time of a segment in.
    #[inline(always)]
    pub(super) fn extend(&mut self, segment: &TcpSegment, end: End) {
        let control = u32::from(segment.flags & SYN != 0) + u32::from(segment.flags & FIN != 0);
        let behind = segment.seq.wrapping_add(segment.payload).wrapping_add(control);
        if !self.has(of_end::SEEN, end) || is_after(behind, self.next[end]) {
            self.next[end] = behind;
        }
        if let Some(timestamps) = segment.options.timestamps
            && end == self.client()
            && (!self.is(of_flow::TIMESTAMP) || is_after(timestamps.value, self.timestamp))
        {
            self.timestamp = timestamps.value;
            self.facts |= of_flow::TIMESTAMP;
        }
        self.last_ns = self.last_ns.max(segment.time_ns);
        self.know(of_end::SEEN, end);
    }

    /// The time of a segment as counted from the beginning, which is moved if it was recorded too
    /// late.
    pub(super) fn stamp(&mut self, segment: &TcpSegment, resends: &mut AllResends) -> Lapse {
        let early = self.began_ns.saturating_sub(segment.time_ns);
        if early > 0 && early <= REORDER_NS {
            self.began_ns = segment.time_ns;
            self.first_record = segment.record;
            let ns = u64::try_from(early).unwrap_or(0);
            self.delay(ns, resends);
        }
        Lapse::between(self.began_ns, segment.time_ns)
    }

    /// Whether a time lies so near to the beginning that the order of recording says nothing.
    pub(super) const fn is_near(&self, time_ns: i64) -> bool {
        time_ns.saturating_sub(self.began_ns) <= REORDER_NS
            && self.began_ns.saturating_sub(time_ns) <= REORDER_NS
    }

    /// Whether an end can have sent a segment with this number.
    pub(super) const fn sent(&self, seq: u32, end: End) -> bool {
        self.has(of_end::SEEN, end)
            && (self.next[end].wrapping_sub(seq) < 0x4000_0000
                || (self.has(of_end::ISN, end) && seq == self.isn[end]))
    }

    /// What was sent again, to add to it.
    pub(super) fn resends<'a>(&mut self, all: &'a mut AllResends) -> &'a mut Resends {
        let syns = self.either(of_end::SYN).then(|| Times::one(Lapse::default()));
        let syn_acks = self.either(of_end::SYN_ACK).then(|| Times::one(self.syn_ack_at));
        all.of(&mut self.resends, || Resends {
            syns: syns.unwrap_or_default(),
            syn_acks: syn_acks.unwrap_or_default(),
            ..Resends::default()
        })
    }

    /// What a new attempt is told of the one before it, which had the same addresses.
    pub(super) fn bequeaths(&self, segment: &TcpSegment, end: End) -> u16 {
        const TIME_WAIT_NS: i64 = 61_000_000_000;
        let since = segment.time_ns.saturating_sub(self.last_ns);
        let mut marks = 0;
        if since > TIME_WAIT_NS || segment.flags & ACK != 0 {
            return marks;
        }
        if self.both(of_end::FIN) && !self.either(of_end::RST) {
            marks |= mark::REUSED_TIME_WAIT;
        }
        if let Some(timestamps) = segment.options.timestamps
            && self.is(of_flow::TIMESTAMP)
            && self.client() == end
            && self.has(of_end::ACKED, end)
            && is_after(self.timestamp, timestamps.value)
        {
            marks |= mark::OLDER_TIMESTAMP;
        }
        marks
    }

    /// Whether a segment that came after a silence asks, or one answers.
    pub(super) fn notice_silence(&mut self, segment: &TcpSegment, end: End, silent_ns: i64) {
        let by_higher = self.is(of_flow::ASKED_BY_HIGHER) as End;
        if silent_ns > IDLE_NS && segment.flags & (FIN | SYN | RST) == 0 {
            let asks = of_flow::ASKED
                | if end == 1 { of_flow::ASKED_BY_HIGHER } else { 0 }
                | if segment.payload > 1 { of_flow::ASKED_BY_DATA } else { 0 };
            let none = of_flow::ASKED | of_flow::ASKED_BY_HIGHER | of_flow::ASKED_BY_DATA;
            self.facts = self.facts & !none | asks;
        } else if self.is(of_flow::ASKED) && end != by_higher && segment.flags & RST == 0 {
            self.facts &= !of_flow::ASKED;
        }
    }

    fn delay(&mut self, ns: u64, resends: &mut AllResends) {
        for at in [&mut self.syn_ack_at, &mut self.reset_at] {
            *at = at.delayed(ns);
        }
        for at in self.acked_at.iter_mut().chain(&mut self.data_at) {
            *at = at.delayed(ns);
        }
        if let Some(resends) = resends.at(self.resends) {
            resends.syns.delay(ns);
            resends.syn_acks.delay(ns);
            resends.data_last = resends.data_last.delayed(ns);
        }
    }
}

/// Whether a sequence number lies behind another.
pub(super) const fn is_after(seq: u32, other: u32) -> bool {
    seq.wrapping_sub(other).wrapping_sub(1) < 0x7fff_ffff
}
