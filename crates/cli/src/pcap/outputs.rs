//! Where handshakes are written as they are told: lines, JSON, CSV, Parquet.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::args::PcapArgs;
use super::lines::Lines;
use super::parquet_file::ParquetFile;
use super::{flat, is_stdout, json};
use crate::handshakes::found::Found;
use crate::handshakes::words;
use crate::output;

/// All that is written while reading. The first failure ends it.
pub(super) struct Outputs {
    stream: Stream,
    csv: Option<Sink>,
    parquet: Option<(PathBuf, ParquetFile<BufWriter<File>>)>,
    sources: Vec<String>,
    failure: Option<anyhow::Error>,
}

/// What goes to standard output, line by line.
enum Stream {
    None,
    Lines { lines: Lines, day: String, out: BufWriter<io::Stdout> },
    Json(BufWriter<io::Stdout>),
}

struct Sink {
    path: PathBuf,
    out: BufWriter<Box<dyn Write>>,
}

impl Outputs {
    /// Opens what the arguments name.
    ///
    /// # Errors
    /// If a file cannot be made.
    pub(super) fn open(arguments: &PcapArgs, sources: Vec<String>) -> anyhow::Result<Self> {
        let stream = if arguments.handshakes {
            let lines = Lines::new(output::width(), output::colour());
            let mut out = BufWriter::new(io::stdout());
            out.write_all(lines.header().as_bytes())?;
            Stream::Lines { lines, day: String::new(), out }
        } else if arguments.json {
            Stream::Json(BufWriter::new(io::stdout()))
        } else {
            Stream::None
        };
        let csv = arguments.csv.as_deref().map(Sink::csv).transpose()?;
        let parquet = arguments.parquet.as_deref().map(parquet).transpose()?;
        Ok(Self { stream, csv, parquet, sources, failure: None })
    }

    /// Writes a handshake.
    pub(super) fn add(&mut self, found: &Found) {
        if self.failure.is_none() {
            self.failure = self.write(found).err();
        }
    }

    /// Whether anything still comes of reading on.
    pub(super) const fn is_wanted(&self) -> bool {
        self.failure.is_none()
    }

    /// Shows what was written, while nothing more comes.
    pub(super) fn flush(&mut self) {
        let flushed = match &mut self.stream {
            Stream::None => Ok(()),
            Stream::Lines { out, .. } | Stream::Json(out) => out.flush(),
        };
        if let Err(error) = flushed {
            self.failure.get_or_insert(error.into());
        }
    }

    /// Writes the ends.
    ///
    /// # Errors
    /// The first failure.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.flush();
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if let Some(mut sink) = self.csv {
            sink.out.flush().with_context(|| cannot_write(&sink.path))?;
        }
        if let Some((path, file)) = self.parquet {
            file.finish().with_context(|| cannot_write(&path))?;
        }
        Ok(())
    }

    fn write(&mut self, found: &Found) -> anyhow::Result<()> {
        match &mut self.stream {
            Stream::None => {}
            Stream::Lines { lines, day, out } => {
                let date = words::date(found.handshake.began_ns);
                if date != *day {
                    out.write_all(lines.day(found.handshake.began_ns).as_bytes())?;
                    *day = date;
                }
                out.write_all(lines.line(found).as_bytes())?;
            }
            Stream::Json(out) => out.write_all(json::handshake(found)?.as_bytes())?,
        }
        if self.csv.is_none() && self.parquet.is_none() {
            return Ok(());
        }
        let row = flat::row(found, &self.sources);
        if let Some(sink) = &mut self.csv {
            let written = sink.out.write_all(flat::csv_row(&row).as_bytes());
            written.with_context(|| cannot_write(&sink.path))?;
        }
        if let Some((path, file)) = &mut self.parquet {
            file.add(&row).with_context(|| cannot_write(path))?;
        }
        Ok(())
    }
}

impl Sink {
    fn csv(path: &Path) -> anyhow::Result<Self> {
        let out: Box<dyn Write> =
            if is_stdout(path) { Box::new(io::stdout()) } else { Box::new(create(path)?) };
        let mut out = BufWriter::new(out);
        out.write_all(flat::csv_header().as_bytes())?;
        Ok(Self { path: path.to_owned(), out })
    }
}

fn parquet(path: &Path) -> anyhow::Result<(PathBuf, ParquetFile<BufWriter<File>>)> {
    let file = ParquetFile::new(BufWriter::new(create(path)?));
    Ok((path.to_owned(), file.with_context(|| cannot_write(path))?))
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| cannot_write(path))
}

/// What could not be done.
pub(super) fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
