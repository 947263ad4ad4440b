//! What moves each counter, in full: what `halfopen explain counter` prints.

use crate::rules::lore::{self, Lore};
use crate::{
    ChallengeLimit, Counter, CounterTable, DropReason, MigrateReq, Semantics, counters_of_cookie,
};

/// What there is to know of a counter.
#[derive(Clone, Copy, Debug)]
pub struct CounterPage {
    /// What one count stands for.
    pub unit: Unit,
    /// What moves it and what it says of a handshake.
    pub text: &'static str,
    /// What one kernel does, in a few words.
    pub differs: fn(&Semantics) -> String,
    /// Ids of the rules that say more.
    pub rules: &'static [&'static str],
    /// Ids of the findings that use it.
    pub findings: &'static [&'static str],
}

/// What one count of a counter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A segment that arrived.
    SegmentIn,
    /// A segment that was sent.
    SegmentOut,
    /// A connection, or an attempt at one.
    Connection,
    /// A time-out.
    Timeout,
    /// A packet of any protocol.
    Packet,
    /// Nothing is counted: a value that goes up and down.
    Gauge,
}

impl Unit {
    /// The unit in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SegmentIn => "one per segment that arrives",
            Self::SegmentOut => "one per segment that is sent",
            Self::Connection => "one per connection or attempt",
            Self::Timeout => "one per time-out",
            Self::Packet => "one per packet of any protocol",
            Self::Gauge => "nothing: a gauge that goes up and down",
        }
    }
}

impl Counter {
    /// The counter that a name means: `ListenDrops`, `TcpExt.ListenDrops`, `tcpextlistendrops`,
    /// `IpInReceives`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let wanted = plain(name);
        let full = |c: &Self| wanted == plain(&c.nstat_name());
        let short = |c: &Self| wanted == plain(c.name());
        let all = || Self::ALL.iter().copied();
        all().find(short).or_else(|| all().find(full))
    }

    /// Its name as nstat prints it: `TcpExtListenDrops`.
    #[must_use]
    pub fn nstat_name(self) -> String {
        format!("{}{}", self.table().name(), self.name())
    }

    /// The file that it stands in.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self.table() {
            CounterTable::TcpExt => "/proc/net/netstat",
            CounterTable::Tcp | CounterTable::Ip => "/proc/net/snmp",
        }
    }

    /// What is commonly said of it and not so.
    pub fn lore(self) -> impl Iterator<Item = &'static Lore> {
        lore::ALL.iter().filter(move |lore| lore.counters.contains(&self))
    }

    /// The refusals that move it, on some kernel.
    pub fn drop_reasons(self) -> impl Iterator<Item = DropReason> {
        DropReason::ALL.iter().copied().filter(move |reason| reason.moves().contains(&self))
    }

    /// Whether this kernel moves it for that refusal.
    #[must_use]
    pub fn is_moved_by(self, reason: DropReason, semantics: &Semantics) -> bool {
        reason.counters(semantics).any(|counter| counter == self)
    }

    /// What there is to know of it.
    #[must_use]
    pub const fn page(self) -> CounterPage {
        match self.table() {
            CounterTable::Tcp => self.tcp_page(),
            CounterTable::Ip => self.ip_page(),
            CounterTable::TcpExt => self.tcp_ext_page(),
        }
    }

    const fn tcp_page(self) -> CounterPage {
        match self {
            Self::ActiveOpens => page(
                Unit::Connection,
                "Moved when connect() sends its first SYN. A connect() that finds no local port \
                 sends none and moves nothing.",
            ),
            Self::PassiveOpens => page(
                Unit::Connection,
                "Moved when the child of a listener is made, after the accept queue was found to \
                 have room. So it counts what entered accept queues, whether or not a process \
                 ever took it.",
            )
            .rules(&["accept-queue-full"])
            .findings(&["accept-too-slow", "backlog-clamped", "syn-cookies-in-use"]),
            Self::AttemptFails => page(
                Unit::Connection,
                "Moved when a client gives up or is refused, and when an RST (or a SYN inside its \
                 window) removes a request. Not moved when a request expires, and not by \
                 tcp_abort_on_overflow.",
            )
            .rules(&["syn-retries", "reset-of-request"]),
            Self::EstabResets => page(
                Unit::Connection,
                "Moved when a connection in ESTABLISHED or CLOSE_WAIT ends by a reset, on the \
                 side that gets it and for each child that a closing listener resets.",
            )
            .rules(&["listener-close"]),
            Self::CurrEstab => page(
                Unit::Gauge,
                "Connections now. Children that wait in accept queues are among them.",
            )
            .differs(|s| match s.counting.close_wait_is_current {
                true => "ESTABLISHED and CLOSE_WAIT".to_owned(),
                false => "ESTABLISHED alone".to_owned(),
            })
            .rules(&["never-accepted-inode"]),
            Self::InSegs => page(
                Unit::SegmentIn,
                "Moved for every segment that reaches TCP, damaged ones too. What a firewall of \
                 this host dropped never got here: then Ip InReceives rises and this does not.",
            ),
            Self::OutSegs => page(
                Unit::SegmentOut,
                "Moved for every segment that is sent; retransmissions and resets are counted \
                 apart.",
            ),
            Self::RetransSegs => page(
                Unit::SegmentOut,
                "Moved for every segment sent again, SYN and SYN-ACK too. On a server whose \
                 accept queue overflows it rises although the network loses nothing.",
            )
            .rules(&["syn-ack-timer", "syn-retries"]),
            Self::InErrs => page(
                Unit::SegmentIn,
                "Moved by damaged segments, and by each SYN or SYN-ACK that comes for an \
                 established connection. So it rises at clients of a server whose accept queue is \
                 full, with nothing damaged.",
            )
            .differs(|s| match s.client.challenge_limit {
                ChallengeLimit::NoChallenge => {
                    "not by a SYN-ACK that comes again (derived, UNCONFIRMED)".to_owned()
                }
                _ => "by a SYN-ACK that comes again too".to_owned(),
            })
            .rules(&["challenge-ack"]),
            _ => page(
                Unit::SegmentOut,
                "Moved by every reset sent: nobody listens, an ACK without request, \
                 tcp_abort_on_overflow, a closing listener, close() with unread data. A request \
                 that expires sends none.",
            )
            .rules(&["abort-on-overflow", "listener-close", "syn-ack-timer"]),
        }
    }

    const fn tcp_ext_page(self) -> CounterPage {
        match self {
            Self::ListenOverflows => page(
                Unit::SegmentIn,
                "Moved by each SYN and each third ACK (or data in its place, or ACK of a cookie) \
                 that finds the accept queue full. Nobody accepts, or not fast enough; which \
                 listener it was, `ss -lm` says (skmem d) from 4.7 on.",
            )
            .differs(|s| match s.counting.syn_drops_are_counted {
                true => "SYNs and third ACKs".to_owned(),
                false => "third ACKs only; dropped SYNs count nowhere".to_owned(),
            })
            .rules(&["accept-queue-full", "listen-drops", "third-ack"])
            .findings(&[
                "accept-stalled",
                "accept-too-slow",
                "backlog-clamped",
                "third-ack-dropped",
                "overflow-reset",
            ]),
            Self::ListenDrops => page(
                Unit::SegmentIn,
                "Moved by everything that ends a segment on its way to a listener: full accept \
                 queue, full SYN queue, last-quarter rule, no memory, no route, refused by a \
                 security module, a request ended by an ICMP error. The listener's own drop \
                 counter moves with it from 4.7 on.",
            )
            .differs(listen_drops)
            .rules(&["listen-drops", "syn-order", "last-quarter"])
            .findings(&["listen-drops-other", "syn-queue-full", "syn-reserve"]),
            Self::TcpReqQFullDrop => page(
                Unit::SegmentIn,
                "Moved by a SYN that finds the SYN queue full while tcp_syncookies is 0, and by \
                 nothing else. ListenDrops moves with it.",
            )
            .differs(|s| exists(s.counting.syn_queue_full_is_counted))
            .rules(&["syn-queue-full"])
            .findings(&["syn-queue-full"]),
            Self::TcpReqQFullDoCookies => page(
                Unit::SegmentIn,
                "Moved by a SYN that finds the SYN queue full while cookies are on (or any SYN \
                 with tcp_syncookies = 2). If the accept queue is full as well, the SYN is \
                 dropped right after.",
            )
            .differs(|s| exists(s.counting.syn_queue_full_is_counted))
            .rules(&["syn-cookies", "syn-order"])
            .findings(&["syn-cookies-in-use"]),
            Self::SyncookiesSent => page(
                Unit::SegmentOut,
                "Moved by each SYN-ACK that carries a cookie. The SYN queue was full, or \
                 tcp_syncookies is 2.",
            )
            .differs(|s| match counters_of_cookie_has_drop(s) {
                true => "each also counts in ListenDrops".to_owned(),
                false => "counted here alone".to_owned(),
            })
            .rules(&["syn-cookies"])
            .findings(&["syn-cookies-in-use"]),
            Self::SyncookiesRecv => page(
                Unit::SegmentIn,
                "Moved by each ACK that carries a valid cookie, also if the accept queue is full \
                 and nothing comes of it. Rising together with ListenOverflows it means: clients \
                 believe that they are connected, the server knows nothing of them.",
            )
            .rules(&["cookie-validity"])
            .findings(&["syn-cookies-in-use"]),
            Self::SyncookiesFailed => page(
                Unit::SegmentIn,
                "Moved by an ACK for a listener whose cookie is not valid. The answer is RST.",
            )
            .differs(|s| match s.cookies.counts_unasked_failures {
                true => "also if no cookie was sent lately".to_owned(),
                false => "only while cookies were sent lately; others get RST uncounted".to_owned(),
            })
            .rules(&["cookie-validity"])
            .findings(&["syn-cookies-in-use"]),
            Self::EmbryonicRsts => page(
                Unit::Connection,
                "Moved when a request is removed by a reset: the client's RST, or \
                 tcp_abort_on_overflow. AttemptFails moves with it in the first case only, \
                 ListenOverflows in the second only.",
            )
            .rules(&["abort-on-overflow", "reset-of-request"])
            .findings(&["overflow-reset"]),
            Self::TcpDeferAcceptDrop => page(
                Unit::SegmentIn,
                "Moved by a bare third ACK while TCP_DEFER_ACCEPT waits for data. Normal.",
            )
            .differs(|s| exists(s.counting.defer_accept_drops_are_counted))
            .rules(&["defer-accept"])
            .findings(&["third-ack-lost"]),
            _ => self.timer_page(),
        }
    }

    const fn timer_page(self) -> CounterPage {
        match self {
            Self::TcpSynRetrans => page(
                Unit::SegmentOut,
                "Moved by each SYN and each SYN-ACK that is sent again, the answer to a repeated \
                 SYN too. A request that nobody answers counts 5.",
            )
            .differs(|s| exists(s.counting.syn_retransmissions_are_counted))
            .rules(&["syn-ack-timer", "syn-retries"])
            .findings(&["third-ack-dropped", "third-ack-lost"]),
            Self::TcpTimeouts => page(
                Unit::Timeout,
                "Moved each time that a retransmission timer fires, the one that ends a \
                 connection or a request included. A request that nobody answers counts 6.",
            )
            .differs(|s| match s.counting.syn_ack_timeouts_are_counted {
                true => "SYN-ACK timers too".to_owned(),
                false => "not SYN-ACK timers".to_owned(),
            })
            .rules(&["syn-ack-timer", "syn-retries"]),
            Self::TcpTimeoutRehash => page(
                Unit::Timeout,
                "Moved each time that a SYN, data or a FIN is sent again after a time-out: the flow \
                 gets another hash, so that routers and network cards may send it another way. \
                 SYN-ACK timers do not move it.",
            )
            .differs(|s| exists(s.counting.timeout_rehashes_are_counted))
            .rules(&["syn-retries"]),
            Self::TcpLostRetransmit => page(
                Unit::Timeout,
                "Moved by the second time-out in a row, and each further one that ends nothing: the \
                 retransmission was lost too. Of a connect() that nobody answers, all \
                 retransmissions of the SYN but the last. SYN-ACK timers do not move it.",
            )
            .differs(|s| match s.counting.timeouts_lose_retransmissions {
                true => "time-outs too".to_owned(),
                false => "not time-outs".to_owned(),
            })
            .rules(&["syn-retries"]),
            Self::TcpAbortOnTimeout => page(
                Unit::Connection,
                "Moved when a connection or a connect() is given up after its last retransmission \
                 (ETIMEDOUT). A request that expires does not move it.",
            )
            .rules(&["syn-retries"]),
            Self::TcpAbortFailed => {
                page(Unit::SegmentOut, "Moved when a reset could not be sent for want of memory.")
            }
            Self::TcpAbortOnMemory => page(
                Unit::Connection,
                "Moved when a connection is given up because there are too many orphans or \
                 tcp_mem is used up.",
            )
            .findings(&["listen-drops-other"]),
            Self::TcpBacklogDrop => page(
                Unit::SegmentIn,
                "Moved by a segment for a socket that its process holds locked and whose buffers \
                 are full. From 4.4 on listeners take no lock, so this concerns connections only.",
            )
            .differs(|s| {
                match (s.counting.backlog_drops_are_counted, s.queues.requests_in_ehash) {
                    (false, _) => "does not exist".to_owned(),
                    (true, false) => "connections and listeners".to_owned(),
                    (true, true) => "connections only".to_owned(),
                }
            }),
            Self::TcpRetransFail => page(
                Unit::SegmentOut,
                "Moved when a segment could not be sent again because this host refused it: no \
                 route, a firewall on the way out, a full queue of the device.",
            )
            .findings(&["connect-unanswered"]),
            _ => self.challenge_page(),
        }
    }

    const fn challenge_page(self) -> CounterPage {
        match self {
            Self::TcpSynChallenge => page(
                Unit::SegmentIn,
                "Moved at a client that is connected and gets the SYN-ACK again: its third ACK \
                 was lost, or dropped by a full accept queue. Also by a SYN on an established \
                 connection. It moves even if the rate limit leaves the challenge ACK out.",
            )
            .differs(challenge)
            .rules(&["challenge-ack", "third-ack"])
            .findings(&["third-ack-dropped", "third-ack-lost"]),
            Self::TcpChallengeAck => page(
                Unit::SegmentOut,
                "Moved by each challenge ACK: after a SYN, or an RST that is not at the next \
                 sequence number, on an established connection.",
            )
            .differs(challenge)
            .rules(&["challenge-ack"]),
            Self::TcpAckSkippedSynRecv => page(
                Unit::SegmentIn,
                "Moved by a SYN that repeats a request's SYN sooner than the rate limit answers.",
            )
            .differs(|s| match s.timers.repeated_syn_limit_ms {
                0 => "no limit: always answered".to_owned(),
                limit => format!("within {limit} ms"),
            })
            .rules(&["repeated-syn"]),
            Self::TcpAckSkippedChallenge => page(
                Unit::SegmentIn,
                "Moved when a challenge ACK is left out because the connection sent one within \
                 500 ms. InErrs moves all the same.",
            )
            .differs(|s| match s.client.challenge_limit_per_socket {
                true => "one in 500 ms for each connection".to_owned(),
                false => "no such limit".to_owned(),
            })
            .rules(&["challenge-ack"]),
            Self::TsEcrRejected => page(
                Unit::SegmentIn,
                "Moved by a third ACK that echoes a timestamp which was never sent.",
            )
            .differs(|s| exists(s.queues.checks_echoed_timestamp))
            .rules(&["timestamp-echo"]),
            _ => self.other_page(),
        }
    }

    const fn other_page(self) -> CounterPage {
        match self {
            Self::TcpFastOpenListenOverflow => page(
                Unit::SegmentIn,
                "Moved by a Fast Open SYN beyond the listener's own Fast Open limit; the \
                 handshake goes on without it.",
            )
            .rules(&["fast-open"]),
            Self::TcpMigrateReqSuccess => page(
                Unit::Connection,
                "Moved for each child or request of a closing listener that moved to a sibling.",
            )
            .differs(|s| exists(s.queues.migrate_req == MigrateReq::Moves))
            .rules(&["migration"]),
            Self::TcpMigrateReqFailure => page(
                Unit::Connection,
                "Moved for each child or request of a closing listener that could not move.",
            )
            .differs(|s| exists(s.queues.migrate_req == MigrateReq::Moves))
            .rules(&["migration"]),
            Self::TcpOrigDataSent => page(
                Unit::SegmentOut,
                "Moved by each segment with data or a FIN, retransmissions left out. A SYN, a SYN-ACK \
                 and an ACK alone do not move it.",
            )
            .differs(|s| exists(s.counting.syn_retransmissions_are_counted)),
            Self::TcpDelivered => page(
                Unit::SegmentOut,
                "Moved by each segment with a SYN, data or a FIN that the peer acknowledges, once \
                 however often it was sent. The ACK of a SYN-ACK does not move it.",
            )
            .differs(|s| exists(s.counting.deliveries_are_counted)),
            Self::DelayedAcks => page(
                Unit::SegmentOut,
                "Moved by an ACK that waited for data to go with until its timer fired: the ACK of a \
                 FIN above all, if the program does not close within 40 ms (within one tick of the \
                 kernel's clock if no data has come before).",
            ),
            Self::TcpPureAcks => page(
                Unit::SegmentIn,
                "Moved by an ACK without data that takes the slow path: a third ACK, an ACK of a FIN, \
                 one that acknowledges nothing new, and of data the first. Whether a later one takes \
                 the fast path (TCPHPAcks instead) depends on whether the peer's window is still the \
                 same, and so on what its program has read and how its buffer grew; the simulator \
                 knows no windows and does not count it.",
            ),
            Self::TcpTimeWaitOverflow => page(
                Unit::Connection,
                "Moved when a connection was closed without TIME_WAIT because tcp_max_tw_buckets \
                 was reached.",
            )
            .differs(|s| exists(s.counting.time_wait_overflows_are_counted)),
            Self::TimeWaited => page(
                Unit::Connection,
                "Moved when a connection has ended its TIME_WAIT. Each kept a local port for its \
                 destination for 60 s at the side that closed first.",
            )
            .rules(&["time-wait-reuse"]),
            Self::TimeWaitRecycled => page(
                Unit::Connection,
                "Moved when connect() took a port out of TIME_WAIT (tcp_tw_reuse).",
            )
            .rules(&["time-wait-reuse"]),
            Self::PawsPassive => page(
                Unit::SegmentIn,
                "Moved by a SYN that tcp_tw_recycle refused: clients behind one NAT whose clocks \
                 differ. The setting is gone from 4.12.",
            )
            .differs(|s| match s.counting.recycling_refuses_syns {
                true => "counted while tcp_tw_recycle is 1".to_owned(),
                false => "nothing moves it".to_owned(),
            })
            .rules(&["time-wait-reuse"])
            .findings(&["listen-drops-other"]),
            Self::PawsActive => {
                page(Unit::SegmentIn, "Moved by a SYN-ACK that echoes a wrong timestamp.")
            }
            Self::IpReversePathFilter => page(
                Unit::Packet,
                "Moved by a packet whose way back would leave through another device (rp_filter = \
                 1): the SYN is gone before TCP sees it.",
            )
            .findings(&["connect-unanswered", "third-ack-lost"]),
            _ => page(
                Unit::Packet,
                "Moved by a packet dropped because the machine ran out of memory and had used its \
                 reserve for it.",
            )
            .findings(&["listen-drops-other"]),
        }
    }

    const fn ip_page(self) -> CounterPage {
        match self {
            Self::IpInReceives => page(
                Unit::Packet,
                "Moved by every IPv4 packet that arrives. If it rises and Tcp InSegs does not, \
                 something on this host dropped the packets in between: a firewall, rp_filter, a \
                 bad header.",
            )
            .findings(&["third-ack-lost"]),
            Self::IpInHdrErrors => {
                page(Unit::Packet, "Moved by packets with a bad header or checksum.")
            }
            Self::IpInAddrErrors => {
                page(Unit::Packet, "Moved by packets for an address that is not this host's.")
            }
            Self::IpInDiscards => page(
                Unit::Packet,
                "Moved by sound packets dropped on the way in, for want of memory.",
            ),
            Self::IpInDelivers => {
                page(Unit::Packet, "Moved by packets handed on to TCP, UDP and others.")
                    .findings(&["third-ack-lost"])
            }
            Self::IpOutDiscards => page(
                Unit::Packet,
                "Moved by packets that this host dropped on their way out: a firewall's OUTPUT \
                 rules, a full queue, no neighbour.",
            )
            .findings(&["connect-unanswered"]),
            _ => page(
                Unit::Packet,
                "Moved by packets for which no route was found: a SYN that is not sent, or a \
                 SYN-ACK whose way back is missing (then ListenDrops moves too).",
            )
            .findings(&["connect-unanswered", "listen-drops-other"]),
        }
    }
}

impl CounterPage {
    const fn differs(mut self, differs: fn(&Semantics) -> String) -> Self {
        self.differs = differs;
        self
    }

    const fn rules(mut self, rules: &'static [&'static str]) -> Self {
        self.rules = rules;
        self
    }

    const fn findings(mut self, findings: &'static [&'static str]) -> Self {
        self.findings = findings;
        self
    }
}

const fn page(unit: Unit, text: &'static str) -> CounterPage {
    CounterPage { unit, text, differs: |_| "the same".to_owned(), rules: &[], findings: &[] }
}

fn exists(exists: bool) -> String {
    if exists { "counted" } else { "does not exist" }.to_owned()
}

fn challenge(semantics: &Semantics) -> String {
    exists(semantics.client.challenge_limit != ChallengeLimit::NoChallenge)
}

fn listen_drops(semantics: &Semantics) -> String {
    let counting = semantics.counting;
    if !counting.syn_drops_are_counted {
        "third ACKs only; dropped SYNs count nowhere".to_owned()
    } else if counters_of_cookie_has_drop(semantics) {
        "also one for each SYN cookie that was sent".to_owned()
    } else if counting.listener_counts_its_drops {
        "counted for the listener too".to_owned()
    } else {
        "drops alone".to_owned()
    }
}

fn counters_of_cookie_has_drop(semantics: &Semantics) -> bool {
    counters_of_cookie(semantics).any(|counter| counter == Counter::ListenDrops)
}

/// A name without what people leave out or write in their own way.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{by_generation, rules};

    #[test]
    fn a_counter_is_found_however_its_name_is_written() {
        for name in [
            "ListenDrops",
            "listendrops",
            "TcpExt.ListenDrops",
            "TcpExtListenDrops",
            "TcpExt: ListenDrops",
        ] {
            assert_eq!(Counter::named(name), Some(Counter::ListenDrops), "{name}");
        }
        assert_eq!(Counter::named("tcpReqQFullDrop"), Some(Counter::TcpReqQFullDrop));
        assert_eq!(Counter::named("Ip.InReceives"), Some(Counter::IpInReceives));
        assert_eq!(Counter::named("ListenDrop"), None);
        for &counter in Counter::ALL {
            assert_eq!(Counter::named(counter.name()), Some(counter));
            assert_eq!(Counter::named(&counter.nstat_name()), Some(counter));
        }
    }

    #[test]
    fn every_page_is_its_counters_own() {
        let mut texts: Vec<&str> = Counter::ALL.iter().map(|counter| counter.page().text).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Counter::ALL.len());
    }

    #[test]
    fn pages_name_rules_that_exist() {
        for counter in Counter::ALL {
            for rule in counter.page().rules {
                assert!(rules::find(rule).is_some(), "{counter}: {rule}");
            }
            assert!(by_generation(counter.page().differs).iter().all(|a| !a.answer.is_empty()));
        }
    }

    #[test]
    fn drop_reasons_of_a_counter_are_those_that_move_it() {
        let reasons: Vec<DropReason> = Counter::TcpReqQFullDrop.drop_reasons().collect();
        assert_eq!(reasons, [DropReason::SynQueueFull]);
        let old = Semantics::of("3.6.0".parse().expect("a release"));
        let reason = DropReason::SynAcceptQueueFull;
        assert!(Counter::ListenDrops.drop_reasons().any(|r| r == reason));
        assert!(!Counter::ListenDrops.is_moved_by(reason, &old));
    }
}
