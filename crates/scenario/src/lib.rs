//! Scenario files: one behaviour each, as a timeline of steps.
//!
//! A scenario says what the server's program does, how clients arrive and what the path loses. It
//! does not say how to bring that about: the lab does it with processes and sockets on the running
//! kernel, a simulator does it with values. So nothing here names a process id, a file or a clock.
//!
//! - [`Scenario`] is a file, read by [`Scenario::parse`]; an error points at line and column.
//! - [`Step`] is one thing that happens, in the order of the file.
//! - [`Server`] and [`ThreadPlan`] describe a program; [`Clients`] describe who connects to it.
//! - [`Peers`] speak TCP segment by segment, where a client's kernel would decide too much.
//! - [`Remote`] clients and the [`Network`] are for a simulator only.
//! - [`Condition`] is a state to wait for: no step waits for a guessed time.
//! - [`Account`] is what whoever ran a scenario saw of it, in the same words for a kernel and a
//!   simulator.
//! - [`CATALOG`] holds the files of the repository.

mod account;
mod catalog;
mod clients;
mod condition;
mod error;
mod fields;
mod known;
mod parse;
mod parse_clients;
mod parse_peers;
mod parse_steps;
mod part;
mod peers;
mod remote;
mod scenario;
mod seen_segment;
mod server;
mod step;

pub use account::{Account, ListenerPicture, Picture, Side, SocketCount, TcpStateName};
pub use catalog::CATALOG;
pub use clients::{Arrivals, Clients, Handshakes, Way};
pub use condition::{
    ClientCondition, ClientState, Condition, ConnectionState, Connections, Counted,
    ThreadCondition, ThreadState,
};
pub use error::ScenarioError;
pub use part::Part;
pub use peers::{PeerSegment, Peers, PeersSend};
pub use remote::{Network, Remote};
pub use scenario::{Need, Scenario, Wrong};
pub use seen_segment::{Interface, SeenSegment};
pub use server::{CpuQuota, Exception, Listen, OnConnection, Server, Then, ThreadPlan, Waits};
pub use step::{Loss, Lost, Reject, Step};
