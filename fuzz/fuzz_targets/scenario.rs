//! Scenario files: TOML that a person wrote.

#![no_main]

use halfopen_scenario::Scenario;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = Scenario::parse("fuzz", text) {
        assert!(error.to_string().contains("fuzz.toml"));
    }
});
