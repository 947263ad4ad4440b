//! Children in the queue: whose they are, and what becomes of them.

use super::Rule;
use crate::MigrateReq;

pub(super) const RULES: &[Rule] =
    &[NEVER_ACCEPTED_INODE, LISTENER_CLOSE, REUSEPORT, MIGRATION, FAST_OPEN];

const NEVER_ACCEPTED_INODE: Rule = Rule {
    id: "never-accepted-inode",
    title: "A connection that was never accepted has no inode",
    text: "Until accept() a child has no struct socket, so ss, sock_diag and /proc/net/tcp show \
           inode 0 and no process. ESTABLISHED or CLOSE_WAIT with inode 0 means: in an accept \
           queue. (Orphans of close() have none either, but are in FIN_WAIT, CLOSING, LAST_ACK or \
           TIME_WAIT. Subflows of MPTCP are UNCONFIRMED.)\n\
           A child that receives FIN goes to CLOSE_WAIT and keeps its place. One that receives \
           RST keeps its place too, but leaves the tables: no tool shows it, accept() returns it, \
           and the first read fails. So Recv-Q of the listener may be more than the children that \
           show; the difference is dead ones.",
    code: &["net/ipv4/inet_diag.c", "net/ipv4/inet_connection_sock.c inet_csk_accept"],
    commits: &[],
    differs: |_| "inode 0 until accept()".to_owned(),
    findings: &["never-accepted"],
};

const LISTENER_CLOSE: Rule = Rule {
    id: "listener-close",
    title: "Closing a listener resets what waits in its accept queue",
    text: "close() by its last holder, or shutdown() for reading, sends RST for every child that \
           waits (OutRsts, and EstabResets for those in ESTABLISHED or CLOSE_WAIT). Requests get \
           nothing: their timer removes them, or their next segment finds another listener or is \
           answered by RST.\n\
           So a restart of a server with a full queue resets all who waited, at once.",
    code: &["net/ipv4/inet_connection_sock.c inet_csk_listen_stop"],
    commits: &[],
    differs: |semantics| {
        if semantics.queues.migrate_req == MigrateReq::Moves {
            "reset, unless tcp_migrate_req moves them"
        } else {
            "reset"
        }
        .to_owned()
    },
    findings: &[],
};

const REUSEPORT: Rule = Rule {
    id: "reuseport",
    title: "A SO_REUSEPORT socket that is full does not pass SYNs to its siblings",
    text: "The SYN's addresses and ports are hashed to one socket of the group, and its queues \
           alone count. A client whose hash points to a socket that nobody accepts from fails \
           each time it uses that source port, while others work.\n\
           Adding or removing a socket changes the mapping. From 4.4 on a request keeps its \
           listener.",
    code: &["net/core/sock_reuseport.c reuseport_select_sock", "net/ipv4/inet_hashtables.c"],
    commits: &[],
    differs: |semantics| {
        if semantics.queues.requests_in_ehash {
            "a request keeps its socket when the group changes"
        } else {
            "a change of the group can part a third ACK from its request"
        }
        .to_owned()
    },
    findings: &["reuseport-skew"],
};

const MIGRATION: Rule = Rule {
    id: "migration",
    title: "tcp_migrate_req moves the queue of a closing listener to a sibling",
    text: "With net.ipv4.tcp_migrate_req = 1 (default 0), or a BPF program that selects the \
           target, children and requests of a listener that closes move to another socket of its \
           SO_REUSEPORT group instead of being reset (TCPMigrateReqSuccess, \
           TCPMigrateReqFailure).\n\
           The limit of the new queue is not looked at: it can hold more than its room. Measured: \
           Recv-Q 8 with a backlog of 3.",
    code: &["net/ipv4/inet_connection_sock.c inet_csk_listen_stop, inet_csk_reqsk_queue_add"],
    commits: &[],
    differs: |semantics| {
        let what = match semantics.queues.migrate_req {
            MigrateReq::Absent => "does not exist",
            MigrateReq::DoesNothing => "can be set, and does nothing",
            MigrateReq::Moves => "exists, off by default",
        };
        what.to_owned()
    },
    findings: &[],
};

const FAST_OPEN: Rule = Rule {
    id: "fast-open",
    title: "TCP Fast Open puts a child into the accept queue at its SYN",
    text: "The child is a full socket in SYN_RECV and counts in Recv-Q. It needs room in the \
           listener's own Fast Open limit as well: beyond that TCPFastOpenListenOverflow counts \
           it and the handshake goes on as usual. Its SYN-ACK is sent again once more often than \
           tcp_synack_retries.",
    code: &["net/ipv4/tcp_fastopen.c tcp_try_fastopen, tcp_fastopen_queue_check"],
    commits: &[],
    differs: |_| "not told apart".to_owned(),
    findings: &[],
};
