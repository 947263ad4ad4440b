//! Tells handshakes as they come, within a rate, and counts them all.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Stdout, Write};
use std::time::{Duration, Instant};

use halfopen_collect::WatchedNetns;
use halfopen_diagnose::Status;
use halfopen_diagnose::report::TextOptions;
use halfopen_evidence::{Phase, SocketCall, Traced};
use halfopen_trace::{FailedCall, Listens};

use super::args::TraceArgs;
use super::backend::{About, Account};
use super::calls;
use super::drops::Rise;
use super::json;
use super::line::Lines;
use super::packets::now_ns;
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
    failed_calls: FailedCalls,
    troubles: Troubles,
    rate: Rate,
    counting: Counting,
    status: StatusLine,
    out: BufWriter<Stdout>,
}

/// How often a call has failed with an errno.
pub(super) type FailedCalls = BTreeMap<(SocketCall, i32), u64>;

/// How handshakes are written.
enum Form {
    Lines(Lines),
    Json,
}

impl Reporter {
    /// Begins, with the first lines.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn begin<'a>(
        arguments: &TraceArgs,
        namespaces: impl ExactSizeIterator<Item = &'a WatchedNetns>,
        about: &About,
    ) -> anyhow::Result<Self> {
        let (form, text) = if arguments.json {
            (Form::Json, json::begin(namespaces, about)?)
        } else {
            let lines = Lines::new(output::width(), output::colour());
            (Form::Lines(lines), lines.header(namespaces.len(), about))
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
            failed_calls: FailedCalls::new(),
            troubles: Troubles::default(),
            rate: Rate::new(arguments.rate),
            counting: Counting::default(),
            status: StatusLine::new(),
            out: BufWriter::new(io::stdout()),
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
                (News::First, _) => {
                    let reset = traced.reset.get().and_then(Option::as_ref);
                    self.all
                        || class::gravity(handshake.outcome) >= Gravity::Late
                        || reset.is_some_and(|reset| reset.cause.is_some())
                }
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
        let text = match &self.form {
            Form::Lines(lines) => lines.line(traced),
            Form::Json => json::handshake(traced)?,
        };
        self.show(&text)
    }

    /// Tells and counts a call that failed before anything was sent.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn failed_call(
        &mut self,
        netns: &WatchedNetns,
        failed: &FailedCall,
    ) -> anyhow::Result<()> {
        *self.failed_calls.entry((failed.call, failed.errno)).or_default() += 1;
        if self.is_enough() || !self.rate.allows(self.began.elapsed()) {
            return Ok(());
        }
        let text = match &self.form {
            Form::Lines(lines) => lines.failed_call(netns, failed),
            Form::Json => json::failed_call(netns, failed)?,
        };
        self.show(&text)
    }

    /// Tells of a socket that listens: if its backlog was cut, or of each if all is to be told.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn listens(
        &mut self,
        netns: &WatchedNetns,
        listens: &Listens,
    ) -> anyhow::Result<()> {
        if !(self.all || listens.is_cut()) || !self.rate.allows(self.began.elapsed()) {
            return Ok(());
        }
        let text = match &self.form {
            Form::Lines(lines) => lines.listens(netns, listens),
            Form::Json => json::listens(netns, listens)?,
        };
        self.write(&text)
    }

    /// Tells of segments that a listener has dropped.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn drops(&mut self, rise: &Rise) -> anyhow::Result<()> {
        let text = match &self.form {
            Form::Lines(lines) => lines.drops(rise, now_ns()),
            Form::Json => json::drops(rise, now_ns())?,
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
        self.counting.add(&[Found { number, handshake, crossing: None }]);
    }

    /// Shows how it goes.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn idle(&mut self, dropped: u64) -> anyhow::Result<()> {
        self.status.show(self.handshakes, self.troubles.open(), dropped);
        Ok(self.out.flush()?)
    }

    /// Ends with the summary.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn finish(mut self, account: &Account, interrupted: bool) -> anyhow::Result<Exit> {
        self.say_suppressed()?;
        self.out.flush()?;
        self.status.clear();
        let totals = self.counting.finish();
        let verdict = Verdict::of(&totals);
        let status = status(verdict.status, account, &self.failed_calls);
        let told = Told {
            watched: self.began.elapsed(),
            account,
            failed_calls: &self.failed_calls,
            suppressed: self.rate.all_suppressed(),
            interrupted,
            totals: &totals,
            verdict: &verdict,
            status,
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
            _ => Ok(status.into()),
        }
    }

    /// Writes one of the lines that `--count` counts.
    fn show(&mut self, text: &str) -> anyhow::Result<()> {
        self.say_suppressed()?;
        self.shown += 1;
        self.write(text)
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
        Ok(self.out.write_all(text.as_bytes())?)
    }
}

/// What the verdict comes to with what no handshake was told of: sound ones that the kernel has only
/// counted, and calls that failed. Programs try addresses that they do not need; ports they do.
fn status(verdict: Status, account: &Account, failed: &FailedCalls) -> Status {
    let sound = account.kernel.as_ref().map_or(0, |kernel| kernel.counts.handshakes());
    match verdict {
        _ if failed.keys().any(|&(call, errno)| calls::lacks_port(call, errno)) => Status::Failure,
        Status::Unknown | Status::Healthy if !failed.is_empty() => Status::Warning,
        Status::Unknown if sound > 0 => Status::Healthy,
        verdict => verdict,
    }
}

#[cfg(test)]
mod tests {
    use halfopen_collect::bpf::Counts;

    use super::*;
    use crate::trace::backend::InKernel;

    #[test]
    fn sound_handshakes_that_were_only_counted_make_it_healthy() {
        let counted = |connected| Account {
            kernel: Some(InKernel {
                counts: Counts { connected, ..Counts::default() },
                waits: Vec::new(),
            }),
            ..Account::default()
        };
        let none = FailedCalls::new();
        assert_eq!(status(Status::Unknown, &counted(0), &none), Status::Unknown);
        assert_eq!(status(Status::Unknown, &counted(5), &none), Status::Healthy);
        assert_eq!(status(Status::Warning, &counted(5), &none), Status::Warning);
    }

    #[test]
    fn that_there_is_no_port_is_a_failure_and_other_failed_calls_are_worth_a_look() {
        let status = |call, errno, verdict| {
            status(verdict, &Account::default(), &FailedCalls::from([((call, errno), 1)]))
        };
        assert_eq!(status(SocketCall::Connect, 99, Status::Healthy), Status::Failure);
        assert_eq!(status(SocketCall::Bind, 99, Status::Healthy), Status::Warning);
        assert_eq!(status(SocketCall::Bind, 98, Status::Failure), Status::Failure);
    }
}
