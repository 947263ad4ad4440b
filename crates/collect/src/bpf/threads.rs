//! The threads of a process, read at once: what takes three files of `/proc` for each of them, and the
//! register and the kernel functions that no file shows, or only for a price.

use std::collections::BTreeMap;

use halfopen_evidence::{Missing, Pid, SchedStat};

use super::iterator::Iterator;
use super::kernel::{KernelTypes, PID_NAMESPACE, pid_namespace};
use super::object;
use crate::proc::parse::{Registers, SyscallLine};

/// `struct record` of bpf/threads.bpf.c, in words of 64 bits.
const WORDS: usize = 3 + 2 + 2 + 7 + 3 + FRAMES_MAX;
const RECORD: usize = WORDS * 8;

/// Frames of a kernel stack that are told.
const FRAMES_MAX: usize = 24;

/// Threads told of at most.
const TASKS_MAX: usize = 65_536;

/// Reads the threads of processes.
#[derive(Debug)]
pub(crate) struct TaskTable {
    iterator: Iterator,
}

/// A thread at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskRow {
    /// Read before everything else.
    pub(crate) sched: SchedStat,
    /// State letter, as `/proc/TID/stat` has it.
    pub(crate) state: char,
    pub(crate) name: String,
    /// `None` if it was on its way off a CPU or onto one: then its registers may be old.
    pub(crate) line: Option<SyscallLine>,
    pub(crate) frame_pointer: u64,
    /// Where in the kernel it sleeps: addresses of code, innermost first.
    pub(crate) kernel: Vec<u64>,
}

impl TaskTable {
    /// Loads the program.
    pub(super) fn load(kernel: &KernelTypes) -> Result<Self, Missing> {
        if cfg!(not(target_arch = "x86_64")) {
            return Err(Missing::unreadable("threads: registers are read on x86_64 only"));
        }
        let constants = [(PID_NAMESPACE, pid_namespace()?)];
        let object = object::THREADS.bytes();
        Ok(Self { iterator: Iterator::load_with(kernel, object, "threads", "task", &constants)? })
    }

    /// Every thread of a process, by tid; both numbers are those of our pid namespace. Empty if there
    /// is no such process.
    pub(crate) fn read(&mut self, pid: Pid) -> Result<BTreeMap<u32, TaskRow>, Missing> {
        self.iterator.set(pid.0)?;
        let mut rows = BTreeMap::new();
        self.iterator.open_for(pid)?.for_each(|record: &[u8; RECORD]| {
            if rows.len() < TASKS_MAX {
                let (tid, row) = read(record);
                rows.insert(tid, row);
            }
        })?;
        Ok(rows)
    }
}

fn read(record: &[u8; RECORD]) -> (u32, TaskRow) {
    let (words, _) = record.as_chunks::<8>();
    let word = |at: usize| words.get(at).map_or(0, |word| u64::from_ne_bytes(*word));
    let halves = |at: usize| {
        let [a, b, c, d, e, f, g, h] = words.get(at).copied().unwrap_or_default();
        (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]))
    };
    let (tid, state) = halves(3);
    let (on_cpu, kernel_length) = halves(4);
    let kernel_length = kernel_length.cast_signed().try_into().map_or(0, |bytes: usize| bytes / 8);
    let name: Vec<u8> =
        words[5..7].iter().flatten().copied().take_while(|&byte| byte != 0).collect();
    let registers = Registers {
        // The kernel shows `orig_ax` as an int (fs/proc/base.c, proc_pid_syscall).
        number: lower(word(7)),
        args: std::array::from_fn(|at| word(8 + at)),
        sp: word(14),
        pc: word(15),
    };
    let row = TaskRow {
        sched: SchedStat { cpu_ns: word(0), wait_ns: word(1), slices: word(2) },
        state: letter(state),
        name: String::from_utf8_lossy(&name).into_owned(),
        line: line(state, on_cpu != 0, registers),
        frame_pointer: word(16),
        kernel: (17..17 + kernel_length.min(FRAMES_MAX))
            .map(word)
            .take_while(|&address| address != 0)
            .collect(),
    };
    (tid, row)
}

/// As fs/proc/base.c `proc_pid_syscall` tells it, which waits for threads that are about to sleep.
fn line(state: u32, on_cpu: bool, registers: Registers) -> Option<SyscallLine> {
    if state == 0 {
        return Some(SyscallLine::Running);
    }
    if on_cpu {
        return None;
    }
    Some(match registers {
        Registers { number: u32::MAX, sp, pc, .. } => SyscallLine::Outside { sp, pc },
        registers => SyscallLine::In(registers),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn lower(word: u64) -> u32 {
    word as u32
}

/// The letter of a state (include/linux/sched.h `task_state_index`, `TASK_*`).
fn letter(state: u32) -> char {
    /// Bits of `TASK_REPORT`, each with a letter of its own.
    const REPORTED: u32 = 0x7f;
    const LETTERS: [char; 8] = ['R', 'S', 'D', 'T', 't', 'X', 'Z', 'P'];
    /// `TASK_UNINTERRUPTIBLE | TASK_NOLOAD`.
    const IDLE: u32 = 0x402;
    /// `TASK_RTLOCK_WAIT` and `TASK_FROZEN`, which are shown as uninterruptible.
    const AS_UNINTERRUPTIBLE: u32 = 0x1000 | 0x8000;
    if state & IDLE == IDLE {
        return 'I';
    }
    if state & AS_UNINTERRUPTIBLE != 0 {
        return 'D';
    }
    let highest = (state & REPORTED).checked_ilog2().map_or(0, |bit| bit + 1);
    LETTERS.get(highest as usize).copied().unwrap_or('R')
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::bpf::Programs;
    use crate::proc::parse;

    #[test]
    fn states_have_the_letters_that_proc_shows() {
        let check = |state, expected| assert_eq!(letter(state), expected, "{state:#x}");
        check(0, 'R');
        check(0x1, 'S');
        check(0x2001, 'S');
        check(0x2, 'D');
        check(0x102, 'D');
        check(0x402, 'I');
        check(0x8000, 'D');
        check(0x104, 'T');
        check(0x8, 't');
        check(0x20 | 0x80, 'Z');
        check(0x10 | 0x80, 'X');
        check(u32::MAX, 'I');
    }

    #[test]
    fn registers_count_only_of_a_thread_that_sleeps() {
        let registers = Registers { number: 7, args: [0; 6], sp: 1, pc: 2 };
        assert_eq!(line(0, false, registers), Some(SyscallLine::Running));
        assert_eq!(line(1, true, registers), None);
        assert_eq!(line(1, false, registers), Some(SyscallLine::In(registers)));
        let outside = Registers { number: u32::MAX, ..registers };
        assert_eq!(line(2, false, outside), Some(SyscallLine::Outside { sp: 1, pc: 2 }));
    }

    #[test]
    fn any_record_is_read() {
        for byte in 0..=u8::MAX {
            let (_, row) = read(&[byte; RECORD]);
            assert!(row.kernel.len() <= FRAMES_MAX && row.name.len() <= 48);
        }
    }

    fn table(programs: &mut Programs) -> Option<&mut TaskTable> {
        match programs.tasks() {
            Err(Missing::NotPermitted { needs }) => {
                println!("SKIPPED: BPF programs need {needs}");
                None
            }
            table => Some(table.expect("the program")),
        }
    }

    #[test]
    fn a_sleeping_thread_is_told_as_proc_tells_it() {
        let mut programs = Programs::default();
        let Some(table) = table(&mut programs) else { return };
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
        let pid = child.id();
        let file = |name: &str| fs::read(format!("/proc/{pid}/task/{pid}/{name}")).expect(name);
        // It is asleep, and stays so, once both ways tell the same of it.
        let told = (0..500).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            let rows = table.read(Pid(pid)).expect("rows");
            let row = rows.get(&pid)?.clone();
            assert_eq!(rows.len(), 1, "it has one thread");
            let line = parse::syscall(&file("syscall"));
            let stat = parse::stat(&file("stat")).expect("its stat");
            let sched = parse::schedstat(&file("schedstat"));
            let is_it = row.line == line
                && matches!(line, Some(SyscallLine::In(_)))
                && Some(row.sched) == sched
                && (row.state, row.name.as_str()) == (stat.state, "cat");
            is_it.then_some(row)
        });
        child.kill().and_then(|()| child.wait()).expect("it ends");
        let row = told.expect("both tell the same");
        assert!(row.kernel.len() > 2, "{row:x?}");
        assert_eq!(table.read(Pid(pid)), Ok(BTreeMap::new()), "it is gone");
    }

    #[test]
    fn every_thread_of_a_process_is_told_of_and_no_other() {
        let mut programs = Programs::default();
        let Some(table) = table(&mut programs) else { return };
        let (hold, until) = std::sync::mpsc::channel::<()>();
        let until = std::sync::Mutex::new(until);
        std::thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| until.lock().map(|until| until.recv().is_ok()).is_ok());
            }
            let rows = table.read(Pid(std::process::id())).expect("rows");
            let listed = fs::read_dir("/proc/self/task").expect("threads").count();
            assert!(rows.len() >= 100, "{} of {listed}", rows.len());
            assert!(rows.keys().all(|tid| fs::metadata(format!("/proc/self/task/{tid}")).is_ok()));
            drop(hold);
        });
    }
}
