//! Runs the rules and gathers what they say.

use std::collections::BTreeSet;

use halfopen_evidence::{Evidence, Want, Watched};

use crate::analysis::clients_apart;
use crate::{Context, Finding, FindingId, Subject};

/// What the rules made of some evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// What was found, the worst first, a cause before its consequences.
    pub findings: Vec<Finding>,
    /// What could not be determined for want of evidence that cannot be had.
    pub undetermined: Vec<Undetermined>,
    /// Evidence that would let the rules say more.
    pub wants: BTreeSet<Want>,
}

/// A finding that could be neither made nor excluded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Undetermined {
    /// Which.
    pub id: FindingId,
    /// About what.
    pub subject: Subject,
    /// What was missing.
    pub why: String,
}

/// Where a rule puts what it says.
#[derive(Debug, Default)]
pub struct Verdicts(Diagnosis);

/// Runs every rule for a look at a host over the evidence.
#[must_use]
pub fn diagnose(evidence: &Evidence) -> Diagnosis {
    let context = Context::new(evidence);
    let mut verdicts = Verdicts::default();
    for want in context.wants() {
        verdicts.want(want);
    }
    for id in FindingId::ALL {
        if let Some(look) = id.rules().look {
            look(&context, &mut verdicts);
        }
    }
    verdicts.sorted()
}

/// Runs every rule for watched handshakes over those of each listener, and apart from the others over
/// those of clients for whom alone something is wrong.
#[must_use]
pub fn diagnose_watched(watched: &Watched) -> Diagnosis {
    let mut verdicts = Verdicts::default();
    for listener in watched.listeners.iter().flat_map(clients_apart::split) {
        for judge in FindingId::ALL.iter().filter_map(|id| id.rules().watched) {
            judge(&listener, &mut verdicts);
        }
    }
    verdicts.sorted()
}

impl Verdicts {
    fn sorted(self) -> Diagnosis {
        let Self(mut diagnosis) = self;
        diagnosis.findings.sort_by(|a, b| {
            (b.severity, &a.subject.netns, &a.subject.kind, a.id).cmp(&(
                a.severity,
                &b.subject.netns,
                &b.subject.kind,
                b.id,
            ))
        });
        diagnosis.undetermined.sort();
        diagnosis
    }

    /// Something was found.
    pub fn find(&mut self, finding: Finding) {
        self.0.findings.push(finding);
    }

    /// More could be said with this.
    pub fn want(&mut self, want: Want) {
        self.0.wants.insert(want);
    }

    /// It cannot be said.
    pub fn undetermined(&mut self, id: FindingId, subject: Subject, why: impl Into<String>) {
        self.0.undetermined.push(Undetermined { id, subject, why: why.into() });
    }

    /// What was said so far.
    #[must_use]
    pub const fn so_far(&self) -> &Diagnosis {
        &self.0
    }
}
