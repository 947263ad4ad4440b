//! Which processes hold a socket.
//!
//! The kernel keeps no way from a socket to its processes, so every link in every `/proc/PID/fd` is
//! read: 1 to 3 µs each, which is what the two system calls take. Nothing is allocated per
//! descriptor. A healthy listener is worth only a quick look, since servers open
//! their listeners early: [`Extent::FirstDescriptors`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};

use halfopen_evidence::{Holder, HolderSearch, Inode, Missing, Pid, Reading};
use rustix::fs::{Mode, OFlags, RawDir, openat, readlinkat_raw};
use rustix::io::Errno;

use super::dir::{Dir, for_each_number};
use super::parse::{self, Stat};
use super::root::ProcRoot;
use super::subject::live_thread;
use crate::privilege;

/// Links read by a quick search: some 10 ms.
const QUICK_LINKS: u32 = 4096;

/// Processes visited by a quick search: some 10 ms if none of them can be read.
const QUICK_PROCESSES: u32 = 2048;

/// Room for the first 64 descriptors and the two dots: a getdents64 entry with a short name takes
/// 24 bytes.
const QUICK_ENTRIES: usize = 66 * 24;

/// Processes that are told of per socket, those with the lowest pids.
const HOLDERS_MAX: usize = 1024;

/// How far to look for holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every descriptor of every process.
    Everywhere,
    /// The first 64 descriptors of each process, until each socket has a holder or some
    /// milliseconds are spent.
    FirstDescriptors,
}

/// Who holds which of the sockets that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderFindings {
    /// Holders by pid, at most 1024 per socket, each with its lowest descriptor. Sockets without a
    /// holder are left out.
    pub found: BTreeMap<Inode, Vec<Holder>>,
    /// Where they were looked for.
    pub search: HolderSearch,
}

impl HolderFindings {
    /// The holder of a socket with the lowest pid; `None` if nobody holds it, missing if nobody was found
    /// and not everybody was looked at.
    #[must_use]
    pub fn first(&self, inode: Inode) -> Reading<Option<Holder>> {
        match (self.found.get(&inode).and_then(|holders| holders.first()), self.search) {
            (Some(holder), _) => Reading::Known(Some(holder.clone())),
            (None, HolderSearch::Everywhere) => Reading::Known(None),
            (None, HolderSearch::Permitted { .. } | HolderSearch::FirstDescriptors) => {
                Missing::needs(privilege::READ_PROCESSES).into()
            }
        }
    }
}

/// Finds the processes that hold these sockets. Processes that exit meanwhile cost their own rows
/// only. Missing if `/proc` itself cannot be read.
pub fn find_holders(
    root: &ProcRoot,
    wanted: &BTreeSet<Inode>,
    extent: Extent,
) -> Reading<HolderFindings> {
    let proc = match root.open() {
        Ok(proc) => proc,
        Err(why) => return why.into(),
    };
    let mut walk = Walk {
        proc: &proc,
        wanted: wanted.iter().map(|inode| inode.0).collect(),
        extent,
        links_left: QUICK_LINKS,
        processes_left: QUICK_PROCESSES,
        found: BTreeMap::new(),
        unreadable: 0,
    };
    if !wanted.is_empty() {
        // An error in the middle of the list of processes leaves what was found before it.
        let _ = for_each_number(&proc, |pid, name| walk.visit_process(Pid(pid), name));
    }
    let search = match (extent, walk.unreadable) {
        (Extent::FirstDescriptors, _) => HolderSearch::FirstDescriptors,
        (Extent::Everywhere, 0) => HolderSearch::Everywhere,
        (Extent::Everywhere, unreadable) => HolderSearch::Permitted { unreadable },
    };
    walk.found.values_mut().for_each(|holders| holders.sort_unstable());
    Reading::Known(HolderFindings { found: walk.found, search })
}

struct Walk<'a> {
    proc: &'a Dir,
    /// Sorted.
    wanted: Vec<u64>,
    extent: Extent,
    links_left: u32,
    processes_left: u32,
    found: BTreeMap<Inode, Vec<Holder>>,
    unreadable: u32,
}

impl Walk<'_> {
    fn visit_process(&mut self, pid: Pid, name: &CStr) -> ControlFlow<()> {
        match open_descriptors(self.proc, name) {
            Ok(descriptors) => {
                let any = self.visit_descriptors(pid, &descriptors);
                if !any
                    && self.extent == Extent::Everywhere
                    && let Some(descriptors) = self.descriptors_of_a_live_thread(pid)
                {
                    self.visit_descriptors(pid, &descriptors);
                }
            }
            Err(Errno::ACCESS | Errno::PERM) if self.extent == Extent::Everywhere => {
                let holds = self.stat(pid).is_some_and(|stat| {
                    !stat.is_kernel_thread() && (!stat.has_exited() || stat.threads > 1)
                });
                self.unreadable += u32::from(holds);
            }
            Err(_) => {}
        }
        // Counts for a quick search only: the other goes on at zero.
        self.processes_left = self.processes_left.saturating_sub(1);
        let enough = self.extent == Extent::FirstDescriptors
            && (self.found.len() == self.wanted.len()
                || self.processes_left == 0
                || self.links_left == 0);
        if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Whether there was any descriptor.
    fn visit_descriptors(&mut self, pid: Pid, descriptors: &OwnedFd) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let entries = match self.extent {
            Extent::Everywhere => &mut buffer[..],
            Extent::FirstDescriptors => &mut buffer[..QUICK_ENTRIES],
        };
        let mut entries = RawDir::new(descriptors.as_fd(), entries);
        let mut any = false;
        let mut process = None;
        while let Some(Ok(entry)) = entries.next() {
            let name = entry.file_name();
            if let Some(fd) = parse::number(name.to_bytes()) {
                any = true;
                if let Some(inode) = self.wanted_socket(descriptors, name) {
                    self.found_holder(pid, fd, inode, &mut process);
                }
            }
            if self.extent == Extent::FirstDescriptors {
                self.links_left = self.links_left.saturating_sub(1);
                if self.links_left == 0 || entries.is_buffer_empty() {
                    break;
                }
            }
        }
        any
    }

    fn wanted_socket(&self, descriptors: &OwnedFd, name: &CStr) -> Option<u64> {
        // Room for `socket:[N]`. A longer target is cut and has no closing bracket then.
        let mut target = [MaybeUninit::uninit(); 32];
        let (target, _) = readlinkat_raw(descriptors, name, &mut target[..]).ok()?;
        let inode = parse::socket_link(target)?;
        self.wanted.binary_search(&inode).is_ok().then_some(inode)
    }

    fn found_holder(&mut self, pid: Pid, fd: u64, inode: u64, process: &mut Option<Stat>) {
        if process.is_none() {
            *process = self.stat(pid);
        }
        if let (Some(stat), Ok(fd)) = (process, u32::try_from(fd)) {
            add_holder(&mut self.found, Inode(inode), pid, fd, stat);
        }
    }

    /// The descriptors of a process whose first thread has exited while others live: the link list
    /// of such a process is empty, that of its live threads is not.
    fn descriptors_of_a_live_thread(&self, pid: Pid) -> Option<OwnedFd> {
        let stat = self.stat(pid)?;
        if stat.is_kernel_thread() || !stat.has_exited() || stat.threads < 2 {
            return None;
        }
        let process = self.proc.dir(&pid.to_string()).ok()?;
        Some(live_thread(&process).ok()?.dir("fd").ok()?.into())
    }

    fn stat(&self, pid: Pid) -> Option<Stat> {
        self.proc.parse(&format!("{pid}/stat"), parse::stat).ok()
    }
}

/// Adds a descriptor of a process. All descriptors of a process are added before the next one's.
pub(crate) fn add_holder(
    found: &mut BTreeMap<Inode, Vec<Holder>>,
    inode: Inode,
    pid: Pid,
    fd: u32,
    stat: &Stat,
) {
    let holders = found.entry(inode).or_default();
    if let Some(last) = holders.last_mut().filter(|last| last.pid == pid) {
        last.fd = last.fd.min(fd);
    } else if holders.len() < HOLDERS_MAX {
        let Stat { comm, start_ticks, .. } = stat;
        holders.push(Holder { pid, fd, comm: comm.clone(), start_ticks: *start_ticks });
    }
}

/// Opens `PID/fd`, without allocating.
fn open_descriptors(proc: &Dir, pid: &CStr) -> Result<OwnedFd, Errno> {
    let mut path = [0; 16];
    let pid = pid.to_bytes();
    let (Some(start), Some(end)) =
        (path.get_mut(..pid.len()), pid.len().checked_add(4).filter(|&end| end <= 16))
    else {
        return Err(Errno::NAMETOOLONG);
    };
    start.copy_from_slice(pid);
    path[pid.len()..end].copy_from_slice(b"/fd\0");
    let path = CStr::from_bytes_with_nul(&path[..end]).map_err(|_| Errno::INVAL)?;
    openat(proc, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
