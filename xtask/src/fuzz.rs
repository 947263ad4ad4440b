//! Runs the fuzz targets of `fuzz/` on stable Rust, each with a fixed number of inputs.
//!
//! cargo-fuzz needs a nightly compiler for its sanitizers. Ours needs none: the coverage feedback
//! that guides libFuzzer is an LLVM pass that the stable compiler can run. What is lost is
//! AddressSanitizer, which code without `unsafe` hardly misses.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace::{ENCODED_FLAGS, Workspace, has_program, host, run as run_command};

/// What to fuzz.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this target
    target: Option<String>,
    /// How many inputs each target gets
    #[arg(long)]
    runs: Option<u32>,
    /// Give the target this one input, such as one that made it fail
    #[arg(long, requires = "target")]
    input: Option<PathBuf>,
}

/// A program in `fuzz/fuzz_targets/`.
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: &'static str,
    /// Inputs for a run of all tests: some ten seconds.
    pub(crate) runs: u32,
    /// Longest input, in bytes.
    max_len: u32,
    /// Folders of inputs to begin with, from the root of the repository.
    seeds: &'static [&'static str],
    /// Whether blocks of 128 KiB or more are always mapped, which is slow. Where an input takes several at
    /// a time glibc comes to take them from its heap, between libFuzzer's small ones that stay: then
    /// two trackers to an input pass the limit of memory after 8,000 inputs.
    maps_blocks: bool,
}

/// Every target.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "capture_container",
        runs: 300_000,
        max_len: 4096,
        seeds: &["fuzz/corpus/capture_container"],
        maps_blocks: false,
    },
    Target {
        name: "capture_decode",
        runs: 500_000,
        max_len: 512,
        seeds: &["fuzz/corpus/capture_decode"],
        maps_blocks: false,
    },
    Target {
        name: "capture_filter",
        runs: 200_000,
        max_len: 512,
        seeds: &["fuzz/corpus/capture_filter"],
        maps_blocks: false,
    },
    Target {
        name: "capture_points",
        runs: 20_000,
        max_len: 1024,
        seeds: &["fuzz/corpus/capture_points"],
        maps_blocks: true,
    },
    Target {
        name: "capture_tracker",
        runs: 200_000,
        max_len: 2048,
        seeds: &["fuzz/corpus/capture_tracker"],
        maps_blocks: false,
    },
    Target {
        name: "filter",
        runs: 300_000,
        max_len: 2048,
        seeds: &["fuzz/corpus/filter"],
        maps_blocks: false,
    },
    Target {
        name: "netlink",
        runs: 1_000_000,
        max_len: 4096,
        seeds: &["fuzz/corpus/netlink"],
        maps_blocks: false,
    },
    Target {
        name: "pcap",
        runs: 2000,
        max_len: 8192,
        seeds: &["bundles/captures", "fuzz/corpus/capture_container"],
        maps_blocks: false,
    },
    Target {
        name: "proc_text",
        runs: 400_000,
        max_len: 4096,
        seeds: &["fuzz/corpus/proc_text"],
        maps_blocks: false,
    },
    Target {
        name: "recording",
        runs: 100_000,
        max_len: 16_384,
        seeds: &["fuzz/corpus/recording"],
        maps_blocks: false,
    },
    Target {
        name: "runtimes",
        runs: 200_000,
        max_len: 4096,
        seeds: &["fuzz/corpus/runtimes"],
        maps_blocks: false,
    },
    Target {
        name: "scenario",
        runs: 200_000,
        max_len: 4096,
        seeds: &["scenarios"],
        maps_blocks: false,
    },
    Target {
        name: "simulate",
        runs: 20_000,
        max_len: 4096,
        seeds: &["scenarios"],
        maps_blocks: false,
    },
    Target {
        name: "stack",
        runs: 30_000,
        max_len: 512,
        seeds: &["fuzz/corpus/stack"],
        maps_blocks: false,
    },
    Target {
        name: "unwind",
        runs: 100_000,
        max_len: 16_384,
        seeds: &["fuzz/corpus/unwind"],
        maps_blocks: false,
    },
];

/// The flags by which cargo-fuzz has the compiler count edges, less those that only nightly knows.
const FLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    --cfg fuzzing -Cdebug-assertions -Coverflow-checks";

/// Runs what the options name.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let chosen: Vec<_> = TARGETS
        .iter()
        .filter(|target| options.target.as_deref().is_none_or(|name| name == target.name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        bail!("no such fuzz target; there are {}", names.join(", "));
    }
    if let Some(why) = cannot_run() {
        bail!("{why}");
    }
    build(workspace)?;
    for target in &chosen {
        match &options.input {
            Some(input) => {
                let input = env::current_dir()?.join(input);
                run_command(Command::new(program(workspace, target)?).arg(input))?;
            }
            None => run_target(workspace, target, options.runs.unwrap_or(target.runs))?,
        }
    }
    println!("{} fuzz targets passed", chosen.len());
    Ok(ExitCode::SUCCESS)
}

/// Why no target can be built here.
pub(crate) fn cannot_run() -> Option<&'static str> {
    let compiler = env::var_os("CXX").is_some() || has_program("c++");
    (!compiler).then_some("libFuzzer needs a C++ compiler (Debian package g++)")
}

/// Builds every target.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let manifest = workspace.root.join("fuzz/Cargo.toml");
    // An explicit target keeps the flags from build scripts and procedural macros.
    let mut build = workspace.cargo(&["build", "--quiet", "--release", "--bins"]);
    build.arg("--manifest-path").arg(manifest);
    build.arg("--target-dir").arg(scratch(workspace));
    build.args(["--target", &host()?]).env("RUSTFLAGS", FLAGS).env_remove(ENCODED_FLAGS);
    run_command(&mut build)
}

/// Gives a target so many inputs, beginning with its seeds.
pub(crate) fn run_target(workspace: &Workspace, target: &Target, runs: u32) -> Result<()> {
    let found = fresh_folder(&scratch(workspace).join("found").join(target.name))?;
    let failures = fresh_folder(&scratch(workspace).join("failures").join(target.name))?;
    let mut fuzz = Command::new(program(workspace, target)?);
    fuzz.args([&format!("-runs={runs}"), &format!("-max_len={}", target.max_len)])
        .args(["-seed=1", "-rss_limit_mb=512", "-timeout=10", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}/", failures.display()))
        // New inputs go to the first folder.
        .arg(found)
        .args(target.seeds.iter().map(|folder| workspace.root.join(folder)));
    if target.maps_blocks {
        fuzz.env("MALLOC_MMAP_THRESHOLD_", (128 << 10).to_string());
    }
    let output = fuzz.output().with_context(|| format!("{fuzz:?} could not be started"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let failing = first_file(&failures);
        bail!(
            "{log}\nfuzz target {} failed; again: cargo xtask fuzz {} --input {}",
            target.name,
            target.name,
            failing.display()
        );
    }
    let (first, last) = coverage(&log).context("libFuzzer printed no coverage")?;
    println!("{}: {runs} inputs, edges and features seen {first} -> {last}", target.name);
    Ok(())
}

fn program(workspace: &Workspace, target: &Target) -> Result<PathBuf> {
    Ok(scratch(workspace).join(host()?).join("release").join(target.name))
}

fn scratch(workspace: &Workspace) -> PathBuf {
    workspace.target_directory.join("fuzz")
}

fn fresh_folder(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    Ok(folder.to_owned())
}

fn first_file(folder: &Path) -> PathBuf {
    let entry = fs::read_dir(folder).ok().and_then(|mut entries| entries.next()?.ok());
    entry.map_or_else(|| folder.to_owned(), |entry| entry.path())
}

/// `cov: N ft: M` of libFuzzer's first and last line that has it. Without coverage feedback there
/// would be none, and the inputs would be noise.
fn coverage(log: &str) -> Option<(String, String)> {
    let mut seen = log.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "cov:").skip(1);
        let edges = words.next()?;
        let features = words.nth(1)?;
        Some(format!("{edges}/{features}"))
    });
    let first = seen.next()?;
    let last = seen.next_back().unwrap_or_else(|| first.clone());
    Some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_read_from_the_first_and_the_last_line_that_has_it() {
        let log = "INFO: Seed: 1\n#4\tINITED cov: 107 ft: 120 corp: 3/9b exec/s: 0\n\
                   #90\tNEW    cov: 230 ft: 801 corp: 9/1b\n#99\tDONE   cov: 230 ft: 802 corp: 9\nDone";
        assert_eq!(coverage(log), Some(("107/120".to_owned(), "230/802".to_owned())));
        assert_eq!(coverage("INFO: Seed: 1\nDone"), None);
    }
}
