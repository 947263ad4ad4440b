//! What happened, in order: the steps of the scenario, and the first segment lost for each reason.

use halfopen_diagnose::report::layout::{Ink, Page, Span};
use halfopen_diagnose::words::{count, harmless};
use halfopen_sim::{Moment, MomentKind};

use super::words::seconds;

/// Moments that are shown without being asked for all.
const SHOWN: usize = 16;

/// The column in which words begin.
const COLUMN: usize = 13;

/// Writes the moments, or the most telling of them.
pub(super) fn write(page: &mut Page, moments: &[Moment], omitted: u64, one_host: bool, all: bool) {
    let shown = chosen(moments, if all { usize::MAX } else { SHOWN });
    let left_out = (moments.len() - shown.len()) as u64 + omitted;
    for moment in shown {
        let time = Span::new(Ink::Dim, format!("{:>9}", seconds(moment.at_us)));
        let what = harmless(&moment.what);
        match moment.kind {
            MomentKind::Step => page.beside(&time, COLUMN, 2, Span::new(Ink::Plain, what)),
            MomentKind::End => page.beside(&time, COLUMN, 2, Span::new(Ink::Dim, what)),
            MomentKind::Drop => {
                let what = if all { &what } else { without_segment(&what) };
                // With one host only, its name says nothing.
                let what = match what.split_once(": ") {
                    Some((_, rest)) if one_host => rest.to_owned(),
                    _ => what.to_owned(),
                };
                let text = format!("✗ {what}");
                page.beside(&time, COLUMN, 2, Span::new(Ink::Failure, text));
            }
        }
    }
    if left_out > 0 {
        let note = format!("{} left out; --verbose has more", count(left_out, "step"));
        page.indented(COLUMN, Span::new(Ink::Dim, note));
    }
}

/// Drops and the end, and of the steps the first ones.
fn chosen(moments: &[Moment], most: usize) -> Vec<&Moment> {
    let is_step = |moment: &&Moment| moment.kind == MomentKind::Step;
    let others = moments.iter().filter(|moment| !is_step(moment)).count();
    let mut steps_left = most.saturating_sub(others);
    let keep = |moment: &&Moment| {
        let keep = !is_step(moment) || steps_left > 0;
        steps_left = steps_left.saturating_sub(usize::from(is_step(moment)));
        keep
    };
    moments.iter().filter(keep).collect()
}

/// A drop without the segment that was dropped.
fn without_segment(what: &str) -> &str {
    match what.rfind(" (") {
        Some(at) if what.ends_with(')') => &what[..at],
        _ => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at_us: u64, kind: MomentKind, what: &str) -> Moment {
        Moment { at_us, kind, what: what.to_owned() }
    }

    fn moments(steps: u64) -> Vec<Moment> {
        let drop = "server: SYN dropped: the accept queue is full (1.2.3.4:5 > 1.2.3.5:80 [S] seq 1 ack 0 length 0)";
        let mut moments: Vec<_> =
            (0..steps).map(|at| moment(at, MomentKind::Step, "a step")).collect();
        moments.push(moment(1_034_000, MomentKind::Drop, drop));
        moments.push(moment(2_000_000, MomentKind::End, "all steps are done"));
        moments
    }

    fn written(moments: &[Moment], one_host: bool, all: bool) -> Vec<String> {
        let mut page = Page::new(80, false);
        write(&mut page, moments, 0, one_host, all);
        page.finish().lines().map(str::to_owned).collect()
    }

    #[test]
    fn steps_and_drops_stand_at_their_times() {
        assert_eq!(
            written(&moments(1), true, false),
            [
                "    0.000 s  a step",
                "    1.034 s  ✗ SYN dropped: the accept queue is full",
                "    2.000 s  all steps are done",
            ]
        );
        let with_all = written(&moments(1), false, true).join(" ");
        assert!(with_all.contains("server: ") && with_all.contains("seq 1 ack 0"), "{with_all}");
    }

    #[test]
    fn of_many_steps_the_first_are_shown_and_no_drop_is_left_out() {
        let lines = written(&moments(100), true, false);
        assert!(lines.iter().any(|line| line.contains('✗')));
        assert_eq!(lines.last().map(|l| l.trim()), Some("86 steps left out; --verbose has more"));
        assert!(written(&moments(100), true, true).len() > 100);
    }
}
