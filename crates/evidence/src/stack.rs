//! The user stack of a thread, as it was unwound from a copy of its memory.

use serde::{Deserialize, Serialize};

/// The functions that a thread is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stack {
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// Where the walk ended.
    pub end: StackEnd,
}

/// Where the walk over a stack ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StackEnd {
    /// At the function that the thread began with: the stack is whole.
    Root,
    /// At a frame whose caller could not be found: code without unwinding information, or a stack
    /// that was overwritten.
    Lost,
    /// At the bound of what is read or told.
    Cut,
}

/// One function that a thread is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// Its name, demangled. Untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// File name of the program or library that it is in, `[vdso]`, or empty for code that is in no
    /// file (made at run time). Untrusted.
    pub module: String,
    /// The instruction that the thread is at, or the last byte of the call that has not returned: its
    /// address as the file states it, or in memory for code that is in no file.
    pub address: u64,
    /// The line of source, where that was asked for and debugging information has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<SourceLine>,
}

/// A line of source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceLine {
    /// Path as the compiler was given it. Untrusted.
    pub file: String,
    /// From 1.
    pub line: u32,
}

impl SourceLine {
    /// The file's name without its directories.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }
}
