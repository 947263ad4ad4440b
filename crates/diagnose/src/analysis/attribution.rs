//! Which listener a counter of the whole namespace belongs to.
//!
//! TCPReqQFullDrop and ListenDrops count per namespace. From 4.7 on each listening socket counts its
//! own drops (`sk_drops`), which names the listener; on older kernels, and among several that
//! dropped, the state of the queues tells. Where neither does, all that may be meant are named.

use crate::Fact;
use crate::analysis::syn_queues::SynQueueView;

/// Whom a rise belongs to.
#[derive(Clone, Debug)]
pub(crate) enum Owners<'a> {
    /// Each of these.
    Each(Vec<SynQueueView<'a>>),
    /// One or more of these. Empty if the listener is gone.
    Among(Vec<SynQueueView<'a>>),
}

/// Whom the drops of a namespace belong to, given its endpoints and what an endpoint that dropped
/// for the reason in question looks like.
pub(crate) fn owners<'a>(
    queues: Vec<SynQueueView<'a>>,
    fits: impl Fn(&SynQueueView<'a>) -> bool,
) -> Owners<'a> {
    let possible: Vec<SynQueueView<'a>> =
        queues.into_iter().filter(|queue| queue.drops.value() != Some(0)).collect();
    if possible.len() == 1 {
        return Owners::Each(possible);
    }
    let (fitting, others): (Vec<_>, Vec<_>) = possible.into_iter().partition(fits);
    if fitting.is_empty() { Owners::Among(others) } else { Owners::Each(fitting) }
}

/// The names of listeners that may be meant, as a figure.
pub(crate) fn among_fact(queues: &[SynQueueView<'_>]) -> Fact {
    const NAMED: usize = 8;
    let named: Vec<String> = queues
        .iter()
        .take(NAMED)
        .map(|queue| crate::SubjectKind::Endpoint(queue.endpoint.key).to_string())
        .collect();
    let more = match queues.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let text = if named.is_empty() {
        "the listener that dropped them is gone".to_owned()
    } else {
        format!("one or more of the listeners {}{more}", named.join(", "))
    };
    Fact::words("listeners", text)
}
