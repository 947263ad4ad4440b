//! Where a thread that runs was met, by samples.

use std::collections::BTreeMap;

use halfopen_evidence::{Frame, Samples};

/// The place in the program that a thread was met in most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hottest<'a> {
    /// The innermost function of the program itself, with the line that was met most.
    pub(crate) site: &'a Frame,
    /// How often it was met in that function.
    pub(crate) met: Met,
}

/// How often a thread was met in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    /// Samples that met it there.
    pub times: u32,
    /// All samples.
    pub of: u32,
}

impl<'a> Hottest<'a> {
    /// The place; none if no sample tells one.
    pub(crate) fn of(samples: &'a Samples) -> Option<Self> {
        let mut met: BTreeMap<_, (&Frame, u32)> = BTreeMap::new();
        for sampled in &samples.stacks {
            // Most frequent first, so the first of a function has its line.
            if let Some(site) = sampled.stack.site() {
                let entry = met.entry((&site.module, &site.function)).or_insert((site, 0));
                entry.1 = entry.1.saturating_add(sampled.count);
            }
        }
        let (site, times) = met.into_values().max_by_key(|(_, count)| *count)?;
        Some(Self { site, met: Met { times, of: samples.taken } })
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{SampledStack, SourceLine, Stack, StackEnd};

    use super::*;

    fn sampled(function: &str, line: u32, count: u32) -> SampledStack {
        let frame = |function: &str, module: &str, line| Frame {
            function: Some(function.to_owned()),
            module: module.to_owned(),
            address: 0x1200,
            line,
        };
        let at = SourceLine { file: "/src/index.cc".to_owned(), line };
        let frames = vec![frame("memcpy", "libc.so.6", None), frame(function, "app", Some(at))];
        SampledStack { stack: Stack { frames, end: StackEnd::Root }, count }
    }

    #[test]
    fn the_hottest_function_is_told_with_its_most_frequent_line() {
        let stacks =
            vec![sampled("reply()", 9, 20), sampled("index()", 40, 19), sampled("index()", 44, 11)];
        let samples = Samples {
            window_us: 60_000,
            cpu_us: 58_000,
            runnable: true,
            taken: 58,
            lost: 0,
            stacks,
        };
        let hottest = Hottest::of(&samples).expect("a place");
        assert_eq!(hottest.met, Met { times: 30, of: 58 });
        assert_eq!(hottest.site.line.as_ref().map(|line| line.line), Some(40));
        assert_eq!(Hottest::of(&Samples { stacks: Vec::new(), ..samples }), None);
    }
}
