//! A sweep as text: a table with a row per value, the same rows as bars, and what follows from them.

use halfopen_diagnose::report::Status;
use halfopen_diagnose::report::layout::{Ink, Page, Span, columns, shortened};
use halfopen_diagnose::words::harmless;
use halfopen_model::KernelVersion;
use halfopen_scenario::Scenario;
use halfopen_sim::overrides::Key;

use super::page::heading;
use super::sweep::{Figures, Point};
use super::words::{latency, latency_or_dash};

/// Width of the values at the least and at the most.
const VALUES: std::ops::RangeInclusive<usize> = 8..=17;

/// Width of a row of the table without its value and without p99.9, which gives way to long values.
const ROW: usize = 61;
const P999: usize = 9;

/// A sweep that is to be shown.
#[derive(Debug)]
pub(super) struct Curve<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) key: &'a Key,
    pub(super) points: &'a [Point],
    pub(super) kernel: String,
    pub(super) seed: u64,
    /// How long each value was observed after the last step, if that was not the scenario's own affair.
    pub(super) observed: Option<String>,
}

impl Curve<'_> {
    /// The sweep as text.
    pub(super) fn text(&self, width: usize, colour: bool) -> String {
        let mut page = Page::new(width.max(80), colour);
        let mut facts = vec![self.kernel.clone(), format!("seed {}", self.seed)];
        facts.extend(self.observed.clone());
        let name = Span::new(Ink::Subject, harmless(&self.scenario.name));
        page.paragraph(2, &[name, Span::new(Ink::Dim, facts.join(" · "))]);
        page.paragraph(2, &[Span::new(Ink::Plain, harmless(&self.scenario.about))]);
        for (doubt, values) in self.doubts() {
            let whose = if *self.key == Key::Kernel {
                format!("{}: ", values.join(", "))
            } else {
                String::new()
            };
            page.labelled("note", 6, 0, Span::new(Ink::Warning, format!("{whose}{doubt}")));
        }
        self.table(&mut page);
        if self.points.iter().any(|point| point.outcome.is_ok()) {
            self.bars(&mut page);
        }
        page.blank();
        for sentence in self.conclusions() {
            page.paragraph(2, &[Span::new(Ink::Plain, sentence)]);
        }
        page.finish()
    }

    /// What is not certain of the kernels that it ran on, and which values that concerns.
    fn doubts(&self) -> Vec<(&'static str, Vec<String>)> {
        let mut doubts: Vec<(&str, Vec<String>)> = Vec::new();
        for point in self.points {
            for &doubt in point.outcome.iter().flat_map(|figures| &figures.doubts) {
                let value = self.label(point);
                match doubts.iter_mut().find(|(known, _)| *known == doubt) {
                    Some((_, values)) => values.push(value),
                    None => doubts.push((doubt, vec![value])),
                }
            }
        }
        doubts
    }

    fn value_width(&self) -> usize {
        let title = columns(&self.title());
        let values = self.points.iter().map(|point| columns(&self.label(point)));
        values.chain([title]).max().unwrap_or(0).clamp(*VALUES.start(), *VALUES.end())
    }

    /// The key, a setting without its folder.
    fn title(&self) -> String {
        let key = self.key.to_string();
        key.rsplit('.').next().unwrap_or(&key).to_owned()
    }

    /// A value as it is shown: a kernel as its version and vendor, which is shorter.
    fn label(&self, point: &Point) -> String {
        match (self.key, KernelVersion::named(&point.value)) {
            (Key::Kernel, Ok(version)) => version.to_string(),
            _ => harmless(&point.value),
        }
    }

    /// The first column.
    fn first(&self, text: &str) -> String {
        let width = self.value_width();
        format!("  {:>width$}", shortened(text, width))
    }

    fn table(&self, page: &mut Page) {
        heading(page, &format!("Sweep of {}", self.key));
        let wide = page.width() >= ROW + P999 + self.value_width() + 2;
        let gap = self.first("");
        let groups = format!(
            "{gap}{:>7}{:>9}{:>13}{:>8}{:>18}",
            "queue", "", "dropped  ", "clients", "connect latency"
        );
        page.put(Ink::Dim, &groups);
        page.blank();
        let titles = format!(
            "{}{:>7}{:>9}{:>7}{:>6}{:>8}{:>9}{:>9}",
            self.first(&self.title()),
            "most",
            "accepted",
            "SYNs",
            "ACKs",
            "not in",
            "p50",
            "p99"
        );
        page.put(Ink::Dim, &titles);
        if wide {
            page.put(Ink::Dim, &format!("{:>P999$}", "p99.9"));
        }
        page.blank();
        for point in self.points {
            page.put(Ink::Subject, &self.first(&self.label(point)));
            match &point.outcome {
                Ok(figures) => row(page, figures, wide),
                Err(why) => {
                    let why = format!("  did not come about: {}", harmless(&why.to_string()));
                    let room = page.width().saturating_sub(self.value_width() + 2);
                    page.put(Ink::Warning, &shortened(&why, room));
                }
            }
            page.blank();
        }
    }

    fn bars(&self, page: &mut Page) {
        let figures: Vec<&Figures> = self.figures().collect();
        let most = figures.iter().map(|f| f.accepted + f.overflow()).max().unwrap_or(0).max(1);
        let scale = Scale::of(&figures);
        let room = page.width().saturating_sub(self.value_width() + 2 + 6);
        let (left, right) = (room.min(140) / 2, room.min(140) - room.min(140) / 2);
        heading(page, "Curve");
        page.put(Ink::Dim, &self.first(&self.title()));
        page.put(Ink::Plain, "  ");
        page.put(Ink::Good, "█");
        page.put(Ink::Dim, " accepted ");
        page.put(Ink::Failure, "░");
        let legend = " dropped";
        page.put(Ink::Dim, &format!("{legend:<width$}", width = left.saturating_sub(12)));
        page.put(Ink::Dim, "  latency ● p50  ○ p99  ◇ p99.9");
        page.blank();
        for point in self.points {
            page.put(Ink::Subject, &self.first(&self.label(point)));
            if let Ok(figures) = &point.outcome {
                let bar =
                    |n: u64| usize::try_from((n * left as u64).div_ceil(most)).unwrap_or(left);
                let accepted = bar(figures.accepted).min(left);
                let dropped = bar(figures.overflow()).min(left - accepted);
                page.put(Ink::Plain, "  ");
                page.put(Ink::Good, &"█".repeat(accepted));
                page.put(Ink::Failure, &"░".repeat(dropped));
                page.put(Ink::Plain, &" ".repeat(left - accepted - dropped + 2));
                page.put(Ink::Plain, scale.row(figures, right).trim_end());
            }
            page.blank();
        }
        let axis = format!("{:<left$}  {}", ends("0", &most.to_string(), left), scale.ends(right));
        page.put(Ink::Dim, &format!("{}  {axis}", self.first("")));
        page.blank();
    }

    fn figures(&self) -> impl Iterator<Item = &Figures> {
        self.points.iter().filter_map(|point| point.outcome.as_ref().ok())
    }

    /// What follows from the figures.
    fn conclusions(&self) -> Vec<String> {
        let key = self.key;
        let came_about = self.points.iter().filter_map(|p| Some((p, p.outcome.as_ref().ok()?)));
        let (points, good): (Vec<&Point>, Vec<bool>) =
            came_about.map(|(point, figures)| (point, figures.overflow() == 0)).unzip();
        let (Some(first), Some(last)) = (good.first(), good.last()) else {
            return vec!["The scenario came about with none of these values.".to_owned()];
        };
        // Where overflow begins or ends once, that is a limit; otherwise the values are named.
        let changes = good.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let has_order = *key != Key::Kernel && changes == 1;
        let named: Vec<String> =
            points.iter().zip(&good).filter(|(_, g)| **g).map(|(p, _)| self.label(p)).collect();
        let mut sentences = vec![match named.as_slice() {
            [] => "A queue overflows at each of these values.".to_owned(),
            all if all.len() == good.len() => {
                "No queue overflows at any of these values.".to_owned()
            }
            [from, ..] if has_order && *last => {
                format!("From {key} = {from} on, no queue overflows.")
            }
            [.., to] if has_order && *first => format!("Up to {key} = {to}, no queue overflows."),
            some => format!("No queue overflows with {key} = {}.", some.join(", ")),
        }];
        if matches!(key, Key::Pause | Key::Workers) && !good.contains(&true) {
            sentences.push("Bursts may be larger than the queue: see --sweep backlog.".to_owned());
        }
        if *key == Key::Backlog && !good.contains(&true) {
            let accepted = || self.figures().map(|figures| figures.accepted);
            let (least, most) = (accepted().min().unwrap_or(0), accepted().max().unwrap_or(0));
            // As many accepts with the deepest queue as with the shallowest, within a tenth.
            if least * 10 >= most * 9 {
                sentences.push(
                    "Accepts stay the same: the program is too slow, and a deeper queue makes \
                     its clients wait longer and serves none more. See --sweep pause and workers."
                        .to_owned(),
                );
            }
        }
        if self.figures().any(|figures| figures.overflow() == 0 && figures.growing) {
            sentences.push(
                "Where none overflows, one still grew at the end: clients come faster than the \
                 program accepts, and any queue overflows in time. See --for, --sweep pause and \
                 workers."
                    .to_owned(),
            );
        }
        sentences
    }
}

fn row(page: &mut Page, figures: &Figures, wide: bool) {
    let peak = if figures.peak >= figures.room { Ink::Failure } else { Ink::Plain };
    page.put(peak, &format!("{:>7}", figures.peak));
    page.put(Ink::Plain, &format!("{:>9}", figures.accepted));
    for (number, width) in
        [(figures.syns, 7), (figures.third_acks, 6), (figures.failed + figures.waiting, 8)]
    {
        let ink = if number > 0 { Ink::Failure } else { Ink::Plain };
        page.put(ink, &format!("{number:>width$}"));
    }
    let p50 = latency_or_dash(figures.p50_us);
    let p99 = latency_or_dash(figures.p99_us);
    page.put(Ink::Plain, &format!("{p50:>9}{p99:>9}"));
    if wide {
        page.put(Ink::Plain, &format!("{:>P999$}", latency_or_dash(figures.p999_us)));
    }
    let (word, ink) = match figures.status {
        Status::Healthy => ("  ok", Ink::Good),
        Status::Warning => ("  WARN", Ink::Warning),
        Status::Failure => ("  FAIL", Ink::Failure),
        Status::Unknown => ("  ?", Ink::Unknown),
    };
    page.put(ink, word);
}

/// A logarithmic axis of latencies.
#[derive(Clone, Copy, Debug)]
struct Scale {
    low_us: u64,
    high_us: u64,
}

impl Scale {
    fn of(figures: &[&Figures]) -> Self {
        let all = || figures.iter().flat_map(|f| [f.p50_us, f.p99_us, f.p999_us]).flatten();
        let low_us = all().min().unwrap_or(1).max(1);
        Self { low_us, high_us: all().max().unwrap_or(1).max(low_us * 10) }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place between 0 and the width of a terminal"
    )]
    fn place(self, us: u64, width: usize) -> usize {
        let (low, high) = ((self.low_us as f64).ln(), (self.high_us as f64).ln());
        let share = ((us.max(1) as f64).ln() - low) / (high - low);
        (share.clamp(0.0, 1.0) * (width.saturating_sub(1)) as f64).round() as usize
    }

    /// Marks joined by a line; the lower quantile covers a higher one at the same place.
    fn row(self, figures: &Figures, width: usize) -> String {
        let mut cells = vec![' '; width];
        let marks = [(figures.p999_us, '◇'), (figures.p99_us, '○'), (figures.p50_us, '●')];
        let places: Vec<(usize, char)> =
            marks.iter().filter_map(|&(us, mark)| Some((self.place(us?, width), mark))).collect();
        if let (Some(from), Some(to)) =
            (places.iter().map(|p| p.0).min(), places.iter().map(|p| p.0).max())
        {
            cells[from..=to].fill('─');
        }
        for (place, mark) in places {
            cells[place] = mark;
        }
        cells.into_iter().collect()
    }

    fn ends(self, width: usize) -> String {
        ends(&latency(self.low_us), &latency(self.high_us), width)
    }
}

/// The two ends of an axis.
fn ends(low: &str, high: &str, width: usize) -> String {
    let gap = width.saturating_sub(columns(low) + columns(high));
    format!("{low}{}{high}", " ".repeat(gap))
}

#[cfg(test)]
mod tests {
    use halfopen_sim::SimError;

    use super::*;

    fn figures(accepted: u64, syns: u64, p99_us: u64) -> Figures {
        Figures {
            status: if syns > 0 { Status::Failure } else { Status::Healthy },
            findings: Vec::new(),
            doubts: Vec::new(),
            room: 6,
            peak: if syns > 0 { 6 } else { 2 },
            growing: false,
            accepted,
            syns,
            third_acks: 0,
            started: accepted + syns,
            connected: accepted,
            failed: syns,
            waiting: 0,
            p50_us: Some(40),
            p99_us: Some(p99_us),
            p999_us: Some(p99_us),
        }
    }

    fn drawn(key: &Key, outcomes: &[(&str, Result<Figures, SimError>)]) -> String {
        let text = "about = \"x\"\nexpect = []\n[[step]]\ndo = \"look\"\n";
        let scenario = Scenario::parse("a-test", text).expect("a scenario");
        let points: Vec<Point> = outcomes
            .iter()
            .map(|(value, outcome)| Point { value: (*value).to_owned(), outcome: outcome.clone() })
            .collect();
        let curve = Curve {
            scenario: &scenario,
            key,
            points: &points,
            kernel: "Linux 6.18.0".to_owned(),
            seed: 1,
            observed: Some("each observed for 10 s".to_owned()),
        };
        curve.text(80, false)
    }

    #[test]
    fn a_queue_that_only_has_not_overflowed_yet_is_no_cure() {
        let outcomes = |growing| {
            let late = Figures { growing, ..figures(50, 0, 40) };
            [("1", Ok(figures(50, 150, 40))), ("512", Ok(late))]
        };
        assert!(drawn(&Key::Backlog, &outcomes(true)).contains("any queue overflows in time"));
        assert!(!drawn(&Key::Backlog, &outcomes(false)).contains("any queue overflows in time"));
    }

    #[test]
    fn what_is_not_certain_of_a_kernel_is_said_once_with_the_values_that_it_concerns() {
        let doubted = || Figures { doubts: vec!["Not read."], ..figures(50, 0, 40) };
        let outcomes =
            [("rhel9", Ok(doubted())), ("6.18", Ok(figures(50, 0, 40))), ("7.0", Ok(doubted()))];
        let text = drawn(&Key::Kernel, &outcomes);
        assert!(text.contains("5.14.0 (RHEL 9), 7.0.0: Not read."), "{text}");
        let text = drawn(&Key::Backlog, &[("1", Ok(doubted())), ("2", Ok(doubted()))]);
        assert_eq!(text.matches("note Not read.").count(), 1, "{text}");
    }

    #[test]
    fn a_sweep_is_a_table_and_bars() {
        let text = drawn(
            &Key::Backlog,
            &[
                ("1", Ok(figures(50, 150, 1_000_000))),
                ("8", Ok(figures(200, 0, 40))),
                ("9", Err(SimError::UnknownCounter("x".to_owned()))),
            ],
        );
        insta::assert_snapshot!("curve", text);
        assert!(text.lines().all(|line| columns(line) <= 80), "{text}");
    }

    #[test]
    fn what_follows_from_the_figures_is_said() {
        let (good, bad) = (|| Ok(figures(200, 0, 40)), |n| Ok(figures(n, 150, 40)));
        let check = |key: &Key, outcomes: &[(&str, Result<Figures, SimError>)], expected: &str| {
            let text = drawn(key, outcomes);
            assert!(text.contains(expected), "{text}");
        };
        check(&Key::Backlog, &[("1", bad(9)), ("2", good())], "From backlog = 2 on, no queue");
        check(&Key::Pause, &[("1ms", good()), ("2ms", bad(9))], "Up to pause = 1ms, no queue");
        check(&Key::Pause, &[("1ms", good())], "No queue overflows at any of these values.");
        check(&Key::Backlog, &[("1", bad(100)), ("2", bad(101))], "Accepts stay the same");
        let some = [("2.6.32", good()), ("6.1", bad(9)), ("6.18", good())];
        check(&Key::Kernel, &some, "No queue overflows with kernel = 2.6.32, 6.18.0.");
    }
}
