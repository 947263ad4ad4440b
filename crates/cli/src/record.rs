//! `halfopen record` and `halfopen replay`.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::Path;

use anyhow::Context as _;
use halfopen_evidence::{Evidence, Recording};

use crate::args::{RecordArgs, ReplayArgs};
use crate::check::{filter_or_complaint, report};
use crate::exit::Exit;
use crate::{gather, interrupt, output};

/// Takes evidence into a file.
///
/// # Errors
/// If nothing could be looked at, or the file could not be written.
pub(crate) fn record(arguments: &RecordArgs) -> anyhow::Result<Exit> {
    let Some(filter) = filter_or_complaint(&arguments.what) else { return Ok(Exit::Usage) };
    interrupt::listen();
    let evidence = gather::gather(&filter, Some(arguments.window))?;
    write_file(evidence, &arguments.output)
        .with_context(|| format!("cannot write {}", arguments.output.display()))?;
    output::progress(&format!("wrote {}", arguments.output.display()));
    Ok(Exit::Healthy)
}

/// Prints the report of recorded evidence.
///
/// # Errors
/// If the file is no recording, or the report could not be written.
pub(crate) fn replay(arguments: &ReplayArgs) -> anyhow::Result<Exit> {
    let Some(filter) = filter_or_complaint(&arguments.what) else { return Ok(Exit::Usage) };
    let recording = read_file(&arguments.file)
        .with_context(|| format!("cannot read {}", arguments.file.display()))?;
    report(&recording.evidence, &filter, &arguments.print)
}

/// Writes evidence to a new file. An existing regular file is left alone: it may be the only
/// evidence of an incident.
///
/// # Errors
/// If the file exists or could not be written.
pub(crate) fn write_file(evidence: Evidence, path: &Path) -> anyhow::Result<()> {
    let is_device = path.metadata().is_ok_and(|metadata| !metadata.is_file());
    let file =
        if is_device { File::options().write(true).open(path) } else { File::create_new(path) }?;
    let recording = Recording::new(evidence, concat!("halfopen ", env!("CARGO_PKG_VERSION")));
    recording.write(BufWriter::new(file))?;
    Ok(())
}

fn read_file(path: &Path) -> anyhow::Result<Recording> {
    let file: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    Ok(Recording::read(file)?)
}
