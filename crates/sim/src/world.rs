//! The world: hosts, paths and programs, and the one loop in which everything happens in the order of
//! its time.

use std::net::Ipv4Addr;

use halfopen_model::tcp::{Effects, Event, Segment, SocketId, TimerQueue, Unreachable};
use halfopen_model::{DropReason, KernelVersion, Span, Time};
use halfopen_scenario::{Interface, Reject};

use crate::budget::Budget;
use crate::chance::Chance;
use crate::clients::Crowd;
use crate::host::{Arriving, FAR, Host, swapped};
use crate::ids::Owner;
use crate::path::{Fate, HOP, LOOPBACK, Path};
use crate::peers::RawPeers;
use crate::programs::Programs;
use crate::run::Moments;
use crate::tap::Tap;
use crate::watch::Watch;

/// How much later than it asked for a program is woken at the most.
const SLEEP_SLACK: Span = Span::from_micros(200);

/// Everything there is. Host 0 is the servers'.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) hosts: Vec<Host>,
    /// The kernel of the remote clients' host.
    pub(crate) clients_kernel: KernelVersion,
    /// Settings of the servers' hosts so far, for hosts that are still to come.
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) path: Path,
    pub(crate) chance: Chance,
    pub(crate) schedule: TimerQueue<Happening>,
    pub(crate) programs: Programs,
    pub(crate) crowd: Crowd,
    pub(crate) peers: RawPeers,
    pub(crate) tap: Tap,
    pub(crate) moments: Moments,
    pub(crate) watch: Watch,
    pub(crate) effects: Effects,
    /// What may still happen.
    pub(crate) budget: Budget,
}

/// Something that a program, a client or the simulation does at its time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening {
    /// A thread goes on.
    Thread(u32),
    /// Something may be due in a control group.
    Group(usize),
    /// The next clients of an arrival process come.
    Arrive(u32),
    /// A client connects.
    Start(u32),
    /// A client's patience, or its stay, may be over.
    Leave(u32),
    /// A client of a pool sends again.
    Talk(u32),
    /// The next silent peers of an arrival process come.
    Silent(u32),
    /// Queues are sampled.
    Sample,
}

impl World {
    /// Lets a program go on after it has slept for so long. No sleep is exact: a little chance keeps
    /// what is asleep for equal times from waking at the very same moment for ever.
    pub(crate) fn after(&mut self, sleep: Span, happening: Happening) {
        let late = Span::from_micros(self.chance.below(SLEEP_SLACK.as_micros()));
        self.schedule.put_once(self.now, sleep + late, happening);
    }

    /// Lets everything happen that is due up to and including a time.
    pub(crate) fn advance(&mut self, until: Time) {
        while self.step(until) {}
        if !self.budget.is_spent() {
            self.now = self.now.max(until);
        }
    }

    /// Lets the next thing happen, if it is due by then.
    pub(crate) fn step(&mut self, until: Time) -> bool {
        let mut at = self.schedule.next_at().unwrap_or(Time::NEVER);
        let mut host = None;
        for (index, candidate) in self.hosts.iter_mut().enumerate() {
            let next = candidate.next_at();
            if next < at || (next == at && host.is_none() && next != Time::NEVER) {
                (at, host) = (next, Some(index));
            }
        }
        if at > until || at == Time::NEVER || self.budget.is_spent() {
            return false;
        }
        self.budget.spend(1);
        self.now = self.now.max(at);
        match host {
            Some(host) => self.step_host(host),
            None => {
                if let Some((_, happening)) = self.schedule.take_due(at) {
                    self.happen(happening);
                }
            }
        }
        true
    }

    fn step_host(&mut self, index: usize) {
        let now = self.now;
        // What arrives at the same moment is taken in one go.
        while let Some((_, arriving)) = self.hosts[index].arriving.take_due(now) {
            self.take_in(index, &arriving);
        }
        self.hosts[index].stack.on_timer(now, &mut self.effects);
        self.carry_out(index);
    }

    fn take_in(&mut self, index: usize, arriving: &Arriving) {
        let Arriving { segment, over, unreachable } = arriving;
        self.budget.spend(1);
        if index == 0
            && let Some(over) = over
        {
            self.tap.see(self.now, *over, segment, *unreachable);
        }
        if let Some(what) = unreachable {
            return self.take_in_error(index, *what, segment);
        }
        // What came over loopback was tracked as it was sent (`nf_conntrack_in`: previously seen).
        let seen = *over == Some(Interface::Loopback);
        if !seen && !self.hosts[index].tracks(self.now, segment) {
            return self.note_untracked(index, segment);
        }
        let reason = self.hosts[index].stack.on_segment(self.now, segment, &mut self.effects);
        if let Some(reason) = reason {
            self.note_drop(index, reason, segment);
        }
        self.carry_out(index);
    }

    /// An ICMP error. Connection tracking passes it as related to the connection.
    fn take_in_error(&mut self, index: usize, what: Unreachable, about: &Segment) {
        let stack = &mut self.hosts[index].stack;
        if let Some(reason) = stack.on_unreachable(what, about, &mut self.effects) {
            self.note_drop(index, reason, about);
        }
        self.carry_out(index);
    }

    /// Sends what a host's stack wants to send, and tells programs what they wait for.
    pub(crate) fn carry_out(&mut self, host: usize) {
        // What is sent arrives later, and has no effect before.
        for at in 0..self.effects.segments.len() {
            let segment = self.effects.segments[at];
            self.send(host, &segment);
        }
        self.effects.segments.clear();
        // What programs do then is carried out at once.
        match self.effects.events.as_slice() {
            [] => {}
            &[event] => {
                self.effects.events.clear();
                self.tell(host, event);
            }
            _ => {
                let events = std::mem::take(&mut self.effects.events);
                events.into_iter().for_each(|event| self.tell(host, event));
            }
        }
    }

    fn send(&mut self, host: usize, segment: &Segment) {
        let to = *segment.to.ip();
        if !self.hosts[host].tracks(self.now, segment) {
            return self.note_untracked(host, segment);
        }
        if to.is_loopback() || to == self.hosts[host].address && to == *segment.from.ip() {
            self.arrive(host, *segment, LOOPBACK, Some(Interface::Loopback));
            return;
        }
        if host == 0 && to == FAR {
            self.send_over_wire(segment);
        } else if host == 0 && self.peers.has(to) {
            self.send_to_peer(segment);
        } else if let Some(there) = self.host_of(to) {
            self.send_over_network(host, there, segment);
        }
    }

    fn send_to_peer(&mut self, segment: &Segment) {
        self.tap.see(self.now, Interface::Wire, segment, None);
        match self.path.fate(segment) {
            Fate::Passes => {
                if let Some(answer) = self.peers.receive(segment) {
                    self.arrive_from_peer(answer);
                }
            }
            Fate::Lost => {}
            Fate::Rejected(with) => self.reject(0, segment, with, HOP),
        }
    }

    /// A peer does not mind whether what it sends is lost or rejected.
    pub(crate) fn arrive_from_peer(&mut self, segment: Segment) {
        if self.path.fate(&segment) == Fate::Passes {
            self.arrive(0, segment, HOP, Some(Interface::Wire));
        }
    }

    fn send_over_wire(&mut self, segment: &Segment) {
        self.tap.see(self.now, Interface::Wire, segment, None);
        match self.path.fate(segment) {
            Fate::Passes => self.arrive(0, swapped(segment), HOP, Some(Interface::Wire)),
            Fate::Lost => {}
            Fate::Rejected(with) => self.reject(0, segment, with, HOP),
        }
    }

    /// A firewall on the way tells the sender that a segment is not let through.
    fn reject(&mut self, sender: usize, segment: &Segment, with: Reject, delay: Span) {
        let over = Some(Interface::Wire);
        let unreachable = match with {
            Reject::TcpReset => {
                if let Some(reset) = segment.reset() {
                    self.arrive(sender, reset, delay, over);
                }
                return;
            }
            Reject::NetUnreachable => Unreachable::Network,
            Reject::HostUnreachable => Unreachable::Host,
            Reject::PortUnreachable => Unreachable::Port,
            Reject::AdminProhibited => Unreachable::Prohibited,
        };
        let unreachable = Some(unreachable);
        self.put_on_its_way(sender, delay, Arriving { segment: *segment, over, unreachable });
    }

    fn send_over_network(&mut self, from: usize, to: usize, segment: &Segment) {
        if from == 0 {
            self.tap.see(self.now, Interface::Wire, segment, None);
        }
        match self.path.fate(segment) {
            Fate::Passes => {
                if let Some(delay) = self.path.carry(&mut self.chance) {
                    self.arrive(to, *segment, delay, Some(Interface::Wire));
                }
            }
            Fate::Lost => {}
            Fate::Rejected(with) => self.reject(from, segment, with, self.path.delay()),
        }
    }

    pub(crate) fn arrive(
        &mut self,
        host: usize,
        segment: Segment,
        delay: Span,
        over: Option<Interface>,
    ) {
        self.put_on_its_way(host, delay, Arriving { segment, over, unreachable: None });
    }

    fn put_on_its_way(&mut self, host: usize, delay: Span, arriving: Arriving) {
        let line = &mut self.hosts[host].arriving;
        if self.path.is_steady() {
            line.put(self.now, delay, arriving);
        } else {
            line.put_once(self.now, delay, arriving);
        }
    }

    /// The host that has an address. That of the remote clients has many.
    fn host_of(&self, address: Ipv4Addr) -> Option<usize> {
        self.hosts
            .iter()
            .position(|host| host.address == address)
            .or_else(|| self.crowd.has_address(address).then_some(self.crowd.host?))
    }

    fn tell(&mut self, host: usize, event: Event) {
        match event {
            Event::Acceptable(listener) => self.wake_for(host, listener),
            Event::Connected { socket, tag } => match Owner::of(tag) {
                Owner::Client(client) => self.client_connected(client),
                Owner::Outgoing(thread) => self.thread_goes_on(thread),
                Owner::Accepted(_) => self.unexpected(host, socket),
            },
            Event::ConnectFailed { tag, error } => match Owner::of(tag) {
                Owner::Client(client) => self.client_failed(client, error),
                Owner::Outgoing(thread) => self.thread_goes_on(thread),
                Owner::Accepted(_) => {}
            },
            Event::Readable { socket, tag, closed } => match Owner::of(tag) {
                Owner::Client(client) => self.client_readable(client, closed),
                Owner::Accepted(thread) => self.connection_readable(host, thread, socket, closed),
                Owner::Outgoing(_) => {}
            },
            Event::Broken { socket, tag } => match Owner::of(tag) {
                Owner::Client(client) => self.client_broken(client),
                Owner::Accepted(thread) => self.connection_broken(host, thread, socket),
                Owner::Outgoing(thread) => self.thread_goes_on(thread),
            },
        }
    }

    /// A socket that belongs to nobody any more.
    fn unexpected(&mut self, host: usize, socket: SocketId) {
        self.hosts[host].stack.close(self.now, socket, &mut self.effects);
        self.carry_out(host);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Thread(thread) => self.thread_goes_on(thread),
            Happening::Group(group) => self.group_goes_on(group),
            Happening::Arrive(arrival) => self.clients_arrive(arrival),
            Happening::Start(client) => self.start_client(client),
            Happening::Leave(client) => self.client_leaves(client),
            Happening::Talk(client) => self.client_talks(client),
            Happening::Silent(arrival) => self.silent_peers_arrive(arrival),
            Happening::Sample => self.sample(),
        }
    }

    fn note_untracked(&mut self, host: usize, segment: &Segment) {
        let name = &self.hosts[host].name;
        self.moments.untracked(self.now, name, segment);
    }

    fn note_drop(&mut self, host: usize, reason: DropReason, segment: &Segment) {
        let now = self.now;
        let name = &self.hosts[host].name;
        self.moments.drop(now, name, reason, segment);
    }
}
