//! The kernel's timer wheel: how late a timer may fire (kernel/time/timer.c `calc_wheel_index`, from
//! 4.8).
//!
//! A timer goes into a level by its distance and is rounded up to a step of that level: one tick in the
//! first, eight times as long in each further one. So at 250 ticks a second a timer of one second is
//! up to 32 ms late, one of four seconds up to 256 ms. The model's timers are never late.

/// The wheel of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerWheel {
    /// The length of a tick (1 / CONFIG_HZ) in microseconds.
    pub tick_us: u64,
}

/// Distances below `LVL_SIZE - 1` ticks are in the first level.
const FIRST_LEVEL: u64 = 63;

/// How much coarser each level is (`LVL_CLK_DIV`).
const COARSER: u64 = 8;

/// The number of levels; at 100 ticks a second there is one less (`LVL_DEPTH`), of no matter here.
const LEVELS: u32 = 9;

impl TimerWheel {
    /// How late a timer of this length fires at most, in microseconds.
    pub(super) const fn lateness_us(self, length_us: u64) -> u64 {
        let ticks = length_us / self.tick_us;
        let mut level = 0;
        let (mut step, mut end) = (1, FIRST_LEVEL);
        while ticks >= end && level + 1 < LEVELS {
            level += 1;
            step *= COARSER;
            end *= COARSER;
        }
        // A part of the present tick has passed already when the timer is set.
        (step + 1) * self.tick_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_eight_times_coarser() {
        let wheel = TimerWheel { tick_us: 4_000 };
        for (length_ms, late_ms) in [
            (0, 8),
            (200, 8),
            (251, 8),
            (252, 36),
            (1_000, 36),
            (2_015, 36),
            (2_016, 260),
            (4_000, 260),
        ] {
            assert_eq!(wheel.lateness_us(length_ms * 1_000), late_ms * 1_000, "{length_ms} ms");
        }
        assert_eq!(TimerWheel { tick_us: 1_000 }.lateness_us(1_000_000), 65_000);
    }
}
