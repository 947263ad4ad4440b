//! The segments of a handshake that two points saw, each once, with how far it got. The lifelines of
//! such a ladder are the points, and an arrow that one of them did not see ends or begins between them.

use halfopen_capture::TcpSegment;

use super::flow::Followed;
use super::points::Points;
use crate::handshakes::found::Number;

/// How far a segment was seen to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// From one side to the other, as far as is known.
    Through,
    /// It left its sender's side and was not seen at the other.
    Left,
    /// It was seen at the other side, and not at its sender's.
    Came,
}

/// Segments by when their sender's side saw them, each once, with the addresses of the client's side.
pub(super) fn merged(followed: &Followed, points: &Points) -> Vec<(TcpSegment, Reach)> {
    let Some(crossing) = &followed.found.crossing else {
        return followed.segments.iter().map(|segment| (*segment, Reach::Through)).collect();
    };
    let handshake = &followed.found.handshake;
    let client_side = usize::from(crossing.client_side);
    let clients = [Some(handshake.client), crossing.translated.map(|(client, _)| client)];
    let mut sides: [Vec<(TcpSegment, bool)>; 2] = [Vec::new(), Vec::new()];
    for segment in &followed.segments {
        let from_client = clients.contains(&Some(segment.from.into()));
        let (client, server) = (handshake.client, handshake.server);
        let (from, to) = if from_client { (client, server) } else { (server, client) };
        let file = Number::unpacked(segment.record).file;
        let point = points.of_file.get(file).copied().unwrap_or(0);
        let segment = TcpSegment { from: from.into(), to: to.into(), ..*segment };
        sides[usize::from(point != client_side)].push((segment, from_client));
    }
    let [at_client, at_server] = sides;
    let of = |side: &[(TcpSegment, bool)], of_client: bool| -> Vec<TcpSegment> {
        side.iter().filter(|(_, it)| *it == of_client).map(|(segment, _)| *segment).collect()
    };
    let mut all = passed(&of(&at_client, true), of(&at_server, true));
    all.extend(passed(&of(&at_server, false), of(&at_client, false)));
    all.sort_by_key(|(segment, _)| segment.time_ns);
    all
}

/// The segments of one direction.
fn passed(sent: &[TcpSegment], mut seen: Vec<TcpSegment>) -> Vec<(TcpSegment, Reach)> {
    // Offloading cuts and joins data differently at each host.
    let has_data = |all: &[TcpSegment], one: &TcpSegment| {
        all.iter().any(|it| it.payload > 0 && overlaps(it, one))
    };
    let all_seen = seen.clone();
    let mut all: Vec<(TcpSegment, Reach)> = sent
        .iter()
        .map(|segment| {
            let same = (0..seen.len())
                .filter(|&at| is_same(segment, &seen[at]))
                .min_by_key(|&at| seen[at].time_ns.abs_diff(segment.time_ns));
            let reach = match same {
                Some(at) => {
                    seen.remove(at);
                    Reach::Through
                }
                None if segment.payload > 0 && has_data(&all_seen, segment) => Reach::Through,
                None => Reach::Left,
            };
            (*segment, reach)
        })
        .collect();
    let others = seen.into_iter().filter(|one| one.payload == 0 || !has_data(sent, one));
    all.extend(others.map(|segment| (segment, Reach::Came)));
    all
}

fn is_same(one: &TcpSegment, other: &TcpSegment) -> bool {
    let numbers = |it: &TcpSegment| (it.flags, it.seq, it.ack, it.payload);
    let stamps = one.options.timestamps.zip(other.options.timestamps);
    let apart_ns = one.time_ns.abs_diff(other.time_ns);
    numbers(one) == numbers(other)
        && stamps.map_or(apart_ns < 180_000_000, |(one, other)| one.value == other.value)
}

/// Whether two segments have bytes in common.
const fn overlaps(one: &TcpSegment, other: &TcpSegment) -> bool {
    let ahead = other.seq.wrapping_sub(one.seq);
    let behind = one.seq.wrapping_sub(other.seq);
    ahead < one.payload || behind < other.payload
}
