//! Benches: each sets up its load, measures, and ends with a line per figure.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::workspace::Workspace;

mod contender;
mod figure;
mod inventory;
pub(crate) mod load;
mod measure;
mod namespace;
mod pcap;
mod simulation;
mod stacks;
mod trace;

/// Which bench to run.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// The cost of a look at a host with 200,000 connections, beside `ss` on the same host
    Inventory {
        /// How many times each command is measured
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Measure this program instead of building one
        #[arg(long)]
        halfopen: Option<PathBuf>,
    },
    /// What `halfopen pcap` takes for five million packets, beside other programs that read captures
    Pcap {
        /// How many times each command is run
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// How many connections the capture has; each has some fourteen packets
        #[arg(long, default_value_t = 500_000)]
        connections: u32,
        /// Run the slow ones (tshark, tcptrace) too, once each
        #[arg(long)]
        slow: bool,
        /// Measure this program instead of building one
        #[arg(long)]
        halfopen: Option<PathBuf>,
    },
    /// What `halfopen stacks` takes for processes of up to 2,000 threads, and what they notice of it,
    /// beside debuggers
    Stacks {
        /// How many times each command is run
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Measure this program instead of building one
        #[arg(long)]
        halfopen: Option<PathBuf>,
    },
    /// What `halfopen trace` costs connections over loopback, beside a tracer of the same kind
    Trace {
        /// How many times each is measured
        #[arg(long, default_value_t = 50)]
        rounds: usize,
        /// Connections of each measurement
        #[arg(long, default_value_t = 6000)]
        connections: u32,
        /// Measure this program instead of building one
        #[arg(long)]
        halfopen: Option<PathBuf>,
    },
    /// Handshakes that the simulator plays in a second on one core, and what a million clients take
    Sim {
        /// How many times each number of clients is played
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
}

/// Runs a bench.
pub(crate) fn run(workspace: &Workspace, bench: &Bench) -> Result<ExitCode> {
    let figures = match bench {
        Bench::Inventory { rounds, halfopen } => {
            inventory::run(workspace, halfopen.as_deref(), *rounds)?
        }
        Bench::Pcap { rounds, connections, slow, halfopen } => {
            pcap::run(workspace, halfopen.as_deref(), *rounds, *connections, *slow)?
        }
        Bench::Stacks { rounds, halfopen } => stacks::run(workspace, halfopen.as_deref(), *rounds)?,
        Bench::Trace { rounds, connections, halfopen } => {
            trace::run(workspace, halfopen.as_deref(), *rounds, *connections)?
        }
        Bench::Sim { rounds } => simulation::run(workspace, *rounds)?,
    };
    println!();
    for figure in &figures {
        println!("{figure}");
    }
    let failed = figures.iter().any(figure::Figure::is_failure);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
