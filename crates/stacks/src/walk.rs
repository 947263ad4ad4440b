//! From registers, stack bytes and unwinding tables to the calls that have not returned.
//!
//! A thread may be at any instruction: the tables of compilers say for each where the caller's frame
//! is, also while a function builds its own or takes it down.
//!
//! `/proc` shows the stack pointer and the program counter of a thread in a system call, and not its
//! frame pointer. Most functions are unwound without it. Where one is not, the frame pointer is looked
//! for on the stack: it is the address of a word with a return address behind it. That word need
//! not be a frame pointer, since the caller may use the register for anything. Old frames leave such
//! pairs behind as well, so a candidate counts by the walk that it gives: one that ends at the root of
//! the thread before one that does not, then one that goes against the fewest calls, then the longest.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{FrameAddress, Unwinder as _};
use halfopen_evidence::StackEnd;

use crate::calls::{CALL_MAX, Calls};
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
    /// Where on the stack the frame of each address ends and its caller's begins. The last frame has
    /// none.
    pub(crate) frame_ends: Vec<u64>,
    pub(crate) end: StackEnd,
}

/// Unwinds stacks of one process.
pub(crate) struct Walker {
    unwinder: UnwinderX86_64<std::sync::Arc<[u8]>>,
    cache: CacheX86_64,
    code: Code,
    calls: Calls,
}

/// Where code is, in the order of addresses.
struct Code(Vec<Range<u64>>);

impl Code {
    fn contains(&self, address: u64) -> bool {
        let after = self.0.partition_point(|range| range.start <= address);
        after.checked_sub(1).is_some_and(|at| self.0[at].contains(&address))
    }
}

impl Walker {
    /// For a process that runs these files, and code made at run time in these ranges besides.
    pub(crate) fn new(modules: &[Module], generated: &[Range<u64>]) -> Self {
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
        Self { unwinder, cache: CacheX86_64::new(), code: Code(code), calls: Calls::new(modules) }
    }

    /// Return addresses on the stacks of threads whose frame pointer is to be looked for, if there are
    /// no more than so many. [`Walker::learn`] wants the code before them.
    pub(crate) fn return_addresses<'c>(
        &mut self,
        copies: impl Iterator<Item = &'c ThreadCopy>,
        most: usize,
    ) -> BTreeSet<u64> {
        let mut addresses = BTreeSet::new();
        for copy in copies {
            if self.walk_from(copy, UNKNOWN).1 && addresses.len() < most {
                let words = copy.words().map(|(_, word)| word);
                addresses.extend(words.filter(|&word| self.code.contains(word)));
            }
        }
        addresses
    }

    /// Adds the code before return addresses.
    pub(crate) fn learn(&mut self, code: &BTreeMap<u64, [u8; CALL_MAX]>) {
        self.calls.learn(code);
    }

    /// Unwinds one thread.
    pub(crate) fn walk(&mut self, copy: &ThreadCopy) -> Walk {
        let known = copy.frame_pointer;
        let (first, needs_frame_pointer) = self.walk_from(copy, known.unwrap_or(UNKNOWN));
        // Where the tables say what is not followed here (the return address of vfork is in a register),
        // callers are looked for in the same way.
        let is_lost = known.is_some() && copy.in_call && first.end == StackEnd::Lost;
        if !needs_frame_pointer && !is_lost {
            return first;
        }
        let candidates = self.frame_pointers(copy);
        let walks = candidates.into_iter().map(|candidate| self.walk_from(copy, candidate).0);
        // Of equals the innermost counts.
        let walks: Vec<Walk> = walks.collect();
        let better = |best, walk| if self.rank(&walk) > self.rank(&best) { walk } else { best };
        walks.into_iter().fold(first, better)
    }

    /// The walk with this frame pointer, and whether it ended for want of one.
    fn walk_from(&mut self, copy: &ThreadCopy, frame_pointer: u64) -> (Walk, bool) {
        let missed = Cell::new(false);
        let mut read = |address: u64| {
            missed.set(missed.get() || address.abs_diff(UNKNOWN) < REACH);
            copy.word(address).ok_or(())
        };
        let mut registers = UnwindRegsX86_64::new(copy.pc, copy.sp, frame_pointer);
        let mut at = FrameAddress::from_instruction_pointer(copy.pc);
        let (mut addresses, mut frame_ends) = (Vec::new(), Vec::new());
        let end = loop {
            if addresses.len() == FRAMES_MAX {
                break StackEnd::Cut;
            }
            addresses.push(at.address_for_lookup());
            let Self { unwinder, cache, code, .. } = self;
            match unwinder.unwind_frame(at, &mut registers, cache, &mut read) {
                Ok(Some(returns_to)) if code.contains(returns_to) => {
                    match FrameAddress::from_return_address(returns_to) {
                        Some(caller) => at = caller,
                        None => break StackEnd::Lost,
                    }
                }
                // Where there are no tables, a return address is taken from the top of the stack; no
                // thread waits in the function that it began with.
                Ok(None) if !frame_ends.is_empty() => break StackEnd::Root,
                Ok(_) => break StackEnd::Lost,
                Err(framehop::Error::CouldNotReadStack(_)) if copy.is_cut => break StackEnd::Cut,
                Err(_) => break StackEnd::Lost,
            }
            frame_ends.push(registers.sp());
        };
        (Walk { addresses, frame_ends, end }, missed.get())
    }

    /// Where on the stack a frame pointer may point to, innermost first.
    fn frame_pointers(&self, copy: &ThreadCopy) -> Vec<u64> {
        let words: Vec<(u64, u64)> = copy.words().collect();
        let pairs = words.windows(2).filter_map(|pair| {
            let &[(at, _), (_, returns_to)] = pair else { return None };
            self.code.contains(returns_to).then_some(at)
        });
        pairs.take(CANDIDATES_MAX).collect()
    }

    fn rank(&self, walk: &Walk) -> (bool, Reverse<usize>, usize) {
        let contradicted = |pair: &&[u64]| match **pair {
            // A caller's address is that of the last byte of its call.
            [callee, caller] => self.calls.contradict(caller.wrapping_add(1), callee),
            _ => false,
        };
        let contradicted = walk.addresses.windows(2).filter(contradicted).count();
        (walk.end == StackEnd::Root, Reverse(contradicted), walk.addresses.len())
    }
}
