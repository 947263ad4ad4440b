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
    requests: Vec<Link>,
    sockets: Vec<Link>,
    len: usize,
}

/// An entry in 32 bits; the highest bit tells requests from sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link(u32);

const END: Link = Link(u32::MAX);
const REQUEST: u32 = 1 << 31;

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
        let mut link = self.heads[self.chain(local, peer)];
        while let Some(entry) = link.entry() {
            if is_it(entry) {
                return Some(entry);
            }
            link = self.after(entry);
        }
        None
    }

    /// Enters a pair that is not in the table. `pair_of` gives the addresses of any entry, for when
    /// the table has to grow.
    pub(crate) fn insert(
        &mut self,
        local: SocketAddrV4,
        peer: SocketAddrV4,
        entry: Entry,
        pair_of: impl Fn(Entry) -> (SocketAddrV4, SocketAddrV4),
    ) {
        if self.len >= self.heads.len() {
            self.grow(pair_of);
        }
        self.len += 1;
        let chain = self.chain(local, peer);
        self.push(chain, entry);
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, local: SocketAddrV4, peer: SocketAddrV4, entry: Entry) {
        let chain = self.chain(local, peer);
        let next = self.after(entry);
        let mut at = self.heads[chain];
        if at == Link::to(entry) {
            self.heads[chain] = next;
            self.len -= 1;
            return;
        }
        while let Some(before) = at.entry() {
            at = self.after(before);
            if at == Link::to(entry) {
                self.set_after(before, next);
                self.len -= 1;
                return;
            }
        }
    }

    /// Ports are added to a hash of the rest, so that neighbours stay neighbours.
    fn chain(&self, local: SocketAddrV4, peer: SocketAddrV4) -> usize {
        let addresses = u64::from(local.ip().to_bits()) << 32 | u64::from(peer.ip().to_bits());
        let ports = u64::from(local.port()) + u64::from(peer.port());
        let mask = self.heads.len() - 1;
        hash::low(hash::mix(self.secret ^ addresses).wrapping_add(ports)) as usize & mask
    }

    fn push(&mut self, chain: usize, entry: Entry) {
        let head = std::mem::replace(&mut self.heads[chain], Link::to(entry));
        let (links, index) = match entry {
            Entry::Request(index) => (&mut self.requests, index as usize),
            Entry::Socket(index) => (&mut self.sockets, index as usize),
        };
        if links.len() <= index {
            links.resize(index + 1, END);
        }
        links[index] = head;
    }

    fn after(&self, entry: Entry) -> Link {
        let link = match entry {
            Entry::Request(index) => self.requests.get(index as usize),
            Entry::Socket(index) => self.sockets.get(index as usize),
        };
        link.copied().unwrap_or(END)
    }

    fn set_after(&mut self, entry: Entry, link: Link) {
        match entry {
            Entry::Request(index) => self.requests[index as usize] = link,
            Entry::Socket(index) => self.sockets[index as usize] = link,
        }
    }

    fn grow(&mut self, pair_of: impl Fn(Entry) -> (SocketAddrV4, SocketAddrV4)) {
        let size = self.heads.len() * 4;
        let heads = std::mem::replace(&mut self.heads, vec![END; size]);
        for head in heads {
            let mut link = head;
            while let Some(entry) = link.entry() {
                link = self.after(entry);
                let (local, peer) = pair_of(entry);
                let chain = self.chain(local, peer);
                self.push(chain, entry);
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
            table.insert(LOCAL, peer(n), entry(n), |e| (LOCAL, peer(number(e))));
        }
        for n in (0..5000).step_by(2) {
            table.remove(LOCAL, peer(n), entry(n));
        }
        for n in 0..5000 {
            let found = table.find(LOCAL, peer(n), |e| peer(number(e)) == peer(n));
            assert_eq!(found, (n % 2 == 1).then(|| entry(n)), "{n}");
        }
        assert_eq!(table.len, 2500);
    }
}
