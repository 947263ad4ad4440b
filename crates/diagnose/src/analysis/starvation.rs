//! Threads that could run and get no CPU: their control group has used up its quota, or others have
//! the CPUs.
//!
//! Such a thread is in no system call that would tell (`running`, state R), and a profiler finds it
//! nowhere. What tells is its own account: how long it ran and how long it waited for a CPU, and the
//! account of the quota.

use std::collections::BTreeSet;

use halfopen_evidence::{
    Activity, CpuQuota, Pid, Process, Reading, Samples, SchedStat, Thread, Want,
};

use super::cause::stacks_of;
use super::holders::{self, Looked};
use super::serving::{Doing, is_gone, waited_before};
use crate::words::{count, duration, harmless};
use crate::{Confidence, Context, Fact, ListenerView};

/// Threads that a finding lists.
const LISTED: usize = 5;

/// A thread that waits for a CPU for less than this part of the window has other troubles.
const PART_OF_WINDOW: u64 = 4;

/// The longest period of a quota (`kernel/sched/core.c max_cfs_quota_period`): a thread that got no CPU
/// for longer does not merely wait for the next one.
const LONGEST_PERIOD_MS: u64 = 1000;

/// How a thread got less than half of the CPU time that it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hunger {
    /// Milliseconds that it was watched for.
    pub window_ms: u64,
    /// Milliseconds on a CPU.
    pub ran_ms: u64,
    /// Milliseconds runnable without one; the whole window if it never ran.
    pub waited_ms: u64,
}

/// A thread that gets too little CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hungry {
    /// Which, and where in the program it is when it runs.
    pub doing: Doing,
    /// How little.
    pub hunger: Hunger,
}

/// Threads that should accept and get no CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starved {
    /// They; at most five.
    pub threads: Vec<Hungry>,
    /// The quotas that ran out in most of their periods, with what they did over the window. Empty if
    /// others have the CPUs.
    pub quotas: Vec<CpuQuota>,
    /// How sure it is that this is the cause.
    pub confidence: Confidence,
}

impl Starved {
    pub(crate) fn processes(&self) -> BTreeSet<Pid> {
        self.threads.iter().map(|hungry| hungry.doing.thread.pid).collect()
    }
}

/// How hungry a thread was over the window, or, where that is not known, while it was sampled; none if
/// it got what it asked for, or if neither is known.
pub(super) fn hunger(context: &Context<'_>, process: &Process, thread: &Thread) -> Option<Hunger> {
    let interval = context.interval();
    match interval.and_then(|interval| interval.scheduled(process, thread).known()) {
        Some(account) => over_the_window(context, process, thread, account),
        None => thread.samples.get().and_then(while_sampled),
    }
}

fn over_the_window(
    context: &Context<'_>,
    process: &Process,
    thread: &Thread,
    account: SchedStat,
) -> Option<Hunger> {
    let window_ms = context.interval()?.elapsed_ms();
    // A wait is added to the account only when it ends.
    if !account.ran() && runs(thread) && ran_before(context, process, thread) {
        return Some(Hunger { window_ms, ran_ms: 0, waited_ms: window_ms });
    }
    let (ran_ms, waited_ms) = (account.cpu_ns / 1_000_000, account.wait_ns / 1_000_000);
    let long = waited_ms.saturating_mul(PART_OF_WINDOW) >= window_ms;
    let hunger = Hunger { window_ms, ran_ms, waited_ms };
    (window_ms > 0 && long && waited_ms > ran_ms).then_some(hunger)
}

fn while_sampled(samples: &Samples) -> Option<Hunger> {
    let window_ms = samples.window_us / 1000;
    let hunger = Hunger { window_ms, ran_ms: 0, waited_ms: window_ms };
    samples.got_no_cpu().then_some(hunger)
}

fn runs(thread: &Thread) -> bool {
    thread.activity == Reading::Known(Activity::Running)
}

/// Whether it was runnable at the first look too.
fn ran_before(context: &Context<'_>, process: &Process, thread: &Thread) -> bool {
    let before = context.interval().map(|interval| interval.earlier_process(process));
    let before = before.and_then(Reading::known).and_then(|process| process.threads.get());
    before.is_some_and(|threads| threads.iter().any(|t| t.tid == thread.tid && runs(t)))
}

/// The threads of one process among these, if there are any, as a cause.
pub(super) fn starved(
    context: &Context<'_>,
    threads: Vec<Hungry>,
    most: Confidence,
) -> Option<Starved> {
    let Hungry { doing, hunger } = threads.first()?;
    let process = context.latest().processes.get(&doing.thread.pid)?;
    // One that ran may have needed it for something that has nothing to do with accepting.
    let for_good = hunger.ran_ms == 0 && hunger.window_ms > LONGEST_PERIOD_MS;
    let sure = if for_good { Confidence::Certain } else { Confidence::Probable };
    Some(Starved {
        quotas: exhausted(context, process),
        confidence: sure.min(most),
        threads: threads.into_iter().take(LISTED).collect(),
    })
}

/// The quotas that ran out in most of the periods.
fn exhausted(context: &Context<'_>, process: &Process) -> Vec<CpuQuota> {
    let mut quotas = throttled_by(context, process);
    quotas.retain(|quota| {
        quota.throttling.throttled_periods.saturating_mul(2) >= quota.throttling.periods
    });
    quotas
}

/// The quotas that ran out: in the window, or ever if there was but one look.
fn throttled_by(context: &Context<'_>, process: &Process) -> Vec<CpuQuota> {
    let quotas = match context.interval() {
        Some(interval) => interval.throttled(process).known(),
        None => process.cgroup.get().and_then(|cgroup| cgroup.cpu_quotas.get().cloned()),
    };
    let mut quotas = quotas.unwrap_or_default();
    quotas.retain(|quota| quota.throttling.throttled_periods > 0);
    quotas
}

/// What quotas did to a process over the window, a fact for each that ran out.
pub(crate) fn throttled(context: &Context<'_>, process: &Process) -> Vec<Fact> {
    throttled_by(context, process).iter().map(|quota| quota_fact(context, quota)).collect()
}

/// A quota that ran out, as evidence.
pub(crate) fn quota_fact(context: &Context<'_>, quota: &CpuQuota) -> Fact {
    let periods = quota.throttling.throttled_periods;
    let text = format!(
        "control group {} ran out of its CPU quota ({}) in {} of {}{}",
        harmless(&quota.group),
        quota_words(quota),
        periods,
        count(quota.throttling.periods, "period"),
        if context.interval().is_none() { " since it was made" } else { "" }
    );
    Fact::number("throttled-periods", periods, text)
}

/// A quota as people set it.
pub(crate) fn quota_words(quota: &CpuQuota) -> String {
    let milliseconds = |us: u64| {
        if us.is_multiple_of(1000) { format!("{} ms", us / 1000) } else { format!("{us} µs") }
    };
    format!("{} per {}", milliseconds(quota.quota_us), milliseconds(quota.period_us))
}

/// What a hungry thread got, as a clause after its name.
pub(crate) fn hunger_words(hunger: Hunger) -> String {
    let window = duration(hunger.window_ms);
    if hunger.ran_ms == 0 && hunger.waited_ms >= hunger.window_ms {
        return format!("waits for a CPU and got none in {window}");
    }
    let (ran, waited) = (hunger.ran_ms, duration(hunger.waited_ms));
    format!("wants to run and got {ran} ms of CPU in {window}; it waited for one for {waited}")
}

/// Whether those that serve a listener are starved, while it accepts: the threads that were seen
/// waiting for it, or, if none was, any of its processes'.
pub(crate) fn of_servers(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    most: Confidence,
) -> Option<Starved> {
    let processes = servers(context, view, &mut Vec::new());
    let threads = processes.iter().flat_map(|process| {
        let threads = process.threads.get().into_iter().flatten();
        threads.filter(|thread| !is_gone(thread)).map(move |thread| (*process, thread))
    });
    let mut threads: Vec<(&Process, &Thread)> = threads.collect();
    let serves = |&(process, thread): &(&Process, &Thread)| {
        let inode = view.listener.inode;
        let now = thread.waits.get().into_iter().flatten().any(|wait| wait.inode == inode);
        now || waited_before(context, process, thread.tid, inode).is_some()
    };
    if threads.iter().any(serves) {
        threads.retain(serves);
    }
    let hungry = threads.into_iter().filter_map(|(process, thread)| {
        let hunger = hunger(context, process, thread)?;
        Some(Hungry { doing: Doing::of(process, thread), hunger })
    });
    starved(context, hungry.collect(), most)
}

/// What would tell whether they are.
pub(crate) fn wants(context: &Context<'_>, view: &ListenerView<'_>) -> Vec<Want> {
    let mut wants = Vec::new();
    servers(context, view, &mut wants);
    wants
}

/// What would tell where they spend the CPU time that they get.
pub(crate) fn samples_wanted(context: &Context<'_>, starved: &Starved) -> Vec<Want> {
    stacks_of(context, starved.processes()).collect()
}

/// Why it is not known whether they are, although a quota has run out at some time.
pub(crate) fn unknown(context: &Context<'_>, view: &ListenerView<'_>) -> Option<String> {
    let interval = context.interval()?;
    let processes = servers(context, view, &mut Vec::new());
    let process = processes.into_iter().find(|process| {
        let quotas = process.cgroup.get().and_then(|cgroup| cgroup.cpu_quotas.get());
        quotas.into_iter().flatten().any(|quota| quota.throttling.throttled_periods > 0)
    })?;
    let first = process.threads.get().and_then(|threads| threads.first())?;
    let why = match interval.scheduled(process, first) {
        Reading::Known(_) => return None,
        Reading::Missing(why) => why,
    };
    Some(format!(
        "its control group has a CPU quota, and how long its threads waited for a CPU over the \
         window is {why}"
    ))
}

fn servers<'a>(
    context: &Context<'a>,
    view: &ListenerView<'a>,
    wants: &mut Vec<Want>,
) -> Vec<&'a Process> {
    let Ok(known) = holders::known(context, view, wants) else { return Vec::new() };
    let Looked { processes, .. } = holders::look_at(context, known, wants);
    holders::servers(context, view, &processes)
}
