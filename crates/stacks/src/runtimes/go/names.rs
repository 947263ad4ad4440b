//! From addresses to functions and lines of source, those first that were inlined into others.

use std::collections::BTreeMap;
use std::time::Instant;

use halfopen_evidence::ManagedFrame;

use super::goroutine::Memory;
use super::pclntab::{Function, INLINED_CALL_MAX, Pclntab};

/// The deepest chain of inlined functions that is told.
const INLINED_MAX: usize = 16;

/// Functions by address, each looked up once.
pub(super) struct Names<'a> {
    table: &'a Pclntab,
    /// Where `go:func.*` is in memory.
    funcdata: Option<u64>,
    memory: &'a Memory<'a>,
    /// What is asked for later stays without a name.
    deadline: Instant,
    known: BTreeMap<u64, Vec<ManagedFrame>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(
        table: &'a Pclntab,
        funcdata: Option<u64>,
        memory: &'a Memory<'a>,
        deadline: Instant,
    ) -> Self {
        Self { table, funcdata, memory, deadline, known: BTreeMap::new() }
    }

    /// The functions at these addresses, innermost first, of which all but the first are behind a call.
    pub(super) fn frames(&mut self, addresses: &[u64]) -> Vec<ManagedFrame> {
        let at = |(n, &address): (usize, &u64)| address.wrapping_sub(u64::from(n > 0));
        addresses.iter().enumerate().map(at).flat_map(|address| self.at(address)).collect()
    }

    fn at(&mut self, address: u64) -> Vec<ManagedFrame> {
        if let Some(known) = self.known.get(&address) {
            return known.clone();
        }
        let in_time = Instant::now() < self.deadline;
        let found = if in_time { self.look_up(address) } else { None };
        let frames = found.unwrap_or_else(|| {
            vec![ManagedFrame { function: format!("{address:#x}"), line: None }]
        });
        self.known.insert(address, frames.clone());
        frames
    }

    fn look_up(&self, address: u64) -> Option<Vec<ManagedFrame>> {
        let function = self.table.function(address)?;
        let mut frames = Vec::new();
        let mut at = address;
        while let Some((name, parent)) = self.inlined(function, at)
            && frames.len() < INLINED_MAX
        {
            frames.push(self.frame(name, function, at));
            at = parent;
        }
        let mut outermost = self.frame(self.table.name(function)?.to_owned(), function, at);
        if self.table.inlined_call(function, at).is_some() {
            // The line is one of a function that was inlined, and is not known by name.
            outermost.line = None;
        }
        frames.push(outermost);
        Some(frames)
    }

    fn frame(&self, name: String, function: Function, at: u64) -> ManagedFrame {
        ManagedFrame { function: name, line: self.table.line(function, at) }
    }

    /// The inlined function that an address is in, and an address whose line is that of its call.
    fn inlined(&self, function: Function, at: u64) -> Option<(String, u64)> {
        let call = self.table.inlined_call(function, at)?;
        let (offset, bytes) = self.table.described(function, call)?;
        let mut description = [0; INLINED_CALL_MAX];
        let description = description.get_mut(..bytes)?;
        let from = self.funcdata?.checked_add(offset)?;
        ((self.memory)(from, description) == bytes).then_some(())?;
        let (name, parent) = self.table.inlined(function, description)?;
        Some((name.to_owned(), parent))
    }
}
