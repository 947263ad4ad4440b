//! Why a segment came to nothing, and which counters say so.
//!
//! These are the model's own reasons: finer than the kernel's, which has none for a dropped SYN. The
//! counters of refused segments are moved through a reason and by no other way, so they are the sum
//! of the reasons.

use std::fmt;

use crate::{ChallengeLimit, Counter, ListenDropsPerCookie, Semantics};

/// Why a segment that reached TCP was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// A SYN met a full SYN queue, and cookies are off (`tcp_conn_request`).
    SynQueueFull,
    /// A SYN met a full accept queue (`tcp_conn_request`).
    SynAcceptQueueFull,
    /// The same, after the SYN queue was found full with cookies on: TCPReqQFullDoCookies counts a
    /// cookie that is not sent.
    CookieSynAcceptQueueFull,
    /// A SYN of an unknown peer fell into the last quarter of `tcp_max_syn_backlog`.
    SynReserve,
    /// The SYN-ACK has no route.
    SynNoRoute,
    /// A SYN was repeated sooner than the rate limit answers (`tcp_oow_rate_limited`).
    RepeatedSynLimited,
    /// A third ACK, or data in its place, met a full accept queue: ignored, and the request marked
    /// as acknowledged (`tcp_check_req`, label `listen_overflow`).
    ThirdAckQueueFull,
    /// The same with `tcp_abort_on_overflow`: the request is removed and answered by RST.
    ThirdAckAborted,
    /// The ACK of a SYN cookie met a full accept queue: ignored, nothing is kept.
    CookieAckQueueFull,
    /// An ACK for a listener carried no valid cookie although cookies were sent: RST.
    CookieInvalid,
    /// An ACK came for a listener that has sent no cookie lately: RST.
    CookieNotAsked,
    /// A bare third ACK while TCP_DEFER_ACCEPT waits for data.
    Deferred,
    /// A third ACK acknowledged something that was never sent: RST, the request stays.
    WrongAck,
    /// A third ACK echoed a timestamp that was never sent.
    WrongTimestampEcho,
    /// An RST removed a request.
    RequestReset,
    /// An ICMP error about its SYN-ACK removed a request (`tcp_req_err`). What is dropped is the request,
    /// and no segment of TCP.
    RequestUnreachable,
    /// A new SYN inside the window of a request: RST, and the request is removed.
    SynInsideRequest,
    /// A segment outside the window of its request or connection: answered by an ACK at the most.
    OutsideWindow,
    /// Nobody listens and no connection is known: RST.
    NoSocket,
    /// An RST for a connection that is not known.
    ResetNoSocket,
    /// A SYN-ACK, or a SYN, on an established connection: answered by a challenge ACK
    /// (`tcp_validate_incoming`).
    Challenged,
    /// The same, within 500 ms of the last challenge: not answered.
    ChallengeLimited,
    /// An RST that is not at the next sequence number of its connection: answered by a challenge ACK.
    ResetChallenged,
    /// Data or a FIN that was taken before: answered by an ACK.
    AlreadyTaken,
    /// An answer to a SYN that acknowledges something else: RST (`tcp_rcv_synsent_state_process`).
    WrongSynAck,
    /// A segment for a connection in TIME_WAIT that changes nothing.
    TimeWait,
}

impl DropReason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::SynQueueFull,
        Self::SynAcceptQueueFull,
        Self::CookieSynAcceptQueueFull,
        Self::SynReserve,
        Self::SynNoRoute,
        Self::RepeatedSynLimited,
        Self::ThirdAckQueueFull,
        Self::ThirdAckAborted,
        Self::CookieAckQueueFull,
        Self::CookieInvalid,
        Self::CookieNotAsked,
        Self::Deferred,
        Self::WrongAck,
        Self::WrongTimestampEcho,
        Self::RequestReset,
        Self::RequestUnreachable,
        Self::SynInsideRequest,
        Self::OutsideWindow,
        Self::NoSocket,
        Self::ResetNoSocket,
        Self::Challenged,
        Self::ChallengeLimited,
        Self::ResetChallenged,
        Self::AlreadyTaken,
        Self::WrongSynAck,
        Self::TimeWait,
    ];

    /// The counters that this kernel moves, each by one. A reset that answers the segment counts in
    /// OutRsts besides, where it is sent.
    pub fn counters(self, semantics: &Semantics) -> impl Iterator<Item = Counter> + use<> {
        let counting = semantics.counting;
        let challenges = semantics.client.challenge_limit != ChallengeLimit::NoChallenge;
        let skips = semantics.client.challenge_limit_per_socket;
        let limits_syns = semantics.timers.repeated_syn_limit_ms > 0;
        let checks_echo = semantics.queues.checks_echoed_timestamp;
        self.moves().iter().copied().filter(move |&counter| match counter {
            Counter::ListenOverflows | Counter::ListenDrops
                if self.is_syn() || self == Self::RequestUnreachable =>
            {
                counting.syn_drops_are_counted
            }
            Counter::TcpReqQFullDrop | Counter::TcpReqQFullDoCookies => {
                counting.syn_queue_full_is_counted
            }
            Counter::TcpDeferAcceptDrop => counting.defer_accept_drops_are_counted,
            Counter::TcpSynChallenge | Counter::TcpChallengeAck => challenges,
            Counter::TcpAckSkippedSynRecv => limits_syns,
            Counter::TcpAckSkippedChallenge => skips,
            Counter::TsEcrRejected => checks_echo,
            _ => true,
        })
    }

    /// Whether the segment was a SYN that asked for a connection.
    #[must_use]
    pub const fn is_syn(self) -> bool {
        matches!(
            self,
            Self::SynQueueFull
                | Self::SynAcceptQueueFull
                | Self::CookieSynAcceptQueueFull
                | Self::SynReserve
                | Self::SynNoRoute
                | Self::RepeatedSynLimited
        )
    }

    /// Whether it happens only because the SYN queue or the accept queue has no room.
    #[must_use]
    pub const fn is_overflow(self) -> bool {
        matches!(self, Self::SynQueueFull | Self::SynReserve) || self.is_accept_queue_overflow()
    }

    /// Whether it happens only because the accept queue has no room.
    #[must_use]
    pub const fn is_accept_queue_overflow(self) -> bool {
        matches!(
            self,
            Self::SynAcceptQueueFull
                | Self::CookieSynAcceptQueueFull
                | Self::ThirdAckQueueFull
                | Self::ThirdAckAborted
                | Self::CookieAckQueueFull
        )
    }

    /// What happened, in a few words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SynQueueFull => "SYN dropped: the SYN queue is full",
            Self::SynAcceptQueueFull => "SYN dropped: the accept queue is full",
            Self::CookieSynAcceptQueueFull => {
                "SYN dropped: the accept queue is full, and a cookie does not help"
            }
            Self::SynReserve => "SYN dropped: the last quarter of tcp_max_syn_backlog",
            Self::SynNoRoute => "SYN dropped: no route back",
            Self::RepeatedSynLimited => "repeated SYN not answered: rate limit",
            Self::ThirdAckQueueFull => "third ACK ignored: the accept queue is full",
            Self::ThirdAckAborted => "third ACK answered by RST: the accept queue is full",
            Self::CookieAckQueueFull => "cookie's ACK ignored: the accept queue is full",
            Self::CookieInvalid => "ACK answered by RST: no valid cookie",
            Self::CookieNotAsked => "ACK answered by RST: no request, and no cookie was sent",
            Self::Deferred => "bare third ACK put off: TCP_DEFER_ACCEPT waits for data",
            Self::WrongAck => "third ACK answered by RST: wrong acknowledgement",
            Self::WrongTimestampEcho => "third ACK refused: its timestamp was never sent",
            Self::RequestReset => "request reset by the client",
            Self::RequestUnreachable => "request given up: an ICMP error about its SYN-ACK",
            Self::SynInsideRequest => "request answered by RST: a new SYN inside its window",
            Self::OutsideWindow => "segment outside the window",
            Self::NoSocket => "answered by RST: no socket",
            Self::ResetNoSocket => "RST for no socket",
            Self::Challenged => "challenge ACK: SYN on an established connection",
            Self::ChallengeLimited => "challenge ACK left out: rate limit",
            Self::ResetChallenged => "challenge ACK: RST at a wrong sequence number",
            Self::AlreadyTaken => "taken before: acknowledged again",
            Self::WrongSynAck => "answered by RST: wrong acknowledgement of the SYN",
            Self::TimeWait => "connection in TIME_WAIT",
        }
    }

    /// The function of the kernel that decides it.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::SynQueueFull
            | Self::SynAcceptQueueFull
            | Self::CookieSynAcceptQueueFull
            | Self::SynReserve
            | Self::SynNoRoute => "net/ipv4/tcp_input.c tcp_conn_request",
            Self::RepeatedSynLimited
            | Self::ThirdAckQueueFull
            | Self::ThirdAckAborted
            | Self::Deferred
            | Self::WrongAck
            | Self::WrongTimestampEcho
            | Self::RequestReset
            | Self::SynInsideRequest
            | Self::OutsideWindow => "net/ipv4/tcp_minisocks.c tcp_check_req",
            Self::CookieAckQueueFull | Self::CookieInvalid | Self::CookieNotAsked => {
                "net/ipv4/syncookies.c cookie_v4_check"
            }
            Self::RequestUnreachable => "net/ipv4/tcp_ipv4.c tcp_v4_err, tcp_req_err",
            Self::NoSocket | Self::ResetNoSocket => "net/ipv4/tcp_ipv4.c tcp_v4_rcv",
            Self::Challenged | Self::ChallengeLimited | Self::ResetChallenged => {
                "net/ipv4/tcp_input.c tcp_validate_incoming"
            }
            Self::AlreadyTaken => "net/ipv4/tcp_input.c tcp_data_queue",
            Self::WrongSynAck => "net/ipv4/tcp_input.c tcp_rcv_synsent_state_process",
            Self::TimeWait => "net/ipv4/tcp_minisocks.c tcp_timewait_state_process",
        }
    }

    pub(crate) const fn moves(self) -> &'static [Counter] {
        use Counter::{
            AttemptFails, EmbryonicRsts, InErrs, ListenDrops, ListenOverflows, SyncookiesFailed,
            SyncookiesRecv, TcpAckSkippedChallenge, TcpAckSkippedSynRecv, TcpChallengeAck,
            TcpDeferAcceptDrop, TcpReqQFullDoCookies, TcpReqQFullDrop, TcpSynChallenge,
            TsEcrRejected,
        };
        match self {
            Self::SynQueueFull => &[TcpReqQFullDrop, ListenDrops],
            Self::SynAcceptQueueFull | Self::ThirdAckQueueFull => &[ListenOverflows, ListenDrops],
            Self::CookieSynAcceptQueueFull => &[TcpReqQFullDoCookies, ListenOverflows, ListenDrops],
            Self::SynReserve | Self::SynNoRoute | Self::RequestUnreachable => &[ListenDrops],
            Self::RepeatedSynLimited => &[TcpAckSkippedSynRecv],
            Self::ThirdAckAborted => &[ListenOverflows, ListenDrops, EmbryonicRsts],
            Self::CookieAckQueueFull => &[SyncookiesRecv, ListenOverflows, ListenDrops],
            Self::CookieInvalid => &[SyncookiesFailed],
            Self::Deferred => &[TcpDeferAcceptDrop],
            Self::WrongTimestampEcho => &[TsEcrRejected],
            Self::RequestReset | Self::SynInsideRequest => &[AttemptFails, EmbryonicRsts],
            Self::Challenged => &[TcpSynChallenge, TcpChallengeAck, InErrs],
            Self::ChallengeLimited => &[TcpSynChallenge, TcpAckSkippedChallenge, InErrs],
            Self::ResetChallenged => &[TcpChallengeAck],
            Self::CookieNotAsked
            | Self::WrongAck
            | Self::OutsideWindow
            | Self::NoSocket
            | Self::ResetNoSocket
            | Self::AlreadyTaken
            | Self::WrongSynAck
            | Self::TimeWait => &[],
        }
    }
}

/// What a SYN cookie moves: it is no drop, but some kernels count it as one.
pub fn counters_of_cookie(semantics: &Semantics) -> impl Iterator<Item = Counter> + use<> {
    let counting = semantics.counting;
    let full = counting.syn_queue_full_is_counted.then_some(Counter::TcpReqQFullDoCookies);
    let drop = matches!(counting.listen_drops_per_cookie, ListenDropsPerCookie::One)
        .then_some(Counter::ListenDrops);
    [Some(Counter::SyncookiesSent), full, drop].into_iter().flatten()
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(kernel: &str, reason: DropReason) -> Vec<Counter> {
        let semantics = Semantics::of(kernel.parse().expect("a release"));
        reason.counters(&semantics).collect()
    }

    #[test]
    fn overflow_of_a_syn_is_counted_from_3_10_and_of_a_third_ack_always() {
        let both = [Counter::ListenOverflows, Counter::ListenDrops];
        assert_eq!(moved("3.6.0", DropReason::SynAcceptQueueFull), []);
        assert_eq!(moved("3.10.4", DropReason::SynAcceptQueueFull), both);
        assert_eq!(moved("2.6.32", DropReason::ThirdAckQueueFull), both);
    }

    #[test]
    fn the_limit_of_repeated_syns_is_counted_where_it_exists() {
        let moved = |kernel| moved(kernel, DropReason::RepeatedSynLimited);
        assert_eq!(moved("3.16.0"), []);
        for kernel in ["3.10.0-1160.el7", "4.0.5", "6.18.0"] {
            assert_eq!(moved(kernel), [Counter::TcpAckSkippedSynRecv], "{kernel}");
        }
    }

    #[test]
    fn cookies_count_as_drops_from_3_10_to_4_4() {
        let counted = |kernel: &str| {
            let semantics = Semantics::of(kernel.parse().expect("a release"));
            counters_of_cookie(&semantics).any(|counter| counter == Counter::ListenDrops)
        };
        assert_eq!(
            ["3.6.0", "3.10.65", "4.4.0", "4.9.0", "6.18.0"].map(counted),
            [false, true, true, false, false]
        );
    }

    #[test]
    fn reasons_stand_once_in_the_list() {
        for (at, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at, "{reason}");
        }
    }
}
