//! What a capture says, on one screen: what was read, how the attempts came out, which servers are in
//! trouble, what may be missing.

use halfopen_diagnose::report::TextOptions;
use halfopen_diagnose::report::layout::{Ink, Page, Span};
use halfopen_diagnose::words::harmless;
use halfopen_evidence::{Mark, WatchedSide};

use super::following::Counted;
use super::points::Points;
use super::read::Account;
use crate::handshakes::class::{self, CLASSES, Class, Gravity};
use crate::handshakes::found::Found;
use crate::handshakes::tables;
use crate::handshakes::totals::Totals;
use crate::handshakes::verdict::Verdict;
use crate::handshakes::words::{counted, date_time, grouped, is_trouble, mark, span};

/// Warnings that are shown without being asked for all.
const WARNINGS: usize = 2;

/// The column in which notes begin.
const LABELLED: usize = 12;

/// What there is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    /// What was read.
    pub(super) account: &'a Account,
    /// The two points that it was captured at, if there are two.
    pub(super) points: Option<&'a Points>,
    /// What was counted while following.
    pub(super) counted: &'a Counted,
    /// What the handshakes add up to.
    pub(super) totals: &'a Totals,
    /// What was found.
    pub(super) verdict: &'a Verdict,
    /// How to look at one handshake: the command but for its number.
    pub(super) command: &'a str,
}

/// The screen.
pub(super) fn text(told: &Told<'_>, options: &TextOptions) -> String {
    let mut page = Page::new(options.width.max(40), options.colour);
    head(&mut page, told);
    if let Some(points) = told.points {
        between(&mut page, points, told);
    }
    if told.totals.handshakes() == 0 {
        page.blank();
        page.paragraph(
            2,
            &[Span::new(Ink::Unknown, "No TCP handshake in it: nothing can be said.")],
        );
    } else {
        tables::outcomes(&mut page, told.totals);
        tables::listeners(&mut page, told.totals, told.verdict, options.verbose);
        tables::findings(&mut page, &told.verdict.findings, options.verbose);
        notes(&mut page, told, options.verbose);
    }
    limits(&mut page, told, options.verbose);
    page.finish()
}

fn head(page: &mut Page, told: &Told<'_>) {
    let Told { account, points, totals, .. } = *told;
    let names: Vec<String> = account.sources.iter().map(|name| harmless(name)).collect();
    let name = match names.as_slice() {
        [first, .., last] if names.len() > 3 => {
            format!("{first} … {last} ({} files)", names.len())
        }
        _ => names.join(", "),
    };
    page.paragraph(2, &[Span::new(Ink::Subject, name)]);
    let mut facts = vec![match account.counts.segments {
        all if all == account.packets => format!("{}, all TCP", counted(all, "packet")),
        some => format!("{}, {} TCP", counted(account.packets, "packet"), grouped(some)),
    }];
    if account.matched < account.counts.segments {
        facts.push(format!("{} match the filter", grouped(account.matched)));
    }
    if let Some((first, last)) = account.span_ns {
        let length = u64::try_from(last.saturating_sub(first)).unwrap_or(0);
        facts.push(format!("{} from {} UTC", span(length), date_time(first)));
    }
    if points.is_none() {
        facts.extend((account.sources.len() > 1).then(|| "taken as one capture".to_owned()));
        facts.extend(vantage(totals));
    }
    page.paragraph(2, &[Span::new(Ink::Dim, facts.join(" · "))]);
}

/// The two points, their clocks, and what came of handshakes between them.
fn between(page: &mut Page, points: &Points, told: &Told<'_>) {
    let mut line =
        |label, text: String| page.labelled(label, LABELLED, 0, Span::new(Ink::Plain, text));
    line("points", points.words());
    line("clock", points.clock_words());
    let joined = counted(told.counted.joined, "handshake");
    let mut facts = vec![format!("{joined} seen at both")];
    facts.extend(told.totals.located_words());
    line("between", facts.join(" · "));
}

/// Where the capture was taken, as far as it shows.
pub(super) fn vantage(totals: &Totals) -> Option<String> {
    let [both, clients, servers] = totals.vantages;
    let all = totals.handshakes();
    if all == 0 {
        return None;
    }
    if both == 0 && servers == 0 {
        return Some("only what clients sent".to_owned());
    }
    if both == 0 && clients == 0 {
        return Some("only what servers sent".to_owned());
    }
    match totals.nearness.side() {
        WatchedSide::Server => Some("near the servers".to_owned()),
        WatchedSide::Clients => Some("near the clients".to_owned()),
        WatchedSide::Unknown => None,
    }
}

/// What else was noticed, and how to look closer.
fn notes(page: &mut Page, told: &Told<'_>, all: bool) {
    let totals = told.totals;
    let noticed: Vec<String> = totals
        .marks
        .iter()
        .filter(|(mark, _)| all || is_trouble(**mark) || **mark == Mark::CapturedTwice)
        .map(|(&it, &count)| format!("{} {}", mark(it), grouped(count)))
        .collect();
    page.blank();
    if !noticed.is_empty() {
        page.labelled("noticed", LABELLED, 0, Span::new(Ink::Plain, noticed.join(" · ")));
    }
    if !told.verdict.findings.is_empty() && !all {
        let more = match told.verdict.findings.len().saturating_sub(tables::FINDINGS) {
            0 => "--verbose has the evidence and what would not help".to_owned(),
            more => format!("{}; --verbose has all", counted(more as u64, "more finding")),
        };
        page.labelled("more", LABELLED, 0, Span::new(Ink::Plain, more));
    }
    if let Some(found) = worst(totals) {
        let command = format!("{} --sequence {}", told.command, found.number);
        page.labelled("look at", LABELLED, 0, Span::new(Ink::Plain, harmless(&command)));
    }
}

/// An example of what tells most: of failures that are not rare among them, the first class; without
/// failures, a late connection.
fn worst(totals: &Totals) -> Option<&Found> {
    let graded = || CLASSES.iter().zip(totals.by_class).zip(&totals.examples);
    let of = |gravity| graded().filter(move |((class, _), _)| class.gravity == gravity);
    let failed: u64 = of(Gravity::Failed).map(|((_, count), _)| count).sum();
    let frequent = of(Gravity::Failed).find(|((_, count), _)| *count > 0 && count * 20 >= failed);
    let late = || of(Gravity::Late).find(|((_, count), _)| *count > 0);
    frequent.or_else(late).and_then(|(_, example)| example.as_ref())
}

/// What may be missing: evictions, damage, loss.
fn limits(page: &mut Page, told: &Told<'_>, all: bool) {
    let Told { account, points, counted: following, totals, .. } = *told;
    let statistics = &following.statistics;
    let mut note = |label: &str, text: String| {
        page.labelled(label, LABELLED, 0, Span::new(Ink::Warning, text));
    };
    if account.interrupted {
        note("ended", "by Ctrl-C; the rest was not read".to_owned());
    }
    if statistics.evicted > 0 {
        let flows = counted(statistics.evicted, "flow");
        note(
            "evicted",
            format!("{flows} forgotten early because the table was full (--max-flows)"),
        );
    }
    if following.uncompared > 0 {
        let handshakes = counted(following.uncompared, "handshake");
        note("evicted", format!("{handshakes} seen at one point not compared: too many at a time"));
    }
    for name in points.map(Points::incomplete).unwrap_or_default() {
        let gaps = "lacks packets (dropped, cut or damaged): nothing is called lost there";
        note("gaps", harmless(&format!("{name} {gaps}")));
    }
    if let Some(lost) = account.lost.filter(|&lost| lost > 0) {
        note(
            "lost",
            format!(
                "{} never captured: what is missing may be one of them",
                counted(lost, "packet")
            ),
        );
    }
    if let Some(link) = account.unread_link {
        let packets = counted(account.counts.unread_link, "packet");
        note("left out", format!("{packets} of link type {link}, which is not read"));
    }
    if account.counts.cut > 0 {
        let packets = counted(account.counts.cut, "packet");
        note("cut", format!("{packets} too short to tell what they are (snapshot length)"));
    }
    if account.scopes_overflowed {
        note("mixed", "more VLANs and tunnels than are told apart".to_owned());
    }
    if totals.tallied.listeners_undercount > 0 {
        let most = grouped(totals.tallied.listeners_undercount.into());
        note("servers", format!("too many to count each; a count may be {most} too low"));
    }
    for failure in &account.failures {
        note("failed", harmless(failure));
    }
    if account.warnings_count > 0 {
        let shown = if all { account.warnings.len() } else { WARNINGS };
        let several = account.sources.len() > 1;
        for (file, warning) in account.warnings.iter().take(shown) {
            let name = account.sources.get(*file).filter(|_| several);
            let name = name.map_or_else(String::new, |name| format!("{name}: "));
            note("damaged", harmless(&format!("{name}{warning}")));
        }
        let rest = account.warnings_count - account.warnings.len().min(shown) as u64;
        if rest > 0 {
            let hint = if all { "" } else { "; --verbose has more" };
            note("", format!("and {}{hint}", counted(rest, "more place")));
        }
    }
}

/// Whether an example of a class is worth a picture.
pub(super) fn is_notable(class: &Class) -> bool {
    class.gravity >= Gravity::Late || class.id == class::of(halfopen_evidence::Outcome::Deferred).id
}

#[cfg(test)]
mod tests {
    use halfopen_capture::Statistics;

    use super::*;
    use crate::handshakes::fixture;
    use crate::handshakes::totals::Counting;

    fn printed(found: &[Found], account: &Account) -> String {
        let mut counting = Counting::default();
        counting.add(found);
        let totals = counting.finish();
        let statistics = Statistics { evicted: 2, ..Statistics::default() };
        let counted = Counted { statistics, ..Counted::default() };
        let command = "halfopen pcap a.pcap";
        let verdict = Verdict::of(&totals);
        let (totals, verdict, counted) = (&totals, &verdict, &counted);
        let told = Told { account, points: None, counted, totals, verdict, command };
        text(&told, &TextOptions { width: 80, colour: false, verbose: false })
    }

    fn account() -> Account {
        let mut account = Account {
            sources: vec!["a\u{1b}.pcap".to_owned()],
            packets: 5_412_701,
            span_ns: Some((1_767_225_600_000_000_000, 1_767_226_000_000_000_000)),
            ..Account::default()
        };
        account.counts.segments = 5_000_000;
        account.matched = 4_000;
        account
    }

    #[test]
    fn the_screen_names_servers_with_trouble_first() {
        insta::assert_snapshot!(printed(&fixture::some(), &account()));
    }

    #[test]
    fn a_capture_without_handshakes_says_so() {
        let text = printed(&[], &account());
        assert!(text.contains("No TCP handshake in it") && !text.contains('\u{1b}'), "{text}");
    }
}
