//! Where the fields of the Go runtime's structures are. Debugging information says it; programs that were
//! linked without are told by their version, and whatever is read by that is checked.

use std::collections::BTreeMap;

use addr2line::gimli::{
    AbbreviationsCacheStrategy, AttributeValue, DebuggingInformationEntry, Dwarf, DwarfSections,
    EndianSlice, Error, LittleEndian, Unit, constants,
};

use crate::elf::{self, Elf};

type Reader<'d> = EndianSlice<'d, LittleEndian>;

/// Entries of debugging information that are looked at: the runtime's package has some 20,000.
const ENTRIES_MAX: usize = 1 << 20;

/// Units, which are packages, that are looked at for the runtime's.
const UNITS_MAX: usize = 1 << 14;

/// Offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) g: Goroutine,
    /// `m.procid`: the tid of a thread.
    pub(super) m_procid: usize,
    pub(super) poll: Option<PollDesc>,
}

/// `runtime.g`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Goroutine {
    pub(super) stack_lo: usize,
    pub(super) stack_hi: usize,
    pub(super) m: usize,
    pub(super) sched_sp: usize,
    pub(super) sched_pc: usize,
    pub(super) syscallsp: usize,
    pub(super) syscallpc: usize,
    pub(super) atomicstatus: usize,
    pub(super) goid: usize,
    pub(super) waitreason: usize,
}

/// `runtime.pollDesc`: a descriptor that goroutines wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PollDesc {
    pub(super) fd: usize,
    /// The goroutine that waits to read.
    pub(super) rg: usize,
    /// The goroutine that waits to write.
    pub(super) wg: usize,
}

/// The largest offset that a field can have.
pub(super) const OFFSET_MAX: usize = 1024;

/// Structures and their members, as debugging information has them.
type Structures = BTreeMap<String, BTreeMap<String, usize>>;

const STRUCTURES: [&str; 5] =
    ["runtime.g", "runtime.m", "runtime.gobuf", "runtime.stack", "runtime.pollDesc"];

impl Layout {
    /// What a program's debugging information says.
    pub(super) fn stated(elf: &Elf<'_, '_>) -> Option<Self> {
        let section = |name: &str| elf::section(elf, name).unwrap_or_default();
        let sections = DwarfSections::load(|id| Ok::<_, Error>(section(id.name()))).ok()?;
        let mut dwarf: Dwarf<Reader<'_>> =
            sections.borrow(|section| EndianSlice::new(section, LittleEndian));
        // Go's linker has one list of abbreviations for all units.
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
        Self::of(&structures(&dwarf)?)
    }

    /// What programs of this version have, as measured (1.19) or as the runtime's source says (the
    /// others): `runtime/runtime2.go`, `runtime/netpoll.go`.
    pub(super) const fn of_version(minor: u32) -> Option<Self> {
        // `g.syscallbp` came with Go 1.23, `pollDesc.fdseq` with Go 1.22.
        let shift = match minor {
            18..=22 => 0,
            23 | 24 => 8,
            _ => return None,
        };
        let fdseq = if minor < 22 { 0 } else { 8 };
        Some(Self {
            g: Goroutine {
                stack_lo: 0,
                stack_hi: 8,
                m: 48,
                sched_sp: 56,
                sched_pc: 64,
                syscallsp: 112,
                syscallpc: 120,
                atomicstatus: 144 + shift,
                goid: 152 + shift,
                waitreason: 176 + shift,
            },
            m_procid: 72,
            poll: Some(PollDesc { fd: 8, rg: 24 + fdseq, wg: 32 + fdseq }),
        })
    }

    fn of(structures: &Structures) -> Option<Self> {
        let field = |structure: &str, member: &str| {
            let offset = *structures.get(structure)?.get(member)?;
            (offset <= OFFSET_MAX).then_some(offset)
        };
        let g = |member: &str| field("runtime.g", member);
        let sched = |member: &str| Some(g("sched")? + field("runtime.gobuf", member)?);
        let stack = |member: &str| Some(g("stack")? + field("runtime.stack", member)?);
        let poll = || {
            let member = |member: &str| field("runtime.pollDesc", member);
            Some(PollDesc { fd: member("fd")?, rg: member("rg")?, wg: member("wg")? })
        };
        Some(Self {
            g: Goroutine {
                stack_lo: stack("lo")?,
                stack_hi: stack("hi")?,
                m: g("m")?,
                sched_sp: sched("sp")?,
                sched_pc: sched("pc")?,
                syscallsp: g("syscallsp")?,
                syscallpc: g("syscallpc")?,
                atomicstatus: g("atomicstatus")?,
                goid: g("goid")?,
                waitreason: g("waitreason")?,
            },
            m_procid: field("runtime.m", "procid")?,
            poll: poll(),
        })
    }
}

/// The members of the runtime's structures. Go's linker puts each package into a unit of its own, named
/// by the package.
fn structures(dwarf: &Dwarf<Reader<'_>>) -> Option<Structures> {
    let mut units = dwarf.units();
    let mut left = ENTRIES_MAX;
    for _ in 0..UNITS_MAX {
        let Some(header) = units.next().ok()? else { break };
        let Ok(unit) = dwarf.unit(header) else { continue };
        if unit.name.is_some_and(|name| name.slice() == b"runtime") {
            return members(dwarf, &unit, &mut left);
        }
    }
    None
}

fn members(
    dwarf: &Dwarf<Reader<'_>>,
    unit: &Unit<Reader<'_>>,
    left: &mut usize,
) -> Option<Structures> {
    let mut found = Structures::new();
    let mut structure: Option<(isize, String)> = None;
    let mut entries = unit.entries();
    while let Some(entry) = entries.next_dfs().ok()? {
        let depth = entry.depth();
        *left = left.checked_sub(1)?;
        if structure.as_ref().is_some_and(|(at, _)| depth <= *at) {
            structure = None;
        }
        match (entry.tag(), &structure) {
            (constants::DW_TAG_structure_type, _) => {
                let name = name(dwarf, unit, entry);
                let name = name.filter(|name| STRUCTURES.contains(&name.as_str()));
                structure = name.map(|name| (depth, name));
            }
            (constants::DW_TAG_member, Some((_, of))) => {
                if let (Some(member), Some(at)) = (name(dwarf, unit, entry), offset(entry)) {
                    found.entry(of.clone()).or_default().insert(member, at);
                }
            }
            _ => {}
        }
    }
    Some(found)
}

fn name(
    dwarf: &Dwarf<Reader<'_>>,
    unit: &Unit<Reader<'_>>,
    entry: &DebuggingInformationEntry<Reader<'_>>,
) -> Option<String> {
    let name = entry.attr_value(constants::DW_AT_name)?;
    let name = dwarf.attr_string(unit, name).ok()?;
    Some(String::from_utf8_lossy(name.slice()).into_owned())
}

fn offset(entry: &DebuggingInformationEntry<Reader<'_>>) -> Option<usize> {
    let offset = entry.attr_value(constants::DW_AT_data_member_location)?;
    match offset {
        AttributeValue::Udata(offset) => usize::try_from(offset).ok(),
        _ => usize::try_from(offset.udata_value()?).ok(),
    }
}
