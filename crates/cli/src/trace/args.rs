//! Arguments of `halfopen trace`.

use std::time::Duration;

use clap::Args;

use crate::args::{What, parse_span};

/// Arguments of `trace`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TraceArgs {
    /// What to watch
    #[command(flatten)]
    pub(super) what: What,
    /// Show every handshake, not only those that go wrong
    #[arg(short, long)]
    pub(super) all: bool,
    /// End after this time, such as 500ms, 10s or 1m [default: at Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
    pub(super) watch: Option<Duration>,
    /// End when so many lines of handshakes have been shown
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// How long connections wait for accept(), by listener, at the end
    #[arg(long, conflicts_with = "packets")]
    pub(super) hist: bool,
    /// Watch through packet sockets, even where BPF programs may be loaded, which see more
    #[arg(long)]
    pub(super) packets: bool,
    /// Watch one network namespace, by name, pod, container, unit, process name or number
    #[arg(long, value_name = "NAME")]
    pub(super) netns: Option<String>,
    /// A line of JSON per handshake and one for the summary; the schema is docs/schema/trace.json
    #[arg(short, long)]
    pub(super) json: bool,
    /// Lines of handshakes a second at the most; how many were left out is said. 0 for no bound
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) rate: u32,
    /// Show everything in the summary: findings with their evidence, every server
    #[arg(short, long)]
    pub(super) verbose: bool,
}

pub(crate) const ABOUT: &str = "\
Each TCP handshake as it happens: how it came out, when, between whom, and what was sent again

Shows what goes wrong as soon as that can be told, once when a handshake is seen to be in trouble and \
once when it has ended otherwise, and counts the rest. At the end comes a summary, with the verdicts \
of `halfopen check` as far as the wire tells them. Changes nothing on the host.";

const EXAMPLES: &str = "\
Needs root. Programs in the kernel need CAP_BPF and CAP_PERFMON; where they may not be loaded, packet
sockets watch instead, which need CAP_NET_RAW, and CAP_SYS_ADMIN for other network namespaces.

Exit status: that of `halfopen pcap`: 0 nothing wrong seen, 1 the worst finding is a warning, 2 it is a
failure, 3 no TCP handshake seen, 64 wrong usage.

Examples:
  halfopen trace                          what goes wrong on this host, until Ctrl-C
  halfopen trace :8080 --all              every handshake with port 8080
  halfopen trace --for 10s dport = :443   what this host's connections to port 443 come to
  halfopen trace --hist --for 1m :8080    how long connections wait for accept()
  halfopen trace --netns blue
  halfopen trace --json | jq 'select(.outcome == \"third-ack-ignored\")'

Filter:
  :8080  sport = :8080  dport = :443  src 10.0.0.1  dst 10.0.0.0/8  pid 812
  comm nginx  netns blue      joined by and, or, not and parentheses";
