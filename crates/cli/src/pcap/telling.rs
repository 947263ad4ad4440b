//! From packets to handshakes that are told, in order and a few hundred at a time. Reading, following
//! and whatever is done with what is told can each have a thread of their own.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use halfopen_capture::{Joined, Scopes};

use super::ahead;
use super::following::{Counted, Following};
use super::input::Complaint;
use super::read::{self, Account, Event, Plan};
use crate::handshakes::found::{Found, Number};

/// Handshakes that are told together.
const TOGETHER: usize = 256;

/// The same where one thread does all: they stay in its first-level cache.
const FEW: usize = 32;

/// Tellings that wait at most.
const WAITING: usize = 8;

/// What is told.
#[derive(Debug)]
pub(super) enum Telling<'a> {
    /// Some handshakes. The vector may be taken.
    Found(&'a mut Vec<Found>),
    /// There is nothing more for now.
    Idle,
}

/// What came of reading and following.
pub(super) type Ended = Result<(Account, Counted), Complaint>;

/// Reads all of it, and tells what is followed on this thread. One thread does all; of two the other
/// reads; of three another follows.
///
/// # Errors
/// As [`read::read`].
pub(super) fn tell(
    plan: &Plan,
    following: Following,
    threads: u8,
    mut teller: impl FnMut(Telling<'_>) -> ControlFlow<()>,
) -> Ended {
    match threads {
        0 | 1 => {
            let mut follower = Follower::new(following, FEW, teller);
            let account = read::read(plan, |event| follower.on(event))?;
            Ok((account, follower.following.counted()))
        }
        2 => follow(plan, following, teller),
        _ => thread::scope(|threads| {
            let (send, receive) = sync_channel(WAITING);
            let (send_back, spare) = channel::<Vec<Found>>();
            let follower = threads.spawn(move || {
                follow(plan, following, |told| {
                    let some = match told {
                        Telling::Found(found) => {
                            let next = spare.try_recv().unwrap_or_default();
                            Some(std::mem::replace(found, next))
                        }
                        Telling::Idle => None,
                    };
                    // Nobody receives any more who has seen enough.
                    send.send(some).map_or(ControlFlow::Break(()), ControlFlow::Continue)
                })
            });
            for some in receive {
                let flow = match some {
                    Some(mut found) => {
                        let flow = teller(Telling::Found(&mut found));
                        found.clear();
                        // The follower may have ended.
                        let _ = send_back.send(found);
                        flow
                    }
                    None => teller(Telling::Idle),
                };
                if flow.is_break() {
                    break;
                }
            }
            follower.join().unwrap_or_else(|panic| resume_unwind(panic))
        }),
    }
}

/// Follows on this thread what another reads.
fn follow(
    plan: &Plan,
    following: Following,
    teller: impl FnMut(Telling<'_>) -> ControlFlow<()>,
) -> Ended {
    let mut follower = Follower::new(following, TOGETHER, teller);
    let account = ahead::read(plan, |event| follower.on(event))?;
    Ok((account, follower.following.counted()))
}

/// Follows packets, and gathers what is to be told.
struct Follower<T> {
    following: Following,
    found: Vec<Found>,
    together: usize,
    teller: T,
    flow: ControlFlow<()>,
}

impl<T: FnMut(Telling<'_>) -> ControlFlow<()>> Follower<T> {
    fn new(following: Following, together: usize, teller: T) -> Self {
        let found = Vec::with_capacity(together);
        Self { following, found, together, teller, flow: ControlFlow::Continue(()) }
    }

    fn on(&mut self, event: Event<'_>) -> ControlFlow<()> {
        let Self { following, found, together, teller, flow } = self;
        let mut hand_over = |found: &mut Vec<Found>| {
            if flow.is_continue() && !found.is_empty() {
                *flow = teller(Telling::Found(found));
            }
            found.clear();
        };
        let mut add = |joined: Joined, scopes: &Scopes| {
            found.push(named(joined, scopes));
            if found.len() >= *together {
                hand_over(found);
            }
        };
        match event {
            Event::Batch(batch, scopes) => {
                following.on_batch(batch, &mut |joined| add(joined, scopes));
            }
            Event::Idle(now_ns, scopes) => {
                following.on_clock(now_ns, &mut |joined| add(joined, scopes));
                hand_over(found);
                if flow.is_continue() {
                    *flow = teller(Telling::Idle);
                }
            }
            Event::End(scopes) => {
                following.finish(&mut |joined| add(joined, scopes));
                hand_over(found);
            }
        }
        self.flow
    }
}

/// A handshake with its number and the name of its scope.
fn named(joined: Joined, scopes: &Scopes) -> Found {
    let Joined { mut handshake, scope, crossing } = joined;
    let number = Number::unpacked(handshake.first_record);
    handshake.first_record = number.record;
    handshake.scope = scopes.name(scope).unwrap_or_default();
    Found { number, handshake, crossing }
}

#[cfg(test)]
mod tests {
    use halfopen_capture::{Filter, Limits, Tunnels};

    use super::super::input::Input;
    use super::*;

    fn told(threads: u8, most: usize) -> (Vec<(Number, String)>, u64) {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../bundles/captures/path-loses-each.pcap");
        let plan = Plan {
            inputs: vec![Input::new(path).expect("a capture")],
            filter: Filter::default(),
            tunnels: Tunnels::default(),
            follow: false,
            clocks: Vec::new(),
        };
        let mut told = Vec::new();
        let following = Following::new(Limits::default(), None);
        let (account, _) = tell(&plan, following, threads, |some| {
            if let Telling::Found(found) = some {
                told.extend(found.iter().map(|it| (it.number, format!("{:?}", it.handshake))));
            }
            if told.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .expect("it can be read");
        (told, account.packets)
    }

    #[test]
    fn the_same_is_told_by_any_number_of_threads() {
        let one = told(1, usize::MAX);
        assert!(one.0.len() > 1, "{one:?}");
        for threads in [2, 3] {
            assert_eq!(told(threads, usize::MAX), one);
        }
    }

    #[test]
    fn who_has_seen_enough_is_told_no_more() {
        for threads in [1, 2, 3] {
            assert!(told(threads, 1).0.len() <= TOGETHER, "{threads}");
        }
    }
}
