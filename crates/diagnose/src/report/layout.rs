//! Words into lines: colours, widths, wrapping. Reports are written with it, and the other texts that
//! the program prints.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

/// What text means, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Nothing in particular.
    Plain,
    /// What a finding is about.
    Subject,
    /// Labels, headings and notes.
    Dim,
    /// Nothing wrong.
    Good,
    /// A warning.
    Warning,
    /// A failure.
    Failure,
    /// Something that could not be told.
    Unknown,
}

/// Text of one meaning.
#[derive(Clone, Debug)]
pub struct Span {
    /// The text.
    pub text: String,
    /// What it means.
    pub ink: Ink,
}

/// Lines that are being written.
#[derive(Debug)]
pub struct Page {
    text: String,
    width: usize,
    colour: bool,
}

impl Ink {
    const fn style(self) -> Style {
        let plain = Style::new();
        match self {
            Self::Plain => plain,
            Self::Subject => plain.bold(),
            Self::Dim => plain.dimmed(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default().bold(),
            Self::Failure => AnsiColor::Red.on_default().bold(),
            Self::Unknown => AnsiColor::Magenta.on_default(),
        }
    }
}

impl Span {
    /// Text of this meaning.
    pub fn new(ink: Ink, text: impl Into<String>) -> Self {
        Self { text: text.into(), ink }
    }
}

impl Page {
    /// An empty page of so many columns.
    #[must_use]
    pub const fn new(width: usize, colour: bool) -> Self {
        Self { text: String::new(), width, colour }
    }

    /// Its columns.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// The lines.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    /// Ends a line; after one that is ended, leaves one blank.
    pub fn blank(&mut self) {
        self.text.push('\n');
    }

    /// Text as it is, in the colour of its meaning.
    pub fn put(&mut self, ink: Ink, text: &str) {
        if self.colour && ink != Ink::Plain && !text.is_empty() {
            let style = ink.style();
            self.text.push_str(&format!("{style}{text}{style:#}"));
        } else {
            self.text.push_str(text);
        }
    }

    /// A paragraph with a label before it. Its text begins at a column, and so do its further lines,
    /// moved in by `hang` more.
    pub fn labelled(&mut self, label: &str, column: usize, hang: usize, span: Span) {
        self.beside(&Span::new(Ink::Dim, label), column, hang, span);
    }

    /// The same beside text of any meaning.
    pub fn beside(&mut self, label: &Span, column: usize, hang: usize, span: Span) {
        let indent = 2;
        self.text.push_str(&" ".repeat(indent));
        self.put(label.ink, &label.text);
        if span.text.is_empty() {
            self.blank();
            return;
        }
        let at = indent + columns(&label.text);
        // A label too long for its column is still parted from the text.
        let gap = column.saturating_sub(at).max(1);
        self.text.push_str(&" ".repeat(gap));
        self.wrapped(at + gap, column + hang, &[span]);
    }

    /// A paragraph that is moved in.
    pub fn indented(&mut self, indent: usize, span: Span) {
        self.text.push_str(&" ".repeat(indent));
        self.wrapped(indent, indent, &[span]);
    }

    /// A paragraph from the first column on.
    pub fn paragraph(&mut self, hang: usize, spans: &[Span]) {
        self.wrapped(0, hang, spans);
    }

    /// Words, parted by one space within a span and by two between spans, wrapped to the width. A
    /// word that is longer than a line stands alone on one.
    fn wrapped(&mut self, mut column: usize, hang: usize, spans: &[Span]) {
        let mut line_begins = true;
        for span in spans {
            for (index, word) in words(&span.text).enumerate() {
                let space = match (line_begins, index) {
                    (true, _) => 0,
                    (false, 0) => 2,
                    (false, _) => 1,
                };
                if !line_begins && column + space + columns(word) > self.width {
                    self.blank();
                    self.text.push_str(&" ".repeat(hang));
                    column = hang;
                } else {
                    self.text.push_str(&" ".repeat(space));
                    column += space;
                }
                self.put(span.ink, word);
                column += columns(word);
                line_begins = false;
            }
        }
        self.blank();
    }
}

/// Words; a dot between two items stays with the item before it, and a unit of time with its number.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim_matches(' ');
    std::iter::from_fn(move || {
        let mut end = end_of_word(rest, 0)?;
        while let Some(next) = end_of_word(rest, end + 1)
            && belongs_to(&rest[end + 1..next], &rest[..end])
        {
            end = next;
        }
        let (word, after) = rest.split_at(end);
        rest = after.trim_start_matches(' ');
        Some(word)
    })
}

/// Where the word that begins here ends, if one does.
fn end_of_word(text: &str, begin: usize) -> Option<usize> {
    let word = text.get(begin..)?;
    let length = word.find(' ').unwrap_or(word.len());
    (length > 0).then_some(begin + length)
}

fn belongs_to(word: &str, before: &str) -> bool {
    let is_noun = word.starts_with(|c: char| c.is_ascii_alphabetic());
    word == "·" || (is_noun && before.ends_with(|c: char| c.is_ascii_digit()))
}

/// Columns that a text takes on a terminal.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.width()
}

/// The text in at most so many columns, with an ellipsis where it was cut.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let mut shown = String::new();
    for c in text.chars() {
        shown.push(c);
        if columns(&shown) + 1 > most {
            shown.pop();
            break;
        }
    }
    shown.push('…');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, width: usize) -> Vec<String> {
        let mut page = Page::new(width, false);
        page.paragraph(2, &[Span::new(Ink::Plain, text)]);
        page.finish().lines().map(str::to_owned).collect()
    }

    #[test]
    fn words_move_to_the_next_line_and_none_is_lost() {
        assert_eq!(wrapped("one two  three four ", 8), ["one two", "  three", "  four"]);
        assert_eq!(wrapped("incomprehensibilities are", 8), ["incomprehensibilities", "  are"]);
        assert_eq!(wrapped("", 8), [""]);
    }

    #[test]
    fn nouns_stay_with_their_numbers_and_dots_with_what_is_before_them() {
        assert_eq!(wrapped("twice in 2.0 s · x", 12), ["twice in", "  2.0 s · x"]);
        assert_eq!(wrapped("it says s", 7), ["it says", "  s"]);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(columns("接受"), 4);
        assert_eq!(shortened("接受队列", 5), "接受…");
        assert_eq!(shortened("接受队列", 4), "接…");
        assert_eq!(shortened("queue", 5), "queue");
    }
}
