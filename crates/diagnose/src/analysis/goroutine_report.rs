//! A goroutine that does something else than accept, in words.

use halfopen_evidence::{Call, CallTarget, GoroutineGroup, GoroutineState, ManagedFrame};

use super::goroutines::{GoroutineElsewhere, GoroutineGone, says_that_it_accepts};
use super::stall_report::Told;
use crate::Fact;
use crate::words::{count, harmless, process_name};

/// What is said of it.
pub(crate) fn tell(elsewhere: &GoroutineElsewhere) -> Told {
    let GoroutineElsewhere { process, group, more, all, confidence } = elsewhere;
    let none = format!("none of {} waits for the listener", count(*all, "goroutine"));
    let mut evidence = vec![Fact::number("goroutines", *all, none)];
    let mut frames = group.frames.get().into_iter().flatten();
    if let Some(frame) = frames.find(|frame| says_that_it_accepts(frame)) {
        evidence.push(Fact::words("code", format!("it was called by {}", place(frame))));
    }
    if *more > 0 {
        let text = format!("{} more may be the one that should accept", count(*more, "goroutine"));
        evidence.push(Fact::number("more-goroutines", *more, text));
    }
    Told {
        cause: format!("{} instead of accepting", sits(elsewhere)),
        confidence: *confidence,
        evidence,
        refuted_by: "an accept in the next window, or a goroutine in Accept on this listener"
            .to_owned(),
        remedies: vec![
            first_step(group).to_owned(),
            format!(
                "keep a dump before a restart: halfopen stacks {} --verbose > goroutines.txt",
                process.pid
            ),
            "give the call a time-out, or move it out of the goroutine that accepts".to_owned(),
        ],
        useless: Vec::new(),
    }
}

/// What is said of one that has ended.
pub(crate) fn tell_gone(gone: &GoroutineGone) -> Told {
    let GoroutineGone { process, all, unknown, elsewhere, confidence } = gone;
    let name = process_name(&process.comm, process.pid);
    let none = format!("none of {} waits for the listener", count(*all, "goroutine"));
    let mut evidence = vec![Fact::number("goroutines", *all, none)];
    if *unknown > 0 {
        let text = format!("of {} it is not known what they are in", count(*unknown, "goroutine"));
        evidence.push(Fact::number("unknown-goroutines", *unknown, text));
    }
    evidence.extend(elsewhere.iter().filter_map(serves).map(|(who, what)| {
        Fact::words("other-listener", format!("{who} waits in Accept for {what}"))
    }));
    let mut cause = format!(
        "none of {} of {name} waits for the listener or is on its way to: the accepting one has ended",
        count(*all, "goroutine")
    );
    if let Some((who, what)) = elsewhere.iter().find_map(serves) {
        cause.push_str(&format!(
            "; {who} still serves {what}, so a probe of that port notices nothing"
        ));
    }
    Told {
        cause,
        confidence: *confidence,
        evidence,
        refuted_by: "an accept in the next window, or a goroutine in Accept on this listener"
            .to_owned(),
        remedies: vec![
            format!("search the log of {name} for the error that ended it"),
            format!(
                "keep a dump before a restart: halfopen stacks {} --verbose > goroutines.txt",
                process.pid
            ),
            "let the program end when Accept fails for good".to_owned(),
        ],
        useless: vec![
            "waiting: clients that the kernel has connected get no answer, and new ones are \
             refused once the queue is full"
                .to_owned(),
        ],
    }
}

/// A goroutine, and the listening socket that it waits for.
fn serves(group: &GoroutineGroup) -> Option<(String, String)> {
    let GoroutineState::Waiting(Call { target, .. }) = &group.state else { return None };
    let CallTarget::Descriptor { fd, what } = target else { return None };
    let who = match (group.count, group.ids.first()) {
        (1, Some(id)) => format!("goroutine {id}"),
        (n, _) => count(n, "goroutine"),
    };
    // What the filter left out has no name.
    let is_named = !what.is_empty() && !what.starts_with("socket:[");
    let what = if is_named { harmless(what) } else { format!("another one (descriptor {fd})") };
    Some((who, what))
}

/// `goroutine 18 of app[812] waits (semacquire) in main.register at server.go:66,`
fn sits(elsewhere: &GoroutineElsewhere) -> String {
    let GoroutineElsewhere { process, group, .. } = elsewhere;
    let who = match (group.count, group.ids.first()) {
        (1, Some(id)) => format!("goroutine {id}"),
        (n, _) => format!("each of {}", count(n, "goroutine")),
    };
    let does = match &group.state {
        GoroutineState::Running => "runs".to_owned(),
        GoroutineState::Runnable => "waits for a thread to run it".to_owned(),
        GoroutineState::InSyscall => "sits in a system call".to_owned(),
        GoroutineState::Changing => "is about to begin or to end".to_owned(),
        GoroutineState::Waiting(Call { name, target: CallTarget::Descriptor { fd, .. } }) => {
            format!("waits ({}) on descriptor {fd}", harmless(name))
        }
        GoroutineState::Waiting(Call { name, .. }) => format!("waits ({})", harmless(name)),
    };
    let site = group.site().map(|frame| format!(" in {}", place(frame))).unwrap_or_default();
    format!("{who} of {} {does}{site},", process_name(&process.comm, process.pid))
}

fn first_step(group: &GoroutineGroup) -> &'static str {
    match &group.state {
        GoroutineState::Waiting(call)
            if call.name == "semacquire" || call.name.starts_with("sync.") =>
        {
            "see which goroutine has the lock: Go's locks name no owner, but all that wait for one are \
             told with where they wait"
        }
        _ => "see what it waits for, and who owes it",
    }
}

fn place(frame: &ManagedFrame) -> String {
    let function = harmless(&frame.function);
    match &frame.line {
        Some(line) => format!("{function} at {}:{}", harmless(line.file_name()), line.line),
        None => function,
    }
}
