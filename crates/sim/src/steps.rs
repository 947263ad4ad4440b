//! Plays the steps of a scenario, one after the other.

use std::net::Ipv4Addr;

use halfopen_model::{ConntrackTable, Span};
use halfopen_scenario::{Clients, Handshakes, PeersSend, Step, Way};

use crate::clients::Life;
use crate::error::SimError;
use crate::host::Host;
use crate::path::HOP;
use crate::peers::UNROUTABLE;
use crate::programs::KeptBy;
use crate::simulate::host;
use crate::world::{Happening, World};

/// How long a client that comes in turn over the wire waits for what does not come, as in the lab.
const TURN: Span = Span::from_millis(250);

/// How often an awaited state is looked at, as in the lab.
const LOOK: Span = Span::from_millis(2);

impl World {
    /// Plays one step.
    pub(crate) fn play(&mut self, step: &Step) -> Result<(), SimError> {
        match step {
            Step::Serve(server) => {
                let host = self.server_host(server.host.as_deref())?;
                self.serve(server, host)?;
            }
            Step::Connect(clients) => self.connect(clients),
            Step::Arrivals(arrivals) => self.arrivals(arrivals),
            Step::Await { condition, within } => return self.wait_for(condition, *within),
            Step::Stop { process } => self.keep_process(process, KeptBy::Signal),
            Step::Freeze { process } => self.keep_process(process, KeptBy::Freezer),
            Step::Close { clients } => self.close_clients(clients),
            Step::Reset { clients } => self.reset_clients(clients),
            Step::Send { clients, bytes } => self.send_from_clients(clients, *bytes),
            Step::Peers(peers) => {
                let syns = self.peers.start(peers);
                self.send_from_peers(syns);
            }
            Step::PeersSend(send) => self.peers_send(send),
            Step::Accept { port, count, process } => {
                self.tell_to_accept(*port, *count, process.as_deref());
            }
            Step::Listen { process, port, backlog } => self.listen_again(process, *port, *backlog),
            Step::End { process } => self.end_process(process),
            Step::Pass { time } => self.advance(self.now + Span::from(*time)),
            Step::Look { .. } => {}
            Step::Network(network) => self.path.become_like(*network),
            Step::Path(loss) => self.path.lose(*loss),
            Step::Conntrack { host, max } => self.track(host.as_deref(), *max)?,
            Step::Sysctl { set } => return self.set(set),
        }
        self.settle();
        Ok(())
    }

    /// Writes settings of the servers' hosts.
    pub(crate) fn set(&mut self, settings: &[(String, String)]) -> Result<(), SimError> {
        for index in (0..self.hosts.len()).filter(|&host| Some(host) != self.crowd.host) {
            set_on(&mut self.hosts[index], settings)?;
        }
        self.settings.extend_from_slice(settings);
        Ok(())
    }

    /// The servers' host of this name, made if it is new; without a name, the first one.
    fn server_host(&mut self, name: Option<&str>) -> Result<usize, SimError> {
        let Some(name) = name else { return Ok(0) };
        if let Some(known) = self.hosts.iter().position(|host| host.name == name) {
            return Ok(known);
        }
        let number = u8::try_from(self.hosts.len()).unwrap_or(u8::MAX);
        let address = Ipv4Addr::new(10, 77, number, 1);
        let kernel = self.hosts[0].kernel;
        let mut new = host(name, address, kernel, self.chance.next());
        set_on(&mut new, &self.settings)?;
        self.hosts.push(new);
        Ok(self.hosts.len() - 1)
    }

    fn track(&mut self, host: Option<&str>, max: u32) -> Result<(), SimError> {
        let host = self.server_host(host)?;
        self.hosts[host].conntrack = Some(ConntrackTable::new(max, self.chance.next()));
        Ok(())
    }

    /// Lets a state come about, or fails.
    fn wait_for(
        &mut self,
        condition: &halfopen_scenario::Condition,
        within: std::time::Duration,
    ) -> Result<(), SimError> {
        let deadline = self.now + Span::from(within);
        loop {
            self.spend_look();
            self.check_budget()?;
            let seen = self.observe(condition)?;
            if seen.holds {
                return Ok(());
            }
            if self.now >= deadline {
                return Err(SimError::NotReached {
                    condition: condition.to_string(),
                    seconds: within.as_secs(),
                    seen: seen.number,
                });
            }
            self.advance((self.now + LOOK).min(deadline));
        }
    }

    fn connect(&mut self, clients: &Clients) {
        if let Handshakes::HalfOpen { unroutable } = clients.handshakes {
            return self.lone_syns(clients.port, clients.count, unroutable);
        }
        let group = self.new_group(clients, None, None);
        if clients.way == Way::Wire && clients.handshakes == Handshakes::InTurn {
            for _ in 0..clients.count {
                self.start_clients(group, 1);
                self.await_turn();
            }
            return;
        }
        let over = self.start_clients(group, clients.count);
        self.advance(over);
    }

    /// Over the wire, the last client has its turn until it is connected or has failed.
    fn await_turn(&mut self) {
        let deadline = self.now + TURN;
        let Some(last) = self.crowd.clients.len().checked_sub(1) else { return };
        while self.crowd.clients[last].state == Life::Connecting && self.step(deadline) {}
        if self.crowd.clients[last].state == Life::Connecting {
            self.advance(deadline);
        }
    }

    fn arrivals(&mut self, arrivals: &halfopen_scenario::Arrivals) {
        let Handshakes::HalfOpen { unroutable } = arrivals.clients.handshakes else {
            return self.arrive_from_now(arrivals);
        };
        let number = self.peers.expect(arrivals, unroutable);
        self.schedule.put(self.now, Span::from(arrivals.every), Happening::Silent(number));
    }

    /// The next silent peers of an arrival process.
    pub(crate) fn silent_peers_arrive(&mut self, number: u32) {
        let Some((every, arriving)) = self.peers.next_arrival(number) else { return };
        self.schedule.put(self.now, every, Happening::Silent(number));
        self.lone_syns(arriving.port, arriving.count, arriving.unroutable);
    }

    pub(crate) fn lone_syns(&mut self, port: u16, count: u32, unroutable: bool) {
        self.budget.spend(u64::from(count));
        if self.budget.is_spent() {
            return;
        }
        if unroutable {
            self.hosts[0].stack.lose_route(UNROUTABLE);
        }
        let syns = (0..count).map(|_| self.peers.lone_syn(port, unroutable)).collect();
        self.send_from_peers(syns);
    }

    fn peers_send(&mut self, send: &PeersSend) {
        if send.segment.acknowledges() {
            let deadline = self.now + Span::from(PeersSend::PATIENCE);
            while !self.peers.are_answered(&send.peers, send.count) && self.step(deadline) {}
        }
        let segments = self.peers.send(&send.peers, send.count, send.segment);
        self.send_from_peers(segments);
    }

    fn send_from_peers(&mut self, segments: Vec<halfopen_model::tcp::Segment>) {
        for segment in segments {
            self.arrive_from_peer(segment);
        }
    }

    /// Lets what is on its way over loopback and the wire arrive, with what answers it at once.
    pub(crate) fn settle(&mut self) {
        let rest = Span::from_micros(8 * HOP.as_micros());
        self.advance(self.now + rest);
    }
}

fn set_on(host: &mut Host, settings: &[(String, String)]) -> Result<(), SimError> {
    for (name, value) in settings {
        let semantics = *host.stack.semantics();
        host.stack.sysctls_mut().set(name, value, &semantics).map_err(|problem| {
            SimError::Sysctl { name: name.clone(), value: value.clone(), problem }
        })?;
    }
    Ok(())
}
