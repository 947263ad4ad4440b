//! A ladder in the terminal: two lifelines, and an arrow for each segment.

use halfopen_diagnose::report::layout::{Ink, Page, Span, columns};

use super::ladder::{Ladder, Rung, Step};
use super::ladder_points::Reach;
use crate::handshakes::words::{counted, span};

/// Columns of the times.
const TIMES: usize = 9;

/// Columns between the lifelines at the most; longer arrows are harder to follow.
const MOST: usize = 78;

/// The drawing.
pub(super) fn text(ladder: &Ladder, width: usize, colour: bool) -> String {
    let mut page = Page::new(width.max(50), colour);
    let inner = (page.width() - TIMES - 4).min(MOST);
    page.paragraph(2, &[Span::new(Ink::Subject, ladder.outcome.as_str())]);
    page.blank();
    let between = (inner + 2).saturating_sub(columns(&ladder.client) + columns(&ladder.server));
    page.put(Ink::Plain, &" ".repeat(TIMES + 1));
    page.put(Ink::Subject, &ladder.client);
    page.put(Ink::Plain, &" ".repeat(between.max(2)));
    page.put(Ink::Subject, &ladder.server);
    page.blank();
    let [client, server] = &ladder.roles;
    let between = (inner + 2).saturating_sub(columns(client) + columns(server)).max(2);
    page.put(Ink::Dim, &format!("{:w$}{client}{:between$}{server}", "", "", w = TIMES + 1));
    page.blank();
    for step in &ladder.steps {
        match step {
            Step::Rung(rung) => draw(&mut page, rung, inner),
            Step::Gap(ns) => {
                between_lines(&mut page, '┊', &format!("{} later", span(*ns)), inner, Ink::Dim);
            }
            Step::Omitted(count) => {
                let text = format!("{} not drawn", counted(*count, "segment"));
                between_lines(&mut page, '┊', &text, inner, Ink::Dim);
            }
        }
    }
    page.finish()
}

fn draw(page: &mut Page, rung: &Rung, inner: usize) {
    let at = if rung.at_ns == 0 { "0".to_owned() } else { span(rung.at_ns) };
    page.put(Ink::Dim, &format!("{at:>TIMES$} │"));
    let label = format!(" {} ", rung.label);
    let arrow = arrow(rung, &label, inner);
    page.put(if rung.is_trouble { Ink::Failure } else { Ink::Plain }, &arrow);
    page.put(Ink::Dim, "│");
    page.blank();
    if let Some(note) = &rung.note {
        let ink = if rung.is_trouble { Ink::Failure } else { Ink::Dim };
        // A note stands at the side where its segment comes from.
        let note = format!("^ {note}");
        let room = inner.saturating_sub(3);
        let line = if rung.from_client {
            format!("   {note:<room$}")
        } else {
            format!("{note:>room$}   ")
        };
        page.put(Ink::Dim, &format!("{:TIMES$} │", ""));
        page.put(ink, &line);
        page.put(Ink::Dim, "│");
        page.blank();
    }
}

/// An arrow between the lifelines; one that was seen at one of them alone is shorter.
fn arrow(rung: &Rung, label: &str, inner: usize) -> String {
    let room = inner.saturating_sub(columns(label) + 3);
    let (rest, gap) = if rung.reach == Reach::Through {
        (room, 0)
    } else {
        let rest = (inner / 2 + 8).saturating_sub(columns(label) + 3).min(room);
        (rest, room - rest)
    };
    let (rest, gap) = ("─".repeat(rest), " ".repeat(gap));
    match (rung.from_client, rung.reach) {
        (true, Reach::Through) => format!("──{label}{rest}>"),
        (false, Reach::Through) => format!("<{rest}{label}──"),
        (true, Reach::Left) => format!("──{label}{rest}×{gap}"),
        (false, Reach::Left) => format!("{gap}×{rest}{label}──"),
        (true, Reach::Came) => format!("{gap}×─{label}{rest}>"),
        (false, Reach::Came) => format!("<{rest}{label}─×{gap}"),
    }
}

/// A line without an arrow.
fn between_lines(page: &mut Page, lifeline: char, text: &str, inner: usize, ink: Ink) {
    page.put(Ink::Dim, &format!("{:TIMES$} {lifeline}", ""));
    page.put(ink, &format!("{text:^inner$}"));
    page.put(Ink::Dim, &lifeline.to_string());
    page.blank();
}

#[cfg(test)]
mod tests {
    use super::super::ladder::{self, tests::ignored};
    use super::*;

    #[test]
    fn a_ladder_in_eighty_columns() {
        let text = text(&ladder::ladder(&ignored(), None), 80, false);
        assert!(text.lines().all(|line| columns(line) <= 80), "{text}");
        insta::assert_snapshot!(text);
    }
}
