//! The stack against what was measured on a real kernel (6.18) with a peer that speaks TCP segment by
//! segment, and against what the sources of older ones say.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::*;
use crate::{KernelVersion, Span, TcpState};

const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), 8080);

/// A namespace with one listener, and peers that send what they are told.
struct Scene {
    stack: Stack,
    listener: ListenerId,
    effects: Effects,
    now: Time,
}

impl Scene {
    fn new(kernel: &str, settings: &[(&str, &str)], backlog: i32) -> Self {
        Self::with(kernel, settings, options(backlog))
    }

    fn with(kernel: &str, settings: &[(&str, &str)], options: ListenOptions) -> Self {
        let version: KernelVersion = kernel.parse().expect("a release");
        let semantics = Semantics::of(version);
        let mut sysctls = Sysctls::defaults(&semantics);
        for (name, value) in settings {
            sysctls.set(name, value, &semantics).expect("a setting");
        }
        let mut stack = Stack::new(semantics, sysctls, 7);
        let listener = stack.listen(&options).expect("nobody else listens");
        Self { stack, listener, effects: Effects::default(), now: Time::ZERO }
    }

    /// Lets a peer send a segment; returns why it came to nothing, and what came back.
    fn send(
        &mut self,
        peer: u16,
        flags: Flags,
        seq: u32,
        ack: Seq,
        payload: u32,
    ) -> (Option<DropReason>, Vec<Segment>) {
        let from = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 16), 20_000 + peer);
        let seq = Seq(seq);
        let segment = Segment { from, to: SERVER, seq, ack, flags, payload, timestamps: None };
        let reason = self.stack.on_segment(self.now, &segment, &mut self.effects);
        (reason, std::mem::take(&mut self.effects.segments))
    }

    /// A peer's SYN; the sequence number of the SYN-ACK that came back.
    fn syn(&mut self, peer: u16) -> Option<Seq> {
        self.send(peer, Flags::SYN, 100, Seq(0), 0).1.first().map(|answer| answer.seq)
    }

    fn syn_only(&mut self, peer: u16) {
        self.send(peer, Flags::SYN, 100, Seq(0), 0);
    }

    fn ack(&mut self, peer: u16, isn: Seq) -> Option<DropReason> {
        self.send(peer, Flags::ACK, 101, isn + 1, 0).0
    }

    /// A whole handshake; false if the SYN was not answered.
    fn connect(&mut self, peer: u16) -> bool {
        let isn = self.syn(peer);
        isn.is_some_and(|isn| self.ack(peer, isn).is_none())
    }

    /// Lets time pass; the moments at which something was sent, in milliseconds.
    fn pass(&mut self, millis: u64) -> Vec<u64> {
        let end = self.now + Span::from_millis(millis);
        let mut sent = Vec::new();
        while let Some(at) = self.stack.next_deadline().filter(|&at| at <= end) {
            self.stack.on_timer(at, &mut self.effects);
            sent.extend(self.effects.segments.drain(..).map(|_| at.as_millis()));
        }
        self.now = end;
        sent
    }

    fn count(&self, counter: Counter) -> u64 {
        self.stack.counters().value(counter)
    }

    fn counts<const N: usize>(&self, counters: [Counter; N]) -> [u64; N] {
        counters.map(|counter| self.count(counter))
    }

    fn view(&self) -> ListenerView {
        self.stack.listener_view(self.listener).expect("it listens")
    }
}

fn options(backlog: i32) -> ListenOptions {
    ListenOptions {
        address: Ipv4Addr::UNSPECIFIED,
        port: 8080,
        backlog,
        reuseport: false,
        defer_accept_s: 0,
        syn_retries: None,
    }
}

const NO_COOKIES: &[(&str, &str)] = &[("tcp_syncookies", "0")];
const OVERFLOW: [Counter; 2] = [Counter::ListenOverflows, Counter::ListenDrops];

#[test]
fn backlog_n_holds_n_plus_one_and_then_syns_are_dropped() {
    for (backlog, room) in [(0, 1), (1, 2), (3, 4)] {
        let mut scene = Scene::new("6.18.44", NO_COOKIES, backlog);
        let connected = (0..room + 3).filter(|&peer| scene.connect(peer)).count();
        assert_eq!(connected, usize::from(room), "backlog {backlog}");
        assert_eq!(scene.counts(OVERFLOW), [3, 3]);
        assert_eq!(scene.view().drops, 3);
    }
}

#[test]
fn twenty_bare_syns_at_backlog_eight() {
    use Counter::{ListenDrops, SyncookiesSent, TcpReqQFullDoCookies, TcpReqQFullDrop};
    let counters = [TcpReqQFullDrop, TcpReqQFullDoCookies, SyncookiesSent, ListenDrops];
    for (cookies, answered, requests, counted) in
        [("0", 9, 9, [11, 0, 0, 11]), ("1", 20, 9, [0, 11, 11, 0]), ("2", 20, 0, [0, 20, 20, 0])]
    {
        let mut scene = Scene::new("6.18.44", &[("tcp_syncookies", cookies)], 8);
        let syn_acks = (0..20).filter_map(|peer| scene.syn(peer)).count();
        assert_eq!(syn_acks, answered, "cookies {cookies}");
        assert_eq!(scene.view().requests, requests);
        assert_eq!(scene.counts(counters), counted);
    }
}

#[test]
fn the_last_quarter_of_max_syn_backlog_is_dropped_without_cookies_only() {
    let small = ("tcp_max_syn_backlog", "16");
    let mut scene = Scene::new("6.18.44", &[("tcp_syncookies", "0"), small], 128);
    (0..20).for_each(|peer| scene.syn_only(peer));
    assert_eq!((scene.view().requests, scene.counts(OVERFLOW)), (13, [0, 7]));
    let mut scene = Scene::new("6.18.44", &[("tcp_syncookies", "1"), small], 128);
    (0..20).for_each(|peer| scene.syn_only(peer));
    assert_eq!((scene.view().requests, scene.counts(OVERFLOW)), (20, [0, 0]));
}

#[test]
fn a_cookie_does_not_get_past_a_full_accept_queue() {
    let mut scene = Scene::new("6.18.44", &[("tcp_syncookies", "2")], 0);
    assert!(scene.connect(0));
    assert_eq!(scene.syn(1), None);
    let counters = [Counter::TcpReqQFullDoCookies, Counter::SyncookiesSent];
    assert_eq!((scene.counts(counters), scene.counts(OVERFLOW)), ([2, 1], [1, 1]));
}

/// A full queue, and two peers whose requests were admitted before it filled.
fn two_too_many(settings: &[(&str, &str)]) -> (Scene, [Seq; 2]) {
    let mut scene = Scene::new("6.18.44", settings, 3);
    let early = [4, 5].map(|peer| scene.syn(peer).expect("room for requests"));
    assert!((0..4).all(|peer| scene.connect(peer)));
    (scene, early)
}

#[test]
fn third_acks_at_a_full_queue_are_ignored_and_data_gets_in_after_an_accept() {
    let (mut scene, early) = two_too_many(NO_COOKIES);
    assert_eq!(scene.ack(4, early[0]), Some(DropReason::ThirdAckQueueFull));
    assert_eq!(scene.ack(5, early[1]), Some(DropReason::ThirdAckQueueFull));
    assert_eq!((scene.counts(OVERFLOW), scene.view().requests), ([2, 2], 2));
    assert!(scene.stack.socket_views(scene.now).filter(|view| view.acked).count() == 2);
    assert!(scene.stack.accept(scene.listener, 0).is_some());
    let (reason, answers) = scene.send(4, Flags::PSH | Flags::ACK, 101, early[0] + 1, 16);
    assert_eq!((reason, answers.len()), (None, 1), "promoted, and the data acknowledged");
    assert_eq!(scene.count(Counter::PassiveOpens), 5);
    assert_eq!(scene.stack.dropped(DropReason::ThirdAckQueueFull), 2);
}

#[test]
fn abort_on_overflow_answers_third_acks_by_reset_and_syns_by_silence() {
    let settings = [NO_COOKIES[0], ("tcp_abort_on_overflow", "1")];
    let (mut scene, early) = two_too_many(&settings);
    for (peer, isn) in [4, 5].into_iter().zip(early) {
        let (reason, answers) = scene.send(peer, Flags::ACK, 101, isn + 1, 0);
        assert_eq!(reason, Some(DropReason::ThirdAckAborted));
        assert_eq!(answers[0].flags, Flags::RST);
    }
    let resets = [Counter::EmbryonicRsts, Counter::OutRsts, Counter::AttemptFails];
    assert_eq!((scene.counts(resets), scene.counts(OVERFLOW)), ([2, 2, 0], [2, 2]));
    assert_eq!((scene.view().requests, scene.syn(9)), (0, None));
}

#[test]
fn cookie_acks_beyond_the_accept_queue_are_ignored() {
    let mut scene = Scene::new("6.18.44", &[("tcp_syncookies", "2")], 1);
    let isns: Vec<Seq> = (0..4).filter_map(|peer| scene.syn(peer)).collect();
    for (peer, isn) in (0..4).zip(isns) {
        let reason = scene.ack(peer, isn);
        assert_eq!(reason, (peer >= 2).then_some(DropReason::CookieAckQueueFull));
    }
    let counters = [Counter::SyncookiesRecv, Counter::PassiveOpens];
    assert_eq!((scene.counts(counters), scene.counts(OVERFLOW)), ([4, 2], [2, 2]));
}

#[test]
fn a_silent_request_is_sent_five_times_more_and_forgotten_without_a_reset() {
    let mut scene = Scene::new("6.18.44", NO_COOKIES, 8);
    assert!(scene.syn(0).is_some());
    assert_eq!(scene.pass(70_000), [1000, 3000, 7000, 15_000, 31_000]);
    let counters = [Counter::TcpTimeouts, Counter::TcpSynRetrans, Counter::RetransSegs];
    assert_eq!((scene.counts(counters), scene.view().requests), ([6, 5, 5], 0));
    let (reason, answers) = scene.send(0, Flags::ACK, 101, Seq(5), 0);
    assert_eq!((reason, answers[0].flags), (Some(DropReason::CookieNotAsked), Flags::RST));
}

#[test]
fn a_crowded_syn_queue_gives_up_five_of_nine_at_the_third_timeout() {
    let mut scene = Scene::new("6.18.44", NO_COOKIES, 8);
    (0..9).for_each(|peer| scene.syn_only(peer));
    scene.pass(6999);
    assert_eq!(scene.view().requests, 9);
    scene.pass(1);
    assert_eq!(scene.view().requests, 4);
    scene.pass(60_000);
    assert_eq!(scene.view().requests, 0);
    let counters = [Counter::TcpTimeouts, Counter::TcpSynRetrans];
    assert_eq!(scene.counts(counters), [39, 30]);
}

#[test]
fn of_requests_that_came_at_once_a_crowded_syn_queue_keeps_the_first() {
    // Each firing turns the order of the next round: at 7 s the request that came last fires first,
    // and is the first to be given up. Measured on 6.18; before 4.8 the order never turns.
    for (kernel, first_kept) in [("6.18.44", 0), ("4.7.0", 5)] {
        let mut scene = Scene::new(kernel, NO_COOKIES, 9);
        (0..9).for_each(|peer| scene.syn_only(peer));
        scene.pass(7_000);
        let kept = scene.stack.socket_views(scene.now).map(|view| view.peer.port() - 20_000);
        let mut kept: Vec<u16> = kept.collect();
        kept.sort_unstable();
        let expected: Vec<u16> = (first_kept..).take(kept.len()).collect();
        assert_eq!((kept.len(), kept), (4, expected), "{kernel}");
    }
}

#[test]
fn repeated_syns_are_answered_twice_a_second_at_most() {
    let mut scene = Scene::new("6.18.44", NO_COOKIES, 8);
    let mut answered = Vec::new();
    for (wait, peer) in [(0, 0), (100, 0), (100, 0), (700, 0), (100, 0)] {
        scene.pass(wait);
        answered.push(scene.syn(peer).is_some());
    }
    assert_eq!(answered, [true, true, false, true, false]);
    assert_eq!(scene.count(Counter::TcpAckSkippedSynRecv), 2);
    assert_eq!(scene.pass(1000), [1900], "the timer runs from the last answer");
}

#[test]
fn a_reset_in_the_window_removes_a_request_and_a_wrong_ack_does_not() {
    let mut scene = Scene::new("6.18.44", NO_COOKIES, 8);
    let isn = scene.syn(0).expect("answered");
    let (reason, answers) = scene.send(0, Flags::ACK, 101, isn + 1001, 0);
    assert_eq!((reason, answers[0].flags), (Some(DropReason::WrongAck), Flags::RST));
    assert_eq!((scene.view().requests, scene.count(Counter::OutRsts)), (1, 1));
    let (reason, answers) = scene.send(0, Flags::RST, 101, Seq(0), 0);
    assert_eq!((reason, answers.len()), (Some(DropReason::RequestReset), 0));
    let counters = [Counter::AttemptFails, Counter::EmbryonicRsts];
    assert_eq!((scene.view().requests, scene.counts(counters)), (0, [1, 1]));
}

#[test]
fn a_child_that_is_reset_keeps_its_place_and_no_dump_shows_it() {
    let mut scene = Scene::new("6.18.44", NO_COOKIES, 3);
    assert!((0..3).all(|peer| scene.connect(peer)));
    let (reason, _) = scene.send(1, Flags::RST, 101, Seq(0), 0);
    assert_eq!(reason, None);
    assert_eq!(scene.view().accept_queue.depth, 3);
    assert_eq!(scene.stack.socket_views(scene.now).count(), 2);
    assert!(scene.stack.accept(scene.listener, 0).is_some());
    let dead = scene.stack.accept(scene.listener, 0).expect("handed over all the same");
    assert_eq!(scene.stack.state(dead), Some(TcpState::Close));
}

#[test]
fn closing_a_listener_resets_what_waits_and_forgets_requests_silently() {
    let mut scene = Scene::new("6.18.44", NO_COOKIES, 3);
    assert!(scene.connect(0) && scene.connect(1));
    let isn = scene.syn(2).expect("answered");
    scene.stack.close_listener(scene.now, scene.listener, &mut scene.effects);
    let flags: Vec<Flags> = scene.effects.segments.drain(..).map(|s| s.flags).collect();
    assert_eq!(flags, [Flags::RST | Flags::ACK; 2]);
    assert_eq!(scene.counts([Counter::EstabResets, Counter::OutRsts]), [2, 2]);
    let (reason, answers) = scene.send(2, Flags::ACK, 101, isn + 1, 0);
    assert_eq!((reason, answers.len()), (Some(DropReason::NoSocket), 1));
    assert_eq!(scene.pass(70_000), []);
}

#[test]
fn a_migration_fills_a_queue_beyond_its_limit() {
    let shared = ListenOptions { reuseport: true, ..options(3) };
    let mut scene = Scene::with("6.18.44", &[("tcp_migrate_req", "1")], shared);
    let sibling = scene.stack.listen(&shared).expect("the port is shared");
    assert_eq!((0..40).filter(|&peer| scene.connect(peer)).count(), 8, "four each");
    scene.stack.close_listener(scene.now, scene.listener, &mut scene.effects);
    let queue = scene.stack.listener_view(sibling).expect("it listens").accept_queue;
    assert_eq!((queue.depth, queue.limit), (8, 3));
    assert_eq!(scene.count(Counter::TcpMigrateReqSuccess), 4);
}

#[test]
fn only_a_sibling_of_the_group_takes_over() {
    let own = |host, reuseport| {
        let address = Ipv4Addr::new(10, 77, 0, host);
        ListenOptions { address, reuseport, ..options(3) }
    };
    for (first, second) in [(own(1, false), own(2, false)), (own(1, true), own(2, true))] {
        let mut scene = Scene::with("6.18.44", &[("tcp_migrate_req", "1")], first);
        scene.stack.listen(&second).expect("another address");
        assert!(scene.connect(0) && scene.syn(1).is_some());
        scene.stack.close_listener(scene.now, scene.listener, &mut scene.effects);
        assert_eq!(scene.count(Counter::EstabResets), 1);
        scene.pass(2000);
        assert_eq!(scene.stack.socket_views(scene.now).count(), 0);
        assert_eq!(scene.count(Counter::TcpMigrateReqSuccess), 0);
    }
}

#[test]
fn deferred_accept_waits_for_data_and_sends_the_syn_ack_again_late() {
    let deferring = ListenOptions { defer_accept_s: 10, ..options(8) };
    let mut scene = Scene::with("6.18.44", NO_COOKIES, deferring);
    let isn = scene.syn(0).expect("answered");
    assert_eq!(scene.ack(0, isn), Some(DropReason::Deferred));
    assert_eq!(scene.count(Counter::TcpDeferAcceptDrop), 1);
    assert_eq!(scene.pass(70_000), [15_000, 31_000]);
    let isn = scene.syn(1).expect("answered");
    let (reason, _) = scene.send(1, Flags::PSH | Flags::ACK, 101, isn + 1, 16);
    assert_eq!((reason, scene.view().accept_queue.depth), (None, 1));
}

#[test]
fn a_request_that_is_deferred_for_ever_ends_after_255_timeouts() {
    let deferring = ListenOptions { defer_accept_s: u32::MAX, ..options(8) };
    let settings = [("tcp_synack_retries", "255"), NO_COOKIES[0]];
    let mut scene = Scene::with("6.18.44", &settings, deferring);
    let isn = scene.syn(0).expect("answered");
    assert_eq!(scene.ack(0, isn), Some(DropReason::Deferred));
    scene.pass(255 * 120_000);
    assert_eq!(scene.view().requests, 0);
}

#[test]
fn more_bytes_than_a_counter_holds_do_no_harm() {
    let mut scene = Scene::new("6.18.44", NO_COOKIES, 8);
    let isn = scene.syn(0).expect("answered");
    assert_eq!(scene.ack(0, isn), None);
    scene.send(0, Flags::PSH | Flags::ACK, 101, isn + 1, u32::MAX);
    scene.send(0, Flags::FIN | Flags::ACK, 100, isn + 1, u32::MAX);
    let child = scene.stack.accept(scene.listener, 0).expect("a connection");
    let view = scene.stack.socket_view(child, scene.now).expect("a socket");
    assert_eq!((view.unread, view.state), (u32::MAX, TcpState::CloseWait));
}

#[test]
fn no_more_is_sent_than_sequence_numbers_can_tell_apart() {
    let mut scene = Scene::new("6.18.44", NO_COOKIES, 8);
    assert!(scene.connect(0));
    let child = scene.stack.accept(scene.listener, 0).expect("a connection");
    let Scene { stack, effects, now, .. } = &mut scene;
    assert!(!stack.write(*now, child, u32::MAX, effects));
    assert!(stack.write(*now, child, 1 << 30, effects));
    assert!(!stack.write(*now, child, 1, effects));
    stack.close(*now, child, effects);
    assert!(scene.pass(2_000_000).len() > 10, "data and FIN are sent again");
    assert_eq!(scene.stack.sockets(), 0);
}

#[test]
fn the_storm_of_a_kernel_that_truncates_the_backlog_to_nothing() {
    let settings = [("somaxconn", "262144"), ("tcp_syncookies", "0")];
    let mut scene = Scene::new("3.10.4", &settings, 262_144);
    assert_eq!(scene.view().accept_queue.limit, 0);
    assert!(scene.connect(0));
    // Up to two young requests get in although the queue is full; their third ACK is ignored.
    let isns: Vec<Seq> = (1..4).filter_map(|peer| scene.syn(peer)).collect();
    assert_eq!(isns.len(), 2);
    assert_eq!(scene.ack(1, isns[0]), Some(DropReason::ThirdAckQueueFull));
    assert_eq!(scene.counts(OVERFLOW), [2, 2]);
}

#[test]
fn kernels_before_3_10_drop_syns_without_a_trace() {
    let mut scene = Scene::new("2.6.32", &[], 0);
    assert!(scene.connect(0));
    (1..10).for_each(|peer| scene.syn_only(peer));
    assert_eq!(scene.stack.dropped(DropReason::SynAcceptQueueFull), 7);
    assert_eq!(scene.counts(OVERFLOW), [0, 0]);
}

#[test]
fn old_kernels_look_at_requests_in_ticks() {
    let mut scene = Scene::new("3.10.0-1160.el7", NO_COOKIES, 128);
    assert!(scene.syn(0).is_some());
    let sent = scene.pass(80_000);
    assert_eq!(sent.len(), 5, "{sent:?}");
    for (at, due) in sent.iter().zip([1000, 3000, 7000, 15_000, 31_000]) {
        assert!((0..=3000).contains(&(at - due)), "{sent:?}");
        assert_eq!(at % 200, 0);
    }
}

#[test]
fn time_wait_ends_by_the_next_reset_and_gives_way_to_a_new_syn_if_somebody_listens() {
    let mut scene = Scene::new("6.18.44", NO_COOKIES, 8);
    let isn = scene.syn(0).expect("answered");
    assert_eq!(scene.ack(0, isn), None);
    let child = scene.stack.accept(scene.listener, 0).expect("a connection");
    scene.stack.close(scene.now, child, &mut scene.effects);
    scene.send(0, Flags::FIN | Flags::ACK, 101, isn + 2, 0);
    assert_eq!(scene.stack.state(child), Some(TcpState::TimeWait));
    let Scene { mut stack, now, mut effects, .. } = scene;
    let from = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 16), 20_000);
    let mut send = |stack: &mut Stack, flags, seq| {
        let (to, ack, seq) = (SERVER, Seq(0), Seq(seq));
        let segment = Segment { from, to, seq, ack, flags, payload: 0, timestamps: None };
        effects.segments.clear();
        let reason = stack.on_segment(now, &segment, &mut effects);
        (reason, effects.segments.first().map(|answer| answer.flags), stack.state(child))
    };
    let ignored = (Some(DropReason::TimeWait), None, Some(TcpState::TimeWait));
    let challenged = (Some(DropReason::TimeWait), Some(Flags::ACK), Some(TcpState::TimeWait));
    assert_eq!(send(&mut stack, Flags::RST, 5000), ignored);
    assert_eq!(send(&mut stack, Flags::SYN | Flags::RST, 5000), ignored);
    assert_eq!(send(&mut stack, Flags::SYN, 50), challenged, "an old one");
    let mut begun = stack.clone();
    assert_eq!(send(&mut begun, Flags::SYN, 5000), (None, Some(Flags::SYN | Flags::ACK), None));
    let mut reset = stack.clone();
    assert_eq!(send(&mut reset, Flags::RST, 102), (Some(DropReason::TimeWait), None, None));
    stack.close_listener(now, ListenerId(0), &mut Effects::default());
    assert_eq!(send(&mut stack, Flags::SYN, 5000), challenged, "nobody listens");
}

/// Two ends in one namespace, as over loopback.
struct Loop {
    scene: Scene,
    events: Vec<Event>,
}

fn to_server(tag: u32) -> ConnectOptions {
    ConnectOptions {
        from: Ipv4Addr::LOCALHOST,
        to: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080),
        tag,
        delay_ack: false,
        keepalive_s: 0,
    }
}

impl Loop {
    fn new(kernel: &str, settings: &[(&str, &str)], backlog: i32) -> Self {
        Self { scene: Scene::new(kernel, settings, backlog), events: Vec::new() }
    }

    fn connect(&mut self, tag: u32) -> Result<Connect, (ConnectError, u32)> {
        self.connect_with(to_server(tag))
    }

    fn connect_with(&mut self, options: ConnectOptions) -> Result<Connect, (ConnectError, u32)> {
        let Scene { stack, effects, now, .. } = &mut self.scene;
        let connect = stack.connect(*now, &options, effects);
        self.settle();
        connect
    }

    /// Carries segments until none is on its way.
    fn settle(&mut self) {
        let Scene { stack, effects, now, .. } = &mut self.scene;
        while !effects.segments.is_empty() {
            for segment in std::mem::take(&mut effects.segments) {
                stack.on_segment(*now, &segment, effects);
            }
        }
        self.events.append(&mut effects.events);
    }

    fn pass(&mut self, millis: u64) {
        let end = self.scene.now + Span::from_millis(millis);
        while let Some(at) = self.scene.stack.next_deadline().filter(|&at| at <= end) {
            self.scene.now = at;
            self.scene.stack.on_timer(at, &mut self.scene.effects);
            self.settle();
        }
        self.scene.now = end;
    }
}

#[test]
fn an_idle_client_of_a_full_queue_stays_established_until_it_writes() {
    let mut both = Loop::new("6.18.44", NO_COOKIES, 1);
    let phantom = both.connect_with(ConnectOptions { delay_ack: true, ..to_server(1) });
    let phantom = phantom.expect("a port").socket;
    both.connect(2).expect("a port");
    both.connect(3).expect("a port");
    both.pass(70_000);
    assert_eq!(both.scene.counts(OVERFLOW), [6, 6], "the ACK, and the answers to five SYN-ACKs");
    let challenges = [Counter::TcpSynChallenge, Counter::TcpChallengeAck, Counter::InErrs];
    assert_eq!(both.scene.counts(challenges), [5, 5, 5]);
    assert_eq!(both.scene.view().requests, 0);
    assert_eq!(both.scene.stack.state(phantom), Some(TcpState::Established));
    let Scene { stack, effects, now, .. } = &mut both.scene;
    assert!(stack.write(*now, phantom, 16, effects));
    both.settle();
    assert!(both.events.contains(&Event::Broken { socket: phantom, tag: 1 }));
}

#[test]
fn a_client_with_data_is_reset_after_the_request_is_forgotten() {
    let mut both = Loop::new("6.18.44", NO_COOKIES, 1);
    let phantom = both.connect_with(ConnectOptions { delay_ack: true, ..to_server(1) });
    let phantom = phantom.expect("a port").socket;
    both.connect(2).expect("a port");
    both.connect(3).expect("a port");
    let Scene { stack, effects, now, .. } = &mut both.scene;
    assert!(stack.write(*now, phantom, 16, effects));
    both.settle();
    both.pass(63_000);
    assert_eq!(both.scene.counts(OVERFLOW), [15, 15], "ten times data, and five challenges");
    both.pass(39_300);
    assert_eq!(both.scene.stack.state(phantom), Some(TcpState::Established));
    both.pass(200);
    assert!(both.events.contains(&Event::Broken { socket: phantom, tag: 1 }));
}

#[test]
fn keepalive_finds_the_half_open_connection_a_minute_later() {
    let mut both = Loop::new("6.18.44", &[("tcp_synack_retries", "2"), NO_COOKIES[0]], 1);
    let probing = ConnectOptions { delay_ack: true, keepalive_s: 60, ..to_server(1) };
    let phantom = both.connect_with(probing).expect("a port").socket;
    both.connect(2).expect("a port");
    both.connect(3).expect("a port");
    both.pass(59_000);
    assert_eq!(both.scene.stack.state(phantom), Some(TcpState::Established));
    both.pass(2000);
    assert!(both.events.contains(&Event::Broken { socket: phantom, tag: 1 }));
}

#[test]
fn a_peer_that_answers_its_keepalive_probes_is_not_given_up() {
    let mut both = Loop::new("6.18.44", NO_COOKIES, 1);
    let probing = ConnectOptions { keepalive_s: 60, ..to_server(1) };
    let client = both.connect_with(probing).expect("a port").socket;
    both.pass(3_600_000);
    assert_eq!(both.scene.stack.state(client), Some(TcpState::Established));
}

#[test]
fn syns_to_a_full_queue_are_sent_on_the_timetable_of_the_kernel() {
    let mut both = Loop::new("6.18.44", NO_COOKIES, 0);
    both.connect(1).expect("a port");
    both.connect(2).expect("a port");
    assert_eq!(both.scene.counts(OVERFLOW), [1, 1]);
    both.pass(140_000);
    assert_eq!(both.scene.counts(OVERFLOW), [11, 11], "ten more");
    let failed = Event::ConnectFailed { tag: 2, error: ConnectError::TimedOut };
    assert!(both.events.contains(&failed));
    let counters = [Counter::AttemptFails, Counter::TcpAbortOnTimeout, Counter::TcpSynRetrans];
    assert_eq!(both.scene.counts(counters), [1, 1, 10]);
    let counters = [Counter::TcpTimeoutRehash, Counter::TcpLostRetransmit, Counter::TcpDelivered];
    assert_eq!(both.scene.counts(counters), [10, 9, 1]);
}

#[test]
fn a_port_nobody_listens_on_refuses() {
    let mut both = Loop::new("6.18.44", &[], 8);
    both.scene.stack.close_listener(both.scene.now, both.scene.listener, &mut both.scene.effects);
    both.connect(3).expect("a port");
    assert!(both.events.contains(&Event::ConnectFailed { tag: 3, error: ConnectError::Refused }));
    assert_eq!(both.scene.counts([Counter::AttemptFails, Counter::OutRsts]), [1, 1]);
}

#[test]
fn the_ack_of_a_fin_waits_for_the_fin_that_answers_it_but_not_long() {
    let ack_and_fin = Flags::FIN | Flags::ACK;
    for (bytes, waits) in [(0, Span::from_micros(100)), (10, Span::from_millis(40))] {
        let mut scene = Scene::new("6.18.44", &[], 8);
        let isn = scene.syn(1).expect("an answer");
        assert_eq!(scene.ack(1, isn), None);
        let child = scene.stack.accept(scene.listener, 0).expect("it waits");
        if bytes > 0 {
            scene.send(1, Flags::PSH | Flags::ACK, 101, isn + 1, bytes);
            scene.stack.read(child);
        }
        let (_, answers) = scene.send(1, ack_and_fin, 101 + bytes, isn + 1, 0);
        assert_eq!(answers, [], "{bytes}");
        let mut closing = scene.stack.clone();
        closing.close(scene.now, child, &mut scene.effects);
        let fin = scene.effects.segments.pop().expect("a FIN");
        assert_eq!(
            (fin.flags, fin.ack, closing.counters().value(Counter::DelayedAcks)),
            (ack_and_fin, Seq(102 + bytes), 0)
        );
        assert_eq!(scene.stack.next_deadline(), Some(scene.now + waits));
        scene.stack.on_timer(scene.now + waits, &mut scene.effects);
        let ack = scene.effects.segments.pop().expect("an ACK");
        assert_eq!((ack.flags, ack.ack), (Flags::ACK, Seq(102 + bytes)));
        assert_eq!(scene.counts([Counter::DelayedAcks]), [1]);
        assert_eq!(scene.stack.next_deadline(), None);
    }
}

#[test]
fn an_icmp_error_about_a_syn_ends_connect_at_once() {
    for (what, error) in [
        (Unreachable::Port, ConnectError::Refused),
        (Unreachable::Host, ConnectError::Unreachable),
        (Unreachable::Network, ConnectError::Unreachable),
        (Unreachable::Prohibited, ConnectError::Unreachable),
    ] {
        let mut scene = Scene::new("6.18.44", &[], 8);
        let options = ConnectOptions {
            from: *SERVER.ip(),
            to: SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), 443),
            tag: 5,
            delay_ack: false,
            keepalive_s: 0,
        };
        scene.stack.connect(scene.now, &options, &mut scene.effects).expect("a port");
        let syn = scene.effects.segments.pop().expect("a SYN");
        let other = Segment { seq: syn.seq + 1, ..syn };
        assert_eq!(scene.stack.on_unreachable(what, &other, &mut scene.effects), None);
        assert_eq!(scene.effects.events, [], "it is about another segment");
        assert_eq!(scene.stack.on_unreachable(what, &syn, &mut scene.effects), None);
        assert_eq!(scene.effects.events, [Event::ConnectFailed { tag: 5, error }]);
        assert_eq!(scene.counts([Counter::AttemptFails]), [1]);
        assert_eq!(scene.stack.sockets(), 0);
    }
}

#[test]
fn an_icmp_error_about_a_syn_ack_ends_the_request_if_there_is_no_way_and_before_4_5_always() {
    let no_way = [Unreachable::Network, Unreachable::Host];
    let not_wanted = [Unreachable::Port, Unreachable::Prohibited];
    for (kernel, what, ends) in no_way
        .map(|what| ("6.18.44", what, true))
        .into_iter()
        .chain(not_wanted.map(|what| ("6.18.44", what, false)))
        .chain(not_wanted.map(|what| ("4.4.0", what, true)))
    {
        let mut scene = Scene::new(kernel, &[], 8);
        let (_, answers) = scene.send(1, Flags::SYN, 100, Seq(0), 0);
        let reason = scene.stack.on_unreachable(what, &answers[0], &mut scene.effects);
        assert_eq!(reason, ends.then_some(DropReason::RequestUnreachable), "{kernel} {what:?}");
        assert_eq!(scene.counts([Counter::ListenDrops]), [u64::from(ends)]);
        let requests = scene.stack.listener_view(scene.listener).map(|view| view.requests);
        assert_eq!(requests, Some(u32::from(!ends)));
    }
}

#[test]
fn ports_run_out_without_a_packet_or_a_counter_and_a_search_visits_all() {
    let range = [("ip_local_port_range", "40000 40009")];
    let mut both = Loop::new("6.18.44", &range, 128);
    let visited: Vec<u32> = (0..10).map(|tag| both.connect(tag).expect("a port").visited).collect();
    assert!(visited[..5].iter().all(|&visited| visited <= 5), "{visited:?}");
    assert!(visited[5..].iter().all(|&visited| visited > 5), "{visited:?}");
    let before = both.scene.stack.counters().clone();
    assert_eq!(both.connect(10), Err((ConnectError::NoPort, 10)));
    assert_eq!(*both.scene.stack.counters(), before);
}

#[test]
fn a_port_in_time_wait_is_taken_again_over_loopback_after_a_second() {
    let settings = [("ip_local_port_range", "40000 40000")];
    for (reuse, again) in [("0", false), ("2", true)] {
        let mut both = Loop::new("6.18.44", &settings, 128);
        let semantics = both.scene.stack.semantics;
        both.scene.stack.sysctls.set("tcp_tw_reuse", reuse, &semantics).expect("a setting");
        let first = both.connect(1).expect("a port");
        let server = both.scene.stack.accept(both.scene.listener, 0).expect("a connection");
        both.scene.stack.close(both.scene.now, first.socket, &mut both.scene.effects);
        both.settle();
        both.scene.stack.close(both.scene.now, server, &mut both.scene.effects);
        both.settle();
        assert_eq!(both.scene.stack.state(first.socket), Some(TcpState::TimeWait));
        assert!(both.connect(2).is_err(), "too young");
        both.pass(1100);
        assert_eq!(both.connect(3).is_ok(), again, "tcp_tw_reuse {reuse}");
        both.pass(61_000);
        assert_eq!(both.connect(4).is_ok(), !again, "the port is free after a minute");
    }
}

#[test]
fn a_whole_connection_leaves_nothing_but_time_wait() {
    let mut both = Loop::new("6.18.44", &[], 128);
    let client = both.connect(1).expect("a port").socket;
    let Scene { stack, effects, now, listener } = &mut both.scene;
    assert!(stack.write(*now, client, 100, effects));
    let server = stack.accept(*listener, 9).expect("a connection");
    both.settle();
    let Scene { stack, effects, now, .. } = &mut both.scene;
    assert_eq!(stack.read(server), 100);
    stack.close(*now, server, effects);
    both.settle();
    let closed = Event::Readable { socket: client, tag: 1, closed: true };
    assert!(both.events.contains(&closed));
    let Scene { stack, effects, now, .. } = &mut both.scene;
    stack.close(*now, client, effects);
    both.settle();
    assert_eq!(both.scene.stack.sockets(), 1);
    assert_eq!(both.scene.count(Counter::CurrEstab), 0);
    both.pass(61_000);
    assert_eq!(both.scene.stack.sockets(), 0);
    assert_eq!(both.scene.count(Counter::EstabResets), 0);
}

#[test]
fn beyond_the_most_buckets_a_connection_is_over_without_time_wait() {
    let mut scene = Scene::new("6.18.44", &[("tcp_max_tw_buckets", "1")], 8);
    let isns: Vec<Seq> = (0..3).map(|peer| scene.syn(peer).expect("an answer")).collect();
    for (peer, &isn) in (0..).zip(&isns) {
        assert_eq!(scene.ack(peer, isn), None);
        let child = scene.stack.accept(scene.listener, 0).expect("it waits");
        scene.stack.close(scene.now, child, &mut scene.effects);
        scene.effects.segments.clear();
        assert_eq!(scene.send(peer, Flags::ACK, 101, isn + 2, 0).0, None, "the FIN arrived");
    }
    let kept = [Counter::TimeWaited, Counter::TcpTimeWaitOverflow];
    assert_eq!(scene.counts(kept), [1, 2]);
    let fin = |scene: &mut Scene, peer, isn| {
        let (reason, answers) = scene.send(peer, Flags::FIN | Flags::ACK, 101, isn + 2, 0);
        (reason, answers.first().map(|answer| answer.flags))
    };
    assert_eq!(fin(&mut scene, 0, isns[0]), (None, Some(Flags::ACK)));
    assert_eq!(fin(&mut scene, 1, isns[1]), (Some(DropReason::CookieNotAsked), Some(Flags::RST)));
    scene.pass(60_000);
    assert_eq!(scene.stack.socket_views(scene.now).count(), 0);
    let isn = scene.syn(9).expect("an answer");
    assert_eq!(scene.ack(9, isn), None);
    let child = scene.stack.accept(scene.listener, 0).expect("it waits");
    scene.stack.close(scene.now, child, &mut scene.effects);
    assert_eq!(scene.send(9, Flags::ACK, 101, isn + 2, 0).0, None);
    assert_eq!(scene.counts(kept), [2, 2], "its place is free again");
}
