//! What a run and a sweep look like as pictures: which lines over which axes.

use super::curve::Curve;
use super::judged::Judged;
use super::plot::{Axis, Line, Plot, document};
use super::series::{Bucket, Series};
use super::sweep::Figures;
use super::words::latency;

/// Listeners that are drawn.
const DRAWN: usize = 4;

/// Points of a line at the most.
const POINTS: usize = 400;

/// Characters that fit below an axis.
const LABELS: usize = 105;

/// The queues over time, and how long connect() took.
pub(super) fn run(judged: &Judged) -> String {
    let run = &judged.run;
    let mut plots: Vec<Plot> =
        Series::of(run).iter().take(DRAWN).map(|series| queues(series, run.elapsed_us)).collect();
    plots.extend(latencies(judged));
    let kernel = run.hosts.first().map_or_else(String::new, |host| host.kernel.to_string());
    let title = format!("{} on Linux {kernel}", judged.scenario.name);
    document(&title, &judged.scenario.about, &plots)
}

fn queues(series: &Series, until_us: u64) -> Plot {
    let buckets = series.buckets(until_us, POINTS);
    let end_s = number(until_us) / 1e6;
    let line = |name: &str, of: fn(&Bucket) -> u32| {
        let at = |place: usize| end_s * number(place as u64) / number(POINTS as u64);
        let points = (0..)
            .zip(&buckets)
            .filter_map(|(place, bucket)| Some((at(place), f64::from(of(bucket.as_ref()?)))));
        Line { name: name.to_owned(), stepped: true, points: points.collect() }
    };
    let mut lines = vec![line("accept queue", |b| b.depth)];
    if series.requests_peak() > 0 {
        lines.push(line("SYN queue", |b| b.requests));
    }
    if series.drops() > 0 {
        lines.push(line("dropped at this time", |b| b.drops));
    }
    let dropped = buckets.iter().flatten().map(|bucket| bucket.drops).max().unwrap_or(0);
    let mut top = series.peak().max(series.requests_peak()).max(dropped);
    // A queue that is hardly used would not be seen against its limit.
    if u64::from(top) * 4 >= u64::from(series.room()) {
        top = top.max(series.room());
        lines.push(line("room in the accept queue", |b| b.room));
    }
    Plot {
        title: format!("Queues of port {} (limit {})", series.port, series.limit()),
        x: Axis::linear("time in seconds", end_s, rounded),
        y: Axis::linear("connections", f64::from(top) * 1.05, rounded),
        lines,
    }
}

/// Connect latency against the share of connections that took no longer.
fn latencies(judged: &Judged) -> Option<Plot> {
    let groups = judged.run.clients.iter().filter(|group| !group.latencies_us.is_empty());
    let lines: Vec<Line> = groups
        .map(|group| {
            let all = &group.latencies_us;
            let share = |at: usize| number(at as u64 + 1) * 100.0 / number(all.len() as u64);
            let last = all.len() - 1;
            let places = (0..=last).step_by((last / POINTS).max(1)).chain([last]);
            let mut points: Vec<(f64, f64)> =
                places.map(|at| (share(at), f64::from(all[at]))).collect();
            points.insert(0, (0.0, f64::from(all[0])));
            Line { name: group.name.clone(), stepped: false, points }
        })
        .collect();
    let all = || lines.iter().flat_map(|line| &line.points).map(|&(_, us)| us);
    let (low, high) = (all().reduce(f64::min)?, all().reduce(f64::max)?);
    Some(Plot {
        title: "Time that connect() took".to_owned(),
        x: Axis::linear("percent of the connections took no longer", 100.0, rounded),
        y: Axis::powers("latency", low, high, latency_of),
        lines,
    })
}

/// Accepts, drops and connect latency against the value.
pub(super) fn sweep(curve: &Curve<'_>) -> String {
    let mut rows: Vec<(f64, &Figures)> = Vec::new();
    let mut ticks = Vec::new();
    let longest = curve.points.iter().map(|point| point.value.chars().count()).max().unwrap_or(0);
    // As many values are named as fit beside each other.
    let every = (curve.points.len() * (longest + 2)).div_ceil(LABELS).max(1);
    for (place, point) in curve.points.iter().enumerate() {
        if place % every == 0 {
            ticks.push((number(place as u64), point.value.clone()));
        }
        rows.extend(point.outcome.as_ref().ok().map(|figures| (number(place as u64), figures)));
    }
    // Values stand side by side, whatever lies between them.
    let axis = || Axis {
        label: curve.key.to_string(),
        low: 0.0,
        high: number(curve.points.len().saturating_sub(1).max(1) as u64),
        logarithmic: false,
        ticks: ticks.clone(),
    };
    let line = |name: &str, of: fn(&Figures) -> Option<u64>| {
        let points = rows.iter().filter_map(|&(x, f)| Some((x, number(of(f)?))));
        Line { name: name.to_owned(), stepped: false, points: points.collect() }
    };
    let most = |lines: &[Line]| {
        let all = lines.iter().flat_map(|line| &line.points).map(|&(_, y)| y);
        all.fold(0.0, f64::max)
    };
    let mut counts = vec![
        line("accepted", |f| Some(f.accepted)),
        line("dropped SYNs", |f| Some(f.syns)),
        line("dropped third ACKs", |f| Some(f.third_acks)),
        line("failed clients", |f| Some(f.failed)),
    ];
    counts.retain(|line| line.points.iter().any(|&(_, y)| y > 0.0));
    let quantiles =
        vec![line("p50", |f| f.p50_us), line("p99", |f| f.p99_us), line("p99.9", |f| f.p999_us)];
    let low = quantiles[0].points.iter().map(|&(_, y)| y).fold(f64::MAX, f64::min);
    let plots = [
        Plot {
            title: "Connections and what was dropped".to_owned(),
            x: axis(),
            y: Axis::linear("number", most(&counts), rounded),
            lines: counts,
        },
        Plot {
            title: "Time that connect() took".to_owned(),
            x: axis(),
            y: Axis::powers("latency", low.min(most(&quantiles)), most(&quantiles), latency_of),
            lines: quantiles,
        },
    ];
    let title = format!("{}: {} on {}", curve.scenario.name, curve.key, curve.kernel);
    document(&title, &curve.scenario.about, &plots)
}

#[expect(clippy::cast_precision_loss, reason = "a picture has fewer points than a float has bits")]
fn number(n: u64) -> f64 {
    n as f64
}

/// A number without needless decimals.
fn rounded(at: f64) -> String {
    let text = format!("{at:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a tick of the axis, from 1 up"
)]
fn latency_of(us: f64) -> String {
    let us = us.round() as u64;
    let said = latency(us);
    // Powers of ten need no decimals.
    said.replace(".00 ", " ").replace(".0 ", " ")
}
