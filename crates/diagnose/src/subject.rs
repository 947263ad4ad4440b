//! What a finding is about.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use halfopen_evidence::{
    CloseWaitGroup, CloseWaitSide, Cookie, Endpoint, EndpointKey, Holder, Holders, Listener, Netns,
    NetnsId, ProcessName, Reading,
};

/// What a finding is about, with the names that people know it by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// The namespace that it is in.
    pub netns: NetnsId,
    /// What that namespace is called.
    pub netns_label: String,
    /// Whether that is the namespace that the collector lives in (its name need not be printed).
    pub own_netns: bool,
    /// Processes behind it, as far as known.
    pub processes: Vec<ProcessName>,
}

/// What kind of thing a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectKind {
    /// One listening socket.
    Listener {
        /// Where it listens.
        endpoint: EndpointKey,
        /// Which of the sockets there.
        cookie: Cookie,
        /// How many sockets listen there.
        of: u32,
    },
    /// A listening address and port, whatever number of sockets listen there.
    Endpoint(EndpointKey),
    /// Connections to a destination.
    Destination {
        /// The local address.
        source: IpAddr,
        /// The remote address and port.
        destination: SocketAddr,
    },
    /// Connections that a process has not closed.
    CloseWait(CloseWaitSide),
    /// A listener that was seen from outside: nothing is known of its host.
    Server(SocketAddr),
    /// The namespace itself.
    Netns,
}

impl Subject {
    /// One listening socket.
    #[must_use]
    pub fn listener(netns: &Netns, endpoint: &Endpoint, listener: &Listener) -> Self {
        let kind = SubjectKind::Listener {
            endpoint: endpoint.key,
            cookie: listener.cookie,
            of: u32::try_from(endpoint.listeners.len()).unwrap_or(u32::MAX),
        };
        Self::new(netns, kind, names_of(&listener.holders))
    }

    /// A listening address and port.
    #[must_use]
    pub fn endpoint(netns: &Netns, endpoint: &Endpoint) -> Self {
        let mut processes: Vec<ProcessName> =
            endpoint.listeners.iter().flat_map(|listener| names_of(&listener.holders)).collect();
        processes.sort();
        processes.dedup();
        Self::new(netns, SubjectKind::Endpoint(endpoint.key), processes)
    }

    /// Connections to a destination.
    #[must_use]
    pub fn destination(
        netns: &Netns,
        source: IpAddr,
        destination: SocketAddr,
        holder: &Reading<Option<Holder>>,
    ) -> Self {
        let processes = holder.get().into_iter().flatten().map(ProcessName::of).collect();
        Self::new(netns, SubjectKind::Destination { source, destination }, processes)
    }

    /// Connections that their process has not closed.
    #[must_use]
    pub fn close_wait(netns: &Netns, group: &CloseWaitGroup) -> Self {
        let processes = group
            .held
            .get()
            .into_iter()
            .flatten()
            .map(|held| ProcessName { pid: held.pid, comm: held.comm.clone() })
            .collect();
        Self::new(netns, SubjectKind::CloseWait(group.side), processes)
    }

    /// A listener that was seen from outside. What tells equal addresses apart, such as a VLAN, takes
    /// the place of the namespace.
    #[must_use]
    pub fn server(address: SocketAddr, scope: &str) -> Self {
        Self {
            kind: SubjectKind::Server(address),
            netns: NetnsId(0),
            netns_label: scope.to_owned(),
            own_netns: scope.is_empty(),
            processes: Vec::new(),
        }
    }

    /// One client of such a listener.
    #[must_use]
    pub fn client(client: IpAddr, server: SocketAddr, scope: &str) -> Self {
        let kind = SubjectKind::Destination { source: client, destination: server };
        Self { kind, ..Self::server(server, scope) }
    }

    /// A namespace.
    #[must_use]
    pub fn netns(netns: &Netns) -> Self {
        Self::new(netns, SubjectKind::Netns, Vec::new())
    }

    fn new(netns: &Netns, kind: SubjectKind, processes: Vec<ProcessName>) -> Self {
        Self {
            kind,
            netns: netns.id,
            netns_label: netns.label(),
            own_netns: netns.is_own,
            processes,
        }
    }
}

fn names_of(holders: &Reading<Holders>) -> Vec<ProcessName> {
    let found = holders.get().map(|holders| holders.found.as_slice()).unwrap_or_default();
    let mut names: Vec<ProcessName> = found.iter().map(ProcessName::of).collect();
    names.dedup();
    names
}

/// The address as people write it: `*:8080` for a wildcard.
impl fmt::Display for SubjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener { endpoint, .. } | Self::Endpoint(endpoint) => {
                address(f, endpoint.local)
            }
            Self::Destination { source, destination } => write!(f, "{source} -> {destination}"),
            Self::CloseWait(CloseWaitSide::AcceptedAt(endpoint)) => address(f, endpoint.local),
            Self::CloseWait(CloseWaitSide::To { source, destination }) => {
                write!(f, "{source} -> {destination}")
            }
            Self::CloseWait(CloseWaitSide::LocalPort(port)) => write!(f, "*:{port}"),
            Self::Server(server) => write!(f, "{server}"),
            Self::Netns => f.write_str("namespace"),
        }
    }
}

fn address(f: &mut fmt::Formatter<'_>, address: SocketAddr) -> fmt::Result {
    if address.ip().is_unspecified() {
        write!(f, "*:{}", address.port())
    } else {
        write!(f, "{address}")
    }
}
