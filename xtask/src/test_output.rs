//! Reads what `cargo test -- --show-output` prints: totals, and tests that could not run.
//!
//! A test that cannot run here prints a line `SKIPPED name: why` and returns. The harness counts it
//! as passed; we do not. One test may print several such lines, one per case of a table.

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
                let counted = std::mem::take(&mut self.counted_as_passed);
                self.passed += count_before(line, " passed").saturating_sub(counted);
                self.failed += count_before(line, " failed");
                return true;
            }
            _ => {}
        }
        if let Some(why) = line.strip_prefix("SKIPPED ") {
            self.on_skipped(why);
        } else if let Some(test) = ignored_test(line) {
            self.skipped.push(test);
        } else if let Within::Successes { skipped } = &mut self.within {
            if line.starts_with("---- ") {
                *skipped = false;
            }
            return false;
        }
        true
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

/// `name: why` of `test name ... ignored, why`.
fn ignored_test(line: &str) -> Option<String> {
    let (name, why) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    let why = why.strip_prefix(", ").unwrap_or("marked #[ignore]");
    Some(format!("{name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, passed: usize, failed: usize, skipped: &[&str], shown: &str) {
        let mut output = TestOutput::default();
        let seen: Vec<_> = text.lines().filter(|line| output.line(line)).collect();
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
}
