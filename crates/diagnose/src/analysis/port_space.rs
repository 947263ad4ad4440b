//! How many local ports are left for a destination.
//!
//! `connect()` needs a 4-tuple of its own: the limit holds per source address, destination address
//! and destination port. Ports that somebody listens on are never chosen; ports whose tuple is in
//! TIME_WAIT are, if tcp_tw_reuse allows it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use halfopen_evidence::{DestinationPorts, Missing, Netns, Reading, Want};
use halfopen_model::{PortSearch, TimeWaitReuse};

use crate::{Context, Fact, Verdicts, words};

/// The ports of one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortUse {
    /// Ports that `connect()` may choose from.
    pub(crate) usable: u32,
    /// Ports in use.
    pub(crate) used: u32,
    /// Of these, ports in TIME_WAIT that `connect()` may take again after a second.
    pub(crate) reusable: u32,
    /// By how many the count may be too low.
    pub(crate) undercount: u32,
}

/// What is left for a destination; `ports` is one of the namespace's.
pub(crate) fn of(
    context: &Context<'_>,
    netns: &Netns,
    ports: &DestinationPorts,
) -> Reading<PortUse> {
    let undercount = netns.ports.get().map_or(0, |space| space.undercount);
    let reusable = if reuses_time_wait(context, netns, ports) { ports.states.time_wait } else { 0 };
    let range = netns.sysctls.ip_local_port_range.as_ref().zip(netns.sysctls.usable_ports());
    range.map(|(range, usable)| {
        let listening: BTreeSet<u16> = netns
            .endpoints
            .get()
            .into_iter()
            .flatten()
            .map(|endpoint| endpoint.key.local.port())
            .filter(|&port| range.contains(port))
            .collect();
        let listening = u32::try_from(listening.len()).unwrap_or(u32::MAX);
        let usable = usable.saturating_sub(listening);
        PortUse { usable, used: ports.states.total(), reusable, undercount }
    })
}

impl PortUse {
    /// Whether no port is left, give or take the hundredth that bound sockets and connections that
    /// come and go may hide.
    pub(crate) fn is_exhausted(self) -> bool {
        let slack = self.usable / 100;
        let used =
            self.used.saturating_sub(self.reusable).saturating_add(self.undercount.min(slack));
        self.usable > 0 && used.saturating_add(slack) >= self.usable
    }

    /// Whether `connect()` has to search: half of the range is taken where the kernel tries one
    /// parity first, four fifths where it tries port after port.
    pub(crate) fn is_low(self, search: Option<PortSearch>) -> bool {
        let (part, whole) = match search {
            Some(PortSearch::TwoPasses) | None => (1, 2),
            Some(PortSearch::OnePass) => (4, 5),
        };
        let used = u64::from(self.used);
        self.usable > 0 && used * whole >= u64::from(self.usable) * part
    }
}

/// Whether `connect()` may take ports out of TIME_WAIT. `tcp_tw_reuse` 2 means connections over
/// loopback; an own address outside 127.0.0.0/8 does not count as that (`tcp_twsk_unique`).
fn reuses_time_wait(context: &Context<'_>, netns: &Netns, ports: &DestinationPorts) -> bool {
    let by_default =
        context.semantics().get().map(|semantics| semantics.ports.time_wait_reuse_default);
    let setting = netns.sysctls.tcp_tw_reuse.value().map(TimeWaitReuse::of_setting);
    let loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
    let timestamps = netns.sysctls.tcp_timestamps.value() != Some(0);
    timestamps
        && match setting.or(by_default) {
            Some(TimeWaitReuse::On) => true,
            Some(TimeWaitReuse::LoopbackOnly) => {
                loopback(ports.source) || loopback(ports.destination.ip())
            }
            Some(TimeWaitReuse::Off) | None => false,
        }
}

/// The figures behind both findings.
pub(crate) fn facts(netns: &Netns, ports: &DestinationPorts, usage: PortUse) -> Vec<Fact> {
    let states = &ports.states;
    let (used, usable) = (usage.used, usage.usable);
    let range = netns
        .sysctls
        .ip_local_port_range
        .value()
        .map_or_else(String::new, |range| format!(" in the range {range}"));
    let held: Vec<String> = [
        ("ESTABLISHED", states.established),
        ("TIME_WAIT", states.time_wait),
        ("SYN_SENT", states.syn_sent),
        ("CLOSE_WAIT", states.close_wait),
        ("closing", states.closing),
    ]
    .iter()
    .filter(|&&(_, count)| count > 0)
    .map(|&(state, count)| format!("{count} in {state}"))
    .collect();
    let time_wait = words::percent(states.time_wait, used);
    let mut facts = vec![
        Fact::number("local-ports-used", used, words::count(used, "local port") + " in use"),
        Fact::number("local-ports-usable", usable, format!("{usable} usable{range}")),
        Fact::words("local-port-states", held.join(", ")),
        Fact::number("time-wait-percent", time_wait, format!("TIME_WAIT share {time_wait} %")),
    ];
    if usage.undercount > 0 {
        let text = format!("the count may be {} too low", words::count(usage.undercount, "port"));
        facts.push(Fact::number("local-ports-undercount", usage.undercount, text));
    }
    facts
}

/// What helps, by the state that holds the ports.
pub(crate) fn remedies(ports: &DestinationPorts, usage: PortUse) -> Vec<String> {
    let states = &ports.states;
    let holds_half = |count| words::percent(count, usage.used) >= 50;
    let mut remedies = Vec::new();
    if holds_half(states.time_wait) {
        remedies.push(
            "keep connections open and use them again (keep-alive, a pool): each short connection holds its port for a minute after its end".to_owned(),
        );
        if usage.reusable == 0 {
            remedies.push(
                "sysctl -w net.ipv4.tcp_tw_reuse=1 (with tcp_timestamps on): connect() may then take ports out of TIME_WAIT after a second".to_owned(),
            );
        }
    } else if holds_half(states.close_wait) {
        remedies.push(
            "make the program close what its peer has closed: the ports are held by connections in CLOSE_WAIT".to_owned(),
        );
    } else {
        remedies.push(
            "look for a pool without a limit or connections that are never closed in the program that holds them".to_owned(),
        );
        remedies.push(
            "use more than one destination address or port, or more than one source address (bind() with IP_BIND_ADDRESS_NO_PORT): each has all ports of its own".to_owned(),
        );
    }
    remedies.push(
        "widen the range: sysctl -w net.ipv4.ip_local_port_range=\"10240 65535\" (mind ports that servers use)".to_owned(),
    );
    remedies
}

/// Asks for the process behind a destination, unless that was done.
pub(crate) fn want_holder(netns: &Netns, ports: &DestinationPorts, verdicts: &mut Verdicts) {
    if let (Some(example), Some(Missing::NotCollected)) = (ports.example, ports.holder.missing()) {
        verdicts.want(Want::Holders { netns: netns.id, inodes: vec![example] });
    }
}
