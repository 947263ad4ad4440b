//! Model and kernel agree about every scenario whose outcome is exact.
//!
//! Without arguments everything is tried; words choose what contains them. What cannot run here says
//! SKIPPED and why.

use std::process::ExitCode;

use halfopen_lab::intercept;
use halfopen_parity::{Outcome, Row, Totals, exact_scenarios, explanation, play};

fn main() -> ExitCode {
    if let Some(code) = intercept() {
        return code;
    }
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut scenarios = exact_scenarios(&[]).expect("every scenario file can be read");
    scenarios.retain(|s| words.is_empty() || words.iter().any(|word| s.name.contains(word)));
    match play(&scenarios, |row| print!("{}", line(row))) {
        Ok(rows) => {
            let totals = Totals::of(&rows);
            println!("{totals}");
            if totals.all_agree() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            println!("test parity ... FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn line(row: &Row) -> String {
    let Row { name, outcome, took, plays: _ } = row;
    match outcome {
        Outcome::Compared(found) if found.is_empty() => {
            format!("test parity of {name} ... ok ({took:.1?})\n")
        }
        Outcome::Compared(_) => {
            format!("test parity of {name} ... FAILED ({took:.1?}):\n{}", explanation(row))
        }
        Outcome::Skipped(why) => format!("test parity of {name} ... SKIPPED: {why}\n"),
        Outcome::Failed(why) => format!("test parity of {name} ... FAILED: {why}\n"),
    }
}
