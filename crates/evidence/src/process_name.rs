//! A process, as it is named in what is told.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Holder, Pid, Process};

/// A process by pid and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessName {
    /// Its pid.
    pub pid: Pid,
    /// Its name, or that of the thread which was seen. Untrusted: who prints it escapes it.
    pub comm: String,
}

impl ProcessName {
    /// The name of a holder.
    #[must_use]
    pub fn of(holder: &Holder) -> Self {
        Self { pid: holder.pid, comm: holder.comm.clone() }
    }

    /// The name of a process.
    #[must_use]
    pub fn of_process(process: &Process) -> Self {
        Self { pid: process.pid, comm: process.comm.clone() }
    }
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.comm, self.pid)
    }
}
