//! What could not be seen, what would show it, and which findings that costs.

use halfopen_evidence::{Gap, Host, Missing, Reading};

use crate::privilege;

/// Findings that are made from a namespace's sockets, counters and settings, those about the
/// processes of its sockets among them.
const OF_A_NAMESPACE: &[&str] = &[
    "accept-thread-missing",
    "accept-process-stopped",
    "accept-out-of-fds",
    "accept-blocked",
    "accept-deadlock",
    "accept-stalled",
    "accept-too-slow",
    "backlog-clamped",
    "somaxconn-not-applied",
    "backlog-truncated",
    "syn-queue-full",
    "syn-cookies-in-use",
    "syn-reserve",
    "listen-drops-other",
    "third-ack-dropped",
    "third-ack-lost",
    "never-accepted",
    "close-wait-leak",
    "overflow-reset",
    "reuseport-skew",
    "ports-exhausted",
    "ports-low",
    "connect-unanswered",
    "conntrack-full",
];

/// Findings that need to know which process holds a socket.
const OF_A_PROCESS: &[&str] = &[
    "accept-thread-missing",
    "accept-process-stopped",
    "accept-out-of-fds",
    "accept-blocked",
    "accept-deadlock",
    "close-wait-leak",
];

/// Findings that are surer with what BPF programs tell.
const OF_BPF: &[&str] = &["third-ack-dropped", "third-ack-lost"];

/// Namespaces that were found and could not be entered.
pub(crate) fn namespaces(closed: usize, found: usize, why: &Missing) -> Gap {
    let what = format!("{closed} of {found} network namespaces");
    match why {
        Missing::NotPermitted { needs } => gap(what, needs, OF_A_NAMESPACE),
        why => gap(format!("{what} ({why})"), "another look", OF_A_NAMESPACE),
    }
}

/// What only BPF programs can tell.
pub(crate) fn bpf(why: &Missing) -> Gap {
    let what = "SYN queues as the kernel counts them, by BPF";
    match why {
        Missing::NotPermitted { needs } => gap(what.to_owned(), needs, OF_BPF),
        Missing::NotOnThisKernel => {
            gap(what.to_owned(), "a kernel with BTF (/sys/kernel/btf/vmlinux)", OF_BPF)
        }
        why => gap(format!("{what} ({why})"), "a kernel that takes the programs", OF_BPF),
    }
}

/// Processes whose network namespace may not be read: there may be more namespaces than were found.
pub(crate) fn namespaces_of_processes(host: &Host, processes: u32) -> Gap {
    let what = format!("network namespaces of {}", of_other_users(processes));
    gap(what, needed(host), OF_A_NAMESPACE)
}

/// Processes whose descriptors may not be read.
pub(crate) fn descriptors(host: &Host, processes: u32) -> Gap {
    let what = format!("descriptors of {}", of_other_users(processes));
    gap(what, needed(host), OF_A_PROCESS)
}

/// The processes of other pid namespaces, if the collector cannot see them.
pub(crate) fn processes(host: &Host) -> Option<Gap> {
    match host.sees_all_processes {
        Reading::Known(true) => None,
        Reading::Known(false) | Reading::Missing(_) => Some(gap(
            "processes outside this pid namespace".to_owned(),
            "the host's pid namespace (docker run --pid=host, hostPID: true)",
            OF_A_PROCESS,
        )),
    }
}

/// A dump that the kernel says was disturbed.
pub(crate) fn disturbed(netns: &str) -> Gap {
    let what = format!("some sockets of {netns}, which changed while they were listed");
    gap(what, "another look", &["never-accepted", "close-wait-leak", "ports-low"])
}

/// What would let the collector read another process.
fn needed(host: &Host) -> &'static str {
    match host.collector_uid {
        0 => "more than root has here (CAP_SYS_PTRACE, or leave of a security module)",
        _ => privilege::READ_PROCESSES,
    }
}

fn of_other_users(processes: u32) -> String {
    match processes {
        1 => "one process that may not be read".to_owned(),
        many => format!("{many} processes that may not be read"),
    }
}

fn gap(what: String, needs: &str, costs: &[&str]) -> Gap {
    Gap { what, needs: needs.to_owned(), costs: costs.iter().map(|&id| id.to_owned()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_needs_a_privilege_or_says_what_was_wrong_with_it() {
        let brief = |why| {
            let Gap { what, needs, .. } = namespaces(1, 3, &why);
            (what, needs)
        };
        let closed = brief(Missing::needs("root"));
        assert_eq!(closed, ("1 of 3 network namespaces".to_owned(), "root".to_owned()));
        let (what, needs) = brief(Missing::unreadable("/run/netns/a: too many open files"));
        assert!(what.ends_with("(unreadable: /run/netns/a: too many open files)"), "{what}");
        assert_eq!(needs, "another look");
    }

    #[test]
    fn whoever_cannot_see_a_namespace_cannot_see_its_processes() {
        assert!(OF_A_PROCESS.iter().all(|id| OF_A_NAMESPACE.contains(id)));
    }
}
