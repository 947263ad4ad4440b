//! What cannot be read, passed over until something can be read again: alike in both formats, which
//! differ in how they tell a record from noise.

use super::{Context, Step};
use crate::warning::Problem;

/// Window in which the end of damage is looked for.
pub(super) const SEARCH: usize = 1 << 16;

/// Damage whose end is being looked for, if there is any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Damage {
    since: Option<u64>,
}

impl Damage {
    /// Where it began, in bytes from the beginning of the file.
    pub(super) const fn since(self) -> Option<u64> {
        self.since
    }

    /// It begins with the window, whose first byte cannot be that of a record.
    pub(super) const fn begin(&mut self, context: &Context<'_>) -> Step {
        self.since = Some(context.offset);
        Step::Pass(1)
    }

    /// A record was looked for at the first `places` of so many bytes of window, and found at one of
    /// them or at none. It may begin in the last bytes, which are too few for the `shortest`.
    pub(super) fn searched(
        &mut self,
        found: Option<usize>,
        places: usize,
        window: usize,
        shortest: usize,
        context: &mut Context<'_>,
    ) -> Step {
        if let Some(at) = found {
            let from = self.since.take().unwrap_or(context.offset);
            let bytes = context.offset + at as u64 - from;
            context.warnings.push(context.record, from, Problem::PassedOver { bytes });
            // Nothing to pass over would be no progress, but then the record can be read.
            return Step::Pass(at);
        }
        match places.min((window + 1).saturating_sub(shortest)) {
            0 => Step::Need(window + 1),
            bytes => Step::Pass(bytes),
        }
    }
}
