//! What a dump of the namespace's sockets shows.

use super::{ListenerId, ListenerView, SocketId, SocketView, Stack};
use crate::{TcpState, Time};

impl Stack {
    /// A listening socket; none if it has closed.
    #[must_use]
    pub fn listener_view(&self, listener: ListenerId) -> Option<ListenerView> {
        Some(self.listener(listener.0)?.view())
    }

    /// Every listening socket, in the order of their numbers.
    pub fn listener_views(&self) -> impl Iterator<Item = (ListenerId, ListenerView)> {
        (0..)
            .zip(&self.listeners)
            .filter_map(|(index, listener)| Some((ListenerId(index), listener.as_ref()?.view())))
    }

    /// Every request and full socket that a dump would show: those that were reset are gone from it,
    /// even while they keep a place in an accept queue.
    pub fn socket_views(&self, now: Time) -> impl Iterator<Item = SocketView> {
        let requests = self.requests.iter().map(move |(_, request)| SocketView {
            socket: None,
            serial: 0,
            state: TcpState::NewSynRecv,
            local: request.local,
            peer: request.peer,
            held: false,
            queued: false,
            passive: true,
            tag: 0,
            unread: 0,
            unacknowledged: 0,
            retransmits: request.resends,
            timer: Some(request.timer.since(now)),
            age: crate::Span::ZERO,
            acked: request.acked,
        });
        let sockets = self.sockets.iter().filter(|(_, socket)| socket.state != TcpState::Close);
        requests.chain(sockets.map(move |(index, socket)| socket.view(SocketId(index), now)))
    }

    /// One socket.
    #[must_use]
    pub fn socket_view(&self, id: SocketId, now: Time) -> Option<SocketView> {
        Some(self.sockets.get(id.0)?.view(id, now))
    }

    /// Full sockets, closed ones that a program or a queue still has included.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.sockets.len()
    }
}
