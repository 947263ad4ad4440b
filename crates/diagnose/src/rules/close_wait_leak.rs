//! # What it sees
//! A process holds connections in CLOSE_WAIT: their peers have closed, the process has not. There
//! are at least eight of them, the same ones are there at both looks, and the oldest has been idle
//! for five seconds or more (at one look: for ten). Handlers that finish their answer within a few
//! seconds after a client's end of file are no leak, so a young one is reported late rather than
//! now and then.
//!
//! # Why it happens
//! CLOSE_WAIT ends only when the program closes the socket. One that stays means that the program
//! does not notice the peer's end or forgets the socket: an error path without `close()`, a pool
//! that keeps connections which the other side has ended, a handler that waits for something else,
//! a child that inherited the descriptor. Each keeps a descriptor, until `accept()` or `open()`
//! fails with EMFILE.
//!
//! # How sure
//! Probable if the oldest has been idle for more than ten seconds; before that, or on a kernel that
//! does not tell, a slow handler looks the same, so it is possible.
//!
//! # What to do
//! Find the code by the peer's address: connections that came in through a listener belong to its
//! handlers, those to a destination to that client's pool. Close on end of file and on error. A
//! restart frees the descriptors for the time being.
//!
//! # What not to do
//! No kernel setting ends CLOSE_WAIT: keep-alive does not, since the peer still answers or the
//! socket is half closed on purpose, and TIME_WAIT settings belong to another state. If `ss` shows
//! no process for such sockets, it is another trouble: see `never-accepted`.
//!
//! # Sources
//! - `net/ipv4/tcp_input.c tcp_fin`: FIN received, ESTABLISHED becomes CLOSE_WAIT
//! - `net/ipv4/tcp.c tcp_close_state`: only close() leads out of it
//! - `tcpi_last_data_recv` of struct tcp_info: how long it has been idle

use halfopen_evidence::{
    CloseWaitGroup, CloseWaitSide, HeldCloseWait, Missing, Netns, Pid, Reading, Want,
};

use crate::words::{count, duration, percent, process_name};
use crate::{
    Confidence, Context, Fact, Finding, FindingId, Severity, Subject, SubjectKind, Verdicts,
};

/// Fewer connections may be handlers at their work.
const MANY: u32 = 8;

/// A handler that is at work answers sooner, in milliseconds.
const LONG_IDLE_MS: u64 = 10_000;

/// Most handlers answer sooner, in milliseconds: enough where both looks saw the same connections.
const IDLE_MS: u64 = 5000;

/// Groups whose holders are looked for; the largest come first.
const ASKED: usize = 16;

/// Share of a process's descriptors, in percent, at which a leak is about to stop it.
const NEAR_LIMIT_PERCENT: u64 = 90;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for netns in &context.latest().netns {
        let groups = netns.close_wait.get().map(Vec::as_slice).unwrap_or_default();
        for group in groups.iter().filter(|group| group.count >= MANY).take(ASKED) {
            judge(context, netns, group, verdicts);
        }
    }
}

fn judge(context: &Context<'_>, netns: &Netns, group: &CloseWaitGroup, verdicts: &mut Verdicts) {
    let stay = match context.interval() {
        Some(_) => stays(context, netns, group),
        None => true,
    };
    if !stay {
        return;
    }
    if group.idle_ms.missing() == Some(&Missing::NotCollected)
        && let Some(&(_, inode)) = group.sample.first()
    {
        verdicts.want(Want::CloseWaitIdle { netns: netns.id, inode });
    }
    let least = if context.interval().is_some() { IDLE_MS } else { LONG_IDLE_MS };
    match &group.idle_ms {
        Reading::Known(idle) if *idle < least => return,
        // Asked for above; and one that vanished was closed, which a leaked one never is.
        Reading::Missing(Missing::NotCollected | Missing::Vanished) => return,
        Reading::Missing(why) if context.interval().is_none() => {
            let subject = Subject::close_wait(netns, group);
            let why = format!("how long these connections have been idle is {why}");
            verdicts.undetermined(FindingId::CloseWaitLeak, subject, why);
            return;
        }
        Reading::Known(_) | Reading::Missing(_) => {}
    }
    let long_idle = group.idle_ms.value().is_some_and(|ms| ms >= LONG_IDLE_MS);
    if group.held.missing() == Some(&Missing::NotCollected) {
        let inodes = group.sample.iter().map(|&(_, inode)| inode).collect();
        verdicts.want(Want::Holders { netns: netns.id, inodes });
    }
    let holder = main_holder(group);
    if let Some(holder) = holder
        && !context.latest().processes.contains_key(&holder.pid)
    {
        verdicts.want(Want::Process { pid: holder.pid });
    }
    verdicts.find(finding(context, netns, group, holder, long_idle));
}

/// Whether the same connections were there at the first look, and no fewer than now.
fn stays(context: &Context<'_>, netns: &Netns, group: &CloseWaitGroup) -> bool {
    let before = context
        .interval()
        .and_then(|interval| interval.first.netns(netns.id)?.close_wait.get())
        .and_then(|groups| groups.iter().find(|before| before.side == group.side));
    before.is_some_and(|before| {
        let same = group.sample.iter().filter(|socket| before.sample.contains(socket)).count();
        group.count >= before.count && same >= MANY as usize
    })
}

fn main_holder(group: &CloseWaitGroup) -> Option<&HeldCloseWait> {
    group.held.get()?.iter().max_by_key(|held| held.count)
}

fn finding(
    context: &Context<'_>,
    netns: &Netns,
    group: &CloseWaitGroup,
    holder: Option<&HeldCloseWait>,
    long_idle: bool,
) -> Finding {
    let who = holder
        .map_or_else(|| "a process".to_owned(), |holder| process_name(&holder.comm, holder.pid));
    let fds = holder.and_then(|holder| descriptors(context, holder.pid));
    let near_limit = fds.is_some_and(|(open, limit)| percent(open, limit) >= NEAR_LIMIT_PERCENT);
    Finding {
        id: FindingId::CloseWaitLeak,
        severity: if near_limit { Severity::Failure } else { Severity::Warning },
        subject: Subject::close_wait(netns, group),
        headline: format!(
            "{} in CLOSE_WAIT that their process does not close",
            count(group.count, "connection")
        ),
        cause: format!(
            "the peers of {} {} have closed, and {who} has not: it keeps a descriptor for each",
            count(group.count, "connection"),
            side(group)
        ),
        evidence: facts(context, netns, group, fds),
        confidence: if long_idle { Confidence::Probable } else { Confidence::Possible },
        refuted_by: "the same connections gone at the next look".to_owned(),
        remedies: vec![
            format!("find where {who} should close them: after end of file, and on every error"),
            "restart it before its descriptors run out".to_owned(),
        ],
        useless: vec![
            "keep-alive, tcp_fin_timeout and TIME_WAIT settings: only close() ends CLOSE_WAIT"
                .to_owned(),
        ],
    }
}

fn side(group: &CloseWaitGroup) -> String {
    match group.side {
        CloseWaitSide::AcceptedAt(key) => {
            format!("that came in through {}", SubjectKind::Endpoint(key))
        }
        CloseWaitSide::To { destination, .. } => format!("to {destination}"),
        CloseWaitSide::LocalPort(port) => format!("that came in through port {port}"),
    }
}

/// Open descriptors and their limit.
fn descriptors(context: &Context<'_>, pid: Pid) -> Option<(u64, u64)> {
    let fds = context.latest().processes.get(&pid)?.fds.get()?;
    Some((fds.open, fds.limit))
}

fn facts(
    context: &Context<'_>,
    netns: &Netns,
    group: &CloseWaitGroup,
    fds: Option<(u64, u64)>,
) -> Vec<Fact> {
    let now = group.count;
    let before = context
        .interval()
        .and_then(|interval| interval.first.netns(netns.id)?.close_wait.get())
        .and_then(|groups| groups.iter().find(|before| before.side == group.side));
    let text = match before {
        Some(before) => format!("{} CLOSE_WAIT with a process, then {now}", before.count),
        None => format!("{now} CLOSE_WAIT with a process"),
    };
    let mut facts = vec![Fact::number("close-wait", now, text)];
    if let Some(idle) = group.idle_ms.value() {
        let text = format!("the oldest has been idle for {}", duration(idle));
        facts.push(Fact::number("idle-ms", idle, text));
    }
    for held in group.held.get().into_iter().flatten().take(5) {
        let text = format!(
            "{} of {} looked at held by {}",
            held.count,
            group.sample.len(),
            process_name(&held.comm, held.pid)
        );
        facts.push(Fact::number("held", held.count, text));
    }
    if let Some((open, limit)) = fds {
        let text = format!("{open} of {limit} descriptors open");
        facts.push(Fact::number("open-descriptors", open, text));
    }
    facts
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::Inode;

    use super::*;
    use crate::fixture::{NETNS, Scene, close_wait_group, process};

    fn group(count: u32) -> CloseWaitGroup {
        close_wait_group("0.0.0.0:8080", count)
    }

    fn held_group(count: u32, idle_ms: u64) -> CloseWaitGroup {
        let held = vec![HeldCloseWait { pid: Pid(812), comm: "app".to_owned(), count: 30 }];
        CloseWaitGroup {
            idle_ms: Reading::Known(idle_ms),
            held: Reading::Known(held),
            ..group(count)
        }
    }

    #[test]
    fn connections_that_stay_are_a_leak_and_their_process_is_named() {
        let finding = Scene::window()
            .close_wait(held_group(40, 60_000))
            .process(process(812, []))
            .finding(FindingId::CloseWaitLeak);
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.confidence, Confidence::Probable);
        assert!(finding.cause.contains("app[812] has not"), "{}", finding.cause);
        assert!(finding.cause.contains("through *:8080"), "{}", finding.cause);
    }

    #[test]
    fn a_process_that_is_nearly_out_of_descriptors_is_a_failure() {
        let mut app = process(812, []);
        app.fds.get_mut().expect("descriptors").open = 1000;
        let scene = Scene::window().close_wait(held_group(40, 60_000)).process(app);
        assert_eq!(scene.finding(FindingId::CloseWaitLeak).severity, Severity::Failure);
    }

    #[test]
    fn handlers_at_work_are_no_leak() {
        assert_eq!(Scene::window().close_wait(group(7)).ids(), []);
        let mut others = group(40);
        others.sample = (0..32).map(|n| (halfopen_evidence::Cookie(n), Inode(n))).collect();
        let mut changing = Scene::window().close_wait(group(40));
        changing.second.netns[0].close_wait = Reading::Known(vec![others]);
        assert_eq!(changing.ids(), []);
        let mut falling = Scene::window().close_wait(group(40));
        falling.second.netns[0].close_wait = Reading::Known(vec![group(39)]);
        assert_eq!(falling.ids(), []);
    }

    #[test]
    fn what_is_missing_is_asked_for() {
        let first = group(9).sample[0].1;
        for scene in [Scene::window(), Scene::now()] {
            let looked = scene.close_wait(group(9)).diagnose();
            assert!(looked.findings.is_empty());
            assert!(
                looked.wants.into_iter().eq([Want::CloseWaitIdle { netns: NETNS, inode: first }])
            );
        }
        let idle = CloseWaitGroup { idle_ms: Reading::Known(60_000), ..group(9) };
        let inodes = group(9).sample.iter().map(|&(_, inode)| inode).collect();
        let wants = Scene::window().close_wait(idle).diagnose().wants;
        assert!(wants.into_iter().eq([Want::Holders { netns: NETNS, inodes }]));
    }

    #[test]
    fn handlers_that_take_a_few_seconds_are_no_leak() {
        let slow = held_group(40, 2900);
        assert_eq!(Scene::window().close_wait(slow.clone()).ids(), []);
        assert_eq!(Scene::now().close_wait(slow).ids(), []);
        let longer = Scene::window().close_wait(held_group(40, IDLE_MS));
        assert_eq!(longer.finding(FindingId::CloseWaitLeak).confidence, Confidence::Possible);
        assert_eq!(Scene::now().close_wait(held_group(40, IDLE_MS)).ids(), []);
    }

    #[test]
    fn a_connection_that_vanished_is_no_leak() {
        let gone = CloseWaitGroup { idle_ms: Missing::Vanished.into(), ..group(9) };
        for scene in [Scene::window(), Scene::now()] {
            let diagnosis = scene.close_wait(gone.clone()).diagnose();
            assert!(diagnosis.findings.is_empty() && diagnosis.undetermined.is_empty());
        }
    }

    #[test]
    fn one_look_without_idle_times_is_undetermined() {
        let unknown = CloseWaitGroup { idle_ms: Missing::NotOnThisKernel.into(), ..group(9) };
        let diagnosis = Scene::now().close_wait(unknown).diagnose();
        assert!(diagnosis.findings.is_empty());
        assert_eq!(diagnosis.undetermined[0].id, FindingId::CloseWaitLeak);
    }
}
