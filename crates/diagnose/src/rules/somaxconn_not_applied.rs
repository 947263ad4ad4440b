//! # What it sees
//! A listener's accept queue overflows, its limit is below today's `net.core.somaxconn`, and it is
//! one that the setting had before: seen at the first look, or 128 or 4096, the kernel's defaults.
//!
//! # Why it happens
//! The limit is taken when the program calls `listen()`. Raising `net.core.somaxconn` later changes
//! nothing for listeners that exist; so a host can be "tuned" and its servers still have the old
//! limit, until they are restarted. The order at boot does the same: the service starts before
//! sysctl.conf is read.
//!
//! # How sure
//! Possible, no more: a program may ask for just 128 by itself, as some languages' libraries do
//! (Python, Rust, Erlang), and its own backlog then is what must be raised. Probable if the setting
//! was raised between the two looks.
//!
//! # What to do
//! Restart the program (or make it call `listen()` again, as nginx does for a changed `backlog=`
//! with a restart). If the limit is the same afterwards, raise the backlog that the program asks
//! for.
//!
//! # What not to do
//! Raising `net.core.somaxconn` further: it is not what limits this listener now. If nothing is
//! accepted, a larger queue fills as well.
//!
//! # Sources
//! - `net/socket.c __sys_listen`: somaxconn is read at the call
//! - `include/linux/socket.h SOMAXCONN`: 128, and 4096 from 5.4 (19f92a030ca6)

use crate::analysis::overflow::Overflow;
use crate::analysis::stall_report;
use crate::words::count;
use crate::{Confidence, Context, Fact, Finding, FindingId, ListenerView, Severity, Verdicts};

/// Values that kernels have had as their default.
const DEFAULTS: [u32; 2] = [128, 4096];

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for view in context.listeners() {
        let Some(somaxconn) = view.netns.sysctls.somaxconn.value() else { continue };
        let Some(overflow) = Overflow::of(context, view) else { continue };
        let limit = view.listener.limit;
        let was = context
            .interval()
            .and_then(|interval| interval.first.netns(view.netns.id)?.sysctls.somaxconn.value());
        let confidence =
            if was == Some(limit) { Confidence::Probable } else { Confidence::Possible };
        if limit < somaxconn && (was == Some(limit) || DEFAULTS.contains(&limit)) {
            verdicts.find(finding(context, view, somaxconn, overflow, confidence));
        }
    }
}

fn finding(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    somaxconn: u32,
    overflow: Overflow,
    confidence: Confidence,
) -> Finding {
    let limit = view.listener.limit;
    let mut evidence = vec![
        Fact::number("accept-queue-limit", limit, format!("limit of the accept queue {limit}")),
        Fact::number("somaxconn", somaxconn, format!("net.core.somaxconn = {somaxconn} now")),
    ];
    evidence.extend(stall_report::refusals(context, view));
    Finding {
        id: FindingId::SomaxconnNotApplied,
        severity: Severity::Warning,
        subject: view.subject(),
        headline: format!(
            "limit {limit} although somaxconn is {somaxconn}; {} refused",
            count(overflow.segments, "segment")
        ),
        cause: format!(
            "the listener was opened while net.core.somaxconn was {limit}, and keeps that limit \
             until listen() is called again; or the program itself asks for {limit}"
        ),
        evidence,
        confidence,
        refuted_by: format!("a limit of {limit} again after a restart of the program"),
        remedies: vec![
            "restart the program, so that listen() takes the new limit".to_owned(),
            "if the limit stays, raise the backlog that the program asks for".to_owned(),
        ],
        useless: vec![
            "raising net.core.somaxconn further: it does not limit this listener now".to_owned(),
        ],
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
            .endpoint_changing(queue(0), queue(u32::try_from(overflows).expect("few")))
            .track(1, 1, limit + 1, 5)
            .rise(Counter::ListenOverflows, overflows)
            .rise(Counter::PassiveOpens, 900)
    }

    #[test]
    fn an_old_default_below_todays_somaxconn_may_be_an_old_limit() {
        let finding = scene(128, 9).finding(FindingId::SomaxconnNotApplied);
        assert_eq!(finding.confidence, Confidence::Possible);
        assert_eq!(finding.headline, "limit 128 although somaxconn is 4096; 9 segments refused");
    }

    #[test]
    fn a_setting_that_was_raised_between_the_looks_is_more_telling() {
        let mut raised = scene(300, 9);
        raised.first.netns[0].sysctls.somaxconn = Reading::Known(300);
        let finding = raised.finding(FindingId::SomaxconnNotApplied);
        assert_eq!(finding.confidence, Confidence::Probable);
    }

    #[test]
    fn backlogs_of_programs_and_queues_without_overflow_are_silent() {
        for quiet in [scene(511, 9), scene(50, 9), scene(4096, 9), scene(128, 0)] {
            assert!(quiet.is_silent_about(FindingId::SomaxconnNotApplied));
        }
    }

    #[test]
    fn an_unread_setting_gives_no_finding() {
        let unread =
            scene(128, 9).netns(|netns| netns.sysctls.somaxconn = Missing::needs("root").into());
        assert!(unread.is_silent_about(FindingId::SomaxconnNotApplied));
    }
}
