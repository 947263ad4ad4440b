//! Pages of a counter, a reason, a rule.

use super::sheet::Sheet;
use crate::explain::entries::{
    CounterEntry, KernelsAnswer, LoreEntry, ReasonEntry, ReasonOf, RuleEntry,
};

/// Writes the page of a counter.
pub(super) fn counter(sheet: &mut Sheet, counter: &CounterEntry) {
    sheet.title(&format!("{} {}", counter.table, counter.name), &counter.meaning);
    sheet.field("counts", &counter.unit);
    sheet.field("moved", counter.text.trim_start_matches("Moved "));
    kernels(sheet, "kernels", &counter.kernels);
    let reasons = counter.moved_by.iter().map(|moved| match &moved.kernels {
        Some(on) => format!("{} ({on})", moved.meaning),
        None => moved.meaning.clone(),
    });
    sheet.list("such as", reasons);
    lore(sheet, &counter.lore);
    sheet.list(
        "read it",
        [
            format!("nstat -az {} · {}", counter.nstat_name, counter.file),
            "counts since its network namespace was made: look twice; for a container \
             `nsenter -t PID -n nstat -az …`"
                .to_owned(),
        ],
    );
    sheet.field("rules", &counter.rules.join(", "));
    sheet.field("source", &counter.source.join(" · "));
    sheet.field("findings", &counter.findings.join(", "));
    name_kernels(sheet, &counter.kernels);
}

/// Writes the pages of the reasons of one name.
pub(super) fn reasons(sheet: &mut Sheet, reasons: &[ReasonEntry]) {
    for (index, reason) in reasons.iter().enumerate() {
        if index > 0 {
            sheet.blank();
        }
        let kind = match reason.kind {
            ReasonOf::KernelDrop => "why the kernel dropped a segment",
            ReasonOf::KernelReset => "why the kernel sent a reset",
            ReasonOf::Model => "a reason of halfopen's model, finer than the kernel's",
        };
        sheet.title(&reason.name, kind);
        sheet.field("means", &reason.text);
        sheet.field("but", reason.misleading.as_deref().unwrap_or_default());
        kernels(sheet, "counters", &reason.counters);
        sheet.field("since", reason.since.as_deref().unwrap_or_default());
        sheet.field("commits", &commits(reason));
        sheet.field("source", &reason.source);
        sheet.field("see it", reason.shown_by.as_deref().unwrap_or_default());
    }
}

/// The commits that brought a reason of the kernel; nothing for one of the model.
fn commits(reason: &ReasonEntry) -> String {
    match reason.kind {
        ReasonOf::Model => String::new(),
        _ if reason.commits.is_empty() => "not known".to_owned(),
        _ => reason.commits.join(", "),
    }
}

/// Writes the page of a rule.
pub(super) fn rule(sheet: &mut Sheet, rule: &RuleEntry) {
    sheet.title(&rule.id, &rule.title);
    for paragraph in &rule.paragraphs {
        sheet.blank();
        sheet.prose(paragraph);
    }
    sheet.blank();
    kernels(sheet, "kernels", &rule.kernels);
    lore(sheet, &rule.lore);
    sheet.list("source", rule.source.code.iter().cloned());
    let commits = rule.source.commits.iter().map(|commit| {
        let doubt = if commit.confirmed { "" } else { " (hash UNCONFIRMED)" };
        format!("{} {}{doubt}", commit.hash, commit.what)
    });
    sheet.list("commits", commits);
    sheet.field("findings", &rule.findings.join(", "));
    name_kernels(sheet, &rule.kernels);
}

/// What the names of kernels are, where there are any.
fn name_kernels(sheet: &mut Sheet, kernels: &[KernelsAnswer]) {
    if kernels.len() > 1 {
        sheet.blank();
        sheet.hint("Kernels are named by the releases that were read.");
    }
}

/// What is commonly said and not so.
pub(super) fn lore(sheet: &mut Sheet, lore: &[LoreEntry]) {
    sheet.list("not so", lore.iter().map(|lore| format!("\"{}\" {}", lore.said, lore.fact)));
}

/// One group of kernels per line, or a word if they are all alike.
fn kernels(sheet: &mut Sheet, label: &str, kernels: &[KernelsAnswer]) {
    match kernels {
        [one] if one.answer == "the same" => sheet.field(label, "all alike"),
        [one] => sheet.field(label, &format!("{} (all alike)", one.answer)),
        many => {
            let rows = many.iter().map(|row| format!("{}: {}", row.kernels, row.answer));
            sheet.list(label, rows);
        }
    }
}
