//! The filter of `check`, asked of a handshake: it matches if either end does, as the listener that it
//! came to or as the destination that was connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use halfopen_collect::WatchedNetns;
use halfopen_collect::packets::{Network, PacketFilter};
use halfopen_diagnose::{Filter, Subject, SubjectKind};
use halfopen_evidence::{EndpointKey, ProcessName, Reading, SocketCall, Traced};
use halfopen_trace::{FailedCall, Listens};

use super::drops::Rise;

/// Whether a filter matches a handshake for certain.
pub(super) fn matches(filter: &Filter, traced: &Traced) -> bool {
    if filter.is_everything() {
        return true;
    }
    let (client, server) = (traced.handshake.client, traced.handshake.server);
    let endpoint = EndpointKey { local: server, device: 0, v6_only: true };
    let destination = SubjectKind::Destination { source: client.ip(), destination: server };
    let is = |kind, process| {
        filter.matches(&Subject {
            kind,
            netns: traced.netns,
            netns_label: traced.netns_label.clone(),
            own_netns: traced.is_own_netns,
            processes: known(process),
        })
    };
    is(SubjectKind::Endpoint(endpoint), &traced.server_process)
        || is(destination, &traced.client_process)
}

/// Whether a filter matches a call that failed for certain. A connect() has no source address yet.
pub(super) fn matches_call(filter: &Filter, netns: &WatchedNetns, failed: &FailedCall) -> bool {
    let kind = match failed.call {
        SocketCall::Bind => endpoint(failed.address),
        SocketCall::Connect => {
            let source: IpAddr = match failed.address.ip() {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            SubjectKind::Destination { source, destination: failed.address }
        }
    };
    filter.matches(&subject(kind, netns, failed.caller.iter().cloned().collect()))
}

/// Whether a filter matches a listener that has dropped something for certain.
pub(super) fn matches_listener(filter: &Filter, rise: &Rise) -> bool {
    let kind = SubjectKind::Endpoint(rise.listener.key);
    filter.matches(&subject(kind, &rise.netns, known(&rise.process)))
}

/// Whether a filter matches a socket that began to listen for certain.
pub(super) fn matches_listening(filter: &Filter, netns: &WatchedNetns, listens: &Listens) -> bool {
    let callers = listens.caller.iter().cloned().collect();
    filter.matches(&subject(endpoint(listens.local), netns, callers))
}

const fn endpoint(local: SocketAddr) -> SubjectKind {
    SubjectKind::Endpoint(EndpointKey { local, device: 0, v6_only: false })
}

fn subject(kind: SubjectKind, netns: &WatchedNetns, processes: Vec<ProcessName>) -> Subject {
    Subject {
        kind,
        netns: netns.id,
        netns_label: netns.label.clone(),
        own_netns: netns.is_own,
        processes,
    }
}

fn known(process: &Reading<Option<ProcessName>>) -> Vec<ProcessName> {
    process.get().into_iter().flatten().cloned().collect()
}

/// What of a filter the kernel can look at.
pub(super) fn in_kernel(filter: &Filter) -> PacketFilter {
    let network = |(address, bits)| Network { address, bits };
    PacketFilter {
        ports: filter.ports(),
        networks: filter.networks().map(|all| all.into_iter().map(network).collect()),
        busy: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::fixture;

    fn check(text: &str, expected: bool) {
        let filter = Filter::parse(text).expect("a filter");
        for traced in fixture::some() {
            assert_eq!(matches(&filter, &traced), expected, "{text} {traced:?}");
        }
    }

    #[test]
    fn a_filter_is_asked_about_both_ends() {
        for text in ["", ":8080", "sport = :8080", "dport = :8080", "dst 10.77.0.1"] {
            check(text, true);
        }
        for text in ["src 10.77.0.1", "src 10.77.0.2", "netns blue", "not :81", "comm web or :8080"]
        {
            check(text, true);
        }
        for text in [":40000", "dst 10.77.0.2", "comm web and dport = :81", "netns red", "uid 0"] {
            check(text, false);
        }
        let [first, ..] = fixture::some();
        let by_name = |text: &str| matches(&Filter::parse(text).expect("a filter"), &first);
        assert!(by_name("comm web") && by_name("pid 812") && by_name("comm curl"));
        assert!(!by_name("pid 813"));
    }

    #[test]
    fn ports_and_networks_go_to_the_kernel() {
        let filter = |text: &str| in_kernel(&Filter::parse(text).expect("a filter"));
        assert_eq!(filter(""), PacketFilter::default());
        let both = filter(":8080 and dst 10.0.0.0/8 and comm web");
        assert_eq!(both.ports.map(Vec::from_iter), Some(vec![8080]));
        let address = "10.0.0.0".parse().expect("an address");
        assert_eq!(both.networks, Some(vec![Network { address, bits: 8 }]));
    }
}
