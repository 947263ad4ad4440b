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

/// Libraries in which programs wait; what is of interest is who called them.
const PLUMBING: [&str; 10] = [
    "[vdso]",
    "ld-linux",
    "ld-musl",
    "libc++",
    "libc.",
    "libc-",
    "libgcc_s",
    "libpthread",
    "libstdc++",
    "libuv",
];

/// Name spaces of languages' own libraries, which are linked into programs or inlined.
const LIBRARIES: [&str; 9] = [
    "__gnu_cxx::",
    "__gthread_",
    "__pthread_",
    "alloc::",
    "core::",
    "lock_api::",
    "parking_lot",
    "std::",
    "syscall",
];

/// Where the source of such libraries lies.
const LIBRARY_SOURCES: [&str; 4] = ["/rustc/", "/registry/src/", "/usr/include/", "/usr/lib/"];

impl Stack {
    /// The innermost function of the program itself: neither the C library's nor the language's.
    #[must_use]
    pub fn site(&self) -> Option<&Frame> {
        self.own_frames().next()
    }

    /// The function of the program itself that called [`Self::site`], which may be no more than a lock
    /// in the program's own wrapping.
    #[must_use]
    pub fn caller(&self) -> Option<&Frame> {
        self.own_frames().nth(1)
    }

    /// Names of the functions of the program itself, innermost first.
    pub fn own_functions(&self) -> impl Iterator<Item = &str> {
        self.own_frames().filter_map(|frame| frame.function.as_deref())
    }

    fn own_frames(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(|frame| frame.is_own())
    }
}

impl Frame {
    /// Whether it is a named function of the program itself.
    fn is_own(&self) -> bool {
        let Some(function) = &self.function else { return false };
        // `<usize as core::cmp::PartialOrd>::lt` is core's, whatever type it is for.
        let library = function.split_once(" as ").map_or(&**function, |(_, rest)| rest);
        let library = library.trim_start_matches(['<', '&']);
        !PLUMBING.iter().any(|name| self.module.starts_with(name))
            && !LIBRARIES.iter().any(|name| library.starts_with(name))
            && !self.line.as_ref().is_some_and(SourceLine::is_of_a_library)
    }
}

impl SourceLine {
    fn is_of_a_library(&self) -> bool {
        LIBRARY_SOURCES.iter().any(|place| self.file.contains(place))
    }

    /// The file's name without its directories.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, module: &str) -> Frame {
        Frame {
            function: Some(function.to_owned()),
            module: module.to_owned(),
            address: 0,
            line: None,
        }
    }

    #[test]
    fn code_whose_source_lies_with_the_libraries_is_not_the_program_s() {
        let mut accepts = frame("accept_with<OwnedFd>", "app");
        for (file, own) in [
            ("/home/x/.cargo/registry/src/index/rustix-1.1.6/src/net/socket.rs", false),
            ("/src/serving.rs", true),
        ] {
            accepts.line = Some(SourceLine { file: file.to_owned(), line: 300 });
            assert_eq!(accepts.is_own(), own, "{file}");
        }
    }

    #[test]
    fn the_site_is_the_innermost_function_of_the_program_itself() {
        let frames = vec![
            frame("__lll_lock_wait", "libc.so.6"),
            frame("std::lock_guard<std::mutex>::lock_guard(std::mutex&)", "app"),
            frame("<std::sync::Mutex<T>>::lock", "app"),
            frame("<usize as core::cmp::PartialOrd>::lt", "app"),
            frame("register_session(int)", "app"),
            frame("accept_loop()", "app"),
            frame("start_thread", "libc.so.6"),
        ];
        let stack = Stack { frames, end: StackEnd::Root };
        let site = stack.site().and_then(|frame| frame.function.as_deref());
        assert_eq!(site, Some("register_session(int)"));
        let caller = stack.caller().and_then(|frame| frame.function.as_deref());
        assert_eq!(caller, Some("accept_loop()"));
        let plumbing = Stack { frames: stack.frames[..2].to_vec(), end: StackEnd::Lost };
        assert_eq!(plumbing.site(), None);
    }
}
