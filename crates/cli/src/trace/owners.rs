//! Which processes are at the ends of a handshake.
//!
//! Listeners are listed anew when one is not known, and holders are looked for in `/proc`, which takes
//! a walk over every descriptor of every process. Both are remembered for some seconds, and walks take a
//! tenth of a processor at the most: in between, an end whose process is not known yet stays without.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use halfopen_collect::proc::{Extent, ProcRoot, find_holders};
use halfopen_collect::{ListeningSocket, SocketLookups};
use halfopen_evidence::{EndpointKey, Inode, NetnsId, Phase, ProcessName, Reading, Traced};
use rustix::time::{ClockId, clock_gettime};

/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(10);

/// How soon listeners are listed again because one was not among them.
const LIST_AGAIN: Duration = Duration::from_millis(500);

/// Holders that are remembered; beyond it all are forgotten.
const MOST: usize = 16_384;

/// A rest that is waited for, so that whoever is told of next does not go without a process.
const SHORT_REST: Duration = Duration::from_millis(100);

/// After a walk, so many times as long as it kept the processor busy is none.
const REST: u32 = 9;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Owners {
    root: ProcRoot,
    listening: HashMap<NetnsId, (Instant, Reading<Vec<ListeningSocket>>)>,
    holders: HashMap<Inode, (Instant, Reading<Option<ProcessName>>)>,
    /// Who was at the client's end of open handshakes: it may be gone when they end.
    clients: HashMap<u64, ProcessName>,
    /// Until when there is no walk.
    rests: Option<Instant>,
}

/// The sockets at the ends of a handshake in a namespace.
#[derive(Clone, Debug)]
pub(super) struct Sockets {
    /// What the listener is bound to; `None` if there is none.
    listener: Reading<Option<EndpointKey>>,
    server: End,
    client: End,
}

/// An end of which the process is asked for.
#[derive(Clone, Debug)]
enum End {
    /// The kernel has named it.
    Named,
    /// Who holds this socket; `None` if there is no socket in this namespace.
    Held(Reading<Option<Inode>>),
}

impl End {
    fn wanted(&self) -> Option<Inode> {
        match self {
            Self::Named => None,
            Self::Held(inode) => inode.value().flatten(),
        }
    }
}

impl Owners {
    /// The sockets at the ends of a handshake, as far as they must be known. The client's need not be
    /// looked up if it is given.
    pub(super) fn sockets(
        &mut self,
        lookups: &mut SocketLookups,
        traced: &Traced,
        client: Option<Inode>,
    ) -> Sockets {
        let handshake = &traced.handshake;
        let listener = self.listener(lookups, traced.netns, handshake.server);
        let is_named =
            |process: &Reading<Option<ProcessName>>| matches!(process.get(), Some(Some(_)));
        Sockets {
            listener: listener.as_ref().map(|it| it.map(|it| it.key)),
            server: match is_named(&traced.server_process) {
                true => End::Named,
                false => End::Held(listener.as_ref().map(|it| it.map(|it| it.inode))),
            },
            client: match client {
                _ if is_named(&traced.client_process) => End::Named,
                Some(inode) => End::Held(Reading::Known(Some(inode))),
                None => {
                    End::Held(lookups.connected(traced.netns, handshake.client, handshake.server))
                }
            },
        }
    }

    /// Looks for the holders of these sockets that are not known, if it is time to.
    pub(super) fn find_holders<'a>(&mut self, sockets: impl Iterator<Item = &'a Sockets>) {
        let inodes = sockets.flat_map(|sockets| [sockets.server.wanted(), sockets.client.wanted()]);
        self.find(inodes.flatten());
    }

    /// The process that holds a socket, if it is known or it is time to look for it.
    pub(super) fn holder_of(&mut self, inode: Inode) -> Reading<Option<ProcessName>> {
        self.find(std::iter::once(inode));
        self.holder(Reading::Known(Some(inode)))
    }

    fn find(&mut self, inodes: impl Iterator<Item = Inode>) {
        let wanted = inodes.filter(|inode| {
            self.holders.get(inode).is_none_or(|(found, _)| found.elapsed() >= FRESH)
        });
        let wanted: BTreeSet<Inode> = wanted.collect();
        if wanted.is_empty() {
            return;
        }
        let rest = self.rests.map(|until| until.saturating_duration_since(Instant::now()));
        match rest {
            Some(rest) if rest > SHORT_REST => return,
            Some(rest) => std::thread::sleep(rest),
            None => {}
        }
        let before = cpu_time();
        let findings = find_holders(&self.root, &wanted, Extent::Everywhere);
        self.rests = Some(Instant::now() + cpu_time().saturating_sub(before) * REST);
        if self.holders.len() + wanted.len() > MOST {
            self.holders.clear();
        }
        for inode in wanted {
            let holder = match &findings {
                Reading::Known(findings) => {
                    findings.first(inode).map(|holder| holder.as_ref().map(ProcessName::of))
                }
                Reading::Missing(why) => why.clone().into(),
            };
            self.holders.insert(inode, (Instant::now(), holder));
        }
    }

    /// Says of a handshake what is known of its ends.
    pub(super) fn name(&self, sockets: &Sockets, traced: &mut Traced) {
        traced.listener = sockets.listener.clone();
        if let End::Held(inode) = &sockets.server {
            traced.server_process = self.holder(inode.clone());
        }
        if let End::Held(inode) = &sockets.client {
            traced.client_process = self.holder(inode.clone());
        }
    }

    /// Keeps in mind who is at the client's end while a handshake is open, and says so at its end.
    pub(super) fn remember_client(&mut self, traced: &mut Traced) {
        match (traced.phase, traced.client_process.get()) {
            (Phase::Open, Some(Some(client))) if self.clients.len() < MOST => {
                self.clients.insert(traced.number, client.clone());
            }
            (Phase::Open, _) => {}
            (Phase::Ended, known) => {
                let client = self.clients.remove(&traced.number);
                if !matches!(known, Some(Some(_))) && client.is_some() {
                    traced.client_process = Reading::Known(client);
                }
            }
        }
    }

    fn listener(
        &mut self,
        lookups: &mut SocketLookups,
        netns: NetnsId,
        server: SocketAddr,
    ) -> Reading<Option<ListeningSocket>> {
        let is_fresh = |(at, known): &(Instant, Reading<Vec<ListeningSocket>>)| {
            let age = at.elapsed();
            age < LIST_AGAIN
                || (age < FRESH && known.get().is_some_and(|all| closest(all, server).is_some()))
        };
        if !self.listening.get(&netns).is_some_and(is_fresh) {
            self.listening.insert(netns, (Instant::now(), lookups.listening(netns)));
        }
        match self.listening.get(&netns) {
            Some((_, listening)) => listening.as_ref().map(|all| closest(all, server)),
            None => Reading::not_collected(),
        }
    }

    fn holder(&self, inode: Reading<Option<Inode>>) -> Reading<Option<ProcessName>> {
        match inode {
            Reading::Missing(why) => why.into(),
            Reading::Known(None) => Reading::Known(None),
            Reading::Known(Some(inode)) => match self.holders.get(&inode) {
                Some((_, holder)) => holder.clone(),
                None => Reading::not_collected(),
            },
        }
    }
}

/// Of this thread, so far.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The listener that gets connections to an address.
fn closest(listening: &[ListeningSocket], server: SocketAddr) -> Option<ListeningSocket> {
    let covering = listening.iter().filter(|it| it.key.covers(server));
    covering.max_by_key(|it| it.key.closeness()).copied()
}

#[cfg(test)]
mod tests {
    use halfopen_model::AcceptQueue;

    use super::*;
    use crate::handshakes::fixture::address;
    use crate::trace::fixture;

    #[test]
    fn the_closest_listener_gets_the_connection() {
        let listening = |local: &str, inode| ListeningSocket {
            key: EndpointKey { local: address(local), device: 0, v6_only: false },
            inode: Inode(inode),
            queue: AcceptQueue { depth: 0, limit: 5 },
            drops: None,
        };
        let all =
            [listening("[::]:80", 1), listening("10.0.0.1:80", 2), listening("0.0.0.0:80", 3)];
        let inode = |server: &str| closest(&all, address(server)).map(|it| it.inode.0);
        assert_eq!(inode("10.0.0.1:80"), Some(2));
        assert_eq!(inode("10.0.0.2:80"), Some(3));
        assert_eq!(inode("[fd00::1]:80"), Some(1));
        assert_eq!(inode("10.0.0.1:81"), None);
    }

    #[test]
    fn a_client_that_is_gone_at_the_end_is_remembered_once() {
        let [open, ..] = fixture::some();
        let client = open.client_process.clone();
        let mut owners = Owners::default();
        owners.remember_client(&mut open.clone());
        let gone = Traced { client_process: Reading::Known(None), phase: Phase::Ended, ..open };
        for expected in [client, Reading::Known(None)] {
            let mut ended = gone.clone();
            owners.remember_client(&mut ended);
            assert_eq!(ended.client_process, expected);
        }
    }
}
