//! Where variables of the runtime are, by the instructions of functions that use them: for programs
//! without symbols, whose table of functions still has the names of those. Of x86-64 programs only.
//!
//! What is found so is not believed: who reads the list finds out whether it is one of goroutines.

use std::collections::BTreeSet;

use super::words::u32_at;

/// The function that adds to the list of goroutines (`runtime/proc.go`).
pub(super) const ADDS_GOROUTINE: &str = "runtime.allgadd";

/// The function that has the texts of reasons to wait (`runtime/runtime2.go`).
pub(super) const NAMES_REASON: &str = "runtime.waitReason.String";

/// Opcodes that move a word from memory, to memory, and its address.
const LOAD: u8 = 0x8b;
const STORE: u8 = 0x89;
const ADDRESS: u8 = 0x8d;

/// Where the slice of all goroutines is (`allgs`): its address, its length, and its capacity are in
/// words beside each other, which the function that appends to it loads and stores.
pub(super) fn list(code: &[u8], at: u64) -> Option<u64> {
    let words: BTreeSet<u64> = operands(code, at, LOAD).chain(operands(code, at, STORE)).collect();
    let is_used = |address: Option<u64>| address.is_some_and(|address| words.contains(&address));
    let is_slice = |&at: &u64| is_used(at.checked_add(8)) && is_used(at.checked_add(16));
    words.iter().copied().find(is_slice)
}

/// Where the texts of reasons are, and how many: the function compares with their number, and takes their
/// address, which is in no section of texts.
pub(super) fn reasons(
    code: &[u8],
    at: u64,
    is_variable: impl Fn(u64) -> bool,
) -> Option<(u64, u64)> {
    // cmp al, N; then a conditional jump.
    let count = code.windows(3).find_map(|bytes| match *bytes {
        [0x3c, count, 0x70..=0x7f] => Some(u64::from(count)),
        _ => None,
    })?;
    Some((operands(code, at, ADDRESS).find(|&address| is_variable(address))?, count))
}

/// Addresses that instructions of this kind have relative to themselves.
fn operands(code: &[u8], at: u64, kind: u8) -> impl Iterator<Item = u64> {
    /// Prefix, opcode, operands, and the distance from what comes next.
    const LENGTH: usize = 7;
    code.windows(LENGTH).enumerate().filter_map(move |(offset, bytes)| {
        let is_it = matches!(bytes[0], 0x48 | 0x4c) && bytes[1] == kind && bytes[2] & 0xc7 == 5;
        let distance = i64::from(u32_at(bytes, 3)?.cast_signed());
        let next = at.checked_add((offset + LENGTH) as u64)?;
        is_it.then(|| next.wrapping_add_signed(distance))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_three_words_that_are_loaded_or_stored() {
        // mov rsi,[0x2008]; mov rbx,[0x2000]; lea rax,[0x3000]; mov [0x2010],rdi
        let code = [
            0x48, 0x8b, 0x35, 0x01, 0x10, 0, 0, 0x48, 0x8b, 0x1d, 0xf2, 0x0f, 0, 0, 0x48, 0x8d,
            0x05, 0xeb, 0x1f, 0, 0, 0x48, 0x89, 0x3d, 0xf4, 0x0f, 0, 0,
        ];
        assert_eq!(list(&code, 0x1000), Some(0x2000));
        assert_eq!(list(&code[..14], 0x1000), None);
        assert_eq!(list(&code, u64::MAX - 8), None);
    }

    #[test]
    fn reasons_are_a_table_and_its_length() {
        // cmp al,0x1b; jb; lea rax,[text]; lea rdx,[table]
        let code = [
            0x3c, 0x1b, 0x72, 0x0d, 0x48, 0x8d, 0x05, 0xf5, 0x0f, 0, 0, 0x48, 0x8d, 0x15, 0xee,
            0x1f, 0, 0,
        ];
        assert_eq!(reasons(&code, 0x1000, |at| at >= 0x3000), Some((0x3000, 27)));
        assert_eq!(reasons(&code, 0x1000, |_| false), None);
        assert_eq!(reasons(&code[4..], 0x1004, |_| true), None);
    }
}
