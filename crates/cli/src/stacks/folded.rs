//! Stacks in one line each, for programs that draw flame graphs: functions from the outermost, joined
//! by semicolons, then how many threads have them.

use halfopen_diagnose::words::harmless;
use halfopen_evidence::{Frame, Stack};

use super::report::Report;
use super::text::call;

/// A line per group of threads.
pub(crate) fn folded(report: &Report<'_>) -> String {
    let mut lines: Vec<String> = report
        .groups
        .iter()
        .map(|group| {
            let stack = group.stack.get();
            let frames = stack.map(|stack: &Stack| stack.frames.as_slice()).unwrap_or_default();
            let mut names = vec![part(&report.process.comm)];
            names.extend(frames.iter().rev().map(name));
            names.push(part(call(group.activity)));
            format!("{} {}\n", names.join(";"), group.threads.len())
        })
        .collect();
    lines.sort();
    lines.concat()
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
