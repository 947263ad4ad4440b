//! Two looks at one process, the second with stacks.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use halfopen_collect::proc::ProcRoot;
use halfopen_collect::{Collector, NetnsScope, Scope};
use halfopen_evidence::{Between, Interval, Pid, Runtime, Snapshot, Want};
use halfopen_stacks::{Options, runtimes};

/// Time from look to look: a thread that has not run in so long is not merely about to.
const WINDOW: Duration = Duration::from_millis(50);

/// Looks at a process, and asks its runtime if that is one of these.
///
/// # Errors
/// If it is gone, or this host cannot be looked at.
pub(crate) fn look(pid: Pid, options: Options, ask: &[Runtime]) -> anyhow::Result<Interval> {
    let scope = Scope { netns: NetnsScope::OfProcess(pid), ..Scope::default() };
    let mut collector = Collector::new(scope)?;
    let begun = Instant::now();
    let first = snapshot(&mut collector, pid)?;
    std::thread::sleep(WINDOW.saturating_sub(begun.elapsed()));
    let mut second = snapshot(&mut collector, pid)?;
    if let Some(process) = second.processes.get_mut(&pid) {
        let root = ProcRoot::default();
        halfopen_stacks::complete(&root, process, options);
        runtimes::ask(&root, process, ask);
    }
    Ok(Interval { first, between: Between::default(), second })
}

fn snapshot(collector: &mut Collector, pid: Pid) -> anyhow::Result<Snapshot> {
    // The sockets of its namespace give names to what its threads wait for.
    let mut snapshot = collector.look().with_context(|| format!("cannot look at process {pid}"))?;
    collector.fetch(&mut snapshot, &[Want::Process { pid }]);
    match snapshot.processes.get(&pid) {
        Some(process) if process.state != 'X' => Ok(snapshot),
        _ => bail!("there is no process {pid}"),
    }
}
