//! Single connections, looked up by their addresses: how long they have waited, and what their
//! clients' ends say.
//!
//! The kernel's answer to a lookup carries `struct tcp_info`, which a dump does not. A child that no
//! process has accepted has sent no data, so the time since its last data is its age; it was set when
//! the third ACK made it (net/ipv4/tcp_minisocks.c `tcp_create_openreq_child`).

use std::collections::{BTreeMap, BTreeSet};

use halfopen_evidence::{
    CloseWaitGroup, CloseWaitSide, Cookie, Endpoint, EndpointKey, Inode, Missing, NetnsId, Reading,
    Snapshot,
};
use halfopen_model::TcpState;

use super::Wanted;
use crate::collector::Collector;
use crate::namespaces::{Found, visit};
use crate::netlink::decode::{Idle, idle};
use crate::netlink::filter::PortFilter;
use crate::netlink::request::{DumpRequest, FindRequest};
use crate::netlink::{DiagError, DiagSocket, DumpBuffer};

/// Connections of an accept queue whose age is asked for.
const AGES_MAX: usize = 64;

/// What is to be looked up, by namespace.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    ages: BTreeMap<NetnsId, Vec<(EndpointKey, Cookie, FindRequest)>>,
    /// Clients' ends, looked for in every namespace: a client may live in any of them.
    clients: Vec<(NetnsId, EndpointKey, FindRequest)>,
    idle: BTreeMap<NetnsId, Vec<(CloseWaitSide, BTreeSet<Cookie>)>>,
    /// What was asked for, found or not.
    asked: Asked,
}

#[derive(Debug, Default)]
struct Asked {
    ages: BTreeSet<(NetnsId, EndpointKey)>,
    client_ends: BTreeSet<(NetnsId, EndpointKey)>,
    idle: BTreeSet<(NetnsId, CloseWaitSide)>,
}

/// What one namespace answered.
#[derive(Debug, Default)]
struct Answers {
    ages: Vec<(Cookie, Reading<u64>)>,
    clients: Vec<(usize, Reading<TcpState>)>,
    idle: Vec<(CloseWaitSide, Reading<u64>)>,
}

impl Lookups {
    /// What the wants come to, given what the snapshot has.
    pub(super) fn of(snapshot: &Snapshot, wanted: &Wanted) -> Self {
        let mut lookups = Self::default();
        lookups.asked.ages.clone_from(&wanted.ages);
        lookups.asked.client_ends.clone_from(&wanted.client_ends);
        for netns in &snapshot.netns {
            for endpoint in netns.endpoints.get().into_iter().flatten() {
                if wanted.ages.contains(&(netns.id, endpoint.key)) {
                    lookups.ages.entry(netns.id).or_default().extend(ages_of(endpoint));
                }
                if wanted.client_ends.contains(&(netns.id, endpoint.key)) {
                    let mirrored = endpoint.syn_recv.sample.iter().map(|request| FindRequest {
                        local: request.peer,
                        peer: request.local,
                        device: 0,
                        cookie: None,
                    });
                    let key = endpoint.key;
                    lookups.clients.extend(mirrored.map(|request| (netns.id, key, request)));
                }
            }
            let is_wanted = |group: &&CloseWaitGroup| {
                let mut inodes = group.sample.iter().map(|&(_, inode)| inode);
                inodes.any(|inode: Inode| wanted.close_wait_idle.contains(&(netns.id, inode)))
            };
            for group in netns.close_wait.get().into_iter().flatten().filter(is_wanted) {
                let cookies = group.sample.iter().map(|&(cookie, _)| cookie).collect();
                lookups.idle.entry(netns.id).or_default().push((group.side, cookies));
                lookups.asked.idle.insert((netns.id, group.side));
            }
        }
        lookups
    }

    /// Looks everything up and enters it.
    pub(super) fn fetch(self, collector: &Collector, snapshot: &mut Snapshot) {
        let is_needed = |found: &&Found| {
            !self.clients.is_empty()
                || self.ages.contains_key(&found.id)
                || self.idle.contains_key(&found.id)
        };
        let places: Vec<&Found> = collector.places.iter().filter(is_needed).collect();
        let mut buffer = DumpBuffer::new();
        let visited = if places.is_empty() {
            Ok(Vec::new())
        } else {
            visit(&places, &collector.proc, |found, entered| {
                let mut answers = Answers::default();
                let asked = entered.and_then(|_| {
                    self.ask(found.id, &mut buffer, &mut answers).map_err(Missing::unreadable)
                });
                (found.id, answers, asked.err())
            })
        };
        let mut why: BTreeMap<NetnsId, Missing> = BTreeMap::new();
        match visited {
            Ok(visited) => {
                for (netns, answers, missing) in visited {
                    self.enter(snapshot, netns, answers);
                    why.extend(missing.map(|missing| (netns, missing)));
                }
            }
            Err(error) => {
                let missing = Missing::unreadable(error);
                why.extend(snapshot.netns.iter().map(|netns| (netns.id, missing.clone())));
            }
        }
        self.settle(snapshot, &why, collector.sees_all_netns);
    }

    /// Asks the kernel about one namespace, which the calling thread is in. What was answered before
    /// an error counts.
    fn ask(
        &self,
        netns: NetnsId,
        buffer: &mut DumpBuffer,
        answers: &mut Answers,
    ) -> Result<(), DiagError> {
        let mut socket = DiagSocket::open()?;
        for (_, cookie, request) in self.ages.get(&netns).into_iter().flatten() {
            let age = match socket.find(request, buffer, idle) {
                Ok(Some(Some(Idle { sent_ms, .. }))) => Reading::Known(u64::from(sent_ms)),
                Ok(Some(None)) => Missing::NotOnThisKernel.into(),
                Ok(None) => Missing::Vanished.into(),
                Err(error) => unanswered(error)?.into(),
            };
            answers.ages.push((*cookie, age));
        }
        for (index, (.., request)) in self.clients.iter().enumerate() {
            let state = match socket.find(request, buffer, |view| Ok(view.state())) {
                Ok(state) => state.and_then(TcpState::from_number),
                Err(error) => {
                    answers.clients.push((index, unanswered(error)?.into()));
                    continue;
                }
            };
            // A listening socket at that address is not the client's end.
            if let Some(state) = state.filter(|&state| state != TcpState::Listen) {
                answers.clients.push((index, Reading::Known(state)));
            }
        }
        if let Some(groups) = self.idle.get(&netns) {
            answers.idle = idle_times(&mut socket, groups, buffer)?;
        }
        Ok(())
    }

    fn enter(&self, snapshot: &mut Snapshot, netns: NetnsId, answers: Answers) {
        let uptime_ms = snapshot.taken.uptime_ms;
        for (cookie, age) in answers.ages {
            let endpoints = endpoints_mut(snapshot, netns);
            let mut waiting = endpoints.flat_map(|endpoint| &mut endpoint.never_accepted.waiting);
            if let Some(waiting) = waiting.find(|waiting| waiting.cookie == cookie) {
                waiting.age_ms = age.map(|age| age.min(uptime_ms));
            }
        }
        for (index, state) in answers.clients {
            let Some((server, key, request)) = self.clients.get(index) else {
                continue;
            };
            let endpoints = endpoints_mut(snapshot, *server).filter(|e| e.key == *key);
            for sample in endpoints.flat_map(|endpoint| &mut endpoint.syn_recv.sample) {
                if (sample.peer, sample.local) == (request.local, request.peer) {
                    // Another namespace may have the answer that this one could not give.
                    if sample.client.get().is_none() {
                        sample.client = state.clone();
                    }
                }
            }
        }
        for (side, idle) in answers.idle {
            if let Some(group) = groups_mut(snapshot, netns).find(|group| group.side == side) {
                group.idle_ms = idle.map(|idle| idle.min(uptime_ms));
            }
        }
    }

    /// Whatever was asked for and is not there yet says why.
    fn settle(
        &self,
        snapshot: &mut Snapshot,
        why: &BTreeMap<NetnsId, Missing>,
        sees_all_netns: bool,
    ) {
        let reason = |netns: NetnsId| why.get(&netns).cloned().unwrap_or(Missing::Vanished);
        let elsewhere = Missing::needs(if sees_all_netns {
            "a look at the client's host"
        } else {
            "a look at the client's network namespace or host"
        });
        for &(netns, key) in &self.asked.ages {
            for endpoint in endpoints_mut(snapshot, netns).filter(|e| e.key == key) {
                for (index, waiting) in endpoint.never_accepted.waiting.iter_mut().enumerate() {
                    let asked = index < AGES_MAX;
                    let why = || {
                        let others = "was asked of the first 64 of the queue only";
                        if asked { reason(netns) } else { Missing::unreadable(others) }
                    };
                    settle(&mut waiting.age_ms, why);
                }
            }
        }
        for &(netns, key) in &self.asked.client_ends {
            for endpoint in endpoints_mut(snapshot, netns).filter(|e| e.key == key) {
                for sample in &mut endpoint.syn_recv.sample {
                    settle(&mut sample.client, || elsewhere.clone());
                }
            }
        }
        for &(netns, side) in &self.asked.idle {
            for group in groups_mut(snapshot, netns).filter(|group| group.side == side) {
                settle(&mut group.idle_ms, || reason(netns));
            }
        }
    }
}

/// What a failed lookup costs: its own answer, or all that follow if the kernel does not answer at all.
fn unanswered(error: DiagError) -> Result<Missing, DiagError> {
    match error {
        DiagError::Refused(_) | DiagError::Decode(_) | DiagError::Lost => {
            Ok(Missing::unreadable(error))
        }
        DiagError::NoInetDiag | DiagError::Call { .. } | DiagError::TimedOut { .. } => Err(error),
    }
}

fn settle<T>(reading: &mut Reading<T>, why: impl FnOnce() -> Missing) {
    if reading.missing() == Some(&Missing::NotCollected) {
        *reading = why().into();
    }
}

fn ages_of(endpoint: &Endpoint) -> impl Iterator<Item = (EndpointKey, Cookie, FindRequest)> + '_ {
    let key = endpoint.key;
    endpoint.never_accepted.waiting.iter().take(AGES_MAX).map(move |waiting| {
        let request = FindRequest {
            local: waiting.local,
            peer: waiting.peer,
            device: key.device,
            cookie: Some(waiting.cookie.0),
        };
        (key, waiting.cookie, request)
    })
}

/// How long the longest idle of each sample has heard nothing. A sample has no addresses, so this
/// takes a dump; CLOSE_WAIT is rare enough.
fn idle_times(
    socket: &mut DiagSocket,
    groups: &[(CloseWaitSide, BTreeSet<Cookie>)],
    buffer: &mut DumpBuffer,
) -> Result<Vec<(CloseWaitSide, Reading<u64>)>, DiagError> {
    let ports: Option<Vec<u16>> = groups
        .iter()
        .map(|(side, _)| match side {
            CloseWaitSide::AcceptedAt(key) => Some(key.local.port()),
            CloseWaitSide::LocalPort(port) => Some(*port),
            CloseWaitSide::To { .. } => None,
        })
        .collect();
    let mut request = DumpRequest::new(&[TcpState::CloseWait]).with_times();
    if let Some(ports) = ports {
        request = request.only_ports(PortFilter::new([], ports));
    }
    let mut longest: Vec<Option<u32>> = vec![None; groups.len()];
    let _ = socket.dump(&request, buffer, |view| {
        let cookie = Cookie(view.cookie());
        let group = groups.iter().position(|(_, cookies)| cookies.contains(&cookie));
        if let Some(longest) = group.and_then(|index| longest.get_mut(index))
            && let Some(Idle { received_ms, ack_ms, .. }) = idle(view)?
        {
            *longest = (*longest).max(Some(received_ms.min(ack_ms)));
        }
        Ok(())
    })?;
    let readings = longest.into_iter().map(|longest| {
        longest.map_or(Missing::Vanished.into(), |ms| Reading::Known(u64::from(ms)))
    });
    Ok(groups.iter().map(|&(side, _)| side).zip(readings).collect())
}

fn endpoints_mut(snapshot: &mut Snapshot, netns: NetnsId) -> impl Iterator<Item = &mut Endpoint> {
    let netns = snapshot.netns.iter_mut().filter(move |found| found.id == netns);
    netns.flat_map(|netns| netns.endpoints.get_mut().into_iter().flatten())
}

fn groups_mut(
    snapshot: &mut Snapshot,
    netns: NetnsId,
) -> impl Iterator<Item = &mut CloseWaitGroup> {
    let netns = snapshot.netns.iter_mut().filter(move |found| found.id == netns);
    netns.flat_map(|netns| netns.close_wait.get_mut().into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_lookup_costs_its_own_answer_and_a_silent_kernel_the_rest() {
        let refused = DiagError::Refused(std::io::ErrorKind::InvalidInput.into());
        assert!(matches!(unanswered(refused), Ok(Missing::Unreadable { .. })));
        assert!(unanswered(DiagError::TimedOut { seconds: 5 }).is_err());
    }
}
