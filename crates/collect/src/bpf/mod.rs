//! What only BPF programs can tell.
//!
//! Their source is in `bpf/`, and beside it what `cargo xtask bpf` builds of it, so that nobody needs
//! clang to build this crate. Each program is loaded on its own and when it is first needed: a kernel
//! that refuses one of them costs what that one tells. Nothing is pinned, so all of it is gone with
//! the process.
//!
//! - `object` holds the built programs.
//! - `kernel` is the running kernel's side: whether it lets us, and its types.
//! - `iterator` loads programs that walk over objects of the kernel and reads what they write.
//! - `enums` reads the names of the kernel's reasons.
//! - `holders` finds the processes that hold sockets.
//! - `syn_queues` reads SYN queues.
//! - `threads` reads the threads of a process.
//! - `trace` watches handshakes.
//! - `programs` keeps what was loaded.

mod enums;
mod holders;
mod iterator;
mod kernel;
mod object;
mod programs;
mod syn_queues;
mod threads;
mod trace;

pub(crate) use holders::HolderTable;
pub use programs::Programs;
pub(crate) use syn_queues::{SynQueues, SynQueuesRead};
pub(crate) use threads::{TaskRow, TaskTable};
pub use trace::{AcceptWaits, Counts, Lack, TraceWanted, Tracer};
