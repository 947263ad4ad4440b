//! SYN queues: how long each listening socket's is, and what has become of the third ACKs of the
//! requests in it. `sock_diag` shows neither.

use std::collections::HashMap;

use halfopen_evidence::{Cookie, Missing, SynQueueState, ThirdAcks};
use halfopen_model::tcp::may_be_deferred;

use super::iterator::Iterator;
use super::kernel::KernelTypes;
use super::object;

/// `struct record` of bpf/syn_queues.bpf.c.
const RECORD: usize = 24;

const LISTENER: u8 = 1;
const REQUEST: u8 = 2;

/// Listening sockets of one namespace that are told of.
const LISTENERS_MAX: usize = 65_536;

/// Reads SYN queues.
#[derive(Debug)]
pub(crate) struct SynQueues {
    iterator: Iterator,
}

/// The SYN queues of one network namespace, by their listening sockets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SynQueuesRead {
    by_listener: HashMap<Cookie, (SynQueueState, ThirdAcks)>,
}

impl SynQueues {
    /// Loads the program.
    pub(super) fn load(kernel: &KernelTypes) -> Result<Self, Missing> {
        let object = object::SYN_QUEUES.bytes();
        let iterator = Iterator::load(kernel, object, "syn_queues", "tcp")?;
        Ok(Self { iterator })
    }

    /// Reads the SYN queues of the network namespace that the calling thread is in.
    pub(crate) fn read(&mut self) -> Result<SynQueuesRead, Missing> {
        let mut queues = SynQueuesRead::default();
        self.iterator.open()?.for_each(|record| queues.add(record))?;
        Ok(queues)
    }
}

impl SynQueuesRead {
    /// The SYN queue of a listening socket, and the third ACKs of its requests.
    pub(crate) fn of(&self, listener: Cookie) -> Option<(SynQueueState, ThirdAcks)> {
        self.by_listener.get(&listener).copied()
    }

    /// Adds a record. The kernel tells of listening sockets before requests, and of some socket twice
    /// or not at all if the table changes meanwhile.
    fn add(&mut self, record: &[u8; RECORD]) {
        let [l0, l1, l2, l3, l4, l5, l6, l7, n0, n1, n2, n3, y0, y1, y2, y3, rest @ ..] = *record;
        let [kind, defer_accept, acked, retransmits, timeouts, ..] = rest;
        let listener = Cookie(u64::from_ne_bytes([l0, l1, l2, l3, l4, l5, l6, l7]));
        match kind {
            LISTENER if self.by_listener.len() < LISTENERS_MAX => {
                let length = u32::from_ne_bytes([n0, n1, n2, n3]);
                let young = u32::from_ne_bytes([y0, y1, y2, y3]);
                let state = SynQueueState { length, young, defer_accept };
                self.by_listener.insert(listener, (state, ThirdAcks::default()));
            }
            REQUEST => {
                if let Some((_, acks)) = self.by_listener.get_mut(&listener) {
                    let request =
                        Request { defer_accept, acked: acked != 0, retransmits, timeouts };
                    *request.counted_in(acks) += 1;
                }
            }
            _ => {}
        }
    }
}

/// A request, as far as its third ACK goes.
struct Request {
    defer_accept: u8,
    acked: bool,
    retransmits: u8,
    timeouts: u8,
}

impl Request {
    fn counted_in<'a>(&self, acks: &'a mut ThirdAcks) -> &'a mut u32 {
        let is_deferred = may_be_deferred(self.defer_accept, self.timeouts);
        match (self.acked, is_deferred, self.retransmits) {
            (true, true, _) => &mut acks.deferred,
            (true, false, _) => &mut acks.dropped,
            (false, _, 0) => &mut acks.awaited,
            (false, ..) => &mut acks.overdue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(cookie: u64, length: u32, defer_accept: u8) -> [u8; RECORD] {
        record(cookie, length, [LISTENER, defer_accept, 0, 0, 0])
    }

    fn request(cookie: u64, defer_accept: u8, acked: u8, retransmits: u8) -> [u8; RECORD] {
        record(cookie, 0, [REQUEST, defer_accept, acked, retransmits, retransmits])
    }

    fn record(cookie: u64, length: u32, rest: [u8; 5]) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&cookie.to_ne_bytes());
        record[8..12].copy_from_slice(&length.to_ne_bytes());
        record[16..21].copy_from_slice(&rest);
        record
    }

    fn third_acks(records: &[[u8; RECORD]]) -> Option<ThirdAcks> {
        let mut queues = SynQueuesRead::default();
        records.iter().for_each(|record| queues.add(record));
        queues.of(Cookie(7)).map(|(_, acks)| acks)
    }

    #[test]
    fn requests_are_counted_at_their_listener_by_their_acks() {
        let acks = third_acks(&[
            listener(7, 5, 0),
            listener(8, 1, 0),
            request(7, 0, 0, 0),
            request(7, 0, 0, 2),
            request(7, 0, 1, 0),
            request(7, 0, 1, 3),
            request(8, 0, 1, 0),
            request(9, 0, 1, 0),
        ]);
        assert_eq!(acks, Some(ThirdAcks { awaited: 1, overdue: 1, dropped: 2, deferred: 0 }));
    }

    #[test]
    fn an_ack_counts_as_deferred_until_a_time_out_after_the_last_deferred_one() {
        let acks = third_acks(&[
            listener(7, 3, 2),
            request(7, 2, 1, 0),
            request(7, 2, 1, 2),
            request(7, 2, 1, 3),
        ]);
        assert_eq!(acks, Some(ThirdAcks { dropped: 1, deferred: 2, ..ThirdAcks::default() }));
    }

    #[test]
    fn records_that_make_no_sense_are_left_out() {
        assert_eq!(third_acks(&[record(7, 1, [9, 9, 9, 9, 9])]), None);
    }
}
