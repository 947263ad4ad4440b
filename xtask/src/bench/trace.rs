//! What watching handshakes costs those who make them: CPU time per connection over loopback, with
//! and without a tracer.
//!
//! One thread connects, accepts, exchanges a byte each way and resets, so nothing waits for a timer and
//! no port stays in TIME_WAIT. What a program in the kernel takes is part of the thread's time; what
//! the tracer takes to read and print is not, and is shown beside it. The tracers run in turn, and each
//! figure is a median over the rounds.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
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
    // The first round warms the caches of the kernel.
    connect(connections)?;
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
    let none = of("nothing").unwrap_or(f64::NAN);
    let ratio = |(figure, goal): (&'static str, Goal), name: &str| match of(name) {
        Some(us) => Figure::observed(figure, us / none, goal),
        None => Figure::skipped(figure, &format!("{name} cannot run here")),
    };
    let tcplife = match (of("tcplife"), of("trace --all")) {
        (Some(theirs), Some(ours)) => Figure::observed(TCPLIFE.0, theirs / ours, TCPLIFE.1),
        _ => Figure::skipped(TCPLIFE.0, "tcplife is not installed, or tracefs is not mounted"),
    };
    vec![
        ratio(DEFAULT, "trace"),
        ratio(ALL, "trace --all"),
        ratio(PACKETS, "trace --packets"),
        tcplife,
    ]
}

/// A tracer, or none, and what the load has cost while it watched.
struct Watched {
    name: &'static str,
    command: Option<Vec<String>>,
    /// Whether its first line says that it is ready.
    says_ready: bool,
    load_us: Vec<f64>,
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
    if has_program("tcplife") && Path::new(TRACEFS).exists() {
        all.push(Watched::new("tcplife", Some(vec!["tcplife".to_owned()]), false));
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
        self.load_us.push(connect(connections)?);
        if let Some(tracer) = tracer {
            self.own_us.push(end(&tracer)?.as_secs_f64() * 1e6 / f64::from(connections));
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

    fn load_us(&self) -> f64 {
        median(self.load_us.iter().copied())
    }

    fn summary(&self) -> String {
        let own = match self.own_us.as_slice() {
            [] => String::new(),
            own => format!("   the tracer itself {:>6.2} µs", median(own.iter().copied())),
        };
        format!("{:<18} a connection costs {:>6.2} µs{own}", self.name, self.load_us())
    }
}

/// Ends a tracer as Ctrl-C does; the CPU time that it took.
fn end(child: &Child) -> Result<Duration> {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::INT).context("the tracer ended by itself")?;
    cpu_of_reaped(child.id()).context("the tracer cannot be waited for")
}

/// Makes connections over loopback, one after the other; the CPU time of each, in microseconds.
fn connect(connections: u32) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let server: SocketAddr = listener.local_addr()?;
    let began = cpu_of_this_thread();
    for _ in 0..connections {
        let mut client = TcpStream::connect(server)?;
        let (mut accepted, _) = listener.accept()?;
        let mut byte = [1];
        client.write_all(&byte)?;
        accepted.read_exact(&mut byte)?;
        accepted.write_all(&byte)?;
        client.read_exact(&mut byte)?;
        set_socket_linger(&client, Some(Duration::ZERO))?;
    }
    let took = cpu_of_this_thread().saturating_sub(began);
    Ok(took.as_secs_f64() * 1e6 / f64::from(connections))
}

fn cpu_of_this_thread() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
