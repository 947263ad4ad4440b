//! What the facts of a flow mean: the handshake that is told.
//!
//! What each outcome rests on:
//!
//! | outcome | rests on |
//! | --- | --- |
//! | established | an ACK of the client after a SYN-ACK, or of either end where one end alone was seen |
//! | established late | the same, and the SYN before the SYN-ACK was not the first; a timestamp that the SYN-ACK echoes corrects that by one |
//! | SYN unanswered | SYNs, no answer to them, and one sent again or a second without any |
//! | refused | an RST of the server with the SYN's number, before any SYN-ACK |
//! | reset by a middlebox | an RST from a distance that is not its sender's; or one after which its sender went on, with an IP ID that is not its sender's; or one that the client has to obey, after which the server went on, 5 ms later or more |
//! | unreachable | an ICMP error that quotes the SYN, and no SYN-ACK |
//! | third ACK ignored | a SYN-ACK later than the ACK by more than a round trip, and earlier than any other segment of the server |
//! | deferred | the same, but the first of them came only after the second time-out, and no data was ignored |
//! | reset after ACK | a bare RST with the number of the ACK, within two round trips and 200 ms, before any other segment of the server |
//! | third ACK missing | a SYN-ACK, no ACK, and a second without it |
//! | aborted by the client | an RST of the client with its own numbers, before any ACK of it |
//! | challenged | an ACK with other numbers, and no answer to the SYN |
//!
//! What they cannot tell apart, from a capture alone: an ACK that was ignored from one that was lost
//! behind the place where it was captured (one SYN-ACK sent again says little, three say much); an
//! overflow's RST from that of a SYN cookie that was not valid any more; a middlebox that sends the
//! RST from one that had sent the SYN-ACK (a SYN proxy).

use halfopen_evidence::{Handshake, IgnoredEnd, Mark, Outcome, Sends, Stages, Vantage};

use super::flow::{Flow, mark, of_end, of_flow};
use super::key::End;
use super::lapse::Lapse;
use super::resends::Resends;

/// How long an answer may take before it counts as missing.
const PATIENCE_NS: i64 = 1_000_000_000;

/// How long a SYN-ACK can stay unacknowledged before it is sent again, on kernels that wait for 3 s.
const SYN_ACK_TIMEOUT_NS: u64 = 3_500_000_000;

/// A SYN-ACK later than this after a SYN does not answer it.
const ANSWER_NS: u64 = 500_000_000;

/// The first SYN-ACK that TCP_DEFER_ACCEPT lets be sent again comes at the second time-out or later:
/// 3 s, or more, after the first.
const DEFERRED_NS: u64 = 2_000_000_000;

/// The second time-out of kernels that wait for 3 s first.
const SLOW_SECOND_NS: std::ops::Range<u64> = 8_000_000_000..11_000_000_000;

/// How long after the ACK an RST answers the ACK, beside two round trips.
const RESET_SOON_NS: u64 = 200_000_000;

/// A flow and what was sent again of it, to be read together.
pub(super) struct Case<'a> {
    pub(super) flow: &'a Flow,
    pub(super) resends: Option<&'a Resends>,
    /// When the capture has got to.
    pub(super) now_ns: i64,
}

impl Case<'_> {
    /// The handshake, without the name of its scope.
    pub(super) fn handshake(&self) -> Handshake {
        let Self { flow, .. } = self;
        let lasted = flow.last_ns.saturating_sub(flow.began_ns);
        Handshake {
            client: flow.key.address(flow.client()),
            server: flow.key.address(flow.server()),
            scope: String::new(),
            began_ns: flow.began_ns,
            lasted_ns: u64::try_from(lasted).unwrap_or(0),
            vantage: self.vantage(),
            outcome: self.outcome(),
            marks: self.marks(),
            syns: self.syns(),
            syn_acks: self.syn_acks(),
            stages: self.stages(),
            first_record: flow.first_record,
        }
    }

    fn vantage(&self) -> Vantage {
        let Self { flow, .. } = self;
        let answered = flow.marks & (mark::WRONG_SYN_ACK | mark::CHALLENGE_ACK) != 0;
        let of_server = flow.has(of_end::SEEN, flow.server()) || answered;
        match (flow.has(of_end::SEEN, flow.client()), of_server) {
            (true, false) => Vantage::ClientOnly,
            (false, true) => Vantage::ServerOnly,
            _ => Vantage::Both,
        }
    }

    fn outcome(&self) -> Outcome {
        let Self { flow, .. } = self;
        if !flow.begun() {
            return Outcome::MidStream;
        }
        if self.reset_is_foreign() {
            return Outcome::ResetByMiddlebox;
        }
        if flow.has(of_end::ACKED, flow.client()) && !self.is_aborted() {
            self.outcome_of_acknowledged()
        } else if flow.has(of_end::SYN_ACK, flow.server()) {
            self.outcome_of_answered()
        } else {
            self.outcome_of_unanswered()
        }
    }

    fn outcome_of_unanswered(&self) -> Outcome {
        let Self { flow, .. } = self;
        if flow.has(of_end::RST, flow.server()) {
            Outcome::Refused
        } else if flow.is(of_flow::UNREACHABLE) {
            Outcome::Unreachable
        } else if flow.has(of_end::RST, flow.client()) {
            Outcome::AbortedByClient
        } else if flow.marks & mark::CHALLENGE_ACK != 0 {
            Outcome::Challenged
        } else if self.syns().count > 1 || self.waited_in_vain() {
            Outcome::SynUnanswered
        } else {
            Outcome::Undecided
        }
    }

    fn outcome_of_answered(&self) -> Outcome {
        let Self { flow, .. } = self;
        if flow.has(of_end::RST, flow.client()) {
            Outcome::AbortedByClient
        } else if flow.has(of_end::ACKED, flow.server()) {
            self.established()
        } else if self.syn_acks().count > 1 || self.waited_in_vain() || flow.closed() {
            Outcome::ThirdAckMissing
        } else {
            Outcome::Undecided
        }
    }

    fn outcome_of_acknowledged(&self) -> Outcome {
        let ignored = self.syn_acks_after_ack();
        if let Some(&first) = ignored.first() {
            return if self.is_deferred(first, ignored.get(1).copied()) {
                Outcome::Deferred
            } else {
                Outcome::ThirdAckIgnored { ended: self.ignored_end() }
            };
        }
        if self.is_reset_after_ack() { Outcome::ResetAfterAck } else { self.established() }
    }

    fn established(&self) -> Outcome {
        match self.answered_syn() {
            0 | 1 => Outcome::Established,
            answered_syn => Outcome::EstablishedLate { answered_syn },
        }
    }

    /// Whether an RST before any data of the server is not its sender's own.
    fn reset_is_foreign(&self) -> bool {
        let Self { flow, .. } = self;
        let sender = usize::from(flow.is(of_flow::RESET_BY_HIGHER));
        let is_compared = flow.has(of_end::SYN | of_end::SYN_ACK, sender);
        flow.either(of_end::RST)
            && !flow.is(of_flow::RESET_AFTER_DATA)
            && is_compared
            && (flow.is(of_flow::RESET_FROM_ELSEWHERE)
                || flow.marks & mark::RESET_WAS_IGNORED != 0
                || (flow.is(of_flow::RESET_WAS_DISOWNED) && flow.is(of_flow::RESET_OF_OTHER_ID)))
    }

    /// Whether the client reset the attempt before its ACK, if any.
    fn is_aborted(&self) -> bool {
        let Self { flow, .. } = self;
        let client = flow.client();
        flow.has(of_end::RST, client)
            && flow.is(of_flow::RESET_BY_HIGHER) == (client == 1)
            && flow.reset_at < flow.acked_at[client]
            && !flow.has(of_end::ACKED, flow.server())
    }

    /// Whether more time has passed than an answer takes.
    fn waited_in_vain(&self) -> bool {
        self.now_ns.saturating_sub(self.flow.last_ns) >= PATIENCE_NS
            || self.flow.last_ns.saturating_sub(self.flow.began_ns) >= PATIENCE_NS
    }

    /// The SYN-ACKs that were sent again although the server must have had the ACK by then, and had not
    /// sent anything else yet.
    fn syn_acks_after_ack(&self) -> &[Lapse] {
        let Some(resends) = self.resends else {
            return &[];
        };
        let Self { flow, .. } = self;
        if !flow.has(of_end::SYN_ACK, flow.server()) {
            return &[];
        }
        let all = resends.syn_acks.first();
        let acked = flow.acked_at[flow.client()];
        let has_it = acked.delayed(self.round_trip_ns().max(1_000_000));
        let first = all.partition_point(|&at| at <= has_it);
        let end = if flow.has(of_end::ACKED, flow.server()) {
            all.partition_point(|&at| at < flow.acked_at[flow.server()])
        } else {
            all.len()
        };
        all.get(first..end).unwrap_or_default()
    }

    /// From the SYN to the ACK: no less than a round trip, wherever the capture was taken.
    fn round_trip_ns(&self) -> u64 {
        let Self { flow, .. } = self;
        let acked = flow.acked_at[flow.client()];
        let from = match self.resends {
            _ if !flow.has(of_end::SYN, flow.client()) => flow.syn_ack_at,
            Some(resends) if resends.syn_acks.count() <= resends.syns.count() => self.syn_at(1),
            _ => self.syn_at(self.answered_syn()),
        };
        acked.since(from)
    }

    fn is_deferred(&self, first: Lapse, second: Option<Lapse>) -> bool {
        let after_first = first.since(self.flow.syn_ack_at);
        let is_slow_kernel = after_first < 4_000_000_000
            && second.is_some_and(|at| SLOW_SECOND_NS.contains(&at.since(self.flow.syn_ack_at)));
        after_first > DEFERRED_NS && !is_slow_kernel && !self.ignores_data()
    }

    /// Whether data of the client went unheard before the server took the connection, if it did.
    fn ignores_data(&self) -> bool {
        let Self { flow, .. } = self;
        let client = flow.client();
        if !flow.has(of_end::DATA, client) {
            return false;
        }
        let again = self.resends.is_some_and(|resends| {
            resends.data_again >= 2 && flow.has(of_end::SEEN, flow.server())
        });
        let has_it = flow.data_at[client].delayed(self.round_trip_ns().max(1_000_000));
        again || self.syn_acks_after_ack().iter().any(|&at| at > has_it)
    }

    fn ignored_end(&self) -> IgnoredEnd {
        let Self { flow, .. } = self;
        let (client, server) = (flow.client(), flow.server());
        if flow.has(of_end::ACKED, server) {
            IgnoredEnd::Recovered
        } else if flow.has(of_end::FIN | of_end::RST, client) {
            IgnoredEnd::ClosedByClient
        } else if !flow.has(of_end::RST, server) {
            IgnoredEnd::Open
        } else if flow.is(of_flow::CLIENT_SENT_DATA_LAST) {
            IgnoredEnd::ResetByData
        } else {
            IgnoredEnd::ResetByProbe
        }
    }

    fn is_reset_after_ack(&self) -> bool {
        let Self { flow, .. } = self;
        let (client, server) = (flow.client(), flow.server());
        let by_server = flow.is(of_flow::RESET_BY_HIGHER) == (server == 1);
        let within = (self.round_trip_ns().saturating_mul(2)).saturating_add(RESET_SOON_NS);
        flow.has(of_end::RST, server)
            && by_server
            && flow.is(of_flow::RESET_IS_BARE)
            && flow.has(of_end::SYN_ACK, server)
            && !flow.has(of_end::ACKED, server)
            && !flow.has(of_end::FIN, client)
            && flow.reset_at.since(flow.acked_at[client]) <= within
    }

    /// Which SYN the first SYN-ACK answers, counted from 1; 0 without SYN.
    fn answered_syn(&self) -> u8 {
        let Self { flow, .. } = self;
        if !flow.has(of_end::SYN, flow.client()) {
            return 0;
        }
        let (Some(resends), true) = (self.resends, flow.has(of_end::SYN_ACK, flow.server())) else {
            return 1;
        };
        let before = resends.syns.first().partition_point(|&at| at <= flow.syn_ack_at);
        let last = before.saturating_sub(usize::from(resends.echo_of_earlier_syn));
        u8::try_from(last).unwrap_or(u8::MAX).max(1)
    }

    /// When a SYN was sent, counted from 1.
    fn syn_at(&self, number: u8) -> Lapse {
        let syns = self.resends.map(|resends| resends.syns.first());
        let index = usize::from(number.max(1)) - 1;
        syns.and_then(|syns| syns.get(index)).copied().unwrap_or_default()
    }

    fn syns(&self) -> Sends {
        let Self { flow, .. } = self;
        match self.resends {
            _ if !flow.has(of_end::SYN, flow.client()) => Sends::default(),
            Some(resends) if resends.syns.count() > 0 => resends.syns.sends(),
            _ => Sends::once(0),
        }
    }

    fn syn_acks(&self) -> Sends {
        let Self { flow, .. } = self;
        match self.resends {
            _ if !flow.has(of_end::SYN_ACK, flow.server()) => Sends::default(),
            Some(resends) if resends.syn_acks.count() > 0 => resends.syn_acks.sends(),
            _ => Sends::once(flow.syn_ack_at.us()),
        }
    }

    fn stages(&self) -> Stages {
        let Self { flow, .. } = self;
        let (client, server) = (flow.client(), flow.server());
        let if_known = |end: End, fact: u32, at: Lapse| flow.has(fact, end).then_some(at);
        let first_syn = if_known(client, of_end::SYN, self.syn_at(1));
        let syn = if_known(client, of_end::SYN, self.syn_at(self.answered_syn()));
        let syn_ack = if_known(server, of_end::SYN_ACK, flow.syn_ack_at);
        let begun = flow.begun();
        let ack = if_known(client, of_end::ACKED, flow.acked_at[client]).filter(|_| begun);
        let request = if_known(client, of_end::DATA, flow.data_at[client]).filter(|_| begun);
        let response = if_known(server, of_end::DATA, flow.data_at[server]).filter(|_| begun);
        let between = |from: Option<Lapse>, to: Option<Lapse>| Some(to?.since(from?));
        Stages {
            syn_ack_ns: between(syn, syn_ack),
            ack_ns: between(syn_ack, ack),
            connect_ns: between(first_syn, ack),
            request_ns: between(ack, request),
            response_ns: between(request, response.filter(|&at| Some(at) > request)),
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let Self { flow, .. } = self;
        let has = |bit: u16| flow.marks & bit != 0;
        let (client, server) = (flow.client(), flow.server());
        let both_syn = flow.both(of_end::SYN);
        let is_split = both_syn
            && !flow.has(of_end::SYN_ACK, server)
            && flow.has(of_end::ACKED, server)
            && flow.has(of_end::ACKED, client);
        let all = [
            (Mark::CookieLikely, self.is_cookie_likely()),
            (Mark::DataIgnored, flow.begun() && self.ignores_data()),
            (Mark::SimultaneousOpen, both_syn && !is_split),
            (Mark::SplitHandshake, is_split),
            (Mark::FastOpen, has(mark::FAST_OPEN)),
            (Mark::WrongSynAck, has(mark::WRONG_SYN_ACK)),
            (Mark::ChallengeAck, has(mark::CHALLENGE_ACK)),
            (Mark::ReusedTimeWait, has(mark::REUSED_TIME_WAIT)),
            (Mark::OlderTimestamp, has(mark::OLDER_TIMESTAMP)),
            (Mark::HalfOpenClosed, has(mark::HALF_OPEN_CLOSED)),
            (Mark::CapturedTwice, has(mark::CAPTURED_TWICE)),
            (Mark::IcmpError, has(mark::ICMP_ERROR)),
            (Mark::Truncated, has(mark::TRUNCATED)),
            (Mark::MaybeDeferred, self.may_be_deferred()),
        ];
        all.into_iter().filter_map(|(mark, noticed)| noticed.then_some(mark)).collect()
    }

    /// A request of the SYN queue would have had its SYN-ACK sent again by now.
    fn is_cookie_likely(&self) -> bool {
        let Self { flow, .. } = self;
        let client = flow.client();
        let silent = if flow.has(of_end::ACKED, client) {
            flow.acked_at[client].since(flow.syn_ack_at)
        } else if flow.closed() || flow.has(of_end::ACKED, flow.server()) {
            0
        } else {
            Lapse::between(flow.began_ns, self.now_ns).since(flow.syn_ack_at)
        };
        flow.is(of_flow::COOKIE_OPTIONS)
            && flow.has(of_end::SYN_ACK, flow.server())
            && !self.has_syn_ack_of_timer()
            && silent > SYN_ACK_TIMEOUT_NS
    }

    /// Whether a SYN-ACK was sent again although no SYN had come.
    fn has_syn_ack_of_timer(&self) -> bool {
        let again = self.resends.map(|resends| (resends.syns.first(), resends.syn_acks.first()));
        let (syns, syn_acks) = again.unwrap_or_default();
        let answers = |at: Lapse| {
            let before = syns.partition_point(|&syn| syn <= at).checked_sub(1);
            before.is_some_and(|last| at.since(syns[last]) < ANSWER_NS)
        };
        syn_acks.iter().skip(1).any(|&at| !answers(at))
    }

    /// One SYN-ACK after the ACK, at its first time-out, and no data before it.
    fn may_be_deferred(&self) -> bool {
        let Self { flow, .. } = self;
        let &[only] = self.syn_acks_after_ack() else {
            return false;
        };
        let client = flow.client();
        let had_data = flow.has(of_end::DATA, client) && flow.data_at[client] < only;
        let is_over = flow.has(of_end::ACKED, flow.server());
        self.syn_acks().count == 2 && !had_data && is_over && !self.is_deferred(only, None)
    }
}
