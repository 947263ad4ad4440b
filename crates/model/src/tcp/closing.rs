//! The end of a connection: close, abort, reset, TIME_WAIT (net/ipv4/tcp.c `__tcp_close`,
//! net/ipv4/tcp_minisocks.c `tcp_timewait_state_process`).

use super::socket::Marks;
use super::table::Entry;
use super::{Effects, Event, Flags, Segment, SocketId, Stack};
use crate::{Counter, DropReason, Span, TcpState, Time};

/// How long a closed connection keeps its addresses (`TCP_TIMEWAIT_LEN`).
const TIME_WAIT: Span = Span::from_secs(60);

impl Stack {
    /// close(2). Data that was not read makes it an abort (RST), as in the kernel.
    pub fn close(&mut self, now: Time, id: SocketId, effects: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(id.0) else { return };
        socket.marks.set(Marks::ORPHAN, true);
        let next_state = match socket.state {
            TcpState::Established => TcpState::FinWait1,
            TcpState::CloseWait => TcpState::LastAck,
            TcpState::SynSent | TcpState::Close => return self.remove_socket(id),
            _ => return,
        };
        if socket.unread > 0 {
            return self.abort(now, id, effects);
        }
        let was_current =
            socket.state == TcpState::Established || self.semantics.counting.close_wait_is_current;
        let seq = socket.next;
        socket.next += 1;
        socket.state = next_state;
        socket.since = now;
        if was_current {
            self.counters.uncount(Counter::CurrEstab);
        }
        socket.marks.set(Marks::ACK_DUE, false);
        self.counters.count(Counter::OutSegs);
        self.count_sent(id);
        self.push_segment(now, id, seq, Flags::FIN | Flags::ACK, 0, effects);
        self.arm_retransmission(now, id);
    }

    /// close(2) with SO_LINGER 0: an RST instead of a FIN.
    pub fn abort(&mut self, now: Time, id: SocketId, effects: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(id.0) else { return };
        socket.marks.set(Marks::ORPHAN, true);
        if !matches!(socket.state, TcpState::SynSent | TcpState::Close | TcpState::TimeWait) {
            self.send_reset(now, id, Flags::RST | Flags::ACK, effects);
        }
        self.finish(id);
    }

    pub(super) fn send_reset(
        &mut self,
        now: Time,
        id: SocketId,
        flags: Flags,
        effects: &mut Effects,
    ) {
        let Some(seq) = self.sockets.get(id.0).map(|socket| socket.next) else { return };
        self.counters.count(Counter::OutRsts);
        self.counters.count(Counter::OutSegs);
        self.push_segment(now, id, seq, flags, 0, effects);
    }

    /// The peer has reset the connection, or it was given up. A child in an accept queue keeps its
    /// place there, but no table shows it any more.
    pub(super) fn break_connection(&mut self, id: SocketId, effects: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(id.0) else { return };
        let tag = socket.tag;
        if socket.marks.has(Marks::ORPHAN) {
            return self.finish(id);
        }
        if socket.queued_at.get().is_none() {
            effects.events.push(Event::Broken { socket: id, tag });
        }
        self.leave_table(id);
    }

    /// The connection ends here and now (`tcp_done`), and nobody has it.
    pub(super) fn finish(&mut self, id: SocketId) {
        self.leave_table(id);
        self.sockets.remove(id.0);
    }

    pub(super) fn remove_socket(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.remove(id.0) else { return };
        if socket.state != TcpState::Close {
            self.release(&socket, id);
        }
    }

    /// Its FIN was acknowledged. What nobody has any more is kept like TIME_WAIT from now on, unless
    /// the peer's FIN came along (`tcp_rcv_state_process`); the kernel does so later if
    /// `tcp_fin_timeout` is above 60 s. None if there was no room for it.
    pub(super) fn enter_fin_wait2(&mut self, now: Time, id: SocketId, fin: bool) -> Option<()> {
        let wait = Span::from_secs(u64::from(self.sysctls.fin_timeout_s));
        let socket = self.sockets.get_mut(id.0)?;
        socket.state = TcpState::FinWait2;
        socket.since = now;
        socket.timer = Time::NEVER;
        if socket.marks.has(Marks::ORPHAN) {
            if !fin {
                self.take_bucket(id)?;
            }
            self.arm_socket(now, id, wait);
        }
        Some(())
    }

    /// None if there was no room for it.
    pub(super) fn enter_time_wait(&mut self, now: Time, id: SocketId) -> Option<()> {
        let socket = self.sockets.get_mut(id.0)?;
        socket.state = TcpState::TimeWait;
        socket.since = now;
        self.take_bucket(id)?;
        self.arm_socket(now, id, TIME_WAIT);
        Some(())
    }

    /// `inet_twsk_alloc`: beyond `tcp_max_tw_buckets` the connection is over at once
    /// (`tcp_time_wait`), and its pair and port are free.
    fn take_bucket(&mut self, id: SocketId) -> Option<()> {
        let socket = self.sockets.get_mut(id.0)?;
        if socket.marks.has(Marks::BUCKET) {
            return Some(());
        }
        if self.buckets >= self.sysctls.max_tw_buckets {
            if self.semantics.counting.time_wait_overflows_are_counted {
                self.counters.count(Counter::TcpTimeWaitOverflow);
            }
            self.finish(id);
            return None;
        }
        socket.marks.set(Marks::BUCKET, true);
        self.buckets += 1;
        self.counters.count(Counter::TimeWaited);
        Some(())
    }

    /// A SYN beyond the old connection's sequence numbers begins a new one, if somebody listens; the
    /// RST that comes next ends the wait; anything else that has contents is answered by an ACK.
    pub(super) fn on_time_wait_segment(
        &mut self,
        now: Time,
        id: SocketId,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        let socket = *self.sockets.get(id.0)?;
        let reset = segment.flags.has(Flags::RST);
        let begins_anew = segment.is_syn() && !reset && socket.expected.is_before(segment.seq);
        if begins_anew && self.listener_for(segment).is_some() {
            let isn = socket.next + u32::from(u16::MAX) + 2;
            self.remove_socket(id);
            return self.on_unknown(now, segment, Some(isn), effects);
        }
        if reset && segment.seq == socket.expected {
            self.remove_socket(id);
        } else if !reset && segment.end() != segment.seq {
            self.send_ack(now, id, effects);
        }
        Some(DropReason::TimeWait)
    }

    /// From whatever state to CLOSE, out of the table, with the counters of `tcp_set_state`.
    fn leave_table(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id.0) else { return };
        if socket.state == TcpState::Close {
            return;
        }
        let before = *socket;
        socket.state = TcpState::Close;
        socket.timer = Time::NEVER;
        if matches!(before.state, TcpState::Established | TcpState::CloseWait) {
            self.counters.count(Counter::EstabResets);
        }
        let current = before.state == TcpState::Established
            || before.state == TcpState::CloseWait && self.semantics.counting.close_wait_is_current;
        if current {
            self.counters.uncount(Counter::CurrEstab);
        }
        self.release(&before, id);
    }

    /// Gives back the pair of a socket.
    fn release(&mut self, socket: &super::Socket, id: SocketId) {
        self.table.remove(Entry::Socket(id.0));
        self.buckets -= u32::from(socket.marks.has(Marks::BUCKET));
        let measured = socket.state != TcpState::SynSent && !self.sysctls.no_metrics_save;
        if measured {
            self.proven.insert(*socket.peer.ip());
        }
    }
}
