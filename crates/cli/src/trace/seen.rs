//! A handshake as a backend has seen it, before its ends are looked for.

use std::rc::Rc;

use halfopen_collect::WatchedNetns;
use halfopen_evidence::{Dropped, Handshake, Inode, Missing, Phase, Reading, Reset, Traced};

use super::{owners::Ends, packets};

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
    /// How long it was in the accept queue.
    pub(super) accept_queue_ns: Reading<Option<u64>>,
    /// What was dropped of it.
    pub(super) drops: Vec<Dropped>,
    /// Why it was reset.
    pub(super) reset: Option<Reset>,
}

impl Seen {
    /// What is told of it; its ends are not looked for yet.
    pub(super) fn traced(self) -> Traced {
        let Ends { listener, server, client } = Ends::UNKNOWN;
        let cannot = || Missing::not_visible_from(packets::FROM);
        let (accept_queue_ns, drops, reset) = match self.kernel {
            Some(known) => {
                (known.accept_queue_ns, Reading::Known(known.drops), Reading::Known(known.reset))
            }
            None => (cannot().into(), cannot().into(), cannot().into()),
        };
        Traced {
            number: self.handshake.first_record,
            phase: self.phase,
            handshake: self.handshake,
            netns: self.netns.id,
            netns_label: self.netns.label.clone(),
            is_own_netns: self.netns.is_own,
            listener,
            server_process: server,
            client_process: client,
            accept_queue_ns,
            drops,
            reset,
        }
    }
}
