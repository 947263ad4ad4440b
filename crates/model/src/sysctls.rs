//! The settings of a network namespace that decide about handshakes, with the kernel's defaults and
//! with what it refuses to take.

use std::fmt;

use crate::{MigrateReq, PortRange, Semantics, SomaxconnCheck, TimeWaitReuse};

/// The one setting here that is not below `net.ipv4`.
const CORE: &str = "somaxconn";

/// Settings as one kernel has them (`/proc/sys/net`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctls {
    /// `net.core.somaxconn`.
    pub somaxconn: u32,
    /// `net.ipv4.tcp_max_syn_backlog`. Its default depends on the memory of the machine.
    pub max_syn_backlog: i32,
    /// `net.ipv4.tcp_syncookies`: 0 never, 1 when the SYN queue is full, 2 always.
    pub syncookies: u8,
    /// `net.ipv4.tcp_abort_on_overflow`.
    pub abort_on_overflow: bool,
    /// `net.ipv4.tcp_synack_retries`.
    pub synack_retries: u8,
    /// `net.ipv4.tcp_syn_retries`.
    pub syn_retries: u8,
    /// `net.ipv4.tcp_syn_linear_timeouts`; 0 on kernels without it.
    pub syn_linear_timeouts: u8,
    /// `net.ipv4.tcp_retries2`.
    pub retries2: u8,
    /// `net.ipv4.tcp_migrate_req`.
    pub migrate_req: bool,
    /// `net.ipv4.tcp_timestamps`.
    pub timestamps: bool,
    /// `net.ipv4.tcp_tw_reuse`.
    pub tw_reuse: TimeWaitReuse,
    /// `net.ipv4.tcp_tw_reuse_delay`, in milliseconds.
    pub tw_reuse_delay_ms: u32,
    /// `net.ipv4.tcp_max_tw_buckets`.
    pub max_tw_buckets: u32,
    /// `net.ipv4.tcp_fin_timeout`, in seconds.
    pub fin_timeout_s: u32,
    /// `net.ipv4.tcp_keepalive_time`, in seconds.
    pub keepalive_time_s: u32,
    /// `net.ipv4.ip_local_port_range`.
    pub local_ports: PortRange,
    /// `net.ipv4.ip_unprivileged_port_start`, below which `ip_local_port_range` must not begin.
    pub unprivileged_from: u16,
    /// `net.ipv4.ip_local_reserved_ports`, as ranges in order.
    pub reserved_ports: Vec<PortRange>,
    /// `net.ipv4.tcp_no_metrics_save`: whether the kernel forgets what it learnt of a peer. If it
    /// does not, a peer with a measured round trip is proven, and the last-quarter rule spares it.
    pub no_metrics_save: bool,
}

/// Why a kernel would not take a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SysctlError {
    /// No setting of that name decides about handshakes.
    Unknown,
    /// This kernel does not have it.
    NotOnThisKernel {
        /// Since which release it exists.
        since: &'static str,
    },
    /// The value is not of the right form.
    Malformed {
        /// What it should be.
        wanted: &'static str,
    },
    /// The kernel refuses ports that only root may bind.
    Privileged {
        /// The first port that anybody may bind.
        from: u16,
    },
    /// The kernel refuses the number.
    OutOfRange {
        /// The smallest that it takes.
        low: i64,
        /// The largest that it takes.
        high: i64,
    },
}

impl Sysctls {
    /// The settings of this kernel if nobody changed them, on a machine with some gigabytes of
    /// memory.
    #[must_use]
    pub fn defaults(semantics: &Semantics) -> Self {
        Self {
            somaxconn: semantics.queues.somaxconn_default,
            max_syn_backlog: 2048,
            syncookies: semantics.cookies.default,
            abort_on_overflow: false,
            synack_retries: 5,
            syn_retries: semantics.client.syn_retries_default,
            syn_linear_timeouts: semantics.client.syn_linear_timeouts_default,
            retries2: 15,
            migrate_req: false,
            timestamps: true,
            tw_reuse: semantics.ports.time_wait_reuse_default,
            tw_reuse_delay_ms: 1000,
            max_tw_buckets: 131_072,
            fin_timeout_s: 60,
            keepalive_time_s: 7200,
            local_ports: semantics.ports.range_default,
            unprivileged_from: 1024,
            reserved_ports: Vec::new(),
            no_metrics_save: false,
        }
    }

    /// Sets `name` (`net.core.somaxconn`, or without `net.core.` and `net.ipv4.`) as a write to
    /// `/proc/sys` would.
    ///
    /// # Errors
    ///
    /// What the kernel would answer with EINVAL or ENOENT.
    pub fn set(
        &mut self,
        name: &str,
        value: &str,
        semantics: &Semantics,
    ) -> Result<(), SysctlError> {
        let of = |tree, is_core: bool| name.strip_prefix(tree).filter(|&n| is_core == (n == CORE));
        let full = of("net.core.", true).or_else(|| of("net.ipv4.", false));
        let name = full.unwrap_or(name);
        let value = value.trim();
        match name {
            "somaxconn" => self.somaxconn = number(value, 0, somaxconn_max(semantics))?,
            "tcp_max_syn_backlog" => {
                self.max_syn_backlog = number(value, i32::MIN.into(), INT_MAX)?;
            }
            "tcp_syncookies" => {
                let value = byte(value)?;
                // Kernels without "always" only ask whether it is 0.
                let plain = value > 0 && !semantics.cookies.always_exists;
                self.syncookies = if plain { 1 } else { value };
            }
            "tcp_abort_on_overflow" => self.abort_on_overflow = byte(value)? != 0,
            "tcp_synack_retries" => self.synack_retries = byte(value)?,
            "tcp_syn_retries" => self.syn_retries = number(value, 1, 127)?,
            "tcp_syn_linear_timeouts" => {
                exists(semantics.client.syn_linear_timeouts_default > 0, "6.5")?;
                self.syn_linear_timeouts = number(value, 0, 127)?;
            }
            "tcp_retries2" => self.retries2 = byte(value)?,
            "tcp_migrate_req" => {
                exists(semantics.queues.migrate_req != MigrateReq::Absent, "5.14")?;
                self.migrate_req = number::<u8>(value, 0, 1)? != 0;
            }
            "tcp_timestamps" => self.timestamps = byte(value)? != 0,
            "tcp_tw_reuse" => {
                let loopback_only = semantics.ports.time_wait_reuse_default != TimeWaitReuse::Off;
                let highest = if loopback_only { 2 } else { 1 };
                self.tw_reuse = TimeWaitReuse::of_setting(number(value, 0, highest)?);
            }
            "tcp_tw_reuse_delay" => {
                exists(semantics.ports.time_wait_reuse_delay_exists, "6.14")?;
                self.tw_reuse_delay_ms = number(value, 1, 60_000)?;
            }
            "tcp_max_tw_buckets" => self.max_tw_buckets = number(value, 0, INT_MAX)?,
            "tcp_fin_timeout" => self.fin_timeout_s = number(value, 0, 2_147_483)?,
            "tcp_keepalive_time" => self.keepalive_time_s = number(value, 1, 2_147_483)?,
            "ip_local_port_range" => {
                let wanted = "two ports, such as \"32768 60999\"";
                let range = value.parse().ok().filter(|range: &PortRange| range.low > 0);
                let range = range.ok_or(SysctlError::Malformed { wanted })?;
                if semantics.ports.range_is_unprivileged && range.low < self.unprivileged_from {
                    return Err(SysctlError::Privileged { from: self.unprivileged_from });
                }
                self.local_ports = range;
            }
            "ip_unprivileged_port_start" => {
                exists(semantics.ports.range_is_unprivileged, "4.11")?;
                self.unprivileged_from = number(value, 0, self.local_ports.low.into())?;
            }
            "ip_local_reserved_ports" => self.reserved_ports = reserved(value)?,
            "tcp_no_metrics_save" => self.no_metrics_save = byte(value)? != 0,
            _ => return Err(SysctlError::Unknown),
        }
        Ok(())
    }

    /// Whether `ip_local_reserved_ports` keeps a port from being chosen.
    #[must_use]
    pub fn is_reserved(&self, port: u16) -> bool {
        self.reserved_ports.iter().any(|range| range.contains(port))
    }
}

/// The largest number that an `int` of the kernel takes.
const INT_MAX: i64 = i32::MAX as i64;

fn somaxconn_max(semantics: &Semantics) -> i64 {
    match semantics.queues.somaxconn_check {
        SomaxconnCheck::SixteenBits => u16::MAX.into(),
        SomaxconnCheck::Unchecked | SomaxconnCheck::NotNegative => INT_MAX,
    }
}

fn exists(exists: bool, since: &'static str) -> Result<(), SysctlError> {
    if exists { Ok(()) } else { Err(SysctlError::NotOnThisKernel { since }) }
}

fn number<N: TryFrom<i128>>(text: &str, low: i64, high: i64) -> Result<N, SysctlError> {
    let number: i128 =
        text.parse().map_err(|_| SysctlError::Malformed { wanted: "a whole number" })?;
    (i128::from(low)..=i128::from(high))
        .contains(&number)
        .then(|| N::try_from(number).ok())
        .flatten()
        .ok_or(SysctlError::OutOfRange { low, high })
}

/// A setting of one byte, of which most only ask whether it is 0. Kernels that keep it in an `int`
/// take larger numbers too, and treat them alike.
fn byte(text: &str) -> Result<u8, SysctlError> {
    number(text, 0, u8::MAX.into())
}

fn reserved(text: &str) -> Result<Vec<PortRange>, SysctlError> {
    let entry = |entry: &str| {
        let (low, high) = entry.split_once('-').unwrap_or((entry, entry));
        let low = low.trim().parse().ok()?;
        let high = high.trim().parse().ok()?;
        (low <= high).then_some(PortRange { low, high })
    };
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            entry(part)
                .ok_or(SysctlError::Malformed { wanted: "ports, such as \"8080,9148-9200\"" })
        })
        .collect()
}

impl fmt::Display for SysctlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no setting of that name decides about handshakes"),
            Self::NotOnThisKernel { since } => {
                write!(f, "this kernel does not have it: it came with {since}")
            }
            Self::Malformed { wanted } => write!(f, "must be {wanted}"),
            Self::Privileged { from } => {
                write!(f, "must not begin below ip_unprivileged_port_start ({from})")
            }
            Self::OutOfRange { low, high } => {
                write!(f, "this kernel takes only {low} to {high}")
            }
        }
    }
}

impl std::error::Error for SysctlError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kernel: &str, name: &str, value: &str) -> Result<Sysctls, SysctlError> {
        let semantics = Semantics::of(kernel.parse().expect("a release"));
        let mut sysctls = Sysctls::defaults(&semantics);
        sysctls.set(name, value, &semantics).map(|()| sysctls)
    }

    #[test]
    fn settings_are_taken_by_their_full_and_their_short_name() {
        let full = set("6.18.0", "net.core.somaxconn", "262144\n");
        assert_eq!(full.as_ref().map(|s| s.somaxconn), Ok(262_144));
        assert_eq!(set("6.18.0", "somaxconn", "262144"), full);
        let ports = set("6.18.0", "net.ipv4.ip_local_port_range", "40000 40009");
        assert_eq!(ports.map(|s| s.local_ports), Ok(PortRange { low: 40_000, high: 40_009 }));
        let reserved = set("6.18.0", "net.ipv4.ip_local_reserved_ports", "8080,9148-9200");
        let reserved = reserved.expect("a list of ports");
        assert!(reserved.is_reserved(8080) && reserved.is_reserved(9200));
        assert!(!reserved.is_reserved(9201));
    }

    #[test]
    fn a_kernel_takes_what_it_would_take() {
        let cookies = |kernel, value| set(kernel, "tcp_syncookies", value).map(|s| s.syncookies);
        assert_eq!(cookies("6.18.0", "3"), Ok(3));
        assert_eq!(cookies("2.6.32", "2"), Ok(1), "it knows no always");
        let backlog = set("6.18.0", "tcp_max_syn_backlog", "-1");
        assert_eq!(backlog.map(|s| s.max_syn_backlog), Ok(-1));
        let range = set("4.4.0", "ip_local_port_range", "100 200").map(|s| s.local_ports);
        assert_eq!(range, Ok(PortRange { low: 100, high: 200 }));
        let semantics = Semantics::of(crate::KernelVersion::vanilla(6, 18));
        let mut open = Sysctls::defaults(&semantics);
        open.set("ip_unprivileged_port_start", "80", &semantics).expect("taken");
        open.set("ip_local_port_range", "100 200", &semantics).expect("taken");
        let too_high = open.set("ip_unprivileged_port_start", "101", &semantics);
        assert_eq!(too_high, Err(SysctlError::OutOfRange { low: 0, high: 100 }));
    }

    #[test]
    fn a_kernel_refuses_what_it_would_refuse() {
        let refused = |kernel, name, value| set(kernel, name, value).expect_err("refused");
        let range = |low, high| SysctlError::OutOfRange { low, high };
        assert_eq!(refused("3.13.0", "somaxconn", "65536"), range(0, 65_535));
        assert_eq!(set("3.10.4", "somaxconn", "262144").map(|s| s.somaxconn), Ok(262_144));
        assert_eq!(refused("6.18.0", "tcp_syncookies", "256"), range(0, 255));
        let below_int = "-2147483649";
        let int = range(-2_147_483_648, 2_147_483_647);
        assert_eq!(refused("6.18.0", "tcp_max_syn_backlog", below_int), int);
        let privileged = SysctlError::Privileged { from: 1024 };
        assert_eq!(refused("6.18.0", "ip_local_port_range", "100 200"), privileged);
        assert_eq!(refused("6.18.0", "tcp_syn_retries", "-1"), range(1, 127));
        let since = |since| SysctlError::NotOnThisKernel { since };
        assert_eq!(refused("6.1.0", "tcp_syn_linear_timeouts", "4"), since("6.5"));
        for name in ["tcp_wmem", "net.ipv4.somaxconn", "net.core.tcp_syncookies", "net.core."] {
            assert_eq!(refused("6.18.0", name, "1"), SysctlError::Unknown, "{name}");
        }
        for range in ["9 1", "0 9", "1 70000", "7"] {
            let error = refused("6.18.0", "ip_local_port_range", range);
            assert!(matches!(error, SysctlError::Malformed { .. }), "{range}");
        }
    }
}
