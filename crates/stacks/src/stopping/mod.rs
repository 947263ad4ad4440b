//! Stacks that are to be had in no other way: of threads that run and of which no sample was taken, and
//! of processes whose registers `/proc` does not show.
//!
//! This stops threads, one after the other, and so makes some of their calls fail with EINTR; nothing
//! does it unless a user has chosen it. A thread stands still while its registers and its stack are
//! copied, and both have a time-out.

mod tracer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use halfopen_collect::in_time;
#[cfg(target_arch = "x86_64")]
use halfopen_collect::proc::parse::Registers;
use halfopen_collect::proc::parse::{Mapping, SyscallLine};
use halfopen_collect::proc::{ProcRoot, ProcessImage, read_activity};
use halfopen_evidence::{Activity, Missing, Process, Reading, Thread, Tid};

use crate::complete::{Options, WORKERS, generated, left, modules, out_of_time};
use crate::copy::{STACK_MAX, ThreadCopy, room};
use crate::naming::Naming;
use crate::walk::Walker;
use tracer::{Failure, Seized, Stopped};

/// Threads that are stopped at most.
const THREADS_MAX: usize = 256;

/// How long a thread may stand still at most: it is let go of without a stack if its memory cannot be read
/// in that time.
const COPY_PATIENCE: Duration = Duration::from_millis(20);

/// What was done to a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// How long each thread that was stopped stood still, at most.
    pub stopped: BTreeMap<Tid, Duration>,
    /// Threads that were to be stopped and were not, or whose stack could not be copied in time.
    pub failed: BTreeMap<Tid, Missing>,
}

impl Stops {
    /// How long the thread stood still that did so for the longest.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.stopped.values().max().copied().unwrap_or_default()
    }

    /// How long threads stood still, taken together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.stopped.values().sum()
    }
}

/// Threads of which [`crate::complete`] has no stack, and which can have one.
#[must_use]
pub fn without_stack(process: &Process) -> BTreeSet<Tid> {
    let lacks = |thread: &&Thread| {
        let is_sampled = thread.samples.get().is_some_and(|samples| !samples.stacks.is_empty());
        !is_sampled && thread.stack.get().is_none() && !matches!(thread.state, 'Z' | 'X')
    };
    let threads = process.threads.get().into_iter().flatten();
    threads.filter(lacks).map(|thread| thread.tid).take(THREADS_MAX).collect()
}

/// Stops these threads of a process, each for as long as its registers and its stack are copied, and adds
/// [`Thread::stack`]; also [`Thread::activity`], where that was not known.
pub fn complete_by_stopping(
    root: &ProcRoot,
    process: &mut Process,
    tids: &BTreeSet<Tid>,
    options: Options,
) -> Stops {
    if cfg!(not(target_arch = "x86_64")) {
        return all_failed(tids, &Missing::unreadable("stacks are unwound on x86_64 only"));
    }
    let deadline = Instant::now() + options.patience;
    match ProcessImage::open(root, process.pid) {
        Reading::Known(image) => {
            by_stopping(root, process, &Arc::new(image), tids, options, deadline)
        }
        Reading::Missing(why) => all_failed(tids, &why),
    }
}

fn all_failed(tids: &BTreeSet<Tid>, why: &Missing) -> Stops {
    let failed = tids.iter().map(|&tid| (tid, why.clone())).collect();
    Stops { stopped: BTreeMap::new(), failed }
}

fn by_stopping(
    root: &ProcRoot,
    process: &mut Process,
    image: &Arc<ProcessImage>,
    tids: &BTreeSet<Tid>,
    options: Options,
    deadline: Instant,
) -> Stops {
    let mappings: Arc<[Mapping]> = match image.mappings() {
        Ok(mappings) => mappings.into(),
        Err(why) => return all_failed(tids, &why),
    };
    let Copied { copies, mut stops } = stop_each(image, &mappings, tids, deadline);
    let modules = modules(image, &mappings, deadline);
    let mut walker = Walker::new(&modules, &generated(&mappings, &modules));
    let walk = |(&tid, (copy, _)): (&Tid, &(ThreadCopy, SyscallLine))| match left(deadline) {
        Duration::ZERO => (tid, Err(out_of_time())),
        _ => (tid, Ok(walker.walk(copy))),
    };
    let mut walks: BTreeMap<_, _> = copies.iter().map(walk).collect();
    let known = walks.values().filter_map(|walk| walk.as_ref().ok());
    let addresses = known.flat_map(|walk| &walk.addresses).copied().collect();
    let names = Naming::of(addresses, modules, image, options.lines, left(deadline));
    let mut activities = activities(root, process, &copies, deadline);
    for thread in process.threads.get_mut().into_iter().flatten() {
        match walks.remove(&thread.tid) {
            Some(Ok(walk)) => thread.stack = Reading::Known(names.stack(&walk)),
            Some(Err(why)) => drop(stops.failed.insert(thread.tid, why)),
            None => {}
        }
        if let Some(activity) = activities.remove(&thread.tid) {
            thread.activity = activity;
        }
    }
    stops
}

/// What threads did when they were stopped, of those of which that was not known.
fn activities(
    root: &ProcRoot,
    process: &Process,
    copies: &BTreeMap<Tid, (ThreadCopy, SyscallLine)>,
    deadline: Instant,
) -> BTreeMap<Tid, Reading<Activity>> {
    let threads = process.threads.get().into_iter().flatten();
    let unknown: BTreeSet<Tid> = threads
        .filter(|thread| thread.activity.get().is_none() && copies.contains_key(&thread.tid))
        .map(|thread| thread.tid)
        .collect();
    let lines: BTreeMap<Tid, SyscallLine> =
        unknown.iter().map(|tid| (*tid, copies[tid].1)).collect();
    let (root, pid) = (root.clone(), process.pid);
    in_time(left(deadline), WORKERS, &unknown, move |tid| {
        read_activity(&root, pid, tid, lines[&tid])
    })
}

/// What was copied of threads that were stopped, and how that went.
#[derive(Default)]
struct Copied {
    copies: BTreeMap<Tid, (ThreadCopy, SyscallLine)>,
    stops: Stops,
}

/// Stops them one after the other. The kernel lets go of a thread that did not stop in time when its
/// tracer ends; so the tracer is a thread of our own that ends then, and another goes on.
fn stop_each(
    image: &Arc<ProcessImage>,
    mappings: &Arc<[Mapping]>,
    tids: &BTreeSet<Tid>,
    deadline: Instant,
) -> Copied {
    let mut left_over = tids.iter().copied();
    let mut copied = Copied::default();
    while left_over.len() > 0 {
        let mut work = || {
            for tid in left_over.by_ref() {
                if left(deadline).is_zero() {
                    copied.stops.failed.insert(tid, out_of_time());
                } else if copied.add(image, mappings, tid) == Tracer::MustEnd {
                    break;
                }
            }
        };
        let ended = std::thread::scope(|scope| {
            let tracer = std::thread::Builder::new().name("tracer".to_owned());
            tracer.spawn_scoped(scope, &mut work).map(|tracer| tracer.join().is_ok())
        });
        if !matches!(ended, Ok(true)) {
            break;
        }
    }
    for tid in left_over {
        copied.stops.failed.insert(tid, Missing::unreadable("no thread could be made for it"));
    }
    copied
}

/// Whether a tracer can go on with another thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracer {
    GoesOn,
    MustEnd,
}

impl Copied {
    fn add(&mut self, image: &Arc<ProcessImage>, mappings: &Arc<[Mapping]>, tid: Tid) -> Tracer {
        let stopped = match Seized::new(tid).map_err(Failure::Refused).and_then(Seized::stop) {
            Ok(stopped) => stopped,
            Err(Failure::Refused(why)) => {
                self.stops.failed.insert(tid, why);
                return Tracer::GoesOn;
            }
            Err(Failure::Late) => {
                let ms = tracer::PATIENCE.as_millis();
                let why =
                    format!("it did not stop within {ms} ms: throttled, or stuck in the kernel");
                self.stops.failed.insert(tid, Missing::unreadable(why));
                return Tracer::MustEnd;
            }
        };
        let copy = copy(image, mappings, tid, &stopped);
        self.stops.stopped.insert(tid, stopped.release());
        match copy {
            Ok(copy) => drop(self.copies.insert(tid, copy)),
            Err(why) => drop(self.stops.failed.insert(tid, why)),
        }
        Tracer::GoesOn
    }
}

/// Another thread reads the memory, since that can block for as long as the process is stuck in the
/// kernel, and this one must let go in time.
fn copy(
    image: &Arc<ProcessImage>,
    mappings: &Arc<[Mapping]>,
    tid: Tid,
    stopped: &Stopped,
) -> Result<(ThreadCopy, SyscallLine), Missing> {
    let At { pc, sp, frame_pointer, line } = At::of(&stopped.registers()?);
    let (image, mappings) = (Arc::clone(image), Arc::clone(mappings));
    let read = move |_| {
        let mut bytes = vec![0; room(&mappings, sp).min(STACK_MAX)];
        let filled = image.memory(sp, &mut bytes);
        bytes.truncate(filled);
        bytes
    };
    let bytes = in_time(COPY_PATIENCE, 1, &BTreeSet::from([tid]), read).remove(&tid);
    let bytes = bytes.ok_or_else(|| Missing::unreadable("its memory could not be read in time"))?;
    let in_call = matches!(line, SyscallLine::In(_));
    let frame_pointer = Some(frame_pointer);
    Ok((ThreadCopy { frame_pointer, in_call, ..ThreadCopy::in_call(pc, sp, bytes) }, line))
}

/// Where a thread stands still.
struct At {
    pc: u64,
    sp: u64,
    frame_pointer: u64,
    /// As `/proc/TID/syscall` would have told it.
    line: SyscallLine,
}

impl At {
    #[cfg(target_arch = "x86_64")]
    fn of(registers: &libc::user_regs_struct) -> Self {
        let libc::user_regs_struct { rip: pc, rsp: sp, rbp: frame_pointer, .. } = *registers;
        let line = match u32::try_from(registers.orig_rax) {
            Ok(number) => {
                let libc::user_regs_struct { rdi, rsi, rdx, r10, r8, r9, .. } = *registers;
                SyscallLine::In(Registers { number, args: [rdi, rsi, rdx, r10, r8, r9], sp, pc })
            }
            // Minus one: it was in its own code.
            Err(_) => SyscallLine::Running,
        };
        Self { pc, sp, frame_pointer, line }
    }

    /// Nothing is stopped there, see [`complete_by_stopping`].
    #[cfg(not(target_arch = "x86_64"))]
    fn of(_: &libc::user_regs_struct) -> Self {
        Self { pc: 0, sp: 0, frame_pointer: 0, line: SyscallLine::Running }
    }
}
