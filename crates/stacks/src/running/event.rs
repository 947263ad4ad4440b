//! One perf event: the kernel copies a thread's registers and stack at every millisecond of its time
//! on a CPU, into a ring of memory that is shared with it. All of the crate's `unsafe`.
//!
//! The thread is not stopped; a copy takes it some microseconds. See perf_event_open(2) and
//! include/uapi/linux/perf_event.h.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use halfopen_evidence::{Missing, Tid};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::param::page_size;

use super::record::{REGISTERS, STACK_MAX};

/// Time on a CPU between two samples, in nanoseconds.
const PERIOD_NS: u64 = 1_000_000;

/// Room for records of one thread, in bytes: a thread fills half of it while the reader sleeps for
/// eight milliseconds. A power of two, as the kernel demands.
const RING: usize = 256 << 10;

/// A thread's clock while it is on a CPU, which writes a record at every [`PERIOD_NS`] of it. The kernel
/// forgets it when it is dropped.
pub(super) struct Event {
    fd: OwnedFd,
    ring: Ring,
}

impl Event {
    /// Begins to watch a thread.
    ///
    /// # Errors
    /// If the thread is gone, or the kernel does not let us.
    pub(super) fn open(tid: Tid) -> Result<Self, Missing> {
        // What a thread does inside the kernel is seen by those only who may.
        let fd = open(tid, 0)
            .or_else(|_| open(tid, Attributes::EXCLUDE_KERNEL))
            .map_err(|errno| refused("perf_event_open", errno))?;
        let ring = Ring::map(&fd).map_err(|errno| refused("the ring of a perf event", errno))?;
        Ok(Self { fd, ring })
    }

    /// Adds the records that were written since.
    pub(super) fn take(&mut self, records: &mut Vec<u8>) {
        self.ring.take(records);
    }

    /// How long the thread has been on a CPU while it was watched.
    pub(super) fn time_on_cpu(&self) -> Duration {
        let mut count = [0; 8];
        // An event that was opened can be read; one whose thread has exited keeps its count.
        let _ = rustix::io::read(&self.fd, &mut count);
        Duration::from_nanos(u64::from_ne_bytes(count))
    }
}

/// `struct perf_event_attr` in its third version (Linux 3.7, `PERF_ATTR_SIZE_VER3`), which is the
/// first to sample user stacks. Later kernels take what is missing as zero.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
    config2: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clockid: i32,
}

impl Attributes {
    const TYPE_SOFTWARE: u32 = 1;
    const TASK_CLOCK: u64 = 1;
    const SAMPLE_REGS_USER: u64 = 1 << 12;
    const SAMPLE_STACK_USER: u64 = 1 << 13;
    const EXCLUDE_KERNEL: u64 = 1 << 5;
    const SIZE: u32 = 96;
}

const _: () = assert!(size_of::<Attributes>() == Attributes::SIZE as usize);

fn open(tid: Tid, flags: u64) -> Result<OwnedFd, Errno> {
    const ANY_CPU: libc::c_int = -1;
    const NO_GROUP: libc::c_int = -1;
    const CLOEXEC: libc::c_ulong = 1 << 3;
    let attributes = Attributes {
        kind: Attributes::TYPE_SOFTWARE,
        size: Attributes::SIZE,
        config: Attributes::TASK_CLOCK,
        sample_period: PERIOD_NS,
        sample_type: Attributes::SAMPLE_REGS_USER | Attributes::SAMPLE_STACK_USER,
        flags,
        sample_regs_user: REGISTERS,
        sample_stack_user: STACK_MAX,
        ..Attributes::default()
    };
    let tid = libc::pid_t::try_from(tid.0).map_err(|_| Errno::SRCH)?;
    // SAFETY: the kernel reads as many bytes of the attributes as their size says, and writes none.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            tid,
            ANY_CPU,
            NO_GROUP,
            CLOEXEC,
        )
    };
    match i32::try_from(fd) {
        // SAFETY: the descriptor was made by this call, so nobody else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

/// Memory that the kernel writes records into: a page of counters, then the records. What was not
/// taken yet is never written over; records that find no room are counted as lost.
struct Ring {
    base: NonNull<u8>,
    page: usize,
}

impl Ring {
    /// Where the counters are in `struct perf_event_mmap_page`: how much was written, and how much of
    /// it was taken.
    const HEAD: usize = 1024;
    const TAIL: usize = 1032;

    fn map(fd: &OwnedFd) -> Result<Self, Errno> {
        let page = page_size();
        // SAFETY: the kernel chooses an address where nothing is. Only this value knows it.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                page + RING,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )
        }?;
        NonNull::new(base.cast()).map(|base| Self { base, page }).ok_or(Errno::FAULT)
    }

    fn take(&mut self, records: &mut Vec<u8>) {
        let head = self.counter(Self::HEAD).load(Ordering::Acquire);
        let tail = self.counter(Self::TAIL).load(Ordering::Relaxed);
        let written = usize::try_from(head.wrapping_sub(tail)).map_or(RING, |new| new.min(RING));
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below RING")]
        let from = (tail % RING as u64) as usize;
        let at_the_end = written.min(RING - from);
        records.extend_from_slice(self.records(from, at_the_end));
        records.extend_from_slice(self.records(0, written - at_the_end));
        self.counter(Self::TAIL).store(head, Ordering::Release);
    }

    fn counter(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: the first page is mapped as long as this value lives, and both offsets are aligned
        // and inside it. The kernel accesses them in the same way.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(offset).cast()) }
    }

    /// A part of the records between tail and head.
    fn records(&self, from: usize, length: usize) -> &[u8] {
        assert!(from + length <= RING, "a part of the ring");
        // SAFETY: the range is inside the mapping, and the kernel does not write between tail and
        // head until the tail has moved, which takes `&mut self`.
        unsafe { slice::from_raw_parts(self.base.as_ptr().add(self.page + from), length) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the range is the one that was mapped, and nothing borrows it any more.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.page + RING) };
        debug_assert!(unmapped.is_ok(), "a mapping can be given back");
    }
}

/// The access check is ptrace's unless CAP_PERFMON is there (kernel/events/core.c,
/// `perf_check_permission`); it answers EACCES. EPERM comes from the limit of locked memory and from
/// filters of system calls, with which containers forbid this one.
fn refused(what: &str, errno: Errno) -> Missing {
    match errno {
        Errno::SRCH => Missing::Vanished,
        Errno::ACCESS => Missing::needs(
            "root or CAP_PERFMON, or the same user and kernel.perf_event_paranoid of at most 2",
        ),
        Errno::PERM => Missing::unreadable(format_args!(
            "{what}: forbidden, by a system-call filter (seccomp) or the limit of locked memory"
        )),
        Errno::NOSYS | Errno::NOENT => Missing::NotOnThisKernel,
        other => Missing::unreadable(format_args!("{what}: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_reason() {
        let of = |errno| refused("perf_event_open", errno);
        assert_eq!(of(Errno::SRCH), Missing::Vanished);
        assert_eq!(of(Errno::NOSYS), Missing::NotOnThisKernel);
        assert!(matches!(of(Errno::ACCESS), Missing::NotPermitted { .. }));
        assert!(of(Errno::PERM).to_string().contains("seccomp"));
        assert!(of(Errno::MFILE).to_string().starts_with("unreadable: perf_event_open: "));
    }
}
