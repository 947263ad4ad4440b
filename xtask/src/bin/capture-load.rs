//! The load of `bench pcap`: a capture of many connections whose outcomes are known, because they were
//! chosen. Writes a pcap file and prints how many handshakes of each outcome are in it.
//!
//! Ethernet; one in seven connections is IPv6, one in twenty is in a VLAN; the packets of all
//! connections are mixed in the order of their times. Checksums are right.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};

#[path = "capture-load/frame.rs"]
mod frame;
#[path = "capture-load/plot.rs"]
mod plot;

use frame::{Ends, Frame};
use plot::{Plot, Sent};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("say where to write the capture")?;
    let connections = arguments.next().context("say how many connections")?;
    let connections: u32 = connections.parse().context("the number of connections is no number")?;
    let file = File::create_new(&path).with_context(|| format!("{path} cannot be made"))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    out.write_all(&file_header())?;
    let mut outcomes: BTreeMap<&'static str, u64> = BTreeMap::new();
    let packets = write_all(&mut out, connections, &mut outcomes)?;
    out.flush()?;
    let outcomes = serde_json::to_string(&outcomes)?;
    println!("{{\"packets\":{packets},\"connections\":{connections},\"outcomes\":{outcomes}}}");
    Ok(())
}

/// Microseconds between the beginnings of two connections.
const APART_US: u64 = 1_300;

/// Plays the connections that are under way side by side; only those are in memory.
fn write_all(
    out: &mut impl Write,
    connections: u32,
    outcomes: &mut BTreeMap<&'static str, u64>,
) -> Result<u64> {
    let mut under_way: BinaryHeap<Reverse<(u64, u32, usize)>> = BinaryHeap::new();
    let mut plots: BTreeMap<u32, (Ends, Vec<Sent>)> = BTreeMap::new();
    let mut frame = Frame::default();
    let mut packets = 0;
    let mut next = 0;
    loop {
        let begins = (next < connections).then(|| u64::from(next) * APART_US);
        let due = under_way.peek().map(|Reverse((at, ..))| *at);
        match (begins, due) {
            (Some(begins), due) if due.is_none_or(|due| begins <= due) => {
                let plot = Plot::number(next);
                *outcomes.entry(plot.outcome()).or_default() += 1;
                let sent = plot.play(next);
                under_way.push(Reverse((begins + sent[0].at_us, next, 0)));
                plots.insert(next, (Ends::of(next, &plot), sent));
                next += 1;
            }
            (_, Some(_)) => {
                let Some(Reverse((at, connection, index))) = under_way.pop() else { break };
                let Some((ends, sent)) = plots.get(&connection) else { break };
                frame.write(out, at, ends, &sent[index])?;
                packets += 1;
                if let Some(following) = sent.get(index + 1) {
                    let begins = u64::from(connection) * APART_US;
                    under_way.push(Reverse((begins + following.at_us, connection, index + 1)));
                } else {
                    plots.remove(&connection);
                }
            }
            (_, None) => break,
        }
    }
    Ok(packets)
}

/// Little-endian, microseconds, version 2.4, whole packets, Ethernet.
fn file_header() -> [u8; 24] {
    let mut header = [0; 24];
    header[..4].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    header[4..6].copy_from_slice(&2_u16.to_le_bytes());
    header[6..8].copy_from_slice(&4_u16.to_le_bytes());
    header[16..20].copy_from_slice(&262_144_u32.to_le_bytes());
    header[20..24].copy_from_slice(&1_u32.to_le_bytes());
    header
}
