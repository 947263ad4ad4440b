//! Every scenario, on the running kernel: the check must find exactly what its file expects.

mod common;

use common::{run, skipped};

/// Brings a scenario about, checks it inside its namespaces, and compares the findings.
fn check(name: &str) {
    let ran = run(&["lab", "run", name, "--check"]);
    match ran.status {
        0 => {}
        3 if ran.stderr.contains("SKIPPED") => skipped(&format!("lab {name}"), ran.stderr.trim()),
        status => panic!("{name} ends with {status}\n{}\n{}", ran.stderr, ran.stdout),
    }
}

macro_rules! scenarios {
    ($($test:ident = $name:literal,)*) => {
        const NAMES: &[&str] = &[$($name),*];

        $(
            #[test]
            fn $test() {
                check($name);
            }
        )*
    };
}

scenarios! {}

#[test]
fn every_scenario_has_a_test() {
    let list = run(&["lab", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list.stdout).expect("JSON");
    let listed: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|entry| entry["name"].as_str())
        .collect();
    assert_eq!(listed, NAMES);
}
