//! What the steps so far have brought in, so that a step that speaks of something else is refused
//! where it stands, and not when the scenario runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::error::Problem;
use crate::{Arrivals, Server, Step, Waits};

/// The name of the first server's host, in a simulator.
const FIRST_HOST: &str = "server";

/// The name of the remote clients' host, in a simulator.
const CLIENTS_HOST: &str = "clients";

/// Hosts that servers can have.
const HOSTS_AT_MOST: usize = 100;

#[derive(Default)]
pub(crate) struct Known {
    servers: Vec<Server>,
    /// Hosts of servers besides the first one.
    hosts: BTreeSet<String>,
    clients: BTreeSet<String>,
    /// Groups of raw peers and how many each has.
    peers: BTreeMap<String, u32>,
}

impl Known {
    /// How many raw peers a group has; none if there is no such group yet.
    pub(crate) fn peers(&self, group: &str) -> Option<u32> {
        self.peers.get(group).copied()
    }

    /// Refuses a step that speaks of what is not there; takes note of what it brings in.
    pub(crate) fn follow(&mut self, step: &Step, at: &Range<usize>) -> Result<(), Problem> {
        let refused = |message: String| Err(Problem::new(at.clone(), message));
        match step {
            Step::Serve(server) => {
                if server.host.as_deref() == Some(CLIENTS_HOST) {
                    return refused(format!("\"{CLIENTS_HOST}\" is the host of remote clients"));
                }
                self.hosts.extend(server.host.clone());
                if self.hosts.len() > HOSTS_AT_MOST {
                    return refused(format!("there are more than {HOSTS_AT_MOST} hosts"));
                }
                self.servers.push(server.clone());
            }
            Step::Connect(clients) | Step::Arrivals(Arrivals { clients, .. }) => {
                let named = clients.remote.iter().flat_map(|remote| &remote.to);
                if let Some(host) = named.into_iter().find(|host| !self.has_host(host)) {
                    return refused(format!("there is no host \"{host}\" yet"));
                }
                self.clients.insert(clients.name.clone());
            }
            Step::Peers(peers) => {
                self.peers.insert(peers.name.clone(), peers.count);
            }
            Step::Conntrack { host: Some(host), .. } if !self.has_host(host) => {
                return refused(format!("there is no host \"{host}\" yet"));
            }
            Step::Send { clients, .. } if !self.clients.contains(clients) => {
                return refused(format!("there are no clients \"{clients}\" yet"));
            }
            Step::Accept { port, process, .. } if !self.can_be_told(*port, process.as_deref()) => {
                return refused(format!(
                    "no thread waits to be told (waits = \"told\") on port {port}"
                ));
            }
            Step::Listen { process, port, .. } if !self.listens(process, *port) => {
                return refused(format!("\"{process}\" does not listen on port {port}"));
            }
            Step::Listen { process, .. } if self.shares_its_listener(process) => {
                return refused(format!("the copies of \"{process}\" share their listener"));
            }
            Step::End { process } => {
                let before = self.servers.len();
                self.servers.retain(|server| server.process != *process);
                if self.servers.len() == before {
                    return refused(format!("there is no process \"{process}\""));
                }
            }
            Step::Send { .. }
            | Step::Accept { .. }
            | Step::Listen { .. }
            | Step::PeersSend(_)
            | Step::Await { .. }
            | Step::Stop { .. }
            | Step::Freeze { .. }
            | Step::Close { .. }
            | Step::Reset { .. }
            | Step::Pass { .. }
            | Step::Look { .. }
            | Step::Network(_)
            | Step::Path(_)
            | Step::Conntrack { .. }
            | Step::Sysctl { .. } => {}
        }
        Ok(())
    }

    fn has_host(&self, host: &str) -> bool {
        host == FIRST_HOST || self.hosts.contains(host)
    }

    fn can_be_told(&self, port: u16, process: Option<&str>) -> bool {
        let mut servers = self.servers.iter();
        servers.any(|server| {
            process.is_none_or(|process| server.process == process)
                && server.all_threads().any(|t| t.waits == Waits::Told && t.port == Some(port))
        })
    }

    fn shares_its_listener(&self, process: &str) -> bool {
        let mut of_process = self.servers.iter().filter(|server| server.process == process);
        of_process.any(Server::shares_its_listener)
    }

    fn listens(&self, process: &str, port: u16) -> bool {
        let of_process = self.servers.iter().filter(|server| server.process == process);
        of_process.flat_map(|server| &server.listen).any(|listen| listen.port == port)
    }
}
