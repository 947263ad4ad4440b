//! What `/proc` tells about processes: which of them hold a socket, whether they may run, and what
//! each of their threads waits for.
//!
//! No process is stopped and nothing is written. Three readers, by price:
//!
//! - [`find_holders`] walks the descriptors of every process: dear, so its [`Extent`] is a choice.
//! - [`read_process`] reads everything about one process; [`read_schedules`] only how long its threads
//!   ran.
//! - [`ThreadSampler`] looks again and again at what the threads of one process do.
//!
//! All take their [`ProcRoot`], so tests run on a directory tree that looks like `/proc`. What they
//! read was written by processes that may be hostile: every file is read up to a bound, and every
//! parser in [`parse`] takes any bytes. Not seen: descriptors of threads that unshared their
//! descriptor table, and io_uring requests on sockets that are in no descriptor table at all.
//!
//! A [`ProcessImage`] gives registers, memory and mapped files to who unwinds stacks.
//!
//! Reading a process's memory (`/proc/PID/mem`) takes its `mmap_lock`; a process that is stuck
//! inside the kernel while it holds that lock blocks the reader with it. Callers that must answer
//! in time run [`read_process`] and [`ThreadSampler::sample`] on a thread of their own.

mod calls;
mod cgroup;
mod descriptors;
mod dir;
mod epoll;
mod futex;
mod holders;
mod image;
mod in_root;
mod kernel_stack;
mod memory;
pub mod parse;
mod process;
mod root;
mod shared;
mod strangers;
mod subject;
mod threads;
mod waits;

pub(crate) use holders::add_holder;
pub use holders::{Extent, HolderFindings, find_holders};
pub use image::ProcessImage;
pub(crate) use process::read_process_beside;
pub use process::{read_activity, read_process, read_schedules};
pub use root::ProcRoot;
pub use threads::{ThreadSample, ThreadSampler};

#[cfg(test)]
mod tests;
