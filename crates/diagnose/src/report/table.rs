//! Cells in aligned columns, and the table of listeners.

use super::Report;
use super::entries::{ListenerEntry, SearchEntry, Verdict};
use super::layout::{Ink, Page, columns, shortened};
use super::text::{processes, shown_address};
use crate::words::{duration, harmless};

/// Rows without findings that are listed unless everything is asked for.
const QUIET_ROWS: usize = 20;

/// The narrowest that a column of names is made.
const NAME_MIN: usize = 10;

/// Which rows of a report's listeners are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    pub(super) rows: &'a [ListenerEntry],
    /// The rest, all without findings.
    pub(super) omitted: &'a [ListenerEntry],
}

/// A table of words.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) header: Vec<Column>,
    pub(super) rows: Vec<Row>,
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: ColumnKind,
}

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnKind {
    /// Left-aligned; never cut.
    Words,
    /// Left-aligned; cut where the table is too wide.
    Names,
    /// Right-aligned; never cut.
    Numbers,
}

/// A row: the meaning of its first cell, and the cells.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) ink: Ink,
    pub(super) cells: Vec<String>,
}

impl<'a> Shown<'a> {
    /// Every row with a finding; of the others the first few, or all if everything is asked for.
    pub(super) fn of(report: &'a Report, everything: bool) -> Self {
        let loud = report.listeners.partition_point(|row| row.verdict >= Verdict::Warning);
        let all = report.listeners.len();
        let enough = if everything { all } else { loud + QUIET_ROWS };
        // One row more is no longer than the line that would stand for it.
        let enough = if enough + 1 >= all { all } else { enough };
        let (rows, omitted) = report.listeners.split_at(enough);
        Self { rows, omitted }
    }
}

/// The listeners that are shown.
pub(super) fn of_listeners(report: &Report, rows: &[ListenerEntry]) -> Table {
    let elsewhere = rows.iter().any(|row| !row.netns.own);
    let mut header = vec![
        column("", ColumnKind::Words),
        column("listener", ColumnKind::Names),
        column("process", ColumnKind::Names),
        column("accept queue", ColumnKind::Numbers),
        column("SYN_RECV", ColumnKind::Numbers),
        match report.window_ms {
            Some(ms) => column(&format!("drops in {}", duration(ms)), ColumnKind::Numbers),
            None => column("drops ever", ColumnKind::Numbers),
        },
    ];
    if elsewhere {
        header.push(column("namespace", ColumnKind::Names));
    }
    let rows = rows.iter().enumerate().map(|(index, row)| {
        let same_endpoint = |other: &ListenerEntry| {
            (other.netns.id, &other.local, other.device) == (row.netns.id, &row.local, row.device)
        };
        let group_begins = index == 0 || !same_endpoint(&rows[index - 1]);
        listener(report, row, group_begins, elsewhere)
    });
    Table { rows: rows.collect(), header }
}

fn column(name: &str, kind: ColumnKind) -> Column {
    Column { name: name.to_owned(), kind }
}

/// SYN_RECV entries belong to all sockets of a group: they stand in its first row.
fn listener(report: &Report, row: &ListenerEntry, group_begins: bool, elsewhere: bool) -> Row {
    let queue = &row.accept_queue;
    let longest = if queue.longest > queue.depth {
        format!(" (max {})", queue.longest)
    } else {
        String::new()
    };
    let drops = if report.window_ms.is_some() { row.drops_in_window } else { row.drops };
    let mut cells = vec![
        mark(row.verdict).to_owned(),
        shown_address(&row.local),
        processes(&row.processes).unwrap_or_else(|| "-".to_owned()),
        format!("{}/{}{longest}", queue.depth, queue.limit),
        if group_begins { row.syn_recv.to_string() } else { "\"".to_owned() },
        drops.map_or("?".to_owned(), |drops| drops.to_string()),
    ];
    if elsewhere {
        cells.push(if row.netns.own { String::new() } else { harmless(&row.netns.label) });
    }
    Row { ink: ink(row.verdict), cells }
}

/// The word for a verdict.
pub(super) const fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Undetermined => "?",
        Verdict::Warning => "WARN",
        Verdict::Failure => "FAIL",
    }
}

const fn ink(verdict: Verdict) -> Ink {
    match verdict {
        Verdict::Ok => Ink::Good,
        Verdict::Undetermined => Ink::Unknown,
        Verdict::Warning => Ink::Warning,
        Verdict::Failure => Ink::Failure,
    }
}

/// What a reader of the table must know: where processes were not looked for, and why.
pub(super) fn notes(rows: &[ListenerEntry]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut well = rows.iter().filter(|row| row.findings.is_empty());
    if well.any(|row| row.process_search == SearchEntry::FirstDescriptors) {
        let all_well = rows.iter().all(|row| row.findings.is_empty());
        let whose = if all_well { "processes" } else { "processes of rows without findings" };
        notes.push(format!(
            "{whose}: only the first descriptors of each were searched, since nothing is wrong \
             there; a filter by pid or comm searches all"
        ));
    }
    let unseen: Vec<u32> = rows
        .iter()
        .filter(|row| row.processes.is_empty())
        .filter_map(|row| match row.process_search {
            SearchEntry::Permitted { unreadable } => Some(unreadable),
            _ => None,
        })
        .collect();
    if let Some(most) = unseen.into_iter().max() {
        let processes = if most == 1 { "process" } else { "processes" };
        notes.push(format!(
            "where no process is named, it is one of {most} {processes} whose descriptors may not \
             be read; needs root or CAP_SYS_PTRACE"
        ));
    }
    let mut reasons: Vec<&str> = rows
        .iter()
        .filter_map(|row| match &row.process_search {
            SearchEntry::None { why } => Some(why.as_str()),
            _ => None,
        })
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    notes.extend(reasons.into_iter().map(|why| format!("processes: {}", harmless(why))));
    if rows.iter().any(|row| row.sockets > 1) {
        notes.push("SYN_RECV is of all sockets that listen at the same address".to_owned());
    }
    notes
}

impl Table {
    /// Writes it, its columns of names no wider than the page allows.
    pub(super) fn write(&self, page: &mut Page) {
        let lines = self.header_lines(page.width());
        let widths = self.widths(&lines, page.width());
        for line in &lines {
            self.write_row(page, &widths, line, |_| Ink::Dim);
        }
        for row in &self.rows {
            let cells: Vec<&str> = row.cells.iter().map(String::as_str).collect();
            self.write_row(page, &widths, &cells, |index| match index {
                0 => row.ink,
                _ => Ink::Plain,
            });
        }
    }

    fn write_row(
        &self,
        page: &mut Page,
        widths: &[usize],
        cells: &[&str],
        ink: impl Fn(usize) -> Ink,
    ) {
        let mut owed = 0;
        for (index, ((cell, &width), column)) in
            cells.iter().zip(widths).zip(&self.header).enumerate()
        {
            let cell = shortened(cell, width);
            let pad = width.saturating_sub(columns(&cell));
            let (before, after) =
                if column.kind == ColumnKind::Numbers { (pad, 0) } else { (0, pad) };
            if !cell.is_empty() {
                page.put(Ink::Plain, &" ".repeat(owed + before));
                page.put(ink(index), &cell);
                owed = 0;
            } else {
                owed += before;
            }
            owed += after + 2;
        }
        page.blank();
    }

    /// The header in one line, or in two where one would make the table too wide.
    fn header_lines(&self, page: usize) -> Vec<Vec<&str>> {
        let whole = vec![self.header.iter().map(|column| column.name.as_str()).collect()];
        if self.total(&self.natural(&whole)) <= page {
            return whole;
        }
        let split = self.header.iter().map(|column| match column.name.split_once(' ') {
            Some(parts) => parts,
            None => ("", column.name.as_str()),
        });
        let (first, second) = split.unzip();
        vec![first, second]
    }

    fn total(&self, widths: &[usize]) -> usize {
        widths.iter().map(|width| width + 2).sum::<usize>().saturating_sub(2)
    }

    fn natural(&self, header: &[Vec<&str>]) -> Vec<usize> {
        (0..self.header.len())
            .map(|index| {
                let header = header.iter().filter_map(|line| line.get(index).copied());
                let cells = self.rows.iter().filter_map(|row| row.cells.get(index));
                header.chain(cells.map(String::as_str)).map(columns).max().unwrap_or(0)
            })
            .collect()
    }

    fn widths(&self, header: &[Vec<&str>], page: usize) -> Vec<usize> {
        let mut widths = self.natural(header);
        loop {
            let widest = (0..widths.len())
                .filter(|&index| self.header[index].kind == ColumnKind::Names)
                .filter(|&index| widths[index] > NAME_MIN)
                .max_by_key(|&index| widths[index]);
            match widest {
                Some(index) if self.total(&widths) > page => widths[index] -= 1,
                _ => return widths,
            }
        }
    }
}
