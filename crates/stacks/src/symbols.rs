//! From addresses to functions and lines.

use std::collections::BTreeMap;

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use halfopen_evidence::SourceLine;
use object::read::elf::ElfSymbol;
use object::{Object, ObjectSymbol, SymbolKind};

use crate::demangle::demangle;
use crate::elf::{self, Bounded, Elf, Input};

/// The deepest chain of inlined functions that is told.
const INLINED_MAX: usize = 16;

/// A function at an address, and the line of source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) function: Option<String>,
    pub(crate) line: Option<SourceLine>,
}

/// What is at addresses of a file. Functions that were inlined into another come before it.
pub(crate) type Names = BTreeMap<u64, Vec<Named>>;

type Symbol<'b, 'e, 'f> =
    ElfSymbol<'b, 'e, object::elf::FileHeader64<object::LittleEndian>, &'b Bounded<'f>>;

/// Names these addresses, which are in ascending order, by what a file says of itself.
pub(crate) fn name(input: &mut dyn Input, addresses: &[u64], lines: bool) -> Names {
    let file = Bounded::new(input);
    let Some(elf) = file.parse() else { return Names::new() };
    let mut names = by_symbols(&elf, addresses);
    if lines {
        for (address, mut chain) in by_debugging_information(&elf, addresses).unwrap_or_default() {
            // The symbol of the function that the others are inlined into has its whole path.
            let whole = names.remove(&address).and_then(|mut named| named.pop()?.function);
            if let (Some(outermost), Some(function)) = (chain.last_mut(), whole) {
                outermost.function = Some(function);
            }
            names.insert(address, chain);
        }
    }
    names
}

/// By the symbol table, and by the exported symbols.
fn by_symbols(elf: &Elf<'_, '_>, addresses: &[u64]) -> Names {
    let mut best: BTreeMap<u64, Symbol<'_, '_, '_>> = BTreeMap::new();
    let functions = elf.symbols().chain(elf.dynamic_symbols()).filter(is_function);
    for symbol in functions {
        let from = addresses.partition_point(|&address| address < symbol.address());
        // Code written in assembly can have symbols without a size.
        let reach = symbol.address().saturating_add(symbol.size().max(1));
        let covered = addresses[from..]
            .iter()
            .enumerate()
            .take_while(|&(n, &address)| address < reach || (symbol.size() == 0 && n == 0));
        for (_, &address) in covered {
            best.entry(address)
                .and_modify(|held| {
                    if preference(&symbol) > preference(held) {
                        *held = symbol;
                    }
                })
                .or_insert(symbol);
        }
    }
    let named = |(address, symbol): (u64, Symbol<'_, '_, '_>)| {
        let function = Some(demangle(symbol.name().ok()?));
        Some((address, vec![Named { function, line: None }]))
    };
    best.into_iter().filter_map(named).collect()
}

fn is_function(symbol: &Symbol<'_, '_, '_>) -> bool {
    symbol.kind() == SymbolKind::Text && symbol.is_definition()
}

/// Of several symbols at an address: one that says how far it goes, the innermost, a global one.
fn preference(symbol: &Symbol<'_, '_, '_>) -> (bool, u64, bool) {
    (symbol.size() > 0, symbol.address(), symbol.is_global())
}

/// By DWARF, which also knows what was inlined.
fn by_debugging_information(elf: &Elf<'_, '_>, addresses: &[u64]) -> Option<Names> {
    let section = |name: &str| elf::section(elf, name).unwrap_or_default();
    let load =
        |id: addr2line::gimli::SectionId| Ok::<_, addr2line::gimli::Error>(section(id.name()));
    let sections = addr2line::gimli::DwarfSections::load(load).ok()?;
    let dwarf: Dwarf<EndianSlice<'_, LittleEndian>> =
        sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    let context = Context::from_dwarf(dwarf).ok()?;
    let named = |&address: &u64| Some((address, inlined_at(&context, address)?));
    Some(addresses.iter().filter_map(named).collect())
}

fn inlined_at(
    context: &Context<EndianSlice<'_, LittleEndian>>,
    address: u64,
) -> Option<Vec<Named>> {
    let mut frames = context.find_frames(address).skip_all_loads().ok()?;
    let mut named = Vec::new();
    while let Ok(Some(frame)) = frames.next()
        && named.len() < INLINED_MAX
    {
        let function = frame.function.and_then(|name| Some(demangle(&name.raw_name().ok()?)));
        let line = frame.location.and_then(|at| {
            Some(SourceLine { file: at.file?.to_owned(), line: at.line.filter(|&line| line > 0)? })
        });
        named.push(Named { function, line });
    }
    named.iter().any(|named| named.function.is_some()).then_some(named)
}
