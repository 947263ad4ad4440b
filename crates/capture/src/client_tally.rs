//! Handshakes counted per client of each listener, in bounded memory: so that what concerns a client or
//! a few can be told from what concerns all of them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::DerefMut;

use halfopen_evidence::{
    Crossing, Handshake, HeavyKeys, Located, Mark, Outcome, WatchedClient, Weight, prefetch,
};
use smallvec::SmallVec;

/// Clients that are told of a listener.
const TOLD: usize = 8;

/// How much more a handshake in trouble weighs than another, when clients have to be forgotten.
const TROUBLE: u32 = 16;

/// A client that is answered sooner, and resets the attempt, has not given up: it only wanted to know
/// whether somebody answers, as health checks do.
const SOON_US: u64 = 200_000;

/// A listener in its scope.
pub(crate) type Listener = (u32, SocketAddr);

/// Counts by kind. Most clients have trouble of one kind or two, which take no memory apart.
type Kinds<K> = SmallVec<[(K, u32); 2]>;

/// A client of a listener.
pub(crate) type Client = (Listener, IpAddr);

/// The handshakes of a client with a listener.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientTally {
    handshakes: u32,
    troubled: u32,
    gave_up: u32,
    /// Those that were established at once: apart from the others, so that a client without trouble
    /// takes no memory beside this.
    established: u32,
    outcomes: Kinds<Outcome>,
    marks: Kinds<Mark>,
    joined: u32,
    located: Vec<(Located, u32)>,
    first_ns: i64,
    last_ns: i64,
}

impl Weight for ClientTally {
    fn weight(&self) -> u32 {
        self.handshakes.saturating_add(self.troubled.saturating_mul(TROUBLE))
    }
}

impl ClientTally {
    /// Asks for the memory that counting needs.
    pub(crate) fn fetch(&self) {
        prefetch(&self.handshakes);
        prefetch(&self.last_ns);
    }

    /// Counts a handshake.
    pub(crate) fn add(&mut self, handshake: &Handshake) {
        if self.handshakes == 0 {
            (self.first_ns, self.last_ns) = (handshake.began_ns, handshake.began_ns);
        }
        self.first_ns = self.first_ns.min(handshake.began_ns);
        self.last_ns = self.last_ns.max(handshake.began_ns);
        self.handshakes = self.handshakes.saturating_add(1);
        self.troubled =
            self.troubled.saturating_add(u32::from(handshake.outcome.may_be_a_clients()));
        self.gave_up = self.gave_up.saturating_add(u32::from(gave_up(handshake)));
        if handshake.outcome == Outcome::Established {
            self.established = self.established.saturating_add(1);
        } else {
            count(&mut self.outcomes, handshake.outcome);
        }
        for &mark in &handshake.marks {
            count(&mut self.marks, mark);
        }
    }

    /// Counts where a handshake that was counted went wrong between two points.
    pub(crate) fn add_crossing(&mut self, crossing: &Crossing) {
        self.joined = self.joined.saturating_add(1);
        for &located in &crossing.located {
            count(&mut self.located, located);
        }
    }

    fn watched(self, client: IpAddr) -> WatchedClient {
        let Self { handshakes, gave_up, mut outcomes, marks, joined, located, .. } = self;
        let (first_ns, last_ns) = (self.first_ns, self.last_ns);
        outcomes.extend(Some((Outcome::Established, self.established)).filter(|it| it.1 > 0));
        WatchedClient {
            client,
            handshakes,
            gave_up,
            outcomes: outcomes.into_vec(),
            marks: marks.into_vec(),
            joined,
            located,
            first_ns,
            last_ns,
        }
    }
}

/// Of each listener the clients with the most trouble, as far as at least half of a client's handshakes
/// are known to be in trouble.
pub(crate) fn most_troubled(
    tallies: HeavyKeys<Client, ClientTally>,
) -> HashMap<Listener, Vec<WatchedClient>> {
    let undercount = tallies.undercount();
    let is_certain = |tally: &ClientTally| {
        let most = tally.handshakes.saturating_add(undercount);
        tally.troubled > 0 && tally.troubled >= most.div_ceil(2)
    };
    let mut troubled: Vec<(Client, ClientTally)> =
        tallies.into_entries().filter(|(_, tally)| is_certain(tally)).collect();
    troubled.sort_by_key(|((_, client), tally)| (Reverse(tally.troubled), *client));
    let mut told: HashMap<Listener, Vec<WatchedClient>> = HashMap::new();
    for ((listener, client), tally) in troubled {
        let of_listener = told.entry(listener).or_default();
        if of_listener.len() < TOLD {
            of_listener.push(tally.watched(client));
        }
    }
    told
}

/// Whether a client ended its attempt because no answer came in time.
pub(crate) fn gave_up(handshake: &Handshake) -> bool {
    let first = |sends: &halfopen_evidence::Sends| sends.at_us.first().copied();
    let waited = first(&handshake.syn_acks)
        .map(|at| at.saturating_sub(first(&handshake.syns).unwrap_or(at)));
    handshake.outcome == Outcome::AbortedByClient && waited.is_none_or(|us| us >= SOON_US)
}

/// Counts one more of a kind.
pub(crate) fn count<K: PartialEq>(
    counts: &mut (impl DerefMut<Target = [(K, u32)]> + Extend<(K, u32)>),
    key: K,
) {
    match counts.iter_mut().find(|(it, _)| *it == key) {
        Some((_, count)) => *count = count.saturating_add(1),
        None => counts.extend([(key, 1)]),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use halfopen_evidence::{Sends, Stages, Vantage};

    use super::*;

    const LISTENER: Listener = (0, SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9)), 80));

    fn handshake(client: u32, outcome: Outcome) -> Handshake {
        Handshake {
            client: SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0000 + client).into(), 4000),
            server: LISTENER.1,
            scope: String::new(),
            began_ns: 0,
            lasted_ns: 0,
            vantage: Vantage::Both,
            outcome,
            marks: Vec::new(),
            syns: Sends::once(0),
            syn_acks: Sends::default(),
            stages: Stages::default(),
            first_record: 1,
        }
    }

    fn told(handshakes: &[(u32, Outcome, u32)], capacity: usize) -> Vec<(String, u32)> {
        let mut tallies = HeavyKeys::<Client, ClientTally>::new(capacity);
        for &(client, outcome, times) in handshakes {
            let handshake = handshake(client, outcome);
            let key = (LISTENER, handshake.client.ip());
            (0..times).for_each(|_| tallies.entry(key).add(&handshake));
        }
        let told = most_troubled(tallies).remove(&LISTENER).unwrap_or_default();
        told.iter().map(|it| (it.client.to_string(), it.handshakes)).collect()
    }

    #[test]
    fn clients_of_whose_handshakes_half_are_in_trouble_are_told_the_worst_first() {
        let mixed = [
            (1, Outcome::SynUnanswered, 3),
            (1, Outcome::Established, 3),
            (2, Outcome::Refused, 9),
            (3, Outcome::SynUnanswered, 3),
            (3, Outcome::Established, 4),
            (4, Outcome::ThirdAckIgnored { ended: halfopen_evidence::IgnoredEnd::Open }, 9),
        ];
        let expected = [("10.0.0.2".to_owned(), 9), ("10.0.0.1".to_owned(), 6)];
        assert_eq!(told(&mixed, 100), expected);
    }

    #[test]
    fn what_may_have_been_forgotten_counts_for_the_client() {
        let many: Vec<(u32, Outcome, u32)> =
            (100..400).map(|client| (client, Outcome::Established, 3)).collect();
        let one = [(1, Outcome::SynUnanswered, 2)];
        assert_eq!(told(&[&many[..], &one].concat(), 50), [], "three may have been forgotten");
        let one = [(1, Outcome::SynUnanswered, 200)];
        assert_eq!(told(&[&many[..], &one].concat(), 50), [("10.0.0.1".to_owned(), 200)]);
    }

    #[test]
    fn who_resets_an_answer_that_came_soon_has_not_given_up() {
        let answered = |us| {
            let syn_acks = Sends::once(us);
            Handshake { syn_acks, ..handshake(1, Outcome::AbortedByClient) }
        };
        assert!(gave_up(&answered(700_000)) && gave_up(&handshake(1, Outcome::AbortedByClient)));
        assert!(!gave_up(&answered(900)) && !gave_up(&handshake(1, Outcome::SynUnanswered)));
    }
}
