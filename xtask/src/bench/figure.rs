//! A figure with its goal, and the line that says whether it was met.

use std::fmt;

/// What a figure is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// What a bench has to show.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    name: &'static str,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Measured { value: f64, goal: Goal, is_bound: bool },
    Skipped { why: String },
}

impl Goal {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl Figure {
    /// A figure that was measured and must meet its goal.
    pub(crate) const fn measured(name: &'static str, value: f64, goal: Goal) -> Self {
        Self { name, outcome: Outcome::Measured { value, goal, is_bound: true } }
    }

    /// A figure that was measured and may miss its goal: what else the machine does decides too.
    pub(crate) const fn observed(name: &'static str, value: f64, goal: Goal) -> Self {
        Self { name, outcome: Outcome::Measured { value, goal, is_bound: false } }
    }

    /// A figure that could not be measured here.
    pub(crate) fn skipped(name: &'static str, why: &str) -> Self {
        Self { name, outcome: Outcome::Skipped { why: why.to_owned() } }
    }

    /// Whether it misses a goal that it must meet.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self.outcome, Outcome::Measured { is_bound: true, .. }) && self.is_short()
    }

    /// Whether it was measured and misses its goal.
    fn is_short(&self) -> bool {
        match self.outcome {
            Outcome::Measured { value, goal, .. } => !goal.is_met_by(value),
            Outcome::Skipped { .. } => false,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Measured { value, goal, .. } => {
                let met = if self.is_short() { "short" } else { "met" };
                write!(f, "figure {} = {} (goal {goal}) {met}", self.name, Rounded(*value))
            }
            Outcome::Skipped { why } => write!(f, "figure {} skipped: {why}", self.name),
        }
    }
}

/// A value to three decimals below ten, to one above.
struct Rounded(f64);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.abs() < 10.0 { write!(f, "{:.3}", self.0) } else { write!(f, "{:.1}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(figure: &Figure, fails: bool, line: &str) {
        assert_eq!(figure.to_string(), line);
        assert_eq!(figure.is_failure(), fails);
    }

    #[test]
    fn a_figure_says_whether_its_goal_was_met() {
        let goal = Goal::AtMost(0.05);
        check(&Figure::measured("cpu", 0.05, goal), false, "figure cpu = 0.050 (goal <= 0.05) met");
        check(
            &Figure::measured("cpu", 0.0721, goal),
            true,
            "figure cpu = 0.072 (goal <= 0.05) short",
        );
        let goal = Goal::AtMost(64.0);
        check(&Figure::measured("mib", 71.26, goal), true, "figure mib = 71.3 (goal <= 64) short");
    }

    #[test]
    fn what_is_not_a_number_is_short() {
        assert!(Figure::measured("cpu", f64::NAN, Goal::AtMost(1.0)).is_failure());
    }

    #[test]
    fn what_is_only_observed_is_no_failure() {
        let figure = Figure::observed("rate", 7.5, Goal::AtLeast(8.0));
        check(&figure, false, "figure rate = 7.500 (goal >= 8) short");
    }

    #[test]
    fn a_skipped_figure_is_no_failure() {
        check(&Figure::skipped("cpu", "not root"), false, "figure cpu skipped: not root");
    }
}
