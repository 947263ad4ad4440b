//! The connection table (the kernel's `ehash`): from both ends of a connection to its request or
//! socket.
//!
//! Chained, so that removal is cheap; the links stand beside the entries. Connections of neighbouring
//! ports lie in neighbouring chains, so a million of them that come in order do not cost a cache miss
//! each.

use std::net::SocketAddrV4;

use super::hash;

/// What a pair of addresses belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The number of a request.
    Request(u32),
    /// The number of a full socket, TIME_WAIT included.
    Socket(u32),
}

#[derive(Clone, Debug)]
pub(crate) struct ConnectionTable {
    secret: u64,
    heads: Vec<Link>,
    requests: Vec<Node>,
    sockets: Vec<Node>,
    len: usize,
}

/// An entry's place in its chain, and the hash that says which chain that is.
#[derive(Clone, Copy, Debug)]
struct Node {
    next: Link,
    hash: u32,
}

/// An entry in 32 bits; the highest bit tells requests from sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link(u32);

const END: Link = Link(u32::MAX);
const REQUEST: u32 = 1 << 31;
const UNLINKED: Node = Node { next: END, hash: 0 };

impl ConnectionTable {
    pub(crate) fn new(secret: u64) -> Self {
        let heads = vec![END; 256];
        Self { secret, heads, requests: Vec::new(), sockets: Vec::new(), len: 0 }
    }

    /// The entry of a pair; `is_it` compares the addresses of a candidate.
    pub(crate) fn find(
        &self,
        local: SocketAddrV4,
        peer: SocketAddrV4,
        mut is_it: impl FnMut(Entry) -> bool,
    ) -> Option<Entry> {
        let hash = self.hash(local, peer);
        let mut link = self.heads[self.chain(hash)];
        while let Some(entry) = link.entry() {
            let node = self.node(entry);
            if node.hash == hash && is_it(entry) {
                return Some(entry);
            }
            link = node.next;
        }
        None
    }

    /// Enters a pair that is not in the table.
    pub(crate) fn insert(&mut self, local: SocketAddrV4, peer: SocketAddrV4, entry: Entry) {
        if self.len >= self.heads.len() {
            self.grow();
        }
        self.len += 1;
        self.push(self.hash(local, peer), entry);
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, entry: Entry) {
        let Node { next, hash } = self.node(entry);
        if self.relink(hash, entry, next) {
            self.len -= 1;
        }
    }

    /// Puts another entry of the same pair in the place of one.
    pub(crate) fn replace(&mut self, entry: Entry, by: Entry) {
        let node = self.node(entry);
        if self.relink(node.hash, entry, Link::to(by)) {
            *self.node_mut(by) = node;
        }
    }

    /// Ports are added to a hash of the rest, so that neighbours stay neighbours.
    fn hash(&self, local: SocketAddrV4, peer: SocketAddrV4) -> u32 {
        let addresses = u64::from(local.ip().to_bits()) << 32 | u64::from(peer.ip().to_bits());
        let ports = u32::from(local.port()) + u32::from(peer.port());
        hash::scattered(self.secret ^ addresses).wrapping_add(ports)
    }

    fn chain(&self, hash: u32) -> usize {
        hash as usize & (self.heads.len() - 1)
    }

    fn push(&mut self, hash: u32, entry: Entry) {
        let chain = self.chain(hash);
        let next = std::mem::replace(&mut self.heads[chain], Link::to(entry));
        *self.node_mut(entry) = Node { next, hash };
    }

    /// Lets what leads to an entry lead to something else. False if it is in no chain.
    fn relink(&mut self, hash: u32, entry: Entry, to: Link) -> bool {
        let chain = self.chain(hash);
        let mut at = self.heads[chain];
        if at == Link::to(entry) {
            self.heads[chain] = to;
            return true;
        }
        while let Some(before) = at.entry() {
            at = self.node(before).next;
            if at == Link::to(entry) {
                self.node_mut(before).next = to;
                return true;
            }
        }
        false
    }

    fn node(&self, entry: Entry) -> Node {
        let node = match entry {
            Entry::Request(index) => self.requests.get(index as usize),
            Entry::Socket(index) => self.sockets.get(index as usize),
        };
        node.copied().unwrap_or(UNLINKED)
    }

    fn node_mut(&mut self, entry: Entry) -> &mut Node {
        let (nodes, index) = match entry {
            Entry::Request(index) => (&mut self.requests, index as usize),
            Entry::Socket(index) => (&mut self.sockets, index as usize),
        };
        if nodes.len() <= index {
            nodes.resize(index + 1, UNLINKED);
        }
        &mut nodes[index]
    }

    fn grow(&mut self) {
        let size = self.heads.len() * 4;
        let heads = std::mem::replace(&mut self.heads, vec![END; size]);
        for head in heads {
            let mut link = head;
            while let Some(entry) = link.entry() {
                let Node { next, hash } = self.node(entry);
                link = next;
                self.push(hash, entry);
            }
        }
    }
}

impl Link {
    const fn to(entry: Entry) -> Self {
        match entry {
            Entry::Request(index) => Self(index | REQUEST),
            Entry::Socket(index) => Self(index),
        }
    }

    const fn entry(self) -> Option<Entry> {
        match self.0 {
            u32::MAX => None,
            number if number & REQUEST != 0 => Some(Entry::Request(number & !REQUEST)),
            number => Some(Entry::Socket(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOCAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 80);

    fn peer(number: u32) -> SocketAddrV4 {
        let port = u16::try_from(number % 1000).expect("small");
        SocketAddrV4::new(Ipv4Addr::from_bits(0x0a01_0000 + number / 1000), port)
    }

    #[test]
    fn entries_are_found_until_they_are_removed_while_the_table_grows() {
        let mut table = ConnectionTable::new(1);
        let entry = |n: u32| if n.is_multiple_of(3) { Entry::Request(n) } else { Entry::Socket(n) };
        let number = |entry| match entry {
            Entry::Request(n) | Entry::Socket(n) => n,
        };
        for n in 0..5000 {
            table.insert(LOCAL, peer(n), entry(n));
        }
        for n in (0..5000).step_by(2) {
            table.remove(entry(n));
        }
        for n in 0..5000 {
            let found = table.find(LOCAL, peer(n), |e| peer(number(e)) == peer(n));
            assert_eq!(found, (n % 2 == 1).then(|| entry(n)), "{n}");
        }
        assert_eq!(table.len, 2500);
    }

    #[test]
    fn an_entry_gives_its_place_to_another_of_its_pair() {
        let mut table = ConnectionTable::new(1);
        (0..600).for_each(|n| table.insert(LOCAL, peer(n), Entry::Request(n)));
        (0..600).for_each(|n| table.replace(Entry::Request(n), Entry::Socket(n)));
        for n in 0..600 {
            let found = table.find(LOCAL, peer(n), |entry| entry == Entry::Socket(n));
            assert_eq!(found, Some(Entry::Socket(n)), "{n}");
        }
        (0..600).for_each(|n| table.remove(Entry::Socket(n)));
        assert_eq!(table.len, 0);
        assert!(table.heads.iter().all(|&head| head == END));
    }
}
