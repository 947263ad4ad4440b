//! Threads that run, sampled for a moment: a stack that changes cannot be copied from outside, so the
//! kernel copies it whenever the thread has spent another millisecond on a CPU.
//!
//! One thread reads what the kernel writes and hands it over as it comes, so that memory is bounded
//! by the rings and the queue, and whoever unwinds is not held up if the kernel is.
//!
//! - `event`: one perf event and its ring;
//! - `record`: from the bytes of the ring to copies of a thread;
//! - `fold`: from the walks over those copies to what is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use halfopen_collect::proc::ProcessImage;
use halfopen_collect::proc::parse::SyscallLine;
use halfopen_evidence::{Activity, Missing, Reading, SchedStat, Thread, Tid};

use crate::complete::{left, out_of_time};
use crate::copy::ThreadCopy;
use crate::walk::Walk;

mod event;
mod fold;
mod record;

use event::Event;
use record::Record;

/// How long the reader sleeps while the kernel fills the rings.
const PAUSE: Duration = Duration::from_millis(8);

/// Threads watched at a time: at most so many rings.
const THREADS_MAX: usize = 64;

/// Copies that wait to be unwound, each of some 16 KiB.
const QUEUE: usize = 256;

/// Different walks that are kept of one thread.
const WALKS_MAX: usize = 128;

/// What one thread was seen in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sampled {
    watch: Watch,
    taken: u32,
    lost: u64,
    walks: BTreeMap<Walk, u32>,
}

/// A watch over one thread from its begin to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Watch {
    window: Duration,
    on_cpu: Duration,
    /// Whether the thread was running, or ready to, both when the watch began and when it ended.
    runnable: bool,
}

/// What the watching thread says.
enum Message {
    Record(Tid, Record),
    Watched(Tid, Result<Watch, Missing>),
}

/// A watch that is under way.
pub(crate) struct Sampling {
    messages: Receiver<Message>,
    deadline: Instant,
    /// What is told of a thread unless something better is known by the end.
    otherwise: BTreeMap<Tid, Missing>,
}

impl Sampling {
    /// Begins to watch those threads that run, or are ready to, for this window.
    pub(crate) fn begin(
        image: &Arc<ProcessImage>,
        threads: &[Thread],
        window: Duration,
        deadline: Instant,
    ) -> Self {
        let threads = if window.is_zero() { &[] } else { threads };
        let (watched, passed_over) = choice(threads);
        let crowd = || {
            let most = THREADS_MAX;
            Missing::unreadable(format_args!(
                "more than {most} threads run; the busiest were sampled"
            ))
        };
        let mut otherwise: BTreeMap<Tid, Missing> =
            passed_over.into_iter().map(|tid| (tid, crowd())).collect();
        otherwise.extend(watched.iter().map(|&tid| (tid, out_of_time())));
        let (sender, messages) = sync_channel(QUEUE);
        if !watched.is_empty() {
            let image = Arc::clone(image);
            let watch = move || watch(&image, &watched, window, deadline, &sender);
            // If there can be no more threads, nothing comes, which ends the watch at once.
            let _ = thread::Builder::new().name("sampler".to_owned()).spawn(watch);
        }
        Self { messages, deadline, otherwise }
    }

    /// Unwinds what comes until the watch is over.
    pub(crate) fn finish(
        self,
        mut walk: impl FnMut(&ThreadCopy) -> Walk,
    ) -> BTreeMap<Tid, Reading<Sampled>> {
        let mut met: BTreeMap<Tid, Met> = BTreeMap::new();
        let mut sampled: BTreeMap<Tid, Reading<Sampled>> =
            self.otherwise.into_iter().map(|(tid, why)| (tid, why.into())).collect();
        while let Ok(message) = self.messages.recv_timeout(left(self.deadline)) {
            match message {
                Message::Record(tid, record) => met.entry(tid).or_default().note(record, &mut walk),
                Message::Watched(tid, watch) => {
                    let Met { taken, lost, walks } = met.remove(&tid).unwrap_or_default();
                    let ended = watch.map(|watch| Sampled { watch, taken, lost, walks });
                    sampled.insert(tid, ended.map_or_else(Reading::from, Reading::Known));
                }
            }
        }
        sampled
    }
}

/// What was met of one thread so far.
#[derive(Default)]
struct Met {
    taken: u32,
    lost: u64,
    walks: BTreeMap<Walk, u32>,
}

impl Met {
    fn note(&mut self, record: Record, walk: &mut impl FnMut(&ThreadCopy) -> Walk) {
        match record {
            Record::Lost(records) => self.lost = self.lost.saturating_add(records),
            Record::Sample(copy) => {
                self.taken = self.taken.saturating_add(1);
                let Some(walk) = copy.map(|copy| walk(&copy)) else { return };
                if self.walks.len() < WALKS_MAX || self.walks.contains_key(&walk) {
                    *self.walks.entry(walk).or_default() += 1;
                }
            }
        }
    }
}

/// The threads to be watched, those first that have had most time on a CPU; and those that are too
/// many.
fn choice(threads: &[Thread]) -> (Vec<Tid>, Vec<Tid>) {
    let mut running: Vec<&Thread> = threads.iter().filter(|thread| is_runnable(thread)).collect();
    let cpu_ns = |thread: &Thread| thread.sched.get().map_or(0, |sched: &SchedStat| sched.cpu_ns);
    running.sort_by_key(|thread| std::cmp::Reverse(cpu_ns(thread)));
    let passed_over = running.split_off(running.len().min(THREADS_MAX));
    let tids = |threads: Vec<&Thread>| threads.into_iter().map(|thread| thread.tid).collect();
    (tids(running), tids(passed_over))
}

fn is_runnable(thread: &Thread) -> bool {
    match &thread.activity {
        Reading::Known(activity) => *activity == Activity::Running,
        // Registers are their owner's to read, the state is everybody's.
        Reading::Missing(_) => thread.state == 'R',
    }
}

/// Watches threads for the window, and hands over what the kernel writes. Ends early if nobody listens
/// any more.
fn watch(
    image: &ProcessImage,
    tids: &[Tid],
    window: Duration,
    deadline: Instant,
    sender: &SyncSender<Message>,
) {
    let mut events: Vec<Watched> = Vec::with_capacity(tids.len());
    for &tid in tids {
        match Watched::begin(image, tid) {
            Ok(watched) => events.push(watched),
            Err(why) => _ = sender.send(Message::Watched(tid, Err(why))),
        }
    }
    let end = (Instant::now() + window).min(deadline);
    while !events.is_empty() {
        thread::sleep(PAUSE.min(left(end)));
        let is_over = left(end).is_zero();
        for watched in &mut events {
            if watched.hand_over(sender).is_none() {
                return;
            }
        }
        if is_over {
            break;
        }
    }
    for watched in events {
        let _ = sender.send(Message::Watched(watched.tid, Ok(watched.end(image))));
    }
}

/// A thread that is being watched.
struct Watched {
    tid: Tid,
    event: Event,
    since: Instant,
    was_runnable: bool,
    /// Kept for its capacity.
    records: Vec<u8>,
}

impl Watched {
    fn begin(image: &ProcessImage, tid: Tid) -> Result<Self, Missing> {
        let since = Instant::now();
        let event = Event::open(tid)?;
        // By now its number may be that of a thread of another process.
        let was_runnable = match image.registers(tid) {
            Err(Missing::Vanished) => return Err(Missing::Vanished),
            line => line == Ok(SyscallLine::Running),
        };
        Ok(Self { tid, event, since, was_runnable, records: Vec::new() })
    }

    /// Hands over what was written since; `None` if nobody listens any more.
    fn hand_over(&mut self, sender: &SyncSender<Message>) -> Option<()> {
        self.records.clear();
        self.event.take(&mut self.records);
        record::records(&self.records)
            .try_for_each(|record| sender.send(Message::Record(self.tid, record)).ok())
    }

    fn end(&self, image: &ProcessImage) -> Watch {
        Watch {
            on_cpu: self.event.time_on_cpu(),
            window: self.since.elapsed(),
            runnable: self.was_runnable && image.registers(self.tid) == Ok(SyscallLine::Running),
        }
    }
}
