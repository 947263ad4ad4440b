//! An open directory of `/proc` or of a control-group file system, and bounded reads below it.
//!
//! Everything is opened relative to a descriptor: once `/proc/PID` is open, a later process with the
//! same number cannot be mistaken for it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use halfopen_evidence::Missing;
use rustix::fs::{CWD, Mode, OFlags, RawDir, openat, readlinkat_raw};
use rustix::io::Errno;

use super::parse;
use crate::{files, privilege};

/// The most that is read of one file into memory, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// The longest text that is read at once, in bytes. The kernel makes the texts of one record in one
/// piece (fs/seq_file.c, single_open), so that a shorter one needs no second read to see its end.
const RECORD_MAX: usize = 1024;

/// The most that is read of one file line by line, in bytes: an epoll set of some 300,000 sockets.
const LINES_MAX: u64 = 32 << 20;

/// The longest line that is taken as one.
const LINE_MAX: u64 = 64 << 10;

/// The longest link target.
pub(super) const LINK_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    pub(super) fn open(path: &Path) -> Result<Self, Missing> {
        let fd = open(CWD, path, OFlags::DIRECTORY).map_err(|errno| missing(path, errno))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    pub(super) fn dir(&self, name: &str) -> Result<Self, Missing> {
        let path = self.path.join(name);
        let fd = open(&self.fd, Path::new(name), OFlags::DIRECTORY)
            .map_err(|errno| missing(&path, errno))?;
        Ok(Self { fd, path })
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn file(&self, name: &str) -> Result<File, Missing> {
        open(&self.fd, Path::new(name), OFlags::empty())
            .map(File::from)
            .map_err(|errno| missing(&self.path.join(name), errno))
    }

    /// The whole of a small file.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, Missing> {
        // Nearly all files fit, so that two reads are enough.
        let mut text = Vec::with_capacity(1024);
        let failed = |error| missing_io(&self.path.join(name), &error);
        self.file(name)?.take(FILE_MAX).read_to_end(&mut text).map_err(failed)?;
        Ok(text)
    }

    /// A file of one record as a value.
    pub(crate) fn parse<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, Missing> {
        let mut record = [0; RECORD_MAX];
        let failed = |error| missing_io(&self.path.join(name), &error);
        let length = self.file(name)?.read(&mut record).map_err(failed)?;
        let value = match record.get(..length).filter(|_| length < RECORD_MAX) {
            Some(text) => parse(text),
            None => parse(&self.read(name)?),
        };
        value.ok_or_else(|| {
            let path = self.path.join(name);
            Missing::unreadable(format_args!("{} makes no sense", path.display()))
        })
    }

    /// A file that this kernel may lack: what is not there although its directory is, is no file
    /// of this kernel.
    pub(super) fn parse_optional<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, Missing> {
        self.parse(name, parse).map_err(|why| match why {
            Missing::Vanished if self.has_sibling(name) => Missing::NotOnThisKernel,
            why => why,
        })
    }

    /// Every line of a file that may be long.
    pub(super) fn lines(&self, name: &str, mut visit: impl FnMut(&[u8])) -> Result<(), Missing> {
        let failed = |error| missing_io(&self.path.join(name), &error);
        let mut reader = BufReader::with_capacity(64 << 10, self.file(name)?).take(LINES_MAX);
        let mut line = Vec::new();
        loop {
            line.clear();
            if (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line).map_err(failed)? == 0 {
                return Ok(());
            }
            visit(line.strip_suffix(b"\n").unwrap_or(&line));
        }
    }

    /// Target of a link.
    pub(super) fn link<'b>(
        &self,
        name: &str,
        buffer: &'b mut [MaybeUninit<u8>],
    ) -> Result<&'b [u8], Missing> {
        let (target, _) = readlinkat_raw(&self.fd, name, buffer)
            .map_err(|errno| missing(&self.path.join(name), errno))?;
        Ok(target)
    }

    /// The entries of a directory whose names are numbers, lowest first, at most so many; and
    /// whether there are more.
    pub(super) fn numbers(&self, name: &str, most: usize) -> Result<(Vec<u32>, bool), Missing> {
        let dir = self.dir(name)?;
        let mut numbers = Vec::new();
        let mut more = false;
        for_each_number(&dir.fd, |number, _| {
            more = numbers.len() >= most;
            if more {
                return ControlFlow::Break(());
            }
            numbers.push(number);
            ControlFlow::Continue(())
        })
        .map_err(|errno| missing(&dir.path, errno))?;
        numbers.sort_unstable();
        Ok((numbers, more))
    }

    fn has_sibling(&self, name: &str) -> bool {
        let parent = Path::new(name).parent().unwrap_or(Path::new(""));
        open(&self.fd, &parent.join("stat"), OFlags::empty()).is_ok()
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> Self {
        dir.fd
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Visits the entries of an open directory whose names are numbers, in the directory's order, which
/// in `/proc` is ascending.
pub(super) fn for_each_number(
    dir: impl AsFd,
    mut visit: impl FnMut(u32, &std::ffi::CStr) -> ControlFlow<()>,
) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut entries = RawDir::new(dir.as_fd(), &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        let number = parse::number(name.to_bytes()).and_then(|number| u32::try_from(number).ok());
        if let Some(number) = number
            && visit(number, name).is_break()
        {
            break;
        }
    }
    Ok(())
}

fn open(dir: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC | flags, Mode::empty())
}

fn missing_io(path: &Path, error: &io::Error) -> Missing {
    match Errno::from_io_error(error) {
        Some(errno) => missing(path, errno),
        None => Missing::unreadable(format_args!("{}: {error}", path.display())),
    }
}

/// Why a read below `/proc/PID` failed: what is not there any more has vanished.
pub(super) fn missing(path: &Path, errno: Errno) -> Missing {
    files::reason(path, errno, Missing::Vanished, privilege::READ_PROCESSES)
}
