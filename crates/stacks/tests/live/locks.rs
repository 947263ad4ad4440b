//! Every kind of lock of a C library, in every build that a program may come in: what the waiting thread
//! is said to wait for, who is said to have it, and the functions that it is in.

use halfopen_evidence::{
    CallTarget, OwnerBasis, OwnerPlace, OwnerProcess, Pid, StackEnd, SyncKind, Tid,
};

use super::target::{Build, Program, Running, call, eventually, has_in_order, thread, threads};

/// What is expected of one way to wait.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// A lock that the thread called holder has.
    Held(SyncKind),
    /// The same, in another process.
    HeldElsewhere(SyncKind),
    /// A lock whose owner, the thread called holder, has ended.
    Left(SyncKind),
    /// A lock that the waiter itself has.
    Own(SyncKind),
    /// The end of the thread called holder.
    Exit,
    /// A futex without an owner.
    Futex(SyncKind),
    /// The same: of a semaphore, if the names of functions that the C library does not export are
    /// installed.
    Semaphore,
}

const GLIBC: &[(&str, Expected)] = &[
    ("normal", Expected::Held(SyncKind::Mutex)),
    ("recursive", Expected::Held(SyncKind::Mutex)),
    ("errorcheck", Expected::Held(SyncKind::Mutex)),
    ("adaptive", Expected::Held(SyncKind::Mutex)),
    ("timed", Expected::Held(SyncKind::Mutex)),
    ("robust", Expected::Held(SyncKind::RobustMutex)),
    ("pi", Expected::Held(SyncKind::PiMutex)),
    ("shared", Expected::Held(SyncKind::Mutex)),
    ("other-process", Expected::HeldElsewhere(SyncKind::Mutex)),
    ("rwlock-writer", Expected::Held(SyncKind::RwLock)),
    ("rwlock-reader", Expected::Held(SyncKind::RwLock)),
    ("rwlock-readers", Expected::Futex(SyncKind::RwLock)),
    ("stdio", Expected::Held(SyncKind::Stdio)),
    ("join", Expected::Exit),
    ("cond", Expected::Futex(SyncKind::Condition)),
    ("sem", Expected::Semaphore),
    ("self", Expected::Own(SyncKind::Mutex)),
    ("owner-ended", Expected::Left(SyncKind::Mutex)),
    ("main-ended", Expected::Left(SyncKind::Mutex)),
    ("process-ended", Expected::Left(SyncKind::Mutex)),
];

/// musl keeps the owner of a mutex only where it has to know it.
const MUSL: &[(&str, Expected)] = &[
    ("normal", Expected::Futex(SyncKind::Unknown)),
    ("recursive", Expected::Held(SyncKind::RobustMutex)),
    ("errorcheck", Expected::Held(SyncKind::RobustMutex)),
    ("robust", Expected::Held(SyncKind::RobustMutex)),
    ("pi", Expected::Held(SyncKind::PiMutex)),
    ("rwlock-writer", Expected::Futex(SyncKind::Unknown)),
    ("join", Expected::Futex(SyncKind::Unknown)),
    ("cond", Expected::Futex(SyncKind::Unknown)),
    ("sem", Expected::Futex(SyncKind::Unknown)),
    ("self", Expected::Futex(SyncKind::Unknown)),
    ("owner-ended", Expected::Futex(SyncKind::Unknown)),
];

/// How much of its names a build has kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    All,
    /// Those of shared libraries.
    Libraries,
    None,
}

impl Expected {
    fn target(self, seen: &CallTarget, [waiter, holder, process]: [u32; 3]) -> CallTarget {
        let address = match *seen {
            CallTarget::Lock { address, .. } | CallTarget::Futex { address, .. } => address,
            _ => 0,
        };
        let lock = |kind, owner, place| CallTarget::Lock {
            address,
            owner: Tid(owner),
            kind,
            basis: OwnerBasis::Lock,
            place,
        };
        match self {
            Self::Held(kind) => lock(kind, holder, OwnerPlace::Here),
            Self::HeldElsewhere(kind) => {
                let (pid, comm) = (Pid(process), "target".to_owned());
                lock(kind, holder, OwnerPlace::Elsewhere(Box::new(OwnerProcess { pid, comm })))
            }
            Self::Left(kind) => lock(kind, holder, OwnerPlace::Ended),
            Self::Own(kind) => lock(kind, waiter, OwnerPlace::Here),
            Self::Exit => CallTarget::ThreadExit { tid: Tid(holder) },
            Self::Futex(kind) => CallTarget::Futex { address, kind },
            Self::Semaphore => {
                let told = CallTarget::Futex { address, kind: SyncKind::Semaphore };
                if *seen == told {
                    told
                } else {
                    Self::Futex(SyncKind::Unknown).target(seen, [0; 3])
                }
            }
        }
    }

    /// What memory alone tells.
    fn without_names(self) -> Self {
        match self {
            Self::Futex(_) | Self::Semaphore => Self::Futex(SyncKind::Unknown),
            other => other,
        }
    }
}

/// A target that waits, and its waiter, holder and holding process.
fn start(program: &Program, kind: &str) -> (Running, [u32; 3]) {
    let mut running = program.start(&[kind]);
    let numbers = running.numbers_until(&["waiter", "ready"]);
    let number = |name| numbers.get(name).copied().unwrap_or(0);
    let tids = [number("waiter"), number("holder"), number("process")];
    (running, tids)
}

fn check_target(program: &Program, kind: &str, expected: Expected) -> halfopen_evidence::Stack {
    let (running, tids) = start(program, kind);
    let [waiter, ..] = tids;
    eventually(kind, || {
        let looked = running.look();
        let thread = thread(&looked, waiter);
        let seen = call(thread).map(|call| (call.name.clone(), call.target.clone()));
        let wanted =
            seen.as_ref().map(|(_, target)| ("futex".to_owned(), expected.target(target, tids)));
        match thread.stack.get() {
            Some(stack) if seen.is_some() && seen == wanted => Ok(stack.clone()),
            _ => Err(Box::new((seen, wanted, thread.stack.clone()))),
        }
    })
}

fn check(build: Build, names: Names) {
    let Some(program) = build.program("waits.c") else { return };
    for &(kind, expected) in GLIBC {
        let expected = if names == Names::None { expected.without_names() } else { expected };
        let stack = check_target(&program, kind, expected);
        assert_eq!(stack.end, StackEnd::Root, "{kind} {stack:#?}");
        let own = ["wait_for_it", "handle_request", "waiter"];
        assert_eq!(has_in_order(&stack, &own), names == Names::All, "{kind} {stack:#?}");
        let in_program = stack.frames.iter().filter(|frame| frame.module == "target").count();
        assert!(in_program >= own.len(), "{kind} {stack:#?}");
    }
}

#[test]
fn c_programs_name_what_they_wait_for() {
    check(Build("gcc", &["-O2", "-pthread"]), Names::All);
}

#[test]
fn cpp_programs_name_what_they_wait_for() {
    check(Build("g++", &["-O2", "-pthread", "-xc++"]), Names::All);
}

#[test]
fn programs_with_frame_pointers_name_what_they_wait_for() {
    check(Build("gcc", &["-O2", "-pthread", "-fno-omit-frame-pointer"]), Names::All);
}

#[test]
fn stripped_programs_name_what_they_wait_for() {
    check(Build("gcc", &["-O2", "-pthread", "-s"]), Names::Libraries);
}

#[test]
fn static_programs_name_what_they_wait_for() {
    check(Build("gcc", &["-O2", "-pthread", "-static"]), Names::All);
}

#[test]
fn static_programs_without_names_still_name_owners() {
    check(Build("gcc", &["-O2", "-pthread", "-static", "-s"]), Names::None);
}

#[test]
fn programs_of_musl_name_the_owners_that_there_are_and_say_where_their_stack_is_lost() {
    let Some(program) = Build("musl-gcc", &["-O2", "-pthread"]).program("waits.c") else { return };
    for &(kind, expected) in MUSL {
        let stack = check_target(&program, kind, expected);
        // Where the first of musl's functions keeps nothing on the stack, its caller is found.
        let is_whole = has_in_order(&stack, &["waiter"]);
        assert!(is_whole || stack.end == StackEnd::Lost, "{kind} {stack:#?}");
        assert!(!stack.frames.is_empty(), "{kind}");
    }
}

#[test]
fn two_threads_that_hold_what_the_other_wants_name_each_other() {
    let Some(program) = Build("gcc", &["-O2", "-pthread"]).program("waits.c") else { return };
    let (running, [waiter, holder, _]) = start(&program, "abba");
    eventually("a cycle", || {
        let looked = running.look();
        let owner_for = |tid| match call(thread(&looked, tid))?.target {
            CallTarget::Lock { owner, basis: OwnerBasis::Lock, .. } => Some(owner),
            _ => None,
        };
        match (owner_for(waiter), owner_for(holder)) {
            (Some(first), Some(second)) if [first, second] == [Tid(holder), Tid(waiter)] => Ok(()),
            other => Err(other),
        }
    });
    assert_eq!(threads(&running.look()).len(), 2);
}

#[test]
fn owners_in_a_pid_namespace_are_named_by_the_numbers_that_we_know() {
    let Some(program) = Build("gcc", &["-O2", "-pthread"]).program("waits.c") else { return };
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child"]).arg(&program.path).arg("abba");
    let probe = std::process::Command::new("unshare").args(["--pid", "--fork", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED owners in a pid namespace: none can be made here");
        return;
    }
    let mut running = Running::start(&mut unshare);
    let own = running.numbers_until(&["waiter", "ready"]);
    assert_eq!(own["holder"], 1, "the first process of its namespace");
    let children = format!("/proc/{0}/task/{0}/children", running.pid());
    let pid = std::fs::read_to_string(children).expect("children are listed");
    let pid: u32 = pid.trim().parse().expect("one child");
    eventually("a cycle", || {
        let looked = super::target::look(pid);
        let owners: Vec<(Tid, Option<Tid>)> = threads(&looked)
            .iter()
            .map(|thread| match call(thread).map(|call| &call.target) {
                Some(CallTarget::Lock { owner, .. }) => (thread.tid, Some(*owner)),
                _ => (thread.tid, None),
            })
            .collect();
        match *owners {
            [(first, Some(by_first)), (second, Some(by_second))]
                if (by_first, by_second) == (second, first) =>
            {
                Ok(())
            }
            _ => Err(owners),
        }
    });
}
