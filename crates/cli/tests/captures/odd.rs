//! Captures that are cut, corrupt or hostile. Each ends in a report that names what is wrong with its
//! record and offset, and with the status that its sound part deserves.

use serde_json::Value;

use super::common::run;
use super::sample::{
    block, blocks, connection, flipped, gzip, half, inserted, interface, long, lz4, pcapng,
    records, section, with, zstd,
};

/// What is said of a capture: its status, how many handshakes were established, and what is wrong.
fn said(capture: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("odd");
    std::fs::write(&path, capture).expect("written");
    let path = path.to_str().expect("UTF-8");
    let ran = run(&["pcap", path, "--json"]);
    let text = run(&["pcap", path]);
    assert_eq!((text.status, &text.stderr), (ran.status, &ran.stderr));
    if ran.status == 64 {
        assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("", 1));
        return vec!["64".to_owned(), ran.stderr.trim_end().replace(path, "odd")];
    }
    assert_eq!(ran.stderr, "");
    let summary: Value =
        ran.stdout.lines().last().map(serde_json::from_str).expect("a line").expect("JSON");
    let mut said =
        vec![format!("{}, {} established", ran.status, summary["outcomes"]["established"])];
    for warning in summary["warnings"].as_array().expect("a list") {
        let what = warning["what"].as_str().expect("a text");
        said.push(format!("record {}, byte {}: {what}", warning["record"], warning["offset"]));
    }
    let is_damaged = said.len() > 1;
    assert_eq!(text.stdout.contains("damaged"), is_damaged, "{}", text.stdout);
    if let Some(link) = summary["unread_link"]["text"].as_str() {
        assert!(text.stdout.contains(&format!("of link type {link}, which is not read")));
        said.push(format!("link type {link}"));
    }
    said
}

fn check(cases: &[(&str, Vec<u8>, &[&str])]) {
    let mut differences = String::new();
    for (name, capture, expected) in cases {
        let found = said(capture);
        if found != *expected {
            differences += &format!("{name}: {found:#?}\n");
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn odd_pcap_files() {
    let [first, second, third, end] = records();
    let whole = connection();
    let ip = first + 16 + 14;
    let tcp = ip + 20;
    check(&[
        ("whole", whole.clone(), &["0, 1 established"]),
        ("empty", Vec::new(), &["64", "halfopen: odd: 0 bytes are too few for a capture"]),
        (
            "three bytes",
            whole[..3].to_vec(),
            &["64", "halfopen: odd: 3 bytes are too few for a capture"],
        ),
        (
            "no capture",
            b"#!/bin/sh".to_vec(),
            &["64", "halfopen: odd: neither pcap nor pcapng: it begins with 23 21 2f 62"],
        ),
        (
            "a part of the file's header",
            whole[..10].to_vec(),
            &[
                "3, 0 established",
                "record 1, byte 0: the capture ends inside a record, of which it has 10 bytes",
            ],
        ),
        ("no record", whole[..first].to_vec(), &["3, 0 established"]),
        (
            "cut inside a record's header",
            whole[..third + 5].to_vec(),
            &[
                "3, 0 established",
                "record 3, byte 172: the capture ends inside a record, of which it has 5 bytes",
            ],
        ),
        (
            "cut inside a record",
            whole[..end - 1].to_vec(),
            &[
                "3, 0 established",
                "record 3, byte 172: the capture ends inside a record, of which it has 69 bytes",
            ],
        ),
        (
            "noise between two records",
            inserted(second, &[0xee; 100]),
            &[
                "0, 1 established",
                "record 1, byte 98: no record can be read here; 100 bytes passed over",
            ],
        ),
        (
            "noise at the end",
            inserted(end, &[0; 1000]),
            &[
                "0, 1 established",
                "record 3, byte 242: no record can be read here; 1000 bytes passed over",
            ],
        ),
        (
            "a record of 4 GiB",
            with(second + 8, &[0xff; 4]),
            &[
                "0, 1 established",
                "record 1, byte 98: no record can be read here; 74 bytes passed over",
            ],
        ),
        (
            "more captured than there was",
            with(second + 12, &[1, 0, 0, 0]),
            &["0, 1 established", "record 2, byte 98: 58 bytes captured of a packet of 1"],
        ),
        ("a snapshot length of 0", with(16, &[0; 4]), &["0, 1 established"]),
        (
            "a snapshot length of 1",
            with(16, &[1, 0, 0, 0]),
            &[
                "0, 1 established",
                "record 1, byte 24: 58 bytes captured with a snapshot length of 1",
                "record 2, byte 98: 58 bytes captured with a snapshot length of 1",
                "record 3, byte 172: 54 bytes captured with a snapshot length of 1",
            ],
        ),
        ("a snapshot length of 4 GiB", with(16, &[0xff; 4]), &["0, 1 established"]),
        (
            "a fraction of more than a second",
            with(second + 4, &[0, 0, 0, 0x7f]),
            &[
                "0, 1 established",
                "record 2, byte 98: the fraction of a second, 2130706432, is a second or more",
            ],
        ),
        (
            "an empty record",
            inserted(second, &[&1_700_000_000_u32.to_le_bytes()[..], &[0; 12]].concat()),
            &[
                "0, 1 established",
                "record 1, byte 98: no record can be read here; 16 bytes passed over",
            ],
        ),
        ("the year 2106", with(third, &[0xff; 4]), &["1, 0 established"]),
        ("the year 1970", with(third, &[0; 4]), &["0, 1 established"]),
        (
            "a link type that is not read",
            with(20, &[253, 0, 0, 0]),
            &["3, 0 established", "link type 253 (NETLINK)"],
        ),
        (
            "a link type that is none",
            with(20, &[0xff, 0xff, 0, 0]),
            &["3, 0 established", "link type 65535"],
        ),
        (
            "IP version 9",
            with(ip, &[0x95]),
            &["0, 1 established", "record 1, byte 24: the IP header has an impossible version"],
        ),
        (
            "an IPv4 header of 16 bytes",
            with(ip, &[0x44]),
            &["0, 1 established", "record 1, byte 24: the IPv4 header has an impossible length"],
        ),
        (
            "an IPv4 header longer than its packet",
            with(ip, &[0x4f]),
            &["0, 1 established", "record 1, byte 24: the IPv4 header has an impossible length"],
        ),
        (
            "an IPv4 packet longer than the frame",
            with(ip + 2, &[0xff, 0xff]),
            &["0, 1 established"],
        ),
        (
            "a TCP header of 12 bytes",
            with(tcp + 12, &[0x30]),
            &["0, 1 established", "record 1, byte 24: the TCP header has an impossible length"],
        ),
        (
            "a TCP header longer than its packet",
            with(tcp + 12, &[0xf0]),
            &["0, 1 established", "record 1, byte 24: the TCP header has an impossible length"],
        ),
        ("a TCP option of length 0", with(tcp + 20, &[2, 0]), &["0, 1 established"]),
        ("a TCP option longer than the header", with(tcp + 20, &[2, 255]), &["0, 1 established"]),
        (
            "IPv6 headers that never end",
            with(ip - 2, &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 60]),
            &["0, 1 established", "record 1, byte 24: the packet is shorter than its headers"],
        ),
    ]);
}

#[test]
fn odd_pcapng_files() {
    let whole = pcapng(&[]);
    let first = section().len() + interface(&[]).len();
    let second = first + blocks()[0].len();
    let packet = &blocks()[1];
    let changed = |at: usize, bytes: &[u8]| {
        let mut block = packet.clone();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        pcapng(&block)
    };
    let of_interface =
        |options: &[u8]| [&section(), &interface(options), &blocks().concat()[..]].concat();
    check(&[
        ("whole", whole.clone(), &["0, 1 established"]),
        (
            "a part of the section's header",
            whole[..10].to_vec(),
            &[
                "3, 0 established",
                "record 1, byte 0: the capture ends inside a record, of which it has 10 bytes",
            ],
        ),
        ("no packet", whole[..first].to_vec(), &["3, 0 established"]),
        (
            "cut inside a block",
            whole[..whole.len() - 1].to_vec(),
            &[
                "3, 0 established",
                "record 3, byte 232: the capture ends inside a record, of which it has 87 bytes",
            ],
        ),
        (
            "cut inside a block's header",
            whole[..second + 6].to_vec(),
            &[
                "3, 0 established",
                "record 2, byte 140: the capture ends inside a record, of which it has 6 bytes",
            ],
        ),
        (
            "noise between two blocks",
            pcapng(&[0xee; 100]),
            &[
                "0, 1 established",
                "record 1, byte 140: no record can be read here; 100 bytes passed over",
            ],
        ),
        (
            "a byte order that is none",
            {
                let mut file = whole.clone();
                file[8..12].fill(7);
                file
            },
            &["0, 1 established"],
        ),
        (
            "a block of 4 GiB",
            changed(4, &[0xfc, 0xff, 0xff, 0xff]),
            &[
                "0, 1 established",
                "record 1, byte 140: no record can be read here; 92 bytes passed over",
            ],
        ),
        (
            "a block of 8 bytes",
            changed(4, &[8, 0, 0, 0]),
            &[
                "0, 1 established",
                "record 1, byte 140: no record can be read here; 92 bytes passed over",
            ],
        ),
        (
            "a block of 13 bytes",
            changed(4, &[13, 0, 0, 0]),
            &[
                "0, 1 established",
                "record 1, byte 140: no record can be read here; 92 bytes passed over",
            ],
        ),
        (
            "two lengths",
            changed(packet.len() - 4, &[0, 0, 0, 0]),
            &[
                "0, 1 established",
                "record 1, byte 140: a block says 92 bytes at its beginning and 0 at its end",
            ],
        ),
        (
            "an interface that is not described",
            changed(8, &[9, 0, 0, 0]),
            &[
                "0, 1 established",
                "record 1, byte 140: a packet's interface 9 is not described; packet left out",
            ],
        ),
        (
            "a packet longer than its block",
            changed(20, &[0xff; 4]),
            &[
                "0, 1 established",
                "record 2, byte 140: 4294967295 bytes captured in a record with room for 60",
            ],
        ),
        ("the year 584554", changed(12, &[0xff; 8]), &["2, 1 established"]),
        (
            "a block too short for a packet",
            pcapng(&block(6, &[0; 8])),
            &["0, 1 established", "record 1, byte 140: a block of type 0x6 is too short"],
        ),
        (
            "a block that nobody knows",
            pcapng(&block(0xbad_cafe, &[0xff; 64])),
            &["0, 1 established"],
        ),
        (
            "a section of version 9",
            pcapng(&block(
                0x0a0d_0d0a,
                &[&[0x4d, 0x3c, 0x2b, 0x1a, 9, 0, 0, 0][..], &[0xff; 8]].concat(),
            )),
            &[
                "3, 0 established",
                "record 1, byte 140: a section of version 9, which is not known; read like version 1",
                "record 1, byte 168: a packet's interface 0 is not described; packet left out",
                "record 1, byte 260: a packet's interface 0 is not described; packet left out",
            ],
        ),
        ("options without an end", of_interface(&[2, 0, 0xff, 0xff]), &["0, 1 established"]),
        (
            "64 KiB of options",
            of_interface(&[&[1, 0, 0xfc, 0xff][..], &[b'x'; 0xfffc]].concat()),
            &["0, 1 established"],
        ),
        (
            "units that are too fine",
            of_interface(&[9, 0, 1, 0, 99, 0, 0, 0]),
            &[
                "0, 1 established",
                "record 0, byte 28: an interface's options cannot be read; the usual values are taken",
            ],
        ),
        (
            "5000 interfaces",
            pcapng(&interface(&[]).repeat(5000)),
            &[
                "0, 1 established",
                "record 1, byte 82040: more interfaces than are kept; their packets are left out",
            ],
        ),
    ]);
}

#[test]
fn odd_compressed_files() {
    let long = long();
    check(&[
        ("gzip", gzip(&long), &["0, 2000 established"]),
        (
            "gzip, its half",
            half(gzip(&long)),
            &[
                "0, 1002 established",
                "record 4009, byte 428383: decompression stops here: the compressed data ends too early",
                "record 4010, byte 428375: the capture ends inside a record, of which it has 8 bytes",
            ],
        ),
        (
            "gzip, corrupt",
            flipped(gzip(&long)),
            &[
                "0, 546 established",
                "record 2183, byte 232010: decompression stops here: corrupt deflate stream",
                "record 2184, byte 231942: the capture ends inside a record, of which it has 68 bytes",
            ],
        ),
        (
            "gzip, its first bytes",
            gzip(&long)[..20].to_vec(),
            &[
                "3, 0 established",
                "record 0, byte 8: decompression stops here: the compressed data ends too early",
                "record 1, byte 0: the capture ends inside a record, of which it has 8 bytes",
            ],
        ),
        (
            "gzip and more",
            [&gzip(&long)[..], b"more"].concat(),
            &[
                "0, 2000 established",
                "record 8000, byte 865024: decompression stops here: the compressed data ends too early",
            ],
        ),
        ("zstd", zstd(&long), &["0, 2000 established"]),
        (
            "zstd, its half",
            half(zstd(&long)),
            &[
                "0, 599 established",
                "record 2398, byte 262144: decompression stops here: the compressed data ends too early",
                "record 2399, byte 262085: the capture ends inside a record, of which it has 59 bytes",
            ],
        ),
        (
            "zstd, corrupt",
            flipped(zstd(&long)),
            &[
                "0, 599 established",
                "record 2398, byte 262144: decompression stops here: Failed to parse block header: DecodeSequenceError(ExtraBits { bits_remaining: 3761 })",
                "record 2399, byte 262085: the capture ends inside a record, of which it has 59 bytes",
            ],
        ),
        (
            "zstd, its first bytes",
            zstd(&long)[..20].to_vec(),
            &["64", "halfopen: odd: cannot be decompressed: the compressed data ends too early"],
        ),
        ("lz4", lz4(&long), &["0, 2000 established"]),
        (
            "lz4, its half",
            half(lz4(&long)),
            &[
                "0, 899 established",
                "record 3596, byte 393216: decompression stops here: the compressed data ends too early",
                "record 3597, byte 393187: the capture ends inside a record, of which it has 29 bytes",
            ],
        ),
        (
            "lz4, corrupt",
            flipped(lz4(&long)),
            &[
                "0, 899 established",
                "record 3596, byte 393216: decompression stops here: DecompressionError(OffsetOutOfBounds)",
                "record 3597, byte 393187: the capture ends inside a record, of which it has 29 bytes",
            ],
        ),
        (
            "lz4, its first bytes",
            lz4(&long)[..20].to_vec(),
            &["64", "halfopen: odd: cannot be decompressed: the compressed data ends too early"],
        ),
        (
            "gzip in gzip",
            gzip(&gzip(&long)),
            &["64", "halfopen: odd: neither pcap nor pcapng: it begins with 1f 8b 08 00"],
        ),
    ]);
}
