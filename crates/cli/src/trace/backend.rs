//! Who watches: programs in the kernel, or packet sockets where they may not be loaded.

use std::time::Duration;

use halfopen_capture::Statistics;
use halfopen_collect::bpf::{AcceptWaits, Counts, TraceWanted};
use halfopen_collect::{NetnsScope, SocketLookups};
use halfopen_diagnose::Filter;
use halfopen_evidence::Missing;

use super::args::TraceArgs;
use super::kernel::{self, Kernel, Step};
use super::matching;
use super::packets::{self, Packets};

/// See the module's text.
pub(super) enum Backend {
    /// Programs in the kernel.
    Kernel(Box<Kernel>),
    /// Packet sockets.
    Packets(Box<Packets>),
}

/// What watches, and what is not seen so.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Its id in JSON.
    pub(super) id: &'static str,
    /// What it is.
    pub(super) name: &'static str,
    /// What is not seen.
    pub(super) not_seen: Vec<String>,
    /// What else there is to know: why it is not the other, what is not watched.
    pub(super) notes: Vec<String>,
}

/// What it adds up to in the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Packets or events.
    pub(super) seen: u64,
    /// Those that were lost.
    pub(super) lost: u64,
    /// What trackers counted.
    pub(super) statistics: Statistics,
    /// What the kernel counted.
    pub(super) kernel: Option<InKernel>,
}

/// What the kernel has counted.
#[derive(Clone, Debug, Default)]
pub(super) struct InKernel {
    /// How often.
    pub(super) counts: Counts,
    /// How long connections waited for accept().
    pub(super) waits: Vec<AcceptWaits>,
}

impl Backend {
    /// Begins to watch: in the kernel if it lets us, unless packets were asked for.
    ///
    /// # Errors
    /// If neither can watch.
    pub(super) fn start(
        arguments: &TraceArgs,
        filter: &Filter,
        scope: NetnsScope,
        lookups: &SocketLookups,
    ) -> anyhow::Result<(Self, About)> {
        let refused = if arguments.packets {
            None
        } else {
            match Kernel::start(&wanted(arguments, filter, &scope, lookups)) {
                Ok(kernel) => {
                    let about = about_kernel(&kernel);
                    return Ok((Self::Kernel(Box::new(kernel)), about));
                }
                Err(why) => Some(why),
            }
        };
        let packets = Packets::open(scope, matching::in_kernel(filter))?;
        let about = about_packets(&packets, refused.as_ref());
        Ok((Self::Packets(Box::new(packets)), about))
    }

    /// Waits for something, so long at the most, and hands on what it tells.
    ///
    /// # Errors
    /// If waiting fails.
    pub(super) fn step(
        &mut self,
        most: Duration,
        lookups: &mut SocketLookups,
    ) -> anyhow::Result<Step> {
        match self {
            Self::Kernel(kernel) => kernel.step(most, lookups),
            Self::Packets(packets) => Ok(Step { seen: packets.step(most)?, ..Step::default() }),
        }
    }

    /// Ends it: what was not told yet.
    ///
    /// # Errors
    /// If waiting fails.
    pub(super) fn finish(&mut self, lookups: &mut SocketLookups) -> anyhow::Result<Step> {
        match self {
            Self::Kernel(kernel) => kernel.finish(lookups),
            Self::Packets(packets) => Ok(Step { seen: packets.finish(), ..Step::default() }),
        }
    }

    /// Packets or events that were lost so far.
    pub(super) fn lost(&self) -> u64 {
        match self {
            Self::Kernel(kernel) => kernel.counts().lost,
            Self::Packets(packets) => packets.dropped(),
        }
    }

    /// What it adds up to.
    pub(super) fn account(&self) -> Account {
        match self {
            Self::Kernel(kernel) => {
                let counts = kernel.counts();
                let evicted = kernel.not_followed();
                Account {
                    seen: kernel.events(),
                    lost: counts.lost,
                    statistics: Statistics { evicted, ..Statistics::default() },
                    kernel: Some(InKernel { counts, waits: kernel.accept_waits() }),
                }
            }
            Self::Packets(packets) => Account {
                seen: packets.packets(),
                lost: packets.dropped(),
                statistics: packets.statistics(),
                kernel: None,
            },
        }
    }
}

fn wanted(
    arguments: &TraceArgs,
    filter: &Filter,
    scope: &NetnsScope,
    lookups: &SocketLookups,
) -> TraceWanted {
    let mut namespaces = lookups.namespaces();
    let only = match (scope, namespaces.len()) {
        (NetnsScope::All, _) => None,
        (_, 1) => namespaces.next().map(|only| only.id),
        _ => None,
    };
    TraceWanted {
        netns: only,
        ports: filter.ports(),
        all: arguments.all,
        accepts: arguments.all || arguments.hist,
    }
}

fn about_kernel(kernel: &Kernel) -> About {
    let not_seen = [kernel::NOT_SEEN.to_owned()].into_iter().chain(kernel.lacks()).collect();
    About { id: "kernel", name: "programs in the kernel", not_seen, notes: Vec::new() }
}

fn about_packets(packets: &Packets, refused: Option<&Missing>) -> About {
    let closed = packets.sockets.closed().iter();
    let closed = closed.map(|(label, why)| format!("{label} is not watched: {why}"));
    let refused = refused.map(|why| format!("programs in the kernel would see more: {why}"));
    About {
        id: "packets",
        name: "packet sockets",
        not_seen: vec![packets::NOT_SEEN.to_owned()],
        notes: refused.into_iter().chain(closed).collect(),
    }
}
