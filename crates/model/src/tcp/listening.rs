//! System calls on listening sockets, and what a listener leaves behind when it closes.

use std::fmt;
use std::net::SocketAddrV4;

use super::slab::Index;
use super::socket::Marks;
use super::{
    Effects, Event, Flags, ListenOptions, Listener, ListenerId, Segment, SocketId, Stack, hash,
};
use crate::{Counter, MigrateReq, TcpState, Time};

/// EADDRINUSE: another socket listens there, and not both share the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressInUse;

impl Stack {
    /// socket(2), bind(2) and listen(2).
    ///
    /// # Errors
    ///
    /// If another socket listens at the address and not both have SO_REUSEPORT.
    pub fn listen(&mut self, options: &ListenOptions) -> Result<ListenerId, AddressInUse> {
        let overlap = |other: &Listener| {
            let any = |address: &std::net::Ipv4Addr| address.is_unspecified();
            let (ours, theirs) = (&options.address, other.local.ip());
            (ours == theirs || any(ours) || any(theirs)) && !(options.reuseport && other.reuseport)
        };
        let others = self.by_port.get(&options.port).into_iter().flatten();
        if others.filter_map(|&index| self.listener(index)).any(overlap) {
            return Err(AddressInUse);
        }
        let index = u32::try_from(self.listeners.len()).map_err(|_| AddressInUse)?;
        self.listeners.push(Some(Listener::new(options, &self.sysctls, &self.semantics)));
        let address = SocketAddrV4::new(options.address, options.port);
        self.groups.push(options.reuseport.then_some(address));
        self.by_port.entry(options.port).or_default().push(index);
        self.ports.bind(options.port);
        Ok(ListenerId(index))
    }

    /// listen(2) again: only the limit of the accept queue changes.
    pub fn listen_again(&mut self, listener: ListenerId, backlog: i32) {
        let Self { listeners, sysctls, semantics, .. } = self;
        if let Some(Some(listener)) = listeners.get_mut(listener.0 as usize) {
            listener.listen_again(backlog, sysctls, semantics);
        }
    }

    /// accept(2): the connection that has waited longest, or none (EAGAIN). One that its client has
    /// reset meanwhile is handed over like any other.
    pub fn accept(&mut self, listener: ListenerId, tag: u32) -> Option<SocketId> {
        let socket = self.take_first(listener.0)?;
        let queue = self.listener_mut(listener.0)?;
        queue.accepted += 1;
        let child = self.sockets.get_mut(socket.0)?;
        child.queued_at = Index::NONE;
        child.tag = tag;
        Some(socket)
    }

    /// close(2) of a listening socket: what waits in its accept queue is reset, unless a sibling
    /// takes it over (`inet_csk_listen_stop`); requests are forgotten at their next timer or segment,
    /// by kernels to 4.3 at once.
    pub fn close_listener(&mut self, now: Time, listener: ListenerId, effects: &mut Effects) {
        let Some(closing) = self.listener(listener.0) else { return };
        let port = closing.local.port();
        let mut left = Vec::new();
        while let Some(socket) = self.take_first(listener.0) {
            left.push(socket);
        }
        if let Some(group) = self.by_port.get_mut(&port) {
            group.retain(|&index| index != listener.0);
        }
        let heir = self.sibling(listener.0, listener.0);
        self.listeners[listener.0 as usize] = None;
        self.ports.unbind(port);
        for socket in left {
            match heir {
                Some(heir) => {
                    self.counters.count(Counter::TcpMigrateReqSuccess);
                    self.put_in_accept_queue(socket, heir);
                    effects.events.push(Event::Acceptable(ListenerId(heir)));
                }
                None => self.discard_child(now, socket, effects),
            }
        }
        if !self.semantics.queues.requests_in_ehash {
            let orphans: Vec<u32> = self
                .requests
                .iter()
                .filter(|(_, request)| request.listener == listener.0)
                .map(|(index, _)| index)
                .collect();
            orphans.into_iter().for_each(|index| self.remove_request(index));
        }
    }

    /// Moves a request whose listener has closed to a sibling (`tcp_migrate_req`, from 5.14).
    pub(super) fn migrate_request(&mut self, index: u32) -> bool {
        let Some(request) = self.requests.get(index) else { return false };
        let (timeouts, heir) = (request.timeouts, self.sibling(request.listener, index));
        let Some(heir) = heir else { return false };
        self.counters.count(Counter::TcpMigrateReqSuccess);
        if let Some(request) = self.requests.get_mut(index) {
            request.listener = heir;
        }
        if let Some(listener) = self.listener_mut(heir) {
            listener.requests += 1;
            listener.young += u32::from(timeouts == 0);
        }
        true
    }

    pub(super) fn listener(&self, index: u32) -> Option<&Listener> {
        self.listeners.get(index as usize)?.as_ref()
    }

    pub(super) fn listener_mut(&mut self, index: u32) -> Option<&mut Listener> {
        self.listeners.get_mut(index as usize)?.as_mut()
    }

    /// The listener that a segment is for. In a SO_REUSEPORT group a hash of both ends chooses; its
    /// queues alone count.
    pub(super) fn listener_for(&self, segment: &Segment) -> Option<u32> {
        let group = self.by_port.get(&segment.to.port())?;
        let at = |address: std::net::Ipv4Addr| {
            let matches = |index: &u32| {
                self.listener(*index).is_some_and(|listener| *listener.local.ip() == address)
            };
            group.iter().copied().filter(matches).collect::<Vec<u32>>()
        };
        if let [only] = group.as_slice() {
            let listener = self.listener(*only)?;
            let ours = listener.local.ip();
            return (ours.is_unspecified() || ours == segment.to.ip()).then_some(*only);
        }
        let exact = at(*segment.to.ip());
        let group = if exact.is_empty() { at(std::net::Ipv4Addr::UNSPECIFIED) } else { exact };
        let choice = hash::of_pair(self.secret, segment.to, segment.from) >> 32;
        let count = u64::try_from(group.len()).ok()?;
        group.get(usize::try_from((choice * count) >> 32).ok()?).copied()
    }

    pub(super) fn group_of(&self, listener: u32) -> Vec<u32> {
        let port = self.listener(listener).map(|listener| listener.local.port());
        port.and_then(|port| self.by_port.get(&port)).cloned().unwrap_or_default()
    }

    /// Appends to an accept queue. There is no test of the limit here, in the kernel neither: a
    /// migration can exceed it.
    pub(super) fn put_in_accept_queue(&mut self, socket: SocketId, listener: u32) {
        if let Some(child) = self.sockets.get_mut(socket.0) {
            child.queued_at = Index::of(listener);
            child.behind = Index::NONE;
        }
        let Some(queue) = self.listener_mut(listener) else { return };
        queue.queue.depth += 1;
        let last = queue.last.replace(socket);
        if queue.first.is_none() {
            queue.first = Some(socket);
        }
        if let Some(last) = last.and_then(|last| self.sockets.get_mut(last.0)) {
            last.behind = Index::of(socket.0);
        }
    }

    fn take_first(&mut self, listener: u32) -> Option<SocketId> {
        let socket = self.listener(listener)?.first?;
        let behind = self.sockets.get(socket.0)?.behind.get().map(SocketId);
        let queue = self.listener_mut(listener)?;
        queue.first = behind;
        if behind.is_none() {
            queue.last = None;
        }
        queue.queue.depth -= 1;
        Some(socket)
    }

    /// Who takes over what a listener leaves behind: one of its SO_REUSEPORT group, which it has
    /// left already (`reuseport_migrate_sock`).
    fn sibling(&self, listener: u32, number: u32) -> Option<u32> {
        let address = self.groups.get(listener as usize).copied().flatten();
        let moves = self.semantics.queues.migrate_req == MigrateReq::Moves;
        let address = address.filter(|_| moves && self.sysctls.migrate_req)?;
        let is_one = |&&other: &&u32| self.groups[other as usize] == Some(address);
        let group: Vec<&u32> = self.by_port.get(&address.port())?.iter().filter(is_one).collect();
        group.get(number as usize % group.len().max(1)).map(|&&heir| heir)
    }

    /// A child that nobody will accept: reset, if its client has not reset it before.
    fn discard_child(&mut self, now: Time, socket: SocketId, effects: &mut Effects) {
        let Some(child) = self.sockets.get_mut(socket.0) else { return };
        child.queued_at = Index::NONE;
        child.marks.set(Marks::ORPHAN, true);
        if child.state == TcpState::Close {
            self.sockets.remove(socket.0);
        } else {
            self.send_reset(now, socket, Flags::RST | Flags::ACK, effects);
            self.finish(socket);
        }
    }
}

impl fmt::Display for AddressInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("address already in use (EADDRINUSE)")
    }
}

impl std::error::Error for AddressInUse {}
