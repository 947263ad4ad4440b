//! Why the kernel's socket diagnostics gave no answer.

use std::io;

use super::decode::DecodeError;

/// Why the kernel's socket diagnostics gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum DiagError {
    /// The kernel has no TCP socket diagnostics, and could not load the modules.
    #[error(
        "this kernel has no TCP socket diagnostics loaded: `modprobe inet_diag tcp_diag` as root (CONFIG_INET_DIAG, CONFIG_INET_TCP_DIAG)"
    )]
    NoInetDiag,
    /// A system call on the netlink socket failed.
    #[error("netlink sock_diag: {operation}: {source}")]
    Call {
        /// Which.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused the request.
    #[error("netlink sock_diag: the kernel refused the request: {0}")]
    Refused(io::Error),
    /// The kernel did not go on.
    #[error("netlink sock_diag: no answer within {seconds} s")]
    TimedOut {
        /// How long was waited.
        seconds: u64,
    },
    /// The kernel dropped part of the answer for want of buffer space.
    #[error("netlink sock_diag: part of the answer was lost (ENOBUFS)")]
    Lost,
    /// A message was not what it should be.
    #[error("netlink sock_diag: {0}")]
    Decode(#[from] DecodeError),
}
