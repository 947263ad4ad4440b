//! Go: the goroutines of a program, told by reading its memory and nothing else. The program is not
//! stopped and is sent no signal.
//!
//! Goroutines that wait have no thread, so the stacks of threads do not show them. The runtime has a list
//! of all (`runtime.allgs`), and where each one stopped; its table of functions (`pclntab`) says what
//! that is and where the caller's frame begins. One that moves while it is copied is copied again.
//!
//! Programs that were stripped of their symbols (`-ldflags=-s`, `strip`) do not say where the list is.

mod code;
mod goroutine;
mod layout;
mod names;
mod pclntab;
mod program;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use halfopen_collect::in_time;
use halfopen_collect::proc::{ProcRoot, ProcessImage};
use halfopen_evidence::{
    Call, CallTarget, GoroutineGroup, GoroutineState, Goroutines, Missing, Pid, Reading, Tid,
};

use goroutine::{Header, Memory, Reader, Status};
use names::Names;
use program::{Program, Variables};
use words::u64_at;

/// Goroutines that are looked at. A program with more of them has most in few places.
const GOROUTINES_MAX: u64 = 1 << 17;

/// Groups that are told.
const GROUPS_MAX: usize = 1024;

/// Numbers told of each group.
const IDS_MAX: usize = 8;

/// The longest reason to wait that is told, in bytes; the runtime's longest has 44.
const REASON_MAX: u64 = 128;

/// Reasons that are read; the runtime has some 40.
const REASONS_MAX: u64 = 256;

/// What may be wrong of those that were looked at, as a part: list entries change while they are read.
const DOUBTFUL_PART: u64 = 16;

/// The goroutines of a process; not collected if it runs no Go program. How long that may take is
/// bounded, and whatever was not read by then is left out.
pub fn goroutines(root: &ProcRoot, pid: Pid, patience: Duration) -> Reading<Goroutines> {
    let (root, deadline) = (root.clone(), Instant::now() + patience);
    // The memory of a process that is stuck in the kernel can keep its reader for ever.
    let read = move |()| of_process(&root, pid, deadline);
    let mut read = in_time(patience, 1, &BTreeSet::from([()]), read);
    match read.remove(&()) {
        Some(Ok(Some(goroutines))) => Reading::Known(goroutines),
        Some(Ok(None)) => Reading::not_collected(),
        Some(Err(why)) => why.into(),
        None => crate::complete::out_of_time().into(),
    }
}

fn of_process(root: &ProcRoot, pid: Pid, deadline: Instant) -> Result<Option<Goroutines>, Missing> {
    let image = match ProcessImage::open(root, pid) {
        Reading::Known(image) => image,
        Reading::Missing(why) => return Err(why),
    };
    let Some(program) = Program::of(&image, &image.mappings()?)? else { return Ok(None) };
    let memory = |address: u64, buffer: &mut [u8]| image.memory(address, buffer);
    let mut found = read(&program, &memory, deadline)?;
    let tids = image.tids_as_it_knows_them()?;
    for group in &mut found.groups {
        let ours = group.threads.iter().filter_map(|own| tids.get(&own.0).copied());
        group.threads = ours.collect();
        if let GoroutineState::Waiting(Call {
            target: CallTarget::Descriptor { fd, what }, ..
        }) = &mut group.state
        {
            *what = image.descriptor(*fd).unwrap_or_default();
        }
    }
    Ok(Some(found))
}

/// The goroutines of a program in this memory, with the tids that it knows its threads by.
fn read(program: &Program, memory: &Memory<'_>, deadline: Instant) -> Result<Goroutines, Missing> {
    let Program { table, layout, variables, bias, .. } = program;
    let reader = Reader { memory, layout: *layout, table, bias: *bias };
    let unread = || Missing::unreadable("the list of goroutines");
    let all = reader.word(variables.allglen).ok_or_else(unread)?;
    let list = reader.word(variables.allgptr).ok_or_else(unread)?;
    let reasons = reasons(&reader, variables);
    let mut census = Census::default();
    for address in addresses(memory, list, all.min(GOROUTINES_MAX)) {
        if Instant::now() >= deadline {
            break;
        }
        census.note(&reader, address, &reasons);
    }
    if census.doubtful.saturating_mul(DOUBTFUL_PART) > census.looked_at {
        return Err(Missing::unreadable(format_args!(
            "goroutines: this program of {} lays them out in another way",
            program.version
        )));
    }
    let omitted = all.saturating_sub(census.looked_at).saturating_add(census.left_out);
    let version = program.version.clone();
    let groups = census.groups(Names::new(table, variables.funcdata, memory, deadline));
    Ok(Goroutines { version, groups, omitted })
}

/// The goroutines of a program of Go 1.19 with this table of functions, loaded where it says, whose list of
/// goroutines begins with its length and its address at `list`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn in_memory(
    table: Vec<u8>,
    memory: &Memory<'_>,
    list: u64,
    patience: Duration,
) -> Option<Result<Goroutines, Missing>> {
    let variables = Variables {
        allglen: list,
        allgptr: list.checked_add(8)?,
        reasons: Some((list.checked_add(16)?, 2)),
        funcdata: Some(list),
    };
    let program = Program {
        version: "go1.19".to_owned(),
        table: pclntab::Pclntab::parse(table, 0)?,
        layout: layout::Layout::of_version(19)?,
        variables,
        bias: 0,
    };
    Some(read(&program, memory, Instant::now() + patience))
}

/// The list of goroutines. What the program says of its length is not believed before it is there.
fn addresses<'m>(memory: &'m Memory<'m>, list: u64, count: u64) -> impl Iterator<Item = u64> + 'm {
    const CHUNK: u64 = 512;
    (0..count.div_ceil(CHUNK))
        .map_while(move |chunk| {
            let first = chunk * CHUNK;
            let words = usize::try_from((count - first).min(CHUNK)).ok()?;
            let mut bytes = vec![0; words * 8];
            let filled = memory(list.checked_add(first * 8)?, &mut bytes);
            bytes.truncate(filled);
            (filled > 0).then_some(bytes)
        })
        .flat_map(|bytes| {
            let words = (0..bytes.len() / 8).filter_map(|at| u64_at(&bytes, at * 8));
            words.collect::<Vec<u64>>()
        })
}

/// The runtime's words for what goroutines wait for.
fn reasons(reader: &Reader<'_>, variables: &Variables) -> Vec<String> {
    let Some((at, count)) = variables.reasons else { return Vec::new() };
    let text = |n: u64| {
        let (address, length) = (reader.word(at + n * 16)?, reader.word(at + n * 16 + 8)?);
        let mut text = vec![0; usize::try_from(length.min(REASON_MAX)).ok()?];
        let filled = (reader.memory)(address, &mut text);
        Some(String::from_utf8_lossy(text.get(..filled)?).into_owned())
    };
    let at_most = count.min(REASONS_MAX).min(u64::MAX.saturating_sub(at) / 16);
    (0..at_most).map(|n| text(n).unwrap_or_default()).collect()
}

/// What was met, folded.
#[derive(Default)]
struct Census {
    looked_at: u64,
    /// Those that were no goroutines, as far as their structures tell.
    doubtful: u64,
    met: BTreeMap<Place, Met>,
    /// Those of groups that are too many.
    left_out: u64,
}

/// What goroutines of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    state: GoroutineState,
    /// None of one that runs, or has not stood still.
    addresses: Option<Vec<u64>>,
}

#[derive(Default)]
struct Met {
    count: u64,
    ids: Vec<u64>,
    own_tids: Vec<u32>,
}

impl Census {
    fn note(&mut self, reader: &Reader<'_>, address: u64, reasons: &[String]) {
        self.looked_at += 1;
        let Some(header) = reader.header(address) else {
            self.doubtful += 1;
            return;
        };
        if header.status == Status::Dead {
            return;
        }
        let tid = reader.tid(&header);
        let (header, addresses, descriptor) = match reader.copy(address, header) {
            Some(copied) => (copied.header, Some(copied.addresses), copied.descriptor),
            None => (header, None, None),
        };
        let place = Place { state: state(&header, descriptor, reasons), addresses };
        if self.met.len() >= GROUPS_MAX && !self.met.contains_key(&place) {
            self.left_out += 1;
            return;
        }
        let met = self.met.entry(place).or_default();
        met.count += 1;
        if met.ids.len() < IDS_MAX {
            met.ids.push(header.id);
            met.own_tids.extend(tid);
        }
    }

    fn groups(self, mut names: Names<'_>) -> Vec<GoroutineGroup> {
        let group = |(place, met): (Place, Met)| GoroutineGroup {
            count: met.count,
            ids: met.ids,
            threads: met.own_tids.into_iter().map(Tid).collect(),
            state: place.state,
            frames: match place.addresses {
                Some(addresses) => Reading::Known(names.frames(&addresses)),
                None => Missing::unreadable("it runs, or does not stand still").into(),
            },
        };
        let mut groups: Vec<GoroutineGroup> = self.met.into_iter().map(group).collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }
}

fn state(header: &Header, descriptor: Option<u32>, reasons: &[String]) -> GoroutineState {
    match header.status {
        Status::Running => GoroutineState::Running,
        Status::Runnable => GoroutineState::Runnable,
        Status::InSyscall => GoroutineState::InSyscall,
        Status::Changing | Status::Dead => GoroutineState::Changing,
        Status::Waiting => {
            let name = reasons.get(usize::from(header.reason)).cloned().unwrap_or_default();
            let target = descriptor.map_or(CallTarget::Unknown, |fd| CallTarget::Descriptor {
                fd,
                what: String::new(),
            });
            GoroutineState::Waiting(Call { name, target })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary;

    /// Where the memory begins.
    const BASE: u64 = 0xc0_0000_0000;

    /// A list of these goroutines and what they have on their stacks, all in one piece of memory.
    fn memory(goroutines: &[[u64; 32]]) -> Vec<u8> {
        let reasons = [BASE + 48, 7, BASE + 55, 10];
        let list = BASE + 80;
        let mut words = vec![goroutines.len() as u64, list];
        words.extend(reasons);
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        bytes.extend(b"IO waitsemacquire");
        bytes.resize(80, 0);
        let first = list + 8 * goroutines.len() as u64;
        let at = |n: usize| first + 256 * n as u64;
        bytes.extend((0..goroutines.len()).map(at).flat_map(u64::to_le_bytes));
        bytes.extend(goroutines.as_flattened().iter().flat_map(|word| word.to_le_bytes()));
        bytes
    }

    /// A goroutine in this state that waits in `main.b`, which `main.a` has called, with a stack above
    /// its own structure.
    fn goroutine(id: u64, status: u64) -> [u64; 32] {
        let stack = BASE + 0x10_0000;
        let mut words = [0; 32];
        words[..2].copy_from_slice(&[stack, stack + 0x1000]);
        words[7..9].copy_from_slice(&[stack + 0x100, 0x40_1000 + 33]);
        words[18..20].copy_from_slice(&[status, id]);
        words[22] = 1;
        words
    }

    fn check(goroutines: &[[u64; 32]]) -> Result<Goroutines, Missing> {
        let bytes = memory(goroutines);
        let stack = [0, 0x40_1000 + 20, 0, 0].map(u64::to_le_bytes);
        let read = move |address: u64, buffer: &mut [u8]| {
            let from = |base: u64, bytes: &[u8], buffer: &mut [u8]| {
                let at = usize::try_from(address.wrapping_sub(base)).unwrap_or(usize::MAX);
                let bytes = bytes.get(at..).unwrap_or_default();
                let filled = bytes.len().min(buffer.len());
                buffer[..filled].copy_from_slice(&bytes[..filled]);
                filled
            };
            match from(BASE, &bytes, buffer) {
                0 => from(BASE + 0x10_0100, stack.as_flattened(), buffer),
                filled => filled,
            }
        };
        let patience = Duration::from_secs(60);
        in_memory(pclntab::tests::table(), &read, BASE, patience).expect("a table of functions")
    }

    #[test]
    fn goroutines_that_wait_at_one_place_are_told_once_with_their_callers() {
        let all = [goroutine(7, 4), goroutine(9, 4), goroutine(1, 1), goroutine(3, 6)];
        let found = check(&all).expect("goroutines");
        assert_eq!(found.omitted, 0);
        let [waiting, runnable] = found.groups.as_slice() else { panic!("{found:#?}") };
        assert_eq!((waiting.count, &*waiting.ids), (2, &[7, 9][..]));
        let call = Call { name: "semacquire".to_owned(), target: CallTarget::Unknown };
        assert_eq!(waiting.state, GoroutineState::Waiting(call));
        assert_eq!((runnable.count, &runnable.state), (1, &GoroutineState::Runnable));
        let frames = waiting.frames.get().expect("frames").iter();
        let lines: Vec<_> = frames
            .map(|frame| (&*frame.function, frame.line.as_ref().map(|line| line.line)))
            .collect();
        assert_eq!(lines, [("main.b", Some(12)), ("main.a", Some(15))]);
    }

    #[test]
    fn what_is_laid_out_in_another_way_is_not_told() {
        let mut odd = goroutine(7, 4);
        odd[18] = 77;
        let why = check(&[odd, goroutine(9, 4)]).expect_err("a reason");
        assert!(why.to_string().contains("another way"), "{why}");
    }

    proptest! {
        #[test]
        fn no_memory_makes_the_reader_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..24),
            tail in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = memory(&[goroutine(7, 4), goroutine(8, 3), goroutine(9, 2)]);
            bytes.extend(tail);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            arbitrary::goroutines(&pclntab::tests::table(), &bytes);
        }
    }
}
