//! Stacks in one line each, for programs that draw flame graphs: functions from the outermost, joined
//! by semicolons, then how many threads have them. A thread that runs counts where it was met most.
//! Goroutines, which are no threads, are below a name of their own.

use std::collections::BTreeMap;

use halfopen_diagnose::words::harmless;
use halfopen_evidence::{Frame, Reading};

use super::goroutines;
use super::report::{Code, Report};
use super::text::call;

/// A line per stack.
pub(crate) fn folded(report: &Report<'_>) -> String {
    let mut stacks: BTreeMap<String, u64> = BTreeMap::new();
    for group in &report.groups {
        let mut names = vec![part(&report.process.comm)];
        names.extend(functions(group.code).into_iter().rev());
        names.push(part(call(group.activity)));
        *stacks.entry(names.join(";")).or_insert(0) += group.threads.len() as u64;
    }
    for group in report.process.goroutines.get().into_iter().flat_map(|found| &found.groups) {
        let mut names = vec![part(&report.process.comm), "goroutines".to_owned()];
        let frames = group.frames.get().into_iter().flatten().rev();
        names.extend(frames.map(|frame| part(&frame.function)));
        names.push(part(&goroutines::does(group)));
        *stacks.entry(names.join(";")).or_insert(0) += group.count;
    }
    stacks.into_iter().map(|(stack, count)| format!("{stack} {count}\n")).collect()
}

fn functions(code: Code<'_>) -> Vec<String> {
    match code {
        Code::Managed(frames) => frames.iter().map(|frame| part(&frame.function)).collect(),
        Code::Native(Reading::Known(stack)) => stack.frames.iter().map(name).collect(),
        Code::Native(Reading::Missing(_)) => Vec::new(),
        Code::Sampled(_, samples, stopped) => {
            let most = samples.stacks.first().map(|most| &most.stack).or_else(|| stopped.get());
            most.map(|stack| stack.frames.iter().map(name).collect()).unwrap_or_default()
        }
    }
}

fn name(frame: &Frame) -> String {
    match &frame.function {
        Some(function) => part(function),
        None => part(&format!("{}+{:#x}", frame.module, frame.address)),
    }
}

/// A name that cannot be taken for two, or for a count.
fn part(name: &str) -> String {
    harmless(name).replace(';', ":")
}
