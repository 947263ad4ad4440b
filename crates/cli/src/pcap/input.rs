//! Files, pipes and standard input, which Ctrl-C ends where they are read.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use halfopen_capture::{ContainerError, Reader};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::interrupt;

/// How long a file that is still being written is left alone between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// The same for pipes: Ctrl-C is noticed after it at the latest.
const PIPE_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// What standard input is called.
pub(super) const STDIN: &str = "standard input";

/// Something to read.
#[derive(Clone, Debug)]
pub(super) struct Input {
    /// Its path; `-` for standard input.
    path: PathBuf,
    /// Its size, if it is a file that can be read more than once.
    pub(super) size: Option<u64>,
}

/// The bytes of an input, counted as they are read.
#[derive(Debug)]
pub(super) struct Bytes {
    file: File,
    count: Rc<Cell<u64>>,
    is_file: bool,
    /// The end of the file is none.
    grows: bool,
}

/// Why an input cannot be read, in a line.
pub(super) type Complaint = String;

impl Input {
    /// An input, which must be there.
    ///
    /// # Errors
    /// If it is not there, or is a directory.
    pub(super) fn new(path: &str) -> Result<Self, Complaint> {
        if path == "-" {
            return Ok(Self { path: path.into(), size: None });
        }
        let metadata = std::fs::metadata(path).map_err(|error| format!("{path}: {error}"))?;
        if metadata.is_dir() {
            return Err(format!("{path}: is a directory"));
        }
        Ok(Self { path: path.into(), size: metadata.is_file().then_some(metadata.len()) })
    }

    /// What it is called.
    pub(super) fn name(&self) -> String {
        if self.is_stdin() { STDIN.to_owned() } else { self.path.display().to_string() }
    }

    /// Whether a path leads to it.
    pub(super) fn is(&self, path: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().ok();
        !self.is_stdin() && real(path).is_some_and(|path| real(&self.path) == Some(path))
    }

    /// Whether it is standard input.
    pub(super) fn is_stdin(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    /// Begins to read it. One that is still being written is awaited until it has a beginning.
    ///
    /// # Errors
    /// If it cannot be opened, or is no capture.
    pub(super) fn open(
        &self,
        count: &Rc<Cell<u64>>,
        follow: bool,
        buffer: usize,
    ) -> Result<Reader<Bytes>, Complaint> {
        loop {
            let bytes =
                self.bytes(Rc::clone(count), follow).map_err(|error| self.complaint(&error))?;
            let begin = if bytes.grows { Reader::growing } else { Reader::with_buffer };
            match begin(bytes, buffer) {
                Err(ContainerError::TooShort { .. }) if follow && !interrupt::pressed() => {
                    count.set(0);
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(self.complaint(&anyhow::Error::new(error))),
                Ok(reader) => return Ok(reader),
            }
        }
    }

    fn bytes(&self, count: Rc<Cell<u64>>, follow: bool) -> io::Result<Bytes> {
        let file = if self.is_stdin() {
            File::from(io::stdin().as_fd().try_clone_to_owned()?)
        } else {
            File::open(&self.path)?
        };
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Ok(Bytes { file, count, is_file, grows: is_file && follow })
    }

    fn complaint(&self, error: &(impl std::fmt::Display + ?Sized)) -> Complaint {
        format!("{}: {error:#}", self.name())
    }
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.is_file && !self.has_bytes()? {
            return Ok(0);
        }
        let read = self.file.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        if read == 0 && self.grows { Err(ErrorKind::WouldBlock.into()) } else { Ok(read) }
    }
}

impl Bytes {
    /// Waits for bytes or the end; false after Ctrl-C.
    fn has_bytes(&self) -> io::Result<bool> {
        while !interrupt::pressed() {
            let mut watched = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut watched, Some(&PIPE_PAUSE)) {
                Ok(0) => {}
                Ok(_) => return Ok(true),
                Err(error) if io::Error::from(error).kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}
