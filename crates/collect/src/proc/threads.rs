//! The threads of a process: what each does, and which listening sockets it waits for.

use std::collections::BTreeSet;

use halfopen_evidence::{
    Activity, Call, CallTarget, Inode, Missing, Pid, Reading, Thread, Tid, Via, WaitedSocket,
};

use super::parse::{self, SyscallLine};
use super::root::ProcRoot;
use super::subject::Subject;
use super::waits::{InCall, Ring};

/// Threads read at most, the lowest tids: some 100 ms.
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
    pub(super) fn sample(&mut self) -> Result<Vec<ThreadSample>, Missing> {
        self.refresh()?;
        let tids: Vec<_> = self.tids.live.iter().take(THREADS_MAX).copied().map(Tid).collect();
        let mut samples = Vec::with_capacity(tids.len());
        let mut rings = Vec::new();
        for tid in tids {
            let (sample, ring) = self.sample_thread(tid);
            rings.extend(ring.map(|ring| (samples.len(), ring)));
            samples.push(sample);
        }
        self.attach_ring_waits(&mut samples, &rings);
        Ok(samples)
    }

    fn sample_thread(&mut self, tid: Tid) -> (ThreadSample, Option<Ring>) {
        let line = match self.tasks.parse_optional(&format!("{tid}/syscall"), parse::syscall) {
            Ok(line) => line,
            Err(why) => {
                let (activity, waits) = (why.clone().into(), why.into());
                return (ThreadSample { tid, activity, waits }, None);
            }
        };
        let nothing = || Reading::Known(Vec::new());
        let (activity, waits, ring) = match line {
            SyscallLine::Running => (Activity::Running, nothing(), None),
            SyscallLine::Outside { .. } => (outside_a_call(), nothing(), None),
            SyscallLine::In(registers) => {
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

    /// Everything about every thread, and how many were left out.
    pub(super) fn threads(&mut self) -> Result<(Vec<Thread>, u32), Missing> {
        let samples = self.sample()?;
        let omitted = u32::try_from(self.tids.live.len() - samples.len()).unwrap_or(u32::MAX);
        let threads = samples.into_iter().filter_map(|sample| self.thread(sample)).collect();
        Ok((threads, omitted))
    }

    /// `None` if it has exited meanwhile.
    fn thread(&self, sample: ThreadSample) -> Option<Thread> {
        let ThreadSample { tid, activity, waits } = sample;
        let stat = self.tasks.parse(&format!("{tid}/stat"), parse::stat).ok()?;
        let name = |text: &[u8]| Some(String::from_utf8_lossy(text).into_owned());
        let wchan = self.tasks.parse_optional(&format!("{tid}/wchan"), name);
        let sched = self.tasks.parse_optional(&format!("{tid}/schedstat"), parse::schedstat);
        // Who may not look into the process is told that it sleeps nowhere (fs/proc/base.c,
        // proc_pid_wchan).
        let wchan = match (wchan, activity.missing()) {
            (Ok(wchan), Some(why @ Missing::NotPermitted { .. })) if wchan == "0" => {
                why.clone().into()
            }
            (Ok(wchan), _) => Reading::Known(wchan),
            (Err(why), _) => why.into(),
        };
        let sched = match sched {
            Ok(sched) => Reading::Known(sched),
            Err(why) => why.into(),
        };
        Some(Thread {
            tid,
            name: stat.comm,
            state: stat.state,
            wchan,
            activity,
            waits,
            sched,
            stack: Reading::not_collected(),
            managed: Reading::not_collected(),
        })
    }
}

/// A page fault, a signal stop or a tracer; the thread's state tells which.
fn outside_a_call() -> Activity {
    let name = "no system call".to_owned();
    Activity::Blocked(Call { name, target: CallTarget::Unknown })
}
