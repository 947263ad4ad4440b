//! Captures of one path at two points: which handshakes are the same, by how much the clocks differ, and
//! where what one point saw and the other did not was lost.
//!
//! ```text
//!  packets of each point --- Survey ---> Relation (same handshakes? clocks, ways)
//!  the same again, by one clock --- Joiner ---> Joined (handshake, crossing)
//! ```
//!
//! - `survey` looks at a sample of handshakes of each point; `clock` bounds the offset.
//! - `trace` keeps what is compared of an attempt; `pairing` says which segment is which.
//! - `join` runs a tracker per point and brings their handshakes together; `crossing` says where
//!   segments ended, `outcome` what the handshake came to.
//!
//! What is not done: a segment of an established connection is not followed, and data is compared by
//! whether there was any. Where both sequence numbers are rewritten nothing can be compared.

mod clock;
mod crossing;
mod join;
mod outcome;
mod pairing;
mod survey;
#[cfg(test)]
mod tests;
mod trace;
mod waiting;

pub use clock::{Bounds, Clock};
pub use join::{Joined, Joiner};
pub use survey::{Coverage, Relation, Survey};
