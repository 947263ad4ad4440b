//! What a trace adds up to, on one screen.

use std::time::Duration;

use halfopen_capture::Statistics;
use halfopen_diagnose::report::TextOptions;
use halfopen_diagnose::report::layout::{Ink, Page, Span};

use crate::handshakes::tables;
use crate::handshakes::totals::Totals;
use crate::handshakes::verdict::Verdict;
use crate::handshakes::words::{counted, span};

/// The column in which notes begin.
const LABELLED: usize = 12;

/// What there is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    /// How long was watched.
    pub(super) watched: Duration,
    /// Packets that the kernel's filter let through.
    pub(super) packets: u64,
    /// Packets that the rings had no room for.
    pub(super) dropped: u64,
    /// What was counted while following.
    pub(super) statistics: Statistics,
    /// Lines that were left out.
    pub(super) suppressed: u64,
    /// Whether Ctrl-C ended it.
    pub(super) interrupted: bool,
    /// What the handshakes add up to.
    pub(super) totals: &'a Totals,
    /// What was found.
    pub(super) verdict: &'a Verdict,
}

/// The screen.
pub(super) fn text(told: &Told<'_>, options: &TextOptions) -> String {
    let mut page = Page::new(options.width.max(40), options.colour);
    page.blank();
    let watched = span(u64::try_from(told.watched.as_nanos()).unwrap_or(u64::MAX));
    let facts = format!("watched for {watched} · {}", counted(told.packets, "packet"));
    page.paragraph(2, &[Span::new(Ink::Dim, facts)]);
    if told.totals.handshakes() == 0 {
        page.paragraph(2, &[Span::new(Ink::Unknown, "No TCP handshake: nothing can be said.")]);
    } else {
        tables::outcomes(&mut page, told.totals);
        tables::listeners(&mut page, told.totals, told.verdict, options.verbose);
        tables::findings(&mut page, &told.verdict.findings, options.verbose);
    }
    limits(&mut page, told);
    page.finish()
}

/// What may be missing.
fn limits(page: &mut Page, told: &Told<'_>) {
    page.blank();
    let mut note = |label: &str, text: String| {
        page.labelled(label, LABELLED, 0, Span::new(Ink::Warning, text));
    };
    if told.dropped > 0 {
        let packets = counted(told.dropped, "packet");
        note("lost", format!("{packets} came too fast: what is missing may be one of them"));
    }
    if told.suppressed > 0 {
        note("not shown", format!("{} (--rate)", counted(told.suppressed, "handshake")));
    }
    if told.statistics.evicted > 0 {
        let handshakes = counted(told.statistics.evicted, "handshake");
        note("evicted", format!("{handshakes} told early: too many at a time"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshakes::fixture;
    use crate::handshakes::totals::Counting;

    fn printed(found: Vec<crate::handshakes::found::Found>, dropped: u64) -> String {
        let mut counting = Counting::default();
        found.into_iter().for_each(|found| counting.add(found));
        let totals = counting.finish();
        let verdict = Verdict::of(&totals);
        let told = Told {
            watched: Duration::from_millis(10_500),
            packets: 1_234,
            dropped,
            statistics: Statistics { evicted: dropped, ..Statistics::default() },
            suppressed: dropped,
            interrupted: false,
            totals: &totals,
            verdict: &verdict,
        };
        text(&told, &TextOptions { width: 80, colour: false, verbose: false })
    }

    #[test]
    fn the_screen_counts_outcomes_and_says_what_is_missing() {
        insta::assert_snapshot!(printed(fixture::some(), 3));
    }

    #[test]
    fn without_handshakes_nothing_is_said_of_them() {
        let text = printed(Vec::new(), 0);
        assert!(text.contains("No TCP handshake") && !text.contains("lost"), "{text}");
    }
}
