//! Building, running and looking at a target.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use halfopen_collect::proc::{ProcRoot, read_process};
use halfopen_evidence::{Activity, Call, Pid, Process, Stack, Thread, Tid};
use halfopen_stacks::{Options, complete};
use tempfile::TempDir;

/// A compiler and its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Build(pub(crate) &'static str, pub(crate) &'static [&'static str]);

/// A program that was built.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    _directory: TempDir,
}

impl Build {
    /// The program, or `None` where there is no such compiler: then says what is skipped.
    pub(crate) fn program(self, source: &str) -> Option<Program> {
        let Self(compiler, arguments) = self;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("target");
        let output =
            Command::new(compiler).args(arguments).arg(file(source)).arg("-o").arg(&path).output();
        match output {
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{self:?}: {errors}");
                Some(Program { path, _directory: directory })
            }
            Err(error) => {
                println!("SKIPPED {source} by {compiler}: {error}");
                None
            }
        }
    }
}

impl Program {
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(Command::new(&self.path).args(arguments))
    }
}

/// A file of `tests/targets`.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/targets").join(name)
}

/// Whether there is such a program; if not, says what is skipped.
pub(crate) fn has(program: &str, what: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        println!("SKIPPED {what}: there is no {program}");
    }
    there
}

/// A target that runs; killed when it is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = eventually("it runs", || match piped.spawn() {
            // A child of another test, between its fork and its exec, has the file open as we wrote it.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => Err(error),
            spawned => Ok(spawned.expect("a program that runs")),
        });
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("its output"));
        Self { child, input, output: BufReader::new(output) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        assert!(!line.is_empty(), "the target has ended");
        line.trim_end().to_owned()
    }

    /// Numbers by their names, of lines `NAME NUMBER`, until all of these names were there.
    pub(crate) fn numbers_until(&mut self, names: &[&str]) -> BTreeMap<String, u32> {
        let mut numbers = BTreeMap::new();
        while !names.iter().all(|&name| numbers.contains_key(name)) {
            let line = self.line();
            let (name, number) = line.split_once(' ').unwrap_or((&line, "0"));
            numbers.insert(name.to_owned(), number.parse().expect("a number"));
        }
        numbers
    }

    /// Sends an empty line, and has the answer.
    pub(crate) fn ask(&mut self) -> String {
        self.input.as_mut().expect("its input").write_all(b"\n").expect("a target that reads");
        self.line()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }

    pub(crate) fn look(&self) -> Process {
        look(self.pid())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything about a process.
pub(crate) fn look(pid: u32) -> Process {
    let root = ProcRoot::default();
    let process = read_process(&root, Pid(pid), &BTreeSet::new());
    let mut process = process.known().expect("a live process");
    let patience = Duration::from_secs(60);
    complete(&root, &mut process, Options { patience, ..Options::default() });
    process
}

pub(crate) fn threads(process: &Process) -> &[Thread] {
    process.threads.get().expect("its threads")
}

pub(crate) fn thread(process: &Process, tid: u32) -> &Thread {
    let thread = threads(process).iter().find(|thread| thread.tid == Tid(tid));
    thread.expect("a thread")
}

pub(crate) fn call(thread: &Thread) -> Option<&Call> {
    match thread.activity.get()? {
        Activity::Blocked(call) => Some(call),
        Activity::Running => None,
    }
}

/// The functions of a stack that have names.
pub(crate) fn functions(stack: &Stack) -> Vec<&str> {
    stack.frames.iter().filter_map(|frame| frame.function.as_deref()).collect()
}

/// Whether these functions are in the stack in this order, others between them or not.
pub(crate) fn has_in_order(stack: &Stack, expected: &[&str]) -> bool {
    let mut functions = functions(stack).into_iter();
    expected.iter().all(|wanted| functions.any(|function| function.contains(wanted)))
}

/// Tries until it is so. Phases are awaited, not slept through.
pub(crate) fn eventually<T, E: Debug>(what: &str, mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(seen) => assert!(Instant::now() < deadline, "{what}: {seen:#?}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a program prints, if it can be run.
pub(crate) fn output_of(program: &str, arguments: &[impl AsRef<OsStr>]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
