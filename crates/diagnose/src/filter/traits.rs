//! What a filter can ask of a listener or of the subject of a finding.

use std::net::{IpAddr, SocketAddr};

use halfopen_evidence::{
    CloseWaitSide, Endpoint, EndpointKey, HolderSearch, Listener, Netns, NetnsId, NetnsLabel, Pid,
};

use super::expr::Test;
use super::prefix::Prefix;
use crate::filter::Truth;
use crate::{Subject, SubjectKind};

/// A comm is cut to this many bytes by the kernel (TASK_COMM_LEN less its NUL).
const COMM_MAX: usize = 15;

/// The shortest beginning of a pod's uid or a container's id that names it.
const ID_MIN: usize = 6;

/// One listener or subject, as a filter sees it.
pub(super) struct Traits<'a> {
    source: Source,
    destination: Option<SocketAddr>,
    processes: Vec<(Pid, &'a str)>,
    /// What it means that a process is not among them.
    other_process: Truth,
    uid: Option<u32>,
    netns: Name<'a>,
}

/// The local end.
enum Source {
    None,
    Listening(EndpointKey),
    Address(IpAddr),
    Port(u16),
}

enum Name<'a> {
    Netns(&'a Netns),
    Label(NetnsId, &'a str),
}

impl<'a> Traits<'a> {
    pub(super) fn of_listener(
        netns: &'a Netns,
        endpoint: &Endpoint,
        listener: &'a Listener,
    ) -> Self {
        let holders = listener.holders.get();
        let processes: Vec<_> = holders
            .iter()
            .flat_map(|holders| &holders.found)
            .map(|holder| (holder.pid, holder.comm.as_str()))
            .collect();
        let other_process = match holders.map(|holders| holders.search) {
            Some(HolderSearch::Everywhere) => Truth::No,
            // Processes of different users seldom share a listener.
            Some(HolderSearch::Permitted { .. }) if !processes.is_empty() => Truth::No,
            _ => Truth::Unknown,
        };
        Self {
            source: Source::Listening(endpoint.key),
            destination: None,
            processes,
            other_process,
            uid: Some(listener.uid),
            netns: Name::Netns(netns),
        }
    }

    pub(super) fn of_subject(subject: &'a Subject) -> Self {
        let (source, destination) = match subject.kind {
            SubjectKind::Listener { endpoint, .. }
            | SubjectKind::Endpoint(endpoint)
            | SubjectKind::CloseWait(CloseWaitSide::AcceptedAt(endpoint)) => {
                (Source::Listening(endpoint), None)
            }
            SubjectKind::Destination { source, destination }
            | SubjectKind::CloseWait(CloseWaitSide::To { source, destination }) => {
                (Source::Address(source), Some(destination))
            }
            SubjectKind::CloseWait(CloseWaitSide::LocalPort(port)) => (Source::Port(port), None),
            SubjectKind::Server(server) => (Source::Port(server.port()), None),
            SubjectKind::Netns => (Source::None, None),
        };
        let nobody_named = subject.processes.is_empty() && subject.kind != SubjectKind::Netns;
        Self {
            source,
            destination,
            processes: subject.processes.iter().map(|p| (p.pid, p.comm.as_str())).collect(),
            other_process: if nobody_named { Truth::Unknown } else { Truth::No },
            uid: None,
            netns: Name::Label(subject.netns, &subject.netns_label),
        }
    }

    pub(super) fn answer(&self, test: &Test) -> Truth {
        let source_port = || match self.source {
            Source::Listening(key) => Some(key.local.port()),
            Source::Port(port) => Some(port),
            Source::None | Source::Address(_) => None,
        };
        let destination_port = || self.destination.map(|destination| destination.port());
        let within = |port: Option<u16>, ports: &super::expr::Ports| {
            port.is_some_and(|port| ports.contains(port))
        };
        match test {
            Test::SourcePort(ports) => within(source_port(), ports).into(),
            Test::DestinationPort(ports) => within(destination_port(), ports).into(),
            Test::EitherPort(ports) => {
                (within(source_port(), ports) || within(destination_port(), ports)).into()
            }
            Test::Source(prefix) => self.is_from(*prefix),
            Test::Destination(prefix) => {
                self.destination.is_some_and(|to| prefix.contains(to.ip())).into()
            }
            Test::Pid(pid) => self.process(|(held_by, _)| held_by == *pid),
            Test::Comm(name) => self.process(|(_, comm)| is_comm(comm, name)),
            Test::Netns(name) => match self.netns {
                Name::Netns(netns) => is_called(netns, name),
                Name::Label(id, label) => label == name || id.to_string() == *name,
            }
            .into(),
            Test::Uid(uid) => self.uid.map_or(self.no_uid(), |owner| (owner == *uid).into()),
        }
    }

    /// A listener on a wildcard address takes connections at every address of its family.
    fn is_from(&self, prefix: Prefix) -> Truth {
        match self.source {
            Source::None => Truth::No,
            Source::Port(_) => Truth::Unknown,
            Source::Address(address) => prefix.contains(address).into(),
            Source::Listening(key) => match key.local.ip() {
                IpAddr::V4(any) if any.is_unspecified() => prefix.is_ipv4().into(),
                IpAddr::V6(any) if any.is_unspecified() => {
                    (!prefix.is_ipv4() || !key.v6_only).into()
                }
                bound => prefix.contains(bound).into(),
            },
        }
    }

    fn process(&self, such: impl Fn((Pid, &str)) -> bool) -> Truth {
        if self.processes.iter().any(|&process| such(process)) {
            Truth::Yes
        } else {
            self.other_process
        }
    }

    const fn no_uid(&self) -> Truth {
        match self.source {
            Source::None => Truth::No,
            _ => Truth::Unknown,
        }
    }
}

/// Whether a namespace goes by this name or number.
pub(super) fn is_called(netns: &Netns, name: &str) -> bool {
    let begins = |id: &str| id == name || (name.len() >= ID_MIN && id.starts_with(name));
    netns.id.to_string() == name
        || netns.label() == name
        || netns.labels.iter().any(|label| match label {
            NetnsLabel::Host => name == "host",
            NetnsLabel::Name(known) | NetnsLabel::Unit(known) => known == name,
            NetnsLabel::Process(comm) => is_comm(comm, name),
            NetnsLabel::Pod(id) | NetnsLabel::Container(id) => begins(id),
        })
}

fn is_comm(comm: &str, name: &str) -> bool {
    comm == name || (comm.len() == COMM_MAX && name.starts_with(comm))
}
