//! What every thread of a process is in, told without stopping the process.
//!
//! A thread that sits in a system call shows its stack pointer and program counter in
//! `/proc/PID/task/TID/syscall`. Its stack is copied as another process's memory and unwound here;
//! the kernel's count of its time slices proves that it did not move meanwhile. ptrace is not used for
//! that: it would make `epoll_wait` and other calls of the process fail with EINTR.
//!
//! [`complete`] is what callers want: it takes a [`halfopen_evidence::Process`] as the collector read
//! it and adds stacks. Its stages:
//!
//! 1. `copy`: registers and stack bytes of each thread, with the proof that they belong together;
//!    `running`: the same of threads that run, as samples that the kernel takes;
//! 2. `module`: unwinding tables and symbols of the files that the process runs;
//! 3. `walk` and `calls`: from registers, bytes and tables to the calls that have not returned;
//! 4. `symbols`, `perf_map` and `naming`: from addresses to functions and lines;
//! 5. `waiting` and `owners`: what a thread waits for, as far as the functions that it is in tell, and
//!    who holds a lock that does not name its owner.
//!
//! [`complete_by_stopping`] stops threads by ptrace, for the stacks that are to be had in no other way, and
//! only where the user has chosen it.
//!
//! [`runtimes`] ask the runtime of a language besides, which knows names, functions and owners of locks
//! that are in no file. That is more than looking, and done only where the user has chosen it.

#[cfg(any(test, feature = "fuzzing"))]
pub mod arbitrary;
mod calls;
mod complete;
mod copy;
mod demangle;
mod elf;
mod give_way;
mod module;
mod naming;
mod owners;
mod perf_map;
mod running;
pub mod runtimes;
mod stopping;
mod symbols;
mod waiting;
mod walk;

pub use complete::{Options, complete};
pub use give_way::give_way;
pub use stopping::{Stops, complete_by_stopping, without_stack};
