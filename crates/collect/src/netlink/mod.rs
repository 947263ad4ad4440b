//! Socket diagnostics over netlink: the requests, the messages that answer them, and the socket.

pub mod decode;
mod error;

pub use error::DiagError;
