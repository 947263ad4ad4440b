//! `halfopen-parity [--json] [NAME…]`: what `cargo xtask parity` runs.

use std::process::ExitCode;

use anyhow::{Result, bail};
use halfopen_parity::{Totals, exact_scenarios, json, play, table};

fn main() -> ExitCode {
    if let Some(code) = halfopen_lab::intercept() {
        return code;
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let (options, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with('-'));
    if let Some(unknown) = options.iter().find(|option| *option != "--json") {
        bail!("there is no option {unknown}");
    }
    let rows = play(&exact_scenarios(&names)?, |_| {})?;
    if options.is_empty() {
        print!("{}", table(&rows));
    } else {
        println!("{}", json(&rows)?);
    }
    Ok(Totals::of(&rows).all_agree())
}
