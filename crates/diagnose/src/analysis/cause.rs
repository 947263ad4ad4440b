//! Why nothing is accepted, as far as the processes that hold the listener tell.
//!
//! In this order: may they run at all, can they open one more descriptor, does a thread wait for
//! the listener, and if none does, what does the one do that should, or would it go on if it got a
//! CPU. A shared listener is served if
//! any of its holders serves it, so all are judged together.

use std::collections::BTreeSet;

use halfopen_evidence::{Activity, FdUse, Pid, Process, ProcessName, Reading, Via, Want};

use super::goroutines::{GoroutineElsewhere, GoroutineGone};
use super::holders::{self, Looked, is_no_server};
use super::nobody::{Nobody, NobodyWaits};
use super::queue::{self, QueueState};
use super::serving::{Doing, Serving, Suspect};
use super::starvation::{self, Hungry, Starved};
use super::stops::{self, Stopped};
use crate::{Confidence, Context, ListenerView};

/// Threads that a finding lists.
pub(super) const LISTED: usize = 5;

/// Why nothing is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StallCause {
    /// The processes are kept from running.
    Stopped(Stopped),
    /// The thread that serves the listener could go on and gets no CPU.
    Starved(Starved),
    /// They have no descriptors left.
    OutOfFds(Vec<(ProcessName, FdUse)>),
    /// The thread that serves the listener does something else.
    Blocked(Blocked),
    /// The goroutine that serves the listener does something else.
    Goroutine(Box<GoroutineElsewhere>),
    /// The goroutine that should accept has ended.
    GoroutineGone(Box<GoroutineGone>),
    /// No thread waits for the listener, and none is seen that should.
    NobodyWaits(NobodyWaits),
    /// Not established.
    Unknown(Unknown),
}

/// The thread that serves the listener does something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// It, or those that it may be, the likeliest first; at most five.
    pub suspects: Vec<Suspect>,
    /// Suspects left out.
    pub more: usize,
    /// How it was told.
    pub basis: Basis,
    /// How sure that is.
    pub confidence: Confidence,
}

/// How the thread that serves a listener was told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The process has no other.
    OnlyThread,
    /// It was seen waiting for the listener before.
    SeenWaiting,
    /// The listener is in its process's epoll set, and the event loop must be its.
    EventLoop,
    /// Several processes have one thread each that may be it, and all of these do something else.
    EachProcess,
    /// A function of the program that it is in says so.
    Code,
    /// Its name says so.
    Name,
    /// No other thread sits in a call that idle threads do not sit in.
    OnlySuspect,
    /// All suspects wait for the same thread in the end.
    SameRoot,
    /// It was not told: any of them may be it.
    Several,
    /// It was not told: another listener of the process stalls as well, and the thread may be that
    /// one's while this one's has ended.
    MaybeOfAnother,
}

/// Why the cause is not established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// No process is known to hold the listener.
    NoHolder {
        /// Why.
        why: String,
    },
    /// What the holders do could not be read.
    Unseen {
        /// What could not be, and why.
        why: String,
    },
    /// A thread waits for the listener, edge triggered: it was told of the connections when they
    /// came and is not told again.
    EdgeTriggered(Doing),
    /// A thread waits for the listener and should have been woken: it is about to run.
    AboutToWake(Doing),
}

/// Finds the cause for one listener, and asks for what would tell more.
pub(super) fn find(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    wants: &mut Vec<Want>,
) -> StallCause {
    let cause = judge(context, view, wants);
    let suspects = match &cause {
        StallCause::Blocked(blocked) => blocked.processes(),
        StallCause::NobodyWaits(nobody) => nobody.pids(),
        StallCause::Starved(starved) => starved.processes(),
        StallCause::Unknown(Unknown::EdgeTriggered(doing)) => BTreeSet::from([doing.thread.pid]),
        StallCause::Stopped(_)
        | StallCause::OutOfFds(_)
        | StallCause::Goroutine(_)
        | StallCause::GoroutineGone(_)
        | StallCause::Unknown(_) => BTreeSet::new(),
    };
    wants.extend(stacks_of(context, suspects));
    cause
}

/// Asks for the stacks of those processes of which nobody has asked for them yet.
pub(super) fn stacks_of(
    context: &Context<'_>,
    pids: impl IntoIterator<Item = Pid>,
) -> impl Iterator<Item = Want> {
    let lacks_stacks = |pid: &Pid| {
        let process = context.latest().processes.get(pid);
        let mut threads = process.and_then(|process| process.threads.get()).into_iter().flatten();
        threads.any(|thread| thread.stack.is_not_collected())
    };
    pids.into_iter().filter(lacks_stacks).map(|pid| Want::Stacks { pid })
}

fn judge(context: &Context<'_>, view: &ListenerView<'_>, wants: &mut Vec<Want>) -> StallCause {
    let holders = match holders::known(context, view, wants) {
        Ok(holders) => holders,
        Err(unknown) => return StallCause::Unknown(unknown),
    };
    let Looked { processes, unseen, maybe_others } = holders::look_at(context, holders, wants);
    let processes = holders::servers(context, view, &processes);
    let stopped = stops::stopped(context, view, &processes, maybe_others);
    if let (Some(stopped), None) = (&stopped, &unseen)
        && stopped.others_rest
    {
        return StallCause::Stopped(stopped.clone());
    }
    let awake = holders::candidates(context, view, &processes);
    let serving = Serving::of(context, view, &awake);
    let not_all = maybe_others || stopped.is_some();
    let most = if not_all { Confidence::Probable } else { Confidence::Certain };
    if let Some(exhausted) = out_of_fds(&awake) {
        return StallCause::OutOfFds(exhausted);
    }
    if let Some(waiting) = waiting(&serving) {
        let goroutine = goroutine(view, &waiting, &awake, maybe_others);
        return goroutine.unwrap_or(StallCause::Unknown(waiting));
    }
    let elsewhere = |blocked: Blocked| match starving(context, &blocked, most) {
        Some(starved) => StallCause::Starved(starved),
        None => StallCause::Blocked(blocked.at_most(most)),
    };
    if let Some(blocked) = seen_elsewhere(&serving) {
        return elsewhere(blocked);
    }
    if let Some(why) = unseen.or_else(|| unreadable(&serving)) {
        return StallCause::Unknown(Unknown::Unseen { why });
    }
    if is_stray(&awake) {
        return StallCause::NobodyWaits(NobodyWaits::of(
            context,
            view,
            &awake,
            serving,
            Nobody::Stray,
        ));
    }
    let nobody = if maybe_others { Nobody::OfSome } else { Nobody::OfAll };
    let alone = serving.strong.is_empty() || !another_stalls(context, view, &awake);
    match (suspects(&serving, alone), stopped) {
        (Some(blocked), _) => elsewhere(blocked),
        (None, Some(stopped)) => StallCause::Stopped(stopped),
        (None, None) => match starving_among_busy(context, &serving.weak) {
            Some(starved) => StallCause::Starved(starved),
            None => {
                let nobody = NobodyWaits::of(context, view, &awake, serving, nobody);
                StallCause::NobodyWaits(nobody)
            }
        },
    }
}

/// The suspects, if it is no call that keeps them: all of them could run, or one of those that were
/// seen waiting for the listener.
fn starving(context: &Context<'_>, blocked: &Blocked, most: Confidence) -> Option<Starved> {
    let hungry = hungry(&blocked.suspects);
    let is_any_enough = blocked.basis == Basis::SeenWaiting;
    let enough = is_any_enough || hungry.len() == blocked.suspects.len();
    enough.then(|| starvation::starved(context, hungry, most)).flatten()
}

/// Of threads that are busy with something, one may be the one that should accept.
fn starving_among_busy(context: &Context<'_>, busy: &[Suspect]) -> Option<Starved> {
    let hungry = hungry(busy);
    let all = hungry.len() == busy.len();
    let most = if all { Confidence::Probable } else { Confidence::Possible };
    starvation::starved(context, hungry, most)
}

fn hungry(suspects: &[Suspect]) -> Vec<Hungry> {
    let hungry =
        |suspect: &Suspect| Some(Hungry { doing: suspect.doing.clone(), hunger: suspect.hunger? });
    suspects.iter().filter_map(hungry).collect()
}

/// The processes that have no descriptors left, if no other is there to accept.
fn out_of_fds(processes: &[&Process]) -> Option<Vec<(ProcessName, FdUse)>> {
    let exhausted: Vec<(ProcessName, FdUse)> = processes
        .iter()
        .filter_map(|process| {
            let fds = process.fds.get()?;
            (fds.is_exhausted() || is_system_exhausted(fds))
                .then(|| (ProcessName::of_process(process), fds.clone()))
        })
        .collect();
    let others_may = processes.iter().any(|process| {
        let in_need = exhausted.iter().any(|(name, _)| name.pid == process.pid);
        !in_need && !is_no_server(process)
    });
    (!exhausted.is_empty() && !others_may).then_some(exhausted)
}

/// Whether the whole system has no files left (`fs.file-max`).
pub(crate) fn is_system_exhausted(fds: &FdUse) -> bool {
    let system = fds.system_open.clone().zip(fds.system_limit.clone());
    system.known().is_some_and(|(open, limit)| open >= limit)
}

fn waiting(serving: &Serving) -> Option<Unknown> {
    let edge = |via: &Via| *via == Via::EpollEdge;
    let level = serving.waiting.iter().find(|(_, via)| !edge(via));
    let (doing, via) = level.or_else(|| serving.waiting.first())?;
    Some(if edge(via) {
        Unknown::EdgeTriggered(doing.clone())
    } else {
        Unknown::AboutToWake(doing.clone())
    })
}

/// The goroutine of a Go program that should accept, where its runtime's thread waits for it; or that it is
/// gone, if no other process may accept.
fn goroutine(
    view: &ListenerView<'_>,
    waiting: &Unknown,
    processes: &[&Process],
    maybe_others: bool,
) -> Option<StallCause> {
    let Unknown::EdgeTriggered(doing) = waiting else { return None };
    let process = processes.iter().find(|process| process.pid == doing.thread.pid)?;
    let elsewhere = GoroutineElsewhere::find(view, process);
    let elsewhere = elsewhere.map(|elsewhere| StallCause::Goroutine(Box::new(elsewhere)));
    elsewhere.or_else(|| {
        let is_alone = !maybe_others && processes.len() == 1;
        let gone = is_alone.then(|| GoroutineGone::find(view, process))??;
        Some(StallCause::GoroutineGone(Box::new(gone)))
    })
}

/// Threads that waited for the listener before and sit elsewhere now.
fn seen_elsewhere(serving: &Serving) -> Option<Blocked> {
    // With an edge-triggered set any thread of a pool may have waited for all.
    let by_edge = serving.waited.iter().all(|(_, via)| *via == Via::EpollEdge);
    let suspects: Vec<&Suspect> = serving.waited.iter().map(|(suspect, _)| suspect).collect();
    let confidence = match suspects.as_slice() {
        [] => return None,
        // One that waits for work may be an idle worker that took its turn at the listener.
        [suspect] if serving.only_one || !(by_edge || suspect.is_ownerless()) => {
            Confidence::Certain
        }
        _ => Confidence::Probable,
    };
    Some(blocked(&suspects, Basis::SeenWaiting, confidence))
}

fn unreadable(serving: &Serving) -> Option<String> {
    let why = serving.unreadable.first()?;
    Some(format!("what its threads wait for is {why}"))
}

fn is_stray(processes: &[&Process]) -> bool {
    !processes.is_empty() && processes.iter().all(|process| is_no_server(process))
}

/// The threads that may be the one which should accept.
///
/// Neither its name nor its call ties a thread to a listener if others of its process stall too.
fn suspects(serving: &Serving, alone: bool) -> Option<Blocked> {
    let all: Vec<&Suspect> = serving.strong.iter().collect();
    let loops: Vec<&Suspect> = serving.loops.iter().collect();
    if !loops.is_empty() && (!serving.only_one || all.is_empty()) {
        return Some(blocked(&loops, Basis::EventLoop, Confidence::Probable));
    }
    let first = *all.first()?;
    if serving.only_one {
        let runs = first.doing.activity == Reading::Known(Activity::Running);
        let confidence = if runs { Confidence::Probable } else { Confidence::Certain };
        return Some(blocked(&all, Basis::OnlyThread, confidence));
    }
    if serving.is_one_per_process() {
        return Some(blocked(&all, Basis::EachProcess, Confidence::Probable));
    }
    if !alone {
        let basis = if all.len() == 1 { Basis::MaybeOfAnother } else { Basis::Several };
        return Some(blocked(&all, basis, Confidence::Possible));
    }
    let the_one = |is_it: fn(&Suspect) -> bool| {
        let mut such = all.iter().filter(|suspect| is_it(suspect));
        such.next().filter(|_| such.next().is_none()).copied()
    };
    if let Some(acceptor) = the_one(|suspect| suspect.in_accepting_code) {
        return Some(blocked(&[acceptor], Basis::Code, Confidence::Probable));
    }
    if let Some(acceptor) = the_one(Suspect::is_named_acceptor) {
        return Some(blocked(&[acceptor], Basis::Name, Confidence::Probable));
    }
    Some(if all.len() == 1 {
        blocked(&all, Basis::OnlySuspect, Confidence::Probable)
    } else if all.iter().all(|suspect| suspect.root() == first.root()) {
        blocked(&all, Basis::SameRoot, Confidence::Probable)
    } else {
        blocked(&all, Basis::Several, Confidence::Possible)
    })
}

/// Whether another listener that these processes hold stands as well: at another port, since
/// listeners of the same port are most often one service.
fn another_stalls(context: &Context<'_>, view: &ListenerView<'_>, processes: &[&Process]) -> bool {
    let is_of_these = |other: &&ListenerView<'_>| {
        other.netns.id == view.netns.id
            && other.listener.depth > 0
            && other.endpoint.key.local.port() != view.endpoint.key.local.port()
            && other.listener.holders.get().is_some_and(|holders| {
                let held_by = |pid| holders.found.iter().any(|holder| holder.pid == pid);
                processes.iter().any(|process| held_by(process.pid))
            })
    };
    context.listeners().iter().filter(is_of_these).any(|other| {
        // What would tell more of it is asked for in its own turn.
        matches!(queue::state(context, other, &mut Vec::new()), QueueState::Stands(_))
    })
}

impl Blocked {
    fn processes(&self) -> BTreeSet<Pid> {
        self.suspects.iter().map(|suspect| suspect.doing.thread.pid).collect()
    }

    fn at_most(mut self, most: Confidence) -> Self {
        self.confidence = self.confidence.min(most);
        self
    }
}

fn blocked(suspects: &[&Suspect], basis: Basis, confidence: Confidence) -> Blocked {
    Blocked {
        suspects: suspects.iter().take(LISTED).map(|&suspect| suspect.clone()).collect(),
        more: suspects.len().saturating_sub(LISTED),
        basis,
        confidence,
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{CallTarget, Endpoint, Pid};

    use super::*;
    use crate::analysis::accepting::Accepting;
    use crate::analysis::holders::PROCESSES;
    use crate::fixture::{
        Scene, blocked as sits, endpoint, held, in_epoll, inode, listener, process, thread,
        waiting_for,
    };

    fn cause(scene: Scene) -> StallCause {
        let evidence = scene.evidence();
        let context = Context::new(&evidence);
        match context.accepting(&context.listeners()[0]) {
            Accepting::Stalled(stalled) => stalled.cause.clone(),
            other => panic!("{other:?} is no stall"),
        }
    }

    fn shared(pids: &[u32]) -> Endpoint {
        endpoint("0.0.0.0:8080", [held(listener(1, 6, 5), pids)])
    }

    fn sleeper(pid: u32) -> Process {
        let sleeps = sits("clock_nanosleep", CallTarget::Time);
        process(pid, [thread(pid, "worker", sleeps)])
    }

    #[test]
    fn one_holder_that_waits_serves_for_all() {
        let polls = waiting_for(thread(11, "worker", in_epoll()), inode(1), Via::EpollEdge);
        let scene = Scene::window()
            .endpoint(shared(&[10, 11]))
            .process(sleeper(10))
            .process(process(11, [polls]));
        assert!(matches!(cause(scene), StallCause::Unknown(Unknown::EdgeTriggered(_))));
    }

    #[test]
    fn what_is_true_of_those_that_were_looked_at_is_less_sure_of_all() {
        let pids: Vec<u32> = (100..140).collect();
        let many = pids.iter().fold(Scene::window().endpoint(shared(&pids)), |scene, &pid| {
            scene.process(sleeper(pid))
        });
        assert_eq!(many.clone().diagnose().wants.len(), 0);
        let StallCause::Blocked(blocked) = cause(many) else { panic!("nobody is blocked") };
        assert_eq!(
            (blocked.suspects.len() + blocked.more, blocked.basis),
            (PROCESSES, Basis::EachProcess)
        );
        assert_eq!(blocked.confidence, Confidence::Probable);
    }

    #[test]
    fn a_process_with_a_reused_pid_is_not_the_holder() {
        let other = Process { start_ticks: 99, ..sleeper(10) };
        let scene = Scene::window().endpoint(shared(&[10])).process(other);
        assert!(matches!(cause(scene), StallCause::Unknown(Unknown::Unseen { .. })));
    }

    #[test]
    fn only_what_was_not_asked_for_is_wanted() {
        let mut process = sleeper(10);
        process.threads = Reading::not_collected();
        let scene = Scene::window().endpoint(shared(&[10])).process(process);
        let wants: Vec<Want> = scene.diagnose().wants.into_iter().collect();
        assert_eq!(wants, [Want::Process { pid: Pid(10) }]);
    }
}
