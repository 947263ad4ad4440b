//! A network namespace: its settings, its counters and the sockets in it, folded.

use halfopen_model::PortRange;
use serde::{Deserialize, Serialize};

use crate::{
    CloseWaitGroup, Connecting, Counters, DestinationPorts, Endpoint, NetnsId, Pid, Reading,
};

/// One network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netns {
    /// The inode of its nsfs file.
    pub id: NetnsId,
    /// What people call it, best name first. Empty where nothing names it.
    pub labels: Vec<NetnsLabel>,
    /// Whether the collector itself lives in it.
    pub is_own: bool,
    /// A process that lives in it, if one was seen.
    pub member: Option<Pid>,
    /// Its settings.
    pub sysctls: Sysctls,
    /// Its counters.
    pub counters: Reading<Counters>,
    /// How many TCP sockets it has (`/proc/net/sockstat`).
    pub tcp_use: Reading<TcpUse>,
    /// Its listening endpoints, in the order of their keys.
    pub endpoints: Reading<Vec<Endpoint>>,
    /// Connections that wait for the answer to their SYN, per destination.
    pub connecting: Reading<Vec<Connecting>>,
    /// Connections whose peer has closed and whose process has not, grouped.
    pub close_wait: Reading<Vec<CloseWaitGroup>>,
    /// Local ports in use per destination.
    pub ports: Reading<PortSpace>,
    /// Fill of the connection-tracking table.
    pub conntrack: Reading<Conntrack>,
}

/// A name for a network namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetnsLabel {
    /// The namespace of process 1.
    Host,
    /// The name of a bind mount, such as `ip netns add` makes.
    Name(String),
    /// A Kubernetes pod, by the uid in a cgroup path.
    Pod(String),
    /// A container, by the id in a cgroup path.
    Container(String),
    /// A systemd unit, by a cgroup path.
    Unit(String),
    /// The name of a process that lives in it.
    Process(String),
}

/// Settings of a namespace that the rules need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctls {
    /// `net.core.somaxconn`.
    pub somaxconn: Reading<u32>,
    /// `net.ipv4.tcp_max_syn_backlog`.
    pub tcp_max_syn_backlog: Reading<i32>,
    /// `net.ipv4.tcp_syncookies`: 0 never, 1 when a SYN queue is full, 2 always.
    pub tcp_syncookies: Reading<u32>,
    /// `net.ipv4.tcp_abort_on_overflow`.
    pub tcp_abort_on_overflow: Reading<u32>,
    /// `net.ipv4.tcp_synack_retries`.
    pub tcp_synack_retries: Reading<u32>,
    /// `net.ipv4.tcp_syn_retries`.
    pub tcp_syn_retries: Reading<u32>,
    /// `net.ipv4.tcp_syn_linear_timeouts` (6.5 and later).
    pub tcp_syn_linear_timeouts: Reading<u32>,
    /// `net.ipv4.tcp_tw_reuse`: 0 off, 1 on, 2 loopback only.
    pub tcp_tw_reuse: Reading<u32>,
    /// `net.ipv4.tcp_timestamps`.
    pub tcp_timestamps: Reading<u32>,
    /// `net.ipv4.tcp_max_tw_buckets`.
    pub tcp_max_tw_buckets: Reading<u32>,
    /// `net.ipv4.tcp_migrate_req` (5.14 and later).
    pub tcp_migrate_req: Reading<u32>,
    /// `net.ipv4.ip_local_port_range`.
    #[serde(with = "crate::destination::range")]
    pub ip_local_port_range: Reading<PortRange>,
    /// How many ports of the range `net.ipv4.ip_local_reserved_ports` takes away.
    pub reserved_ports: Reading<u32>,
}

/// TCP sockets of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpUse {
    /// Sockets that are bound or connected, TIME_WAIT left out.
    pub in_use: u32,
    /// Sockets in TIME_WAIT.
    pub time_wait: u32,
    /// Sockets that no process holds and that are not yet gone.
    pub orphans: u32,
}

/// Local ports in use, per destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpace {
    /// Destinations that use the most ports, most first. Those with few are left out.
    pub destinations: Vec<DestinationPorts>,
    /// By how many ports any count may be too low: 0 unless the namespace has more destinations
    /// than are kept at a time.
    pub undercount: u32,
    /// Ports at and above which a destination is listed.
    pub listed_from: u32,
}

/// Fill of the connection-tracking table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conntrack {
    /// Entries now (`nf_conntrack_count`).
    pub count: u32,
    /// Entries that fit (`nf_conntrack_max`).
    pub max: u32,
    /// Packets dropped because no entry could be made (`drop` of `/proc/net/stat/nf_conntrack`).
    pub drops: Reading<u64>,
    /// Entries that could not be inserted (`insert_failed`).
    pub insert_failures: Reading<u64>,
    /// Entries of connections that were not sure to exist yet, dropped to make room for others
    /// (`early_drop`).
    #[serde(default)]
    pub early_drops: Reading<u64>,
}

impl Sysctls {
    /// Ports that `connect()` may choose from in this namespace.
    pub fn usable_ports(&self) -> Reading<u32> {
        let range = self.ip_local_port_range.as_ref().map(|range| range.len());
        let reserved = self.reserved_ports.value().unwrap_or(0);
        range.map(|ports| ports.saturating_sub(reserved))
    }
}

impl Netns {
    /// The best name of the namespace, or its number.
    #[must_use]
    pub fn label(&self) -> String {
        NetnsLabel::best(&self.labels, self.id)
    }
}

impl NetnsLabel {
    /// The best of a namespace's names, which is the first, or else its number.
    #[must_use]
    pub fn best(labels: &[Self], id: NetnsId) -> String {
        match labels.first() {
            Some(Self::Host) => "host".to_owned(),
            Some(Self::Name(name)) => name.clone(),
            Some(Self::Pod(uid)) => format!("pod {uid}"),
            Some(Self::Container(id)) => {
                format!("container {}", id.chars().take(12).collect::<String>())
            }
            Some(Self::Unit(unit)) => unit.clone(),
            Some(Self::Process(comm)) => format!("netns of {comm}"),
            None => format!("netns {id}"),
        }
    }
}
