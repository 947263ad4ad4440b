//! A play: one namespace, listeners, and peers that send whatever an act says, with a ledger beside it
//! that is kept from what can be seen from outside, and that has to agree with the stack at every
//! moment.
//!
//! The fuzz target `stack` plays the same acts, so this file needs nothing but the model.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use halfopen_model::tcp::{
    ConnectOptions, Effects, Event, Flags, ListenOptions, ListenerId, ListenerView, Segment, Seq,
    SocketId, Stack, Timestamps, Unreachable,
};
use halfopen_model::{
    Counter, DropReason, GENERATIONS, MigrateReq, Semantics, Span, SynOnFullAcceptQueue, SynQueue,
    SynQueueFull, Sysctls, TcpState, Time, counters_of_cookie, last_quarter_threshold,
};

/// The namespace's address.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Where most listeners listen; the others have the ports behind it.
const PORT: u16 = 80;

/// Peers that there are.
pub(crate) const PEERS: u8 = 12;

/// Listeners that there ever are, so that a play stays small.
const LISTENERS_AT_MOST: usize = 12;

/// What a namespace is like before anything happens.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// A place in [`GENERATIONS`].
    pub(crate) generation: u8,
    pub(crate) secret: u64,
    pub(crate) syncookies: u8,
    pub(crate) abort_on_overflow: bool,
    pub(crate) migrate_req: bool,
    pub(crate) timestamps: bool,
    pub(crate) no_metrics_save: bool,
    pub(crate) synack_retries: u8,
    pub(crate) max_syn_backlog: u16,
    pub(crate) somaxconn: u32,
    pub(crate) fin_timeout_s: u8,
    pub(crate) listeners: Vec<Opening>,
}

/// A listener to open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// Its port, from [`PORT`] on.
    pub(crate) port: u8,
    pub(crate) any_address: bool,
    pub(crate) backlog: i32,
    pub(crate) reuseport: bool,
    pub(crate) defer_accept_s: u32,
    pub(crate) syn_retries: Option<u8>,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// A peer sends the SYN that it has sent before, if any.
    Syn {
        peer: u8,
    },
    /// A peer begins anew with another sequence number.
    NewSyn {
        peer: u8,
        beyond: u32,
    },
    /// The third ACK, or any other that is in order.
    Ack {
        peer: u8,
    },
    Data {
        peer: u8,
        bytes: u32,
    },
    Fin {
        peer: u8,
    },
    /// An RST that is so far beyond the next byte.
    Rst {
        peer: u8,
        beyond: u32,
    },
    /// Anything: both numbers relative to those that would be right.
    Any {
        peer: u8,
        port: u8,
        flags: u8,
        seq: u32,
        ack: u32,
        bytes: u32,
        echo: u32,
    },
    Accept {
        listener: u8,
    },
    Read {
        held: u8,
    },
    Write {
        held: u8,
        bytes: u32,
    },
    Close {
        held: u8,
    },
    Abort {
        held: u8,
    },
    Connect {
        peer: u8,
        to_ourselves: bool,
        delay_ack: bool,
    },
    Open(Opening),
    ListenAgain {
        listener: u8,
        backlog: i32,
    },
    CloseListener {
        listener: u8,
    },
    SynCookies(u8),
    AbortOnOverflow(bool),
    Migrate(bool),
    LoseRoute {
        peer: u8,
    },
    /// An ICMP error about the SYN-ACK that a peer was sent, or about something so far beyond it.
    Unreachable {
        peer: u8,
        what: Unreachable,
        beyond: u32,
    },
    /// Time passes, and timers fire when they are due.
    Pass {
        micros: u64,
    },
    /// Time passes until the next timer fires.
    NextTimer,
}

/// A peer's end, as the peer knows it.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: SocketAddrV4,
    port: u8,
    isn: Seq,
    next: Seq,
    /// The next byte of the stack's that it expects.
    expected: Seq,
    /// The stack's clock as it was last seen.
    clock: u32,
}

/// What was counted from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ledger {
    dropped: BTreeMap<DropReason, u64>,
    /// Cookies sent.
    cookies: u64,
    /// Requests made, and how they ended.
    requests: u64,
    promoted: u64,
    reset: u64,
    unreachable: u64,
    expired: u64,
    /// Forgotten because their listener had closed.
    abandoned: u64,
    /// Children accepted, and reset with their listener.
    accepted: u64,
    discarded: u64,
    /// Drops at listeners that have closed.
    drops_of_closed: u64,
}

/// A namespace in play.
pub(crate) struct Play {
    pub(crate) stack: Stack,
    pub(crate) now: Time,
    setting: Setting,
    effects: Effects,
    peers: Vec<Peer>,
    held: Vec<SocketId>,
    listeners: Vec<Listening>,
    ledger: Ledger,
    /// Requests whose listener has closed may be in sight.
    orphans: bool,
    /// Each act's outcome, without numbers that a secret decides.
    pub(crate) log: Vec<Option<DropReason>>,
}

#[derive(Clone, Copy, Debug)]
struct Listening {
    id: ListenerId,
    options: ListenOptions,
    /// The SYN queue of kernels to 4.3, sized at the first listen().
    table: SynQueue,
    open: bool,
}

/// What can be seen of the stack.
struct Seen {
    listeners: BTreeMap<u32, ListenerView>,
    requests: BTreeSet<(SocketAddrV4, SocketAddrV4)>,
    time_wait: BTreeSet<(SocketAddrV4, SocketAddrV4)>,
    sockets: BTreeSet<(SocketAddrV4, SocketAddrV4)>,
    sent_cookies: u64,
    cookies_taken: u64,
    children: u64,
    migrated: u64,
}

impl Seen {
    fn requests_of_listeners(&self) -> u64 {
        self.listeners.values().map(|view| u64::from(view.requests)).sum()
    }
}

impl Play {
    pub(crate) fn new(setting: &Setting) -> Self {
        let generation = GENERATIONS[usize::from(setting.generation) % GENERATIONS.len()];
        let semantics = Semantics::of(generation.kernel);
        let mut sysctls = Sysctls::defaults(&semantics);
        let flag = |on: bool| u8::from(on).to_string();
        for (name, value) in [
            ("tcp_syncookies", setting.syncookies.to_string()),
            ("tcp_abort_on_overflow", flag(setting.abort_on_overflow)),
            ("tcp_migrate_req", flag(setting.migrate_req)),
            ("tcp_timestamps", flag(setting.timestamps)),
            ("tcp_no_metrics_save", flag(setting.no_metrics_save)),
            ("tcp_synack_retries", setting.synack_retries.to_string()),
            ("tcp_max_syn_backlog", setting.max_syn_backlog.to_string()),
            ("somaxconn", setting.somaxconn.to_string()),
            ("tcp_fin_timeout", setting.fin_timeout_s.to_string()),
            ("ip_local_port_range", "40000 40009".to_owned()),
        ] {
            // What this kernel does not have, or refuses, stays as it is.
            let _ = sysctls.set(name, &value, &semantics);
        }
        let peers = (0..PEERS).map(|number| Peer {
            address: SocketAddrV4::new(
                Ipv4Addr::new(10, 77, 0, 16 + number / 4),
                20_000 + u16::from(number % 4),
            ),
            port: number % 3 / 2,
            isn: Seq(1000),
            next: Seq(1001),
            expected: Seq(0),
            clock: 0,
        });
        let mut play = Self {
            stack: Stack::new(semantics, sysctls, setting.secret),
            now: Time::ZERO,
            setting: setting.clone(),
            effects: Effects::default(),
            peers: peers.collect(),
            held: Vec::new(),
            listeners: Vec::new(),
            ledger: Ledger::default(),
            orphans: false,
            log: Vec::new(),
        };
        for opening in &setting.listeners {
            play.open(*opening);
        }
        play.check();
        play
    }

    /// Lets one thing happen, and holds the stack to the laws.
    pub(crate) fn act(&mut self, act: Act) {
        self.fire_nothing_early();
        match act {
            Act::Syn { peer } => {
                let Peer { isn, .. } = *self.peer(peer);
                self.peer(peer).next = isn + 1;
                self.send(peer, Flags::SYN, isn, Seq(0), 0);
            }
            Act::NewSyn { peer, beyond } => {
                let isn = self.peer(peer).next + beyond;
                self.peer(peer).isn = isn;
                self.peer(peer).next = isn + 1;
                self.send(peer, Flags::SYN, isn, Seq(0), 0);
            }
            Act::Ack { peer } => self.send_in_order(peer, Flags::ACK, 0),
            Act::Data { peer, bytes } => self.send_in_order(peer, Flags::PSH | Flags::ACK, bytes),
            Act::Fin { peer } => self.send_in_order(peer, Flags::FIN | Flags::ACK, 0),
            Act::Rst { peer, beyond } => {
                let seq = self.peer(peer).next + beyond;
                self.send(peer, Flags::RST, seq, Seq(0), 0);
            }
            Act::Any { peer, port, flags, seq, ack, bytes, echo } => {
                let Peer { next, expected, clock, .. } = *self.peer(peer);
                self.peer(peer).clock = clock.wrapping_add(echo);
                if port < 3 {
                    self.peer(peer).port = port;
                }
                self.send(peer, Flags::from_byte(flags), next + seq, expected + ack, bytes);
                self.peer(peer).clock = clock;
            }
            Act::Accept { listener } => self.accept(listener),
            Act::Read { held } => {
                if let Some(&socket) = self.pick(held) {
                    self.stack.read(socket);
                }
            }
            Act::Write { held, bytes } => {
                if let Some(&socket) = self.pick(held) {
                    self.stack.write(self.now, socket, bytes, &mut self.effects);
                }
            }
            Act::Close { held } | Act::Abort { held } => {
                if let Some(at) = usize::from(held).checked_rem(self.held.len()) {
                    let socket = self.held.swap_remove(at);
                    if matches!(act, Act::Close { .. }) {
                        self.stack.close(self.now, socket, &mut self.effects);
                    } else {
                        self.stack.abort(self.now, socket, &mut self.effects);
                    }
                }
            }
            Act::Connect { peer, to_ourselves, delay_ack } => {
                self.connect(peer, to_ourselves, delay_ack);
            }
            Act::Open(opening) => self.open(opening),
            Act::ListenAgain { listener, backlog } => {
                if let Some(at) = usize::from(listener).checked_rem(self.listeners.len()) {
                    self.stack.listen_again(self.listeners[at].id, backlog);
                }
            }
            Act::CloseListener { listener } => self.close_listener(listener),
            Act::SynCookies(value) => self.set("tcp_syncookies", value),
            Act::AbortOnOverflow(on) => self.set("tcp_abort_on_overflow", u8::from(on)),
            Act::Migrate(on) => self.set("tcp_migrate_req", u8::from(on)),
            Act::LoseRoute { peer } => {
                let address = *self.peer(peer).address.ip();
                self.stack.lose_route(address);
            }
            Act::Unreachable { peer, what, beyond } => self.unreachable(peer, what, beyond),
            Act::Pass { micros } => self.pass(Span::from_micros(micros)),
            Act::NextTimer => {
                if let Some(at) = self.stack.next_deadline() {
                    self.pass(at.since(self.now));
                }
            }
        }
        self.settle();
        self.check();
    }

    /// Every peer is silent from now on, and no program does anything: what can end, ends.
    pub(crate) fn end(&mut self) {
        // 255 time-outs of a SYN-ACK, each two minutes long, and the look of old kernels at it,
        // which comes late.
        self.pass(Span::from_secs(256 * 121));
        self.settle();
        // TIME_WAIT, and whatever a migration brought to a listener that closed last.
        self.pass(Span::from_secs(256 * 121));
        self.check();
        let left: Vec<_> = self.stack.socket_views(self.now).collect();
        for view in &left {
            let stays = matches!(view.state, TcpState::Established | TcpState::CloseWait)
                || view.state == TcpState::FinWait2 && view.held;
            assert!(stays && view.timer.is_none(), "left behind: {view:?}");
        }
        for (id, view) in self.stack.listener_views() {
            assert_eq!((view.requests, view.young), (0, 0), "{id:?}");
        }
        assert_eq!(self.stack.next_deadline(), None);
    }

    /// What an onlooker could count, without numbers that a secret decides.
    pub(crate) fn summary(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let views: Vec<_> = self.stack.listener_views().collect();
        let sockets: Vec<_> = self.stack.socket_views(self.now).collect();
        (self.log.clone(), self.stack.counters().clone(), views, sockets, self.ledger.clone())
    }

    fn peer(&mut self, number: u8) -> &mut Peer {
        &mut self.peers[usize::from(number % PEERS)]
    }

    fn pick(&self, held: u8) -> Option<&SocketId> {
        self.held.get(usize::from(held).checked_rem(self.held.len())?)
    }

    fn set(&mut self, name: &str, value: u8) {
        let semantics = *self.stack.semantics();
        let _ = self.stack.sysctls_mut().set(name, &value.to_string(), &semantics);
    }

    fn open(&mut self, opening: Opening) {
        if self.listeners.len() >= LISTENERS_AT_MOST {
            return;
        }
        let options = ListenOptions {
            address: if opening.any_address { Ipv4Addr::UNSPECIFIED } else { HERE },
            port: PORT + u16::from(opening.port % 3),
            backlog: opening.backlog,
            reuseport: opening.reuseport,
            defer_accept_s: opening.defer_accept_s,
            syn_retries: opening.syn_retries,
        };
        if let Ok(id) = self.stack.listen(&options) {
            let limit = self.stack.listener_view(id).expect("it listens").accept_queue.limit;
            let (sysctls, semantics) = (self.stack.sysctls(), self.stack.semantics());
            let table = SynQueue::of_listener(limit, sysctls.max_syn_backlog, semantics);
            self.listeners.push(Listening { id, options, table, open: true });
        }
    }

    fn accept(&mut self, listener: u8) {
        let Some(at) = usize::from(listener).checked_rem(self.listeners.len()) else { return };
        let id = self.listeners[at].id;
        let waiting = self.stack.listener_view(id).map_or(0, |view| view.accept_queue.depth);
        let accepted = self.stack.accept(id, 1);
        assert_eq!(accepted.is_some(), waiting > 0, "accept takes what waits");
        if let Some(socket) = accepted {
            self.ledger.accepted += 1;
            self.held.push(socket);
        }
    }

    fn connect(&mut self, peer: u8, to_ourselves: bool, delay_ack: bool) {
        let peer = self.peer(peer).address;
        let to = if to_ourselves { SocketAddrV4::new(HERE, PORT) } else { peer };
        let options = ConnectOptions { from: HERE, to, tag: 0, delay_ack, keepalive_s: 0 };
        if let Ok(connect) = self.stack.connect(self.now, &options, &mut self.effects) {
            self.held.push(connect.socket);
        }
    }

    fn close_listener(&mut self, listener: u8) {
        let Some(at) = usize::from(listener).checked_rem(self.listeners.len()) else { return };
        let Listening { id, options, open, .. } = self.listeners[at];
        if !open {
            return;
        }
        let before = self.seen();
        let view = before.listeners[&id.0];
        let heir = options.reuseport
            && self.stack.semantics().queues.migrate_req == MigrateReq::Moves
            && self.stack.sysctls().migrate_req
            && self.listeners.iter().any(|other| {
                let same = (other.options.address, other.options.port, other.options.reuseport)
                    == (options.address, options.port, true);
                other.open && other.id != id && same
            });
        self.stack.close_listener(self.now, id, &mut self.effects);
        self.listeners[at].open = false;
        let after = self.seen();
        let vanished = before.requests.difference(&after.requests).count() as u64;
        if self.stack.semantics().queues.requests_in_ehash {
            assert_eq!(vanished, 0, "requests outlive their listener");
            self.orphans |= view.requests > 0;
        } else {
            assert_eq!(vanished, u64::from(view.requests), "requests go with their listener");
        }
        self.ledger.abandoned += vanished;
        self.ledger.drops_of_closed += u64::from(view.drops);
        let depth_of = |seen: &Seen| -> u64 {
            seen.listeners.values().map(|view| u64::from(view.accept_queue.depth)).sum()
        };
        let lost = depth_of(&before) - depth_of(&after);
        let expected = if heir { 0 } else { u64::from(view.accept_queue.depth) };
        assert_eq!(lost, expected, "what waits is reset, or taken over whole");
        self.ledger.discarded += lost;
    }

    fn send_in_order(&mut self, peer: u8, flags: Flags, bytes: u32) {
        let Peer { next, expected, .. } = *self.peer(peer);
        self.send(peer, flags, next, expected, bytes);
    }

    fn send(&mut self, peer: u8, flags: Flags, seq: Seq, ack: Seq, bytes: u32) {
        let Peer { address, port, clock, .. } = *self.peer(peer);
        let timestamps = self.setting.timestamps.then(|| Timestamps {
            value: u32::try_from(self.now.as_millis() & 0xffff_ffff).expect("32 bits"),
            echo: clock,
        });
        let to = SocketAddrV4::new(HERE, PORT + u16::from(port));
        let segment = Segment { from: address, to, seq, ack, flags, payload: bytes, timestamps };
        self.deliver(&segment);
    }

    /// Brings a segment to the stack and enters its outcome into the ledger.
    fn deliver(&mut self, segment: &Segment) {
        let pair = (segment.to, segment.from);
        let before = self.seen();
        let reason = self.stack.on_segment(self.now, segment, &mut self.effects);
        let after = self.seen();
        self.log.push(reason);
        if let Some(reason) = reason {
            *self.ledger.dropped.entry(reason).or_default() += 1;
        }
        for changed in before.requests.symmetric_difference(&after.requests) {
            assert_eq!(*changed, pair, "a segment makes or ends no other's request");
        }
        self.follow_syn(segment, reason, &before, &after);
        self.follow_request(pair, reason, &before, &after);
        self.check_growth(pair, &before, &after);
    }

    /// Brings an ICMP error to the stack. Law: it ends the request that it is about if it gives a reason,
    /// and nothing else changes by it.
    fn unreachable(&mut self, peer: u8, what: Unreachable, beyond: u32) {
        let Peer { address, port, next, expected, .. } = *self.peer(peer);
        let from = SocketAddrV4::new(HERE, PORT + u16::from(port));
        let seq = Seq(expected.0.wrapping_sub(1)) + beyond;
        let flags = Flags::SYN | Flags::ACK;
        let (payload, timestamps) = (0, None);
        let about = Segment { from, to: address, seq, ack: next, flags, payload, timestamps };
        let before = self.seen();
        let reason = self.stack.on_unreachable(what, &about, &mut self.effects);
        let after = self.seen();
        self.log.push(reason);
        let mut left = before.requests.clone();
        if let Some(reason) = reason {
            assert_eq!(reason, DropReason::RequestUnreachable);
            assert!(left.remove(&(from, address)), "{about}");
            *self.ledger.dropped.entry(reason).or_default() += 1;
            self.ledger.unreachable += 1;
            let drops_of = |seen: &Seen| -> u64 {
                seen.listeners.values().map(|view| u64::from(view.drops)).sum()
            };
            let counted = self.stack.semantics().counting.listener_counts_its_drops;
            if counted && drops_of(&before) == drops_of(&after) {
                assert!(self.orphans, "its listener has closed");
                self.ledger.drops_of_closed += 1;
            }
        }
        assert_eq!((left, before.sockets), (after.requests, after.sockets), "{about}");
        assert!(self.effects.segments.is_empty(), "nothing answers an ICMP error");
    }

    /// Law: a SYN for a listener, from a pair of which nothing is known, is kept, answered with a
    /// cookie, or refused for a reason: one of them.
    fn follow_syn(
        &mut self,
        segment: &Segment,
        reason: Option<DropReason>,
        before: &Seen,
        after: &Seen,
    ) {
        let pair = (segment.to, segment.from);
        let refused = reason.is_some_and(|r| r.is_syn() && r != DropReason::RepeatedSynLimited);
        let cookies = after.sent_cookies - before.sent_cookies;
        // A request whose listener has closed gives way to one of the listener's that took its port.
        let replaced = before.requests.contains(&pair)
            && before.migrated == after.migrated
            && before.requests_of_listeners() < after.requests_of_listeners();
        let made = replaced || !before.requests.contains(&pair) && after.requests.contains(&pair);
        let outcomes = u64::from(refused) + cookies + u64::from(made);
        self.ledger.cookies += cookies;
        self.ledger.requests += u64::from(made);
        self.ledger.abandoned += u64::from(replaced);
        let known = before.requests.contains(&pair) || before.sockets.contains(&pair);
        let listens = self.listeners.iter().any(|l| l.open && l.options.port == pair.0.port());
        let asks = segment.is_syn() && !segment.flags.has(Flags::RST) && listens;
        if asks && !known {
            assert_eq!(outcomes, 1, "{segment}: {reason:?}");
        } else if outcomes > 0 {
            let given_up = before.time_wait.contains(&pair) || self.orphans;
            assert!(asks && given_up && outcomes == 1, "{segment}: {reason:?}");
        }
    }

    /// Law: a request that a segment ended was promoted or reset, or its listener had closed.
    fn follow_request(
        &mut self,
        pair: (SocketAddrV4, SocketAddrV4),
        reason: Option<DropReason>,
        before: &Seen,
        after: &Seen,
    ) {
        let was_reset = matches!(
            reason,
            Some(
                DropReason::RequestReset
                    | DropReason::SynInsideRequest
                    | DropReason::ThirdAckAborted
            )
        );
        let of_cookie = after.cookies_taken - before.cookies_taken;
        let of_cookie = of_cookie - u64::from(reason == Some(DropReason::CookieAckQueueFull));
        let promoted = after.children - before.children - of_cookie;
        let ended = before.requests.contains(&pair) && !after.requests.contains(&pair);
        assert!(promoted <= 1 && of_cookie <= 1);
        assert!(ended || !was_reset && promoted == 0, "{reason:?}");
        self.ledger.promoted += promoted;
        self.ledger.reset += u64::from(was_reset);
        if ended && !was_reset && promoted == 0 {
            assert!(self.orphans, "{pair:?}: {reason:?}");
            self.ledger.abandoned += 1;
        }
    }

    /// Segments of ours that go to ourselves arrive; those for peers are taken note of.
    fn settle(&mut self) {
        for _ in 0..64 {
            self.take_note_of_events();
            let segments = std::mem::take(&mut self.effects.segments);
            if segments.is_empty() {
                return;
            }
            for segment in segments {
                if *segment.to.ip() == HERE {
                    self.deliver(&segment);
                } else {
                    self.reach_peer(&segment);
                }
            }
        }
        self.effects.segments.clear();
    }

    fn take_note_of_events(&mut self) {
        for event in std::mem::take(&mut self.effects.events) {
            if let Event::ConnectFailed { .. } = event {
                let stack = &self.stack;
                self.held.retain(|&socket| stack.state(socket).is_some());
            }
        }
    }

    fn reach_peer(&mut self, segment: &Segment) {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.address == segment.to) else {
            return;
        };
        if segment.flags.has(Flags::RST) {
            return;
        }
        peer.expected = segment.end();
        if segment.flags.has(Flags::ACK) {
            peer.next = segment.ack;
        }
        if let Some(timestamps) = segment.timestamps {
            peer.clock = timestamps.value;
        }
    }

    fn pass(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(at) = self.stack.next_deadline().filter(|&at| at <= end) {
            assert!(at >= self.now, "a deadline in the past: {at} < {}", self.now);
            let (before, fate) = (self.seen(), self.fate());
            self.now = at;
            self.stack.on_timer(at, &mut self.effects);
            let after = self.seen();
            let come = after.requests.difference(&before.requests).count();
            assert_eq!(come, 0, "a timer makes no request");
            let expired = before.requests.difference(&after.requests).count() as u64;
            self.ledger.expired += expired;
            assert_eq!(self.fate(), fate, "timers end requests, and nothing else of them");
            assert!(self.stack.next_deadline().is_none_or(|next| next > at), "not done at {at}");
            self.settle();
        }
        self.now = end;
    }

    /// What became of requests other than by time.
    fn fate(&self) -> (u64, u64) {
        let counters = self.stack.counters();
        (counters.value(Counter::PassiveOpens), counters.value(Counter::EmbryonicRsts))
    }

    /// Before its deadline, a timer does nothing.
    fn fire_nothing_early(&mut self) {
        let deadline = self.stack.next_deadline();
        if deadline.is_some_and(|at| at <= self.now) {
            self.pass(Span::ZERO);
            return;
        }
        let before = self.stack.counters().clone();
        self.stack.on_timer(self.now, &mut self.effects);
        assert!(self.effects.segments.is_empty() && self.effects.events.is_empty());
        assert_eq!(*self.stack.counters(), before);
        assert_eq!(self.stack.next_deadline(), deadline);
    }

    fn seen(&self) -> Seen {
        let views: Vec<_> = self.stack.socket_views(self.now).collect();
        let of = |is_one: &dyn Fn(TcpState) -> bool| {
            views.iter().filter(|v| is_one(v.state)).map(|v| (v.local, v.peer)).collect()
        };
        let counters = self.stack.counters();
        Seen {
            listeners: self.stack.listener_views().map(|(id, view)| (id.0, view)).collect(),
            requests: of(&|state| state == TcpState::NewSynRecv),
            time_wait: of(&|state| state == TcpState::TimeWait),
            sockets: of(&|state| state != TcpState::NewSynRecv),
            sent_cookies: counters.value(Counter::SyncookiesSent),
            cookies_taken: counters.value(Counter::SyncookiesRecv),
            children: counters.value(Counter::PassiveOpens),
            migrated: counters.value(Counter::TcpMigrateReqSuccess),
        }
    }

    /// Law: a queue grows only while it has room. Exceptions, each the kernel's own: a migration puts
    /// children (when a listener closes) and requests (when they are looked at next) into queues
    /// without a look at their limits; a SYN that follows a connection in TIME_WAIT skips the SYN
    /// queue's test and the last-quarter rule, not the accept queue's; and listen() again with a
    /// smaller limit, which rules the SYN queue too from 4.4 on, leaves in what is there.
    fn check_growth(&self, pair: (SocketAddrV4, SocketAddrV4), before: &Seen, after: &Seen) {
        let (semantics, sysctls) = (self.stack.semantics(), self.stack.sysctls());
        for (number, after_it) in &after.listeners {
            let was = before.listeners[number];
            if after_it.accept_queue.depth > was.accept_queue.depth {
                assert!(!was.accept_queue.is_full(), "{was:?} -> {after_it:?}");
            }
            if after_it.requests <= was.requests || before.migrated != after.migrated {
                continue;
            }
            let crowd_is_young = match semantics.queues.syn_on_full_accept_queue {
                SynOnFullAcceptQueue::Dropped => true,
                SynOnFullAcceptQueue::DroppedIfYoungRequests => was.young > 1,
            };
            assert!(!(was.accept_queue.is_full() && crowd_is_young), "{was:?} -> {after_it:?}");
            if before.time_wait.contains(&pair) {
                continue;
            }
            let own = self.listeners.iter().find(|own| own.id.0 == *number);
            let queue = match semantics.queues.syn_queue_full {
                SynQueueFull::PowerOfTwoTable => own.expect("opened here").table,
                SynQueueFull::AtLimit | SynQueueFull::AboveLimit => {
                    SynQueue::of_listener(was.accept_queue.limit, 0, semantics)
                }
            };
            assert!(!queue.is_full(u64::from(was.requests)), "{was:?} -> {after_it:?}");
            let reserve = last_quarter_threshold(sysctls.max_syn_backlog);
            if sysctls.syncookies == 0 && sysctls.no_metrics_save {
                assert!(was.requests < reserve, "{was:?} -> {after_it:?}");
            }
        }
    }

    /// Laws that hold at every moment.
    fn check(&self) {
        self.check_sums();
        self.check_counters();
        self.check_views();
    }

    /// Law: whatever came in is somewhere.
    fn check_sums(&self) {
        let (counters, ledger) = (self.stack.counters(), &self.ledger);
        let dropped = |reason| ledger.dropped.get(&reason).copied().unwrap_or(0);
        for &reason in DropReason::ALL {
            assert_eq!(self.stack.dropped(reason), dropped(reason), "{reason}");
        }
        let ended =
            ledger.promoted + ledger.reset + ledger.unreachable + ledger.expired + ledger.abandoned;
        assert_eq!(ledger.requests, ended + self.seen_requests(), "{ledger:?}");
        let depths: u64 =
            self.stack.listener_views().map(|(_, v)| u64::from(v.accept_queue.depth)).sum();
        assert_eq!(
            counters.value(Counter::PassiveOpens),
            ledger.accepted + ledger.discarded + depths,
            "each child waits, was accepted, or was reset with its listener: {ledger:?}"
        );
    }

    fn seen_requests(&self) -> u64 {
        let views = self.stack.socket_views(self.now);
        views.filter(|view| view.state == TcpState::NewSynRecv).count() as u64
    }

    /// Law: a counter is the sum of the reasons that name it.
    fn check_counters(&self) {
        let semantics = self.stack.semantics();
        let counters = self.stack.counters();
        for counter in [
            Counter::ListenOverflows,
            Counter::ListenDrops,
            Counter::TcpReqQFullDrop,
            Counter::TcpReqQFullDoCookies,
            Counter::TcpDeferAcceptDrop,
            Counter::EmbryonicRsts,
            Counter::TsEcrRejected,
            Counter::TcpAckSkippedSynRecv,
            Counter::TcpAckSkippedChallenge,
            Counter::TcpSynChallenge,
            Counter::TcpChallengeAck,
            Counter::InErrs,
            Counter::SyncookiesFailed,
            Counter::SyncookiesSent,
        ] {
            let named = |reason: DropReason| {
                reason.counters(semantics).filter(|&named| named == counter).count() as u64
            };
            let dropped: u64 =
                self.ledger.dropped.iter().map(|(&reason, count)| named(reason) * count).sum();
            let per_cookie =
                counters_of_cookie(semantics).filter(|&named| named == counter).count() as u64;
            let sum = dropped + per_cookie * self.ledger.cookies;
            assert_eq!(counters.value(counter), sum, "{counter}: {:?}", self.ledger);
        }
        let value = |counter| counters.value(counter);
        // Each SYN, segment with data and FIN is delivered once; each time-out that ends nothing sends again.
        let sent = value(Counter::ActiveOpens) + value(Counter::TcpOrigDataSent);
        assert!(value(Counter::TcpDelivered) <= sent);
        assert!(value(Counter::TcpTimeoutRehash) <= value(Counter::TcpTimeouts));
        if semantics.counting.timeout_rehashes_are_counted {
            assert!(value(Counter::TcpLostRetransmit) <= value(Counter::TcpTimeoutRehash));
        }
        let drops: u64 = self.stack.listener_views().map(|(_, view)| u64::from(view.drops)).sum();
        let drops = drops + self.ledger.drops_of_closed;
        let counted = semantics.counting.listener_counts_its_drops;
        assert_eq!(drops, if counted { counters.value(Counter::ListenDrops) } else { 0 });
    }

    /// Law: what a dump shows of connections agrees with what listeners and counters say.
    fn check_views(&self) {
        let semantics = self.stack.semantics();
        let (mut current, mut requests, mut queued) = (0, 0, 0);
        for view in self.stack.socket_views(self.now) {
            let counts = view.state == TcpState::Established
                || view.state == TcpState::CloseWait && semantics.counting.close_wait_is_current;
            current += u64::from(counts);
            requests += u64::from(view.state == TcpState::NewSynRecv);
            queued += u64::from(view.queued);
            assert!(!(view.queued && view.held), "{view:?}");
        }
        assert_eq!(self.stack.counters().value(Counter::CurrEstab), current);
        let (mut of_listeners, mut depths) = (0, 0);
        for (id, view) in self.stack.listener_views() {
            assert!(view.young <= view.requests, "{id:?}: {view:?}");
            assert_eq!(self.stack.listener_view(id), Some(view));
            of_listeners += u64::from(view.requests);
            depths += u64::from(view.accept_queue.depth);
        }
        assert!(queued <= depths, "those that were reset keep their place unseen");
        if self.orphans {
            assert!(of_listeners <= requests);
        } else {
            assert_eq!(of_listeners, requests);
        }
    }
}
