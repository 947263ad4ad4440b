//! Runs the binary, and makes listeners in this process for it to look at.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// The binary with these arguments, without the environment that would change what it prints.
pub(crate) fn halfopen(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_halfopen"));
    command.args(arguments).stdin(Stdio::null());
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(variable);
    }
    command
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit status; -1 if a signal ended it.
    pub(crate) status: i32,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    ran(halfopen(arguments).output().expect("the binary starts"))
}

/// What came of a finished process.
pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("output is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("errors are UTF-8"),
    }
}

/// Ids of the findings in a JSON report.
pub(crate) fn ids(json: &str) -> Vec<String> {
    let report: serde_json::Value = serde_json::from_str(json).expect("the report is JSON");
    let findings = report["findings"].as_array().expect("a list of findings");
    findings.iter().map(|f| f["id"].as_str().expect("an id").to_owned()).collect()
}

/// A listener in this process with some connections that nobody accepts.
pub(crate) struct Unaccepted {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    clients: Vec<TcpStream>,
}

impl Unaccepted {
    /// Makes it. The connections are complete when this returns.
    pub(crate) fn new(connections: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("its address");
        let clients = (0..connections)
            .map(|_| {
                TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("a connection")
            })
            .collect();
        Self { address, listener, clients }
    }

    /// `:PORT`.
    pub(crate) fn filter(&self) -> String {
        format!(":{}", self.address.port())
    }
}

/// Skips a test, loudly.
pub(crate) fn skipped(test: &str, reason: &str) {
    println!("SKIPPED {test}: {reason}");
}

/// Reads a file of the repository.
pub(crate) fn repository_file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut text = String::new();
    std::fs::File::open(root.join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
        .read_to_string(&mut text)
        .expect("UTF-8");
    text
}
