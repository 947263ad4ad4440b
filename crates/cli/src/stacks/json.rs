//! Threads as JSON, and its schema.

use std::time::Duration;

use halfopen_diagnose::report::json_text;
use halfopen_evidence::{
    Activity, CallTarget, Frame, GoroutineGroup, GoroutineState, ManagedFrame, Missing, OwnerBasis,
    OwnerPlace, Reading, SampledStack, Samples, StackEnd, SyncKind, Thread,
};
use halfopen_stacks::Stops;
use schemars::JsonSchema;
use serde::Serialize;

use super::report::{Code, Group, Report};

const STACKS: &str = "halfopen.stacks/1";

/// What `halfopen stacks --json` prints.
#[derive(Serialize, JsonSchema)]
struct Document<'a> {
    /// `halfopen.stacks/1`. The number goes up when a field changes its meaning or goes away.
    schema: &'static str,
    /// Why no BPF program told of threads, with --verbose: where in the kernel they sleep is told of some
    /// only.
    bpf_missing: Option<String>,
    processes: Vec<ProcessEntry<'a>>,
}

/// A process.
#[derive(Serialize, JsonSchema)]
struct ProcessEntry<'a> {
    pid: u32,
    /// The process's name.
    name: &'a str,
    /// State letter of its first thread: R, S, D, T stopped, t traced, Z exited.
    state: char,
    /// Why its threads could not be read.
    threads_missing: Option<String>,
    /// Why its runtime has told nothing, if it was asked.
    runtime_missing: Option<String>,
    /// What was done to it with --ptrace.
    stopped: Option<StoppedEntry>,
    /// Threads beyond the bound that were not read.
    threads_omitted: u32,
    /// Tids of threads that wait for each other in a circle, each for a lock that the next holds.
    deadlocks: Vec<DeadlockEntry>,
    /// Threads that others wait for, and which wait for no lock themselves.
    hold_ups: Vec<HoldUpEntry>,
    /// Threads that do the same.
    groups: Vec<GroupEntry<'a>>,
    /// Its goroutines, of a Go program.
    goroutines: Option<GoroutinesEntry<'a>>,
    /// Why the goroutines of a Go program could not be read.
    goroutines_missing: Option<String>,
}

/// What was done to threads.
#[derive(Serialize, JsonSchema)]
struct StoppedEntry {
    /// Tids of those that were stopped.
    tids: Vec<u32>,
    /// How long the one stood still that did so for the longest, in microseconds.
    longest_us: u64,
    /// How long they stood still, one after the other, in microseconds.
    total_us: u64,
    /// Those that could not be stopped, or whose stack could not be copied.
    failed: Vec<NotStoppedEntry>,
}

/// A thread that could not be stopped.
#[derive(Serialize, JsonSchema)]
struct NotStoppedEntry {
    tid: u32,
    why: String,
}

/// Goroutines of a Go program.
#[derive(Serialize, JsonSchema)]
struct GoroutinesEntry<'a> {
    /// What the program was made with; empty if it does not say.
    version: &'a str,
    /// Goroutines that were not looked at, dead ones among them.
    omitted: u64,
    /// Goroutines that do the same at the same place, most frequent first.
    groups: Vec<GoroutineEntry<'a>>,
}

/// Goroutines that do the same at the same place.
#[derive(Serialize, JsonSchema)]
struct GoroutineEntry<'a> {
    count: u64,
    /// Numbers of the first of them.
    ids: &'a [u64],
    /// Threads that run these.
    tids: Vec<u32>,
    /// running, runnable, in-syscall, waiting, changing.
    state: &'static str,
    /// Why it waits, in the runtime's words: `semacquire`, `chan receive`, `IO wait`.
    reason: Option<&'a str>,
    waits_for: Option<WaitEntry<'a>>,
    /// Innermost first.
    frames: Option<Vec<ManagedFrameEntry<'a>>>,
    /// Why there are none.
    frames_missing: Option<String>,
}

/// Threads that wait for each other in a circle.
#[derive(Serialize, JsonSchema)]
struct DeadlockEntry {
    tids: Vec<u32>,
    /// Threads besides that wait for one of them in the end.
    victims: usize,
}

/// A thread that others wait for.
#[derive(Serialize, JsonSchema)]
struct HoldUpEntry {
    /// The owner of the last lock.
    tid: u32,
    /// Whether it is a thread of this process that lives.
    is_here: bool,
    /// Threads that wait for it in the end.
    waiters: usize,
}

/// Threads that do the same, with the same stack.
#[derive(Serialize, JsonSchema)]
struct GroupEntry<'a> {
    threads: Vec<ThreadEntry<'a>>,
    /// The system call that they sit in; `running`, or null where it could not be read.
    call: Option<&'a str>,
    /// Why it could not be read.
    call_missing: Option<String>,
    waits_for: Option<WaitEntry<'a>>,
    /// How many have not run at all between the two looks.
    motionless: usize,
    /// The functions of the kernel that the first of these threads sleeps in, innermost first.
    kernel_frames: Option<&'a [String]>,
    /// Why there are none, where they were looked for.
    kernel_frames_missing: Option<String>,
    /// What the runtime was asked for with --java or --python tells, innermost first.
    managed_frames: Option<Vec<ManagedFrameEntry<'a>>>,
    /// Innermost first.
    frames: Option<Vec<FrameEntry<'a>>>,
    /// Where the walk over the stack ended: root (it is whole), lost (the caller is not known), cut.
    end: Option<&'static str>,
    /// Where a thread was met that runs; such a thread has no other stack, unless it was stopped.
    samples: Option<SamplesEntry<'a>>,
    /// Why there is no stack; null where there are managed frames or samples.
    stack_missing: Option<String>,
}

/// What a thread that runs did with its time.
#[derive(Serialize, JsonSchema)]
struct SamplesEntry<'a> {
    /// How long it was watched, in microseconds.
    window_us: u64,
    /// How much of that it was on a CPU.
    cpu_us: u64,
    /// Whether it could run both at the beginning and at the end; with no time on a CPU, it waited for one.
    runnable: bool,
    /// Samples taken, at equal intervals of its time on a CPU.
    taken: u32,
    /// Samples that were not read in time.
    lost: u64,
    /// Most frequent first.
    stacks: Vec<SampledEntry<'a>>,
}

/// A stack that was met.
#[derive(Serialize, JsonSchema)]
struct SampledEntry<'a> {
    /// In how many samples.
    count: u32,
    /// Innermost first.
    frames: Vec<FrameEntry<'a>>,
    /// root, lost or cut, as above.
    end: &'static str,
}

/// A thread.
#[derive(Serialize, JsonSchema)]
struct ThreadEntry<'a> {
    tid: u32,
    name: &'a str,
    state: char,
    /// The name that its runtime gives it, where that was asked.
    managed_name: Option<&'a str>,
    /// What it does, in the runtime's words.
    managed_state: Option<&'a str>,
}

/// What a call waits for.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum WaitEntry<'a> {
    /// A lock that is held.
    Lock {
        /// Of the futex word, in hexadecimal.
        address: String,
        /// mutex, robust-mutex, pi-mutex, rw-lock, stdio, rust-mutex, rust-rw-lock, parking-lot,
        /// java-monitor, java-lock.
        #[schemars(with = "String")]
        kind: SyncKind,
        /// The thread that holds it.
        owner: u32,
        /// How that is known: lock (it names its owner), runtime, stack (probable).
        #[schemars(with = "String")]
        known_by: OwnerBasis,
        /// Where it is: here (a live thread of this process), elsewhere, ended.
        owner_is: &'static str,
        /// The process that it is a thread of, if it is elsewhere.
        owner_process: Option<OwnerEntry<'a>>,
    },
    /// A futex whose owner is not known, or which has none.
    Futex {
        /// Of the futex word, in hexadecimal.
        address: String,
        /// What it is part of: a lock as above, condition, semaphore, rust-park, unknown.
        #[schemars(with = "String")]
        kind: SyncKind,
    },
    /// Another thread's end.
    ThreadExit { tid: u32 },
    /// One descriptor.
    Descriptor { fd: u32, what: &'a str },
    /// Some of several descriptors; 0 if their number could not be read.
    Descriptors { count: u32 },
    /// A child process.
    Child,
    /// The clock.
    Time,
}

/// The process of a lock's owner.
#[derive(Serialize, JsonSchema)]
struct OwnerEntry<'a> {
    pid: u32,
    name: &'a str,
}

/// A function that a runtime tells.
#[derive(Serialize, JsonSchema)]
struct ManagedFrameEntry<'a> {
    function: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
}

/// A function on a stack.
#[derive(Serialize, JsonSchema)]
struct FrameEntry<'a> {
    function: Option<&'a str>,
    /// File name of the program or library; empty for code that is in no file.
    module: &'a str,
    /// In the file, in hexadecimal.
    address: String,
    file: Option<&'a str>,
    line: Option<u32>,
}

/// Processes as one document.
///
/// # Errors
/// None that is known: everything in it has a JSON form.
pub(crate) fn document(
    reports: &[Report<'_>],
    without_bpf: Option<&Missing>,
) -> serde_json::Result<String> {
    let processes = reports.iter().map(process).collect();
    let bpf_missing = without_bpf.map(ToString::to_string);
    json_text(&Document { schema: STACKS, bpf_missing, processes })
}

/// The schema of [`document`].
pub(crate) fn schema() -> String {
    format!("{:#}\n", schemars::schema_for!(Document<'_>).as_value())
}

fn process<'a>(report: &'a Report<'a>) -> ProcessEntry<'a> {
    let process = report.process;
    let deadlocks = report.deadlocks.iter().map(|found| DeadlockEntry {
        tids: found.members.iter().map(|thread| thread.tid.0).collect(),
        victims: found.victims,
    });
    let hold_ups = report.hold_ups.iter().map(|found| HoldUpEntry {
        tid: found.owner.0,
        is_here: found.thread.is_some(),
        waiters: found.waiters,
    });
    ProcessEntry {
        pid: process.pid.0,
        name: &process.comm,
        state: process.state,
        threads_missing: process.threads.missing().map(ToString::to_string),
        runtime_missing: report.runtime().and_then(Result::err).map(ToString::to_string),
        stopped: report.stops.map(stopped),
        threads_omitted: process.threads_omitted,
        deadlocks: deadlocks.collect(),
        hold_ups: hold_ups.collect(),
        groups: report.groups.iter().map(group).collect(),
        goroutines: process.goroutines.get().map(|found| GoroutinesEntry {
            version: &found.version,
            omitted: found.omitted,
            groups: found.groups.iter().map(goroutine).collect(),
        }),
        goroutines_missing: report.goroutines_missing().map(ToString::to_string),
    }
}

fn stopped(stops: &Stops) -> StoppedEntry {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let failed = stops.failed.iter();
    StoppedEntry {
        tids: stops.stopped.keys().map(|tid| tid.0).collect(),
        longest_us: micros(stops.longest()),
        total_us: micros(stops.total()),
        failed: failed
            .map(|(tid, why)| NotStoppedEntry { tid: tid.0, why: why.to_string() })
            .collect(),
    }
}

fn goroutine(group: &GoroutineGroup) -> GoroutineEntry<'_> {
    let (state, call) = match &group.state {
        GoroutineState::Running => ("running", None),
        GoroutineState::Runnable => ("runnable", None),
        GoroutineState::InSyscall => ("in-syscall", None),
        GoroutineState::Waiting(call) => ("waiting", Some(call)),
        GoroutineState::Changing => ("changing", None),
    };
    GoroutineEntry {
        count: group.count,
        ids: &group.ids,
        tids: group.threads.iter().map(|tid| tid.0).collect(),
        state,
        reason: call.map(|call| &*call.name),
        waits_for: call.and_then(|call| wait(&call.target)),
        frames: group.frames.get().map(|frames| frames.iter().map(managed_frame).collect()),
        frames_missing: group.frames.missing().map(ToString::to_string),
    }
}

fn group<'a>(group: &Group<'a>) -> GroupEntry<'a> {
    let thread = |thread: &&'a Thread| ThreadEntry {
        tid: thread.tid.0,
        name: &thread.name,
        state: thread.state,
        managed_name: thread.managed.get().map(|managed| &*managed.name),
        managed_state: thread.managed.get().and_then(|managed| managed.state.as_deref()),
    };
    let (mut managed, mut stack, mut met, mut why) = (None, None, None, None);
    match group.code {
        Code::Managed(frames) => managed = Some(frames),
        Code::Native(Reading::Known(known)) => stack = Some(known),
        Code::Native(Reading::Missing(missing)) => why = Some(missing),
        Code::Sampled(_, samples, stopped) => {
            met = Some(samples);
            stack = stopped.get();
        }
    }
    GroupEntry {
        threads: group.threads.iter().map(thread).collect(),
        call: group.activity.get().map(call),
        call_missing: group.activity.missing().map(ToString::to_string),
        waits_for: group.activity.get().and_then(|activity| match activity {
            Activity::Running => None,
            Activity::Blocked(call) => wait(&call.target),
        }),
        motionless: group.motionless,
        kernel_frames: group.kernel.get().map(Vec::as_slice),
        kernel_frames_missing: group
            .kernel
            .missing()
            .filter(|&why| *why != Missing::NotCollected)
            .map(ToString::to_string),
        managed_frames: managed.map(|frames| frames.iter().map(managed_frame).collect()),
        frames: stack.map(|stack| stack.frames.iter().map(frame).collect()),
        end: stack.map(|stack| end(stack.end)),
        samples: met.map(samples),
        stack_missing: why.map(ToString::to_string),
    }
}

fn samples(samples: &Samples) -> SamplesEntry<'_> {
    SamplesEntry {
        window_us: samples.window_us,
        cpu_us: samples.cpu_us,
        runnable: samples.runnable,
        taken: samples.taken,
        lost: samples.lost,
        stacks: samples.stacks.iter().map(sampled).collect(),
    }
}

fn sampled(sampled: &SampledStack) -> SampledEntry<'_> {
    SampledEntry {
        count: sampled.count,
        frames: sampled.stack.frames.iter().map(frame).collect(),
        end: end(sampled.stack.end),
    }
}

fn call(activity: &Activity) -> &str {
    match activity {
        Activity::Running => "running",
        Activity::Blocked(call) => &call.name,
    }
}

fn wait(target: &CallTarget) -> Option<WaitEntry<'_>> {
    Some(match target {
        CallTarget::Unknown => return None,
        CallTarget::Lock { address, owner, kind, basis, place } => {
            let (owner_is, owner_process) = match place {
                OwnerPlace::Here => ("here", None),
                OwnerPlace::Ended => ("ended", None),
                OwnerPlace::Elsewhere(owner) => {
                    ("elsewhere", Some(OwnerEntry { pid: owner.pid.0, name: &owner.comm }))
                }
            };
            WaitEntry::Lock {
                address: format!("{address:#x}"),
                kind: *kind,
                owner: owner.0,
                known_by: *basis,
                owner_is,
                owner_process,
            }
        }
        &CallTarget::Futex { address, kind } => {
            WaitEntry::Futex { address: format!("{address:#x}"), kind }
        }
        CallTarget::ThreadExit { tid } => WaitEntry::ThreadExit { tid: tid.0 },
        CallTarget::Descriptor { fd, what } => WaitEntry::Descriptor { fd: *fd, what },
        CallTarget::Descriptors { count } => WaitEntry::Descriptors { count: *count },
        CallTarget::Child => WaitEntry::Child,
        CallTarget::Time => WaitEntry::Time,
    })
}

fn frame(frame: &Frame) -> FrameEntry<'_> {
    FrameEntry {
        function: frame.function.as_deref(),
        module: &frame.module,
        address: format!("{:#x}", frame.address),
        file: frame.line.as_ref().map(|line| line.file.as_str()),
        line: frame.line.as_ref().map(|line| line.line),
    }
}

fn managed_frame(frame: &ManagedFrame) -> ManagedFrameEntry<'_> {
    ManagedFrameEntry {
        function: &frame.function,
        file: frame.line.as_ref().map(|line| line.file.as_str()),
        line: frame.line.as_ref().map(|line| line.line),
    }
}

const fn end(end: StackEnd) -> &'static str {
    match end {
        StackEnd::Root => "root",
        StackEnd::Lost => "lost",
        StackEnd::Cut => "cut",
    }
}
