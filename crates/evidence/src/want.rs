//! What a rule asks for when it needs more than it was given.

use serde::{Deserialize, Serialize};

use crate::{EndpointKey, Inode, NetnsId, Pid};

/// Evidence that is too dear to collect unasked.
///
/// The edge fetches it and asks the rules again; a want that cannot be met leaves a
/// [`crate::Missing`] behind, and is not asked for twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Want {
    /// Every process that holds one of these sockets: [`crate::Listener::holders`],
    /// [`crate::CloseWaitGroup::held`], [`crate::DestinationPorts::holder`],
    /// [`crate::Connecting::holder`].
    Holders {
        /// Where the sockets are.
        netns: NetnsId,
        /// The sockets.
        inodes: Vec<Inode>,
    },
    /// State, limits and threads of a process: [`crate::Snapshot::processes`].
    Process {
        /// The process.
        pid: Pid,
    },
    /// The stacks of the threads of a process that was read before, [`crate::Thread::stack`], and the
    /// goroutines of a Go program, [`crate::Process::goroutines`].
    Stacks {
        /// The process.
        pid: Pid,
    },
    /// How long the connections in an endpoint's accept queues have waited:
    /// [`crate::Waiting::age_ms`].
    Ages {
        /// Where it is.
        netns: NetnsId,
        /// The endpoint.
        endpoint: EndpointKey,
    },
    /// The clients' ends of requests in an endpoint's SYN queue: [`crate::RequestSample::client`].
    ClientEnds {
        /// Where it is.
        netns: NetnsId,
        /// The endpoint.
        endpoint: EndpointKey,
    },
    /// What the kernel knows of an endpoint's SYN queues and shows in no dump:
    /// [`crate::Listener::syn_queue`], [`crate::SynRecv::third_acks`].
    SynQueues {
        /// Where it is.
        netns: NetnsId,
        /// The endpoint.
        endpoint: EndpointKey,
    },
    /// How long CLOSE_WAIT connections have been idle: [`crate::CloseWaitGroup::idle_ms`].
    CloseWaitIdle {
        /// Where they are.
        netns: NetnsId,
        /// A socket of the group's sample.
        inode: Inode,
    },
}
