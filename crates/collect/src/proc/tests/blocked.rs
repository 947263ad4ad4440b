//! A small C program that gets into states which a test cannot get into itself.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use halfopen_evidence::{Call, HolderSearch, Inode, Via};
use tempfile::TempDir;

use super::{eventually, process, sample};
use crate::proc::{Extent, ProcRoot, find_holders};

/// The program, compiled once; or why it could not be.
static PROGRAM: LazyLock<Result<(TempDir, PathBuf), String>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let program = directory.path().join("blocked");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proc/tests/blocked.c");
    let compiler = Command::new("cc").arg("-pthread").arg("-o").arg(&program).arg(source).output();
    match compiler {
        Ok(output) if output.status.success() => Ok((directory, program)),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(format!("no C compiler: {error}")),
    }
});

struct Blocked {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Blocked {
    /// `None` where there is no C compiler, or the program says that it cannot.
    fn start(kind: &str) -> Option<(Self, String)> {
        let program = match &*PROGRAM {
            Ok((_, program)) => program,
            Err(reason) => {
                println!("SKIPPED {kind}: {reason}");
                return None;
            }
        };
        let mut child =
            Command::new(program).arg(kind).stdout(Stdio::piped()).spawn().expect("the program");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut blocked = Self { child, output };
        let line = blocked.line();
        match line.strip_prefix("skip ") {
            Some(reason) => {
                println!("SKIPPED {kind}: {reason}");
                None
            }
            None => Some((blocked, line)),
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_process_whose_first_thread_exited_is_still_read() {
    let Some((mut blocked, _)) = Blocked::start("main-exits") else { return };
    let alive: u32 = blocked.line().parse().expect("a tid");
    let pid = blocked.child.id();
    let process = eventually("the first thread exits", || {
        Some(process(pid, &BTreeSet::new())).filter(|process| process.state == 'Z')
    });
    assert!(process.fds.get().is_some_and(|fds| fds.open >= 3), "{:?}", process.fds);
    let pauses = |call: &Call| call.name == "pause";
    eventually("the other thread pauses", || {
        sample(pid, Inode(0)).iter().any(|(call, _)| pauses(call)).then_some(())
    });
    let link = std::fs::read_link(format!("/proc/{pid}/task/{alive}/fd/1")).expect("a pipe");
    assert!(link.to_string_lossy().starts_with("pipe:"));
    let search =
        find_holders(&ProcRoot::default(), &BTreeSet::from([Inode(u64::MAX)]), Extent::Everywhere);
    let search = search.known().expect("a search");
    assert!(search.found.is_empty() && search.search != HolderSearch::FirstDescriptors);
}

#[test]
fn an_accept_request_of_an_io_uring_waits() {
    let Some((blocked, line)) = Blocked::start("io_uring") else { return };
    let pid = blocked.child.id();
    let link = std::fs::read_link(format!("/proc/{pid}/fd/{line}")).expect("the listener");
    let inode = crate::proc::parse::socket_link(link.as_os_str().as_encoded_bytes());
    let inode = Inode(inode.expect("a socket"));
    let call = eventually("an armed request", || {
        sample(pid, inode).into_iter().find(|(_, vias)| vias == &[Via::IoUring])
    });
    assert_eq!(call.0.name, "io_uring_enter");
}
