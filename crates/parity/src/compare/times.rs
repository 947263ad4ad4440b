//! When a segment may come.
//!
//! A time is measured from the segment before it in its flow. The first segment of a flow is a
//! program's, and its time is not compared.
//!
//! A segment that is sent again after [`SHORTEST_TIMER`] or more is a timer's: the kernel may be late
//! by what its wheel allows for a timer of that length, and by [`TIMERS`]. It may be early by that
//! too, since then the segment before it was late.
//!
//! What comes at once or for the first time is an answer or a program's. Programs of the lab, its wire
//! among them, are scheduled like any other, so it may be late or early by [`PROGRAMS`]; what the
//! kernel decided about such a segment shows in the order. A look of the lab waits for the kernel to
//! come to rest, which takes the model no time, so what a client sends has a second chance: its time
//! since the look before it. What a server sends again has none, since that is never a program's.

use halfopen_scenario::{Account, Picture};

use super::TimerWheel;

/// No retransmission timer is shorter, in microseconds (`TCP_RTO_MIN`).
const SHORTEST_TIMER: u64 = 200_000;

/// What a busy machine may add to a timer of the kernel, in microseconds. Left alone, it adds less
/// than 3 ms.
const TIMERS: u64 = 40_000;

/// What it may add to what programs do.
const PROGRAMS: u64 = 300_000;

/// The clocks of two accounts.
pub(super) struct Clock {
    kernel_looks: Vec<u64>,
    model_looks: Vec<u64>,
    wheel: TimerWheel,
}

/// How a segment was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) by_server: bool,
    /// Whether the same one was sent before.
    pub(super) again: bool,
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
        sent: Sent,
    ) -> Result<(), (String, String)> {
        let wait = |(before, at): (u64, u64)| at.saturating_sub(before);
        let (kernel_wait, model_wait) = (wait(kernel), wait(model));
        let is_timer = sent.again && model_wait >= SHORTEST_TIMER;
        let load = if is_timer { TIMERS } else { PROGRAMS };
        let has_second_chance = !(sent.again && sent.by_server);
        if self.is_in_time(kernel_wait, model_wait, load)
            || has_second_chance && self.agree_since_look(kernel.1, model.1)
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
        self.is_in_time(kernel - kernel_look, model, PROGRAMS)
    }

    const fn is_in_time(&self, kernel: u64, model: u64, load: u64) -> bool {
        kernel + load >= model && kernel <= model + self.wheel.lateness_us(model) + load
    }
}

fn words(us: u64) -> String {
    format!("{}.{:03} ms later", us / 1_000, us % 1_000)
}
