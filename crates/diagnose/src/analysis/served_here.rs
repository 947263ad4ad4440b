//! Whether a destination that clients of this host connect to is a listener of this host, so that the
//! client's trouble is the listener's, and the listener's findings tell it.

use std::net::{IpAddr, SocketAddr};

use halfopen_evidence::{Connecting, Endpoint, Netns};

use crate::{Context, Diagnosis, ListenerView, SubjectKind};

/// The listener of a destination, if it is known to be on this host.
///
/// Within the client's namespace a loopback address, the client's own address, or an address that a
/// listener is bound to is local. In any namespace an address that connections to the listener came
/// to is, unless it is a loopback address, which every namespace has.
pub(crate) fn listener_of<'a>(
    context: &Context<'a>,
    client: &Netns,
    group: &Connecting,
) -> Option<(&'a Netns, &'a Endpoint)> {
    let destination = canonical(group.destination);
    let ip = destination.ip();
    let own = ip.is_loopback() || ip == group.source.to_canonical();
    context
        .endpoints()
        .filter(|(_, endpoint)| endpoint.key.covers(destination))
        .filter(|(netns, endpoint)| {
            let same = netns.id == client.id;
            let bound = endpoint.key.local.ip().to_canonical() == ip;
            (same && (own || bound)) || ((same || !ip.is_loopback()) && was_reached(endpoint, ip))
        })
        .max_by_key(|(netns, endpoint)| (netns.id == client.id, endpoint.key.closeness()))
}

/// Whether one of the listeners' queues was full at some look, or a rule found something wrong with
/// the listener.
pub(crate) fn is_explained(
    context: &Context<'_>,
    (netns, endpoint): (&Netns, &Endpoint),
    so_far: &Diagnosis,
) -> bool {
    let full = context.sockets_of(netns, endpoint).iter().any(ListenerView::was_full);
    full || so_far.findings.iter().any(|finding| {
        finding.subject.netns == netns.id
            && match finding.subject.kind {
                SubjectKind::Listener { endpoint: key, .. } | SubjectKind::Endpoint(key) => {
                    key == endpoint.key
                }
                SubjectKind::Netns => true,
                SubjectKind::Destination { .. }
                | SubjectKind::CloseWait(_)
                | SubjectKind::Server(_) => false,
            }
    })
}

/// Whether connections that came to this address are in the listener's queues.
fn was_reached(endpoint: &Endpoint, ip: IpAddr) -> bool {
    let requests = endpoint.syn_recv.sample.iter().map(|request| request.local);
    let waiting = endpoint.never_accepted.waiting.iter().map(|waiting| waiting.local);
    requests.chain(waiting).any(|local| canonical(local).ip() == ip)
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
