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

/// Packages of Java's own libraries.
const JAVA_LIBRARIES: [&str; 5] = ["com.sun.", "java.", "javax.", "jdk.", "sun."];

/// Where Python has its own libraries, and those of others.
const PYTHON_LIBRARIES: &str = "/lib/python";

impl ManagedThread {
    /// The innermost function of the program itself.
    #[must_use]
    pub fn site(&self) -> Option<&ManagedFrame> {
        self.frames.iter().find(|frame| !frame.is_of_a_library())
    }
}

impl ManagedFrame {
    /// Its name without packages, types and receivers: the `Serve` of `net/http.(*Server).Serve`.
    #[must_use]
    pub fn last_name(&self) -> &str {
        self.function.rsplit('.').next().unwrap_or(&self.function)
    }

    fn is_of_a_library(&self) -> bool {
        JAVA_LIBRARIES.iter().any(|library| self.function.starts_with(library))
            || self.line.as_ref().is_some_and(|line| line.file.contains(PYTHON_LIBRARIES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_is_the_innermost_function_of_the_program_itself() {
        let frame = |function: &str, file: &str| ManagedFrame {
            function: function.to_owned(),
            line: Some(SourceLine { file: file.to_owned(), line: 1 }),
        };
        let frames = vec![
            frame("jdk.internal.misc.Unsafe.park", "Unsafe.java"),
            frame("Thread.join", "/usr/lib/python3.11/threading.py"),
            frame("javelin.Sessions.register", "Sessions.java"),
            frame("java.lang.Thread.run", "Thread.java"),
        ];
        let thread =
            ManagedThread { runtime: Runtime::Java, name: String::new(), state: None, frames };
        let site = thread.site().map(|frame| &*frame.function);
        assert_eq!(site, Some("javelin.Sessions.register"));
    }
}
