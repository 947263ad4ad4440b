//! Two looks at a host, what was sampled in between, and what changed.

use halfopen_model::Counter;
use serde::{Deserialize, Serialize};

use crate::{
    Activity, Cookie, CpuQuota, Endpoint, EndpointKey, Listener, Missing, Netns, NetnsId, Pid,
    Process, Reading, SchedStat, Snapshot, Thread, Tid,
};

/// What a diagnosis is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// One look. Says what is, not what is going on.
    Look(Box<Snapshot>),
    /// Two looks.
    Window(Box<Interval>),
}

/// Two looks at one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The earlier look.
    pub first: Snapshot,
    /// What was sampled in between.
    pub between: Between,
    /// The later look.
    pub second: Snapshot,
}

/// Cheap samples between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Between {
    /// Accept queues of listeners that were not empty at every sample, by namespace and cookie.
    pub queues: Vec<QueueTrack>,
    /// Threads of suspect processes, by pid and tid.
    pub threads: Vec<ThreadTrack>,
}

/// How one accept queue went up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueTrack {
    /// Namespace of the listener.
    pub netns: NetnsId,
    /// The listener.
    pub cookie: Cookie,
    /// Samples taken, the two looks left out.
    pub samples: u32,
    /// Samples that found it full.
    pub full: u32,
    /// The shortest it was.
    pub min: u32,
    /// The longest it was.
    pub max: u32,
    /// How often it was shorter than at the sample before: connections were taken from it.
    pub falls: u32,
}

/// Where one thread was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadTrack {
    /// Its process.
    pub pid: Pid,
    /// The thread.
    pub tid: Tid,
    /// What it did, most often seen first.
    pub seen: Vec<Sighting>,
}

/// Something that a thread was seen doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// What.
    pub activity: Activity,
    /// Listening sockets that it waited for meanwhile.
    pub waits: Vec<crate::WaitedSocket>,
    /// In how many samples.
    pub times: u32,
}

impl Evidence {
    /// The latest look.
    #[must_use]
    pub const fn latest(&self) -> &Snapshot {
        match self {
            Self::Look(look) => look,
            Self::Window(interval) => &interval.second,
        }
    }

    /// The latest look, to add to it.
    #[must_use]
    pub const fn latest_mut(&mut self) -> &mut Snapshot {
        match self {
            Self::Look(look) => look,
            Self::Window(interval) => &mut interval.second,
        }
    }

    /// The two looks, if there are two.
    #[must_use]
    pub const fn interval(&self) -> Option<&Interval> {
        match self {
            Self::Look(_) => None,
            Self::Window(interval) => Some(interval),
        }
    }
}

impl Interval {
    /// Milliseconds between the two looks.
    #[must_use]
    pub const fn elapsed_ms(&self) -> u64 {
        self.second.taken.uptime_ms.saturating_sub(self.first.taken.uptime_ms)
    }

    /// By how much a counter of a namespace rose.
    pub fn rise(&self, netns: NetnsId, counter: Counter) -> Reading<u64> {
        let (Some(before), Some(after)) = (self.first.netns(netns), self.second.netns(netns))
        else {
            return Missing::Vanished.into();
        };
        match before.counters.as_ref().zip(after.counters.as_ref()) {
            Reading::Known((before, after)) => after.since(before, counter),
            Reading::Missing(why) => why.into(),
        }
    }

    /// The same listener at the first look; `None` if it came since.
    #[must_use]
    pub fn earlier_listener(
        &self,
        netns: NetnsId,
        key: EndpointKey,
        cookie: Cookie,
    ) -> Option<&Listener> {
        let listeners = &self.earlier_endpoint(netns, key)?.listeners;
        let at = listeners.binary_search_by_key(&cookie, |listener| listener.cookie).ok()?;
        listeners.get(at)
    }

    /// The same endpoint at the first look.
    #[must_use]
    pub fn earlier_endpoint(&self, netns: NetnsId, key: EndpointKey) -> Option<&Endpoint> {
        let endpoints = self.first.netns(netns)?.endpoints.get()?;
        let at = endpoints.binary_search_by_key(&key, |endpoint| endpoint.key).ok()?;
        endpoints.get(at)
    }

    /// Connections that a namespace's processes accepted between the looks: those that were made
    /// (PassiveOpens) less those by which the accept queues grew.
    ///
    /// Exact while no listener with waiting connections was closed.
    pub fn accepted(&self, netns: NetnsId) -> Reading<u64> {
        let depth = |netns: &Netns| -> Reading<u64> {
            netns
                .endpoints
                .as_ref()
                .map(|all| all.iter().map(Endpoint::depth).fold(0, u64::saturating_add))
        };
        let (Some(before), Some(after)) = (self.first.netns(netns), self.second.netns(netns))
        else {
            return Missing::Vanished.into();
        };
        self.rise(netns, Counter::PassiveOpens)
            .zip(depth(before).zip(depth(after)))
            .map(|(made, (before, after))| made.saturating_add(before).saturating_sub(after))
    }

    /// Of the connections that waited at this endpoint at the first look, how many no longer wait,
    /// and how many were looked at. A queue is first in, first out: if none left, none was accepted.
    pub fn left_the_queue(&self, netns: NetnsId, endpoint: &Endpoint) -> Option<(u32, u32)> {
        let before = &self.earlier_endpoint(netns, endpoint.key)?.never_accepted;
        let after = &endpoint.never_accepted;
        if after.omitted > 0 {
            return None;
        }
        let still = |cookie| after.waiting.binary_search_by_key(&cookie, |w| w.cookie).is_ok();
        let left = before.waiting.iter().filter(|waiting| !still(waiting.cookie)).count();
        let looked_at = before.waiting.len();
        Some((u32::try_from(left).ok()?, u32::try_from(looked_at).ok()?))
    }

    /// How an accept queue went between the looks; `None` if it was empty at every sample.
    #[must_use]
    pub fn queue_track(&self, netns: NetnsId, cookie: Cookie) -> Option<&QueueTrack> {
        let queues = &self.between.queues;
        let wanted = (netns, cookie);
        let at = queues.binary_search_by_key(&wanted, |track| (track.netns, track.cookie)).ok()?;
        queues.get(at)
    }

    /// Where a thread was seen between the looks.
    #[must_use]
    pub fn thread_track(&self, pid: Pid, tid: Tid) -> Option<&ThreadTrack> {
        self.between.threads.iter().find(|track| track.pid == pid && track.tid == tid)
    }

    /// The same process at the first look.
    pub fn earlier_process(&self, process: &Process) -> Reading<&Process> {
        match self.first.processes.get(&process.pid) {
            None => Reading::not_collected(),
            Some(before) if before.start_ticks != process.start_ticks => Missing::Vanished.into(),
            Some(before) => Reading::Known(before),
        }
    }

    /// How long a thread ran and waited for a CPU between the looks; all of its life for one that
    /// came since.
    pub fn scheduled(&self, process: &Process, thread: &Thread) -> Reading<SchedStat> {
        let threads = match self.earlier_process(process) {
            Reading::Known(before) => before.threads.as_ref(),
            Reading::Missing(why) => return why.into(),
        };
        let earlier = match threads {
            Reading::Known(threads) => {
                let at = threads.binary_search_by_key(&thread.tid, |earlier| earlier.tid);
                at.ok().and_then(|at| threads.get(at))
            }
            Reading::Missing(why) => return why.into(),
        };
        let before = earlier.map_or(Reading::Known(SchedStat::default()), |t| t.sched.clone());
        before.zip(thread.sched.clone()).map(|(before, after)| after.since(before))
    }

    /// Whether a thread ran between the looks: its CPU time or its time slices changed.
    pub fn ran(&self, process: &Process, thread: &Thread) -> Reading<bool> {
        self.scheduled(process, thread).map(SchedStat::ran)
    }

    /// What CPU quotas did to a process between the looks, lowest first; those that were set since
    /// are left out.
    pub fn throttled(&self, process: &Process) -> Reading<Vec<CpuQuota>> {
        let quotas = |process: &Process| match process.cgroup.as_ref() {
            Reading::Known(cgroup) => cgroup.cpu_quotas.clone(),
            Reading::Missing(why) => why.into(),
        };
        let before = match self.earlier_process(process) {
            Reading::Known(before) => quotas(before),
            Reading::Missing(why) => return why.into(),
        };
        before.zip(quotas(process)).map(|(before, after)| {
            let since = |quota: CpuQuota| {
                let earlier = before.iter().find(|earlier| earlier.group == quota.group)?;
                let throttling = quota.throttling.since(earlier.throttling);
                Some(CpuQuota { throttling, ..quota })
            };
            after.into_iter().filter_map(since).collect()
        })
    }
}
