//! A listener's queues over time, drawn with the blocks of a terminal: the accept queue as an area
//! against its limit, the SYN queue, drops and accepts as lines below it, on one time axis.

use halfopen_diagnose::report::layout::{Ink, Page};

use super::series::{Bucket, Series};
use super::words::seconds;

/// Columns before the chart, and after it.
const LEFT: usize = 12;
const RIGHT: usize = 13;

/// Rows of the area at the most.
const HEIGHT: u32 = 6;

/// Columns of a chart at the least and at the most.
const COLUMNS: std::ops::RangeInclusive<usize> = 12..=110;

const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws it from time 0 to `until_us`.
pub(super) fn draw(page: &mut Page, series: &Series, until_us: u64) {
    if (series.peak(), series.drops(), series.accepted(), series.requests_peak()) == (0, 0, 0, 0) {
        return;
    }
    let columns = page.width().saturating_sub(LEFT + RIGHT);
    let columns = columns.clamp(*COLUMNS.start(), *COLUMNS.end());
    let buckets = series.buckets(until_us, columns);
    if series.peak() > 0 {
        area(page, series, &buckets);
    }
    let requests: Vec<u64> = values(&buckets, |bucket| u64::from(bucket.requests));
    let peak = series.requests_peak();
    if peak > 0 {
        line(page, "SYN queue", &requests, Ink::Plain, &format!("at most {peak}"));
    }
    let drops = values(&buckets, |bucket| u64::from(bucket.drops));
    if series.drops() > 0 {
        line(page, "dropped", &drops, Ink::Failure, &in_all(u64::from(series.drops())));
    }
    let accepted = values(&buckets, |bucket| bucket.accepted);
    line(page, "accepted", &accepted, Ink::Good, &in_all(series.accepted()));
    time_axis(page, columns, until_us);
}

fn in_all(number: u64) -> String {
    if number < 100_000 { format!("{number} in all") } else { number.to_string() }
}

fn values(buckets: &[Option<Bucket>], of: impl Fn(&Bucket) -> u64) -> Vec<u64> {
    buckets.iter().map(|bucket| bucket.as_ref().map_or(0, &of)).collect()
}

/// The accept queue, one row per connection if there are few.
fn area(page: &mut Page, series: &Series, buckets: &[Option<Bucket>]) {
    let (peak, room) = (series.peak().max(1), series.room());
    // A queue that is hardly used is drawn by itself: against its limit nothing would be seen.
    let against_limit = u64::from(peak) * 4 >= u64::from(room);
    let top = if against_limit { peak.max(room) } else { peak };
    let rows = top.min(HEIGHT);
    for row in (0..rows).rev() {
        let label = match row {
            _ if row == rows - 1 => top.to_string(),
            0 => "accept queue".to_owned(),
            _ => String::new(),
        };
        label_of(page, &label);
        page.put(Ink::Dim, "│");
        for bucket in buckets {
            let (block, ink) = bucket.map_or((' ', Ink::Plain), |b| cell(b, row, rows, top));
            page.put(ink, &block.to_string());
        }
        if row == rows - 1 {
            let note = if against_limit { format!(" room {room}") } else { format!(" of {room}") };
            page.put(Ink::Dim, &note);
        }
        page.blank();
    }
}

/// A column's block in a row, in eighths; the least connection shows.
fn cell(bucket: Bucket, row: u32, rows: u32, top: u32) -> (char, Ink) {
    let eighths = (u64::from(bucket.depth) * u64::from(rows) * 8).div_ceil(u64::from(top));
    let here = eighths.saturating_sub(u64::from(row) * 8).min(8);
    let ink = if bucket.depth >= bucket.room {
        Ink::Failure
    } else if u64::from(bucket.depth) * 4 >= u64::from(bucket.room) * 3 {
        Ink::Warning
    } else {
        Ink::Good
    };
    (BLOCKS[usize::try_from(here).unwrap_or(0)], ink)
}

/// A line of blocks, as high as its highest value.
fn line(page: &mut Page, label: &str, values: &[u64], ink: Ink, note: &str) {
    label_of(page, label);
    page.put(Ink::Dim, "│");
    page.put(ink, &blocks(values));
    page.put(Ink::Dim, &format!(" {note}"));
    page.blank();
}

/// A block per value; none for 0.
fn blocks(values: &[u64]) -> String {
    let top = values.iter().copied().max().unwrap_or(0).max(1);
    let block = |&value: &u64| BLOCKS[usize::try_from((value * 8).div_ceil(top)).unwrap_or(8)];
    values.iter().map(block).collect()
}

fn label_of(page: &mut Page, label: &str) {
    page.put(Ink::Dim, &format!("{label:>LEFT$}"));
}

fn time_axis(page: &mut Page, columns: usize, until_us: u64) {
    let step_us = tick_distance(until_us, columns / 10);
    let mut marks: Vec<char> = vec!['─'; columns];
    let mut labels = " ".repeat(columns + RIGHT);
    let mut free_from = 0;
    for at_us in (0..=until_us).step_by(usize::try_from(step_us).unwrap_or(usize::MAX)) {
        let place = u64::try_from(columns).unwrap_or(0) * at_us / until_us.max(1);
        let place = usize::try_from(place).unwrap_or(0);
        let label = tick_label(at_us);
        if place >= columns || place < free_from {
            continue;
        }
        marks[place] = '┬';
        labels.replace_range(place..place + label.len(), &label);
        free_from = place + label.len() + 1;
    }
    label_of(page, "");
    let marks: String = marks.into_iter().collect();
    page.put(Ink::Dim, &format!("└{marks}"));
    page.blank();
    page.put(Ink::Dim, &format!("{:>LEFT$} {}", "", labels.trim_end()));
    page.blank();
}

/// A round time between two ticks, so that there are so many at the most.
pub(super) fn tick_distance(until_us: u64, most: usize) -> u64 {
    let most = most.max(1) as u64;
    let mut power = 1_000;
    loop {
        for round in [1, 2, 5] {
            if until_us / (power * round) <= most {
                return power * round;
            }
        }
        power *= 10;
    }
}

/// `0 s`, `0.5 s`, `10 s`.
pub(super) fn tick_label(at_us: u64) -> String {
    let label = seconds(at_us);
    let number = label.trim_end_matches(" s").trim_end_matches('0').trim_end_matches('.');
    format!("{number} s")
}

#[cfg(test)]
mod tests {
    use halfopen_sim::QueueSample;

    use super::*;

    fn queue(depth: u32, requests: u32, accepted: u64, drops: u32) -> QueueSample {
        QueueSample { host: 0, port: 80, listener: 0, depth, limit: 2, requests, accepted, drops }
    }

    fn drawn(points: Vec<(u64, QueueSample)>, until_us: u64) -> Vec<String> {
        let mut page = Page::new(45, false);
        draw(&mut page, &Series { host: 0, port: 80, listener: 0, points }, until_us);
        page.finish().lines().map(str::to_owned).collect()
    }

    #[test]
    fn queues_are_drawn_on_one_axis() {
        let points = (0..20)
            .map(|at| {
                let full = u32::try_from(at).expect("small");
                (
                    at * 100_000,
                    queue((full / 4).min(3), u32::from(full > 10), 1, full.saturating_sub(12)),
                )
            })
            .collect();
        assert_eq!(
            drawn(points, 2_000_000),
            [
                "           3│            ████████ room 3",
                "            │        ████████████",
                "accept queue│    ████████████████",
                "   SYN queue│           █████████ at most 1",
                "     dropped│             ███████ 7 in all",
                "    accepted│█                    1 in all",
                "            └┬─────────┬─────────",
                "             0 s       1 s",
            ]
        );
    }

    #[test]
    fn a_queue_that_is_hardly_used_is_drawn_by_itself() {
        let mut point = queue(1, 0, 0, 0);
        point.limit = 4096;
        let lines = drawn(vec![(0, point), (2_000_000, point)], 2_000_000);
        assert_eq!(lines[0], "           1│████████████████████ of 4097");
    }

    #[test]
    fn what_is_not_zero_shows() {
        assert_eq!(blocks(&[0, 1, 500, 1000]), " ▁▄█");
        assert_eq!(blocks(&[0, 0]), "  ");
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(tick_distance(3_400_000, 5), 1_000_000);
        assert_eq!(tick_distance(12_000_000, 5), 5_000_000);
        assert_eq!(tick_distance(0, 5), 1_000);
        assert_eq!([0, 500_000, 10_000_000].map(tick_label), ["0 s", "0.5 s", "10 s"]);
    }
}
