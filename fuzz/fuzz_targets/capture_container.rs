//! Captures as files: whatever the bytes, reading ends and its counts agree.

#![no_main]

use halfopen_capture::{Decoder, Reader};
use libfuzzer_sys::fuzz_target;

/// Small, so that inputs make it grow.
const BUFFER: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::with_buffer(bytes, BUFFER) else { return };
    let mut decoder = Decoder::new();
    let (mut packets, mut end) = (0, 0);
    while let Some(packet) = reader.next_packet().expect("a slice can be read") {
        packets += 1;
        assert_eq!(packet.record, packets);
        assert!(packet.offset >= end);
        end = packet.offset + packet.captured.len() as u64;
        let _ = decoder.decode(&packet);
    }
    assert_eq!(reader.records(), packets);
    let _ = reader.lost_packets();
    let warnings = reader.finish();
    assert!(warnings.listed().len() as u64 <= warnings.count());
    assert!(warnings.listed().iter().all(|warning| !warning.to_string().is_empty()));
});
