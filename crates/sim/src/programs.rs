//! Server programs: processes, their threads, and what each thread does with a connection.
//!
//! A thread takes a connection from its listener whenever it waits and one is there, at the very
//! moment; what it does then takes the time that its plan says. A thread that wants to run, runs,
//! unless its control group has used up its CPU quota (see [`crate::cpu`]).

use halfopen_model::tcp::{ConnectOptions, ListenOptions, ListenerId, SocketId};
use halfopen_model::{Span, Time};
use halfopen_scenario::{OnConnection, Server, Then, ThreadPlan, Waits};

use crate::cpu::CpuGroup;
use crate::error::SimError;
use crate::host::{FAR, NEAR};
use crate::ids::Owner;
use crate::world::{Happening, World};

/// How long a server that has no descriptor left waits before it tries again, as in the lab.
const NO_DESCRIPTOR: Span = Span::from_millis(10);

/// Descriptors of a process that has just started: the standard ones.
const STANDARD_FDS: u32 = 3;

/// The soft limit of open descriptors where the scenario names none.
const USUAL_FDS: u32 = 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Programs {
    pub(crate) processes: Vec<Process>,
    pub(crate) threads: Vec<Thread>,
    /// Control groups with a CPU quota.
    pub(crate) groups: Vec<CpuGroup>,
    /// Connections accepted so far.
    accepted: u64,
    /// A copy of the threads that serve each listener, by host and listener.
    serving: Vec<Vec<Vec<u32>>>,
}

/// A process of a server program.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) host: usize,
    pub(crate) listeners: Vec<(ListenerId, u16)>,
    pub(crate) threads: Vec<u32>,
    pub(crate) open: u32,
    pub(crate) limit: u32,
    /// What keeps it from running.
    pub(crate) kept: Option<KeptBy>,
    pub(crate) ended: bool,
    pub(crate) started: Time,
    /// Its control group, if that has a CPU quota.
    pub(crate) group: Option<usize>,
    /// Its locks and the threads that hold them.
    pub(crate) locks: Vec<(String, u32)>,
}

/// What keeps a process from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptBy {
    /// SIGSTOP.
    Signal,
    /// The freezer of its control group.
    Freezer,
}

/// A thread of a server program.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) process: u32,
    pub(crate) plan: ThreadPlan,
    pub(crate) listener: Option<ListenerId>,
    pub(crate) doing: Doing,
    pub(crate) accepted: u32,
    /// When it last went from one thing to another.
    pub(crate) since: Time,
    /// How often that was.
    pub(crate) slices: u64,
    /// Its place among those that wait for a listener.
    turn: u64,
    /// How long it has computed, and waited for a CPU to do so.
    pub(crate) cpu: Span,
    pub(crate) cpu_wait: Span,
    /// Connections of its own epoll set on which something has come while it was busy.
    pending: Vec<(SocketId, bool)>,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It waits for a connection, by the means of its plan.
    Waiting,
    /// It waits for a step of the scenario.
    WaitingToBeTold,
    /// It spends CPU time for a connection.
    Computing,
    /// It is busy with a connection for a time.
    Pausing,
    /// It found no descriptor, and sleeps before it tries again.
    OutOfDescriptors,
    /// It waits for a request on this connection.
    Reading(SocketId),
    /// It sleeps for ever.
    Sleeping,
    /// It waits for a lock of the process, by its place in `Process::locks`.
    InLock(usize),
    /// It waits for this connection to be made.
    Connecting(SocketId),
    /// It has ended.
    Gone,
}

impl World {
    /// Starts the processes of a server program.
    pub(crate) fn serve(&mut self, server: &Server, host: usize) -> Result<(), SimError> {
        let group = server.cpu.map(|cpu| {
            let group = CpuGroup::new(&server.process, cpu.quota.into(), cpu.period.into());
            self.programs.groups.push(group);
            self.programs.groups.len() - 1
        });
        let shared = if server.shares_its_listener() {
            Some(self.open_listeners(server, host)?)
        } else {
            None
        };
        (1..=server.copies).try_for_each(|copy| {
            let listeners = match &shared {
                Some(listeners) => listeners.clone(),
                None => self.open_listeners(server, host)?,
            };
            self.start_process(server, server.threads_of(copy), host, listeners, group);
            Ok(())
        })
    }

    fn start_process(
        &mut self,
        server: &Server,
        plans: &[ThreadPlan],
        host: usize,
        listeners: Vec<(ListenerId, u16)>,
        group: Option<usize>,
    ) {
        let process = u32::try_from(self.programs.processes.len()).unwrap_or(u32::MAX);
        let mut threads = Vec::new();
        let mut locks = Vec::new();
        for plan in plans {
            let number = u32::try_from(self.programs.threads.len()).unwrap_or(u32::MAX);
            let of_plan = |&&(_, port): &&(ListenerId, u16)| Some(port) == plan.port;
            let listener = listeners.iter().find(of_plan).map(|&(id, _)| id);
            locks.extend(plan.holds.clone().map(|lock| (lock, number)));
            threads.push(number);
            self.programs.threads.push(Thread {
                process,
                plan: plan.clone(),
                listener,
                doing: Doing::Waiting,
                accepted: 0,
                since: self.now,
                slices: 0,
                turn: 0,
                cpu: Span::ZERO,
                cpu_wait: Span::ZERO,
                pending: Vec::new(),
            });
            if let Some(listener) = listener {
                self.programs.serve(host, listener, number);
            }
        }
        let epolls = plans.iter().filter(|plan| uses_epoll(plan)).count();
        let sockets = listeners.len() + epolls;
        self.programs.processes.push(Process {
            name: server.process.clone(),
            host,
            listeners,
            threads: threads.clone(),
            open: STANDARD_FDS + u32::try_from(sockets).unwrap_or(0),
            limit: server.open_files.unwrap_or(USUAL_FDS),
            kept: None,
            ended: false,
            started: self.now,
            group,
            locks,
        });
        threads.into_iter().for_each(|thread| self.run_thread(thread));
    }

    fn open_listeners(
        &mut self,
        server: &Server,
        host: usize,
    ) -> Result<Vec<(ListenerId, u16)>, SimError> {
        let mut listeners = Vec::new();
        for listen in &server.listen {
            let seconds = listen.defer_accept.map_or(0, |time| time.as_secs().max(1));
            let options = ListenOptions {
                address: std::net::Ipv4Addr::UNSPECIFIED,
                port: listen.port,
                backlog: listen.backlog,
                reuseport: listen.reuseport,
                defer_accept_s: u32::try_from(seconds).unwrap_or(u32::MAX),
                syn_retries: None,
            };
            let host = &mut self.hosts[host];
            let id = host.stack.listen(&options).map_err(|_| SimError::Listen {
                process: server.process.clone(),
                port: listen.port,
            })?;
            host.served.insert(listen.port);
            listeners.push((id, listen.port));
        }
        Ok(listeners)
    }

    /// A connection has entered an accept queue: whoever has waited longest for the listener takes it,
    /// as those who wait in accept(2) are woken (`prepare_to_wait_exclusive` puts them last).
    pub(crate) fn wake_for(&mut self, host: usize, listener: ListenerId) {
        let programs = &self.programs;
        let waiting = programs.serving_of(host, listener).iter().copied().filter(|&thread| {
            let thread = &programs.threads[thread as usize];
            thread.doing == Doing::Waiting
        });
        let waiting = waiting.min_by_key(|&thread| programs.threads[thread as usize].turn);
        if let Some(thread) = waiting {
            self.run_thread(thread);
        }
    }

    /// What a thread waited for has come, or its time is over.
    pub(crate) fn thread_goes_on(&mut self, number: u32) {
        let thread = &mut self.programs.threads[number as usize];
        match thread.doing {
            Doing::Computing => {
                self.end_computing(number);
                if self.begin_pause(number) {
                    return;
                }
                self.set_doing(number, Doing::Waiting);
            }
            Doing::Pausing | Doing::OutOfDescriptors => thread.doing = Doing::Waiting,
            // However connect() ends, there is nothing left to do.
            Doing::Connecting(_) => return self.set_doing(number, Doing::Sleeping),
            _ => return,
        }
        self.thread_catches_up(number);
    }

    /// Lets a thread do what came while it was busy or could not run.
    pub(crate) fn thread_catches_up(&mut self, number: u32) {
        let host = self.host_of_thread(number);
        let thread = &mut self.programs.threads[number as usize];
        for (socket, closed) in std::mem::take(&mut thread.pending) {
            self.connection_readable(host, number, socket, closed);
        }
        self.run_thread(number);
    }

    /// Lets a thread do what it can at this moment.
    fn run_thread(&mut self, number: u32) {
        loop {
            let thread = &self.programs.threads[number as usize];
            let process = &self.programs.processes[thread.process as usize];
            if process.kept.is_some() || process.ended || thread.doing != Doing::Waiting {
                return;
            }
            if self.is_throttled(number) {
                return;
            }
            let Some(listener) = thread.listener else {
                return self.finish_plan(number);
            };
            if thread.plan.accepts.is_some_and(|limit| thread.accepted >= limit) {
                return self.finish_plan(number);
            }
            if thread.plan.waits == Waits::Told {
                return self.set_doing(number, Doing::WaitingToBeTold);
            }
            if !self.accept_one(number, listener) {
                return;
            }
        }
    }

    /// Takes a connection from the queue and treats it. False if there is none, or no descriptor.
    fn accept_one(&mut self, number: u32, listener: ListenerId) -> bool {
        let thread = &self.programs.threads[number as usize];
        let process = thread.process as usize;
        let host = self.programs.processes[process].host;
        let Process { open, limit, .. } = self.programs.processes[process];
        let stack = &mut self.hosts[host].stack;
        let waits = stack.listener_view(listener).is_some_and(|view| view.accept_queue.depth > 0);
        if waits && open >= limit {
            self.set_doing(number, Doing::OutOfDescriptors);
            self.after(NO_DESCRIPTOR, Happening::Thread(number));
            return false;
        }
        let Some(socket) = stack.accept(listener, Owner::Accepted(number).tag()) else {
            return false;
        };
        self.programs.processes[process].open += 1;
        self.programs.accepted += 1;
        let turn = self.programs.accepted;
        let thread = &mut self.programs.threads[number as usize];
        thread.accepted += 1;
        thread.slices += 1;
        thread.turn = turn;
        self.treat(host, number, socket);
        true
    }

    fn treat(&mut self, host: usize, number: u32, socket: SocketId) {
        match self.programs.threads[number as usize].plan.connection {
            OnConnection::Close => self.close_connection(host, number, socket),
            OnConnection::Keep => {}
            OnConnection::ReadRequest => {
                let view = self.hosts[host].stack.socket_view(socket, self.now);
                if view.is_some_and(|view| view.unread == 0 && !is_over(view.state)) {
                    return self.set_doing(number, Doing::Reading(socket));
                }
                self.hosts[host].stack.read(socket);
                self.close_connection(host, number, socket);
            }
            OnConnection::Serve => {
                let state = self.hosts[host].stack.state(socket);
                self.hosts[host].stack.read(socket);
                if state.is_none_or(is_over) {
                    self.close_connection(host, number, socket);
                }
            }
        }
        self.keep_busy(number);
    }

    /// Lets a connection keep the thread from the next one, for as long as its plan says. False if
    /// that is no time at all.
    fn keep_busy(&mut self, number: u32) -> bool {
        let work = Span::from(self.programs.threads[number as usize].plan.work);
        if work == Span::ZERO {
            return self.begin_pause(number);
        }
        self.compute(number, work);
        true
    }

    fn begin_pause(&mut self, number: u32) -> bool {
        let pause = Span::from(self.programs.threads[number as usize].plan.pause);
        if pause == Span::ZERO {
            return false;
        }
        self.set_doing(number, Doing::Pausing);
        self.after(pause, Happening::Thread(number));
        true
    }

    /// Something came on a connection that a thread has accepted.
    pub(crate) fn connection_readable(
        &mut self,
        host: usize,
        number: u32,
        socket: SocketId,
        closed: bool,
    ) {
        let thread = &mut self.programs.threads[number as usize];
        let process = &self.programs.processes[thread.process as usize];
        if process.kept.is_some() || process.ended {
            return;
        }
        let throttled = process.group.is_some_and(|g| self.programs.groups[g].is_throttled());
        if throttled {
            thread.pending.push((socket, closed));
            return;
        }
        if thread.doing == Doing::Reading(socket) {
            self.hosts[host].stack.read(socket);
            self.close_connection(host, number, socket);
            return self.rest_after_request(number);
        }
        // In an epoll loop the thread itself must be free; elsewhere each connection has a thread.
        let busy = matches!(thread.doing, Doing::Pausing | Doing::Computing);
        if uses_epoll(&thread.plan) && busy {
            thread.pending.push((socket, closed));
            return;
        }
        let loops = uses_epoll(&thread.plan);
        if loops && !matches!(thread.doing, Doing::Waiting | Doing::OutOfDescriptors) {
            return;
        }
        self.read_connection(host, number, socket, closed);
    }

    fn rest_after_request(&mut self, number: u32) {
        if !self.keep_busy(number) {
            self.set_doing(number, Doing::Waiting);
            self.run_thread(number);
        }
    }

    fn read_connection(&mut self, host: usize, number: u32, socket: SocketId, closed: bool) {
        let plan = &self.programs.threads[number as usize].plan;
        if plan.connection == OnConnection::Serve {
            self.hosts[host].stack.read(socket);
            if closed {
                self.close_connection(host, number, socket);
            }
        }
    }

    /// A connection that a thread has accepted was reset.
    pub(crate) fn connection_broken(&mut self, host: usize, number: u32, socket: SocketId) {
        let thread = &mut self.programs.threads[number as usize];
        // Its number can belong to another socket by the time that the thread is free again.
        thread.pending.retain(|&(pending, _)| pending != socket);
        let reading = thread.doing == Doing::Reading(socket);
        if reading || thread.plan.connection == OnConnection::Serve {
            self.close_connection(host, number, socket);
        }
        if reading {
            self.rest_after_request(number);
        }
    }

    fn close_connection(&mut self, host: usize, number: u32, socket: SocketId) {
        let process = self.programs.threads[number as usize].process;
        let process = &mut self.programs.processes[process as usize];
        process.open -= 1;
        self.hosts[host].stack.close(self.now, socket, &mut self.effects);
        self.carry_out(host);
    }

    /// What comes after the last connection.
    fn finish_plan(&mut self, number: u32) {
        let thread = &self.programs.threads[number as usize];
        let process = thread.process as usize;
        match thread.plan.then {
            Then::Exit => self.set_doing(number, Doing::Gone),
            Then::Sleep => self.set_doing(number, Doing::Sleeping),
            // Also if the thread itself has it: the lock is not recursive.
            Then::Lock { ref name } => {
                let mut locks = self.programs.processes[process].locks.iter();
                let lock = locks.position(|(lock, _)| lock == name);
                self.set_doing(number, lock.map_or(Doing::Sleeping, Doing::InLock));
            }
            Then::Connect { port } => self.connect_out(number, port),
        }
    }

    fn connect_out(&mut self, number: u32, port: u16) {
        let host = self.host_of_thread(number);
        let options = ConnectOptions {
            from: NEAR,
            to: std::net::SocketAddrV4::new(FAR, port),
            tag: Owner::Outgoing(number).tag(),
            delay_ack: false,
            keepalive_s: 0,
        };
        match self.hosts[host].stack.connect(self.now, &options, &mut self.effects) {
            Ok(connect) => self.set_doing(number, Doing::Connecting(connect.socket)),
            Err(_) => self.set_doing(number, Doing::Sleeping),
        }
        self.carry_out(host);
    }

    /// Threads that wait to be told accept connections.
    pub(crate) fn tell_to_accept(&mut self, port: u16, count: u32, process: Option<&str>) {
        for number in 0..u32::try_from(self.programs.threads.len()).unwrap_or(u32::MAX) {
            let thread = &self.programs.threads[number as usize];
            let of = &self.programs.processes[thread.process as usize];
            let named = process.is_none_or(|process| process == of.name);
            let told = thread.doing == Doing::WaitingToBeTold && thread.plan.port == Some(port);
            let Some(listener) = thread.listener.filter(|_| named && told && of.kept.is_none())
            else {
                continue;
            };
            let _ = (0..count).all(|_| self.accept_one(number, listener));
            if self.programs.threads[number as usize].doing == Doing::Waiting {
                self.set_doing(number, Doing::WaitingToBeTold);
            }
        }
    }

    /// Keeps all processes of a name from running.
    pub(crate) fn keep_process(&mut self, name: &str, by: KeptBy) {
        for process in self.programs.processes.iter_mut().filter(|process| process.name == name) {
            process.kept = Some(by);
        }
    }

    /// SIGKILL for all processes of a name: the kernel closes what they have open.
    pub(crate) fn end_process(&mut self, name: &str) {
        let named = |process: &Process| process.name == name && !process.ended;
        let all = self.programs.processes.iter().enumerate();
        let ending: Vec<usize> = all.filter(|(_, p)| named(p)).map(|(index, _)| index).collect();
        for index in ending {
            let process = &mut self.programs.processes[index];
            process.ended = true;
            let host = process.host;
            let listeners = std::mem::take(&mut process.listeners);
            let threads = process.threads.clone();
            let connections = self.connections_of(index);
            for thread in threads {
                self.set_doing(thread, Doing::Gone);
                self.programs.groups.iter_mut().for_each(|group| group.forget(thread));
            }
            let others = self.programs.processes.iter();
            let shared: Vec<(ListenerId, u16)> = others
                .filter(|other| other.host == host && !other.ended)
                .flat_map(|other| other.listeners.iter().copied())
                .collect();
            for (listener, _) in listeners.into_iter().filter(|one| !shared.contains(one)) {
                self.hosts[host].stack.close_listener(self.now, listener, &mut self.effects);
                self.carry_out(host);
            }
            for socket in connections {
                self.hosts[host].stack.close(self.now, socket, &mut self.effects);
                self.carry_out(host);
            }
        }
    }

    /// The connections that a process has.
    fn connections_of(&self, process: usize) -> Vec<SocketId> {
        let of_process = &self.programs.processes[process];
        let belongs = |tag: u32| match Owner::of(tag) {
            Owner::Client(_) => false,
            Owner::Accepted(thread) | Owner::Outgoing(thread) => {
                of_process.threads.contains(&thread)
            }
        };
        let views = self.hosts[of_process.host].stack.socket_views(self.now);
        let held = views.filter(|view| view.held && belongs(view.tag));
        held.filter_map(|view| view.socket).collect()
    }

    /// listen(2) again.
    pub(crate) fn listen_again(&mut self, name: &str, port: u16, backlog: i32) {
        let named = self.programs.processes.iter().filter(|process| process.name == name);
        let listeners = named.flat_map(|process| {
            let host = process.host;
            process.listeners.iter().map(move |&(id, port)| (host, id, port))
        });
        for (host, id, _) in listeners.filter(|&(_, _, of)| of == port).collect::<Vec<_>>() {
            self.hosts[host].stack.listen_again(id, backlog);
        }
    }

    fn host_of_thread(&self, number: u32) -> usize {
        let process = self.programs.threads[number as usize].process;
        self.programs.processes[process as usize].host
    }

    pub(crate) fn set_doing(&mut self, number: u32, doing: Doing) {
        let now = self.now;
        let thread = &mut self.programs.threads[number as usize];
        if thread.doing != doing {
            thread.doing = doing;
            thread.since = now;
            thread.slices += 1;
        }
    }
}

impl Programs {
    fn serve(&mut self, host: usize, listener: ListenerId, thread: u32) {
        let by_listener = grown(&mut self.serving, host);
        grown(by_listener, listener.0 as usize).push(thread);
    }

    fn serving_of(&self, host: usize, listener: ListenerId) -> &[u32] {
        let by_listener = self.serving.get(host).map(Vec::as_slice).unwrap_or_default();
        by_listener.get(listener.0 as usize).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The entry of a vector, which grows to have it.
fn grown<T: Default + Clone>(vector: &mut Vec<T>, index: usize) -> &mut T {
    if vector.len() <= index {
        vector.resize(index + 1, T::default());
    }
    &mut vector[index]
}

pub(crate) fn uses_epoll(plan: &ThreadPlan) -> bool {
    matches!(plan.waits, Waits::Epoll | Waits::EpollEdge)
}

/// Whether the client has closed or reset.
fn is_over(state: halfopen_model::TcpState) -> bool {
    use halfopen_model::TcpState::{Close, CloseWait};
    matches!(state, CloseWait | Close)
}
