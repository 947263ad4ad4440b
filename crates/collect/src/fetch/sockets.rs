//! What a thread's socket is connected to: `socket:[N]` becomes `socket A -> B`.

use std::collections::{BTreeSet, HashMap};

use halfopen_evidence::{Activity, CallTarget, Snapshot};
use halfopen_model::TcpState;

use crate::collector::Collector;
use crate::namespaces::{Found, visit};
use crate::netlink::decode::socket_row;
use crate::netlink::request::DumpRequest;
use crate::netlink::{DiagSocket, DumpBuffer};

/// Names that are remembered; beyond it all are forgotten.
const NAMES_MAX: usize = 16_384;

/// Names the sockets that these calls wait for, as far as they are TCP sockets of a namespace that was
/// looked at. Others keep their number.
pub(crate) fn name_sockets<'a>(
    collector: &mut Collector,
    snapshot: &Snapshot,
    targets: impl IntoIterator<Item = &'a mut CallTarget>,
) {
    let mut unnamed: Vec<(u64, &mut String)> = targets.into_iter().filter_map(socket_of).collect();
    let names = &mut collector.socket_names;
    if names.len() > NAMES_MAX {
        names.clear();
    }
    for (.., listener) in snapshot.listeners() {
        names.remove(&listener.inode.0);
    }
    for (_, endpoint, listener) in snapshot.listeners() {
        if unnamed.iter().any(|&(inode, _)| inode == listener.inode.0) {
            let name = format!("listening socket {}", endpoint.key.local);
            names.insert(listener.inode.0, Some(name));
        }
    }
    let mut sought: BTreeSet<u64> = unnamed.iter().map(|&(inode, _)| inode).collect();
    sought.retain(|inode| !names.contains_key(inode));
    if !sought.is_empty() {
        let (found, is_whole) = dump_names(collector, &mut sought);
        let names = &mut collector.socket_names;
        names.extend(found.into_iter().map(|(inode, name)| (inode, Some(name))));
        if is_whole {
            // A Unix or UDP socket is in no dump: without this there would be one on each round.
            names.extend(sought.into_iter().map(|inode| (inode, None)));
        }
    }
    for (inode, what) in &mut unnamed {
        if let Some(Some(name)) = collector.socket_names.get(inode) {
            what.clone_from(name);
        }
    }
}

/// What the calls of these activities wait for.
pub(crate) fn targets_of<'a>(
    activities: impl IntoIterator<Item = &'a mut Activity>,
) -> impl Iterator<Item = &'a mut CallTarget> {
    activities.into_iter().filter_map(|activity| match activity {
        Activity::Blocked(call) => Some(&mut call.target),
        Activity::Running => None,
    })
}

/// The inode of `socket:[N]`.
fn socket_of(target: &mut CallTarget) -> Option<(u64, &mut String)> {
    let CallTarget::Descriptor { what, .. } = target else { return None };
    let inode = what.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
    Some((inode, what))
}

/// One dump per namespace, the collector's own first, until all are found; and whether nothing was
/// left out that another dump could show.
fn dump_names(collector: &Collector, sought: &mut BTreeSet<u64>) -> (HashMap<u64, String>, bool) {
    let states: Vec<TcpState> =
        TcpState::ALL.into_iter().filter(|&state| state != TcpState::TimeWait).collect();
    let request = DumpRequest::new(&states);
    let places: Vec<&Found> = collector.places.iter().collect();
    let mut buffer = DumpBuffer::new();
    let mut names = HashMap::new();
    // A name is a nicety: what cannot be dumped keeps its number.
    let visited = visit(&places, &collector.proc, |_, entered| {
        if sought.is_empty() || entered.is_err() {
            return true;
        }
        let Ok(mut socket) = DiagSocket::open() else {
            return false;
        };
        let dumped = socket.dump(&request, &mut buffer, |view| {
            let inode = u64::from(view.inode());
            if inode != 0 && sought.remove(&inode) {
                let row = socket_row(view)?;
                let name = if row.state == TcpState::Listen {
                    format!("listening socket {}", row.local)
                } else {
                    format!("socket {} -> {}", row.local, row.peer)
                };
                names.insert(inode, name);
            }
            Ok(())
        });
        dumped.is_ok()
    });
    let is_whole = visited.is_ok_and(|dumps| dumps.into_iter().all(|is_whole| is_whole));
    (names, is_whole)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::{NetnsScope, Scope};

    #[test]
    fn a_socket_that_is_no_tcp_socket_keeps_its_number_and_is_sought_once() {
        let scope = Scope { netns: NetnsScope::Own, ..Scope::default() };
        let mut collector = Collector::new(scope).expect("/proc");
        let snapshot = collector.look().expect("a look at this host");
        let (unix, _other) = UnixStream::pair().expect("a pair of sockets");
        let inode = rustix::fs::fstat(unix.as_fd()).expect("its inode").st_ino;
        let what = format!("socket:[{inode}]");
        let mut target = CallTarget::Descriptor { fd: 3, what };
        name_sockets(&mut collector, &snapshot, [&mut target]);
        assert_eq!(socket_of(&mut target).map(|(inode, _)| inode), Some(inode));
        assert_eq!(collector.socket_names.get(&inode), Some(&None));
    }

    #[test]
    fn only_sockets_are_sought() {
        let socket = |what: &str| {
            let mut target = CallTarget::Descriptor { fd: 3, what: what.to_owned() };
            socket_of(&mut target).map(|(inode, _)| inode)
        };
        assert_eq!(socket("socket:[42]"), Some(42));
        for what in ["socket:[]", "pipe:[42]", "/var/log/x", "socket 1.2.3.4:5 -> 6.7.8.9:10"] {
            assert_eq!(socket(what), None);
        }
        assert!(socket_of(&mut CallTarget::Time).is_none());
    }
}
