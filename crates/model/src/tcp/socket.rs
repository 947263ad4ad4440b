//! A full socket: a connection that was made, here or there, until it is over.

use std::net::SocketAddrV4;

use super::slab::Index;
use super::{Seq, SocketId};
use crate::{Span, TcpState, Time};

/// A full socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    pub(super) local: SocketAddrV4,
    pub(super) peer: SocketAddrV4,
    pub(super) state: TcpState,
    pub(super) marks: Marks,
    /// What its program calls it.
    pub(super) tag: u32,
    /// Its number among all that there ever were.
    pub(super) serial: u32,
    /// Retransmissions of what is unacknowledged (`icsk_retransmits`).
    pub(super) retransmits: u16,
    /// Segments with data or a FIN that are out (`packets_out`), as far as they can be counted here.
    pub(super) segments_out: u8,
    pub(super) unacknowledged: Seq,
    pub(super) next: Seq,
    pub(super) expected: Seq,
    /// The peer's clock, to be echoed (`ts_recent`).
    pub(super) peer_clock: u32,
    /// Bytes that came and were not read.
    pub(super) unread: u32,
    /// When its timer fires; what that means depends on the state.
    pub(super) timer: Time,
    /// When the first SYN, or the data that is unacknowledged, was sent.
    pub(super) sent_at: Time,
    /// When the connection was made, or the state last changed.
    pub(super) since: Time,
    /// From when on a challenge ACK may be sent again.
    pub(super) challenges_from: Time,
    /// The next one in the accept queue.
    pub(super) behind: Index,
    /// The listener in whose queue it is.
    pub(super) queued_at: Index,
    /// SO_KEEPALIVE: idle time before a probe; zero for off.
    pub(super) keepalive_s: u16,
}

/// Facts about a socket, in one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(u8);

impl Marks {
    /// It came out of a listener.
    pub(super) const PASSIVE: Self = Self(1);
    /// No process has it any more.
    pub(super) const ORPHAN: Self = Self(2);
    /// Both ends use timestamps.
    pub(super) const TIMESTAMPS: Self = Self(4);
    /// Its ACK of the SYN-ACK, or of the peer's FIN, is put off.
    pub(super) const ACK_DUE: Self = Self(8);
    /// The program asked for its first ACK to be put off (TCP_QUICKACK 0).
    pub(super) const DELAY_ACK: Self = Self(16);
    /// Its tail was probed (TLP) since the last new data.
    pub(super) const PROBED: Self = Self(32);
    /// It counts for `tcp_max_tw_buckets`.
    pub(super) const BUCKET: Self = Self(64);
    /// Data has come, or its first ACK was put off: ACKs are put off by `TCP_ATO_MIN` at least.
    pub(super) const TIMED_ACKS: Self = Self(128);

    pub(super) const fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    pub(super) const fn set(&mut self, mark: Self, on: bool) {
        if on {
            self.0 |= mark.0;
        } else {
            self.0 &= !mark.0;
        }
    }

    pub(super) const fn with(mut self, mark: Self, on: bool) -> Self {
        self.set(mark, on);
        self
    }
}

/// A socket, or a request, as a dump shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketView {
    /// Its number, which a later socket may get again; none for a request.
    pub socket: Option<SocketId>,
    /// Its number among all full sockets that there ever were; 0 for a request.
    pub serial: u64,
    /// Its state; requests are in [`TcpState::NewSynRecv`].
    pub state: TcpState,
    /// The local end.
    pub local: SocketAddrV4,
    /// The other end.
    pub peer: SocketAddrV4,
    /// Whether a process has it: a child in an accept queue belongs to none, nor does a request, nor
    /// what was closed.
    pub held: bool,
    /// Whether it waits in an accept queue.
    pub queued: bool,
    /// Whether it came out of a listener.
    pub passive: bool,
    /// What its program calls it.
    pub tag: u32,
    /// Bytes that came and were not read, a FIN counted as one.
    pub unread: u32,
    /// Bytes sent and not acknowledged.
    pub unacknowledged: u32,
    /// Retransmissions of what is out now.
    pub retransmits: u8,
    /// Time to its next timer.
    pub timer: Option<Span>,
    /// How long it has been so.
    pub age: Span,
    /// Whether a third ACK was ignored (requests only; no dump of a real kernel shows it).
    pub acked: bool,
}

impl Socket {
    /// Bytes that are out, a SYN and a FIN counted.
    pub(super) const fn in_flight(&self) -> u32 {
        self.next.beyond(self.unacknowledged)
    }

    pub(super) fn view(&self, id: SocketId, now: Time) -> SocketView {
        let orphan = self.marks.has(Marks::ORPHAN) || self.state == TcpState::TimeWait;
        let got_fin = self.state == TcpState::CloseWait;
        SocketView {
            socket: Some(id),
            serial: u64::from(self.serial),
            state: self.state,
            local: self.local,
            peer: self.peer,
            held: self.queued_at.get().is_none() && !orphan,
            queued: self.queued_at.get().is_some(),
            passive: self.marks.has(Marks::PASSIVE),
            tag: self.tag,
            unread: self.unread.saturating_add(u32::from(got_fin)),
            unacknowledged: self.in_flight(),
            retransmits: u8::try_from(self.retransmits).unwrap_or(u8::MAX),
            timer: (self.timer != Time::NEVER).then(|| self.timer.since(now)),
            age: now.since(self.since),
            acked: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_connections_with_both_their_ends_are_no_more_than_168_mib() {
        assert_eq!(size_of::<Option<Socket>>(), 88);
    }
}
