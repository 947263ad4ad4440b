//! Threads that run, in programs that the tests compile: what is sampled of them, and that no thread is
//! ever told to be where it is not.

mod targets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use halfopen_collect::proc::{ProcRoot, read_process};
use halfopen_evidence::{Activity, Pid, Process, Samples, Stack, StackEnd, Thread};
use halfopen_stacks::{Options, complete};
use targets::{Program, Target};

const CPP: &[&[&str]] = &[
    &["-g", "-O0", "-pthread"],
    &["-O2", "-pthread"],
    &["-O2", "-fno-omit-frame-pointer", "-pthread"],
];

fn look(target: &Target, options: Options) -> Process {
    let root = ProcRoot::default();
    let read = read_process(&root, Pid(target.pid()), &BTreeSet::new());
    let mut process = read.known().expect("a live process");
    complete(&root, &mut process, options);
    process
}

fn threads(process: &Process) -> &[Thread] {
    process.threads.get().expect("its threads")
}

/// Names of the functions of a stack, innermost first, without their arguments and modules.
fn functions(stack: &Stack) -> Vec<&str> {
    let names = stack.frames.iter().filter_map(|frame| frame.function.as_deref());
    let without_arguments = names.map(|name| name.split('(').next().unwrap_or(name));
    without_arguments.map(|name| name.rsplit("::").next().unwrap_or(name)).collect()
}

/// Samples of the thread that runs all the time. The machine may be so busy that it does not get a CPU
/// at once.
fn samples_of_the_busy_thread(target: &Target) -> Option<Samples> {
    let mut looks = (0..100).map(|_| one_look_at_the_busy_thread(target));
    let found = looks.find(|samples| samples.as_ref().is_none_or(|samples| samples.taken > 0));
    found.expect("a CPU for it")
}

/// What one look tells of that thread. A line says so where there can be no samples.
fn one_look_at_the_busy_thread(target: &Target) -> Option<Samples> {
    let process = look(target, Options::default());
    let busy = threads(&process).iter().find(|thread| thread.name == "busy");
    let busy = busy.expect("a thread that runs");
    if let Some(why) = busy.samples.missing() {
        println!("SKIPPED samples: {why}");
        return None;
    }
    busy.samples.clone().known()
}

/// All samples are in these functions, one called by the next, and the stack is whole.
fn check_path(samples: &Samples, path: &[&str]) {
    let on_the_path = samples.stacks.iter().filter(|sampled| {
        let functions = functions(&sampled.stack);
        let is_whole = sampled.stack.end == StackEnd::Root;
        is_whole && functions.windows(path.len()).any(|window| window == path)
    });
    let count: u32 = on_the_path.map(|sampled| sampled.count).sum();
    assert!(samples.taken > 0, "{samples:?}");
    assert_eq!(count, samples.taken, "{path:?} in {:#?}", samples.stacks);
    assert!(samples.cpu_us > 0 && samples.cpu_us <= samples.window_us, "{samples:?}");
    assert!(!samples.got_no_cpu());
}

#[test]
fn a_loop_that_is_stuck_in_a_call_is_seen_with_the_whole_way_there() {
    for options in CPP {
        let Some(program) = Program::compile("running.cpp", options) else { return };
        let target = program.start(&["loop"]);
        let Some(samples) = samples_of_the_busy_thread(&target) else { return };
        check_path(&samples, &["recompute_index", "handle_client", "event_loop"]);
        assert_eq!(samples.stacks.len(), 1, "one place: {:#?}", samples.stacks);
    }
}

#[test]
fn rust_is_seen_with_frame_pointers_and_without() {
    for frame_pointers in ["yes", "no"] {
        let option = format!("-Cforce-frame-pointers={frame_pointers}");
        let Some(program) = Program::compile("running_rust.rs", &["-O", &option]) else { return };
        let target = program.start(&[]);
        let Some(samples) = samples_of_the_busy_thread(&target) else { return };
        check_path(&samples, &["recompute_index", "handle_client", "event_loop"]);
    }
}

#[test]
fn a_thread_in_a_function_of_the_c_library_is_seen_in_it_and_below() {
    for options in CPP {
        let Some(program) = Program::compile("running.cpp", options) else { return };
        let target = program.start(&["library"]);
        let Some(samples) = samples_of_the_busy_thread(&target) else { return };
        check_path(&samples, &["search_in_vain"]);
        let in_the_library = samples.stacks.iter().filter(|sampled| {
            sampled.stack.frames.first().is_some_and(|frame| frame.module.starts_with("libc"))
        });
        let count: u32 = in_the_library.map(|sampled| sampled.count).sum();
        assert!(count > 0, "{samples:#?}");
    }
}

#[test]
fn a_thread_is_unwound_from_any_instruction_of_a_function() {
    for options in CPP {
        let Some(program) = Program::compile("running.cpp", options) else { return };
        let target = program.start(&["steps"]);
        for _ in 0..5 {
            let Some(samples) = samples_of_the_busy_thread(&target) else { return };
            check_path(&samples, &["step_by_step"]);
        }
    }
}

#[test]
fn a_thread_whose_control_group_is_throttled_gets_no_cpu() {
    let Some(program) = Program::compile("running.cpp", CPP[1]) else { return };
    let target = program.start(&["loop"]);
    let group = match Throttled::new(target.pid()) {
        Ok(group) => group,
        Err(error) => return println!("SKIPPED throttling: {error}"),
    };
    let got_none = (0..50).any(|_| {
        let samples = one_look_at_the_busy_thread(&target);
        samples.is_none_or(|samples| samples.got_no_cpu() && samples.stacks.is_empty())
    });
    assert!(got_none, "one millisecond in each second was allowed");
    drop((target, group));
}

/// A control group whose processes may run one millisecond in each second.
struct Throttled(PathBuf);

impl Throttled {
    fn new(pid: u32) -> io::Result<Self> {
        let name = format!("halfopen-test-{pid}");
        let (group, settings) = match Path::new("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").exists() {
            true => (
                Path::new("/sys/fs/cgroup/cpu").join(name),
                &[("cpu.cfs_period_us", "1000000"), ("cpu.cfs_quota_us", "1000")][..],
            ),
            false => (Path::new("/sys/fs/cgroup").join(name), &[("cpu.max", "1000 1000000")][..]),
        };
        fs::create_dir(&group)?;
        let made = Self(group);
        for (file, value) in settings {
            fs::write(made.0.join(file), value)?;
        }
        fs::write(made.0.join("cgroup.procs"), pid.to_string())?;
        Ok(made)
    }
}

impl Drop for Throttled {
    fn drop(&mut self) {
        // It can go once its process has.
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn sampling_interrupts_no_call_of_the_process() {
    let Some(program) = Program::compile("running.cpp", CPP[1]) else { return };
    let mut target = program.start(&["loop"]);
    target.ask();
    for _ in 0..5 {
        samples_of_the_busy_thread(&target);
    }
    let answer = target.ask();
    let (gap, interrupted) = answer.split_once(' ').expect("two numbers");
    println!("widest gap of the heartbeat while sampled: {gap} us");
    assert_eq!(interrupted, "0");
}

#[test]
fn a_window_of_nothing_samples_nobody() {
    let Some(program) = Program::compile("running.cpp", CPP[1]) else { return };
    let target = program.start(&["loop"]);
    let process = look(&target, Options { window: Duration::ZERO, ..Options::default() });
    assert!(threads(&process).iter().all(|thread| thread.samples.is_not_collected()));
}

/// The functions of `running.cpp` that block, and the calls that they do so in.
const BLOCKS: [(&str, &[&str]); 3] = [
    ("sleep_a_little", &["nanosleep", "clock_nanosleep"]),
    ("wait_in_poll", &["poll", "ppoll"]),
    ("take_the_lock", &["futex"]),
];

/// Whether a thread of `running.cpp turns` can be in these functions while it sits in this call.
fn is_possible(functions: &[&str], call: &str) -> bool {
    let own = |name: &&&str| {
        let is_a_block = BLOCKS.iter().any(|(function, _)| function == *name);
        is_a_block || ["block", "even", "odd", "take_turns"].contains(*name)
    };
    let own: Vec<&str> = functions.iter().filter(own).copied().collect();
    let [blocks, "block", turns @ .., "take_turns"] = &own[..] else { return false };
    let fits = BLOCKS.iter().any(|(function, calls)| function == blocks && calls.contains(&call));
    let alternate = turns.windows(2).all(|pair| pair[0] != pair[1]);
    let bare = turns.iter().all(|turn| ["even", "odd"].contains(turn));
    fits && alternate && bare && !turns.is_empty()
}

#[test]
fn no_stack_is_ever_put_together_from_two_moments() {
    for options in CPP {
        let Some(program) = Program::compile("running.cpp", options) else { return };
        let target = program.start(&["turns"]);
        let mut seen = 0;
        for _ in 0..200 {
            let process = look(&target, Options { window: Duration::ZERO, ..Options::default() });
            for thread in threads(&process).iter().filter(|thread| thread.name == "busy") {
                let (Some(Activity::Blocked(call)), Some(stack)) =
                    (thread.activity.get(), thread.stack.get())
                else {
                    continue;
                };
                let functions = functions(stack);
                assert_eq!(stack.end, StackEnd::Root, "{call:?} in {stack:#?}");
                assert!(is_possible(&functions, &call.name), "{call:?} in {functions:?}");
                seen += 1;
            }
        }
        println!("{seen} stacks of 1600 stood still long enough to be copied");
        assert!(seen > 0, "no thread ever stood still");
    }
}
