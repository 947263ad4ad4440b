//! Model and kernel agree about every scenario whose outcome is exact, over IPv4 and over IPv6.
//!
//! Without arguments everything is tried; words choose what contains them. What cannot run here says
//! SKIPPED and why.

use std::process::ExitCode;

use halfopen_lab::{IpVersion, intercept};
use halfopen_parity::{Outcome, Row, Totals, exact_scenarios, explanation, play};

fn main() -> ExitCode {
    if let Some(code) = intercept() {
        return code;
    }
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if IpVersion::ALL.map(|ip| all_agree(&words, ip)) == [true; 2] {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn all_agree(words: &[String], ip: IpVersion) -> bool {
    let mut scenarios = exact_scenarios(&[], ip).expect("every scenario file can be read");
    scenarios.retain(|s| words.is_empty() || words.iter().any(|word| s.name.contains(word)));
    match play(&scenarios, ip, |row| print!("{}", line(row, ip))) {
        Ok(rows) => {
            let totals = Totals::of(&rows);
            println!("{totals}");
            totals.all_agree()
        }
        Err(error) => {
            println!("test parity over {} ... FAILED: {error:#}", ip.as_str());
            false
        }
    }
}

fn line(row: &Row, ip: IpVersion) -> String {
    let Row { name, outcome, took, plays: _ } = row;
    let test = format!("test parity of {name} over {}", ip.as_str());
    match outcome {
        Outcome::Compared(found) if found.is_empty() => format!("{test} ... ok ({took:.1?})\n"),
        Outcome::Compared(_) => {
            format!("{test} ... FAILED ({took:.1?}):\n{}", explanation(row))
        }
        Outcome::Skipped(why) => format!("{test} ... SKIPPED: {why}\n"),
        Outcome::Failed(why) => format!("{test} ... FAILED: {why}\n"),
    }
}
