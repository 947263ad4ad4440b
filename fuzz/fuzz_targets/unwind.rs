//! Programs and stacks of other processes. The input begins with where in the code the thread is and how
//! many bytes of stack follow, both of two bytes; then come the stack and the file.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&[a, b, c, d], rest)) = input.split_first_chunk() else { return };
    let size = usize::from(u16::from_le_bytes([c, d])).min(rest.len());
    let (stack, file) = rest.split_at(size);
    halfopen_stacks::arbitrary::unwind(file, stack, u16::from_le_bytes([a, b]));
});
