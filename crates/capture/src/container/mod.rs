//! Packets out of a stream of bytes: pcap and pcapng, plain or compressed with gzip, zstd or LZ4.
//!
//! A [`Reader`] pulls bytes from any [`Read`] through one buffer, so a pipe will do, and so will a file
//! larger than memory or one that is still being written. The two formats are parsers over the part of
//! the stream that is in the buffer (`pcap`, `pcapng`): each says what lies at its beginning, or how
//! many bytes it needs to say so. `source` undoes compression.
//!
//! Left out: what is not a packet or needed to read one (name resolution, keys, comments, the system's
//! journal), and the formats of other programs.

mod buffer;
mod damage;
mod link_type;
mod pcap;
mod pcapng;
mod resolution;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

use crate::warning::{Problem, Warnings};
use buffer::{Buffer, Filled};
use source::Source;

pub use link_type::LinkType;

/// The buffer at first: what read(2) has copied is still in a second-level cache when it is looked at. 1 MiB
/// takes 4 % more of the time of all.
const BUFFER: usize = 1 << 18;

/// Longest record that is read, and what the buffer can grow to. tcpdump writes none above 256 KiB;
/// a longer one is taken for damage.
pub(crate) const MAX_RECORD: usize = 16 << 20;

/// A packet as it lies in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When it was captured, in nanoseconds since 1970, UTC.
    pub time_ns: i64,
    /// Its number in the capture, counted from 1, as other programs count packets.
    pub record: u64,
    /// Where its record begins, in bytes from the beginning of the capture (of what it decompresses to).
    pub offset: u64,
    /// The interface that it was captured on, counted over all sections; 0 in pcap.
    pub interface: u32,
    /// How it begins.
    pub link: LinkType,
    /// What was captured of it.
    pub captured: &'a [u8],
    /// Its length on the wire.
    pub original_len: u32,
}

/// Why a stream cannot be read as a capture.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Reading failed.
    #[error("reading the capture failed at byte {offset}")]
    Read {
        /// In bytes from the beginning of the capture.
        offset: u64,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// There are not even the four bytes by which a capture is known. One that is still being written
    /// may have them later.
    #[error("{bytes} bytes are too few for a capture")]
    TooShort {
        /// How many there are.
        bytes: usize,
    },
    /// It begins like no capture.
    #[error("neither pcap nor pcapng: it begins with {}", Hex(*.magic))]
    NotACapture {
        /// Its first bytes (of what it decompresses to).
        magic: [u8; 4],
    },
    /// It is compressed so that it cannot be read on when it has grown.
    #[error("compressed with {format}, it can only be read when it is complete")]
    CannotGrow {
        /// What it is compressed with.
        format: &'static str,
    },
    /// It is compressed, and cannot be decompressed at all.
    #[error("cannot be decompressed: {message}")]
    Compression {
        /// What the decompressor says.
        message: String,
    },
}

/// Reads packets from a capture. See the module's text.
#[derive(Debug)]
pub struct Reader<R: Read> {
    source: Source<R>,
    buffer: Buffer,
    format: Format,
    warnings: Warnings,
    records: u64,
}

/// What a parser says of the bytes at the beginning of its window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A packet.
    Packet(Found),
    /// So many bytes hold nothing of interest.
    Pass(usize),
    /// It takes so many bytes to tell; never more than [`MAX_RECORD`].
    Need(usize),
}

/// A packet in the window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    time_ns: i64,
    interface: u32,
    link: LinkType,
    data: Range<usize>,
    original_len: u32,
    /// Length of its record.
    whole: usize,
}

/// What a parser is given beside its window.
pub(crate) struct Context<'a> {
    /// Where the window begins.
    offset: u64,
    /// The packet before.
    record: u64,
    /// No more bytes came when they were last asked for.
    ended: bool,
    warnings: &'a mut Warnings,
}

#[derive(Debug)]
enum Format {
    Pcap(pcap::Parser),
    Pcapng(pcapng::Parser),
}

impl<R: Read> Reader<R> {
    /// Begins to read a capture.
    ///
    /// # Errors
    /// If reading fails, or the stream is no capture.
    pub fn new(read: R) -> Result<Self, ContainerError> {
        Self::with_buffer(read, BUFFER)
    }

    /// The same with a buffer of another size, which records that are longer still make grow.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_buffer(read: R, bytes: usize) -> Result<Self, ContainerError> {
        Self::begin(Source::new(read)?, bytes)
    }

    /// The same with a capture that is still being written. Where its end is for now, `read` must say
    /// `WouldBlock`, which is taken for no end.
    ///
    /// # Errors
    /// As [`Self::new`], and if it is compressed with anything but gzip.
    pub fn growing(read: R, bytes: usize) -> Result<Self, ContainerError> {
        let source = Source::new(read)?;
        match source.cannot_grow() {
            Some(format) => Err(ContainerError::CannotGrow { format }),
            None => Self::begin(source, bytes),
        }
    }

    fn begin(mut source: Source<R>, bytes: usize) -> Result<Self, ContainerError> {
        let mut buffer = Buffer::new(bytes.clamp(64, MAX_RECORD));
        let mut warnings = Warnings::default();
        while buffer.window().len() < 4 {
            if buffer.fill(4, 0, &mut source, &mut warnings)? == Filled::Ended {
                return Err(too_short(&buffer, &warnings));
            }
        }
        let magic = *buffer.window().first_chunk().expect("four bytes are there");
        let format = Format::of(magic).ok_or(ContainerError::NotACapture { magic })?;
        Ok(Self { source, buffer, format, warnings, records: 0 })
    }

    /// The next packet, or `None` if there is none (yet): a capture that is still being written
    /// ([`Self::growing`]) can be asked again later.
    ///
    /// # Errors
    /// If reading fails. What is wrong with the bytes is a warning.
    #[inline(always)]
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, ContainerError> {
        let sound = match &mut self.format {
            Format::Pcap(parser) => parser.sound(self.buffer.window()),
            Format::Pcapng(_) => None,
        };
        if let Some(found) = sound {
            return Ok(Some(self.packet(found)));
        }
        let found = self.find()?;
        Ok(found.map(|found| self.packet(found)))
    }

    /// Reads on until there is a packet in the window, or no more for now.
    #[inline(never)]
    fn find(&mut self) -> Result<Option<Found>, ContainerError> {
        loop {
            let context = Context {
                offset: self.buffer.offset(),
                record: self.records,
                ended: self.buffer.ended(),
                warnings: &mut self.warnings,
            };
            let step = match &mut self.format {
                Format::Pcap(parser) => parser.step(self.buffer.window(), context),
                Format::Pcapng(parser) => parser.step(self.buffer.window(), context),
            };
            match step {
                Step::Packet(found) => return Ok(Some(found)),
                Step::Pass(bytes) => self.buffer.pass(bytes),
                Step::Need(bytes) => {
                    let knew = self.buffer.ended();
                    let Self { source, warnings, records, .. } = self;
                    let filled = self.buffer.fill(bytes, *records, source, warnings)?;
                    // That it has ended is news for the parser once.
                    if filled == Filled::Ended && knew {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Takes a packet out of the window.
    #[inline(always)]
    fn packet(&mut self, found: Found) -> Packet<'_> {
        let offset = self.buffer.offset();
        self.records += 1;
        let record = self.buffer.take(found.whole);
        Packet {
            time_ns: found.time_ns,
            record: self.records,
            offset,
            interface: found.interface,
            link: found.link,
            captured: record.get(found.data).unwrap_or_default(),
            original_len: found.original_len,
        }
    }

    /// Packets so far.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// What was wrong so far.
    #[must_use]
    pub const fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// The name of an interface, if the capture says it.
    #[must_use]
    pub fn interface_name(&self, interface: u32) -> Option<&str> {
        match &self.format {
            Format::Pcap(_) => None,
            Format::Pcapng(parser) => parser.interface_name(interface),
        }
    }

    /// Packets that the capturing program says it lost, if it says so: any missing packet may be one
    /// of them. pcapng only.
    #[must_use]
    pub fn lost_packets(&self) -> Option<u64> {
        match &self.format {
            Format::Pcap(_) => None,
            Format::Pcapng(parser) => parser.lost_packets(),
        }
    }

    /// What was wrong with the whole capture, now that no more will be read: an end inside a record is
    /// only now known to be one.
    #[must_use]
    pub fn finish(mut self) -> Warnings {
        let (offset, bytes) = (self.buffer.offset(), self.buffer.window().len() as u64);
        let damage = match &self.format {
            Format::Pcap(parser) => parser.damage(),
            Format::Pcapng(parser) => parser.damage(),
        };
        if let Some(from) = damage.since() {
            let bytes = offset + bytes - from;
            self.warnings.push(self.records, from, Problem::PassedOver { bytes });
        } else if bytes > 0 {
            self.warnings.push(self.records + 1, offset, Problem::EndsInRecord { bytes });
        }
        self.warnings
    }
}

fn too_short(buffer: &Buffer, warnings: &Warnings) -> ContainerError {
    match warnings.listed().first().map(|warning| &warning.what) {
        Some(Problem::Compression { message }) => {
            ContainerError::Compression { message: message.clone() }
        }
        _ => ContainerError::TooShort { bytes: buffer.window().len() },
    }
}

impl Format {
    fn of(magic: [u8; 4]) -> Option<Self> {
        if magic == pcapng::SECTION.to_le_bytes() {
            return Some(Self::Pcapng(pcapng::Parser::default()));
        }
        pcap::Parser::of(magic).map(Self::Pcap)
    }
}

/// Whose numbers are whose: the writer's byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    #[default]
    Little,
    Big,
}

impl ByteOrder {
    /// The number at an offset; 0 if it is not there.
    #[inline]
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let number = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        match self {
            Self::Little => u32::from_le_bytes(number),
            Self::Big => u32::from_be_bytes(number),
        }
    }

    /// The number at an offset; 0 if it is not there.
    #[inline]
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let number = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        match self {
            Self::Little => u16::from_le_bytes(number),
            Self::Big => u16::from_be_bytes(number),
        }
    }

    /// The number at an offset; 0 if it is not there.
    pub(crate) fn u64(self, bytes: &[u8], at: usize) -> u64 {
        let (one, two) = (u64::from(self.u32(bytes, at)), u64::from(self.u32(bytes, at + 4)));
        match self {
            Self::Little => two << 32 | one,
            Self::Big => one << 32 | two,
        }
    }
}

struct Hex([u8; 4]);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a:02x} {b:02x} {c:02x} {d:02x}")
    }
}
