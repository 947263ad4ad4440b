//! Reads what `cargo test -- --show-output` prints: totals, and tests that could not run.
//!
//! A test that cannot run here prints a line `SKIPPED name: why` and returns. The harness counts it
//! as passed; we do not. One test may print several such lines, one per case of a table. A test
//! program with a `main` of its own prints `test name ... ok`, `FAILED` or `SKIPPED: why`.

/// What the lines read so far said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestOutput {
    /// Tests that passed and skipped nothing.
    pub(crate) passed: usize,
    /// Tests that failed.
    pub(crate) failed: usize,
    /// What was skipped and why, a line each, without the word SKIPPED.
    pub(crate) skipped: Vec<String>,
    /// Tests of the present program that skipped something and that its total counts as passed.
    counted_as_passed: usize,
    /// Outcomes of a program that has printed no total yet: passed and failed.
    without_total: (usize, usize),
    within: Within,
}

/// Where in a test program's output we are.
#[derive(Debug, Default, PartialEq, Eq)]
enum Within {
    /// The list of tests with their outcomes.
    #[default]
    Outcomes,
    /// What the tests that passed have printed.
    Successes {
        /// Whether the test whose output this is has already skipped something.
        skipped: bool,
    },
    /// What the tests that failed have printed.
    Failures,
}

impl TestOutput {
    /// Takes the next line; says whether people want to see it. What passing tests print is left
    /// out, as without `--show-output`.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        match line {
            "successes:" => self.within = Within::Successes { skipped: false },
            "failures:" => self.within = Within::Failures,
            _ if line.starts_with("test result: ") => {
                self.within = Within::Outcomes;
                self.without_total = (0, 0);
                let counted = std::mem::take(&mut self.counted_as_passed);
                self.passed += count_before(line, " passed").saturating_sub(counted);
                self.failed += count_before(line, " failed");
                return true;
            }
            _ if line.starts_with("running ") && self.within == Within::Outcomes => self.finish(),
            _ => {}
        }
        if let Some(why) = line.strip_prefix("SKIPPED ") {
            self.on_skipped(why);
        } else if self.within == Within::Outcomes {
            self.on_outcome(line);
        } else if let Within::Successes { skipped } = &mut self.within {
            if line.starts_with("---- ") {
                *skipped = false;
            }
            return false;
        }
        true
    }

    /// Counts the outcomes of a last program that printed no total.
    pub(crate) fn finish(&mut self) {
        let (passed, failed) = std::mem::take(&mut self.without_total);
        self.passed += passed;
        self.failed += failed;
    }

    /// A line `test name ... outcome`, perhaps.
    fn on_outcome(&mut self, line: &str) {
        let Some((name, outcome)) =
            line.strip_prefix("test ").and_then(|test| test.split_once(" ... "))
        else {
            return;
        };
        if let Some(why) = outcome.strip_prefix("ignored") {
            let why = why.strip_prefix(", ").unwrap_or("marked #[ignore]");
            self.skipped.push(format!("{name}: {why}"));
        } else if let Some(why) = outcome.strip_prefix("SKIPPED: ") {
            self.skipped.push(format!("{name}: {why}"));
        } else if outcome.starts_with("ok") {
            self.without_total.0 += 1;
        } else if outcome.starts_with("FAILED") {
            self.without_total.1 += 1;
        }
    }

    fn on_skipped(&mut self, why: &str) {
        self.skipped.push(why.to_owned());
        if let Within::Successes { skipped } = &mut self.within
            && !*skipped
        {
            *skipped = true;
            self.counted_as_passed += 1;
        }
    }
}

/// `12` of `test result: ok. 12 passed; …`.
fn count_before(line: &str, word: &str) -> usize {
    let before = line.split(word).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, passed: usize, failed: usize, skipped: &[&str], shown: &str) {
        let mut output = TestOutput::default();
        let seen: Vec<_> = text.lines().filter(|line| output.line(line)).collect();
        output.finish();
        assert_eq!((output.passed, output.failed), (passed, failed));
        assert_eq!(output.skipped, skipped);
        assert_eq!(seen.join("\n"), shown);
    }

    #[test]
    fn totals_of_all_programs_are_added() {
        let text = "test a ... ok\ntest result: ok. 12 passed; 0 failed; 0 ignored; 0 measured\n\
                    test result: FAILED. 3 passed; 2 failed; 0 ignored";
        check(text, 15, 2, &[], text);
    }

    #[test]
    fn a_test_that_skips_is_not_counted_as_passed_however_many_cases_it_skips() {
        let text = "test a ... ok\n\nsuccesses:\n\n---- a stdout ----\nnoise\nSKIPPED x: no userns\n\
                    SKIPPED y: no userns\n\n---- b stdout ----\nnoise\n\nsuccesses:\n    a\n    b\n\
                    test result: ok. 5 passed; 0 failed; 0 ignored";
        check(
            text,
            4,
            0,
            &["x: no userns", "y: no userns"],
            "test a ... ok\n\nSKIPPED x: no userns\nSKIPPED y: no userns\n\
             test result: ok. 5 passed; 0 failed; 0 ignored",
        );
    }

    #[test]
    fn ignored_tests_are_skipped_ones() {
        let text = "test slow ... ignored, needs an hour\ntest odd ... ignored\n\
                    test result: ok. 0 passed; 0 failed; 2 ignored";
        check(text, 0, 0, &["slow: needs an hour", "odd: marked #[ignore]"], text);
    }

    #[test]
    fn what_failing_tests_print_is_shown() {
        let text =
            "failures:\n---- a stdout ----\nbecause\ntest result: FAILED. 0 passed; 1 failed";
        check(text, 0, 1, &[], text);
    }

    #[test]
    fn programs_with_a_main_of_their_own_are_counted_line_by_line() {
        let text = "test flood ... ok (1.2s)\ntest loss ... SKIPPED: no nftables\n\
                    test skew ... FAILED (3s): exit status 3\nrunning 1 test\ntest a ... ok\n\
                    test result: ok. 1 passed; 0 failed\ntest last ... ok (1s)";
        check(text, 3, 1, &["loss: no nftables"], text);
    }
}
