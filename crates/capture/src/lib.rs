//! From the bytes of a capture to handshakes. Pure: bytes and segments go in, values come out.
//!
//! ```text
//!  bytes --- container ---> Packet --- decode ---> Observed --- Tracker ---> Handshake
//!            (pcap, pcapng,            (link layer,             (flow table,
//!             gz, zst, lz4)             tunnels, TCP)            outcomes)
//! ```
//!
//! - `container` pulls packets out of a stream of bytes through one bounded buffer.
//! - `decode` finds the TCP segment in a packet, or the one that an ICMP error quotes.
//! - `filter` picks segments by addresses, ports and VLANs, in the words of tcpdump.
//! - `tracker` follows each attempt to its outcome, within bounds of memory and time; live packet
//!   sockets can feed it too.
//! - `points` brings the handshakes of two points on one path together.
//! - `tally` counts handshakes per listener and per client; `timetable` says whose SYNs a client's are.
//!
//! Nothing in a packet can make it fail: what is damaged is told with its record and offset, and the
//! rest goes on.

mod bursts;
mod client_tally;
mod container;
mod decode;
mod distinct;
mod filter;
mod latency;
mod nearness;
mod observed;
mod points;
#[cfg(any(test, feature = "script"))]
pub mod script;
mod tally;
mod timetable;
mod tracker;
mod warning;

pub use container::{ContainerError, LinkType, Packet, Reader};
pub use decode::{Counts, Decoder, Malformed, Scopes, Tunnels};
pub use distinct::Distinct;
pub use filter::{Filter, FilterError};
pub use latency::Latency;
pub use nearness::Nearness;
pub use observed::{
    Address, FastOpen, IcmpError, IcmpKind, Observed, SegmentOptions, TcpSegment, TimestampOption,
};
pub use points::{Bounds, Clock, Coverage, Joined, Joiner, Relation, Survey};
pub use tally::{ListenerTally, Tallied, Tally, TallyLimits};
pub use timetable::{System, Timetable};
pub use tracker::{Limits, Statistics, Tracker};
pub use warning::{Problem, Warning, Warnings};
