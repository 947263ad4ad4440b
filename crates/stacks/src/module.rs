//! The programs and libraries that a process runs: where they are in its memory, and what they say
//! about unwinding.

use std::fs::File;
use std::io::Cursor;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use framehop::ExplicitModuleSectionInfo;
use halfopen_collect::proc::ProcessImage;
use halfopen_collect::proc::parse::Mapping;

use object::Object as _;

use crate::elf::{self, Bounded, Elf, Input};

/// Unwinding tables of one file.
pub(crate) type Tables = ExplicitModuleSectionInfo<Arc<[u8]>>;

/// The most that the unwinding tables of all files of a process may take, in bytes: those of a browser
/// have some 50 MB.
const TABLES_MAX: u64 = 256 << 20;

/// Memory that the files of one process may still take.
pub(crate) struct Room(AtomicU64);

impl Room {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(TABLES_MAX))
    }

    /// Whether there were so many bytes; they are taken.
    fn take(&self, bytes: u64) -> bool {
        let take = |left: u64| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// The most of a `[vdso]` that is read; it has two pages.
const VDSO_MAX: u64 = 1 << 20;

/// Code of one file in a process's memory.
pub(crate) struct Module {
    /// Where the code is.
    pub(crate) range: Range<u64>,
    /// What is to be subtracted from an address in memory to get the one that the file states.
    pub(crate) bias: u64,
    /// File name without directories.
    pub(crate) name: String,
    pub(crate) input: Box<dyn Input>,
    pub(crate) tables: Tables,
    /// What the linker calls this build of it.
    build_id: Option<Vec<u8>>,
}

impl Module {
    /// Opens the file behind a mapping of code. `None` if there is none, or it is no ELF file: code
    /// made at run time.
    pub(crate) fn open(image: &ProcessImage, mapping: &Mapping, room: &Room) -> Option<Self> {
        if mapping.path == Path::new("[vdso]") {
            Self::of(mapping, Box::new(Cursor::new(bytes_of(image, mapping))), room)
        } else if mapping.inode != 0 {
            Self::of(mapping, Box::new(image.mapped_file(mapping).ok()?), room)
        } else {
            None
        }
    }

    /// The module that has this mapping. `None` if it is no ELF file with code there.
    pub(crate) fn of(mapping: &Mapping, mut input: Box<dyn Input>, room: &Room) -> Option<Self> {
        let (bias, tables, build_id) = {
            let file = Bounded::new(&mut *input);
            let elf = file.parse()?;
            let stated = elf::stated_code_address(&elf, mapping.offset)?;
            let build_id = elf.build_id().ok().flatten().map(<[u8]>::to_vec);
            (mapping.start.wrapping_sub(stated), tables(&elf, room), build_id)
        };
        Some(Self {
            range: mapping.start..mapping.end,
            bias,
            name: file_name(&mapping.path),
            input,
            tables,
            build_id,
        })
    }

    /// An address in memory as the file states it.
    pub(crate) fn stated(&self, address: u64) -> u64 {
        address.wrapping_sub(self.bias)
    }

    /// The file with the symbols that were stripped off this one, if it is installed where debuggers
    /// look for it.
    pub(crate) fn debug_file(&self, image: &ProcessImage) -> Option<File> {
        let (first, rest) = self.build_id.as_ref()?.split_first()?;
        let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = format!("/usr/lib/debug/.build-id/{first:02x}/{rest}.debug");
        image.file_below_root(Path::new(&path)).ok()
    }
}

fn bytes_of(image: &ProcessImage, mapping: &Mapping) -> Vec<u8> {
    let size = mapping.end.saturating_sub(mapping.start).min(VDSO_MAX);
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let filled = image.memory(mapping.start, &mut bytes);
    bytes.truncate(filled);
    bytes
}

/// A mapped file that was replaced since has ` (deleted)` behind its name (fs/d_path.c).
fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()
}

/// Those for which there is room.
fn tables(elf: &Elf<'_, '_>, room: &Room) -> Tables {
    let take = |bytes| room.take(bytes);
    let data = |name: &str| elf::section_if(elf, name, take).map(|data| Arc::from(&*data));
    let eh_frame_svma = elf::section_range(elf, ".eh_frame");
    let eh_frame_hdr_svma = elf::section_range(elf, ".eh_frame_hdr");
    let is_sound = |header: &Arc<[u8]>| match (&eh_frame_hdr_svma, &eh_frame_svma) {
        (Some(header_at), Some(frames)) => is_sound(header, header_at.start, frames.start),
        _ => false,
    };
    Tables {
        text_svma: elf::section_range(elf, ".text"),
        got_svma: elf::section_range(elf, ".got"),
        eh_frame: data(".eh_frame"),
        eh_frame_hdr: data(".eh_frame_hdr").filter(is_sound),
        debug_frame: data(".debug_frame"),
        eh_frame_svma,
        eh_frame_hdr_svma,
        ..Tables::default()
    }
}

/// Whether the index over unwinding tables is as linkers write it, and every entry points behind the
/// beginning of the tables. gimli computes with its numbers unchecked.
fn is_sound(header: &[u8], header_at: u64, frames_at: u64) -> bool {
    // Version 1; pointers relative to themselves, counts of four bytes, a table relative to the header.
    let Some(([1, 0x1b, 0x03, 0x3b], rest)) = header.split_first_chunk() else { return false };
    let (words, _) = rest.as_chunks::<4>();
    let [frames, count, table @ ..] = words else { return false };
    let relative_to =
        |base: u64, word: &[u8; 4]| base.checked_add_signed(i64::from(i32::from_le_bytes(*word)));
    let (entries, _) = table.as_chunks::<2>();
    let count = usize::try_from(u32::from_le_bytes(*count)).unwrap_or(usize::MAX);
    let is_behind = |[function, entry]: &[[u8; 4]; 2]| {
        relative_to(header_at, function).is_some()
            && relative_to(header_at, entry).is_some_and(|entry| entry >= frames_at)
    };
    header_at.checked_add(4).and_then(|at| relative_to(at, frames)) == Some(frames_at)
        && entries.get(..count).is_some_and(|entries| entries.iter().all(is_behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_points_before_the_tables_or_is_too_short_is_not_used() {
        let header = |count: u32, entry: i32| {
            let words = [0x1000_i32 - 4, 0, 0, entry].map(i32::to_le_bytes);
            let mut bytes = vec![1, 0x1b, 0x03, 0x3b];
            bytes.extend_from_slice(words.as_flattened());
            bytes[8..12].copy_from_slice(&count.to_le_bytes());
            bytes
        };
        let check = |bytes: &[u8]| is_sound(bytes, 0x4000, 0x5000);
        assert!(check(&header(1, 0x1010)));
        assert!(!check(&header(1, 0xfff)));
        assert!(!check(&header(2, 0x1010)));
        assert!(!check(&header(u32::MAX, 0x1010)));
        assert!(!is_sound(&header(1, 0x1010), 0x4000, 0x5008));
        assert!(!check(&[]));
    }

    #[test]
    fn tables_of_a_process_take_so_much_memory_and_no_more() {
        let small = include_bytes!("../tests/targets/small.elf");
        let mut input = Cursor::new(small);
        let file = Bounded::new(&mut input);
        let elf = file.parse().expect("an ELF file");
        let room = Room::new();
        assert!(tables(&elf, &room).eh_frame.is_some());
        assert!(room.0.load(Ordering::Relaxed) < TABLES_MAX);
        assert!(!room.take(TABLES_MAX));
        assert!(tables(&elf, &Room(AtomicU64::new(8))).eh_frame.is_none());
    }

    #[test]
    fn a_module_is_named_by_its_file() {
        for (path, name) in [
            ("/usr/lib/libc.so.6", "libc.so.6"),
            ("/srv/app (deleted)", "app"),
            ("[vdso]", "[vdso]"),
            ("", ""),
        ] {
            assert_eq!(file_name(Path::new(path)), name);
        }
    }
}
