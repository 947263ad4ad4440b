//! What stands in a report. These types are the JSON form; their doc comments are its schema.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{Confidence, Severity};

/// The host that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HostEntry {
    /// Its name (`uname -n`).
    pub name: String,
    /// Release of its kernel (`uname -r`).
    pub kernel_release: String,
    /// Its architecture (`uname -m`).
    pub machine: String,
}

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NetnsEntry {
    /// The inode of its nsfs file (`net:[4026531840]`).
    pub id: u64,
    /// What it is called.
    pub label: String,
    /// Whether the collector lives in it.
    pub own: bool,
}

/// A network namespace that was in scope, and whether its listeners could be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SeenNetnsEntry {
    /// Which.
    #[serde(flatten)]
    pub netns: NetnsEntry,
    /// Listening sockets in it, whether the filter matches them or not; null if they could not be
    /// read.
    pub listeners: Option<u32>,
    /// Why they could not be read; null if they could.
    pub missing: Option<String>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct ProcessEntry {
    /// Its pid, in the pid namespace of the collector.
    pub pid: u32,
    /// Its name as the kernel has it. The process chose it: escape it before you show it.
    pub comm: String,
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SubjectEntry {
    /// What it is.
    pub kind: SubjectName,
    /// What it is called in text: `*:8080`.
    pub label: String,
    /// Where it is.
    pub netns: NetnsEntry,
    /// The local address and port; null where there is no single one.
    pub local: Option<String>,
    /// The local address of outgoing connections; null for anything else.
    pub source: Option<String>,
    /// The remote address and port of outgoing connections; null for anything else.
    pub destination: Option<String>,
    /// Which of the sockets that listen there: its cookie in hexadecimal, as `ss -e` prints it after
    /// `sk:`; null where it is not about one socket.
    pub cookie: Option<String>,
    /// Processes behind it, as far as known.
    pub processes: Vec<ProcessEntry>,
}

/// What kind of thing a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectName {
    /// One listening socket.
    Listener,
    /// A listening address and port, whatever number of sockets listen there.
    Endpoint,
    /// Connections from a local address to a destination.
    Destination,
    /// Connections that a process has not closed.
    CloseWait,
    /// A listener that was seen from outside, in a capture; `netns.label` is its VLAN or tunnel.
    Server,
    /// A whole network namespace.
    Netns,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FindingEntry {
    /// What it is called: `accept-stalled`. Stable.
    pub id: String,
    /// `warning`: nothing fails because of it yet. `failure`: connections fail now.
    pub severity: Severity,
    /// How sure it is: `possible`, `probable` or `certain`.
    pub confidence: Confidence,
    /// What it is about.
    pub subject: SubjectEntry,
    /// What is the matter, in a few words.
    pub headline: String,
    /// The cause, in a sentence.
    pub cause: String,
    /// What it rests on.
    pub evidence: Vec<FactEntry>,
    /// What to do, the first thing first.
    pub remedies: Vec<String>,
    /// What would not help, though people try it.
    pub not_helpful: Vec<String>,
    /// What would prove it wrong.
    pub refuted_by: String,
}

/// A figure that a finding rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FactEntry {
    /// What was measured: a kernel name (`ListenOverflows`) or words in kebab-case
    /// (`accept-queue-depth`). Stable.
    pub name: String,
    /// The figure; null where it is not one number.
    pub value: Option<u64>,
    /// The figure in words, with its unit.
    pub text: String,
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListenerEntry {
    /// Where it is.
    pub netns: NetnsEntry,
    /// The address and port that it is bound to.
    pub local: String,
    /// The interface that it is bound to, by index; null for any.
    pub device: Option<u32>,
    /// Whether an IPv6 wildcard refuses IPv4 connections.
    pub v6_only: bool,
    /// Its cookie in hexadecimal, as `ss -e` prints it after `sk:`.
    pub cookie: String,
    /// Its inode, as in `/proc/PID/fd` (`socket:[12345]`).
    pub inode: u64,
    /// The user who made it.
    pub uid: u32,
    /// Its accept queue.
    pub accept_queue: AcceptQueueEntry,
    /// Requests in SYN_RECV at this address and port. The kernel tells them only for all sockets
    /// that listen there together.
    pub syn_recv: u32,
    /// How many sockets listen at this address and port: more than one is a SO_REUSEPORT group.
    pub sockets: u32,
    /// Segments that the kernel dropped at this socket since it was made; null if it does not say.
    pub drops: Option<u32>,
    /// Segments dropped at this socket in the window; null without a window.
    pub drops_in_window: Option<u32>,
    /// Processes that hold it, as far as they were looked for.
    pub processes: Vec<ProcessEntry>,
    /// How far they were looked for.
    pub process_search: SearchEntry,
    /// The verdict.
    pub verdict: Verdict,
    /// Ids of the findings about it.
    pub findings: Vec<String>,
}

/// An accept queue: connections whose handshake is complete and that no process has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AcceptQueueEntry {
    /// Connections in it at the latest look.
    pub depth: u32,
    /// Its limit. It holds one more.
    pub limit: u32,
    /// The most connections in it at any look or sample.
    pub longest: u32,
}

/// How far the holders of a socket were looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "extent", rename_all = "kebab-case")]
pub enum SearchEntry {
    /// Among every descriptor of every process.
    Everywhere,
    /// Among every descriptor of every process that could be read.
    Permitted {
        /// Processes whose descriptors could not be read.
        unreadable: u32,
    },
    /// Among the first descriptors of each process, until one was found.
    FirstDescriptors,
    /// Nowhere.
    None {
        /// Why not.
        why: String,
    },
}

/// The verdict over one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing was found.
    Ok,
    /// Nothing was found, and some findings could not be excluded.
    Undetermined,
    /// Its worst finding is a warning.
    Warning,
    /// Its worst finding is a failure.
    Failure,
}

/// A finding that could be neither made nor excluded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UndeterminedEntry {
    /// Which.
    pub id: String,
    /// About what.
    pub subject: SubjectEntry,
    /// What was missing.
    pub why: String,
}

/// Something that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GapEntry {
    /// What.
    pub what: String,
    /// What would show it.
    pub needs: String,
    /// Ids of the findings that cannot be told, or only with less confidence.
    pub costs: Vec<String>,
}

/// What a filter could not decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UndecidedEntry {
    /// Listeners left out because it is not known whether the filter matches them.
    pub listeners: u32,
    /// Findings left out for the same reason.
    pub findings: u32,
}
