//! What is commonly said of listen queues and is not so, or no longer.

use crate::Counter;

/// A saying, and what the kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lore {
    /// What is said.
    pub said: &'static str,
    /// What is so.
    pub fact: &'static str,
    /// The rule that it is about.
    pub rule: &'static str,
    /// The counters that it is about.
    pub counters: &'static [Counter],
}

/// Every saying.
pub const ALL: &[Lore] = &[
    Lore {
        said: "The SYN queue holds min(backlog, somaxconn, tcp_max_syn_backlog), plus one, \
               rounded up to a power of two, at least 16.",
        fact: "Only to 4.3, RHEL 6 and 7 included. From 4.4 its limit is that of the accept queue.",
        rule: "syn-queue-full",
        counters: &[],
    },
    Lore {
        said: "tcp_max_syn_backlog limits the SYN queue.",
        fact: "From 4.4 only while tcp_syncookies is 0, at three quarters of its value, and only \
               for peers that the kernel does not remember.",
        rule: "last-quarter",
        counters: &[],
    },
    Lore {
        said: "A backlog of N holds N connections.",
        fact: "It holds N + 1, in every kernel.",
        rule: "accept-queue-full",
        counters: &[],
    },
    Lore {
        said: "When the accept queue is full, the server ignores the third ACK.",
        fact: "That is the normal case to 4.9. From 4.10 the SYN is dropped already; a third ACK \
               is dropped only after a burst, when several requests were let in before the queue \
               filled.",
        rule: "third-ack",
        counters: &[Counter::ListenOverflows],
    },
    Lore {
        said: "SYN cookies help when the accept queue overflows.",
        fact: "Never: they replace the SYN queue alone.",
        rule: "syn-cookies",
        counters: &[Counter::SyncookiesSent],
    },
    Lore {
        said: "ListenOverflows counts connections.",
        fact: "It counts segments: one client that hangs adds 5 to 20.",
        rule: "listen-drops",
        counters: &[Counter::ListenOverflows],
    },
    Lore {
        said: "ListenDrops minus ListenOverflows is what the SYN queue dropped.",
        fact: "From 3.10 to 4.4 each SYN cookie counts too; everywhere SYNs of the last-quarter \
               rule, requests ended by ICMP, and failed allocations do. TCPReqQFullDrop is the \
               SYN queue's.",
        rule: "listen-drops",
        counters: &[Counter::ListenDrops, Counter::TcpReqQFullDrop],
    },
    Lore {
        said: "TCPReqQFullDoCookies counts the cookies that were sent.",
        fact: "It also counts SYNs that are dropped right after, because the accept queue is \
               full. SyncookiesSent counts cookies.",
        rule: "syn-cookies",
        counters: &[Counter::TcpReqQFullDoCookies, Counter::SyncookiesSent],
    },
    Lore {
        said: "The server sends RST when it gives up a connection in SYN_RECV.",
        fact: "It forgets silently. RST answers the next segment that the client sends.",
        rule: "syn-ack-timer",
        counters: &[Counter::OutRsts],
    },
    Lore {
        said: "connect() times out after 127 seconds.",
        fact: "131 from 6.5, plus what the timers lag behind, with SYNs after 1, 2, 3, 4, 5, 7, \
               11, 19, 35 and 67 s.",
        rule: "syn-retries",
        counters: &[],
    },
    Lore {
        said: "somaxconn must not exceed 65535.",
        fact: "It is 32 bits wide from 4.1. Old kernels without the check cut larger values \
               silently; 262144 became 0.",
        rule: "somaxconn",
        counters: &[],
    },
    Lore {
        said: "tcp_tw_reuse is 2 since 4.19.",
        fact: "Since 4.18.",
        rule: "time-wait-reuse",
        counters: &[Counter::TimeWaitRecycled],
    },
    Lore {
        said: "Drop reasons show listen overflow.",
        fact: "A dropped SYN has none. A dropped third ACK has one only from 6.15.",
        rule: "drop-reasons",
        counters: &[Counter::ListenOverflows],
    },
    Lore {
        said: "Recv-Q of a LISTEN socket is the number of established sockets that wait.",
        fact: "It includes children that a client's RST has killed: they keep their place and no \
               tool shows them.",
        rule: "never-accepted-inode",
        counters: &[],
    },
    Lore {
        said: "rx_queue of a listener is its SYN backlog (netstat(8)).",
        fact: "It is the accept queue. The length of the SYN queue is exported nowhere: count \
               sockets in SYN_RECV.",
        rule: "reading-the-queues",
        counters: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    #[test]
    fn every_saying_has_a_home() {
        for lore in ALL {
            assert!(rules::find(lore.rule).is_some(), "{}: {}", lore.rule, lore.said);
            assert!(!lore.said.is_empty() && !lore.fact.is_empty());
        }
    }

    #[test]
    fn no_saying_is_missing() {
        let said = |words: &str| ALL.iter().any(|lore| lore.said.contains(words));
        for words in [
            "rounded up to a power of two",
            "tcp_max_syn_backlog limits",
            "backlog of N",
            "ignores the third ACK",
            "cookies help",
            "ListenOverflows counts",
            "ListenDrops minus",
            "TCPReqQFullDoCookies counts",
            "RST when it gives up",
            "127 seconds",
            "exceed 65535",
            "since 4.19",
            "Drop reasons show",
            "Recv-Q of a LISTEN",
        ] {
            assert!(said(words), "{words}");
        }
    }
}
