//! The backend in the kernel: programs that tell of single steps, and what an assembler makes of them.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use halfopen_collect::bpf::{AcceptWaits, Counts, Lack, TraceWanted, Tracer};
use halfopen_collect::{SocketLookups, WatchedNetns};
use halfopen_evidence::{Missing, NetnsId, Reading};
use halfopen_trace::{Assembled, Assembler, FailedCall, Listens, Told};
use rustix::time::{ClockId, clock_gettime};

use super::packets::now_ns;
use super::seen::{FromKernel, Seen};

/// What is not seen in the kernel in any case.
pub(super) const NOT_SEEN: &str = "processes on other hosts";

/// What would tell how long connections wait.
const NEEDS: &str = "--all";

/// See the module's text.
#[derive(Debug)]
pub(super) struct Kernel {
    tracer: Tracer,
    assembler: Assembler,
    /// Whether each accept() is told of.
    tells_accepts: bool,
    known: HashMap<NetnsId, Option<Rc<WatchedNetns>>>,
    events: u64,
}

/// What a step has shown.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Handshakes.
    pub(super) seen: Vec<Seen>,
    /// Calls that failed before anything was sent.
    pub(super) failed_calls: Vec<(Rc<WatchedNetns>, FailedCall)>,
    /// Sockets that listen now.
    pub(super) listens: Vec<(Rc<WatchedNetns>, Listens)>,
}

impl Kernel {
    /// Begins to watch.
    ///
    /// # Errors
    /// Why no program runs.
    pub(super) fn start(wanted: &TraceWanted) -> Result<Self, Missing> {
        let tracer = Tracer::start(wanted)?;
        let tells_accepts = wanted.all && wanted.accepts && tracer.tells_accepts();
        Ok(Self {
            assembler: Assembler::new(since_1970_ahead_ns(), tells_accepts),
            tracer,
            tells_accepts,
            known: HashMap::new(),
            events: 0,
        })
    }

    /// What this kernel does not let programs tell, and why.
    pub(super) fn lacks(&self) -> Vec<String> {
        let words = |Lack { what, why, has_price }: &Lack| match has_price {
            true => format!("{what} (with {NEEDS}, which looks at every system call)"),
            false => format!("{what} (this kernel says: {why})"),
        };
        self.tracer.lacks().iter().map(words).collect()
    }

    /// What was counted so far.
    pub(super) fn counts(&self) -> Counts {
        self.tracer.counts()
    }

    /// How long connections waited for accept(), by listener.
    pub(super) fn accept_waits(&self) -> Vec<AcceptWaits> {
        self.tracer.accept_waits()
    }

    /// Events so far.
    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    /// Handshakes that were not followed because there were too many at a time.
    pub(super) const fn not_followed(&self) -> u64 {
        self.assembler.not_followed()
    }

    /// Waits for events, so long at the most, and hands on what they tell.
    ///
    /// # Errors
    /// If waiting fails.
    pub(super) fn step(
        &mut self,
        most: Duration,
        lookups: &mut SocketLookups,
    ) -> anyhow::Result<Step> {
        let mut told = Vec::new();
        let (assembler, events) = (&mut self.assembler, &mut self.events);
        self.tracer.wait(most, |event| {
            *events += 1;
            assembler.on_event(&event, &mut |it| told.push(it));
        })?;
        self.assembler.on_clock(monotonic_ns(), &mut |it| told.push(it));
        // A number may be another namespace's by the next time.
        self.known.clear();
        Ok(self.sorted(told, lookups))
    }

    /// Ends it: what was not told yet.
    ///
    /// # Errors
    /// If waiting fails.
    pub(super) fn finish(&mut self, lookups: &mut SocketLookups) -> anyhow::Result<Step> {
        let mut step = self.step(Duration::ZERO, lookups)?;
        let mut told = Vec::new();
        self.assembler.finish(&mut |it| told.push(it));
        let Step { seen, failed_calls, listens } = self.sorted(told, lookups);
        step.seen.extend(seen);
        step.failed_calls.extend(failed_calls);
        step.listens.extend(listens);
        Ok(step)
    }

    /// What is of a namespace that is watched.
    fn sorted(&mut self, told: Vec<Told>, lookups: &mut SocketLookups) -> Step {
        let mut step = Step::default();
        for told in told {
            let id = match &told {
                Told::Handshake(assembled) => assembled.netns,
                Told::CallFailed(failed) => failed.netns,
                Told::Listens(listens) => listens.netns,
            };
            let netns = self.known.entry(id).or_insert_with(|| lookups.netns(id).map(Rc::new));
            let Some(netns) = netns.clone() else { continue };
            match told {
                Told::Handshake(assembled) => step.seen.push(self.seen(netns, *assembled)),
                Told::CallFailed(failed) => step.failed_calls.push((netns, failed)),
                Told::Listens(listens) => step.listens.push((netns, listens)),
            }
        }
        step
    }

    fn seen(&self, netns: Rc<WatchedNetns>, assembled: Assembled) -> Seen {
        let accept_queue_ns = match assembled.accept_queue_ns {
            Some(ns) => Reading::Known(Some(ns)),
            None if self.tells_accepts => Reading::Known(None),
            None => Missing::needs(NEEDS).into(),
        };
        Seen {
            netns,
            handshake: assembled.handshake,
            phase: assembled.phase,
            kernel: Some(FromKernel {
                client: assembled.client,
                connected_by: assembled.connected_by,
                accepted_by: assembled.accepted_by,
                accept_queue_ns,
                drops: assembled.drops,
                reset: assembled.reset,
            }),
        }
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// By how many nanoseconds the time since 1970 is ahead of CLOCK_MONOTONIC.
fn since_1970_ahead_ns() -> i64 {
    now_ns().saturating_sub(i64::try_from(monotonic_ns()).unwrap_or(i64::MAX))
}
