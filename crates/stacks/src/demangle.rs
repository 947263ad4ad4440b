//! Names of functions as programmers wrote them.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, Symbol};

/// The longest name that is kept, in bytes: templates have names of many kilobytes, and a mangled name
/// can be made that stands for gigabytes.
const NAME_MAX: usize = 512;

/// What a symbol stands for: a Rust path, a C++ declaration, or the symbol itself, without the
/// version that symbols of shared libraries can have.
pub(crate) fn demangle(symbol: &str) -> String {
    let symbol = symbol.split('@').next().unwrap_or(symbol);
    rust(symbol).or_else(|| cpp(symbol)).unwrap_or_else(|| {
        let mut name = Short::default();
        // It ends where there is no more room.
        let _ = name.write_str(symbol);
        name.into_text()
    })
}

fn rust(symbol: &str) -> Option<String> {
    let mut name = Short::default();
    let path = rustc_demangle::try_demangle(symbol).ok()?;
    // Without the hash at the end.
    let _ = write!(name, "{path:#}");
    Some(name.into_text())
}

fn cpp(symbol: &str) -> Option<String> {
    if !symbol.starts_with("_Z") {
        return None;
    }
    let mut name = Short::default();
    let declaration = Symbol::new(symbol).ok()?;
    let _ = declaration.structured_demangle(&mut name, &DemangleOptions::new());
    (!name.text.is_empty()).then(|| name.into_text())
}

/// A text that takes so much and then fails.
#[derive(Default)]
struct Short {
    text: String,
    is_full: bool,
}

impl Short {
    fn into_text(self) -> String {
        if self.is_full { self.text + "…" } else { self.text }
    }
}

impl Write for Short {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for letter in more.chars() {
            if self.text.len() + letter.len_utf8() > NAME_MAX {
                self.is_full = true;
                return Err(fmt::Error);
            }
            self.text.push(letter);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_and_cpp_names_are_read_and_others_stay() {
        for (symbol, name) in [
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
            ("_RNvC6_123foo3bar", "123foo::bar"),
            ("_Z15registerSessioni", "registerSession(int)"),
            ("pthread_mutex_lock", "pthread_mutex_lock"),
            ("pthread_cond_wait@@GLIBC_2.3.2", "pthread_cond_wait"),
            ("_Z", "_Z"),
            ("", ""),
        ] {
            assert_eq!(demangle(symbol), name);
        }
    }

    #[test]
    fn a_name_that_stands_for_gigabytes_is_cut() {
        // Each substitution stands for a pair of the one before.
        let doubles: String =
            (0..30_u32).map(|n| format!("St4pairIS{}_S{}_E", n.min(9), n.min(9))).collect();
        for symbol in [format!("_Z1fSt4pairIiiE{doubles}"), "x".repeat(10_000)] {
            assert!(demangle(&symbol).len() <= NAME_MAX + "…".len());
        }
    }
}
