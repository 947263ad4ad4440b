//! Processes that are hard to come by, as directory trees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;

use halfopen_evidence::{
    Activity, Call, CallTarget, FdUse, Holder, HolderSearch, Inode, Missing, Pid, Process, Reading,
    SchedStat, Thread, ThreadPlace, Tid, Via, WaitedSocket,
};
use tempfile::TempDir;

use crate::proc::{Extent, ProcRoot, find_holders, read_process, read_schedules};

struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn file(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
        self
    }

    fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        symlink(target, path).expect("a link");
        self
    }

    fn dir(&self, path: &str) -> &Self {
        fs::create_dir_all(self.0.path().join(path)).expect("a directory");
        self
    }

    fn root(&self) -> ProcRoot {
        ProcRoot::new(self.0.path()).with_host_root(self.0.path().join("host"))
    }

    fn holders(&self, inodes: &[u64], extent: Extent) -> (BTreeMap<u64, Vec<u32>>, HolderSearch) {
        let wanted = inodes.iter().copied().map(Inode).collect();
        let findings = find_holders(&self.root(), &wanted, extent).known().expect("a search");
        let pids = |holders: Vec<Holder>| holders.into_iter().map(|holder| holder.pid.0).collect();
        let found = findings.found.into_iter().map(|(inode, by)| (inode.0, pids(by))).collect();
        (found, findings.search)
    }
}

fn stat(comm: &str, state: char, flags: u64, threads: u32) -> String {
    format!("1 ({comm}) {state} 1 1 1 0 -1 {flags} 0 0 0 0 5 6 0 0 20 0 {threads} 0 4321 0 0\n")
}

#[test]
fn every_holder_of_a_socket_is_found_everywhere() {
    let tree = Tree::new();
    tree.file("7/stat", stat("nginx", 'S', 0, 1)).link("7/fd/6", "socket:[100]");
    tree.file("8/stat", stat("nginx", 'S', 0, 1)).link("8/fd/6", "socket:[100]");
    tree.link("8/fd/7", "/a/path/that/is/longer/than/a/socket:[101]")
        .link("8/fd/8", "socket:[200]");
    tree.file("uptime", "1 1").dir("9/fd").file("9/stat", stat("kthreadd", 'S', 0x20_0000, 1));
    let expected = (BTreeMap::from([(100, vec![7, 8])]), HolderSearch::Everywhere);
    assert_eq!(tree.holders(&[100, 101], Extent::Everywhere), expected);
    assert_eq!(tree.holders(&[], Extent::Everywhere).0, BTreeMap::new());
}

#[test]
fn a_quick_search_does_not_go_beyond_the_first_descriptors() {
    let tree = Tree::new();
    tree.file("7/stat", stat("server", 'S', 0, 1));
    for fd in 0..500 {
        tree.link(&format!("7/fd/{fd}"), &format!("socket:[{}]", 1000 + fd));
    }
    let all: Vec<_> = (1000..1500).collect();
    let (found, search) = tree.holders(&all, Extent::FirstDescriptors);
    assert_eq!((found.len(), search), (64, HolderSearch::FirstDescriptors));
    assert_eq!(tree.holders(&all, Extent::Everywhere).0.len(), 500);
}

#[test]
fn a_search_ends_with_the_last_process_however_many_there_are() {
    let tree = Tree::new();
    for pid in 1..=3000 {
        tree.dir(&format!("{pid}/fd"));
    }
    let stat = stat("nginx", 'S', 0, 1);
    tree.file("3001/stat", &stat).link("3001/fd/6", "socket:[100]");
    let expected = (BTreeMap::from([(100, vec![3001])]), HolderSearch::Everywhere);
    assert_eq!(tree.holders(&[100], Extent::Everywhere), expected);
    assert_eq!(tree.holders(&[101], Extent::FirstDescriptors).0, BTreeMap::new());
}

#[test]
fn a_process_holds_a_socket_once_and_the_holders_of_one_socket_are_bounded() {
    let tree = Tree::new();
    let stat = stat("nginx", 'S', 0, 1);
    for pid in 1..=1100 {
        let pid = format!("{pid}");
        tree.file(&format!("{pid}/stat"), &stat).link(&format!("{pid}/fd/6"), "socket:[100]");
    }
    for fd in (3..40).rev() {
        tree.link(&format!("7/fd/{}", fd + 100), "socket:[200]");
    }
    let wanted = BTreeSet::from([Inode(100), Inode(200)]);
    let findings = find_holders(&tree.root(), &wanted, Extent::Everywhere).known();
    let found = findings.expect("a search").found;
    assert_eq!(found[&Inode(100)].len(), 1024);
    let brief: Vec<_> = found[&Inode(200)].iter().map(|h| (h.pid.0, h.fd)).collect();
    assert_eq!(brief, [(7, 103)]);
}

#[test]
fn a_process_whose_first_thread_exited_is_read_through_another() {
    let tree = Tree::new();
    tree.file("7/stat", stat("java", 'Z', 0, 2)).dir("7/fd").dir("7/task/7");
    tree.file("7/task/7/stat", stat("java", 'Z', 0, 2)).dir("7/task/7/fd");
    tree.file("7/task/9/stat", stat("worker", 'S', 0, 2)).link("7/task/9/fd/4", "socket:[100]");
    tree.file("7/task/9/syscall", "288 0x4 0x0 0x0 0x0 0x0 0x0 0x7ffc00001000 0x7f0000001000\n");
    assert_eq!(tree.holders(&[100], Extent::Everywhere).0, BTreeMap::from([(100, vec![7])]));

    let listeners = BTreeSet::from([Inode(100)]);
    let process = read_process(&tree.root(), Pid(7), &listeners).known().expect("a process");
    assert_eq!(process.state, 'Z');
    if cfg!(target_arch = "x86_64") {
        let waiters: Vec<_> =
            process.waiters(Inode(100)).map(|(thread, via)| (thread.tid, via)).collect();
        assert_eq!(waiters, [(Tid(9), Via::Accept)]);
    }
}

#[test]
fn a_process_is_read_whole() {
    let tree = Tree::new();
    tree.file("sys/fs/file-nr", "1952\t0\t100000\n");
    tree.file("7/stat", stat("a) b", 'S', 0, 1));
    tree.file("7/status", "Name:\ta) b\nUid:\t0\t33\t33\t33\nTracerPid:\t5\nNSpid:\t7\n");
    tree.file("7/limits", "Max open files            16          32          files     \n");
    tree.link("7/fd/0", "/dev/null").link("7/fd/4", "socket:[100]");
    tree.link("7/fd/5", "anon_inode:[eventpoll]");
    tree.file(
        "7/fdinfo/5",
        "pos:\t0\ntfd:        4 events: 8000201d data: 4 pos:0 ino:64 sdev:8\n",
    );
    tree.file("7/task/7/stat", stat("main", 'S', 0, 1)).file("7/task/7/wchan", "ep_poll");
    tree.file("7/task/7/syscall", "281 0x5 0x0 0x0 0x0 0x0 0x0 0x7ffc00001000 0x7f0000001000\n");
    tree.file("7/task/7/schedstat", "10 20 30\n");
    let found = read_process(&tree.root(), Pid(7), &BTreeSet::from([Inode(100)]));
    let events = 0x8000_201d;
    let registration = halfopen_evidence::EpollRegistration { epfd: 5, inode: Inode(100), events };
    let call =
        Call { name: "epoll_pwait".to_owned(), target: CallTarget::Descriptors { count: 1 } };
    let waits = vec![WaitedSocket { inode: Inode(100), via: Via::EpollEdge }];
    let expected = Process {
        pid: Pid(7),
        comm: "a) b".to_owned(),
        start_ticks: 4321,
        state: 'S',
        uid: Reading::Known(33),
        tracer: Reading::Known(Some(Pid(5))),
        fds: Reading::Known(FdUse {
            open: 3,
            limit: 16,
            system_open: Reading::Known(1952),
            system_limit: Reading::Known(100_000),
        }),
        cgroup: Missing::Vanished.into(),
        epoll: Reading::Known(vec![registration]),
        threads: Reading::Known(vec![Thread {
            tid: Tid(7),
            name: "main".to_owned(),
            state: 'S',
            wchan: Reading::not_collected(),
            activity: Reading::Known(Activity::Blocked(call)),
            waits: Reading::Known(waits),
            sched: Reading::Known(SchedStat { cpu_ns: 10, wait_ns: 20, slices: 30 }),
            place: Some(ThreadPlace {
                sp: 0x7ffc_0000_1000,
                pc: 0x7f00_0000_1000,
                frame_pointer: None,
            }),
            stack: Reading::not_collected(),
            kernel: Reading::not_collected(),
            samples: Reading::not_collected(),
            managed: Reading::not_collected(),
        }]),
        threads_omitted: 0,
        goroutines: Reading::not_collected(),
    };
    if cfg!(target_arch = "x86_64") {
        assert_eq!(found, Reading::Known(expected));
    }
}

#[test]
fn an_accept_request_of_an_io_uring_waits_in_the_first_thread_or_in_the_one_that_sits_in_the_ring()
{
    let tree = Tree::new();
    tree.file("7/stat", stat("u", 'S', 0, 2)).link("7/fd/4", "socket:[100]");
    tree.link("7/fd/5", "anon_inode:[io_uring]");
    tree.file("7/fdinfo/5", "SqMask:\t0x7\nPollList:\n  op=13, task_works=0\nCqOverflowList:\n");
    tree.file("7/task/7/stat", stat("main", 'S', 0, 2)).file("7/task/7/syscall", "running\n");
    tree.file("7/task/9/stat", stat("loop", 'S', 0, 2)).file("7/task/9/syscall", "running\n");
    let waiters = || {
        let process = read_process(&tree.root(), Pid(7), &BTreeSet::from([Inode(100)]));
        let process = process.known().expect("a process");
        process.waiters(Inode(100)).map(|(thread, via)| (thread.tid.0, via)).collect::<Vec<_>>()
    };
    assert_eq!(waiters(), [(7, Via::IoUring)]);
    let enter = "426 0x5 0x0 0x1 0x1 0x0 0x8 0x7ffc00001000 0x7f0000001000\n";
    tree.file("7/task/9/syscall", enter);
    assert_eq!(waiters(), [(9, Via::IoUring)]);
    tree.file("7/fdinfo/5", "PollList:\n  op=22, task_works=0\n");
    assert_eq!(waiters(), []);
}

#[test]
fn how_long_threads_ran_is_read_alone() {
    let tree = Tree::new();
    tree.file("7/stat", stat("app", 'S', 0, 2)).dir("7/fd").dir("7/task/7");
    tree.file("7/task/9/schedstat", "10 20 30\n");
    let process = read_schedules(&tree.root(), Pid(7)).known().expect("a process");
    let threads = process.threads.known().expect("threads");
    let found: Vec<_> = threads.into_iter().map(|thread| (thread.tid.0, thread.sched)).collect();
    let ran = Reading::Known(SchedStat { cpu_ns: 10, wait_ns: 20, slices: 30 });
    assert_eq!(found, [(7, Missing::Vanished.into()), (9, ran)]);
    assert!(process.epoll.is_not_collected());
}

#[test]
fn what_is_gone_or_empty_is_missing() {
    let tree = Tree::new();
    let none = BTreeSet::new();
    assert_eq!(read_process(&tree.root(), Pid(7), &none), Missing::Vanished.into());
    tree.file("7/stat", "").dir("7/task").dir("7/fd");
    let found = read_process(&tree.root(), Pid(7), &none);
    assert!(matches!(found, Reading::Missing(Missing::Unreadable { .. })), "{found:?}");
}
