//! Runtimes of languages, on programs of theirs. Where a program that a test needs is not installed,
//! or a privilege is missing, the test prints SKIPPED and why.

mod go;
mod java;
mod node;
mod python;
mod target;
