//! A look at the simulated hosts, as the collectors would take it of real ones: each host is a
//! network namespace of one machine. What a collector has to fetch on request is there from the
//! beginning, since it costs nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, SocketAddrV4};

use halfopen_evidence::{
    Conntrack, Cookie, Counters, Endpoint, FoldLimits, Folded, HeldCloseWait, Holder, HolderSearch,
    Holders, Inode, Missing, Netns, NetnsId, NetnsLabel, Pid, Reading, Snapshot, SocketFold,
    SocketRow, Sysctls, Taken, TcpUse,
};
use halfopen_model::tcp::SocketView;
use halfopen_model::{
    ConntrackCounts, ConntrackTable, Counter, MigrateReq, TcpState, Time, TimeWaitReuse,
};

use crate::host::Host;
use crate::ids::Owner;
use crate::processes::{pid_of, start_ticks};
use crate::programs::Programs;
use crate::world::World;

/// The time of day at which every simulation begins: 2026-01-01, 00:00 UTC.
pub const BEGINNING_UNIX_MS: u64 = 1_767_225_600_000;

/// How long the hosts have been up when it begins.
const BEGINNING_UPTIME_MS: u64 = 3_600_000;

/// The process whose sockets the clients are.
pub(crate) const CLIENTS_PID: Pid = Pid(999);

/// Inodes of listening sockets lie below those of connections.
const LISTENER_INODES: u64 = 1_000;
const SOCKET_INODES: u64 = 1_000_000;

/// Listeners of one host; beyond it their numbers would run into those of the next.
const LISTENERS_PER_HOST: u64 = 1_000;

impl World {
    /// A look at the machines whose hosts are chosen.
    pub(crate) fn snapshot(&self, hosts: &[usize]) -> Snapshot {
        let first = &self.hosts[hosts.first().copied().unwrap_or(0)];
        let netns = hosts.iter().map(|&index| self.netns(index, hosts)).collect();
        Snapshot {
            taken: taken(self.now),
            host: halfopen_evidence::Host {
                name: "simulated".to_owned(),
                kernel_release: release(first),
                kernel_build: String::new(),
                machine: "x86_64".to_owned(),
                collector_uid: 0,
                sees_all_processes: Reading::Known(true),
            },
            netns,
            processes: self.processes(hosts),
            gaps: Vec::new(),
        }
    }

    fn netns(&self, index: usize, hosts: &[usize]) -> Netns {
        let host = &self.hosts[index];
        let listeners = host.stack.listener_views().map(|(id, view)| SocketRow {
            state: TcpState::Listen,
            local: SocketAddr::V4(view.local),
            peer: SocketAddr::V4(SocketAddrV4::new([0, 0, 0, 0].into(), 0)),
            inode: listener_inode(index, id.0).0,
            cookie: listener_inode(index, id.0).0,
            uid: 0,
            rqueue: view.accept_queue.depth,
            wqueue: view.accept_queue.limit,
            retransmits: 0,
            timer_ms: 0,
            device: 0,
            drops: Some(view.drops),
            v6_only: false,
        });
        let range = host.stack.sysctls().local_ports;
        let mut fold = SocketFold::new(listeners, range, FoldLimits::default());
        let mut details = Details::default();
        for view in host.stack.socket_views(self.now) {
            details.note(&view);
            fold.push(&row(&view));
        }
        let mut folded = fold.finish();
        self.complete(index, &mut folded, &details);
        let label = NetnsLabel::Name(host.name.clone());
        Netns {
            id: netns_id(index),
            labels: vec![label],
            is_own: hosts.first() == Some(&index),
            member: None,
            sysctls: sysctls(host),
            counters: Reading::Known(counters(host)),
            tcp_use: Reading::Known(details.usage),
            endpoints: Reading::Known(folded.endpoints),
            connecting: Reading::Known(folded.connecting),
            close_wait: Reading::Known(folded.close_wait),
            ports: Reading::Known(folded.ports),
            conntrack: host.conntrack.as_ref().map_or(Missing::NotOnThisKernel.into(), conntrack),
        }
    }

    /// What a collector would fetch when the rules ask: holders, ages, the clients' ends.
    fn complete(&self, index: usize, folded: &mut Folded, details: &Details) {
        for endpoint in &mut folded.endpoints {
            self.complete_endpoint(index, endpoint, details);
        }
        for group in &mut folded.close_wait {
            let idle = group.sample.iter().filter_map(|(cookie, _)| details.ages.get(cookie));
            group.idle_ms = idle.max().map_or(Missing::Vanished.into(), |&ms| Reading::Known(ms));
            let mut held: BTreeMap<(Pid, String), u32> = BTreeMap::new();
            for owner in group.sample.iter().filter_map(|(_, inode)| details.owners.get(inode)) {
                *held.entry(self.programs.holder(*owner)).or_default() += 1;
            }
            group.held = Reading::Known(
                held.into_iter()
                    .map(|((pid, comm), count)| HeldCloseWait { pid, comm, count })
                    .collect(),
            );
        }
        let holder = |inode: Option<&Inode>| -> Reading<Option<Holder>> {
            let owner = inode.and_then(|inode| details.owners.get(inode));
            Reading::Known(owner.map(|&owner| {
                let (pid, comm) = self.programs.holder(owner);
                Holder { pid, fd: 3, comm, start_ticks: start_ticks(Time::ZERO) }
            }))
        };
        for group in &mut folded.connecting {
            group.holder = holder(Some(&group.example));
        }
        for ports in &mut folded.ports.destinations {
            ports.holder = holder(ports.example.as_ref());
        }
    }

    fn complete_endpoint(&self, index: usize, endpoint: &mut Endpoint, details: &Details) {
        for listener in &mut endpoint.listeners {
            let found = self.programs.holders_of(index, listener.inode);
            let search = HolderSearch::Everywhere;
            listener.holders = Reading::Known(Holders { found, search });
        }
        for waiting in &mut endpoint.never_accepted.waiting {
            waiting.age_ms = details
                .ages
                .get(&waiting.cookie)
                .map_or(Missing::Vanished.into(), |&ms| Reading::Known(ms));
        }
        for request in &mut endpoint.syn_recv.sample {
            let elsewhere = Missing::needs("a look at the client's host");
            request.client = details
                .ends
                .get(&(request.peer, request.local))
                .map_or(elsewhere.into(), |&state| Reading::Known(state));
        }
    }
}

/// What is known of single sockets while they are folded.
#[derive(Debug, Default)]
struct Details {
    ages: BTreeMap<Cookie, u64>,
    owners: BTreeMap<Inode, Owner>,
    /// Both ends of each full socket, and its state.
    ends: BTreeMap<(SocketAddr, SocketAddr), TcpState>,
    usage: TcpUse,
}

impl Details {
    fn note(&mut self, view: &SocketView) {
        let ends = (SocketAddr::V4(view.local), SocketAddr::V4(view.peer));
        if view.socket.is_some() {
            self.ages.insert(Cookie(view.serial), view.age.as_millis());
            self.ends.insert(ends, view.state);
        }
        if view.held {
            self.owners.insert(Inode(SOCKET_INODES + view.serial), Owner::of(view.tag));
        }
        match view.state {
            TcpState::TimeWait => self.usage.time_wait += 1,
            TcpState::NewSynRecv => {}
            _ => self.usage.in_use += 1,
        }
        let closing = !view.held && !view.queued && view.state != TcpState::TimeWait;
        self.usage.orphans += u32::from(closing && view.socket.is_some());
    }
}

pub(crate) fn netns_id(host: usize) -> NetnsId {
    NetnsId(4_026_531_840 + host as u64)
}

/// The inode, and the cookie, of a listening socket.
pub(crate) fn listener_inode(host: usize, listener: u32) -> Inode {
    Inode(LISTENER_INODES + host as u64 * LISTENERS_PER_HOST + u64::from(listener))
}

fn row(view: &SocketView) -> SocketRow {
    SocketRow {
        state: view.state,
        local: SocketAddr::V4(view.local),
        peer: SocketAddr::V4(view.peer),
        inode: if view.held { SOCKET_INODES + view.serial } else { 0 },
        cookie: view.serial,
        uid: 0,
        rqueue: view.unread,
        wqueue: view.unacknowledged,
        retransmits: view.retransmits,
        timer_ms: view.timer.map_or(0, |timer| u32::try_from(timer.as_millis()).unwrap_or(0)),
        device: 0,
        drops: None,
        v6_only: false,
    }
}

pub(crate) fn taken(now: Time) -> Taken {
    Taken {
        unix_ms: BEGINNING_UNIX_MS + now.as_millis(),
        uptime_ms: BEGINNING_UPTIME_MS + now.as_millis(),
    }
}

fn release(host: &Host) -> String {
    use halfopen_model::Vendor;
    let v = host.kernel;
    let number = format!("{}.{}.{}", v.major, v.minor, v.patch);
    match v.vendor {
        Vendor::Vanilla => number,
        Vendor::Rhel(release) => format!("{number}-1.el{release}.x86_64"),
    }
}

fn counters(host: &Host) -> Counters {
    let counting = host.stack.semantics().counting;
    let exists = |counter: &Counter| match counter {
        Counter::TcpReqQFullDrop | Counter::TcpReqQFullDoCookies => {
            counting.syn_queue_full_is_counted
        }
        Counter::TcpSynRetrans | Counter::TcpOrigDataSent => {
            counting.syn_retransmissions_are_counted
        }
        Counter::TcpDelivered => counting.deliveries_are_counted,
        Counter::TcpTimeoutRehash => counting.timeout_rehashes_are_counted,
        // Windows decide it, and there are none here.
        Counter::TcpPureAcks => false,
        Counter::TcpDeferAcceptDrop => counting.defer_accept_drops_are_counted,
        Counter::TcpBacklogDrop => counting.backlog_drops_are_counted,
        Counter::TcpTimeWaitOverflow => counting.time_wait_overflows_are_counted,
        _ => true,
    };
    let counters = host.stack.counters();
    let all = Counter::ALL.iter().copied().filter(exists);
    all.map(|counter| (counter, counters.value(counter))).collect()
}

fn conntrack(table: &ConntrackTable) -> Reading<Conntrack> {
    let ConntrackCounts { drops, early_drops } = table.counts();
    Reading::Known(Conntrack {
        count: u32::try_from(table.count()).unwrap_or(u32::MAX),
        max: table.max(),
        drops: Reading::Known(drops),
        insert_failures: Reading::Known(0),
        early_drops: Reading::Known(early_drops),
    })
}

fn sysctls(host: &Host) -> Sysctls {
    let semantics = host.stack.semantics();
    let set = host.stack.sysctls();
    let known = |value: u32| Reading::Known(value);
    let only_if = |exists: bool, value: u32| {
        if exists { Reading::Known(value) } else { Missing::NotOnThisKernel.into() }
    };
    let reserved: BTreeSet<u16> = (set.local_ports.low..=set.local_ports.high)
        .filter(|&port| set.is_reserved(port))
        .collect();
    Sysctls {
        somaxconn: known(set.somaxconn),
        tcp_max_syn_backlog: Reading::Known(set.max_syn_backlog),
        tcp_syncookies: known(u32::from(set.syncookies)),
        tcp_abort_on_overflow: known(u32::from(set.abort_on_overflow)),
        tcp_synack_retries: known(u32::from(set.synack_retries)),
        tcp_syn_retries: known(u32::from(set.syn_retries)),
        tcp_syn_linear_timeouts: only_if(
            semantics.client.syn_linear_timeouts_default > 0,
            u32::from(set.syn_linear_timeouts),
        ),
        tcp_tw_reuse: known(match set.tw_reuse {
            TimeWaitReuse::Off => 0,
            TimeWaitReuse::On => 1,
            TimeWaitReuse::LoopbackOnly => 2,
        }),
        tcp_timestamps: known(u32::from(set.timestamps)),
        tcp_max_tw_buckets: known(set.max_tw_buckets),
        tcp_migrate_req: only_if(
            semantics.queues.migrate_req != MigrateReq::Absent,
            u32::from(set.migrate_req),
        ),
        ip_local_port_range: Reading::Known(set.local_ports),
        reserved_ports: known(u32::try_from(reserved.len()).unwrap_or(u32::MAX)),
    }
}

impl Programs {
    /// The processes of a host that hold a listening socket.
    fn holders_of(&self, host: usize, inode: Inode) -> Vec<Holder> {
        let of_host = self.processes.iter().enumerate().filter(|(_, p)| p.host == host);
        of_host
            .filter_map(|(number, process)| {
                let at = process
                    .listeners
                    .iter()
                    .position(|(id, _)| listener_inode(host, id.0) == inode)?;
                Some(Holder {
                    pid: pid_of(number),
                    fd: 3 + u32::try_from(at).ok()?,
                    comm: process.name.clone(),
                    start_ticks: start_ticks(process.started),
                })
            })
            .collect()
    }

    /// The process that holds a connection.
    fn holder(&self, owner: Owner) -> (Pid, String) {
        match owner {
            Owner::Client(_) => (CLIENTS_PID, "clients".to_owned()),
            Owner::Accepted(thread) | Owner::Outgoing(thread) => {
                let process = self.threads[thread as usize].process as usize;
                (pid_of(process), self.processes[process].name.clone())
            }
        }
    }
}
