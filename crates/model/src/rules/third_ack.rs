//! The third ACK, and what either side does when the server would not take it.

use crate::{ChallengeLimit, ResetOfRequest};

use super::Rule;

pub(super) const RULES: &[Rule] =
    &[THIRD_ACK, ABORT_ON_OVERFLOW, CHALLENGE_ACK, RESET_OF_REQUEST, TIMESTAMP_ECHO];

const THIRD_ACK: Rule = Rule {
    id: "third-ack",
    title: "A third ACK that meets a full accept queue is dropped",
    text: "The client is connected, the server has a request only. The ACK, or the data that \
           comes in its place, is dropped silently and the request marked as acknowledged. Each \
           further segment tries again and counts ListenOverflows and ListenDrops once more. Data \
           is not kept.\n\
           The SYN-ACK goes on being sent on its timetable; an idle client answers each with a \
           challenge ACK, which is a try too. If a place becomes free in time, the connection is \
           made. If not, the server forgets the request after 63 s without a word, and the client \
           learns it by the RST that answers its next segment.",
    code: &[
        "net/ipv4/tcp_ipv4.c tcp_v4_syn_recv_sock, exit_overflow",
        "net/ipv4/tcp_minisocks.c tcp_check_req, listen_overflow",
    ],
    commits: &[],
    differs: |semantics| match semantics.counting.third_ack_drop_reason {
        Some(reason) => format!("dropped, drop reason {reason}"),
        None => "dropped, no drop reason".to_owned(),
    },
    findings: &["third-ack-dropped"],
};

const ABORT_ON_OVERFLOW: Rule = Rule {
    id: "abort-on-overflow",
    title: "tcp_abort_on_overflow answers such a third ACK by RST",
    text: "With net.ipv4.tcp_abort_on_overflow = 1 the request is removed and the client's \
           connection reset (EmbryonicRsts and OutRsts besides ListenOverflows and ListenDrops): \
           connect() succeeds and the first read or write fails with ECONNRESET.\n\
           It applies to a third ACK only, never to a SYN and never to the ACK of a cookie. So \
           from 4.10 on most clients of a full queue still see a connect() that hangs.",
    code: &["net/ipv4/tcp_minisocks.c tcp_check_req, listen_overflow"],
    commits: &[],
    differs: |semantics| {
        let scope = if semantics.queues.abort_on_overflow_per_netns {
            "a setting per network namespace"
        } else {
            "a setting of the whole host"
        };
        scope.to_owned()
    },
    findings: &["overflow-reset"],
};

const CHALLENGE_ACK: Rule = Rule {
    id: "challenge-ack",
    title: "How a connected client answers a SYN-ACK that comes again",
    text: "By a challenge ACK, which at the server is one more try for a place in the accept \
           queue. The client counts TCPSYNChallenge, TCPChallengeACK and InErrs; a rising InErrs \
           of a client is therefore no damaged traffic.\n\
           A connection sends one in 500 ms at the most (tcp_invalid_ratelimit); those left out \
           count in TCPACKSkippedChallenge. Besides there is a limit for the host \
           (tcp_challenge_ack_limit).",
    code: &["net/ipv4/tcp_input.c tcp_validate_incoming, tcp_send_challenge_ack"],
    commits: &[],
    differs: |semantics| {
        let client = semantics.client;
        let limit = match client.challenge_limit {
            ChallengeLimit::NoChallenge => {
                return "no challenge: a duplicate ACK (derived, UNCONFIRMED)".to_owned();
            }
            ChallengeLimit::PerSecond(n) => format!("{n} a second for the host"),
            ChallengeLimit::Unlimited => "no limit for the host".to_owned(),
        };
        let socket = if client.challenge_limit_per_socket { ", one in 500 ms each" } else { "" };
        format!("{limit}{socket}")
    },
    findings: &["third-ack-dropped"],
};

const RESET_OF_REQUEST: Rule = Rule {
    id: "reset-of-request",
    title: "An RST from the client removes a request",
    text: "It counts AttemptFails and EmbryonicRsts, and the place in the SYN queue is free. A \
           SYN inside the request's window that is not the first one repeated does the same, and \
           is answered by RST. An ACK that acknowledges something never sent is answered by RST \
           too, but the request stays.",
    code: &["net/ipv4/tcp_minisocks.c tcp_check_req"],
    commits: &[],
    differs: |semantics| {
        let rule = match semantics.queues.reset_of_request {
            ResetOfRequest::InWindow => "any RST in the window",
            ResetOfRequest::ExactSequence => {
                "only with the next sequence number; any other is answered by a challenge ACK"
            }
        };
        rule.to_owned()
    },
    findings: &[],
};

const TIMESTAMP_ECHO: Rule = Rule {
    id: "timestamp-echo",
    title: "A third ACK must echo a timestamp that was sent",
    text: "Newer kernels refuse a third ACK whose echoed timestamp lies outside of what the \
           SYN-ACKs carried: no connection is made, an ACK is sent and TSEcrRejected counts it. \
           Boxes that rewrite timestamps cause it. It is in 6.18.2 and not in 6.14; the release \
           between is UNCONFIRMED and taken to be 6.15.",
    code: &["net/ipv4/tcp_minisocks.c tcp_check_req"],
    commits: &[],
    differs: |semantics| {
        let checked = semantics.queues.checks_echoed_timestamp;
        if checked { "refused" } else { "not looked at" }.to_owned()
    },
    findings: &["listen-drops-other"],
};
