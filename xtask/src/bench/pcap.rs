//! What `halfopen pcap` takes for a large capture, beside other programs that read captures.
//!
//! The capture is made anew, of connections whose outcomes are known, and lies in the page cache. The
//! programs run in turn, each figure is a median over the rounds, and `halfopen` must count every
//! outcome exactly.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::contender::Contender;
use super::figure::{Figure, Goal};
use crate::workspace::{Profile, Workspace, has_program};

const PACKETS_PER_SECOND: Goal = Goal::AtLeast(8_000_000.0);
const BYTES_PER_FLOW: Goal = Goal::AtMost(200.0);
const ARGUS_VS_US: Goal = Goal::AtLeast(5.0);
const TSHARK_VS_US: Goal = Goal::AtLeast(60.0);
const US_VS_CAPINFOS: Goal = Goal::AtMost(1.0);

/// Memory that does not grow with the flows.
const FIXED_MIB: f64 = 64.0;

/// What the load says of the capture.
#[derive(Debug, Deserialize)]
struct Truth {
    packets: u64,
    connections: u32,
    outcomes: BTreeMap<String, u64>,
}

/// Makes the capture, measures, and says how it went.
pub(crate) fn run(
    workspace: &Workspace,
    rounds: usize,
    connections: u32,
    slow: bool,
) -> Result<Vec<Figure>> {
    let load = workspace.build_load("capture-load")?;
    let halfopen = workspace.build_halfopen(Profile::Release)?;
    let folder = tempfile::tempdir().context("no folder for the capture")?;
    let capture = folder.path().join("load.pcap");
    let made = Command::new(load).arg(&capture).arg(connections.to_string()).output()?;
    if !made.status.success() {
        bail!("the capture could not be made: {}", String::from_utf8_lossy(&made.stderr));
    }
    let truth: Truth = serde_json::from_slice(&made.stdout).context("the load's output")?;
    println!("{} packets of {} connections", truth.packets, truth.connections);
    counts_are_exact(&halfopen, &capture, &truth)?;

    let file = capture.to_str().context("the folder's name is not UTF-8")?;
    let verdicts: &[i32] = &[0, 1, 2];
    let mut ours = Contender::new(&halfopen, &["pcap", file], verdicts);
    let mut quick: Vec<Contender> =
        [("capinfos", vec!["-c", file]), ("argus", vec!["-r", file, "-w", "/dev/null"])]
            .iter()
            .filter(|(program, _)| has_program(program))
            .map(|(program, arguments)| Contender::new(Path::new(program), arguments, &[0]))
            .collect();
    for _ in 0..rounds.max(1) {
        ours.run()?;
        quick.iter_mut().try_for_each(Contender::run)?;
    }
    let mut others = quick;
    if slow {
        for (program, arguments) in
            [("tshark", vec!["-r", file, "-q", "-z", "conv,tcp"]), ("tcptrace", vec!["-n", file])]
        {
            if has_program(program) {
                let mut contender = Contender::new(Path::new(program), &arguments, &[0]);
                contender.run()?;
                others.push(contender);
            }
        }
    }
    std::iter::once(&ours).chain(&others).for_each(|contender| println!("{}", contender.summary()));
    Ok(figures(&truth, &ours, &others))
}

fn figures(truth: &Truth, ours: &Contender, others: &[Contender]) -> Vec<Figure> {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let rate = truth.packets as f64 / (ours.wall_ms() / 1e3);
    let above = (ours.peak_mib() - FIXED_MIB).max(0.0) * f64::from(1 << 20);
    let other = |program: &str| others.iter().find(|contender| contender.runs(program));
    let ratio = |name, program: &str, goal, of: fn(f64, f64) -> f64| match other(program) {
        Some(other) => Figure::measured(name, of(other.wall_ms(), ours.wall_ms()), goal),
        None => Figure::skipped(name, &format!("{program} is not installed or was not asked for")),
    };
    vec![
        Figure::measured("packets_per_second", rate, PACKETS_PER_SECOND),
        Figure::measured("bytes_per_flow", above / f64::from(truth.connections), BYTES_PER_FLOW),
        ratio("argus_vs_halfopen", "argus", ARGUS_VS_US, |theirs, ours| theirs / ours),
        ratio("tshark_vs_halfopen", "tshark", TSHARK_VS_US, |theirs, ours| theirs / ours),
        ratio("halfopen_vs_capinfos", "capinfos", US_VS_CAPINFOS, |theirs, ours| ours / theirs),
    ]
}

/// Each outcome must be counted as often as it was made.
fn counts_are_exact(halfopen: &Path, capture: &Path, truth: &Truth) -> Result<()> {
    let mut child = Command::new(halfopen)
        .args(["pcap", "--json"])
        .arg(capture)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = child.stdout.take().context("no output")?;
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    // Line by line: what is held here would count as the peak of those that are measured.
    for line in BufReader::new(lines).lines() {
        let value: serde_json::Value = serde_json::from_str(&line?).context("a line of JSON")?;
        if let Some(outcome) = outcome_of(&value) {
            *counted.entry(outcome).or_default() += 1;
        }
    }
    child.wait()?;
    if counted != truth.outcomes {
        bail!("outcomes are not exact:\n  made    {:?}\n  counted {counted:?}", truth.outcomes);
    }
    println!("every outcome was counted exactly");
    Ok(())
}

/// The outcome of a handshake's line, with its end where it has one; none for other lines.
fn outcome_of(value: &serde_json::Value) -> Option<String> {
    let outcome = value.get("outcome")?.as_str()?;
    match value.get("ended").and_then(serde_json::Value::as_str) {
        Some(ended) => Some(format!("{outcome}/{ended}")),
        None => Some(outcome.to_owned()),
    }
}
