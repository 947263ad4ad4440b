//! A sound capture in every form, to be cut and changed.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use halfopen_capture::Observed;
use halfopen_capture::script::{self, families};
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};

use super::frame;

/// Three packets of one connection; each record has 16 bytes before the frame, the file 24.
const CONNECTION: &str = "client 0.00 S\nserver 0.01 S.\nclient 0.01 .";
const FIRST: usize = 24;

/// The connection as pcap.
pub(crate) fn connection() -> Vec<u8> {
    frame::file(&script::packets(CONNECTION, families()[0]))
}

/// Where the records of the connection begin, and where the last one ends.
pub(crate) fn records() -> [usize; 4] {
    let file = connection();
    let after = |at: usize| at + 16 + u32_at(&file, at + 8);
    let (second, third) = (after(FIRST), after(after(FIRST)));
    [FIRST, second, third, after(third)]
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
}

/// The connection with other bytes at a place.
pub(crate) fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = connection();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

/// The connection with bytes put in at a place.
pub(crate) fn inserted(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = connection();
    file.splice(at..at, bytes.iter().copied());
    file
}

/// A block of pcapng.
pub(crate) fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 12).expect("short").to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &length].concat()
}

/// The block that begins a section.
pub(crate) fn section() -> Vec<u8> {
    block(0x0a0d_0d0a, &[&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[0xff; 8]].concat())
}

/// An interface of Ethernet with these options.
pub(crate) fn interface(options: &[u8]) -> Vec<u8> {
    block(1, &[&[1, 0, 0, 0, 0, 0, 4, 0][..], options].concat())
}

/// The packets of the connection as blocks.
pub(crate) fn blocks() -> Vec<Vec<u8>> {
    let file = connection();
    let starts = records();
    let block = |at: usize| {
        let length = u32_at(&file, at + 8);
        let us = 1_700_000_000_000_000_u64 + u32_at(&file, at + 4) as u64 / 1000;
        let [high, low] =
            [us >> 32, us & 0xffff_ffff].map(|part| u32::try_from(part).expect("32 bits"));
        let length_32 = u32::try_from(length).expect("short");
        let head = [0, high, low, length_32, length_32].map(u32::to_le_bytes).concat();
        let mut body = [&head, &file[at + 16..at + 16 + length]].concat();
        body.resize(body.len().next_multiple_of(4), 0);
        block(6, &body)
    };
    starts[..3].iter().map(|&at| block(at)).collect()
}

/// The connection as pcapng, with this between the first packet and the second.
pub(crate) fn pcapng(between: &[u8]) -> Vec<u8> {
    let [one, two, three] = &blocks()[..] else { unreachable!("three packets") };
    [&section(), &interface(&[]), one, between, two, three].concat()
}

/// Two thousand connections: more than a block of any compressor.
pub(crate) fn long() -> Vec<u8> {
    let packets: Vec<Observed> = (0..2000_u16)
        .flat_map(|number| {
            let mut ends = families()[0];
            ends.client.set_port(10_000 + number);
            script::packets(&format!("{CONNECTION}\nclient 0.02 P. +{}", number % 300), ends)
        })
        .collect();
    frame::file(&packets)
}

/// Compressed so.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// Compressed so, in blocks of 64 KiB.
pub(crate) fn lz4(bytes: &[u8]) -> Vec<u8> {
    let small = FrameInfo::new().block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(small, Vec::new());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// Compressed so.
pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// The first half of it.
pub(crate) fn half(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() / 2);
    bytes
}

/// With other bytes in its middle.
pub(crate) fn flipped(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() / 2;
    bytes[at..at + 8].fill(0xff);
    bytes
}
