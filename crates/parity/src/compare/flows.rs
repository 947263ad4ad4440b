//! The segments of two accounts, flow by flow.
//!
//! A flow is what two ports of two addresses say to each other from one initial sequence number on; on
//! the wire each segment of it is there twice, as it leaves and as it comes back (see
//! [`halfopen_scenario::SeenSegment`]). Clients have other ports each time, so flows are matched by the
//! order of their first segments, for each interface and server's port. Within a flow the order is
//! exact.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use halfopen_scenario::{Account, Interface, SeenSegment};

use super::times::Clock;
use super::{Aspect, Disagreement, TimerWheel};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// A segment without what is left to chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) from_server: bool,
    pub(super) from: Ipv4Addr,
    pub(super) to: Ipv4Addr,
    pub(super) flags: u8,
    /// Relative to the sender's first.
    pub(super) seq: u32,
    /// Relative to the first of whom it is sent to; as it is where it does not count.
    pub(super) ack: u32,
    pub(super) payload: u32,
}

/// A flow: its segments with their times.
type Flow = Vec<(u64, Step)>;

/// Flows that are matched with each other.
type Group = (Interface, u16);

pub(super) fn compare(kernel: &Account, model: &Account, wheel: TimerWheel) -> Vec<Disagreement> {
    let mut found = Vec::new();
    if kernel.segments_omitted > 0 || model.segments_omitted > 0 {
        let words = |account: &Account| format!("{} segments missing", account.segments_omitted);
        found.push(Disagreement {
            aspect: Aspect::Segments,
            place: "the whole scenario".to_owned(),
            kernel: words(kernel),
            model: words(model),
        });
    }
    let clock = Clock::new(kernel, model, wheel);
    let (ours, theirs) = (flows(kernel), flows(model));
    let groups: BTreeSet<Group> = ours.keys().chain(theirs.keys()).copied().collect();
    for group in groups {
        let none = Vec::new();
        let (ours, theirs) =
            (ours.get(&group).unwrap_or(&none), theirs.get(&group).unwrap_or(&none));
        for number in 0..ours.len().max(theirs.len()) {
            let (interface, port) = group;
            let interface = match interface {
                Interface::Loopback => "loopback",
                Interface::Wire => "wire",
            };
            let name = format!("{interface} :{port}, flow {}", number + 1);
            let empty = Vec::new();
            let ours = ours.get(number).unwrap_or(&empty);
            let theirs = theirs.get(number).unwrap_or(&empty);
            compare_flow(&name, ours, theirs, &clock, &mut found);
        }
    }
    found
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
    let alike = kernel.iter().zip(model).take_while(|((_, ours), (_, theirs))| ours == theirs);
    let alike = alike.count();
    let show = |flow: &Flow| match flow.get(alike) {
        Some((_, step)) => step.to_string(),
        None => format!("no more than {} segments", flow.len()),
    };
    if alike < kernel.len().max(model.len()) {
        found.push(Disagreement {
            aspect: Aspect::Segments,
            place: place(alike),
            kernel: show(kernel),
            model: show(model),
        });
    }
    for index in 1..alike {
        let step = kernel[index].1;
        let again = kernel[..index].iter().any(|(_, earlier)| *earlier == step);
        let times = |flow: &Flow| (flow[index - 1].0, flow[index].0);
        if let Err((kernel, model)) =
            clock.agree(times(kernel), times(model), step.from_server && again)
        {
            let place = format!("{} ({step})", place(index));
            found.push(Disagreement { aspect: Aspect::Times, place, kernel, model });
        }
    }
}

/// A flow as its segments come.
struct Growing<'s> {
    group: Group,
    server_port: u16,
    syn: Option<u32>,
    segments: Vec<&'s SeenSegment>,
}

/// The two addresses and ports of a flow, whichever end sends.
type Ends = (Interface, [Ipv4Addr; 2], [u16; 2]);

fn ends(segment: &SeenSegment) -> Ends {
    let mut addresses = [*segment.from.ip(), *segment.to.ip()];
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
        let begun = last.get(&ends).copied().filter(|&flow| {
            // A port that was given away again begins with another number.
            growing[flow].syn.is_none() || syn.is_none() || growing[flow].syn == syn
        });
        let flow = begun.unwrap_or_else(|| {
            let server_port = segment.to.port();
            let group = (segment.interface, server_port);
            growing.push(Growing { group, server_port, syn: None, segments: Vec::new() });
            growing.len() - 1
        });
        last.insert(ends, flow);
        growing[flow].syn = growing[flow].syn.or(syn);
        growing[flow].segments.push(segment);
    }
    let mut flows: BTreeMap<Group, Vec<Flow>> = BTreeMap::new();
    for flow in growing {
        flows.entry(flow.group).or_default().push(flow.steps());
    }
    flows
}

impl Growing<'_> {
    fn steps(&self) -> Flow {
        let is_server = |segment: &SeenSegment| segment.from.port() == self.server_port;
        let bases = [self.base(|s| !is_server(s)), self.base(is_server)];
        let step = |segment: &&SeenSegment| {
            let from_server = is_server(segment);
            let (own, other) =
                if from_server { (bases[1], bases[0]) } else { (bases[0], bases[1]) };
            let acknowledges = segment.flags & ACK != 0;
            let ack = if acknowledges { segment.ack.wrapping_sub(other) } else { segment.ack };
            let step = Step {
                from_server,
                from: *segment.from.ip(),
                to: *segment.to.ip(),
                flags: segment.flags,
                seq: segment.seq.wrapping_sub(own),
                ack,
                payload: segment.payload,
            };
            (segment.at_us, step)
        };
        self.segments.iter().map(step).collect()
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
        let side = if self.from_server { "server" } else { "client" };
        write!(f, "{side} {} > {}: ", self.from, self.to)?;
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
        Ok(())
    }
}
