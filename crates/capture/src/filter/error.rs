//! Why a filter could not be read.

use std::fmt;

/// What was wrong with a filter, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    text: String,
    at: usize,
    expected: &'static str,
}

impl FilterError {
    /// `at` is a byte offset into `text`, on the border of a character.
    pub(super) fn new(text: &str, at: usize, expected: &'static str) -> Self {
        Self { text: text.to_owned(), at: at.min(text.len()), expected }
    }

    /// Where reading stopped, in bytes from the beginning.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }
}

/// The filter with a caret under the place, and what was expected there.
impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing that a terminal would act on.
        let harmless = |text: &str| text.replace(|c: char| c.is_control(), "?");
        let before = self.text.get(..self.at).unwrap_or_default().chars().count();
        writeln!(f, "filter: expected {}", self.expected)?;
        writeln!(f, "  {}", harmless(&self.text))?;
        write!(f, "  {}^", " ".repeat(before))
    }
}

impl std::error::Error for FilterError {}
