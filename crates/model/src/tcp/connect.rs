//! connect(2) and what answers a SYN (net/ipv4/tcp_input.c `tcp_rcv_synsent_state_process`).

use std::net::{Ipv4Addr, SocketAddrV4};

use super::port_search::Found;
use super::slab::Index;
use super::socket::Marks;
use super::table::Entry;
use super::{
    ConnectError, Effects, Event, Flags, Segment, Seq, Socket, SocketId, Stack, Timestamps, hash,
};
use crate::retries::{SynRetries, SynTimeout};
use crate::{Counter, DropReason, Span, TcpState, Time, TimeWaitReuse};

/// How long an ACK is put off at the most (`TCP_DELACK_MAX`).
const DELAYED_ACK: Span = Span::from_millis(200);

/// The longest idle time before a keep-alive probe, in seconds (`MAX_TCP_KEEPIDLE`).
const MAX_KEEPIDLE: u16 = 32_767;

/// What a program asks for when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The local address.
    pub from: Ipv4Addr,
    /// The other end.
    pub to: SocketAddrV4,
    /// What the program calls the socket.
    pub tag: u32,
    /// TCP_QUICKACK 0: the ACK of the SYN-ACK is put off for 200 ms, or until data goes out.
    pub delay_ack: bool,
    /// SO_KEEPALIVE with this idle time in seconds, 32,767 at the most; 0 for off.
    pub keepalive_s: u32,
}

/// A connection attempt that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The socket, in SYN_SENT.
    pub socket: SocketId,
    /// The local port.
    pub port: u16,
    /// Ports that the search looked at.
    pub visited: u32,
}

/// Who has a pair of ends that connect() wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pair {
    Free,
    /// A connection in TIME_WAIT, which gives it up.
    TakenOver(SocketId),
    Taken,
}

impl Stack {
    /// connect(2), which does not wait: [`Event::Connected`] or [`Event::ConnectFailed`] follows.
    ///
    /// # Errors
    ///
    /// [`ConnectError::NoPort`] and how many ports were looked at: then no packet is sent and no
    /// counter moves.
    pub fn connect(
        &mut self,
        now: Time,
        options: &ConnectOptions,
        effects: &mut Effects,
    ) -> Result<Connect, (ConnectError, u32)> {
        let (found, pair) = self.find_port(now, options);
        let Some(port) = found.port else {
            return Err((ConnectError::NoPort, found.visited));
        };
        let local = SocketAddrV4::new(options.from, port);
        let isn = self.take_over_time_wait(pair);
        let isn = isn.unwrap_or_else(|| self.initial_sequence(now, local, options.to));
        let timestamps = self.sysctls.timestamps;
        let marks = Marks::default()
            .with(Marks::TIMESTAMPS, timestamps)
            .with(Marks::DELAY_ACK, options.delay_ack);
        let serial = self.next_serial();
        let index = self.sockets.insert(Socket {
            local,
            peer: options.to,
            state: TcpState::SynSent,
            marks,
            tag: options.tag,
            serial,
            retransmits: 0,
            segments_out: 0,
            unacknowledged: isn,
            next: isn + 1,
            expected: Seq(0),
            peer_clock: 0,
            unread: 0,
            timer: Time::NEVER,
            sent_at: now,
            since: now,
            challenges_from: Time::ZERO,
            behind: Index::NONE,
            queued_at: Index::NONE,
            keepalive_s: u16::try_from(options.keepalive_s)
                .map_or(MAX_KEEPIDLE, |s| s.min(MAX_KEEPIDLE)),
        });
        let socket = SocketId(index);
        self.table.insert(local, options.to, Entry::Socket(index));
        self.counters.count(Counter::ActiveOpens);
        self.counters.count(Counter::OutSegs);
        self.send_syn(now, socket, effects);
        let wait = u64::from(self.semantics.timers.initial_rto_ms);
        self.arm_socket(now, socket, Span::from_millis(wait));
        Ok(Connect { socket, port, visited: found.visited })
    }

    /// A segment for a socket in SYN_SENT.
    pub(super) fn on_syn_sent_segment(
        &mut self,
        now: Time,
        id: SocketId,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        let socket = *self.sockets.get(id.0)?;
        let flags = segment.flags;
        if flags.has(Flags::ACK) && segment.ack != socket.next {
            self.refuse_with_reset(segment, effects);
            return Some(DropReason::WrongSynAck);
        }
        if flags.has(Flags::RST) {
            if flags.has(Flags::ACK) {
                self.fail_connect(id, ConnectError::Refused, effects);
            }
            return None;
        }
        if !segment.is_syn_ack() {
            // A SYN alone would be a simultaneous open, which the model leaves out.
            return Some(DropReason::OutsideWindow);
        }
        self.counters.count(Counter::CurrEstab);
        self.count_delivered(1);
        let socket = self.sockets.get_mut(id.0)?;
        socket.state = TcpState::Established;
        socket.unacknowledged = segment.ack;
        socket.expected = segment.seq + 1;
        socket.retransmits = 0;
        socket.timer = Time::NEVER;
        socket.since = now;
        let timestamps = socket.marks.has(Marks::TIMESTAMPS) && segment.timestamps.is_some();
        socket.marks.set(Marks::TIMESTAMPS, timestamps);
        socket.peer_clock = segment.timestamps.map_or(0, |theirs| theirs.value);
        let (tag, delay) = (socket.tag, socket.marks.has(Marks::DELAY_ACK));
        socket.marks.set(Marks::ACK_DUE, delay);
        // `tcp_enter_quickack_mode` sets `ato`.
        socket.marks.set(Marks::TIMED_ACKS, delay);
        if delay {
            self.arm_socket(now, id, DELAYED_ACK);
        } else {
            self.send_ack(now, id, effects);
            self.arm_keepalive(now, id);
        }
        effects.events.push(Event::Connected { socket: id, tag });
        None
    }

    /// The timer of a SYN has fired.
    pub(super) fn on_syn_timeout(&mut self, now: Time, id: SocketId, effects: &mut Effects) {
        let retries = self.syn_retries();
        self.counters.count(Counter::TcpTimeouts);
        let Some(socket) = self.sockets.get_mut(id.0) else { return };
        // Slack of real timers would be in the elapsed time too.
        let elapsed = now.since(socket.sent_at).as_millis();
        match retries.on_timeout(socket.retransmits, elapsed) {
            SynTimeout::GiveUp => {
                self.counters.count(Counter::TcpAbortOnTimeout);
                self.fail_connect(id, ConnectError::TimedOut, effects);
            }
            SynTimeout::SendAgain { next_ms } => {
                let again = socket.retransmits > 0;
                socket.retransmits += 1;
                self.count_timeout(again);
                self.counters.count(Counter::RetransSegs);
                if self.semantics.counting.syn_retransmissions_are_counted {
                    self.counters.count(Counter::TcpSynRetrans);
                }
                self.send_syn(now, id, effects);
                self.arm_socket(now, id, Span::from_millis(next_ms));
            }
        }
    }

    /// The SYN timetable of this namespace.
    #[must_use]
    pub const fn syn_retries(&self) -> SynRetries {
        SynRetries {
            initial_rto_ms: self.semantics.timers.initial_rto_ms,
            retries: self.sysctls.syn_retries,
            linear: self.sysctls.syn_linear_timeouts,
            give_up: self.semantics.client.syn_give_up,
        }
    }

    fn find_port(&mut self, now: Time, options: &ConnectOptions) -> (Found, Pair) {
        let seed = SocketAddrV4::new(options.from, 0);
        let destination = hash::of_pair(self.secret, seed, options.to);
        let range = self.sysctls.local_ports;
        let order = self.semantics.ports.search;
        // The search needs the ports and, for each that is not bound, the rest of the stack.
        let mut ports = std::mem::replace(
            &mut self.ports,
            super::Ports::new(self.semantics.ports.first_port, self.secret),
        );
        let mut pair = Pair::Taken;
        let found = ports.search(range, order, destination, |port| {
            if self.sysctls.is_reserved(port) {
                return false;
            }
            pair = self.pair(now, SocketAddrV4::new(options.from, port), options.to);
            pair != Pair::Taken
        });
        self.ports = ports;
        (found, pair)
    }

    /// `__inet_check_established`: nobody has the pair, or a connection in TIME_WAIT that may be
    /// taken over.
    fn pair(&self, now: Time, local: SocketAddrV4, peer: SocketAddrV4) -> Pair {
        let Some(entry) = self.find(local, peer) else { return Pair::Free };
        let Entry::Socket(index) = entry else { return Pair::Taken };
        match self.sockets.get(index) {
            Some(socket) if self.may_take_over(now, socket) => Pair::TakenOver(SocketId(index)),
            _ => Pair::Taken,
        }
    }

    /// `tcp_twsk_unique`.
    fn may_take_over(&self, now: Time, socket: &Socket) -> bool {
        let kept_like_time_wait = socket.state == TcpState::FinWait2
            && socket.marks.has(Marks::ORPHAN)
            && self.semantics.ports.reuses_fin_wait2;
        if socket.state != TcpState::TimeWait && !kept_like_time_wait {
            return false;
        }
        let loopback = socket.local.ip().is_loopback() || socket.peer.ip().is_loopback();
        let allowed = match self.sysctls.tw_reuse {
            TimeWaitReuse::Off => false,
            TimeWaitReuse::On => true,
            TimeWaitReuse::LoopbackOnly => loopback,
        };
        let old_enough = if self.semantics.ports.time_wait_reuse_delay_exists {
            let delay = u64::from(self.sysctls.tw_reuse_delay_ms);
            now.since(socket.since) > Span::from_millis(delay)
        } else {
            // Both times in whole seconds (`ktime_get_seconds`).
            now.as_millis() / 1000 > socket.since.as_millis() / 1000 + 1
        };
        allowed && socket.marks.has(Marks::TIMESTAMPS) && self.sysctls.timestamps && old_enough
    }

    /// Removes the connection in TIME_WAIT that has the pair; the new one begins beyond its sequence
    /// numbers (`tcp_twsk_unique`).
    fn take_over_time_wait(&mut self, pair: Pair) -> Option<Seq> {
        let Pair::TakenOver(socket) = pair else { return None };
        let next = self.sockets.get(socket.0)?.next;
        self.counters.count(Counter::TimeWaitRecycled);
        self.remove_socket(socket);
        Some(next + u32::from(u16::MAX) + 2)
    }

    fn send_syn(&mut self, now: Time, id: SocketId, effects: &mut Effects) {
        let Some(socket) = self.sockets.get(id.0) else { return };
        let timestamps = socket.marks.has(Marks::TIMESTAMPS);
        let clock = Timestamps { value: Self::clock(now), echo: 0 };
        effects.segments.push(Segment {
            from: socket.local,
            to: socket.peer,
            seq: socket.unacknowledged,
            ack: Seq(0),
            flags: Flags::SYN,
            payload: 0,
            timestamps: timestamps.then_some(clock),
        });
    }

    pub(super) fn fail_connect(
        &mut self,
        id: SocketId,
        error: ConnectError,
        effects: &mut Effects,
    ) {
        self.counters.count(Counter::AttemptFails);
        let Some(socket) = self.sockets.get(id.0) else { return };
        effects.events.push(Event::ConnectFailed { tag: socket.tag, error });
        self.remove_socket(id);
    }
}
