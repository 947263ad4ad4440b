//! Everything that reads bytes which another process chose, over bytes from anywhere: for fuzzing.

use std::io::Cursor;
use std::path::PathBuf;
use std::time::Duration;

use halfopen_collect::proc::parse::Mapping;

use crate::calls::CALL_MAX;
use crate::copy::ThreadCopy;
use crate::module::{Module, Room};
use crate::runtimes::go;
use crate::symbols;
use crate::walk::Walker;

/// Where the code of the file is in memory.
const CODE: u64 = 0x5555_0000_0000;

/// Where the stack is. Words of it can point to it and to the code with few bytes.
const STACK: u64 = 0x7fff_0000_0000;

/// Where the memory of a Go program begins.
const HEAP: u64 = 0xc0_0000_0000;

/// Unwinds a stack by what a file says of itself, and names what is found. `entry` is where in the file's
/// code the thread is.
pub fn unwind(file: &[u8], stack: &[u8], entry: u16) {
    let mapping = Mapping {
        start: CODE,
        end: CODE + (1 << 20),
        executable: true,
        offset: 0,
        device: (0, 1),
        inode: 1,
        path: PathBuf::from("/file"),
    };
    let module = Module::of(&mapping, Box::new(Cursor::new(file.to_vec())), &Room::new());
    let mut modules: Vec<Module> = module.into_iter().collect();
    let copy = ThreadCopy::in_call(CODE + u64::from(entry), STACK, stack.to_vec());
    let mut walker = Walker::new(&modules, std::slice::from_ref(&(CODE..CODE + (1 << 20))));
    let code = walker.return_addresses(std::iter::once(&copy), 64).into_iter();
    walker.learn(&code.map(|address| (address, [0xe8; CALL_MAX])).collect());
    let walk = walker.walk(&copy);
    assert!(walk.frame_ends.len() <= walk.addresses.len());
    for module in &mut modules {
        let mut stated: Vec<u64> =
            walk.addresses.iter().map(|&address| module.stated(address)).collect();
        stated.sort_unstable();
        symbols::name(&mut *module.input, &stated, true);
    }
}

/// Reads goroutines by a table of functions out of memory that begins with the list of them.
pub fn goroutines(table: &[u8], memory: &[u8]) {
    let read = |address: u64, buffer: &mut [u8]| {
        let at = usize::try_from(address.wrapping_sub(HEAP)).unwrap_or(usize::MAX);
        let bytes = memory.get(at..).unwrap_or_default();
        let filled = bytes.len().min(buffer.len());
        buffer[..filled].copy_from_slice(&bytes[..filled]);
        filled
    };
    let found = go::in_memory(table.to_vec(), &read, HEAP, Duration::from_secs(1));
    if let Some(Ok(found)) = found {
        // Nothing is made up: the list has eight bytes for each.
        let told: u64 = found.groups.iter().map(|group| group.count).sum();
        assert!(told <= memory.len() as u64 / 8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Words that may lead somewhere.
    fn word() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (0..2048_u64).prop_map(|at| STACK + at),
            (0..65536_u64).prop_map(|at| CODE + at),
            Just(0),
        ]
    }

    proptest! {
        #[test]
        fn no_file_makes_the_unwinder_panic(
            file in prop::collection::vec(any::<u8>(), 0..512),
            stack in prop::collection::vec(word(), 0..64),
            entry: u16,
        ) {
            let stack: Vec<u8> = stack.iter().flat_map(|word| word.to_ne_bytes()).collect();
            unwind(&file, &stack, entry);
        }

        #[test]
        fn no_damage_to_a_file_makes_the_unwinder_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..32),
            stack in prop::collection::vec(word(), 0..64),
            entry: u16,
        ) {
            // Two functions without a library, with unwinding tables and compressed debugging information
            // (gcc -g -gz -nostdlib -static -Wl,-N).
            let mut file = include_bytes!("../tests/targets/small.elf").to_vec();
            for (at, byte) in damage {
                let at = at.index(file.len());
                file[at] = byte;
            }
            let stack: Vec<u8> = stack.iter().flat_map(|word| word.to_ne_bytes()).collect();
            unwind(&file, &stack, entry);
        }
    }
}
