//! A process that a verdict asked about: may it run, has it descriptors left, what does each of its
//! threads wait for.

use serde::{Deserialize, Serialize};

use crate::{
    Goroutines, Inode, ManagedThread, OwnerBasis, OwnerPlace, Pid, Reading, Samples, Stack,
    SyncKind, Tid,
};

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its pid.
    pub pid: Pid,
    /// Its name (`comm` of the thread group leader).
    pub comm: String,
    /// When it was started, in clock ticks since boot.
    pub start_ticks: u64,
    /// State letter of the thread group leader (proc(5)): R, S, D, T stopped, t traced, Z exited.
    pub state: char,
    /// Its effective user.
    pub uid: Reading<u32>,
    /// The process that traces it.
    pub tracer: Reading<Option<Pid>>,
    /// Descriptors open and allowed.
    pub fds: Reading<FdUse>,
    /// Its control group.
    pub cgroup: Reading<CgroupState>,
    /// Listening sockets in its epoll sets.
    pub epoll: Reading<Vec<EpollRegistration>>,
    /// Its threads, by tid.
    pub threads: Reading<Vec<Thread>>,
    /// Threads left out of `threads`.
    pub threads_omitted: u32,
    /// Its goroutines, of a Go program.
    #[serde(default, skip_serializing_if = "Reading::is_not_collected")]
    pub goroutines: Reading<Goroutines>,
}

/// Descriptors of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdUse {
    /// Open now.
    pub open: u64,
    /// Soft limit (RLIMIT_NOFILE). `accept()` gives EMFILE once the lowest free number reaches it.
    pub limit: u64,
    /// Files open in the whole system (`/proc/sys/fs/file-nr`).
    pub system_open: Reading<u64>,
    /// Files allowed in the whole system; `accept()` gives ENFILE beyond it.
    pub system_limit: Reading<u64>,
}

/// A control group, as far as it can keep a process from running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupState {
    /// Its path.
    pub path: String,
    /// Whether it, or a group above it, is frozen.
    pub frozen: Reading<bool>,
    /// The CPU quotas that it is held to: its own and those of groups above it, lowest first. Empty
    /// if there is none.
    #[serde(default)]
    pub cpu_quotas: Reading<Vec<CpuQuota>>,
}

/// The CPU quota of a control group (`cpu.max`; `cpu.cfs_quota_us` with version 1), and how often it
/// ran out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuQuota {
    /// The group's path. Untrusted.
    pub group: String,
    /// CPU time that the group may use in each period, over all CPUs, in microseconds.
    pub quota_us: u64,
    /// The period, in microseconds.
    pub period_us: u64,
    /// How often that was not enough.
    pub throttling: Throttling,
}

/// What a CPU quota did since its group was made (`cpu.stat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttling {
    /// Enforcement periods.
    pub periods: u64,
    /// Periods in which the quota ran out.
    pub throttled_periods: u64,
    /// Time spent throttled, added up over the CPUs, in microseconds.
    pub throttled_us: u64,
}

/// A listening socket in an epoll set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpollRegistration {
    /// Descriptor of the epoll set.
    pub epfd: u32,
    /// The listening socket.
    pub inode: Inode,
    /// Event mask as registered (epoll_ctl(2)). Without EPOLLIN (1) nobody is told of a connection:
    /// EPOLLONESHOT that was not armed again, or a deliberate pause.
    pub events: u32,
}

/// One thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its tid.
    pub tid: Tid,
    /// Its name.
    pub name: String,
    /// State letter (proc(5)).
    pub state: char,
    /// The kernel function that it sleeps in; `0` or empty while it runs. Not looked for if it sits in
    /// a system call that signals can interrupt: the call says more.
    pub wchan: Reading<String>,
    /// What it does.
    pub activity: Reading<Activity>,
    /// Listening sockets that this thread would be woken for: it sits in a call that waits for them.
    pub waits: Reading<Vec<WaitedSocket>>,
    /// CPU time and time slices so far, read before everything else of it. Two equal values prove that
    /// it did not run in between.
    pub sched: Reading<SchedStat>,
    /// Where it was when its call was read, for who copies its stack at once; in no recording.
    #[serde(skip)]
    pub place: Option<ThreadPlace>,
    /// Its user stack, taken while it sat in the call that `activity` names.
    #[serde(default, skip_serializing_if = "Reading::is_not_collected")]
    pub stack: Reading<Stack>,
    /// The functions of the kernel that it sleeps in, innermost first, as `/proc/TID/stack` names them.
    #[serde(default, skip_serializing_if = "Reading::is_not_collected")]
    pub kernel: Reading<Vec<String>>,
    /// What it did with its time on CPUs, if it was running and was watched for a moment.
    #[serde(default, skip_serializing_if = "Reading::is_not_collected")]
    pub samples: Reading<Samples>,
    /// What the runtime of its language says of it, asked after everything else was read.
    #[serde(default, skip_serializing_if = "Reading::is_not_collected")]
    pub managed: Reading<ManagedThread>,
}

/// Where in its program a thread is that is off the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadPlace {
    /// Its stack pointer.
    pub sp: u64,
    /// Its program counter.
    pub pc: u64,
    /// Its frame pointer, or whatever else is in that register; `/proc` does not show it.
    pub frame_pointer: Option<u64>,
}

/// What a thread does at the moment of the look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activity {
    /// It is on a CPU, or waits for one.
    Running,
    /// It sits in a system call.
    Blocked(Call),
}

/// A system call that a thread sits in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Call {
    /// Its name, or `syscall 999`.
    pub name: String,
    /// What it waits for.
    pub target: CallTarget,
}

/// What a system call waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallTarget {
    /// Nothing that can be named.
    Unknown,
    /// A lock that is held, and whose owner is known.
    Lock {
        /// Address of the lock, or of the word in it that the thread waits for; of the object, at the
        /// time of the look, for locks of Java.
        address: u64,
        /// The thread that owns it.
        owner: Tid,
        /// What kind of lock it is.
        #[serde(default)]
        kind: SyncKind,
        /// How the owner is known.
        #[serde(default)]
        basis: OwnerBasis,
        /// Where the owner is.
        #[serde(default, skip_serializing_if = "OwnerPlace::is_here")]
        place: OwnerPlace,
    },
    /// A futex without a known owner: a condition variable, a semaphore, a Rust, Go or Java lock.
    Futex {
        /// Address of the futex word; of the object, at the time of the look, for locks of Java.
        address: u64,
        /// What it is part of.
        #[serde(default)]
        kind: SyncKind,
    },
    /// The end of another thread of the process (pthread_join).
    ThreadExit {
        /// That thread.
        tid: Tid,
    },
    /// One descriptor.
    Descriptor {
        /// Its number.
        fd: u32,
        /// What it is: `socket 10.0.0.5:41022 -> 10.0.0.7:3306`, `pipe`, `/var/log/x`.
        what: String,
    },
    /// Some of several descriptors: poll, select, an epoll set, an io_uring.
    Descriptors {
        /// How many, where that was read.
        count: u32,
    },
    /// A child process.
    Child,
    /// The clock.
    Time,
}

/// A listening socket that a thread waits for, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WaitedSocket {
    /// The listening socket.
    pub inode: Inode,
    /// By which call.
    pub via: Via,
}

/// How a thread waits for a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// accept or accept4.
    Accept,
    /// poll or ppoll.
    Poll,
    /// select or pselect6.
    Select,
    /// An epoll set, level triggered: the thread is woken as long as a connection waits.
    EpollLevel,
    /// An epoll set, edge triggered: the thread is woken once for connections that come; one that
    /// waits already wakes nobody.
    EpollEdge,
    /// An accept or poll request of an io_uring.
    IoUring,
}

/// `/proc/TID/schedstat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedStat {
    /// Nanoseconds on a CPU.
    pub cpu_ns: u64,
    /// Nanoseconds runnable and waiting for a CPU.
    pub wait_ns: u64,
    /// Time slices.
    pub slices: u64,
}

impl Process {
    /// Whether it is stopped by a signal (SIGSTOP, SIGTSTP, …).
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.state == 'T'
    }

    /// Threads that wait for this listening socket.
    pub fn waiters(&self, inode: Inode) -> impl Iterator<Item = (&Thread, Via)> {
        self.threads.get().into_iter().flatten().filter_map(move |thread| {
            let waits = thread.waits.get()?;
            Some((thread, waits.iter().find(|wait| wait.inode == inode)?.via))
        })
    }
}

impl Throttling {
    /// What was added since an earlier look.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            periods: self.periods.saturating_sub(earlier.periods),
            throttled_periods: self.throttled_periods.saturating_sub(earlier.throttled_periods),
            throttled_us: self.throttled_us.saturating_sub(earlier.throttled_us),
        }
    }
}

impl Call {
    /// What stands for a call where there is none.
    const NONE: &str = "no system call";

    /// That of a thread which is in the kernel and did not call it: a page fault, a signal stop, a tracer.
    #[must_use]
    pub fn none() -> Self {
        Self { name: Self::NONE.to_owned(), target: CallTarget::Unknown }
    }

    /// Whether it is [`Call::none`].
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.name == Self::NONE
    }
}

impl SchedStat {
    /// What was added since an earlier look.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            wait_ns: self.wait_ns.saturating_sub(earlier.wait_ns),
            slices: self.slices.saturating_sub(earlier.slices),
        }
    }

    /// Whether it was on a CPU at all.
    #[must_use]
    pub const fn ran(self) -> bool {
        self.cpu_ns > 0 || self.slices > 0
    }
}

impl Thread {
    /// Its name: the one that its runtime gives it, which is the whole one, or the kernel's.
    #[must_use]
    pub fn called(&self) -> &str {
        let managed = self.managed.get().map(|managed| managed.name.as_str());
        managed.filter(|name| !name.is_empty()).unwrap_or(&self.name)
    }
}

impl FdUse {
    /// Whether the next descriptor is refused.
    #[must_use]
    pub const fn is_exhausted(&self) -> bool {
        self.open >= self.limit
    }
}

impl EpollRegistration {
    /// Whether the set tells anybody of a connection.
    #[must_use]
    pub const fn is_armed(&self) -> bool {
        self.events & 1 != 0
    }
}
