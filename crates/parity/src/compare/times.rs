//! When a segment may come.
//!
//! A kernel sends because a segment has come ([`Origin::Answer`]), because a timer has fired
//! ([`Origin::Timer`]) or because a program wants it to ([`Origin::Program`]); module `flows` tells
//! them apart. An answer is measured from the segment before it in its flow; what a timer sends again,
//! from the last time that it was sent: the kernel may be late by what its wheel allows for a timer of
//! that length. Both may be late by [`BUSY`], and early, since what they are measured from may be late.
//!
//! Programs of the lab, its wire among them, are scheduled like any other, and on a busy machine that
//! takes hundreds of milliseconds; what the kernel decided about what they send shows in the order. So
//! [`SCHEDULED`] bounds it only roughly. It is measured from the segment before it, or from the look
//! before it if that fits better: a look of the lab waits for the kernel to come to rest, which takes
//! the model no time. The first segment of a flow is a program's, and its time is not compared.

use halfopen_scenario::{Account, Picture};

use super::TimerWheel;

/// What a busy machine may add to what the kernel does by itself, in microseconds. Left alone, it adds
/// less than 3 ms.
const BUSY: u64 = 40_000;

/// What it may add to what programs do.
const SCHEDULED: u64 = 1_000_000;

/// The clocks of two accounts.
pub(super) struct Clock {
    kernel_looks: Vec<u64>,
    model_looks: Vec<u64>,
    wheel: TimerWheel,
}

/// Why a segment is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Another has come.
    Answer,
    /// A timer has fired.
    Timer,
    /// A program acts.
    Program,
}

impl Clock {
    pub(super) fn new(kernel: &Account, model: &Account, wheel: TimerWheel) -> Self {
        let times =
            |account: &Account| account.looks.iter().map(|look: &Picture| look.at_us).collect();
        Self { kernel_looks: times(kernel), model_looks: times(model), wheel }
    }

    /// Whether a segment came in time, given the time that it is measured from and its own, of both
    /// accounts; otherwise both waits in words.
    pub(super) fn agree(
        &self,
        kernel: (u64, u64),
        model: (u64, u64),
        origin: Origin,
    ) -> Result<(), (String, String)> {
        let wait = |(before, at): (u64, u64)| at.saturating_sub(before);
        let (kernel_wait, model_wait) = (wait(kernel), wait(model));
        let in_time = match origin {
            Origin::Answer | Origin::Timer => self.is_in_time(kernel_wait, model_wait, BUSY),
            Origin::Program => {
                self.is_in_time(kernel_wait, model_wait, SCHEDULED)
                    || self.agree_since_look(kernel.1, model.1)
            }
        };
        if in_time { Ok(()) } else { Err((words(kernel_wait), words(model_wait))) }
    }

    fn agree_since_look(&self, kernel: u64, model: u64) -> bool {
        let looks = self.kernel_looks.iter().zip(&self.model_looks);
        let before = looks.take_while(|(look, _)| **look <= kernel).last();
        let Some((kernel_look, model_look)) = before else { return false };
        let Some(model) = model.checked_sub(*model_look) else { return false };
        self.is_in_time(kernel - kernel_look, model, SCHEDULED)
    }

    const fn is_in_time(&self, kernel: u64, model: u64, load: u64) -> bool {
        kernel + load >= model && kernel <= model + self.wheel.lateness_us(model) + load
    }
}

fn words(us: u64) -> String {
    format!("{}.{:03} ms later", us / 1_000, us % 1_000)
}
