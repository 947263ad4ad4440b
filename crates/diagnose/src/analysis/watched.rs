//! What the rules over watched handshakes share: counts with what they are counts of, and where they
//! were seen.

use halfopen_evidence::{Located, Mark, Outcome, WatchedListener, WatchedSide};

use crate::{Confidence, Fact, Severity, Subject, words};

/// Of so many attempts one may fail before it is said that connections fail.
const RARELY: u64 = 100;

/// Some of the attempts at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// How many.
    pub(crate) count: u32,
    /// Of how many whose beginning was seen.
    pub(crate) of: u32,
    /// Handshakes of other clients, where one client's are counted: how bad it is for the listener
    /// depends on them.
    others: u32,
}

impl Share {
    /// The attempts that came out so; `None` if none did.
    pub(crate) fn of(listener: &WatchedListener, is_one: impl Fn(Outcome) -> bool) -> Option<Self> {
        Self::counted(listener, listener.count(is_one))
    }

    /// So many of the attempts; `None` if there are none.
    pub(crate) fn counted(listener: &WatchedListener, count: u32) -> Option<Self> {
        let of = listener.count(|outcome| outcome != Outcome::MidStream);
        let others = listener.only.map_or(0, |one| one.others_handshakes);
        (count > 0).then_some(Self { count, of, others })
    }

    /// So many of the handshakes, also of those whose beginning was not seen; `None` if there are none.
    pub(crate) fn of_all(listener: &WatchedListener, count: u32) -> Option<Self> {
        Self::counted(listener, count).map(|share| Self { of: listener.handshakes, ..share })
    }

    /// A failure from one in a hundred on.
    pub(crate) fn severity(self) -> Severity {
        let of_all = Self { of: self.of.saturating_add(self.others), ..self };
        if of_all.is_at_least_one_in(RARELY) { Severity::Failure } else { Severity::Warning }
    }

    /// Whether it is one in so many, or more.
    pub(crate) fn is_at_least_one_in(self, whole: u64) -> bool {
        u64::from(self.count) * whole >= u64::from(self.of)
    }

    /// Whether all attempts came out so.
    pub(crate) const fn is_all(self) -> bool {
        self.count >= self.of
    }

    /// `3 of 40 handshakes`.
    pub(crate) fn words(self) -> String {
        if self.is_all() {
            return words::count(self.count, "handshake");
        }
        format!("{} of {}", self.count, words::count(self.of, "handshake"))
    }

    /// As a figure: `40 of 300 handshakes were refused`.
    pub(crate) fn fact(self, name: &str, what: &str) -> Fact {
        Fact::number(name, self.count, format!("{} {what}", self.words()))
    }
}

/// Handshakes that came to a connection late, and not because a SYN was lost: the server answered the
/// first one for an older connection with the same ports.
pub(crate) fn challenged_and_late(listener: &WatchedListener) -> u32 {
    let challenged = listener.count(|it| it == Outcome::Challenged);
    let others = listener.mark(Mark::ChallengeAck).saturating_sub(challenged);
    others.min(listener.count(|it| matches!(it, Outcome::EstablishedLate { .. })))
}

/// What the handshakes are those of: a listener, or one client of it.
pub(crate) fn subject(listener: &WatchedListener) -> Subject {
    listener.only.map_or_else(
        || Subject::server(listener.server, &listener.scope),
        |one| Subject::client(one.client, listener.server, &listener.scope),
    )
}

/// From how many clients, over which time, and where it was watched.
pub(crate) fn facts(listener: &WatchedListener) -> Vec<Fact> {
    let ns = u64::try_from(listener.last_ns.saturating_sub(listener.first_ns)).unwrap_or(0);
    let begun = match listener.handshakes {
        1 => {
            let at = words::date_time(listener.first_ns.div_euclid(1_000_000_000));
            format!("begun at {at} UTC")
        }
        _ => format!("begun within {}", words::span(ns)),
    };
    let side = match listener.side {
        WatchedSide::Clients => "watched at the clients' end",
        WatchedSide::Server => "watched at the server's end",
        WatchedSide::Unknown => "watched at an end that the times do not tell",
    };
    let clients = listener.only.map_or_else(
        || {
            let clients = format!("from {}", words::count(listener.clients, "client"));
            Fact::number("clients", listener.clients, clients)
        },
        |one| {
            let others = words::count(one.others, "other client");
            let (bad, of) = (one.others_troubled, words::count(one.others_handshakes, "handshake"));
            let text = format!("{others} of the listener: {bad} of {of} in trouble");
            Fact::number("other-clients", one.others, text)
        },
    );
    let mut facts = vec![clients, Fact::number("span-ms", ns / 1_000_000, begun)];
    if listener.joined == 0 {
        facts.push(Fact::words("watched-at", side));
    } else {
        let joined = words::count(listener.joined, "handshake");
        let both = format!("{joined} compared at two points on the way");
        facts.push(Fact::number("joined", listener.joined, both));
        facts.extend(listener.located.iter().map(|&(located, count)| {
            Fact::number("located", count, format!("{count} {}", words::located(located)))
        }));
    }
    facts
}

/// Which of these went wrong between two points most often, if any did.
pub(crate) fn most_located(listener: &WatchedListener, of: &[Located]) -> Option<Located> {
    let counted = of.iter().map(|&located| (listener.located(located), located));
    let (count, located) = counted.rev().max_by_key(|&(count, _)| count)?;
    (count > 0).then_some(located)
}

/// What an answer that did not help proves: at the server's end what was seen had arrived; elsewhere it
/// may have been lost behind the place, though seldom many times.
pub(crate) fn confidence(listener: &WatchedListener, certain_of: u32) -> Confidence {
    const SELDOM: u32 = 3;
    match listener.side {
        _ if certain_of == 0 => Confidence::Possible,
        WatchedSide::Server => Confidence::Probable,
        WatchedSide::Clients | WatchedSide::Unknown if certain_of >= SELDOM => Confidence::Probable,
        WatchedSide::Clients | WatchedSide::Unknown => Confidence::Possible,
    }
}
