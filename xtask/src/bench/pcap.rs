//! What `halfopen pcap` takes for a large capture, beside other programs that read captures.
//!
//! The capture is made anew, of connections whose outcomes are known, and lies in the page cache. The
//! programs run in turn, `halfopen` on one thread and as it is without arguments, and each figure is a
//! median over the rounds. `halfopen` must count every outcome exactly and keep to its memory; how fast
//! it is depends on what else the machine does, so a goal of speed that is missed is only said.

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
    halfopen: Option<&Path>,
    rounds: usize,
    connections: u32,
    slow: bool,
) -> Result<Vec<Figure>> {
    let load = workspace.build_load("capture-load")?;
    let halfopen = match halfopen {
        Some(path) => path.to_owned(),
        None => workspace.build_halfopen(Profile::Release)?,
    };
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
    let logs = folder.path().to_str().context("the folder's name is not UTF-8")?;
    let of_ours = |arguments: &[&str]| Contender::new(&halfopen, arguments, &[0, 1, 2]);
    let mut ours = Ours {
        one_thread: of_ours(&["pcap", "--threads", "1", file]),
        as_it_is: of_ours(&["pcap", file]),
    };
    let mut others = installed(&[
        ("capinfos", &["-c", file]),
        ("argus", &["-r", file, "-w", "/dev/null"]),
        ("suricata", &["-r", file, "-S", "/dev/null", "-k", "none", "-l", logs]),
    ]);
    for _ in 0..rounds.max(1) {
        ours.one_thread.run()?;
        ours.as_it_is.run()?;
        others.iter_mut().try_for_each(Contender::run)?;
    }
    if slow {
        let mut slow = installed(&[
            ("tshark", &["-r", file, "-q", "-z", "conv,tcp"]),
            ("tcptrace", &["-n", file]),
        ]);
        slow.iter_mut().try_for_each(Contender::run)?;
        others.append(&mut slow);
    }
    for contender in [&ours.one_thread, &ours.as_it_is].into_iter().chain(&others) {
        println!("{}", contender.summary());
    }
    Ok(figures(&truth, &ours, &others))
}

/// The same program twice.
struct Ours {
    one_thread: Contender,
    as_it_is: Contender,
}

/// Those of the programs that there are.
fn installed(programs: &[(&str, &[&str])]) -> Vec<Contender> {
    let there = programs.iter().filter(|(program, _)| has_program(program));
    there.map(|(program, arguments)| Contender::new(Path::new(program), arguments, &[0])).collect()
}

fn figures(truth: &Truth, ours: &Ours, others: &[Contender]) -> Vec<Figure> {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let rate = |ours: &Contender| truth.packets as f64 / (ours.wall_ms() / 1e3);
    let peak_mib = ours.one_thread.peak_mib().max(ours.as_it_is.peak_mib());
    let above = (peak_mib - FIXED_MIB).max(0.0) * f64::from(1 << 20);
    let other = |program: &str| others.iter().find(|contender| contender.runs(program));
    let ratio = |name, ours: &Contender, program: &str, goal, of: fn(f64, f64) -> f64| {
        other(program).map_or_else(
            || Figure::skipped(name, &format!("{program} is not installed or was not asked for")),
            |other| Figure::observed(name, of(other.wall_ms(), ours.wall_ms()), goal),
        )
    };
    let times = |theirs: f64, ours: f64| theirs / ours;
    let part = |theirs: f64, ours: f64| ours / theirs;
    let Ours { one_thread, as_it_is } = ours;
    vec![
        Figure::measured("bytes_per_flow", above / f64::from(truth.connections), BYTES_PER_FLOW),
        Figure::observed("packets_per_second_one_thread", rate(one_thread), PACKETS_PER_SECOND),
        Figure::observed("packets_per_second", rate(as_it_is), PACKETS_PER_SECOND),
        ratio("argus_vs_one_thread", one_thread, "argus", ARGUS_VS_US, times),
        ratio("argus_vs_halfopen", as_it_is, "argus", ARGUS_VS_US, times),
        ratio("suricata_vs_halfopen", as_it_is, "suricata", ARGUS_VS_US, times),
        ratio("tshark_vs_one_thread", one_thread, "tshark", TSHARK_VS_US, times),
        ratio("tshark_vs_halfopen", as_it_is, "tshark", TSHARK_VS_US, times),
        ratio("one_thread_vs_capinfos", one_thread, "capinfos", US_VS_CAPINFOS, part),
        ratio("halfopen_vs_capinfos", as_it_is, "capinfos", US_VS_CAPINFOS, part),
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
