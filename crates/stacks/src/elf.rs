//! ELF files of another process, read by pieces and up to a bound.
//!
//! A file is never mapped: its owner could cut it short, and reading on would be a SIGBUS here.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{Read, Seek};
use std::ops::Range;

use object::elf::{PF_X, PT_LOAD};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::read::{ReadCache, ReadRef};
use object::{LittleEndian, Object, ObjectSection};

/// The most that is read of one file, in bytes: debugging information of a large program.
const READ_MAX: u64 = 1 << 30;

/// The largest section that is read, decompressed, in bytes.
const SECTION_MAX: u64 = 512 << 20;

/// What an ELF file is read from: a file, or memory.
pub(crate) trait Input: Read + Seek + Send {}

impl<T: Read + Seek + Send> Input for T {}

/// A file that hands out so much and no more.
pub(crate) struct Bounded<'f> {
    cache: ReadCache<&'f mut dyn Input>,
    left: Cell<u64>,
}

/// A 64-bit little-endian ELF file.
pub(crate) type Elf<'b, 'f> = ElfFile64<'b, LittleEndian, &'b Bounded<'f>>;

impl<'f> Bounded<'f> {
    pub(crate) fn new(input: &'f mut dyn Input) -> Self {
        Self { cache: ReadCache::new(input), left: Cell::new(READ_MAX) }
    }

    /// The file, if it is an ELF file of the kind that is read here.
    pub(crate) fn parse(&self) -> Option<Elf<'_, 'f>> {
        ElfFile64::parse(self).ok()
    }

    fn spend(&self, size: u64) -> Result<(), ()> {
        self.left.set(self.left.get().checked_sub(size).ok_or(())?);
        Ok(())
    }
}

impl<'b> ReadRef<'b> for &'b Bounded<'_> {
    fn len(self) -> Result<u64, ()> {
        self.cache.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'b [u8], ()> {
        self.spend(size)?;
        self.cache.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'b [u8], ()> {
        self.cache.read_bytes_at_until(range, delimiter)
    }
}

/// Contents of a section, decompressed. None of one that says it is too large then.
pub(crate) fn section<'b>(elf: &Elf<'b, '_>, name: &str) -> Option<Cow<'b, [u8]>> {
    section_if(elf, name, |bytes| bytes <= SECTION_MAX)
}

/// The same, if there is room for so many bytes as it says it has.
pub(crate) fn section_if<'b>(
    elf: &Elf<'b, '_>,
    name: &str,
    has_room: impl FnOnce(u64) -> bool,
) -> Option<Cow<'b, [u8]>> {
    let data = elf.section_by_name(name)?.compressed_data().ok()?;
    let data = has_room(data.uncompressed_size).then_some(data)?;
    data.decompress().ok().filter(|data| !data.is_empty())
}

/// Addresses of a section, as the file states them.
pub(crate) fn section_range(elf: &Elf<'_, '_>, name: &str) -> Option<Range<u64>> {
    let section = elf.section_by_name(name)?;
    Some(section.address()..section.address().checked_add(section.size())?)
}

/// The stated address of the code that lies at this offset of the file. Only segments of code count:
/// the one before may end within the same page.
pub(crate) fn stated_code_address(elf: &Elf<'_, '_>, offset: u64) -> Option<u64> {
    // Segments are mapped by whole pages; the loader needs address and offset to agree modulo one.
    const PAGE: u64 = 4096;
    elf.elf_program_headers().iter().find_map(|header| {
        let endian = elf.endian();
        let begin = header.p_offset(endian) & !(PAGE - 1);
        let end = header.p_offset(endian).checked_add(header.p_filesz(endian))?;
        let is_code = header.p_type(endian) == PT_LOAD && header.p_flags(endian).contains(PF_X);
        (is_code && (begin..end).contains(&offset))
            .then(|| (header.p_vaddr(endian) & !(PAGE - 1)).wrapping_add(offset - begin))
    })
}
