//! The load: processes that hold established connections over loopback, both ends of each.
//!
//! Each process listens on an address of its own, so that every one has the whole range of local
//! ports to connect from. It lives until its standard input ends, so no load outlives its bench.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
};

/// Descriptors that a process has open besides its connections.
const SPARE_DESCRIPTORS: u64 = 64;

/// The port of the first process; the next ones follow.
const FIRST_PORT: u16 = 20_000;

/// What the last line of a process is when all its connections are established.
const READY: &str = "ready";

/// Processes that hold connections; they end when this is dropped.
pub(crate) struct Load {
    holders: Vec<Holder>,
}

struct Holder {
    child: Child,
    /// Closed to have the process end.
    stdin: Option<ChildStdin>,
    listen: SocketAddr,
}

impl Load {
    /// Starts processes that together hold `connections`, in at least `processes`: more where the
    /// limit of descriptors asks for it.
    pub(crate) fn start(connections: usize, processes: usize) -> Result<Self> {
        let per_process = usize::try_from(connections_per_process())?;
        let processes = processes.max(connections.div_ceil(per_process));
        let mut load = Self { holders: Vec::new() };
        let mut outputs = Vec::new();
        for index in 0..processes {
            let share = connections / processes + usize::from(index < connections % processes);
            let (holder, stdout) = Holder::start(index, share)?;
            load.holders.push(holder);
            outputs.push(stdout);
        }
        for (holder, stdout) in load.holders.iter().zip(outputs) {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line)?;
            if line.trim_end() != READY {
                bail!("the process that listens on {} did not get ready", holder.listen);
            }
        }
        Ok(load)
    }

    /// The number of processes.
    pub(crate) fn processes(&self) -> usize {
        self.holders.len()
    }

    /// A port that one of them listens on.
    pub(crate) fn a_port(&self) -> u16 {
        self.holders.first().map_or(FIRST_PORT, |holder| holder.listen.port())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for holder in &mut self.holders {
            holder.stdin = None;
        }
        for holder in &mut self.holders {
            // It ends by itself; there is nothing to do about one that cannot be waited for.
            let _ = holder.child.wait();
        }
    }
}

impl Holder {
    fn start(index: usize, connections: usize) -> Result<(Self, ChildStdout)> {
        let number = u8::try_from(index + 1).context("too many processes for one /24")?;
        let listen = SocketAddr::from((
            Ipv4Addr::new(127, 0, 1, number),
            FIRST_PORT + u16::from(number) - 1,
        ));
        let program = env::current_exe().context("the path of this program")?;
        let mut child = Command::new(program)
            .args(["hold-connections", &listen.to_string(), &connections.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("a process of the load could not be started")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("the process of the load has no output")?;
        Ok((Self { child, stdin, listen }, stdout))
    }
}

/// The chore of one such process.
pub(crate) fn hold(listen: SocketAddr, connections: usize) -> Result<ExitCode> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    raise_descriptor_limit()?;
    let listener = TcpListener::bind(listen).with_context(|| listen.to_string())?;
    let mut ends = Vec::with_capacity(2 * connections);
    for _ in 0..connections {
        ends.push(TcpStream::connect(listen).with_context(|| listen.to_string())?);
        ends.push(listener.accept()?.0);
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "{READY}")?;
    stdout.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(ExitCode::SUCCESS)
}

/// Each connection takes two descriptors of the process.
fn connections_per_process() -> u64 {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 20);
    (limit.saturating_sub(SPARE_DESCRIPTORS) / 2).max(1)
}

fn raise_descriptor_limit() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("the limit of descriptors could not be raised")
}
