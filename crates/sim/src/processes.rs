//! The processes of the simulated hosts, as a look at `/proc` would show them.

use std::collections::BTreeMap;

use halfopen_evidence::{
    Activity, Call, CallTarget, CgroupState, EpollRegistration, FdUse, Missing, OwnerBasis,
    OwnerPlace, Pid, Process, Reading, SchedStat, SyncKind, Thread, Tid, Via, WaitedSocket,
};
use halfopen_model::Time;
use halfopen_scenario::Waits;

use crate::cpu::CpuGroup;
use crate::programs::{self, Doing, KeptBy, uses_epoll};
use crate::snapshot::listener_inode;
use crate::world::World;

/// Processes and threads are numbered from here, some apart.
const FIRST_PID: u32 = 1_000;
const TIDS_PER_PROCESS: u32 = 1_000;

/// EPOLLIN, and EPOLLIN with EPOLLET (uapi/linux/eventpoll.h).
const EPOLL_LEVEL: u32 = 0x1;
const EPOLL_EDGE: u32 = 0x8000_0001;

/// CPU time for going from one thing to another, in nanoseconds.
const SLICE_NS: u64 = 50_000;

/// An address for the first lock of a process; nothing is read there.
const LOCKS: u64 = 0x5555_0000_1000;

/// How far apart they are: as a `pthread_mutex_t` is long.
const LOCK_BYTES: u64 = 40;

pub(crate) fn pid_of(process: usize) -> Pid {
    let number = u32::try_from(process).unwrap_or(0);
    Pid(FIRST_PID + number * TIDS_PER_PROCESS)
}

/// Clock ticks (10 ms) from the hosts' start, an hour before the simulation's.
pub(crate) fn start_ticks(at: Time) -> u64 {
    360_000 + at.as_millis() / 10
}

impl World {
    /// The processes on these hosts that have not ended.
    pub(crate) fn processes(&self, hosts: &[usize]) -> BTreeMap<Pid, Process> {
        let all = self.programs.processes.iter().enumerate();
        all.filter(|(_, process)| hosts.contains(&process.host) && !process.ended)
            .map(|(number, process)| (pid_of(number), self.process(number, process)))
            .collect()
    }

    fn process(&self, number: usize, process: &programs::Process) -> Process {
        let threads = (0..).zip(&process.threads).filter_map(|(at, &thread)| {
            let gone = self.programs.threads[thread as usize].doing == Doing::Gone;
            (!gone).then(|| self.thread(number, at, thread))
        });
        let group = process.group.map(|group| &self.programs.groups[group]);
        Process {
            pid: pid_of(number),
            comm: process.name.clone(),
            start_ticks: start_ticks(process.started),
            state: if process.kept == Some(KeptBy::Signal) { 'T' } else { 'S' },
            uid: Reading::Known(0),
            tracer: Reading::Known(None),
            fds: Reading::Known(FdUse {
                open: u64::from(process.open),
                limit: u64::from(process.limit),
                system_open: Reading::Known(1_000),
                system_limit: Reading::Known(i64::MAX.cast_unsigned()),
            }),
            cgroup: Reading::Known(CgroupState {
                path: group.map_or("/", CpuGroup::path).to_owned(),
                frozen: Reading::Known(process.kept == Some(KeptBy::Freezer)),
                cpu_quotas: Reading::Known(group.map(CpuGroup::figures).into_iter().collect()),
            }),
            epoll: Reading::Known(self.registrations(process)),
            threads: Reading::Known(threads.collect()),
            threads_omitted: 0,
            goroutines: Reading::not_collected(),
        }
    }

    fn registrations(&self, process: &programs::Process) -> Vec<EpollRegistration> {
        let threads = process.threads.iter().map(|&thread| &self.programs.threads[thread as usize]);
        let in_epoll = threads.filter(|thread| uses_epoll(&thread.plan));
        in_epoll
            .zip(10..)
            .filter_map(|(thread, epfd)| {
                Some(EpollRegistration {
                    epfd,
                    inode: listener_inode(process.host, thread.listener?.0),
                    events: if thread.plan.waits == Waits::EpollEdge {
                        EPOLL_EDGE
                    } else {
                        EPOLL_LEVEL
                    },
                })
            })
            .collect()
    }

    fn thread(&self, process: usize, at: u32, number: u32) -> Thread {
        let thread = &self.programs.threads[number as usize];
        let activity = self.activity(thread);
        let state = match (self.programs.processes[process].kept, &activity) {
            (Some(KeptBy::Signal), _) => 'T',
            (None, Activity::Running) => 'R',
            (Some(KeptBy::Freezer), Activity::Running) | (_, Activity::Blocked(_)) => 'S',
        };
        Thread {
            tid: tid_of(process, at),
            name: thread.plan.name.clone(),
            state,
            wchan: Reading::Known(String::new()),
            activity: Reading::Known(activity),
            waits: Reading::Known(self.waits(thread)),
            sched: Reading::Known(SchedStat {
                cpu_ns: thread.slices * SLICE_NS + self.cpu_time(number).as_micros() * 1_000,
                wait_ns: thread.cpu_wait.as_micros() * 1_000,
                slices: thread.slices,
            }),
            place: None,
            stack: Missing::NotOnThisKernel.into(),
            kernel: Reading::not_collected(),
            samples: Reading::not_collected(),
            managed: Reading::not_collected(),
        }
    }

    /// What a thread does now.
    pub(crate) fn activity(&self, thread: &programs::Thread) -> Activity {
        let call = |name: &str, target| Activity::Blocked(Call { name: name.to_owned(), target });
        let on = |what: String| CallTarget::Descriptor { fd: 7, what };
        let host = self.programs.processes[thread.process as usize].host;
        let peer = |socket| {
            let view = self.hosts[host].stack.socket_view(socket, self.now);
            view.map_or_else(String::new, |v| format!("socket {} -> {}", v.local, v.peer))
        };
        match thread.doing {
            Doing::Waiting => match thread.plan.waits {
                Waits::Accept | Waits::Told => {
                    let port = thread.plan.port.unwrap_or(0);
                    call("accept4", on(format!("listening socket 0.0.0.0:{port}")))
                }
                Waits::Poll => call("poll", CallTarget::Descriptors { count: 1 }),
                Waits::Select => call("select", CallTarget::Descriptors { count: 1 }),
                Waits::Epoll | Waits::EpollEdge => {
                    call("epoll_wait", CallTarget::Descriptors { count: 1 })
                }
            },
            Doing::WaitingToBeTold => call("read", on("pipe:[1]".to_owned())),
            Doing::Pausing | Doing::Sleeping | Doing::OutOfDescriptors | Doing::Gone => {
                call("clock_nanosleep", CallTarget::Time)
            }
            Doing::Reading(socket) => call("recvfrom", on(peer(socket))),
            Doing::Connecting(socket) => call("connect", on(peer(socket))),
            Doing::InLock(lock) => call("futex", self.lock_of(thread, lock)),
            Doing::Computing => Activity::Running,
        }
    }

    fn lock_of(&self, thread: &programs::Thread, lock: usize) -> CallTarget {
        let process = &self.programs.processes[thread.process as usize];
        let (_, owner) = process.locks[lock];
        let at = (0..).zip(&process.threads).find(|(_, number)| **number == owner);
        CallTarget::Lock {
            address: LOCKS + lock as u64 * LOCK_BYTES,
            owner: tid_of(thread.process as usize, at.map_or(0, |(at, _)| at)),
            kind: SyncKind::Mutex,
            basis: OwnerBasis::Lock,
            place: OwnerPlace::Here,
        }
    }

    /// Listening sockets for which a thread waits now.
    pub(crate) fn waits(&self, thread: &programs::Thread) -> Vec<WaitedSocket> {
        let host = self.programs.processes[thread.process as usize].host;
        let via = match thread.plan.waits {
            Waits::Accept | Waits::Told => Via::Accept,
            Waits::Poll => Via::Poll,
            Waits::Select => Via::Select,
            Waits::Epoll => Via::EpollLevel,
            Waits::EpollEdge => Via::EpollEdge,
        };
        let listener = thread.listener.filter(|_| thread.doing == Doing::Waiting);
        let inode = listener.map(|listener| listener_inode(host, listener.0));
        inode.map(|inode| WaitedSocket { inode, via }).into_iter().collect()
    }
}

/// The thread number `at` of a process; the first is the process itself.
pub(crate) fn tid_of(process: usize, at: u32) -> Tid {
    Tid(pid_of(process).0 + at)
}
