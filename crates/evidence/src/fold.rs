//! Folds sockets into the aggregates of a [`crate::Netns`] as they stream by.
//!
//! No list of sockets is kept: memory grows with listeners, destinations and anomalies. The listening
//! sockets come first, because what a row means depends on whether somebody listens on its port.
//! Collectors push the rows of a netlink dump; the simulator and pasted `ss` output can push theirs.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use halfopen_model::{PortRange, TcpState};

use crate::heavy::{HeavyKeys, Weight};
use crate::{
    CloseWaitGroup, CloseWaitSide, Connecting, Cookie, DestinationPorts, Endpoint, EndpointKey,
    Inode, Listener, Missing, NeverAccepted, PortSpace, PortStates, Reading, RequestSample,
    SynRecv, Waiting,
};

/// One TCP socket, as a dump shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketRow {
    /// Its state.
    pub state: TcpState,
    /// Local address and port.
    pub local: SocketAddr,
    /// Remote address and port.
    pub peer: SocketAddr,
    /// Inode; 0 while no process has it.
    pub inode: u64,
    /// The kernel's cookie.
    pub cookie: u64,
    /// Owner.
    pub uid: u32,
    /// Accept-queue depth of a listener, unread bytes of a connection.
    pub rqueue: u32,
    /// Accept-queue limit of a listener, unacknowledged bytes of a connection.
    pub wqueue: u32,
    /// Retransmissions of the segment that is out now.
    pub retransmits: u8,
    /// Milliseconds to the next timer.
    pub timer_ms: u32,
    /// Interface that the socket is bound to, 0 for any.
    pub device: u32,
    /// Segments dropped at the socket, where the dump was asked for memory figures.
    pub drops: Option<u32>,
    /// Whether an IPv6 socket refuses IPv4.
    pub v6_only: bool,
}

/// How much a fold may keep.
#[derive(Clone, Copy, Debug)]
pub struct FoldLimits {
    /// Destinations kept at a time; twice as many while folding.
    pub destinations: usize,
    /// Groups of CLOSE_WAIT connections and of unanswered SYNs; twice as many while folding.
    pub groups: usize,
    /// Waiting connections kept per endpoint.
    pub waiting: usize,
    /// Sockets kept as examples per group.
    pub sample: usize,
    /// Client addresses told apart per SYN queue.
    pub sources: usize,
    /// Destinations listed at the end.
    pub listed: usize,
}

/// What came of a fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Listening endpoints, by address.
    pub endpoints: Vec<Endpoint>,
    /// Unanswered SYNs per destination, most first.
    pub connecting: Vec<Connecting>,
    /// Groups of CLOSE_WAIT connections that processes hold, largest first.
    pub close_wait: Vec<CloseWaitGroup>,
    /// Ports per destination.
    pub ports: PortSpace,
}

/// The fold; see the module's text.
#[derive(Debug)]
pub struct SocketFold {
    limits: FoldLimits,
    range: PortRange,
    endpoints: Vec<EndpointFold>,
    by_key: HashMap<EndpointKey, usize>,
    by_port: HashMap<u16, Bound>,
    connecting: HeavyKeys<(IpAddr, SocketAddr), ConnectingFold>,
    close_wait: HeavyKeys<CloseWaitSide, CloseWaitFold>,
    ports: HeavyKeys<(IpAddr, SocketAddr), PortsFold>,
}

/// The endpoints of one port, by canonical address and by whether they refuse IPv4; of those that
/// differ by their device only, the one that comes first for a connection.
type Bound = HashMap<(IpAddr, bool), usize>;

/// Addresses that cover others, the closer one first.
const WILDCARDS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

#[derive(Debug)]
struct EndpointFold {
    endpoint: Endpoint,
    sources: HashSet<IpAddr>,
}

#[derive(Debug, Default)]
struct ConnectingFold {
    by_retransmits: [u32; 12],
    count: u32,
    example: (u8, u64),
}

#[derive(Debug, Default)]
struct CloseWaitFold {
    count: u32,
    sample: Vec<(Cookie, Inode)>,
}

#[derive(Debug, Default)]
struct PortsFold {
    states: PortStates,
    first_parity: u32,
    example: u64,
}

impl Default for FoldLimits {
    /// Some 20 MiB at the most while one namespace is folded.
    fn default() -> Self {
        Self {
            destinations: 32_768,
            groups: 2048,
            waiting: 1024,
            sample: 32,
            sources: 1024,
            listed: 64,
        }
    }
}

impl SocketFold {
    /// A fold over the sockets of one namespace, given its listening sockets and the ports that
    /// `connect()` chooses from.
    pub fn new(
        listeners: impl IntoIterator<Item = SocketRow>,
        range: PortRange,
        limits: FoldLimits,
    ) -> Self {
        let mut fold = Self {
            limits,
            range,
            endpoints: Vec::new(),
            by_key: HashMap::new(),
            by_port: HashMap::new(),
            connecting: HeavyKeys::new(limits.groups),
            close_wait: HeavyKeys::new(limits.groups),
            ports: HeavyKeys::new(limits.destinations),
        };
        for row in listeners.into_iter().filter(|row| row.state == TcpState::Listen) {
            fold.add_listener(&row);
        }
        fold
    }

    /// Takes one socket in. Listening sockets are ignored: they came first.
    pub fn push(&mut self, row: &SocketRow) {
        match row.state {
            TcpState::SynRecv | TcpState::NewSynRecv => self.add_request(row),
            TcpState::Established | TcpState::CloseWait if row.inode == 0 => self.add_waiting(row),
            TcpState::CloseWait => {
                self.add_close_wait(row);
                self.add_port(row);
            }
            TcpState::SynSent => {
                self.add_connecting(row);
                self.add_port(row);
            }
            TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::TimeWait
            | TcpState::LastAck
            | TcpState::Closing => self.add_port(row),
            TcpState::Listen | TcpState::Close => {}
        }
    }

    /// The aggregates.
    #[must_use]
    pub fn finish(self) -> Folded {
        let mut endpoints: Vec<Endpoint> =
            self.endpoints.into_iter().map(|fold| fold.endpoint).collect();
        for endpoint in &mut endpoints {
            endpoint.listeners.sort_by_key(|listener| listener.cookie);
            endpoint.never_accepted.waiting.sort_by_key(|waiting| waiting.cookie);
            endpoint
                .syn_recv
                .sample
                .sort_by_key(|request| (std::cmp::Reverse(request.retransmits), request.peer));
        }
        endpoints.sort_by_key(|endpoint| endpoint.key);
        Folded {
            endpoints,
            connecting: finish_connecting(self.connecting),
            close_wait: finish_close_wait(self.close_wait),
            ports: finish_ports(self.ports, self.range, self.limits.listed),
        }
    }

    fn add_listener(&mut self, row: &SocketRow) {
        let key = EndpointKey { local: row.local, device: row.device, v6_only: row.v6_only };
        let index = self.by_key.get(&key).copied().unwrap_or_else(|| self.add_endpoint(key));
        self.endpoints[index].endpoint.listeners.push(Listener {
            cookie: Cookie(row.cookie),
            inode: Inode(row.inode),
            uid: row.uid,
            depth: row.rqueue,
            limit: row.wqueue,
            drops: row.drops.map_or(Missing::NotOnThisKernel.into(), Reading::Known),
            syn_queue: Reading::not_collected(),
            holders: Reading::not_collected(),
        });
    }

    fn add_endpoint(&mut self, key: EndpointKey) -> usize {
        let index = self.endpoints.len();
        self.by_key.insert(key, index);
        self.endpoints.push(EndpointFold {
            endpoint: Endpoint {
                key,
                listeners: Vec::new(),
                syn_recv: SynRecv::default(),
                never_accepted: NeverAccepted::default(),
            },
            sources: HashSet::new(),
        });
        let bound = self.by_port.entry(key.local.port()).or_default();
        let first = bound.entry((key.local.ip().to_canonical(), key.v6_only)).or_insert(index);
        if key.closeness() >= self.endpoints[*first].endpoint.key.closeness() {
            *first = index;
        }
        index
    }

    /// The endpoint that a connection came in through, if somebody listens there: at its very
    /// address, or else at any.
    fn endpoint_of(&self, row: &SocketRow) -> Option<usize> {
        let bound = self.by_port.get(&row.local.port())?;
        let local = row.local.ip().to_canonical();
        let key = |index: usize| &self.endpoints[index].endpoint.key;
        std::iter::once(local).chain(WILDCARDS).find_map(|address| {
            [false, true]
                .into_iter()
                .filter_map(|v6_only| bound.get(&(address, v6_only)).copied())
                .filter(|&index| key(index).covers(row.local))
                .max_by_key(|&index| (key(index).closeness(), index))
        })
    }

    fn add_request(&mut self, row: &SocketRow) {
        let Some(index) = self.endpoint_of(row) else {
            return;
        };
        let EndpointFold { endpoint, sources } = &mut self.endpoints[index];
        let syn_recv = &mut endpoint.syn_recv;
        syn_recv.count += 1;
        let last = syn_recv.by_retransmits.len() - 1;
        syn_recv.by_retransmits[usize::from(row.retransmits).min(last)] += 1;
        if sources.len() < self.limits.sources {
            sources.insert(row.peer.ip().to_canonical());
        } else if !sources.contains(&row.peer.ip().to_canonical()) {
            syn_recv.sources_capped = true;
        }
        syn_recv.sources = count(sources.len());
        keep_most_retransmitted(&mut syn_recv.sample, self.limits.sample, row);
    }

    fn add_waiting(&mut self, row: &SocketRow) {
        let Some(index) = self.endpoint_of(row) else {
            return;
        };
        let waiting = &mut self.endpoints[index].endpoint.never_accepted;
        let client_closed = row.state == TcpState::CloseWait;
        if client_closed {
            waiting.close_wait += 1;
        } else {
            waiting.established += 1;
        }
        if waiting.waiting.len() < self.limits.waiting {
            waiting.waiting.push(Waiting {
                cookie: Cookie(row.cookie),
                local: row.local,
                peer: row.peer,
                client_closed,
                unread: row.rqueue.saturating_sub(u32::from(client_closed)),
                age_ms: Reading::not_collected(),
            });
        } else {
            waiting.omitted += 1;
        }
    }

    fn add_close_wait(&mut self, row: &SocketRow) {
        let side = match self.endpoint_of(row) {
            Some(index) => CloseWaitSide::AcceptedAt(self.endpoints[index].endpoint.key),
            None if self.range.contains(row.local.port()) => {
                CloseWaitSide::To { source: row.local.ip(), destination: row.peer }
            }
            None => CloseWaitSide::LocalPort(row.local.port()),
        };
        let sample_size = self.limits.sample;
        let group = self.close_wait.entry(side);
        group.count += 1;
        // The oldest cookies are kept, so that two looks keep the same sockets.
        let socket = (Cookie(row.cookie), Inode(row.inode));
        let at = group.sample.partition_point(|kept| *kept < socket);
        group.sample.insert(at, socket);
        group.sample.truncate(sample_size);
    }

    fn add_connecting(&mut self, row: &SocketRow) {
        let group = self.connecting.entry((row.local.ip(), row.peer));
        group.count += 1;
        let last = group.by_retransmits.len() - 1;
        group.by_retransmits[usize::from(row.retransmits).min(last)] += 1;
        if group.example.1 == 0 || row.retransmits > group.example.0 {
            group.example = (row.retransmits, row.inode);
        }
    }

    /// Counts a local port that `connect()` chose. Ports of accepted connections are not: those are
    /// the listener's, and any number of connections share it.
    fn add_port(&mut self, row: &SocketRow) {
        let port = row.local.port();
        if !self.range.contains(port) || self.endpoint_of(row).is_some() {
            return;
        }
        let in_first_pass = (port ^ self.range.low) & 1 == 0;
        let ports = self.ports.entry((row.local.ip(), row.peer));
        let states = &mut ports.states;
        *match row.state {
            TcpState::Established => &mut states.established,
            TcpState::SynSent => &mut states.syn_sent,
            TcpState::TimeWait | TcpState::FinWait2 => &mut states.time_wait,
            TcpState::CloseWait => &mut states.close_wait,
            _ => &mut states.closing,
        } += 1;
        ports.first_parity += u32::from(in_first_pass);
        if ports.example == 0 {
            ports.example = row.inode;
        }
    }
}

impl Weight for ConnectingFold {
    fn weight(&self) -> u32 {
        self.count
    }
}

impl Weight for CloseWaitFold {
    fn weight(&self) -> u32 {
        self.count
    }
}

impl Weight for PortsFold {
    fn weight(&self) -> u32 {
        self.states.total()
    }
}

fn keep_most_retransmitted(sample: &mut Vec<RequestSample>, size: usize, row: &SocketRow) {
    let request = RequestSample {
        local: row.local,
        peer: row.peer,
        retransmits: row.retransmits,
        timer_ms: row.timer_ms,
        client: Reading::not_collected(),
    };
    if sample.len() < size {
        sample.push(request);
    } else if let Some(least) = sample.iter_mut().min_by_key(|kept| kept.retransmits)
        && least.retransmits < request.retransmits
    {
        *least = request;
    }
}

fn finish_connecting(groups: HeavyKeys<(IpAddr, SocketAddr), ConnectingFold>) -> Vec<Connecting> {
    let mut connecting: Vec<Connecting> = groups
        .into_entries()
        .map(|((source, destination), group)| Connecting {
            source,
            destination,
            count: group.count,
            by_retransmits: group.by_retransmits,
            example: Inode(group.example.1),
            holder: Reading::not_collected(),
        })
        .collect();
    connecting
        .sort_by_key(|group| (std::cmp::Reverse(group.count), group.destination, group.source));
    connecting
}

fn finish_close_wait(groups: HeavyKeys<CloseWaitSide, CloseWaitFold>) -> Vec<CloseWaitGroup> {
    let mut close_wait: Vec<CloseWaitGroup> = groups
        .into_entries()
        .map(|(side, group)| CloseWaitGroup {
            side,
            count: group.count,
            sample: group.sample,
            idle_ms: Reading::not_collected(),
            held: Reading::not_collected(),
        })
        .collect();
    close_wait.sort_by_key(|group| (std::cmp::Reverse(group.count), group.side));
    close_wait
}

fn finish_ports(
    ports: HeavyKeys<(IpAddr, SocketAddr), PortsFold>,
    range: PortRange,
    listed: usize,
) -> PortSpace {
    let undercount = ports.undercount();
    let listed_from = (range.len() / 32).max(4);
    let mut destinations: Vec<DestinationPorts> = ports
        .into_entries()
        .filter(|(_, fold)| fold.states.total() >= listed_from)
        .map(|((source, destination), fold)| DestinationPorts {
            source,
            destination,
            states: fold.states,
            first_parity: fold.first_parity,
            example: (fold.example != 0).then_some(Inode(fold.example)),
            holder: Reading::not_collected(),
        })
        .collect();
    destinations.sort_by_key(|ports| {
        (std::cmp::Reverse(ports.states.total()), ports.destination, ports.source)
    });
    destinations.truncate(listed);
    PortSpace { destinations, undercount, listed_from }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: PortRange = PortRange { low: 32768, high: 60999 };

    fn row(state: TcpState, local: &str, peer: &str, inode: u64) -> SocketRow {
        SocketRow {
            state,
            local: local.parse().expect("a local address"),
            peer: peer.parse().expect("a peer address"),
            inode,
            cookie: 1,
            uid: 0,
            rqueue: 0,
            wqueue: 0,
            retransmits: 0,
            timer_ms: 0,
            device: 0,
            drops: Some(0),
            v6_only: false,
        }
    }

    fn listener(local: &str, depth: u32, limit: u32) -> SocketRow {
        let any = "0.0.0.0:0";
        SocketRow { rqueue: depth, wqueue: limit, ..row(TcpState::Listen, local, any, 7) }
    }

    fn fold(listeners: &[SocketRow], rows: &[SocketRow]) -> Folded {
        let mut fold = SocketFold::new(listeners.iter().copied(), RANGE, FoldLimits::default());
        for row in rows {
            fold.push(row);
        }
        fold.finish()
    }

    #[test]
    fn two_sockets_on_one_address_are_one_reuseport_endpoint() {
        let folded = fold(&[listener("0.0.0.0:80", 3, 5), listener("0.0.0.0:80", 0, 5)], &[]);
        assert_eq!(folded.endpoints.len(), 1);
        assert_eq!(folded.endpoints[0].listeners.len(), 2);
        assert_eq!(folded.endpoints[0].depth(), 3);
    }

    #[test]
    fn connections_without_an_inode_wait_behind_the_closest_listener() {
        let folded = fold(
            &[listener("0.0.0.0:80", 1, 5), listener("10.0.0.1:80", 2, 5)],
            &[
                row(TcpState::Established, "10.0.0.1:80", "10.0.0.9:40000", 0),
                row(TcpState::CloseWait, "10.0.0.1:80", "10.0.0.9:40001", 0),
                row(TcpState::Established, "10.0.0.2:80", "10.0.0.9:40002", 0),
                row(TcpState::Established, "10.0.0.2:80", "10.0.0.9:40003", 55),
            ],
        );
        let counts: Vec<(u32, u32)> = folded
            .endpoints
            .iter()
            .map(|e| (e.never_accepted.established, e.never_accepted.close_wait))
            .collect();
        assert_eq!(counts, [(1, 0), (1, 1)]);
        assert_eq!(folded.endpoints[1].dead_slots(), 0);
    }

    #[test]
    fn a_connection_belongs_to_the_closest_of_all_endpoints_that_cover_it() {
        let keys = [
            ("0.0.0.0:80", 0, false),
            ("0.0.0.0:80", 2, false),
            ("10.0.0.1:80", 0, false),
            ("[::ffff:10.0.0.1]:80", 3, false),
            ("[::]:80", 0, false),
            ("[::]:80", 2, true),
            ("[::]:80", 0, true),
            ("[fd00::1]:80", 0, true),
            ("10.0.0.1:81", 0, false),
        ];
        let locals =
            ["10.0.0.1:80", "[::ffff:10.0.0.1]:80", "10.0.0.2:80", "[fd00::1]:80", "[fd00::2]:80"];
        for chosen in 0..1_u32 << keys.len() {
            let is_chosen = |&(n, _): &(usize, _)| chosen & 1 << n != 0;
            let rows = keys.into_iter().enumerate().filter(is_chosen).map(
                |(_, (local, device, v6_only))| SocketRow {
                    device,
                    v6_only,
                    ..listener(local, 0, 5)
                },
            );
            let fold = SocketFold::new(rows, RANGE, FoldLimits::default());
            for local in locals {
                let row = row(TcpState::SynRecv, local, "10.0.0.9:1", 0);
                let all = fold.endpoints.iter().map(|fold| fold.endpoint.key).enumerate();
                let closest = all
                    .filter(|(_, key)| key.covers(row.local))
                    .max_by_key(|(_, key)| key.closeness());
                assert_eq!(fold.endpoint_of(&row), closest.map(|(index, _)| index), "{chosen:b}");
            }
        }
    }

    #[test]
    fn requests_are_counted_by_retransmits_and_sources() {
        let request = |peer: &str, retransmits| SocketRow {
            retransmits,
            ..row(TcpState::SynRecv, "[::ffff:10.0.0.1]:80", peer, 0)
        };
        let folded = fold(
            &[listener("[::]:80", 0, 5)],
            &[request("10.0.0.9:1", 0), request("10.0.0.9:2", 3), request("10.0.0.8:1", 99)],
        );
        let syn_recv = &folded.endpoints[0].syn_recv;
        assert_eq!((syn_recv.count, syn_recv.sources), (3, 2));
        assert_eq!(syn_recv.by_retransmits, [1, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(syn_recv.sample[0].retransmits, 99);
    }

    #[test]
    fn ports_are_counted_per_destination_and_not_for_accepted_connections() {
        let rows: Vec<SocketRow> = (0..2000)
            .map(|n| {
                let local = format!("10.0.0.1:{}", 32768 + n);
                let state = if n % 2 == 0 { TcpState::TimeWait } else { TcpState::Established };
                row(state, &local, "10.0.0.2:443", u64::from(n % 2 == 1) * 9)
            })
            .chain([row(TcpState::Established, "10.0.0.1:40000", "10.0.0.7:5", 3)])
            .chain([row(TcpState::Established, "10.0.0.1:80", "10.0.0.7:5", 3)])
            .collect();
        let folded = fold(&[listener("0.0.0.0:80", 0, 5)], &rows);
        let [ports] = folded.ports.destinations.as_slice() else {
            panic!("one destination, not {:?}", folded.ports.destinations)
        };
        assert_eq!((ports.states.established, ports.states.time_wait), (1000, 1000));
        assert_eq!(ports.first_parity, 1000);
        assert_eq!(ports.example, Some(Inode(9)));
    }

    #[test]
    fn close_wait_is_grouped_by_where_it_came_from() {
        let folded = fold(
            &[listener("0.0.0.0:80", 0, 5)],
            &[
                row(TcpState::CloseWait, "10.0.0.1:80", "10.0.0.9:1", 5),
                row(TcpState::CloseWait, "10.0.0.1:80", "10.0.0.9:2", 6),
                row(TcpState::CloseWait, "10.0.0.1:40000", "10.0.0.9:3306", 7),
                row(TcpState::CloseWait, "10.0.0.1:81", "10.0.0.9:9", 8),
            ],
        );
        let sides: Vec<(CloseWaitSide, u32)> =
            folded.close_wait.iter().map(|group| (group.side, group.count)).collect();
        assert_eq!(
            sides,
            [
                (CloseWaitSide::AcceptedAt(folded.endpoints[0].key), 2),
                (
                    CloseWaitSide::To {
                        source: "10.0.0.1".parse().expect("an address"),
                        destination: "10.0.0.9:3306".parse().expect("an address"),
                    },
                    1
                ),
                (CloseWaitSide::LocalPort(81), 1),
            ]
        );
    }
}
