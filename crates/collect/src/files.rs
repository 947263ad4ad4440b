//! Small files of `/proc`, read whole and up to a bound; what cannot be read says why.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use halfopen_evidence::Missing;
use rustix::io::Errno;

use crate::privilege;

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

/// Why a file of this kernel could not be read: what is not there, no kernel of its kind has.
pub(crate) fn missing(path: &Path, error: &io::Error) -> Missing {
    match Errno::from_io_error(error) {
        Some(errno) => reason(path, errno, Missing::NotOnThisKernel, privilege::READ_FILES),
        None => Missing::unreadable(format_args!("{}: {error}", path.display())),
    }
}

/// An error in the terms of the evidence, given what it means that the file is not there, and what
/// would permit to read it.
pub(crate) fn reason(path: &Path, errno: Errno, absent: Missing, needs: &str) -> Missing {
    match errno {
        Errno::NOENT => absent,
        Errno::SRCH => Missing::Vanished,
        Errno::ACCESS | Errno::PERM => Missing::needs(needs),
        other => Missing::unreadable(format_args!("{}: {other}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_not_on_this_kernel_and_others_say_why() {
        let path = Path::new("/x");
        let of = |errno: Errno| missing(path, &errno.into());
        assert_eq!(of(Errno::NOENT), Missing::NotOnThisKernel);
        assert_eq!(of(Errno::SRCH), Missing::Vanished);
        assert_eq!(of(Errno::PERM), Missing::needs("root"));
        let Missing::Unreadable { what } = of(Errno::IO) else { panic!("{:?}", of(Errno::IO)) };
        assert!(what.starts_with("/x: "), "{what}");
    }
}
