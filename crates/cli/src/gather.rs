//! Takes evidence until the rules have no more questions.
//!
//! Cheap evidence comes first. The rules say what they would like to know besides; that is fetched
//! for the suspects alone, and the rules are asked again. The rules themselves see no difference
//! between a live host and a recording.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use halfopen_collect::proc::ProcRoot;
use halfopen_collect::{Collector, NetnsScope, Scope};
use halfopen_diagnose::{Filter, diagnose};
use halfopen_evidence::{
    Between, Endpoint, Evidence, Interval, Listener, Netns, NetnsId, Pid, Reading, Snapshot, Want,
};
use halfopen_stacks::runtimes::go;

use crate::{interrupt, output};

/// How often the rules may ask. Each answer can raise one more question: who holds the socket, what
/// that process does, where in its code it does that, what the thing is that it waits for.
const ROUNDS: usize = 6;

/// How long the threads of a process are watched that became a suspect only at the second look.
const LATE_WATCH: Duration = Duration::from_millis(500);

/// What evidence is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One report, through this filter: what it leaves out need not be looked at.
    Report,
    /// A file, which will be read through other filters: the whole of each namespace is needed.
    Recording,
}

/// How evidence is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// Time between two looks; `None` for one look.
    pub(crate) window: Option<Duration>,
    /// What for.
    pub(crate) purpose: Purpose,
    /// Whether no BPF programs are loaded.
    pub(crate) without_bpf: bool,
}

/// Takes the evidence for a check of what the filter names: two looks a window apart, or one.
///
/// # Errors
/// If nothing could be looked at.
pub(crate) fn gather(filter: &Filter, how: How) -> anyhow::Result<Evidence> {
    let scope = scope(filter, how);
    let mut collector = Collector::new(scope).context("cannot look at this host")?;
    let everything = Filter::everything();
    let asking = match how.purpose {
        Purpose::Report => filter,
        Purpose::Recording => &everything,
    };
    let mut evidence = Evidence::Look(Box::new(look(&mut collector, filter)?));
    answer(&mut collector, asking, &mut evidence);
    evidence = match (how.window, evidence) {
        (Some(window), Evidence::Look(first)) => {
            output::progress(&format!("watching for {:.1} s", window.as_secs_f64()));
            let between = collector.watch(&first, window, &interrupt::pressed);
            let second = look(&mut collector, filter)?;
            Evidence::Window(Box::new(Interval { first: *first, between, second }))
        }
        (_, only_look) => only_look,
    };
    if how.window.is_some() {
        answer(&mut collector, asking, &mut evidence);
        watch_late_suspects(&mut collector, asking, &mut evidence);
    }
    collector.name_listeners(evidence.latest_mut());
    Ok(evidence)
}

fn look(collector: &mut Collector, filter: &Filter) -> anyhow::Result<Snapshot> {
    let mut snapshot = collector.look().context("cannot look at this host")?;
    if filter.needs_holders() {
        let wants = all_holders(&snapshot);
        collector.fetch(&mut snapshot, &wants);
    }
    Ok(snapshot)
}

/// Fetches what the rules want, of what the filter lets through, until they want nothing new.
fn answer(collector: &mut Collector, filter: &Filter, evidence: &mut Evidence) {
    let mut asked = BTreeSet::new();
    for _ in 0..ROUNDS {
        let wants: Vec<Want> = diagnose(evidence)
            .wants
            .into_iter()
            .filter_map(|want| concerning(want, filter, evidence.latest()))
            .filter(|want| asked.insert(want.clone()))
            .collect();
        if wants.is_empty() {
            return;
        }
        collector.fetch(evidence.latest_mut(), &wants);
        unwind(evidence.latest_mut(), &wants);
    }
}

/// Adds the stacks that are wanted, and the goroutines of Go programs.
fn unwind(snapshot: &mut Snapshot, wants: &[Want]) {
    let options = halfopen_stacks::Options { lines: true, ..Default::default() };
    let root = ProcRoot::default();
    for want in wants {
        if let Want::Stacks { pid } = want
            && let Some(process) = snapshot.processes.get_mut(pid)
        {
            halfopen_stacks::complete(&root, process, options);
            process.goroutines = go::goroutines(&root, *pid, options.patience);
        }
    }
}

/// A process that became a suspect at the second look was not sampled in the window: its threads
/// are watched now, for a moment.
fn watch_late_suspects(collector: &mut Collector, filter: &Filter, evidence: &mut Evidence) {
    let Evidence::Window(interval) = evidence else { return };
    let sampled: BTreeSet<Pid> = interval.between.threads.iter().map(|track| track.pid).collect();
    let late = interval.second.processes.keys().any(|pid| !sampled.contains(pid));
    if !late || interrupt::pressed() {
        return;
    }
    let Between { threads, .. } =
        collector.watch(&interval.second, LATE_WATCH, &interrupt::pressed);
    interval
        .between
        .threads
        .extend(threads.into_iter().filter(|track| !sampled.contains(&track.pid)));
    interval.between.threads.sort_by_key(|track| (track.pid, track.tid));
    answer(collector, filter, evidence);
}

/// What of a want concerns something that the report will show.
fn concerning(want: Want, filter: &Filter, snapshot: &Snapshot) -> Option<Want> {
    let left_out = |netns: NetnsId, is_it: &dyn Fn(&Endpoint, &Listener) -> bool| {
        let mut listeners = snapshot.listeners().filter(|(of, e, l)| of.id == netns && is_it(e, l));
        let shown = |(of, e, l): (&Netns, &Endpoint, &Listener)| filter.matches_listener(of, e, l);
        listeners.next().is_some_and(|first| !shown(first) && !listeners.any(shown))
    };
    match want {
        _ if filter.is_everything() => Some(want),
        Want::Holders { netns, mut inodes } => {
            inodes.retain(|&inode| !left_out(netns, &|_, listener| listener.inode == inode));
            (!inodes.is_empty()).then_some(Want::Holders { netns, inodes })
        }
        Want::Ages { netns, endpoint }
        | Want::ClientEnds { netns, endpoint }
        | Want::SynQueues { netns, endpoint }
            if left_out(netns, &|at, _| at.key == endpoint) =>
        {
            None
        }
        Want::Ages { .. }
        | Want::ClientEnds { .. }
        | Want::SynQueues { .. }
        | Want::Process { .. }
        | Want::Stacks { .. }
        | Want::CloseWaitIdle { .. } => Some(want),
    }
}

/// What the collector need not look at, since the filter leaves it out anyway.
fn scope(filter: &Filter, how: How) -> Scope {
    let netns = netns_scope(filter);
    let ports = match how.purpose {
        Purpose::Report => filter.ports(),
        Purpose::Recording => None,
    };
    Scope { netns, ports, without_bpf: how.without_bpf }
}

/// The network namespaces that a filter can match something in.
pub(crate) fn netns_scope(filter: &Filter) -> NetnsScope {
    let only = |names: BTreeSet<_>| (names.len() == 1).then(|| names.into_iter().next())?;
    match (filter.netns_names().and_then(only), filter.pids()) {
        (Some(name), _) => NetnsScope::Named(name),
        (None, Some(pids)) if pids.len() == 1 => {
            pids.into_iter().next().map_or(NetnsScope::All, NetnsScope::OfProcess)
        }
        _ => NetnsScope::All,
    }
}

fn all_holders(snapshot: &Snapshot) -> Vec<Want> {
    let mut inodes: BTreeMap<NetnsId, Vec<_>> = BTreeMap::new();
    for (netns, _, listener) in snapshot.listeners() {
        if matches!(listener.holders, Reading::Missing(_)) {
            inodes.entry(netns.id).or_default().push(listener.inode);
        }
    }
    inodes.into_iter().map(|(netns, inodes)| Want::Holders { netns, inodes }).collect()
}
