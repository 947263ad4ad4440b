//! One handshake segment by segment: what each segment is, and what is notable about it. How it is
//! drawn is told in `ladder_text` and `ladder_svg`.

use halfopen_capture::TcpSegment;
use halfopen_diagnose::words::harmless;

use super::flow::Followed;
use super::ladder_points::{Reach, merged};
use super::points::Points;
use crate::handshakes::class;
use crate::handshakes::words::span;

/// Rungs that are drawn: so many from the beginning, and so many from the end.
const FIRST: usize = 26;
const LAST: usize = 8;

/// A silence that is drawn as a gap.
const GAP_NS: u64 = 150_000_000;

/// The same segment so soon again was captured twice.
const TWICE_NS: i64 = 1_000_000;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A handshake, ready to be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ladder {
    /// Who sent the SYN.
    pub(super) client: String,
    /// The other end.
    pub(super) server: String,
    /// What the lifelines are: the two ends, or the points where it was seen.
    pub(super) roles: [String; 2],
    /// The outcome in words.
    pub(super) outcome: String,
    /// What crosses between the lifelines, in order.
    pub(super) steps: Vec<Step>,
}

/// A line of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A segment.
    Rung(Rung),
    /// Nothing for so many nanoseconds.
    Gap(u64),
    /// Segments that are not drawn.
    Omitted(u64),
}

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rung {
    /// Nanoseconds since the first one.
    pub(super) at_ns: u64,
    /// Whether the client sent it.
    pub(super) from_client: bool,
    /// Flags and numbers: `SYN-ACK seq 0 ack 1`.
    pub(super) label: String,
    /// How far it got.
    pub(super) reach: Reach,
    /// What is notable about it.
    pub(super) note: Option<String>,
    /// Whether that is trouble.
    pub(super) is_trouble: bool,
}

/// What was seen of the connection before a segment.
#[derive(Default)]
struct Seen {
    client_isn: Option<u32>,
    server_isn: Option<u32>,
    acknowledged: bool,
    last: Vec<TcpSegment>,
    client_data: Vec<(u32, u32)>,
    client_next: Option<u32>,
}

/// The ladder of a handshake, at one place or between two points.
pub(super) fn ladder(followed: &Followed, points: Option<&Points>) -> Ladder {
    let handshake = &followed.found.handshake;
    let mut seen = Seen::default();
    let segments = points.map_or_else(
        || followed.segments.iter().map(|segment| (*segment, Reach::Through)).collect(),
        |points| merged(followed, points),
    );
    let roles = roles(followed, points);
    let begin_ns = segments.first().map_or(0, |(segment, _)| segment.time_ns);
    let rungs: Vec<Rung> = segments
        .iter()
        .map(|&(ref segment, reach)| {
            let from_client = segment.from == handshake.client;
            seen.note_numbers(segment, from_client);
            let (note, is_trouble) = match (reach, from_client) {
                (Reach::Through, _) => seen.notable(segment, from_client),
                (Reach::Left, true) => (Some("not seen at the server's side"), true),
                (Reach::Left, false) => (Some("not seen at the client's side"), true),
                (Reach::Came, true) => (Some("not sent by the client's side"), true),
                (Reach::Came, false) => (Some("not sent by the server's side"), true),
            };
            let rung = Rung {
                at_ns: u64::try_from(segment.time_ns.saturating_sub(begin_ns)).unwrap_or(0),
                from_client,
                label: seen.label(segment, from_client),
                reach,
                note: note.map(str::to_owned),
                is_trouble,
            };
            seen.remember(segment, from_client);
            rung
        })
        .collect();
    let class = class::of(handshake.outcome);
    let connect = handshake.stages.connect_ns.map(|ns| format!(", connect took {}", span(ns)));
    Ladder {
        client: handshake.client.to_string(),
        server: handshake.server.to_string(),
        roles,
        outcome: format!("{}{}", class.long, connect.unwrap_or_default()),
        steps: steps(rungs, followed.more),
    }
}

/// What the lifelines are.
fn roles(followed: &Followed, points: Option<&Points>) -> [String; 2] {
    let both = points.zip(followed.found.crossing.as_deref());
    both.map_or_else(
        || ["client", "server"].map(str::to_owned),
        |(points, crossing)| {
            let side = usize::from(crossing.client_side.min(1));
            [&points.names[side], &points.names[1 - side]].map(|name| harmless(name))
        },
    )
}

/// Rungs with gaps between them; of many, the first and the last.
fn steps(rungs: Vec<Rung>, more: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    let count = rungs.len();
    let omitted = if count > FIRST + LAST + 1 { FIRST..count - LAST } else { count..count };
    let mut last_ns = 0;
    for (at, rung) in rungs.into_iter().enumerate() {
        if at == omitted.start && !omitted.is_empty() {
            steps.push(Step::Omitted(omitted.len() as u64));
        }
        let silent_ns = rung.at_ns.saturating_sub(last_ns);
        last_ns = rung.at_ns;
        if omitted.contains(&at) {
            continue;
        }
        if silent_ns >= GAP_NS {
            steps.push(Step::Gap(silent_ns));
        }
        steps.push(Step::Rung(rung));
    }
    if more > 0 {
        steps.push(Step::Omitted(more));
    }
    steps
}

impl Seen {
    fn note_numbers(&mut self, segment: &TcpSegment, from_client: bool) {
        let isn = if from_client { &mut self.client_isn } else { &mut self.server_isn };
        let is_syn = segment.flags & SYN != 0;
        // Without a SYN, numbers count from the first segment as if one had come before it.
        let first = if is_syn { segment.seq } else { segment.seq.wrapping_sub(1) };
        if isn.is_none() && (is_syn || segment.flags & RST == 0) {
            *isn = Some(first);
        }
        let other = if from_client { &mut self.server_isn } else { &mut self.client_isn };
        if other.is_none() && segment.flags & (ACK | RST) == ACK {
            *other = Some(segment.ack.wrapping_sub(1));
        }
    }

    fn label(&self, segment: &TcpSegment, from_client: bool) -> String {
        let (own, other) = if from_client {
            (self.client_isn, self.server_isn)
        } else {
            (self.server_isn, self.client_isn)
        };
        let relative = |number: u32, isn: Option<u32>| number.wrapping_sub(isn.unwrap_or(number));
        let mut label = flags(segment.flags);
        if segment.payload > 0 {
            if label == "ACK" {
                label = "data".to_owned();
            }
            label.push_str(&format!(", {} B", segment.payload));
        }
        label.push_str(&format!("  seq {}", relative(segment.seq, own)));
        if segment.flags & ACK != 0 {
            label.push_str(&format!(" ack {}", relative(segment.ack, other)));
        }
        label
    }

    /// What is notable about a segment, and whether it is trouble.
    fn notable(&self, segment: &TcpSegment, from_client: bool) -> (Option<&'static str>, bool) {
        let same = |old: &&TcpSegment| {
            (old.from, old.seq, old.flags, old.payload)
                == (segment.from, segment.seq, segment.flags, segment.payload)
        };
        let before = self.last.iter().rev().find(same);
        if let Some(before) = before
            && segment.time_ns.saturating_sub(before.time_ns) < TWICE_NS
            && (segment.payload > 0 || segment.flags & (SYN | FIN | RST) != 0)
            && segment.ack == before.ack
        {
            return (Some("the same again at once: captured twice"), false);
        }
        let is_again = before.is_some();
        match (segment.flags & (SYN | RST), segment.flags & ACK != 0) {
            (SYN, false) if is_again => (Some("sent again: no answer"), true),
            (SYN, true) if is_again && self.acknowledged => {
                (Some("sent again, although acknowledged"), true)
            }
            (SYN, true) if is_again => (Some("sent again: no ACK seen"), true),
            (RST, _) if !from_client && !self.acknowledged && !self.has_syn_ack() => {
                (Some("refused"), true)
            }
            (RST, _) if !from_client => (Some("reset by the server"), true),
            (RST, _) => (Some("reset by the client"), false),
            (0, true) if from_client => self.notable_of_client(segment),
            _ => (None, false),
        }
    }

    fn notable_of_client(&self, segment: &TcpSegment) -> (Option<&'static str>, bool) {
        let next = self.client_next.unwrap_or(segment.seq);
        let is_probe =
            segment.payload <= 1 && segment.flags & FIN == 0 && next == segment.seq.wrapping_add(1);
        if is_probe {
            (Some("keep-alive probe"), false)
        } else if segment.payload > 0 && self.client_data.contains(&(segment.seq, segment.payload))
        {
            (Some("data sent again: not acknowledged"), true)
        } else if !self.acknowledged && self.has_syn_ack() && segment.payload == 0 {
            (Some("third ACK"), false)
        } else {
            (None, false)
        }
    }

    fn has_syn_ack(&self) -> bool {
        self.last.iter().any(|segment| segment.flags & (SYN | ACK) == SYN | ACK)
    }

    fn remember(&mut self, segment: &TcpSegment, from_client: bool) {
        if from_client {
            let is_ack = segment.flags & (SYN | RST | ACK) == ACK;
            self.acknowledged |= is_ack && self.has_syn_ack();
            let length = segment.payload + u32::from(segment.flags & (SYN | FIN) != 0);
            let end = segment.seq.wrapping_add(length);
            let is_further = self.client_next.is_none_or(|next| end.wrapping_sub(next) < 1 << 31);
            if is_further {
                self.client_next = Some(end);
            }
            if segment.payload > 0 {
                self.client_data.push((segment.seq, segment.payload));
            }
        }
        self.last.push(*segment);
    }
}

fn flags(flags: u8) -> String {
    let names = [(SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (ACK, "ACK")];
    let set: Vec<&str> =
        names.iter().filter(|(bit, _)| flags & bit != 0).map(|&(_, name)| name).collect();
    match set.as_slice() {
        [] => "no flags".to_owned(),
        ["FIN", "ACK"] => "FIN".to_owned(),
        set => set.join("-"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use halfopen_capture::SegmentOptions;
    use halfopen_evidence::{IgnoredEnd, Outcome};

    use super::*;
    use crate::handshakes::fixture::handshake;
    use crate::handshakes::found::{Found, Number};

    /// A server that ignores the third ACK: SYN-ACKs at 1 and 3 s, data sent again, RST at a minute.
    pub(in super::super) fn ignored() -> Followed {
        let mut handshake = handshake(Outcome::ThirdAckIgnored { ended: IgnoredEnd::ResetByProbe });
        handshake.marks.clear();
        let (client, server) = (handshake.client.into(), handshake.server.into());
        let segment = |ms: i64, from_client: bool, flags, seq, ack, payload| TcpSegment {
            time_ns: handshake.began_ns + ms * 1_000_000,
            record: 1,
            interface: 0,
            scope: 0,
            from: if from_client { client } else { server },
            to: if from_client { server } else { client },
            seq,
            ack,
            flags,
            window: 100,
            payload,
            ttl: 64,
            ip_id: 0,
            options: SegmentOptions::default(),
            truncated: false,
        };
        let segments = vec![
            segment(0, true, SYN, u32::MAX, 0, 0),
            segment(1, false, SYN | ACK, 500, 0, 0),
            segment(2, true, ACK, 0, 501, 0),
            segment(3, true, ACK | 8, 0, 501, 100),
            segment(210, true, ACK | 8, 0, 501, 100),
            segment(1_003, false, SYN | ACK, 500, 0, 0),
            segment(1_004, true, ACK, 100, 501, 0),
            segment(60_000, true, ACK, 99, 501, 0),
            segment(60_001, false, RST, 501, 0, 0),
        ];
        Followed {
            found: Found { number: Number::new(0, 1), handshake, crossing: None },
            segments,
            more: 0,
        }
    }

    #[test]
    fn what_is_notable_is_told() {
        let ladder = ladder(&ignored(), None);
        let notes: Vec<&str> = ladder
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Rung(rung) => rung.note.as_deref(),
                _ => None,
            })
            .collect();
        assert_eq!(
            notes,
            [
                "third ACK",
                "data sent again: not acknowledged",
                "sent again, although acknowledged",
                "keep-alive probe",
                "reset by the server",
            ]
        );
    }

    #[test]
    fn numbers_are_relative_across_their_wrap() {
        let ladder = ladder(&ignored(), None);
        let labels: Vec<&str> = ladder
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Rung(rung) => Some(rung.label.as_str()),
                _ => None,
            })
            .take(4)
            .collect();
        assert_eq!(
            labels,
            ["SYN  seq 0", "SYN-ACK  seq 0 ack 1", "ACK  seq 1 ack 1", "data, 100 B  seq 1 ack 1"]
        );
    }

    #[test]
    fn of_a_long_connection_the_middle_is_left_out() {
        let mut followed = ignored();
        let last = followed.segments[2];
        followed.segments.resize(500, last);
        followed.more = 7;
        let steps = ladder(&followed, None).steps;
        let omitted: Vec<u64> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Omitted(count) => Some(*count),
                _ => None,
            })
            .collect();
        assert_eq!(omitted, [500 - (FIRST + LAST) as u64, 7]);
    }
}
