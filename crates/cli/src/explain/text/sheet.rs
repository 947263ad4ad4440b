//! A page with headings, labelled fields and tables.

use halfopen_diagnose::report::layout::{Ink, Page, Span, columns};
use halfopen_diagnose::words::harmless;

use crate::explain::entries::{KernelEntry, Origin, SettingEntry, SourceEntry};

/// The column in which texts begin.
const TEXT: usize = 14;

/// Narrower than this, lines are not wrapped any more.
const WIDTH_MIN: usize = 40;

/// Wider than this, prose is hard to read.
const WIDTH_MAX: usize = 100;

/// The least that the last column of a table is given; with less the rows are stacked.
const LAST_MIN: usize = 20;

/// What an answer is written on.
#[derive(Debug)]
pub(super) struct Sheet(Page);

impl Sheet {
    pub(super) fn new(width: usize, colour: bool) -> Self {
        Self(Page::new(width.clamp(WIDTH_MIN, WIDTH_MAX), colour))
    }

    pub(super) fn finish(self) -> String {
        self.0.finish()
    }

    pub(super) fn blank(&mut self) {
        self.0.blank();
    }

    /// What the answer is about, and what is said of it.
    pub(super) fn title(&mut self, subject: &str, text: &str) {
        let spans = [Span::new(Ink::Subject, subject), Span::new(Ink::Plain, text)];
        self.0.paragraph(2, &spans);
    }

    /// A title after a blank line.
    pub(super) fn heading(&mut self, subject: &str, text: &str) {
        self.0.blank();
        self.title(subject, text);
    }

    /// A paragraph with a label; nothing if there is no text.
    pub(super) fn field(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            self.0.labelled(label, TEXT, 0, Span::new(Ink::Plain, text));
        }
    }

    /// Paragraphs under one label.
    pub(super) fn list(&mut self, label: &str, items: impl IntoIterator<Item = String>) {
        for (index, item) in items.into_iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            self.0.labelled(label, TEXT, 2, Span::new(Ink::Plain, item));
        }
    }

    /// A paragraph of its own.
    pub(super) fn prose(&mut self, text: &str) {
        self.0.indented(2, Span::new(Ink::Plain, text));
    }

    /// What to do next.
    pub(super) fn hint(&mut self, text: &str) {
        self.0.paragraph(2, &[Span::new(Ink::Dim, text)]);
    }

    /// A name and what it means, the text from a column on.
    pub(super) fn named(&mut self, name: &str, column: usize, text: &str) {
        self.0.beside(&Span::new(Ink::Plain, name), column, 0, Span::new(Ink::Plain, text));
    }

    /// A table: words in the first column, numbers in those between, words that wrap in the last. A
    /// row of two cells has its text right behind the first one.
    pub(super) fn table(&mut self, header: &[&str], rows: &[Vec<String>]) {
        let last = header.len().saturating_sub(1);
        let widths: Vec<usize> = (0..last).map(|column| width_of(column, header, rows)).collect();
        let between: usize = widths.iter().skip(1).map(|width| width + 2).sum();
        let first = widths.first().copied().unwrap_or(0);
        if first + between + LAST_MIN + 4 > self.0.width() {
            return self.stacked(header, rows);
        }
        let head: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
        let head = std::iter::once((&head, Ink::Dim));
        for (cells, ink) in head.chain(rows.iter().map(|row| (row, Ink::Plain))) {
            let Some((text, front)) = cells.split_last() else { continue };
            let mut line = String::new();
            for (index, cell) in front.iter().enumerate() {
                let pad = if index == 0 { first } else { widths[index] };
                let pad = " ".repeat(pad.saturating_sub(columns(cell)));
                line += &if index == 0 { format!("{cell}{pad}") } else { format!("  {pad}{cell}") };
            }
            let column = if front.len() == last { 4 + first + between } else { 4 + first };
            let label = Span::new(ink, line.trim_end());
            self.0.beside(&label, column, 0, Span::new(ink, text.as_str()));
        }
    }

    /// The rows of a table that is too wide for the page, a paragraph each.
    fn stacked(&mut self, header: &[&str], rows: &[Vec<String>]) {
        for cells in rows {
            let Some((first, rest)) = cells.split_first() else { continue };
            let mut parts = Vec::new();
            for (index, cell) in rest.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
                let name = header.get(index + 1).filter(|_| cells.len() == header.len());
                parts.push(match name {
                    Some(&name) if !name.is_empty() => format!("{name}: {cell}"),
                    _ => cell.clone(),
                });
            }
            self.prose(first);
            self.0.indented(4, Span::new(Ink::Plain, parts.join(" · ")));
        }
    }

    /// The kernel and the settings that the answer is for.
    pub(super) fn kernel(&mut self, kernel: &KernelEntry, settings: &[String]) {
        let from = origin(kernel.from);
        let release = harmless(&kernel.release);
        let (release_is, version) = (&kernel.release, &kernel.version);
        if release_is.starts_with(version) || version.starts_with(release_is) {
            self.title(&format!("Linux {release}"), from);
        } else {
            self.title(&format!("Linux {}", kernel.version), &format!("{release}, {from}"));
        }
        self.prose(&settings.join(" · "));
        for doubt in &kernel.doubts {
            self.0.labelled("note", TEXT, 0, Span::new(Ink::Warning, doubt.as_str()));
        }
        if kernel.from == Origin::Host && !kernel.doubts.is_empty() {
            self.field("", "`halfopen lab probe` measures what this kernel does.");
        }
    }

    /// Where rules stand in the kernel: of each the first place, and the commits that changed it.
    pub(super) fn source(&mut self, rules: &[SourceEntry], ids: &[&str]) {
        let rules = || rules.iter().filter(|rule| ids.contains(&rule.rule.as_str()));
        let mut places: Vec<&str> =
            rules().filter_map(|rule| rule.code.first()).map(String::as_str).collect();
        places.dedup();
        self.field("source", &places.join(" · "));
        let commits: Vec<String> = rules()
            .flat_map(|rule| &rule.commits)
            .map(|commit| {
                let release = commit.what.split([':', ',']).next().unwrap_or_default();
                let doubt = if commit.confirmed { "" } else { ", UNCONFIRMED" };
                format!("{} ({release}{doubt})", commit.hash)
            })
            .collect();
        self.field("commits", &commits.join(" · "));
    }

    /// How to go on.
    pub(super) fn more(&mut self, rules: &[SourceEntry], note: &str) {
        let ids: Vec<&str> = rules.iter().map(|rule| rule.rule.as_str()).collect();
        self.0.blank();
        self.hint(&format!(
            "Kernels are named by the releases that were read{note}; --kernel tells any other."
        ));
        self.hint(&format!("`halfopen explain rule ID` says more: {}.", ids.join(", ")));
    }
}

/// Columns that a column needs, rows of fewer cells than the header left out.
fn width_of(column: usize, header: &[&str], rows: &[Vec<String>]) -> usize {
    let whole = |row: &&Vec<String>| column == 0 || row.len() == header.len();
    let cells = rows.iter().filter(whole).filter_map(|row| row.get(column));
    let cells = cells.map(|cell| columns(cell)).max().unwrap_or(0);
    cells.max(header.get(column).map_or(0, |name| columns(name)))
}

/// A setting, its value and where that came from.
pub(super) fn setting(setting: &SettingEntry) -> String {
    format!("{} {} ({})", setting.name, setting.value, origin(setting.from))
}

const fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Given => "given",
        Origin::Host => "this host",
        Origin::Default => "default",
        Origin::DefaultByMemory => "default, depends on memory",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: usize) -> Vec<String> {
        let mut sheet = Sheet::new(width, false);
        let row = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect();
        let rows =
            [row(&["2.6.32 … 3.6", "1025", "dropped"]), row(&["3.10.65 … 4.0", "refuses it"])];
        sheet.table(&["", "accept", "a SYN is"], &rows);
        sheet.finish().lines().map(str::to_owned).collect()
    }

    #[test]
    fn numbers_stand_in_columns_and_short_rows_right_behind_their_name() {
        assert_eq!(
            table(60),
            [
                "                 accept  a SYN is",
                "  2.6.32 … 3.6     1025  dropped",
                "  3.10.65 … 4.0  refuses it",
            ]
        );
    }

    #[test]
    fn a_table_that_is_too_wide_is_stacked() {
        assert_eq!(
            table(40),
            [
                "  2.6.32 … 3.6",
                "    accept: 1025 · a SYN is: dropped",
                "  3.10.65 … 4.0",
                "    refuses it",
            ]
        );
    }
}
