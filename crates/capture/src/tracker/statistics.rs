//! What a tracker counts.

/// See the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Segments taken in.
    pub segments: u64,
    /// Attempts, and connections whose beginning was not seen.
    pub handshakes: u64,
    /// Segments that begin a handshake or end one and were captured twice.
    pub duplicates: u64,
    /// Segments whose numbers are not those of the attempt.
    pub strays: u64,
    /// Packets with an earlier time than one before them.
    pub out_of_order: u64,
    /// ICMP errors about a segment that was seen.
    pub icmp_errors: u64,
    /// ICMP errors about others.
    pub icmp_strays: u64,
    /// Flows that ended because another attempt used their addresses.
    pub superseded: u64,
    /// Flows that were forgotten because they were over or idle.
    pub timed_out: u64,
    /// Flows that had to go because the table was full.
    pub evicted: u64,
    /// Most flows at a time.
    pub most_flows: usize,
}
