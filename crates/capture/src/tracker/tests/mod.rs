//! What the tracker makes of captures written by hand, over IPv4 and IPv6. What each outcome and mark looks
//! like is in `pictures`; the rest is about times, bounds and the order of packets.

use halfopen_evidence::{Handshake, Mark, Outcome};

use super::{Limits, Statistics, Tracker};
use crate::Observed;
use crate::script::{Ends, families, packets};

mod pictures;
mod properties;
mod times;

/// Checks outcomes and marks of every handshake of a script, in both families.
fn check(script: &str, expected: &[(Outcome, &[Mark])]) {
    for ends in families() {
        let told = told(script, ends);
        let found: Vec<(Outcome, &[Mark])> =
            told.iter().map(|handshake| (handshake.outcome, &handshake.marks[..])).collect();
        assert_eq!(found, expected, "{ends:?} {told:#?}");
        for handshake in &told {
            assert_eq!((handshake.client, handshake.server), (ends.client, ends.server));
        }
    }
}

/// Handshakes of a script, in the order in which they began.
fn told(script: &str, ends: Ends) -> Vec<Handshake> {
    let (mut told, _) = track(&packets(script, ends), Limits::default());
    told.sort_by_key(|handshake| handshake.first_record);
    told
}

/// What a tracker makes of packets, but for the clock's.
fn track(packets: &[Observed], limits: Limits) -> (Vec<Handshake>, Statistics) {
    let mut told = Vec::new();
    let mut sink = |handshake: Handshake, _| told.push(handshake);
    let mut tracker = Tracker::new(limits);
    for packet in packets {
        tracker.on_observed(packet, &mut sink);
    }
    let statistics = tracker.finish(&mut sink);
    let clocks = families().map(|ends| ends.others[0]);
    told.retain(|handshake| !clocks.contains(&handshake.client));
    (told, statistics)
}
