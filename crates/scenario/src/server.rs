//! Server programs: which sockets listen, and what each thread does about them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A server program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The name of the process, and of its main thread.
    pub process: String,
    /// The host that it runs on; none for the first one. Others are for a simulator.
    pub host: Option<String>,
    /// How many processes run it. Those with `reuseport` have listening sockets of their own; others
    /// share one, as the children of a prefork server do.
    pub copies: u32,
    /// Copies that do something else than the others.
    pub except: Vec<Exception>,
    /// How many descriptors a process may have open (RLIMIT_NOFILE); none for the machine's own.
    pub open_files: Option<u32>,
    /// The CPU quota of the control group that all its processes are in; none for no such group.
    pub cpu: Option<CpuQuota>,
    /// Its listening sockets.
    pub listen: Vec<Listen>,
    /// The threads of each copy; the first is the main thread.
    pub threads: Vec<ThreadPlan>,
}

/// A copy of a server program that does something else than the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Which copy, counted from 1.
    pub copy: u32,
    /// Its threads.
    pub threads: Vec<ThreadPlan>,
}

impl Server {
    /// Whether its copies share one listening socket.
    #[must_use]
    pub fn shares_its_listener(&self) -> bool {
        self.copies > 1 && self.listen.iter().all(|listen| !listen.reuseport)
    }

    /// The threads of a copy, counted from 1.
    #[must_use]
    pub fn threads_of(&self, copy: u32) -> &[ThreadPlan] {
        let exception = self.except.iter().find(|exception| exception.copy == copy);
        exception.map_or(&self.threads, |exception| &exception.threads)
    }

    /// The threads that there are in any copy.
    pub fn all_threads(&self) -> impl Iterator<Item = &ThreadPlan> {
        self.threads.iter().chain(self.except.iter().flat_map(|exception| &exception.threads))
    }
}

/// How much CPU time a control group may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuQuota {
    /// In each period, over all CPUs.
    pub quota: Duration,
    /// How long a period is.
    pub period: Duration,
}

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// The port, on every address.
    pub port: u16,
    /// The argument of listen(2).
    pub backlog: i32,
    /// Whether it joins the port's SO_REUSEPORT group.
    pub reuseport: bool,
    /// TCP_DEFER_ACCEPT: the connection is handed over with its first data, or after that long.
    pub defer_accept: Option<Duration>,
}

/// What one thread of a server does: wait for a connection, accept it, treat it, and so on; after a
/// number of them, something else for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadPlan {
    /// The thread's name.
    pub name: String,
    /// The port that it serves; none for a thread that serves no socket.
    pub port: Option<u16>,
    /// How it waits for connections.
    pub waits: Waits,
    /// How many connections it accepts before it goes on to `then`; none for all that come.
    pub accepts: Option<u32>,
    /// What it does with a connection.
    pub connection: OnConnection,
    /// How much CPU time it spends for each connection before it takes the next one.
    pub work: Duration,
    /// How long each connection keeps it from the next one besides.
    pub pause: Duration,
    /// What it does after its last connection.
    pub then: Then,
    /// The lock of the process that it has from the beginning and never gives back.
    pub holds: Option<String>,
}

/// How a thread waits for connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waits {
    /// In accept(2).
    Accept,
    /// In poll(2), then accept.
    Poll,
    /// In select(2), then accept.
    Select,
    /// In epoll_wait(2), level-triggered, one accept each time.
    Epoll,
    /// In epoll_wait(2), edge-triggered, accepting until there is none left.
    EpollEdge,
    /// For an accept step of the scenario, and does not block in accept.
    Told,
}

/// What a server does with a connection that it has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnConnection {
    /// Closes it at once.
    Close,
    /// Keeps it open for ever, whatever the client does.
    Keep,
    /// Reads one request from it, waiting as long as that takes, then closes it.
    ReadRequest,
    /// Reads until the client closes, then closes it; other connections are served meanwhile.
    Serve,
}

/// What a thread does after its last connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// Ends.
    Exit,
    /// Sleeps for ever.
    Sleep,
    /// Waits for a lock of the process, which a thread holds: another one, or itself.
    Lock {
        /// Which.
        name: String,
    },
    /// Connects to the host at the other end of the wire and waits for that.
    Connect {
        /// The other host's port.
        port: u16,
    },
}
