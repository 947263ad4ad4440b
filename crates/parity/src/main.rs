//! `halfopen-parity [--json] [--ipv6] [NAME…]`: what `cargo xtask parity` runs.

use std::process::ExitCode;

use anyhow::{Result, bail};
use halfopen_lab::IpVersion;
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
    let (mut as_json, mut ip) = (false, IpVersion::V4);
    for option in options {
        match option.as_str() {
            "--json" => as_json = true,
            "--ipv6" => ip = IpVersion::V6,
            unknown => bail!("there is no option {unknown}"),
        }
    }
    let rows = play(&exact_scenarios(&names, ip)?, ip, |_| {})?;
    if as_json {
        println!("{}", json(&rows)?);
    } else {
        print!("{}", table(&rows));
    }
    Ok(Totals::of(&rows).all_agree())
}
