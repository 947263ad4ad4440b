//! System calls that a thread can sit in, by number, and where each says what it waits for.
//!
//! A call that is not listed is shown by its number.

/// Where the arguments of a call say what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Nowhere.
    Plain,
    /// The first argument is a descriptor.
    Descriptor,
    /// The same, and it may be a listening socket.
    Accept,
    /// An array of `struct pollfd`, and its length.
    Poll,
    /// A number of descriptors, and three sets.
    Select,
    /// An epoll set.
    Epoll,
    /// An io_uring; the fourth argument holds flags.
    Uring,
    /// Address, operation, value.
    Futex,
    /// Address.
    FutexWait,
    /// A child process.
    Child,
    /// The clock.
    Time,
    /// Goes on with a poll, a sleep or a futex after a signal: the arguments are those of the call
    /// that was interrupted, its number is lost.
    Restart,
}

/// A system call.
#[derive(Debug)]
pub(super) struct Known {
    numbers: [i16; 2],
    pub(super) name: &'static str,
    pub(super) shape: Shape,
}

/// The call with this number on the machine that this program was built for.
pub(super) fn lookup(number: u32) -> Option<&'static Known> {
    const COLUMN: usize = if cfg!(target_arch = "aarch64") { 1 } else { 0 };
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return None;
    }
    let number = i16::try_from(number).ok()?;
    CALLS.iter().find(|call| call.numbers[COLUMN] == number)
}

/// The call with this name.
pub(super) fn named(name: &str) -> Option<&'static Known> {
    CALLS.iter().find(|call| call.name == name)
}

const fn call(x86_64: i16, aarch64: i16, name: &'static str, shape: Shape) -> Known {
    Known { numbers: [x86_64, aarch64], name, shape }
}

/// Numbers of x86_64 (arch/x86/entry/syscalls/syscall_64.tbl) and aarch64
/// (include/uapi/asm-generic/unistd.h); -1 where it has no such call.
static CALLS: &[Known] = &[
    call(202, 98, "futex", Shape::Futex),
    call(43, 202, "accept", Shape::Accept),
    call(288, 242, "accept4", Shape::Accept),
    call(232, -1, "epoll_wait", Shape::Epoll),
    call(281, 22, "epoll_pwait", Shape::Epoll),
    call(441, 441, "epoll_pwait2", Shape::Epoll),
    call(7, -1, "poll", Shape::Poll),
    call(271, 73, "ppoll", Shape::Poll),
    call(23, -1, "select", Shape::Select),
    call(270, 72, "pselect6", Shape::Select),
    call(426, 426, "io_uring_enter", Shape::Uring),
    call(35, 101, "nanosleep", Shape::Time),
    call(230, 115, "clock_nanosleep", Shape::Time),
    call(219, 128, "restart_syscall", Shape::Restart),
    call(0, 63, "read", Shape::Descriptor),
    call(1, 64, "write", Shape::Descriptor),
    call(19, 65, "readv", Shape::Descriptor),
    call(20, 66, "writev", Shape::Descriptor),
    call(17, 67, "pread64", Shape::Descriptor),
    call(18, 68, "pwrite64", Shape::Descriptor),
    call(295, 69, "preadv", Shape::Descriptor),
    call(296, 70, "pwritev", Shape::Descriptor),
    call(327, 286, "preadv2", Shape::Descriptor),
    call(328, 287, "pwritev2", Shape::Descriptor),
    call(42, 203, "connect", Shape::Descriptor),
    call(44, 206, "sendto", Shape::Descriptor),
    call(45, 207, "recvfrom", Shape::Descriptor),
    call(46, 211, "sendmsg", Shape::Descriptor),
    call(47, 212, "recvmsg", Shape::Descriptor),
    call(299, 243, "recvmmsg", Shape::Descriptor),
    call(307, 269, "sendmmsg", Shape::Descriptor),
    call(48, 210, "shutdown", Shape::Descriptor),
    call(3, 57, "close", Shape::Descriptor),
    call(16, 29, "ioctl", Shape::Descriptor),
    call(72, 25, "fcntl", Shape::Descriptor),
    call(73, 32, "flock", Shape::Descriptor),
    call(74, 82, "fsync", Shape::Descriptor),
    call(75, 83, "fdatasync", Shape::Descriptor),
    call(306, 267, "syncfs", Shape::Descriptor),
    call(277, 84, "sync_file_range", Shape::Descriptor),
    call(77, 46, "ftruncate", Shape::Descriptor),
    call(285, 47, "fallocate", Shape::Descriptor),
    call(217, 61, "getdents64", Shape::Descriptor),
    call(5, 80, "fstat", Shape::Descriptor),
    call(8, 62, "lseek", Shape::Descriptor),
    call(40, 71, "sendfile", Shape::Descriptor),
    call(275, 76, "splice", Shape::Descriptor),
    call(276, 77, "tee", Shape::Descriptor),
    call(278, 75, "vmsplice", Shape::Descriptor),
    call(326, 285, "copy_file_range", Shape::Descriptor),
    call(233, 21, "epoll_ctl", Shape::Descriptor),
    call(242, 182, "mq_timedsend", Shape::Plain),
    call(243, 183, "mq_timedreceive", Shape::Plain),
    call(61, 260, "wait4", Shape::Child),
    call(247, 95, "waitid", Shape::Child),
    call(58, -1, "vfork", Shape::Child),
    call(56, 220, "clone", Shape::Child),
    call(435, 435, "clone3", Shape::Child),
    call(449, 449, "futex_waitv", Shape::Plain),
    call(455, 455, "futex_wait", Shape::FutexWait),
    call(34, -1, "pause", Shape::Plain),
    call(130, 133, "rt_sigsuspend", Shape::Plain),
    call(128, 137, "rt_sigtimedwait", Shape::Plain),
    call(65, 193, "semop", Shape::Plain),
    call(220, 192, "semtimedop", Shape::Plain),
    call(69, 189, "msgsnd", Shape::Plain),
    call(70, 188, "msgrcv", Shape::Plain),
    call(208, 4, "io_getevents", Shape::Plain),
    call(333, 292, "io_pgetevents", Shape::Plain),
    call(2, -1, "open", Shape::Plain),
    call(257, 56, "openat", Shape::Plain),
    call(437, 437, "openat2", Shape::Plain),
    call(4, -1, "stat", Shape::Plain),
    call(6, -1, "lstat", Shape::Plain),
    call(262, 79, "newfstatat", Shape::Plain),
    call(332, 291, "statx", Shape::Plain),
    call(21, -1, "access", Shape::Plain),
    call(269, 48, "faccessat", Shape::Plain),
    call(82, -1, "rename", Shape::Plain),
    call(316, 276, "renameat2", Shape::Plain),
    call(87, -1, "unlink", Shape::Plain),
    call(263, 35, "unlinkat", Shape::Plain),
    call(83, -1, "mkdir", Shape::Plain),
    call(258, 34, "mkdirat", Shape::Plain),
    call(76, 45, "truncate", Shape::Plain),
    call(162, 81, "sync", Shape::Plain),
    call(165, 40, "mount", Shape::Plain),
    call(166, 39, "umount2", Shape::Plain),
    call(9, 222, "mmap", Shape::Plain),
    call(10, 226, "mprotect", Shape::Plain),
    call(11, 215, "munmap", Shape::Plain),
    call(12, 214, "brk", Shape::Plain),
    call(26, 227, "msync", Shape::Plain),
    call(28, 233, "madvise", Shape::Plain),
    call(59, 221, "execve", Shape::Plain),
    call(60, 93, "exit", Shape::Plain),
    call(231, 94, "exit_group", Shape::Plain),
    call(101, 117, "ptrace", Shape::Plain),
    call(310, 270, "process_vm_readv", Shape::Plain),
    call(318, 278, "getrandom", Shape::Plain),
    call(324, 283, "membarrier", Shape::Plain),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_number_and_no_name_stands_for_two_calls() {
        for column in 0..2 {
            let numbers = || CALLS.iter().map(|call| call.numbers[column]).filter(|&n| n >= 0);
            assert_eq!(numbers().collect::<BTreeSet<_>>().len(), numbers().count());
        }
        let names: BTreeSet<_> = CALLS.iter().map(|call| call.name).collect();
        assert_eq!(names.len(), CALLS.len());
    }

    #[test]
    fn numbers_are_those_of_this_machine() {
        let accept4 = if cfg!(target_arch = "aarch64") { 242 } else { 288 };
        assert_eq!(lookup(accept4).map(|call| call.name), Some("accept4"));
        assert!(lookup(u32::MAX).is_none());
    }
}
