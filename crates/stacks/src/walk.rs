//! From registers, stack bytes and unwinding tables to the calls that have not returned.
//!
//! A thread may be at any instruction: the tables of compilers say for each where the caller's frame
//! is, also while a function builds its own or takes it down.
//!
//! The kernel shows the stack pointer and the program counter of a thread in a system call, and not
//! its frame pointer. Most functions are unwound without it. Where one is not, the frame pointer is
//! looked for on the stack: it is the address of a saved frame pointer with a return address behind
//! it. Old frames leave such pairs behind as well, so a candidate counts by the walk that it gives:
//! one that ends at the root of the thread before one that does not, then the longest.

use std::cell::Cell;

use framehop::Unwinder as _;
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use halfopen_evidence::StackEnd;

use crate::copy::ThreadCopy;
use crate::module::Module;

/// Frames told at most.
const FRAMES_MAX: usize = 512;

/// Frame pointers that are tried.
const CANDIDATES_MAX: usize = 64;

/// Stands for a frame pointer that is not known: no address that can be read is near it.
const UNKNOWN: u64 = 0xdead_0000_0000_0000;

/// How far from a frame pointer a function's tables may reach.
const REACH: u64 = 1 << 32;

/// The instructions that a thread is at: its own, and the calls that have not returned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Walk {
    /// Innermost first: the program counter, then the last byte of each call.
    pub(crate) addresses: Vec<u64>,
    pub(crate) end: StackEnd,
}

/// Unwinds stacks of one process.
pub(crate) struct Walker {
    unwinder: UnwinderX86_64<std::sync::Arc<[u8]>>,
    cache: CacheX86_64,
    code: Vec<std::ops::Range<u64>>,
}

impl Walker {
    /// For a process that runs these files, and code made at run time in these ranges besides.
    pub(crate) fn new(modules: &[Module], generated: &[std::ops::Range<u64>]) -> Self {
        let mut unwinder = UnwinderX86_64::new();
        for module in modules {
            unwinder.add_module(framehop::Module::new(
                module.name.clone(),
                module.range.clone(),
                module.bias,
                module.tables.clone(),
            ));
        }
        let files = modules.iter().map(|module| module.range.clone());
        let mut code: Vec<_> = files.chain(generated.iter().cloned()).collect();
        code.sort_unstable_by_key(|range| range.start);
        Self { unwinder, cache: CacheX86_64::new(), code }
    }

    /// Unwinds one thread.
    pub(crate) fn walk(&mut self, copy: &ThreadCopy) -> Walk {
        let known = copy.frame_pointer;
        let (first, needs_frame_pointer) = self.walk_from(copy, known.unwrap_or(UNKNOWN));
        if known.is_some() || !needs_frame_pointer {
            return first;
        }
        let candidates = self.frame_pointers(copy);
        let walks = candidates.into_iter().map(|candidate| self.walk_from(copy, candidate).0);
        // Of equals the innermost counts.
        walks.fold(first, |best, walk| if rank(&walk) > rank(&best) { walk } else { best })
    }

    /// The walk with this frame pointer, and whether it ended for want of one.
    fn walk_from(&mut self, copy: &ThreadCopy, frame_pointer: u64) -> (Walk, bool) {
        let missed = Cell::new(false);
        let mut read = |address: u64| {
            missed.set(missed.get() || address.abs_diff(UNKNOWN) < REACH);
            copy.word(address).ok_or(())
        };
        let registers = UnwindRegsX86_64::new(copy.pc, copy.sp, frame_pointer);
        let mut frames = self.unwinder.iter_frames(copy.pc, registers, &mut self.cache, &mut read);
        let mut addresses = Vec::new();
        let end = loop {
            match frames.next() {
                Ok(Some(_)) if addresses.len() == FRAMES_MAX => break StackEnd::Cut,
                Ok(Some(address)) => addresses.push(address.address_for_lookup()),
                Ok(None) => break StackEnd::Root,
                Err(framehop::Error::CouldNotReadStack(_)) if copy.is_cut => break StackEnd::Cut,
                Err(_) => break StackEnd::Lost,
            }
        };
        (Walk { addresses, end }, missed.get())
    }

    /// Where on the stack a frame pointer may point to, innermost first.
    fn frame_pointers(&self, copy: &ThreadCopy) -> Vec<u64> {
        let words: Vec<(u64, u64)> = copy.words().collect();
        let end = words.last().map_or(0, |&(at, _)| at);
        let pairs = words.windows(2).filter_map(|pair| {
            let &[(at, saved), (_, returns_to)] = pair else { return None };
            let leads_outwards = saved > at && saved <= end || saved == 0;
            (leads_outwards && self.is_code(returns_to)).then_some(at)
        });
        pairs.take(CANDIDATES_MAX).collect()
    }

    fn is_code(&self, address: u64) -> bool {
        let after = self.code.partition_point(|range| range.start <= address);
        after.checked_sub(1).is_some_and(|at| self.code[at].contains(&address))
    }
}

fn rank(walk: &Walk) -> (bool, usize) {
    (walk.end == StackEnd::Root, walk.addresses.len())
}
