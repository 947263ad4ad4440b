//! What the runtimes of languages say of their threads: whoever answers may send anything.

#![no_main]

use halfopen_stacks::arbitrary::goroutines;
use halfopen_stacks::runtimes::{java, python};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| {
    let dump = java::dump::dump(answer);
    // Nothing is made up.
    let told: usize = dump.threads.iter().map(|thread| thread.frames.len()).sum();
    assert!(told <= answer.split(|&byte| byte == b'\n').count());
    let _ = python::threads(answer);
    let _ = java::lets_attach(answer);
    // A table of functions, and the memory behind it.
    if let Some((&table, rest)) = answer.split_first() {
        let (table, memory) = rest.split_at(rest.len().min(16 * usize::from(table)));
        goroutines(table, memory);
    }
});
