//! SYN cookies: when they are sent, how long they are good for.

use crate::{KernelVersion, Vendor};

/// SYN cookies of one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieRules {
    /// Default of `tcp_syncookies`: 0 in 2.6.32, 1 later. For 3.0 to 3.6 UNCONFIRMED: distributions
    /// set 1 anyway.
    pub default: u8,
    /// Whether the value 2, always, exists. From 3.13 and in RHEL 7.
    pub always_exists: bool,
    /// How long after the listener last sent a cookie one is believed, in milliseconds: 3000
    /// (`TCP_TIMEOUT_FALLBACK`), and two minutes from 4.2 (`TCP_SYNCOOKIE_VALID`).
    pub believed_for_ms: u32,
    /// How many minutes a cookie's own count may lag behind: 4, and 2 from 3.16 (3.13 is
    /// UNCONFIRMED and taken like 3.10).
    pub max_age_minutes: u8,
    /// Whether SyncookiesFailed counts ACKs that come while no cookie was sent for long. To 3.16;
    /// from 4.0 on they only get their RST.
    pub counts_unasked_failures: bool,
    /// Whether the sockets of a SO_REUSEPORT group believe each other's cookies. From 4.20.
    pub shared_by_group: bool,
}

impl CookieRules {
    pub(super) const fn of(v: KernelVersion) -> Self {
        let rhel7 = matches!(v.vendor, Vendor::Rhel(7));
        Self {
            default: if v.at_least(3, 0) { 1 } else { 0 },
            always_exists: v.at_least(3, 13) || rhel7,
            believed_for_ms: if v.at_least(4, 2) { 120_000 } else { 3_000 },
            max_age_minutes: if v.at_least(3, 16) { 2 } else { 4 },
            counts_unasked_failures: !v.at_least(4, 0),
            shared_by_group: v.at_least(4, 20),
        }
    }
}
