//! Which goroutine of a Go program should accept. Its runtime waits for all descriptors in one
//! edge-triggered epoll set, so that no thread tells: one seems to wait for the listener all the time.

use halfopen_evidence::{
    Call, CallTarget, GoroutineGroup, GoroutineState, Goroutines, ManagedFrame, Process,
    ProcessName,
};

use crate::{Confidence, ListenerView};

/// A goroutine that should accept and does something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoroutineElsewhere {
    /// Its process.
    pub process: ProcessName,
    /// It, or the most of several that may be it.
    pub group: GoroutineGroup,
    /// Goroutines of other places that may be it.
    pub more: u64,
    /// All goroutines that were looked at, none of which waits for the listener.
    pub all: u64,
    /// How sure it is that it should accept.
    pub confidence: Confidence,
}

/// No goroutine waits for the listener, and none is on its way to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoroutineGone {
    /// Its process.
    pub process: ProcessName,
    /// All goroutines that were looked at.
    pub all: u64,
    /// Those of which it is not known what they are in.
    pub unknown: u64,
    /// Those that wait for other listening sockets.
    pub elsewhere: Vec<GoroutineGroup>,
    /// How sure it is that the accepting one has ended.
    pub confidence: Confidence,
}

impl GoroutineGone {
    /// That the goroutine is gone, if all of a process are known and neither waits any for the listener nor
    /// is one in code that accepts.
    pub(super) fn find(view: &ListenerView<'_>, process: &Process) -> Option<Self> {
        let goroutines = when_none_waits(view, process)?;
        let groups = &goroutines.groups;
        if groups.is_empty() || groups.iter().any(should_accept) {
            return None;
        }
        let unknown = groups.iter().filter(|group| group.frames.get().is_none());
        let unknown = unknown.map(|group| group.count).sum();
        Some(Self {
            process: ProcessName::of_process(process),
            all: all(goroutines),
            unknown,
            elsewhere: groups.iter().filter(|group| is_in_accept(group)).cloned().collect(),
            confidence: if unknown == 0 { Confidence::Probable } else { Confidence::Possible },
        })
    }
}

/// The goroutines of a process that holds the listener, if all are known and none waits for it.
fn when_none_waits<'p>(view: &ListenerView<'_>, process: &'p Process) -> Option<&'p Goroutines> {
    let goroutines = process.goroutines.get().filter(|found| found.omitted == 0)?;
    let holders = &view.listener.holders.get()?.found;
    let fds = holders.iter().filter(|holder| holder.pid == process.pid).map(|holder| holder.fd);
    let fds: Vec<u32> = fds.collect();
    let is_waited_for = goroutines.groups.iter().any(|group| waits_for(group, &fds));
    (!fds.is_empty() && !is_waited_for).then_some(goroutines)
}

impl GoroutineElsewhere {
    /// The goroutine, if all of a process are known and none waits for the listener.
    pub(super) fn find(view: &ListenerView<'_>, process: &Process) -> Option<Self> {
        let goroutines = when_none_waits(view, process)?;
        let candidates: Vec<&GoroutineGroup> =
            goroutines.groups.iter().filter(|group| should_accept(group)).collect();
        let first = *candidates.first()?;
        let count =
            |groups: &[&GoroutineGroup]| groups.iter().map(|group| group.count).sum::<u64>();
        let is_only = candidates.len() == 1 && first.count == 1;
        Some(Self {
            process: ProcessName::of_process(process),
            group: first.clone(),
            more: count(&candidates[1..]),
            all: all(goroutines),
            confidence: if is_only { Confidence::Probable } else { Confidence::Possible },
        })
    }
}

fn all(goroutines: &Goroutines) -> u64 {
    goroutines.groups.iter().map(|group| group.count).sum()
}

/// Whether they wait for one of these descriptors; or for something that is not known to be another.
fn waits_for(group: &GoroutineGroup, fds: &[u32]) -> bool {
    let GoroutineState::Waiting(Call { target, .. }) = &group.state else { return false };
    match target {
        CallTarget::Descriptor { fd, .. } => fds.contains(fd),
        _ => is_in_accept(group),
    }
}

/// Whether they are in a function that accepts, and wait for no descriptor there.
fn should_accept(group: &GoroutineGroup) -> bool {
    let mut frames = group.frames.get().into_iter().flatten();
    !is_in_accept(group) && frames.any(says_that_it_accepts)
}

fn is_in_accept(group: &GoroutineGroup) -> bool {
    let mut frames = group.frames.get().into_iter().flatten();
    frames.any(|frame| frame.function == "internal/poll.(*FD).Accept")
}

/// `acceptLoop`, or `Serve` of the library's servers. One that says `accepted` has to do with a connection
/// that was.
pub(super) fn says_that_it_accepts(frame: &ManagedFrame) -> bool {
    let name = frame.last_name();
    let lower = name.to_ascii_lowercase();
    let is_server = matches!(name, "Serve" | "ServeTLS" | "ListenAndServe" | "ListenAndServeTLS");
    is_server || (lower.contains("accept") && !lower.contains("accepted"))
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Reading, SourceLine};

    use super::*;
    use crate::FindingId;
    use crate::fixture::{
        Scene, endpoint, held, in_epoll, inode, listener, process, thread, waiting_for,
    };

    fn group(count: u64, reason: &str, fd: Option<u32>, functions: &[&str]) -> GoroutineGroup {
        let what = String::new();
        let target = fd.map_or(CallTarget::Unknown, |fd| CallTarget::Descriptor { fd, what });
        let frame = |function: &&str| ManagedFrame {
            function: (*function).to_owned(),
            line: Some(SourceLine { file: "/src/server.go".to_owned(), line: 66 }),
        };
        GoroutineGroup {
            count,
            ids: vec![18],
            threads: Vec::new(),
            state: GoroutineState::Waiting(Call { name: reason.to_owned(), target }),
            frames: Reading::Known(functions.iter().map(frame).collect()),
        }
    }

    /// A Go program whose listener, descriptor 3, is in its runtime's epoll set.
    fn scene(groups: Vec<GoroutineGroup>) -> Scene {
        let polls = thread(813, "app", in_epoll());
        let polls = waiting_for(polls, inode(1), halfopen_evidence::Via::EpollEdge);
        let mut app = process(812, [polls]);
        let version = "go1.19.8".to_owned();
        app.goroutines = Reading::Known(Goroutines { version, groups, omitted: 0 });
        let stands = endpoint("0.0.0.0:8080", [held(listener(1, 6, 128), &[812])]);
        Scene::window().endpoint(stands).process(app)
    }

    fn stuck() -> GoroutineGroup {
        let frames = ["runtime.gopark", "sync.(*Mutex).Lock", "main.register", "main.acceptLoop"];
        group(1, "semacquire", None, &frames)
    }

    #[test]
    fn a_goroutine_that_should_accept_and_waits_for_a_lock_is_named() {
        let idle = group(200, "chan receive", None, &["runtime.gopark", "main.worker"]);
        let accepts = ["runtime.gopark", "internal/poll.(*FD).Accept", "main.acceptHealth"];
        let health = group(1, "IO wait", Some(4), &accepts);
        let scene = scene(vec![idle, health, stuck()]);
        let finding = scene.clone().finding(FindingId::AcceptBlocked);
        assert_eq!(finding.confidence, Confidence::Probable);
        assert_eq!(
            finding.cause,
            "goroutine 18 of app[812] waits (semacquire) in main.register at server.go:66, instead of \
             accepting"
        );
        assert!(scene.is_silent_about(FindingId::AcceptStalled));
    }

    #[test]
    fn one_that_waits_for_the_listener_keeps_it_silent() {
        let accepts = ["runtime.gopark", "internal/poll.(*FD).Accept", "main.acceptLoop"];
        for fd in [Some(3), None] {
            let scene = scene(vec![stuck(), group(1, "IO wait", fd, &accepts)]);
            assert!(scene.is_silent_about(FindingId::AcceptBlocked));
            assert!(!scene.is_silent_about(FindingId::AcceptStalled));
        }
    }

    #[test]
    fn an_accepting_goroutine_that_has_ended_is_missed() {
        let idle = group(200, "chan receive", None, &["runtime.gopark", "main.worker"]);
        let accepts = ["runtime.gopark", "internal/poll.(*FD).Accept", "main.acceptHealth"];
        let mut health = group(1, "IO wait", Some(4), &accepts);
        if let GoroutineState::Waiting(Call { target, .. }) = &mut health.state {
            let what = "listening socket 127.0.0.1:8081".to_owned();
            *target = CallTarget::Descriptor { fd: 4, what };
        }
        let whole = scene(vec![idle.clone(), health.clone()]);
        let finding = whole.clone().finding(FindingId::AcceptThreadMissing);
        assert_eq!(finding.confidence, Confidence::Probable);
        assert_eq!(
            finding.cause,
            "none of 201 goroutines of app[812] waits for the listener or is on its way to: the accepting \
             one has ended; goroutine 18 still serves listening socket 127.0.0.1:8081, so a probe of that \
             port notices nothing"
        );
        assert!(whole.is_silent_about(FindingId::AcceptStalled));
        // One that runs shows no frames, and may be it.
        let runs = GoroutineGroup {
            state: GoroutineState::Running,
            frames: Reading::not_collected(),
            ..group(1, "", None, &[])
        };
        let finding = scene(vec![idle, health, runs]).finding(FindingId::AcceptThreadMissing);
        assert_eq!(finding.confidence, Confidence::Possible);
    }

    #[test]
    fn goroutines_are_asked_for_and_without_them_it_is_open() {
        let mut scene = scene(Vec::new());
        let app = scene.second.processes.get_mut(&halfopen_evidence::Pid(812)).expect("a process");
        app.goroutines = Reading::not_collected();
        for thread in app.threads.get_mut().into_iter().flatten() {
            thread.stack = Reading::not_collected();
        }
        let wants = scene.clone().diagnose().wants;
        let stacks = halfopen_evidence::Want::Stacks { pid: halfopen_evidence::Pid(812) };
        assert!(wants.contains(&stacks), "{wants:?}");
        assert!(scene.is_silent_about(FindingId::AcceptBlocked));
    }
}
