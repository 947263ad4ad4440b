//! What a trace adds up to, on one screen.

use std::cmp::Reverse;
use std::time::Duration;

use halfopen_capture::Latency;
use halfopen_collect::bpf::AcceptWaits;
use halfopen_diagnose::Status;
use halfopen_diagnose::report::TextOptions;
use halfopen_diagnose::report::layout::{Ink, Page, Span};

use super::backend::Account;
use super::calls;
use super::reporter::FailedCalls;
use crate::handshakes::tables;
use crate::handshakes::totals::Totals;
use crate::handshakes::verdict::Verdict;
use crate::handshakes::words::{counted, grouped, span};

/// The column in which notes begin.
const LABELLED: usize = 12;

/// Listeners whose waits are shown.
const LISTENERS: usize = 20;

/// What there is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    /// How long was watched.
    pub(super) watched: Duration,
    /// What whoever watched has counted.
    pub(super) account: &'a Account,
    /// Calls that failed before anything was sent.
    pub(super) failed_calls: &'a FailedCalls,
    /// Lines that were left out.
    pub(super) suppressed: u64,
    /// Whether Ctrl-C ended it.
    pub(super) interrupted: bool,
    /// What the handshakes add up to.
    pub(super) totals: &'a Totals,
    /// What was found.
    pub(super) verdict: &'a Verdict,
    /// What the exit status says.
    pub(super) status: Status,
}

/// The screen.
pub(super) fn text(told: &Told<'_>, options: &TextOptions) -> String {
    let mut page = Page::new(options.width.max(40), options.colour);
    page.blank();
    let watched = span(u64::try_from(told.watched.as_nanos()).unwrap_or(u64::MAX));
    let facts = format!("watched for {watched} · {}", seen(told.account));
    page.paragraph(2, &[Span::new(Ink::Dim, facts)]);
    if told.totals.handshakes() == 0 {
        let (ink, text) = match told.status {
            Status::Unknown => (Ink::Unknown, "No TCP handshake: nothing can be said."),
            Status::Failure => (Ink::Failure, "No handshake was tried: connect() found no port."),
            Status::Warning => (Ink::Warning, "No handshake went wrong, but calls failed."),
            Status::Healthy => (Ink::Good, "No handshake went wrong."),
        };
        page.paragraph(2, &[Span::new(ink, text)]);
    } else {
        tables::outcomes(&mut page, told.totals);
        tables::listeners(&mut page, told.totals, told.verdict, options.verbose);
        tables::findings(&mut page, &told.verdict.findings, options.verbose);
    }
    if let Some(kernel) = &told.account.kernel {
        accept_waits(&mut page, &kernel.waits);
    }
    limits(&mut page, told);
    page.finish()
}

/// What was seen, in the words of whoever watched.
fn seen(account: &Account) -> String {
    let Some(kernel) = &account.kernel else { return counted(account.seen, "packet") };
    let counts = &kernel.counts;
    let mut parts = vec![
        format!("{} connected here", grouped(counts.connected)),
        format!("{} taken into accept queues", grouped(counts.queued)),
    ];
    if counts.accepted > 0 {
        parts.push(format!("{} accepted", grouped(counts.accepted)));
    }
    parts.join(" · ")
}

/// How long connections waited for accept(), the longest waits first.
fn accept_waits(page: &mut Page, waits: &[AcceptWaits]) {
    let mut rows: Vec<(&AcceptWaits, Latency)> =
        waits.iter().map(|waits| (waits, Latency::of_buckets(&waits.buckets))).collect();
    rows.sort_by_key(|(waits, latency)| (Reverse(latency.quantile_ns(990)), waits.local));
    if rows.is_empty() {
        return;
    }
    page.blank();
    let header = format!(
        "{:>9}  {:>8}  {:>8}  {:>8}  waited for accept()",
        "accepted", "p50", "p99", "p99.9"
    );
    page.put(Ink::Dim, &header);
    page.blank();
    for (waits, latency) in rows.iter().take(LISTENERS) {
        let at =
            |thousandths| latency.quantile_ns(thousandths).map_or_else(|| "-".to_owned(), span);
        let count = grouped(latency.count());
        let line =
            format!("{count:>9}  {:>8}  {:>8}  {:>8}  {}", at(500), at(990), at(999), waits.local);
        page.put(Ink::Plain, &line);
        page.blank();
    }
}

/// What may be missing.
fn limits(page: &mut Page, told: &Told<'_>) {
    page.blank();
    let mut note = |label: &str, text: String| {
        page.labelled(label, LABELLED, 0, Span::new(Ink::Warning, text));
    };
    for (&(call, errno), &count) in told.failed_calls {
        let calls = counted(count, calls::name(call));
        if calls::lacks_port(call, errno) {
            let found = "found no local port: `halfopen check` says which destination uses them";
            note("no port", format!("{calls} {found}"));
        } else {
            note("failed", format!("{calls} failed with {}", calls::errno(errno)));
        }
    }
    if told.account.lost > 0 {
        let kind = if told.account.kernel.is_some() { "event" } else { "packet" };
        let packets = counted(told.account.lost, kind);
        note("lost", format!("{packets} came too fast: what is missing may be one of them"));
    }
    if told.suppressed > 0 {
        note("not shown", format!("{} (--rate)", counted(told.suppressed, "handshake")));
    }
    let held_back = told.account.kernel.as_ref().map_or(0, |kernel| kernel.counts.held_back);
    if held_back > 0 {
        let events = counted(held_back, "event");
        note("held back", format!("{events} in the kernel: more than it tells of in a second"));
    }
    let evicted = told.account.statistics.evicted;
    if evicted > 0 {
        let handshakes = counted(evicted, "handshake");
        note("evicted", format!("{handshakes} told early: too many at a time"));
    }
}

#[cfg(test)]
mod tests {
    use halfopen_capture::Statistics;
    use halfopen_evidence::SocketCall;

    use super::*;
    use crate::handshakes::fixture;
    use crate::handshakes::totals::Counting;

    fn printed(found: &[crate::handshakes::found::Found], dropped: u64) -> String {
        let mut counting = Counting::default();
        counting.add(found);
        let totals = counting.finish();
        let verdict = Verdict::of(&totals);
        let failed_calls: FailedCalls = match dropped {
            0 => FailedCalls::new(),
            _ => [((SocketCall::Bind, 98), 1), ((SocketCall::Connect, 99), dropped)].into(),
        };
        let told = Told {
            watched: Duration::from_millis(10_500),
            account: &Account {
                seen: 1_234,
                lost: dropped,
                statistics: Statistics { evicted: dropped, ..Statistics::default() },
                kernel: None,
            },
            failed_calls: &failed_calls,
            status: verdict.status,
            suppressed: dropped,
            interrupted: false,
            totals: &totals,
            verdict: &verdict,
        };
        text(&told, &TextOptions { width: 80, colour: false, verbose: false })
    }

    #[test]
    fn the_screen_counts_outcomes_and_says_what_is_missing() {
        insta::assert_snapshot!(printed(&fixture::some(), 3));
    }

    #[test]
    fn without_handshakes_nothing_is_said_of_them() {
        let text = printed(&[], 0);
        assert!(text.contains("No TCP handshake") && !text.contains("lost"), "{text}");
    }
}
