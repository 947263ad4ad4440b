//! What `halfopen explain` answers, as values: the JSON form, and what the text is printed from.

use schemars::JsonSchema;
use serde::Serialize;

/// Name and version of the JSON form. The number changes when a field changes its meaning or goes.
pub(crate) const SCHEMA: &str = "halfopen.explain/1";

/// An answer of `halfopen explain`.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Document {
    /// Name and version of this form. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = SCHEMA))]
    pub(crate) schema: String,
    /// Version of the halfopen that wrote it.
    pub(crate) tool_version: String,
    /// The answer.
    pub(crate) answer: Answer,
}

/// The answer, by what was asked.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(tag = "topic", rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// Limits of the two queues.
    Limits(LimitsEntry),
    /// Timetables of SYN and SYN-ACK.
    Retries(RetriesEntry),
    /// One counter.
    Counter(CounterEntry),
    /// Every counter.
    Counters {
        /// In the order of the kernel's files.
        counters: Vec<NameEntry>,
    },
    /// The reasons of one name.
    Reason {
        /// One name can be a drop reason and a reset reason of the kernel.
        reasons: Vec<ReasonEntry>,
    },
    /// Every reason.
    Reasons {
        /// The kernel's first, then this program's own.
        reasons: Vec<NameEntry>,
    },
    /// One rule of the kernel.
    Rule(RuleEntry),
    /// Every rule and every finding.
    Rules {
        /// Rules of the kernel.
        rules: Vec<NameEntry>,
        /// What `halfopen check` can find.
        findings: Vec<NameEntry>,
    },
    /// The page of a finding.
    Finding {
        /// Its id.
        id: String,
        /// What it means, in a line.
        summary: String,
        /// Its page, Markdown.
        page: String,
    },
}

/// The kernel that an answer is for.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct KernelEntry {
    /// Its release as it was given, or as `uname -r` prints it.
    pub(crate) release: String,
    /// The version that its rules are taken from.
    pub(crate) version: String,
    /// Where the release came from.
    pub(crate) from: Origin,
    /// What is not certain of its rules.
    pub(crate) doubts: Vec<String>,
}

/// A setting that an answer depends on.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct SettingEntry {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: i64,
    /// Where the value came from.
    pub(crate) from: Origin,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// The command line.
    Given,
    /// This host, and the network namespace that the command ran in.
    Host,
    /// The kernel's default.
    Default,
    /// The kernel's default on a machine with some gigabytes of memory; it depends on that.
    DefaultByMemory,
}

/// Limits of a listener's two queues.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct LimitsEntry {
    /// The kernel.
    pub(crate) kernel: KernelEntry,
    /// What the limits depend on.
    pub(crate) settings: Vec<SettingEntry>,
    /// The queues, for the backlog that was asked about or for common ones.
    pub(crate) listeners: Vec<QueuesEntry>,
    /// What the SYN queue's room follows from.
    pub(crate) syn_queue_rule: String,
    /// From how many requests on SYNs of unknown peers are dropped while SYN cookies are off, because
    /// the last quarter of tcp_max_syn_backlog is kept.
    pub(crate) reserve_from_requests: u32,
    /// Whether that rule is on: tcp_syncookies is 0.
    pub(crate) reserve_is_on: bool,
    /// Whether ListenDrops counts what that rule drops.
    pub(crate) reserve_is_counted: bool,
    /// What happens to a SYN when the SYN queue is full.
    pub(crate) syn_queue_full_then: String,
    /// What happens to a SYN when the accept queue is full.
    pub(crate) accept_queue_full_then: String,
    /// What is commonly said of it and not so.
    pub(crate) lore: Vec<LoreEntry>,
    /// The rules behind it.
    pub(crate) rules: Vec<SourceEntry>,
    /// The same numbers on every kernel generation.
    pub(crate) kernels: Vec<KernelsLimits>,
}

/// The queues of a listener with one backlog.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub(crate) struct QueuesEntry {
    /// The backlog given to listen(); null for any that is not below somaxconn, or negative.
    pub(crate) backlog: Option<i32>,
    /// The limit that the kernel stores.
    pub(crate) limit: u32,
    /// Connections that the accept queue holds: the limit and one.
    pub(crate) room: u64,
    /// What made the limit smaller than the backlog.
    pub(crate) cut: Option<Cut>,
    /// Requests that the SYN queue holds.
    pub(crate) syn_queue: u64,
}

/// What made a limit smaller than the backlog.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cut {
    /// net.core.somaxconn.
    Somaxconn,
    /// The kernel keeps 16 bits.
    SixteenBits,
}

/// Kernels with the same limits.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub(crate) struct KernelsLimits {
    /// Their names.
    pub(crate) kernels: String,
    /// Why these kernels would not take one of the settings; null if they take all.
    pub(crate) refused: Option<String>,
    /// The queues; null if a setting is refused.
    pub(crate) queues: Option<QueuesEntry>,
    /// When a full accept queue drops a SYN; null if a setting is refused.
    pub(crate) drops_syns: Option<String>,
}

/// Timetables.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct RetriesEntry {
    /// The kernel.
    pub(crate) kernel: KernelEntry,
    /// What the timetables depend on.
    pub(crate) settings: Vec<SettingEntry>,
    /// The side that connects.
    pub(crate) client: ClientEntry,
    /// The side that listens.
    pub(crate) server: ServerEntry,
    /// With TCP_DEFER_ACCEPT, if it was asked for.
    pub(crate) defer_accept: Option<DeferEntry>,
    /// How late timers can be.
    pub(crate) slack: String,
    /// What is commonly said of it and not so.
    pub(crate) lore: Vec<LoreEntry>,
    /// The counters that the client's time-outs move, in words.
    pub(crate) client_counters: String,
    /// The same for the server.
    pub(crate) server_counters: String,
    /// The rules behind it.
    pub(crate) rules: Vec<SourceEntry>,
    /// The client's timetable on every kernel generation, with the settings that were given and its own
    /// defaults for the rest.
    pub(crate) client_kernels: Vec<KernelsClient>,
    /// The same for the server.
    pub(crate) server_kernels: Vec<KernelsServer>,
}

/// The timetable of a connect() that nobody answers.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub(crate) struct ClientEntry {
    /// When each SYN is sent, in milliseconds.
    pub(crate) syn_sent_ms: Vec<u64>,
    /// When connect() fails with ETIMEDOUT.
    pub(crate) fails_after_ms: u64,
    /// Whether TCP_USER_TIMEOUT can end it sooner.
    pub(crate) user_timeout_counts: bool,
}

/// The timetable of a request that nobody acknowledges.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub(crate) struct ServerEntry {
    /// When each SYN-ACK is sent, in milliseconds.
    pub(crate) syn_ack_sent_ms: Vec<u64>,
    /// When the request is forgotten, silently.
    pub(crate) forgotten_after_ms: u64,
}

/// The timetable of a request that the client acknowledged without data, with TCP_DEFER_ACCEPT.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub(crate) struct DeferEntry {
    /// The seconds that were given.
    pub(crate) seconds: u32,
    /// The time-outs that the kernel makes of them.
    pub(crate) timeouts: u8,
    /// What getsockopt() gives back, in milliseconds.
    pub(crate) reads_back_ms: u64,
    /// When each SYN-ACK is sent, in milliseconds.
    pub(crate) syn_ack_sent_ms: Vec<u64>,
    /// From when on a bare ACK makes a connection.
    pub(crate) bare_ack_taken_after_ms: u64,
    /// When the request is forgotten, silently.
    pub(crate) forgotten_after_ms: u64,
}

/// Kernels whose clients have the same timetable.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub(crate) struct KernelsClient {
    /// Their names.
    pub(crate) kernels: String,
    /// When each SYN is sent, in milliseconds.
    pub(crate) syn_sent_ms: Vec<u64>,
    /// When connect() fails with ETIMEDOUT.
    pub(crate) fails_after_ms: u64,
    /// Whether that was read or measured; if not, it is derived.
    pub(crate) confirmed: bool,
}

/// Kernels whose servers have the same timetable.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub(crate) struct KernelsServer {
    /// Their names.
    pub(crate) kernels: String,
    /// When each SYN-ACK is sent, in milliseconds.
    pub(crate) syn_ack_sent_ms: Vec<u64>,
    /// When the request is forgotten, silently.
    pub(crate) forgotten_after_ms: u64,
    /// What the seconds of TCP_DEFER_ACCEPT become, if asked for.
    pub(crate) defer_timeouts: Option<u8>,
}

/// A name and what it means.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct NameEntry {
    /// The name.
    pub(crate) name: String,
    /// What it belongs to: the table of a counter, the kind of a reason.
    pub(crate) of: String,
    /// What it means, in a line.
    pub(crate) meaning: String,
}

/// A counter.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct CounterEntry {
    /// The kernel's name.
    pub(crate) name: String,
    /// The table that it stands in.
    pub(crate) table: String,
    /// The file that it stands in.
    pub(crate) file: String,
    /// Its name for nstat.
    pub(crate) nstat_name: String,
    /// What it means, in a line.
    pub(crate) meaning: String,
    /// What one count stands for.
    pub(crate) unit: String,
    /// What moves it.
    pub(crate) text: String,
    /// How kernels differ.
    pub(crate) kernels: Vec<KernelsAnswer>,
    /// The refusals of this program's model that move it.
    pub(crate) moved_by: Vec<MovedEntry>,
    /// What is commonly said of it and not so.
    pub(crate) lore: Vec<LoreEntry>,
    /// Where the kernel moves it, as far as the rules behind it tell.
    pub(crate) source: Vec<String>,
    /// Rules that say more.
    pub(crate) rules: Vec<String>,
    /// Findings that use it.
    pub(crate) findings: Vec<String>,
}

/// A refusal that moves a counter.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct MovedEntry {
    /// The reason's name.
    pub(crate) reason: String,
    /// What happened.
    pub(crate) meaning: String,
    /// The kernels that count it; null for all.
    pub(crate) kernels: Option<String>,
}

/// Why a segment was refused or a reset sent.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct ReasonEntry {
    /// Its name.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) kind: ReasonOf,
    /// The release that it came with, for the kernel's own; UNCONFIRMED if it was not read.
    pub(crate) since: Option<String>,
    /// The commits that brought it, for the kernel's own; empty where they are not known.
    pub(crate) commits: Vec<String>,
    /// What it means.
    pub(crate) text: String,
    /// What it is wrongly taken for.
    pub(crate) misleading: Option<String>,
    /// Counters that move with it, and on which kernels.
    pub(crate) counters: Vec<KernelsAnswer>,
    /// Where it stands in the kernel.
    pub(crate) source: String,
    /// How to see it.
    pub(crate) shown_by: Option<String>,
}

/// Whose reason it is.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReasonOf {
    /// The kernel's, for a segment that was dropped.
    KernelDrop,
    /// The kernel's, for a reset that was sent.
    KernelReset,
    /// This program's model: finer than the kernel's.
    Model,
}

/// A rule of the kernel.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct RuleEntry {
    /// Its id.
    pub(crate) id: String,
    /// The rule in a line.
    pub(crate) title: String,
    /// The rule in plain words.
    pub(crate) paragraphs: Vec<String>,
    /// How kernels differ.
    pub(crate) kernels: Vec<KernelsAnswer>,
    /// Where it stands in the kernel.
    pub(crate) source: SourceEntry,
    /// What is commonly said of it and not so.
    pub(crate) lore: Vec<LoreEntry>,
    /// Findings that rest on it.
    pub(crate) findings: Vec<String>,
}

/// Where a rule stands in the kernel.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct SourceEntry {
    /// The rule's id.
    pub(crate) rule: String,
    /// Files and functions.
    pub(crate) code: Vec<String>,
    /// Commits that changed it.
    pub(crate) commits: Vec<CommitEntry>,
}

/// A change of the kernel.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct CommitEntry {
    /// Its hash, shortened.
    pub(crate) hash: String,
    /// The release that it came with, and what it did.
    pub(crate) what: String,
    /// Whether the hash was seen in the kernel's history.
    pub(crate) confirmed: bool,
}

/// What some kernels do.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct KernelsAnswer {
    /// Their names.
    pub(crate) kernels: String,
    /// What they do.
    pub(crate) answer: String,
}

/// What is commonly said and not so.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct LoreEntry {
    /// What is said.
    pub(crate) said: String,
    /// What is so.
    pub(crate) fact: String,
}
