//! What came of each kernel, as a table with what differs below it.

use std::fmt::Write;
use std::mem;
use std::time::Duration;

use super::checks::{Check, Doubt, Judgement, Said};
use super::machine::Run;
use super::protocol::Record;

/// What came of a kernel.
pub(super) struct Row {
    /// What it is called on the command line.
    pub(super) kernel: &'static str,
    /// What came of it, or why it was skipped.
    pub(super) outcome: Result<Guest, String>,
}

/// What came of a guest.
#[derive(Debug, Default)]
pub(super) struct Guest {
    /// Its kernel and the build of it, as the kernel calls them.
    kernel: String,
    /// How long it took until programs could run; none if it did not get there.
    up: Option<Duration>,
    /// How long it ran.
    took: Duration,
    checks: Vec<Checked>,
}

/// What came of a check.
#[derive(Debug)]
struct Checked {
    name: String,
    judgement: Judgement,
    /// How long its program ran; none if it did not come to its end.
    took: Option<Duration>,
}

/// What all of it comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Things that are as they must be.
    pub(crate) agreed: usize,
    /// Kernels and parts of checks that could not run, and why.
    pub(crate) skipped: Vec<String>,
    /// What is otherwise.
    pub(crate) failed: Vec<String>,
}

impl Guest {
    /// Reads what a guest said.
    pub(super) fn of(run: &Run, release: &str, checks: &[Check]) -> Self {
        let up = run.records.iter().find_map(|(at, record)| match record {
            Record::Up { release, version } => Some((*at, format!("{release} ({version})"))),
            _ => None,
        });
        let (up, kernel) = up.map_or((None, release.to_owned()), |(at, kernel)| (Some(at), kernel));
        let mut begin = up.unwrap_or_default();
        let judged = checks.iter().map(|check| {
            let name = check.task.name.clone();
            let Some((end, said)) = said(run, &name) else {
                let judgement = Judgement::failure(why_nothing(run, &name));
                return Checked { name, judgement, took: None };
            };
            let took = end.saturating_sub(mem::replace(&mut begin, end));
            Checked { name, judgement: check.judgement(&said), took: Some(took) }
        });
        let checks = judged.collect();
        Self { kernel, up, took: run.took, checks }
    }

    /// What is to be tried again.
    pub(super) fn doubts(&self) -> Vec<Doubt> {
        self.checks.iter().flat_map(|check| check.judgement.doubtful.clone()).collect()
    }

    /// Decides what was doubtful, by a guest in which it was tried again if there is one.
    pub(super) fn settle(&mut self, again: Option<&Self>) {
        let checks = again.map_or(&[][..], |again| &again.checks);
        let of = |scenario: &str| {
            let check = checks.iter().find(|check| check.name == scenario);
            check.map(|check| check.judgement.clone())
        };
        for check in &mut self.checks {
            check.judgement.settle(of);
        }
        self.took += again.map_or(Duration::ZERO, |again| again.took);
    }
}

/// What a check said and when it ended, if it came to its end.
fn said(run: &Run, check: &str) -> Option<(Duration, Said)> {
    let mut said = Said::default();
    for (at, record) in &run.records {
        match record {
            Record::Line { task, line } if task == check => {
                said.stdout.push_str(line);
                said.stdout.push('\n');
            }
            Record::Ended { task, status, stderr } if task == check => {
                said.status = *status;
                said.stderr.clone_from(stderr);
                return Some((*at, said));
            }
            _ => {}
        }
    }
    None
}

fn why_nothing(run: &Run, check: &str) -> String {
    let broken = run.records.iter().find_map(|(_, record)| match record {
        Record::Broken { why } => Some(why),
        _ => None,
    });
    match broken {
        Some(why) => format!("{check}: the guest could not go on: {why}"),
        None if run.out_of_time => {
            format!(
                "{check} did not end within {:.0?}; its console says\n{}",
                run.took, run.console
            )
        }
        None => format!("{check}: the guest ended; its console says\n{}", run.console),
    }
}

/// A line per kernel, and what differs below it.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for Row { kernel, outcome } in rows {
        // Writing to a String cannot fail.
        let _ = match outcome {
            Ok(guest) => writeln!(text, "{kernel:10} {}", line(guest)),
            Err(why) => writeln!(text, "{kernel:10} SKIPPED: {why}"),
        };
        for Checked { name: check, judgement, .. } in outcome.iter().flat_map(|guest| &guest.checks)
        {
            let told = |how, what: &String| indented(&format!("{how} {check}: {what}"));
            text.extend(judgement.second_try.iter().map(|what| told("second try", what)));
            text.extend(judgement.failed.iter().map(|what| told("FAILED", what)));
        }
    }
    text
}

fn line(guest: &Guest) -> String {
    let up = guest
        .up
        .map_or_else(|| "not up".to_owned(), |up| format!("up in {:.1} s", up.as_secs_f32()));
    let checks = guest.checks.iter().map(|Checked { name, judgement, took }| {
        let Judgement { agreed, skipped, failed, .. } = judgement;
        let of = agreed + failed.len();
        let skipped = match skipped.len() {
            0 => String::new(),
            skipped => format!(" ({skipped} skipped)"),
        };
        let took = took.map_or_else(String::new, |took| format!(" in {:.0} s", took.as_secs_f32()));
        format!("{name} {agreed} of {of}{skipped}{took}")
    });
    let checks = checks.collect::<Vec<_>>().join(" · ");
    let (kernel, took) = (&guest.kernel, guest.took.as_secs_f32());
    format!("{checks} · {up}, {took:.0} s in all · {kernel}")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

impl Totals {
    /// Adds up.
    pub(super) fn of(rows: &[Row]) -> Self {
        let mut totals = Self::default();
        for Row { kernel, outcome } in rows {
            let guest = match outcome {
                Ok(guest) => guest,
                Err(why) => {
                    totals.skipped.push(format!("guest kernel {kernel}: {why}"));
                    continue;
                }
            };
            for Checked { name: check, judgement, .. } in &guest.checks {
                let told = |what: &String| format!("guest kernel {kernel}: {check}: {what}");
                totals.agreed += judgement.agreed;
                totals.skipped.extend(judgement.skipped.iter().map(told));
                totals.failed.extend(judgement.failed.iter().map(told));
            }
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::checks;

    fn at(seconds: u64, record: Record) -> (Duration, Record) {
        (Duration::from_secs(seconds), record)
    }

    fn up() -> Record {
        Record::Up { release: "6.1.0-56".to_owned(), version: "Debian".to_owned() }
    }

    fn told(records: Vec<(Duration, Record)>, out_of_time: bool) -> Totals {
        let took = Duration::from_secs(60);
        let run = Run { records, took, out_of_time, console: "panic".to_owned() };
        let checks = checks::all(&["never-accepts".to_owned()], false).expect("a scenario");
        let mut guest = Guest::of(&run, "6.1.0-56", &checks);
        guest.settle(None);
        let rows = [Row { kernel: "6.1", outcome: Ok(guest) }];
        Totals::of(&rows)
    }

    fn line(line: &str) -> Record {
        Record::Line { task: "verdicts".to_owned(), line: line.to_owned() }
    }

    fn ended(status: i32, stderr: &str) -> Record {
        let stderr = stderr.to_owned();
        Record::Ended { task: "verdicts".to_owned(), status: Some(status), stderr }
    }

    #[test]
    fn what_differs_and_what_could_not_run_are_told_apart() {
        let records = vec![
            at(3, up()),
            at(4, line(r#"{"scenario":"a","outcome":"as-expected"}"#)),
            at(5, line(r#"{"scenario":"b","outcome":"skipped","why":"no TUN"}"#)),
            at(6, line(r#"{"scenario":"c","outcome":"otherwise","why":"expected x, found y"}"#)),
            at(7, ended(1, "")),
        ];
        let expected = Totals {
            agreed: 1,
            skipped: vec!["guest kernel 6.1: verdicts: b: no TUN".to_owned()],
            failed: vec!["guest kernel 6.1: verdicts: c: expected x, found y".to_owned()],
        };
        assert_eq!(told(records, false), expected);
    }

    #[test]
    fn a_check_that_did_not_come_to_its_end_has_failed() {
        let agreed = || at(4, line(r#"{"scenario":"a","outcome":"as-expected"}"#));
        let cases = [
            (vec![at(3, up()), agreed()], true, "did not end within 60s"),
            (vec![], false, "the guest ended"),
            (vec![at(3, up()), at(4, ended(101, "thread panicked"))], false, "thread panicked"),
        ];
        for (records, out_of_time, expected) in cases {
            let totals = told(records, out_of_time);
            assert_eq!((totals.agreed, totals.failed.len()), (0, 1));
            assert!(totals.failed[0].contains(expected), "{totals:?}");
        }
    }
}
