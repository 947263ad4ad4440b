//! From what the kernel tells of handshakes while they happen to handshakes.
//!
//! Programs in the kernel tell of single steps, each at the end of the connection where it happens
//! ([`halfopen_evidence::KernelEvent`]). An [`Assembler`] puts those of one attempt together and
//! says how it came out. Time is an argument; nothing is read and nothing is printed.
//!
//! - `attempt` is what is known of one attempt, and what its outcome is.
//! - `ends` says which end of a connection an event is about.
//! - `assembler` keeps the attempts, and tells of them when there is something to tell.

mod assembler;
mod attempt;
mod ends;
mod told;

pub use assembler::Assembler;
pub use told::{Assembled, FailedCall, Listens, Told};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
