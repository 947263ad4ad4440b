//! A running `halfopen trace --json`, and what it told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use halfopen_lab::IpVersion;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Outcome;
use crate::common::halfopen;

/// How long a tracer may take to begin on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long trouble may take to show: as long as the second time-out after a SYN-ACK, and some more.
const TROUBLE: Duration = Duration::from_secs(20);

/// A tracer that watches.
pub(crate) struct Tracer {
    child: Child,
    coming: Receiver<String>,
    lines: Vec<Value>,
}

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Programs in the kernel.
    Kernel,
    /// Packet sockets.
    Packets,
}

/// What a tracer told.
#[derive(Debug)]
pub(crate) struct Traced {
    /// Its exit status.
    pub(crate) status: i32,
    /// Its lines.
    pub(crate) lines: Vec<Value>,
}

impl Tracer {
    /// Starts one and returns when it watches.
    pub(crate) fn start(backend: Backend, arguments: &[&str]) -> Result<Self, Outcome> {
        let how: &[&str] = match backend {
            Backend::Kernel => &["trace"],
            Backend::Packets => &["trace", "--packets"],
        };
        let arguments = [how, arguments].concat();
        let mut child = halfopen(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("its output is a pipe");
        let (told, coming) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // Whoever does not listen any more has heard enough.
            let _ = lines.map(|line| told.send(line)).take_while(Result::is_ok).count();
        });
        let mut tracer = Self { child, coming, lines: Vec::new() };
        if tracer.hear(PATIENCE) {
            let begin = &tracer.lines[0];
            return match (backend, begin["backend"].as_str()) {
                (Backend::Kernel, Some("packets")) => {
                    let notes = begin["notes"].to_string();
                    // It is not what this is about.
                    let _ = tracer.end();
                    Err(Outcome::Skipped(notes))
                }
                _ => Ok(tracer),
            };
        }
        let _ = tracer.child.kill();
        let mut error = String::new();
        let mut stderr = tracer.child.stderr.take().expect("its errors are a pipe");
        stderr.read_to_string(&mut error).expect("UTF-8");
        tracer.child.wait().expect("it ends");
        Err(match error.contains("CAP_NET_RAW") || error.contains("CAP_SYS_ADMIN") {
            true => Outcome::Skipped(error.trim().replace('\n', "; ")),
            false => Outcome::Failed(error),
        })
    }

    /// Waits until these outcomes have been told, or for a long time.
    pub(crate) fn wait_for(&mut self, outcomes: &[&str]) {
        let deadline = Instant::now() + TROUBLE;
        let is_told =
            |lines: &[Value], wanted: &str| lines.iter().any(|line| outcome(line) == wanted);
        while outcomes.iter().any(|wanted| !is_told(&self.lines, wanted)) {
            if !self.hear(deadline.saturating_duration_since(Instant::now())) {
                return;
            }
        }
    }

    /// Ends it by Ctrl-C.
    pub(crate) fn end(self) -> Result<Traced, String> {
        kill_process(Pid::from_child(&self.child), Signal::INT)
            .map_err(|error| error.to_string())?;
        self.wait()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> Result<Traced, String> {
        while self.hear(PATIENCE) {}
        let status = self.child.wait().map_err(|error| error.to_string())?;
        let lines = std::mem::take(&mut self.lines);
        Ok(Traced { status: status.code().unwrap_or(-1), lines })
    }

    /// Takes in the next line; false if none came.
    fn hear(&mut self, most: Duration) -> bool {
        let Ok(line) = self.coming.recv_timeout(most) else { return false };
        self.lines.push(serde_json::from_str(&line).expect("JSON"));
        true
    }
}

/// A test that fails leaves none behind.
impl Drop for Tracer {
    fn drop(&mut self) {
        // It has ended as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Traced {
    /// Lines of a type.
    pub(crate) fn of_type<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["type"] == wanted)
    }

    /// Whether both ends of each handshake have addresses of this version.
    pub(crate) fn is_over(&self, ip: IpVersion) -> Result<(), String> {
        let is_other = |line: &&Value| {
            ["client", "server"].into_iter().any(|end| {
                let address = line[end].as_str().and_then(|it| it.parse::<SocketAddr>().ok());
                address.is_none_or(|address| address.is_ipv4() != (ip == IpVersion::V4))
            })
        };
        let other = self.of_type("handshake").find(is_other);
        other.map_or(Ok(()), |line| Err(format!("not over {}: {line}", ip.as_str())))
    }

    /// How often each outcome was told: `third-ack-ignored open`, and calls that failed before a SYN:
    /// `call-failed EADDRNOTAVAIL`.
    pub(crate) fn outcomes(&self) -> BTreeMap<String, usize> {
        let mut outcomes = BTreeMap::new();
        for line in self.of_type("handshake").chain(self.of_type("call-failed")) {
            *outcomes.entry(outcome(line)).or_default() += 1;
        }
        outcomes
    }
}

/// How a handshake came out, or the error of a call.
pub(crate) fn outcome(line: &Value) -> String {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    match (line["type"].as_str(), line["ended"].as_str()) {
        (Some("call-failed"), _) => format!("call-failed {}", text("error")),
        (_, Some(ended)) => format!("{} {ended}", text("outcome")),
        (_, None) => text("outcome"),
    }
}

/// The number of the network namespace of a process.
pub(crate) fn netns_of(process: &str) -> String {
    let link = std::fs::read_link(format!("/proc/{process}/ns/net")).expect("a process of ours");
    let link = link.to_string_lossy().into_owned();
    link.trim_matches(|c: char| !c.is_ascii_digit()).to_owned()
}
