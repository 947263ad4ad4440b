//! The lab: runs a [`Scenario`] on the running kernel, in a network namespace of its own.
//!
//! A scenario is played over IPv4 or over IPv6 ([`IpVersion`]); its file does not say which.
//!
//! Nothing leaves that namespace, every number is bounded, and everything ends with the process that
//! started it. Three kinds of process take part, all of the same program:
//!
//! - the one that holds a [`Lab`] (the command line);
//! - the lab host, which makes the namespace, plays the scenario's steps, is the clients, and starts
//!   commands inside on request (module `host`);
//! - an actor for each server program of the scenario (module `actor`).
//!
//! The last two are started from `/proc/self/exe` with the words [`HOST`] and [`ACTOR`], so a program
//! that uses this crate calls [`intercept`] as the first thing in `main`, before it has threads: a
//! process with threads cannot enter a user namespace.
//!
//! Every phase is awaited by its state in the kernel (module `look`), never by a guessed time.

mod accounting;
mod actor;
mod awaiting;
mod capture;
mod clients;
mod control_groups;
mod host;
mod icmp;
mod interface;
mod ip;
mod ip_version;
mod lab;
mod listeners;
mod locks;
mod look;
mod namespace;
mod packet;
mod pcap;
mod peer;
mod peers;
mod probe;
mod protocol;
mod servers;
mod serving;
mod sys;
mod told;
mod turns;
mod waiting;
mod wire;

use std::ffi::OsString;
use std::process::ExitCode;

pub use actor::actor_main;
pub use halfopen_scenario::{Account, Interface, Need, Picture, Scenario, ScenarioError};
pub use host::host_main;
pub use ip_version::IpVersion;
pub use lab::{HoldEnd, Lab, LabError, SkipReason, can_run};
pub use probe::{Probe, ProbeError, SynFate, probe};

/// The first argument of a process that is the lab host.
pub const HOST: &str = "lab-host";

/// The first argument of a process that is an actor.
pub const ACTOR: &str = "lab-actor";

/// The scenarios of the catalogue, by name.
///
/// # Errors
///
/// The first file that cannot be read; a test sees to it that there is none.
pub fn scenarios() -> Result<Vec<Scenario>, ScenarioError> {
    halfopen_scenario::CATALOG.iter().map(|(name, text)| Scenario::parse(name, text)).collect()
}

/// Does the work of the lab's own processes, if this is one: to be called first in `main`.
///
/// None means that this process was started for something else.
#[must_use]
pub fn intercept() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let word = args.next()?;
    let rest: Vec<OsString> = args.collect();
    if word == HOST {
        Some(host_main(&rest))
    } else if word == ACTOR {
        Some(actor_main(&rest))
    } else {
        None
    }
}
