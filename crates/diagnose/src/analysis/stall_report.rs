//! A stall in words: what all `accept-*` findings say alike.

use halfopen_evidence::Reading;
use halfopen_model::Counter;

use super::accepting::{StallProof, Stalled};
use super::cause::StallCause;
use super::queue::oldest;
use super::starvation;
use crate::words::{count, duration};
use crate::{Confidence, Context, Fact, Finding, FindingId, ListenerView, Severity};

/// What an `accept-*` rule says beyond what all of them say.
pub(crate) struct Told {
    /// The cause, in one sentence.
    pub(crate) cause: String,
    /// How sure that is, given that nothing is accepted.
    pub(crate) confidence: Confidence,
    /// What it rests on, besides the queue.
    pub(crate) evidence: Vec<Fact>,
    /// What would prove it wrong.
    pub(crate) refuted_by: String,
    /// What to do.
    pub(crate) remedies: Vec<String>,
    /// What would not help, besides a larger backlog.
    pub(crate) useless: Vec<String>,
}

/// Every listener that accepts nothing.
pub(crate) fn stalls<'c, 'a>(
    context: &'c Context<'a>,
) -> impl Iterator<Item = (&'c ListenerView<'a>, &'c Stalled)> {
    context.listeners().iter().filter_map(|view| Some((view, context.accepting(view).stalled()?)))
}

/// A finding of the `accept-*` family.
pub(crate) fn finding(
    id: FindingId,
    context: &Context<'_>,
    view: &ListenerView<'_>,
    stalled: &Stalled,
    told: Told,
) -> Finding {
    let mut evidence = queue_facts(context, view, stalled);
    evidence.extend(told.evidence);
    if !matches!(stalled.cause, StallCause::Starved(_)) {
        evidence.extend(throttling(context, view));
    }
    let mut useless = vec![
        "a larger backlog or net.core.somaxconn: nothing is accepted, so a queue of any size fills"
            .to_owned(),
    ];
    useless.extend(told.useless);
    Finding {
        id,
        severity: Severity::Failure,
        subject: view.subject(),
        headline: headline(view, stalled),
        cause: told.cause,
        evidence,
        confidence: confidence(context, told.confidence, stalled),
        refuted_by: told.refuted_by,
        remedies: told.remedies,
        useless,
    }
}

fn headline(view: &ListenerView<'_>, stalled: &Stalled) -> String {
    let queue = view.listener.accept_queue();
    let wait = if queue.depth == 1 { "waits" } else { "wait" };
    let waiting = count(queue.depth, "connection");
    match stalled.proof {
        StallProof::Window { .. } => {
            format!("accepts nothing; {waiting} {wait}, room for {}", queue.room())
        }
        StallProof::Waited { oldest_ms } => format!(
            "seems to accept nothing; {waiting} {wait}, the oldest for {}, room for {}",
            duration(oldest_ms),
            queue.room()
        ),
    }
}

/// One look cannot tell a server that stands from one that is slow, and a process that cannot run
/// now may run the next moment.
fn confidence(context: &Context<'_>, told: Confidence, stalled: &Stalled) -> Confidence {
    let stopped = matches!(stalled.cause, StallCause::Stopped(_));
    match (stalled.proof, told) {
        (StallProof::Window { .. }, told) => told,
        (StallProof::Waited { .. }, told) if stopped && context.interval().is_some() => told,
        (StallProof::Waited { .. }, Confidence::Certain) => Confidence::Probable,
        (StallProof::Waited { .. }, _) => Confidence::Possible,
    }
}

fn queue_facts(context: &Context<'_>, view: &ListenerView<'_>, stalled: &Stalled) -> Vec<Fact> {
    let queue = view.listener.accept_queue();
    let (depth, limit) = (queue.depth, queue.limit);
    let mut facts = Vec::new();
    let span = match (stalled.proof, view.earlier) {
        (StallProof::Window { ms, .. }, Some(earlier)) if earlier.depth == depth => {
            format!("accept queue {depth}/{limit} twice, {} apart", duration(ms))
        }
        (StallProof::Window { ms, .. }, Some(earlier)) => format!(
            "accept queue {}/{limit}, then {depth}/{limit}, {} apart",
            earlier.depth,
            duration(ms)
        ),
        _ => format!("accept queue {depth}/{limit} at one look"),
    };
    facts.push(Fact::number("accept-queue-depth", depth, span));
    if let StallProof::Window { followed, .. } = stalled.proof
        && followed > 0
    {
        let text =
            format!("none of {} that waited before was taken", count(followed, "connection"));
        facts.push(Fact::number("accepted-of-those-waiting", 0_u32, text));
    }
    if let Some(oldest) = oldest(&view.endpoint.never_accepted.waiting) {
        let whose = if view.endpoint.listeners.len() > 1 { " at this address" } else { "" };
        let text = format!("the oldest{whose} has waited for {}", duration(oldest));
        facts.push(Fact::number("oldest-wait-ms", oldest, text));
    }
    if let Some(interval) = context.interval()
        && let Reading::Known(accepted) = interval.accepted(view.netns.id)
    {
        let whose = if view.is_alone() { "" } else { " in the whole namespace" };
        facts.push(Fact::number("accepted", accepted, format!("{accepted} accepted{whose}")));
    }
    facts.extend(refusals(context, view));
    facts
}

/// What was refused over the window, at this listener and in its namespace.
pub(crate) fn refusals(context: &Context<'_>, view: &ListenerView<'_>) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Reading::Known(drops) = view.drops(context) {
        let text = format!("{} dropped at this listener", count(drops, "segment"));
        facts.push(Fact::number("listener-drops", drops, text));
    }
    if let Reading::Known(rise) = context.rise(view.netns.id, Counter::ListenOverflows) {
        let whose = if view.is_alone() { "" } else { " in the whole namespace" };
        let text = format!("ListenOverflows +{rise}{whose}");
        facts.push(Fact::number("ListenOverflows", rise, text));
    }
    facts
}

/// A CPU quota that ran out keeps a healthy program from accepting too.
fn throttling(context: &Context<'_>, view: &ListenerView<'_>) -> Option<Fact> {
    let pid = view.listener.holders.get()?.found.first()?.pid;
    let process = context.latest().processes.get(&pid)?;
    starvation::throttled(context, process).into_iter().next()
}
