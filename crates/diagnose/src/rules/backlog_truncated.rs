//! # What it sees
//! The kernel keeps accept-queue limits in 16 bits, `net.core.somaxconn` is larger than that, and a
//! listener has the limit that is left of it: 0 where somaxconn is a multiple of 65536.
//!
//! # Why it happens
//! Before Linux 4.1 `sk_max_ack_backlog` is an `unsigned short`, and kernels before 3.12 accept any
//! number for `net.core.somaxconn`. A program that asks for the maximum, on a host that was "tuned"
//! to 65536 or 262144, gets a queue for a single connection: 262144 leaves 0. Every second client
//! then waits for a retransmission, is told that it is connected and is not, or is reset a minute
//! later.
//!
//! # How sure
//! Probable: the version of the kernel says that it cuts, and the limit is just what it leaves;
//! vendors may have changed either. Without a readable somaxconn it is possible.
//!
//! # What to do
//! Set `net.core.somaxconn` to 65535 at most and restart the program.
//!
//! # What not to do
//! Raising the number further: 131072 and 1048576 leave 0 as well.
//!
//! # Sources
//! - `include/net/sock.h sk_max_ack_backlog`: `unsigned short` up to 4.0, `u32` from 4.1
//!   (becb74f0acca)
//! - `net/core/sysctl_net_core.c`: somaxconn limited to 65535 from 3.12 (5f671d6b4ec3)

use halfopen_model::{BacklogWidth, SomaxconnCheck};

use crate::analysis::overflow::Overflow;
use crate::analysis::stall_report;
use crate::{Confidence, Context, Fact, Finding, FindingId, ListenerView, Severity, Verdicts};

/// The largest limit that 16 bits hold.
const LARGEST: u32 = 0xffff;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    let Some(semantics) = context.semantics().get() else { return };
    let cuts = semantics.queues.backlog_width == BacklogWidth::Bits16
        && semantics.queues.somaxconn_check == SomaxconnCheck::Unchecked;
    if !cuts {
        return;
    }
    for view in context.listeners() {
        let limit = view.listener.limit;
        let overflows = Overflow::of(context, view).is_some() || view.was_full();
        let confidence = match view.netns.sysctls.somaxconn.value() {
            Some(somaxconn) if somaxconn > LARGEST && limit == somaxconn & LARGEST => {
                (overflows || limit == 0).then_some(Confidence::Probable)
            }
            None if limit == 0 && overflows => Some(Confidence::Possible),
            Some(_) | None => None,
        };
        if let Some(confidence) = confidence {
            verdicts.find(finding(context, view, confidence));
        }
    }
}

fn finding(context: &Context<'_>, view: &ListenerView<'_>, confidence: Confidence) -> Finding {
    let queue = view.listener.accept_queue();
    let somaxconn = view.netns.sysctls.somaxconn.value();
    let asked = somaxconn.map_or_else(|| "a multiple of 65536".to_owned(), |n| n.to_string());
    let mut evidence = vec![Fact::number(
        "accept-queue-limit",
        queue.limit,
        format!("limit of the accept queue {}, room for {}", queue.limit, queue.room()),
    )];
    if let Some(somaxconn) = somaxconn {
        let text = format!("net.core.somaxconn = {somaxconn}");
        evidence.push(Fact::number("somaxconn", somaxconn, text));
    }
    let release = &context.latest().host.kernel_release;
    evidence.push(Fact::words("kernel", format!("kernel {release} keeps the limit in 16 bits")));
    evidence.extend(stall_report::refusals(context, view));
    Finding {
        id: FindingId::BacklogTruncated,
        severity: Severity::Failure,
        subject: view.subject(),
        headline: format!("backlog cut to {}; room for {}", queue.limit, queue.room()),
        cause: format!(
            "this kernel keeps only the lower 16 bits of the backlog, and of {asked} these are {}",
            queue.limit
        ),
        evidence,
        confidence,
        refuted_by: format!("a program that itself asks for a backlog of {}", queue.limit),
        remedies: vec![
            "set net.core.somaxconn to 65535 at most, then restart the program".to_owned(),
        ],
        useless: vec!["an even larger number: 131072 and 1048576 leave 0 as well".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Missing, Reading};

    use super::*;
    use crate::fixture::{Scene, endpoint, listener};

    fn scene(kernel: &str, somaxconn: impl Into<Option<u32>>, limit: u32) -> Scene {
        let somaxconn =
            somaxconn.into().map_or_else(|| Missing::NotOnThisKernel.into(), Reading::Known);
        let mut scene = Scene::window()
            .netns(|netns| netns.sysctls.somaxconn = somaxconn.clone())
            .endpoint(endpoint("0.0.0.0:8080", [listener(1, 0, limit)]));
        for look in [&mut scene.first, &mut scene.second] {
            kernel.clone_into(&mut look.host.kernel_release);
        }
        scene
    }

    #[test]
    fn what_sixteen_bits_leave_of_somaxconn_is_recognised() {
        let finding = scene("2.6.32-642.el6", 262_144, 0).finding(FindingId::BacklogTruncated);
        assert_eq!(finding.headline, "backlog cut to 0; room for 1");
        assert!(finding.cause.contains("of 262144 these are 0"), "{}", finding.cause);
    }

    #[test]
    fn kernels_that_keep_or_check_the_number_are_silent() {
        for quiet in [
            scene("6.18.44", 262_144, 0),
            scene("3.10.0-1160.el7", 65_535, 0),
            scene("2.6.32-642.el6", 262_144, 128),
            scene("2.6.32-642.el6", 70_000, 4464),
            scene("2.6.32-642.el6", 128, 0),
        ] {
            assert!(quiet.is_silent_about(FindingId::BacklogTruncated));
        }
    }

    #[test]
    fn without_somaxconn_an_idle_listener_is_left_alone() {
        let quiet = scene("2.6.32-642.el6", None, 0);
        assert!(quiet.is_silent_about(FindingId::BacklogTruncated));
    }
}
