//! Evidence in a file: gzip-compressed lines of JSON, so that `zcat FILE | jq` shows what is in it.
//!
//! The first line is the header, with the version of the format; then one line per look and one for
//! the samples between them. Lines of kinds that this version does not know are skipped, so a newer
//! tool can add to a recording. A file from somewhere else is untrusted: what is read of it is
//! bounded, and every error names the line.

use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::{Between, Evidence, Interval, Snapshot};

/// The version that this crate writes. It changes when a line of a known kind changes its meaning.
pub const RECORDING_VERSION: u32 = 1;

/// The longest line that is read, unpacked: some hundred thousand listeners.
const LINE_MAX: u64 = 64 << 20;

/// The most that is read of one file, unpacked.
const FILE_MAX: u64 = 512 << 20;

/// What a recording says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingHeader {
    /// Version of the format.
    pub halfopen_recording: u32,
    /// Version of the tool that wrote it.
    pub written_by: String,
}

/// A recording: its header and the evidence in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// What it says of itself.
    pub header: RecordingHeader,
    /// The evidence.
    pub evidence: Evidence,
}

/// Why a recording could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file could not be read or written, or is not gzip.
    #[error("recording: {0}")]
    Io(#[from] io::Error),
    /// A line is no JSON of the kind that it says it is.
    #[error("recording, line {line}: {error}")]
    Line {
        /// Counted from 1.
        line: u32,
        /// What was wrong.
        error: serde_json::Error,
    },
    /// A line is too long.
    #[error("recording, line {line}: longer than {LINE_MAX} bytes")]
    TooLong {
        /// Counted from 1.
        line: u32,
    },
    /// It was written by a newer version.
    #[error(
        "recording has format {found}, this halfopen reads format {RECORDING_VERSION}: use the version that wrote it, {written_by:?}, or a newer one"
    )]
    Version {
        /// Its version.
        found: u32,
        /// The tool that wrote it.
        written_by: String,
    },
    /// It holds no look, or more than two.
    #[error(
        "recording holds {looks} looks at a host where one or two are needed: it may have been cut short"
    )]
    Looks {
        /// How many.
        looks: usize,
    },
}

/// A line after the header.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum LineOut<'a> {
    Look(&'a Snapshot),
    Between(&'a Between),
}

/// The same, read back.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LineIn {
    Look(Box<Snapshot>),
    Between(Between),
}

impl Recording {
    /// A recording of this evidence, written by this version of the tool.
    #[must_use]
    pub fn new(evidence: Evidence, written_by: impl Into<String>) -> Self {
        let header = RecordingHeader {
            halfopen_recording: RECORDING_VERSION,
            written_by: written_by.into(),
        };
        Self { header, evidence }
    }

    /// Writes it.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, writer: impl Write) -> Result<(), RecordingError> {
        let mut lines = GzEncoder::new(writer, Compression::default());
        write_line(&mut lines, &self.header)?;
        match &self.evidence {
            Evidence::Look(look) => write_line(&mut lines, &LineOut::Look(look))?,
            Evidence::Window(interval) => {
                write_line(&mut lines, &LineOut::Look(&interval.first))?;
                write_line(&mut lines, &LineOut::Between(&interval.between))?;
                write_line(&mut lines, &LineOut::Look(&interval.second))?;
            }
        }
        lines.finish()?.flush()?;
        Ok(())
    }

    /// Reads one.
    ///
    /// # Errors
    /// If it is not a recording, is cut short, or was written by a newer version.
    pub fn read(reader: impl Read) -> Result<Self, RecordingError> {
        let unpacked = MultiGzDecoder::new(reader).take(FILE_MAX);
        let mut lines = Lines { reader: BufReader::new(unpacked), number: 0 };
        let header = lines.next()?.ok_or(RecordingError::Looks { looks: 0 })?;
        let header: RecordingHeader = lines.parse(&header)?;
        if header.halfopen_recording > RECORDING_VERSION {
            return Err(RecordingError::Version {
                found: header.halfopen_recording,
                written_by: header.written_by.chars().take(64).collect(),
            });
        }
        let mut looks = Vec::new();
        let mut between = Between::default();
        while let Some(line) = lines.next()? {
            match lines.parse_known(&line)? {
                Some(LineIn::Look(look)) if looks.len() < 2 => looks.push(*look),
                Some(LineIn::Look(_)) => return Err(RecordingError::Looks { looks: 3 }),
                Some(LineIn::Between(samples)) => between = samples,
                None => {}
            }
        }
        let mut looks = looks.into_iter();
        let evidence = match (looks.next(), looks.next()) {
            (Some(first), Some(second)) => {
                Evidence::Window(Box::new(Interval { first, between, second }))
            }
            (Some(look), None) => Evidence::Look(Box::new(look)),
            (None, _) => return Err(RecordingError::Looks { looks: 0 }),
        };
        Ok(Self { header, evidence })
    }
}

struct Lines<R> {
    reader: R,
    number: u32,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<Vec<u8>>, RecordingError> {
        self.number += 1;
        let mut line = Vec::new();
        let read = (&mut self.reader).take(LINE_MAX + 1).read_until(b'\n', &mut line)?;
        if read as u64 > LINE_MAX {
            return Err(RecordingError::TooLong { line: self.number });
        }
        Ok((read > 0).then_some(line))
    }

    fn parse<'a, T: Deserialize<'a>>(&self, line: &'a [u8]) -> Result<T, RecordingError> {
        serde_json::from_slice(line)
            .map_err(|error| RecordingError::Line { line: self.number, error })
    }

    /// `None` for a line of a kind that this version does not know.
    fn parse_known(&self, line: &[u8]) -> Result<Option<LineIn>, RecordingError> {
        let kind = line.split(|&byte| byte == b'"').nth(1).unwrap_or_default();
        if matches!(kind, b"look" | b"between") { self.parse(line).map(Some) } else { Ok(None) }
    }
}

fn write_line(writer: &mut impl Write, line: &impl Serialize) -> Result<(), RecordingError> {
    serde_json::to_writer(&mut *writer, line).map_err(io::Error::from)?;
    writer.write_all(b"\n")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Host, Reading, Taken};

    fn look(unix_ms: u64) -> Snapshot {
        Snapshot {
            taken: Taken { unix_ms, uptime_ms: unix_ms },
            host: Host {
                name: "h".to_owned(),
                kernel_release: "6.18.44".to_owned(),
                kernel_build: String::new(),
                machine: "x86_64".to_owned(),
                collector_uid: 0,
                sees_all_processes: Reading::Known(true),
            },
            netns: Vec::new(),
            processes: BTreeMap::new(),
            gaps: Vec::new(),
        }
    }

    #[test]
    fn a_control_group_of_before_quotas_were_recorded_one_by_one_is_read() {
        let old = r#"{"path":"/a","frozen":{"known":false},"throttling":{"known":{"periods":1,
            "throttled_periods":1,"throttled_us":1}}}"#;
        let group: crate::CgroupState = serde_json::from_str(old).expect("it is read");
        assert_eq!(
            (group.frozen, group.cpu_quotas),
            (Reading::Known(false), Reading::not_collected())
        );
    }

    fn gzip(lines: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(lines.as_bytes()).expect("into a vector");
        encoder.finish().expect("into a vector")
    }

    const HEADER: &str = "{\"halfopen_recording\":1,\"written_by\":\"t\"}\n";

    fn error_of(lines: &str) -> String {
        Recording::read(gzip(lines).as_slice()).expect_err("a broken recording").to_string()
    }

    #[test]
    fn what_was_written_is_read_back() {
        let window = Interval { first: look(1), between: Between::default(), second: look(2001) };
        for evidence in [Evidence::Look(Box::new(look(5))), Evidence::Window(Box::new(window))] {
            let recording = Recording::new(evidence, "test");
            let mut file = Vec::new();
            recording.write(&mut file).expect("into a vector");
            assert_eq!(Recording::read(file.as_slice()).expect("and back"), recording);
        }
    }

    #[test]
    fn lines_of_unknown_kinds_are_skipped() {
        let look = serde_json::to_string(&LineOut::Look(&look(1))).expect("JSON");
        let text = format!("{HEADER}{{\"stacks\":[1,2]}}\n{look}\n");
        assert!(matches!(
            Recording::read(gzip(&text).as_slice()),
            Ok(Recording { evidence: Evidence::Look(_), .. })
        ));
    }

    #[test]
    fn broken_files_say_what_is_wrong() {
        assert!(Recording::read(&b"no gzip"[..]).is_err());
        assert!(error_of("").contains("0 looks"));
        assert!(error_of("{}\n").contains("line 1"));
        assert!(error_of(HEADER).contains("0 looks"));
        assert!(error_of(&format!("{HEADER}{{\"look\":3}}\n")).contains("line 2"));
        assert!(
            error_of("{\"halfopen_recording\":9,\"written_by\":\"later\"}\n").contains("format 9")
        );
    }
}
