//! Which of the processes that hold a listener serve it.
//!
//! A descriptor says little: workers inherit the listeners of their siblings, masters keep those that
//! they opened for their workers, children keep what nobody closed. Who has the listener in an epoll
//! set serves it, and beside others, one that only waits for signals or for children does not.

use halfopen_evidence::{
    Activity, Call, CallTarget, Holder, HolderSearch, Holders, Inode, Missing, Process, Reading,
    Thread, Want,
};

use super::cause::Unknown;
use super::serving::{is_gone, is_idle_call, is_notification, waited_before};
use super::stops::stop;
use crate::{Context, ListenerView};

/// Processes of one listener that are looked at; a server with more of them runs the same code in
/// each.
pub(super) const PROCESSES: usize = 16;

/// Programs that listen on nothing: holding a listener, they have inherited it.
const NO_SERVERS: [&str; 14] = [
    "sleep", "sh", "bash", "dash", "ash", "zsh", "tail", "cat", "tee", "timeout", "sudo", "su",
    "xargs", "logger",
];

/// The holders of a listener, if any is known; asks for them otherwise.
pub(super) fn known<'a>(
    context: &Context<'_>,
    view: &ListenerView<'a>,
    wants: &mut Vec<Want>,
) -> Result<&'a Holders, Unknown> {
    let no_holder = |why: String| Unknown::NoHolder { why };
    let want = Want::Holders { netns: view.netns.id, inodes: vec![view.listener.inode] };
    match &view.listener.holders {
        Reading::Missing(why) => {
            if *why == Missing::NotCollected {
                wants.push(want);
            }
            Err(no_holder(format!("its holders are {why}")))
        }
        Reading::Known(Holders { search: HolderSearch::FirstDescriptors, .. }) => {
            wants.push(want);
            Err(no_holder("its holders were not looked for everywhere".to_owned()))
        }
        Reading::Known(Holders { found, search }) if found.is_empty() => {
            Err(no_holder(match search {
                HolderSearch::Permitted { unreadable } => {
                    format!("the descriptors of {unreadable} processes may not be read")
                }
                _ if context.latest().host.sees_all_processes.value() != Some(true) => {
                    "no process of this pid namespace holds it".to_owned()
                }
                _ => "no process holds it; the kernel itself may".to_owned(),
            }))
        }
        Reading::Known(holders) => Ok(holders),
    }
}

/// The processes that hold a listener, as far as they were looked at.
pub(super) struct Looked<'a> {
    /// They.
    pub(super) processes: Vec<&'a Process>,
    /// Why one that was asked about could not be looked at.
    pub(super) unseen: Option<String>,
    /// Whether there may be others, so that one of those may serve the listener.
    pub(super) maybe_others: bool,
}

/// Finds the holders among the processes that were looked at, and asks for those that were not.
pub(super) fn look_at<'a>(
    context: &Context<'a>,
    holders: &Holders,
    wants: &mut Vec<Want>,
) -> Looked<'a> {
    let mut pids: Vec<&Holder> = holders.found.iter().collect();
    pids.dedup_by_key(|holder| holder.pid);
    let unreadable = matches!(holders.search, HolderSearch::Permitted { unreadable: 1.. });
    let mut looked = Looked {
        processes: Vec::new(),
        unseen: None,
        maybe_others: unreadable || pids.len() > PROCESSES,
    };
    for &Holder { pid, start_ticks, .. } in pids.into_iter().take(PROCESSES) {
        match context.latest().processes.get(&pid) {
            Some(process) if process.start_ticks == start_ticks => {
                if process.threads.missing() == Some(&Missing::NotCollected) {
                    wants.push(Want::Process { pid });
                }
                looked.processes.push(process);
            }
            Some(_) => looked.unseen = Some(format!("process {pid} is another one by now")),
            None => {
                wants.push(Want::Process { pid });
                looked.unseen = Some(format!("process {pid} was not looked at, or has ended"));
            }
        }
    }
    looked
}

/// Whether it is a program that listens on nothing.
pub(super) fn is_no_server(process: &Process) -> bool {
    NO_SERVERS.contains(&process.comm.as_str())
}

/// Those that serve the listener, as far as that shows: no shells and the like beside a server, and
/// nobody who merely inherited what others have in an epoll set.
pub(super) fn servers<'a>(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    processes: &[&'a Process],
) -> Vec<&'a Process> {
    let inode = view.listener.inode;
    let mut servers = processes.to_vec();
    if !servers.iter().all(|process| is_no_server(process)) {
        servers.retain(|process| !is_no_server(process));
    }
    if servers.iter().any(|process| registers(process, inode)) {
        servers.retain(|process| {
            process.epoll.get().is_none()
                || registers(process, inode)
                || shows_waiter(context, process, inode)
        });
    }
    servers
}

/// Those that run and may be the ones which should accept: no master beside its workers.
pub(super) fn candidates<'a>(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    servers: &[&'a Process],
) -> Vec<&'a Process> {
    let awake: Vec<&Process> =
        servers.iter().copied().filter(|process| stop(context, process).is_none()).collect();
    let is_master = |process: &Process| {
        waits_for_signals_or_children(process)
            && rests(context, view, process)
            && servers.iter().any(|other| {
                other.pid != process.pid && program(&other.comm) == program(&process.comm)
            })
    };
    let workers: Vec<&Process> =
        awake.iter().copied().filter(|process| !is_master(process)).collect();
    let is_all_masters = workers.is_empty() && awake.len() == servers.len();
    if is_all_masters { awake } else { workers }
}

/// Whether all threads of a process are at rest, none of them waiting for the listener now or seen
/// waiting for it before.
pub(super) fn rests(context: &Context<'_>, view: &ListenerView<'_>, process: &Process) -> bool {
    let inode = view.listener.inode;
    let threads = process.threads.get().map(Vec::as_slice).unwrap_or_default();
    let mut living = threads.iter().filter(|thread| !is_gone(thread)).peekable();
    living.peek().is_some()
        && process.threads_omitted == 0
        && !registers(process, inode)
        && !shows_waiter(context, process, inode)
        && living.all(|thread| is_at_rest(process, thread))
}

/// Whether a process has the listener in an epoll set.
pub(super) fn registers(process: &Process, inode: Inode) -> bool {
    process.epoll.get().into_iter().flatten().any(|registration| registration.inode == inode)
}

/// Whether a thread of the process waits for the listener, or was seen to.
pub(super) fn shows_waiter(context: &Context<'_>, process: &Process, inode: Inode) -> bool {
    process.waiters(inode).next().is_some()
        || process
            .threads
            .get()
            .into_iter()
            .flatten()
            .any(|thread| waited_before(context, process, thread.tid, inode).is_some())
}

/// Whether that is what the main thread of a process does: a master's way to spend its time.
pub(super) fn waits_for_signals_or_children(process: &Process) -> bool {
    let mut threads = process.threads.get().into_iter().flatten();
    let main = threads.find(|thread| thread.tid.0 == process.pid.0);
    let Some(Reading::Known(Activity::Blocked(call))) = main.map(|thread| &thread.activity) else {
        return false;
    };
    match &call.target {
        CallTarget::Child => true,
        CallTarget::Unknown => is_idle_call(&call.name),
        _ => false,
    }
}

fn is_at_rest(process: &Process, thread: &Thread) -> bool {
    let Some(Activity::Blocked(Call { name, target })) = thread.activity.get() else {
        return false;
    };
    match target {
        CallTarget::Child | CallTarget::Time | CallTarget::ThreadExit { .. } => true,
        CallTarget::Descriptors { .. } => thread.waits.get().is_some(),
        CallTarget::Descriptor { what, .. } => is_notification(what),
        // A lone thread may wait for a lock; a master's helpers wait for work.
        CallTarget::Futex { .. } => thread.tid.0 != process.pid.0,
        CallTarget::Lock { .. } => false,
        CallTarget::Unknown => is_idle_call(name),
    }
}

/// The part of a process's name that its siblings share: `gunicorn` of `gunicorn: maste`.
fn program(comm: &str) -> &str {
    comm.split([':', ' ']).next().unwrap_or(comm)
}
