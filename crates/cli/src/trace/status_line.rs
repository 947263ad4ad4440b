//! How it goes meanwhile, in one line of a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::handshakes::words::grouped;

/// Between two lines.
const BETWEEN: Duration = Duration::from_millis(250);

/// See the module's text.
#[derive(Debug)]
pub(super) struct StatusLine {
    is_terminal: bool,
    shown: Option<Instant>,
}

impl StatusLine {
    /// Shows nothing yet, and never if nobody watches.
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), shown: None }
    }

    /// Shows it, if it is time to.
    pub(super) fn show(&mut self, handshakes: u64, in_trouble: usize, dropped: u64) {
        if !self.is_terminal || self.shown.is_some_and(|shown| shown.elapsed() < BETWEEN) {
            return;
        }
        self.shown = Some(Instant::now());
        // Nothing better can be done if the terminal is gone.
        let _ = write!(io::stderr(), "\r{}\x1b[K", line(handshakes, in_trouble, dropped));
    }

    /// Takes it away, before something else is printed.
    pub(super) fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(handshakes: u64, in_trouble: usize, dropped: u64) -> String {
    let lost = match dropped {
        0 => String::new(),
        dropped => format!(", {} packets lost", grouped(dropped)),
    };
    format!(
        "halfopen: {} handshakes, {} in trouble now{lost}; Ctrl-C ends it",
        grouped(handshakes),
        grouped(in_trouble as u64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_and_what_was_lost() {
        assert_eq!(
            line(12_345, 2, 0),
            "halfopen: 12,345 handshakes, 2 in trouble now; Ctrl-C ends it"
        );
        assert!(line(1, 0, 7).contains("7 packets lost"));
    }
}
