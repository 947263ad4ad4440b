//! Dear evidence, for suspects only.
//!
//! All wants of one call are met together: one walk over descriptors for every socket whose holder is
//! asked for, one visit to each network namespace for every socket that is looked up.

mod connections;
mod holders;
mod processes;
mod sockets;
mod syn_queues;

use std::collections::BTreeSet;

use halfopen_evidence::{EndpointKey, Inode, NetnsId, Pid, Snapshot, Want};

use crate::collector::Collector;

pub(crate) use sockets::{name_sockets, targets_of};

/// Wants, sorted by how they are met.
#[derive(Debug, Default)]
struct Wanted {
    holders: BTreeSet<(NetnsId, Inode)>,
    processes: BTreeSet<Pid>,
    ages: BTreeSet<(NetnsId, EndpointKey)>,
    client_ends: BTreeSet<(NetnsId, EndpointKey)>,
    close_wait_idle: BTreeSet<(NetnsId, Inode)>,
    syn_queues: BTreeSet<(NetnsId, EndpointKey)>,
}

/// Meets the wants; see [`Collector::fetch`].
pub(crate) fn fetch(collector: &mut Collector, snapshot: &mut Snapshot, wants: &[Want]) {
    let wanted = Wanted::of(wants);
    if !wanted.holders.is_empty() {
        holders::fetch(collector, snapshot, &wanted.holders);
    }
    let connections = connections::Lookups::of(snapshot, &wanted);
    connections.fetch(collector, snapshot);
    if !wanted.syn_queues.is_empty() {
        syn_queues::fetch(collector, snapshot, &wanted.syn_queues);
    }
    if !wanted.processes.is_empty() {
        processes::fetch(collector, snapshot, &wanted.processes);
    }
}

impl Wanted {
    fn of(wants: &[Want]) -> Self {
        let mut wanted = Self::default();
        for want in wants {
            match want {
                Want::Holders { netns, inodes } => {
                    wanted.holders.extend(inodes.iter().map(|&inode| (*netns, inode)));
                }
                &Want::Process { pid } => {
                    wanted.processes.insert(pid);
                }
                // Unwound elsewhere.
                Want::Stacks { .. } => {}
                &Want::Ages { netns, endpoint } => {
                    wanted.ages.insert((netns, endpoint));
                }
                &Want::ClientEnds { netns, endpoint } => {
                    wanted.client_ends.insert((netns, endpoint));
                }
                &Want::SynQueues { netns, endpoint } => {
                    wanted.syn_queues.insert((netns, endpoint));
                }
                &Want::CloseWaitIdle { netns, inode } => {
                    wanted.close_wait_idle.insert((netns, inode));
                }
            }
        }
        wanted
    }
}
