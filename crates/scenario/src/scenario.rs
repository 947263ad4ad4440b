//! A scenario as a value: what it is called, what it must lead to, what it needs, what happens.

use std::collections::BTreeSet;
use std::fmt;

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
    /// Texts that findings must say in their cause, by the id of an expected one.
    pub says: Vec<(String, Vec<String>)>,
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

    /// What is wrong with the findings of a check, each given with its id and its cause; nothing if they
    /// are those that are expected, and say what they should.
    #[must_use]
    pub fn wrong<'a>(&'a self, found: &[(&'a str, &str)]) -> Option<Wrong<'a>> {
        let ids: BTreeSet<&str> = found.iter().map(|(id, _)| *id).collect();
        let expected: BTreeSet<&str> = self.expect.iter().map(String::as_str).collect();
        if ids != expected {
            return Some(Wrong::Findings { expected, found: ids });
        }
        let says =
            |id: &str, text: &str| found.iter().any(|(of, said)| *of == id && said.contains(text));
        let mut wanted =
            self.says.iter().flat_map(|(id, texts)| texts.iter().map(move |t| (id, t)));
        let (id, text) = wanted.find(|(id, text)| !says(id, text))?;
        Some(Wrong::Unsaid { id, text })
    }

    /// Whether no machine can run it: it is about another kernel, or more than one machine has.
    #[must_use]
    pub fn is_for_simulator(&self) -> bool {
        self.kernel.is_some() || self.needs.contains(&Need::Simulator)
    }
}

/// How the findings of a check are other than a scenario expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong<'a> {
    /// They have other ids.
    Findings {
        /// The ids that are expected.
        expected: BTreeSet<&'a str>,
        /// The ids that were found.
        found: BTreeSet<&'a str>,
    },
    /// One of them does not say what it should.
    Unsaid {
        /// Its id.
        id: &'a str,
        /// What it should say.
        text: &'a str,
    },
}

/// `expected never-accepted, found nothing`.
impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |ids: &BTreeSet<&str>| match ids.len() {
            0 => "nothing".to_owned(),
            _ => ids.iter().copied().collect::<Vec<_>>().join(", "),
        };
        match self {
            Self::Findings { expected, found } => {
                write!(f, "expected {}, found {}", words(expected), words(found))
            }
            Self::Unsaid { id, text } => write!(f, "{id} does not say {text:?}"),
        }
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
    /// Control groups that can be frozen (version 2), and the right to make one.
    Freezer,
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
            Self::Freezer => "freezer",
            Self::Simulator => "simulator",
        }
    }
}
