//! The ids of the findings. They are stable: alerts, dashboards and lab scenarios name them.

use std::fmt;
use std::str::FromStr;

use crate::rules::{self, Rules};

macro_rules! finding_ids {
    ($($name:ident = $id:literal in $module:ident($($sees:ident),+): $summary:literal,)*) => {
        /// What a finding is called.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FindingId {
            $(#[doc = $summary] $name,)*
        }

        impl FindingId {
            /// Every id, the causes before their consequences.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The id as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)*
                }
            }

            /// What it means, in a line.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Self::$name => $summary,)*
                }
            }

            /// The source of its rule, which opens with its page.
            const fn source(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("rules/", stringify!($module), ".rs")),)*
                }
            }

            /// Its rules.
            #[allow(clippy::needless_update, reason = "some see all that there is")]
            pub(crate) const fn rules(self) -> Rules {
                match self {
                    $(Self::$name => {
                        Rules { $($sees: Some(rules::$module::$sees),)+ ..Rules::NONE }
                    })*
                }
            }
        }
    };
}

finding_ids! {
    AcceptProcessStopped = "accept-process-stopped" in accept_process_stopped(look):
        "The process that should accept connections is stopped, traced or frozen.",
    AcceptStarved = "accept-starved" in accept_starved(look):
        "The process that should accept connections could run and gets no CPU.",
    AcceptOutOfFds = "accept-out-of-fds" in accept_out_of_fds(look):
        "The process has no descriptors left, so accept() fails.",
    AcceptThreadMissing = "accept-thread-missing" in accept_thread_missing(look):
        "No thread waits for connections on the listener by any means.",
    AcceptDeadlock = "accept-deadlock" in accept_deadlock(look):
        "The thread that serves the listener waits for a lock that waits for it: a deadlock.",
    AcceptBlocked = "accept-blocked" in accept_blocked(look):
        "The thread that serves the listener sits in another system call.",
    AcceptStalled = "accept-stalled" in accept_stalled(look):
        "Connections wait and none is accepted; why is not established.",
    AcceptTooSlow = "accept-too-slow" in accept_too_slow(look):
        "Connections are accepted, but the accept queue overflows all the same.",
    BacklogTruncated = "backlog-truncated" in backlog_truncated(look):
        "The kernel kept only 16 bits of the backlog.",
    BacklogClamped = "backlog-clamped" in backlog_clamped(look):
        "The accept queue overflows and its limit is net.core.somaxconn.",
    SomaxconnNotApplied = "somaxconn-not-applied" in somaxconn_not_applied(look):
        "net.core.somaxconn was raised after listen(), so the listener keeps the old limit.",
    ReuseportSkew = "reuseport-skew" in reuseport_skew(look):
        "One socket of a SO_REUSEPORT group is full while its siblings are idle.",
    NeverAccepted = "never-accepted" in never_accepted(look):
        "Connections are complete and no process has taken them.",
    CloseWaitLeak = "close-wait-leak" in close_wait_leak(look):
        "A process keeps connections open that their peers have closed.",
    OverflowReset = "overflow-reset" in overflow_reset(look, watched):
        "tcp_abort_on_overflow turns accept-queue overflow into resets.",
    ThirdAckDropped = "third-ack-dropped" in third_ack_dropped(look, watched):
        "Clients believe that they are connected; the server drops their ACK because the accept queue is full.",
    ThirdAckLost = "third-ack-lost" in third_ack_lost(look, watched):
        "SYN-ACKs or the ACKs that answer them are lost on the way.",
    SynQueueFull = "syn-queue-full" in syn_queue_full(look):
        "The SYN queue is full and SYN cookies are off, so SYNs are dropped.",
    SynCookiesInUse = "syn-cookies-in-use" in syn_cookies_in_use(look):
        "The SYN queue is full; the kernel answers with SYN cookies.",
    SynReserve = "syn-reserve" in syn_reserve(look):
        "SYNs are dropped because the last quarter of tcp_max_syn_backlog is kept for known peers.",
    ListenDropsOther = "listen-drops-other" in listen_drops_other(look):
        "Segments for a listener are dropped although neither queue is full.",
    PortsExhausted = "ports-exhausted" in ports_exhausted(look):
        "No local port is left for a destination, so connect() fails.",
    PortsLow = "ports-low" in ports_low(look):
        "More than half of the local ports are in use for a destination, so connect() gets slow.",
    ConnectUnanswered = "connect-unanswered" in connect_unanswered(look, watched):
        "Connections are attempted and no answer comes.",
    ConnectRefused = "connect-refused" in connect_refused(watched):
        "Connections are refused: nothing listens there, or a firewall says no.",
    ClientGivesUp = "client-gives-up" in client_gives_up(watched):
        "Clients end their attempts before the answer comes.",
    PortsReused = "ports-reused" in ports_reused(watched):
        "Clients use ports again whose connections the server has not forgotten.",
    HalfOpen = "half-open" in half_open(watched):
        "One end had a connection that the other knew nothing of any more.",
    SynFlood = "syn-flood" in syn_flood(watched):
        "Many addresses send one SYN each and never answer the SYN-ACK.",
    ConntrackFull = "conntrack-full" in conntrack_full(look):
        "The connection-tracking table is full, so new connections are dropped.",
}

/// The text was no finding id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFindingId(String);

impl FindingId {
    /// The ids that a look at a host can give. The others take handshakes that were watched.
    pub fn of_a_look() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|id| id.rules().look.is_some())
    }

    /// The page of this finding: what it sees, why it happens, how sure, what to do, what not to do,
    /// sources. Markdown.
    #[must_use]
    pub fn page(self) -> String {
        let mut page = format!("# {}\n\n", self.as_str());
        let lines = self.source().lines().map_while(|line| line.strip_prefix("//!"));
        for line in lines {
            page.push_str(line.strip_prefix(' ').unwrap_or(line));
            page.push('\n');
        }
        page
    }
}

impl FromStr for FindingId {
    type Err = UnknownFindingId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|id| id.as_str() == text)
            .ok_or_else(|| UnknownFindingId(text.chars().take(64).collect()))
    }
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for UnknownFindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no finding id; the ids are", self.0)?;
        FindingId::ALL.iter().try_for_each(|id| write!(f, " {id}"))
    }
}

impl std::error::Error for UnknownFindingId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_the_fixed_headings() {
        for &id in FindingId::ALL {
            let page = id.page();
            for heading in [
                "# What it sees",
                "# Why it happens",
                "# How sure",
                "# What to do",
                "# What not to do",
                "# Sources",
            ] {
                assert!(page.contains(heading), "{id} lacks {heading:?}");
            }
            assert_eq!(id.as_str().parse(), Ok(id));
        }
    }
}
