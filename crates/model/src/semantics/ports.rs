//! Local ports: in which order `connect()` tries them, and when one in TIME_WAIT may be taken.

use crate::{KernelVersion, PortRange, Vendor};

/// The search for a local port (`__inet_hash_connect`) in one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRules {
    /// Order in which `connect()` looks for a local port.
    pub search: PortSearch,
    /// Where a search begins.
    pub first_port: FirstPort,
    /// Default of `ip_local_port_range`: to 61000, and to 60999 from 4.2.
    pub range_default: PortRange,
    /// Whether `ip_local_port_range` must not begin below `ip_unprivileged_port_start`. From 4.11
    /// (4548b683b781); UNCONFIRMED before 6.18, where it was tried out.
    pub range_is_unprivileged: bool,
    /// Default of `tcp_tw_reuse`: off, and loopback only from 4.18 (79e9fed46038).
    pub time_wait_reuse_default: TimeWaitReuse,
    /// Whether the time that a port must have been in TIME_WAIT is a setting
    /// (`tcp_tw_reuse_delay`). From 6.14 (ca6a6f93867a); before, one second.
    pub time_wait_reuse_delay_exists: bool,
    /// Whether a connection in FIN_WAIT2 that is kept like TIME_WAIT can be taken over. To 6.10.
    pub reuses_fin_wait2: bool,
}

/// Order in which `connect()` tries local ports (`__inet_hash_connect`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSearch {
    /// One pass over all ports, step 1.
    OnePass,
    /// All ports of one parity first, then the other (1580ab63fc9a, between 4.5 and 4.9). So the
    /// search gets dear once half of the range is taken for a destination.
    TwoPasses,
}

/// Where a search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstPort {
    /// To 5.11: one hint for the whole host, plus a hash of the destination. Each search leaves the
    /// hint behind the port that it found.
    OneHint,
    /// From 5.12 (190cc82489f4): a table of hints by destination, of 256 entries, and of 65,536
    /// from 5.18, 5.10.y and 5.15.y (4c2c8f03a5ab).
    HintPerDestination {
        /// Entries of the table.
        slots: u32,
    },
}

/// When a port in TIME_WAIT may be taken again by `connect()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeWaitReuse {
    /// Never.
    Off,
    /// For any connection.
    On,
    /// For connections over loopback.
    LoopbackOnly,
}

impl TimeWaitReuse {
    /// The meaning of a value of `net.ipv4.tcp_tw_reuse`. The kernel refuses others than 0, 1 and 2.
    #[must_use]
    pub const fn of_setting(value: u32) -> Self {
        match value {
            1 => Self::On,
            2 => Self::LoopbackOnly,
            _ => Self::Off,
        }
    }
}

impl PortRules {
    pub(super) const fn of(v: KernelVersion) -> Self {
        let stable_2022 =
            v.major == 5 && (v.minor == 10 || v.minor == 15) && matches!(v.vendor, Vendor::Vanilla);
        Self {
            search: if v.at_least(4, 6) { PortSearch::TwoPasses } else { PortSearch::OnePass },
            first_port: if v.at_least(5, 18) || stable_2022 {
                FirstPort::HintPerDestination { slots: 65_536 }
            } else if v.at_least(5, 12) {
                FirstPort::HintPerDestination { slots: 256 }
            } else {
                FirstPort::OneHint
            },
            range_default: PortRange {
                low: 32_768,
                high: if v.at_least(4, 2) { 60_999 } else { 61_000 },
            },
            range_is_unprivileged: v.at_least(4, 11),
            time_wait_reuse_default: if v.at_least(4, 18) {
                TimeWaitReuse::LoopbackOnly
            } else {
                TimeWaitReuse::Off
            },
            time_wait_reuse_delay_exists: v.at_least(6, 14),
            reuses_fin_wait2: !v.at_least(6, 11),
        }
    }
}
