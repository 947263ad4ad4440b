//! One handshake out of the two that two points saw.
//!
//! Times are the client's, since it is the client that waits. The outcome is that of the side which
//! knows:
//!
//! | outcome | if |
//! | --- | --- |
//! | reset by a middlebox | a reset reached an end whose peer's side had not sent it, and ended the attempt |
//! | what the server's side says | it saw a SYN-ACK leave and says that the third ACK is missing, was ignored, deferred or answered by a reset: what was seen there had not been lost before |
//! | refused, unreachable and the like | the client's side says so and no reset is foreign |
//! | what the client's side says | otherwise; if it could say nothing, what the server's side says |

use halfopen_evidence::{Crossing, Handshake, Located, Mark, Outcome, Sends, Vantage};

/// The handshake as the two sides know it together.
pub(super) fn joined(client: Handshake, server: Handshake, crossing: &Crossing) -> Handshake {
    let outcome = outcome(client.outcome, server.outcome, crossing);
    let later_ns = server.began_ns.saturating_sub(client.began_ns);
    let answers = server.syn_acks.count > 0;
    let vantage = match (client.vantage, server.vantage) {
        (one, other) if one == other => one,
        _ => Vantage::Both,
    };
    let mut marks = client.marks;
    marks.extend(server.marks.into_iter().filter(|&mark| is_of_the_handshake(mark)));
    marks.sort_unstable();
    marks.dedup();
    Handshake {
        outcome,
        vantage,
        marks,
        syn_acks: if answers { moved(server.syn_acks, later_ns) } else { client.syn_acks },
        syns: if client.syns.count > 0 { client.syns } else { server.syns },
        ..client
    }
}

/// The handshake as one side alone knows it, with what the other's silence adds.
pub(super) fn alone(handshake: Handshake, crossing: Option<&Crossing>) -> Handshake {
    let is_forged =
        crossing.is_some_and(|crossing| crossing.located.contains(&Located::ResetNotByServer));
    let outcome = if is_forged && client_is_ended(handshake.outcome) {
        Outcome::ResetByMiddlebox
    } else {
        handshake.outcome
    };
    Handshake { outcome, ..handshake }
}

/// Whether a client that got a reset did not go on.
const fn client_is_ended(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Refused
            | Outcome::ResetAfterAck
            | Outcome::ResetByMiddlebox
            | Outcome::ThirdAckMissing
    )
}

fn outcome(client: Outcome, server: Outcome, crossing: &Crossing) -> Outcome {
    let is = |located| crossing.located.contains(&located);
    let ends_by_reset = |outcome| {
        matches!(
            outcome,
            Outcome::Refused
                | Outcome::ResetAfterAck
                | Outcome::ResetByMiddlebox
                | Outcome::AbortedByClient
        )
    };
    let forged_to_client = is(Located::ResetNotByServer) && client_is_ended(client);
    let forged_to_server = is(Located::ResetNotByClient) && ends_by_reset(server);
    match (client, server) {
        _ if forged_to_client || forged_to_server => Outcome::ResetByMiddlebox,
        // Its TTL alone was odd: the server's side did send it.
        (Outcome::ResetByMiddlebox, _) if ends_by_reset(server) => server,
        (
            _,
            Outcome::ThirdAckMissing
            | Outcome::ThirdAckIgnored { .. }
            | Outcome::Deferred
            | Outcome::ResetAfterAck,
        ) => server,
        (Outcome::Undecided | Outcome::MidStream, _) => server,
        _ => client,
    }
}

/// Whether a mark is one of the handshake, and not of how one point captured it.
const fn is_of_the_handshake(mark: Mark) -> bool {
    !matches!(mark, Mark::CapturedTwice | Mark::Truncated)
}

/// Times that count from another beginning.
fn moved(mut sends: Sends, later_ns: i64) -> Sends {
    for at_us in &mut sends.at_us {
        *at_us = at_us.saturating_add_signed(later_ns / 1000);
    }
    sends
}
