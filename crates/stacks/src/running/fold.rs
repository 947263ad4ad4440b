//! From the walks over samples to the stacks that are told, alike ones together.

use std::collections::BTreeMap;

use halfopen_evidence::{Frame, SampledStack, Samples, Stack};

use super::Sampled;
use crate::naming::Naming;
use crate::walk::Walk;

/// Stacks told of one thread.
const STACKS_MAX: usize = 32;

impl Sampled {
    /// The walks over the samples.
    pub(crate) fn walks(&self) -> impl Iterator<Item = &Walk> {
        self.walks.keys()
    }

    /// The samples with names.
    pub(crate) fn named(&self, names: &Naming) -> Samples {
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let stacks = self.walks.iter().map(|(walk, &count)| Met {
            at: walk.addresses.first().map_or(&[], |&address| names.at(address)),
            callers: walk.addresses.get(1..).unwrap_or_default(),
            stack: names.stack(walk),
            count,
        });
        Samples {
            window_us: micros(self.watch.window),
            cpu_us: micros(self.watch.on_cpu),
            runnable: self.watch.runnable,
            taken: self.taken,
            lost: self.lost,
            stacks: fold(stacks),
        }
    }
}

/// One walk and how often it was met.
struct Met<'n> {
    /// The frames of the innermost address: its function, and those that were inlined into it.
    at: &'n [Frame],
    /// The calls that have not returned.
    callers: &'n [u64],
    stack: Stack,
    count: u32,
}

/// The instruction that a sample happens to hit in the innermost function differs from one to the
/// next; the calls that led there tell places apart.
fn fold<'n>(stacks: impl Iterator<Item = Met<'n>>) -> Vec<SampledStack> {
    let mut places: BTreeMap<_, Vec<(u32, Stack)>> = BTreeMap::new();
    for Met { at, callers, stack, count } in stacks {
        let functions: Vec<_> = at.iter().map(place).collect();
        places.entry((functions, callers, stack.end)).or_default().push((count, stack));
    }
    let mut folded: Vec<SampledStack> = places
        .into_values()
        .filter_map(|alike| {
            let count = alike.iter().map(|(count, _)| count).sum();
            let (_, stack) = alike.into_iter().max_by_key(|(count, _)| *count)?;
            Some(SampledStack { stack, count })
        })
        .collect();
    folded.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.stack.cmp(&b.stack)));
    folded.truncate(STACKS_MAX);
    folded
}

/// A function; where it has no name, the instruction.
fn place(frame: &Frame) -> (&str, Option<&str>, Option<u64>) {
    let address = frame.function.is_none().then_some(frame.address);
    (&frame.module, frame.function.as_deref(), address)
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::StackEnd;

    use super::*;

    fn frame(function: Option<&str>, address: u64) -> Frame {
        let function = function.map(str::to_owned);
        Frame { function, module: "app".to_owned(), address, line: None }
    }

    /// Samples of a function that was called from here, in so many samples each.
    fn check(samples: &[(Option<&str>, u64, u64, u32)], expected: &[(u64, u32)]) {
        let frames: Vec<_> =
            samples.iter().map(|&(function, at, ..)| [frame(function, at)]).collect();
        let stacks = samples.iter().zip(&frames).map(|(&(.., ref caller, count), at)| Met {
            at,
            callers: std::slice::from_ref(caller),
            stack: Stack { frames: at.to_vec(), end: StackEnd::Root },
            count,
        });
        let folded = fold(stacks);
        let folded: Vec<_> = folded.iter().map(|s| (s.stack.frames[0].address, s.count)).collect();
        assert_eq!(folded, expected, "{samples:?}");
    }

    #[test]
    fn samples_of_one_function_called_from_one_place_are_told_once_with_the_place_met_most() {
        let work = Some("work");
        check(&[(work, 1, 70, 2), (work, 2, 70, 5), (work, 3, 70, 1)], &[(2, 8)]);
    }

    #[test]
    fn other_callers_and_functions_without_a_name_are_told_apart() {
        let work = Some("work");
        check(&[(work, 1, 70, 2), (work, 1, 80, 5)], &[(1, 5), (1, 2)]);
        check(&[(None, 1, 70, 2), (None, 2, 70, 5)], &[(2, 5), (1, 2)]);
    }

    #[test]
    fn no_more_than_a_bound_is_told() {
        let many: Vec<_> = (0..100).map(|n| (None, n, 70, 1)).collect();
        let expected: Vec<_> = (0..32).map(|n| (n, 1)).collect();
        check(&many, &expected);
    }
}
