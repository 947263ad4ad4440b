//! Whether what is wrong at a listener is wrong for all of its clients, or for a few of them: then these
//! are judged by themselves, and the others without them.

use halfopen_evidence::{BurstKind, OneClient, Outcome, WatchedClient, WatchedListener};

/// More clients than this that fare badly are not a few.
const FEW: usize = 3;

/// A client whose handshakes failed less often than this may have had bad luck.
const REPEATED: u32 = 2;

/// So many other clients must be there …
const OTHERS: u64 = 3;

/// … with so many handshakes …
const OTHERS_HANDSHAKES: u32 = 6;

/// … of which at most one in so many is in trouble.
const FINE: u64 = 50;

/// The handshakes of a listener to be judged together: of those clients that are apart, each by itself,
/// and of the rest.
pub(crate) fn split(listener: &WatchedListener) -> Vec<WatchedListener> {
    let is_flood = listener.burst.is_some_and(|burst| burst.kind == BurstKind::SynFlood);
    let repeated = listener.troubled.iter().filter(|client| troubled(&client.outcomes) >= REPEATED);
    let apart: Vec<&WatchedClient> = repeated.take(FEW + 1).collect();
    if apart.is_empty() || apart.len() > FEW || is_flood {
        return vec![listener.clone()];
    }
    let rest = without(listener, &apart);
    let (of, in_trouble) = (rest.handshakes, troubled(&rest.outcomes));
    let are_fine = u64::from(in_trouble) * FINE <= u64::from(of);
    if rest.clients < OTHERS || of < OTHERS_HANDSHAKES || !are_fine {
        return vec![listener.clone()];
    }
    let others = |client| OneClient {
        client,
        others: rest.clients,
        others_handshakes: of,
        others_troubled: in_trouble,
    };
    let alone = apart.iter().map(|client| of_one(listener, client, others(client.client)));
    let mut all: Vec<WatchedListener> = alone.collect();
    all.push(rest);
    all
}

fn of_one(listener: &WatchedListener, client: &WatchedClient, one: OneClient) -> WatchedListener {
    WatchedListener {
        server: listener.server,
        scope: listener.scope.clone(),
        handshakes: client.handshakes,
        outcomes: client.outcomes.clone(),
        marks: client.marks.clone(),
        clients: 1,
        joined: client.joined,
        located: client.located.clone(),
        connect: None,
        side: listener.side,
        burst: None,
        first_ns: client.first_ns,
        last_ns: client.last_ns,
        gave_up: client.gave_up,
        troubled: Vec::new(),
        only: Some(one),
    }
}

fn without(listener: &WatchedListener, clients: &[&WatchedClient]) -> WatchedListener {
    let mut rest = listener.clone();
    rest.troubled.clear();
    rest.clients = rest.clients.saturating_sub(clients.len() as u64);
    for client in clients {
        rest.handshakes = rest.handshakes.saturating_sub(client.handshakes);
        rest.joined = rest.joined.saturating_sub(client.joined);
        rest.gave_up = rest.gave_up.saturating_sub(client.gave_up);
        subtract(&mut rest.outcomes, &client.outcomes);
        subtract(&mut rest.marks, &client.marks);
        subtract(&mut rest.located, &client.located);
    }
    rest
}

fn subtract<K: PartialEq>(counts: &mut Vec<(K, u32)>, part: &[(K, u32)]) {
    for (key, less) in part {
        if let Some((_, count)) = counts.iter_mut().find(|(it, _)| it == key) {
            *count = count.saturating_sub(*less);
        }
    }
    counts.retain(|&(_, count)| count > 0);
}

fn troubled(outcomes: &[(Outcome, u32)]) -> u32 {
    let bad = outcomes.iter().filter(|(outcome, _)| outcome.may_be_a_clients());
    bad.fold(0, |sum, &(_, count)| sum.saturating_add(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::watched_listener;

    /// Of these clients with so many unanswered SYNs each, beside others that are all right.
    fn parts(failures: &[u32], others: u64, failures_of_others: u32) -> Vec<(Option<u8>, u32)> {
        let all: u32 = failures.iter().sum();
        let mut seen = watched_listener(&[
            (Outcome::Established, 1000),
            (Outcome::SynUnanswered, all + failures_of_others),
        ]);
        seen.listener.clients = others + failures.len() as u64;
        for (&count, last) in failures.iter().zip(1..) {
            seen = seen.troubled(last, &[(Outcome::SynUnanswered, count)]);
        }
        let parts = split(&seen.listener);
        let told = parts.iter().map(|part| {
            let client = part.only.map(|one| match one.client {
                std::net::IpAddr::V4(ip) => ip.octets()[3],
                std::net::IpAddr::V6(_) => 0,
            });
            (client, part.count(|it| it == Outcome::SynUnanswered))
        });
        told.collect()
    }

    #[test]
    fn a_few_clients_are_set_apart_from_others_that_are_fine() {
        assert_eq!(parts(&[40], 9, 0), [(Some(1), 40), (None, 0)]);
        assert_eq!(parts(&[40, 2], 9, 20), [(Some(1), 40), (Some(2), 2), (None, 20)]);
    }

    #[test]
    fn one_failure_many_clients_and_trouble_of_the_others_are_the_listeners() {
        assert_eq!(parts(&[1], 9, 0), [(None, 1)]);
        assert_eq!(parts(&[9, 9, 9, 9], 9, 0), [(None, 36)]);
        assert_eq!(parts(&[40], 9, 30), [(None, 70)]);
        assert_eq!(parts(&[40], 2, 0), [(None, 40)]);
    }
}
