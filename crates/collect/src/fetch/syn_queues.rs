//! What the kernel knows of SYN queues and shows in no dump.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_evidence::{Endpoint, EndpointKey, Missing, NetnsId, Reading, Snapshot, ThirdAcks};

use crate::bpf::SynQueuesRead;
use crate::collector::{Collector, add_gap};
use crate::gaps;
use crate::namespaces::{Found, visit};

/// Reads the SYN queues of these endpoints.
pub(super) fn fetch(
    collector: &mut Collector,
    snapshot: &mut Snapshot,
    wanted: &BTreeSet<(NetnsId, EndpointKey)>,
) {
    let read = read(collector, wanted);
    if let Err(why) = &read {
        add_gap(snapshot, gaps::bpf(why));
    }
    for netns in &mut snapshot.netns {
        let id = netns.id;
        let endpoints = netns.endpoints.get_mut().into_iter().flatten();
        for endpoint in endpoints.filter(|endpoint| wanted.contains(&(id, endpoint.key))) {
            match &read {
                Ok(read) => enter(endpoint, read.get(&id).unwrap_or(&Err(Missing::Vanished))),
                Err(why) => enter(endpoint, &Err(why.clone())),
            }
        }
    }
}

type ByNetns = BTreeMap<NetnsId, Result<SynQueuesRead, Missing>>;

fn read(
    collector: &mut Collector,
    wanted: &BTreeSet<(NetnsId, EndpointKey)>,
) -> Result<ByNetns, Missing> {
    let queues = collector.programs.syn_queues()?;
    let is_wanted = |found: &&Found| wanted.iter().any(|&(netns, _)| netns == found.id);
    let places: Vec<&Found> = collector.places.iter().filter(is_wanted).collect();
    let visited = visit(&places, &collector.proc, |found, entered| {
        (found.id, entered.and_then(|_| queues.read()))
    });
    Ok(visited.map_err(Missing::unreadable)?.into_iter().collect())
}

fn enter(endpoint: &mut Endpoint, read: &Result<SynQueuesRead, Missing>) {
    let read = match read {
        Ok(read) => read,
        Err(why) => {
            endpoint.syn_recv.third_acks = why.clone().into();
            for listener in &mut endpoint.listeners {
                listener.syn_queue = why.clone().into();
            }
            return;
        }
    };
    let mut all = Some(ThirdAcks::default());
    for listener in &mut endpoint.listeners {
        let found = read.of(listener.cookie);
        listener.syn_queue =
            found.map_or(Missing::Vanished.into(), |(state, _)| Reading::Known(state));
        all = all.zip(found).map(|(all, (_, acks))| all.plus(acks));
    }
    endpoint.syn_recv.third_acks = all.map_or(Missing::Vanished.into(), Reading::Known);
}
