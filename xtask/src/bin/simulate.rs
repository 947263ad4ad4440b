//! The load of `bench sim`: a plain accept loop and a number of clients, each of which connects once
//! and stays. Prints what it cost.
//!
//! A program of its own, since the chores are built without optimisation.

use std::process::ExitCode;

use anyhow::{Context, Result};
use halfopen_scenario::{Scenario, TcpStateName};
use halfopen_sim::{Options, account};
use rustix::time::{ClockId, clock_gettime};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let clients = std::env::args().nth(1).context("say how many clients")?;
    let clients: u32 = clients.parse().context("the number of clients is no number")?;
    let scenario = Scenario::parse("bench", &text(clients))?;
    let options = Options { segments_kept: 0, ..Options::default() };
    let begin = cpu_seconds();
    let account = account(&scenario, &options)?;
    let seconds = cpu_seconds() - begin;
    let end = account.looks.last().context("no picture of the end")?;
    let accepted = |s: &&halfopen_scenario::SocketCount| {
        s.state == TcpStateName::Established && s.accepted == Some(true)
    };
    let handshakes: u32 = end.sockets.iter().filter(accepted).map(|s| s.count).sum();
    println!("{handshakes} {seconds} {}", peak_kib()?);
    Ok(())
}

/// A million clients a second, in bursts of some dozens.
fn text(clients: u32) -> String {
    format!(
        "about = \"x\"\nexpect = []\nneeds = [\"simulator\"]\n\
         [sysctl]\n\"net.core.somaxconn\" = 65535\n\
         [[step]]\ndo = \"serve\"\nprocess = \"web\"\n\
         listen = [{{ port = 8080, backlog = 65535 }}]\n\
         threads = [{{ port = 8080, connection = \"keep\" }}]\n\
         [[step]]\ndo = \"arrivals\"\nport = 8080\nway = \"network\"\ncount = 64\n\
         every = \"64us\"\nat_most = {clients}\n\
         [[step]]\ndo = \"await\"\nclients = {{ state = \"connected\", at_least = {clients} }}\n\
         within = \"30m\"\n"
    )
}

/// What the CPUs have spent on this process so far.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

/// The most memory that this process has had, in KiB (proc(5), VmHWM).
fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.context("no VmHWM in /proc/self/status")
}
