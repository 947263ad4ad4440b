//! Which processes hold some sockets: one walk over every descriptor of every process.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_evidence::{
    CloseWaitGroup, HeldCloseWait, Holder, HolderSearch, Holders, Inode, Missing, Netns, NetnsId,
    Pid, Reading, Snapshot,
};

use crate::collector::{Collector, add_gap};
use crate::gaps;
use crate::privilege;
use crate::proc::{Extent, HolderFindings, ProcRoot, find_holders, parse};

/// From so many open files on an iterator is worth the time that its program takes to load: a walk
/// takes some two microseconds for each.
const MANY_FILES: u64 = 50_000;

/// Looks for the holders everywhere, and enters them wherever the snapshot has one of the sockets.
pub(super) fn fetch(
    collector: &mut Collector,
    snapshot: &mut Snapshot,
    wanted: &BTreeSet<(NetnsId, Inode)>,
) {
    let inodes: BTreeSet<Inode> = wanted.iter().map(|&(_, inode)| inode).collect();
    let findings = find(collector, &inodes);
    if let Reading::Known(HolderFindings {
        search: HolderSearch::Permitted { unreadable }, ..
    }) = &findings
    {
        let gap = gaps::descriptors(&snapshot.host, *unreadable);
        add_gap(snapshot, gap);
    }
    let found = Found { findings: &findings };
    for netns in &mut snapshot.netns {
        enter(netns, wanted, &found);
    }
}

/// By whichever way is quicker here; where the iterator cannot be had, by the other.
fn find(collector: &mut Collector, inodes: &BTreeSet<Inode>) -> Reading<HolderFindings> {
    let Collector { programs, root, .. } = collector;
    if open_files(root).is_some_and(|files| files >= MANY_FILES)
        && let Ok(table) = programs.holders()
        && let Ok(findings) = table.find(root, inodes)
    {
        return Reading::Known(findings);
    }
    find_holders(root, inodes, Extent::Everywhere)
}

/// Open files of the system.
fn open_files(root: &ProcRoot) -> Option<u64> {
    let (open, _) = root.open().ok()?.parse("sys/fs/file-nr", parse::file_nr).ok()?;
    Some(open)
}

/// What was found, as each place in the evidence wants it.
struct Found<'a> {
    findings: &'a Reading<HolderFindings>,
}

fn enter(netns: &mut Netns, wanted: &BTreeSet<(NetnsId, Inode)>, found: &Found<'_>) {
    let id = netns.id;
    let is_wanted = |inode: Inode| wanted.contains(&(id, inode));
    for endpoint in netns.endpoints.get_mut().into_iter().flatten() {
        for listener in endpoint.listeners.iter_mut().filter(|l| is_wanted(l.inode)) {
            listener.holders = found.holders(listener.inode);
        }
    }
    for group in netns.close_wait.get_mut().into_iter().flatten() {
        if group.sample.iter().any(|&(_, inode)| is_wanted(inode)) {
            group.held = found.held(group);
        }
    }
    for connecting in netns.connecting.get_mut().into_iter().flatten() {
        if is_wanted(connecting.example) {
            connecting.holder = found.holder(connecting.example);
        }
    }
    let destinations = netns.ports.get_mut().map(|ports| &mut ports.destinations);
    for ports in destinations.into_iter().flatten() {
        if let Some(example) = ports.example.filter(|&inode| is_wanted(inode)) {
            ports.holder = found.holder(example);
        }
    }
}

impl Found<'_> {
    fn holders(&self, inode: Inode) -> Reading<Holders> {
        self.findings.as_ref().map(|findings| Holders {
            found: findings.found.get(&inode).cloned().unwrap_or_default(),
            search: findings.search,
        })
    }

    /// The holder with the lowest pid.
    fn holder(&self, inode: Inode) -> Reading<Option<Holder>> {
        match self.findings {
            Reading::Known(findings) => findings.first(inode),
            Reading::Missing(why) => why.clone().into(),
        }
    }

    /// Each process's part of a group's sample, largest first.
    fn held(&self, group: &CloseWaitGroup) -> Reading<Vec<HeldCloseWait>> {
        let findings = match self.findings {
            Reading::Known(findings) => findings,
            Reading::Missing(why) => return why.clone().into(),
        };
        let mut by_process: BTreeMap<Pid, HeldCloseWait> = BTreeMap::new();
        for (_, inode) in &group.sample {
            let holders = findings.found.get(inode).into_iter().flatten();
            // A process that has a socket under two descriptors holds it once.
            let mut pids = BTreeSet::new();
            for holder in holders.filter(|holder| pids.insert(holder.pid)) {
                let held = by_process.entry(holder.pid).or_insert_with(|| HeldCloseWait {
                    pid: holder.pid,
                    comm: holder.comm.clone(),
                    count: 0,
                });
                held.count += 1;
            }
        }
        if by_process.is_empty() && findings.search != HolderSearch::Everywhere {
            return Missing::needs(privilege::READ_PROCESSES).into();
        }
        let mut held: Vec<HeldCloseWait> = by_process.into_values().collect();
        held.sort_by_key(|held| (std::cmp::Reverse(held.count), held.pid));
        Reading::Known(held)
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{CloseWaitSide, Cookie};

    use super::*;

    fn holder(pid: u32, fd: u32) -> Holder {
        Holder { pid: Pid(pid), fd, comm: format!("p{pid}"), start_ticks: 1 }
    }

    fn findings(search: HolderSearch) -> Reading<HolderFindings> {
        let found = BTreeMap::from([
            (Inode(5), vec![holder(7, 3), holder(7, 4), holder(8, 3)]),
            (Inode(6), vec![holder(8, 9)]),
        ]);
        Reading::Known(HolderFindings { found, search })
    }

    fn group(inodes: &[u64]) -> CloseWaitGroup {
        CloseWaitGroup {
            side: CloseWaitSide::LocalPort(80),
            count: 2,
            sample: inodes.iter().map(|&inode| (Cookie(inode), Inode(inode))).collect(),
            idle_ms: Reading::not_collected(),
            held: Reading::not_collected(),
        }
    }

    #[test]
    fn a_process_holds_each_socket_of_a_sample_once() {
        let findings = findings(HolderSearch::Everywhere);
        let held = Found { findings: &findings }.held(&group(&[5, 6])).known().expect("held");
        let brief: Vec<_> = held.iter().map(|held| (held.pid.0, held.count)).collect();
        assert_eq!(brief, [(8, 2), (7, 1)]);
    }

    #[test]
    fn nobody_holds_a_socket_only_if_everybody_was_looked_at() {
        let everywhere = findings(HolderSearch::Everywhere);
        let permitted = findings(HolderSearch::Permitted { unreadable: 3 });
        let (everywhere, permitted) =
            (Found { findings: &everywhere }, Found { findings: &permitted });
        assert_eq!(everywhere.holder(Inode(99)), Reading::Known(None));
        assert_eq!(everywhere.held(&group(&[99])), Reading::Known(Vec::new()));
        let missing = Missing::needs(privilege::READ_PROCESSES);
        assert_eq!(permitted.holder(Inode(99)).missing(), Some(&missing));
        assert_eq!(permitted.held(&group(&[99])).missing(), Some(&missing));
        assert_eq!(permitted.holder(Inode(5)), Reading::Known(Some(holder(7, 3))));
    }
}
