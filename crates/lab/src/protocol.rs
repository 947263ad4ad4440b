//! What the lab host says to the process that started it and to its actors, and what they say to it:
//! one JSON value a line.

use std::io::{self, BufRead, Write};

use halfopen_scenario::{Account, Scenario, Server};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::IpVersion;

/// From the parent to the host: the first line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Play<S = Scenario> {
    pub(crate) scenario: S,
    /// What it is played over.
    pub(crate) ip: IpVersion,
}

/// From the host to an actor, as its argument.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Program<S = Server> {
    pub(crate) server: S,
    /// What its sockets are for.
    pub(crate) ip: IpVersion,
}

/// From the parent to the host: what follows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Play the steps.
    Play,
    /// Start a command inside the namespaces and wait for it.
    Run { argv: Vec<String> },
    /// End everything.
    Stop,
}

/// From the host to the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The namespaces are made.
    Entered,
    /// A step has begun.
    Progress(String),
    /// All steps are done.
    Ready,
    /// The machine does not offer what the scenario needs.
    Skipped(String),
    /// The scenario cannot be brought about.
    Failed(String),
    /// A command has ended.
    Ran(Ran),
    /// What was seen of a scenario that was played for an account.
    Account(Account),
}

/// From the host to an actor that is told what to do. Each is answered by a `Result<(), String>`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// The thread that waits to be told on a port accepts so many connections.
    Accept { port: u16, count: u32 },
    /// listen(2) on a listening socket.
    Listen { port: u16, backlog: i32 },
}

/// How a command inside the namespaces ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ran {
    /// The status as wait(2) gives it.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Writes a value as a line.
pub(crate) fn send(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Reads a value from the next line; none at the end.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&line)?))
}
