//! Whether a process is a HotSpot virtual machine that may be asked, told without touching it.

use std::path::Path;

use halfopen_collect::proc::parse::{Mapping, Status};
use halfopen_collect::proc::{ProcRoot, ProcessImage};
use halfopen_evidence::{CgroupState, Missing, Reading};
use object::{Object as _, ObjectSymbol as _};

use super::perf_data;
use crate::elf::Bounded;

/// The library that is the virtual machine.
pub(in crate::runtimes) const LIBRARY: &str = "libjvm.so";

/// A variable that HotSpot exports for debuggers (vmStructs.cpp). OpenJ9 has a `libjvm.so` as well,
/// and writes a file of its own for each SIGQUIT.
const HOTSPOT_ONLY: &[u8] = b"gHotSpotVMStructs";

/// SIGQUIT in a mask of signals.
const SIGQUIT: u64 = 1 << 2;

/// That it is a HotSpot virtual machine.
///
/// # Errors
/// If it is not.
pub(super) fn check_is_hotspot(image: &ProcessImage, mappings: &[Mapping]) -> Result<(), Missing> {
    let is_library = |mapping: &&Mapping| mapping.path.file_name() == Some(LIBRARY.as_ref());
    let library = mappings.iter().find(is_library);
    if library.is_some_and(|library| exports_hotspot(image, library)) {
        return Ok(());
    }
    Err(Missing::unreadable("it is no HotSpot Java VM"))
}

fn exports_hotspot(image: &ProcessImage, library: &Mapping) -> bool {
    let Ok(mut file) = image.mapped_file(library) else { return false };
    let file = Bounded::new(&mut file);
    file.parse().is_some_and(|elf| {
        let mut symbols = elf.dynamic_symbols();
        symbols.any(|symbol| {
            symbol.is_definition() && symbol.name_bytes().is_ok_and(|name| name == HOTSPOT_ONLY)
        })
    })
}

/// That it can answer: a process that does not run never would.
///
/// # Errors
/// If it is stopped, traced or frozen, or gone.
pub(super) fn check_runs(root: &ProcRoot, image: &ProcessImage) -> Result<Status, Missing> {
    let status = image.status()?;
    if matches!(status.state, Some('T' | 't')) {
        return Err(Missing::unreadable("it is stopped, so that its Java VM cannot answer"));
    }
    if let Some((thread, tracer)) = image.traced()? {
        return Err(Missing::unreadable(format_args!(
            "its thread {thread} is traced by process {tracer}, which would get the signals that it is sent"
        )));
    }
    if let Reading::Known(CgroupState { frozen: Reading::Known(true), path, .. }) =
        image.cgroup(root)
    {
        return Err(Missing::unreadable(format_args!(
            "its control group {path} is frozen, so that its Java VM cannot answer"
        )));
    }
    Ok(status)
}

/// That it handles SIGQUIT, which else would end the process.
///
/// # Errors
/// If it does not.
pub(super) fn check_takes_sigquit(status: &Status) -> Result<(), Missing> {
    if status.caught.is_some_and(|caught| caught & SIGQUIT != 0) {
        return Ok(());
    }
    Err(Missing::unreadable("its Java VM has no handler for SIGQUIT, which would end the process"))
}

/// That attaching is not switched off, as far as its counters tell: SIGQUIT would make it print the
/// dump where the process prints.
///
/// # Errors
/// If it is.
pub(super) fn check_lets_attach(image: &ProcessImage, mappings: &[Mapping]) -> Result<(), Missing> {
    if lets_attach(image, mappings) == Some(false) {
        return Err(Missing::unreadable("its Java VM runs with -XX:+DisableAttachMechanism"));
    }
    Ok(())
}

fn lets_attach(image: &ProcessImage, mappings: &[Mapping]) -> Option<bool> {
    let is_counters = |mapping: &&Mapping| {
        let directory = mapping.path.parent().and_then(Path::file_name);
        directory.is_some_and(|name| name.as_encoded_bytes().starts_with(b"hsperfdata_"))
    };
    let counters = mappings.iter().find(is_counters)?;
    let size = usize::try_from(counters.end.saturating_sub(counters.start)).ok()?;
    let mut memory = vec![0; size.min(perf_data::SIZE_MAX)];
    let filled = image.memory(counters.start, &mut memory);
    perf_data::lets_attach(&memory[..filled])
}
