//! Epoll sets: which listening sockets are in them, also in sets within sets.
//!
//! The kernel builds the whole text of a set in one go, under the set's own lock
//! (fs/eventpoll.c, ep_show_fdinfo), so a large set is read once and then remembered: the process
//! that is looked at must not be slowed down by it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use halfopen_evidence::{EpollRegistration, Inode, Missing, Via, WaitedSocket};

use super::descriptors::Descriptors;
use super::dir::Dir;
use super::parse;

/// Sets with more entries are not read again.
const READ_AGAIN_MAX: u32 = 1024;

/// Sets within sets that are followed; the kernel refuses to nest deeper (EP_MAX_NESTS).
const DEPTH_MAX: u32 = 5;

/// Sets looked at to answer for one.
const SETS_MAX: usize = 64;

/// Sets of a process that are looked at unasked, lowest descriptors first.
const REGISTRATIONS_MAX: usize = 1024;

/// Different entries of a kind that are remembered of one set.
const ENTRIES_MAX: usize = 1024;

const EPOLLIN: u32 = 1;
const EPOLLRDNORM: u32 = 0x40;
const EPOLLET: u32 = 1 << 31;

/// What is in one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EpollSet {
    /// How many descriptors.
    pub(super) count: u32,
    /// The listening sockets among them, with their event masks.
    pub(super) listeners: BTreeSet<(Inode, u32)>,
    /// The epoll sets among them, with their event masks.
    nested: BTreeSet<(u32, u32)>,
}

/// The sets of one process, each read at most once per [`EpollSets::forget`].
#[derive(Debug, Default)]
pub(super) struct EpollSets {
    read: BTreeMap<u32, EpollSet>,
}

impl EpollSets {
    /// Lets the sets that are cheap to read be read again.
    pub(super) fn forget(&mut self) {
        self.read.retain(|_, set| set.count > READ_AGAIN_MAX);
    }

    /// One set.
    pub(super) fn set(
        &mut self,
        epfd: u32,
        task: &Dir,
        known: &Descriptors,
        listeners: &BTreeSet<Inode>,
    ) -> Result<&EpollSet, Missing> {
        match self.read.entry(epfd) {
            Entry::Occupied(read) => Ok(read.into_mut()),
            Entry::Vacant(unread) => {
                let mut set = EpollSet::default();
                task.lines(&format!("fdinfo/{epfd}"), |line| {
                    if let Some(entry) = parse::epoll_entry(line) {
                        set.note(entry, epfd, known, listeners);
                    }
                })?;
                Ok(unread.insert(set))
            }
        }
    }

    /// The listening sockets that a thread which sleeps on this set is woken for.
    pub(super) fn waits(
        &mut self,
        epfd: u32,
        task: &Dir,
        known: &Descriptors,
        listeners: &BTreeSet<Inode>,
    ) -> Result<Vec<WaitedSocket>, Missing> {
        let mut waits = Vec::new();
        let mut seen = BTreeSet::from([epfd]);
        let mut open = vec![(epfd, false, 0)];
        while let Some((set, edge, depth)) = open.pop() {
            let set = self.set(set, task, known, listeners)?;
            for &(inode, events) in set.listeners.iter().filter(|(_, events)| is_armed(*events)) {
                let edge = edge || events & EPOLLET != 0;
                let via = if edge { Via::EpollEdge } else { Via::EpollLevel };
                waits.push(WaitedSocket { inode, via });
            }
            for &(inner, events) in set.nested.iter().filter(|(_, events)| is_armed(*events)) {
                if depth < DEPTH_MAX && seen.len() < SETS_MAX && seen.insert(inner) {
                    open.push((inner, edge || events & EPOLLET != 0, depth + 1));
                }
            }
        }
        waits.sort_unstable();
        waits.dedup();
        Ok(waits)
    }

    /// The listening sockets in every set of the process.
    pub(super) fn registrations(
        &mut self,
        task: &Dir,
        known: &Descriptors,
        listeners: &BTreeSet<Inode>,
    ) -> Vec<EpollRegistration> {
        let mut registrations = Vec::new();
        for &epfd in known.epoll_sets.iter().take(REGISTRATIONS_MAX) {
            // A set that was closed meanwhile has no registrations.
            let Ok(set) = self.set(epfd, task, known, listeners) else { continue };
            registrations.extend(set.listeners.iter().map(|&(inode, events)| EpollRegistration {
                epfd,
                inode,
                events,
            }));
        }
        registrations
    }
}

impl EpollSet {
    fn note(
        &mut self,
        entry: parse::EpollEntry,
        epfd: u32,
        known: &Descriptors,
        listeners: &BTreeSet<Inode>,
    ) {
        self.count = self.count.saturating_add(1);
        // Numbers change over fork and dup, inodes do not; but kernels before 4.13 tell only the
        // number. All epoll sets share one inode: of those only the number tells.
        let by_number = || known.listeners.get(&entry.fd).copied();
        let inode = entry.inode.map_or_else(by_number, |inode| Some(Inode(inode)));
        if let Some(inode) = inode.filter(|inode| listeners.contains(inode)) {
            note(&mut self.listeners, (inode, entry.events));
        } else if entry.fd != epfd && known.epoll_sets.contains(&entry.fd) {
            note(&mut self.nested, (entry.fd, entry.events));
        }
    }
}

fn note<T: Ord>(entries: &mut BTreeSet<T>, entry: T) {
    if entries.len() < ENTRIES_MAX {
        entries.insert(entry);
    }
}

const fn is_armed(events: u32) -> bool {
    events & (EPOLLIN | EPOLLRDNORM) != 0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn check(sets: &[(u32, &str)], epfd: u32, expected: &[(u64, Via)]) {
        let tree = tempfile::tempdir().expect("a directory");
        fs::create_dir(tree.path().join("fdinfo")).expect("a directory");
        for (fd, text) in sets {
            fs::write(tree.path().join(format!("fdinfo/{fd}")), text).expect("a file");
        }
        let task = Dir::open(tree.path()).expect("the directory");
        let known = Descriptors {
            epoll_sets: sets.iter().map(|set| set.0).collect(),
            listeners: BTreeMap::from([(3, Inode(0xa))]),
            ..Descriptors::default()
        };
        let listeners = BTreeSet::from([Inode(0xa), Inode(0xb)]);
        let waits = EpollSets::default().waits(epfd, &task, &known, &listeners).expect("waits");
        let expected: Vec<_> = expected
            .iter()
            .map(|&(inode, via)| WaitedSocket { inode: Inode(inode), via })
            .collect();
        assert_eq!(waits, expected, "{sets:?}");
    }

    const HEAD: &str = "pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1057\n";

    #[test]
    fn a_set_is_matched_by_inode_and_by_number_where_there_is_none() {
        let text = format!("{HEAD}tfd: 9 events: 19 data: 9  pos:0 ino:a sdev:8\n");
        check(&[(5, &text)], 5, &[(0xa, Via::EpollLevel)]);
        check(&[(5, "tfd: 3 events: 19 data: 3\n")], 5, &[(0xa, Via::EpollLevel)]);
        check(&[(5, "tfd: 3 events: 19 data: 3 pos:0 ino:77 sdev:8\n")], 5, &[]);
    }

    #[test]
    fn a_disarmed_registration_wakes_nobody_and_an_edge_is_told_apart() {
        check(&[(5, "tfd: 3 events: 40000000 data: 3 pos:0 ino:a sdev:8\n")], 5, &[]);
        let edge = "tfd: 3 events: 8000201d data: 3 pos:0 ino:b sdev:8\n";
        check(&[(5, edge)], 5, &[(0xb, Via::EpollEdge)]);
    }

    #[test]
    fn sets_within_sets_are_followed_and_rings_of_them_end() {
        let outer = "tfd: 6 events: 1 data: 6 pos:0 ino:421 sdev:e\n";
        let inner = "tfd: 3 events: 1 data: 3 pos:0 ino:a sdev:8\n\
                     tfd: 5 events: 1 data: 5 pos:0 ino:421 sdev:e\n";
        check(&[(5, outer), (6, inner)], 5, &[(0xa, Via::EpollLevel)]);
        check(
            &[(5, &outer.replace("events: 1", "events: 80000001")), (6, inner)],
            5,
            &[(0xa, Via::EpollEdge)],
        );
        check(&[(5, &outer.replace("events: 1", "events: 0")), (6, inner)], 5, &[]);
    }
}
