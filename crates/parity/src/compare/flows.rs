//! The segments of two accounts, flow by flow.
//!
//! A flow is what two ports of two addresses say to each other from one initial sequence number on; on
//! the wire each segment of it is there twice, as it leaves and as it comes back (see
//! [`halfopen_scenario::SeenSegment`]). Clients have other ports each time, so flows are matched by the
//! order of their first segments, for each interface and server's port. Within a flow the order is
//! exact.
//!
//! One chance is left in how a flow goes on. Of timers in one step of the wheel, the one that was set
//! last fires first, and the model does so too; but whether timers that were set one after the other are
//! in one step depends on the tick and the CPU at which they were set. So it is chance which of some
//! requests, alike so far, is pruned. Flows that differ only after something was sent again are matched
//! with others of their kind that are the same to the end, if there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use halfopen_scenario::{Account, Interface, SeenSegment};

use super::times::{Clock, Origin};
use super::{Aspect, Disagreement, TimerWheel};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const SYN_ACK: u8 = SYN | ACK;

/// The address on the wire of the namespace in which everything runs, the lab's and the simulator's.
/// Who begins a flow to it is a raw peer, which has no kernel: what it sends is a program's.
const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));

/// No retransmission timer is shorter, in microseconds (`TCP_RTO_MIN`).
const SHORTEST_TIMER: u64 = 200_000;

/// A segment without what is left to chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    by_server: bool,
    /// Whether its addresses are those of the other end of the wire.
    mirrored: bool,
    flags: u8,
    /// Relative to the sender's first.
    seq: u32,
    /// Relative to the first of whom it is sent to; as it is where it does not count.
    ack: u32,
    payload: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Flow {
    /// The addresses of client and server, as its first segment has them.
    ends: [IpAddr; 2],
    is_of_raw_peer: bool,
    /// What is sent, with its time.
    steps: Vec<(u64, Step)>,
}

/// Flows that are matched with each other.
type Group = (Interface, u16);

pub(super) fn compare(kernel: &Account, model: &Account, wheel: TimerWheel) -> Vec<Disagreement> {
    let mut found = Vec::new();
    if kernel.segments_omitted > 0 || model.segments_omitted > 0 {
        let words = |account: &Account| format!("{} segments missing", account.segments_omitted);
        let place = "the whole scenario".to_owned();
        found.push(disagreement(Aspect::Segments, place, words(kernel), words(model)));
    }
    let clock = Clock::new(kernel, model, wheel);
    let (ours, theirs) = (flows(kernel), flows(model));
    let groups: BTreeSet<Group> = ours.keys().chain(theirs.keys()).copied().collect();
    let none = Vec::new();
    for group in groups {
        let ours = ours.get(&group).unwrap_or(&none);
        let theirs = theirs.get(&group).unwrap_or(&none);
        compare_group(group, ours, theirs, &clock, &mut found);
    }
    found
}

fn compare_group(
    (interface, port): Group,
    kernel: &[Flow],
    model: &[Flow],
    clock: &Clock,
    found: &mut Vec<Disagreement>,
) {
    let interface = match interface {
        Interface::Loopback => "loopback",
        Interface::Wire => "wire",
    };
    let place = |number: usize| format!("{interface} :{port}, flow {}", number + 1);
    let matched = matched(kernel, model);
    for (number, (ours, theirs)) in kernel.iter().zip(model).enumerate() {
        if ours.ends != theirs.ends {
            let words = |[client, server]: [IpAddr; 2]| format!("from {client} to {server}");
            let (kernel, model) = (words(ours.ends), words(theirs.ends));
            found.push(disagreement(Aspect::Segments, place(number), kernel, model));
        }
        compare_flow(&place(number), ours, matched[number], clock, found);
    }
    let common = kernel.len().min(model.len());
    let words = |flow: Option<&Flow>| match flow.and_then(|flow| flow.steps.first()) {
        Some((_, step)) => format!("begins with {step}"),
        None => "no such flow".to_owned(),
    };
    for number in common..kernel.len().max(model.len()) {
        let (kernel, model) = (words(kernel.get(number)), words(model.get(number)));
        found.push(disagreement(Aspect::Segments, place(number), kernel, model));
    }
}

/// The first segment that differs, and before it every one that came at another time.
fn compare_flow(
    name: &str,
    kernel: &Flow,
    model: &Flow,
    clock: &Clock,
    found: &mut Vec<Disagreement>,
) {
    let place = |index: usize| format!("{name}, segment {}", index + 1);
    let alike = alike(kernel, model);
    let words = |flow: &Flow| match flow.steps.get(alike) {
        Some((_, step)) => step.to_string(),
        None => format!("no more than {alike} segments"),
    };
    if !is_same(kernel, model) {
        let (kernel, model) = (words(kernel), words(model));
        found.push(disagreement(Aspect::Segments, place(alike), kernel, model));
    }
    let words_of = |index: usize| model.steps[index].1.to_string();
    for index in 1..alike {
        let (origin, since) = model.origin(index);
        let times = |flow: &Flow| (flow.steps[since].0, flow.steps[index].0);
        if let Err((kernel, model)) = clock.agree(times(kernel), times(model), origin) {
            let place = format!("{}, {}", place(index), words_of(index));
            found.push(disagreement(Aspect::Times, place, kernel, model));
        }
    }
}

fn disagreement(aspect: Aspect, place: String, kernel: String, model: String) -> Disagreement {
    Disagreement { aspect, place, kernel, model }
}

/// The model's flows, each in the place of the kernel's with which it is compared: in their own order,
/// but for those whose difference may be chance.
fn matched<'f>(kernel: &[Flow], model: &'f [Flow]) -> Vec<&'f Flow> {
    let mut matched: Vec<&Flow> = model.iter().collect();
    let common = kernel.len().min(model.len());
    for place in 0..common {
        if !may_be_chance(&kernel[place], matched[place]) {
            continue;
        }
        let same = (place + 1..common).find(|&other| {
            is_same(&kernel[place], matched[other]) && may_be_chance(&kernel[other], matched[other])
        });
        if let Some(other) = same {
            matched.swap(place, other);
        }
    }
    matched
}

/// Whether two flows differ, but not before something was sent again.
fn may_be_chance(one: &Flow, other: &Flow) -> bool {
    !is_same(one, other) && (1..alike(one, other)).any(|index| one.is_again(index))
}

fn is_same(one: &Flow, other: &Flow) -> bool {
    alike(one, other) == one.steps.len().max(other.steps.len())
}

/// How many segments are the same from the beginning.
fn alike(one: &Flow, other: &Flow) -> usize {
    let pairs = one.steps.iter().zip(&other.steps);
    pairs.take_while(|((_, one), (_, other))| one == other).count()
}

impl Flow {
    fn is_again(&self, index: usize) -> bool {
        self.sent_before(index).is_some()
    }

    /// The last segment before this one that is the same.
    fn sent_before(&self, index: usize) -> Option<usize> {
        self.steps[..index].iter().rposition(|(_, earlier)| *earlier == self.steps[index].1)
    }

    /// Why a segment is sent, and the segment from which its time is measured.
    fn origin(&self, index: usize) -> (Origin, usize) {
        let ((before_at, before), (at, step)) = (self.steps[index - 1], self.steps[index]);
        if !step.by_server && self.is_of_raw_peer {
            return (Origin::Program, index - 1);
        }
        let again = self.sent_before(index);
        // With nothing but the kernel between the two: not the lab's wire.
        let follows = before.by_server != step.by_server && before.mirrored == step.mirrored;
        let is_kernels = matches!(step.flags, SYN_ACK | ACK | RST) && step.payload == 0;
        if follows
            && (is_kernels || again.is_some())
            && at.saturating_sub(before_at) < SHORTEST_TIMER
        {
            return (Origin::Answer, index - 1);
        }
        match again {
            Some(again) if at.saturating_sub(self.steps[again].0) >= SHORTEST_TIMER => {
                (Origin::Timer, again)
            }
            _ => (Origin::Program, index - 1),
        }
    }
}

/// A flow as its segments come.
struct Growing<'s> {
    first: &'s SeenSegment,
    syn: Option<u32>,
    segments: Vec<&'s SeenSegment>,
}

/// The two addresses and ports of a flow, whichever end sends.
type Ends = (Interface, [IpAddr; 2], [u16; 2]);

fn ends(segment: &SeenSegment) -> Ends {
    let mut addresses = [segment.from.ip(), segment.to.ip()];
    let mut ports = [segment.from.port(), segment.to.port()];
    addresses.sort_unstable();
    ports.sort_unstable();
    (segment.interface, addresses, ports)
}

fn flows(account: &Account) -> BTreeMap<Group, Vec<Flow>> {
    let mut growing: Vec<Growing<'_>> = Vec::new();
    let mut last: BTreeMap<Ends, usize> = BTreeMap::new();
    for segment in &account.segments {
        let syn = (segment.flags & (SYN | ACK) == SYN).then_some(segment.seq);
        let ends = ends(segment);
        // A port that was given away again begins with another number.
        let goes_on = |flow: &Growing<'_>| flow.syn.is_none() || syn.is_none() || flow.syn == syn;
        let begun = last.get(&ends).copied().filter(|&flow| goes_on(&growing[flow]));
        let flow = begun.unwrap_or_else(|| {
            growing.push(Growing { first: segment, syn: None, segments: Vec::new() });
            growing.len() - 1
        });
        last.insert(ends, flow);
        growing[flow].syn = growing[flow].syn.or(syn);
        growing[flow].segments.push(segment);
    }
    let mut flows: BTreeMap<Group, Vec<Flow>> = BTreeMap::new();
    for flow in growing {
        let group = (flow.first.interface, flow.first.to.port());
        flows.entry(group).or_default().push(flow.finish());
    }
    flows
}

impl Growing<'_> {
    fn finish(&self) -> Flow {
        let client = self.base(|segment| !self.is_by_server(segment));
        let server = self.base(|segment| self.is_by_server(segment));
        let [near, far] = [self.first.from.ip(), self.first.to.ip()];
        let step = |segment: &&SeenSegment| {
            let by_server = self.is_by_server(segment);
            let (own, other) = if by_server { (server, client) } else { (client, server) };
            let acknowledges = segment.flags & ACK != 0;
            let ack = if acknowledges { segment.ack.wrapping_sub(other) } else { segment.ack };
            let step = Step {
                by_server,
                mirrored: segment.from.ip() != if by_server { far } else { near },
                flags: segment.flags,
                seq: segment.seq.wrapping_sub(own),
                ack,
                payload: segment.payload,
            };
            (segment.at_us, step)
        };
        let is_of_raw_peer = self.first.interface == Interface::Wire && far == NEAR;
        let steps = self.segments.iter().map(step).collect();
        Flow { ends: [near, far], is_of_raw_peer, steps }
    }

    /// The server's port is the one that the first segment is sent to.
    fn is_by_server(&self, segment: &SeenSegment) -> bool {
        segment.from.port() == self.first.to.port()
    }

    /// The first sequence number of a sender: that of its SYN if it sends one; of one that sends
    /// nothing, what it is first asked for.
    fn base(&self, is_sender: impl Fn(&SeenSegment) -> bool) -> u32 {
        let mut sent = self.segments.iter().filter(|segment| is_sender(segment));
        let syn = sent.clone().find(|segment| segment.flags & SYN != 0);
        let first = syn.or_else(|| sent.next()).map(|segment| segment.seq);
        let asked = || {
            let asks = |s: &&&SeenSegment| !is_sender(s) && s.flags & ACK != 0;
            self.segments.iter().find(asks).map(|segment| segment.ack)
        };
        first.or_else(asked).unwrap_or(0)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.by_server { "server: " } else { "client: " })?;
        let mut rest = self.flags;
        for (bit, name) in
            [(SYN, "SYN "), (FIN, "FIN "), (RST, "RST "), (PSH, "PSH "), (ACK, "ACK ")]
        {
            if self.flags & bit != 0 {
                f.write_str(name)?;
            }
            rest &= !bit;
        }
        if rest != 0 {
            write!(f, "{rest:#04x} ")?;
        }
        // What lies before the first number is negative.
        write!(f, "seq {} ack {}", self.seq.cast_signed(), self.ack.cast_signed())?;
        if self.payload > 0 {
            write!(f, ", {} bytes", self.payload)?;
        }
        if self.mirrored {
            f.write_str(", at the other end of the wire")?;
        }
        Ok(())
    }
}
