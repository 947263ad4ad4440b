//! Whether a listener's accept queue overflows although connections are taken from it.
//!
//! The program then does too little in too long a time, or it gets too little CPU to do it in: see
//! [`super::starvation`].

use halfopen_model::Counter;

use super::accepting::Accepting;
use super::overflow::{self, Overflow};
use super::stall_report;
use super::starvation::{self, Starved};
use crate::words::{bounds, count, duration, rate};
use crate::{Confidence, Context, Fact, ListenerView, Severity};

/// It accepts, and refuses connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TooSlow {
    /// What it refused.
    overflow: Overflow,
    /// What its namespace accepted over the window, where that is known.
    accepted: Option<u64>,
    /// How sure it is that it is this listener which accepts, and refuses.
    pub(crate) confidence: Confidence,
    /// Whether its threads get too little CPU.
    pub(crate) starved: Option<Starved>,
}

/// Judges one listener.
///
/// # Errors
/// Why it cannot be told.
pub(crate) fn judge(
    context: &Context<'_>,
    view: &ListenerView<'_>,
) -> Result<Option<TooSlow>, &'static str> {
    let Some(interval) = context.interval() else { return Ok(None) };
    let Some(overflow) = Overflow::of(context, view) else {
        if overflow::is_untold(context, view) && context.accepting(view).stalled().is_none() {
            return Err(
                "its accept queue was full, and kernels before 3.10 do not count the SYNs \
                        that they refuse",
            );
        }
        return Ok(None);
    };
    let accepted = interval.accepted(view.netns.id).value();
    let confidence = match context.accepting(view) {
        Accepting::Stalled(_) => return Ok(None),
        Accepting::Taking if view.drops(context).get().is_some() => Confidence::Certain,
        Accepting::Taking => Confidence::Probable,
        Accepting::Unremarkable | Accepting::Unclear { .. } => match accepted {
            Some(0) => return Ok(None),
            Some(_) if view.is_alone() => Confidence::Probable,
            Some(_) => Confidence::Possible,
            None => return Err("it overflowed, and whether it accepts could not be told"),
        },
    };
    let starved = starvation::of_servers(context, view, confidence);
    Ok(Some(TooSlow { overflow, accepted, confidence, starved }))
}

impl TooSlow {
    /// A refused SYN is sent again, so most clients of a small burst get in, only later.
    pub(crate) fn severity(&self) -> Severity {
        if self.accepted.is_some_and(|accepted| accepted > self.overflow.segments) {
            Severity::Warning
        } else {
            Severity::Failure
        }
    }

    /// What happens, in a line.
    pub(crate) fn headline(&self, context: &Context<'_>, view: &ListenerView<'_>) -> String {
        format!(
            "accepts too slowly; {} refused in {}, room for {}",
            count(self.overflow.segments, "segment"),
            duration(window_ms(context)),
            view.listener.accept_queue().room()
        )
    }

    /// The backlog that this burst would have needed, at least and at most: each refused client needs
    /// one place, and the refused segments are SYNs that clients may have repeated.
    pub(crate) fn backlog_needed(
        &self,
        context: &Context<'_>,
        view: &ListenerView<'_>,
    ) -> (u64, u64) {
        let limit = u64::from(view.listener.limit);
        let fewest = self.overflow.fewest_clients(window_ms(context));
        (limit.saturating_add(fewest), limit.saturating_add(self.overflow.segments))
    }

    /// The queue, what came, what was taken and what was refused.
    pub(crate) fn facts(&self, context: &Context<'_>, view: &ListenerView<'_>) -> Vec<Fact> {
        let ms = window_ms(context);
        let limit = view.listener.limit;
        let longest = view.longest();
        let whose = if view.is_alone() { "" } else { " in the whole namespace" };
        let longest_text = format!("accept queue up to {longest}/{limit} in {}", duration(ms));
        let mut facts = vec![Fact::number("accept-queue-depth", longest, longest_text)];
        if let Some(track) = view.track
            && track.full > 0
        {
            let text = format!("full in {} of {}", track.full, count(track.samples, "sample"));
            facts.push(Fact::number("samples-full", track.full, text));
        }
        if let Some(made) = context.rise(view.netns.id, Counter::PassiveOpens).known() {
            let least = made.saturating_add(self.overflow.fewest_clients(ms));
            let most = made.saturating_add(self.overflow.segments);
            let per_second = bounds(&rate(least, ms), &rate(most, ms));
            let text = format!("{per_second} connections/s arrived{whose}");
            facts.push(Fact::number("arrived", least, text));
        }
        if let Some(accepted) = self.accepted {
            let text = format!("{} accepted/s{whose}", rate(accepted, ms));
            facts.push(Fact::number("accepted", accepted, text));
        }
        facts.extend(stall_report::refusals(context, view));
        let gone = view.endpoint.never_accepted.close_wait;
        if gone > 0 {
            let text = format!("{gone} of those that wait have been closed by their clients");
            facts.push(Fact::number("given-up", gone, text));
        }
        facts
    }
}

fn window_ms(context: &Context<'_>) -> u64 {
    context.interval().map_or(0, halfopen_evidence::Interval::elapsed_ms)
}
