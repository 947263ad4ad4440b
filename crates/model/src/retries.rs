//! When SYN and SYN-ACK are sent again.

use crate::Semantics;

/// Longest time between two retransmissions, in milliseconds (`TCP_RTO_MAX`, 120 s).
const RTO_MAX_MS: u64 = 120_000;

/// What decides a client's SYN timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynRetries {
    /// First time-out in milliseconds.
    pub initial_rto_ms: u32,
    /// `tcp_syn_retries`.
    pub retries: u8,
    /// `tcp_syn_linear_timeouts`; 0 on kernels without it.
    pub linear: u8,
}

impl SynRetries {
    /// The timetable of a kernel whose sysctls were not changed.
    #[must_use]
    pub const fn defaults(semantics: &Semantics) -> Self {
        Self {
            initial_rto_ms: semantics.initial_rto_ms,
            retries: semantics.syn_retries_default,
            linear: semantics.syn_linear_timeouts_default,
        }
    }

    /// Milliseconds from the first SYN to retransmission number `n` (1 is the first one).
    ///
    /// The first `linear` retransmissions keep the same distance, then it doubles
    /// (net/ipv4/tcp_timer.c `tcp_retransmit_timer`). Timer slack can add up to 2.5 %.
    #[must_use]
    pub fn sent_after_ms(self, n: u8) -> u64 {
        (0..n).map(|step| self.wait_ms(step)).sum()
    }

    /// Milliseconds that the kernel waits after retransmission `n` before the next step.
    fn wait_ms(self, n: u8) -> u64 {
        let doublings = u32::from(n.saturating_sub(self.linear)).min(16);
        (u64::from(self.initial_rto_ms) << doublings).min(RTO_MAX_MS)
    }

    /// Milliseconds from the first SYN to ETIMEDOUT.
    ///
    /// From 6.5 on the elapsed time counts as well as the number of retransmissions, and the earlier
    /// of the two ends the attempt (`tcp_write_timeout`).
    #[must_use]
    pub fn gives_up_after_ms(self) -> u64 {
        let by_count =
            self.sent_after_ms(self.retries.saturating_add(self.linear).saturating_add(1));
        if self.linear == 0 {
            return by_count;
        }
        let doublings = u32::from(self.retries).saturating_add(1).min(16);
        let boundary = ((1_u64 << doublings) - 1) * u64::from(self.initial_rto_ms);
        // The time is looked at when the timer fires: the first firing at or after the boundary.
        (1..=self.retries.saturating_add(self.linear).saturating_add(1))
            .map(|n| self.sent_after_ms(n))
            .find(|&fired| fired >= boundary)
            .map_or(by_count, |fired| fired.min(by_count))
    }
}

/// Milliseconds from the first SYN-ACK to retransmission number `n` (1 is the first one):
/// 1, 3, 7, 15, 31 s on kernels whose first time-out is 1 s (`reqsk_timer_handler`).
#[must_use]
pub fn syn_ack_sent_after_ms(initial_rto_ms: u32, n: u8) -> u64 {
    SynRetries { initial_rto_ms, retries: n, linear: 0 }.sent_after_ms(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelVersion;

    fn timetable(kernel: &str) -> (Vec<u64>, u64) {
        let version: KernelVersion = kernel.parse().expect("a release");
        let syn = SynRetries::defaults(&Semantics::of(version));
        let sent = (1..=syn.retries + syn.linear).map(|n| syn.sent_after_ms(n) / 1000).collect();
        (sent, syn.gives_up_after_ms() / 1000)
    }

    #[test]
    fn syn_timetables_of_the_generations() {
        assert_eq!(timetable("3.0.101"), (vec![3, 9, 21, 45, 93], 189));
        assert_eq!(timetable("3.6.11"), (vec![1, 3, 7, 15, 31], 63));
        assert_eq!(timetable("5.10.0"), (vec![1, 3, 7, 15, 31, 63], 127));
        assert_eq!(timetable("6.18.44"), (vec![1, 2, 3, 4, 5, 7, 11, 19, 35, 67], 131));
    }

    #[test]
    fn elapsed_time_ends_the_attempt_before_the_count_does() {
        let syn = SynRetries { initial_rto_ms: 1000, retries: 2, linear: 4 };
        assert_eq!(syn.gives_up_after_ms(), 7000);
    }

    #[test]
    fn syn_ack_distance_doubles_and_is_capped() {
        let sent: Vec<u64> = (1..=5).map(|n| syn_ack_sent_after_ms(1000, n) / 1000).collect();
        assert_eq!(sent, [1, 3, 7, 15, 31]);
        assert_eq!(syn_ack_sent_after_ms(1000, 9) - syn_ack_sent_after_ms(1000, 8), 120_000);
    }
}
