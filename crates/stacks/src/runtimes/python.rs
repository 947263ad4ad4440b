//! Python, told by py-spy, if that is installed: it knows how each version of CPython lays out its
//! frames. Run with `--nonblocking` it reads memory and does not stop the process, so what it says of
//! a thread that runs may be mixed up.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use halfopen_collect::proc::{ProcRoot, ProcessImage};
use halfopen_evidence::{
    ManagedFrame, ManagedThread, Missing, Pid, Process, Reading, Runtime, SourceLine, Tid,
};
use serde::Deserialize;

const PROGRAM: &str = "py-spy";

/// How long py-spy may take.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The most that is taken of its output, in bytes.
const OUTPUT_MAX: u64 = 16 << 20;

/// The most that is taken of its error messages, in bytes.
const ERRORS_MAX: u64 = 4096;

/// How often it is looked whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// A thread in the output of `py-spy dump --json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PythonThread {
    /// Its tid, where py-spy could tell.
    os_thread_id: Option<u32>,
    thread_name: Option<String>,
    active: bool,
    owns_gil: bool,
    frames: Vec<PythonFrame>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct PythonFrame {
    name: String,
    filename: String,
    line: i64,
}

/// Runs `py-spy dump --nonblocking`, as the user that runs this, and adds from it
/// [`Thread::managed`].
///
/// [`Thread::managed`]: halfopen_evidence::Thread::managed
pub fn ask(root: &ProcRoot, process: &mut Process, patience: Duration) {
    match told(root, process, patience) {
        Ok(mut told) => {
            for thread in process.threads.get_mut().into_iter().flatten() {
                thread.managed = match told.remove(&thread.tid) {
                    Some(python) => Reading::Known(python.into()),
                    None => Missing::unreadable("no thread of Python's").into(),
                };
            }
        }
        Err(why) => super::missing(process, &why),
    }
}

fn told(
    root: &ProcRoot,
    process: &Process,
    patience: Duration,
) -> Result<BTreeMap<Tid, PythonThread>, Missing> {
    if !root.numbers_as_we_do() {
        return Err(Missing::unreadable("py-spy would look at another pid namespace"));
    }
    let output = run(process.pid, patience)?;
    let image = match ProcessImage::open(root, process.pid) {
        Reading::Known(image) => image,
        Reading::Missing(why) => return Err(why),
    };
    if image.stat()?.start_ticks != process.start_ticks {
        return Err(Missing::Vanished);
    }
    let threads = threads(&output)
        .map_err(|error| Missing::unreadable(format_args!("output of py-spy: {error}")))?;
    // CPython keeps the tid that it knows, which py-spy hands on.
    let tids = image.tids_as_it_knows_them()?;
    let told =
        threads.into_iter().filter_map(|thread| Some((*tids.get(&thread.os_thread_id?)?, thread)));
    Ok(told.collect())
}

/// Reads the output of `py-spy dump --json`.
///
/// # Errors
/// If it is none.
pub fn threads(output: &[u8]) -> Result<Vec<PythonThread>, serde_json::Error> {
    serde_json::from_slice(output)
}

impl From<PythonThread> for ManagedThread {
    fn from(thread: PythonThread) -> Self {
        let state = match thread {
            PythonThread { owns_gil: true, .. } => "holds the GIL",
            PythonThread { active: true, .. } => "active",
            _ => "idle",
        };
        Self {
            runtime: Runtime::Python,
            name: thread.thread_name.unwrap_or_default(),
            state: Some(state.to_owned()),
            frames: thread.frames.into_iter().map(ManagedFrame::from).collect(),
        }
    }
}

impl From<PythonFrame> for ManagedFrame {
    fn from(frame: PythonFrame) -> Self {
        let line = u32::try_from(frame.line).ok().filter(|&line| line > 0);
        let line = line.map(|line| SourceLine { file: frame.filename, line });
        Self { function: frame.name, line }
    }
}

fn run(pid: Pid, patience: Duration) -> Result<Vec<u8>, Missing> {
    let mut program = Command::new(PROGRAM);
    program.args(["dump", "--nonblocking", "--json", "--pid", &pid.to_string()]);
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Missing::needs("py-spy, which is not in PATH"),
        _ => Missing::unreadable(format_args!("{PROGRAM}: {error}")),
    };
    let mut child = program.spawn().map_err(failed)?;
    let output = child.stdout.take().map(|pipe| read(pipe, OUTPUT_MAX));
    let errors = child.stderr.take().map(|pipe| read(pipe, ERRORS_MAX));
    let ended = wait(&mut child, patience).map_err(failed)?;
    let [output, errors] = [output, errors].map(all_of);
    match ended {
        Some(status) if status.success() => Ok(output),
        Some(status) => {
            let errors = String::from_utf8_lossy(&errors);
            let said = errors.lines().next().unwrap_or_default();
            Err(Missing::unreadable(format_args!("{PROGRAM} failed ({status}): {said}")))
        }
        None => Err(Missing::unreadable(format_args!(
            "{PROGRAM} did not end within {} s",
            patience.as_secs()
        ))),
    }
}

/// What comes out of a pipe, read beside everything else so that the other side need not wait.
fn read(pipe: impl Read + Send + 'static, most: u64) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error counts.
        let _ = pipe.take(most).read_to_end(&mut bytes);
        bytes
    })
}

fn all_of(reader: Option<JoinHandle<Vec<u8>>>) -> Vec<u8> {
    reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
}

/// How it ended; `None` if it was killed because it took too long.
fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(POLL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of py-spy 0.4.3, less what is not read.
    const OUTPUT: &str = r#"[{
        "pid": 812, "thread_id": 140460066723520, "thread_name": "wörker \"x\"",
        "os_thread_id": 814, "active": false, "owns_gil": false,
        "frames": [
            {"name": "worker", "filename": "/srv/p.py", "module": null, "short_filename": "p.py",
             "line": 3, "locals": null, "is_entry": true, "is_shim_entry": false},
            {"name": "<module>", "filename": "<string>", "line": 0}
        ],
        "process_info": null
    }, {
        "thread_name": null, "os_thread_id": null, "active": true, "owns_gil": true, "frames": []
    }]"#;

    #[test]
    fn threads_are_read_with_their_frames() {
        let threads = threads(OUTPUT.as_bytes()).expect("JSON");
        let tids: Vec<_> = threads.iter().map(|thread| thread.os_thread_id).collect();
        assert_eq!(tids, [Some(814), None]);
        let line = SourceLine { file: "/srv/p.py".to_owned(), line: 3 };
        let frames = vec![
            ManagedFrame { function: "worker".to_owned(), line: Some(line) },
            ManagedFrame { function: "<module>".to_owned(), line: None },
        ];
        let told = |name: &str, state: &str, frames| ManagedThread {
            runtime: Runtime::Python,
            name: name.to_owned(),
            state: Some(state.to_owned()),
            frames,
        };
        let expected = [told("wörker \"x\"", "idle", frames), told("", "holds the GIL", vec![])];
        assert_eq!(threads.into_iter().map(ManagedThread::from).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_no_output_of_py_spy_is_an_error() {
        for output in ["", "Error: no such process", "[{}]", "{}", &"[".repeat(100_000)] {
            assert!(threads(output.as_bytes()).is_err(), "{}", output.len());
        }
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
        assert_eq!(wait(&mut child, Duration::from_millis(20)).expect("no error"), None);
        assert!(child.try_wait().expect("no error").is_some());
    }
}
