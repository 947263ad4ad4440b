//! The search for a local port (net/ipv4/inet_hashtables.c `__inet_hash_connect`).

use super::hash;
use crate::{FirstPort, PortRange, PortSearch};

/// Who uses which local port, and where searches begin.
#[derive(Clone, Debug)]
pub(super) struct Ports {
    secret: u64,
    /// Sockets that were bound to each port, listeners above all: connect() leaves such a port alone.
    /// Made with the first one.
    bound: Vec<u32>,
    first: FirstPort,
    /// One hint, or a table of them by destination; made with the first search.
    hints: Vec<u32>,
    searches: u64,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The port, if one was free.
    pub(super) port: Option<u16>,
    /// Ports looked at.
    pub(super) visited: u32,
}

impl Ports {
    pub(super) const fn new(first: FirstPort, secret: u64) -> Self {
        Self { secret, bound: Vec::new(), first, hints: Vec::new(), searches: 0 }
    }

    pub(super) fn bind(&mut self, port: u16) {
        if self.bound.is_empty() {
            self.bound = vec![0; 1 << 16];
        }
        self.bound[usize::from(port)] += 1;
    }

    pub(super) fn unbind(&mut self, port: u16) {
        if let Some(bound) = self.bound.get_mut(usize::from(port)) {
            *bound = bound.saturating_sub(1);
        }
    }

    fn is_bound(&self, port: u16) -> bool {
        self.bound.get(usize::from(port)).is_some_and(|&bound| bound > 0)
    }

    /// Looks for a port. `may_have` says whether one that nobody
    /// was bound to is free for this connection;
    /// `destination` is a hash of the addresses.
    pub(super) fn search(
        &mut self,
        range: PortRange,
        order: PortSearch,
        destination: u64,
        mut may_have: impl FnMut(u16) -> bool,
    ) -> Found {
        let slot = self.slot(destination);
        let offset = self.hints[slot].wrapping_add(hash::low(destination >> 32));
        let walk = Walk::of(range, order, offset);
        let mut visited = 0;
        for pass in 0..walk.passes {
            let mut step = 0;
            while step < walk.remaining {
                let port = walk.port(pass, step);
                visited += 1;
                if !self.is_bound(port) && may_have(port) {
                    self.leave_behind(slot, order, step + walk.first);
                    return Found { port: Some(port), visited };
                }
                step += walk.step;
            }
        }
        Found { port: None, visited }
    }

    /// The next search for this destination begins behind the port that was found.
    fn leave_behind(&mut self, slot: usize, order: PortSearch, step: u32) {
        self.searches += 1;
        let noise = hash::low(hash::mix(self.secret ^ self.searches));
        let advance = match (self.first, order) {
            (_, PortSearch::OnePass) => step,
            (FirstPort::OneHint, PortSearch::TwoPasses) => step + 2,
            // 1/16 of the searches skip a port more (c579bd1b4021).
            (FirstPort::HintPerDestination { slots: 256 }, PortSearch::TwoPasses) => {
                if noise.is_multiple_of(16) { step + 4 } else { step + 2 }
            }
            (FirstPort::HintPerDestination { .. }, PortSearch::TwoPasses) => {
                step.max(noise % 8 * 2) + 2
            }
        };
        self.hints[slot] = self.hints[slot].wrapping_add(advance);
    }

    fn slot(&mut self, destination: u64) -> usize {
        let slots = match self.first {
            FirstPort::OneHint => 1,
            FirstPort::HintPerDestination { slots } => slots,
        };
        if self.hints.is_empty() {
            self.hints = vec![0; slots as usize];
        }
        hash::low(destination) as usize & (self.hints.len() - 1)
    }
}

/// The order in which ports are tried.
#[derive(Clone, Copy, Debug)]
struct Walk {
    low: u16,
    remaining: u32,
    start: u32,
    /// Where the first step leads.
    first: u32,
    step: u32,
    passes: u32,
}

impl Walk {
    fn of(range: PortRange, order: PortSearch, offset: u32) -> Self {
        let all = range.len();
        let low = range.low;
        match order {
            PortSearch::OnePass => {
                Self { low, remaining: all, start: offset % all, first: 1, step: 1, passes: 1 }
            }
            // Two passes need an even number of ports; an odd one at the end is never tried.
            PortSearch::TwoPasses if all > 1 => {
                let remaining = all & !1;
                let start = (offset % remaining) & !1;
                Self { low, remaining, start, first: 0, step: 2, passes: 2 }
            }
            PortSearch::TwoPasses => {
                Self { low, remaining: 1, start: 0, first: 0, step: 2, passes: 1 }
            }
        }
    }

    fn port(&self, pass: u32, step: u32) -> u16 {
        let mut place = self.start + pass + step + self.first;
        while place >= self.remaining {
            place -= self.remaining;
        }
        // The place lies within the range.
        self.low.saturating_add(u16::try_from(place).unwrap_or(u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: PortRange = PortRange { low: 40_000, high: 40_009 };

    fn taken_in_turn(first: FirstPort, order: PortSearch) -> (Vec<u16>, Found) {
        let mut ports = Ports::new(first, 3);
        let mut taken = Vec::new();
        loop {
            let found = ports.search(RANGE, order, 77 << 32, |port| !taken.contains(&port));
            match found.port {
                Some(port) => taken.push(port),
                None => return (taken, found),
            }
        }
    }

    #[test]
    fn two_passes_take_all_ports_of_one_parity_first() {
        let slots = FirstPort::HintPerDestination { slots: 65_536 };
        let (taken, last) = taken_in_turn(slots, PortSearch::TwoPasses);
        assert_eq!(taken.len(), 10);
        assert!(taken[..5].iter().all(|port| port % 2 == 0), "{taken:?}");
        assert!(taken[5..].iter().all(|port| port % 2 == 1), "{taken:?}");
        assert_eq!(last, Found { port: None, visited: 10 });
    }

    #[test]
    fn one_pass_takes_one_port_after_the_other() {
        let (taken, last) = taken_in_turn(FirstPort::OneHint, PortSearch::OnePass);
        let next = |port: u16| if port == RANGE.high { RANGE.low } else { port + 1 };
        assert!(taken.windows(2).all(|pair| pair[1] == next(pair[0])), "{taken:?}");
        assert_eq!((taken.len(), last.visited), (10, 10));
    }

    #[test]
    fn a_search_beyond_half_of_the_range_visits_the_whole_first_half() {
        let mut ports = Ports::new(FirstPort::HintPerDestination { slots: 65_536 }, 3);
        let even_taken = |port: u16| port % 2 == 1;
        let found = ports.search(RANGE, PortSearch::TwoPasses, 0, even_taken);
        assert_eq!(found.visited, 6);
    }

    #[test]
    fn a_range_of_one_port_has_one_port() {
        let range = PortRange { low: 5, high: 5 };
        for order in [PortSearch::OnePass, PortSearch::TwoPasses] {
            let mut ports = Ports::new(FirstPort::OneHint, 3);
            assert_eq!(ports.search(range, order, 9, |_| true).port, Some(5));
        }
    }
}
