//! The time between two looks: queues and threads, sampled ten times a second as the collector does;
//! and, over the whole run, the queues' history for a chart.

use std::collections::BTreeMap;

use halfopen_evidence::{Between, Cookie, QueueTrack, Sighting, ThreadTrack};
use halfopen_model::{DropReason, Span, Time};

use crate::processes::{pid_of, tid_of};
use crate::programs::Doing;
use crate::snapshot::{listener_inode, netns_id};
use crate::world::{Happening, World};

/// Time between two samples of the collector (`collect/src/watch.rs`).
pub(crate) const PERIOD: Span = Span::from_millis(100);

/// Points of a series; when there are more, every second one is dropped and the distance doubles.
const POINTS: usize = 4_096;

/// Shortest distance of two points, so that there is one.
const SHORTEST: Span = Span::from_millis(1);

/// The history of the queues, in samples.
#[derive(Debug)]
pub(crate) struct Watch {
    every: Span,
    pub(crate) samples: Vec<Sample>,
}

/// The queues of all listeners at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, in microseconds since the first step.
    pub at_us: u64,
    /// Per listener: its queues.
    pub queues: Vec<QueueSample>,
    /// Per host: segments dropped so far because a queue had no room, also on kernels that do not
    /// count them per listener.
    pub overflows: Vec<u64>,
}

/// A listener's queues at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSample {
    /// The host, by its place in the run's list.
    pub host: usize,
    /// The port.
    pub port: u16,
    /// The listener's number on its host.
    pub listener: u32,
    /// Connections in the accept queue.
    pub depth: u32,
    /// Its limit; it holds one more.
    pub limit: u32,
    /// Requests in the SYN queue.
    pub requests: u32,
    /// Connections accepted so far.
    pub accepted: u64,
    /// Segments dropped at this listener so far.
    pub drops: u32,
}

impl Watch {
    pub(crate) fn new(every: Span) -> Self {
        Self { every: every.max(SHORTEST), samples: Vec::new() }
    }
}

impl World {
    /// Takes a sample, and the next one after a while.
    pub(crate) fn sample(&mut self) {
        let now = self.now;
        let sample = self.queues();
        let watch = &mut self.watch;
        watch.samples.push(sample);
        if watch.samples.len() > POINTS {
            let mut keep = false;
            watch.samples.retain(|_| {
                keep = !keep;
                keep
            });
            watch.every = watch.every + watch.every;
        }
        let every = watch.every;
        self.schedule.put(now, every, Happening::Sample);
    }

    /// Takes the last sample, so that it says the same as the counters.
    pub(crate) fn last_sample(&mut self) {
        let sample = self.queues();
        self.watch.samples.retain(|earlier| earlier.at_us < sample.at_us);
        self.watch.samples.push(sample);
    }

    fn queues(&self) -> Sample {
        let queues = (0..).zip(&self.hosts).flat_map(|(index, host)| {
            host.stack.listener_views().map(move |(id, view)| QueueSample {
                host: index,
                port: view.local.port(),
                listener: id.0,
                depth: view.accept_queue.depth,
                limit: view.accept_queue.limit,
                requests: view.requests,
                accepted: view.accepted,
                drops: view.drops,
            })
        });
        let of_queue = || DropReason::ALL.iter().filter(|reason| reason.is_overflow());
        let overflows = self
            .hosts
            .iter()
            .map(|host| of_queue().map(|&reason| host.stack.dropped(reason)).sum());
        Sample {
            at_us: self.now.as_micros(),
            queues: queues.collect(),
            overflows: overflows.collect(),
        }
    }

    /// Lets a window pass and samples queues and threads of these hosts meanwhile.
    pub(crate) fn watch_for(&mut self, window: Span, hosts: &[usize]) -> Between {
        let end = self.now + window;
        let mut queues: BTreeMap<(usize, u32), (u32, QueueTrack)> = BTreeMap::new();
        let mut threads: BTreeMap<(usize, u32), Vec<Sighting>> = BTreeMap::new();
        let mut next = self.now + PERIOD;
        while next < end {
            self.advance(next);
            self.sample_queues(hosts, &mut queues);
            self.sample_threads(hosts, &mut threads);
            next += PERIOD;
        }
        self.advance(end);
        let mut queues: Vec<QueueTrack> = queues.into_values().map(|(_, track)| track).collect();
        queues.retain(|track| track.max > 0);
        queues.sort_by_key(|track| (track.netns, track.cookie));
        let threads = threads.into_iter().map(|((process, at), mut seen)| {
            seen.sort_by_key(|sighting| std::cmp::Reverse(sighting.times));
            ThreadTrack { pid: pid_of(process), tid: tid_of(process, at), seen }
        });
        Between { queues, threads: threads.collect() }
    }

    fn sample_queues(
        &self,
        hosts: &[usize],
        tracks: &mut BTreeMap<(usize, u32), (u32, QueueTrack)>,
    ) {
        for &host in hosts {
            for (id, view) in self.hosts[host].stack.listener_views() {
                let queue = view.accept_queue;
                let (last, track) = tracks.entry((host, id.0)).or_insert_with(|| {
                    let netns = netns_id(host);
                    let cookie = Cookie(listener_inode(host, id.0).0);
                    let (min, max) = (u32::MAX, 0);
                    let track =
                        QueueTrack { netns, cookie, samples: 0, full: 0, min, max, falls: 0 };
                    (queue.depth, track)
                });
                track.samples += 1;
                track.full += u32::from(queue.is_full());
                track.min = track.min.min(queue.depth);
                track.max = track.max.max(queue.depth);
                track.falls += u32::from(queue.depth < *last);
                *last = queue.depth;
            }
        }
    }

    fn sample_threads(&self, hosts: &[usize], tracks: &mut BTreeMap<(usize, u32), Vec<Sighting>>) {
        for (number, process) in self.programs.processes.iter().enumerate() {
            if process.ended || !hosts.contains(&process.host) {
                continue;
            }
            for (at, &thread) in (0..).zip(&process.threads) {
                let thread = &self.programs.threads[thread as usize];
                if thread.doing == Doing::Gone {
                    continue;
                }
                let (activity, waits) = (self.activity(thread), self.waits(thread));
                let seen = tracks.entry((number, at)).or_default();
                match seen.iter_mut().find(|s| s.activity == activity && s.waits == waits) {
                    Some(sighting) => sighting.times += 1,
                    None => seen.push(Sighting { activity, waits, times: 1 }),
                }
            }
        }
    }

    pub(crate) fn first_sample(&mut self) {
        self.schedule.put(Time::ZERO, Span::ZERO, Happening::Sample);
    }
}
