//! One run as text: what happened, the queues, the clients, the counters, the drops, the verdict.

use halfopen_diagnose::report::TextOptions;
use halfopen_diagnose::report::layout::{Ink, Page, Span, columns, shortened};
use halfopen_diagnose::words::{count, harmless};
use halfopen_model::{Counter, CounterTable, DropReason};
use halfopen_sim::{ClientsSummary, HostSummary};

use super::judged::{Expectation, Judged};
use super::series::Series;
use super::words::{latency_or_dash, of_a_thousand, seconds, waiting};
use super::{chart, timeline};

/// Listeners that are drawn without being asked for all.
const DRAWN: usize = 2;

/// The column in which a labelled text begins.
const COLUMN: usize = 12;

/// The run as text.
pub(super) fn text(judged: &Judged, options: &TextOptions) -> String {
    let mut page = Page::new(options.width.max(40), options.colour);
    head(&mut page, judged);
    heading(&mut page, "Timeline");
    let run = &judged.run;
    let one_host = run.hosts.len() == 1;
    timeline::write(&mut page, &run.timeline, run.moments_omitted, one_host, options.verbose);
    queues(&mut page, judged, options.verbose);
    clients(&mut page, &run.clients);
    for host in &run.hosts {
        let of_host =
            if one_host { String::new() } else { format!(" of {}", harmless(&host.name)) };
        counters(&mut page, host, &of_host, options.verbose);
        drops(&mut page, host, &of_host, options.verbose);
    }
    verdict(&mut page, judged, options);
    page.finish()
}

fn head(page: &mut Page, judged: &Judged) {
    let kernel =
        judged.run.hosts.first().map_or_else(String::new, |h| format!("Linux {}", h.kernel));
    let facts = [
        kernel,
        format!("seed {}", judged.seed),
        format!("{} simulated", seconds(judged.run.elapsed_us)),
    ];
    let head = [
        Span::new(Ink::Subject, harmless(&judged.scenario.name)),
        Span::new(Ink::Dim, facts.join(" · ")),
    ];
    page.paragraph(2, &head);
    page.paragraph(2, &[Span::new(Ink::Plain, harmless(&judged.scenario.about))]);
    for doubt in judged.doubts() {
        page.labelled("note", 6, 0, Span::new(Ink::Warning, doubt));
    }
}

/// The title of a section.
pub(super) fn heading(page: &mut Page, title: &str) {
    page.blank();
    page.put(Ink::Subject, title);
    page.blank();
}

fn queues(page: &mut Page, judged: &Judged, all: bool) {
    let series = Series::of(&judged.run);
    if series.is_empty() {
        return;
    }
    heading(page, "Queues");
    // Beside one with trouble, those without any say nothing.
    let speaks = |one: &&Series| one.peak() > 0 || one.drops() > 0;
    let spoken = series.iter().take_while(speaks).count().clamp(1, DRAWN);
    let shown = if all { series.len() } else { spoken };
    for (at, one) in series.iter().take(shown).enumerate() {
        if at > 0 {
            page.blank();
        }
        let hosts = &judged.run.hosts;
        let host = match hosts.get(one.host) {
            Some(host) if hosts.len() > 1 => format!(" of {}", harmless(&host.name)),
            _ => String::new(),
        };
        let mut facts = vec![
            format!("limit {}, room for {}", one.limit(), one.room()),
            format!("at most {} seen", one.peak()),
        ];
        if one.percent_full() > 0 {
            facts.push(format!("full {} % of the time", one.percent_full()));
        }
        if one.drops() > 0 {
            facts.push(format!("{} dropped", one.drops()));
        }
        let place = format!("*:{}{host}", one.port);
        let column = 4 + columns(&place);
        let facts = Span::new(Ink::Plain, facts.join(" · "));
        page.beside(&Span::new(Ink::Subject, place), column, 0, facts);
        chart::draw(page, one, judged.run.elapsed_us);
    }
    if series.len() > shown {
        let more = count((series.len() - shown) as u64, "more listener");
        let note = format!("{more}; --verbose has all");
        page.indented(2, Span::new(Ink::Dim, note));
    }
}

/// A column of the table of clients.
type Column = (&'static str, usize, fn(&ClientsSummary) -> String);

/// Whether a column says something of a group.
type Speaks = fn(&ClientsSummary) -> bool;

const OUTCOMES: &[(Column, Speaks)] = &[
    (("started", 8, |c| c.outcomes.started.to_string()), |_| true),
    (("connected", 10, |c| c.outcomes.connected.to_string()), |_| true),
    (("waiting", 8, |c| waiting(c).to_string()), |c| waiting(c) > 0),
    (("gave up", 8, |c| c.outcomes.gave_up.to_string()), |c| c.outcomes.gave_up > 0),
    (("timed out", 10, |c| c.outcomes.timed_out.to_string()), |c| c.outcomes.timed_out > 0),
    (("refused", 8, |c| c.outcomes.refused.to_string()), |c| c.outcomes.refused > 0),
    (("unreachable", 12, |c| c.outcomes.unreachable.to_string()), |c| c.outcomes.unreachable > 0),
    (("no port", 8, |c| c.outcomes.no_port.to_string()), |c| c.outcomes.no_port > 0),
    (("reset", 7, |c| c.outcomes.reset.to_string()), |c| c.outcomes.reset > 0),
    (("p50", 10, |c| quantile(c, 500)), |_| true),
    (("p99", 10, |c| quantile(c, 990)), |_| true),
    (("p99.9", 10, |c| quantile(c, 999)), |_| true),
];

fn quantile(clients: &ClientsSummary, per_mille: usize) -> String {
    latency_or_dash(of_a_thousand(&clients.latencies_us, per_mille))
}

/// Groups of clients, a row each; columns that say nothing of any are left out.
fn clients(page: &mut Page, groups: &[ClientsSummary]) {
    if groups.is_empty() {
        return;
    }
    let shown: Vec<&Column> = OUTCOMES
        .iter()
        .filter(|(_, speaks)| groups.iter().any(speaks))
        .map(|(column, _)| column)
        .collect();
    heading(page, "Clients, and how long their connect() took");
    let taken: usize = shown.iter().map(|(_, width, _)| width).sum();
    let name_width = page.width().saturating_sub(taken + 2).clamp(8, 20);
    let mut titles = format!("  {:name_width$}", "");
    for (title, width, _) in &shown {
        titles.push_str(&format!("{title:>width$}"));
    }
    page.put(Ink::Dim, &titles);
    page.blank();
    for group in groups {
        let name = shortened(&harmless(&group.name), name_width);
        let mut row = format!("  {name:name_width$}");
        for (_, width, value) in &shown {
            row.push_str(&format!("{:>width$}", value(group)));
        }
        page.put(Ink::Plain, &row);
        page.blank();
    }
}

/// The counters that moved, by the table of the kernel that they stand in.
fn counters(page: &mut Page, host: &HostSummary, of_host: &str, all: bool) {
    let moved: Vec<(Counter, u64)> = host.counters.moved().collect();
    if moved.is_empty() {
        return;
    }
    heading(page, &format!("Counters{of_host}"));
    for table in [CounterTable::TcpExt, CounterTable::Tcp, CounterTable::Ip] {
        let of_table = moved.iter().filter(|(counter, _)| counter.table() == table);
        if all {
            for (counter, value) in of_table {
                let name = format!("{}.{counter} {value}", table.name());
                let span = Span::new(Ink::Plain, name);
                page.beside(&span, 40, 0, Span::new(Ink::Dim, counter.meaning()));
            }
            continue;
        }
        let values: Vec<String> = of_table.map(|(name, value)| format!("{name} {value}")).collect();
        let lines = lines_of(&values, page.width().saturating_sub(COLUMN));
        for (at, line) in lines.into_iter().enumerate() {
            let label = if at == 0 { table.name() } else { "" };
            page.labelled(label, COLUMN, 0, Span::new(Ink::Plain, line));
        }
    }
}

/// Items in lines of so many columns; no item is torn.
fn lines_of(items: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        match lines.last_mut() {
            Some(line) if columns(line) + columns(item) + 5 <= width => {
                line.push_str(&format!(" · {item}"));
            }
            Some(line) => {
                line.push_str(" ·");
                lines.push(item.clone());
            }
            None => lines.push(item.clone()),
        }
    }
    lines
}

/// Segments that came to nothing, with the function of the kernel that decides it.
fn drops(page: &mut Page, host: &HostSummary, of_host: &str, all: bool) {
    if host.drops.is_empty() {
        return;
    }
    heading(page, &format!("Segments that came to nothing{of_host}"));
    let mut drops: Vec<&(DropReason, u64)> = host.drops.iter().collect();
    drops.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (reason, count) in drops {
        let source = reason.source();
        let function = source.rsplit(' ').next().unwrap_or(source);
        let source = if all { source } else { function };
        let number = Span::new(Ink::Plain, format!("{count:>8}"));
        page.beside(&number, COLUMN, 2, Span::new(Ink::Plain, format!("{reason} ({source})")));
    }
}

fn verdict(page: &mut Page, judged: &Judged, options: &TextOptions) {
    heading(page, "Verdict of a check in the last two seconds");
    page.put(Ink::Plain, &judged.servers.to_text(options));
    if let Some(clients) = judged.clients.as_ref().filter(|report| !report.findings.is_empty()) {
        heading(page, "Verdict of the same check on the clients' machine");
        page.put(Ink::Plain, &clients.to_text(options));
    }
    let expected = named(judged.scenario.expect.iter().map(String::as_str));
    let (ink, text) = match &judged.expectation {
        Expectation::None => return,
        Expectation::Met => (Ink::Good, format!("As the scenario expects: {expected}.")),
        Expectation::NotMet(wrong) => {
            (Ink::Failure, format!("Not as the scenario expects: {wrong}."))
        }
        Expectation::Changed => {
            let text = format!("Unchanged, the scenario is expected to give {expected}.");
            (Ink::Dim, text)
        }
    };
    page.blank();
    page.paragraph(2, &[Span::new(ink, text)]);
}

fn named<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let ids: Vec<&str> = ids.collect();
    if ids.is_empty() { "no finding".to_owned() } else { ids.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_stays_with_its_value() {
        let items = ["ListenOverflows 14", "ListenDrops 14", "TCPTimeouts 3"].map(str::to_owned);
        assert_eq!(
            lines_of(&items, 40),
            ["ListenOverflows 14 · ListenDrops 14 ·", "TCPTimeouts 3"]
        );
        assert_eq!(lines_of(&items, 10).len(), 3);
    }
}
