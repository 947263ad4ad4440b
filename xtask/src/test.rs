//! Everything: the checks, every cargo test (the lab's scenarios on the running kernel are among
//! them), the fuzz targets, whether the generated documents are up to date, and the lab in guest kernels.
//!
//! What could not run is listed at the end with its reason. The last line holds the totals.

use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::test_output::TestOutput;
use crate::workspace::Workspace;
use crate::{bpf, check, fuzz, generate, packages, vm};

struct Totals {
    begin: Instant,
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

/// Runs everything, also after something has failed.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    packages::install_missing()?;
    let mut totals = Totals::new();
    for (name, part) in check::PARTS {
        totals.step(name, || part(workspace));
    }
    totals.cargo_tests(workspace);
    totals.bpf_objects(workspace);
    totals.step("generated documents", || generate::check(workspace));
    totals.fuzz_targets(workspace);
    totals.guest_kernels(workspace);
    Ok(totals.report())
}

impl Totals {
    fn new() -> Self {
        Self { begin: Instant::now(), passed: 0, failed: Vec::new(), skipped: Vec::new() }
    }

    /// Says what is next, and when.
    fn heading(&self, name: &str) {
        println!("\n== {name}, {} s after the beginning", self.begin.elapsed().as_secs());
    }

    /// One thing that passes or fails as a whole.
    fn step(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        self.heading(name);
        match step() {
            Ok(()) => self.passed += 1,
            Err(error) => self.fail(name, &error),
        }
    }

    fn fail(&mut self, name: &str, error: &anyhow::Error) {
        println!("FAILED {name}: {error:#}");
        self.failed.push(format!("{name}: {error:#}"));
    }

    fn cargo_tests(&mut self, workspace: &Workspace) {
        self.heading("cargo test");
        let mut output = TestOutput::default();
        let outcome = run_tests(workspace, &mut output);
        self.passed += output.passed;
        self.skipped.append(&mut output.skipped);
        if output.failed > 0 {
            self.failed.extend((0..output.failed).map(|_| "a cargo test, shown above".to_owned()));
        } else if let Err(error) = outcome {
            self.fail("cargo test", &error);
        }
    }

    fn bpf_objects(&mut self, workspace: &Workspace) {
        match bpf::cannot_build() {
            Some(why) => self.skipped.push(format!("BPF objects: {why}")),
            None => self.step("BPF objects", || bpf::check(workspace)),
        }
    }

    fn fuzz_targets(&mut self, workspace: &Workspace) {
        self.heading("fuzz targets");
        if let Some(why) = fuzz::cannot_run() {
            self.skipped.push(format!("fuzz targets: {why}"));
            return;
        }
        if let Err(error) = fuzz::build(workspace) {
            self.fail("fuzz targets", &error);
            return;
        }
        for target in fuzz::TARGETS {
            self.step(&format!("fuzz {}", target.name), || {
                fuzz::run_target(workspace, target, target.runs)
            });
        }
    }

    fn guest_kernels(&mut self, workspace: &Workspace) {
        self.heading("guest kernels");
        match vm::check(workspace, &vm::Options::default()) {
            Ok(vm::Totals { agreed, skipped, failed }) => {
                self.passed += agreed;
                self.skipped.extend(skipped);
                self.failed.extend(failed);
            }
            Err(error) => self.fail("guest kernels", &error),
        }
    }

    fn report(self) -> ExitCode {
        println!();
        for failed in &self.failed {
            println!("FAILED {failed}");
        }
        for skipped in &self.skipped {
            println!("SKIPPED {skipped}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped.len()
        );
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Runs `cargo test` and reads its lines as they come.
fn run_tests(workspace: &Workspace, output: &mut TestOutput) -> Result<()> {
    let mut child = workspace
        .cargo(&["test", "--workspace", "--no-fail-fast", "--", "--show-output"])
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo test could not be started")?;
    let stdout = child.stdout.take().context("cargo test has no output")?;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if output.line(&line) {
            println!("{line}");
        }
    }
    output.finish();
    let status = child.wait()?;
    if status.success() { Ok(()) } else { bail!("{status}") }
}
