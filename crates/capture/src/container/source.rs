//! Where the bytes come from: the stream itself, or what it decompresses to.
//!
//! Each decompressor hands out what it is asked for and keeps no more than its window: 64 KiB for gzip,
//! some 8 MiB for LZ4, and for zstd what the stream asks for, up to 128 MiB (the limit of `zstd -d`
//! too). So a small file that decompresses to terabytes costs time, not memory.
//!
//! A stream that says `WouldBlock` has no more for now, and is asked again later.

use std::fmt;
use std::io::{self, BufReader, Chain, Cursor, ErrorKind, Read, Take};

use flate2::read::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder as Lz4Decoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder as ZstdDecoder};

use super::ContainerError;
use crate::warning::{Problem, Warnings};

/// The stream with the bytes put back that were read to tell what it is.
type Stream<R> = Chain<Take<Cursor<[u8; 4]>>, R>;

/// Compressed bytes that are read at a time: the decompressors ask for as few as three.
const COMPRESSED: usize = 1 << 16;

pub(super) struct Source<R: Read> {
    kind: Kind<R>,
    /// The decompressor found damage, after which it is not asked again.
    damaged: bool,
}

enum Kind<R: Read> {
    Plain(Stream<R>),
    Gzip(Box<MultiGzDecoder<Stream<R>>>),
    Zstd(Box<Zstd<Counted<BufReader<Stream<R>>>>>),
    Lz4(Box<Lz4Decoder<Counted<BufReader<Stream<R>>>>>),
}

impl<R: Read> Source<R> {
    /// Reads as much as tells whether the stream is compressed.
    pub(super) fn new(mut read: R) -> Result<Self, ContainerError> {
        let mut magic = [0; 4];
        let mut got = 0;
        while got < magic.len() {
            match patient(&mut read, magic.get_mut(got..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(ContainerError::TooShort { bytes: got });
                }
                Err(source) => return Err(ContainerError::Read { offset: got as u64, source }),
            }
        }
        let stream = Cursor::new(magic).take(got as u64).chain(read);
        let kind = match magic {
            [0x1f, 0x8b, ..] => Kind::Gzip(Box::new(MultiGzDecoder::new(stream))),
            // Parallel compressors begin with a frame to be skipped, 0x184D2A50 to 0x184D2A5F.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                Kind::Zstd(Box::new(Zstd::new(Counted::new(stream))))
            }
            // The second is the format that the Linux kernel's own tools write.
            [0x04, 0x22, 0x4d, 0x18] | [0x02, 0x21, 0x4c, 0x18] => {
                Kind::Lz4(Box::new(Lz4Decoder::new(Counted::new(stream))))
            }
            _ => Kind::Plain(stream),
        };
        Ok(Self { kind, damaged: false })
    }

    /// What it is compressed with, if that cannot go on after it has come to an end for now. flate2 can:
    /// it keeps its place when the stream says `WouldBlock`.
    pub(super) const fn cannot_grow(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Plain(_) | Kind::Gzip(_) => None,
            Kind::Zstd(_) => Some("zstd"),
            Kind::Lz4(_) => Some("LZ4"),
        }
    }

    /// Reads what there is; 0 if there is nothing (yet).
    pub(super) fn read(
        &mut self,
        room: &mut [u8],
        records: u64,
        offset: u64,
        warnings: &mut Warnings,
    ) -> Result<usize, ContainerError> {
        let result = match &mut self.kind {
            Kind::Plain(stream) => match patient(stream, room) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    return Err(ContainerError::Read { offset, source: error });
                }
                result => result,
            },
            _ if self.damaged => return Ok(0),
            Kind::Gzip(decoder) => patient(decoder, room),
            Kind::Zstd(decoder) => patient(decoder, room),
            Kind::Lz4(decoder) => read_lz4(decoder, room),
        };
        result.or_else(|error| {
            if error.kind() == ErrorKind::WouldBlock {
                return Ok(0);
            }
            self.damaged = true;
            let message = if self.has_ended(&error) {
                "the compressed data ends too early".to_owned()
            } else {
                error.to_string()
            };
            warnings.push(records, offset, Problem::Compression { message });
            Ok(0)
        })
    }

    /// Whether it was the end of the stream that made the decompressor fail.
    fn has_ended(&self, error: &io::Error) -> bool {
        match &self.kind {
            Kind::Plain(_) | Kind::Gzip(_) => error.kind() == ErrorKind::UnexpectedEof,
            Kind::Zstd(decoder) => decoder.read.ended,
            Kind::Lz4(decoder) => decoder.get_ref().ended,
        }
    }
}

fn patient(read: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    loop {
        match read.read(room) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Nothing comes at the end of a frame too; more may follow, unless nothing was read for it.
fn read_lz4<R: Read>(decoder: &mut Lz4Decoder<Counted<R>>, room: &mut [u8]) -> io::Result<usize> {
    loop {
        let before = decoder.get_ref().bytes;
        let got = patient(decoder, room)?;
        if got > 0 || decoder.get_ref().bytes == before {
            return Ok(got);
        }
    }
}

/// zstd frames one after the other. The crate's own reader stops after the first.
struct Zstd<R> {
    read: R,
    decoder: ZstdDecoder,
    inside: bool,
    /// Why there will be no more than what was decompressed already.
    failed: Option<io::Error>,
}

/// An empty block that is the last one of its frame, and a checksum.
const LAST_BLOCK: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];

impl<R: Read> Zstd<Counted<R>> {
    fn new(read: Counted<R>) -> Self {
        Self { read, decoder: ZstdDecoder::new(), inside: false, failed: None }
    }

    /// Ends the frame early. The decoder keeps back as many bytes as later blocks may refer to, some
    /// megabytes, until a frame is complete: so it is given a last block.
    fn give_up(&mut self, error: FrameDecoderError) {
        let last = BlockDecodingStrategy::UptoBlocks(1);
        // If that fails too, there is nothing more to be had.
        let _ = self.decoder.decode_blocks(&LAST_BLOCK[..], last);
        self.failed = Some(io::Error::other(error));
    }

    /// Whether there is another frame.
    fn next_frame(&mut self) -> io::Result<bool> {
        let before = self.read.bytes;
        match self.decoder.reset(&mut self.read) {
            Ok(()) => Ok(true),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let skipped = io::copy(&mut (&mut self.read).take(length.into()), &mut io::sink())?;
                if skipped < u64::from(length) {
                    Err(ErrorKind::UnexpectedEof.into())
                } else {
                    Ok(true)
                }
            }
            Err(_) if self.read.bytes == before => Ok(false),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

impl<R: Read> Read for Zstd<Counted<R>> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(room);
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if self.decoder.is_finished() || !self.inside {
                self.inside = self.next_frame()?;
                if !self.inside {
                    return Ok(0);
                }
                continue;
            }
            let one = BlockDecodingStrategy::UptoBlocks(1);
            if let Err(error) = self.decoder.decode_blocks(&mut self.read, one) {
                self.give_up(error);
            }
        }
    }
}

/// Counts what is read, to tell an end from an end of something.
struct Counted<R> {
    read: R,
    bytes: u64,
    ended: bool,
}

impl<R: Read> Counted<BufReader<R>> {
    fn new(read: R) -> Self {
        Self { read: BufReader::with_capacity(COMPRESSED, read), bytes: 0, ended: false }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let got = self.read.read(room)?;
        self.bytes += got as u64;
        self.ended = got == 0 && !room.is_empty();
        Ok(got)
    }
}

impl<R: Read> fmt::Debug for Source<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Plain(_) => "Plain",
            Kind::Gzip(_) => "Gzip",
            Kind::Zstd(_) => "Zstd",
            Kind::Lz4(_) => "Lz4",
        })
    }
}
