//! Traced handshakes for tests.

use halfopen_evidence::{
    Dropped, DroppedSegment, EndpointKey, IgnoredEnd, Mark, Missing, NetnsId, Outcome, Phase, Pid,
    ProcessName, Reading, Reset, Sends, Stages, Traced, TracedEnd,
};

use crate::handshakes::fixture::{address, handshake};
use crate::trace::packets::FROM;

/// A handshake with this outcome, seen from a packet socket, its ends not looked for.
pub(super) fn traced(outcome: Outcome, phase: Phase) -> Traced {
    let cannot = || Missing::not_visible_from(FROM);
    Traced {
        number: 7,
        phase,
        handshake: handshake(outcome),
        netns: NetnsId(4_026_531_840),
        netns_label: "blue".to_owned(),
        is_own_netns: false,
        listener: Reading::not_collected(),
        server_process: Reading::not_collected(),
        client_process: Reading::not_collected(),
        accept_queue_ns: cannot().into(),
        drops: cannot().into(),
        reset: cannot().into(),
    }
}

/// One with all that can be known, and some with less.
pub(super) fn some() -> [Traced; 4] {
    let process = |pid, comm: &str| ProcessName { pid: Pid(pid), comm: comm.to_owned() };
    let mut whole = traced(Outcome::ThirdAckIgnored { ended: IgnoredEnd::Open }, Phase::Open);
    whole.handshake.syn_acks = Sends { count: 2, at_us: vec![40, 1_000_000].into() };
    whole.handshake.marks = vec![Mark::DataIgnored];
    let local = address("0.0.0.0:8080");
    whole.listener = Reading::Known(Some(EndpointKey { local, device: 0, v6_only: false }));
    whole.server_process = Reading::Known(Some(process(812, "web")));
    whole.client_process = Reading::Known(Some(process(77, "curl")));
    whole.accept_queue_ns = Reading::Known(Some(1_500_000));
    whole.drops = Reading::Known(vec![Dropped {
        what: DroppedSegment::ThirdAck,
        at: TracedEnd::Server,
        reason: "TCP_LISTEN_OVERFLOW".to_owned(),
        count: 2,
        first_us: 120,
    }]);
    whole.reset = Reading::Known(Some(Reset {
        by: TracedEnd::Server,
        reason: "INVALID_SYN".to_owned(),
        cause: Some("accept queue full".to_owned()),
    }));
    let mut unanswered = traced(Outcome::SynUnanswered, Phase::Ended);
    unanswered.handshake.syns = Sends { count: 3, at_us: vec![0, 1_010_000, 2_030_000].into() };
    unanswered.handshake.syn_acks = Sends::default();
    unanswered.handshake.stages = Stages::default();
    unanswered.handshake.scope = "vlan \u{1b}[2J7".to_owned();
    unanswered.client_process = Reading::Known(Some(process(78, "wget\u{1b}]0;x")));
    unanswered.server_process = Reading::Known(None);
    let established = traced(Outcome::Established, Phase::Ended);
    let refused = traced(Outcome::Refused, Phase::Ended);
    [whole, unanswered, established, refused]
}
