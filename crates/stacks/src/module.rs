//! The programs and libraries that a process runs: where they are in its memory, and what they say
//! about unwinding.

use std::fs::File;
use std::io::Cursor;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use framehop::ExplicitModuleSectionInfo;
use halfopen_collect::proc::ProcessImage;
use halfopen_collect::proc::parse::Mapping;

use object::Object as _;

use crate::elf::{self, Bounded, Elf, Input};

/// Unwinding tables of one file.
pub(crate) type Tables = ExplicitModuleSectionInfo<Arc<[u8]>>;

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
    pub(crate) fn open(image: &ProcessImage, mapping: &Mapping) -> Option<Self> {
        let mut input: Box<dyn Input> = if mapping.path == Path::new("[vdso]") {
            Box::new(Cursor::new(bytes_of(image, mapping)))
        } else if mapping.inode != 0 {
            Box::new(image.mapped_file(mapping).ok()?)
        } else {
            return None;
        };
        let (bias, tables, build_id) = {
            let file = Bounded::new(&mut *input);
            let elf = file.parse()?;
            let stated = elf::stated_code_address(&elf, mapping.offset)?;
            let build_id = elf.build_id().ok().flatten().map(<[u8]>::to_vec);
            (mapping.start.wrapping_sub(stated), tables(&elf), build_id)
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

fn tables(elf: &Elf<'_, '_>) -> Tables {
    let data = |name: &str| elf::section(elf, name).map(Arc::from);
    Tables {
        text_svma: elf::section_range(elf, ".text"),
        got_svma: elf::section_range(elf, ".got"),
        eh_frame_svma: elf::section_range(elf, ".eh_frame"),
        eh_frame: data(".eh_frame"),
        eh_frame_hdr_svma: elf::section_range(elf, ".eh_frame_hdr"),
        eh_frame_hdr: data(".eh_frame_hdr"),
        debug_frame: data(".debug_frame"),
        ..Tables::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
