//! Adds stacks to a process that was read before.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use halfopen_collect::in_time;
use halfopen_collect::proc::parse::Mapping;
use halfopen_collect::proc::{ProcRoot, ProcessImage};
use halfopen_evidence::{
    Activity, CallTarget, Missing, Process, Reading, Samples, SchedStat, Stack, Thread,
    ThreadPlace, Tid,
};

use crate::calls::CALL_MAX;
use crate::copy::{self, ThreadCopy};
use crate::module::{Module, Room};
use crate::naming::Naming;
use crate::owners::{self, Beside, Seen};
use crate::running::{Sampled, Sampling};
use crate::walk::{Walk, Walker};

/// Stacks copied, and files read, at a time, if some are stuck.
pub(crate) const WORKERS: usize = 8;

/// Files opened at most: a process that maps more of them loses the names of the rest.
const MODULES_MAX: usize = 4096;

/// Return addresses whose calls are looked at, at most.
const RETURN_ADDRESSES_MAX: usize = 1 << 16;

/// What is wanted of stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether lines of source are looked up, which reads debugging information.
    pub lines: bool,
    /// How long threads that run are watched, if there are any; zero for not at all.
    pub window: Duration,
    /// How long the reading of the process may take, all in all.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { lines: false, window: Duration::from_millis(60), patience: Duration::from_secs(3) }
    }
}

/// Adds [`Thread::stack`] to each thread of a process, of the call that [`Thread::activity`] names. A
/// thread that has left that call has none, and the reading says so. Where its stack tells more of what
/// the call waits for, that is put into its place. Adds [`Thread::samples`] to those that run, which
/// takes [`Options::window`] if there are any.
pub fn complete(root: &ProcRoot, process: &mut Process, options: Options) {
    let deadline = Instant::now() + options.patience;
    let omitted = process.threads_omitted;
    let Some(threads) = process.threads.get_mut() else { return };
    let mut found = match ProcessImage::open(root, process.pid) {
        Reading::Known(image) => read(&Arc::new(image), threads, omitted, options, deadline),
        Reading::Missing(why) => Err(why),
    };
    for thread in threads {
        (thread.stack, thread.samples) = match &mut found {
            Ok(found) => found.take(thread),
            Err(why) => (why.clone().into(), Reading::not_collected()),
        };
        if let Ok(found) = &mut found
            && let Some(target) = found.targets.remove(&thread.tid)
            && let Some(Activity::Blocked(call)) = thread.activity.get_mut()
        {
            call.target = target;
        }
    }
}

/// What was found out about the threads of a process.
struct Found {
    stacks: BTreeMap<Tid, Reading<Stack>>,
    /// What they wait for, where that is more than was known before.
    targets: BTreeMap<Tid, CallTarget>,
    samples: BTreeMap<Tid, Reading<Samples>>,
}

impl Found {
    fn take(&mut self, thread: &Thread) -> (Reading<Stack>, Reading<Samples>) {
        let stack = match thread.activity.get() {
            Some(Activity::Running) => copy::moved().into(),
            // The kernel shows the first thread for as long as others live.
            _ if has_ended(thread) => Missing::Vanished.into(),
            _ => self.stacks.remove(&thread.tid).unwrap_or_else(|| out_of_time().into()),
        };
        (stack, self.samples.remove(&thread.tid).unwrap_or_default())
    }
}

const fn has_ended(thread: &Thread) -> bool {
    matches!(thread.state, 'Z' | 'X')
}

fn read(
    image: &Arc<ProcessImage>,
    threads: &[Thread],
    omitted: u32,
    options: Options,
    deadline: Instant,
) -> Result<Found, Missing> {
    if cfg!(not(target_arch = "x86_64")) {
        return Err(Missing::unreadable("stacks are unwound on x86_64 only"));
    }
    let mappings: Arc<[Mapping]> = image.mappings()?.into();
    let copies = copies(image, &mappings, threads, deadline);
    // Not before: the copying keeps processors busy that the threads under watch may need.
    let sampling = Sampling::begin(image, threads, options.window, deadline);
    let modules = modules(image, &mappings, deadline);
    let mut walker = Walker::new(&modules, &generated(&mappings, &modules));
    let known = copies.values().filter_map(Reading::get);
    let returns_to = walker.return_addresses(known, RETURN_ADDRESSES_MAX);
    walker.learn(&code_before(image, &returns_to, deadline));
    let mut walk = |copy: &ThreadCopy| match left(deadline) {
        Duration::ZERO => out_of_time().into(),
        _ => Reading::Known(walker.walk(copy)),
    };
    let walks: BTreeMap<Tid, Reading<Walk>> = copies
        .iter()
        .map(|(&tid, copy)| match copy {
            Reading::Known(copy) => (tid, walk(copy)),
            Reading::Missing(why) => (tid, why.clone().into()),
        })
        .collect();
    let sampled = sampling.finish(|copy| walker.walk(copy));
    let of_samples = sampled.values().filter_map(Reading::get).flat_map(Sampled::walks);
    let all = walks.values().filter_map(Reading::get).chain(of_samples);
    let addresses = all.flat_map(|walk| &walk.addresses).copied().collect();
    let names = Naming::of(addresses, modules, image, options.lines, left(deadline));
    let seen = |(&tid, walk): (&Tid, &Reading<Walk>)| {
        let (copy, walk) = (copies.get(&tid)?.get()?, walk.get()?);
        Some((tid, Seen::new(copy, walk, |address| names.functions(address))))
    };
    let seen: BTreeMap<Tid, Seen<'_>> = walks.iter().filter_map(seen).collect();
    let beside = locks_beside(image, owners::wanted(threads, &seen), deadline);
    let targets = owners::refine(threads, omitted, &seen, &beside);
    let stack = |walk: Reading<Walk>| walk.map(|walk| names.stack(&walk));
    let samples = |sampled: Reading<Sampled>| sampled.map(|sampled| sampled.named(&names));
    Ok(Found {
        stacks: walks.into_iter().map(|(tid, walk)| (tid, stack(walk))).collect(),
        targets,
        samples: sampled.into_iter().map(|(tid, sampled)| (tid, samples(sampled))).collect(),
    })
}

/// A copy of every thread that has not moved since it was read.
fn copies(
    image: &Arc<ProcessImage>,
    mappings: &Arc<[Mapping]>,
    threads: &[Thread],
    deadline: Instant,
) -> BTreeMap<Tid, Reading<ThreadCopy>> {
    let known = |thread: &Thread| match (thread.place, &thread.activity) {
        (Some(place), _) => thread.sched.clone().map(|since| (place, since)),
        (None, Reading::Missing(why)) => why.clone().into(),
        (None, Reading::Known(_)) => copy::moved().into(),
    };
    let known: BTreeMap<Tid, Reading<(ThreadPlace, SchedStat)>> = threads
        .iter()
        .filter(|thread| thread.activity.get() != Some(&Activity::Running) && !has_ended(thread))
        .map(|thread| (thread.tid, known(thread)))
        .collect();
    let tids: BTreeSet<Tid> = known.keys().copied().collect();
    let (image, mappings) = (Arc::clone(image), Arc::clone(mappings));
    in_time(left(deadline), WORKERS, &tids, move |tid| match &known[&tid] {
        Reading::Known((place, since)) => {
            let copy = ThreadCopy::take(&image, &mappings, tid, *place, since);
            copy.map_or_else(Reading::from, Reading::Known)
        }
        Reading::Missing(why) => why.clone().into(),
    })
}

/// The code before these addresses.
fn code_before(
    image: &Arc<ProcessImage>,
    addresses: &BTreeSet<u64>,
    deadline: Instant,
) -> BTreeMap<u64, [u8; CALL_MAX]> {
    let image = Arc::clone(image);
    let before = move |address: u64| {
        let mut code = [0; CALL_MAX];
        let filled = image.memory(address.saturating_sub(CALL_MAX as u64), &mut code);
        (filled == CALL_MAX).then_some(code)
    };
    let read = in_time(left(deadline), WORKERS, addresses, before);
    read.into_iter().filter_map(|(address, code)| Some((address, code?))).collect()
}

/// The locks of threads that have them beside the futex they wait for.
fn locks_beside(
    image: &Arc<ProcessImage>,
    wanted: BTreeMap<Tid, Beside>,
    deadline: Instant,
) -> BTreeMap<Tid, BTreeSet<u64>> {
    let tids: BTreeSet<Tid> = wanted.keys().copied().collect();
    let image = Arc::clone(image);
    let word = move |address| {
        let mut word = [0; 8];
        (image.memory(address, &mut word) == word.len()).then(|| u64::from_ne_bytes(word))
    };
    in_time(left(deadline), WORKERS, &tids, move |tid| wanted[&tid].locks(&word))
}

/// Every file that the process runs code of, in the order of addresses.
pub(crate) fn modules(
    image: &Arc<ProcessImage>,
    mappings: &[Mapping],
    deadline: Instant,
) -> Vec<Module> {
    let code: Vec<Mapping> =
        mappings.iter().filter(|mapping| mapping.executable).take(MODULES_MAX).cloned().collect();
    let numbers: BTreeSet<usize> = (0..code.len()).collect();
    let (image, room) = (Arc::clone(image), Room::new());
    let open = move |at: usize| Module::open(&image, &code[at], &room);
    let opened = in_time(left(deadline), WORKERS, &numbers, open);
    opened.into_values().flatten().collect()
}

/// Where code is that is in no file.
pub(crate) fn generated(mappings: &[Mapping], modules: &[Module]) -> Vec<Range<u64>> {
    let in_files: BTreeSet<u64> = modules.iter().map(|module| module.range.start).collect();
    mappings
        .iter()
        .filter(|mapping| mapping.executable && !in_files.contains(&mapping.start))
        .map(|mapping| mapping.start..mapping.end)
        .collect()
}

pub(crate) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

pub(crate) fn out_of_time() -> Missing {
    Missing::unreadable("the time for reading stacks was over")
}
