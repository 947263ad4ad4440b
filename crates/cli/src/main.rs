//! The `halfopen` command: all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The lab's own processes make namespaces, which the kernel permits only before threads exist.
    match halfopen_lab::intercept() {
        Some(status) => status,
        None => halfopen::run(std::env::args_os()).into(),
    }
}
