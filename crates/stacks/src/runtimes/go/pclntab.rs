//! The table by which a Go program knows its own functions (`.gopclntab`): for each place in its code the
//! function, the line of source, and how far the stack pointer is from the return address. `strip` and
//! `-ldflags=-s` leave it where it is, since the garbage collector needs it.
//!
//! Layout: `runtime/symtab.go` (`pcHeader`, `moduledata.pctab`, `pcvalue`) and `runtime/runtime2.go`
//! (`_func`) of Go 1.16 to 1.26. What was inlined is told from Go 1.18 on; before, it passes for the
//! function that it is in.

use std::ops::Range;

use halfopen_evidence::SourceLine;

use super::words::{offset_at, text_at, u32_at, u64_at, varint};

/// The longest name of a function or file that is read, in bytes.
const NAME_MAX: usize = 512;

/// Steps that are taken through one table of a function: more than the largest function has.
const STEPS_MAX: usize = 1 << 16;

/// The table, and where the code is that it is about, as the file states it.
pub(super) struct Pclntab {
    bytes: Vec<u8>,
    layout: Layout,
    functions: usize,
    /// Where the first function begins.
    text: u64,
    names: usize,
    units: usize,
    files: usize,
    values: usize,
    index: usize,
}

/// The versions that change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Addresses are absolute.
    Go116,
    /// Addresses are offsets from where the code begins.
    Go118,
    /// A function says in which line it begins; calls that were inlined are described in fewer words.
    Go120,
}

/// The table that says which inlined call an instruction is of (`_PCDATA_InlTreeIndex`).
const INLINED: usize = 2;

/// The data that describes inlined calls (`_FUNCDATA_InlTree`).
const INLINED_CALLS: usize = 3;

/// The longest description of an inlined call (`inlinedCall`), in bytes.
pub(super) const INLINED_CALL_MAX: usize = 20;

/// A function, where it is described in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Where its code begins, as the file states it.
    entry: u64,
    /// Where its description goes on behind the entry.
    at: usize,
}

/// Where the tables of a function are that only some functions have.
struct Tables {
    /// Where the offsets of those by address are.
    first: usize,
    /// How many of them there are.
    count: usize,
    /// How many there are of those that describe the whole function.
    data: usize,
}

impl Pclntab {
    /// Reads the head of the table; `text` is where the section `.text` is. None if it is of no version
    /// that is known here, or not for a 64-bit machine.
    pub(super) fn parse(bytes: Vec<u8>, text: u64) -> Option<Self> {
        let layout = match u32_at(&bytes, 0)? {
            0xffff_fffa => Layout::Go116,
            0xffff_fff0 => Layout::Go118,
            0xffff_fff1 => Layout::Go120,
            _ => return None,
        };
        let pointer = *bytes.get(7)?;
        if pointer != 8 {
            return None;
        }
        let (stated, rest) = match layout {
            Layout::Go116 => (None, 24),
            Layout::Go118 | Layout::Go120 => (Some(u64_at(&bytes, 24)?), 32),
        };
        let offset = |n: usize| offset_at(&bytes, rest + n * 8);
        Some(Self {
            layout,
            functions: offset_at(&bytes, 8)?,
            // Programs that are linked to run anywhere leave it to be filled in when they are loaded.
            text: stated.filter(|&stated| stated != 0).unwrap_or(text),
            names: offset(0)?,
            units: offset(1)?,
            files: offset(2)?,
            values: offset(3)?,
            index: offset(4)?,
            bytes,
        })
    }

    /// The function that has this address, as the file states it.
    pub(super) fn function(&self, address: u64) -> Option<Function> {
        let (mut low, mut high) = (0, self.functions);
        while low < high {
            let middle = low.midpoint(high);
            if self.entry(middle)? <= address { low = middle + 1 } else { high = middle }
        }
        let number = low.checked_sub(1)?;
        // One entry more than there are functions says where the last one ends.
        let next = self.entry(number.checked_add(1)?)?;
        (address < next).then_some(())?;
        self.numbered(number)
    }

    /// Where the code of the function with this name begins and ends, as the file states it.
    pub(super) fn code_of(&self, name: &str) -> Option<Range<u64>> {
        let number = (0..self.functions)
            .map_while(|number| Some((number, self.numbered(number)?)))
            .find(|&(_, function)| self.name(function) == Some(name))?
            .0;
        Some(self.entry(number)?..self.entry(number.checked_add(1)?)?)
    }

    fn numbered(&self, number: usize) -> Option<Function> {
        let at = self.index.checked_add(self.described_at(number)?)?;
        let behind_entry = match self.layout {
            Layout::Go116 => 8,
            Layout::Go118 | Layout::Go120 => 4,
        };
        Some(Function { entry: self.entry(number)?, at: at.checked_add(behind_entry)? })
    }

    /// The name of a function, with its package: `net.(*TCPListener).Accept`.
    pub(super) fn name(&self, function: Function) -> Option<&str> {
        let at = usize::try_from(u32_at(&self.bytes, function.at)?).ok()?;
        text_at(&self.bytes, self.names.checked_add(at)?, NAME_MAX)
    }

    /// The line of source at an address of a function.
    pub(super) fn line(&self, function: Function, address: u64) -> Option<SourceLine> {
        let file = self.value(function, 16, address)?;
        let line = self.value(function, 20, address)?;
        let unit = usize::try_from(u32_at(&self.bytes, function.at.checked_add(28)?)?).ok()?;
        let number = unit.checked_add(usize::try_from(file).ok()?)?;
        let entry = self.units.checked_add(number.checked_mul(4)?)?;
        let at = usize::try_from(u32_at(&self.bytes, entry)?).ok()?;
        let file = text_at(&self.bytes, self.files.checked_add(at)?, NAME_MAX)?.to_owned();
        Some(SourceLine { file, line: u32::try_from(line).ok().filter(|&line| line > 0)? })
    }

    /// How many bytes there are between the stack pointer and the return address at an address of a
    /// function.
    pub(super) fn frame_bytes(&self, function: Function, address: u64) -> Option<u64> {
        u64::try_from(self.value(function, 12, address)?).ok()
    }

    /// Which of a function's inlined calls an address is in; none if it is in the function itself.
    pub(super) fn inlined_call(&self, function: Function, address: u64) -> Option<u64> {
        let tables = self.tables(function)?;
        let table = (INLINED < tables.count).then(|| tables.first + INLINED * 4)?;
        u64::try_from(self.value(function, table - function.at, address)?).ok()
    }

    /// Where the description of an inlined call is, as a distance from the program's `go:func.*`, and how
    /// long it is.
    pub(super) fn described(&self, function: Function, call: u64) -> Option<(u64, usize)> {
        let tables = self.tables(function)?;
        let data = tables.first.checked_add(tables.count.checked_mul(4)?)?;
        let offset = (INLINED_CALLS < tables.data).then(|| data + INLINED_CALLS * 4)?;
        let offset = u32_at(&self.bytes, offset).filter(|&offset| offset != u32::MAX)?;
        let bytes = if self.layout == Layout::Go120 { 16 } else { INLINED_CALL_MAX };
        Some((u64::from(offset).checked_add(call.checked_mul(bytes as u64)?)?, bytes))
    }

    /// The name of an inlined function, and an address whose line is that of the call.
    pub(super) fn inlined(&self, function: Function, description: &[u8]) -> Option<(&str, u64)> {
        let (name, parent) = if self.layout == Layout::Go120 { (4, 8) } else { (12, 16) };
        let name = usize::try_from(u32_at(description, name)?).ok()?;
        let parent = function.entry.checked_add(u64::from(u32_at(description, parent)?))?;
        Some((text_at(&self.bytes, self.names.checked_add(name)?, NAME_MAX)?, parent))
    }

    fn tables(&self, function: Function) -> Option<Tables> {
        let head = match self.layout {
            Layout::Go116 => return None,
            Layout::Go118 => 36,
            Layout::Go120 => 40,
        };
        let first = function.at.checked_add(head)?;
        Some(Tables {
            first,
            count: usize::try_from(u32_at(&self.bytes, function.at.checked_add(24)?)?).ok()?,
            data: usize::from(*self.bytes.get(first.checked_sub(1)?)?),
        })
    }

    /// The value that a table of the function has at an address; the table's offset is at `field`. Pairs
    /// of a change of the value and how far it holds from there.
    fn value(&self, function: Function, field: usize, address: u64) -> Option<i32> {
        let table = usize::try_from(u32_at(&self.bytes, function.at.checked_add(field)?)?).ok()?;
        // None begins there: so it is said that there is none.
        let table = Some(table).filter(|&table| table > 0)?;
        let mut bytes = self.bytes.get(self.values.checked_add(table)?..)?;
        let (mut value, mut until) = (-1_i32, function.entry);
        for step in 0..STEPS_MAX {
            let change = varint(&mut bytes)?;
            // Elsewhere no change is the end of the table.
            if change == 0 && step > 0 {
                return None;
            }
            value = value.wrapping_add(unfolded(change));
            // The quantum is 1 where instructions can have any length.
            let quantum = u64::from((*self.bytes.get(6)?).max(1));
            until = until.checked_add(u64::from(varint(&mut bytes)?).checked_mul(quantum)?)?;
            if address < until {
                return Some(value);
            }
        }
        None
    }

    fn entry(&self, number: usize) -> Option<u64> {
        match self.layout {
            Layout::Go116 => u64_at(&self.bytes, self.in_index(number, 16)?),
            Layout::Go118 | Layout::Go120 => {
                let offset = u32_at(&self.bytes, self.in_index(number, 8)?)?;
                self.text.checked_add(u64::from(offset))
            }
        }
    }

    fn described_at(&self, number: usize) -> Option<usize> {
        match self.layout {
            Layout::Go116 => offset_at(&self.bytes, self.in_index(number, 16)?.checked_add(8)?),
            Layout::Go118 | Layout::Go120 => {
                let at = self.in_index(number, 8)?.checked_add(4)?;
                usize::try_from(u32_at(&self.bytes, at)?).ok()
            }
        }
    }

    fn in_index(&self, number: usize, entry_bytes: usize) -> Option<usize> {
        self.index.checked_add(number.checked_mul(entry_bytes)?)
    }
}

/// A change that may be negative: the lowest bit is its sign.
const fn unfolded(change: u32) -> i32 {
    let half = (change >> 1).cast_signed();
    if change & 1 == 0 { half } else { !half }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where the code of [`table`] begins.
    const TEXT: u64 = 0x40_1000;

    /// A table of Go 1.20: `main.a` of 32 bytes and `main.b` of 32 bytes behind it, into which `main.c` is
    /// inlined from its 17th byte on.
    pub(in super::super) fn table() -> Vec<u8> {
        let names = b"main.a\0main.b\0main.c\0";
        let files = b"/src/a.go\0";
        // A change of 9 from -1, for 32 bytes: 8 bytes from the stack pointer to the return address.
        let frame = [18, 32, 0];
        let file = [2, 32, 0];
        let line = [26, 16, 6, 16, 0];
        let inlined = [0, 16, 2, 16, 0];
        let values = [&[0], &frame[..], &file[..], &line[..], &inlined[..]].concat();
        let index = [[0_u32, 24], [32, 24 + 72], [64, 0]];
        let function = |entry: u32, name: u32| {
            let head = [entry, name, 0, 0, 1, 4, 7, 3, 0, 1];
            let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
            bytes.extend([0, 0, 0, 4]);
            // Three tables by address, the last of them of inlined calls, and four of data.
            let tables = [0, 0, if entry == 0 { 0 } else { 12 }, u32::MAX, u32::MAX, u32::MAX];
            bytes.extend(tables.iter().flat_map(|word: &u32| word.to_le_bytes()));
            bytes
        };
        let mut bytes = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
        let places = [72, 72 + names.len(), 76 + names.len(), 76 + names.len() + files.len()];
        let end = places[3] + values.len();
        let head = [2, 1, TEXT]
            .into_iter()
            .chain([places[0], places[1], places[2], places[3], end].map(|at| at as u64));
        bytes.extend(head.flat_map(u64::to_le_bytes));
        bytes.extend(names);
        bytes.extend([0; 4]);
        bytes.extend(files);
        bytes.extend(values);
        bytes.extend(index.as_flattened().iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(function(0, 0));
        // The fourth datum is that of inlined calls; both functions are as long.
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(function(32, 7));
        bytes.extend(0_u32.to_le_bytes());
        bytes
    }

    #[test]
    fn functions_lines_and_frames_are_found_by_address() {
        let table = Pclntab::parse(table(), 0).expect("a table");
        for (address, expected) in [
            (TEXT, Some(("main.a", 12))),
            (TEXT + 17, Some(("main.a", 15))),
            (TEXT + 32, Some(("main.b", 12))),
            (TEXT + 63, Some(("main.b", 15))),
            (TEXT + 64, None),
            (TEXT - 1, None),
        ] {
            let function = table.function(address);
            let found = function.map(|function| {
                let line = table.line(function, address).expect("a line");
                assert_eq!(line.file, "/src/a.go");
                assert_eq!(table.frame_bytes(function, address), Some(8));
                (table.name(function).expect("a name"), line.line)
            });
            assert_eq!(found, expected, "{address:#x}");
        }
    }

    #[test]
    fn inlined_calls_are_found_by_address() {
        let table = Pclntab::parse(table(), 0).expect("a table");
        let at = |address| table.function(address).expect("a function");
        let call = |address| table.inlined_call(at(address), address);
        assert_eq!([TEXT + 20, TEXT + 32, TEXT + 50].map(call), [None, None, Some(0)]);
        assert_eq!(table.described(at(TEXT + 50), 3), Some((48, 16)));
        let description: Vec<u8> =
            [0, 14, 9, 0_u32].iter().flat_map(|word| word.to_le_bytes()).collect();
        let inlined = table.inlined(at(TEXT + 50), &description);
        assert_eq!(inlined, Some(("main.c", TEXT + 41)));
    }

    proptest! {
        #[test]
        fn no_damage_to_a_table_makes_its_reader_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..16),
            address in prop_oneof![any::<u64>(), TEXT..TEXT + 70],
            call: u64,
        ) {
            let mut bytes = table();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let Some(table) = Pclntab::parse(bytes, TEXT) else { return Ok(()) };
            let Some(function) = table.function(address) else { return Ok(()) };
            let _ = (table.name(function), table.line(function, address));
            let _ = (table.frame_bytes(function, address), table.inlined_call(function, address));
            let _ = (table.described(function, call), table.inlined(function, &[7; 20]));
        }
    }
}
