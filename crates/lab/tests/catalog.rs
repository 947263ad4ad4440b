//! The catalogue that is built in holds the files of `scenarios/`, and each of them is sound.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use halfopen_lab::scenarios;

#[test]
fn the_catalogue_lists_the_files_of_the_folder_in_order() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("toml"), "{}", path.display());
        files.insert(path.file_stem().and_then(|s| s.to_str()).expect("a name").to_owned());
    }
    let listed: Vec<String> =
        halfopen_scenario::CATALOG.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed, files.into_iter().collect::<Vec<_>>());
}

#[test]
fn every_scenario_can_be_read_and_says_first_what_it_proves() {
    for (name, text) in halfopen_scenario::CATALOG {
        assert!(text.starts_with("# Proves: "), "{name}");
    }
    let scenarios = scenarios().expect("every scenario file can be read");
    assert_eq!(scenarios.len(), halfopen_scenario::CATALOG.len());
}

#[test]
fn only_a_scenario_that_is_called_healthy_or_a_mechanism_expects_nothing() {
    for scenario in scenarios().expect("every scenario file can be read") {
        let healthy = scenario.about.starts_with("Healthy: ");
        let expects_nothing = healthy || scenario.is_mechanism();
        assert_eq!(scenario.expect.is_empty(), expects_nothing, "{}", scenario.name);
    }
}

#[test]
fn a_mechanism_has_an_exact_outcome_since_it_has_no_verdict() {
    for scenario in scenarios().expect("every scenario file can be read") {
        assert!(scenario.parity || !scenario.is_mechanism(), "{}", scenario.name);
    }
}
