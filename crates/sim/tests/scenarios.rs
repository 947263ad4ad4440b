//! Every scenario of the catalogue, simulated: its states come about, and the rules find in it exactly
//! what they find on the running kernel.

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

/// How the findings are other than expected.
fn wrong(scenario: &Scenario, run: &Run) -> Option<String> {
    let evidence = std::iter::once(&run.evidence).chain(&run.clients_evidence);
    let findings: Vec<_> = evidence.flat_map(|evidence| diagnose(evidence).findings).collect();
    let found: Vec<(&str, &str)> =
        findings.iter().map(|finding| (finding.id.as_str(), finding.cause.as_str())).collect();
    scenario.wrong(&found).map(|wrong| wrong.to_string())
}

#[test]
fn every_scenario_comes_about_and_is_called_by_its_name() {
    let mut failed = Vec::new();
    for (name, _) in CATALOG {
        let scenario = scenario(name);
        match run(&scenario) {
            Err(error) => failed.push(format!("{name}: {error}")),
            Ok(run) if !scenario.is_mechanism() => {
                failed.extend(wrong(&scenario, &run).map(|wrong| format!("{name}: {wrong}")));
            }
            Ok(_) => {}
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for name in ["never-accepts-overlapping", "reuseport-skew", "too-slow-accept"] {
        let scenario = scenario(name);
        assert_eq!(run(&scenario), run(&scenario), "{name}");
    }
}
