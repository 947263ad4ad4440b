//! What a simulated handshake costs: a plain accept loop, with ten thousand, a hundred thousand and a
//! million clients that all stay.
//!
//! The numbers of clients are played in turn, each in a process of its own, and each figure is a
//! median over the rounds: of the CPU's time per handshake, and of the process's peak memory.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::figure::{Figure, Goal};
use super::measure::median;
use crate::workspace::Workspace;

/// Numbers of clients.
const CLIENTS: [u32; 3] = [10_000, 100_000, 1_000_000];

const HANDSHAKES_PER_SECOND: Goal = Goal::AtLeast(2_000_000.0);
const MILLION_VS_TEN_THOUSAND: Goal = Goal::AtMost(2.0);
const PEAK_MIB: Goal = Goal::AtMost(1024.0);

/// What the runs of one number of clients cost.
#[derive(Default)]
struct Runs {
    nanoseconds: Vec<f64>,
    peak_mib: Vec<f64>,
}

/// Builds the load, plays it, and says how it went.
pub(crate) fn run(workspace: &Workspace, rounds: usize) -> Result<Vec<Figure>> {
    let program = workspace.build_load("simulate")?;
    let mut all: [Runs; CLIENTS.len()] = Default::default();
    for _ in 0..rounds.max(1) {
        for (clients, runs) in CLIENTS.into_iter().zip(&mut all) {
            let output = Command::new(&program).arg(clients.to_string()).output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            if !output.status.success() {
                bail!("the simulation failed: {}", String::from_utf8_lossy(&output.stderr));
            }
            runs.add(clients, &text).with_context(|| format!("not understood: {text:?}"))?;
        }
    }
    for (clients, runs) in CLIENTS.into_iter().zip(&all) {
        let (cost, peak) =
            (median(runs.nanoseconds.iter().copied()), median(runs.peak_mib.iter().copied()));
        let rate = 1e3 / cost;
        println!(
            "{clients:>9} clients: {cost:>5.0} ns a handshake, {rate:.2} million a second, peak {peak:.0} MiB"
        );
    }
    let [few, _, many] = all;
    let (few, million) =
        (median(few.nanoseconds.iter().copied()), median(many.nanoseconds.iter().copied()));
    Ok(vec![
        Figure::measured("handshakes_per_second", 1e9 / few, HANDSHAKES_PER_SECOND),
        Figure::measured("cost_1m_vs_10k", million / few, MILLION_VS_TEN_THOUSAND),
        Figure::measured("peak_mib_1m", median(many.peak_mib.iter().copied()), PEAK_MIB),
    ])
}

impl Runs {
    /// Takes what the load prints: handshakes, seconds and KiB.
    fn add(&mut self, clients: u32, text: &str) -> Option<()> {
        let mut words = text.split_whitespace();
        let handshakes: u32 = words.next()?.parse().ok()?;
        let seconds: f64 = words.next()?.parse().ok()?;
        let kib: f64 = words.next()?.parse().ok()?;
        (handshakes == clients).then_some(())?;
        self.nanoseconds.push(seconds * 1e9 / f64::from(handshakes));
        self.peak_mib.push(kib / 1024.0);
        Some(())
    }
}
