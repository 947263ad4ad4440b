//! # What it sees
//!
//! Clients believe that they are connected, and the server still has their connections in SYN_RECV:
//! their last ACK arrived and was dropped, because the accept queue is full. The server sends the
//! SYN-ACK again after one, three, seven … seconds; each time the client's kernel answers, and each
//! time that answer is dropped as well. What the client sends is ignored.
//!
//! In a capture: the SYN-ACK comes again although the client's ACK is there, and no data moves on.
//!
//! # Why it happens
//!
//! The place in the accept queue is asked for when the last ACK arrives. From Linux 4.10 on a SYN is
//! dropped as long as the accept queue is full, so this takes handshakes that overlap: several SYNs are
//! answered while there is room, and then more ACKs come than places are left. Up to 4.9 it is what a
//! full accept queue normally does, since two young requests are let in all the same.
//!
//! When its time is over (63 seconds by default) the request is forgotten without a word. The
//! client's next segment is then answered by a reset: `connection reset by peer` a minute after a
//! connect() that succeeded. A client that sends nothing stays connected to nothing for ever.
//!
//! This is a consequence: the finding about the accept queue of the same listener has the cause.
//!
//! # How sure
//!
//! Certain where the kernel says that the ACKs arrived: it marks such a request (`acked`), which no dump
//! shows but a BPF iterator does. Certain too where the client's end is on this host and established.
//! Without BPF and for remote clients it is probable, if the accept
//! queue was full at both looks and all samples, SYN-ACKs had to be sent again, and ListenOverflows
//! rose: SYN_RECV behind a queue that stays full can also be clients that never answered. With less
//! than that it is undetermined.
//!
//! From captures of two points it is certain if the ACKs reached the server's side and at least one
//! such connection was taken later: no firewall would relent. From one capture it is probable where it was taken at the server's end, since the ACK had arrived, or
//! where it happened three times; an ACK that was lost behind the place of the capture looks the same.
//! TCP_DEFER_ACCEPT does too, until the client sends data: such handshakes are told apart where they
//! can be, and make it possible only where they cannot.
//!
//! # What to do
//!
//! Make the program accept: see the finding about its accept queue. Connections in this state come
//! through by themselves as soon as there is room, at the client's next segment or the server's next
//! SYN-ACK. For bursts, raise the backlog and `net.core.somaxconn`, and restart the program.
//!
//! # What not to do
//!
//! Do not look for packet loss: the ACK arrived. SYN cookies do not help a full accept queue.
//! `tcp_synack_retries` only changes how long the clients are kept in doubt. `tcp_abort_on_overflow`
//! turns the silence into resets; it frees nothing.
//!
//! # Sources
//!
//! net/ipv4/tcp_minisocks.c `tcp_check_req` (label `listen_overflow`), net/ipv4/tcp_ipv4.c
//! `tcp_v4_syn_recv_sock`, net/ipv4/tcp_input.c `tcp_conn_request`; commit 5ea8ea2cb7f1 (4.10).

use halfopen_evidence::{IgnoredEnd, Located, Mark, Outcome, Reading, WatchedListener};
use halfopen_model::{Counter, SynOnFullAcceptQueue};

use crate::analysis::client_ends::{self, ClientEnds};
use crate::analysis::rises::Rises;
use crate::analysis::syn_queues::{self, SynQueueView};
use crate::analysis::watched::{self, Share};
use crate::{
    Confidence, Context, Fact, Finding, FindingId, ListenerView, Severity, Verdicts, words,
};

const ID: FindingId = FindingId::ThirdAckDropped;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for queue in syn_queues::all(context) {
        if queue.now() == 0 || !queue.accept_queue_is_full() {
            continue;
        }
        queue.want_inside(verdicts);
        client_ends::want(&queue, verdicts);
        let ends = client_ends::of(&queue);
        match judge(context, &queue, &ends) {
            Verdict::Dropped(confidence) => {
                verdicts.find(finding(context, &queue, &ends, confidence));
                queue.want_holders(verdicts);
            }
            Verdict::Unclear(why) => verdicts.undetermined(ID, queue.subject(context), why),
            Verdict::Not => {}
        }
    }
}

pub(crate) fn watched(listener: &WatchedListener, verdicts: &mut Verdicts) {
    let is_ignored = |outcome| matches!(outcome, Outcome::ThirdAckIgnored { .. });
    let Some(ignored) = Share::of(listener, is_ignored) else { return };
    let unsure = listener.mark(Mark::MaybeDeferred).min(ignored.count);
    let port = listener.server.port();
    verdicts.find(Finding {
        id: ID,
        severity: ignored.severity(),
        subject: watched::subject(listener),
        headline: format!(
            "{} not taken by the server although the client's ACK is there",
            ignored.words()
        ),
        cause: "the clients' last ACKs are dropped, as by a full accept queue: the clients believe that they are connected, the server does not, and what they send is ignored".to_owned(),
        evidence: watched_facts(listener, ignored, unsure),
        confidence: watched_confidence(listener, ignored, unsure),
        refuted_by: "a capture on the server in which these ACKs do not arrive, or TCP_DEFER_ACCEPT set on the listener".to_owned(),
        remedies: vec![
            format!("on the server, while it lasts: halfopen check 'sport = :{port}' names the process and why it does not accept"),
            "without it: ss -ltn shows an accept queue (Recv-Q) above its limit (Send-Q), and nstat -az TcpExtListenOverflows rises".to_owned(),
        ],
        useless: vec![
            "a search for packet loss in front of the place of the capture: the ACKs passed it".to_owned(),
            "SYN cookies: they do not help a full accept queue".to_owned(),
        ],
    });
}

/// That the ACKs were dropped behind the place of the capture, and not lost there.
fn watched_confidence(listener: &WatchedListener, ignored: Share, unsure: u32) -> Confidence {
    let recovered = Outcome::ThirdAckIgnored { ended: IgnoredEnd::Recovered };
    let is_taken_later = listener.count(|it| it == recovered) > unsure;
    let has_arrived =
        listener.located(Located::AckIgnored) >= ignored.count && unsure < ignored.count;
    match (has_arrived, is_taken_later) {
        (true, true) => Confidence::Certain,
        (true, false) => Confidence::Probable,
        (false, _) => watched::confidence(listener, ignored.count - unsure),
    }
}

fn watched_facts(listener: &WatchedListener, ignored: Share, unsure: u32) -> Vec<Fact> {
    const ENDS: [(IgnoredEnd, &str, &str); 5] = [
        (IgnoredEnd::Recovered, "ignored-recovered", "taken later"),
        (IgnoredEnd::ResetByData, "ignored-reset-by-data", "reset when the client sent data"),
        (IgnoredEnd::ResetByProbe, "ignored-reset-by-probe", "reset by a later probe"),
        (IgnoredEnd::ClosedByClient, "ignored-closed", "given up by the client"),
        (IgnoredEnd::Open, "ignored-open", "still so at the end"),
    ];
    let mut facts =
        vec![ignored.fact("third-ack-ignored", "with a SYN-ACK sent again although acknowledged")];
    for (ended, name, what) in ENDS {
        let count = listener.count(|it| it == Outcome::ThirdAckIgnored { ended });
        if count > 0 {
            facts.push(Fact::number(name, count, format!("{count} {what}")));
        }
    }
    if unsure > 0 {
        let text = format!("{unsure} that may be TCP_DEFER_ACCEPT");
        facts.push(Fact::number("maybe-deferred", unsure, text));
    }
    facts.extend(watched::facts(listener));
    facts
}

enum Verdict {
    Dropped(Confidence),
    Unclear(String),
    Not,
}

fn judge(context: &Context<'_>, queue: &SynQueueView<'_>, ends: &ClientEnds) -> Verdict {
    if let Some(acks) = queue.third_acks() {
        return if acks.dropped > 0 { Verdict::Dropped(Confidence::Certain) } else { Verdict::Not };
    }
    let repeated = queue.endpoint.syn_recv.retransmitted(1);
    let stayed_full = queue.sockets.iter().any(|view| stayed_full(context, view));
    if ends.connected > 0 || (ends.connected_unrepeated > 0 && stayed_full) {
        return Verdict::Dropped(Confidence::Certain);
    }
    if repeated == 0 || ends.waiting >= queue.endpoint.syn_recv.count {
        return Verdict::Not;
    }
    let overflows = Rises::new(context, queue.netns.id).by(Counter::ListenOverflows);
    match overflows {
        Reading::Known(1..) if stayed_full => Verdict::Dropped(Confidence::Probable),
        Reading::Known(_) if stayed_full => Verdict::Unclear(
            "SYN-ACKs are sent again behind a full accept queue, but nothing was dropped in the window: a longer one would show whether the clients answer".to_owned(),
        ),
        Reading::Known(_) => Verdict::Unclear(
            "SYN-ACKs were sent again, but the accept queue was not full all the time".to_owned(),
        ),
        Reading::Missing(why) => Verdict::Unclear(format!(
            "SYN-ACKs are sent again behind a full accept queue; ListenOverflows over a window: {why}"
        )),
    }
}

/// Whether the accept queue was full at both looks and at every sample in between.
fn stayed_full(context: &Context<'_>, view: &ListenerView<'_>) -> bool {
    let limit = view.listener.limit;
    context.interval().is_some()
        && view.listener.accept_queue().is_full()
        && view.earlier.is_some_and(|earlier| earlier.accept_queue().is_full())
        && view.track.is_none_or(|track| track.samples == 0 || track.min > limit)
}

fn finding(
    context: &Context<'_>,
    queue: &SynQueueView<'_>,
    ends: &ClientEnds,
    confidence: Confidence,
) -> Finding {
    let requests = &queue.endpoint.syn_recv;
    let rises = Rises::new(context, queue.netns.id);
    let full = queue.sockets.iter().filter(|view| view.listener.accept_queue().is_full());
    let mut evidence: Vec<Fact> = full
        .map(|view| {
            let (depth, limit) = (view.listener.depth, view.listener.limit);
            let text = format!("accept queue {depth}/{limit}, full");
            Fact::number("accept-queue-depth", depth, text)
        })
        .collect();
    evidence.extend(queue.third_acks().map(syn_queues::third_ack_facts).unwrap_or_default());
    evidence.extend(ends.facts());
    evidence.extend(rises.risen(&[
        Counter::ListenOverflows,
        Counter::TcpSynRetrans,
        Counter::TcpSynChallenge,
    ]));
    evidence.push(Fact::number(
        "syn-queue-length",
        requests.count,
        format!("{} in SYN_RECV", words::count(requests.count, "request")),
    ));
    evidence.push(syn_queues::retransmit_fact(requests));
    let usual = context.semantics().get().is_some_and(|semantics| {
        semantics.queues.syn_on_full_accept_queue == SynOnFullAcceptQueue::DroppedIfYoungRequests
    });
    let when = if usual {
        "on this kernel that is what a full accept queue does"
    } else {
        "their handshakes had begun before the queue was full"
    };
    Finding {
        id: ID,
        severity: Severity::Failure,
        subject: queue.subject(context),
        headline: format!(
            "{} half open whose client is connected; its ACKs are dropped at the full accept queue",
            words::count(requests.count, "connection"),
        ),
        cause: format!(
            "the clients' last ACKs arrive and are dropped because the accept queue is full, so the clients believe that they are connected and the server does not; {when}"
        ),
        evidence,
        confidence,
        refuted_by: "room in the accept queue while these requests stay in SYN_RECV and their SYN-ACKs are sent again".to_owned(),
        remedies: vec![
            "make the program accept: see the finding about this listener's accept queue".to_owned(),
            "these connections come through by themselves once there is room; until then expect resets about a minute after a successful connect()".to_owned(),
        ],
        useless: vec![
            "a search for packet loss: the ACKs arrive".to_owned(),
            "SYN cookies: they do not help a full accept queue".to_owned(),
            "changing tcp_synack_retries: it only sets how long the clients are kept in doubt".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Endpoint, Missing, ThirdAcks, Want, WatchedSide};
    use halfopen_model::TcpState;

    use super::*;
    use crate::fixture::{NETNS, Scene, endpoint, key, listener, requests, watched_listener};

    fn stuck(by_retransmits: &[u32], client: &Reading<TcpState>) -> Endpoint {
        let mut endpoint = endpoint("0.0.0.0:80", [listener(1, 6, 5)]);
        endpoint.syn_recv = requests(by_retransmits, 1);
        for request in &mut endpoint.syn_recv.sample {
            request.client = client.clone();
        }
        endpoint
    }

    #[test]
    fn clients_that_are_connected_while_the_server_is_half_open_make_it_certain() {
        let established = Reading::Known(TcpState::Established);
        let finding = Scene::window().endpoint(stuck(&[0, 4], &established)).finding(ID);
        assert_eq!(
            (finding.severity, finding.confidence),
            (Severity::Failure, Confidence::Certain)
        );
        assert!(finding.headline.starts_with("4 connections half open"));
        let young = Scene::window().endpoint(stuck(&[4], &established));
        assert_eq!(young.finding(ID).confidence, Confidence::Certain);
    }

    #[test]
    fn remote_clients_make_it_probable_while_the_queue_stays_full_and_overflows() {
        let remote = Reading::Missing(Missing::Vanished);
        let scene = Scene::window()
            .endpoint(stuck(&[0, 4], &remote))
            .rise(Counter::ListenOverflows, 4)
            .rise(Counter::ListenDrops, 4);
        assert_eq!(scene.finding(ID).confidence, Confidence::Probable);
    }

    #[test]
    fn a_queue_that_drains_and_requests_that_are_young_are_silent() {
        let remote = Reading::Missing(Missing::Vanished);
        assert!(Scene::window().endpoint(stuck(&[4], &remote)).is_silent_about(ID));
        let mut before = stuck(&[], &remote);
        before.listeners[0].depth = 0;
        let established = Reading::Known(TcpState::Established);
        let busy = Scene::window().endpoint_changing(before, stuck(&[4], &established));
        assert!(busy.is_silent_about(ID));
        let mut room = stuck(&[0, 4], &established);
        room.listeners[0].depth = 5;
        assert!(Scene::window().endpoint(room).is_silent_about(ID));
    }

    #[test]
    fn acks_that_the_kernel_has_seen_decide() {
        let remote = Reading::Missing(Missing::Vanished);
        let known = |acks| {
            let mut endpoint = stuck(&[1, 3], &remote);
            endpoint.syn_recv.third_acks = Reading::Known(acks);
            endpoint
        };
        let dropped = ThirdAcks { dropped: 4, ..ThirdAcks::default() };
        let finding = Scene::now().endpoint(known(dropped)).finding(ID);
        assert_eq!(finding.confidence, Confidence::Certain);
        assert!(finding.evidence.iter().any(|fact| fact.name == "third-acks-dropped"));
        let overdue = ThirdAcks { awaited: 1, overdue: 3, ..ThirdAcks::default() };
        let scene = Scene::window()
            .endpoint(known(overdue))
            .rise(Counter::ListenOverflows, 4)
            .rise(Counter::ListenDrops, 4);
        assert!(scene.is_silent_about(ID));
        let deferred = ThirdAcks { deferred: 4, ..ThirdAcks::default() };
        assert!(Scene::window().endpoint(known(deferred)).is_silent_about(ID));
    }

    #[test]
    fn one_look_at_remote_clients_is_undetermined_and_asks_for_their_ends() {
        let diagnosis = Scene::now().endpoint(stuck(&[0, 4], &Reading::not_collected())).diagnose();
        assert!(diagnosis.undetermined.iter().any(|undetermined| undetermined.id == ID));
        let want = Want::ClientEnds { netns: NETNS, endpoint: key("0.0.0.0:80") };
        assert!(diagnosis.wants.contains(&want));
    }

    #[test]
    fn in_a_capture_the_place_and_the_number_decide_how_sure() {
        let open = Outcome::ThirdAckIgnored { ended: IgnoredEnd::Open };
        let at = |side, count| {
            let seen = watched_listener(&[(Outcome::Established, 10), (open, count)]).from(side);
            seen.finding(ID).confidence
        };
        assert_eq!(at(WatchedSide::Server, 1), Confidence::Probable);
        assert_eq!(at(WatchedSide::Clients, 1), Confidence::Possible);
        assert_eq!(at(WatchedSide::Unknown, 3), Confidence::Probable);
        let unsure = watched_listener(&[(open, 4)]).mark(Mark::MaybeDeferred, 4);
        assert_eq!(unsure.finding(ID).confidence, Confidence::Possible);
        let deferred = watched_listener(&[(Outcome::Deferred, 4)]);
        assert!(deferred.is_silent_about(ID));
    }

    #[test]
    fn acks_that_reached_the_servers_side_and_were_taken_later_make_it_certain() {
        let ignored = |ended| Outcome::ThirdAckIgnored { ended };
        let confidence = |ended, arrived| {
            let seen = watched_listener(&[(ignored(ended), 2), (Outcome::Established, 10)]);
            let seen = seen.from(WatchedSide::Clients).located(Located::AckIgnored, arrived);
            seen.finding(ID).confidence
        };
        assert_eq!(confidence(IgnoredEnd::Recovered, 2), Confidence::Certain);
        assert_eq!(confidence(IgnoredEnd::Open, 2), Confidence::Probable);
        assert_eq!(confidence(IgnoredEnd::Recovered, 1), Confidence::Possible);
    }

    #[test]
    fn kernels_to_4_9_do_it_to_every_handshake() {
        let mut scene =
            Scene::window().endpoint(stuck(&[0, 4], &Reading::Known(TcpState::Established)));
        for look in [&mut scene.first, &mut scene.second] {
            look.host.kernel_release = "3.10.0-1160.el7.x86_64".to_owned();
        }
        assert!(scene.finding(ID).cause.contains("on this kernel"));
    }
}
