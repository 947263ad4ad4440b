//! The story that the simulator has to tell: a service restarts, a thousand clients come back, and one
//! of them holds a connection that the server does not have. The sizes are those of the scenario
//! `reconnect-storm` with the usual seed.

use halfopen_model::DropReason;
use halfopen_scenario::{CATALOG, Picture, Scenario, Side, TcpStateName};
use halfopen_sim::{Options, Run, simulate};

fn storm(kernel: &str) -> Run {
    let (_, text) = CATALOG.iter().find(|(name, _)| *name == "reconnect-storm").expect("there");
    let mut scenario = Scenario::parse("reconnect-storm", text).expect("the file can be read");
    scenario.kernel = Some(kernel.to_owned());
    simulate(&scenario, &Options::default()).expect("it comes about")
}

fn look<'r>(run: &'r Run, name: &str) -> &'r Picture {
    let named = |picture: &&Picture| picture.name.as_deref() == Some(name);
    run.account.looks.iter().find(named).expect("the look")
}

fn established(picture: &Picture) -> u32 {
    let is_one = |s: &&halfopen_scenario::SocketCount| {
        (s.side, s.state, s.accepted) == (Side::Server, TcpStateName::Established, Some(true))
    };
    picture.sockets.iter().filter(is_one).map(|socket| socket.count).sum()
}

const AFTER: &str = "all clients believe that they are connected";

#[test]
fn a_thousand_clients_are_connected_and_the_server_has_nine_hundred_and_ninety_nine() {
    let run = storm("3.10.4");
    let before = look(&run, "before the restart");
    assert_eq!((established(before), before.listeners[0].limit), (1000, 0));
    assert_eq!(established(look(&run, AFTER)), 999);
    let outcomes = run.clients[0].outcomes;
    // Each once before and once after the restart, and the one that was reset once more.
    assert_eq!((outcomes.connected, outcomes.reset), (2001, 1));
}

#[test]
fn the_one_is_reset_by_its_keepalive_a_minute_after_it_was_connected() {
    let run = storm("3.10.4");
    let reset = run.account.segments.iter().rfind(|s| s.flags == 0x04).expect("a reset");
    let of_flow = |s: &&halfopen_scenario::SeenSegment| {
        s.from == reset.to && s.to == reset.from || s.from == reset.from && s.to == reset.to
    };
    let flow: Vec<_> = run.account.segments.iter().filter(of_flow).collect();
    let flags: Vec<u8> = flow.iter().map(|segment| segment.flags).collect();
    // The picture of the capture: SYN-ACK sent twice more although acknowledged, then a bare ACK and RST.
    let (syn, syn_ack, ack, rst) = (0x02, 0x12, 0x10, 0x04);
    let handshake = [syn, syn_ack, ack, syn_ack, ack, syn_ack, ack, ack, rst];
    let own = flags.iter().rposition(|&f| f == syn).expect("its SYN");
    assert_eq!(flags[own..], handshake);
    let seconds = |at: usize| flow[own + at].at_us / 1_000_000;
    assert_eq!(seconds(7) - seconds(2), 60, "the keep-alive's idle time");
}

#[test]
fn a_kernel_that_keeps_the_whole_backlog_has_no_storm() {
    let run = storm("4.19.0");
    assert_eq!(established(look(&run, AFTER)), 1000);
    assert_eq!((run.clients[0].outcomes.connected, run.clients[0].outcomes.reset), (2000, 0));
    // Nothing but keep-alive probes, each of which is answered.
    assert_eq!(run.hosts[0].drops, [(DropReason::AlreadyTaken, 1000)]);
}
