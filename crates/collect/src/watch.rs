//! The time between two looks: accept queues and threads, sampled about ten times a second.
//!
//! A dump of listening sockets costs some ten microseconds, so the queues of every namespace with a
//! listener are sampled; on a host with many namespaces only those where somebody waits. Processes
//! are sampled on threads of their own; one whose process is stuck is left behind, and what it has
//! seen until then counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use halfopen_evidence::{
    Activity, Between, Cookie, Inode, Netns, NetnsId, Pid, QueueTrack, Sighting, Snapshot,
    ThreadTrack, Tid, WaitedSocket,
};
use halfopen_model::TcpState;

use crate::collector::Collector;
use crate::fetch::{name_sockets, targets_of};
use crate::namespaces::{Found, visit};
use crate::netlink::request::DumpRequest;
use crate::netlink::{DiagSocket, DumpBuffer};
use crate::proc::{ProcRoot, ThreadSample, ThreadSampler};

/// Time between two samples.
const PERIOD: Duration = Duration::from_millis(100);

/// How soon a `stop` is noticed.
const STOP_CHECK: Duration = Duration::from_millis(20);

/// With more namespaces than this, only those with waiting connections are sampled.
const NAMESPACES_MAX: usize = 16;

/// Netlink sockets held at a time.
const SOCKETS_MAX: usize = 64;

/// Threads that sample processes. A process that is stuck in the kernel costs only the samples of
/// those that share its sampler.
const SAMPLERS_MAX: usize = 8;

/// Queues and threads that are followed, at most; those that appear later are left out.
const TRACKS_MAX: usize = 65_536;

/// Different things that one thread is seen doing, at most; later ones are left out.
const SIGHTINGS_MAX: usize = 64;

/// See [`Collector::watch`].
pub(crate) fn watch(
    collector: &mut Collector,
    snapshot: &Snapshot,
    window: Duration,
    stop: &dyn Fn() -> bool,
) -> Between {
    let end = Instant::now() + window;
    let mut queues = Queues::open(collector, snapshot);
    let threads = Threads::start(&collector.root, snapshot);
    let mut buffer = DumpBuffer::new();
    let mut next = Instant::now() + PERIOD;
    // A sample at the very end would only repeat the second look.
    while next < end && sleep_until(next, stop) {
        queues.sample(&mut buffer);
        // A host that was suspended or overloaded is not sampled in a burst afterwards.
        next = (next + PERIOD).max(Instant::now());
    }
    sleep_until(end, stop);
    let mut tracks = threads.finish();
    let sightings = tracks.iter_mut().flat_map(|track| &mut track.seen);
    let activities = sightings.map(|sighting| &mut sighting.activity);
    name_sockets(collector, snapshot, targets_of(activities));
    Between { queues: queues.finish(), threads: tracks }
}

/// Whether the time came before `stop`.
fn sleep_until(time: Instant, stop: &dyn Fn() -> bool) -> bool {
    loop {
        if stop() {
            return false;
        }
        let left = time.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(STOP_CHECK));
    }
}

/// Accept queues under watch.
struct Queues {
    sockets: Vec<(NetnsId, DiagSocket)>,
    tracks: HashMap<(NetnsId, Cookie), Track>,
}

struct Track {
    last: u32,
    track: QueueTrack,
}

impl Queues {
    fn open(collector: &Collector, snapshot: &Snapshot) -> Self {
        let worth_it = namespaces_to_sample(snapshot);
        let is_worth_it = |found: &&Found| worth_it.contains(&found.id);
        let places: Vec<&Found> =
            collector.places.iter().filter(is_worth_it).take(SOCKETS_MAX).collect();
        let opened = visit(&places, &collector.proc, |found, entered| {
            entered.is_ok().then(|| DiagSocket::open().ok()).flatten().map(|s| (found.id, s))
        });
        // What cannot be sampled has no track, which rules take for "not sampled".
        let sockets = opened.unwrap_or_default().into_iter().flatten().collect();
        Self { sockets, tracks: HashMap::new() }
    }

    fn sample(&mut self, buffer: &mut DumpBuffer) {
        let request = DumpRequest::new(&[TcpState::Listen]);
        let tracks = &mut self.tracks;
        // A namespace that cannot be read any more keeps the samples that it has.
        self.sockets.retain_mut(|(netns, socket)| {
            let sampled = socket.dump(&request, buffer, |view| {
                let cookie = Cookie(view.cookie());
                add_sample(tracks, *netns, cookie, view.rqueue(), view.wqueue());
                Ok(())
            });
            sampled.is_ok()
        });
    }

    fn finish(self) -> Vec<QueueTrack> {
        let mut tracks: Vec<QueueTrack> = self
            .tracks
            .into_values()
            .map(|track| track.track)
            .filter(|track| track.max > 0)
            .collect();
        tracks.sort_by_key(|track| (track.netns, track.cookie));
        tracks
    }
}

fn add_sample(
    tracks: &mut HashMap<(NetnsId, Cookie), Track>,
    netns: NetnsId,
    cookie: Cookie,
    depth: u32,
    limit: u32,
) {
    if tracks.len() >= TRACKS_MAX && !tracks.contains_key(&(netns, cookie)) {
        return;
    }
    let entry = tracks.entry((netns, cookie)).or_insert_with(|| Track {
        last: depth,
        track: QueueTrack { netns, cookie, samples: 0, full: 0, min: depth, max: depth, falls: 0 },
    });
    let track = &mut entry.track;
    track.samples += 1;
    track.full += u32::from(depth > limit);
    track.min = track.min.min(depth);
    track.max = track.max.max(depth);
    track.falls += u32::from(depth < entry.last);
    entry.last = depth;
}

/// Namespaces whose queues are worth a sample: all with listeners, or, if those are many, those
/// where connections wait.
fn namespaces_to_sample(snapshot: &Snapshot) -> BTreeSet<NetnsId> {
    let ids = |is_worth_it: &dyn Fn(&Netns) -> bool| -> BTreeSet<NetnsId> {
        snapshot.netns.iter().filter(|netns| is_worth_it(netns)).map(|netns| netns.id).collect()
    };
    let endpoints = |netns: &Netns| netns.endpoints.get().map_or(0, Vec::len);
    let with_listeners = ids(&|netns| endpoints(netns) > 0);
    if with_listeners.len() <= NAMESPACES_MAX {
        return with_listeners;
    }
    ids(&|netns| netns.endpoints.get().into_iter().flatten().any(|endpoint| endpoint.depth() > 0))
}

/// Threads under watch, on threads of their own.
struct Threads {
    /// Dropped to end them.
    stops: Vec<mpsc::Sender<()>>,
    tallies: Arc<Mutex<Tallies>>,
}

/// What each thread was seen doing, and how often.
type Tallies = BTreeMap<(Pid, Tid), Vec<Sighting>>;

impl Threads {
    fn start(root: &ProcRoot, snapshot: &Snapshot) -> Self {
        let listeners: BTreeSet<Inode> =
            snapshot.listeners().map(|(.., listener)| listener.inode).collect();
        let pids: Vec<Pid> = snapshot.processes.keys().copied().collect();
        Self::of(root, &pids, &listeners)
    }

    fn of(root: &ProcRoot, pids: &[Pid], listeners: &BTreeSet<Inode>) -> Self {
        let mut threads = Self { stops: Vec::new(), tallies: Arc::default() };
        for pids in pids.chunks(pids.len().div_ceil(SAMPLERS_MAX).max(1)) {
            let (root, pids, listeners) = (root.clone(), pids.to_vec(), listeners.clone());
            let tallies = Arc::clone(&threads.tallies);
            let (stop, stopped) = mpsc::channel();
            let work = move || sample_threads(&root, &pids, &listeners, &stopped, &tallies);
            // What cannot be sampled has no track.
            if thread::Builder::new().name("threads".to_owned()).spawn(work).is_ok() {
                threads.stops.push(stop);
            }
        }
        threads
    }

    /// What was seen so far, by pid and tid. A sampler that is stuck is left behind.
    fn finish(self) -> Vec<ThreadTrack> {
        drop(self.stops);
        let tallies = std::mem::take(&mut *lock(&self.tallies));
        let track = |((pid, tid), mut seen): ((Pid, Tid), Vec<Sighting>)| {
            seen.sort_by_key(|sighting| std::cmp::Reverse(sighting.times));
            ThreadTrack { pid, tid, seen }
        };
        tallies.into_iter().map(track).collect()
    }
}

/// Samples until the other end of `stopped` is gone.
fn sample_threads(
    root: &ProcRoot,
    pids: &[Pid],
    listeners: &BTreeSet<Inode>,
    stopped: &mpsc::Receiver<()>,
    tallies: &Mutex<Tallies>,
) {
    let mut samplers: Vec<(Pid, ThreadSampler)> = pids
        .iter()
        .filter_map(|&pid| Some((pid, ThreadSampler::new(root, pid, listeners).known()?)))
        .collect();
    while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        for (pid, sampler) in &mut samplers {
            // The lock is not held while a process is read: that may never end.
            let samples = sampler.sample();
            add_threads(&mut lock(tallies), *pid, samples.known().unwrap_or_default());
        }
    }
}

fn add_threads(tallies: &mut Tallies, pid: Pid, samples: Vec<ThreadSample>) {
    for ThreadSample { tid, activity, waits } in samples {
        let Some(activity) = activity.known() else {
            continue;
        };
        if tallies.len() >= TRACKS_MAX && !tallies.contains_key(&(pid, tid)) {
            continue;
        }
        let seen = tallies.entry((pid, tid)).or_default();
        tally(seen, activity, waits.known().unwrap_or_default());
    }
}

/// A sampler that panicked leaves whole tallies behind.
fn lock(tallies: &Mutex<Tallies>) -> MutexGuard<'_, Tallies> {
    tallies.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tally(seen: &mut Vec<Sighting>, activity: Activity, waits: Vec<WaitedSocket>) {
    let same = seen.iter_mut().find(|known| known.activity == activity && known.waits == waits);
    if let Some(sighting) = same {
        sighting.times += 1;
    } else if seen.len() < SIGHTINGS_MAX {
        seen.push(Sighting { activity, waits, times: 1 });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use halfopen_evidence::Reading;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_queue_is_followed_up_and_down() {
        let mut tracks = HashMap::new();
        for depth in [0, 3, 6, 2, 2, 1] {
            add_sample(&mut tracks, NetnsId(1), Cookie(9), depth, 5);
        }
        add_sample(&mut tracks, NetnsId(1), Cookie(8), 0, 5);
        let expected = QueueTrack {
            netns: NetnsId(1),
            cookie: Cookie(9),
            samples: 6,
            full: 1,
            min: 0,
            max: 6,
            falls: 2,
        };
        assert_eq!(Queues { sockets: Vec::new(), tracks }.finish(), [expected]);
    }

    #[test]
    fn the_same_sight_is_counted_and_a_new_one_is_added_up_to_a_bound() {
        let mut seen = Vec::new();
        for _ in 0..3 {
            tally(&mut seen, Activity::Running, Vec::new());
        }
        for n in 0..100 {
            let waits = vec![WaitedSocket { inode: Inode(n), via: halfopen_evidence::Via::Poll }];
            tally(&mut seen, Activity::Running, waits);
        }
        assert_eq!((seen.len(), seen[0].times, seen[1].times), (SIGHTINGS_MAX, 3, 1));
    }

    #[test]
    fn queues_and_threads_are_followed_up_to_a_bound_and_listed_in_order() {
        let mut tracks = HashMap::new();
        let mut tallies = Tallies::new();
        for n in (0..70_000_u32).rev() {
            add_sample(&mut tracks, NetnsId(1), Cookie(u64::from(n)), 1, 5);
            let activity = Reading::Known(Activity::Running);
            let sample = ThreadSample { tid: Tid(n), activity, waits: Reading::not_collected() };
            add_threads(&mut tallies, Pid(1), vec![sample]);
        }
        let queues = Queues { sockets: Vec::new(), tracks }.finish();
        let threads =
            Threads { stops: Vec::new(), tallies: Arc::new(Mutex::new(tallies)) }.finish();
        assert_eq!((queues.len(), threads.len()), (TRACKS_MAX, TRACKS_MAX));
        assert!(queues.is_sorted_by_key(|track| track.cookie));
        assert!(threads.is_sorted_by_key(|track| track.tid));
    }

    #[test]
    fn what_was_seen_of_other_processes_outlives_one_that_is_stuck() {
        let proc = tempfile::tempdir().expect("a directory");
        for pid in 1..=3 {
            let task = proc.path().join(format!("{pid}/task/{pid}"));
            fs::create_dir_all(&task).expect("a directory");
            let stat = format!("{pid} (p) R 1 1 1 0 -1 0 0 0 0 0 5 6 0 0 20 0 1 0 4321 0 0\n");
            fs::write(proc.path().join(format!("{pid}/stat")), &stat).expect("a file");
            fs::write(task.join("stat"), &stat).expect("a file");
            fs::create_dir_all(task.join("fd")).expect("a directory");
            let syscall = task.join("syscall");
            if pid == 2 {
                // Nobody ever writes to it, so that opening it does not return.
                mknodat(CWD, &syscall, FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
            } else {
                fs::write(syscall, "running\n").expect("a file");
            }
        }
        let processes = (1..=3).map(Pid).collect::<Vec<_>>();
        let threads = Threads::of(&ProcRoot::new(proc.path()), &processes, &BTreeSet::new());
        let deadline = Instant::now() + Duration::from_secs(20);
        while lock(&threads.tallies).len() < 2 && Instant::now() < deadline {
            thread::sleep(STOP_CHECK);
        }
        let pids: Vec<_> = threads.finish().iter().map(|track| track.pid.0).collect();
        assert_eq!(pids, [1, 3]);
    }

    #[test]
    fn a_stop_ends_the_sleep() {
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > 1
        };
        assert!(!sleep_until(Instant::now() + Duration::from_secs(600), &stop));
        assert!(sleep_until(Instant::now(), &|| false));
    }
}
