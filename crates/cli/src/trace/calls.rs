//! Calls that failed before any segment was sent, in words.

use std::net::SocketAddr;

use halfopen_evidence::SocketCall;
use halfopen_trace::FailedCall;

/// errno of a connect() that found no local port.
const EADDRNOTAVAIL: i32 = 99;

/// What an errno says of these calls (include/uapi/asm-generic/errno.h).
struct Meaning {
    errno: i32,
    name: &'static str,
    bind: &'static str,
    connect: &'static str,
}

const MEANINGS: &[Meaning] = &[
    Meaning {
        errno: 1,
        name: "EPERM",
        bind: "a security module or a BPF program of its cgroup forbids it",
        connect: "a security module or a BPF program of its cgroup forbids it",
    },
    Meaning {
        errno: 13,
        name: "EACCES",
        bind: "a port below net.ipv4.ip_unprivileged_port_start needs CAP_NET_BIND_SERVICE",
        connect: "the route prohibits it, or it is a broadcast address",
    },
    Meaning {
        errno: 19,
        name: "ENODEV",
        bind: "there is no such interface",
        connect: "there is no such interface",
    },
    Meaning {
        errno: 22,
        name: "EINVAL",
        bind: "the socket is bound already, or the address is no address",
        connect: "the route is a blackhole, or the address is no address",
    },
    Meaning {
        errno: 97,
        name: "EAFNOSUPPORT",
        bind: "the socket is of another address family",
        connect: "the socket is of another address family",
    },
    Meaning {
        errno: 98,
        name: "EADDRINUSE",
        bind: "another socket has it, or one in TIME_WAIT and SO_REUSEADDR is not set",
        connect: "the address is in use",
    },
    Meaning {
        errno: EADDRNOTAVAIL,
        name: "EADDRNOTAVAIL",
        bind: "no interface has this address",
        connect: "every local port is in use for this destination",
    },
    Meaning {
        errno: 101,
        name: "ENETUNREACH",
        bind: "there is no route",
        connect: "there is no route",
    },
    Meaning {
        errno: 113,
        name: "EHOSTUNREACH",
        bind: "the route is unreachable",
        connect: "the route is unreachable",
    },
];

/// The name of an errno that these calls are known to give.
pub(super) fn errno_name(errno: i32) -> Option<&'static str> {
    meaning(errno).map(|meaning| meaning.name)
}

/// Whether a connect() found no local port, which is an incident of the host and no mistake of a
/// program.
pub(super) const fn lacks_port(call: SocketCall, errno: i32) -> bool {
    matches!(call, SocketCall::Connect) && errno == EADDRNOTAVAIL
}

/// What happened, in a few words.
pub(super) const fn label(failed: &FailedCall) -> &'static str {
    match failed.call {
        SocketCall::Connect if lacks_port(failed.call, failed.errno) => "no local port",
        SocketCall::Connect => "connect failed",
        SocketCall::Bind => "bind failed",
    }
}

/// The call as a manual names it.
pub(super) const fn name(call: SocketCall) -> &'static str {
    match call {
        SocketCall::Bind => "bind()",
        SocketCall::Connect => "connect()",
    }
}

/// Its error, and what that means for this address.
pub(super) fn reason(failed: &FailedCall) -> String {
    let error = errno(failed.errno);
    match (meaning(failed.errno), failed.call) {
        (Some(_), SocketCall::Bind) if wants_any_port(failed.errno, failed.address) => {
            format!("{error}: every port of net.ipv4.ip_local_port_range is in use")
        }
        (Some(meaning), SocketCall::Bind) => format!("{error}: {}", meaning.bind),
        (Some(meaning), SocketCall::Connect) => format!("{error}: {}", meaning.connect),
        (None, _) => error,
    }
}

/// An errno by its name, or as a number.
pub(super) fn errno(errno: i32) -> String {
    errno_name(errno).map_or_else(|| format!("errno {errno}"), str::to_owned)
}

fn wants_any_port(errno: i32, address: SocketAddr) -> bool {
    errno_name(errno) == Some("EADDRINUSE") && address.port() == 0
}

fn meaning(errno: i32) -> Option<&'static Meaning> {
    MEANINGS.iter().find(|meaning| meaning.errno == errno)
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::NetnsId;

    use super::*;

    fn failed(call: SocketCall, address: &str, errno: i32) -> FailedCall {
        let address = address.parse().expect("an address");
        FailedCall { netns: NetnsId(1), at_ns: 0, call, address, caller: None, errno }
    }

    #[test]
    fn what_an_error_means_depends_on_the_call_and_the_address() {
        use SocketCall::{Bind, Connect};
        let words = |call, address, errno| {
            let failed = failed(call, address, errno);
            format!("{}: {}", label(&failed), reason(&failed))
        };
        let some = [
            words(Bind, "0.0.0.0:80", 98),
            words(Bind, "127.0.0.1:0", 98),
            words(Bind, "10.9.9.9:80", 99),
            words(Connect, "10.9.9.9:80", 99),
            words(Connect, "[fd00::1]:80", 101),
            words(Connect, "10.9.9.9:80", 12345),
        ];
        insta::assert_snapshot!(some.join("\n"));
    }

    #[test]
    fn an_errno_stands_once_in_the_table() {
        let mut all: Vec<i32> = MEANINGS.iter().map(|meaning| meaning.errno).collect();
        all.dedup();
        assert!(all.is_sorted() && all.len() == MEANINGS.len());
    }
}
