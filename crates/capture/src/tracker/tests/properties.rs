//! What holds for any packets.

use std::net::SocketAddr;

use proptest::prelude::*;

use crate::{Address, IcmpError, IcmpKind, Observed, SegmentOptions, TcpSegment, TimestampOption};

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
                    let error = IcmpError {
                        time_ns,
                        record,
                        scope: 0,
                        reporter,
                        kind,
                        from: from.into(),
                        to: to.into(),
                        seq,
                    };
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
                    from: from.into(),
                    to: to.into(),
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
    fn a_batch_is_the_same_as_its_packets_one_by_one(packets in segments(200)) {
        let (expected, statistics) = track(&packets, Limits::default());
        let mut told = Vec::new();
        let mut tracker = Tracker::new(Limits::default());
        tracker.on_batch(&packets, &mut |handshake, _| told.push(handshake));
        let found = tracker.finish(&mut |handshake, _| told.push(handshake));
        prop_assert_eq!((told, found), (expected, statistics));
    }

    #[test]
    fn times_and_numbers_can_be_anything(
        all in prop::collection::vec(
            (any::<(i64, u32, u32, u8)>(), any::<(u8, u16, bool, bool)>(), 0_u16..3, any::<u32>()),
            1..60,
        ),
    ) {
        let packets: Vec<Observed> = all
            .into_iter()
            .zip(1..)
            .map(|(((time_ns, seq, ack, flags), (ttl, ip_id, back, truncated), port, payload), record)| {
                let ends = ["10.0.0.1:80", "10.0.0.1:80", "10.0.0.2:7"];
                let to: Address = ends[usize::from(port)].parse().expect("an address");
                let from: Address = ends[0].parse().expect("an address");
                let (from, to) = if back { (to, from) } else { (from, to) };
                let options = SegmentOptions::default();
                let (interface, scope, window) = (0, 0, 0);
                Observed::Segment(TcpSegment {
                    time_ns, record, interface, scope, from, to, seq, ack, flags, window, payload, ttl,
                    ip_id, options, truncated,
                })
            })
            .collect();
        let (told, statistics) = track(&packets, Limits::default());
        prop_assert_eq!(told.len() as u64, statistics.handshakes);
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
        let from = Address::v4((0x0a00_0000 + number).to_be_bytes(), 999);
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

#[test]
fn a_live_watcher_is_told_of_connections_while_they_last() {
    let established_ns = Some(5_000_000_000);
    let mut tracker = Tracker::new(Limits { established_ns, ..Limits::default() });
    let script = "client 0 S\nserver 0.1 S.\nclient 0.1 .\nclient 1 P. +5\nserver 1 P. +5
        clock 3\nclock 30\nclient 31 P. +5\nclient 40 F.\nserver 40 F.\nclock 90";
    let mut told = Vec::new();
    let mut after = Vec::new();
    for packet in &packets(script, families()[0]) {
        tracker.on_observed(packet, &mut |handshake, _| told.push(handshake));
        after.push(told.len());
    }
    assert_eq!(after, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    let ours = told[0].client;
    tracker.finish(&mut |handshake, _| told.push(handshake));
    assert_eq!(told.iter().filter(|handshake| handshake.client == ours).count(), 1);
}

#[test]
fn time_that_passes_without_packets_ends_the_wait_for_an_answer() {
    let second = 1_000_000_000;
    let mut told = Vec::new();
    let mut tracker = Tracker::new(Limits::default());
    let packets = packets("client 0 S\nclient 1 S\nclient 140 S isn 9", families()[0]);
    let [Observed::Segment(first), again, Observed::Segment(late)] = packets[..] else {
        panic!("three segments");
    };
    tracker.on_clock(first.time_ns, &mut |_, _| panic!("nothing was seen yet"));
    for packet in [Observed::Segment(first), again] {
        tracker.on_observed(&packet, &mut |_, _| panic!("it is still open"));
    }
    for passed in (10..=150).step_by(10) {
        let now_ns = first.time_ns + passed * second;
        tracker.on_clock(now_ns, &mut |handshake, _| told.push((passed, handshake.outcome)));
    }
    // Flows are looked at every 16 s or so, and it waits for 130 s.
    assert_eq!(told, [(140, halfopen_evidence::Outcome::SynUnanswered)]);
    assert_eq!(tracker.flows(), 0);
    // The packets' own clock has not got that far.
    tracker.on_segment(&late, &mut |_, _| panic!("it is new"));
    assert_eq!((tracker.flows(), tracker.statistics().out_of_order), (1, 0));
}

#[test]
fn a_probe_two_hours_later_meets_the_flow_that_it_belongs_to() {
    let mut script =
        "client 0 S\nserver 0.1 S.\nclient 0.1 .\nserver 0.2 P. +5\nclient 0.2 .\n".to_owned();
    for minute in 1..120 {
        script += &format!("clock {}\n", minute * 60);
    }
    script += "client 7200.2 . seq 0\nserver 7200.3 R";
    let (told, statistics) = track(&packets(&script, families()[0]), Limits::default());
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].marks, [halfopen_evidence::Mark::HalfOpenClosed]);
    assert_eq!((statistics.strays, statistics.duplicates), (0, 0));
}

#[test]
fn scopes_and_their_numbers_keep_equal_addresses_apart() {
    let one = packets("client 0 S\nserver 0.1 R. seq 0 ack 1", families()[0]);
    let in_scope = |scope| {
        one.iter().map(move |packet| match packet {
            Observed::Segment(segment) => Observed::Segment(TcpSegment { scope, ..*segment }),
            other => *other,
        })
    };
    let mut tracker = Tracker::new(Limits::default());
    let mut scopes = Vec::new();
    for packet in in_scope(0).chain(in_scope(3)) {
        tracker.on_observed(&packet, &mut |_, scope| scopes.push(scope));
    }
    tracker.finish(&mut |_, scope| scopes.push(scope));
    scopes.sort_unstable();
    assert_eq!(scopes, [0, 3]);
}
