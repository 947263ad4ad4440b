//! What the looks at a process amount to: deadlocks, who holds up whom, and threads that do the same.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_diagnose::{ChainEnd, LockChain};
use halfopen_evidence::{
    Activity, Interval, ManagedFrame, Missing, Process, Reading, Runtime, Samples, Stack, Thread,
    Tid,
};
use halfopen_stacks::Stops;
use halfopen_stacks::runtimes::runtime_of;

/// A process and its threads.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) process: &'a Process,
    pub(crate) deadlocks: Vec<Deadlock<'a>>,
    pub(crate) hold_ups: Vec<HoldUp<'a>>,
    pub(crate) groups: Vec<Group<'a>>,
    /// What was done to it, if threads could be stopped.
    pub(crate) stops: Option<&'a Stops>,
}

/// Threads that wait for each other in a circle.
#[derive(Debug)]
pub(crate) struct Deadlock<'a> {
    /// Each waits for a lock that the next holds, and the last for one of the first.
    pub(crate) members: Vec<&'a Thread>,
    /// Threads besides these that wait for one of them in the end.
    pub(crate) victims: usize,
}

/// A thread that others wait for, and which waits for no lock itself.
#[derive(Debug)]
pub(crate) struct HoldUp<'a> {
    /// Its number; it need not be a thread of the process.
    pub(crate) owner: Tid,
    /// The thread, if it is one of the process.
    pub(crate) thread: Option<&'a Thread>,
    /// Threads that wait for it in the end.
    pub(crate) waiters: usize,
}

/// Threads that do the same.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    /// By tid.
    pub(crate) threads: Vec<&'a Thread>,
    /// What each of them has: the same activity and the same functions.
    pub(crate) activity: &'a Reading<Activity>,
    pub(crate) code: Code<'a>,
    /// The functions of the kernel that the first of them sleeps in.
    pub(crate) kernel: &'a Reading<Vec<String>>,
    /// Whether all of them sleep there, which is told apart where their call does not say enough.
    pub(crate) sleeps_deep: bool,
    /// Those that have not run at all between the looks.
    pub(crate) motionless: usize,
}

/// The functions that a thread is in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code<'a> {
    /// As its runtime tells them.
    Managed(&'a [ManagedFrame]),
    /// As its stack was unwound.
    Native(&'a Reading<Stack>),
    /// As it was met while it ran, and where it was stopped, if it was met nowhere.
    Sampled(Tid, &'a Samples, &'a Reading<Stack>),
}

/// What tells code of threads apart.
type Key<'a> = (Option<&'a [ManagedFrame]>, Option<&'a Stack>, Option<Tid>);

impl<'a> Code<'a> {
    fn of(thread: &'a Thread) -> Self {
        match thread.managed.get() {
            Some(managed) if !managed.frames.is_empty() => Self::Managed(&managed.frames),
            _ => match &thread.samples {
                Reading::Known(samples) => Self::Sampled(thread.tid, samples, &thread.stack),
                Reading::Missing(_) => Self::Native(&thread.stack),
            },
        }
    }

    fn key(self) -> Key<'a> {
        match self {
            Self::Managed(frames) => (Some(frames), None, None),
            Self::Native(stack) => (None, stack.get(), None),
            // No two threads run alike.
            Self::Sampled(tid, ..) => (None, None, Some(tid)),
        }
    }
}

impl<'a> Report<'a> {
    /// Sorts the threads of the process that two looks were taken of.
    pub(crate) fn new(interval: &'a Interval, process: &'a Process) -> Self {
        let threads = process.threads.get().map(Vec::as_slice).unwrap_or_default();
        let waits: Vec<(&Thread, LockChain)> = threads
            .iter()
            .filter_map(|thread| Some((thread, LockChain::of(process, thread)?)))
            .collect();
        let deadlocks = deadlocks(threads, &waits);
        let hold_ups = hold_ups(threads, &waits);
        let mut groups = groups(interval, process, threads);
        let in_circle: BTreeSet<Tid> =
            deadlocks.iter().flat_map(|found| &found.members).map(|thread| thread.tid).collect();
        let waiting: BTreeSet<Tid> = waits.iter().map(|(thread, _)| thread.tid).collect();
        let holding: BTreeSet<Tid> = hold_ups.iter().map(|found| found.owner).collect();
        groups.sort_by_key(|group| {
            let has = |set: &BTreeSet<Tid>| !group.threads.iter().any(|t| set.contains(&t.tid));
            (has(&in_circle), has(&holding), has(&waiting), group.threads.len())
        });
        Self { process, deadlocks, hold_ups, groups, stops: None }
    }

    /// Whether threads wait for each other for ever.
    pub(crate) fn is_deadlocked(&self) -> bool {
        !self.deadlocks.is_empty()
    }

    /// The runtime that has told of its threads; or why it has not, if it was asked.
    pub(crate) fn runtime(&self) -> Option<Result<Runtime, &'a Missing>> {
        let threads = self.process.threads.get()?;
        let told = threads.iter().find_map(|thread| thread.managed.get());
        let why = || threads.iter().find_map(|thread| thread.managed.missing());
        match told {
            Some(managed) => Some(Ok(managed.runtime)),
            None => why().filter(|&why| *why != Missing::NotCollected).map(Err),
        }
    }

    /// A runtime that threads are in and that was not asked.
    pub(crate) fn not_asked(&self) -> Option<Runtime> {
        if self.runtime().is_some() {
            return None;
        }
        let stacks = self.process.threads.get()?.iter().filter_map(|thread| thread.stack.get());
        stacks.flat_map(|stack| &stack.frames).find_map(|frame| runtime_of(&frame.module))
    }

    /// Why its goroutines are not told, of a Go program.
    pub(crate) fn goroutines_missing(&self) -> Option<&'a Missing> {
        // Where nothing may be seen, it is not known either whether there are any.
        let why = self.process.goroutines.missing().filter(|_| !self.is_blind());
        why.filter(|&why| *why != Missing::NotCollected)
    }

    /// Whether nothing is known of what the threads do.
    pub(crate) fn is_blind(&self) -> bool {
        self.groups.iter().all(|group| matches!(group.activity, Reading::Missing(_)))
    }
}

fn deadlocks<'a>(threads: &'a [Thread], waits: &[(&'a Thread, LockChain)]) -> Vec<Deadlock<'a>> {
    let mut found: BTreeMap<BTreeSet<Tid>, Deadlock<'a>> = BTreeMap::new();
    for (first, chain) in waits {
        let ChainEnd::Cycle(back) = chain.end else { continue };
        let met = std::iter::once(first.tid).chain(chain.owners.iter().map(|o| o.thread.tid));
        let members: Vec<Tid> = met.skip_while(|&tid| tid != back).collect();
        let is_member = members.contains(&first.tid);
        let deadlock = found.entry(members.iter().copied().collect()).or_insert_with(|| {
            let thread = |tid: &Tid| threads.iter().find(|thread| thread.tid == *tid);
            Deadlock { members: members.iter().filter_map(thread).collect(), victims: 0 }
        });
        deadlock.victims += usize::from(!is_member);
    }
    found.into_values().collect()
}

fn hold_ups<'a>(threads: &'a [Thread], waits: &[(&'a Thread, LockChain)]) -> Vec<HoldUp<'a>> {
    let mut waiters: BTreeMap<Tid, usize> = BTreeMap::new();
    for (_, chain) in waits {
        let end = match chain.end {
            ChainEnd::Stranger(tid) => Some(tid),
            ChainEnd::Owner => chain.owners.last().map(|owner| owner.thread.tid),
            ChainEnd::Cycle(_) | ChainEnd::Cut => None,
        };
        if let Some(end) = end {
            *waiters.entry(end).or_insert(0) += 1;
        }
    }
    let hold_up = |(owner, waiters): (Tid, usize)| HoldUp {
        owner,
        thread: threads.iter().find(|thread| thread.tid == owner),
        waiters,
    };
    let mut found: Vec<HoldUp<'a>> = waiters.into_iter().map(hold_up).collect();
    found.sort_by_key(|hold_up| std::cmp::Reverse(hold_up.waiters));
    found
}

fn groups<'a>(interval: &Interval, process: &Process, threads: &'a [Thread]) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<_, Group<'a>> = BTreeMap::new();
    for thread in threads {
        let code = Code::of(thread);
        let sleeps_deep = sleeps_deep(thread);
        let kernel = thread.kernel.get().filter(|_| sleeps_deep);
        let unseen = thread.activity.get().is_none().then_some(thread.state);
        let key = (thread.activity.get(), unseen, code.key(), sleeps_deep, kernel);
        let group = groups.entry(key).or_insert_with(|| Group {
            threads: Vec::new(),
            activity: &thread.activity,
            code,
            kernel: &thread.kernel,
            sleeps_deep,
            motionless: 0,
        });
        group.threads.push(thread);
        let ran = interval.ran(process, thread).known();
        group.motionless += usize::from(ran == Some(false));
    }
    groups.into_values().collect()
}

/// Whether a thread is in the kernel in a way that its call does not explain: it cannot be interrupted, or
/// came there by no call.
fn sleeps_deep(thread: &Thread) -> bool {
    let calls = match thread.activity.get() {
        Some(Activity::Blocked(call)) => !call.is_none(),
        Some(Activity::Running) | None => true,
    };
    matches!(thread.state, 'D' | 'I') || (thread.state == 'S' && !calls)
}
