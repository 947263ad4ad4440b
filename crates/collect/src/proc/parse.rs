//! The texts of `/proc`, from bytes to values.
//!
//! Parsed by hand: a thread's name may hold parentheses, spaces, newlines and bytes that are no
//! UTF-8, and what `procfs-core` does with such a name is to panic or to refuse the whole file.
//! Only the fields that are used are read, so that a field which a later kernel adds or changes
//! costs nothing. None of these functions panics on any input.

mod cgroup;
mod mapping;
mod mountinfo;

use halfopen_evidence::{SchedStat, Throttling};

pub use cgroup::{Membership, Mount, Tree, memberships, mount};
pub use mapping::{Mapping, mapping};
pub(crate) use mountinfo::MountLine;

/// What is used of `/proc/PID/stat` and `/proc/PID/task/TID/stat` (fs/proc/array.c, do_task_stat).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Name of the thread, at most 15 bytes but for kernel threads.
    pub comm: String,
    /// State letter.
    pub state: char,
    /// `PF_` flags of the task.
    pub flags: u64,
    /// Threads of its process.
    pub threads: u32,
    /// When it was started, in clock ticks since boot.
    pub start_ticks: u64,
}

/// What is used of `/proc/PID/status` (fs/proc/array.c, proc_pid_status).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The process that it is a thread of.
    pub process: Option<u32>,
    /// State letter.
    pub state: Option<char>,
    /// Effective user.
    pub euid: Option<u32>,
    /// Effective group.
    pub egid: Option<u32>,
    /// The tracer; 0 for none.
    pub tracer: Option<u32>,
    /// Its number in its innermost pid namespace.
    pub innermost_pid: Option<u32>,
    /// How many pid namespaces number it: 1 if it shares the reader's.
    pub pid_depth: usize,
    /// Signals that it has handlers for: bit 0 is signal 1.
    pub caught: Option<u64>,
}

/// A line of `/proc/TID/syscall` (fs/proc/base.c, proc_pid_syscall).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyscallLine {
    /// On a CPU, or waiting for one.
    Running,
    /// Off the CPU outside a system call: a page fault, a signal stop, a tracer.
    Outside {
        /// Stack pointer.
        sp: u64,
        /// Program counter.
        pc: u64,
    },
    /// In a system call.
    In(Registers),
}

/// The system call that a thread is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Number of the system call.
    pub number: u32,
    /// Its arguments.
    pub args: [u64; 6],
    /// Stack pointer.
    pub sp: u64,
    /// Program counter.
    pub pc: u64,
}

/// A line `tfd:` of an epoll set's fdinfo (fs/eventpoll.c, ep_show_fdinfo).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpollEntry {
    /// Descriptor as it was registered.
    pub fd: u32,
    /// Event mask.
    pub events: u32,
    /// Inode of the file (since Linux 4.13).
    pub inode: Option<u64>,
}

impl Stat {
    const KTHREAD: u64 = 0x0020_0000;

    /// Whether it is a thread of the kernel (`PF_KTHREAD`).
    #[must_use]
    pub const fn is_kernel_thread(&self) -> bool {
        self.flags & Self::KTHREAD != 0
    }

    /// Whether it has exited.
    #[must_use]
    pub const fn has_exited(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Parses a `stat` file.
#[must_use]
pub fn stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|&byte| byte == b'(')?;
    let close = text.iter().rposition(|&byte| byte == b')')?;
    let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
    let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
    // Field 3 of proc_pid_stat(5) comes first here.
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let mut field = |skip: usize| fields.nth(skip)?.parse::<u64>().ok();
    let flags = field(5)?;
    let threads = u32::try_from(field(10)?).ok()?;
    let start_ticks = field(1)?;
    Some(Stat { comm, state, flags, threads, start_ticks })
}

/// Parses a `status` file. Fields that it lacks are `None`.
#[must_use]
pub fn status(text: &[u8]) -> Status {
    let mut status = Status::default();
    for line in text.split(|&byte| byte == b'\n') {
        // The name may be no UTF-8, but a newline in it is escaped.
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let Some((key, value)) = line.split_once(':') else { continue };
        let mut numbers = value.split_ascii_whitespace().map(|n| n.parse::<u32>().ok());
        match key {
            "Tgid" => status.process = numbers.next().flatten(),
            "State" => status.state = value.trim_ascii().chars().next(),
            "Uid" => status.euid = numbers.nth(1).flatten(),
            "Gid" => status.egid = numbers.nth(1).flatten(),
            "TracerPid" => status.tracer = numbers.next().flatten(),
            "NSpid" => {
                let pids: Vec<_> = numbers.collect();
                status.pid_depth = pids.len();
                status.innermost_pid = pids.last().copied().flatten();
            }
            "SigCgt" => status.caught = u64::from_str_radix(value.trim_ascii(), 16).ok(),
            _ => {}
        }
    }
    status
}

/// The soft limit of open files in a `limits` file; `u64::MAX` for unlimited.
#[must_use]
pub fn open_files_limit(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

/// Open and allowed files of the system, from `/proc/sys/fs/file-nr`.
#[must_use]
pub fn file_nr(text: &[u8]) -> Option<(u64, u64)> {
    let mut fields = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let open = fields.next()?.parse().ok()?;
    Some((open, fields.nth(1)?.parse().ok()?))
}

/// Parses a `schedstat` file (fs/proc/base.c, proc_pid_schedstat).
#[must_use]
pub fn schedstat(text: &[u8]) -> Option<SchedStat> {
    let mut fields = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let mut next = || fields.next()?.parse().ok();
    Some(SchedStat { cpu_ns: next()?, wait_ns: next()?, slices: next()? })
}

/// Parses a `stack` file: the functions of the kernel that a thread sleeps in, innermost first.
#[must_use]
pub fn kernel_stack(text: &[u8]) -> Option<Vec<String>> {
    let function = |line: &[u8]| {
        let line = str::from_utf8(line).ok()?;
        let (_, symbol) = line.split_once("] ")?;
        let name = symbol.split_once('+').map_or(symbol, |(name, _)| name);
        Some(name.trim_end().to_owned())
    };
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(function).collect()
}

/// Parses a `syscall` file.
#[must_use]
pub fn syscall(text: &[u8]) -> Option<SyscallLine> {
    let mut fields = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let number = match fields.next()? {
        "running" => return Some(SyscallLine::Running),
        number => number,
    };
    let mut next = || u64::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok();
    if number == "-1" {
        return Some(SyscallLine::Outside { sp: next()?, pc: next()? });
    }
    let number = number.parse().ok()?;
    let args = [next()?, next()?, next()?, next()?, next()?, next()?];
    Some(SyscallLine::In(Registers { number, args, sp: next()?, pc: next()? }))
}

/// The quota figures of a `cpu.stat` file, of either version of control groups. `None` where the
/// CPU controller is not enabled for the group.
#[must_use]
pub fn cpu_stat(text: &[u8]) -> Option<Throttling> {
    let text = std::str::from_utf8(text).ok()?;
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse::<u64>().ok())
    };
    let throttled_us = value("throttled_usec").or(value("throttled_time").map(|ns| ns / 1000));
    Some(Throttling {
        periods: value("nr_periods")?,
        throttled_periods: value("nr_throttled")?,
        throttled_us: throttled_us?,
    })
}

/// The quota and the period of a version 2 group, in microseconds (`cpu.max`); `None` if it has no
/// quota.
#[must_use]
pub fn cpu_max(text: &[u8]) -> Option<(u64, u64)> {
    let mut fields = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The same of a version 1 group (`cpu.cfs_quota_us`, which is -1 for none, and
/// `cpu.cfs_period_us`).
#[must_use]
pub fn cfs_quota(quota: &[u8], period: &[u8]) -> Option<(u64, u64)> {
    let number = |text| std::str::from_utf8(text).ok()?.trim_end().parse().ok();
    Some((number(quota)?, number(period)?))
}

/// Parses a line of an epoll set's fdinfo; `None` for its other lines.
#[must_use]
pub fn epoll_entry(line: &[u8]) -> Option<EpollEntry> {
    let line = std::str::from_utf8(line).ok()?;
    let mut fields = line.strip_prefix("tfd:")?.split_ascii_whitespace();
    let fd = fields.next()?.parse().ok()?;
    if fields.next()? != "events:" {
        return None;
    }
    let events = u32::from_str_radix(fields.next()?, 16).ok()?;
    let inode = fields.find_map(|field| u64::from_str_radix(field.strip_prefix("ino:")?, 16).ok());
    Some(EpollEntry { fd, events, inode })
}

/// The opcode in a line of the `PollList` of an io_uring's fdinfo (io_uring/fdinfo.c); `None` for
/// its other lines.
#[must_use]
pub fn uring_poll_opcode(line: &[u8]) -> Option<u8> {
    let line = std::str::from_utf8(line).ok()?;
    line.trim_ascii_start().strip_prefix("op=")?.split(',').next()?.parse().ok()
}

/// The inode in `socket:[12345]`, the target of a link in `/proc/PID/fd`.
#[must_use]
pub fn socket_link(target: &[u8]) -> Option<u64> {
    number(target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

/// A decimal number of at most 19 digits: a pid, a descriptor, an inode.
#[must_use]
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stat_text(comm: &[u8]) -> Vec<u8> {
        let mut text = b"812 (".to_vec();
        text.extend_from_slice(comm);
        text.extend_from_slice(
            b") S 1 812 812 0 -1 4194560 100 200 0 0 5 6 0 0 20 0 7 0 4321 1000000 250 \
              18446744073709551615 1 2 3 0 0 0 0 4096 16896 0 0 0 17 1 0 0 0 0 0\n",
        );
        text
    }

    #[test]
    fn kernel_functions_are_told_without_offsets_and_modules() {
        let names = |text: &str| kernel_stack(text.as_bytes()).map(|names| names.join(" "));
        let stack = "[<0>] nf_hook+0x1/0x2 [nf_tables]\n[<0>] do_syscall_64+0x53/0x90\n";
        assert_eq!(names(stack).as_deref(), Some("nf_hook do_syscall_64"));
        assert_eq!(names("[<0>] 0xffffffff81000000\n").as_deref(), Some("0xffffffff81000000"));
        assert_eq!(names("").as_deref(), Some(""));
        assert_eq!(names("nonsense"), None);
    }

    #[test]
    fn a_name_may_hold_anything() {
        for (comm, expected) in [
            (&b"java"[..], "java"),
            (b"a) R 1 (b", "a) R 1 (b"),
            (b"", ""),
            (b"new\nline", "new\nline"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
        ] {
            let expected = Stat {
                comm: expected.to_owned(),
                state: 'S',
                flags: 4_194_560,
                threads: 7,
                start_ticks: 4321,
            };
            assert_eq!(stat(&stat_text(comm)), Some(expected));
        }
    }

    #[test]
    fn a_stat_file_that_was_cut_off_is_refused() {
        for text in ["", "(", ")(", "1 (x)", "1 (x) ", "1 (x) S 1 2 3"] {
            assert_eq!(stat(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn status_yields_process_user_tracer_signals_and_the_innermost_pid() {
        let text = b"Name:\t\xff:x\nState:\tT (stopped)\nTgid:\t811\nTracerPid:\t77\n\
            Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nNSpid:\t812\t5\nSigCgt:\t0000000000000004\n";
        let expected = Status {
            process: Some(811),
            state: Some('T'),
            euid: Some(2),
            egid: Some(6),
            tracer: Some(77),
            innermost_pid: Some(5),
            pid_depth: 2,
            caught: Some(4),
        };
        assert_eq!(status(text), expected);
        assert_eq!(status(b"Uid:\nNSpid:\tx\n"), Status { pid_depth: 1, ..Status::default() });
    }

    #[test]
    fn limits_of_files_are_read() {
        let line =
            |soft: &str| format!("Limit  Soft\nMax open files            {soft}  4096  files\n");
        assert_eq!(open_files_limit(line("1024").as_bytes()), Some(1024));
        assert_eq!(open_files_limit(line("unlimited").as_bytes()), Some(u64::MAX));
        assert_eq!(open_files_limit(b"Max open files"), None);
        assert_eq!(file_nr(b"1952\t0\t9223372036854775807\n"), Some((1952, i64::MAX as u64)));
        assert_eq!(file_nr(b"1952\n"), None);
    }

    #[test]
    fn system_calls_are_read_with_their_arguments() {
        let args = "0x3 0x7ffd1000 0x0 0x0 0xffffffffffffffff 0x10";
        let registers = Registers {
            number: 43,
            args: [3, 0x7ffd_1000, 0, 0, u64::MAX, 16],
            sp: 0x7f,
            pc: 0x40,
        };
        for (text, expected) in [
            ("running\n", Some(SyscallLine::Running)),
            ("-1 0x7f 0x40\n", Some(SyscallLine::Outside { sp: 0x7f, pc: 0x40 })),
            (&*format!("43 {args} 0x7f 0x40\n"), Some(SyscallLine::In(registers))),
            (&*format!("43 {args}\n"), None),
            ("-2 0x7f 0x40", None),
            ("", None),
        ] {
            assert_eq!(syscall(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn cpu_stat_of_both_versions_gives_microseconds() {
        let expected = Some(Throttling { periods: 10, throttled_periods: 4, throttled_us: 1500 });
        let v2 = "usage_usec 9\nnr_periods 10\nnr_throttled 4\nthrottled_usec 1500\nnr_bursts 0\n";
        assert_eq!(cpu_stat(v2.as_bytes()), expected);
        assert_eq!(cpu_stat(b"nr_periods 10\nnr_throttled 4\nthrottled_time 1500000\n"), expected);
        assert_eq!(cpu_stat(b"usage_usec 9\n"), None);
    }

    #[test]
    fn cpu_quotas_of_both_versions_are_microseconds() {
        assert_eq!(cpu_max(b"5000 100000\n"), Some((5_000, 100_000)));
        assert_eq!(cfs_quota(b"5000\n", b"100000\n"), Some((5_000, 100_000)));
        for none in ["max 100000\n", "max", "", "5000", "5000 -1"] {
            assert_eq!(cpu_max(none.as_bytes()), None, "{none:?}");
        }
        assert_eq!(cfs_quota(b"-1\n", b"100000\n"), None);
        assert_eq!(cfs_quota(b"5000\n", b""), None);
    }

    #[test]
    fn fdinfo_lines_of_epoll_and_io_uring_are_read() {
        let line = b"tfd:        3 events: 80000019 data:        3  pos:0 ino:2a6bf sdev:8";
        let expected = EpollEntry { fd: 3, events: 0x8000_0019, inode: Some(0x2a6bf) };
        assert_eq!(epoll_entry(line), Some(expected));
        let old = b"tfd:        3 events:       19 data:                3";
        assert_eq!(epoll_entry(old), Some(EpollEntry { fd: 3, events: 0x19, inode: None }));
        assert_eq!(epoll_entry(b"pos:\t0"), None);
        assert_eq!(uring_poll_opcode(b"  op=13, task_works=0"), Some(13));
        assert_eq!(uring_poll_opcode(b"PollList:"), None);
        assert_eq!(uring_poll_opcode(b"  op=1300, task_works=0"), None);
    }

    #[test]
    fn only_whole_socket_links_are_inodes() {
        assert_eq!(socket_link(b"socket:[12345]"), Some(12345));
        for other in ["socket:[]", "socket:[1", "socket:[1x]", "pipe:[1]", "/socket:[1]"] {
            assert_eq!(socket_link(other.as_bytes()), None, "{other}");
        }
        assert_eq!(number(b"99999999999999999999"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (stat(&text), status(&text), open_files_limit(&text), file_nr(&text));
            let _ = (schedstat(&text), syscall(&text), cpu_stat(&text), epoll_entry(&text));
            let _ = kernel_stack(&text);
            let _ = (cpu_max(&text), cfs_quota(&text, &text));
            let _ = (uring_poll_opcode(&text), socket_link(&text), number(&text));
        }

        #[test]
        fn no_text_that_looks_right_makes_a_parser_panic(
            text in "(tfd:|-1|[0-9]+|0x[0-9a-f]{0,20}|\\(|\\)|events:|ino:|op=|[ \n\t]|[A-Z]){0,40}",
        ) {
            let text = text.as_bytes();
            let _ = (stat(text), status(text), open_files_limit(text), file_nr(text));
            let _ = (schedstat(text), syscall(text), cpu_stat(text), epoll_entry(text));
            let _ = kernel_stack(text);
            let _ = (cpu_max(text), cfs_quota(text, text));
            let _ = (uring_poll_opcode(text), socket_link(text), number(text));
        }
    }
}
