//! Archives in the format that the kernel unpacks at boot: cpio, "newc"
//! (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Folders and regular files are all that a guest's first file system needs; devices come from
//! devtmpfs. The kernel takes several archives one after another, each with its own end.

use std::io::{self, Write};

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;

/// The name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// An archive that is being written.
pub(super) struct Archive<W> {
    to: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    /// An archive with nothing in it.
    pub(super) const fn new(to: W) -> Self {
        Self { to, entries: 0 }
    }

    /// Adds a folder by its absolute path; those above it come first.
    pub(super) fn folder(&mut self, name: &str) -> io::Result<()> {
        self.entry(relative(name), FOLDER, &[])
    }

    /// Adds a file that anybody may read.
    pub(super) fn file(&mut self, name: &str, contents: &[u8]) -> io::Result<()> {
        self.entry(relative(name), FILE, contents)
    }

    /// Adds a file that anybody may run.
    pub(super) fn program(&mut self, name: &str, contents: &[u8]) -> io::Result<()> {
        self.entry(relative(name), PROGRAM, contents)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entry(TRAILER, 0, &[])?;
        Ok(self.to)
    }

    /// Header, name and contents, each padded to a multiple of four.
    fn entry(&mut self, name: &str, mode: u32, contents: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let length = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
        let name_size = length(name.len() + 1)?;
        // Inode, mode, uid, gid, links, time, size, device (2), device that it is (2), name, sum.
        let fields = [self.entries, mode, 0, 0, 1, 0, length(contents.len())?]
            .into_iter()
            .chain([0, 0, 0, 0, name_size, 0]);
        let mut header = String::from("070701");
        header.extend(fields.map(|field| format!("{field:08X}")));
        header.push_str(name);
        header.push('\0');
        self.padded(header.as_bytes())?;
        self.padded(contents)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.to.write_all(&[0; 3][..padding])
    }
}

/// Names in an archive begin at the root without saying so.
fn relative(name: &str) -> &str {
    name.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_names_and_contents_are_aligned() {
        let mut archive = Archive::new(Vec::new());
        archive.folder("/bin").expect("a vector takes all");
        archive.program("/bin/x", b"ELF").expect("a vector takes all");
        let bytes = archive.finish().expect("a vector takes all");
        let header = |inode: u32, mode: u32, size: u32, name_size: u32| {
            format!(
                "070701{inode:08X}{mode:08X}{0:08X}{0:08X}{1:08X}{0:08X}{size:08X}{0:032X}{name_size:08X}{0:08X}",
                0, 1
            )
        };
        let mut expected = header(1, FOLDER, 0, 4) + "bin\0\0\0";
        expected += &(header(2, PROGRAM, 3, 6) + "bin/x\0" + "ELF\0");
        expected += &(header(3, 0, 0, 11) + "TRAILER!!!\0\0\0\0");
        assert_eq!(String::from_utf8(bytes).expect("text"), expected);
    }
}
