//! Why nothing could be collected at all.
//!
//! What is missing in part is no error: it is a [`halfopen_evidence::Missing`] in its place, or a
//! [`halfopen_evidence::Gap`].

use std::io;
use std::path::PathBuf;

use halfopen_evidence::Pid;

use crate::netlink::DiagError;

/// Why nothing could be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A file that everything else depends on could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No network namespace could be read; this is what the first one said.
    #[error("{0}")]
    SocketDiagnostics(#[from] DiagError),
    /// No network namespace in reach is called that.
    #[error("no network namespace in reach is called {name:?}; there are {known}")]
    NoSuchNetns {
        /// The name that was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The process whose network namespace was asked for is not there, or may not be read.
    #[error("cannot tell the network namespace of process {pid}")]
    NetnsOfProcess {
        /// The process.
        pid: Pid,
        /// What the kernel said.
        source: io::Error,
    },
    /// A packet socket could not be opened.
    #[error("cannot open a packet socket in network namespace {netns}")]
    PacketSocket {
        /// What the namespace is called.
        netns: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The thread that visits network namespaces could not be started.
    #[error("cannot start a thread to visit network namespaces: {0}")]
    Thread(io::Error),
}
