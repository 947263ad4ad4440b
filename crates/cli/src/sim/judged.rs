//! A run and what the rules say of it.

use std::collections::BTreeSet;

use halfopen_diagnose::{Filter, FindingEntry, Report, diagnose};
use halfopen_evidence::Evidence;
use halfopen_scenario::Scenario;
use halfopen_sim::Run;

/// A run with the verdict of a check over it.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    pub(super) run: Run,
    /// The check of the servers' machine.
    pub(super) servers: Report,
    /// The check of the clients' machine, where that is another one.
    pub(super) clients: Option<Report>,
    pub(super) expectation: Expectation,
}

/// Whether the findings are those that the scenario expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expectation {
    /// It is about a mechanism and expects no verdict.
    None,
    /// It was changed, so what it expects may not hold.
    Changed,
    /// They are.
    Met,
    /// They are not; in which way.
    NotMet(String),
}

impl Judged {
    /// Lets the rules judge a run.
    pub(super) fn new(scenario: Scenario, seed: u64, run: Run, changed: bool) -> Self {
        let servers = report(&run.evidence);
        let clients = run.clients_evidence.as_ref().map(report);
        let expectation = Expectation::None;
        let mut judged = Self { scenario, seed, run, servers, clients, expectation };
        let found: Vec<(&str, &str)> = judged
            .findings()
            .map(|finding| (finding.id.as_str(), finding.cause.as_str()))
            .collect();
        judged.expectation = match (judged.scenario.is_mechanism(), changed) {
            (true, _) => Expectation::None,
            (false, true) => Expectation::Changed,
            (false, false) => match judged.scenario.wrong(&found) {
                None => Expectation::Met,
                Some(wrong) => Expectation::NotMet(wrong.to_string()),
            },
        };
        judged
    }

    /// What is not certain of the kernels that it ran on, each once.
    pub(super) fn doubts(&self) -> Vec<&'static str> {
        let mut doubts: Vec<&str> = Vec::new();
        for doubt in self.run.hosts.iter().flat_map(|host| host.kernel.doubts()) {
            if !doubts.contains(&doubt.text) {
                doubts.push(doubt.text);
            }
        }
        doubts
    }

    /// Ids of the findings, in alphabetical order, each once.
    pub(super) fn found(&self) -> BTreeSet<&str> {
        self.findings().map(|finding| finding.id.as_str()).collect()
    }

    fn findings(&self) -> impl Iterator<Item = &FindingEntry> {
        let reports = std::iter::once(&self.servers).chain(&self.clients);
        reports.flat_map(|report| &report.findings)
    }
}

fn report(evidence: &Evidence) -> Report {
    Report::new(evidence, &diagnose(evidence), &Filter::default(), env!("CARGO_PKG_VERSION"))
}
