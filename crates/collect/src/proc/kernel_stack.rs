//! The functions of the kernel that threads sleep in.
//!
//! `/proc/TID/stack` has them by name, whether or not the addresses of the kernel are hidden
//! (kernel.kptr_restrict), but has to look each one up: some 10 µs per thread. Where a program has told
//! the addresses, threads that sleep at the same place are looked up once.

use std::collections::BTreeMap;

use halfopen_evidence::{Missing, Reading, SchedStat, Tid};

use super::dir::Dir;
use super::parse;
use crate::privilege;

/// Places that are looked up for one process.
const PLACES_MAX: usize = 128;

/// A thread that sleeps.
pub(super) struct Sleeper<'a> {
    pub(super) tid: Tid,
    /// How much it had run when it was seen there.
    pub(super) sched: &'a Reading<SchedStat>,
    /// Where it sleeps, if that was told: those with the same addresses sleep in the same functions.
    pub(super) place: Option<&'a [u64]>,
}

/// The functions of each of these threads, in the same order.
pub(super) fn functions(tasks: &Dir, sleepers: &[Sleeper<'_>]) -> Vec<Reading<Vec<String>>> {
    let mut looked_up: BTreeMap<&[u64], Reading<Vec<String>>> = BTreeMap::new();
    let mut left = PLACES_MAX;
    let mut look_up = |sleeper: &Sleeper<'_>| match left.checked_sub(1) {
        Some(fewer) => {
            left = fewer;
            named(tasks, sleeper).map_or_else(Reading::from, Reading::Known)
        }
        None => Reading::not_collected(),
    };
    let functions = sleepers.iter().map(|sleeper| match sleeper.place {
        Some([]) => Reading::not_collected(),
        Some(place) => match looked_up.get(place) {
            Some(found @ Reading::Known(_)) => found.clone(),
            // Another one there may have stood still.
            _ => {
                let found = look_up(sleeper);
                looked_up.insert(place, found.clone());
                found
            }
        },
        None => look_up(sleeper),
    });
    functions.collect()
}

fn named(tasks: &Dir, Sleeper { tid, sched, .. }: &Sleeper<'_>) -> Result<Vec<String>, Missing> {
    let functions = tasks.parse_optional(&format!("{tid}/stack"), parse::kernel_stack);
    let functions = functions.map_err(|why| match why {
        Missing::NotPermitted { .. } => Missing::needs(privilege::READ_KERNEL_STACKS),
        why => why,
    })?;
    let now = tasks.parse_optional(&format!("{tid}/schedstat"), parse::schedstat)?;
    match sched {
        Reading::Known(then) if (then.cpu_ns, then.slices) == (now.cpu_ns, now.slices) => {
            Ok(functions)
        }
        Reading::Known(_) => Err(Missing::unreadable("the thread has run meanwhile")),
        Reading::Missing(why) => Err(why.clone()),
    }
}
