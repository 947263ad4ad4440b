//! What watching handshakes costs those who make them: CPU time per connection over loopback, with
//! and without a tracer.
//!
//! One thread connects, accepts, exchanges a byte each way and resets, so nothing waits for a timer and
//! no port stays in TIME_WAIT. What a program in the kernel takes is part of the thread's time; what
//! the tracer takes to read and print is not, and is shown beside it. The tracers run in turn. Each
//! measurement is the cheapest of several short runs of the load, divided by the same without a tracer
//! right before and right after it: a virtual machine is half as fast at one moment as at another. A
//! figure is the median of these ratios.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

use super::figure::{Figure, Goal};
use super::measure::{cpu_of_reaped, median};
use super::namespace;
use crate::workspace::{Profile, Workspace, has_program};

/// The figures, each the load's CPU time with a tracer by that without.
const DEFAULT: (&str, Goal) = ("default_vs_none", Goal::AtMost(1.03));
const ALL: (&str, Goal) = ("all_vs_none", Goal::AtMost(1.10));
const PACKETS: (&str, Goal) = ("packets_vs_none", Goal::AtMost(1.5));
const TCPLIFE: (&str, Goal) = ("tcplife_vs_all", Goal::AtLeast(1.0));

/// Connections of a short run, some 10 ms.
const SHORT: u32 = 500;

/// How long a tracer that does not say when it is ready has to get so.
const SETTLED: Duration = Duration::from_millis(1500);

/// Where the tracepoints are that tcplife needs.
const TRACEFS: &str = "/sys/kernel/tracing/events/sock/inet_sock_set_state";

/// Sets up the load, measures, and says how it went.
pub(crate) fn run(
    workspace: &Workspace,
    halfopen: Option<&Path>,
    rounds: usize,
    connections: u32,
) -> Result<Vec<Figure>> {
    if let Err(error) = namespace::enter_new() {
        let why = format!("no network namespace can be made: {error}");
        return Ok([DEFAULT, ALL, PACKETS, TCPLIFE]
            .map(|(name, _)| Figure::skipped(name, &why))
            .into());
    }
    namespace::prepare()?;
    let halfopen = match halfopen {
        Some(program) => program.to_owned(),
        None => workspace.build_halfopen(Profile::Release)?,
    };
    let mut watched = watchers(&halfopen);
    let mut alone_us = vec![connect(connections)?];
    for _ in 0..rounds.max(1) {
        for watched in &mut watched {
            let before = alone_us.last().copied().unwrap_or(f64::NAN);
            let with = watched.measure(connections)?;
            let after = connect(connections)?;
            watched.ratios.push(with / f64::midpoint(before, after));
            alone_us.push(after);
        }
    }
    println!("a connection costs {:.2} µs, and with", median(alone_us));
    for watched in &watched {
        println!("{}", watched.summary());
    }
    Ok(figures_of(&watched))
}

fn figures_of(watched: &[Watched]) -> Vec<Figure> {
    let of = |name: &str| watched.iter().find(|it| it.name == name).map(Watched::ratio);
    let figure = |(figure, goal): (&'static str, Goal), name: &str| match of(name) {
        Some(ratio) => Figure::observed(figure, ratio, goal),
        None => Figure::skipped(figure, &format!("{name} cannot run here")),
    };
    let tcplife = match (of("tcplife"), of("trace --all")) {
        (Some(theirs), Some(ours)) => Figure::observed(TCPLIFE.0, theirs / ours, TCPLIFE.1),
        _ => Figure::skipped(TCPLIFE.0, "tcplife is not installed, or tracefs is not mounted"),
    };
    vec![
        figure(DEFAULT, "trace"),
        figure(ALL, "trace --all"),
        figure(PACKETS, "trace --packets"),
        tcplife,
    ]
}

/// A tracer, and what the load has cost while it watched.
struct Watched {
    name: &'static str,
    command: Vec<String>,
    /// Whether its first line says that it is ready.
    says_ready: bool,
    /// The load's CPU time by that without a tracer.
    ratios: Vec<f64>,
    own_us: Vec<f64>,
}

fn watchers(halfopen: &Path) -> Vec<Watched> {
    let halfopen = halfopen.to_string_lossy().into_owned();
    let ours = |name, more: &[&str]| {
        let arguments = ["trace", "--json", "--rate", "0"].iter().chain(more);
        let words = arguments.map(|&word| word.to_owned());
        let command = [halfopen.clone()].into_iter().chain(words).collect();
        Watched::new(name, command, true)
    };
    let mut all = vec![
        ours("trace", &[]),
        ours("trace --all", &["--all"]),
        ours("trace --packets", &["--packets"]),
    ];
    if has_program("tcplife") && Path::new(TRACEFS).exists() {
        all.push(Watched::new("tcplife", vec!["tcplife".to_owned()], false));
    }
    all
}

impl Watched {
    const fn new(name: &'static str, command: Vec<String>, says_ready: bool) -> Self {
        Self { name, command, says_ready, ratios: Vec::new(), own_us: Vec::new() }
    }

    /// What a connection costs with it, in microseconds.
    fn measure(&mut self, connections: u32) -> Result<f64> {
        let tracer = self.start()?;
        let to_start = cpu_of(tracer.id());
        let us = connect(connections)?;
        let own = end(&tracer)?.saturating_sub(to_start);
        self.own_us.push(own.as_secs_f64() * 1e6 / f64::from(connections));
        Ok(us)
    }

    fn start(&self) -> Result<Child> {
        let [program, arguments @ ..] = self.command.as_slice() else { bail!("no command") };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{program} could not be started"))?;
        let stdout = child.stdout.take().context("it has no output")?;
        let mut stdout = BufReader::new(stdout);
        if self.says_ready {
            let mut line = String::new();
            stdout.read_line(&mut line)?;
            if !line.contains("begin") {
                bail!("{:?} did not begin: {line}", self.command);
            }
        } else {
            std::thread::sleep(SETTLED);
        }
        // What it prints must not stand in its way.
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while stdout.read(&mut buffer).is_ok_and(|read| read > 0) {}
        });
        Ok(child)
    }

    fn ratio(&self) -> f64 {
        median(self.ratios.iter().copied())
    }

    fn summary(&self) -> String {
        let own = median(self.own_us.iter().copied());
        let (low, high) = middle_half(&self.ratios);
        format!(
            "{:<16} {:>6.3} of that ({low:.3} to {high:.3})   the tracer itself {own:>6.2} µs",
            self.name,
            self.ratio(),
        )
    }
}

/// Between which values the middle half of them is.
fn middle_half(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quarter = sorted.len() / 4;
    let at = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
    (at(quarter), at(sorted.len().saturating_sub(1 + quarter)))
}

/// Ends a tracer as Ctrl-C does; the CPU time that it took.
fn end(child: &Child) -> Result<Duration> {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::INT).context("the tracer ended by itself")?;
    cpu_of_reaped(child.id()).context("the tracer cannot be waited for")
}

/// Makes connections over loopback, one after the other; the CPU time of one, in microseconds, in the
/// cheapest of several short runs.
fn connect(connections: u32) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let server: SocketAddr = listener.local_addr()?;
    let mut cheapest = Duration::MAX;
    for _ in 0..(connections / SHORT).max(1) {
        let began = cpu_of_this_thread();
        for _ in 0..SHORT {
            connect_once(server, &listener)?;
        }
        cheapest = cheapest.min(cpu_of_this_thread().saturating_sub(began));
    }
    Ok(cheapest.as_secs_f64() * 1e6 / f64::from(SHORT))
}

fn connect_once(server: SocketAddr, listener: &TcpListener) -> Result<()> {
    let mut client = TcpStream::connect(server)?;
    let (mut accepted, _) = listener.accept()?;
    let mut byte = [1];
    client.write_all(&byte)?;
    accepted.read_exact(&mut byte)?;
    accepted.write_all(&byte)?;
    client.read_exact(&mut byte)?;
    set_socket_linger(&client, Some(Duration::ZERO))?;
    Ok(())
}

/// The CPU time of a process's threads so far: the first number of their schedstat is nanoseconds
/// (Documentation/scheduler/sched-stats.rst). None for what cannot be read.
fn cpu_of(pid: u32) -> Duration {
    let of_thread = |thread: PathBuf| -> Option<u64> {
        let stat = fs::read_to_string(thread.join("schedstat")).ok()?;
        stat.split_ascii_whitespace().next()?.parse().ok()
    };
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    Duration::from_nanos(threads.filter_map(|thread| of_thread(thread.path())).sum())
}

fn cpu_of_this_thread() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
