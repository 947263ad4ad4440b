//! A deterministic simulator: the lab's scenarios on any kernel, at any size, in no time.
//!
//! [`simulate`] plays a [`halfopen_scenario::Scenario`] on hosts whose kernels are
//! [`halfopen_model::tcp::Stack`]s, with paths between them and programs on them, and yields what the
//! collectors would yield of real ones: [`halfopen_evidence::Evidence`], over which the rules of
//! `halfopen-diagnose` run unchanged, and the [`halfopen_scenario::Account`] that the lab gives of
//! the running kernel, so that the two can be compared.
//!
//! Everything happens in the order of its time, and of equal times in the order in which it was
//! caused; what is left to chance follows from a seed. The same scenario and the same seed give the
//! same bytes.
//!
//! Begin reading at `world.rs`: the loop in which everything happens.

mod account;
mod budget;
mod chance;
mod clients;
mod conditions;
mod cpu;
mod error;
mod host;
mod ids;
mod options;
pub mod overrides;
mod path;
pub mod pcap;
mod peers;
mod processes;
mod programs;
mod run;
mod simulate;
mod snapshot;
mod steps;
mod tap;
mod watch;
mod world;

pub use clients::Outcomes;
pub use error::SimError;
pub use options::{Awaited, Options};
pub use run::{ClientsSummary, HostSummary, Moment, MomentKind, Run};
pub use simulate::{account, simulate};
pub use snapshot::BEGINNING_UNIX_MS;
pub use tap::Packet;
pub use watch::{QueueSample, Sample};
