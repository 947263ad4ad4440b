//! Where flows lie: blocks that never move, so that growing copies nothing and leaves no slack; and,
//! apart from them, what only those flows need whose segments were sent again.

use halfopen_evidence::prefetch;

use super::flow::Flow;
use super::resends::Resends;

/// No number of resends.
pub(super) const NONE: u32 = u32::MAX;

const BLOCK_BITS: u32 = 11;
const BLOCK: usize = 1 << BLOCK_BITS;

/// Flows by number. Numbers of flows that were freed are used again.
#[derive(Debug, Default)]
pub(super) struct Flows {
    blocks: Vec<Box<[Flow]>>,
    used: u32,
    free: Vec<u32>,
}

impl Flows {
    pub(super) fn add(&mut self, flow: Flow) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            if self.used as usize == self.blocks.len() * BLOCK {
                self.blocks.push(vec![Flow::default(); BLOCK].into_boxed_slice());
            }
            self.used += 1;
            self.used - 1
        });
        *self.at(number) = flow;
        number
    }

    pub(super) fn free(&mut self, number: u32) {
        self.free.push(number);
    }

    #[inline]
    pub(super) fn at(&mut self, number: u32) -> &mut Flow {
        &mut self.blocks[(number >> BLOCK_BITS) as usize][number as usize & (BLOCK - 1)]
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &Flow {
        &self.blocks[(number >> BLOCK_BITS) as usize][number as usize & (BLOCK - 1)]
    }

    /// Asks for the memory of a flow.
    #[inline]
    pub(super) fn fetch(&self, number: u32) {
        let flow = self.get(number);
        prefetch(&flow.facts);
        prefetch(&flow.began_ns);
    }

    /// How many are in use.
    pub(super) fn len(&self) -> usize {
        self.used as usize - self.free.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * BLOCK * size_of::<Flow>() + self.free.capacity() * size_of::<u32>()
    }
}

/// What was sent again, for the flows that have any.
#[derive(Debug, Default)]
pub(super) struct AllResends {
    all: Vec<Resends>,
    free: Vec<u32>,
}

impl AllResends {
    pub(super) fn get(&self, number: u32) -> Option<&Resends> {
        self.all.get(number as usize)
    }

    /// The resends with this number, or new ones if it is [`NONE`].
    pub(super) fn of(&mut self, number: &mut u32, new: impl FnOnce() -> Resends) -> &mut Resends {
        if *number == NONE {
            *number = self.free.pop().unwrap_or_else(|| {
                self.all.push(Resends::default());
                u32::try_from(self.all.len() - 1).unwrap_or(0)
            });
            self.all[*number as usize] = new();
        }
        &mut self.all[*number as usize]
    }

    pub(super) fn at(&mut self, number: u32) -> Option<&mut Resends> {
        self.all.get_mut(number as usize)
    }

    pub(super) fn free(&mut self, number: u32) {
        if number != NONE {
            self.free.push(number);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.all.capacity() * size_of::<Resends>() + self.free.capacity() * size_of::<u32>()
    }
}
