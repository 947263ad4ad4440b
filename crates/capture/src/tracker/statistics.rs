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

impl Statistics {
    /// Of two trackers together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            segments: self.segments + other.segments,
            handshakes: self.handshakes + other.handshakes,
            duplicates: self.duplicates + other.duplicates,
            strays: self.strays + other.strays,
            out_of_order: self.out_of_order + other.out_of_order,
            icmp_errors: self.icmp_errors + other.icmp_errors,
            icmp_strays: self.icmp_strays + other.icmp_strays,
            superseded: self.superseded + other.superseded,
            timed_out: self.timed_out + other.timed_out,
            evicted: self.evicted + other.evicted,
            most_flows: self.most_flows + other.most_flows,
        }
    }
}
