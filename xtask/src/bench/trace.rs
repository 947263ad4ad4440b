//! What watching handshakes costs those who make them: CPU time per connection over loopback, with
//! and without a tracer.
//!
//! One thread connects, accepts, exchanges a byte each way and resets, so nothing waits for a timer and
//! no port stays in TIME_WAIT. What a program in the kernel takes is part of the thread's time; what
//! the tracer takes to read and print is not, and is shown beside it.
//!
//! A virtual machine is half as fast at one moment as at another, for a second or for a minute, and a median
//! tells more of that than of a tracer. So the tracers take turns for many rounds, the load is measured in
//! short runs, and what is compared is the cost that one in twenty of these stays below: all meet the
//! machine at its best.

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

/// A public tracer of the same kind, of bcc and of bpftrace.
const TCPLIFE_ITSELF: &str = "tcplife";

/// Why the only figure is skipped that may lack one of its sides.
const NO_TCPLIFE: &str = "tcplife is not installed, or tracefs is not mounted";

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
    for _ in 0..rounds.max(1) {
        for watched in &mut watched {
            watched.measure(connections)?;
        }
    }
    for watched in &watched {
        println!("{}", watched.summary());
    }
    Ok(figures_of(&watched))
}

fn figures_of(watched: &[Watched]) -> Vec<Figure> {
    let of = |name: &str| watched.iter().find(|it| it.name == name).map(Watched::load_us);
    let ratio = |with, without| Some(of(with)? / of(without)?);
    let figure = |(name, goal): (&'static str, Goal), ratio| match ratio {
        Some(ratio) => Figure::observed(name, ratio, goal),
        None => Figure::skipped(name, NO_TCPLIFE),
    };
    vec![
        figure(DEFAULT, ratio("trace", "nothing")),
        figure(ALL, ratio("trace --all", "nothing")),
        figure(PACKETS, ratio("trace --packets", "nothing")),
        figure(TCPLIFE, ratio(TCPLIFE_ITSELF, "trace --all")),
    ]
}

/// A tracer, or none, and what the load has cost while it watched.
struct Watched {
    name: &'static str,
    command: Option<Vec<String>>,
    /// Whether its first line says that it is ready.
    says_ready: bool,
    /// Of a connection, in each short run.
    load_us: Vec<f64>,
    /// The tracer's own CPU time by connections, without its start.
    own_us: Vec<f64>,
}

fn watchers(halfopen: &Path) -> Vec<Watched> {
    let halfopen = halfopen.to_string_lossy().into_owned();
    let ours = |name, more: &[&str]| {
        let arguments = ["trace", "--json", "--rate", "0"].iter().chain(more);
        let words = arguments.map(|&word| word.to_owned());
        let command = [halfopen.clone()].into_iter().chain(words).collect();
        Watched::new(name, Some(command), true)
    };
    let mut all = vec![
        Watched::new("nothing", None, false),
        ours("trace", &[]),
        ours("trace --all", &["--all"]),
        ours("trace --packets", &["--packets"]),
    ];
    if has_program(TCPLIFE_ITSELF) && Path::new(TRACEFS).exists() {
        all.push(Watched::new(TCPLIFE_ITSELF, Some(vec![TCPLIFE_ITSELF.to_owned()]), false));
    }
    all
}

impl Watched {
    const fn new(name: &'static str, command: Option<Vec<String>>, says_ready: bool) -> Self {
        Self { name, command, says_ready, load_us: Vec::new(), own_us: Vec::new() }
    }

    fn measure(&mut self, connections: u32) -> Result<()> {
        let tracer = match &self.command {
            Some(command) => Some(self.start(command)?),
            None => None,
        };
        let to_start = tracer.as_ref().map_or(Duration::ZERO, |tracer| cpu_of(tracer.id()));
        self.load_us.extend(connect(connections)?);
        if let Some(tracer) = tracer {
            let own = end(&tracer)?.saturating_sub(to_start);
            self.own_us.push(own.as_secs_f64() * 1e6 / f64::from(connections));
        }
        Ok(())
    }

    fn start(&self, command: &[String]) -> Result<Child> {
        let [program, arguments @ ..] = command else { bail!("no command") };
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
                bail!("{command:?} did not begin: {line}");
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

    /// What one in twenty short runs stays below.
    fn load_us(&self) -> f64 {
        let mut sorted = self.load_us.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 20).copied().unwrap_or(f64::NAN)
    }

    fn summary(&self) -> String {
        let own = match self.own_us.as_slice() {
            [] => String::new(),
            own => format!("   the tracer itself {:>6.2} µs", median(own.iter().copied())),
        };
        let median = median(self.load_us.iter().copied());
        let us = self.load_us();
        format!("{:<16} a connection costs {us:>6.2} µs, median {median:>6.2}{own}", self.name)
    }
}

/// Ends a tracer as Ctrl-C does; the CPU time that it took.
fn end(child: &Child) -> Result<Duration> {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::INT).context("the tracer ended by itself")?;
    cpu_of_reaped(child.id()).context("the tracer cannot be waited for")
}

/// Makes connections over loopback, one after the other; the CPU time of one, in microseconds, in each
/// short run.
fn connect(connections: u32) -> Result<Vec<f64>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let server: SocketAddr = listener.local_addr()?;
    let short = || {
        let began = cpu_of_this_thread();
        for _ in 0..SHORT {
            connect_once(server, &listener)?;
        }
        let took = cpu_of_this_thread().saturating_sub(began);
        Ok(took.as_secs_f64() * 1e6 / f64::from(SHORT))
    };
    (0..connections.div_ceil(SHORT).max(1)).map(|_| short()).collect()
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
