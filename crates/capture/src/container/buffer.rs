//! The one buffer: a window that moves over a stream of bytes.

use std::io::Read;

use super::source::Source;
use super::{ContainerError, MAX_RECORD};
use crate::warning::Warnings;

/// A window over a stream. It grows when a record does not fit, to [`MAX_RECORD`] at most.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Where `start` is in the stream.
    offset: u64,
    ended: bool,
}

/// Whether bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    More,
    Ended,
}

impl Buffer {
    pub(super) fn new(size: usize) -> Self {
        Self { bytes: vec![0; size], start: 0, end: 0, offset: 0, ended: false }
    }

    #[inline]
    pub(super) fn window(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    #[inline]
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether no bytes came when they were last asked for.
    #[inline]
    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    #[inline]
    pub(super) fn pass(&mut self, bytes: usize) {
        let bytes = bytes.min(self.end - self.start);
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Passes over so many bytes and lends them until the next call.
    #[inline]
    pub(super) fn take(&mut self, bytes: usize) -> &[u8] {
        let from = self.start;
        self.pass(bytes);
        self.bytes.get(from..self.start).unwrap_or_default()
    }

    /// Reads once, with room for a window of `wanted` bytes, behind so many records.
    pub(super) fn fill<R: Read>(
        &mut self,
        wanted: usize,
        records: u64,
        source: &mut Source<R>,
        warnings: &mut Warnings,
    ) -> Result<Filled, ContainerError> {
        self.make_room(wanted.min(MAX_RECORD));
        let offset = self.offset + (self.end - self.start) as u64;
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        let got = source.read(room, records, offset, warnings)?;
        self.end += got.min(room.len());
        self.ended = got == 0;
        Ok(if self.ended { Filled::Ended } else { Filled::More })
    }

    fn make_room(&mut self, wanted: usize) {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        // Something must fit, or a full window would look like the end of the stream.
        let wanted = wanted.max(self.end + 1);
        if self.bytes.len() < wanted {
            let size = wanted.next_power_of_two();
            // By its own reckoning a vector may take more than it needs.
            self.bytes.reserve_exact(size - self.bytes.len());
            self.bytes.resize(size, 0);
        }
    }
}
