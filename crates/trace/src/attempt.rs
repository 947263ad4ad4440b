//! What is known of one attempt, and how it came out.

use halfopen_evidence::{
    Dropped, DroppedSegment, Handshake, IgnoredEnd, Inode, KernelEvent, KernelEventKind, Mark,
    Outcome, Phase, ProcessName, Reset, Sends, Stages, TracedEnd, Vantage,
};
use halfopen_model::AcceptQueue;
use halfopen_model::tcp::{Flags, may_be_deferred};

use crate::ends::{Key, Segment};
use crate::told::Assembled;

/// Kinds of drops that are told apart; there are few kinds of segments and few reasons.
const DROPS_MAX: usize = 8;

/// Times of segments that are kept, as in captures.
const TIMES_MAX: usize = 8;

/// A SYN or SYN-ACK that comes to a connection is answered by a challenge ACK and dropped for this
/// reason; older kernels have none for it (net/ipv4/tcp_input.c `tcp_validate_incoming`).
const SYN_IN_CONNECTION: &str = "TCP_INVALID_SYN";

/// What a SYN is dropped for that finds the accept queue full: the kernel has no reason for it.
const ACCEPT_QUEUE_FULL: &str = "accept-queue-full";

/// errno of a connect() that failed (include/uapi/asm-generic/errno.h).
const EACCES: i32 = 13;
const ENONET: i32 = 64;
const EPROTO: i32 = 71;
const ENOPROTOOPT: i32 = 92;
const EOPNOTSUPP: i32 = 95;
const ENETDOWN: i32 = 100;
const ENETUNREACH: i32 = 101;
const ENETRESET: i32 = 102;
const ECONNRESET: i32 = 104;
const ECONNREFUSED: i32 = 111;
const EHOSTDOWN: i32 = 112;
const EHOSTUNREACH: i32 = 113;

/// Whether connect() fails so after an ICMP error: over IPv6 a firewall that prohibits gives EACCES, over
/// IPv4 EHOSTUNREACH (net/ipv4/icmp.c `icmp_err_convert`, net/ipv6/icmp.c `icmpv6_err_convert`).
const fn is_by_icmp(errno: i32) -> bool {
    matches!(
        errno,
        EACCES
            | ENONET
            | EPROTO
            | ENOPROTOOPT
            | EOPNOTSUPP
            | ENETDOWN
            | ENETUNREACH
            | ENETRESET
            | EHOSTDOWN
            | EHOSTUNREACH
    )
}

/// One attempt to make a connection.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    number: u64,
    began_ns: u64,
    pub(crate) last_ns: u64,
    client: Option<Inode>,
    connected_by: Option<ProcessName>,
    is_connected: bool,
    is_queued: bool,
    accept_queue_ns: Option<u64>,
    accepted_by: Option<ProcessName>,
    outcome: Outcome,
    syns: Sends,
    syn_acks: Sends,
    stages: Stages,
    marks: Vec<Mark>,
    drops: Vec<Dropped>,
    reset: Option<Reset>,
    /// Whether the server's own account says what became of the third ACK.
    server_knows: bool,
    /// What was told of it while it was open.
    pub(crate) told: Option<Outcome>,
    /// Whether it was refused and only its client, if that is here, may still tell who it is.
    pub(crate) awaits_client: bool,
    /// Whether its end was told: what still comes of it adds nothing.
    pub(crate) is_over: bool,
}

/// What an event makes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is more to come.
    Goes,
    /// It is in trouble, and may still come out otherwise.
    Troubled,
    /// It is over.
    Over,
}

impl Attempt {
    pub(crate) fn new(number: u64, at_ns: u64) -> Self {
        Self {
            number,
            began_ns: at_ns,
            last_ns: at_ns,
            client: None,
            connected_by: None,
            is_connected: false,
            is_queued: false,
            accept_queue_ns: None,
            accepted_by: None,
            outcome: Outcome::Undecided,
            syns: Sends::default(),
            syn_acks: Sends::default(),
            stages: Stages::default(),
            marks: Vec::new(),
            drops: Vec::new(),
            reset: None,
            server_knows: false,
            told: None,
            awaits_client: false,
            is_over: false,
        }
    }

    pub(crate) const fn is_queued(&self) -> bool {
        self.is_queued
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Whether it has done what it came for.
    pub(crate) const fn is_sound(&self) -> bool {
        match self.outcome {
            Outcome::Established | Outcome::EstablishedLate { .. } => true,
            Outcome::Deferred => self.is_queued,
            _ => false,
        }
    }

    /// Whether an event with these addresses can only be of another attempt.
    pub(crate) fn is_before(&self, event: &KernelEvent) -> bool {
        match event.what {
            KernelEventKind::Connected { .. } => self.is_over || self.is_connected,
            KernelEventKind::Queued { .. } => self.is_over || self.is_queued,
            KernelEventKind::SynRepeated { repeats: 1, .. } => {
                let may_go_on = self.syns.count <= 1 && !self.is_over;
                !may_go_on || self.is_connected || self.is_queued
            }
            KernelEventKind::SynDropped { .. } => self.is_over,
            _ => false,
        }
    }

    /// Adds what happened at one of its ends.
    pub(crate) fn add(&mut self, event: &KernelEvent, end: TracedEnd) -> Step {
        self.last_ns = self.last_ns.max(event.at_ns);
        if end == TracedEnd::Client {
            self.client = event.inode.or(self.client);
        }
        match &event.what {
            KernelEventKind::Connected { repeats, round_trip_us } => {
                self.connected_by.clone_from(&event.process);
                self.connects(event, *repeats, *round_trip_us)
            }
            KernelEventKind::ConnectFailed { errno, repeats, age_us } => {
                self.began_ns = self.began_ns.min(before(event.at_ns, *age_us));
                self.connected_by.clone_from(&event.process);
                self.fails(event, *errno, *repeats, *age_us)
            }
            KernelEventKind::SynRepeated { repeats, age_us } => {
                self.began_ns = self.began_ns.min(before(event.at_ns, *age_us));
                if self.syns.at_us.is_empty() && *age_us > 0 {
                    self.syns.at_us.push(0);
                }
                self.sends(event, |attempt| &mut attempt.syns, repeats.saturating_add(1));
                self.in_trouble(Outcome::SynUnanswered)
            }
            KernelEventKind::DataRepeated { .. } => {
                self.mark(Mark::DataIgnored);
                Step::Goes
            }
            KernelEventKind::Queued { repeats, round_trip_us } => {
                self.is_taken(event, *repeats, *round_trip_us)
            }
            KernelEventKind::Accepted { waited_us } => {
                self.accept_queue_ns = Some(waited_us.saturating_mul(1000));
                self.accepted_by.clone_from(&event.process);
                if self.outcome == Outcome::Undecided {
                    self.outcome = Outcome::Established;
                }
                Step::Over
            }
            KernelEventKind::SynAckRepeated { repeats, acked, defer_accept, timeouts, .. } => {
                self.sends(event, |attempt| &mut attempt.syn_acks, repeats.saturating_add(1));
                self.server_knows = true;
                match (acked, may_be_deferred(*defer_accept, *timeouts)) {
                    (true, true) => {
                        self.outcome = Outcome::Deferred;
                        Step::Goes
                    }
                    (true, false) => self.ignored(IgnoredEnd::Open),
                    (false, _) => self.in_trouble(Outcome::ThirdAckMissing),
                }
            }
            KernelEventKind::SegmentDropped { flags, reason, queue } => {
                let segment = Segment::of(*flags);
                let ignores = segment == Segment::Other && queue.is_some();
                self.drops(event, dropped_kind(segment, ignores, *flags), end, reason);
                self.on_drop(segment, ignores, reason)
            }
            KernelEventKind::SynDropped { .. } => {
                self.drops(event, DroppedSegment::Syn, end, ACCEPT_QUEUE_FULL);
                self.in_trouble(Outcome::SynUnanswered)
            }
            KernelEventKind::ResetSent { flags, reason, queue } => {
                let is_full = queue.is_some_and(AcceptQueue::is_full);
                self.resets(*flags, reason.clone(), end, is_full)
            }
            KernelEventKind::ResetReceived { age_us } => self.is_reset(end, *age_us),
            KernelEventKind::ClosedUnaccepted { reason, .. } => self.is_closed(reason.clone()),
            KernelEventKind::CallFailed { .. } | KernelEventKind::Listening { .. } => Step::Goes,
        }
    }

    fn connects(&mut self, event: &KernelEvent, repeats: u32, round_trip_us: u64) -> Step {
        self.is_connected = true;
        self.stages.syn_ack_ns = some_ns(round_trip_us);
        if repeats == 0 {
            self.began_ns = self.began_ns.min(before(event.at_ns, round_trip_us));
            self.stages.connect_ns = self.stages.syn_ack_ns;
        } else if self.syns.count > 1 {
            self.stages.connect_ns = Some(event.at_ns.saturating_sub(self.began_ns));
        }
        self.syns.count = self.syns.count.max(repeats.saturating_add(1));
        let answered_syn = u8::try_from(repeats.saturating_add(1)).unwrap_or(u8::MAX);
        self.outcome = match repeats {
            0 => Outcome::Established,
            _ => Outcome::EstablishedLate { answered_syn },
        };
        Step::Goes
    }

    fn fails(&mut self, event: &KernelEvent, errno: i32, repeats: u32, age_us: u64) -> Step {
        /// Sooner than this no answer is overdue.
        const OVERDUE_US: u64 = 100_000;
        let is_young = repeats == 0 && age_us < OVERDUE_US;
        self.syns.count = self.syns.count.max(repeats.saturating_add(1));
        self.last_ns = event.at_ns;
        self.outcome = match errno {
            ECONNREFUSED | ECONNRESET => Outcome::Refused,
            errno if is_by_icmp(errno) => Outcome::Unreachable,
            0 if is_young && self.outcome == Outcome::Undecided => Outcome::AbortedByClient,
            _ => Outcome::SynUnanswered,
        };
        Step::Over
    }

    fn is_taken(&mut self, event: &KernelEvent, repeats: u32, round_trip_us: u64) -> Step {
        self.is_queued = true;
        self.syn_acks.count = self.syn_acks.count.max(repeats.saturating_add(1));
        self.stages.ack_ns = some_ns(round_trip_us).filter(|_| repeats == 0);
        self.began_ns = self.began_ns.min(before(event.at_ns, round_trip_us));
        match self.outcome {
            Outcome::ThirdAckIgnored { .. } if self.server_knows => {
                self.outcome = Outcome::ThirdAckIgnored { ended: IgnoredEnd::Recovered };
                return Step::Over;
            }
            Outcome::Deferred | Outcome::EstablishedLate { .. } => {}
            _ => self.outcome = Outcome::Established,
        }
        Step::Goes
    }

    fn on_drop(&mut self, segment: Segment, ignores: bool, reason: &str) -> Step {
        match segment {
            Segment::Syn if reason == "NO_SOCKET" => self.over(Outcome::Refused),
            // There still is a connection with these addresses.
            Segment::Syn if reason == SYN_IN_CONNECTION => {
                self.mark(Mark::ChallengeAck);
                self.in_trouble(Outcome::Challenged)
            }
            Segment::Syn => self.in_trouble(Outcome::SynUnanswered),
            // The client answers each of them, so its ACK has left.
            Segment::SynAck if reason == SYN_IN_CONNECTION && !self.server_knows => {
                self.ignored(IgnoredEnd::Open)
            }
            Segment::Other if ignores => {
                self.server_knows = true;
                self.ignored(IgnoredEnd::Open)
            }
            Segment::Other if self.outcome == Outcome::Undecided => {
                self.in_trouble(Outcome::ThirdAckMissing)
            }
            Segment::SynAck | Segment::Reset | Segment::Other => Step::Goes,
        }
    }

    fn resets(
        &mut self,
        flags: Flags,
        reason: Option<String>,
        by: TracedEnd,
        is_full: bool,
    ) -> Step {
        let segment = Segment::of(flags);
        let overflows = is_full && segment == Segment::Other;
        let cause = overflows.then(|| {
            "the accept queue is full, and net.ipv4.tcp_abort_on_overflow is set".to_owned()
        });
        self.reset = Some(Reset { by, reason: told_reason(reason), cause });
        match segment {
            Segment::Syn => self.over(Outcome::Refused),
            Segment::Other if overflows => self.over(Outcome::ResetAfterAck),
            _ if matches!(self.outcome, Outcome::ThirdAckIgnored { .. }) => {
                self.ignored(end_by_reset(carries_data(flags)));
                Step::Over
            }
            _ => Step::Over,
        }
    }

    /// The server's program has closed its listening socket.
    fn is_closed(&mut self, reason: Option<String>) -> Step {
        self.reset = Some(Reset {
            by: TracedEnd::Server,
            reason: told_reason(reason),
            cause: Some("the listening socket was closed before accept() took it".to_owned()),
        });
        // It was one until then, and no queue was full.
        self.over(Outcome::Established)
    }

    /// Whether this end has refused it and the other has not told of it yet.
    pub(crate) fn is_refused_by(&self, end: TracedEnd) -> bool {
        self.outcome == Outcome::Refused && end == TracedEnd::Server && self.client.is_none()
    }

    /// Whether its other end may still tell of its end.
    pub(crate) const fn may_echo(&self) -> bool {
        !self.is_sound() || self.reset.is_some()
    }

    fn is_reset(&mut self, end: TracedEnd, age_us: u64) -> Step {
        /// Later than this a reset is no answer to the ACK.
        const AT_ONCE_US: u64 = 1_000_000;
        if end == TracedEnd::Server {
            // It waited in the accept queue; that it goes changes nothing about the handshake.
            return Step::Over;
        }
        match self.outcome {
            Outcome::ThirdAckIgnored { .. } => {
                self.ignored(end_by_reset(self.marks.contains(&Mark::DataIgnored)));
            }
            _ if !self.is_queued && age_us < AT_ONCE_US => {
                self.outcome = Outcome::ResetAfterAck;
            }
            _ => {}
        }
        Step::Over
    }

    /// What is left when nothing more comes.
    pub(crate) fn closes(&mut self) {
        if self.outcome == Outcome::Undecided && self.is_connected {
            self.outcome = Outcome::Established;
        }
    }

    fn ignored(&mut self, ended: IgnoredEnd) -> Step {
        self.in_trouble(Outcome::ThirdAckIgnored { ended })
    }

    fn in_trouble(&mut self, outcome: Outcome) -> Step {
        // What the server has said of the third ACK is more than a drop on the way says.
        let knows_more = matches!(self.outcome, Outcome::ThirdAckIgnored { .. })
            && matches!(outcome, Outcome::SynUnanswered);
        if !knows_more {
            self.outcome = outcome;
        }
        Step::Troubled
    }

    fn over(&mut self, outcome: Outcome) -> Step {
        self.outcome = outcome;
        Step::Over
    }

    fn mark(&mut self, mark: Mark) {
        if !self.marks.contains(&mark) {
            self.marks.push(mark);
        }
    }

    /// Notes that something was sent again: the first time is the attempt's beginning, unless more is
    /// known.
    fn sends(&mut self, event: &KernelEvent, which: impl Fn(&mut Self) -> &mut Sends, count: u32) {
        let at_us = event.at_ns.saturating_sub(self.began_ns) / 1000;
        let sends = which(self);
        sends.count = sends.count.max(count);
        if sends.at_us.len() < TIMES_MAX {
            sends.at_us.push(at_us);
        }
    }

    fn drops(&mut self, event: &KernelEvent, what: DroppedSegment, at: TracedEnd, reason: &str) {
        let same =
            |drop: &&mut Dropped| (drop.what, drop.at) == (what, at) && drop.reason == reason;
        if let Some(drop) = self.drops.iter_mut().find(same) {
            drop.count = drop.count.saturating_add(1);
        } else if self.drops.len() < DROPS_MAX {
            let first_us = event.at_ns.saturating_sub(self.began_ns) / 1000;
            let reason = reason.to_owned();
            self.drops.push(Dropped { what, at, reason, count: 1, first_us });
        }
    }

    /// What is known of it, in the clock of the wall.
    pub(crate) fn assembled(&self, key: &Key, phase: Phase, offset_ns: i64) -> Assembled {
        let began_ns = i64::try_from(self.began_ns).unwrap_or(i64::MAX).saturating_add(offset_ns);
        Assembled {
            netns: key.netns,
            phase,
            handshake: Handshake {
                client: key.client,
                server: key.server,
                scope: String::new(),
                began_ns,
                lasted_ns: self.last_ns.saturating_sub(self.began_ns),
                vantage: match self.outcome {
                    Outcome::SynUnanswered => Vantage::ClientOnly,
                    _ => Vantage::Both,
                },
                outcome: self.outcome,
                marks: self.marks.clone(),
                syns: self.syns.clone(),
                syn_acks: self.syn_acks.clone(),
                stages: self.stages,
                first_record: self.number,
            },
            client: self.client,
            connected_by: self.connected_by.clone(),
            accepted_by: self.accepted_by.clone(),
            accept_queue_ns: self.accept_queue_ns,
            drops: self.drops.clone(),
            reset: self.reset.clone(),
        }
    }

    pub(crate) const fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// Data has PSH set as a rule.
const fn carries_data(flags: Flags) -> bool {
    flags.has(Flags::PSH)
}

/// How a connection ended that the client alone believed in.
const fn end_by_reset(of_data: bool) -> IgnoredEnd {
    if of_data { IgnoredEnd::ResetByData } else { IgnoredEnd::ResetByProbe }
}

fn dropped_kind(segment: Segment, ignores: bool, flags: Flags) -> DroppedSegment {
    match segment {
        Segment::Syn => DroppedSegment::Syn,
        Segment::SynAck => DroppedSegment::SynAck,
        Segment::Other if carries_data(flags) => DroppedSegment::Data,
        Segment::Other if ignores => DroppedSegment::ThirdAck,
        Segment::Reset | Segment::Other => DroppedSegment::Other,
    }
}

/// Kernels before 6.10 have no reasons for resets.
fn told_reason(reason: Option<String>) -> String {
    reason.unwrap_or_else(|| "not told by this kernel".to_owned())
}

/// Microseconds that were measured; none for 0.
fn some_ns(us: u64) -> Option<u64> {
    (us > 0).then(|| us.saturating_mul(1000))
}

fn before(at_ns: u64, us: u64) -> u64 {
    at_ns.saturating_sub(us.saturating_mul(1000))
}
