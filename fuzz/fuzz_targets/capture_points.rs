//! Packets that two points on a path saw, or one of them: each handshake is told once, whatever is known
//! of the clocks, and what is located does not contradict what was counted.
//!
//! The first byte chooses the limits, the order of the points and the clocks; each seven after it are a
//! packet. Numbers and times are few, so that packets meet.

#![no_main]

use std::collections::BTreeSet;
use std::net::IpAddr;

use halfopen_capture::{
    Address, Joined, Joiner, Limits, Observed, Relation, SegmentOptions, Survey, TcpSegment,
    TimestampOption,
};
use halfopen_evidence::{Crossing, Located};
use libfuzzer_sys::fuzz_target;

const MS: i64 = 1_000_000;
const BEGIN_NS: i64 = 1_700_000_000_000_000_000;

/// From one packet to the next, in milliseconds.
const STEPS_MS: [i64; 8] = [0, 1, 20, 400, 1_000, 3_000, 70_000, -3];

/// By how much the clock of the second point is ahead, in milliseconds.
const AHEAD_MS: [i64; 4] = [0, 250, -3_600_000, 1_000_000_000_000];

/// On the way from one point to the other, in milliseconds.
const WAY_MS: i64 = 10;

/// The client has another port at the server's side.
const TRANSLATED: u8 = 4;

const FLAGS: [u8; 16] = [2, 2, 18, 18, 16, 16, 16, 24, 17, 17, 4, 20, 0, 255, 194, 82];

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, packets)) = bytes.split_first() else { return };
    let path = Path::of(first);
    let mut now_ns = BEGIN_NS;
    let seen: Vec<(usize, TcpSegment)> = packets
        .as_chunks()
        .0
        .iter()
        .zip(1..)
        .flat_map(|(packet, record)| path.seen(*packet, record, &mut now_ns))
        .flatten()
        .collect();
    let captures = [0, 1].map(|point| path.capture(&seen, point));
    let surveys = captures.each_ref().map(|capture| survey(capture, path.dropped));
    let relation = Relation::of(&surveys[0], &surveys[1]);
    if let Some(clock) = relation.clock {
        assert!(clock.agreeing <= clock.of && clock.of > 0);
    }
    let merged = in_order(&captures, &relation);

    let mut told = Vec::new();
    let limits = Limits { max_flows: path.max_flows, ..Limits::default() };
    let mut joiner = Joiner::new(limits, relation);
    for (point, segment) in &merged {
        joiner.on_observed(*point, &Observed::Segment(*segment), &mut |one| told.push(one));
    }
    joiner.finish(&mut |one| told.push(one));
    assert_eq!(told.len() as u64 + joiner.joined(), joiner.statistics().handshakes);
    let records: BTreeSet<u64> = told.iter().map(|one| one.handshake.first_record).collect();
    assert_eq!(records.len(), told.len(), "no two begin with the same packet");
    told.iter().for_each(check);
});

/// What the first byte says.
struct Path {
    max_flows: usize,
    ahead_ns: i64,
    second_is_clients: bool,
    dropped: u64,
}

impl Path {
    fn of(byte: u8) -> Self {
        Self {
            max_flows: [1, 2, 5, 1_000_000][usize::from(byte & 3)],
            ahead_ns: AHEAD_MS[usize::from(byte >> 2 & 3)] * MS,
            second_is_clients: byte & 16 != 0,
            dropped: u64::from(byte >> 5 & 1),
        }
    }

    /// A packet as each point sees it, if it does.
    fn seen(
        &self,
        [who, what, step, seq, ack, data, change]: [u8; 7],
        record: u64,
        now_ns: &mut i64,
    ) -> [Option<(usize, TcpSegment)>; 2] {
        *now_ns += STEPS_MS[usize::from(step & 7)] * MS;
        let ips: [IpAddr; 2] = if who & 1 == 0 {
            [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()]
        } else {
            [[0xfd, 0, 0, 0, 0, 0, 0, 2].into(), [0xfd, 0, 0, 0, 0, 0, 0, 1].into()]
        };
        let client = Address::new(ips[0], 40_000 + u16::from(who >> 1 & 3));
        let server = Address::new(ips[1], 80 + u16::from(who >> 3 & 1));
        let is_of_client = who & 16 == 0;
        let number = |byte: u8| u32::from(byte & 7).wrapping_sub(u32::from(byte >> 3 & 1) * 4);
        let timestamps = (change & 4 != 0)
            .then_some(TimestampOption { value: u32::from(step >> 3), echo: number(ack) });
        let (from, to) = if is_of_client { (client, server) } else { (server, client) };
        let sent = TcpSegment {
            time_ns: *now_ns,
            record,
            interface: 0,
            scope: u32::from(change & 1),
            from,
            to,
            seq: number(seq),
            ack: number(ack),
            flags: FLAGS[usize::from(what & 15)],
            window: 1000,
            payload: [0, 0, 1, 10, 1460, 0, 0, u32::MAX][usize::from(data & 7)],
            ttl: 64,
            ip_id: 0,
            options: SegmentOptions {
                mss: (change & 2 != 0).then_some(1460),
                window_scale: (change & 8 != 0).then_some(7),
                sack_permitted: change & 2 != 0,
                timestamps,
                fast_open: None,
            },
            truncated: data & 0xc0 == 0xc0,
        };
        let is_seen = [what & 0x10 == 0, what & 0x20 == 0];
        [0, 1].map(|side: usize| {
            let point = if self.second_is_clients { 1 - side } else { side };
            let record = 2 * record + point as u64;
            let mut segment = TcpSegment { record, ..sent };
            if side == usize::from(is_of_client) {
                segment.time_ns += WAY_MS * MS;
                change_on_the_way(&mut segment, change >> 4);
            }
            if side == 1 && change >> 4 == TRANSLATED {
                let end = if is_of_client { &mut segment.from } else { &mut segment.to };
                *end = Address::new(end.ip(), 61_000);
            }
            is_seen[side].then_some((point, segment))
        })
    }

    /// What a point captures, by its own clock.
    fn capture(&self, seen: &[(usize, TcpSegment)], point: usize) -> Vec<TcpSegment> {
        let ahead_ns = if point == 1 { self.ahead_ns } else { 0 };
        let own = seen.iter().filter(|(of, _)| *of == point);
        let mut capture: Vec<TcpSegment> = own
            .map(|(_, segment)| TcpSegment { time_ns: segment.time_ns + ahead_ns, ..*segment })
            .collect();
        capture.sort_by_key(|segment| segment.time_ns);
        capture
    }
}

/// What is done to a packet on its way.
fn change_on_the_way(segment: &mut TcpSegment, how: u8) {
    match how {
        1 => segment.options.mss = Some(1200),
        2 => segment.options.timestamps = None,
        3 => segment.seq ^= 0x5555_0000,
        _ => {}
    }
}

fn survey(capture: &[TcpSegment], dropped: u64) -> Survey {
    let mut survey = Survey::default();
    let times = || capture.iter().map(|segment| segment.time_ns);
    survey.covers(times().min().zip(times().max()), dropped);
    capture.iter().for_each(|segment| survey.add(&Observed::Segment(*segment)));
    survey
}

/// Both captures by the first point's clock, as far as that is known.
fn in_order(captures: &[Vec<TcpSegment>; 2], relation: &Relation) -> Vec<(usize, TcpSegment)> {
    let corrected = |point: usize, time_ns: i64| {
        let clock = relation.clock.filter(|_| point == 1);
        clock.map_or(time_ns, |clock| clock.corrected(time_ns))
    };
    let mut merged: Vec<(usize, TcpSegment)> = [0, 1]
        .into_iter()
        .flat_map(|point| captures[point].iter().map(move |segment| (point, *segment)))
        .map(|(point, it)| (point, TcpSegment { time_ns: corrected(point, it.time_ns), ..it }))
        .collect();
    merged.sort_by_key(|(_, segment)| segment.time_ns);
    merged
}

/// What is told of a handshake.
fn check(Joined { handshake, crossing, .. }: &Joined) {
    assert_ne!(handshake.client, handshake.server);
    assert!(handshake.marks.is_sorted(), "{handshake:?}");
    let Some(crossing) = crossing else { return };
    let Crossing { client_side, translated, syn, syn_ack, ack, located } = &**crossing;
    assert!(*client_side < 2);
    assert_eq!(translated.is_some(), located.contains(&Located::Translated), "{crossing:?}");
    let all: BTreeSet<&Located> = located.iter().collect();
    assert_eq!(all.len(), located.len(), "{crossing:?}");
    for passage in [syn, syn_ack, ack] {
        assert!(passage.arrived + passage.lost <= passage.sent, "{crossing:?}");
        assert_eq!(passage.took_ns.is_some(), passage.arrived > 0, "{crossing:?}");
    }
    if located.contains(&Located::SynLost) {
        assert!(syn.lost > 0, "{crossing:?}");
    }
    if located.contains(&Located::SynAckLost) {
        assert!(syn_ack.lost > 0, "{crossing:?}");
    }
    if located.contains(&Located::AckLost) {
        assert!(ack.lost > 0 && ack.arrived == 0, "{crossing:?}");
    }
    if located.contains(&Located::Renumbered) {
        assert!(!located.contains(&Located::SynLost), "{crossing:?}");
    }
}
