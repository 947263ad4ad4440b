//! Memory of another process, read through `/proc/PID/mem` without stopping it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::dir::Dir;

/// The memory of one process. Reads of what is not mapped or not permitted fail.
#[derive(Debug)]
pub(super) struct Memory(Option<File>);

impl Memory {
    pub(super) fn open(task: &Dir) -> Self {
        Self(task.file("mem").ok())
    }

    /// Fills the buffer from this address on, as far as memory goes; returns how far.
    pub(super) fn read_some(&self, address: u64, buffer: &mut [u8]) -> usize {
        let Some(file) = &self.0 else { return 0 };
        let mut filled = 0;
        // A read ends at each page that is not there, and may end before.
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, address.saturating_add(filled as u64)) {
                Ok(0) | Err(_) => break,
                Ok(read) => filled += read,
            }
        }
        filled
    }

    /// Fills the buffer from this address on, or fails.
    pub(super) fn read(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        self.0.as_ref()?.read_exact_at(buffer, address).ok()
    }
}
