//! # What it sees
//!
//! SYNs are dropped although neither queue of the listener is full. SYN cookies are off
//! (`net.ipv4.tcp_syncookies = 0`) and the listener's requests have reached the last quarter of
//! `net.ipv4.tcp_max_syn_backlog`. Of all counters only ListenDrops rises: ListenOverflows and
//! TCPReqQFullDrop stay.
//!
//! # Why it happens
//!
//! While cookies are off the kernel keeps the last quarter of `tcp_max_syn_backlog` for peers that it
//! has talked to before and remembers the round-trip time of. SYNs of all others are dropped from
//! three quarters on. With a setting of 16, 13 requests are enough, whatever the backlog of the
//! listener. Half-open requests that fill the place are a flood, clients whose way back is broken, or
//! a burst.
//!
//! # How sure
//!
//! Probable while ListenDrops rises by more than the two full queues account for and the listener's
//! requests stand at the threshold: other causes of such drops are rare and would not hold the number
//! of requests just there. Possible where the drops do not show: with a single look, or when nobody
//! new came in the window. A peer that the kernel remembers still gets in.
//!
//! # What to do
//!
//! Turn SYN cookies on: `sysctl -w net.ipv4.tcp_syncookies=1`. The rule does not apply then. Or raise
//! `net.ipv4.tcp_max_syn_backlog` beyond 4/3 of the requests that are really under way. Both work at
//! once from Linux 4.4 on; older kernels size the queue's table at the first listen(), so there the
//! program must be restarted.
//!
//! # What not to do
//!
//! A larger backlog or `net.core.somaxconn` changes nothing here: the listener's own limit has not
//! been reached.
//!
//! # Sources
//!
//! net/ipv4/tcp_input.c `tcp_conn_request`: `max_syn_backlog - qlen < max_syn_backlog >> 2` together
//! with net/ipv4/tcp_metrics.c `tcp_peer_is_proven`.

use halfopen_evidence::Reading;
use halfopen_model::Counter;

use crate::analysis::rises::Rises;
use crate::analysis::syn_queues::{self, SynQueueView};
use crate::{Confidence, Context, Fact, Finding, FindingId, Severity, Verdicts, words};

const ID: FindingId = FindingId::SynReserve;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for queue in syn_queues::all(context) {
        if queue.accept_queue_was_full() {
            continue;
        }
        if queue.reached_the_reserve() {
            verdicts.find(finding(context, &queue));
            queue.want_holders(verdicts);
        } else if let Some(why) = unknown(context, &queue) {
            verdicts.undetermined(ID, queue.subject(context), why);
        }
    }
}

/// What is missing, if the listener drops SYNs and this rule may be why.
fn unknown(context: &Context<'_>, queue: &SynQueueView<'_>) -> Option<String> {
    let Reading::Missing(why) = &queue.reserve else {
        return None;
    };
    let drops = Rises::new(context, queue.netns.id).unaccounted_drops();
    let suspect = queue.now() > 0 && drops.value()? > 0 && queue.drops.value() != Some(0);
    suspect
        .then(|| format!("SYNs are dropped; net.ipv4.tcp_syncookies or tcp_max_syn_backlog {why}"))
}

fn finding(context: &Context<'_>, queue: &SynQueueView<'_>) -> Finding {
    let rises = Rises::new(context, queue.netns.id);
    let dropped = rises.unaccounted_drops();
    let drops_here = queue.drops.value() != Some(0);
    let (severity, confidence) = match dropped {
        Reading::Known(1..) if drops_here => (Severity::Failure, Confidence::Probable),
        Reading::Known(_) => (Severity::Warning, Confidence::Possible),
        Reading::Missing(_) => (Severity::Failure, Confidence::Possible),
    };
    let threshold = queue.reserve.value().flatten().unwrap_or(0);
    let max = queue.netns.sysctls.tcp_max_syn_backlog.value().unwrap_or(0);
    let mut evidence = vec![Fact::number(
        "syn-reserve-threshold",
        threshold,
        format!(
            "SYNs of unknown peers are dropped from {threshold} requests on (tcp_max_syn_backlog {max}, tcp_syncookies 0)"
        ),
    )];
    evidence.extend(rises.risen(&[Counter::ListenDrops]));
    evidence.extend(
        [Counter::ListenOverflows, Counter::TcpReqQFullDrop]
            .into_iter()
            .filter_map(|counter| rises.fact(counter)),
    );
    evidence.extend(queue.facts());
    Finding {
        id: ID,
        severity,
        subject: queue.subject(context),
        headline: format!(
            "SYNs of new clients are dropped: {} half open, the last quarter of tcp_max_syn_backlog {max} is reserved",
            words::count(queue.most(), "request"),
        ),
        cause: format!(
            "SYN cookies are off, and then the kernel keeps the last quarter of net.ipv4.tcp_max_syn_backlog for peers that it knows; everybody else's SYN is dropped; {}",
            queue.pattern().sentence(),
        ),
        evidence,
        confidence,
        refuted_by: "drops that go on while fewer requests than the threshold are in SYN_RECV".to_owned(),
        remedies: vec![
            "turn SYN cookies on in this namespace: sysctl -w net.ipv4.tcp_syncookies=1 (works at once)".to_owned(),
            format!(
                "or raise net.ipv4.tcp_max_syn_backlog well beyond {}",
                queue.most().saturating_mul(4).div_ceil(3)
            ),
            "look at the addresses in SYN_RECV: ss -nt state syn-recv".to_owned(),
        ],
        useless: vec![
            "a larger backlog or net.core.somaxconn: the listener's own limit is not reached".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Endpoint, Missing};

    use super::*;
    use crate::fixture::{Scene, endpoint, listener, requests};

    fn half_open(count: u32, drops: u32) -> Endpoint {
        let mut socket = listener(1, 0, 128);
        socket.drops = Reading::Known(drops);
        let mut endpoint = endpoint("0.0.0.0:80", [socket]);
        endpoint.syn_recv = requests(&[0, count], 1);
        endpoint
    }

    fn cookies_off(scene: Scene) -> Scene {
        scene.netns(|netns| {
            netns.sysctls.tcp_syncookies = Reading::Known(0);
            netns.sysctls.tcp_max_syn_backlog = Reading::Known(16);
        })
    }

    #[test]
    fn drops_at_three_quarters_of_tcp_max_syn_backlog_are_the_reserve_and_nothing_else() {
        let scene = cookies_off(Scene::window())
            .endpoint_changing(half_open(13, 0), half_open(13, 7))
            .rise(Counter::ListenDrops, 7);
        assert_eq!(scene.clone().ids(), [ID]);
        let finding = scene.finding(ID);
        assert_eq!(
            (finding.severity, finding.confidence),
            (Severity::Failure, Confidence::Probable)
        );
    }

    #[test]
    fn one_request_fewer_or_cookies_are_silent() {
        assert!(cookies_off(Scene::now()).endpoint(half_open(12, 0)).is_silent_about(ID));
        let cookies_on = cookies_off(Scene::now())
            .netns(|netns| netns.sysctls.tcp_syncookies = Reading::Known(1));
        assert!(cookies_on.endpoint(half_open(13, 0)).is_silent_about(ID));
    }

    #[test]
    fn a_reserve_that_nobody_met_in_the_window_is_a_warning() {
        let finding = cookies_off(Scene::window()).endpoint(half_open(13, 0)).finding(ID);
        assert_eq!(
            (finding.severity, finding.confidence),
            (Severity::Warning, Confidence::Possible)
        );
    }

    #[test]
    fn drops_are_undetermined_while_the_settings_are_unknown() {
        let diagnosis = cookies_off(Scene::window())
            .netns(|netns| netns.sysctls.tcp_max_syn_backlog = Missing::needs("root").into())
            .endpoint_changing(half_open(13, 0), half_open(13, 7))
            .rise(Counter::ListenDrops, 7)
            .diagnose();
        assert!(diagnosis.undetermined.iter().any(|undetermined| undetermined.id == ID));
    }
}
