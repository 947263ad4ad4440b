//! What needs no test to run: formatting, lints, the direction of crate edges, purity.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::{Workspace, run as run_command};
use crate::{direction, purity};

/// A part of the check, by its name.
pub(crate) type Part = (&'static str, fn(&Workspace) -> Result<()>);

/// The parts, cheapest first.
pub(crate) const PARTS: &[Part] = &[
    ("crate direction", check_direction),
    ("purity", check_purity),
    ("formatting", check_formatting),
    ("lints", check_lints),
];

/// Runs every part, also after one has failed.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let mut failed = 0;
    for (name, part) in PARTS {
        if let Err(error) = part(workspace) {
            eprintln!("FAILED {name}: {error:#}");
            failed += 1;
        }
    }
    println!("{} checks passed, {failed} failed", PARTS.len() - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_direction(workspace: &Workspace) -> Result<()> {
    none_of(&direction::violations(&workspace.packages))
}

fn check_purity(workspace: &Workspace) -> Result<()> {
    none_of(&purity::violations(&workspace.root)?)
}

fn check_formatting(workspace: &Workspace) -> Result<()> {
    run_command(&mut workspace.cargo(&["fmt", "--all", "--check"]))
}

fn check_lints(workspace: &Workspace) -> Result<()> {
    run_command(&mut workspace.cargo(&[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
}

fn none_of(violations: &[String]) -> Result<()> {
    if violations.is_empty() { Ok(()) } else { bail!("\n  {}", violations.join("\n  ")) }
}
