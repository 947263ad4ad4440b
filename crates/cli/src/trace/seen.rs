//! A handshake as a backend has seen it, before its ends are looked for.

use std::rc::Rc;

use halfopen_collect::WatchedNetns;
use halfopen_evidence::{
    Dropped, Handshake, Inode, Missing, Phase, ProcessName, Reading, Reset, Traced,
};

use super::packets;

/// See the module's text.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Where.
    pub(super) netns: Rc<WatchedNetns>,
    /// What was seen; its scope is named.
    pub(super) handshake: Handshake,
    /// How far it is.
    pub(super) phase: Phase,
    /// What only the kernel knows; `None` if it was seen on the wire.
    pub(super) kernel: Option<FromKernel>,
}

/// What the kernel says of a handshake besides.
#[derive(Clone, Debug)]
pub(super) struct FromKernel {
    /// The client's socket, if it is in this namespace.
    pub(super) client: Option<Inode>,
    /// Who has called connect().
    pub(super) connected_by: Option<ProcessName>,
    /// Who has accepted it.
    pub(super) accepted_by: Option<ProcessName>,
    /// How long it was in the accept queue.
    pub(super) accept_queue_ns: Reading<Option<u64>>,
    /// What was dropped of it.
    pub(super) drops: Vec<Dropped>,
    /// Why it was reset.
    pub(super) reset: Option<Reset>,
}

impl Seen {
    /// What is told of it; of its ends only what the kernel has said.
    pub(super) fn traced(self) -> Traced {
        let cannot = || Missing::not_visible_from(packets::FROM);
        let mut traced = Traced {
            number: self.handshake.first_record,
            phase: self.phase,
            handshake: self.handshake,
            netns: self.netns.id,
            netns_label: self.netns.label.clone(),
            is_own_netns: self.netns.is_own,
            listener: Reading::not_collected(),
            server_process: Reading::not_collected(),
            client_process: Reading::not_collected(),
            accept_queue_ns: cannot().into(),
            drops: cannot().into(),
            reset: cannot().into(),
        };
        if let Some(known) = self.kernel {
            traced.accept_queue_ns = known.accept_queue_ns;
            traced.drops = Reading::Known(known.drops);
            traced.reset = Reading::Known(known.reset);
            if known.accepted_by.is_some() {
                traced.server_process = Reading::Known(known.accepted_by);
            }
            if known.connected_by.is_some() {
                traced.client_process = Reading::Known(known.connected_by);
            }
        }
        traced
    }
}
