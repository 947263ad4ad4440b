//! What a capture says, on one screen: what was read, how the attempts came out, which servers are in
//! trouble, what may be missing.

use halfopen_diagnose::Status;
use halfopen_diagnose::report::layout::{Ink, Page, Span, columns};
use halfopen_diagnose::report::{FindingEntry, TextOptions, write_findings};
use halfopen_diagnose::words::harmless;
use halfopen_evidence::{BurstKind, Mark, WatchedSide};

use super::class;
use super::class::{CLASSES, Class, ENDS, Gravity};
use super::following::Counted;
use super::found::Found;
use super::points::Points;
use super::read::Account;
use super::totals::{Listener, Totals};
use super::verdict::Verdict;
use super::words::{clock, counted, date_time, grouped, is_trouble, mark, share, span};

/// Listeners that are shown without being asked for all.
const LISTENERS: usize = 6;

/// Findings that are shown without being asked for all.
const FINDINGS: usize = 3;

/// Warnings that are shown without being asked for all.
const WARNINGS: usize = 2;

/// The column in which the words of an outcome begin.
const OUTCOME: usize = 19;

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
        outcomes(&mut page, told.totals);
        listeners(&mut page, told, options.verbose);
        findings(&mut page, &told.verdict.findings, options.verbose);
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

fn outcomes(page: &mut Page, totals: &Totals) {
    page.blank();
    let attempts = counted(totals.attempts(), "attempt");
    let facts = Span::new(Ink::Dim, connect(totals));
    page.paragraph(2, &[Span::new(Ink::Subject, attempts), facts]);
    let mut rows: Vec<(&Class, u64)> = CLASSES.iter().zip(totals.by_class).collect();
    rows.retain(|&(_, count)| count > 0);
    let whole = totals.handshakes();
    for (class, count) in rows {
        let number = format!("{:>9}{:>6}", grouped(count), share(count, whole));
        let mut text = class.long.to_owned();
        if class.id == "third-ack-ignored" {
            text = format!("{text}: {}", ends(totals));
        }
        page.beside(
            &Span::new(ink(class.gravity), number),
            OUTCOME,
            2,
            Span::new(Ink::Plain, text),
        );
    }
}

/// How long connect() took.
fn connect(totals: &Totals) -> String {
    let quantile = |per_mille| totals.connect.of_a_thousand(per_mille).map(span);
    match (quantile(500), quantile(990), quantile(999), totals.connect.most().map(span)) {
        (Some(p50), _, _, Some(most)) if p50 == most => format!("connect p50 and max {most}"),
        (Some(p50), Some(p99), Some(p999), Some(most)) => {
            format!("connect p50 {p50} · p99 {p99} · p99.9 {p999} · max {most}")
        }
        _ => String::new(),
    }
}

/// How ignored third ACKs ended.
fn ends(totals: &Totals) -> String {
    let ends = ENDS.iter().zip(totals.ends).filter(|(_, count)| *count > 0);
    let ends: Vec<String> =
        ends.map(|((_, words), count)| format!("{} {words}", grouped(count))).collect();
    ends.join(", ")
}

const fn ink(gravity: Gravity) -> Ink {
    match gravity {
        Gravity::Fine => Ink::Good,
        Gravity::Unsaid => Ink::Dim,
        Gravity::Late => Ink::Warning,
        Gravity::Failed => Ink::Failure,
    }
}

/// The servers, a line each.
fn listeners(page: &mut Page, told: &Told<'_>, all: bool) {
    let listeners = told.totals.listeners();
    let shown = if all { listeners.len() } else { listeners.len().min(LISTENERS) };
    let shown = &listeners[..shown];
    let names: Vec<String> = shown.iter().map(name).collect();
    let width = names.iter().map(|name| columns(name)).max().unwrap_or(0).clamp(6, 21);
    page.blank();
    let header =
        format!("     {:width$} {:>8} {:>7}  what went wrong", "server", "attempts", "clients");
    page.put(Ink::Dim, &header);
    page.blank();
    for (listener, name) in shown.iter().zip(&names) {
        row(page, listener, name, width, told.verdict.listener(listener));
    }
    if listeners.len() > shown.len() {
        let rest = &listeners[shown.len()..];
        let troubled = rest.iter().filter(|one| one.failed + one.late > 0).count();
        let more = counted(rest.len() as u64, "more server");
        let note = match troubled {
            0 => format!("{more} without trouble"),
            troubled => format!("{more}, {troubled} with trouble; --verbose has all"),
        };
        page.indented(5, Span::new(Ink::Dim, note));
    }
}

fn row(page: &mut Page, listener: &Listener<'_>, name: &str, width: usize, status: Status) {
    let (ink, label) = match status {
        Status::Failure => (Ink::Failure, "FAIL"),
        Status::Warning => (Ink::Warning, "WARN"),
        Status::Healthy | Status::Unknown => (Ink::Good, "ok"),
    };
    let clients = listener.tally.clients.count();
    // Many are an estimate.
    let about = if clients > 100 { "~" } else { "" };
    let clients = format!("{about}{}", grouped(clients));
    let figures = format!(" {name:width$} {:>8} {clients:>7}", grouped(listener.attempts));
    page.put(ink, &format!("{label:<4}"));
    page.put(Ink::Plain, &figures);
    let begins = 4 + columns(&figures) + 2;
    // Beside a long address there is no room.
    let (begins, is_below) = if begins + 30 > page.width() { (8, true) } else { (begins, false) };
    for (at, line) in wrapped(&wrong(listener), page.width() - begins).iter().enumerate() {
        let indent =
            if at == 0 && !is_below { "  ".to_owned() } else { format!("\n{:begins$}", "") };
        page.put(Ink::Plain, &format!("{indent}{line}"));
    }
    page.blank();
}

/// What the rules make of it, the worst first: all of it, or the first with its cause and what to do
/// now, and the headlines of a few others.
fn findings(page: &mut Page, findings: &[FindingEntry], all: bool) {
    if all {
        return write_findings(page, findings);
    }
    let shown = findings.len().min(FINDINGS);
    let brief: Vec<FindingEntry> = findings.iter().take(shown).enumerate().map(brief).collect();
    write_findings(page, &brief);
}

fn brief((place, finding): (usize, &FindingEntry)) -> FindingEntry {
    let mut brief = finding.clone();
    brief.evidence.clear();
    brief.not_helpful.clear();
    brief.refuted_by.clear();
    brief.remedies.truncate(1);
    if place > 0 {
        brief.cause.clear();
        brief.remedies.clear();
    }
    brief
}

/// A text in lines of so many columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut page = Page::new(width, false);
    page.paragraph(0, &[Span::new(Ink::Plain, text)]);
    page.finish().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn name(listener: &Listener<'_>) -> String {
    if listener.scope.is_empty() {
        listener.server.to_string()
    } else {
        format!("{} {}", listener.server, harmless(listener.scope))
    }
}

/// What went wrong at a listener: outcomes, and what many attempts at once were.
pub(super) fn wrong(listener: &Listener<'_>) -> String {
    let mut items: Vec<String> = listener
        .troubles()
        .into_iter()
        .map(|(words, count)| format!("{} {words}", grouped(count)))
        .collect();
    if let Some(burst) = listener.tally.burst() {
        let what = match burst.kind {
            BurstKind::SynFlood => "SYN flood",
            BurstKind::ReconnectStorm => "clients all came back at once",
        };
        let second = &clock(burst.second_ns)[..8];
        items.push(format!("{what}: {} in the second {second}", grouped(burst.attempts.into())));
    }
    items.join(" · ")
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
        let more = match told.verdict.findings.len().saturating_sub(FINDINGS) {
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

    use super::super::fixture;
    use super::super::totals::Counting;
    use super::*;

    fn printed(found: &[Found], account: &Account) -> String {
        let mut counting = Counting::default();
        found.iter().cloned().for_each(|found| counting.add(found));
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
