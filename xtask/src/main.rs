//! The project's chores: one command each, and CI runs the same ones that people run.
//!
//! `cargo xtask test` is everything; the rest are its parts, the benches, and what writes the
//! generated part of `docs/`. Every chore ends with a line that says how it went, and with an exit
//! status other than 0 if it did not go well.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod bpf;
mod check;
mod direction;
mod fuzz;
mod generate;
mod packages;
mod parity;
mod purity;
mod test;
mod test_output;
mod vm;
mod workspace;

use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Formatting, lints, the direction of crate edges, purity
    Check,
    /// Every check and every test; as root on Debian, installs the packages that tests need
    Test,
    /// Run the fuzz targets, each with a fixed number of inputs
    Fuzz(fuzz::Options),
    /// Compare the model with the running kernel, scenario by scenario
    Parity(parity::Options),
    /// Build the BPF programs, with clang
    Bpf {
        /// Write nothing; fail if what is there is not what would be built
        #[arg(long)]
        check: bool,
    },
    /// Run the lab and the tool in guest kernels under qemu, and compare them with the model
    Vm(vm::Options),
    /// Be process 1 of such a guest
    #[command(hide = true)]
    Guest,
    /// Measure; ends with a line per figure and fails if one misses its goal
    Bench {
        #[command(subcommand)]
        bench: bench::Bench,
    },
    /// Write the generated part of docs/: rule pages, JSON schemas, man page, completions
    Gen {
        /// Write nothing; fail if what is there is not what would be written
        #[arg(long)]
        check: bool,
    },
    /// Hold connections until standard input ends: the load of `bench inventory`
    #[command(hide = true)]
    HoldConnections {
        /// The loopback address and port to listen on.
        listen: std::net::SocketAddr,
        /// How many connections to make to it.
        connections: usize,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<ExitCode> {
    let workspace = Workspace::find;
    match chore {
        Chore::Check => check::run(&workspace()?),
        Chore::Test => test::run(&workspace()?),
        Chore::Fuzz(options) => fuzz::run(&workspace()?, &options),
        Chore::Parity(options) => parity::run(&workspace()?, &options),
        Chore::Bpf { check } => bpf::run(&workspace()?, check),
        Chore::Vm(options) => vm::run(&workspace()?, &options),
        Chore::Guest => vm::run_guest(),
        Chore::Bench { bench } => bench::run(&workspace()?, &bench),
        Chore::HoldConnections { listen, connections } => bench::load::hold(listen, connections),
        Chore::Gen { check } => generate::run(&workspace()?, check),
    }
}
