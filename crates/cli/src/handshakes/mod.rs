//! What `pcap` and `trace` say of handshakes alike: outcomes in words, sums, verdicts and tables.
//!
//! - `class`, `ids`, `words`, `notes`: one handshake.
//! - `totals`, `histogram`, `over_time`: what many add up to, in bounded memory.
//! - `verdict`, `tables`, `json`: what the rules make of that, and how it is shown.

pub(crate) mod class;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod found;
pub(crate) mod histogram;
pub(crate) mod ids;
pub(crate) mod json;
pub(crate) mod notes;
pub(crate) mod over_time;
pub(crate) mod tables;
pub(crate) mod totals;
pub(crate) mod verdict;
pub(crate) mod words;
