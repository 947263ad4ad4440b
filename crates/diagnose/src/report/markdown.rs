//! A report to paste into a ticket or a chat.
//!
//! Names come from processes, so none may become a link, a heading or a cell border: names stand in
//! code spans, and in sentences every sign that Markdown knows is escaped.

use super::printed::{Printed, printed};
use super::table::{self, ColumnKind, Shown, Table};
use super::text::{alike, evidence, headline, processes, rest, several, severity, subject, unseen};
use super::{Report, Status};
use crate::words::harmless;

pub(super) fn markdown(report: &Report) -> String {
    let status = match report.status {
        Status::Healthy => "OK",
        Status::Warning => "WARN",
        Status::Failure => "FAIL",
        Status::Unknown => "UNKNOWN",
    };
    let mut blocks = vec![
        format!("## halfopen check: {status}"),
        escaped(&format!("{} · halfopen {}", headline(report).join(" · "), report.tool_version)),
        format!("**{}**", escaped(&report.summary)),
    ];
    blocks.extend(printed(&report.findings).iter().map(finding));
    let Shown { rows, omitted } = Shown::of(report, false);
    if !rows.is_empty() {
        blocks.push(table(&table::of_listeners(report, rows)));
        if !omitted.is_empty() {
            blocks.push(escaped(&rest(omitted)));
        }
        blocks.extend(table::notes(rows).iter().map(|note| escaped(note)));
    }
    let not_told = alike(&report.undetermined).map(|(id, why, subjects)| {
        let about = several(&subjects, false);
        format!("- not told: {} of {}: {}", code(id), code(&about), escaped(why))
    });
    let not_seen =
        unseen(report, false).into_iter().map(|line| format!("- not seen: {}", escaped(&line)));
    let list: Vec<String> = not_told.chain(not_seen).collect();
    if !list.is_empty() {
        blocks.push(list.join("\n"));
    }
    let mut text = blocks.join("\n\n");
    text.push('\n');
    text
}

fn finding(printed: &Printed<'_>) -> String {
    let finding = printed.finding;
    let (word, _) = severity(finding.severity);
    let who = processes(&finding.subject.processes);
    let who = who.map(|who| format!(" {}", code(&who))).unwrap_or_default();
    let mut lines = vec![
        format!(
            "### {word} {}{who}: {}",
            code(&subject(&finding.subject)),
            escaped(&finding.headline)
        ),
        String::new(),
    ];
    let mut item = |label: &str, text: &str| {
        if !text.is_empty() {
            lines.push(format!("- **{label}**: {}", escaped(text)));
        }
    };
    if !printed.brief {
        item("cause", &finding.cause);
    }
    item("evidence", &evidence(finding));
    item("alike", &printed.more().unwrap_or_default());
    if !printed.brief {
        finding.remedies.iter().for_each(|remedy| item("do", remedy));
        finding.not_helpful.iter().for_each(|useless| item("not", useless));
        item("refuted by", &finding.refuted_by);
    }
    lines.push(format!("- **id**: {} ({})", code(&finding.id), finding.confidence.as_str()));
    lines.join("\n")
}

fn table(table: &Table) -> String {
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let mut lines = vec![
        line(table.header.iter().map(|column| escaped(&column.name)).collect()),
        line(
            table
                .header
                .iter()
                .map(|column| match column.kind {
                    ColumnKind::Numbers => "---:".to_owned(),
                    ColumnKind::Words | ColumnKind::Names => "---".to_owned(),
                })
                .collect(),
        ),
    ];
    for row in &table.rows {
        let cells = row.cells.iter().zip(&table.header).map(|(cell, column)| match column.kind {
            ColumnKind::Names if !cell.is_empty() && cell != "-" => code(cell).replace('|', "\\|"),
            _ => escaped(cell),
        });
        lines.push(line(cells.collect()));
    }
    lines.join("\n")
}

/// A code span: its fence is longer than any run of backticks inside.
fn code(text: &str) -> String {
    let text = harmless(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn ends_with_www(text: &str) -> bool {
    let mut end = text.chars().rev().take(3);
    text.len() >= 3 && end.all(|c| c.eq_ignore_ascii_case(&'w'))
}

/// Text without a sign that Markdown would act on. An underscore inside a word is none
/// (`tcp_max_syn_backlog`). Addresses that GitHub would make links of are
/// broken too.
fn escaped(text: &str) -> String {
    let text = harmless(text);
    let mut shown = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let inside_word =
            before.is_alphanumeric() && chars.peek().is_some_and(|c| c.is_alphanumeric());
        let links = (c == '.' && ends_with_www(&shown))
            || (c == ':' && chars.peek().is_some_and(|&c| c == '/'));
        if c == '@' {
            // A mention or a mail address even behind a backslash: both are looked for in the text
            // that comes out.
            shown.push_str("`@`");
        } else {
            if "\\`*|<[]#&~".contains(c) || (c == '_' && !inside_word) || links {
                shown.push('\\');
            }
            shown.push(c);
        }
        before = c;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_no_links_and_mention_nobody() {
        for (name, shown) in [
            ("www.evil.com", "www\\.evil.com"),
            ("WwW.evil.com", "WwW\\.evil.com"),
            ("https://evil.com", "https\\://evil.com"),
            ("@user", "`@`user"),
            ("a@evil.com", "a`@`evil.com"),
            ("&#64;user ~~x~~", "\\&\\#64;user \\~\\~x\\~\\~"),
            ("*:80 of nginx", "\\*:80 of nginx"),
        ] {
            assert_eq!(escaped(name), shown);
        }
    }
}
