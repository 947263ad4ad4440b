//! `halfopen trace`: each handshake as it happens.
//!
//! A `backend` sees handshakes (`kernel`: programs in the kernel and the assembler of what they tell;
//! `packets`: packet sockets and the tracker that `pcap` uses), `owners` finds the processes at their
//! ends, and `reporter` tells them as [`Traced`] values within a rate and counts them all. What is told
//! when: `troubles`. What listeners drop is told by their own counts: `drops`. `line`, `json` and `summary`
//! are pure functions from values to text; `matching` asks the filter, of which the kernel looks at ports
//! and networks.

mod args;
mod backend;
mod busy;
mod calls;
mod drops;
#[cfg(test)]
mod fixture;
mod json;
mod kernel;
mod line;
mod matching;
mod owners;
mod packets;
mod rate;
mod reporter;
mod seen;
mod status_line;
mod summary;
mod troubles;

use std::time::Duration;

use halfopen_collect::{CollectError, NetnsScope, SocketLookups};
use halfopen_diagnose::Filter;
use halfopen_evidence::{Inode, Phase, Traced};

use crate::exit::Exit;
use crate::{check, gather, interrupt, output};

pub(crate) use args::{ABOUT, TraceArgs};
pub(crate) use json::schema as json_schema;

use backend::Backend;
use drops::ListenerDrops;
use kernel::Step;
use owners::{Owners, Sockets};
use reporter::Reporter;
use seen::Seen;

/// How long a step waits: as long as a look at Ctrl-C may be put off.
const STEP: Duration = Duration::from_millis(100);

/// How often namespaces are looked for.
const REFRESH: Duration = Duration::from_secs(5);

/// Watches, and prints what happens.
///
/// # Errors
/// If nothing could be watched, or something could not be written.
pub(crate) fn trace(arguments: &TraceArgs) -> anyhow::Result<Exit> {
    let Some(filter) = check::filter_or_complaint(&arguments.what) else { return Ok(Exit::Usage) };
    if filter.needs_uids() {
        eprintln!("halfopen: trace knows no uids; filter by pid or comm");
        return Ok(Exit::Usage);
    }
    interrupt::listen();
    match start(arguments, filter) {
        Ok(trace) => trace.run(arguments.watch),
        Err(error) => refuse(&error),
    }
}

fn start(arguments: &TraceArgs, filter: Filter) -> anyhow::Result<Trace> {
    let scope = scope(arguments, &filter);
    let lookups = SocketLookups::open(scope.clone())?;
    let (backend, about) = Backend::start(arguments, &filter, scope, &lookups)?;
    let reporter = Reporter::begin(arguments, lookups.namespaces(), &about)?;
    let (owners, drops) = (Owners::default(), ListenerDrops::new());
    Ok(Trace { filter, backend, lookups, owners, drops, reporter })
}

fn scope(arguments: &TraceArgs, filter: &Filter) -> NetnsScope {
    arguments.netns.clone().map_or_else(|| gather::netns_scope(filter), NetnsScope::Named)
}

/// What cannot be watched, and what to do about it.
fn refuse(error: &anyhow::Error) -> anyhow::Result<Exit> {
    output::complain(error);
    if let Some(CollectError::PacketSocket { source, .. }) = error.downcast_ref()
        && source.kind() == std::io::ErrorKind::PermissionDenied
    {
        eprintln!(
            "halfopen: packets are for root, or who has CAP_NET_RAW: sudo halfopen trace, or \
             setcap cap_net_raw,cap_sys_admin+ep on the program; `halfopen check` needs neither"
        );
    }
    Ok(Exit::CannotTell)
}

/// A running trace.
struct Trace {
    filter: Filter,
    backend: Backend,
    lookups: SocketLookups,
    owners: Owners,
    drops: ListenerDrops,
    reporter: Reporter,
}

/// A handshake that may be told, and the client's socket if that is known.
type Candidate = (Option<Inode>, Traced);

impl Trace {
    fn run(mut self, most: Option<Duration>) -> anyhow::Result<Exit> {
        let interrupted = loop {
            if interrupt::pressed() {
                break true;
            }
            let left = most.map(|most| most.saturating_sub(self.reporter.watched()));
            if left.is_some_and(|left| left.is_zero()) || self.reporter.is_enough() {
                break false;
            }
            let patience = left.map_or(STEP, |left| left.min(STEP));
            let step = self.backend.step(patience, &mut self.lookups)?;
            self.take(step)?;
            self.lookups.refresh(REFRESH)?;
            self.tell_drops()?;
            self.reporter.idle(self.backend.lost())?;
        };
        let step = self.backend.finish(&mut self.lookups)?;
        self.take(step)?;
        self.reporter.finish(&self.backend.account(), interrupted)
    }

    /// Tells and counts what was seen. Processes are looked for together, since that is dear: for what
    /// will be told, or for all of it where the filter asks for them.
    fn take(&mut self, step: Step) -> anyhow::Result<()> {
        for (netns, failed) in &step.failed_calls {
            if matching::matches_call(&self.filter, netns, failed) {
                self.reporter.failed_call(netns, failed)?;
            }
        }
        for (netns, listens) in &step.listens {
            if matching::matches_listening(&self.filter, netns, listens) {
                self.reporter.listens(netns, listens)?;
            }
        }
        let mut all: Vec<Candidate> = step.seen.into_iter().map(candidate).collect();
        let asks = self.filter.needs_holders();
        if asks {
            self.add_ends(all.iter_mut());
        }
        all.retain(|(_, traced)| matching::matches(&self.filter, traced));
        let wanted: Vec<bool> = all.iter().map(|(_, traced)| self.reporter.wants(traced)).collect();
        if !asks {
            let told = all.iter_mut().zip(&wanted).filter(|(_, wanted)| **wanted);
            self.add_ends(told.map(|(one, _)| one));
        }
        for ((_, mut traced), wanted) in all.into_iter().zip(wanted) {
            self.owners.remember_client(&mut traced);
            self.drops.explain(&mut traced);
            if wanted {
                self.reporter.tell(&traced)?;
            }
            if traced.phase == Phase::Ended {
                self.reporter.count(traced);
            }
        }
        Ok(())
    }

    /// Tells what listeners have dropped.
    fn tell_drops(&mut self) -> anyhow::Result<()> {
        for mut rise in self.drops.rises(&mut self.lookups) {
            rise.process = self.owners.holder_of(rise.listener.inode);
            if matching::matches_listener(&self.filter, &rise) {
                self.reporter.drops(&rise)?;
            }
        }
        Ok(())
    }

    fn add_ends<'a>(&mut self, all: impl Iterator<Item = &'a mut Candidate>) {
        let mut found: Vec<(Sockets, &mut Traced)> = all
            .map(|(client, traced)| {
                let sockets = self.owners.sockets(&mut self.lookups, traced, *client);
                (sockets, traced)
            })
            .collect();
        self.owners.find_holders(found.iter().map(|(sockets, _)| sockets));
        for (sockets, traced) in &mut found {
            self.owners.name(sockets, traced);
        }
    }
}

fn candidate(seen: Seen) -> Candidate {
    (seen.kernel.as_ref().and_then(|kernel| kernel.client), seen.traced())
}
