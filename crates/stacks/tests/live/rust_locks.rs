//! Locks of Rust's standard library, which do not name their owner.

use halfopen_evidence::{CallTarget, OwnerBasis, OwnerPlace, SyncKind, Tid};

use super::target::{Build, Program, call, eventually, thread, threads};

const PLAIN: Build = Build("rustc", &["--edition=2024", "-O"]);
const UNOPTIMISED: Build = Build("rustc", &["--edition=2024", "-g"]);
const STRIPPED: Build = Build("rustc", &["--edition=2024", "-O", "-Cstrip=symbols"]);

/// Who is said to hold what the waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Holder,
    Nobody,
}

fn check(program: &Program, way: &str, kind: SyncKind, expected: Owner) {
    let mut running = program.start(&[way]);
    let numbers = running.numbers_until(&["holder", "waiter", "ready"]);
    let (waiter, holder) = (numbers["waiter"], numbers["holder"]);
    eventually(way, || {
        let looked = running.look();
        let seen = call(thread(&looked, waiter)).map(|call| call.target.clone());
        let wanted = match (&seen, expected) {
            (Some(CallTarget::Lock { address, .. }), Owner::Holder) => CallTarget::Lock {
                address: *address,
                owner: Tid(holder),
                kind,
                basis: OwnerBasis::Stack,
                place: OwnerPlace::Here,
            },
            (Some(CallTarget::Futex { address, .. }), Owner::Nobody) => {
                CallTarget::Futex { address: *address, kind }
            }
            _ => return Err((seen, format!("{:#?}", looked.threads))),
        };
        if seen.as_ref() == Some(&wanted) { Ok(()) } else { Err((seen, String::new())) }
    });
}

fn check_all(build: Build) {
    let Some(program) = build.program("locks.rs") else { return };
    for (way, kind, owner) in [
        ("mutex", SyncKind::RustMutex, Owner::Holder),
        ("abba", SyncKind::RustMutex, Owner::Holder),
        ("crowd", SyncKind::RustMutex, Owner::Holder),
        ("read-held", SyncKind::RustRwLock, Owner::Holder),
        ("write-held", SyncKind::RustRwLock, Owner::Holder),
        ("two-readers", SyncKind::RustRwLock, Owner::Nobody),
        ("condvar", SyncKind::RustPark, Owner::Nobody),
        ("parked", SyncKind::RustPark, Owner::Nobody),
    ] {
        check(&program, way, kind, owner);
    }
}

#[test]
fn the_thread_with_the_locks_address_on_its_stack_is_the_owner() {
    check_all(PLAIN);
}

#[test]
fn builds_without_optimisation_are_understood_too() {
    check_all(UNOPTIMISED);
}

#[test]
fn a_deadlock_is_named_from_both_sides() {
    let Some(program) = PLAIN.program("locks.rs") else { return };
    let mut running = program.start(&["abba"]);
    let numbers = running.numbers_until(&["holder", "waiter", "ready"]);
    let (first, second) = (numbers["holder"], numbers["waiter"]);
    eventually("a cycle", || {
        let looked = running.look();
        let owner_for = |tid| match call(thread(&looked, tid))?.target {
            CallTarget::Lock { owner, .. } => Some(owner),
            _ => None,
        };
        match (owner_for(first), owner_for(second)) {
            (by_first, by_second)
                if (by_first, by_second) == (Some(Tid(second)), Some(Tid(first))) =>
            {
                Ok(())
            }
            other => Err(other),
        }
    });
}

#[test]
fn without_names_nobody_is_accused() {
    let Some(program) = STRIPPED.program("locks.rs") else { return };
    for way in ["mutex", "abba", "crowd", "read-held", "condvar"] {
        let mut running = program.start(&[way]);
        let waiter = running.numbers_until(&["holder", "waiter", "ready"])["waiter"];
        eventually(way, || {
            let looked = running.look();
            let waiting = call(thread(&looked, waiter)).map(|call| call.target.clone());
            let futex = matches!(waiting, Some(CallTarget::Futex { kind: SyncKind::Unknown, .. }));
            let accused = threads(&looked).iter().filter_map(call);
            let accused = accused.filter(|call| matches!(call.target, CallTarget::Lock { .. }));
            if futex && accused.count() == 0 { Ok(()) } else { Err(waiting) }
        });
    }
}
