//! Handshakes as they happen, by programs at the kernel's tracepoints and functions.
//!
//! - `programs` are the programs, what each tells, and which take the place of which.
//! - `settings` is what they are told to tell.
//! - `event` reads what they tell.
//! - `counts` reads what they have counted.
//! - `tracer` puts these together.

mod counts;
mod event;
mod programs;
mod settings;
mod tracer;

pub use counts::{AcceptWaits, Counts};
pub use programs::Lack;
pub use settings::TraceWanted;
pub use tracer::Tracer;
