//! Pages of counters, reasons and rules, and the lists of them.

use halfopen_diagnose::FindingId;
use halfopen_model::rules::lore::Lore;
use halfopen_model::rules::{self, Rule};
use halfopen_model::{
    Alike, Counter, DropReason, KernelReason, ReasonKind, Semantics, by_generation,
};

use super::entries::{
    Answer, CommitEntry, CounterEntry, KernelsAnswer, LoreEntry, MovedEntry, NameEntry,
    ReasonEntry, ReasonOf, RuleEntry, SourceEntry,
};
use crate::nearest;

/// What `explain rule` can be asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Topic {
    /// A rule of the kernel.
    Rule(&'static Rule),
    /// A finding of `check`.
    Finding(FindingId),
}

/// What `explain reason` can be asked about.
#[derive(Clone, Debug)]
pub(crate) enum Reasons {
    /// The kernel's: one name can stand for two.
    Kernel(Vec<&'static KernelReason>),
    /// The model's.
    Model(DropReason),
}

/// The counter of that name.
pub(crate) fn parse_counter(name: &str) -> Result<Counter, String> {
    Counter::named(name).ok_or_else(|| {
        let known = Counter::ALL.iter().map(|counter| counter.name().to_owned());
        nearest::unknown("counter", name, known, "halfopen explain counter")
    })
}

/// The reasons of that name.
pub(crate) fn parse_reason(name: &str) -> Result<Reasons, String> {
    let kernels: Vec<_> = KernelReason::named(name).collect();
    if !kernels.is_empty() {
        return Ok(Reasons::Kernel(kernels));
    }
    let wanted = plain(name);
    let ours = DropReason::ALL.iter().find(|reason| plain(&model_name(**reason)) == wanted);
    ours.map(|&reason| Reasons::Model(reason)).ok_or_else(|| {
        let kernels = KernelReason::ALL.iter().map(|reason| reason.name.to_owned());
        let ours = DropReason::ALL.iter().map(|&reason| model_name(reason));
        nearest::unknown("reason", name, kernels.chain(ours), "halfopen explain reason")
    })
}

/// The rule or the finding of that id.
pub(crate) fn parse_rule(id: &str) -> Result<Topic, String> {
    let wanted = id.trim().to_ascii_lowercase().replace('_', "-");
    let finding = || wanted.parse::<FindingId>().ok().map(Topic::Finding);
    rules::find(&wanted).map(Topic::Rule).or_else(finding).ok_or_else(|| {
        let rules = rules::all().map(|rule| rule.id.to_owned());
        let findings = FindingId::ALL.iter().map(ToString::to_string);
        nearest::unknown("rule", id, rules.chain(findings), "halfopen explain rule")
    })
}

/// A counter, or all of them.
pub(super) fn counters(counter: Option<Counter>) -> Answer {
    match counter {
        Some(counter) => Answer::Counter(counter_page(counter)),
        None => Answer::Counters { counters: Counter::ALL.iter().map(counter_line).collect() },
    }
}

/// A reason, or all of them.
pub(super) fn reasons(reasons: Option<&Reasons>) -> Answer {
    match reasons {
        Some(Reasons::Kernel(kernels)) => {
            Answer::Reason { reasons: kernels.iter().map(|reason| kernel_reason(reason)).collect() }
        }
        Some(Reasons::Model(reason)) => Answer::Reason { reasons: vec![model_reason(*reason)] },
        None => Answer::Reasons { reasons: reason_lines() },
    }
}

/// A rule, a finding, or the list of both.
pub(super) fn topics(topic: Option<Topic>) -> Answer {
    match topic {
        Some(Topic::Rule(rule)) => Answer::Rule(rule_page(rule)),
        Some(Topic::Finding(id)) => Answer::Finding {
            id: id.to_string(),
            summary: id.summary().to_owned(),
            page: id.page(),
        },
        None => Answer::Rules {
            rules: rules::all().map(|rule| line(rule.id, "rule", rule.title)).collect(),
            findings: FindingId::ALL
                .iter()
                .map(|id| line(id.as_str(), "finding", id.summary()))
                .collect(),
        },
    }
}

/// A counter in full.
pub(super) fn counter_page(counter: Counter) -> CounterEntry {
    let page = counter.page();
    CounterEntry {
        name: counter.name().to_owned(),
        table: counter.table().name().to_owned(),
        file: counter.file().to_owned(),
        nstat_name: counter.nstat_name(),
        meaning: counter.meaning().to_owned(),
        unit: page.unit.as_str().to_owned(),
        text: page.text.to_owned(),
        kernels: answers(by_generation(page.differs)),
        moved_by: counter.drop_reasons().map(|reason| moved(counter, reason)).collect(),
        lore: counter.lore().map(lore).collect(),
        source: first_places(page.rules),
        rules: strings(page.rules),
        findings: strings(page.findings),
    }
}

fn moved(counter: Counter, reason: DropReason) -> MovedEntry {
    MovedEntry {
        reason: model_name(reason),
        meaning: reason.to_string(),
        kernels: some_kernels(|semantics| counter.is_moved_by(reason, semantics)),
    }
}

/// The kernels for which it is so, if not for all.
fn some_kernels(is_so: impl Fn(&Semantics) -> bool) -> Option<String> {
    let groups = by_generation(is_so);
    let all = groups.len() == 1;
    groups.into_iter().find(|alike| alike.answer && !all).map(|alike| alike.kernels)
}

/// A reason of the kernel in full.
pub(super) fn kernel_reason(reason: &KernelReason) -> ReasonEntry {
    let doubt = if reason.confirmed { "" } else { " (UNCONFIRMED)" };
    ReasonEntry {
        name: reason.name.to_owned(),
        kind: match reason.kind {
            ReasonKind::Drop => ReasonOf::KernelDrop,
            ReasonKind::Reset => ReasonOf::KernelReset,
        },
        since: Some(format!("Linux {}{doubt}", reason.since)),
        commits: strings(reason.commits),
        text: reason.text.to_owned(),
        misleading: (!reason.misleading.is_empty()).then(|| reason.misleading.to_owned()),
        counters: Vec::new(),
        source: reason.kind.source().to_owned(),
        shown_by: Some(reason.kind.shown_by().to_owned()),
    }
}

/// A reason of the model in full.
pub(super) fn model_reason(reason: DropReason) -> ReasonEntry {
    let moves = by_generation(|semantics| {
        let names: Vec<&str> = reason.counters(semantics).map(Counter::name).collect();
        if names.is_empty() { "no counter of its own".to_owned() } else { names.join(" + ") }
    });
    ReasonEntry {
        name: model_name(reason),
        kind: ReasonOf::Model,
        since: None,
        commits: Vec::new(),
        text: format!("{reason}."),
        misleading: reason.is_syn().then(|| {
            "The kernel gives a dropped SYN no reason and makes no kfree_skb event: tools that \
             show drops stay silent."
                .to_owned()
        }),
        counters: answers(moves),
        source: reason.source().to_owned(),
        shown_by: None,
    }
}

/// A rule in full.
pub(super) fn rule_page(rule: &Rule) -> RuleEntry {
    RuleEntry {
        id: rule.id.to_owned(),
        title: rule.title.to_owned(),
        paragraphs: rule.paragraphs().map(str::to_owned).collect(),
        kernels: answers(rule.by_generation()),
        source: source(rule),
        lore: rule.lore().map(lore).collect(),
        findings: strings(rule.findings),
    }
}

/// Where a rule stands in the kernel.
pub(super) fn source(rule: &Rule) -> SourceEntry {
    let commits = rule.commits.iter().map(|commit| CommitEntry {
        hash: commit.hash.to_owned(),
        what: commit.what.to_owned(),
        confirmed: commit.confirmed,
    });
    SourceEntry { rule: rule.id.to_owned(), code: strings(rule.code), commits: commits.collect() }
}

/// The name of a reason of the model, `syn-queue-full`.
pub(super) fn model_name(reason: DropReason) -> String {
    let mut name = String::new();
    for c in format!("{reason:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

fn counter_line(counter: &Counter) -> NameEntry {
    line(counter.name(), counter.table().name(), counter.meaning())
}

fn reason_lines() -> Vec<NameEntry> {
    let kernels = KernelReason::ALL.iter().map(|reason| {
        let of = match reason.kind {
            ReasonKind::Drop => "kernel drop",
            ReasonKind::Reset => "kernel reset",
        };
        let end = reason.text.find(". ").unwrap_or(reason.text.len());
        line(reason.name, of, reason.text[..end].trim_end_matches('.'))
    });
    let ours =
        DropReason::ALL.iter().map(|&reason| line(&model_name(reason), "model", reason.as_str()));
    kernels.chain(ours).collect()
}

fn line(name: &str, of: &str, meaning: &str) -> NameEntry {
    NameEntry { name: name.to_owned(), of: of.to_owned(), meaning: meaning.to_owned() }
}

/// The first place of each of these rules in the kernel, each once.
fn first_places(ids: &[&str]) -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    for place in ids.iter().filter_map(|id| rules::find(id)?.code.first()) {
        if !places.iter().any(|known| known == place) {
            places.push((*place).to_owned());
        }
    }
    places
}

/// What is commonly said against these rules.
pub(super) fn lore_of(ids: &[&str]) -> Vec<LoreEntry> {
    ids.iter().filter_map(|id| rules::find(id)).flat_map(Rule::lore).map(lore).collect()
}

fn lore(lore: &Lore) -> LoreEntry {
    LoreEntry { said: lore.said.to_owned(), fact: lore.fact.to_owned() }
}

fn answers(groups: Vec<Alike<String>>) -> Vec<KernelsAnswer> {
    groups.into_iter().map(|Alike { kernels, answer }| KernelsAnswer { kernels, answer }).collect()
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

/// Letters and digits, small.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_name_findings_and_rules_that_exist() {
        for rule in rules::all() {
            for id in rule.findings {
                assert!(id.parse::<FindingId>().is_ok(), "{}: {id}", rule.id);
            }
        }
        for counter in Counter::ALL {
            for id in counter.page().findings {
                assert!(id.parse::<FindingId>().is_ok(), "{counter}: {id}");
            }
        }
    }

    #[test]
    fn rules_and_findings_are_told_apart_and_misspelt_ones_are_offered() {
        assert!(matches!(parse_rule("third-ack"), Ok(Topic::Rule(_))));
        assert!(matches!(parse_rule("third_ack_dropped"), Ok(Topic::Finding(_))));
        let error = parse_rule("thrid-ack").expect_err("misspelt");
        assert!(error.contains("did you mean third-ack"), "{error}");
        let error = parse_rule("xyzzy").expect_err("nothing near");
        assert!(error.contains("`halfopen explain rule` lists them"), "{error}");
    }

    #[test]
    fn reasons_of_the_kernel_and_of_the_model_are_found() {
        assert!(matches!(parse_reason("NO_SOCKET"), Ok(Reasons::Kernel(two)) if two.len() == 2));
        assert!(matches!(parse_reason("ThirdAckQueueFull"), Ok(Reasons::Model(_))));
        assert!(matches!(parse_reason("third-ack-queue-full"), Ok(Reasons::Model(_))));
        let error = parse_reason("TCP_LISTEN_OVERFLOWS").expect_err("misspelt");
        assert!(error.contains("TCP_LISTEN_OVERFLOW?"), "{error}");
    }

    #[test]
    fn what_moves_a_counter_names_the_kernels_that_count_it() {
        let page = counter_page(Counter::ListenOverflows);
        let kernels = |reason: &str| {
            let moved = page.moved_by.iter().find(|moved| moved.reason == reason);
            moved.expect("a reason").kernels.clone()
        };
        assert_eq!(kernels("third-ack-queue-full"), None);
        assert_eq!(
            kernels("syn-accept-queue-full").as_deref(),
            Some("3.10.4 and later, RHEL 7, 8")
        );
    }
}
