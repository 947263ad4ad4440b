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

/// How the processors are emulated: by one thread, in turn. With a thread each, a processor may go on
/// with code that the kernel has just patched (jump labels): qemu 7.2 then hands it a breakpoint that
/// is there no more, of which the guest panics ("Oops: int3").
const ACCELERATOR: &str = "tcg,thread=single";

/// Lines of the console that are shown of a guest that came to nothing.
const LINES_MAX: usize = 24;

/// With what the kernel begins to tell of its own fault.
const FAULTS: [&str; 4] = ["Oops", "BUG:", "general protection fault", "Kernel panic"];

/// What a guest said, and how it came to its end.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Each record, and when it came: the time since qemu was started.
    pub(super) records: Vec<(Duration, Record)>,
    /// How long it all took.
    pub(super) took: Duration,
    /// Whether it was ended because its time was over.
    pub(super) out_of_time: bool,
    /// The lines of its console that say most of its end.
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
    run.console = telling_lines(&fs::read(console).unwrap_or_default());
    Ok(run)
}

/// A running qemu; ended when dropped.
struct Qemu(Child);

impl Qemu {
    fn start(image: &Path, initrd: &Path, console: &Path) -> Result<Self> {
        let mut command = Command::new(QEMU);
        command
            .args(["-accel", ACCELERATOR, "-cpu", "max", "-smp", "2", "-m", "1G"])
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

/// The lines from the kernel's first fault on, or the last ones if it had none.
fn telling_lines(console: &[u8]) -> String {
    let text = String::from_utf8_lossy(console);
    let lines: Vec<&str> =
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let is_fault = |line: &&str| FAULTS.iter().any(|fault| line.contains(fault));
    let last = lines.len().saturating_sub(LINES_MAX);
    let from = lines.iter().position(is_fault).unwrap_or(last);
    lines[from..lines.len().min(from + LINES_MAX)].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_console_is_shown_without_empty_lines() {
        let console: String = (0..40).map(|line| format!("{line}\r\n\r\n")).collect();
        let told = telling_lines(console.as_bytes());
        assert_eq!(told.lines().count(), LINES_MAX);
        assert!(told.starts_with("16\n") && told.ends_with("\n39"), "{told}");
    }

    #[test]
    fn a_fault_of_the_kernel_is_shown_from_its_begin() {
        let mut console =
            vec!["up", "[   64.3] Oops: int3: 0000 [#1] PREEMPT SMP", "[   64.4] RIP: f+0x1"];
        console.extend(["[   64.5] more"; 40]);
        console.push("[   64.6] Kernel panic - not syncing");
        let told = telling_lines(console.join("\r\n").as_bytes());
        assert!(told.starts_with("[   64.3] Oops: int3"), "{told}");
        assert_eq!(told.lines().count(), LINES_MAX);
    }
}
