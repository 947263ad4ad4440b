//! When a segment may come.
//!
//! A time is measured from the segment before it in its flow. The kernel may be late by what its timer
//! wheel allows for a timer of that length, and by [`LOAD`] for a machine that is busy; it may be
//! early by [`LOAD`] too, since then the segment before it was late. The first segment of a flow is
//! a program's, and its time is not compared.
//!
//! Programs also send later: when a step of the scenario says so. Each look of the lab waits for the
//! kernel to come to rest, which takes the model no time, so such a segment has a second chance: its
//! time since the look before it. A SYN-ACK or data that a server sends again is never a program's and
//! has no second chance.

use halfopen_scenario::{Account, Picture};

use super::TimerWheel;

/// What programs and a busy machine may add, in microseconds.
pub(super) const LOAD: u64 = 60_000;

/// The clocks of two accounts.
pub(super) struct Clock {
    kernel_looks: Vec<u64>,
    model_looks: Vec<u64>,
    wheel: TimerWheel,
}

impl Clock {
    pub(super) fn new(kernel: &Account, model: &Account, wheel: TimerWheel) -> Self {
        let times =
            |account: &Account| account.looks.iter().map(|look: &Picture| look.at_us).collect();
        Self { kernel_looks: times(kernel), model_looks: times(model), wheel }
    }

    /// Whether a segment came in time, given the times of the one before it and its own; otherwise
    /// both waits in words.
    pub(super) fn agree(
        &self,
        kernel: (u64, u64),
        model: (u64, u64),
        by_kernel: bool,
    ) -> Result<(), (String, String)> {
        let wait = |(before, at): (u64, u64)| at.saturating_sub(before);
        let (kernel_wait, model_wait) = (wait(kernel), wait(model));
        if self.is_in_time(kernel_wait, model_wait)
            || !by_kernel && self.agree_since_look(kernel.1, model.1)
        {
            return Ok(());
        }
        Err((words(kernel_wait), words(model_wait)))
    }

    fn agree_since_look(&self, kernel: u64, model: u64) -> bool {
        let looks = self.kernel_looks.iter().zip(&self.model_looks);
        let before = looks.take_while(|(look, _)| **look <= kernel).last();
        let Some((kernel_look, model_look)) = before else { return false };
        let Some(model) = model.checked_sub(*model_look) else { return false };
        self.is_in_time(kernel - kernel_look, model)
    }

    const fn is_in_time(&self, kernel: u64, model: u64) -> bool {
        kernel + LOAD >= model && kernel <= model + self.wheel.lateness_us(model) + LOAD
    }
}

fn words(us: u64) -> String {
    format!("{}.{:03} ms later", us / 1_000, us % 1_000)
}
