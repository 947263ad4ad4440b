//! A tracer that is killed leaves nothing in the kernel.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aya::programs::loaded_programs;
use halfopen_collect::bpf::{TraceWanted, Tracer};
use halfopen_evidence::Missing;

/// Set in the process that is killed.
const IS_VICTIM: &str = "HALFOPEN_TEST_IS_VICTIM";

/// Programs of the tracer that are in the kernel now.
fn programs() -> usize {
    const OURS: [&[u8]; 2] = [b"state_changes", b"syn_ack_is_repe"];
    let all = loaded_programs().filter_map(Result::ok);
    all.filter(|program| OURS.contains(&program.name())).count()
}

#[test]
fn a_killed_tracer_leaves_no_program_behind() {
    if std::env::var_os(IS_VICTIM).is_some() {
        match Tracer::start(&TraceWanted::default()) {
            Ok(_tracer) => {
                println!("\nready");
                std::io::stdout().flush().expect("a pipe");
                std::thread::sleep(Duration::from_secs(60));
            }
            Err(Missing::NotPermitted { needs }) => println!("\nneeds {needs}"),
            Err(why) => println!("\nneeds another kernel: {why}"),
        }
        return;
    }
    let before = programs();
    let mut victim = Command::new(std::env::current_exe().expect("this test"))
        .args(["--nocapture", "--exact", "a_killed_tracer_leaves_no_program_behind"])
        .env(IS_VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(victim.stdout.take().expect("a pipe")).lines();
    let said = lines.map_while(Result::ok).find(|it| it == "ready" || it.starts_with("needs"));
    match said.as_deref() {
        Some("ready") => {}
        why => {
            victim.wait().expect("it ends");
            println!("SKIPPED: BPF programs: {why:?}");
            return;
        }
    }
    assert!(programs() > before);
    victim.kill().expect("it lives");
    victim.wait().expect("it ends");
    // The kernel frees them a moment after the last descriptor is closed.
    let start = Instant::now();
    while programs() > before {
        assert!(start.elapsed() < Duration::from_secs(10), "programs are left");
        std::thread::sleep(Duration::from_millis(20));
    }
}
