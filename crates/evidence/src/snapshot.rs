//! One look at a host.

use std::collections::BTreeMap;

use halfopen_model::{KernelVersion, Semantics};
use serde::{Deserialize, Serialize};

use crate::{Endpoint, Listener, Missing, Netns, NetnsId, Pid, Process, Reading};

/// Everything that was read of a host at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When.
    pub taken: Taken,
    /// The host and its kernel.
    pub host: Host,
    /// Its network namespaces, the collector's own first, then by id.
    pub netns: Vec<Netns>,
    /// Processes that a verdict asked about. Empty until one does.
    pub processes: BTreeMap<Pid, Process>,
    /// What could not be seen, and what that costs.
    pub gaps: Vec<Gap>,
}

/// The time of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Milliseconds since 1970, UTC.
    pub unix_ms: u64,
    /// Milliseconds since the host started (`CLOCK_BOOTTIME`); differences are taken from this one.
    pub uptime_ms: u64,
}

/// The host that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// `uname -n`.
    pub name: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// `uname -v`, empty if it was not recorded: some distributions name the stable release only there.
    #[serde(default)]
    pub kernel_build: String,
    /// `uname -m`.
    pub machine: String,
    /// The collector's effective user id.
    pub collector_uid: u32,
    /// Whether the collector runs in the host's first pid namespace; elsewhere it does not see
    /// every process.
    pub sees_all_processes: Reading<bool>,
}

/// Something that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// What: `7 of 9 network namespaces`, `descriptors of 41 processes`.
    pub what: String,
    /// What would show it: `root`, `CAP_SYS_ADMIN`, a newer kernel.
    pub needs: String,
    /// Ids of the findings that cannot be told, or only with less confidence.
    pub costs: Vec<String>,
}

impl Snapshot {
    /// The namespace with this id.
    #[must_use]
    pub fn netns(&self, id: NetnsId) -> Option<&Netns> {
        self.netns.iter().find(|netns| netns.id == id)
    }

    /// Every listening socket with its endpoint and namespace.
    pub fn listeners(&self) -> impl Iterator<Item = (&Netns, &Endpoint, &Listener)> {
        self.netns.iter().flat_map(|netns| {
            netns.endpoints.get().into_iter().flatten().flat_map(move |endpoint| {
                endpoint.listeners.iter().map(move |listener| (netns, endpoint, listener))
            })
        })
    }

    /// The process with this pid, if a verdict asked about it.
    pub fn process(&self, pid: Pid) -> Reading<&Process> {
        self.processes.get(&pid).map_or(Reading::not_collected(), Reading::Known)
    }
}

impl Host {
    /// The rules of this host's kernel, by its version.
    pub fn semantics(&self) -> Reading<Semantics> {
        match self.kernel_release.parse::<KernelVersion>() {
            Ok(version) => Reading::Known(Semantics::of(version.as_built(&self.kernel_build))),
            Err(error) => Missing::unreadable(error).into(),
        }
    }
}
