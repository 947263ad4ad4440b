//! Threads as the runtime of their language tells them.

use serde::{Deserialize, Serialize};

use crate::SourceLine;

/// A runtime that knows more of its threads than the kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// A Java virtual machine: HotSpot.
    Java,
    /// CPython.
    Python,
}

/// A thread, in the words of its runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedThread {
    /// The runtime that told it.
    pub runtime: Runtime,
    /// The thread's name, which may be longer than the kernel's 15 bytes; empty if it is not told.
    /// Untrusted.
    pub name: String,
    /// What it does: `BLOCKED (on object monitor)`. Untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The functions that it is in, innermost first. None for a thread of the runtime itself.
    pub frames: Vec<ManagedFrame>,
}

/// A function of the language that a thread is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ManagedFrame {
    /// Its name, with its class or module where the runtime tells it. Untrusted.
    pub function: String,
    /// The line of source that it is at, where the runtime knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<SourceLine>,
}
