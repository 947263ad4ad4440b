//! When SYN and SYN-ACK are sent again.

use crate::{Semantics, SynGiveUp};

/// Longest time between two retransmissions, in milliseconds (`TCP_RTO_MAX`, 120 s).
pub(crate) const RTO_MAX_MS: u64 = 120_000;

/// Shortest time-out, in milliseconds (`TCP_RTO_MIN`, 200 ms).
pub(crate) const RTO_MIN_MS: u64 = 200;

/// What decides a client's SYN timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynRetries {
    /// First time-out in milliseconds.
    pub initial_rto_ms: u32,
    /// `tcp_syn_retries`.
    pub retries: u8,
    /// `tcp_syn_linear_timeouts`; 0 on kernels without it.
    pub linear: u8,
    /// When the attempt ends.
    pub give_up: SynGiveUp,
}

/// What the timer of a SYN does when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynTimeout {
    /// The SYN is sent again, and the timer fires again after so many milliseconds.
    SendAgain {
        /// Milliseconds to the next time.
        next_ms: u64,
    },
    /// `connect()` ends with ETIMEDOUT.
    GiveUp,
}

impl SynRetries {
    /// The timetable of a kernel whose sysctls were not changed.
    #[must_use]
    pub const fn defaults(semantics: &Semantics) -> Self {
        Self {
            initial_rto_ms: semantics.timers.initial_rto_ms,
            retries: semantics.client.syn_retries_default,
            linear: semantics.client.syn_linear_timeouts_default,
            give_up: semantics.client.syn_give_up,
        }
    }

    /// Milliseconds from the first SYN to retransmission number `n` (1 is the first one).
    ///
    /// The first `linear` retransmissions keep the same distance, then it doubles
    /// (net/ipv4/tcp_timer.c `tcp_retransmit_timer`). Timer slack can add up to 2.5 %.
    #[must_use]
    pub fn sent_after_ms(self, n: u16) -> u64 {
        (0..n).map(|step| self.wait_ms(step)).sum()
    }

    /// What happens when the timer fires after `sent` retransmissions, `elapsed_ms` after the first
    /// SYN (`tcp_write_timeout`).
    #[must_use]
    pub fn on_timeout(self, sent: u16, elapsed_ms: u64) -> SynTimeout {
        let by_time = elapsed_ms >= self.boundary_ms();
        let by_count = sent >= u16::from(self.retries) + u16::from(self.linear);
        let over = match self.give_up {
            SynGiveUp::CountOrElapsed => by_time || by_count,
            SynGiveUp::Elapsed | SynGiveUp::ElapsedOfShortestRto => by_time,
        };
        if over {
            SynTimeout::GiveUp
        } else {
            SynTimeout::SendAgain { next_ms: self.wait_ms(sent.saturating_add(1)) }
        }
    }

    /// When each SYN is sent, in milliseconds from the first one.
    #[must_use]
    pub fn sent_ms(self) -> Vec<u64> {
        let end = self.gives_up_after_ms();
        (0..=u16::MAX).map(|n| self.sent_after_ms(n)).take_while(|&at| at < end).collect()
    }

    /// Milliseconds from the first SYN to ETIMEDOUT.
    #[must_use]
    pub fn gives_up_after_ms(self) -> u64 {
        let fires = (1..=u16::MAX).map(|n| (n, self.sent_after_ms(n)));
        let mut over = fires.filter(|&(n, at)| self.on_timeout(n - 1, at) == SynTimeout::GiveUp);
        over.next().map_or(u64::MAX, |(_, at)| at)
    }

    /// Milliseconds that the kernel waits after retransmission `n` before the next step.
    const fn wait_ms(self, n: u16) -> u64 {
        let doublings = n.saturating_sub(self.linear as u16);
        let doublings = if doublings > 16 { 16 } else { doublings };
        let wait = (self.initial_rto_ms as u64) << doublings;
        if wait > RTO_MAX_MS { RTO_MAX_MS } else { wait }
    }

    /// How long all retries would take if each wait doubled (`tcp_model_timeout`).
    const fn boundary_ms(self) -> u64 {
        let base = match self.give_up {
            SynGiveUp::ElapsedOfShortestRto => RTO_MIN_MS,
            SynGiveUp::Elapsed | SynGiveUp::CountOrElapsed => self.initial_rto_ms as u64,
        };
        let base = if base == 0 { 1 } else { base };
        let doubling = if base > RTO_MAX_MS { 0 } else { (RTO_MAX_MS / base).ilog2() as u64 };
        let retries = self.retries as u64;
        if retries <= doubling {
            ((2 << retries) - 1) * base
        } else {
            ((2 << doubling) - 1) * base + (retries - doubling) * RTO_MAX_MS
        }
    }
}

/// Milliseconds from the first SYN-ACK to retransmission number `n` (1 is the first one):
/// 1, 3, 7, 15, 31 s on kernels whose first time-out is 1 s (`reqsk_timer_handler`).
#[must_use]
pub fn syn_ack_sent_after_ms(initial_rto_ms: u32, n: u16) -> u64 {
    (0..n).map(|step| syn_ack_wait_ms(initial_rto_ms, step)).sum()
}

/// Milliseconds that the kernel waits for the third ACK after so many time-outs.
pub(crate) fn syn_ack_wait_ms(initial_rto_ms: u32, timeouts: u16) -> u64 {
    (u64::from(initial_rto_ms) << timeouts.min(16)).min(RTO_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelVersion;

    fn timetable(kernel: &str) -> (Vec<u64>, u64) {
        let version: KernelVersion = kernel.parse().expect("a release");
        let syn = SynRetries::defaults(&Semantics::of(version));
        let sent = (1..=u16::from(syn.retries + syn.linear))
            .map(|n| syn.sent_after_ms(n) / 1000)
            .collect();
        (sent, syn.gives_up_after_ms() / 1000)
    }

    #[test]
    fn syn_timetables_of_the_generations() {
        assert_eq!(timetable("3.0.101"), (vec![3, 9, 21, 45, 93], 189));
        assert_eq!(timetable("2.6.32.2").1, 21);
        assert_eq!(timetable("3.6.11"), (vec![1, 3, 7, 15, 31], 63));
        assert_eq!(timetable("5.10.0"), (vec![1, 3, 7, 15, 31, 63], 127));
        assert_eq!(timetable("6.18.44"), (vec![1, 2, 3, 4, 5, 7, 11, 19, 35, 67], 131));
    }

    #[test]
    fn elapsed_time_ends_the_attempt_before_the_count_does() {
        let give_up = SynGiveUp::CountOrElapsed;
        let syn = SynRetries { initial_rto_ms: 1000, retries: 2, linear: 4, give_up };
        assert_eq!(syn.gives_up_after_ms(), 7000);
    }

    #[test]
    fn a_first_timeout_beyond_the_longest_one_is_cut_to_it() {
        let give_up = SynGiveUp::CountOrElapsed;
        let syn = SynRetries { initial_rto_ms: u32::MAX, retries: 2, linear: 0, give_up };
        assert_eq!(syn.gives_up_after_ms(), 360_000);
    }

    #[test]
    fn syn_ack_distance_doubles_and_is_capped() {
        let sent: Vec<u64> = (1..=5).map(|n| syn_ack_sent_after_ms(1000, n) / 1000).collect();
        assert_eq!(sent, [1, 3, 7, 15, 31]);
        assert_eq!(syn_ack_sent_after_ms(1000, 9) - syn_ack_sent_after_ms(1000, 8), 120_000);
    }

    #[test]
    fn a_syn_is_sent_until_the_attempt_ends() {
        let sent = |kernel: &str| {
            let version: KernelVersion = kernel.parse().expect("a release");
            SynRetries::defaults(&Semantics::of(version)).sent_ms()
        };
        assert_eq!(sent("2.6.32.2"), [0, 3000, 9000]);
        assert_eq!(sent("3.6.0"), [0, 1000, 3000, 7000, 15_000, 31_000]);
    }
}
