//! Threads that do something else than accept, in words: what the rules about them say alike.

use halfopen_evidence::{Activity, Frame};

use super::cause::{Basis, Blocked};
use super::lock_chain::{ChainEnd, LockChain};
use super::sampled::Met;
use super::serving::{Doing, Site, Suspect};
use super::stall_report::Told;
use crate::Fact;
use crate::words::harmless;

/// What is said of threads that do something else than accept.
pub(crate) fn tell(blocked: &Blocked, remedies: Vec<String>) -> Told {
    let mut evidence = suspect_facts(&blocked.suspects);
    evidence.extend(blocked.suspects.first().into_iter().flat_map(code_facts));
    evidence.push(Fact::words("basis", basis(blocked.basis)));
    Told {
        cause: cause(blocked),
        confidence: blocked.confidence,
        evidence,
        refuted_by: "an accept in the next window, or another thread that waits for the listener"
            .to_owned(),
        remedies,
        useless: Vec::new(),
    }
}

fn cause(blocked: &Blocked) -> String {
    let Some(first) = blocked.suspects.first() else {
        return "the thread that serves the listener does something else".to_owned();
    };
    let sits = format!("{} {}", first.doing.thread, doing(first));
    let more = blocked.suspects.len() - 1 + blocked.more;
    match blocked.basis {
        Basis::OnlyThread | Basis::SeenWaiting | Basis::Code | Basis::Name => {
            format!("{sits}, instead of accepting")
        }
        Basis::EventLoop => {
            let work = if first.doing.activity.get() == Some(&Activity::Running) {
                " (long work)"
            } else {
                ""
            };
            let too = match more {
                0 => String::new(),
                1 => "; so it is with one other process".to_owned(),
                n => format!("; so it is with {n} other processes"),
            };
            format!("{sits} instead of waiting for connections{work}{too}")
        }
        Basis::EachProcess => {
            let too = match more {
                1 => "the other process that could accept is".to_owned(),
                n => format!("the {n} other processes that could accept are"),
            };
            format!("{sits}, instead of accepting, and {too} busy too")
        }
        Basis::OnlySuspect => format!("nobody accepts, most likely because {sits}"),
        Basis::SameRoot => {
            format!("nobody accepts, most likely because {sits}, and so do {}", others(more))
        }
        Basis::MaybeOfAnother => format!(
            "nobody accepts, perhaps because {sits}; another listener of the process accepts nothing \
             either, so this may be the thread of that one, and that of this one be gone"
        ),
        Basis::Several => format!(
            "nobody accepts; the thread that should may be one of {}, such as {sits}",
            blocked.suspects.len() + blocked.more
        ),
    }
}

fn others(n: usize) -> String {
    if n == 1 { "one other thread".to_owned() } else { format!("{n} other threads") }
}

const fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::OnlyThread => "the process has no other thread",
        Basis::SeenWaiting => "the thread was seen waiting for the listener before",
        Basis::EventLoop => {
            "the listener is in an epoll set of the process, on which no thread waits: its event \
             loop is busy"
        }
        Basis::EachProcess => "no other thread of these processes may be it",
        Basis::Code => "a function on the thread's stack says that it accepts",
        Basis::Name => "the thread's name says that it accepts",
        Basis::OnlySuspect => "every other thread is accounted for",
        Basis::SameRoot => "all suspects wait for the same thread in the end",
        Basis::MaybeOfAnother => "the only thread that may be it may be another listener's",
        Basis::Several => "it was not seen which of these threads should accept",
    }
}

/// What a suspect thread does, and whom it waits for in the end, as a clause after its name.
pub(crate) fn doing(suspect: &Suspect) -> String {
    let mut text = suspect.doing.to_string();
    if let Some(chain) = &suspect.chain {
        text.push_str(&chain_words(chain));
    }
    text
}

fn chain_words(chain: &LockChain) -> String {
    let mut text = String::new();
    for owner in &chain.owners {
        text.push_str(&format!(" (\"{}\"), which {owner}", harmless(&owner.thread.name)));
    }
    match chain.end {
        ChainEnd::Owner | ChainEnd::Cut | ChainEnd::Stranger(_) => {}
        ChainEnd::Cycle(_) => text.push_str(": a deadlock"),
    }
    text
}

/// Whether the lock owners of one of these suspects form a cycle.
pub(crate) fn has_cycle(suspects: &[Suspect]) -> bool {
    let mut chains = suspects.iter().filter_map(|suspect| suspect.chain.as_ref());
    chains.any(|chain| matches!(chain.end, ChainEnd::Cycle(_)))
}

/// Where in the program a suspect is, and those that it waits for.
fn code_facts(suspect: &Suspect) -> Vec<Fact> {
    let owners = suspect.chain.iter().flat_map(|chain| &chain.owners);
    let mut facts: Vec<Fact> =
        std::iter::once(&suspect.doing).chain(owners).filter_map(place_fact).collect();
    facts.dedup();
    facts
}

/// Where in the program a thread is.
pub(crate) fn place_fact(doing: &Doing) -> Option<Fact> {
    let tid = doing.thread.tid;
    let Site { frame, caller, met } = doing.site.as_deref()?;
    let place = place(frame)?;
    let text = match met {
        None => {
            let caller = caller.as_ref().and_then(self::place);
            let caller = caller.map(|caller| format!(", called from {caller}"));
            format!("tid {tid} is in {place}{}", caller.unwrap_or_default())
        }
        Some(Met { times, of }) => format!("tid {tid} was in {place} in {times} of {of} samples"),
    };
    Some(Fact::words("code", text))
}

/// `register_session(int) at sessions.cc:88`, or `register_session(int) of app`.
pub(crate) fn place(frame: &Frame) -> Option<String> {
    let function = harmless(frame.function.as_ref()?);
    Some(match &frame.line {
        Some(line) => format!("{function} at {}:{}", harmless(line.file_name()), line.line),
        None => format!("{function} of {}", harmless(&frame.module)),
    })
}

/// One fact per suspect; the first is the one that the cause describes.
pub(crate) fn suspect_facts(suspects: &[Suspect]) -> Vec<Fact> {
    let fact = |(n, suspect): (usize, &Suspect)| {
        let Suspect { doing: is, state, motionless, .. } = suspect;
        let still = if *motionless { ", has not run in between" } else { "" };
        let tid = is.thread.tid;
        let text = if n == 0 {
            format!("tid {tid} in state {state}{still}")
        } else {
            format!("{} {} (state {state}{still})", is.thread, doing(suspect))
        };
        Fact::number("thread", tid.0, text)
    };
    suspects.iter().enumerate().map(fact).collect()
}
