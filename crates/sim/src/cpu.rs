//! CPU time: threads that compute, and control groups with a quota for it.
//!
//! There are as many CPUs as there are threads that compute, so only a quota keeps one waiting. It is
//! the kernel's (kernel/sched/fair.c): a group uses up its quota, is throttled as a whole until the
//! period ends, and gets a new quota then. What the model leaves out: the slices in which a CPU takes
//! its share of the quota, by which a real group can overdraw or leave some of it unused.

use halfopen_evidence::{CpuQuota, Throttling};
use halfopen_model::{Span, Time};

use crate::programs::Doing;
use crate::world::{Happening, World};

/// A control group with a CPU quota.
#[derive(Debug)]
pub(crate) struct CpuGroup {
    path: String,
    quota: u64,
    period: u64,
    /// What is left of the quota in this period, in microseconds.
    left: u64,
    /// When this period ends; never while nobody computes.
    ends: Time,
    throttled: bool,
    throttling: Throttling,
    /// Threads that compute, and for how many microseconds more.
    computing: Vec<(u32, u64)>,
    /// Up to when it is accounted for.
    settled: Time,
    /// When something happens next.
    due: Time,
}

impl CpuGroup {
    pub(crate) fn new(process: &str, quota: Span, period: Span) -> Self {
        Self {
            path: format!("/{process}"),
            quota: quota.as_micros(),
            period: period.as_micros(),
            left: quota.as_micros(),
            ends: Time::NEVER,
            throttled: false,
            throttling: Throttling::default(),
            computing: Vec::new(),
            settled: Time::ZERO,
            due: Time::NEVER,
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) const fn is_throttled(&self) -> bool {
        self.throttled
    }

    /// What a collector reads of it.
    pub(crate) fn figures(&self) -> CpuQuota {
        CpuQuota {
            group: self.path.clone(),
            quota_us: self.quota,
            period_us: self.period,
            throttling: self.throttling,
        }
    }

    pub(crate) fn forget(&mut self, thread: u32) {
        self.computing.retain(|&(computing, _)| computing != thread);
    }

    fn begin_period(&mut self, now: Time) {
        self.left = self.quota;
        self.ends = now + Span::from_micros(self.period);
    }

    /// The quota is used by all threads at once.
    fn until_next(&self, now: Time) -> Span {
        let threads = (self.computing.len() as u64).max(1);
        let quota_lasts = self.left.div_ceil(threads);
        let first_done = self.computing.iter().map(|&(_, left)| left).min().unwrap_or(u64::MAX);
        let of_period = self.ends.since(now).as_micros();
        let runs = if self.throttled { u64::MAX } else { quota_lasts.min(first_done) };
        Span::from_micros(of_period.min(runs))
    }
}

impl World {
    /// A thread begins to compute for so long.
    pub(crate) fn compute(&mut self, number: u32, work: Span) {
        self.set_doing(number, Doing::Computing);
        let Some(group) = self.group_of(number) else {
            self.schedule.put_once(self.now, work, Happening::Thread(number));
            return;
        };
        self.settle_group(group);
        let now = self.now;
        let all = &mut self.programs.groups[group];
        all.computing.push((number, work.as_micros()));
        if all.ends == Time::NEVER {
            all.begin_period(now);
        }
        self.expect_group(group);
    }

    /// A thread has computed what it had to. Within a group, that is accounted for already.
    pub(crate) fn end_computing(&mut self, number: u32) {
        let so_far = self.cpu_time(number);
        self.programs.threads[number as usize].cpu = so_far;
    }

    /// How long a thread has computed up to now.
    pub(crate) fn cpu_time(&self, number: u32) -> Span {
        let thread = &self.programs.threads[number as usize];
        let unaccounted = thread.doing == Doing::Computing && self.group_of(number).is_none();
        if unaccounted { thread.cpu + self.now.since(thread.since) } else { thread.cpu }
    }

    /// Something is due in a group: its period ends, its quota is used up, or a thread is done.
    pub(crate) fn group_goes_on(&mut self, group: usize) {
        if self.programs.groups[group].due != self.now {
            return;
        }
        self.settle_group(group);
        let now = self.now;
        let all = &mut self.programs.groups[group];
        let mut released = false;
        if now >= all.ends {
            all.throttling.periods += 1;
            all.throttling.throttled_periods += u64::from(all.throttled);
            released = std::mem::take(&mut all.throttled);
            all.begin_period(now);
        }
        let done: Vec<u32> =
            all.computing.extract_if(.., |(_, left)| *left == 0).map(|(n, _)| n).collect();
        all.throttled = all.left == 0 && !all.computing.is_empty();
        if all.computing.is_empty() && done.is_empty() {
            // An idle group's timer is stopped.
            all.ends = Time::NEVER;
        }
        self.expect_group(group);
        done.into_iter().for_each(|thread| self.thread_goes_on(thread));
        if released {
            self.release(group);
        }
    }

    /// Threads that were woken while their group was throttled do now what they were woken for.
    fn release(&mut self, group: usize) {
        for number in 0..u32::try_from(self.programs.threads.len()).unwrap_or(u32::MAX) {
            if self.group_of(number) == Some(group) {
                self.thread_catches_up(number);
            }
        }
    }

    /// Accounts for the time since the last account of each group.
    pub(crate) fn settle_groups(&mut self) {
        (0..self.programs.groups.len()).for_each(|group| self.settle_group(group));
    }

    fn settle_group(&mut self, group: usize) {
        let now = self.now;
        let programs = &mut self.programs;
        let all = &mut programs.groups[group];
        let passed = now.since(all.settled);
        all.settled = now;
        if all.throttled {
            all.throttling.throttled_us += passed.as_micros();
        }
        for (thread, left) in &mut all.computing {
            let thread = &mut programs.threads[*thread as usize];
            if all.throttled {
                thread.cpu_wait = thread.cpu_wait + passed;
            } else {
                *left = left.saturating_sub(passed.as_micros());
                all.left = all.left.saturating_sub(passed.as_micros());
                thread.cpu = thread.cpu + passed;
            }
        }
    }

    fn expect_group(&mut self, group: usize) {
        let now = self.now;
        let all = &mut self.programs.groups[group];
        if all.ends == Time::NEVER {
            all.due = Time::NEVER;
            return;
        }
        let next = all.until_next(now);
        all.due = now + next;
        self.schedule.put_once(now, next, Happening::Group(group));
    }

    pub(crate) fn group_of(&self, thread: u32) -> Option<usize> {
        let process = self.programs.threads[thread as usize].process;
        self.programs.processes[process as usize].group
    }

    /// Whether a thread cannot run now, whatever it is woken for.
    pub(crate) fn is_throttled(&self, thread: u32) -> bool {
        self.group_of(thread).is_some_and(|group| self.programs.groups[group].is_throttled())
    }
}
