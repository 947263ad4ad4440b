//! What counts as a disagreement, tried on accounts of the model that are altered in one place, and on
//! models of other kernels.

use halfopen_lab::IpVersion;
use halfopen_model::{Counter, CounterTable};
use halfopen_scenario::{Account, Interface, ListenerPicture, Scenario, SeenSegment, TcpStateName};
use halfopen_sim::{Options, SimError, account};

use super::*;
use crate::exact_scenarios;

const WHEEL: TimerWheel = TimerWheel { tick_us: 4_000 };

const ACK: u8 = 0x10;
const SYN_ACK: u8 = 0x12;

fn scenario(name: &str) -> Scenario {
    exact_scenarios(&[name.to_owned()], IpVersion::V4).expect("it is exact").remove(0)
}

fn played(scenario: &Scenario, kernel: &str, seed: u64) -> Result<Account, SimError> {
    let kernel = kernel.parse().expect("a release");
    account(scenario, &Options { kernel, seed, ..Options::default() })
}

/// The model's account of a scenario.
fn of(name: &str) -> Account {
    played(&scenario(name), "6.18.44", 1).expect("it comes about")
}

fn aspects(kernel: &Account, model: &Account) -> Vec<Aspect> {
    let mut aspects: Vec<_> = compare(kernel, model, WHEEL).iter().map(|d| d.aspect).collect();
    aspects.dedup();
    aspects
}

/// What disagrees when the kernel's account is altered.
fn check(name: &str, alter: impl FnOnce(&mut Account), expected: &[Aspect]) {
    let model = of(name);
    let mut kernel = model.clone();
    alter(&mut kernel);
    assert_eq!(aspects(&kernel, &model), expected, "{:#?}", compare(&kernel, &model, WHEEL));
}

/// Lets everything from a segment on come later, or earlier.
fn delay(account: &mut Account, from: usize, by_us: i64) {
    for segment in &mut account.segments[from..] {
        segment.at_us = segment.at_us.saturating_add_signed(by_us);
    }
}

#[test]
fn ports_and_sequence_numbers_by_chance_are_no_disagreement() {
    for scenario in exact_scenarios(&[], IpVersion::V4).expect("they can be read") {
        let by_seed = |seed| played(&scenario, "6.18.44", seed).expect("it comes about");
        assert_eq!(compare(&by_seed(1), &by_seed(2), WHEEL), [], "{}", scenario.name);
    }
}

#[test]
fn the_model_of_another_kernel_disagrees_where_the_rules_differ() {
    for (kernel, name, expected) in [
        ("6.14.0", "syn-queue-drops", &[][..]),
        // A SYN queue with limit 8 holds 8.
        ("6.12.5", "syn-queue-drops", &[Aspect::Requests, Aspect::Counters, Aspect::Segments]),
        // A connection in CLOSE_WAIT is not among CurrEstab.
        ("6.4.0", "fin-is-third-ack", &[Aspect::Counters]),
        // Each cookie counts as a drop.
        ("4.4.0", "cookies-always", &[Aspect::Counters]),
        // One timer for all requests, which looks at them in its own time.
        ("3.10.0-1160.el7", "request-life", &[Aspect::Times]),
    ] {
        let other = played(&scenario(name), kernel, 1).expect("it comes about");
        assert_eq!(aspects(&of(name), &other), expected, "{kernel}");
    }
}

#[test]
fn a_limit_a_depth_and_a_listener_too_many_are_told() {
    let listeners = &[Aspect::Listeners];
    check("accept-queue-of-3", |a| a.looks[0].listeners[0].limit += 1, listeners);
    check("accept-queue-of-3", |a| a.looks[0].listeners[0].depth -= 1, listeners);
    let another = ListenerPicture { port: 1, limit: 0, depth: 0 };
    check("accept-queue-of-3", |a| a.looks[0].listeners.push(another), listeners);
    check("accept-queue-of-3", |a| a.looks.truncate(1), listeners);
}

#[test]
fn requests_and_other_sockets_are_told_apart() {
    let alter = |state: TcpStateName| {
        move |account: &mut Account| {
            let sockets = account.looks.iter_mut().flat_map(|look| &mut look.sockets);
            let socket = sockets.into_iter().find(|socket| socket.state == state);
            socket.expect("there is one").count += 1;
        }
    };
    check("third-acks-overflow", alter(TcpStateName::SynRecv), &[Aspect::Requests]);
    check("third-acks-overflow", alter(TcpStateName::Established), &[Aspect::Sockets]);
    let forget = |account: &mut Account| account.looks[0].sockets.clear();
    check("queued-fin", forget, &[Aspect::Sockets]);
}

#[test]
fn every_counter_of_both_tables_is_compared() {
    let compared = |counter: &&Counter| {
        let named = NOT_COMPARED.iter().any(|(other, _)| other == *counter);
        counter.table() != CounterTable::Ip && !named
    };
    for counter in Counter::ALL.iter().filter(compared) {
        let name = format!("{}.{counter}", counter.table().name());
        let more = |account: &mut Account| {
            *account.looks[0].counters.entry(name).or_default() += 1;
        };
        check("no-listener", more, &[Aspect::Counters]);
    }
    let unknown = |account: &mut Account| {
        account.looks[0].counters.insert("TcpExt.TCPHPAcks".to_owned(), 3);
    };
    check("no-listener", unknown, &[]);
}

#[test]
fn segments_are_compared_in_all_their_fields_and_in_their_order() {
    let segments = &[Aspect::Segments];
    let name = "data-promotes";
    let last = of(name).segments.len() - 1;
    check(name, |a| a.segments[last].flags ^= 0x08, segments);
    check(name, |a| a.segments[last].seq += 1, segments);
    check(name, |a| a.segments[last].ack += 1, segments);
    check(name, |a| a.segments[last].payload += 1, segments);
    check(name, |a| a.segments.truncate(last), segments);
    check(name, |a| a.segments.push(a.segments[last]), segments);
    check(name, |a| a.segments_omitted = 1, segments);
    check("clients-in-turn", |a| a.segments.swap(0, 1), segments);
    check("clients-in-turn", |a| a.segments.retain(|s| s.from.port() == 8080), segments);
}

#[test]
fn a_timer_may_be_late_by_a_step_of_its_wheel() {
    // The SYN-ACK of a silent peer is sent again after 1 s, then after 2 s.
    let name = "request-life";
    assert_eq!(of(name).segments.len(), 4);
    for (by_ms, expected) in
        [(0, &[][..]), (70, &[]), (80, &[Aspect::Times]), (-30, &[]), (-50, &[Aspect::Times])]
    {
        check(name, |a| delay(a, 2, by_ms * 1_000), expected);
    }
    check(name, |a| delay(a, 3, 70_000), &[]);
    check(name, |a| delay(a, 3, 80_000), &[Aspect::Times]);
}

#[test]
fn an_answer_comes_at_once_and_a_program_takes_its_time() {
    // The SYN of a peer, its SYN-ACK, and the peer's third ACK.
    let name = "third-acks-overflow";
    let first = |wanted: fn(&SeenSegment) -> bool| {
        let of_peer = |s: &SeenSegment| s.interface == Interface::Wire && wanted(s);
        of(name).segments.iter().position(of_peer).expect("there is one")
    };
    let (answer, third) = (first(|s| s.flags == SYN_ACK), first(|s| s.flags == ACK));
    check(name, |a| delay(a, answer, 30_000), &[]);
    check(name, |a| delay(a, answer, 60_000), &[Aspect::Times]);
    check(name, |a| delay(a, third, 900_000), &[]);
    check(name, |a| delay(a, third, 1_100_000), &[Aspect::Times]);
}

#[test]
fn what_a_client_sends_may_follow_a_look_of_another_length() {
    // Three seconds of rest before the look, none after it.
    let later = |account: &mut Account| {
        let (look, first_after) = after_the_first_look(account);
        delay(account, first_after, 3_000_000);
        for look in &mut account.looks[look..] {
            look.at_us += 3_000_000;
        }
    };
    check("data-promotes", later, &[]);
    let segments_only = |account: &mut Account| {
        let (_, first_after) = after_the_first_look(account);
        delay(account, first_after, 3_000_000);
    };
    check("data-promotes", segments_only, &[Aspect::Times]);
}

/// The first look after which something is sent, and what is sent first.
fn after_the_first_look(account: &Account) -> (usize, usize) {
    let after = |at_us| account.segments.iter().position(|segment| segment.at_us > at_us);
    let mut looks = account.looks.iter().enumerate();
    looks.find_map(|(look, picture)| Some((look, after(picture.at_us)?))).expect("there is one")
}

/// A server's segment to a peer, in milliseconds.
fn to_peer(peer: u16, at_ms: u64, flags: u8, seq: u32) -> SeenSegment {
    let server = "10.77.0.1:8080".parse().expect("an address");
    let from = format!("10.77.0.{}:{}", 16 + peer, 20_000 + peer);
    SeenSegment {
        at_us: at_ms * 1_000,
        interface: Interface::Wire,
        from: server,
        to: from.parse().expect("an address"),
        flags,
        seq,
        ack: 2,
        payload: 0,
    }
}

fn from_peer(peer: u16, at_ms: u64, flags: u8) -> SeenSegment {
    let answer = to_peer(peer, at_ms, flags, 1);
    SeenSegment { from: answer.to, to: answer.from, ack: 0, ..answer }
}

/// Two peers whose SYN-ACKs come again this often.
fn two_peers(again: [u64; 2]) -> Account {
    let peers = || (0..2_u16).zip(again);
    let syns = peers().map(|(peer, _)| from_peer(peer, 0, 0x02));
    let answers = peers().flat_map(|(peer, again)| {
        let isn = 77 * u32::from(peer);
        (0..=again).map(move |round| to_peer(peer, round * 1_000, SYN_ACK, isn))
    });
    Account { segments: syns.chain(answers).collect(), ..Account::default() }
}

#[test]
fn which_of_two_requests_is_pruned_is_chance_but_not_which_is_answered() {
    assert_eq!(aspects(&two_peers([1, 2]), &two_peers([2, 1])), []);
    assert_eq!(aspects(&two_peers([1, 2]), &two_peers([2, 2])), [Aspect::Segments]);
    let unanswered = |peer: u16| {
        let mut account = two_peers([1, 1]);
        account.segments.retain(|segment| segment.to.port() != 20_000 + peer);
        account
    };
    assert_eq!(aspects(&unanswered(0), &unanswered(1)), [Aspect::Segments]);
}

#[test]
fn a_port_that_is_given_away_again_begins_a_flow() {
    let again = |isn: u32| {
        let mut account = two_peers([0, 0]);
        let syn = SeenSegment { seq: isn, ..from_peer(0, 9_000, 0x02) };
        let answer = SeenSegment { ack: isn + 1, ..to_peer(0, 9_000, SYN_ACK, 5) };
        account.segments.extend([syn, answer]);
        account
    };
    assert_eq!(aspects(&again(1_000), &again(5_000)), []);
    let found = compare(&again(1_000), &two_peers([0, 0]), WHEEL);
    let found: Vec<String> =
        found.iter().map(|d| format!("{}: {}; {}", d.place, d.kernel, d.model)).collect();
    assert_eq!(found, ["wire :8080, flow 3: begins with client: SYN seq 0 ack 0; no such flow"]);
}

#[test]
fn a_disagreement_shows_both_sides() {
    let model = two_peers([0, 0]);
    let mut kernel = model.clone();
    kernel.segments.push(SeenSegment { ack: 1, ..from_peer(1, 5, ACK) });
    let found = compare(&kernel, &model, WHEEL);
    let expected = Disagreement {
        aspect: Aspect::Segments,
        place: "wire :8080, flow 2, segment 3".to_owned(),
        kernel: "client: ACK seq 0 ack -76".to_owned(),
        model: "no more than 2 segments".to_owned(),
    };
    assert_eq!(found, [expected]);
}
