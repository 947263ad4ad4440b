//! Words and signs of a filter, with their places.

/// A word or a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// Where it begins, in bytes.
    pub(super) at: usize,
    pub(super) text: &'a str,
}

/// Cuts a filter into words and the signs `(`, `)`, `!`, `&&` and `||`.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let space = rest.len() - rest.trim_start().len();
        if space > 0 {
            at += space;
            continue;
        }
        let length = sign(rest).unwrap_or_else(|| {
            rest.find(|c: char| c.is_whitespace() || "()!&|".contains(c)).unwrap_or(rest.len())
        });
        found.push(Token { at, text: rest.get(..length).unwrap_or(rest) });
        at += length;
    }
    found
}

/// The length of the sign that a text begins with.
fn sign(text: &str) -> Option<usize> {
    if text.starts_with("&&") || text.starts_with("||") {
        return Some(2);
    }
    text.starts_with(['(', ')', '!', '&', '|']).then_some(1)
}
