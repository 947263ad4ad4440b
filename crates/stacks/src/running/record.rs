//! The records of a perf event, from bytes to copies of threads. Any bytes are taken.

use crate::copy::ThreadCopy;

/// The most that the kernel copies of a stack, in bytes. It has to fit into a record's 64 KiB.
pub(super) const STACK_MAX: u32 = 16 << 10;

/// The registers that are asked for, as bits: frame pointer, stack pointer and program counter
/// (arch/x86/include/uapi/asm/perf_regs.h). They come in this order.
pub(super) const REGISTERS: u64 = 1 << 6 | 1 << 7 | 1 << 8;

/// Registers that are a 64-bit program's.
const ABI_64: u64 = 2;

/// Stands for a register that the kernel did not keep.
const NOT_KEPT: u64 = u64::MAX;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// The thread at one moment; nothing for one without a user stack, or a 32-bit one.
    Sample(Option<ThreadCopy>),
    /// So many records found no room.
    Lost(u64),
}

/// What these records say, as far as they make sense. Other kinds of records are passed over.
pub(super) fn records(bytes: &[u8]) -> impl Iterator<Item = Record> {
    let mut rest = Bytes(bytes);
    std::iter::from_fn(move || rest.record()).flatten()
}

struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    /// The next record: `struct perf_event_header`, and a body whose shape its type tells.
    fn record(&mut self) -> Option<Option<Record>> {
        const HEADER: usize = 8;
        const LOST: u32 = 2;
        const SAMPLE: u32 = 9;
        let kind = u32::from_ne_bytes(*self.0.first_chunk()?);
        let size = u16::from_ne_bytes(*self.0.get(6..)?.first_chunk()?);
        let whole = self.take(usize::from(size))?;
        let mut body = Self(whole.get(HEADER..)?);
        Some(match kind {
            SAMPLE => Some(Record::Sample(body.sample())),
            LOST => body.lost().map(Record::Lost),
            _ => None,
        })
    }

    /// User registers and user stack, in this order.
    fn sample(&mut self) -> Option<ThreadCopy> {
        if self.word()? != ABI_64 {
            return None;
        }
        let (frame_pointer, sp, pc) = (self.word()?, self.word()?, self.word()?);
        let room = self.word()?;
        let stack = self.take(usize::try_from(room).ok()?)?;
        let copied = self.word()?;
        Some(ThreadCopy {
            pc,
            sp,
            frame_pointer: (frame_pointer != NOT_KEPT).then_some(frame_pointer),
            in_call: false,
            bytes: stack.get(..usize::try_from(copied).ok()?)?.to_vec(),
            is_cut: copied >= u64::from(STACK_MAX),
        })
    }

    fn lost(&mut self) -> Option<u64> {
        let _id = self.word()?;
        self.word()
    }

    fn word(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*word))
    }

    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u32, body: &[u8]) -> Vec<u8> {
        let size = u16::try_from(8 + body.len()).expect("a record's size");
        [&kind.to_ne_bytes()[..], &[0; 2], &size.to_ne_bytes(), body].concat()
    }

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().copied().flat_map(u64::to_ne_bytes).collect()
    }

    /// A sample with a stack of two words, of which one was copied.
    fn sample(frame_pointer: u64) -> Vec<u8> {
        record(9, &words(&[ABI_64, frame_pointer, 0x7000, 0x40_0000, 16, 77, 0, 8]))
    }

    fn copy(frame_pointer: Option<u64>) -> ThreadCopy {
        let bytes = words(&[77]);
        ThreadCopy {
            frame_pointer,
            in_call: false,
            ..ThreadCopy::in_call(0x40_0000, 0x7000, bytes)
        }
    }

    fn check(bytes: &[u8], expected: &[Record]) {
        assert_eq!(records(bytes).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn samples_and_losses_are_told_in_order_and_other_records_passed_over() {
        let bytes = [sample(0x7008), record(2, &words(&[1, 5])), record(5, &[0; 24]), sample(1)];
        let expected = [
            Record::Sample(Some(copy(Some(0x7008)))),
            Record::Lost(5),
            Record::Sample(Some(copy(Some(1)))),
        ];
        check(&bytes.concat(), &expected);
    }

    #[test]
    fn a_frame_pointer_that_was_not_kept_is_not_known() {
        check(&sample(u64::MAX), &[Record::Sample(Some(copy(None)))]);
    }

    #[test]
    fn a_sample_without_user_registers_has_no_stack() {
        check(&record(9, &words(&[0, 0])), &[Record::Sample(None)]);
    }

    #[test]
    fn a_stack_as_large_as_the_bound_may_go_on() {
        let size = u64::from(STACK_MAX);
        let head = words(&[ABI_64, 0, 0x7000, 0x40_0000, size]);
        let bytes = record(9, &[head, vec![0; 16 << 10], words(&[size])].concat());
        let Some(Record::Sample(Some(copy))) = records(&bytes).next() else { panic!("no sample") };
        assert!(copy.is_cut && copy.bytes.len() == 16 << 10);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_and_no_more_comes_out_than_goes_in(bytes in vec(any::<u8>(), 0..512)) {
            let copied = |record| match record {
                Record::Sample(Some(copy)) => copy.bytes.len(),
                Record::Sample(None) | Record::Lost(_) => 0,
            };
            prop_assert!(records(&bytes).map(copied).sum::<usize>() <= bytes.len());
        }

        #[test]
        fn a_record_that_is_damaged_costs_no_more_than_what_follows_it(
            at in 0_usize..144, byte in any::<u8>(), cut in 0_usize..=144,
        ) {
            let mut bytes = [sample(1), sample(2)].concat();
            bytes[at] = byte;
            bytes.truncate(cut);
            prop_assert!(records(&bytes).count() <= bytes.len() / 8);
            let whole = sample(1).len();
            if at >= whole && cut >= whole {
                prop_assert_eq!(records(&bytes).next(), Some(Record::Sample(Some(copy(Some(1))))));
            }
        }
    }
}
