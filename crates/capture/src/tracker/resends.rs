//! What is kept only of flows whose SYN, SYN-ACK or first data was sent more than once.

use halfopen_evidence::Sends;

use super::lapse::Lapse;

/// As many times are kept as [`Sends`] tells.
const KEPT: usize = 8;

/// See the module's text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Resends {
    pub(super) syns: Times,
    pub(super) syn_acks: Times,
    /// When the first data that the server has not answered was sent last.
    pub(super) data_last: Lapse,
    /// How often it was sent again.
    pub(super) data_again: u16,
    /// Whether the first SYN-ACK echoed another timestamp than the last SYN's.
    pub(super) echo_of_earlier_syn: bool,
}

/// The times of segments of one kind; the first eight, and the last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    count: u32,
    first: [Lapse; KEPT],
    last: Lapse,
}

impl Times {
    /// One segment.
    pub(super) fn one(at: Lapse) -> Self {
        let mut times = Self::default();
        times.push(at);
        times
    }

    /// Adds one, in its place.
    pub(super) fn push(&mut self, at: Lapse) {
        let kept = self.kept();
        let place = self.first[..kept].partition_point(|&earlier| earlier <= at);
        if place < KEPT {
            self.first.copy_within(place..KEPT - 1, place + 1);
            self.first[place] = at;
        }
        self.count = self.count.saturating_add(1);
        self.last = self.last.max(at);
    }

    pub(super) const fn last(&self) -> Lapse {
        self.last
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// The first ones.
    pub(super) fn first(&self) -> &[Lapse] {
        &self.first[..self.kept()]
    }

    pub(super) fn sends(&self) -> Sends {
        Sends { count: self.count, at_us: self.first().iter().map(|at| at.us()).collect() }
    }

    /// Counts from an earlier beginning.
    pub(super) fn delay(&mut self, ns: u64) {
        let kept = self.kept();
        for at in &mut self.first[..kept] {
            *at = at.delayed(ns);
        }
        self.last = self.last.delayed(ns);
    }

    fn kept(&self) -> usize {
        (self.count as usize).min(KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_order_and_the_first_eight_stay() {
        let mut times = Times::default();
        for at in [5_u64, 1, 3, 2, 9, 8, 7, 6, 4, 10] {
            times.push(Lapse::of(at * 1000));
        }
        let sends = Sends { count: 10, at_us: vec![1, 2, 3, 4, 5, 6, 7, 8].into() };
        assert_eq!((times.sends(), times.last()), (sends, Lapse::of(10_000)));
    }
}
