//! # What it sees
//!
//! Segments for a listener are dropped, and neither a full accept queue nor a full SYN queue is the
//! reason: ListenDrops rises by more than ListenOverflows and TCPReqQFullDrop do, and the last quarter
//! of `tcp_max_syn_backlog` (finding `syn-reserve`) does not account for it either. `netstat -s` calls
//! these `SYNs to LISTEN sockets dropped`, and most advice found for that line is about full queues.
//!
//! # Why it happens
//!
//! The remaining causes, each with the probe that tells it:
//!
//! - no route back to the client, so the SYN-ACK cannot be sent: IpOutNoRoutes rises with it;
//!   `ip route get CLIENT`
//! - the client's old timestamp was refused (`tcp_tw_recycle` up to Linux 4.11, clients behind one
//!   NAT): PAWSPassive rises with it
//! - an ICMP error about the SYN-ACK ended a request (host or port unreachable from the client's side):
//!   `tcpdump -ni any icmp`
//! - memory was short: `dmesg | grep -i tcp`, `/proc/net/sockstat` against `tcp_mem`
//! - a security module or a BPF program refused the connection: audit log, `bpftool cgroup tree`
//! - the child could not inherit the listener's port (transparent proxies), or an MPTCP subflow was
//!   refused
//!
//! # How sure
//!
//! That such drops happened is certain. The cause is probable where IpOutNoRoutes or PAWSPassive rose
//! by as much. The listener is named by its own drop counter (Linux 4.7 and later).
//!
//! Up to Linux 4.4 each SYN cookie counts as a drop although nothing is lost; that is allowed for.
//!
//! # What to do
//!
//! Run the probes above, the first that fits first. From Linux 5.17 on
//! `perf trace -e skb:kfree_skb` names reasons for some of these drops, though not for a SYN that the
//! listener itself refuses.
//!
//! # What not to do
//!
//! A larger backlog, `net.core.somaxconn` or `tcp_max_syn_backlog`: no queue is full.
//!
//! # Sources
//!
//! net/ipv4/tcp_input.c `tcp_conn_request`, net/ipv4/tcp_ipv4.c `tcp_v4_syn_recv_sock` and
//! `tcp_req_err`, include/net/tcp.h `tcp_listendrop`.

use halfopen_evidence::{Netns, Reading};
use halfopen_model::Counter;

use crate::analysis::attribution::{Owners, among_fact, owners};
use crate::analysis::rises::Rises;
use crate::analysis::syn_queues::{self, SynQueueView};
use crate::{Confidence, Context, Fact, Finding, FindingId, Severity, Subject, Verdicts};

const ID: FindingId = FindingId::ListenDropsOther;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for netns in &context.latest().netns {
        let rises = Rises::new(context, netns.id);
        match rises.unaccounted_drops() {
            Reading::Known(drops) => look_at(context, netns, drops, verdicts),
            Reading::Missing(why) if rises.rose(Counter::ListenDrops) => {
                let why = format!("ListenDrops rose; ListenOverflows {why}");
                verdicts.undetermined(ID, Subject::netns(netns), why);
            }
            Reading::Missing(_) => {}
        }
    }
}

fn look_at(context: &Context<'_>, netns: &Netns, drops: u64, verdicts: &mut Verdicts) {
    let (reserved, queues): (Vec<_>, Vec<_>) = syn_queues::of_netns(context, netns)
        .into_iter()
        .partition(SynQueueView::reached_the_reserve);
    // Where a listener does not count its own drops, all of them may be the reserve's.
    let by_reserve = reserved
        .iter()
        .map(|queue| queue.drops.value().unwrap_or(drops))
        .fold(0, u64::saturating_add);
    let drops = drops.saturating_sub(by_reserve);
    // Counters and sockets are not read at the same moment.
    let noise = if by_reserve == 0 { 0 } else { 2 + by_reserve / 100 };
    if drops <= noise {
        return;
    }
    let cause = Cause::of(&Rises::new(context, netns.id), drops);
    // A listener with a full queue drops for that reason; the others are the likelier ones.
    let owners = owners(queues, |queue| {
        !queue.accept_queue_was_full() && !queue.may_have_been_full() && queue.drops.get().is_some()
    });
    match owners {
        Owners::Each(queues) => {
            for queue in &queues {
                let drops = queue.drops.value().unwrap_or(drops).min(drops);
                let mut finding = finding(context, netns, queue.subject(context), drops, cause);
                finding.evidence.extend(queue.accept_queue_facts());
                finding.evidence.extend(queue.facts());
                verdicts.find(finding);
                queue.want_holders(verdicts);
            }
        }
        Owners::Among(queues) => {
            let mut finding = finding(context, netns, Subject::netns(netns), drops, cause);
            finding.evidence.push(among_fact(&queues));
            verdicts.find(finding);
        }
    }
}

/// Why the segments were dropped, as far as a counter tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    NoRoute { all: bool },
    OldTimestamp,
    NotShown,
}

impl Cause {
    fn of(rises: &Rises<'_, '_>, drops: u64) -> Self {
        let no_route = rises.known(Counter::IpOutNoRoutes);
        if no_route > 0 && no_route.saturating_mul(2) >= drops {
            Self::NoRoute { all: no_route >= drops }
        } else if rises.known(Counter::PawsPassive).saturating_mul(2) >= drops {
            Self::OldTimestamp
        } else {
            Self::NotShown
        }
    }

    const fn severity(self) -> (Severity, Confidence) {
        match self {
            Self::NoRoute { all: true } => (Severity::Failure, Confidence::Probable),
            Self::OldTimestamp => (Severity::Failure, Confidence::Probable),
            Self::NoRoute { all: false } => (Severity::Warning, Confidence::Probable),
            Self::NotShown => (Severity::Warning, Confidence::Possible),
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::NoRoute { .. } => {
                "the server has no route back to these clients, so it cannot answer their SYNs and drops them"
            }
            Self::OldTimestamp => {
                "tcp_tw_recycle refuses SYNs whose timestamp is older than the last one from the same address, which hits clients that share an address behind a NAT"
            }
            Self::NotShown => {
                "segments for the listener are dropped for a reason that no counter names: memory, an ICMP error about the SYN-ACK, a security module or BPF program, or a failed port inheritance"
            }
        }
    }

    fn remedies(self) -> Vec<String> {
        let all = [
            "check the route back: ip route get CLIENT (IpOutNoRoutes counts what had none)",
            "look for ICMP errors that answer SYN-ACKs: tcpdump -ni any icmp",
            "look for a shortage of memory: dmesg, and /proc/net/sockstat against net.ipv4.tcp_mem",
            "look for a refusal by a security module or BPF program: the audit log, bpftool cgroup tree",
        ];
        match self {
            Self::NoRoute { .. } => vec![
                "add the route back to the clients, or repair it: ip route get CLIENT, ip rule"
                    .to_owned(),
            ],
            Self::OldTimestamp => vec!["sysctl -w net.ipv4.tcp_tw_recycle=0".to_owned()],
            Self::NotShown => all.map(str::to_owned).into(),
        }
    }
}

fn finding(
    context: &Context<'_>,
    netns: &Netns,
    subject: Subject,
    drops: u64,
    cause: Cause,
) -> Finding {
    let rises = Rises::new(context, netns.id);
    let mut evidence = vec![Fact::number(
        "unaccounted-drops",
        drops,
        format!("{drops} dropped{} with neither queue full", rises.span()),
    )];
    evidence.extend(rises.fact(Counter::ListenDrops));
    evidence.extend(rises.fact(Counter::ListenOverflows));
    evidence.extend(rises.risen(&[
        Counter::TcpReqQFullDrop,
        Counter::IpOutNoRoutes,
        Counter::PawsPassive,
        Counter::PfMemallocDrop,
        Counter::TcpAbortOnMemory,
    ]));
    let (severity, confidence) = cause.severity();
    let reason = match cause {
        Cause::NoRoute { .. } => "no route back to the clients",
        Cause::OldTimestamp => "old timestamps are refused",
        Cause::NotShown => "the reason does not show",
    };
    Finding {
        id: ID,
        severity,
        subject,
        headline: format!("drops {drops} SYNs or ACKs although neither queue is full: {reason}"),
        cause: cause.sentence().to_owned(),
        evidence,
        confidence,
        refuted_by: "ListenOverflows or TCPReqQFullDrop rising by the same number in a longer window".to_owned(),
        remedies: cause.remedies(),
        useless: vec![
            "a larger backlog, net.core.somaxconn or net.ipv4.tcp_max_syn_backlog: no queue is full".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Counters, Endpoint};

    use super::*;
    use crate::SubjectKind;
    use crate::fixture::{Scene, endpoint, listener};

    fn idle(port: u16, drops: u32) -> Endpoint {
        let mut socket = listener(u64::from(port), 0, 128);
        socket.drops = Reading::Known(drops);
        endpoint(&format!("0.0.0.0:{port}"), [socket])
    }

    #[test]
    fn drops_with_as_many_missing_routes_have_no_way_back() {
        let scene = Scene::window()
            .endpoint(idle(81, 0))
            .endpoint_changing(idle(80, 0), idle(80, 3))
            .rise(Counter::ListenDrops, 3)
            .rise(Counter::IpOutNoRoutes, 3);
        assert_eq!(scene.clone().ids(), [ID]);
        let finding = scene.finding(ID);
        assert_eq!(
            (finding.severity, finding.confidence),
            (Severity::Failure, Confidence::Probable)
        );
        assert_eq!(finding.subject.kind.to_string(), "*:80");
        assert!(finding.cause.contains("no route back"));
    }

    #[test]
    fn drops_that_no_counter_explains_list_the_probes() {
        let finding = Scene::window()
            .netns(|netns| {
                for endpoint in netns.endpoints.get_mut().into_iter().flatten() {
                    endpoint.listeners[0].drops = Reading::not_collected();
                }
            })
            .endpoint_changing(idle(80, 0), idle(80, 1))
            .endpoint_changing(idle(81, 0), idle(81, 1))
            .rise(Counter::ListenDrops, 2);
        let findings = finding.diagnose().findings;
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[0].severity, Severity::Warning);
        assert_eq!(findings[0].remedies.len(), 4);
    }

    #[test]
    fn a_listener_that_is_gone_leaves_the_namespace() {
        let finding = Scene::window().rise(Counter::ListenDrops, 2).finding(ID);
        assert_eq!(finding.subject.kind, SubjectKind::Netns);
    }

    #[test]
    fn drops_at_full_queues_are_silent_and_so_is_one_more_beside_many() {
        let overflow = |drops, overflows, syn_queue| {
            Scene::window()
                .endpoint(idle(80, 0))
                .rise(Counter::ListenDrops, drops)
                .rise(Counter::ListenOverflows, overflows)
                .rise(Counter::TcpReqQFullDrop, syn_queue)
                .is_silent_about(ID)
        };
        assert!(overflow(10, 10, 0));
        assert!(overflow(10, 6, 4));
        assert!(overflow(101, 100, 0));
        assert!(!overflow(110, 100, 0));
    }

    #[test]
    fn made_up_figures_overflow_nothing() {
        let reserve = |port: u16| {
            let mut endpoint = idle(port, 0);
            endpoint.listeners[0].drops = Reading::not_collected();
            endpoint.syn_recv.count = 100;
            endpoint
        };
        let huge = Scene::window()
            .endpoint(reserve(80))
            .endpoint(reserve(81))
            .netns(|netns| {
                netns.sysctls.tcp_syncookies = Reading::Known(0);
                netns.sysctls.tcp_max_syn_backlog = Reading::Known(64);
                netns.counters.get_mut().expect("counters").set(Counter::ListenDrops, 0);
            })
            .rise(Counter::ListenDrops, u64::MAX);
        assert!(huge.is_silent_about(ID));
    }

    #[test]
    fn kernels_to_4_4_count_cookies_as_drops() {
        let mut scene = Scene::window()
            .endpoint(idle(80, 0))
            .rise(Counter::ListenDrops, 40)
            .rise(Counter::SyncookiesSent, 40);
        for look in [&mut scene.first, &mut scene.second] {
            look.host.kernel_release = "3.10.0-1160.el7.x86_64".to_owned();
        }
        assert!(scene.is_silent_about(ID));
    }

    #[test]
    fn drops_without_listen_overflows_are_undetermined() {
        let without = |drops| {
            move |netns: &mut Netns| {
                netns.counters =
                    Reading::Known(Counters::from_iter([(Counter::ListenDrops, drops)]));
            }
        };
        let diagnosis = Scene::window().netns(without(1)).later(without(4)).diagnose();
        assert!(diagnosis.findings.is_empty());
        assert!(diagnosis.undetermined.iter().any(|undetermined| undetermined.id == ID));
    }
}
