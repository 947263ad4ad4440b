//! A guest's first file system: one base with the programs for all kernels, and an archive per kernel
//! with its modules and the plan. The kernel unpacks one after the other.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::archive::Unpacked;
use super::checks::{HALFOPEN, PARITY};
use super::cpio::Archive;
use super::modules::{Module, Modules};
use super::protocol::{PLAN, Plan, Task};
use crate::workspace::Workspace;

/// Modules that the lab and the tool use. Process 1 loads them, since there is no modprobe that the
/// kernel could ask.
const MODULES: &[&str] = &["tun", "tcp_diag"];

/// The programs: what cargo calls each, and where it goes.
const PROGRAMS: &[(&str, &str)] =
    &[("xtask", "/init"), ("halfopen", HALFOPEN), ("halfopen-parity", PARITY)];

/// Folders that file systems are mounted on before any program runs.
const FOLDERS: &[&str] = &["/bin", "/dev", "/modules", "/proc", "/run", "/sys", "/tmp"];

/// The part that is the same for all kernels; builds its programs.
pub(super) fn base(workspace: &Workspace) -> Result<Vec<u8>> {
    let built = workspace.build_static(PROGRAMS.iter().map(|(program, _)| *program))?;
    let mut archive = Archive::new(Vec::new());
    for folder in FOLDERS {
        archive.folder(folder)?;
    }
    for (program, place) in PROGRAMS {
        let program = built.join(program);
        let bytes = fs::read(&program).with_context(|| program.display().to_string())?;
        archive.program(place, &bytes)?;
    }
    Ok(archive.finish()?)
}

/// Writes the whole of it for a kernel.
pub(super) fn write(base: &[u8], kernel: &Unpacked, tasks: Vec<Task>, to: &Path) -> Result<()> {
    let modules = Modules::find(&kernel.modules)?.with_dependencies(MODULES)?;
    let mut archive = Archive::new(base.to_vec());
    let mut plan = Plan { modules: Vec::new(), tasks };
    for Module { name, bytes } in modules {
        let place = format!("/modules/{name}.ko");
        archive.file(&place, &bytes)?;
        plan.modules.push(place.into());
    }
    archive.file(PLAN, &serde_json::to_vec(&plan)?)?;
    fs::write(to, archive.finish()?).with_context(|| to.display().to_string())
}
