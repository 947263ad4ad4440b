//! # What it sees
//! A listener's accept queue overflows, and its limit is exactly `net.core.somaxconn` of its
//! namespace.
//!
//! # Why it happens
//! The limit is the smaller of what the program passed to `listen()` and `net.core.somaxconn` at
//! that moment. Programs often ask for a lot, or for "as much as possible", and get the setting:
//! 4096 by default, 128 before Linux 5.4. The setting belongs to a network namespace: a container
//! has its own, with the kernel's default, whatever the host says.
//!
//! # How sure
//! Probable: the program may have asked for just that number. What it asked for is not kept
//! anywhere.
//!
//! # What to do
//! If connections come in bursts and are accepted otherwise, raise `net.core.somaxconn` in the
//! namespace of the listener (for a container: `docker run --sysctl`, a pod's
//! `securityContext.sysctls`) and restart the program, since the limit is taken when `listen()` is
//! called.
//!
//! # What not to do
//! If nothing is accepted, a larger queue fills as well: see the accompanying finding first.
//! Raising the setting on the host does not reach containers. `net.ipv4.tcp_max_syn_backlog` is
//! about another queue.
//!
//! # Sources
//! - `net/socket.c __sys_listen`: `min(backlog, somaxconn)`
//! - `net/core/net_namespace.c`, `net/core/sysctl_net_core.c`: per namespace, default SOMAXCONN

use crate::analysis::accepting::Accepting;
use crate::analysis::overflow::Overflow;
use crate::analysis::stall_report;
use crate::words::count;
use crate::{Confidence, Context, Fact, Finding, FindingId, ListenerView, Severity, Verdicts};

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for view in context.listeners() {
        let Some(overflow) = Overflow::of(context, view) else { continue };
        match view.netns.sysctls.somaxconn.get() {
            Some(&somaxconn) if somaxconn == view.listener.limit => {
                verdicts.find(finding(context, view, overflow));
            }
            Some(_) => {}
            None => {
                let why = "net.core.somaxconn of its namespace could not be read";
                verdicts.undetermined(FindingId::BacklogClamped, view.subject(), why);
            }
        }
    }
}

fn finding(context: &Context<'_>, view: &ListenerView<'_>, overflow: Overflow) -> Finding {
    let limit = view.listener.limit;
    let stalled = matches!(context.accepting(view), Accepting::Stalled(_));
    let mut evidence = vec![
        Fact::number("somaxconn", limit, format!("net.core.somaxconn = {limit}")),
        Fact::number("accept-queue-limit", limit, format!("limit of the accept queue {limit}")),
    ];
    evidence.extend(stall_report::refusals(context, view));
    let mut useless = vec![
        "raising it on the host for a container, which has a setting of its own".to_owned(),
        "tcp_max_syn_backlog: it is about the SYN queue".to_owned(),
    ];
    if stalled {
        useless.insert(
            0,
            "raising it alone: nothing is accepted, so a queue of any size fills".to_owned(),
        );
    }
    Finding {
        id: FindingId::BacklogClamped,
        severity: Severity::Warning,
        subject: view.subject(),
        headline: format!(
            "limit {limit} is net.core.somaxconn; {} refused",
            count(overflow.segments, "segment")
        ),
        cause: format!(
            "whatever larger backlog the program asks for, net.core.somaxconn cuts it down to \
             {limit}, and that many connections were not enough"
        ),
        evidence,
        confidence: Confidence::Probable,
        refuted_by: format!("a program that itself asks for a backlog of {limit}"),
        remedies: vec![
            "raise net.core.somaxconn in the listener's network namespace, then restart the program"
                .to_owned(),
        ],
        useless,
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Missing, Reading};
    use halfopen_model::Counter;

    use super::*;
    use crate::fixture::{Scene, endpoint, listener};

    fn scene(limit: u32, overflows: u64) -> Scene {
        let queue = |drops| {
            let mut queue = endpoint("0.0.0.0:8080", [listener(1, 2, limit)]);
            queue.listeners[0].drops = Reading::Known(drops);
            queue
        };
        Scene::window()
            .netns(|netns| netns.sysctls.somaxconn = Reading::Known(16))
            .endpoint_changing(queue(0), queue(u32::try_from(overflows).expect("few")))
            .track(1, 1, limit + 1, 5)
            .rise(Counter::ListenOverflows, overflows)
            .rise(Counter::PassiveOpens, 90)
    }

    #[test]
    fn overflow_of_a_queue_as_long_as_somaxconn_is_a_clamped_backlog() {
        let finding = scene(16, 7).finding(FindingId::BacklogClamped);
        assert_eq!(finding.headline, "limit 16 is net.core.somaxconn; 7 segments refused");
        assert_eq!(finding.severity, Severity::Warning);
    }

    #[test]
    fn another_limit_or_no_overflow_is_silent() {
        assert!(scene(15, 7).is_silent_about(FindingId::BacklogClamped));
        assert!(scene(16, 0).is_silent_about(FindingId::BacklogClamped));
    }

    #[test]
    fn lifting_it_alone_is_called_useless_where_nothing_is_accepted() {
        let mut stands = scene(16, 7);
        stands.between.queues.clear();
        let finding = stands.finding(FindingId::BacklogClamped);
        assert!(finding.useless[0].contains("nothing is accepted"), "{:?}", finding.useless);
    }

    #[test]
    fn an_unread_setting_is_undetermined() {
        let unread =
            scene(16, 7).netns(|netns| netns.sysctls.somaxconn = Missing::needs("root").into());
        let undetermined = unread.diagnose().undetermined;
        assert!(undetermined.iter().any(|u| u.id == FindingId::BacklogClamped));
    }
}
