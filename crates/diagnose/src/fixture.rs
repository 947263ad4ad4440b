//! Evidence for tests: a [`Scene`] is a host with one network namespace and nothing wrong, seen twice,
//! 2.0 s apart. A test adds what it is about and asks what the rules make of it.
//!
//! ```ignore
//! let scene = Scene::window()
//!     .endpoint(endpoint("0.0.0.0:8080", [listener(1, 129, 128)]))
//!     .rise(Counter::ListenOverflows, 3);
//! assert_eq!(scene.ids(), [FindingId::AcceptStalled]);
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;

use halfopen_evidence::{
    Activity, Between, Call, CallTarget, CgroupState, CloseWaitGroup, CloseWaitSide, Connecting,
    Cookie, Counters, DestinationPorts, Endpoint, EndpointKey, EpollRegistration, Evidence, FdUse,
    Frame, Holder, HolderSearch, Holders, Host, Inode, Interval, Listener, Located, Mark, Missing,
    Netns, NetnsId, NetnsLabel, NeverAccepted, Outcome, OwnerBasis, OwnerPlace, Pid, PortSpace,
    PortStates, Process, QueueTrack, Reading, RequestSample, SampledStack, Samples, SchedStat,
    Sighting, Snapshot, Stack, StackEnd, SynRecv, SyncKind, Sysctls, Taken, TcpUse, Thread,
    ThreadTrack, Tid, Via, WaitedSocket, Waiting, Watched, WatchedClient, WatchedListener,
    WatchedSide,
};
use halfopen_model::{Counter, PortRange};

use crate::{Diagnosis, Finding, FindingId, diagnose, diagnose_watched};

/// The namespace of every fixture.
pub(crate) const NETNS: NetnsId = NetnsId(4_026_531_840);

/// The time between the two looks.
pub(crate) const WINDOW_MS: u64 = 2000;

/// Uptime at the later look.
const UPTIME_MS: u64 = 5_000_000;

/// A host, seen once or twice.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    /// The earlier look; not part of the evidence of a scene made by [`Scene::now`].
    pub(crate) first: Snapshot,
    pub(crate) between: Between,
    /// The later look.
    pub(crate) second: Snapshot,
    seen_twice: bool,
}

impl Scene {
    /// A healthy host without listeners, seen twice.
    pub(crate) fn window() -> Self {
        Self {
            first: look(UPTIME_MS - WINDOW_MS),
            between: Between::default(),
            second: look(UPTIME_MS),
            seen_twice: true,
        }
    }

    /// The same, seen once.
    pub(crate) fn now() -> Self {
        Self { seen_twice: false, ..Self::window() }
    }

    /// Changes the namespace at both looks.
    pub(crate) fn netns(mut self, change: impl Fn(&mut Netns)) -> Self {
        for look in [&mut self.first, &mut self.second] {
            look.netns.iter_mut().for_each(&change);
        }
        self
    }

    /// Changes the namespace at the later look only.
    pub(crate) fn later(mut self, change: impl Fn(&mut Netns)) -> Self {
        self.second.netns.iter_mut().for_each(change);
        self
    }

    /// Adds an endpoint that is the same at both looks.
    pub(crate) fn endpoint(self, endpoint: Endpoint) -> Self {
        let before = endpoint.clone();
        self.endpoint_changing(before, endpoint)
    }

    /// Adds an endpoint as it was at each look.
    pub(crate) fn endpoint_changing(mut self, before: Endpoint, after: Endpoint) -> Self {
        for (look, endpoint) in [(&mut self.first, before), (&mut self.second, after)] {
            if let Some(all) = look.netns[0].endpoints.get_mut() {
                all.push(endpoint);
            }
        }
        self
    }

    /// Adds a group of CLOSE_WAIT connections that is the same at both looks.
    pub(crate) fn close_wait(mut self, group: CloseWaitGroup) -> Self {
        for (look, group) in [(&mut self.first, group.clone()), (&mut self.second, group)] {
            if let Some(groups) = look.netns[0].close_wait.get_mut() {
                groups.push(group);
            }
        }
        self
    }

    /// Adds a process that is the same at both looks, but for the CPU time of threads that run.
    pub(crate) fn process(mut self, process: Process) -> Self {
        let mut before = process.clone();
        for thread in before.threads.get_mut().into_iter().flatten() {
            if thread.activity == Reading::Known(Activity::Running) {
                thread.sched = Reading::Known(SchedStat::default());
            }
        }
        self.first.processes.insert(process.pid, before);
        self.second.processes.insert(process.pid, process);
        self
    }

    /// Lets a counter rise between the looks.
    pub(crate) fn rise(self, counter: Counter, by: u64) -> Self {
        self.later(|netns| {
            if let Some(counters) = netns.counters.get_mut() {
                let before = counters.reading(counter).value().unwrap_or(0);
                counters.set(counter, before + by);
            }
        })
    }

    /// Adds what was seen of a listener's queue between the looks: its lowest and highest length, and
    /// how often it fell.
    pub(crate) fn track(mut self, cookie: u64, min: u32, max: u32, falls: u32) -> Self {
        let cookie = Cookie(cookie);
        let track = QueueTrack { netns: NETNS, cookie, samples: 20, full: 0, min, max, falls };
        self.between.queues.push(track);
        self
    }

    /// Adds where a thread was seen between the looks.
    pub(crate) fn sighting(
        mut self,
        (pid, tid): (u32, u32),
        activity: Activity,
        waits: &[(Inode, Via)],
    ) -> Self {
        let waits = waits.iter().map(|&(inode, via)| WaitedSocket { inode, via }).collect();
        let seen = vec![Sighting { activity, waits, times: 3 }];
        self.between.threads.push(ThreadTrack { pid: Pid(pid), tid: Tid(tid), seen });
        self
    }

    /// As evidence.
    pub(crate) fn evidence(self) -> Evidence {
        if self.seen_twice {
            let Self { first, between, second, .. } = self;
            Evidence::Window(Box::new(Interval { first, between, second }))
        } else {
            Evidence::Look(Box::new(self.second))
        }
    }

    /// What the rules make of it.
    pub(crate) fn diagnose(self) -> Diagnosis {
        diagnose(&self.evidence())
    }

    /// The ids of the findings, as ordered by the diagnosis.
    pub(crate) fn ids(self) -> Vec<FindingId> {
        self.diagnose().findings.iter().map(|finding| finding.id).collect()
    }

    /// The one finding with this id.
    #[track_caller]
    pub(crate) fn finding(self, id: FindingId) -> Finding {
        let findings = self.diagnose().findings;
        let ids: Vec<FindingId> = findings.iter().map(|finding| finding.id).collect();
        let mut with_id = findings.into_iter().filter(|finding| finding.id == id);
        match (with_id.next(), with_id.next()) {
            (Some(finding), None) => finding,
            _ => panic!("exactly one {id} was expected among {ids:?}"),
        }
    }

    /// Whether no finding has this id.
    pub(crate) fn is_silent_about(&self, id: FindingId) -> bool {
        !self.clone().ids().contains(&id)
    }
}

fn look(uptime_ms: u64) -> Snapshot {
    Snapshot {
        taken: Taken { unix_ms: 1_700_000_000_000 + uptime_ms, uptime_ms },
        host: Host {
            name: "web1".to_owned(),
            kernel_release: "6.18.44".to_owned(),
            kernel_build: String::new(),
            machine: "x86_64".to_owned(),
            collector_uid: 0,
            sees_all_processes: Reading::Known(true),
        },
        netns: vec![netns()],
        processes: BTreeMap::new(),
        gaps: Vec::new(),
    }
}

fn netns() -> Netns {
    Netns {
        id: NETNS,
        labels: vec![NetnsLabel::Host],
        is_own: true,
        member: Some(Pid(1)),
        sysctls: sysctls(),
        counters: Reading::Known(Counter::ALL.iter().map(|&c| (c, 1000)).collect::<Counters>()),
        tcp_use: Reading::Known(TcpUse { in_use: 20, time_wait: 0, orphans: 0 }),
        endpoints: Reading::Known(Vec::new()),
        connecting: Reading::Known(Vec::new()),
        close_wait: Reading::Known(Vec::new()),
        ports: Reading::Known(PortSpace {
            destinations: Vec::new(),
            undercount: 0,
            listed_from: 1,
        }),
        conntrack: Reading::not_collected(),
    }
}

fn sysctls() -> Sysctls {
    Sysctls {
        somaxconn: Reading::Known(4096),
        tcp_max_syn_backlog: Reading::Known(2048),
        tcp_syncookies: Reading::Known(1),
        tcp_abort_on_overflow: Reading::Known(0),
        tcp_synack_retries: Reading::Known(5),
        tcp_syn_retries: Reading::Known(6),
        tcp_syn_linear_timeouts: Reading::Known(4),
        tcp_tw_reuse: Reading::Known(2),
        tcp_timestamps: Reading::Known(1),
        tcp_max_tw_buckets: Reading::Known(262_144),
        tcp_migrate_req: Reading::Known(0),
        ip_local_port_range: Reading::Known(PortRange { low: 32_768, high: 60_999 }),
        reserved_ports: Reading::Known(0),
    }
}

/// An address.
pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The key of an endpoint at this address.
pub(crate) fn key(local: &str) -> EndpointKey {
    EndpointKey { local: address(local), device: 0, v6_only: false }
}

/// An endpoint; as many ESTABLISHED connections wait behind it as its queues are long, with cookies
/// from 100 on and ages of ten seconds and less.
pub(crate) fn endpoint(local: &str, listeners: impl IntoIterator<Item = Listener>) -> Endpoint {
    let listeners: Vec<Listener> = listeners.into_iter().collect();
    let depth: u32 = listeners.iter().map(|listener| listener.depth).sum();
    Endpoint {
        key: key(local),
        listeners,
        syn_recv: SynRecv::default(),
        never_accepted: never_accepted(
            (0..depth)
                .map(|n| waiting(100 + u64::from(n), 10_000_u64.saturating_sub(u64::from(n)))),
        ),
    }
}

/// A listening socket with this cookie and the inode of [`inode`]; its holders were not looked for.
pub(crate) fn listener(cookie: u64, depth: u32, limit: u32) -> Listener {
    Listener {
        cookie: Cookie(cookie),
        inode: inode(cookie),
        uid: 33,
        depth,
        limit,
        drops: Reading::Known(0),
        syn_queue: Reading::not_collected(),
        holders: Reading::not_collected(),
    }
}

/// The inode of the listening socket with this cookie.
pub(crate) fn inode(cookie: u64) -> Inode {
    Inode(70_000 + cookie)
}

/// A listening socket held by these processes as descriptor 3; all processes were looked at.
pub(crate) fn held(mut listener: Listener, pids: &[u32]) -> Listener {
    let found = pids
        .iter()
        .map(|&pid| Holder { pid: Pid(pid), fd: 3, comm: "app".to_owned(), start_ticks: 77 })
        .collect();
    listener.holders = Reading::Known(Holders { found, search: HolderSearch::Everywhere });
    listener
}

/// Connections that no process has accepted.
pub(crate) fn never_accepted(waiting: impl IntoIterator<Item = Waiting>) -> NeverAccepted {
    let mut waiting: Vec<Waiting> = waiting.into_iter().collect();
    waiting.sort_by_key(|waiting| waiting.cookie);
    let closed = waiting.iter().filter(|waiting| waiting.client_closed).count();
    let count = |n: usize| u32::try_from(n).expect("few connections");
    NeverAccepted {
        established: count(waiting.len() - closed),
        close_wait: count(closed),
        waiting,
        omitted: 0,
    }
}

/// A connection that waits to be accepted; its client has sent nothing.
pub(crate) fn waiting(cookie: u64, age_ms: u64) -> Waiting {
    Waiting {
        cookie: Cookie(cookie),
        local: address("10.0.0.1:8080"),
        peer: address("10.0.0.9:40000"),
        client_closed: false,
        unread: 0,
        age_ms: Reading::Known(age_ms),
    }
}

/// Requests in a SYN queue, by how often their SYN-ACK was sent again, from so many addresses. The
/// clients' ends were not looked for.
pub(crate) fn requests(by_retransmits: &[u32], sources: u8) -> SynRecv {
    let mut requests = SynRecv { sources: u32::from(sources), ..SynRecv::default() };
    for (times, &count) in by_retransmits.iter().enumerate().rev() {
        requests.by_retransmits[times] = count;
        for _ in 0..count {
            let host = requests.count % u32::from(sources.max(1)) + 1;
            requests.sample.push(RequestSample {
                local: address("10.0.0.1:80"),
                peer: address(&format!("10.0.1.{host}:{}", 20_000 + requests.count)),
                retransmits: u8::try_from(times).expect("few times"),
                timer_ms: 500,
                client: Reading::not_collected(),
            });
            requests.count += 1;
        }
    }
    requests.sample.truncate(32);
    requests
}

/// Local ports of 10.0.0.1 that are in use for a destination, those of the first parity first, with
/// the example 555; its holder was not looked for.
pub(crate) fn ports_to(destination: &str, states: PortStates) -> DestinationPorts {
    DestinationPorts {
        source: address("10.0.0.1:1").ip(),
        destination: address(destination),
        states,
        first_parity: states.total(),
        example: Some(Inode(555)),
        holder: Reading::not_collected(),
    }
}

/// Connections of 10.0.0.1 to a destination that wait for the answer to their SYN, by how often it was
/// sent again, with the example 556; its holder was not looked for.
pub(crate) fn connecting(destination: &str, retransmitted: &[u32]) -> Connecting {
    let mut by_retransmits = [0; 12];
    by_retransmits[..retransmitted.len()].copy_from_slice(retransmitted);
    Connecting {
        source: address("10.0.0.1:1").ip(),
        destination: address(destination),
        count: retransmitted.iter().sum(),
        by_retransmits,
        example: Inode(556),
        holder: Reading::not_collected(),
    }
}

/// A group of CLOSE_WAIT connections that came in through this endpoint; holders and idle times
/// were not looked for.
pub(crate) fn close_wait_group(local: &str, count: u32) -> CloseWaitGroup {
    CloseWaitGroup {
        side: CloseWaitSide::AcceptedAt(key(local)),
        count,
        sample: (0..u64::from(count.min(32)))
            .map(|n| (Cookie(900 + n), Inode(80_900 + n)))
            .collect(),
        idle_ms: Reading::not_collected(),
        held: Reading::not_collected(),
    }
}

/// A process named `app` that may run and has descriptors left.
pub(crate) fn process(pid: u32, threads: impl IntoIterator<Item = Thread>) -> Process {
    Process {
        pid: Pid(pid),
        comm: "app".to_owned(),
        start_ticks: 77,
        state: 'S',
        uid: Reading::Known(33),
        tracer: Reading::Known(None),
        fds: Reading::Known(FdUse {
            open: 12,
            limit: 1024,
            system_open: Reading::Known(2000),
            system_limit: Reading::Known(100_000),
        }),
        cgroup: Reading::Known(CgroupState {
            path: "/system.slice/app.service".to_owned(),
            frozen: Reading::Known(false),
            cpu_quotas: Reading::Known(Vec::new()),
        }),
        epoll: Reading::Known(Vec::new()),
        threads: Reading::Known(threads.into_iter().collect()),
        threads_omitted: 0,
        goroutines: Reading::not_collected(),
    }
}

/// A thread that has not run for long and waits for no listener.
pub(crate) fn thread(tid: u32, name: &str, activity: Activity) -> Thread {
    let state = if activity == Activity::Running { 'R' } else { 'S' };
    Thread {
        tid: Tid(tid),
        name: name.to_owned(),
        state,
        wchan: Reading::Known("do_wait".to_owned()),
        activity: Reading::Known(activity),
        waits: Reading::Known(Vec::new()),
        sched: Reading::Known(SchedStat { cpu_ns: 5_000_000, wait_ns: 0, slices: 40 }),
        place: None,
        stack: Missing::NotOnThisKernel.into(),
        kernel: Reading::not_collected(),
        samples: Reading::not_collected(),
        managed: Reading::not_collected(),
    }
}

/// The same thread, waiting for a listening socket.
pub(crate) fn waiting_for(mut thread: Thread, inode: Inode, via: Via) -> Thread {
    thread.waits = Reading::Known(vec![WaitedSocket { inode, via }]);
    thread
}

/// The same thread, in this function of its program; its stack is whole.
pub(crate) fn within(mut thread: Thread, function: &str) -> Thread {
    thread.stack = Reading::Known(stack(function));
    thread
}

fn stack(function: &str) -> Stack {
    let frame = Frame {
        function: Some(function.to_owned()),
        module: "app".to_owned(),
        address: 0x1200,
        line: None,
    };
    Stack { frames: vec![frame], end: StackEnd::Root }
}

/// So many samples of a thread that could run for 60 ms, and in which functions they met it.
pub(crate) fn samples(taken: u32, met: &[(&str, u32)]) -> Samples {
    let sampled = |&(function, count)| SampledStack { stack: stack(function), count };
    Samples {
        window_us: 60_000,
        cpu_us: u64::from(taken) * 1000,
        runnable: true,
        taken,
        lost: 0,
        stacks: met.iter().map(sampled).collect(),
    }
}

/// Sits in a system call.
pub(crate) fn blocked(call: &str, target: CallTarget) -> Activity {
    Activity::Blocked(Call { name: call.to_owned(), target })
}

/// Sits in epoll_wait.
pub(crate) fn in_epoll() -> Activity {
    blocked("epoll_wait", CallTarget::Descriptors { count: 3 })
}

/// Waits on a lock that this thread owns.
pub(crate) fn in_lock(owner: u32) -> Activity {
    blocked(
        "futex",
        CallTarget::Lock {
            address: 0x7f00_1000,
            owner: Tid(owner),
            kind: SyncKind::Mutex,
            basis: OwnerBasis::Lock,
            place: OwnerPlace::Here,
        },
    )
}

/// Waits on a futex without an owner: an idle worker.
pub(crate) fn in_futex() -> Activity {
    blocked("futex", CallTarget::Futex { address: 0x7f00_2000, kind: SyncKind::Unknown })
}

/// Reads from or writes to a descriptor.
pub(crate) fn on_descriptor(call: &str, fd: u32, what: &str) -> Activity {
    blocked(call, CallTarget::Descriptor { fd, what: what.to_owned() })
}

/// The registration of a listening socket in an epoll set; level triggered if `events` is 1.
pub(crate) fn registered(inode: Inode, events: u32) -> EpollRegistration {
    EpollRegistration { epfd: 4, inode, events }
}

mod tests {
    use super::*;

    #[test]
    fn a_healthy_host_gives_no_finding_and_no_want() {
        let idle = endpoint("0.0.0.0:8080", [listener(1, 0, 128)]);
        assert_eq!(Scene::window().endpoint(idle.clone()).diagnose(), Diagnosis::default());
        assert_eq!(Scene::now().endpoint(idle).diagnose(), Diagnosis::default());
    }
}

/// A listener whose handshakes were watched at its own end, and came out so.
pub(crate) fn watched_listener(outcomes: &[(Outcome, u32)]) -> Seen {
    Seen {
        listener: WatchedListener {
            server: "10.0.0.1:8080".parse().expect("an address"),
            scope: String::new(),
            handshakes: outcomes.iter().map(|&(_, count)| count).sum(),
            outcomes: outcomes.to_vec(),
            marks: Vec::new(),
            joined: 0,
            located: Vec::new(),
            clients: 1,
            connect: None,
            side: WatchedSide::Server,
            burst: None,
            first_ns: 0,
            last_ns: 2_000_000_000,
            gave_up: 0,
            troubled: Vec::new(),
            only: None,
        },
    }
}

/// A listener that was watched.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) listener: WatchedListener,
}

impl Seen {
    /// With so many of a mark.
    pub(crate) fn mark(mut self, mark: Mark, count: u32) -> Self {
        self.listener.marks.push((mark, count));
        self
    }

    /// Seen at two points, with so many that went wrong there between them.
    pub(crate) fn located(mut self, located: Located, count: u32) -> Self {
        self.listener.joined = self.listener.handshakes;
        self.listener.located.push((located, count));
        self
    }

    /// With a client of whose handshakes these came out so; they are among those of the listener.
    pub(crate) fn troubled(mut self, last: u8, outcomes: &[(Outcome, u32)]) -> Self {
        self.listener.troubled.push(WatchedClient {
            client: [10, 0, 0, last].into(),
            handshakes: outcomes.iter().map(|&(_, count)| count).sum(),
            gave_up: 0,
            outcomes: outcomes.to_vec(),
            marks: Vec::new(),
            joined: 0,
            located: Vec::new(),
            first_ns: 0,
            last_ns: 1_000_000_000,
        });
        self
    }

    /// Watched there.
    pub(crate) fn from(mut self, side: WatchedSide) -> Self {
        self.listener.side = side;
        self
    }

    /// The one finding with this id.
    pub(crate) fn finding(&self, id: FindingId) -> Finding {
        let mut found = self.findings(id);
        assert_eq!(found.len(), 1, "{id}: {found:#?}");
        found.remove(0)
    }

    /// Whether nothing is found with this id.
    pub(crate) fn is_silent_about(&self, id: FindingId) -> bool {
        self.findings(id).is_empty()
    }

    fn findings(&self, id: FindingId) -> Vec<Finding> {
        let watched = Watched { listeners: vec![self.listener.clone()], undercount: 0 };
        let findings = diagnose_watched(&watched).findings;
        findings.into_iter().filter(|finding| finding.id == id).collect()
    }
}
