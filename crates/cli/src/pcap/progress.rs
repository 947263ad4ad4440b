//! How far a long reading has come, on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::handshakes::words::grouped;

/// Who waits no longer than that needs no progress.
const PATIENCE: Duration = Duration::from_millis(700);

/// Between two lines.
const BETWEEN: Duration = Duration::from_millis(250);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Progress {
    total: Option<u64>,
    begun: Instant,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// Begins with so many bytes ahead, if that is known.
    pub(super) fn new(total: Option<u64>) -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { total, begun: Instant::now(), shown: None, is_terminal }
    }

    /// Shows it, if it is time to.
    pub(super) fn show(&mut self, bytes: u64, packets: u64) {
        if !self.is_terminal || self.begun.elapsed() < PATIENCE {
            return;
        }
        if self.shown.is_some_and(|shown| shown.elapsed() < BETWEEN) {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(self.total, bytes, packets, self.begun.elapsed());
        // Nothing better can be done if the terminal is gone.
        let _ = write!(io::stderr(), "\r{line}\x1b[K");
    }

    /// Takes it away.
    pub(super) fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(total: Option<u64>, bytes: u64, packets: u64, elapsed: Duration) -> String {
    const MEGABYTE: u64 = 1_000_000;
    let read = grouped(bytes / MEGABYTE);
    let part = match total {
        Some(total) if total > 0 => {
            let percent = bytes.saturating_mul(100).checked_div(total).unwrap_or(0).min(100);
            format!("{percent} %, {read} of {} MB", grouped(total / MEGABYTE))
        }
        _ => format!("{read} MB"),
    };
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = grouped(packets.saturating_mul(1000) / ms);
    format!("halfopen: {part}, {} packets, {rate} packets/s", grouped(packets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        let second = Duration::from_secs(2);
        assert_eq!(
            line(Some(1_121_170_463), 560_000_000, 2_700_000, second),
            "halfopen: 49 %, 560 of 1,121 MB, 2,700,000 packets, 1,350,000 packets/s"
        );
        assert_eq!(line(None, 0, 0, Duration::ZERO), "halfopen: 0 MB, 0 packets, 0 packets/s");
    }
}
