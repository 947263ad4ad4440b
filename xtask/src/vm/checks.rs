//! What is checked in each guest: a program to run there, and how what it said is judged here.
//!
//! A further check is a further entry of [`all`]; its program is brought by [`super::image`].

use std::collections::BTreeMap;
use std::mem;
use std::slice;

use anyhow::{Context, Result, bail};
use halfopen_scenario::{CATALOG, Scenario};
use serde::Deserialize;

use super::protocol::Task;

/// The tool in a guest.
pub(super) const HALFOPEN: &str = "/bin/halfopen";

/// The program in a guest that compares the model with its kernel.
pub(super) const PARITY: &str = "/bin/halfopen-parity";

/// The check of which a part may be tried again.
const VERDICTS: &str = "verdicts";

/// Scenarios whose verdict depends on how much a server does in some milliseconds. Where they are called
/// otherwise twice, that says something of the emulated processor and nothing of the kernel.
const PACED: [&str; 2] = ["momentary-queue", "throttled-server"];
const PACED_WHY: &str = "it is about how fast a server is, and an emulated processor is not";

/// A check: a part of the line of a kernel.
pub(super) struct Check {
    /// The program with its arguments, and the check's name.
    pub(super) task: Task,
    judge: fn(&Said) -> Result<Judgement>,
}

/// What the program of a check said.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// Its standard output.
    pub(super) stdout: String,
    /// Its standard error.
    pub(super) stderr: String,
    /// Its exit status; none if a signal ended it.
    pub(super) status: Option<i32>,
}

/// What came of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// How many things are as they must be.
    pub(super) agreed: usize,
    /// What could not run, and why.
    pub(super) skipped: Vec<String>,
    /// What is otherwise, and in what.
    pub(super) failed: Vec<String>,
    /// What is otherwise and may be so because the machine is slow: it is to be tried again, alone.
    pub(super) doubtful: Vec<Doubt>,
    /// What was as it must be when it was tried again, and what it was at first.
    pub(super) second_try: Vec<String>,
}

/// A scenario that was not called by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// Its name.
    pub(super) scenario: String,
    /// What it was called.
    pub(super) what: String,
}

/// The checks, or those parts of them that are about the scenarios of these names.
///
/// # Errors
/// If there is no such scenario, or one that no guest can run.
pub(super) fn all(scenarios: &[String], with_parity: bool) -> Result<Vec<Check>> {
    if scenarios.is_empty() {
        let mut checks = vec![probe(), programs(), verdicts(VERDICTS, &["all".to_owned()])];
        checks.extend(with_parity.then(|| parity(&[])));
        return Ok(checks);
    }
    let (mut with_verdict, mut exact) = (Vec::new(), Vec::new());
    for name in scenarios {
        let (name, text) = CATALOG
            .iter()
            .find(|(known, _)| known == name)
            .with_context(|| format!("no scenario {name:?}; `halfopen lab list` shows them all"))?;
        let scenario = Scenario::parse(name, text)?;
        if scenario.is_for_simulator() {
            bail!("{name} is for the simulator only");
        }
        if !scenario.is_mechanism() {
            with_verdict.push(scenario.name.clone());
        }
        if scenario.parity {
            exact.push(scenario.name);
        }
    }
    let mut checks = Vec::new();
    checks.extend((!with_verdict.is_empty()).then(|| verdicts(VERDICTS, &with_verdict)));
    // What has no verdict has nothing else to be checked by.
    let with_parity = with_parity || with_verdict.is_empty();
    checks.extend((with_parity && !exact.is_empty()).then(|| parity(&exact)));
    Ok(checks)
}

/// The checks that try each of these scenarios again, alone. An emulated processor is slow, and a slow
/// server is an incident too.
pub(super) fn again(doubts: &[Doubt]) -> Vec<Check> {
    doubts
        .iter()
        .map(|Doubt { scenario, .. }| verdicts(scenario, slice::from_ref(scenario)))
        .collect()
}

impl Check {
    fn new(
        name: &str,
        argv: &[&str],
        more: &[String],
        judge: fn(&Said) -> Result<Judgement>,
    ) -> Self {
        let argv = argv.iter().map(|&word| word.to_owned()).chain(more.iter().cloned()).collect();
        Self { task: Task { name: name.to_owned(), argv }, judge }
    }

    /// What came of it. A program that said nothing that can be judged has failed.
    pub(super) fn judgement(&self, said: &Said) -> Judgement {
        (self.judge)(said).unwrap_or_else(|error| {
            let status = said
                .status
                .map_or_else(|| "a signal".to_owned(), |status| format!("status {status}"));
            let stderr = said.stderr.trim();
            Judgement::failure(format!(
                "{} ended with {status}: {error:#}\n{stderr}",
                self.task.name
            ))
        })
    }
}

impl Judgement {
    /// That of a check that failed as a whole.
    pub(super) fn failure(why: String) -> Self {
        Self { failed: vec![why], ..Self::default() }
    }

    /// Decides what was doubtful by what came of it the second time, if there was one.
    pub(super) fn settle(&mut self, again: impl Fn(&str) -> Option<Judgement>) {
        for Doubt { scenario, what } in mem::take(&mut self.doubtful) {
            let second = again(&scenario).unwrap_or_default();
            if second.agreed > 0 {
                self.agreed += 1;
                self.second_try.push(format!("{scenario}: at first {what}"));
                continue;
            }
            if PACED.contains(&scenario.as_str()) {
                self.skipped.push(format!("{scenario}: {what}: {PACED_WHY}"));
                continue;
            }
            let later = second.doubtful.into_iter().map(|doubt| doubt.what).chain(second.failed);
            let later = later.map(|what| format!("; alone {what}")).collect::<String>();
            self.failed.push(format!("{scenario}: {what}{later}"));
        }
    }

    /// It must be about something.
    fn or_nothing(self) -> Result<Self> {
        if self == Self::default() {
            bail!("it told nothing");
        }
        Ok(self)
    }
}

/// Whether the kernel fills its queues as the model says of its version.
fn probe() -> Check {
    /// A part of what `halfopen lab probe --json` prints.
    #[derive(Deserialize)]
    struct Probe {
        behaves_like: String,
        not_as_the_version_says: Vec<String>,
    }

    fn judge(said: &Said) -> Result<Judgement> {
        let Probe { behaves_like, not_as_the_version_says } = serde_json::from_str(&said.stdout)?;
        if not_as_the_version_says.is_empty() {
            return Ok(Judgement { agreed: 1, ..Judgement::default() });
        }
        let differences = not_as_the_version_says.join("; ");
        Ok(Judgement::failure(format!("probe: behaves like {behaves_like}: {differences}")))
    }

    Check::new("probe", &[HALFOPEN, "lab", "probe", "--json"], &[], judge)
}

/// Whether the kernel takes the BPF programs.
fn programs() -> Check {
    /// A part of the first line of `halfopen trace --json`.
    #[derive(Deserialize)]
    struct Begin {
        backend: String,
        not_seen: Vec<String>,
        notes: Vec<String>,
    }

    /// What some kernels have no way to tell: drops have had a reason since 5.17.
    const MAY_LACK: [&str; 2] = ["processes on other hosts", "segments dropped"];

    fn judge(said: &Said) -> Result<Judgement> {
        let first = said.stdout.lines().next().context("it said nothing")?;
        let Begin { backend, not_seen, notes } = serde_json::from_str(first)?;
        if backend != "kernel" {
            return Ok(Judgement::failure(format!("programs: {}", notes.join("; "))));
        }
        let may_lack = |what: &&String| !MAY_LACK.iter().any(|lack| what.starts_with(lack));
        let lacks: Vec<&String> = not_seen.iter().filter(may_lack).collect();
        if lacks.is_empty() {
            return Ok(Judgement { agreed: 1, ..Judgement::default() });
        }
        Ok(Judgement::failure(format!("programs: not seen: {lacks:?}")))
    }

    let argv = [HALFOPEN, "trace", "--json", "--hist", "--for", "200ms"];
    Check::new("programs", &argv, &[], judge)
}

/// Whether `halfopen check` calls each incident by its name.
fn verdicts(check: &str, names: &[String]) -> Check {
    /// A line of what `halfopen lab run --check --json` prints.
    #[derive(Deserialize)]
    struct Line {
        scenario: String,
        #[serde(flatten)]
        outcome: Outcome,
    }

    #[derive(Deserialize)]
    #[serde(tag = "outcome", rename_all = "kebab-case")]
    enum Outcome {
        AsExpected,
        Otherwise { why: String },
        Skipped { why: String },
        Failed { why: String },
    }

    fn judge(said: &Said) -> Result<Judgement> {
        let mut judgement = Judgement::default();
        for line in said.stdout.lines() {
            let Line { scenario, outcome } = serde_json::from_str(line)?;
            match outcome {
                Outcome::AsExpected => judgement.agreed += 1,
                Outcome::Skipped { why } => judgement.skipped.push(format!("{scenario}: {why}")),
                Outcome::Otherwise { why } | Outcome::Failed { why } => {
                    judgement.doubtful.push(Doubt { scenario, what: why });
                }
            }
        }
        judgement.or_nothing()
    }

    let argv = [HALFOPEN, "lab", "run", "--check", "--json"];
    Check::new(check, &argv, names, judge)
}

/// Whether the simulator and the kernel give the same account of scenarios whose outcome is exact.
fn parity(names: &[String]) -> Check {
    /// A part of what `halfopen-parity --json` prints.
    #[derive(Deserialize)]
    struct Report {
        scenarios: Vec<Row>,
    }

    #[derive(Deserialize)]
    struct Row {
        name: String,
        agrees: BTreeMap<String, bool>,
        disagreements: Vec<Disagreement>,
        skipped: Option<String>,
        failed: Option<String>,
    }

    #[derive(Deserialize)]
    struct Disagreement {
        aspect: String,
        place: String,
        kernel: String,
        model: String,
    }

    fn judge(said: &Said) -> Result<Judgement> {
        let report: Report = serde_json::from_str(&said.stdout)?;
        let mut judgement = Judgement::default();
        for Row { name, agrees, disagreements, skipped, failed } in report.scenarios {
            if let Some(why) = skipped {
                judgement.skipped.push(format!("{name}: {why}"));
            } else if let Some(why) = failed {
                judgement.failed.push(format!("{name}: {why}"));
            } else if let Some(first) = disagreements.first() {
                let Disagreement { aspect, place, kernel, model } = first;
                judgement.failed.push(format!(
                    "{name}: {aspect}: {place}\n  kernel  {kernel}\n  model   {model}"
                ));
            } else if agrees.values().any(|agrees| *agrees) {
                judgement.agreed += 1;
            }
        }
        judgement.or_nothing()
    }

    Check::new("parity", &[PARITY, "--json"], names, judge)
}
