//! The readers of `/proc`, over trees made for the purpose and over this kernel's own.

mod blocked;
mod fake;
mod live;

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use halfopen_evidence::{Activity, Call, CallTarget, Inode, Pid, Process, Via};

use super::{ProcRoot, ThreadSampler, read_process};

/// Tries until it is so. Phases are awaited, not slept through.
fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(5));
    }
}

fn process(pid: u32, listeners: &BTreeSet<Inode>) -> Process {
    read_process(&ProcRoot::default(), Pid(pid), listeners).known().expect("a live process")
}

/// Calls that threads of this process sit in, and how they wait for this socket.
fn sample(pid: u32, inode: Inode) -> Vec<(Call, Vec<Via>)> {
    let root = ProcRoot::default();
    let sampler = ThreadSampler::new(&root, Pid(pid), &BTreeSet::from([inode]));
    let samples = sampler.known().expect("a live process").sample().known().expect("its threads");
    samples
        .into_iter()
        .filter_map(|sample| match sample.activity.known()? {
            Activity::Running => None,
            Activity::Blocked(call) => {
                let waits = sample.waits.known()?.into_iter();
                Some((call, waits.filter(|w| w.inode == inode).map(|w| w.via).collect()))
            }
        })
        .collect()
}

/// Targets of calls that threads of this process sit in.
fn targets(pid: u32) -> Vec<CallTarget> {
    sample(pid, Inode(0)).into_iter().map(|(call, _)| call.target).collect()
}
