//! The accept queue: how long it may get, and what a full one does to a SYN.

use crate::{BacklogWidth, SomaxconnCheck, SynOnFullAcceptQueue};

use super::{Rule, seen, unconfirmed};

pub(super) const RULES: &[Rule] =
    &[ACCEPT_QUEUE_FULL, SOMAXCONN, BACKLOG_WIDTH, SYN_ON_FULL_ACCEPT_QUEUE];

const ACCEPT_QUEUE_FULL: Rule = Rule {
    id: "accept-queue-full",
    title: "When the accept queue is full: more than its limit wait",
    text: "The accept queue holds complete connections that no process has taken by accept(). It \
           is full when sk_ack_backlog > sk_max_ack_backlog, so it holds one more than its limit: \
           a backlog of 0 has room for 1. A queue at its limit is not full yet.\n\
           Releases that were read all have `>`. It was `>=` for a while in 2007 and in \
           development kernels of 2021; no release has it.\n\
           Only a SYN and a third ACK (or what stands for it) ask. Migration of a closing \
           listener's children does not, and can fill a queue beyond its room.",
    code: &[
        "include/net/sock.h sk_acceptq_is_full",
        "net/ipv4/tcp_input.c tcp_conn_request",
        "net/ipv4/tcp_ipv4.c tcp_v4_syn_recv_sock",
    ],
    commits: &[
        seen("64a146513f8f", "2.6.21: back to `>`"),
        seen("c609e6aae4ef", "5.12: back to `>` before the release"),
    ],
    differs: |_| "room is the limit + 1".to_owned(),
    findings: &["accept-stalled", "accept-too-slow", "backlog-clamped"],
};

const SOMAXCONN: Rule = Rule {
    id: "somaxconn",
    title: "net.core.somaxconn caps the backlog given to listen()",
    text: "listen() stores min(backlog, somaxconn), compared as unsigned: a negative backlog is \
           somaxconn. (Libraries may change it first: Python makes -1 a 0.)\n\
           The cap applies at listen(). Raising somaxconn later changes no listener until its \
           program calls listen() again, which is allowed and only replaces the limit. somaxconn \
           is a setting of each network namespace: a container has its own.",
    code: &["net/socket.c listen (__sys_listen_socket)", "net/ipv4/af_inet.c inet_listen"],
    commits: &[
        unconfirmed("5f671d6b4ec3", "3.12: only 0 to 65535 can be written"),
        seen("19f92a030ca6", "5.4: default 4096, was 128"),
    ],
    differs: |semantics| {
        let queues = semantics.queues;
        let takes = match queues.somaxconn_check {
            SomaxconnCheck::Unchecked => "takes any number, cut to 16 bits at listen()",
            SomaxconnCheck::SixteenBits => "takes 0 to 65535",
            SomaxconnCheck::NotNegative => "takes 0 to 2147483647",
        };
        format!("default {}; {takes}", queues.somaxconn_default)
    },
    findings: &["backlog-clamped", "somaxconn-not-applied"],
};

const BACKLOG_WIDTH: Rule = Rule {
    id: "backlog-width",
    title: "Old kernels keep the limit in 16 bits",
    text: "Before 4.1 limit and length of the accept queue are unsigned short. Where somaxconn \
           may be larger than 65535, the upper bits are lost without a word: 65536 and 262144 \
           become 0, with room for one connection, and 70000 becomes 4464.",
    code: &["include/net/sock.h struct sock, sk_max_ack_backlog"],
    commits: &[seen("becb74f0acca", "4.1: 32 bits")],
    differs: |semantics| {
        let queues = semantics.queues;
        let text = match (queues.backlog_width, queues.somaxconn_check) {
            (BacklogWidth::Bits16, SomaxconnCheck::Unchecked) => "16 bits: 262144 becomes 0",
            (BacklogWidth::Bits16, _) => "16 bits, and somaxconn cannot exceed them",
            (BacklogWidth::Bits32, _) => "32 bits",
        };
        text.to_owned()
    },
    findings: &["backlog-truncated"],
};

const SYN_ON_FULL_ACCEPT_QUEUE: Rule = Rule {
    id: "syn-on-full-accept-queue",
    title: "What a full accept queue does to a SYN",
    text: "From 4.10 on the SYN is dropped, and the client sees a connect() that takes 1, 3 or 7 \
           seconds, or fails. Before, it was dropped only while more than one young request (one \
           whose SYN-ACK was not sent again yet) waited; so up to two clients at a time were told \
           that they are connected, and their third ACK was dropped.\n\
           Neither cookies nor tcp_abort_on_overflow change it. Late releases of 4.9.y are \
           UNCONFIRMED.",
    code: &["net/ipv4/tcp_input.c tcp_conn_request"],
    commits: &[
        seen(
            "5ea8ea2cb7f1",
            "4.10: dropped whenever the queue is full; also in late 4.4.y, 3.16.y",
        ),
        unconfirmed("2aeef18d37aa", "3.10: counted in ListenOverflows and ListenDrops"),
    ],
    differs: |semantics| {
        let rule = match semantics.queues.syn_on_full_accept_queue {
            SynOnFullAcceptQueue::Dropped => "dropped",
            SynOnFullAcceptQueue::DroppedIfYoungRequests => {
                "dropped while more than one young request waits"
            }
        };
        if semantics.counting.syn_drops_are_counted {
            rule.to_owned()
        } else {
            format!("{rule}; counted nowhere")
        }
    },
    findings: &["accept-stalled", "accept-too-slow"],
};
