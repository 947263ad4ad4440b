//! Small files of `/proc`, read whole and up to a bound; what cannot be read says why.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use halfopen_evidence::Missing;
use rustix::io::Errno;

/// No file that is read here is longer, but for a list of mounts on a very large host.
const FILE_MAX: u64 = 16 << 20;

/// The text of a file. Bytes that are no UTF-8 are replaced.
pub(crate) fn read(path: &Path) -> Result<String, Missing> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes)) {
        Ok(_) => Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
        Err(error) => Err(missing(path, &error)),
    }
}

/// Why a file could not be read, in the terms of the evidence.
pub(crate) fn missing(path: &Path, error: &io::Error) -> Missing {
    match error.kind() {
        ErrorKind::NotFound => Missing::NotOnThisKernel,
        ErrorKind::PermissionDenied => Missing::needs("root"),
        _ if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Missing::Vanished,
        _ => Missing::unreadable(format_args!("{}: {error}", path.display())),
    }
}
