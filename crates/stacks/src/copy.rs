//! Registers and stack of one thread, copied while it does not move.

use halfopen_collect::proc::ProcessImage;
use halfopen_collect::proc::parse::Mapping;
use halfopen_evidence::{Missing, SchedStat, ThreadPlace, Tid};

/// The most that is copied of one stack, in bytes. Some 500 ordinary frames.
pub(crate) const STACK_MAX: usize = 64 << 10;

/// A thread at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ThreadCopy {
    pub(crate) pc: u64,
    pub(crate) sp: u64,
    /// The frame pointer, where the kernel told it: `/proc` does not.
    pub(crate) frame_pointer: Option<u64>,
    /// Whether it sleeps in a system call, which functions in few other places than the C library make.
    pub(crate) in_call: bool,
    /// Memory from the stack pointer on, as far as the stack's mapping or a bound goes.
    pub(crate) bytes: Vec<u8>,
    /// Whether the copy ends at the bound, and the stack perhaps does not.
    pub(crate) is_cut: bool,
}

impl ThreadCopy {
    /// Copies a thread that was in this place and has not run since its time slices were `since`, which
    /// were read before its place was, so that the copy is of the very call that it sat in then.
    ///
    /// # Errors
    /// If it has run, is gone, or may not be looked at.
    pub(crate) fn take(
        image: &ProcessImage,
        mappings: &[Mapping],
        tid: Tid,
        ThreadPlace { sp, pc, frame_pointer }: ThreadPlace,
        since: &SchedStat,
    ) -> Result<Self, Missing> {
        // Not on the heap, where thousands of copies would have the kernel clear new pages each time.
        let mut buffer = [0; STACK_MAX];
        let room = room(mappings, sp).min(buffer.len());
        let filled = image.memory(sp, &mut buffer[..room]);
        let bytes = buffer[..filled].to_vec();
        if has_run(since, &image.sched(tid)?) {
            return Err(moved());
        }
        Ok(Self { frame_pointer, ..Self::in_call(pc, sp, bytes) })
    }

    /// A thread in a system call, of which no frame pointer is known.
    pub(crate) const fn in_call(pc: u64, sp: u64, bytes: Vec<u8>) -> Self {
        let is_cut = bytes.len() == STACK_MAX;
        Self { pc, sp, frame_pointer: None, in_call: true, bytes, is_cut }
    }

    /// The word of the stack at this address.
    pub(crate) fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.sp)?).ok()?;
        Some(u64::from_ne_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }

    /// The aligned words of the stack, with their addresses.
    pub(crate) fn words(&self) -> impl Iterator<Item = (u64, u64)> {
        let skew = usize::try_from(self.sp.wrapping_neg() % 8).unwrap_or(0);
        let (words, _) = self.bytes.get(skew..).unwrap_or_default().as_chunks::<8>();
        let first = self.sp.wrapping_add(skew as u64);
        let address = move |at: usize| first.wrapping_add(8 * at as u64);
        words.iter().enumerate().map(move |(at, &word)| (address(at), u64::from_ne_bytes(word)))
    }
}

/// Bytes from a stack pointer to the end of its mapping. The guard page behind it could be read too,
/// and the kernel would make pages of the next stack for it.
pub(crate) fn room(mappings: &[Mapping], sp: u64) -> usize {
    let after = mappings.partition_point(|mapping| mapping.start <= sp);
    let stack = after.checked_sub(1).and_then(|at| mappings.get(at));
    let bytes = stack.map_or(0, |stack| stack.end.saturating_sub(sp));
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Time that a thread waits for a CPU without getting one is no sign that it ran.
fn has_run(before: &SchedStat, after: &SchedStat) -> bool {
    (before.cpu_ns, before.slices) != (after.cpu_ns, after.slices)
}

pub(crate) fn moved() -> Missing {
    Missing::unreadable("the thread runs: it does not stand still long enough to be copied")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(sp: u64, bytes: Vec<u8>) -> ThreadCopy {
        ThreadCopy { is_cut: false, ..ThreadCopy::in_call(0, sp, bytes) }
    }

    #[test]
    fn words_are_read_by_address_and_never_beyond_the_copy() {
        let bytes = (0..4_u64).flat_map(u64::to_ne_bytes).collect();
        let copy = copy(0x1000, bytes);
        assert_eq!(copy.word(0x1008), Some(1));
        assert_eq!(copy.word(0x1019), None);
        assert_eq!(copy.word(0xfff), None);
        assert_eq!(copy.words().last(), Some((0x1018, 3)));
    }

    #[test]
    fn words_of_a_stack_pointer_that_is_not_aligned_begin_with_the_next_aligned_one() {
        let unaligned = copy(0x1004, vec![0; 20]);
        assert_eq!(unaligned.words().map(|(at, _)| at).collect::<Vec<_>>(), [0x1008, 0x1010]);
        let at_the_end = copy(u64::MAX - 3, vec![0; 20]);
        assert!(at_the_end.words().count() <= 2);
    }
}
