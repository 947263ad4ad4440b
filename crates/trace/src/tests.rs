//! What an assembler tells of the events of each kind of handshake.

use halfopen_evidence::KernelEventKind::{self, *};
use halfopen_evidence::{
    DroppedSegment, IgnoredEnd, Mark, Outcome, Phase, Pid, ProcessName, SocketCall, TracedEnd,
};
use halfopen_model::AcceptQueue;

use crate::fixture::*;
use crate::{Assembled, Told};

fn brief(handshakes: &[Assembled]) -> Vec<(Phase, Outcome)> {
    handshakes.iter().map(|it| (it.phase, it.handshake.outcome)).collect()
}

fn only(handshakes: Vec<Assembled>) -> Assembled {
    let [only] = <[_; 1]>::try_from(handshakes).expect("one handshake");
    only
}

const CONNECTED: KernelEventKind = Connected { repeats: 0, round_trip_us: 300 };
const QUEUED: KernelEventKind = Queued { repeats: 0, round_trip_us: 200 };

fn repeated(repeats: u32, acked: bool, defer_accept: u8) -> KernelEventKind {
    let timeouts = u8::try_from(repeats).expect("few");
    SynAckRepeated { repeats, acked, defer_accept, timeouts, queue: FULL }
}

fn ignored(ended: IgnoredEnd) -> Outcome {
    Outcome::ThirdAckIgnored { ended }
}

#[test]
fn a_sound_connection_of_one_host_is_told_once_with_its_stages() {
    let events = [
        at_client(0, CONNECTED),
        at_child(1, QUEUED),
        at_server(40, Accepted { waited_us: 39_000 }),
    ];
    let told = only(handshakes(true, &events));
    assert_eq!((told.phase, told.handshake.outcome), (Phase::Ended, Outcome::Established));
    assert_eq!(told.accept_queue_ns, Some(39_000_000));
    let stages = told.handshake.stages;
    assert_eq!((stages.syn_ack_ns, stages.ack_ns), (Some(300_000), Some(200_000)));
    assert_eq!(told.handshake.client, address(CLIENT));
    assert!(told.client.is_some());
}

#[test]
fn where_accept_is_not_told_a_queued_connection_is_all_there_is() {
    let told = only(handshakes(false, &[at_client(0, CONNECTED), at_child(1, QUEUED)]));
    assert_eq!((told.handshake.outcome, told.accept_queue_ns), (Outcome::Established, None));
    assert_eq!(brief(&handshakes(false, &[at_child(1, QUEUED)])).len(), 1);
    assert_eq!(brief(&handshakes(false, &[at_client(1, CONNECTED)])).len(), 1);
}

#[test]
fn a_syn_that_is_not_answered_is_told_when_it_is_repeated_and_when_connect_gives_up() {
    let events = [
        at_client(1000, SynRepeated { repeats: 1, age_us: 1_000_000 }),
        at_client(2000, SynRepeated { repeats: 2, age_us: 2_000_000 }),
        at_client(9000, ConnectFailed { errno: 110, repeats: 2, age_us: 0 }),
    ];
    let told = handshakes(false, &events);
    let unanswered = Outcome::SynUnanswered;
    assert_eq!(brief(&told), [(Phase::Open, unanswered), (Phase::Ended, unanswered)]);
    let syns = &told[1].handshake.syns;
    assert_eq!((syns.count, syns.at_us.as_slice()), (3, &[0, 1_000_000, 2_000_000][..]));
}

#[test]
fn a_syn_that_gets_through_late_is_established_late() {
    let events = [
        at_client(1000, SynRepeated { repeats: 1, age_us: 1_000_000 }),
        at_client(1001, Connected { repeats: 1, round_trip_us: 900 }),
        at_child(1002, QUEUED),
    ];
    let late = Outcome::EstablishedLate { answered_syn: 2 };
    let told = handshakes(false, &events);
    assert_eq!(brief(&told), [(Phase::Open, Outcome::SynUnanswered), (Phase::Ended, late)]);
}

#[test]
fn errors_of_connect_are_outcomes() {
    let failed = |errno| {
        let failed = ConnectFailed { errno, repeats: 0, age_us: 0 };
        only(handshakes(false, &[at_client(0, failed)])).handshake.outcome
    };
    assert_eq!(failed(111), Outcome::Refused);
    assert_eq!(failed(113), Outcome::Unreachable);
    assert_eq!(failed(101), Outcome::Unreachable);
    assert_eq!(failed(13), Outcome::Unreachable, "ICMPv6 says that it is prohibited");
    assert_eq!(failed(110), Outcome::SynUnanswered);
    assert_eq!(failed(0), Outcome::AbortedByClient);
    let given_up = ConnectFailed { errno: 0, repeats: 0, age_us: 700_000 };
    let told = only(handshakes(false, &[at_client(0, given_up)]));
    assert_eq!(told.handshake.outcome, Outcome::SynUnanswered);
}

#[test]
fn a_call_that_fails_before_a_syn_is_no_handshake() {
    let of = |call| {
        let told = told(false, &[at_client(0, CallFailed { call, errno: 99 })]);
        let [Told::CallFailed(failed)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((failed.call, failed.errno), (call, 99));
        failed.address
    };
    assert_eq!(of(SocketCall::Connect), address(SERVER));
    assert_eq!(of(SocketCall::Bind), address(CLIENT));
}

#[test]
fn both_processes_are_those_that_the_kernel_names() {
    let name = |pid| Some(ProcessName { pid: Pid(pid), comm: "a".to_owned() });
    let mut events =
        [at_client(0, CONNECTED), at_child(1, QUEUED), at_server(2, Accepted { waited_us: 1_000 })];
    events[0].process = name(7);
    events[2].process = name(8);
    let told = only(handshakes(true, &events));
    assert_eq!((told.connected_by, told.accepted_by), (name(7), name(8)));
    assert_eq!(told.accept_queue_ns, Some(1_000_000));
}

#[test]
fn a_backlog_that_was_cut_is_told() {
    let cut = |backlog, limit| {
        let told = told(false, &[at_server(0, Listening { backlog, limit })]);
        let [Told::Listens(listens)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(listens.local, address(SERVER));
        listens.is_cut()
    };
    assert!(cut(4096, 128));
    assert!(!cut(128, 128));
    assert!(!cut(-1, 4096));
}

#[test]
fn an_ack_that_was_dropped_at_a_full_queue_is_ignored_until_there_is_room() {
    let events = [
        at_server(
            0,
            SegmentDropped {
                flags: ACK,
                reason: "TCP_LISTEN_OVERFLOW".to_owned(),
                queue: Some(FULL),
            },
        ),
        at_server(1000, repeated(1, true, 0)),
        at_server(3000, repeated(2, true, 0)),
        at_child(3001, Queued { repeats: 2, round_trip_us: 0 }),
    ];
    let told = handshakes(false, &events);
    assert_eq!(
        brief(&told),
        [(Phase::Open, ignored(IgnoredEnd::Open)), (Phase::Ended, ignored(IgnoredEnd::Recovered)),]
    );
    let [drop] = told[1].drops.as_slice() else { panic!("{told:?}") };
    assert_eq!((drop.what, drop.at), (DroppedSegment::ThirdAck, TracedEnd::Server));
    assert_eq!(told[1].handshake.syn_acks.count, 3);
}

#[test]
fn kernels_without_a_reason_tell_it_by_the_request() {
    let events = [at_server(1000, repeated(1, true, 0)), at_server(3000, repeated(2, true, 0))];
    let told = handshakes(false, &events);
    assert_eq!(
        brief(&told),
        [(Phase::Open, ignored(IgnoredEnd::Open)), (Phase::Ended, ignored(IgnoredEnd::Open))]
    );
}

#[test]
fn an_ack_that_has_not_come_is_missing_whatever_the_client_believes() {
    let invalid =
        SegmentDropped { flags: SYN_ACK, reason: "TCP_INVALID_SYN".to_owned(), queue: None };
    let mut at_clients_end = at_client(1001, invalid);
    let events = [at_server(1000, repeated(1, false, 0)), at_clients_end.clone()];
    let told = handshakes(false, &events);
    let missing = Outcome::ThirdAckMissing;
    assert_eq!(brief(&told), [(Phase::Open, missing), (Phase::Ended, missing)]);
    // From the client alone it looks as if the ACK was ignored.
    at_clients_end.at_ns += 1;
    let told = handshakes(false, &[at_clients_end]);
    assert_eq!(told[0].handshake.outcome, ignored(IgnoredEnd::Open));
}

#[test]
fn a_syn_for_an_old_connection_is_challenged() {
    let dropped = SegmentDropped { flags: SYN, reason: "TCP_INVALID_SYN".to_owned(), queue: None };
    let told = handshakes(false, &[at_server(0, dropped)]);
    let challenged = Outcome::Challenged;
    assert_eq!(brief(&told), [(Phase::Open, challenged), (Phase::Ended, challenged)]);
}

#[test]
fn defer_accept_is_no_trouble() {
    let events = [
        at_server(1000, repeated(1, true, 3)),
        at_child(1500, Queued { repeats: 1, round_trip_us: 0 }),
    ];
    assert_eq!(brief(&handshakes(false, &events)), [(Phase::Ended, Outcome::Deferred)]);
}

#[test]
fn the_reset_of_a_full_queue_has_its_real_cause() {
    let reset = ResetSent { flags: ACK, reason: Some("INVALID_SYN".to_owned()), queue: Some(FULL) };
    let events = [at_server(0, reset), at_client(0, ResetReceived { age_us: 50 })];
    let told = only(handshakes(false, &events));
    assert_eq!(told.handshake.outcome, Outcome::ResetAfterAck);
    let cause = told.reset.expect("a reset").cause.expect("its cause");
    assert!(cause.contains("tcp_abort_on_overflow"), "{cause}");
}

#[test]
fn a_listener_that_closes_resets_what_it_has_not_accepted() {
    let closed = ClosedUnaccepted { waited_us: 10, reason: None };
    let events = [at_child(0, closed), at_client(0, ResetReceived { age_us: 50 })];
    let told = only(handshakes(false, &events));
    assert_eq!(told.handshake.outcome, Outcome::Established);
    let reset = told.reset.expect("a reset");
    assert_eq!((reset.by, reset.cause.is_some()), (TracedEnd::Server, true));
}

#[test]
fn a_request_that_was_forgotten_is_reset_by_data() {
    let reset = ResetSent { flags: DATA, reason: Some("NO_SOCKET".to_owned()), queue: None };
    let events = [at_server(1000, repeated(1, true, 0)), at_server(63_000, reset)];
    let told = handshakes(false, &events);
    assert_eq!(told[1].handshake.outcome, ignored(IgnoredEnd::ResetByData));
}

#[test]
fn a_syn_at_a_full_queue_is_of_the_same_attempt_as_its_repetition() {
    let events = [
        at_server(0, SynDropped { queue: FULL }),
        at_client(1000, SynRepeated { repeats: 1, age_us: 1_000_000 }),
        at_server(1000, SynDropped { queue: FULL }),
        at_client(1500, ConnectFailed { errno: 0, repeats: 1, age_us: 0 }),
    ];
    let told = handshakes(false, &events);
    let unanswered = Outcome::SynUnanswered;
    assert_eq!(brief(&told), [(Phase::Open, unanswered), (Phase::Ended, unanswered)]);
    assert_eq!((told[1].drops.len(), told[1].drops[0].count), (1, 2));
}

#[test]
fn a_syn_to_a_closed_port_is_refused() {
    let dropped = SegmentDropped { flags: SYN, reason: "NO_SOCKET".to_owned(), queue: None };
    let reset = ResetSent { flags: SYN, reason: Some("NO_SOCKET".to_owned()), queue: None };
    let events = [
        at_server(0, reset),
        at_server(0, dropped),
        at_client(0, ConnectFailed { errno: 111, repeats: 0, age_us: 0 }),
    ];
    let told = only(handshakes(false, &events));
    assert_eq!((told.phase, told.handshake.outcome), (Phase::Ended, Outcome::Refused));
    // Who it was comes last, and the reset says why the SYN went no further.
    assert!(told.client.is_some() && told.drops.is_empty(), "{told:?}");
}

#[test]
fn data_that_nobody_acknowledges_is_noted_where_there_is_trouble() {
    let events = [
        at_server(1000, repeated(1, true, 0)),
        at_client(1100, DataRepeated { repeats: 1 }),
        at_client(1200, DataRepeated { repeats: 2 }),
    ];
    let told = handshakes(false, &events);
    assert_eq!(told[1].handshake.marks, [Mark::DataIgnored]);
    let alone = [at_client(1100, DataRepeated { repeats: 1 })];
    assert!(handshakes(false, &alone).is_empty());
}

#[test]
fn a_pair_of_addresses_that_is_used_again_is_another_attempt() {
    let events = [
        at_client(0, ConnectFailed { errno: 111, repeats: 0, age_us: 0 }),
        at_client(10, CONNECTED),
        at_child(11, QUEUED),
        at_child(900, QUEUED),
    ];
    let told = handshakes(false, &events);
    let numbers: Vec<u64> = told.iter().map(|it| it.handshake.first_record).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn stray_segments_begin_nothing() {
    let reset = |flags| ResetSent { flags, reason: None, queue: None };
    let room = AcceptQueue { depth: 0, limit: 5 };
    let to_listener = ResetSent { flags: ACK, reason: None, queue: Some(room) };
    let events = [
        at_server(0, reset(DATA)),
        at_server(1, to_listener),
        at_client(2, ResetReceived { age_us: 60_000_000 }),
        at_child(3, ResetReceived { age_us: 5 }),
        at_server(4, Accepted { waited_us: 1 }),
    ];
    assert!(handshakes(true, &events).is_empty());
}
