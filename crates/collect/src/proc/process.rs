//! Everything that verdicts ask about one process.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_evidence::{Activity, FdUse, Inode, Missing, Pid, Process, Reading, Tid};

use super::cgroup;
use super::parse::{self, Status, SyscallLine};
use super::root::ProcRoot;
use super::subject::Subject;
use crate::bpf::TaskRow;

/// Reads one process: limits, control group, and what each of its threads waits for. `listeners`
/// are the listening sockets that epoll sets and threads are matched against.
///
/// Costs about 40 µs per thread and 3 µs per descriptor. Missing if the process is gone; what may
/// not be read is missing in its own field.
pub fn read_process(root: &ProcRoot, pid: Pid, listeners: &BTreeSet<Inode>) -> Reading<Process> {
    read_process_beside(root, pid, listeners, &BTreeMap::new())
}

/// The same, where the kernel has told of threads before.
pub(crate) fn read_process_beside(
    root: &ProcRoot,
    pid: Pid,
    listeners: &BTreeSet<Inode>,
    rows: &BTreeMap<u32, TaskRow>,
) -> Reading<Process> {
    let mut subject = match Subject::open(root, pid, listeners) {
        Ok(subject) => subject,
        Err(why) => return why.into(),
    };
    let status = subject.process.read("status").map(|text| parse::status(&text));
    let (threads, threads_omitted) = match subject.threads(rows) {
        Ok((threads, omitted)) => (Reading::Known(threads), omitted),
        Err(why) => (why.into(), 0),
    };
    Reading::Known(Process {
        pid,
        comm: subject.stat.comm.clone(),
        start_ticks: subject.stat.start_ticks,
        state: subject.stat.state,
        uid: from_status(&status, "Uid", |status| status.euid),
        tracer: from_status(&status, "TracerPid", |status| status.tracer)
            .map(|tracer| (tracer != 0).then_some(Pid(tracer))),
        fds: fd_use(root, &subject),
        cgroup: cgroup::read(root, &subject.process),
        epoll: subject.epoll_registrations(),
        threads,
        threads_omitted,
        goroutines: Reading::not_collected(),
    })
}

/// What a thread does by its registers, for who has them from elsewhere than `/proc`.
pub fn read_activity(root: &ProcRoot, pid: Pid, tid: Tid, line: SyscallLine) -> Reading<Activity> {
    match Subject::open(root, pid, &BTreeSet::new()) {
        Ok(mut subject) => subject.activity(tid, line),
        Err(why) => why.into(),
    }
}

/// Reads of one process only how long each of its threads ran so far, for who compares that with a later
/// reading of all. Costs about 7 µs per thread.
pub fn read_schedules(root: &ProcRoot, pid: Pid) -> Reading<Process> {
    let mut subject = match Subject::open(root, pid, &BTreeSet::new()) {
        Ok(subject) => subject,
        Err(why) => return why.into(),
    };
    let (threads, threads_omitted) = match subject.schedules() {
        Ok((threads, omitted)) => (Reading::Known(threads), omitted),
        Err(why) => (why.into(), 0),
    };
    Reading::Known(Process {
        pid,
        comm: subject.stat.comm,
        start_ticks: subject.stat.start_ticks,
        state: subject.stat.state,
        uid: Reading::not_collected(),
        tracer: Reading::not_collected(),
        fds: Reading::not_collected(),
        cgroup: Reading::not_collected(),
        epoll: Reading::not_collected(),
        threads,
        threads_omitted,
        goroutines: Reading::not_collected(),
    })
}

impl Subject {
    fn epoll_registrations(&mut self) -> Reading<Vec<halfopen_evidence::EpollRegistration>> {
        match &self.descriptors {
            Ok(known) => {
                Reading::Known(self.sets.registrations(&self.task, known, &self.listeners))
            }
            Err(why) => why.clone().into(),
        }
    }
}

fn from_status<T>(
    status: &Result<Status, Missing>,
    field: &str,
    value: impl FnOnce(&Status) -> Option<T>,
) -> Reading<T> {
    match status {
        Ok(status) => value(status).map_or_else(
            || Missing::unreadable(format_args!("{field} in status")).into(),
            Reading::Known,
        ),
        Err(why) => why.clone().into(),
    }
}

fn fd_use(root: &ProcRoot, subject: &Subject) -> Reading<FdUse> {
    let open = match &subject.descriptors {
        Ok(known) => known.open,
        Err(why) => return why.clone().into(),
    };
    let limit = match subject.process.parse("limits", parse::open_files_limit) {
        Ok(limit) => limit,
        Err(why) => return why.into(),
    };
    let system = root.open().and_then(|proc| proc.parse("sys/fs/file-nr", parse::file_nr));
    let (system_open, system_limit) = match system {
        Ok((open, limit)) => (Reading::Known(open), Reading::Known(limit)),
        Err(why) => (why.clone().into(), why.into()),
    };
    Reading::Known(FdUse { open, limit, system_open, system_limit })
}
