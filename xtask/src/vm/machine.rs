//! A guest as qemu runs it: no KVM, no network, no disk, and a time after which it is ended.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::protocol::Record;
use crate::workspace::has_program;

const QEMU: &str = "qemu-system-x86_64";

/// The kernel's console goes to the first serial port. What follows `--` are the arguments of
/// process 1. A panic restarts the machine, which ends qemu.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 -- guest";

/// Lines of the console that are shown of a guest that came to nothing.
const LAST_LINES: usize = 12;

/// What a guest said, and how it came to its end.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Each record, and when it came: the time since qemu was started.
    pub(super) records: Vec<(Duration, Record)>,
    /// How long it all took.
    pub(super) took: Duration,
    /// Whether it was ended because its time was over.
    pub(super) out_of_time: bool,
    /// The last lines of its console.
    pub(super) console: String,
}

/// Why no guest can run on this machine.
pub(super) fn cannot_run() -> Option<String> {
    (!has_program(QEMU))
        .then(|| format!("there is no {QEMU} here (Debian package qemu-system-x86)"))
}

/// Runs a guest to its end, or ends it after `at_most`. Its console is kept in a file.
pub(super) fn run(image: &Path, initrd: &Path, console: &Path, at_most: Duration) -> Result<Run> {
    let begin = Instant::now();
    let mut qemu = Qemu::start(image, initrd, console)?;
    let stdout = qemu.0.stdout.take().context("qemu has no output")?;
    let (records, arriving) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            // What is no record is a line that was cut off when the guest ended.
            let Ok(record) = serde_json::from_slice(&line) else { continue };
            if records.send((begin.elapsed(), record)).is_err() {
                return;
            }
        }
    });
    let mut run = Run::default();
    loop {
        match arriving.recv_timeout(at_most.saturating_sub(begin.elapsed())) {
            Ok(record) => run.records.push(record),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                run.out_of_time = true;
                break;
            }
        }
    }
    drop(qemu);
    drop(arriving);
    // It ends with qemu's output.
    let _ = reader.join();
    run.took = begin.elapsed();
    run.console = last_lines(&fs::read(console).unwrap_or_default());
    Ok(run)
}

/// A running qemu; ended when dropped.
struct Qemu(Child);

impl Qemu {
    fn start(image: &Path, initrd: &Path, console: &Path) -> Result<Self> {
        let mut command = Command::new(QEMU);
        command
            .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1G"])
            .args(["-nodefaults", "-no-reboot", "-display", "none"])
            .arg("-kernel")
            .arg(image)
            .arg("-initrd")
            .arg(initrd)
            .args(["-append", COMMAND_LINE])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .args(["-chardev", "stdio,id=results,signal=off", "-serial", "chardev:results"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        Ok(Self(command.spawn().with_context(|| format!("{QEMU} could not be started"))?))
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn last_lines(console: &[u8]) -> String {
    let text = String::from_utf8_lossy(console);
    let lines: Vec<&str> =
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_console_is_shown_without_empty_lines() {
        let console: String = (0..20).map(|line| format!("{line}\r\n\r\n")).collect();
        let last = last_lines(console.as_bytes());
        assert_eq!(last.lines().count(), LAST_LINES);
        assert!(last.starts_with("8\n") && last.ends_with("\n19"), "{last}");
    }
}
