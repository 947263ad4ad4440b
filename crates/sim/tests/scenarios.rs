//! Every scenario of the catalogue, simulated: its states come about, and the rules find in it exactly
//! what they find on the running kernel.

use std::collections::BTreeSet;

use halfopen_diagnose::diagnose;
use halfopen_scenario::{CATALOG, Scenario};
use halfopen_sim::{Options, Run, SimError, simulate};

fn scenario(name: &str) -> Scenario {
    let (_, text) = CATALOG.iter().find(|(known, _)| *known == name).expect("in the catalogue");
    Scenario::parse(name, text).expect("the file can be read")
}

fn run(scenario: &Scenario) -> Result<Run, SimError> {
    simulate(scenario, &Options::default())
}

fn found(run: &Run) -> BTreeSet<String> {
    let evidence = std::iter::once(&run.evidence).chain(&run.clients_evidence);
    let findings = evidence.flat_map(|evidence| diagnose(evidence).findings);
    findings.map(|finding| finding.id.to_string()).collect()
}

#[test]
fn every_scenario_comes_about_and_is_called_by_its_name() {
    let mut wrong = Vec::new();
    for (name, _) in CATALOG {
        let scenario = scenario(name);
        match run(&scenario) {
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok(run) if !scenario.is_mechanism() => {
                let (expected, found) = (scenario.expect.iter().cloned().collect(), found(&run));
                if found != expected {
                    wrong.push(format!("{name}: expected {expected:?}, found {found:?}"));
                }
            }
            Ok(_) => {}
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for name in ["never-accepts-overlapping", "reuseport-skew", "too-slow-accept"] {
        let scenario = scenario(name);
        assert_eq!(run(&scenario), run(&scenario), "{name}");
    }
}
