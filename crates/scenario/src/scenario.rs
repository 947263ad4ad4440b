//! A scenario as a value: what it is called, what it must lead to, what it needs, what happens.

use serde::{Deserialize, Serialize};

use crate::Step;

/// One behaviour of a server, its clients and the path between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// The name of the file without its extension.
    pub name: String,
    /// What happens, in one line.
    pub about: String,
    /// The number of the incident in the project's list; none for healthy behaviour that only looks
    /// like an incident.
    pub incident: Option<u32>,
    /// The ids of the findings that a check must report, in alphabetical order; nothing else may be
    /// reported.
    pub expect: Vec<String>,
    /// The kernel that it is about, as a release (`uname -r`) or by another name (`rhel7`), so that
    /// only a simulator can run it; none for any kernel.
    pub kernel: Option<String>,
    /// The kernel of remote clients' hosts; none for that of the servers.
    pub clients_kernel: Option<String>,
    /// Whether its outcome is exact: whoever runs it must come to the same [`crate::Account`].
    pub parity: bool,
    /// What the machine must offer.
    pub needs: Vec<Need>,
    /// Kernel settings that hold from the beginning, as name and value, by name.
    pub sysctl: Vec<(String, String)>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Whether it is about a mechanism of the kernel and not about a server that is well or ill, so
    /// that it expects no verdict, not even a healthy one.
    #[must_use]
    pub fn is_mechanism(&self) -> bool {
        self.about.starts_with("Mechanism: ")
    }

    /// Whether no machine can run it: it is about another kernel, or more than one machine has.
    #[must_use]
    pub fn is_for_simulator(&self) -> bool {
        self.kernel.is_some() || self.needs.contains(&Need::Simulator)
    }
}

/// What a machine must offer for a scenario to run on its kernel. A simulator needs none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// A TUN device (`/dev/net/tun`): the wire on which packets can be lost.
    Tun,
    /// Control groups with a CPU quota, and the right to make one.
    CpuQuota,
    /// More hosts, kernels or clients than a machine has: a simulator.
    Simulator,
}

impl Need {
    /// The word for it in a scenario file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tun => "tun",
            Self::CpuQuota => "cpu-quota",
            Self::Simulator => "simulator",
        }
    }
}
