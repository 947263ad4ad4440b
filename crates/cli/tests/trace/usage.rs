//! What `trace` says where it cannot watch, and where it ends by itself.

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;

use crate::common::{halfopen, ran, run};
use crate::tracer::{Backend, Tracer, netns_of};
use crate::{Outcome, Test, scratch};

/// A user without privilege.
const NOBODY: u32 = 65_534;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("without privilege one error says what to do".to_owned(), Box::new(unprivileged)),
        ("trace --for ends by itself".to_owned(), Box::new(ends_by_itself)),
        ("trace --count ends with the lines".to_owned(), Box::new(|| scratch::inside(counts))),
        ("a filter that cannot be asked is wrong usage".to_owned(), Box::new(wrong_usage)),
    ]
}

fn unprivileged() -> Outcome {
    if !rustix::process::geteuid().is_root() {
        return Outcome::Skipped("only root can become somebody else".to_owned());
    }
    let directory = tempfile::tempdir().expect("a folder");
    let program = directory.path().join("halfopen");
    std::fs::copy(env!("CARGO_BIN_EXE_halfopen"), &program).expect("a copy that all may run");
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), all).expect("a folder that all may enter");
    let output = std::process::Command::new(&program)
        .args(["trace", "--packets"])
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output();
    let ran = ran(output.expect("the binary starts"));
    if ran.status == 3 && ran.stderr.contains("CAP_NET_RAW") && ran.stdout.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("{ran:?}"))
    }
}

fn ends_by_itself() -> Outcome {
    let own = netns_of("self");
    let ran = ran(halfopen(&["trace", "--packets", "--for", "300ms", "--netns", &own, ":1"])
        .output()
        .expect("the binary starts"));
    if ran.stderr.contains("CAP_NET_RAW") {
        return Outcome::Skipped(ran.stderr.trim().replace('\n', "; "));
    }
    if ran.status == 3
        && ran.stdout.starts_with("packet sockets in 1 network namespace; not seen so: ")
        && ran.stdout.contains("No TCP handshake")
    {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("{ran:?}"))
    }
}

fn counts(netns: &str) -> Outcome {
    let tracer =
        match Tracer::start(Backend::Packets, &["--json", "--count", "1", "--netns", netns]) {
            Ok(tracer) => tracer,
            Err(outcome) => return outcome,
        };
    for _ in 0..3 {
        assert!(std::net::TcpStream::connect(scratch::unused(Ipv4Addr::LOCALHOST.into())).is_err());
    }
    match tracer.wait() {
        Ok(traced) if traced.of_type("handshake").count() == 1 => Outcome::Passed,
        other => Outcome::Failed(format!("{other:?}")),
    }
}

fn wrong_usage() -> Outcome {
    for arguments in
        [&["trace", "sport = = 3"][..], &["trace", "uid", "33"], &["trace", "--for", "0"]]
    {
        let ran = run(arguments);
        if ran.status != 64 || !ran.stdout.is_empty() || ran.stderr.is_empty() {
            return Outcome::Failed(format!("{arguments:?}: {ran:?}"));
        }
    }
    Outcome::Passed
}
