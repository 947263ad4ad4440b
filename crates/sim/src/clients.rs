//! Clients: how they connect, what they do then, and when they leave.

use std::net::{Ipv4Addr, SocketAddrV4};

use halfopen_model::tcp::{ConnectError, ConnectOptions, SocketId};
use halfopen_model::{Span, Time};
use halfopen_scenario::{Arrivals, ClientState, Clients, Handshakes, Way};

use crate::host::{FAR, NEAR};
use crate::ids::Owner;
use crate::path::LOOPBACK;
use crate::simulate::host;
use crate::world::{Happening, World};

/// The time that a client has who comes in turn over loopback: its SYN, the SYN-ACK and the ACK.
const TURN: Span = Span::from_micros(4 * LOOPBACK.as_micros());

/// The first address of remote clients, and how many share one.
const REMOTE: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 0);
/// Fewer than half of the ports, so that no search for a port gets long.
const CLIENTS_PER_ADDRESS: u32 = 8_192;

/// All clients, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    pub(crate) groups: Vec<Group>,
    pub(crate) clients: Vec<Client>,
    arrivals: Vec<Arrival>,
    /// The remote clients' host.
    pub(crate) host: Option<usize>,
    /// How many addresses remote clients have.
    addresses: u32,
}

/// A group of clients.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) plan: Clients,
    pub(crate) patience: Option<Span>,
    pub(crate) stays: Option<Span>,
    pub(crate) outcomes: Outcomes,
    /// Clients that wait for their connection now, and that have it.
    connecting: u64,
    connected: u64,
    /// Microseconds from the SYN to the connection, one for each that was made.
    pub(crate) latencies: Vec<u32>,
}

/// What came of a group's attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// connect() calls.
    pub started: u64,
    /// Those that succeeded.
    pub connected: u64,
    /// ECONNREFUSED.
    pub refused: u64,
    /// EHOSTUNREACH or ENETUNREACH.
    pub unreachable: u64,
    /// ETIMEDOUT.
    pub timed_out: u64,
    /// EADDRNOTAVAIL.
    pub no_port: u64,
    /// Clients that lost their patience.
    pub gave_up: u64,
    /// Connections that were reset after connect() had succeeded.
    pub reset: u64,
}

/// A client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) group: u32,
    pub(crate) state: Life,
    pub(crate) socket: SocketId,
    pub(crate) since: Time,
}

/// Where a client is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It has not begun.
    Before,
    Connecting,
    Connected,
    /// It has closed, or was told that the server did.
    Over,
    /// connect() or the connection failed.
    Failed,
}

#[derive(Debug)]
struct Arrival {
    group: u32,
    every: Span,
    at_random: bool,
    left: u32,
}

impl Crowd {
    pub(crate) fn has_address(&self, address: Ipv4Addr) -> bool {
        let first = REMOTE.to_bits();
        self.host.is_some()
            && (first..first.saturating_add(self.addresses)).contains(&address.to_bits())
    }

    pub(crate) fn group(&self, name: &str) -> Vec<u32> {
        (0..).zip(&self.groups).filter(|(_, g)| g.plan.name == name).map(|(n, _)| n).collect()
    }

    /// How many clients of a name are in a state.
    pub(crate) fn count(&self, name: &str, state: ClientState) -> u64 {
        let groups = self.group(name);
        let of = |group: &Group| match state {
            ClientState::Connecting => group.connecting,
            ClientState::Connected => group.connected,
            ClientState::Failed => {
                let Outcomes { refused, unreachable, timed_out, no_port, reset, .. } =
                    group.outcomes;
                refused + unreachable + timed_out + no_port + reset
            }
        };
        groups.iter().map(|&group| of(&self.groups[group as usize])).sum()
    }

    /// A client goes on in its life; its group counts where its clients are.
    fn enter(&mut self, number: u32, state: Life) {
        let client = &mut self.clients[number as usize];
        let before = std::mem::replace(&mut client.state, state);
        let group = &mut self.groups[client.group as usize];
        group.connecting += u64::from(state == Life::Connecting);
        group.connecting -= u64::from(before == Life::Connecting);
        group.connected += u64::from(state == Life::Connected);
        group.connected -= u64::from(before == Life::Connected);
    }
}

impl World {
    /// A new group.
    pub(crate) fn new_group(
        &mut self,
        plan: &Clients,
        patience: Option<Span>,
        stays: Option<Span>,
    ) -> u32 {
        let number = u32::try_from(self.crowd.groups.len()).unwrap_or(u32::MAX);
        let plan = plan.clone();
        let outcomes = Outcomes::default();
        let latencies = Vec::new();
        let (connecting, connected) = (0, 0);
        self.crowd.groups.push(Group {
            plan,
            patience,
            stays,
            outcomes,
            connecting,
            connected,
            latencies,
        });
        number
    }

    /// Lets clients of a group connect, some time apart where they come in turn over loopback, and
    /// returns when the last one has had its turn.
    pub(crate) fn start_clients(&mut self, group: u32, count: u32) -> Time {
        self.budget.spend(u64::from(count));
        if self.budget.is_spent() {
            return self.now;
        }
        let plan = &self.crowd.groups[group as usize].plan;
        let in_turn = plan.handshakes == Handshakes::InTurn && plan.way == Way::Loopback;
        let now = self.now;
        let first = u32::try_from(self.crowd.clients.len()).unwrap_or(u32::MAX);
        let client = Client { group, state: Life::Before, socket: SocketId(u32::MAX), since: now };
        self.crowd.clients.extend((0..count).map(|_| client));
        if self.crowd.groups[group as usize].plan.way == Way::Network {
            self.open_clients_host();
        }
        let mut at = Span::ZERO;
        for number in first..first + count {
            if in_turn {
                self.schedule.put_once(now, at, Happening::Start(number));
                at = at + TURN;
            } else {
                self.start_client(number);
            }
        }
        now + at
    }

    /// Lets clients arrive from now on.
    pub(crate) fn arrive_from_now(&mut self, arrivals: &Arrivals) {
        let patience = arrivals.patience.map(Span::from);
        let stays = arrivals.stays.map(Span::from);
        let group = self.new_group(&arrivals.clients, patience, stays);
        let number = u32::try_from(self.crowd.arrivals.len()).unwrap_or(u32::MAX);
        let (every, left) = (Span::from(arrivals.every), arrivals.at_most);
        let at_random = arrivals.at_random;
        self.crowd.arrivals.push(Arrival { group, every, at_random, left });
        self.clients_arrive(number);
    }

    pub(crate) fn clients_arrive(&mut self, number: u32) {
        let arrival = &mut self.crowd.arrivals[number as usize];
        let group = arrival.group;
        let count = self.crowd.groups[group as usize].plan.count.min(arrival.left);
        arrival.left -= count;
        if arrival.left > 0 {
            let every = arrival.every;
            if arrival.at_random {
                let wait = Span::from_micros(self.chance.exponential(every.as_micros()));
                self.schedule.put_once(self.now, wait, Happening::Arrive(number));
            } else {
                self.after(every, Happening::Arrive(number));
            }
        }
        self.start_clients(group, count);
    }

    pub(crate) fn start_client(&mut self, number: u32) {
        let group = self.crowd.clients[number as usize].group;
        let (options, host) = self.connect_options(number);
        let connect = self.hosts[host].stack.connect(self.now, &options, &mut self.effects);
        let now = self.now;
        let of_group = &mut self.crowd.groups[group as usize];
        of_group.outcomes.started += 1;
        of_group.outcomes.no_port += u64::from(connect.is_err());
        let patience = of_group.patience;
        self.crowd.clients[number as usize].since = now;
        match connect {
            Ok(connect) => {
                self.crowd.clients[number as usize].socket = connect.socket;
                self.crowd.enter(number, Life::Connecting);
                if let Some(patience) = patience {
                    self.schedule.put(now, patience, Happening::Leave(number));
                }
            }
            Err(_) => self.crowd.enter(number, Life::Failed),
        }
        self.carry_out(host);
    }

    fn connect_options(&mut self, number: u32) -> (ConnectOptions, usize) {
        let group = self.crowd.clients[number as usize].group as usize;
        let plan = &self.crowd.groups[group].plan;
        let (from, to, host) = match plan.way {
            Way::Loopback => (Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, 0),
            Way::Wire => (NEAR, FAR, 0),
            Way::Network => {
                let place = number / CLIENTS_PER_ADDRESS;
                self.crowd.addresses = self.crowd.addresses.max(place + 1);
                let from = Ipv4Addr::from_bits(REMOTE.to_bits() + place);
                (from, self.address_for(number), self.crowd.host.unwrap_or(0))
            }
        };
        let options = ConnectOptions {
            from,
            to: SocketAddrV4::new(to, plan.port),
            tag: Owner::Client(number).tag(),
            delay_ack: plan.handshakes == Handshakes::Overlapping,
            keepalive_s: plan
                .remote
                .as_ref()
                .and_then(|remote| remote.keepalive)
                .map_or(0, |idle| u32::try_from(idle.as_secs()).unwrap_or(u32::MAX)),
        };
        (options, host)
    }

    pub(crate) fn client_connected(&mut self, number: u32) {
        let now = self.now;
        let client = &mut self.crowd.clients[number as usize];
        let took = now.since(client.since).as_micros();
        client.since = now;
        let (socket, of_client) = (client.socket, client.group);
        self.crowd.enter(number, Life::Connected);
        let group = &mut self.crowd.groups[of_client as usize];
        group.outcomes.connected += 1;
        group.latencies.push(u32::try_from(took).unwrap_or(u32::MAX));
        let (sends, stays) = (group.plan.sends, group.stays);
        let talks = group.plan.remote.as_ref().and_then(|remote| remote.talks);
        if let Some(talks) = talks {
            self.schedule.put(now, Span::from(talks), Happening::Talk(number));
        }
        if let Some(stays) = stays {
            self.schedule.put(now, stays, Happening::Leave(number));
        }
        if sends > 0 {
            let host = self.host_of_client(number);
            self.hosts[host].stack.write(now, socket, sends, &mut self.effects);
            self.carry_out(host);
        }
    }

    pub(crate) fn client_failed(&mut self, number: u32, error: ConnectError) {
        self.crowd.enter(number, Life::Failed);
        let group = self.crowd.clients[number as usize].group;
        let outcomes = &mut self.crowd.groups[group as usize].outcomes;
        match error {
            ConnectError::Refused => outcomes.refused += 1,
            ConnectError::Unreachable => outcomes.unreachable += 1,
            ConnectError::TimedOut => outcomes.timed_out += 1,
            ConnectError::NoPort => outcomes.no_port += 1,
        }
        self.come_back(number);
    }

    /// A client whose connection is over connects again, if it is one that does: it looks after its
    /// connection every so often, at times of its own.
    fn come_back(&mut self, number: u32) {
        let group = self.crowd.clients[number as usize].group;
        let remote = self.crowd.groups[group as usize].plan.remote.as_ref();
        if let Some(every) = remote.and_then(|remote| remote.reconnects) {
            let most = Span::from(every).as_micros();
            let wait = Span::from_micros(self.chance.below(most) + 1);
            self.schedule.put_once(self.now, wait, Happening::Start(number));
        }
    }

    /// A client of a pool sends again, if it has the connection that it had.
    pub(crate) fn client_talks(&mut self, number: u32) {
        let client = self.crowd.clients[number as usize];
        let plan = &self.crowd.groups[client.group as usize].plan;
        let talks = plan.remote.as_ref().and_then(|remote| remote.talks).map(Span::from);
        let Some(every) = talks.filter(|&every| client.since + every <= self.now) else { return };
        if client.state != Life::Connected {
            return;
        }
        let (host, bytes) = (self.host_of_client(number), plan.sends.max(1));
        self.hosts[host].stack.write(self.now, client.socket, bytes, &mut self.effects);
        self.carry_out(host);
        self.after(every, Happening::Talk(number));
    }

    /// The host of remote clients comes with the first of them.
    fn open_clients_host(&mut self) {
        if self.crowd.host.is_none() {
            let clients = host("clients", REMOTE, self.clients_kernel, self.chance.next());
            self.hosts.push(clients);
            self.crowd.host = Some(self.hosts.len() - 1);
        }
    }

    /// Which server a remote client connects to: those that its group names, in turn.
    fn address_for(&self, number: u32) -> Ipv4Addr {
        let group = self.crowd.clients[number as usize].group;
        let remote = self.crowd.groups[group as usize].plan.remote.as_ref();
        let to = remote.map(|remote| remote.to.as_slice()).unwrap_or_default();
        let name = to.get(number as usize % to.len().max(1));
        let named = name.and_then(|name| self.hosts.iter().find(|host| host.name == *name));
        named.unwrap_or(&self.hosts[0]).address
    }

    /// The server has sent something, or has closed; then the client closes too.
    pub(crate) fn client_readable(&mut self, number: u32, closed: bool) {
        let client = self.crowd.clients[number as usize];
        let host = self.host_of_client(number);
        self.hosts[host].stack.read(client.socket);
        if closed && client.state == Life::Connected {
            self.close_client(number);
            self.come_back(number);
        }
    }

    pub(crate) fn client_broken(&mut self, number: u32) {
        let client = &mut self.crowd.clients[number as usize];
        let group = client.group;
        if client.state == Life::Connected {
            self.crowd.groups[group as usize].outcomes.reset += 1;
        }
        self.close_client(number);
        self.crowd.enter(number, Life::Failed);
        self.come_back(number);
    }

    /// A client's patience or stay may be over: of an older time, nothing follows.
    pub(crate) fn client_leaves(&mut self, number: u32) {
        let client = self.crowd.clients[number as usize];
        let group = &mut self.crowd.groups[client.group as usize];
        let limit = match client.state {
            Life::Connecting => group.patience,
            Life::Connected => group.stays,
            Life::Before | Life::Over | Life::Failed => None,
        };
        if limit.is_some_and(|limit| client.since + limit <= self.now) {
            group.outcomes.gave_up += u64::from(client.state == Life::Connecting);
            self.close_client(number);
            self.come_back(number);
        }
    }

    /// Each client of a name closes.
    pub(crate) fn close_clients(&mut self, name: &str) {
        for number in self.clients_of(name) {
            self.close_client(number);
        }
    }

    /// Each client of a name aborts.
    pub(crate) fn reset_clients(&mut self, name: &str) {
        for number in self.clients_of(name) {
            let client = self.crowd.clients[number as usize];
            let host = self.host_of_client(number);
            self.hosts[host].stack.abort(self.now, client.socket, &mut self.effects);
            self.crowd.enter(number, Life::Over);
            self.carry_out(host);
        }
    }

    /// Each connected client of a name sends.
    pub(crate) fn send_from_clients(&mut self, name: &str, bytes: u32) {
        for number in self.clients_of(name) {
            let client = self.crowd.clients[number as usize];
            if client.state == Life::Connected {
                let host = self.host_of_client(number);
                self.hosts[host].stack.write(self.now, client.socket, bytes, &mut self.effects);
                self.carry_out(host);
            }
        }
    }

    fn clients_of(&self, name: &str) -> Vec<u32> {
        let groups = self.crowd.group(name);
        let lives = |client: &Client| matches!(client.state, Life::Connecting | Life::Connected);
        let all = (0..).zip(&self.crowd.clients);
        all.filter(|(_, c)| lives(c) && groups.contains(&c.group)).map(|(n, _)| n).collect()
    }

    fn close_client(&mut self, number: u32) {
        let host = self.host_of_client(number);
        self.crowd.enter(number, Life::Over);
        let socket = self.crowd.clients[number as usize].socket;
        self.hosts[host].stack.close(self.now, socket, &mut self.effects);
        self.carry_out(host);
    }

    fn host_of_client(&self, number: u32) -> usize {
        let client = &self.crowd.clients[number as usize];
        match self.crowd.groups[client.group as usize].plan.way {
            Way::Loopback | Way::Wire => 0,
            Way::Network => self.crowd.host.unwrap_or(0),
        }
    }
}
