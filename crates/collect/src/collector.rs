//! The collector: what the binary holds while it looks at this host.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use halfopen_evidence::{
    Between, CallTarget, Gap, Holders, Inode, Listener, Missing, Snapshot, Want,
};

use crate::bpf::Programs;
use crate::look::{Look, look};
use crate::namespaces::{Discovery, Found, discover, visit};
use crate::netlink::filter::PortFilter;
use crate::netlink::{Consistency, DiagError, DumpBuffer};
use crate::proc::{Extent, ProcRoot, find_holders};
use crate::{CollectError, NetnsScope, Scope, fetch, gaps, host, watch};

/// Reads this host. See the crate's text.
#[derive(Debug)]
pub struct Collector {
    pub(crate) proc: PathBuf,
    pub(crate) root: ProcRoot,
    scope: Scope,
    /// The namespaces of the latest look, and how to get there.
    pub(crate) places: Vec<Found>,
    /// Whether these are all there are.
    pub(crate) sees_all_netns: bool,
    /// What sockets that threads wait for are called, by inode; `None` for those that are no TCP
    /// sockets of a namespace that was looked at.
    pub(crate) socket_names: HashMap<u64, Option<String>>,
    pub(crate) programs: Programs,
}

impl Collector {
    /// A collector of what the scope names.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn new(scope: Scope) -> Result<Self, CollectError> {
        let programs = if scope.without_bpf { Programs::refused() } else { Programs::default() };
        Self::with_programs(scope, programs)
    }

    /// The same, with programs that another one has loaded, whatever the scope says of them.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn with_programs(scope: Scope, programs: Programs) -> Result<Self, CollectError> {
        let proc = PathBuf::from("/proc");
        let path = proc.join("self/stat");
        std::fs::read(&path).map_err(|source| CollectError::Read { path, source })?;
        Ok(Self {
            root: ProcRoot::new(&proc),
            proc,
            scope,
            places: Vec::new(),
            sees_all_netns: false,
            socket_names: HashMap::new(),
            programs,
        })
    }

    /// The cheap evidence of everything in scope: a few small files and at most three dumps per
    /// network namespace. Holders and processes are not looked for.
    ///
    /// # Errors
    /// If not even one network namespace could be read, or none is called what the scope names.
    pub fn look(&mut self) -> Result<Snapshot, CollectError> {
        let taken = host::now();
        let host = host::read(&self.proc);
        let Discovery { found, unreadable } = discover(&self.root, &self.proc, &self.scope.netns)?;
        let ports = self
            .scope
            .ports
            .as_ref()
            .map(|ports| PortFilter::new([], ports.iter().copied()).at_either_end());
        let mut buffer = DumpBuffer::new();
        let places: Vec<&Found> = found.iter().collect();
        let looks = visit(&places, &self.proc, |_, entered| {
            entered.map(|visit| look(&visit, ports.as_ref(), &mut buffer))
        })?;
        let mut snapshot = Snapshot {
            taken,
            host,
            netns: Vec::new(),
            processes: BTreeMap::new(),
            gaps: Vec::new(),
        };
        if unreadable > 0 {
            snapshot.gaps.push(gaps::namespaces_of_processes(&snapshot.host, unreadable));
        }
        snapshot.gaps.extend(gaps::processes(&snapshot.host));
        self.sees_all_netns = self.scope.netns == NetnsScope::All
            && unreadable == 0
            && looks.iter().all(Result::is_ok);
        let error = add_looks(&mut snapshot, looks);
        self.places = found;
        let is_blind = !snapshot.netns.iter().any(|netns| netns.endpoints.get().is_some());
        match error {
            Some(error) if is_blind => Err(error.into()),
            _ => Ok(snapshot),
        }
    }

    /// Dear evidence, into the snapshot of the latest look. Of what was asked for nothing is left
    /// [`Missing::NotCollected`]: it is there, or says why it cannot be. A process that is gone
    /// appears with state `X`. [`Want::Stacks`] is not met here.
    pub fn fetch(&mut self, snapshot: &mut Snapshot, wants: &[Want]) {
        fetch::fetch(self, snapshot, wants);
    }

    /// Has the kernel tell of threads from now on, by a program that tells their frame pointers and where in
    /// the kernel each sleeps. Loading it takes some 60 ms of CPU time, once.
    ///
    /// # Errors
    /// If it cannot be loaded; then files of `/proc` are read, as before.
    pub fn load_task_table(&mut self) -> Result<(), Missing> {
        self.programs.tasks().map(|_| ())
    }

    /// What it has loaded, for another collector.
    #[must_use]
    pub fn into_programs(self) -> Programs {
        self.programs
    }

    /// Names the sockets that these calls wait for: `socket:[N]` becomes `socket A -> B`, as far as they
    /// are TCP sockets of a namespace that was looked at.
    pub fn name_sockets<'a>(
        &mut self,
        snapshot: &Snapshot,
        targets: impl IntoIterator<Item = &'a mut CallTarget>,
    ) {
        fetch::name_sockets(self, snapshot, targets);
    }

    /// Sleeps through a window and samples meanwhile, about ten times a second: the accept queues of
    /// the listeners that matter, and the threads of the snapshot's processes. Ends early if `stop`
    /// says so.
    pub fn watch(
        &mut self,
        snapshot: &Snapshot,
        window: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Between {
        watch::watch(self, snapshot, window, stop)
    }

    /// Looks for one holder of each listener among the first descriptors of each process: quick, and
    /// enough for a table. Leaves alone what [`Self::fetch`] has found.
    pub fn name_listeners(&mut self, snapshot: &mut Snapshot) {
        let is_unknown =
            |listener: &Listener| listener.holders.missing() == Some(&Missing::NotCollected);
        let wanted: BTreeSet<Inode> = snapshot
            .listeners()
            .filter(|(.., listener)| is_unknown(listener))
            .map(|(.., listener)| listener.inode)
            .collect();
        if wanted.is_empty() {
            return;
        }
        let findings = find_holders(&self.root, &wanted, Extent::FirstDescriptors);
        for listener in listeners_mut(snapshot).filter(|listener| is_unknown(listener)) {
            listener.holders = findings.as_ref().map(|findings| Holders {
                found: findings.found.get(&listener.inode).cloned().unwrap_or_default(),
                search: findings.search,
            });
        }
    }
}

/// Every listening socket, to add to it.
pub(crate) fn listeners_mut(snapshot: &mut Snapshot) -> impl Iterator<Item = &mut Listener> {
    snapshot.netns.iter_mut().flat_map(|netns| {
        let endpoints = netns.endpoints.get_mut().into_iter().flatten();
        endpoints.flat_map(|endpoint| &mut endpoint.listeners)
    })
}

/// Adds a gap, once.
pub(crate) fn add_gap(snapshot: &mut Snapshot, gap: Gap) {
    if !snapshot.gaps.contains(&gap) {
        snapshot.gaps.push(gap);
    }
}

/// Adds what was seen, and a gap for what could not be entered. Returns the first error: it is that
/// of the whole look if nothing else was seen.
fn add_looks(snapshot: &mut Snapshot, looks: Vec<Result<Look, Missing>>) -> Option<DiagError> {
    let found = looks.len();
    let mut closed: BTreeMap<String, (Missing, usize)> = BTreeMap::new();
    let mut first_error = None;
    for look in looks {
        match look {
            Ok(Look { netns, error, consistency }) => {
                if consistency == Consistency::Interrupted {
                    snapshot.gaps.push(gaps::disturbed(&netns.label()));
                }
                first_error = first_error.or(error);
                snapshot.netns.push(netns);
            }
            // It costs its own row.
            Err(Missing::Vanished) => {}
            Err(why) => closed.entry(why.to_string()).or_insert((why, 0)).1 += 1,
        }
    }
    for (why, closed) in closed.into_values() {
        snapshot.gaps.push(gaps::namespaces(closed, found, &why));
    }
    first_error
}
