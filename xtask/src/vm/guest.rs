//! Process 1 of a guest: mounts what programs expect, loads modules, does what the plan says, and
//! switches the machine off.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, Mode};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};
use rustix::system::RebootCommand;

use super::protocol::{PLAN, Plan, RESULTS, Record, Task};

/// File systems and where they go, in this order.
const MOUNTS: &[(&str, &str)] = &[
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
    ("tmpfs", "/tmp"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("bpf", "/sys/fs/bpf"),
    ("tracefs", "/sys/kernel/tracing"),
];

/// Does all of it. Comes back only if the machine cannot be switched off.
pub(crate) fn run() -> Result<ExitCode> {
    if rustix::process::getpid() != Pid::INIT {
        bail!("this is process 1 of a guest: see `cargo xtask vm`");
    }
    if let Err(error) = work() {
        eprintln!("the guest cannot go on: {error:#}");
    }
    rustix::system::reboot(RebootCommand::PowerOff).context("the machine stays on")?;
    Ok(ExitCode::FAILURE)
}

fn work() -> Result<()> {
    for (kind, place) in MOUNTS {
        mount_there(kind, place).with_context(|| format!("cannot mount {kind} at {place}"))?;
    }
    let mut results = OpenOptions::new().write(true).open(RESULTS).context(RESULTS)?;
    let outcome = follow_plan(&mut results);
    if let Err(error) = &outcome {
        tell(&mut results, &Record::Broken { why: format!("{error:#}") })?;
    }
    rustix::termios::tcdrain(&results)?;
    outcome
}

fn mount_there(kind: &str, place: &str) -> Result<()> {
    // sysfs brings the folders of some file systems along.
    if !Path::new(place).exists() {
        rustix::fs::mkdirat(CWD, place, Mode::from_raw_mode(0o755))?;
    }
    mount(kind, place, kind, MountFlags::empty(), None)?;
    Ok(())
}

fn follow_plan(results: &mut File) -> Result<()> {
    let plan: Plan = serde_json::from_reader(File::open(PLAN)?).context(PLAN)?;
    for module in &plan.modules {
        load(module).with_context(|| format!("cannot load {}", module.display()))?;
    }
    // As service managers do it: groups below the root have the controller.
    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+cpu").context("no CPU controller")?;
    let kernel = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    let (release, version) = (text(kernel.release()), text(kernel.version()));
    tell(results, &Record::Up { release, version })?;
    plan.tasks.into_iter().try_for_each(|task| carry_out(task, results))
}

fn load(module: &Path) -> Result<()> {
    let file = File::open(module)?;
    Ok(rustix::system::finit_module(&file, c"", 0)?)
}

/// Runs a program to its end and passes on what it says.
fn carry_out(task: Task, results: &mut File) -> Result<()> {
    let Task { name, argv } = task;
    let (program, arguments) = argv.split_first().context("a task without a program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", "/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program} cannot be started"))?;
    let mut stderr = child.stderr.take().context("no standard error")?;
    let stderr = thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
    });
    let stdout = child.stdout.take().context("no standard output")?;
    for line in BufReader::new(stdout).lines() {
        tell(results, &Record::Line { task: name.clone(), line: line? })?;
    }
    let status = end_of(&child)?;
    let stderr = stderr.join().ok().context("a reader panicked")??;
    tell(results, &Record::Ended { task: name, status, stderr })
}

/// Waits for a child; orphans that ended meanwhile, which are ours too, do not stay as zombies.
fn end_of(child: &Child) -> Result<Option<i32>> {
    loop {
        if let Some((pid, status)) = waitpid(None, WaitOptions::empty())?
            && pid.as_raw_nonzero().get().unsigned_abs() == child.id()
        {
            return Ok(WaitStatus::exit_status(status));
        }
    }
}

fn tell(results: &mut File, record: &Record) -> Result<()> {
    let line = serde_json::to_string(record)? + "\n";
    results.write_all(line.as_bytes())?;
    Ok(())
}
