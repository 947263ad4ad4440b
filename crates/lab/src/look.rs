//! What the kernel says about the lab's own namespace, read from /proc.
//!
//! The tool that the lab tests reads sockets over netlink. The lab looks for itself, by another way,
//! so that one mistake cannot hide another.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use halfopen_scenario::ThreadState;

/// Values of the column `st` (include/net/tcp_states.h).
pub(crate) mod state {
    pub(crate) const ESTABLISHED: u8 = 1;
    pub(crate) const SYN_RECV: u8 = 3;
    pub(crate) const CLOSE_WAIT: u8 = 8;
    pub(crate) const LISTEN: u8 = 10;
}

/// A row of /proc/net/tcp or tcp6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) state: u8,
    /// For a listener, the connections in its accept queue.
    pub(crate) receive_queue: u64,
    /// 0 for a connection that no process has accepted.
    pub(crate) inode: u64,
}

/// All sockets of the namespace.
pub(crate) fn sockets() -> Result<Vec<Socket>> {
    let mut text = read(Path::new("/proc/thread-self/net/tcp"))?;
    let ipv6 = Path::new("/proc/thread-self/net/tcp6");
    // A kernel without IPv6 has no such file.
    if ipv6.exists() {
        text.push_str(&read(ipv6)?);
    }
    // The headings are no rows.
    Ok(text.lines().filter_map(socket).collect())
}

fn socket(row: &str) -> Option<Socket> {
    let mut columns = row.split_ascii_whitespace();
    let local = columns.nth(1)?;
    let remote = columns.next()?;
    let state = columns.next()?;
    let queues = columns.next()?;
    let inode = columns.nth(4)?;
    let port = |address: &str| u16::from_str_radix(address.split_once(':')?.1, 16).ok();
    Some(Socket {
        local_port: port(local)?,
        remote_port: port(remote)?,
        state: u8::from_str_radix(state, 16).ok()?,
        receive_queue: u64::from_str_radix(queues.split_once(':')?.1, 16).ok()?,
        inode: inode.parse().ok()?,
    })
}

/// The value of a counter of the namespace by its bare name; none if the kernel has no such.
pub(crate) fn counter(name: &str) -> Result<Option<u64>> {
    for file in ["netstat", "snmp"] {
        let text = read(&Path::new("/proc/thread-self/net").join(file))?;
        if let Some(value) = counter_in(&text, name) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The files give names and values in lines that alternate.
fn counter_in(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let mut pairs = names.split_ascii_whitespace().zip(values.split_ascii_whitespace());
        if let Some((_, value)) = pairs.find(|(candidate, _)| *candidate == name) {
            return value.parse().ok();
        }
    }
    None
}

/// All counters of the namespace that are in some tables, as `Table.Name`; without those that are
/// negative, since those count nothing (`Tcp.MaxConn`).
pub(crate) fn counters(tables: &[&str]) -> Result<BTreeMap<String, u64>> {
    let mut counters = BTreeMap::new();
    for file in ["netstat", "snmp"] {
        let text = read(&Path::new("/proc/thread-self/net").join(file))?;
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        while let (Some((table, names)), Some((_, values))) = (lines.next(), lines.next()) {
            if !tables.contains(&table) {
                continue;
            }
            let pairs = names.split_ascii_whitespace().zip(values.split_ascii_whitespace());
            let number = |(name, value): (&str, &str)| {
                Some((format!("{table}.{name}"), value.parse().ok()?))
            };
            counters.extend(pairs.filter_map(number));
        }
    }
    Ok(counters)
}

/// Where a thread of a process is; none if it is in no place that a scenario speaks of.
pub(crate) fn thread_state(pid: u32, thread: &str) -> Result<Option<ThreadState>> {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    let listing =
        fs::read_dir(&tasks).with_context(|| format!("cannot read {}", tasks.display()))?;
    for task in listing {
        let task = task?.path();
        // A thread may end between the listing and this.
        let Ok(comm) = fs::read_to_string(task.join("comm")) else { continue };
        if comm.trim_end() == thread {
            let call = fs::read_to_string(task.join("syscall")).unwrap_or_default();
            return Ok(place(&call));
        }
    }
    Ok(Some(ThreadState::Gone))
}

fn place(call: &str) -> Option<ThreadState> {
    let number: libc::c_long = call.split_ascii_whitespace().next()?.parse().ok()?;
    match number {
        libc::SYS_futex => Some(ThreadState::InLock),
        libc::SYS_clock_nanosleep | libc::SYS_nanosleep => Some(ThreadState::InSleep),
        libc::SYS_connect => Some(ThreadState::InConnect),
        libc::SYS_read | libc::SYS_recvfrom => Some(ThreadState::InRead),
        _ => None,
    }
}

/// Whether every thread of a process is stopped.
pub(crate) fn is_stopped(pid: u32) -> Result<bool> {
    let status = read(&Path::new("/proc").join(pid.to_string()).join("status"))?;
    Ok(status.lines().any(|line| line.starts_with("State:\tT")))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_listener_is_read_from_its_row() {
        let row = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000006 00:00000000 00000000     \
                   0        0 4242 1 0000000000000000 100 0 0 10 0";
        let listener = Socket {
            local_port: 8080,
            remote_port: 0,
            state: state::LISTEN,
            receive_queue: 6,
            inode: 4242,
        };
        assert_eq!(socket(row), Some(listener));
        let ipv6 = row.replace("00000000:1F90", "00000000000000000000000000000000:1F90");
        assert_eq!(socket(&ipv6), Some(listener));
        let heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt";
        assert_eq!(socket(heading), None);
    }

    #[test]
    fn a_counter_is_found_under_its_name() {
        let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\n";
        assert_eq!(counter_in(text, "ListenOverflows"), Some(22));
        assert_eq!(counter_in(text, "NoSuchThing"), None);
    }
}
