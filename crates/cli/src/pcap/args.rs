//! Arguments of `halfopen pcap`.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use halfopen_capture::Tunnels;

/// Arguments of `pcap`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PcapArgs {
    /// Captures, `-` for standard input; then a filter in the words of tcpdump: `port 443 and net
    /// 10.0.0.0/8`
    #[arg(value_name = "FILE|FILTER", required_unless_present = "point")]
    pub(super) words: Vec<String>,
    /// A capture and the point on the path where it was taken, twice or more: client=a.pcap. Two files
    /// that hold the same packets are taken for two points anyway
    #[arg(long, value_name = "NAME=FILE", action = ArgAction::Append,
          conflicts_with_all = ["pieces", "follow"])]
    pub(super) point: Vec<String>,
    /// The files are pieces of one capture, even if two of them hold the same packets
    #[arg(long)]
    pub(super) pieces: bool,
    /// A line per handshake, in the order in which they end, instead of the summary
    #[arg(long, conflicts_with_all = ["json", "sequence"])]
    pub(super) handshakes: bool,
    /// A line of JSON per handshake and one for the summary; the schema is docs/schema/pcap.json
    #[arg(short, long, conflicts_with = "sequence")]
    pub(super) json: bool,
    /// Write the handshakes as comma-separated values; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
    /// Write the handshakes as a Parquet file, for DuckDB, ClickHouse, Spark
    #[arg(long, value_name = "FILE")]
    pub(super) parquet: Option<PathBuf>,
    /// Write a report with charts that needs nothing else; `-` for standard output
    #[arg(long, value_name = "FILE", conflicts_with = "sequence")]
    pub(super) html: Option<PathBuf>,
    /// Draw one handshake segment by segment: 10.0.0.9:40000, A:PORT-B:PORT, or its number (#)
    #[arg(long, value_name = "FLOW")]
    pub(super) sequence: Option<String>,
    /// With --sequence: write the drawing; `-` for standard output
    #[arg(long, value_name = "FILE", requires = "sequence")]
    pub(super) svg: Option<PathBuf>,
    /// Show everything: findings with their evidence, every server, every warning
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// Go on as the file is written, until Ctrl-C
    #[arg(short, long, conflicts_with_all = ["sequence", "html"])]
    pub(super) follow: bool,
    /// Flows kept in memory at a time, some 150 bytes each; of two points some 700 bytes more
    #[arg(long, value_name = "N", default_value_t = 1_000_000,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000_000))]
    pub(super) max_flows: usize,
    /// 3 reads packets, follows handshakes and writes them on a thread each, 1 does all on one
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u8).range(1..=3))]
    pub(super) threads: u8,
    /// Look into these tunnels only [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',', action = ArgAction::Append)]
    pub(super) tunnel: Vec<Tunnel>,
    /// Look into no tunnel: take the outer packets as they are
    #[arg(long, conflicts_with = "tunnel")]
    pub(super) no_tunnels: bool,
}

/// A kind of tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Tunnel {
    /// IPv4 or IPv6 in IPv4 or IPv6.
    Ip,
    /// GRE.
    Gre,
    /// VXLAN.
    Vxlan,
    /// Geneve.
    Geneve,
    /// Mirrored traffic.
    Erspan,
    /// Mobile networks.
    Gtp,
    /// Teredo.
    Teredo,
}

impl PcapArgs {
    /// The tunnels that are looked into.
    pub(super) fn tunnels(&self) -> Tunnels {
        if self.no_tunnels {
            return Tunnels::NONE;
        }
        if self.tunnel.is_empty() {
            return Tunnels::default();
        }
        let has = |tunnel| self.tunnel.contains(&tunnel);
        Tunnels {
            ip_in_ip: has(Tunnel::Ip),
            // ERSPAN comes in GRE.
            gre: has(Tunnel::Gre) || has(Tunnel::Erspan),
            vxlan: has(Tunnel::Vxlan),
            geneve: has(Tunnel::Geneve),
            erspan: has(Tunnel::Erspan),
            gtp: has(Tunnel::Gtp),
            teredo: has(Tunnel::Teredo),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  halfopen pcap a.pcap                        how attempts came out, which servers are in trouble
  halfopen pcap a.pcap port 8080 and net 10.0.0.0/8
  tcpdump -i any -w - tcp | halfopen pcap -   until Ctrl-C
  halfopen pcap a.pcap --handshakes           a line each
  halfopen pcap a.pcap --sequence 10.0.0.9:40000
  halfopen pcap a.pcap --sequence 4711 --svg flow.svg
  halfopen pcap client.pcap server.pcap       one path seen at two points: what was lost between them
  halfopen pcap --point lb=lb1.pcap --point lb=lb2.pcap --point web=web.pcap
  halfopen pcap day/*.pcap.zst --parquet day.parquet
  halfopen pcap a.pcap --json | jq 'select(.outcome == \"third-ack-ignored\")'

A handshake's number is that of the packet that begins it, as Wireshark counts.

Exit status: 0 nothing wrong seen, 1 the worst finding is a warning, 2 it is a failure, 3 no TCP
handshake seen, 64 wrong usage or an unreadable file.";
