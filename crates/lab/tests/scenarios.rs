//! Every scenario comes about on the running kernel, over IPv4 and over IPv6, with the same account
//! each time if its outcome is exact, and nothing is left behind.
//!
//! Without arguments everything is tried; words choose what contains them. What cannot run here says
//! SKIPPED and why. `--hold NAME` tells each step and keeps the scenario up to look at.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use halfopen_lab::{
    Account, Interface, IpVersion, Lab, Picture, Scenario, SkipReason, can_run, intercept,
    scenarios,
};

const KILLED: &str = "nothing_is_left_when_the_parent_is_killed";

const OTHER_KERNEL: &str = "a_scenario_about_another_kernel_does_not_run";

/// What `--hold` prints before the command that opens a shell.
const LOOK_AT_IT: &str = "look at it with: ";

/// Scenarios at a time.
const AT_A_TIME: usize = 8;

enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

fn main() -> ExitCode {
    if let Some(code) = intercept() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(*word));
    let mut scenarios = scenarios().expect("every scenario file can be read");
    scenarios.retain(|scenario| !scenario.is_for_simulator());
    if arguments.iter().any(|word| word == "--hold") {
        scenarios.retain(|scenario| chosen(&scenario.name));
        return scenarios.first().map_or(ExitCode::FAILURE, hold);
    }
    let over = |ip| scenarios.iter().map(move |scenario| Test { scenario, ip });
    let mut tests: Vec<Test<'_>> = IpVersion::ALL.into_iter().flat_map(over).collect();
    tests.retain(|test| chosen(&test.name()));
    let mut all_passed = all_pass(&tests);
    if chosen(OTHER_KERNEL) {
        all_passed &= passes(OTHER_KERNEL, a_scenario_about_another_kernel_does_not_run);
    }
    if chosen(KILLED) {
        all_passed &= passes(KILLED, nothing_is_left_when_the_parent_is_killed);
    }
    if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A scenario over a version of IP.
struct Test<'s> {
    scenario: &'s Scenario,
    ip: IpVersion,
}

impl Test<'_> {
    fn name(&self) -> String {
        format!("{} over {}", self.scenario.name, self.ip.as_str())
    }
}

/// Some at a time: they mostly wait for the kernel's timers, each in a namespace of its own.
fn all_pass(tests: &[Test<'_>]) -> bool {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut all_passed = true;
        while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
            all_passed &= passes(&test.name(), || comes_about(test));
        }
        all_passed
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        workers.into_iter().all(|worker| worker.join().expect("a scenario's test does not panic"))
    })
}

fn passes(name: &str, test: impl FnOnce() -> Outcome) -> bool {
    let begin = Instant::now();
    let outcome = test();
    let took = begin.elapsed();
    match &outcome {
        Outcome::Passed => println!("test {name} ... ok ({took:.1?})"),
        Outcome::Skipped(why) => println!("test {name} ... SKIPPED: {why}"),
        Outcome::Failed(why) => println!("test {name} ... FAILED ({took:.1?}): {why}"),
    }
    !matches!(outcome, Outcome::Failed(_))
}

/// The states that the scenario awaits are reached, and a command runs inside.
fn comes_about(test: &Test<'_>) -> Outcome {
    let &Test { scenario, ip } = test;
    if let Err(why) = can_run(scenario, ip) {
        return Outcome::Skipped(why.to_string());
    }
    let mut lab = match Lab::start(scenario, ip, |_| {}) {
        Ok(lab) => lab,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let network = network_of(&lab.host_pid().to_string());
    let argv = ["readlink", "/proc/self/ns/net"].map(str::to_owned);
    let output = lab.run_inside(&argv);
    lab.stop();
    let inside = match output {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    if network.as_ref().and_then(|network| network.to_str()) != Some(&inside) {
        return Outcome::Failed(format!("the command ran in {inside:?}, the lab in {network:?}"));
    }
    match processes_in(&network) {
        0 if scenario.parity => is_exact(test),
        0 => Outcome::Passed,
        left => Outcome::Failed(format!("{left} processes are left after stop()")),
    }
}

/// A scenario whose outcome is exact looks the same twice, but for times, ports that the kernel
/// chose, and initial sequence numbers.
fn is_exact(&Test { scenario, ip }: &Test<'_>) -> Outcome {
    let account = || Lab::account(scenario, ip, None, |_| {});
    let both = thread::scope(|scope| {
        let other = scope.spawn(account);
        (account(), other.join().expect("an account does not panic"))
    });
    match both {
        (Ok(first), Ok(second)) if essence(&first) == essence(&second) => Outcome::Passed,
        (Ok(first), Ok(second)) => {
            Outcome::Failed(format!("{:#?}\nand {:#?}", essence(&first), essence(&second)))
        }
        (Err(error), _) | (_, Err(error)) => Outcome::Failed(error.to_string()),
    }
}

/// What of an account is the same each time.
#[derive(Debug, PartialEq, Eq)]
struct Essence {
    looks: Vec<Picture>,
    /// How many segments there were of each interface, flags and length of data. Their order is left
    /// out, since timers that are due at one moment may send in any.
    kinds: BTreeMap<(Interface, u8, u32), u32>,
}

fn essence(account: &Account) -> Essence {
    let timeless = |picture: &Picture| Picture { at_us: 0, ..picture.clone() };
    let mut kinds = BTreeMap::new();
    for segment in &account.segments {
        *kinds.entry((segment.interface, segment.flags, segment.payload)).or_default() += 1;
    }
    Essence { looks: account.looks.iter().map(timeless).collect(), kinds }
}

fn a_scenario_about_another_kernel_does_not_run() -> Outcome {
    let text = "about = \"x\"\nexpect = []\nkernel = \"3.10.4\"\n[[step]]\ndo = \"look\"\n";
    let scenario = Scenario::parse("old", text).expect("a scenario");
    match can_run(&scenario, IpVersion::V4) {
        Err(SkipReason(why)) if why == "it is about kernel 3.10.4" => Outcome::Passed,
        other => Outcome::Failed(format!("{other:?}")),
    }
}

/// A stopped actor cannot clean up after itself, so that scenario is the hardest.
fn nothing_is_left_when_the_parent_is_killed() -> Outcome {
    let scenarios = scenarios().expect("every scenario file can be read");
    let stopped = scenarios.iter().find(|scenario| scenario.name == "stopped-process");
    if let Err(why) = can_run(stopped.expect("the scenario is in the catalogue"), IpVersion::V4) {
        return Outcome::Skipped(why.to_string());
    }
    let mut parent = Command::new("/proc/self/exe")
        .args(["--hold", "stopped-process"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let output = BufReader::new(parent.stdout.take().expect("its output is a pipe"));
    let shell = output.lines().map_while(Result::ok).find(|line| line.starts_with(LOOK_AT_IT));
    let host = shell.as_deref().and_then(|line| line.split(' ').find(|word| is_number(word)));
    let network = host.and_then(network_of);
    let before = processes_in(&network);
    parent.kill().expect("it can be killed");
    parent.wait().expect("it has ended");
    if network.is_none() || before < 2 {
        return Outcome::Failed(format!("{before} processes in the lab before the kill"));
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while processes_in(&network) > 0 {
        if Instant::now() > deadline {
            return Outcome::Failed(format!("{} processes are left", processes_in(&network)));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Outcome::Passed
}

fn hold(scenario: &Scenario) -> ExitCode {
    match Lab::start(scenario, IpVersion::V4, |step| println!("  {step}")) {
        Ok(mut lab) => {
            println!("{LOOK_AT_IT}{}", lab.shell_command());
            println!("it ended: {:?}", lab.hold(Duration::from_secs(600)));
            lab.stop();
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn network_of(pid: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

/// How many processes are in a network namespace, of those that may be looked at.
fn processes_in(network: &Option<PathBuf>) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
    let networks = names.filter(|name| is_number(name)).map(|name| network_of(&name));
    networks.filter(|of_process| of_process.is_some() && of_process == network).count()
}
