//! Builds and runs the program that compares the model with the running kernel (`crates/parity`).

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::workspace::{Workspace, run as run_command};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Scenarios with `parity = true`; all of them if none is named.
    names: Vec<String>,
    /// Play them over IPv6
    #[arg(long)]
    ipv6: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Succeeds if model and kernel agree about everything that can run here.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    run_command(&mut workspace.cargo(&["build", "--quiet", "--package", "halfopen-parity"]))?;
    let program = workspace.target_directory.join("debug").join("halfopen-parity");
    let mut command = std::process::Command::new(&program);
    command.args(&options.names);
    command.args(options.json.then_some("--json")).args(options.ipv6.then_some("--ipv6"));
    let status = command.status().with_context(|| format!("{command:?} could not be started"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
