//! Reads captures as one: in the order of time, through the filter, with progress.
//!
//! Rotated files can be named in any order. Each is opened when its first packet is due, so only those
//! that overlap are open at a time. Times of a file that was captured by another clock are corrected as
//! its packets are read (`points`).

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Instant;

use halfopen_capture::{
    Clock, Counts, Decoder, Filter, LinkType, Observed, Packet, Problem, Reader, Scopes, Tunnels,
    Warning, Warnings,
};

use super::input::{Bytes, Complaint, Input, PAUSE};
use super::progress::Progress;
use crate::handshakes::found::Number;
use crate::interrupt;

/// Buffer of a reader, small enough for a second-level cache: 1 MiB takes 4 % more of the time of all.
const BUFFER: usize = 1 << 18;

/// Buffer for a look at the first packet.
const GLANCE: usize = 1 << 16;

/// Warnings that are kept of all files.
const WARNINGS: usize = 100;

/// Packets that are handed over together. After each batch comes a look at the clock and at Ctrl-C.
const BATCH: usize = 1024;

/// What is to be read, and how.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The captures.
    pub(super) inputs: Vec<Input>,
    /// What of them.
    pub(super) filter: Filter,
    /// Tunnels that are looked into.
    pub(super) tunnels: Tunnels,
    /// Whether to wait for more at the end.
    pub(super) follow: bool,
    /// By which clock each file was captured, if not by that of the rest.
    pub(super) clocks: Vec<Option<Clock>>,
}

impl Plan {
    /// A time of a file by the clock of all.
    fn corrected(&self, file: usize, time_ns: i64) -> i64 {
        let clock = self.clocks.get(file).and_then(Option::as_ref);
        clock.map_or(time_ns, |clock| clock.corrected(time_ns))
    }
}

/// What is told while reading.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// What some packets showed; their records are packed [`Number`]s. The vector may be taken.
    Batch(&'a mut Vec<Observed>, &'a Scopes),
    /// There is no more for now. By the capture's clock it is so late, in nanoseconds since 1970.
    Idle(i64, &'a Scopes),
    /// There is no more at all.
    End(&'a Scopes),
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Names of the files.
    pub(super) sources: Vec<String>,
    /// Packets.
    pub(super) packets: u64,
    /// What they were.
    pub(super) counts: Counts,
    /// Segments that the filter let through.
    pub(super) matched: u64,
    /// The first and the last time.
    pub(super) span_ns: Option<(i64, i64)>,
    /// Places where a file is damaged, with the file's number.
    pub(super) warnings: Vec<(usize, Warning)>,
    /// How many there were.
    pub(super) warnings_count: u64,
    /// Files whose reading failed in the middle.
    pub(super) failures: Vec<String>,
    /// Packets that the capturing programs lost.
    pub(super) lost: Option<u64>,
    /// A link type that is not read.
    pub(super) unread_link: Option<LinkType>,
    /// Whether there were more VLANs and tunnels than are told apart.
    pub(super) scopes_overflowed: bool,
    /// Whether Ctrl-C ended it.
    pub(super) interrupted: bool,
}

/// A file that is open, and what comes next in it.
struct Lane {
    file: usize,
    reader: Reader<Bytes>,
    head: Option<(i64, Observed)>,
}

/// Files that are not open yet, the next one last, with the time of their first packets.
type Waiting = Vec<(i64, usize)>;

struct Reading<'a, F> {
    plan: &'a Plan,
    account: Account,
    decoder: Decoder,
    progress: Progress,
    bytes: Rc<Cell<u64>>,
    batch: Vec<Observed>,
    visit: F,
}

/// Reads all of it.
///
/// # Errors
/// If an input cannot be opened or is no capture. Damage further on is a warning.
pub(super) fn read(
    plan: &Plan,
    visit: impl FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<Account, Complaint> {
    let sources = plan.inputs.iter().map(Input::name).collect();
    let total = plan.inputs.iter().map(|input| input.size).sum::<Option<u64>>();
    let mut reading = Reading {
        plan,
        account: Account { sources, ..Account::default() },
        decoder: Decoder::with_tunnels(plan.tunnels),
        progress: Progress::new(total.filter(|_| !plan.follow)),
        bytes: Rc::new(Cell::new(0)),
        batch: Vec::with_capacity(BATCH),
        visit,
    };
    let (mut lanes, mut waiting) = reading.begin()?;
    while let Some(at) = reading.next_lane(&mut lanes, &mut waiting)? {
        let until_ns = until(&lanes, at, &waiting);
        let Some(lane) = lanes.get_mut(at) else { break };
        let flow = reading.run(lane, until_ns);
        if lane.head.is_none() {
            let lane = lanes.swap_remove(at);
            reading.end(lane);
        }
        if flow.is_break() {
            break;
        }
    }
    for lane in lanes {
        reading.end(lane);
    }
    Ok(reading.finish())
}

/// Until when a lane goes on alone.
fn until(lanes: &[Lane], at: usize, waiting: &Waiting) -> i64 {
    let others = lanes.iter().enumerate().filter(|(other, _)| *other != at);
    let heads = others.filter_map(|(_, lane)| lane.head.map(|(time_ns, _)| time_ns));
    heads.chain(waiting.last().map(|&(time_ns, _)| time_ns)).min().unwrap_or(i64::MAX)
}

impl<F: FnMut(Event<'_>) -> ControlFlow<()>> Reading<'_, F> {
    /// Opens what can be read only once, and looks at the beginnings of files.
    fn begin(&mut self) -> Result<(Vec<Lane>, Waiting), Complaint> {
        let (mut lanes, mut waiting) = (Vec::new(), Waiting::new());
        let several = self.plan.inputs.len() > 1;
        for (file, input) in self.plan.inputs.iter().enumerate() {
            if input.size.is_none() || !several {
                lanes.extend(self.lane(file)?);
                continue;
            }
            let mut reader = input.open(&Rc::default(), false, GLANCE)?;
            let first = reader.next_packet().ok().flatten().map(|packet| packet.time_ns);
            let first = first.map(|time_ns| self.plan.corrected(file, time_ns));
            waiting.push((first.unwrap_or(i64::MAX), file));
        }
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        Ok((lanes, waiting))
    }

    /// The lane whose next packet is the first; opens files as they come due.
    fn next_lane(
        &mut self,
        lanes: &mut Vec<Lane>,
        waiting: &mut Waiting,
    ) -> Result<Option<usize>, Complaint> {
        loop {
            let next = lanes
                .iter()
                .enumerate()
                .filter_map(|(at, lane)| lane.head.map(|(time_ns, _)| (time_ns, at)))
                .min();
            match (next, waiting.last()) {
                (None, None) => return Ok(None),
                (Some((time_ns, at)), Some(&(first_ns, _))) if time_ns < first_ns => {
                    return Ok(Some(at));
                }
                (Some((_, at)), None) => return Ok(Some(at)),
                (_, Some(&(_, file))) => {
                    waiting.pop();
                    lanes.extend(self.lane(file)?);
                }
            }
        }
    }

    /// Opens a file; none if it has no packet.
    fn lane(&mut self, file: usize) -> Result<Option<Lane>, Complaint> {
        let Some(input) = self.plan.inputs.get(file) else { return Ok(None) };
        let reader = input.open(&self.bytes, self.plan.follow, BUFFER)?;
        let mut lane = Lane { file, reader, head: None };
        loop {
            if let Some(time_ns) = self.next(&mut lane) {
                lane.head = self.batch.pop().map(|observed| (time_ns, observed));
                return Ok(Some(lane));
            }
            if !self.waits() {
                self.end(lane);
                return Ok(None);
            }
        }
    }

    /// Reads a lane on until this time; its head is `None` if it ended.
    fn run(&mut self, lane: &mut Lane, until_ns: i64) -> ControlFlow<()> {
        self.batch.extend(lane.head.take().map(|(_, observed)| observed));
        let mut quiet_since = None;
        loop {
            if self.batch.len() >= BATCH {
                self.hand_over()?;
            }
            match self.next(lane) {
                Some(time_ns) if time_ns > until_ns => {
                    lane.head = self.batch.pop().map(|observed| (time_ns, observed));
                    return ControlFlow::Continue(());
                }
                Some(_) => quiet_since = None,
                None if self.waits() => {
                    self.hand_over()?;
                    self.idle(*quiet_since.get_or_insert_with(Instant::now))?;
                }
                None => return ControlFlow::Continue(()),
            }
        }
    }

    /// Hands over what was read, as far as the filter lets it through.
    fn hand_over(&mut self) -> ControlFlow<()> {
        let (filter, scopes) = (&self.plan.filter, self.decoder.scopes());
        self.batch.retain(|observed| match observed {
            Observed::Segment(segment) => filter.matches(segment, scopes),
            Observed::IcmpError(error) => filter.matches_error(error, scopes),
            Observed::Other => false,
        });
        self.account.matched += self.batch.len() as u64;
        let flow = (self.visit)(Event::Batch(&mut self.batch, scopes));
        self.batch.clear();
        self.progress.show(self.bytes.get(), self.account.packets);
        if interrupt::pressed() { ControlFlow::Break(()) } else { flow }
    }

    /// Nothing has come since. The clock of the host that captures may be another than ours, so time is
    /// counted on from its last packet.
    fn idle(&mut self, since: Instant) -> ControlFlow<()> {
        let last_ns = self.account.span_ns.map_or(i64::MIN, |(_, last_ns)| last_ns);
        let quiet_ns = i64::try_from(since.elapsed().as_nanos()).unwrap_or(i64::MAX);
        (self.visit)(Event::Idle(last_ns.saturating_add(quiet_ns), self.decoder.scopes()))
    }

    /// Whether there may be more after a while, which then has passed.
    fn waits(&self) -> bool {
        if !self.plan.follow || interrupt::pressed() {
            return false;
        }
        std::thread::sleep(PAUSE);
        true
    }

    /// Adds what the next packet of a lane shows to the batch; its time.
    #[inline]
    fn next(&mut self, lane: &mut Lane) -> Option<i64> {
        let packet = match lane.reader.next_packet() {
            Ok(packet) => packet?,
            Err(error) => {
                let name = self.account.sources.get(lane.file).map_or("", String::as_str);
                let error = anyhow::Error::new(error);
                self.account.failures.push(format!("{name}: {error:#}"));
                return None;
            }
        };
        self.account.packets += 1;
        let time_ns = self.plan.corrected(lane.file, packet.time_ns);
        let (first, last) = self.account.span_ns.unwrap_or((time_ns, time_ns));
        self.account.span_ns = Some((first.min(time_ns), last.max(time_ns)));
        let number = Number::new(lane.file, packet.record).packed();
        let numbered = Packet { record: number, time_ns, ..packet };
        if let Err(malformed) = self.decoder.decode_into(&numbered, &mut self.batch) {
            let (record, offset) = (packet.record, packet.offset);
            self.account
                .warn(lane.file, Warning { record, offset, what: Problem::Malformed(malformed) });
            self.batch.push(Observed::Other);
        }
        Some(time_ns)
    }

    fn end(&mut self, lane: Lane) {
        if let Some(lost) = lane.reader.lost_packets() {
            *self.account.lost.get_or_insert(0) += lost;
        }
        let warnings = lane.reader.finish();
        self.account.add_warnings(lane.file, &warnings, interrupt::pressed());
    }

    fn finish(mut self) -> Account {
        self.progress.clear();
        // What comes after the end is nobody's to ask for.
        let _ = self.hand_over();
        let _ = (self.visit)(Event::End(self.decoder.scopes()));
        self.account.counts = *self.decoder.counts();
        self.account.unread_link = self.decoder.unread_link();
        self.account.scopes_overflowed = self.decoder.scopes().overflowed();
        self.account.interrupted = interrupt::pressed();
        self.account.warnings.sort_by_key(|(file, warning)| (*file, warning.record));
        self.account
    }
}

impl Account {
    /// Packets that are known to be missing: dropped by the capturing program, cut until they told
    /// nothing, or in damaged places, which count as one each.
    pub(super) fn missing(&self) -> u64 {
        let is_gap = |what: &Problem| {
            matches!(what, Problem::PassedOver { .. } | Problem::Compression { .. })
        };
        let gaps = self.warnings.iter().filter(|(_, warning)| is_gap(&warning.what)).count();
        self.lost.unwrap_or(0) + self.counts.cut + gaps as u64 + self.failures.len() as u64
    }

    fn warn(&mut self, file: usize, warning: Warning) {
        self.warnings_count += 1;
        if self.warnings.len() < WARNINGS {
            self.warnings.push((file, warning));
        }
    }

    /// The warnings of a reader. Whoever ends a pipe in the middle of a record need not be told so.
    fn add_warnings(&mut self, file: usize, warnings: &Warnings, interrupted: bool) {
        let is_ours =
            |warning: &Warning| interrupted && matches!(warning.what, Problem::EndsInRecord { .. });
        let listed = warnings.listed().iter().filter(|warning| !is_ours(warning));
        let before = self.warnings_count;
        for warning in listed.clone() {
            self.warn(file, warning.clone());
        }
        let unlisted = warnings.count().saturating_sub(warnings.listed().len() as u64);
        self.warnings_count = before + listed.count() as u64 + unlisted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_while_a_capture_that_is_followed_does_not() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../bundles/captures/client-gives-up.pcap");
        let plan = Plan {
            inputs: vec![Input::new(path).expect("a capture")],
            filter: Filter::parse("").expect("a filter"),
            tunnels: Tunnels::default(),
            follow: true,
            clocks: Vec::new(),
        };
        let mut idle = Vec::new();
        let account = read(&plan, |event| {
            if let Event::Idle(now_ns, _) = event {
                idle.push(now_ns);
            }
            if idle.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .expect("it can be read");
        let (_, last_ns) = account.span_ns.expect("packets");
        assert!(last_ns <= idle[0] && idle[0] < idle[1] && idle[1] < idle[2], "{last_ns} {idle:?}");
    }
}
