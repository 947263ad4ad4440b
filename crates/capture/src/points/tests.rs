//! Handshakes between two points, written packet by packet (`tracker::script`). A line that begins with
//! `lost` is seen at its sender's side alone, one that begins with `forged` at the other side alone.

use std::net::SocketAddr;

use halfopen_evidence::{IgnoredEnd, Located, Outcome};
use proptest::prelude::*;

use super::{Joined, Joiner, Relation, Survey};
use crate::script::{Ends, families, packets};
use crate::{Address, Limits, Observed, TcpSegment};

const MS: i64 = 1_000_000;

/// What lies between the points, and how they are given.
#[derive(Clone, Copy, Debug)]
struct Path {
    there_ns: i64,
    back_ns: i64,
    /// By how much the server's side's clock is ahead.
    ahead_ns: i64,
    /// Whether the server's side is given first.
    server_first: bool,
    /// What becomes of a segment on its way to the other side.
    change: fn(&mut TcpSegment),
    /// Packets that the capturing program of the server's side dropped.
    dropped: u64,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            there_ns: 10 * MS,
            back_ns: 20 * MS,
            ahead_ns: 3_600_000 * MS + 77,
            server_first: false,
            change: |_| {},
            dropped: 0,
        }
    }
}

/// A handshake as it should be, of another client, from this second on.
fn usual(port: u16, ends: Ends, second: u32) -> Vec<(bool, bool, Observed)> {
    let client = SocketAddr::new(ends.client.ip(), port);
    let isn = u32::from(port) * 1000;
    script(
        &format!(
            "client {second}.0 S isn {isn}\nserver {second}.015 S.\nclient {second}.050 .\n\
             client {second}.051 P. +9\nserver {second}.070 .\nclient {second}.1 F.\n\
             server {second}.12 F.\nclient {second}.15 ."
        ),
        Ends { client, ..ends },
    )
}

/// The packets of a script, with whether the sender's and the other side see them.
fn script(script: &str, ends: Ends) -> Vec<(bool, bool, Observed)> {
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let plain =
        |line: &&str| line.trim_start_matches("lost ").trim_start_matches("forged ").to_owned();
    let text: Vec<String> = lines.iter().map(plain).collect();
    let seen = lines.iter().map(|line| (!line.starts_with("forged"), !line.starts_with("lost")));
    let all = packets(&text.join("\n"), ends).into_iter().zip(seen);
    all.map(|(packet, (near, far))| (near, far, packet)).collect()
}

/// What each point captures, in the order of its time: the client's side first.
fn captures(all: &[(bool, bool, Observed)], ends: Ends, path: Path) -> [Vec<TcpSegment>; 2] {
    let mut captures = [Vec::new(), Vec::new()];
    for &(near, far, observed) in all {
        let Observed::Segment(segment) = observed else { continue };
        let by_client = segment.from.ip() == ends.client.ip();
        let is_clock = segment.from == ends.others[0];
        let sides = if by_client { [near, far] } else { [far, near] };
        let delays = match (is_clock, by_client) {
            (true, _) => [0, 0],
            (false, true) => [0, path.there_ns],
            (false, false) => [path.back_ns, 0],
        };
        for (side, capture) in captures.iter_mut().enumerate() {
            let ahead_ns = if side == 1 { path.ahead_ns } else { 0 };
            let mut copy = segment;
            copy.time_ns += delays[side] + ahead_ns;
            if side == usize::from(by_client) {
                (path.change)(&mut copy);
            }
            if sides[side] {
                capture.push(copy);
            }
        }
    }
    for capture in &mut captures {
        capture.sort_by_key(|segment: &TcpSegment| segment.time_ns);
    }
    captures
}

fn relation(captures: &[Vec<TcpSegment>; 2], dropped: [u64; 2]) -> Relation {
    let surveys: Vec<Survey> = captures
        .iter()
        .zip(dropped)
        .map(|(capture, dropped)| {
            let mut survey = Survey::default();
            let times = || capture.iter().map(|segment| segment.time_ns);
            survey.covers(times().min().zip(times().max()), dropped);
            for segment in capture {
                survey.add(&Observed::Segment(*segment));
            }
            survey
        })
        .collect();
    Relation::of(&surveys[0], &surveys[1])
}

/// What is told of handshakes among the usual ones, and what the points have to do with each other.
fn play(text: &str, ends: Ends, path: Path) -> (Relation, Vec<Joined>) {
    let mut all = usual(50_001, ends, 0);
    all.extend(usual(50_002, ends, 1));
    all.extend(script(text, ends));
    all.extend(usual(50_003, ends, 200));
    let mut captures = captures(&all, ends, path);
    let mut dropped = [0, path.dropped];
    if path.server_first {
        captures.reverse();
        dropped.reverse();
    }
    let relation = relation(&captures, dropped);
    let told = join(&captures, &relation, Limits::default());
    (relation, told)
}

fn join(captures: &[Vec<TcpSegment>; 2], relation: &Relation, limits: Limits) -> Vec<Joined> {
    let clock = relation.clock.expect("a clock");
    let mut merged: Vec<(usize, TcpSegment)> = Vec::new();
    for (point, capture) in captures.iter().enumerate() {
        merged.extend(capture.iter().map(|segment| {
            let time_ns =
                if point == 0 { segment.time_ns } else { clock.corrected(segment.time_ns) };
            (point, TcpSegment { time_ns, ..*segment })
        }));
    }
    merged.sort_by_key(|(_, segment)| segment.time_ns);
    let mut told = Vec::new();
    let mut joiner = Joiner::new(limits, relation.clone());
    for (point, segment) in merged {
        joiner.on_observed(point, &Observed::Segment(segment), &mut |one| told.push(one));
    }
    joiner.finish(&mut |one| told.push(one));
    told
}

/// The outcome and what was located of the one that is not usual, for both families and both orders.
fn check(text: &str, path: Path, outcome: Outcome, located: &[Located]) {
    for ends in families() {
        for server_first in [false, true] {
            let (_, told) = play(text, ends, Path { server_first, ..path });
            let own: Vec<&Joined> =
                told.iter().filter(|one| one.handshake.client.port() == 40_000).collect();
            assert_eq!(own.len(), 1, "{own:#?}");
            let crossing = own[0].crossing.as_ref();
            let found = crossing.map(|it| it.located.clone()).unwrap_or_default();
            assert_eq!(
                (own[0].handshake.outcome, found.as_slice()),
                (outcome, located),
                "{own:#?}"
            );
            let usual = told.iter().filter(|one| one.handshake.client.port() > 50_000);
            let usual: Vec<Outcome> = usual.map(|one| one.handshake.outcome).collect();
            assert_eq!(usual, [Outcome::Established; 3], "{told:#?}");
        }
    }
}

#[test]
fn a_handshake_that_passes_both_points_is_told_once_with_its_ways() {
    let ends = families()[0];
    let (relation, told) = play("", ends, Path::default());
    assert_eq!(told.len(), 3);
    for one in &told {
        let crossing = one.crossing.as_ref().expect("a crossing");
        assert_eq!((crossing.client_side, crossing.located.len()), (0, 0));
        assert_eq!((crossing.syn.sent, crossing.syn.arrived, crossing.ack.lost), (1, 1, 0));
        let took = [crossing.syn.took_ns, crossing.syn_ack.took_ns].map(|ns| ns.expect("a time"));
        assert_eq!(took[0] + took[1], 30 * MS);
        assert_eq!(one.handshake.stages.connect_ns, Some(50_000_000));
    }
    let clock = relation.clock.expect("a clock");
    assert_eq!(clock.within_ns, Some(15_000_000), "half the way there and back");
    assert_eq!(relation.round_trip_ns, Some(30_000_000));
    assert!(clock.offset_ns.abs_diff(Path::default().ahead_ns) <= 15_000_000);
    assert!(relation.is_of_two_points());
}

#[test]
fn a_syn_that_is_lost_between_is_told_from_one_that_the_server_drops() {
    let lost = "lost client 10.0 S\nlost client 11.0 S\nlost client 13.0 S\nclock 150";
    check(lost, Path::default(), Outcome::SynUnanswered, &[Located::SynLost]);
    let dropped = "client 10.0 S\nclient 11.0 S\nclient 13.0 S\nclock 150";
    check(dropped, Path::default(), Outcome::SynUnanswered, &[Located::SynIgnored]);
    let late = "lost client 10.0 S\nclient 11.0 S\nserver 11.015 S.\nclient 11.050 .";
    let answered = Outcome::EstablishedLate { answered_syn: 2 };
    check(late, Path::default(), answered, &[Located::SynLost]);
    let ignored = "client 10.0 S\nclient 11.0 S\nserver 11.015 S.\nclient 11.050 .";
    check(ignored, Path::default(), answered, &[Located::SynIgnored]);
}

#[test]
fn a_syn_ack_that_is_lost_between_is_located() {
    let lost = "client 10.0 S\nlost server 10.015 S.\nclient 11.0 S\nlost server 11.015 S.\n\
                lost server 12.0 S.\nclient 13.0 S\nlost server 13.1 S.\nclock 150";
    check(lost, Path::default(), Outcome::ThirdAckMissing, &[Located::SynAckLost]);
    let silent = "client 10.0 S\nserver 10.015 S.\nserver 11.015 S.\nserver 13.015 S.\nclock 150";
    check(silent, Path::default(), Outcome::ThirdAckMissing, &[]);
}

#[test]
fn a_third_ack_that_is_lost_is_told_from_one_that_the_server_ignores() {
    let lost = "client 10.0 S\nserver 10.015 S.\nlost client 10.050 .\nlost client 10.051 P. +9\n\
                server 11.015 S.\nlost client 11.050 .\nserver 13.015 S.\nlost client 13.05 .\n\
                clock 150";
    check(lost, Path::default(), Outcome::ThirdAckMissing, &[Located::AckLost]);
    let ignored = "client 10.0 S\nserver 10.015 S.\nclient 10.050 .\nclient 10.051 P. +9\n\
                   server 11.015 S.\nclient 11.050 .\nserver 13.015 S.\nclient 13.05 .\nclock 150";
    let outcome = Outcome::ThirdAckIgnored { ended: IgnoredEnd::Open };
    check(ignored, Path::default(), outcome, &[Located::AckIgnored]);
    let by_data = "client 10.0 S\nserver 10.015 S.\nlost client 10.050 .\nclient 10.051 P. +9\n\
                   server 10.1 .";
    check(by_data, Path::default(), Outcome::Established, &[]);
}

#[test]
fn data_that_is_lost_behind_its_ack_is_located() {
    let lost = "client 10.0 S\nserver 10.015 S.\nclient 10.050 .\nlost client 10.051 P. +1400\n\
                lost client 10.3 P. +1400 seq 1\nclock 150";
    check(lost, Path::default(), Outcome::Established, &[Located::RequestLost]);
    let arrived = "client 10.0 S\nserver 10.015 S.\nclient 10.050 .\nclient 10.051 P. +1400\n\
                   server 10.08 .";
    check(arrived, Path::default(), Outcome::Established, &[]);
}

#[test]
fn a_reset_that_the_server_did_not_send_is_a_middleboxs() {
    let forged = "client 10.0 S\nforged server 10.001 R. seq 0\nserver 10.015 S.\n";
    check(forged, Path::default(), Outcome::ResetByMiddlebox, &[Located::ResetNotByServer]);
    let own = "client 10.0 S\nserver 10.015 R. seq 0";
    check(own, Path::default(), Outcome::Refused, &[]);
    fn reroute(segment: &mut TcpSegment) {
        segment.ttl -= if segment.flags & 4 == 0 { 3 } else { 20 };
    }
    let odd_at_the_client = Path { change: reroute, ..Path::default() };
    let late = "client 10.0 S\nserver 10.015 S.\nclient 10.050 .\nserver 10.051 R";
    check(late, odd_at_the_client, Outcome::ResetAfterAck, &[]);
    let in_the_clients_name = "client 10.0 S\nserver 10.015 S.\nforged client 10.02 R seq 1\n\
                               client 10.050 .\nserver 10.07 R";
    let located = &[Located::ResetNotByClient];
    check(in_the_clients_name, Path::default(), Outcome::ResetByMiddlebox, located);
}

#[test]
fn a_blocked_syn_that_a_middlebox_refuses_reaches_no_server() {
    let text = "lost client 10.0 S\nforged server 10.001 R. seq 0\nclock 150";
    let located = &[Located::SynLost, Located::ResetNotByServer];
    check(text, Path::default(), Outcome::ResetByMiddlebox, located);
}

#[test]
fn what_a_capture_may_have_missed_is_not_called_lost() {
    let lost = "lost client 10.0 S\nlost client 11.0 S\nlost client 13.0 S\nclock 150";
    let dropping = Path { dropped: 3, ..Path::default() };
    check(lost, dropping, Outcome::SynUnanswered, &[]);
    let ends = families()[0];
    let mut all = usual(50_001, ends, 0);
    all.extend(script("lost client 10.0 S\nlost client 11.0 S", ends));
    let captures = captures(&all, ends, Path::default());
    let told = join(&captures, &relation(&captures, [0, 0]), Limits::default());
    let located = |port| {
        let one = told.iter().find(|it| it.handshake.client.port() == port).expect("it is told");
        one.crossing.clone().map(|it| it.located)
    };
    assert_eq!(located(40_000), None, "the other capture had ended, for all that is known");
    assert_eq!(located(50_001), Some(Vec::new()));
}

#[test]
fn addresses_that_are_rewritten_are_joined_by_numbers() {
    fn translate(segment: &mut TcpSegment) {
        // Towards the server the client's address and port change, towards the client they change back.
        let rename = |address: Address| match address.port() {
            80 => address,
            port => Address::new(
                if address.is_ipv4() {
                    [192, 0, 2, 1].into()
                } else {
                    [0xfd00, 9, 0, 0, 0, 0, 0, 9].into()
                },
                port ^ 1,
            ),
        };
        (segment.from, segment.to) = (rename(segment.from), rename(segment.to));
    }
    for ends in families() {
        let mut all = usual(50_001, ends, 0);
        all.extend(usual(50_003, ends, 1));
        all.extend(script(
            "client 10.0 S\nserver 10.015 S.\nlost client 10.050 .\nserver 11.015 S.\nclock 30",
            ends,
        ));
        let mut captures = captures(&all, ends, Path::default());
        captures[1].iter_mut().filter(|it| it.to != ends.others[1]).for_each(translate);
        let relation = relation(&captures, [0, 0]);
        let told = join(&captures, &relation, Limits::default());
        let own = told.iter().find(|one| one.handshake.client == ends.client).expect("it is told");
        let crossing = own.crossing.as_ref().expect("a crossing");
        assert_eq!(crossing.located, [Located::AckLost, Located::Translated], "{own:?}");
        assert_eq!(crossing.translated.map(|(client, _)| client.port()), Some(40_001));
        assert_eq!(told.iter().filter(|one| one.crossing.is_some()).count(), 3, "{told:#?}");
    }
}

#[test]
fn numbers_that_are_rewritten_are_said_and_nothing_is_called_lost() {
    let ends = families()[1];
    let mut all = usual(50_001, ends, 0);
    all.extend(script("client 10.0 S\nserver 10.015 S.\nclient 10.05 .\nclock 30", ends));
    let mut captures = captures(&all, ends, Path::default());
    for segment in captures[1].iter_mut().filter(|it| it.from.port() == 40_000) {
        segment.seq = segment.seq.wrapping_add(123_456);
    }
    for segment in captures[1].iter_mut().filter(|it| it.to.port() == 40_000) {
        segment.ack = segment.ack.wrapping_add(123_456);
    }
    let told = join(&captures, &relation(&captures, [0, 0]), Limits::default());
    let own: Vec<&Joined> = told.iter().filter(|it| it.handshake.client == ends.client).collect();
    assert_eq!(own.len(), 1, "{own:#?}");
    let located = own[0].crossing.as_ref().map(|it| it.located.as_slice());
    assert_eq!(located, Some(&[Located::Renumbered][..]));
}

#[test]
fn options_that_are_changed_on_the_way_are_told() {
    fn strip(segment: &mut TcpSegment) {
        segment.options.window_scale = None;
        segment.options.mss = (segment.flags & 2 != 0).then_some(1380);
    }
    let text = "client 10.0 S ws 7 sack\nserver 10.015 S. sack\nclient 10.050 .";
    let path = Path { change: strip, ..Path::default() };
    let located = &[Located::MssChanged, Located::WindowScaleChanged];
    check(text, path, Outcome::Established, located);
    check(text, Path::default(), Outcome::Established, &[]);
}

#[test]
fn captures_with_nothing_in_common_are_not_two_points() {
    let ends = families()[0];
    let one = captures(&usual(50_001, ends, 0), ends, Path::default());
    let other = captures(&usual(50_002, ends, 5), ends, Path::default());
    let strangers = relation(&[one[0].clone(), other[0].clone()], [0, 0]);
    assert!(!strangers.is_of_two_points() && strangers.shared == 0);
    // A capture that was cut into two pieces, with SYNs that are sent again on both sides of the cut.
    let again: Vec<_> = (0..5_u16)
        .flat_map(|n| {
            let client = SocketAddr::new(ends.client.ip(), 40_000 + n);
            script(&format!("client 0.{n} S isn {n}\nclient 1.0{n} S"), Ends { client, ..ends })
        })
        .collect();
    let whole = &captures(&again, ends, Path::default())[0];
    let (first, second): (Vec<TcpSegment>, Vec<TcpSegment>) =
        whole.iter().partition(|segment| segment.time_ns % 1_000_000_000_000 < 900 * MS);
    assert!(!relation(&[first, second], [0, 0]).is_of_two_points());
}

#[test]
fn answers_past_a_point_leave_losses_unsaid() {
    let ends = families()[0];
    let mut all = usual(50_001, ends, 0);
    // Of one server behind an address of several: others answer past it.
    let past = usual(50_007, ends, 3);
    let text = "lost client 10.0 S\nlost client 11.0 S\nlost client 13.0 S\nclock 150";
    all.extend(script(text, ends));
    all.extend(usual(50_003, ends, 200));
    let mut captures = captures(&all, ends, Path::default());
    captures[0].extend(self::captures(&past, ends, Path::default())[0].iter());
    captures[0].sort_by_key(|segment| segment.time_ns);
    let told = join(&captures, &relation(&captures, [0, 0]), Limits::default());
    let own = told.iter().find(|one| one.handshake.client == ends.client).expect("it is told");
    assert_eq!(own.crossing, None);
}

#[test]
fn a_listener_of_which_the_servers_side_has_nothing_may_have_been_left_out() {
    for ends in families() {
        let mut all = usual(50_001, ends, 0);
        let server = SocketAddr::new(ends.server.ip(), 443);
        let text = "lost client 10.0 S\nlost client 11.0 S\nlost client 13.0 S\nclock 150";
        all.extend(script(text, Ends { server, ..ends }));
        all.extend(usual(50_003, ends, 200));
        let captures = captures(&all, ends, Path::default());
        let told = join(&captures, &relation(&captures, [0, 0]), Limits::default());
        let own = told.iter().find(|one| one.handshake.server == server).expect("it is told");
        let located = own.crossing.as_ref().map(|it| it.located.as_slice());
        assert_eq!(located, Some(&[Located::SynUnseen][..]));
    }
}

#[test]
fn memory_is_bounded_and_what_goes_is_counted() {
    let ends = families()[0];
    let all: Vec<_> = (0..200).flat_map(|n| usual(50_000 + n, ends, u32::from(n) / 50)).collect();
    let captures = captures(&all, ends, Path::default());
    let relation = relation(&captures, [0, 0]);
    let mut merged: Vec<(usize, TcpSegment)> = Vec::new();
    for (point, capture) in captures.iter().enumerate() {
        merged.extend(capture.iter().map(|segment| {
            let ahead_ns = if point == 0 { 0 } else { Path::default().ahead_ns };
            (point, TcpSegment { time_ns: segment.time_ns - ahead_ns, ..*segment })
        }));
    }
    merged.sort_by_key(|(_, segment)| segment.time_ns);
    for max_flows in [1, 8, 60] {
        let mut told: Vec<Joined> = Vec::new();
        let few = Limits { max_flows, ..Limits::default() };
        let mut joiner = Joiner::new(few, relation.clone());
        for &(point, segment) in &merged {
            joiner.on_observed(point, &Observed::Segment(segment), &mut |one| told.push(one));
        }
        joiner.finish(&mut |one| told.push(one));
        let evicted = joiner.evicted();
        assert!(evicted > 0 && told.len() >= 200, "{} told, {evicted} evicted", told.len());
        let joined = joiner.joined();
        assert!(joined <= 200, "{joined}: what is left of a handshake is not another one");
        let located: Vec<Located> = told
            .iter()
            .flat_map(|one| one.crossing.iter().flat_map(|it| it.located.clone()))
            .collect();
        assert_eq!(located, [], "what was forgotten is not called lost");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_estimated_clock_holds_the_true_one_whatever_is_lost(
        handshakes in prop::collection::vec((0_u32..100, 0_u8..16, 1_i64..400, 1_i64..400), 1..40),
        ahead_ns in -1_000_000_000_000_i64..1_000_000_000_000,
        v6 in any::<bool>(),
        server_first in any::<bool>(),
    ) {
        let ends = families()[usize::from(v6)];
        let mut both: [Vec<TcpSegment>; 2] = [Vec::new(), Vec::new()];
        for (port, &(second, lost, there, back)) in (30_000..).zip(&handshakes) {
            let mut all = usual(port, ends, second);
            all[0].1 = lost & 1 == 0;
            all[1].1 = lost & 2 == 0;
            all[2].1 = lost & 4 == 0;
            let (there_ns, back_ns) = (there * MS / 2, back * MS / 2);
            let path = Path { there_ns, back_ns, ahead_ns, ..Path::default() };
            for (side, capture) in captures(&all, ends, path).into_iter().enumerate() {
                both[side].extend(capture);
            }
        }
        both.iter_mut().for_each(|capture| capture.sort_by_key(|segment| segment.time_ns));
        let mut offset_ns = ahead_ns;
        if server_first {
            both.reverse();
            offset_ns = -ahead_ns;
        }
        let clock = relation(&both, [0, 0]).clock;
        if let Some((clock, within_ns)) = clock.and_then(|it| Some((it, it.within_ns?))) {
            prop_assert!(clock.offset_ns.abs_diff(offset_ns) <= within_ns, "{clock:?}");
        }
    }
}

/// Any segments of a few flows, at either point.
fn anything() -> impl Strategy<Value = Vec<(usize, TcpSegment)>> {
    let flags = prop::sample::select(vec![2_u8, 2, 18, 18, 16, 16, 24, 17, 4, 20, 0, 255]);
    let one =
        (0_usize..2, any::<bool>(), flags, 0_u16..3, (0_u32..4, 0_u32..4, 0_u32..3), 0_i64..3);
    prop::collection::vec(one, 0..120).prop_map(|all| {
        let Observed::Segment(blank) = packets("client 0.0 S", families()[0])[0] else {
            unreachable!("a SYN is a segment")
        };
        let mut time_ns = blank.time_ns;
        all.into_iter()
            .map(|(point, back, flags, port, (seq, ack, payload), step)| {
                time_ns += [0, 5 * MS, 1_100 * MS][usize::try_from(step).unwrap_or(0)];
                let client = Address::new(blank.from.ip(), 40_000 + port);
                let (from, to) = if back { (blank.to, client) } else { (client, blank.to) };
                let (seq, ack) = (seq.wrapping_sub(2), ack.wrapping_sub(1));
                (point, TcpSegment { time_ns, from, to, flags, seq, ack, payload, ..blank })
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn each_handshake_that_a_tracker_finds_is_told_once(all in anything(), few in any::<bool>()) {
        let mut captures = [Vec::new(), Vec::new()];
        for &(point, segment) in &all {
            captures[point].push(segment);
        }
        let max_flows = if few { 2 } else { 1000 };
        let mut told = 0;
        let relation = relation(&captures, [0, 0]);
        let mut joiner = Joiner::new(Limits { max_flows, ..Limits::default() }, relation);
        for (point, segment) in all {
            joiner.on_observed(point, &Observed::Segment(segment), &mut |_| told += 1);
        }
        joiner.finish(&mut |_| told += 1);
        prop_assert_eq!(told + joiner.joined(), joiner.statistics().handshakes);
    }
}
