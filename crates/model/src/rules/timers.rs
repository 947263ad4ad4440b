//! Timetables: SYN and SYN-ACK retransmissions, and when either side gives up.

use crate::retries::{SynRetries, syn_ack_sent_after_ms};
use crate::{SynAckTimer, SynGiveUp, SynQueueFull, words};

use super::{Rule, seen, unconfirmed};

pub(super) const RULES: &[Rule] =
    &[SYN_RETRIES, SYN_ACK_TIMER, SYN_ACK_PRUNING, REPEATED_SYN, TIMER_SLACK];

const SYN_RETRIES: Rule = Rule {
    id: "syn-retries",
    title: "When a client sends its SYN again, and when connect() fails",
    text: "The wait doubles from the first time-out on, to 120 s at the most. From 6.5 the first \
           tcp_syn_linear_timeouts (4) waits stay the same. connect() fails with ETIMEDOUT; \
           TCPTimeouts counts each fire of the timer, TCPSynRetrans each SYN sent again, and the \
           end counts AttemptFails and TCPAbortOnTimeout.\n\
           A connect() that takes whole seconds (1, 3, 7, or 1, 2, 3, 4, 5, 7 from 6.5) lost so \
           many SYNs or SYN-ACKs. What the elapsed time ends may come before all retries are \
           used: tcp_syn_retries = 2 fails after 7 s.",
    code: &["net/ipv4/tcp_timer.c tcp_write_timeout, retransmits_timed_out, tcp_retransmit_timer"],
    commits: &[
        seen("9ad7c049f0f7", "3.1: first time-out 1 s, was 3 s"),
        seen("ccce324dabfe", "6.5: tcp_syn_linear_timeouts"),
    ],
    differs: |semantics| {
        let syn = SynRetries::defaults(semantics);
        let sent = words::moments(&syn.sent_ms());
        let end = words::span(syn.gives_up_after_ms());
        let doubt = match semantics.client.syn_give_up {
            SynGiveUp::ElapsedOfShortestRto => " (derived, UNCONFIRMED)",
            SynGiveUp::Elapsed | SynGiveUp::CountOrElapsed => "",
        };
        format!("SYN at {sent} s; fails after {end}{doubt}")
    },
    findings: &["connect-unanswered"],
};

const SYN_ACK_TIMER: Rule = Rule {
    id: "syn-ack-timer",
    title: "When a server sends its SYN-ACK again, and when it forgets the request",
    text: "The wait doubles from the first time-out on, to 120 s at the most. After \
           tcp_synack_retries (5) retransmissions and one more wait the request is removed: no \
           RST, no counter but TCPTimeouts. A segment of the client that comes later gets RST.\n\
           TCP_SYNCNT set on the listener replaces tcp_synack_retries. tcp_syn_linear_timeouts \
           has no effect here. A full accept queue changes nothing: the SYN-ACK is sent again \
           although the client has acknowledged it.\n\
           A whole life counts 6 TCPTimeouts and 5 TCPSynRetrans and RetransSegs.",
    code: &[
        "net/ipv4/inet_connection_sock.c reqsk_timer_handler",
        "net/ipv4/inet_connection_sock.c inet_csk_reqsk_queue_prune (to 4.0)",
    ],
    commits: &[
        seen("9ad7c049f0f7", "3.1: first time-out 1 s, was 3 s"),
        seen("fa76ce7328b2", "4.1: a timer per request"),
        seen("1280c26228bd", "6.15: tcp_rto_max_ms; it bounds SYN-ACKs from 6.19"),
        unconfirmed("5903123f662e", "5.18: a BPF program's first time-out counts for the backoff"),
    ],
    differs: |semantics| {
        let rto = semantics.timers.initial_rto_ms;
        let sent: Vec<u64> = (0..=5).map(|n| syn_ack_sent_after_ms(rto, n)).collect();
        let end = words::span(syn_ack_sent_after_ms(rto, 6));
        let mut text = format!("SYN-ACK at {} s; forgotten after {end}", words::moments(&sent));
        if matches!(semantics.timers.syn_ack_timer, SynAckTimer::Polled) {
            text.push_str("; looked at about twice in the first time-out, so less exact");
        }
        if semantics.timers.rto_max_bounds_syn_acks {
            text.push_str("; tcp_rto_max_ms bounds the waits");
        }
        text
    },
    findings: &["third-ack-lost", "third-ack-dropped"],
};

const SYN_ACK_PRUNING: Rule = Rule {
    id: "syn-ack-pruning",
    title: "A SYN queue that is half full gives up requests sooner",
    text: "While the queue is more than half full, old requests get fewer retries, down to 2: \
           with y young requests (whose timer has not fired) and q in all, the retries are \
           lowered by one while q is at least 2y, then 4y, then 8y. So young requests keep their \
           place and a queue of silent ones is cut back after 7 s.\n\
           Measured with a backlog of 8 and 9 silent requests: at 7 s five are given up, until \
           the queue is no more than half full; the other four live for 63 s.",
    code: &["net/ipv4/inet_connection_sock.c reqsk_timer_handler"],
    commits: &[],
    differs: |semantics| {
        let half_full = match semantics.queues.syn_queue_full {
            SynQueueFull::PowerOfTwoTable => "from half of the table on",
            SynQueueFull::AtLimit | SynQueueFull::AboveLimit => {
                "while twice the requests exceed the accept-queue limit (at least 8)"
            }
        };
        half_full.to_owned()
    },
    findings: &[],
};

const REPEATED_SYN: Rule = Rule {
    id: "repeated-syn",
    title: "A SYN that is sent again is answered again, within a rate limit",
    text: "The same SYN on a request makes the server send its SYN-ACK again (TCPSynRetrans, \
           RetransSegs) and start the timer anew at its current length; it does not count as a \
           time-out. SYNs that the rate limit leaves unanswered count in TCPACKSkippedSynRecv.",
    code: &["net/ipv4/tcp_minisocks.c tcp_check_req", "net/ipv4/tcp_input.c tcp_oow_rate_limited"],
    commits: &[],
    differs: |semantics| match semantics.timers.repeated_syn_limit_ms {
        0 => "answered each time".to_owned(),
        limit => format!("at most once in {}", words::span(u64::from(limit))),
    },
    findings: &[],
};

const TIMER_SLACK: Rule = Rule {
    id: "timer-slack",
    title: "Timers fire late, by up to 2.5 percent",
    text: "The kernel's timer wheel gets coarser the farther a time is away, so a wait of 32 s \
           may take 33. Measured on 6.18: SYN-ACKs at 0.96, 2.98, 7.2, 15.4 and 31.5 s, forgotten \
           after 64.6 s instead of 63; connect() failed after 134.2 s instead of 131. Expect no \
           exact figures.\n\
           To 4.0 one timer per listener looked at its requests every 200 ms, a part of them each \
           time, so SYN-ACKs were later still.",
    code: &["kernel/time/timer.c", "net/ipv4/inet_connection_sock.c inet_csk_reqsk_queue_prune"],
    commits: &[],
    differs: |semantics| {
        let timer = match semantics.timers.syn_ack_timer {
            SynAckTimer::Polled => "SYN-ACK timer polled every 200 ms",
            SynAckTimer::PerRequest => "a timer per request",
        };
        timer.to_owned()
    },
    findings: &[],
};
