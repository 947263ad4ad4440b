//! Handshakes counted per listener, in bounded memory: those with many handshakes are counted, those
//! with few are forgotten when there are too many (`HeavyKeys`).
//!
//! And whether many of them at once were an attack or clients that all came back: see [`Bursts`].

use std::borrow::Borrow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use halfopen_evidence::{
    Burst, ConnectTimes, Crossing, Handshake, Hashed, HeavyKeys, Located, Mark, Outcome, Watched,
    WatchedClient, WatchedListener, Weight, prefetch,
};

use crate::bursts::Bursts;
use crate::client_tally::{Client, ClientTally, Listener, count, gave_up, most_troubled};
use crate::{Distinct, Latency, Nearness};

/// How much a tally may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TallyLimits {
    /// Listeners; twice as many while counting. Some 2 KiB each.
    pub listeners: usize,
    /// Clients, of a listener each; twice as many while counting. Some 200 bytes each.
    pub clients: usize,
    /// Scopes told apart; those beyond are counted as one.
    pub scopes: usize,
}

/// Counts of handshakes; see the module's text.
#[derive(Clone, Debug)]
pub struct Tally {
    limits: TallyLimits,
    scopes: HashMap<String, u32>,
    listeners: HeavyKeys<Listener, ListenerTally>,
    clients: HeavyKeys<Client, ClientTally>,
}

/// What came of a tally.
#[derive(Clone, Debug, PartialEq)]
pub struct Tallied {
    /// Scope and address of each listener, those with most handshakes first.
    pub listeners: Vec<(String, SocketAddr, ListenerTally)>,
    /// By how many handshakes a listener's count may be too low.
    pub listeners_undercount: u32,
}

/// The handshakes of one listener.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListenerTally {
    /// Handshakes.
    pub handshakes: u32,
    /// By how they came out, in the order in which outcomes were first seen.
    pub outcomes: Vec<(Outcome, u32)>,
    /// By what was noticed of them.
    pub marks: Vec<(Mark, u32)>,
    /// Handshakes that were seen at two points on the way.
    pub joined: u32,
    /// Where those went wrong between the two, or what was done to them.
    pub located: Vec<(Located, u32)>,
    /// What connect() took, of those that came to a connection.
    pub connect: Latency,
    /// Addresses of clients.
    pub clients: Distinct,
    /// Nearer to which end they were watched.
    near: Nearness,
    /// Attempts that their clients ended because no answer came in time.
    pub gave_up: u32,
    /// The clients with most trouble, a few.
    pub troubled: Vec<WatchedClient>,
    /// When the first one began, in nanoseconds since 1970.
    pub first_ns: i64,
    /// When the last one began.
    pub last_ns: i64,
    bursts: Bursts,
}

/// Handshakes whose memory is asked for together.
const TOGETHER: usize = 32;

impl Default for TallyLimits {
    /// Some 15 MiB at the most.
    fn default() -> Self {
        Self { listeners: 2048, clients: 8192, scopes: 1024 }
    }
}

impl Weight for ListenerTally {
    fn weight(&self) -> u32 {
        self.handshakes
    }
}

impl Tallied {
    /// What the rules see of it.
    #[must_use]
    pub fn watched(&self) -> Watched {
        let listeners = self.listeners.iter().map(|(scope, server, tally)| WatchedListener {
            server: *server,
            scope: scope.clone(),
            handshakes: tally.handshakes,
            outcomes: tally.outcomes.clone(),
            marks: tally.marks.clone(),
            joined: tally.joined,
            located: tally.located.clone(),
            clients: tally.clients.count(),
            connect: tally.connect_times(),
            side: tally.near.side(),
            burst: tally.burst(),
            first_ns: tally.first_ns,
            last_ns: tally.last_ns,
            gave_up: tally.gave_up,
            troubled: tally.troubled.clone(),
            only: None,
        });
        Watched { listeners: listeners.collect(), undercount: self.listeners_undercount }
    }
}

impl Tally {
    /// A tally of nothing.
    #[must_use]
    pub fn new(limits: TallyLimits) -> Self {
        Self {
            limits,
            scopes: HashMap::new(),
            listeners: HeavyKeys::new(limits.listeners),
            clients: HeavyKeys::new(limits.clients),
        }
    }

    /// Counts handshakes. Many at a time take half as long as one after the other: each has to wait
    /// for the memory of its listener and its client, and here they wait together.
    pub fn add(&mut self, handshakes: &[impl Borrow<Handshake>]) {
        for some in handshakes.chunks(TOGETHER) {
            self.add_some(some);
        }
    }

    fn add_some(&mut self, some: &[impl Borrow<Handshake>]) {
        let some = || some.iter().map(Borrow::borrow);
        let mut keys = [None; TOGETHER];
        for (keys, handshake) in keys.iter_mut().zip(some()) {
            *keys = Some(self.keys(handshake));
        }
        for ((listener, client), handshake) in keys.iter().flatten().zip(some()) {
            self.listeners.likely(listener).into_iter().for_each(|tally| tally.fetch(handshake));
            self.clients.likely(client).into_iter().for_each(ClientTally::fetch);
        }
        for (listener, _) in keys.iter().flatten() {
            self.listeners.likely(listener).into_iter().for_each(ListenerTally::fetch_more);
        }
        for ((listener, client), handshake) in keys.into_iter().flatten().zip(some()) {
            self.listeners.entry_of(listener).add(handshake);
            self.clients.entry_of(client).add(handshake);
        }
    }

    fn keys(&mut self, handshake: &Handshake) -> (Hashed<Listener>, Hashed<Client>) {
        let listener = (self.scope(&handshake.scope), handshake.server);
        let client = (listener, handshake.client.ip());
        (self.listeners.hashed(listener), self.clients.hashed(client))
    }

    /// Counts where a handshake that was counted went wrong between two points.
    pub fn add_crossing(&mut self, handshake: &Handshake, crossing: &Crossing) {
        let key = (self.scope(&handshake.scope), handshake.server);
        let listener = self.listeners.entry(key);
        listener.joined = listener.joined.saturating_add(1);
        for &located in &crossing.located {
            count(&mut listener.located, located);
        }
        self.clients.entry((key, handshake.client.ip())).add_crossing(crossing);
    }

    /// The counts.
    #[must_use]
    pub fn finish(self) -> Tallied {
        let scopes: HashMap<u32, String> =
            self.scopes.into_iter().map(|(name, number)| (number, name)).collect();
        let listeners_undercount = self.listeners.undercount();
        let mut troubled = most_troubled(self.clients);
        let listeners = self.listeners.into_entries().map(|(key, tally)| {
            (key, ListenerTally { troubled: troubled.remove(&key).unwrap_or_default(), ..tally })
        });
        Tallied { listeners: in_order(listeners, &scopes), listeners_undercount }
    }

    fn scope(&mut self, name: &str) -> u32 {
        const OTHERS: u32 = u32::MAX;
        if name.is_empty() {
            return 0;
        }
        if let Some(&number) = self.scopes.get(name) {
            return number;
        }
        if self.scopes.len() >= self.limits.scopes {
            self.scopes.insert("others".to_owned(), OTHERS);
            return OTHERS;
        }
        let number = u32::try_from(self.scopes.len()).map_or(OTHERS, |scopes| scopes + 1);
        self.scopes.insert(name.to_owned(), number);
        number
    }
}

fn in_order(
    listeners: impl Iterator<Item = (Listener, ListenerTally)>,
    scopes: &HashMap<u32, String>,
) -> Vec<(String, SocketAddr, ListenerTally)> {
    let mut listeners: Vec<(String, SocketAddr, ListenerTally)> = listeners
        .map(|((scope, address), tally)| {
            (scopes.get(&scope).cloned().unwrap_or_default(), address, tally)
        })
        .collect();
    listeners.sort_by(|a, b| {
        b.2.handshakes.cmp(&a.2.handshakes).then_with(|| (&a.0, a.1).cmp(&(&b.0, b.1)))
    });
    listeners
}

impl ListenerTally {
    /// Handshakes with this outcome.
    #[must_use]
    pub fn outcome(&self, outcome: Outcome) -> u32 {
        self.outcomes.iter().find(|&&(it, _)| it == outcome).map_or(0, |&(_, count)| count)
    }

    /// Handshakes with this mark.
    #[must_use]
    pub fn mark(&self, mark: Mark) -> u32 {
        self.marks.iter().find(|&&(it, _)| it == mark).map_or(0, |&(_, count)| count)
    }

    fn connect_times(&self) -> Option<ConnectTimes> {
        let us = |thousandths| self.connect.quantile_ns(thousandths).map(|ns| ns / 1000);
        Some(ConnectTimes { p50_us: us(500)?, p99_us: us(990)?, p999_us: us(999)? })
    }

    /// What the busiest second of a listener looks like, if that is a burst.
    #[must_use]
    pub fn burst(&self) -> Option<Burst> {
        self.bursts.burst(self.handshakes, self.last_ns.saturating_sub(self.first_ns))
    }

    /// Asks for the memory that adding a handshake needs, and then for what that leads to.
    fn fetch(&self, handshake: &Handshake) {
        prefetch(&self.handshakes);
        prefetch(&self.outcomes);
        self.clients.fetch(bits(handshake.client.ip()));
        self.connect.fetch(handshake.stages.connect_ns.unwrap_or(0));
        self.bursts.fetch();
    }

    fn fetch_more(&self) {
        self.outcomes.first().into_iter().for_each(prefetch);
    }

    fn add(&mut self, handshake: &Handshake) {
        if self.handshakes == 0 {
            (self.first_ns, self.last_ns) = (handshake.began_ns, handshake.began_ns);
        }
        self.handshakes = self.handshakes.saturating_add(1);
        self.first_ns = self.first_ns.min(handshake.began_ns);
        self.last_ns = self.last_ns.max(handshake.began_ns);
        self.gave_up = self.gave_up.saturating_add(u32::from(gave_up(handshake)));
        count(&mut self.outcomes, handshake.outcome);
        for &mark in &handshake.marks {
            count(&mut self.marks, mark);
        }
        let client = bits(handshake.client.ip());
        self.clients.add(client);
        self.bursts.add(handshake, client);
        self.near.add(&handshake.stages);
        if let Some(ns) = handshake.stages.connect_ns {
            self.connect.add(ns);
        }
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use halfopen_evidence::{BurstKind, Sends, Stages, Vantage};

    use super::*;

    fn handshake(client: u32, at_ms: i64, outcome: Outcome, syns: u32) -> Handshake {
        let connects = matches!(outcome, Outcome::Established | Outcome::EstablishedLate { .. });
        let connect_ns = connects.then_some(u64::from(syns) * 1_000_000);
        Handshake {
            client: SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0000 + client).into(), 4000),
            server: "10.9.9.9:80".parse().expect("an address"),
            scope: String::new(),
            began_ns: 1_700_000_000_000_000_000 + at_ms * 1_000_000,
            lasted_ns: 0,
            vantage: Vantage::Both,
            outcome,
            marks: vec![Mark::FastOpen],
            syns: Sends { count: syns, ..Sends::once(0) },
            syn_acks: Sends::default(),
            stages: Stages { connect_ns, ..Stages::default() },
            first_record: 1,
        }
    }

    fn listener(handshakes: impl IntoIterator<Item = Handshake>) -> ListenerTally {
        let mut tally = Tally::new(TallyLimits::default());
        tally.add(&handshakes.into_iter().collect::<Vec<_>>());
        tally.finish().listeners.swap_remove(0).2
    }

    #[test]
    fn outcomes_marks_and_times_are_counted_per_listener() {
        let mut tally = Tally::new(TallyLimits::default());
        for at in 0..10 {
            tally.add(&[handshake(at % 2, i64::from(at) * 100, Outcome::Established, 1)]);
        }
        tally.add(&[handshake(1, 5000, Outcome::Refused, 1)]);
        let tallied = tally.finish();
        let (_, address, listener) = &tallied.listeners[0];
        assert_eq!((address.to_string().as_str(), listener.handshakes), ("10.9.9.9:80", 11));
        assert_eq!(listener.outcomes, [(Outcome::Established, 10), (Outcome::Refused, 1)]);
        assert_eq!((listener.mark(Mark::FastOpen), listener.outcome(Outcome::Deferred)), (11, 0));
        assert_eq!((listener.clients.count(), listener.connect.count()), (2, 10));
        assert_eq!(listener.last_ns - listener.first_ns, 5_000_000_000);
        assert_eq!(listener.burst(), None);
    }

    #[test]
    fn scopes_tell_equal_listeners_apart_up_to_a_bound() {
        let mut tally = Tally::new(TallyLimits { scopes: 2, ..TallyLimits::default() });
        for vlan in 0..5 {
            let scope = format!("vlan {vlan}");
            tally.add(&[Handshake { scope, ..handshake(1, 0, Outcome::Established, 1) }]);
        }
        let listeners: Vec<(String, u32)> =
            tally.finish().listeners.into_iter().map(|it| (it.0, it.2.handshakes)).collect();
        let expected = [("others", 3), ("vlan 0", 1), ("vlan 1", 1)];
        assert_eq!(listeners, expected.map(|(scope, count)| (scope.to_owned(), count)));
    }

    #[test]
    fn single_syns_of_many_addresses_are_a_flood() {
        let flood = (0..1000).map(|i| handshake(i, 500, Outcome::ThirdAckMissing, 1));
        let clients = (0..50).map(|i| handshake(70_000 + i, 600, Outcome::Established, 1));
        let burst = listener(flood.chain(clients)).burst().expect("a burst");
        assert_eq!((burst.kind, burst.attempts, burst.silent), (BurstKind::SynFlood, 1050, 1000));
        assert!(burst.silent_clients > 800, "{burst:?}");
    }

    #[test]
    fn one_address_that_scans_is_no_flood() {
        let scan = (0..1000).map(|_| handshake(1, 500, Outcome::ThirdAckMissing, 1));
        assert_eq!(listener(scan).burst(), None);
    }

    #[test]
    fn clients_that_all_come_back_are_a_storm() {
        let late = Outcome::EstablishedLate { answered_syn: 2 };
        let calm = (0..60).map(|i| handshake(i, i64::from(i) * 1000, Outcome::Established, 1));
        let storm = (0..400).map(|i| handshake(i, 61_000, Outcome::Established, 1));
        let retry = (0..300).map(|i| handshake(i, 61_001, late, 2));
        let lost = (0..100).map(|i| handshake(i, 61_002, Outcome::SynUnanswered, 5));
        let burst = listener(calm.chain(storm).chain(retry).chain(lost)).burst().expect("a burst");
        assert_eq!((burst.kind, burst.attempts), (BurstKind::ReconnectStorm, 800));
        assert_eq!((burst.connected, burst.retried, burst.silent), (700, 100, 0));
    }

    #[test]
    fn a_busy_listener_without_a_peak_is_no_storm() {
        let busy = (0..4000).map(|i| handshake(i % 100, i64::from(i) * 5, Outcome::Established, 1));
        assert_eq!(listener(busy).burst(), None);
    }
}
