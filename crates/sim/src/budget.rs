//! How much may happen: a scenario that lets too much happen is given up, and not waited for.

use crate::error::SimError;
use crate::world::World;

/// Sockets, clients and threads that a look goes over in the time of one event.
const LOOKED_AT_IN_AN_EVENT: usize = 64;

/// How much may happen in a simulation, and how much has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    most: u64,
    spent: u64,
}

impl Budget {
    pub(crate) const fn new(most: u64) -> Self {
        Self { most, spent: 0 }
    }

    pub(crate) const fn spend(&mut self, events: u64) {
        self.spent = self.spent.saturating_add(events);
    }

    /// From then on nothing happens any more, so that whoever waits for something sees it soon.
    pub(crate) const fn is_spent(self) -> bool {
        self.spent > self.most
    }
}

impl World {
    /// Fails if more has happened than may.
    pub(crate) fn check_budget(&self) -> Result<(), SimError> {
        if self.budget.is_spent() {
            let (events, seconds) = (self.budget.most, self.now.as_millis() / 1000);
            return Err(SimError::TooLong { events, seconds });
        }
        Ok(())
    }

    /// A look over everything there is takes time too.
    pub(crate) fn spend_look(&mut self) {
        let sockets: usize = self.hosts.iter().map(|host| host.stack.sockets()).sum();
        let all = sockets + self.crowd.clients.len() + self.programs.threads.len();
        self.budget.spend(1 + (all / LOOKED_AT_IN_AN_EVENT) as u64);
    }
}
