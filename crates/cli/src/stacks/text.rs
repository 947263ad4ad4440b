//! Threads for people at a terminal.

use halfopen_diagnose::Doing;
use halfopen_diagnose::report::TextOptions;
use halfopen_diagnose::report::layout::{Ink, Page, Span, columns, shortened};
use halfopen_diagnose::words::{count, harmless, process_name};
use halfopen_evidence::{
    Activity, Frame, ManagedFrame, Missing, Reading, Runtime, Samples, Stack, StackEnd, Thread,
};

use super::goroutines;
use super::report::{Code, Deadlock, Group, HoldUp, Report};
use super::stopping;

/// The column in which the text behind a label begins.
pub(super) const TEXT_COLUMN: usize = 14;

/// Frames shown of each stack, unless all are asked for.
const FRAMES: usize = 12;

/// Those of them that are the kernel's.
const KERNEL_FRAMES: usize = 5;

/// Columns between a function and where it is.
const GAP: usize = 2;

/// Stacks shown of a thread that runs, unless all are asked for.
const SAMPLED: usize = 2;

/// Threads named one by one, unless all are asked for.
const NAMED: usize = 4;

/// What is known of a process's threads.
pub(crate) fn text(report: &Report<'_>, options: &TextOptions) -> String {
    let mut page = Page::new(options.width, options.colour);
    head(&mut page, report);
    for deadlock in &report.deadlocks {
        page.blank();
        write_deadlock(&mut page, report, deadlock);
    }
    for hold_up in &report.hold_ups {
        page.blank();
        write_hold_up(&mut page, report, hold_up);
    }
    for group in &report.groups {
        page.blank();
        write_group(&mut page, report, group, options.verbose);
    }
    goroutines::write(&mut page, report, options.verbose);
    if let Some(runtime) = report.not_asked() {
        page.blank();
        page.labelled("runtime", TEXT_COLUMN, 0, Span::new(Ink::Dim, offer(runtime).to_owned()));
    }
    if let Some(Err(why)) = report.runtime() {
        page.blank();
        let why = Span::new(Ink::Unknown, harmless(&format!("not asked: {why}")));
        page.labelled("runtime", TEXT_COLUMN, 0, why);
    }
    if let Reading::Missing(why) = &report.process.threads {
        page.blank();
        page.labelled("threads", TEXT_COLUMN, 0, Span::new(Ink::Unknown, why.to_string()));
    }
    page.finish()
}

/// What asking a runtime would tell, and what that does.
const fn offer(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Java => {
            "a Java VM: with --java it is asked for the names and Java frames of its threads and for the \
             owners of its locks, by a signal, as jstack does"
        }
        Runtime::Python => {
            "Python: with --python, py-spy is asked for the names and Python frames of its threads, \
             and stops nothing"
        }
    }
}

fn head(page: &mut Page, report: &Report<'_>) {
    let process = report.process;
    let name = process_name(&process.comm, process.pid);
    let mut facts = Vec::new();
    if let Reading::Known(threads) = &process.threads {
        let all = threads.len() as u64 + u64::from(process.threads_omitted);
        facts.push(count(all, "thread"));
        if process.threads_omitted > 0 {
            facts.push(format!("the first {} shown", threads.len()));
        }
    }
    if process.is_stopped() {
        facts.push("stopped by a signal".to_owned());
    }
    if let Some(Some(tracer)) = process.tracer.value() {
        facts.push(format!("traced by pid {tracer}"));
    }
    if let Some(group) = process.cgroup.get()
        && group.frozen.value() == Some(true)
    {
        facts.push(format!("frozen with its control group {}", harmless(&group.path)));
    }
    let looks = match report.runtime() {
        Some(Ok(Runtime::Java)) => "two looks and a dump of its Java VM",
        Some(Ok(Runtime::Python)) => "two looks and one of py-spy",
        Some(Err(_)) | None => "two looks",
    };
    facts.push(match report.stops {
        Some(stops) if !stops.stopped.is_empty() => {
            format!("{looks}; {}", stopping::outcome(stops))
        }
        _ if report.runtime() == Some(Ok(Runtime::Java)) => looks.to_owned(),
        _ => format!("{looks}, nothing stopped"),
    });
    let facts = Span::new(Ink::Dim, facts.join(" · "));
    page.paragraph(2, &[Span::new(Ink::Subject, name), facts]);
}

fn write_deadlock(page: &mut Page, report: &Report<'_>, deadlock: &Deadlock<'_>) {
    let mut parts: Vec<String> = deadlock
        .members
        .iter()
        .map(|thread| format!("{} {}", named(thread), Doing::of(report.process, thread)))
        .collect();
    if let [only] = parts.as_mut_slice() {
        only.push_str(", which is itself");
    }
    let label = Span::new(Ink::Failure, "DEADLOCK");
    page.beside(&label, TEXT_COLUMN, 0, Span::new(Ink::Plain, parts.join(", and ")));
    for thread in &deadlock.members {
        write_site(page, thread);
    }
    if deadlock.victims > 0 {
        let text = match deadlock.victims {
            1 => "1 other thread waits for one of these in the end".to_owned(),
            n => format!("{n} other threads wait for one of these in the end"),
        };
        page.labelled("", TEXT_COLUMN, 0, Span::new(Ink::Plain, text));
    }
}

fn write_hold_up(page: &mut Page, report: &Report<'_>, hold_up: &HoldUp<'_>) {
    let waiters = match hold_up.waiters {
        1 => "1 thread waits".to_owned(),
        n => format!("{n} threads wait"),
    };
    let owner = match hold_up.thread {
        Some(thread) => format!("{}, which {}", named(thread), Doing::of(report.process, thread)),
        None => format!(
            "tid {}, which is no thread of this process: it ended with the lock, or is another's",
            hold_up.owner
        ),
    };
    let text = Span::new(Ink::Plain, format!("{waiters} in the end for {owner}"));
    page.beside(&Span::new(Ink::Warning, "HOLDS UP"), TEXT_COLUMN, 0, text);
    if let Some(thread) = hold_up.thread {
        write_site(page, thread);
    }
}

/// Where in the program a thread is.
fn write_site(page: &mut Page, thread: &Thread) {
    let managed = || thread.managed.get()?.site().map(managed_row);
    let met_most = || thread.samples.get()?.stacks.first().map(|most| &most.stack);
    let native = || thread.stack.get().or_else(met_most)?.site().map(row);
    if let Some((function, place)) = managed().or_else(native) {
        let text = format!("{} is in {function}, {place}", thread.tid);
        page.labelled("", TEXT_COLUMN, 2, Span::new(Ink::Plain, text));
    }
}

fn write_group(page: &mut Page, report: &Report<'_>, group: &Group<'_>, verbose: bool) {
    let Some(first) = group.threads.first() else { return };
    let (label, who) = match group.threads.as_slice() {
        [only] => (only.tid.to_string(), harmless(only.called())),
        several => {
            let shown = if verbose { several.len() } else { NAMED };
            (count(several.len() as u64, "thread"), names(several, shown))
        }
    };
    page.beside(&Span::new(Ink::Subject, label), TEXT_COLUMN, 0, Span::new(Ink::Subject, who));
    let still = match (group.motionless, group.threads.len()) {
        (0, _) => "",
        (still, all) if still == all => "; has not run between the looks",
        _ => "; some have not run between the looks",
    };
    if matches!(first.state, 'Z' | 'X') {
        let ended = "has ended; the process lives on in its other threads".to_owned();
        page.labelled("", TEXT_COLUMN, 0, Span::new(Ink::Plain, ended));
        return;
    }
    let does = format!("{}{still}", does(report, first));
    page.labelled("", TEXT_COLUMN, 0, Span::new(Ink::Plain, does));
    let kernel = kernel_rows(group, verbose);
    match group.code {
        Code::Managed(frames) => {
            let rows = kernel.into_iter().chain(frames.iter().map(managed_row)).collect();
            write_rows(page, rows, None, verbose);
        }
        Code::Native(Reading::Known(stack)) => write_stack(page, kernel, stack, verbose),
        Code::Sampled(_, samples, stopped) => {
            write_samples(page, samples, verbose);
            if let Some(stack) = stopped.get() {
                page.labelled("", TEXT_COLUMN, 0, Span::new(Ink::Dim, "stopped at".to_owned()));
                write_stack(page, Vec::new(), stack, verbose);
            }
        }
        Code::Native(Reading::Missing(why)) => {
            write_rows(page, kernel, None, verbose);
            if *why == Missing::NotCollected || group.activity.missing() == Some(why) {
                return;
            }
            let why = harmless(&format!("stack: {why}"));
            page.labelled("", TEXT_COLUMN, 0, Span::new(Ink::Unknown, why));
        }
    }
}

/// What a thread does; as far as its state tells, if its call may not be seen.
fn does(report: &Report<'_>, thread: &Thread) -> String {
    let Reading::Missing(why) = &thread.activity else {
        return Doing::of(report.process, thread).to_string();
    };
    let state = match thread.state {
        'R' => "runs, or waits for a CPU",
        'S' => "sleeps",
        'D' => "sleeps, and cannot be interrupted",
        'T' | 't' => "is stopped",
        _ => "is there",
    };
    format!("{state}; its call is {why}")
}

/// Where a thread was met while it ran.
fn write_samples(page: &mut Page, samples: &Samples, verbose: bool) {
    let watched = samples.window_us / 1000;
    let on_cpu = if samples.got_no_cpu() {
        format!("could run and got no CPU in {watched} ms: throttled, or others come first")
    } else {
        let ms = samples.cpu_us / 1000;
        let taken = count(u64::from(samples.taken), "sample");
        format!("on a CPU for {ms} ms of {watched} ms, in {taken}:")
    };
    page.labelled("", TEXT_COLUMN, 0, Span::new(Ink::Plain, on_cpu));
    let shown = if verbose { samples.stacks.len() } else { SAMPLED };
    for sampled in samples.stacks.iter().take(shown) {
        let times = count(u64::from(sampled.count), "time");
        page.labelled("", TEXT_COLUMN, 0, Span::new(Ink::Dim, times));
        write_stack(page, Vec::new(), &sampled.stack, verbose);
    }
    let left_out = samples.stacks.len().saturating_sub(shown);
    if left_out > 0 {
        let note = format!("… {} more (--verbose)", count(left_out as u64, "stack"));
        page.labelled("", TEXT_COLUMN, 0, Span::new(Ink::Dim, note));
    }
}

/// Where in the kernel they sleep, if their call does not say enough.
fn kernel_rows(group: &Group<'_>, verbose: bool) -> Vec<Row> {
    let functions = group.kernel.get().map(Vec::as_slice).unwrap_or_default();
    let shown = match (verbose, group.sleeps_deep) {
        (true, _) => functions.len(),
        (false, true) => functions.len().min(KERNEL_FRAMES),
        (false, false) => 0,
    };
    functions.iter().take(shown).map(|name| (harmless(name), "the kernel".to_owned())).collect()
}

/// Behind the functions of the kernel that they sleep in.
fn write_stack(page: &mut Page, kernel: Vec<Row>, stack: &Stack, verbose: bool) {
    let end = match stack.end {
        StackEnd::Root => None,
        StackEnd::Lost => Some("… the caller is not known: no unwinding information"),
        StackEnd::Cut => Some("… deeper than is read"),
    };
    let rows = kernel.into_iter().chain(stack.frames.iter().map(row)).collect();
    write_rows(page, rows, end, verbose);
}

/// A function, and where it is.
pub(super) type Row = (String, String);

/// Functions and where they are, and what is to be said behind the last.
pub(super) fn write_rows(page: &mut Page, mut rows: Vec<Row>, end: Option<&str>, verbose: bool) {
    let left_out = if verbose { 0 } else { rows.len().saturating_sub(FRAMES) };
    rows.truncate(rows.len() - left_out);
    let room = page.width().saturating_sub(TEXT_COLUMN + GAP);
    let widest = |cells: &mut dyn Iterator<Item = &String>| {
        cells.map(|cell| columns(cell)).max().unwrap_or(0)
    };
    let places = widest(&mut rows.iter().map(|(_, place)| place)).min(room / 2);
    let functions = widest(&mut rows.iter().map(|(function, _)| function)).min(room - places);
    for (function, place) in rows {
        let function = shortened(&function, functions);
        let gap = " ".repeat(functions.saturating_sub(columns(&function)) + GAP);
        page.put(Ink::Plain, &" ".repeat(TEXT_COLUMN));
        page.put(Ink::Plain, &function);
        page.put(Ink::Dim, &format!("{gap}{}", shortened(&place, places)));
        page.blank();
    }
    let note = match end {
        _ if left_out > 0 => format!("… {} more (--verbose)", count(left_out as u64, "frame")),
        Some(end) => end.to_owned(),
        None => return,
    };
    page.labelled("", TEXT_COLUMN, 0, Span::new(Ink::Dim, note));
}

/// A function, and where it is: `app`, or `app sessions.cc:88`.
fn row(frame: &Frame) -> Row {
    let function = match &frame.function {
        Some(function) => harmless(function),
        None => format!("{:#x}", frame.address),
    };
    let module =
        if frame.module.is_empty() { "no file".to_owned() } else { harmless(&frame.module) };
    let place = match &frame.line {
        Some(line) => format!("{module} {}:{}", harmless(line.file_name()), line.line),
        None => module,
    };
    (function, place)
}

/// A function as its runtime tells it, and its line.
pub(super) fn managed_row(frame: &ManagedFrame) -> Row {
    let place = frame.line.as_ref().map(|at| format!("{}:{}", harmless(at.file_name()), at.line));
    (harmless(&frame.function), place.unwrap_or_default())
}

fn named(thread: &Thread) -> String {
    format!("\"{}\" ({})", harmless(thread.called()), thread.tid)
}

fn names(threads: &[&Thread], shown: usize) -> String {
    let mut names: Vec<String> = threads
        .iter()
        .take(shown)
        .map(|thread| format!("{} {}", thread.tid, harmless(thread.called())))
        .collect();
    if threads.len() > shown {
        names.push(format!("{} more", threads.len() - shown));
    }
    names.join(", ")
}

/// What a thread does, in one word, for stacks that were not read.
pub(super) fn call(activity: &Reading<Activity>) -> &str {
    match activity {
        Reading::Known(Activity::Blocked(call)) => &call.name,
        Reading::Known(Activity::Running) => "running",
        Reading::Missing(_) => "unknown",
    }
}
