//! What the file of a Go program says: its version, its functions, where the runtime keeps the list of
//! goroutines, and how these are laid out.

use halfopen_collect::proc::ProcessImage;
use halfopen_collect::proc::parse::Mapping;
use halfopen_evidence::Missing;
use object::{Object, ObjectSection, ObjectSymbol};

use super::code;
use super::layout::Layout;
use super::pclntab::Pclntab;
use super::words::varint;
use crate::elf::{self, Bounded, Elf, Input};

/// Where the table of functions is; the second in programs that are linked to run anywhere.
const TABLES: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];

/// The largest table of functions that is read, in bytes: that of Kubernetes has some 30 MB.
const TABLE_MAX: usize = 256 << 20;

/// The most that is read of the code of one function, in bytes.
const CODE_MAX: u64 = 4096;

/// The longest version that is told, in bytes.
const VERSION_MAX: usize = 64;

/// What begins the section `.go.buildinfo` (`debug/buildinfo`).
const BUILD_INFO: &[u8; 14] = b"\xff Go buildinf:";

/// A Go program.
pub(super) struct Program {
    pub(super) version: String,
    pub(super) table: Pclntab,
    pub(super) layout: Layout,
    pub(super) variables: Variables,
    /// What is to be subtracted from an address in memory to get the one that the file states.
    pub(super) bias: u64,
}

/// Where variables of the runtime are in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variables {
    /// Where all goroutines are, which is written before `allglen`.
    pub(super) allgptr: u64,
    pub(super) allglen: u64,
    /// The texts of reasons to wait, and how many there are.
    pub(super) reasons: Option<(u64, u64)>,
    /// What describes functions and is not in the table.
    pub(super) funcdata: Option<u64>,
}

impl Program {
    /// The program that a process runs; none if it is no Go program. Its file is the one whose code is
    /// lowest in memory.
    ///
    /// # Errors
    /// What of a Go program is missing, so that its goroutines cannot be told.
    pub(super) fn of(image: &ProcessImage, mappings: &[Mapping]) -> Result<Option<Self>, Missing> {
        let code = mappings.iter().find(|mapping| mapping.executable && mapping.inode != 0);
        match code.map(|mapping| (mapping, image.mapped_file(mapping))) {
            Some((mapping, Ok(mut file))) => Self::read(&mut file, mapping),
            // What cannot be opened shows in the stacks of threads.
            Some((_, Err(_))) | None => Ok(None),
        }
    }

    fn read(input: &mut dyn Input, mapping: &Mapping) -> Result<Option<Self>, Missing> {
        let file = Bounded::new(input);
        let Some(elf) = file.parse() else { return Ok(None) };
        let stated = elf::stated_code_address(&elf, mapping.offset);
        let Some(bias) = stated.map(|stated| mapping.start.wrapping_sub(stated)) else {
            return Ok(None);
        };
        let table = TABLES.into_iter().find_map(|name| elf::section(&elf, name));
        let Some(table) = table.filter(|table| table.len() <= TABLE_MAX) else { return Ok(None) };
        let text = elf::section_range(&elf, ".text").map_or(0, |text| text.start);
        let version = version(&elf).unwrap_or_default();
        let unknown =
            |what: &str| Missing::unreadable(format_args!("{what} of {version} programs"));
        let table = Pclntab::parse(table.into_owned(), text)
            .ok_or_else(|| unknown("the table of functions"))?;
        let variables = Variables::of(&elf, bias).or_else(|| Variables::used(&elf, &table, bias));
        let variables = variables.ok_or_else(|| {
            Missing::unreadable(
                "the list of goroutines: the program was stripped of its symbols \
                 (runtime.allgptr), and its code does not show it",
            )
        })?;
        let layout = Layout::stated(&elf)
            .or_else(|| Layout::of_version(minor(&version)?))
            .ok_or_else(|| unknown("without debugging information, the goroutines"))?;
        Ok(Some(Self { version, table, layout, variables, bias }))
    }
}

impl Variables {
    fn of(elf: &Elf<'_, '_>, bias: u64) -> Option<Self> {
        let [mut allgptr, mut allglen, mut reasons, mut funcdata] = [None; 4];
        for symbol in elf.symbols() {
            let place = match symbol.name_bytes() {
                Ok(b"runtime.allgptr") => &mut allgptr,
                Ok(b"runtime.allglen") => &mut allglen,
                Ok(b"runtime.waitReasonStrings") => &mut reasons,
                Ok(b"go:func.*" | b"go.func.*") => &mut funcdata,
                _ => continue,
            };
            *place = Some((symbol.address().wrapping_add(bias), symbol.size()));
        }
        // Each text is an address and a length.
        let reasons = reasons.map(|(at, bytes)| (at, bytes / 16));
        let funcdata = funcdata.map(|(at, _)| at);
        Some(Self { allgptr: allgptr?.0, allglen: allglen?.0, reasons, funcdata })
    }
}

impl Variables {
    /// The same of a program without symbols, by the functions that use them.
    fn used(elf: &Elf<'_, '_>, table: &Pclntab, bias: u64) -> Option<Self> {
        let text = elf.section_by_name(".text")?;
        let code = |name: &str| {
            let range = table.code_of(name)?;
            let length = range.end.checked_sub(range.start)?.min(CODE_MAX);
            Some((text.data_range(range.start, length).ok()??, range.start))
        };
        let (bytes, at) = code(code::ADDS_GOROUTINE)?;
        let list = code::list(bytes, at)?.wrapping_add(bias);
        let texts = elf::section_range(elf, ".rodata");
        let is_variable = |address| !texts.as_ref().is_some_and(|texts| texts.contains(&address));
        let reasons = code(code::NAMES_REASON)
            .and_then(|(bytes, at)| code::reasons(bytes, at, is_variable))
            .map(|(at, count)| (at.wrapping_add(bias), count));
        Some(Self { allgptr: list, allglen: list.checked_add(8)?, reasons, funcdata: None })
    }
}

/// What it was made with, of programs since Go 1.18: before, the section only points there.
fn version(elf: &Elf<'_, '_>) -> Option<String> {
    let section = elf::section(elf, ".go.buildinfo")?;
    let flags = *section.strip_prefix(BUILD_INFO)?.get(1)?;
    if flags & 2 == 0 {
        return None;
    }
    let mut bytes = section.get(32..)?;
    let length = usize::try_from(varint(&mut bytes)?).ok()?;
    let text = bytes.get(..length.min(VERSION_MAX))?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// The 19 of `go1.19.8`.
fn minor(version: &str) -> Option<u32> {
    let rest = version.strip_prefix("go1.")?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minor_version_is_read_from_any_release() {
        for (version, expected) in [
            ("go1.19.8", Some(19)),
            ("go1.24rc2", Some(24)),
            ("go1.22", Some(22)),
            ("devel go1.25-abc", None),
            ("", None),
        ] {
            assert_eq!(minor(version), expected, "{version}");
        }
    }
}
