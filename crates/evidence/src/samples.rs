//! What a thread that runs was seen in, while it was watched for a moment.

use serde::{Deserialize, Serialize};

use crate::Stack;

/// Samples of a thread that was running, or was ready to run, at the first look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// How long it was watched, in microseconds.
    pub window_us: u64,
    /// How much of that it was on a CPU, in microseconds.
    pub cpu_us: u64,
    /// Whether it was running, or ready to run, both when the watch began and when it ended.
    pub runnable: bool,
    /// Samples taken, at equal intervals of its time on a CPU.
    pub taken: u32,
    /// Samples that were not read in time.
    pub lost: u64,
    /// Where it was, most frequent first. Samples without a user stack are in none of these, and
    /// stacks that are rare may be left out.
    pub stacks: Vec<SampledStack>,
}

/// A stack that was met in some samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampledStack {
    /// The stack. Samples that differ only in how far the innermost function was are told as one,
    /// with the place that was met most.
    pub stack: Stack,
    /// In how many samples it was met.
    pub count: u32,
}

impl Samples {
    /// Whether it waited for a CPU all the time and got none: its control group is throttled, or
    /// others of a higher priority have the CPUs.
    #[must_use]
    pub const fn got_no_cpu(&self) -> bool {
        self.runnable && self.cpu_us == 0 && self.taken == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_no_cpu_if_it_wants_one_at_both_ends_and_has_run_at_no_time() {
        let waits = Samples {
            window_us: 60_000,
            cpu_us: 0,
            runnable: true,
            taken: 0,
            lost: 0,
            stacks: Vec::new(),
        };
        assert!(waits.got_no_cpu());
        assert!(!Samples { runnable: false, ..waits.clone() }.got_no_cpu());
        assert!(!Samples { cpu_us: 7, ..waits }.got_no_cpu());
    }
}
