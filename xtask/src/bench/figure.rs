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
    Measured { value: f64, goal: Goal },
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
    /// A figure that was measured.
    pub(crate) const fn measured(name: &'static str, value: f64, goal: Goal) -> Self {
        Self { name, outcome: Outcome::Measured { value, goal } }
    }

    /// A figure that could not be measured here.
    pub(crate) fn skipped(name: &'static str, why: &str) -> Self {
        Self { name, outcome: Outcome::Skipped { why: why.to_owned() } }
    }

    /// Whether it was measured and misses its goal.
    pub(crate) fn is_short(&self) -> bool {
        match self.outcome {
            Outcome::Measured { value, goal } => !goal.is_met_by(value),
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
            Outcome::Measured { value, goal } => {
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

    fn check(figure: &Figure, short: bool, line: &str) {
        assert_eq!(figure.to_string(), line);
        assert_eq!(figure.is_short(), short);
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
        assert!(Figure::measured("cpu", f64::NAN, Goal::AtMost(1.0)).is_short());
    }

    #[test]
    fn a_skipped_figure_is_not_short() {
        check(&Figure::skipped("cpu", "not root"), false, "figure cpu skipped: not root");
    }
}
