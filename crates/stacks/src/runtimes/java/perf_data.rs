//! The counters that a HotSpot virtual machine keeps in memory that it shares with `jps` and `jstat`.
//!
//! Layout: `PerfDataPrologue` and `PerfDataEntry`, src/hotspot/share/runtime/perfMemory.hpp, in the
//! byte order of the machine.

/// Bytes read of it at most. It has 32 KiB unless it was told otherwise.
pub(super) const SIZE_MAX: usize = 1 << 20;

const MAGIC: &[u8] = &[0xca, 0xfe, 0xc0, 0xc0];
const ENTRY_OFFSET: usize = 24;
const ENTRIES: usize = 28;

/// Within an entry.
const LENGTH: usize = 0;
const NAME_OFFSET: usize = 4;
const DATA_OFFSET: usize = 16;
const HEAD: usize = 20;

/// Whether it lets others attach, as `jcmd` asks before it tries (`sun.rt.jvmCapabilities`): not so
/// with `-XX:+DisableAttachMechanism`. `None` if the memory does not say.
#[must_use]
pub fn lets_attach(memory: &[u8]) -> Option<bool> {
    if !memory.starts_with(MAGIC) {
        return None;
    }
    let mut at = number(memory, ENTRY_OFFSET)?;
    for _ in 0..number(memory, ENTRIES)? {
        let entry = memory.get(at..)?;
        let length = number(entry, LENGTH).filter(|&length| length >= HEAD)?;
        let entry = entry.get(..length)?;
        let name = entry.get(number(entry, NAME_OFFSET)?..)?;
        if name.starts_with(b"sun.rt.jvmCapabilities\0") {
            return entry.get(number(entry, DATA_OFFSET)?).map(|&capability| capability == b'1');
        }
        at = at.checked_add(length)?;
    }
    None
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_ne_bytes(*bytes)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word(number: usize) -> [u8; 4] {
        u32::try_from(number).expect("a small number").to_ne_bytes()
    }

    fn entry(name: &str, data: &[u8]) -> Vec<u8> {
        let data_offset = HEAD + name.len() + 1;
        let numbers = [data_offset + data.len(), HEAD, data.len(), 0, data_offset];
        let mut entry: Vec<u8> = numbers.iter().flat_map(|&number| word(number)).collect();
        entry.extend_from_slice(name.as_bytes());
        entry.push(0);
        entry.extend_from_slice(data);
        entry
    }

    fn memory(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut memory = MAGIC.to_vec();
        memory.resize(ENTRY_OFFSET, 0);
        memory.extend(word(32));
        memory.extend(word(entries.len()));
        memory.extend(entries.concat());
        memory.resize(memory.len() + 64, 0);
        memory
    }

    #[test]
    fn capabilities_are_found_among_other_counters() {
        let before = entry("java.ci.totalTime", &[1; 8]);
        for (value, expected) in [(b"1000", Some(true)), (b"0000", Some(false))] {
            let capabilities = entry("sun.rt.jvmCapabilities", value);
            assert_eq!(lets_attach(&memory(&[before.clone(), capabilities])), expected);
        }
        assert_eq!(lets_attach(&memory(&[before])), None);
        assert_eq!(lets_attach(b""), None);
    }

    proptest! {
        #[test]
        fn no_memory_makes_the_reader_panic_or_loop(
            mut memory in prop::collection::vec(prop_oneof![Just(0), Just(1), Just(20), any::<u8>()], 0..300),
        ) {
            memory.splice(..0, MAGIC.iter().copied());
            let _ = lets_attach(&memory);
        }
    }
}
