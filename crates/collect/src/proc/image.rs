//! The image of a process for who unwinds its stacks: its threads' registers, its memory, and the
//! files that it runs.
//!
//! Every read is of a moment. A thread that did not run between two reads of
//! [`ProcessImage::sched`] with equal results had all along the registers and the stack that were
//! read in between.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use halfopen_evidence::{CgroupState, Missing, Pid, Reading, SchedStat, Tid};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};

use super::cgroup;
use super::descriptors::describe;
use super::dir::{self, Dir};
use super::in_root;
use super::memory::Memory;
use super::parse::{self, Mapping, Stat, Status, SyscallLine};
use super::root::ProcRoot;
use super::subject::{TIDS_MAX, living, own_numbers};

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

    /// Its name and start, and the state of its first thread, as they are now.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn stat(&self) -> Result<Stat, Missing> {
        self.process.parse("stat", parse::stat)
    }

    /// Its state, users, signals and numbers, as they are now.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn status(&self) -> Result<Status, Missing> {
        Ok(parse::status(&self.task.read("status")?))
    }

    /// Whether its control groups let it run, as of now.
    pub fn cgroup(&self, root: &ProcRoot) -> Reading<CgroupState> {
        cgroup::read(root, &self.process)
    }

    /// A thread of it that has a tracer, and the tracer's pid.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn traced(&self) -> Result<Option<(Tid, Pid)>, Missing> {
        let tracer = |tid: u32| {
            let status = parse::status(&self.tasks.read(&format!("{tid}/status")).ok()?);
            Some((Tid(tid), Pid(status.tracer.filter(|&tracer| tracer != 0)?)))
        };
        Ok(self.live()?.into_iter().find_map(tracer))
    }

    /// Its threads by the tids that they have in the innermost of its pid namespaces.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn tids_as_it_knows_them(&self) -> Result<BTreeMap<u32, Tid>, Missing> {
        let own = own_numbers(&self.live()?, &self.task, &self.tasks);
        Ok(own.into_iter().map(|(own, tid)| (own, Tid(tid))).collect())
    }

    fn live(&self) -> Result<Vec<u32>, Missing> {
        Ok(self.tasks.numbers(".", TIDS_MAX)?.0)
    }

    /// Its directory in `/proc`, which the kernel takes for a pidfd (since Linux 5.1).
    #[must_use]
    pub fn as_pidfd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    /// Fills the buffer from this address on, as far as memory goes; returns how far.
    pub fn memory(&self, address: u64, buffer: &mut [u8]) -> usize {
        self.memory.read_some(address, buffer)
    }

    /// What one of its descriptors is, in the words of [`halfopen_evidence::CallTarget::Descriptor`].
    ///
    /// # Errors
    /// If it is not open, or may not be looked at.
    pub fn descriptor(&self, fd: u32) -> Result<String, Missing> {
        describe(&self.task, fd).map(|(what, _)| what)
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
        let open = |flags| openat(&self.process, exact.as_str(), flags, Mode::empty());
        regular_file(&self.process.path(&exact), open)
            .or_else(|_| self.file_below_root(&mapping.path))
    }

    /// A file by the path that it has for the process.
    ///
    /// # Errors
    /// If it cannot be opened, or is no regular file.
    pub fn file_below_root(&self, path: &Path) -> Result<File, Missing> {
        let named = self.task.path("root").join(path.strip_prefix("/").unwrap_or(path));
        let root = self.root().map_err(|errno| dir::missing(&named, errno))?;
        regular_file(&named, |flags| in_root::open(&root, path, flags))
    }

    /// The directory of this name in the root directory of the process, for opening what is in it. A link
    /// leads where it leads for the process, on kernels that can follow it so (since Linux 5.6).
    ///
    /// # Errors
    /// If it cannot be opened, or is no directory.
    pub fn dir_in_root(&self, name: &str) -> Result<OwnedFd, Missing> {
        let failed = |errno| dir::missing(&self.task.path("root").join(name), errno);
        in_root::open(self.root().map_err(failed)?, Path::new(name), DIRECTORY).map_err(failed)
    }

    fn root(&self) -> rustix::io::Result<OwnedFd> {
        openat(&self.task, "root", DIRECTORY, Mode::empty())
    }
}

/// A directory that others are opened in.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens what another process chose, without side effects: neither a pipe nor a device.
fn regular_file(
    path: &Path,
    open: impl Fn(OFlags) -> rustix::io::Result<OwnedFd>,
) -> Result<File, Missing> {
    let failed = |errno| dir::missing(path, errno);
    let found = open(OFlags::PATH | OFlags::CLOEXEC).map_err(failed)?;
    let mode = fstat(found).map_err(failed)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::RegularFile {
        return Err(Missing::unreadable(format_args!("{} is no file", path.display())));
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    open(flags).map(File::from).map_err(failed)
}
