//! What holds for any packets.

use std::net::SocketAddr;

use proptest::prelude::*;

use crate::{IcmpError, IcmpKind, Observed, SegmentOptions, TcpSegment, TimestampOption};

use super::super::Tracker;
use super::{Limits, families, packets, track};

fn segments(most: usize) -> impl Strategy<Value = Vec<Observed>> {
    let flags = prop::sample::select(vec![2_u8, 2, 18, 18, 16, 16, 24, 17, 4, 20, 0, 6, 255]);
    let one = (
        (0_i64..5_000_000_000, any::<bool>(), 0_u16..4, any::<bool>()),
        (flags, 0_u32..4, 0_u32..4, 0_u32..3),
        (any::<bool>(), any::<bool>(), 0_u8..200, 0_u16..3),
    );
    prop::collection::vec(one, 1..most).prop_map(|all| {
        let mut time_ns = 1_700_000_000_000_000_000;
        let numbered = all.into_iter().zip(1..);
        numbered
            .map(|(((step, v6, port, back), (flags, seq, ack, payload), last), record)| {
                time_ns += if step % 3 == 0 { step } else { step % 3_000_000 };
                if step % 17 == 0 {
                    time_ns -= 2_000_000;
                }
                let ip = if v6 { ["fd00::1", "fd00::2"] } else { ["10.0.0.1", "10.0.0.2"] };
                let ip = ip.map(|ip| ip.parse().expect("an address"));
                let ends = [SocketAddr::new(ip[0], 1000 + port), SocketAddr::new(ip[1], 80)];
                let (from, to) = if back { (ends[1], ends[0]) } else { (ends[0], ends[1]) };
                let (is_icmp, truncated, ttl, ip_id) = last;
                let seq = (seq * 3).wrapping_sub(2);
                if is_icmp && step % 5 == 0 {
                    let (reporter, kind) = (ends[1].ip(), IcmpKind::HostUnreachable);
                    let error =
                        IcmpError { time_ns, record, scope: 0, reporter, kind, from, to, seq };
                    return Observed::IcmpError(error);
                }
                let stamp = TimestampOption { value: seq, echo: ack };
                let timestamps = truncated.then_some(stamp);
                let options = SegmentOptions { timestamps, ..SegmentOptions::default() };
                Observed::Segment(TcpSegment {
                    time_ns,
                    record,
                    interface: 0,
                    scope: 0,
                    from,
                    to,
                    seq,
                    ack: ack * 3,
                    flags,
                    window: 1,
                    payload,
                    ttl,
                    ip_id,
                    options,
                    truncated,
                })
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn each_attempt_is_told_exactly_once_whatever_comes(packets in segments(300)) {
        for limits in [Limits::default(), Limits { max_flows: 2, ..Limits::default() }] {
            let (told, statistics) = track(&packets, limits);
            prop_assert_eq!(told.len() as u64, statistics.handshakes);
            prop_assert!(statistics.most_flows <= limits.max_flows);
        }
    }

    #[test]
    fn each_new_sequence_number_of_a_syn_is_told(isns in prop::collection::vec(any::<u32>(), 1..40)) {
        let ends = families()[0];
        let script: Vec<String> = isns
            .iter()
            .zip(0..)
            .map(|(isn, second)| format!("client {second} S isn {isn}"))
            .collect();
        let (told, _) = track(&packets(&script.join("\n"), ends), Limits::default());
        let mut attempts = isns;
        attempts.dedup();
        prop_assert_eq!(told.len(), attempts.len());
    }

    /// Times say how it was; the order of the records is another within five milliseconds.
    #[test]
    fn the_order_of_recording_does_not_matter_within_the_window(
        script in prop::sample::select(ORDERED.to_vec()),
        late in prop::collection::vec(0_i64..2_400_000, 20),
        v6 in any::<bool>(),
    ) {
        let ends = families()[usize::from(v6)];
        let packets = packets(script, ends);
        let mut recorded: Vec<(i64, Observed)> = packets
            .iter()
            .zip(late)
            .map(|(packet, late)| (time_ns(packet) + late, *packet))
            .collect();
        recorded.sort_by_key(|&(recorded_ns, _)| recorded_ns);
        let recorded: Vec<Observed> = recorded.into_iter().map(|(_, packet)| packet).collect();
        let (expected, _) = track(&packets, Limits::default());
        let (found, _) = track(&recorded, Limits::default());
        prop_assert_eq!(found, expected);
    }
}

const ORDERED: [&str; 6] = [
    "client 0.0000 S\nserver 0.0001 S.\nclient 0.0002 .\nclient 0.0003 P. +10\nserver 0.0004 .
     server 0.0005 P. +20\nclient 0.0006 .\nclient 0.0020 F.\nserver 0.0030 F.\nclient 0.0031 .",
    "client 0.0000 S\nserver 0.0001 R. seq 0 ack 1\nclient 0.5000 S\nserver 0.5001 R. seq 0 ack 1",
    "client 0.0000 S\nserver 0.0001 S.\nclient 0.0002 .\nserver 0.0003 R",
    "client 0.0000 S\nserver 0.0001 S.\nclient 0.0002 .\nserver 1.0000 S.\nclient 1.0001 .
     server 3.0000 S.\nclient 3.0001 .\nclient 60.0000 .\nserver 60.0100 R",
    "client 0.0000 S ts 5/0\nclient 1.0000 S ts 6/0\nserver 1.0001 S. ts 9/6\nclient 1.0002 . ts 7/9
     client 1.0010 P. +10 ts 7/9\nserver 1.0020 . ts 9/7",
    "client 0.0000 S\nclient 1.0000 S\nclient 3.0000 S",
];

fn time_ns(packet: &Observed) -> i64 {
    match packet {
        Observed::Segment(segment) => segment.time_ns,
        Observed::IcmpError(error) => error.time_ns,
        Observed::Other => 0,
    }
}

#[test]
fn memory_stays_within_the_bound_in_a_flood() {
    let limits = Limits { max_flows: 10_000, ..Limits::default() };
    let mut tracker = Tracker::new(limits);
    let mut told = 0_u64;
    let ends = families()[0];
    let [Observed::Segment(syn)] = packets("client 0 S", ends)[..] else {
        panic!("a segment");
    };
    for number in 0..60_000_u32 {
        let from = SocketAddr::from(((0x0a00_0000 + number).to_be_bytes(), 999));
        let time_ns = syn.time_ns + i64::from(number) * 1000;
        let syn = TcpSegment { from, time_ns, ..syn };
        tracker.on_segment(&syn, &mut |_, _| told += 1);
    }
    assert_eq!((tracker.flows(), told), (10_000, 50_000));
    assert!(tracker.bytes() < 10_000 * 220, "{}", tracker.bytes());
    let statistics = tracker.finish(&mut |_, _| told += 1);
    assert_eq!((told, statistics.evicted), (60_000, 50_000));
}

#[test]
fn a_flow_that_was_closed_is_told_soon_and_forgotten_later() {
    let script =
        "client 0 S\nserver 0.1 R. seq 0 ack 1\nclock 1\nclock 30\nclock 50\nclock 90\nclock 120";
    let packets = packets(script, families()[0]);
    let mut told = Vec::new();
    let mut tracker = Tracker::new(Limits::default());
    let mut after = Vec::new();
    for packet in &packets {
        tracker.on_observed(packet, &mut |handshake, _| told.push(handshake));
        after.push((told.len(), tracker.flows()));
    }
    assert_eq!(after, [(0, 1), (0, 1), (0, 2), (1, 2), (1, 2), (1, 1), (1, 1)]);
}
