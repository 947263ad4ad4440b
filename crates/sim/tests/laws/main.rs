//! Laws: what holds whatever comes in, on every kernel.
//!
//! `play.rs` says which laws the stack is held to after each act; here are the acts, and what holds of
//! two plays or of a whole simulation.

mod acts;
mod play;
mod simulation;

use proptest::prelude::*;

use acts::{acts, quiet_acts, quiet_setting, setting};
use play::Play;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// Whatever peers send and programs do: numbers add up, queues keep their limits, counters are the
    /// sums of reasons, timers fire in time, nothing panics, and all that can end ends.
    #[test]
    fn whatever_happens_the_numbers_add_up((setting, acts) in (setting(), acts())) {
        let mut play = Play::new(&setting);
        acts.into_iter().for_each(|act| play.act(act));
        play.end();
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// A kernel's secret decides sequence numbers and nothing that can be counted, as long as it has
    /// no cookies to check, no group to choose from and no port to find. Kernels that look at a
    /// request when its bucket has its turn are left out: buckets are hashes.
    #[test]
    fn the_secret_decides_nothing_that_can_be_counted(
        (setting, acts, secret) in (quiet_setting(), quiet_acts(), any::<u64>()),
    ) {
        let mut one = Play::new(&setting);
        let mut other = Play::new(&play::Setting { secret, ..setting });
        for act in acts {
            one.act(act);
            other.act(act);
        }
        prop_assert_eq!(one.summary(), other.summary());
    }
}
