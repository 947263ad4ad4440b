//! What the threads that could serve a listener do instead.
//!
//! A thread that is idle in a way that programs are idle in (it waits for other sockets, for work,
//! for another thread's end) is accounted for. One that sits in a call which cannot end by a
//! connection's coming, and is no connection's own handler, may well be the one that should accept.

use std::fmt;

use halfopen_evidence::{
    Activity, Call, CallTarget, Frame, Inode, Missing, OwnerBasis, OwnerPlace, Pid, Process,
    Reading, Stack, SyncKind, Thread, ThreadTrack, Tid, Via,
};

use super::event_loops;
use super::lock_chain::LockChain;
use super::sampled::{Hottest, Met};
use super::starvation::{self, Hunger};
use crate::words::{harmless, process_name};
use crate::{Context, ListenerView};

/// A thread by the names that people know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadName {
    /// Its process.
    pub pid: Pid,
    /// The process's name. Untrusted.
    pub comm: String,
    /// The thread.
    pub tid: Tid,
    /// Its name. Untrusted.
    pub name: String,
}

/// A thread and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doing {
    /// Which.
    pub thread: ThreadName,
    /// What it does at the latest look.
    pub activity: Reading<Activity>,
    /// Where in the program it does that, as far as its stack was read.
    pub site: Option<Box<Site>>,
}

/// Where in its program a thread is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The innermost function of the program itself.
    pub frame: Frame,
    /// Whence that was called.
    pub caller: Option<Frame>,
    /// How often it was met there, if it runs and that is told by samples.
    pub met: Option<Met>,
}

/// A thread that may be the one which should accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The thread and what it does.
    pub doing: Doing,
    /// State letter of the thread (proc(5)).
    pub state: char,
    /// Who holds the lock that it waits for.
    pub chain: Option<LockChain>,
    /// Whether it has not run at all between the two looks.
    pub motionless: bool,
    /// Whether a function of the program that it is in says that it accepts connections.
    pub in_accepting_code: bool,
    /// How it could run and got no CPU.
    pub hunger: Option<Hunger>,
}

/// The threads of a listener's holders, sorted by what they have to do with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Serving {
    /// Wait for the listener now.
    pub(super) waiting: Vec<(Doing, Via)>,
    /// Waited for it before, and do something else now.
    pub(super) waited: Vec<(Suspect, Via)>,
    /// Sit in a call that an idle thread does not sit in.
    pub(super) strong: Vec<Suspect>,
    /// Busy with something that is likely their own task: a connection, a computation, a pause.
    pub(super) weak: Vec<Suspect>,
    /// Wait for descriptors, the listener not among them.
    pub(super) event_loops: Vec<Doing>,
    /// What they do could not be read.
    pub(super) unreadable: Vec<Missing>,
    /// All of them.
    pub(super) threads: usize,
    /// Those that wait for a futex without an owner, which may be a lock: idle, most likely.
    pub(super) ownerless: usize,
    /// Those that wait for a futex that is no lock: a condition variable, a semaphore.
    pub(super) idle_in_futex: usize,
    /// Whether there is but one, in but one process.
    pub(super) only_one: bool,
    /// For processes that have the listener armed in an epoll set, the thread that must be their event
    /// loop's; empty if one of them has none.
    pub(super) loops: Vec<Suspect>,
}

/// Which other threads there are beside one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    /// None, and no other process.
    Alone,
    /// None in its process, but there are other processes.
    OnePerProcess,
    /// Others in its process.
    Many,
}

/// What a thread has to do with a listener that it does not wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Strong,
    Weak,
    EventLoop,
    AccountedFor,
}

impl Serving {
    /// Sorts the threads of these processes.
    pub(super) fn of(
        context: &Context<'_>,
        view: &ListenerView<'_>,
        processes: &[&Process],
    ) -> Self {
        let mut serving = Self::default();
        let only_process = processes.len() == 1;
        for process in processes {
            let threads: Vec<&Thread> = match &process.threads {
                Reading::Known(threads) => {
                    threads.iter().filter(|thread| !is_gone(thread)).collect()
                }
                Reading::Missing(why) => {
                    serving.unreadable.push(why.clone());
                    continue;
                }
            };
            if process.threads_omitted > 0 {
                serving.unreadable.push(Missing::unreadable(format_args!(
                    "{} of the threads of {}",
                    process.threads_omitted, process.pid
                )));
            }
            serving.threads += threads.len();
            let company = match (threads.as_slice(), only_process) {
                ([_], true) => Company::Alone,
                ([_], false) => Company::OnePerProcess,
                _ => Company::Many,
            };
            serving.only_one = company == Company::Alone;
            for thread in &threads {
                serving.sort_in(context, view, process, thread, company);
            }
        }
        serving.loops = event_loops::busy(context, view, processes);
        serving
    }

    /// Whether several processes have one suspect each, and nothing else to do: workers.
    pub(super) fn is_one_per_process(&self) -> bool {
        let pid = |suspect: &Suspect| suspect.doing.thread.pid;
        let differ = self.strong.windows(2).all(|pair| match pair {
            [a, b] => pid(a) != pid(b),
            _ => true,
        });
        self.strong.len() > 1 && self.weak.is_empty() && differ
    }

    fn sort_in(
        &mut self,
        context: &Context<'_>,
        view: &ListenerView<'_>,
        process: &Process,
        thread: &Thread,
        company: Company,
    ) {
        let inode = view.listener.inode;
        let doing = || Doing::of(process, thread);
        let waits = thread.waits.get().map(Vec::as_slice);
        if let Some(wait) = waits.unwrap_or_default().iter().find(|wait| wait.inode == inode) {
            self.waiting.push((doing(), wait.via));
            return;
        }
        let activity = match &thread.activity {
            Reading::Known(activity) => activity,
            Reading::Missing(why) => {
                self.unreadable.push(why.clone());
                return;
            }
        };
        if let (true, Reading::Missing(why)) = (waits_for_some(activity), &thread.waits) {
            self.unreadable.push(why.clone());
            return;
        }
        let waits_for_others = waits.is_some_and(|waits| !waits.is_empty());
        let role = if waits_for_others {
            Role::AccountedFor
        } else {
            match role(activity, company, view.endpoint.key.local.port()) {
                Role::Weak | Role::AccountedFor
                    if is_named_acceptor(&thread.name) || is_in_accepting_code(thread) =>
                {
                    Role::Strong
                }
                role => role,
            }
        };
        if role == Role::AccountedFor && is_ownerless(activity) {
            let maybe_lock = may_want_a_lock(activity);
            self.ownerless += usize::from(maybe_lock);
            self.idle_in_futex += usize::from(!maybe_lock);
        }
        let suspect = || Suspect::of(context, process, thread);
        let before = waited_before(context, process, thread.tid, inode);
        match (role, before) {
            (Role::Strong | Role::Weak, Some(via)) => self.waited.push((suspect(), via)),
            (Role::AccountedFor, Some(via)) if !waits_for_others => {
                self.waited.push((suspect(), via));
            }
            (Role::Strong, None) => self.strong.push(suspect()),
            (Role::Weak, None) => self.weak.push(suspect()),
            (Role::EventLoop, _) => self.event_loops.push(doing()),
            (Role::AccountedFor, _) => {}
        }
    }
}

/// A thread that ended while it was read.
pub(super) fn is_gone(thread: &Thread) -> bool {
    thread.activity.missing() == Some(&Missing::Vanished) || matches!(thread.state, 'Z' | 'X')
}

/// Whether the call waits for connections or for some of several descriptors, so that it matters
/// which.
fn waits_for_some(activity: &Activity) -> bool {
    matches!(activity, Activity::Blocked(call) if
        call.name.starts_with("accept") || matches!(call.target, CallTarget::Descriptors { .. }))
}

fn role(activity: &Activity, company: Company, port: u16) -> Role {
    let only_one = company == Company::Alone;
    let own_task = if company == Company::Many { Role::Weak } else { Role::Strong };
    let Activity::Blocked(call) = activity else {
        return own_task;
    };
    match &call.target {
        // An epoll set may be a whole program's; poll on one descriptor is a call that waits for
        // somebody else's answer.
        CallTarget::Descriptors { count: 1 } if call.name.contains("poll") && only_one => {
            if call.name.starts_with("epoll") { Role::EventLoop } else { Role::Strong }
        }
        CallTarget::Descriptors { .. } => Role::EventLoop,
        // Another listener: one of a unix socket, say.
        CallTarget::Descriptor { .. } if call.name.starts_with("accept") => Role::AccountedFor,
        _ if only_one => Role::Strong,
        // Beside workers, a master's way to spend its time.
        CallTarget::Child if company == Company::OnePerProcess => Role::AccountedFor,
        CallTarget::Lock { .. } | CallTarget::Child => Role::Strong,
        CallTarget::Descriptor { what, .. } if is_notification(what) => Role::AccountedFor,
        CallTarget::Descriptor { what, .. } if is_connection_at(what, port) => own_task,
        CallTarget::Descriptor { .. } => Role::Strong,
        CallTarget::Time => own_task,
        CallTarget::Futex { .. } | CallTarget::ThreadExit { .. } => Role::AccountedFor,
        CallTarget::Unknown if is_idle_call(&call.name) => Role::AccountedFor,
        CallTarget::Unknown => Role::Strong,
    }
}

/// Descriptors that helper threads read for ever.
pub(super) fn is_notification(what: &str) -> bool {
    ["eventfd", "timerfd", "signalfd", "inotify", "fanotify"].iter().any(|kind| what.contains(kind))
}

/// Whether a descriptor, as described by [`CallTarget::Descriptor`], is a connection that came in
/// through this port: `socket LOCAL -> PEER`.
fn is_connection_at(what: &str, port: u16) -> bool {
    let local = what.strip_prefix("socket ").and_then(|ends| ends.split_once(" -> "));
    let local_port = local.and_then(|(local, _)| local.rsplit_once(':'));
    local_port.is_some_and(|(_, number)| number.parse() == Ok(port))
}

/// Calls in which threads wait for signals or finished work.
pub(super) fn is_idle_call(name: &str) -> bool {
    const IDLE: [&str; 10] = [
        "pause",
        "rt_sigsuspend",
        "rt_sigtimedwait",
        "sigsuspend",
        "sigwait",
        "restart_syscall",
        "io_getevents",
        "io_pgetevents",
        "io_uring_enter",
        "sched_yield",
    ];
    IDLE.contains(&name)
}

/// Whether a thread's name says that it accepts connections.
fn is_named_acceptor(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains("accept") || name.contains("listen")
}

/// Whether a thread is in a function of the program that says that it accepts connections:
/// `accept_loop`. One that says `accepted` has to do with a connection that was.
fn is_in_accepting_code(thread: &Thread) -> bool {
    let sampled = thread.samples.get().into_iter().flat_map(|samples| &samples.stacks);
    let stacks = thread.stack.get().into_iter().chain(sampled.map(|sampled| &sampled.stack));
    stacks.flat_map(Stack::own_functions).any(|function| {
        let name = function.split('(').next().unwrap_or(function).to_ascii_lowercase();
        name.contains("accept") && !name.contains("accepted")
    })
}

/// Whether a thread waits for a futex without a known owner that may be a lock. What its stack shows
/// to be a condition variable or the like is none.
fn may_want_a_lock(activity: &Activity) -> bool {
    matches!(
        activity,
        Activity::Blocked(Call { target: CallTarget::Futex { kind, .. }, .. })
            if *kind == SyncKind::Unknown || kind.is_lock()
    )
}

fn is_ownerless(activity: &Activity) -> bool {
    matches!(activity, Activity::Blocked(Call { target: CallTarget::Futex { .. }, .. }))
}

/// How the thread was seen to wait for the listener at the first look or at a sample.
pub(super) fn waited_before(
    context: &Context<'_>,
    process: &Process,
    tid: Tid,
    inode: Inode,
) -> Option<Via> {
    let interval = context.interval()?;
    let earlier = interval
        .first
        .processes
        .get(&process.pid)
        .filter(|earlier| earlier.start_ticks == process.start_ticks);
    let at_first_look = earlier.and_then(|earlier| {
        earlier.waiters(inode).find(|(thread, _)| thread.tid == tid).map(|(_, via)| via)
    });
    let in_samples = || interval.thread_track(process.pid, tid).and_then(|t| sampled(t, inode));
    at_first_look.or_else(in_samples)
}

fn sampled(track: &ThreadTrack, inode: Inode) -> Option<Via> {
    let waits = track.seen.iter().flat_map(|sighting| &sighting.waits);
    waits.filter(|wait| wait.inode == inode).map(|wait| wait.via).next()
}

impl Suspect {
    /// A thread with what is known of its waiting.
    pub(super) fn of(context: &Context<'_>, process: &Process, thread: &Thread) -> Self {
        let ran = context.interval().and_then(|interval| interval.ran(process, thread).known());
        let runs = thread.activity == Reading::Known(Activity::Running);
        Self {
            doing: Doing::of(process, thread),
            state: thread.state,
            chain: LockChain::of(process, thread),
            motionless: ran == Some(false),
            in_accepting_code: is_in_accepting_code(thread),
            hunger: runs.then(|| starvation::hunger(context, process, thread)).flatten(),
        }
    }

    /// The thread that stands at the end of its lock chain: itself, if it waits for no lock.
    pub(super) fn root(&self) -> (Pid, Tid) {
        let thread = &self.doing.thread;
        let root = self.chain.as_ref().map_or(thread.tid, |chain| chain.root(thread));
        (thread.pid, root)
    }

    /// Whether its name says that it accepts connections.
    pub(super) fn is_named_acceptor(&self) -> bool {
        is_named_acceptor(&self.doing.thread.name)
    }

    /// Whether it waits for something whose owner cannot be read: a lock, or work.
    pub(super) fn is_ownerless(&self) -> bool {
        self.doing.activity.get().is_some_and(is_ownerless)
    }
}

impl Doing {
    /// What a thread does.
    #[must_use]
    pub fn of(process: &Process, thread: &Thread) -> Self {
        Self {
            thread: ThreadName::of(process, thread),
            activity: thread.activity.clone(),
            site: Site::of(thread).map(Box::new),
        }
    }
}

impl Site {
    fn of(thread: &Thread) -> Option<Self> {
        if let Some(stack) = thread.stack.get() {
            let (frame, caller) = (stack.site()?.clone(), stack.caller().cloned());
            return Some(Self { frame, caller, met: None });
        }
        let Hottest { site, met } = Hottest::of(thread.samples.get()?)?;
        Some(Self { frame: site.clone(), caller: None, met: Some(met) })
    }
}

impl ThreadName {
    /// The names of a thread.
    #[must_use]
    pub fn of(process: &Process, thread: &Thread) -> Self {
        Self {
            pid: process.pid,
            comm: process.comm.clone(),
            tid: thread.tid,
            name: thread.name.clone(),
        }
    }
}

/// `thread "acceptor" (tid 830) of java[812]`, made harmless for a terminal.
impl fmt::Display for ThreadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = process_name(&self.comm, self.pid);
        write!(f, "thread \"{}\" (tid {}) of {process}", harmless(&self.name), self.tid)
    }
}

/// `waits in futex for a lock held by tid 841`.
impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = match &self.activity {
            Reading::Missing(why) => return write!(f, "does something that is {why}"),
            Reading::Known(Activity::Running) => return f.write_str("runs on a CPU"),
            Reading::Known(Activity::Blocked(call)) => call,
        };
        let Call { name, target } = call;
        match target {
            CallTarget::Unknown => write!(f, "sits in {}", harmless(name)),
            CallTarget::Lock { owner, kind, basis, place, .. } => {
                let likely = if *basis == OwnerBasis::Stack { "most likely " } else { "" };
                let lock = kind.words();
                write!(f, "waits in {name} for {lock} {likely}held by tid {owner}")?;
                match place {
                    OwnerPlace::Here => Ok(()),
                    OwnerPlace::Elsewhere(owner) => {
                        write!(f, " of another process, {}", process_name(&owner.comm, owner.pid))
                    }
                    OwnerPlace::Ended => f.write_str(", which has ended"),
                }
            }
            CallTarget::Futex { address, kind: SyncKind::Unknown } => write!(
                f,
                "waits in {name} at {address:#x}, a lock or a condition whose owner cannot be read"
            ),
            CallTarget::Futex { kind, .. } if kind.is_lock() => {
                write!(f, "waits in {name} for {} whose owner cannot be read", kind.words())
            }
            CallTarget::Futex { kind, .. } => write!(f, "waits in {name} for {}", kind.words()),
            CallTarget::ThreadExit { tid } => write!(f, "waits for tid {tid} to end"),
            CallTarget::Descriptor { fd, what } => {
                write!(f, "sits in {name} on descriptor {fd} ({})", harmless(what))
            }
            CallTarget::Descriptors { count: 0 } => write!(f, "sits in {name}"),
            CallTarget::Descriptors { count: 1 } => write!(f, "sits in {name} on one descriptor"),
            CallTarget::Descriptors { count } => write!(f, "sits in {name} on {count} descriptors"),
            CallTarget::Child => write!(f, "sits in {name} until a child process ends"),
            CallTarget::Time => write!(f, "sleeps in {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{blocked, in_epoll, in_futex, in_lock, on_descriptor};

    #[test]
    fn idle_ways_to_wait_are_accounted_for_and_others_are_suspect() {
        let connection = "socket 10.0.0.1:8080 -> 10.0.0.9:40000";
        for (activity, among_many, alone) in [
            (in_lock(7), Role::Strong, Role::Strong),
            (in_futex(), Role::AccountedFor, Role::Strong),
            (in_epoll(), Role::EventLoop, Role::EventLoop),
            (Activity::Running, Role::Weak, Role::Strong),
            (on_descriptor("read", 7, connection), Role::Weak, Role::Strong),
            (
                on_descriptor("connect", 7, "socket 10.0.0.1:4 -> 10.0.0.7:8080"),
                Role::Strong,
                Role::Strong,
            ),
            (on_descriptor("read", 7, "anon_inode:[signalfd]"), Role::AccountedFor, Role::Strong),
            (blocked("wait4", CallTarget::Child), Role::Strong, Role::Strong),
            (blocked("clock_nanosleep", CallTarget::Time), Role::Weak, Role::Strong),
            (blocked("poll", CallTarget::Descriptors { count: 1 }), Role::EventLoop, Role::Strong),
            (blocked("fsync", CallTarget::Unknown), Role::Strong, Role::Strong),
            (blocked("rt_sigtimedwait", CallTarget::Unknown), Role::AccountedFor, Role::Strong),
        ] {
            assert_eq!(role(&activity, Company::Many, 8080), among_many, "{activity:?}");
            assert_eq!(role(&activity, Company::Alone, 8080), alone, "{activity:?} alone");
        }
    }

    #[test]
    fn names_from_outside_are_made_harmless() {
        let thread = ThreadName {
            pid: Pid(812),
            comm: "ja\u{1b}va".to_owned(),
            tid: Tid(830),
            name: "acceptor".to_owned(),
        };
        assert_eq!(thread.to_string(), "thread \"acceptor\" (tid 830) of ja\\u{1b}va[812]");
    }
}
