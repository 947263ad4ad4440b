//! `halfopen trace`, from the kernel and over packet sockets: every scenario of the lab that has
//! handshakes, over IPv4 and over IPv6, watched by both from before its first step; and connections in
//! a namespace of the test's own.
//!
//! Without arguments everything is tried; words choose what contains them. What cannot run here says
//! SKIPPED and why.

#[path = "../common/mod.rs"]
mod common;
mod expected;
mod families;
mod scratch;
mod tracer;
mod usage;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use halfopen_lab::{IpVersion, Lab, Scenario, can_run, intercept, scenarios};

use expected::{Expected, NOTHING};
use tracer::{Backend, Traced, Tracer};

/// Scenarios at a time: they mostly wait for the kernel's timers.
const AT_A_TIME: usize = 16;

/// What came of a test.
enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

type Test = (String, Box<dyn Fn() -> Outcome + Send + Sync>);

fn main() -> ExitCode {
    if let Some(code) = intercept() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(*word));
    let mut tests = families::tests();
    tests.extend(usage::tests());
    let all = scenarios().expect("every scenario file can be read");
    tests.extend(all.iter().filter(|scenario| !scenario.is_for_simulator()).flat_map(over_both));
    tests.retain(|(name, _)| chosen(name));
    if all_pass(&tests) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn all_pass(tests: &[Test]) -> bool {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut all_passed = true;
        while let Some((name, test)) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begin = Instant::now();
            let outcome = test();
            let took = begin.elapsed();
            match &outcome {
                Outcome::Passed => println!("test {name} ... ok ({took:.1?})"),
                Outcome::Skipped(why) => println!("test {name} ... SKIPPED: {why}"),
                Outcome::Failed(why) => println!("test {name} ... FAILED ({took:.1?}): {why}"),
            }
            all_passed &= !matches!(outcome, Outcome::Failed(_));
        }
        all_passed
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        workers.into_iter().all(|worker| worker.join().expect("a test does not panic"))
    })
}

fn over_both(scenario: &Scenario) -> Vec<Test> {
    let name = format!("trace of {}", scenario.name);
    if let Some((_, why)) = NOTHING.iter().find(|(name, _)| *name == scenario.name) {
        let skipped = move || Outcome::Skipped(format!("neither backend can see it: {why}"));
        return vec![(name, Box::new(skipped))];
    }
    let over = |ip: IpVersion| -> Test {
        let scenario = scenario.clone();
        (format!("{name} over {}", ip.as_str()), Box::new(move || watched(&scenario, ip)))
    };
    IpVersion::ALL.map(over).into()
}

/// The handshakes of a scenario come out as its file makes them, whoever watches.
fn watched(scenario: &Scenario, ip: IpVersion) -> Outcome {
    let by_packets = Expected::by_packets(&scenario.name);
    let by_kernel = Expected::in_kernel(&scenario.name);
    if by_packets.is_none() && by_kernel.is_none() {
        return Outcome::Failed("nothing is expected of it".to_owned());
    }
    if let Err(why) = can_run(scenario, ip) {
        return Outcome::Skipped(why.to_string());
    }
    let mut lab = match Lab::enter(scenario, ip) {
        Ok(lab) => lab,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let netns = tracer::netns_of(&lab.host_pid().to_string());
    let arguments = ["--all", "--json", "--rate", "0", "--netns", &netns];
    let (mut tracers, mut skipped) = (Vec::new(), Vec::new());
    for (backend, expected) in [(Backend::Packets, by_packets), (Backend::Kernel, by_kernel)] {
        let Some(expected) = expected else { continue };
        match Tracer::start(backend, &arguments) {
            Ok(tracer) => tracers.push((backend, expected, tracer)),
            Err(Outcome::Skipped(why)) => skipped.push(format!("{backend:?}: {why}")),
            Err(outcome) => return outcome,
        }
    }
    let played = lab.play(|_| {});
    // The kernel and the clients go on; trouble shows when something is sent again.
    for (_, expected, tracer) in &mut tracers {
        tracer.wait_for(&expected.late());
    }
    let ended: Vec<(Backend, Expected, Result<Traced, String>)> =
        tracers.into_iter().map(|(who, expected, tracer)| (who, expected, tracer.end())).collect();
    lab.stop();
    if let Err(error) = played {
        return Outcome::Failed(error.to_string());
    }
    let mut wrong = Vec::new();
    for (backend, expected, traced) in &ended {
        let compared = traced.as_ref().map_err(Clone::clone).and_then(|traced| {
            traced.is_over(ip)?;
            expected.compare(&traced.outcomes())
        });
        wrong.extend(compared.err().map(|why| format!("{backend:?}: {why}")));
    }
    match (wrong.as_slice(), ended.as_slice()) {
        ([], []) => Outcome::Skipped(skipped.join("; ")),
        ([], _) => Outcome::Passed,
        (wrong, _) => Outcome::Failed(wrong.join("; ")),
    }
}
