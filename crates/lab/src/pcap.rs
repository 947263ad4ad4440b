//! What crosses the interfaces of the namespace, as a capture file: pcap with nanoseconds, of raw IP
//! packets (LINKTYPE_RAW), of which the headers are kept.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use crate::ip::Packet;

/// Magic number of a file with nanoseconds, and the link type (tcpdump.org/linktypes.html).
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const LINKTYPE_RAW: u32 = 101;

/// A capture file that is being written.
pub(crate) struct Pcap(BufWriter<File>);

impl Pcap {
    /// A new file; one that is there already is left alone.
    pub(crate) fn create(path: &Path, snaplen: usize) -> io::Result<Self> {
        let mut out = BufWriter::new(File::create_new(path)?);
        let snaplen = u32::try_from(snaplen).map_err(io::Error::other)?;
        // Version 2.4, no time zone, no accuracy.
        for field in [NANOSECONDS, 0x0004_0002, 0, 0, snaplen, LINKTYPE_RAW] {
            out.write_all(&field.to_ne_bytes())?;
        }
        Ok(Self(out))
    }

    /// Adds a packet of which these bytes were captured, at a time since 1970.
    pub(crate) fn add(&mut self, at: Duration, captured: &[u8]) -> io::Result<()> {
        let whole = Packet::of(captured).map_or(0, |packet| packet.length);
        let whole = u32::try_from(whole).map_err(io::Error::other)?;
        let kept = u32::try_from(captured.len()).map_err(io::Error::other)?;
        let seconds = u32::try_from(at.as_secs()).map_err(io::Error::other)?;
        for field in [seconds, at.subsec_nanos(), kept, whole.max(kept)] {
            self.0.write_all(&field.to_ne_bytes())?;
        }
        self.0.write_all(captured)
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}
