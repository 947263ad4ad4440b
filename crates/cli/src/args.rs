//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use halfopen_diagnose::{Filter, FindingId};
use halfopen_model::{Counter, KernelVersion};

pub(crate) use crate::pcap::PcapArgs;
pub(crate) use crate::stacks::StacksArgs;
pub(crate) use crate::trace::TraceArgs;

use crate::explain::{Reasons, Topic, parse_counter, parse_reason, parse_rule};

/// Says why a TCP connection never became one: which listener, which process, which thread, how we
/// know, what to do.
#[derive(Debug, Parser)]
#[command(name = "halfopen", version, max_term_width = 100, after_help = TOP_EXAMPLES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What is wrong on this host now?
    #[command(long_about = CHECK_ABOUT)]
    Check(CheckArgs),
    /// Take the evidence of a check into a file, to look at it elsewhere
    Record(RecordArgs),
    /// Run a check over recorded evidence
    Replay(ReplayArgs),
    /// Each TCP handshake as it happens: how it came out, when, between whom, what was sent again
    #[command(long_about = crate::trace::ABOUT)]
    Trace(TraceArgs),
    /// What became of each TCP handshake in a capture?
    #[command(long_about = PCAP_ABOUT)]
    Pcap(PcapArgs),
    /// What is every thread of a process doing, and who holds the lock that it waits for?
    #[command(long_about = crate::stacks::ABOUT)]
    Stacks(StacksArgs),
    /// What would a kernel do? Simulate a scenario on any kernel, with any settings
    #[command(long_about = SIM_ABOUT)]
    Sim(SimArgs),
    /// The kernel's rules behind a number: queue limits, timetables, counters, drop reasons
    Explain(ExplainArgs),
    /// Reproduce incidents on the running kernel, in scratch namespaces
    Lab(LabArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page (roff)
    Man,
    /// Write docs, schema, man page and completions
    #[command(hide = true)]
    Generate {
        /// The directory to write to
        #[arg(long)]
        out: PathBuf,
    },
}

/// Arguments of `check`.
#[derive(Args, Debug)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct CheckArgs {
    /// What to look at
    #[command(flatten)]
    pub(crate) what: What,
    /// Look once, without a window: for exec probes and load balancers
    #[arg(long, conflicts_with = "window")]
    pub(crate) now: bool,
    /// Keep the evidence in a file too, for `halfopen replay`
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Time between the two looks, such as 500ms, 5s or 1m
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_window)]
    pub(crate) window: Duration,
    /// How to print it
    #[command(flatten)]
    pub(crate) print: Print,
    /// Load no BPF programs into the kernel: some verdicts are less sure then, and the report says which
    #[arg(long)]
    pub(crate) no_bpf: bool,
    /// Print the page of a finding and look at nothing
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub(crate) explain: Option<FindingId>,
}

/// Takes the evidence of a check, with all that its rules asked for, and no verdict.
#[derive(Args, Debug)]
#[command(after_help = RECORD_EXAMPLES)]
pub(crate) struct RecordArgs {
    /// What to look at
    #[command(flatten)]
    pub(crate) what: What,
    /// Where to write it; must not exist yet
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Time between the two looks, such as 500ms, 5s or 1m
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_window)]
    pub(crate) window: Duration,
    /// Load no BPF programs into the kernel: some verdicts are less sure then, and the report says which
    #[arg(long)]
    pub(crate) no_bpf: bool,
}

/// Prints what `check` printed, or would have printed, from the same evidence.
#[derive(Args, Debug)]
#[command(after_help = REPLAY_EXAMPLES)]
pub(crate) struct ReplayArgs {
    /// A file that `record`, or `check --record`, wrote; `-` for standard input
    pub(crate) file: PathBuf,
    /// What to look at
    #[command(flatten)]
    pub(crate) what: What,
    /// How to print it
    #[command(flatten)]
    pub(crate) print: Print,
}

/// Which listeners and destinations.
#[derive(Args, Debug)]
pub(crate) struct What {
    /// Only these, in the language of ss and tcpdump: `:8080`, `sport = :8080`, `dst 10.0.0.7`,
    /// `pid 812`, `netns NAME`, joined by `and`, `or`, `not`
    #[arg(value_name = "FILTER", num_args = 0..)]
    filter: Vec<String>,
}

/// How to print a report.
#[derive(Args, Debug, Default)]
pub(crate) struct Print {
    /// Text for people, Markdown for a ticket, JSON for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as --format json
    #[arg(short, long, conflicts_with = "format")]
    json: bool,
    /// Show every listener, not only the first ones
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For a ticket or a chat.
    Markdown,
    /// For programs; the schema is docs/schema/check.json.
    Json,
}

/// Arguments of `sim`.
#[derive(Args, Debug)]
#[command(after_help = SIM_EXAMPLES)]
pub(crate) struct SimArgs {
    /// A scenario file, the name of a scenario that is built in, or `-` for standard input
    #[arg(value_name = "FILE|NAME", required_unless_present = "list")]
    pub(crate) scenario: Option<String>,
    /// The servers' kernel: 3.10.4, 6.1.0-32-amd64, rhel7; without it, the scenario's own or 6.18
    #[arg(long, value_name = "RELEASE")]
    pub(crate) kernel: Option<String>,
    /// What is left to chance follows from it: the same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Change the scenario: backlog, pause, workers, count, every, kernel, or a sysctl by its name
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Run it for each of several values of one key: FROM..TO, FROM..TO:STEPS, or VALUE,VALUE…
    #[arg(long, value_name = "KEY=VALUES")]
    pub(crate) sweep: Option<String>,
    /// Observe it for so long after its last step, instead of awaiting the states that it awaits
    /// there; pass over others that do not come [default with --set and --sweep: 10s]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
    pub(crate) observe: Option<Duration>,
    /// As JSON; the schemas are docs/schema/sim.json and sim-sweep.json
    #[arg(short, long)]
    pub(crate) json: bool,
    /// Show everything: every step, listener and counter
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Write the queues over time, or the sweep, as comma-separated values; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Write a picture of the queues over time and of connect latency, or of the sweep
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Write what crossed the servers' interfaces as a capture (pcapng)
    #[arg(long, value_name = "FILE", conflicts_with = "sweep")]
    pub(crate) pcap: Option<PathBuf>,
    /// List the scenarios that are built in
    #[arg(long, conflicts_with_all = ["scenario", "kernel", "set", "sweep", "observe", "csv", "svg", "pcap"])]
    pub(crate) list: bool,
}

/// Says what the kernel does and where that stands in its source, for this host's kernel or any other,
/// and how kernels differ. Looks at nothing but the release and the settings of this host.
#[derive(Args, Debug)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub(crate) struct ExplainArgs {
    /// What to explain
    #[command(subcommand)]
    pub(crate) command: ExplainCommand,
}

/// What to explain.
#[derive(Debug, Subcommand)]
pub(crate) enum ExplainCommand {
    /// What a backlog becomes: room of the accept queue and of the SYN queue
    #[command(after_help = LIMITS_EXAMPLES)]
    Limits(LimitsArgs),
    /// When SYN and SYN-ACK are sent again, and when either side gives up
    #[command(after_help = RETRIES_EXAMPLES)]
    Retries(RetriesArgs),
    /// What moves a counter, on which kernels, and what it is mistaken for
    #[command(after_help = COUNTER_EXAMPLES)]
    Counter {
        /// Its name, in any case: ListenDrops, TcpExt.ListenDrops; without it, all are listed
        #[arg(value_parser = parse_counter)]
        name: Option<Counter>,
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
    /// What a drop reason or a reset reason of the kernel says of a handshake
    #[command(after_help = REASON_EXAMPLES)]
    Reason {
        /// Its name, in any case, with or without prefix; without it, all are listed
        #[arg(value_parser = parse_reason)]
        name: Option<Reasons>,
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
    /// A rule of the kernel, or the page of a finding
    #[command(after_help = RULE_EXAMPLES)]
    Rule {
        /// Its id; without it, all are listed
        #[arg(value_parser = parse_rule)]
        id: Option<Topic>,
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
}

/// Arguments of `explain limits`. What is not given is this host's, or with --kernel that kernel's
/// default.
#[derive(Args, Debug)]
pub(crate) struct LimitsArgs {
    /// Another kernel: 3.10.4, 6.1.0-32-amd64, rhel7, 'RHEL 7'
    #[arg(long, value_name = "RELEASE", value_parser = parse_kernel)]
    pub(crate) kernel: Option<(String, KernelVersion)>,
    /// What the program gives to listen(); without it, common values are shown
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) backlog: Option<i32>,
    /// net.core.somaxconn
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) somaxconn: Option<i64>,
    /// net.ipv4.tcp_max_syn_backlog
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) max_syn_backlog: Option<i64>,
    /// net.ipv4.tcp_syncookies: 0 never, 1 when the SYN queue is full, 2 always
    #[arg(long, value_name = "0|1|2", allow_negative_numbers = true)]
    pub(crate) syncookies: Option<i64>,
    /// As JSON
    #[arg(short, long)]
    pub(crate) json: bool,
}

/// Arguments of `explain retries`. What is not given is this host's, or with --kernel that kernel's
/// default.
#[derive(Args, Debug)]
pub(crate) struct RetriesArgs {
    /// Another kernel: 3.10.4, 6.1.0-32-amd64, rhel7, 'RHEL 7'
    #[arg(long, value_name = "RELEASE", value_parser = parse_kernel)]
    pub(crate) kernel: Option<(String, KernelVersion)>,
    /// net.ipv4.tcp_syn_retries, or TCP_SYNCNT of the client's socket
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) syn_retries: Option<i64>,
    /// net.ipv4.tcp_syn_linear_timeouts (Linux 6.5 and later)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) linear: Option<i64>,
    /// net.ipv4.tcp_synack_retries, or TCP_SYNCNT of the listener
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) synack_retries: Option<i64>,
    /// The seconds that the listener gives to TCP_DEFER_ACCEPT
    #[arg(long, value_name = "SECONDS")]
    pub(crate) defer_accept: Option<u32>,
    /// As JSON
    #[arg(short, long)]
    pub(crate) json: bool,
}

/// Each scenario is one incident of the field, made with real sockets on the running kernel, inside
/// namespaces of its own. Needs no root where the kernel permits user namespaces.
#[derive(Args, Debug)]
#[command(after_help = LAB_EXAMPLES)]
pub(crate) struct LabArgs {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: LabCommand,
}

/// What to do in the lab.
#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// List the scenarios, the findings that each must give, and what each needs
    List {
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
    /// Measure how this kernel fills its queues, and which releases do so
    #[command(after_help = PROBE_EXAMPLES)]
    Probe {
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
    /// Bring a scenario about
    Run(LabRunArgs),
}

/// Which scenarios, and what to do with them.
#[derive(Args, Debug)]
pub(crate) struct LabRunArgs {
    /// Its name; with --check several, or `all`
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Leave it standing until Enter, Ctrl-C or ten minutes
    #[arg(long)]
    pub(crate) hold: bool,
    /// Check it, print the verdict, and exit 0 only if it is exactly the expected one
    #[arg(long)]
    pub(crate) check: bool,
    /// Load no BPF programs for the check
    #[arg(long, requires = "check")]
    pub(crate) no_bpf: bool,
    /// Play it over IPv6 instead of IPv4
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,
    /// Print the verdict alone, as a line of JSON for each scenario
    #[arg(short, long, requires = "check", conflicts_with = "hold")]
    pub(crate) json: bool,
    /// Print what was seen of it as JSON, for programs: queues, sockets and counters at each
    /// look and at the end, and every segment
    #[arg(long, conflicts_with_all = ["hold", "check"])]
    pub(crate) account: bool,
    /// Write what crosses its interfaces to a capture file, for tcpdump and Wireshark
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hold", "check"])]
    pub(crate) pcap: Option<PathBuf>,
}

impl What {
    /// The filter that the words make.
    pub(crate) fn filter(&self) -> Result<Filter, clap::Error> {
        Filter::parse(&self.filter.join(" ")).map_err(|error| {
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{error}\n"))
        })
    }
}

impl Print {
    /// How to print it.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

const WINDOW_MAX: Duration = Duration::from_secs(3600);

fn parse_window(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1.0,
        "s" | "" => 1000.0,
        "m" | "min" => 60_000.0,
        unit => return Err(format!("{unit:?} is no unit of time; use ms, s or m")),
    };
    let number: f64 = digits.parse().map_err(|_| "not a time; write 500ms, 2s or 1m".to_owned())?;
    let window = Duration::try_from_secs_f64(number * unit_ms / 1000.0)
        .map_err(|_| "not a time; write 500ms, 2s or 1m".to_owned())?;
    if window < Duration::from_millis(100) || window > WINDOW_MAX {
        return Err("a window is between 100ms and 60m; for a single look use --now".to_owned());
    }
    Ok(window)
}

pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    halfopen_sim::overrides::parse_time(text)
        .filter(|time| (Duration::from_millis(100)..=WINDOW_MAX).contains(time))
        .ok_or_else(|| "write a time from 100ms to 60m, such as 500ms, 10s or 1m".to_owned())
}

fn parse_kernel(text: &str) -> Result<(String, KernelVersion), String> {
    let version = KernelVersion::named(text).map_err(|error| error.to_string())?;
    Ok((text.trim().to_owned(), version))
}

fn parse_id(text: &str) -> Result<FindingId, String> {
    text.parse::<FindingId>().map_err(|error| error.to_string())
}

const CHECK_ABOUT: &str = "\
What is wrong on this host now?

Looks twice at every network namespace, a short window apart, and gives a verdict per listener and \
per failing destination: the cause, how we know, what to do and what would not help. Stops no \
process and changes nothing.";

const PCAP_ABOUT: &str = "\
What became of each TCP handshake in a capture?

Reads pcap and pcapng of any system, plain or compressed with gzip, zstd or LZ4, from files, pipes and \
standard input, and says how each attempt came out, which servers are in trouble, and how to look at \
one handshake. Files named together are read as one capture, in the order of time.";

const TOP_EXAMPLES: &str = "\
Examples:
  halfopen check                    what is wrong on this host
  halfopen check :8080              the listener on port 8080
  halfopen check --now :8080        the same in some milliseconds, for a probe
  halfopen record -o db1.halfopen   evidence into a file, for another machine
  halfopen replay db1.halfopen      and the verdict there
  halfopen trace                    what goes wrong with handshakes, as it happens
  halfopen pcap a.pcap              what became of each handshake in a capture
  halfopen sim never-accepts        what another kernel would do
  halfopen explain limits           what a backlog becomes on this kernel
  halfopen explain counter ListenDrops
  halfopen lab run never-accepts --check

`halfopen COMMAND --help` has more. Without root it sees less, and says what.";

const CHECK_EXAMPLES: &str = "\
Exit status:
  0   healthy
  1   warning: nothing fails yet, or little
  2   failure: connections fail
  3   not enough could be seen to say
  64  the command line makes no sense

Examples:
  halfopen check
  halfopen check --window 10s 'sport = :443 or sport = :8443'
  halfopen check pid 812
  halfopen check --json | jq '.findings[] | {id, headline}'
  halfopen check --now :8080              as a Kubernetes exec probe
  halfopen check --format markdown        for a ticket
  halfopen check --explain accept-blocked

Filter:
  :8080  sport = :8080  dport = :443  src 10.0.0.1  dst 10.0.0.0/8  pid 812
  comm nginx  uid 33  netns blue      joined by and, or, not and parentheses";

const RECORD_EXAMPLES: &str = "\
A recording holds addresses, ports, process and thread names, and counters; no data of any
connection and no command lines. It is gzip-compressed JSON: `zcat FILE | jq` shows it.

Examples:
  halfopen record -o incident.halfopen
  halfopen record --window 30s -o incident.halfopen :8080";

const REPLAY_EXAMPLES: &str = "\
Exit status: that of `halfopen check`.

Examples:
  halfopen replay incident.halfopen
  halfopen replay incident.halfopen --json :8080
  ssh db1 halfopen record -o /dev/stdout | halfopen replay -";

const SIM_ABOUT: &str = "\
What would a kernel do? Simulate a scenario on any kernel, with any settings

Plays a scenario on a simulated host whose TCP follows the rules of a kernel release, and prints \
what happened, the queues over time, what came of the clients, counters, drops, and the verdict of a \
check. Opens no socket and needs no privileges; seconds of a real host take milliseconds.";

const SIM_EXAMPLES: &str = "\
Exit status:
  0   simulated; the findings are those that the scenario expects, if it is unchanged
  1   they are not, or a state that the scenario waits for did not come
  3   a file could not be written
  64  the scenario file or the command line makes no sense

Examples:
  halfopen sim never-accepts
  halfopen sim incident.toml --kernel rhel7
  halfopen sim too-slow-accept --set backlog=128 --set net.ipv4.tcp_syncookies=0
  halfopen sim too-slow-accept --sweep pause=1ms..200ms      how slow is too slow
  halfopen sim momentary-queue --sweep backlog=1..1024       how deep is deep enough
  halfopen sim syn-queue-full --sweep kernel=rhel6,rhel7,6.18
  halfopen sim never-accepts --pcap - | tshark -r -
  halfopen sim never-accepts --svg queues.svg --csv queues.csv

With --set and --sweep, the states that the scenario awaits at its end give way to a span of time
(--for), so that runs can be compared. A scenario that ends with a `pass` step keeps that.

CSV of a run:    at_us,host,port,listener,depth,limit,requests,accepted,drops
CSV of a sweep:  KEY,verdict,findings,room,peak,accepted,dropped_syns,dropped_third_acks,…";

const EXPLAIN_EXAMPLES: &str = "\
Exit status: 0, or 64 if a name is not known or a kernel would refuse a setting.

Examples:
  halfopen explain limits                       what a backlog becomes on this host
  halfopen explain limits --kernel rhel7 --somaxconn 65535 --backlog 1024
  halfopen explain retries                      when connect() fails here
  halfopen explain counter ListenOverflows
  halfopen explain reason TCP_LISTEN_OVERFLOW
  halfopen explain rule                         all rules and findings
  halfopen explain rule third-ack

Every subcommand has --json; the schema is docs/schema/explain.json.";

const LIMITS_EXAMPLES: &str = "\
What is not given is this host's; with --kernel it is that kernel's default.

Examples:
  halfopen explain limits                            common backlogs on this host
  halfopen explain limits --backlog 511              what nginx asks for
  halfopen explain limits --kernel 3.10.4 --somaxconn 262144 --backlog 262144
  halfopen explain limits --syncookies 0 --max-syn-backlog 16";

const RETRIES_EXAMPLES: &str = "\
What is not given is this host's; with --kernel it is that kernel's default.

Examples:
  halfopen explain retries
  halfopen explain retries --syn-retries 2           when connect() fails then
  halfopen explain retries --kernel 'RHEL 7' --defer-accept 10";

const COUNTER_EXAMPLES: &str = "\
Examples:
  halfopen explain counter                           every counter, a line each
  halfopen explain counter ListenDrops
  halfopen explain counter TcpExtTCPReqQFullDrop     as nstat prints it
  halfopen explain counter InErrs --json";

const REASON_EXAMPLES: &str = "\
Examples:
  halfopen explain reason                            every reason, a line each
  halfopen explain reason NO_SOCKET
  halfopen explain reason SKB_DROP_REASON_TCP_INVALID_SYN";

const RULE_EXAMPLES: &str = "\
Examples:
  halfopen explain rule                              every rule and finding, a line each
  halfopen explain rule accept-queue-full
  halfopen explain rule accept-blocked               the page of a finding";

const LAB_EXAMPLES: &str = "\
Exit status of `run --check`: 0 if the findings are exactly the expected ones, 1 if not, 3 if the
scenario cannot run here.

Examples:
  halfopen lab list
  halfopen lab run never-accepts --hold     then look at it with ss, in its namespace
  halfopen lab run all --check
  halfopen lab run third-acks-overflow --account | jq .looks
  halfopen lab run third-acks-overflow --pcap overflow.pcap
  halfopen lab probe";

const PROBE_EXAMPLES: &str = "\
Takes about two seconds, in a network namespace of its own. Needs /dev/net/tun.

Exit status: 0 if the kernel behaves as its version says, 1 if not, 3 if it cannot be measured here.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn windows_are_read_with_their_units() {
        assert_eq!(parse_window("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_window("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_window("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_window("1m"), Ok(Duration::from_secs(60)));
        for text in ["", "s", "-1s", "1h", "99999m", "1ms", "nan", "inf", "1e300s"] {
            assert!(parse_window(text).is_err(), "{text:?}");
        }
    }
}
