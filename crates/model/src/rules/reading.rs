//! What the figures that tools show mean.

use crate::ListenDropsPerCookie;

use super::{Rule, seen, unconfirmed};

pub(super) const RULES: &[Rule] = &[READING_THE_QUEUES, LISTEN_DROPS, DROP_REASONS];

const READING_THE_QUEUES: Rule = Rule {
    id: "reading-the-queues",
    title: "Where the queues can be read",
    text: "`ss -ltn`: of a LISTEN socket Recv-Q is the accept queue's length and Send-Q its \
           limit. Recv-Q = Send-Q is not full yet; Send-Q + 1 is. /proc/net/tcp and netstat have \
           the length as rx_queue, and no limit. TCP_INFO on a listener has the same pair \
           (tcpi_unacked, tcpi_sacked).\n\
           The SYN queue's length is exported nowhere: count the sockets of that port in \
           SYN_RECV, `ss -tn state syn-recv sport = :PORT`.\n\
           Of other sockets Recv-Q counts bytes that the process has not read; a FIN adds one.",
    code: &[
        "net/ipv4/inet_diag.c, tcp_diag.c tcp_diag_get_info",
        "net/ipv4/tcp_ipv4.c get_tcp4_sock",
    ],
    commits: &[seen("5ee3afba88f5", "2.6.24: limit and length in sock_diag")],
    differs: |semantics| {
        if semantics.queues.requests_in_ehash {
            "requests are dumped as sockets of their own"
        } else {
            "requests are dumped through their listener"
        }
        .to_owned()
    },
    findings: &["accept-stalled", "syn-queue-full"],
};

const LISTEN_DROPS: Rule = Rule {
    id: "listen-drops",
    title: "What ListenOverflows and ListenDrops count",
    text: "Segments, not connections, and per network namespace, not per listener. \
           ListenOverflows: an accept queue was full, for a SYN or a third ACK. ListenDrops: the \
           same, and every other reason that ended a segment on its way to a listener: full SYN \
           queue, last-quarter rule, no memory, no route, a request that an ICMP error ended.\n\
           A client that hangs adds one with each segment: measured, an idle one 5, one with data \
           15 in 63 s.",
    code: &["net/ipv4/tcp_ipv4.c tcp_v4_syn_recv_sock", "include/net/tcp.h tcp_listendrop"],
    commits: &[
        unconfirmed("2aeef18d37aa", "3.10: dropped SYNs count too"),
        unconfirmed("946cedccbd73", "3.1: TCPReqQFullDrop and TCPReqQFullDoCookies"),
        seen("9caad864151e", "4.7: the listener's own sk_drops, `d` in `ss -lm`"),
    ],
    differs: |semantics| {
        let counting = semantics.counting;
        let mut parts =
            vec![if counting.syn_drops_are_counted { "SYNs too" } else { "third ACKs only" }];
        if matches!(counting.listen_drops_per_cookie, ListenDropsPerCookie::One) {
            parts.push("one ListenDrop per cookie");
        }
        if counting.listener_counts_its_drops {
            parts.push("per listener in `ss -lm`");
        }
        parts.join("; ")
    },
    findings: &["accept-too-slow", "listen-drops-other"],
};

const DROP_REASONS: Rule = Rule {
    id: "drop-reasons",
    title: "What tools that show the kernel's drop reasons can see",
    text: "A SYN that a full queue drops has no drop reason and makes no kfree_skb event from \
           4.10 on: its caller consumes it like one that was served. dropwatch, perf trace and \
           retis stay silent; the counters do not.\n\
           A dropped third ACK does make the event. Its reason says something only in new \
           kernels.",
    code: &["net/ipv4/tcp_input.c tcp_conn_request", "net/ipv4/tcp_minisocks.c tcp_check_req"],
    commits: &[seen("e34100c2ecbb", "6.15: TCP_LISTEN_OVERFLOW, with a11a791ca81e")],
    differs: |semantics| match semantics.counting.third_ack_drop_reason {
        Some(reason) => format!("third ACK: {reason}; SYN: none"),
        None => "none".to_owned(),
    },
    findings: &["third-ack-dropped"],
};
