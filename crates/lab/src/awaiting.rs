//! Waiting for a state of the scenario: it is looked at until it is there or its time is over.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halfopen_scenario::{
    ClientCondition, Condition, ConnectionState, Connections, ThreadCondition,
};

use crate::host::{Host, LOOK};
use crate::look::{self, Socket, state};

/// What was seen of a condition.
struct Seen {
    holds: bool,
    what: String,
}

impl Host {
    pub(crate) fn await_condition(
        &mut self,
        condition: &Condition,
        within: Duration,
    ) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let begin = Instant::now();
            let seen = self.observe(condition)?;
            let took = begin.elapsed();
            if seen.holds {
                return Ok(());
            }
            self.servers.check_alive().with_context(|| format!("while awaiting {condition}"))?;
            if Instant::now() > deadline {
                bail!("{condition} did not come within {within:?}; last seen: {}", seen.what);
            }
            // On a slow machine looking must not be all that it does.
            thread::sleep(LOOK.max(took * 4));
        }
    }

    fn observe(&mut self, condition: &Condition) -> Result<Seen> {
        let (number, count) = match condition {
            Condition::Queue { port, count } => {
                let sockets = look::sockets()?;
                let listeners =
                    sockets.iter().filter(|s| s.state == state::LISTEN && s.local_port == *port);
                (listeners.map(|s| s.receive_queue).max().unwrap_or(0), *count)
            }
            Condition::Connections(connections) => {
                let sockets = look::sockets()?;
                let number = sockets.iter().filter(|socket| is_one(socket, connections)).count();
                (number as u64, connections.count)
            }
            Condition::Counter { name, count } => {
                let value = look::counter(name)?;
                (value.with_context(|| format!("the kernel has no counter {name}"))?, *count)
            }
            Condition::Clients(ClientCondition { of, state, count }) => {
                (self.group(of)?.count(*state), *count)
            }
            Condition::Thread(thread) => return self.observe_thread(thread),
        };
        Ok(Seen { holds: count.holds(number), what: number.to_string() })
    }

    /// One process of that name is enough.
    fn observe_thread(&self, thread: &ThreadCondition) -> Result<Seen> {
        let mut holds = false;
        let mut what = Vec::new();
        for actor in self.servers.of(&thread.process) {
            let state = look::thread_state(actor.pid(), &thread.name)?;
            holds |= state == Some(thread.state);
            what.push(format!("{state:?}"));
        }
        Ok(Seen { holds, what: what.join(", ") })
    }
}

fn is_one(socket: &Socket, wanted: &Connections) -> bool {
    let state = match wanted.state {
        ConnectionState::SynRecv => state::SYN_RECV,
        ConnectionState::Established => state::ESTABLISHED,
        ConnectionState::CloseWait => state::CLOSE_WAIT,
    };
    socket.local_port == wanted.port
        && socket.state == state
        && wanted.accepted.is_none_or(|accepted| accepted == (socket.inode != 0))
}
