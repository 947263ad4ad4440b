//! Filters: what a person, or a program for them, passes to `check`.

#![no_main]

use halfopen_diagnose::Filter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Filter::parse(text) {
        Ok(filter) => {
            let _ = (filter.local_ports(), filter.ports(), filter.netns_names(), filter.pids());
            // What it prints means the same.
            assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
