//! `halfopen stacks`: what every thread of a process does, and who holds the lock that it waits for.
//!
//! `target` finds the processes and `look` looks at them; `report` sorts their threads, and `text`,
//! `json` and `folded` are pure functions of it.

mod args;
#[cfg(test)]
mod fixture;
mod folded;
mod goroutines;
mod json;
mod look;
mod report;
mod stopping;
mod target;
mod text;

use halfopen_diagnose::report::TextOptions;
use halfopen_evidence::{Missing, Pid};

use crate::exit::Exit;
use crate::output;

pub(crate) use args::{ABOUT, StacksArgs};
pub(crate) use json::schema as json_schema;

use look::{Look, Way};
use report::Report;
use target::Target;

/// Looks at the processes and prints their threads.
///
/// # Errors
/// If there is no such process, or the text could not be written.
pub(crate) fn stacks(arguments: &StacksArgs) -> anyhow::Result<Exit> {
    let (pids, left_out) = Target::parse(&arguments.target)?.processes()?;
    if left_out > 0 {
        eprintln!("halfopen: {left_out} more of these processes are not shown; name them by pid");
    }
    if !arguments.ptrace && !arguments.python {
        halfopen_stacks::give_way();
    }
    let mut way = Way::new(arguments);
    let looks = looks(&pids, &mut way)?;
    if let Some(why) = way.without_bpf.as_ref().filter(|_| !arguments.no_bpf) {
        eprintln!("halfopen: what the kernel does is told of few threads: BPF programs: {why}");
    }
    let reports: Vec<Report<'_>> = looks.iter().flat_map(reports).collect();
    output::write(&printed(&reports, way.without_bpf.as_ref(), arguments)?)?;
    Ok(exit(&reports))
}

fn reports(look: &Look) -> impl Iterator<Item = Report<'_>> {
    let Look { interval, stops } = look;
    let report = move |process| Report { stops: stops.as_ref(), ..Report::new(interval, process) };
    interval.second.processes.values().map(report)
}

/// A worker that ends meanwhile is left out, unless it was the only one.
fn looks(pids: &[Pid], way: &mut Way) -> anyhow::Result<Vec<Look>> {
    let (looks, errors): (Vec<_>, Vec<_>) =
        pids.iter().map(|&pid| look::look(pid, way)).partition(Result::is_ok);
    match errors.into_iter().find_map(Result::err) {
        Some(error) if looks.is_empty() => Err(error),
        _ => Ok(looks.into_iter().flatten().collect()),
    }
}

fn printed(
    reports: &[Report<'_>],
    without_bpf: Option<&Missing>,
    arguments: &StacksArgs,
) -> serde_json::Result<String> {
    if arguments.json {
        return json::document(reports, without_bpf);
    }
    let options = TextOptions {
        width: output::width(),
        colour: output::colour(),
        verbose: arguments.verbose,
    };
    let texts = reports.iter().map(|report| match arguments.folded {
        true => folded::folded(report),
        false => text::text(report, &options),
    });
    Ok(texts.collect::<Vec<_>>().join(if arguments.folded { "" } else { "\n" }))
}

fn exit(reports: &[Report<'_>]) -> Exit {
    if reports.iter().any(Report::is_deadlocked) {
        Exit::Failure
    } else if reports.iter().all(Report::is_blind) {
        Exit::CannotTell
    } else {
        Exit::Healthy
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::Reading;

    use super::*;

    fn check(name: &str, print: impl Fn(&Report<'_>) -> String) {
        let interval = fixture::interval();
        let process = &interval.second.processes[&fixture::PID];
        let report = Report::new(&interval, process);
        let text = print(&report);
        assert!(!text.contains('\u{1b}'), "an escape sequence reached the terminal");
        insta::assert_snapshot!(name, text);
    }

    #[test]
    fn a_runtime_that_could_be_asked_is_pointed_to() {
        let mut interval = fixture::interval();
        let process = interval.second.processes.get_mut(&fixture::PID).expect("the process");
        let threads = process.threads.get_mut().into_iter().flatten();
        let frames = threads.filter_map(|thread| thread.stack.get_mut());
        for frame in frames.flat_map(|stack| &mut stack.frames) {
            frame.module = "libjvm.so".to_owned();
        }
        let process = &interval.second.processes[&fixture::PID];
        let text = text::text(&Report::new(&interval, process), &TextOptions::default());
        assert!(text.contains("with --java it is asked"), "{text}");
        let document = fixture::interval();
        let process = &document.second.processes[&fixture::PID];
        let text = text::text(&Report::new(&document, process), &TextOptions::default());
        assert!(!text.contains("--java"), "{text}");
    }

    #[test]
    fn threads_that_have_ended_or_may_not_be_seen_are_told_by_their_state() {
        let mut interval = fixture::interval();
        let process = interval.second.processes.get_mut(&fixture::PID).expect("the process");
        let [first, second, ..] = process.threads.get_mut().expect("threads").as_mut_slice() else {
            panic!("threads");
        };
        first.state = 'Z';
        second.state = 'D';
        second.activity = Missing::needs("root").into();
        second.stack = Missing::needs("root").into();
        second.kernel = Reading::Known(vec!["rpc_wait".to_owned(), "do_syscall_64".to_owned()]);
        let process = &interval.second.processes[&fixture::PID];
        let text = text::text(&Report::new(&interval, process), &TextOptions::default());
        assert!(text.contains("has ended; the process lives on in its other threads"), "{text}");
        let unseen = "sleeps, and cannot be interrupted; its call is not permitted (needs root)";
        assert!(text.contains(unseen), "{text}");
        assert!(text.contains("rpc_wait"), "{text}");
        assert!(!text.contains("stack: not permitted"), "{text}");
    }

    #[test]
    fn a_deadlock_its_victim_and_threads_that_do_the_same_are_shown() {
        let options = TextOptions { width: 80, ..TextOptions::default() };
        check("text", |report| text::text(report, &options));
        let verbose = TextOptions { verbose: true, ..options };
        check("verbose", |report| text::text(report, &verbose));
        check("folded", folded::folded);
        check("json", |report| {
            let text = json::document(std::slice::from_ref(report), None).expect("JSON");
            text.lines().take(60).collect::<Vec<_>>().join("\n")
        });
    }
}
