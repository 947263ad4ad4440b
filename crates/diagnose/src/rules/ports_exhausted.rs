//! # What it sees
//!
//! All local ports that connect() may choose are in use for one destination (address and port), from
//! one source address. The next connect() there fails at once with EADDRNOTAVAIL, `Cannot assign
//! requested address`. A program that calls bind() with port 0 first gets EADDRINUSE from bind()
//! instead, and for every destination. No packet is sent and no counter moves.
//!
//! # Why it happens
//!
//! A connection needs a pair of addresses and ports of its own. With source, destination and
//! destination port fixed, the range `net.ipv4.ip_local_port_range` (28,232 ports by default), less
//! `ip_local_reserved_ports` and ports that somebody listens on, is all there is. The ports are held by
//! open connections (a pool without a limit, a leak), or by TIME_WAIT: whichever side closes first keeps
//! the pair for a minute, so some 470 short connections a second fill the range.
//!
//! # How sure
//!
//! Certain where all sockets could be counted. A hundredth of the range is allowed for ports that
//! sockets without a connection hold. Ports in TIME_WAIT do not count where `tcp_tw_reuse` lets
//! connect() take them again. Programs that narrow the range for a socket (IP_LOCAL_PORT_RANGE) run out
//! earlier, which does not show.
//!
//! # What to do
//!
//! If TIME_WAIT holds most of the ports: keep connections open and use them again; set
//! `net.ipv4.tcp_tw_reuse=1`. If open connections do: find the pool that has no limit, or spread over
//! more destination addresses, ports or source addresses. In both cases a wider
//! `net.ipv4.ip_local_port_range` gives time. A program that binds to a source address should set
//! IP_BIND_ADDRESS_NO_PORT, so that the port is chosen when the destination is known.
//!
//! # What not to do
//!
//! `tcp_fin_timeout` does not shorten TIME_WAIT, which is 60 seconds in the kernel's source.
//! `tcp_tw_recycle` (gone from 4.12 on) breaks clients behind NAT. A larger backlog or more descriptors
//! change nothing.
//!
//! # Sources
//!
//! net/ipv4/inet_hashtables.c `__inet_hash_connect`, net/ipv4/tcp_ipv4.c `tcp_twsk_unique`,
//! net/ipv4/inet_connection_sock.c `inet_csk_get_port`.

use halfopen_evidence::{DestinationPorts, Netns, Reading};

use crate::analysis::port_space::{self, PortUse};
use crate::{Confidence, Context, Finding, FindingId, Severity, Subject, Verdicts, words};

const ID: FindingId = FindingId::PortsExhausted;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for netns in &context.latest().netns {
        for ports in netns.ports.get().map_or(&[][..], |space| &space.destinations) {
            match port_space::of(context, netns, ports) {
                Reading::Known(usage) if usage.is_exhausted() => {
                    verdicts.find(finding(netns, ports, usage));
                    port_space::want_holder(netns, ports, verdicts);
                }
                Reading::Known(_) => {}
                Reading::Missing(why) => {
                    let why = format!(
                        "{} in use; net.ipv4.ip_local_port_range {why}",
                        words::count(ports.states.total(), "local port")
                    );
                    verdicts.undetermined(ID, subject(netns, ports), why);
                }
            }
        }
    }
}

fn subject(netns: &Netns, ports: &DestinationPorts) -> Subject {
    Subject::destination(netns, ports.source, ports.destination, &ports.holder)
}

fn finding(netns: &Netns, ports: &DestinationPorts, usage: PortUse) -> Finding {
    let exact = usage.used.saturating_sub(usage.reusable) >= usage.usable - usage.usable / 100;
    let time_wait = words::percent(ports.states.time_wait, usage.used);
    let held = match time_wait {
        0 => "by connections that are open".to_owned(),
        50.. => format!("{time_wait} % of them in TIME_WAIT, by connections that have ended"),
        _ => format!("{time_wait} % of them in TIME_WAIT, the rest by connections that are open"),
    };
    let mut remedies = port_space::remedies(ports, usage);
    remedies.push(
        "where the program binds to a source address first, set IP_BIND_ADDRESS_NO_PORT".to_owned(),
    );
    Finding {
        id: ID,
        severity: Severity::Failure,
        subject: subject(netns, ports),
        headline: format!(
            "no local port left: {} of {} in use, {time_wait} % in TIME_WAIT; connect() fails with EADDRNOTAVAIL",
            usage.used, usage.usable,
        ),
        cause: format!(
            "every connection from one address to one destination needs a local port of its own, and all of them are taken, {held}"
        ),
        evidence: port_space::facts(netns, ports, usage),
        confidence: if exact { Confidence::Certain } else { Confidence::Probable },
        refuted_by: "a connect() from this source address to this destination that succeeds"
            .to_owned(),
        remedies,
        useless: vec![
            "lowering net.ipv4.tcp_fin_timeout: it does not shorten TIME_WAIT".to_owned(),
            "a larger backlog, somaxconn or descriptor limit: no packet is sent at all".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Inode, Missing, PortSpace, PortStates, Want};
    use halfopen_model::PortRange;

    use super::*;
    use crate::fixture::{NETNS, Scene, endpoint, listener, ports_to};

    fn scene(states: PortStates) -> Scene {
        Scene::now().netns(|netns| {
            netns.sysctls.ip_local_port_range =
                Reading::Known(PortRange { low: 40_000, high: 40_999 });
            let destinations = vec![ports_to("10.0.0.2:443", states)];
            netns.ports =
                Reading::Known(PortSpace { destinations, undercount: 0, listed_from: 31 });
        })
    }

    fn established(count: u32) -> PortStates {
        PortStates { established: count, ..PortStates::default() }
    }

    #[test]
    fn a_range_that_is_used_up_fails_every_connect() {
        let finding = scene(established(1000)).finding(ID);
        assert_eq!(
            (finding.severity, finding.confidence),
            (Severity::Failure, Confidence::Certain)
        );
        assert!(finding.remedies[0].contains("pool"));
        assert_eq!(scene(established(1000)).ids(), [ID]);
        let diagnosis = scene(established(1000)).diagnose();
        let want = Want::Holders { netns: NETNS, inodes: vec![Inode(555)] };
        assert!(diagnosis.wants.contains(&want));
    }

    #[test]
    fn time_wait_that_may_not_be_taken_again_exhausts_the_range() {
        let states = PortStates { time_wait: 990, established: 10, ..PortStates::default() };
        let finding = scene(states).finding(ID);
        assert!(finding.headline.contains("99 % in TIME_WAIT"), "{}", finding.headline);
        assert!(finding.remedies.iter().any(|remedy| remedy.contains("tcp_tw_reuse=1")));
    }

    #[test]
    fn time_wait_that_may_be_taken_again_is_only_low() {
        let states = PortStates { time_wait: 990, established: 10, ..PortStates::default() };
        let reuse = scene(states).netns(|netns| netns.sysctls.tcp_tw_reuse = Reading::Known(1));
        assert_eq!(reuse.ids(), [FindingId::PortsLow]);
    }

    #[test]
    fn listened_ports_are_not_there_to_take() {
        let mut busy = scene(established(980));
        for port in 40_000..40_012_u16 {
            let socket = listener(u64::from(port), 0, 128);
            busy = busy.endpoint(endpoint(&format!("127.0.0.1:{port}"), [socket]));
        }
        assert_eq!(busy.ids(), [ID]);
    }

    #[test]
    fn a_range_with_some_room_is_not_exhausted() {
        assert!(scene(established(980)).is_silent_about(ID));
    }

    #[test]
    fn an_unknown_range_is_undetermined() {
        let diagnosis = scene(established(1000))
            .netns(|netns| netns.sysctls.ip_local_port_range = Missing::needs("root").into())
            .diagnose();
        assert!(diagnosis.findings.is_empty());
        assert_eq!(diagnosis.undetermined.len(), 1);
    }
}
