//! `halfopen trace`: each handshake as it happens.
//!
//! A backend sees handshakes (`packets`: packet sockets and the tracker that `pcap` uses), `owners`
//! finds the processes at their ends, and `reporter` tells them as [`Traced`] values within a rate and
//! counts them all. What is told when: `troubles`. `line`, `json` and `summary` are pure functions from
//! values to text; `matching` asks the filter, of which the kernel looks at ports and networks.

mod args;
mod busy;
#[cfg(test)]
mod fixture;
mod json;
mod line;
mod matching;
mod owners;
mod packets;
mod rate;
mod reporter;
mod status_line;
mod summary;
mod troubles;

use std::time::Duration;

use halfopen_collect::{CollectError, NetnsScope};
use halfopen_diagnose::Filter;
use halfopen_evidence::{Missing, Phase, Traced};

use crate::exit::Exit;
use crate::{check, gather, interrupt, output};

pub(crate) use args::{ABOUT, TraceArgs};
pub(crate) use json::schema as json_schema;

use owners::{Ends, Owners, Sockets};
use packets::{Packets, Seen};
use reporter::{Reporter, Watched};

/// How long a step waits for packets: as long as a look at Ctrl-C may be put off.
const STEP: Duration = Duration::from_millis(100);

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
    let packets = match Packets::open(scope(arguments, &filter), matching::in_kernel(&filter)) {
        Ok(packets) => packets,
        Err(error) => return refuse(&error),
    };
    let reporter = Reporter::begin(arguments, &packets)?;
    Trace { filter, packets, owners: Owners::default(), reporter }.run(arguments.watch)
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
    packets: Packets,
    owners: Owners,
    reporter: Reporter,
}

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
            let seen = self.packets.step(left.map_or(STEP, |left| left.min(STEP)))?;
            self.take(seen)?;
            self.reporter.idle(self.packets.dropped())?;
        };
        let seen = self.packets.finish();
        self.take(seen)?;
        self.reporter.finish(Watched {
            packets: self.packets.packets(),
            dropped: self.packets.dropped(),
            statistics: self.packets.statistics(),
            interrupted,
        })
    }

    /// Tells and counts what was seen. Processes are looked for together, since that is dear: for what
    /// will be told, or for all of it where the filter asks for them.
    fn take(&mut self, seen: Vec<Seen>) -> anyhow::Result<()> {
        let mut all: Vec<(Option<usize>, Traced)> =
            seen.into_iter().map(|seen| (seen.place, traced(seen))).collect();
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
            if wanted {
                self.reporter.tell(&traced)?;
            }
            if traced.phase == Phase::Ended {
                self.reporter.count(traced);
            }
        }
        Ok(())
    }

    fn add_ends<'a>(&mut self, all: impl Iterator<Item = &'a mut (Option<usize>, Traced)>) {
        let sockets = &mut self.packets.sockets;
        let mut found: Vec<(Sockets, &mut Traced)> = all
            .filter_map(|(place, traced)| {
                let found =
                    self.owners.sockets(sockets, (*place)?, traced.netns, &traced.handshake);
                Some((found, traced))
            })
            .collect();
        self.owners.find_holders(found.iter().map(|(sockets, _)| sockets));
        for (sockets, traced) in &mut found {
            let Ends { listener, server, client } = self.owners.ends(sockets);
            (traced.listener, traced.server_process, traced.client_process) =
                (listener, server, client);
        }
    }
}

/// What a packet socket knows of a handshake; its ends are not looked for yet.
fn traced(seen: Seen) -> Traced {
    let cannot = || Missing::not_visible_from(packets::FROM);
    let Ends { listener, server, client } = Ends::UNKNOWN;
    Traced {
        number: seen.handshake.first_record,
        phase: seen.phase,
        handshake: seen.handshake,
        netns: seen.netns.id,
        netns_label: seen.netns.label.clone(),
        is_own_netns: seen.netns.is_own,
        listener,
        server_process: server,
        client_process: client,
        accept_queue_ns: cannot().into(),
        drops: cannot().into(),
        reset: cannot().into(),
    }
}
