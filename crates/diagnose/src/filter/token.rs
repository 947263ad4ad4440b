//! The words and signs of a filter.

use super::FilterError;

/// A word or a sign, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) at: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Anything without a meaning of its own.
    Word(String),
    /// A word in quotes: never an operator.
    Quoted(String),
    Open,
    Close,
    And,
    Or,
    Not,
    Compare(Compare),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Signs, the longer before those that they begin with.
const SIGNS: [(&str, TokenKind); 14] = [
    ("&&", TokenKind::And),
    ("||", TokenKind::Or),
    ("==", TokenKind::Compare(Compare::Equal)),
    ("!=", TokenKind::Compare(Compare::NotEqual)),
    ("<=", TokenKind::Compare(Compare::LessOrEqual)),
    (">=", TokenKind::Compare(Compare::GreaterOrEqual)),
    ("&", TokenKind::And),
    ("|", TokenKind::Or),
    ("=", TokenKind::Compare(Compare::Equal)),
    ("<", TokenKind::Compare(Compare::Less)),
    (">", TokenKind::Compare(Compare::Greater)),
    ("!", TokenKind::Not),
    ("(", TokenKind::Open),
    (")", TokenKind::Close),
];

/// Splits a filter.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let blank = rest.len() - rest.trim_start().len();
        let (kind, length) = if blank > 0 {
            at += blank;
            continue;
        } else if let Some((sign, kind)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            (kind.clone(), sign.len())
        } else if rest.starts_with(['"', '\'']) {
            quoted(rest).ok_or_else(|| {
                FilterError::new(text, text.len(), "a closing quote", r#"comm "my server""#)
            })?
        } else {
            let end = rest.find(ends_word).unwrap_or(rest.len());
            (word(&rest[..end]), end)
        };
        tokens.push(Token { kind, at });
        at += length;
    }
    Ok(tokens)
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || "&|=<>!()\"'".contains(c)
}

/// A word, or one of the words that are operators.
fn word(text: &str) -> TokenKind {
    match text.to_ascii_lowercase().as_str() {
        "and" => TokenKind::And,
        "or" => TokenKind::Or,
        "not" => TokenKind::Not,
        "eq" => TokenKind::Compare(Compare::Equal),
        "ne" | "neq" => TokenKind::Compare(Compare::NotEqual),
        "lt" => TokenKind::Compare(Compare::Less),
        "le" => TokenKind::Compare(Compare::LessOrEqual),
        "gt" => TokenKind::Compare(Compare::Greater),
        "ge" => TokenKind::Compare(Compare::GreaterOrEqual),
        _ => TokenKind::Word(text.to_owned()),
    }
}

/// A word in quotes and its length with them; a backslash takes the character after it as it is.
fn quoted(text: &str) -> Option<(TokenKind, usize)> {
    let mut chars = text.char_indices();
    let (_, quote) = chars.next()?;
    let mut inside = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => inside.push(chars.next()?.1),
            _ if c == quote => return Some((TokenKind::Quoted(inside), at + c.len_utf8())),
            _ => inside.push(c),
        }
    }
    None
}
