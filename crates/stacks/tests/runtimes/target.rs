//! A program that is looked at: it prints `ready` once its threads are where they should be.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use halfopen_collect::proc::{ProcRoot, read_process};
use halfopen_evidence::{Pid, Process};
use rustix::process::{Signal, kill_process};

/// How long it may take to end by itself.
const FAREWELL: Duration = Duration::from_secs(5);

/// A running program. At the end of the test it may tidy up, and is killed if it does not end.
pub(super) struct Target {
    child: Child,
    output: BufReader<ChildStdout>,
    /// The program's, where the child is what started it.
    pub(super) pid: u32,
}

impl Target {
    /// Starts it and waits until it is ready. `None` if there is no such program.
    pub(super) fn start(test: &str, command: &mut Command) -> Option<Self> {
        let mut child = match command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                println!("SKIPPED {test}: no {:?} here", command.get_program());
                return None;
            }
            Err(error) => panic!("{command:?}: {error}"),
        };
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut target = Self { pid: child.id(), child, output };
        assert_eq!(target.line(), "ready\n", "{command:?}");
        Some(target)
    }

    /// The next line that it prints.
    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line
    }

    /// What is known of the process without asking its runtime.
    pub(super) fn process(&self) -> Process {
        process(self.pid)
    }

    /// A child of the process.
    pub(super) fn child_pid(&self) -> Option<u32> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)).ok()?;
        children.split_ascii_whitespace().next()?.parse().ok()
    }

    /// Sends a signal to it, unless it has ended.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let _ = kill_process(pid.expect("a pid"), signal);
    }

    /// Ends it, and returns what it has printed since it was ready.
    pub(super) fn end(mut self) -> String {
        self.signal(Signal::TERM);
        let mut printed = String::new();
        self.output.read_to_string(&mut printed).expect("its output");
        printed
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let ends = Instant::now() + FAREWELL;
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
        }
        while Instant::now() < ends && matches!(self.child.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is known of a process without asking its runtime.
pub(super) fn process(pid: u32) -> Process {
    let process = read_process(&ProcRoot::default(), Pid(pid), &BTreeSet::new());
    process.known().expect("a live process")
}

/// A program's source.
pub(super) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/targets").join(name)
}

/// Tries until it is so. Phases are awaited, not slept through.
pub(super) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(5));
    }
}
