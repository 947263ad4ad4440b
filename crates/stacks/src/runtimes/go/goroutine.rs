//! Goroutines, read from the memory of their program while it runs: each with what it does, what it waits
//! for, and the functions that it is in.

use super::layout::{Layout, OFFSET_MAX, PollDesc};
use super::pclntab::Pclntab;
use super::words::{u32_at, u64_at};

/// The most that is copied of one stack, in bytes.
const STACK_MAX: u64 = 64 << 10;

/// The largest stack that Go lets a goroutine have (`runtime/proc.go maxstacksize`), in bytes.
const GO_STACK_MAX: u64 = 1 << 30;

/// Frames told of one goroutine.
const FRAMES_MAX: usize = 64;

/// How often a goroutine that has moved meanwhile is copied again.
const ATTEMPTS: usize = 3;

/// Words of a stack that are tried as the address of what the goroutine waits for: its innermost frames
/// have it.
const POLL_WORDS: usize = 64;

/// No descriptor is larger (`fs.nr_open`).
const DESCRIPTORS_MAX: u64 = 1 << 30;

/// Set while the garbage collector has a goroutine's stack in hand.
const SCAN: u32 = 0x1000;

/// Functions that every stack ends in.
const ROOTS: [&str; 4] = ["runtime.goexit", "runtime.mstart", "runtime.mcall", "runtime.rt0_go"];

/// Fills a buffer from an address on, as far as memory goes, and says how far.
pub(super) type Memory<'m> = dyn Fn(u64, &mut [u8]) -> usize + 'm;

/// What `atomicstatus` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Runnable,
    Running,
    InSyscall,
    Waiting,
    /// Idle, being copied, preempted.
    Changing,
    Dead,
}

/// What its structure says of a goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: u64,
    pub(super) status: Status,
    /// Its place in the runtime's list of reasons.
    pub(super) reason: u8,
    /// The structure of the thread that has it; 0 if none has.
    pub(super) m: u64,
    stack: (u64, u64),
    sp: u64,
    pc: u64,
}

/// A goroutine at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) header: Header,
    /// Where it is and the calls that have not returned, innermost first, as the file states them; of
    /// all but the innermost, the address behind the call.
    pub(super) addresses: Vec<u64>,
    /// The descriptor that it waits for.
    pub(super) descriptor: Option<u32>,
}

/// How goroutines of one program are read.
pub(super) struct Reader<'a> {
    pub(super) memory: &'a Memory<'a>,
    pub(super) layout: Layout,
    pub(super) table: &'a Pclntab,
    /// What is to be subtracted from an address in memory to get the one that the file states.
    pub(super) bias: u64,
}

impl Status {
    /// None of a number that is no status (`runtime/runtime2.go _Gidle` and on).
    const fn of(number: u32) -> Option<Self> {
        Some(match number & !SCAN {
            0 | 5 | 8 | 9 => Self::Changing,
            1 => Self::Runnable,
            2 => Self::Running,
            3 => Self::InSyscall,
            // Since Go 1.26 also one that waits for what nobody can give it any more.
            4 | 10 => Self::Waiting,
            6 | 7 | 11 => Self::Dead,
            _ => return None,
        })
    }
}

impl Reader<'_> {
    /// What the structure at an address says. None if that is no goroutine: nothing is there, or it is
    /// laid out in another way.
    pub(super) fn header(&self, address: u64) -> Option<Header> {
        let mut bytes = [0; 2 * OFFSET_MAX + 8];
        let filled = (self.memory)(address, &mut bytes);
        let bytes = bytes.get(..filled)?;
        let g = self.layout.g;
        let status = Status::of(u32_at(bytes, g.atomicstatus)?)?;
        let (sp, pc) = match status {
            Status::InSyscall => (g.syscallsp, g.syscallpc),
            _ => (g.sched_sp, g.sched_pc),
        };
        let header = Header {
            id: u64_at(bytes, g.goid)?,
            status,
            reason: *bytes.get(g.waitreason)?,
            m: u64_at(bytes, g.m)?,
            stack: (u64_at(bytes, g.stack_lo)?, u64_at(bytes, g.stack_hi)?),
            sp: u64_at(bytes, sp)?,
            pc: u64_at(bytes, pc)?,
        };
        header.is_sound().then_some(header)
    }

    /// A goroutine with the functions that it is in; none if it runs, or does not stand still.
    pub(super) fn copy(&self, address: u64, mut header: Header) -> Option<Copied> {
        for _ in 0..ATTEMPTS {
            if header.status == Status::Running {
                return None;
            }
            let stack = self.stack(&header);
            let after = self.header(address)?;
            if after == header {
                let addresses = self.walk(&header, &stack);
                let descriptor = self.descriptor(address, &header, &stack);
                return Some(Copied { header, addresses, descriptor });
            }
            header = after;
        }
        None
    }

    /// The tid of the thread that has a goroutine, as the program knows it.
    pub(super) fn tid(&self, header: &Header) -> Option<u32> {
        let at = header.m.checked_add(self.layout.m_procid as u64).filter(|_| header.m != 0)?;
        u32::try_from(self.word(at)?).ok()
    }

    /// A word of memory.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let mut word = [0; 8];
        ((self.memory)(address, &mut word) == word.len()).then(|| u64::from_le_bytes(word))
    }

    fn stack(&self, header: &Header) -> Vec<u8> {
        let room = header.stack.1.saturating_sub(header.sp).min(STACK_MAX);
        let mut bytes = vec![0; usize::try_from(room).unwrap_or(0)];
        let filled = (self.memory)(header.sp, &mut bytes);
        bytes.truncate(filled);
        bytes
    }

    fn walk(&self, header: &Header, stack: &[u8]) -> Vec<u64> {
        let mut addresses = Vec::new();
        let (mut pc, mut at) = (header.pc.wrapping_sub(self.bias), 0_u64);
        while addresses.len() < FRAMES_MAX {
            let Some(function) = self.table.function(pc) else { break };
            addresses.push(pc);
            let is_root = self.table.name(function).is_none_or(|name| ROOTS.contains(&name));
            let bytes = if is_root { None } else { self.table.frame_bytes(function, pc) };
            let Some(return_at) = bytes.and_then(|bytes| at.checked_add(bytes)) else { break };
            let word = usize::try_from(return_at).ok().and_then(|at| u64_at(stack, at));
            let Some(returns_to) = word else { break };
            pc = returns_to.wrapping_sub(self.bias);
            at = return_at.saturating_add(8);
        }
        addresses
    }

    /// The descriptor that a goroutine waits for. Its innermost frames have the address of what the
    /// runtime keeps of the descriptor, which names the goroutine in turn.
    fn descriptor(&self, goroutine: u64, header: &Header, stack: &[u8]) -> Option<u32> {
        let poll = self.layout.poll.filter(|_| header.status == Status::Waiting)?;
        let (words, _) = stack.as_chunks::<8>();
        let words = words.iter().take(POLL_WORDS).map(|word| u64::from_le_bytes(*word));
        let own = header.stack.0..header.stack.1;
        words
            .filter(|&word| word != 0 && word % 8 == 0 && !own.contains(&word))
            .find_map(|word| self.waited_for(poll, word, goroutine))
    }

    fn waited_for(&self, poll: PollDesc, at: u64, goroutine: u64) -> Option<u32> {
        let field = |offset: usize| self.word(at.checked_add(offset as u64)?);
        let waits = field(poll.rg) == Some(goroutine) || field(poll.wg) == Some(goroutine);
        let fd = if waits { field(poll.fd)? } else { return None };
        u32::try_from(fd).ok().filter(|_| fd < DESCRIPTORS_MAX)
    }
}

impl Header {
    /// Whether it can be what it seems to be.
    fn is_sound(&self) -> bool {
        let (low, high) = self.stack;
        let has_stack = low < high && high - low <= GO_STACK_MAX;
        match self.status {
            Status::Dead | Status::Changing => true,
            // What is saved is of an earlier stop.
            Status::Running => self.id > 0 && has_stack,
            Status::Runnable | Status::InSyscall | Status::Waiting => {
                self.id > 0 && has_stack && (low..=high).contains(&self.sp)
            }
        }
    }
}
