//! The threads of a process: what each does, and which listening sockets it waits for.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_evidence::{
    Activity, Call, Inode, Missing, Pid, Reading, SchedStat, Thread, ThreadPlace, Tid, Via,
    WaitedSocket,
};

use super::dir::Dir;
use super::kernel_stack::{self, Sleeper};
use super::parse::{self, Registers, Stat, SyscallLine};
use super::root::ProcRoot;
use super::shared::shared;
use super::subject::Subject;
use super::waits::{InCall, Ring};
use crate::bpf::TaskRow;

/// The state of what was not read.
pub(super) const UNREAD: char = '?';

/// Threads read at most, the lowest tids.
const THREADS_MAX: usize = 4096;

/// Looks again and again at what the threads of one process do: about 10 µs per thread and sample.
///
/// Descriptors are listed once, epoll sets are read at each sample unless they are large. The
/// process is held by its open directory: once it is gone, every sample is [`Missing::Vanished`],
/// also if its pid names another process by then.
#[derive(Debug)]
pub struct ThreadSampler(Subject);

/// What one thread did at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadSample {
    /// The thread.
    pub tid: Tid,
    /// What it did.
    pub activity: Reading<Activity>,
    /// Listening sockets that it waited for, out of those the sampler was made for.
    pub waits: Reading<Vec<WaitedSocket>>,
}

impl ThreadSampler {
    /// Opens a process. `listeners` are the sockets that waits are told for.
    pub fn new(root: &ProcRoot, pid: Pid, listeners: &BTreeSet<Inode>) -> Reading<Self> {
        match Subject::open(root, pid, listeners) {
            Ok(subject) => Reading::Known(Self(subject)),
            Err(why) => why.into(),
        }
    }

    /// Looks at every thread, by tid.
    pub fn sample(&mut self) -> Reading<Vec<ThreadSample>> {
        match self.0.sample() {
            Ok(samples) => Reading::Known(samples),
            Err(why) => why.into(),
        }
    }
}

impl Subject {
    fn sample(&mut self) -> Result<Vec<ThreadSample>, Missing> {
        let tids = self.live()?;
        let lines = shared(&tids, |&tid| (tid, registers(&self.tasks, tid)));
        Ok(self.samples(lines))
    }

    /// Threads as they are now.
    fn live(&mut self) -> Result<Vec<Tid>, Missing> {
        self.refresh()?;
        Ok(self.tids.live.iter().take(THREADS_MAX).copied().map(Tid).collect())
    }

    /// What threads with these registers do, in the same order.
    fn samples(&mut self, lines: impl IntoIterator<Item = (Tid, Line)>) -> Vec<ThreadSample> {
        let mut samples = Vec::new();
        let mut rings = Vec::new();
        for (tid, line) in lines {
            let (sample, ring) = self.sample_thread(tid, line);
            rings.extend(ring.map(|ring| (samples.len(), ring)));
            samples.push(sample);
        }
        self.attach_ring_waits(&mut samples, &rings);
        samples
    }

    fn sample_thread(&mut self, tid: Tid, line: Line) -> (ThreadSample, Option<Ring>) {
        let nothing = || Reading::Known(Vec::new());
        let (activity, waits, ring) = match line {
            Err(why) => {
                return (
                    ThreadSample { tid, activity: why.clone().into(), waits: why.into() },
                    None,
                );
            }
            Ok(SyscallLine::Running) => (Activity::Running, nothing(), None),
            Ok(SyscallLine::Outside { .. }) => (outside_a_call(), nothing(), None),
            Ok(SyscallLine::In(registers)) => {
                let InCall { call, waits, ring } = self.in_call(tid, &registers);
                (Activity::Blocked(call), waits, ring)
            }
        };
        (ThreadSample { tid, activity: Reading::Known(activity), waits }, ring)
    }

    /// An accept request of an io_uring waits by itself, whatever its threads do. It is told of the
    /// threads that sit in that ring, or of the first thread if none does. The kernel does not say
    /// which socket it is for, so it counts for every listening socket that the process holds.
    fn attach_ring_waits(&self, samples: &mut [ThreadSample], sitting: &[(usize, Ring)]) {
        let Ok(known) = &self.descriptors else { return };
        let held: BTreeSet<_> = known.listeners.values().copied().collect();
        if held.is_empty() {
            return;
        }
        for &fd in &known.urings {
            if !self.poll_list(fd).1 {
                continue;
            }
            let in_this = |&&(_, ring): &&(usize, Ring)| {
                ring == Ring::Descriptor(fd) || ring == Ring::Registered
            };
            let mut threads: Vec<_> = sitting.iter().filter(in_this).map(|&(at, _)| at).collect();
            if threads.is_empty() {
                threads.push(0);
            }
            for at in threads {
                let Some(Reading::Known(waits)) = samples.get_mut(at).map(|s| &mut s.waits) else {
                    continue;
                };
                waits.extend(held.iter().map(|&inode| WaitedSocket { inode, via: Via::IoUring }));
                waits.sort_unstable();
                waits.dedup();
            }
        }
    }

    /// What a thread with these registers does.
    pub(super) fn activity(&mut self, tid: Tid, line: SyscallLine) -> Reading<Activity> {
        match self.refresh() {
            Ok(()) => self.sample_thread(tid, Ok(line)).0.activity,
            Err(why) => why.into(),
        }
    }

    /// How long every thread ran so far, and how many were left out.
    pub(super) fn schedules(&mut self) -> Result<(Vec<Thread>, u32), Missing> {
        let (tids, omitted) = self.live_and_omitted()?;
        Ok((shared(&tids, |&tid| with_schedule(&self.tasks, tid)), omitted))
    }

    fn live_and_omitted(&mut self) -> Result<(Vec<Tid>, u32), Missing> {
        let tids = self.live()?;
        let omitted = u32::try_from(self.tids.live.len() - tids.len()).unwrap_or(u32::MAX);
        Ok((tids, omitted))
    }

    /// Everything about every thread, and how many were left out. Threads that are in `rows` are not read
    /// again.
    pub(super) fn threads(
        &mut self,
        rows: &BTreeMap<u32, TaskRow>,
    ) -> Result<(Vec<Thread>, u32), Missing> {
        let (tids, omitted) = self.live_and_omitted()?;
        let known = |tid: Tid| Files::of_row(&self.tasks, tid, rows.get(&tid.0)?);
        let files = shared(&tids, |&tid| known(tid).or_else(|| Files::read(&self.tasks, tid)));
        // Those that have exited meanwhile are no threads any more.
        let (mut files, lines): (Vec<_>, Vec<_>) = files.into_iter().flatten().unzip();
        self.add_kernel_functions(&mut files, &lines, rows);
        let samples = self.samples(lines);
        let threads = files.into_iter().zip(samples).map(|(files, sample)| files.thread(sample));
        Ok((threads.collect(), omitted))
    }
}

impl Subject {
    /// Of all threads where addresses were told, of others if their call does not say enough.
    fn add_kernel_functions(
        &self,
        files: &mut [Files],
        lines: &[(Tid, Line)],
        rows: &BTreeMap<u32, TaskRow>,
    ) {
        let sleeps = |(at, (files, (tid, line))): (usize, (&Files, &(Tid, Line)))| {
            let place = rows.get(&tid.0).map(|row| row.kernel.as_slice());
            let runs = matches!(line, Ok(SyscallLine::Running) | Err(_));
            let wanted = !runs && (place.is_some() || !call_says_enough(files.state, line));
            wanted.then_some((at, *tid, place))
        };
        let sleeping: Vec<_> = files.iter().zip(lines).enumerate().filter_map(sleeps).collect();
        let sleepers: Vec<Sleeper<'_>> = sleeping
            .iter()
            .map(|&(at, tid, place)| Sleeper { tid, sched: &files[at].sched, place })
            .collect();
        let functions = kernel_stack::functions(&self.tasks, &sleepers);
        for ((at, ..), functions) in sleeping.into_iter().zip(functions) {
            files[at].kernel = functions;
        }
    }
}

/// A thread's registers, or why they are not known.
type Line = Result<SyscallLine, Missing>;

/// What the files of one thread say besides its registers.
struct Files {
    name: String,
    state: char,
    wchan: Reading<String>,
    sched: Reading<SchedStat>,
    place: Option<ThreadPlace>,
    kernel: Reading<Vec<String>>,
}

impl Files {
    /// Reads them, and the registers. `None` if the thread has exited.
    fn read(tasks: &Dir, tid: Tid) -> Option<(Self, (Tid, Line))> {
        // First of all: what is read after this is of a thread that has not run since, if a later
        // reading of it is equal.
        let sched = schedule(tasks, tid);
        let line = registers(tasks, tid);
        let place = match line {
            Ok(SyscallLine::In(Registers { sp, pc, .. }) | SyscallLine::Outside { sp, pc }) => {
                Some(ThreadPlace { sp, pc, frame_pointer: None })
            }
            Ok(SyscallLine::Running) | Err(_) => None,
        };
        let stat = tasks.parse(&format!("{tid}/stat"), parse::stat).ok()?;
        let Stat { comm: name, state, .. } = stat;
        let wchan = wchan_beside(tasks, tid, state, &line);
        let kernel = Reading::not_collected();
        Some((Self { name, state, wchan, sched, place, kernel }, (tid, line)))
    }

    /// The same by what the kernel told before, if that was enough.
    fn of_row(tasks: &Dir, tid: Tid, row: &TaskRow) -> Option<(Self, (Tid, Line))> {
        let frame_pointer = Some(row.frame_pointer);
        let place = |sp, pc| ThreadPlace { sp, pc, frame_pointer };
        let place = match row.line? {
            SyscallLine::In(Registers { sp, pc, .. }) | SyscallLine::Outside { sp, pc } => {
                Some(place(sp, pc))
            }
            SyscallLine::Running => None,
        };
        let line = Ok(row.line?);
        let wchan = wchan_beside(tasks, tid, row.state, &line);
        let (name, state, sched) = (row.name.clone(), row.state, Reading::Known(row.sched));
        let kernel = Reading::not_collected();
        Some((Self { name, state, wchan, sched, place, kernel }, (tid, line)))
    }

    fn thread(self, ThreadSample { tid, activity, waits }: ThreadSample) -> Thread {
        Thread {
            tid,
            name: self.name,
            state: self.state,
            wchan: self.wchan,
            activity,
            waits,
            sched: self.sched,
            place: self.place,
            stack: Reading::not_collected(),
            kernel: self.kernel,
            samples: Reading::not_collected(),
            managed: Reading::not_collected(),
        }
    }
}

/// A thread of which only this is read.
fn with_schedule(tasks: &Dir, tid: Tid) -> Thread {
    Thread {
        tid,
        name: String::new(),
        state: UNREAD,
        wchan: Reading::not_collected(),
        activity: Reading::not_collected(),
        waits: Reading::not_collected(),
        sched: schedule(tasks, tid),
        place: None,
        stack: Reading::not_collected(),
        kernel: Reading::not_collected(),
        samples: Reading::not_collected(),
        managed: Reading::not_collected(),
    }
}

fn schedule(tasks: &Dir, tid: Tid) -> Reading<SchedStat> {
    let sched = tasks.parse_optional(&format!("{tid}/schedstat"), parse::schedstat);
    sched.map_or_else(Reading::from, Reading::Known)
}

fn registers(tasks: &Dir, tid: Tid) -> Line {
    tasks.parse_optional(&format!("{tid}/syscall"), parse::syscall)
}

/// Whether the functions of the kernel that a thread sleeps in say no more than its call does.
const fn call_says_enough(state: char, line: &Line) -> bool {
    state == 'S' && matches!(line, Ok(SyscallLine::In(_)))
}

/// The kernel function that a thread sleeps in, unless its call says more: the kernel has to unwind a
/// stack for it.
fn wchan_beside(tasks: &Dir, tid: Tid, state: char, line: &Line) -> Reading<String> {
    match call_says_enough(state, line) {
        true => Reading::not_collected(),
        false => wchan(tasks, tid, line).map_or_else(Reading::from, Reading::Known),
    }
}

/// The kernel function that a thread sleeps in.
fn wchan(tasks: &Dir, tid: Tid, line: &Line) -> Result<String, Missing> {
    let name = |text: &[u8]| Some(String::from_utf8_lossy(text).into_owned());
    let wchan = tasks.parse_optional(&format!("{tid}/wchan"), name)?;
    match line {
        // Who may not look into the process is told that it sleeps nowhere (fs/proc/base.c,
        // proc_pid_wchan).
        Err(why @ Missing::NotPermitted { .. }) if wchan == "0" => Err(why.clone()),
        _ => Ok(wchan),
    }
}

/// A page fault, a signal stop or a tracer; the thread's state tells which.
fn outside_a_call() -> Activity {
    Activity::Blocked(Call::none())
}
