//! What is said of one handshake beside its outcome: what was sent again and when, what was noticed.

use halfopen_evidence::Handshake;

use super::words::{mark, sent_at, timetable};
use super::{class, ids};

/// Notes in words, what tells most first.
pub(crate) fn of(handshake: &Handshake) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(ended) = ids::ended_id(handshake.outcome) {
        let words =
            class::ENDS.iter().find(|(id, _)| *id == ended).map_or(ended, |(_, words)| words);
        notes.push(words.to_owned());
    }
    if let Some(syn) = ids::answered_syn(handshake.outcome) {
        notes.push(format!("SYN {syn} was answered"));
    }
    if let Some(timetable) = timetable(&handshake.syns) {
        notes.push(format!("{} SYNs, again after {timetable}", handshake.syns.count));
    }
    if handshake.syn_acks.count > 1 {
        let times = sent_at(&handshake.syn_acks);
        notes.push(format!("{} SYN-ACKs at {times}", handshake.syn_acks.count));
    }
    notes.extend(handshake.marks.iter().map(|&it| mark(it).to_owned()));
    notes
}
