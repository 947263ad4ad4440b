//! What a look at every thread of a process takes, and what the process notices of it, beside
//! debuggers.
//!
//! The target has two threads in a deadlock, many that wait for work, one that is to wake up every
//! half millisecond and one that sits in `epoll_wait`. The last two tell how long the process stood
//! still and whether its calls were interrupted. It also tells what it notices when a twin of it is
//! looked at in its place: that is the noise of a machine that is as busy. The commands run in turn, and
//! each figure is a median over the rounds.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::contender::Contender;
use super::figure::{Figure, Goal};
use super::measure::median;
use crate::workspace::{Profile, Workspace, has_program, run as run_command};

/// Threads of the targets, without those few that they have besides.
const THREADS: [u32; 3] = [50, 500, 2000];

/// Looks of our own in a round, each beside one at the twin and a while alone: single gaps vary.
const LOOKS: usize = 5;

/// How long the target is left alone for comparison.
const IDLE: Duration = Duration::from_millis(200);

/// How long the target has to notice what was done to it before.
const SETTLED: Duration = Duration::from_millis(20);

/// Statuses that we end with when we did our work.
const VERDICTS: &[i32] = &[0, 1, 2];

/// The figures, all of them with the largest target.
const WALL_MS: (&str, Goal) = ("wall_ms", Goal::AtMost(100.0));
const GAP_VS_TWIN: (&str, Goal) = ("gap_vs_twin", Goal::AtMost(1.2));
const GAP_VS_IDLE: (&str, Goal) = ("gap_vs_idle", Goal::AtMost(2.0));
const INTERRUPTED: (&str, Goal) = ("interrupted_calls", Goal::AtMost(0.0));
const PEAK_MIB: (&str, Goal) = ("peak_mib", Goal::AtMost(64.0));
const GDB_VS_US: (&str, Goal) = ("gdb_vs_halfopen", Goal::AtLeast(10.0));
const EU_STACK_VS_US: (&str, Goal) = ("eu_stack_vs_halfopen", Goal::AtLeast(5.0));

/// What is measured.
fn ours(halfopen: &Path, pid: &str) -> Looker {
    Looker::new(Contender::new(halfopen, &["stacks", pid], VERDICTS))
}

/// What it is compared with.
fn others(halfopen: &Path, pid: &str) -> Vec<Looker> {
    let others: [(&str, &[&str]); 3] = [
        ("gdb", &["-nx", "-batch", "-p", pid, "-ex", "thread apply all bt"]),
        ("eu-stack", &["-p", pid]),
        ("eu-stack", &["-q", "-p", pid]),
    ];
    let with_lines = Contender::new(halfopen, &["stacks", "--lines", pid], VERDICTS);
    let others = others
        .into_iter()
        .filter(|(program, _)| has_program(program))
        .map(|(program, arguments)| Contender::new(Path::new(program), arguments, &[0]));
    [with_lines].into_iter().chain(others).map(Looker::new).collect()
}

/// Sets up the targets, measures, and says how it went.
pub(crate) fn run(
    workspace: &Workspace,
    halfopen: Option<&Path>,
    rounds: usize,
) -> Result<Vec<Figure>> {
    if !has_program("c++") {
        return Ok(skipped("there is no C++ compiler"));
    }
    let halfopen = match halfopen {
        Some(program) => program.to_owned(),
        None => workspace.build_halfopen(Profile::Release)?,
    };
    let folder = tempfile::tempdir().context("no folder for the target")?;
    let program = folder.path().join("abba");
    let source = workspace.root.join("crates/stacks/tests/targets/abba.cpp");
    run_command(
        Command::new("c++").args(["-g", "-O2", "-pthread", "-o"]).arg(&program).arg(source),
    )?;
    let mut figures = Vec::new();
    for threads in THREADS {
        let mut target = Target::start(&program, threads)?;
        let twin = Target::start(&program, threads)?;
        sees_the_deadlock(&halfopen, &target.pid())?;
        let mut at_twin = ours(&halfopen, &twin.pid());
        let mut others = others(&halfopen, &target.pid());
        let mut ours = ours(&halfopen, &target.pid());
        let mut idle = Vec::new();
        for _ in 0..rounds.max(1) {
            for _ in 0..LOOKS {
                idle.push(target.notices(|| {
                    sleep(IDLE);
                    Ok(())
                })?);
                at_twin.look(&mut target)?;
                ours.look(&mut target)?;
            }
            for other in &mut others {
                other.look(&mut target)?;
            }
        }
        println!("{threads} threads; left alone: {}", Notice::summary(&idle));
        println!("a twin is looked at: {}", Notice::summary(&at_twin.noticed));
        for looker in [&ours].into_iter().chain(&others) {
            let noticed = Notice::summary(&looker.noticed);
            println!("{}   {noticed}", looker.contender.summary());
        }
        figures = figures_of(&ours, &others, &at_twin.noticed, &idle);
    }
    Ok(figures)
}

fn skipped(why: &str) -> Vec<Figure> {
    [WALL_MS, GAP_VS_TWIN, GAP_VS_IDLE, INTERRUPTED, PEAK_MIB, GDB_VS_US, EU_STACK_VS_US]
        .map(|(name, _)| Figure::skipped(name, why))
        .into()
}

fn figures_of(
    ours: &Looker,
    others: &[Looker],
    at_twin: &[Notice],
    idle: &[Notice],
) -> Vec<Figure> {
    let figure = |(name, goal), value| Figure::measured(name, value, goal);
    let interrupted: f64 = ours.noticed.iter().map(|notice| notice.interrupted).sum();
    let ratio = |(name, goal), program: &str| match others
        .iter()
        .find(|looker| looker.contender.runs(program))
    {
        Some(other) => {
            let ratio = other.contender.wall_ms() / ours.contender.wall_ms();
            Figure::measured(name, ratio, goal)
        }
        None => Figure::skipped(name, &format!("{program} is not installed")),
    };
    vec![
        figure(WALL_MS, ours.contender.wall_ms()),
        figure(GAP_VS_TWIN, Notice::gap_ms(&ours.noticed) / Notice::gap_ms(at_twin)),
        figure(GAP_VS_IDLE, Notice::gap_ms(&ours.noticed) / Notice::gap_ms(idle)),
        figure(INTERRUPTED, interrupted),
        figure(PEAK_MIB, ours.contender.peak_mib()),
        ratio(GDB_VS_US, "gdb"),
        ratio(EU_STACK_VS_US, "eu-stack"),
    ]
}

/// Makes sure that what is measured is an answer.
fn sees_the_deadlock(halfopen: &Path, pid: &str) -> Result<()> {
    let output = Command::new(halfopen)
        .args(["stacks", pid])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} could not be started", halfopen.display()))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    for function in ["register_session", "reload_settings"] {
        if !printed.contains(function) {
            bail!("`halfopen stacks {pid}` does not see {function}:\n{printed}");
        }
    }
    Ok(())
}

/// A command, and what its runs did to the target.
struct Looker {
    contender: Contender,
    noticed: Vec<Notice>,
}

impl Looker {
    fn new(contender: Contender) -> Self {
        Self { contender, noticed: Vec::new() }
    }

    fn look(&mut self, target: &mut Target) -> Result<()> {
        self.noticed.push(target.notices(|| self.contender.run())?);
        Ok(())
    }
}

/// What the target noticed during one run.
struct Notice {
    /// The longest time that its heartbeat did not beat, in milliseconds.
    gap_ms: f64,
    /// How often its `epoll_wait` ended with EINTR.
    interrupted: f64,
}

impl Notice {
    fn parse(line: &str) -> Option<Self> {
        let (gap_us, interrupted) = line.trim_end().split_once(' ')?;
        let gap_us: f64 = gap_us.parse().ok()?;
        Some(Self { gap_ms: gap_us / 1e3, interrupted: interrupted.parse().ok()? })
    }

    fn gap_ms(all: &[Self]) -> f64 {
        median(all.iter().map(|notice| notice.gap_ms))
    }

    fn summary(all: &[Self]) -> String {
        let interrupted: f64 = all.iter().map(|notice| notice.interrupted).sum();
        format!("gap {:>7.1} ms   {interrupted} interrupted", Self::gap_ms(all))
    }
}

/// A process to look at; killed at the end.
struct Target {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Target {
    fn start(program: &Path, threads: u32) -> Result<Self> {
        let mut child = Command::new(program)
            .args([&threads.to_string(), "watched"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the target could not be started")?;
        let input = child.stdin.take().context("the target has no input")?;
        let output = BufReader::new(child.stdout.take().context("the target has no output")?);
        let mut target = Self { child, input, output };
        match target.line()?.trim_end() {
            "ready" => Ok(target),
            other => bail!("the target did not get ready: {other:?}"),
        }
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// What it notices of this.
    fn notices(&mut self, what: impl FnOnce() -> Result<()>) -> Result<Notice> {
        sleep(SETTLED);
        self.ask()?;
        what()?;
        let line = self.ask()?;
        Notice::parse(&line).with_context(|| format!("not understood: {line:?}"))
    }

    fn ask(&mut self) -> Result<String> {
        self.input.write_all(b"\n")?;
        self.line()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // There is nothing to do about one that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
