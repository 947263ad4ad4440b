//! Captures written by hand, whole and damaged.

use std::io::{self, Cursor, Read, Write};

use flate2::{Compression, write::GzEncoder};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError};

use super::*;
use crate::warning::Warning;

/// A packet without borrowed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    time_ns: i64,
    interface: u32,
    link: u32,
    captured: Vec<u8>,
    original_len: u32,
}

fn seen(packet: &Packet<'_>) -> Seen {
    let Packet { time_ns, interface, link, captured, original_len, .. } = *packet;
    Seen { time_ns, interface, link: link.0, captured: captured.to_vec(), original_len }
}

fn read_from(read: impl Read) -> (Vec<Seen>, Warnings) {
    let mut reader = Reader::with_buffer(read, 64).expect("a capture");
    let mut packets = Vec::new();
    let mut end = 0;
    while let Some(packet) = reader.next_packet().expect("reading cannot fail") {
        packets.push(seen(&packet));
        assert_eq!(packet.record, packets.len() as u64);
        assert!(packet.offset >= end, "offsets grow");
        end = packet.offset + packet.captured.len() as u64;
    }
    (packets, reader.finish())
}

fn read(bytes: &[u8]) -> (Vec<Seen>, Warnings) {
    read_from(bytes)
}

/// Reads a capture that is as it should be.
fn read_clean(bytes: &[u8]) -> Vec<Seen> {
    let (packets, warnings) = read(bytes);
    assert_eq!(warnings, Warnings::default());
    packets
}

fn what(warnings: &Warnings) -> Vec<Problem> {
    warnings.listed().iter().map(|warning| warning.what.clone()).collect()
}

const S: i64 = 1_700_000_000;

#[derive(Clone, Copy, Debug)]
struct Order(ByteOrder);

impl Order {
    const BOTH: [Self; 2] = [Self(ByteOrder::Little), Self(ByteOrder::Big)];

    fn u32s(self, numbers: &[u32]) -> Vec<u8> {
        let bytes = |number: &u32| match self.0 {
            ByteOrder::Little => number.to_le_bytes(),
            ByteOrder::Big => number.to_be_bytes(),
        };
        numbers.iter().flat_map(bytes).collect()
    }

    fn u16s(self, numbers: &[u16]) -> Vec<u8> {
        let bytes = |number: &u16| match self.0 {
            ByteOrder::Little => number.to_le_bytes(),
            ByteOrder::Big => number.to_be_bytes(),
        };
        numbers.iter().flat_map(bytes).collect()
    }

    fn pcap(self, magic: u32, snap_len: u32) -> Vec<u8> {
        let head = [self.u32s(&[magic]), self.u16s(&[2, 4]), self.u32s(&[0, 0, snap_len, 1])];
        head.concat()
    }

    fn record(self, fraction: u32, original: u32, captured: &[u8]) -> Vec<u8> {
        let len = u32::try_from(captured.len()).unwrap();
        [self.u32s(&[1_700_000_000, fraction, len, original]), captured.to_vec()].concat()
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = self.u32s(&[u32::try_from(body.len()).unwrap() + 12]);
        [self.u32s(&[kind]), len.clone(), body, len].concat()
    }

    fn section(self) -> Vec<u8> {
        let body = [self.u32s(&[0x1a2b_3c4d]), self.u16s(&[1, 0]), vec![0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = self.u16s(&[code, u16::try_from(value.len()).unwrap()]);
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn interface(self, link: u16, snap_len: u32, options: &[Vec<u8>]) -> Vec<u8> {
        let head = [self.u16s(&[link, 0]), self.u32s(&[snap_len])].concat();
        self.block(1, &[head, options.concat()].concat())
    }

    fn enhanced(self, interface: u32, stamp: u64, original: u32, captured: &[u8]) -> Vec<u8> {
        let (high, low) = (u32::try_from(stamp >> 32).unwrap(), stamp & 0xffff_ffff);
        let len = u32::try_from(captured.len()).unwrap();
        let head = self.u32s(&[interface, high, u32::try_from(low).unwrap(), len, original]);
        self.block(6, &[&head, captured].concat())
    }
}

fn small_pcap() -> Vec<u8> {
    let order = Order(ByteOrder::Little);
    let records = (0..4).map(|n| order.record(n, 100, &vec![7; 20 + n as usize]));
    [vec![order.pcap(0xa1b2_c3d4, 96)], records.collect()].concat().concat()
}

fn small_pcapng() -> Vec<u8> {
    let order = Order(ByteOrder::Little);
    let stamp = 1_700_000_000_000_000;
    let blocks = (0_u8..4)
        .map(|n| order.enhanced(0, stamp + u64::from(n), 100, &vec![7; 21 + usize::from(n)]));
    [vec![order.section(), order.interface(1, 0, &[])], blocks.collect()].concat().concat()
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_resolutions() {
    for order in Order::BOTH {
        for (magic, ns) in [(0xa1b2_c3d4, 5000), (0xa1b2_3c4d, 5)] {
            let bytes = [order.pcap(magic, 96), order.record(5, 100, b"abc")].concat();
            let expected = Seen {
                time_ns: S * 1_000_000_000 + ns,
                interface: 0,
                link: 1,
                captured: b"abc".to_vec(),
                original_len: 100,
            };
            assert_eq!(read_clean(&bytes), [expected]);
        }
        let mut record = order.record(5, 100, b"abc");
        record.splice(16..16, [9; 8]);
        let packets = read_clean(&[order.pcap(0xa1b2_cd34, 0), record].concat());
        assert_eq!(packets[0].captured, b"abc", "the variant with longer headers");
    }
}

#[test]
fn pcapng_is_read_with_sections_interfaces_and_resolutions_mixed() {
    let mut bytes = Vec::new();
    for order in Order::BOTH {
        let micro = order.interface(1, 0, &[order.option(2, b"eth0")]);
        let nano = [order.option(9, &[9]), order.u16s(&[0, 0])];
        let nano = order.interface(113, 0, &nano);
        let offset = if order.0 == ByteOrder::Little {
            100_i64.to_le_bytes()
        } else {
            100_i64.to_be_bytes()
        };
        let binary = [order.option(9, &[0x80 | 10]), order.option(14, &offset)];
        let binary = order.interface(276, 0, &binary);
        let simple = order.block(3, &[&order.u32s(&[2])[..], b"four"].concat());
        let old = [order.u16s(&[0, 0]), order.u32s(&[0, 7000, 3, 90]), b"old".to_vec()].concat();
        let lost = [order.u32s(&[0, 0, 0]), order.option(5, &order.u32s(&[3, 3]))].concat();
        bytes.extend(
            [
                order.section(),
                micro,
                order.block(0xbad, b"who knows"),
                nano,
                binary,
                order.enhanced(1, 5, 50, b"one"),
                order.enhanced(0, 5, 50, b"two"),
                order.enhanced(2, 1536, 50, b"three"),
                simple,
                order.block(2, &old),
                order.block(5, &lost),
            ]
            .concat(),
        );
    }
    let (packets, warnings) = read(&bytes);
    assert_eq!(what(&warnings), [Problem::NoTime]);
    let expected: Vec<_> = [0, 3]
        .into_iter()
        .flat_map(|base| {
            [
                (5, base + 1, 113, &b"one"[..], 50),
                (5000, base, 1, b"two", 50),
                (101_500_000_000, base + 2, 276, b"three", 50),
                (101_500_000_000, base, 1, b"fo", 2),
                (7_000_000, base, 1, b"old", 90),
            ]
        })
        .map(|(time_ns, interface, link, captured, original_len)| Seen {
            time_ns,
            interface,
            link,
            captured: captured.to_vec(),
            original_len,
        })
        .collect();
    assert_eq!(packets, expected);
    let mut reader = Reader::new(&bytes[..]).unwrap();
    while reader.next_packet().unwrap().is_some() {}
    let names = (0..7).map(|number| reader.interface_name(number)).collect::<Vec<_>>();
    assert_eq!(names, [Some("eth0"), None, None, Some("eth0"), None, None, None]);
    assert_eq!(reader.lost_packets(), Some(2 * ((3 << 32) | 3)));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn compressed_captures_are_read_in_one_piece_or_several() {
    let plain = small_pcap();
    let expected = read_clean(&plain);
    for compress in [gzip, lz4, zstd] {
        assert_eq!(read_clean(&compress(&plain)), expected);
        let (one, two) = plain.split_at(50);
        assert_eq!(read_clean(&[compress(one), compress(two)].concat()), expected);
        assert_eq!(read_clean(&[compress(one), compress(&[]), compress(two)].concat()), expected);
    }
    // A frame that zstd's parallel compressors write first.
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..], &zstd(&plain)].concat();
    assert_eq!(read_clean(&skipped), expected);
}

#[test]
fn compressed_captures_that_are_cut_or_changed_end_with_a_warning() {
    let plain = small_pcap();
    let expected = read_clean(&plain);
    for compress in [gzip, lz4, zstd] {
        let whole = compress(&plain);
        for length in 4..whole.len() {
            if let Ok(mut reader) = Reader::new(&whole[..length]) {
                let mut packets = Vec::new();
                while let Some(packet) = reader.next_packet().unwrap() {
                    packets.push(seen(&packet));
                }
                assert_eq!(packets, expected[..packets.len()]);
                let missing = packets.len() < expected.len();
                assert!(!missing || reader.finish().count() > 0, "nothing said of {length}");
            }
        }
        for at in 4..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x11;
            if let Ok(mut reader) = Reader::new(&changed[..]) {
                while reader.next_packet().unwrap().is_some() {}
            }
        }
    }
    let (packets, warnings) = read(&[gzip(&plain), b"trailing".to_vec()].concat());
    assert_eq!((packets, warnings.count()), (expected, 1));
}

/// Zeros deflate to a thousandth of their length.
#[test]
fn what_decompresses_to_very_much_needs_no_memory_for_it() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&small_pcap()).unwrap();
    for _ in 0..6 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let mut reader = Reader::new(Cursor::new(encoder.finish().unwrap())).unwrap();
    while reader.next_packet().unwrap().is_some() {}
    assert_eq!(reader.records(), 4);
    assert!(reader.buffer.window().len() < BUFFER);
    assert_eq!(what(&reader.finish()), [Problem::PassedOver { bytes: 6 << 20 }]);
}

/// Hands out one byte at a time, with interruptions.
struct Trickle<'a>(&'a [u8], bool);

impl Read for Trickle<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let one = room.len().min(1);
        self.0.read(&mut room[..one])
    }
}

#[test]
fn a_pipe_may_hand_out_single_bytes() {
    for bytes in [small_pcap(), small_pcapng(), gzip(&small_pcap()), zstd(&small_pcap())] {
        let expected = read_clean(&bytes);
        assert_eq!(read_from(Trickle(&bytes, false)), (expected, Warnings::default()));
    }
}

/// A file that grows between two reads, once for each part.
struct Growing<'a>(Vec<&'a [u8]>);

impl Read for Growing<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self.0.first_mut() {
            Some([]) => {
                self.0.remove(0);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Some(part) => part.read(room),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

#[test]
fn a_capture_that_is_still_being_written_can_be_asked_again() {
    let members = [gzip(&small_pcap()[..50]), gzip(&small_pcap()[50..])].concat();
    for bytes in [small_pcap(), small_pcapng(), gzip(&small_pcap()), members] {
        let expected = read_clean(&bytes);
        for at in 0..bytes.len() {
            let (one, two) = bytes.split_at(at);
            let begun = Reader::growing(Growing(vec![one, two]), 64);
            let Ok(mut reader) = begun else {
                assert!(matches!(begun, Err(ContainerError::TooShort { .. })));
                continue;
            };
            let mut packets = Vec::new();
            for _ in 0..4 {
                while let Some(packet) = reader.next_packet().unwrap() {
                    packets.push(seen(&packet));
                }
            }
            assert_eq!(packets, expected, "split at {at}");
            assert_eq!(reader.finish(), Warnings::default());
        }
    }
}

#[test]
fn what_is_compressed_so_that_it_shows_at_its_end_is_not_followed() {
    for (bytes, format) in [(zstd(&small_pcap()), "zstd"), (lz4(&small_pcap()), "LZ4")] {
        let error = Reader::growing(&bytes[..], 64).expect_err("it cannot grow").to_string();
        assert_eq!(
            error,
            format!("compressed with {format}, it can only be read when it is complete")
        );
    }
}

#[test]
fn every_prefix_ends_cleanly_and_says_so() {
    for bytes in [small_pcap(), small_pcapng()] {
        let expected = read_clean(&bytes);
        let mut clean = 0;
        for length in 4..bytes.len() {
            let (packets, warnings) = read(&bytes[..length]);
            assert_eq!(packets, expected[..packets.len()]);
            assert!(warnings.count() <= 1);
            clean += u64::from(warnings.count() == 0);
        }
        // Ends between records, and there are not many of these.
        assert!(clean <= 6, "{clean}");
    }
}

/// However one byte changes, reading ends, and no more than two records of four are lost to it.
#[test]
fn every_flipped_byte_ends_cleanly_and_costs_little() {
    for bytes in [small_pcap(), small_pcapng()] {
        let first_record = bytes.len() - small_records(&bytes);
        for at in 4..bytes.len() {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let (packets, warnings) = read(&changed);
                let lost = 4_usize.saturating_sub(packets.len());
                if at >= first_record {
                    assert!(lost <= 2, "byte {at} ^ {flip:#x}: {packets:?} {warnings:?}");
                    // Another block type may be one that is not known here.
                    let type_changed = bytes == small_pcapng() && bytes[at - at % 4..][0] == 6;
                    let said = warnings.count() > 0 || type_changed;
                    assert!(lost == 0 || said, "byte {at} ^ {flip:#x}");
                }
            }
        }
    }
}

fn small_records(bytes: &[u8]) -> usize {
    bytes.len() - if bytes == small_pcap() { 24 } else { 28 + 20 }
}

#[test]
fn odd_records_are_read_with_a_warning() {
    let order = Order(ByteOrder::Little);
    let check = |snap_len, odd: Vec<u8>, expected: Problem| {
        let next = order.record(1, 100, &[1; 30]);
        let bytes = [order.pcap(0xa1b2_c3d4, snap_len), odd, next].concat();
        let (packets, warnings) = read(&bytes);
        assert_eq!(packets.len(), 2);
        assert_eq!(
            warnings.listed(),
            [Warning { record: 1, offset: 24, what: expected }],
            "{packets:?}"
        );
    };
    check(
        32,
        order.record(0, 100, &[1; 64]),
        Problem::LongerThanSnapLength { captured: 64, limit: 32 },
    );
    check(
        96,
        order.record(0, 20, &[1; 64]),
        Problem::LongerThanPacket { captured: 64, original: 20 },
    );
    check(96, order.record(1_500_000, 100, &[1; 64]), Problem::Fraction { value: 1_500_000 });
}

#[test]
fn noise_between_records_is_passed_over() {
    for bytes in [small_pcap(), small_pcapng()] {
        let expected = read_clean(&bytes);
        let (head, records) = bytes.split_at(bytes.len() - small_records(&bytes));
        for noise in [vec![0xee; 77], vec![0; 1000], vec![0xff; 200_000]] {
            let noisy = [head, &noise, records].concat();
            let (packets, warnings) = read(&noisy);
            assert_eq!(packets, expected);
            let passed = Problem::PassedOver { bytes: noise.len() as u64 };
            assert_eq!(what(&warnings), [passed]);
            let (packets, warnings) = read(&[bytes.clone(), noise].concat());
            assert_eq!((packets, warnings.count()), (expected.clone(), 1));
        }
    }
}

#[test]
fn a_record_longer_than_the_buffer_makes_it_grow_to_its_bound() {
    let order = Order(ByteOrder::Little);
    let long = vec![5; 3 << 20];
    let block = order.enhanced(0, 0, 3 << 20, &long);
    let bytes = [order.section(), order.interface(1, 0, &[]), block].concat();
    assert_eq!(read_clean(&bytes)[0].captured, long);
    let absurd = order.u32s(&[6, u32::MAX - 3, 0, 0, 0, 0, 0, 0]);
    let bytes = [small_pcapng(), absurd].concat();
    let mut reader = Reader::new(&bytes[..]).unwrap();
    while reader.next_packet().unwrap().is_some() {}
    assert_eq!(reader.records(), 4);
    assert_eq!(what(&reader.finish()), [Problem::PassedOver { bytes: 32 }]);
}

#[test]
fn damaged_blocks_are_told() {
    let order = Order(ByteOrder::Little);
    let head = [order.section(), order.interface(1, 0, &[])].concat();
    let check = |block: Vec<u8>, expected: &[Problem]| {
        let after = order.enhanced(0, 0, 3, b"end");
        let (packets, warnings) = read(&[head.clone(), block, after].concat());
        assert_eq!(packets.last().map(|packet| &packet.captured[..]), Some(&b"end"[..]));
        assert_eq!(what(&warnings), expected);
    };
    check(order.block(6, &[0; 8]), &[Problem::ShortBlock { kind: 6 }]);
    check(order.enhanced(9, 0, 1, b"x"), &[Problem::UnknownInterface { number: 9 }]);
    check(order.interface(1, 0, &[order.option(9, &[99])]), &[Problem::InterfaceDescription]);
    let mut differs = order.block(0xbad, &[0; 8]);
    differs[16] = 24;
    check(differs, &[Problem::BlockLengths { first: 20, last: 24 }]);
    let many: Vec<_> = (0..5000).map(|_| order.interface(1, 0, &[])).collect();
    check(many.concat(), &[Problem::TooManyInterfaces]);
}

#[test]
fn what_is_no_capture_is_an_error() {
    let error = |bytes: &[u8]| Reader::new(bytes).expect_err("no capture").to_string();
    assert_eq!(error(b""), "0 bytes are too few for a capture");
    assert_eq!(error(b"abc"), "3 bytes are too few for a capture");
    assert_eq!(error(b"#!/bin/sh"), "neither pcap nor pcapng: it begins with 23 21 2f 62");
    assert_eq!(error(&gzip(b"text")), "neither pcap nor pcapng: it begins with 74 65 78 74");
    assert!(error(&[0x1f, 0x8b, 0xff, 0xff, 0, 0]).starts_with("cannot be decompressed"));
    assert!(error(&[0x28, 0xb5, 0x2f, 0xfd, 0xff]).starts_with("cannot be decompressed"));
}

#[test]
fn an_error_of_reading_says_where() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let bytes = small_pcap();
            let part = bytes.get(self.0..30.max(self.0)).unwrap_or_default();
            self.0 += part.len().min(room.len());
            match part.len() {
                0 => Err(io::Error::other("disk on fire")),
                len => {
                    let len = len.min(room.len());
                    room[..len].copy_from_slice(&part[..len]);
                    Ok(len)
                }
            }
        }
    }
    let mut reader = Reader::new(Failing(0)).unwrap();
    let error = reader.next_packet().unwrap_err().to_string();
    assert_eq!(error, "reading the capture failed at byte 30");
}

/// pcap-parser sees the same records.
#[test]
fn another_reader_agrees() {
    let bytes = small_pcap();
    let mut theirs = LegacyPcapReader::new(65536, &bytes[..]).unwrap();
    let mut records = Vec::new();
    loop {
        match theirs.next() {
            Ok((offset, block)) => {
                if let PcapBlockOwned::Legacy(block) = block {
                    let ns =
                        i64::from(block.ts_sec) * 1_000_000_000 + i64::from(block.ts_usec) * 1000;
                    records.push((ns, block.data.to_vec(), block.origlen));
                }
                theirs.consume(offset);
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::Incomplete(_)) => theirs.refill().unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
    let ours: Vec<_> = read_clean(&bytes)
        .into_iter()
        .map(|packet| (packet.time_ns, packet.captured, packet.original_len))
        .collect();
    assert_eq!(ours, records);
}
