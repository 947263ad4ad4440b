//! Frame for frame the same as an unwinder that stops the target: eu-stack of elfutils, which reads
//! registers by ptrace.

use std::collections::BTreeMap;
use std::process::Command;

use halfopen_evidence::Process;

use super::target::{Build, Running, eventually, file, has, output_of, threads};

/// Threads of each target.
const THREADS: &str = "500";

/// Per thread, where each function of its stack is: in its file, or in memory for code in no file.
type Stacks = BTreeMap<u32, Vec<u64>>;

fn ours(process: &Process) -> Stacks {
    let addresses = |thread: &halfopen_evidence::Thread| {
        let frames = &thread.stack.get()?.frames;
        Some((thread.tid.0, frames.iter().map(|frame| frame.address).collect()))
    };
    threads(process).iter().filter_map(addresses).collect()
}

/// As eu-stack prints them: `TID 7:`, then per frame `#0  0x00007f…` and, for code in a file, a line
/// with the address where that is mapped, `[BUILDID]@0x00007f…+0x1234`.
fn theirs(pid: u32) -> Stacks {
    let arguments = ["-q", "-b", "-n", "0", "-p", &pid.to_string()];
    let text = output_of("eu-stack", &arguments).expect("eu-stack");
    let mut stacks = Stacks::new();
    let mut stack = Vec::new();
    let mut tid = None;
    for line in text.lines().chain(["TID 0:"]) {
        if let Some(next) = line.strip_prefix("TID ") {
            let finished = tid.replace(next.trim_end_matches(':').parse().expect("a tid"));
            stacks.extend(finished.map(|tid| (tid, std::mem::take(&mut stack))));
        } else if let Some(frame) = line.strip_prefix('#') {
            let (number, address) = frame.split_once(' ').expect("a frame");
            // What is called returns behind the call.
            stack.push(hexadecimal(address) - u64::from(number != "0"));
        } else if let Some((_, place)) =
            line.trim_start().strip_prefix('[').and_then(|line| line.split_once("]@"))
        {
            let (base, _) = place.split_once('+').expect("an offset");
            *stack.last_mut().expect("a frame before") -= hexadecimal(base);
        }
    }
    stacks
}

fn hexadecimal(text: &str) -> u64 {
    let digits = text.trim().strip_prefix("0x").expect("a hexadecimal number");
    u64::from_str_radix(digits, 16).expect("a hexadecimal number")
}

/// Looks before and after eu-stack; threads that have moved meanwhile say nothing.
fn check(what: &str, running: &Running, least: usize) {
    eventually(what, || {
        let before = ours(&running.look());
        let theirs = theirs(running.pid());
        let after = ours(&running.look());
        let still = before.into_iter().filter(|(tid, stack)| after.get(tid) == Some(stack));
        let (same, different): (Stacks, Stacks) =
            still.partition(|(tid, stack)| theirs.get(tid) == Some(stack));
        if different.is_empty() && same.len() >= least {
            println!("{what}: {} stacks are the same", same.len());
            return Ok(());
        }
        let different = different.into_iter().take(3);
        let sides: Vec<_> = different.map(|(tid, ours)| (tid, ours, theirs.get(&tid))).collect();
        Err(format!("{} are the same of {}; {sides:x?}", same.len(), theirs.len()))
    });
}

fn check_program(source: &str, build: Build) {
    if !has("eu-stack", source) {
        return;
    }
    let Some(program) = build.program(source) else { return };
    let mut running = program.start(&[THREADS]);
    assert_eq!(running.line(), "ready");
    check(&format!("{source} {build:?}"), &running, 500);
}

#[test]
fn stacks_of_cpp_are_those_that_ptrace_gives() {
    check_program("abba.cpp", Build("g++", &["-O2", "-pthread"]));
    check_program("abba.cpp", Build("g++", &["-O0", "-g", "-pthread"]));
    check_program("abba.cpp", Build("g++", &["-O2", "-fno-omit-frame-pointer", "-pthread"]));
}

#[test]
fn stacks_of_rust_are_those_that_ptrace_gives() {
    check_program("idle.rs", Build("rustc", &["--edition=2024", "-O"]));
    check_program("idle.rs", Build("rustc", &["--edition=2024", "-g"]));
}

#[test]
fn stacks_of_python_are_those_that_ptrace_gives() {
    if !(has("eu-stack", "stacks of Python") && has("python3", "stacks of Python")) {
        return;
    }
    let mut running = Running::start(Command::new("python3").arg(file("idle.py")).arg(THREADS));
    assert_eq!(running.line(), "ready");
    check("Python", &running, 500);
}

#[test]
fn stacks_of_java_are_those_that_ptrace_gives() {
    if !(has("eu-stack", "stacks of Java") && has("java", "stacks of Java")) {
        return;
    }
    let mut running = Running::start(Command::new("java").arg(file("Idle.java")).arg(THREADS));
    assert_eq!(running.line(), "ready");
    check("Java", &running, 500);
}
