//! Filters that the kernel evaluates: only sockets with a port in some set are sent.
//!
//! The kernel runs a small program over each socket (net/ipv4/inet_diag.c `inet_diag_bc_run`). An
//! operation is four bytes: `code`, `yes`, `no`, where `yes` and `no` say how many bytes to go on by.
//! A program accepts by ending exactly at its end and refuses by jumping four bytes beyond it. All
//! jumps go forward, and only to places that following `yes` alone would reach
//! (`inet_diag_bc_audit`).

use super::uapi;

/// More ranges than this are joined: the kernel tries them one after the other for each socket.
const RANGES_MAX: usize = 64;

/// Bytes of one range's program: a comparison is two operations, and a jump follows them.
const RANGE_LEN: usize = 2 * 8 + 4;

/// Ports, as ranges in order that neither touch nor overlap, and the end that must have one.
///
/// With many ports the filter lets more through than it was asked for, never less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortFilter {
    ranges: Vec<(u16, u16)>,
    ends: Ends,
}

/// Which end of a connection a filter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Local,
    Either,
}

/// The operations that compare a local port with the ends of a range.
const LOCAL: (u8, u8) = (uapi::INET_DIAG_BC_S_GE, uapi::INET_DIAG_BC_S_LE);

/// The same for a remote port.
const REMOTE: (u8, u8) = (uapi::INET_DIAG_BC_D_GE, uapi::INET_DIAG_BC_D_LE);

impl PortFilter {
    /// A filter for local ports in these ranges (first and last port), and these single ones.
    #[must_use]
    pub fn new(
        ranges: impl IntoIterator<Item = (u16, u16)>,
        ports: impl IntoIterator<Item = u16>,
    ) -> Self {
        let ports = ports.into_iter().map(|port| (port, port));
        let mut all: Vec<(u16, u16)> =
            ranges.into_iter().chain(ports).filter(|(low, high)| low <= high).collect();
        all.sort_unstable();
        let mut joined: Vec<(u16, u16)> = Vec::with_capacity(all.len());
        for (low, high) in all {
            match joined.last_mut() {
                Some(last) if u32::from(low) <= u32::from(last.1) + 1 => last.1 = last.1.max(high),
                _ => joined.push((low, high)),
            }
        }
        join_nearest(&mut joined, RANGES_MAX);
        Self { ranges: joined, ends: Ends::Local }
    }

    /// The same filter, for connections with such a port at either end.
    #[must_use]
    pub fn at_either_end(self) -> Self {
        Self { ends: Ends::Either, ..self }
    }

    /// Whether no port passes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a socket with these ports passes.
    #[must_use]
    pub fn passes(&self, local: u16, remote: u16) -> bool {
        let has = |port| self.ranges.iter().any(|&(low, high)| low <= port && port <= high);
        has(local) || (self.ends == Ends::Either && has(remote))
    }

    /// The program, for `INET_DIAG_REQ_BYTECODE`. Empty for an empty filter, which the kernel would
    /// take for "everything": ask [`Self::is_empty`] first.
    #[must_use]
    pub fn program(&self) -> Vec<u8> {
        let ends: &[(u8, u8)] = match self.ends {
            Ends::Local => &[LOCAL],
            Ends::Either => &[LOCAL, REMOTE],
        };
        let tests = self.ranges.len() * ends.len();
        let last = tests.saturating_sub(1);
        // The last range needs no jump to the end.
        let length = (tests * RANGE_LEN).saturating_sub(4);
        let mut program = Vec::with_capacity(length);
        let each_end =
            self.ranges.iter().flat_map(|range| ends.iter().map(move |end| (range, end)));
        for (index, (&(low, high), &(at_least, at_most))) in each_end.enumerate() {
            let at = program.len();
            let left = length - at;
            let otherwise = if index == last { left + 4 } else { RANGE_LEN };
            compare(&mut program, at_least, low, otherwise);
            compare(&mut program, at_most, high, otherwise - 8);
            if index != last {
                operation(&mut program, uapi::INET_DIAG_BC_JMP, 4, left - 16);
            }
        }
        program
    }
}

/// Joins the ranges that are nearest to each other until so many are left.
fn join_nearest(ranges: &mut Vec<(u16, u16)>, most: usize) {
    if ranges.len() <= most {
        return;
    }
    let mut gaps: Vec<(u16, usize)> =
        ranges.windows(2).enumerate().map(|(index, pair)| (pair[1].0 - pair[0].1, index)).collect();
    let joins = ranges.len() - most;
    gaps.select_nth_unstable(joins - 1);
    let mut closed = vec![false; ranges.len()];
    for &(_, index) in &gaps[..joins] {
        closed[index] = true;
    }
    let mut joined: Vec<(u16, u16)> = Vec::with_capacity(most);
    for (index, &(low, high)) in ranges.iter().enumerate() {
        match joined.last_mut() {
            Some(last) if index > 0 && closed[index - 1] => last.1 = high,
            _ => joined.push((low, high)),
        }
    }
    *ranges = joined;
}

/// A comparison with a port: the port is the `no` of a second operation.
fn compare(program: &mut Vec<u8>, code: u8, port: u16, otherwise: usize) {
    operation(program, code, 8, otherwise);
    program.extend([0, 0]);
    program.extend(port.to_ne_bytes());
}

fn operation(program: &mut Vec<u8>, code: u8, yes: u8, no: usize) {
    program.extend([code, yes]);
    // At most RANGES_MAX ranges of RANGE_LEN bytes for each end: far below 65536.
    program.extend(u16::try_from(no).unwrap_or(u16::MAX).to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn op(program: &[u8], at: usize) -> (u8, usize, usize) {
        let no = u16::from_ne_bytes([program[at + 2], program[at + 3]]);
        (program[at], usize::from(program[at + 1]), usize::from(no))
    }

    /// `inet_diag_bc_run`.
    fn runs(program: &[u8], local: u16, remote: u16) -> bool {
        let mut at = 0;
        while at < program.len() {
            let (code, yes, no) = op(program, at);
            let holds = match code {
                uapi::INET_DIAG_BC_JMP => false,
                uapi::INET_DIAG_BC_S_GE => usize::from(local) >= op(program, at + 4).2,
                uapi::INET_DIAG_BC_S_LE => usize::from(local) <= op(program, at + 4).2,
                uapi::INET_DIAG_BC_D_GE => usize::from(remote) >= op(program, at + 4).2,
                uapi::INET_DIAG_BC_D_LE => usize::from(remote) <= op(program, at + 4).2,
                _ => panic!("operation {code}"),
            };
            at += if holds { yes } else { no };
        }
        at == program.len()
    }

    /// `inet_diag_bc_audit` with `valid_cc` and `valid_port_comparison`.
    fn passes_audit(program: &[u8]) -> bool {
        let on_the_way = |target: usize| {
            let mut at = 0;
            while at < target {
                at += op(program, at).1;
            }
            at == target
        };
        let mut at = 0;
        while at < program.len() {
            let (code, yes, no) = op(program, at);
            let left = program.len() - at;
            let least = if code == uapi::INET_DIAG_BC_JMP { 4 } else { 8 };
            let far = no < least || no > left + 4 || no % 4 != 0;
            if far || (no < left && !on_the_way(at + no)) {
                return false;
            }
            if yes < least || yes > left + 4 || yes % 4 != 0 {
                return false;
            }
            at += yes;
        }
        at == program.len()
    }

    #[test]
    fn ports_that_touch_become_one_range() {
        let filter = PortFilter::new([(100, 200), (150, 250)], [251, 80, 81, 65535, 65535]);
        assert_eq!(filter.ranges, [(80, 81), (100, 251), (65535, 65535)]);
        assert!(PortFilter::new([], []).is_empty());
        assert!(PortFilter::new([], []).program().is_empty());
    }

    #[test]
    fn many_ports_are_joined_where_the_gap_is_smallest() {
        let filter = PortFilter::new([], (0..100_u16).map(|n| n * 10).chain([5000]));
        assert_eq!(filter.ranges.len(), RANGES_MAX);
        assert_eq!(filter.ranges.last(), Some(&(5000, 5000)));
        assert!((0..100).all(|n| filter.passes(n * 10, 0)));
        assert!(!filter.passes(4000, 4000));
    }

    proptest! {
        #[test]
        fn the_program_passes_the_kernels_audit_and_accepts_the_filters_ports(
            ranges in proptest::collection::vec((any::<u16>(), 0..2000_u16), 1..100),
            probes in proptest::collection::vec(any::<u16>(), 50),
            either in any::<bool>(),
        ) {
            let filter = PortFilter::new(
                ranges.iter().map(|&(low, len)| (low, low.saturating_add(len))),
                [],
            );
            let filter = if either { filter.at_either_end() } else { filter };
            let program = filter.program();
            prop_assert!(passes_audit(&program));
            let edges = ranges.iter().flat_map(|&(low, len)| {
                let high = low.saturating_add(len);
                [low, high, low.saturating_sub(1), high.saturating_add(1)]
            });
            let outside = (0..=u16::MAX).find(|&port| !filter.passes(port, port)).unwrap_or(0);
            for port in probes.into_iter().chain(edges) {
                for (local, remote) in [(port, outside), (outside, port), (port, port)] {
                    prop_assert_eq!(
                        runs(&program, local, remote),
                        filter.passes(local, remote),
                        "{} and {}", local, remote
                    );
                }
            }
            for (low, len) in ranges {
                let high = low.saturating_add(len);
                prop_assert!(filter.passes(low, outside) && filter.passes(high, outside));
                prop_assert!(!either || filter.passes(outside, low));
            }
        }
    }
}
