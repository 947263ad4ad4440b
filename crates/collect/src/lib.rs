//! Collectors: everything that reads a live host, and nothing that judges it.
//!
//! A [`Collector`] takes a [`halfopen_evidence::Snapshot`] of what its [`Scope`] names, fetches what
//! the rules then ask for, and samples queues and threads between two looks. It changes nothing on
//! the host, stops no process, and keeps no list of sockets: rows of a netlink dump are folded as
//! they stream by.
//!
//! - [`netlink`] speaks `sock_diag`: the hot path, parsed by hand.
//! - `bpf` loads programs into the kernel, for what sockets and files do not show.
//! - `namespaces` finds every network namespace and enters it on a thread of its own.
//! - [`packets`] watches handshakes on the wire, for `halfopen trace`.
//! - `proc` reads processes, threads, descriptors and control groups.
//! - `sysctls`, `counters`, `sockstat` and `conntrack` read the small files of a namespace.
//! - `look`, `fetch` and `watch` put these together.

pub mod bpf;
mod collector;
mod conntrack;
mod counters;
mod error;
mod fetch;
mod files;
mod gaps;
mod host;
mod in_time;
mod look;
mod lookups;
mod namespaces;
pub mod netlink;
pub mod packets;
mod privilege;
pub mod proc;
mod scope;
mod sockstat;
mod sysctls;
mod watch;

pub use collector::Collector;
pub use error::CollectError;
pub use in_time::in_time;
pub use lookups::{ListeningSocket, SocketLookups};
pub use namespaces::WatchedNetns;
pub use scope::{NetnsScope, Scope};
