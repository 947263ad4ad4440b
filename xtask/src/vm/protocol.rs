//! What a guest is told to do and what it says of it.
//!
//! The plan is a file in the guest's first file system; records come back as lines of JSON over its
//! second serial port, each as soon as it is known, so that what a guest did is not lost with it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the plan is in the guest.
pub(super) const PLAN: &str = "/plan.json";

/// Where the guest writes its records.
pub(super) const RESULTS: &str = "/dev/ttyS1";

/// What a guest does before it powers off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The files of modules, in the order in which they are loaded.
    pub(super) modules: Vec<PathBuf>,
    /// Programs to run, one after another.
    pub(super) tasks: Vec<Task>,
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    /// What it is called in records.
    pub(super) name: String,
    /// The program and its arguments.
    pub(super) argv: Vec<String>,
}

/// Something that a guest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub(super) enum Record {
    /// The kernel is up, the modules are loaded.
    Up {
        /// `uname -r`.
        release: String,
        /// `uname -v`.
        version: String,
    },
    /// A line that a task printed on its standard output.
    Line {
        /// The task.
        task: String,
        /// The line, without its end.
        line: String,
    },
    /// A task has ended.
    Ended {
        /// The task.
        task: String,
        /// Its exit status; none if a signal ended it.
        status: Option<i32>,
        /// What it printed on standard error.
        stderr: String,
    },
    /// The guest itself could not go on.
    Broken {
        /// Why.
        why: String,
    },
}
