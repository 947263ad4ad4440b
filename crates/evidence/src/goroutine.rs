//! Goroutines of a Go program, which are no threads: those that wait have none.

use serde::{Deserialize, Serialize};

use crate::{Call, CallTarget, ManagedFrame, Reading, Tid};

/// The goroutines of a program, folded: those that do the same at the same place are told once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goroutines {
    /// The version that the program was made with: `go1.19.8`; empty if it does not say. Untrusted.
    pub version: String,
    /// Those that were read, most frequent first.
    pub groups: Vec<GoroutineGroup>,
    /// Goroutines that were not looked at, dead ones among them.
    pub omitted: u64,
}

/// Goroutines that do the same at the same place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoroutineGroup {
    /// How many.
    pub count: u64,
    /// The numbers of the first of them.
    pub ids: Vec<u64>,
    /// The threads that run them or sit in a system call for them, as far as `ids` goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<Tid>,
    /// What they do.
    pub state: GoroutineState,
    /// The functions that they are in, innermost first. Missing of those that run, whose stacks are
    /// told with the threads.
    pub frames: Reading<Vec<ManagedFrame>>,
}

/// What a goroutine does (`runtime/runtime2.go`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GoroutineState {
    /// A thread runs it.
    Running,
    /// It could run, and waits for a thread.
    Runnable,
    /// It is in a system call.
    InSyscall,
    /// It waits: the name is the runtime's word for it (`semacquire`, `IO wait`). Untrusted.
    Waiting(Call),
    /// Its stack is being moved, or it is about to begin or to end.
    Changing,
}

impl GoroutineGroup {
    /// The innermost function of the program itself, not of Go's own packages.
    #[must_use]
    pub fn site(&self) -> Option<&ManagedFrame> {
        self.frames.get()?.iter().find(|frame| is_own(&frame.function))
    }
}

/// Packages of others have a host's name in front (`github.com/…`), those of Go's library have none.
fn is_own(function: &str) -> bool {
    let package = function.split('/').next().unwrap_or(function);
    package.starts_with("main.") || (package != function && package.contains('.'))
}

impl GoroutineState {
    /// What it waits for.
    pub const fn target_mut(&mut self) -> Option<&mut CallTarget> {
        match self {
            Self::Waiting(call) => Some(&mut call.target),
            Self::Running | Self::Runnable | Self::InSyscall | Self::Changing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_s_own_packages_are_not_the_program() {
        for (function, own) in [
            ("main.acceptLoop", true),
            ("github.com/x/y.(*Server).run", true),
            ("runtime.gopark", false),
            ("internal/poll.(*FD).Accept", false),
            ("net/http.(*Server).Serve", false),
            ("sync.(*Mutex).Lock", false),
        ] {
            assert_eq!(is_own(function), own, "{function}");
        }
    }
}
