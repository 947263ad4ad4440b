//! `halfopen record` and `halfopen replay`.

use std::fs::{self, File, FileType};
use std::io::{self, BufWriter, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::Context as _;
use halfopen_evidence::{Evidence, Recording};

use crate::args::{RecordArgs, ReplayArgs};
use crate::check::{filter_or_complaint, report};
use crate::exit::Exit;
use crate::gather::{How, Purpose};
use crate::{gather, interrupt, output};

/// Takes evidence into a file.
///
/// # Errors
/// If nothing could be looked at, or the file could not be written.
pub(crate) fn record(arguments: &RecordArgs) -> anyhow::Result<Exit> {
    let Some(filter) = filter_or_complaint(&arguments.what) else { return Ok(Exit::Usage) };
    interrupt::listen();
    let how = How {
        window: Some(arguments.window),
        purpose: Purpose::Recording,
        without_bpf: arguments.no_bpf,
    };
    record_to(&arguments.output, || gather::gather(&filter, how))?;
    output::progress(&format!("wrote {}", arguments.output.display()));
    Ok(Exit::Healthy)
}

/// Takes evidence and writes it to a new file, which is made first: that it cannot be made should
/// not show when the incident is over. An existing regular file is left alone: it may be the only
/// evidence of an earlier one.
///
/// # Errors
/// If the file exists or cannot be written, or nothing could be looked at.
pub(crate) fn record_to(
    path: &Path,
    gather: impl FnOnce() -> anyhow::Result<Evidence>,
) -> anyhow::Result<Evidence> {
    let cannot_write = || format!("cannot write {}", path.display());
    let (file, is_new) = open(path).with_context(cannot_write)?;
    let written = gather().and_then(|evidence| {
        let recording = Recording::new(evidence, concat!("halfopen ", env!("CARGO_PKG_VERSION")));
        recording.write(BufWriter::new(file)).with_context(cannot_write)?;
        Ok(recording.evidence)
    });
    if written.is_err() && is_new {
        // An empty file would only mislead.
        let _ = fs::remove_file(path);
    }
    written
}

/// A new file, or a pipe or terminal that is there already (`/dev/stdout`). Says whether it is new.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let streams = |kind: FileType| kind.is_fifo() || kind.is_char_device() || kind.is_socket();
    if path.metadata().is_ok_and(|metadata| streams(metadata.file_type())) {
        return Ok((File::options().write(true).open(path)?, false));
    }
    Ok((File::create_new(path)?, true))
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

fn read_file(path: &Path) -> anyhow::Result<Recording> {
    let file: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    Ok(Recording::read(file)?)
}
