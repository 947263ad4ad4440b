//! Java, told by HotSpot itself: the thread dump that `jstack -l` prints.
//!
//! A HotSpot virtual machine dumps its threads to who attaches to it. If its socket for that is not
//! there yet, it is made to open it by a file in its `/tmp` and a SIGQUIT; `attach` says when that is
//! not done. For the dump it brings its threads to a safepoint, some milliseconds.

mod attach;
pub mod dump;
mod hotspot;
mod locks;
mod perf_data;

use std::collections::BTreeMap;
use std::time::Duration;

use halfopen_collect::proc::{ProcRoot, ProcessImage};
use halfopen_evidence::{
    Activity, CallTarget, ManagedThread, Missing, Process, Reading, Runtime, Tid,
};

use dump::{Dump, JavaThread};
use locks::Owners;

pub(super) use hotspot::LIBRARY;
pub use perf_data::lets_attach;

/// How long a virtual machine is waited for. One that cannot reach a safepoint never answers.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Asks a HotSpot virtual machine for its thread dump, and adds from it [`Thread::managed`] and what
/// threads in a futex wait for: the monitor or the `java.util.concurrent` lock, and its owner. The dump
/// is of one moment for all threads, later than what was read before.
///
/// This writes `.attach_pidN` into the process's `/tmp`, removes it again, and sends SIGQUIT, unless
/// somebody has attached before. Neither is done to a process that is no HotSpot virtual machine, that
/// has no handler for the signal, or is stopped, traced or frozen; then every thread says why.
///
/// [`Thread::managed`]: halfopen_evidence::Thread::managed
pub fn ask(root: &ProcRoot, process: &mut Process, patience: Duration) {
    let told = attach::thread_dump(root, process, patience).and_then(|text| {
        let image = ProcessImage::open(root, process.pid);
        let tids = match image {
            Reading::Known(image) => image.tids_as_it_knows_them()?,
            Reading::Missing(why) => return Err(why),
        };
        Ok((dump::dump(&text), tids))
    });
    match told {
        Ok((dump, tids)) => add(process, dump, &tids),
        Err(why) => super::missing(process, &why),
    }
}

/// Adds a dump to the threads that it tells of. `tids` are theirs, by the virtual machine's numbers.
fn add(process: &mut Process, dump: Dump, tids: &BTreeMap<u32, Tid>) {
    let owners = Owners::of(&dump, tids);
    let mut told: BTreeMap<Tid, JavaThread> = dump
        .threads
        .into_iter()
        .filter_map(|thread| Some((*tids.get(&thread.tid)?, thread)))
        .collect();
    for thread in process.threads.get_mut().into_iter().flatten() {
        let Some(java) = told.remove(&thread.tid) else {
            thread.managed = Missing::unreadable("not in the dump of the Java VM").into();
            continue;
        };
        if let Some(Activity::Blocked(call)) = thread.activity.get_mut()
            && let CallTarget::Lock { address, .. } | CallTarget::Futex { address, .. } =
                call.target
            && let Some(target) = java.waits.as_ref().and_then(|wait| owners.target(wait, address))
        {
            call.target = target;
        }
        let JavaThread { name, state, frames, .. } = java;
        thread.managed =
            Reading::Known(ManagedThread { runtime: Runtime::Java, name, state, frames });
    }
}
