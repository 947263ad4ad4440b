//! # What it sees
//!
//! At least half of the local ports that connect() may choose are in use for one destination (address
//! and port), from one source address. connect() still works, and takes a hundred times as long as
//! before: the client burns system CPU, long before the first error.
//!
//! # Why it happens
//!
//! Since about Linux 4.6 connect() tries all ports of one parity first (those like the first port of
//! the range) and then the others. Once the first half is taken, every connect() walks all of it before
//! it finds a free port: a cliff at 50 % of the range. In a measurement with the default range a
//! connect() took 10 µs below the cliff and 1,000 µs above. Older kernels try port after port, and get
//! slow towards the end of the range only; there the finding waits for 80 %.
//!
//! # How sure
//!
//! The number of ports is counted. How dear connect() has become is inferred from the share of the
//! first half that is taken.
//!
//! # What to do
//!
//! What helps when ports are exhausted helps here, without haste: keep connections open and use them
//! again, limit pools, spread over more destinations or source addresses, set `tcp_tw_reuse=1` if
//! TIME_WAIT holds most of them, widen `net.ipv4.ip_local_port_range`.
//!
//! # What not to do
//!
//! More CPUs do not help: each connect() does the whole search. `tcp_fin_timeout` does not shorten
//! TIME_WAIT.
//!
//! # Sources
//!
//! net/ipv4/inet_hashtables.c `__inet_hash_connect`; commit 1580ab63fc9a.

use halfopen_evidence::{DestinationPorts, Netns, Reading};
use halfopen_model::PortSearch;

use crate::analysis::port_space::{self, PortUse};
use crate::{Confidence, Context, Fact, Finding, FindingId, Severity, Subject, Verdicts, words};

const ID: FindingId = FindingId::PortsLow;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    let search = context.semantics().get().map(|semantics| semantics.ports.search);
    for netns in &context.latest().netns {
        for ports in netns.ports.get().map_or(&[][..], |space| &space.destinations) {
            // Without the range `ports-exhausted` says what is missing, for both.
            let Reading::Known(usage) = port_space::of(context, netns, ports) else {
                continue;
            };
            if usage.is_low(search) && !usage.is_exhausted() {
                verdicts.find(finding(netns, ports, usage, search));
                port_space::want_holder(netns, ports, verdicts);
            }
        }
    }
}

fn finding(
    netns: &Netns,
    ports: &DestinationPorts,
    usage: PortUse,
    search: Option<PortSearch>,
) -> Finding {
    let mut evidence = port_space::facts(netns, ports, usage);
    let half = usage.usable.div_ceil(2);
    let taken = words::percent(ports.first_parity, half).min(100);
    let two_passes = search == Some(PortSearch::TwoPasses);
    if two_passes {
        evidence.push(Fact::number(
            "first-half-used-percent",
            taken,
            format!("{taken} % of the ports that connect() tries first are taken"),
        ));
    }
    let cause = if two_passes && taken >= 95 {
        "connect() tries the ports of one parity first, and these are taken, so every connect() walks through all of them before it finds a free one"
    } else {
        "more than half of the local ports are taken for this destination, so connect() searches longer and longer for a free one, and in the end finds none"
    };
    Finding {
        id: ID,
        severity: Severity::Warning,
        subject: Subject::destination(netns, ports.source, ports.destination, &ports.holder),
        headline: format!(
            "{} of {} local ports in use, {} % in TIME_WAIT; connect() gets slow",
            usage.used,
            usage.usable,
            words::percent(ports.states.time_wait, usage.used),
        ),
        cause: cause.to_owned(),
        evidence,
        confidence: if two_passes && taken >= 95 {
            Confidence::Certain
        } else {
            Confidence::Probable
        },
        refuted_by: "connect() calls to this destination that take a few microseconds".to_owned(),
        remedies: port_space::remedies(ports, usage),
        useless: vec![
            "more CPUs or threads: each connect() does the whole search".to_owned(),
            "lowering net.ipv4.tcp_fin_timeout: it does not shorten TIME_WAIT".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Missing, PortSpace, PortStates};
    use halfopen_model::PortRange;

    use super::*;
    use crate::fixture::{Scene, ports_to};

    fn scene(established: u32) -> Scene {
        Scene::now().netns(|netns| {
            netns.sysctls.ip_local_port_range =
                Reading::Known(PortRange { low: 40_000, high: 40_999 });
            let states = PortStates { established, ..PortStates::default() };
            let destinations = vec![ports_to("10.0.0.2:443", states)];
            netns.ports =
                Reading::Known(PortSpace { destinations, undercount: 0, listed_from: 31 });
        })
    }

    #[test]
    fn half_of_the_range_makes_connect_dear() {
        assert_eq!(scene(750).ids(), [ID]);
        let finding = scene(500).finding(ID);
        assert_eq!(
            (finding.severity, finding.confidence),
            (Severity::Warning, Confidence::Certain)
        );
    }

    #[test]
    fn less_than_half_and_everything_are_not_low() {
        assert_eq!(scene(499).ids(), []);
        assert!(scene(1000).is_silent_about(ID));
    }

    #[test]
    fn kernels_that_try_port_after_port_get_slow_later() {
        let old = |established| {
            let mut scene = scene(established);
            scene.second.host.kernel_release = "3.10.0-1160.el7.x86_64".to_owned();
            scene
        };
        assert!(old(750).is_silent_about(ID));
        assert_eq!(old(800).ids(), [ID]);
    }

    #[test]
    fn an_unknown_range_is_left_to_ports_exhausted() {
        let diagnosis = scene(750)
            .netns(|netns| netns.sysctls.ip_local_port_range = Missing::needs("root").into())
            .diagnose();
        assert!(diagnosis.findings.is_empty());
        assert_eq!(diagnosis.undetermined[0].id, FindingId::PortsExhausted);
    }
}
