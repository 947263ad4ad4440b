//! What becomes of a SYN: the SYN queue, its reserve, cookies.

use crate::{ListenDropsPerCookie, SynQueueFull, words};

use super::{Rule, seen};

pub(super) const RULES: &[Rule] =
    &[SYN_ORDER, SYN_QUEUE_FULL, LAST_QUARTER, SYN_COOKIES, COOKIE_VALIDITY, DEFER_ACCEPT];

const SYN_ORDER: Rule = Rule {
    id: "syn-order",
    title: "In which order a SYN meets the limits",
    text: "First the SYN queue: if it is full (or tcp_syncookies is 2) the SYN is dropped, or \
           with cookies on it is to be answered by a cookie. Then the accept queue: if that is \
           full the SYN is dropped, cookie or not. Then memory, route and security modules. Last, \
           with cookies off, the last-quarter rule. What passes is answered by a SYN-ACK.\n\
           A SYN that takes over a connection in TIME_WAIT skips the SYN queue's test, never that \
           of the accept queue.",
    code: &["net/ipv4/tcp_input.c tcp_conn_request", "net/ipv4/tcp_ipv4.c tcp_v4_conn_request"],
    commits: &[],
    differs: |semantics| {
        let counted = if semantics.counting.syn_drops_are_counted {
            "drops count in ListenDrops"
        } else if semantics.counting.syn_queue_full_is_counted {
            "of drops only those of the SYN queue are counted"
        } else {
            "drops are not counted at all"
        };
        counted.to_owned()
    },
    findings: &["syn-queue-full", "syn-reserve", "accept-too-slow", "listen-drops-other"],
};

const SYN_QUEUE_FULL: Rule = Rule {
    id: "syn-queue-full",
    title: "When the SYN queue is full",
    text: "The SYN queue holds requests: SYNs that were answered by a SYN-ACK and wait for the \
           third ACK. A request leaves when the connection is complete, is reset, or expires. If \
           the queue is full, tcp_syncookies decides: 0 drops the SYN, 1 answers it by a cookie.\n\
           From 4.4 on it has no limit of its own: its length is compared with the limit of the \
           accept queue. Before, it was a table of 2^n places, sized at the first listen() from \
           the smallest of backlog, somaxconn and tcp_max_syn_backlog; a later listen() did not \
           resize it.\n\
           The stable branches took the change of 6.13 early in 2025. Of those 5.10.262, \
           6.1.192 and 6.12.117 were read; with which release each branch took it is UNCONFIRMED, and so is \
           RHEL 9.",
    code: &[
        "include/net/inet_connection_sock.h inet_csk_reqsk_queue_is_full",
        "net/core/request_sock.c reqsk_queue_alloc (to 4.3)",
    ],
    commits: &[
        seen("ef547f2ac16b", "4.4: the table is gone"),
        seen("3479c7549fb1", "6.13: one more fits, so a backlog of 0 has room for a request"),
    ],
    differs: |semantics| {
        let rule = match semantics.queues.syn_queue_full {
            SynQueueFull::PowerOfTwoTable => {
                "2^n, the first above min(backlog, somaxconn, tcp_max_syn_backlog), at least 16"
            }
            SynQueueFull::AtLimit => "the accept-queue limit; a backlog of 0 has no room",
            SynQueueFull::AboveLimit => "the accept-queue limit + 1",
        };
        rule.to_owned()
    },
    findings: &["syn-queue-full", "syn-cookies-in-use"],
};

const LAST_QUARTER: Rule = Rule {
    id: "last-quarter",
    title: "With cookies off, the last quarter of tcp_max_syn_backlog is reserved",
    text: "While tcp_syncookies is 0, a SYN is dropped when less than a quarter of \
           tcp_max_syn_backlog is left (max - qlen < max >> 2), unless the kernel remembers a \
           round-trip time of its sender. With 16 that is from 13 requests on, whatever the \
           backlog. Only ListenDrops counts it, and to 3.6 nothing does.\n\
           From 4.4 on this is all that tcp_max_syn_backlog does; while cookies are on it does \
           nothing.",
    code: &["net/ipv4/tcp_input.c tcp_conn_request", "net/ipv4/tcp_metrics.c tcp_peer_is_proven"],
    commits: &[],
    differs: |semantics| {
        let also = match semantics.queues.syn_queue_full {
            SynQueueFull::PowerOfTwoTable => "; tcp_max_syn_backlog also caps the table",
            SynQueueFull::AtLimit | SynQueueFull::AboveLimit => "",
        };
        let scope = if semantics.queues.max_syn_backlog_per_netns {
            "a setting per network namespace"
        } else {
            "a setting of the whole host"
        };
        format!("{scope}{also}")
    },
    findings: &["syn-reserve"],
};

const SYN_COOKIES: Rule = Rule {
    id: "syn-cookies",
    title: "When SYN cookies are sent, and what they cost",
    text: "tcp_syncookies 0 never sends them, 1 does when the SYN queue is full, 2 always (for \
           tests). A cookie is a SYN-ACK of which the server keeps nothing, so a lost SYN-ACK is \
           not sent again: the client's next SYN or its data must repair it.\n\
           A full accept queue drops the SYN all the same, and the ACK of a cookie that was sent: \
           cookies stand in for the SYN queue only.\n\
           Without timestamps, window scaling, SACK and ECN are lost and the MSS is rounded down \
           to one of a few values; with timestamps they are kept. Fast Open is ignored.",
    code: &["net/ipv4/tcp_input.c tcp_conn_request", "net/ipv4/syncookies.c cookie_init_sequence"],
    commits: &[],
    differs: |semantics| {
        let mut text = format!("on by default: {}", semantics.cookies.default);
        if !semantics.cookies.always_exists {
            text.push_str("; no value 2");
        }
        if matches!(semantics.counting.listen_drops_per_cookie, ListenDropsPerCookie::One) {
            text.push_str("; each cookie counts in ListenDrops");
        }
        text
    },
    findings: &["syn-cookies-in-use"],
};

const COOKIE_VALIDITY: Rule = Rule {
    id: "cookie-validity",
    title: "How long a SYN cookie is good for",
    text: "The ACK of a cookie is believed only if the listener sent a cookie lately, and only \
           while the cookie's own minute count is not too old. Any other ACK gets RST.\n\
           A believed cookie makes a connection at once, if the accept queue has room. If not, \
           the ACK is dropped and nothing is kept; each segment that the client sends again \
           carries the cookie and tries once more.",
    code: &[
        "net/ipv4/syncookies.c cookie_v4_check",
        "include/net/tcp.h tcp_synq_no_recent_overflow",
    ],
    commits: &[],
    differs: |semantics| {
        let cookies = semantics.cookies;
        let mut text = format!(
            "{} after the last cookie; {} minutes by its count",
            words::span(u64::from(cookies.believed_for_ms)),
            cookies.max_age_minutes
        );
        if cookies.shared_by_group {
            text.push_str("; shared by a SO_REUSEPORT group");
        }
        if cookies.counts_unasked_failures {
            text.push_str("; SyncookiesFailed also counts ACKs without any recent cookie");
        }
        text
    },
    findings: &["syn-cookies-in-use"],
};

const DEFER_ACCEPT: Rule = Rule {
    id: "defer-accept",
    title: "TCP_DEFER_ACCEPT keeps a connection in the SYN queue until data comes",
    text: "The bare third ACK is noted and dropped (TCPDeferAcceptDrop); the request stays in the \
           SYN queue and takes room there, not in the accept queue. Data makes the connection at \
           once.\n\
           The seconds given to setsockopt become a number of time-outs, so 10 s become 4 \
           time-outs and read back as 15. Until the last of them the SYN-ACK is not sent again. \
           It then is, to give the client a last chance: a bare ACK that answers after that is \
           taken.\n\
           To the client all this is an established connection. It is normal, not an overflow.",
    code: &[
        "net/ipv4/tcp_minisocks.c tcp_check_req",
        "net/ipv4/inet_connection_sock.c syn_ack_recalc",
        "net/ipv4/tcp.c secs_to_retrans",
    ],
    commits: &[],
    differs: |semantics| {
        let counted = if semantics.counting.defer_accept_drops_are_counted {
            "counted in TCPDeferAcceptDrop"
        } else {
            "not counted"
        };
        let rto = semantics.timers.initial_rto_ms;
        let timeouts = crate::tcp::secs_to_timeouts(10, rto);
        format!("10 s are {timeouts} time-outs; {counted}")
    },
    findings: &[],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Semantics;

    #[test]
    fn old_kernels_drop_syns_without_a_count() {
        let old = Semantics::of("2.6.32".parse().expect("a release"));
        assert_eq!((SYN_ORDER.differs)(&old), "drops are not counted at all");
    }
}
