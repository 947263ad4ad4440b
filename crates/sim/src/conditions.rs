//! States that a scenario waits for, looked up in the servers' host.

use halfopen_model::{Counter, CounterTable, TcpState};
use halfopen_scenario::{
    ClientCondition, Condition, ConnectionState, Connections, Counted, ThreadCondition, ThreadState,
};

use crate::error::SimError;
use crate::programs::Doing;
use crate::world::World;

/// What was seen of a condition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) holds: bool,
    pub(crate) number: u64,
}

impl World {
    pub(crate) fn observe(&self, condition: &Condition) -> Result<Seen, SimError> {
        let (number, count) = match condition {
            Condition::Queue { port, count } => (self.longest_queue(*port), *count),
            Condition::Connections(wanted) => (self.connections(wanted), wanted.count),
            Condition::Counter { name, count } => (self.counter(name)?, *count),
            Condition::Clients(ClientCondition { of, state, count }) => {
                (self.crowd.count(of, *state), *count)
            }
            Condition::Thread(thread) => (u64::from(self.thread_is(thread)), Counted::AtLeast(1)),
        };
        Ok(Seen { holds: count.holds(number), number })
    }

    fn longest_queue(&self, port: u16) -> u64 {
        let views = self.hosts[0].stack.listener_views();
        let of_port = views.filter(|(_, view)| view.local.port() == port);
        of_port.map(|(_, view)| u64::from(view.accept_queue.depth)).max().unwrap_or(0)
    }

    fn connections(&self, wanted: &Connections) -> u64 {
        let state = match wanted.state {
            ConnectionState::SynRecv => TcpState::NewSynRecv,
            ConnectionState::Established => TcpState::Established,
            ConnectionState::CloseWait => TcpState::CloseWait,
        };
        let views = self.hosts[0].stack.socket_views(self.now);
        let is_one = |view: &halfopen_model::tcp::SocketView| {
            view.local.port() == wanted.port
                && view.state == state
                && wanted.accepted.is_none_or(|accepted| accepted == view.held)
        };
        views.filter(is_one).count() as u64
    }

    fn counter(&self, name: &str) -> Result<u64, SimError> {
        let tables = [CounterTable::TcpExt, CounterTable::Tcp, CounterTable::Ip];
        let counter = tables.into_iter().find_map(|table| Counter::find(table, name));
        let counter = counter.ok_or_else(|| SimError::UnknownCounter(name.to_owned()))?;
        Ok(self.hosts[0].stack.counters().value(counter))
    }

    fn thread_is(&self, wanted: &ThreadCondition) -> bool {
        self.programs.threads.iter().any(|thread| {
            let process = &self.programs.processes[thread.process as usize];
            let state = match thread.doing {
                Doing::Gone => Some(ThreadState::Gone),
                Doing::InLock(_) => Some(ThreadState::InLock),
                Doing::Sleeping | Doing::Pausing | Doing::OutOfDescriptors => {
                    Some(ThreadState::InSleep)
                }
                Doing::Connecting(_) => Some(ThreadState::InConnect),
                Doing::Reading(_) => Some(ThreadState::InRead),
                Doing::Waiting | Doing::WaitingToBeTold | Doing::Computing => None,
            };
            process.name == wanted.process
                && thread.plan.name == wanted.name
                && state == Some(wanted.state)
        })
    }
}
