//! Packets: the first byte is a link type, the rest a packet, whole on the wire or cut by the capture.

#![no_main]

use halfopen_capture::{Decoder, LinkType, Observed, Packet};
use libfuzzer_sys::fuzz_target;

/// Those of Ethernet first, since most is there.
const LINKS: &[u32] = &[
    1, 1, 1, 0, 9, 12, 50, 51, 101, 104, 108, 113, 166, 228, 229, 276, 147, 7, 10, 105, 127, 129,
    239, 242,
];

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, captured)) = bytes.split_first() else { return };
    let link = LinkType(LINKS[usize::from(first) % LINKS.len()]);
    let length = u32::try_from(captured.len()).expect("inputs are short");
    let whole = Packet {
        time_ns: 0,
        record: 1,
        offset: 0,
        interface: 0,
        link,
        captured,
        original_len: length,
    };
    let cut = Packet { original_len: length + 1500, ..whole };
    let mut decoder = Decoder::new();
    for packet in [whole, cut] {
        if let Ok(Observed::Segment(segment)) = decoder.decode(&packet) {
            assert_eq!(segment.from.is_ipv4(), segment.to.is_ipv4());
            assert_eq!(decoder.scopes().name(segment.scope).is_some(), segment.scope > 0);
        }
    }
    let counts = decoder.counts();
    let counted = counts.segments
        + counts.icmp_errors
        + counts.fragments
        + counts.cut
        + counts.unread_link
        + counts.malformed
        + counts.other;
    assert_eq!(counted, 2);
    assert_eq!(decoder.warnings().count(), counts.malformed);
});
