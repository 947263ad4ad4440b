//! Which end of a connection an event is about.

use std::net::SocketAddr;

use halfopen_evidence::{KernelEvent, KernelEventKind, NetnsId, TracedEnd};
use halfopen_model::tcp::Flags;

/// What names an attempt, as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) netns: NetnsId,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
}

/// A kind of segment, by its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Syn,
    SynAck,
    Reset,
    Other,
}

impl Segment {
    pub(crate) const fn of(flags: Flags) -> Self {
        match (flags.has(Flags::SYN), flags.has(Flags::ACK), flags.has(Flags::RST)) {
            (true, false, _) => Self::Syn,
            (true, true, _) => Self::SynAck,
            (false, _, true) => Self::Reset,
            (false, ..) => Self::Other,
        }
    }
}

impl Key {
    /// The attempt that an event is about, and at which of its ends it happened. `is_known` says
    /// whether there is an attempt; where neither the event nor that decides, the end with the higher
    /// port is the client, as in captures.
    pub(crate) fn of(event: &KernelEvent, is_known: impl Fn(&Self) -> bool) -> (Self, TracedEnd) {
        let KernelEvent { netns, local, peer, .. } = *event;
        let at_client = (Self { netns, client: local, server: peer }, TracedEnd::Client);
        let at_server = (Self { netns, client: peer, server: local }, TracedEnd::Server);
        let by_guess = || match (is_known(&at_client.0), is_known(&at_server.0)) {
            (true, false) => at_client,
            (false, true) => at_server,
            _ if local.port() > peer.port() => at_client,
            _ => at_server,
        };
        match &event.what {
            KernelEventKind::Connected { .. }
            | KernelEventKind::ConnectFailed { .. }
            | KernelEventKind::SynRepeated { .. }
            | KernelEventKind::CallFailed { .. } => at_client,
            KernelEventKind::Queued { .. }
            | KernelEventKind::Accepted { .. }
            | KernelEventKind::SynAckRepeated { .. }
            | KernelEventKind::SynDropped { .. }
            | KernelEventKind::ClosedUnaccepted { .. }
            | KernelEventKind::Listening { .. } => at_server,
            KernelEventKind::SegmentDropped { queue: Some(_), .. }
            | KernelEventKind::ResetSent { queue: Some(_), .. } => at_server,
            KernelEventKind::SegmentDropped { flags, .. }
            | KernelEventKind::ResetSent { flags, .. } => match Segment::of(*flags) {
                Segment::Syn => at_server,
                Segment::SynAck => at_client,
                Segment::Reset | Segment::Other => by_guess(),
            },
            // A child that no process has open waits in an accept queue.
            KernelEventKind::ResetReceived { .. } if event.inode.is_none() => at_server,
            KernelEventKind::ResetReceived { .. } | KernelEventKind::DataRepeated { .. } => {
                by_guess()
            }
        }
    }
}
