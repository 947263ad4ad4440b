//! SNMP counters that a handshake moves.
//!
//! They count per network namespace since it was made, so a value means nothing by itself: what
//! changed between two looks does. Names and tables are those of `/proc/net/snmp` and
//! `/proc/net/netstat` (include/uapi/linux/snmp.h, net/ipv4/proc.c).

use std::fmt;

/// The line of `/proc/net/snmp` or `/proc/net/netstat` that a counter stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CounterTable {
    /// `Tcp:` of `/proc/net/snmp`.
    Tcp,
    /// `TcpExt:` of `/proc/net/netstat`.
    TcpExt,
    /// `Ip:` of `/proc/net/snmp`.
    Ip,
}

/// A counter, by its kernel name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// Connect() calls that sent a SYN.
    ActiveOpens,
    /// Connections made for a listener: each entered an accept queue.
    PassiveOpens,
    /// Handshakes that ended before they were complete.
    AttemptFails,
    /// Connections that were reset.
    EstabResets,
    /// Connections in ESTABLISHED or CLOSE_WAIT now (a gauge).
    CurrEstab,
    /// Segments that reached TCP; a firewall's drops are not among them.
    InSegs,
    /// Segments sent, retransmissions left out.
    OutSegs,
    /// Segments sent again, SYN and SYN-ACK included.
    RetransSegs,
    /// Segments refused; a repeated SYN-ACK to an established client counts here.
    InErrs,
    /// Resets sent.
    OutRsts,
    /// SYN-ACKs sent with a cookie, without keeping a request.
    SyncookiesSent,
    /// ACKs that carried a valid cookie, whether or not a connection came of it.
    SyncookiesRecv,
    /// ACKs with an invalid cookie while cookies were in use.
    SyncookiesFailed,
    /// Resets of requests: by the client, or by tcp_abort_on_overflow.
    EmbryonicRsts,
    /// Segments dropped because an accept queue was full: SYNs and third ACKs.
    ListenOverflows,
    /// Segments dropped on their way to a listener, for any reason.
    ListenDrops,
    /// SYNs dropped because a SYN queue was full and cookies were off.
    TcpReqQFullDrop,
    /// SYNs that met a full SYN queue while cookies were on.
    TcpReqQFullDoCookies,
    /// Third ACKs that TCP_DEFER_ACCEPT let pass without making a connection.
    TcpDeferAcceptDrop,
    /// SYNs and SYN-ACKs sent again.
    TcpSynRetrans,
    /// Retransmission timers that fired, SYN-ACK timers included.
    TcpTimeouts,
    /// Retransmission timers that fired and chose another path for the flow, SYN's too.
    TcpTimeoutRehash,
    /// Retransmissions that were not acknowledged in time either, SYNs among them.
    TcpLostRetransmit,
    /// Connections given up after their last retransmission.
    TcpAbortOnTimeout,
    /// Resets that could not be sent for want of memory.
    TcpAbortFailed,
    /// Connections given up for want of memory.
    TcpAbortOnMemory,
    /// Segments dropped while the socket was locked by its process.
    TcpBacklogDrop,
    /// Retransmissions that the host itself refused to send.
    TcpRetransFail,
    /// Challenge ACKs sent for a SYN or SYN-ACK on an established connection.
    TcpSynChallenge,
    /// Challenge ACKs sent.
    TcpChallengeAck,
    /// Repeated SYNs of a request left unanswered by the rate limit.
    TcpAckSkippedSynRecv,
    /// Challenge ACKs left out by the rate limit.
    TcpAckSkippedChallenge,
    /// Fast Open SYNs beyond the listener's Fast Open limit.
    TcpFastOpenListenOverflow,
    /// Queued connections moved to another socket of a SO_REUSEPORT group.
    TcpMigrateReqSuccess,
    /// Queued connections that could not be moved to another socket.
    TcpMigrateReqFailure,
    /// Segments sent for the first time with data or a FIN.
    TcpOrigDataSent,
    /// Segments sent with a SYN, data or a FIN that were acknowledged.
    TcpDelivered,
    /// ACKs sent by the timer that puts them off.
    DelayedAcks,
    /// ACKs without data that arrived and were not taken by the fast path.
    TcpPureAcks,
    /// Sockets that skipped TIME_WAIT because tcp_max_tw_buckets was reached.
    TcpTimeWaitOverflow,
    /// Sockets whose TIME_WAIT ended.
    TimeWaited,
    /// Ports taken again out of TIME_WAIT.
    TimeWaitRecycled,
    /// SYNs refused by tcp_tw_recycle's timestamp test (to 4.11).
    PawsPassive,
    /// SYN-ACKs refused by their timestamp.
    PawsActive,
    /// Third ACKs refused because their echoed timestamp was never sent.
    TsEcrRejected,
    /// Packets dropped by rp_filter.
    IpReversePathFilter,
    /// Packets dropped because memory was short.
    PfMemallocDrop,
    /// Packets received.
    IpInReceives,
    /// Packets dropped for a bad IP header.
    IpInHdrErrors,
    /// Packets dropped because their address is not ours.
    IpInAddrErrors,
    /// Packets dropped on the way in for want of memory.
    IpInDiscards,
    /// Packets handed to a protocol such as TCP.
    IpInDelivers,
    /// Packets dropped on the way out, by a firewall of this host too.
    IpOutDiscards,
    /// Packets dropped because no route was found.
    IpOutNoRoutes,
}

impl Counter {
    /// Every counter.
    pub const ALL: &'static [Self] = &[
        Self::ActiveOpens,
        Self::PassiveOpens,
        Self::AttemptFails,
        Self::EstabResets,
        Self::CurrEstab,
        Self::InSegs,
        Self::OutSegs,
        Self::RetransSegs,
        Self::InErrs,
        Self::OutRsts,
        Self::SyncookiesSent,
        Self::SyncookiesRecv,
        Self::SyncookiesFailed,
        Self::EmbryonicRsts,
        Self::ListenOverflows,
        Self::ListenDrops,
        Self::TcpReqQFullDrop,
        Self::TcpReqQFullDoCookies,
        Self::TcpDeferAcceptDrop,
        Self::TcpSynRetrans,
        Self::TcpTimeouts,
        Self::TcpTimeoutRehash,
        Self::TcpLostRetransmit,
        Self::TcpAbortOnTimeout,
        Self::TcpAbortFailed,
        Self::TcpAbortOnMemory,
        Self::TcpBacklogDrop,
        Self::TcpRetransFail,
        Self::TcpSynChallenge,
        Self::TcpChallengeAck,
        Self::TcpAckSkippedSynRecv,
        Self::TcpAckSkippedChallenge,
        Self::TcpFastOpenListenOverflow,
        Self::TcpMigrateReqSuccess,
        Self::TcpMigrateReqFailure,
        Self::TcpOrigDataSent,
        Self::TcpDelivered,
        Self::DelayedAcks,
        Self::TcpPureAcks,
        Self::TcpTimeWaitOverflow,
        Self::TimeWaited,
        Self::TimeWaitRecycled,
        Self::PawsPassive,
        Self::PawsActive,
        Self::TsEcrRejected,
        Self::IpReversePathFilter,
        Self::PfMemallocDrop,
        Self::IpInReceives,
        Self::IpInHdrErrors,
        Self::IpInAddrErrors,
        Self::IpInDiscards,
        Self::IpInDelivers,
        Self::IpOutDiscards,
        Self::IpOutNoRoutes,
    ];

    /// The kernel's name, without its table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.words().1
    }

    /// The table that the kernel prints it in.
    #[must_use]
    pub const fn table(self) -> CounterTable {
        self.words().0
    }

    /// What moves it, in a few words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        self.words().2
    }

    /// The counter of that name in that table.
    #[must_use]
    pub fn find(table: CounterTable, name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.table() == table && c.name() == name)
    }

    const fn words(self) -> (CounterTable, &'static str, &'static str) {
        match self {
            Self::ActiveOpens => {
                (CounterTable::Tcp, "ActiveOpens", "connect() calls that sent a SYN")
            }
            Self::PassiveOpens => (
                CounterTable::Tcp,
                "PassiveOpens",
                "connections made for a listener: each entered an accept queue",
            ),
            Self::AttemptFails => (
                CounterTable::Tcp,
                "AttemptFails",
                "handshakes that ended before they were complete",
            ),
            Self::EstabResets => (CounterTable::Tcp, "EstabResets", "connections that were reset"),
            Self::CurrEstab => (
                CounterTable::Tcp,
                "CurrEstab",
                "connections in ESTABLISHED or CLOSE_WAIT now (a gauge)",
            ),
            Self::InSegs => (
                CounterTable::Tcp,
                "InSegs",
                "segments that reached TCP; a firewall's drops are not among them",
            ),
            Self::OutSegs => {
                (CounterTable::Tcp, "OutSegs", "segments sent, retransmissions left out")
            }
            Self::RetransSegs => {
                (CounterTable::Tcp, "RetransSegs", "segments sent again, SYN and SYN-ACK included")
            }
            Self::InErrs => (
                CounterTable::Tcp,
                "InErrs",
                "segments refused; a repeated SYN-ACK to an established client counts here",
            ),
            Self::OutRsts => (CounterTable::Tcp, "OutRsts", "resets sent"),
            Self::SyncookiesSent => (
                CounterTable::TcpExt,
                "SyncookiesSent",
                "SYN-ACKs sent with a cookie, without keeping a request",
            ),
            Self::SyncookiesRecv => (
                CounterTable::TcpExt,
                "SyncookiesRecv",
                "ACKs that carried a valid cookie, whether or not a connection came of it",
            ),
            Self::SyncookiesFailed => (
                CounterTable::TcpExt,
                "SyncookiesFailed",
                "ACKs with an invalid cookie while cookies were in use",
            ),
            Self::EmbryonicRsts => (
                CounterTable::TcpExt,
                "EmbryonicRsts",
                "resets of requests: by the client, or by tcp_abort_on_overflow",
            ),
            Self::ListenOverflows => (
                CounterTable::TcpExt,
                "ListenOverflows",
                "segments dropped because an accept queue was full: SYNs and third ACKs",
            ),
            Self::ListenDrops => (
                CounterTable::TcpExt,
                "ListenDrops",
                "segments dropped on their way to a listener, for any reason",
            ),
            Self::TcpReqQFullDrop => (
                CounterTable::TcpExt,
                "TCPReqQFullDrop",
                "SYNs dropped because a SYN queue was full and cookies were off",
            ),
            Self::TcpReqQFullDoCookies => (
                CounterTable::TcpExt,
                "TCPReqQFullDoCookies",
                "SYNs that met a full SYN queue while cookies were on",
            ),
            Self::TcpDeferAcceptDrop => (
                CounterTable::TcpExt,
                "TCPDeferAcceptDrop",
                "third ACKs that TCP_DEFER_ACCEPT let pass without making a connection",
            ),
            Self::TcpSynRetrans => {
                (CounterTable::TcpExt, "TCPSynRetrans", "SYNs and SYN-ACKs sent again")
            }
            Self::TcpTimeouts => (
                CounterTable::TcpExt,
                "TCPTimeouts",
                "retransmission timers that fired, SYN-ACK timers included",
            ),
            Self::TcpTimeoutRehash => (
                CounterTable::TcpExt,
                "TcpTimeoutRehash",
                "retransmission timers that fired and chose another path for the flow, SYN's too",
            ),
            Self::TcpLostRetransmit => (
                CounterTable::TcpExt,
                "TCPLostRetransmit",
                "retransmissions that were not acknowledged in time either, SYNs among them",
            ),
            Self::TcpOrigDataSent => (
                CounterTable::TcpExt,
                "TCPOrigDataSent",
                "segments sent for the first time with data or a FIN",
            ),
            Self::TcpDelivered => (
                CounterTable::TcpExt,
                "TCPDelivered",
                "segments sent with a SYN, data or a FIN that were acknowledged",
            ),
            Self::DelayedAcks => {
                (CounterTable::TcpExt, "DelayedACKs", "ACKs sent by the timer that puts them off")
            }
            Self::TcpPureAcks => (
                CounterTable::TcpExt,
                "TCPPureAcks",
                "ACKs without data that arrived and were not taken by the fast path",
            ),
            Self::TcpAbortOnTimeout => (
                CounterTable::TcpExt,
                "TCPAbortOnTimeout",
                "connections given up after their last retransmission",
            ),
            Self::TcpAbortFailed => (
                CounterTable::TcpExt,
                "TCPAbortFailed",
                "resets that could not be sent for want of memory",
            ),
            Self::TcpAbortOnMemory => (
                CounterTable::TcpExt,
                "TCPAbortOnMemory",
                "connections given up for want of memory",
            ),
            Self::TcpBacklogDrop => (
                CounterTable::TcpExt,
                "TCPBacklogDrop",
                "segments dropped while the socket was locked by its process",
            ),
            Self::TcpRetransFail => (
                CounterTable::TcpExt,
                "TCPRetransFail",
                "retransmissions that the host itself refused to send",
            ),
            Self::TcpSynChallenge => (
                CounterTable::TcpExt,
                "TCPSYNChallenge",
                "challenge ACKs sent for a SYN or SYN-ACK on an established connection",
            ),
            Self::TcpChallengeAck => {
                (CounterTable::TcpExt, "TCPChallengeACK", "challenge ACKs sent")
            }
            Self::TcpAckSkippedSynRecv => (
                CounterTable::TcpExt,
                "TCPACKSkippedSynRecv",
                "repeated SYNs of a request left unanswered by the rate limit",
            ),
            Self::TcpAckSkippedChallenge => (
                CounterTable::TcpExt,
                "TCPACKSkippedChallenge",
                "challenge ACKs left out by the rate limit",
            ),
            Self::TcpFastOpenListenOverflow => (
                CounterTable::TcpExt,
                "TCPFastOpenListenOverflow",
                "Fast Open SYNs beyond the listener's Fast Open limit",
            ),
            Self::TcpMigrateReqSuccess => (
                CounterTable::TcpExt,
                "TCPMigrateReqSuccess",
                "queued connections moved to another socket of a SO_REUSEPORT group",
            ),
            Self::TcpMigrateReqFailure => (
                CounterTable::TcpExt,
                "TCPMigrateReqFailure",
                "queued connections that could not be moved to another socket",
            ),
            Self::TcpTimeWaitOverflow => (
                CounterTable::TcpExt,
                "TCPTimeWaitOverflow",
                "sockets that skipped TIME_WAIT because tcp_max_tw_buckets was reached",
            ),
            Self::TimeWaited => (CounterTable::TcpExt, "TW", "sockets whose TIME_WAIT ended"),
            Self::TimeWaitRecycled => {
                (CounterTable::TcpExt, "TWRecycled", "ports taken again out of TIME_WAIT")
            }
            Self::PawsPassive => (
                CounterTable::TcpExt,
                "PAWSPassive",
                "SYNs refused by tcp_tw_recycle's timestamp test (to 4.11)",
            ),
            Self::PawsActive => {
                (CounterTable::TcpExt, "PAWSActive", "SYN-ACKs refused by their timestamp")
            }
            Self::TsEcrRejected => (
                CounterTable::TcpExt,
                "TSEcrRejected",
                "third ACKs refused because their echoed timestamp was never sent",
            ),
            Self::IpReversePathFilter => {
                (CounterTable::TcpExt, "IPReversePathFilter", "packets dropped by rp_filter")
            }
            Self::PfMemallocDrop => {
                (CounterTable::TcpExt, "PFMemallocDrop", "packets dropped because memory was short")
            }
            Self::IpInReceives => (CounterTable::Ip, "InReceives", "packets received"),
            Self::IpInHdrErrors => {
                (CounterTable::Ip, "InHdrErrors", "packets dropped for a bad IP header")
            }
            Self::IpInAddrErrors => (
                CounterTable::Ip,
                "InAddrErrors",
                "packets dropped because their address is not ours",
            ),
            Self::IpInDiscards => {
                (CounterTable::Ip, "InDiscards", "packets dropped on the way in for want of memory")
            }
            Self::IpInDelivers => {
                (CounterTable::Ip, "InDelivers", "packets handed to a protocol such as TCP")
            }
            Self::IpOutDiscards => (
                CounterTable::Ip,
                "OutDiscards",
                "packets dropped on the way out, by a firewall of this host too",
            ),
            Self::IpOutNoRoutes => {
                (CounterTable::Ip, "OutNoRoutes", "packets dropped because no route was found")
            }
        }
    }
}

impl CounterTable {
    /// The word before the colon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "Tcp",
            Self::TcpExt => "TcpExt",
            Self::Ip => "Ip",
        }
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_is_found_by_its_table_and_name() {
        for &counter in Counter::ALL {
            assert_eq!(Counter::find(counter.table(), counter.name()), Some(counter));
        }
        assert_eq!(Counter::find(CounterTable::Tcp, "ListenDrops"), None);
    }
}
