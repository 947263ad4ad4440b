//! Which segment at one point is which at the other.
//!
//! The same segment has the same flags, numbers and length at both, and the same TSval: NAT changes none
//! of them. One that was sent again differs in TSval alone, so where there are no timestamps the times
//! decide. Data is not paired: offloading cuts and joins it differently at each host.

use super::trace::{ACK, FIN, RST, SYN, Sighting, Trace};

/// What a TCP sends again comes this much later at the least.
const AGAIN_NS: u64 = 180_000_000;

/// Data that a SYN can carry, and a SYN-ACK acknowledge (RFC 7413).
const FAST_OPEN_DATA: u32 = 1 << 16;

/// Segments that are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Syn,
    SynAck,
    /// The client's first ACK, and the same again.
    ThirdAck,
    ResetOfClient,
    ResetOfServer,
}

impl Kind {
    pub(super) const fn is_of_client(self) -> bool {
        matches!(self, Self::Syn | Self::ThirdAck | Self::ResetOfClient)
    }

    fn is(self, sighting: &Sighting, trace: &Trace) -> bool {
        let flags = sighting.flags;
        let fits = match self {
            Self::Syn => flags & (SYN | ACK) == SYN && sighting.seq == trace.client_isn,
            Self::SynAck => {
                let data = sighting.ack.wrapping_sub(trace.client_isn).wrapping_sub(1);
                flags & (SYN | ACK) == SYN | ACK && data <= FAST_OPEN_DATA
            }
            Self::ThirdAck => {
                flags & (SYN | RST | FIN | ACK) == ACK
                    && sighting.payload == 0
                    && sighting.seq == trace.client_isn.wrapping_add(1)
                    && trace.server_isn.is_none_or(|isn| sighting.ack == isn.wrapping_add(1))
            }
            // What follows a close is seen by one point before its handshake is told, by another after.
            Self::ResetOfClient | Self::ResetOfServer => {
                flags & RST != 0 && !trace.is_closed_before(sighting.time_ns)
            }
        };
        fits && sighting.from_client == self.is_of_client()
    }

    /// The segments of this kind in a trace, in the order of time.
    pub(super) fn of(self, trace: &Trace) -> Vec<Sighting> {
        let all = trace.sightings.iter().filter(|sighting| self.is(sighting, trace));
        let mut all: Vec<Sighting> = all.copied().collect();
        all.sort_by_key(|sighting| sighting.time_ns);
        all
    }
}

/// Pairs what was sent with what was seen elsewhere, both in the order of time and by one clock that may
/// be off by so much: for each that was sent its place among those seen.
pub(super) fn pair(sent: &[Sighting], seen: &[Sighting], slack_ns: u64) -> Vec<Option<usize>> {
    let mut pairs = vec![None; sent.len()];
    for (place, sighting) in seen.iter().enumerate() {
        let nearest = (0..sent.len())
            .filter(|&at| pairs[at].is_none() && is_same(&sent[at], sighting, slack_ns))
            .min_by_key(|&at| sighting.time_ns.abs_diff(sent[at].time_ns));
        if let Some(at) = nearest {
            pairs[at] = Some(place);
        }
    }
    pairs
}

/// The two sightings of a segment that was sent once, so far as each point saw; found without knowing
/// how the clocks differ.
pub(super) fn sole_pair(kind: Kind, a: &Trace, b: &Trace) -> Option<(Sighting, Sighting)> {
    let (in_a, in_b) = (kind.of(a), kind.of(b));
    let stamped = in_a.iter().find_map(|one| {
        let same = in_b.iter().find(|it| one.timestamp.is_some() && is_like(one, it))?;
        let is_sole = in_a.iter().filter(|it| is_like(it, one)).count() == 1
            && in_b.iter().filter(|it| is_like(it, one)).count() == 1;
        is_sole.then_some((*one, *same))
    });
    stamped.or_else(|| match (in_a.as_slice(), in_b.as_slice()) {
        (&[one], &[other]) if is_like(&one, &other) => Some((one, other)),
        _ => None,
    })
}

fn is_same(sent: &Sighting, seen: &Sighting, slack_ns: u64) -> bool {
    let is_stamped = sent.timestamp.is_some() && seen.timestamp.is_some();
    let apart_ns = seen.time_ns.abs_diff(sent.time_ns);
    // With timestamps only a wrong clock could make two sightings of one segment lie far apart.
    let is_near =
        apart_ns <= slack_ns.saturating_add(if is_stamped { 10 * AGAIN_NS } else { AGAIN_NS });
    is_near && is_like(sent, seen)
}

/// Whether two sightings can be of one segment. A middlebox may remove the timestamp.
fn is_like(one: &Sighting, other: &Sighting) -> bool {
    let numbers = |it: &Sighting| (it.flags, it.seq, it.ack, it.payload);
    let stamps = one.timestamp.zip(other.timestamp);
    numbers(one) == numbers(other) && stamps.is_none_or(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64, timestamp: Option<u32>) -> Sighting {
        Sighting {
            time_ns: ms * 1_000_000,
            from_client: true,
            flags: SYN,
            seq: 7,
            ack: 0,
            payload: 0,
            timestamp,
        }
    }

    #[test]
    fn without_timestamps_the_nearest_in_time_is_the_same() {
        let sent = [0, 1000, 3000].map(|ms| at(ms, None));
        let seen = [1020, 3050].map(|ms| at(ms, None));
        assert_eq!(pair(&sent, &seen, 0), [None, Some(0), Some(1)]);
    }

    #[test]
    fn with_timestamps_only_the_same_is_the_same() {
        let sent = [at(0, Some(1)), at(200, Some(201))];
        assert_eq!(pair(&sent, &[at(190, Some(1))], 0), [Some(0), None]);
        assert_eq!(pair(&sent, &[at(190, Some(5))], 0), [None, None]);
    }
}
