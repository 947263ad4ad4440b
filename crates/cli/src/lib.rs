//! `halfopen` says why a TCP connection never became one.
//!
//! The whole command as a library of one function, so that more than its `main` can run it: fuzzing
//! does. This is the one place where arguments, privileges, the clock and the terminal meet; what it shows
//! is computed by the pure crates from recorded values. Read [`gather`] first: how evidence is taken
//! until the rules have no more questions.

mod args;
mod check;
mod exit;
mod explain;
mod gather;
mod generate;
mod handshakes;
mod interrupt;
mod lab;
mod lab_manual;
mod markup;
mod nearest;
mod output;
mod pcap;
mod probe;
mod record;
mod sim;
mod stacks;

use std::ffi::OsString;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::Exit;

/// Runs the command with these arguments, of which the first is its own name, to its end, and gives its
/// exit status.
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error).into(),
    };
    let status = match run_command(cli.command) {
        Ok(status) => status,
        // `halfopen man | head` is no failure; a check keeps its verdict as its status.
        Err(error) if output::is_broken_pipe(&error) => Exit::Healthy,
        Err(error) => {
            output::complain(&error);
            Exit::CannotTell
        }
    };
    status.into()
}

fn run_command(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Check(arguments) => check::check(&arguments),
        Command::Record(arguments) => record::record(&arguments),
        Command::Replay(arguments) => record::replay(&arguments),
        Command::Pcap(arguments) => pcap::pcap(&arguments),
        Command::Stacks(arguments) => stacks::stacks(&arguments),
        Command::Sim(arguments) => sim::sim(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments.command),
        Command::Lab(arguments) => lab::lab(&arguments),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man => generate::man(),
        Command::Generate { out } => generate::everything(&out),
    }
}
