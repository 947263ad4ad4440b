//! The image of a process for who unwinds its stacks: its threads' registers, its memory, and the
//! files that it runs.
//!
//! Every read is of a moment. A thread that did not run between two reads of
//! [`ProcessImage::sched`] with equal results had all along the registers and the stack that were
//! read in between.

use std::fs::File;
use std::path::Path;

use halfopen_evidence::{Missing, Pid, Reading, SchedStat, Tid};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};

use super::dir::{self, Dir};
use super::memory::Memory;
use super::parse::{self, Mapping, SyscallLine};
use super::root::ProcRoot;
use super::subject::living;

/// Mappings read at most.
const MAPPINGS_MAX: usize = 1 << 16;

/// A process, held by its open directories: a later process with its number is not mistaken for it.
#[derive(Debug)]
pub struct ProcessImage {
    process: Dir,
    tasks: Dir,
    /// Where its memory and its root are; see [`living`].
    task: Dir,
    memory: Memory,
}

impl ProcessImage {
    /// Opens a process.
    pub fn open(root: &ProcRoot, pid: Pid) -> Reading<Self> {
        Self::try_open(root, pid).map_or_else(Reading::from, Reading::Known)
    }

    fn try_open(root: &ProcRoot, pid: Pid) -> Result<Self, Missing> {
        let process = root.process(pid)?;
        let stat = process.parse("stat", parse::stat)?;
        let task = living(&process, &stat)?;
        Ok(Self { tasks: process.dir("task")?, memory: Memory::open(&task), process, task })
    }

    /// The registers of a thread that sits in a system call.
    ///
    /// # Errors
    /// If the thread is gone or may not be looked at.
    pub fn registers(&self, tid: Tid) -> Result<SyscallLine, Missing> {
        self.tasks.parse_optional(&format!("{tid}/syscall"), parse::syscall)
    }

    /// How much a thread has run so far.
    ///
    /// # Errors
    /// If the thread is gone or the kernel keeps no such figures.
    pub fn sched(&self, tid: Tid) -> Result<SchedStat, Missing> {
        self.tasks.parse_optional(&format!("{tid}/schedstat"), parse::schedstat)
    }

    /// Fills the buffer from this address on, as far as memory goes; returns how far.
    pub fn memory(&self, address: u64, buffer: &mut [u8]) -> usize {
        self.memory.read_some(address, buffer)
    }

    /// Its mappings, by address.
    ///
    /// # Errors
    /// If the process is gone or may not be looked at.
    pub fn mappings(&self) -> Result<Vec<Mapping>, Missing> {
        let mut mappings = Vec::new();
        self.task.lines("maps", |line| {
            if mappings.len() < MAPPINGS_MAX {
                mappings.extend(parse::mapping(line));
            }
        })?;
        Ok(mappings)
    }

    /// The file behind a mapping: the very one that is mapped where the kernel lets us have it, else
    /// what has its path now, as the process sees it.
    ///
    /// # Errors
    /// If neither can be opened, or it is no regular file.
    pub fn mapped_file(&self, mapping: &Mapping) -> Result<File, Missing> {
        let exact = format!("map_files/{:x}-{:x}", mapping.start, mapping.end);
        regular_file(&self.process, Path::new(&exact))
            .or_else(|_| self.file_below_root(&mapping.path))
    }

    /// A file by the path that it has for the process.
    ///
    /// # Errors
    /// If it cannot be opened, or is no regular file.
    pub fn file_below_root(&self, path: &Path) -> Result<File, Missing> {
        let below = path.strip_prefix("/").unwrap_or(path);
        regular_file(&self.task, &Path::new("root").join(below))
    }
}

/// Opens what another process chose, without side effects: neither a pipe nor a device.
fn regular_file(dir: &Dir, name: &Path) -> Result<File, Missing> {
    let failed = |errno| dir::missing(&dir.path(name), errno);
    let stat = statat(dir, name, AtFlags::empty()).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Missing::unreadable(format_args!("{} is no file", dir.path(name).display())));
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    openat(dir, name, flags, Mode::empty()).map(File::from).map_err(failed)
}
