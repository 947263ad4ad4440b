//! Filters over segments: what a person, or a program for them, passes to `pcap`.

#![no_main]

use halfopen_capture::Filter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = Filter::parse(text) {
        assert!(text.is_char_boundary(error.position()));
        assert!(!error.to_string().contains('\u{1b}'));
    }
});
