//! The report as one HTML page that needs nothing else: charts, the servers, ladders of examples.

use std::fmt::Write as _;

use halfopen_diagnose::report::{FindingEntry, evidence};
use halfopen_diagnose::{Severity, Status};

use super::flow::Followed;
use super::points::Points;
use super::summary::{Told, vantage};
use super::{ladder, ladder_svg};
use crate::handshakes::class;
use crate::handshakes::class::{CLASSES, Gravity};
use crate::handshakes::over_time::OverTime;
use crate::handshakes::tables::wrong;
use crate::handshakes::totals::Totals;
use crate::handshakes::words::{clock, counted, date_time, grouped, share, span};
use crate::markup::escaped;

/// Findings on the page.
const FINDINGS: usize = 20;

/// Servers in the table.
const LISTENERS: usize = 200;

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fff;--ink:#1b1f24;--dim:#59636e;--line:#d1d9e0;--card:#f6f8fa;\
--good:#0072b2;--late:#b57c00;--bad:#b3261e;--unsaid:#8c959f}\
@media(prefers-color-scheme:dark){:root{--bg:#14181d;--ink:#e6edf3;--dim:#9aa4af;--line:#30363d;\
--card:#1c2128;--good:#56b4e9;--late:#f0b429;--bad:#ff8a80;--unsaid:#59636e}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:1040px;padding:24px;background:var(--bg);\
color:var(--ink);font:15px/1.5 system-ui,sans-serif}h1{font-size:22px;margin:0}h2{font-size:17px;\
margin:32px 0 8px}p.facts{color:var(--dim);margin:4px 0 16px}table{border-collapse:collapse;\
width:100%}th,td{text-align:left;padding:4px 10px;border-bottom:1px solid var(--line);\
vertical-align:top}th{color:var(--dim);font-weight:600}.n{text-align:right;\
font-variant-numeric:tabular-nums;white-space:nowrap}code{font-family:ui-monospace,monospace}\
.fine{color:var(--good)}.late{color:var(--late)}.failed{color:var(--bad)}.unsaid{color:var(--dim)}\
svg{max-width:100%;height:auto}figure{margin:12px 0;overflow-x:auto}figcaption{color:var(--dim)}\
.b0{fill:var(--good)}.b1{fill:var(--unsaid)}.b2{fill:var(--late)}.b3{fill:var(--bad)}\
.axis{stroke:var(--line)}.t{fill:var(--dim);font-size:12px}";

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 60.0;
const FLOOR: f64 = 150.0;
const TOP: f64 = 12.0;

/// The page.
pub(super) fn page(told: &Told<'_>, examples: &[Followed]) -> String {
    let (account, totals) = (told.account, told.totals);
    let title = escaped(&account.sources.join(", "));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}: TCP handshakes</title>\n\
         <style>{STYLE}{}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
        ladder_svg::style()
    );
    head(&mut page, told);
    findings(&mut page, &told.verdict.findings);
    outcomes(&mut page, totals);
    over_time(&mut page, &totals.over_time);
    latency(&mut page, totals);
    listeners(&mut page, told);
    ladders(&mut page, examples, told.points);
    warnings(&mut page, told);
    let _ = write!(
        page,
        "<p class=\"facts\">Made by halfopen {}. Times are UTC.</p>\n</main>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    page
}

fn head(page: &mut String, told: &Told<'_>) {
    let (account, totals) = (told.account, told.totals);
    let mut facts = vec![
        counted(account.packets, "packet"),
        format!("{} of TCP", counted(account.counts.segments, "segment")),
    ];
    if let Some((first, last)) = account.span_ns {
        let length = u64::try_from(last.saturating_sub(first)).unwrap_or(0);
        facts.push(format!("{} from {} UTC", span(length), date_time(first)));
    }
    match told.points {
        Some(points) => {
            facts.extend([points.words(), points.clock_words()]);
            facts.extend(totals.located_words());
        }
        None => facts.extend(vantage(totals)),
    }
    let (class, words) = match told.verdict.status {
        Status::Healthy => ("fine", "Nothing wrong seen."),
        Status::Warning => ("late", "Some connections were late, or few failed."),
        Status::Failure => ("failed", "Connections fail."),
        Status::Unknown => ("unsaid", "No TCP handshake seen: nothing can be said."),
    };
    let _ = write!(
        page,
        "<p class=\"facts\">{}</p>\n<p class=\"{class}\"><strong>{words}</strong></p>\n",
        escaped(&facts.join(" · "))
    );
}

/// What was found, each with what to do.
fn findings(page: &mut String, findings: &[FindingEntry]) {
    for finding in findings.iter().take(FINDINGS) {
        let class = match finding.severity {
            Severity::Failure => "failed",
            Severity::Warning => "late",
        };
        let _ = write!(
            page,
            "<section>\n<h2><code class=\"{class}\">{}</code> {}</h2>\n<p>{}</p>\n\
             <p class=\"facts\">{}</p>\n<ul>\n",
            escaped(&finding.subject.label),
            escaped(&finding.headline),
            escaped(&finding.cause),
            escaped(&evidence(finding)),
        );
        for remedy in &finding.remedies {
            let _ = writeln!(page, "<li>{}</li>", escaped(remedy));
        }
        for useless in &finding.not_helpful {
            let _ = writeln!(page, "<li>not: {}</li>", escaped(useless));
        }
        let _ = write!(
            page,
            "</ul>\n<p class=\"facts\">{} ({})</p>\n</section>\n",
            escaped(&finding.id),
            finding.confidence.as_str()
        );
    }
    if findings.len() > FINDINGS {
        let more = counted((findings.len() - FINDINGS) as u64, "more finding");
        let _ = writeln!(page, "<p class=\"facts\">{more} not shown.</p>");
    }
}

const fn css(gravity: Gravity) -> &'static str {
    match gravity {
        Gravity::Fine => "fine",
        Gravity::Unsaid => "unsaid",
        Gravity::Late => "late",
        Gravity::Failed => "failed",
    }
}

fn outcomes(page: &mut String, totals: &Totals) {
    let _ = write!(
        page,
        "<h2>{}</h2>\n<table>\n<thead><tr><th scope=\"col\" class=\"n\">handshakes</th>\
         <th scope=\"col\" class=\"n\">share</th><th scope=\"col\">outcome</th></tr></thead>\n<tbody>\n",
        counted(totals.attempts(), "attempt")
    );
    let whole = totals.handshakes();
    for (class, count) in CLASSES.iter().zip(totals.by_class).filter(|(_, count)| *count > 0) {
        let _ = writeln!(
            page,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"{}\">{}</td></tr>",
            grouped(count),
            share(count, whole),
            css(class.gravity),
            escaped(class.long)
        );
    }
    page.push_str("</tbody>\n</table>\n");
}

/// Stacked bars: attempts by the time at which they began.
#[expect(clippy::cast_precision_loss, reason = "places on a page")]
fn over_time(page: &mut String, over_time: &OverTime) {
    let slices = over_time.slices();
    let most = slices.iter().map(|slice| slice.iter().sum::<u64>()).max().unwrap_or(0);
    if most == 0 {
        return;
    }
    let width_ns = over_time.width_ns();
    let about = format!(
        "Attempts by the time at which they began, {} a bar; at most {} in one.",
        span(width_ns.unsigned_abs()),
        grouped(most)
    );
    open(page, "Outcomes over time", "time", &about);
    let step = (WIDTH - LEFT - 10.0) / slices.len() as f64;
    for (at, slice) in slices.iter().enumerate() {
        let mut floor = FLOOR;
        let x = LEFT + at as f64 * step;
        // What failed lies at the bottom, where it is seen.
        for kind in [3, 2, 1, 0] {
            let height = slice[kind] as f64 / most as f64 * (FLOOR - TOP);
            if slice[kind] > 0 {
                floor -= height;
                let width = (step - 0.6).max(0.5);
                let _ = writeln!(
                    page,
                    "<rect class=\"b{kind}\" x=\"{x:.1}\" y=\"{floor:.1}\" width=\"{width:.1}\" \
                     height=\"{:.1}\"/>",
                    height.max(0.5)
                );
            }
        }
    }
    axes(page, &grouped(most));
    let begin = over_time.begin_ns();
    for (place, anchor) in [(0, "start"), (slices.len() / 2, "middle"), (slices.len(), "end")] {
        let places = i64::try_from(place).unwrap_or(0);
        let at = begin.saturating_add(width_ns.saturating_mul(places));
        label(page, LEFT + place as f64 * step, FLOOR + 18.0, anchor, &clock(at));
    }
    close(page, &about);
    page.push_str(
        "<p class=\"facts\"><span class=\"fine\">■ as it should be</span> · \
         <span class=\"late\">■ late</span> · <span class=\"failed\">■ failed</span> · \
         <span class=\"unsaid\">■ not seen enough</span></p>\n",
    );
}

/// Bars over a logarithmic axis: how long connect() took.
#[expect(clippy::cast_precision_loss, reason = "places on a page")]
fn latency(page: &mut String, totals: &Totals) {
    const PER_POWER: f64 = 6.0;
    const POWERS: usize = 8;
    let connect = &totals.connect;
    let (Some(p50), Some(p99), Some(p999), Some(most)) = (
        connect.of_a_thousand(500),
        connect.of_a_thousand(990),
        connect.of_a_thousand(999),
        connect.most(),
    ) else {
        return;
    };
    let about = format!(
        "How long connect() took, from 10 µs to 1000 s: p50 {}, p99 {}, p99.9 {}, longest {}. \
         The height is the logarithm of the count, so that few slow ones show.",
        span(p50),
        span(p99),
        span(p999),
        span(most)
    );
    let mut bars = [0_u64; POWERS * 6];
    for (ns, count) in connect.buckets() {
        let place = ((ns.max(1) as f64).log10() - 4.0) * PER_POWER;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the bars"
        )]
        let place = place.clamp(0.0, (bars.len() - 1) as f64) as usize;
        bars[place] += count;
    }
    let highest = bars.iter().copied().max().unwrap_or(0);
    let scaled = |count: u64| (count as f64 + 1.0).log10();
    open(page, "Connect latency", "latency", &about);
    let step = (WIDTH - LEFT - 10.0) / bars.len() as f64;
    for (at, &count) in bars.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = scaled(count) / scaled(highest) * (FLOOR - TOP);
        // From a second on, a SYN or a SYN-ACK was lost.
        let kind = if at as f64 >= 4.9 * PER_POWER { 2 } else { 0 };
        let _ = writeln!(
            page,
            "<rect class=\"b{kind}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\">\
             <title>{}</title></rect>",
            LEFT + at as f64 * step,
            FLOOR - height,
            step - 1.0,
            counted(count, "connection")
        );
    }
    axes(page, &grouped(highest));
    for (power, words) in ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"]
        .into_iter()
        .enumerate()
    {
        let x = LEFT + power as f64 * PER_POWER * step;
        label(page, x, FLOOR + 18.0, "start", words);
    }
    close(page, &about);
}

fn open(page: &mut String, title: &str, id: &str, about: &str) {
    let _ = write!(
        page,
        "<h2>{title}</h2>\n<figure>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\n\
         <title id=\"{id}-t\">{title}</title>\n<desc id=\"{id}-d\">{}</desc>\n",
        escaped(about)
    );
}

fn axes(page: &mut String, most: &str) {
    let right = WIDTH - 10.0;
    let _ =
        writeln!(page, "<path class=\"axis\" fill=\"none\" d=\"M{LEFT} {TOP}V{FLOOR}H{right}\"/>");
    label(page, LEFT - 6.0, TOP + 10.0, "end", most);
}

fn label(page: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        page,
        "<text class=\"t\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn close(page: &mut String, about: &str) {
    let _ = write!(page, "</svg>\n<figcaption>{}</figcaption>\n</figure>\n", escaped(about));
}

fn listeners(page: &mut String, told: &Told<'_>) {
    let listeners = told.totals.listeners();
    if listeners.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Servers, those with trouble first</h2>\n<figure>\n<table>\n<thead><tr>\
         <th scope=\"col\">server</th><th scope=\"col\" class=\"n\">attempts</th>\
         <th scope=\"col\" class=\"n\">clients</th><th scope=\"col\" class=\"n\">connect p50</th>\
         <th scope=\"col\" class=\"n\">p99</th><th scope=\"col\">what went wrong</th></tr></thead>\n\
         <tbody>\n",
    );
    for listener in listeners.iter().take(LISTENERS) {
        let css = match told.verdict.listener(listener) {
            Status::Failure => "failed",
            Status::Warning => "late",
            Status::Healthy | Status::Unknown => "fine",
        };
        let quantile = |per_mille| {
            listener.tally.connect.quantile_ns(per_mille).map_or_else(|| "–".to_owned(), span)
        };
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\"><code class=\"{css}\">{}</code> {}</th><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            listener.server,
            escaped(listener.scope),
            grouped(listener.attempts),
            grouped(listener.tally.clients.count()),
            quantile(500),
            quantile(990),
            escaped(&wrong(listener))
        );
    }
    page.push_str("</tbody>\n</table>\n");
    if listeners.len() > LISTENERS {
        let more = counted((listeners.len() - LISTENERS) as u64, "more server");
        let _ = writeln!(page, "<figcaption>{more} not shown.</figcaption>");
    }
    page.push_str("</figure>\n");
}

fn ladders(page: &mut String, examples: &[Followed], points: Option<&Points>) {
    if examples.is_empty() {
        return;
    }
    page.push_str("<h2>One example of each</h2>\n");
    for (at, followed) in examples.iter().enumerate() {
        let svg = ladder_svg::inline(&ladder::ladder(followed, points), &format!("ladder{at}"));
        let class = class::of(followed.found.handshake.outcome);
        let _ = write!(
            page,
            "<figure>\n{svg}<figcaption>{}: packet {} at {}</figcaption>\n</figure>\n",
            escaped(class.long),
            followed.found.number,
            clock(followed.found.handshake.began_ns)
        );
    }
}

fn warnings(page: &mut String, told: &Told<'_>) {
    let account = told.account;
    let mut items: Vec<String> = account.failures.clone();
    if told.counted.statistics.evicted > 0 {
        let flows = counted(told.counted.statistics.evicted, "flow");
        items.push(format!("{flows} forgotten early because the table was full"));
    }
    if let Some(lost) = account.lost.filter(|&lost| lost > 0) {
        items.push(format!("{} never captured", counted(lost, "packet")));
    }
    for (file, warning) in &account.warnings {
        let name = account.sources.get(*file).map_or("", String::as_str);
        items.push(format!("{name}: {warning}"));
    }
    let rest = account.warnings_count.saturating_sub(account.warnings.len() as u64);
    if rest > 0 {
        items.push(counted(rest, "more damaged place"));
    }
    if items.is_empty() {
        return;
    }
    page.push_str("<h2>What may be missing</h2>\n<ul>\n");
    for item in items {
        let _ = writeln!(page, "<li>{}</li>", escaped(&item));
    }
    page.push_str("</ul>\n");
}

#[cfg(test)]
mod tests {

    use super::super::following::Counted;
    use super::super::ladder::tests::ignored;
    use super::super::read::Account;
    use super::*;
    use crate::handshakes::fixture;
    use crate::handshakes::totals::Counting;
    use crate::handshakes::verdict::Verdict;

    #[test]
    fn names_cannot_leave_their_elements_and_nothing_is_loaded() {
        let mut counting = Counting::default();
        counting.add(&fixture::some());
        let totals = counting.finish();
        let account =
            Account { sources: vec!["<script>x</script>".to_owned()], ..Account::default() };
        let counted = Counted::default();
        let verdict = Verdict::of(&totals);
        let told = Told {
            account: &account,
            points: None,
            counted: &counted,
            totals: &totals,
            verdict: &verdict,
            command: "",
        };
        let page = page(&told, &[ignored()]);
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
        for loads in [" src=", " href=", "url(", "@import"] {
            assert!(!page.contains(loads), "{loads}");
        }
        let links = page.matches("http").count();
        assert_eq!(links, page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
        assert!(
            page.contains("<h2>Outcomes over time</h2>") && page.contains("prefers-color-scheme")
        );
    }
}
