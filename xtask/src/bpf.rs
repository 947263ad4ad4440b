//! Builds the BPF objects of `crates/collect/bpf`, which are committed beside their source so that
//! nobody else needs clang.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, has_program, output_of, run as run_command};

/// Where sources and objects are.
const FOLDER: &str = "crates/collect/bpf";

/// What sources are called, and what the objects are called that are built of them.
const SOURCE: &str = ".bpf.c";
const OBJECT: &str = ".bpf.o";

/// The clang that the committed objects were built with: another one writes other bytes.
const CLANG: &str = "14.0";

/// Builds the objects, or with `check` only compares them with what is committed.
pub(crate) fn run(workspace: &Workspace, check_only: bool) -> Result<ExitCode> {
    if let Some(why) = cannot_build() {
        bail!("{why}");
    }
    if check_only {
        check(workspace)?;
        println!("{FOLDER}: up to date");
        return Ok(ExitCode::SUCCESS);
    }
    let folder = workspace.root.join(FOLDER);
    for source in sources(&folder)? {
        let object = object_of(&source);
        build(&folder, &source, &folder.join(&object))?;
        println!("{}: {} bytes", object, fs::metadata(folder.join(&object))?.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// An error that names the objects that are not what their source builds.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join(FOLDER);
    let scratch = tempfile::tempdir()?;
    let sources = sources(&folder)?;
    let mut stale = Vec::new();
    for source in &sources {
        let object = object_of(source);
        let built = scratch.path().join(&object);
        build(&folder, source, &built)?;
        if fs::read(&built)? != fs::read(folder.join(&object)).unwrap_or_default() {
            stale.push(object);
        }
    }
    let wanted: Vec<String> = sources.iter().map(|source| object_of(source)).collect();
    stale.extend(names(&folder, OBJECT)?.into_iter().filter(|object| !wanted.contains(object)));
    if stale.is_empty() {
        return Ok(());
    }
    bail!("run `cargo xtask bpf`; not what their source builds: {}", stale.join(", "))
}

/// Why the objects cannot be built here as they are committed.
pub(crate) fn cannot_build() -> Option<String> {
    for (program, package) in [("clang", "clang"), ("llvm-strip", "llvm")] {
        if !has_program(program) {
            return Some(format!("{program} is not installed (Debian's {package})"));
        }
    }
    if !Path::new("/usr/include/bpf/bpf_helpers.h").exists() {
        return Some("the headers of libbpf are not installed (Debian's libbpf-dev)".to_owned());
    }
    let version = output_of(Command::new("clang").arg("--version")).unwrap_or_default();
    let is_it = version.contains(&format!("version {CLANG}."));
    (!is_it).then(|| format!("clang is not {CLANG}, which the committed objects were built with"))
}

/// Names of the sources, sorted.
fn sources(folder: &Path) -> Result<Vec<String>> {
    names(folder, SOURCE)
}

fn names(folder: &Path, ending: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(ending) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn object_of(source: &str) -> String {
    source.strip_suffix(SOURCE).unwrap_or(source).to_owned() + OBJECT
}

/// Builds one object. No path of this machine gets into it.
fn build(folder: &Path, source: &str, object: &Path) -> Result<()> {
    let headers = PathBuf::from(format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH));
    run_command(
        Command::new("clang")
            .current_dir(folder)
            .args(["--target=bpfel", "-mcpu=v2", "-O2", "-g", "-Wall", "-Wextra", "-Werror"])
            .arg("-fdebug-compilation-dir=.")
            .arg("-I")
            .arg(headers)
            .args(["-c", source, "-o"])
            .arg(object),
    )?;
    // What is left of the debugging sections is BTF, which the loader needs.
    run_command(Command::new("llvm-strip").arg("--strip-debug").arg(object))
}
