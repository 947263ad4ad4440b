//! No thread waits for a listener: what those that are there do instead, and whether any of them may
//! be the one that should.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_evidence::{EndpointKey, Inode, Pid, Process, ProcessName, Reading, Thread, Via};

use super::cause::LISTED;
use super::queue::{self, QueueState};
use super::serving::{Doing, Serving, Suspect, ThreadName, is_gone};
use crate::{Confidence, Context, ListenerView};

/// No thread waits for the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NobodyWaits {
    /// The processes that hold it.
    pub processes: Vec<ProcessName>,
    /// Threads that were looked at.
    pub threads: usize,
    /// How their stacks bear on it.
    pub stacks: Stacks,
    /// What the program does with the listener in its epoll sets.
    pub epoll: InEpoll,
    /// A thread that waits for descriptors, the listener not among them.
    pub event_loop: Option<Doing>,
    /// Threads that wait for other listeners of these processes; at most five.
    pub elsewhere: Vec<ServesAnother>,
    /// Threads that are busy, most likely with their own tasks; at most five.
    pub busy: Vec<Suspect>,
    /// Whether the only holder is a program that listens on nothing, so that it has inherited the
    /// listener of a program that is gone.
    pub stray: bool,
    /// Threads that wait for a futex without a readable owner: for work, or for a lock.
    pub ownerless: usize,
    /// How sure that is.
    pub confidence: Confidence,
}

/// A listener in the epoll sets of its holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InEpoll {
    /// It is in none.
    No,
    /// It is in one, and wakes whoever waits on it.
    Armed,
    /// It is in one that wakes nobody: EPOLLONESHOT that was not armed again, or a pause.
    Disarmed,
}

/// The stacks of the threads, none of which is in code that accepts for the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stacks {
    /// Threads whose functions are known, from their stack or from samples of it.
    pub read: usize,
    /// Why those of another thread are not.
    pub unread: Option<String>,
}

/// A thread that waits for another listener of its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServesAnother {
    /// Which.
    pub thread: ThreadName,
    /// How it waits.
    pub via: Via,
    /// Where the other one listens.
    pub endpoint: EndpointKey,
    /// Whether connections are taken there, as far as is known.
    pub answers: bool,
}

/// Of whom it is known that nobody waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nobody {
    /// Of all that hold the listener.
    OfAll,
    /// Of those that were looked at.
    OfSome,
    /// Of programs that listen on nothing.
    Stray,
}

impl NobodyWaits {
    pub(super) fn of(
        context: &Context<'_>,
        view: &ListenerView<'_>,
        processes: &[&Process],
        serving: Serving,
        nobody: Nobody,
    ) -> Self {
        let mut found = Self {
            processes: processes.iter().map(|process| ProcessName::of_process(process)).collect(),
            threads: serving.threads,
            stacks: Stacks::of(processes),
            epoll: in_epoll(view, processes),
            event_loop: serving.event_loops.into_iter().next(),
            elsewhere: elsewhere(context, view, processes),
            busy: serving.weak.into_iter().take(LISTED).collect(),
            stray: nobody == Nobody::Stray,
            ownerless: serving.ownerless,
            confidence: Confidence::Probable,
        };
        let is_idle_told = serving.idle_in_futex == 0;
        found.confidence = found.how_sure(nobody == Nobody::OfSome, is_idle_told);
        found.elsewhere.truncate(LISTED);
        found
    }

    pub(super) fn pids(&self) -> BTreeSet<Pid> {
        self.processes.iter().map(|process| process.pid).collect()
    }

    /// Certain where each thread is seen to do something else for good. A pool of idle threads may
    /// hide one that has given up accepting until something happens.
    fn how_sure(&self, some_unseen: bool, is_idle_told: bool) -> Confidence {
        if self.stray {
            return Confidence::Probable;
        }
        let may_be_meant = self.epoll == InEpoll::Disarmed || self.event_loop.is_some();
        let may_be_there = !self.busy.is_empty() || self.ownerless > 0 || some_unseen;
        if may_be_meant || may_be_there {
            return Confidence::Possible;
        }
        let all_accept = self.elsewhere.iter().all(|other| other.via == Via::Accept);
        let is_proved = self.stacks.unread.is_none() && self.epoll == InEpoll::No;
        if is_proved && all_accept && is_idle_told {
            Confidence::Certain
        } else {
            Confidence::Probable
        }
    }
}

impl Stacks {
    fn of(processes: &[&Process]) -> Self {
        let mut stacks = Self { read: 0, unread: None };
        for thread in threads(processes).map(|(_, thread)| thread) {
            let sampled = thread.samples.get().is_some_and(|samples| !samples.stacks.is_empty());
            match &thread.stack {
                Reading::Missing(why) if !sampled => stacks.unread = Some(why.to_string()),
                Reading::Known(_) | Reading::Missing(_) => stacks.read += 1,
            }
        }
        stacks
    }
}

fn threads<'a>(processes: &[&'a Process]) -> impl Iterator<Item = (&'a Process, &'a Thread)> {
    processes.iter().flat_map(|&process| {
        let living = process.threads.get().into_iter().flatten().filter(|t| !is_gone(t));
        living.map(move |thread| (process, thread))
    })
}

/// Threads that wait for other listeners, those first that answer.
fn elsewhere(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    processes: &[&Process],
) -> Vec<ServesAnother> {
    let mut waiting: BTreeMap<Inode, Vec<(ThreadName, Via)>> = BTreeMap::new();
    for (process, thread) in threads(processes) {
        if let Some(wait) = thread.waits.get().and_then(|waits| waits.first()) {
            let threads = waiting.entry(wait.inode).or_default();
            threads.push((ThreadName::of(process, thread), wait.via));
        }
    }
    let others = context.listeners().iter().filter(|other| other.netns.id == view.netns.id);
    let served = others.filter_map(|other| Some((other, waiting.remove(&other.listener.inode)?)));
    let mut found: Vec<ServesAnother> = served
        .flat_map(|(other, threads)| {
            // What would tell more of it is asked for in its own turn.
            let state = queue::state(context, other, &mut Vec::new());
            let answers = matches!(state, QueueState::Quiet | QueueState::Taken);
            let endpoint = other.endpoint.key;
            let serves = move |(thread, via)| ServesAnother { thread, via, endpoint, answers };
            threads.into_iter().map(serves)
        })
        .collect();
    found.sort_by_key(|other| !other.answers);
    found
}

fn in_epoll(view: &ListenerView<'_>, processes: &[&Process]) -> InEpoll {
    let mut found = InEpoll::No;
    let sets = processes.iter().filter_map(|process| process.epoll.get()).flatten();
    for registration in sets.filter(|set| set.inode == view.listener.inode) {
        if registration.is_armed() {
            return InEpoll::Armed;
        }
        found = InEpoll::Disarmed;
    }
    found
}
