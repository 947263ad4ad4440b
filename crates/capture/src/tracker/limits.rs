//! How much a tracker may keep, and for how long.

/// Bounds of memory and time. Time is the capture's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows kept at a time: some 150 bytes each, 90 to 180 more for those whose SYN or SYN-ACK was
    /// sent again.
    pub max_flows: usize,
    /// How long an established connection may be idle before it is told: longer than the two hours
    /// after which Linux asks whether the other end is still there.
    pub idle_ns: i64,
    /// How long a connection that was closed is remembered for the sake of the next one with its
    /// addresses. It is told earlier.
    pub closed_ns: i64,
    /// When to tell a connection that both ends have taken, counted from its beginning, if not at its
    /// end: for those who watch live. What happens on it later is then not told.
    pub established_ns: Option<i64>,
    /// Where hashing begins. Another number for each run makes captures that were prepared to be slow
    /// useless; results do not depend on it.
    pub hash_seed: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_flows: 1_000_000,
            idle_ns: 7_500_000_000_000,
            closed_ns: 62_000_000_000,
            established_ns: None,
            hash_seed: 0x243f_6a88_85a3_08d3,
        }
    }
}
