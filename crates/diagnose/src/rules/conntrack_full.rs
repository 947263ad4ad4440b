//! # What it sees
//!
//! The connection-tracking table of a network namespace is full or nearly so, or the kernel dropped
//! packets because it could make no entry. SYNs vanish before they reach TCP: the client stays in
//! SYN_SENT, and no TCP counter of the server moves. The kernel log says
//! `nf_conntrack: table full, dropping packet`.
//!
//! # Why it happens
//!
//! Firewalls and NAT keep an entry per connection, also for those that ended a while ago: 120 seconds
//! in TIME_WAIT, five days for an established connection that nobody closed. Many short connections,
//! a flood, or peers that vanish fill the table. Once it is full, the kernel makes room by dropping an
//! entry of a connection that is not sure to exist yet (`early_drop`), if it finds one near by; else the
//! new packet is dropped. With NAT an entry can also fail to be inserted
//! although there is room, when two connections want the same translated port.
//!
//! # How sure
//!
//! The fill and the kernel's own counters of drops are read: certain. With a single look only the fill
//! is known. An insertion that failed while the table has room is a collision of two translations, and a
//! warning: the packet was lost, and will be sent again.
//!
//! # What to do
//!
//! Raise `net.netfilter.nf_conntrack_max` (and the hash size, /sys/module/nf_conntrack/parameters/hashsize)
//! at once. See what fills the table: `conntrack -L | awk '{print $4}' | sort | uniq -c`. Shorten
//! `nf_conntrack_tcp_timeout_time_wait` and `nf_conntrack_tcp_timeout_established`, or exempt busy
//! traffic from tracking (`notrack`). For collisions give SNAT more addresses or ports, or
//! `--random-fully`.
//!
//! # What not to do
//!
//! Nothing about the listener helps (backlog, accept threads): its TCP never sees these packets.
//!
//! # Sources
//!
//! net/netfilter/nf_conntrack_core.c `__nf_conntrack_alloc` (an entry is refused above
//! `nf_conntrack_max` unless `early_drop` finds one without `IPS_ASSURED`) and
//! `__nf_conntrack_confirm`; /proc/net/stat/nf_conntrack, columns `drop`, `insert_failed` and
//! `early_drop`.

use halfopen_evidence::{Conntrack, Missing, Netns, Reading};

use crate::analysis::rises::Rises;
use crate::{Confidence, Context, Fact, Finding, FindingId, Severity, Subject, Verdicts, words};

const ID: FindingId = FindingId::ConntrackFull;

/// Percent of the table from which on it counts as nearly full.
const NEARLY_FULL: u64 = 95;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for netns in &context.latest().netns {
        match &netns.conntrack {
            Reading::Known(table) => {
                let losses = Losses::of(context, netns, table);
                if let Some(state) = judge(table, losses) {
                    verdicts.find(finding(context, netns, table, losses, state));
                }
            }
            // Nobody asked, or there is no connection tracking here.
            Reading::Missing(Missing::NotCollected | Missing::NotOnThisKernel) => {}
            // A namespace of which nothing could be read is a gap of the whole look.
            Reading::Missing(_) if netns.endpoints.get().is_none() => {}
            Reading::Missing(why) => {
                let why = format!("the fill of the connection-tracking table: {why}");
                verdicts.undetermined(ID, Subject::netns(netns), why);
            }
        }
    }
}

/// Packets lost over the window, 0 where that is not known.
#[derive(Clone, Copy)]
struct Losses {
    drops: u64,
    insert_failures: u64,
    early_drops: u64,
}

impl Losses {
    fn of(context: &Context<'_>, netns: &Netns, now: &Conntrack) -> Self {
        let before =
            context.interval().and_then(|interval| interval.first.netns(netns.id)?.conntrack.get());
        let rise = |count: fn(&Conntrack) -> &Reading<u64>| {
            let before = before.and_then(|before| count(before).value());
            before.zip(count(now).value()).map_or(0, |(before, now)| now.saturating_sub(before))
        };
        Self {
            drops: rise(|table| &table.drops),
            insert_failures: rise(|table| &table.insert_failures),
            early_drops: rise(|table| &table.early_drops),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Full,
    Drops,
    NearlyFull,
    Collisions,
}

fn judge(table: &Conntrack, losses: Losses) -> Option<State> {
    // A maximum of 0 means none (`__nf_conntrack_alloc`).
    let full = table.max > 0 && table.count >= table.max;
    let nearly = table.max > 0 && words::percent(table.count, table.max) >= NEARLY_FULL;
    if full || (nearly && losses.insert_failures > 0) {
        Some(State::Full)
    } else if losses.drops > 0 {
        Some(State::Drops)
    } else if nearly {
        Some(State::NearlyFull)
    } else if losses.insert_failures > 0 {
        Some(State::Collisions)
    } else {
        None
    }
}

fn finding(
    context: &Context<'_>,
    netns: &Netns,
    table: &Conntrack,
    losses: Losses,
    state: State,
) -> Finding {
    let Conntrack { count, max, .. } = table;
    let percent = words::percent(*count, *max);
    let (severity, headline, cause) = match state {
        State::Full => (
            Severity::Failure,
            format!("connection-tracking table is full: {count} of {max}"),
            "the table that the firewall keeps connections in is full, so packets that would begin a new one are dropped before TCP sees them",
        ),
        State::Drops => (
            Severity::Failure,
            format!("connection tracking dropped {}", words::count(losses.drops, "packet")),
            "connection tracking could make no entry for packets that begin a connection and dropped them before TCP saw them",
        ),
        State::NearlyFull => (
            Severity::Warning,
            format!("connection-tracking table is nearly full: {count} of {max}"),
            "the table that the firewall keeps connections in is nearly full; once it is, new connections are dropped before TCP sees them",
        ),
        State::Collisions => (
            Severity::Warning,
            format!(
                "connection tracking lost {} to colliding entries",
                words::count(losses.insert_failures, "packet")
            ),
            "two connections wanted the same entry, as NAT produces when its ports run short, and the later one's packet was dropped",
        ),
    };
    let mut evidence = vec![Fact::number(
        "conntrack-count",
        *count,
        format!("{count} of {max} entries ({percent} %)"),
    )];
    let span = Rises::new(context, netns.id).span();
    for (name, lost) in [
        ("conntrack-drop", losses.drops),
        ("conntrack-insert-failed", losses.insert_failures),
        ("conntrack-early-drop", losses.early_drops),
    ] {
        if lost > 0 {
            evidence.push(Fact::number(name, lost, format!("{name} +{lost}{span}")));
        }
    }
    Finding {
        id: ID,
        severity,
        subject: Subject::netns(netns),
        headline,
        cause: cause.to_owned(),
        evidence,
        confidence: Confidence::Certain,
        refuted_by: "room in the table and no further drops while new connections still fail"
            .to_owned(),
        remedies: remedies(*max, state),
        useless: vec![
            "a larger backlog or more accept threads: the packets do not reach the listener"
                .to_owned(),
        ],
    }
}

fn remedies(max: u32, state: State) -> Vec<String> {
    if state == State::Collisions {
        return vec![
            "give SNAT more source addresses or ports, or --random-fully".to_owned(),
            "look at conntrack -S for the CPUs that it happens on".to_owned(),
        ];
    }
    vec![
        format!(
            "make room at once: sysctl -w net.netfilter.nf_conntrack_max={}",
            max.saturating_mul(2)
        ),
        "see what fills it: conntrack -L, grouped by state and address".to_owned(),
        "shorten nf_conntrack_tcp_timeout_time_wait and nf_conntrack_tcp_timeout_established, or exempt busy traffic from tracking (notrack)".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Scene;

    fn table(count: u32, max: u32, drops: u64, insert_failures: u64) -> impl Fn(&mut Netns) {
        move |netns| {
            netns.conntrack = Reading::Known(Conntrack {
                count,
                max,
                drops: Reading::Known(drops),
                insert_failures: Reading::Known(insert_failures),
                early_drops: Reading::Known(0),
            });
        }
    }

    fn severity(scene: Scene) -> Severity {
        scene.finding(ID).severity
    }

    #[test]
    fn a_full_table_and_drops_fail_connections() {
        assert_eq!(severity(Scene::now().netns(table(1000, 1000, 0, 0))), Severity::Failure);
        let dropped = Scene::window().netns(table(10, 1000, 5, 0)).later(table(10, 1000, 6, 0));
        assert_eq!(severity(dropped.clone()), Severity::Failure);
        assert_eq!(dropped.ids(), [ID]);
    }

    #[test]
    fn a_nearly_full_table_and_collisions_are_warnings() {
        assert_eq!(severity(Scene::now().netns(table(950, 1000, 0, 0))), Severity::Warning);
        let collided = Scene::window().netns(table(10, 1000, 0, 5)).later(table(10, 1000, 0, 9));
        assert_eq!(severity(collided), Severity::Warning);
    }

    #[test]
    fn room_in_the_table_is_silent_whatever_was_dropped_before() {
        assert_eq!(Scene::window().netns(table(949, 1000, 70, 80)).ids(), []);
        assert_eq!(Scene::now().netns(table(9, 0, 70, 80)).ids(), []);
        let none = Missing::NotOnThisKernel;
        let untracked = Scene::now().netns(|netns| netns.conntrack = none.clone().into());
        assert_eq!(untracked.diagnose().undetermined, []);
    }

    #[test]
    fn a_table_that_may_not_be_read_is_undetermined() {
        let diagnosis =
            Scene::now().netns(|netns| netns.conntrack = Missing::needs("root").into()).diagnose();
        assert_eq!(diagnosis.undetermined[0].id, ID);
    }
}
