//! Goroutines for people at a terminal: those that do the same are shown once, as threads are.

use halfopen_diagnose::report::layout::{Ink, Page, Span};
use halfopen_diagnose::words::{count, harmless};
use halfopen_evidence::{Call, CallTarget, GoroutineGroup, GoroutineState, Goroutines, Reading};

use super::report::Report;
use super::text::{TEXT_COLUMN, managed_row, write_rows};

/// Groups shown, unless all are asked for.
const GROUPS: usize = 20;

/// Goroutines named one by one, unless all are asked for.
const NAMED: usize = 4;

/// What is known of a process's goroutines, if it runs a Go program.
pub(super) fn write(page: &mut Page, report: &Report<'_>, verbose: bool) {
    if let Some(why) = report.goroutines_missing() {
        page.blank();
        let why = Span::new(Ink::Unknown, harmless(&why.to_string()));
        page.labelled("goroutines", TEXT_COLUMN, 0, why);
    }
    let Some(found) = report.process.goroutines.get() else { return };
    page.blank();
    page.labelled("goroutines", TEXT_COLUMN, 0, Span::new(Ink::Plain, head(found)));
    let shown = if verbose { found.groups.len() } else { GROUPS };
    for group in found.groups.iter().take(shown) {
        page.blank();
        write_group(page, group, verbose);
    }
    let left_out = found.groups.len().saturating_sub(shown);
    if left_out > 0 {
        let note = format!("… at {} more (--verbose)", count(left_out as u64, "place"));
        page.blank();
        page.labelled("", TEXT_COLUMN, 0, Span::new(Ink::Dim, note));
    }
}

fn head(found: &Goroutines) -> String {
    let all: u64 = found.groups.iter().map(|group| group.count).sum();
    let mut text = format!(
        "{} at {}, read without stopping the program",
        count(all, "goroutine"),
        count(found.groups.len() as u64, "place")
    );
    if !found.version.is_empty() {
        text.push_str(&format!(" · {}", harmless(&found.version)));
    }
    if found.omitted > 0 {
        text.push_str(&format!(" · {} more were not looked at", found.omitted));
    }
    text
}

fn write_group(page: &mut Page, group: &GoroutineGroup, verbose: bool) {
    let label = Span::new(Ink::Subject, group.count.to_string());
    page.beside(&label, TEXT_COLUMN, 0, Span::new(Ink::Subject, numbers(group, verbose)));
    page.labelled("", TEXT_COLUMN, 0, Span::new(Ink::Plain, does(group)));
    match &group.frames {
        Reading::Known(frames) => {
            write_rows(page, frames.iter().map(managed_row).collect(), None, verbose);
        }
        Reading::Missing(why) => {
            let why = harmless(&format!("stack: {why}"));
            page.labelled("", TEXT_COLUMN, 0, Span::new(Ink::Unknown, why));
        }
    }
}

/// `goroutine 18`, or `goroutines 18, 19, 20, 21, 196 more`.
fn numbers(group: &GoroutineGroup, verbose: bool) -> String {
    let shown = if verbose { group.ids.len() } else { NAMED };
    let mut numbers: Vec<String> = group.ids.iter().take(shown).map(u64::to_string).collect();
    let more = group.count.saturating_sub(numbers.len() as u64);
    if more > 0 {
        numbers.push(format!("{more} more"));
    }
    let plural = if group.count == 1 { "" } else { "s" };
    format!("goroutine{plural} {}", numbers.join(", "))
}

/// What they do: `IO wait on descriptor 3 (listening socket 127.0.0.1:8080)`.
pub(super) fn does(group: &GoroutineGroup) -> String {
    let tids: Vec<String> = group.threads.iter().map(ToString::to_string).collect();
    let on = match tids.as_slice() {
        [] => String::new(),
        [tid] => format!(" (tid {tid})"),
        tids => format!(" (tids {})", tids.join(", ")),
    };
    match &group.state {
        GoroutineState::Running => format!("runs{on}"),
        GoroutineState::Runnable => "could run, and waits for a thread".to_owned(),
        GoroutineState::InSyscall => format!("sits in a system call{on}"),
        GoroutineState::Changing => "is about to begin, to end or to be moved".to_owned(),
        GoroutineState::Waiting(Call { name, target }) => {
            let name = if name.is_empty() { "waits".to_owned() } else { harmless(name) };
            match target {
                CallTarget::Descriptor { fd, what } => {
                    format!("{name} on descriptor {fd} ({})", harmless(what))
                }
                _ => name,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::Tid;

    use super::*;

    fn group(count: u64, state: GoroutineState) -> GoroutineGroup {
        let ids = (18..26).take(usize::try_from(count).unwrap_or(8)).collect();
        let frames = Reading::Known(Vec::new());
        GoroutineGroup { count, ids, threads: vec![Tid(812)], state, frames }
    }

    #[test]
    fn goroutines_are_told_by_number_and_by_what_they_wait_for() {
        let many = group(200, GoroutineState::Runnable);
        assert_eq!(numbers(&many, false), "goroutines 18, 19, 20, 21, 196 more");
        let one = group(1, GoroutineState::InSyscall);
        assert_eq!(numbers(&one, false), "goroutine 18");
        assert_eq!(does(&one), "sits in a system call (tid 812)");
        let what = "listening socket \u{1b}[31m".to_owned();
        let target = CallTarget::Descriptor { fd: 3, what };
        let call = Call { name: "IO wait".to_owned(), target };
        let accepts = does(&group(1, GoroutineState::Waiting(call)));
        assert_eq!(accepts, "IO wait on descriptor 3 (listening socket \\u{1b}[31m)");
    }
}
