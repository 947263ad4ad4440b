//! States that a scenario waits for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A state of the server's kernel, of a program's thread or of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// So many connections wait in the accept queue of a listener on that port.
    Queue {
        /// The listener's port.
        port: u16,
        /// How many.
        count: Counted,
    },
    /// The server's kernel has so many connections in a state.
    Connections(Connections),
    /// A counter of the namespace (`TcpExt`, `Tcp` or `Ip`, by its bare name) has reached a value.
    Counter {
        /// The kernel's name of it, such as `ListenOverflows`.
        name: String,
        /// Its value.
        count: Counted,
    },
    /// So many clients of a group are in a state.
    Clients(ClientCondition),
    /// A thread is where it should be.
    Thread(ThreadCondition),
}

/// Connections on the server's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// The server's port.
    pub port: u16,
    /// The state.
    pub state: ConnectionState,
    /// Whether a process has accepted them; none for either.
    pub accepted: Option<bool>,
    /// How many.
    pub count: Counted,
}

/// The state of a connection on the server's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionState {
    /// SYN_RECV: answered by a SYN-ACK.
    SynRecv,
    /// ESTABLISHED.
    Established,
    /// CLOSE_WAIT: the client has closed.
    CloseWait,
}

/// Clients of a group, by their own state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCondition {
    /// The group's name.
    pub of: String,
    /// The state.
    pub state: ClientState,
    /// How many.
    pub count: Counted,
}

/// What a client sees of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientState {
    /// It waits for the handshake.
    Connecting,
    /// The handshake is complete.
    Connected,
    /// connect() or the connection failed.
    Failed,
}

/// A thread of a server program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadCondition {
    /// The name of the process.
    pub process: String,
    /// The name of the thread.
    pub name: String,
    /// Where it should be.
    pub state: ThreadState,
}

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThreadState {
    /// It has ended.
    Gone,
    /// It waits for a lock.
    InLock,
    /// It sleeps.
    InSleep,
    /// It waits for a connection to be established.
    InConnect,
    /// It waits for data.
    InRead,
}

/// A number that is reached from below or from above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counted {
    /// So many or more.
    AtLeast(u64),
    /// So many or fewer.
    AtMost(u64),
}

impl Counted {
    /// Whether a number is enough, or little enough.
    #[must_use]
    pub const fn holds(self, number: u64) -> bool {
        match self {
            Self::AtLeast(least) => number >= least,
            Self::AtMost(most) => number <= most,
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue { port, count } => write!(f, "{count} in the accept queue of :{port}"),
            Self::Connections(Connections { port, state, accepted, count }) => {
                let accepted = match accepted {
                    None => "",
                    Some(true) => "accepted ",
                    Some(false) => "never accepted ",
                };
                let state = match state {
                    ConnectionState::SynRecv => "SYN_RECV",
                    ConnectionState::Established => "ESTABLISHED",
                    ConnectionState::CloseWait => "CLOSE_WAIT",
                };
                write!(f, "{count} {accepted}connections of :{port} in {state}")
            }
            Self::Counter { name, count } => write!(f, "{name} {count}"),
            Self::Clients(ClientCondition { of, state, count }) => {
                let state = match state {
                    ClientState::Connecting => "connecting",
                    ClientState::Connected => "connected",
                    ClientState::Failed => "failed",
                };
                write!(f, "{count} of the clients \"{of}\" {state}")
            }
            Self::Thread(ThreadCondition { process, name, state }) => {
                let state = match state {
                    ThreadState::Gone => "gone",
                    ThreadState::InLock => "waiting for a lock",
                    ThreadState::InSleep => "asleep",
                    ThreadState::InConnect => "waiting in connect",
                    ThreadState::InRead => "waiting for data",
                };
                write!(f, "thread \"{name}\" of {process} {state}")
            }
        }
    }
}
