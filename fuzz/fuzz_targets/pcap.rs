//! Captures through the whole command: whatever the bytes, `halfopen pcap` ends with a status that is
//! documented, and nothing that it prints can hurt a terminal.

#![no_main]

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::sync::LazyLock;

use halfopen_diagnose::words::harmless;
use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};

/// The file that is read.
static CAPTURE: LazyLock<File> = LazyLock::new(|| memory("capture"));

/// What standard output goes to.
static PRINTED: LazyLock<File> = LazyLock::new(|| {
    let file = memory("printed");
    rustix::stdio::dup2_stdout(&file).expect("standard output can be replaced");
    file
});

const FORMS: [&[&str]; 5] = [
    &["--verbose"],
    &["--handshakes", "--max-flows", "2"],
    &["--json", "tcp", "and", "not", "port", "1"],
    &["--csv", "-", "--no-tunnels"],
    &["--html", "-"],
];

fuzz_target!(|bytes: &[u8]| {
    rewrite(&CAPTURE, bytes);
    let capture = format!("/proc/self/fd/{}", CAPTURE.as_raw_fd());
    let printed = FORMS.map(|form| {
        rewrite(&PRINTED, b"");
        let arguments = [&["halfopen", "pcap", &capture], form].concat();
        let status = halfopen::run(arguments);
        let mut text = String::new();
        let mut file = &*PRINTED;
        file.rewind().expect("memory can be read again");
        file.read_to_string(&mut text).expect("UTF-8");
        (status, text)
    });
    let status = printed[0].0;
    for ((other, text), form) in printed.iter().zip(FORMS) {
        assert!([0, 1, 2, 3, 64].contains(other), "{form:?} ended with {other}");
        assert_eq!(*other == 64, status == 64, "{form:?}");
        // A table's header may be there already.
        assert!(status != 64 || text.lines().count() <= 1, "{form:?}");
        assert!(status == 64 || !text.is_empty(), "{form:?}");
        for line in text.lines() {
            assert_eq!(harmless(line), line, "{form:?}");
        }
    }
    let of_json = printed[2].1.lines();
    assert!(of_json.clone().all(|line| line.starts_with('{') && line.ends_with('}')));
});

fn memory(name: &str) -> File {
    memfd_create(name, MemfdFlags::CLOEXEC).expect("memory").into()
}

fn rewrite(file: &File, bytes: &[u8]) {
    use std::io::Write;
    let mut file = file;
    file.set_len(0).expect("memory can be cut");
    file.rewind().expect("memory can be written again");
    file.write_all(bytes).expect("memory can be written");
}
