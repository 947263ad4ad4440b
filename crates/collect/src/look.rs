//! The cheap evidence of one network namespace: a few small files and at most three dumps.
//!
//! 1. The listening sockets.
//! 2. Sockets in states that are rare on a healthy host and tell of trouble: SYN_SENT, SYN_RECV,
//!    CLOSE_WAIT.
//! 3. All others, of which a busy host has hundreds of thousands. Only two questions need them: who
//!    waits in an accept queue that is not empty, and how many local ports each destination uses.
//!    So the kernel is asked to send only those of the ports in question, and not asked at all while
//!    the namespace has too few sockets for any destination to run short of ports.

use std::collections::BTreeSet;

use halfopen_evidence::{
    FoldLimits, Missing, Netns, PortSpace, Reading, SocketFold, SocketRow, Sysctls, TcpUse,
};
use halfopen_model::{PortRange, TcpState};

use crate::namespaces::Visit;
use crate::netlink::decode::socket_row;
use crate::netlink::filter::PortFilter;
use crate::netlink::request::DumpRequest;
use crate::netlink::{Consistency, DiagError, DiagSocket, DumpBuffer};
use crate::{conntrack, counters, sockstat, sysctls};

/// States of the second dump.
const TELLTALE: &[TcpState] =
    &[TcpState::SynSent, TcpState::SynRecv, TcpState::NewSynRecv, TcpState::CloseWait];

/// States of the third dump.
const COMMON: &[TcpState] = &[
    TcpState::Established,
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::TimeWait,
    TcpState::LastAck,
    TcpState::Closing,
];

/// The range of local ports where the setting cannot be read: the kernel's default since 4.2.
const DEFAULT_RANGE: PortRange = PortRange { low: 32768, high: 60999 };

/// Local ports matter once one destination could use this part of them: from a half on `connect()`
/// gets dear, and a forecast wants some room before that.
const PORTS_MATTER_FROM: u32 = 4;

/// A dump of listening sockets that was disturbed is repeated so often.
const LISTENER_ATTEMPTS: usize = 3;

/// A namespace, and what went wrong on the way.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) netns: Netns,
    /// Why there are no sockets in it, if there are none.
    pub(crate) error: Option<DiagError>,
    pub(crate) consistency: Consistency,
}

/// Reads the namespace that the calling thread is in.
pub(crate) fn look(visit: &Visit<'_>, ports: Option<&PortFilter>, buffer: &mut DumpBuffer) -> Look {
    let sysctls = sysctls::read(visit.proc);
    let tcp_use = sockstat::read(&visit.net);
    let plan = Plan { sysctls: &sysctls, tcp_use: &tcp_use, ports };
    let listeners = DiagSocket::open().and_then(|mut socket| {
        let listeners = listeners(&mut socket, buffer)?;
        Ok((socket, listeners))
    });
    // Right after the queues, so that both belong to the same moment: what was accepted between two
    // looks is reckoned from the two together.
    let counters = counters::read(&visit.net);
    let folded = listeners.and_then(|(mut socket, listeners)| {
        let listening = Listening::of(&listeners);
        let mut fold = SocketFold::new(listeners, plan.range(), FoldLimits::default());
        let consistency = plan.fold_connections(&mut socket, &listening, &mut fold, buffer)?;
        Ok((fold.finish(), consistency))
    });
    let mut netns = Netns {
        id: visit.found.id,
        labels: visit.found.labels.clone(),
        is_own: visit.found.is_own,
        member: visit.found.members.first().copied(),
        sysctls: Sysctls::default(),
        counters,
        tcp_use: tcp_use.clone(),
        endpoints: Reading::not_collected(),
        connecting: Reading::not_collected(),
        close_wait: Reading::not_collected(),
        ports: Reading::not_collected(),
        conntrack: conntrack::read(visit.proc, &visit.net),
    };
    let (error, consistency) = match folded {
        Ok((folded, consistency)) => {
            netns.ports = plan.port_space(folded.ports);
            netns.endpoints = Reading::Known(folded.endpoints);
            netns.connecting = Reading::Known(folded.connecting);
            netns.close_wait = Reading::Known(folded.close_wait);
            (None, consistency)
        }
        Err(error) => {
            let why = Missing::unreadable(&error);
            netns.endpoints = why.clone().into();
            netns.connecting = why.clone().into();
            netns.close_wait = why.clone().into();
            netns.ports = why.into();
            (Some(error), Consistency::Whole)
        }
    };
    netns.sysctls = sysctls;
    Look { netns, error, consistency }
}

/// Every listening socket, with its drops.
pub(crate) fn listeners(
    socket: &mut DiagSocket,
    buffer: &mut DumpBuffer,
) -> Result<Vec<SocketRow>, DiagError> {
    let request = DumpRequest::new(&[TcpState::Listen]).with_memory_figures();
    let mut rows = Vec::new();
    for _ in 0..LISTENER_ATTEMPTS {
        rows.clear();
        let consistency = socket.dump(&request, buffer, |view| {
            rows.push(socket_row(view)?);
            Ok(())
        })?;
        if consistency == Consistency::Whole {
            break;
        }
    }
    Ok(rows)
}

/// What the first dump says of the ones after it.
#[derive(Debug, Default)]
struct Listening {
    sockets: u32,
    ports: BTreeSet<u16>,
    /// Ports with somebody in an accept queue: only there can ESTABLISHED connections be waiting.
    waiting: BTreeSet<u16>,
}

impl Listening {
    fn of(listeners: &[SocketRow]) -> Self {
        let ports = |some: &dyn Fn(&SocketRow) -> bool| {
            listeners.iter().filter(|row| some(row)).map(|row| row.local.port()).collect()
        };
        Self {
            sockets: u32::try_from(listeners.len()).unwrap_or(u32::MAX),
            ports: ports(&|_| true),
            waiting: ports(&|row| row.rqueue > 0),
        }
    }
}

/// Which connections a look needs.
struct Plan<'a> {
    sysctls: &'a Sysctls,
    tcp_use: &'a Reading<TcpUse>,
    /// The ports that the scope names.
    ports: Option<&'a PortFilter>,
}

impl Plan<'_> {
    fn range(&self) -> PortRange {
        self.sysctls.ip_local_port_range.value().unwrap_or(DEFAULT_RANGE)
    }

    /// Ports in use by one destination from which on they matter.
    fn ports_matter_from(&self) -> u32 {
        let usable = self.sysctls.usable_ports().value().unwrap_or_else(|| self.range().len());
        (usable / PORTS_MATTER_FROM).max(4)
    }

    /// Whether some destination could use so many ports that they matter.
    fn ports_may_matter(&self) -> bool {
        let sockets = self.tcp_use.get().map(|tcp| tcp.in_use.saturating_add(tcp.time_wait));
        sockets.is_none_or(|sockets| sockets >= self.ports_matter_from())
    }

    /// The second and the third dump.
    fn fold_connections(
        &self,
        socket: &mut DiagSocket,
        listening: &Listening,
        fold: &mut SocketFold,
        buffer: &mut DumpBuffer,
    ) -> Result<Consistency, DiagError> {
        let mut whole = Consistency::Whole;
        for request in self.requests(listening) {
            let consistency = socket.dump(&request, buffer, |view| {
                fold.push(&socket_row(view)?);
                Ok(())
            })?;
            if consistency == Consistency::Interrupted {
                whole = consistency;
            }
        }
        Ok(whole)
    }

    /// Whether the namespace has no connection that the scope takes in: all its sockets are listeners,
    /// and none of them in scope. Requests in a SYN queue are not among the sockets that are counted,
    /// so one listener in scope is enough to look.
    fn is_empty(&self, listening: &Listening) -> bool {
        let in_scope = |&port: &u16| self.ports.is_none_or(|ports| ports.passes(port, port));
        self.tcp_use.get().is_some_and(|tcp| {
            tcp.in_use <= listening.sockets
                && tcp.time_wait == 0
                && !listening.ports.iter().any(in_scope)
        })
    }

    /// The requests for connections, given the ports with somebody in an accept queue.
    ///
    /// Each is a walk over all sockets of the host for the kernel, whatever it sends: namespaces
    /// share one hash table. So an empty namespace is not asked; and where the scope names ports, and
    /// few sockets are to come anyway, one walk does for both.
    fn requests(&self, listening: &Listening) -> Vec<DumpRequest> {
        let waiting = &listening.waiting;
        match self.ports {
            _ if self.is_empty(listening) => Vec::new(),
            Some(ports)
                if !waiting.iter().any(|&port| ports.passes(port, port))
                    && !self.ports_may_matter() =>
            {
                vec![DumpRequest::new(TELLTALE).only_ports(ports.clone())]
            }
            Some(ports) => {
                vec![DumpRequest::new(&[TELLTALE, COMMON].concat()).only_ports(ports.clone())]
            }
            None => {
                let PortRange { low, high } = self.range();
                let range = self.ports_may_matter().then_some((low, high));
                let common = DumpRequest::new(COMMON)
                    .only_ports(PortFilter::new(range, waiting.iter().copied()));
                vec![DumpRequest::new(TELLTALE), common]
            }
        }
    }

    /// The ports as the evidence has them: where the third dump left them out, what the fold counted
    /// is not all there is, and no destination can use as many as matter.
    fn port_space(&self, folded: PortSpace) -> Reading<PortSpace> {
        if self.ports_may_matter() {
            Reading::Known(folded)
        } else {
            Reading::Known(PortSpace {
                destinations: Vec::new(),
                undercount: 0,
                listed_from: self.ports_matter_from(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysctls() -> Sysctls {
        Sysctls {
            ip_local_port_range: Reading::Known(PortRange { low: 40000, high: 40999 }),
            reserved_ports: Reading::Known(200),
            ..Sysctls::default()
        }
    }

    fn tcp_use(in_use: u32, time_wait: u32) -> Reading<TcpUse> {
        Reading::Known(TcpUse { in_use, time_wait, orphans: 0 })
    }

    #[test]
    fn ports_matter_once_a_quarter_of_the_usable_ones_could_go_to_one_destination() {
        let sysctls = sysctls();
        let matter = |tcp_use: Reading<TcpUse>, ports: Option<&PortFilter>| {
            Plan { sysctls: &sysctls, tcp_use: &tcp_use, ports }.ports_may_matter()
        };
        assert!(!matter(tcp_use(100, 99), None));
        assert!(matter(tcp_use(100, 100), None));
        assert!(matter(Missing::NotOnThisKernel.into(), None));
        assert!(matter(tcp_use(100, 100), Some(&PortFilter::new([], [80]))));
    }

    #[test]
    fn as_few_walks_are_asked_for_as_will_do() {
        let sysctls = sysctls();
        let empty = Listening::default();
        let walks = |in_use, ports: Option<&PortFilter>, waiting: &[u16]| {
            let listening = Listening {
                sockets: 2,
                ports: BTreeSet::from([80, 81]),
                waiting: waiting.iter().copied().collect(),
            };
            let tcp_use = tcp_use(in_use, 0);
            let plan = Plan { sysctls: &sysctls, tcp_use: &tcp_use, ports };
            let requests = plan.requests(if in_use == 0 { &empty } else { &listening });
            requests.iter().filter(|request| !request.asks_for_nothing()).count()
        };
        let scope = PortFilter::new([], [80]);
        let elsewhere = PortFilter::new([], [90]);
        assert_eq!(walks(0, None, &[]), 0, "an empty namespace");
        assert_eq!(walks(100, None, &[]), 1, "few sockets and empty accept queues");
        assert_eq!(walks(100, None, &[80]), 2, "somebody waits");
        assert_eq!(walks(200, None, &[]), 2, "ports may run short");
        assert_eq!(walks(200, Some(&scope), &[]), 1);
        assert_eq!(walks(200, Some(&scope), &[80]), 1);
        assert_eq!(walks(2, Some(&scope), &[]), 1, "requests are not counted");
        assert_eq!(walks(2, Some(&elsewhere), &[81]), 0, "listeners only, none in scope");
        assert_eq!(walks(3, Some(&elsewhere), &[]), 1, "a connection may be in scope");
    }

    #[test]
    fn a_port_space_that_was_not_counted_says_from_where_it_would_be() {
        let sysctls = sysctls();
        let folded = PortSpace { destinations: Vec::new(), undercount: 3, listed_from: 31 };
        let space = |tcp_use: Reading<TcpUse>, ports: Option<&PortFilter>| {
            Plan { sysctls: &sysctls, tcp_use: &tcp_use, ports }.port_space(folded.clone())
        };
        assert_eq!(space(tcp_use(500, 0), None), Reading::Known(folded.clone()));
        let from = space(tcp_use(5, 0), None).map(|space| space.listed_from);
        assert_eq!(from, Reading::Known(200));
        let filter = PortFilter::new([], [80]);
        assert_eq!(space(tcp_use(500, 0), Some(&filter)), Reading::Known(folded.clone()));
    }
}
