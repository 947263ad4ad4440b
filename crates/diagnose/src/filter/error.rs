//! Why a filter could not be read.

use std::fmt;

use crate::words::harmless;

/// What was wrong with a filter, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    text: String,
    at: usize,
    expected: &'static str,
    example: &'static str,
}

impl FilterError {
    /// `at` is a byte offset into `text`, on the border of a character.
    pub(super) fn new(
        text: &str,
        at: usize,
        expected: &'static str,
        example: &'static str,
    ) -> Self {
        Self { text: text.to_owned(), at: at.min(text.len()), expected, example }
    }

    /// Where reading stopped, in bytes from the beginning.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }
}

/// The filter with a caret under the place, what was expected there, and an example.
impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = harmless(self.text.get(..self.at).unwrap_or_default());
        writeln!(f, "filter: expected {}", self.expected)?;
        writeln!(f, "  {}", harmless(&self.text))?;
        writeln!(f, "  {}^", " ".repeat(before.chars().count()))?;
        write!(f, "for example: {}", self.example)
    }
}

impl std::error::Error for FilterError {}
