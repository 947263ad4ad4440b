//! A command that a bench runs again and again, and what its runs cost.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::measure::{Cost, cost_of, median};

/// A command and what its runs cost.
pub(crate) struct Contender {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    statuses: &'static [i32],
    costs: Vec<Cost>,
}

impl Contender {
    pub(crate) fn new(program: &Path, arguments: &[&str], statuses: &'static [i32]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let file = program.file_name().unwrap_or_default().to_string_lossy();
        Self {
            name: format!("{file} {}", arguments.join(" ")),
            program: program.to_owned(),
            arguments,
            statuses,
            costs: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        self.costs.push(cost_of(command.args(&self.arguments), self.statuses)?);
        Ok(())
    }

    /// Whether it is this program.
    pub(crate) fn runs(&self, program: &str) -> bool {
        self.program.file_name().is_some_and(|name| name == program)
    }

    /// Median CPU time of a run, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> f64 {
        median(self.costs.iter().map(|cost| cost.cpu.as_secs_f64() * 1e3))
    }

    /// Median time of a run, in milliseconds.
    pub(crate) fn wall_ms(&self) -> f64 {
        median(self.costs.iter().map(|cost| cost.wall.as_secs_f64() * 1e3))
    }

    /// The most memory that any run took, in MiB.
    #[expect(clippy::cast_precision_loss, reason = "KiB of memory are far below 2^52")]
    pub(crate) fn peak_mib(&self) -> f64 {
        self.costs.iter().map(|cost| cost.peak_kib as f64 / 1024.0).fold(0.0, f64::max)
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "{:<28} cpu {:>8.1} ms   wall {:>8.1} ms   peak {:>6.1} MiB",
            self.name,
            self.cpu_ms(),
            self.wall_ms(),
            self.peak_mib()
        )
    }
}
