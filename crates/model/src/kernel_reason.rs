//! The reasons that the kernel itself gives for a dropped segment or a reset sent, as far as they
//! concern handshakes.
//!
//! Drop reasons stand in the tracepoint skb:kfree_skb, reset reasons in tcp:tcp_send_reset. Names are
//! those of include/net/dropreason-core.h and include/net/rstreason.h without their prefix. Not to be
//! taken for [`crate::DropReason`], which are the model's own and finer.

/// Why the kernel dropped a segment or sent a reset, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelReason {
    /// Its name, without `SKB_DROP_REASON_` or `SK_RST_REASON_`.
    pub name: &'static str,
    /// What it is a reason for.
    pub kind: ReasonKind,
    /// The release that it came with.
    pub since: &'static str,
    /// Whether that release was read in source.
    pub confirmed: bool,
    /// The commits that brought it, shortened; empty where they are not known.
    pub commits: &'static [&'static str],
    /// What it means for a handshake.
    pub text: &'static str,
    /// What one may wrongly take it for.
    pub misleading: &'static str,
}

/// What a reason is given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonKind {
    /// A segment that was dropped (`enum skb_drop_reason`).
    Drop,
    /// A reset that was sent (`enum sk_rst_reason`).
    Reset,
}

impl ReasonKind {
    /// The prefix of its names.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Drop => "SKB_DROP_REASON_",
            Self::Reset => "SK_RST_REASON_",
        }
    }

    /// The kernel's list of them.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::Drop => "include/net/dropreason-core.h enum skb_drop_reason",
            Self::Reset => "include/net/rstreason.h enum sk_rst_reason",
        }
    }

    /// Where it shows.
    #[must_use]
    pub const fn shown_by(self) -> &'static str {
        match self {
            Self::Drop => "perf trace -e skb:kfree_skb",
            Self::Reset => "perf trace -e tcp:tcp_send_reset",
        }
    }
}

impl KernelReason {
    /// Every reason, drops before resets.
    pub const ALL: &'static [Self] = ALL;

    /// The reasons of that name, in any case, with or without prefix: one name can be both.
    pub fn named(name: &str) -> impl Iterator<Item = &'static Self> {
        let wanted = name.trim().to_ascii_uppercase().replace('-', "_");
        ALL.iter().filter(move |reason| {
            wanted == reason.name
                || wanted.strip_prefix(reason.kind.prefix()).is_some_and(|name| name == reason.name)
        })
    }
}

const ALL: &[KernelReason] = &[
    drop(
        "NOT_SPECIFIED",
        "5.17",
        "Dropped by code that gives no reason. A third ACK that meets a full accept queue has it \
         from 5.17 to 6.14.",
        "It tells nothing: look at the counters, or at the place (`location`) of the event.",
    )
    .confirmed(),
    drop(
        "TCP_LISTEN_OVERFLOW",
        "6.15",
        "A third ACK, or data in its place, met a full accept queue. ListenOverflows and \
         ListenDrops count it too.",
        "Its absence does not mean that no accept queue overflows: a SYN that a full queue drops \
         has no reason and makes no event.",
    )
    .confirmed()
    .commits(&["e34100c2ecbb", "a11a791ca81e"]),
    drop(
        "NO_SOCKET",
        "5.17",
        "No socket takes the segment: nobody listens on that address and port, or the connection \
         is not known any more. RST answers, except to an RST. Newer kernels also use it if a \
         request, or the child that should come of it, is gone.",
        "Right after a request has expired it is the client's late data, not a wrong port.",
    ),
    drop(
        "TCP_CSUM",
        "5.17",
        "The checksum of the segment is wrong; it is not looked at.",
        "Captures on the sending host show wrong checksums where the card computes them: that is \
         no damage.",
    ),
    drop(
        "SOCKET_FILTER",
        "5.17",
        "A filter on the listener (SO_ATTACH_FILTER, SO_ATTACH_BPF) or a control group's BPF \
         program refused the segment. The client sees no answer.",
        "It is no firewall rule: nft and iptables do not show it.",
    ),
    drop(
        "NETFILTER_DROP",
        "5.18",
        "A rule of nftables or iptables, IPVS or connection tracking on this host dropped the \
         packet. A dropped SYN looks to the client like a dead host.",
        "Not every drop of a firewall has it: `reject` answers, and a rule in another namespace \
         or on a bridge drops there.",
    ),
    drop(
        "IP_RPFILTER",
        "5.18",
        "rp_filter: the answer would leave through another device than the packet came by. \
         IPReversePathFilter counts it.",
        "Asymmetric routes are the cause, not the sender's address as such.",
    ),
    drop(
        "OTHERHOST",
        "5.18",
        "The frame is for another machine; it was seen because the device is promiscuous.",
        "Harmless while a capture runs.",
    ),
    drop("IP_INHDR", "5.18", "Bad IP header; Ip InHdrErrors counts it.", ""),
    drop("IP_CSUM", "5.18", "Wrong checksum of the IP header.", ""),
    drop(
        "XFRM_POLICY",
        "5.18",
        "IPsec policy wants the packet encrypted and it was not, or the other way round.",
        "Looks to the client like a firewall.",
    ),
    drop("PROTO_MEM", "5.18", "TCP has used up tcp_mem.", ""),
    drop(
        "SOCKET_BACKLOG",
        "5.18",
        "The connection's socket is locked by its process and its buffers are full; \
         TCPBacklogDrop counts it.",
        "Nothing to do with the backlog of listen(): listeners take no lock from 4.4 on.",
    ),
    drop(
        "TCP_MD5NOTFOUND",
        "5.18",
        "The listener wants TCP-MD5 of this peer (BGP) and the SYN has none.",
        "Looks to the client like a dead host: no RST.",
    ),
    drop(
        "TCP_MD5UNEXPECTED",
        "5.18",
        "The SYN has TCP-MD5 and the listener has no key for the peer.",
        "Looks to the client like a dead host: no RST.",
    ),
    drop(
        "TCP_MD5FAILURE",
        "5.18",
        "The TCP-MD5 hash is wrong: keys differ, or a box between changed the segment.",
        "Looks to the client like a dead host: no RST.",
    ),
    drop(
        "TCP_FLAGS",
        "5.18",
        "Flags that make no sense in the state: a SYN with FIN for a listener, a segment without \
         SYN, ACK or RST.",
        "Scanners send such; it is rarely a failing client.",
    ),
    drop(
        "TCP_OLD_DATA",
        "5.18",
        "Data that was taken before; it is acknowledged again.",
        "An ACK got lost or came late; nothing is missing.",
    ),
    drop(
        "TCP_OVERWINDOW",
        "5.18",
        "Data beyond the receive window.",
        "A process that does not read closes the window: a child that waits in an accept queue \
         does just that.",
    ),
    drop(
        "TCP_ZEROWINDOW",
        "5.18",
        "Data while the receive window is closed.",
        "The same: nobody reads, or nobody has accepted.",
    ),
    drop(
        "TCP_RFC7323_PAWS",
        "5.19",
        "The timestamp is older than the last one seen.",
        "Behind NAT it can be another machine's clock.",
    ),
    drop(
        "TCP_RFC7323_TSECR",
        "6.15",
        "A third ACK echoes a timestamp that was never sent; TSEcrRejected counts it.",
        "A box between that rewrites timestamps, rarely the client.",
    ),
    drop(
        "TCP_INVALID_SEQUENCE",
        "5.19",
        "The sequence number lies outside the window. A client that comes back on the same port \
         after a crash sends such a SYN.",
        "It is answered by a challenge ACK; the RST that follows makes room for the next SYN.",
    ),
    drop(
        "TCP_INVALID_ACK_SEQUENCE",
        "6.10",
        "The acknowledgement lies outside of what was sent.",
        "On a half-open handshake the answer is RST.",
    ),
    drop(
        "TCP_INVALID_SYN",
        "5.19",
        "A SYN or SYN-ACK on an established connection: answered by a challenge ACK. A client \
         sees it for each SYN-ACK that a server with a full accept queue sends again.",
        "Invalid is the kernel's word. The sender does nothing wrong: to it the handshake is not \
         over.",
    ),
    drop(
        "TCP_RESET",
        "5.19",
        "An RST that is not at the next sequence number: answered by a challenge ACK.",
        "A valid RST does not have it.",
    ),
    drop("TCP_CLOSE", "5.19", "A segment for a socket in state CLOSE.", ""),
    drop("TCP_FASTOPEN", "5.19", "Refused by the request of a Fast Open child.", ""),
    drop("TCP_OLD_ACK", "5.19", "The ACK acknowledges nothing new.", "Normal with duplicates."),
    drop(
        "TCP_TOO_OLD_ACK",
        "5.19",
        "The ACK is older than the largest window seen: answered by a challenge ACK.",
        "",
    ),
    drop(
        "TCP_ACK_UNSENT_DATA",
        "5.19",
        "The ACK acknowledges data that was not sent yet.",
        "After a crash the other side may have been answered by another incarnation of the \
         connection.",
    ),
    drop("IP_INNOROUTES", "5.19", "No route for a packet that came in.", ""),
    drop(
        "IP_OUTNOROUTES",
        "5.18",
        "No route for a packet that goes out. IP OutNoRoutes counts it.",
        "A SYN-ACK without route drops the SYN: ListenDrops moves too.",
    ),
    drop(
        "NEIGH_FAILED",
        "5.18",
        "No answer to ARP or neighbour discovery: SYN or SYN-ACK could not be sent.",
        "The local machine drops it, so a capture shows ARP only.",
    ),
    drop("NEIGH_QUEUEFULL", "5.18", "Too many packets wait for the same neighbour.", ""),
    drop(
        "QDISC_DROP",
        "5.18",
        "The queueing discipline of the device dropped it on the way out.",
        "",
    ),
    drop(
        "CPU_BACKLOG",
        "5.18",
        "The per-CPU input queue is full (netdev_max_backlog).",
        "Nothing to do with the backlog of listen().",
    ),
    drop(
        "XDP",
        "5.18",
        "An XDP program dropped it (generic mode; in a driver no event is made).",
        "No firewall tool shows it, and a capture may not see the packet either.",
    ),
    drop(
        "TC_INGRESS",
        "5.18",
        "A tc filter or BPF program dropped it on the way in: CNI plugins work there.",
        "A capture on the device does see the packet.",
    ),
    drop(
        "TC_EGRESS",
        "5.18",
        "A tc filter or BPF program dropped it on the way out. Called QDISC_EGRESS in older \
         headers.",
        "",
    ),
    drop("NOMEM", "5.18", "Out of memory.", ""),
    reset("NOT_SPECIFIED", "6.10", "A reset whose cause the kernel does not tell.", ""),
    reset(
        "NO_SOCKET",
        "6.10",
        "Nobody listens there, or the connection is not known any more. So the client learns that \
         its request has expired.",
        "Not always a wrong port: late data of a client whose third ACK was dropped gets the \
         same.",
    ),
    reset("TCP_FLAGS", "6.10", "Flags that make no sense in the state.", ""),
    reset(
        "TCP_INVALID_ACK_SEQUENCE",
        "6.10",
        "The acknowledgement lies outside of what was sent: a third ACK for another SYN-ACK, or \
         the client's answer to a SYN-ACK of an earlier connection.",
        "",
    ),
    reset("TCP_ACK_UNSENT_DATA", "6.10", "The ACK acknowledges data that was not sent.", ""),
    reset("TCP_OLD_ACK", "6.10", "The ACK is too old for the state.", ""),
    reset("TCP_TOO_OLD_ACK", "6.10", "The ACK is older than the largest window seen.", ""),
    reset(
        "TCP_RFC7323_PAWS",
        "6.10",
        "The SYN-ACK echoes a wrong timestamp; PAWSActive counts it.",
        "",
    ),
    reset("TCP_TIMEWAIT_SOCKET", "6.10", "A segment for a connection in TIME_WAIT.", ""),
    reset(
        "INVALID_SYN",
        "6.10",
        "A SYN inside the window of a request that is not the first one repeated: the request is \
         removed.",
        "",
    ),
    reset(
        "TCP_ABORT_ON_DATA",
        "6.10",
        "Data came after the process closed the connection.",
        "The process closed too soon, or shut the wrong side.",
    ),
    reset(
        "TCP_ABORT_ON_CLOSE",
        "6.12",
        "The process closed with data unread. A closing listener resets the children that wait.",
        "To the client it looks like a crash.",
    ),
    reset("TCP_ABORT_ON_LINGER", "6.12", "SO_LINGER ended the wait for the peer.", ""),
    reset(
        "TCP_ABORT_ON_MEMORY",
        "6.12",
        "Too many orphans, or tcp_mem used up; TCPAbortOnMemory counts it.",
        "",
    ),
    reset("TCP_STATE", "6.12", "The state asks for a reset, as when a socket is disconnected.", ""),
    reset("TCP_KEEPALIVE_TIMEOUT", "6.12", "Keep-alive probes stayed unanswered.", ""),
    reset("TCP_DISCONNECT_WITH_DATA", "6.12", "The socket was disconnected with data unsent.", ""),
];

const fn drop(
    name: &'static str,
    since: &'static str,
    text: &'static str,
    misleading: &'static str,
) -> KernelReason {
    KernelReason::of(ReasonKind::Drop, name, since, text, misleading)
}

const fn reset(
    name: &'static str,
    since: &'static str,
    text: &'static str,
    misleading: &'static str,
) -> KernelReason {
    KernelReason::of(ReasonKind::Reset, name, since, text, misleading)
}

impl KernelReason {
    const fn of(
        kind: ReasonKind,
        name: &'static str,
        since: &'static str,
        text: &'static str,
        misleading: &'static str,
    ) -> Self {
        Self { name, kind, since, confirmed: false, commits: &[], text, misleading }
    }

    const fn confirmed(mut self) -> Self {
        self.confirmed = true;
        self
    }

    const fn commits(mut self, commits: &'static [&'static str]) -> Self {
        self.commits = commits;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_found_with_and_without_prefix_in_any_case() {
        let count = |name: &str| KernelReason::named(name).count();
        assert_eq!(count("tcp_listen_overflow"), 1);
        assert_eq!(count("SKB_DROP_REASON_NO_SOCKET"), 1);
        assert_eq!(count("SK_RST_REASON_NO_SOCKET"), 1);
        assert_eq!(count("no-socket"), 2);
        assert_eq!(count("SOCKET"), 0);
    }

    #[test]
    fn each_reason_stands_once_and_says_something() {
        for reason in KernelReason::ALL {
            assert!(!reason.text.is_empty() && !reason.since.is_empty());
            let same =
                |other: &&KernelReason| (other.name, other.kind) == (reason.name, reason.kind);
            assert_eq!(KernelReason::ALL.iter().filter(same).count(), 1, "{}", reason.name);
        }
    }
}
