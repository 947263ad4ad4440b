//! Threads and children of this very process, on this kernel.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use halfopen_evidence::{Activity, CallTarget, HolderSearch, Inode, Missing, Pid, Reading, Via};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{FdSetElement, PollFd, PollFlags, fd_set_insert, fd_set_num_elements, poll};
use rustix::process::{Resource, Rlimit, Signal, kill_process, prlimit};

use super::{eventually, process, sample, targets};
use crate::proc::{Extent, ProcRoot, ThreadSampler, find_holders};

fn own_pid() -> u32 {
    std::process::id()
}

fn listener() -> (TcpListener, Inode) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener on loopback");
    let inode = rustix::fs::fstat(&listener).expect("its inode").st_ino;
    (listener, Inode(inode))
}

/// The thread that waits for this socket does so in this call and this way.
fn waits_in(calls: &[&str], inode: Inode, via: Via) {
    let (call, vias) = eventually("a thread that waits for the socket", || {
        sample(own_pid(), inode).into_iter().find(|(_, vias)| !vias.is_empty())
    });
    assert!(calls.contains(&&*call.name), "{call:?}");
    assert_eq!(vias, [via]);
}

/// A child that is killed at the end of the test.
struct Spawned(Child);

impl Spawned {
    fn new(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("a child"))
    }

    fn sleeping() -> Self {
        Self::new(Command::new("sleep").arg("600"))
    }

    fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        kill_process(pid, signal).expect("a signal to the child");
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_thread_in_accept_waits_via_accept() {
    let (listener, inode) = listener();
    let fd = u32::try_from(listener.as_raw_fd()).expect("a descriptor");
    thread::spawn(move || listener.accept());
    waits_in(&["accept4", "accept"], inode, Via::Accept);
    let what = format!("socket:[{inode}]");
    assert!(targets(own_pid()).contains(&CallTarget::Descriptor { fd, what }));
}

#[test]
fn a_thread_in_poll_waits_via_poll_unless_it_polls_for_something_else() {
    let ((polled, inode), (other, other_inode)) = (listener(), listener());
    thread::spawn(move || {
        let mut fds = [PollFd::new(&other, PollFlags::OUT), PollFd::new(&polled, PollFlags::IN)];
        poll(&mut fds, None)
    });
    waits_in(&["poll", "ppoll"], inode, Via::Poll);
    assert!(sample(own_pid(), other_inode).iter().all(|(_, vias)| vias.is_empty()));
}

#[test]
fn a_thread_in_select_waits_via_select() {
    let (listener, inode) = listener();
    thread::spawn(move || {
        let fd = listener.as_raw_fd();
        let mut readable = vec![FdSetElement::default(); fd_set_num_elements(1, fd + 1)];
        fd_set_insert(&mut readable, fd);
        // SAFETY: the set holds one descriptor, which the listener keeps open.
        unsafe { rustix::event::select(fd + 1, Some(&mut readable), None, None, None) }
    });
    waits_in(&["select", "pselect6"], inode, Via::Select);
}

fn epoll_set(fd: impl AsFd, flags: EventFlags) -> OwnedFd {
    let set = epoll::create(CreateFlags::CLOEXEC).expect("an epoll set");
    epoll::add(&set, fd, EventData::new_u64(0), flags).expect("a registration");
    set
}

fn wait(set: &OwnedFd) {
    let mut events = Vec::with_capacity(1);
    let _ = epoll::wait(set, rustix::buffer::spare_capacity(&mut events), None);
}

const EPOLL: [&str; 3] = ["epoll_wait", "epoll_pwait", "epoll_pwait2"];

#[test]
fn a_thread_in_epoll_waits_by_level_or_by_edge_as_registered() {
    for (flags, via) in
        [(EventFlags::IN, Via::EpollLevel), (EventFlags::IN | EventFlags::ET, Via::EpollEdge)]
    {
        let (listener, inode) = listener();
        let set = epoll_set(&listener, flags);
        thread::spawn(move || {
            wait(&set);
            drop(listener);
        });
        waits_in(&EPOLL, inode, via);
    }
}

#[test]
fn a_thread_that_sleeps_on_a_set_within_a_set_or_polls_one_is_woken_too() {
    let (listener, inode) = listener();
    let inner = epoll_set(&listener, EventFlags::IN);
    let outer = epoll_set(&inner, EventFlags::IN);
    thread::spawn(move || wait(&outer));
    waits_in(&EPOLL, inode, Via::EpollLevel);
    drop(listener);

    let (listener, inode) = self::listener();
    let set = epoll_set(&listener, EventFlags::IN);
    thread::spawn(move || poll(&mut [PollFd::new(&set, PollFlags::IN)], None));
    waits_in(&["poll", "ppoll"], inode, Via::EpollLevel);
    drop((listener, inner));
}

#[test]
fn a_one_shot_registration_that_fired_wakes_nobody_and_is_seen_disarmed() {
    let (listener, inode) = listener();
    let set = epoll_set(&listener, EventFlags::IN | EventFlags::ONESHOT);
    let client = TcpStream::connect(listener.local_addr().expect("an address"));
    wait(&set);
    let fd = u32::try_from(set.as_raw_fd()).expect("a descriptor");
    thread::spawn(move || wait(&set));
    let in_set = |process: &halfopen_evidence::Process| {
        process.threads.get().into_iter().flatten().any(|thread| {
            matches!(thread.activity.get(), Some(Activity::Blocked(call)) if EPOLL.contains(&&*call.name))
        })
    };
    let process = eventually("a thread in epoll_wait", || {
        Some(process(own_pid(), &BTreeSet::from([inode]))).filter(in_set)
    });
    assert_eq!(process.waiters(inode).count(), 0);
    let registrations = process.epoll.known().expect("its epoll sets");
    let armed: Vec<_> = registrations.iter().map(|r| (r.epfd, r.inode, r.is_armed())).collect();
    assert_eq!(armed, [(fd, inode, false)]);
    drop((client, listener));
}

#[test]
fn threads_that_wait_for_a_lock_a_pipe_a_child_or_the_clock_say_so() {
    let lock = Arc::new(Mutex::new(()));
    let held = lock.lock().expect("a new lock");
    let (mut pipe, _writer) = std::io::pipe().expect("a pipe");
    let mut child = Spawned::sleeping();
    let clone = Arc::clone(&lock);
    thread::spawn(move || drop(clone.lock()));
    thread::spawn(move || pipe.read(&mut [0]));
    thread::spawn(|| thread::sleep(std::time::Duration::from_secs(600)));
    let child_pid = child.0.id();
    let waiting = thread::spawn(move || {
        let _ = child.0.wait();
        drop(child);
    });
    eventually("all four", || {
        let targets = targets(own_pid());
        let pipe = |target: &CallTarget| matches!(target, CallTarget::Descriptor { what, .. } if what == "pipe");
        let lock = |target: &CallTarget| matches!(target, CallTarget::Futex { .. });
        (targets.contains(&CallTarget::Child)
            && targets.contains(&CallTarget::Time)
            && targets.iter().any(pipe)
            && targets.iter().any(lock))
        .then_some(())
    });
    drop(held);
    let pid = i32::try_from(child_pid).ok().and_then(rustix::process::Pid::from_raw);
    kill_process(pid.expect("a pid"), Signal::KILL).expect("a signal to the child");
    waiting.join().expect("the waiting thread");
}

#[test]
fn a_thread_that_spins_is_running() {
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clone = Arc::clone(&stop);
    let spinning = thread::spawn(move || {
        while !clone.load(std::sync::atomic::Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    eventually("a running thread besides this one", || {
        let process = process(own_pid(), &BTreeSet::new());
        let threads = process.threads.known()?;
        let running = |t: &&halfopen_evidence::Thread| {
            t.activity == Reading::Known(Activity::Running)
                && t.sched.get().is_some_and(|sched| sched.cpu_ns > 0)
        };
        (threads.iter().filter(running).count() >= 2).then_some(())
    });
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    spinning.join().expect("the spinning thread");
}

#[test]
fn a_stopped_child_shows_its_state_and_still_the_call_it_sits_in() {
    let child = Spawned::sleeping();
    let pid = child.0.id();
    eventually("the child sleeps", || targets(pid).contains(&CallTarget::Time).then_some(()));
    child.signal(Signal::STOP);
    let stopped = eventually("the child stops", || {
        Some(process(pid, &BTreeSet::new())).filter(halfopen_evidence::Process::is_stopped)
    });
    assert_eq!(stopped.comm, "sleep");
    assert_eq!(targets(pid), [CallTarget::Time]);
    // Afterwards the kernel has it sit in restart_syscall.
    child.signal(Signal::CONT);
    eventually("the child goes on", || {
        let process = process(pid, &BTreeSet::new());
        (process.state == 'S' && targets(pid) == [CallTarget::Time]).then_some(())
    });
}

#[test]
fn a_child_without_descriptors_left_shows_its_limit() {
    let child = Spawned::sleeping();
    eventually("the child sleeps", || {
        targets(child.0.id()).contains(&CallTarget::Time).then_some(())
    });
    let fds = || process(child.0.id(), &BTreeSet::new()).fds.known().expect("its descriptors");
    let open = fds().open;
    assert!(!fds().is_exhausted());
    let limit = Rlimit { current: Some(open), maximum: Some(open) };
    let pid = rustix::process::Pid::from_child(&child.0);
    prlimit(Some(pid), Resource::Nofile, limit).expect("a limit for the child");
    let fds = fds();
    assert_eq!((fds.open, fds.limit, fds.is_exhausted()), (open, open, true));
    assert!(
        fds.system_open.value() > Some(0) && fds.system_limit.value() > fds.system_open.value()
    );
}

#[test]
fn a_process_that_is_gone_has_vanished_for_its_sampler() {
    let mut child = Spawned::sleeping();
    let sampler = ThreadSampler::new(&ProcRoot::default(), Pid(child.0.id()), &BTreeSet::new());
    let mut sampler = sampler.known().expect("a live child");
    assert!(sampler.sample().get().is_some());
    child.0.kill().and_then(|()| child.0.wait()).expect("the end of the child");
    assert_eq!(sampler.sample(), Missing::Vanished.into());
}

#[test]
fn this_process_holds_its_listener() {
    let (socket, inode) = listener();
    let holds = |extent| {
        let findings = find_holders(&ProcRoot::default(), &BTreeSet::from([inode]), extent);
        let findings = findings.known().expect("a search");
        let holders = findings.found.get(&inode).cloned().unwrap_or_default();
        (holders.iter().any(|h| h.pid.0 == own_pid()), findings.search)
    };
    assert!(holds(Extent::Everywhere).0);
    assert_eq!(holds(Extent::FirstDescriptors).1, HolderSearch::FirstDescriptors);
    drop(socket);
}

#[test]
fn a_frozen_control_group_is_seen() {
    let mut tried = false;
    for (tree, file, frozen, thawed) in [
        ("/sys/fs/cgroup/unified", "cgroup.freeze", "1", "0"),
        ("/sys/fs/cgroup", "cgroup.freeze", "1", "0"),
        ("/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED"),
    ] {
        let group = format!("{tree}/halfopen-test-{}", own_pid());
        let is_tree = std::fs::exists(format!("{tree}/cgroup.procs")).unwrap_or(false);
        let has_group = is_tree && std::fs::create_dir(&group).is_ok();
        let write = |file: &str, text: &str| std::fs::write(format!("{group}/{file}"), text);
        let child = Spawned::sleeping();
        let pid = child.0.id();
        if has_group
            && write("cgroup.procs", &pid.to_string()).is_ok()
            && write(file, frozen).is_ok()
        {
            tried = true;
            let cgroup = || process(pid, &BTreeSet::new()).cgroup.known().expect("a group");
            eventually(file, || (cgroup().frozen == Reading::Known(true)).then_some(()));
            write(file, thawed).expect("a thawed group");
            eventually(file, || (cgroup().frozen == Reading::Known(false)).then_some(()));
        }
        drop(child);
        if has_group {
            eventually("an empty group", || std::fs::remove_dir(&group).ok());
        }
    }
    if !tried {
        println!("SKIPPED a_frozen_control_group_is_seen: no control group can be made here");
    }
}
