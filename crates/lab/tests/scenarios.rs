//! Every scenario comes about on the running kernel, stays for a while, and leaves nothing behind.
//!
//! Without arguments all scenarios are tried; words choose those whose names contain them. What
//! cannot run here says SKIPPED and why. `--hold` keeps one up to look at.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use halfopen_lab::{Lab, Scenario, can_run, intercept, scenarios};

enum Outcome {
    Came,
    Skipped(String),
    Failed(String),
}

fn main() -> ExitCode {
    if let Some(code) = intercept() {
        return code;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let hold = words.iter().any(|word| word == "--hold");
    let words: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen = |scenario: &Scenario| {
        words.is_empty() || words.iter().any(|word| scenario.name.contains(word.as_str()))
    };
    let mut failures = 0;
    for scenario in
        scenarios().expect("every scenario file can be read").iter().filter(|s| chosen(s))
    {
        let begin = Instant::now();
        let outcome = try_out(scenario, hold);
        let took = begin.elapsed();
        match outcome {
            Outcome::Came => println!("test {} ... ok ({took:.1?})", scenario.name),
            Outcome::Skipped(why) => println!("test {} ... SKIPPED: {why}", scenario.name),
            Outcome::Failed(why) => {
                failures += 1;
                println!("test {} ... FAILED ({took:.1?}): {why}", scenario.name);
            }
        }
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn try_out(scenario: &Scenario, hold: bool) -> Outcome {
    if let Err(why) = can_run(scenario) {
        return Outcome::Skipped(why.to_string());
    }
    let progress = |step: &str| {
        if hold {
            println!("  {step}");
        }
    };
    let mut lab = match Lab::start(scenario, progress) {
        Ok(lab) => lab,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    if hold {
        println!("look at it with: {}", lab.shell_command());
        println!("ended: {:?}", lab.hold(Duration::from_secs(600)));
    }
    let outcome = lab.run_inside(&["true".to_owned()]);
    lab.stop();
    match outcome {
        Ok(output) if output.status.success() => Outcome::Came,
        Ok(output) => Outcome::Failed(format!("a command inside ended with {}", output.status)),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}
