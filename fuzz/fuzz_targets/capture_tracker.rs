//! Segments in any order: each attempt is told once, memory keeps its bounds, and what is told of an
//! attempt does not contradict itself.
//!
//! The first byte chooses the limits; each seven after it are a packet. Numbers and times are few, so that
//! packets meet.

#![no_main]

use std::collections::BTreeSet;
use std::net::IpAddr;

use halfopen_capture::{
    Address, FastOpen, IcmpError, IcmpKind, Limits, Observed, SegmentOptions, Tally, TallyLimits,
    TcpSegment, TimestampOption, Tracker,
};
use halfopen_diagnose::diagnose_watched;
use halfopen_evidence::{Handshake, Outcome};
use libfuzzer_sys::fuzz_target;

const SECOND_NS: i64 = 1_000_000_000;

/// From one packet to the next, in microseconds.
const STEPS_US: [i64; 16] = [
    0,
    10,
    900,
    4_000,
    50_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    3_000_000,
    12_000_000,
    62_000_000,
    131_000_000,
    7_600_000_000,
    -2_000,
    -5_000_000,
];

/// What a number is counted from: where ISNs are, where numbers wrap, and far away.
const BASES: [u32; 4] = [0, 1000, u32::MAX - 2, 0x4000_0000];

/// What the table takes when there is nothing in it, and what a flow adds at the most.
const EMPTY: usize = 1 << 20;
const FLOW: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, packets)) = bytes.split_first() else { return };
    let limits = Limits {
        max_flows: [1, 2, 5, 1_000_000][usize::from(first & 3)],
        established_ns: (first & 4 != 0).then_some(2 * SECOND_NS),
        ..Limits::default()
    };
    let mut time_ns = 1_700_000_000 * SECOND_NS;
    let packets: Vec<Observed> = packets
        .as_chunks()
        .0
        .iter()
        .zip(1..)
        .map(|(packet, record)| observed(*packet, record, &mut time_ns))
        .collect();

    let mut told = Vec::new();
    let mut tracker = Tracker::new(limits);
    for packet in &packets {
        tracker.on_observed(packet, &mut |handshake, _| told.push(handshake));
        assert!(tracker.flows() <= limits.max_flows);
        assert!(tracker.bytes() <= EMPTY + FLOW * tracker.statistics().most_flows);
    }
    let statistics = tracker.finish(&mut |handshake, _| told.push(handshake));
    assert_eq!(told.len() as u64, statistics.handshakes);
    let records: BTreeSet<u64> = told.iter().map(|handshake| handshake.first_record).collect();
    assert_eq!(records.len(), told.len(), "no two begin with the same packet");
    told.iter().for_each(check);

    let mut batched = Vec::new();
    let mut tracker = Tracker::new(limits);
    tracker.on_batch(&packets, &mut |handshake, _| batched.push(handshake));
    let of_batch = tracker.finish(&mut |handshake, _| batched.push(handshake));
    assert_eq!((batched, of_batch), (told.clone(), statistics));

    let mut tally = Tally::new(TallyLimits { listeners: 4, clients: 4, scopes: 2 });
    tally.add(&told);
    let _ = diagnose_watched(&tally.finish().watched());
});

fn observed(packet: [u8; 7], record: u64, time_ns: &mut i64) -> Observed {
    let [who, flags, step, seq, ack, data, options] = packet;
    *time_ns += STEPS_US[usize::from(step & 15)] * 1000;
    let ips: [IpAddr; 2] = if who & 1 == 0 {
        [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()]
    } else {
        [[0xfd, 0, 0, 0, 0, 0, 0, 2].into(), [0xfd, 0, 0, 0, 0, 0, 0, 1].into()]
    };
    let ports = [40_000 + u16::from(who >> 1 & 3), 80];
    let ends = [0, 1].map(|end: usize| Address::new(ips[end], ports[end]));
    let (from, to) = if who & 8 == 0 { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
    let number = |byte: u8| BASES[usize::from(byte >> 6)].wrapping_add(u32::from(byte & 0x3f));
    let (time_ns, scope, seq, ack) = (*time_ns, u32::from(who >> 4 & 1), number(seq), number(ack));
    if who & 0xe0 == 0xe0 {
        let kind = if flags & 1 == 0 { IcmpKind::HostUnreachable } else { IcmpKind::TooBig };
        let reporter = to.ip();
        return Observed::IcmpError(IcmpError {
            time_ns,
            record,
            scope,
            reporter,
            kind,
            from,
            to,
            seq,
        });
    }
    let ip_id = if from.is_ipv4() { u16::from(options >> 4) * 1000 } else { 0 };
    Observed::Segment(TcpSegment {
        time_ns,
        record,
        interface: 0,
        scope,
        from,
        to,
        seq,
        ack,
        flags,
        window: 1000,
        payload: [0, 1, 10, 1460, 0, 0, 2, u32::MAX][usize::from(data & 7)],
        ttl: [64, 63, 60, 128, 250, 1, 0, 255][usize::from(data >> 3 & 7)],
        ip_id,
        options: SegmentOptions {
            mss: None,
            window_scale: (options & 1 != 0).then_some(options),
            sack_permitted: options & 2 != 0,
            timestamps: (options & 4 != 0).then_some(TimestampOption { value: seq, echo: ack }),
            fast_open: (options & 8 != 0).then_some(FastOpen::Cookie),
        },
        truncated: data & 0xc0 == 0xc0,
    })
}

/// What is told of an attempt.
fn check(handshake: &Handshake) {
    let Handshake { outcome, marks, syns, syn_acks, stages, .. } = handshake;
    assert_ne!(handshake.client, handshake.server);
    assert!(marks.is_sorted() && marks.windows(2).all(|two| two[0] != two[1]), "{handshake:?}");
    for sends in [syns, syn_acks] {
        assert!(sends.at_us.is_sorted() && sends.at_us.len() <= sends.count as usize);
        assert_eq!(sends.at_us.is_empty(), sends.count == 0);
    }
    let is_connected = stages.ack_ns.is_some();
    match outcome {
        Outcome::MidStream => {
            assert_eq!((syns.count, syn_acks.count, is_connected), (0, 0, false), "{handshake:?}");
        }
        Outcome::SynUnanswered | Outcome::Unreachable => assert_eq!(syn_acks.count, 0),
        Outcome::EstablishedLate { answered_syn } => {
            assert!((2..=syns.count).contains(&u32::from(*answered_syn)), "{handshake:?}");
        }
        // One is enough: the one before it may not be in the capture.
        Outcome::ThirdAckIgnored { .. } => assert!(syn_acks.count > 0 && is_connected),
        Outcome::ResetAfterAck | Outcome::Deferred => assert!(is_connected),
        Outcome::ThirdAckMissing => assert!(syn_acks.count > 0 && !is_connected),
        _ => {}
    }
}
