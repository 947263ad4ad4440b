//! Two looks at one process: how long its threads had run, then what they do, with stacks.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use halfopen_collect::bpf::Programs;
use halfopen_collect::proc::{ProcRoot, read_schedules};
use halfopen_collect::{CollectError, Collector, NetnsScope, Scope};
use halfopen_evidence::{Between, Interval, Missing, Pid, Process, Runtime, Snapshot, Want};
use halfopen_stacks::{Options, Stops, runtimes};

use super::args::StacksArgs;
use super::stopping;

/// Time from look to look: a thread that has not run in so long is not merely about to. The kernel counts
/// a time slice when it begins, so for its figures any time would do.
const WINDOW: Duration = Duration::from_millis(20);

/// How processes are looked at.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) options: Options,
    /// Runtimes that may be asked.
    pub(crate) ask: Vec<Runtime>,
    /// Whether threads may be stopped.
    ptrace: bool,
    /// Whether the functions of the kernel are wanted too, for which a program is loaded. For what else it
    /// tells, loading it is too dear: 60 ms of CPU time, most of it for the kernel's types, where reading a
    /// thread's files takes some 10 µs more than that program does.
    every_frame: bool,
    /// What was loaded for processes before.
    programs: Programs,
    /// Why the kernel does not tell of threads by a program, once that was tried.
    pub(crate) without_bpf: Option<Missing>,
}

impl Way {
    pub(crate) fn new(arguments: &StacksArgs) -> Self {
        let StacksArgs { lines, ptrace, no_bpf, verbose, .. } = *arguments;
        let programs = if no_bpf { Programs::refused() } else { Programs::default() };
        Self {
            options: Options { lines, ..Options::default() },
            ask: arguments.runtimes(),
            ptrace,
            every_frame: verbose,
            programs,
            without_bpf: None,
        }
    }
}

/// Two looks at a process, and what was done to it.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) interval: Interval,
    /// If threads could be stopped.
    pub(crate) stops: Option<Stops>,
}

/// Looks at a process, and asks its runtime and stops threads if that may be.
///
/// # Errors
/// If it is gone, or this host cannot be looked at.
pub(crate) fn look(pid: Pid, way: &mut Way) -> anyhow::Result<Look> {
    let scope = Scope { netns: NetnsScope::OfProcess(pid), ..Scope::default() };
    let mut collector = Collector::with_programs(scope, std::mem::take(&mut way.programs))?;
    let looked = look_by(&mut collector, pid, way);
    way.programs = collector.into_programs();
    looked
}

fn look_by(collector: &mut Collector, pid: Pid, way: &mut Way) -> anyhow::Result<Look> {
    let root = ProcRoot::default();
    let begun = Instant::now();
    let before = read_schedules(&root, pid);
    // The sockets of its namespace give names to what its threads wait for.
    let mut second = sockets(collector).with_context(|| format!("cannot look at process {pid}"))?;
    let first = Snapshot {
        taken: second.taken,
        host: second.host.clone(),
        netns: Vec::new(),
        processes: before.known().map(|process| (pid, process)).into_iter().collect(),
        gaps: Vec::new(),
    };
    if way.every_frame {
        way.without_bpf = collector.load_task_table().err();
    }
    std::thread::sleep(WINDOW.saturating_sub(begun.elapsed()));
    collector.fetch(&mut second, &[Want::Process { pid }]);
    let Some(mut process) = second.processes.remove(&pid).filter(|process| process.state != 'X')
    else {
        bail!("there is no process {pid}");
    };
    halfopen_stacks::complete(&root, &mut process, way.options);
    let stops = way.ptrace.then(|| stopping::stop(&root, &mut process, way.options));
    runtimes::ask(&root, &mut process, &way.ask);
    add_goroutines(collector, &second, &mut process, way.options.patience);
    second.processes.insert(pid, process);
    Ok(Look { interval: Interval { first, between: Between::default(), second }, stops })
}

/// The sockets of the process's namespace; of our own, if that of the process may not be told. Sockets have
/// numbers of their own in all of them.
fn sockets(collector: &mut Collector) -> Result<Snapshot, CollectError> {
    match collector.look() {
        Err(CollectError::NetnsOfProcess { .. }) => {
            let own = Scope { netns: NetnsScope::Own, ..Scope::default() };
            let former = std::mem::replace(collector, Collector::new(own.clone())?);
            *collector = Collector::with_programs(own, former.into_programs())?;
            collector.look()
        }
        looked => looked,
    }
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
