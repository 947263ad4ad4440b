//! Tells handshakes as they come, within a rate, and counts them all.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use halfopen_capture::Statistics;
use halfopen_diagnose::report::TextOptions;
use halfopen_evidence::{Phase, Traced};

use super::args::TraceArgs;
use super::json;
use super::line::Lines;
use super::packets::Packets;
use super::rate::Rate;
use super::status_line::StatusLine;
use super::summary::{self, Told};
use super::troubles::{News, Troubles};
use crate::exit::Exit;
use crate::handshakes::class::{self, Gravity};
use crate::handshakes::found::{Found, Number};
use crate::handshakes::totals::Counting;
use crate::handshakes::verdict::Verdict;
use crate::output;

/// See the module's text.
pub(super) struct Reporter {
    began: Instant,
    form: Form,
    all: bool,
    verbose: bool,
    count: Option<u64>,
    shown: u64,
    handshakes: u64,
    troubles: Troubles,
    rate: Rate,
    counting: Counting,
    status: StatusLine,
}

/// How handshakes are written.
enum Form {
    Lines(Lines),
    Json,
}

/// What was seen by whoever watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    /// Packets.
    pub(super) packets: u64,
    /// Packets that were lost.
    pub(super) dropped: u64,
    /// What trackers counted.
    pub(super) statistics: Statistics,
    /// Whether Ctrl-C ended it.
    pub(super) interrupted: bool,
}

impl Reporter {
    /// Begins, with the first lines.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn begin(arguments: &TraceArgs, packets: &Packets) -> anyhow::Result<Self> {
        let closed = packets.sockets.closed();
        let closed: Vec<String> =
            closed.iter().map(|(label, why)| format!("{label} is not watched: {why}")).collect();
        let namespaces = packets.sockets.namespaces();
        let (form, text) = if arguments.json {
            (Form::Json, json::begin(namespaces, closed)?)
        } else {
            let lines = Lines::new(output::width(), output::colour());
            (Form::Lines(lines), lines.header(namespaces.len(), &closed))
        };
        output::write(&text)?;
        Ok(Self {
            began: Instant::now(),
            form,
            all: arguments.all,
            verbose: arguments.verbose,
            count: arguments.count,
            shown: 0,
            handshakes: 0,
            troubles: Troubles::default(),
            rate: Rate::new(arguments.rate),
            counting: Counting::default(),
            status: StatusLine::new(),
        })
    }

    /// How long it has been.
    pub(super) fn watched(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether as many lines were shown as were asked for.
    pub(super) fn is_enough(&self) -> bool {
        self.count.is_some_and(|count| self.shown >= count)
    }

    /// Whether a handshake is to be told, and the rate allows it; asked once for each that the filter
    /// lets through.
    pub(super) fn wants(&mut self, traced: &Traced) -> bool {
        let (number, handshake) = (traced.number, &traced.handshake);
        let is_news = match traced.phase {
            Phase::Open => self.troubles.on_open(number, handshake),
            Phase::Ended => match (self.troubles.on_end(number, handshake), &self.form) {
                (News::Otherwise, _) | (News::None, Form::Json) => true,
                (News::None, Form::Lines(_)) => false,
                (News::First, _) => self.all || class::gravity(handshake.outcome) >= Gravity::Late,
            },
        };
        is_news && self.rate.allows(self.began.elapsed())
    }

    /// Tells a handshake that is wanted.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn tell(&mut self, traced: &Traced) -> anyhow::Result<()> {
        if self.is_enough() {
            return Ok(());
        }
        self.say_suppressed()?;
        self.shown += 1;
        let text = match &self.form {
            Form::Lines(lines) => lines.line(traced),
            Form::Json => json::handshake(traced)?,
        };
        self.write(&text)
    }

    /// Counts a handshake that has ended.
    pub(super) fn count(&mut self, traced: Traced) {
        self.handshakes += 1;
        let Traced { number, mut handshake, netns_label, is_own_netns, .. } = traced;
        if !is_own_netns {
            handshake.scope = format!("{netns_label} {}", handshake.scope).trim_end().to_owned();
        }
        let number = Number::new(0, number);
        self.counting.add(Found { number, handshake, crossing: None });
    }

    /// Shows how it goes.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn idle(&mut self, dropped: u64) -> anyhow::Result<()> {
        self.status.show(self.handshakes, self.troubles.open(), dropped);
        Ok(io::stdout().flush()?)
    }

    /// Ends with the summary.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn finish(mut self, watched: Watched) -> anyhow::Result<Exit> {
        self.say_suppressed()?;
        self.status.clear();
        let totals = self.counting.finish();
        let verdict = Verdict::of(&totals);
        let told = Told {
            watched: self.began.elapsed(),
            packets: watched.packets,
            dropped: watched.dropped,
            statistics: watched.statistics,
            suppressed: self.rate.all_suppressed(),
            interrupted: watched.interrupted,
            totals: &totals,
            verdict: &verdict,
        };
        let text = match self.form {
            Form::Json => json::summary(&told)?,
            Form::Lines(_) => {
                let (width, colour) = (output::width(), output::colour());
                summary::text(&told, &TextOptions { width, colour, verbose: self.verbose })
            }
        };
        match output::write(&text) {
            // Who stopped reading has read enough; the verdict stands.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(verdict.status.into()),
        }
    }

    fn say_suppressed(&mut self) -> anyhow::Result<()> {
        let text = match (self.rate.take_suppressed(), &self.form) {
            (0, _) => return Ok(()),
            (count, Form::Lines(lines)) => lines.suppressed(count),
            (count, Form::Json) => json::suppressed(count)?,
        };
        self.write(&text)
    }

    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        self.status.clear();
        Ok(io::stdout().write_all(text.as_bytes())?)
    }
}
