//! Two looks at one process: how long its threads had run, then what they do, with stacks.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use halfopen_collect::proc::{ProcRoot, read_schedules};
use halfopen_collect::{Collector, NetnsScope, Scope};
use halfopen_evidence::{Between, Interval, Pid, Process, Runtime, Snapshot, Want};
use halfopen_stacks::{Options, runtimes};

/// Time from look to look: a thread that has not run in so long is not merely about to. The kernel counts
/// a time slice when it begins, so for its figures any time would do.
const WINDOW: Duration = Duration::from_millis(20);

/// Looks at a process, and asks its runtime if that is one of these.
///
/// # Errors
/// If it is gone, or this host cannot be looked at.
pub(crate) fn look(pid: Pid, options: Options, ask: &[Runtime]) -> anyhow::Result<Interval> {
    let scope = Scope { netns: NetnsScope::OfProcess(pid), ..Scope::default() };
    let mut collector = Collector::new(scope)?;
    let root = ProcRoot::default();
    let begun = Instant::now();
    let before = read_schedules(&root, pid);
    // The sockets of its namespace give names to what its threads wait for.
    let mut second = collector.look().with_context(|| format!("cannot look at process {pid}"))?;
    let first = Snapshot {
        taken: second.taken,
        host: second.host.clone(),
        netns: Vec::new(),
        processes: before.known().map(|process| (pid, process)).into_iter().collect(),
        gaps: Vec::new(),
    };
    std::thread::sleep(WINDOW.saturating_sub(begun.elapsed()));
    collector.fetch(&mut second, &[Want::Process { pid }]);
    let Some(mut process) = second.processes.remove(&pid).filter(|process| process.state != 'X')
    else {
        bail!("there is no process {pid}");
    };
    halfopen_stacks::complete(&root, &mut process, options);
    runtimes::ask(&root, &mut process, ask);
    add_goroutines(&mut collector, &second, &mut process, options.patience);
    second.processes.insert(pid, process);
    Ok(Interval { first, between: Between::default(), second })
}

fn add_goroutines(
    collector: &mut Collector,
    look: &Snapshot,
    process: &mut Process,
    patience: Duration,
) {
    let mut goroutines = runtimes::go::goroutines(&ProcRoot::default(), process.pid, patience);
    let groups = goroutines.get_mut().into_iter().flat_map(|found| &mut found.groups);
    collector.name_sockets(look, groups.filter_map(|group| group.state.target_mut()));
    process.goroutines = goroutines;
}
