//! The samples of a run as one series per listener, those with trouble first, and cut into as many
//! spans of time as a chart has columns.

use std::collections::BTreeMap;

use halfopen_sim::{QueueSample, Run};

/// The history of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    /// Its host, by its place in the run's list.
    pub(super) host: usize,
    /// Its port.
    pub(super) port: u16,
    /// Its number on its host; the last one, of a program that restarts.
    pub(super) listener: u32,
    /// Time and state, in order.
    pub(super) points: Vec<(u64, QueueSample)>,
}

/// What a listener did in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    /// The deepest accept queue.
    pub(super) depth: u32,
    /// Room in it at that time: one more than its limit.
    pub(super) room: u32,
    /// The longest SYN queue.
    pub(super) requests: u32,
    /// Segments dropped.
    pub(super) drops: u32,
    /// Connections accepted.
    pub(super) accepted: u64,
}

impl Series {
    /// One per listener of a run, those with trouble first.
    pub(super) fn of(run: &Run) -> Vec<Self> {
        let mut all: BTreeMap<(usize, u16, u32), Self> = BTreeMap::new();
        for sample in &run.samples {
            for &queue in &sample.queues {
                let QueueSample { host, port, listener, .. } = queue;
                all.entry((host, port, listener))
                    .or_insert_with(|| Self { host, port, listener, points: Vec::new() })
                    .points
                    .push((sample.at_us, queue));
            }
        }
        let mut all = joined(all.into_values());
        for host in 0..run.hosts.len() {
            count_drops_of_only_listener(&mut all, host, run);
        }
        all.sort_by_key(|series| {
            let fill = u64::from(series.peak()) * 1000 / u64::from(series.room());
            std::cmp::Reverse((series.drops(), fill, series.accepted()))
        });
        all
    }

    fn most<T: Ord + Default>(&self, of: impl Fn(&QueueSample) -> T) -> T {
        self.points.iter().map(|(_, queue)| of(queue)).max().unwrap_or_default()
    }

    /// The deepest accept queue.
    pub(super) fn peak(&self) -> u32 {
        self.most(|queue| queue.depth)
    }

    /// Whether the accept queue was longest at the end, and much longer than halfway there: clients
    /// come faster than the program accepts, and any queue overflows in time.
    pub(super) fn grows_to_the_end(&self) -> bool {
        let depth = |at: usize| self.points.get(at).map_or(0, |(_, queue)| queue.depth);
        let (halfway, last) = (self.points.len() / 2, self.points.len().saturating_sub(1));
        let (before, end) = (u64::from(depth(halfway)), u64::from(depth(last)));
        end > 8 && end * 10 >= u64::from(self.peak()) * 9 && end * 4 > before * 5
    }

    /// The longest SYN queue.
    pub(super) fn requests_peak(&self) -> u32 {
        self.most(|queue| queue.requests)
    }

    /// Connections accepted in all.
    pub(super) fn accepted(&self) -> u64 {
        self.most(|queue| queue.accepted)
    }

    /// Segments dropped in all.
    pub(super) fn drops(&self) -> u32 {
        self.most(|queue| queue.drops)
    }

    /// The limit at the end.
    pub(super) fn limit(&self) -> u32 {
        self.points.last().map_or(0, |(_, queue)| queue.limit)
    }

    /// Room in the accept queue at the end.
    pub(super) fn room(&self) -> u32 {
        self.limit().saturating_add(1)
    }

    /// The share of its time in which the accept queue was full, in percent.
    pub(super) fn percent_full(&self) -> u64 {
        let full = self.points.iter().filter(|(_, queue)| queue.depth > queue.limit).count();
        halfopen_diagnose::words::percent(full as u64, self.points.len() as u64)
    }

    /// What happened in each of so many equal spans of time; nothing where it did not listen.
    pub(super) fn buckets(&self, until_us: u64, count: usize) -> Vec<Option<Bucket>> {
        let mut buckets = vec![None; count];
        let span = until_us.max(1).div_ceil(count.max(1) as u64).max(1);
        let place = |at_us: u64| usize::try_from(at_us / span).unwrap_or(0).min(count - 1);
        let mut before = (0_u64, 0_u32);
        let mut last: Option<usize> = None;
        for &(at_us, queue) in &self.points {
            let at = place(at_us);
            // Between samples, a queue is taken to stay as it was.
            if let Some(last) = last {
                let stays = buckets[last].map(|b: Bucket| Bucket { drops: 0, accepted: 0, ..b });
                buckets[last + 1..at.max(last + 1)].fill(stays);
            }
            let bucket: &mut Bucket = buckets[at].get_or_insert_default();
            bucket.room = queue.limit.saturating_add(1);
            bucket.depth = bucket.depth.max(queue.depth);
            bucket.requests = bucket.requests.max(queue.requests);
            bucket.accepted += queue.accepted.saturating_sub(before.0);
            bucket.drops += queue.drops.saturating_sub(before.1);
            before = (queue.accepted, queue.drops);
            last = Some(at);
        }
        buckets
    }
}

/// A program that restarts listens anew: its listeners, one after the other, are one series.
fn joined(listeners: impl Iterator<Item = Series>) -> Vec<Series> {
    let mut joined: Vec<Series> = Vec::new();
    for series in listeners {
        let begins = series.points.first().map(|&(at_us, _)| at_us);
        let follows = |earlier: &&mut Series| {
            let ends = earlier.points.last().map(|&(at_us, _)| at_us);
            (earlier.host, earlier.port) == (series.host, series.port) && ends < begins
        };
        let Some(earlier) = joined.iter_mut().find(follows) else {
            joined.push(series);
            continue;
        };
        let (accepted, drops) = (earlier.accepted(), earlier.drops());
        earlier.listener = series.listener;
        earlier.points.extend(series.points.into_iter().map(|(at_us, queue)| {
            let accepted = queue.accepted + accepted;
            (at_us, QueueSample { accepted, drops: queue.drops.saturating_add(drops), ..queue })
        }));
    }
    joined
}

/// Kernels before 4.7 count no drops per listener; where a host has one only, they are its own.
fn count_drops_of_only_listener(all: &mut [Series], host: usize, run: &Run) {
    let mut of_host = all.iter_mut().filter(|series| series.host == host);
    let (Some(only), None) = (of_host.next(), of_host.next()) else { return };
    if only.drops() > 0 {
        return;
    }
    let mut samples = run.samples.iter();
    for (at_us, queue) in &mut only.points {
        let sample = samples.find(|sample| sample.at_us == *at_us);
        let overflows = sample.and_then(|sample| sample.overflows.get(host)).copied();
        queue.drops = u32::try_from(overflows.unwrap_or(0)).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(depth: u32, accepted: u64, drops: u32) -> QueueSample {
        QueueSample {
            host: 0,
            port: 80,
            listener: 0,
            depth,
            limit: 5,
            requests: 1,
            accepted,
            drops,
        }
    }

    fn series(points: &[(u64, QueueSample)]) -> Series {
        Series { host: 0, port: 80, listener: 0, points: points.to_vec() }
    }

    #[test]
    fn a_span_has_the_deepest_queue_and_what_was_added_meanwhile() {
        let series = series(&[
            (0, queue(1, 1, 0)),
            (10, queue(6, 2, 3)),
            (90, queue(2, 9, 4)),
            (100, queue(0, 9, 4)),
        ]);
        let bucket =
            |depth, drops, accepted| Some(Bucket { depth, room: 6, requests: 1, drops, accepted });
        let expected = [bucket(6, 3, 2), bucket(6, 0, 0), bucket(6, 0, 0), bucket(2, 1, 7)];
        assert_eq!(series.buckets(100, 4), expected);
        assert_eq!(series.percent_full(), 25);
    }

    #[test]
    fn a_listener_that_returns_goes_on_where_it_ended() {
        let first = series(&[(0, queue(0, 0, 0)), (10, queue(6, 4, 3))]);
        let second =
            Series { listener: 1, ..series(&[(20, queue(0, 0, 0)), (30, queue(1, 2, 1))]) };
        let beside = Series { listener: 2, ..series(&[(20, queue(0, 0, 0))]) };
        let expected = Series {
            listener: 1,
            ..series(&[
                (0, queue(0, 0, 0)),
                (10, queue(6, 4, 3)),
                (20, queue(0, 4, 3)),
                (30, queue(1, 6, 4)),
            ])
        };
        let joined = joined([first, second, beside.clone()].into_iter());
        assert_eq!(joined, [expected, beside]);
    }

    #[test]
    fn before_and_after_it_listens_there_is_nothing() {
        let series = series(&[(50, queue(1, 0, 0)), (60, queue(1, 0, 0))]);
        let present: Vec<bool> = series.buckets(100, 10).iter().map(Option::is_some).collect();
        let expected: Vec<bool> = (0..10).map(|at| at == 5 || at == 6).collect();
        assert_eq!(present, expected);
    }
}
