//! Rules, counters and reasons as Markdown, for `docs/kernel`.

use halfopen_diagnose::FindingId;
use halfopen_model::{Counter, DropReason, KernelReason, rules};

use super::entries::{CounterEntry, KernelsAnswer, LoreEntry, ReasonEntry, ReasonOf, RuleEntry};
use super::pages;

/// Every page: its path below `docs`, and its text.
pub(crate) fn pages() -> [(&'static str, String); 4] {
    [
        ("kernel/README.md", index()),
        ("kernel/rules.md", rules_page()),
        ("kernel/counters.md", counters_page()),
        ("kernel/reasons.md", reasons_page()),
    ]
}

fn index() -> String {
    let mut page = String::from(INDEX);
    for rule in rules::all() {
        page.push_str(&format!("| [{0}](rules.md#{0}) | {1} |\n", rule.id, rule.title));
    }
    page
}

const INDEX: &str = "\
# The kernel's rules

What Linux does with a handshake, as halfopen knows it. `halfopen explain` prints the same:
[counters](counters.md), [drop and reset reasons](reasons.md), and the [rules](rules.md) below. How
kernels differ is computed from the model that the simulator and the findings use. Kernels are named
by the releases whose source was read; what was not read says UNCONFIRMED.

| rule | |
| --- | --- |
";

fn rules_page() -> String {
    let mut page = String::from("# Rules of the kernel\n");
    for rule in rules::all().map(pages::rule_page) {
        write_rule(&mut page, &rule);
    }
    page
}

fn write_rule(page: &mut String, rule: &RuleEntry) {
    page.push_str(&format!("\n## {}\n\n**{}**\n", rule.id, rule.title));
    for paragraph in &rule.paragraphs {
        page.push_str(&format!("\n{}\n", escaped(paragraph)));
    }
    write_kernels(page, &rule.kernels);
    write_lore(page, &rule.lore);
    let code: Vec<String> = rule.source.code.iter().map(|code| format!("`{code}`")).collect();
    page.push_str(&format!("\nSource: {}", code.join(", ")));
    for commit in &rule.source.commits {
        let doubt = if commit.confirmed { "" } else { ", hash UNCONFIRMED" };
        page.push_str(&format!("; {} ({}{doubt})", commit.hash, escaped(&commit.what)));
    }
    page.push_str(".\n");
    write_findings(page, &rule.findings);
}

fn counters_page() -> String {
    let mut page =
        String::from("# Counters\n\nEach counts since its network namespace was made.\n");
    for counter in Counter::ALL.iter().copied().map(pages::counter_page) {
        write_counter(&mut page, &counter);
    }
    page
}

fn write_counter(page: &mut String, counter: &CounterEntry) {
    page.push_str(&format!("\n## {} {}\n\n", counter.table, counter.name));
    page.push_str(&format!("{} Counts {}.\n", escaped(&counter.text), counter.unit));
    if counter.kernels.len() > 1 {
        write_kernels(page, &counter.kernels);
    }
    if !counter.moved_by.is_empty() {
        page.push('\n');
    }
    for moved in &counter.moved_by {
        let on = moved.kernels.as_ref().map_or_else(String::new, |on| format!(" ({on})"));
        page.push_str(&format!("- {}{on}\n", moved.meaning));
    }
    write_lore(page, &counter.lore);
    let links: Vec<String> =
        counter.rules.iter().map(|id| format!("[{id}](rules.md#{id})")).collect();
    if !links.is_empty() {
        page.push_str(&format!("\nRules: {}.\n", links.join(", ")));
    }
    write_findings(page, &counter.findings);
}

fn reasons_page() -> String {
    let mut page = String::from(REASONS);
    for reason in KernelReason::ALL.iter().map(pages::kernel_reason) {
        write_reason(&mut page, &reason);
    }
    page.push_str("\n## Reasons of halfopen's model\n\n| reason | |\n| --- | --- |\n");
    for reason in DropReason::ALL.iter().copied().map(pages::model_reason) {
        page.push_str(&format!("| {} | {} `{}` |\n", reason.name, reason.text, reason.source));
    }
    page
}

const REASONS: &str = "\
# Drop reasons and reset reasons

Those of the kernel that matter to handshakes. A SYN that a full queue drops has none: no tool that
shows drop reasons sees it.

| reason | since | what it says of a handshake | but |
| --- | --- | --- | --- |
";

fn write_reason(page: &mut String, reason: &ReasonEntry) {
    let of = if reason.kind == ReasonOf::KernelReset { " (reset)" } else { "" };
    page.push_str(&format!(
        "| {}{of} | {} | {} | {} |\n",
        reason.name,
        reason.since.as_deref().unwrap_or_default(),
        escaped(&reason.text),
        escaped(reason.misleading.as_deref().unwrap_or_default())
    ));
}

fn write_kernels(page: &mut String, kernels: &[KernelsAnswer]) {
    if let [one] = kernels {
        page.push_str(&format!("\nAll kernels that were read: {}.\n", escaped(&one.answer)));
        return;
    }
    page.push_str("\n| kernels | |\n| --- | --- |\n");
    for row in kernels {
        page.push_str(&format!("| {} | {} |\n", row.kernels, escaped(&row.answer)));
    }
}

fn write_lore(page: &mut String, lore: &[LoreEntry]) {
    for lore in lore {
        page.push_str(&format!(
            "\n> Not so: \"{}\" {}\n",
            escaped(&lore.said),
            escaped(&lore.fact)
        ));
    }
}

fn write_findings(page: &mut String, findings: &[String]) {
    let links: Vec<String> = findings
        .iter()
        .filter(|id| id.parse::<FindingId>().is_ok())
        .map(|id| format!("[{id}](../rules/{id}.md)"))
        .collect();
    if !links.is_empty() {
        page.push_str(&format!("\nFindings: {}.\n", links.join(", ")));
    }
}

/// Text whose signs Markdown would take for its own.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_counter_and_reason_has_its_place() {
        let [_, (_, rules), (_, counters), (_, reasons)] = pages();
        for rule in rules::all() {
            assert!(rules.contains(&format!("\n## {}\n", rule.id)), "{}", rule.id);
        }
        for counter in Counter::ALL {
            assert!(counters.contains(&format!(" {counter}\n")), "{counter}");
        }
        for reason in KernelReason::ALL {
            assert!(reasons.contains(&format!("\n| {}", reason.name)), "{}", reason.name);
        }
    }
}
