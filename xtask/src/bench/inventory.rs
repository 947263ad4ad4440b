//! The cost of one look at a host with 200,000 established sockets, beside that of `ss`.
//!
//! The sockets are both ends of loopback connections in a network namespace of our own, spread over
//! some processes. The commands run in turn, so that whatever else the machine does touches all of
//! them alike, and each figure is a median over the rounds.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::contender::Contender;
use super::figure::{Figure, Goal};
use super::load::Load;
use super::namespace;
use crate::workspace::{Profile, Workspace, has_program};

/// Established sockets: each connection has two.
const SOCKETS: usize = 200_000;

/// Processes that hold them.
const PROCESSES: usize = 12;

/// The figures with their goals.
const CPU_VS_SS_TANP: (&str, Goal) = ("cpu_vs_ss_tanp", Goal::AtMost(0.05));
const CPU_VS_SS_TAN: (&str, Goal) = ("cpu_vs_ss_tan", Goal::AtMost(0.667));
const PEAK_MEMORY_MIB: (&str, Goal) = ("peak_memory_mib", Goal::AtMost(64.0));
const NOW_PORT_WALL_MS: (&str, Goal) = ("now_port_wall_ms", Goal::AtMost(100.0));

/// Exit statuses of `halfopen check` that come with a verdict: healthy, warning, failure.
const VERDICTS: &[i32] = &[0, 1, 2];

/// Sets up the load, measures, and says how it went.
pub(crate) fn run(
    workspace: &Workspace,
    halfopen: Option<&Path>,
    rounds: usize,
) -> Result<Vec<Figure>> {
    if !has_program("ss") {
        return Ok(skipped("ss is not installed (Debian package iproute2)"));
    }
    let halfopen = match halfopen {
        Some(program) => program.to_owned(),
        None => workspace.build_halfopen(Profile::Release)?,
    };
    if let Err(error) = namespace::enter_new() {
        return Ok(skipped(&format!("no network namespace could be made: {error}")));
    }
    namespace::prepare()?;
    let load = Load::start(SOCKETS / 2, PROCESSES)?;
    let in_use = namespace::tcp_in_use()?;
    if in_use < SOCKETS {
        bail!("the namespace has {in_use} TCP sockets where {SOCKETS} were wanted");
    }
    println!("{in_use} TCP sockets in {} processes; {rounds} rounds", load.processes());

    let port = format!(":{}", load.a_port());
    answers_about(&halfopen, &port)?;
    let mut contenders = [
        Contender::new(&halfopen, &["check", "--now"], VERDICTS),
        Contender::new(&halfopen, &["check", "--now", &port], VERDICTS),
        Contender::new(Path::new("ss"), &["-tanp"], &[0]),
        Contender::new(Path::new("ss"), &["-tan"], &[0]),
    ];
    for _ in 0..rounds.max(1) {
        for contender in &mut contenders {
            contender.run()?;
        }
    }
    drop(load);
    for contender in &contenders {
        println!("{}", contender.summary());
    }
    let [host, one_port, ss_tanp, ss_tan] = &contenders;
    let figure = |(name, goal), value| Figure::measured(name, value, goal);
    Ok(vec![
        figure(CPU_VS_SS_TANP, host.cpu_ms() / ss_tanp.cpu_ms()),
        figure(CPU_VS_SS_TAN, host.cpu_ms() / ss_tan.cpu_ms()),
        figure(PEAK_MEMORY_MIB, host.peak_mib().max(one_port.peak_mib())),
        figure(NOW_PORT_WALL_MS, one_port.wall_ms()),
    ])
}

fn skipped(why: &str) -> Vec<Figure> {
    [CPU_VS_SS_TANP, CPU_VS_SS_TAN, PEAK_MEMORY_MIB, NOW_PORT_WALL_MS]
        .map(|(name, _)| Figure::skipped(name, why))
        .into()
}

/// Makes sure that what is measured is an answer: a program that prints nothing is quick.
fn answers_about(halfopen: &Path, port: &str) -> Result<()> {
    let output = Command::new(halfopen)
        .args(["check", "--now", port])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} could not be started", halfopen.display()))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if !printed.contains(port) {
        bail!("`halfopen check --now {port}` says nothing about {port}:\n{printed}");
    }
    Ok(())
}
