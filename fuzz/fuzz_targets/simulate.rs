//! Scenario files, all the way through the simulator.

#![no_main]

use halfopen_scenario::Scenario;
use halfopen_sim::{Options, simulate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(scenario) = Scenario::parse("fuzz", text) {
        let options = Options { most_events: 20_000, segments_kept: 1_000, ..Options::default() };
        if let Err(error) = simulate(&scenario, &options) {
            assert!(!error.to_string().is_empty());
        }
    }
});
