//! What the programs are told to tell: `struct settings` of bpf/trace/settings.h.

use std::collections::BTreeSet;

use halfopen_evidence::NetnsId;

use crate::bpf::enums::Names;

/// Ports that the kernel can tell apart.
const PORTS_MAX: usize = 16;

/// Numbers of drop reasons that the programs know.
const REASONS_MAX: usize = 256;

/// Told if the segment has SYN set.
const TELL_OF_SYN: u8 = 1;
/// Told in any case.
const TELL_OF_ANY: u8 = 2;

/// Events that one CPU tells of in a second.
const EVENTS_PER_SECOND: u32 = 2000;

/// The same if sound handshakes are told too: more than one CPU can bring about.
const ALL_EVENTS_PER_SECOND: u32 = 1_000_000;

/// What is to be told.
#[derive(Clone, Debug, Default)]
pub struct TraceWanted {
    /// Only in this network namespace.
    pub netns: Option<NetnsId>,
    /// Only connections to or from these ports. More than 16 are not told apart in the kernel.
    pub ports: Option<BTreeSet<u16>>,
    /// Sound handshakes too.
    pub all: bool,
    /// How long connections wait for accept(): [`super::Tracer::accept_waits`].
    pub accepts: bool,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Settings {
    netns: u32,
    events_per_second: u32,
    all: u8,
    ports_used: u8,
    ports: [u16; PORTS_MAX],
    reasons: [u8; REASONS_MAX],
    padding: [u8; 2],
}

// SAFETY: integers and arrays of them, without padding between or behind them.
unsafe impl aya::Pod for Settings {}

impl Settings {
    pub(super) fn new(wanted: &TraceWanted, drop_reasons: &Names) -> Self {
        let mut settings = Self {
            netns: wanted.netns.map_or(0, |netns| u32::try_from(netns.0).unwrap_or(0)),
            events_per_second: if wanted.all { ALL_EVENTS_PER_SECOND } else { EVENTS_PER_SECOND },
            all: u8::from(wanted.all),
            ports_used: 0,
            ports: [0; PORTS_MAX],
            reasons: [0; REASONS_MAX],
            padding: [0; 2],
        };
        let few = wanted.ports.as_ref().filter(|ports| ports.len() <= PORTS_MAX);
        for (slot, &port) in settings.ports.iter_mut().zip(few.into_iter().flatten()) {
            *slot = port;
            settings.ports_used += 1;
        }
        for (&number, name) in drop_reasons {
            let slot = usize::try_from(number).ok().and_then(|at| settings.reasons.get_mut(at));
            if let Some(slot) = slot {
                *slot = telling(name);
            }
        }
        settings
    }
}

/// Whether drops for a reason are told: a handshake's segments, and what else a listener or a filter
/// refuses.
fn telling(reason: &str) -> u8 {
    match reason {
        "SKB_NOT_DROPPED_YET" | "SKB_CONSUMED" => 0,
        "TCP_LISTEN_OVERFLOW" | "NETFILTER_DROP" | "IP_RPFILTER" => TELL_OF_ANY,
        _ => TELL_OF_SYN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_told_apart_as_long_as_there_is_room() {
        let with = |ports: std::ops::Range<u16>| {
            let wanted = TraceWanted { ports: Some(ports.collect()), ..TraceWanted::default() };
            let settings = Settings::new(&wanted, &Names::new());
            (settings.ports_used, settings.ports[0])
        };
        assert_eq!(with(80..83), (3, 80));
        assert_eq!(with(80..97), (0, 0));
    }

    #[test]
    fn reasons_are_told_by_name_wherever_the_kernel_has_put_them() {
        let name = |name: &str| name.to_owned();
        let names = Names::from([
            (1, name("SKB_CONSUMED")),
            (2, name("NOT_SPECIFIED")),
            (40, name("TCP_LISTEN_OVERFLOW")),
            (4000, name("NETFILTER_DROP")),
        ]);
        let Settings { reasons, .. } = Settings::new(&TraceWanted::default(), &names);
        assert_eq!([reasons[0], reasons[1], reasons[2], reasons[40]], [0, 0, 1, 2]);
    }
}
