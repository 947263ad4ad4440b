//! Recordings: files from somewhere else.
//!
//! An input that begins with gzip's first byte is read as it is. Any other is read as the lines
//! within the file, since a mutated gzip stream seldom gets past its checksum.

#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use halfopen_evidence::Recording;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let read = if input.first() == Some(&0x1f) {
        Recording::read(input)
    } else {
        Recording::read(packed(input).as_slice())
    };
    if let Ok(recording) = read {
        let mut file = Vec::new();
        recording.write(&mut file).expect("into a vector");
        let again = Recording::read(file.as_slice()).expect("what we wrote");
        assert_eq!(again, recording);
    }
});

fn packed(lines: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(lines).expect("into a vector");
    encoder.finish().expect("into a vector")
}
