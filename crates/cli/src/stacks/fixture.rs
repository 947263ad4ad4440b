//! A process with a deadlock, a victim, idle workers and names that a terminal would act on.

use std::collections::BTreeMap;

use halfopen_evidence::{
    Activity, Between, Call, CallTarget, Frame, Host, Interval, Missing, OwnerBasis, OwnerPlace,
    Pid, Process, Reading, SchedStat, Snapshot, SourceLine, Stack, StackEnd, SyncKind, Taken,
    Thread, Tid,
};

pub(super) const PID: Pid = Pid(812);

/// Two looks at it.
pub(super) fn interval() -> Interval {
    Interval { first: look(40), between: Between::default(), second: look(40) }
}

fn look(slices: u64) -> Snapshot {
    let host = Host {
        name: "vm".to_owned(),
        kernel_release: "6.18.0".to_owned(),
        kernel_build: String::new(),
        machine: "x86_64".to_owned(),
        collector_uid: 0,
        sees_all_processes: Reading::Known(true),
    };
    Snapshot {
        taken: Taken { unix_ms: 0, uptime_ms: 0 },
        host,
        netns: Vec::new(),
        processes: BTreeMap::from([(PID, process(slices))]),
        gaps: Vec::new(),
    }
}

fn process(slices: u64) -> Process {
    let register = [libc("pthread_mutex_lock"), app("register_session(int)", 88)];
    let reload = [libc("pthread_mutex_lock"), app("reload()", 120)];
    let idle = [libc("pthread_cond_wait"), app("wait_for_work()", 51)];
    let mut threads = vec![
        thread(812, "app", futex(CallTarget::ThreadExit { tid: Tid(813) }), Missing::Vanished),
        thread(813, "acceptor", lock(814), stack(&register, StackEnd::Root)),
        thread(814, "reloader", lock(813), stack(&reload, StackEnd::Root)),
        thread(815, "evil\u{1b}[31m", lock(813), stack(&register, StackEnd::Lost)),
    ];
    let condition = CallTarget::Futex { address: 0x7f00_2000, kind: SyncKind::Condition };
    for tid in 820..830 {
        let stack = stack(&idle, StackEnd::Root);
        threads.push(thread(tid, "worker", futex(condition.clone()), stack));
    }
    for thread in &mut threads {
        thread.sched = Reading::Known(SchedStat { cpu_ns: 5_000_000, wait_ns: 0, slices });
    }
    Process {
        pid: PID,
        comm: "app".to_owned(),
        start_ticks: 100,
        state: 'S',
        uid: Reading::Known(0),
        tracer: Reading::Known(None),
        fds: Reading::not_collected(),
        cgroup: Reading::not_collected(),
        epoll: Reading::not_collected(),
        threads: Reading::Known(threads),
        threads_omitted: 0,
        goroutines: Reading::not_collected(),
    }
}

fn thread(tid: u32, name: &str, activity: Activity, stack: impl Into<Reading<Stack>>) -> Thread {
    Thread {
        tid: Tid(tid),
        name: name.to_owned(),
        state: 'S',
        wchan: Reading::not_collected(),
        activity: Reading::Known(activity),
        waits: Reading::Known(Vec::new()),
        sched: Reading::not_collected(),
        place: None,
        stack: stack.into(),
        kernel: Reading::not_collected(),
        samples: Reading::not_collected(),
        managed: Reading::not_collected(),
    }
}

fn lock(owner: u32) -> Activity {
    let (kind, basis, place) = (SyncKind::Mutex, OwnerBasis::Lock, OwnerPlace::Here);
    futex(CallTarget::Lock { address: 0x7f00_1000, owner: Tid(owner), kind, basis, place })
}

fn futex(target: CallTarget) -> Activity {
    Activity::Blocked(Call { name: "futex".to_owned(), target })
}

fn stack(frames: &[Frame], end: StackEnd) -> Reading<Stack> {
    Reading::Known(Stack { frames: frames.to_vec(), end })
}

fn libc(function: &str) -> Frame {
    frame(function, "libc.so.6", None)
}

fn app(function: &str, line: u32) -> Frame {
    frame(function, "app", Some(SourceLine { file: "/src/sessions.cc".to_owned(), line }))
}

fn frame(function: &str, module: &str, line: Option<SourceLine>) -> Frame {
    Frame { function: Some(function.to_owned()), module: module.to_owned(), address: 0x1200, line }
}
