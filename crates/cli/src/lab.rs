//! `halfopen lab`.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::args::LabArgs;
use crate::exit::Exit;

/// x
pub(crate) fn run_inner(_arguments: &[OsString]) -> Option<ExitCode> { None }
/// x
pub(crate) fn lab(_arguments: &LabArgs) -> anyhow::Result<Exit> { Ok(Exit::Healthy) }
